"""The central type: representational dissimilarity matrices with named conditions and labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_enough
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.files import sha256_bytes
from rsa_faces._core.names import as_names, check_unique_names, named, unnamed
from rsa_faces.rdm._ties import UNIT, settle

#: Columns of a tidy table of RDMs that are no labels.
TIDY_COLUMNS = ("condition_a", "condition_b", "dissimilarity")


@dataclass(frozen=True, eq=False, repr=False, init=False)
class RDMs:
    """One or more RDMs over the same named conditions. Immutable.

    Parameters
    ----------
    vectors : array_like, shape (n_rdms, n_pairs) or (n_pairs,)
        Dissimilarities of the n_pairs = n_conditions (n_conditions - 1) / 2 pairs, in row-major
        order of the upper triangle (as :func:`scipy.spatial.distance.squareform`). Any real
        number (crossnobis may be negative); NaN means "pair not measured". Copied to float64.
    conditions : sequence of str
        Unique names, one per row of the square matrix.
    measure : str
        Name of the dissimilarity measure that made the values.
    labels : DataFrame or mapping of column to values, optional
        One row per RDM (network, layer, subject, session, region, ...).

    Raises
    ------
    InputError
        If the length of the vectors does not fit the number of conditions, names are not unique,
        values are infinite, or `labels` has another number of rows.

    See Also
    --------
    rsa_faces.compute_rdms : Build RDMs from patterns.
    rsa_faces.load_rdms : Read RDMs from an HDF5 file or a table.
    concat : Put RDMs one after the other, aligned by condition name to the first.
    rsa_faces.compare : Compare model RDMs with data RDMs.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> rdms = rf.RDMs([[1.0, 2.0, 3.0]], ["a", "b", "c"], "euclidean", {"subject": ["s1"]})
    >>> rdms
    RDMs(1 RDM, 3 conditions, measure='euclidean', labels: subject)
    >>> rdms.align(["c", "a", "b"]).vectors
    array([[2., 3., 1.]])
    """

    vectors: np.ndarray
    conditions: tuple[str, ...]
    measure: str
    _labels: pd.DataFrame

    def __init__(
        self,
        vectors: Any,
        conditions: Sequence[str],
        measure: str,
        labels: pd.DataFrame | Mapping[str, Any] | None = None,
    ) -> None:
        conditions = check_unique_names(conditions, what="condition")
        vectors = _as_vectors(vectors)
        n_conditions = len(conditions)
        n_pairs = n_conditions * (n_conditions - 1) // 2
        check_enough(n_conditions, 2, "conditions")
        if vectors.ndim != 2 or vectors.shape[1] != n_pairs:
            raise InputError(
                f"expected vectors of shape (n_rdms, {n_pairs}) for {n_conditions} conditions, "
                f"got {vectors.shape}. For square matrices use RDMs.from_matrices."
            )
        if np.isinf(vectors).any():
            row, pair = np.argwhere(np.isinf(vectors))[0]
            raise InputError(
                f"expected finite dissimilarities (or NaN for a pair not measured), got "
                f"{vectors[row, pair]} in RDM {row}, pair {pair}."
            )
        if not isinstance(measure, str) or not measure:
            raise InputError(f"expected the name of a measure, got {measure!r}.")
        vectors.flags.writeable = False
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "conditions", conditions)
        object.__setattr__(self, "measure", measure)
        object.__setattr__(self, "_labels", _as_labels(labels, len(vectors)))

    # The frame is handed out as a copy: a frozen type must not be changed through its labels.
    @property
    def labels(self) -> pd.DataFrame:
        """DataFrame with one row per RDM (a copy)."""
        return self._labels.copy()

    def __reduce__(self):
        # Through the constructor, because NumPy drops the read-only flag when it unpickles.
        return RDMs, (self.vectors, self.conditions, self.measure, self._labels)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self._labels.columns)) or "none"
        plural = "RDM" if len(self) == 1 else "RDMs"
        return (
            f"RDMs({len(self)} {plural}, {self.n_conditions} conditions, "
            f"measure={self.measure!r}, labels: {names})"
        )

    @property
    def n_conditions(self) -> int:
        """Number of conditions."""
        return len(self.conditions)

    @property
    def n_pairs(self) -> int:
        """Number of pairs of conditions."""
        return self.vectors.shape[1]

    @property
    def hash(self) -> str:
        """SHA-256 of all content: vectors, conditions, measure and labels."""
        return sha256_bytes(
            self.vectors.tobytes(),
            "\0".join(self.conditions).encode(),
            self.measure.encode(),
            self._labels.to_json(orient="split", double_precision=15).encode(),
        )

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[RDMs]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, rows: int | slice | Sequence[int] | np.ndarray) -> RDMs:
        """Return the RDMs of these rows, as an RDMs object."""
        index = np.atleast_1d(np.arange(len(self))[rows])
        return self._replace(vectors=self.vectors[index], labels=self._labels.iloc[index])

    def sel(self, **labels: Any) -> RDMs:
        """Select RDMs whose labels have the given values.

        Parameters
        ----------
        **labels : value or list of values
            Label column and the value, or list of allowed values.

        Returns
        -------
        RDMs
            The matching RDMs, in their order.

        Raises
        ------
        InputError
            If a column or a value does not occur (the nearest is named), or nothing matches all.
        """
        keep = np.ones(len(self), dtype=bool)
        for column, wanted in labels.items():
            check_choice(column, self._labels.columns, what="label column")
            present = self._labels[column]
            many = isinstance(wanted, Iterable) and not isinstance(wanted, str)
            values = list(wanted) if many else [wanted]
            if pd.api.types.is_string_dtype(present):
                # Subject 1 is called "1".
                values = [str(v) if isinstance(v, (int, np.integer)) else v for v in values]
            for value in values:
                if not (present == value).any():
                    check_choice(str(value), present.astype(str).unique(), what=column)
            keep &= present.isin(values).to_numpy()
        if not keep.any():
            raise InputError(f"no RDM has all of the labels {labels!r}.")
        return self[np.flatnonzero(keep)]

    def align(self, conditions: Sequence[str]) -> RDMs:
        """Return the same RDMs with conditions in the given order.

        Parameters
        ----------
        conditions : sequence of str
            The same names as :attr:`conditions`, in the order wanted.

        Raises
        ------
        ConditionMismatchError
            If the sets of names differ (use :meth:`subset` to take fewer).
        """
        conditions = check_unique_names(conditions, what="condition")
        if set(conditions) != set(self.conditions):
            raise ConditionMismatchError(
                conditions,
                self.conditions,
                left_name="the order asked for",
                right_name="the RDMs",
                hint="To take fewer conditions use subset().",
            )
        return self.subset(conditions)

    def subset(self, conditions: Sequence[str]) -> RDMs:
        """Return the RDMs over these conditions only, in the given order.

        Raises
        ------
        InputError
            If a name does not occur (the nearest is named).
        """
        conditions = check_unique_names(conditions, what="condition")
        if conditions == self.conditions:
            return self
        position = {name: i for i, name in enumerate(self.conditions)}
        for name in conditions:
            if name not in position:
                check_choice(name, self.conditions, what="condition")
        check_enough(len(conditions), 2, "conditions")
        index = np.array([position[name] for name in conditions])
        row, col = np.triu_indices(len(index), k=1)
        pairs = pair_index(index[row], index[col], self.n_conditions)
        return self._replace(vectors=self.vectors[:, pairs], conditions=conditions)

    def mean(self, by: str | Sequence[str] | None = None) -> RDMs:
        """Average RDMs, ignoring pairs that were not measured.

        Parameters
        ----------
        by : str or list of str, optional
            Average within each value of these labels; by default over all RDMs.

        Returns
        -------
        RDMs
            One RDM per group, in order of first appearance. Labels that are the same throughout
            a group are kept; ``n_averaged`` counts the RDMs that entered, and ``n_averaged_min``
            the fewest that entered any pair. A pair measured nowhere in a group stays NaN. Means
            that only rounding sets apart are equal.

        Examples
        --------
        >>> import rsa_faces as rf
        >>> r = rf.RDMs([[1.0, 2, 3], [3, 2, 1]], list("abc"), "euclidean", {"subject": [1, 1]})
        >>> r.mean(by="subject").vectors
        array([[2., 2., 2.]])
        """
        columns = [by] if isinstance(by, str) else list(by or [])
        for column in columns:
            check_choice(column, self._labels.columns, what="label column")
        if columns:
            groups = self._labels.groupby(columns, sort=False, dropna=False).indices
            order = sorted((np.sort(rows) for rows in groups.values()), key=lambda r: r[0])
        else:
            order = [np.arange(len(self))]
        if len(order) == len(self):
            n_measured = (~np.isnan(self.vectors)).all(axis=1).astype(int)
            alone = self._labels.assign(n_averaged=1, n_averaged_min=n_measured)
            return self._replace(labels=alone)
        vectors, labels = [], []
        for rows in order:
            values = self.vectors[rows]
            measured = (~np.isnan(values)).sum(axis=0)
            total = np.where(np.isnan(values), 0.0, values).sum(axis=0)
            with np.errstate(invalid="ignore"):
                mean = np.where(measured > 0, total / measured, np.nan)
                # Means that are equal must be: sums in another order differ in the last digit.
                known_to = UNIT * (len(rows) + 1) * np.nanmax(np.abs(values), initial=0.0)
            vectors.append(settle(mean, known_to) if len(rows) > 1 else mean)
            part = self._labels.iloc[rows]
            row = {c: part[c].iloc[0] for c in part if part[c].nunique(dropna=False) == 1}
            row["n_averaged"] = len(rows)
            row["n_averaged_min"] = int(measured.min())
            labels.append(row)
        return self._replace(vectors=np.array(vectors), labels=pd.DataFrame(labels))

    def matrices(self) -> np.ndarray:
        """Return square symmetric matrices, shape (n_rdms, n_conditions, n_conditions)."""
        square = np.zeros((len(self), self.n_conditions, self.n_conditions))
        row, col = np.triu_indices(self.n_conditions, k=1)
        square[:, row, col] = self.vectors
        square[:, col, row] = self.vectors
        return square

    @classmethod
    def from_matrices(
        cls,
        matrices: Any,
        conditions: Sequence[str] | None,
        measure: str,
        labels: pd.DataFrame | Mapping[str, Any] | None = None,
    ) -> RDMs:
        """Make RDMs from square matrices.

        Parameters
        ----------
        matrices : array_like, shape (n_rdms, n_conditions, n_conditions) or one square matrix
            Each symmetric with a zero (or NaN) diagonal, but for rounding in single precision
            (:func:`rounding`): halves that differ by less are averaged. The names that a DataFrame
            or a DataArray brings are followed, of rows and of columns; of a mapping of names to
            matrices the names become the label ``name``.
        conditions : sequence of str or None
            Unique names of rows and columns; None for the names that the matrices bring.
        measure, labels
            As for :class:`RDMs`.

        Raises
        ------
        InputError
            If a matrix is not square, not symmetric, its diagonal is not zero, or it brings other
            names than `conditions`.
        """
        square, conditions, names = named_matrices(matrices, conditions)
        if labels is None and names is not None:
            labels = {"name": names}
        row, col = np.triu_indices(square.shape[1], k=1)
        vectors = symmetric(square)[:, row, col]
        return cls(vectors, conditions, measure, labels)

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy table: one row per RDM and pair, with all labels.

        Returns
        -------
        DataFrame
            Columns of :attr:`labels`, then condition_a, condition_b, dissimilarity.

        Raises
        ------
        InputError
            If a label has the name of one of these columns.
        """
        if taken := [c for c in self._labels.columns if c in TIDY_COLUMNS]:
            raise InputError(
                f"expected labels with other names than {', '.join(map(repr, TIDY_COLUMNS))} for a "
                f"table of RDMs, got the label {taken[0]!r}. Rename it."
            )
        row, col = np.triu_indices(self.n_conditions, k=1)
        names = np.array(self.conditions, dtype=object)
        frame = self._labels.iloc[np.repeat(np.arange(len(self)), self.n_pairs)]
        return frame.reset_index(drop=True).assign(
            condition_a=np.tile(names[row], len(self)),
            condition_b=np.tile(names[col], len(self)),
            dissimilarity=self.vectors.ravel(),
        )

    def rename(self, names: Mapping[str, str] | Callable[[str], str]) -> RDMs:
        """Return the same RDMs with other names of conditions.

        Parameters
        ----------
        names : mapping of str to str, or callable
            From old names to new ones; conditions that a mapping does not hold keep theirs.

        Returns
        -------
        RDMs
            Conditions in the same order.

        Raises
        ------
        InputError
            If a name of the mapping is no condition (the nearest is named), or two conditions
            would have one name.

        See Also
        --------
        rsa_faces.rdm.read_names : The mapping from a table of two columns.

        Examples
        --------
        >>> import rsa_faces as rf
        >>> rdms = rf.RDMs([[1.0, 2, 3]], ["a", "b", "c"], "euclidean")
        >>> rdms.rename({"a": "ann"}).conditions
        ('ann', 'b', 'c')
        """
        if isinstance(names, Mapping):
            known = dict.fromkeys(self.conditions)
            for old in names:
                check_choice(old, known, what="condition to rename:")
            new = [names.get(name, name) for name in self.conditions]
        elif callable(names):
            new = [names(name) for name in self.conditions]
        else:
            raise TypeError(
                "expected a mapping of old to new names, or a function, got "
                f"{type(names).__name__}."
            )
        return self._replace(conditions=check_unique_names(new, what="condition"))

    def with_labels(self, **labels: Any) -> RDMs:
        """Return the same RDMs with these label columns added or replaced.

        Raises
        ------
        InputError
            If a label has neither one value nor one per RDM.
        """
        columns = {name: _per_rdm(value, name, len(self)) for name, value in labels.items()}
        for name, values in columns.items():
            if len(values) != len(self):
                raise InputError(
                    f"expected a value of the label {name!r} for each of {len(self)} RDMs, got "
                    f"{len(values)}."
                )
        return self._replace(labels=self._labels.assign(**columns))

    def equals(self, other: object) -> bool:
        """Whether `other` has the same conditions in the same order, values, measure and labels."""
        return isinstance(other, RDMs) and self.hash == other.hash

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an HDF5 file (whole or not at all); read it with :func:`load_rdms`."""
        from rsa_faces.rdm._io import save_rdms

        save_rdms(self, Path(path))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> RDMs:
        """Read an HDF5 file that :meth:`save` wrote; the same as :func:`load_rdms`."""
        from rsa_faces.rdm._io import load_rdms

        return load_rdms(path)

    def to_rsatoolbox(self):
        """Return an ``rsatoolbox.rdm.RDMs`` with the same content.

        Conditions become ``pattern_descriptors["condition"]``, labels ``rdm_descriptors``.
        """
        from rsa_faces.rdm._rsatoolbox import to_rsatoolbox

        return to_rsatoolbox(self)

    @staticmethod
    def from_rsatoolbox(rdms, *, conditions: str = "condition") -> RDMs:
        """Make RDMs from an ``rsatoolbox.rdm.RDMs``.

        Parameters
        ----------
        rdms : rsatoolbox.rdm.RDMs
            Read, never changed.
        conditions : str, default "condition"
            The pattern descriptor that holds the condition names.
        """
        from rsa_faces.rdm._rsatoolbox import from_rsatoolbox

        return from_rsatoolbox(rdms, conditions=conditions)

    def _replace(self, **changes: Any) -> RDMs:
        """Return a copy with some parts replaced."""
        parts = {
            "vectors": self.vectors,
            "conditions": self.conditions,
            "measure": self.measure,
            "labels": self._labels,
        }
        return RDMs(**(parts | changes))


def concat(rdms: Iterable[RDMs], *, conditions: str = "same") -> RDMs:
    """Put RDMs one after the other, aligned by condition name to the first.

    Parameters
    ----------
    rdms : iterable of RDMs
        In any order of conditions, with the same measure or not.
    conditions : {"same", "union"}, default "same"
        What happens to conditions that not all have: an error, or all conditions of any come
        together, those of the first in their order, then those that the next ones add. A pair that
        an object does not hold was not measured there: NaN. (A pair that none holds, of images
        that nobody saw both of, stays NaN throughout.)

    Returns
    -------
    RDMs
        Labels are the union of columns (missing where an object lacks one). When measures
        differ, `measure` is "mixed" and the label ``measure`` names each RDM's own.

    Raises
    ------
    ConditionMismatchError
        If the sets of conditions differ and their union was not asked for.
    InputError
        If there is nothing to put together.

    See Also
    --------
    load_rdms : Read RDMs from an HDF5 file written by :meth:`RDMs.save`, or from a tidy CSV table.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> first = rf.RDMs([1.0, 2, 3], ["a", "b", "c"], "rating", {"subject": ["1"]})
    >>> second = rf.RDMs([4.0, 5, 6], ["b", "c", "d"], "rating", {"subject": ["2"]})
    >>> both = rf.rdm.concat([first, second], conditions="union")
    >>> both.vectors
    array([[ 1.,  2., nan,  3., nan, nan],
           [nan, nan, nan,  4.,  5.,  6.]])
    """
    check_choice(conditions, ("same", "union"), what="rule for conditions")
    parts = list(rdms)
    check_enough(len(parts), 1, "RDMs object to put together")
    for i, part in enumerate(parts):
        if not isinstance(part, RDMs):
            raise TypeError(f"expected RDMs to put together, got {type(part).__name__} as {i}.")
    first = parts[0]
    names = tuple(dict.fromkeys(name for part in parts for name in part.conditions))
    for i, part in enumerate(parts[1:], start=1):
        if conditions == "same" and set(part.conditions) != set(first.conditions):
            raise ConditionMismatchError(
                first.conditions,
                part.conditions,
                left_name="object 0",
                right_name=f"object {i}",
                hint='Take the common ones with subset(), or all with conditions="union".',
            )
    measures = {part.measure for part in parts}
    frames = [part.labels for part in parts]
    if len(measures) > 1:
        frames = [
            f.assign(measure=f.get("measure", p.measure))
            for f, p in zip(frames, parts, strict=True)
        ]
    return RDMs(
        np.concatenate([_spread(part, names) for part in parts]),
        names,
        first.measure if len(measures) == 1 else "mixed",
        pd.concat(frames, ignore_index=True),
    )


def _spread(rdms: RDMs, conditions: tuple[str, ...]) -> np.ndarray:
    """Return vectors over these conditions; pairs with one that the RDMs lack are NaN."""
    if len(conditions) == rdms.n_conditions:
        return rdms.align(conditions).vectors
    position = {name: i for i, name in enumerate(conditions)}
    places = np.array([position[name] for name in rdms.conditions])
    row, col = np.triu_indices(rdms.n_conditions, k=1)
    vectors = np.full((len(rdms), len(conditions) * (len(conditions) - 1) // 2), np.nan)
    vectors[:, pair_index(places[row], places[col], len(conditions))] = rdms.vectors
    return vectors


def pair_index(row: np.ndarray, col: np.ndarray, n_conditions: int) -> np.ndarray:
    """Return positions of pairs (row, col) in the row-major upper triangle."""
    low, high = np.minimum(row, col), np.maximum(row, col)
    return low * (2 * n_conditions - low - 1) // 2 + high - low - 1


def check_measured(rdms: RDMs, what: str, used: np.ndarray | slice = slice(None)) -> None:
    """Check that no pair (of those that are used) is missing."""
    if missing := int(np.isnan(rdms.vectors[:, used]).sum()):
        raise InputError(
            f"expected every pair measured in {what}, but {missing} are missing (NaN). Leave those "
            "conditions out with subset()."
        )


def named_matrices(matrices: Any, conditions: Sequence[str] | None):
    """Return matrices (n_rdms, n, n), names of their rows, and the keys of a mapping of them."""
    of_several = isinstance(matrices, Mapping) and any(
        len(getattr(value, "shape", ())) == 2 for value in matrices.values()
    )
    names = as_names(matrices, what="RDM") if of_several else None
    stack = list(matrices.values()) if of_several else matrices
    square, conditions = named(stack, conditions, what="matrices", axes=(-2, -1), missing=True)
    return square[None] if square.ndim == 2 else square, conditions, names


def rounding(matrix: np.ndarray) -> float:
    """Return how far halves of a matrix may differ, and a diagonal from 0, by rounding.

    16 units in the last place of the largest value: in single precision, also where a matrix came
    in double, as it may have been computed in single; of half precision in that.
    """
    half = matrix.dtype.kind == "f" and matrix.dtype.itemsize < 4
    largest = np.max(np.abs(matrix), initial=0.0, where=np.isfinite(matrix))
    return float(16 * np.finfo(np.float16 if half else np.float32).eps * largest)


def symmetric(matrices: np.ndarray, what: str = "matrix") -> np.ndarray:
    """Return dissimilarity matrices (n_rdms, n, n) in double precision, symmetric to the bit.

    Raises
    ------
    InputError
        If a diagonal is not zero (or NaN) or the halves differ, but for :func:`rounding`.
    """
    square = matrices.astype(np.float64)
    for i, matrix in enumerate(square):
        slack = rounding(matrices[i])
        diagonal = np.nan_to_num(np.diagonal(matrix), nan=0.0)
        worst = int(np.argmax(np.abs(diagonal)))
        if abs(diagonal[worst]) > slack:
            raise InputError(
                f"expected a zero diagonal, but {what} {i} has {diagonal[worst]:.6g} at "
                f"position {worst}. A similarity matrix must be turned into dissimilarities "
                "first; within-condition dissimilarities have no place in an RDM."
            )
        with np.errstate(invalid="ignore"):
            apart = np.abs(matrix - matrix.T)
        one_sided = np.isnan(matrix) != np.isnan(matrix.T)
        if one_sided.any() or (largest := np.nanmax(apart, initial=0.0)) > slack:
            r, c = np.argwhere(one_sided if one_sided.any() else apart == largest)[0]
            raise InputError(
                f"expected symmetric matrices, but {what} {i} has {matrix[r, c]:.6g} at "
                f"({r}, {c}) and {matrix[c, r]:.6g} at ({c}, {r}). If the two halves are two "
                "measurements, average them first."
            )
        if largest:
            square[i] = (matrix + matrix.T) / 2
    return square


def _as_vectors(vectors: Any) -> np.ndarray:
    """Return vectors as a fresh array (n_rdms, n_pairs), float64."""
    array = unnamed(
        vectors, what="vectors", missing=True, hint="Square matrices: RDMs.from_matrices."
    )
    return np.array(array, dtype=np.float64, ndmin=2, order="C", copy=True)


def _per_rdm(value: Any, name: str, n_rdms: int) -> Any:
    """Return the values of a label in the order of the RDMs; one value is that of all."""
    no_order = isinstance(value, (Mapping, set, frozenset, Iterator))
    if no_order or (isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value)):
        raise InputError(
            f"expected one value of the label {name!r}, or a list of one per RDM, got a "
            f"{type(value).__name__}{'' if no_order else ' with masked values'}."
        )
    if isinstance(value, (pd.Series, pd.Index)):
        return value.array
    alone = isinstance(value, (str, bytes)) or np.ndim(value) == 0
    return [value] * n_rdms if alone else list(value)


def _as_labels(labels: Any, n_rdms: int) -> pd.DataFrame:
    """Return labels as a fresh frame with one row per RDM and a plain index."""
    if labels is None:
        return pd.DataFrame(index=pd.RangeIndex(n_rdms))
    if isinstance(labels, pd.DataFrame):
        frame = labels.reset_index(drop=True)
    else:
        columns = {k: _per_rdm(v, k, n_rdms) for k, v in dict(labels).items()}
        try:
            frame = pd.DataFrame(columns, index=pd.RangeIndex(n_rdms) if not columns else None)
        except ValueError as err:
            raise InputError(f"expected labels with one value per RDM ({n_rdms}): {err}.") from err
    frame = frame.copy()
    frame.columns = [str(c) for c in frame.columns]
    if frame.columns.duplicated().any():
        raise InputError(
            f"expected unique label columns, got {list(frame.columns)!r} with duplicates."
        )
    if len(frame) != n_rdms:
        raise InputError(f"expected labels with {n_rdms} rows, one per RDM, got {len(frame)}.")
    return frame
