"""`rsa-faces compare`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rsa_faces.cli._console import app, guarded
from rsa_faces.cli._running import (
    Cluster,
    ConfigFile,
    Device,
    Folder,
    Fresh,
    HelpConfig,
    Jobs,
    Json,
    Settings,
    execute,
)

if TYPE_CHECKING:
    from rsa_faces.runs._run import Output
    from rsa_faces.runs.compare.config import Config


@app.command()
@guarded
def compare(
    config: ConfigFile,
    settings: Settings = None,
    folder: Folder = None,
    fresh: Fresh = False,
    device: Device = "auto",
    jobs: Jobs = None,
    cluster: Cluster = None,
    as_json: Json = False,
    help_config: HelpConfig = False,
) -> None:
    """Compare every layer of every network with brain and behaviour RDMs.

    Extracts activations, builds RDMs, correlates them with each region, tests the similarities
    (bootstrap, FDR, noise ceilings), draws the figures and writes a report. The folder it leaves
    holds `results.csv`, `tests.csv`, `figures/`, `report.html`, `methods.md` and the provenance.
    A run that was stopped goes on where it was and ends with the same numbers.
    """
    from rsa_faces.runs.compare.run import CompareRun

    execute(
        CompareRun,
        config,
        settings,
        folder,
        fresh=fresh,
        device=device,
        jobs=jobs,
        cluster=cluster,
        as_json=as_json,
        show=_tables,
    )


def _tables(config: Config, output: Output) -> list[Table]:
    """Return one table per region for the first subset: each network's last layer."""
    frame = output.result.to_frame()
    first = frame["subset"].iloc[0]
    alpha = output.result.settings["alpha"]
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
        table = Table(
            title=f"{region} ({head['method']}; {ceiling}; {head['n_subjects']} subject"
            f"{'s' if head['n_subjects'] > 1 else ''}, "
            f"{head['n_conditions']} conditions)",
            title_justify="left",
            caption=f"* differs from 0 after correction, p < {alpha}. The highest layer is chosen "
            "on these data: its value is optimistic.",
            caption_justify="left",
        )
        for name in ("network or model", "last layer", "similarity", "95 % interval", "highest"):
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
                "" if best is None else f"{best['layer']} {best['similarity']:.3f}",
            )
        tables.append(table)
    return tables
