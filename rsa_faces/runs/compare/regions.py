"""RDMs of a brain region, from images of betas or from brains that are simulated."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from rsa_faces import datasets
from rsa_faces._core.errors import InputError
from rsa_faces.brain import (
    Patterns,
    Region,
    atlas_rois,
    bids_mask,
    bids_patterns,
    load_patterns,
    load_roi,
    localiser_roi,
    roi_sphere,
)
from rsa_faces.networks import load_network
from rsa_faces.rdm import RDMs, concat, layer_rdms
from rsa_faces.runs._brains import read_volumes
from rsa_faces.runs.compare.config import Config, FmriConfig, SimulatedRegionConfig
from rsa_faces.stimuli import StimulusSet


def region_rdms(entry: FmriConfig, region: str) -> RDMs:
    """Return one RDM for each subject, label subject."""
    for path in _files(entry):
        if not path.is_file():
            raise InputError(f"expected the file {path} for region {region!r}; it does not exist.")
    if entry.bids is not None:
        return concat([_of_bids(entry, region, subject) for subject in entry.bids.subjects])
    volumes = read_volumes(entry.conditions)
    parts = []
    for subject, image in entry.subjects.items():
        left = entry.residuals.get(subject)
        patterns = load_patterns(
            image.image(), volumes, subject=subject, unusable=entry.unusable,
            mask_img=_roi(entry, region, subject, image.image()), resample=entry.resample,
            residuals=None if left is None else left.image(), n_estimated=entry.n_estimated,
        )  # fmt: skip
        parts.append(_rdms(patterns, entry))
    return concat(parts)


def _of_bids(entry: FmriConfig, region: str, subject: str) -> RDMs:
    """Estimate a subject's patterns in the region from preprocessed BOLD."""
    bids = entry.bids
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
    patterns = bids_patterns(
        bids.root, subject=subject, **bids.files(), **bids.options(), mask_img=inside,
        keep_residuals=entry.noise is not None, unusable=entry.unusable, progress=False,
    )  # fmt: skip
    return _rdms(patterns, entry)


def _files(entry: FmriConfig) -> list[Path]:
    """Return all files of an entry but those in BIDS."""
    images = [*(entry.subjects or {}).values(), *entry.residuals.values()]
    paths = [path for image in images for path in image.paths]
    if entry.conditions is not None:
        paths.append(entry.conditions)
    if entry.roi is not None:
        paths += entry.roi.values() if isinstance(entry.roi, dict) else [entry.roi]
    if entry.atlas is not None:
        paths += [*entry.atlas.image.paths, *([entry.atlas.table] if entry.atlas.table else [])]
    if entry.localiser is not None:
        paths += [*entry.localiser.contrasts.values(), entry.localiser.parcel]
    return paths


def _roi(entry: FmriConfig, region: str, subject: str, like: Any) -> Region:
    """Return where a region is in a subject."""
    if entry.sphere is not None:
        return roi_sphere(entry.sphere.center, entry.sphere.radius, like=like, name=region)
    if entry.atlas is not None:
        labels = entry.atlas.labels
        joined = {region: [labels] if isinstance(labels, str) else labels}
        return atlas_rois(entry.atlas.image.image(), joined, table=entry.atlas.table)[region]
    if entry.localiser is not None:
        localiser = entry.localiser
        return localiser_roi(
            localiser.contrasts[subject], localiser.parcel, localiser.n_voxels, name=region,
            resample=entry.resample,
        )  # fmt: skip
    return load_roi(entry.roi[subject] if isinstance(entry.roi, dict) else entry.roi, name=region)


def simulated_rdms(entry: SimulatedRegionConfig, stimuli: StimulusSet, config: Config) -> RDMs:
    """Return crossnobis RDMs of simulated subjects in whose region a layer is planted."""
    network = load_network(entry.network, device="cpu", seed=config.seed)
    planted = layer_rdms(network, stimuli, layers=[entry.layer], measure="sqeuclidean",
                         budget=config.budget, progress=False)  # fmt: skip
    name = f"simulated {entry.network} {entry.layer}"
    brain = datasets.simulated_brain(
        planted.with_labels(name=[name]), planted={name: (6, 6, 6)}, n_subjects=entry.n_subjects,
        n_runs=entry.n_runs, signal=entry.signal, shape=(13, 13, 13), seed=config.seed,
    )  # fmt: skip
    parts = [
        load_patterns(
            image, brain.conditions, folds=brain.runs, subject=f"simulated {i + 1:02d}",
            mask_img=brain.truth_img,
        ).rdms(measure="crossnobis")
        for i, image in enumerate(brain.imgs)
    ]  # fmt: skip
    return concat(parts)


def _rdms(patterns: Patterns, entry: FmriConfig) -> RDMs:
    """Return the RDM of all channels; repeats are averaged where folds do not matter."""
    of = patterns if entry.measure in {"crossnobis", "mahalanobis"} else patterns.mean()
    return of.rdms(measure=entry.measure, noise=entry.noise, noise_from=entry.noise_from)
