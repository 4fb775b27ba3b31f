"""RDMs: the central type, its files, dissimilarity measures and model RDMs."""

from rsa_faces.rdm._io import load_rdms
from rsa_faces.rdm._rdms import RDMs, concat
from rsa_faces.rdm._table import read_names
from rsa_faces.rdm.clips import clip_rdms, frame_rdms
from rsa_faces.rdm.compute import compute_rdms
from rsa_faces.rdm.layers import layer_rdms
from rsa_faces.rdm.measures import MEASURES, Measure
from rsa_faces.rdm.models import model_rdm_from_labels
from rsa_faces.rdm.movie import rdm_movie
from rsa_faces.rdm.noise import NOISE_METHODS, NoiseCovariance, noise_covariance

__all__ = [
    "MEASURES",
    "Measure",
    "NOISE_METHODS",
    "NoiseCovariance",
    "RDMs",
    "clip_rdms",
    "compute_rdms",
    "concat",
    "frame_rdms",
    "layer_rdms",
    "load_rdms",
    "model_rdm_from_labels",
    "noise_covariance",
    "rdm_movie",
    "read_names",
]
