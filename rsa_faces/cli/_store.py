"""`rsa-faces store list|prune`: activations that were kept, and those that can go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsa_faces._core.words import counted
from rsa_faces.cli._console import app, guarded, out, say, tell

Store = Annotated[Path, typer.Argument(help="The folder that --store named.")]

store = typer.Typer(no_args_is_help=True, help="Activations that are kept: list them, prune them.")
app.add_typer(store, name="store")


@store.command("list")
@guarded
def list_(path: Store) -> None:
    """Show the networks of a store: layers, images, size, and when they were used."""
    from rsa_faces.extraction import list_store

    listed = list_store(path)
    for _, row in listed[listed["state"] != "foreign"].iterrows():
        tell(
            f"{row['network'] or row['name']}: {counted(row['layers'], 'layer')}, "
            f"{counted(row['images'], 'image')}, "
            f"{row['n_bytes'] / 1e6:.1f} MB, used {_ago(row['used'])}, {row['state']}"
        )
    out.print(f"{listed['n_bytes'].sum() / 1e6:.1f} MB in all")
    for name in listed.loc[listed["state"] == "foreign", "name"]:
        say("note", f"{name} is no file of the store.", style="yellow")


@store.command()
@guarded
def prune(
    path: Store,
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", help="What was not used for so long goes.")
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(help="Such as 20GB: what was used least lately goes, until no more is left."),
    ] = None,
    unused: Annotated[
        bool,
        typer.Option(
            "--unused", help="What nothing reads any more goes: of other versions, or damaged."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; otherwise it is only said.")
    ] = False,
) -> None:
    """Remove activations from a store; without --yes say which would go."""
    from rsa_faces.extraction import prune_store

    gone = prune_store(path, older_than=older_than, max_size=max_size, unused=unused, delete=yes)
    for (network, why), group in gone.groupby(["network", "why"]):
        size = group["n_bytes"].sum() / 1e6
        out.print(
            f"{network or 'files'}: {counted(len(group), 'file')}, {size:.1f} MB, {why}",
            markup=False,
        )
    what = f"{counted(len(gone), 'file')}, {gone['n_bytes'].sum() / 1e6:.1f} MB"
    out.print(f"Removed {what}" if yes else f"Would remove {what}; --yes removes them")


def _ago(days: float) -> str:
    """Return how long ago in words."""
    return "today" if days < 1 else f"{days:.0f} days ago"
