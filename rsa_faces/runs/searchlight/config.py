"""Searchlights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from rsa_faces._core.configurations import Section, key
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
from rsa_faces.runs._reading import exactly_one

#: How RDMs of layers are made, whatever those of patterns are.
OF_LAYERS = "correlation"


class BrainImagesConfig(SubjectsConfig):
    """Images of a group of subjects in one space, a data set in BIDS, or one that is simulated.

    See :class:`rsa_faces.runs._images.SubjectsConfig` for `subjects`, `images`, `conditions` and
    `residuals`. `mask` is exactly 0 and 1, or ``{file: ..., threshold: 0.5}``.
    """

    dataset: Literal["simulated", "simulated cortex"] | None = key(
        "Simulated brains or cortices, instead of images.", None
    )
    bids: BidsConfig | None = key("BOLD in BIDS, instead of `subjects`.", None)
    mask: MaskConfig | None = key("Where to search, in volumes.", None)
    mesh: MeshConfig | None = key("Geometry of the cortex, for surfaces.", None)
    anatomy: Path | None = key(
        "Image below the maps of volumes, in their space; of BIDS in MNI152 by "
        "default that template.",
        None,
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

    statistic: Literal["tfce", "max", "cluster-mass"] = key(
        "Threshold-free cluster enhancement, largest t, or mass of clusters.", "tfce"
    )
    threshold: float | None = key("t from which clusters are formed, for their mass.", None)
    tail: Literal["two-sided", "greater", "less"] = key("Side of the test.", "greater")
    n_permutations: int = key("Sign flips of subjects.", 2000, ge=99)
    alpha: float = key("Level of the test.", 0.05, gt=0, lt=0.5)


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

    data: BrainImagesConfig = key("Images of a group of subjects.")
    stimuli: StimuliConfig | None = key("The images that networks are shown.", None)
    networks: list[NetworkConfig] = key("Networks and their layers.", [])
    models: list[ModelConfig] = key("Model RDMs.", [])
    radius: float = key("Of spheres or discs, in mm.", 8.0, gt=0)
    measure: Measure = key(
        f"How RDMs of patterns are made. Those of layers: {OF_LAYERS}.", "correlation"
    )
    method: Method = key("How RDMs are compared.", "spearman")
    noise: Noise = None
    noise_from: NoiseFrom = "all"
    blocks: Blocks = None
    min_voxels: int = key("Places with fewer around them are left out.", 5, ge=1)
    test: GroupTestConfig = key("How maps are tested over subjects.", GroupTestConfig())
    budget: Memory = key("Memory to use for the spheres' patterns.", "4GB")

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
