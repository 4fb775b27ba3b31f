"""Faces in photographs: where they are, and how good the picture is."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice, check_count
from rsa_faces._core.errors import InputError, some
from rsa_faces._core.tables import read_table, write_table
from rsa_faces.stimuli.alignment import warp

if TYPE_CHECKING:
    from rsa_faces.stimuli._stimulus_set import StimulusSet

_log = logging.getLogger(__name__)

MODEL = Path(__file__).parent / "models" / "face_detection_yunet_2023mar_int8bq.onnx"

#: The five points in the order of :attr:`FaceTable.points`; left and right are the image's.
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")

SEVERAL = ("largest", "central", "refuse")

# The whole image is looked at in squares of these sizes: YuNet knows faces of 10 to 300 px.
_OVERVIEWS = (640, 320, 160)
# Then each face in a square of 320 px at these heights, as it is and mirrored, and in each view
# through all of the detector's cells that see it. One cell's points lie 5 to 7 % of the eyes'
# distance off, their mean over cells and views 3 to 4 %; and what is not a face seldom looks like
# one in all views.
_HEIGHTS = (90, 150, 210)
_PLAIN = (150, False)
# The detector takes a face for about half as tilted as it is: the views are turned by twice what
# it says until that is less than this, at most so many times.
_LEVEL = np.radians(1)
_NEARLY = np.radians(5)
_TURNS = 6
# A face that is the right way up scores at least so much in the plain view of middle height, and
# so much more than upside down (97 turned photographs and simulated faces: at least 0.907 and
# 0.039; none of 124 readings in a wrong direction has both). All others are read from four sides,
# and doubted if two differ by less than the last.
_SURE = 0.9
_APART = 0.03
_DOUBT = 0.01
# What scores less, and is wanted nevertheless, is taken as it stands.
_PLAUSIBLE = 0.6
_QUARTERS = tuple(np.radians([0, 90, 180, 270]))
_CLOSE_UP = 320
# Boxes that overlap more are one face; cells of one face overlap more.
_OVERLAP = 0.3
_SAME = 0.5
# Cells below this score say nothing.
_FLOOR = 0.05
# Side of the square in which sharpness and brightness are measured.
_MEASURED = 112
# Tip of the nose in front of the eyes, in units of their distance.
_NOSE = 0.5


@dataclass(frozen=True, eq=False)
class FaceTable:
    """The face of each stimulus, as :func:`detect_faces` found it.

    Attributes
    ----------
    table : DataFrame
        One row per stimulus, indexed by id. ``found`` (bool) and ``reason`` (text, why not);
        ``n_faces`` (faces of at least `min_score` and `min_size`); ``score`` (0 to 1; of the best
        candidate if no face was found). Of the face, NaN where none was found: box ``x``, ``y``
        (upper left corner), ``width``, ``height``, in pixels of the image, where (0, 0) is the
        centre of the upper left pixel; ``inside`` (share of the box that the image covers);
        five points ``left_eye_x``, ``left_eye_y``, ... in the order of :data:`POINTS`
        (centres of the eyes, tip of the nose, corners of the mouth; left is the image's left);
        ``eye_distance`` in pixels; ``roll`` and ``yaw`` in degrees; ``sharpness`` and
        ``brightness``. ``sha256`` of the image.
    min_score : float
        As given to :func:`detect_faces`.
    min_size : int
        As given to :func:`detect_faces`.
    several : str
        As given to :func:`detect_faces`.

    See Also
    --------
    detect_faces : Find the face in each photograph, with five points and measures of quality.
    crop_faces : Cut every face out as a network was trained to see it.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'happy'")
    >>> found = rf.detect_faces(faces.subset(list(faces)[:2]), progress=False)
    >>> found.table["score"].round(1).tolist(), found.several
    ([0.9, 0.9], 'largest')
    """

    table: pd.DataFrame
    min_score: float
    min_size: int
    several: str

    def __repr__(self) -> str:
        return f"FaceTable({int(self.table['found'].sum())} of {len(self.table)} with a face)"

    def __len__(self) -> int:
        return len(self.table)

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the stimuli in which no face was found."""
        return tuple(self.table.index[~self.table["found"].to_numpy(bool)])

    @property
    def points(self) -> np.ndarray:
        """The five points, shape (n_stimuli, 5, 2) as x, y; NaN where no face was found."""
        columns = [f"{name}_{axis}" for name in POINTS for axis in "xy"]
        return self.table[columns].to_numpy(float).reshape(-1, 5, 2)

    @classmethod
    def concat(cls, tables: Sequence[FaceTable]) -> FaceTable:
        """Put tables of different stimuli, found with the same options, below each other.

        Parameters
        ----------
        tables : sequence of FaceTable

        Returns
        -------
        FaceTable

        Raises
        ------
        InputError
            If there is none, or they were found with different options.
        """
        options = {(t.min_score, t.min_size, t.several) for t in tables}
        if len(options) != 1:
            raise InputError(
                f"expected tables of faces found with the same options, got {len(options)} kinds."
            )
        return cls(pd.concat([t.table for t in tables]), *options.pop())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV, with the options in its last columns; :meth:`load` reads it.

        Parameters
        ----------
        path : path-like
        """
        options = {"min_score": self.min_score, "min_size": self.min_size, "several": self.several}
        write_table(self.table.assign(**options).rename_axis("id").reset_index(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaceTable:
        """Read a table that :meth:`save` wrote: detecting faces takes minutes, reading none.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        FaceTable

        Raises
        ------
        InputError
            If the file is no such table.
        """
        table = read_table(
            path,
            what="a table of faces that FaceTable.save wrote",
            text=["id", "reason", "sha256", "several"],
            numbers=["n_faces", "score", *MEASURES, "min_score", "min_size"],
            required=["found"],
            gaps=["reason"],
            guess=True,
        ).set_index("id")
        options = [table.pop(name).iloc[0] for name in ("min_score", "min_size", "several")]
        table = table.assign(
            reason=table["reason"].astype(object).fillna(""), n_faces=table["n_faces"].astype(int)
        )
        return cls(table, float(options[0]), int(options[1]), str(options[2]))


# --- detection --------------------------------------------------------------------------------


def detect_faces(
    stimuli: StimulusSet,
    *,
    min_score: float = 0.6,
    min_size: int = 20,
    several: str = "largest",
    progress: bool = True,
) -> FaceTable:
    """Find the face in each photograph, with five points and measures of quality.

    Parameters
    ----------
    stimuli : StimulusSet
        Photographs of any size. Faces are found from about 1/60 of the image's longer side up to
        all of it, turned in the plane by any angle, up to upside down.
    min_score : float, default 0.6
        What counts as a face, above 0 and at most 1. Photographs of people score above 0.85;
        animals, statues and drawings score anything from 0 to 0.9.
    min_size : int, default 20
        The smallest height of a face's box, in pixels of the image. In smaller boxes there is
        little to see, and often no face.
    several : {"largest", "central", "refuse"}, default "largest"
        Which face is taken where there are several: the one with the largest box, or the one
        whose centre is nearest to the image's; "refuse": an error that names the images. The
        images are also named in the log.
    progress : bool, default True
        Show a bar on a terminal.

    Returns
    -------
    FaceTable
        One row per stimulus, also for those without a face, or one of which it is doubtful which
        way up it is (``found`` is False, and ``reason`` says why).

    Raises
    ------
    InputError
        If `min_score`, `min_size` or `several` is not valid, or ``several="refuse"`` and an image
        shows more than one face.

    See Also
    --------
    crop_faces : Cut every face out as a network was trained to see it.
    align_faces : Cut every face out in the same place and size, eyes level.

    Notes
    -----
    The detector is YuNet [1]_, run by OpenCV. It looks at the whole image in three sizes, then at
    each candidate of at least half of `min_score` in six views (face heights of 90, 150 and
    210 px, each also mirrored). In a view, box and points are the mean over the detector's cells
    that see the face with at least half of the best cell's score, weighted by score; the score is
    the best cell's. Score, box and points of the face are the means over the six views; a view
    that shows no face has score 0 and no points. Of a tilted face, box and points are those of
    views turned until the eyes are level; the box keeps its centre and size and is laid upright.
    Faces that overlap by more than 0.3 (intersection over union) are one. An image takes about
    0.1 s on one core, and 0.05 to 0.2 s more for each further candidate.

    Upside down the detector sees faces too, with scores up to 0.9 and eyes where the mouth is. So a
    face that is not clearly better as it stands than upside down is read from four sides, and the
    best reading taken; if another one is nearly as good, the row says that a face is there of
    which it is doubtful which way up it is, with ``found`` False and no points. Where no face is
    found the image is looked at from the other three sides (0.2 s more); what only those show has
    to be a clear face.

    `roll` is the angle of the line through the eyes, positive clockwise. `yaw` is the angle that
    would shift the tip of the nose from the middle of the eyes as it is, if it lay half the
    eyes' distance in front of them, positive towards the image's right; a rough measure, as noses
    differ. `sharpness` is the variance of the Laplacian (four neighbours) and `brightness` the
    mean of the luma (ITU-R 601, 0 to 255), both of the box's square drawn at 112 px, so that a
    small or soft picture of a face counts as less sharp, whatever the image's size.

    References
    ----------
    .. [1] Wu W., Peng H., Yu S. (2023), YuNet: a tiny millisecond-level face detector,
       Mach Intell Res 20:656, doi:10.1007/s11633-023-1423-y

    Examples
    --------
    >>> from rsa_faces.datasets import images92
    >>> from rsa_faces.stimuli.faces import detect_faces
    >>> photographs = images92().stimuli.subset(["image_13", "image_60"])
    >>> faces = detect_faces(photographs)
    >>> faces
    FaceTable(1 of 2 with a face)
    >>> faces.missing
    ('image_60',)
    """
    check_arguments(detect_faces, locals())
    if isinstance(min_score, bool) or not 0 < min_score <= 1:
        raise InputError(f"expected min_score above 0 and at most 1, got {min_score!r}.")
    check_count(min_size, what="min_size")
    check_choice(several, SEVERAL, what="rule for several faces")
    from rich.console import Console
    from rich.progress import track

    detector = _detector()
    show = progress and sys.stderr.isatty()
    ids = track(
        stimuli.ids, "faces", console=Console(stderr=True), transient=True, disable=not show
    )
    hashes = dict(zip(stimuli.ids, stimuli.sha256, strict=True))
    rows = [
        {
            **_row(stimuli.image(name), detector, min_score, min_size, several),
            "sha256": hashes[name],
        }
        for name in ids
    ]
    table = pd.DataFrame(rows, index=pd.Index(stimuli.ids, name="id"))
    crowded = list(table.index[table["n_faces"] > 1])
    if crowded and several == "refuse":
        raise InputError(
            f"expected one face per image, but {len(crowded)} of {len(table)} show more: "
            f"{some(crowded)}. Cut them, or give several='largest' or 'central'."
        )
    if crowded:
        _log.warning(
            "%d of %d images show several faces; the %s is taken: %s",
            len(crowded),
            len(table),
            several,
            some(crowded),
        )
    faces = FaceTable(table, float(min_score), min_size, several)
    if faces.missing:
        _log.warning(
            "no face found in %d of %d images: %s",
            len(faces.missing),
            len(faces),
            some(faces.missing),
        )
    return faces


def _detector():
    """Open YuNet, so that it returns every cell that sees a face."""
    import cv2

    logging_of_cv2 = cv2.utils.logging
    level = logging_of_cv2.getLogLevel()
    # OpenCV 5 warns that it ignores a setting which it sets itself.
    logging_of_cv2.setLogLevel(logging_of_cv2.LOG_LEVEL_ERROR)
    try:
        return cv2.FaceDetectorYN.create(str(MODEL), "", (_CLOSE_UP, _CLOSE_UP), _FLOOR, 1.0)
    finally:
        logging_of_cv2.setLogLevel(level)


def _row(
    image: np.ndarray, detector, min_score: float, min_size: int, several: str
) -> dict[str, object]:
    """Return an image's row of the table."""
    faces = _find(image, detector, min_score)
    sure = faces[faces[:, 15] == 0]
    good = sure[(sure[:, 0] >= min_score) & (sure[:, 4] >= min_size)]
    best = float(faces[:, 0].max(initial=0))
    row = {"found": bool(len(good)), "reason": "", "n_faces": len(good), "score": best}
    if not len(good):
        if best >= min_score and not len(sure):
            row["reason"] = "a face, but which way up is doubtful"
        elif best >= min_score:
            row["reason"] = f"face of {faces[0, 4]:.0f} px, below {min_size}"
        else:
            row["reason"] = f"best score {best:.2f}, below {min_score:g}" if best else "no face"
        return row | dict.fromkeys(MEASURES, np.nan)
    if several == "central":
        middle = np.array(image.shape[1::-1]) / 2 - 0.5
        chosen = good[np.hypot(*(good[:, 1:3] + good[:, 3:5] / 2 - middle).T).argmin()]
    else:
        chosen = good[good[:, 3:5].prod(axis=1).argmax()]
    row["score"] = float(chosen[0])
    return row | dict(zip(MEASURES, _measure(image, chosen), strict=True))


MEASURES = (
    "x",
    "y",
    "width",
    "height",
    *(f"{name}_{axis}" for name in POINTS for axis in "xy"),
    "inside",
    "eye_distance",
    "roll",
    "yaw",
    "sharpness",
    "brightness",
)


def _find(image: np.ndarray, detector, min_score: float) -> np.ndarray:
    """Return the distinct faces of an image, shape (n_faces, 16): score, box, points, doubt.

    Those below `min_score` are there to say so; their box and points are rough.
    """
    size = np.array(image.shape[1::-1])
    middle = size / 2 - 0.5
    found = []
    for turn in _QUARTERS:
        seen = [_look(image, detector, middle, s / size.max(), s, turn) for s in _OVERVIEWS]
        seen = np.concatenate(seen)
        least = min_score if turn else min_score / 2
        for candidate in _distinct(seen[seen[:, 0] >= least]):
            face = _face(image, detector, candidate, turn, min_score)
            if face is not None:
                found.append(face)
        # Few faces lie on their side: they are looked for where there is no other, and have to be
        # clear, as with every turn more of what is no face looks like one.
        if any(face[0] >= min_score for face in found):
            break
    return _distinct(np.array(found).reshape(-1, 16))


def _face(
    image: np.ndarray, detector, candidate: np.ndarray, turn: float, min_score: float
) -> np.ndarray | None:
    """Return a candidate as a face the right way up: score, box, points, doubt; None if none."""
    first = _reading(image, detector, candidate, turn, min_score)
    if first is None or (turn and first.best < _SURE):
        return None
    if first.score < max(min_score, _PLAUSIBLE):
        return np.r_[first.score, first.face[1:], 0.0]
    if first.is_level and first.best >= _SURE:
        views = _views(image, detector, candidate, first.turn + np.pi, [_PLAIN[0]], [_PLAIN[1]])
        if first.best - _plain_score(views) >= _APART:
            return np.r_[first.score, first.face[1:], 0.0]
    # Upside down the detector sees faces too, and puts the eyes where the mouth is.
    others = (_reading(image, detector, candidate, turn + q, min_score) for q in _QUARTERS[1:])
    readings = sorted(
        (r for r in (first, *others) if r is not None), key=lambda r: r.face[0], reverse=True
    )
    best = readings[0]
    apart = [abs((r.turn - best.turn + np.pi) % (2 * np.pi) - np.pi) for r in readings]
    other = [r.face[0] for r, angle in zip(readings, apart, strict=True) if angle > np.pi / 4]
    score = max(r.score for r, angle in zip(readings, apart, strict=True) if angle <= np.pi / 4)
    doubt = not best.is_level or best.face[0] - max(other, default=0.0) < _DOUBT
    return np.r_[score, best.face[1:], doubt]


@dataclass(frozen=True)
class _Reading:
    """A face as it is seen after levelling, beginning from one turn of the image."""

    score: float  # mean of six views before levelling
    face: np.ndarray  # score, box and points after it
    best: float  # score of the plain view of middle height after it
    turn: float
    is_level: bool


def _reading(
    image: np.ndarray, detector, candidate: np.ndarray, turn: float, min_score: float
) -> _Reading | None:
    """Turn a candidate's views, from `turn` on, until its eyes are level."""
    views = _views(image, detector, candidate, turn)
    if not views:
        return None
    face = _mean(views)
    score, is_level = face[0], False
    if score < min_score:
        return _Reading(score, face, 0.0, turn, is_level=False)
    for _ in range(_TURNS):
        across = face[7:9] - face[5:7]
        more = (np.arctan2(across[1], across[0]) - turn + np.pi) % (2 * np.pi) - np.pi
        # Of some faces the last degrees go to and fro.
        is_level = abs(more) < _NEARLY
        if abs(more) < _LEVEL:
            break
        turned = _views(image, detector, candidate, turn + 2 * more)
        if not turned:
            break
        turn, views, face = turn + 2 * more, turned, _mean(turned)
    return _Reading(score, face, _plain_score(views), turn, is_level)


def _views(
    image: np.ndarray,
    detector,
    face: np.ndarray,
    turn: float,
    heights: Sequence[int] = _HEIGHTS,
    mirrors: Sequence[bool] = (False, True),
) -> dict[tuple[int, bool], np.ndarray]:
    """Return what the views that see a candidate see where `turn` (radians) is level."""
    middle = face[1:3] + face[3:5] / 2
    views = {}
    for height in heights:
        for mirrored in mirrors:
            scale = height / face[4]
            cells = _look(image, detector, middle, scale, _CLOSE_UP, turn, mirrored)
            off = np.abs(cells[:, 1:3] + cells[:, 3:5] / 2 - middle)
            cells = cells[(off < face[3:5] / 2).all(axis=1)]
            if len(cells):
                views[height, mirrored] = _fused(cells)
    return views


def _plain_score(views: dict[tuple[int, bool], np.ndarray]) -> float:
    """Return the score in the plain view of middle height."""
    return float(views[_PLAIN][0]) if _PLAIN in views else 0.0


def _mean(views: dict[tuple[int, bool], np.ndarray]) -> np.ndarray:
    """Return the mean over six views; those that see nothing have score 0 and no points."""
    mean = np.mean(list(views.values()), axis=0)
    mean[0] *= len(views) / (2 * len(_HEIGHTS))
    return mean


def _fused(cells: np.ndarray) -> np.ndarray:
    """Return the mean of the cells that see the same face as the best, with the best's score."""
    best = cells[cells[:, 0].argmax()]
    same = _overlap(best[1:5], cells[:, 1:5]) > _SAME
    weights = cells[:, 0] * (same & (cells[:, 0] >= best[0] / 2))
    return np.r_[best[0], weights @ cells[:, 1:] / weights.sum()]


def _look(
    image: np.ndarray,
    detector,
    middle: np.ndarray,
    scale: float,
    side: int,
    turn: float = 0.0,
    mirrored: bool = False,
) -> np.ndarray:
    """Draw a square of an image and return what cells see: score, box, points of the image."""
    level = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    shift = (side - 1) / 2 - scale * level @ middle
    view = warp(image, np.column_stack([scale * level, shift]), side)
    if mirrored:
        view = view[:, ::-1]
    detector.setInputSize((side, side))
    cells = detector.detect(np.ascontiguousarray(view[:, :, ::-1]))[1]
    if cells is None:
        return np.empty((0, 15))
    cells = cells.astype(float)
    extent = cells[:, 2:4]
    # The box's centre and the points; a turned box keeps its extent.
    places = np.concatenate(
        [cells[:, None, :2] + extent[:, None] / 2, cells[:, 4:14].reshape(-1, 5, 2)], axis=1
    )
    if mirrored:
        places = places[:, [0, 2, 1, 3, 5, 4]]
        places[..., 0] = side - 1 - places[..., 0]
    places = (places - shift) @ level / scale
    extent = extent / scale
    corner = places[:, 0] - extent / 2
    return np.column_stack([cells[:, 14], corner, extent, places[:, 1:].reshape(-1, 10)])


def _distinct(faces: np.ndarray) -> np.ndarray:
    """Return the faces from high to low score, without those that overlap a better one."""
    faces = faces[np.argsort(-faces[:, 0], kind="stable")]
    kept = []
    while len(faces):
        kept.append(faces[0])
        faces = faces[_overlap(faces[0, 1:5], faces[:, 1:5]) <= _OVERLAP]
    return np.array(kept).reshape(-1, faces.shape[1])


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the intersection of a box and each of others over their union."""
    ends = np.minimum(box[:2] + box[2:], boxes[:, :2] + boxes[:, 2:])
    shared = (ends - np.maximum(box[:2], boxes[:, :2])).clip(0).prod(axis=1)
    return shared / (box[2:].prod() + boxes[:, 2:].prod(axis=1) - shared)


def _measure(image: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Return box, points and measures of quality of a face, in the order of MEASURES."""
    corner, extent, points = face[1:3], face[3:5], face[5:15].reshape(5, 2)
    size = np.array(image.shape[1::-1])
    covered = np.minimum(corner + extent, size - 0.5) - np.maximum(corner, -0.5)
    across = points[1] - points[0]
    distance = np.hypot(*across)
    nose = (points[2] - points[:2].mean(axis=0)) @ across / distance**2
    grey = warp(image, box_transform(face, 0.0, _MEASURED), _MEASURED) @ [0.299, 0.587, 0.114]
    inner = grey[1:-1, 1:-1]
    neighbours = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return np.array(
        [
            *face[1:15],
            covered.clip(0).prod() / extent.prod(),
            distance,
            np.degrees(np.arctan2(across[1], across[0])),
            np.degrees(np.arctan(nose / _NOSE)),
            (neighbours - 4 * inner).var(),
            grey.mean(),
        ]
    )


def box_transform(face: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Return the transform from the image to the square about a face's box."""
    scale = size / (face[3:5].max() * (1 + margin))
    shift = (size - 1) / 2 - scale * (face[1:3] + face[3:5] / 2)
    return np.column_stack([scale * np.eye(2), shift])
