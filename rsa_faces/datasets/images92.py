"""The 92-image set: photographs, human and monkey IT, similarity judgements, model RDMs."""

from __future__ import annotations

import functools
from pathlib import Path

import h5py

from rsa_faces.datasets._dataset import Dataset, read_source, read_table
from rsa_faces.rdm._io import read_group
from rsa_faces.stimuli import StimulusSet

PATH = Path(__file__).with_name("images92.h5")


@functools.cache
def images92() -> Dataset:
    """Load the 92-image set of Kriegeskorte et al. (2008) and Mur et al. (2013).

    Returns
    -------
    Dataset
        ``.stimuli``: 92 colour photographs, 175 x 175, on grey (128, 128, 128), ids ``image_01``
        to ``image_92`` in the published order. Metadata: ``category`` (12 human body parts, 12
        human faces, 12 nonhuman bodies, 12 nonhuman faces, 23 natural and 21 artificial things)
        and the flags ``human``, ``face``, ``animal``, ``natural``, ``monkey_or_ape``. As in the
        source, ``animal`` means animate: it includes the human images.

        ``.rdms``: labels ``region``, ``subject``, ``session``, ``measure``. Region "human IT":
        4 subjects x 2 sessions (fMRI, 316 voxels, 1 - Pearson r). "monkey IT": one RDM of 674
        neurons of two monkeys, pooled (1 - Pearson r). "behaviour": 16 subjects who arranged the
        images by similarity.

        ``.models``: 8 RDMs, labels ``name`` and ``note``.

    See Also
    --------
    simulated_faces : Load 378 simulated faces: 18 identities x 7 expressions x 3 views.
    load_dataset : Load a data set by its name.

    Notes
    -----
    The model "monkeyIT" is the RDM of region "monkey IT", the same numbers: correlating the two
    gives 1. The model "EVA" is not described in the archive; it is in the format of the human
    fMRI RDMs and probably early visual areas of the same subjects and sessions, which it would
    then share noise with: do not read it as an independent model of human IT.

    The archive the data come from also holds two files ``rdm92_V1model.mat`` and
    ``rdm92_HMAXnatImPatch.mat`` of the same bytes. No model here is read from them; "V1" has the
    values of the variable ``rdm92_V1model`` in both, "HMAX" is not ``rdm92_HMAXnatImPatch``
    (Pearson 0.31).

    References
    ----------
    .. [1] Kriegeskorte, N., Mur, M., Ruff, D. A., Kiani, R., Bodurka, J., Esteky, H., Tanaka, K.
       and Bandettini, P. A. (2008). Matching categorical object representations in inferior
       temporal cortex of man and monkey. Neuron 60, 1126-1141. doi:10.1016/j.neuron.2008.10.043
    .. [2] Mur, M., Meys, M., Bodurka, J., Goebel, R., Bandettini, P. A. and Kriegeskorte, N.
       (2013). Human object-similarity judgments reflect and transcend the primate-IT object
       representation. Frontiers in Psychology 4:128. doi:10.3389/fpsyg.2013.00128

    Examples
    --------
    >>> from rsa_faces.datasets import images92
    >>> data = images92()
    >>> len(data.stimuli.query("face and human"))
    12
    >>> data.rdms.sel(region="human IT").mean(by="subject")
    RDMs(4 RDMs, 92 conditions, measure='mixed', labels: region, subject, measure, ...)
    """
    with h5py.File(PATH, "r") as file:
        ids = file["ids"].asstr()[()].tolist()
        return Dataset(
            name="images92",
            stimuli=StimulusSet.from_arrays(file["images"][()], ids, read_table(file["metadata"])),
            rdms=read_group(file["rdms"], name=f"{PATH.name}/rdms"),
            models=read_group(file["models"], name=f"{PATH.name}/models"),
            **read_source(file),
        )
