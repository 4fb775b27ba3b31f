"""Stimuli: images with ids, metadata and hashes; alignment of faces."""

from rsa_faces.stimuli._load import load_stimuli
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.alignment import align_faces

__all__ = ["StimulusSet", "align_faces", "load_stimuli"]
