"""`rsa-faces compare`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from rsa_faces.cli._running import run_command

if TYPE_CHECKING:
    from rsa_faces.runs._run import Output, Run
    from rsa_faces.runs.compare.config import Config


HELP = """\
Compare every layer of every network with brain and behaviour RDMs.

Extracts activations, builds RDMs, correlates them with each region, tests the similarities
(bootstrap, FDR, noise ceilings), draws the figures and writes a report. The folder it leaves
holds `results.csv`, `tests.csv`, `best_layers.csv` (the best layer of each network, judged by
data that did not choose it), `figures/`, `report.html`, `methods.md` and the provenance. A run
that was stopped goes on where it was and ends with the same numbers.
"""


def _kind() -> type[Run]:
    """Return the kind of run."""
    from rsa_faces.runs.compare.run import CompareRun

    return CompareRun


def _tables(config: Config, output: Output) -> list[Table]:
    """Return one table per region for the first subset: each network's last layer."""
    frame = output.result.to_frame()
    first = frame["subset"].iloc[0]
    alpha = output.result.settings["alpha"]
    judged = output.tables.get("best_layers")
    tables = []
    for region, rows in frame[frame["subset"] == first].groupby("region", sort=False):
        head = rows.iloc[0]
        ceiling = (
            "no ceiling: one subject"
            if head["n_subjects"] < 2
            else f"noise ceiling {head['ceiling_low']:.3f} to {head['ceiling_high']:.3f}"
        )
        if head["n_subjects"] >= 2 and not head["reliable"]:
            ceiling += ", no reliable signal"
        held_out = {}
        if judged is not None:
            here = judged[judged["region"] == region]
            held_out = {row.network: row for row in here.itertuples()}
        table = Table(
            title=f"{region} ({head['method']}; {ceiling}; {head['n_subjects']} subject"
            f"{'s' if head['n_subjects'] > 1 else ''}, "
            f"{head['n_conditions']} conditions)",
            title_justify="left",
            caption=f"* differs from 0 after correction, p < {alpha}. {_of_best(held_out)}",
            caption_justify="left",
        )
        best_name = "best, held out" if held_out else "highest"
        for name in ("network or model", "last layer", "similarity", "95 % interval", best_name):
            right = name == "similarity"
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for network, layers in rows.groupby("network", sort=False):
            last = layers.iloc[-1]
            star = "*" if last["p_corrected"] < alpha else " "
            best = layers.loc[layers["similarity"].idxmax()] if len(layers) > 1 else None
            if last["similarity"] != last["similarity"]:
                similarity, interval = "undefined", ""
            else:
                similarity = f"{last['similarity']:.3f}{star}"
                interval = f"{last['ci_low']:.3f} to {last['ci_high']:.3f}"
            table.add_row(
                str(network),
                "" if best is None else str(last["layer"]),
                similarity,
                interval,
                _best(best, held_out.get(network)),
            )
        tables.append(table)
    return tables


def _of_best(held_out: dict) -> str:
    """Return how the column of best layers is read."""
    if held_out:
        return "The best layer is judged by data that did not choose it."
    return "The highest layer is chosen on these data: its value is optimistic."


def _best(highest: Any, judged: Any) -> str:
    """Return the cell of a network's best layer."""
    if judged is not None:
        interval = f"{judged.ci_low:.3f} to {judged.ci_high:.3f}"
        return f"{judged.chosen_layer} {judged.similarity:.3f} ({interval})"
    return "" if highest is None else f"{highest['layer']} {highest['similarity']:.3f}"


run_command("compare", HELP, _kind, _tables)
