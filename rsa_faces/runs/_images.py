"""Brain images in configurations: files of subjects, geometry, and data sets in BIDS."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from rsa_faces._core.checks import nearest
from rsa_faces._core.configurations import Section, key
from rsa_faces._core.errors import InputError
from rsa_faces.brain import Region, load_roi
from rsa_faces.brain.files import image_files
from rsa_faces.runs._reading import each_once

Paths = Path | list[Path]
_PLACES = ("subject", "region")


def _is_text(value: Any) -> Any:
    """Check a name: YAML makes numbers of names without quotes."""
    if not isinstance(value, str):
        raise ValueError(
            f"expected a name as text, in quotes: YAML reads 01 as a number (got {value!r})"
        )
    return value


#: A subject or a patient: text, so that "01" stays "01".
SubjectName = Annotated[str, BeforeValidator(_is_text)]


class ImageConfig(Section):
    """An image: files (NIfTI, MGH, CIFTI), or files for each hemisphere (GIFTI).

    Each of `file`, `left` and `right` is a file, a folder of images, a pattern such as
    ``sub-{subject}/betas/*.nii.gz``, or a list of these. ``{subject}`` and ``{region}`` stand for
    the names of both.
    """

    file: Paths | None = key(
        "File, folder or pattern of {subject} and {region} (NIfTI, MGH, CIFTI).", None
    )
    left: Paths | None = key("The left hemisphere (GIFTI).", None)
    right: Paths | None = key("The right hemisphere (GIFTI).", None)

    @model_validator(mode="before")
    @classmethod
    def _bare_path(cls, values: Any) -> Any:
        return {"file": values} if isinstance(values, (str, Path, list)) else values

    @model_validator(mode="after")
    def _file_or_hemispheres(self) -> ImageConfig:
        sides = self.left is not None or self.right is not None
        if sides == (self.file is not None):
            raise ValueError("expected a file, or `left` and `right` for the hemispheres.")
        for path in self.paths:
            for name in re.findall(r"\{(\w*)\}", str(path)):
                if name not in _PLACES:
                    raise ValueError(
                        f"unknown {{{name}}} in {str(path)!r}.{nearest(name, _PLACES)} Valid: "
                        "{subject} and {region}."
                    )
        return self

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, folders and patterns, as they are written."""
        given = [v for v in (self.file, self.left, self.right) if v is not None]
        return tuple(p for v in given for p in (v if isinstance(v, list) else [v]))

    def image(self, what: str, **names: str) -> Path | list[Path] | dict[str, Any]:
        """Return what :mod:`rsa_faces.brain` reads: files that exist, in their order."""
        if self.file is not None:
            return _files(self.file, what, names)
        sides = {"left": self.left, "right": self.right}
        return {
            side: _files(paths, f"{what} ({side})", names)
            for side, paths in sides.items()
            if paths is not None
        }

    def files(self, what: str, **names: str) -> list[Path]:
        """Return all files that there are."""
        image = self.image(what, **names)
        parts = image.values() if isinstance(image, dict) else [image]
        return [p for part in parts for p in (part if isinstance(part, list) else [part])]


class MaskConfig(ImageConfig):
    """A mask: exactly 0 and 1, or other values with the threshold above which a place is inside."""

    threshold: float | None = key("Places above it are inside; a mask of 0 and 1 needs none.", None)

    def region(self, what: str, name: str, **names: str) -> Region:
        """Return the places of the mask."""
        return load_roi(self.image(what, **names), name=name, threshold=self.threshold)


def named(path: Path | str, **names: str) -> Path:
    """Return a path with the names of subject and region in the places for them."""
    text = str(path)
    for place, name in names.items():
        text = text.replace(f"{{{place}}}", name)
    return Path(text)


def _files(paths: Paths, what: str, names: Mapping[str, str]) -> Path | list[Path]:
    """Return one file, or the files of a folder, pattern or list."""
    if isinstance(paths, list):
        return [file for path in paths for file in image_files(named(path, **names), what)]
    files = image_files(named(paths, **names), what)
    return files[0] if len(files) == 1 else files


def _one_or_each(kind: type[Section]) -> Discriminator:
    """Tell one section for all subjects from a mapping of subject to section."""
    fields = set(kind.model_fields)

    def which(value: Any) -> str:
        return "each subject" if isinstance(value, dict) and not set(value) <= fields else "all"

    return Discriminator(which)


OneImageOrEach = Annotated[
    Annotated[ImageConfig, Tag("all")]
    | Annotated[dict[SubjectName, ImageConfig], Tag("each subject")],
    _one_or_each(ImageConfig),
]
OneMaskOrEach = Annotated[
    Annotated[MaskConfig, Tag("all")]
    | Annotated[dict[SubjectName, MaskConfig], Tag("each subject")],
    _one_or_each(MaskConfig),
]


def of_subject(given: Any, subject: str) -> Any:
    """Return the section of a subject, or the one for all."""
    return given[subject] if isinstance(given, dict) else given


class SubjectsConfig(Section):
    """Maps of subjects (betas, t values), and what each of them shows.

    Either every subject with its images (names in quotes)::

        subjects: {"01": first_betas.nii.gz, "02": second_betas.nii.gz}

    or names and a pattern; ``all`` takes the subjects whose files there are (their names
    hold no ``_`` and no dot)::

        subjects: ["01", "02"]                        # or: all
        images: sub-{subject}/betas/*.nii.gz          # in the order of numbers: 2 before 10

    `conditions` is a table with one row per map, in their order, and the columns ``condition`` and,
    if there are runs, ``fold``. With a column ``file`` maps are found by the names of their files,
    and other files of the folder do not count. It may be a pattern of ``{subject}`` too.
    `residuals` (a mapping or a pattern) are what the GLM left over, `n_estimated` the number of
    parameters it estimated, over all runs.
    """

    subjects: (
        Annotated[
            Annotated[dict[SubjectName, ImageConfig], Tag("mapping")]
            | Annotated[list[SubjectName], Tag("names")]
            | Annotated[Literal["all"], Tag("all")],
            Discriminator(
                lambda v: (
                    "mapping" if isinstance(v, dict) else "names" if isinstance(v, list) else "all"
                )
            ),
        ]
        | None
    ) = key("Names, a mapping of name to images, or all.", None)
    images: ImageConfig | None = key("Pattern of the images of each subject.", None)
    conditions: Path | None = key(
        "Table of volumes: condition and fold (run), in their order.", None
    )
    residuals: OneImageOrEach | None = key("What the GLM left over, for the noise.", None)
    n_estimated: int = key("Parameters that the GLM estimated, over all runs.", 0, ge=0)

    @model_validator(mode="after")
    def _subjects_and_images(self) -> SubjectsConfig:
        if self.n_estimated and not self.residuals:
            raise ValueError("expected `residuals` beside `n_estimated`, what their GLM estimated.")
        if self.subjects is None:
            if self.images is not None:
                raise ValueError("expected `subjects` beside `images`: names, or all.")
            return self
        if not self.subjects:
            raise ValueError("expected at least one entry in `subjects`.")
        if (self.images is None) != isinstance(self.subjects, dict):
            raise ValueError(
                "expected `images`, a pattern such as sub-{subject}/betas/*.nii.gz, beside names "
                "of `subjects`, and none beside a mapping of subject to images."
            )
        if self.images is not None and not all("{subject}" in str(p) for p in self.images.paths):
            raise ValueError("expected {subject} in `images`, such as sub-{subject}_betas.nii.gz.")
        if self.conditions is None:
            raise ValueError("expected `conditions` (a table of volumes) beside `subjects`.")
        if isinstance(self.subjects, list):
            each_once(self.subjects, "subject")
        self.check_same_subjects("residuals", self.residuals)
        return self

    def check_same_subjects(self, key: str, given: Any) -> None:
        """Raise if a mapping is not of the subjects."""
        names = bids.subjects if (bids := getattr(self, "bids", None)) else self.subjects
        if isinstance(given, dict) and names != "all" and set(given) != set(names or ()):
            raise ValueError(f"expected {key} of the same subjects as `subjects`.")

    def names(self, region: str = "") -> list[str]:
        """Return the subjects; those of ``all`` are the ones whose files there are."""
        if self.subjects != "all":
            return list(self.subjects or ())
        pattern = named(self.image_of("").paths[0], region=region)
        found = _subjects_of(pattern)
        if not found:
            raise InputError(
                f"expected files of subjects, but none matches `images`: {pattern}. With "
                "`subjects: all` names hold no _ and no dot; others have to be listed."
            )
        return found

    def image_of(self, subject: str) -> ImageConfig:
        """Return where the images of a subject are."""
        # Names come with a pattern: see above.
        one_for_all: Any = self.images
        return self.subjects[subject] if isinstance(self.subjects, dict) else one_for_all


def _subjects_of(pattern: Path) -> list[str]:
    """Return what stands for {subject} in the files of a pattern, in the order of numbers.

    As in BIDS names hold no _ and no dot: sub-01_FFA.nii.gz is no image of a subject '01_FFA'.
    """
    star = str(pattern).replace("{subject}", "*")
    parts = re.split(r"(\{subject\}|\*\*/|\*|\?)", str(pattern))
    signs = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    text, first = "", True
    for part in parts:
        if part == "{subject}":
            # Further places for it must hold the same name.
            text += "(?P<subject>[^/_.]+)" if first else "(?P=subject)"
            first = False
        else:
            text += signs.get(part) or re.escape(part)
    matches = (re.fullmatch(text, path) for path in glob.glob(star, recursive=True))
    names = {found.group("subject") for found in matches if found}
    return sorted(
        names, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]
    )


class MeshConfig(Section):
    """Geometry of the cortex: a template that ships, or a file for each hemisphere."""

    template: Literal["fsaverage5"] | None = key("A mesh that ships.", None)
    left: Path | None = key("Mesh of the left hemisphere.", None)
    right: Path | None = key("Mesh of the right hemisphere.", None)

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

    def sides(self) -> dict[str, Path]:
        """Return the file of each hemisphere."""
        files = {"left": self.left, "right": self.right}
        return {side: path for side, path in files.items() if path is not None}

    def files(self) -> list[Path]:
        """Return all files."""
        return list(self.sides().values())


class BidsConfig(Section):
    """Preprocessed BOLD in BIDS, from which nilearn's GLM estimates patterns run by run.

    See :func:`rsa_faces.brain.bids_patterns` and :func:`rsa_faces.brain.glm_patterns`, whose
    options these are. `confounds` are options of nilearn's load_confounds; scans that it excludes
    are not fitted. `space` is a template, T1w, or native (names without a space);
    `condition_column` the column of the events that names conditions, such as stim_file.
    """

    root: Path = key("Folder of the data set.")
    task: str = key("As in the file names.")
    subjects: list[SubjectName] = key("Labels of subjects, in quotes.", min_length=1)
    derivatives: str = key("Folder of the preprocessed data, below the root.", "derivatives")
    space: str | None = key("Template, T1w, or native.", None)
    session: str | None = key("As in the file names.", None)
    res: str | None = key("As in the file names.", None)
    echo: str | None = key("As in the file names.", None)
    condition_column: str = key("Column of the events that names conditions.", "trial_type")
    confounds: dict[str, Any] = key("Options of nilearn's load_confounds.", {})
    nuisance: list[str] = key("Events that are modelled and not compared.", [])
    model: Literal["condition", "trial"] = key(
        "A pattern per condition, or per trial.", "condition"
    )
    hrf_model: str = key("Of nilearn's GLM.", "glover")
    noise_model: str = key("Of nilearn's GLM.", "ar1")
    high_pass: float = key("In Hz.", 0.01, gt=0)
    missing: Literal["raise", "drop", "keep"] = key(
        "What to do with runs that lack a condition.", "raise"
    )
    t_r: float | None = key("Seconds from scan to scan, where the files do not say.", None, gt=0)

    @model_validator(mode="after")
    def _subjects_once(self) -> BidsConfig:
        each_once(self.subjects, "subject")
        return self

    def files(self) -> dict[str, Any]:
        """Return what says which files they are."""
        keys = ("task", "derivatives", "space", "session", "res", "echo")
        return {key: getattr(self, key) for key in keys}

    def options(self) -> dict[str, Any]:
        """Return the options of the GLM."""
        keys = (
            *("condition_column", "nuisance", "model", "hrf_model", "noise_model", "high_pass"),
            *("missing", "t_r"),
        )
        return {key: getattr(self, key) for key in keys} | {"confounds": self.confounds or None}
