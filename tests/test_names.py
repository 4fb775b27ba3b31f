"""Names that come with data are followed, whatever brings them."""

import functools
import itertools
import unicodedata

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from public import parameters, public_functions
from test_searchlight import sheet

import rsa_faces as rf
from rsa_faces._core.labels import by_name, per_row
from rsa_faces._core.names import as_names, check_unique_names, named
from rsa_faces.analyses import (
    congruence,
    embedding_map,
    encoding,
    erase_groups,
    landmark_gain,
    layer_agreement,
    readout,
    seed_consistency,
    shape_distance,
    similarity_scores,
    template_embeddings,
    template_verification,
    transfer_matrix,
)
from rsa_faces.analyses.face_code.averageness import averageness
from rsa_faces.analyses.face_code.axis_coding import axis_tuning
from rsa_faces.analyses.face_code.axis_geometry import axis_geometry
from rsa_faces.analyses.face_code.face_decoding import decode_faces
from rsa_faces.analyses.face_code.face_space import face_space
from rsa_faces.analyses.information.landmarks import (
    face_size,
    landmark_readout,
    measure_landmarks,
)
from rsa_faces.analyses.quality.confidence import OutlierFlag
from rsa_faces.behaviour import (
    Arrangements,
    Trial,
    enough_evidence,
    feature_masks,
    inverse_mds,
    matrix_rdms,
    next_trial,
    pair_rating_rdms,
    read_arrangements,
    trial_reliability,
    triplet_embedding,
    triplet_rdms,
)
from rsa_faces.brain.alignment import hyperalign
from rsa_faces.brain.masks import as_region
from rsa_faces.extraction import Activations
from rsa_faces.inference import reweighted_similarity
from rsa_faces.mapping import ceiling_map, searchlight
from rsa_faces.rdm import model_rdm_from_labels
from rsa_faces.rdm.movie import rdm_movie
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.heads import _model

NAMES = ["ann", "bob", "cem", "dia"]
ORDER = [2, 0, 3, 1]
VALUES = np.random.default_rng(0).normal(size=(4, 3))


def shuffled(values):
    return values[ORDER], [NAMES[i] for i in ORDER]


def carriers(values, names):
    """Every kind of input that brings names, with these."""
    yield "DataFrame", pd.DataFrame(values, index=names)
    yield "mapping", dict(zip(names, values, strict=True))
    yield "mapping of lists", {n: v.tolist() for n, v in zip(names, values, strict=True)}
    yield "mapping of Series", {n: pd.Series(v) for n, v in zip(names, values, strict=True)}
    yield "mapping of tensors", {n: torch.tensor(v) for n, v in zip(names, values, strict=True)}
    yield "xarray", xr.DataArray(values, dims=["face", "unit"], coords={"face": names})
    yield "nullable DataFrame", pd.DataFrame(values, index=names).convert_dtypes()


@pytest.mark.parametrize("kind", [k for k, _ in carriers(VALUES, NAMES)])
def test_values_follow_the_names_they_bring(kind):
    values = dict(carriers(*shuffled(VALUES)))[kind]
    array, names = named(values, NAMES)
    np.testing.assert_array_equal(array, VALUES)
    assert names == tuple(NAMES)
    array, names = named(values)
    np.testing.assert_array_equal(array, VALUES[ORDER])
    assert names == tuple(shuffled(VALUES)[1])
    with pytest.raises(rf.ConditionMismatchError, match="only in the names that .* 'dia'"):
        named(values, ["ann", "bob", "cem", "eve"])


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        VALUES.tolist(),
        list(VALUES),
        pd.DataFrame(VALUES),
        torch.tensor(VALUES),
        torch.tensor(VALUES, requires_grad=True),
        np.ma.masked_array(VALUES),
        xr.DataArray(VALUES, dims=["face", "unit"]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_values_without_names_are_in_the_order_of_conditions(values):
    np.testing.assert_array_equal(named(values, NAMES)[0], VALUES)
    with pytest.raises(rf.InputError, match="expected `conditions`, the names of its rows"):
        named(values)


def test_square_values_are_aligned_on_both_sides():
    square = VALUES @ VALUES.T
    frame = pd.DataFrame(square, NAMES, NAMES)
    mixed = frame.iloc[ORDER, ORDER[::-1]]
    np.testing.assert_array_equal(named(mixed, NAMES, axes=(-2, -1))[0], square)
    np.testing.assert_array_equal(named(mixed.to_dict(), NAMES, axes=(-2, -1))[0], square)
    stack = named([frame, mixed], NAMES, axes=(-2, -1))[0]
    np.testing.assert_array_equal(stack, [square, square])
    one_side = pd.DataFrame(square[ORDER], [NAMES[i] for i in ORDER])
    with pytest.raises(rf.InputError, match="on one side only"):
        named(one_side, NAMES, axes=(-2, -1))


def test_a_shared_index_joins_values_and_names():
    table = pd.DataFrame({"file": NAMES, "age": [1.0, 2, 3, 4]}, index=[7, 3, 5, 9])
    array, names = named(table["age"].sort_index(), table["file"])
    assert (array.tolist(), names) == ([1.0, 2, 3, 4], tuple(NAMES))
    with pytest.raises(rf.ConditionMismatchError, match="If the index counts rows and is no name"):
        named(table["age"], NAMES)


def test_numbers_of_rows_are_no_names():
    cut = pd.Series([1.0, 2, 3, 4], index=[3, 4, 7, 9])
    assert named(cut, NAMES)[0].tolist() == [1, 2, 3, 4]
    assert named(cut.iloc[ORDER], ["3", "4", "7", "9"])[0].tolist() == [1, 2, 3, 4]
    with pytest.raises(rf.ConditionMismatchError):
        named(cut, ["3", "4", "7", "ann"])


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        (VALUES + 1j, rf.InputError, "got complex ones"),
        (torch.tensor(VALUES + 1j), rf.InputError, "got complex ones"),
        (VALUES.astype(object), TypeError, "real numbers as values, got object"),
        (pd.DataFrame(VALUES, NAMES).astype(object), TypeError, "the column 0 holds object"),
        ([["a"] * 3] * 4, TypeError, "got <U1"),
        ([[1.0, 2, 3], [1.0, 2]], rf.InputError, "as an array of numbers"),
        (np.ma.masked_equal([[1, 9999]] * 4, 9999), rf.InputError, "4 values are masked"),
        (pd.DataFrame({"x": [1, 2, None, 4]}, dtype="Int64"), rf.InputError, "are missing"),
        ({}, rf.InputError, "got an empty mapping"),
        (
            pd.DataFrame(VALUES, pd.MultiIndex.from_product([["a", "b"], [1, 2]])),
            rf.InputError,
            "names in one level",
        ),
        (xr.Dataset({"x": ("face", VALUES[:, 0])}), rf.InputError, "choose one of its variables"),
        (
            {"ann": VALUES[0], "bob": [1.0], "cem": VALUES[2], "dia": VALUES[3]},
            rf.InputError,
            "of one shape in every entry",
        ),
    ],
)
def test_values_that_are_refused(values, error, sentence):
    with pytest.raises(error, match=sentence):
        named(values, NAMES)


def test_gaps_become_nan_where_values_may_be_missing():
    masked = np.ma.masked_equal([[1, 9999]] * 4, 9999)
    np.testing.assert_array_equal(named(masked, NAMES, missing=True)[0], [[1, np.nan]] * 4)
    table = pd.DataFrame({"x": [1, 2, None, 4]}, dtype="Int64")
    np.testing.assert_array_equal(named(table, NAMES, missing=True)[0][:, 0], [1, 2, np.nan, 4])


@pytest.mark.parametrize(
    ("names", "error", "sentence"),
    [
        ({"ann", "bob"}, rf.InputError, "in their order, got a set"),
        ("ann", TypeError, "single string 'ann'"),
        (3, TypeError, "expected a sequence of condition names, got an int"),
        (["ann", np.nan], rf.InputError, "name 1 is nan, which stands for a missing one"),
        (np.array(["ann", np.nan]), rf.InputError, "name 1 is 'nan'"),
        (["ann", None], rf.InputError, "name 1 is None"),
        (pd.array(["ann", None]), rf.InputError, "name 1 is <NA>"),
        (["ann", ("bob", 1)], rf.InputError, r"name 1 is \('bob', 1\)"),
        ([b"\xff"], rf.InputError, "in UTF-8, but name 0"),
        (["ann", "ann"], rf.InputError, "1 of 2 occur more than once: 'ann'"),
        (["ann", ""], rf.InputError, "non-empty condition names, but name 1 is ''"),
        (["ann", "bo\0b"], rf.InputError, "holds NUL"),
        (np.ma.masked_equal([1, 9], 9), rf.InputError, "some are masked"),
        (pd.DataFrame({"file": NAMES}), rf.InputError, "got a DataFrame with the columns 'file'"),
    ],
)
def test_names_that_are_refused(names, error, sentence):
    with pytest.raises(error, match=sentence):
        check_unique_names(names, what="condition")


def test_names_are_decoded():
    cells = np.empty((4, 1), object)
    cells[:, 0] = [np.array([name]) for name in NAMES]
    for given in (
        cells,
        cells.T,
        [n.encode() for n in NAMES],
        np.array(NAMES, "S"),
        iter(NAMES),
        pd.Series(NAMES),
        pd.Index(NAMES),
        xr.DataArray(NAMES),
        np.array(NAMES, object),
    ):
        assert as_names(given) == NAMES
    assert as_names(torch.tensor([1, 2])) == ["1", "2"]


def test_accents_written_in_two_ways_are_one_name():
    composed, apart = (unicodedata.normalize(form, "zoé") for form in ("NFC", "NFD"))
    with pytest.warns(UserWarning, match="1 condition names hold accents"):
        array, names = named({apart: [1.0], "ann": [2.0]}, ["ann", composed])
    assert array.tolist() == [[2.0], [1.0]]
    assert names == ("ann", composed)
    with (
        pytest.warns(UserWarning, match="NFD"),
        pytest.raises(rf.InputError, match="more than once"),
    ):
        check_unique_names([composed, apart], what="condition")


def test_labels_by_name():
    assert by_name(pd.Series([b"x", "y"], ["a", "b"]), what="labels") == {"a": "x", "b": "y"}
    labels, names = named({"b": "y", "a": 1}, ["a", "b"], what="label", numbers=False)
    assert labels.tolist() == [1, "y"]
    with pytest.raises(rf.InputError, match="expected one label per row, got a DataFrame with 3"):
        named(pd.DataFrame(VALUES, NAMES), what="label", numbers=False)
    with pytest.raises(rf.InputError, match="one label per condition, got shape|row 0 has a list"):
        named(VALUES, NAMES, what="label", numbers=False)


@pytest.mark.parametrize(
    ("folds", "error", "sentence"),
    [
        ([1, 1, "2", "2"], rf.InputError, r"of one type, got 1 \(int\) and '2' \(str\)"),
        ([1, 1, 2, None], rf.InputError, "some are missing"),
        ([1, 1, 2], rf.InputError, "expected 4 fold labels, one per row, got 3"),
        ("1122", TypeError, "one per row, got the text '1122'"),
        ({1, 2, 3, 4}, TypeError, "got a set"),
        (2, TypeError, "got an int"),
        (np.ones((4, 2)), rf.InputError, "one fold label per row, but row 0 has a list"),
        (pd.Series([1, 1, 2, 2], list("wxyz")), rf.InputError, "is not that of the values"),
    ],
)
def test_folds_that_are_refused(folds, error, sentence):
    with pytest.raises(error, match=sentence):
        per_row(folds, 4, rows=[NAMES])


def test_folds_follow_a_shared_index():
    folds = pd.Series([1, 2, 3, 4], ["dia", "cem", "bob", "ann"])
    assert per_row(folds, 4, rows=[NAMES]) == [4, 3, 2, 1]
    assert per_row(np.array([1, 1, 2, 2]), 4) == [1, 1, 2, 2]
    assert per_row(np.array([[1], [1], [2], [2]]), 4) == [1, 1, 2, 2]
    assert per_row(torch.tensor([1, 1, 2, 2]), 4) == [1, 1, 2, 2]


def test_folds_of_betas_and_of_runs_follow_a_shared_index():
    betas = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(3, 3, 3, 4)), np.eye(4))
    trials, names = list("wxyz"), ["a", "a", "b", "b"]
    folds, moved = pd.Series([1, 2, 1, 2], trials), pd.Series([2, 1, 2, 1], trials[::-1])
    table = pd.DataFrame({"condition": names}, trials)
    for conditions in (table, table["condition"]):
        assert rf.brain.load_patterns(betas, conditions, folds=moved).folds == (1, 2, 1, 2)
    space = rf.brain.load_patterns(betas, names, folds=folds.tolist()).space
    for conditions in (names, ["a", "b", "c", "d"]):
        with pytest.raises(rf.InputError, match="is not that of the values"):
            rf.brain.Patterns(np.ones((4, 27)), conditions, space, moved)
    names = [f"f{i}" for i in range(40)]
    data = {s: np.random.default_rng(i).normal(size=(40, 4)) for i, s in enumerate("abc")}
    runs = pd.Series(np.repeat([1, 2], 20), names)
    one, other = (
        hyperalign(data, conditions=names, runs=own, fit_runs=[1]) for own in (runs, runs[::-1])
    )
    np.testing.assert_array_equal(one.matrices["a"], other.matrices["a"])


# ---- every public function that has `conditions`

N = 16
FACES = [f"face {i:02d}" for i in range(N)]
MIXED = np.random.default_rng(1).permutation(N)
PERSON = {name: f"person {i // 2}" for i, name in enumerate(FACES)}
TEMPLATES = pd.DataFrame({"file": FACES, "template": FACES, "subject": PERSON.values()})
TWO_GROUPS = {name: i // 2 % 2 for i, name in enumerate(FACES)}
SMILE = {name: "yes" if i % 2 else "no" for i, name in enumerate(FACES)}
RNG = np.random.default_rng(2)
ROWS = RNG.normal(size=(N, 5)) + np.repeat(RNG.normal(size=(N // 2, 5)), 2, axis=0)
OTHER = ROWS @ RNG.normal(size=(5, 4))
SQUARE = np.abs(ROWS[:, None] - ROWS).sum(axis=2)
MOVIE = RNG.normal(size=(N, 5, 6))
POINTS = np.array([[10, 12], [22, 12], [16, 18], [11, 24], [21, 24]]) + RNG.normal(size=(N, 5, 2))
HEADS = _model().mean[:68, :2] * [1, -1] + np.random.default_rng(3).normal(size=(N, 68, 2))
IMAGES = RNG.integers(0, 256, size=(N, 32, 32), dtype=np.uint8)
SPACE = pd.DataFrame(ROWS, FACES, [f"shape {i}" for i in range(5)])
MESH = sheet(np.random.default_rng(3), n=4)
VERTICES = RNG.normal(size=(N, 16))
QUICK = {"progress": False}
FEW = {"n_permutations": 9, **QUICK}
MODELS = rf.RDMs.from_matrices(SQUARE, FACES, "model", {"name": ["m"]})


@functools.cache
def flag():
    return OutlierFlag.fit({"fc": ROWS}, conditions=FACES, method="mahalanobis")


@functools.cache
def space():
    return face_space(IMAGES, POINTS, conditions=FACES, n_shape=3, n_appearance=4, **QUICK)


def region():
    mask = np.zeros((5, 3, 3), np.uint8)
    mask[:, 1, 1] = 1
    return as_region(nibabel.Nifti1Image(mask, np.eye(4)))


def layer(values):
    return {"fc": values}


#: Values that a function takes with conditions, and what it makes of them, to be compared.
#: The names are those of `tests.public`.
DOORS = {
    "Activations": (ROWS, lambda v, n: dict(Activations(layer(v), n))["fc"]),
    "FaceSpace.encode": (POINTS, lambda v, n: space().encode(IMAGES, v, conditions=n)),
    "OutlierFlag.apply": (ROWS, lambda v, n: flag().apply(layer(v), conditions=n)),
    "OutlierFlag.fit": (
        ROWS,
        lambda v, n: OutlierFlag.fit(layer(v), conditions=n, people=PERSON, n_folds=2)._scores,
    ),
    "Patterns": (ROWS, lambda v, n: rf.brain.Patterns(v, n, region()).values),
    "RDMs.from_matrices": (SQUARE, lambda v, n: rf.RDMs.from_matrices(v, n, "m").vectors),
    "averageness": (
        POINTS,
        lambda v, n: averageness(v, SPACE, conditions=n, pairs=[], n_permutations=9).table,
    ),
    "axis_geometry": (
        ROWS,
        lambda v, n: (
            axis_geometry(SPACE.iloc[:, :2], v, conditions=n, n_permutations=19, **QUICK).table
        ),
    ),
    "axis_tuning": (ROWS, lambda v, n: axis_tuning(SPACE, v, conditions=n, n_folds=4, **FEW).table),
    "ceiling_map": (
        VERTICES,
        lambda v, n: (
            ceiling_map(
                [v, VERTICES + 1, VERTICES[:, ::-1]],
                conditions=[n, FACES, FACES],
                mesh=MESH,
                radius=4.0,
                **QUICK,
            ).upper
        ),
    ),
    "compute_rdms": (ROWS, lambda v, n: rf.compute_rdms(v, conditions=n).vectors),
    "congruence": (
        ROWS,
        lambda v, n: (
            congruence(
                layer(v), PERSON, SMILE, conditions=n, n_dimensions=2, n_splits=2, **FEW
            ).table
        ),
    ),
    "decode_faces": (
        ROWS,
        lambda v, n: decode_faces(SPACE, v, conditions=n, n_folds=4, n_draws=2, **FEW).table,
    ),
    "embedding_map": (
        ROWS,
        lambda v, n: (
            embedding_map(
                layer(v),
                layer(OTHER),
                PERSON,
                conditions=n,
                kinds=["ridge"],
                n_pairs=[6],
                n_draws=1,
                **QUICK,
            ).table
        ),
    ),
    "face_size": (POINTS, lambda v, n: face_size(v, conditions=n)),
    "face_space": (
        POINTS,
        lambda v, n: (
            face_space(IMAGES, v, conditions=n, n_shape=3, n_appearance=4, **QUICK).coordinates
        ),
    ),
    "feature_masks": (np.arange(N) % 3, lambda v, n: feature_masks({"kind": v}, n)),
    "hyperalign": (
        ROWS,
        lambda v, n: hyperalign(
            {"s1": v, "s2": ROWS[:, ::-1]},
            conditions=n,
            runs=[1, 2] * 8,
            fit_runs=[1],
        ).matrices["s1"],
    ),
    "encoding": (
        ROWS,
        lambda v, n: encoding(layer(v), SPACE, conditions=n, across=PERSON, **FEW).table,
    ),
    "erase_groups": (
        ROWS,
        lambda v, n: (
            erase_groups(
                layer(v), TWO_GROUPS, PERSON, conditions=n, n_boot=20, n_permutations=1
            ).table
        ),
    ),
    "landmark_gain": (
        ROWS,
        lambda v, n: landmark_gain(layer(v), SPACE, PERSON, conditions=n, n_boot=20).table,
    ),
    "fit_heads": (HEADS, lambda v, n: rf.stimuli.fit_heads(v, conditions=n).identity),
    "landmark_readout": (
        ROWS,
        lambda v, n: landmark_readout(layer(v), SPACE, conditions=n, n_folds=4, **FEW).table,
    ),
    "layer_agreement": (
        ROWS,
        lambda v, n: layer_agreement(layer(v), layer(OTHER), conditions=n, n_boot=0, **FEW).table,
    ),
    "template_embeddings": (
        ROWS,
        lambda v, n: template_embeddings(layer(v), TEMPLATES, conditions=n),
    ),
    "template_verification": (
        ROWS,
        lambda v, n: template_verification(layer(v), TEMPLATES, conditions=n).table,
    ),
    "matrix_rdms": (SQUARE, lambda v, n: matrix_rdms(v, n, direction="dissimilarity").rdms.vectors),
    "measure_landmarks": (
        POINTS,
        lambda v, n: measure_landmarks(
            v, conditions=n, template={"pupil_left": [0], "pupil_right": [1]}
        ),
    ),
    "model_rdm_from_labels": (
        np.arange(N) % 3,
        lambda v, n: model_rdm_from_labels(v, conditions=n).vectors,
    ),
    "rdm_movie": (MOVIE, lambda v, n: rdm_movie(v, times=np.arange(6.0), conditions=n).vectors),
    "readout": (
        ROWS,
        lambda v, n: readout(layer(v), SMILE, conditions=n, across=PERSON, n_folds=4, **FEW).table,
    ),
    "reweighted_similarity": (
        ROWS,
        lambda v, n: (
            reweighted_similarity(v, MODELS.with_labels(subject=["s"]), conditions=n, n_folds=2)
            .fitted.align(FACES)
            .vectors
        ),
    ),
    "searchlight": (
        VERTICES,
        lambda v, n: (
            searchlight(v, conditions=n, models=MODELS, mesh=MESH, radius=4.0, **QUICK).similarity
        ),
    ),
    "seed_consistency": (
        ROWS,
        lambda v, n: seed_consistency(
            [layer(v), layer(OTHER), layer(ROWS**2)], conditions=n, **QUICK
        ),
    ),
    "shape_distance": (
        ROWS,
        lambda v, n: pd.Series(shape_distance(layer(v), layer(OTHER), conditions=n)),
    ),
    "similarity_scores": (ROWS, lambda v, n: similarity_scores(layer(v), conditions=n)),
    "transfer_matrix": (
        ROWS,
        lambda v, n: transfer_matrix(
            {"net": layer(v)},
            {"smile": {"labels": SMILE, "across": PERSON}},
            conditions=n,
            across=PERSON,
            n_folds=4,
            **FEW,
        ),
    ),
}

XY = np.random.default_rng(4).uniform(-0.5, 0.5, size=(N, 2))
TRIAL = Trial(tuple(FACES), XY)
TABLE = pd.DataFrame({"rater": "r1", "trial": 1, "stimulus": FACES, "x": XY[:, 0], "y": XY[:, 1]})
PAIRS = pd.DataFrame(list(itertools.combinations(FACES, 2)), columns=["a", "b"]).assign(
    rater="r1", rating=np.arange(120.0)
)
TRIPLETS = pd.DataFrame(
    [(a, b, c, c) for a, b, c in itertools.combinations(FACES, 3)], columns=["a", "b", "c", "odd"]
).assign(rater="r1")

#: Functions whose `conditions` are the order wanted of names that other arguments hold.
LISTS = {
    "Arrangements": lambda n: inverse_mds(Arrangements("r1", (TRIAL,), n)).rdms,
    "Patterns.subset": lambda n: rf.compute_rdms(
        rf.brain.Patterns(ROWS, FACES, region()).subset(conditions=n).values, conditions=FACES
    ),
    "RDMs.align": lambda n: MODELS.align(n),
    "RDMs.subset": lambda n: MODELS.subset(n),
    "enough_evidence": lambda n: enough_evidence([TRIAL], n),
    "inverse_mds": lambda n: inverse_mds([TRIAL, TRIAL], n).rdms,
    "next_trial": lambda n: sorted(next_trial([TRIAL], n, n_max=3)),
    "pair_rating_rdms": lambda n: (
        pair_rating_rdms(PAIRS, direction="dissimilarity", conditions=n).rdms
    ),
    "read_arrangements": lambda n: inverse_mds(read_arrangements(TABLE, conditions=n)[0][0]).rdms,
    "trial_reliability": lambda n: trial_reliability([TRIAL, TRIAL], n, n_splits=1)["r"],
    "triplet_embedding": lambda n: (
        triplet_embedding(TRIPLETS, conditions=n, n_dimensions=2, n_folds=0, max_iter=5).rdms
    ),
    "triplet_rdms": lambda n: triplet_rdms(TRIPLETS, conditions=n).rdms,
}

#: Functions that take several rows of a condition.
REPEATS = {"hyperalign", "Patterns"}

#: Why a function with a parameter `conditions` is in neither table.
ELSEWHERE = {
    "Config": "a key of a configuration: tests/test_runs.py",
    "Design.units": "of RDMs that were checked",
    "FramePatterns": "clips in the order of arrays with three axes: tests/test_dynamics.py",
    "Method.among": "positions, not names",
    "RDMs": "vectors go by pair: those that bring names are refused, test_vectors_bring_no_names",
    "RDMs.from_rsatoolbox": "the name of a descriptor",
    "concat": "a word, 'same' or 'union'",
    "read_features": "names of a file's rows, checked against its own: tests/test_importers.py",
    "read_rdms": "names of a file's rows, checked against its own: tests/test_importers.py",
    "align_pair": "a word, 'same' or 'intersection'",
    "compare": "a word, 'same' or 'intersection'",
    "glm_patterns": "a table of trial types: tests/test_fmri.py",
    "ieeg_patterns": "one name per epoch, or a column of the events: tests/test_ieeg.py",
    "load_patterns": "one name per map of an image, which brings none: tests/test_fmri.py",
    "IeegPatterns": "made by ieeg_patterns",
    "SearchlightMap": "made by searchlight",
    "SimulatedBrain": "made by simulate_brain",
    "SimulatedCortex": "made by simulate_cortex",
    "TripletEmbedding": "made by triplet_embedding",
}


def test_every_function_with_conditions_is_in_a_table():
    have = {name for name, f in public_functions().items() if "conditions" in parameters(f)}
    listed = {*DOORS, *LISTS, *ELSEWHERE}
    assert have - listed == set(), "add these to DOORS, LISTS or ELSEWHERE"
    assert listed - have == set(), "these are no more"


def of_names(values, names):
    """Return values with names, in each kind of input that can hold values of this shape."""
    square = values.ndim == 2 and values.shape[0] == values.shape[1] and values is not ROWS
    coordinates = {"face": names} | ({"other": names} if square else {})
    dims = ["face", "other", "third"][: values.ndim]
    kinds = {
        "xarray": xr.DataArray(values, dims=dims, coords=coordinates),
        "mapping": dict(zip(names, values, strict=True)),
    }
    if values.ndim == 1:
        kinds["Series"] = pd.Series(values, names)
        kinds["Series of bytes"] = pd.Series(values, [name.encode() for name in names])
        kinds["DataFrame of one column"] = pd.DataFrame({"label": values}, names)
    if values.ndim == 2:
        kinds["DataFrame"] = pd.DataFrame(values, names, names if square else None)
        kinds["mapping of Series"] = {
            n: pd.Series(v, names if square else None) for n, v in zip(names, values, strict=True)
        }
        kinds["mapping of tensors"] = {
            n: torch.tensor(v) for n, v in zip(names, values, strict=True)
        }
    return kinds


def frame_of(result):
    """Return a result that can be compared, in the order of names where they are its index."""
    if isinstance(result, pd.DataFrame) and set(result.index) == set(FACES):
        result = result.loc[FACES]
        return result[FACES] if set(result.columns) == set(FACES) else result
    return result.toarray() if hasattr(result, "toarray") else result


def assert_same(found, expected):
    if isinstance(expected, pd.DataFrame):
        found, expected = (x.drop(columns="cell", errors="ignore") for x in (found, expected))
        pd.testing.assert_frame_equal(frame_of(found), frame_of(expected), rtol=1e-6)
    else:
        np.testing.assert_allclose(frame_of(found), frame_of(expected), rtol=1e-6, atol=1e-9)


@functools.cache
def expected_of(door):
    values, call = DOORS[door]
    return call(values, FACES)


@pytest.mark.parametrize("door", DOORS)
def test_shuffled_values_with_names_are_put_in_order(door):
    values, call = DOORS[door]
    mixed = values[MIXED]
    if values is SQUARE:
        mixed = values[np.ix_(MIXED, MIXED)]
    tried = 0
    for carrier in of_names(mixed, [FACES[i] for i in MIXED]).values():
        try:
            found = call(carrier, FACES)
        except rf.InputError:
            continue
        assert_same(found, expected_of(door))
        tried += 1
    assert tried, "no kind of input with names is taken"


@pytest.mark.parametrize("door", DOORS)
def test_values_with_other_names_are_refused(door):
    values, call = DOORS[door]
    for kind, carrier in of_names(values, [*FACES[:-1], "nobody"]).items():
        with pytest.raises(rf.InputError):
            call(carrier, FACES)
            pytest.fail(kind)


@pytest.mark.parametrize("door", DOORS)
def test_values_without_names_go_by_position(door):
    values, call = DOORS[door]
    plain = [
        values.tolist(),
        list(values),
        np.ma.masked_array(values),
        torch.tensor(values),
        xr.DataArray(values),
    ]
    tried = 0
    for carrier in [*plain, *([pd.DataFrame(values)] if values.ndim == 2 else [])]:
        try:
            found = call(carrier, FACES)
        except rf.InputError:
            continue
        assert_same(found, expected_of(door))
        tried += 1
    assert tried > 2


@pytest.mark.parametrize("door", DOORS)
def test_values_and_conditions_that_cannot_be_meant_are_refused(door):
    values, call = DOORS[door]
    hidden = np.ma.masked_array(values.astype(float), mask=np.zeros(values.shape, bool))
    hidden[3] = np.ma.masked
    if values is SQUARE:
        hidden[:, 3] = np.ma.masked
    for wrong in (values + 1j, values.astype(object) + 1j, hidden):
        try:
            found = call(wrong, FACES)
        except rf.InputError:
            continue
        assert wrong is hidden, f"{wrong.dtype} was taken"
        # where a value may be missing, what the mask hides is not used
        assert_same(found, call(hidden.filled(np.nan), FACES))
    refused = [set(FACES), [*FACES[:-1], np.nan], "".join(FACES), 3]
    for names in [*refused, *([] if door in REPEATS else [[*FACES[:-1], FACES[0]]])]:
        with pytest.raises((rf.InputError, TypeError), match="expected|unknown"):
            call(values, names)


@pytest.mark.parametrize("door", LISTS)
def test_conditions_that_are_an_order(door):
    mixed = [FACES[i] for i in MIXED]
    expected = LISTS[door](FACES)
    for given in (
        mixed,
        tuple(mixed),
        np.array(mixed),
        pd.Series(mixed),
        pd.Index(mixed),
        [name.encode() for name in mixed],
    ):
        found = LISTS[door](given)
        if isinstance(expected, rf.RDMs) and door != "Patterns.subset":
            assert found.conditions == tuple(mixed)
            if door != "triplet_embedding":  # which begins at random
                found = found.align(FACES)
                np.testing.assert_allclose(found.vectors, expected.vectors, rtol=1e-3, atol=1e-4)
    for wrong in (set(FACES), [*FACES[:-1], np.nan], "".join(FACES), 3):
        with pytest.raises((rf.InputError, TypeError), match="expected|unknown"):
            LISTS[door](wrong)


def test_readers_of_files_take_the_same_names():
    values = np.array([1.0, 2, 3])
    assert rf.io.read_rdms(values, conditions=[b"a", b"b", b"c"]).conditions == tuple("abc")
    for wrong in (set("abc"), ["a", "b", np.nan], 3):
        with pytest.raises(rf.InputError, match="expected"):
            rf.io.read_rdms(values, conditions=wrong)


def test_vectors_bring_no_names():
    vectors = pd.DataFrame([[1.0, 2, 3]], columns=["a-b", "a-c", "b-c"])
    for given in (vectors, vectors.iloc[0], {"a-b": 1.0, "a-c": 2.0, "b-c": 3.0}):
        with pytest.raises(rf.InputError, match="whose names would not be followed"):
            rf.RDMs(given, list("abc"), "euclidean")
    with pytest.raises(rf.InputError, match="complex"):
        rf.RDMs([[1j, 2, 3]], list("abc"), "euclidean")
    masked = rf.RDMs(np.ma.masked_equal([[1.0, 9999, 3]], 9999), list("abc"), "euclidean")
    np.testing.assert_array_equal(masked.vectors, [[1, np.nan, 3]])


# ---- labels and tables that are matched by condition, without an argument `conditions`


def test_metadata_of_stimuli_follow_their_names():
    images = np.zeros((3, 4, 4, 3), np.uint8)
    images[:, 0, 0, 0] = [1, 2, 3]
    age = pd.Series([3, 1, 2], list("cab"), name="age")
    for metadata in (age, age.to_frame(), {"age": age}, {"age": age.to_dict()}):
        stimuli = StimulusSet.from_arrays(images, list("abc"), metadata)
        assert stimuli.metadata["age"].tolist() == [1, 2, 3]
    given = pd.Series(list(images[::-1]), list("cba"))
    for pictures in (
        given,
        given.to_dict(),
        xr.DataArray(images[::-1], coords={"id": list("cba")}, dims=["id", "y", "x", "c"]),
    ):
        stimuli = StimulusSet.from_arrays(pictures, list("abc"))
        assert [stimuli.image(name)[0, 0, 0] for name in "abc"] == [1, 2, 3]
    with pytest.raises(rf.ConditionMismatchError, match="only in the names that the metadata"):
        StimulusSet.from_arrays(images, list("abc"), {"age": age.rename({"c": "d"})})


def test_a_model_of_the_stimuli_is_in_the_order_of_the_brain():
    images = np.zeros((N, 4, 4, 3), np.uint8)
    identity = [PERSON[FACES[i]] for i in MIXED]
    stimuli = StimulusSet.from_arrays(images, [FACES[i] for i in MIXED], {"identity": identity})
    brain = MODELS.subset(FACES[::-1])
    model = model_rdm_from_labels(stimuli.metadata["identity"], conditions=brain.conditions)
    assert model.conditions == brain.conditions
    square = model.align(FACES).matrices()[0]
    assert square[0, 1] == 0
    assert square[:2, 2:].all()


def test_activations_take_conditions_by_name_or_as_labels_of_their_ids():
    acts = Activations(layer(ROWS), FACES)
    mixed = [FACES[i] for i in MIXED]
    rdms = rf.compute_rdms(acts, conditions=mixed)
    assert rdms.conditions == tuple(mixed)
    np.testing.assert_allclose(rdms.align(FACES).vectors, rf.compute_rdms(acts).vectors)
    with pytest.raises(rf.ConditionMismatchError):
        rf.compute_rdms(
            acts,
            conditions=[PERSON[name] for name in FACES],
            measure="mahalanobis",
            noise="ledoit-wolf",
        )
    person = pd.Series(PERSON).loc[mixed]
    rdms = rf.compute_rdms(acts, conditions=person, measure="mahalanobis", noise="ledoit-wolf")
    expected = rf.compute_rdms(
        ROWS, conditions=list(PERSON.values()), measure="mahalanobis", noise="ledoit-wolf"
    )
    np.testing.assert_allclose(rdms.align(expected.conditions).vectors, expected.vectors)
