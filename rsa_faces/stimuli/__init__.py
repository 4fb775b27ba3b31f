"""Stimuli: images with ids, metadata and hashes."""

from rsa_faces.stimuli._load import load_stimuli
from rsa_faces.stimuli._stimulus_set import StimulusSet

__all__ = ["StimulusSet", "load_stimuli"]
