"""The best layer of each network, judged by data that did not choose it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.files import file_names
from rsa_faces._core.words import between, counted, interval_label, number
from rsa_faces.inference import BestLayer, Design, Result, best_layer
from rsa_faces.report import Table
from rsa_faces.runs._job import Job, save_made
from rsa_faces.runs.compare.config import DataConfig

if TYPE_CHECKING:
    from rsa_faces.runs.compare.run import CompareRun

#: Bootstrap samples at most: each cross-validates, and 200 tell a standard error to 5 %.
MOST_SAMPLES = 200
# Conditions and subjects are halved; fewer leave nothing to choose by.
_FEWEST_CONDITIONS, _FEWEST_SUBJECTS = 12, 4
_DROPPED = ["layer", "layer_index", "depth", "max_similarity", "n_pairs"]

#: What columns of the table are.
MEANINGS = {
    "similarity": "mean similarity with held-out conditions and subjects, of the layer that is "
    "best for the others",
    "chosen_layer": "the layer that was best most often",
    "share": "share of the folds in which it was",
    "ceiling_low": "lower noise ceiling, cross-validated with the same folds",
    "ceiling_high": "upper noise ceiling, cross-validated with the same folds",
}


def judged_regions(run: CompareRun) -> list[DataConfig]:
    """Return the regions in which layers can be chosen and judged on different data."""
    inputs, config = run.inputs, run.config
    conditions = next(iter(inputs.subsets.values()))
    several = any(len(layers) > 1 for layers in run.networks.layers.values())
    if not several or inputs.given is not None:
        return []
    groups, blocks = (run._of(part, conditions) for part in (inputs.groups, inputs.blocks))
    units = Design(groups=groups, blocks=blocks).units(conditions)
    if min(len(np.unique(units.groups[own])) for own in units.runs) < _FEWEST_CONDITIONS:
        return []
    found = []
    for entry in config.data:
        data = inputs.data[entry.region]
        drawn = entry.generalise_to or config.inference.generalise_to
        by = config.inference.by
        subjects = data.labels[by].nunique() if by in data.labels else 1
        missing = np.isnan(data.subset(conditions).vectors[:, units.used]).any()
        if missing or (drawn != "conditions" and subjects < _FEWEST_SUBJECTS):
            continue
        found.append(entry)
    return found


def jobs(run: CompareRun) -> list[Job]:
    """Return what finds each region's held-out similarity of each network's best layer."""
    subset, conditions = next(iter(run.inputs.subsets.items()))
    models = run.models.subset(conditions)
    counts = models.labels.groupby("network")["layer"].transform("size").to_numpy()
    named = models.labels["network"].isin([e.name for e in run.config.networks]).to_numpy()
    models = models[np.flatnonzero((counts > 1) & named).tolist()]
    regions = file_names(entry.region for entry in run.config.data)
    found = []
    for entry in judged_regions(run):
        path = f"parts/best-layers--{regions[entry.region]}.h5"
        data = run.inputs.data[entry.region].subset(conditions)
        options = {
            "method": run.config.method,
            **run.options(entry, conditions, "correction", "family", "tail"),
        }
        options["n_boot"] = min(options["n_boot"], MOST_SAMPLES)
        found.append(
            Job(
                f"best layers in {entry.region}",
                f"best layers {entry.region}",
                [models.hash, data.hash, subset, repr(options)],
                [path],
                save_made,
                (best_layer, models, data, {"subset": subset, **options}, run.folder / path),
            )
        )
    return found


def table(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the held-out similarity of each network's best layer in each region."""
    tables = []
    for path in paths:
        best = BestLayer.load(path)
        chosen = best.chosen.sort_values("share", ascending=False, kind="stable")
        first = chosen.drop_duplicates("network").set_index("network")
        table = best.result.table.drop(columns=_DROPPED)
        table.insert(3, "chosen_layer", table["network"].map(first["layer"]))
        table.insert(4, "share", table["network"].map(first["share"]))
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def shown_rows(table: pd.DataFrame, result: Result) -> pd.DataFrame:
    """Return a row per region and network or model of the first subset.

    Of several layers the best, on held-out data; of one layer, of models, and in regions where
    nothing can be held out the last, which was chosen before looking.
    """
    from rsa_faces.figures import last_layers

    rows = last_layers(result.table)
    rows = rows[rows["subset"] == result.table["subset"].iloc[0]]
    if table.empty:
        return rows.assign(chosen_layer="")
    known = pd.MultiIndex.from_frame(table[["region", "network"]])
    alone = ~pd.MultiIndex.from_frame(rows[["region", "network"]]).isin(known)
    return pd.concat([table, rows[alone]], ignore_index=True).fillna({"chosen_layer": ""})


def lead(table: pd.DataFrame, result: Result) -> list[Table]:
    """Return the table that comes first: a row per network, a column per region."""
    rows = shown_rows(table, result)
    columns, names = {}, []
    for region in result.table["region"].unique():
        shown = rows[rows["region"] == region]
        judged = (shown["chosen_layer"] != "").any()
        head = shown.iloc[0]
        name = f"{region or 'the data'} (n = {head['n_subjects']})"
        known = head["n_subjects"] > 1
        ceiling = between(head["ceiling_low"], head["ceiling_high"]) if known else "none"
        cells = {"noise ceiling": ceiling}
        for row in shown.sort_values("similarity", ascending=False, kind="stable").itertuples():
            # NaN, which is not equal to itself: nothing is known.
            if row.similarity == row.similarity:
                interval = between(row.ci_low, row.ci_high)
                cells[row.network] = f"{number(row.similarity)} ({interval})"
        columns[f"{name}{'' if judged or not len(table) else ', last layer'}"] = cells
        names += [network for network in cells if network not in names]
    cells = pd.DataFrame(columns).reindex([*names[1:], names[0]]).fillna("–")
    what = "best layer, judged by data that did not choose it" if len(table) else "last layer"
    level = interval_label(result.settings["alpha"])
    n = counted(int(rows["n_conditions"].iloc[0]), "condition")
    # Elsewhere in the report ceilings are of all data at once: near these, and not the same.
    same = "; noise ceilings are of the same folds" if len(table) else ""
    caption = f"Similarity of each network's {what}, with its {level} ({n}{same})"
    cells.insert(0, "network", cells.index)
    return [Table(caption, cells, tuple(columns))]


def findings(table: pd.DataFrame, result: Result) -> list[str]:
    """Say for each region in which layers are judged which network or model is most similar."""
    texts = []
    rows = shown_rows(table, result)
    for region in table["region"].unique() if len(table) else ():
        of_region = rows[rows["region"] == region]
        row = of_region.loc[of_region["similarity"].idxmax()]
        mostly = f"; mostly {row['chosen_layer']}" if row["chosen_layer"] else ""
        texts.append(
            f"{region or 'The data'}: {row['network']} is highest, "
            f"{number(row['similarity'])} ({interval_label(result.settings['alpha'])} "
            f"{between(row['ci_low'], row['ci_high'])}{mostly})."
        )
    return texts


def tables(table: pd.DataFrame) -> list[Table]:
    """Return the best layers of each region as text, the most similar first."""
    if table.empty:
        return []
    found = []
    for region, rows in table.groupby("region", sort=False):
        rows = rows.sort_values("similarity", ascending=False, kind="stable")
        cells = pd.DataFrame(
            {
                "network": rows["network"],
                "similarity": rows["similarity"].map(number),
                "interval": [*map(between, rows["ci_low"], rows["ci_high"])],
                "layer chosen most often": rows["chosen_layer"],
                "in": [f"{share:.0%} of folds" for share in rows["share"]],
            }
        )
        caption = f"{region or 'The data'}: best layer of each network, on held-out data"
        found.append(Table(caption, cells, ("similarity", "interval", "in")))
    return found


def methods(table: pd.DataFrame, n_boot: int) -> str:
    """Return the sentences on held-out layers."""
    if table.empty:
        return ""
    regions = ", ".join(map(str, dict.fromkeys(table["region"])))
    return (
        " The best layer of each network was chosen in one half of conditions and subjects and "
        f"judged in the other ({regions}; 100 random halvings; standard errors from "
        f"{min(n_boot, MOST_SAMPLES)} bootstrap samples)."
    )
