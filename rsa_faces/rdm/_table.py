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
        path,
        what="a table of RDMs",
        text=[*pair, *_NAMES],
        optional=_NAMES,
        numbers=[value],
        guess=True,
    )
    names = np.stack([table[column].to_numpy(object) for column in pair], axis=1)
    codes, conditions = pd.factorize(names.ravel())
    first, second = codes[::2], codes[1::2]
    if (same := first == second).any():
        row = int(same.argmax())
        raise InputError(
            f"expected pairs of different conditions in {path}, but data row {row + 1} pairs "
            f"{names[row, 0]!r} with itself. Leave the diagonal out."
        )
    rdm_of_row = np.zeros(len(table), dtype=np.int64)
    label_columns = [c for c in table.columns if c not in TIDY_COLUMNS]
    for column in label_columns:
        values, found = pd.factorize(table[column])
        if (gaps := values < 0).any():
            raise InputError(
                f"expected a value of the label {column!r} in every row of {path}, but data row "
                f"{int(gaps.argmax()) + 1} has none: each combination of labels is one RDM. Fill "
                "it in, or leave the column out."
            )
        rdm_of_row, _ = pd.factorize(rdm_of_row * len(found) + values)
    # RDMs are numbered as they come: the first row of each is where the number grows.
    starts = np.flatnonzero(np.diff(np.maximum.accumulate(rdm_of_row), prepend=-1))
    labels = table[label_columns].iloc[starts].reset_index(drop=True)
    check_pivot(len(conditions), len(labels), what=str(path))
    pairs = pair_index(first, second, len(conditions))
    n_pairs = len(conditions) * (len(conditions) - 1) // 2
    places = rdm_of_row * n_pairs + pairs
    if (np.bincount(places) > 1).any():
        row = int(pd.Series(places).duplicated().to_numpy().argmax())
        raise InputError(
            f"expected each pair once per RDM in {path}, but data row {row + 1} gives "
            f"({names[row, 0]!r}, {names[row, 1]!r}) again. Add a label column (subject, session) "
            "that tells the RDMs apart, or average the repeats first."
        )
    vectors = np.full((len(labels), n_pairs), np.nan)
    vectors.ravel()[places] = table[value]
    measures = labels["measure"].unique() if "measure" in labels else []
    measure = str(measures[0]) if len(measures) == 1 else "unknown"
    return RDMs(vectors, list(conditions), measure, labels)
