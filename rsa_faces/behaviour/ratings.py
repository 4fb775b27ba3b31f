"""Ratings: of pairs, whole matrices, or traits of single faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from rsa_faces._core.checks import check_choice, check_enough, check_unique_names
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.tables import check_pivot, read_table
from rsa_faces.behaviour._report import Findings, RaterReport, without_checks
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import named_matrices, pair_index, rounding

_DIRECTIONS = ("similarity", "dissimilarity")


@dataclass(frozen=True, eq=False, repr=False)
class RatedRDMs(BaseResult, figure="plot_rdms"):
    """RDMs of raters, how often each pair was judged, and what was found in the data.

    Parameters
    ----------
    rdms : RDMs
        One per rater (label rater); a pair not judged is NaN.
    counts : ndarray, shape (n_rdms, n_pairs)
        Judgements that entered each pair.
    report : RaterReport

    See Also
    --------
    pair_rating_rdms : Make RDMs from ratings of pairs.
    trait_rdms : Make RDMs from ratings of single faces on traits.
    matrix_rdms : Make RDMs from square matrices of judgements, of confusions or of other programs.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import pair_rating_rdms
    >>> table = pd.DataFrame({"rater": "r1", "a": ["x", "x", "y"], "b": ["y", "z", "z"],
    ...                       "rating": [1, None, 5]})
    >>> found = pair_rating_rdms(table, direction="similarity", scale=(1, 7))
    >>> found.rdms.vectors, found.counts
    (array([[ 6., nan,  2.]]), array([[1, 0, 1]]))
    """

    rdms: RDMs
    counts: np.ndarray
    report: RaterReport

    def _drawn(self) -> RDMs:
        return self.rdms

    @property
    def table(self) -> pd.DataFrame:
        """Labels of the RDMs, with the mean number of ratings of their pairs."""
        return self.rdms.labels.assign(mean_count=self.counts.mean(axis=1))


@keep_warnings
def pair_rating_rdms(
    source: pd.DataFrame | str | Path,
    *,
    direction: str,
    scale: tuple[float, float] | None = None,
    conditions: Sequence[str] | None = None,
    max_failed: float | None = None,
) -> RatedRDMs:
    """Make RDMs from ratings of pairs.

    Parameters
    ----------
    source : DataFrame or path of a table
        One row per judgement, with columns rater, a, b, rating. In a further column ``expected``
        the rows of an attention check hold the right answer; they never enter the RDM.
    direction : {"similarity", "dissimilarity"}
        What a high rating means. There is no default.
    scale : (low, high), optional
        Ends of the rating scale. By default the largest rating of all raters is the end from which
        similarities are subtracted.
    conditions : sequence of str, optional
        All conditions; by default those that occur, in alphabetical order.
    max_failed : float, optional
        Leave out raters who failed more than this share of their attention checks. By default
        nobody is left out, and failures are in the report.

    Returns
    -------
    RatedRDMs
        Dissimilarity = rating, or high − rating for similarities; measure "rating". Repeats of a
        pair, in either order, are averaged.

    Raises
    ------
    InputError
        If a column is missing, the direction unknown, a rating outside the scale, a name no
        condition, or nobody is left.

    See Also
    --------
    trait_rdms : Make RDMs from ratings of single faces on traits.
    matrix_rdms : Make RDMs from square matrices of judgements, of confusions or of other programs.

    Notes
    -----
    The report has these rules: rating missing (row left out), image with itself (row left out),
    pair judged more than once (averaged), pair judged in both orders (averaged), pair not judged
    (NaN), attention check failed, too many attention checks failed (rater left out), nothing
    besides attention checks (rater left out), same rating throughout (kept).

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import pair_rating_rdms
    >>> table = pd.DataFrame({"rater": "r1", "a": ["x", "x", "y"], "b": ["y", "z", "z"],
    ...                       "rating": [7, 2, 1]})
    >>> pair_rating_rdms(table, direction="similarity", scale=(1, 7)).rdms.vectors
    array([[0., 5., 6.]])
    """
    check_choice(direction, _DIRECTIONS, what="direction")
    table = read_table(
        source,
        what="a table of ratings",
        text=["rater", "a", "b"],
        numbers=["rating", "expected"],
        optional=["expected"],
    )
    if scale is not None:
        low, high = map(float, scale)
        if not low < high:
            raise InputError(f"expected a scale (low, high) with low < high, got {scale!r}.")
        outside = (table["rating"] < low) | (table["rating"] > high)
        if outside.any():
            row = int(outside.to_numpy().argmax())
            raise InputError(
                f"expected ratings from {low:g} to {high:g}, but row {row} has "
                f"{table['rating'].iloc[row]:g}."
            )
    findings = Findings()
    table = without_checks(table, "rating", findings, max_failed)
    if table["rating"].isna().all():
        raise InputError("expected ratings, but all are missing.")
    if scale is None:
        # One number for all raters: dissimilarities of one who never pressed the highest key begin
        # above 0, which rank and correlation methods do not mind.
        high = float(table["rating"].max())
    if conditions is None:
        conditions = sorted(set(table["a"]) | set(table["b"]))
    conditions = check_unique_names(conditions, what="condition")
    check_pivot(len(conditions), table["rater"].nunique(), what="the table of ratings")
    position = {name: i for i, name in enumerate(conditions)}
    for name in [*table["a"].unique(), *table["b"].unique()]:
        if name not in position:
            check_choice(name, conditions, what="condition")
    n_pairs = len(conditions) * (len(conditions) - 1) // 2
    raters, vectors, counts = [], [], []
    for rater, rows in table.groupby("rater", sort=False):
        vector, count = _pair_means(rows, str(rater), position, n_pairs, findings)
        raters.append(str(rater))
        vectors.append(high - vector if direction == "similarity" else vector)
        counts.append(count)
    rdms = RDMs(np.array(vectors), conditions, "rating", {"rater": raters})
    return RatedRDMs(rdms, np.array(counts), findings.report())


@keep_warnings
def matrix_rdms(
    matrices: Any,
    conditions: Sequence[str] | None = None,
    *,
    direction: str,
    diagonal: str = "refuse",
    asymmetry: str = "refuse",
    labels: Any = None,
) -> RatedRDMs:
    """Make RDMs from square matrices of judgements, of confusions or of other programs.

    Parameters
    ----------
    matrices : array_like, shape (n_rdms, n, n) or (n, n)
        NaN where nothing was measured. The names that a DataFrame brings are followed; a mapping
        of raters to matrices names the raters.
    conditions : sequence of str, length n, optional
        Names of rows and columns, needed for matrices that bring none.
    direction : {"similarity", "dissimilarity"}
        What a high value means. A similarity s becomes the matrix's largest value minus s; its
        diagonal, the similarity of an image with itself, is not used.
    diagonal : {"refuse", "ignore"}, default "refuse"
        What to do with dissimilarities on the diagonal that are not 0 (as dissimilarity within a
        condition): an error, or leave them out and report them.
    asymmetry : {"refuse", "average"}, default "refuse"
        What to do with values that differ between (a, b) and (b, a): an error, or their mean,
        which is reported; if one of the two is NaN the other counts.
    labels : DataFrame or mapping, optional
        As for :class:`rsa_faces.RDMs`; the label rater names rows of the report.

    Returns
    -------
    RatedRDMs
        Measure "rating"; `counts` is the number of values, 0 to 2, behind each pair.

    Raises
    ------
    InputError
        If an option is unknown, the matrices are not square, or they are refused.

    See Also
    --------
    pair_rating_rdms : Make RDMs from ratings of pairs.
    rsa_faces.io.read_rdms : Read RDMs that another tool, or this one, wrote.

    Examples
    --------
    >>> from rsa_faces.behaviour import matrix_rdms
    >>> matrix_rdms([[0.1, 2.0], [2.0, 0.3]], ["x", "y"], direction="dissimilarity",
    ...             diagonal="ignore").rdms.vectors
    array([[2.]])
    """
    check_choice(direction, _DIRECTIONS, what="direction")
    check_choice(diagonal, ("refuse", "ignore"), what="diagonal")
    check_choice(asymmetry, ("refuse", "average"), what="asymmetry")
    square, conditions, raters = named_matrices(matrices, conditions)
    square = square.astype(np.float64)
    labels = {"rater": raters} if labels is None and raters is not None else labels
    n = len(conditions)
    if direction == "similarity":
        square = np.nanmax(square, axis=(1, 2), keepdims=True) - square
        square[:, np.arange(n), np.arange(n)] = 0.0
    findings = Findings()
    row, col = np.triu_indices(n, k=1)
    upper, lower = square[:, row, col], square[:, col, row]
    counts = (~np.isnan(upper)).astype(int) + ~np.isnan(lower)
    slack = [rounding(matrix) for matrix in square]
    names = pd.DataFrame(labels).get("rater") if labels is not None else None
    names = [str(i) for i in range(len(square))] if names is None else [str(r) for r in names]
    for i, matrix in enumerate(square):
        findings.raters.append(names[i])
        own = np.abs(np.nan_to_num(np.diagonal(matrix))) > slack[i]
        if own.any() and diagonal == "ignore":
            values = np.diagonal(matrix)[own]
            findings.add(
                names[i],
                "diagonal not zero",
                own.sum(),
                f"left out ({values.min():.4g} to {values.max():.4g})",
                np.array(conditions)[own],
            )
        apart = np.abs(upper[i] - lower[i]) > slack[i]
        apart |= np.isnan(upper[i]) != np.isnan(lower[i])
        if apart.any() and asymmetry == "average":
            where = [
                f"{conditions[row[p]]} and {conditions[col[p]]}" for p in np.flatnonzero(apart)
            ]
            findings.add(names[i], "matrix not symmetric", apart.sum(), "averaged", where)
        missing = (counts[i] == 0).sum()
        findings.add(names[i], "pair not judged", missing, "NaN in the RDM")
    if diagonal == "ignore":
        square[:, np.arange(n), np.arange(n)] = 0.0
    if asymmetry == "average":
        total = np.nan_to_num(upper) + np.nan_to_num(lower)
        with np.errstate(invalid="ignore"):
            mean = np.where(counts > 0, total / counts, np.nan)
        square[:, row, col] = square[:, col, row] = mean
    # The checks of the central type refuse what was not asked to be read.
    rdms = RDMs.from_matrices(square, conditions, "rating", labels)
    return RatedRDMs(rdms, counts, findings.report())


@keep_warnings
def trait_rdms(
    source: pd.DataFrame | str | Path,
    *,
    traits: Sequence[str] | None = None,
    by: str = "all",
    rater: str = "rater",
    stimulus: str = "stimulus",
    checks: Mapping[str, float] | None = None,
    max_failed: float | None = None,
) -> RatedRDMs:
    """Make RDMs from ratings of single faces on traits.

    Parameters
    ----------
    source : DataFrame or path of a table
        One row per rater and face, with a column for each trait.
    traits : sequence of str, optional
        Columns to use; by default all columns of numbers besides rater and stimulus: the report
        names them, because a number of trials or a response time is one too.
    by : {"all", "trait"}, default "all"
        One RDM per rater across all traits, or one per rater and trait.
    rater, stimulus : str
        Names of these columns; without a column `rater`, all rows are of one rater.
    checks : mapping of column to number, optional
        Columns that are attention checks ("choose 7 here"), with the right answer; they are no
        traits. An empty cell is no check.
    max_failed : float, optional
        Leave out raters who failed more than this share of their checks. By default nobody is left
        out, and failures are in the report.

    Returns
    -------
    RatedRDMs
        Across traits: the Euclidean distance of faces after each trait was z-scored over the faces
        of the rater (standard deviation with n), divided by √(number of traits); measure
        "euclidean". Per trait: the absolute difference of ratings, label trait; measure
        "difference". Conditions in alphabetical order. A face with a missing trait has NaN in all
        its pairs; it is in the report.

    Raises
    ------
    InputError
        If a column is missing, a trait holds no numbers, or there are fewer than 2 faces.

    See Also
    --------
    pair_rating_rdms : Make RDMs from ratings of pairs.
    rsa_faces.analyses.trait_readout

    Notes
    -----
    Several rows of a rater and face are averaged and reported. A trait that a rater gave the same
    value throughout has no z-scores: it is left out of that rater's distances, and reported. The
    report's other rules: trait missing, attention check failed, too many attention checks failed
    (rater left out), columns taken as traits (those of numbers, where `traits` names none).

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import trait_rdms
    >>> table = pd.DataFrame({"rater": "r1", "stimulus": list("xyz"), "trust": [1.0, 3.0, 5.0],
    ...                       "age": [20.0, 20.0, 50.0]})
    >>> trait_rdms(table, by="trait").rdms.sel(trait="trust").vectors
    array([[2., 4., 2.]])
    """
    check_choice(by, ("all", "trait"), what="by")
    checks = dict(checks or {})
    if max_failed is not None and not checks:
        raise InputError("expected attention checks, checks={column: answer}, for max_failed.")
    named = () if traits is None else check_unique_names(traits, what="trait")
    table = read_table(
        source,
        what="a table of traits",
        text=[stimulus, rater],
        numbers=[*named, *checks],
        optional=["rater"],
        guess=True,
    )
    if rater not in table:
        table[rater] = "1"
    findings = Findings()
    if traits is None:
        rest = table.drop(columns=[rater, stimulus, *checks])
        traits = [c for c in rest if is_numeric_dtype(rest[c]) and not is_bool_dtype(rest[c])]
        findings.add("all", "columns taken as traits", len(traits), ", ".join(map(repr, traits)))
    if not traits:
        raise InputError(
            "expected at least one column of numbers, a trait, got "
            f"{', '.join(map(repr, table.columns))}."
        )
    table = _passed(table.rename(columns={rater: "rater"}), checks, max_failed, findings)
    conditions = sorted(table[stimulus].unique())
    check_enough(len(conditions), 2, "faces")
    n_rdms = table["rater"].nunique() * (len(traits) if by == "trait" else 1)
    check_pivot(len(conditions), n_rdms, what=f"the column {stimulus!r}")
    row, col = np.triu_indices(len(conditions), k=1)
    vectors, counts, labels = [], [], []
    for name, rows in table.groupby("rater", sort=False):
        name = str(name)
        repeats = pd.Series(rows[stimulus].duplicated().to_numpy(), rows[stimulus])
        findings.add_rows(name, "face rated more than once", repeats, "averaged")
        means = rows.groupby(stimulus)[list(traits)].mean().reindex(conditions)
        gaps = means.isna().any(axis=1)
        findings.add_rows(name, "trait missing", gaps, "NaN in the pairs of the face")
        values = means.to_numpy()
        if by == "trait":
            vectors.extend(np.abs(values[row] - values[col]).T)
            labels.extend({rater: name, "trait": trait} for trait in traits)
        else:
            spread = np.nanstd(values, axis=0)
            flat = ~(spread > 1e-12 * np.nanmax(np.abs(values), axis=0, initial=0.0))
            marks = pd.Series(flat, list(traits))
            findings.add_rows(name, "same rating throughout", marks, "trait left out")
            if flat.all():
                vectors.append(np.full(len(row), np.nan))
            else:
                # Per rater and trait: who uses a narrow part of the scale for one trait would
                # hardly have it count.
                z = (values - np.nanmean(values, axis=0))[:, ~flat] / spread[~flat]
                # A mean over traits, not a sum: raters with a trait left out are on the same scale.
                vectors.append(np.sqrt(np.mean((z[row] - z[col]) ** 2, axis=1)))
            labels.append({rater: name})
    vectors = np.array(vectors)
    rdms = RDMs(
        vectors, conditions, "difference" if by == "trait" else "euclidean", pd.DataFrame(labels)
    )
    counts = (~np.isnan(vectors)).astype(int)
    return RatedRDMs(rdms, counts, findings.report())


def _passed(table: pd.DataFrame, checks, max_failed, findings: Findings) -> pd.DataFrame:
    """Return the rows of raters who passed enough of the checks, which are columns."""
    raters = table["rater"]
    asked = [
        pd.DataFrame({"rater": raters, "answer": table[column], "expected": right})
        for column, right in checks.items()
    ]
    asked = [answers.dropna(subset="answer") for answers in asked]
    judged = pd.DataFrame({"rater": raters, "answer": np.nan, "expected": np.nan})
    limit = max_failed if checks else None
    kept = without_checks(pd.concat([judged, *asked]), "answer", findings, limit)
    return table[table["rater"].isin(kept["rater"])]


def _pair_means(rows: pd.DataFrame, rater: str, position, n_pairs: int, findings: Findings):
    """Return the mean rating and the number of ratings of every pair."""
    missing = rows["rating"].isna()
    findings.add_rows(rater, "rating missing", missing, "row left out")
    rows = rows[~missing]
    itself = rows["a"] == rows["b"]
    findings.add_rows(rater, "image with itself", itself, "row left out")
    rows = rows[~itself]
    a, b = (rows[c].map(position).to_numpy(dtype=int) for c in ("a", "b"))
    pair = pair_index(a, b, len(position))
    counts = np.bincount(pair, minlength=n_pairs)
    forward = np.bincount(pair[a < b], minlength=n_pairs)
    orders = (forward > 0) & (forward < counts)
    findings.add(rater, "pair judged in both orders", orders.sum(), "averaged")
    # A pair in both orders is a design that balances sides; once more is a repetition.
    again = (counts > 1) & ~orders | (counts > 2)
    findings.add(rater, "pair judged more than once", again.sum(), "averaged")
    findings.add(rater, "pair not judged", (counts == 0).sum(), "NaN in the RDM")
    values = rows["rating"].to_numpy()
    same = len(values) > 1 and bool((values == values[0]).all())
    findings.add(rater, "same rating throughout", same, "kept")
    total = np.bincount(pair, values, minlength=n_pairs)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, total / counts, np.nan), counts
