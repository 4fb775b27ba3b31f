"""Tests over subjects alone: signed-rank, t and rank-sum on the similarity of each subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.inference._result import Result
from rsa_faces.inference.multiple import CORRECTIONS, adjust

_WHERE = ["subset", "region"]
_MODEL = ["network", "layer"]


@dataclass(frozen=True, eq=False, repr=False)
class SubjectTests(BaseResult):
    """Tests over subjects: the conditions are taken as fixed.

    Parameters
    ----------
    table : DataFrame
        One row per model, region and subset: mean similarity, its standard error over subjects,
        the statistic and two-sided p against 0, and p corrected.
    pairs : DataFrame
        One row per pair of models in a region and subset: difference, its standard error, the
        statistic, p, and p corrected.
    test : str
        Which test.

    See Also
    --------
    subject_tests : Test the similarities of single subjects against 0 and between models.
    rsa_faces.Result : The outcome of :func:`rsa_faces.evaluate`.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models[:2], behaviour, n_boot=100)
    >>> tests = rf.inference.subject_tests(result)
    >>> tests.test, len(tests.table), len(tests.pairs)
    ('signed-rank', 2, 1)
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    test: str


@keep_warnings
def subject_tests(
    result: Result, *, test: str = "signed-rank", correction: str = "fdr"
) -> SubjectTests:
    """Test the similarities of single subjects against 0 and between models.

    Parameters
    ----------
    result : Result
        From :func:`rsa_faces.evaluate`; at least 2 subjects in each region.
    test : {"signed-rank", "t"}, default "signed-rank"
        Wilcoxon's signed-rank test [1]_ or the t-test, paired within subjects.
    correction : {"fdr", "bonferroni", "holm"}, default "fdr"
        For all models of a region and subset, and for all pairs.

    Returns
    -------
    SubjectTests
        Conclusions hold for new subjects and these conditions.

    Raises
    ------
    InputError
        With one subject, or an unknown option.

    Warns
    -----
    UserWarning
        Where there are so few subjects that signed ranks cannot reach p < 0.05 (fewer than 6).

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.
    group_tests : Compare two groups of different subjects by the rank-sum test.

    Notes
    -----
    Similarities of 0, or equal ones of two models, count by Pratt's method: they are ranked, and
    have no sign. A model that is undefined in a subject has p = NaN. Signed ranks are compared
    with their exact distribution up to 50 subjects without ties or zeros, with the normal
    distribution otherwise.

    References
    ----------
    .. [1] Wilcoxon F. (1945). Biometrics Bulletin 1, 80-83. doi:10.2307/3001968

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> result = rf.evaluate(d92.models[:2], d92.rdms.sel(region="behaviour"), n_boot=100)
    >>> tests = rf.inference.subject_tests(result)
    >>> len(tests.table), len(tests.pairs)
    (2, 1)
    """
    check_choice(test, ONE_SAMPLE, what="test over subjects")
    check_choice(correction, CORRECTIONS, what="correction")
    tables: list[pd.DataFrame] = []
    pairs: list[pd.DataFrame] = []
    for where, values, models in _similarities(result):
        if values.shape[1] < 2:
            raise InputError(
                f"expected at least 2 subjects in {_name(where)}, got {values.shape[1]}: nothing "
                "can be said about new subjects."
            )
        if test == "signed-rank" and values.shape[1] < 6:
            warn(
                f"{_name(where)}: with {values.shape[1]} subjects the smallest p of a signed-rank "
                f"test is {2.0 ** (1 - values.shape[1]):g}."
            )
        a, b = np.triu_indices(len(values), k=1)
        first, second = (models.iloc[i].reset_index(drop=True) for i in (a, b))
        named = pd.concat([first.add_suffix("_a"), second.add_suffix("_b")], axis=1)
        for out, what, rows, value in (
            (tables, models, values, "similarity"),
            (pairs, named, values[a] - values[b], "difference"),
        ):
            statistic, p = ONE_SAMPLE[test](rows)
            columns = {
                value: rows.mean(axis=1),
                "sem": rows.std(axis=1, ddof=1) / np.sqrt(rows.shape[1]),
                "statistic": statistic,
                "p": p,
                "p_corrected": adjust(p, method=correction),
                "n_subjects": rows.shape[1],
            }
            out.append(_placed(where, what).assign(**columns))
    return SubjectTests(
        pd.concat(tables, ignore_index=True), pd.concat(pairs, ignore_index=True), test
    )


def group_tests(first: Result, second: Result, *, correction: str = "fdr") -> pd.DataFrame:
    """Compare two groups of different subjects by the rank-sum test.

    Parameters
    ----------
    first, second : Result
        Of the same models; subsets and regions that are in both are compared.
    correction : {"fdr", "bonferroni", "holm"}, default "fdr"
        For all models of a region and subset.

    Returns
    -------
    DataFrame
        One row per model, region and subset: mean similarities, their difference (first minus
        second), statistic (Mann and Whitney's U of the first), two-sided p, p corrected, and the
        number of subjects of each group.

    Raises
    ------
    InputError
        If no region and subset, or no model, is in both, or a subject is in both groups.

    See Also
    --------
    subject_tests : Test the similarities of single subjects against 0 and between models.

    Notes
    -----
    Mann and Whitney's form [1]_ of Wilcoxon's rank-sum test: exact for models without ties, where
    one group has at most 8 subjects; normal approximation with correction for ties otherwise.
    Every model is decided on its own.

    References
    ----------
    .. [1] Mann H. B., Whitney D. R. (1947). Annals of Mathematical Statistics 18, 50-60.
       doi:10.1214/aoms/1177730491

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> people = d92.rdms.sel(region="behaviour")
    >>> options = {"n_boot": 100, "seed": 0}
    >>> one = rf.evaluate(d92.models[:1], people[:8], **options)
    >>> other = rf.evaluate(d92.models[:1], people[8:], **options)
    >>> rf.inference.group_tests(one, other)[["network", "n_subjects_a", "n_subjects_b"]]
       network  n_subjects_a  n_subjects_b
    0  animacy             8             8
    """
    check_choice(correction, CORRECTIONS, what="correction")
    keys = [*_WHERE, "subject"]
    both = first.subjects[keys].drop_duplicates().merge(second.subjects[keys].drop_duplicates())
    if len(both):
        raise InputError(
            f"expected different subjects in the two groups, but {both['subject'].iloc[0]!r} is in "
            "both: use subject_tests, which pairs values within subjects."
        )
    seconds = {where: (values, models) for where, values, models in _similarities(second)}
    frames = []
    for where, values, models in _similarities(first):
        if where not in seconds:
            continue
        other_values, other_models = seconds[where]
        places = models.reset_index().merge(other_models.reset_index(), on=_MODEL)
        x, y = values[places["index_x"]], other_values[places["index_y"]]
        statistic, p = _rank_sum(x, y)
        frame = _placed(where, places[_MODEL]).assign(
            similarity_a=x.mean(axis=1),
            similarity_b=y.mean(axis=1),
            difference=x.mean(axis=1) - y.mean(axis=1),
            statistic=statistic,
            p=p,
            p_corrected=adjust(p, method=correction),
            n_subjects_a=x.shape[1],
            n_subjects_b=y.shape[1],
        )
        frames.append(frame)
    if not frames or not sum(map(len, frames)):
        raise InputError(
            "expected models in the same region and subset in both results, got none: "
            f"{_keys_of(first)} and {_keys_of(second)}."
        )
    return pd.concat(frames, ignore_index=True)


def _similarities(result: Result):
    """Yield subset and region, similarities (n_models, n_subjects), and the models' names."""
    for where, rows in result.subjects.groupby(_WHERE, sort=False, dropna=False):
        n_subjects = rows["subject"].nunique()
        values = rows["similarity"].to_numpy().reshape(-1, n_subjects)
        models = rows[_MODEL].iloc[::n_subjects].reset_index(drop=True)
        yield where, values, models


def _placed(where: tuple[str, str], models: pd.DataFrame) -> pd.DataFrame:
    """Return the models' names, after subset and region."""
    return pd.DataFrame({**dict(zip(_WHERE, where, strict=True)), **models})


def _signed_rank(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilcoxon's W and two-sided p of each row; p = 1 where all is 0."""
    test = [_signed_rank_of_one(row) for row in rows]
    statistic, p = np.array(test, dtype=np.float64).reshape(len(rows), 2).T
    return statistic, p


def _signed_rank_of_one(row: np.ndarray) -> tuple[float, float]:
    """Return W and two-sided p."""
    if np.isnan(row).any():
        return np.nan, np.nan
    # All zero: signs carry no evidence. SciPy's approximation would divide by 0.
    if not row.any():
        return 0.0, 1.0
    magnitudes = np.abs(row)
    # The exact distribution holds without zeros and ties only; beyond 50 it takes long, and the
    # normal approximation is as good.
    clean = magnitudes.all() and len(np.unique(magnitudes)) == len(row) <= 50
    test = stats.wilcoxon(row, zero_method="pratt", method="exact" if clean else "approx")
    return test.statistic, test.pvalue


def _rank_sum(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return U and two-sided p of each row, exact wherever that row allows."""
    test = [stats.mannwhitneyu(a, b, alternative="two-sided") for a, b in zip(x, y, strict=True)]
    return np.array([t.statistic for t in test]), np.array([t.pvalue for t in test])


def _t(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return t and two-sided p of each row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple(stats.ttest_1samp(rows, 0.0, axis=1))


#: Name of each test of rows against 0, and its function: statistic and two-sided p of each.
ONE_SAMPLE: dict[str, Callable] = {"signed-rank": _signed_rank, "t": _t}


def _name(where: tuple[str, str]) -> str:
    """Return region and subset for a message."""
    subset, region = where
    return (f"region {region!r}" if region else "the data") + (
        "" if subset == "all" else f", {subset}"
    )


def _keys_of(result: Result) -> str:
    """List regions and subsets of a result."""
    return "; ".join(_name(where) for where, _, _ in _similarities(result))
