"""Files of other tools: RDMs and features, by one function each."""

from rsa_faces.io.features import (
    read_net2brain_features,
    read_npy_features,
    read_rsatoolbox_features,
    read_thingsvision,
)
from rsa_faces.io.rdms import read_mne_rsa, read_net2brain, read_npy, read_rsatoolbox

__all__ = [
    "read_mne_rsa",
    "read_net2brain",
    "read_net2brain_features",
    "read_npy",
    "read_npy_features",
    "read_rsatoolbox",
    "read_rsatoolbox_features",
    "read_thingsvision",
]
