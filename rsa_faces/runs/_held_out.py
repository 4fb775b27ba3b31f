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
_N_HALVINGS = 50
#: What columns of the table are.
MEANINGS = {
    "similarity": "mean similarity in subjects who did not choose layer and place",
    "ci_low": "lower end of the 95 % interval, of one half of the subjects (t)",
    "ci_high": "upper end of the 95 % interval, of one half of the subjects (t)",
    "chosen_layer": "the layer that was chosen most often",
    "share": "share of halves that chose it",
}


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
        chosen most often with its share. Without rows if there are fewer than 4 subjects.

    Notes
    -----
    The mean over 50 random halvings is not made better by choosing. The interval is that of one
    half of the subjects, whose values are independent of the choice: halvings share subjects, and
    what averaging over them gains is not counted.
    """
    rows = []
    for network, similarity in values.items():
        rng = np.random.default_rng(seed)
        there = np.flatnonzero(~np.isnan(similarity).all(axis=(0, 2)))
        if len(there) < FEWEST_SUBJECTS:
            continue
        halves = []
        for _ in range(_N_HALVINGS):
            order = rng.permutation(there)
            one, other = order[: len(order) // 2], order[len(order) // 2 :]
            halves += [_judged(similarity, *pair) for pair in ((one, other), (other, one))]
        means, variances, sizes, chosen = map(np.array, zip(*halves, strict=True))
        mean = float(means.mean())
        half = np.sqrt(variances.mean()) * stats.t.ppf(0.975, sizes.min() - 1)
        most = int(np.bincount(chosen.astype(int)).argmax())
        rows.append(
            {
                "network": network,
                "chosen_layer": layers[network][most],
                "share": float((chosen == most).mean()),
                "similarity": mean,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "n_subjects": len(there),
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("similarity", ascending=False, kind="stable") if rows else table


def _judged(
    similarity: np.ndarray, choosing: np.ndarray, judging: np.ndarray
) -> tuple[float, float, int, int]:
    """Return mean, its squared error and number of judging subjects, and the layer chosen.

    Only places are chosen at which all subjects have a similarity.
    """
    mean = similarity[:, choosing].mean(axis=1)
    known = ~np.isnan(mean) & ~np.isnan(similarity[:, judging]).any(axis=1)
    layer, place = np.unravel_index(int(np.where(known, mean, -np.inf).argmax()), mean.shape)
    values = similarity[layer, judging, place]
    return float(values.mean()), float(values.var(ddof=1) / len(values)), len(values), int(layer)


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
        f" The best layer of each network and its {where} were chosen in one half of the {who} and "
        f"judged in the other ({_N_HALVINGS} random halvings); intervals are those of one half."
    )
