"""The base of results: what it stores and hands out, and how it reads."""

import pickle
import warnings
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import rsa_faces as rf
from rsa_faces._core import stored
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.brain import Surface, Volume


@dataclass(frozen=True, eq=False, repr=False)
class Toy(BaseResult, figure="plot_layers"):
    """A result of every kind of field."""

    table: pd.DataFrame
    value: Any = None


def table():
    return pd.DataFrame({"name": ["a", "b"], "r": [0.25, np.nan]})


MIXED = pd.DataFrame(
    {
        "text": ["01", "NA", ""],
        "number": [1.5, np.nan, -np.inf],
        "whole": [3, -1, 2**60],
        "truth": [True, False, True],
        "gaps": ["a", None, np.nan],
        "any": pd.Series([1, "1", pd.NA], dtype=object),
        "count": pd.array([1, None, 3], dtype="Int64"),
        "maybe": pd.array([True, None, False], dtype="boolean"),
        "string": pd.array(["ä", None, "\0"], dtype="string"),
        "kind": pd.Categorical(["x", None, "y"], categories=["y", "x"], ordered=True),
        "pair": pd.Series([("a", 1), ("b", 2), ()], dtype=object),
        "time": pd.to_datetime(["2020-01-01", None, "2021-02-03"]),
        4: np.float32([1, 2, 3]),
    }
)
rng = np.random.default_rng(0)
VALUES = {
    "nothing": None,
    "text": "ä\0 01",
    "numbers": (1, 2.5, float("nan"), float("inf"), True, None),
    "numpy numbers": [np.float64(0.1), np.int64(3), np.bool_(True), np.str_("a")],
    "sets": {"a": frozenset({"x", "y"}), ("b", 2): {3}},
    "array": rng.normal(size=(40, 3)),
    "small array": np.array([[1, 2]], dtype=np.int16),
    "empty array": np.empty((0, 3)),
    "truth": np.array([True, False]),
    "text array": np.array([["01", "NA"], ["", "é"]]),
    "object array": np.array([("a", 1), None, 3.5], dtype=object),
    "0-d": np.array(2.0),
    "times": np.array(["2020-01-01", "NaT"], dtype="datetime64[s]"),
    "complex": np.array([1 + 2j]),
    "mixed frame": MIXED,
    "no rows": MIXED.iloc[:0],
    "no columns": pd.DataFrame(index=["a", "b"]),
    "named rows": MIXED.set_index("text"),
    "levels": MIXED.set_index(["text", "whole"])[["number"]],
    "levels of columns": pd.DataFrame(
        [[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])
    ),
    "twice the same column": pd.DataFrame([[1, "a"]], columns=["x", "x"]),
    "series": pd.Series([1.0, np.nan], index=["p", "q"], name="s"),
    "frames": {"a": MIXED, "b": [MIXED, (np.arange(3), "text")]},
    "sparse": sparse.csr_array(np.eye(3)),
    "RDMs": rf.RDMs([[1.0, np.nan, 3.0]], ["a", "b", "c"], "euclidean", {"subject": ["01"]}),
    "volume": Volume(np.ones((2, 2, 2), bool), np.eye(4)),
    "surface": Surface(np.eye(3), [[0, 1, 2]], np.array([True, True, False])),
    "nested": Toy(table(), Toy(MIXED, (np.arange(2),)), notes=("a note",)),
}


@pytest.mark.parametrize("name", VALUES)
def test_saved_and_loaded_is_equal(name, tmp_path):
    result = Toy(table(), VALUES[name], settings={"seed": 1, "of": ("a", None)}, notes=("careful",))
    result.save(tmp_path / "r.h5")
    again = rf.load_result(tmp_path / "r.h5")
    assert again.equals(result)
    assert again.equals(Toy.load(tmp_path / "r.h5"))
    if isinstance(VALUES[name], pd.DataFrame):
        pd.testing.assert_frame_equal(again.value, VALUES[name])
    other = Toy(table(), "something else", settings=result.settings, notes=result.notes)
    assert not result.equals(other)
    assert not result.equals(result.with_notes("more"))
    assert not result.equals(result.table)
    assert pickle.loads(pickle.dumps(result)).equals(result)


def test_different_values_are_not_the_same():
    distinct = [
        1,
        True,
        "1",
        None,
        pd.NA,
        (1,),
        [1],
        np.array([1]),
        np.array([1.0]),
        {"a": 1},
        {1: "a"},
        MIXED,
        MIXED["text"],
        MIXED.rename(columns={4: 5}),
        MIXED.iloc[:2],
        MIXED.assign(number=0.0),
        np.array(["1"]),
    ]
    for i, a in enumerate(distinct):
        for j, b in enumerate(distinct):
            assert stored.same(a, b) == (i == j), (a, b)


def test_content_cannot_be_changed():
    frame, inner, array = table(), table(), np.zeros(3)
    result = Toy(frame, {"a": inner, "b": [array]}, settings={"seed": 1})
    frame.loc[0, "r"] = inner.loc[0, "r"] = 9.0
    result.table.loc[0, "r"] = 9.0
    result.table["new"] = 1
    result.value["a"].loc[0, "r"] = 9.0
    result.value["c"] = 1
    result.settings["seed"] = 2
    assert result.equals(Toy(table(), {"a": table(), "b": [np.zeros(3)]}, settings={"seed": 1}))
    with pytest.raises(FrozenInstanceError):
        result.table = frame
    for one in (Toy(table(), array), pickle.loads(pickle.dumps(Toy(table(), array)))):
        with pytest.raises(ValueError, match="read-only"):
            one.value[0] = 1


def test_repr_is_short_and_html_is_escaped():
    long = pd.concat([table()] * 50, ignore_index=True).assign(words="word " * 60)
    result = Toy(long, np.zeros((2, 3)), notes=("<b> " * 50, "another"))
    lines = repr(result).splitlines()
    assert lines[0] == "Toy(table: 100 rows, value: (2, 3))"
    assert len(lines) <= 8
    assert max(map(len, lines)) <= 100
    assert "note 1 of 2" in lines[-1]
    page = result._repr_html_()
    assert "<table" in page
    assert "100 rows" in page
    assert "&lt;b&gt;" in page
    assert "<b> " not in page


def test_doors(tmp_path):
    path = tmp_path / "r.h5"
    with pytest.raises(rf.InputError, match=r"as value of Toy, got a function"):
        Toy(table(), test_doors).save(path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="does not exist"):
        rf.load_result(path)
    path.write_bytes(b"text")
    with pytest.raises(rf.InputError, match="expected an HDF5 file"):
        rf.load_result(path)
    VALUES["RDMs"].save(path)
    with pytest.raises(rf.InputError, match="format 'rsa-faces RDMs'"):
        rf.load_result(path)
    Toy(table()).save(path)
    with pytest.raises(rf.InputError, match="to hold a LayerAgreement, got a Toy"):
        rf.analyses.LayerAgreement.load(path)
    with h5py.File(path, "a") as file:
        file["result"].attrs["type"] = "Unknown"
    with pytest.raises(rf.InputError, match="holds a 'Unknown'"):
        rf.load_result(path)
    with h5py.File(path, "a") as file:
        file["result"].attrs["type"] = "Toy"
        del file["result/table"]
    with pytest.raises(rf.InputError, match=r"differs in \['table'\]"):
        rf.load_result(path)
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 99
    with pytest.raises(rf.InputError, match="newer rsa-faces"):
        rf.load_result(path)


def test_an_interrupted_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.h5"
    Toy(table(), 1).save(path)
    with pytest.raises(rf.InputError):
        Toy(table(), {"large": np.arange(1000), "bad": object()}).save(path)
    assert rf.load_result(path).value == 1
    assert list(tmp_path.iterdir()) == [path]


def test_no_figure_and_figures_of_several_panels():
    @dataclass(frozen=True, eq=False, repr=False)
    class Bare(BaseResult):
        table: pd.DataFrame

    with pytest.raises(rf.InputError, match="Bare has no figure"):
        Bare(table()).plot()


@keep_warnings
def doubtful(times, *, fail=False):
    for _ in range(times):
        warnings.warn("few pairs", stacklevel=2)
    warnings.warn("from a library", RuntimeWarning, stacklevel=2)
    if fail:
        raise rf.InputError("no")
    return Toy(table(), notes=("first",))


def test_warnings_are_notes_too():
    with pytest.warns() as caught:
        result = doubtful(3)
    assert result.notes == ("first", "few pairs")
    assert [str(w.message) for w in caught] == ["few pairs", "from a library"]
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="few pairs"), pytest.raises(rf.InputError):
        doubtful(1, fail=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="few pairs"):
            doubtful(1)
