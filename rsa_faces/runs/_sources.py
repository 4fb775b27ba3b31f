"""Where data and networks come from, and what networks were shown: sentences for the methods."""

from __future__ import annotations

from collections.abc import Sequence

from rsa_faces import datasets
from rsa_faces.networks import get_spec
from rsa_faces.runs._networks import Networks
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


def crops(networks: Networks) -> str:
    """Return a sentence on what each network was shown."""
    shown: dict[str, list[str]] = {}
    for name, template in networks.templates.items():
        shown.setdefault(template, []).append(name)
    whole = shown.pop("", [])
    things = "frames" if isinstance(networks.stimuli, ClipSet) else "images"
    if not shown:
        return f" All networks were shown whole {things}." if whole else ""
    parts = [f"{_CUT[template]} ({', '.join(names)})" for template, names in shown.items()]
    text = f" Faces were found by YuNet and cut out of the {things}: {'; '.join(parts)}."
    were = "was" if len(whole) == 1 else "were"
    return text + (f" {', '.join(whole)} {were} shown whole {things}." if whole else "")
