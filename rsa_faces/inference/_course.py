"""The outcome of an evaluation over time, and how its curves are selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.result import BaseResult

_CEILINGS = ["ceiling_low", "ceiling_high", "p_reliable", "reliable", "n_subjects"]


@dataclass(frozen=True, eq=False, repr=False)
class TimeCourse(BaseResult, figure="plot_time"):
    """The outcome of :func:`time_course`.

    A curve is the similarity of one model in one region over time.

    Parameters
    ----------
    times : ndarray, shape (n_times,)
        In seconds, ascending.
    curves : DataFrame
        One row per curve: region, network, layer, model (network and layer), layer_index, depth.
    table : DataFrame
        One row per curve and time: mean similarity over subjects, its error, interval and p,
        noise ceilings, whether subjects share structure, numbers of subjects and conditions.
    subjects : ndarray, shape (n_subjects, n_curves, n_times)
        Similarity in each subject; NaN throughout where a subject lacks the region.
    subject_names : tuple of str
    samples : ndarray, shape (n_boot, n_curves, n_times)
        Mean similarity in each bootstrap sample, drawn once for all times and curves; none with
        an analytic uncertainty.
    settings : mapping
        The options of :func:`time_course`, and `generalises_to`.
    notes : tuple of str
        What a reader must know before concluding.

    See Also
    --------
    rsa_faces.inference.time_course : Evaluate how well models predict data at each time.
    rsa_faces.inference.latency : Find when each curve peaks or sets in, with bootstrap intervals.
    rsa_faces.figures.plot_time : Draw similarity over time: a panel per region, a curve per model.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> labels = {"network": "n", "layer": ["one", "two"], "layer_index": [0, 1]}
    >>> model = rf.RDMs(rng.random((2, 66)), names, "simulated", labels)
    >>> labels = {"subject": np.repeat(range(6), 3), "time": np.tile([0.0, 0.1, 0.2], 6)}
    >>> values = np.tile([[0.0], [1.0], [1.0]], (6, 1)) * model.vectors[0] + rng.random((18, 66))
    >>> data = rf.RDMs(values, names, "simulated", labels | {"region": "ventral"})
    >>> course = rf.inference.time_course(model, data, method="spearman", n_boot=50)
    >>> course.times, course.subjects.shape
    (array([0. , 0.1, 0.2]), (6, 2, 3))
    """

    times: np.ndarray
    curves: pd.DataFrame
    table: pd.DataFrame
    subjects: np.ndarray
    subject_names: tuple[str, ...]
    samples: np.ndarray

    def __repr__(self) -> str:
        return (
            f"TimeCourse({len(self.curves)} curves, {len(self.times)} times from "
            f"{self.times[0]:g} to {self.times[-1]:g} s, {len(self.subject_names)} subjects)"
        )

    @property
    def similarity(self) -> np.ndarray:
        """Mean similarity over subjects, shape (n_curves, n_times)."""
        return self.table["similarity"].to_numpy().reshape(len(self.curves), -1)

    @property
    def method(self) -> str:
        """The comparison method."""
        return self.settings["method"]

    @property
    def unique(self) -> bool:
        """Whether layers before were taken out (semi-partial correlation)."""
        return self.settings["unique"]

    @property
    def n_conditions(self) -> int:
        """Number of conditions."""
        return int(self.table["n_conditions"].iloc[0])

    @property
    def ceilings(self) -> pd.DataFrame:
        """One row per region and time: noise ceilings, and whether subjects share structure."""
        first = ~self.table.duplicated(["region", "time"])
        return self.table.loc[first, ["region", "time", *_CEILINGS]].reset_index(drop=True)

    def by_subject(self) -> pd.DataFrame:
        """Return a tidy table: one row per curve, time and subject that has the region."""
        n_subjects, n_curves, n_times = self.subjects.shape
        frame = self.curves.loc[np.repeat(np.arange(n_curves), n_times * n_subjects)]
        frame = frame.reset_index(drop=True).assign(
            time=np.tile(np.repeat(self.times, n_subjects), n_curves),
            subject=np.tile(np.array(self.subject_names, dtype=object), n_curves * n_times),
            similarity=np.moveaxis(self.subjects, 0, 2).ravel(),
        )
        has = ~np.isnan(self.subjects).all(axis=2, keepdims=True)
        has = np.moveaxis(np.broadcast_to(has, self.subjects.shape), 0, 2)
        return frame[has.ravel()].reset_index(drop=True)

    def sel(self, *, model: str | None = None, region: str | None = None) -> TimeCourse:
        """Select the curves of a model, of a region, or of both.

        Parameters
        ----------
        model, region : str, optional
            As in :attr:`curves`.

        Returns
        -------
        TimeCourse
            Without the subjects that have none of these curves, so that with one region `subjects`
            has no gaps. Corrected p values remain those of the whole.

        Raises
        ------
        InputError
            If there is no such model or region (the nearest is named).
        """
        return take_curves(self, find_curves(self, model, region))


def find_curves(course: TimeCourse, model: str | None, region: str | None) -> np.ndarray:
    """Return the positions of the curves of a model, of a region, or of both."""
    keep = np.ones(len(course.curves), dtype=bool)
    for column, value in (("model", model), ("region", region)):
        if value is not None:
            check_choice(value, course.curves[column].unique(), what=column)
            keep &= (course.curves[column] == value).to_numpy()
    return np.flatnonzero(keep)


def take_curves(course: TimeCourse, index: Sequence[int] | np.ndarray) -> TimeCourse:
    """Return these curves, and the subjects that have one of their regions."""
    index = np.asarray(index)
    n_times = len(course.times)
    regions = course.curves["region"]
    # A similarity that is undefined at all times is no reason to leave a subject out.
    has_curve = ~np.isnan(course.subjects).all(axis=2)
    wanted = regions.isin(regions.iloc[index]).to_numpy()
    has = has_curve[:, wanted].any(axis=1)
    rows = (index[:, None] * n_times + np.arange(n_times)).ravel()
    return replace(
        course,
        curves=course.curves.iloc[index].reset_index(drop=True),
        table=course.table.iloc[rows].reset_index(drop=True),
        subjects=course.subjects[has][:, index],
        subject_names=tuple(n for n, h in zip(course.subject_names, has, strict=True) if h),
        samples=course.samples[:, index],
    )
