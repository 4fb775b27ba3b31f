"""What `rsa-faces analyse` reports of its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rsa_faces import __version__
from rsa_faces.report import Account, Table
from rsa_faces.runs._people import people_column
from rsa_faces.runs._sources import crops, layers_of, sources
from rsa_faces.runs.analyse.questions import Question
from rsa_faces.stimuli.clips import ClipSet

if TYPE_CHECKING:
    from rsa_faces.runs.analyse.run import AnalyseRun

#: How the tables are read.
LEGEND = (
    "Rows that a reader wants first: of each network the layer with the highest value, which is "
    "chosen on these data and therefore optimistic. All rows are in the CSV files."
)


def account(run: AnalyseRun) -> Account:
    """Return what was found, how, and the tables of each question."""
    config = run.config
    names = [entry.name for entry in config.networks]
    answered = list(zip(run.questions, run.tables.items(), strict=True))
    return Account(
        findings=[
            f"{question.title()}: {sentence}"
            for question, (_, table) in answered
            for sentence in question.findings(table)
        ],
        tables=[answer_table(question, name, table) for question, (name, table) in answered],
        methods=_methods(run) + crops(run.networks),
        sources=sources([config.stimuli.dataset], names),
        legend=LEGEND,
    )


def answer_table(question: Question, name: str, table: pd.DataFrame) -> Table:
    """Return the rows and columns of an answer that a reader wants first, as text."""
    rows = question.shown(table)
    text = rows.map(lambda v: f"{v:.3g}" if isinstance(v, float) else str(v)).replace("nan", "–")
    text = text.rename(columns=lambda column: column.replace("_", " "))
    numbers = [c.replace("_", " ") for c in rows.select_dtypes("number")]
    for low in [c for c in text if c.endswith(" low") and f"{c[:-3]}high" in text]:
        # Both ends stand in one column; of the first interval without its name.
        what = low.removesuffix(" low")
        interval = "interval" if what == "ci" else f"interval of {what}"
        text[low] = text[low] + " to " + text[f"{what} high"]
        text = text.drop(columns=f"{what} high").rename(columns={low: interval})
    title = name.partition("-")[2].replace("-", " ")
    if len(rows) < len(table):
        title += f": {len(rows)} of {len(table)} rows"
    return Table(title, text, tuple(c for c in numbers if c in text))


def _methods(run: AnalyseRun) -> str:
    """Write the methods paragraph."""
    config, labels = run.config, run.labels
    simulated = config.stimuli.dataset == "simulated_faces"
    column = people_column(labels)
    kind = "clips" if isinstance(run.stimuli, ClipSet) else "images"
    of = f" of {labels[column].nunique()} people" if column else ""
    asked = " ".join(question.method_sentence() for question in run.questions)
    return (
        f"{len(run.stimuli)} {'simulated faces' if simulated else kind}{of} were shown to "
        f"{layers_of(run.networks)}; features were taken once from each layer of the frozen "
        f"networks. {asked} Computed with rsa-faces {__version__}, seed {config.seed}."
    )
