"""Images without hair and surroundings, or without colour: what else a network may go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice, check_is
from rsa_faces._core.errors import InputError
from rsa_faces.stimuli._hull import check_points, inside_hull
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.degradations import from_linear, to_linear

__all__ = ["OUTLINES", "mask_faces"]

#: Landmarks around the face without hair, ears and neck, of two templates. Those of "ibug-68" end
#: at the brows: the forehead is hidden.
OUTLINES: Mapping[str, Sequence[int]] = {
    "london-189": (*range(109, 115), *range(125, 145)),
    "ibug-68": tuple(range(27)),
}
_GREY = 128
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear red, green and blue


def mask_faces(
    stimuli: StimulusSet,
    landmarks: Mapping[str, Any] | None = None,
    *,
    outline: str | Sequence[int] = "london-189",
    grey: bool = False,
) -> StimulusSet:
    """Hide all but the faces, or take out colour.

    Parameters
    ----------
    stimuli : StimulusSet
        Faces, RGB.
    landmarks : mapping of image to array-like (n_landmarks, 2), optional
        x, y in pixels of these images. All outside the convex hull of the outline becomes grey
        (128): hair, ears, neck, background; hair over the forehead stays. Without landmarks nothing
        is hidden.
    outline : {"london-189", "ibug-68"} or sequence of int
        The landmarks around the face; see :data:`OUTLINES`.
    grey : bool, default False
        Give each pixel the grey of the same luminance.

    Returns
    -------
    StimulusSet
        With the same names, sizes and metadata.

    Raises
    ------
    InputError
        If images lack landmarks, these are not finite or too few for the outline, or nothing is
        asked for.

    See Also
    --------
    rsa_faces.analyses.trait_readout : Predict mean ratings of faces from features, as they are
        and masked.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.stimuli import StimulusSet, mask_faces
    >>> image = np.full((40, 40, 3), (200, 90, 30), np.uint8)
    >>> faces = StimulusSet.from_arrays([image], ["a"])
    >>> square = [[10, 10], [30, 10], [30, 30], [10, 30]]
    >>> masked = mask_faces(faces, {"a": square}, outline=[0, 1, 2, 3], grey=True)
    >>> masked.image("a")[[0, 20], [0, 20]].tolist()
    [[128, 128, 128], [123, 123, 123]]
    """
    check_is(stimuli, StimulusSet, what="stimuli")
    if landmarks is None and not grey:
        raise InputError("expected landmarks, or grey=True: otherwise images stay as they are.")
    if isinstance(outline, str):
        outline = OUTLINES[check_choice(outline, OUTLINES, what="outline")]
    out = []
    for name in stimuli.ids:
        image = stimuli.image(name)
        if grey:
            light = to_linear(image) @ np.array(_LUMINANCE, np.float64)
            image = from_linear(np.repeat(light[..., None], 3, axis=2))
        if landmarks is not None:
            corners = _corners(landmarks, name, outline)
            image = np.where(inside_hull(corners, *image.shape[:2])[..., None], image, _GREY)
        out.append(image.astype(np.uint8))
    return StimulusSet.from_arrays(out, stimuli.ids, stimuli.metadata, stimuli.cropped)


def _corners(landmarks: Mapping[str, Any], name: str, outline: Sequence[int]) -> np.ndarray:
    """Return the outline of one face."""
    if name not in landmarks:
        raise InputError(f"expected landmarks of every image, but {name!r} has none.")
    points = np.asarray(landmarks[name], float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) <= max(outline):
        raise InputError(
            f"expected landmarks of shape (n_landmarks, 2), at least {max(outline) + 1}, but those "
            f"of {name!r} have {points.shape}. Choose another `outline`."
        )
    check_points(points[None], [name])
    return points[list(outline)]
