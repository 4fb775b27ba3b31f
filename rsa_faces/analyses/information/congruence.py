"""Congruence: whether the directions that carry two labels coincide, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.exchange import exchanged, varies_inside
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces._core.words import counted
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of, matched

_CHUNK = 64_000_000  # bytes of class weights at a time
_RELIABLE = 0.1  # below this, dividing by the reliability says nothing
_RELIABILITY = ("reliability_first", "reliability_second", "corrected")
_AGAINST = ("null_mean", "null_low", "null_high", "excess", "p_less", "p_greater")
_MEASURED = ("congruence", *_AGAINST, *_RELIABILITY, "tucker", *(f"tucker_{c}" for c in _AGAINST))
_ROUNDING = 1e-12  # squared, of patterns whose mean square is 1
_STRENGTH = 0.1  # of the ridge of read-out directions, times the mean squared length of patterns


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

    See Also
    --------
    congruence : Compare the subspaces in which two labels vary, such as identity and expression.
    rsa_faces.figures.plot_congruence : Draw the congruence of two labels from layer to layer.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import congruence
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(20) for e in ("neutral", "smiling")]
    >>> person = {name: name.split()[1] for name in names}
    >>> smiling = {name: name.split()[2] for name in names}
    >>> x = 0.3 * rng.normal(size=(40, 12)) + np.repeat(rng.normal(size=(20, 12)), 2, axis=0)
    >>> x[1::2, 0] += 3  # simulated: one channel sees smiles
    >>> found = congruence({"fc": x}, person, smiling, conditions=names, n_permutations=19)
    >>> len(found.table), "congruence" in found.table, len(found.angles) > 0
    (1, True, True)
    """

    table: pd.DataFrame
    angles: pd.DataFrame
    names: tuple[str, str]

    def __repr__(self) -> str:
        layers = counted(len(self.table), "layer")
        return f"Congruence({self.names[0]!r} and {self.names[1]!r}, {layers})"


@keep_warnings
def congruence(
    activations,
    first: Labels,
    second: Labels,
    *,
    conditions: Sequence[str] | None = None,
    across: Labels | None = None,
    within: Labels | None = None,
    directions: str = "means",
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
        (or of `within`) that has most; name people here unless one of these is the person.
    within : mapping or Series, condition to cell, optional
        Cells of the other factors of the design, such as the view of an identity × expression ×
        view design (tuples for several factors). Their effects are taken off first (least squares,
        with units), and labels are exchanged inside them only.
    directions : {"means", "readout"}, default "means"
        Subspaces of class means, or of the weights of a linear read-out (ridge on one-hot labels,
        strength 0.1 times the mean squared length of the patterns).
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
        ``excess`` (congruence less ``null_mean``); ``p_less`` and ``p_greater`` (one-sided; NaN for
        directions of a read-out, see the notes);
        ``tucker``, the mean absolute cosine of each of the leading `n_dimensions` directions of the
        one with each of the other's, and the same columns for it (``tucker_null_mean``, …,
        ``tucker_p_greater``); ``reliability_first``, ``reliability_second`` (of
        the subspaces, between halves) and ``corrected`` (congruence between halves over the
        geometric mean of the reliabilities; NaN where a reliability is below 0.1, or where this
        passes 1, as it does for a label of few dimensions in the reliable part of the other's
        subspace); ``n_dimensions_first``, ``n_dimensions_second``, ``room`` (dimensions of the
        layer), ``n_conditions``. Where ``room`` is less than both subspaces need to be orthogonal,
        all is NaN, and a note says so.

    Raises
    ------
    ConditionMismatchError
        If names of features and labels differ and `match` is "same".
    InputError
        If a label has fewer than two classes, or every condition has a class of its own; if
        features are not finite or do not vary.

    See Also
    --------
    readout : Read labels from frozen features with one linear layer, cross-validated.
    rsa_faces.figures.plot_congruence : Draw the congruence of two labels from layer to layer.

    Notes
    -----
    The subspace of a label is spanned by the leading principal components of its class means
    (between-class PCA). Where one label varies within units (expressions of people), the effects of
    the other are taken off first (least squares): nothing changes if every unit has all classes,
    and where images are missing means do not hold more of some. With orthonormal bases U and V,
    congruence is ‖UᵀV‖² / min(d₁, d₂), the mean squared cosine of the principal angles [1]_; for
    one dimension each it is the square of Tucker's congruence coefficient. All is computed from
    inner products.

    Which to read, by simulation with known angles (20 people × 4 expressions × 3 views, 32 to 512
    channels, ``scripts/simulate_congruence.py angles``): ``corrected`` of class means comes nearest
    to the true squared cosine (root mean square error .04 to .05 with little noise, .09 to .12 with
    more, .14 to .17 with much; but .44 in 32 channels with much noise, where it is too high).
    ``congruence`` itself falls with noise (.03 to .08, .10 to .19, .27 to .38). Directions of a
    read-out turn away from what both labels share: ``congruence`` errs by .39 to .59, too low.
    ``tucker`` is no angle: it reaches .26 where a subspace of 3 lies in one of 10. ``excess``
    compares layers of other widths, but is no angle either.

    From layer to layer these measures can go opposite ways: where the true squared cosine is .30 in
    all of five layers and only noise falls from the first to the last, ``congruence`` of class
    means rises from .18 to .28, ``tucker`` of read-out directions, the published measure, falls
    from .07 to .04, and ``corrected`` of class means stays nearest (.38 to .29). Layers that get
    wider let both fall (.32 to .24 and .09 to .03). So neither a rise nor a fall of the first two
    shows that directions turn; where they truly turn away, all four fall (``corrected`` from .55 to
    .04 for .60 to 0; ``scripts/simulate_congruence.py depth --simulations 30``).

    The null: of the two labels the one that varies within units is permuted within them (the
    second, if both do; between units, if neither does), and within classes of the other where it
    varies there, so that labels that were crossed stay crossed; and its subspace is found anew.
    These are random directions, drawn from the same data with the same variances; directions drawn
    evenly in the space of channels would be nearly orthogonal to everything, and prove nothing.
    Labels exchanged across a third factor take on its directions: with views away from identity 87
    % of 400 studies without any effect had p_greater ≤ 0.05, and 4.8 % within cells of view (p_less
    4.5 %; with an effect of independent direction 2.5 and 0.3 %; ``scripts/simulate_congruence.py
    level --simulations 400``).

    Read-out directions of labels that tell nothing follow the noise; those of two labels that do
    tell something differ from these however independent they are: of 100 simulated studies of
    independent directions 77 to 100 had p_greater ≤ 0.05 in one design (12 people × 4 expressions ×
    3 views, much noise), and 43 % of 30 p_less in another (little noise); so p is not given for
    them, and the null is that of exchanged labels only.

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
    check_choice(directions, ["means", "readout"], what="directions")
    rng = as_rng(seed)
    layers = as_layers(activations, conditions)
    given = [(names[0], first), (names[1], second)]
    if across is not None:
        given.append(("across", across))
    if within is not None:
        given.append(("within", within))
    layers, found, _ = matched(layers, given, match)
    cells = codes_of(found.pop())[0] if within is not None else None
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
    if across is not None:
        units = codes_of(found[2])[0]
    else:
        units = max([*codes, *([cells] if cells is not None else [])], key=np.max)
    if units.max() < 1:
        raise InputError("expected at least 2 units in `across`, got 1.")
    swap = varies_inside(a, units) and not varies_inside(
        b, units
    )  # congruence is the same either way round
    # A read-out turns away from the other label by itself.
    offs = _offs(a, b, units) if directions == "means" else [None, None]
    shuffled = _shuffled(*((a, b) if swap else (b, a)), units, n_permutations, rng, cells)
    halves = _halves(a, b, units, n_splits, rng)
    rows, angles, crowded = [], [], []
    with progress_bar("congruence", len(layers), show=progress) as tell:
        for i, (layer, patterns) in enumerate(layers.items()):
            check_finite(patterns, layers.conditions, layer)
            products, n_varying = grams(patterns, [np.arange(n)], standardize=False)
            if not n_varying.all():
                raise InputError(f"expected channels that vary, but layer {layer!r} has none.")
            # Directions have no unit; weights of a read-out would have the inverse one.
            gram = products[0] / (np.trace(products[0]) / n)
            gram = gram if cells is None else _without(gram, cells, units)
            sides = [_Side.of(gram, off, directions, n_dimensions) for off in offs]
            base, other = (side.bases(c[None])[0] for side, c in zip(sides, (a, b), strict=True))
            # Means of k classes span k - 1 dimensions at most, fewer where some follow from others.
            base, other = base[base.any(axis=1)], other[other.any(axis=1)]
            if not len(base) or not len(other):
                name = names[1 if len(base) else 0]
                raise InputError(
                    f"expected classes of {name!r} whose mean patterns differ, but in layer "
                    f"{layer!r} they are the same."
                )
            cosines = np.linalg.svd(base @ gram @ other.T, compute_uv=False).clip(0, 1)
            # Two subspaces of d and e dimensions have to meet where there are fewer than d + e:
            # their overlap would say nothing of the labels.
            room = np.linalg.matrix_rank(gram, tol=1e-10 * np.trace(gram), hermitian=True)
            row = {
                "network": layers.network,
                "layer": layer,
                "layer_index": i,
                "depth": layers.depth[layer],
            }
            if len(base) + len(other) > room:
                crowded.append(f"{layer} ({room})")
                row |= dict.fromkeys(_MEASURED, np.nan)
            else:
                kept = other if swap else base
                null = sides[0 if swap else 1].bases(shuffled)
                null = np.array([_overlaps(kept[None], gram, null), _cosines(kept, gram, null)])
                value = _overlaps(base[None], gram, other[None])[0]
                tucker = _cosines(base, gram, other[None])[0]
                row |= _against(value, null[0], "")
                row |= _reliability(gram, a, b, halves, sides)
                row |= _against(tucker, null[1], "tucker_")
            rows.append(
                {
                    **row,
                    "n_dimensions_first": len(base),
                    "n_dimensions_second": len(other),
                    "room": int(room),
                    "n_conditions": n,
                }
            )
            angles += [
                {"layer": layer, "number": k + 1, "degrees": float(np.degrees(np.arccos(c)))}
                for k, c in enumerate(cosines)
            ]
            tell(i + 1)
    if directions == "readout":
        for row in rows:
            row |= dict.fromkeys(
                [name for name in row if "p_less" in name or "p_greater" in name], np.nan
            )
        warn(
            f"p of read-out directions of {names[0]} and {names[1]} is not given: those of "
            "exchanged labels, which tell nothing, lie elsewhere than those of labels that tell "
            "something, however independent. Take directions='means' for p."
        )
    if crowded:
        warn(
            f"congruence of {names[0]} and {names[1]} is undefined in {len(crowded)} layers, whose "
            "dimensions (in brackets) leave no room for both subspaces beside each other: "
            f"{', '.join(crowded[:5])}. Take fewer `n_dimensions`."
        )
    settings = {
        "directions": directions,
        "n_dimensions": n_dimensions,
        "n_splits": n_splits,
        "n_permutations": n_permutations,
        "match": match,
        "seed": seed,
    }
    return Congruence(pd.DataFrame(rows), pd.DataFrame(angles), tuple(names), settings=settings)


@dataclass(frozen=True, eq=False)
class _Side:
    """A label's patterns, as weights of the conditions (`off`), and how directions are found."""

    gram: np.ndarray
    off: np.ndarray | None
    ridge: np.ndarray | None
    n_dimensions: int

    @classmethod
    def of(cls, gram, off, directions: str, n_dimensions: int) -> _Side:
        gram = gram if off is None else off @ gram @ off.T
        return cls(gram, off, _ridge(gram) if directions == "readout" else None, n_dimensions)

    def bases(self, codes: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
        """Return bases of labels (n_codings, n_conditions), of the conditions `inside` only."""
        ridge = self.ridge
        if ridge is not None and inside is not None:
            ridge = np.array([_ridge(self.gram, half) for half in inside])
        found = _bases(self.gram, codes, self.n_dimensions, inside, ridge)
        return found if self.off is None else found @ self.off


def _offs(a: np.ndarray, b: np.ndarray, units: np.ndarray) -> list[np.ndarray | None]:
    """Return what takes other effects off each label's patterns: the other label's and units'.

    Where images are missing, means of one label hold more of some classes of the other, and their
    directions would meet by this alone. None where neither label varies within units, as their
    effects cannot be told apart.
    """
    varying = [varies_inside(code, units) for code in (a, b)]
    if not any(varying):
        return [None, None]
    whose = (units[:, None] == np.unique(units)).astype(float)
    within = np.eye(len(units)) - whose @ (whose / whose.sum(axis=0)).T
    offs = _off(b, units), _off(a, units)
    return [within @ off if own else off for off, own in zip(offs, varying, strict=True)]


def _bases(gram, codes, n_dimensions: int, inside=None, ridge=None) -> np.ndarray:
    """Return orthonormal bases of class means or read-out weights, as weights of the conditions.

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
        if ridge is None:
            means /= np.maximum(counts, 1)[..., None]
        else:
            means = means @ (ridge if ridge.ndim == 2 else ridge[part])
        centre = means.sum(axis=1) / present.sum(axis=1)[:, None]
        means -= present[..., None] * centre[:, None]
        # In weights of conditions, not channels: a layer may have a hundred thousand of those.
        values, vectors = np.linalg.eigh(means @ gram @ means.transpose(0, 2, 1))
        values, vectors = values[:, : -d - 1 : -1], vectors[..., : -d - 1 : -1]
        # A direction that only rounding has would come out as long as the others.
        floor = np.maximum(1e-10 * values[:, :1], _ROUNDING)
        scale = np.where(values > floor, 1 / np.sqrt(np.maximum(values, floor)), 0)
        bases[part] = (vectors * scale[:, None]).transpose(0, 2, 1) @ means
    return bases


def _overlaps(one: np.ndarray, gram: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the mean squared cosines between subspaces, pair by pair; NaN without dimensions."""
    fewer = np.minimum(*(basis.any(axis=2).sum(axis=1) for basis in (one, two)))
    squares = ((one @ gram @ two.transpose(0, 2, 1)) ** 2).sum(axis=(1, 2))
    return np.where(fewer > 0, squares / np.maximum(fewer, 1), np.nan)


def _cosines(one: np.ndarray, gram: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return mean absolute cosines of directions, each of `one` with each of every `two`."""
    pairs = len(one) * two.any(axis=2).sum(axis=1)
    total = np.abs(one @ gram @ two.transpose(0, 2, 1)).sum(axis=(1, 2))
    return np.where(pairs > 0, total / np.maximum(pairs, 1), np.nan)


def _against(value: float, null: np.ndarray, prefix: str) -> dict[str, float]:
    """Return a value and where it lies in its null, as columns."""
    low, high = np.percentile(null, [2.5, 97.5])
    numbers = {
        "null_mean": null.mean(),
        "null_low": low,
        "null_high": high,
        "excess": value - null.mean(),
        # What is equal but for rounding counts on both sides.
        "p_less": p_of(-value, -null)[0],
        "p_greater": p_of(value, null)[0],
    }
    return {prefix.rstrip("_") or "congruence": value} | {
        prefix + name: number for name, number in numbers.items()
    }


def _without(gram: np.ndarray, cells: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return inner products after the effects of cells are taken off.

    Least squares of units and cells together: units with other numbers of conditions in each cell
    keep their own means.
    """
    off = _off(cells, units)
    return off @ gram @ off.T


def _off(cells: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return what takes the effects of cells off patterns."""
    member, whose = ((c[:, None] == np.unique(c)).astype(float) for c in (cells, units))
    left = member - whose @ (whose.T @ member / whose.sum(axis=0)[:, None])
    return np.eye(len(cells)) - member @ np.linalg.pinv(left, rcond=1e-10)


def _ridge(gram: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Return what turns one-hot labels into weights of the conditions of a read-out.

    Ridge with an intercept, fitted to the conditions `inside` only, if given.
    """
    rows = np.arange(len(gram)) if inside is None else np.flatnonzero(inside)
    own = gram[np.ix_(rows, rows)]
    own = own - own.mean(axis=0) - own.mean(axis=1, keepdims=True) + own.mean()
    strength = _STRENGTH * (np.trace(own) / len(rows) or 1.0)
    solved = np.linalg.inv(own + strength * np.eye(len(rows)))
    # Labels less their mean: the intercept.
    solved -= solved.mean(axis=0)
    ridge = np.zeros_like(gram)
    ridge[np.ix_(rows, rows)] = solved
    return ridge


def _reliability(gram, a, b, halves: np.ndarray, sides: list[_Side]):
    """Return how alike subspaces of two halves are, and congruence corrected by it."""
    if not len(halves):
        return dict.fromkeys(_RELIABILITY, np.nan)
    (a1, b1), (a2, b2) = (
        [
            side.bases(np.tile(c, (len(halves), 1)), half)
            for side, c in zip(sides, (a, b), strict=True)
        ]
        for half in (halves, ~halves)
    )
    first, second = _overlaps(a1, gram, a2), _overlaps(b1, gram, b2)
    # Across halves, as reliabilities are: noise that both labels share in one half would count as
    # agreement.
    cross = (_overlaps(a1, gram, b2) + _overlaps(a2, gram, b1)) / 2
    first, second, cross = (float(v.mean()) for v in (first, second, cross))
    corrected = cross / np.sqrt(first * second) if min(first, second) >= _RELIABLE else np.nan
    # Above 1: a label of few dimensions that lies in the reliable part of the other's subspace.
    return dict(
        zip(_RELIABILITY, (first, second, corrected if corrected <= 1 else np.nan), strict=True)
    )


def _shuffled(codes, others, units, n: int, rng: np.random.Generator, cells=None) -> np.ndarray:
    """Return permuted labels, (n, n_conditions): see the notes on the null."""
    cells = np.zeros_like(codes) if cells is None else cells
    both = cells * (others.max() + 1) + others
    if varies_inside(codes, units):
        inner = np.unique(np.stack([units, both]), axis=1, return_inverse=True)[1].ravel()
    else:  # units exchange labels with those that have conditions in the same classes and cells
        present = np.zeros((units.max() + 1, both.max() + 1), bool)
        present[units, both] = True
        inner = np.unique(present, axis=0, return_inverse=True)[1].ravel()[units]
    cells = both if varies_inside(codes, inner) else cells
    return exchanged(codes, units, n, rng, cells)


def _halves(a, b, units, n_splits: int, rng: np.random.Generator) -> np.ndarray:
    """Return which conditions are in the first half, (n_splits, n_conditions).

    Units of each class are dealt out in turn, for labels that are a unit's own.
    """
    n_units = int(units.max()) + 1
    stratum = np.zeros(n_units)
    for codes in (a, b):
        if not varies_inside(codes, units) and codes.max() + 1 < n_units:
            of_unit = np.empty(n_units)
            of_unit[units] = codes
            stratum = stratum * (codes.max() + 1) + of_unit
    order = np.argsort(stratum + rng.random((n_splits, n_units)), axis=1)
    first = np.empty((n_splits, n_units), bool)
    # Every other one in a random order of each stratum: both halves hold half of it.
    turns = (np.arange(n_units) + rng.integers(2, size=(n_splits, 1))) % 2 == 0
    np.put_along_axis(first, order, turns, axis=1)
    return first[:, units]
