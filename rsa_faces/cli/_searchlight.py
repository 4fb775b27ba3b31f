"""`rsa-faces searchlight`: where in the brain models hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsa_faces.cli._running import run_command

if TYPE_CHECKING:
    from rsa_faces.runs._run import Run


HELP = """\
Compare the RDM around every voxel or vertex with models, and test maps over subjects.

Leaves a map for each subject, the mean, t and corrected p of each model, noise ceilings and
the best model (NIfTI, GIFTI, CIFTI), a table of peaks, figures with pages to look around in
(HTML), a report and the provenance. A run that was stopped goes on with the next subject.
"""


def _kind() -> type[Run]:
    """Return the kind of run."""
    from rsa_faces.runs.searchlight.run import SearchlightRun

    return SearchlightRun


run_command("searchlight", HELP, _kind)
