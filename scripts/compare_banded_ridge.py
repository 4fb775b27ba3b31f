"""How far banded ridge of `encoding` and of himalaya agree, and how long each takes.

    python scripts/compare_banded_ridge.py --people 60 --targets 200

Simulated: three feature spaces, two images of each person; strength and mixture of the spaces are
chosen for each target by leaving out one person at a time, as in `encoding`.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from rsa_faces.analyses import encoding
from rsa_faces.analyses._ridge import deal_folds
from rsa_faces.analyses.information.readout import STRENGTHS


def by_himalaya(spaces: list[np.ndarray], y: np.ndarray, who: np.ndarray, n_folds: int):
    """Return what each space predicts for the fold left out, and responses, less fold means."""
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
    from sklearn.model_selection import LeaveOneGroupOut

    mixtures = np.vstack([np.full(len(spaces), 1 / len(spaces)), np.eye(len(spaces))])
    fold_of = deal_folds(who, n_folds, np.random.default_rng(0))
    predicted, centred = np.empty((len(spaces), *y.shape)), np.empty_like(y)
    for f in range(n_folds):
        train, test = np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)
        own = [x - x[train].mean(axis=0) for x in spaces]
        kernels = np.array([x @ x[train].T / (x[train] ** 2).sum(axis=1).mean() for x in own])
        people = list(LeaveOneGroupOut().split(y[train], groups=who[train]))
        with np.errstate(divide="ignore"):  # a space that has no share
            deltas, weights, *_ = solve_multiple_kernel_ridge_random_search(
                kernels[:, train],
                y[train],
                mixtures,
                alphas=np.array(STRENGTHS),
                cv=people,
                fit_intercept=True,
                return_weights="dual",
                progress_bar=False,
            )
        parts = np.exp(deltas)[:, None] * (kernels[:, test] @ weights)
        predicted[:, test] = parts - parts.mean(axis=1, keepdims=True)
        centred[test] = y[test] - y[test].mean(axis=0)
    return predicted, centred


def simulated(n_people: int, n_targets: int):
    """Return three spaces, responses to the first two, and whom each image shows."""
    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(n_people), 2)
    spaces = [
        rng.normal(size=(n_people, w))[who] + rng.normal(size=(len(who), w)) for w in (8, 30, 90)
    ]
    y = sum(x @ rng.normal(size=(x.shape[1], n_targets)) / len(x) ** 0.5 for x in spaces[:2])
    return spaces, y + rng.normal(size=y.shape), who


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--targets", type=int, default=200)
    chosen = parser.parse_args()
    spaces, y, who = simulated(chosen.people, chosen.targets)
    names = [f"face {i}" for i in range(len(who))]
    start = time.process_time()
    found = encoding(
        {"a": spaces[0]},
        y,
        conditions=names,
        beside={"b": spaces[1], "c": spaces[2]},
        across=dict(zip(names, who.tolist(), strict=True)),
        n_mixtures=4,
        n_permutations=1,
        progress=False,
    )
    ours = time.process_time() - start
    start = time.process_time()
    parts, centred = by_himalaya(spaces, y, who, 5)
    theirs = time.process_time() - start
    whole = parts.sum(axis=0)
    r = (whole * centred).sum(axis=0) / np.sqrt((whole**2).sum(axis=0) * (centred**2).sum(axis=0))
    apart = np.abs(r - found.targets["r"])
    sys.stdout.write(
        f"{chosen.people} people, {chosen.targets} targets: r differs by up to {apart.max():.1e}; "
        f"seconds of processor time: encoding {ours:.1f} (intervals and a permutation as well), "
        f"himalaya {theirs:.1f}\n"
    )
