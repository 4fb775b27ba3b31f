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
from rsa_faces._core.words import between, counted, number, p_value
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

    See Also
    --------
    Account : What a run says of its numbers.
    Table : A table of the report, as text.
    write_report : Write the report as one HTML file that needs nothing else.

    Examples
    --------
    >>> from pathlib import Path
    >>> from rsa_faces.report import Picture
    >>> Picture(Path("layers.png"), "Similarity by layer, 16 subjects", "Two rising curves").caption
    'Similarity by layer, 16 subjects'
    """

    path: Path
    caption: str
    alt: str


@dataclass(frozen=True)
class Table:
    """A table of the report, as text.

    Parameters
    ----------
    caption : str
    rows : DataFrame
        Cells as they are shown; columns named as people read them.
    numbers : tuple of str
        Columns that are set flush right.

    See Also
    --------
    Account : What a run says of its numbers.
    Picture : A figure of the report.
    write_report : Write the report as one HTML file that needs nothing else.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.report import Table
    >>> Table("behaviour", pd.DataFrame({"layer": ["fc"], "similarity": ["0.41"]})).caption
    'behaviour'
    """

    caption: str
    rows: pd.DataFrame
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Account:
    """What a run says of its numbers.

    Parameters
    ----------
    findings : sequence of str
        What was found, in plain words; the first is what matters most.
    lead : sequence of Table
        Effect sizes with their intervals that stand before the sentences.
    tables : sequence of Table
    methods : str
        A paragraph for the methods of a paper; [1], [2] … are `references`.
    references, sources : sequence of str
        What the methods and the files that ship ask to cite.
    legend : str
        How the tables are read.

    See Also
    --------
    write_report : Write the report as one HTML file that needs nothing else.
    Picture : A figure of the report.
    Table : A table of the report, as text.

    Examples
    --------
    >>> from rsa_faces.report import Account
    >>> Account(["One layer is similar to the region."], [], "A paragraph.").findings[0]
    'One layer is similar to the region.'
    """

    findings: Sequence[str]
    tables: Sequence[Table]
    methods: str
    references: Sequence[str] = ()
    sources: Sequence[str] = ()
    legend: str = ""
    lead: Sequence[Table] = ()


def write_report(
    path: Path,
    *,
    title: str,
    account: Account,
    notes: Sequence[str],
    pictures: Sequence[Picture],
    provenance: Mapping[str, Any],
) -> None:
    """Write the report as one HTML file that needs nothing else.

    Parameters
    ----------
    path : Path
        Where to.
    title : str
    account : Account
    notes : sequence of str
        What a reader has to know before concluding.
    pictures : sequence of Picture
        In order.
    provenance : mapping
        Versions, seed, hashes.

    See Also
    --------
    rsa_faces.report.methods_text : Write the methods paragraph of a paper.
    answers : Say in plain words what was found, for each region and subset.
    rsa_faces.report.write_results : Write the tables of a result as CSV.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from rsa_faces.report import Account, write_report
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> account = Account(["One layer is similar to the region."], [], "A paragraph.")
    >>> write_report(folder / "report.html", title="Simulated", account=account, notes=[],
    ...              pictures=[], provenance={})
    >>> "One layer is similar" in (folder / "report.html").read_text()
    True
    """
    environment = Environment(
        loader=PackageLoader("rsa_faces.report", "."),
        autoescape=True,
        # What is missing is an error, not an empty place.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("report.html.j2").render(
        title=title,
        account=account,
        notes=grouped_notes(notes),
        pictures=[(_data_uri(p.path), p.caption, p.alt) for p in pictures],
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

    See Also
    --------
    result_tables : Return a table per region and subset: last and highest layer of each network.
    write_report : Write the report as one HTML file that needs nothing else.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> data = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models[:2], data, n_boot=100)
    >>> print(rf.report.answers(result)[0][:60])
    behaviour: 2 of 2 models are shown to be more similar than z
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
    significant = layers[(layers["p_corrected"] < settings["alpha"]) & (layers["similarity"] > 0)]
    text = (
        f"{name}: {len(significant)} of {len(layers)} {what} are shown to be more similar than zero"
    )
    counts = significant.groupby("network", sort=False).size()
    # More would make a paragraph of it; all are in the tables.
    if what == "layers" and 0 < len(counts) <= 4:
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


#: How the tables of :func:`result_tables` are read.
TABLES = (
    "Last layer of each network (chosen before looking), and the highest layer. The highest layer "
    "is chosen on these data, so its value is optimistic. p values are corrected for all layers "
    "and models of the table's region. All numbers are in results.csv."
)


def result_tables(result: Result) -> list[Table]:
    """Return a table per region and subset: last and highest layer of each network.

    Parameters
    ----------
    result : Result

    Returns
    -------
    list of Table

    See Also
    --------
    answers : Say in plain words what was found, for each region and subset.
    rsa_faces.report.write_results : Write the tables of a result as CSV.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> data = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models[:2], data, n_boot=100)
    >>> [table.caption[:30] for table in rf.report.result_tables(result)]
    ['behaviour: 16 subjects, 92 con']
    """
    tables = []
    for (subset, region), rows in result.table.groupby(["subset", "region"], sort=False):
        head = rows.iloc[0]
        n = counted(head["n_subjects"], "subject")
        caption = f"{_where(region, subset)}: {n}, {head['n_conditions']} conditions"
        if head["n_subjects"] > 1:
            caption += f", noise ceiling {between(head['ceiling_low'], head['ceiling_high'])}"
            caption += "" if head["reliable"] else ", no reliable signal"
        else:
            caption += ", no noise ceiling"
        lines = []
        for network, layers in rows.groupby("network", sort=False):
            layers = layers.sort_values("layer_index", kind="stable")
            last, several = layers.iloc[-1], len(layers) > 1
            defined = layers["similarity"].notna().any()
            best = layers.loc[layers["similarity"].idxmax()] if defined else last
            lines.append(
                {
                    "network or model": network,
                    "last layer": last["layer"] if several else "",
                    "similarity": number(last["similarity"]),
                    "interval": between(last["ci_low"], last["ci_high"]),
                    "p, against 0": p_value(last["p_corrected"]),
                    "p, against the lower ceiling": p_value(last["p_ceiling_corrected"]),
                    "highest layer, not corrected for choosing": f"{best['layer']} "
                    f"{number(best['similarity'])} (of {len(layers)})"
                    if several
                    else "",
                }
            )
        numbers = ("similarity", "interval", "p, against 0", "p, against the lower ceiling")
        cells = pd.DataFrame(lines)
        # Of models and networks of one layer there is none to choose.
        cells = cells.loc[:, (cells != "").any()]
        tables.append(Table(caption, cells, numbers))
    return tables


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
