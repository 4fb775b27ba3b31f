"""`rsa-faces timecourse`: when, and in which region, layers hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rsa_faces.cli._running import run_command

if TYPE_CHECKING:
    from rsa_faces.runs._run import Output, Run
    from rsa_faces.runs.timecourse.config import TimecourseConfig


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


def _tables(config: TimecourseConfig, output: Output) -> list[Table]:
    """Return the clusters that are shown, and the pairs of networks."""
    table = Table(title=f"Clusters above 0 ({config.method})")
    for column in ("region", "from, s", "to, s", "layers", "p"):
        table.add_column(column, justify="right" if column in {"from, s", "to, s", "p"} else "left")
    for row in output.tables["clusters"].itertuples():
        if row.p_corrected < config.test.alpha:
            table.add_row(
                row.region,
                f"{row.time_from:.2f}",
                f"{row.time_to:.2f}",
                row.models,
                f"{row.p_corrected:.4f}",
            )
    tables = [table]
    if "networks" in output.tables:
        table = Table(title="Networks, paired within patients")
        for column in ("region", "networks"):
            table.add_column(column)
        for column in ("difference", "p"):
            table.add_column(column, justify="right")
        for row in output.tables["networks"].itertuples():
            table.add_row(
                row.region,
                f"{row.network_a} − {row.network_b}",
                f"{row.difference:.3f}",
                f"{row.p_corrected:.4f}",
            )
        tables.append(table)
    return tables


run_command("timecourse", HELP, _kind, _tables)
