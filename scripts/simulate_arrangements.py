"""How well inverse MDS recovers what simulated raters see: error against trials and time.

    python scripts/simulate_arrangements.py --out docs/arrangements

Simulated raters know 30 images as points in five dimensions (three loose groups). In a trial they
place the images shown as classical scaling of the true distances to two dimensions does, filling
the arena, each off by a normal error (a tenth of the arena's radius). Trials hold at most 12
images, chosen as the task does, the same with the published cost of a trial, or at random; pairs
not seen yet count as the mean. A trial is taken to last 5 s times its number of images to the power
of 1.5, as the article found. Written: a figure and a table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from rsa_faces.behaviour import Trial, inverse_mds, next_trial
from rsa_faces.figures._style import COLORS, PAGE, save_figure, style

RULES = {
    "lift the weakest": {"rule": "lift-weakest"},
    "as published (cost 1.5)": {"rule": "lift-weakest", "cost_exponent": 1.5},
    "random subsets": {"rule": "random"},
}
N_IMAGES, N_DIMENSIONS, N_MAX, NOISE = 30, 5, 12, 0.05


def placed(distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return positions in diameters of the arena."""
    n = len(distances)
    center = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * center @ distances**2 @ center)
    xy = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    xy *= 0.5 / np.linalg.norm(xy, axis=1).max()
    xy += rng.normal(scale=NOISE, size=xy.shape)
    far = np.linalg.norm(xy, axis=1)
    return xy / np.maximum(far / 0.5, 1)[:, None]


def simulate(rule: str, seed: int, n_trials: int) -> list[dict]:
    """Return recovery after each trial of one simulated rater."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(N_IMAGES, N_DIMENSIONS))
    points[:, 0] += 3 * rng.integers(3, size=N_IMAGES)
    distances = squareform(pdist(points))
    names = tuple(f"image {i:02d}" for i in range(N_IMAGES))
    trials, rows, seconds = [], [], 0.0
    result = trials
    for k in range(n_trials):
        chosen = next_trial(result, names, n_max=N_MAX, seed=1000 * seed + k, **RULES[rule])
        at = [names.index(name) for name in chosen]
        trials.append(Trial(chosen, placed(distances[np.ix_(at, at)], rng)))
        seconds += 5 * len(chosen) ** 1.5
        result = inverse_mds(trials, names)
        vector, truth = result.rdms.vectors[0], squareform(distances, checks=False)
        known = np.isfinite(vector)
        guess = np.where(known, vector, vector[known].mean())
        off = guess / np.sqrt(np.mean(guess**2)) - truth / np.sqrt(np.mean(truth**2))
        rows.append(
            {
                "rule": rule,
                "rater": seed,
                "trial": k + 1,
                "minutes": seconds / 60,
                "seen": known.mean(),
                "spearman": spearmanr(guess, truth)[0],
                "pearson": np.corrcoef(guess, truth)[0, 1],
                "error": np.sqrt(np.mean(off**2)),
            }
        )
    return rows


def draw(table: pd.DataFrame):
    """Return the figure: recovery and error against trials and against time."""
    words = {
        "spearman": "Spearman ρ with the true distances",
        "error": "error of distances (RMS, of unit RMS)",
    }
    with style():
        figure, axes = plt.subplots(
            2, 2, figsize=(PAGE, 4.2), layout="constrained", sharey="row", sharex="col"
        )
        for color, rule in zip(COLORS, RULES, strict=False):
            rows = table[table["rule"] == rule]
            minutes = rows.groupby("trial")["minutes"].mean()
            for column, pair in zip(words, axes, strict=True):
                by_trial = rows.groupby("trial")[column]
                mean, error = by_trial.mean(), by_trial.sem()
                for ax, x in zip(pair, (mean.index, minutes), strict=True):
                    ax.fill_between(
                        x, mean - error, mean + error, color=color, alpha=0.2, linewidth=0
                    )
                    ax.plot(x, mean, color=color, label=rule)
        for (ax, _), word in zip(axes, words.values(), strict=True):
            ax.set_ylabel(word)
        axes[1, 0].set_xlabel("trials")
        axes[1, 1].set_xlabel("minutes of arranging")
        axes[1, 1].set_ylim(bottom=0)
        axes[0, 0].legend(frameon=False, loc="lower right")
        n = table["rater"].nunique()
        axes[0, 0].set_title(
            f"{n} simulated raters, {N_IMAGES} images; band: standard error", loc="left"
        )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("arrangements"))
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args()
    rows = [
        row
        for rule in RULES
        for seed in range(options.raters)
        for row in simulate(rule, seed, options.trials)
    ]
    table = pd.DataFrame(rows)
    table.round(5).to_csv(options.out.with_suffix(".csv"), index=False)
    save_figure(draw(table), options.out)
    print(
        table[table["trial"].isin([10, 20, options.trials])]
        .groupby(["rule", "trial"])[["minutes", "seen", "spearman", "pearson", "error"]]
        .mean()
        .round(3)
    )
    for level in (0.8, 0.85, 0.9, 0.95):
        for rule, rows_of in table.groupby("rule", sort=False):
            reached = rows_of[rows_of["spearman"] >= level].groupby("rater")[["trial", "minutes"]]
            first = reached.min()
            trials, minutes = first["trial"].median(), first["minutes"].median()
            print(
                f"Spearman {level}: {rule}: {len(first)} of {options.raters} raters, median "
                f"{trials:.1f} trials, {minutes:.1f} min"
            )


if __name__ == "__main__":
    main()
