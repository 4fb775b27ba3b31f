"""Pictures that ship: JPEG files one after the other in an HDF5 file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from rsa_faces.stimuli.images import decode


def packed_pictures(
    path: Path, names: Sequence[str] | None = None
) -> tuple[list[str], list[np.ndarray]]:
    """Return names and pictures (height, width, 3), of all or of some by name."""
    with h5py.File(path, "r") as file:
        ids = file["ids"].asstr()[()].tolist()
        ends = np.r_[0, file["jpeg_ends"][()]]
        packed = file["jpeg"][()] if names is None else file["jpeg"]
        chosen = ids if names is None else list(names)
        places = map(ids.index, chosen)
        return chosen, [decode(packed[ends[k] : ends[k + 1]].tobytes(), path) for k in places]
