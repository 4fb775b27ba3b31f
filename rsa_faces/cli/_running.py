"""What all commands that run share: options, progress, notes, and what is printed at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rsa_faces.cli._console import DONE, err, out, say

if TYPE_CHECKING:
    from rsa_faces.runs._run import Output, Run

ConfigFile = Annotated[Path, typer.Argument(help="The configuration, a YAML file.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. seed=1; repeat."),
]
Folder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where results go; default results/<config>."),
]
Fresh = Annotated[
    bool, typer.Option("--fresh/--resume", help="Start over, or go on where a run stopped.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1: where networks run.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processor threads to use; default all. RDMs may differ in the 6th digit."
    ),
]
Cluster = Annotated[
    Path | None, typer.Option(help="Do parts side by side: `rsa-faces example cluster`.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result for machines.")]


def _print_keys(context: typer.Context, wanted: bool) -> None:
    """Print every key of the command's configuration, and leave."""
    if not wanted:
        return
    from rsa_faces.runs import COMMANDS
    from rsa_faces.runs._help import help_text

    out.print(help_text(COMMANDS[str(context.info_name)]), markup=False, soft_wrap=True)
    raise typer.Exit(DONE)


HelpConfig = Annotated[
    bool,
    typer.Option(
        "--help-config",
        callback=_print_keys,
        is_eager=True,
        help="Print every key of the configuration.",
    ),
]


def execute(
    kind: type[Run],
    config: Path,
    settings: list[str] | None,
    folder: Path | None,
    *,
    as_json: bool,
    show: Callable[[Any, Output], list[Table]],
    **options: Any,
) -> None:
    """Read a configuration, run it with progress, and print what it left.

    Parameters
    ----------
    kind : type of Run
    config, settings, folder
        As given on the command line.
    as_json : bool
        Print folder, report, figures, notes and tables as one JSON object.
    show : callable
        From configuration and output to the tables that are printed.
    **options
        Of the run: fresh, device, jobs, cluster.
    """
    settled = kind.takes.read(config, settings or [])
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

        output = kind(settled, target, on_step=on_step, **options).run()
    if as_json:
        typer.echo(json.dumps(_machine(kind.command, output), indent=1))
        return
    for table in show(settled, output):
        out.print(table)
    for note in output.notes:
        say("note", note, style="yellow")
    for path in output.figures[:1] if kind.command == "compare" else output.figures:
        out.print(f"Figure: {path}", markup=False, soft_wrap=True)
    out.print(f"Report: {output.report}", markup=False, soft_wrap=True)
    first = next(iter(output.tables))
    out.print(f"Table:  {output.folder / first}.csv", markup=False, soft_wrap=True)


def _machine(command: str, output: Output) -> dict:
    """Return what `--json` prints, the same shape for every command."""
    return {
        "command": command,
        "folder": str(output.folder),
        "report": str(output.report),
        "figures": [str(path) for path in output.figures],
        "notes": list(output.notes),
        "tables": {
            name: json.loads(table.to_json(orient="records", double_precision=15))
            for name, table in output.tables.items()
        },
    }
