"""How often intervals of scores between people hold the truth.

python scripts/simulate_scores.py means --simulations 200    # mean scores of pairs
python scripts/simulate_scores.py rates --simulations 200    # rates of false matches
python scripts/simulate_scores.py templates --simulations 200    # true accepts at false accepts
python scripts/simulate_scores.py paired --simulations 200    # differences of two networks
"""

import argparse

import numpy as np
import pandas as pd

from rsa_faces.analyses import (
    false_matches,
    score_distributions,
    similarity_scores,
    template_verification,
)

LARGE = 600  # people of a group, whose rates are the truth


def means(n: int) -> None:
    for size, n_groups, apart in ((10, 2, 1.0), (20, 2, 1.0), (20, 2, 0.0), (12, 4, 1.0)):
        found_means, ends = [], []
        for seed in range(n):
            scores, groups, _ = simulated(seed, size, n_groups, apart)
            found = score_distributions(scores, groups, n_permutations=1, n_boot=2, seed=seed)
            summary = found.summary.iloc[0]
            found_means.append([summary["difference"], *found.table["mean"]])
            ends.append(
                [summary[["ci_low", "ci_high"]], *found.table[["ci_low", "ci_high"]].values]
            )
        values, ends = np.array(found_means), np.array(ends, float)
        held = (ends[..., 0] <= values.mean(axis=0)) & (values.mean(axis=0) <= ends[..., 1])
        print(f"{n_groups} groups of {size}, {apart:g} apart:", held.mean(axis=0).round(3))


def rates(n: int) -> None:
    for size, n_groups, apart, fmr, given, n_images in (
        (20, 2, 1.0, 0.05, False, 1),
        (20, 2, 1.0, 0.05, True, 1),
        (20, 2, 0.0, 0.05, False, 1),
        (40, 2, 1.0, 0.01, False, 1),
        (20, 3, 1.5, 0.02, False, 2),
    ):
        scores, groups, people = simulated(10**6, LARGE, n_groups, apart, n_images=1)
        options = {"n_boot": 2, "n_permutations": 1}
        large = false_matches(scores, groups, fmr=fmr, **options)
        truth = large.table["rate"].to_numpy()
        setting = {"threshold": large.overall["threshold"][0]} if given else {"fmr": fmr}
        held = np.zeros(len(truth))
        for seed in range(n):
            scores, groups, people = simulated(seed, size, n_groups, apart, n_images=n_images)
            found = false_matches(scores, groups, people=people, **setting, **options).table
            held += (found["ci_low"] <= truth) & (truth <= found["ci_high"])
        upper = np.triu(np.ones((n_groups, n_groups), bool)).ravel()
        shown = f"{n_groups} groups of {size}, {apart:g} apart, {n_images} images, {setting}:"
        print(shown, "truth", truth[upper].round(4), "held", (held[upper] / n).round(3), flush=True)


def templates(n: int) -> None:
    for size, n_channels, noise, n_each in (
        (30, 16, 1.0, 2),
        (60, 16, 1.0, 2),
        (120, 16, 1.0, 2),
        (30, 64, 1.5, 3),
        (120, 64, 1.5, 3),
    ):
        options = n_channels, noise, n_each
        truth = np.mean([tars(10**6 + i, 1500, *options)["tar"] for i in range(3)], axis=0)
        held, given = np.zeros((2, len(truth)))
        for seed in range(n):
            found = tars(seed, size, *options)
            given += found["ci_low"].notna()
            held += (found["ci_low"] <= truth) & (truth <= found["ci_high"])
        share = np.divide(held, given, out=np.full(len(truth), np.nan), where=given > 0)
        print(f"{size} people, {n_each} templates each:", truth.round(3), "held", share.round(3))


def paired(n: int) -> None:
    """Two networks that see people much alike, the second as well as the first, or worse."""
    for size, n_each, worse in ((30, 2, 1.0), (60, 2, 1.0), (120, 3, 1.0), (60, 2, 1.2)):
        options = 32, 1.2, n_each, worse
        truth = np.mean([tars(10**6 + i, 1500, *options)["difference"] for i in range(3)], axis=0)
        truth = truth * (worse != 1)  # of equal networks it is 0
        held, less, given = np.zeros((3, len(truth)))
        for seed in range(n):
            found = tars(seed, size, *options)
            low, high, p = found[["difference_low", "difference_high", "p_difference"]].T.to_numpy()
            given += np.isfinite(low)
            held += (low <= truth) & (truth <= high)
            less += p <= 0.05
        shares = [np.round(count / np.where(given > 0, given, np.nan), 3) for count in (held, less)]
        print(f"{size} people, {n_each} templates each, noise x {worse:g}:", truth.round(3))
        print("    held", shares[0], "p at most .05", shares[1], "studies", given, flush=True)


def tars(
    seed: int, size: int, n_channels: int, noise: float, n_each: int, worse: float | None = None
) -> pd.DataFrame:
    """True accept rates of people whose templates differ, of some more than of others.

    With `worse` also those of another network, with so much times the noise, half of it shared.
    """
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(size), n_each)
    spread = noise * np.exp(0.3 * rng.normal(size=size))[who, None]
    person = rng.normal(size=(size, n_channels))[who]
    noises = rng.normal(size=(3, len(who), n_channels))
    noises[1:] = np.sqrt(0.5) * (noises[1:] + noises[0]) if worse is not None else noises[1:]
    x = person + spread * noises[0 if worse is None else 1]
    against = None if worse is None else {"fc": person + worse * spread * noises[2]}
    names = [str(i) for i in range(len(who))]
    rows = pd.DataFrame({"file": names, "template": names, "subject": who})
    return template_verification({"fc": x}, rows, against=against, conditions=names).table


def simulated(seed: int, size: int, n_groups: int, apart: float, n_images: int = 1):
    """Scores of people in groups, whose embeddings differ along one of 16 dimensions."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), size)
    x = rng.normal(size=(len(group), 16))
    x[:, 0] += apart * group
    who = np.repeat(np.arange(len(group)), n_images)
    x = x[who] + (n_images > 1) * 0.3 * rng.normal(size=(len(who), 16))
    names = [f"face {i}" for i in range(len(who))]
    groups = {name: f"group {group[w]}" for name, w in zip(names, who, strict=True)}
    scores = similarity_scores({"fc": x}, conditions=names)
    return scores, groups, dict(zip(names, who, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["means", "rates", "templates", "paired"])
    parser.add_argument("--simulations", type=int, default=200)
    chosen = parser.parse_args()
    todo = {"means": means, "rates": rates, "templates": templates, "paired": paired}
    todo[chosen.what](chosen.simulations)
