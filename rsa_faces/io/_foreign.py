"""Files of other tools: read without unpickling, and the names of their rows."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rsa_faces._core.checks import check_choice, check_unique_names
from rsa_faces._core.errors import InputError, MissingExtraError
from rsa_faces._core.files import read_tensors
from rsa_faces._core.names import as_names as names_as_text
from rsa_faces._core.tables import read_names

Names = Sequence[str] | str | os.PathLike[str]

# What a file name may end in and a condition's name does not.
MEDIA = {
    *(".avi", ".bmp", ".eps", ".gif", ".jpeg", ".jpg", ".mkv", ".mov", ".mp3", ".mp4"),
    *(".png", ".tif", ".tiff", ".txt", ".wav", ".webm", ".webp"),
}


def as_names(
    held: Sequence[str] | None, given: Names | None, n: int, where: str
) -> tuple[str, ...]:
    """Return the names of n rows: those the file holds, checked against those given."""
    if held is None and given is None:
        raise InputError(
            f"expected `conditions`: {where} does not say which of its {n} rows is which. "
            "Give a list, or a text file with one name per line, in the order of the rows."
        )
    own = None if held is None else short_names([str(name) for name in held])
    mine = None if given is None else as_list(given)
    for names, said in ((own, "are in the file"), (mine, "were given")):
        if names is not None and len(names) != n:
            raise InputError(
                f"expected {n} names, one per row of {where}, but {len(names)} {said}."
            )
    if own is not None and mine is not None and mine not in (own, list(held)):
        asked, has = next((a, b) for a, b in zip(mine, own, strict=True) if a != b)
        how = "in another order" if set(mine) == set(own) else "other names"
        raise InputError(
            f"expected the names that {where} holds itself, got {how}: {asked!r} was given where "
            f"it has {has!r}. Leave `conditions` out to take its own."
        )
    return check_unique_names(own if mine is None else mine, what="condition")


def short_names(files: Sequence[str]) -> list[str]:
    """Return file names without folders and suffix; with the folders that tell them apart."""
    paths = [name.replace("\\", "/") for name in files]
    cut = [p[: -len(Path(p).suffix)] if Path(p).suffix.lower() in MEDIA else p for p in paths]
    stems = [name.rsplit("/", 1)[-1] for name in cut]
    # Without folders also where these would not tell the names apart.
    if len(set(stems)) == len(stems) or len(set(cut)) < len(cut):
        return stems
    common = os.path.commonpath(cut) if all(c.startswith("/") for c in cut) else ""
    return [os.path.relpath(name, common) if common else name for name in cut]


def natural(names: Any) -> list[str]:
    """Return names sorted with numbers in them as numbers."""
    return sorted(
        names,
        key=lambda name: [
            (0, int(part), "") if part.isdigit() else (1, 0, part)
            for part in re.split(r"(\d+)", name)
            if part
        ],
    )


def existing(path: str | os.PathLike[str], what: str) -> Path:
    """Return a path that exists; a pickle is refused by its name."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected {what}, but {path} does not exist.")
    if path.suffix.lower() in {".pkl", ".pickle", ".joblib"}:
        raise pickled(path)
    return path


def pickled(path: Path) -> InputError:
    """Return the error for a file that would have to be unpickled."""
    return InputError(
        f"{path} holds pickled Python objects, which can run code when they are read, and is not "
        "opened. Where it was made, save plain arrays instead: numpy.save of a float array, or "
        "rsatoolbox's save(..., file_type='hdf5')."
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what NumPy makes of a pickle, or of a broken file, into one sentence."""
    try:
        yield
    except ValueError as err:
        raise (pickled(path) if "pickle" in str(err) else _damaged(path, err)) from err
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as err:
        raise _damaged(path, err) from err


def load_npy(path: Path) -> np.ndarray:
    """Return the array of a .npy file."""
    with _readable(path):
        values = np.load(path, allow_pickle=False)
    if not isinstance(values, np.ndarray):
        values.close()
        raise InputError(f"expected one array (.npy) in {path}, but it is an archive (.npz).")
    return values


class _Npz:
    """An open .npz file: its keys, and a call for each array."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self._file = path, file
        self.keys: list[str] = list(file.files)

    def __call__(self, key: str) -> np.ndarray:
        """Return one array; pickled ones are refused."""
        with _readable(self.path):
            return self._file[key]


@contextmanager
def opened_npz(path: Path) -> Iterator[_Npz]:
    """Open a .npz file, or say what it is instead."""
    with _readable(path):
        file = np.load(path, allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise InputError(f"expected an archive of arrays (.npz), but {path} is one array (.npy).")
    with file:
        yield _Npz(path, file)


def load_torch(path: Path) -> Any:
    """Return what a .pt file holds: tensors in plain containers, nothing that runs code."""
    try:
        return read_tensors(path)
    except (InputError, MissingExtraError):
        raise
    except Exception as err:  # torch raises many kinds for a foreign file
        if "weights_only" in str(err) or "Unsupported" in str(err):
            raise pickled(path) from err
        raise _damaged(path, err) from err


def toolbox_content(path: Path, part: str, kind: str) -> dict[str, Any]:
    """Return what rsatoolbox wrote to HDF5, a `kind` that has `part`: nested dictionaries."""
    content = _toolbox_file(path)
    if part not in content:
        raise InputError(
            f"expected {kind} in {path}, but its parts are "
            f"{', '.join(map(repr, content)) or 'none'}."
        )
    return content


def _toolbox_file(path: Path) -> dict[str, Any]:
    """Return nested dictionaries of arrays, text and None."""
    try:
        with h5py.File(path, "r") as file:
            if "rsatoolbox_version" not in file.attrs:
                raise InputError(
                    f"expected a file saved by rsatoolbox, but {path} is another HDF5 file."
                )
            return _group(file)
    except OSError as err:
        with path.open("rb") as file:
            if file.read(1) == b"\x80":  # how every binary pickle begins
                raise pickled(path) from err
        raise _damaged(path, err) from err


def described(
    descriptors: Mapping[str, Any] | None, wanted: str | None, what: str, path: Path
) -> list[str] | None:
    """Return the names in a table of descriptors; None if there is none but the index."""
    # rsatoolbox numbers everything under "index", whether it has names or not.
    columns = {key: value for key, value in (descriptors or {}).items() if key != "index"}
    if wanted is None and len(columns) > 1:
        raise InputError(
            f"expected `descriptor`: {path} has {len(columns)} {what} that may hold the names: "
            f"{', '.join(map(repr, columns))}."
        )
    if not columns and wanted is None:
        return None
    key = check_choice(wanted, columns, what=what) if wanted else next(iter(columns))
    return [as_text(value) for value in listed(columns[key])]


def listed(column: Any) -> list:
    """Return a column as a list; rsatoolbox writes mixed lists as groups numbered from 0."""
    if isinstance(column, Mapping):
        return [column[key] for key in sorted(column, key=int)]
    return list(np.atleast_1d(np.asarray(column)))


def as_text(value: Any) -> str:
    """Return a value as text."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _group(group: h5py.Group) -> dict[str, Any]:
    """Return a group and its attributes as a dictionary."""
    content: dict[str, Any] = {}
    for key, value in group.items():
        if isinstance(value, h5py.Group):
            content[key] = _group(value)
        else:
            content[key] = None if value.shape is None else value[()]
    content.update((key, value) for key, value in group.attrs.items())
    content.pop("rsatoolbox_version", None)
    return content


def _damaged(path: Path, err: Exception) -> InputError:
    """Return the error for a file that cannot be read."""
    reason = (str(err).splitlines() or [type(err).__name__])[0]
    return InputError(f"{path} cannot be read: {reason.rstrip('.')}. Copy or make it again.")


def as_list(names: Names) -> list[str]:
    """Return names as a list, from a text file if they are a path."""
    if not isinstance(names, (str, os.PathLike)):
        return names_as_text(names)
    return read_names(names)


def load_mat(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """Return the features of a MATLAB file, or one array per image."""
    from scipy.io import loadmat

    try:
        content = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    except (OSError, ValueError, TypeError, NotImplementedError, IndexError) as err:
        raise _damaged(path, err) from err
    return content["features"] if list(content) == ["features"] else content


def load_hdf5(path: Path) -> np.ndarray:
    """Return the features of an HDF5 file, whole or in numbered parts."""
    try:
        with h5py.File(path, "r") as file:
            parts = natural(key for key in file if re.fullmatch(r"features(_\d+)?", key))
            if not parts:
                raise InputError(f"expected a dataset 'features' in {path}, found {list(file)!r}.")
            return np.concatenate([file[part][()] for part in parts])
    except OSError as err:
        raise _damaged(path, err) from err
