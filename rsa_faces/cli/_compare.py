"""`rsa-faces compare` and `rsa-faces report`: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rsa_faces.cli._app import app, err, guarded, out, say

if TYPE_CHECKING:
    from rsa_faces.runs.compare.run import RunOutput


@app.command()
@guarded
def compare(
    config: Annotated[
        Path, typer.Argument(help="The experiment, a YAML file such as configs/images92.yaml.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key, e.g. inference.n_boot=200; repeat."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; default results/<config>."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh/--resume", help="Start over, or go on where a run stopped."),
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:1: where networks run.")
    ] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processor threads to use; default all. RDMs may differ in the 6th digit."
        ),
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(help="Do networks and regions side by side: configs/cluster.yaml."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Compare every layer of every network with brain and behaviour RDMs.

    Extracts activations, builds RDMs, correlates them with each region, tests the similarities
    (bootstrap, FDR, noise ceilings), draws the figures and writes a report. The folder it leaves
    holds `results.csv`, `tests.csv`, `figures/`, `report.html`, `methods.md` and the provenance.
    A run that was stopped goes on where it was and ends with the same numbers.
    """
    from rsa_faces.runs.compare.config import load_config
    from rsa_faces.runs.compare.run import run

    settled = load_config(config, settings or [])
    target = folder or Path("results") / config.stem
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=as_json or not err.is_terminal,
    )
    with bar:
        task = bar.add_task("reading", total=None)

        def on_step(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if bar.disable and not as_json:
                err.print(f"[{done}/{total}] {what}", markup=False)

        output = run(
            settled, target, device=device, jobs=jobs, fresh=fresh, cluster=cluster,
            on_step=on_step,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(_machine(output), indent=1))
        return
    for table in _tables(output):
        out.print(table)
    for note in output.result.notes:
        say("note", note, style="yellow")
    out.print(f"Figure:  {output.main_figure}", markup=False, soft_wrap=True)
    out.print(f"Report:  {output.report}", markup=False, soft_wrap=True)
    out.print(f"Results: {output.folder / 'results.csv'}", markup=False, soft_wrap=True)


def _machine(output: RunOutput) -> dict:
    """Return what `--json` prints."""
    table = output.result.to_frame()
    return {
        "folder": str(output.folder),
        "figure": str(output.main_figure),
        "report": str(output.report),
        "notes": list(output.result.notes),
        "results": json.loads(table.to_json(orient="records", double_precision=15)),
    }


def _tables(output: RunOutput) -> list[Table]:
    """Return one table per region for the first subset: each network's last layer."""
    frame = output.result.to_frame()
    first = frame["subset"].iloc[0]
    alpha = output.result.settings["alpha"]
    tables = []
    for region, rows in frame[frame["subset"] == first].groupby("region", sort=False):
        head = rows.iloc[0]
        ceiling = (
            "no ceiling: one subject"
            if head["n_subjects"] < 2
            else f"noise ceiling {head['ceiling_low']:.3f} to {head['ceiling_high']:.3f}"
        )
        if head["n_subjects"] >= 2 and not head["reliable"]:
            ceiling += ", no reliable signal"
        table = Table(
            title=f"{region} ({head['method']}; {ceiling}; {head['n_subjects']} subject"
            f"{'s' if head['n_subjects'] > 1 else ''}, "
            f"{head['n_conditions']} conditions)",
            title_justify="left",
            caption=f"* differs from 0 after correction, p < {alpha}. The highest layer is chosen "
            "on these data: its value is optimistic.",
            caption_justify="left",
        )
        for name in ("network or model", "last layer", "similarity", "95 % interval", "highest"):
            right = name == "similarity"
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for network, layers in rows.groupby("network", sort=False):
            last = layers.iloc[-1]
            star = "*" if last["p_corrected"] < alpha else " "
            best = layers.loc[layers["similarity"].idxmax()] if len(layers) > 1 else None
            if last["similarity"] != last["similarity"]:
                similarity, interval = "undefined", ""
            else:
                similarity = f"{last['similarity']:.3f}{star}"
                interval = f"{last['ci_low']:.3f} to {last['ci_high']:.3f}"
            table.add_row(
                str(network),
                "" if best is None else str(last["layer"]),
                similarity,
                interval,
                "" if best is None else f"{best['layer']} {best['similarity']:.3f}",
            )
        tables.append(table)
    return tables
