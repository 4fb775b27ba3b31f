"""Searchlight maps: every centre against an obvious loop, and against two other packages."""

import dataclasses
import warnings

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from scipy.stats import t as t_distribution

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.brain import Surface, Volume, fsaverage
from rsa_faces.datasets import simulated_brain, simulated_layers
from rsa_faces.mapping import (
    SearchlightMap,
    best_model_map,
    ceiling_map,
    group_test,
    mean_map,
    peak_table,
    searchlight,
    to_cifti,
    write_map,
)

NAMES = [f"c{i:02d}" for i in range(9)]
AFFINE = np.array([[2.9, 0.4, 0, -20], [-0.4, 2.9, 0.2, 10], [0, -0.2, 3.5, 5], [0, 0, 0, 1]])


def models_of(rng, n=3, names=NAMES):
    """Random models, the last one with ties."""
    vectors = rng.random((n, len(names) * (len(names) - 1) // 2))
    vectors[-1] = np.round(vectors[-1] * 3)
    return rf.RDMs(vectors, names, "simulated", {"name": [f"m{i}" for i in range(n)]})


def brain_of(rng, n_volumes=9, shape=(6, 5, 4)):
    """Image and ragged mask; some voxels in the mask are NaN, infinite or constant."""
    data = rng.normal(size=(*shape, n_volumes))
    mask = rng.random(shape) < 0.75
    inside = np.argwhere(mask)
    for voxel, value in zip(rng.permutation(inside)[:9], [np.nan, np.inf, 7.0] * 3, strict=True):
        data[tuple(voxel)] = value
    partly = tuple(inside[0])
    data[partly][0] = np.nan
    return (
        nibabel.Nifti1Image(data, AFFINE),
        nibabel.Nifti1Image(mask.astype(np.uint8), AFFINE),
    )


def loop(img, mask, names, models, radius, method, min_voxels=5, **options):
    """The obvious loop: one centre after the other, by the package's own single steps."""
    data, inside = img.get_fdata(), mask.get_fdata() > 0
    voxels = np.argwhere(inside)
    where = voxels @ img.affine[:3, :3].T
    similarity = np.full((len(models), len(voxels)), np.nan)
    n_used, n_left_out = np.zeros(len(voxels), int), np.zeros(len(voxels), int)
    for c, center in enumerate(where):
        patterns = []
        for voxel, place in zip(voxels, where, strict=True):
            if np.linalg.norm(place - center) > radius:
                continue
            values = data[tuple(voxel)]
            if np.isfinite(values).all() and len(set(values)) > 1:
                patterns.append(values)
            else:
                n_left_out[c] += 1
        n_used[c] = len(patterns)
        if len(patterns) >= min_voxels:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rdm = rf.compute_rdms(np.array(patterns).T, conditions=names, **options)
                similarity[:, c] = rf.compare(models, rdm, method=method)[:, 0]
    return similarity, n_used, n_left_out


def run(img, mask, **options):
    """A searchlight without a bar; warnings of places at the edge are expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return searchlight(img, mask_img=mask, progress=False, **options)


@pytest.mark.parametrize("method", list(rf.comparison.METHODS))
def test_every_centre_is_that_of_a_loop(method):
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    models, names = models_of(rng), list(rng.permutation(NAMES))
    maps = run(img, mask, conditions=names, models=models, radius=5.5, method=method)
    similarity, n_used, n_left_out = loop(img, mask, names, models, 5.5, method)
    np.testing.assert_array_equal(maps.n_voxels, n_used)
    np.testing.assert_array_equal(maps.n_left_out, n_left_out)
    assert n_left_out.max() > 1
    np.testing.assert_allclose(maps.similarity, similarity, rtol=0, atol=1e-12)
    assert maps.n_too_few == np.isnan(similarity[0]).sum() > 0


REPEATED = dict(conditions=[*NAMES, *NAMES] * 2, folds=[1] * 18 + [2] * 18)


@pytest.mark.parametrize(
    "measure, options",
    [
        ("correlation", {}),
        ("cosine", {}),
        ("euclidean", {}),
        ("sqeuclidean", {}),
        ("poisson", {}),
        ("crossnobis", REPEATED),
        ("crossnobis", {**REPEATED, "noise": "ledoit-wolf"}),
        ("crossnobis", {**REPEATED, "noise": "schaefer-strimmer"}),
        ("mahalanobis", {"conditions": REPEATED["conditions"], "noise": "ledoit-wolf"}),
        ("mahalanobis", {"conditions": REPEATED["conditions"], "noise": "schaefer-strimmer"}),
    ],
)
def test_every_measure_is_that_of_a_loop(measure, options):
    rng = np.random.default_rng(3)
    names = options.get("conditions", NAMES)
    img, mask = brain_of(rng, len(names))
    if measure == "poisson":
        img = nibabel.Nifti1Image(np.abs(img.get_fdata()), AFFINE)
    models = models_of(rng)
    given = {"measure": measure, **{k: v for k, v in options.items() if k != "conditions"}}
    maps = run(img, mask, conditions=names, models=models, radius=6.0, method="pearson", **given)
    expected = loop(img, mask, names, models, 6.0, "pearson", **given)[0]
    np.testing.assert_allclose(maps.similarity, expected, rtol=0, atol=1e-10)


def test_repeats_are_averaged_for_other_measures():
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng, 27)
    models, names = models_of(rng), [*NAMES, *NAMES[::-1], *NAMES]
    maps = run(img, mask, conditions=names, models=models, radius=6.0)
    data = img.get_fdata()
    means = np.stack([data[..., [n == name for n in names]].mean(axis=3) for name in NAMES], 3)
    again = run(nibabel.Nifti1Image(means, AFFINE), mask, conditions=NAMES, models=models, radius=6)
    np.testing.assert_allclose(maps.similarity, again.similarity, atol=1e-12)


def test_noise_from_residuals():
    rng = np.random.default_rng(1)
    folds = [1] * 9 + [2] * 9
    img, mask = brain_of(rng, 18)
    residuals = nibabel.Nifti1Image(rng.normal(size=(6, 5, 4, 40)) * 3, AFFINE)
    models = models_of(rng)
    maps = run(
        img,
        mask,
        conditions=NAMES * 2,
        models=models,
        radius=7.0,
        measure="crossnobis",
        folds=folds,
        noise="ledoit-wolf",
        residuals=residuals,
    )
    volume = maps.space
    center = int(maps.n_voxels.argmax())
    indptr, indices = volume.searchlights(7.0).batch([center])
    values = img.get_fdata()[volume.mask][indices]
    used = np.isfinite(values).all(axis=1) & (values.max(axis=1) > values.min(axis=1))
    noise = rf.rdm.noise_covariance(residuals.get_fdata()[volume.mask][indices][used].T)
    rdm = rf.compute_rdms(
        values[used].T,
        conditions=NAMES * 2,
        measure="crossnobis",
        folds=folds,
        noise=noise.covariance,
    )
    expected = rf.compare(models, rdm, method="spearman")[:, 0]
    np.testing.assert_allclose(maps.similarity[:, center], expected, atol=1e-10)


@pytest.mark.parametrize("method", list(rf.comparison.METHODS))
def test_undefined_pairs_are_left_out_as_compare_does(method):
    rng = np.random.default_rng(5)
    img, mask = brain_of(rng)
    data = img.get_fdata()
    data[:3, ..., 4] = 0.5  # one pattern is constant in half of the brain
    models = models_of(rng)
    if method not in {"corr_cov", "cosine_cov"}:
        vectors = models.vectors.copy()
        vectors[0, [3, 20]] = np.nan
        models = rf.RDMs(vectors, NAMES, "simulated", models.labels)
    img = nibabel.Nifti1Image(data, AFFINE)
    maps = run(img, mask, conditions=NAMES, models=models, radius=5.5, method=method)
    assert 0 < maps.n_undefined < len(maps.n_voxels)
    if method in {"corr_cov", "cosine_cov"}:
        assert np.isnan(maps.similarity[0]).sum() == maps.n_undefined + maps.n_too_few
    else:
        expected = loop(img, mask, NAMES, models, 5.5, method)[0]
        np.testing.assert_allclose(maps.similarity, expected, rtol=0, atol=1e-12)


def test_equal_patterns_have_distance_zero_at_every_centre():
    rng = np.random.default_rng(2)
    img, mask = brain_of(rng)
    data = img.get_fdata() + 1e3
    data[..., 5] = data[..., 2]
    img = nibabel.Nifti1Image(data, AFFINE)
    models = models_of(rng)
    for measure in ("correlation", "cosine", "euclidean", "sqeuclidean"):
        maps = run(img, mask, conditions=NAMES, models=models, radius=6.0, measure=measure)
        expected = loop(img, mask, NAMES, models, 6.0, "spearman", measure=measure)[0]
        # Around a mean of 1,000 few ranks of nearly equal distances may change places.
        np.testing.assert_allclose(maps.similarity, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["spearman", "pearson", "kendall", "cosine_cov"])
def test_results_do_not_depend_on_threads_or_budget(method, monkeypatch):
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng, shape=(9, 8, 7))
    options = dict(conditions=NAMES, models=models_of(rng), radius=6.0, method=method)
    one = run(img, mask, n_jobs=1, **options)
    for n_jobs, budget in ((2, "2GB"), (5, "1GB"), (2, "2MB")):
        other = run(img, mask, n_jobs=n_jobs, budget=budget, **options)
        np.testing.assert_array_equal(one.similarity, other.similarity)
    monkeypatch.setattr("rsa_faces.mapping._stream.block_size", lambda n_pairs: 3)
    other = run(img, mask, n_jobs=2, **options)
    np.testing.assert_allclose(one.similarity, other.similarity, rtol=0, atol=1e-14)


def test_order_of_conditions_and_models_does_not_matter():
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    models = models_of(rng)
    one = run(img, mask, conditions=NAMES, models=models, radius=6.0)
    order = rng.permutation(9)
    other = run(
        nibabel.Nifti1Image(img.get_fdata()[..., order], AFFINE),
        mask,
        conditions=[NAMES[i] for i in order],
        models=models.align(NAMES[::-1]),
        radius=6.0,
    )
    np.testing.assert_allclose(one.similarity, other.similarity, atol=1e-12)


def sheet(rng, n=8):
    """A flat mesh of n × n vertices, 1.5 mm apart."""
    x, y = np.meshgrid(1.5 * np.arange(n), 1.5 * np.arange(n))
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate(
        [np.c_[corner, corner + 1, corner + n], np.c_[corner + 1, corner + n, corner + n + 1]]
    )
    return np.c_[x.ravel(), y.ravel(), rng.normal(0, 0.1, n * n)], faces


def test_surface():
    rng = np.random.default_rng(0)
    mesh = sheet(rng)
    patterns, cortex = rng.normal(size=(9, 64)), np.arange(64) > 5
    patterns[2, 30] = np.nan
    models = models_of(rng)
    maps = run(patterns, cortex, mesh=mesh, conditions=NAMES, models=models, radius=3.5)
    searchlights = Surface(*mesh, cortex).searchlights(3.5)
    kept = patterns[:, cortex]
    for (c,), _, indices in searchlights.batches(1):
        used = indices[~np.isnan(kept[:, indices]).any(axis=0)]
        assert maps.n_voxels[c] == len(used)
        rdm = rf.compute_rdms(kept[:, used], conditions=NAMES)
        expected = rf.compare(models, rdm, method="spearman")[:, 0]
        np.testing.assert_allclose(maps.similarity[:, c], expected, atol=1e-12)
    assert maps.n_left_out.sum() > 0
    assert list(maps.peaks("m0").columns[:4]) == ["model", "similarity", "n_voxels", "vertex"]
    data = maps.to_img("m1").darrays[0].data
    assert np.isnan(data[:6]).all()
    np.testing.assert_allclose(data[6:], maps.similarity[1], rtol=1e-6)


def test_images_in_files_and_in_single_precision(tmp_path):
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    img = nibabel.Nifti1Image(img.get_fdata().astype(np.float32), AFFINE)
    options = dict(conditions=NAMES, models=models_of(rng), radius=6.0)
    for name in ("img.nii.gz", "img.nii"):
        nibabel.save(img, tmp_path / name)
        nibabel.save(mask, tmp_path / "mask.nii.gz")
        maps = run(tmp_path / name, str(tmp_path / "mask.nii.gz"), **options)
        np.testing.assert_array_equal(maps.similarity, run(img, mask, **options).similarity)


def test_a_list_of_images_is_one_image(tmp_path):
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    options = dict(conditions=NAMES, models=models_of(rng), radius=6.0)
    several = [nibabel.Nifti1Image(img.get_fdata()[..., i], AFFINE) for i in range(9)]
    nibabel.save(several[4], tmp_path / "4.nii")
    several[4] = tmp_path / "4.nii"
    got = run(several, mask, **options)
    np.testing.assert_array_equal(got.similarity, run(img, mask, **options).similarity)
    several[2] = nibabel.Nifti1Image(img.get_fdata()[..., 2], np.eye(4))
    with pytest.raises(InputError, match="one affine for all images of img, but img 0 has .* 2 "):
        run(several, mask, **options)
    several[2] = img
    with pytest.raises(InputError, match="one condition for each of 17 volumes of img, got 9"):
        run(several, mask, **options)
    with pytest.raises(InputError, match="voxels in img, got CIFTI: split it"):
        run(grayordinates(rng, 9, np.arange(64) > 5)[0], mask, **options)


def test_blocks_of_volumes_are_put_together(monkeypatch):
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    options = dict(conditions=NAMES, models=models_of(rng), radius=6.0)
    whole = run(img, mask, **options)
    monkeypatch.setattr("rsa_faces.brain.images._READ_BYTES", 8 * 120 * 2)
    np.testing.assert_array_equal(whole.similarity, run(img, mask, **options).similarity)


# Other packages -----------------------------------------------------------------------------------


def test_rdms_of_all_centres_equal_those_of_rsatoolbox(capsys):
    from rsatoolbox.util.searchlight import get_searchlight_RDMs, get_volume_searchlight

    from rsa_faces.mapping._patterns import load_patterns

    rng = np.random.default_rng(0)
    mask, data = rng.random((7, 6, 8)) < 0.8, rng.normal(2.0, 1.0, (7, 6, 8, 9))
    affine = np.diag([3.0, 3, 3, 1])
    centers, around = get_volume_searchlight(mask, 2.5, 0.0, truncate_at_boundary=True)
    theirs = get_searchlight_RDMs(
        data.reshape(-1, 9).T, centers, around, NAMES, method="correlation", verbose=False
    ).dissimilarities
    mask_img = nibabel.Nifti1Image(mask.astype(np.uint8), affine)
    patterns = load_patterns(
        nibabel.Nifti1Image(data, affine),
        mask_img=mask_img,
        mesh=None,
        conditions=NAMES,
        order=NAMES,
        measure="correlation",
        folds=None,
        noise=None,
        noise_from="all",
        residuals=None,
        n_estimated=0,
        budget=10**9,
    )
    searchlights = patterns.space.searchlights(7.5)
    indptr, indices = searchlights.batch(searchlights.order)
    place = np.flatnonzero(mask)
    assert place.tolist() == centers.tolist()
    for c, theirs_here in enumerate(around):
        assert sorted(theirs_here) == place[indices[indptr[c] : indptr[c + 1]]].tolist()
    vectors, n_used = np.empty((len(centers), 36)), np.empty(len(centers), np.int32)
    patterns.fill(indptr, indices, 2, vectors, n_used, np.empty(len(centers), np.int8))
    np.testing.assert_allclose(vectors, theirs, rtol=0, atol=1e-12)
    # And as maps, with their comparison of each centre.
    models = models_of(rng, 2)
    maps = run(
        nibabel.Nifti1Image(data, affine),
        mask_img,
        conditions=NAMES,
        models=models,
        radius=7.5,
        method="pearson",
        min_voxels=2,
    )
    import rsatoolbox

    expected = rsatoolbox.rdm.compare(
        rsatoolbox.rdm.RDMs(models.vectors.copy()), rsatoolbox.rdm.RDMs(theirs), method="corr"
    )
    np.testing.assert_allclose(maps.similarity, expected, atol=1e-10)


def test_crossnobis_of_all_centres_equals_that_of_rsatoolbox():
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    from rsa_faces.mapping._patterns import load_patterns

    rng = np.random.default_rng(4)
    img, mask_img = brain_of(rng, 27)
    conditions, folds = NAMES * 3, [f"run {r}" for r in range(3) for _ in NAMES]
    patterns = load_patterns(
        img,
        mask_img=mask_img,
        mesh=None,
        conditions=conditions,
        order=NAMES,
        measure="crossnobis",
        folds=folds,
        noise=None,
        noise_from="all",
        residuals=None,
        n_estimated=0,
        budget=10**9,
    )
    searchlights = patterns.space.searchlights(6.0)
    indptr, indices = searchlights.batch(searchlights.order)
    vectors = np.empty((searchlights.n_centers, 36))
    n_used = np.empty(len(vectors), np.int32)
    patterns.fill(indptr, indices, 2, vectors, n_used, np.empty(len(vectors), np.int8))
    inside = img.get_fdata()[patterns.space.mask]
    n_negative = 0
    for c in np.flatnonzero(n_used >= 2):
        here = indices[indptr[c] : indptr[c + 1]]
        data = inside[here[patterns.usable[here]]].T
        described = {"condition": conditions, "run": folds}
        rdm = calc_rdm(
            Dataset(data, obs_descriptors=described),
            method="crossnobis",
            descriptor="condition",
            cv_descriptor="run",
        )
        np.testing.assert_allclose(vectors[c], rdm.dissimilarities[0], rtol=0, atol=1e-8)
        n_negative += (vectors[c] < 0).sum()
    assert n_negative > 0


@pytest.mark.parametrize(
    "method, theirs",
    [("spearman", "spearman"), ("pearson", "pearson"), ("tau-a", "kendall-tau-a")],
)
def test_maps_equal_those_of_mne_rsa(method, theirs):
    from mne_rsa import rsa_nifti

    rng = np.random.default_rng(1)
    mask, data = rng.random((6, 6, 6)) < 0.8, rng.normal(2.0, 1.0, (6, 6, 6, 9))
    affine = np.diag([3.0, 3, 3, 1])
    img, mask_img = (nibabel.Nifti1Image(a, affine) for a in (data, mask.astype(np.uint8)))
    models = models_of(rng, 2)
    maps = run(
        img, mask_img, conditions=NAMES, models=models, radius=7.5, method=method, min_voxels=2
    )
    expected = rsa_nifti(
        img, list(models.vectors), spatial_radius=0.0075, rsa_metric=theirs, brain_mask=mask_img
    )
    for ours, other in zip(maps.similarity, expected, strict=True):
        np.testing.assert_allclose(ours, other.get_fdata()[mask], rtol=0, atol=1e-8)


# Results ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def a_map():
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng, shape=(8, 8, 6))
    return run(img, mask, conditions=NAMES, models=models_of(rng), radius=6.0)


def test_images_are_in_the_space_of_the_mask(a_map):
    for model in ("m1", 1):
        img = a_map.to_img(model)
        np.testing.assert_allclose(img.affine, AFFINE)
        values = img.get_fdata()
        np.testing.assert_allclose(values[a_map.space.mask], a_map.similarity[1], rtol=1e-6)
        assert np.isnan(values[~a_map.space.mask]).all()
    assert (a_map.to_img(0, fill=0.0).get_fdata()[~a_map.space.mask] == 0).all()


@pytest.mark.parametrize("kind", ["volume", "surface"])
def test_maps_are_read_as_they_were_saved(a_map, kind, tmp_path):
    if kind == "surface":
        rng = np.random.default_rng(0)
        models = models_of(rng).with_labels(layer_index=[3, 4, 5], depth=[0.5, np.nan, 1.0])
        a_map = run(
            rng.normal(size=(9, 64)),
            None,
            mesh=sheet(rng),
            conditions=NAMES,
            models=models,
            radius=3.5,
        )
    a_map.save(tmp_path / "map.h5")
    again = SearchlightMap.load(tmp_path / "map.h5")
    assert again.space.equals(a_map.space)
    for name in ("similarity", "n_voxels", "n_left_out"):
        np.testing.assert_array_equal(getattr(again, name), getattr(a_map, name))
    for name in ("names", "conditions", "measure", "method", "radius", "n_too_few", "n_undefined"):
        assert getattr(again, name) == getattr(a_map, name)
    assert again.labels.equals(a_map.labels)
    assert [p.name for p in tmp_path.iterdir()] == ["map.h5"]


def test_best_is_the_largest_and_says_that_it_is_biased(a_map):
    best = a_map.best()
    whole = ~np.isnan(a_map.similarity[0])
    np.testing.assert_array_equal(best.index[whole], a_map.similarity[:, whole].argmax(axis=0))
    np.testing.assert_array_equal(best.similarity[whole], a_map.similarity[:, whole].max(axis=0))
    assert (best.index[~whole] == -1).all()
    assert np.isnan(best.similarity[~whole]).all()
    assert "same data" in best.notes[0]
    values = best.to_img().get_fdata()[a_map.space.mask]
    np.testing.assert_array_equal(values[whole], best.index[whole] + 1)


def smooth_map(values, affine=AFFINE):
    """A map with these similarities in a whole volume."""
    values = np.asarray(values, float)
    ones = np.ones(values.size, np.int32)
    space = Volume(np.ones(values.shape, bool), affine)
    labels = models_of(np.random.default_rng(0), 1).labels
    return SearchlightMap(
        values.reshape(1, -1),
        ones,
        0 * ones,
        space,
        labels,
        tuple(NAMES),
        "correlation",
        "spearman",
        8.0,
        0,
        0,
    )


def test_peaks_are_local_maxima_far_enough_apart():
    values = np.full((12, 12, 12), -0.5)
    values[2, 2, 2], values[2, 2, 3], values[9, 9, 9], values[2, 2, 5] = 0.9, 0.8, 0.7, 0.6
    values[6, 6, 6] = np.nan
    table = smooth_map(values).peaks(n=2, min_distance=12.0)
    assert table[["i", "j", "k"]].to_numpy().tolist() == [[2, 2, 2], [9, 9, 9]]
    assert table["similarity"].tolist() == [0.9, 0.7]
    np.testing.assert_allclose(table[["x", "y", "z"]].iloc[1], (AFFINE @ [9, 9, 9, 1])[:3])
    near = smooth_map(values).peaks(n=3, min_distance=5.0)
    assert near[["i", "j", "k"]].to_numpy().tolist() == [[2, 2, 2], [9, 9, 9], [2, 2, 5]]


def test_peaks_of_any_map_with_further_columns():
    rng = np.random.default_rng(0)
    space = Volume(rng.random((7, 6, 5)) < 0.8, AFFINE)
    values, p = rng.normal(size=space.n_places), rng.random(space.n_places)
    values[3] = np.nan
    table = peak_table(space, values, where=p < 0.5, p=p, n=100, min_distance=0.0)
    expected = []
    for a, place in enumerate(space.indices):
        near = np.abs(space.indices - place).max(axis=1) <= 1
        if p[a] < 0.5 and values[a] == np.nanmax(values[near]):
            expected.append(a)
    expected = sorted(expected, key=lambda a: -values[a])
    assert table["value"].tolist() == values[expected].tolist()
    assert table["p"].tolist() == p[expected].tolist()
    assert list(table.columns) == ["value", "p", "i", "j", "k", "x", "y", "z"]
    assert len(peak_table(space, values, where=p < -1)) == 0
    with pytest.raises(InputError, match=r"where to be True or False for each of .* shape \(3,\)"):
        peak_table(space, values, where=np.ones(3, bool))
    with pytest.raises(InputError, match="where to be True or False .* got float64"):
        peak_table(space, values, where=p)
    with pytest.raises(InputError, match="p with one value for each"):
        peak_table(space, values, p=p[1:])


def test_cifti_holds_hemispheres_and_volume(a_map, tmp_path):
    rng = np.random.default_rng(0)
    cortex = np.arange(64) > 5
    sides = [
        run(
            rng.normal(size=(9, 64)),
            cortex,
            mesh=sheet(rng),
            conditions=NAMES,
            models=models_of(rng),
            radius=3.5,
        )
        for _ in range(2)
    ]
    nibabel.save(to_cifti(left=sides[0], right=sides[1], volume=a_map), tmp_path / "a.dscalar.nii")
    img = nibabel.load(tmp_path / "a.dscalar.nii")
    rows, places = img.header.get_axis(0), img.header.get_axis(1)
    assert rows.name.tolist() == ["m0", "m1", "m2"]
    parts = {
        name: (img.get_fdata()[:, part], axis) for name, part, axis in places.iter_structures()
    }
    left, axis = parts["CIFTI_STRUCTURE_CORTEX_LEFT"]
    np.testing.assert_allclose(left, sides[0].similarity, rtol=1e-6)
    np.testing.assert_array_equal(axis.vertex, np.flatnonzero(cortex))
    np.testing.assert_allclose(
        parts["CIFTI_STRUCTURE_CORTEX_RIGHT"][0], sides[1].similarity, rtol=1e-6
    )
    values, axis = parts["CIFTI_STRUCTURE_OTHER"]
    np.testing.assert_allclose(values, a_map.similarity, rtol=1e-6)
    np.testing.assert_array_equal(axis.voxel, a_map.space.indices)
    np.testing.assert_allclose(axis.affine, AFFINE)
    with pytest.raises(InputError, match="at least one map"):
        to_cifti()
    with pytest.raises(InputError, match=r"left to be a map in a Surface, got Volume\("):
        to_cifti(left=a_map)
    with pytest.raises(InputError, match="volume to be a map in a Volume, got Surface"):
        to_cifti(volume=sides[0])
    with pytest.raises(InputError, match="same method, but volume has 'pearson' and left 'sp"):
        to_cifti(left=sides[0], volume=dataclasses.replace(a_map, method="pearson"))
    with pytest.raises(TypeError, match="right to be a SearchlightMap, got int"):
        to_cifti(right=3)


def test_files_hold_the_map(a_map, tmp_path):
    paths = write_map(a_map, tmp_path / "out", n_peaks=3)
    inside = a_map.space.mask
    img = nibabel.load(paths[0])
    assert img.shape == (*inside.shape, 3)
    np.testing.assert_allclose(img.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(img.get_fdata()[inside].T, a_map.similarity, rtol=1e-6)
    assert np.isnan(img.get_fdata()[~inside]).all()
    for path, values in ((paths[1], a_map.n_voxels), (paths[2], a_map.n_left_out)):
        assert nibabel.load(path).shape == inside.shape
        np.testing.assert_array_equal(nibabel.load(path).get_fdata()[inside], values)
    models, peaks = pd.read_csv(paths[3]), pd.read_csv(paths[4])
    assert models["name"].tolist() == ["m0", "m1", "m2"]
    assert models["number"].tolist() == [1, 2, 3]
    assert (peaks["model"].value_counts() <= 3).all()
    assert peaks["similarity"][0] == pytest.approx(np.nanmax(a_map.similarity[0]))
    again = write_map(a_map, tmp_path / "again", n_peaks=3)
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    assert len(list((tmp_path / "out").iterdir())) == 5
    rng = np.random.default_rng(0)
    surface = run(
        rng.normal(size=(9, 64)),
        None,
        mesh=sheet(rng),
        conditions=NAMES,
        models=models_of(rng),
        radius=3.5,
    )
    img = nibabel.load(write_map(surface, tmp_path / "surface", fill=0.0)[0])
    assert [array.meta["Name"] for array in img.darrays] == ["m0", "m1", "m2"]
    np.testing.assert_allclose(img.agg_data(), np.nan_to_num(surface.similarity), rtol=1e-6)


def test_searchlight_on_fsaverage():
    rng = np.random.default_rng(0)
    mask = np.zeros(10242, bool)
    surface = fsaverage("right")
    mask[np.linalg.norm(surface.vertices - surface.vertices[77], axis=1) < 15] = True
    white, pial = (fsaverage("right", part=part).vertices for part in ("white", "pial"))
    np.testing.assert_allclose(surface.vertices, (white + pial) / 2, atol=1e-4)
    maps = run(
        rng.normal(size=(9, 10242)),
        None,
        mesh=fsaverage("right", mask=mask),
        conditions=NAMES,
        models=models_of(rng),
        radius=8.0,
    )
    assert maps.space.n_places == mask.sum() == len(maps.n_voxels)
    assert maps.n_voxels.max() > 10
    with pytest.raises(InputError, match="hemisphere 'both'"):
        fsaverage("both")
    with pytest.raises(InputError, match="part of fsaverage 'wite'. Did you mean 'white'"):
        fsaverage("left", part="wite")


# Parts --------------------------------------------------------------------------------------------


def grayordinates(rng, n_maps, cortex):
    """CIFTI of two sheets of 64 vertices, where some are cortex, and a few voxels."""
    inside = np.zeros((4, 4, 4), bool)
    inside[1:3, 1:3] = True
    axis = nibabel.cifti2.BrainModelAxis.from_mask(inside, "thalamus_left", affine=AFFINE)
    for side in ("left", "right"):
        axis += nibabel.cifti2.BrainModelAxis.from_surface(
            np.flatnonzero(cortex), 64, f"cortex_{side}"
        )
    rows = nibabel.cifti2.ScalarAxis([f"map {i}" for i in range(n_maps)])
    values = rng.normal(size=(n_maps, len(axis))).astype(np.float32)
    return nibabel.Cifti2Image(values, header=(rows, axis)), inside


def test_grayordinates_are_split_into_what_a_searchlight_takes(tmp_path):
    rng = np.random.default_rng(0)
    cortex = np.arange(64) > 5
    img, inside = grayordinates(rng, 9, cortex)
    nibabel.save(img, tmp_path / "a.dscalar.nii")
    meshes = {side: Surface(*sheet(rng)) for side in ("left", "right")}

    def mapped(part, radius):
        return run(
            part["img"],
            part.get("mask_img"),
            mesh=part.get("mesh"),
            conditions=NAMES,
            models=models,
            radius=radius,
        )

    parts = rf.mapping.image_parts(tmp_path / "a.dscalar.nii", meshes=meshes)
    assert list(parts) == ["left", "right", "volume"]
    n_voxels, values = int(inside.sum()), img.get_fdata()
    models = models_of(rng)
    start = n_voxels
    for side in ("left", "right"):
        full = np.full((9, 64), np.nan)
        full[:, cortex] = values[:, start : start + cortex.sum()]
        start += cortex.sum()
        expected = run(full, cortex, mesh=meshes[side], conditions=NAMES, models=models, radius=3.5)
        got = mapped(parts[side], 3.5)
        np.testing.assert_array_equal(got.similarity, expected.similarity)
    got = mapped(parts["volume"], 4.0)
    array = np.zeros((4, 4, 4, 9))
    array[inside] = values[:, :n_voxels].T
    expected = run(
        nibabel.Nifti1Image(array, AFFINE),
        nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE),
        conditions=NAMES,
        models=models,
        radius=4.0,
    )
    np.testing.assert_array_equal(got.similarity, expected.similarity)
    # A mask of fewer places, and that of a mesh.
    axes = nibabel.cifti2.ScalarAxis(["m"]), img.header.get_axis(1)
    few = nibabel.Cifti2Image((np.abs(values[:1]) < 1).astype(np.float32), header=axes)
    half = Surface(meshes["left"].vertices, meshes["left"].faces, np.arange(64) < 40)
    parts = rf.mapping.image_parts(img, mask_img=few, meshes=meshes | {"left": half})
    used = (np.abs(values[0]) < 1)[n_voxels : n_voxels + cortex.sum()]
    assert parts["left"]["mesh"].n_places == (used & (np.flatnonzero(cortex) < 40)).sum()
    with pytest.raises(InputError, match="mesh of the right hemisphere, got 'left'"):
        rf.mapping.image_parts(img, meshes={"left": meshes["left"]})
    with pytest.raises(InputError, match="mesh of 64 vertices for the left hemisphere, got 10242"):
        rf.mapping.image_parts(img, meshes={"left": fsaverage("left")})


def test_hemispheres_are_read_from_gifti(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 64)).astype(np.float32)
    gifti = nibabel.gifti
    mesh, models = sheet(rng), models_of(rng)
    nibabel.save(
        gifti.GiftiImage(darrays=[gifti.GiftiDataArray(v) for v in values]), tmp_path / "a.func.gii"
    )
    mask = (np.arange(64) > 5).astype(np.float32)
    nibabel.save(gifti.GiftiImage(darrays=[gifti.GiftiDataArray(mask)]), tmp_path / "m.shape.gii")
    points = gifti.GiftiDataArray(mesh[0].astype(np.float32), intent="NIFTI_INTENT_POINTSET")
    faces = gifti.GiftiDataArray(mesh[1].astype(np.int32), intent="NIFTI_INTENT_TRIANGLE")
    nibabel.save(gifti.GiftiImage(darrays=[points, faces]), tmp_path / "a.surf.gii")
    surface = rf.brain.load_surface(tmp_path / "a.surf.gii")
    got = run(
        tmp_path / "a.func.gii",
        tmp_path / "m.shape.gii",
        mesh=surface,
        conditions=NAMES,
        models=models,
        radius=3.5,
    )
    expected = run(
        values,
        mask > 0,
        mesh=(surface.vertices, surface.faces),
        conditions=NAMES,
        models=models,
        radius=3.5,
    )
    np.testing.assert_array_equal(got.similarity, expected.similarity)
    with pytest.raises(InputError, match="the geometry of a surface"):
        rf.brain.load_surface(tmp_path / "a.func.gii")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        rf.brain.load_surface(tmp_path / "b.surf.gii")


@pytest.mark.parametrize("statistic", ["max", "tfce", "cluster-mass"])
def test_parts_are_corrected_together(statistic):
    rng = np.random.default_rng(0)
    models = models_of(rng)[:1]
    mesh, (_, mask) = sheet(rng), brain_of(rng)
    maps = {"left": [], "volume": []}
    for _ in range(7):
        maps["left"].append(
            run(
                rng.normal(size=(9, 64)),
                None,
                mesh=mesh,
                conditions=NAMES,
                models=models,
                radius=3.5,
            )
        )
        img = nibabel.Nifti1Image(rng.normal(size=(6, 5, 4, 9)), AFFINE)
        maps["volume"].append(run(img, mask, conditions=NAMES, models=models, radius=6.0))
    options = dict(statistic=statistic, n_permutations=200)
    together = rf.mapping.group_test_parts(maps, **options)
    alone = {part: group_test(some, **options) for part, some in maps.items()}
    maxima = np.sort(np.maximum.reduce([together[p].maxima for p in together]))
    for part, test in together.items():
        np.testing.assert_allclose(test.t, alone[part].t, atol=1e-12)
        if statistic != "cluster-mass":  # where clusters are 1 outside
            assert (test.p >= alone[part].p).all()
        np.testing.assert_array_equal(test.maxima, maxima)
        if test.clusters is not None:
            for row in test.clusters.itertuples():
                assert test.t[row.peak[0]] == row.peak_t
                assert test.labels[row.peak[0]] == row.label
    with pytest.raises(InputError, match="same subjects in every part, got {'left': 6"):
        rf.mapping.group_test_parts(maps | {"left": maps["left"][1:]})


# Groups -------------------------------------------------------------------------------------------


def subjects_of(rng, n_subjects, models, n_volumes=9):
    return [brain_of(rng, n_volumes) for _ in range(n_subjects)]


@pytest.mark.parametrize("method", list(rf.comparison.METHODS))
def test_ceilings_are_those_of_noise_ceiling_at_every_centre(method):
    rng = np.random.default_rng(0)
    mask = brain_of(rng)[1]
    shared = rng.normal(size=(6, 5, 4, 9))
    imgs = [nibabel.Nifti1Image(shared + rng.normal(size=shared.shape), AFFINE) for _ in range(4)]
    imgs[1].get_fdata()[2, 2, 2] = np.nan
    options = dict(conditions=NAMES, mask_img=mask, radius=6.0, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ceilings = ceiling_map(iter(imgs), method=method, **options)
    searchlights = ceilings.space.searchlights(6.0)
    inside = [img.get_fdata()[ceilings.space.mask] for img in imgs]
    for (c,), _, indices in searchlights.batches(1):
        if len(indices) < 6 or c % 3:
            continue
        rdms = [
            rf.compute_rdms(p[indices[~np.isnan(p[indices, 0])]].T, conditions=NAMES)
            for p in inside
        ]
        data = rf.concat(rdms).with_labels(subject=range(4))
        expected = rf.noise_ceiling(data, method=method)
        np.testing.assert_allclose(
            [ceilings.lower[c], ceilings.upper[c]], [expected.lower, expected.upper], atol=1e-10
        )
    assert ceilings.n_voxels.shape == (4, searchlights.n_centers)
    img = ceilings.to_img("upper").get_fdata()[ceilings.space.mask]
    np.testing.assert_allclose(img, ceilings.upper, rtol=1e-6)


def test_ceilings_of_subjects_with_volumes_in_their_own_order():
    rng = np.random.default_rng(0)
    mask = brain_of(rng)[1]
    imgs = [nibabel.Nifti1Image(rng.normal(size=(6, 5, 4, 18)), AFFINE) for _ in range(3)]
    left = [nibabel.Nifti1Image(rng.normal(size=(6, 5, 4, 40)), AFFINE) for _ in range(3)]
    folds = [1] * 9 + [2] * 9
    options = dict(
        mask_img=mask,
        radius=6.0,
        measure="crossnobis",
        method="cosine",
        noise="ledoit-wolf",
        residuals=left,
        progress=False,
    )
    expected = ceiling_map(imgs, conditions=NAMES * 2, folds=folds, **options)
    order = rng.permutation(18)
    imgs[1] = nibabel.Nifti1Image(imgs[1].get_fdata()[..., order], AFFINE)
    names, runs = np.array(NAMES * 2), np.array(folds)
    got = ceiling_map(
        imgs,
        conditions=[NAMES * 2, list(names[order]), NAMES * 2],
        folds=[folds, list(runs[order]), folds],
        **options,
    )
    np.testing.assert_allclose(got.lower, expected.lower, atol=1e-10)
    with pytest.raises(InputError, match="expected residuals of 3 subjects, got 2"):
        ceiling_map(imgs, conditions=NAMES * 2, folds=folds, **options | {"residuals": left[:2]})


def test_errors_of_ceilings_name_the_subject():
    rng = np.random.default_rng(0)
    mask = brain_of(rng)[1]
    options = dict(conditions=NAMES, mask_img=mask, radius=6.0, progress=False)
    imgs = {
        name: nibabel.Nifti1Image(rng.normal(size=(6, 5, 4, 9)), AFFINE) for name in ("ann", "bob")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        named, listed = (ceiling_map(i, **options) for i in (imgs, list(imgs.values())))
    np.testing.assert_array_equal(named.lower, listed.lower)
    imgs["bob"] = nibabel.Nifti1Image(rng.normal(size=(6, 5, 4, 8)), AFFINE)
    for given, who in ((imgs, "bob"), (list(imgs.values()), "subject 1")):
        with pytest.raises(InputError, match=f"^{who}: .*each of 8 volumes"):
            ceiling_map(given, **options)


def test_shares_of_a_ceiling_map_make_the_whole():
    rng = np.random.default_rng(0)
    mask = brain_of(rng, shape=(9, 8, 7))[1]
    imgs = [nibabel.Nifti1Image(rng.normal(size=(9, 8, 7, 9)), AFFINE) for _ in range(3)]
    options = dict(conditions=NAMES, mask_img=mask, radius=6.0, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = ceiling_map(imgs, **options)
        shares = [ceiling_map(imgs, share=(k, 3), **options) for k in range(3)]
    lower = np.stack([s.lower for s in shares])
    assert (np.isfinite(lower).sum(axis=0) == np.isfinite(whole.lower)).all()
    assert all(np.isfinite(row).any() for row in lower)
    np.testing.assert_array_equal(np.nansum(lower, axis=0), np.nan_to_num(whole.lower))
    np.testing.assert_array_equal(sum(s.n_voxels for s in shares), whole.n_voxels)
    with pytest.raises(InputError, match="unknown share '3'"):
        ceiling_map(imgs, share=(3, 3), **options)


def test_the_best_model_is_chosen_without_the_subject_it_is_measured_in():
    rng = np.random.default_rng(0)
    values = rng.normal(0.0, 0.1, (6, 4, 30))
    values[:, 2, 10:20] += 0.5
    values[3, :, 29] = np.nan
    labels = models_of(rng, 4).labels
    space = Volume(np.ones((5, 3, 2), bool), AFFINE)
    ones = np.ones(30, np.int32)
    maps = [
        SearchlightMap(v, ones, 0 * ones, space, labels, tuple(NAMES), "a", "b", 8.0, 0, 0)
        for v in values
    ]
    best = best_model_map(maps)
    for c in range(29):
        held_out = []
        for s in range(6):
            others = [values[t, :, c] for t in range(6) if t != s]
            held_out.append(values[s, int(np.mean(others, axis=0).argmax()), c])
        np.testing.assert_allclose(best.subjects[:, c], held_out)
        np.testing.assert_allclose(best.similarity[c], np.mean(held_out))
    assert (best.index[10:20] == 2).all()
    assert (best.share[10:20] == 1).all()
    assert best.index[29] == -1
    assert np.isnan(best.similarity[29])
    # Noise: chosen on the same data it looks better than nothing, chosen elsewhere it does not.
    biased = np.mean([m.best().similarity[:10].mean() for m in maps])
    assert biased > 0.08
    assert abs(best.similarity[:10].mean()) < 0.05


def test_mean_map_is_the_mean():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 3, 3, 3))
    values[1].ravel()[5] = np.nan
    maps = [smooth_map(one) for one in values]
    mean = mean_map(maps)
    np.testing.assert_allclose(mean.similarity, np.mean([m.similarity for m in maps], axis=0))
    assert np.isnan(mean.similarity[0, 5])
    assert mean.n_too_few == 1
    with pytest.raises(InputError, match="at least 2 subjects, got 1"):
        mean_map(maps[:1])


@pytest.mark.parametrize("statistic", ["tfce", "max", "cluster-mass"])
def test_group_test_is_sign_flip_test_on_the_grid(statistic):
    rng = np.random.default_rng(0)
    values = rng.normal(0.0, 0.1, (8, 5, 6, 4))
    values[:, 1:4, 1:4, 1:3] += 0.2
    values[2, 0, 0, 0] = np.nan
    maps = [smooth_map(v) for v in values]
    with pytest.warns(UserWarning, match="1 of 120 centres are left out: some of 8 subjects"):
        test = group_test(maps, statistic=statistic, tail="greater")
    graph = None if statistic == "max" else rf.inference.grid_neighbours((5, 6, 4))
    values[:, 0, 0, 0] = np.nan
    expected = rf.inference.sign_flip_test(
        values.reshape(8, -1), statistic=statistic, neighbours=graph, tail="greater"
    )
    np.testing.assert_array_equal(test.p, expected.p)
    p = test.p.reshape(5, 6, 4)
    assert (p[1:4, 1:4, 1:3] < 0.05).mean() > (0.4 if statistic == "max" else 0.9)
    assert maps[0].space.to_img(test.p).shape == (5, 6, 4)


def test_group_test_of_a_difference():
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    maps = [
        run(
            brain_of(rng)[0],
            mask,
            conditions=NAMES,
            models=models_of(np.random.default_rng(9)),
            radius=6.0,
        )
        for _ in range(7)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = group_test(maps, model="m1", minus="m0", statistic="max")
        other = group_test(maps, model="m0", minus="m1", statistic="max")
    np.testing.assert_allclose(test.t, -other.t)
    difference = np.array([m.similarity[1] - m.similarity[0] for m in maps])
    t = difference.mean(0) / (difference.std(0, ddof=1) / np.sqrt(7))
    np.testing.assert_allclose(test.t[~np.isnan(test.t)], t[~np.isnan(test.t)], atol=1e-8)


# A simulated brain --------------------------------------------------------------------------------


def maps_of(brain, radius=6.0, **options):
    return [
        run(
            img,
            brain.mask_img,
            conditions=brain.conditions,
            models=brain.models,
            radius=radius,
            **options,
        )
        for img in brain.imgs
    ]


def test_a_simulated_brain_is_what_it_says():
    models = simulated_layers(4, n_conditions=12, seed=3)
    places = {"simulated layer_1": (6, 5, 6), "simulated layer_4": (7, 13, 7)}
    brain = simulated_brain(
        models,
        planted=places,
        n_subjects=3,
        n_runs=4,
        shape=(14, 18, 13),
        region_radius=6.5,
        signal=2.0,
        seed=5,
    )
    inside = brain.mask_img.get_fdata() > 0
    truth = brain.truth_img.get_fdata()
    grid = np.argwhere(inside)
    expected = np.full(len(grid), -1)
    for number, center in ((0, (6, 5, 6)), (3, (7, 13, 7))):
        expected[np.linalg.norm(3.0 * (grid - center), axis=1) <= 6.5] = number
    np.testing.assert_array_equal(brain.truth, expected)
    assert brain.regions["n_voxels"].tolist() == [(truth == 1).sum(), (truth == 4).sum()]
    np.testing.assert_allclose(
        brain.regions.loc[1, ["x", "y", "z"]].astype(float),
        (brain.mask_img.affine @ [7, 13, 7, 1])[:3],
    )
    planted = grid[expected >= 0]
    gaps = np.linalg.norm(3.0 * (grid[:, None] - planted), axis=2).min(axis=1)
    np.testing.assert_array_equal(brain.reached(6.0), gaps <= 6.0 + 1e-5)
    # Crossnobis over a whole region is the planted squared distances: signal² · D, on average.
    conditions, runs = list(brain.conditions), list(brain.runs)
    assert brain.imgs[0].shape[3] == len(conditions) == 48
    for number in (0, 3):
        found = np.mean(
            [
                rf.compute_rdms(
                    img.get_fdata()[truth == number + 1].T,
                    conditions=conditions,
                    measure="crossnobis",
                    folds=runs,
                )
                .align(models.conditions)
                .vectors[0]
                for img in brain.imgs
            ],
            axis=0,
        )
        true = models.vectors[number]
        assert np.corrcoef(found, true)[0, 1] > 0.97
        # Coordinates have a mean squared length of 1, so distances have a mean of 2 n / (n − 1).
        assert found.mean() == pytest.approx(4.0 * 2 * 12 / 11, rel=0.1)
    noise = brain.imgs[1].get_fdata()[inside & (truth == 0)]
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    assert (brain.imgs[0].get_fdata()[~inside] == 0).all()
    assert brain.name == "simulated"
    assert "simulated" in brain.note
    assert set(models.labels["network"]) == {"simulated"}
    again = simulated_brain(
        models,
        planted=places,
        n_subjects=3,
        n_runs=4,
        shape=(14, 18, 13),
        region_radius=6.5,
        signal=2.0,
        seed=5,
    )
    np.testing.assert_array_equal(again.imgs[2].get_fdata(), brain.imgs[2].get_fdata())


def test_smooth_noise_is_smooth_and_of_variance_1():
    brain = simulated_brain(planted=[], n_subjects=1, smoothness=6.0)
    data = brain.imgs[0].get_fdata()
    inside = brain.mask_img.get_fdata() > 0
    assert data[inside].std() == pytest.approx(1.0, abs=0.03)
    both = inside[1:] & inside[:-1]
    r = np.corrcoef(data[1:][both].ravel(), data[:-1][both].ravel())[0, 1]
    # Noise smoothed by a Gaussian of sigma s correlates by exp(−d² / 4 s²).
    sigma = 6.0 / np.sqrt(8 * np.log(2))
    assert r == pytest.approx(np.exp(-9.0 / (4 * sigma**2)), abs=0.05)
    assert (brain.truth == -1).all()
    assert not brain.reached(8.0).any()


def test_models_that_no_pattern_can_have_are_named():
    models = models_of(np.random.default_rng(0))
    brain = simulated_brain(
        models, planted={"m2": (6, 6, 6)}, n_subjects=1, shape=(12, 14, 12), region_radius=6.0
    )
    assert 0 < brain.regions["left_out"][0] < 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"planted": ["layer 9"]}, "planted models among the 5 models, got 'layer 9'"),
        ({"planted": {"simulated layer_1": (0, 0, 0)}}, r"'simulated layer_1' within the brain"),
        ({"planted": {"simulated layer_1": (3, 4)}}, r"place \(i, j, k\) .* got \[3, 4\]"),
        (
            {"planted": {"simulated layer_1": (9, 9, 9), "simulated layer_2": (9, 11, 9)}},
            "'simulated layer_2' and 'simulated layer_1' overlap",
        ),
        ({"n_subjects": 0}, "n_subjects to be a whole number of at least 1, got 0"),
        ({"shape": (20, 24)}, r"3 numbers of voxels, got \(20, 24\)"),
        ({"voxel_size": 0.0}, "voxel_size to be a number above 0, got 0.0"),
        ({"signal": -1.0}, "signal to be a number of at least 0, got -1.0"),
    ],
)
def test_wrong_simulations_are_named(change, message):
    with pytest.raises(InputError, match=message):
        simulated_brain(**change)


def test_models_of_a_simulation_must_be_whole_and_named():
    models = simulated_layers()
    vectors = models.vectors.copy()
    vectors[1, 2] = np.nan
    with pytest.raises(InputError, match="without missing pairs, got 1 NaN"):
        simulated_brain(rf.RDMs(vectors, models.conditions, "a", models.labels))
    with pytest.raises(InputError, match="different names, got 'a' more than once"):
        simulated_brain(models.with_labels(name=["a", "a", "b", "c", "d"]))
    with pytest.raises(InputError, match="label 'name', got the labels"):
        simulated_brain(rf.RDMs(models.vectors, models.conditions, "a"))
    with pytest.raises(InputError, match="but all of model 0 are 0"):
        simulated_brain(rf.RDMs(np.zeros((1, 276)), models.conditions, "a", {"name": ["a"]}))
    with pytest.raises(TypeError, match="models as RDMs, got int"):
        simulated_brain(3)


@pytest.mark.parametrize("measure", ["correlation", "crossnobis"])
def test_planted_layers_win_where_they_were_planted(measure):
    brain = simulated_brain(n_subjects=6, signal=0.7, shape=(17, 20, 15), region_radius=7.5)
    folds = {"folds": brain.runs} if measure == "crossnobis" else {}
    maps = maps_of(brain, measure=measure, **folds)
    best = best_model_map(maps)
    for number in (0, 2, 4):
        here = brain.truth == number
        assert (best.index[here] == number).mean() > 0.9
        assert best.similarity[here].mean() > 0.4
        peak = mean_map(maps).peaks(number, n=1)
        center = brain.regions.set_index("model").loc[peak["model"][0]]
        distance = peak[["x", "y", "z"]].to_numpy()[0] - center[["x", "y", "z"]].to_numpy(float)
        assert np.linalg.norm(distance) <= 7.5
    far = ~brain.reached(6.0)
    # Chosen in the other subjects, noise has no similarity.
    assert abs(np.nanmean(best.similarity[far])) < 0.02
    np.testing.assert_array_equal(best.depth, [0.0, 0.25, 0.5, 0.75, 1.0])


@pytest.mark.simulation
@pytest.mark.slow
def test_places_without_a_model_are_found_at_the_nominal_rate():
    options = dict(n_subjects=10, n_runs=1, shape=(14, 16, 12), region_radius=6.0)
    critical = t_distribution.ppf(0.95, 9)
    rates, n_wrong, n_found = [], 0, 0
    for seed in range(60):
        brain = simulated_brain(seed=seed, planted=["simulated layer_3"], **options)
        far = ~brain.reached(6.0)
        maps = maps_of(brain)
        # Only where nothing is planted.
        empty = [
            dataclasses.replace(m, similarity=np.where(far, m.similarity, np.nan)) for m in maps
        ]
        test = group_test(empty, model=0, statistic="max", tail="greater", n_permutations=999)
        rates.append(np.nanmean(np.where(np.isnan(test.t), np.nan, test.t > critical)))
        n_wrong += np.nanmin(test.p) < 0.05
        if seed < 5:
            whole = group_test(maps, model=2, statistic="tfce", tail="greater", n_permutations=999)
            n_found += (whole.p[brain.truth == 2] < 0.05).mean() > 0.9
    assert n_found == 5
    # 60 studies at 0.05: more than 9 in less than 0.3 % of cases.
    assert n_wrong <= 9
    # Similarities are skewed a little to the right: a one-sided t finds a little less than 0.05.
    assert 0.035 < np.mean(rates) < 0.06


# What is wrong is said ----------------------------------------------------------------------------


def shifted(mask):
    affine = AFFINE.copy()
    affine[0, 3] += 1.0
    return nibabel.Nifti1Image(mask.get_fdata().astype(np.uint8), affine)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"method": "spearmann"}, InputError, "comparison method 'spearmann'. Did you mean 'spear"),
        ({"measure": "corelation"}, InputError, "measure 'corelation'. Did you mean 'correlation'"),
        ({"conditions": [*NAMES[:8], "other"]}, ConditionMismatchError, "only in models: 'c08'"),
        ({"conditions": "abc"}, TypeError, "got the single string 'abc'"),
        ({"conditions": [*NAMES, NAMES[0]]}, InputError, "9 volumes of img, got 10 conditions"),
        ({"radius": 0.0}, InputError, "in mm above 0, got 0.0"),
        ({"radius": 1.0}, InputError, "5 usable voxels within 1 mm .* got at most 1 at any"),
        ({"min_voxels": 0}, InputError, "min_voxels to be a whole number of at least 1, got 0"),
        ({"n_jobs": 0}, InputError, "n_jobs to be a whole number of at least 1, got 0"),
        ({"budget": "10KB"}, InputError, "expected a budget"),
        ({"budget": "60KB"}, InputError, "budget of at least .* got 0.06 MB"),
        ({"mask_img": None}, InputError, "expected `mask_img`"),
        ({"mask_img": "nowhere.nii"}, FileNotFoundError, "nowhere.nii does not exist"),
        ({"mask_img": 3}, TypeError, "to be a NIfTI image .* or a path, got int"),
        ({"mask_img": shifted}, InputError, r"mask_img on the grid of img, .*-20.*, got .*-19"),
        (
            {"mask_img": lambda m: nibabel.Nifti1Image(np.ones((6, 5, 5), np.uint8), AFFINE)},
            InputError,
            r"mask_img on the grid of img, shape \(6, 5, 4\) .*, got shape \(6, 5, 5\)",
        ),
        (
            {"mask_img": lambda m: nibabel.Nifti1Image(np.zeros((6, 5, 4), np.uint8), AFFINE)},
            InputError,
            "at least one place, but mask_img holds nothing other than 0",
        ),
        (
            {"img": nibabel.Nifti1Image(np.ones((6, 5, 4)), AFFINE)},
            InputError,
            r"4 dimensions.*got shape \(6, 5, 4\)",
        ),
        ({"img": np.ones((9, 64))}, InputError, "expected `mesh`"),
        ({"img": np.ones((9, 64)), "mesh": 3}, InputError, "a Surface or a pair .* got int"),
        ({"models": np.ones((1, 36))}, TypeError, "models as RDMs, got ndarray"),
        ({"measure": "crossnobis"}, InputError, "expected `folds` for the measure 'crossnobis'"),
        ({"folds": [1] * 9}, InputError, "'correlation' is not cross-validated"),
        ({"measure": "crossnobis", "folds": [1, 2]}, InputError, "9 fold labels.*got 2"),
        (
            {"measure": "crossnobis", "folds": [1] * 9},
            InputError,
            r"at least 2 folds.*only 1\. Give more runs",
        ),
        (
            {"measure": "crossnobis", "folds": [1] * 8 + [2]},
            InputError,
            "9 are missing: 'c08' in fold 1",
        ),
        ({"noise": "ledoit-wolf"}, InputError, "'correlation' uses no noise covariance"),
        ({"measure": "mahalanobis"}, InputError, "expected `noise` for the measure 'mahalanobis'"),
        (
            {"measure": "mahalanobis", "noise": "ledoit-wolf"},
            InputError,
            "every condition is there once. Give GLM residuals",
        ),
        ({"measure": "mahalanobis", "noise": "lw"}, InputError, "noise covariance method 'lw'"),
        ({"residuals": "r.nii"}, InputError, "expected `noise` with `residuals`"),
        ({"measure": "poisson"}, InputError, "rates of at least 0 .* got -"),
    ],
)
def test_wrong_input_is_named(change, error, message):
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    options = {
        "img": img,
        "mask_img": mask,
        "conditions": NAMES,
        "models": models_of(rng),
        "radius": 6.0,
    } | change
    if callable(options["mask_img"]):
        options["mask_img"] = options["mask_img"](mask)
    with pytest.raises(error, match=message):
        searchlight(options.pop("img"), progress=False, **options)


def test_arrays_must_fit_the_mesh():
    rng = np.random.default_rng(0)
    options = dict(conditions=NAMES, models=models_of(rng), mesh=sheet(rng))
    with pytest.raises(InputError, match=r"\(n_conditions, 64\).*got \(9, 63\)"):
        searchlight(np.ones((9, 63)), **options)
    with pytest.raises(TypeError, match="real numbers as img, got complex ones"):
        searchlight(np.ones((9, 64), complex), **options)


def test_two_conditions_are_too_few():
    rng = np.random.default_rng(0)
    models = rf.RDMs([[1.0]], ["a", "b"], "simulated")
    with (
        pytest.warns(UserWarning, match="'model 1'"),
        pytest.raises(InputError, match="at least 3 conditions, got 2"),
    ):
        searchlight(
            *brain_of(rng, 2)[:1], mask_img=brain_of(rng)[1], conditions=["a", "b"], models=models
        )


def test_models_without_all_pairs_cannot_be_whitened():
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    vectors = models_of(rng).vectors.copy()
    vectors[0, 0] = np.nan
    models = rf.RDMs(vectors, NAMES, "simulated")
    with pytest.raises(InputError, match="'corr_cov' needs every pair, but 1 pairs are missing"):
        searchlight(img, mask_img=mask, conditions=NAMES, models=models, method="corr_cov")


def test_what_is_doubtful_is_warned_of():
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    data = img.get_fdata()
    data[..., 3] = 1.0
    vectors = models_of(rng).vectors.copy()
    vectors[1] = 2.0
    models = rf.RDMs(vectors, NAMES, "simulated", {"name": ["a", "flat", "c"]})
    with pytest.warns(UserWarning, match="constant|centres") as caught:
        maps = searchlight(
            nibabel.Nifti1Image(data, AFFINE),
            mask_img=mask,
            conditions=NAMES,
            models=models,
            radius=5.5,
            progress=False,
        )
    said = " ".join(str(w.message) for w in caught)
    assert "1 models that are constant: 'flat'" in said
    assert f"{maps.n_too_few} of {maps.n_voxels.size} centres have fewer than 5 usable" in said
    assert f"at {maps.n_undefined} of {maps.n_voxels.size} centres some pairs" in said
    assert np.isnan(maps.similarity[1]).all()
    assert {w.filename for w in caught} == {__file__}


def test_results_say_what_is_wrong(a_map, tmp_path):
    with pytest.raises(InputError, match="one of the 3 in this map.*'m0', 'm1', 'm2'"):
        a_map.to_img()
    with pytest.raises(InputError, match="name of a model, got 'm7'. Did you mean"):
        a_map.to_img("m7")
    with pytest.raises(InputError, match="number from 0 to 2, got 3"):
        a_map.peaks(3)
    with pytest.raises(InputError, match="at least 0, got -1"):
        a_map.peaks(0, min_distance=-1)
    with pytest.raises(InputError, match="n to be a whole number of at least 1, got 0"):
        a_map.peaks(0, n=0)
    with pytest.raises(FileNotFoundError, match="none.h5 does not exist"):
        SearchlightMap.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match="text.h5 cannot be read"):
        SearchlightMap.load(tmp_path / "text.h5")
    models_of(np.random.default_rng(0)).save(tmp_path / "rdms.h5")
    with pytest.raises(InputError, match="has format 'rsa-faces RDMs'"):
        SearchlightMap.load(tmp_path / "rdms.h5")


def test_groups_say_what_is_wrong(a_map):
    with pytest.raises(InputError, match="at least 3 subjects, got 2"):
        best_model_map([a_map, a_map])
    with pytest.raises(InputError, match="at least 2 subjects, got 1"):
        group_test([a_map], model=0)
    other = smooth_map(np.zeros((3, 3, 3)))
    with pytest.raises(InputError, match=r"one space, but map 1 is in Volume\(27 of"):
        group_test([a_map, other], model=0)
    values = smooth_map(np.zeros((3, 3, 3))).__dict__ | {"radius": 9.0}
    with pytest.raises(InputError, match="same radius, but map 1 has 9.0 and map 0 8.0"):
        group_test([other, SearchlightMap(**values)])
    rng = np.random.default_rng(0)
    img, mask = brain_of(rng)
    with pytest.raises(InputError, match="at least 2 subjects for a noise ceiling, got 1"):
        ceiling_map([img], mask_img=mask, conditions=NAMES)


def test_ranks_of_the_loop_are_ranks():
    """The comparison the loop uses is Pearson's of average ranks."""
    rng = np.random.default_rng(0)
    models = models_of(rng)
    a, b = rankdata(models.vectors[0]), rankdata(models.vectors[2])
    expected = np.corrcoef(a, b)[0, 1]
    assert rf.compare(models[0], models[2], method="spearman")[0, 0] == pytest.approx(expected)
