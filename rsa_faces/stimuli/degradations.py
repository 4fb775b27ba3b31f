"""Images made worse by known amounts: blur, noise, compression, light, occlusion, size, contrast.

Pure NumPy, SciPy and Pillow. Every kind has five strengths in units that can be looked up.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from rsa_faces._core.checks import check_choice, check_count, check_seed, check_unique_names
from rsa_faces._core.errors import InputError
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.images import decode

_PHOTONS = 2000  # per pixel and colour at white, in full light
_SHADOW = 0.05  # of the image's width: how soft the edge of a shadow is


@dataclass(frozen=True)
class Degradation:
    """A way to make images worse.

    Attributes
    ----------
    unit : str
        What the levels are.
    levels : tuple of float
        At strengths 1 to 5.
    """

    unit: str
    levels: tuple[float, ...]


#: Every kind of degradation, with its levels at strengths 1 to 5.
DEGRADATIONS = {
    "blur": Degradation(
        "standard deviation of the Gaussian, share of the image's width",
        (0.01, 0.02, 0.04, 0.06, 0.09),
    ),
    "gaussian-noise": Degradation(
        "standard deviation per pixel and colour, share of the range from black to white",
        (0.03, 0.06, 0.12, 0.2, 0.35),
    ),
    "jpeg": Degradation("quality from 100 to 1", (40, 20, 10, 5, 2)),
    "low-light": Degradation(
        "light, share of the light there was (linear)", (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
    ),
    "half-light": Degradation(
        "light on the darker side, share of the light there was (linear)",
        (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 64),
    ),
    "occlusion": Degradation("share of the image's area", (0.05, 0.1, 0.2, 0.3, 0.45)),
    "bar": Degradation("share of the image's height", (0.05, 0.1, 0.2, 0.3, 0.45)),
    "mask": Degradation("share of the image's height, from below", (0.1, 0.2, 0.3, 0.4, 0.5)),
    "resolution": Degradation("pixels across the image's width", (56, 40, 28, 18, 10)),
    "contrast": Degradation("root-mean-square contrast, share", (0.6, 0.4, 0.25, 0.15, 0.08)),
}


def degrade(
    images: StimulusSet | Sequence[np.ndarray],
    kind: str,
    strength: int,
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> StimulusSet | list[np.ndarray]:
    """Make images worse by a known amount.

    Parameters
    ----------
    images : StimulusSet, or sequence of ndarray, each uint8 with shape (height, width, 3)
        RGB, 0 to 255. Levels refer to the image's width: give crops of faces.
    kind : str
        One of ``DEGRADATIONS``; see Notes.
    strength : int, from 0 to 5
        0 gives the images themselves.
    names : sequence of str, optional
        One per array. Chance (noise, which side is dark, where the patch lies) depends on the name
        and `seed` alone, not on the other images or the order. A StimulusSet has names.
    seed : int, default 0

    Returns
    -------
    StimulusSet or list of ndarray
        As they came: the same sizes, names and metadata.

    Raises
    ------
    InputError
        If the kind is unknown, the strength is no whole number from 0 to 5, an image is not uint8
        RGB, or arrays come without one name each.

    Notes
    -----
    At strengths 1 to 5:

    - "blur": Gaussian, σ of 1, 2, 4, 6, 9 % of the image's width (edges repeated).
    - "gaussian-noise": independent for pixels and colours, σ of 3, 6, 12, 20, 35 % of the range.
      It is per pixel, so a network that shrinks large images averages some of it out.
    - "jpeg": quality 40, 20, 10, 5, 2, with the colours at half the resolution.
    - "low-light": 1/2 to 1/32 of the light and nothing to make up for it: pixels are made linear
      (sRGB), dimmed, given the noise of photons (normal, variance equal to the count; 2,000 at
      white in full light) and rounded to 8 bits.
    - "half-light": light from one side. The other side keeps 1/2, 1/4, 1/8, 1/16, 1/64 of it; the
      edge between them runs down the middle and is 5 % of the width soft (logistic).
    - "occlusion": a grey square (128) of 5, 10, 20, 30, 45 % of the area (in images that are not
      square a rectangle of their shape), anywhere inside.
    - "bar": a grey bar (128) across the whole width, 5, 10, 20, 30, 45 % of the height, anywhere.
    - "mask": the lowest 10, 20, 30, 40, 50 % of the image in grey (128), as a mask hides them.
    - "resolution": 56, 40, 28, 18, 10 pixels across (averaged), then enlarged again (bicubic).
      Images that are no wider stay as they are.
    - "contrast": distances from the image's mean colour times 0.6, 0.4, 0.25, 0.15, 0.08.

    Strengths of one kind use the same random numbers, so a patch grows where it lies. Strengths
    of different kinds are not matched in what they do to a face or a network. Turning the head
    is not among them: see :func:`rsa_faces.stimuli.turning.turn_faces`; of robustness it is.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.stimuli.degradations import DEGRADATIONS, degrade
    >>> image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    >>> dim = degrade([image], "low-light", 3, names=["a"])[0]
    >>> bool(dim.mean() < image.mean() / 2)
    True
    >>> DEGRADATIONS["jpeg"].levels
    (40, 20, 10, 5, 2)
    """
    check_choice(kind, DEGRADATIONS, what="degradation")
    check_count(strength, what="strength", low=0)
    check_seed(seed)
    n_levels = len(DEGRADATIONS[kind].levels)
    if strength > n_levels:
        raise InputError(f"expected a strength from 0 to {n_levels}, got {strength!r}.")
    if isinstance(images, StimulusSet):
        if strength == 0:
            return images
        worse = degrade(map(images.image, images.ids), kind, strength, names=images.ids, seed=seed)
        return StimulusSet.from_arrays(worse, images.ids, images.metadata)
    images = [np.asarray(image) for image in images]
    if names is None or len(names) != len(images):
        given = "none" if names is None else len(names)
        raise InputError(
            f"expected one name for each of {len(images)} images, got {given}: chance goes by name."
        )
    names = check_unique_names(names, what="image")
    for name, image in zip(names, images, strict=True):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InputError(
                "expected images of type uint8 and shape (height, width, 3), but "
                f"{name!r} has type {image.dtype} and shape {image.shape}."
            )
    if strength == 0:
        return images
    level, act = DEGRADATIONS[kind].levels[strength - 1], _ACTS[kind]
    return [
        act(image, level, random_of(name, kind, seed))
        for name, image in zip(names, images, strict=True)
    ]


def random_of(name: str, kind: str, seed: int) -> np.random.Generator:
    """Return the random numbers of one image, whatever the others are."""
    # By name, not by place in a list: an image is made worse in one way, alone or among others.
    digest = sha256(f"{seed}\0{kind}\0{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def to_linear(image: np.ndarray) -> np.ndarray:
    """Return light, from 0 to 1, of sRGB pixels from 0 to 255 (IEC 61966-2-1)."""
    # Light adds up linearly, values of pixels do not (sRGB): half of the light is not half of the
    # value.
    x = np.asarray(image) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def from_linear(light: np.ndarray) -> np.ndarray:
    """Return sRGB pixels, uint8, of light from 0 to 1."""
    x = np.clip(light, 0, 1)
    return _pixels(255 * np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055))


def _pixels(values: np.ndarray) -> np.ndarray:
    """Round to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _blur(image, level, rng):
    sigma = level * image.shape[1]
    return _pixels(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="nearest"))


def _noise(image, level, rng):
    return _pixels(image + 255 * level * rng.standard_normal(image.shape, np.float32))


def _jpeg(image, level, rng):
    file = io.BytesIO()
    # Colour at half the resolution (4:2:0), as cameras and web pages save; Pillow's choice depends
    # on its version.
    Image.fromarray(image).save(file, "JPEG", quality=int(level), subsampling=2)
    return decode(file.getvalue(), "a degraded image").copy()


def _low_light(image, level, rng):
    # Photons are counted, so that their noise is the root of their number: what is dark is noisier
    # for its brightness, as in a real camera.
    photons = to_linear(image) * level * _PHOTONS
    photons = photons + np.sqrt(photons) * rng.standard_normal(image.shape, np.float32)
    return from_linear(photons / _PHOTONS)


def _half_light(image, level, rng):
    width = image.shape[1]
    across = (np.arange(width) + 0.5) / width - 0.5
    if rng.integers(2):
        across = -across
    lit = 1 / (1 + np.exp(-across / (_SHADOW / 2)))
    return from_linear(to_linear(image) * (level + (1 - level) * lit)[:, None])


def _occlusion(image, level, rng):
    sides = [max(1, round(side * np.sqrt(level))) for side in image.shape[:2]]
    top, left = (
        round(u * (side - covered))
        for u, side, covered in zip(rng.random(2), image.shape, sides, strict=False)
    )
    worse = image.copy()
    worse[top : top + sides[0], left : left + sides[1]] = 128
    return worse


def _bar(image, level, rng):
    covered = max(1, round(level * len(image)))
    top = round(rng.random() * (len(image) - covered))
    worse = image.copy()
    worse[top : top + covered] = 128
    return worse


def _mask(image, level, rng):
    worse = image.copy()
    worse[len(image) - max(1, round(level * len(image))) :] = 128
    return worse


def _resolution(image, level, rng):
    height, width = image.shape[:2]
    if width <= level:
        return image.copy()
    small = (int(level), max(1, round(height * level / width)))
    # A small sensor averages what falls on a pixel; enlarging it smoothly adds no edges of blocks,
    # which networks would see.
    picture = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.array(picture.resize((width, height), Image.Resampling.BICUBIC))


def _contrast(image, level, rng):
    # Around the mean colour, which stays: contrast alone is taken away, not brightness.
    mean = image.mean(axis=(0, 1))
    return _pixels(mean + level * (image - mean))


_ACTS = {
    "blur": _blur,
    "gaussian-noise": _noise,
    "jpeg": _jpeg,
    "low-light": _low_light,
    "half-light": _half_light,
    "occlusion": _occlusion,
    "bar": _bar,
    "mask": _mask,
    "resolution": _resolution,
    "contrast": _contrast,
}
