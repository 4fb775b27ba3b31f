"""What a data set is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces.rdm import RDMs
from rsa_faces.stimuli import StimulusSet


@dataclass(frozen=True)
class Dataset:
    """Stimuli, the RDMs measured with them, and where all of it comes from.

    Parameters
    ----------
    name : str
        The name :func:`rsa_faces.datasets.load_dataset` takes.
    stimuli : StimulusSet or None
        The images; their ids are the conditions of the RDMs. None where they may not be passed on.
    rdms : RDMs
        Brain and behaviour: labels ``region``, ``subject``, ``session``, ``measure``.
    models : RDMs
        Model RDMs that came with the data: label ``name``.
    origin, licence : str
        The published package, and under which terms it may be passed on.
    citations : tuple of str
        What to cite, with DOI.
    notes : tuple of str
        What a user should know before drawing conclusions.

    See Also
    --------
    rsa_faces.datasets.load_dataset : Load a data set by its name.
    rsa_faces.datasets.images92 : Load the 92-image set of Kriegeskorte et al.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> len(d92.stimuli), sorted(set(d92.rdms.labels["region"]))
    (92, ['behaviour', 'human IT', 'monkey IT'])
    """

    name: str
    stimuli: StimulusSet | None
    rdms: RDMs
    models: RDMs
    origin: str
    licence: str
    citations: tuple[str, ...]
    notes: tuple[str, ...]

    def images(self) -> StimulusSet:
        """Return the stimuli, or say that there are none.

        Raises
        ------
        InputError
            If the data set has no images.
        """
        if self.stimuli is None:
            raise InputError(
                f"the data set {self.name!r} has no images, which its licence does not let others "
                "pass on: give a `folder` with your copy of them (their names are the conditions "
                f"of its RDMs), for example {self.rdms.conditions[0]}.jpg."
            )
        return self.stimuli


def read_table(group: h5py.Group) -> pd.DataFrame:
    """Return a table stored column by column."""
    return pd.DataFrame(
        {
            name: column.asstr()[()] if h5py.check_string_dtype(column.dtype) else column[()]
            for name in group.attrs["columns"]
            for column in [group[name]]
        }
    )


def read_source(file: h5py.File) -> dict[str, Any]:
    """Return where the data of a file come from, and what a user should know."""
    of = file.attrs
    lists = {key: tuple(of[key]) for key in ("citations", "notes")}
    return {"origin": of["origin"], "licence": of["licence"], **lists}
