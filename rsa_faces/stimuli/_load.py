"""A folder of images, with or without a table, to a StimulusSet."""

from __future__ import annotations

import logging
import os
from hashlib import sha256
from pathlib import Path

import pandas as pd

from rsa_faces._core.checks import check_unique_names
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import read_table
from rsa_faces.stimuli._images import SUFFIXES, decode, read_bytes
from rsa_faces.stimuli._stimulus_set import StimulusSet

_log = logging.getLogger(__name__)


def load_stimuli(
    folder: str | os.PathLike[str], *, manifest: str | os.PathLike[str] | None = None
) -> StimulusSet:
    """Load the images of a folder.

    Every image is read once, so that an unreadable one is found now and not in the middle of
    an extraction.

    Parameters
    ----------
    folder : path-like
        Without a manifest, all images directly in it are taken (BMP, GIF, JPEG, PGM, PNG, PPM,
        TIFF, WebP; hidden files are not), with the file name without suffix as id.
    manifest : path-like, optional
        A table (CSV, TSV or ``.xlsx``) with the column ``file`` (path relative to `folder`),
        optionally ``id`` (default: the file name without suffix); every other column becomes
        metadata: numbers or truth values where all are (``007`` is text), else text. Images of the
        folder that it does not name are left out and counted in the log.

    Returns
    -------
    StimulusSet
        Sorted by id, whatever the order of the folder or the manifest.

    Raises
    ------
    InputError
        If the folder, the manifest, its column ``file`` or an image is missing; if an image
        cannot be read (it is named), ids are not unique, or there are no images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a folder of images, but {folder} is not a folder.")
    present = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if manifest is None:
        paths, ids = present, [path.stem for path in present]
        metadata = pd.DataFrame(index=ids)
        if not paths:
            deeper = any(p.suffix.lower() in SUFFIXES for p in folder.rglob("*"))
            raise InputError(
                f"expected images ({', '.join(sorted(SUFFIXES))}) in {folder}, found none."
                + (" Its subfolders hold some: list them in a manifest." if deeper else "")
            )
    else:
        paths, ids, metadata = _read_manifest(Path(manifest), folder)
        named = {path.resolve() for path in paths}
        unused = [path.name for path in present if path.resolve() not in named]
        if unused:
            _log.warning(
                "%d of %d images in %s are not in %s and are left out: %s",
                len(unused), len(present), folder, manifest, ", ".join(unused[:5]),
            )  # fmt: skip
    ids = check_unique_names(ids, what="stimulus")
    hashes = []
    for path in paths:
        data = read_bytes(path)
        decode(data, path)
        hashes.append(sha256(data).hexdigest())
    # Absolute, so that the set outlives a change of the working folder.
    return StimulusSet(ids, [path.absolute() for path in paths], hashes, metadata)


def _read_manifest(manifest: Path, folder: Path) -> tuple[list[Path], list[str], pd.DataFrame]:
    """Return the paths, ids and metadata of a manifest's rows."""
    table = read_table(
        manifest, what="a manifest", text=["file", "id"], optional=["id"], guess=True
    )
    paths = [folder / name for name in table["file"]]
    missing = [name for name, p in zip(table["file"], paths, strict=True) if not p.is_file()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InputError(
            f"{len(missing)} of {len(paths)} images in {manifest} are missing from {folder}: "
            f"{', '.join(map(repr, missing[:5]))}{more}. Paths are relative to the folder."
        )
    ids = list(table["id"]) if "id" in table else [path.stem for path in paths]
    return paths, ids, table.drop(columns=["file", "id"], errors="ignore")
