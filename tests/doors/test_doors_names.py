"""Names that come with data, and arguments of a wrong type: situations."""

import numpy as np
import pandas as pd
import torch
import xarray as xr
from situation import Situation, check, each

import rsa_faces as rf
from rsa_faces.analyses import readout, similarity_scores
from rsa_faces.behaviour import matrix_rdms
from rsa_faces.extraction import Activations
from rsa_faces.io import read_rdms
from rsa_faces.networks._weights import fill
from rsa_faces.rdm import model_rdm_from_labels
from rsa_faces.stimuli import StimulusSet

NAMES = list("abcd")
MIXED = list("cadb")
PATTERNS = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 6)), NAMES)
EXPECTED = rf.compute_rdms(PATTERNS.to_numpy(), conditions=NAMES)
LABELS = pd.Series(["x", "x", "y", "z"], NAMES)
MODEL = model_rdm_from_labels(LABELS.tolist(), conditions=NAMES)
SQUARE = pd.DataFrame(EXPECTED.matrices()[0], NAMES, NAMES)
FOLDS = {"measure": "crossnobis", "conditions": [*"ab"] * 4}
ROWS = np.random.default_rng(1).normal(size=(8, 5))


def same(rdms, expected=EXPECTED):
    np.testing.assert_allclose(rdms.align(expected.conditions).vectors, expected.vectors)


def rdms_of(values, conditions=NAMES):
    return lambda folder: same(rf.compute_rdms(values, conditions=conditions))


def model_of(values, conditions=NAMES):
    return lambda folder: same(model_rdm_from_labels(values, conditions=conditions), MODEL)


def refused(function, *values, **options):
    return lambda folder: function(*values, **options)


def names_refused(names):
    return refused(rf.compute_rdms, PATTERNS.to_numpy(), conditions=names)


def folds_refused(folds):
    return refused(rf.compute_rdms, ROWS, folds=folds, **FOLDS)


def saved_complex(folder):
    np.save(folder / "rdm.npy", SQUARE.to_numpy() + 1j)
    read_rdms(folder / "rdm.npy", conditions=NAMES)


def complex_weights(folder):
    linear = torch.nn.Linear(2, 1)
    state = linear.state_dict()
    fill(linear, state | {"weight": state["weight"] + 1j}, source="w.pt")


def complex_layer(folder):
    class Spectrum(torch.nn.Module):
        def forward(self, images):
            return torch.fft.fft(images)

    network = rf.load_network("pixels")
    network.module.pixels = Spectrum()
    rf.layer_rdms(network, STIMULI, layers="pixels", progress=False)


STIMULI = StimulusSet.from_arrays(np.arange(768, dtype=np.uint8).reshape(4, 8, 8, 3), NAMES)
TENSOR = torch.tensor(PATTERNS.to_numpy(), requires_grad=True)
ARRAY = xr.DataArray(PATTERNS.loc[MIXED].to_numpy(), dims=["f", "u"], coords={"f": MIXED})
CELLS = np.array([[np.array([name])] for name in NAMES], dtype=object)
HIDDEN = np.ma.masked_equal([[1.0, 9999, 2]] * 4, 9999)

NAMED = np.random.default_rng(2).normal(size=(4, 12))
SIGMA = pd.DataFrame(NAMED @ NAMED.T, NAMES, NAMES)
THREE = rf.RDMs(np.random.default_rng(3).random((3, 6)) + 1, NAMES, "m")


def compared(**options):
    return lambda folder: rf.compare(MODEL, THREE, **options)


def covariance_in_another_order(folder):
    by_name, by_position = (
        rf.compare(EXPECTED, THREE, method="cosine_cov", sigma_k=sigma_k)
        for sigma_k in (SIGMA.loc[MIXED, MIXED], SIGMA.to_numpy())
    )
    np.testing.assert_allclose(by_name, by_position)


def of_subjects(subjects, **options):
    return lambda folder: rf.evaluate(
        EXPECTED,
        THREE.with_labels(subject=subjects),
        **{"n_boot": 20, "generalise_to": "subjects", **options},
    )


def labels_of_a_sorted_table(folder):
    sorted_ = pd.Series(["x", "y", "z"], [2, 0, 1])
    for labelled in (
        THREE.with_labels(name=sorted_),
        rf.RDMs(THREE.vectors, NAMES, "m", {"name": sorted_}),
    ):
        assert labelled.labels["name"].tolist() == ["x", "y", "z"]


def groups_by_numbers(folder):
    numbered = [rdms.rename(dict(zip(NAMES, "0123", strict=True))) for rdms in (EXPECTED, THREE)]
    data = numbered[1].with_labels(subject=[1, 2, 3])
    one, other = (
        rf.evaluate(numbered[0], data, n_boot=20, groups=groups).to_frame()
        for groups in ({i: i for i in range(4)}, {str(i): i for i in range(4)})
    )
    pd.testing.assert_frame_equal(one, other)


SITUATIONS = [
    Situation("a covariance as a table in another order", covariance_in_another_order),
    Situation("labels of a table that was sorted", labels_of_a_sorted_table),
    Situation("groups of conditions that are numbers", groups_by_numbers),
    Situation(
        "weights as a table with names",
        compared(method="pearson", weights=pd.DataFrame(np.ones((3, 6)), list("xyz"))),
        "weights without names, as they go by position",
    ),
    Situation(
        "weights of which some are masked",
        compared(method="pearson", weights=np.ma.masked_equal([[1.0, 9999] * 3] * 3, 9999)),
        "9 values are masked",
    ),
    Situation(
        "a complex covariance",
        compared(method="cosine_cov", sigma_k=SIGMA * 1j),
        "real numbers as sigma_k, got complex",
    ),
    Situation(
        "subjects 1 and '1'",
        of_subjects([1, "1", 2]),
        r"of one type, got 1 \(int\) and '1' \(str\)",
    ),
    Situation("subjects 1 and True", of_subjects([1, True, 2]), "subject labels of one type"),
    Situation("subjects that are lists", of_subjects([[1], [2], [3]]), r"subject label, got \[1\]"),
    Situation(
        "groups 1 and '1'",
        of_subjects([1, 2, 3], groups=dict(zip(NAMES, [1, "1", 2, 3], strict=True))),
        "group labels of one type",
    ),
    Situation(
        "several labels for subjects",
        of_subjects([1, 2, 3], by=["subject"]),
        "name of a label as `by`, got a list",
    ),
    Situation("a level in words", of_subjects([1, 2, 3], alpha="0.05"), "a number as `alpha`, got"),
    Situation(
        "a region without a name",
        lambda f: rf.evaluate(
            EXPECTED, THREE.with_labels(subject=[1, 2, 1], region=["FFA", "FFA", None]), n_boot=20
        ),
        "a region label for every row, but some are missing",
    ),
    Situation(
        "a mapping as a label of RDMs",
        lambda f: THREE.with_labels(name={"a": 1}),
        "one value of the label 'name', or a list of one per RDM, got a dict",
    ),
    Situation(
        "labels of which one is masked",
        lambda f: rf.RDMs(THREE.vectors, NAMES, "m", {"x": np.ma.masked_equal([1, 2, 9], 9)}),
        "with masked values",
    ),
    Situation("a DataFrame with its rows in another order", rdms_of(PATTERNS.loc[MIXED])),
    Situation(
        "a mapping of conditions in another order",
        rdms_of({n: PATTERNS.loc[n].to_numpy() for n in MIXED}),
    ),
    Situation("a DataArray with coordinates in another order", rdms_of(ARRAY)),
    Situation("a tensor that needs gradients", rdms_of(TENSOR)),
    Situation("a DataFrame without conditions", rdms_of(PATTERNS, None)),
    Situation("a nullable DataFrame", rdms_of(PATTERNS.convert_dtypes())),
    Situation("names as cells of MATLAB", rdms_of(PATTERNS.to_numpy(), CELLS)),
    Situation("names as bytes", rdms_of(PATTERNS.to_numpy(), np.array(NAMES, "S"))),
    Situation("a mask that hides nothing", rdms_of(np.ma.masked_array(PATTERNS.to_numpy()))),
    Situation("labels as a Series in another order", model_of(LABELS.loc[MIXED])),
    Situation("labels as a mapping in another order", model_of(LABELS.loc[MIXED].to_dict())),
    Situation("labels whose index is a cut table's", model_of(LABELS.set_axis([3, 5, 6, 9]))),
    Situation(
        "labels and names with one shared index",
        model_of(LABELS.set_axis([9, 3, 6, 5]).sort_index(), pd.Series(NAMES, [9, 3, 6, 5])),
    ),
    Situation(
        "a square table with mixed rows and columns",
        lambda f: same(rf.RDMs.from_matrices(SQUARE.loc[MIXED], NAMES, "correlation")),
    ),
    Situation(
        "two square tables in different orders",
        lambda f: same(
            rf.RDMs.from_matrices([SQUARE, SQUARE.loc[MIXED, MIXED]], NAMES, "correlation")[1]
        ),
    ),
    Situation(
        "a table of judgements in another order",
        lambda f: same(
            matrix_rdms(SQUARE.loc[MIXED, MIXED], NAMES, direction="dissimilarity").rdms
        ),
    ),
    Situation(
        "activations as tables in different orders",
        lambda f: same(rf.compute_rdms(Activations({"x": PATTERNS.loc[MIXED]}, NAMES))),
    ),
    Situation(
        "scores of a layer that is a table in another order",
        lambda f: np.testing.assert_allclose(
            similarity_scores({"x": PATTERNS.loc[MIXED]}, conditions=NAMES),
            similarity_scores({"x": PATTERNS.to_numpy()}, conditions=NAMES),
        ),
    ),
    Situation(
        "metadata as a Series in another order",
        lambda f: np.testing.assert_array_equal(
            StimulusSet.from_arrays(
                [STIMULI.image(n) for n in NAMES], NAMES, {"kind": LABELS.loc[MIXED]}
            ).metadata["kind"],
            LABELS,
        ),
    ),
    Situation(
        "a table with another name",
        rdms_of(PATTERNS.rename({"d": "e"})),
        "only in the names that the patterns bring: 'e'; only in .*: 'd'",
    ),
    Situation("labels with another name", model_of(LABELS.rename({"d": "e"})), "'e'.*'d'"),
    Situation(
        "labels in an order of row numbers that is no name's",
        model_of(LABELS.set_axis([3, 1, 9, 2])),
        "If the index counts rows and is no name",
    ),
    Situation("complex patterns", rdms_of(PATTERNS.to_numpy() + 1j), "got complex ones"),
    Situation("a complex tensor", rdms_of(TENSOR + 1j), "got complex ones"),
    Situation("a file of complex dissimilarities", saved_complex, "expected real numbers.*complex"),
    Situation("a layer that gives complex numbers", complex_layer, "gives complex numbers"),
    Situation("complex weights", complex_weights, "expected real weights, but weight of w.pt"),
    Situation(
        "patterns of objects",
        rdms_of(PATTERNS.to_numpy().astype(object)),
        "real numbers as patterns, got object",
    ),
    Situation(
        "a column of text among the patterns",
        rdms_of(PATTERNS.assign(name="x")),
        "the column 'name' holds",
    ),
    Situation("a mask that hides 9999", rdms_of(HIDDEN), "4 values are masked"),
    Situation(
        "vectors as a table whose columns name pairs",
        refused(rf.RDMs, pd.DataFrame([[1.0]], columns=["a-b"]), list("ab"), "m"),
        "whose names would not be followed",
    ),
    Situation(
        "rows of an index with two levels",
        rdms_of(PATTERNS.set_axis(pd.MultiIndex.from_product([["p", "q"], [1, 2]]))),
        "in one level",
    ),
    Situation("a set of conditions", names_refused(set(NAMES)), "got a set, which has none"),
    Situation("a missing name", names_refused([*"abc", np.nan]), "name 3 is nan"),
    Situation(
        "a missing name that NumPy made text",
        names_refused(np.array([*"abc", np.nan])),
        "name 3 is 'nan'",
    ),
    Situation("conditions as one text", names_refused("abcd"), "the single string 'abcd'"),
    Situation(
        "conditions as a table",
        names_refused(pd.DataFrame({"n": NAMES})),
        "got a DataFrame with the columns 'n'",
    ),
    Situation("a number for conditions", names_refused(4), "names, got an int"),
    Situation("folds of mixed types", folds_refused([1, 1, "1", "1"] * 2), "labels of one type"),
    Situation("a missing fold", folds_refused([1, 1, 2, None] * 2), "some are missing"),
    Situation("a set of folds", folds_refused({1, 2}), "one per row, got a set"),
    Situation(
        "an array for model RDMs",
        refused(rf.compare, SQUARE.to_numpy(), EXPECTED),
        "expected RDMs as `model`, got a ndarray",
    ),
    Situation(
        "a path for data RDMs",
        refused(rf.evaluate, EXPECTED, "rdms.h5"),
        r"expected RDMs as `data`, got 'rdms.h5' \(str\)",
    ),
    Situation(
        "a name for a network",
        refused(rf.layer_rdms, "pixels", STIMULI),
        r"expected Network as `network`, got 'pixels' \(str\)",
    ),
    Situation(
        "a folder for stimuli",
        lambda f: rf.layer_rdms(rf.load_network("pixels"), "faces"),
        r"expected StimulusSet as `stimuli`, got 'faces' \(str\)",
    ),
    Situation(
        "no layers",
        lambda f: rf.layer_rdms(rf.load_network("pixels"), STIMULI, layers=None),
        "as `layers`, got None",
    ),
    Situation(
        "10⁹ draws",
        refused(rf.evaluate, EXPECTED, EXPECTED, n_boot=10**9),
        "n_boot to be at most 10,000,000, got 1,000,000,000",
    ),
    Situation(
        "10⁹ permutations of a read-out",
        refused(readout, {"x": PATTERNS}, LABELS, n_permutations=10**9),
        "at most 10,000,000",
    ),
]


@each(SITUATIONS)
def test_situation(situation, tmp_path):
    check(situation, tmp_path)
