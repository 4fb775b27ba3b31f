"""compute_rdms: the door to the measures, averaging of repeats, noise, warnings and errors."""

import re
import tracemalloc
import warnings
from collections.abc import Mapping

import numpy as np
import pytest
import reference

import rsa_faces as rf
from rsa_faces.rdm import MEASURES, NOISE_METHODS, noise_covariance

NAMES = list("abcde")


class FakeActivations(Mapping):
    """What compute_rdms needs of Activations."""

    def __init__(self, layers, conditions):
        self._layers, self.conditions, self.network = layers, conditions, "net"
        self.depth = {name: (i + 1) / len(layers) for i, name in enumerate(layers)}

    def __getitem__(self, layer):
        return self._layers[layer]

    def __iter__(self):
        return iter(self._layers)

    def __len__(self):
        return len(self._layers)


def patterns_of(seed=0, shape=(5, 12)):
    return np.random.default_rng(seed).gamma(2.0, size=shape)


def design(n_folds=3, n_repeats=2, seed=0, shuffle=True):
    """Observations of 5 conditions in folds, with repeats, in random order."""
    rng = np.random.default_rng(seed)
    conditions = np.tile(NAMES, n_folds * n_repeats)
    folds = np.repeat(np.arange(n_folds), 5 * n_repeats)
    order = rng.permutation(len(folds)) if shuffle else np.arange(len(folds))
    observations = rng.normal(size=(len(folds), 8)) + np.arange(5)[np.arange(len(folds)) % 5, None]
    return observations[order], conditions[order].tolist(), folds[order].tolist()


def cell_means(observations, conditions, folds):
    """Return means (n_folds, n_conditions, n_channels), conditions in order of appearance."""
    names = list(dict.fromkeys(conditions))
    means = [
        [
            observations[
                [i for i in range(len(folds)) if folds[i] == f and conditions[i] == c]
            ].mean(axis=0)
            for c in names
        ]
        for f in sorted(set(folds))
    ]
    return np.array(means), names


# --- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16, bool])
@pytest.mark.parametrize("measure", sorted(set(MEASURES) - {"mahalanobis", "crossnobis"}))
def test_one_array(measure, dtype):
    patterns = (3 * patterns_of()).astype(np.int16) % 2 if dtype is bool else 3 * patterns_of()
    patterns = patterns.astype(dtype)
    rdms = rf.compute_rdms(patterns, measure=measure, conditions=NAMES)
    assert rdms.conditions == tuple(NAMES)
    assert rdms.measure == measure
    assert rdms.vectors.shape == (1, 10)
    assert rdms.labels.shape == (1, 0)
    expected = reference.MEASURES[measure](patterns)
    np.testing.assert_allclose(rdms.vectors[0], expected, rtol=1e-12, atol=1e-12)


def test_mapping():
    data = {"V1": patterns_of(1), "IT": patterns_of(2, (5, 7))}
    rdms = rf.compute_rdms(data, conditions=NAMES)
    assert rdms.labels["name"].tolist() == ["V1", "IT"]
    for row, patterns in zip(rdms.vectors, data.values(), strict=True):
        np.testing.assert_allclose(row, reference.correlation(patterns), rtol=1e-12)


def test_activations():
    layers = {"conv": patterns_of(1).astype(np.float32), "fc": patterns_of(2).astype(np.float32)}
    rdms = rf.compute_rdms(FakeActivations(layers, tuple(NAMES)))
    assert rdms.labels.to_dict("list") == {
        "network": ["net", "net"],
        "layer": ["conv", "fc"],
        "layer_index": [0, 1],
        "depth": [0.5, 1.0],
    }
    assert rdms.conditions == tuple(NAMES)


@pytest.mark.parametrize(
    "strided", [lambda a: a.T.copy().T, lambda a: a[::-1][::-1], np.asfortranarray]
)
def test_memory_layout_and_input_unchanged(strided):
    patterns = strided(patterns_of())
    before = patterns.copy()
    ours = rf.compute_rdms(patterns, conditions=NAMES).vectors[0]
    np.testing.assert_allclose(ours, reference.correlation(before), rtol=1e-12)
    np.testing.assert_array_equal(patterns, before)


def test_memory_does_not_grow_with_channels():
    patterns = np.random.default_rng(0).normal(size=(20, 500_000)).astype(np.float32)
    tracemalloc.start()
    rf.compute_rdms(patterns, conditions=[f"c{i}" for i in range(20)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 160e6  # a few blocks of 32 MiB; a float64 copy with its centred twin is 160 MB


# --- crossnobis and mahalanobis ------------------------------------------------------------------


@pytest.mark.parametrize("n_repeats", [1, 2])
@pytest.mark.parametrize("n_folds", [2, 4])
def test_crossnobis(n_folds, n_repeats):
    observations, conditions, folds = design(n_folds, n_repeats)
    rdms = rf.compute_rdms(observations, measure="crossnobis", conditions=conditions, folds=folds)
    means, names = cell_means(observations, conditions, folds)
    assert rdms.conditions == tuple(names)
    np.testing.assert_allclose(rdms.vectors[0], reference.crossnobis(means), atol=1e-12)
    assert "shrinkage" not in rdms.labels


def test_crossnobis_unbalanced_repeats_average_within_folds():
    observations, conditions, folds = design(3, 2)
    drop = [i for i, (c, f) in enumerate(zip(conditions, folds, strict=True)) if (c, f) == ("b", 1)]
    keep = [i for i in range(len(folds)) if i != drop[0]]
    observations = observations[keep]
    conditions, folds = [conditions[i] for i in keep], [folds[i] for i in keep]
    rdms = rf.compute_rdms(observations, measure="crossnobis", conditions=conditions, folds=folds)
    expected = reference.crossnobis(cell_means(observations, conditions, folds)[0])
    np.testing.assert_allclose(rdms.vectors[0], expected, atol=1e-12)


def test_crossnobis_with_given_noise():
    observations, conditions, folds = design(3, 2)
    folds = [2 - f for f in folds] if folds[0] == 0 else folds
    assert folds[0] != min(folds)  # covariances are for folds in sorted order, not in this one
    means, _ = cell_means(observations, conditions, folds)
    roots = np.random.default_rng(1).normal(size=(3, 8, 16))
    several = roots @ roots.transpose(0, 2, 1) / 16
    for noise in (several[0], several):
        rdms = rf.compute_rdms(
            observations, measure="crossnobis", conditions=conditions, folds=folds, noise=noise
        )
        np.testing.assert_allclose(rdms.vectors[0], reference.crossnobis(means, noise), rtol=1e-9)


@pytest.mark.parametrize("method", NOISE_METHODS)
def test_crossnobis_with_estimated_noise(method):
    observations, conditions, folds = design(3, 2)
    means, names = cell_means(observations, conditions, folds)
    cells = zip(folds, conditions, strict=True)  # folds are 0, 1, 2
    residuals = observations - np.array([means[f, names.index(c)] for f, c in cells])
    covariance, shrinkage = reference.NOISE_METHODS[method](residuals, len(folds) - 15)
    rdms = rf.compute_rdms(
        observations, measure="crossnobis", conditions=conditions, folds=folds, noise=method
    )
    np.testing.assert_allclose(rdms.vectors[0], reference.crossnobis(means, covariance), rtol=1e-8)
    assert rdms.labels["shrinkage"][0] == pytest.approx(shrinkage, rel=1e-8)


@pytest.mark.parametrize("method", NOISE_METHODS)
def test_crossnobis_is_unbiased_with_noise_estimated_from_the_same_data(method):
    """Noise estimated from differences between folds would give 0.03 to 1.4 here, not 0."""
    _, conditions, folds = design(3, 2, shuffle=False)
    rng, values = np.random.default_rng(0), []
    for _ in range(200):
        observations = rng.normal(size=(30, 8))  # no signal
        rdms = rf.compute_rdms(
            observations, measure="crossnobis", conditions=conditions, folds=folds, noise=method
        )
        values.append(rdms.vectors.mean())
    # Within 3 standard errors of 0; the bias would be beyond 4.
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("method", NOISE_METHODS)
def test_mahalanobis_from_repeats(method):
    observations, conditions, _ = design(2, 2)
    names = list(dict.fromkeys(conditions))
    which = np.array([names.index(c) for c in conditions])
    means = np.array([observations[which == i].mean(axis=0) for i in range(5)])
    noise = noise_covariance(observations - means[which], method=method, n_estimated=5)
    rdms = rf.compute_rdms(
        {"x": observations}, measure="mahalanobis", conditions=conditions, noise=method
    )
    expected = reference.mahalanobis(means, noise.covariance)
    np.testing.assert_allclose(rdms.vectors[0], expected, rtol=1e-9)
    assert rdms.labels.to_dict("list") == {"name": ["x"], "shrinkage": [noise.shrinkage]}
    given = rf.compute_rdms(means, measure="mahalanobis", conditions=names, noise=noise.covariance)
    np.testing.assert_allclose(given.vectors, rdms.vectors, rtol=1e-12)
    assert "shrinkage" not in given.labels


# --- warnings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "value", "what"),
    [("correlation", 0.1, "constant over channels"), ("cosine", 0.0, "zero in all channels")],
)
def test_undefined_pattern_is_named_and_does_not_spread(measure, value, what):
    patterns = patterns_of()
    patterns[2] = value
    data = {"good": patterns_of(1), "bad": patterns, "last": patterns_of(3)}
    message = f"1 patterns in 'bad' are {what} and have no {measure}: 'c'. Their pairs are NaN"
    with pytest.warns(UserWarning, match=re.escape(message)) as seen:
        rdms = rf.compute_rdms(data, measure=measure, conditions=NAMES)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert np.isnan(rdms.vectors).sum(axis=1).tolist() == [0, 4, 0]


def test_all_patterns_undefined():
    with pytest.warns(UserWarning, match="5 patterns are constant .*'a', 'b', 'c', 'd', 'e'"):
        assert np.isnan(rf.compute_rdms(np.ones((5, 3)), conditions=NAMES).vectors).all()


def test_no_warning_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for measure in sorted(set(MEASURES) - {"mahalanobis", "crossnobis"}):
            rf.compute_rdms(patterns_of(), measure=measure, conditions=NAMES)


# --- errors --------------------------------------------------------------------------------------

BAD = patterns_of()
BAD[1, 3], BAD[4, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (patterns_of(), {"measure": "correlations"}, "'correlations'.*'correlation'"),
        (patterns_of(), {"conditions": None}, "expected `conditions`"),
        (patterns_of(), {"conditions": list("abcd")}, r"shape \(4, n_channels\).*got \(5, 12\)"),
        (patterns_of(), {"conditions": list("aacde")}, "unique condition names.*'a'"),
        (patterns_of(shape=(5, 0)), {}, r"got \(5, 0\)"),
        (patterns_of(shape=(5, 2, 3)), {}, r"got \(5, 2, 3\)"),
        (patterns_of(shape=(0, 3)), {"conditions": []}, "at least 2 conditions, got 0"),
        (patterns_of(shape=(1, 3)), {"conditions": ["a"]}, "at least 2 conditions, got 1"),
        (BAD, {}, "2 conditions hold NaN or infinite values: 'b', 'e'"),
        ({"V1": BAD}, {}, "patterns of 'V1', but 2 conditions"),
        ({"V1": patterns_of(shape=(4, 3))}, {}, r"patterns of 'V1'.*got \(4, 3\)"),
        ({}, {}, "empty mapping"),
        (-patterns_of(), {"measure": "poisson"}, "rates of at least 0"),
        (patterns_of(), {"noise": "ledoit-wolf"}, "'correlation' uses no noise"),
        (patterns_of(), {"folds": [0, 1, 0, 1, 0]}, "'correlation' is not cross-validated"),
        (patterns_of(), {"measure": "mahalanobis"}, "`noise` for the measure 'mahalanobis'"),
        (patterns_of(), {"measure": "crossnobis"}, "`folds` for the measure 'crossnobis'"),
    ],
)
def test_doors(data, options, message):
    with pytest.raises(rf.InputError, match=message):
        rf.compute_rdms(data, **{"conditions": NAMES, **options})


@pytest.mark.parametrize("patterns", [patterns_of().astype(complex), np.full((5, 2), "x")])
def test_wrong_type(patterns):
    with pytest.raises(TypeError, match=str(patterns.dtype)):
        rf.compute_rdms(patterns, conditions=NAMES)


def test_conditions_as_one_string():
    with pytest.raises(TypeError, match="'abcde'"):
        rf.compute_rdms(patterns_of(), conditions="abcde")


def test_mahalanobis_doors():
    options = {"measure": "mahalanobis", "conditions": NAMES}
    with pytest.raises(rf.InputError, match="every condition is there once. Give a noise"):
        rf.compute_rdms(patterns_of(), noise="ledoit-wolf", **options)
    with pytest.raises(rf.InputError, match="'ledoit'.*'ledoit-wolf'"):
        rf.compute_rdms(
            patterns_of(shape=(6, 12)),
            noise="ledoit",
            measure="mahalanobis",
            conditions=[*NAMES, "a"],
        )
    for noise, message in [
        (np.eye(3), r"shape \(12, 12\).*got \(3, 3\)"),
        (np.stack([np.eye(12)] * 2), r"got \(2, 12, 12\)"),
        (np.triu(np.ones((12, 12))), "symmetric"),
        (np.ones((12, 12)), "positive definite"),
        (np.full((12, 12), np.nan), "symmetric|finite"),
    ]:
        with pytest.raises(rf.InputError, match=message):
            rf.compute_rdms(patterns_of(), noise=noise, **options)


def test_crossnobis_doors():
    observations, conditions, folds = design(3, 1, shuffle=False)

    def crossnobis(rows=slice(None), folds=folds, noise=None):
        return rf.compute_rdms(
            observations[rows],
            measure="crossnobis",
            conditions=conditions[rows],
            folds=folds,
            noise=noise,
        )

    with pytest.raises(rf.InputError, match="15 fold labels, one per row, got 14"):
        crossnobis(folds=folds[1:])
    with pytest.raises(rf.InputError, match="at least 2 folds .* got only 'run'"):
        crossnobis(folds=["run"] * 15)
    with pytest.raises(rf.InputError, match="2 are missing: 'a' in fold 0, 'b' in fold 0"):
        crossnobis(slice(2, None), folds[2:])
    with pytest.raises(rf.InputError, match="once in each fold.*would bias distances"):
        crossnobis(noise="ledoit-wolf")
    with pytest.raises(rf.InputError, match="each of 3 folds, got 2"):
        crossnobis(noise=np.stack([np.eye(8)] * 2))
