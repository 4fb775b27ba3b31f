"""`rsa-faces example`: a configuration that ships, written where you are."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rsa_faces._core.errors import InputError
from rsa_faces.cli._console import app, guarded, out, tell


@app.command()
@guarded
def example(
    name: Annotated[
        str | None, typer.Argument(help="Which; without a name all are listed.", show_default=False)
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file to write; default NAME.yaml."),
    ] = None,
) -> None:
    """Write a commented configuration that comes with the package, and say how it is run.

    Example: `rsa-faces example images92`, then `rsa-faces compare images92.yaml`
    """
    from rsa_faces._core.checks import check_choice
    from rsa_faces._core.files import write_text

    texts = examples()
    if name is None:
        table = Table(box=None)
        table.add_column("name")
        table.add_column("what it does")
        for each, text in texts.items():
            table.add_row(each, first_sentence(text))
        out.print(table)
        return
    text = texts[check_choice(name, texts, what="example")]
    target = path or Path(f"{name}.yaml")
    if target.exists():
        raise InputError(f"expected a new file, but {target} exists. Choose another with --out.")
    # In a checkout they lie in configs/; written, each lies where the user is.
    text = re.sub(r"configs/(\w+\.yaml)", r"\1", text.replace(f"configs/{name}.yaml", str(target)))
    write_text(target, text)
    tell(f"Wrote {target}. Next: {command_of(text)}")


def examples() -> dict[str, str]:
    """Return the text of each configuration that ships, by name."""
    folder = resources.files("rsa_faces") / "configs"
    files = (file for file in folder.iterdir() if file.name.endswith(".yaml"))
    return {
        file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8")
        for file in sorted(files, key=lambda file: file.name)
    }


def first_sentence(text: str) -> str:
    """Return the first sentence of a configuration's comment."""
    lines = []
    for line in text.splitlines():
        # Indented further is the command.
        if not line.startswith("#") or line.startswith("#   "):
            break
        lines.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.:;])\s", " ".join(lines))[0].rstrip(".:;")


def command_of(text: str) -> str:
    """Return the command in a configuration's comment."""
    match = re.search(r"^#\s+(rsa-faces .+)$", text, re.MULTILINE)
    return re.split(r"\s{2,}|\s\(", match[1])[0].strip() if match else "read its first lines"
