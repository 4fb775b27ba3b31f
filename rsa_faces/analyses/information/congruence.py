"""Congruence: whether the directions that carry two labels coincide, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of, matched

_CHUNK = 64_000_000  # bytes of class weights at a time
_RELIABLE = 0.1  # below this, dividing by the reliability says nothing


@dataclass(frozen=True, eq=False, repr=False)
class Congruence(BaseResult, figure="plot_congruence"):
    """How far two labels share directions in each layer.

    Attributes
    ----------
    table : DataFrame
        One row per layer; see :func:`congruence`.
    angles : DataFrame
        One row per layer and principal angle: ``layer``, ``number`` (from 1), ``degrees``.
    names : tuple of str
        Of the two labels.
    settings : dict
        Options, for provenance.
    """

    table: pd.DataFrame
    angles: pd.DataFrame
    names: tuple[str, str]

    def __repr__(self) -> str:
        return f"Congruence({self.names[0]!r} and {self.names[1]!r}, {len(self.table)} layers)"


@keep_warnings
def congruence(
    activations,
    first: Mapping[str, Any] | pd.Series,
    second: Mapping[str, Any] | pd.Series,
    *,
    conditions: Sequence[str] | None = None,
    across: Mapping[str, Any] | pd.Series | None = None,
    n_dimensions: int = 10,
    n_splits: int = 20,
    n_permutations: int = 1000,
    names: tuple[str, str] = ("first", "second"),
    match: str = "same",
    seed: int = 0,
    progress: bool = True,
) -> Congruence:
    """Compare the subspaces in which two labels vary, such as identity and expression.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
        Features; for a plain mapping give `conditions`.
    first, second : mapping or Series, condition to label
        The two labels; with many classes in one of them, faster with that one first. Best crossed
        and balanced (every person with every expression): where the two go together, so do their
        directions.
    conditions : sequence of str, optional
        The name of each row of a plain mapping.
    across : mapping or Series, condition to unit, optional
        Units, such as people: halves share none, and labels are exchanged within them, or between
        them where both labels are theirs (gender and age). By default the classes of the label
        that has more.
    n_dimensions : int, default 10
        Most dimensions of a subspace; a label of c classes has at most c − 1.
    n_splits : int, default 20
        Random halves of the units, for the reliability; 0 leaves it out.
    n_permutations : int, default 1000
        For the null.
    names : (str, str)
        Of the labels, for tables and figures.
    match : {"same", "intersection"}, default "same"
        As for :func:`rsa_faces.analyses.readout`.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    Congruence
        Its table has, per layer in order: ``network``, ``layer``, ``layer_index``, ``depth``;
        ``congruence``, from 0 (orthogonal) to 1 (one subspace holds the other); ``null_mean``,
        ``null_low``, ``null_high`` (95 %) of directions that say nothing of the second label;
        ``p_less`` and ``p_greater`` (one-sided); ``reliability_first``, ``reliability_second`` (of
        the subspaces, between halves) and ``corrected`` (congruence between halves over the
        geometric mean of the reliabilities, which can pass 1: a label of few dimensions may lie in
        the reliable part of the other's subspace; NaN where a reliability is below 0.1);
        ``n_dimensions_first``, ``n_dimensions_second``, ``n_conditions``.

    Raises
    ------
    ConditionMismatchError
        If names of features and labels differ and `match` is "same".
    InputError
        If a label has fewer than two classes, or every condition has a class of its own; if
        features are not finite or do not vary.

    Notes
    -----
    The subspace of a label is spanned by the leading principal components of its class means
    (between-class PCA). With orthonormal bases U and V, congruence is ‖UᵀV‖² / min(d₁, d₂), the
    mean squared cosine of the principal angles [1]_; for one dimension each it is the square of
    Tucker's congruence coefficient. All is computed from inner products.

    The null: of the two labels the one that varies within units is permuted within them (the
    second, and within classes of the first, if both do; between units if neither does), and its
    subspace found anew. These are random directions, drawn from the same data with the same
    variances; directions drawn evenly in the space of channels would be nearly orthogonal to
    everything, and prove nothing.

    Noise makes subspaces of few conditions less alike than they are, and noise that both labels
    share (their means are of the same images) makes them more alike. Halves of the units share no
    image, so they are free of the second; the reliability of each subspace, between halves, tells
    of the first, and of how far directions hold for other people.

    References
    ----------
    .. [1] Björck Å., Golub G. H. (1973). Mathematics of Computation 27, 579-594.
       doi:10.1090/S0025-5718-1973-0348991-3

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import congruence
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(20) for e in ("neutral", "smiling")]
    >>> person = {name: name.split()[1] for name in names}
    >>> smiling = {name: name.split()[2] for name in names}
    >>> x = rng.normal(size=(40, 30)) * 0.1
    >>> x[:, :10] += np.repeat(rng.normal(size=(20, 10)), 2, axis=0)  # simulated: who
    >>> x[1::2, 20] += 1  # a smile, in another direction
    >>> found = congruence({"layer": x}, person, smiling, conditions=names, n_permutations=99)
    >>> bool(found.table["congruence"][0] < 0.1)
    True
    """
    check_count(n_dimensions, what="n_dimensions")
    check_count(n_splits, what="n_splits", low=0)
    check_count(n_permutations, what="n_permutations", low=1)
    rng = as_rng(seed)
    layers = as_layers(activations, conditions)
    given = [(names[0], first), (names[1], second)]
    if across is not None:
        given.append(("across", across))
    layers, found, _ = matched(layers, given, match)
    codes = []
    for name, values in zip(names, found[:2], strict=True):
        code, kinds = codes_of(values)
        if not 2 <= len(kinds) < len(code):
            raise InputError(
                f"expected at least 2 classes of {name!r} with several conditions, got "
                f"{len(kinds)} classes of {len(code)} conditions."
            )
        codes.append(code)
    a, b = codes
    n = len(a)
    units = codes_of(found[2])[0] if across is not None else max(codes, key=np.max)
    swap = _varies(a, units) and not _varies(b, units)  # congruence is the same either way round
    shuffled = _shuffled(*((a, b) if swap else (b, a)), units, n_permutations, rng)
    halves = _halves(a, b, units, n_splits, rng)
    rows, angles = [], []
    with progress_bar("congruence", len(layers), show=progress) as tell:
        for i, (layer, patterns) in enumerate(layers.items()):
            check_finite(patterns, layers.conditions, layer)
            products, n_varying = grams(patterns, [np.arange(n)], standardize=False)
            if not n_varying.all():
                raise InputError(f"expected channels that vary, but layer {layer!r} has none.")
            gram = products[0]
            base, other = (_bases(gram, c[None], n_dimensions)[0] for c in (a, b))
            base, other = base[base.any(axis=1)], other[other.any(axis=1)]
            if not len(base) or not len(other):
                name = names[1 if len(base) else 0]
                raise InputError(
                    f"expected classes of {name!r} whose mean patterns differ, but in layer "
                    f"{layer!r} they are the same."
                )
            cosines = np.linalg.svd(base @ gram @ other.T, compute_uv=False).clip(0, 1)
            value = float((cosines**2).mean())
            kept = other if swap else base
            null = _overlaps(kept[None], gram, _bases(gram, shuffled, n_dimensions))
            low, high = np.percentile(null, [2.5, 97.5])
            reliable = _reliability(gram, a, b, halves, n_dimensions)
            rows.append(
                {
                    "network": layers.network, "layer": layer, "layer_index": i,
                    "depth": layers.depth[layer], "congruence": value, "null_mean": null.mean(),
                    "null_low": low, "null_high": high,
                    "p_less": (1 + (null <= value + 1e-12).sum()) / (1 + n_permutations),
                    "p_greater": (1 + (null >= value - 1e-12).sum()) / (1 + n_permutations),
                    **reliable, "n_dimensions_first": len(base),
                    "n_dimensions_second": len(other), "n_conditions": n,
                }
            )  # fmt: skip
            angles += [
                {"layer": layer, "number": k + 1, "degrees": float(np.degrees(np.arccos(c)))}
                for k, c in enumerate(cosines)
            ]
            tell(i + 1)
    settings = {
        "n_dimensions": n_dimensions, "n_splits": n_splits, "n_permutations": n_permutations,
        "match": match, "seed": seed,
    }  # fmt: skip
    return Congruence(pd.DataFrame(rows), pd.DataFrame(angles), tuple(names), settings=settings)


def _bases(gram: np.ndarray, codes: np.ndarray, n_dimensions: int, inside=None) -> np.ndarray:
    """Return orthonormal bases of class means, as weights of the conditions.

    One for each row of `codes` (n_codings, n_conditions), of the conditions `inside` only, if
    given; shape (n_codings, n_dimensions, n_conditions). ``basis @ gram @ basis.T`` is the
    identity; dimensions that the means do not have are zero.
    """
    n_kinds, n = int(codes.max()) + 1, len(gram)
    d = min(n_dimensions, n_kinds - 1)
    bases = np.empty((len(codes), d, n))
    step = max(1, _CHUNK // (8 * n_kinds * n))
    for start in range(0, len(codes), step):
        part = slice(start, start + step)
        means = (codes[part, None] == np.arange(n_kinds)[:, None]).astype(float)
        if inside is not None:
            means *= inside[part, None]
        counts = means.sum(axis=2)
        present = counts > 0
        means /= np.maximum(counts, 1)[..., None]
        centre = means.sum(axis=1) / present.sum(axis=1)[:, None]
        means -= present[..., None] * centre[:, None]
        values, vectors = np.linalg.eigh(means @ gram @ means.transpose(0, 2, 1))
        values, vectors = values[:, : -d - 1 : -1], vectors[..., : -d - 1 : -1]
        floor = 1e-10 * np.maximum(values[:, :1], 1e-10 * np.abs(gram).max())
        scale = np.where(values > floor, 1 / np.sqrt(np.maximum(values, floor)), 0)
        bases[part] = (vectors * scale[:, None]).transpose(0, 2, 1) @ means
    return bases


def _overlaps(one: np.ndarray, gram: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the mean squared cosines between subspaces, pair by pair; NaN without dimensions."""
    fewer = np.minimum(*(basis.any(axis=2).sum(axis=1) for basis in (one, two)))
    squares = ((one @ gram @ two.transpose(0, 2, 1)) ** 2).sum(axis=(1, 2))
    return np.where(fewer > 0, squares / np.maximum(fewer, 1), np.nan)


def _reliability(gram, a, b, halves: np.ndarray, n_dimensions: int) -> dict[str, float]:
    """Return how alike subspaces of two halves are, and congruence corrected by it."""
    if not len(halves):
        return dict.fromkeys(("reliability_first", "reliability_second", "corrected"), np.nan)
    (a1, a2), (b1, b2) = (
        [
            _bases(gram, np.tile(c, (len(halves), 1)), n_dimensions, side)
            for side in (halves, ~halves)
        ]
        for c in (a, b)
    )
    first, second = _overlaps(a1, gram, a2), _overlaps(b1, gram, b2)
    cross = (_overlaps(a1, gram, b2) + _overlaps(a2, gram, b1)) / 2
    first, second, cross = (float(v.mean()) for v in (first, second, cross))
    enough = min(first, second) >= _RELIABLE
    return {
        "reliability_first": first, "reliability_second": second,
        "corrected": cross / np.sqrt(first * second) if enough else np.nan,
    }  # fmt: skip


def _varies(codes: np.ndarray, units: np.ndarray) -> bool:
    """Return whether a unit has more than one of these labels."""
    return len(np.unique(np.stack([codes, units]), axis=1).T) > units.max() + 1


def _shuffled(codes, others, units, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Return permuted labels, (n_permutations, n_conditions): see the notes on the null."""
    if not _varies(codes, units):
        of_unit = np.empty(units.max() + 1, np.int64)
        of_unit[units] = codes
        return rng.permuted(np.tile(of_unit, (n_permutations, 1)), axis=1)[:, units]
    cells = units * (others.max() + 1) + others
    blocks = cells if _varies(codes, np.unique(cells, return_inverse=True)[1]) else units
    # Random numbers sorted within blocks: a permutation of each block, for all draws at once.
    home = np.argsort(blocks, kind="stable")
    drawn = rng.random((n_permutations, len(codes)))
    order = np.argsort(blocks + drawn, axis=1)
    result = np.empty((n_permutations, len(codes)), np.int64)
    result[:, home] = codes[order]
    return result


def _halves(a, b, units, n_splits: int, rng: np.random.Generator) -> np.ndarray:
    """Return which conditions are in the first half, (n_splits, n_conditions).

    Units of each class are dealt out in turn, for labels that are a unit's own.
    """
    n_units = int(units.max()) + 1
    stratum = np.zeros(n_units)
    for codes in (a, b):
        if not _varies(codes, units) and codes.max() + 1 < n_units:
            of_unit = np.empty(n_units)
            of_unit[units] = codes
            stratum = stratum * (codes.max() + 1) + of_unit
    order = np.argsort(stratum + rng.random((n_splits, n_units)), axis=1)
    first = np.empty((n_splits, n_units), bool)
    turns = (np.arange(n_units) + rng.integers(2, size=(n_splits, 1))) % 2 == 0
    np.put_along_axis(first, order, turns, axis=1)
    return first[:, units]
