"""Where data and networks come from, and what networks were shown: sentences for the methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsa_faces import datasets
from rsa_faces._core.words import counted
from rsa_faces.networks import get_spec
from rsa_faces.runs._networks import Crop, Networks
from rsa_faces.stimuli.clips import ClipSet

_CUT = {
    "arcface": "eyes, nose and mouth brought to the template of ArcFace",
    "dlib": "eyes, nose and mouth brought to dlib's face chip",
    "box": "the square about the face's box",
}


def sources(names: Sequence[str | None], networks: Sequence[str]) -> list[str]:
    """Return where data sets and networks come from, with licence and citation."""
    listed = []
    for name in dict.fromkeys(n for n in names if n is not None):
        data = datasets.load_dataset(name)
        listed += [f"{name}: {data.origin}; {data.licence}"]
        listed += [f"{name}: {citation}" for citation in data.citations]
        listed += [f"{name}: {note}" for note in data.notes]
    origins: dict[str, list[str]] = {}
    for network in networks:
        spec = get_spec(network)
        if spec.citation:
            origin = f"{spec.origin}; {spec.licence}; {spec.citation}"
            origins.setdefault(origin, []).append(network)
    return listed + [f"{', '.join(names)}: {origin}" for origin, names in origins.items()]


def layers_of(networks: Networks) -> str:
    """Return networks and how many layers of each are read."""
    found = networks.layers.items()
    return ", ".join(f"{name} ({counted(len(some), 'layer')})" for name, some in found)


def whitening(config: Any) -> str:
    """Say how patterns were whitened: `noise` and `noise_from` of a configuration."""
    if config.noise is None:
        return "not whitened"
    runs = "all runs" if config.noise_from == "all" else "the runs of each fold"
    return f"whitened by the noise covariance of {runs}, shrunk ({config.noise})"


def sign_flips(asked: int, n_subjects: int) -> str:
    """Say how many sign flips a test used: all, where there are no more than were asked for."""
    every = 2**n_subjects
    return f"all {every:,} sign flips" if every <= asked else f"{asked:,} sign flips"


def crops(networks: Networks) -> str:
    """Return what each network was shown, and whether those of the user's files see it."""
    return _shown(networks) + "".join(f" {verdict}" for verdict in networks.verdicts.values())


def _shown(networks: Networks) -> str:
    """Return a sentence on what each network was shown."""
    shown: dict[Crop | None, list[str]] = {}
    for name, crop in networks.crops.items():
        shown.setdefault(crop, []).append(name)
    whole = shown.pop(None, [])
    things = "frames" if isinstance(networks.stimuli, ClipSet) else "images"
    if not shown:
        return f" All networks were shown whole {things}." if whole else ""
    parts = [
        f"{_CUT[crop.template]}, margin {crop.margin:g} "
        f"({'; '.join(_with_source(name, crop.margin) for name in names)})"
        for crop, names in shown.items()
        if crop is not None
    ]
    text = f" Faces were found by YuNet and cut out of the {things}: {'; '.join(parts)}."
    were = "was" if len(whole) == 1 else "were"
    return text + (f" {', '.join(whole)} {were} shown whole {things}." if whole else "")


def _with_source(name: str, margin: float) -> str:
    """Return a network's name with where its crop is from."""
    spec = get_spec(name)
    source = spec.crop_source if margin == spec.crop_margin else "margin chosen for this run"
    return f"{name}: {source}" if source else name
