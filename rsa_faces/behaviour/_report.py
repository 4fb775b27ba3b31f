"""What was found in raters' data, by rule: nothing is left out in silence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult

_COLUMNS = ["rater", "rule", "n", "action", "where"]


@dataclass(frozen=True, eq=False, repr=False)
class RaterReport(BaseResult):
    """What was found in the data of raters.

    Parameters
    ----------
    raters : sequence of str
        Everyone in the data, in order of first appearance.
    table : DataFrame
        One row per rater and rule that applied: rater, rule, n (how often), action (what was
        done), where (the first rows, trials or pairs concerned). Empty if nothing was found.

    See Also
    --------
    rsa_faces.behaviour.RatedRDMs : RDMs of raters.
    rsa_faces.behaviour.TripletEmbedding : What :func:`triplet_embedding` found.
    rsa_faces.behaviour.MeadowsData : What :func:`read_meadows` found in a file.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import pair_rating_rdms
    >>> table = pd.DataFrame({"rater": "r1", "a": ["x", "x", "y"], "b": ["y", "z", "z"],
    ...                       "rating": [1, None, 5]})
    >>> found = pair_rating_rdms(table, direction="similarity", scale=(1, 7))
    >>> found.report.table["rule"].tolist()
    ['rating missing', 'pair not judged']
    """

    raters: tuple[str, ...]
    table: pd.DataFrame

    def count(self, rule: str) -> int:
        """Return how often a rule applied, over all raters."""
        return int(self.table.loc[self.table["rule"] == rule, "n"].sum())

    def summary(self) -> pd.DataFrame:
        """Return one row per rater and one column per rule, with counts."""
        wide = self.table.pivot_table(
            index="rater", columns="rule", values="n", aggfunc="sum", fill_value=0
        )
        return wide.reindex(list(self.raters), fill_value=0).rename_axis(columns=None)


@dataclass
class Findings:
    """Collects the rows of a report."""

    raters: list[str] = field(default_factory=list)
    rows: list[tuple] = field(default_factory=list)

    def add(self, rater: str, rule: str, n: int, action: str, where: Iterable[Any] = ()) -> None:
        """Note that a rule applied n times; nothing is noted for 0."""
        if n:
            shown = [str(w) for w in list(where)[:6]]
            more = ", …" if len(shown) == 6 else ""
            self.rows.append((str(rater), rule, int(n), action, ", ".join(shown[:5]) + more))

    def add_rows(self, rater: str, rule: str, marks: pd.Series, action: str) -> None:
        """Note that a rule applied to the rows that are marked, by their index."""
        self.add(rater, rule, marks.sum(), action, marks.index[marks])

    def report(self) -> RaterReport:
        """Return the report."""
        table = pd.DataFrame(self.rows, columns=_COLUMNS)
        return RaterReport(tuple(dict.fromkeys(self.raters)), table)


def without_checks(
    table: pd.DataFrame, answer: str, findings: Findings, max_failed: float | None
) -> pd.DataFrame:
    """Return the judgements that are no attention checks; raters who failed too many are out.

    A row is a check if it has a value in the column ``expected``, the right answer. Rows keep their
    numbers.
    """
    raters = list(table["rater"].unique())
    findings.raters.extend(map(str, raters))
    if max_failed is not None and not 0 <= max_failed <= 1:
        raise InputError(f"expected max_failed from 0 to 1, got {max_failed!r}.")
    if "expected" not in table:
        if max_failed is not None:
            raise InputError(
                "expected a column 'expected' with the right answers of attention checks for "
                "max_failed, got none."
            )
        return table
    expected = table["expected"]
    checks = expected.notna()
    out = []
    for rater, rows in table[checks].groupby("rater", sort=False):
        wrong = rows[answer] != rows["expected"]
        if max_failed is not None and wrong.mean() > max_failed:
            rule, what = "too many attention checks failed", "rater left out"
            out.append(rater)
        else:
            rule, what = "attention check failed", "kept"
        findings.add_rows(rater, rule, wrong, f"of {len(rows)} checks; {what}")
    kept = table[~checks & ~table["rater"].isin(out)]
    left = {*out, *kept["rater"]}
    for rater in [r for r in raters if r not in left]:
        findings.add(rater, "nothing besides attention checks", 1, "rater left out")
    if kept.empty:
        raise InputError(
            "expected at least one rater with judgements, but all failed their attention checks or "
            "have nothing else."
        )
    return kept
