"""Where the mean frame of a face space lies in an image: warped, or moved by the eyes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses.information._templates import TEMPLATES

Eyes = list[list[int]]  # numbers of landmarks: left and right in the image
#: The window around the eyes, in distances between the pupils: to both sides of the middle
#: between them, above it (with the brows) and below.
_SIDE, _ABOVE, _BELOW = 1.0, 0.6, 0.4


def eyes_of(template: str | Mapping[str, Sequence[int]], n_landmarks: int) -> Eyes:
    """Return which landmarks are the pupils."""
    if isinstance(template, str):
        template = TEMPLATES[check_choice(template, TEMPLATES, what="template")]
    missing = [name for name in ("pupil_left", "pupil_right") if not len(template.get(name, ()))]
    if missing:
        raise InputError(f"expected {' and '.join(missing)} in `template` for region='eyes'.")
    eyes = [[int(i) for i in template[name]] for name in ("pupil_left", "pupil_right")]
    if (highest := max(map(max, eyes))) >= n_landmarks:
        raise InputError(
            f"expected at least {highest + 1} landmarks per face for this template, got "
            f"{n_landmarks}. Choose another template."
        )
    return eyes


def window(mean: np.ndarray, eyes: Eyes, height: int, width: int) -> np.ndarray:
    """Return which pixels of the mean frame are in the window around the eyes, (height, width)."""
    left, right = _pupils(mean, eyes)
    y, x = np.mgrid[:height, :width]
    # In distances between the pupils, along their line and across it (down).
    place = (x + 1j * y - (left + right) / 2) / (right - left)
    return (np.abs(place.real) <= _SIDE) & (place.imag >= -_ABOVE) & (place.imag <= _BELOW)


def sources(points: np.ndarray, mesh: np.ndarray, eyes: Eyes | None, name: str, shape):
    """Return where the points of the mean frame's mesh (mean shape, border) are in an image.

    Without `eyes` the landmarks of the face and the same border; with `eyes` all moved, turned and
    scaled alike, so that the pupils lie on those of the mean shape: nothing is warped.
    """
    n = len(points)
    if eyes is None:
        return np.vstack([points, mesh[n:]])
    (left, right), (to_left, to_right) = _pupils(points, eyes), _pupils(mesh[:n], eyes)
    if left == right:
        raise InputError(f"expected two pupils apart from each other, but {name!r} has one place.")
    factor = (right - left) / (to_right - to_left)
    corners = np.array([-_SIDE - 1j * _ABOVE, _SIDE - 1j * _ABOVE, -_SIDE + 1j * _BELOW])
    corners = np.append(corners, _SIDE + 1j * _BELOW) * (right - left) + (left + right) / 2
    height, width = shape[:2]
    inside = (corners.real >= 0) & (corners.real <= width - 1)
    if not (inside & (corners.imag >= 0) & (corners.imag <= height - 1)).all():
        raise InputError(
            f"expected the window around the eyes within the image, {width} x {height} px, but of "
            f"{name!r} it is not: give images with more margin, or leave this face out."
        )
    moved = left + factor * (mesh[:, 0] + 1j * mesh[:, 1] - to_left)
    return np.stack([moved.real, moved.imag], axis=1)


def _pupils(points: np.ndarray, eyes: Eyes) -> list[complex]:
    """Return both pupils as complex numbers."""
    return [complex(*points[numbers].mean(axis=0)) for numbers in eyes]
