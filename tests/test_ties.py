"""Dissimilarities that are equal are equal in RDMs, by whichever door they are made."""

import warnings
from fractions import Fraction

import nibabel
import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

import rsa_faces as rf
from rsa_faces.mapping import searchlight
from rsa_faces.rdm import MEASURES
from rsa_faces.rdm._ties import n_almost_tied, settle

PLAIN = ("sqeuclidean", "euclidean", "correlation", "cosine")


def one_hot():
    """Patterns of 15 people with 4 faces each."""
    return np.repeat(np.eye(15), 4, axis=0)


def names_of(patterns):
    return [f"face {i:03d}" for i in range(len(patterns))]


def exact_ranks(patterns, measure):
    """Return ranks of dissimilarities of whole numbers, in exact arithmetic; and where defined."""
    x = np.asarray(patterns).astype(np.int64)
    products = x @ x.T
    if measure == "correlation":
        sums = x.sum(axis=1)
        products = x.shape[1] * products - np.outer(sums, sums)
    own = np.diagonal(products)
    row, col = np.triu_indices(len(x), k=1)
    if "euclidean" in measure:
        values = own[row] + own[col] - 2 * products[row, col]
        return stats.rankdata(values), np.ones(len(row), bool)
    defined = (own[row] > 0) & (own[col] > 0)
    cosines = [
        Fraction(int(np.sign(g)) * int(g) ** 2, int(a) * int(b))
        for g, a, b in zip(
            products[row, col][defined], own[row][defined], own[col][defined], strict=True
        )
    ]
    place = {value: i for i, value in enumerate(sorted(set(cosines), reverse=True))}
    return stats.rankdata([place[value] for value in cosines]), defined


@pytest.mark.parametrize("measure", PLAIN)
def test_one_hot_patterns_have_two_dissimilarities(measure):
    patterns = one_hot()
    rdms = rf.compute_rdms(patterns, conditions=names_of(patterns), measure=measure)
    assert len(np.unique(rdms.vectors)) == 2
    assert (rdms.vectors[rdms.vectors < 0.1] == 0).all()
    np.testing.assert_allclose(rdms.vectors[0], pdist(patterns, measure), atol=1e-15)
    same = rf.rdm.model_rdm_from_labels(np.repeat(range(15), 4), conditions=names_of(patterns))
    for method in ("spearman", "kendall", "rho-a", "tau-a"):
        largest = rf.comparison.max_similarity(rdms, method=method)
        np.testing.assert_array_equal(largest, rf.comparison.max_similarity(same, method=method))
        np.testing.assert_allclose(
            rf.compare(rdms, rdms, method=method), rf.compare(same, same, method=method)
        )


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("measure", PLAIN)
@pytest.mark.parametrize("n_channels", [2, 5, 40, 3000])
@pytest.mark.parametrize("most", [1, 6])
def test_whole_numbers_are_ranked_as_in_exact_arithmetic(most, n_channels, measure, single):
    patterns = np.random.default_rng(most).integers(0, most + 1, size=(24, n_channels))
    patterns[3] = patterns[11]
    with np.errstate(all="ignore"):
        if single:
            vector = MEASURES[measure].of_layer(patterns.astype(np.float32))
        else:
            vector = MEASURES[measure](patterns.astype(np.float64))
    ranks, defined = exact_ranks(patterns, measure)
    np.testing.assert_array_equal(np.isnan(vector), ~defined)
    np.testing.assert_array_equal(stats.rankdata(vector[defined]), ranks)
    if "euclidean" in measure:
        np.testing.assert_array_equal(vector, pdist(patterns, measure))


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_correlations_of_two_channels_are_all_or_none(scale):
    patterns = np.random.default_rng(0).normal(size=(30, 2)) * scale + scale
    vector = MEASURES["correlation"](patterns)
    np.testing.assert_array_equal(np.unique(vector), [0.0, 2.0])


@pytest.mark.parametrize("seed", range(20))
def test_collinear_patterns_are_constant_and_so_undefined(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 300))
    one = rng.normal(size=n) * 10.0 ** rng.uniform(-4, 4)
    patterns = np.outer(rng.random(12) + 0.1, one) + rng.normal(size=(12, 1))
    rdms = rf.compute_rdms(patterns, conditions=names_of(patterns))
    np.testing.assert_array_equal(rdms.vectors, 0.0)
    other = rf.RDMs(rng.random(66), rdms.conditions, "simulated")
    with pytest.warns(UserWarning, match="undefined"):
        assert np.isnan(rf.compare(rdms, other, method="spearman")).all()
    cosines = MEASURES["cosine"](np.outer(rng.random(12) + 0.1, one))
    np.testing.assert_array_equal(cosines, 0.0)


def test_what_differs_by_more_than_rounding_stays_different():
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(40, 50))
    for measure in PLAIN:
        assert len(np.unique(MEASURES[measure](patterns))) == 780
    base = rng.normal(size=50)
    near = np.stack([base + 10.0**-k * rng.normal(size=50) for k in range(1, 7)])
    vector = MEASURES["correlation"](near)
    assert (vector > 0).all()
    assert len(np.unique(vector)) == len(vector)


def test_layers_of_a_network():
    """Black and white images, three of them twice, whose layer is multiplied in float32."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, size=(6, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2) * 255
    images = [*images, *images[:3]]
    names = [f"face {i}" for i in range(9)]
    stimuli = rf.StimulusSet.from_arrays([i.astype(np.uint8) for i in images], names)
    network = rf.load_network("pixels", device="cpu")
    rdms = rf.layer_rdms(network, stimuli, measure="correlation", progress=False)
    (layer,) = rdms.labels["layer"]
    pixels = rf.extract(network, stimuli, progress=False)[layer].astype(np.float64)
    exact = stats.rankdata(np.round(pdist(pixels, "correlation"), 9))
    np.testing.assert_array_equal(stats.rankdata(rdms.vectors[0]), exact)


def test_searchlights():
    rng = np.random.default_rng(0)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    codes = rng.integers(0, 2, size=(4, 4, 4, 12)).astype(float)
    mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), affine)
    names = [f"face {i}" for i in range(12)]
    model = rf.RDMs(rng.random(66), names, "simulated")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for measure in PLAIN:
            maps = searchlight(
                nibabel.Nifti1Image(codes, affine),
                mask_img=mask,
                conditions=names,
                models=model,
                radius=5.0,
                measure=measure,
                method="kendall",
                progress=False,
            )
            inside = codes[maps.space.mask]
            for (c,), _, indices in maps.space.searchlights(5.0).batches(1):
                used = indices[np.ptp(inside[indices], axis=1) > 0]
                ranks, defined = exact_ranks(inside[used].T, measure)
                expected = stats.kendalltau(model.vectors[0][defined], ranks).statistic
                np.testing.assert_allclose(maps.similarity[0, c], expected, atol=1e-12)


@pytest.mark.parametrize("measure", ["crossnobis", "poisson"])
def test_searchlights_have_the_ties_of_compute_rdms(measure):
    rng = np.random.default_rng(0)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    counts = rng.integers(0, 3, size=(4, 4, 4, 24)).astype(float)
    names = [f"face {i:02d}" for i in range(12)]
    model = rf.RDMs(rng.random(66), names, "simulated")
    options = {"folds": np.repeat([0, 1], 12)} if measure == "crossnobis" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = searchlight(
            nibabel.Nifti1Image(counts, affine),
            conditions=names * 2,
            models=model,
            radius=5.0,
            mask_img=nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), affine),
            measure=measure,
            method="kendall",
            progress=False,
            **options,
        )
        inside = counts[maps.space.mask]
        n_tied = 0
        for (c,), _, indices in maps.space.searchlights(5.0).batches(1):
            patterns = inside[indices].T
            if not options:
                patterns = patterns.reshape(2, 12, -1).mean(axis=0)
            own = names * (len(patterns) // 12)
            here = rf.compute_rdms(patterns, conditions=own, measure=measure, **options)
            n_tied += 66 - len(np.unique(here.vectors))
            expected = rf.compare(model, here, method="kendall")[0, 0]
            np.testing.assert_allclose(maps.similarity[0, c], expected, atol=1e-12)
    assert n_tied > 20


def test_settling():
    tiny = 1e-16
    values = np.array([1.0, 1 + 3e-16, 0.5, np.nan, tiny, 0.5 - 1e-16, 2 - 4e-16])
    settled = settle(values, 5e-16, exact=(0.0, 2.0))
    np.testing.assert_array_equal(settled[[4, 6]], [0.0, 2.0])
    assert settled[0] == settled[1]
    assert settled[2] == settled[5]
    assert np.isnan(settled[3])
    fine = np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])
    assert settle(fine, 1e-15) is fine
    order = np.random.default_rng(0).permutation(7)
    np.testing.assert_array_equal(settle(values[order], 5e-16, exact=(0.0, 2.0)), settled[order])


def test_values_that_are_almost_tied_are_counted():
    assert n_almost_tied(np.array([0.3, 0.1 + 0.2, 0.5, np.nan])) == 1
    assert n_almost_tied(np.array([0.3, 0.3, 0.5])) == 0


def test_rdms_from_files_stay_as_they_are_with_a_note(tmp_path):
    values = np.array([[0.3, 0.1 + 0.2, 0.5]])
    rdms = rf.RDMs(values, list("abc"), "simulated")
    rdms.save(tmp_path / "rdms.h5")
    np.save(tmp_path / "rdms.npy", values)
    for file in ("rdms.h5", "rdms.npy"):
        with pytest.warns(UserWarning, match="1 dissimilarities of .*in the last digit only"):
            read = rf.io.read_rdms(tmp_path / file, conditions=list("abc"))
        np.testing.assert_array_equal(read.vectors, values)
