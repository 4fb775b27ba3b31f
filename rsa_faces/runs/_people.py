"""Which column of a stimulus table says whom an image shows."""

from __future__ import annotations

import pandas as pd

#: Columns of a stimulus table that say which person an image shows; the first that fits counts.
PEOPLE = ("identity", "person", "people")


def people_column(labels: pd.DataFrame) -> str:
    """Return the column that tells people apart where images repeat them, or ""."""
    for column in PEOPLE:
        if column in labels and labels[column].notna().all() and labels[column].duplicated().any():
            return column
    return ""
