"""Photographs of faces turned in space: other views for training and for tests."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn
from rsa_faces.stimuli import _warp
from rsa_faces.stimuli._hull import check_points
from rsa_faces.stimuli._stimulus_set import StimulusSet

_HEAD = Path(__file__).parent / "models" / "mean_head.npz"
_CELLS = 64  # of the mesh, along each side of the image
_BEYOND = 0.6  # how far the mesh reaches beyond the image, in widths
_MOST, _SEEN = 60.0, 30.0  # degrees: the largest turn, and up to where little is made up
# In distances of the pupils of the average head:
_BACK = 0.4  # depth of all that is not face: ears, neck and hair do not lie behind a cliff
_AROUND, _LOOSE = 0.5, 0.05  # how far a landmark pulls at the sheet, and how loosely
_MIDDLE, _HALF = np.array([0.0, 0.15]), np.array([1.3, 1.75])  # of an ellipse around the head
_HEAD_ENDS, _STILL = 1.1, 1.6  # times the ellipse: turned within, still beyond


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
        The same ids and sizes, metadata with ``turned_yaw``, ``turned_pitch`` and ``stretched``:
        the share (0 to 1) of the turned head's area that shows the photograph stretched to over
        twice its area, which is made up rather than seen.

    Raises
    ------
    InputError
        If landmarks do not fit the set or an angle is out of range.

    Warns
    -----
    UserWarning
        Beyond 30 degrees, with the mean share of what was stretched.

    Notes
    -----
    The depth of an average head (simulated, the same for everyone) is laid over the image so that
    its landmarks meet those of the face (affine, then loosely around each landmark), and the
    image, as a sheet of this depth, is turned and drawn again, near parts over far ones (parallel
    projection). The middle of the face stays in its place. What lies away from the head
    (shoulders, background) does not turn; between, the turn fades. Ears, neck and hair are taken
    to lie in one plane, 0.4 pupil distances in front of the average head's edge: that keeps them
    whole, and makes turned heads flat.

    Measured on 16 rendered faces, in pupil distances: from a picture turned by 15, 30, 45 and 60
    degrees to the same head rendered from there, landmarks are 0.08, 0.09, 0.12 and 0.18 apart on
    average (0.12, 0.18, 0.25 and 0.34 if it is not turned), most of it at the outline. Up to
    about 30 degrees this is what a camera at the side would nearly see. Beyond, the side and the
    back of the head, of which the photograph shows nothing, are missing or drawn out of the
    cheek; where a jaw is narrow, background slips in behind it; loose hair blows; noses have the
    average's length. From 45 degrees on anyone sees that: train networks with such pictures, but
    do not show them to people, or measure with them, as faces from the side. Light does not move.

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
    made = [
        _turned(stimuli.image(name), one, yaw, pitch, repr(name))
        for name, one in zip(stimuli.ids, points, strict=True)
    ]
    images, stretched = zip(*made, strict=True)
    table = stimuli.metadata.assign(
        turned_yaw=float(yaw), turned_pitch=float(pitch), stretched=stretched
    )
    _tell(table)
    return StimulusSet.from_arrays(list(images), stimuli.ids, table)


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
        Ids such as "ann turn 1"; metadata of the face it was made from, with ``turned_yaw``,
        ``turned_pitch`` and ``stretched``.

    Raises
    ------
    InputError
        As :func:`turn_faces`.

    Warns
    -----
    UserWarning
        As :func:`turn_faces`.
    """
    points = _checked(stimuli, landmarks)
    check_count(n_turns, what="n_turns")
    _check_angles(max_yaw, max_pitch)
    rng = as_rng(seed)
    images, ids, rows = [], [], []
    for name, one in zip(stimuli.ids, points, strict=True):
        image = stimuli.image(name)
        for k in range(n_turns):
            yaw, pitch = rng.uniform(-1, 1, 2) * (max_yaw, max_pitch)
            made, stretched = _turned(image, one, yaw, pitch, repr(name))
            images.append(made)
            ids.append(f"{name} turn {k + 1}")
            own = {"turned_yaw": yaw, "turned_pitch": pitch, "stretched": stretched}
            rows.append(stimuli.metadata.loc[name].to_dict() | own)
    table = pd.DataFrame(rows)
    _tell(table)
    return StimulusSet.from_arrays(images, ids, table)


def turned(
    image: np.ndarray, points: np.ndarray, yaw: float, pitch: float, name: str = "the face"
) -> np.ndarray:
    """Return an image of a face turned by yaw and pitch (degrees), given its 68 landmarks."""
    return _turned(image, points, yaw, pitch, name)[0]


def _turned(image, points, yaw: float, pitch: float, name: str) -> tuple[np.ndarray, float]:
    """Return the turned image, and the share of the head's area that was stretched over twice."""
    height, width = image.shape[:2]
    flat = image.reshape(height, width, -1).astype(np.float32)
    span = np.linspace(-_BEYOND, 1 + _BEYOND, round(_CELLS * (1 + 2 * _BEYOND)) + 1)
    x, y = (g.ravel() for g in np.meshgrid(span * (width - 1), span * (height - 1)))
    mesh = np.stack([x, y], axis=1)
    z, of_points, share = _sheet(mesh, points)
    moved = _rotated(mesh, z, yaw, pitch)
    # The middle of the face stays where it is, and so does what is away from the head.
    middle = _rotated(points, of_points, yaw, pitch)[:, :2].mean(axis=0) - points.mean(axis=0)
    target = mesh + share[:, None] * (moved[:, :2] - middle - mesh)
    corners = _grid(len(span))
    near = (share * moved[:, 2])[corners].mean(axis=1)
    corners = corners[np.argsort(near, kind="stable")]  # near ones last: on top
    size = _warp.areas(target, corners)
    corners, size = corners[size > 0], size[size > 0]  # those that face the camera
    head = share[corners].min(axis=1) == 1
    if not head.any():
        raise InputError(
            f"expected landmarks of {name} inside the image, but the head that fits them lies "
            f"outside of its {width} x {height} pixels."
        )
    wide = head & (size > 2 * _warp.areas(mesh, corners))
    places = _warp.source_map(target, mesh, corners, height, width)
    drawn = _warp.sample(flat, np.nan_to_num(places))
    drawn = np.clip(np.rint(drawn), 0, 255).astype(np.uint8).reshape(image.shape)
    return drawn, float(size[wide].sum() / size[head].sum())


def _sheet(mesh: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return depth (pixels) of the mesh and of the landmarks; how far each mesh point is head."""
    known, depth, reach = _mean_head()
    # From the average head to the image: A and t of x' = A x + t.
    design = np.column_stack([known, np.ones(len(known))])
    fitted = np.linalg.lstsq(design, points, rcond=None)[0]
    to_image, shift = fitted[:2].T, fitted[2]
    back = np.linalg.inv(to_image).T
    own = (points - shift) @ back

    def near(places: np.ndarray) -> np.ndarray:
        squares = ((places[:, None] - own) ** 2).sum(axis=2)
        return np.exp(-squares / (2 * _AROUND**2))

    # What is left after the affine fit is taken up around each landmark, so that the edge of the
    # depth is the edge of this face and not of the average one.
    pull = np.linalg.solve(near(own) + _LOOSE * np.eye(len(own)), known - own)
    flat = (mesh - shift) @ back
    at = [places + near(places) @ pull for places in (flat, own)]
    unit = np.sqrt(abs(np.linalg.det(to_image)))
    z, of_points = (unit * np.maximum(_depth_at(one, depth, reach), _BACK) for one in at)
    out = np.sqrt((((flat - _MIDDLE) / _HALF) ** 2).sum(axis=1))
    t = np.clip((_STILL - out) / (_STILL - _HEAD_ENDS), 0, 1)
    return z, of_points, t * t * (3 - 2 * t)


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
    if points.shape != (len(stimuli), 68, 2):
        raise InputError(
            f"expected landmarks of shape ({len(stimuli)}, 68, 2), from detect_landmarks, got "
            f"{points.shape}."
        )
    check_points(points, stimuli.ids)
    return points


def _tell(table: pd.DataFrame) -> None:
    """Warn of turns at which much is made up."""
    far = table.loc[table[["turned_yaw", "turned_pitch"]].abs().max(axis=1) > _SEEN, "stretched"]
    if len(far):
        warn(
            f"{len(far)} of {len(table)} faces are turned by more than {_SEEN:g} degrees: there, "
            f"{far.mean():.0%} of the head is the photograph stretched to over twice its area "
            "(metadata column 'stretched'), which is made up, not seen."
        )


def _check_angles(yaw: float, pitch: float) -> None:
    """Refuse angles at which a picture from the front tells nothing."""
    if not (abs(yaw) <= _MOST and abs(pitch) <= _MOST):
        raise InputError(f"expected angles of at most {_MOST:g} degrees, got {yaw} and {pitch}.")
