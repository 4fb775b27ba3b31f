"""`rsa-faces searchlight`: where in the brain models hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rsa_faces.cli._running import run_command

if TYPE_CHECKING:
    from rsa_faces.runs._run import Output, Run
    from rsa_faces.runs.searchlight.config import SearchlightConfig


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


def _tables(config: SearchlightConfig, output: Output) -> list[Table]:
    """Return the three highest peaks of each model."""
    peaks = output.tables["peaks"]
    columns = ("model", "part", "similarity", "t", "p", "x", "y", "z")
    columns = [column for column in columns if column in peaks]
    table = Table(title=f"Peaks ({config.method}, {config.radius:g} mm)")
    for column in columns:
        table.add_column(column, justify="left" if column in {"model", "part"} else "right")
    for _, rows in peaks.groupby("model", sort=False):
        for row in rows.head(3)[columns].itertuples(index=False):
            table.add_row(*[v if isinstance(v, str) else f"{v:.4g}" for v in row])
    return [table]


run_command("searchlight", HELP, _kind, _tables)
