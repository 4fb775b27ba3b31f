"""Brain images in configurations: files of one subject, geometry, and data sets in BIDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from rsa_faces.runs._reading import Section


class ImageConfig(Section):
    """An image: one file (NIfTI, CIFTI), or a GIFTI file for each hemisphere."""

    file: Path | None = None
    left: Path | None = None
    right: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_path(cls, values: Any) -> Any:
        return {"file": values} if isinstance(values, (str, Path)) else values

    @model_validator(mode="after")
    def _file_or_hemispheres(self) -> ImageConfig:
        sides = self.left is not None or self.right is not None
        if sides == (self.file is not None):
            raise ValueError("expected a file, or `left` and `right` for the hemispheres.")
        return self

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(p for p in (self.file, self.left, self.right) if p is not None)

    def image(self) -> Path | dict[str, Path]:
        """Return what :mod:`rsa_faces.brain` reads."""
        sides = {"left": self.left, "right": self.right}
        return self.file or {side: path for side, path in sides.items() if path is not None}


class MeshConfig(Section):
    """Geometry of the cortex: a template that ships, or a file for each hemisphere."""

    template: Literal["fsaverage5"] | None = None
    left: Path | None = None
    right: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, values: Any) -> Any:
        return {"template": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _template_or_files(self) -> MeshConfig:
        files = self.left is not None or self.right is not None
        if files == (self.template is not None):
            raise ValueError("expected fsaverage5, or files as `left` and `right`.")
        return self


class BidsConfig(Section):
    """Preprocessed BOLD in BIDS, from which nilearn's GLM estimates patterns run by run.

    See :func:`rsa_faces.brain.bids_patterns` and :func:`rsa_faces.brain.glm_patterns`, whose
    options these are. `confounds` are options of nilearn's load_confounds.
    """

    root: Path
    task: str
    subjects: list[str] = Field(min_length=1)
    derivatives: str = "derivatives"
    space: str | None = None
    session: str | None = None
    confounds: dict[str, Any] = Field(default_factory=dict)
    nuisance: list[str] = Field(default_factory=list)
    model: Literal["condition", "trial"] = "condition"
    hrf_model: str = "glover"
    noise_model: str = "ar1"
    high_pass: float = Field(default=0.01, gt=0)
    missing: Literal["raise", "drop", "keep"] = "raise"
    t_r: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _subjects_once(self) -> BidsConfig:
        if twice := [s for s in self.subjects if self.subjects.count(s) > 1]:
            raise ValueError(f"expected each subject once, got {twice[0]!r} more than once.")
        return self

    def files(self) -> dict[str, Any]:
        """Return what says which files they are."""
        keys = ("task", "derivatives", "space", "session")
        return {key: getattr(self, key) for key in keys}

    def options(self) -> dict[str, Any]:
        """Return the options of the GLM."""
        keys = ("nuisance", "model", "hrf_model", "noise_model", "high_pass", "missing", "t_r")
        return {key: getattr(self, key) for key in keys} | {"confounds": self.confounds or None}
