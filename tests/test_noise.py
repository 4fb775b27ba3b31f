"""Noise covariance against the reference loops, scikit-learn and rsatoolbox."""

import nibabel
import numpy as np
import pytest
import reference
from sklearn.covariance import ledoit_wolf

import rsa_faces as rf
from rsa_faces.brain import load_patterns
from rsa_faces.mapping import searchlight
from rsa_faces.rdm import MEASURES, NOISE_METHODS, compute_rdms, noise_covariance, rdm_movie
from rsa_faces.rdm.noise import NOISE_FROM, Freedom


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
    theirs = cov_from_residuals(residuals, dof=60, method="shrinkage_eye")
    ours = noise_covariance(residuals).covariance
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    # With fewer degrees of freedom only the scale follows theirs: their shrinkage is that of 60
    # free rows, too small (see the oracle below).
    theirs = cov_from_residuals(residuals, dof=50, method="shrinkage_eye")
    ours = noise_covariance(residuals, n_estimated=10)
    assert np.trace(ours.covariance) == pytest.approx(np.trace(theirs), rel=1e-12)
    assert ours.shrinkage > noise_covariance(residuals).shrinkage
    # Their diagonal target divides the mean products by n − 1 where Schäfer & Strimmer have n, so
    # that only the shrinkage differs, by a few percent, and the variances agree.
    theirs = cov_from_residuals(residuals, dof=59, method="shrinkage_diag")
    ours = noise_covariance(residuals, method="schaefer-strimmer", n_estimated=1)
    np.testing.assert_allclose(np.diag(ours.covariance), np.diag(theirs), rtol=1e-12)
    sample = residuals.T @ residuals / 59
    their_shrinkage = 1 - theirs[0, 1] / sample[0, 1]
    assert ours.shrinkage == pytest.approx(their_shrinkage, rel=0.06)


def test_schaefer_strimmer_is_the_published_formula():
    x = residuals_of(9, n=20, p=5)
    x = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    w = x[:, :, None] * x[:, None, :]
    variance = 20 / 19**3 * ((w - w.mean(axis=0)) ** 2).sum(axis=0)
    off = ~np.eye(5, dtype=bool)
    expected = variance[off].sum() / (np.corrcoef(x.T)[off] ** 2).sum()
    noise = noise_covariance(x, method="schaefer-strimmer", n_estimated=1)
    assert noise.shrinkage == pytest.approx(min(1, expected), rel=1e-12)


def correlated(p):
    """Return the covariance of channels that decay with distance and differ in variance."""
    apart = np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    scale = np.linspace(0.6, 1.4, p)
    return np.exp(-apart / 3) * np.outer(scale, scale)


def deviations_of_repeats(rows, n_repeats=2):
    """Return residuals of conditions with repeats, and how many means were estimated."""
    repeats = rows.reshape(-1, n_repeats, rows.shape[1])
    return (repeats - repeats.mean(axis=1, keepdims=True)).reshape(rows.shape), len(repeats)


@pytest.mark.parametrize("method", NOISE_METHODS)
def test_the_same_scatter_has_the_same_shrinkage_however_many_rows_carry_it(method):
    rows = np.random.default_rng(1).normal(size=(120, 27)) @ np.linalg.cholesky(correlated(27)).T
    residuals, n_estimated = deviations_of_repeats(rows)
    contrasts = (rows[::2] - rows[1::2]) / np.sqrt(2)
    np.testing.assert_allclose(residuals.T @ residuals, contrasts.T @ contrasts, atol=1e-12)
    of_repeats = noise_covariance(residuals, method=method, n_estimated=n_estimated)
    of_rows = noise_covariance(contrasts, method=method)
    assert of_repeats.shrinkage == pytest.approx(of_rows.shrinkage, rel=1e-12)
    np.testing.assert_allclose(of_repeats.covariance, of_rows.covariance, rtol=1e-10)
    cells = np.repeat(np.eye(60), 2, axis=0)
    of_design = noise_covariance(residuals, method=method, design=cells)
    assert of_design.shrinkage == pytest.approx(of_rows.shrinkage, rel=1e-10)
    assert of_design.freedom == of_repeats.freedom == of_rows.freedom == 60


def test_degrees_of_freedom_of_a_design():
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(7), [1, 2, 2, 3, 4, 5, 6])
    cells = np.eye(7)[codes]
    a, b = Freedom.of_cells(codes), Freedom.of_design(cells)
    assert a.number == b.number == len(codes) - 7
    assert a.squares == pytest.approx(b.squares, rel=1e-12)
    design = rng.normal(size=(30, 4))
    design = np.column_stack([design, design[:, 0] + design[:, 1]])  # of rank 4
    hat = design @ np.linalg.pinv(design)
    got = Freedom.of_design(design)
    assert got.number == 26
    assert got.squares == pytest.approx(((1 - np.diag(hat)) ** 2).sum(), rel=1e-10)


@pytest.mark.parametrize("source", ["2 repeats", "3 repeats", "regression", "unequal repeats"])
def test_shrinkage_is_that_of_the_oracle(source):
    """The best shrinkage of Ledoit & Wolf is known where the covariance is."""
    p, freedom, n_studies = 27, 60, 150
    truth = correlated(p)
    root = np.linalg.cholesky(truth)
    rng = np.random.default_rng(0)
    design = rng.normal(size=(120, 60))
    if source == "unequal repeats":
        design = np.eye(30)[np.repeat(np.arange(30), [1] * 10 + [2] * 10 + [6] * 10)]
    basis = np.linalg.qr(design)[0]
    near, far, free = [], [], []
    ours = {method: [] for method in NOISE_METHODS}
    rows = {method: [] for method in NOISE_METHODS}
    for _ in range(n_studies):
        if source.endswith(" repeats") and source[0].isdigit():
            k = int(source[0])
            noise = rng.normal(size=(freedom // (k - 1) * k, p)) @ root.T
            residuals, n_estimated = deviations_of_repeats(noise, k)
            options = {"n_estimated": n_estimated}
        else:
            noise = rng.normal(size=(len(design), p)) @ root.T
            residuals, options = noise - basis @ (basis.T @ noise), {"design": design}
        free = rng.normal(size=(freedom, p)) @ root.T
        for method in NOISE_METHODS:
            estimate = noise_covariance(residuals, method=method, **options)
            assert estimate.freedom == freedom
            ours[method].append(estimate.shrinkage)
            rows[method].append(noise_covariance(free, method=method).shrinkage)
        sample = residuals.T @ residuals / freedom
        target = np.trace(sample) / p * np.eye(p)
        # The weight λ that brings (1 − λ) S + λ T nearest to the truth.
        near.append(((sample - target) * (sample - truth)).sum())
        far.append(((sample - target) ** 2).sum())
    # Rows taken for degrees of freedom: .09 to .12 instead of .17 here, and .025 to .06 of .20.
    assert np.mean(ours["ledoit-wolf"]) == pytest.approx(np.sum(near) / np.sum(far), abs=0.015)
    for method in NOISE_METHODS:
        assert np.mean(ours[method]) == pytest.approx(np.mean(rows[method]), abs=0.01)


def test_noise_objects_are_taken_wherever_a_covariance_is():
    rng = np.random.default_rng(2)
    patterns, folds = rng.normal(size=(12, 5)), np.repeat([1, 2, 3], 4)
    conditions = list("abcd") * 3
    noises = [noise_covariance(rng.normal(size=(30, 5))) for _ in range(3)]

    def crossnobis(noise):
        return compute_rdms(
            patterns, measure="crossnobis", conditions=conditions, folds=folds, noise=noise
        )

    one = crossnobis(noises[0])
    np.testing.assert_array_equal(one.vectors, crossnobis(noises[0].covariance).vectors)
    assert one.labels["shrinkage"].tolist() == [noises[0].shrinkage]
    each = crossnobis(noises)
    stacked = crossnobis(np.stack([n.covariance for n in noises]))
    np.testing.assert_array_equal(each.vectors, stacked.vectors)
    assert each.labels["shrinkage"].iloc[0] == pytest.approx(np.mean([n.shrinkage for n in noises]))
    distances = MEASURES["mahalanobis"](patterns[:4], noises[0])
    mahalanobis = compute_rdms(
        patterns[:4], measure="mahalanobis", conditions=list("abcd"), noise=noises[0]
    )
    np.testing.assert_array_equal(mahalanobis.vectors[0], distances)
    movie = rdm_movie(
        patterns[:, :, None],
        times=[0.0],
        measure="crossnobis",
        conditions=conditions,
        folds=folds,
        noise=noises[0],
    )
    np.testing.assert_array_equal(movie.vectors, one.vectors)
    assert repr(noises[0]) == (
        f"NoiseCovariance(5 channels, 'ledoit-wolf', shrinkage {noises[0].shrinkage:.3f}, 30 "
        "degrees of freedom)"
    )


@pytest.mark.parametrize("method", NOISE_METHODS)
@pytest.mark.parametrize("noise_from", NOISE_FROM)
@pytest.mark.parametrize("given", ["residuals", "repeats"])
def test_a_region_and_a_searchlight_of_it_have_the_same_noise(given, noise_from, method):
    """The 27 voxels of a region are those of the sphere around its middle."""
    rng = np.random.default_rng(5)
    root = np.linalg.cholesky(correlated(27))
    affine = np.diag([3.0, 3, 3, 1])
    names = [f"image {i}" for i in range(8)]
    n_repeats = 2 if given == "repeats" else 1
    conditions = names * 3 * n_repeats
    folds = np.repeat(["run 1", "run 2", "run 3"], 8 * n_repeats).tolist()
    model = rf.RDMs(rng.random(28), names, "simulated", {"name": ["model"]})
    mask = nibabel.Nifti1Image(np.ones((3, 3, 3), np.uint8), affine)

    def image(n, scale=1.0):
        values = scale * rng.normal(size=(n, 27)) @ root.T
        return nibabel.Nifti1Image(values.T.reshape(3, 3, 3, n), affine)

    img = image(len(conditions))
    left = {f"run {i}": image(20 + 10 * i, scale=i) for i in (3, 1, 2)}
    options = {"residuals": left, "n_estimated": {"run 1": 9, "run 2": 10, "run 3": 12}}
    options = options if given == "residuals" else {}
    patterns = load_patterns(img, conditions, folds=folds, mask_img=mask, **options)
    of_region = patterns.rdms(noise=method, noise_from=noise_from)
    expected = rf.compare(model, of_region, method="pearson")
    maps = searchlight(
        img,
        conditions=conditions,
        models=model,
        mask_img=mask,
        radius=9.0,
        folds=folds,
        measure="crossnobis",
        method="pearson",
        noise=method,
        noise_from=noise_from,
        progress=False,
        **options,
    )
    middle = np.flatnonzero(maps.n_voxels == 27)
    assert len(middle)
    np.testing.assert_allclose(maps.similarity[0, middle], float(expected.squeeze()), rtol=1e-9)
    if noise_from == "all":  # the default, of both
        default = patterns.rdms(noise=method)
        np.testing.assert_array_equal(default.vectors, of_region.vectors)


def test_doors_of_noise_from():
    patterns, conditions, folds = (
        np.random.default_rng(0).normal(size=(8, 3)),
        list("abcd") * 2,
        [1] * 4 + [2] * 4,
    )
    with pytest.raises(ValueError, match="only crossnobis takes a noise covariance for each"):
        compute_rdms(
            patterns,
            measure="mahalanobis",
            conditions=conditions,
            noise="ledoit-wolf",
            noise_from="fold",
        )
    with pytest.raises(ValueError, match="unknown noise_from 'run'"):
        compute_rdms(
            patterns,
            measure="crossnobis",
            conditions=conditions,
            folds=folds,
            noise="ledoit-wolf",
            noise_from="run",
        )
    img = nibabel.Nifti1Image(np.random.default_rng(1).normal(size=(2, 2, 2, 8)), np.eye(4))
    left = nibabel.Nifti1Image(np.random.default_rng(2).normal(size=(2, 2, 2, 20)), np.eye(4))
    together = load_patterns(img, conditions, folds=folds, residuals=left)
    with pytest.raises(ValueError, match="got those of all folds together"):
        together.rdms(noise="ledoit-wolf", noise_from="fold")


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
        (np.ones((3, 2)), {"design": np.ones((4, 1))}, r"shape \(3, n_regressors\).*\(4, 1\)"),
        (np.ones((3, 2)), {"design": np.ones((3, 1)), "n_estimated": 1}, "got both"),
        (np.ones((3, 2)), {"method": "ledoitwolf"}, "'ledoitwolf'.*'ledoit-wolf'"),
    ],
)
def test_doors(residuals, options, message):
    with pytest.raises(ValueError, match=message):
        noise_covariance(residuals, **options)
