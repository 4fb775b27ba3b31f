"""Differences of two feature sets: shares of simulated studies with p <= .05.

python scripts/simulate_feature_sets.py --simulations 400

`encoding`: 100 faces, two independent sets of 10 features, 30 cells with weights on both and noise.
"balanced": for each cell there is one with exchanged weights, so that for other faces these cells
differ in nothing; "drawn": how much a cell follows either set is drawn, so that other cells differ
in none. `trait_readout`: two noisy versions of 20 features of 100 faces, and a rating.
"""

import argparse

import numpy as np
import pandas as pd

from rsa_faces.analyses import encoding, trait_readout


def study(cells: str, effect: float, seed: int) -> np.ndarray:
    """Return p of the difference of r, of r2, and of r2 over cells."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 100, 10))
    w, v = rng.normal(size=(2, 10, 15)) * rng.uniform(0, 1, 15)
    w, v = np.hstack([w, v]), np.hstack([v, w])
    if cells == "drawn":
        share = rng.uniform(0, 1, 30)
        w, v = rng.normal(size=(2, 10, 30)) * np.sqrt([share, 1 - share])[:, None]
    y = (1 + effect) * a @ w + b @ v + 2 * rng.normal(size=(100, 30))
    names = [f"face {i}" for i in range(100)]
    options = {"conditions": names, "n_permutations": 1, "progress": False, "seed": seed}
    row = encoding({"a": a, "b": b}, y, **options).differences.iloc[0]
    return row[["p", "r2_p", "targets_p"]].to_numpy(float)


def versions(effect: float, seed: int) -> float:
    """Return p of the change of r from one noisy version of features to another."""
    rng = np.random.default_rng(seed)
    names = [f"face {i}" for i in range(100)]
    x = rng.normal(size=(100, 20))
    sets = {
        name: pd.DataFrame(x + size * rng.normal(size=x.shape), names)
        for name, size in (("as they are", 0.5), ("masked", 0.5 + effect))
    }
    rating = pd.DataFrame({"warm": x @ rng.normal(size=20) + 2 * rng.normal(size=100)}, names)
    options = {"n_permutations": 1, "seed": seed, "progress": False}
    found = trait_readout(sets, rating, against={"masked": "as they are"}, **options)
    return found.table["change_p"].max()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    chosen = parser.parse_args()
    for cells in ("balanced", "drawn"):
        for effect in (0.0, 0.5):
            p = np.array([study(cells, effect, seed) for seed in range(chosen.simulations)])
            found = dict(zip(("p", "r2_p", "targets_p"), (p <= 0.05).mean(axis=0), strict=True))
            print(f"{cells} cells, effect {effect}: {found}", flush=True)
    for effect in (0.0, 1.5):
        p = np.array([versions(effect, seed) for seed in range(chosen.simulations)])
        print(f"versions of a set, effect {effect}: {(p <= 0.05).mean()}", flush=True)
