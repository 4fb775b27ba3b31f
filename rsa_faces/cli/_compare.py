"""`rsa-faces compare`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from rsa_faces._core.words import between, counted, interval_label, number
from rsa_faces.cli._running import run_command, text_table

if TYPE_CHECKING:
    import pandas as pd

    from rsa_faces.runs._run import Output
    from rsa_faces.runs.compare.config import Config


HELP = """\
Compare every layer of every network with brain and behaviour RDMs.

Extracts activations, builds RDMs, correlates them with each region, tests the similarities
(bootstrap, FDR, noise ceilings), draws the figures and writes a report. The folder it leaves
holds `results.csv`, `tests.csv`, `best_layers.csv` (the best layer of each network, judged by
data that did not choose it), `figures/`, `report.html`, `methods.md` and the provenance. A run
that was stopped goes on where it was and ends with the same numbers.
"""


def _tables(config: Config, output: Output) -> list[Table]:
    """Return one table per region for the first subset: each network's last and best layer."""
    from pandas import DataFrame

    frame = output.result.to_frame()
    first = frame["subset"].iloc[0]
    alpha = output.result.settings["alpha"]
    judged = output.tables.get("best_layers")
    ceilings = output.tables["ceilings"].set_index(["subset", "region"])
    tables = []
    for region, rows in frame[frame["subset"] == first].groupby("region", sort=False):
        held_out = {}
        if judged is not None:
            held_out = {row.network: row for row in judged[judged["region"] == region].itertuples()}
        column = "best, held out" if held_out else "highest (optimistic)"
        lines = []
        for network, layers in rows.groupby("network", sort=False):
            last = layers.iloc[-1]
            best = layers.loc[layers["similarity"].idxmax()] if len(layers) > 1 else None
            tested = last["similarity"] == last["similarity"]
            interval = between(last["ci_low"], last["ci_high"]) if tested else ""
            lines.append(
                {
                    "network or model": str(network),
                    "last layer": "" if best is None else str(last["layer"]),
                    "similarity": number(last["similarity"])
                    + ("*" if last["p_corrected"] < alpha else " " if tested else ""),
                    interval_label(alpha): between(last["ci_low"], last["ci_high"])
                    if tested
                    else "",
                    column: _best(best, held_out.get(network)),
                }
            )
        ceiling = ceilings.loc[(first, region)]
        title = f"{region} ({rows.iloc[0]['method']}; {_of_ceiling(ceiling)}; * p < {alpha})"
        tables.append(text_table(title, DataFrame(lines), right=["similarity"]))
    return tables


def _of_ceiling(row: pd.Series) -> str:
    """Return how reliable the data are, and their numbers."""
    n = counted(row["n_conditions"], "condition")
    if row["n_subjects"] < 2:
        return f"no ceiling: one subject; {n}"
    text = f"noise ceiling {between(row['ceiling_low'], row['ceiling_high'])}"
    if row["cronbach_alpha"] == row["cronbach_alpha"]:
        text += f", Cronbach's α {number(row['cronbach_alpha'], 2)}"
    unsure = "" if row["reliable"] else ", no reliable signal"
    return f"{text}{unsure}; {row['n_subjects']} subjects, {n}"


def _best(highest: Any, judged: Any) -> str:
    """Return the cell of a network's best layer, judged by data that did not choose it if any."""
    if judged is not None:
        interval = between(judged.ci_low, judged.ci_high)
        return f"{judged.chosen_layer} {number(judged.similarity)} ({interval})"
    return "" if highest is None else f"{highest['layer']} {number(highest['similarity'])}"


run_command("compare", "CompareRun", HELP, _tables)
