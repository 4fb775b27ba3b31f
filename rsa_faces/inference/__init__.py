"""Inference: noise ceilings, reliability, bootstrap, permutation, many tests at once."""

from rsa_faces.inference._result import Result
from rsa_faces.inference.ceilings import NoiseCeiling, noise_ceiling, shared_structure
from rsa_faces.inference.evaluate import check_design, evaluate
from rsa_faces.inference.multiple import CORRECTIONS, adjust
from rsa_faces.inference.permutation import PermutationTest, permutation_test
from rsa_faces.inference.reliability import Alpha, cronbach_alpha, split_half

__all__ = [
    "CORRECTIONS",
    "Alpha",
    "NoiseCeiling",
    "PermutationTest",
    "Result",
    "adjust",
    "check_design",
    "cronbach_alpha",
    "evaluate",
    "noise_ceiling",
    "permutation_test",
    "shared_structure",
    "split_half",
]
