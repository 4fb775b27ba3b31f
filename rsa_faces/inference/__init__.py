"""Inference: noise ceilings, reliability, bootstrap, permutation, many tests at once."""

from rsa_faces.inference._course import TimeCourse
from rsa_faces.inference._design import Design, check_design
from rsa_faces.inference._result import Result
from rsa_faces.inference.calibration import calibrate
from rsa_faces.inference.ceilings import NoiseCeiling, noise_ceiling, shared_structure
from rsa_faces.inference.courses import time_course
from rsa_faces.inference.evaluate import evaluate
from rsa_faces.inference.flexible import (
    BestLayer,
    best_layer,
    evaluate_flexible,
    fit_layers,
)
from rsa_faces.inference.generalization import TimeGeneralization, time_generalization
from rsa_faces.inference.latencies import latency, latency_difference
from rsa_faces.inference.maps import SignFlipTest, sign_flip_test
from rsa_faces.inference.movies import MovieSimilarity, compare_movies
from rsa_faces.inference.multiple import CORRECTIONS, adjust
from rsa_faces.inference.neighbours import (
    combine_neighbours,
    grid_neighbours,
    surface_neighbours,
    time_neighbours,
)
from rsa_faces.inference.partition import Partition, variance_partition
from rsa_faces.inference.permutation import PermutationTest, permutation_test
from rsa_faces.inference.reliability import Alpha, cronbach_alpha, split_half
from rsa_faces.inference.reweighting import Reweighting, reweighted_similarity
from rsa_faces.inference.subjects import SubjectTests, group_tests, subject_tests

__all__ = [
    "CORRECTIONS",
    "Alpha",
    "BestLayer",
    "Design",
    "MovieSimilarity",
    "NoiseCeiling",
    "Partition",
    "PermutationTest",
    "Result",
    "Reweighting",
    "SignFlipTest",
    "SubjectTests",
    "TimeCourse",
    "TimeGeneralization",
    "adjust",
    "best_layer",
    "calibrate",
    "check_design",
    "combine_neighbours",
    "compare_movies",
    "cronbach_alpha",
    "evaluate",
    "evaluate_flexible",
    "fit_layers",
    "grid_neighbours",
    "group_tests",
    "latency",
    "latency_difference",
    "noise_ceiling",
    "permutation_test",
    "reweighted_similarity",
    "shared_structure",
    "sign_flip_test",
    "split_half",
    "subject_tests",
    "surface_neighbours",
    "time_course",
    "time_generalization",
    "time_neighbours",
    "variance_partition",
]
