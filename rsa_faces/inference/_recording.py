"""RDMs of a recording: all subjects and times, region by region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.inference._subjects import check_known
from rsa_faces.rdm import RDMs

DIGITS = 9  # Times are compared to the nanosecond.


@dataclass(frozen=True, eq=False)
class Recording:
    """RDMs of all subjects and times: `vectors` and `members` have one entry per region."""

    times: np.ndarray
    regions: tuple[str, ...]
    subjects: tuple[str, ...]
    members: list[np.ndarray]  # which subjects have the region
    vectors: list[np.ndarray]  # (n_members, n_times, n_pairs)


def recording_of(data: RDMs, by: str) -> Recording:
    """Return the RDMs in the order of regions, subjects and times."""
    labels = data.labels
    if "time" not in labels:
        raise InputError(
            "expected a label 'time' in seconds for every RDM, got the labels "
            f"{', '.join(map(repr, labels.columns)) or 'none'}. rdm_movie() gives it."
        )
    check_choice(by, labels.columns, what="label that tells subjects apart")
    times = pd.to_numeric(labels["time"], errors="coerce").to_numpy(np.float64)
    keys = pd.DataFrame({"region": labels.get("region", ""), "subject": labels[by]})
    absent = {
        "time": ~np.isfinite(times),
        by: keys["subject"].isna(),
        "region": keys["region"].isna(),
    }
    for column, where in absent.items():
        check_known(column, where)
    keys["time"] = times.round(DIGITS)
    if keys.duplicated().any():
        data = RDMs(data.vectors, data.conditions, data.measure, keys).mean(by=list(keys))
        keys = data.labels[list(keys)]
    subject, subjects = pd.factorize(keys["subject"])
    region, regions = pd.factorize(keys["region"])
    times, time = np.unique(keys["time"], return_inverse=True)
    row = np.full((len(regions), len(subjects), len(times)), -1)
    row[region, subject, time] = np.arange(len(keys))
    _check_times_complete(row, regions, subjects, times)
    members = [np.flatnonzero((rows >= 0).any(axis=1)) for rows in row]
    return Recording(
        times,
        tuple(map(str, regions)),
        tuple(map(str, subjects)),
        members,
        [data.vectors[rows[m]] for rows, m in zip(row, members, strict=True)],
    )


def _check_times_complete(row, regions, subjects, times) -> None:
    """Check that each subject has each time in each of its regions."""
    incomplete = (row < 0).any(axis=2) & (row >= 0).any(axis=2)
    if not incomplete.any():
        return
    shown = []
    for r, s in np.argwhere(incomplete)[:5]:
        lacking = times[row[r, s] < 0]
        some = ", ".join(f"{t:g}" for t in lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        where = f" in region {str(regions[r])!r}" if str(regions[r]) else ""
        shown.append(f"{str(subjects[s])!r}{where} lacks {len(lacking)} of {len(times)}: {some} s")
    raise InputError(
        f"expected the same times in all subjects, but {int(incomplete.sum())} lack some: "
        f"{'; '.join(shown)}. Use the same windows for all, or take the common times with sel()."
    )
