"""Photographs of faces turned in space: other views for training and for tests."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.stimuli import _warp
from rsa_faces.stimuli._stimulus_set import StimulusSet

_HEAD = Path(__file__).parent / "models" / "mean_head.npz"
_CELLS = 64  # of the mesh, along each side of the image
_BEYOND = 0.6  # how far the mesh reaches beyond the image, in widths
_MOST = 60.0  # degrees


def turn_faces(
    stimuli: StimulusSet, landmarks: np.ndarray, yaw: float, *, pitch: float = 0.0
) -> StimulusSet:
    """Turn faces in space by a known angle.

    Parameters
    ----------
    stimuli : StimulusSet
        Crops that show one upright face each, seen about from the front.
    landmarks : ndarray, shape (n_stimuli, 68, 2)
        From :func:`rsa_faces.networks.detect_landmarks`, in the set's order.
    yaw : float, in degrees, at most 60
        Added to the head's own: positive to the image's right.
    pitch : float, in degrees, at most 60, default 0
        Positive up.

    Returns
    -------
    StimulusSet
        The same ids and sizes, metadata with ``turned_yaw`` and ``turned_pitch``.

    Raises
    ------
    InputError
        If landmarks do not fit the set or an angle is out of range.

    Notes
    -----
    The depth of an average head (simulated, the same for everyone) is laid over the image so that
    its landmarks meet those of the face (affine, least squares), and the image, as a sheet of this
    depth, is turned and drawn again, near parts over far ones (parallel projection). The face
    stays in its place.

    Up to about 30 degrees this is what a camera at the side would nearly see. Beyond, what was
    hidden has to be made up by stretching what was next to it (the far cheek and the ear), and
    individual noses are too flat or too long: look at the pictures. Light does not move.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.networks import detect_landmarks
    >>> from rsa_faces.stimuli.turning import turn_faces
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'sad'")
    >>> faces = faces.subset(faces.ids[:2])
    >>> crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
    >>> turned = turn_faces(crops, detect_landmarks(crops), 25)
    >>> turned.image(turned.ids[0]).shape
    (256, 256, 3)
    """
    points = _checked(stimuli, landmarks)
    _check_angles(yaw, pitch)
    images = [
        turned(stimuli.image(name), one, yaw, pitch)
        for name, one in zip(stimuli.ids, points, strict=True)
    ]
    table = stimuli.metadata.assign(turned_yaw=float(yaw), turned_pitch=float(pitch))
    return StimulusSet.from_arrays(images, stimuli.ids, table)


def random_turns(
    stimuli: StimulusSet,
    landmarks: np.ndarray,
    n_turns: int = 4,
    *,
    max_yaw: float = 30.0,
    max_pitch: float = 12.0,
    seed: int = 0,
) -> StimulusSet:
    """Turn each face a few times at random: augmentation for the training of networks.

    Parameters
    ----------
    stimuli, landmarks
        As for :func:`turn_faces`.
    n_turns : int, default 4
        Pictures per face.
    max_yaw, max_pitch : float, in degrees, default 30 and 12
        Angles are uniform between plus and minus these.
    seed : int, default 0

    Returns
    -------
    StimulusSet
        Ids such as "ann turn 1"; metadata of the face it was made from, with ``turned_yaw`` and
        ``turned_pitch``.

    Raises
    ------
    InputError
        As :func:`turn_faces`.
    """
    import pandas as pd

    points = _checked(stimuli, landmarks)
    check_count(n_turns, what="n_turns")
    _check_angles(max_yaw, max_pitch)
    rng = as_rng(seed)
    images, ids, rows = [], [], []
    for name, one in zip(stimuli.ids, points, strict=True):
        image = stimuli.image(name)
        for k in range(n_turns):
            yaw, pitch = rng.uniform(-1, 1, 2) * (max_yaw, max_pitch)
            images.append(turned(image, one, yaw, pitch))
            ids.append(f"{name} turn {k + 1}")
            rows.append(
                stimuli.metadata.loc[name].to_dict() | {"turned_yaw": yaw, "turned_pitch": pitch}
            )
    return StimulusSet.from_arrays(images, ids, pd.DataFrame(rows))


def turned(image: np.ndarray, points: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Return an image of a face turned by yaw and pitch (degrees), given its 68 landmarks."""
    height, width = image.shape[:2]
    flat = image.reshape(height, width, -1)
    known, depth, reach = _mean_head()
    # From the average head to the image: A and t of x' = A x + t.
    design = np.column_stack([known, np.ones(len(known))])
    fitted = np.linalg.lstsq(design, points, rcond=None)[0]
    to_image, shift = fitted[:2].T, fitted[2]
    unit = np.sqrt(abs(np.linalg.det(to_image)))
    span = np.linspace(-_BEYOND, 1 + _BEYOND, round(_CELLS * (1 + 2 * _BEYOND)) + 1)
    x, y = (g.ravel() for g in np.meshgrid(span * (width - 1), span * (height - 1)))
    flat_mesh = np.stack([x, y], axis=1)
    at = (flat_mesh - shift) @ np.linalg.inv(to_image).T
    z = unit * _depth_at(at, depth, reach)
    of_points = unit * _depth_at(known, depth, reach)
    moved = _rotated(flat_mesh, z, yaw, pitch)
    # The middle of the face stays where it is.
    middle = _rotated(points, of_points, yaw, pitch)[:, :2].mean(axis=0) - points.mean(axis=0)
    target = moved[:, :2] - middle
    corners = _grid(len(span))
    order = np.argsort(moved[corners, 2].mean(axis=1), kind="stable")  # near ones last: on top
    corners = corners[order]
    corners = corners[_warp.areas(target, corners) > 0]  # those that face the camera
    places = _warp.source_map(target, flat_mesh, corners, height, width)
    drawn = _warp.sample(flat.astype(np.float32), np.nan_to_num(places))
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8).reshape(image.shape)


def _rotated(points: np.ndarray, depth: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Return points turned about the origin, (n, 3); x right, y down, depth to the camera."""
    a, b = np.radians(yaw), np.radians(pitch)
    x, y, z = points[:, 0], points[:, 1], depth
    x, z = np.cos(a) * x + np.sin(a) * z, -np.sin(a) * x + np.cos(a) * z
    y, z = np.cos(b) * y - np.sin(b) * z, np.sin(b) * y + np.cos(b) * z
    return np.stack([x, y, z], axis=1)


def _depth_at(points: np.ndarray, depth: np.ndarray, reach: float) -> np.ndarray:
    """Return the average head's depth at points in its own units, bilinear."""
    place = (np.asarray(points) + reach) / (2 * reach) * (len(depth) - 1)
    return _warp.sample(depth[..., None], place[None])[0, :, 0].astype(float)


@functools.cache
def _mean_head() -> tuple[np.ndarray, np.ndarray, float]:
    """Return landmarks (68, 2) and depth of the average head, and how far its map reaches."""
    with np.load(_HEAD) as file:
        depth = file["depth"].astype(np.float32)
        return file["landmarks"].astype(float), depth, float(file["reach"])


def _grid(n: int) -> np.ndarray:
    """Return the triangles of a grid of n by n points, row by row, ordered for positive areas."""
    first = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    upper = np.stack([first, first + 1, first + n], axis=1)
    lower = np.stack([first + 1, first + n + 1, first + n], axis=1)
    return np.concatenate([upper, lower])


def _checked(stimuli: StimulusSet, landmarks: Sequence) -> np.ndarray:
    """Return landmarks as an array that fits the set."""
    points = np.asarray(landmarks, float)
    if points.shape != (len(stimuli), 68, 2) or not np.isfinite(points).all():
        raise InputError(
            f"expected finite landmarks of shape ({len(stimuli)}, 68, 2), from detect_landmarks, "
            f"got {points.shape}."
        )
    return points


def _check_angles(yaw: float, pitch: float) -> None:
    """Refuse angles at which a picture from the front tells nothing."""
    if not (abs(yaw) <= _MOST and abs(pitch) <= _MOST):
        raise InputError(f"expected angles of at most {_MOST:g} degrees, got {yaw} and {pitch}.")
