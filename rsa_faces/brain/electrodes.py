"""Tables of electrodes: names, regions and coordinates, from BIDS or from a table."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import read_table
from rsa_faces._core.warning import warn

COLUMNS = ("patient", "name", "region", "x", "y", "z")
UNPLACED = ("raise", "drop", "keep")
#: Region of electrodes that have none, where they are kept.
UNKNOWN = "unknown"
_TO_MM = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
_ABSENT = ("n/a", "", "nan", "NaN", "NA", "none", "None", UNKNOWN)


def read_electrodes(
    electrodes: pd.DataFrame | str | os.PathLike[str],
    *,
    patient: str | None = None,
    region: str = "region",
    regions: Mapping[str, str] | None = None,
    unit: str | None = None,
) -> pd.DataFrame:
    """Read where electrodes are.

    Parameters
    ----------
    electrodes : DataFrame or path-like
        A table, or an ``electrodes.tsv`` of BIDS, with a column ``name`` and, as far as known,
        regions and the coordinates ``x``, ``y``, ``z``; "n/a", empty and NaN are unknown.
    patient : str, optional
        Whose electrodes. By default the column ``patient``, or ``sub-…`` in the file's name.
    region : str, default "region"
        The column that holds the region.
    regions : mapping of str to str, optional
        Region as in the column → region wanted (``{"fusiform": "ventral", "STS": "lateral"}``).
        Regions that are not in it are unknown.
    unit : {"mm", "cm", "m"}, optional
        Of the coordinates. By default that of the ``coordsystem.json`` beside the file; mm for a
        DataFrame.

    Returns
    -------
    DataFrame
        Columns patient, name, region (None where unknown), x, y, z (in mm, NaN where unknown), one
        row per electrode.

    Raises
    ------
    InputError
        If there is no name, patient or unit to be found, names of a patient occur twice, a column
        or an entry of `regions` does not occur, or coordinates are no numbers.

    See Also
    --------
    ieeg_patterns : Turn the epochs of a patient into responses of electrodes, one row per trial.

    Notes
    -----
    Coordinates stay in the space of the table. Figures of several patients, and glass brains, need
    one template space (MNI) for all.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.brain.electrodes import read_electrodes
    >>> table = pd.DataFrame({"name": ["A1", "A2"], "region": ["fusiform", "n/a"],
    ...                       "x": [40.0, 44.0], "y": [-52.0, -50.0], "z": [-18.0, -16.0]})
    >>> read_electrodes(table, patient="p1", regions={"fusiform": "ventral"})
      patient name   region     x     y     z
    0      p1   A1  ventral  40.0 -52.0 -18.0
    1      p1   A2     None  44.0 -50.0 -16.0
    """
    path = None
    if isinstance(electrodes, pd.DataFrame):
        unit = unit or "mm"
    elif isinstance(electrodes, (str, os.PathLike)):
        path = Path(electrodes)
        unit = unit or (_unit_of(path) if path.is_file() else "mm")
    else:
        raise TypeError(f"expected a DataFrame or a path, got {type(electrodes).__name__}.")
    check_choice(unit, _TO_MM, what="unit of coordinates")
    table = read_table(
        electrodes,
        what="a table of electrodes",
        text=["name", "patient"],
        numbers=["x", "y", "z"],
        optional=["patient", "x", "y", "z"],
        bids=True,
        missing=_ABSENT,
    )
    result = pd.DataFrame({"patient": _patients(table, patient, path)})
    result["name"] = table["name"].to_numpy(object)
    result["region"] = _regions(table, region, regions)
    for axis in "xyz":
        result[axis] = table[axis].to_numpy() * _TO_MM[unit] if axis in table else np.nan
    if np.isinf(result[["x", "y", "z"]].to_numpy()).any():
        raise InputError("expected finite coordinates x, y and z of electrodes, got inf.")
    if (twice := result.duplicated(["patient", "name"])).any():
        listed = ", ".join(map(repr, result["name"][twice].unique()[:5]))
        raise InputError(
            f"expected each electrode of a patient once, but {int(twice.sum())} occur again: "
            f"{listed}."
        )
    return result[list(COLUMNS)]


def place_electrodes(
    names: list[str], electrodes: pd.DataFrame, *, patient: str | None, unplaced: str
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return which channels stay, and their rows of the table; see `unplaced`."""
    check_choice(unplaced, UNPLACED, what="way with electrodes without a place")
    if patient is None:
        patients = list(electrodes["patient"].unique())
        if len(patients) > 1:
            raise InputError(
                f"expected the electrodes of one patient, got {len(patients)}: "
                f"{', '.join(map(repr, patients[:5]))}. Say which with `patient`."
            )
        patient = patients[0]
    rows = electrodes[electrodes["patient"] == str(patient)].set_index("name")
    if not len(rows):
        check_choice(str(patient), electrodes["patient"].unique(), what="patient")
    # In the order of the recording: a table sorted otherwise would give electrodes each other's
    # regions.
    placed = rows.reindex(names).reset_index(names="name").assign(patient=str(patient))
    placed = placed[list(COLUMNS)]
    no_region = placed["region"].isna().to_numpy()
    no_coordinates = placed[list("xyz")].isna().any(axis=1).to_numpy()
    without = no_region | no_coordinates
    if without.any():
        names = np.array(names, dtype=object)
        counted = (
            f"{int(without.sum())} of {len(names)} electrodes of {patient!r} have no place "
            f"({int(no_region.sum())} no region, {int(no_coordinates.sum())} no coordinates): "
            f"{', '.join(map(repr, names[without][:5]))}{', ...' if without.sum() > 5 else ''}"
        )
        if unplaced == "raise":
            raise InputError(
                f"expected a region and coordinates for every electrode, but {counted}. Complete "
                "the table, or choose unplaced='drop' or unplaced='keep'."
            )
        if unplaced == "drop" and without.all():
            raise InputError(f"expected electrodes to be left, but {counted}. Check the names.")
        how = "They are left out." if unplaced == "drop" else f"They are kept as {UNKNOWN!r}."
        warn(f"{counted}. {how}")
    keep = ~without if unplaced == "drop" else np.ones(len(placed), dtype=bool)
    placed = placed[keep].reset_index(drop=True)
    return keep, placed.assign(region=placed["region"].where(placed["region"].notna(), UNKNOWN))


def _unit_of(path: Path) -> str:
    """Return the unit in the coordsystem.json of the same recording."""
    stem = path.name.removesuffix("_electrodes.tsv")
    beside = path.with_name(f"{stem}_coordsystem.json")
    if not beside.is_file():
        raise InputError(
            f"expected the unit of the coordinates in {beside.name!r} beside the file, but there "
            "is no such file. Give `unit`: 'mm', 'cm' or 'm'."
        )
    unit = json.loads(beside.read_text(encoding="utf-8")).get("iEEGCoordinateUnits")
    if unit not in _TO_MM:
        raise InputError(
            f"expected iEEGCoordinateUnits in {beside.name!r} to be one of "
            f"{', '.join(map(repr, _TO_MM))}, got {unit!r}. Give `unit`."
        )
    return unit


def _patients(table: pd.DataFrame, patient: str | None, path: Path | None):
    """Return the patient of each row."""
    if patient is not None:
        return np.full(len(table), str(patient), dtype=object)
    if "patient" in table:
        return table["patient"].to_numpy(dtype=object)
    match = re.match(r"sub-([0-9a-zA-Z+]+)_", path.name) if path else None
    if match is None:
        raise InputError(
            "expected to know whose electrodes these are, but the table has no column 'patient' "
            "and the file is not named sub-…. Give `patient`."
        )
    return np.full(len(table), match.group(1), dtype=object)


def _regions(table: pd.DataFrame, column: str, regions: Mapping[str, str] | None) -> pd.Series:
    """Return the region wanted of each row, None where unknown."""
    if column not in table and column == "region":
        if regions is not None:
            check_choice(column, table.columns, what="column of electrodes")
        return pd.Series([None] * len(table), dtype=object)
    check_choice(column, table.columns, what="column of electrodes")
    values = [None if pd.isna(v) else str(v).strip() for v in table[column]]
    # Tables say "no region" in many words: as a name it would be a region of its own.
    values = [None if v in _ABSENT else v for v in values]
    if regions is not None:
        for name in regions:
            check_choice(name, {v for v in values if v is not None}, what="region")
        values = [regions.get(v) for v in values]
    return pd.Series(values, dtype=object)
