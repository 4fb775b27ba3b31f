"""False positives and findings of `axis_geometry`: shares of simulated studies with p <= .05.

python scripts/simulate_axis_geometry.py --simulations 400

Cells have axes of several lengths in a space whose dimensions are correlated: random ones, such in
5 dimensions, orthogonal ones, or such that turn with a place. Noise is independent, shared by cells
that are near each other (half of its variance), or grows with the response.
"""

import argparse

import numpy as np
import pandas as pd

from rsa_faces.analyses import axis_geometry

SIZES = {  # faces, dimensions, cells
    "102 faces, 20 dimensions, 40 cells": (102, 20, 40),
    "200 faces, 50 dimensions, 60 cells": (200, 50, 60),
    "60 faces, 10 dimensions, 10 cells": (60, 10, 10),
}
NOISES = ("independent", "shared by near cells", "growing with the response")
CODES = ("random", "low-dimensional", "orthogonal", "following a place")


def study(code: str, size: str, noise: str, seed: int):
    """Return a space, responses and places of one simulated study."""
    rng = np.random.default_rng([seed, CODES.index(code), NOISES.index(noise)])
    n, k, n_cells = SIZES[size]
    x = rng.normal(size=(n, k))
    x[:, k // 2 :] += 0.3 * x[:, : k - k // 2]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    place = rng.uniform(0, 3, n_cells)
    axes = rng.normal(size=(n_cells, k))
    if code == "low-dimensional":
        axes = axes[:, :5] @ np.linalg.qr(rng.normal(size=(k, 5)))[0].T
    elif code == "orthogonal":
        n_cells = min(n_cells, k)
        place, axes = place[:n_cells], np.linalg.qr(rng.normal(size=(k, k)))[0][:n_cells]
    elif code == "following a place":
        waves = np.sin(np.outer(place, [0.7, 1.4, 2.1]) + rng.uniform(0, 6, 3))
        axes = waves @ rng.normal(size=(3, k)) / 2 + 0.7 * axes
    axes *= rng.uniform(0.3, 1.5, (n_cells, 1)) / np.linalg.norm(axes, axis=1, keepdims=True)
    signal, error = x @ axes.T, rng.normal(size=(n, n_cells))
    if noise == "shared by near cells":
        near = np.exp(-np.abs(place[:, None] - place) / 0.5) + 1e-6 * np.eye(n_cells)
        error = np.sqrt(0.5) * (error + rng.normal(size=error.shape) @ np.linalg.cholesky(near).T)
    elif noise == "growing with the response":
        error *= np.exp(0.4 * signal)
    names, cells = [f"face {i}" for i in range(n)], [f"cell {i}" for i in range(n_cells)]
    responses = pd.DataFrame(signal + error, names, cells)
    return pd.DataFrame(x, names), responses, pd.Series(place, cells)


def main() -> None:
    """Print a table of all sizes, codes and kinds of noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--size", type=int, nargs="+", default=[0, 1, 2], help="which of the sizes")
    parser.add_argument("--code", nargs="+", default=CODES, choices=CODES)
    args = parser.parse_args()
    for size in np.array(list(SIZES))[args.size]:
        for code in args.code:
            for noise in NOISES if code == "random" else NOISES[:1]:
                tables = [
                    axis_geometry(
                        x, y, places=places, n_permutations=39, seed=i, progress=False
                    ).table
                    for i in range(args.simulations)
                    for x, y, places in [study(code, size, noise, i)]
                ]
                found = pd.concat(tables)
                squared = {"random": 1 / SIZES[size][1], "low-dimensional": 0.2, "orthogonal": 0.0}
                truth = {"cosine": 0.0, "squared cosine": squared.get(code, np.nan)}
                truth["cosine by distance"] = 0.0
                true = found["question"].map(truth)
                found["holds"] = (found["ci_low"] <= true) & (found["ci_high"] >= true)
                found["p05"] = found["p"] <= 0.05
                shares = found.groupby("question", sort=False)[["p05", "holds", "value"]]
                print(f"{size}; {code} axes; noise {noise}")
                print(
                    shares.agg({"p05": "mean", "holds": "mean", "value": "median"}).round(3),
                    flush=True,
                )


if __name__ == "__main__":
    main()
