"""Scores between faces of people in groups: matched, checked, permuted and drawn by person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.names import check_unique_names, named
from rsa_faces.analyses._inputs import Layers, codes_of, matched
from rsa_faces.inference.bootstrap import draws_of
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import rounding

#: What self-reported categories can and cannot show.
SELF_REPORT = (
    "Groups are the categories that people chose for themselves among those they were offered (or "
    "that the makers of the images noted). A difference between groups shows that, for this "
    "network, faces of people who chose these categories differ in these images. It does not show "
    "why: photographs, age, hair, make-up and who was recruited may differ as well. It says "
    "nothing about people whom the categories leave out, about other places and times, or about "
    "biology, and it must not be used to assign anyone to a group."
)
# Held at a time, 64 MiB: permuted matrices of pairs of people, or scores in each sample.
BLOCK_VALUES = 2**23


@dataclass(frozen=True, eq=False)
class GroupedFaces:
    """Scores with the labels of faces, matched."""

    matrix: np.ndarray
    names: tuple[str, ...]
    attributes: list[tuple[str, np.ndarray, list]]
    person: np.ndarray
    person_names: list
    strata: np.ndarray
    n_left_out: int

    @property
    def n_missing(self) -> int:
        """Number of pairs of faces that were not measured."""
        return int(np.isnan(self.matrix[np.triu_indices(len(self.matrix), k=1)]).sum())

    def person_codes(self, codes: np.ndarray) -> np.ndarray:
        """Return each person's code."""
        return _of_people(codes, self.person)

    def sums(self, values: np.ndarray):
        """Return sums and counts of pairs of images, per pair of people and within a person."""
        measured = ~np.isnan(values)
        # An image and itself are no pair.
        np.fill_diagonal(measured, False)
        whose = np.eye(len(self.person_names))[self.person]
        total = whose.T @ np.where(measured, values, 0.0) @ whose
        count = whose.T @ measured.astype(float) @ whose
        # Of two people a pair of images is counted once in each triangle, of one person twice in
        # one place.
        own = np.diagonal(total) / 2, np.diagonal(count) / 2
        np.fill_diagonal(total, 0.0)
        np.fill_diagonal(count, 0.0)
        return total, count, *(np.array(o) for o in own)

    def pairs(self, codes: np.ndarray, kinds: list) -> pd.DataFrame:
        """Return all measured pairs of faces."""
        row, col = np.triu_indices(len(self.names), k=1)
        keep = ~np.isnan(self.matrix[row, col])
        row, col = row[keep], col[keep]
        mated = self.person[row] == self.person[col]
        kind = np.where(mated, "mated", np.where(codes[row] == codes[col], "within", "between"))
        names = np.array(self.names, object)
        return pd.DataFrame(
            {
                "a": names[row],
                "b": names[col],
                "group_a": [kinds[code] for code in codes[row]],
                "group_b": [kinds[code] for code in codes[col]],
                "kind": kind,
                "score": self.matrix[row, col],
            }
        )


def as_attributes(groups) -> dict[str, Any]:
    """Return attributes by name."""
    if isinstance(groups, pd.DataFrame):
        if not len(groups.columns):
            raise InputError("expected at least one attribute, got a DataFrame without columns.")
        return {str(c): groups[c] for c in groups}
    name = getattr(groups, "name", None)
    return {"groups" if name is None else str(name): groups}


def grouped_faces(scores, labels, people, within, match) -> GroupedFaces:
    """Return scores and labels of the same faces, checked."""
    matrix, names = score_matrix(scores)
    extra = [("people", people)] * (people is not None) + [("within", within)] * (
        within is not None
    )
    shell = Layers({}, names, np.arange(len(names)), "", {})
    shell, found, n_left_out = matched(shell, [*labels, *extra], match, "the scores")
    matrix = matrix[np.ix_(shell.rows, shell.rows)]
    n = len(labels)
    attributes = [(name, *codes_of(f)) for (name, _), f in zip(labels, found[:n], strict=True)]
    whom = found[n] if people is not None else list(shell.conditions)
    person, person_names = codes_of(whom)
    strata = codes_of(found[-1])[0] if within is not None else np.zeros(len(person), np.int64)
    for name, codes, kinds in attributes:
        if len(kinds) < 2:
            raise InputError(f"expected at least 2 values of {name}, got {kinds}.")
        check_constant(codes, kinds, person, person_names, name)
    if within is not None:
        check_constant(strata, codes_of(found[-1])[1], person, person_names, "within")
    return GroupedFaces(
        matrix,
        shell.conditions,
        attributes,
        person,
        person_names,
        _of_people(strata, person),
        n_left_out,
    )


def score_matrix(scores) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a symmetric matrix of scores and the names of its rows."""
    if isinstance(scores, RDMs):
        if len(scores) != 1:
            raise InputError(f"expected one RDM, got {len(scores)}: select one.")
        # Distances grow where scores fall.
        return -scores.matrices()[0], scores.conditions
    if not isinstance(scores, pd.DataFrame):
        raise InputError(
            "expected scores as a DataFrame with names of faces on both sides, or RDMs, got a "
            f"{type(scores).__name__}."
        )
    names = check_unique_names(scores.index, what="condition")
    columns = check_unique_names(scores.columns, what="condition")
    if set(names) != set(columns):
        raise InputError(
            f"expected the same names on both sides, but {len(set(names) ^ set(columns))} are on "
            "one only."
        )
    scores = scores.set_axis(list(names)).set_axis(list(columns), axis=1)
    matrix, _ = named(scores, names, what="scores", axes=(-2, -1), missing=True)
    matrix = matrix.astype(np.float64)
    if np.isinf(matrix).any():
        raise InputError("expected finite scores (or NaN for a pair not measured), got infinity.")
    apart = np.abs(matrix - matrix.T) > rounding(matrix)
    if (bad := apart | (np.isnan(matrix) != np.isnan(matrix.T))).any():
        i, j = np.argwhere(bad)[0]
        raise InputError(
            f"expected symmetric scores, but {names[i]!r} with {names[j]!r} is {matrix[i, j]:g} "
            f"and the other way round {matrix[j, i]:g}."
        )
    # What is left between the triangles is rounding.
    return (matrix + matrix.T) / 2, names


def check_constant(codes, kinds, person, person_names, name) -> None:
    """Raise if a person has two labels."""
    wrong = np.flatnonzero(_of_people(codes, person)[person] != codes)
    if len(wrong):
        i = wrong[0]
        first = kinds[_of_people(codes, person)[person[i]]]
        raise InputError(
            f"expected one value of {name} per person, but {person_names[person[i]]!r} has "
            f"{first!r} and {kinds[codes[i]]!r}."
        )


def _of_people(codes: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Return the code of each person's first image."""
    return codes[np.unique(person, return_index=True)[1]]


def check_share(value: float, what: str) -> None:
    """Raise unless a value is between 0 and 1."""
    if not np.isscalar(value) or isinstance(value, str) or not 0 < value < 1:
        raise InputError(f"expected {what} between 0 and 1, got {value!r}.")


def permutations(faces: GroupedFaces, n: int, rng: np.random.Generator):
    """Yield orders of people, (n_block, n_people), exchanged within strata."""
    strata = faces.strata
    places = np.argsort(strata, kind="stable")
    size = max(1, min(512, BLOCK_VALUES // max(1, len(strata) ** 2)))
    for start in range(0, n, size):
        # A whole number plus a fraction: sorting shuffles inside strata, and leaves strata in their
        # order.
        shuffled = np.argsort(strata + rng.random((min(size, n - start), len(strata))), axis=1)
        order = np.empty_like(shuffled)
        order[:, places] = shuffled
        yield order


def draws_of_people(onehot: np.ndarray, n_boot: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each person is drawn, (n_boot, n_people), within groups."""
    counts = np.empty((n_boot, len(onehot)))
    for group in onehot.T > 0:
        n = int(group.sum())
        # Within groups, whose sizes are part of the design, not of chance.
        counts[:, group] = draws_of(n, n_boot, rng)
    return counts


def dyadic_error(total: np.ndarray, count: np.ndarray, onehot: np.ndarray, weights) -> float:
    """Return the standard error of a weighted sum of means over pairs of people.

    `weights` (n_groups, n_groups) is symmetric: equal weights are pooled into one mean, and 0
    leaves pairs out. People are drawn within groups; pairs that share a person are dependent:
    squared sums over each person's pairs, less what single pairs are counted twice.
    """
    code = onehot.argmax(axis=1)
    own = np.zeros_like(total)
    for weight in np.unique(weights[weights != 0]):
        chosen = weights == weight
        n_pairs = (onehot.T @ count @ onehot)[chosen].sum() / 2
        if not n_pairs:
            return np.nan
        sums, counts = (onehot.T @ values @ onehot for values in (total, count))
        mean = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        inside = chosen[code][:, code]
        own += weight * inside * (total - mean[code][:, code] * count) / n_pairs
    return error_of_people(own, onehot)


def error_of_people(own: np.ndarray, onehot: np.ndarray, alone: np.ndarray | float = 0.0) -> float:
    """Return the standard error of a sum over pairs of people, each pair's part (n, n) given.

    `alone` is each person's own part (n,), which no other person shares.
    """
    code, size = onehot.argmax(axis=1), onehot.sum(axis=0)
    # As leaving out each person does: with the mean, a part of a person's own deviation is lost.
    lost = np.where(code[:, None] == code, ((size - 1) / np.maximum(size - 2, 1))[code], 1.0)
    toward = (own * lost).sum(axis=1) + alone
    off = toward - (onehot.T @ toward / size)[code]
    few = np.divide(size, size - 1, out=np.full(len(size), np.nan), where=size > 1)
    # The variance if pairs were independent; the sum of dependent ones may by chance come out below
    # it, even below 0.
    single = (own**2).sum() / 2
    return float(np.sqrt(max((off**2 * few[code])[off != 0].sum() - single, single)))
