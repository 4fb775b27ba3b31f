"""RDMs of a brain region, from images of betas or from brains that are simulated."""

from __future__ import annotations

import warnings
from typing import Any

from rsa_faces import datasets
from rsa_faces.brain import (
    Patterns,
    Region,
    atlas_rois,
    bids_mask,
    bids_patterns,
    load_patterns,
    localiser_roi,
    roi_sphere,
)
from rsa_faces.networks import load_network
from rsa_faces.rdm import MEASURES, RDMs, clip_rdms, concat, layer_rdms
from rsa_faces.runs._brains import read_subject
from rsa_faces.runs._images import BidsConfig, named, of_subject
from rsa_faces.runs._sentences import about
from rsa_faces.runs.compare.config import Config, FmriConfig, SimulatedRegionConfig
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.clips import ClipSet

_KEYS = {"img": "images", "mask_img": "roi", "contrast": "contrasts"}


def region_rdms(entry: FmriConfig, region: str) -> RDMs:
    """Return one RDM for each subject, label subject."""
    with about(f"region {region!r}"):
        subjects = entry.bids.subjects if entry.bids is not None else entry.names(region)
    parts = []
    for subject in subjects:
        where = f"region {region!r}, subject {subject!r}{_where(entry, subject, region)}"
        with about(where, _KEYS):
            patterns = (
                _of_files(entry, region, subject)
                if entry.bids is None
                else _of_bids(entry.bids, entry, region, subject)
            )
            # Repeats are averaged where folds do not matter.
            of = patterns.mean() if MEASURES[entry.measure].plain else patterns
            parts.append(
                of.rdms(measure=entry.measure, noise=entry.noise, noise_from=entry.noise_from)
            )
    return concat(parts)


def _where(entry: FmriConfig, subject: str, region: str) -> str:
    """Name the files of a subject, as the configuration does."""
    if entry.bids is not None:
        return f", {entry.bids.root}"
    path = named(entry.image_of(subject).paths[0], subject=subject, region=region)
    return f", {path}"


def _of_files(entry: FmriConfig, region: str, subject: str) -> Patterns:
    """Read a subject's maps in the region."""
    own = read_subject(entry, subject, region)
    return load_patterns(
        own.image,
        own.conditions,
        folds=own.folds,
        subject=subject,
        unusable=entry.unusable,
        mask_img=_roi(entry, region, subject, own.image),
        resample=entry.resample,
        residuals=own.residuals,
        n_estimated=own.n_estimated,
    )


def _of_bids(bids: BidsConfig, entry: FmriConfig, region: str, subject: str) -> Patterns:
    """Estimate a subject's patterns in the region from preprocessed BOLD."""
    brain = bids_mask(bids.root, subject=subject, **bids.files())
    roi = _roi(entry, region, subject, brain).on_grid_of(brain, resample=entry.resample)
    # Within the brain: outside of it there is no signal.
    inside = brain.keep(roi.positions(brain), name=region)
    if n_out := roi.n_places - inside.n_places:
        warnings.warn(
            f"region {region!r} of {subject}: {n_out} of {roi.n_places} voxels lie outside the "
            "brain mask of the runs and are left out.",
            stacklevel=2,
        )
    return bids_patterns(
        bids.root,
        subject=subject,
        **bids.files(),
        **bids.options(),
        mask_img=inside,
        keep_residuals=entry.noise is not None,
        unusable=entry.unusable,
        progress=False,
    )


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


def simulated_rdms(
    entry: SimulatedRegionConfig, stimuli: StimulusSet | ClipSet, config: Config
) -> RDMs:
    """Return crossnobis RDMs of simulated subjects in whose region a layer is planted."""
    network = load_network(entry.network, device="cpu", seed=config.seed)
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
            subject=f"simulated {i + 1:02d}",
            mask_img=brain.truth_img,
        ).rdms(measure="crossnobis")
        for i, image in enumerate(brain.imgs)
    ]
    return concat(parts)
