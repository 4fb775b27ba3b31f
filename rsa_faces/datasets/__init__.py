"""Data sets that ship: real images with the brains, the behaviour and the models they met."""

from rsa_faces.datasets._dataset import Dataset
from rsa_faces.datasets.images92 import images92
from rsa_faces.datasets.simulated_brain import SimulatedBrain, simulated_brain, simulated_layers
from rsa_faces.datasets.simulated_clips import simulated_clips
from rsa_faces.datasets.simulated_cortex import SimulatedCortex, simulated_cortex
from rsa_faces.datasets.simulated_faces import SimulatedFaces, simulated_faces
from rsa_faces.datasets.simulated_recordings import SimulatedRecordings, simulated_recordings

#: Every data set by name. An entry here can be named in a configuration.
DATASETS = {"images92": images92, "simulated_faces": simulated_faces}


def load_dataset(name: str) -> Dataset:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        A key of ``DATASETS``.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If there is no such data set (the nearest is named).

    Examples
    --------
    >>> from rsa_faces.datasets import load_dataset
    >>> load_dataset("images92").stimuli
    StimulusSet(92 images, metadata: category, human, face, animal, natural, monkey_or_ape)
    """
    from rsa_faces._core.checks import check_choice

    return DATASETS[check_choice(name, DATASETS, what="data set")]()


__all__ = [
    "DATASETS",
    "Dataset",
    "SimulatedBrain",
    "SimulatedCortex",
    "SimulatedFaces",
    "SimulatedRecordings",
    "images92",
    "load_dataset",
    "simulated_brain",
    "simulated_clips",
    "simulated_cortex",
    "simulated_faces",
    "simulated_layers",
    "simulated_recordings",
]
