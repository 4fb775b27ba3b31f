"""`rsa-faces timecourse`: when, and in which region, layers hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsa_faces.cli._running import run_command

if TYPE_CHECKING:
    from rsa_faces.runs._run import Run


HELP = """\
Compare every layer with every time of each patient, and test clusters over patients.

Leaves RDMs by patient, region and time, `similarity.csv`, `clusters.csv`, `networks.csv` (pairs
of networks in each region), `electrodes.csv`, figures of layers by time and of electrodes, a
report and the provenance. A run that was stopped goes on with the next patient.
"""


def _kind() -> type[Run]:
    """Return the kind of run."""
    from rsa_faces.runs.timecourse.run import TimecourseRun

    return TimecourseRun


run_command("timecourse", HELP, _kind)
