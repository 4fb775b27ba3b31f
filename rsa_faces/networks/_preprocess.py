"""Images to network input, exactly as the spec says; needs only NumPy and Pillow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from rsa_faces._core.errors import InputError
from rsa_faces.networks._spec import Preprocessing

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def apply(preprocessing: Preprocessing, images: Sequence[np.ndarray]) -> np.ndarray:
    """Return float32 (n, channels, size, size) for uint8 RGB images of any size."""
    n_channels = 1 if preprocessing.channels == "L" else 3
    size = preprocessing.size
    out = np.empty((len(images), n_channels, size, size), np.float32)
    mean = np.asarray(preprocessing.mean, np.float32)[:, None, None]
    std = np.asarray(preprocessing.std, np.float32)[:, None, None]
    images = [np.asarray(image) for image in images]
    for i, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InputError(
                "expected each image as uint8 (height, width, 3) in RGB, but image "
                f"{i} is {image.dtype} {image.shape}."
            )

    def write(i: int) -> None:
        picture = Image.fromarray(images[i])
        if preprocessing.channels == "L":
            picture = picture.convert("L")
        pixels = np.asarray(fit(picture, preprocessing), np.float32).reshape(size, size, -1)
        if preprocessing.channels == "BGR":
            pixels = pixels[:, :, ::-1]
        out[i] = (pixels.transpose(2, 0, 1) - mean) / std

    # Pillow lets go of the interpreter while it resizes: threads are enough, and images need no
    # copying to other processes.
    with ThreadPoolExecutor(min(max(1, len(images)), os.cpu_count() or 1, 8)) as pool:
        list(pool.map(write, range(len(images))))
    return out


def fit(picture: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Return a picture of the network's size."""
    size = preprocessing.size
    resample = FILTERS[preprocessing.interpolation]
    width, height = picture.size
    if preprocessing.fit == "stretch":
        return _resize(picture, (size, size), resample)
    if preprocessing.fit == "pad":
        new, corner = place(width, height, size)
        resized = _resize(picture, new, resample)
        if new == (size, size):
            return resized
        square = Image.new(picture.mode, (size, size))
        square.paste(resized, corner)
        return square
    shorter, resize_to = min(width, height), preprocessing.resize_to or size
    # Cut off, not rounded, as torchvision's Resize does: one pixel more would shift the crop.
    new = int(width * resize_to / shorter), int(height * resize_to / shorter)
    resized = _resize(picture, new, resample)
    left, top = (round((side - size) / 2) for side in new)
    return resized.crop((left, top, left + size, top + size))


def place(width: int, height: int, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return an image's size and upper left corner inside its square ("pad")."""
    longer = max(width, height)
    new = max(1, round(width * size / longer)), max(1, round(height * size / longer))
    return new, ((size - new[0]) // 2, (size - new[1]) // 2)


def positions(preprocessing: Preprocessing, width: int, height: int) -> np.ndarray:
    """Return where in an image the middle of each pixel of the input lies: (size, size, 2), x, y.

    In pixels of the image, its upper left corner is 0, 0; padding lies outside it.
    """
    size = preprocessing.size
    new, left, top = (size, size), 0, 0
    if preprocessing.fit == "pad":
        new, (left, top) = place(width, height, size)
    elif preprocessing.fit != "stretch":
        shorter, resize_to = min(width, height), preprocessing.resize_to or size
        new = int(width * resize_to / shorter), int(height * resize_to / shorter)
        left, top = (-round((side - size) / 2) for side in new)
    # Centres of pixels are half a pixel inside: without it a larger image would be shifted against
    # a smaller one.
    middle = np.arange(size) + 0.5
    x, y = (middle - left) * width / new[0], (middle - top) * height / new[1]
    return np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1)


def _resize(picture: Image.Image, size: tuple[int, int], resample: int) -> Image.Image:
    """Resize unless the size is right already."""
    return picture if picture.size == size else picture.resize(size, resample)
