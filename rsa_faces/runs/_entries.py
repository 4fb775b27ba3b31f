"""What every kind of run takes: stimuli, networks and models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from rsa_faces.runs._reading import Label, Section, exactly_one


class StimuliConfig(Section):
    """Where the images come from: a folder of files, or a data set that ships."""

    folder: Path | None = None
    manifest: Path | None = None
    dataset: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> StimuliConfig:
        exactly_one(self, "folder", "dataset")
        if self.manifest is not None and self.folder is None:
            raise ValueError("expected `folder` beside `manifest`.")
        return self


class NetworkConfig(Section):
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


class ModelConfig(Section):
    """Model RDMs: from a data set, from a file, or from a column of the stimulus table."""

    dataset: str | None = None
    rdms: Path | None = None
    metadata: str | None = None
    kind: Literal["category", "ordinal", "circular"] = "category"
    select: dict[str, Label | list[Label]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        exactly_one(self, "dataset", "rdms", "metadata")
        return self
