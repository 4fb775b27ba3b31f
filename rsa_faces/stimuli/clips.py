"""Video clips with ids and a table about them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError, some
from rsa_faces._core.files import sha256_bytes, sha256_file
from rsa_faces._core.warning import warn
from rsa_faces.stimuli import _video
from rsa_faces.stimuli._load import listed
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.alignment import warp
from rsa_faces.stimuli.crops import TEMPLATES, check_margin, cut_of
from rsa_faces.stimuli.faces import detect_faces

MAX_RATE = 1000.0


@dataclass(frozen=True, eq=False, repr=False)
class ClipSet:
    """Video clips with unique ids, a metadata table and a hash each. Immutable, sorted by id.

    Make one with :func:`load_clips`. The clips stay in their files: frames are decoded when they
    are asked for, one at a time.

    Attributes
    ----------
    ids : tuple of str
        Unique, in sorted order; the conditions of everything computed from the set.
    paths : tuple of Path
        The file of each clip.
    sha256 : tuple of str
        The hash of each file's bytes.
    metadata : DataFrame
        One row per clip, indexed by id (a copy).
    hash : str
        SHA-256 of all content: ids, files and metadata.

    See Also
    --------
    load_clips : Load the video clips of a folder.
    rsa_faces.StimulusSet : Images with names and metadata.

    Examples
    --------
    >>> from rsa_faces.stimuli.clips import load_clips
    >>> clips = load_clips("clips/", manifest="clips.csv")  # doctest: +SKIP
    >>> clips.query("expression == 'happy'")  # doctest: +SKIP
    ClipSet(96 clips, metadata: identity, expression)
    >>> for frame in clips.frames("actor01_smile", rate=2):  # doctest: +SKIP
    ...     frame.shape
    (720, 1280, 3)
    """

    # A table of ids, files, hashes and metadata is what a StimulusSet is before it reads an image.
    _table: StimulusSet

    @property
    def ids(self) -> tuple[str, ...]:
        """Unique names, sorted."""
        return self._table.ids

    @property
    def cropped(self) -> bool:
        """Whether frames are cut-out faces, as :func:`crop_clips` makes them."""
        return False

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file of each clip."""
        return self._table._sources

    @property
    def sha256(self) -> tuple[str, ...]:
        """The hash of each file."""
        return self._table.sha256

    @property
    def metadata(self) -> pd.DataFrame:
        """DataFrame with one row per clip, indexed by id (a copy)."""
        return self._table.metadata

    @property
    def hash(self) -> str:
        """SHA-256 of all content: ids, files and metadata."""
        return self._table.hash

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __repr__(self) -> str:
        columns = ", ".join(map(str, self._table._metadata.columns)) or "none"
        return f"{type(self).__name__}({len(self)} clips, metadata: {columns})"

    def frames(self, name: str, *, rate: float | None = None) -> Iterator[np.ndarray]:
        """Decode the frames of one clip, one at a time.

        Parameters
        ----------
        name : str
            A clip id.
        rate : float, optional
            Frames per second of presentation time, above 0 and up to 1,000. By default every
            frame of the file once, however long it is shown.

        Yields
        ------
        ndarray of uint8, shape (height, width, 3)
            RGB, 0 to 255, turned upright and mirrored as the file's display matrix says;
            transparent parts are laid over white. Pixels that are not square stay as stored.
            Decoding stops when no further frame is asked for.

        Raises
        ------
        InputError
            If there is no such clip (the nearest is named), the rate is out of range, the file is
            gone or has changed since the set was made, or it cannot be decoded.

        Notes
        -----
        Times count from the time stamp of the first frame. With a rate, the frames are those
        shown at t = 0, 1/rate, 2/rate, … seconds before the clip's end. The frame shown at t is
        the last one whose time stamp is at most t, so a frame that is shown long comes several
        times and one that is shown briefly perhaps not at all: that is right for a variable frame
        rate too. The end is the last time stamp plus the duration of the last frame (if the file
        does not say it, the distance from the frame before). A clip shorter than 1/rate gives its
        first frame. Time stamps up to 1 ms after t count as t, because Matroska and WebM round
        them to the millisecond.
        """
        path, fraction = self._checked(name, rate)
        return self._pixels(path, fraction)

    def n_frames(self, name: str, *, rate: float | None = None) -> int:
        """Count the frames that :meth:`frames` gives, without converting them.

        Parameters
        ----------
        name, rate
            As for :meth:`frames`.

        Returns
        -------
        int
            At least 1.

        Raises
        ------
        InputError
            As :meth:`frames` does.
        """
        return sum(1 for _ in _video.shown(*self._checked(name, rate)))

    def pixel_change(self, name: str, *, rate: float | None = None) -> np.ndarray:
        """Measure how much pixels change from each frame to the next.

        Parameters
        ----------
        name, rate
            As for :meth:`frames`.

        Returns
        -------
        ndarray, shape (n_frames - 1,)
            Mean absolute difference over pixels and colours, 0 to 255: cuts and changes of light
            count as much as movement.

        Raises
        ------
        InputError
            As :meth:`frames` does.
        """
        frames = self.frames(name, rate=rate)
        before, changes = next(frames).astype(np.int16), []
        for frame in frames:
            now = frame.astype(np.int16)
            changes.append(float(np.abs(now - before).mean()))
            before = now
        return np.array(changes)

    def subset(self, ids: Sequence[str]) -> ClipSet:
        """Return the set with these clips only (still sorted by id).

        Parameters
        ----------
        ids : sequence of str
            Unique ids of this set.

        Raises
        ------
        InputError
            If an id does not occur (the nearest is named), occurs twice, or none is given.
        """
        return replace(self, _table=self._table.subset(ids))

    def query(self, expression: str) -> ClipSet:
        """Return the clips for which an expression on the metadata is true.

        Parameters
        ----------
        expression : str
            As for :meth:`rsa_faces.StimulusSet.query`.

        Raises
        ------
        InputError
            If the expression cannot be evaluated, is not true or false for each clip, or is true
            for none.
        """
        return replace(self, _table=self._table.query(expression))

    def _checked(self, name: str, rate: float | None) -> tuple[Path, Fraction | None]:
        """Return the file of a clip, unchanged since it was loaded, and the rate as a fraction."""
        fraction = check_rate(rate)
        places = self._table._positions
        i = places[check_choice(name, places, what="clip")]
        if _hash(self.paths[i]) != self._table.sha256[i]:
            raise InputError(
                f"{self.paths[i]} has changed since the clips were loaded. Load them again."
            )
        return self.paths[i], fraction

    @staticmethod
    def _pixels(path: Path, rate: Fraction | None) -> Iterator[np.ndarray]:
        """Yield the pixels of the frames shown; a frame shown repeatedly is converted once."""
        last, array = None, None
        for frame in _video.shown(path, rate):
            if frame is not last:
                last, array = frame, _video.pixels(frame)
                array.flags.writeable = False
            yield array


@dataclass(frozen=True, eq=False, repr=False)
class FaceClips(ClipSet):
    """Clips of which each frame is the face in it, cut out as a network was trained to see it.

    Made by :func:`crop_clips`, and otherwise a :class:`ClipSet`. A frame in which no face is found
    is cut where the face was in the frame before.

    Attributes
    ----------
    template : str
        As of :func:`rsa_faces.crop_faces`.
    margin : float
        As of :func:`rsa_faces.crop_faces`.
    """

    template: str
    margin: float
    # Faces of each clip's frames at a rate, which sets of other templates share.
    _faces: dict[tuple[str, float | None], list[pd.Series]]

    @property
    def cropped(self) -> bool:
        """Whether frames are cut-out faces: they are."""
        return True

    @property
    def sha256(self) -> tuple[str, ...]:
        """The hash of each file, with template and margin."""
        return tuple(f"{digest} {self.template} {self.margin:g}" for digest in super().sha256)

    @property
    def hash(self) -> str:
        """SHA-256 of all content, with template and margin."""
        return sha256_bytes(super().hash.encode(), f"{self.template} {self.margin:g}".encode())

    def frames(self, name: str, *, rate: float | None = None) -> Iterator[np.ndarray]:
        """Decode the frames of one clip and cut the face out of each; as :meth:`ClipSet.frames`."""
        known = self._faces.setdefault((name, rate), [])
        for k, frame in enumerate(super().frames(name, rate=rate)):
            if k == len(known):
                row = _face_in(frame, name)
                if row is None and not known:
                    raise InputError(f"expected a face in the first frame of {name!r}, got none.")
                known.append(known[-1] if row is None else row)
            size = TEMPLATES[self.template]
            yield warp(frame, cut_of(known[k], name, self.template, size, self.margin), size)


def crop_clips(
    clips: ClipSet, *, template: str = "arcface", margin: float | None = None
) -> FaceClips:
    """Cut the face out of every frame of clips, as a network was trained to see it.

    Parameters
    ----------
    clips : ClipSet
        Each shows a face from its first frame on.
    template : {"arcface", "dlib", "box"}, default "arcface"
        As for :func:`rsa_faces.crop_faces`.
    margin : float, optional
        As for :func:`rsa_faces.crop_faces`.

    Returns
    -------
    FaceClips
        The same clips; faces are found when frames are decoded.

    Raises
    ------
    InputError
        If template or margin is not valid; while decoding, if a first frame shows no face.

    See Also
    --------
    rsa_faces.crop_faces : The same for images.

    Examples
    --------
    >>> from rsa_faces.stimuli.clips import crop_clips, load_clips
    >>> crop_clips(load_clips("clips/"), template="dlib")  # doctest: +SKIP
    FaceClips(96 clips, metadata: identity, expression)
    """
    check_arguments(crop_clips, locals())
    check_choice(template, TEMPLATES, what="template")
    faces = clips._faces if isinstance(clips, FaceClips) else {}
    return FaceClips(clips._table, template, check_margin(margin, template), faces)


def first_frames(clips: ClipSet) -> StimulusSet:
    """Return the first frame of each clip, as images."""
    return StimulusSet.from_arrays([next(clips.frames(name)) for name in clips.ids], clips.ids)


def _face_in(frame: np.ndarray, name: str) -> pd.Series | None:
    """Return the row of the face in a frame, if one is found."""
    face = detect_faces(StimulusSet.from_arrays([frame], [name]), progress=False).table.iloc[0]
    return face if face["found"] else None


def load_clips(
    folder: str | os.PathLike[str], *, manifest: str | os.PathLike[str] | None = None
) -> ClipSet:
    """Load the video clips of a folder.

    Every file is read once and its first frame decoded, so that a broken one is found now and not
    in the middle of an extraction. (Damage inside a clip is found when it is decoded.)

    Parameters
    ----------
    folder : path-like
        Without a manifest, all clips directly in it are taken (3GP, AVI, M4V, MKV, MOV, MP4,
        MPEG, WebM, WMV; hidden files are not), with the file name without suffix as id. Other
        files are named in a warning.
    manifest : path-like, optional
        A CSV file with the column ``file`` (path relative to `folder`), optionally ``id``
        (default: the file name without suffix); every other column becomes metadata. Clips of
        the folder that it does not name are left out and named in a warning.

    Returns
    -------
    ClipSet
        Sorted by id, whatever the order of the folder or the manifest.

    Raises
    ------
    InputError
        If the folder, the manifest, its column ``file`` or a clip is missing; if a file has no
        frames, ends early or cannot be decoded (it is named), ids are not unique, or there are no
        clips.
    MissingExtraError
        If PyAV is not installed.

    See Also
    --------
    load_stimuli : Load the images of a folder.
    clip_rdms : Build the RDM of each layer over clips.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> clips = rf.load_clips("clips", manifest="clips/clips.csv")  # doctest: +SKIP
    >>> rdms = rf.clip_rdms(rf.load_network("sface"), clips, rate=2)  # doctest: +SKIP
    """
    paths, ids, metadata = listed(folder, manifest, _video.SUFFIXES, "clip")
    hashes, notes = [], {}
    for name, path in zip(ids, paths, strict=True):
        hashes.append(_hash(path))
        kind = _video.check(path)
        if kind.aspect != 1:
            notes.setdefault("pixels that are not square; they are taken as stored", []).append(
                name
            )
        if kind.alpha:
            notes.setdefault(f"transparent parts; they are {kind.alpha}", []).append(name)
    for what, those in notes.items():
        warn(f"{len(those)} of {len(ids)} clips have {what}: {some(those)}.")
    return ClipSet(StimulusSet(ids, [path.absolute() for path in paths], hashes, metadata))


def check_rate(rate: float | None) -> Fraction | None:
    """Return a rate as an exact fraction (29.97 as 2997/100, a third as 1/3)."""
    if rate is None:
        return None
    number = isinstance(rate, (int, float, Fraction, np.number)) and not isinstance(rate, bool)
    if not number or not 0 < rate <= MAX_RATE:
        raise InputError(
            f"expected a rate above 0 and up to {MAX_RATE:.0f} frames per second, or None for "
            f"every frame, got {rate!r}."
        )
    return Fraction(float(rate)).limit_denominator(10**6)


def _hash(path: Path) -> str:
    """Return the hash of a file, or say that it cannot be read."""
    try:
        return sha256_file(path)
    except OSError as err:
        raise InputError(f"expected a clip, but {path}: {err.strerror}.") from err
