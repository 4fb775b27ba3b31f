"""Cells of observations: conditions, or conditions within folds, and what deviates within them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.rdm.measures import Measure
from rsa_faces.rdm.noise import ALL_FOLDS, Freedom


@dataclass(frozen=True, eq=False)
class Cells:
    """The cell of each observation.

    Parameters
    ----------
    codes : ndarray of int, shape (n_observations,)
        Cells are numbered fold by fold, in each in the order of conditions.
    folds : list
        Names of folds, or `ALL_FOLDS` alone.
    n_conditions : int
    """

    codes: np.ndarray
    folds: list[Hashable]
    n_conditions: int

    @classmethod
    def of(
        cls,
        rows: Sequence[str],
        conditions: Sequence[str],
        folds: Sequence[Any] | None,
        measure: Measure,
    ) -> Cells:
        """Return the cells a measure needs; every condition must be in every fold."""
        position = {name: i for i, name in enumerate(conditions)}
        names: list[Any] = [ALL_FOLDS]
        codes = np.array([position[row] for row in rows])
        if folds is not None:
            names = sorted(set(folds))
            if len(names) < 2:
                raise InputError(
                    f"expected at least 2 folds (runs) for the measure {measure.name!r}, got only "
                    f"{names[0]!r}. Give more runs, or use another measure."
                )
            number = {fold: i for i, fold in enumerate(names)}
            # One number for condition and fold: a mean per cell is then one sum by number.
            codes += len(conditions) * np.array([number[fold] for fold in folds])
        cells = cls(codes, names, len(conditions))
        if (missing := np.flatnonzero(cells.counts == 0)).size:
            listed = ", ".join(
                f"{conditions[i % len(conditions)]!r} in fold {names[i // len(conditions)]!r}"
                for i in missing[:5]
            )
            raise InputError(
                f"expected every condition in every fold, but {len(missing)} are missing: "
                f"{listed}. Leave those conditions or folds out, or merge folds."
            )
        return cells

    @property
    def counts(self) -> np.ndarray:
        """Number of observations in each cell."""
        return np.bincount(self.codes, minlength=len(self.folds) * self.n_conditions)

    def check_repeats(self, instead: str) -> None:
        """Raise if no cell has two observations: nothing deviates; say what to give instead."""
        if (self.counts == 1).all():
            within = each = ""
            if len(self.folds) > 1:
                within = " within folds"
                each = " in each fold, and differences between folds would bias distances"
            raise InputError(
                f"expected repeats of conditions{within} to estimate noise from, but every "
                f"condition is there once{each}. Give {instead} instead."
            )

    def residuals(
        self, observed: np.ndarray, means: np.ndarray, axis: int, instead: str
    ) -> tuple[dict[Hashable, np.ndarray], dict[Hashable, Freedom]]:
        """Return by fold how observations deviate from the mean of their cell, and freedom.

        Deviations within a cell say nothing of the cells' means. Deviations between folds do: noise
        estimated from them is small in the very directions in which the folds happen to agree, and
        distances of equal patterns come out above 0.
        """
        self.check_repeats(instead)
        deviations = observed - np.take(means, self.codes, axis)
        by_fold, freedom = {}, {}
        for number, fold in enumerate(self.folds):
            here = self.codes // self.n_conditions == number
            by_fold[fold] = deviations if here.all() else np.compress(here, deviations, axis)
            freedom[fold] = Freedom.of_cells(self.codes[here])
        return by_fold, freedom
