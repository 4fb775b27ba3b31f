"""Data sets that ship, with the brains and the behaviour they met; and two that are fetched."""

from rsa_faces.datasets._dataset import Dataset
from rsa_faces.datasets.facesim3d import facesim3d
from rsa_faces.datasets.images92 import images92
from rsa_faces.datasets.london import LondonFaces, london
from rsa_faces.datasets.simulated_brain import SimulatedBrain, simulated_brain, simulated_layers
from rsa_faces.datasets.simulated_clips import simulated_clips
from rsa_faces.datasets.simulated_cortex import SimulatedCortex, simulated_cortex
from rsa_faces.datasets.simulated_faces import SimulatedFaces, simulated_faces
from rsa_faces.datasets.simulated_recordings import SimulatedRecordings, simulated_recordings

#: Every data set by name. An entry here can be named in a configuration.
DATASETS = {
    "images92": images92,
    "simulated_faces": simulated_faces,
    "london": london,
    "facesim3d": facesim3d,
}


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
        If there is no such data set (the nearest is named), or it is one that is fetched and cannot
        be.

    See Also
    --------
    images92 : Load the 92-image set of Kriegeskorte et al. (2008) and Mur et al. (2013).
    simulated_faces : Load 378 simulated faces: 18 identities x 7 expressions x 3 views.
    london : Load the Face Research Lab London Set: 102 real people, neutral and smiling.
    facesim3d : Load FaceSim3D: similarity of all pairs of 100 faces, from odd-one-out triplets.

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
    "LondonFaces",
    "SimulatedBrain",
    "SimulatedCortex",
    "SimulatedFaces",
    "SimulatedRecordings",
    "facesim3d",
    "images92",
    "load_dataset",
    "london",
    "simulated_brain",
    "simulated_clips",
    "simulated_cortex",
    "simulated_faces",
    "simulated_layers",
    "simulated_recordings",
]
