"""Shape and appearance of faces: coordinates to images and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.names import as_names
from rsa_faces._core.result import BaseResult
from rsa_faces.analyses import _procrustes as procrustes
from rsa_faces.analyses._face_images import check_in_frame, matched, pixels
from rsa_faces.analyses.face_code._faces import Faces, extent
from rsa_faces.analyses.face_code._window import Eyes, sources

_PARTS = ("both", "shape", "appearance")


@dataclass(frozen=True, eq=False, repr=False)
class FaceSpace(BaseResult, figure="plot_components"):
    """Shape and appearance of faces; see :func:`face_space`, which makes one.

    Attributes
    ----------
    coordinates : DataFrame, shape (n_faces, n_shape + n_appearance)
        The faces it was made from: columns "shape 1", …, "appearance 1", …, in standard
        deviations of each component over these faces (ddof 1); their mean is 0.
    mean_shape : ndarray, shape (n_landmarks, 2)
        x, y in pixels.
    mean_image : ndarray, float32, shape (height, width, n_channels)
        Mean appearance, on the mean shape.
    shape_axes : ndarray, shape (n_shape, n_landmarks, 2)
        Change of landmarks per standard deviation, in pixels.
    appearance_axes : ndarray, float32, shape (n_appearance, height, width, n_channels)
        Change of pixels per standard deviation, 0 outside the region.
    components : DataFrame
        One row per component: ``component``, ``part``, ``sd`` (pixels of root summed squares over
        landmarks; grey values of root summed squares), ``explained`` (share of the part's
        variance), ``cumulative``.
    pose : DataFrame
        Per face what Procrustes took out: ``scale`` (of the face relative to the mean shape),
        ``angle`` (degrees that the face is turned, clockwise as seen), ``x``, ``y`` (place of its
        centre, pixels).
    triangles : ndarray of int, shape (n_triangles, 3)
        Mesh over landmarks (first) and border points.
    settings : dict
        Options, for provenance.

    See Also
    --------
    rsa_faces.analyses.face_space : Make a space of faces from landmarks and images.
    rsa_faces.figures.plot_faces : Draw made faces in rows.
    rsa_faces.figures.plot_components

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import face_space
    >>> rng = np.random.default_rng(0)
    >>> points = np.array([[10, 12], [22, 12], [16, 18], [11, 24], [21, 24]])
    >>> points = points + rng.normal(size=(8, 5, 2))
    >>> images = rng.integers(0, 256, size=(8, 32, 32), dtype=np.uint8)
    >>> names = [f"face {i}" for i in range(8)]
    >>> space = face_space(images, points, conditions=names, n_shape=3, n_appearance=4)
    >>> space.coordinates.shape, space.mean_shape.shape
    ((8, 7), (5, 2))
    """

    coordinates: pd.DataFrame
    mean_shape: np.ndarray
    mean_image: np.ndarray
    shape_axes: np.ndarray
    appearance_axes: np.ndarray
    components: pd.DataFrame
    pose: pd.DataFrame
    triangles: np.ndarray

    @property
    def table(self) -> pd.DataFrame:
        """The coordinates (a copy)."""
        return self.coordinates

    def __repr__(self) -> str:
        s, a = len(self.shape_axes), len(self.appearance_axes)
        return f"FaceSpace({len(self.coordinates)} faces, {s} shape + {a} appearance)"

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the faces it was made from."""
        return tuple(self.coordinates.index)

    def encode(self, images, landmarks, *, conditions: Sequence[str] | None = None) -> pd.DataFrame:
        """Return coordinates of other faces.

        Parameters
        ----------
        images, landmarks, conditions
            As for :func:`face_space`; images of the same size.

        Returns
        -------
        DataFrame
            Coordinates as in `coordinates`, one row per face. What the components do not span is
            lost. Whether they lie inside: :meth:`extent`.

        Raises
        ------
        InputError
            As :func:`face_space`.
        """
        from rsa_faces.stimuli import _warp

        names, load, points = matched(images, landmarks, conditions, "same")
        if points.shape[1:] != self.mean_shape.shape:
            raise InputError(
                f"expected {len(self.mean_shape)} landmarks per face, as the space has, got shape "
                f"{points.shape[1:]}."
            )
        height, width, _ = self.mean_image.shape
        border = _warp.border_points(height, width)
        mesh = np.vstack([self.mean_shape, border])
        kind, size = self.settings["align"], self.settings["size"]
        aligned = procrustes.align(points, self.mean_shape, kind, size)[0]
        sd = self.components["sd"].to_numpy()
        shift = (aligned - self.mean_shape).reshape(len(names), -1)
        n_shape = len(self.shape_axes)
        out = np.empty((len(names), len(sd)))
        # Axes are as long as a standard deviation: once for their length, once for the unit.
        out[:, :n_shape] = shift @ self.shape_axes.reshape(n_shape, -1).T / sd[:n_shape] ** 2
        axes = self.appearance_axes.reshape(len(sd) - n_shape, -1)
        for i, name in enumerate(names):
            image = pixels(load(name), name, self.mean_image.shape)
            check_in_frame(points[i], name, height, width)
            places = sources(points[i], mesh, self._eyes, name, image.shape)
            at_mean = _warp.warp(image, places, mesh, self.triangles)
            out[i, n_shape:] = axes @ (at_mean - self.mean_image).ravel() / sd[n_shape:] ** 2
        return pd.DataFrame(out, index=pd.Index(names, name="condition"), columns=self._columns)

    def reconstruct(self, faces: str | Sequence[str] | pd.DataFrame | np.ndarray) -> Faces:
        """Make images from coordinates.

        Parameters
        ----------
        faces : str, sequence of str, DataFrame or ndarray (n_faces, n_dimensions)
            Names of faces of the space, or coordinates (columns of a frame are matched by name).

        Returns
        -------
        Faces
            Upright, at the mean place and size: the pose is not put back.

        Raises
        ------
        InputError
            If a name is unknown, or coordinates have another shape or are not finite.
        """
        return self._made(self._frame(faces))

    def caricature(
        self,
        faces: str | Sequence[str],
        strength: float | Sequence[float] = 1.5,
        *,
        part: str = "both",
    ) -> Faces:
        """Exaggerate what sets faces apart from the mean face.

        Parameters
        ----------
        faces : str or sequence of str
            Names, or coordinates, as for :meth:`reconstruct`.
        strength : float or sequence of float, default 1.5
            0 is the mean face, 1 the face, above 1 a caricature, -1 the anti-face.
        part : {"both", "shape", "appearance"}, default "both"
            What is exaggerated; the rest stays as it is in the face.

        Returns
        -------
        Faces
            Every strength of the first face, then of the next.

        Raises
        ------
        InputError
            As :meth:`reconstruct`, or for strengths that are not finite.
        """
        check_choice(part, _PARTS, what="part")
        strengths = np.atleast_1d(np.asarray(strength, float))
        if not np.isfinite(strengths).all():
            raise InputError(f"expected finite strengths, got {strength!r}.")
        frame = self._frame(faces)
        chosen = self._in_part(part)
        factors = np.where(chosen, strengths[:, None], 1.0)
        values = (frame.to_numpy()[:, None] * factors).reshape(-1, len(chosen))
        names = [f"{name} x {s:g}" for name in frame.index for s in strengths]
        return self._made(self._named(values, names))

    def antiface(self, faces: str | Sequence[str]) -> Faces:
        """Make the face on the other side of the mean: a caricature of strength -1."""
        return self.caricature(faces, -1.0)

    def morph(
        self, first: str, second: str, shares: Sequence[float] = (0, 0.25, 0.5, 0.75, 1)
    ) -> Faces:
        """Mix two faces, both landmarks and appearance.

        Parameters
        ----------
        first, second : str
            Names, or one row of coordinates each, as for :meth:`reconstruct`.
        shares : sequence of float, default (0, 0.25, 0.5, 0.75, 1)
            Of the second face. Beyond 0 and 1 is allowed and an extrapolation.

        Returns
        -------
        Faces
            One per share.

        Raises
        ------
        InputError
            As :meth:`reconstruct`, if more than one face is given, or shares are not finite.
        """
        a, b = self._frame(first), self._frame(second)
        if len(a) != 1 or len(b) != 1:
            raise InputError(f"expected one face each, got {len(a)} and {len(b)}.")
        shares = np.atleast_1d(np.asarray(shares, float))
        if not np.isfinite(shares).all():
            raise InputError(f"expected finite shares, got {shares.tolist()!r}.")
        values = a.to_numpy() + shares[:, None] * (b.to_numpy() - a.to_numpy())
        names = [f"{a.index[0]} {1 - s:.0%} {b.index[0]} {s:.0%}" for s in shares]
        return self._made(self._named(values, names))

    def along(self, axis, values: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3), *, start=None):
        """Make faces along an axis.

        Parameters
        ----------
        axis : str, Series or ndarray, shape (n_dimensions,)
            A component ("shape 1") or a direction, such as a cell's; only its direction counts.
        values : sequence of float, default (-3, -2, -1, 0, 1, 2, 3)
            Steps in standard deviations, as of one component.
        start : str or DataFrame, optional
            The face at 0; by default the mean face.

        Returns
        -------
        Faces
            One per value.

        Raises
        ------
        InputError
            If the axis is unknown, has another length or is 0.
        """
        direction = self._direction(axis)
        origin = np.zeros(len(direction)) if start is None else self._frame(start).to_numpy()[0]
        steps = np.atleast_1d(np.asarray(values, float))
        label = axis if isinstance(axis, str) else getattr(axis, "name", None) or "axis"
        names = [f"{label} {step:+g} SD" for step in steps]
        return self._made(self._named(origin + steps[:, None] * direction, names))

    def sample(
        self, n_faces: int, *, spread: float = 1.0, inside: bool = False, seed: int = 0
    ) -> Faces:
        """Draw faces at random: every coordinate normal and independent.

        Parameters
        ----------
        n_faces : int
        spread : float, default 1.0
            Standard deviation, in those of the known faces.
        inside : bool, default False
            Pull faces that would be extrapolated towards the mean, until they lie on the border
            of the convex region of the known faces. In many dimensions that is nearly all of
            them: a mixture of known faces is less distinct than each of them. Where there are
            as many dimensions as known faces, only the mean face is left.
        seed : int, default 0

        Returns
        -------
        Faces
            ``table`` marks those inside the convex region and those that are extrapolated.

        Raises
        ------
        InputError
            If `n_faces` is not a whole number above 0.
        """
        check_count(n_faces, what="n_faces")
        values = as_rng(seed).normal(scale=spread, size=(n_faces, len(self._columns)))
        if inside:
            values /= np.maximum(extent(values, self.coordinates.to_numpy()), 1.0)[:, None]
        return self._made(self._named(values, [f"sample {i + 1}" for i in range(n_faces)]))

    def extent(self, coordinates: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return how far faces reach in the convex region of the known faces.

        Parameters
        ----------
        coordinates : DataFrame or ndarray, shape (n_faces, n_dimensions)

        Returns
        -------
        ndarray, shape (n_faces,)
            Smallest t such that coordinates / t is a mixture of known faces with weights of at
            least 0 and sum 1: 0 for the mean, 1 on the border, above 1 extrapolated, infinite
            in directions in which known faces do not differ. A linear programme, solved exactly.
        """
        return extent(self._frame(coordinates).to_numpy(), self.coordinates.to_numpy())

    @property
    def _eyes(self) -> Eyes | None:
        """Return the landmarks of the pupils where images are not warped."""
        return self.settings.get("eyes")

    @property
    def _columns(self) -> pd.Index:
        """Return names of dimensions."""
        return self.coordinates.columns

    def _in_part(self, part: str) -> np.ndarray:
        """Return which dimensions belong to a part."""
        return (self.components["part"] == part).to_numpy() | (part == "both")

    def _named(self, values: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
        """Return coordinates as a frame."""
        return pd.DataFrame(values, index=pd.Index(names, name="condition"), columns=self._columns)

    def _direction(self, axis) -> np.ndarray:
        """Return a direction of length 1."""
        if isinstance(axis, str):
            check_choice(axis, self._columns, what="component")
            return (self._columns == axis).astype(float)
        if isinstance(axis, pd.Series):
            axis = axis.reindex(self._columns)
        values = np.asarray(axis, float)
        length = np.linalg.norm(values)
        if values.shape != (len(self._columns),) or not np.isfinite(length) or length == 0:
            raise InputError(
                f"expected a direction of {len(self._columns)} finite numbers that are not all 0, "
                f"got shape {values.shape}."
            )
        return values / length

    def _frame(self, faces) -> pd.DataFrame:
        """Return coordinates by name, or those given, checked."""
        if isinstance(faces, str):
            faces = [faces]
        if isinstance(faces, pd.DataFrame):
            if set(faces.columns) != set(self._columns):
                raise ConditionMismatchError(
                    self._columns, faces.columns, left_name="the space", right_name="coordinates"
                )
            frame = faces[self._columns].set_axis(as_names(faces.index, what="face"))
        elif len(faces) and isinstance(faces[0], str):
            for name in faces:
                check_choice(name, self.conditions, what="face")
            return self.coordinates.loc[list(faces)]
        else:
            values = np.atleast_2d(np.asarray(faces, float))
            if values.ndim != 2 or values.shape[1] != len(self._columns):
                raise InputError(
                    f"expected coordinates of shape (n_faces, {len(self._columns)}), got "
                    f"{np.shape(faces)}."
                )
            frame = self._named(values, [f"face {i + 1}" for i in range(len(values))])
        if not np.isfinite(frame.to_numpy(float)).all():
            raise InputError("expected finite coordinates, but some are NaN or infinite.")
        return frame

    def _made(self, frame: pd.DataFrame) -> Faces:
        """Return faces at coordinates."""
        from rsa_faces.stimuli import _warp

        height, width, n_channels = self.mean_image.shape
        border = _warp.border_points(height, width)
        mesh = np.vstack([self.mean_shape, border])
        n_shape = len(self.shape_axes)
        values = frame.to_numpy(float)
        shapes = self.mean_shape + np.tensordot(values[:, :n_shape], self.shape_axes, axes=1)
        axes = self.appearance_axes.reshape(len(self.appearance_axes), -1)
        images = np.empty((len(frame), height, width, n_channels), np.uint8)
        folded, clipped = np.zeros(len(frame), int), np.zeros(len(frame))
        for i, shape in enumerate(shapes):
            at_mean = self.mean_image + (values[i, n_shape:].astype(np.float32) @ axes).reshape(
                self.mean_image.shape
            )
            target = np.vstack([shape, border]) if self._eyes is None else mesh
            made = _warp.warp(at_mean, mesh, target, self.triangles)
            folded[i] = (_warp.areas(target, self.triangles) < 0).sum()
            # Rounding of a saturated pixel is no loss.
            clipped[i] = ((made < -0.5) | (made > 255.5)).mean()
            images[i] = np.clip(np.rint(made), 0, 255)
        return Faces(images, shapes, frame, folded, clipped, self.coordinates.to_numpy())
