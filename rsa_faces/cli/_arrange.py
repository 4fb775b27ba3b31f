"""`rsa-faces arrange`: the multi-arrangement task in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsa_faces.cli._app import app, guarded, out, say

arrange = typer.Typer(
    no_args_is_help=True, help="Raters arrange images in the browser; export what they did."
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

    def on_ready(url: str, token: str | None) -> None:
        out.print(f"Task:         {url}/", markup=False, soft_wrap=True)
        out.print(f"Experimenter: {url}/experimenter", markup=False, soft_wrap=True)
        if token is not None:
            out.print(f"Token:        {token}", markup=False, soft_wrap=True)
            out.print("The token is shown this once: keep it.")
        if settled.host not in ("127.0.0.1", "localhost", "::1"):
            out.print("Other computers reach this server: put HTTPS in front of it.")
        out.file.flush()

    serve_task(settled, new_token=new_token, on_ready=on_ready)


@arrange.command()
@guarded
def export(
    config: ConfigFile,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the files go.")
    ] = Path("arrangements"),
) -> None:
    """Write trials and RDMs as CSV, JSON and HDF5; the task may be running."""
    from rsa_faces.behaviour.arrange import export_study, load_arrange_config

    for path in export_study(load_arrange_config(config), folder):
        out.print(f"Wrote {path}", markup=False, soft_wrap=True)


@arrange.command()
@guarded
def fit(
    trials: Annotated[
        Path,
        typer.Argument(
            help="trials.csv of `arrange export`, a table with the columns rater, trial, stimulus, "
            "x, y, or a Meadows file (.json)."
        ),
    ],
    target: Annotated[
        Path, typer.Option("--out", help="The RDM file to write (.h5), one RDM per rater.")
    ],
) -> None:
    """Turn arrangements into one RDM per rater (inverse MDS), and say how raters agree."""
    from rsa_faces.behaviour import fit_raters, rater_agreement, read_arrangements, read_meadows

    if trials.suffix.lower() == ".json":
        arrangements = list(read_meadows(trials).arrangements.values())
    else:
        if not trials.is_file():
            raise FileNotFoundError(f"expected a table of trials, but {trials} does not exist.")
        arrangements, report = read_arrangements(trials)
        for row in report.table.itertuples():
            say("note", f"rater {row.rater}, {row.rule}: {row.n}, {row.action}", style="yellow")
    fits = fit_raters(arrangements)
    fits.rdms.save(target)
    if len(fits.rdms) >= 3:
        agreement = rater_agreement(fits.rdms, evidence=fits.evidence)
        out.print(f"Agreement with the other raters: median r {agreement['r'].median():.3f}, from "
                  f"{agreement['r'].min():.3f} to {agreement['r'].max():.3f}")  # fmt: skip
        for row in agreement[agreement["flagged"]].itertuples():
            say("note", f"rater {row.rater} stands apart: {row.reason}", style="yellow")
    out.print(f"{fits.rdms!r}", markup=False, soft_wrap=True)
    out.print(f"Wrote {target}", markup=False, soft_wrap=True)
