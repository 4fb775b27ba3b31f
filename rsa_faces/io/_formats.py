"""What a file of another tool is, by its content."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError, some
from rsa_faces.extraction._store import FORMAT, is_store
from rsa_faces.io._foreign import existing, load_npy, load_torch, opened_npz

#: Formats of RDMs and of features, and what each is.
RDM_FORMATS = {
    "rsa-faces": "HDF5 that RDMs.save wrote",
    "table": "a row per pair, columns condition_a, condition_b, dissimilarity (CSV, TSV, XLSX)",
    "rsatoolbox": "HDF5 that rsatoolbox wrote",
    "net2brain": ".npz or .pt of Net2Brain, or a folder of them",
    "npy": "one array of vectors or square matrices, as NumPy or MNE-RSA make them",
}
FEATURE_FORMATS = {
    "rsa-faces": "a store of `rsa-faces extract` (a folder), or one of its files .list",
    "thingsvision": "a folder of features.npy, .hdf5, .mat, .txt or .pt",
    "net2brain": "a folder of .npz, one per image or per layer",
    "rsatoolbox": "a Dataset in HDF5 that rsatoolbox wrote",
    "npy": "one array, a row per condition",
}

THINGSVISION = re.compile(
    r"features(?P<tag>.*?)(?:_(?P<first>\d+)-(?P<last>\d+)|_(?P<part>\d{2,}))?"
    r"\.(?P<kind>npy|txt|mat|pt|hdf5)"
)
_TABLES = {".csv", ".tsv", ".txt", ".xlsx"}
_HDF5 = b"\x89HDF\r\n\x1a\n"


def recognise(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return what a file or folder holds, "rdms" or "features", and in which format.

    Raises
    ------
    InputError
        If it is of no known format; the known ones are named.
    """
    path = existing(path, "RDMs or features")
    if path.is_dir():
        if is_store(path):
            return "features", "rsa-faces"
        if any(THINGSVISION.fullmatch(file.name) for file in path.rglob("features*")):
            return "features", "thingsvision"
        files = sorted(f for f in path.iterdir() if f.suffix in {".npz", ".pt"})
        files = [file for file in files if file.name[0] != "."]
        if files:
            return _kind_of_archive(files[0]), "net2brain"
        held = some(sorted(f.name for f in path.iterdir()))
        raise _unknown(path, f"is a folder that holds {held}")
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        return "rdms", "table"
    if suffix == ".npy":
        return ("rdms" if looks_like_rdms(load_npy(path)) else "features"), "npy"
    if suffix in {".npz", ".pt"}:
        return _kind_of_archive(path), "net2brain"
    with path.open("rb") as file:
        signature = file.read(8)
    if FORMAT.startswith(signature):
        return "features", "rsa-faces"
    if signature[:1] == b"\x80":
        from rsa_faces.io._foreign import pickled

        raise pickled(path)
    if signature != _HDF5:
        raise _unknown(path, f"begins with {signature!r}")
    try:
        with h5py.File(path, "r") as file:
            attributes, parts = dict(file.attrs), list(file)
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err}. Copy or make it again.") from err
    if attributes.get("format") == "rsa-faces RDMs":
        return "rdms", "rsa-faces"
    if attributes.get("format") == "rsa-faces activations":
        return "features", "rsa-faces"
    if "rsatoolbox_version" in attributes:
        return ("features" if "measurements" in parts else "rdms"), "rsatoolbox"
    raise _unknown(path, f"is HDF5 of another program, with {some(parts)}")


def settled(path: str | os.PathLike[str], kind: str, format: str | None) -> str:
    """Return the format, recognised or as named; what holds the other kind is an error."""
    formats = RDM_FORMATS if kind == "rdms" else FEATURE_FORMATS
    if format is not None:
        return check_choice(format, formats, what=f"format of {kind}")
    found, format = recognise(path)
    # An array of features may look like RDMs: there the caller is believed.
    if found != kind and format != "npy":
        other, what = ("read_features", "RDMs") if kind == "rdms" else ("read_rdms", "features")
        raise InputError(
            f"expected {what}, but {path} holds {'features' if kind == 'rdms' else 'RDMs'} "
            f"({format}): read it with rsa_faces.io.{other}"
            + (" and make RDMs with compute_rdms." if kind == "rdms" else ".")
        )
    return format


def looks_like_rdms(values: np.ndarray) -> bool:
    """Tell whether an array may be vectors or square matrices of dissimilarities."""
    if values.ndim == 1:
        return True
    square = values.ndim > 1 and values.shape[-1] == values.shape[-2]
    if not square or values.dtype.kind not in "fiub":
        return False
    diagonal = np.diagonal(values, axis1=-2, axis2=-1)
    # Loosely: only the kind is told here, and asymmetry is an error where RDMs are made.
    alike = np.allclose(values, values.swapaxes(-1, -2), rtol=1e-2, atol=1e-2, equal_nan=True)
    return bool(alike and np.nanmax(np.abs(diagonal), initial=0) <= 1e-2)


def _kind_of_archive(path: Path) -> str:
    """Tell RDMs of Net2Brain from its features."""
    if path.suffix == ".pt":
        content = load_torch(path)
        return "rdms" if not isinstance(content, dict) or "rdm" in content else "features"
    with opened_npz(path) as load:
        # "arr_0" is what NumPy calls an array that is saved without a name.
        return "rdms" if load.keys == ["arr_0"] or "rdm" in load.keys else "features"


def _unknown(path: Path, what: str) -> InputError:
    """Return the error for what is of no known format."""
    return InputError(
        f"expected RDMs or features of a known format, but {path} {what}. RDMs: "
        f"{', '.join(RDM_FORMATS)}; features: {', '.join(FEATURE_FORMATS)}. Name the format if it "
        "is one of them."
    )
