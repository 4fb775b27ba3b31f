"""Crops of faces, each in the pose and the size that a network was trained to see."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError, some
from rsa_faces.stimuli.alignment import MAX_MARGIN, POINTS_68, TEMPLATE_68, warp
from rsa_faces.stimuli.faces import MEASURES, FaceTable, box_transform, detect_faces
from rsa_faces.stimuli.images import check_side

if TYPE_CHECKING:
    from rsa_faces.stimuli._stimulus_set import StimulusSet

_log = logging.getLogger(__name__)

#: The five points in the 112 px crop of ArcFace, insightface and OpenCV's SFace; (0, 0) is the
#: centre of the upper left pixel.
ARCFACE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
#: The five points of dlib's mean face, as fractions of the unpadded chip: means of each eye's six
#: landmarks, tip of the nose, corners of the mouth.
DLIB = np.array(
    [
        TEMPLATE_68[np.isin(POINTS_68, these)].mean(axis=0)
        for these in (range(36, 42), range(42, 48), [30], [48], [54])
    ]
)
DLIB_PADDING = 0.25

#: Template: size of its crop where none is asked for.
TEMPLATES = {"arcface": 112, "dlib": 150, "box": 256}

# Share of an image's shorter side between the eyes from which it counts as cut out already. Crops
# of the three templates have .26 to .36, portraits with hair and shoulders .1 to .21.
_CUT_OUT = 0.235
# Images looked at before it is decided whether it is worth while to look at the next.
_AT_ONCE = 8


def find_to_cut(
    stimuli: StimulusSet, *, known: FaceTable | None = None
) -> tuple[FaceTable | None, str]:
    """Find the faces of images if they can be cut out: the rule of ``crop_faces: auto``.

    Parameters
    ----------
    stimuli : StimulusSet
    known : FaceTable, optional
        Of these images, if their faces were found before.

    Returns
    -------
    faces : FaceTable or None
        None where some image shows no face: the search ends with the first such.
    reason : str
        Why the images are better left whole; "" where faces can be cut out: every image has one,
        and is not a cut-out face already.
    """
    if stimuli.cropped:
        return known, "they are marked as cut-out faces"
    if known is None:
        # Most sets that are no portraits show it in their first images.
        tables = []
        for start in range(0, len(stimuli), _AT_ONCE):
            part = stimuli.subset(stimuli.ids[start : start + _AT_ONCE])
            tables.append(detect_faces(part, progress=False))
            if tables[-1].missing:
                return None, f"{tables[-1].missing[0]!r} shows no face that could be cut out"
        known = FaceTable.concat(tables)
    if known.missing:
        return known, f"{known.missing[0]!r} shows no face that could be cut out"
    sides = np.array([min(stimuli.image(name).shape[:2]) for name in stimuli.ids])
    distance = known.table.loc[list(stimuli.ids), "eye_distance"].to_numpy(float)
    # The median: one odd detection among many images must not decide for all.
    share = np.median(distance / sides)
    if share >= _CUT_OUT:
        return known, f"they are cut-out faces already (eyes {share:.2f} of the side apart)"
    return known, ""


def crop_faces(
    stimuli: StimulusSet,
    faces: FaceTable,
    *,
    template: str = "arcface",
    size: int | None = None,
    margin: float | None = None,
    missing: str = "refuse",
) -> StimulusSet:
    """Cut every face out as a network was trained to see it.

    Parameters
    ----------
    stimuli : StimulusSet
        The images in which `faces` were found, or some of them.
    faces : FaceTable
        From :func:`detect_faces`; matched by id.
    template : {"arcface", "dlib", "box"}, default "arcface"
        "arcface": eyes, nose and mouth brought to the five points of ArcFace, insightface and
        OpenCV's SFace (network "sface"). "dlib": to dlib's face chip with a margin of 0.25
        (network "dlib-face"). "box": the box made square and wider by `margin`, not turned
        (FaceNet, VGGFace2, networks of expressions). ``network.spec.crop_options`` has template and
        margin of a network.
    size : int, optional
        Height and width of the crops in pixels. Default: 112 for "arcface", 150 for "dlib", 256
        for "box".
    margin : float, optional
        For "box": how much longer the square's side is than the box's longer side, default 0.3,
        which is what the VGGFace2 networks were trained on; for the others how much more is shown
        around the template's middle, default 0. Above -0.5; below 0 less is shown.
    missing : {"refuse", "leave-out"}, default "refuse"
        What happens to stimuli without a face: an error, or they are left out of the result and
        named in the log.

    Returns
    -------
    StimulusSet
        The crops, with the same ids and metadata. Black where the image ends.

    Raises
    ------
    InputError
        If `faces` has no row for a stimulus or was made from other images; if stimuli have no
        face (up to five are named), or none has; if an option is not valid.

    See Also
    --------
    detect_faces : Find the face in each photograph, with five points and measures of quality.
    crop_landmarks : Bring landmarks of the images to the pixels of the crops.
    align_faces : Cut every face out in the same place and size, eyes level.

    Notes
    -----
    The similarity transform (rotation, one scale, shift, no mirroring) has least squared
    distances from the five points, in the crop's pixels for "arcface" (as insightface and
    OpenCV) and in the image's for "dlib" (as dlib). dlib's own points are other ones: over the
    neutral London faces its chips from eye corners and nose are 3 % larger (standard deviation
    4 %), with the same centre within 2 px of 150.

    References
    ----------
    .. [1] Deng J., Guo J., Xue N., Zafeiriou S. (2019), ArcFace, CVPR, doi:10.1109/CVPR.2019.00482
    .. [2] King D. E. (2009), Dlib-ml: a machine learning toolkit, J Mach Learn Res 10:1755.
    .. [3] Cao Q. et al. (2018), VGGFace2, FG, doi:10.1109/FG.2018.00020

    Examples
    --------
    >>> from rsa_faces.datasets import images92
    >>> from rsa_faces.stimuli import crop_faces, detect_faces
    >>> photographs = images92().stimuli.subset(["image_13", "image_14"])
    >>> crops = crop_faces(photographs, detect_faces(photographs))
    >>> crops.image("image_13").shape
    (112, 112, 3)
    """
    check_arguments(crop_faces, locals())
    check_choice(template, TEMPLATES, what="template")
    size = check_side(TEMPLATES[template] if size is None else size)
    margin = check_margin(margin, template)
    check_choice(missing, ("refuse", "leave-out"), what="rule for stimuli without a face")
    rows = _matched(stimuli, faces)
    without = [name for name in stimuli.ids if not rows.at[name, "found"]]
    if without and missing == "refuse":
        raise InputError(
            f"expected a face in each image, but none was found in {len(without)} of "
            f"{len(stimuli)}: {some(without)}. See `faces.table`; give missing='leave-out' to go "
            "on without them, or detect with a lower min_score (`rsa-faces faces --crops FOLDER` "
            "with --leave-out or --min-score makes a folder of crops to go on with)."
        )
    if len(without) == len(stimuli):
        raise InputError(f"expected a face in at least one of {len(stimuli)} images, found none.")
    if without:
        _log.warning(
            "left out, because no face was found, are %d of %d images: %s",
            len(without),
            len(stimuli),
            some(without),
        )
    kept = stimuli.subset([name for name in stimuli.ids if rows.at[name, "found"]])
    crops = []
    for name in kept.ids:
        transform = cut_of(rows.loc[name], name, template, size, margin)
        crops.append(warp(kept.image(name), transform, size))
    return type(stimuli).from_arrays(crops, kept.ids, kept.metadata, cropped=True)


def crop_landmarks(
    landmarks: Mapping[str, np.ndarray],
    faces: FaceTable,
    *,
    template: str = "arcface",
    size: int | None = None,
    margin: float | None = None,
) -> dict[str, np.ndarray]:
    """Bring landmarks of images to the pixels of their crops.

    Parameters
    ----------
    landmarks : mapping of id to ndarray, shape (n_points, 2)
        x and y in pixels of the images in which `faces` were found.
    faces : FaceTable
        From :func:`detect_faces`; matched by id.
    template, size, margin
        As for :func:`crop_faces`.

    Returns
    -------
    dict of id to ndarray, shape (n_points, 2)
        x and y in pixels of what :func:`crop_faces` cuts out; outside of it where a crop ends
        before.

    Raises
    ------
    InputError
        If `faces` has no row for an image, or found no face in it; if an option is not valid.

    See Also
    --------
    crop_faces : Cut every face out as a network was trained to see it.
    rsa_faces.analyses.occlusion_map : Takes landmarks in pixels of the images as shown.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.datasets import images92
    >>> from rsa_faces.stimuli import crop_landmarks, detect_faces
    >>> faces = detect_faces(images92().stimuli.subset(["image_13"]))
    >>> eyes = faces.table.loc["image_13", ["right_eye_x", "right_eye_y"]].to_numpy(float)
    >>> crop_landmarks({"image_13": eyes[None]}, faces)["image_13"].round()
    array([[74., 51.]])
    """
    check_arguments(crop_landmarks, locals())
    check_choice(template, TEMPLATES, what="template")
    size = check_side(TEMPLATES[template] if size is None else size)
    margin = check_margin(margin, template)
    table = faces.table
    if absent := [n for n in landmarks if n not in table.index or not table.at[n, "found"]]:
        raise InputError(
            f"expected a face in each image with landmarks, but {len(absent)} of {len(landmarks)} "
            f"have none: {some(absent)}."
        )
    found = {}
    for name, points in landmarks.items():
        transform = cut_of(table.loc[name], name, template, size, margin)
        found[name] = np.asarray(points, float) @ transform[:, :2].T + transform[:, 2]
    return found


def check_margin(margin: float | None, template: str) -> float:
    """Return the margin of a crop, the template's where none is given."""
    if margin is None:
        return 0.3 if template == "box" else 0.0
    if isinstance(margin, bool) or not -0.5 < margin <= MAX_MARGIN:
        raise InputError(f"expected margin above -0.5 and up to {MAX_MARGIN:g}, got {margin!r}.")
    return float(margin)


def cut_of(row: pd.Series, name: str, template: str, size: int, margin: float) -> np.ndarray:
    """Return the transform from an image, by the row of its face, to the crop."""
    face = row[["score", *MEASURES[:14]]].to_numpy(float)
    if not np.isfinite(face).all():
        raise InputError(f"expected a box and five points of {name!r}, but some are NaN.")
    if template == "box":
        return box_transform(face, margin, size)
    points = face[5:].reshape(5, 2)
    if not np.ptp(points, axis=0).any():
        raise InputError(f"face of {name!r}: the points fit a face at no size above 0.")
    transform = _points_transform(points, template, size)
    if margin:
        middle = np.array([0, 0, (size - 1) / 2])
        transform = (transform - middle) / (1 + margin) + middle
    return transform


def _matched(stimuli: StimulusSet, faces: FaceTable) -> pd.DataFrame:
    """Return the table's rows of the stimuli, once they are known to be of these images."""
    absent = [name for name in stimuli.ids if name not in faces.table.index]
    if absent:
        raise InputError(
            f"expected a row of `faces` for each of {len(stimuli)} stimuli, but {len(absent)} "
            f"have none: {some(absent)}. Detect faces in these stimuli."
        )
    rows = faces.table.loc[list(stimuli.ids)]
    other = [
        name
        for name, here, there in zip(stimuli.ids, stimuli.sha256, rows["sha256"], strict=True)
        if here != there
    ]
    if other:
        raise InputError(
            f"expected the images in which `faces` were found, but {len(other)} of "
            f"{len(stimuli)} are others: {some(other)}. Detect faces in these stimuli."
        )
    return rows


def _points_transform(points: np.ndarray, template: str, size: int) -> np.ndarray:
    """Return the similarity transform from five points of an image to a template."""
    if template == "arcface":
        return _similarity(points, (ARCFACE + 0.5) * (size / 112) - 0.5)
    target = (DLIB + DLIB_PADDING) / (1 + 2 * DLIB_PADDING) * size - 0.5
    back = np.vstack([_similarity(target, points), [0, 0, 1]])
    return np.linalg.inv(back)[:2]


def _similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the similarity transform of least squares from `source` to `target`, both (n, 2)."""
    # Points as complex numbers: a similarity is one product and one sum.
    source, target = source @ [1, 1j], target @ [1, 1j]
    centered = source - source.mean()
    turn = (centered.conj() * target).sum() / (np.abs(centered) ** 2).sum()
    shift = target.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
