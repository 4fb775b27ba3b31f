"""Pairs of faces that show the same person or two: read from a protocol, or drawn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.networks.training.faces import LabelledFaces


@dataclass(frozen=True, eq=False, repr=False)
class FacePairs:
    """Pairs of images, whether they show the same person, and their folds.

    Attributes
    ----------
    first, second : tuple of str, length n_pairs
        Ids of the images.
    same : ndarray of bool, shape (n_pairs,)
        True where both show the same person.
    fold : ndarray of int, shape (n_pairs,)
        From 0; nobody should occur in two folds.
    people : tuple of frozenset of str
        Per fold, who occurs in it.

    See Also
    --------
    all_pairs : Return every pair of images.
    draw_pairs : Draw a protocol like that of Labeled Faces in the Wild from any labelled faces.
    read_pairs : Read a file of pairs as Labeled Faces in the Wild has them.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import LabelledFaces, draw_pairs
    >>> images, ids = np.zeros((40, 8, 8, 3), np.uint8), [f"image {i}" for i in range(40)]
    >>> people = [f"p{i}" for i in range(10)]
    >>> faces = LabelledFaces(images, ids, np.repeat(range(10), 4), people)
    >>> pairs = draw_pairs(faces, n_folds=2, n_each=5)
    >>> len(pairs.first), [len(fold) for fold in pairs.people]
    (20, [5, 5])
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    same: np.ndarray
    fold: np.ndarray
    people: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        return len(self.first)

    def __repr__(self) -> str:
        return f"FacePairs({len(self)} pairs, {self.same.sum()} same, {len(self.people)} folds)"

    def subset(self, fold: int) -> FacePairs:
        """Return one fold (counted from 0) alone; it becomes fold 0.

        Raises
        ------
        InputError
            If there is no such fold.
        """
        check_count(fold, what="fold", low=0)
        if fold >= len(self.people):
            raise InputError(f"expected a fold from 0 to {len(self.people) - 1}, got {fold}.")
        index = np.flatnonzero(self.fold == fold)
        first, second = (tuple(ids[i] for i in index) for ids in (self.first, self.second))
        return FacePairs(
            first, second, self.same[index], np.zeros(len(index), int), (self.people[fold],)
        )

    def index(self, faces: LabelledFaces) -> np.ndarray:
        """Return where the pairs' images are in `faces`, shape (n_pairs, 2).

        Raises
        ------
        InputError
            If an image is not there; up to five are named.
        """
        place = {name: i for i, name in enumerate(faces.ids)}
        absent = sorted({*self.first, *self.second} - place.keys())
        if absent:
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            raise InputError(
                f"expected the pairs' images among {len(faces)} faces, but {len(absent)} are "
                f"missing: {', '.join(map(repr, absent[:5]))}{more}."
            )
        pairs = zip(self.first, self.second, strict=True)
        return np.array([(place[a], place[b]) for a, b in pairs])


def read_pairs(path: str | os.PathLike[str], *, suffix: str = ".jpg") -> FacePairs:
    r"""Read a file of pairs as Labeled Faces in the Wild has them.

    Parameters
    ----------
    path : path-like
        ``pairs.txt`` (first line ``10  300``: ten folds, each of 300 pairs of the same person and
        then 300 of two), or ``pairsDevTrain.txt`` and ``pairsDevTest.txt`` (first line ``1100``,
        or no such line: one fold). A line ``NAME i j`` is images i and j of one person; ``NAME i
        OTHER j`` are two people. Fields are separated by tabs or spaces.
    suffix : str, default ".jpg"
        Ending of the image files: ``NAME 4`` becomes the id ``NAME/NAME_0004.jpg``, as
        :func:`read_people` names it.

    Returns
    -------
    FacePairs
        In the file's order.

    Raises
    ------
    InputError
        If the file cannot be read or a line is not as said; the line is named.

    See Also
    --------
    FacePairs : Pairs of images, whether they show the same person, and their folds.
    all_pairs : Return every pair of images.

    References
    ----------
    .. [1] Huang G. B., Ramesh M., Berg T., Learned-Miller E. (2007), Labeled Faces in the Wild,
       University of Massachusetts Amherst, Technical Report 07-49.

    Examples
    --------
    >>> from rsa_faces.networks.training import read_pairs
    >>> with open(getfixture("tmp_path") / "pairs.txt", "w") as stream:
    ...     _ = stream.write("1\t1\nAnn\t1\t4\nAnn\t1\tBo\t2\n")
    >>> pairs = read_pairs(stream.name)
    >>> list(zip(pairs.first, pairs.second, pairs.same.tolist()))
    [('Ann/Ann_0001.jpg', 'Ann/Ann_0004.jpg', True), ('Ann/Ann_0001.jpg', 'Bo/Bo_0002.jpg', False)]
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"expected a file of pairs, but {path} cannot be read: {err}.") from err
    header = lines[0].split()
    if len(header) in (1, 2) and all(map(_is_number, header)):
        n_folds, n_each = (1, int(header[0])) if len(header) == 1 else map(int, header)
        start, kinds = 1, np.tile(np.repeat([True, False], n_each), n_folds)
    elif len(header) in (3, 4) and not _is_number(header[0]):
        start, n_folds, kinds = 0, 1, np.array([len(line.split()) == 3 for line in lines])
    else:
        raise InputError(
            "expected the number of folds and of pairs per fold ('10 300'), or of pairs alone, or "
            f"a pair, in line 1 of {path}, got {lines[0][:60]!r}."
        )
    if len(lines) - start != len(kinds):
        raise InputError(
            f"expected {len(kinds)} lines of pairs in {path} (2 x {n_folds} folds x {n_each}), as "
            f"its line 1 says, got {len(lines) - 1}."
        )
    first: list[str] = []
    second: list[str] = []
    people: list[set[str]] = [set() for _ in range(n_folds)]
    fold = np.repeat(np.arange(n_folds), len(kinds) // n_folds)
    for i, (line, k, same) in enumerate(zip(lines[start:], fold, kinds, strict=True), start + 1):
        a, b = _pair(line, same=same, where=f"line {i} of {path}")
        people[k] |= {a[0], b[0]}
        for ids, (name, number) in ((first, a), (second, b)):
            ids.append(f"{name}/{name}_{number:04d}{suffix}")
    return FacePairs(tuple(first), tuple(second), kinds, fold, tuple(map(frozenset, people)))


def _is_number(text: str) -> bool:
    """Tell whether `text` is a whole number of at least 1, in plain digits."""
    return text.isascii() and text.isdigit() and int(text) > 0


def _pair(line: str, *, same: bool, where: str) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return a line's two images as name and number."""
    fields = line.split()
    wanted = "'NAME i j' (the same person)" if same else "'NAME i OTHER j' (two people)"
    numbers = fields[1:] if same else fields[1::2]
    if len(fields) != (3 if same else 4) or not all(map(_is_number, numbers)):
        raise InputError(f"expected {wanted} in {where}, got {line[:80]!r}.")
    names = (fields[0], fields[0]) if same else (fields[0], fields[2])
    i, j = map(int, numbers)
    if same and i == j:
        raise InputError(f"expected two images in {where}, got the same one twice: {line[:80]!r}.")
    if not same and names[0] == names[1]:
        raise InputError(f"expected two people in {where}, got one twice: {line[:80]!r}.")
    return (names[0], i), (names[1], j)


def all_pairs(faces: LabelledFaces) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of images: index, shape (n_pairs, 2), and whether the label is the same.

    Parameters
    ----------
    faces : LabelledFaces
        Up to some thousands of images: n (n - 1) / 2 pairs.

    Returns
    -------
    index : ndarray, shape (n_pairs, 2)
    same : ndarray of bool, shape (n_pairs,)

    See Also
    --------
    draw_pairs : Draw a protocol like that of Labeled Faces in the Wild from any labelled faces.
    FacePairs : Pairs of images, whether they show the same person, and their folds.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import LabelledFaces, all_pairs
    >>> grey = np.zeros((3, 4, 4, 3), np.uint8)
    >>> index, same = all_pairs(LabelledFaces(grey, ["a1", "a2", "b1"], [0, 0, 1], ["a", "b"]))
    >>> index.tolist(), same.tolist()
    ([[0, 1], [0, 2], [1, 2]], [True, False, False])
    """
    index = np.stack(np.triu_indices(len(faces), 1), axis=1)
    return index, faces.labels[index[:, 0]] == faces.labels[index[:, 1]]


def draw_pairs(
    faces: LabelledFaces, *, n_folds: int = 10, n_each: int = 300, seed: int = 0
) -> FacePairs:
    """Draw a protocol like that of Labeled Faces in the Wild from any labelled faces.

    Parameters
    ----------
    faces : LabelledFaces
        People, most of them with two images or more.
    n_folds : int, default 10
        The people are split at random into this many folds; nobody is in two.
    n_each : int, default 300
        Pairs of the same person per fold, and as many of two people of the fold.
    seed : int, default 0
        Seed of both draws.

    Returns
    -------
    FacePairs
        Without repeated pairs; per fold first the same, then the different.

    Raises
    ------
    InputError
        If a fold holds too few pairs of one kind.

    See Also
    --------
    all_pairs : Return every pair of images.
    FacePairs : Pairs of images, whether they show the same person, and their folds.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import LabelledFaces, draw_pairs
    >>> images, ids = np.zeros((40, 8, 8, 3), np.uint8), [f"image {i}" for i in range(40)]
    >>> people = [f"p{i}" for i in range(10)]
    >>> faces = LabelledFaces(images, ids, np.repeat(range(10), 4), people)
    >>> pairs = draw_pairs(faces, n_folds=2, n_each=5)
    >>> len(pairs.same), int(pairs.same.sum())
    (20, 10)
    """
    check_arguments(draw_pairs, locals())
    check_count(n_folds, what="n_folds")
    check_count(n_each, what="n_each")
    rng = as_rng(seed)
    people = rng.permutation(len(faces.names))
    pairs, groups = [], []
    for fold in range(n_folds):
        part = people[fold::n_folds]
        index = np.flatnonzero(np.isin(faces.labels, part))
        index = index[np.argsort(faces.labels[index], kind="stable")]
        pairs += _drawn(index, faces.labels[index], n_each, fold, rng)
        groups.append(frozenset(faces.names[i] for i in part))
    index = np.concatenate(pairs)
    first, second = (tuple(faces.ids[i] for i in column) for column in index.T)
    same = faces.labels[index[:, 0]] == faces.labels[index[:, 1]]
    return FacePairs(first, second, same, np.repeat(np.arange(n_folds), 2 * n_each), tuple(groups))


def _drawn(
    index: np.ndarray, labels: np.ndarray, n_each: int, fold: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draw pairs of the same label and of different labels among images sorted by label."""
    # With images sorted by label, the partners after image i are first its own person's, then
    # everybody else's: a pair's number tells both its images.
    end = np.searchsorted(labels, labels, side="right")
    here = np.arange(len(labels))
    out = []
    for kind, start, n_partners in (
        ("the same person", here + 1, end - here - 1),
        ("two people", end, len(labels) - end),
    ):
        stop = n_partners.cumsum()
        n_pairs = int(stop[-1]) if len(stop) else 0
        if n_pairs < n_each:
            raise InputError(
                f"expected at least {n_each} pairs of {kind} in each fold, but fold {fold + 1} has "
                f"{n_pairs}. Take fewer folds or fewer pairs."
            )
        number = rng.choice(n_pairs, n_each, replace=False)
        i = np.searchsorted(stop, number, side="right")
        j = start[i] + number - (stop[i] - n_partners[i])
        out.append(np.stack([index[i], index[j]], axis=1))
    return out
