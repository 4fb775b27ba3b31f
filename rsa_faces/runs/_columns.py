"""What files and columns of an output folder are, for the README that lies there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

_FILES = {
    "config.yaml": "the configuration, with all defaults; the first line names the command",
    "report.html": "the report: one page that needs nothing else",
    "methods.md": "the methods paragraph of a paper, with references and sources",
    "notes.txt": "what a reader has to know, one line each",
    "provenance.json": "versions, seed, hashes, seconds and peak memory of each step, all files",
    "state.json": "which steps are done; a run that was stopped goes on from it",
    "faces.csv": "the face that was found in each image",
}


def describe_folder(folder: Path, tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the README of an output folder."""
    lines = ["# What is in this folder", ""]
    lines += [f"- `{name}`: {what}" for name, what in _FILES.items() if (folder / name).exists()]
    lines.append("- `figures/`: each figure as SVG, PNG and PDF")
    for name, table in tables.items():
        lines += ["", f"## `{name}.csv`: {len(table)} rows", ""]
        lines += [f"- `{column}`" for column in table.columns]
    return "\n".join(lines) + "\n"
