"""Stimuli: images with ids, metadata and hashes; faces found in them, cut out and aligned."""

from rsa_faces.stimuli._load import load_stimuli
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.alignment import align_faces
from rsa_faces.stimuli.clips import ClipSet, load_clips
from rsa_faces.stimuli.crops import crop_faces, crop_landmarks
from rsa_faces.stimuli.faces import FaceTable, detect_faces
from rsa_faces.stimuli.heads import HeadFit, fit_heads
from rsa_faces.stimuli.masking import mask_faces

__all__ = [
    "ClipSet",
    "FaceTable",
    "HeadFit",
    "StimulusSet",
    "align_faces",
    "crop_faces",
    "crop_landmarks",
    "detect_faces",
    "fit_heads",
    "load_clips",
    "load_stimuli",
    "mask_faces",
]
