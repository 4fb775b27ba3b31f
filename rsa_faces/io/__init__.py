"""Files of other tools and of this one: RDMs and features, by one function each."""

from rsa_faces.io._formats import FEATURE_FORMATS, RDM_FORMATS
from rsa_faces.io.features import read_features
from rsa_faces.io.rdms import read_rdms

__all__ = ["FEATURE_FORMATS", "RDM_FORMATS", "read_features", "read_rdms"]
