"""Face images with a label each: who is shown, or with which expression."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsa_faces._core.checks import (
    as_rng,
    check_arguments,
    check_choice,
    check_count,
    check_unique_names,
    nearest,
)
from rsa_faces._core.errors import InputError, some
from rsa_faces._core.files import sha256_bytes
from rsa_faces._core.tables import read_rows
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.images import SUFFIXES, read_image

_log = logging.getLogger(__name__)

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = ("Training", "PublicTest", "PrivateTest")
PARTS = ("train", "val", "test")
_SIDE = 48


@dataclass(frozen=True, eq=False, repr=False)
class LabelledFaces:
    """Images with a label each. Those in files are read when they are asked for.

    Make one with :func:`read_people`, :func:`read_fer2013` or :meth:`from_stimuli`.

    Parameters
    ----------
    images : path-like or sequence of ndarray, each uint8 of shape (height, width, 3)
        The folder below which the ids are files, or the images themselves in RGB.
    ids : sequence of str
        Unique names of the images; relative paths where the images are files.
    labels : array-like of int, shape (n_images,)
        From 0 to n_names - 1.
    names : sequence of str
        What the labels stand for.

    Attributes
    ----------
    ids, names : tuple of str
        As given.
    labels : ndarray of int64, shape (n_images,)
        Read-only.

    Raises
    ------
    InputError
        If lengths differ, ids or names are not unique, or a label has no name.

    See Also
    --------
    read_people : List the images of a folder that holds one folder per person.
    read_fer2013 : Read faces from FER2013's table, ``fer2013.csv`` or ``icml_face_data.csv``.
    rsa_faces.networks.training.fit : Train a network on labelled faces.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import LabelledFaces
    >>> grey = [np.full((8, 6, 3), 40 * i, np.uint8) for i in range(4)]
    >>> faces = LabelledFaces(grey, ["a1", "a2", "b1", "c1"], [0, 0, 1, 2], ["Ann", "Bo", "Cy"])
    >>> faces.keep(["Cy", "Ann"])
    LabelledFaces(3 images, 2 labels)
    >>> faces.keep(["Cy", "Ann"]).labels
    array([1, 1, 0])
    """

    images: Any
    ids: Sequence[str]
    labels: Any
    names: Sequence[str]

    def __post_init__(self) -> None:
        ids = check_unique_names(self.ids, what="image")
        names = check_unique_names(self.names, what="label")
        labels = np.array(self.labels)
        in_files = isinstance(self.images, (str, os.PathLike))
        n_images = len(ids) if in_files else len(self.images)
        if not ids or labels.shape != (len(ids),) or n_images != len(ids):
            raise InputError(
                "expected at least one image, with one id and one label each, got "
                f"{n_images} images, {len(ids)} ids and labels of shape {labels.shape}."
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(names):
            raise InputError(
                f"expected labels to be whole numbers from 0 to {len(names) - 1}, got "
                f"{labels.min()} to {labels.max()} of type {labels.dtype}."
            )
        labels = labels.astype(np.int64)
        labels.flags.writeable = False
        images = Path(self.images) if in_files else tuple(self.images)
        for field, value in (
            ("images", images),
            ("ids", ids),
            ("labels", labels),
            ("names", names),
        ):
            object.__setattr__(self, field, value)

    @classmethod
    def from_stimuli(cls, stimuli: StimulusSet, column: str) -> LabelledFaces:
        """Take the labels from a column of the stimuli's metadata; images stay in memory.

        Parameters
        ----------
        stimuli : StimulusSet
            Images, for instance with a manifest that says who is shown and how.
        column : str
            The column; its values, as text in alphabetical order, become the names.

        Raises
        ------
        InputError
            If there is no such column, or a value is missing.
        """
        check_arguments(LabelledFaces.from_stimuli, locals())
        if column not in stimuli.metadata:
            raise InputError(
                f"expected a column {column!r} in the stimuli's metadata, but its columns are "
                f"{', '.join(map(repr, stimuli.metadata.columns)) or 'none'}."
                + nearest(column, stimuli.metadata.columns)
            )
        values = stimuli.metadata[column]
        if values.isna().any():
            raise InputError(
                f"expected a value in column {column!r} for each stimulus, but "
                f"{values.isna().idxmax()!r} has none."
            )
        names, labels = np.unique(values.astype(str).to_numpy(str), return_inverse=True)
        images = [stimuli.image(name) for name in stimuli.ids]
        return cls(images, stimuli.ids, labels, names.tolist())

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"LabelledFaces({len(self)} images, {len(self.names)} labels)"

    def image(self, i: int) -> np.ndarray:
        """Return image `i` as uint8 RGB, shape (height, width, 3)."""
        if isinstance(self.images, Path):
            return read_image(self.images / self.ids[i])
        return self.images[i]

    def subset(self, index: Sequence[int] | np.ndarray) -> LabelledFaces:
        """Return the images of these positions; labels and names stay as they are."""
        index = np.atleast_1d(index)
        in_files = isinstance(self.images, Path)
        images = self.images if in_files else [self.images[i] for i in index]
        return LabelledFaces(images, [self.ids[i] for i in index], self.labels[index], self.names)

    def keep(self, names: Iterable[str]) -> LabelledFaces:
        """Return the images with these names only; labels count the names in their new order.

        Raises
        ------
        InputError
            If a name is unknown (the nearest is named), occurs twice, or none is given.
        """
        names = check_unique_names(list(names), what="label")
        if not names:
            raise InputError("expected at least one name to keep, got none.")
        new = np.full(len(self.names), -1)
        place = {name: i for i, name in enumerate(self.names)}
        for i, name in enumerate(names):
            if name not in place:
                raise InputError(f"there is no label {name!r}.{nearest(name, self.names)}")
            new[place[name]] = i
        index = np.flatnonzero(new[self.labels] >= 0)
        part = self.subset(index)
        return LabelledFaces(part.images, part.ids, new[part.labels], names)

    def without(self, names: Iterable[str]) -> LabelledFaces:
        """Return the images with other names; names that do not occur here are no error."""
        unwanted = set(names)
        return self.keep([name for name in self.names if name not in unwanted])

    def split(self, n_held_out: int, *, seed: int = 0) -> tuple[LabelledFaces, LabelledFaces]:
        """Split by name: nobody is in both parts.

        Parameters
        ----------
        n_held_out : int
            How many names, drawn at random, go into the second part.
        seed : int, default 0
            Seed of the draw.

        Returns
        -------
        tuple of LabelledFaces
            The first part and the held-out part, names in their order.

        Raises
        ------
        InputError
            If `n_held_out` is not between 1 and the number of names less one.
        """
        check_count(n_held_out, what="number of held-out names")
        if n_held_out >= len(self.names):
            raise InputError(
                f"expected fewer held-out names than the {len(self.names)} there are, got "
                f"{n_held_out}."
            )
        out = as_rng(seed).choice(len(self.names), n_held_out, replace=False)
        held_out = [self.names[i] for i in np.sort(out)]
        return self.without(held_out), self.keep(held_out)

    def split_images(self, n_each: int, *, seed: int = 0) -> tuple[LabelledFaces, LabelledFaces]:
        """Split within each name: everybody is in both parts, no image is.

        Parameters
        ----------
        n_each : int
            How many images of each name, drawn at random, go into the second part.
        seed : int, default 0
            Seed of the draw.

        Returns
        -------
        tuple of LabelledFaces
            The first part and the held-out part, with the same names.

        Raises
        ------
        InputError
            If a name has no more than `n_each` images; up to five are named.
        """
        check_count(n_each, what="number of held-out images")
        counts = np.bincount(self.labels, minlength=len(self.names))
        if few := [name for name, n in zip(self.names, counts, strict=True) if n <= n_each]:
            raise InputError(
                f"expected more than {n_each} images of each name, of which {n_each} are held out, "
                f"but there are no more of {some(few)}."
            )
        order = as_rng(seed).permutation(len(self))
        order = order[np.argsort(self.labels[order], kind="stable")]
        place = np.arange(len(self)) - np.repeat(counts.cumsum() - counts, counts)
        parts = order[place >= n_each], order[place < n_each]
        return self.subset(np.sort(parts[0])), self.subset(np.sort(parts[1]))

    def digest(self) -> str:
        """Return a hash of ids, labels and images.

        Of images in files it takes their sizes, and the bytes of 256 of them.
        """
        parts = [repr((self.ids, self.names)).encode(), self.labels.tobytes()]
        if isinstance(self.images, Path):
            files = [self.images / name for name in self.ids]
            parts.append(repr([f.stat().st_size if f.is_file() else -1 for f in files]).encode())
            some_files = files[:: -(-len(files) // 256)]
            parts += [file.read_bytes() for file in some_files if file.is_file()]
        else:
            parts += [repr(image.shape).encode() + image.tobytes() for image in self.images]
        return sha256_bytes(*parts)


def read_people(
    folder: str | os.PathLike[str], *, min_images: int = 1, leave_out: Iterable[str] = ()
) -> LabelledFaces:
    """List the images of a folder that holds one folder per person.

    This is the layout of LFW (``Ann_Lee/Ann_Lee_0001.jpg``), VGGFace2 (``n000001/0001_01.jpg``)
    and CASIA-WebFace (``0000045/001.jpg``). Nothing is read yet: a damaged image is found when it
    is used.

    Parameters
    ----------
    folder : path-like
        Its subfolders are the people; the images lie directly in them (hidden files and folders
        are skipped).
    min_images : int, default 1
        People with fewer images are left out and counted in the log.
    leave_out : iterable of str, optional
        People to leave out, for instance those who are tested later. Names that do not occur are
        no error, because tests often come from another data set.

    Returns
    -------
    LabelledFaces
        Sorted by person and file; ids are the paths below `folder`.

    Raises
    ------
    InputError
        If there is no such folder, or nobody in it has enough images.

    See Also
    --------
    LabelledFaces : Images with a label each. Those in files are read when they are asked for.
    read_fer2013 : Read faces from FER2013's table, ``fer2013.csv`` or ``icml_face_data.csv``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.networks.training import read_people
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for person in ("anna", "ben"):
    ...     one = rf.StimulusSet.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), ["x", "y"])
    ...     _ = rf.stimuli.images.write_images(one, folder / person)
    >>> faces = read_people(folder)
    >>> faces.names, len(faces)
    (('anna', 'ben'), 4)
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a folder with one folder per person, but {folder} is none.")
    people = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    files = {
        person: [
            f"{person}/{name}"
            for name in sorted(os.listdir(folder / person))
            if name[0] != "." and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
        for person in people
    }
    return _of_people(folder, files, min_images, leave_out, f"{folder}/NAME/*.jpg")


def read_celeba(
    folder: str | os.PathLike[str],
    *,
    part: str | None = None,
    min_images: int = 1,
    leave_out: Iterable[str] = (),
) -> LabelledFaces:
    r"""List the images of CelebA by person, as the data set comes.

    Parameters
    ----------
    folder : path-like
        Holds the images in ``img_align_celeba`` (or in a folder of the same name inside it),
        ``identity_CelebA.txt`` (a line ``000001.jpg 2880`` per image) and, for `part`, the lines
        ``000001.jpg 0`` of ``list_eval_partition.txt`` (or ``.csv``).
    part : {"train", "val", "test"}, optional
        Take the images of this part; CelebA's parts share no person. By default all.
    min_images : int, default 1
        People with fewer images are left out and counted in the log.
    leave_out : iterable of str, optional
        People to leave out: numbers as text.

    Returns
    -------
    LabelledFaces
        Sorted by person and file; ids are file names, names the people's numbers as text.

    Raises
    ------
    InputError
        If a file or folder is missing, a line is not as said (it is named), or nobody has enough
        images.

    See Also
    --------
    read_people : The same for a folder per person.

    References
    ----------
    .. [1] Liu Z., Luo P., Wang X., Tang X. (2015), Deep learning face attributes in the wild, ICCV,
       doi:10.1109/ICCV.2015.425

    Examples
    --------
    >>> from rsa_faces.networks.training import read_celeba
    >>> folder = getfixture("tmp_path")
    >>> (folder / "img_align_celeba").mkdir()
    >>> lines = "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n"
    >>> _ = (folder / "identity_CelebA.txt").write_text(lines)
    >>> read_celeba(folder, min_images=2).ids
    ('000001.jpg', '000003.jpg')
    """
    folder = Path(folder)
    images = folder / "img_align_celeba"
    images = images / images.name if (images / images.name).is_dir() else images
    if not images.is_dir():
        raise InputError(f"expected CelebA's images in {images}, but there is no such folder.")
    person = _celeba_lines(folder, "identity_CelebA")
    if part is not None:
        check_choice(part, PARTS, what="part")
        parts = _celeba_lines(folder, "list_eval_partition")
        person = {name: who for name, who in person.items() if parts.get(name) == PARTS.index(part)}
    files: dict[str, list[str]] = {}
    for name, who in sorted(person.items(), key=lambda item: (item[1], item[0])):
        files.setdefault(str(who), []).append(name)
    return _of_people(images, files, min_images, leave_out, f"{folder}/identity_CelebA.txt")


def _celeba_lines(folder: Path, stem: str) -> dict[str, int]:
    """Return the number that each line gives to a file of CelebA's."""
    path = next((p for p in (folder / f"{stem}.{s}" for s in ("txt", "csv")) if p.is_file()), None)
    if path is None:
        raise InputError(f"expected {stem}.txt of CelebA in {folder}, but it is not there.")
    out = {}
    for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.replace(",", " ").split()
        if len(fields) == 2 and fields[1].isdecimal():
            out[fields[0]] = int(fields[1])
        elif fields and not (i == 1 and path.suffix == ".csv"):
            raise InputError(
                f"expected a file name and a number in line {i} of {path}, got {line[:60]!r}."
            )
    return out


def _of_people(
    folder: Path,
    files: Mapping[str, Sequence[str]],
    min_images: int,
    leave_out: Iterable[str],
    where: str,
) -> LabelledFaces:
    """Return the images of the people that have enough of them."""
    check_count(min_images, what="min_images")
    unwanted = set(leave_out)
    there = {who: names for who, names in files.items() if names and who not in unwanted}
    kept = {who: names for who, names in there.items() if len(names) >= min_images}
    few = len(there) - len(kept)
    if few:
        _log.warning(
            "%d people in %s have fewer than %d images and are left out", few, folder, min_images
        )
    if not kept:
        raise InputError(
            f"expected images of people ({where}) with at least {min_images} each, but found none: "
            f"{len(files)} people, {few} with too few images, {len(unwanted & set(files))} left "
            "out on request."
        )
    labels = np.repeat(np.arange(len(kept)), [len(names) for names in kept.values()])
    return LabelledFaces(
        folder, [name for names in kept.values() for name in names], labels, list(kept)
    )


def read_fer2013(
    path: str | os.PathLike[str], *, usage: str | Sequence[str] = "Training"
) -> LabelledFaces:
    """Read faces from FER2013's table, ``fer2013.csv`` or ``icml_face_data.csv``.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``emotion`` (0 to 6), ``pixels`` (48 x 48 numbers from 0 to 255,
        separated by spaces, row by row) and ``Usage``; spaces around the names are ignored.
    usage : str or sequence of str, default "Training"
        "Training", "PublicTest", "PrivateTest" or several of them.

    Returns
    -------
    LabelledFaces
        In the file's order; ids are "Usage/line", names the seven expressions in the file's order
        (angry, disgust, fear, happy, sad, surprise, neutral).

    Raises
    ------
    InputError
        If the file or a column is missing, or a row is not as said (the line is named).

    See Also
    --------
    LabelledFaces : Images with a label each. Those in files are read when they are asked for.
    read_people : List the images of a folder that holds one folder per person.

    References
    ----------
    .. [1] Goodfellow I. J. et al. (2013), Challenges in representation learning, ICONIP,
       doi:10.1007/978-3-642-42051-1_16

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> from rsa_faces.networks.training import read_fer2013
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "fer2013.csv"
    >>> rows = {"emotion": [3, 6], "pixels": " ".join(["128"] * 48 * 48),
    ...         "Usage": ["Training", "PublicTest"]}
    >>> pd.DataFrame(rows).to_csv(path, index=False)
    >>> faces = read_fer2013(path)
    >>> len(faces), faces.names[faces.labels[0]]
    (1, 'happy')
    """
    path = Path(path)
    usages = (usage,) if isinstance(usage, str) else tuple(usage)
    for name in usages:
        check_choice(name, USAGES, what="usage")
    images, ids, labels = [], [], []
    columns = ["emotion", "pixels", "Usage"]
    for line, row in read_rows(path, what="FER2013's table", required=columns):
        where = f"line {line} of {path}"
        if row["Usage"] not in USAGES:
            raise InputError(f"expected one of {USAGES} as Usage in {where}, got {row['Usage']!r}.")
        if row["Usage"] in usages:
            labels.append(_emotion(row["emotion"], where))
            images.append(_pixels(row["pixels"], where))
            ids.append(f"{row['Usage']}/{line}")
    if not images:
        raise InputError(f"expected rows of usage {', '.join(usages)} in {path}, found none.")
    return LabelledFaces(images, ids, labels, EXPRESSIONS)


def _emotion(text: str, where: str) -> int:
    """Return the number of an expression."""
    if text not in set("0123456"):
        raise InputError(f"expected an emotion from 0 to 6 in {where}, got {text!r}.")
    return int(text)


def _pixels(text: str, where: str) -> np.ndarray:
    """Return a grey image of 48 x 48 pixels as RGB."""
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as err:
        raise InputError(f"expected whole numbers as pixels in {where} ({err}).") from err
    if len(values) != _SIDE**2 or values.min() < 0 or values.max() > 255:
        range_ = f" from {values.min()} to {values.max()}" if len(values) else ""
        raise InputError(
            f"expected {_SIDE**2} pixels from 0 to 255 in {where}, got {len(values)}{range_}."
        )
    grey = values.astype(np.uint8).reshape(_SIDE, _SIDE, 1)
    # Three times the same channel, without a copy.
    return np.broadcast_to(grey, (_SIDE, _SIDE, 3))
