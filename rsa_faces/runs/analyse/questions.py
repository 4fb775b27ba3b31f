"""The questions that can be asked of features, one section each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rsa_faces.runs._reading import Section

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
    layer: Layer = "last"
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
    layer: Layer = "last"
    measure: Literal["cosine", "correlation", "euclidean", "sqeuclidean"] = "cosine"
    fmr: float = Field(default=0.01, gt=0, lt=1)
    n_permutations: int = Field(default=1999, ge=19)


class ComponentsConfig(Section):
    """Principal components of the scores of one layer, and whether they go with groups."""

    analysis: Literal["components"]
    groups: list[str] = Field(min_length=1)
    people: str | None = None
    within: str | None = None
    layer: Layer = "last"
    measure: Literal["cosine", "correlation", "euclidean", "sqeuclidean"] = "cosine"
    centring: Literal["columns", "both"] = "columns"
    n_components: int = Field(default=10, ge=2)
    n_permutations: int = Field(default=9999, ge=19)


class ScoresConfig(Section):
    """Distributions of scores of one layer within and between groups of people."""

    analysis: Literal["scores"]
    groups: str
    people: str | None = None
    within: str | None = None
    layer: Layer = "last"
    measure: Literal["cosine", "correlation", "euclidean", "sqeuclidean"] = "cosine"
    n_permutations: int = Field(default=9999, ge=19)


class ConfidenceConfig(Section):
    """Whether flags rise as images get worse, for people who did not set them."""

    analysis: Literal["confidence"]
    people: str
    groups: str | None = None
    equal_groups: bool = False
    layer: Layer = "last"
    degradations: list[str] | None = None
    strengths: list[int] = [1, 3, 5]
    method: Literal["neighbours", "mahalanobis"] = "neighbours"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    n_variants: int = Field(default=4, ge=1)


class MapConfig(Section):
    """Linear maps from every other network's space into one network's."""

    analysis: Literal["map"]
    people: str
    target: str | None = None
    layer: Layer = "last"
    pairing: Literal["same image", "other image"] = "same image"
    n_pairs: list[int] = Field(default=[10, 20, 50, 100, 200, 500], min_length=1)
    n_draws: int = Field(default=10, ge=1)


class AgreementConfig(Section):
    """Every layer of each network against every layer of each other."""

    analysis: Literal["agreement"]
    people: str | None = None
    methods: list[Literal["spearman", "cka", "procrustes"]] = ["spearman", "cka", "procrustes"]
    n_boot: int = Field(default=500, ge=99)
    n_permutations: int = Field(default=500, ge=99)


class RobustnessConfig(Section):
    """Degraded images: what is left of RDMs and of recognition."""

    analysis: Literal["robustness"]
    people: str | None = None
    layer: Layer = "last"
    degradations: list[str] | None = None
    strengths: list[int] = [1, 2, 3, 4, 5]


class TopographyConfig(Section):
    """Units that look at the centre and at the rim; with `rdms`, which of them data resemble."""

    analysis: Literal["topography"]
    rdms: Path | None = None
    radius: float = Field(default=0.25, gt=0, lt=1)
    n_units: int | None = Field(default=16, ge=1)
    method: str = "rho-a"
    generalise_to: Literal["subjects", "conditions", "both"] = "both"

    renamed: ClassVar[Mapping[str, str]] = {"bootstrap": "generalise_to"}


class StimuliChoiceConfig(Section):
    """The stimuli on which the networks' layers differ most."""

    analysis: Literal["stimuli"]
    n: int = Field(ge=4)
    layer: Layer = "last"
    measure: str = "correlation"
    noise: float = Field(default=3.0, gt=0)


class LandmarksConfig(Section):
    """Distances between landmarks, yaw and pitch, read from each layer."""

    analysis: Literal["landmarks"]
    landmarks: Path
    template: str = "london-189"
    relative: bool = False
    across: str | None = None
    n_permutations: int = Field(default=1000, ge=19)


class FaceSpaceConfig(Section):
    """Components of shape and of appearance."""

    analysis: Literal["face space"]
    landmarks: Path
    n_shape: int = Field(default=25, ge=1)
    n_appearance: int = Field(default=25, ge=1)


class TraitsConfig(Section):
    """Ratings predicted from one layer of each network."""

    analysis: Literal["traits"]
    ratings: list[str] = Field(min_length=1)
    across: str | None = None
    baseline: list[str] = []
    layer: Layer = "last"
    n_permutations: int = Field(default=1000, ge=19)


class HomophilyConfig(Section):
    """Whether people who are linked look more alike: one image per person."""

    analysis: Literal["homophily"]
    ties: Path
    people: str
    controls: list[str] = []
    within: str | None = None
    directed: bool = False
    layer: Layer = "last"
    n_permutations: int = Field(default=1999, ge=19)


class MembershipConfig(Section):
    """Whether people a network was trained on can be told from others."""

    analysis: Literal["membership"]
    members: str
    people: str | None = None
    layer: Layer = "last"
    n_permutations: int = Field(default=9999, ge=19)


Question = Annotated[
    ReadoutConfig
    | TransferConfig
    | CongruenceConfig
    | GroupsConfig
    | ComponentsConfig
    | ScoresConfig
    | MapConfig
    | AgreementConfig
    | RobustnessConfig
    | ConfidenceConfig
    | TopographyConfig
    | StimuliChoiceConfig
    | LandmarksConfig
    | FaceSpaceConfig
    | TraitsConfig
    | HomophilyConfig
    | MembershipConfig,
    Field(discriminator="analysis"),
]
