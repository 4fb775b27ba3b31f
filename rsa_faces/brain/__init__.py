"""Brain: places in volumes and on surfaces, searchlights around them, electrodes and signals."""

from rsa_faces.brain.bids import read_bids_ieeg
from rsa_faces.brain.electrode_rdms import ieeg_rdms
from rsa_faces.brain.electrodes import read_electrodes
from rsa_faces.brain.fsaverage import fsaverage
from rsa_faces.brain.ieeg import IeegPatterns, ieeg_patterns
from rsa_faces.brain.selection import (
    FaceSelection,
    face_selective,
    select_electrodes,
    split_trials,
)
from rsa_faces.brain.spheres import Discs, Spheres, Surface, Volume

__all__ = [
    "Discs",
    "FaceSelection",
    "IeegPatterns",
    "Spheres",
    "Surface",
    "Volume",
    "face_selective",
    "fsaverage",
    "ieeg_patterns",
    "ieeg_rdms",
    "read_bids_ieeg",
    "read_electrodes",
    "select_electrodes",
    "split_trials",
]
