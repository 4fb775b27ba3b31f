"""Intracranial recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from rsa_faces._core.configurations import Section, key
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
from rsa_faces.runs._reading import exactly_one


class PlantedConfig(Section):
    """A layer that holds in a region of simulated recordings from one time to another."""

    region: str = key("Where it holds.")
    network: str = key("Network whose layer is planted.")
    layer: str = key("The layer that is planted.")
    start: float = key("From when, in s.")
    stop: float = key("Until when, in s.")


class BidsRecordingsConfig(Section):
    """Recordings in BIDS-iEEG: one run of each patient; see :func:`rsa_faces.brain.read_bids_ieeg`.

    `events` is the column of events.tsv that names the stimuli, `query` says which events, and
    `regions` which region each entry of the column `region` of electrodes.tsv belongs to.
    """

    root: Path = key("Folder of the data set.")
    task: str = key("As in the file names.")
    patients: list[SubjectName] = key("Labels of patients, in quotes.", min_length=1)
    session: str | None = key("As in the file names.", None)
    run: str | None = key("As in the file names.", None)
    events: str = key("Column of events.tsv that names the stimuli.", "trial_type")
    query: str | None = key("Which events, as an expression of columns.", None)
    between: tuple[float, float] = key("First and last time of epochs, in s.", (-0.5, 1.0))
    region: str = key("Column of electrodes.tsv that names regions.", "region")
    regions: dict[str, str] | None = key("Region of each entry of that column.", None)


class FacesConfig(Section):
    """Electrodes that prefer faces, chosen on other data than those that are analysed.

    Either epochs of a localiser for each patient, with `faces` and `others` as names of its events,
    or one half of the trials, with stimuli, by name or as a query of their table.
    """

    localiser: dict[SubjectName, Path] | None = key("Epochs of a localiser for each patient.", None)
    halves: bool | None = key("Choose on one half of the trials.", None)
    conditions: str | None = key("Column that names the localiser's events.", None)
    faces: str | list[str] = key("Events that are faces.")
    others: str | list[str] = key("Events that are not.")
    window: tuple[float, float] = key("Time that is compared, in s.", (0.1, 0.4))
    test: Literal["rank", "t"] = key("Rank test or t test.", "rank")
    alpha: float = key("Level of the choice.", 0.05, gt=0, lt=0.5)

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

    patients: dict[SubjectName, Path] | None = key("File of epochs of each patient.", None)
    bids: BidsRecordingsConfig | None = key("Recordings in BIDS, instead of `patients`.", None)
    electrodes: Path | None = key("Table of electrodes: patient, name, region and place.", None)
    conditions: str | None = key("Column that names the stimulus of each epoch.", None)
    face_selective: FacesConfig | None = key("Only electrodes that prefer faces.", None)
    simulated: list[PlantedConfig] | None = key(
        "Simulated recordings: what is planted where.", None
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

    along: Literal["time", "time and layers"] = key(
        "Clusters in time, or in time and layers.", "time and layers"
    )
    n_permutations: int = key("Sign flips of patients.", 2000, ge=99)
    alpha: float = key("Level of the test.", 0.05, gt=0, lt=0.5)


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

    data: RecordingsConfig = key("Recordings of patients.")
    stimuli: StimuliConfig = key("The images that networks are shown.")
    networks: list[NetworkConfig] = key("Networks and their layers.", min_length=1)
    signal: Literal["raw", "high gamma"] = key(
        "Voltage as it is, or power of high gamma.", "high gamma"
    )
    line_noise: float | None = key("Mains frequency in Hz; 0: none is taken out.", None, ge=0)
    baseline: tuple[float, float] | None = key("Time that is subtracted, in s.", (-0.2, 0.0))
    edges: Literal["cut", "mirror"] = key("What filters see beyond an epoch.", "cut")
    window: float = key("Length of windows, in s.", 0.1, gt=0)
    step: float = key("From window to window, in s.", 0.02, gt=0)
    measure: Measure = key(
        "How RDMs of electrodes are made, and of layers: by sqeuclidean where it needs repeats.",
        "correlation",
    )
    noise: Noise = None
    noise_from: NoiseFrom = "all"
    method: Method = key("How RDMs are compared.", "spearman")
    blocks: Blocks = None
    unplaced: Literal["raise", "drop", "keep"] = key(
        "What to do with electrodes without a region.", "raise"
    )
    test: ClustersConfig = key("How similarity is tested over patients.", ClustersConfig())
