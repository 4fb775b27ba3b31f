"""Searchlights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rsa_faces.runs._entries import (
    Measure,
    Memory,
    Method,
    ModelConfig,
    NetworkConfig,
    RunConfig,
    StimuliConfig,
)
from rsa_faces.runs._images import BidsConfig, MaskConfig, MeshConfig, SubjectsConfig
from rsa_faces.runs._reading import Section, exactly_one


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


class SearchlightConfig(RunConfig):
    """A searchlight: images of a group and models → maps, tests, peaks and figures."""

    data: BrainImagesConfig
    stimuli: StimuliConfig | None = None
    networks: list[NetworkConfig] = Field(default_factory=list)
    models: list[ModelConfig] = Field(default_factory=list)
    radius: float = Field(default=8.0, gt=0)
    measure: Measure = "correlation"
    method: Method = "spearman"
    noise: Literal["ledoit-wolf", "schaefer-strimmer"] | None = None
    noise_from: Literal["all", "fold"] = "all"
    blocks: str | None = None
    min_voxels: int = Field(default=5, ge=1)
    test: GroupTestConfig = Field(default_factory=GroupTestConfig)
    budget: Memory = Field(default="4GB", description="Memory to use for the spheres' patterns.")

    @model_validator(mode="after")
    def _something_to_compare(self) -> SearchlightConfig:
        if self.data.dataset is None and not self.networks and not self.models:
            raise ValueError("expected at least one entry in `networks` or `models`.")
        if self.networks and self.stimuli is None:
            raise ValueError("expected `stimuli` for the networks to look at.")
        if self.blocks is not None and self.stimuli is None:
            raise ValueError(
                "expected `stimuli` beside `blocks`, which names a column of the stimulus table: "
                "the run of each stimulus."
            )
        if self.data.residuals and self.noise is None:
            raise ValueError(
                "expected `noise` beside `residuals`: how their covariance is shrunk, ledoit-wolf "
                "or schaefer-strimmer."
            )
        return self
