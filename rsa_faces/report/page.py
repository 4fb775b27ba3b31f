"""The report: one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from rsa_faces._core.files import write_text
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
        notes=grouped_notes(result.notes),
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
    """Say in plain words what was found, for each region and subset.

    Parameters
    ----------
    result : Result

    Returns
    -------
    list of str
        One text per row of ``result.ceilings``, in that order: what cannot be concluded, then how
        many layers are more similar than zero and how many reach the lower noise ceiling.
    """
    groups = result.table.groupby(["subset", "region"], sort=False)
    return [
        _answer(groups.get_group((row["subset"], row["region"])), row, result.settings)
        for _, row in result.ceilings.iterrows()
    ]


def _answer(table: pd.DataFrame, head: pd.Series, settings: Mapping[str, Any]) -> str:
    """Return the answer of one region and subset."""
    name = _where(head["region"], head["subset"])
    if head["n_subjects"] > 1 and not head["reliable"]:
        return (
            f"{name}: no conclusion. The {head['n_subjects']} subjects share no reliable structure "
            f"over these {head['n_conditions']} conditions, so there is nothing to explain."
        )
    layers = table[(table["layer"] != "") & table["similarity"].notna()]
    what = "layers"
    if layers.empty:
        layers, what = table[table["similarity"].notna()], "models"
    found = layers[(layers["p_corrected"] < settings["alpha"]) & (layers["similarity"] > 0)]
    text = f"{name}: {len(found)} of {len(layers)} {what} are shown to be more similar than zero"
    counts = found.groupby("network", sort=False).size()
    if what == "layers" and len(counts):
        text += f" ({', '.join(f'{network} {n}' for network, n in counts.items())})"
    text += ". "
    if head["n_subjects"] < 2:
        text += "There is one RDM, so there is no noise ceiling. "
    else:
        low = f"the lower noise ceiling ({head['ceiling_low']:.2f})"
        reach = (layers["similarity"] >= head["ceiling_low"]).sum()
        below = (layers["p_ceiling_corrected"] < settings["alpha"]) & (
            layers["similarity"] < head["ceiling_low"]
        )
        text += f"{reach} have a similarity of at least {low}, "
        text += f"{below.sum()} are shown to lie below it. "
    generalises = settings["generalises_to"]
    if isinstance(generalises, Mapping):
        generalises = generalises[head["region"]]
    return f"{text}This generalises to {generalises}."


def grouped_notes(notes: Sequence[str]) -> list[str]:
    """Put together notes that say the same of several regions.

    Parameters
    ----------
    notes : sequence of str
        As in ``result.notes``: ``where: what``.

    Returns
    -------
    list of str
        Each ``what`` once, with all its places, in order of first appearance.
    """
    places: dict[str, list[str]] = {}
    for note in notes:
        where, _, what = note.partition(": ")
        if not what:
            where, what = "", note
        places.setdefault(what, []).append(where.removeprefix("region ").replace("'", ""))
    return [
        f"{'; '.join(filter(None, where))}: {what}" if any(where) else what
        for what, where in places.items()
    ]


def _where(region: str, subset: str) -> str:
    """Return a region and subset in words."""
    return (region or "the data") + ("" if subset == "all" else f", {subset}")


def _tables(result: Result) -> list[tuple[str, list[dict]]]:
    """Return a caption and rows per region and subset: last and highest layer of each network."""
    tables = []
    for (subset, region), rows in result.table.groupby(["subset", "region"], sort=False):
        head = rows.iloc[0]
        n = f"{head['n_subjects']} subject{'s' if head['n_subjects'] > 1 else ''}"
        caption = f"{_where(region, subset)}: {n}, {head['n_conditions']} conditions"
        if head["n_subjects"] > 1:
            caption += f", noise ceiling {head['ceiling_low']:.3f} to {head['ceiling_high']:.3f}"
            caption += "" if head["reliable"] else ", no reliable signal"
        else:
            caption += ", no noise ceiling"
        lines = []
        for network, layers in rows.groupby("network", sort=False):
            layers = layers.sort_values("layer_index", kind="stable")
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
