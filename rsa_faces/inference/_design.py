"""What inference is asked for: one frozen set of options, checked once, and the units drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels, codes_of
from rsa_faces._core.student import half_width, t_test
from rsa_faces.inference.multiple import CORRECTIONS

#: What conclusions can hold for.
GENERALISE_TO = {
    "subjects": "new subjects, but these conditions only",
    "conditions": "new conditions, but these subjects only",
    "both": "new subjects and new conditions",
}
UNCERTAINTIES = ("bootstrap", "analytic")
INTERVALS = ("t", "percentile")
TAILS = ("two-sided", "greater", "less")
FAMILIES = ("region", "all")
# Below these a note is given: docs/calibration.md has how often tests err at such sizes.
FEW_SUBJECTS = 5
FEW_CONDITIONS = 20
_ROUNDING = 1e-12  # of similarities, which are at most 1
_SETTINGS = (
    *("generalise_to", "uncertainty", "interval", "n_boot", "seed"),
    *("alpha", "correction", "tail", "family"),
)


@dataclass(frozen=True, eq=False)
class Design:
    """The options of inference, as :func:`rsa_faces.evaluate` explains them.

    Raises
    ------
    InputError
        If an option is unknown or out of range.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.

    Examples
    --------
    >>> from rsa_faces.inference import Design
    >>> Design(generalise_to="subjects", n_boot=500).interval
    't'
    """

    generalise_to: str = "both"
    uncertainty: str = "bootstrap"
    n_boot: int = 1000
    by: str = "subject"
    groups: Labels | None = None
    blocks: Labels | None = None
    alpha: float = 0.05
    correction: str = "fdr"
    interval: str = "t"
    seed: int = 0
    tail: str = "two-sided"
    family: str = "region"

    def __post_init__(self):
        check_choice(self.generalise_to, GENERALISE_TO, what="value of generalise_to")
        check_choice(self.uncertainty, UNCERTAINTIES, what="uncertainty")
        check_choice(self.correction, CORRECTIONS, what="correction")
        check_choice(self.interval, INTERVALS, what="interval")
        check_choice(self.tail, TAILS, what="tail")
        check_choice(self.family, FAMILIES, what="family")
        check_count(self.n_boot, what="n_boot", low=2)
        if not 0 < self.alpha < 1:
            raise InputError(f"expected alpha between 0 and 1, got {self.alpha!r}.")
        if self.uncertainty == "analytic" and self.interval == "percentile":
            raise InputError(
                "expected interval='t' with uncertainty='analytic', got 'percentile': there are "
                "no bootstrap samples to take quantiles of."
            )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Design:
        """Return the options among the arguments of a public function, ``locals()`` of it."""
        return cls(**{f.name: given[f.name] for f in fields(cls) if f.name in given})

    @property
    def draws_subjects(self) -> bool:
        """Whether conclusions hold for new subjects."""
        return self.generalise_to != "conditions"

    @property
    def draws_conditions(self) -> bool:
        """Whether conclusions hold for new conditions."""
        return self.generalise_to != "subjects"

    def units(self, conditions: Sequence[str]) -> Units:
        """Return the groups and runs of these conditions."""
        groups = np.arange(len(conditions))
        if self.groups is not None:
            groups = codes_of(self.groups, conditions, "group")[0]
        if self.blocks is None:
            return Units.of_groups(groups)
        return Units(groups, *codes_of(self.blocks, conditions, "block"))

    def freedom(self, n_subjects: int, units: Units) -> int:
        """Return the degrees of freedom of t-tests."""
        of = {"subjects": n_subjects - 1, "conditions": units.freedom}
        return of.get(self.generalise_to, min(of.values()))

    def p_values(self, estimate: np.ndarray, sem: np.ndarray, freedom: int) -> np.ndarray:
        """Return p values of t-tests against 0, of the tail asked for; see :func:`t_test`."""
        return t_test(estimate, sem, freedom, self.tail)

    def sem(self, variance: np.ndarray) -> np.ndarray:
        """Return standard errors; NaN where nothing varied but rounding: no error was measured."""
        sem = np.sqrt(variance)
        return np.where(sem > _ROUNDING, sem, np.nan)

    def half_width(self, sem: np.ndarray, freedom: int) -> np.ndarray:
        """Return half the width of two-sided t intervals."""
        return half_width(sem, freedom, self.alpha)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the options as a result keeps them, with what conclusions hold for."""
        own: dict[str, Any] = {name: getattr(self, name) for name in _SETTINGS}
        if self.uncertainty != "bootstrap":
            own["n_boot"] = 0
        own |= {what: getattr(self, what) is not None for what in ("groups", "blocks")}
        return own | {"generalises_to": GENERALISE_TO[self.generalise_to]} | more


@dataclass(frozen=True, eq=False)
class Units:
    """The conditions of a study: which belong together, and which were in a run.

    Parameters
    ----------
    groups : ndarray of int, shape (n_conditions,)
        Group of each condition, from 0; conditions of a group are drawn together.
    blocks : ndarray of int, shape (n_conditions,)
        Run of each condition, from 0. Pairs of conditions of different runs are not used.
    names : tuple of str
        Of the runs.
    """

    groups: np.ndarray
    blocks: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of_groups(cls, groups: np.ndarray) -> Units:
        """Return groups of conditions in one run."""
        return cls(groups, np.zeros(len(groups), int), ("all",))

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1

    @property
    def grouped(self) -> bool:
        """Whether some conditions are drawn together."""
        return self.n_groups < len(self.groups)

    @property
    def runs(self) -> list[np.ndarray]:
        """The positions of the conditions of each run."""
        return [np.flatnonzero(self.blocks == run) for run in range(len(self.names))]

    def among(self, conditions: np.ndarray) -> Units:
        """Return those of some conditions, given by their positions."""
        groups = np.unique(self.groups[conditions], return_inverse=True)[1]
        runs, blocks = np.unique(self.blocks[conditions], return_inverse=True)
        return Units(groups, blocks, tuple(self.names[run] for run in runs))

    @property
    def strata(self) -> np.ndarray:
        """Stratum of each group, from 0: what is drawn from on its own.

        A run, if every group is in one run; otherwise all groups are one stratum.
        """
        found = pd.DataFrame({"group": self.groups, "run": self.blocks}).groupby("group")["run"]
        if (found.nunique() > 1).any():
            return np.zeros(self.n_groups, int)
        return found.first().to_numpy()

    @property
    def freedom(self) -> int:
        """Number of groups less that of strata."""
        return self.n_groups - int(self.strata.max()) - 1

    @property
    def used(self) -> np.ndarray:
        """Which pairs lie within a run, shape (n_pairs,)."""
        row, col = np.triu_indices(len(self.blocks), k=1)
        return self.blocks[row] == self.blocks[col]


def check_design(
    *,
    n_subjects: int,
    n_conditions: int,
    generalise_to: str,
    what: str = "the data",
    groups: bool = False,
) -> list[str]:
    """Check whether numbers allow the conclusions asked for.

    Parameters
    ----------
    n_subjects, n_conditions : int
        How many there are.
    generalise_to : {"both", "subjects", "conditions"}
        What conclusions are to hold for.
    what : str
        What it is about, for messages.
    groups : bool, default False
        Whether `n_conditions` are groups of conditions, which are drawn together.

    Returns
    -------
    list of str
        Notes where numbers are small.

    Raises
    ------
    InputError
        If new subjects are asked for and there is one, or new conditions and there are fewer
        than 4.

    See Also
    --------
    calibrate : Simulate how often tests reject what is true.

    Examples
    --------
    >>> from rsa_faces.inference import check_design
    >>> check_design(n_subjects=12, n_conditions=60, generalise_to="both")
    []
    """
    check_arguments(check_design, locals())
    notes = []
    if generalise_to != "conditions":
        if n_subjects < 2:
            raise InputError(
                f"expected at least 2 subjects in {what} for generalise_to={generalise_to!r}, got "
                f"{n_subjects}: nothing can be said about new subjects. Use "
                "generalise_to: conditions, which needs one subject."
            )
        if n_subjects < FEW_SUBJECTS:
            notes.append(
                f"{what}: {n_subjects} subjects are too few to generalise to new subjects with "
                f"confidence; the tests are approximate below {FEW_SUBJECTS}."
            )
    if generalise_to != "subjects":
        units = "groups of conditions" if groups else "conditions"
        if n_conditions < 4:
            raise InputError(
                f"expected at least 4 {units} in {what} for generalise_to={generalise_to!r}, "
                f"got {n_conditions}."
            )
        if n_conditions < FEW_CONDITIONS:
            notes.append(
                f"{what}: {n_conditions} {units} are too few to generalise to new conditions "
                f"with confidence; the tests are approximate below {FEW_CONDITIONS}."
            )
    return notes
