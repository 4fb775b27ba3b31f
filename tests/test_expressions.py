"""Expressions on tables: what they find, what they refuse, and that nothing in them is run."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rsa_faces
from rsa_faces._core.errors import InputError
from rsa_faces._core.expressions import rows_where

TABLE = pd.DataFrame(
    {
        "face": [True, True, False, False],
        "age": [20.0, 35.0, np.nan, 50.0],
        "kind": ["a", "b", "a", "it's"],
        "response time": ["0.5", "n/a", "1.5", "2"],
        "level": pd.Categorical(["low", "high", "low", "high"]),
        "flag": [0, 1, 0, 1],
    }
)


@pytest.mark.parametrize(
    "expression",
    [
        "face",
        "not face",
        "face and kind == 'a'",
        "face or kind == 'a'",
        "flag == 1",
        "age > 20",
        "20 < age <= 50",
        "age != 20",
        "kind in ['a', 'c']",
        "kind not in ('a',)",
        "face & (age > 30)",
        "face & age > 30",
        "~face | (flag == 1)",
        'kind == "it\'s"',
        "level == 'low'",
        "age >= -1",
        "not (face or flag == 1)",
        "face == True",
        "kind == 'a' and not face or age == 35",
        "kind != 'x & y'",
    ],
)
def test_as_pandas_finds_them(expression):
    found = TABLE.query(expression).index
    np.testing.assert_array_equal(np.flatnonzero(rows_where(expression, TABLE)), found)


def test_text_that_is_numbers_is_compared_as_numbers():
    assert rows_where("`response time` > 1", TABLE).tolist() == [False, False, True, True]
    assert rows_where("`response time` == 'n/a'", TABLE).tolist() == [False, True, False, False]
    assert rows_where("subject == 1", pd.DataFrame({"subject": ["01", "1", "10"]})).tolist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("ages > 3", "'ages' is no column.*Did you mean 'age'.*columns are: face, age"),
        ("kind > 3", "kind is text and 3 is not"),
        ("age == 'old'", "'old' is text and age is not"),
        ("kind", "true or false for each of 4 stimuli.*'kind', such as"),
        ("age and face", "true or false for each of 4 stimuli"),
        ("face and", "cannot evaluate 'face and': invalid syntax"),
        ("kind == ['a', 'b']", "cannot be compared .lists go with `in`"),
        ("3 == 3", "3 and 3 are no columns"),
        ("'a' in kind", "`in` takes a column and a list"),
        ("age = 3", "cannot evaluate 'age = 3'"),
        ("(" * 300 + "face" + ")" * 300, "cannot evaluate"),
        ("not " * 1600 + "face", "at most 5000 characters"),
        ("not " * 1200 + "face", "cannot evaluate"),
        ("age > 10 ** 9", "is not allowed"),
        ("kind == None", "'None' is not allowed"),
        ("", "cannot evaluate ''"),
    ],
)
def test_what_is_none_is_one_sentence(expression, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        rows_where(expression, TABLE, rows="stimuli")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        "@__builtins__['open']('{path}', 'w') == 1",
        "__import__('pathlib').Path('{path}').touch() == 1",
        "kind.str.contains('a')",
        "kind.to_csv('{path}') == 1",
        "kind.map(print) == 1",
        "open('{path}', 'w') == 1",
        "[c for c in kind] == 1",
        "(lambda: 1)() == 1",
        'f\'{{open("{path}", "w")}}\' == kind',
        "kind[0] == 'a'",
        "(age := 3) == 3",
        "age if face else flag",
        "kind == 'a'; import os",
        "`kind`.to_csv('{path}')",
    ],
)
def test_code_is_not_run(code, tmp_path):
    path = tmp_path / "made"
    with pytest.raises(InputError, match="cannot evaluate"):
        rows_where(code.format(path=path), TABLE)
    assert not path.exists()


def test_wrong_types():
    with pytest.raises(TypeError, match="as text, got int"):
        rows_where(3, TABLE)


def test_no_other_place_evaluates_text():
    """Linters see no methods: `.query` is that of StimulusSet or of a tree of points."""
    own = {
        "cli/_networks.py",
        "runs/_inputs.py",
        "runs/timecourse/recordings.py",
        "stimuli/clips.py",
        "datasets/simulated_brain.py",
    }
    root = Path(rsa_faces.__file__).parent
    with_query = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert not (name in ("eval", "exec") and node.args), path
            if name == "query":
                with_query.add(path.relative_to(root).as_posix())
    assert with_query <= own
