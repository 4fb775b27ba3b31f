"""RDMs: the central type, its files, dissimilarity measures and model RDMs."""

from rsa_faces.rdm._io import load_rdms
from rsa_faces.rdm._rdms import RDMs, concat

__all__ = ["RDMs", "concat", "load_rdms"]
