"""Arrangements: what a rater did, trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_enough, check_unique_names
from rsa_faces._core.errors import InputError
from rsa_faces._core.stored import storable_fields
from rsa_faces._core.tables import check_pivot, read_table
from rsa_faces._core.warning import warn
from rsa_faces.behaviour._report import Findings, RaterReport


@storable_fields
@dataclass(frozen=True, eq=False)
class Trial:
    """One arrangement of images on the screen.

    Parameters
    ----------
    names : sequence of str, length n
        The conditions shown, at least 2, each once.
    xy : array_like, shape (n, 2)
        Where the rater left them, in any unit of length that is the same for x and y.
    seconds : float, optional
        How long the trial took.

    Raises
    ------
    InputError
        With fewer than 2 images, names that repeat, or positions that are missing or not finite.

    See Also
    --------
    Arrangements : All trials of one rater.
    rsa_faces.behaviour.inverse_mds : Estimate one RDM from a rater's arrangements.

    Examples
    --------
    >>> from rsa_faces.behaviour import Trial
    >>> Trial(("a", "b"), [[0.0, 0.0], [0.3, 0.4]]).distances()
    array([0.5])
    """

    names: tuple[str, ...]
    xy: np.ndarray
    seconds: float | None = None

    def __post_init__(self) -> None:
        names = check_unique_names(self.names, what="image")
        xy = np.array(self.xy, dtype=np.float64, copy=True)
        check_enough(len(names), 2, "images in a trial")
        if xy.shape != (len(names), 2):
            raise InputError(
                f"expected positions of shape ({len(names)}, 2) for {len(names)} images, got "
                f"{xy.shape}."
            )
        if not np.isfinite(xy).all():
            bad = int(np.flatnonzero(~np.isfinite(xy).all(axis=1))[0])
            raise InputError(f"expected finite positions, but {names[bad]!r} is at {xy[bad]}.")
        xy.flags.writeable = False
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "xy", xy)

    def __reduce__(self):
        # Through the constructor, because NumPy drops the read-only flag when it unpickles.
        return Trial, (self.names, self.xy, self.seconds)

    def distances(self) -> np.ndarray:
        """Return distances of all pairs, row-major upper triangle, in the units of `xy`."""
        row, col = np.triu_indices(len(self.names), k=1)
        difference = self.xy[row] - self.xy[col]
        return np.hypot(difference[:, 0], difference[:, 1])


@storable_fields
@dataclass(frozen=True, eq=False)
class Arrangements:
    """All trials of one rater.

    Parameters
    ----------
    rater : str
        Who arranged.
    trials : sequence of Trial
        In the order in which they were done; may be empty.
    conditions : sequence of str, optional
        All images of the task; by default those that occur, in order of first appearance.
    arena_diameter : float, default 1
        The distance that counts as 1, in the units of the positions.

    Raises
    ------
    InputError
        If a trial shows an image that is no condition, or the diameter is not above 0.

    See Also
    --------
    read_arrangements : Read positions from a table (CSV, TSV, Excel, DataFrame).
    rsa_faces.behaviour.fit_raters : Estimate one RDM per rater.
    Trial : One arrangement of images on the screen.

    Examples
    --------
    >>> from rsa_faces.behaviour import Arrangements, Trial
    >>> one = Trial(("a", "b", "c"), [[0, 0], [0, 1], [1, 0]])
    >>> Arrangements("r1", [one]).conditions
    ('a', 'b', 'c')
    """

    rater: str
    trials: tuple[Trial, ...]
    conditions: tuple[str, ...] | None = None
    arena_diameter: float = 1.0

    def __post_init__(self) -> None:
        trials = tuple(self.trials)
        if self.conditions is None:
            conditions = tuple(dict.fromkeys(name for trial in trials for name in trial.names))
        else:
            conditions = check_unique_names(self.conditions, what="condition")
        if len(conditions) < 2:
            raise InputError(
                f"expected at least 2 conditions, got {len(conditions)}. Without trials, name the "
                "conditions."
            )
        known = set(conditions)
        for trial in trials:
            for name in trial.names:
                if name not in known:
                    check_choice(name, conditions, what="condition in a trial")
        if not (np.isfinite(self.arena_diameter) and self.arena_diameter > 0):
            raise InputError(f"expected an arena diameter above 0, got {self.arena_diameter!r}.")
        object.__setattr__(self, "rater", str(self.rater))
        object.__setattr__(self, "trials", trials)
        object.__setattr__(self, "conditions", conditions)
        object.__setattr__(self, "arena_diameter", float(self.arena_diameter))

    def __len__(self) -> int:
        return len(self.trials)

    def with_trial(self, trial: Trial) -> Arrangements:
        """Return the same arrangements with one more trial at the end."""
        return Arrangements(self.rater, (*self.trials, trial), self.conditions, self.arena_diameter)

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy table: rater, trial (from 1), stimulus, x, y."""
        sizes = [len(trial.names) for trial in self.trials]
        xy = np.concatenate([t.xy for t in self.trials]) if self.trials else np.empty((0, 2))
        return pd.DataFrame(
            {
                "rater": self.rater,
                "trial": np.repeat(np.arange(1, len(sizes) + 1), sizes),
                "stimulus": [name for trial in self.trials for name in trial.names],
                "x": xy[:, 0],
                "y": xy[:, 1],
            }
        )


def as_arrangements(
    trials: Arrangements | Sequence[Trial],
    conditions: Sequence[str] | None = None,
    arena_diameter: float | None = None,
) -> Arrangements:
    """Return trials as Arrangements over the conditions asked for."""
    if not isinstance(trials, Arrangements):
        return Arrangements(
            "1", tuple(trials), conditions, 1.0 if arena_diameter is None else arena_diameter
        )
    changes = {"conditions": conditions, "arena_diameter": arena_diameter}
    return replace(trials, **{name: value for name, value in changes.items() if value is not None})


def read_arrangements(
    source: pd.DataFrame | str | Path,
    *,
    conditions: Sequence[str] | None = None,
    arena_diameter: float = 1.0,
) -> tuple[list[Arrangements], RaterReport]:
    """Read positions from a table (CSV, TSV, Excel, DataFrame).

    Parameters
    ----------
    source : DataFrame or path
        One row per image and trial, with columns rater, trial, stimulus, x, y. Trials are taken in
        order of their number (or of first appearance, when they have names).
    conditions : sequence of str, optional
        All images of the task; by default those that occur, in alphabetical order.
    arena_diameter : float, default 1
        The diameter of the arena, in the units of x and y.

    Returns
    -------
    arrangements : list of Arrangements
        One per rater, in order of first appearance, all over the same conditions.
    report : RaterReport
        What was left out and why: trials or positions that are missing, an image placed twice in
        a trial (the last position counts), trials with fewer than 2 images, pairs never shown
        together.

    Raises
    ------
    InputError
        If a column is missing, a rater or a stimulus has no name, or a position is not a number.

    Warns
    -----
    UserWarning
        If images lie further apart than the arena is wide: `arena_diameter` is then in other units
        than the positions, and evidence would be wrong.

    See Also
    --------
    fit_raters : Estimate one RDM per rater.
    inverse_mds : Estimate one RDM from a rater's arrangements.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import inverse_mds, read_arrangements
    >>> table = pd.DataFrame({"rater": "r1", "trial": 1, "stimulus": ["a", "b", "c"],
    ...                       "x": [0.0, 0.6, 0.0], "y": [0.0, 0.0, 0.8]})
    >>> (rater,), report = read_arrangements(table)
    >>> inverse_mds(rater).rdms.vectors.round(3)
    array([[0.735, 0.98 , 1.225]])
    """
    table = read_table(
        source,
        what="a table of arrangements",
        text=["rater", "stimulus"],
        numbers=["x", "y"],
        required=["trial"],
        guess=True,
    )
    if conditions is None:
        conditions = sorted(table["stimulus"].unique())
    conditions = check_unique_names(conditions, what="condition")
    check_pivot(len(conditions), table["rater"].nunique(), what="the column 'stimulus'")
    findings = Findings()
    out = []
    for rater, rows in table.groupby("rater", sort=False):
        findings.raters.append(str(rater))
        nameless = rows["trial"].isna()
        findings.add_rows(rater, "trial missing", nameless, "row left out")
        rows = rows[~nameless]
        missing = rows[["x", "y"]].isna().any(axis=1)
        findings.add_rows(rater, "position missing", missing, "row left out")
        rows = rows[~missing]
        twice = rows.duplicated(["trial", "stimulus"], keep="last")
        findings.add_rows(rater, "image placed twice in a trial", twice, "last position counts")
        rows = rows[~twice]
        # Numbers say the order of trials; of names ("trial10" before "trial2") only the file does.
        order = pd.api.types.is_numeric_dtype(rows["trial"])
        trials, small = [], []
        for number, part in rows.groupby("trial", sort=order):
            if len(part) < 2:
                small.append(number)
                continue
            trials.append(Trial(tuple(part["stimulus"]), part[["x", "y"]].to_numpy()))
        findings.add(rater, "fewer than 2 images in a trial", len(small), "trial left out", small)
        one = Arrangements(str(rater), tuple(trials), conditions, arena_diameter)
        never = int((~shown_pairs(one)).sum())
        findings.add(rater, "pair never shown together", never, "NaN in the RDM")
        out.append(one)
    widest = max((t.distances().max() for one in out for t in one.trials), default=0.0)
    # A little more is an image whose middle is on the edge; much more is another unit.
    if widest > 1.05 * arena_diameter:
        warn(
            f"images lie up to {widest:.4g} apart, but the arena is {arena_diameter:g} wide: give "
            "arena_diameter in the units of x and y, because evidence counts in diameters."
        )
    return out, findings.report()


def shown_pairs(arrangements: Arrangements) -> np.ndarray:
    """Return which pairs were shown together at least once, (n_pairs,)."""
    position = {name: i for i, name in enumerate(arrangements.conditions)}
    together = np.zeros((len(position), len(position)), dtype=bool)
    for trial in arrangements.trials:
        index = [position[name] for name in trial.names]
        together[np.ix_(index, index)] = True
    return together[np.triu_indices(len(position), k=1)]
