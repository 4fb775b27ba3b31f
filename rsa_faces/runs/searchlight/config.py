"""Searchlights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsa_faces.runs._entries import (
    Blocks,
    Measure,
    Memory,
    Method,
    ModelConfig,
    NetworkConfig,
    Noise,
    NoiseFrom,
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

    dataset: Literal["simulated", "simulated cortex"] | None = Field(
        default=None, description="Simulated brains or cortices, instead of images."
    )
    bids: BidsConfig | None = Field(
        default=None, description="BOLD in BIDS, instead of `subjects`."
    )
    mask: MaskConfig | None = Field(default=None, description="Where to search, in volumes.")
    mesh: MeshConfig | None = Field(
        default=None, description="Geometry of the cortex, for surfaces."
    )
    anatomy: Path | None = Field(
        default=None,
        description="Image below the maps of volumes, in their space; of BIDS in MNI152 by "
        "default that template.",
    )

    @model_validator(mode="after")
    def _whole(self) -> BrainImagesConfig:
        exactly_one(self, "subjects", "bids", "dataset")
        keys = ("conditions", "mask", "mesh", "residuals", "anatomy")
        given = [k for k in keys if getattr(self, k)]
        if self.dataset is not None and given:
            raise ValueError(f"expected no {given[0]!r} beside `dataset`.")
        if self.bids is not None and (extra := [k for k in given if k not in ("mask", "anatomy")]):
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

    statistic: Literal["tfce", "max", "cluster-mass"] = Field(
        default="tfce",
        description="Threshold-free cluster enhancement, largest t, or mass of clusters.",
    )
    threshold: float | None = Field(
        default=None, description="t from which clusters are formed, for their mass."
    )
    tail: Literal["two-sided", "greater", "less"] = Field(
        default="greater", description="Side of the test."
    )
    n_permutations: int = Field(default=2000, ge=99, description="Sign flips of subjects.")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Level of the test.")


class SearchlightConfig(RunConfig):
    """A searchlight: images of a group and models → maps, tests, peaks and figures.

    See Also
    --------
    Config : One experiment: stimuli → networks → RDMs → comparison with data → figures.
    AnalysesConfig : Questions to the features of networks.
    TimecourseConfig : Intracranial recordings against layers: when, and in which region.

    Examples
    --------
    >>> from rsa_faces.runs import SearchlightConfig
    >>> SearchlightConfig.model_fields["radius"].description
    'Of spheres or discs, in mm.'
    """

    data: BrainImagesConfig = Field(description="Images of a group of subjects.")
    stimuli: StimuliConfig | None = Field(
        default=None, description="The images that networks are shown."
    )
    networks: list[NetworkConfig] = Field(
        default_factory=list, description="Networks and their layers."
    )
    models: list[ModelConfig] = Field(default_factory=list, description="Model RDMs.")
    radius: float = Field(default=8.0, gt=0, description="Of spheres or discs, in mm.")
    measure: Measure = Field(default="correlation", description="How RDMs of patterns are made.")
    method: Method = Field(default="spearman", description="How RDMs are compared.")
    noise: Noise = None
    noise_from: NoiseFrom = "all"
    blocks: Blocks = None
    min_voxels: int = Field(
        default=5, ge=1, description="Places with fewer around them are left out."
    )
    test: GroupTestConfig = Field(
        default_factory=GroupTestConfig, description="How maps are tested over subjects."
    )
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
