"""FaceSim3D: how similar 100 faces look, in the judgement of 2,605 people."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from rsa_faces._core.tables import read_names, read_rows
from rsa_faces.datasets._dataset import Dataset
from rsa_faces.datasets._fetched import Archive
from rsa_faces.rdm import RDMs

N_FACES = 100
_VIEWS = {"2-D": "2D_similarity-rt.csv", "3-D": "3D_similarity-rt.csv"}
ARCHIVE = Archive(
    name="facesim3d",
    title="FaceSim3D, Hofmann et al., 0.5 MB",
    licence="MIT",
    source="https://raw.githubusercontent.com/SHEscher/FaceSim3D/"
    "31df20da8b4b057a347aa3fe24ef02d054a4b730/",
    files={
        "results/main/rt/2D_similarity-rt.csv": "sha256:"
        "9e74d878b35d789ea3958e6a55daac36a4e5823bf13a37553323551e2f642c5e",
        "results/main/rt/3D_similarity-rt.csv": "sha256:"
        "a047bc7fac4395410f5e240ab70961fbb2ee2711f2f8bd4baabec3c2a2bbf135",
        "experiment/FaceSimExp/Assets/Faces/CFD/headnmap.csv": "sha256:"
        "331acb10778cbee1a1dc627e5012fe798948874890ccf174b296209caf776043",
    },
    page="https://github.com/SHEscher/FaceSim3D",
)


@functools.cache
def facesim3d() -> Dataset:
    """Load FaceSim3D: similarity of all pairs of 100 faces, from odd-one-out triplets.

    The tables are fetched once (0.5 MB, of a fixed commit, checked against their hashes) into the
    user's cache; without a network, an error says which file to put where.

    Returns
    -------
    Dataset
        ``.rdms``: two RDMs of 100 faces, labels ``region`` ("behaviour"), ``view`` ("2-D", "3-D")
        and ``subject`` ("2-D raters", "3-D raters"); dissimilarity is 1 − similarity, similarity
        the share of the 98 triplets with both faces in which the third was the odd one. Different
        people judged the two views; each RDM pools all of its raters.

        ``.models``: the RDM "gender" (0 same, 1 different: the first 50 faces are of women).

        ``.stimuli``: None. The conditions are named after the files of the Chicago Face Database
        ("CFD-WF-001-003-N"), which its makers hand out; a folder of them fits without renaming.

    Raises
    ------
    InputError
        If the files are not there and cannot be fetched, or hold something else.

    Notes
    -----
    Spearman's correlation of the two views is .9325, within the women's faces .9233, within the
    men's .9392. The mean similarity is 1/3 exactly, since each triplet has one odd face.

    References
    ----------
    .. [1] Hofmann S. M. et al. (2026). Dynamic presentation in 3D modulates face similarity
       judgements: a human-aligned encoding model approach. Royal Society Open Science.
       doi:10.1098/rsos.251515

    See Also
    --------
    london : photographs of real people that may be shown.
    rsa_faces.behaviour.triplet_rdms : RDMs from triplets of your own.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> similar = rf.datasets.facesim3d()  # doctest: +SKIP
    >>> similar.rdms.sel(view="3-D")  # doctest: +SKIP
    RDMs(1 RDM, 100 conditions, measure='odd one out', labels: region, view, subject)
    """
    files = ARCHIVE.fetch()
    heads = _heads(files["headnmap.csv"])
    similarity = np.stack([_similarity(files[name]) for name in _VIEWS.values()])
    women = np.arange(N_FACES) < N_FACES // 2
    return Dataset(
        name="facesim3d",
        stimuli=None,
        rdms=RDMs(
            1 - similarity,
            heads,
            "odd one out",
            {
                "region": "behaviour",
                "view": list(_VIEWS),
                "subject": [f"{view} raters" for view in _VIEWS],
            },
        ),
        models=RDMs.from_matrices(
            (women[:, None] != women).astype(float)[None], heads, "model", {"name": ["gender"]}
        ),
        origin=f"{ARCHIVE.title}, {ARCHIVE.page}",
        licence=ARCHIVE.licence,
        citations=(
            "Hofmann S. M. et al. (2026). Dynamic presentation in 3D modulates face similarity "
            "judgements. Royal Society Open Science. doi:10.1098/rsos.251515",
        ),
        notes=("each RDM pools all raters of its view: there is no noise ceiling",),
    )


def _heads(path: Path) -> list[str]:
    """Return the photograph behind each head: the k-th row of the tables is "Head<k + 1>"."""
    rows = [line.split(",") for line in read_names(path, what="the list of heads")]
    named = {head: photograph for photograph, *_, head in rows if head.startswith("Head")}
    return [Path(named[f"Head{k + 1}"]).stem for k in range(N_FACES)]


def _similarity(path: Path) -> np.ndarray:
    """Return the similarity of all pairs, in the order of the upper triangle."""
    rows = [row for _, row in read_rows(path, required=["similarity"])]
    return np.array([row["similarity"] for row in rows], dtype=float)
