"""Representational similarity analysis of faces: which layer sees faces the way people do.

The public names below load on first use, so that ``import rsa_faces`` is quick and needs neither
torch, nilearn, mne nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

_FROM = {
    "rsa_faces._core.errors": ["ConditionMismatchError", "InputError", "MissingExtraError"],
    "rsa_faces._core.result": ["load_result"],
    "rsa_faces.comparison": ["compare"],
    "rsa_faces.extraction": ["Activations", "extract", "extract_clips", "load_activations"],
    "rsa_faces.mapping": ["searchlight"],
    "rsa_faces.inference": ["Result", "evaluate", "noise_ceiling", "variance_partition"],
    "rsa_faces.networks": ["list_networks", "load_network"],
    "rsa_faces.rdm": ["RDMs", "clip_rdms", "compute_rdms", "concat", "layer_rdms", "load_rdms"],
    "rsa_faces.stimuli": [
        "ClipSet",
        "StimulusSet",
        "align_faces",
        "crop_faces",
        "detect_faces",
        "load_clips",
        "load_stimuli",
    ],
}
_SUBPACKAGES = [
    "analyses",
    "behaviour",
    "brain",
    "comparison",
    "datasets",
    "extraction",
    "figures",
    "inference",
    "io",
    "mapping",
    "networks",
    "rdm",
    "report",
    "stimuli",
]
_HOME = {name: module for module, names in _FROM.items() for name in names}

__all__ = ["__version__", *_SUBPACKAGES, *_HOME]

if TYPE_CHECKING:
    from rsa_faces import (
        analyses,
        behaviour,
        brain,
        comparison,
        datasets,
        extraction,
        figures,
        inference,
        io,
        mapping,
        networks,
        rdm,
        report,
        stimuli,
    )
    from rsa_faces._core.errors import ConditionMismatchError, InputError, MissingExtraError
    from rsa_faces._core.result import load_result
    from rsa_faces.comparison import compare
    from rsa_faces.extraction import Activations, extract, extract_clips, load_activations
    from rsa_faces.inference import Result, evaluate, noise_ceiling, variance_partition
    from rsa_faces.mapping import searchlight
    from rsa_faces.networks import list_networks, load_network
    from rsa_faces.rdm import RDMs, clip_rdms, compute_rdms, concat, layer_rdms, load_rdms
    from rsa_faces.stimuli import (
        ClipSet,
        StimulusSet,
        align_faces,
        crop_faces,
        detect_faces,
        load_clips,
        load_stimuli,
    )


def __getattr__(name: str):
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _SUBPACKAGES:
        value = importlib.import_module(f"rsa_faces.{name}")
    else:
        raise AttributeError(f"module 'rsa_faces' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
