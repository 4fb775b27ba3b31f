"""Differences of two feature sets in `encoding`: shares of simulated studies with p <= .05.

python scripts/simulate_feature_sets.py --simulations 400

100 faces, two independent sets of 10 features, 30 cells with weights on both and noise. "balanced":
for each cell there is one with exchanged weights, so that for other faces these cells differ in
nothing; "drawn": how much a cell follows either set is drawn, so that other cells differ in none.
"""

import argparse

import numpy as np

from rsa_faces.analyses import encoding


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    chosen = parser.parse_args()
    for cells in ("balanced", "drawn"):
        for effect in (0.0, 0.5):
            p = np.array([study(cells, effect, seed) for seed in range(chosen.simulations)])
            found = dict(zip(("p", "r2_p", "targets_p"), (p <= 0.05).mean(axis=0), strict=True))
            print(f"{cells} cells, effect {effect}: {found}", flush=True)
