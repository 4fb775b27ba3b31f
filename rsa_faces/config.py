"""Experiments as YAML: every key is known, every value is checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from rsa_faces._errors import InputError
from rsa_faces._files import slug
from rsa_faces._validation import nearest, parse_bytes

Bootstrap = Literal["subjects", "conditions", "both"]
Label = str | int | float | bool


class _Section(BaseModel):
    """A part of a configuration: frozen, and an unknown key is an error that names the nearest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"unknown key {key!r}.{nearest(str(key), cls.model_fields)} "
                        f"Valid keys here: {', '.join(cls.model_fields)}."
                    )
        return values


def _exactly_one(section: BaseModel, *keys: str) -> None:
    """Raise unless exactly one of `keys` was given."""
    given = [key for key in keys if getattr(section, key) is not None]
    if len(given) != 1:
        came = " and ".join(given) or "none of them"
        raise ValueError(f"expected exactly one of {', '.join(keys)}, got {came}.")


class StimuliConfig(_Section):
    """Where the images come from: a folder of files, or a data set that ships."""

    folder: Path | None = None
    manifest: Path | None = None
    dataset: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> StimuliConfig:
        _exactly_one(self, "folder", "dataset")
        if self.manifest is not None and self.folder is None:
            raise ValueError("expected `folder` beside `manifest`.")
        return self


class FmriConfig(_Section):
    """A region's patterns: images of betas by subject, what their volumes show, and a mask."""

    subjects: dict[str, Path] = Field(min_length=1)
    conditions: Path
    roi: Path | dict[str, Path]
    residuals: dict[str, Path] = Field(default_factory=dict)
    measure: str = "crossnobis"
    noise: Literal["ledoit-wolf", "schaefer-strimmer"] | None = None
    unusable: Literal["raise", "drop"] = "raise"

    @model_validator(mode="after")
    def _of_the_same_subjects(self) -> FmriConfig:
        for key, values in (("roi", self.roi), ("residuals", self.residuals)):
            if isinstance(values, dict) and values and set(values) != set(self.subjects):
                raise ValueError(f"expected {key} of the same subjects as `subjects`.")
        return self


class SimulatedRegionConfig(_Section):
    """A region of simulated brains in which a network's layer is planted."""

    network: str
    layer: str
    n_subjects: int = Field(default=8, ge=2, le=100)
    n_runs: int = Field(default=4, ge=2, le=20)
    signal: float = Field(default=0.3, ge=0)


class DataConfig(_Section):
    """Brain or behaviour RDMs that networks are compared with: one region."""

    dataset: str | None = None
    rdms: Path | None = None
    fmri: FmriConfig | None = None
    simulated: SimulatedRegionConfig | None = None
    region: str
    select: dict[str, Label | list[Label]] = Field(default_factory=dict)
    bootstrap: Bootstrap | None = None
    allow_missing: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        _exactly_one(self, "dataset", "rdms", "fmri", "simulated")
        return self


class NetworkConfig(_Section):
    """A network and the layers to take from it."""

    name: str
    layers: Literal["all"] | list[str] = "all"
    weights: Path | None = None
    crop_faces: bool = False
    reduce: Literal["mean", "class token"] | PositiveInt | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values


class ModelConfig(_Section):
    """Model RDMs: from a data set, from a file, or from a column of the stimulus table."""

    dataset: str | None = None
    rdms: Path | None = None
    metadata: str | None = None
    kind: Literal["category", "ordinal", "circular"] = "category"
    select: dict[str, Label | list[Label]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        _exactly_one(self, "dataset", "rdms", "metadata")
        return self


class InferenceConfig(_Section):
    """How similarity is tested."""

    bootstrap: Bootstrap = "both"
    n_boot: int = Field(default=1000, ge=100)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    correction: Literal["fdr", "bonferroni", "holm"] = "fdr"
    by: str = "subject"


class FiguresConfig(_Section):
    """What to draw beside the layer curves."""

    mds_region: str | None = None
    mds_color: str | None = None
    group: str | None = None


class Config(_Section):
    """One experiment: stimuli → networks → RDMs → comparison with data → figures.

    Read with :func:`load_config`; every key is explained in ``configs/images92.yaml``.
    """

    title: str
    stimuli: StimuliConfig
    data: list[DataConfig] = Field(min_length=1)
    networks: list[NetworkConfig] = Field(default_factory=list)
    models: list[ModelConfig] = Field(default_factory=list)
    measure: str = "correlation"
    method: str = "rho-a"
    subsets: dict[str, str | list[str]] = Field(default_factory=lambda: {"all": "all"})
    inference: InferenceConfig = Field(default_factory=InferenceConfig)
    figures: FiguresConfig = Field(default_factory=FiguresConfig)
    budget: str = "2GB"
    seed: int = Field(default=0, ge=0)

    @field_validator("budget")
    @classmethod
    def _budget_is_bytes(cls, value: str) -> str:
        parse_bytes(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if not self.networks and not self.models:
            raise ValueError("expected at least one entry in `networks` or `models`.")
        for what, names in (
            ("region", [d.region for d in self.data]),
            ("network", [n.name for n in self.networks]),
            ("subset", list(self.subsets)),
        ):
            doubled = {n for n in names if names.count(n) > 1}
            if doubled:
                raise ValueError(f"expected each {what} once, got {sorted(doubled)} twice or more.")
            files = [slug(n).casefold() for n in names]
            alike = [n for n, file in zip(names, files, strict=True) if files.count(file) > 1]
            if alike:
                raise ValueError(
                    f"expected names of {what}s that differ in letters or digits (files are named "
                    f"after them), got {alike}; rename one."
                )
        if not self.subsets:
            raise ValueError("expected at least one subset; leave the key out to use all.")
        return self


class TaskConfig(_Section):
    """Labels that are read out of features, and what may not be shared by training and test."""

    labels: str
    across: str | None = None
    people: str | None = None
    values: Literal["class", "number"] = "class"


class ReadoutConfig(TaskConfig):
    """A linear read-out of one label from each layer."""

    analysis: Literal["readout"]
    n_permutations: int = Field(default=1000, ge=19)


class TransferConfig(_Section):
    """Read-outs of several labels from one layer of each network."""

    analysis: Literal["transfer"]
    tasks: dict[str, TaskConfig] = Field(min_length=1)
    layer: str | dict[str, str] = "last"
    n_permutations: int = Field(default=1000, ge=19)


class CongruenceConfig(_Section):
    """Whether two labels share directions in each layer."""

    analysis: Literal["congruence"]
    first: str
    second: str
    across: str | None = None
    n_dimensions: int = Field(default=10, ge=1)
    n_permutations: int = Field(default=1000, ge=19)


class GroupsConfig(_Section):
    """Scores of one layer within and between groups of people."""

    analysis: Literal["groups"]
    groups: str
    people: str | None = None
    layer: str | dict[str, str] = "last"
    measure: Literal["cosine", "correlation", "euclidean", "sqeuclidean"] = "cosine"
    fmr: float = Field(default=0.01, gt=0, lt=1)
    n_permutations: int = Field(default=1999, ge=19)


class AnalysesConfig(_Section):
    """Questions to the features of networks: read with :func:`load_analyses_config`.

    ``configs/analyses.yaml`` explains every key.
    """

    title: str
    stimuli: StimuliConfig
    labels: Literal["table", "kdef"] = "table"
    select: dict[str, Label | list[Label]] = Field(default_factory=dict)
    networks: list[NetworkConfig] = Field(min_length=1)
    analyses: list[
        Annotated[
            ReadoutConfig | TransferConfig | CongruenceConfig | GroupsConfig,
            Field(discriminator="analysis"),
        ]
    ] = Field(min_length=1)
    budget: str = "2GB"
    seed: int = Field(default=0, ge=0)

    @field_validator("budget")
    @classmethod
    def _budget_is_bytes(cls, value: str) -> str:
        parse_bytes(value)
        return value

    @model_validator(mode="after")
    def _networks_once(self) -> AnalysesConfig:
        names = [entry.name for entry in self.networks]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"expected each network once, got {doubled} twice or more.")
        return self


class BrainImagesConfig(_Section):
    """Images of a group of subjects in one space, or a data set that ships."""

    dataset: Literal["simulated"] | None = None
    subjects: dict[str, Path] | None = None
    conditions: Path | None = None
    mask: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> BrainImagesConfig:
        _exactly_one(self, "subjects", "dataset")
        if self.dataset is None and (self.conditions is None or self.mask is None):
            raise ValueError("expected `conditions` (a CSV file) and `mask` beside `subjects`.")
        if self.dataset is not None and (self.conditions or self.mask):
            raise ValueError("expected no `conditions` and `mask` beside `dataset`.")
        return self


class GroupTestConfig(_Section):
    """How maps are tested over subjects."""

    statistic: Literal["tfce", "max", "cluster-mass"] = "tfce"
    threshold: float | None = None
    tail: Literal["two-sided", "greater", "less"] = "greater"
    n_permutations: int = Field(default=2000, ge=99)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)


class SearchlightConfig(_Section):
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
        return self


class ClusterConfig(_Section):
    """Where the parts of a run are done: read with :func:`load_cluster_config`.

    Parameters
    ----------
    kind : {"local", "slurm", "address"}
        Processes of this machine, jobs that SLURM starts, or a Dask scheduler that runs already.
    workers : int, default 2
        Processes, or jobs.
    threads : int, default 1
        Processor threads of each worker.
    memory : str, optional
        Of each worker, such as "16GB"; needed for SLURM.
    address : str, optional
        Of the scheduler, such as "tcp://10.0.0.1:8786".
    walltime, queue, account : str, optional
        Of SLURM's jobs.
    before : list of str
        Lines of the job script before the worker, such as "source venv/bin/activate".
    directives : list of str
        Further #SBATCH lines, such as "--gres=gpu:1".
    scratch : path, optional
        Where workers keep what does not fit in memory.
    """

    kind: Literal["local", "slurm", "address"]
    workers: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    memory: str | None = None
    address: str | None = None
    walltime: str = "04:00:00"
    queue: str | None = None
    account: str | None = None
    before: list[str] = Field(default_factory=list)
    directives: list[str] = Field(default_factory=list)
    scratch: Path | None = None

    @model_validator(mode="after")
    def _enough(self) -> ClusterConfig:
        if (self.kind == "address") != (self.address is not None):
            raise ValueError("expected `address` with kind: address, and only there.")
        if self.kind == "slurm" and self.memory is None:
            raise ValueError("expected `memory` of each job, such as 16GB.")
        if self.memory is not None:
            parse_bytes(self.memory)
        return self


def load_cluster_config(path: str | os.PathLike[str]) -> ClusterConfig:
    """Read from a YAML file where the parts of a run are done; as :func:`load_config`."""
    return _read(path, (), ClusterConfig)


class PlantedConfig(_Section):
    """A layer that holds in a region of simulated recordings from one time to another."""

    region: str
    network: str
    layer: str
    start: float
    stop: float


class RecordingsConfig(_Section):
    """Epochs of patients with their electrodes, or recordings that are simulated."""

    patients: dict[str, Path] | None = None
    electrodes: Path | None = None
    conditions: str | None = None
    simulated: list[PlantedConfig] | None = None

    @model_validator(mode="after")
    def _whole(self) -> RecordingsConfig:
        _exactly_one(self, "patients", "simulated")
        if self.patients is not None and self.electrodes is None:
            raise ValueError("expected `electrodes` (a table) beside `patients`.")
        return self


class ClustersConfig(_Section):
    """How layers and times are tested over patients."""

    along: Literal["time", "time and layers"] = "time and layers"
    n_permutations: int = Field(default=2000, ge=99)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)


class TimecourseConfig(_Section):
    """Intracranial recordings against layers: when, and in which region.

    Read with :func:`load_timecourse_config`; ``configs/timecourse.yaml`` explains every key.
    """

    title: str
    data: RecordingsConfig
    stimuli: StimuliConfig
    networks: list[NetworkConfig] = Field(min_length=1)
    signal: Literal["raw", "high gamma"] = "high gamma"
    window: float = Field(default=0.1, gt=0)
    step: float = Field(default=0.02, gt=0)
    measure: str = "correlation"
    method: str = "spearman"
    unplaced: Literal["raise", "drop", "keep"] = "raise"
    test: ClustersConfig = Field(default_factory=ClustersConfig)
    budget: str = "2GB"
    seed: int = Field(default=0, ge=0)


def load_timecourse_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> TimecourseConfig:
    """Read an analysis of intracranial recordings from a YAML file; as :func:`load_config`."""
    return _read(path, overrides, TimecourseConfig)


def load_searchlight_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> SearchlightConfig:
    """Read a searchlight analysis from a YAML file; as :func:`load_config`."""
    return _read(path, overrides, SearchlightConfig)


def load_analyses_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> AnalysesConfig:
    """Read questions to the features of networks from a YAML file; as :func:`load_config`."""
    return _read(path, overrides, AnalysesConfig)


def load_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> Config:
    """Read an experiment from a YAML file.

    Parameters
    ----------
    path : path-like
        The file. Relative paths inside it are taken from its folder.
    overrides : sequence of str
        ``key=value`` with dots for nested keys and numbers for list entries, such as
        ``inference.n_boot=200`` or ``networks.0.name=dlib-face``; values are read as YAML.

    Returns
    -------
    Config
        Checked, with absolute paths.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is not YAML, a key is unknown (the nearest is named) or a value is wrong.
    """
    return _read(path, overrides, Config)


def _read(path: str | os.PathLike[str], overrides: Iterable[str], kind: type[_Section]) -> Any:
    """Read a configuration of one kind."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a configuration file, but {path} does not exist. "
            "`rsa-faces init` writes one for your folders."
        )
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise InputError(f"{path} is not valid YAML: {err}") from err
    if not isinstance(raw, dict):
        raise InputError(f"expected keys and values in {path}, got {type(raw).__name__}.")
    for override in overrides:
        _set(raw, override)
    try:
        config = kind.model_validate(raw)
    except ValidationError as err:
        raise InputError(_sentences(err, path)) from err
    return _absolute(config, path.resolve().parent)


def dump_config(config: _Section) -> str:
    """Return the resolved configuration as YAML that :func:`load_config` reads back."""
    values = config.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _set(raw: dict, override: str) -> None:
    """Apply one ``key=value`` to the raw configuration."""
    key, sign, value = override.partition("=")
    if not sign or not key:
        raise InputError(f"expected --set key=value, got {override!r}.")
    *parents, last = key.split(".")
    place: Any = raw
    try:
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if isinstance(place, list):
            place[int(last)] = yaml.safe_load(value)
        elif isinstance(place, dict):
            place[last] = yaml.safe_load(value)
        else:
            raise TypeError(f"{'.'.join(parents)} is {place!r}, not a section")
    except (IndexError, ValueError, TypeError, AttributeError, yaml.YAMLError) as err:
        raise InputError(f"--set {override!r} does not fit the configuration: {err}.") from err


def _sentences(err: ValidationError, path: Path) -> str:
    """Turn a validation error into one line per wrong key."""
    lines = []
    for problem in err.errors():
        where = ".".join(map(str, problem["loc"])) or "top level"
        message = problem["msg"].removeprefix("Value error, ")
        came = "" if isinstance(problem["input"], (dict, list)) else f" (got {problem['input']!r})"
        lines.append(f"{where}: {message[0].lower()}{message[1:]}{came}")
    return f"{path} is not a valid configuration: " + "; ".join(lines)


def _absolute(section: Any, folder: Path) -> Any:
    """Return the section with relative paths taken from `folder`."""
    if isinstance(section, Path):
        return folder / section.expanduser()
    if isinstance(section, list):
        return [_absolute(item, folder) for item in section]
    if isinstance(section, dict):
        return {key: _absolute(item, folder) for key, item in section.items()}
    if isinstance(section, BaseModel):
        changes = {k: _absolute(getattr(section, k), folder) for k in type(section).model_fields}
        return section.model_copy(update=changes)
    return section
