"""Places that cannot be used: counted, and refused or left out, never silently."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn
from rsa_faces.brain._region import Region

UNUSABLE = ("raise", "drop")


def usable_places(
    reasons: Mapping[str, np.ndarray], space: Region, unusable: str, what: str
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which places can be used and how many cannot for each reason; see `unusable`."""
    check_choice(unusable, UNUSABLE, what="way with unusable places")
    bad = np.zeros(space.n_places, dtype=bool)
    counts = {}
    for reason, where in reasons.items():
        new = where & ~bad
        if new.any():
            counts[reason] = int(new.sum())
        bad |= where
    if not bad.any():
        return ~bad, counts
    listed = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    counted = (
        f"{int(bad.sum())} of {len(bad)} places of {what} cannot be used: {listed} (the first is "
        f"{place_name(space, int(np.argmax(bad)))})"
    )
    if bad.all() or unusable == "raise":
        advice = (
            "Check the image and the mask."
            if bad.all()
            else "Give a mask (mask_img) without them, or say unusable='drop'."
        )
        raise InputError(
            f"expected finite values that vary at every place, but {counted}. {advice}"
        )
    warn(f"{counted}. They are left out.")
    return ~bad, counts


def place_name(space: Region, place: int) -> str:
    """Say which voxel or vertex a place is."""
    for part, mask in space.parts():
        if place < (count := int(mask.sum())):
            index = tuple(int(i) for i in np.argwhere(mask)[place])
            return f"voxel {index}" if part == "volume" else f"{part} vertex {index[0]}"
        place -= count
    raise IndexError(place)
