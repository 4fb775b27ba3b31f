"""What was found in raters' data, by rule: nothing is left out in silence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

_COLUMNS = ["rater", "rule", "n", "action", "where"]


@dataclass(frozen=True, eq=False)
class RaterReport:
    """What was found in the data of raters.

    Parameters
    ----------
    raters : sequence of str
        Everyone in the data, in order of first appearance.
    table : DataFrame
        One row per rater and rule that applied: rater, rule, n (how often), action (what was
        done), where (the first rows, trials or pairs concerned). Empty if nothing was found.
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
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, rater: str, rule: str, n: int, action: str, where: Iterable[Any] = ()) -> None:
        """Note that a rule applied n times; nothing is noted for 0."""
        if n:
            shown = [str(w) for w in list(where)[:6]]
            more = ", …" if len(shown) == 6 else ""
            self.rows.append(
                dict(zip(_COLUMNS, (str(rater), rule, int(n), action,
                                    ", ".join(shown[:5]) + more), strict=True))
            )  # fmt: skip

    def report(self) -> RaterReport:
        """Return the report."""
        table = pd.DataFrame(self.rows, columns=_COLUMNS)
        return RaterReport(tuple(dict.fromkeys(self.raters)), table)
