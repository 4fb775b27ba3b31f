"""Tables that a configuration names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rsa_faces._core.errors import InputError


def read_volumes(path: Path) -> pd.DataFrame:
    """Return what each volume shows: columns ``condition`` and perhaps ``fold``, all text."""
    if not path.is_file():
        raise InputError(f"expected a table of volumes, but {path} does not exist.")
    table = pd.read_csv(path, sep=separator(path), dtype=str, keep_default_na=False)
    if "condition" not in table:
        raise InputError(
            f"expected one row per volume with the column `condition` (and `fold`, such as the "
            f"run) in {path}, got the columns {', '.join(map(repr, table.columns))}. Columns are "
            "separated by commas in .csv, by tabs in any other file."
        )
    empty = (table[table.columns.intersection(["condition", "fold"])] == "").any(axis=1)
    if empty.any():
        raise InputError(
            f"expected text in every row of {path}, but row {int(empty.argmax()) + 1} has a gap."
        )
    return table


def separator(path: Path) -> str:
    """Return what separates columns: by the file's name, never guessed from its content."""
    return "," if path.suffix == ".csv" else "\t"
