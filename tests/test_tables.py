"""The one reader of tables, against Python's csv module and against what was written."""

import csv
import gzip
import io
import re
import warnings
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

import rsa_faces
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import (
    PIVOT_BUDGET,
    check_pivot,
    read_header,
    read_matrix,
    read_names,
    read_rows,
    read_table,
    write_table,
)


def written(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("seed", range(15))
def test_every_cell_comes_back_as_it_was_written(tmp_path, separator, quoting, seed):
    rng = np.random.default_rng(seed)
    words = [
        "01",
        "NA",
        "None",
        "null",
        "n/a",
        "nan",
        "é",
        "a b",
        "1.0",
        "true",
        "-",
        "1e5",
        "日本",
    ]
    words += ["a,b", "a;b", 'say "x"'] if seed % 3 else []
    n_columns, n_rows = int(rng.integers(2, 6)), int(rng.integers(1, 40))
    rows = [[str(rng.choice(words)) for _ in range(n_columns)] for _ in range(n_rows)]
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=separator, quoting=quoting, lineterminator=["\n", "\r\n"][seed % 2]
    )
    header = [f"c{i}" for i in range(n_columns)]
    writer.writerows([header, *rows])
    table = read_table(written(tmp_path, text.getvalue()), text=header)
    assert table.to_numpy().tolist() == rows
    assert list(table.columns) == header


def test_numbers_come_back_with_all_their_digits(tmp_path):
    values = np.random.default_rng(0).standard_normal(2000) * 10.0 ** np.arange(-100, 100, 0.1)
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": values}).to_csv(path, index=False)
    np.testing.assert_array_equal(read_table(path, numbers=["x"])["x"], values)
    np.testing.assert_array_equal(read_table(path, guess=True)["x"], values)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_and_ends_of_lines(tmp_path, encoding, end):
    content = end.join(["name;x", "Zoë;1", "b;2", ""]).encode(encoding)
    table = read_table(written(tmp_path, content), text=["name"], numbers=["x"])
    assert table.to_numpy().tolist() == [["Zoë", 1.0], ["b", 2.0]]


def test_gzip(tmp_path):
    path = written(tmp_path, gzip.compress(b"onset\tname\n1\ta\n"), "t.tsv.gz")
    assert read_table(path, numbers=["onset"], text=["name"])["onset"].tolist() == [1.0]


def test_excel_shows_what_was_typed(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["subject", "code", "x", "seen"])
    sheet.append(["01", 7, 1.5, True])
    sheet.append(["NA", 12, 2, False])
    for row in (2, 3):
        sheet.cell(row, 2).number_format = "000"
    sheet.cell(9, 1).value = ""
    book.save(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx", text=["subject", "code", "seen"], numbers=["x"])
    assert table.to_numpy().tolist() == [["01", "007", 1.5, "TRUE"], ["NA", "012", 2.0, "FALSE"]]
    # By content, whatever the ending.
    (tmp_path / "t.xlsx").rename(tmp_path / "t.csv")
    assert read_header(tmp_path / "t.csv") == ["subject", "code", "x", "seen"]


def test_words_for_missing_values_count_in_numbers_only(tmp_path):
    path = written(tmp_path, "who,x\nNA,NA\nn/a,nan\nNone,\nnull,4\n")
    table = read_table(path, text=["who"], numbers=["x"])
    assert table["who"].tolist() == ["NA", "n/a", "None", "null"]
    np.testing.assert_array_equal(table["x"], [np.nan, np.nan, np.nan, 4.0])


def test_in_bids_na_is_missing_in_every_column(tmp_path):
    path = written(tmp_path, "onset\tkind\nn/a\tn/a\n2\tNA\n", "t.tsv")
    table = read_table(path, numbers=["onset"], required=["kind"], bids=True)
    np.testing.assert_array_equal(table["onset"], [np.nan, 2.0])
    assert table["kind"].isna().tolist() == [True, False]
    assert table["kind"][1] == "NA"
    with pytest.raises(InputError, match="'n/a'"):
        read_table(path, numbers=["onset"])


def test_a_table_without_rows(tmp_path):
    path = written(tmp_path, "who,x\n")
    with pytest.raises(InputError, match="it has none"):
        read_table(path)
    assert list(read_table(path, text=["who"], numbers=["x"], guess=True, empty=True)) == [
        "who",
        "x",
    ]


@pytest.mark.parametrize(
    "cells, kind",
    [
        (["1", "2"], "int64"),
        (["1", "2.5"], "float64"),
        (["1", ""], "float64"),
        (["0", "NA"], "float64"),
        (["-0.5", "1e-05"], "float64"),
        (["01", "2"], None),
        (["1", "x"], None),
        (["1e5", "2"], None),
        (["NA", "NA"], None),
        (["1234567890123456", "1"], None),
        (["1234567890123456", ""], None),
        (["0.12345678901234567", "1"], "float64"),
        (["+1", "1,5"], None),
        (["-inf", "1"], "float64"),
        (["inf", "inf"], None),
        (["True", "no"], None),
        (["True", ""], None),
    ],
)
def test_undeclared_columns_are_numbers_only_where_all_are_quantities(tmp_path, cells, kind):
    path = tmp_path / "t.csv"
    pd.DataFrame({"who": ["a", "b"], "x": cells}).to_csv(path, index=False)
    guessed = read_table(path, text=["who"], guess=True)["x"]
    if kind is None:
        assert guessed.fillna("").tolist() == cells
    else:
        assert guessed.dtype == kind
        np.testing.assert_array_equal(guessed, pd.to_numeric(pd.Series(cells), errors="coerce"))
    assert read_table(path, text=["who"])["x"].fillna("").tolist() == cells


@pytest.mark.parametrize("words", [("True", "False"), ("TRUE", "FALSE"), ("true", "false")])
def test_undeclared_columns_are_truth_values_where_all_are(tmp_path, words):
    path = written(tmp_path, f"who,x\na,{words[0]}\nb,{words[1]}\n")
    guessed = read_table(path, text=["who"], guess=True)["x"]
    assert guessed.dtype == bool
    assert guessed.tolist() == [True, False]


def test_named_text_is_never_guessed(tmp_path):
    path = written(tmp_path, "subject,age\n1,20\n2,30\n")
    table = read_table(path, text=["subject"], guess=True)
    assert table["subject"].tolist() == ["1", "2"]
    assert table["age"].tolist() == [20, 30]


def test_notes_say_what_was_decided(tmp_path):
    path = written(tmp_path, ',who,x\n0, a,"1,5"\n1,b,2\n')
    with pytest.raises(InputError, match="line 2 has '1,5'. Write decimals with a point"):
        read_table(path, text=["who"], numbers=["x"])
    path = written(tmp_path, ";who;x;\n0; a;1,5;\n1;b;2;\n;;;\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_table(path, text=["who"], numbers=["x"])
    notes = "\n".join(str(w.message) for w in caught)
    assert "1 rows without any value" in notes
    assert "'Unnamed: 0'" in notes
    assert "column 4 has neither a name nor a value" in notes
    assert "decimal comma were read in column 'x'" in notes
    assert "' a' in column 'who' (line 2)" in notes
    assert table.to_dict("list") == {"who": ["a", "b"], "x": [1.5, 2.0]}


def test_lines_are_those_of_the_file(tmp_path):
    for content, line in [
        ("a,x\nq,1\n\n\nr,z\n", 5),
        ("\n\na,x\nq,1\nr,z\n", 5),
        ('a,x\n"q\nq",1\n\nr,z\n', 5),
        ("sep=,\na,x\nq,1\nr,z\n", 4),
    ]:
        with pytest.raises(InputError, match=f"line {line} has 'z'"):
            read_table(written(tmp_path, content), text=["a"], numbers=["x"])
        wide = content.replace("z", "z,")
        with pytest.raises(InputError, match=f"line {line} has 3"):
            read_table(written(tmp_path, wide), text=["a"], numbers=["x"])


def test_a_dataframe_goes_through_the_same_checks():
    frame = pd.DataFrame({" who": [" 01", 2, 3.0], "n": [1.0, 2.0, 3.0], "x": ["1", "NA", 3]})
    with pytest.warns(UserWarning, match="' 01' in column 'who' .row 0"):
        table = read_table(frame, text=["who", "n"], numbers=["x"])
    assert table["who"].tolist() == ["01", "2", "3.0"]
    assert table["n"].tolist() == ["1", "2", "3"]
    np.testing.assert_array_equal(table["x"], [1.0, np.nan, 3.0])
    assert list(frame.columns) == [" who", "n", "x"]
    with pytest.raises(InputError, match="row 1 has none"):
        read_table(pd.DataFrame({"who": ["a", None]}), text=["who"])
    with pytest.raises(InputError, match="row 0 has 'True'"):
        read_table(pd.DataFrame({"x": [True]}), numbers=["x"])
    with pytest.raises(TypeError, match="got list"):
        read_table([["a"]], text=["a"])


def test_rows_one_at_a_time(tmp_path):
    path = written(tmp_path, 'a,b\n"x\ny", 1\nz,2\n')
    assert list(read_rows(path, required=["b"])) == [
        (2, {"a": "x\ny", "b": "1"}),
        (4, {"a": "z", "b": "2"}),
    ]
    with pytest.raises(InputError, match="expected the column 'c'"):
        list(read_rows(path, required=["c"]))


def test_what_does_not_fit_the_budget_is_refused_before_it_is_made():
    largest = int((PIVOT_BUDGET / 4) ** 0.5)
    check_pivot(largest, what="t.csv")
    with pytest.raises(InputError, match="40000 different conditions and 1 RDMs, 6,103 MB"):
        check_pivot(40_000, what="t.csv")
    with pytest.raises(InputError, match="and 20 RDMs"):
        check_pivot(largest, 20, what="t.csv")


@pytest.mark.parametrize("separator", [" ", "   ", "\t", ",", ", ", ";"])
def test_matrices_of_numbers(tmp_path, separator):
    values = np.random.default_rng(0).normal(size=(4, 3))
    lines = [separator.join(map(repr, row)) for row in values.tolist()]
    path = written(tmp_path, "# units\n" + "\n".join(lines) + "\n\n")
    np.testing.assert_array_equal(read_matrix(path), values)
    path = written(tmp_path, "\n".join([*lines, lines[0] + separator.strip() + " 1"]))
    with pytest.raises(InputError, match="line 5 has"):
        read_matrix(path)
    with pytest.raises(InputError, match="line 2 has 'x'"):
        read_matrix(written(tmp_path, f"1{separator}nan\nx{separator}2"))
    with pytest.raises(InputError, match="there is none"):
        read_matrix(written(tmp_path, "\n"))


def test_a_header_that_two_separators_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="commas or semicolons"):
        read_header(written(tmp_path, "a,b;c\n1,2;3\n"))


def test_names_one_a_line(tmp_path):
    assert read_names(written(tmp_path, "01\r\n NA \r\n\r\né\r\n")) == ["01", "NA", "é"]
    assert read_names(written(tmp_path, "a\nb".encode("utf-16"))) == ["a", "b"]


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "'=1", "''+x", "'quoted'", "ann", "a=b", "-", "'"],
)
def test_no_name_is_a_formula_in_a_spreadsheet(tmp_path, name):
    table = pd.DataFrame({"stimulus": [name, "other"], "x": [-1.5, 2.0], f"{name} 2": ["a", "b"]})
    path = tmp_path / "a.csv"
    write_table(table, path)
    header, written, _ = path.read_text(encoding="utf-8").splitlines()
    assert written[0] not in "=+-@\uff1d"
    assert written.endswith(",-1.5,a")
    assert header.split(",")[2][0] not in "=+-@\uff1d"
    again = read_table(path, text=["stimulus"], numbers=["x"])
    assert again["stimulus"].tolist() == [name, "other"]
    assert list(again.columns) == list(table.columns)
    rows = [row for _, row in read_rows(path)]
    assert rows[0] == {"stimulus": name, "x": "-1.5", f"{name} 2": "a"}
    # Tables in memory were never written for a spreadsheet.
    assert read_table(table, text=["stimulus"])["stimulus"].tolist() == [name, "other"]


def without_examples(path):
    """Return a module's text without the lines of its examples."""
    return re.sub(r"^ *(>>>|\.\.\. ).*$", "", path.read_text(encoding="utf-8"), flags=re.M)


def test_tables_are_written_in_one_place():
    package = Path(rsa_faces.__file__).parent
    writers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\.to_(csv\([^)]|excel)|csv\.writer", without_examples(path))
    }
    assert writers == {"_core/tables.py"}
