"""Training networks on faces of your own: people, pairs or expressions.

Faces (folder per person, FER2013, stimuli) and pairs (LFW protocol) say what is shown;
:func:`fit` trains; :func:`verification`, :func:`roc` and :func:`tar_at_far` judge. What is
minimised is in :mod:`rsa_faces.networks.training.objectives`. Importing this loads no torch.
"""

from rsa_faces.networks.training.accuracy import accuracy
from rsa_faces.networks.training.augmentation import Augmentation
from rsa_faces.networks.training.batches import by_person, pairwise, shuffled
from rsa_faces.networks.training.faces import (
    LabelledFaces,
    read_celeba,
    read_fer2013,
    read_people,
)
from rsa_faces.networks.training.fit import fit
from rsa_faces.networks.training.lights import Lights
from rsa_faces.networks.training.outputs import compute_outputs, pair_scores
from rsa_faces.networks.training.pairs import FacePairs, all_pairs, draw_pairs, read_pairs
from rsa_faces.networks.training.poses import Turns, estimate_yaw, find_landmarks
from rsa_faces.networks.training.recipe import Recipe
from rsa_faces.networks.training.templates import read_template_pairs, read_templates
from rsa_faces.networks.training.verification import (
    Verification,
    area_under_roc,
    roc,
    tar_at_far,
    verification,
)

__all__ = [
    "Augmentation",
    "FacePairs",
    "LabelledFaces",
    "Lights",
    "Recipe",
    "Turns",
    "Verification",
    "accuracy",
    "all_pairs",
    "area_under_roc",
    "by_person",
    "compute_outputs",
    "draw_pairs",
    "estimate_yaw",
    "find_landmarks",
    "fit",
    "pair_scores",
    "pairwise",
    "read_celeba",
    "read_fer2013",
    "read_pairs",
    "read_people",
    "read_template_pairs",
    "read_templates",
    "roc",
    "shuffled",
    "tar_at_far",
    "verification",
]
