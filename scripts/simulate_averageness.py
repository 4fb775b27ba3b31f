"""False positives and findings of `averageness`: shares of simulated studies with p <= .05.

python scripts/simulate_averageness.py --simulations 400

60 faces of two groups with 20 landmarks. How far a face is from the mean depends on age; ratings
depend on group and age, which are given, and, where there is an effect, on averageness. With
raters: 15, who differ in what they like.
"""

import argparse

import numpy as np
import pandas as pd

from rsa_faces.analyses import averageness

N, RATERS = 60, 15


def study(effect: float, raters: bool, seed: int) -> pd.DataFrame:
    """Return the table of one simulated study."""
    rng = np.random.default_rng(seed)
    half = rng.uniform(10, 60, (10, 2)) * [1, 2]
    base = np.vstack([half, half * [-1, 1]])
    names = [f"face {i}" for i in range(N)]
    group, age = rng.integers(0, 2, N), rng.normal(size=N)
    spread = 1.5 + 0.4 * age + rng.uniform(-0.7, 0.7, N)
    points = base + 4 * group[:, None, None] * np.sin(base / 20)
    points = points + np.abs(spread)[:, None, None] * rng.normal(size=(N, 20, 2))
    liked = group + age - 2 * effect * spread + rng.normal(size=N)
    ratings = pd.DataFrame({"attractive": liked}, names)
    options = {"rater": "rater"} if raters else {}
    if raters:
        each = liked + rng.normal(size=(RATERS, 1)) + 1.5 * rng.normal(size=(RATERS, N))
        tastes = rng.normal(size=(RATERS, 1)) * spread  # some like what is far from the mean
        each = pd.DataFrame(each + tastes, range(RATERS), names).rename_axis("rater")
        ratings = each.reset_index().melt("rater", var_name="face", value_name="attractive")
    return averageness(
        dict(zip(names, points, strict=True)),
        ratings,
        within=dict(zip(names, group, strict=True)),
        controls=pd.DataFrame({"age": age}, names),
        method="pearson",
        n_permutations=39,
        seed=seed,
        **options,
    ).table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    chosen = parser.parse_args()
    for raters in (False, True):
        for effect in (0.0, 1.0):
            tables = [study(effect, raters, seed) for seed in range(chosen.simulations)]
            found = pd.concat(tables)
            found = found.assign(
                found=found["p"] <= 0.05,
                beyond=found["p_beyond"] <= 0.05,
                interval=(found["ci_low"] > 0) | (found["ci_high"] < 0),
            )
            print(f"raters {raters}, effect {effect}")
            shares = found.groupby("measure")[["found", "beyond", "interval"]].mean()
            print(shares.round(3), flush=True)
