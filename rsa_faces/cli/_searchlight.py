"""`rsa-faces searchlight`: where in the brain models hold."""

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
def searchlight(
    config: Annotated[
        Path, typer.Argument(help="The analysis, a YAML file such as configs/searchlight.yaml.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. radius=10; repeat."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; default results/<config>."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:1: where networks run.")
    ] = "auto",
    jobs: Annotated[int | None, typer.Option(min=1, help="Threads; default all.")] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(help="Make the maps of subjects side by side: configs/cluster.yaml."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the peaks for machines.")] = False,
) -> None:
    """Compare the RDM around every voxel or vertex with models, and test maps over subjects.

    Leaves a map for each subject, the mean, t and corrected p of each model, noise ceilings and
    the best model (NIfTI, GIFTI, CIFTI), a table of peaks, figures with pages to look around in
    (HTML), and the provenance. A run that was stopped goes on with the next subject.
    """
    from rsa_faces.runs.searchlight.config import load_searchlight_config
    from rsa_faces.runs.searchlight.run import run_searchlight

    settled = load_searchlight_config(config, settings or [])
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

        output = run_searchlight(
            settled, target, device=device, jobs=jobs, cluster=cluster, on_step=on_step
        )
    if as_json:
        typer.echo(json.dumps(json.loads(output.peaks.to_json(orient="records")), indent=1))
        return
    n = "1 subject" if output.n_subjects == 1 else f"{output.n_subjects} subjects"
    table = Table(title=f"Peaks ({settled.method}, {settled.radius:g} mm, {n})")
    columns = ("model", "part", "similarity", "t", "p", "x", "y", "z")
    columns = [column for column in columns if column in output.peaks]
    for column in columns:
        table.add_column(column, justify="left" if column in {"model", "part"} else "right")
    for _, rows in output.peaks.groupby("model", sort=False):
        for row in rows.head(3)[columns].itertuples(index=False):
            table.add_row(*[v if isinstance(v, str) else f"{v:.4g}" for v in row])
    out.print(table)
    for note in output.notes:
        say("note", note, style="yellow")
    for path in output.figures:
        out.print(f"Figure: {path}", markup=False, soft_wrap=True)
    out.print(f"Peaks:  {output.folder / 'peaks.csv'}", markup=False, soft_wrap=True)
