"""How often intervals of mean scores between people hold the truth.

python scripts/simulate_scores.py --simulations 200
"""

import argparse

import numpy as np

from rsa_faces.analyses import score_distributions, similarity_scores

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=200)
    n = parser.parse_args().simulations
    for size, n_groups, apart in ((10, 2, 1.0), (20, 2, 1.0), (20, 2, 0.0), (12, 4, 1.0)):
        means, ends = [], []
        for seed in range(n):
            group = np.arange(size * n_groups) // size
            x = np.random.default_rng(seed).normal(size=(len(group), 16))
            x[:, 0] += apart * group
            names = [f"face {i}" for i in range(len(group))]
            scores = similarity_scores({"fc": x}, conditions=names)
            groups = {name: f"group {g}" for name, g in zip(names, group, strict=True)}
            found = score_distributions(scores, groups, n_permutations=1, n_boot=2, seed=seed)
            summary = found.summary.iloc[0]
            means.append([summary["difference"], *found.table["mean"]])
            ends.append(
                [summary[["ci_low", "ci_high"]], *found.table[["ci_low", "ci_high"]].values]
            )
        means, ends = np.array(means), np.array(ends, float)
        held = (ends[..., 0] <= means.mean(axis=0)) & (means.mean(axis=0) <= ends[..., 1])
        print(f"{n_groups} groups of {size}, {apart:g} apart:", held.mean(axis=0).round(3))
