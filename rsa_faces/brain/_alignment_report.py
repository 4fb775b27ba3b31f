"""How alike subjects' RDMs are before and after alignment."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rsa_faces._core.numbers import mean_defined
from rsa_faces.brain._rotations import batches
from rsa_faces.rdm import MEASURES


def report_of(before, after, lists, subjects, measure, budget):
    """Return tables of the correlations of subjects' RDMs: per searchlight, per pair, in all."""
    left, right = np.triu_indices(len(subjects), k=1)
    n_conditions, n_channels = before.shape[1:]
    if lists is None:
        lists = np.array([0, n_channels]), np.arange(n_channels, dtype=np.int32)
    n_centers = len(lists[0]) - 1
    per_place = np.empty((2, n_centers))
    sums, counts = np.zeros((2, len(left))), np.zeros((2, len(left)))

    def needed(p: int) -> int:
        return 8 * len(subjects) * (3 * n_conditions * p + 5 * n_conditions**2)

    for centers, inside in batches(lists, needed, budget):
        for state, patterns in enumerate((before, after)):
            local = patterns[:, :, inside].transpose(0, 2, 1, 3)
            r = _correlations(_rdm_vectors(local, measure))[:, left, right]
            defined = ~np.isnan(r)
            sums[state] += np.where(defined, r, 0.0).sum(axis=0)
            counts[state] += defined.sum(axis=0)
            per_place[state, centers] = mean_defined(r, axis=1)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    report = pd.DataFrame(
        {
            "center": np.arange(n_centers),
            "n_channels": np.diff(lists[0]),
            "before": per_place[0],
            "after": per_place[1],
            "difference": per_place[1] - per_place[0],
        }
    )
    pairs = pd.DataFrame(
        {
            "subject_a": [subjects[i] for i in left],
            "subject_b": [subjects[j] for j in right],
            "before": mean[0],
            "after": mean[1],
            "difference": mean[1] - mean[0],
        }
    )
    both = report.dropna(subset=["before", "after"])
    summary = both[["before", "after", "difference"]].mean().to_frame().T
    summary["n_rising"] = int((both["difference"] > 0).sum())
    summary["n_defined"] = len(both)
    summary["n_searchlights"] = n_centers
    summary["n_subjects"] = len(subjects)
    summary["measure"] = measure
    return report, pairs, summary


def empty_tables() -> list[pd.DataFrame]:
    """Return tables without rows, for no report."""
    sides = ["before", "after", "difference"]
    counts = ["n_rising", "n_defined", "n_searchlights", "n_conditions", "n_subjects", "measure"]
    heads = ["center", "n_channels", *sides], ["subject_a", "subject_b", *sides], [*sides, *counts]
    return [pd.DataFrame(columns=head) for head in heads]


def _rdm_vectors(patterns: np.ndarray, measure: str) -> np.ndarray:
    """Return RDMs, (..., n_pairs), of patterns (..., n_conditions, n_channels)."""
    of = MEASURES[measure]
    flat = patterns.reshape(-1, *patterns.shape[-2:])
    return np.array([of(one) for one in flat]).reshape(*patterns.shape[:-2], -1)


def _correlations(vectors: np.ndarray) -> np.ndarray:
    """Return correlations between subjects, (n_centers, n_subjects, n_subjects)."""
    vectors = vectors.transpose(1, 0, 2)
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    # A constant RDM has no correlation; sums leave its differences near 1e-16.
    flat = ~(length > 1e-12 * np.abs(vectors).max(axis=-1, keepdims=True))
    unit = centred / np.where(flat, np.nan, length)
    return unit @ unit.swapaxes(-1, -2)
