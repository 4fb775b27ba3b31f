"""Tables: text stays text, numbers are numbers, and what is neither has a line."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from PIL import Image
from situation import Situation, check, command, each

import rsa_faces as rf
from rsa_faces._core.tables import read_table
from rsa_faces.brain._design import read_confounds, read_events
from rsa_faces.brain._labels import _names
from rsa_faces.brain.betas import _condition_table
from rsa_faces.brain.clip_responses import _read_clips
from rsa_faces.brain.electrodes import read_electrodes
from rsa_faces.cli import _arrange, _extract, _init  # noqa: F401 (registers the commands)
from rsa_faces.io._foreign import as_list
from rsa_faces.runs._brains import read_volumes

PAIRS = "condition_a,condition_b,dissimilarity"


def _file(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _rdms(folder: Path, content: str | bytes, name: str = "t.csv") -> rf.RDMs:
    return rf.load_rdms(_file(folder, content, name))


def _noted(do, sentence: str):
    """Do something that has to note a sentence."""
    with pytest.warns(UserWarning, match=sentence):
        return do()


def _silent(do):
    """Do something that has nothing to note."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return do()


# ---- RDMs ----------------------------------------------------------------------------------------


def _subjects_stay_text(folder):
    rdms = _silent(lambda: _rdms(folder, f"subject,{PAIRS}\n01,a,b,1.5\n02,a,b,2.5\n"))
    assert list(rdms.labels["subject"]) == ["01", "02"]
    assert rdms.sel(subject="02").vectors.tolist() == [[2.5]]


def _subjects_from_ten_on(folder):
    rdms = _rdms(folder, f"subject,session,{PAIRS}\n10,1,a,b,1\n11,1,a,b,2\n")
    assert list(rdms.labels["subject"]) == ["10", "11"]
    assert rdms.sel(subject=11, session=1).vectors.tolist() == [[2.0]]


def _words_for_nothing_are_names(folder):
    names = ["NA", "None", "null", "n/a", "nan_1", "001"]
    rows = [f"{a},{b},{i}.25" for i, (a, b) in enumerate(zip(names, names[1:], strict=False))]
    rdms = _rdms(folder, "\n".join([PAIRS, *rows]))
    assert rdms.conditions == tuple(names)
    assert rdms.matrices()[0][2, 3] == 2.25


def _round_trip(folder):
    rng = np.random.default_rng(0)
    labels = {"subject": ["01", "NA"], "time": [0.1, 0.2], "first": [True, False]}
    rdms = rf.RDMs(rng.random((2, 6)), ["1", "2", "x,y", 'q"'], "euclidean", labels)
    rdms.to_frame().to_csv(folder / "r.csv", index=False)
    again = rf.load_rdms(folder / "r.csv").align(rdms.conditions)
    np.testing.assert_array_equal(again.vectors, rdms.vectors)
    assert again.labels.to_dict("list") == labels


def _written_by_german_excel(folder):
    text = "condition_a;condition_b;dissimilarity\r\nä;b;0,5\r\nä;c;1\r\nb;c;1,25\r\n"
    rdms = _noted(lambda: _rdms(folder, text.encode("utf-8-sig")), "decimal comma")
    assert rdms.conditions == ("ä", "b", "c")
    assert rdms.vectors.tolist() == [[0.5, 1.0, 1.25]]


def _unicode_text_of_excel(folder):
    text = "condition_a\tcondition_b\tdissimilarity\r\nZoë\tb\t0.5\r\n"
    assert _rdms(folder, text.encode("utf-16"), "t.txt").conditions == ("Zoë", "b")


def _index_of_pandas(folder):
    frame = pd.DataFrame(
        {
            "condition_a": ["a", "a", "b"],
            "condition_b": ["b", "c", "c"],
            "dissimilarity": [1.0, 2.0, 3.0],
        }
    )
    frame.to_csv(folder / "t.csv")
    rdms = _noted(lambda: rf.load_rdms(folder / "t.csv"), "Unnamed: 0")
    assert len(rdms) == 1
    assert rdms.vectors.tolist() == [[1.0, 2.0, 3.0]]


def _index_of_pandas_twice(folder):
    frame = pd.DataFrame({"condition_a": ["a"], "condition_b": ["b"], "dissimilarity": [1.0]})
    frame.to_csv(folder / "t.csv")
    pd.read_csv(folder / "t.csv").to_csv(folder / "t.csv")
    rf.load_rdms(folder / "t.csv")


def _different_names(folder):
    rows = "\n".join(f"a{i},b{i},1" for i in range(20_000))
    _rdms(folder, f"{PAIRS}\n{rows}\n")


def _trial_as_label(folder):
    rows = "\n".join(f"c{i},c{i + 1},1,{i}" for i in range(2000))
    _rdms(folder, f"{PAIRS},trial\n{rows}\n")


def _sheet(folder, rows, formats=(), second=False):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, code in formats:
        book.active[cell].number_format = code
    if second:
        book.create_sheet("more").append(["x"])
    book.save(folder / "t.xlsx")
    return folder / "t.xlsx"


def _excel(folder):
    header = ["subject", "condition_a", "condition_b", "dissimilarity"]
    path = _sheet(folder, [header, ["01", 1, 2, 0.5], ["01", 1, "NA", 1]], [("B2", "000")])
    rdms = rf.load_rdms(path)
    # 1 shown as 001 and 1 shown as 1 are different names.
    assert rdms.conditions == ("001", "2", "1", "NA")
    assert rdms.labels["subject"].tolist() == ["01"]
    assert rdms.matrices()[0][2, 3] == 1.0


def _dates(folder):
    rows = [["who", "n", "tested"], ["a", 1, pd.Timestamp("2024-03-01")], [], ["b", "x", None]]
    table = read_table(_sheet(folder, rows), text=["who"])
    assert table["tested"].fillna("").tolist() == ["2024-03-01T00:00:00", ""]
    with pytest.raises(rf.InputError, match="t.xlsx, but line 4 has 'x'"):
        read_table(folder / "t.xlsx", numbers=["n"])


# ---- images --------------------------------------------------------------------------------------


def _manifest(folder, content, name="m.csv"):
    for stem in ("001", "002"):
        Image.fromarray(np.full((8, 8, 3), int(stem) * 40, np.uint8)).save(folder / f"{stem}.png")
    return rf.load_stimuli(folder, manifest=_file(folder, content, name))


def _categories(folder):
    faces = _silent(
        lambda: _manifest(folder, "file,group,age,face\n001.png,NA,7,True\n002.png,None,8,False\n")
    )
    assert faces.ids == ("001", "002")
    assert faces.metadata["group"].tolist() == ["NA", "None"]
    assert faces.metadata["age"].tolist() == [7, 8]
    assert faces.query("face").ids == ("001",)


def _identities(folder):
    faces = _manifest(folder, "file;identity;age\n001.png;007;20\n002.png;8;21,5\n")
    assert faces.metadata["identity"].tolist() == ["007", "8"]
    assert faces.metadata["age"].tolist() == [20, 21.5]


def _manifest_with_blanks(folder):
    faces = _noted(
        lambda: _manifest(folder, "file, identity\n001.png, anna\n002.png,anna \n"),
        "blanks around text were trimmed, such as ' anna' in column 'identity' .line 2",
    )
    assert faces.metadata["identity"].tolist() == ["anna", "anna"]


def _long_numbers(folder):
    faces = _manifest(folder, "file,id_of_person\n001.png,12345678901234567\n002.png,2\n")
    assert faces.metadata["id_of_person"].tolist() == ["12345678901234567", "2"]


# ---- brains --------------------------------------------------------------------------------------


def _events(folder, content):
    return read_events(_file(folder, content, "events.tsv"), "01", 100.0)


def _event_names(folder):
    events = _silent(
        lambda: _events(
            folder,
            "onset\tduration\ttrial_type\n0\t1\t001\n2\t1\tNone\n4\t1\tNA\n6\t1\tnull\n",
        )
    )
    assert events["trial_type"].tolist() == ["001", "None", "NA", "null"]
    assert events["onset"].tolist() == [0.0, 2.0, 4.0, 6.0]


def _nameless_events(folder):
    events = _noted(
        lambda: _events(folder, "onset\tduration\ttrial_type\n0\t1\tface\n5\t1\tn/a\n"),
        "1 of 2 events of run '01' have no trial_type",
    )
    assert events["trial_type"].tolist() == ["face"]


def _events_with_commas(folder):
    events = _events(folder, "onset,duration,trial_type\n1.5,1,face\n")
    assert events[["onset", "trial_type"]].to_numpy().tolist() == [[1.5, "face"]]


def _confounds(folder):
    path = _file(folder, "rot_x\tfd\n0.5\tn/a\n0.25\t1\n", "confounds.tsv")
    assert read_confounds(path, "01", 2).tolist() == [[0.5, 0.0], [0.25, 1.0]]


def _packed_confounds(folder):
    path = _file(folder, gzip.compress(b"rot_x\n0.5\n0.25\n"), "confounds.tsv.gz")
    assert read_confounds(path, "01", 2).tolist() == [[0.5], [0.25]]


def _electrodes(folder):
    text = "name\tx\ty\tz\tregion\n01\t1\t2\t3\tn/a\nNA2\tn/a\tn/a\tn/a\tfusiform\n"
    table = read_electrodes(_file(folder, text, "sub-07_electrodes.tsv"), unit="mm")
    assert table["name"].tolist() == ["01", "NA2"]
    assert table["patient"].tolist() == ["07", "07"]
    assert table["region"].isna().tolist() == [True, False]
    np.testing.assert_array_equal(table[["x", "y", "z"]], [[1, 2, 3], [np.nan] * 3])


def _volumes(folder):
    table = read_volumes(_file(folder, "condition\tfold\n01\t1\nn/a\t02\n", "v.tsv"))
    assert table.to_numpy().tolist() == [["01", "1"], ["n/a", "02"]]
    assert _condition_table(folder / "v.tsv")[:2] == (["01", "n/a"], ["1", "02"])


def _labels_of_an_atlas(folder):
    path = _file(folder, "index\tname\n1\tNA\n2\t002\n", "dseg.tsv")
    assert _names(path, np.array([0, 1, 2])) == {"NA": [1], "002": [2]}


def _clips(folder):
    table = _read_clips(_file(folder, "clip,onset,duration\n01,4,2\nNA,0,2\n"), "1")
    assert table["clip"].tolist() == ["NA", "01"]


def _stimuli_of_ieeg(folder):
    """The table of events of a BIDS-iEEG data set, as bids.py reads it."""
    path = _file(folder, "onset\tduration\tstim\trt\n1\t0\t000\tn/a\n2\t0\t001\t0.5\n", "e.tsv")
    table = read_table(path, text=["stim"], gaps=["stim"], numbers=["onset"], guess=True)
    assert table["stim"].tolist() == ["000", "001"]
    np.testing.assert_array_equal(table["rt"], [np.nan, 0.5])


# ---- any table -----------------------------------------------------------------------------------


def _read(folder, content, name="t.csv", **options):
    return read_table(_file(folder, content, name), **{"text": ["who"], "numbers": ["x"]} | options)


def _one_column_of_names(folder):
    assert as_list(_file(folder, "01\nNA\nZoë\n", "names.txt")) == ["01", "NA", "Zoë"]


def _empty_rows_of_a_spreadsheet(folder):
    table = _noted(lambda: _read(folder, "who,x,\na,1,\nb,2,\n,,\n,,\n"), "2 rows without any")
    assert table.to_dict("list") == {"who": ["a", "b"], "x": [1.0, 2.0]}


def _quotes(folder):
    table = _silent(lambda: _read(folder, 'who,x\n"a, the ""first""\nof two",1\n'))
    assert table.to_numpy().tolist() == [['a, the "first"\nof two', 1.0]]


def _separator_in_a_name(folder):
    table = _silent(lambda: _read(folder, "who;note, if any;x\na;p,q;1\n"))
    assert table.to_numpy().tolist() == [["a", "p,q", 1.0]]


def _thousands(folder):
    table = _noted(lambda: _read(folder, "who;x\na;1,234\nb;0,5\n"), "decimal comma")
    assert table["x"].tolist() == [1.234, 0.5]


def _old_mac(folder):
    assert _read(folder, "who,x\ra,1\rb,2\r")["x"].tolist() == [1.0, 2.0]


def _hint_of_excel(folder):
    assert _read(folder, "sep=;\nwho;x\na;1\n")["who"].tolist() == ["a"]


def _init_finds_the_manifest(folder):
    (folder / "faces").mkdir()
    _manifest(folder / "faces", "file,group\n001.png,NA\n002.png,b\n")
    _file(folder / "faces", b"\x93NUMPY\0\0", "junk.csv")
    text = command("init", "--out", folder / "c.yaml", "--stimuli", folder / "faces")
    assert "2 images" in text
    assert "m.csv" in (folder / "c.yaml").read_text()


def _configured(folder, content):
    (folder / "faces").mkdir()
    _manifest(folder / "faces", "file\n001.png\n002.png\n")
    data = folder / "FFA.csv" if content is None else _file(folder, content, "FFA.csv")
    return command(
        "init", "--out", folder / "c.yaml", "--stimuli", folder / "faces", "--data", data
    )


def _init_counts_subjects(folder):
    _configured(folder, f"subject,{PAIRS}\n01,001,002,1\n1,001,002,2\n")
    assert "# 2 subjects" in (folder / "c.yaml").read_text()


SITUATIONS = [
    Situation("RDM table: subjects 01 and 02", _subjects_stay_text),
    Situation("RDM table: subjects 10 and 11, chosen by number", _subjects_from_ten_on),
    Situation("RDM table: conditions called NA, None, null, n/a", _words_for_nothing_are_names),
    Situation("RDM table written from RDMs with labels of three types", _round_trip),
    Situation("RDM table: semicolons and decimal commas", _written_by_german_excel),
    Situation("RDM table: UTF-16 text of Excel", _unicode_text_of_excel),
    Situation("RDM table: with the index of pandas", _index_of_pandas),
    Situation("RDM table: the index of pandas twice", _index_of_pandas_twice, "column 2 has none"),
    Situation("RDM table: an Excel sheet with 1 shown as 001", _excel),
    Situation(
        "RDM table: a subject is missing in one row",
        lambda f: _rdms(f, f"subject,{PAIRS}\n01,a,b,1\n,a,c,1\n"),
        "'subject'.*line 3 has none",
    ),
    Situation(
        "RDM table: a region given in the first row only",
        lambda f: _rdms(f, f"roi,{PAIRS}\nFFA,a,b,1\n,a,c,1\n"),
        "'roi'.*row 2 has none.*Fill it in",
    ),
    Situation(
        "RDM table: a comma at the end of one row",
        lambda f: _rdms(f, f"{PAIRS}\na,b,1\na,c,2,\n"),
        "line 3 has 4: 'a,c,2,'",
    ),
    Situation(
        "RDM table: a comma at the end of every row but the header",
        lambda f: _rdms(f, f"{PAIRS}\na,b,1,\na,c,2,\n"),
        "expected 3 cells in every line.*line 2 has 4",
    ),
    Situation(
        "RDM table: decimal commas between commas",
        lambda f: _rdms(f, f"{PAIRS}\na,b,0,5\n"),
        "line 2 has 4: 'a,b,0,5'.*Put such a text in quotes",
    ),
    Situation(
        "RDM table: cut off in the last row",
        lambda f: _rdms(f, f"{PAIRS}\na,b,1\na,c"),
        "line 3 has 2: 'a,c'. Is the file whole",
    ),
    Situation(
        "RDM table: a label called dissimilarity",
        lambda f: _rdms(f, f"dissimilarity,{PAIRS}\n1,a,b,1\n"),
        "'dissimilarity' is there again",
    ),
    Situation(
        "RDMs with a label called condition_a become a table",
        lambda f: rf.RDMs([[1.0]], ["a", "b"], "m", {"condition_a": ["x"]}).to_frame(),
        "got the label 'condition_a'",
    ),
    Situation(
        "RDM table: text among dissimilarities",
        lambda f: _rdms(f, f"{PAIRS}\na,b,1\na,c,high\n"),
        "'dissimilarity'.*line 3 has 'high'",
    ),
    Situation("RDM table: 20,000 rows of different names", _different_names, "40000 different.*MB"),
    Situation("RDM table: the trial as a label", _trial_as_label, "2001 different.*2000 RDMs"),
    Situation(
        "RDM table: Condition_A instead of condition_a",
        lambda f: _rdms(f, "Condition_A,condition_b,dissimilarity\na,b,1\n"),
        "'condition_a'.*Did you mean 'Condition_A'",
    ),
    Situation(
        "RDM table: separated by blanks",
        lambda f: _rdms(f, "condition_a condition_b dissimilarity\na b 1\n"),
        "got 'condition_a condition_b dissimilarity'",
    ),
    Situation("image table: categories NA and None", _categories),
    Situation("image table: identities 007 and 8, decimal commas", _identities),
    Situation("image table: blanks after commas", _manifest_with_blanks),
    Situation("image table: numbers of 17 digits", _long_numbers),
    Situation(
        "image table: a comma too many in every row",
        lambda f: _manifest(f, "file,age\n001.png,1,\n002.png,2,\n"),
        "line 2 has 3",
    ),
    Situation(
        "image table: two columns of one name",
        lambda f: _manifest(f, "file,age,age\n001.png,1,2\n"),
        "'age' is there again",
    ),
    Situation(
        "image table: saved from a DataFrame with names as index",
        lambda f: _manifest(f, ",file\nanna,001.png\nben,002.png\n"),
        "column 1 has none.*'Unnamed: 0'.*holds 'anna'",
    ),
    Situation("events: trial types 001, None, NA, null", _event_names),
    Situation("events: a trial type n/a", _nameless_events),
    Situation("events: commas in a .tsv", _events_with_commas),
    Situation(
        "events: an onset n/a",
        lambda f: _events(f, "onset\tduration\ttrial_type\nn/a\t1\tface\n"),
        "onset in s of every event of run '01'.*'face' has nan",
    ),
    Situation(
        "events: an onset in words",
        lambda f: _events(f, "onset\tduration\ttrial_type\nsoon\t1\tface\n"),
        "'onset'.*line 2 has 'soon'",
    ),
    Situation(
        "events: a tab at the end of every row",
        lambda f: _events(f, "onset\tduration\ttrial_type\n0\t1\tface\t\n"),
        "line 2 has 4",
    ),
    Situation("confounds: n/a in the first row", _confounds),
    Situation("confounds: packed (.tsv.gz)", _packed_confounds),
    Situation(
        "confounds: text in a column",
        lambda f: read_confounds(_file(f, "fd\tkind\n1\ta\n", "c.tsv"), "01", 1),
        "'kind' of .*line 2 has 'a'",
    ),
    Situation("electrodes: 01 and NA2, places n/a", _electrodes),
    Situation(
        "electrodes: a coordinate with a decimal comma among points",
        lambda f: read_electrodes(
            _file(f, "name\tx\ty\tz\n1\t1,5\t2.5\t3\n", "sub-1_electrodes.tsv"), unit="mm"
        ),
        "one way to write decimals.*'x'.*point in column 'y'",
    ),
    Situation("volumes: conditions 01 and n/a, folds 1 and 02", _volumes),
    Situation(
        "volumes: an empty line between names",
        lambda f: read_volumes(_file(f, "condition\nface\n\nhouse\n")),
        "line 3 is empty",
    ),
    Situation("atlas: regions called NA and 002", _labels_of_an_atlas),
    Situation(
        "atlas: an index of 1.5",
        lambda f: _names(_file(f, "index,name\n1.5,V1\n"), np.array([0, 1])),
        "whole numbers.*1.5 for 'V1'",
    ),
    Situation("clips 01 and NA", _clips),
    Situation("intracranial events: stimuli 000 and 001, a response time n/a", _stimuli_of_ieeg),
    Situation("a text file of names 01, NA, Zoë", _one_column_of_names),
    Situation("rows of separators at the end (spreadsheets)", _empty_rows_of_a_spreadsheet),
    Situation("commas, quotes and a new line within quotes", _quotes),
    Situation("a comma in a column's name between semicolons", _separator_in_a_name),
    Situation("1,234 beside 0,5 between semicolons", _thousands),
    Situation(
        "1,234 alone between semicolons",
        lambda f: _read(f, "who;x\na;1,234\n"),
        "'1,234'.*decimal comma, or between thousands",
    ),
    Situation("line ends of an old Macintosh", _old_mac),
    Situation("sep=; in the first line", _hint_of_excel),
    Situation(
        "n/a as a number outside of BIDS",
        lambda f: _read(f, "who,x\na,n/a\n"),
        "line 2 has 'n/a'. Leave the cell empty",
    ),
    Situation(
        "a header that commas and semicolons split alike",
        lambda f: _read(f, "who;x,who;x\na;1,a;1\n", text=[], numbers=[]),
        "could be split by commas or semicolons",
    ),
    Situation(
        "a quotation mark without its twin",
        lambda f: _read(f, 'who,x\n"a,1\nb,2\n'),
        "cannot be split.*quotation mark missing",
    ),
    Situation(
        "letters of Windows (cp1252)",
        lambda f: _read(f, "who,x\nZoë,1\n".encode("cp1252")),
        "in UTF-8, but .* holds the byte 0xeb",
    ),
    Situation("a binary file", lambda f: _read(f, b"\x89HDF\r\n\x1a\n\0\0"), "is a binary file"),
    Situation(
        "an old Excel file", lambda f: _read(f, b"\xd0\xcf\x11\xe0\xa1\xb1"), "Save it as .xlsx"
    ),
    Situation("a zip that is no Excel file", lambda f: _read(f, b"PK\x03\x04rest"), "nor an .xlsx"),
    Situation("a packed file that is broken", lambda f: _read(f, b"\x1f\x8b\x08rest"), "be read"),
    Situation("an empty file", lambda f: _read(f, ""), "the file is empty"),
    Situation("a header without rows", lambda f: _read(f, "who,x\n"), "it has none"),
    Situation(
        "a folder", lambda f: read_table(f, what="events"), "expected events, but .* is a folder"
    ),
    Situation("no file", lambda f: read_table(f / "no.csv"), "no.csv does not exist"),
    Situation("an array instead of a table", lambda f: read_table(np.eye(2)), "got ndarray"),
    Situation(
        "an Excel file of two sheets",
        lambda f: read_table(_sheet(f, [["who"], ["a"]], second=True)),
        "one sheet.*got 2: 'Sheet', 'more'",
    ),
    Situation(
        "an Excel file that made a date of a name",
        lambda f: read_table(_sheet(f, [["who"], [pd.Timestamp("2024-03-01")]]), text=["who"]),
        "cell A2 .* the date 2024-03-01.*MAR1",
    ),
    Situation("an Excel file with dates that are no names, and an empty row", _dates),
    Situation(
        "an Excel file with an error in a cell",
        lambda f: read_table(_sheet(f, [["who"], ["#DIV/0!"]])),
        "cell A2 .* the error #DIV/0!",
    ),
    Situation("command line: a manifest found among broken ones", _init_finds_the_manifest),
    Situation("command line: subjects 01 and 1 are two", _init_counts_subjects),
    Situation(
        "command line: RDMs with a wider row",
        lambda f: _configured(f, f"{PAIRS}\n001,002,1,\n"),
        "FFA.csv, as in its header, but line 2 has 4",
    ),
    Situation(
        "command line: RDMs with text for a number",
        lambda f: _configured(f, f'{PAIRS}\n001,002,"4,5"\n'),
        "line 2 has '4,5'. Write decimals with a point",
    ),
    Situation(
        "command line: RDMs that are no file",
        lambda f: _configured(f, None),
        "FFA.csv does not exist",
    ),
]


@each(SITUATIONS)
def test_situation(situation, tmp_path):
    check(situation, tmp_path)
