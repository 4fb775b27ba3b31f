"""`rsa-faces arrange`: the multi-arrangement task in the browser."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rsa_faces._core.errors import InputError
from rsa_faces.cli._console import app, guarded, out, say, tell

if TYPE_CHECKING:
    import pandas as pd

    from rsa_faces.behaviour import RaterReport
    from rsa_faces.rdm import RDMs

T = TypeVar("T")

arrange = typer.Typer(
    no_args_is_help=True,
    help="Raters arrange images in the browser; judgements of any kind become RDMs.",
)
app.add_typer(arrange, name="arrange")

ConfigFile = Annotated[Path, typer.Argument(help="The task, a YAML file.")]


@arrange.command()
@guarded
def serve(
    config: ConfigFile,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Instead of the configuration's.")
    ] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Make a new experimenter's token.")
    ] = False,
) -> None:
    """Serve the task until Ctrl-C; started again, everybody goes on where they were.

    The experimenter's page (raters and their links, evidence, live RDM, export) asks for the
    token: that of the environment variable RSA_FACES_ARRANGE_TOKEN, or one that is made at the
    first start and shown once.
    """
    from rsa_faces.behaviour.arrange import load_arrange_config
    from rsa_faces.behaviour.arrange import serve as serve_task

    settled = load_arrange_config(config)
    if port is not None:
        settled = settled.model_copy(update={"port": port})

    def on_ready(url: str, token: str | None, second_factor: str | None) -> None:
        tell(f"Task:         {url}/")
        tell(f"Experimenter: {url}/experimenter")
        _show_once(token, second_factor)
        if settled.host not in ("127.0.0.1", "localhost", "::1"):
            out.print("Other computers reach this server: put HTTPS in front of it.")
        # Through a pipe the address would wait until a buffer is full.
        out.file.flush()

    # Who tried to log in, what was deleted: with the time, whatever else is told.
    handler = logging.StreamHandler()
    handler.setFormatter(line_of_log())
    for name in ("rsa_faces.behaviour.arrange", "uvicorn"):
        log = logging.getLogger(name)
        log.addHandler(handler)
        log.setLevel(logging.WARNING)
        # Or the root's handler would write each line again.
        log.propagate = False
    serve_task(settled, new_token=new_token, on_ready=on_ready)


@arrange.command("new-token")
@guarded
def new_token_(config: ConfigFile) -> None:
    """Make a new experimenter's token and second factor; the old ones are dead at once."""
    from rsa_faces.behaviour.arrange import load_arrange_config, new_token

    _show_once(*new_token(load_arrange_config(config)))


class _OneLine(logging.Formatter):
    """One line for each event, in UTC, whatever is in its text."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the time of an event."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = super().format(record)
        # A line break in what somebody typed must not make an event of its own.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def line_of_log() -> logging.Formatter:
    """Return what makes lines of events."""
    return _OneLine("%(asctime)s %(levelname)s %(message)s")


def _show_once(token: str | None, second_factor: str | None) -> None:
    """Print what is not kept."""
    if token is not None:
        tell(f"Token:        {token}")
    if second_factor is not None:
        tell(f"Authenticator: {second_factor}")
        out.print("Add this address to an authenticator app (as a QR code, or its secret by hand).")
    if token is not None or second_factor is not None:
        out.print("This is shown this once: keep it.")


@arrange.command()
@guarded
def export(
    config: ConfigFile,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the files go.")
    ] = Path("arrangements"),
    rater: Annotated[
        str | None,
        typer.Option(metavar="LINK|ID", help="Only what is stored of this person, as JSON."),
    ] = None,
) -> None:
    """Write trials and RDMs as CSV, JSON and HDF5; the task may be running."""
    from rsa_faces.behaviour.arrange import export_person, export_study, load_arrange_config

    if rater is not None:
        path = export_person(load_arrange_config(config), rater, folder)
        tell(f"Wrote {path}")
        return
    for path in _told(lambda: export_study(load_arrange_config(config), folder)):
        tell(f"Wrote {path}")


@arrange.command()
@guarded
def forget(
    config: ConfigFile,
    rater: Annotated[
        str | None, typer.Argument(metavar="LINK|ID", help="The rater's link or id.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Everybody whose keep_days are over.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all that is stored of a person; the task may be running. There is no way back."""
    from rsa_faces.behaviour.arrange import forget_raters, load_arrange_config

    if (rater is None) != expired:
        raise InputError("expected either a LINK or ID or --expired.")
    settled = load_arrange_config(config)
    if not yes:
        typer.confirm("Delete for good what is stored of " + (rater or "them") + "?", abort=True)
    raters, trials = forget_raters(settled, rater)
    out.print(f"Deleted the data of {raters} raters: {trials} trials.", markup=False)
    out.print("Files that were exported before still hold it.", markup=False)


@arrange.command()
@guarded
def void(
    config: ConfigFile,
    rater: Annotated[str, typer.Argument(help="The rater's id, such as r0001.")],
    trial: Annotated[int, typer.Argument(min=1, help="The number of the trial.")],
    reason: Annotated[
        str | None, typer.Option(help="Why; kept with the trial and in the exports.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Make the trial valid again.")] = False,
) -> None:
    """Mark a trial as void: it is kept with the reason and left out of RDMs; the task may run."""
    from rsa_faces.behaviour.arrange import load_arrange_config, void_trial

    if (reason is None) != undo:
        raise InputError("expected either --reason TEXT or --undo.")
    void_trial(load_arrange_config(config), rater, trial, reason)
    out.print(f"Trial {trial} of {rater} is {'valid again' if undo else 'void'}.", markup=False)


@arrange.command()
@guarded
def fit(
    trials: Annotated[
        Path,
        typer.Argument(
            help="trials.csv of `arrange export`, a table with the columns rater, trial, stimulus, "
            "x, y, or a Meadows tree (.json)."
        ),
    ],
    target: Annotated[
        Path, typer.Option("--out", help="The RDM file to write (.h5): RDMs and evidence.")
    ],
    arena_diameter: Annotated[
        float, typer.Option(help="Of a table: the arena's diameter in the units of x and y.")
    ] = 1.0,
    task: Annotated[
        str | None, typer.Option(help="Of a Meadows tree: take only this task.")
    ] = None,
) -> None:
    """Turn arrangements into one RDM per rater (inverse MDS), and say how raters agree.

    In `compare`, `rdms:` takes the file; with `average: evidence` raters become one RDM, each pair
    weighted with the evidence it has.
    """
    from rsa_faces.behaviour import fit_raters, read_arrangements, read_meadows

    if trials.suffix.lower() == ".json":
        found = read_meadows(trials, task=task)
        tasks = list(dict.fromkeys(name for _, name in found.arrangements))
        if len(tasks) > 1:
            raise InputError(f"expected one task, got {', '.join(tasks)}: take one with --task.")
        arrangements, report = list(found.arrangements.values()), found.report
    else:
        if not trials.is_file():
            raise FileNotFoundError(f"expected a table of trials, but {trials} does not exist.")
        arrangements, report = _told(
            lambda: read_arrangements(trials, arena_diameter=arena_diameter)
        )
    _tell(report)
    fits = _told(lambda: fit_raters(arrangements))
    fits.save_rdms(target)
    _tell_agreement(fits.rdms, fits.evidence)
    tell(f"{fits.rdms!r}")
    tell(f"Wrote {target}")


class Judgements(StrEnum):
    """What `import` reads."""

    meadows = "meadows"
    pairs = "pairs"
    triplets = "triplets"
    traits = "traits"


@arrange.command("import")
@guarded
def import_(
    kind: Annotated[Judgements, typer.Argument(metavar="KIND", help="What the file holds.")],
    path: Annotated[Path, typer.Argument(help="The file.")],
    target: Annotated[Path, typer.Option("--out", help="The RDM file to write (.h5).")],
    direction: Annotated[
        str | None,
        typer.Option(help="Of pairs: what a high rating means, similarity or dissimilarity."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Of Meadows files: take only this task.")] = None,
    rater: Annotated[str, typer.Option(help="Of traits: the column of raters.")] = "rater",
    stimulus: Annotated[str, typer.Option(help="Of traits: the column of faces.")] = "stimulus",
    by: Annotated[
        str, typer.Option(help="Of triplets: one RDM per rater, or one of all choices: all.")
    ] = "rater",
    max_failed: Annotated[
        float | None,
        typer.Option(
            help="Of pairs and triplets: leave out raters who failed a larger share of "
            "their attention checks."
        ),
    ] = None,
) -> None:
    """Turn judgements into one RDM per rater, and say what was found in the data.

    KIND: meadows (.json or .mat: the RDMs that Meadows computed; annotations, .csv or .json:
    ratings of pairs or triplets), pairs (a table: rater, a, b, rating), triplets (rater, a, b, c,
    odd) or traits (rater, stimulus and one column a trait). In pairs and triplets a column
    `expected` marks attention checks.
    """
    from rsa_faces import behaviour

    source: Path | pd.DataFrame = path
    name = kind.value
    if name == "meadows" and behaviour.meadows.holds_annotations(path):
        if task is None:
            raise InputError("expected --task NAME: a file of annotations may hold several tasks.")
        source = behaviour.read_meadows_annotations(path, task=task)
        name = "triplets" if "odd" in source else "pairs" if "rating" in source else ""
        if not name:
            raise InputError(f"expected two or three images in each row of task {task!r}, got one.")
    if name == "meadows":
        found = behaviour.read_meadows(path, task=task)
    elif name == "pairs":
        if direction is None:
            raise InputError("expected --direction similarity or --direction dissimilarity.")
        found = behaviour.pair_rating_rdms(source, direction=direction, max_failed=max_failed)
    elif name == "triplets":
        found = behaviour.triplet_rdms(source, by=by, max_failed=max_failed)
    else:
        found = behaviour.trait_rdms(source, rater=rater, stimulus=stimulus)
    if found.rdms is None:  # as in a file of Meadows
        raise InputError(f"expected RDMs in {path}, got trials only: use `arrange fit`.")
    _tell(found.report)
    found.rdms.save(target)
    _tell_agreement(found.rdms, None, by=rater if name == "traits" else "rater")
    tell(f"{found.rdms!r}")
    tell(f"Wrote {target}")


def _told(do: Callable[[], T]) -> T:
    """Do something and print its warnings as notes."""
    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
        result = do()
    for warning in caught:
        say("note", str(warning.message), style="yellow")
    return result


def _tell(report: RaterReport) -> None:
    """Print what was found in raters' data."""
    for row in report.table.itertuples():
        say("note", f"rater {row.rater}, {row.rule}: {row.n}, {row.action}", style="yellow")


def _tell_agreement(rdms: RDMs, evidence, by: str = "rater") -> None:
    """Print how far raters agree, and who stands apart and why."""
    from rsa_faces.behaviour import rater_agreement

    # Raters with several RDMs (tasks) are theirs to average.
    if len(rdms) < 3 or rdms.labels[by].duplicated().any():
        return
    agreement = rater_agreement(rdms, by=by, evidence=evidence)
    out.print(
        f"Agreement with the other raters: median r {agreement['r'].median():.3f}, from "
        f"{agreement['r'].min():.3f} to {agreement['r'].max():.3f}"
    )
    flagged = agreement[agreement["flagged"]]
    for who, reason in zip(flagged[by], flagged["reason"], strict=True):
        say("note", f"rater {who} stands apart: {reason}", style="yellow")
