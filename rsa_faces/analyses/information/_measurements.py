"""Landmarks from files, and what is measured between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_unique_names
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import named
from rsa_faces.analyses._face_images import as_points
from rsa_faces.analyses.information._templates import DISTANCES, TEMPLATES, measured
from rsa_faces.io._foreign import existing, opened_npz


def read_landmarks(path: str | Path) -> dict[str, np.ndarray]:
    """Read landmarks from a NumPy archive with ``files`` and ``points``.

    Parameters
    ----------
    path : path-like
        ``.npz``: ``files``, names of images; ``points``, shape (n_images, n_landmarks, 2), x and
        y in pixels.

    Returns
    -------
    dict
        Name without folder and ending to points, as ids of :func:`rsa_faces.load_stimuli`.

    Raises
    ------
    InputError
        If the file cannot be read or holds something else.

    See Also
    --------
    measure_landmarks : Measure faces: distances between landmarks, and where the head points.
    face_space : Make a space of faces from landmarks and images.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from rsa_faces.analyses import read_landmarks
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "landmarks.npz"
    >>> np.savez(path, files=["faces/a.jpg", "faces/b.jpg"], points=np.zeros((2, 5, 2)))
    >>> {name: points.shape for name, points in read_landmarks(path).items()}
    {'a': (5, 2), 'b': (5, 2)}
    """
    wanted = "landmarks (.npz with 'files' and 'points')"
    with opened_npz(existing(path, wanted)) as archive:
        if lacking := [key for key in ("files", "points") if key not in archive.keys]:
            raise InputError(f"expected {wanted}, but {path} has no {lacking[0]!r}.")
        files, points = archive("files"), archive("points")
    names = check_unique_names([Path(str(name)).stem for name in files], what="image")
    return as_points(points, names)


def measure_landmarks(
    landmarks,
    *,
    conditions: Sequence[str] | None = None,
    template: str | Mapping[str, Sequence[int]] = "london-189",
    relative: bool = False,
) -> pd.DataFrame:
    """Measure faces: distances between landmarks, and where the head points.

    Parameters
    ----------
    landmarks : mapping of name to array-like (n_landmarks, 2), or array
        x, y in pixels; for an array give `conditions`.
    conditions : sequence of str, optional
        The name of each row of an array.
    template : {"london-189", "ibug-68"} or mapping of point to landmark numbers
        Which landmark is which: the 189 of the Face Research Lab London Set [1]_; the 68 of
        :func:`rsa_faces.networks.detect_landmarks`; or your own, with points named as in these
        (several numbers: their mean; what cannot be measured without a point is left out).
    relative : bool, default False
        Give distances in units of the pupil distance, so that the size of the image is out of
        them; the pupil distance itself is then left out.

    Returns
    -------
    DataFrame
        One row per face. In pixels (or pupil distances): ``pupil distance``, ``inner eye
        distance``, ``eye width``, ``eye opening``, ``brow height`` (brow to pupil), ``nose
        length`` (nasion to subnasale), ``nose width``, ``philtrum length``, ``mouth width``,
        ``lip height``, ``chin height`` (lip to chin), ``face width`` (cheeks at the height of the
        nose), ``jaw width`` (at the height of the mouth), ``face height`` (nasion to chin),
        ``forehead height`` (hairline to nasion; 189 points only). ``roll`` in degrees, clockwise
        as seen. ``yaw``: (l - r) / (l + r), l and r the distances from the tip of the nose to the
        face's left and right edge in the image, along the line of the pupils; above 0 turned to
        the right of the image. ``pitch``: height of the tip of the nose below the pupils, as a
        share of that of the mouth; larger when the head is bent forward. Yaw and pitch are
        measures without unit that also differ between faces that look straight ahead.

    Raises
    ------
    InputError
        If landmarks are not finite, do not fit the template, or nothing can be measured.

    See Also
    --------
    read_landmarks : Read landmarks from a NumPy archive with ``files`` and ``points``.
    landmark_readout : Read measurements of faces from each layer, cross-validated over people.

    References
    ----------
    .. [1] DeBruine L., Jones B. (2017). Face Research Lab London Set. figshare.
       doi:10.6084/m9.figshare.5047666

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses.information.landmarks import measure_landmarks
    >>> mine = {"pupil_left": [0], "pupil_right": [1], "nasion": [2], "subnasale": [3]}
    >>> points = {"ann": [[0, 0], [60, 0], [30, 0], [30, 45]]}
    >>> measure_landmarks(points, template=mine)
         pupil distance  nose length  roll
    ann            60.0         45.0   0.0
    """
    if isinstance(template, str):
        template = TEMPLATES[check_choice(template, TEMPLATES, what="template")]
    points = as_points(landmarks, conditions)
    values = np.stack(list(points.values()))
    highest = max((max(numbers) for numbers in template.values()), default=0)
    if highest >= values.shape[1]:
        raise InputError(
            f"expected at least {highest + 1} landmarks per face for this template, got "
            f"{values.shape[1]}. Choose another template."
        )
    measures = measured(values, template)
    if relative and "pupil distance" not in measures:
        raise InputError("expected pupils among the template's points for relative=True.")
    if not measures:
        raise InputError(
            f"expected points to measure between, got {sorted(template)!r}; the names are those "
            f"of the template 'london-189': {', '.join(TEMPLATES['london-189'])}."
        )
    unit = measures["pupil distance"] if relative else 1.0
    out = {name: v / unit if name in DISTANCES else v for name, v in measures.items()}
    # In units of itself it is 1 for every face.
    if relative:
        del out["pupil distance"]
    return pd.DataFrame(out, index=list(points))


def face_size(landmarks, *, conditions: Sequence[str] | None = None) -> pd.DataFrame:
    """Return how large a face is in its image, and where.

    Parameters
    ----------
    landmarks, conditions
        As for :func:`measure_landmarks`.

    Returns
    -------
    DataFrame
        ``size``, root of summed squared distances of landmarks from their centre, and ``x``,
        ``y`` of the centre, in pixels.

    Raises
    ------
    InputError
        If landmarks are not finite or differ in number.

    See Also
    --------
    landmark_readout : Read measurements of faces from each layer, cross-validated over people.

    Examples
    --------
    >>> from rsa_faces.analyses import face_size
    >>> square = [[10.0, 10.0], [30.0, 10.0], [10.0, 30.0], [30.0, 30.0]]
    >>> face_size([square], conditions=["a"]).round(2)
        size     x     y
    a  28.28  20.0  20.0
    """
    points = as_points(landmarks, conditions)
    values = np.stack(list(points.values()))
    center = values.mean(axis=1)
    size = np.linalg.norm(values - center[:, None], axis=(1, 2))
    return pd.DataFrame({"size": size, "x": center[:, 0], "y": center[:, 1]}, index=list(points))


def rows_of(frame, what: str) -> dict[str, tuple[float, ...]]:
    """Return a table's rows by condition, finite numbers."""
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise InputError(
            f"expected {what} as a DataFrame indexed by condition, got a {type(frame).__name__}."
        )
    names = check_unique_names(frame.index, what="condition")
    check_unique_names(frame.columns, what=f"{what} column")
    values, _ = named(frame.set_axis(list(names)), what=what, missing=True)
    values = values.astype(float)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        first = ", ".join(repr(names[i]) for i in np.flatnonzero(bad)[:5])
        raise InputError(
            f"expected finite {what}, but {bad.sum()} conditions have NaN or infinity: {first}. "
            "Leave them out and use match='intersection'."
        )
    return dict(zip(names, map(tuple, values), strict=True))
