"""RDMs in files: HDF5 (all that an RDMs object holds) and tidy CSV (to bring your own)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from rsa_faces._core import stored
from rsa_faces._core.errors import InputError, MissingFileError
from rsa_faces.rdm._rdms import RDMs
from rsa_faces.rdm._table import read_rdm_table
from rsa_faces.rdm._ties import noted

FORMAT = "rsa-faces RDMs"
VERSION = 2  # labels as a stored table; in 1 they were JSON, which is read too

stored.storable(
    RDMs,
    lambda rdms: (
        {name: getattr(rdms, name) for name in ("vectors", "conditions", "measure")}
        | {"labels": rdms.labels}
    ),
    lambda parts: RDMs(**parts),
)


#: Endings of tables, which :func:`load_rdms` reads too.
TABLES = (".csv", ".tsv", ".txt", ".xlsx")


def save_rdms(rdms: RDMs, path: Path) -> None:
    """Write `rdms` to `path` through a temporary file."""
    if path.suffix.lower() in TABLES:
        raise InputError(
            f"expected a name that ends in .h5, as `save` writes HDF5, got {path}. For a table "
            "write what to_frame() returns."
        )
    with stored.new_file(path) as file:
        write_group(rdms, file)


def write_group(rdms: RDMs, group: h5py.Group) -> None:
    """Write `rdms` into an open HDF5 file or group."""
    text = h5py.string_dtype("utf-8")
    group.attrs["format"] = FORMAT
    group.attrs["version"] = VERSION
    group.attrs["measure"] = rdms.measure
    group.attrs["hash"] = rdms.hash
    group.create_dataset("vectors", data=rdms.vectors, compression="gzip", shuffle=True)
    group.create_dataset("conditions", data=list(rdms.conditions), dtype=text)
    stored.write(group, "labels", rdms.labels, where="labels")


def read_labels(group: h5py.Group, n_rows: int) -> pd.DataFrame:
    """Return the table of labels in a file, as a stored table or (of earlier versions) as JSON."""
    if "labels" in group:
        return stored.read(group["labels"])
    columns = json.loads(group.attrs["labels"])
    return pd.DataFrame(
        {name: _column(column) for name, column in columns.items()}, index=pd.RangeIndex(n_rows)
    )


#: What reading a file raises that is damaged or was written by another program.
DAMAGE = (KeyError, ValueError, TypeError, AttributeError, IndexError, OSError)


def load_rdms(path: str | os.PathLike[str]) -> RDMs:
    """Read RDMs from an HDF5 file written by :meth:`RDMs.save`, or from a tidy CSV table.

    Parameters
    ----------
    path : path-like
        An HDF5 file, or a ``.csv``, ``.tsv``, ``.txt`` or ``.xlsx`` with the columns
        ``condition_a``, ``condition_b`` and ``dissimilarity`` (as :meth:`RDMs.to_frame` makes);
        every other column is a label (subject, session, region, ...), and each combination of
        labels is one RDM. The labels subject, rater and patient are text; others are numbers
        where all values are (``01`` is none).

    Returns
    -------
    RDMs
        From HDF5 equal to what was saved. From a table: conditions in order of first appearance,
        pairs that have no row (or no value) NaN, `measure` "unknown" unless a column says it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If the file is neither, holds something else, its content does not fit its hash, or a
        table has a pair twice, a condition paired with itself, a value that is no number, a label
        with gaps, or so many different conditions that their pairs do not fit into memory.

    Warns
    -----
    UserWarning
        If dissimilarities differ in the last digit only, as equal ones do after rounding: they are
        left as they are, and rank methods count the difference.

    See Also
    --------
    rsa_faces.io.read_rdms : Read RDMs that another tool, or this one, wrote.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rdms.csv"
    >>> rows = [("01", "anna", "ben", 0.2), ("01", "anna", "cleo", 0.9), ("01", "ben", "cleo", 0.8)]
    >>> columns = ["subject", "condition_a", "condition_b", "dissimilarity"]
    >>> pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    >>> rf.load_rdms(path)
    RDMs(1 RDM, 3 conditions, measure='unknown', labels: subject)
    """
    path = Path(path)
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise MissingFileError(f"expected an RDM file, but {path} {state}.")
    if path.suffix.lower() in TABLES:
        return noted(read_rdm_table(path), str(path))
    try:
        with h5py.File(path, "r") as file:
            return noted(read_group(file, name=str(path)), str(path))
    except OSError as err:
        raise InputError(
            f"expected an HDF5 file, but {path} cannot be read as one: {err}."
        ) from err


def read_group(group: h5py.Group, *, name: str) -> RDMs:
    """Read RDMs from an open HDF5 file or group and verify their hash."""
    if group.attrs.get("format") != FORMAT:
        raise InputError(
            f"expected a file written by RDMs.save, but {name} has format "
            f"{group.attrs.get('format')!r}."
        )
    try:
        version, measure, saved = (group.attrs[key] for key in ("version", "measure", "hash"))
        if version > VERSION:
            raise InputError(
                f"{name} was written by a newer rsa-faces (format version {version}, this one "
                f"reads up to {VERSION}). Upgrade rsa-faces to read it."
            )
        vectors, conditions = np.asarray(group["vectors"]), group["conditions"].asstr()[()]
        rdms = RDMs(vectors, conditions.tolist(), measure, read_labels(group, len(vectors)))
    except InputError as err:
        raise InputError(f"{name}: {err}") from err
    except DAMAGE as err:
        raise InputError(
            f"{name} is damaged, or was not written by RDMs.save: {err!r}. Make the file again."
        ) from err
    if rdms.hash != saved:
        raise InputError(
            f"{name} is damaged: its content has hash {rdms.hash}, but {saved} was "
            "saved. Make the file again."
        )
    return rdms


def _column(column: dict) -> pd.Series:
    """Return a label column with the dtype it was saved with."""
    dtype, values = column["dtype"], column["values"]
    if dtype.startswith(("float", "int", "bool")):
        return pd.Series(np.array([np.nan if v is None else v for v in values]).astype(dtype))
    return pd.Series([np.nan if v is None else v for v in values])
