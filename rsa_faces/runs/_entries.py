"""What every kind of run takes: stimuli, networks and models."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, PositiveInt, model_validator

from rsa_faces._core.checks import check_choice, parse_bytes
from rsa_faces._core.configurations import Section, key
from rsa_faces.comparison import METHODS
from rsa_faces.io import read_rdms
from rsa_faces.networks import get_spec
from rsa_faces.rdm import MEASURES, RDMs, concat, read_names
from rsa_faces.runs._reading import Label, exactly_one, read_config
from rsa_faces.stimuli.clips import MAX_RATE


def _memory(value: str) -> str:
    """Return a size that can be read as bytes."""
    parse_bytes(value)
    return value


def _network(name: str) -> str:
    """Return the name of a network that is known; other libraries' names are looked up there."""
    get_spec(name)
    return name


#: Names that are looked up in their registries when a configuration is read.
Measure = Annotated[str, AfterValidator(lambda v: check_choice(v, MEASURES, what="measure"))]
Method = Annotated[
    str, AfterValidator(lambda v: check_choice(v, METHODS, what="comparison method"))
]
NetworkName = Annotated[str, AfterValidator(_network)]
Memory = Annotated[str, AfterValidator(_memory)]
#: Keys that several sections have, with what they are.
Noise = Annotated[
    Literal["ledoit-wolf", "schaefer-strimmer"] | None,
    key("How the noise covariance is shrunk; none: channels are not whitened."),
]
NoiseFrom = Annotated[
    Literal["all", "fold"],
    key("Covariance from all runs, or from the runs of each fold."),
]
Blocks = Annotated[str | None, key("Column of runs: pairs across runs are not used.")]


class RunConfig(Section):
    """What every run takes."""

    title: str = key("Heads report and figures.")
    budget: Memory = key("Memory to use; beyond it, disk is.", "2GB")
    seed: int = key("Of everything that is drawn at random.", 0, ge=0)
    store: Path | None = key(
        "Folder in which networks' activations are kept, for all runs that name it: "
        "what one computed the next reads (`rsa-faces store`).",
        None,
    )

    @classmethod
    def read(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Self:
        """Read a configuration from a YAML file.

        Parameters
        ----------
        path : path-like
            The file. Relative paths inside it are taken from its folder.
        overrides : sequence of str
            ``key=value`` with dots for nested keys and numbers for list entries, such as
            ``inference.n_boot=200`` or ``networks.0.name=dlib-face``; values are read as YAML.

        Returns
        -------
        RunConfig
            Checked, with absolute paths.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        InputError
            If the file is not YAML, a key is unknown (the nearest is named) or stands there twice,
            a value is wrong, or the file is for another command.
        """
        return read_config(path, overrides, cls)


class StimuliConfig(Section):
    """Where stimuli come from: a folder of images or of clips, or a data set that ships.

    `rate` is how many frames of a second of a clip networks are shown; by default every frame.
    """

    folder: Path | None = key("Folder of images.", None)
    clips: Path | None = key("Folder of clips, instead of images.", None)
    manifest: Path | None = key("Table with a column `file` and a column per label.", None)
    dataset: str | None = key("A data set by name, instead of a folder: `rf.datasets`.", None)
    rate: float | None = key(
        "Frames of a second of a clip that networks are shown; all by default.",
        None,
        gt=0,
        le=MAX_RATE,
    )

    @model_validator(mode="after")
    def _one_source(self) -> StimuliConfig:
        exactly_one(self, "folder", "clips", "dataset")
        if self.manifest is not None and self.dataset is not None:
            raise ValueError("expected `folder` or `clips` beside `manifest`.")
        if self.rate is not None and self.folder is not None:
            raise ValueError("expected `rate`, frames per second, beside `clips`, not `folder`.")
        return self


class NetworkConfig(Section):
    """A network and the layers to take from it."""

    name: NetworkName = key("A network: `rsa-faces networks list`.")
    layers: Literal["all"] | list[str] = key("`all`, or names with wildcards.", "all")
    weights: Path | None = key("A weight file of yours.", None)
    crop_faces: bool | Literal["auto"] = key(
        "Cut faces out: auto where the network was trained on cut-out faces.", "auto"
    )
    crop_margin: float | None = key(
        "Margin of the crop around the face; the network's own by default.", None, gt=-0.5
    )
    reduce: Literal["mean", "class token"] | PositiveInt | None = key(
        "Mean over places, class token, or random projection to so many values.", None
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values


class RdmsConfig(Section):
    """RDMs in files, of any format that :func:`rsa_faces.io.read_rdms` recognises.

    Of several files the conditions have to be the same, or come together with
    ``conditions: union``: pairs that a subject did not see are not measured. A file without the
    label of subjects is of the subject that its name says. `rename` gives conditions other names:
    a mapping of old to new ones, or a table with the columns ``old`` and ``new``.
    """

    rdms: Path | list[Path] | None = key("Files of RDMs, of any known format.", None)
    conditions: Literal["same", "union"] = key(
        "Whether files need the same conditions, or come together (union).", "same"
    )
    rename: Path | dict[str, str] | None = key(
        "New names of conditions: a mapping, or a table with the columns old and new.", None
    )

    @property
    def paths(self) -> list[Path]:
        """All files."""
        if self.rdms is None:
            return []
        return self.rdms if isinstance(self.rdms, list) else [self.rdms]

    def read(self, by: str = "subject") -> RDMs:
        """Return what the files hold."""
        paths = self.paths
        parts = [read_rdms(path) for path in paths]
        if len(parts) > 1:
            parts = [
                part if {by, "rater"} & set(part.labels) else part.with_labels(**{by: path.stem})
                for part, path in zip(parts, paths, strict=True)
            ]
        return concat(parts, conditions=self.conditions)

    def with_new_names(self, rdms: RDMs) -> RDMs:
        """Return RDMs with conditions renamed as wanted."""
        if self.rename is None:
            return rdms
        if isinstance(self.rename, dict):
            return rdms.rename(self.rename)
        return rdms.rename(read_names(self.rename))


class ModelConfig(RdmsConfig):
    """Model RDMs: from a data set, from files, or from a column of the stimulus table."""

    dataset: str | None = key("Models of a data set that ships.", None)
    metadata: str | None = key("Column of the stimulus table that makes a model.", None)
    kind: Literal["category", "ordinal", "circular"] = key(
        "How values of the column differ.", "category"
    )
    select: dict[str, Label | list[Label]] = key("Only models with these labels.", {})

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        exactly_one(self, "dataset", "rdms", "metadata")
        return self
