"""What is compared: models with the RDMs of subjects, within runs.

Pairs of conditions of different runs are never used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rsa_faces._kernels.ranks import average_ranks
from rsa_faces.comparison import METHODS, Method
from rsa_faces.comparison._influence import residuals
from rsa_faces.inference._design import Units
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.rdm._rdms import pair_index


def pairs_of(conditions: np.ndarray, n_conditions: int) -> np.ndarray:
    """Return the positions of the pairs among some conditions, in the order of those."""
    row, col = np.triu_indices(len(conditions), k=1)
    return pair_index(conditions[row], conditions[col], n_conditions)


@dataclass(frozen=True, eq=False)
class Study:
    """Models, the RDMs of subjects, and how they are compared.

    Parameters
    ----------
    model, data : ndarray, shape (n_model, n_pairs) and (n_subjects, n_pairs)
        NaN in `data` is a pair not measured.
    method : Method
    units : Units
        Groups and runs of the conditions.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out of both sides; nothing may be missing then.
    evidence : ndarray, shape (n_subjects, n_pairs), optional
        How much each pair of each subject counts, 0 where it is missing.
    """

    model: np.ndarray
    data: np.ndarray
    method: Method
    units: Units
    given: np.ndarray | None = None
    evidence: np.ndarray | None = None

    @property
    def n_conditions(self) -> int:
        """Number of conditions."""
        return len(self.units.groups)

    @property
    def once(self) -> np.ndarray:
        """Counts of conditions of which each is there once, shape (1, n_conditions)."""
        return np.ones((1, self.n_conditions))

    @cached_property
    def runs(self) -> list[Run]:
        """What is compared in each run, among the subjects that have any pair of it."""
        runs = []
        for run in self.units.runs:
            pairs = pairs_of(run, self.n_conditions)
            members = np.flatnonzero(~np.isnan(self.data[:, pairs]).all(axis=1))
            own = self
            if len(self.units.names) > 1 or len(members) < len(self.data):
                own = replace(
                    self.of_subjects(members)._over(pairs),
                    method=self.method.among(run),
                    units=Units.of_groups(self.units.groups[run]),
                )
            runs.append(Run(own, run, pairs, members))
        return runs

    def of_subjects(self, rows: np.ndarray | slice) -> Study:
        """Return what is compared in some subjects."""
        evidence = None if self.evidence is None else self.evidence[rows]
        return replace(self, data=self.data[rows], evidence=evidence)

    def _over(self, pairs: np.ndarray) -> Study:
        """Return all vectors over some pairs."""
        return replace(
            self,
            model=self.model[:, pairs],
            data=self.data[:, pairs],
            given=None if self.given is None else self.given[:, pairs],
            evidence=None if self.evidence is None else self.evidence[:, pairs],
        )

    def complete(self) -> list[tuple[Study, np.ndarray, np.ndarray]]:
        """Return parts of a run in which subjects have every pair, with their rows and pairs."""
        missing = np.isnan(self.data)
        if self.evidence is None and not missing.any():
            return [(self, np.arange(len(self.data)), np.arange(self.data.shape[1]))]
        masks, group = np.unique(missing, axis=0, return_inverse=True)
        if self.evidence is not None:
            # Each subject weighs pairs in its own way.
            masks, group = ~(self.evidence > 0), np.arange(len(self.data))
        parts = []
        for i, mask in enumerate(masks):
            rows, pairs = np.flatnonzero(group.ravel() == i), np.flatnonzero(~mask)
            if len(pairs):
                parts.append((self.of_subjects(rows)._over(pairs), rows, pairs))
        return parts

    @property
    def counted(self) -> np.ndarray:
        """How much each pair of each subject counts, (n_subjects, n_pairs)."""
        return (~np.isnan(self.data)).astype(float) if self.evidence is None else self.evidence

    def similarities(self, counts: np.ndarray) -> np.ndarray:
        """Return similarities of resampled RDMs, the mean over runs, (n_samples, n_model, n_data).

        As :func:`weighted_similarities` in each run. A run of which a subject has no pair at all
        is left out of the mean for that subject.
        """

        def in_run(own: Study, drawn: np.ndarray) -> np.ndarray:
            sides = own.model, own.data
            return weighted_similarities(*sides, drawn, own.method, own.given, own.evidence)

        return self._mean_over_runs(in_run, counts, len(self.model))

    def ceilings(self, counts: np.ndarray) -> np.ndarray:
        """Return each subject's share in the ceilings, the mean over runs, (2, n_samples, n_data).

        The lower, then the upper: as :func:`subject_ceilings` in each run, among the subjects that
        have it.
        """

        def in_run(own: Study, drawn: np.ndarray) -> np.ndarray:
            bounds = subject_ceilings(own.data, drawn, own.method, own.given, own.evidence)
            return np.stack(bounds, axis=1)

        # A subject alone in a run has nobody to agree with there.
        fewest = min(2, len(self.data))
        return self._mean_over_runs(in_run, counts, 2, fewest).transpose(1, 0, 2)

    def _mean_over_runs(
        self,
        in_run: Callable[[Study, np.ndarray], np.ndarray],
        counts: np.ndarray,
        n_columns: int,
        fewest: int = 1,
    ) -> np.ndarray:
        """Return the mean over runs of ``in_run(study, counts)``, (n_samples, n_columns, n_s)."""
        runs = [run for run in self.runs if len(run.members) >= fewest]
        if len(runs) == 1 and runs[0].study is self:
            return in_run(self, counts)
        total = np.zeros((len(counts), n_columns, len(self.data)))
        n_runs = np.zeros(len(self.data))
        for run in runs:
            total[..., run.members] += in_run(run.study, counts[:, run.conditions])
            n_runs[run.members] += 1
        with np.errstate(invalid="ignore"):
            return total / n_runs

    def left(self) -> Study:
        """Return the RDMs of subjects once `given` is regressed out, and how they are compared."""
        if self.given is None:
            return self
        rest = np.full(self.data.shape, np.nan)
        for own, _, pairs, members in self.runs:
            sides = own.data, np.asarray(own.given)
            if self.method.uses_ranks:
                sides = average_ranks(sides[0]), average_ranks(sides[1])
            y, z = (side - side.mean(axis=1, keepdims=True) for side in sides)
            rest[np.ix_(members, pairs)] = residuals(y, z)[0]
        return replace(self, data=rest, method=METHODS["pearson"], given=None)


class Run(NamedTuple):
    """What is compared in one run: its conditions, pairs and subjects by their positions."""

    study: Study
    conditions: np.ndarray
    pairs: np.ndarray
    members: np.ndarray
