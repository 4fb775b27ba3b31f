"""Questions to the features of networks."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field, field_validator, model_validator

from rsa_faces._core.checks import parse_bytes
from rsa_faces.runs._entries import NetworkConfig, StimuliConfig
from rsa_faces.runs._reading import Label, Section, read_config
from rsa_faces.runs.analyse.questions import Question


class AnalysesConfig(Section):
    """Questions to the features of networks: read with :func:`load_analyses_config`.

    ``configs/analyses.yaml`` explains every key.
    """

    title: str
    stimuli: StimuliConfig
    labels: Literal["table", "kdef"] = "table"
    select: dict[str, Label | list[Label]] = Field(default_factory=dict)
    networks: list[NetworkConfig] = Field(min_length=1)
    analyses: list[Question] = Field(min_length=1)
    budget: str = "2GB"
    seed: int = Field(default=0, ge=0)

    @field_validator("budget")
    @classmethod
    def _budget_is_bytes(cls, value: str) -> str:
        parse_bytes(value)
        return value

    @model_validator(mode="after")
    def _networks_fit(self) -> AnalysesConfig:
        names = [entry.name for entry in self.networks]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"expected each network once, got {doubled} twice or more.")
        for entry in self.analyses:
            if entry.analysis in ("map", "stimuli") and len(names) < 2:
                raise ValueError(f"expected at least 2 networks for `analysis: {entry.analysis}`.")
            target = getattr(entry, "target", None)
            if target is not None and target not in names:
                raise ValueError(f"expected a `target` among the networks, got {target!r}.")
        return self


def load_analyses_config(
    path: str | os.PathLike[str], overrides: list[str] | tuple[str, ...] = ()
) -> AnalysesConfig:
    """Read questions to the features of networks from a YAML file; as :func:`load_config`."""
    return read_config(path, overrides, AnalysesConfig)
