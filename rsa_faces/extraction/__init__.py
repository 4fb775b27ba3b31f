"""Extraction: what the layers of a network answer to each stimulus."""

from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._extract import extract, stream
from rsa_faces.extraction._layers import select_layers

__all__ = ["Activations", "extract", "select_layers", "stream"]
