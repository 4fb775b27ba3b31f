"""What organises a geometry: distances between and within groups of faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.chance import reached, share
from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count, check_is
from rsa_faces._core.errors import InputError
from rsa_faces._core.exchange import exchanged, varies_inside
from rsa_faces._core.labels import Labels, by_name, codes_of
from rsa_faces._core.names import as_names, check_unique_names, named
from rsa_faces.behaviour.raters import z_in_runs
from rsa_faces.rdm import RDMs

_BLOCK = 2**22
_SIDES = ("between", "within")


def feature_masks(
    features: pd.DataFrame | Mapping[str, Any],
    conditions: Sequence[str],
    *,
    bins: Mapping[str, Sequence[float]] | None = None,
) -> pd.DataFrame:
    """Tell for every pair whether two faces are of one group.

    Parameters
    ----------
    features : DataFrame or mapping of name to values
        One row per condition (index: condition names; columns: age, gender, expression, …), or for
        each feature a mapping of condition to value. Conditions not asked for are ignored.
    conditions : sequence of str
        The faces.
    bins : mapping of feature to edges, optional
        Turn a feature of numbers into groups: value below the first edge, from the first edge up to
        the second, … (an edge belongs to the group above it).

    Returns
    -------
    DataFrame
        One row per pair, row-major upper triangle, with columns condition_a, condition_b and one
        per feature: True if both are of one group, False if not, missing if either has no value.

    Raises
    ------
    InputError
        If conditions have no row, a feature in `bins` does not exist or holds no numbers.

    See Also
    --------
    feature_contrast : Compare distances between groups of faces with those within groups.

    Examples
    --------
    >>> from rsa_faces.behaviour import feature_masks
    >>> age = {"x": 20, "y": 34, "z": 60}
    >>> feature_masks({"age": age}, list("xyz"), bins={"age": [30, 50]})["age"].tolist()
    [False, False, False]
    >>> feature_masks({"age": age}, list("xyz"), bins={"age": [50]})["age"].tolist()
    [True, False, False]
    """
    conditions = check_unique_names(conditions, what="condition")
    codes = _codes(features, conditions, bins)
    row, col = np.triu_indices(len(conditions), k=1)
    names = np.array(conditions, dtype=object)
    table = pd.DataFrame({"condition_a": names[row], "condition_b": names[col]})
    for name, code in codes.items():
        same = pd.array(code[row] == code[col], dtype="boolean")
        same[(code[row] < 0) | (code[col] < 0)] = pd.NA
        table[name] = same
    return table


def feature_contrast(
    rdms: RDMs,
    features: pd.DataFrame | Mapping[str, Any],
    *,
    bins: Mapping[str, Sequence[float]] | None = None,
    people: Labels | None = None,
    within: Labels | None = None,
    blocks: Labels | None = None,
    n_permutations: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare distances between groups of faces with those within groups.

    Parameters
    ----------
    rdms : RDMs
        Of raters, brains or layers.
    features, bins
        As for :func:`feature_masks`: age, gender, expression, identity, head orientation, …
    people : mapping or Series, condition to person, optional
        Needed for the test where several images show one person (Notes).
    within : mapping or Series of condition to cell, optional
        Cells of the other factors of the design, such as the view of an identity × expression ×
        view design (tuples for several factors): groups are shuffled inside them only.
    blocks : mapping or Series of condition to run, optional
        z-scores and means are those of the pairs within each run, averaged over runs, and groups
        are shuffled within runs. Pairs of faces of different runs are not used and may be NaN. With
        `people`, each person is in one run.
    n_permutations : int, default 999
        How often the groups are shuffled; 0 for no test.
    seed : int, default 0
        Of the shuffling; the same shuffles for all RDMs.

    Returns
    -------
    DataFrame
        One row per RDM and feature: the RDM's labels, feature, contrast (mean of pairs between
        groups minus mean of pairs within, in standard deviations of the RDM's pairs; above 0 if
        the feature organises the geometry), chance (mean contrast of the shuffles), between,
        within (those two means), n_between,
        n_within, n_groups, n_conditions, shuffled (what was: faces, people, or within people), p
        (one-sided, contrast above 0).

    Raises
    ------
    InputError
        If conditions have no row in `features`, no person in `people` or run in `blocks`, a person
        is in several runs, or a feature leaves no pair within or between groups in some RDM (in a
        run).

    See Also
    --------
    feature_masks : Tell for every pair whether two faces are of one group.
    rsa_faces.figures.plot_contrast : Draw how far apart groups of faces are.

    Notes
    -----
    Each RDM is z-scored over its pairs (standard deviation with n) before pairs are averaged [1]_.
    Faces without a value are left out of that feature, and pairs that are NaN out of all means; the
    z-scores are taken over all measured pairs.

    The test shuffles whole faces, so that pairs of a face stay together:
    p = (1 + shuffles with at least the contrast) / (1 + n_permutations). Several images of a person
    are no independent faces, though: name `people`, and what belongs to a person (gender) is
    shuffled over people, what differs between the images of a person (expression) within people.
    The persons themselves (a group for each) are shuffled over faces. Name a third crossed factor
    in `within`: expressions that are shuffled across views take the distances between views with
    them, which are larger, and effects of expression are hardly found (12 people × 4 expressions ×
    3 views: without an effect p ≤ 0.05 in 3.5 % of 400 studies within view and in none across; with
    one in all within view; ``scripts/simulate_third_factor.py --only contrast --untold``).

    Pairs of one person are always within a gender, and between two expressions: that people are
    like themselves makes a contrast of gender larger than 0, and of expression smaller, without
    any effect. ``chance`` is that part; compare contrasts of such designs less ``chance``.

    The test is conditional on these faces; features that go together (age and expression, say) are
    not told apart. For that, see
    :func:`rsa_faces.variance_partition`. Over many features or layers correct p with
    :mod:`rsa_faces.inference`.

    References
    ----------
    .. [1] Jiahui G. et al. (2023). PNAS 120, e2304085120. doi:10.1073/pnas.2304085120

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.behaviour import feature_contrast
    >>> rdm = rf.RDMs([1.0, 4, 5, 4, 5, 1], list("abcd"), "rating")
    >>> table = feature_contrast(rdm, {"gender": dict(a="f", b="f", c="m", d="m")})
    >>> table["contrast"].round(3).tolist()
    [2.059]
    """
    check_arguments(feature_contrast, locals())
    check_count(n_permutations, what="n_permutations", low=0)
    codes = _codes(features, rdms.conditions, bins)
    person = np.arange(rdms.n_conditions)
    if people is not None:
        (person,) = _codes(
            {"people": by_name(people, what="people")}, rdms.conditions, None
        ).values()
        if (person < 0).any():
            nobody = rdms.conditions[int(np.argmin(person))]
            raise InputError(f"expected a person for every condition, but {nobody!r} has none.")
    cell = np.zeros(rdms.n_conditions, int)
    if within is not None:
        cell, _ = codes_of(within, rdms.conditions, "cell")
    run, runs = np.zeros(rdms.n_conditions, int), ("",)
    if blocks is not None:
        run, runs = codes_of(blocks, rdms.conditions, "block")
        several = pd.Series(run).groupby(person).nunique() > 1
        if several.any():
            raise InputError(
                f"expected each person of `people` in one block, but {int(several.sum())} of "
                f"{len(several)} are in several."
            )
    square = _z_matrices(rdms.vectors, run)
    parts = []
    for name, code in codes.items():
        kept = np.flatnonzero(code >= 0)
        groups = np.unique(code[kept])
        tests = []
        for r in range(len(runs)):
            here = kept[run[kept] == r]
            own = np.unique(code[here], return_inverse=True)[1]
            shuffled, shuffle = _shuffling(own, person[here], cell[here])
            tests.append(_Contrast(square[:, here[:, None], here], own, shuffle))
            for side, n_pairs in tests[-1].n_pairs.items():
                if (n_pairs == 0).any():
                    where = f" in block {runs[r]!r}" if blocks is not None else ""
                    raise InputError(
                        f"expected pairs within and between groups of {name!r}{where}, but RDM "
                        f"{int((n_pairs == 0).argmax())} has none {side} its "
                        f"{len(np.unique(own))} groups of {len(here)} conditions."
                    )
        # Every feature starts from the seed: its p does not hang on which others were asked for.
        tested = _tested(tests, n_permutations, as_rng(seed))
        part = rdms.labels.assign(feature=name, **tested)
        parts.append(part.assign(n_groups=len(groups), n_conditions=len(kept), shuffled=shuffled))
    table = pd.concat(parts, ignore_index=True)
    return table[[c for c in table if c != "p"] + ["p"]]


def _codes(features, conditions, bins) -> dict[str, np.ndarray]:
    """Return for each feature the group of every condition, −1 for none."""
    if not isinstance(features, pd.DataFrame):
        check_is(features, Mapping, what="features", hint="a DataFrame or a mapping")
        columns = {}
        for name, values in features.items():
            if isinstance(values, (list, tuple, np.ndarray)):  # in the order of conditions
                values, _ = named(values, conditions, what=f"feature {name!r}", numbers=False)
                values = dict(zip(conditions, values, strict=True))
            columns[name] = by_name(values, what=f"feature {name!r}")
        features = pd.DataFrame({k: pd.Series(v) for k, v in columns.items()})
    table = features.set_axis(as_names(features.index))
    if table.columns.empty:
        raise InputError("expected at least one feature, got none.")
    if table.index.duplicated().any():
        twice = table.index[table.index.duplicated()][0]
        raise InputError(f"expected one row of features per condition, but {twice!r} has several.")
    missing = [c for c in conditions if c not in table.index]
    if missing:
        raise InputError(
            f"expected features of every condition, but {len(missing)} have none: "
            f"{', '.join(map(repr, missing[:5]))}. The index must hold condition names."
        )
    table = table.loc[list(conditions)]
    codes = {}
    for name in bins or {}:
        check_choice(name, table.columns, what="feature in bins")
    for name, values in table.items():
        edges = (bins or {}).get(name)
        if edges is None:
            codes[str(name)] = pd.factorize(values)[0]
            continue
        edges = np.asarray(edges, dtype=float)
        if edges.ndim != 1 or not len(edges) or (np.diff(edges) <= 0).any():
            raise InputError(f"expected rising edges for {name!r}, got {edges.tolist()}.")
        try:
            numbers = values.astype(float).to_numpy()
        except (ValueError, TypeError) as err:
            raise InputError(f"expected numbers in feature {name!r} to bin: {err}.") from err
        code = np.searchsorted(edges, numbers, side="right")
        codes[str(name)] = np.where(np.isnan(numbers), -1, code)
    return codes


def _z_matrices(vectors: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Return RDMs as matrices of z-scores over the measured pairs of each run; NaN between runs."""
    row, col = np.triu_indices(len(run), k=1)
    square = np.full((len(vectors), len(run), len(run)), np.nan)
    square[:, np.arange(len(run)), np.arange(len(run))] = 0.0
    square[:, row, col] = square[:, col, row] = z_in_runs(vectors, run)
    return square


def _shuffling(code: np.ndarray, person: np.ndarray, cell: np.ndarray):
    """Return what is shuffled, and a function (rng, n) → groups of every condition, shuffled."""
    person = np.unique(person, return_inverse=True)[1]
    n_people = int(person.max(initial=-1)) + 1
    constant = not varies_inside(code, person)
    what = "people" if constant else "within people"
    if n_people == len(code) or (constant and len(np.unique(code)) == n_people):
        what, person = "faces", np.arange(len(code))
    return what, lambda rng, size: exchanged(code, person, size, rng, cell)


class _Contrast:
    """Means between and within groups of matrices, and those of shuffled groups."""

    def __init__(self, square: np.ndarray, code: np.ndarray, shuffle) -> None:
        n = square.shape[1]
        present = ~np.isnan(square)
        present[:, np.arange(n), np.arange(n)] = False
        self.present, self.values = present.astype(float), np.where(present, square, 0.0)
        self.total = self.values.sum(axis=(1, 2)) / 2
        self.count = self.present.sum(axis=(1, 2)) / 2
        self.complete = bool((self.count == n * (n - 1) / 2).all())
        self.groups = np.arange(int(code.max(initial=-1)) + 1)
        self.shuffle = shuffle
        sums, sizes = self._within(code[None])
        self.between, self.within = (m[:, 0] for m in self._means(sums, sizes))
        self.n_pairs = {"within": sizes[:, 0], "between": self.count - sizes[:, 0]}

    @property
    def width(self) -> int:
        """Numbers that one shuffle takes."""
        return max(1, self.present.shape[1] * len(self.groups))

    def shuffled(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Return contrasts of shuffled groups, (n_rdms, size)."""
        between, within = self._means(*self._within(self.shuffle(rng, size)))
        return between - within

    def _within(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sums and numbers of pairs within groups, (n_rdms, n_codes)."""
        # Sum within groups = ½ Σ_g 1_gᵀ M 1_g, for all shuffles in one product.
        member = (codes[:, :, None] == self.groups).astype(float)
        flat = member.transpose(1, 0, 2).reshape(codes.shape[1], -1)

        def sums(matrices: np.ndarray) -> np.ndarray:
            found = np.empty((len(matrices), len(codes)))
            for out, matrix in zip(found, matrices, strict=True):
                product = (matrix @ flat) * flat
                out[:] = product.sum(axis=0).reshape(len(codes), -1).sum(axis=1) / 2
            return found

        if self.complete:
            # Groups change their sizes when people with unequal numbers of images are shuffled.
            size = member.sum(axis=1)
            pairs = (size * (size - 1)).sum(axis=1) / 2
            return sums(self.values), np.broadcast_to(pairs, (len(self.values), len(codes)))
        return sums(self.values), sums(self.present)

    def _means(self, sums: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means between and within groups."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (
                (self.total[:, None] - sums) / (self.count[:, None] - sizes),
                sums / sizes,
            )


def _tested(tests: Sequence[_Contrast], n_permutations: int, rng) -> dict[str, np.ndarray]:
    """Return means over runs, numbers of pairs over all, and p, per matrix."""
    between, within = (np.mean([getattr(t, k) for t in tests], axis=0) for k in _SIDES)
    observed = between - within
    p = np.full(len(observed), np.nan)
    chance = p.copy()
    if n_permutations and np.isfinite(observed).all():
        extreme = np.zeros(len(observed), dtype=int)
        drawn = []
        block = max(1, _BLOCK // max(t.width for t in tests))
        # Sums in another order differ in the last digits: what is equal counts as equal, at 0 too.
        size = np.abs(between) + np.abs(within)
        for start in range(0, n_permutations, block):
            n = min(block, n_permutations - start)
            shuffled = np.mean([t.shuffled(rng, n) for t in tests], axis=0)
            # A shuffle that leaves no pair on one side counts against the feature.
            drawn.append(shuffled)
            extreme += reached(shuffled, observed[:, None], size[:, None]).sum(axis=1)
        p = share(extreme, n_permutations, observed)
        chance = np.ma.masked_invalid(np.hstack(drawn)).mean(axis=1).filled(np.nan)
    numbers = {f"n_{k}": np.sum([t.n_pairs[k] for t in tests], axis=0).astype(int) for k in _SIDES}
    found = {"contrast": observed, "chance": chance}
    return found | {"between": between, "within": within, **numbers, "p": p}
