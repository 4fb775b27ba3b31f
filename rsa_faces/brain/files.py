"""Image files of brains: which a path means, read by nibabel, and what is wrong with one."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsa_faces._core.errors import InputError, MissingFileError

__all__ = ["image_files", "load_file", "readable"]

_ENDINGS = (".nii", ".nii.gz", ".img", ".mgh", ".mgz", ".gii", ".gii.gz")


def image_files(path: str | os.PathLike[str], what: str = "img") -> list[Path]:
    """Return the files of a path: itself, those of a pattern, or the images in a folder.

    Parameters
    ----------
    path : path-like
        A file, a pattern with ``*``, ``?`` or ``[...]``, or a folder.
    what : str
        Its role, for errors.

    Returns
    -------
    list of Path
        In the order in which people count: ``beta_2`` before ``beta_10``.

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If nothing matches the pattern, or no image is in the folder.

    See Also
    --------
    open_image : Open an image of any kind; values are read when they are asked for.
    load_file : Return an image of nibabel from a file, or say what is wrong with it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from rsa_faces.brain.files import image_files
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("beta_10.nii.gz", "beta_2.nii.gz"):
    ...     (folder / name).touch()
    >>> [path.name for path in image_files(folder / "beta_*.nii.gz")]
    ['beta_2.nii.gz', 'beta_10.nii.gz']
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [p for p in path.iterdir() if p.is_file() and p.name.endswith(_ENDINGS)]
        # macOS leaves "._beta.nii" beside each file on drives of other systems.
        files = [p for p in files if not p.name.startswith(".")]
        if not files:
            raise InputError(
                f"expected images as {what} in the folder {path}, but none of its files ends with "
                f"{', '.join(_ENDINGS)}."
            )
        return sorted(files, key=_as_people_count)
    if glob.has_magic(str(path)):
        files = [Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file()]
        if not files:
            raise InputError(f"expected files as {what}, but none matches {path}.")
        return sorted(files, key=_as_people_count)
    raise MissingFileError(f"expected an image file as {what}, but {path} does not exist.")


def _as_people_count(path: Path) -> list[Any]:
    """Return a key by which numbers in names are sorted as numbers."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), part) if i % 2 else part for i, part in enumerate(parts)]


def load_file(path: str | os.PathLike[str], what: str):
    """Return an image of nibabel from a file, or say what is wrong with it.

    Parameters
    ----------
    path : path-like
    what : str
        Its role, for errors.

    Returns
    -------
    nibabel image

    Raises
    ------
    MissingFileError
        If the file is not there.
    InputError
        If nibabel cannot read it.

    See Also
    --------
    open_image : Open an image of any kind; values are read when they are asked for.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.files import load_file
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "beta.nii.gz"
    >>> nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4)), np.eye(4)), path)
    >>> load_file(path, "img").shape
    (2, 3, 4)
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"expected an image file as {what}, but {path} does not exist.")
    with readable(f"{what} ({path})"):
        return nibabel_load(path)


def nibabel_load(path: Path, **options: Any):
    """Call nibabel; the only place that does."""
    import nibabel

    return nibabel.load(path, **options)  # noqa: TID251 (the one place)


@contextlib.contextmanager
def readable(label: str) -> Iterator[None]:
    """Turn whatever a reader makes of a truncated or broken file into one sentence.

    Parameters
    ----------
    label : str
        The role and the name of the file.

    Raises
    ------
    InputError
        For any other error inside the block, but too little memory.

    See Also
    --------
    open_image : Open an image of any kind; values are read when they are asked for.

    Examples
    --------
    >>> from rsa_faces.brain.files import readable
    >>> try:
    ...     with readable("beta.nii.gz"):
    ...         raise EOFError
    ... except ValueError as error:
    ...     print(str(error)[:40])
    expected an image file as beta.nii.gz, b
    """
    try:
        yield
    # Too little memory says nothing about the file.
    except (InputError, MemoryError):
        raise
    except Exception as err:
        reason = " ".join(str(err).split()) or type(err).__name__
        raise InputError(
            f"expected an image file as {label}, but it cannot be read: it is truncated, broken or "
            f"no image ({reason[:200]})."
        ) from err
