"""Inference: noise ceilings, bootstrap, tests, many tests at once."""

from rsa_faces.inference._result import Result
from rsa_faces.inference.ceilings import NoiseCeiling, noise_ceiling, shared_structure
from rsa_faces.inference.evaluate import check_design, evaluate
from rsa_faces.inference.multiple import CORRECTIONS, adjust

__all__ = [
    "CORRECTIONS",
    "NoiseCeiling",
    "Result",
    "adjust",
    "check_design",
    "evaluate",
    "noise_ceiling",
    "shared_structure",
]
