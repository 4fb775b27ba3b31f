"""One RDM per subject: what inference treats as a unit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_is
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import check_kinds
from rsa_faces.rdm import RDMs


def subject_means(data: RDMs, by: str = "subject") -> RDMs:
    """Return one RDM per subject, the mean of its sessions.

    Without a label `by`, a single RDM is a subject of its own; several are an error.
    """
    check_is(by, str, what="by", hint="the name of a label")
    if by not in data.labels:
        if len(data) == 1:
            return data.with_labels(**{by: "1"})
        check_choice(by, data.labels.columns, what="label that tells subjects apart")
    check_known(by, data.labels[by].isna())
    check_kinds(data.labels[by].tolist(), by)
    return data.mean(by=by)


def check_known(label: str, absent: np.ndarray | pd.Series, of: str = "RDM") -> None:
    """Check that every RDM has a value of a label."""
    if absent.any():
        raise InputError(
            f"expected a value of {label!r} for every {of}, but {int(absent.sum())} of "
            f"{len(absent)} have none."
        )
