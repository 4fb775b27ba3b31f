"""RDMs of brain regions: from betas, from BOLD in BIDS through the GLM, or simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsa_faces import datasets
from rsa_faces._core.files import file_names, sha256_file
from rsa_faces._core.warning import warn
from rsa_faces.brain import (
    Patterns,
    Region,
    Volume,
    atlas_rois,
    bids_mask,
    load_patterns,
    localiser_roi,
    roi_sphere,
)
from rsa_faces.brain.betas import check_rows
from rsa_faces.brain.bids_fmri import bids_hash, bids_rows
from rsa_faces.brain.images import open_image
from rsa_faces.brain.masks import mask_on, read_once
from rsa_faces.networks import load_network
from rsa_faces.rdm import MEASURES, RDMs, clip_rdms, concat, layer_rdms, load_rdms
from rsa_faces.rdm.noise import ALL_FOLDS
from rsa_faces.runs._brains import estimated, hash_of, read_subject
from rsa_faces.runs._images import SubjectsConfig, named, of_subject
from rsa_faces.runs._job import Job
from rsa_faces.runs._sentences import about, heard
from rsa_faces.runs.compare.config import Config, FmriConfig, SimulatedRegionConfig
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.clips import ClipSet

if TYPE_CHECKING:
    from rsa_faces.runs.compare.run import CompareRun

_KEYS = {"img": "images", "mask_img": "roi", "contrast": "contrasts"}
# Places and scans of made-up patterns: what is checked with them does not depend on how many.
_N_PLACES, _N_SCANS = 12, 40


@dataclass(frozen=True)
class Source:
    """Regions that are read from the same images of the same subjects."""

    regions: Mapping[str, FmriConfig]
    subjects: tuple[str, ...]

    @property
    def bids(self) -> Any:
        """The data set in BIDS, if it is one."""
        return next(iter(self.regions.values())).bids

    @property
    def name(self) -> str:
        """Of the regions."""
        return ", ".join(self.regions)


def sources(config: Config) -> list[Source]:
    """Return the regions that come from images, those of the same images together."""
    keys = {*SubjectsConfig.model_fields, "bids", "unusable"}
    found: dict[Any, dict[str, FmriConfig]] = {}
    for entry in config.data:
        if (fmri := entry.fmri) is not None:
            with about(f"region {entry.region!r}"):
                bids = fmri.bids
                names = tuple(fmri.names(entry.region) if bids is None else bids.subjects)
            images = repr(fmri.model_dump(include=keys)).replace("{region}", entry.region)
            found.setdefault((images, names), {})[entry.region] = fmri
    return [Source(regions, names) for (_, names), regions in found.items()]


def stand_ins(config: Config, stimuli: StimulusSet | ClipSet | None) -> dict[str, RDMs]:
    """Return made-up RDMs of the regions that the run makes, with their subjects and conditions.

    All is checked but the values: files, masks, tables, and what the measure needs.
    """
    found: dict[str, RDMs] = {}
    rng = np.random.default_rng(0)
    for source in sources(config):
        parts: dict[str, list[RDMs]] = {region: [] for region in source.regions}
        for subject in source.subjects:
            # What is warned of is said when the images are read.
            with heard():
                for region, names, folds, left in _rows(source, subject):
                    with about(_whose(source, region, subject), _KEYS):
                        patterns = _made_up(rng, names, folds, left, subject)
                        parts[region].append(_rdms(source.regions[region], patterns))
        found |= {region: concat(rdms) for region, rdms in parts.items()}
    for entry in config.data:
        if entry.simulated is not None and stimuli is not None:
            names, n = list(stimuli.ids), entry.simulated.n_subjects
            folds = np.repeat([1, 2], len(names)).tolist()
            made = [_made_up(rng, names * 2, folds, None, _simulated(i)) for i in range(n)]
            found[entry.region] = concat([patterns.rdms() for patterns in made])
    return found


def _made_up(rng, conditions: list[str], folds: Any, left: Any, subject: str) -> Patterns:
    """Return patterns of random values; `left` says of which folds there are residuals."""
    space = Region(Volume(np.ones((_N_PLACES, 1, 1), bool), np.eye(4)))
    values = rng.random((len(conditions), _N_PLACES))
    residuals = None
    if left is not None:
        residuals = {fold: rng.normal(size=(_N_SCANS, _N_PLACES)) for fold in left}
    return Patterns(values, tuple(conditions), space, folds, residuals, {}, subject)


def _rows(source: Source, subject: str) -> Iterator[tuple[str, list[str], Any, Any]]:
    """Yield each region with conditions, folds, and the folds of residuals, without the values."""
    if source.bids is None:
        for region, entry in source.regions.items():
            with about(_whose(source, region, subject), _KEYS):
                own = read_subject(entry, subject, region)
                image = open_image(own.image, "img")
                check_rows(image.n_maps, own.conditions, own.folds)
                mask_on(_roi(entry, region, subject, own.image), image.space, entry.resample)
            yield region, own.conditions, own.folds, [ALL_FOLDS] if own.residuals else None
        return
    brain, _ = _brain(source, subject)
    for region in source.regions:
        _place(source, region, subject, brain)
    with about(_whose(source, source.name, subject), _KEYS):
        bids = source.bids
        options = {**bids.files(), **bids.options(), "mask_img": brain}
        conditions, folds = bids_rows(bids.root, subject=subject, **options)
    for region, entry in source.regions.items():
        yield region, conditions, folds, None if entry.noise is None else dict.fromkeys(folds)


def region_rdms(run: CompareRun) -> dict[str, RDMs]:
    """Return the RDMs of all regions that the run makes, one for each subject."""
    jobs = region_jobs(run)
    run.do(jobs)
    files: dict[str, list[Path]] = {}
    for job in jobs:
        for region, path in job.arguments[-1].items():
            files.setdefault(region, []).append(path)
    return {region: concat([*map(load_rdms, paths)]) for region, paths in files.items()}


def region_jobs(run: CompareRun) -> list[Job]:
    """Return the steps that make RDMs of regions: of each subject, or of simulated brains."""
    jobs = []
    stems = file_names(entry.region for entry in run.config.data)
    for source in run.sources:
        names = file_names(source.subjects)
        for subject in source.subjects:
            files = {r: f"parts/{stems[r]}--{names[subject]}.h5" for r in source.regions}
            with about(_whose(source, source.name, subject), _KEYS):
                depends_on = [_hash(source, subject), *map(repr, source.regions.items())]
            jobs.append(
                Job(
                    f"{'GLM' if source.bids else 'RDMs'} of {subject} ({source.name})",
                    f"regions {source.name} of {subject}",
                    depends_on,
                    list(files.values()),
                    _make_regions,
                    (source, subject, {r: run.folder / file for r, file in files.items()}),
                )
            )
    for entry in run.config.data:
        if entry.simulated is not None:
            file, stimuli = f"parts/{stems[entry.region]}.h5", run.inputs.stimuli
            shown = run.config.stimuli
            arguments = (entry.simulated, stimuli, run.config, {entry.region: run.folder / file})
            jobs.append(
                Job(
                    f"simulated brains ({entry.region})",
                    f"simulated {entry.region}",
                    [stimuli.hash, repr((entry.simulated, run.config.seed, shown and shown.rate))],
                    [file],
                    _make_simulated,
                    arguments,
                )
            )
    return jobs


def n_jobs(run: CompareRun) -> int:
    """Return how many steps make regions."""
    simulated = [entry for entry in run.config.data if entry.simulated is not None]
    return sum(len(source.subjects) for source in run.sources) + len(simulated)


def _make_regions(source: Source, subject: str, paths: Mapping[str, Path]) -> list[str]:
    """Write the RDMs of a subject; return what was warned of. May run on another machine."""
    notes: list[str] = []
    for region, patterns, said in _patterns(source, subject):
        with about(_whose(source, region, subject), _KEYS):
            rdms = _rdms(source.regions[region], patterns)
        rdms.save(paths[region])
        notes += [f"region {region!r} of {subject}: {note}" for note in said]
    return notes


def _patterns(source: Source, subject: str) -> Iterator[tuple[str, Patterns, list[str]]]:
    """Yield a subject's patterns in each region, and what was warned of."""
    if source.bids is None:
        yield from _of_files(source, subject)
        return
    brain, told = _brain(source, subject)
    places, notes = {}, {}
    for region in source.regions:
        with heard() as said:
            places[region] = _place(source, region, subject, brain)
        notes[region] = [*told, *said]
    entries = source.regions.values()
    with about(_whose(source, source.name, subject), _KEYS):
        # One GLM for all regions: the images are read once.
        anywhere = np.any([place.positions(brain) for place in places.values()], axis=0)
        whole, said = estimated(
            source.bids,
            subject,
            mask=brain.keep(anywhere),
            noise=any(entry.noise is not None for entry in entries),
            unusable=next(iter(entries)).unusable,
        )
    for region, place in places.items():
        with about(_whose(source, region, subject), _KEYS):
            yield region, whole.select(place), [*notes[region], *said]


def _brain(source: Source, subject: str) -> tuple[Region, list[str]]:
    """Return the brain of a subject in BIDS, and what was warned of."""
    with about(_whose(source, source.name, subject), _KEYS), heard() as said:
        brain = bids_mask(source.bids.root, subject=subject, **source.bids.files())
    return brain, said


def _place(source: Source, region: str, subject: str, brain: Region) -> Region:
    """Return where a region is within the brain: outside of it there is no signal."""
    entry = source.regions[region]
    with about(_whose(source, region, subject), _KEYS):
        roi = _roi(entry, region, subject, brain).on_grid_of(brain, resample=entry.resample)
        inside = brain.keep(roi.positions(brain), name=region)
    if n_out := roi.n_places - inside.n_places:
        warn(
            f"{n_out} of {roi.n_places} voxels lie outside the brain mask of the runs and are left "
            "out."
        )
    return inside


def _rdms(entry: FmriConfig, patterns: Patterns) -> RDMs:
    """Return the RDM of a subject's patterns; repeats are averaged where folds do not matter."""
    of = patterns.mean() if MEASURES[entry.measure].plain else patterns
    return of.rdms(measure=entry.measure, noise=entry.noise, noise_from=entry.noise_from)


def _whose(source: Source, region: str, subject: str) -> str:
    """Name region, subject and files, as the configuration does."""
    where = f"region {region!r}, subject {subject!r}"
    if source.bids is not None:
        return f"{where}, {source.bids.root}"
    path = next(iter(source.regions.values())).image_of(subject).paths[0]
    return f"{where}, {named(path, subject=subject, region=region)}"


def _hash(source: Source, subject: str) -> str:
    """Return the hashes of all files that a subject's RDMs come from."""
    found = []
    if source.bids is not None:
        found.append(bids_hash(source.bids.root, subject=subject, **source.bids.files()))
    for region, entry in source.regions.items():
        names = {"subject": subject, "region": region}
        if source.bids is None:
            own = read_subject(entry, subject, region)
            found.append(hash_of(own.image, own.residuals, named(entry.conditions or "", **names)))
        localiser, atlas = entry.localiser, entry.atlas
        masks = [entry.roi, localiser and localiser.parcel, localiser and localiser.contrasts]
        for given in [*masks, atlas and atlas.image]:
            if given is not None:
                found.append(hash_of(of_subject(given, subject).files("masks", **names)))
        if atlas is not None and atlas.table is not None:
            found.append(sha256_file(named(atlas.table, **names)))
    return " ".join(found)


def _of_files(source: Source, subject: str) -> Iterator[tuple[str, Patterns, list[str]]]:
    """Yield a subject's maps in each region, and what was warned of; files are read once."""
    places, notes = {}, {}
    for region, entry in source.regions.items():
        with about(_whose(source, region, subject), _KEYS), heard() as notes[region]:
            own = read_subject(entry, subject, region)
            roi, like = _roi(entry, region, subject, own.image), open_image(own.image, "img")
            places[region] = mask_on(roi, like.space, entry.resample)
    with about(_whose(source, source.name, subject), _KEYS), heard():
        image, left = read_once(own.image, [*places.values()]), own.residuals
        if left is not None:
            left = read_once(left, [*places.values()], "residuals")
    for region, entry in source.regions.items():
        with about(_whose(source, region, subject), _KEYS), heard() as said:
            patterns = load_patterns(
                image,
                own.conditions,
                folds=own.folds,
                subject=subject,
                unusable=entry.unusable,
                mask_img=places[region],
                residuals=left,
                n_estimated=own.n_estimated,
            )
        yield region, patterns, list(dict.fromkeys([*notes[region], *said]))


def _roi(entry: FmriConfig, region: str, subject: str, like: Any) -> Region:
    """Return where a region is in a subject."""
    names = {"subject": subject, "region": region}
    if entry.sphere is not None:
        return roi_sphere(entry.sphere.center, entry.sphere.radius, like=like, name=region)
    if entry.atlas is not None:
        atlas = entry.atlas
        labels = [atlas.labels] if isinstance(atlas.labels, str) else atlas.labels
        joined = {region: [label.replace("{region}", region) for label in labels]}
        table = None if atlas.table is None else named(atlas.table, **names)
        return atlas_rois(atlas.image.image("the atlas", **names), joined, table=table)[region]
    if entry.localiser is not None:
        localiser = entry.localiser
        parcel = of_subject(localiser.parcel, subject).region("the parcel", region, **names)
        contrast = of_subject(localiser.contrasts, subject).image("contrasts", **names)
        return localiser_roi(
            contrast, parcel, localiser.n_voxels, name=region, resample=entry.resample
        )
    return of_subject(entry.roi, subject).region("roi", region, **names)


def _simulated(index: int) -> str:
    """Return the name of a simulated subject."""
    return f"simulated {index + 1:02d}"


def _make_simulated(
    entry: SimulatedRegionConfig,
    stimuli: StimulusSet | ClipSet,
    config: Config,
    paths: Mapping[str, Path],
) -> None:
    """Write crossnobis RDMs of simulated subjects in whose region a layer is planted."""
    network = load_network(entry.network, device="cpu", seed=config.seed)
    # What crossnobis distances estimate.
    options: dict[str, Any] = {"measure": "sqeuclidean", "budget": config.budget, "progress": False}
    if isinstance(stimuli, ClipSet):
        rate = None if config.stimuli is None else config.stimuli.rate
        planted = clip_rdms(network, stimuli, layers=[entry.layer], rate=rate, **options)
    else:
        planted = layer_rdms(network, stimuli, layers=[entry.layer], **options)
    name = f"simulated {entry.network} {entry.layer}"
    brain = datasets.simulated_brain(
        planted.with_labels(name=[name]),
        planted={name: (6, 6, 6)},
        n_subjects=entry.n_subjects,
        n_runs=entry.n_runs,
        signal=entry.signal,
        shape=(13, 13, 13),
        seed=config.seed,
    )
    parts = [
        load_patterns(
            image,
            brain.conditions,
            folds=brain.runs,
            subject=_simulated(i),
            mask_img=brain.truth_img,
        ).rdms(measure="crossnobis")
        for i, image in enumerate(brain.imgs)
    ]
    (path,) = paths.values()
    concat(parts).save(path)
