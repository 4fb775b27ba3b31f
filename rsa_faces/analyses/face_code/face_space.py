"""A space of faces: where their landmarks are, and how they look when these are made equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import keep_warnings
from rsa_faces.analyses import _procrustes as procrustes
from rsa_faces.analyses._components import components
from rsa_faces.analyses._face_images import check_in_frame, matched, pixels
from rsa_faces.analyses.face_code._face_space import FaceSpace
from rsa_faces.analyses.face_code._faces import Faces
from rsa_faces.analyses.face_code._window import eyes_of, sources, window

__all__ = ["FaceSpace", "Faces", "face_space"]


@keep_warnings
def face_space(
    images,
    landmarks,
    *,
    conditions: Sequence[str] | None = None,
    n_shape: int = 25,
    n_appearance: int = 25,
    align: str = "similarity",
    region: str = "frame",
    template: str | Mapping[str, Sequence[int]] = "london-189",
    match: str = "same",
    progress: bool = True,
) -> FaceSpace:
    """Make a space of faces from landmarks and images.

    Shape is where landmarks are after Procrustes alignment; appearance is the image after it is
    warped so that its landmarks lie on the mean shape [1]_. Principal components of each, in
    standard deviations, are the dimensions of the space [2]_.

    Parameters
    ----------
    images : StimulusSet, mapping of name to ndarray or path, or array
        uint8, grey or RGB, all of one size, shape (height, width[, 3]).
    landmarks : mapping of name to array-like (n_landmarks, 2), or array
        x, y in pixels, (0, 0) the centre of the upper left pixel; the same landmarks in the same
        order for each face, all within the image.
    conditions : sequence of str, optional
        The name of each row, for arrays. All else is matched by name.
    n_shape, n_appearance : int, default 25
        Numbers of components, at most the number of faces less one.
    align : {"similarity", "rigid", "translation"}, default "similarity"
        What Procrustes takes out of the landmarks: place, turn and size; place and turn; place.
        What it takes out is in ``pose``. Mirroring is never taken out.
    region : {"frame", "face", "eyes"}, default "frame"
        Which pixels vary: all, with hair and background, or those within the convex hull of the
        mean landmarks (elsewhere every face has the mean image). "eyes": those of a window around
        eyes and brows in images that are not warped, only moved, turned and scaled so that the
        pupils lie on those of the mean shape: appearance without morphing, which keeps the shape
        of the eyes. It reaches 1 pupil distance to both sides of the middle, 0.6 above it and 0.4
        below. Made faces then show the window in the mean image; shape moves landmarks only.
    template : {"london-189", "ibug-68"} or mapping of point to landmark numbers
        Which landmarks are ``pupil_left`` and ``pupil_right`` (in the image), for "eyes"; as for
        :func:`measure_landmarks`.
    match : {"same", "intersection"}, default "same"
        Whether images and landmarks must be of the same faces, or those in both are taken.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    FaceSpace

    Raises
    ------
    InputError
        If images differ in size or kind, landmarks are outside the image or not finite, there are
        too few faces for so many components, or names do not match.

    See Also
    --------
    axis_tuning : Find each cell's axis in a face space and test what an axis code predicts.
    decode_faces : Decode faces from responses of a population and pick them out among others.
    rsa_faces.figures.plot_faces : Draw made faces in rows.
    rsa_faces.figures.plot_components

    Notes
    -----
    Generalised Procrustes analysis: shapes are centred, scaled to the mean centroid size and
    turned (least squares) onto their mean until it settles; the mean stands as upright as the
    plain average of the landmarks. The mesh is the Delaunay triangulation of the mean shape and
    32 points around the frame that stay in place; within a triangle the warp is affine, between
    pixels the image is interpolated linearly. Made faces are warped back the same way. All
    appearances are held in memory at once: 4 bytes per value, 140 MB for 100 images of 340 x 340.

    References
    ----------
    .. [1] Cootes T. F., Edwards G. J., Taylor C. J. (2001). IEEE Trans. Pattern Anal. Mach.
       Intell. 23, 681-685. doi:10.1109/34.927467
    .. [2] Chang L., Tsao D. Y. (2017). Cell 169, 1013-1028. doi:10.1016/j.cell.2017.05.011

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses.face_code.face_space import face_space
    >>> rng = np.random.default_rng(0)
    >>> points = np.array([[10, 12], [22, 12], [16, 18], [11, 24], [21, 24]])
    >>> points = points + rng.normal(size=(8, 5, 2))
    >>> images = rng.integers(0, 256, size=(8, 32, 32), dtype=np.uint8)
    >>> names = [f"face {i}" for i in range(8)]
    >>> space = face_space(images, points, conditions=names, n_shape=3, n_appearance=4)
    >>> space
    FaceSpace(8 faces, 3 shape + 4 appearance)
    >>> space.caricature("face 0", [-1, 0, 1, 2]).table["extrapolated"].tolist()[1:]
    [False, False, True]
    """
    from rsa_faces.stimuli import _warp
    from rsa_faces.stimuli._hull import inside_hull

    check_choice(align, procrustes.KINDS, what="align")
    check_choice(region, ["frame", "face", "eyes"], what="region")
    names, load, points = matched(images, landmarks, conditions, match)
    eyes = eyes_of(template, points.shape[1]) if region == "eyes" else None
    for what, number in (("n_shape", n_shape), ("n_appearance", n_appearance)):
        check_count(number, what=what)
        if number >= len(names):
            raise InputError(
                f"expected {what} below the number of faces, {len(names)}, got {number}."
            )
    mean, size = procrustes.mean_shape(points, align)
    aligned, scale, angle = procrustes.align(points, mean, align, size)
    first = pixels(load(names[0]), names[0], None)
    height, width, _ = first.shape
    check_in_frame(mean, "the mean shape", height, width)
    border = _warp.border_points(height, width)
    mesh = np.vstack([mean, border])
    triangles = _warp.triangles_of(mesh)
    looks = np.empty((len(names), *first.shape), np.float32)
    with progress_bar("face space", len(names), show=progress) as tell:
        for i, name in enumerate(names):
            check_in_frame(points[i], name, height, width)
            image = pixels(load(name), name, first.shape)
            places = sources(points[i], mesh, eyes, name, image.shape)
            looks[i] = _warp.warp(image, places, mesh, triangles)
            tell(i + 1)
    mean_look = looks.mean(axis=0, dtype=np.float64).astype(np.float32)
    looks -= mean_look
    if region == "face":
        # After the mean, so that outside of the face nothing varies.
        looks *= inside_hull(mean, height, width)[..., None]
    elif eyes:
        looks *= window(mean, eyes, height, width)[..., None]
    shapes, shape_axes, *about_shape = components((aligned - mean).reshape(len(names), -1), n_shape)
    faces, axes, *about_look = components(looks.reshape(len(names), -1), n_appearance)
    about = pd.concat([_about("shape", *about_shape), _about("appearance", *about_look)])
    center = points.mean(axis=1)
    index = pd.Index(names, name="condition")
    return FaceSpace(
        pd.DataFrame(np.hstack([shapes, faces]), index=index, columns=list(about["component"])),
        mean,
        mean_look,
        shape_axes.reshape(n_shape, -1, 2),
        axes.reshape(-1, *first.shape),
        about.reset_index(drop=True),
        pd.DataFrame(
            {"scale": scale, "angle": angle, "x": center[:, 0], "y": center[:, 1]}, index=index
        ),
        triangles,
        settings={"align": align, "size": size, "region": region, "eyes": eyes, "match": match},
    )


def _about(part: str, sd: np.ndarray, explained: np.ndarray) -> pd.DataFrame:
    """Return the table of a part's components; those that do not vary are an error."""
    if sd.min() <= 1e-6 * sd.max():
        raise InputError(
            f"expected faces that differ in {len(sd)} components of {part}, but they do in "
            f"{(sd > 1e-6 * sd.max()).sum()} only: ask for fewer (n_{part})."
        )
    names = [f"{part} {i + 1}" for i in range(len(sd))]
    return pd.DataFrame(
        {
            "component": names,
            "part": part,
            "sd": sd,
            "explained": explained,
            "cumulative": np.cumsum(explained),
        }
    )
