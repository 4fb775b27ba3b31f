"""Names that come with data are followed, whatever brings them."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import rsa_faces as rf
from rsa_faces._core.names import as_names, by_name, check_unique_names, named, per_row

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
