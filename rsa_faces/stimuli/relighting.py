"""Photographs of faces in other light, through the depth of the head."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from rsa_faces._core.errors import InputError
from rsa_faces.stimuli import turning
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.degradations import from_linear, to_linear

_MOST = 80.0  # degrees
_SMOOTH = 0.02  # of the image's width: finer relief is an individual's, not the average head's
_FOOT = 0.4  # of the depth: so far up from the ground behind the light fades in, or there is a halo


def relight_faces(
    stimuli: StimulusSet,
    landmarks: np.ndarray,
    azimuth: float,
    *,
    elevation: float = 0.0,
    ambient: float = 0.3,
) -> StimulusSet:
    """Let the light on faces come from another side.

    Parameters
    ----------
    stimuli : StimulusSet
        Crops that show one upright face each, seen about from the front and lit about evenly.
    landmarks : ndarray, shape (n_stimuli, 68, 2)
        From :func:`rsa_faces.networks.detect_landmarks`, in the set's order.
    azimuth : float, in degrees, at most 80
        Where the light comes from, counted from the camera: positive from the image's right.
    elevation : float, in degrees, at most 80, default 0
        Positive from above.
    ambient : float, from 0 to 1, default 0.3
        Share of the light that comes from everywhere; 1 changes nothing.

    Returns
    -------
    StimulusSet
        The same ids and sizes, metadata with ``light_azimuth`` and ``light_elevation``.

    Raises
    ------
    InputError
        If landmarks do not fit the set or their image, or a number is out of range.

    Notes
    -----
    The depth of an average head is fitted to each face's landmarks as in
    :func:`rsa_faces.stimuli.turning.turn_faces`. Pixels, made linear (sRGB), are multiplied by the
    ratio of Lambert's shading in the new light to that in light from the camera, scaled so that the
    mean of the ratio over the face is 1; towards ears, hair and ground it fades to 1.

    The photograph's own light is taken for light from the camera: where it is not, both lights
    show. Sides that face away get dark, but nothing casts a shadow; shine does not move; noses are
    the average nose. Half-light of :mod:`rsa_faces.stimuli.degradations` knows no face at all.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.stimuli import StimulusSet
    >>> from rsa_faces.stimuli.relighting import relight_faces
    >>> from rsa_faces.stimuli.turning import _mean_head
    >>> grey = StimulusSet.from_arrays(np.full((1, 120, 100, 3), 128, np.uint8), ["simulated"])
    >>> lit = relight_faces(grey, 50 + 20 * _mean_head()[0][None], 50).image("simulated")
    >>> bool(lit[:, 50:].mean() > lit[:, :50].mean())
    True
    """
    points = turning._checked(stimuli, landmarks)
    check_light(azimuth, elevation, ambient)
    images = [
        relit(stimuli.image(name), one, azimuth, elevation, ambient, repr(name))
        for name, one in zip(stimuli.ids, points, strict=True)
    ]
    table = stimuli.metadata.assign(light_azimuth=float(azimuth), light_elevation=float(elevation))
    return StimulusSet.from_arrays(images, stimuli.ids, table)


def check_light(azimuth: float, elevation: float, ambient: float) -> None:
    """Refuse light from behind, and a share that is none."""
    if not (abs(azimuth) <= _MOST and abs(elevation) <= _MOST):
        raise InputError(
            f"expected light from at most {_MOST:g} degrees aside, got azimuth {azimuth} and "
            f"elevation {elevation}."
        )
    if not 0 <= ambient <= 1:
        raise InputError(f"expected ambient from 0 to 1, got {ambient!r}.")


def relit(
    image: np.ndarray,
    points: np.ndarray,
    azimuth: float,
    elevation: float,
    ambient: float,
    name: str = "the face",
) -> np.ndarray:
    """Return an image of a face in other light, given its 68 landmarks."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    z = turning._sheet(np.stack([x.ravel(), y.ravel()], axis=1).astype(float), points)[0]
    z = gaussian_filter(z.reshape(height, width), _SMOOTH * width, mode="nearest")
    if not np.ptp(z):
        raise InputError(
            f"expected landmarks of {name} inside the image, but the head that fits them lies "
            f"outside of its {width} x {height} pixels."
        )
    rise = np.clip((z - z.min()) / (_FOOT * np.ptp(z)), 0, 1)
    share = rise * rise * (3 - 2 * rise)
    down, right = np.gradient(z)
    normal = np.stack([-right, -down, np.ones_like(z)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    a, e = np.radians(azimuth), np.radians(elevation)
    light = np.array([np.sin(a) * np.cos(e), -np.sin(e), np.cos(a) * np.cos(e)])
    new, old = (ambient + (1 - ambient) * np.maximum(normal @ one, 0) for one in (light, [0, 0, 1]))
    ratio = new / old
    # Where light comes from is asked for, not how much of it there is.
    ratio *= share.sum() / (ratio * share).sum()
    ratio = 1 + share * (ratio - 1)
    return from_linear(to_linear(image) * ratio.reshape(height, width, *[1] * (image.ndim - 2)))
