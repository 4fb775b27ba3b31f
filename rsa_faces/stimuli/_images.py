"""Image files to pixels."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from rsa_faces._core.errors import InputError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}

# What Pillow's decoders are known to raise for a damaged or foreign file.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, zlib.error,
           Image.DecompressionBombError)  # fmt: skip


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes."""
    try:
        return path.read_bytes()
    except OSError as err:
        raise InputError(f"expected an image file, but {path}: {err.strerror}.") from err


def decode(data: bytes, path: Path) -> np.ndarray:
    """Return uint8 RGB pixels, shape (height, width, 3), of an image file's bytes."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):
                raise InputError(
                    f"expected images with 8 bits per channel, but {path} has pixels of kind "
                    f"{image.mode!r}. Save it with 8 bits per channel."
                )
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except _DAMAGE as err:
        raise InputError(f"expected an image, but {path} cannot be read as one: {err}.") from err
