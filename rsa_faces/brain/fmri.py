"""Patterns of fMRI: from maps of betas to RDMs of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import per_row
from rsa_faces._core.names import as_names, named
from rsa_faces.brain._region import Region
from rsa_faces.rdm import NOISE_METHODS, RDMs, compute_rdms, concat
from rsa_faces.rdm.measures import resolve
from rsa_faces.rdm.noise import (
    ALL_FOLDS,
    check_noise_from,
    fold_noise,
    freedom_by_fold,
    residuals_by_fold,
)


@dataclass(frozen=True, eq=False, repr=False)
class Patterns:
    """Responses at places of a brain, one row per condition and repeat.

    Parameters
    ----------
    values : ndarray, shape (n_observations, n_channels)
        Finite.
    conditions : sequence of str
        The condition of each row.
    space : Region
        Where the channels are, in its order.
    folds : sequence, optional
        The fold (run, session) of each row.
    residuals : mapping of fold to ndarray, shape (n_scans, n_channels), optional
        What the model of each run left over, or ``{"all": ...}``, of all runs together.
    n_estimated : mapping of fold to int, optional
        Number of parameters that the model of each run estimated; by default 0.
    subject : str, optional
    left_out : mapping of str to int, optional
        How many places of the mask were left out, for each reason.

    Raises
    ------
    InputError
        If shapes do not fit or a value is not finite.

    See Also
    --------
    rsa_faces.brain.load_patterns : Read maps of responses.
    rsa_faces.brain.bids_patterns : Estimate patterns of a subject from preprocessed BOLD in BIDS.
    rsa_faces.brain.glm_patterns : Estimate patterns from preprocessed BOLD.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Patterns, Region, Volume
    >>> rng = np.random.default_rng(0)
    >>> space = Region(Volume(np.ones((3, 3, 3), bool), np.diag([3.0, 3, 3, 1])))
    >>> patterns = Patterns(rng.normal(size=(6, 27)), list("abc") * 2, space, [1, 1, 1, 2, 2, 2])
    >>> patterns
    Patterns(6 observations of 3 conditions in 2 folds, 27 channels)
    >>> patterns.rdms(measure="crossnobis")
    RDMs(1 RDM, 3 conditions, measure='crossnobis', labels: region, n_channels, n_missing)
    """

    values: np.ndarray
    conditions: tuple[str, ...]
    space: Region
    folds: tuple[Any, ...] | None = None
    residuals: Mapping[Any, np.ndarray] | None = None
    n_estimated: Mapping[Any, int] = field(default_factory=dict)
    subject: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values, conditions = named(self.values, self.conditions, what="values", repeats=True)
        values = np.asarray(values, dtype=np.float64)
        object.__setattr__(self, "values", values)
        if self.folds is not None:
            shared = self.conditions.index if isinstance(self.conditions, pd.Series) else conditions
            folds = per_row(self.folds, len(values), rows=(shared, conditions))
            object.__setattr__(self, "folds", tuple(folds))
        object.__setattr__(self, "conditions", conditions)
        expected = (len(self.conditions), self.space.n_places)
        if values.shape != expected:
            raise InputError(
                f"expected values of shape {expected}, a row for each condition and a column for "
                f"each place, got {values.shape}."
            )
        if bad := int((~np.isfinite(values)).any(axis=0).sum()):
            raise InputError(
                f"expected finite values, but {bad} of {values.shape[1]} channels hold others."
            )
        for fold, left in (self.residuals or {}).items():
            if np.ndim(left) != 2 or np.shape(left)[1] != values.shape[1]:
                raise InputError(
                    f"expected residuals of fold {fold!r} of shape (n_scans, {values.shape[1]}), "
                    f"got {np.shape(left)}."
                )

    def __repr__(self) -> str:
        folds = "" if self.folds is None else f" in {len(set(self.folds))} folds"
        whose = "" if self.subject is None else f", subject {self.subject!r}"
        return (
            f"Patterns({len(self.values)} observations of {len(set(self.conditions))} "
            f"conditions{folds}, {self.n_channels} channels{whose})"
        )

    @property
    def n_channels(self) -> int:
        """Number of channels: voxels and vertices."""
        return self.values.shape[1]

    def select(self, roi: Region, *, resample: bool = False) -> Patterns:
        """Return the patterns within a region.

        Parameters
        ----------
        roi : Region
            Places of it that have no channel (outside the mask, or left out as not usable) are
            counted as ``n_missing`` by :meth:`rdms`.
        resample : bool, default False
            Put voxels on another grid onto that of the patterns, by nearest neighbour.

        Raises
        ------
        InputError
            If grids or spaces differ, or no place of the region has a channel.
        """
        chosen = roi.positions(self.space, resample=resample)
        residuals = self.residuals
        if residuals is not None:
            residuals = {fold: values[:, chosen] for fold, values in residuals.items()}
        space = self.space.keep(chosen, name=roi.name)
        return replace(self, values=self.values[:, chosen], space=space, residuals=residuals)

    def subset(
        self, *, conditions: Sequence[str] | None = None, folds: Sequence[Any] | None = None
    ) -> Patterns:
        """Return the rows of some conditions, some folds, or both, in their order.

        Raises
        ------
        InputError
            If a condition or fold does not occur, or no row has both.
        """
        keep = np.ones(len(self.values), dtype=bool)
        if conditions is not None:
            conditions = as_names(conditions)
        for wanted, present, what in (
            (conditions, self.conditions, "condition"),
            (folds, self.folds, "fold"),
        ):
            if wanted is None:
                continue
            if present is None:
                raise InputError("expected patterns with folds to take some of them, got none.")
            for value in wanted:
                if value not in present:
                    check_choice(str(value), sorted({str(p) for p in present}), what=what)
                    raise InputError(
                        f"expected {what} {value!r} as it is labelled: "
                        f"{sorted(set(present))[0]!r}, ..."
                    )
            keep &= np.array([p in set(wanted) for p in present])
        if not keep.any():
            raise InputError(f"no row has {conditions=} and {folds=}.")
        rows = np.flatnonzero(keep)
        residuals = self.residuals
        if residuals is not None and folds is not None:
            residuals = {f: values for f, values in residuals.items() if f in {ALL_FOLDS, *folds}}
        return replace(
            self,
            values=self.values[rows],
            conditions=[self.conditions[i] for i in rows],
            folds=None if self.folds is None else [self.folds[i] for i in rows],
            residuals=residuals,
        )

    def mean(self) -> Patterns:
        """Average repeats over rows and folds: one row per condition, without folds.

        Conditions have the order of first appearance. A condition with fewer repeats than others
        has a noisier mean.
        """
        names = list(dict.fromkeys(self.conditions))
        codes = pd.Index(names).get_indexer(self.conditions)
        total = np.zeros((len(names), self.n_channels))
        np.add.at(total, codes, self.values)
        return replace(
            self, values=total / np.bincount(codes)[:, None], conditions=names, folds=None
        )

    def rdms(
        self,
        rois: Region | Mapping[str, Region] | Sequence[Region] | None = None,
        *,
        measure: str = "crossnobis",
        noise: str | None = None,
        noise_from: str = "all",
        resample: bool = False,
    ) -> RDMs:
        """Build an RDM for each region.

        Parameters
        ----------
        rois : Region, mapping of name to Region, or sequence of Region, optional
            By default all channels, as the region "all".
        measure : str, default "crossnobis"
            One of `rsa_faces.rdm.MEASURES`. All but crossnobis and mahalanobis want one row per
            condition: take :meth:`mean` first.
        noise : {"ledoit-wolf", "schaefer-strimmer"}, optional
            Shrinkage of the noise covariance, for crossnobis and mahalanobis: of the residuals if
            there are any, otherwise of the repeats (within folds). Without it crossnobis uses the
            identity.
        noise_from : {"all", "fold"}, default "all"
            One covariance of the residuals of all folds, or for crossnobis one for each fold; then
            a pair of folds uses the mean of its two.
        resample : bool, default False
            Put regions on another grid onto that of the patterns, by nearest neighbour.

        Returns
        -------
        RDMs
            With the labels ``subject`` (if known), ``region``, ``n_channels``, ``n_missing``
            (places of the region without a channel, counted on the grid of the patterns), and
            ``shrinkage`` where noise was estimated (for several covariances their mean).

        Raises
        ------
        InputError
            If regions and patterns do not fit, a name occurs twice, residuals of a fold are
            missing or not told apart for ``noise_from="fold"``, or as
            :func:`rsa_faces.compute_rdms` does.

        Notes
        -----
        Residuals of the model are independent of its betas if noise is Gaussian, and so the
        expectation of crossnobis stays 0 for conditions with equal patterns. Residuals of a fold
        have the degrees of freedom n_scans − n_estimated. :func:`rsa_faces.mapping.searchlight`
        estimates noise by the same rule, with the same defaults.

        References
        ----------
        .. [1] Walther A. et al. (2016). NeuroImage 137, 188-200.
           doi:10.1016/j.neuroimage.2015.12.012
        """
        measure = resolve(measure)
        check_noise_from(noise_from, measure, None if self.residuals is None else [*self.residuals])
        if noise is not None:
            check_choice(noise, NOISE_METHODS, what="noise covariance method")
        if (
            not measure.uses_noise
            and not measure.needs_folds
            and len(set(self.conditions)) < len(self.conditions)
        ):
            raise InputError(
                f"expected one row per condition for the measure {measure.name!r}, got "
                f"{len(self.conditions)} rows of {len(set(self.conditions))} conditions. Average "
                "them first with mean(), or use 'crossnobis'."
            )
        made = [
            self._rdm(name, roi, measure, noise, noise_from, resample)
            for name, roi in _named(rois, self.space).items()
        ]
        return concat(made)

    def to_img(self, values: Any = None, *, fill: float = np.nan):
        """Return the patterns, or other values at the same places, as an image.

        Parameters
        ----------
        values : array_like, shape (n_channels,) or (n_maps, n_channels), optional
            By default the patterns, a map for each row. For residuals give those of a fold.
        fill : float, default NaN
            Value outside the mask.

        Returns
        -------
        nibabel.Nifti1Image, dict of nibabel.GiftiImage or nibabel.Cifti2Image
            As :meth:`Region.to_img`.
        """
        return self.space.to_img(self.values if values is None else values, fill=fill)

    def _rdm(self, name, roi, measure, noise, noise_from, resample) -> RDMs:
        """Return the RDM of a region."""
        part, missing = self, 0
        if roi is not None:
            roi = roi.named(name).on_grid_of(self.space, resample=resample)
            part = self.select(roi)
            missing = roi.n_places - part.n_channels
        given = noise
        if noise is not None and measure.uses_noise and self.residuals is not None:
            residuals = residuals_by_fold(part.residuals, part.folds)
            freedoms = freedom_by_fold({f: len(r) for f, r in residuals.items()}, self.n_estimated)
            given = fold_noise(residuals, freedoms, method=noise, noise_from=noise_from)
        rdms = compute_rdms(
            part.values,
            measure=measure,
            conditions=part.conditions,
            noise=given,
            noise_from=noise_from,
            folds=part.folds if measure.needs_folds else None,
        )
        labels = {} if self.subject is None else {"subject": [self.subject]}
        labels |= {"region": [name], "n_channels": [part.n_channels], "n_missing": [missing]}
        if "shrinkage" in rdms.labels:
            labels["shrinkage"] = rdms.labels["shrinkage"].tolist()
        return RDMs(rdms.vectors, rdms.conditions, rdms.measure, pd.DataFrame(labels))


def _named(rois, space: Region) -> dict[str, Region | None]:
    """Return regions by name."""
    if rois is None:
        return {space.name or "all": None}
    if isinstance(rois, Region):
        return {rois.name or "roi": rois}
    if not isinstance(rois, Mapping):
        names = [roi.name for roi in rois]
        if "" in names or len(set(names)) < len(names):
            raise InputError(
                f"expected a different name for each region, got {names!r}. Give a mapping of "
                "name to region."
            )
        rois = dict(zip(names, rois, strict=True))
    check_enough(len(rois), 1, "region")
    for name, roi in rois.items():
        if not isinstance(roi, Region):
            raise TypeError(
                f"expected region {name!r} to be a Region (see load_roi), got {type(roi).__name__}."
            )
    return dict(rois)
