"""`rsa-faces timecourse`: when, and in which region, layers hold in intracranial recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rsa_faces.cli._app import app, err, guarded, out, say


@app.command()
@guarded
def timecourse(
    config: Annotated[
        Path, typer.Argument(help="The analysis, a YAML file such as configs/timecourse.yaml.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. window=0.1; repeat."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; default results/<config>."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:1: where networks run.")
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the clusters for machines.")
    ] = False,
) -> None:
    """Compare every layer with every time of each patient, and test clusters over patients.

    Leaves RDMs by patient, region and time, `similarity.csv`, `clusters.csv`, `networks.csv` (pairs
    of networks in each region), `electrodes.csv`, figures of layers by time and of electrodes, and
    the provenance. A run that was stopped goes on with the next patient.
    """
    from rsa_faces.runs.searchlight.config import load_timecourse_config
    from rsa_faces.runs.timecourse.run import run_timecourse

    settled = load_timecourse_config(config, settings or [])
    target = folder or Path("results") / config.stem
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=err, transient=True, disable=as_json or not err.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("reading", total=None)

        def on_step(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if bar.disable and not as_json:
                err.print(f"[{done}/{total}] {what}", markup=False)

        output = run_timecourse(settled, target, device=device, on_step=on_step)
    if as_json:
        typer.echo(json.dumps(json.loads(output.clusters.to_json(orient="records")), indent=1))
        return
    n = "1 patient" if output.n_patients == 1 else f"{output.n_patients} patients"
    table = Table(title=f"Clusters above 0 ({settled.method}, {n})")
    for column in ("region", "from, s", "to, s", "layers", "p"):
        table.add_column(column, justify="right" if column in {"from, s", "to, s", "p"} else "left")
    for row in output.clusters.itertuples():
        if row.p_corrected < settled.test.alpha:
            table.add_row(row.region, f"{row.time_from:.2f}", f"{row.time_to:.2f}", row.models,
                          f"{row.p_corrected:.4f}")  # fmt: skip
    out.print(table)
    if len(output.networks):
        table = Table(title="Networks, paired within patients")
        for column in ("region", "networks"):
            table.add_column(column)
        for column in ("difference", "p"):
            table.add_column(column, justify="right")
        for row in output.networks.itertuples():
            table.add_row(row.region, f"{row.network_a} − {row.network_b}", f"{row.difference:.3f}",
                          f"{row.p_corrected:.4f}")  # fmt: skip
        out.print(table)
    for note in output.notes:
        say("note", note, style="yellow")
    for path in output.figures:
        out.print(f"Figure:   {path}", markup=False, soft_wrap=True)
    out.print(f"Clusters: {output.folder / 'clusters.csv'}", markup=False, soft_wrap=True)
