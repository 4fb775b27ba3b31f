"""The bridge to rsatoolbox, which is imported nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.rdm._rdms import RDMs


def to_rsatoolbox(rdms: RDMs):
    """Return an rsatoolbox object of copies, because rsatoolbox keeps and edits its parts."""
    from rsatoolbox.rdm import RDMs as ToolboxRDMs

    return ToolboxRDMs(
        dissimilarities=rdms.vectors.copy(),
        dissimilarity_measure=rdms.measure,
        descriptors={},
        rdm_descriptors={name: list(column) for name, column in rdms.labels.items()},
        pattern_descriptors={"condition": list(rdms.conditions)},
    )


def from_rsatoolbox(rdms, *, conditions: str = "condition") -> RDMs:
    """Return RDMs; rsatoolbox's own ``index`` columns are dropped, its object is not changed."""
    if conditions not in rdms.pattern_descriptors:
        options = [name for name in rdms.pattern_descriptors if name != "index"]
        if not options:
            raise InputError(
                "expected pattern descriptors that name the conditions, but the rsatoolbox RDMs "
                "have none. Add them: rdms.pattern_descriptors['condition'] = [...]."
            )
        check_choice(conditions, options, what="pattern descriptor")
    columns = {
        str(name): _plain(values)
        for name, values in rdms.rdm_descriptors.items()
        if name != "index"
    }
    labels = pd.DataFrame(columns, index=pd.RangeIndex(rdms.n_rdm))
    return RDMs(
        np.array(rdms.dissimilarities),
        [str(name) for name in rdms.pattern_descriptors[conditions]],
        str(rdms.dissimilarity_measure or "unknown"),
        labels,
    )


def _plain(values) -> list:
    """Return Python values: rsatoolbox gives NumPy scalars back."""
    return [v.item() if isinstance(v, np.generic) else v for v in values]
