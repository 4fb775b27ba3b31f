"""The best layer of each network: chosen by other data than those that judge it, or said not to be.

Where subjects can be halved they choose and judge; where there are folds of a read-out, these do.
Everywhere else the highest layer is reported with the number of layers that it was chosen from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.student import half_width
from rsa_faces._core.words import between, number
from rsa_faces.analyses._intervals import interval_of_rate
from rsa_faces.report import Table

#: Fewer subjects leave nothing to choose by.
FEWEST_SUBJECTS = 4
# Each halving is one way to choose; over so many the answer depends little on which were drawn, and
# less than on who the subjects are.
_N_HALVINGS = 50
# Places of which sums are held at a time: 50 MB for all halves, however fine the map is.
_AT_ONCE = 2**16
#: What columns of the table are.
MEANINGS = {
    "similarity": "mean similarity in subjects who did not choose layer and place",
    "ci_low": "lower end of the 95 % interval, of one half of the subjects (t)",
    "ci_high": "upper end of the 95 % interval, of one half of the subjects (t)",
    "chosen_layer": "the layer that was chosen most often",
    "share": "share of halves that chose it",
}
#: What columns of the best layer of folds are.
FOLD_MEANINGS = {
    "held_out": "accuracy, or r, of the best layer in each fold, which the other folds chose; the "
    "same for all layers of a network",
    "held_out_low": "lower end of its 95 % interval over folds (corrected resampled t; where all "
    "folds are alike, Clopper and Pearson's)",
    "held_out_high": "upper end of its 95 % interval over folds (likewise)",
    "held_out_layer": "the layer that they chose most often",
}


def highest(
    table: pd.DataFrame, column: str, of: Sequence[str], layers: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the row with the highest value of each group, in the order of the table.

    Parameters
    ----------
    table : DataFrame
    column : str
        By which rows are chosen.
    of : sequence of str
        Columns that tell groups apart; one row of all without them.
    layers : sequence of str
        Columns that tell layers apart. Where rows are chosen from several layers a column
        ``chosen`` says from how many, unless held-out values stand beside them.
    """
    values = table[column].astype(float).reset_index(drop=True).fillna(-np.inf)
    keys = [table[c].reset_index(drop=True) for c in of] or [pd.Series(0, values.index)]
    groups = values.groupby(keys, sort=False, dropna=False)
    rows = table.iloc[groups.idxmax().to_list()]
    known = [c for c in layers if c in table and c not in of]
    if known and "held_out" not in table:
        names = table[known].astype(str).agg(" and ".join, axis=1).reset_index(drop=True)
        counts = names.groupby(keys, sort=False, dropna=False).nunique()
        rows = rows.assign(chosen=[not_corrected(n, len(known)) for n in counts])
    return rows


def not_corrected(n: int, at_once: int = 1) -> str:
    """Say that a value is the highest of some layers (or pairs of them); nothing of one."""
    what = "layers" if at_once == 1 else "pairs of layers"
    return f"highest of {n} {what}, not corrected for choosing" if n > 1 else ""


def held_out_folds(rows: pd.DataFrame, *, classes: bool) -> dict[str, Any]:
    """Return how well the best layer does in folds that did not choose it; nothing of one layer.

    Parameters
    ----------
    rows : DataFrame
        ``layer``, ``label``, ``predicted`` (held out) and ``fold`` of each stimulus and layer.
    classes : bool
        Whether labels are classes or numbers.
    """
    if classes:
        rows = rows.assign(loss=(rows["label"] != rows["predicted"]).astype(float))
    else:
        rows = rows.assign(loss=(rows["label"] - rows["predicted"]).astype(float) ** 2)
    losses = rows.groupby(["layer", "fold"], sort=False)["loss"].sum().unstack()
    if min(losses.shape) < 2:
        return {}

    def score(some: pd.DataFrame) -> float:
        if classes:
            return float(1 - some["loss"].mean())
        return float(some["label"].astype(float).corr(some["predicted"].astype(float)))

    others = losses.sum(axis=1).to_numpy()[:, None] - losses.to_numpy()
    chosen = others.argmin(axis=0)
    layers = losses.index.to_numpy()
    parts = [
        rows[(rows["fold"] == fold) & (rows["layer"] == layers[k])]
        for fold, k in zip(losses.columns, chosen, strict=True)
    ]
    # Two values always correlate by 1 or -1.
    values = [score(part) for part in parts if classes or len(part) > 2]
    value = score(pd.concat(parts))
    n = len(values)
    # Nadeau and Bengio (2003): folds share those who choose.
    error = np.std(values, ddof=1) * np.sqrt(1 / n + 1 / (n - 1)) if n > 1 else np.nan
    half = half_width(error, n - 1)
    low, high = np.clip([value - half, value + half], 0 if classes else -1, 1)
    if classes and error == 0:  # folds that are all alike do not mean that others would be
        low, high = interval_of_rate(value, 0.0, n, 0.05)
    most = int(np.bincount(chosen).argmax())
    return {
        "held_out": value,
        "held_out_low": float(low),
        "held_out_high": float(high),
        "held_out_layer": layers[most],
    }


def fold_sentence(row: pd.Series, effect: str) -> str:
    """Say how well a network's best layer does in folds that did not choose it."""
    interval = between(row["held_out_low"], row["held_out_high"])
    return (
        f"{effect} {number(row['held_out'])} in the best layer, chosen by other folds "
        f"(95 % interval {interval}; mostly {row['held_out_layer']})"
    )


def held_out_layers(
    values: Mapping[str, np.ndarray], layers: Mapping[str, Sequence[str]], *, seed: int = 0
) -> pd.DataFrame:
    """Choose each network's best layer and place in one half of subjects, judge it in the other.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n_layers, n_subjects, n_places)
        Similarity of each network's layers; NaN where there is none.
    layers : mapping of str to sequence of str
        Layers of each network.
    seed : int, default 0
        Of the random halves.

    Returns
    -------
    DataFrame
        One row per network: its similarity over halves with an interval, and the layer that was
        chosen most often with its share. Without rows if there are fewer than 4 subjects. Only
        places count at which all subjects have a similarity.

    Notes
    -----
    The mean over 50 random halvings is not made better by choosing. The interval is that of one
    half of the subjects, whose values are independent of the choice: halvings share subjects, and
    what averaging over them gains is not counted.
    """
    rows = []
    for network, similarity in values.items():
        there = np.flatnonzero(~np.isnan(similarity).all(axis=(0, 2)))
        known = ~np.isnan(similarity[:, there]).any(axis=1)
        if len(there) < FEWEST_SUBJECTS or not known.any():
            continue
        flat = np.moveaxis(similarity, 1, 0)[there][:, known]
        halves = _halves(len(there), seed)
        chosen = _highest(flat, halves)
        judged = [flat[~half, place] for half, place in zip(halves, chosen, strict=True)]
        mean = float(np.mean([some.mean() for some in judged]))
        error = np.sqrt(np.mean([some.var(ddof=1) / len(some) for some in judged]))
        half = half_width(error, min(map(len, judged)) - 1)
        layer = np.bincount(np.nonzero(known)[0][chosen], minlength=len(similarity))
        rows.append(
            {
                "network": network,
                "chosen_layer": layers[network][int(layer.argmax())],
                "share": layer.max() / layer.sum(),
                "similarity": mean,
                "ci_low": max(mean - half, -1.0),
                "ci_high": min(mean + half, 1.0),
                "n_subjects": len(there),
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("similarity", ascending=False, kind="stable") if rows else table


def _halves(n_subjects: int, seed: int) -> np.ndarray:
    """Return who chooses, (2 * halvings, n_subjects): each half of each random halving."""
    rng = np.random.default_rng(seed)
    one = np.zeros((_N_HALVINGS, n_subjects), bool)
    one[:, : n_subjects // 2] = True
    one = rng.permuted(one, axis=1)
    return np.concatenate([one, ~one])


def _highest(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Return for each half where the mean of its subjects is highest; some places at a time."""
    best, chosen = np.full(len(halves), -np.inf), np.zeros(len(halves), int)
    for start in range(0, values.shape[1], _AT_ONCE):
        sums = halves.astype(float) @ values[:, start : start + _AT_ONCE]
        place = sums.argmax(axis=1)
        highest = sums[np.arange(len(halves)), place]
        better = highest > best
        best[better], chosen[better] = highest[better], start + place[better]
    return chosen


def best_table(table: pd.DataFrame, who: str, where: str) -> Table:
    """Return the best layers as text; `who` chose, and `where` beside the layer."""
    cells = {
        **({"region": table["region"]} if "region" in table else {}),
        "network": table["network"],
        "similarity": table["similarity"].map(number),
        "95 % interval": [*map(between, table["ci_low"], table["ci_high"])],
    }
    if table["chosen_layer"].any():  # models have no layers
        cells |= {
            "mostly": table["chosen_layer"],
            "in": [f"{share:.0%}" for share in table["share"]],
        }
    caption = f"Best layer of each network, with its {where} chosen by other {who}"
    numbers = tuple(c for c in ("similarity", "95 % interval", "in") if c in cells)
    return Table(caption, pd.DataFrame(cells), numbers)


def _mostly(layer: str) -> str:
    """Say which layer was chosen most often; models have none."""
    return f"; mostly {layer}" if layer else ""


def best_findings(table: pd.DataFrame, who: str, where: str) -> list[str]:
    """Say how similar each network's best layer is in those who did not choose it."""
    if table.empty:
        return []
    findings = []
    regions = table.groupby("region", sort=False) if "region" in table else [("", table)]
    for region, rows in regions:
        parts = [
            f"{row.network} {number(row.similarity)} (95 % interval "
            f"{between(row.ci_low, row.ci_high)}{_mostly(row.chosen_layer)})"
            for row in rows.itertuples()
        ]
        head = f"{region}: similarity" if region else "Similarity"
        findings.append(
            f"{head} of each network's best layer, judged by {who} who did not choose layer and "
            f"{where}: {', '.join(parts)}."
        )
    return findings


def best_methods(table: pd.DataFrame, who: str, where: str) -> str:
    """Return the sentence on held-out layers."""
    if table.empty:
        return ""
    return (
        f" The best layer of each network and its {where} were chosen in one half of the {who} and "
        f"judged in the other ({_N_HALVINGS} random halvings); intervals are those of one half."
    )
