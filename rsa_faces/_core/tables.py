"""The one reader of tables: what a cell is, and what a table may not be."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import nearest
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path
from rsa_faces._core.table_text import (
    FORMULA,
    SEPARATORS,
    Source,
    checked_rows,
    opened,
    text_stream,
    unguarded,
)
from rsa_faces._core.warning import warn

#: Words that pandas and R write where a number is missing; an empty cell is missing too.
MISSING = ("NaN", "nan", "NA")
#: The word of BIDS for a value that is missing, in any column.
BIDS_MISSING = "n/a"
#: Largest array of pairs that a table may be spread into, in bytes (about 11,500 conditions);
#: while it is made, several of its size are held.
PIVOT_BUDGET = 512 * 2**20

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_DECIMAL_COMMA = r"[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?"
_THOUSANDS = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+"
# A number that stands for a quantity: no leading zero (007), no exponent that nobody writes out
# (1e5 is a name, 1e-05 and 1E+05 are what programs write), no more digits than a float keeps.
_QUANTITY = r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]\d+)?"
_MOST_DIGITS = 15
# As pandas, R and Excel write them.
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


def read_table(
    source: pd.DataFrame | str | os.PathLike[str],
    *,
    what: str = "a table",
    text: Sequence[str] = (),
    numbers: Sequence[str] = (),
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    gaps: Sequence[str] = (),
    guess: bool = False,
    empty: bool = False,
    bids: bool = False,
    missing: Sequence[str] = MISSING,
) -> pd.DataFrame:
    r"""Read a table. Every cell is text, unless its column is declared a number.

    Parameters
    ----------
    source : DataFrame or path-like
        A file with a header: CSV, TSV (also ``.gz``; UTF-8, or UTF-16 as Excel writes it), or
        ``.xlsx`` with one sheet. What separates columns (comma, semicolon, tab) is taken from the
        header. A DataFrame goes through the same checks; its undeclared columns stay as they are.
    what : str
        The noun in errors: "a table of events".
    text : sequence of str
        Columns that must be there, with text in every row: subjects, stimuli, conditions.
        ``NA``, ``None``, ``null`` and ``n/a`` are names like others, and ``01`` stays ``01``.
    numbers : sequence of str
        Columns that must be there, as float64; NaN where the cell is empty or one of `missing`.
        Any other text in them is an error.
    required : sequence of str
        Further columns that must be there.
    optional : sequence of str
        Those of `text` and `numbers` that may be absent.
    gaps : sequence of str
        Those of `text` that may have rows without a value, NaN.
    guess : bool, default False
        Make numbers of undeclared columns where every value is one (not if one begins with 0 as in
        007, or has more than 15 digits), and truth values where every value is true or false.
    empty : bool, default False
        Whether a table without rows is no error.
    bids : bool, default False
        A BIDS table: ``n/a`` is a missing value in all columns.
    missing : sequence of str
        Words for missing values in columns of numbers.

    Returns
    -------
    DataFrame
        Columns in the order of the file, blanks trimmed from names and text; text that is missing
        is NaN. Rows without any value are not in it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If the file is no table or needs another program, columns are missing, have no name or the
        same one, a row is wider or narrower than the header, a cell is no number or empty where
        it may not be (the line is named), or there are no rows.

    Warns
    -----
    UserWarning
        If blanks around text were trimmed, decimal commas were read, or columns or rows left out:
        an index that pandas wrote (``Unnamed: 0``), or cells without any value.

    Notes
    -----
    What :func:`spreadsheet_safe` put before names is taken away again.

    A decimal comma is read where columns are not separated by commas, and no number could as well
    have a comma between thousands (``1,234`` alone is an error).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "ratings.csv"
    >>> _ = path.write_text("subject;trust\n01;4,5\nNA;\n")
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     table = read_table(path, text=["subject"], numbers=["trust"])
    >>> table["subject"].to_list(), table["trust"].to_list()
    (['01', 'NA'], [4.5, nan])
    """
    notes: list[str] = []
    words = list(dict.fromkeys(["", *missing, *([BIDS_MISSING] if bids else [])]))
    if isinstance(source, pd.DataFrame):
        table, where, place = source.reset_index(drop=True), f"{what} (a DataFrame)", _row_of
        names = [str(c).strip() for c in table.columns]
        table = _named(table.set_axis(range(len(names)), axis=1), names, where, notes)
        file = None
    elif isinstance(source, (str, os.PathLike)):
        declared = {*text, *numbers, *required} - set(optional)
        file = opened(Path(source), what, declared, text)
        where = file.where
        table, place = _parse(file, numbers, words, notes)
    else:
        raise TypeError(f"expected {what} as a DataFrame or a path, got {type(source).__name__}.")
    for column in dict.fromkeys([*text, *numbers, *required]):
        if column not in table.columns and column not in optional:
            raise InputError(
                f"expected the column {column!r} in {where}, got "
                f"{', '.join(map(repr, table.columns)) or 'none'}."
                f"{nearest(column, table.columns)}"
            )
    if table.empty and not empty:
        raise InputError(f"expected rows in {where}, but it has none.")
    trimmed: list[str] = []
    for column in table.columns:
        values = table[column]
        if column in numbers:
            if file is None or values.dtype != np.float64:
                table[column] = _numbers(values, column, words, file, where, place, notes)
        elif file is not None or column in text:
            names, codes = _text(values, column, bids, trimmed, place)
            if column in text and column not in gaps and (absent := names.isna()).any():
                row = int(absent.to_numpy()[codes].argmax())
                raise InputError(
                    f"expected a name in every row of column {column!r} of {where}, but "
                    f"{place(row)} has none."
                )
            if file is not None:
                names = names.map(unguarded, na_action="ignore")
            if guess and column not in text:
                names = _guessed(names, words, file)
            table[column] = names.take(codes).set_axis(table.index)
    if file is not None:
        _check_decimals(table, numbers, notes, where)
    if trimmed:
        more = f" and in {len(trimmed) - 1} more columns" if len(trimmed) > 1 else ""
        notes.append(f"blanks around text were trimmed, such as {trimmed[0]}{more}")
    for note in notes:
        warn(f"{where}: {note}.")
    return table


def spreadsheet_safe(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no text is a formula when a spreadsheet opens it.

    Text that begins with = + - @ or a tab gets an apostrophe before it, which :func:`read_table`
    takes away again; so does text that begins with apostrophes and then one of these.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces._core.tables import spreadsheet_safe
    >>> spreadsheet_safe(pd.DataFrame({"name": ["=1+1", "ann"], "x": [-1, 2]})).values.tolist()
    [["'=1+1", -1], ['ann', 2]]
    """
    guard = re.compile(f"'*[{FORMULA}]")

    def guarded(cell: object) -> object:
        return f"'{cell}" if isinstance(cell, str) and guard.match(cell) else cell

    texts = table.select_dtypes(exclude="number").columns
    safe = table.assign(**{name: table[name].map(guarded) for name in texts})
    return safe.set_axis([guarded(name) for name in table.columns], axis=1)


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV: UTF-8, numbers with all digits, missing values empty, no formulas.

    Parameters
    ----------
    table : DataFrame
        Its index is left out.
    path : path-like
        Written whole or not at all; the same table gives the same bytes. :func:`read_table` reads
        it, also names that a spreadsheet would take for formulas (:func:`spreadsheet_safe`).

    See Also
    --------
    rsa_faces.report.write_results : Write the tables of a result as CSV.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> from rsa_faces._core.tables import write_table
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "table.csv"
    >>> write_table(pd.DataFrame({"name": ["=1+1", "anna"], "r": [0.1, None]}), path)
    >>> print(path.read_text().strip())
    name,r
    '=1+1,0.1
    anna,
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(table_bytes(table))


def table_bytes(table: pd.DataFrame) -> bytes:
    """Return what :func:`write_table` writes."""
    return spreadsheet_safe(table).to_csv(index=False, lineterminator="\n").encode()


def read_rows(
    path: str | os.PathLike[str], *, what: str = "a table", required: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line and the cells of each row, one at a time: for tables too large for memory.

    The same rules as :func:`read_table`; every cell is text.
    """
    path = Path(path)
    with text_stream(path, what) as stream:
        reader = csv.reader(stream, strict=True)
        rows = checked_rows(reader, path, 0)
        _, header = next(rows, (0, []))
        header = [unguarded(name.strip()) for name in header]
        for column in required:
            if column not in header:
                raise InputError(
                    f"expected the column {column!r} in {path} (separated by commas), got "
                    f"{', '.join(map(repr, header)) or 'none'}.{nearest(column, header)}"
                )
        for line, row in rows:
            yield line, dict(zip(header, (unguarded(cell.strip()) for cell in row), strict=True))


def read_header(path: str | os.PathLike[str], *, what: str = "a table") -> list[str]:
    """Return the names of the columns of a table."""
    return opened(Path(path), what).header


def read_matrix(path: str | os.PathLike[str], *, what: str = "a matrix of numbers") -> np.ndarray:
    """Read numbers without a header, separated by blanks, tabs, commas or semicolons.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_columns)
        Lines that are empty or begin with ``#`` are skipped.
    """
    path = Path(path)
    with text_stream(path, what) as stream:
        lines = [line.split("#")[0].strip() for line in stream]
    rows = [(i, line) for i, line in enumerate(lines, start=1) if line]
    if not rows:
        raise InputError(f"expected {what} in {path}, but there is none.")
    separator = next((s for s in SEPARATORS if s in rows[0][1]), None)
    cells = [(i, [c.strip() for c in line.split(separator)]) for i, line in rows]
    width = len(cells[0][1])
    matrix = np.empty((len(cells), width))
    for row, (line, values) in zip(matrix, cells, strict=True):
        if len(values) != width:
            raise InputError(
                f"expected {width} numbers in every line of {path}, as in its first, but line "
                f"{line} has {len(values)}."
            )
        try:
            row[:] = values
        except ValueError as err:
            wrong = next(v for v in values if not re.fullmatch(rf"{_NUMBER}|[+-]?(nan|inf)", v))
            raise InputError(f"expected {what} in {path}, but line {line} has {wrong!r}.") from err
    return matrix


def read_names(path: str | os.PathLike[str], *, what: str = "a text file of names") -> list[str]:
    """Read names from a text file, one a line; empty lines are skipped."""
    with text_stream(Path(path), what) as stream:
        return [name for line in stream if (name := line.strip())]


def check_pivot(n_conditions: int, n_rdms: int = 1, *, what: str) -> None:
    """Refuse to spread a table into pairs of conditions that do not fit PIVOT_BUDGET bytes.

    Parameters
    ----------
    n_conditions, n_rdms : int
        How many different conditions the table names, and RDMs.
    what : str
        What was read, for the error.
    """
    n_bytes = n_conditions * (n_conditions - 1) // 2 * n_rdms * 8
    if n_bytes > PIVOT_BUDGET:
        raise InputError(
            f"expected a table whose pairs of conditions take up to {PIVOT_BUDGET / 2**20:g} MB, "
            f"but {what} names {n_conditions} different conditions and {n_rdms} RDMs, "
            f"{n_bytes / 2**20:,.0f} MB. Is another column (a trial, a file) taken for the names?"
        )


def _row_of(row: int) -> str:
    """Name a row of a DataFrame."""
    return f"row {row}"


def _parse(file: Source, numbers: Sequence[str], words: list[str], notes: list[str]):
    """Return the table, numbers as floats where all of a column are, and what names a row."""
    columns = range(len(file.header))
    wanted = [i for i in columns if file.header[i] in set(numbers)]
    options = {
        "sep": file.separator,
        "header": 0,
        "names": columns,
        "index_col": False,
        "keep_default_na": False,
    }
    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
        options["float_precision"] = "round_trip"  # later the only one
    # As objects: each different text is made once, and none is taken for a number.
    kinds = dict.fromkeys(columns, object)
    data = file.text.encode()
    try:
        table = pd.read_csv(
            io.BytesIO(data),
            dtype={**kinds, **dict.fromkeys(wanted, np.float64)},
            na_values=dict.fromkeys(wanted, words),
            **options,
        )
    except ValueError:
        # Some cell is no number as it stands; which one is said later.
        table = pd.read_csv(io.BytesIO(data), dtype=kinds, na_filter=False, **options)
    if (n_empty := len(table) - file.n_rows) > 0:
        notes.append(f"{n_empty} rows without any value at its end were left out")
        table = table.iloc[: file.n_rows]
    table = _named(table, file.header, file.where, notes)
    return table, lambda row: f"line {file.lines[row]}"


def _named(table: pd.DataFrame, names: list[str], where: str, notes: list[str]) -> pd.DataFrame:
    """Name columns; an index that pandas wrote and columns without name and value are left out."""
    # What pandas writes without a name it reads as "Unnamed: 0".
    names = ["" if re.fullmatch(r"Unnamed: \d+", name) else name for name in names]
    for i in [i for i, name in enumerate(names) if not name]:
        cells = ["" if pd.isna(c) else str(c).strip() for c in table[i]]
        if not any(cells):
            notes.append(f"column {i + 1} has neither a name nor a value and was left out")
        elif i == 0 and cells == [str(n) for n in range(len(cells))]:
            notes.append(
                "the first column has no name and counts the rows ('Unnamed: 0', the index that "
                "pandas writes): it was left out"
            )
        else:
            index = " (pandas writes its index so: 'Unnamed: 0')" if i == 0 else ""
            raise InputError(
                f"expected a name for every column of {where}, but column {i + 1} has none{index} "
                f"and holds {next(c for c in cells if c)!r}. Name or delete it."
            )
    kept = [name for name in names if name]
    if twice := [name for i, name in enumerate(kept) if name in kept[:i]]:
        raise InputError(f"expected each column once in {where}, but {twice[0]!r} is there again.")
    return table[[i for i, name in enumerate(names) if name]].set_axis(kept, axis=1)


def _text(
    values: pd.Series, column: str, bids: bool, trimmed: list[str], place
) -> tuple[pd.Series, np.ndarray]:
    """Return the different texts of a column without blanks around them, and which is in each row.

    Text that is missing is NaN. Names repeat: what is done once for each of them is cheap.
    """
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")  # whole numbers that a gap made into floats
    codes, found = pd.factorize(values)
    plain = [str(c) for c in found]
    if (absent := codes < 0).any():
        codes[absent] = len(plain)
        plain.append("")
    short = [c.strip() for c in plain]
    if short != plain:
        changed = np.array([a != b and b != "" for a, b in zip(plain, short, strict=True)])
        rows = np.flatnonzero(changed[codes])
        if len(rows):
            trimmed.append(f"{plain[codes[rows[0]]]!r} in column {column!r} ({place(rows[0])})")
    nothing = {"", BIDS_MISSING} if bids else {""}
    names = pd.Series([np.nan if c in nothing else c for c in short], dtype=object)
    return names.infer_objects(), codes


def _numbers(values, column, words, file, where, place, notes) -> pd.Series:
    """Return a column of numbers; a decimal comma is read where it can be nothing else."""
    if file is None and pd.api.types.is_numeric_dtype(values) and values.dtype != bool:
        return values.astype(np.float64)
    cells = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    absent = cells.isin(words)
    fine = cells.str.fullmatch(_NUMBER) | cells.str.fullmatch(r"[+-]?inf(inity)?", case=False)
    wrong = ~fine & ~absent
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        comma = cells.str.fullmatch(_DECIMAL_COMMA)
        hint = ""
        if file is not None and file.separator != "," and (comma | absent).all():
            if not cells[wrong].str.fullmatch(_THOUSANDS).all():
                notes.append(f"numbers with a decimal comma were read in column {column!r}")
                cells, wrong = cells.str.replace(",", "."), wrong & False
            else:
                hint = " Is the comma a decimal comma, or between thousands? Write a point or none."
        elif comma[row]:
            hint = " Write decimals with a point."
        elif cells[row].lower() in ("n/a", "none", "null", "-", ".", "missing"):
            hint = " Leave the cell empty where there is no number."
        if wrong.any():
            raise InputError(
                f"expected numbers in column {column!r} of {where}, but {place(row)} has "
                f"{cells[row]!r}.{hint}"
            )
    return cells.mask(absent, "nan").astype(np.float64)


def _check_decimals(table: pd.DataFrame, numbers, notes: list[str], where: str) -> None:
    """Raise if some columns have decimal commas and others decimal points."""
    commas = [n for n in notes if "decimal comma" in n]
    if not commas:
        return
    for column in table.columns.intersection(list(numbers)):
        told = any(repr(column) in note for note in commas)
        if not told and (table[column].dropna() % 1 != 0).any():
            raise InputError(
                f"expected one way to write decimals in {where}, but {commas[0]}, and with a "
                f"decimal point in column {column!r}."
            )


def _guessed(names: pd.Series, words: list[str], file: Source | None) -> pd.Series:
    """Return quantities or truth values where every value is one; else the text."""
    absent = names.isna() | names.isin([*words, BIDS_MISSING])
    plain = names[~absent].astype(object)
    if not len(plain):
        return names
    if plain.isin(_TRUTH).all() and not absent.any():
        return plain.map(_TRUTH).astype(bool)
    if file is not None and file.separator == ";" and plain.str.fullmatch(_DECIMAL_COMMA).all():
        plain = plain.str.replace(",", ".")
    quantity = plain.str.fullmatch(_QUANTITY)
    if not quantity.any() or not (quantity | plain.isin(["inf", "-inf"])).all():
        return names
    whole = plain.str.fullmatch(r"[+-]?\d+")
    if (plain[whole].str.len() > _MOST_DIGITS).any():
        return names
    if whole.all() and not absent.any():
        return plain.astype(np.int64)
    return plain.astype(np.float64).reindex(names.index)
