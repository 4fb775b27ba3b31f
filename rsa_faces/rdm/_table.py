"""RDMs in a tidy table: one row per RDM and pair."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import check_pivot, read_table
from rsa_faces.rdm._rdms import TIDY_COLUMNS, RDMs, pair_index

#: Labels that are names, also where all of them look like numbers.
_NAMES = ("subject", "rater", "patient")


def read_names(path: str | os.PathLike[str]) -> dict[str, str]:
    r"""Read new names of conditions from a table with the columns ``old`` and ``new``.

    Parameters
    ----------
    path : path-like
        CSV, TSV or ``.xlsx``; further columns are left alone.

    Returns
    -------
    dict of str to str
        For :meth:`RDMs.rename`.

    Raises
    ------
    InputError
        If the table cannot be read, a column is missing, or a name has two new ones.

    See Also
    --------
    rsa_faces.RDMs.rename : Uses them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from rsa_faces.rdm import read_names
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "names.csv")
    ...     _ = path.write_text("old,new\n01,ann\n")
    ...     read_names(path)
    {'01': 'ann'}
    """
    table = read_table(path, what="a table of names", text=["old", "new"])
    twice = table["old"].duplicated()
    if twice.any():
        raise InputError(
            f"expected one new name for each old one in {path}, but "
            f"{table['old'][twice].iloc[0]!r} stands there twice."
        )
    return dict(zip(table["old"], table["new"], strict=True))


def read_rdm_table(path: Path) -> RDMs:
    """Read RDMs from a tidy table; see :func:`load_rdms`."""
    *pair, value = TIDY_COLUMNS
    table = read_table(
        path, what="a table of RDMs", text=[*pair, *_NAMES], optional=_NAMES, numbers=[value],
        guess=True,
    )  # fmt: skip
    first, second = (table[column].to_numpy(object) for column in pair)
    if (same := first == second).any():
        row = int(same.argmax())
        raise InputError(
            f"expected pairs of different conditions in {path}, but data row {row + 1} pairs "
            f"{first[row]!r} with itself. Leave the diagonal out."
        )
    codes, conditions = pd.factorize(np.stack([first, second], axis=1).ravel())
    label_columns = [c for c in table.columns if c not in TIDY_COLUMNS]
    for column in label_columns:
        if (gaps := table[column].isna()).any():
            row = int(gaps.to_numpy().argmax())
            raise InputError(
                f"expected a value of the label {column!r} in every row of {path}, but data row "
                f"{row + 1} has none: each combination of labels is one RDM. Fill it in, or leave "
                "the column out."
            )
    if label_columns:
        groups = table.groupby(label_columns, sort=False)
        rdm_of_row, labels = groups.ngroup().to_numpy(), groups.first().index.to_frame(index=False)
    else:
        rdm_of_row, labels = np.zeros(len(table), dtype=int), pd.DataFrame(index=[0])
    check_pivot(len(conditions), len(labels), what=str(path))
    pairs = pair_index(codes[::2], codes[1::2], len(conditions))
    keys = pd.DataFrame({"rdm": rdm_of_row, "pair": pairs})
    if (twice := keys.duplicated()).any():
        row = int(twice.to_numpy().argmax())
        raise InputError(
            f"expected each pair once per RDM in {path}, but data row {row + 1} gives "
            f"({first[row]!r}, {second[row]!r}) again. Add a label column (subject, session) that "
            "tells the RDMs apart, or average the repeats first."
        )
    vectors = np.full((len(labels), len(conditions) * (len(conditions) - 1) // 2), np.nan)
    vectors[rdm_of_row, pairs] = table[value]
    measures = labels["measure"].unique() if "measure" in labels else []
    measure = str(measures[0]) if len(measures) == 1 else "unknown"
    return RDMs(vectors, list(conditions), measure, labels)
