"""Intracranial recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsa_faces.runs._entries import Measure, Method, NetworkConfig, RunConfig, StimuliConfig
from rsa_faces.runs._images import SubjectName
from rsa_faces.runs._reading import Section, exactly_one


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


class TimecourseConfig(RunConfig):
    """Intracranial recordings against layers: when, and in which region."""

    data: RecordingsConfig
    stimuli: StimuliConfig
    networks: list[NetworkConfig] = Field(min_length=1)
    signal: Literal["raw", "high gamma"] = "high gamma"
    line_noise: float | None = Field(default=None, ge=0)
    baseline: tuple[float, float] | None = (-0.2, 0.0)
    edges: Literal["cut", "mirror"] = "cut"
    window: float = Field(default=0.1, gt=0)
    step: float = Field(default=0.02, gt=0)
    measure: Measure = "correlation"
    noise: Literal["ledoit-wolf", "schaefer-strimmer"] | None = None
    noise_from: Literal["all", "fold"] = "all"
    method: Method = "spearman"
    blocks: str | None = None
    unplaced: Literal["raise", "drop", "keep"] = "raise"
    test: ClustersConfig = Field(default_factory=ClustersConfig)
