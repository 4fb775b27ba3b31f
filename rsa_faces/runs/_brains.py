"""Brain images of a group: from files, from BIDS through the GLM, or simulated."""

from __future__ import annotations

import functools
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces import datasets
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names, sha256_file
from rsa_faces._core.tables import read_table, write_table
from rsa_faces.brain import Patterns, Surface, bids_mask, bids_patterns, fsaverage, load_surface
from rsa_faces.brain.betas import check_rows, files_of_maps
from rsa_faces.brain.bids_fmri import bids_hash, bids_rows
from rsa_faces.brain.files import load_file
from rsa_faces.brain.images import open_image
from rsa_faces.brain.masks import mask_on
from rsa_faces.mapping import image_parts
from rsa_faces.mapping._patterns import rows_of
from rsa_faces.rdm import MEASURES, RDMs
from rsa_faces.runs._images import (
    BidsConfig,
    MaskConfig,
    MeshConfig,
    SubjectsConfig,
    named,
    of_subject,
)
from rsa_faces.runs._job import Job
from rsa_faces.runs._sentences import about, heard
from rsa_faces.runs.searchlight.config import BrainImagesConfig

if TYPE_CHECKING:
    from rsa_faces.runs._run import Run

#: What arguments are called in configurations of searchlights.
KEYS = {"img": "images", "mask_img": "mask", "min_voxels": "min_voxels"}


@dataclass(frozen=True, eq=False)
class Subject:
    """Images of one subject, what their volumes show, and what the GLM left over."""

    image: Any
    conditions: list[str]
    folds: list[str] | None
    residuals: Any = None
    n_estimated: int = 0
    #: Table of the runs of the residuals, in their order: fold, n_scans, n_estimated.
    residual_runs: Path | None = None

    @property
    def where(self) -> str:
        """Its first file, for errors."""
        image = self.image
        while isinstance(image, (dict, list, tuple)) and image:
            image = next(iter(image.values() if isinstance(image, dict) else image))
        return str(image) if isinstance(image, (str, Path)) else "an image in memory"


@dataclass(frozen=True, eq=False)
class Brains:
    """A group in one space; hashes of subjects, mask and meshes; what a reader has to know."""

    subjects: Mapping[str, Subject]
    mask: Any
    meshes: Mapping[str, Surface] | None
    hashes: Mapping[str, str]
    models: RDMs | None = None
    notes: tuple[str, ...] = ()


def read_brains(run: Run, data: BrainImagesConfig, *, noise: bool) -> Brains:
    """Return the images of a group; patterns of BIDS are estimated and kept by the run."""
    if data.dataset is not None:
        simulate = {"simulated": _simulated_brain, "simulated cortex": _simulated_cortex}
        brains = simulate[data.dataset](run.config.seed)
    elif data.bids is not None:
        brains = _of_bids(run, data.bids, data.mask, noise)
    else:
        brains = _of_files(data)
    run.notes += brains.notes
    return brains


def check_brains(data: BrainImagesConfig, order: Sequence[str], settings: Mapping) -> None:
    """Raise if something is wrong with a group that can be known without reading its images.

    Parameters
    ----------
    data : BrainImagesConfig
    order : sequence of str
        Conditions of the models.
    settings : mapping
        How similarity is mapped: `measure`, `noise`, `noise_from`.
    """
    if data.dataset is not None:
        return
    with about("data.anatomy"):
        if data.anatomy is not None and open_image(data.anatomy, "the anatomy").kind != "volume":
            raise InputError(f"expected an image of voxels, got {data.anatomy}.")
    with about("data.mask"):
        mask = None if data.mask is None else data.mask.region("the mask", "")
    if data.mesh is not None:
        _meshes(data.mesh)
    bids = data.bids
    for name in data.names() if bids is None else bids.subjects:
        # What is warned of is said when the images are read.
        with about(f"data, subject {name!r}", KEYS), heard():
            if bids is None:
                own = read_subject(data, name)
                conditions, folds, left = own.conditions, own.folds, own.residuals is not None
                image = open_image(own.image, "img")
                check_rows(image.n_maps, conditions, None)
                if mask is not None and image.kind == "volume":
                    mask_on(mask, image.space, False)
            else:
                brain = bids_mask(bids.root, subject=name, **bids.files())
                options = {**bids.files(), **bids.options(), "mask_img": mask or brain}
                conditions, folds = bids_rows(bids.root, subject=name, **options)
                left = settings["noise"] is not None
            measure = MEASURES[settings["measure"]]
            rows_of(
                conditions,
                order,
                measure,
                folds if measure.needs_folds else None,
                settings["noise"],
                settings["noise_from"],
                left,
            )


def split(subject: Subject, brains: Brains) -> dict[str, dict[str, Any]]:
    """Return for each part of the brain what :func:`rsa_faces.mapping.searchlight` takes."""
    if brains.meshes is None:
        residuals, estimated = _residuals(subject)
        arguments = {"img": subject.image, "mask_img": brains.mask, "residuals": residuals}
        return {"volume": {**arguments, "n_estimated": estimated}}
    parts = image_parts(subject.image, mask_img=brains.mask, meshes=brains.meshes)
    residuals = {}
    if subject.residuals is not None:
        residuals = image_parts(subject.residuals, mask_img=brains.mask, meshes=brains.meshes)
    return {
        part: {
            **arguments,
            "residuals": residuals[part]["img"] if residuals else None,
            "n_estimated": subject.n_estimated,
        }
        for part, arguments in parts.items()
    }


def _residuals(subject: Subject) -> tuple[Any, Any]:
    """Return residuals and the number of estimated parameters, by fold where runs are known."""
    if subject.residual_runs is None:
        return subject.residuals, subject.n_estimated
    image = load_file(subject.residuals, "residuals")
    runs = read_table(subject.residual_runs, text=["fold"], numbers=["n_scans", "n_estimated"])
    residuals, estimated, stop = {}, {}, 0
    for fold, n_scans, parameters in runs.itertuples(index=False):
        start, stop = stop, stop + int(n_scans)
        residuals[fold], estimated[fold] = image.slicer[..., start:stop], int(parameters)
    return residuals, estimated


def read_volumes(path: Path) -> pd.DataFrame:
    """Return what each volume shows: columns ``condition`` and perhaps ``fold``, all text."""
    return read_table(
        path, what="a table of volumes", text=["condition", "fold"], optional=["fold"]
    )


def read_subject(data: SubjectsConfig, subject: str, region: str = "") -> Subject:
    """Return the images of a subject and what their maps show; a table may name files."""
    names = {"subject": subject, "region": region}
    table = read_volumes(named(data.conditions or "", **names))  # never without
    image = data.image_of(subject).image(f"images of {subject!r}", **names)
    if "file" in table:
        image = files_of_maps(image, table["file"].tolist(), f"images of {subject!r}")
    residuals = of_subject(data.residuals, subject)
    return Subject(
        image,
        table["condition"].tolist(),
        table["fold"].tolist() if "fold" in table else None,
        None if residuals is None else residuals.image(f"residuals of {subject!r}", **names),
        data.n_estimated,
    )


def _of_files(data: BrainImagesConfig) -> Brains:
    """Read what the files of subjects are."""
    hashes, subjects = {}, {}
    for name in data.names():
        with about(f"data, subject {name!r}"):
            subjects[name] = read_subject(data, name)
        hashes[name] = hash_of(subjects[name].image, subjects[name].residuals)
        # It is in no file, and maps depend on it.
        hashes[name] += f" {data.n_estimated}" if data.n_estimated else ""
    mask = None
    if data.mask is not None:
        with about("data.mask"):
            mask = data.mask.region("the mask", "")
            hashes["mask"] = hash_of(data.mask.files("the mask"))
    meshes = None
    if data.mesh is not None:
        meshes = _meshes(data.mesh)
        hashes["mesh"] = data.mesh.template or hash_of(data.mesh.files())
    return Brains(subjects, mask, meshes, hashes)


def _meshes(mesh: MeshConfig) -> dict[str, Surface]:
    """Return the geometry of hemispheres."""
    if mesh.template is not None:
        return {side: fsaverage(side) for side in ("left", "right")}
    with about("data.mesh"):
        return {side: load_surface(path) for side, path in mesh.sides().items()}


def hash_of(*images: Any) -> str:
    """Return the hashes of all files of images."""
    digests = []
    for image in images:
        for part in image.values() if isinstance(image, dict) else [image]:
            for path in part if isinstance(part, list) else [part]:
                digests += [] if path is None else [sha256_file(path)]
    return " ".join(digests)


def _of_bids(run: Run, bids: BidsConfig, mask: MaskConfig | None, noise: bool) -> Brains:
    """Estimate the patterns of each subject and keep them as images with a table of volumes."""
    jobs: list[Job] = []
    hashes, masks = {}, []
    stems = file_names(bids.subjects)
    for subject in bids.subjects:
        name = f"betas/{stems[subject]}"
        files = [f"{name}.nii.gz", f"{name}.csv"]
        files += [f"{name}_residuals.nii.gz", f"{name}_residuals.csv"] if noise else []
        who = f"data.bids, subject {subject!r}"
        with about(who):
            hashes[subject] = bids_hash(bids.root, subject=subject, **bids.files())
        jobs.append(
            Job(
                f"GLM of {subject}",
                f"betas {subject}",
                [hashes[subject], repr(bids.options()), repr(noise)],
                files,
                _make_betas,
                (bids, subject, run.folder / name, noise),
                who,
            )
        )
        if mask is None:
            with about(who):
                own = bids_mask(bids.root, subject=subject, **bids.files())
                masks.append(own.named(f"mask of {subject}"))
    run.do(jobs)
    subjects = {}
    for subject, job in zip(bids.subjects, jobs, strict=True):
        image, volumes, *residuals = (run.folder / file for file in job.files)
        table = read_volumes(volumes)
        subjects[subject] = Subject(
            str(image),
            table["condition"].tolist(),
            table["fold"].tolist(),
            str(residuals[0]) if residuals else None,
            residual_runs=residuals[1] if residuals else None,
        )
    if mask is not None:
        hashes["mask"] = hash_of(mask.files("the mask"))
        with about("data.mask"):
            where = mask.region("the mask", "")
        return Brains(subjects, where, None, hashes)
    notes = []
    common = functools.reduce(lambda one, own: one.keep(own.positions(one)), masks)
    if len(subjects) > 1:
        notes.append(f"mapped are the {common.n_places} voxels in the brain masks of all subjects.")
    save_image(common.to_img(), run.folder / "mask.nii.gz")
    hashes["mask"] = sha256_file(run.folder / "mask.nii.gz")
    return Brains(subjects, run.folder / "mask.nii.gz", None, hashes, notes=tuple(notes))


def _make_betas(bids: BidsConfig, subject: str, stem: Path, noise: bool) -> list[str]:
    """Write a subject's patterns, their table and (with noise) residuals. May run elsewhere."""
    patterns, notes = estimated(bids, subject, noise=noise, unusable="drop")
    save_image(patterns.to_img(), stem.with_name(f"{stem.name}.nii.gz"))
    if noise:
        residuals = patterns.residuals or {}
        left = patterns.to_img(np.concatenate(list(residuals.values())))
        save_image(left, stem.with_name(f"{stem.name}_residuals.nii.gz"))
        runs = pd.DataFrame(
            [
                (fold, len(rows), patterns.n_estimated.get(fold, 0))
                for fold, rows in residuals.items()
            ],
            columns=["fold", "n_scans", "n_estimated"],
        )
        write_table(runs, stem.with_name(f"{stem.name}_residuals.csv"))
    table = pd.DataFrame({"condition": patterns.conditions, "fold": patterns.folds})
    write_table(table, stem.with_name(f"{stem.name}.csv"))
    return [f"{subject}: {note}" for note in notes]


def estimated(
    bids: BidsConfig, subject: str, *, noise: bool, unusable: str, mask: Any = None
) -> tuple[Patterns, list[str]]:
    """Return a subject's patterns from the GLM (with noise also residuals), and what it said."""
    with heard() as said:
        patterns = bids_patterns(
            bids.root,
            subject=subject,
            **bids.files(),
            **bids.options(),
            mask_img=mask,
            keep_residuals=noise,
            unusable=unusable,
            progress=False,
        )
    ends = ("left out.", "not modelled.", "one unit of it.")
    return patterns, [text for text in said if text.endswith(ends)]


def image_name(what: str, part: str) -> str:
    """Return the name of a file with a map: of a hemisphere with its name."""
    return f"{what}.nii.gz" if part == "volume" else f"{what}_{part}.shape.gii"


def save_image(image: Any, path: Path) -> None:
    """Write an image, whole or not at all; the same image gives the same bytes."""
    with atomic_path(path) as temporary:
        content = image.to_bytes()
        compressed = path.suffix == ".gz"
        temporary.write_bytes(gzip.compress(content, 6, mtime=0) if compressed else content)


def _simulated_brain(seed: int) -> Brains:
    """Return brains in which layers are planted in known places."""
    made = datasets.simulated_brain(seed=seed)
    subjects = {
        f"simulated {i + 1:02d}": Subject(image, list(made.conditions), list(made.runs))
        for i, image in enumerate(made.imgs)
    }
    where = "; ".join(
        f"{row.model} at {row.x:g}, {row.y:g}, {row.z:g} mm" for row in made.regions.itertuples()
    )
    hashes = dict.fromkeys([*subjects, "mask"], f"simulated, seed {seed}")
    return Brains(
        subjects,
        made.mask_img,
        None,
        hashes,
        made.models,
        (f"these brains are simulated: {where}.",),
    )


def _simulated_cortex(seed: int) -> Brains:
    """Return cortices in which layers are planted at known vertices."""
    made = datasets.simulated_cortex(seed=seed)
    subjects = {
        f"simulated {i + 1:02d}": Subject(sides, list(made.conditions), list(made.runs))
        for i, sides in enumerate(made.imgs)
    }
    where = "; ".join(
        f"{row.model} in the {row.hemisphere} hemisphere at {row.x:.0f}, {row.y:.0f}, {row.z:.0f} "
        "mm"
        for row in made.regions.itertuples()
    )
    hashes = dict.fromkeys([*subjects, "mask"], f"simulated, seed {seed}")
    meshes = _meshes(MeshConfig(template="fsaverage5"))
    note = f"these cortices are simulated: {where}."
    return Brains(subjects, None, meshes, hashes, made.models, (note,))
