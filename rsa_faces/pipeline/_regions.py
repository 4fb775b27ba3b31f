"""RDMs of a brain region, from images of betas or from brains that are simulated."""

from __future__ import annotations

from rsa_faces import datasets
from rsa_faces._errors import InputError
from rsa_faces.brain import Patterns, load_patterns, load_roi
from rsa_faces.config import Config, FmriConfig, SimulatedRegionConfig
from rsa_faces.networks import load_network
from rsa_faces.pipeline._tables import read_volumes
from rsa_faces.rdm import RDMs, concat, layer_rdms
from rsa_faces.stimuli import StimulusSet


def region_rdms(entry: FmriConfig, region: str) -> RDMs:
    """Return one RDM for each subject, label subject."""
    for path in [*entry.subjects.values(), entry.conditions, *entry.residuals.values()]:
        if not path.is_file():
            raise InputError(f"expected the file {path} for region {region!r}; it does not exist.")
    volumes = read_volumes(entry.conditions)
    parts = []
    for subject, path in entry.subjects.items():
        roi = entry.roi[subject] if isinstance(entry.roi, dict) else entry.roi
        mask = load_roi(roi, name=region)
        patterns = load_patterns(
            path, volumes, subject=subject, mask_img=mask, unusable=entry.unusable,
            residuals=entry.residuals.get(subject),
        )  # fmt: skip
        parts.append(_rdms(patterns, entry.measure, entry.noise))
    return concat(parts)


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


def _rdms(patterns: Patterns, measure: str, noise: str | None) -> RDMs:
    """Return the RDM of all channels; repeats are averaged where folds do not matter."""
    of = patterns if measure in {"crossnobis", "mahalanobis"} else patterns.mean()
    return of.rdms(measure=measure, noise=noise)
