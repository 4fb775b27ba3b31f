"""`rsa-faces analyse`: what features tell beyond their geometry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsa_faces.cli._running import run_command

if TYPE_CHECKING:
    from rsa_faces.runs._run import Run


HELP = """\
Ask what features tell: read-out, transfer, congruence, robustness, groups and more.

Features are taken once from each network and kept; a run that was stopped goes on. Leaves a
table (CSV) and figures (SVG, PDF, PNG) for each question, a report and the provenance. The
questions are in the examples analyses, kdef and photographs; each is a function of
rsa_faces.analyses.
"""


def _kind() -> type[Run]:
    """Return the kind of run."""
    from rsa_faces.runs.analyse.run import AnalyseRun

    return AnalyseRun


run_command("analyse", HELP, _kind)
