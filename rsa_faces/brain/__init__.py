"""Brain: patterns from images and runs, regions, searchlights, electrodes and their signals."""

from rsa_faces.brain._region import Region
from rsa_faces.brain.alignment import Hyperalignment, hyperalign
from rsa_faces.brain.betas import load_patterns
from rsa_faces.brain.bids import read_bids_ieeg
from rsa_faces.brain.bids_fmri import bids_mask, bids_patterns
from rsa_faces.brain.clip_responses import clip_patterns
from rsa_faces.brain.electrode_rdms import ieeg_rdms
from rsa_faces.brain.electrodes import read_electrodes
from rsa_faces.brain.fmri import Patterns
from rsa_faces.brain.fsaverage import fsaverage, load_surface, sulcal_depth
from rsa_faces.brain.glm import glm_patterns
from rsa_faces.brain.ieeg import IeegPatterns, ieeg_patterns
from rsa_faces.brain.roi import atlas_rois, load_roi, localiser_roi, roi_sphere
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
    "Hyperalignment",
    "IeegPatterns",
    "Patterns",
    "Region",
    "Spheres",
    "Surface",
    "Volume",
    "atlas_rois",
    "bids_mask",
    "bids_patterns",
    "clip_patterns",
    "face_selective",
    "fsaverage",
    "glm_patterns",
    "hyperalign",
    "ieeg_patterns",
    "ieeg_rdms",
    "load_patterns",
    "load_roi",
    "load_surface",
    "localiser_roi",
    "read_bids_ieeg",
    "read_electrodes",
    "roi_sphere",
    "select_electrodes",
    "split_trials",
    "sulcal_depth",
]
