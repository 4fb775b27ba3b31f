"""Measures and methods are objects: new ones go through every door, no name is compared."""

import re
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.spatial.distance import pdist

import rsa_faces as rf
from rsa_faces.comparison import METHODS, Method
from rsa_faces.comparison.methods import pool_ranks
from rsa_faces.inference import (
    evaluate_flexible,
    noise_ceiling,
    permutation_test,
    shared_structure,
    time_generalization,
)
from rsa_faces.mapping import ceiling_map, searchlight
from rsa_faces.rdm import MEASURES, Measure

N = 9
NAMES = [f"face_{i}" for i in range(N)]


# What a user writes: a measure and a method -------------------------------------------------------


def manhattan(patterns):
    row, col = np.triu_indices(len(patterns), k=1)
    return np.abs(patterns[row] - patterns[col]).sum(axis=1)


def signs(vectors):
    return np.sign(vectors[:, :, None] - vectors[:, None, :]).reshape(len(vectors), -1)


def concordance(model, data):
    return weighted_concordance(model, data, np.ones((1, model.shape[1])))[0]


def weighted_concordance(model, data, weights):
    both = (weights[:, :, None] * weights[:, None, :]).reshape(len(weights), -1)
    sums = np.einsum("bp,mp,dp->bmd", both, signs(model), signs(data), optimize=True)
    n = weights.sum(axis=1)
    return sums / (n * (n - 1))[:, None, None]


MANHATTAN = Measure("manhattan", manhattan, label="Manhattan distance")
CONCORDANCE = Method(
    "concordance",
    concordance,
    citation="A. Author (2026). A journal 1, 1.",
    weighted=weighted_concordance,
    whole_weights=True,
    pooling=pool_ranks,
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(MEASURES, "manhattan", MANHATTAN)
    monkeypatch.setitem(METHODS, "concordance", CONCORDANCE)


# The doors ----------------------------------------------------------------------------------------


def some_rdms(seed=0, n_subjects=5):
    rng = np.random.default_rng(seed)
    shared = rng.random(N * (N - 1) // 2)
    model = rf.RDMs(
        shared + rng.random((3, len(shared))),
        NAMES,
        "simulated",
        {"network": ["a", "a", "b"], "layer": ["x", "y", "x"], "layer_index": [0, 1, 0]},
    )
    subjects = {"subject": [f"s{i}" for i in range(n_subjects)]}
    data = rf.RDMs(shared + rng.random((n_subjects, len(shared))), NAMES, "simulated", subjects)
    return model, data


@pytest.mark.parametrize("measure", ["manhattan", manhattan, MANHATTAN])
def test_a_measure_in_compute_rdms(measure):
    patterns = np.random.default_rng(0).normal(size=(N, 20))
    rdms = rf.compute_rdms(patterns, conditions=NAMES, measure=measure)
    np.testing.assert_allclose(rdms.vectors[0], pdist(patterns, "cityblock"), rtol=1e-12)
    assert rdms.measure == "manhattan"


def test_what_a_measure_cannot_do_is_said():
    patterns = np.random.default_rng(0).normal(size=(N, 20))
    with pytest.raises(rf.InputError, match="'manhattan' uses no noise covariance"):
        rf.compute_rdms(patterns, conditions=NAMES, measure=manhattan, noise="ledoit-wolf")
    with pytest.raises(rf.InputError, match="'manhattan' is not cross-validated.*'crossnobis'"):
        rf.compute_rdms(patterns, conditions=NAMES, measure=manhattan, folds=range(N))
    with pytest.raises(rf.InputError, match=r"expected 36 dissimilarities.*'half'.*\(18,\)"):
        rf.compute_rdms(patterns, conditions=NAMES, measure=half)
    with pytest.raises(rf.InputError, match=r"expected similarities of shape \(3, 5\).*\(5, 3\)"):
        rf.compare(*some_rdms(), method=lambda x, y: concordance(x, y).T)


def half(patterns):
    return manhattan(patterns)[::2]


def test_a_measure_in_layer_rdms():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(N, 16, 16, 3), dtype=np.uint8)
    stimuli = rf.StimulusSet.from_arrays(list(images), NAMES)
    network = rf.load_network("pixels", device="cpu")
    activations = rf.extract(network, stimuli, progress=False)
    rdms = rf.layer_rdms(network, stimuli, measure=manhattan, progress=False)
    for layer, vector in zip(rdms.labels["layer"], rdms.vectors, strict=True):
        np.testing.assert_allclose(vector, pdist(activations[layer], "cityblock"), rtol=1e-6)
    with pytest.raises(rf.InputError, match="one pattern per condition, got 'twice'"):
        rf.layer_rdms(network, stimuli, measure=Measure("twice", manhattan, needs_folds=True))


def a_brain(seed, n=N):
    rng = np.random.default_rng(seed)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), affine)
    return nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, n)), affine), mask


def test_both_in_searchlights_and_their_ceilings():
    model, _ = some_rdms()
    img, mask = a_brain(0)
    options = dict(mask_img=mask, conditions=NAMES, radius=5.0, progress=False)
    maps = searchlight(img, models=model, measure="manhattan", method="concordance", **options)
    assert (maps.measure, maps.method) == ("manhattan", "concordance")
    lights = maps.space.searchlights(5.0)
    inside = img.get_fdata()[maps.space.mask]
    for (c,), _, indices in lights.batches(1):
        vector = pdist(inside[indices].T, "cityblock")[None]
        expected = concordance(model.vectors, vector)[:, 0]
        np.testing.assert_allclose(maps.similarity[:, c], expected, atol=1e-12)
    imgs = [img, a_brain(1)[0], a_brain(2)[0]]
    own, theirs = (
        ceiling_map(imgs, measure=manhattan, method=m, **options) for m in ("concordance", "tau-a")
    )
    np.testing.assert_allclose(own.lower, theirs.lower, atol=1e-12)
    np.testing.assert_allclose(own.upper, theirs.upper, atol=1e-12)


@pytest.mark.parametrize("method", ["concordance", CONCORDANCE])
def test_a_method_in_comparison_and_inference(method):
    model, data = some_rdms()
    np.testing.assert_allclose(
        rf.compare(model, data, method=method), rf.compare(model, data, method="tau-a"), atol=1e-12
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [rf.evaluate(model, data, method=m, n_boot=40) for m in (method, "tau-a")]
        flexible = [
            evaluate_flexible(
                model, data, method=m, fit="nnls", n_folds=2, n_cv=2, n_boot=6, bootstrap="subjects"
            )
            for m in (method, "tau-a")
        ]
    for own, theirs in (results, flexible):
        numbers = own.table.select_dtypes("number").columns.difference(["max_similarity"])
        pd.testing.assert_frame_equal(own.table[numbers], theirs.table[numbers], rtol=1e-9)
        assert set(own.table["method"]) == {"concordance"}
    own, theirs = (
        permutation_test(model, data, method=m, n_permutations=99) for m in (method, "tau-a")
    )
    np.testing.assert_array_equal(own.p, theirs.p)
    np.testing.assert_allclose(own.similarity, theirs.similarity, atol=1e-12)


def test_ceilings_and_weights_of_a_method_with_missing_pairs():
    model, data = some_rdms()
    vectors = data.vectors.copy()
    vectors[0, 3] = vectors[2, 7] = np.nan
    data = rf.RDMs(vectors, NAMES, "simulated", data.labels)
    own, theirs = (noise_ceiling(data, method=m) for m in ("concordance", "tau-a"))
    np.testing.assert_allclose([own.lower, own.upper], [theirs.lower, theirs.upper], atol=1e-12)
    weights = np.ones(data.vectors.shape)
    with pytest.raises(rf.InputError, match="takes weights.*got 'concordance'"):
        rf.compare(model, data, method="concordance", weights=weights)
    scale_free = Method(
        "mean",
        lambda x, y: weighted_mean(x, y, np.ones((1, x.shape[1])))[0],
        weighted=weighted_mean,
    )
    weights[:, 5] = 2.0
    got = rf.compare(model, data, method=scale_free, weights=weights)
    weights = np.where(np.isnan(vectors), 0, weights)
    for j, vector in enumerate(np.nan_to_num(vectors)):
        expected = weighted_mean(model.vectors, vector[None], weights[[j]])
        np.testing.assert_allclose(got[:, j], expected[0, :, 0], atol=1e-12)


def weighted_mean(model, data, weights):
    sums = np.einsum("bp,mp,dp->bmd", weights, model, data)
    return sums / weights.sum(axis=1)[:, None, None]


def test_a_plain_function_does_what_needs_no_other_form_and_says_what_does():
    model, data = some_rdms()
    got = rf.compare(model, data, method=concordance)
    np.testing.assert_allclose(got, rf.compare(model, data, method="tau-a"), atol=1e-12)
    assert permutation_test(model, data, method=concordance, n_permutations=9).p.shape == (3,)
    assert -1 < noise_ceiling(data, method=concordance).lower < 1
    assert 0 < shared_structure(data, method=concordance, n_permutations=19) <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = rf.evaluate(model, data, method=concordance, bootstrap="subjects", n_boot=20)
    np.testing.assert_allclose(drawn.table["similarity"], got.mean(axis=1), atol=1e-12)
    with pytest.raises(rf.InputError, match="'concordance' has no weighted form"):
        rf.evaluate(model, data, method=concordance, n_boot=10)
    with pytest.raises(rf.InputError, match="'concordance', which has no partial form"):
        rf.compare(model, data, method=concordance, given=model[:1])
    with pytest.raises(rf.InputError, match="'concordance' uses no `sigma_k`"):
        rf.compare(model, data, method=concordance, sigma_k=np.eye(N))


def test_a_method_over_time():
    _, data = some_rdms(n_subjects=6)
    data = data.with_labels(subject=list("aabbcc"), time=[0.0, 0.1] * 3)
    own, theirs = (time_generalization(data, method=m) for m in ("concordance", "tau-a"))
    np.testing.assert_allclose(own.similarity, theirs.similarity, atol=1e-12)


def test_both_in_a_configuration_and_the_methods_text(tmp_path):
    from rsa_faces.runs import Config
    from rsa_faces.runs.compare.run import CompareRun

    rng = np.random.default_rng(0)
    _, data = some_rdms()
    (tmp_path / "faces").mkdir()
    for name in NAMES:
        image = Image.fromarray(rng.integers(0, 256, size=(32, 32, 3), dtype=np.uint8))
        image.save(tmp_path / "faces" / f"{name}.png")
    data.save(tmp_path / "data.h5")
    config = {
        "title": "a measure and a method of my own",
        "stimuli": {"folder": "faces"},
        "data": [{"rdms": "data.h5", "region": "IT"}],
        "networks": ["pixels"],
        "measure": "manhattan",
        "method": "concordance",
        "inference": {"n_boot": 100},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CompareRun(Config.read(tmp_path / "c.yaml"), tmp_path / "out", device="cpu").run()
    text = (tmp_path / "out" / "methods.md").read_text(encoding="utf-8")
    assert "Manhattan distance between the patterns" in text
    assert re.search(r"by concordance \[2\]", text)
    assert "2. A. Author (2026). A journal 1, 1." in text


# No other place -----------------------------------------------------------------------------------


def test_no_name_of_a_method_or_measure_is_compared_elsewhere():
    """What differs between methods and measures is a field of theirs, not an `if` elsewhere."""
    names = "|".join(re.escape(name) for name in [*METHODS, *MEASURES, "RANK_METHODS"])
    compared = re.compile(
        rf"\b(method|measure)\w*(\.name|\"\])?\s*(==|!=|(not )?in)\s*[\[({{]?\s*[\"']?({names})\b"
        rf"|[\"']({names})[\"']\s*(==|!=)\s*\w*(method|measure)"
        r"|\bmethod\w*\.(endswith|startswith)\("
    )
    package = Path(rf.__file__).parent
    own = {package / "comparison" / "methods.py", package / "rdm" / "measures.py"}
    found = [
        f"{path.relative_to(package)}:{number}: {line.strip()}"
        for path in sorted(package.rglob("*.py"))
        if path not in own
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if compared.search(line)
    ]
    assert not found, "\n".join(found)
