"""Show what the tests and intervals of rsa_faces.evaluate are worth, on simulated data.

    python scripts/calibrate.py [--simulations 1000] [--jobs 2] [--out docs/calibration.md]

Every number of subjects and conditions is simulated many times under a null hypothesis that is
true by construction; a test at 5 % should then reject in 5 %, and a 95 % interval should hold the
true similarity in 95 %. Everything here is simulated.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

import rsa_faces as rf
from rsa_faces._files import write_text

ALPHA, N_BOOT, N_CHANNELS = 0.05, 200, 20
SIZES = ((4, 12), (5, 20), (10, 30), (20, 60))


def squared_distances(patterns: np.ndarray) -> np.ndarray:
    """Return RDM vectors of patterns, (..., n_conditions, n_channels)."""
    row, col = np.triu_indices(patterns.shape[-2], k=1)
    return ((patterns[..., row, :] - patterns[..., col, :]) ** 2).sum(axis=-1)


def simulate(rng, n_subjects: int, n_conditions: int, *, shared: float, own: float = 1.0):
    """Return simulated data RDMs, the shared patterns, and a source of further patterns."""
    common = rng.normal(size=(n_conditions, N_CHANNELS))
    each = rng.normal(size=(n_subjects, n_conditions, N_CHANNELS))
    data = shared * squared_distances(common) + own * squared_distances(each)
    names = [f"c{i}" for i in range(n_conditions)]
    return rf.RDMs(data, names, "simulated", {"subject": list(range(n_subjects))}), common


def models_of(rng, patterns: list[np.ndarray], data: rf.RDMs) -> rf.RDMs:
    """Return model RDMs of these patterns."""
    return rf.RDMs(squared_distances(np.stack(patterns)), data.conditions, "simulated")


def unrelated(seed: int, size: tuple[int, int], bootstrap: str, shared: float, method: str):
    """A model that has nothing to do with what the subjects share: similarity 0 on average."""
    rng = np.random.default_rng([seed, *size])
    data, common = simulate(rng, *size, shared=shared)
    model = models_of(rng, [rng.normal(size=common.shape)], data)
    table = rf.evaluate(
        model, data, method=method, bootstrap=bootstrap, n_boot=N_BOOT, seed=seed
    ).table
    return table["p"].iloc[0] < ALPHA


def equal_models(seed: int, size: tuple[int, int], bootstrap: str, method: str):
    """Two models that are equally near to what the subjects share."""
    rng = np.random.default_rng([seed, *size])
    data, common = simulate(rng, *size, shared=1.0)
    near = [common + rng.normal(size=common.shape) for _ in range(2)]
    result = rf.evaluate(
        models_of(rng, near, data), data, method=method, bootstrap=bootstrap, n_boot=N_BOOT,
        seed=seed,
    )  # fmt: skip
    return result.pairs["p"].iloc[0] < ALPHA


def interval(seed: int, size: tuple[int, int], bootstrap: str, method: str):
    """Return similarity and interval of a model that is near to what the subjects share."""
    rng = np.random.default_rng([seed, *size])
    data, common = simulate(rng, *size, shared=1.0)
    model = models_of(rng, [common + rng.normal(size=common.shape)], data)
    row = rf.evaluate(
        model, data, method=method, bootstrap=bootstrap, n_boot=N_BOOT, seed=seed
    ).table.iloc[0]
    return row["similarity"], row["ci_low"], row["ci_high"]


def reliability(seed: int, size: tuple[int, int], method: str):
    """Whether subjects that share nothing are called reliable."""
    rng = np.random.default_rng([seed, *size])
    data, _ = simulate(rng, *size, shared=0.0)
    return (
        rf.inference.shared_structure(data, method=method, n_permutations=199, seed=seed) <= ALPHA
    )


def permuted(seed: int, size: tuple[int, int], method: str):
    """Permutation of condition labels with a model that is unrelated."""
    rng = np.random.default_rng([seed, *size])
    data, common = simulate(rng, *size, shared=1.0)
    model = models_of(rng, [rng.normal(size=common.shape)], data)
    test = rf.inference.permutation_test(model, data, method=method, n_permutations=199, seed=seed)
    return test.p[0] <= ALPHA


def verdict(count: int, n: int, level: float) -> str:
    """Say whether a count fits its level (binomial, 99 %)."""
    low, high = stats.binom.interval(0.99, n, level)
    return "as stated" if low <= count <= high else "strict" if (
        (count < low) == (level < 0.5)) else "too lenient"  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--method", default="pearson", choices=list(rf.comparison.METHODS))
    parser.add_argument("--out", type=Path, default=Path("docs/calibration.md"))
    options = parser.parse_args()
    n, method = options.simulations, options.method
    tests = {
        "against 0, both drawn; subjects share an unrelated signal":
            partial(unrelated, bootstrap="both", shared=1.0, method=method),
        "against 0, both drawn; subjects share nothing":
            partial(unrelated, bootstrap="both", shared=0.0, method=method),
        "against 0, subjects drawn; subjects share nothing":
            partial(unrelated, bootstrap="subjects", shared=0.0, method=method),
        "against 0, conditions drawn; subjects share an unrelated signal":
            partial(unrelated, bootstrap="conditions", shared=1.0, method=method),
        "two equally good models, both drawn":
            partial(equal_models, bootstrap="both", method=method),
        "permutation of condition labels": partial(permuted, method=method),
        "subjects share structure (`reliable`)": partial(reliability, method=method),
    }  # fmt: skip
    lines = ["| test or interval | " + " | ".join(f"{s} subjects, {c} conditions" for s, c in SIZES)
             + " |", "| --- |" + " --- |" * len(SIZES)]  # fmt: skip
    with ProcessPoolExecutor(options.jobs, initializer=warnings.simplefilter,
                             initargs=("ignore",)) as pool:  # fmt: skip
        for name, test in tests.items():
            cells = []
            for size in SIZES:
                count = sum(pool.map(partial(test, size=size), range(n), chunksize=20))
                cells.append(f"{count / n:.3f} ({verdict(count, n, ALPHA)})")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
        cells = []
        for size in SIZES:
            call = partial(interval, size=size, bootstrap="both", method=method)
            found = np.array(list(pool.map(call, range(n), chunksize=20)))
            # The mean over all simulated experiments is what new subjects and conditions give.
            inside = (found[:, 1] <= found[:, 0].mean()) & (found[:, 0].mean() <= found[:, 2])
            cells.append(f"{inside.mean():.3f} ({verdict(int(inside.sum()), n, 1 - ALPHA)})")
        lines.append("| 95 % interval holds the true similarity, both drawn | "
                     + " | ".join(cells) + " |")  # fmt: skip
        print(lines[-1], flush=True)
    low, high = stats.binom.interval(0.99, n, ALPHA)
    text = f"""# Calibration on simulated data

Made by `python scripts/calibrate.py --simulations {n} --method {method}`; everything is simulated
({n:,} experiments per number, {N_BOOT} bootstrap samples or 199 permutations each, method
`{method}`, α = {ALPHA}). Tests: share of experiments in which a null hypothesis that is true was
rejected; one that keeps its level lies between {low / n:.3f} and {high / n:.3f} (binomial, 99 %).
"strict": rejects less often than stated (or an interval that is wider): the conclusion is safe, the
test has less power. "too lenient": rejects more often than stated, so do not trust it at this size;
`evaluate` warns below 5 subjects and 20 conditions.

{chr(10).join(lines)}

How it is simulated: patterns of {N_CHANNELS} channels, normal; an RDM holds squared Euclidean
distances; a subject's RDM is the RDM of patterns all subjects share plus that of the subject's own
patterns.
"""
    write_text(options.out, text)


if __name__ == "__main__":
    main()
