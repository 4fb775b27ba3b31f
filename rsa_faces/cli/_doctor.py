"""`rsa-faces doctor`: what this machine has, what is missing, how to get it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from rsa_faces.cli._console import app, guarded, out

# Module to look for, extra that brings it, what it is for.
_EXTRAS = (
    ("mne", "ieeg", "intracranial and EEG/MEG recordings"),
    ("av", "video", "clips"),
    ("fastapi", "arrange", "the arrangement task in a browser"),
    ("dask", "cluster", "SLURM and other clusters"),
)


@app.command()
@guarded
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Check this machine: versions, GPU, memory, bundled data and weights, optional packages."""
    checks = list(_checks())
    if as_json:
        rows = [dict(zip(("what", "ok", "found", "to_do"), c, strict=True)) for c in checks]
        typer.echo(json.dumps(rows, indent=1))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in ("mark", "what", "found, and what to do"):
            table.add_column(overflow="fold")
        for what, ok, found, to_do in _on_one_screen(checks):
            mark = "[green]✓[/green]" if ok else "[yellow]–[/yellow]" if ok is None else "[red]✗[/]"
            table.add_row(mark, what, escape(f"{found}. {to_do}" if to_do else found))
        out.print(table)
    if any(ok is False for _, ok, _, _ in checks):
        raise typer.Exit(1)


def _on_one_screen(checks: list) -> Iterator[tuple]:
    """Yield the checks with versions and extras in a row each, and networks in two."""
    from rsa_faces.networks import list_networks
    from rsa_faces.runs._provenance import versions

    packages, networks = versions(), list_networks()
    well = [f"{name} {version}" for name, version in packages.items()]
    yield "versions", True, ", ".join(well), ""
    here = [what for what, ok, *_ in checks if what in networks and ok]
    away = [what for what, ok, *_ in checks if what in networks and not ok]
    extras = [what for what, _, found, _ in checks if found == "installed"]
    one_row = {*networks, *packages, *extras}
    yield from (check for check in checks if check[0] not in one_row)
    if extras:
        yield "extras", True, f"{', '.join(extras)} installed", ""
    if ("torch", None) in [check[:2] for check in checks]:
        yield "networks", None, f"{len(networks)} known, none opens without torch", ""
        return
    yield "networks", True, f"{len(here)} ready: {', '.join(here)}", ""
    if away:
        yield (
            "",
            None,
            f"{len(away)} with weights to get: {', '.join(away)}",
            "From: `rsa-faces networks show NAME`.",
        )


def _checks():
    """Yield (what, whether it is well: True, False or None for optional, found, what to do)."""
    from rsa_faces._core.optional import TORCH, torch_if_there
    from rsa_faces.runs._provenance import versions

    torch = torch_if_there()
    for name, version in versions().items():
        yield name, True, version, ""
    cores = os.cpu_count() or 1
    threads = f", {torch.get_num_threads()} threads" if torch else ""
    yield "processor", True, f"{cores} cores{threads}", ""
    if memory := _memory():
        enough = memory > 4e9
        yield (
            "memory",
            enough,
            f"{memory / 1e9:.1f} GB",
            "" if enough else "Lower `budget` in the configuration, e.g. 500MB.",
        )
    yield "disk here", True, f"{shutil.disk_usage('.').free / 1e9:.0f} GB free", ""
    if torch is None:
        yield "torch", None, "not installed", f"For networks: pip install {' '.join(TORCH)}"
    elif torch.cuda.is_available():
        yield "GPU", True, torch.cuda.get_device_name(0), ""
    else:
        yield "GPU", None, "none that torch can use", "Not needed; extraction is slower."
    yield from _bundled()
    for module, extra, purpose in _EXTRAS:
        found = importlib.util.find_spec(module) is not None
        to_do = "" if found else f"For {purpose}: pip install 'rsa-faces[{extra}]'"
        yield module, True if found else None, "installed" if found else "not installed", to_do


def _bundled():
    """Check the files that ship, and the weights that the user brings."""
    from rsa_faces import datasets
    from rsa_faces._core.errors import InputError, MissingExtraError
    from rsa_faces.networks import get_spec, list_networks, load_network

    try:
        data = datasets.images92()
        yield "images92", True, f"{len(data.stimuli)} images, {len(data.rdms)} RDMs", ""
    except (InputError, OSError) as error:
        yield "images92", False, str(error), "Install rsa-faces again."
    for name in list_networks():
        if get_spec(name).weights_from == "hub":  # which would be asked for hundreds of megabytes
            yield name, None, "weights not on this machine", "timm fetches them"
            continue
        try:
            load_network(name, device="cpu")
            yield name, True, get_spec(name).task, ""
        except InputError as error:
            yield name, None, "weights not on this machine", str(error)
        except MissingExtraError as error:
            yield name, None, "no torch", str(error)


def _memory() -> int | None:
    """Return the machine's memory in bytes, where the system tells it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
