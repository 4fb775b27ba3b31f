"""`rsa-faces analyse`: what features tell beyond their geometry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rsa_faces.cli._app import app, err, guarded, out, say

_SHOWN = {  # columns of the table printed, by analysis
    "readout": ["network", "layer", "accuracy", "r", "ci_low", "ci_high", "chance", "p_corrected"],
    "transfer": ["trained", "layer", "task", "accuracy", "r", "ci_low", "ci_high", "chance", "p"],
    "congruence": ["network", "layer", "congruence", "null_low", "null_high", "corrected"],
    "groups": ["network", "group_a", "group_b", "n_pairs", "rate", "ci_low", "ci_high"],
    "map": ["source_network", "target_network", "map", "n_pairs", "auc", "accuracy"],
    "agreement": ["network_a", "layer_a", "network_b", "layer_b", "method", "value", "p_corrected"],
    "robustness": ["network", "layer", "degradation", "strength", "stability", "auc"],
    "topography": [
        "network",
        "layer",
        "unit",
        "field_bias",
        "central",
        "peripheral",
        "p_corrected",
    ],
    "stimuli": ["place", "stimulus"],
    "landmarks": ["network", "layer", "measurement", "r", "p_corrected", "baseline_r"],
    "face space": ["component", "explained", "cumulative"],
    "traits": ["features", "trait", "r", "ci_low", "ci_high", "p_corrected"],
    "homophily": ["network", "term", "estimate", "ci_low", "ci_high", "p"],
    "membership": ["network", "layer", "sign", "auc", "ci_low", "ci_high", "p"],
}
_ROWS = 12


@app.command()
@guarded
def analyse(
    config: Annotated[
        Path, typer.Argument(help="The questions, a YAML file such as configs/analyses.yaml.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. seed=1; repeat."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; default results/<config>."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:1: where networks run.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables for machines.")] = False,
) -> None:
    """Ask what features tell: read-out, transfer, congruence, robustness, groups and more.

    Features are taken once from each network and kept; a run that was stopped goes on. Leaves a
    table (CSV) and figures (SVG, PDF, PNG) for each question, and the provenance. The questions
    are in configs/analyses.yaml and configs/photographs.yaml; each is a function of
    rsa_faces.analyses.
    """
    from rsa_faces._core.files import slug
    from rsa_faces.runs.analyse.config import load_analyses_config
    from rsa_faces.runs.analyse.run import run_analyses

    settled = load_analyses_config(config, settings or [])
    target = folder or Path("results") / config.stem
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=err, transient=True, disable=as_json or not err.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("reading", total=None)

        def on_step(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if bar.disable and not as_json:
                err.print(f"[{done}/{total}] {what}", markup=False)

        output = run_analyses(settled, target, device=device, on_step=on_step)
    if as_json:
        found = {k: json.loads(t.to_json(orient="records")) for k, t in output.tables.items()}
        typer.echo(json.dumps(found, indent=1))
        return
    for entry, (name, found) in zip(settled.analyses, output.tables.items(), strict=True):
        shown = _spread(found)[[c for c in _SHOWN[entry.analysis] if c in found]]
        table = Table(title=name.split(" ", 1)[1])
        for column in shown:
            table.add_column(column, justify="left" if shown[column].dtype == object else "right")
        for row in shown.itertuples(index=False):
            table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row))
        out.print(table)
        if len(shown) < len(found):
            out.print(f"{len(shown)} of {len(found)} rows; all are in the table.", markup=False)
        out.print(f"Table:  {output.folder / slug(name)}.csv", markup=False, soft_wrap=True)
        for figure in output.figures[name]:
            out.print(f"Figure: {figure}", markup=False, soft_wrap=True)
    for note in output.notes:
        say("note", note, style="yellow")


def _spread(table):
    """Return some rows of each network, from its first to its last."""
    if len(table) <= _ROWS:
        return table
    if "network" not in table:
        return table.head(_ROWS)
    import pandas as pd

    parts = [rows for _, rows in table.groupby("network", sort=False)]
    n = max(_ROWS // len(parts), 2)
    step = [[round(i * (len(rows) - 1) / (n - 1)) for i in range(n)] for rows in parts]
    return pd.concat(
        [rows.iloc[sorted(set(which))] for rows, which in zip(parts, step, strict=True)]
    )
