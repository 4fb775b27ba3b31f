"""The best layer of each network, chosen by other subjects than those that judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.words import between, number
from rsa_faces.report import Table

#: Fewer subjects leave nothing to choose by.
FEWEST_SUBJECTS = 4
#: What columns of the table are.
MEANINGS = {
    "similarity": "mean similarity in subjects who did not choose layer and place",
    "ci_low": "lower end of the 95 % interval over subjects (t)",
    "ci_high": "upper end of the 95 % interval over subjects (t)",
    "chosen_layer": "the layer that the other subjects chose most often",
    "share": "share of subjects for whom they did",
}


def held_out_layers(
    values: Mapping[str, np.ndarray], layers: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Choose each network's best layer and place by all subjects but one, and judge it in that one.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n_layers, n_subjects, n_places)
        Similarity of each network's layers; NaN where there is none.
    layers : mapping of str to sequence of str
        Layers of each network.

    Returns
    -------
    DataFrame
        One row per network: its similarity over subjects with an interval, and the layer that was
        chosen most often with its share. Without rows if there are fewer than 4 subjects. The
        interval takes subjects as independent; that they share those who choose is not in it.
    """
    rows = []
    for network, similarity in values.items():
        known = ~np.isnan(similarity)
        filled = np.where(known, similarity, 0.0)
        total, count = filled.sum(axis=1), known.sum(axis=1)
        judged, chosen = [], []
        for s in range(similarity.shape[1]):
            n_others = count - known[:, s]
            with np.errstate(invalid="ignore", divide="ignore"):
                others = np.where(
                    known[:, s] & (n_others > 0), (total - filled[:, s]) / n_others, -np.inf
                )
            layer, place = np.unravel_index(int(others.argmax()), others.shape)
            if np.isfinite(others[layer, place]):
                judged.append(similarity[layer, s, place])
                chosen.append(int(layer))
        if len(judged) < FEWEST_SUBJECTS:
            continue
        mean, n = float(np.mean(judged)), len(judged)
        half = np.std(judged, ddof=1) / np.sqrt(n) * stats.t.ppf(0.975, n - 1)
        most = int(np.bincount(chosen).argmax())
        rows.append(
            {
                "network": network,
                "chosen_layer": layers[network][most],
                "share": chosen.count(most) / n,
                "similarity": mean,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "n_subjects": n,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("similarity", ascending=False, kind="stable") if rows else table


def best_table(table: pd.DataFrame, who: str, where: str) -> Table:
    """Return the best layers as text; `who` chose, and `where` beside the layer."""
    cells = {
        **({"region": table["region"]} if "region" in table else {}),
        "network": table["network"],
        "similarity": table["similarity"].map(number),
        "95 % interval": [*map(between, table["ci_low"], table["ci_high"])],
        "mostly": table["chosen_layer"],
        "in": [f"{share:.0%}" for share in table["share"]],
    }
    caption = f"Best layer of each network, with its {where} chosen by other {who}"
    return Table(caption, pd.DataFrame(cells), ("similarity", "95 % interval", "in"))


def best_findings(table: pd.DataFrame, who: str, where: str) -> list[str]:
    """Say how similar each network's best layer is in those who did not choose it."""
    if table.empty:
        return []
    found = []
    regions = table.groupby("region", sort=False) if "region" in table else [("", table)]
    for region, rows in regions:
        parts = [
            f"{row.network} {number(row.similarity)} (95 % interval "
            f"{between(row.ci_low, row.ci_high)}; mostly {row.chosen_layer})"
            for row in rows.itertuples()
        ]
        head = f"{region}: similarity" if region else "Similarity"
        found.append(
            f"{head} of each network's best layer, judged by {who} who did not choose layer and "
            f"{where}: {', '.join(parts)}."
        )
    return found


def best_methods(table: pd.DataFrame, who: str, where: str) -> str:
    """Return the sentence on held-out layers."""
    if table.empty:
        return ""
    return (
        f" The best layer of each network and its {where} were chosen by the mean of all {who} but "
        "one and judged in that one, each in turn; intervals are t over them."
    )
