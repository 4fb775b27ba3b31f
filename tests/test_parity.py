"""Agreement with rsatoolbox on the same resamples: 240 random studies, 6 resamples each.

Conditions are drawn with our counts, and the RDMs that rsatoolbox gets are really resampled:
repeated rows and columns, NaN for pairs of a condition with its own copy.
"""

import contextlib
import io
import warnings

import numpy as np
import pytest
from rsatoolbox.inference import boot_noise_ceiling
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from rsatoolbox.rdm import compare as toolbox_compare

from rsa_faces.comparison import METHODS
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.inference.bootstrap import draw_counts

COV_METHODS = frozenset(name for name, method in METHODS.items() if method.whitened)

THEIRS = {"pearson": "corr", "kendall": "tau-b"}
N_STUDIES = 30  # for each of 8 methods
# rsatoolbox solves with V by conjugate gradients where pairs are missing.
ATOL = {**dict.fromkeys(METHODS, 1e-10), **dict.fromkeys(COV_METHODS, 1e-8)}


def study(seed, method):
    """Return models, subjects and counts; every other kind of difficulty by the seed's bits."""
    rng = np.random.default_rng([seed, 7])
    n_conditions = int(rng.integers(5, 13))
    n_pairs = n_conditions * (n_conditions - 1) // 2
    signal = rng.normal(size=n_pairs)
    model = 0.5 * signal + rng.normal(size=(int(rng.integers(1, 4)), n_pairs)) + 3
    data = signal + rng.normal(size=(int(rng.integers(2, 6)), n_pairs)) + 3
    if seed & 1:
        model, data = np.round(model), np.round(data)
    if seed & 2 and method not in COV_METHODS:
        # rsatoolbox wants the same pairs missing everywhere.
        data[:, rng.random(n_pairs) < 0.15] = np.nan
    groups = np.arange(n_conditions)
    if seed & 4:
        groups = np.unique(rng.integers(0, n_conditions - 1, n_conditions), return_inverse=True)[1]
    counts = draw_counts(rng, 60, groups, min_distinct=3)
    # What cannot be compared is not compared: 4 conditions must be left to draw a pair from.
    return model, data, counts[(counts > 0).sum(axis=1) > 3][:6]


def resampled(vectors, counts, missing):
    """Return the toolbox's RDMs of a resample."""
    n = len(counts)
    square = np.full((len(vectors), n, n), np.nan)
    row, col = np.triu_indices(n, k=1)
    square[:, row, col] = square[:, col, row] = np.where(missing, np.nan, vectors)
    index = np.repeat(np.arange(n), counts.astype(int))
    row, col = np.triu_indices(len(index), k=1)
    return ToolboxRDMs(square[:, index][:, :, index][:, row, col])


@contextlib.contextmanager
def quiet():
    """Silence what rsatoolbox prints and warns."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def varied(data, counts, missing):
    """Whether no subject is constant in the resample: rsatoolbox calls that a similarity of 0."""
    n = len(counts)
    row, col = np.triu_indices(n, k=1)
    here = (counts[row] * counts[col] > 0) & ~missing
    return here.sum() > 2 and (np.ptp(data[:, here], axis=1) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_similarities_equal_those_of_rsatoolbox(method):
    n_compared = 0
    for seed in range(N_STUDIES):
        model, data, counts = study(seed, method)
        missing = np.isnan(data[0])
        ours = weighted_similarities(model, data, counts, method)
        for b, drawn in enumerate(counts):
            if not (varied(data, drawn, missing) and varied(model, drawn, missing)):
                continue
            sides = (resampled(v, drawn, missing) for v in (model, data))
            with quiet():
                theirs = toolbox_compare(*sides, method=THEIRS.get(method, method))
            n_compared += 1
            np.testing.assert_allclose(
                ours[b], theirs, rtol=0, atol=ATOL[method], err_msg=f"study {seed}, resample {b}"
            )
    assert n_compared > 4 * N_STUDIES


@pytest.mark.parametrize("method", METHODS)
def test_ceilings_equal_those_of_rsatoolbox(method):
    """All subjects, conditions drawn.

    Where subjects are drawn, rsatoolbox pools the different subjects of each sample, so that the
    pool is smaller than in the data; we keep the pool of the observed subjects (see
    `bootstrap.estimate`).
    """
    n_compared = 0
    for seed in range(N_STUDIES):
        _, data, counts = study(seed, method)
        missing = np.isnan(data[0])
        lower, upper = subject_ceilings(data, counts, method)
        for b, drawn in enumerate(counts):
            if not varied(data, drawn, missing):
                continue
            theirs = resampled(data, drawn, missing)
            theirs.rdm_descriptors["subject"] = list(range(len(data)))
            with quiet():
                expected = boot_noise_ceiling(theirs, THEIRS.get(method, method), "subject")
            if np.isnan([lower[b].mean(), upper[b].mean()]).any():
                continue  # a pool that is constant: 0 in rsatoolbox
            n_compared += 1
            np.testing.assert_allclose(
                [lower[b].mean(), upper[b].mean()],
                expected,
                rtol=0,
                atol=ATOL[method],
                err_msg=f"study {seed}, resample {b}",
            )
    assert n_compared > 4 * N_STUDIES
