"""A comparison of networks with brains and behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from rsa_faces._core.configurations import Section, key
from rsa_faces.comparison import METHODS
from rsa_faces.runs._entries import (
    Blocks,
    Measure,
    Method,
    ModelConfig,
    NetworkConfig,
    Noise,
    NoiseFrom,
    RdmsConfig,
    RunConfig,
    StimuliConfig,
)
from rsa_faces.runs._images import (
    BidsConfig,
    ImageConfig,
    OneImageOrEach,
    OneMaskOrEach,
    SubjectsConfig,
)
from rsa_faces.runs._reading import Label, each_once, exactly_one

GeneraliseTo = Literal["subjects", "conditions", "both"]


class SphereConfig(Section):
    """A sphere around a point in mm, in the space of the images."""

    center: tuple[float, float, float] = key("x, y and z in mm.")
    radius: float = key("In mm.", gt=0)


class AtlasConfig(Section):
    """Labels of an atlas, joined: of a volume (with a table of names), GIFTI, CIFTI or annot."""

    image: ImageConfig = key("The atlas.")
    labels: str | list[str] = key(
        "Names of labels that are joined; {region} stands for the region."
    )
    table: Path | None = key("Table of labels' names.", None)


class LocaliserConfig(Section):
    """The voxels of a parcel with the largest contrast of a localiser, in each subject.

    `contrasts` and `parcel` are patterns of ``{subject}`` and ``{region}``, or one entry for each
    subject.
    """

    contrasts: OneImageOrEach = key("Contrast map of each subject.")
    parcel: OneMaskOrEach = key("Mask within which places are chosen.")
    n_voxels: int = key("How many places are chosen.", 100, ge=1)


class FmriConfig(SubjectsConfig):
    """A region's patterns: betas of subjects or BOLD in BIDS, and where the region is.

    Three regions of twenty subjects::

        data:
          - regions: [FFA, OFA, STS]
            fmri:
              subjects: all
              images: sub-{subject}/betas/*.nii.gz
              conditions: volumes.csv
              roi: rois/sub-{subject}_{region}.nii.gz

    See :class:`rsa_faces.runs._images.SubjectsConfig` for `subjects`, `images`, `conditions` and
    `residuals`. `roi` is a mask, exactly 0 and 1, one for all or one for each subject; for other
    values give the threshold above which a voxel is inside: ``roi: {file: ..., threshold: 0.5}``.
    """

    bids: BidsConfig | None = key("BOLD in BIDS, instead of `subjects`.", None)
    roi: OneMaskOrEach | None = key("Mask of the region.", None)
    sphere: SphereConfig | None = key("The region as a sphere.", None)
    atlas: AtlasConfig | None = key("The region as labels of an atlas.", None)
    localiser: LocaliserConfig | None = key(
        "The region as the best places of a localiser in a parcel.", None
    )
    resample: bool = key("Bring the mask to the grid of the images.", False)
    measure: Measure = key("How RDMs of patterns are made.", "crossnobis")
    noise: Noise = None
    noise_from: NoiseFrom = "all"
    unusable: Literal["raise", "drop"] = key("What to do with places without signal.", "raise")

    @model_validator(mode="after")
    def _whole(self) -> FmriConfig:
        exactly_one(self, "subjects", "bids")
        exactly_one(self, "roi", "sphere", "atlas", "localiser")
        if self.conditions is not None and self.subjects is None:
            raise ValueError("expected `conditions` (a table of volumes) beside `subjects` only.")
        if self.bids is not None and self.residuals:
            raise ValueError("expected no `residuals` beside `bids`: the GLM makes them.")
        localiser = self.localiser
        self.check_same_subjects("roi", self.roi)
        if localiser is not None:
            self.check_same_subjects("contrasts", localiser.contrasts)
            self.check_same_subjects("parcel", localiser.parcel)
        return self


class SimulatedRegionConfig(Section):
    """A region of simulated brains in which a network's layer is planted."""

    network: str = key("Network whose layer is planted.")
    layer: str = key("The layer that is planted.")
    n_subjects: int = key("Simulated subjects.", 8, ge=2, le=100)
    n_runs: int = key("Simulated runs.", 4, ge=2, le=20)
    signal: float = key("Strength of the signal; noise has 1.", 0.3, ge=0)


class DataConfig(RdmsConfig):
    """Brain or behaviour RDMs that networks are compared with: one region.

    An entry with ``regions: [FFA, OFA]`` instead of ``region: FFA`` stands for one entry of each.
    """

    renamed: ClassVar[Mapping[str, str]] = {"bootstrap": "generalise_to"}

    dataset: str | None = key("A data set by name: `rf.datasets`.", None)
    fmri: FmriConfig | None = key("Brain images, from which RDMs are made.", None)
    simulated: SimulatedRegionConfig | None = key("Simulated brains.", None)
    region: str = key("What the data are called: a region, or behaviour.")
    select: dict[str, Label | list[Label]] = key("Only RDMs with these labels.", {})
    average: Literal["evidence"] | None = key("Average raters by the evidence of each pair.", None)
    generalise_to: GeneraliseTo | None = key("As in `inference`, for this region.", None)
    allow_missing: bool = key("Take RDMs with pairs that were not measured.", False)

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        exactly_one(self, "dataset", "rdms", "fmri", "simulated")
        if self.average is not None and not isinstance(self.rdms, Path):
            raise ValueError(
                "expected `rdms`, one file of `rsa-faces arrange fit`, with `average: evidence`."
            )
        return self


class InferenceConfig(Section):
    """How similarity is tested; `groups` and `blocks` are columns of the stimulus table."""

    renamed: ClassVar[Mapping[str, str]] = {"bootstrap": "generalise_to"}

    generalise_to: GeneraliseTo = key("What is drawn: subjects, conditions or both.", "both")
    uncertainty: Literal["bootstrap", "analytic"] = key(
        "Standard errors by bootstrap, or in closed form.", "bootstrap"
    )
    groups: str | None = key("Column of conditions that are drawn together, such as people.", None)
    blocks: Blocks = None
    n_boot: int = key("Bootstrap samples.", 1000, ge=100)
    alpha: float = key("Level of tests and intervals.", 0.05, gt=0, lt=0.5)
    correction: Literal["fdr", "bonferroni", "holm"] = key("How p values are corrected.", "fdr")
    family: Literal["region", "all"] = key("Correct within each region, or over all.", "region")
    tail: Literal["two-sided", "greater", "less"] = key("Side of tests against 0.", "two-sided")
    by: str = key("Label that tells subjects apart.", "subject")


class FiguresConfig(Section):
    """What to draw beside the layer curves."""

    mds_region: str | None = key("Region whose conditions are mapped.", None)
    mds_color: str | None = key("Column that colours the map.", None)
    group: str | None = key("Column that groups conditions in figures of RDMs.", None)
    subjects: bool = key("A point per subject beside the layer curves.", False)


class Config(RunConfig):
    """One experiment: stimuli → networks → RDMs → comparison with data → figures.

    Without networks `stimuli` may be left out: RDMs in files are compared with each other. `given`
    are RDMs that are regressed out of all others. ``conditions: intersection`` takes what stimuli,
    data and models all have. `partition` names two or three sets of networks and models, and says
    what they explain of each region alone and together.

    See Also
    --------
    AnalysesConfig : Questions to the features of networks.
    SearchlightConfig : A searchlight.
    TimecourseConfig : Intracranial recordings against layers: when, and in which region.

    Examples
    --------
    >>> from rsa_faces.runs import Config
    >>> Config.model_fields["inference"].description
    'How similarity is tested.'
    """

    stimuli: StimuliConfig | None = key("The images that networks are shown.", None)
    data: list[DataConfig] = key("Brain and behaviour RDMs: one entry per region.", min_length=1)
    networks: list[NetworkConfig] = key("Networks and their layers.", [])
    models: list[ModelConfig] = key("Model RDMs.", [])
    given: list[ModelConfig] = key("Model RDMs that are regressed out.", [])
    conditions: Literal["same", "intersection"] = key(
        "Whether all RDMs need the same conditions, or those that all have are taken.", "same"
    )
    measure: Measure = key("How RDMs of layers are made.", "correlation")
    method: Method = key("How RDMs are compared.", "rho-a")
    partition: dict[str, list[str]] | None = key(
        "Two or three sets of networks and models that share the variance of the data.", None
    )
    subsets: dict[str, str | list[str]] = key(
        "Sets of conditions: `all`, an expression of columns, or names.", {"all": "all"}
    )
    inference: InferenceConfig = key("How similarity is tested.", InferenceConfig())
    figures: FiguresConfig = key("What to draw beside the layer curves.", FiguresConfig())

    @field_validator("data", mode="before")
    @classmethod
    def _entries_of_regions(cls, entries: Any) -> Any:
        if not isinstance(entries, list):
            return entries
        single: list[Any] = []
        for entry in entries:
            if not isinstance(entry, dict) or "regions" not in entry:
                single.append(entry)
                continue
            # An entry with several regions stands for one of each.
            rest = {key: value for key, value in entry.items() if key != "regions"}
            regions = entry["regions"]
            if "region" in rest or not isinstance(regions, list) or not regions:
                raise ValueError("expected `regions`, a list of names, in the place of `region`.")
            single += [{"region": name, **rest} for name in regions]
        return single

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if not self.networks and not self.models:
            raise ValueError("expected at least one entry in `networks` or `models`.")
        for what, names in (
            ("region", [d.region for d in self.data]),
            ("network", [n.name for n in self.networks]),
            ("subset", list(self.subsets)),
        ):
            each_once(names, what)
        if not self.subsets:
            raise ValueError("expected at least one subset; leave the key out to use all.")
        if self.given and METHODS[self.method].partial is None:
            able = ", ".join(name for name, method in METHODS.items() if method.partial)
            raise ValueError(
                f"expected a method that can regress RDMs out, beside `given`: {able}; got "
                f"{self.method!r}."
            )
        self._check_partition()
        self._check_images()
        return self

    def _check_partition(self) -> None:
        """Raise unless two or three sets are named, each with something in it."""
        if self.partition is None:
            return
        if not 2 <= len(self.partition) <= 3 or not all(self.partition.values()):
            raise ValueError(
                "expected two or three sets of networks and models in `partition`, each with a "
                f"name and at least one entry, got {self.partition}."
            )

    def _check_images(self) -> None:
        """Raise if something needs stimuli, and there are none."""
        if self.stimuli is not None:
            return
        simulated = [entry.region for entry in self.data if entry.simulated is not None]
        queries = [q for q in self.subsets.values() if isinstance(q, str) and q != "all"]
        asking = [
            ("networks", self.networks),
            ("data that are `simulated`", simulated),
            ("inference.groups", self.inference.groups),
            ("inference.blocks", self.inference.blocks),
            ("figures.mds_color", self.figures.mds_color),
            ("figures.group", self.figures.group),
            ("subsets that are conditions on the stimulus table", queries),
        ]
        if needing := [what for what, there in asking if there]:
            raise ValueError(
                f"expected `stimuli`, which {needing[0]} need; without them RDMs in files can be "
                "compared, and subsets are lists of names."
            )
