"""`rsa-faces analyse`: what features tell beyond their geometry."""

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
    Jobs,
    Json,
    Settings,
    execute,
)

if TYPE_CHECKING:
    from rsa_faces.runs._run import Output
    from rsa_faces.runs.analyse.config import AnalysesConfig


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
    config: ConfigFile,
    settings: Settings = None,
    folder: Folder = None,
    fresh: Fresh = False,
    device: Device = "auto",
    jobs: Jobs = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Ask what features tell: read-out, transfer, congruence, robustness, groups and more.

    Features are taken once from each network and kept; a run that was stopped goes on. Leaves a
    table (CSV) and figures (SVG, PDF, PNG) for each question, a report and the provenance. The
    questions are in the examples analyses, kdef and photographs; each is a function of
    rsa_faces.analyses.
    """
    from rsa_faces.runs.analyse.run import AnalyseRun

    execute(
        AnalyseRun,
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


def _tables(config: AnalysesConfig, output: Output) -> list[Table]:
    """Return some rows of each answer."""
    tables = []
    for entry, (name, found) in zip(config.analyses, output.tables.items(), strict=True):
        columns = _SHOWN.get(entry.analysis, list(found)[:8])
        shown = _spread(found)[[c for c in columns if c in found]]
        few = len(shown) < len(found)
        caption = f"{len(shown)} of {len(found)} rows; all are in {name}.csv." if few else None
        table = Table(title=name.partition("-")[2].replace("-", " "), caption=caption)
        for column in shown:
            table.add_column(column, justify="left" if shown[column].dtype == object else "right")
        for row in shown.itertuples(index=False):
            table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row))
        tables.append(table)
    return tables


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
