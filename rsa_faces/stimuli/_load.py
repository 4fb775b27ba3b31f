"""A folder of images, with or without a table, to a StimulusSet."""

from __future__ import annotations

import os
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path

import pandas as pd

from rsa_faces._core.checks import check_unique_names
from rsa_faces._core.errors import InputError, some
from rsa_faces._core.tables import read_table
from rsa_faces._core.warning import warn
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.images import SUFFIXES, decode, pages, read_bytes, unreadable


def load_stimuli(
    folder: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    cropped: bool = False,
) -> StimulusSet:
    """Load the images of a folder.

    Every image is read once, so that an unreadable one is found now and not in the middle of
    an extraction.

    Parameters
    ----------
    folder : path-like
        Without a manifest, all images directly in it are taken (AVIF, BMP, GIF, HEIC, JPEG, PGM,
        PNG, PPM, TIFF, WebP; hidden files are not), with the file name without suffix as id. Other
        files are named in a warning. AVIF needs Pillow 11.3, HEIC the package pillow-heif.
    manifest : path-like, optional
        A table (CSV, TSV or ``.xlsx``) with the column ``file`` (path relative to `folder`),
        optionally ``id`` (default: the file name without suffix); every other column becomes
        metadata: numbers or truth values where all are (``007`` is text), else text. Images of the
        folder that it does not name are left out and named in a warning.
    cropped : bool, default False
        Whether the images are faces cut out already, as `rsa-faces faces --crops` writes them:
        networks that were trained on such then take them without a warning.

    Returns
    -------
    StimulusSet
        Sorted by id, whatever the order of the folder or the manifest.

    Raises
    ------
    InputError
        If the folder, the manifest, its column ``file`` or an image is missing; if an image
        cannot be read (it is named), ids are not unique, or there are no images.

    See Also
    --------
    load_clips : Load the video clips of a folder.
    detect_faces : Find the face in each photograph, with five points and measures of quality.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import rsa_faces as rf
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'happy'")
    >>> _ = rf.stimuli.images.write_images(faces, folder)
    >>> len(rf.load_stimuli(folder, manifest=folder / "images.csv"))
    18
    """
    paths, ids, metadata = listed(folder, manifest, SUFFIXES, "image")
    hashes, several = [], []
    for path in paths:
        data = read_bytes(path)
        decode(data, path)
        if (n := pages(data, path)) > 1:
            several.append(f"{path.name} ({n})")
        hashes.append(sha256(data).hexdigest())
    if several:
        warn(
            f"{len(several)} of {len(paths)} images have several pages or frames, of which the "
            f"first is taken: {some(several)}."
        )
    # Absolute, so that the set outlives a change of the working folder.
    return StimulusSet(ids, [path.absolute() for path in paths], hashes, metadata, cropped)


def listed(
    folder: str | os.PathLike[str],
    manifest: str | os.PathLike[str] | None,
    suffixes: Collection[str],
    what: str,
) -> tuple[list[Path], tuple[str, ...], pd.DataFrame]:
    """Return files, ids and metadata of a folder's images or clips; others are named."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a folder of {what}s, but {folder} is not a folder.")
    files = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_file())
    present = [path for path in files if path.suffix.lower() in suffixes]
    if manifest is None:
        paths = [path for path in present if not unreadable(path.suffix)]
        ids, metadata = [path.stem for path in paths], pd.DataFrame(index=[p.stem for p in paths])
        unused = sorted(set(files) - set(paths))
        said = f"{len(unused)} of {len(files)} files in {folder} are no {what}s by their endings"
    else:
        paths, ids, metadata = _read_manifest(Path(manifest), folder)
        named = {path.resolve() for path in paths}
        unused = [path for path in present if path.resolve() not in named]
        said = f"{len(unused)} of {len(present)} {what}s in {folder} are not in {manifest}"
    decoders = "; ".join(sorted({why for p in unused if (why := unreadable(p.suffix))}))
    if not paths:
        deeper = any(p.suffix.lower() in suffixes for p in folder.rglob("*"))
        raise InputError(
            f"expected {what}s ({', '.join(sorted(suffixes))}) in {folder}, found none."
            + (f" It holds {some(p.name for p in unused)}." if unused else "")
            + (f" {decoders}." if decoders else "")
            + (" Its subfolders hold some: list them in a manifest." if deeper else "")
        )
    if unused:
        warn(
            f"{said} and are left out: {some((p.name for p in unused), 20)}."
            + (f" {decoders}." if decoders else "")
        )
    return paths, check_unique_names(ids, what="stimulus" if what == "image" else what), metadata


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
