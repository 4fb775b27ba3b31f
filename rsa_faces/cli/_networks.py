"""`rsa-faces networks`: what there is, what it was trained on, which layers it has."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rsa_faces.cli._console import app, guarded, out, tell

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
    """List the networks: task, training set, and whether the weights ship.

    One line each; `rsa-faces networks show NAME` tells all, architecture and licence too.
    """
    from rsa_faces.networks import get_spec, list_networks

    specs = [get_spec(name) for name in list_networks(pattern)]
    if as_json:
        typer.echo(json.dumps([_plain(s) for s in specs], indent=1))
        return
    rows = [(spec.name, spec.task, spec.weights_from, spec.training_set) for spec in specs]
    table = Table(box=None, pad_edge=False, expand=True)
    for column in ("name", "task", "weights", "training set"):
        last = column == "training set"  # takes what is left of the line, and is cut there
        table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if last else None)
    for row in rows:
        table.add_row(*row)
    out.print(table)
    for line in (
        "All that is known of one: rsa-faces networks show NAME.",
        "Also untrained:NAME (the same architecture, seeded), timm:NAME, torchvision:NAME.",
    ):
        out.print(line, markup=False)


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
        if text := _text(value):
            table.add_row(key.replace("_", " "), text)
    out.print(table)


@networks.command()
@guarded
def layers(
    name: Name,
    everything: Annotated[
        bool, typer.Option("--all", help="Every module, not only the layers `all` stands for.")
    ] = False,
    fields: Annotated[
        bool,
        typer.Option("--fields", help="Find what units see of the image; takes up to a minute."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List a network's layers in order of computation: kind, shape, depth, tokens."""
    from rsa_faces.networks import get_spec, load_network

    spec = get_spec(name)
    # Shapes do not depend on weights; those of the community's files need not be here.
    known = spec.weights_from in ("ship", "none") or name.startswith("untrained:")
    network = load_network(name if known else f"untrained:{name}", device="cpu")
    names = network.all_layers() if everything else network.layers()
    frame = network.layer_table(names, receptive_fields=fields)
    if as_json:
        # By pandas and back: json cannot write NumPy's numbers.
        typer.echo(json.dumps(json.loads(frame.to_json(orient="records")), indent=1))
        return
    table = Table()
    titles = ["layer", "kind", "shape", "values", "depth", "tokens"]
    titles += ["units see, px", "share"] if fields else []
    for title in titles:
        table.add_column(title, justify="left" if title in titles[:2] else "right")
    for row in frame.itertuples():
        shape = " x ".join(map(str, row.shape))
        cells = [row.layer, row.kind, shape, f"{row.n_channels:,}", f"{row.depth:.2f}", row.tokens]
        if fields:
            cells += [str(row.receptive_field), f"{row.share_of_input:.2f}"]
        table.add_row(*cells)
    out.print(table)
    if frame["class_token"].any():
        out.print("Of '1 + 196' tokens the first is the class token: --reduce 'class token'.")


@networks.command()
@guarded
def check(
    name: Name,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Faces of yours: a folder with manifest.csv: file, identity, expression."
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A weight file of yours.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    as_json: Json = False,
) -> None:
    """Check whether a network sees what it was trained to see: answers, people, expressions.

    Exit code 1 if it does not.
    """
    from rsa_faces.networks import check as check_network
    from rsa_faces.networks import get_spec
    from rsa_faces.networks._load import is_published

    spec = get_spec(name)
    known = spec.bundled if weights is None else is_published(spec, weights)
    found = check_network(name, images, weights=weights, device=device)
    if as_json:
        facts = {
            "network": name,
            "verdict": found.verdict,
            "because": found.because,
            "weights": found.settings["weights"],
            "weights_known": known,
        }
        typer.echo(json.dumps(facts | {"table": found.table.to_dict("records")}, indent=1))
    else:
        tell(found.sentence)
        for row in found.table.itertuples():
            text = _CHECKED[row.measure].format(row.value)
            out.print(f"  {row.measure}: {text}", markup=False)
        if spec.crop:
            crop = f"{spec.crop}, margin {spec.crop_margin:g} ({spec.crop_source})"
            tell(f"faces cut out: {crop}")
        tell(
            f"weights: SHA-256 of names and values {found.settings['weights']} "
            f"({'as published' if known else 'not known beforehand'})"
        )
    if found.good is False:
        raise typer.Exit(1)


_CHECKED = {
    "recorded answers": "off by {:.1g} of the largest",
    "identity": "AUC {:.3f}",
    "expression": "AUC {:.3f}",
    "expressions named": "{:.1%}",
}


def _plain(spec) -> dict:
    """Return a spec as JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(spec), default=str))


def _text(value) -> str:
    """Return a value as text for a table cell."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)
