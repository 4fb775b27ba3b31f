"""Distances from one pass over channels: exact whatever patterns share or how long they are."""

import numpy as np
import pytest

from rsa_faces.rdm import MEASURES, _products

N, P = 14, 9000  # two whole blocks of channels and a part of one


def exact(patterns, measure):
    """The definition, in extended precision, from differences."""
    x = patterns.astype(np.longdouble)
    if measure == "correlation":
        x = x - x.mean(axis=1, keepdims=True)
    if measure != "sqeuclidean":
        x = x / np.sqrt((x**2).sum(axis=1, keepdims=True))
    row, col = np.triu_indices(len(x), k=1)
    squared = ((x[row] - x[col]) ** 2).sum(axis=1)
    return np.asarray(squared if measure == "sqeuclidean" else squared / 2, np.float64)


def cases():
    rng = np.random.default_rng(0)

    def noise():
        return rng.normal(size=(N, P))

    base = rng.normal(size=P)
    return {
        "rectified": np.maximum(noise(), 0),
        "nearly the same": base + 1e-3 * noise(),
        "far from zero": 300 + noise(),
        "offset of rows": 10.0 * np.arange(N)[:, None] + noise(),
        "length of rows": np.logspace(-3, 3, N)[:, None] * noise(),
        "length of rows, shared": np.logspace(-1, 1, N)[:, None] * (base + 0.1 * noise()),
        "a short row": np.r_[1e-4 * noise()[:1], noise()[1:]],
        "a trend over channels": np.linspace(-50, 50, P) + noise(),
        "copies": np.repeat(noise()[: N // 2], 2, axis=0),
        "multiples": np.repeat(noise()[: N // 2], 2, axis=0) * np.tile([1, 3], N // 2)[:, None],
        "overflow in float32": 1e25 * noise(),
    }


@pytest.mark.parametrize("measure", ["sqeuclidean", "correlation", "cosine"])
@pytest.mark.parametrize("case", cases())
def test_equals_the_definition_in_extended_precision(case, measure):
    patterns = cases()[case].astype(np.float32)
    expected = exact(patterns, measure)
    scale = expected.max()
    np.testing.assert_allclose(MEASURES[measure](patterns), expected, rtol=1e-7, atol=1e-11 * scale)
    np.testing.assert_allclose(
        MEASURES[measure](patterns, single=True), expected, rtol=3e-5, atol=2e-6 * scale
    )
    if case == "copies":
        row, col = np.triu_indices(N, k=1)
        same = row // 2 == col // 2
        for single in (False, True):
            assert (MEASURES[measure](patterns, single=single)[same] == 0).all()


@pytest.mark.parametrize("measure", ["correlation", "cosine"])
@pytest.mark.parametrize("single", [False, True])
def test_a_short_pattern_changes_no_other_distance(single, measure):
    """Whatever sign rounding gives to what is left of its length."""
    rng = np.random.default_rng(0)
    for exponent in range(3, 14):
        patterns = rng.normal(size=(N, 50))
        patterns[0] *= 10.0**-exponent
        patterns = patterns.astype(np.float32)
        found = MEASURES[measure](patterns, single=single)
        np.testing.assert_allclose(found, exact(patterns, measure), rtol=3e-5, atol=4e-6)


@pytest.mark.parametrize("single", [False, True])
def test_patterns_without_direction_are_nan_and_do_not_spread(single):
    patterns = np.random.default_rng(1).normal(size=(6, P)).astype(np.float32)
    whole = MEASURES["correlation"](patterns, single=single)
    patterns[2] = 0.1
    touched = (np.array(np.triu_indices(6, k=1)) == 2).any(axis=0)
    found = MEASURES["correlation"](patterns, single=single)
    np.testing.assert_array_equal(np.isnan(found), touched)
    np.testing.assert_allclose(found[~touched], whole[~touched], rtol=1e-6)
    patterns[2] = 0
    np.testing.assert_array_equal(np.isnan(MEASURES["cosine"](patterns, single=single)), touched)
    patterns[2, -1] = 1e-20
    assert np.isfinite(MEASURES["cosine"](patterns, single=single)).all()


@pytest.mark.parametrize("single", [False, True])
def test_nan_gives_nan(single):
    patterns = np.random.default_rng(2).normal(size=(6, P)).astype(np.float32)
    patterns[1, -1] = np.nan
    for measure in ("sqeuclidean", "correlation", "cosine"):
        assert np.isnan(MEASURES[measure](patterns, single=single)).all()


@pytest.mark.parametrize("single", [False, True])
def test_threads_change_no_bit(single):
    from threadpoolctl import threadpool_limits

    patterns = np.random.default_rng(3).normal(size=(30, 40_000)).astype(np.float32)
    found = []
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads):
            found.append(MEASURES["correlation"](patterns, single=single))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_very_many_conditions_are_not_split(monkeypatch):
    patterns = np.random.default_rng(4).normal(size=(30, P)).astype(np.float32)
    expected = MEASURES["cosine"](patterns)
    monkeypatch.setattr(_products, "_MANY", 10)
    np.testing.assert_allclose(MEASURES["cosine"](patterns), expected, rtol=1e-12)


class OnDisk:
    """Patterns that come in slabs of channels."""

    def __init__(self, patterns, width):
        self.patterns, self.width, self.shape = patterns, width, patterns.shape

    def __len__(self):
        return len(self.patterns)

    def slabs(self):
        for start in range(0, self.shape[1], self.width):
            yield self.patterns[:, start : start + self.width]


@pytest.mark.parametrize("measure", ["sqeuclidean", "correlation", "cosine", "poisson"])
def test_patterns_in_slabs_give_the_same(measure):
    patterns = np.random.default_rng(5).gamma(2, size=(9, P))
    patterns[4] = patterns[3]
    np.testing.assert_allclose(
        MEASURES[measure](OnDisk(patterns, 1000)),
        MEASURES[measure](patterns),
        rtol=1e-12,
        atol=1e-15,
    )
