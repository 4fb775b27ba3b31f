"""Tables that users bring: read, with names checked and text kept as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rsa_faces._core.errors import InputError


def read_table(
    source: pd.DataFrame | str | Path,
    required: Sequence[str],
    *,
    text: Sequence[str] = (),
    kept: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> pd.DataFrame:
    """Return a table with text and kept columns as str (kept may be empty), numbers as float."""
    if isinstance(source, pd.DataFrame):
        table = source.reset_index(drop=True).copy()
    else:
        path = Path(source)
        if not path.is_file():
            raise InputError(f"expected a CSV file, but there is none at {str(path)!r}.")
        # Names such as '007' or 'NA' must stay as they are.
        kinds = dict.fromkeys([*text, *kept], str)
        try:
            header = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns
            open_ = [c for c in header if c.strip() not in kinds]
            missing = dict.fromkeys(open_, ["", "NA", "NaN", "nan", "n/a"])
            table = pd.read_csv(
                path, dtype=kinds, encoding="utf-8-sig", keep_default_na=False, na_values=missing
            )
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as err:
            raise InputError(f"expected a CSV file at {str(path)!r}, but {err}.") from err
    table.columns = [str(c).strip() for c in table.columns]
    for column in required:
        if column not in table.columns:
            shown = ", ".join(map(repr, table.columns)) or "none"
            raise InputError(
                f"expected a column {column!r}, got {shown}. Rename the columns of the table first."
            )
    if table.empty:
        raise InputError("expected a table with at least one row, got none.")
    for column in text:
        values = table[column]
        empty = values.isna() | (values.astype(str).str.strip() == "")
        if empty.any():
            raise InputError(
                f"expected a name in every row of column {column!r}, but row "
                f"{int(empty.to_numpy().argmax())} has none."
            )
        table[column] = values.astype(str)
    for column in numbers:
        values = pd.to_numeric(table[column], errors="coerce")
        wrong = values.isna() & table[column].notna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise InputError(
                f"expected numbers in column {column!r}, but row {row} has "
                f"{table[column].iloc[row]!r}."
            )
        table[column] = values.astype(float)
    return table
