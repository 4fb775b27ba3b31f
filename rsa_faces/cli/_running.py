"""What all commands that run share: options, progress, notes, and what is printed at the end."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted
from rsa_faces.cli._console import DONE, app, err, guarded, out, say, tell

if TYPE_CHECKING:
    import pandas as pd

    from rsa_faces.runs._plan import Plan
    from rsa_faces.runs._run import Output, Run

#: Tables of a report that are printed; more are only in the report.
_MOST_TABLES = 8

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
Part = Annotated[
    str | None,
    typer.Option("--part", metavar="K/N", help="Do one of N shares, as jobs of an array do."),
]
PlanFirst = Annotated[
    bool, typer.Option("--plan", help="Print parts, time, memory and disk, and run nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result for machines.")]


def _print_keys(context: typer.Context, wanted: bool) -> None:
    """Print every key of the command's configuration, and leave."""
    if not wanted:
        return
    from rsa_faces.runs import COMMANDS
    from rsa_faces.runs._help import help_text

    tell(help_text(COMMANDS[str(context.info_name)]))
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


def run_command(name: str, kind: str, help: str) -> None:
    """Add a command that runs, with the options of all of them.

    Parameters
    ----------
    name : str
    kind : str
        Its run, a class of ``rsa_faces.runs.NAME.run``; imported late.
    help : str
        What it does and leaves.
    """

    def command(
        config: ConfigFile,
        settings: Settings = None,
        folder: Folder = None,
        fresh: Fresh = False,
        device: Device = "auto",
        jobs: Jobs = None,
        cluster: Cluster = None,
        part: Part = None,
        plan: PlanFirst = False,
        as_json: Json = False,
        help_config: HelpConfig = False,
    ) -> None:
        from rsa_faces.runs._cluster_config import load_cluster_config

        made: type[Run] = getattr(import_module(f"rsa_faces.runs.{name}.run"), kind)
        settled = made.takes.read(config, settings or [])
        where = None if cluster is None else load_cluster_config(cluster)
        target = folder or Path("results") / config.stem
        share = None if part is None else _share(part)
        with _telling(quiet=as_json) as on_step:
            run = made(settled, target, device, jobs, fresh, where, on_step, share)
            if plan:
                told = _of_plan(run.plan())
            elif share is not None:
                run.do_share()
                told = Told({"part": part})
            elif where is not None and where.kind == "array":
                sent = run.send(where)
                told = Told({"folder": str(run.folder), "notes": sent}, lines=sent)
            else:
                told = _of_output(run.command, run.run())
        if as_json:
            typer.echo(json.dumps({"command": run.command, **told.machine}, indent=1))
            return
        for table in told.tables:
            out.print(table)
        for note in told.notes:
            say("note", note, style="yellow")
        for line in told.lines:
            tell(line)

    app.command(name, help=help)(guarded(command))


@dataclass(frozen=True)
class Told:
    """What a command prints: for machines, or tables, notes and lines for people."""

    machine: dict[str, Any]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    lines: Sequence[str] = ()


@contextlib.contextmanager
def _telling(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Show the steps: a bar on a terminal, elsewhere a line each."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )
    with bar:
        task = bar.add_task("reading", total=None)

        def on_step(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if bar.disable and not quiet:
                err.print(f"[{done}/{total}] {what}", markup=False)

        yield on_step


def _share(part: str) -> tuple[int, int]:
    """Read which of how many shares of a run to do, from 0."""
    match = re.fullmatch(r"(\d+)/(\d+)", part, re.ASCII)
    if not match or not int(match[1]) < int(match[2]):
        raise InputError(
            f"expected --part K/N, such as 0/20, with K from 0 to N - 1, got {part!r}."
        )
    return int(match[1]), int(match[2])


def _of_output(command: str, output: Output) -> Told:
    """Return what is printed of a run: the first tables of its report, and where the rest is."""
    machine = {
        "folder": str(output.folder),
        "report": str(output.report),
        "figures": [str(path) for path in output.figures],
        "notes": list(output.notes),
        "tables": {
            # pandas writes ten digits unless told otherwise.
            name: json.loads(table.to_json(orient="records", double_precision=15))
            for name, table in output.tables.items()
        },
    }
    figures = output.figures[:1] if command == "compare" else output.figures
    lines = [output.legend]
    if (more := len(output.answers) - _MOST_TABLES) > 0:
        lines.append(f"{counted(more, 'more table')} in the report.")
    lines += [f"Figure: {_from_here(path)}" for path in figures]
    lines += [f"Report: {_from_here(output.report)}"]
    lines += [f"Table:  {_from_here(output.folder / next(iter(output.tables)))}.csv"]
    shown = output.answers[:_MOST_TABLES]
    answers = [text_table(each.caption, each.rows, each.numbers) for each in shown]
    return Told(machine, answers, output.notes, lines)


def _from_here(path: Path) -> Path:
    """Return a path as one would type it in this folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _of_plan(plan: Plan) -> Told:
    """Return what is printed of a plan: its parts, the sum, and what does not fit."""
    table = text_table(plan.title, plan.shown(), right=("time", "memory", "disk"))
    machine = {
        "seconds": round(plan.seconds, 1),
        "peak_bytes": plan.peak_bytes,
        "disk_bytes": plan.disk_bytes,
        "parts": plan.to_frame().to_dict("records"),
        "notes": [*plan.notes, *plan.advice],
    }
    return Told(machine, [table], machine["notes"])


def text_table(title: str, rows: pd.DataFrame, right: Sequence[str]) -> Table:
    """Return rows of text as a table for the terminal; columns in `right` hold numbers."""
    table = Table(
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in rows:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(str(column), justify=justify, overflow="fold")
    for row in rows.itertuples(index=False):
        table.add_row(*row)
    return table
