"""The report: one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from rsa_faces._files import write_text
from rsa_faces.inference import Result


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Parameters
    ----------
    path : Path
        A PNG file.
    caption : str
        What it shows, with n.
    alt : str
        The same for those who cannot see it.
    """

    path: Path
    caption: str
    alt: str


def write_report(
    path: Path,
    *,
    title: str,
    result: Result,
    pictures: Sequence[Picture],
    methods: str,
    references: Sequence[str],
    sources: Sequence[str],
    provenance: Mapping[str, Any],
) -> None:
    """Write the report as one HTML file that needs nothing else.

    Parameters
    ----------
    path : Path
        Where to.
    title : str
    result : Result
    pictures : sequence of Picture
        In order.
    methods : str
        The methods paragraph.
    references, sources : sequence of str
        What the methods and the bundled files ask to cite.
    provenance : mapping
        Versions, seed, hashes.
    """
    environment = Environment(
        loader=PackageLoader("rsa_faces.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    html = environment.get_template("report.html.j2").render(
        title=title,
        answers=answers(result),
        notes=result.notes,
        pictures=[(_data_uri(p.path), p.caption, p.alt) for p in pictures],
        tables=_tables(result),
        alpha=result.settings["alpha"],
        methods=methods,
        references=references,
        sources=sources,
        provenance=_flat(provenance),
    )
    write_text(path, html)


def answers(result: Result) -> list[str]:
    """Say in plain words what was found in each region of the first subset."""
    table = result.table
    table = table[table["subset"] == table["subset"].iloc[0]]
    alpha = result.settings["alpha"]
    sentences = []
    for region, rows in table.groupby("region", sort=False):
        head = rows.iloc[0]
        layers = rows[rows["layer"] != ""]
        found = layers[(layers["p_corrected"] < alpha) & (layers["similarity"] > 0)]
        trained = found[~found["network"].str.startswith("untrained:")]
        text = (
            f"{region}: {len(found)} of {len(layers)} layers are more similar than zero after "
            f"correction"
        )
        if len(trained):
            by_network = trained.groupby("network", sort=False).size()
            text += f" ({', '.join(f'{n} of {name}' for name, n in by_network.items())} trained"
            rest = len(found) - len(trained)
            text += f"; {rest} of untrained networks)" if rest else ")"
        text += ". "
        if head["n_subjects"] < 2:
            text += "There is one RDM, so no noise ceiling. "
        elif not head["reliable"]:
            text += "The subjects share no reliable structure, so nothing can be explained. "
        else:
            reach = layers[(layers["p_ceiling_corrected"] >= alpha)
                           | (layers["similarity"] >= head["ceiling_low"])]  # fmt: skip
            text += (
                "No layer reaches the lower noise ceiling. "
                if reach.empty
                else f"For {len(reach)} layers a difference from the lower noise ceiling "
                f"({head['ceiling_low']:.2f}) is not shown. "
            )
        generalises = result.settings["generalises_to"]
        if isinstance(generalises, Mapping):
            generalises = generalises[region]
        sentences.append(text + f"This generalises to {generalises}.")
    return sentences


def _tables(result: Result) -> list[tuple[str, list[dict]]]:
    """Return a caption and rows per region and subset: last and highest layer of each network."""
    tables = []
    for (subset, region), rows in result.table.groupby(["subset", "region"], sort=False):
        head = rows.iloc[0]
        n = f"{head['n_subjects']} subject{'s' if head['n_subjects'] > 1 else ''}"
        caption = f"{region}, {subset}: {n}, {head['n_conditions']} conditions"
        if head["n_subjects"] > 1:
            caption += f", noise ceiling {head['ceiling_low']:.3f} to {head['ceiling_high']:.3f}"
            caption += "" if head["reliable"] else ", no reliable signal"
        lines = []
        for network, layers in rows.groupby("network", sort=False):
            last = layers.iloc[-1]
            best = layers.loc[layers["similarity"].idxmax()] if layers["similarity"].notna().any() \
                else last  # fmt: skip
            lines.append(
                {
                    "network": network,
                    "layer": last["layer"] if len(layers) > 1 else "",
                    "similarity": _number(last["similarity"]),
                    "interval": f"{_number(last['ci_low'])} to {_number(last['ci_high'])}",
                    "p": _p(last["p_corrected"]),
                    "p_ceiling": _p(last["p_ceiling_corrected"]),
                    "best": f"{best['layer']} {_number(best['similarity'])}"
                    if len(layers) > 1
                    else "",
                }
            )
        tables.append((caption, lines))
    return tables


def _number(value: float) -> str:
    """Return a similarity with three decimals and a true minus sign."""
    return "undefined" if pd.isna(value) else f"{value:.3f}".replace("-", "−")


def _p(value: float) -> str:
    """Return a p value as papers print it."""
    if pd.isna(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _data_uri(path: Path) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested values as rows of a table."""
    rows = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}: ")
        elif isinstance(value, (list, tuple)):
            rows.append((f"{prefix}{key}", ", ".join(map(str, value))))
        else:
            rows.append((f"{prefix}{key}", str(value)))
    return rows
