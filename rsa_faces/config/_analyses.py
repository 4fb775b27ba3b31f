"""Questions to the features of networks."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rsa_faces._validation import parse_bytes
from rsa_faces.config._inputs import NetworkConfig, StimuliConfig
from rsa_faces.config._reading import Label, Section, read_config

Layer = str | dict[str, str]


class TaskConfig(Section):
    """Labels that are read out of features, and what may not be shared by training and test."""

    labels: str
    across: str | None = None
    people: str | None = None
    values: Literal["class", "number"] = "class"


class ReadoutConfig(TaskConfig):
    """A linear read-out of one label from each layer."""

    analysis: Literal["readout"]
    n_permutations: int = Field(default=1000, ge=19)


class TransferConfig(Section):
    """Read-outs of several labels from one layer of each network."""

    analysis: Literal["transfer"]
    tasks: dict[str, TaskConfig] = Field(min_length=1)
    layer: str | dict[str, str] = "last"
    n_permutations: int = Field(default=1000, ge=19)


class CongruenceConfig(Section):
    """Whether two labels share directions in each layer."""

    analysis: Literal["congruence"]
    first: str
    second: str
    across: str | None = None
    n_dimensions: int = Field(default=10, ge=1)
    n_permutations: int = Field(default=1000, ge=19)


class GroupsConfig(Section):
    """Scores of one layer within and between groups of people."""

    analysis: Literal["groups"]
    groups: str
    people: str | None = None
    layer: str | dict[str, str] = "last"
    measure: Literal["cosine", "correlation", "euclidean", "sqeuclidean"] = "cosine"
    fmr: float = Field(default=0.01, gt=0, lt=1)
    n_permutations: int = Field(default=1999, ge=19)


class AnalysesConfig(Section):
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


def load_analyses_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> AnalysesConfig:
    """Read questions to the features of networks from a YAML file; as :func:`load_config`."""
    return read_config(path, overrides, AnalysesConfig)
