"""Noise covariance against the reference loops, scikit-learn and rsatoolbox."""

import numpy as np
import pytest
import reference
from sklearn.covariance import ledoit_wolf

from rsa_faces.rdm import NOISE_METHODS, noise_covariance


def residuals_of(seed, n=30, p=12):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)) @ rng.normal(size=(p, p))


def test_every_method_has_a_reference():
    assert set(reference.NOISE_METHODS) == set(NOISE_METHODS)


@pytest.mark.parametrize("shape", [(30, 12), (8, 20), (200, 3), (3, 2)])
@pytest.mark.parametrize("n_estimated", [0, 1])
@pytest.mark.parametrize("method", NOISE_METHODS)
def test_reference(method, n_estimated, shape):
    residuals = residuals_of(1, *shape)
    noise = noise_covariance(residuals, method=method, n_estimated=n_estimated)
    freedom = len(residuals) - n_estimated
    covariance, shrinkage = reference.NOISE_METHODS[method](residuals, freedom)
    np.testing.assert_allclose(noise.covariance, covariance, rtol=1e-10, atol=1e-12)
    assert noise.shrinkage == pytest.approx(shrinkage, rel=1e-9)
    assert noise.method == method


@pytest.mark.parametrize("shape", [(50, 10), (10, 25)])
def test_ledoit_wolf_is_that_of_scikit_learn(shape):
    residuals = residuals_of(2, *shape)
    covariance, shrinkage = ledoit_wolf(residuals, assume_centered=True)
    noise = noise_covariance(residuals)
    np.testing.assert_allclose(noise.covariance, covariance, rtol=1e-10)
    assert noise.shrinkage == pytest.approx(shrinkage, rel=1e-10)


def test_rsatoolbox():
    from rsatoolbox.data.noise import cov_from_residuals

    residuals = residuals_of(3, n=60, p=8)
    residuals -= residuals.mean(axis=0)  # theirs takes out the mean
    theirs = cov_from_residuals(residuals, dof=50, method="shrinkage_eye")
    ours = noise_covariance(residuals, n_estimated=10).covariance
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    # Their diagonal target divides the mean products by n − 1 where Schäfer & Strimmer have n, so
    # that only the shrinkage differs, by a few percent, and the variances agree.
    theirs = cov_from_residuals(residuals, dof=59, method="shrinkage_diag")
    ours = noise_covariance(residuals, method="schaefer-strimmer", n_estimated=1)
    np.testing.assert_allclose(np.diag(ours.covariance), np.diag(theirs), rtol=1e-12)
    sample = residuals.T @ residuals / 59
    their_shrinkage = 1 - theirs[0, 1] / sample[0, 1]
    assert ours.shrinkage == pytest.approx(their_shrinkage, rel=0.06)


@pytest.mark.parametrize("method", NOISE_METHODS)
def test_invertible_with_fewer_observations_than_channels(method):
    noise = noise_covariance(residuals_of(4, n=10, p=40), method=method)
    assert 0 < noise.shrinkage <= 1
    assert np.linalg.eigvalsh(noise.covariance)[0] > 0
    np.testing.assert_array_equal(noise.covariance, noise.covariance.T)


@pytest.mark.parametrize("method", NOISE_METHODS)
def test_many_observations_give_the_true_covariance(method):
    root = np.random.default_rng(5).normal(size=(4, 4))
    residuals = np.random.default_rng(6).normal(size=(20000, 4)) @ root.T
    noise = noise_covariance(residuals, method=method)
    # Standard error of a variance from 20,000 draws: 1 %.
    np.testing.assert_allclose(noise.covariance, root @ root.T, rtol=0.05, atol=0.05)
    assert noise.shrinkage < 0.01


def test_methods_shrink_towards_their_targets():
    rng = np.random.default_rng(7)
    residuals = rng.normal(size=(6, 50)) * np.linspace(1, 3, 50)
    diagonal = noise_covariance(residuals, method="schaefer-strimmer").covariance
    np.testing.assert_allclose(np.diag(diagonal), (residuals**2).mean(axis=0), rtol=1e-12)
    even = np.diag(noise_covariance(residuals, method="ledoit-wolf").covariance)
    assert np.ptp(even) < np.ptp(np.diag(diagonal))


@pytest.mark.parametrize("method", NOISE_METHODS)
def test_one_channel(method):
    noise = noise_covariance(np.array([[1.0], [2.0], [-3.0]]), method=method, n_estimated=1)
    assert noise.covariance == pytest.approx(np.array([[7.0]]))


@pytest.mark.parametrize(
    ("residuals", "options", "message"),
    [
        (np.ones(3), {}, r"shape \(3,\)"),
        (np.array([[1.0, np.nan], [2, 3]]), {}, "with 1 values not finite"),
        (np.ones((3, 2)), {"n_estimated": 2}, "got 3 observations minus 2 estimated"),
        (np.array([[1.0, 0], [2, 0], [1, 0]]), {}, "1 of 2 have none .* channel 1"),
        (np.ones((3, 2)), {"method": "ledoitwolf"}, "'ledoitwolf'.*'ledoit-wolf'"),
    ],
)
def test_doors(residuals, options, message):
    with pytest.raises(ValueError, match=message):
        noise_covariance(residuals, **options)
