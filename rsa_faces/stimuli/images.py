"""Picture files to pixels and back: the one module that opens pictures."""

from __future__ import annotations

import functools
import io
import os
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, features

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names
from rsa_faces._core.tables import write_table

if TYPE_CHECKING:
    from rsa_faces.stimuli._stimulus_set import StimulusSet

__all__ = [
    "MAX_PIXELS",
    "MAX_SIDE",
    "SUFFIXES",
    "check_side",
    "decode",
    "is_plain",
    "pages",
    "read_bytes",
    "read_image",
    "unreadable",
    "write_images",
]

#: Endings of picture files, in lower case, and what a file with it holds.
SUFFIXES = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".jfif": "JPEG",
    ".jpe": "JPEG",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".pgm": "PPM",
    ".png": "PNG",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
#: The most pixels of a picture that is opened (Pillow's own limit against bombs), and the longest
#: side of one that is drawn.
MAX_PIXELS = 178_956_970
MAX_SIDE = 8192

# What Pillow's decoders are known to raise for a damaged or foreign file.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, zlib.error)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture file.

    Parameters
    ----------
    path : path-like
        A file of any kind in :data:`SUFFIXES`; its content decides, not its ending.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        As :func:`decode` returns it.

    Raises
    ------
    InputError
        If the file cannot be read, or :func:`decode` refuses it.

    See Also
    --------
    rsa_faces.load_stimuli : Pictures with names.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from rsa_faces.stimuli.images import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (3, 2), "red").save(folder + "/a.png")
    ...     read_image(folder + "/a.png").shape
    (2, 3, 3)
    """
    return decode(read_bytes(Path(path)), path)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If the file cannot be read (why is said).

    See Also
    --------
    decode : Return the pixels of a picture file's bytes.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from rsa_faces.stimuli.images import read_bytes
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "picture.png"
    >>> _ = path.write_bytes(b"not yet a picture")
    >>> read_bytes(path)
    b'not yet a picture'
    """
    try:
        return path.read_bytes()
    except OSError as err:
        raise InputError(f"expected an image file, but {path}: {err.strerror}.") from err


def decode(data: bytes, where: str | os.PathLike[str]) -> np.ndarray:
    """Return the pixels of a picture file's bytes.

    Parameters
    ----------
    data : bytes
        Of a file of any kind in :data:`SUFFIXES`.
    where : path-like
        The file, for messages.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB, 0 to 255, turned upright by the EXIF orientation. Grey pictures get three equal
        channels, palettes are resolved, transparent pixels are laid over white, CMYK is converted
        by Pillow; colour profiles are ignored. Of several pages or frames: the first.

    Raises
    ------
    InputError
        If the bytes are of no such kind or damaged, have more than 8 bits per channel (rounding
        them would make pictures alike that are not), or more than :data:`MAX_PIXELS` pixels.

    See Also
    --------
    pages : How many pages or frames there are.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> from rsa_faces.stimuli.images import decode
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 3), "red").save(file, "PNG")
    >>> pixels = decode(file.getvalue(), "red.png")
    >>> pixels.shape, pixels[0, 0].tolist()
    ((3, 4, 3), [255, 0, 0])
    """
    try:
        with _opened(data, where) as opened:
            bits = _bits(opened, data)
            if bits > 8:
                raise InputError(
                    f"expected images with 8 bits per channel, but {where} has {bits} "
                    f"(pixels of kind {opened.mode!r}). Save it with 8 bits per channel."
                )
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except _DAMAGE as err:
        raise InputError(f"expected an image, but {where} cannot be read as one: {err}.") from err


def pages(data: bytes, where: str | os.PathLike[str]) -> int:
    """Count the pages of a TIFF, or the frames of an animation, in a file's bytes.

    A second picture that a camera puts beside a JPEG (a preview, a depth map) does not count.

    Parameters
    ----------
    data : bytes
        Of the file.
    where : path-like
        Its name, for errors.

    Returns
    -------
    int

    Raises
    ------
    InputError
        As :func:`decode` does for what is no picture.

    See Also
    --------
    decode : Return the pixels of a picture file's bytes.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> from rsa_faces.stimuli.images import pages
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 3), "red").save(file, "PNG")
    >>> pages(file.getvalue(), "red.png")
    1
    """
    try:
        with _opened(data, where) as opened:
            return 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
    except _DAMAGE as err:
        if isinstance(err, InputError):
            raise
        raise InputError(f"expected an image, but {where} cannot be read as one: {err}.") from err


def is_plain(data: bytes, where: str | os.PathLike[str], longest: int) -> bool:
    """Tell whether a picture can be shown from its file as it is.

    Not if a side has more than `longest` pixels, it is transparent, or it holds EXIF data, which
    may turn it and may say more than the picture.

    Parameters
    ----------
    data : bytes
        Of the file.
    where : path-like
        Its name, for errors.
    longest : int
        In pixels.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        As :func:`decode` does for what is no picture.

    See Also
    --------
    decode : Return the pixels of a picture file's bytes.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> from rsa_faces.stimuli.images import is_plain
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 3), "red").save(file, "PNG")
    >>> is_plain(file.getvalue(), "red.png", longest=1000)
    True
    """
    with _opened(data, where) as opened:
        small = max(opened.size) <= longest
        return small and not opened.info.get("exif") and not opened.has_transparency_data


def check_side(size: int, *, what: str = "size", low: int = 2) -> int:
    """Return the side of a square picture in pixels if it can be meant.

    Parameters
    ----------
    size : int
    what : str, default "size"
        Its name, for errors.
    low : int, default 2

    Returns
    -------
    int

    Raises
    ------
    InputError
        If it is not a whole number from `low` to :data:`MAX_SIDE`.

    See Also
    --------
    decode : Return the pixels of a picture file's bytes.

    Examples
    --------
    >>> from rsa_faces.stimuli.images import check_side
    >>> check_side(224)
    224
    """
    whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
    if not whole or not low <= size <= MAX_SIDE:
        raise InputError(
            f"expected {what} to be a whole number of pixels from {low} to {MAX_SIDE}, got "
            f"{size!r}."
        )
    return int(size)


def write_images(stimuli: StimulusSet, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write images as PNG files, and the table that says which is which.

    Parameters
    ----------
    stimuli : StimulusSet
        What is written.
    folder : path-like
        Made if it is not there. Files are named by the ids as far as file names can be
        (:func:`rsa_faces._core.files.file_names`); none leaves the folder or replaces another of
        the set.

    Returns
    -------
    dict of str to Path
        The file of each id. ``images.csv`` in the folder holds the same, with the metadata:
        ``load_stimuli(folder, manifest=folder / "images.csv")`` gives the set back.

    See Also
    --------
    rsa_faces.load_stimuli : Reads them.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import rsa_faces as rf
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'happy'")
    >>> paths = rf.stimuli.images.write_images(faces, folder)
    >>> len(paths), (folder / "images.csv").exists()
    (18, True)
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: f"{stem}.png" for name, stem in file_names(stimuli.ids).items()}
    for name, file in files.items():
        with atomic_path(folder / file) as temporary:
            Image.fromarray(stimuli.image(name)).save(temporary, format="PNG")
    table = stimuli.metadata.reset_index()
    table.insert(0, "file", [files[name] for name in table["id"]])
    write_table(table, folder / "images.csv")
    return {name: folder / file for name, file in files.items()}


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the kinds of files that can be decoded here; nothing else is."""
    found = dict.fromkeys(SUFFIXES.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older Pillows do not know the word
        if not features.check("avif"):
            del found["AVIF"]
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        del found["HEIF"]
    else:
        register_heif_opener()
    return tuple(found)


def unreadable(suffix: str) -> str | None:
    """Return why files with this ending cannot be read here, or None.

    Parameters
    ----------
    suffix : str
        With its dot.

    Returns
    -------
    str or None

    See Also
    --------
    decode : Return the pixels of a picture file's bytes.

    Examples
    --------
    >>> from rsa_faces.stimuli.images import unreadable
    >>> unreadable(".png") is None
    True
    """
    kind = SUFFIXES.get(suffix.lower())
    if kind is None or kind in _formats():
        return None
    needs = {"HEIF": "pip install 'rsa-faces[heic]'", "AVIF": "pip install 'pillow>=11.3'"}
    return f"{suffix} needs a decoder: {needs[kind]}"


def _opened(data: bytes, where: str | os.PathLike[str]) -> Image.Image:
    """Open a picture without decoding it; what would fill the memory is refused."""
    try:
        opened = Image.open(io.BytesIO(data), formats=_formats())  # noqa: TID251 (the one place)
    except Image.UnidentifiedImageError as err:
        missing = unreadable(Path(where).suffix)
        raise InputError(
            f"expected an image, but {where} cannot be read as one: its content is none of "
            f"{', '.join(_formats())}." + (f" ({missing}.)" if missing else "")
        ) from err
    except Image.DecompressionBombError as err:
        raise _too_large(where, re.search(r"\d+", str(err))) from err
    if opened.width * opened.height > MAX_PIXELS:
        raise _too_large(where, re.match(r"\d+", str(opened.width * opened.height)))
    return opened


def _too_large(where: str | os.PathLike[str], n_pixels: re.Match | None) -> InputError:
    """Return the error for a picture with too many pixels."""
    came = f"{int(n_pixels[0]):,}" if n_pixels else "more"
    return InputError(
        f"expected an image of at most {MAX_PIXELS:,} pixels, but {where} has {came}. Make it "
        "smaller; networks see a few hundred pixels across."
    )


def _bits(image: Image.Image, data: bytes) -> int:
    """Return the bits per channel that a file holds; Pillow rounds most to 8 without a word."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, 1)
        return max(bits) if isinstance(bits, tuple) else int(bits)
    if image.format == "PPM":
        header = re.match(rb"P[2356]\s(?:\s*#[^\n]*\n)*\s*\d+\s+\d+\s+(\d+)", data)
        return int(header[1]).bit_length() if header else 8
    if image.format == "AVIF":
        # Of the box av1C the third byte says 10 or 12 bits.
        at = data.find(b"av1C")
        return 8 if at < 0 or not data[at + 6] & 0x40 else 10
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    return {"I": 32, "F": 32}.get(image.mode[:1], 8)
