"""Extraction: what the layers of a network answer to each stimulus."""

from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._checks import check_finite
from rsa_faces.extraction._extract import extract, stream
from rsa_faces.extraction._inventory import list_store, prune_store
from rsa_faces.extraction._layers import select_layers
from rsa_faces.extraction._store import load_activations
from rsa_faces.extraction.clips import FramePatterns, extract_clips, extract_frames

__all__ = [
    "Activations",
    "FramePatterns",
    "check_finite",
    "extract",
    "extract_clips",
    "extract_frames",
    "list_store",
    "load_activations",
    "prune_store",
    "select_layers",
    "stream",
]
