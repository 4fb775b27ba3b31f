"""How often permutations reach what was observed, and Student's t: the one place of each."""

import numpy as np
import pytest
from scipy import stats

from rsa_faces._core.chance import p_of, reached
from rsa_faces._core.student import half_width, jackknife_error, t_test


@pytest.mark.parametrize("seed", range(5))
def test_p_is_the_share_of_permutations_that_reach(seed):
    rng = np.random.default_rng(seed)
    observed = np.round(rng.normal(size=(3, 2)), 1)  # with ties
    null = np.round(rng.normal(size=(3, 2, 39)), 1)
    alone, together = p_of(observed, null)
    for i in np.ndindex(3, 2):
        n, m = 0, 0
        for k in range(39):
            n += null[i][k] >= observed[i]
            m += max(null[j][k] for j in np.ndindex(3, 2)) >= observed[i]
        assert (alone[i], together[i]) == ((1 + n) / 40, (1 + m) / 40)


def test_what_is_equal_but_for_rounding_counts_as_reached():
    parts = np.array([0.1, 0.2, 0.3])
    one, other = parts.sum(), parts[::-1].sum()
    assert one != other
    for scale in (1, -1, 1e8, -1e8):
        assert reached([scale * one, scale * other], scale * max(one, other, key=abs)).all()
    # A difference of large numbers: their digits count, not those of the difference.
    left = 1e6 + 0.1 - 1e6
    assert reached(left, 0.1, 2e6)
    assert not reached(left, 0.1)


def test_what_is_undefined_is_never_rare():
    # An undefined value has no p; it is not the smallest one that there is.
    alone, together = p_of([np.nan, 0.5], [[9.0] * 19, [0.0] * 19])
    assert np.isnan([alone[0], together[0]]).all()
    # Nor does what is undefined in a permutation, or always, make others rare.
    assert (alone[1], together[1]) == (0.05, 0.05)
    alone, together = p_of([0.5, 0.5], [[np.nan] * 19, [0.0] * 19])
    assert alone.tolist() == [1.0, 0.05]
    assert together.tolist() == [1.0, 1.0]
    assert np.isnan(p_of([0.5, 0.1], np.empty((2, 0)))).all()


def test_t_of_a_mean_and_its_jackknife():
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 1, (9, 3))
    n, mean, sem = len(values), values.mean(axis=0), stats.sem(values)
    left_out = np.array([np.delete(values, i, axis=0).mean(axis=0) for i in range(n)])
    np.testing.assert_allclose(jackknife_error(left_out), sem)
    np.testing.assert_allclose(t_test(mean, sem, n - 1), stats.ttest_1samp(values, 0).pvalue)
    for tail in ("greater", "less"):
        expected = stats.ttest_1samp(values, 0, alternative=tail).pvalue
        np.testing.assert_allclose(t_test(mean, sem, n - 1, tail), expected)
    low, high = stats.t.interval(0.9, n - 1, mean, sem)
    half = half_width(sem, n - 1, 0.1)
    np.testing.assert_allclose([mean - half, mean + half], [low, high])
    assert np.isnan(half_width(1.0, 0))
    assert np.isnan(t_test(0.0, 0.0, 5))
