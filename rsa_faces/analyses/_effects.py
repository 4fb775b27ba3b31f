"""Results that are a table of effects: one way to draw them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from rsa_faces._core.result import BaseResult


@dataclass(frozen=True)
class Shown:
    """Which columns of a table the figure shows, and what it calls them.

    `name` is the column along the other axis: "depth" makes curves, any other a row of dots each.
    `series` has a colour each, `panel` a panel; `low` and `high` are ends of intervals, `p` fills
    points, `ceilings` are lines (dotted), and `reference` is where there is no effect, or `chance`
    a column of it.
    """

    value: str
    label: str
    name: str = "depth"
    series: str = ""
    panel: str = ""
    low: str = "ci_low"
    high: str = "ci_high"
    p: str = "p_corrected"
    ceilings: tuple[str, ...] = ()
    reference: float = 0.0
    chance: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Effects(BaseResult, figure="plot_effects"):
    """A table of effects, each with its interval.

    Attributes
    ----------
    table : DataFrame
        One row per effect; the function that returns it says which columns it has.
    settings : dict
        Options, for provenance.
    """

    table: pd.DataFrame

    #: What :func:`rsa_faces.figures.plot_effects` shows.
    shown: ClassVar[Shown]
