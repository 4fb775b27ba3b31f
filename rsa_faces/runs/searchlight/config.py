"""Searchlights and intracranial recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from rsa_faces._core.checks import parse_bytes
from rsa_faces.runs._entries import ModelConfig, NetworkConfig, StimuliConfig
from rsa_faces.runs._images import BidsConfig, MaskConfig, MeshConfig, SubjectName, SubjectsConfig
from rsa_faces.runs._reading import Section, exactly_one, read_config


class BrainImagesConfig(SubjectsConfig):
    """Images of a group of subjects in one space, a data set in BIDS, or one that is simulated.

    See :class:`rsa_faces.runs._images.SubjectsConfig` for `subjects`, `images`, `conditions` and
    `residuals`. `mask` is exactly 0 and 1, or ``{file: ..., threshold: 0.5}``.
    """

    dataset: Literal["simulated", "simulated cortex"] | None = None
    bids: BidsConfig | None = None
    mask: MaskConfig | None = None
    mesh: MeshConfig | None = None

    @model_validator(mode="after")
    def _whole(self) -> BrainImagesConfig:
        exactly_one(self, "subjects", "bids", "dataset")
        given = [k for k in ("conditions", "mask", "mesh", "residuals") if getattr(self, k)]
        if self.dataset is not None and given:
            raise ValueError(f"expected no {given[0]!r} beside `dataset`.")
        if self.bids is not None and (extra := [k for k in given if k != "mask"]):
            raise ValueError(f"expected no {extra[0]!r} beside `bids`.")
        if self.subjects is None:
            return self
        if self.mask is None and self.mesh is None:
            raise ValueError(
                "expected `mask` beside `subjects`, or for surfaces `mesh`: fsaverage5, or files "
                "as `left` and `right`."
            )
        return self


class GroupTestConfig(Section):
    """How maps are tested over subjects."""

    statistic: Literal["tfce", "max", "cluster-mass"] = "tfce"
    threshold: float | None = None
    tail: Literal["two-sided", "greater", "less"] = "greater"
    n_permutations: int = Field(default=2000, ge=99)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)


class SearchlightConfig(Section):
    """A searchlight: images of a group and models → maps, tests, peaks and figures.

    Read with :func:`load_searchlight_config`; every key is explained in
    ``configs/searchlight.yaml``.
    """

    title: str
    data: BrainImagesConfig
    stimuli: StimuliConfig | None = None
    networks: list[NetworkConfig] = Field(default_factory=list)
    models: list[ModelConfig] = Field(default_factory=list)
    radius: float = Field(default=8.0, gt=0)
    measure: str = "correlation"
    method: str = "spearman"
    noise: Literal["ledoit-wolf", "schaefer-strimmer"] | None = None
    noise_from: Literal["all", "fold"] = "all"
    min_voxels: int = Field(default=5, ge=1)
    test: GroupTestConfig = Field(default_factory=GroupTestConfig)
    budget: str = "4GB"
    seed: int = Field(default=0, ge=0)

    @field_validator("budget")
    @classmethod
    def _budget_is_bytes(cls, value: str) -> str:
        parse_bytes(value)
        return value

    @model_validator(mode="after")
    def _something_to_compare(self) -> SearchlightConfig:
        if self.data.dataset is None and not self.networks and not self.models:
            raise ValueError("expected at least one entry in `networks` or `models`.")
        if self.networks and self.stimuli is None:
            raise ValueError("expected `stimuli` for the networks to look at.")
        if self.data.residuals and self.noise is None:
            raise ValueError(
                "expected `noise` beside `residuals`: how their covariance is shrunk, ledoit-wolf "
                "or schaefer-strimmer."
            )
        return self


class PlantedConfig(Section):
    """A layer that holds in a region of simulated recordings from one time to another."""

    region: str
    network: str
    layer: str
    start: float
    stop: float


class BidsRecordingsConfig(Section):
    """Recordings in BIDS-iEEG: one run of each patient; see :func:`rsa_faces.brain.read_bids_ieeg`.

    `events` is the column of events.tsv that names the stimuli, `query` says which events, and
    `regions` which region each entry of the column `region` of electrodes.tsv belongs to.
    """

    root: Path
    task: str
    patients: list[SubjectName] = Field(min_length=1)
    session: str | None = None
    run: str | None = None
    events: str = "trial_type"
    query: str | None = None
    between: tuple[float, float] = (-0.5, 1.0)
    region: str = "region"
    regions: dict[str, str] | None = None


class FacesConfig(Section):
    """Electrodes that prefer faces, chosen on other data than those that are analysed.

    Either epochs of a localiser for each patient, with `faces` and `others` as names of its events,
    or one half of the trials, with stimuli, by name or as a query of their table.
    """

    localiser: dict[SubjectName, Path] | None = None
    halves: bool | None = None
    conditions: str | None = None
    faces: str | list[str]
    others: str | list[str]
    window: tuple[float, float] = (0.1, 0.4)
    test: Literal["rank", "t"] = "rank"
    alpha: float = Field(default=0.05, gt=0, lt=0.5)

    @model_validator(mode="after")
    def _one_source(self) -> FacesConfig:
        exactly_one(self, "localiser", "halves")
        if self.halves is False:
            raise ValueError("expected `halves: true`, or a localiser.")
        if self.conditions is not None and self.localiser is None:
            raise ValueError("expected `conditions` (a column) beside `localiser` only.")
        return self


class RecordingsConfig(Section):
    """Epochs of patients with their electrodes, a data set in BIDS, or simulated recordings."""

    patients: dict[SubjectName, Path] | None = None
    bids: BidsRecordingsConfig | None = None
    electrodes: Path | None = None
    conditions: str | None = None
    face_selective: FacesConfig | None = None
    simulated: list[PlantedConfig] | None = None

    @model_validator(mode="after")
    def _whole(self) -> RecordingsConfig:
        exactly_one(self, "patients", "bids", "simulated")
        if (self.patients is None) != (self.electrodes is None):
            raise ValueError("expected `electrodes` (a table) beside `patients`, and only there.")
        if self.conditions is not None and self.patients is None:
            raise ValueError("expected `conditions` beside `patients` only.")
        chosen = self.face_selective
        if chosen is not None and chosen.localiser is not None:
            names = self.patients or (self.bids.patients if self.bids else [])
            if set(chosen.localiser) != set(names):
                raise ValueError("expected a localiser of each patient, and of no others.")
        return self


class ClustersConfig(Section):
    """How layers and times are tested over patients."""

    along: Literal["time", "time and layers"] = "time and layers"
    n_permutations: int = Field(default=2000, ge=99)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)


class TimecourseConfig(Section):
    """Intracranial recordings against layers: when, and in which region.

    Read with :func:`load_timecourse_config`; ``configs/timecourse.yaml`` explains every key.
    """

    title: str
    data: RecordingsConfig
    stimuli: StimuliConfig
    networks: list[NetworkConfig] = Field(min_length=1)
    signal: Literal["raw", "high gamma"] = "high gamma"
    line_noise: float | None = Field(default=None, ge=0)
    baseline: tuple[float, float] | None = (-0.2, 0.0)
    edges: Literal["cut", "mirror"] = "cut"
    window: float = Field(default=0.1, gt=0)
    step: float = Field(default=0.02, gt=0)
    measure: str = "correlation"
    method: str = "spearman"
    unplaced: Literal["raise", "drop", "keep"] = "raise"
    test: ClustersConfig = Field(default_factory=ClustersConfig)
    budget: str = "2GB"
    seed: int = Field(default=0, ge=0)


def load_searchlight_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> SearchlightConfig:
    """Read a searchlight analysis from a YAML file; as :func:`load_config`."""
    return read_config(path, overrides, SearchlightConfig)


def load_timecourse_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> TimecourseConfig:
    """Read an analysis of intracranial recordings from a YAML file; as :func:`load_config`."""
    return read_config(path, overrides, TimecourseConfig)
