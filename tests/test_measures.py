"""Measures against the reference loops, SciPy and rsatoolbox, and the laws they obey."""

import numpy as np
import pytest
import reference
from scipy.spatial.distance import pdist

from rsa_faces.rdm.measures import MEASURES, crossnobis

PLAIN = [name for name in MEASURES if name not in {"mahalanobis", "crossnobis"}]
ANGULAR = ["correlation", "cosine"]


def covariance_of(rng, n):
    root = rng.normal(size=(n, n))
    return root @ root.T / n + 0.5 * np.eye(n)


def random_case(measure, seed, dtype=np.float64):
    """Return arguments for a measure: small, of random size, with two equal conditions."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(2, 9)), int(rng.integers(2, 30)))
    patterns = rng.normal(size=shape) + rng.normal(size=(shape[0], 1))
    if measure == "poisson":
        patterns = rng.poisson(3.0, size=shape)
    if shape[0] > 2:
        patterns[1] = patterns[0]
    patterns = patterns.astype(dtype)
    if measure == "mahalanobis":
        return patterns, covariance_of(rng, shape[1])
    if measure == "crossnobis":
        folds = np.stack([patterns + rng.normal(size=shape) for _ in range(rng.integers(2, 5))])
        folds = folds.astype(dtype)
        several = np.stack([covariance_of(rng, shape[1]) for _ in folds])
        return folds, [None, several[0], several][seed % 3]
    return (patterns,)


def test_every_measure_has_a_reference():
    assert set(reference.MEASURES) == set(MEASURES)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("measure", MEASURES)
def test_reference(measure, seed, dtype):
    args = random_case(measure, seed, dtype)
    vector = MEASURES[measure](*args)
    assert vector.dtype == np.float64
    # The loop sees the same (float32 or float64) values; both sum in float64, so the precision of
    # the input does not matter. Solving with Σ costs a few digits more than a sum.
    tolerance = 1e-10 if measure in {"mahalanobis", "crossnobis"} else 1e-12
    np.testing.assert_allclose(vector, reference.MEASURES[measure](*args), tolerance, tolerance)


@pytest.mark.parametrize(
    ("measure", "scipy_name"),
    [("correlation", "correlation"), ("cosine", "cosine")]
    + [("euclidean", "euclidean"), ("sqeuclidean", "sqeuclidean")],
)
def test_scipy(measure, scipy_name):
    patterns = np.random.default_rng(3).normal(size=(40, 300)) + 2
    # Rounding of sums of 300 terms.
    np.testing.assert_allclose(MEASURES[measure](patterns), pdist(patterns, scipy_name), 1e-12)


def test_mahalanobis_scipy():
    rng = np.random.default_rng(0)
    patterns, covariance = rng.normal(size=(12, 20)), covariance_of(rng, 20)
    expected = pdist(patterns, "mahalanobis", VI=np.linalg.inv(covariance)) ** 2 / 20
    np.testing.assert_allclose(MEASURES["mahalanobis"](patterns, covariance), expected, 1e-9)


@pytest.mark.parametrize("measure", ["correlation", "euclidean", "poisson"])
def test_rsatoolbox(measure):
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    patterns = np.random.default_rng(1).gamma(2.0, size=(15, 60))
    expected = calc_rdm(Dataset(patterns), method=measure).dissimilarities[0]
    if measure == "euclidean":  # theirs is squared, over the number of channels
        expected = np.sqrt(expected * 60)
    np.testing.assert_allclose(MEASURES[measure](patterns), expected, rtol=1e-10)


@pytest.mark.parametrize("noise", [False, True])
def test_rsatoolbox_mahalanobis_and_crossnobis(noise):
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    rng = np.random.default_rng(2)
    n_folds, n_conditions, n_channels = 4, 6, 10
    folds = rng.normal(size=(n_folds, n_conditions, n_channels))
    covariance = covariance_of(rng, n_channels) if noise else np.eye(n_channels)
    data = Dataset(
        folds.reshape(-1, n_channels),
        obs_descriptors={
            "condition": np.tile(np.arange(n_conditions), n_folds),
            "run": np.repeat(np.arange(n_folds), n_conditions),
        },
    )
    precision = np.linalg.inv(covariance)
    options = {"descriptor": "condition", "noise": precision}
    theirs = calc_rdm(data, method="crossnobis", cv_descriptor="run", **options)
    # Inverting Σ here, triangular solves in ours: agreement to the condition number.
    np.testing.assert_allclose(
        crossnobis(folds, covariance), theirs.dissimilarities[0], rtol=1e-9, atol=1e-12
    )
    theirs = calc_rdm(data, method="mahalanobis", **options)
    ours = MEASURES["mahalanobis"](folds.mean(axis=0), covariance)
    np.testing.assert_allclose(ours, theirs.dissimilarities[0], rtol=1e-9)


# --- laws ----------------------------------------------------------------------------------------


def permuted_channels(args, order):
    patterns = args[0][..., order]
    if len(args) == 2 and args[1] is not None:
        return patterns, args[1][..., order, :][..., order]
    return (patterns, *args[1:])


@pytest.mark.parametrize("measure", MEASURES)
def test_order_of_channels_does_not_matter(measure):
    args = random_case(measure, 4)
    order = np.random.default_rng(0).permutation(args[0].shape[-1])
    shuffled = permuted_channels(args, order)
    np.testing.assert_allclose(MEASURES[measure](*args), MEASURES[measure](*shuffled), atol=1e-10)


@pytest.mark.parametrize("measure", MEASURES)
def test_permuting_conditions_permutes_pairs(measure):
    from scipy.spatial.distance import squareform

    args = random_case(measure, 8)
    order = np.random.default_rng(1).permutation(args[0].shape[-2])
    square = squareform(MEASURES[measure](*args), checks=False)
    permuted = MEASURES[measure](args[0][..., order, :], *args[1:])
    expected = squareform(square[np.ix_(order, order)], checks=False)
    np.testing.assert_allclose(permuted, expected, atol=1e-12)


@pytest.mark.parametrize("measure", ["euclidean", "sqeuclidean", "cosine", "crossnobis"])
def test_rotation_leaves_distances(measure):
    patterns = np.random.default_rng(5).normal(size=(3, 7, 12))
    rotation = np.linalg.qr(np.random.default_rng(6).normal(size=(12, 12)))[0]
    patterns = patterns if measure == "crossnobis" else patterns[0]
    function = MEASURES[measure]
    np.testing.assert_allclose(function(patterns @ rotation), function(patterns), atol=1e-12)


def test_invariances_of_angular_measures():
    rng = np.random.default_rng(7)
    patterns, gain = rng.normal(size=(8, 30)), rng.uniform(0.1, 10, size=(8, 1))
    offset = rng.normal(size=(8, 1))
    for name, changed in (("correlation", gain * patterns + offset), ("cosine", gain * patterns)):
        np.testing.assert_allclose(MEASURES[name](changed), MEASURES[name](patterns), atol=1e-13)
    assert not np.allclose(MEASURES["cosine"](patterns + offset), MEASURES["cosine"](patterns))


def test_mahalanobis_is_euclidean_of_whitened_patterns_and_identity_is_scaled_squares():
    patterns = np.random.default_rng(8).normal(size=(6, 9))
    ours = MEASURES["mahalanobis"](patterns, np.eye(9))
    np.testing.assert_allclose(ours, MEASURES["sqeuclidean"](patterns) / 9, rtol=1e-14)
    transform = np.random.default_rng(9).normal(size=(9, 9))
    changed = MEASURES["mahalanobis"](patterns @ transform, transform.T @ transform)
    np.testing.assert_allclose(changed, ours, rtol=1e-8)  # the condition number of the transform


def test_crossnobis_of_equal_folds_is_the_squared_distance_and_noise_averages_out():
    patterns = np.random.default_rng(10).normal(size=(6, 9))
    equal = crossnobis(np.stack([patterns] * 3))
    np.testing.assert_allclose(equal, MEASURES["sqeuclidean"](patterns) / 9, rtol=1e-12)
    noise = np.random.default_rng(11).normal(size=(400, 2, 5, 20))
    values = np.array([crossnobis(folds) for folds in noise])
    assert (values < 0).mean() > 0.4
    # Mean of the 400 × 10 values within 4 standard errors of 0 (of the 400 independent means).
    means = values.mean(axis=1)
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(len(means))


# --- numerics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("measure", PLAIN)
def test_equal_patterns_have_distance_zero(measure, dtype):
    rng = np.random.default_rng(12)
    patterns = rng.gamma(2.0, size=(1, 501)).astype(dtype) * np.ones((5, 1), dtype)
    if measure == "poisson":  # products of rates and logarithms cancel: up to rounding
        assert MEASURES[measure](patterns) == pytest.approx(0, abs=1e-12)
    else:
        assert (MEASURES[measure](patterns) == 0).all()


def test_multiples_of_a_pattern_have_angular_distance_zero():
    pattern = np.random.default_rng(13).normal(size=200)
    patterns = np.stack([pattern, 3 * pattern, 1e-5 * pattern, -pattern])
    for measure in ANGULAR:
        vector = MEASURES[measure](patterns)
        assert vector[[0, 1, 3]] == pytest.approx(0, abs=1e-15)
        assert (vector >= 0).all()
        assert vector[[2, 4, 5]] == pytest.approx(2, abs=1e-14)
        assert (vector <= 2).all()


@pytest.mark.parametrize("offset", [1e3, 1e6])
@pytest.mark.parametrize("measure", ["euclidean", "sqeuclidean", "correlation", "crossnobis"])
def test_large_common_offset(measure, offset):
    """An offset costs the digits that adding it cost the data, no more: the loop sees those too."""
    patterns = np.random.default_rng(14).normal(size=(3, 10, 64)) + offset
    patterns = patterns if measure == "crossnobis" else patterns[0]
    # A few rounding errors of the offset, in differences of order 1.
    np.testing.assert_allclose(
        MEASURES[measure](patterns),
        reference.MEASURES[measure](patterns),
        rtol=1e-15 * offset,
        atol=1e-15 * offset,
    )


def test_rounding_leaves_no_value_out_of_range():
    rng = np.random.default_rng(19)
    pattern = rng.gamma(2.0, size=17)
    for measure in ANGULAR:
        vector = MEASURES[measure](pattern * rng.normal(size=(50, 1)))
        assert (vector >= 0).all()
        assert (vector <= 2).all()
    nearly_equal = pattern * (1 + 1e-9 * rng.normal(size=(50, 17)))
    assert (MEASURES["poisson"](nearly_equal) >= 0).all()


def test_nearby_patterns_keep_their_digits():
    """Squared distances far below the norms: the Gram matrix alone would lose every digit."""
    rng = np.random.default_rng(15)
    patterns = rng.normal(size=(6, 50))
    patterns[1] = patterns[0] + 1e-9 * rng.normal(size=50)
    for measure in ("euclidean", "sqeuclidean", "correlation", "cosine"):
        expected = reference.MEASURES[measure](patterns)
        if measure in ANGULAR:  # 1 − r of the reference is itself rounded at 1e-16
            assert 0 < MEASURES[measure](patterns)[0] < 1e-16
        else:
            np.testing.assert_allclose(MEASURES[measure](patterns), expected, rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_scale_of_patterns(scale):
    patterns = np.random.default_rng(16).normal(size=(5, 40))
    for measure in ANGULAR:
        expected = MEASURES[measure](patterns)
        np.testing.assert_allclose(MEASURES[measure](scale * patterns), expected, atol=1e-13)


def test_undefined_pairs_are_nan_and_do_not_spread():
    patterns = np.random.default_rng(17).normal(size=(5, 20))
    patterns[2] = 0.1  # its mean is not exactly 0.1 in floating point
    pairs = np.array(reference._pairs(5))
    touched = (pairs == 2).any(axis=1)
    np.testing.assert_array_equal(np.isnan(MEASURES["correlation"](patterns)), touched)
    assert np.isfinite(MEASURES["cosine"](patterns)).all()
    patterns[2] = 0.0
    np.testing.assert_array_equal(np.isnan(MEASURES["cosine"](patterns)), touched)
    np.testing.assert_allclose(
        MEASURES["cosine"](patterns)[~touched],
        MEASURES["cosine"](np.delete(patterns, 2, axis=0)),
        rtol=1e-13,
    )


def test_one_channel():
    patterns = np.array([[1.0], [2.0], [4.0]])
    assert np.isnan(MEASURES["correlation"](patterns)).all()
    assert MEASURES["cosine"](patterns) == pytest.approx(0)
    assert MEASURES["euclidean"](patterns) == pytest.approx([1, 3, 2])


@pytest.mark.parametrize("measure", PLAIN)
def test_blocks_of_channels_change_nothing(measure, monkeypatch):
    (patterns,) = random_case(measure, 20)
    whole = MEASURES[measure](patterns)
    before = patterns.copy()
    monkeypatch.setattr("rsa_faces.rdm._products._BLOCK_BYTES", 8 * len(patterns) * 3)
    np.testing.assert_allclose(MEASURES[measure](patterns), whole, atol=1e-13)
    np.testing.assert_array_equal(patterns, before)


def test_poisson_refuses_negative_rates():
    with pytest.raises(ValueError, match=r"at least 0 .* got -0.25"):
        MEASURES["poisson"](np.array([[1.0, -0.25], [2.0, 3.0]]))
