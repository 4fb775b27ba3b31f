"""Intracranial recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsa_faces.runs._entries import (
    Blocks,
    Measure,
    Method,
    NetworkConfig,
    Noise,
    NoiseFrom,
    RunConfig,
    StimuliConfig,
)
from rsa_faces.runs._images import SubjectName
from rsa_faces.runs._reading import Section, exactly_one


class PlantedConfig(Section):
    """A layer that holds in a region of simulated recordings from one time to another."""

    region: str = Field(description="Where it holds.")
    network: str = Field(description="Network whose layer is planted.")
    layer: str = Field(description="The layer that is planted.")
    start: float = Field(description="From when, in s.")
    stop: float = Field(description="Until when, in s.")


class BidsRecordingsConfig(Section):
    """Recordings in BIDS-iEEG: one run of each patient; see :func:`rsa_faces.brain.read_bids_ieeg`.

    `events` is the column of events.tsv that names the stimuli, `query` says which events, and
    `regions` which region each entry of the column `region` of electrodes.tsv belongs to.
    """

    root: Path = Field(description="Folder of the data set.")
    task: str = Field(description="As in the file names.")
    patients: list[SubjectName] = Field(min_length=1, description="Labels of patients, in quotes.")
    session: str | None = Field(default=None, description="As in the file names.")
    run: str | None = Field(default=None, description="As in the file names.")
    events: str = Field(
        default="trial_type", description="Column of events.tsv that names the stimuli."
    )
    query: str | None = Field(
        default=None, description="Which events, as an expression of columns."
    )
    between: tuple[float, float] = Field(
        default=(-0.5, 1.0), description="First and last time of epochs, in s."
    )
    region: str = Field(
        default="region", description="Column of electrodes.tsv that names regions."
    )
    regions: dict[str, str] | None = Field(
        default=None, description="Region of each entry of that column."
    )


class FacesConfig(Section):
    """Electrodes that prefer faces, chosen on other data than those that are analysed.

    Either epochs of a localiser for each patient, with `faces` and `others` as names of its events,
    or one half of the trials, with stimuli, by name or as a query of their table.
    """

    localiser: dict[SubjectName, Path] | None = Field(
        default=None, description="Epochs of a localiser for each patient."
    )
    halves: bool | None = Field(default=None, description="Choose on one half of the trials.")
    conditions: str | None = Field(
        default=None, description="Column that names the localiser's events."
    )
    faces: str | list[str] = Field(description="Events that are faces.")
    others: str | list[str] = Field(description="Events that are not.")
    window: tuple[float, float] = Field(
        default=(0.1, 0.4), description="Time that is compared, in s."
    )
    test: Literal["rank", "t"] = Field(default="rank", description="Rank test or t test.")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Level of the choice.")

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

    patients: dict[SubjectName, Path] | None = Field(
        default=None, description="File of epochs of each patient."
    )
    bids: BidsRecordingsConfig | None = Field(
        default=None, description="Recordings in BIDS, instead of `patients`."
    )
    electrodes: Path | None = Field(
        default=None, description="Table of electrodes: patient, name, region and place."
    )
    conditions: str | None = Field(
        default=None, description="Column that names the stimulus of each epoch."
    )
    face_selective: FacesConfig | None = Field(
        default=None, description="Only electrodes that prefer faces."
    )
    simulated: list[PlantedConfig] | None = Field(
        default=None, description="Simulated recordings: what is planted where."
    )

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

    along: Literal["time", "time and layers"] = Field(
        default="time and layers", description="Clusters in time, or in time and layers."
    )
    n_permutations: int = Field(default=2000, ge=99, description="Sign flips of patients.")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Level of the test.")


class TimecourseConfig(RunConfig):
    """Intracranial recordings against layers: when, and in which region.

    See Also
    --------
    Config : One experiment: stimuli → networks → RDMs → comparison with data → figures.
    AnalysesConfig : Questions to the features of networks.
    SearchlightConfig : A searchlight.

    Examples
    --------
    >>> from rsa_faces.runs import TimecourseConfig
    >>> TimecourseConfig.model_fields["signal"].description
    'Voltage as it is, or power of high gamma.'
    """

    data: RecordingsConfig = Field(description="Recordings of patients.")
    stimuli: StimuliConfig = Field(description="The images that networks are shown.")
    networks: list[NetworkConfig] = Field(min_length=1, description="Networks and their layers.")
    signal: Literal["raw", "high gamma"] = Field(
        default="high gamma", description="Voltage as it is, or power of high gamma."
    )
    line_noise: float | None = Field(
        default=None, ge=0, description="Mains frequency in Hz; 0: none is taken out."
    )
    baseline: tuple[float, float] | None = Field(
        default=(-0.2, 0.0), description="Time that is subtracted, in s."
    )
    edges: Literal["cut", "mirror"] = Field(
        default="cut", description="What filters see beyond an epoch."
    )
    window: float = Field(default=0.1, gt=0, description="Length of windows, in s.")
    step: float = Field(default=0.02, gt=0, description="From window to window, in s.")
    measure: Measure = Field(default="correlation", description="How RDMs of electrodes are made.")
    noise: Noise = None
    noise_from: NoiseFrom = "all"
    method: Method = Field(default="spearman", description="How RDMs are compared.")
    blocks: Blocks = None
    unplaced: Literal["raise", "drop", "keep"] = Field(
        default="raise", description="What to do with electrodes without a region."
    )
    test: ClustersConfig = Field(
        default_factory=ClustersConfig, description="How similarity is tested over patients."
    )
