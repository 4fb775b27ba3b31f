"""Which measure of congruence recovers known angles, and how often its test is wrong.

python scripts/simulate_congruence.py angles    # error against the true squared cosine
python scripts/simulate_congruence.py level     # three crossed factors, directions independent
python scripts/simulate_congruence.py depth     # five layers: what rises and falls with depth
"""

import argparse
import itertools

import numpy as np
import pandas as pd

from rsa_faces.analyses import congruence

PEOPLE, FACES, VIEWS = 20, 4, 3
DESIGN = list(itertools.product(range(PEOPLE), range(FACES), range(VIEWS)))
NAMES = [f"p{p} e{e} v{v}" for p, e, v in DESIGN]
WHO, FACE, VIEW = (dict(zip(NAMES, column, strict=True)) for column in zip(*DESIGN, strict=True))


def simulated(rng, *, width=64, noise=1.0, shared=0.0, view=2.0, face=1.0):
    """Patterns of an identity x expression x view design.

    `shared` is the squared cosine of each of 3 expression directions with the space of 10 identity
    directions; None draws directions of expression independently. Views have directions of their
    own, away from those of identity.
    """
    axes = np.linalg.qr(rng.normal(size=(width, min(width, 30))))[0].T
    who = axes[:10] if shared is not None else np.linalg.qr(rng.normal(size=(width, 10)))[0].T
    if shared is None:
        faces = np.linalg.qr(rng.normal(size=(width, 3)))[0].T
    else:
        inside = np.linalg.qr(rng.normal(size=(10, 3)))[0].T @ who
        faces = np.sqrt(shared) * inside + np.sqrt(1 - shared) * axes[10:13]
    views = np.linalg.qr(np.vstack([who, rng.normal(size=(2, width))]).T)[0].T[10:]
    person = rng.normal(size=(PEOPLE, 10)) @ who * 2
    smile = rng.normal(size=(FACES, 3)) @ faces * 2 * face
    turn = rng.normal(size=(VIEWS, 2)) @ views * 4 * view
    p, e, v = np.array(DESIGN).T
    noisy = noise * rng.normal(size=(len(DESIGN), width)) / np.sqrt(width) * 4
    return person[p] + smile[e] + turn[v] + noisy


def angles(n: int) -> None:
    rows = []
    for directions, width, noise, shared in itertools.product(
        ("means", "readout"), (32, 128, 512), (0.3, 1.0, 3.0), (0.0, 0.5, 1.0)
    ):
        for seed in range(n):
            x = simulated(np.random.default_rng(seed), width=width, noise=noise, shared=shared)
            row = congruence(
                {"a": x},
                WHO,
                FACE,
                within=VIEW,
                conditions=NAMES,
                n_permutations=39,
                n_splits=10,
                directions=directions,
                seed=seed,
            ).table.iloc[0]
            rescaled = row["excess"] / (1 - row["null_mean"])
            rows.append(
                {
                    "directions": directions,
                    "width": width,
                    "noise": noise,
                    "shared": shared,
                    "rescaled": rescaled,
                    **row[["congruence", "excess", "corrected", "tucker", "tucker_excess"]],
                }
            )
    table = pd.DataFrame(rows)
    keys = ["directions", "noise", "width", "shared"]
    print(table.groupby(keys).mean(numeric_only=True).round(2).to_string())
    measures = [c for c in table if c not in keys]
    error = table[measures].sub(table["shared"], axis=0) ** 2
    error = error.groupby([table[key] for key in keys[:3]]).mean()
    print(np.sqrt(error).round(2).to_string())


#: Five layers: the squared cosine, noise and width of each.
COURSES = {
    "angle falls, all else equal": ([0.6, 0.45, 0.3, 0.15, 0.0], [1.0] * 5, [128] * 5),
    "angle equal, noise falls": ([0.3] * 5, [3.0, 2.0, 1.4, 1.0, 0.5], [128] * 5),
    "angle equal, wider layers": ([0.3] * 5, [1.0] * 5, [24, 48, 96, 192, 384]),
    "angle falls, noise falls": ([0.6, 0.45, 0.3, 0.15, 0.0], [3.0, 2.0, 1.4, 1.0, 0.5], [128] * 5),
}


def depth(n: int) -> None:
    """Mean of each measure in each of five layers, and its rank correlation with depth."""
    rows = []
    for (course, layers), directions, seed in itertools.product(
        COURSES.items(), ("means", "readout"), range(n)
    ):
        features = {
            f"{k}": simulated(np.random.default_rng([seed, k]), shared=s, noise=e, width=w)
            for k, (s, e, w) in enumerate(zip(*layers, strict=True))
        }
        options = {"n_permutations": 39, "n_splits": 10, "directions": directions, "seed": seed}
        found = congruence(features, WHO, FACE, within=VIEW, conditions=NAMES, **options).table
        for measure in ("congruence", "excess", "corrected", "tucker", "tucker_excess"):
            values = found[measure].astype(float)
            row = {"course": course, "directions": directions, "measure": measure}
            with_depth = values.rank().corr(pd.Series(range(5)))
            rows.append({**row, "r": with_depth, **dict(zip(range(1, 6), values, strict=True))})
    keys = ["course", "directions", "measure"]
    print(pd.DataFrame(rows).groupby(keys, sort=False).mean().round(2).to_string())


def level(n: int) -> None:
    for within, face in itertools.product((VIEW, None), (0.0, 1.0)):
        wrong = np.zeros(2)
        for seed in range(n):
            x = simulated(np.random.default_rng(seed), shared=None, face=face, width=24, noise=0.3)
            row = congruence(
                {"a": x},
                WHO,
                FACE,
                within=within,
                conditions=NAMES,
                n_permutations=39,
                n_splits=0,
                seed=seed,
            ).table.iloc[0]
            wrong += row[["p_less", "p_greater"]].to_numpy(float) <= 0.05
        shown = "within view" if within else "across view"
        print(f"{shown}, expression x {face:g}: less, greater", wrong / n, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["angles", "level", "depth"])
    parser.add_argument("--simulations", type=int, default=100)
    chosen = parser.parse_args()
    {"angles": angles, "level": level, "depth": depth}[chosen.what](chosen.simulations)
