"""`rsa-faces networks`: what there is, what it was trained on, which layers it has."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.table import Table

from rsa_faces.cli._app import app, guarded, out

networks = typer.Typer(no_args_is_help=True, help="List, describe and look inside networks.")
app.add_typer(networks, name="networks")

Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]
Name = Annotated[
    str, typer.Argument(help="A network's name; untrained:, timm: and torchvision: are prefixes.")
]


@networks.command("list")
@guarded
def list_(
    pattern: Annotated[str, typer.Argument(help="Names to show, with wildcards.")] = "*",
    as_json: Json = False,
) -> None:
    """List the networks, with task, training set, licence and whether the weights ship."""
    from rsa_faces.networks import get_spec, list_networks

    specs = [get_spec(name) for name in list_networks(pattern)]
    if as_json:
        typer.echo(json.dumps([_plain(s) for s in specs], indent=1))
        return
    table = Table()
    for column in ("name", "task", "architecture", "training set", "licence"):
        table.add_column(column, overflow="fold")
    for spec in specs:
        table.add_row(spec.name, spec.task, spec.architecture, spec.training_set, spec.licence)
    out.print(table)
    out.print(
        "Also untrained:NAME (the same architecture, seeded), timm:NAME and torchvision:NAME.",
        markup=False,
    )


@networks.command()
@guarded
def show(name: Name, as_json: Json = False) -> None:
    """Show all that is known of a network: origin, licence, preprocessing, citation."""
    from rsa_faces.networks import get_spec

    facts = _plain(get_spec(name))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in facts.items():
        table.add_row(key.replace("_", " "), _text(value))
    out.print(table)


@networks.command()
@guarded
def layers(
    name: Name,
    everything: Annotated[
        bool, typer.Option("--all", help="Every module, not only the layers `all` stands for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List a network's layers in order of computation."""
    from rsa_faces.networks import load_network

    network = load_network(name, device="cpu")
    names = network.all_layers() if everything else network.layers()
    if as_json:
        typer.echo(json.dumps(names, indent=1))
        return
    for layer in names:
        out.print(layer, markup=False)


def _plain(spec) -> dict:
    """Return a spec as JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(spec), default=str))


def _text(value) -> str:
    """Return a value as text for a table cell."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)
