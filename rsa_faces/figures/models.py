"""Model comparison: similarities of a handful of models with one region."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rsa_faces._errors import InputError
from rsa_faces._validation import check_choice
from rsa_faces.figures._style import CEILING, PAGE, similarity_label, style
from rsa_faces.inference import Result

MAX_MODELS = 30


def last_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last layer of each network, and each model of one layer."""
    last = table.groupby(["subset", "region", "network"], sort=False)["layer_index"].idxmax()
    return table.loc[last]


def plot_models(
    result: Result,
    *,
    region: str | None = None,
    subset: str | None = None,
    rows: pd.DataFrame | None = None,
    ax: np.ndarray | None = None,
) -> np.ndarray:
    """Draw similarities of models with one region, and which of them differ.

    Parameters
    ----------
    result : Result
        From :func:`rsa_faces.evaluate`.
    region, subset : str, optional
        The first by default.
    rows : DataFrame, optional
        Rows of ``result.table`` to draw; by default the last layer of each network and all models.
        Choosing the best layer on these data would be circular.
    ax : ndarray of 2 Axes, optional
        For the similarities and for the pairwise tests.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Left: similarity with interval, subjects as small dots, noise ceiling; models are sorted.
        Right: which pairs differ after correction; the colour says which of the two is nearer.

    Raises
    ------
    InputError
        If there are no models, or more than 30.
    """
    table = result.table
    region = check_choice(
        region or table["region"].iloc[0], table["region"].unique(), what="region"
    )
    subset = check_choice(
        subset or table["subset"].iloc[0], table["subset"].unique(), what="subset"
    )
    if rows is None:
        rows = last_layers(table)
    rows = rows[(rows["region"] == region) & (rows["subset"] == subset)]
    rows = rows[rows["similarity"].notna()].sort_values("similarity", kind="stable")
    if not 0 < len(rows) <= MAX_MODELS:
        raise InputError(
            f"expected 1 to {MAX_MODELS} models to draw, got {len(rows)}. Choose some with `rows`."
        )
    alpha = result.settings.get("alpha", 0.05)
    with style():
        if ax is None:
            height = 0.75 + 0.155 * len(rows)
            figure, ax = plt.subplots(
                1, 2, figsize=(PAGE * 0.8, height), gridspec_kw={"width_ratios": [2.2, 1]},
                layout="constrained",
            )  # fmt: skip
        _draw_similarities(ax[0], rows, result, alpha)
        _draw_pairs(ax[1], rows, result, alpha)
    return np.asarray(ax, dtype=object)


def _names(rows: pd.DataFrame) -> list[str]:
    """Return `network layer` of each row."""
    return [
        f"{n}  {layer}".strip() for n, layer in zip(rows["network"], rows["layer"], strict=True)
    ]


def _draw_similarities(axes: Axes, rows: pd.DataFrame, result: Result, alpha: float) -> None:
    """Draw points, intervals, subjects and the ceiling."""
    head = rows.iloc[0]
    place = np.arange(len(rows))
    if np.isfinite(head["ceiling_low"]) and head["reliable"]:
        axes.axvspan(head["ceiling_low"], head["ceiling_high"], color=CEILING, linewidth=0,
                     label="noise ceiling")  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.5)
    subjects = result.subjects
    subjects = subjects[(subjects["region"] == head["region"])
                        & (subjects["subset"] == head["subset"])]  # fmt: skip
    shown = subjects.groupby(["network", "layer"], sort=False)["similarity"]
    if head["n_subjects"] > 1:
        for y, (_, row) in zip(place, rows.iterrows(), strict=True):
            values = shown.get_group((row["network"], row["layer"]))
            axes.plot(values, np.full(len(values), y), ".", color="#888888", markersize=2, zorder=1,
                      label="subject" if y == 0 else None)  # fmt: skip
    error = np.abs(rows[["ci_low", "ci_high"]].to_numpy(float).T - rows["similarity"].to_numpy())
    axes.errorbar(
        rows["similarity"], place, xerr=error, fmt="o", markersize=3, color="#0072B2",
        elinewidth=0.9, label=f"mean, {100 * (1 - alpha):g} % interval",
    )  # fmt: skip
    capped = rows["max_similarity"].to_numpy(float) < 0.995
    if capped.any():
        axes.plot(rows["max_similarity"].to_numpy(float)[capped], place[capped], "|", color="black",
                  markersize=5, label="largest value its ties allow")  # fmt: skip
    labels = [
        f"{name} {'*' if p < alpha else ' '}"
        for name, p in zip(_names(rows), rows["p_corrected"], strict=True)
    ]
    axes.set_yticks(place, labels)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    subjects_text = "1 subject" if head["n_subjects"] == 1 else f"{head['n_subjects']} subjects"
    note = "" if head["n_subjects"] > 1 else "; no ceiling"
    if head["n_subjects"] > 1 and not head["reliable"]:
        note = "; no reliable signal"
    axes.set_title(
        f"{head['region']}: {subjects_text}, {head['n_conditions']} conditions{note}", loc="left"
    )
    axes.set_xlabel(
        f"{similarity_label(head['method'])};  * differs from 0, corrected p < {alpha:g}"
    )
    below = -0.32 if len(rows) < 6 else -0.13
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=4,
                frameon=False, handlelength=1.2, columnspacing=1.0)  # fmt: skip


def _draw_pairs(axes: Axes, rows: pd.DataFrame, result: Result, alpha: float) -> None:
    """Draw which pairs of models differ."""
    head = rows.iloc[0]
    pairs = result.pairs
    pairs = pairs[(pairs["region"] == head["region"]) & (pairs["subset"] == head["subset"])]
    keys = list(zip(rows["network"], rows["layer"], strict=True))
    place = {key: i for i, key in enumerate(keys)}
    a = [place.get(k) for k in zip(pairs["network_a"], pairs["layer_a"], strict=True)]
    b = [place.get(k) for k in zip(pairs["network_b"], pairs["layer_b"], strict=True)]
    image = np.full((len(rows), len(rows)), np.nan)
    for i, j, d, p in zip(a, b, pairs["difference"], pairs["p_corrected"], strict=True):
        if i is None or j is None or not np.isfinite(p):
            continue
        value = np.sign(d) if p < alpha else 0.0
        image[i, j], image[j, i] = value, -value
    from matplotlib.colors import ListedColormap

    axes.imshow(
        image, cmap=ListedColormap(["#56B4E9", "#F2F2F2", "#E69F00"]), vmin=-1.5, vmax=1.5,
        origin="lower", interpolation="nearest", aspect="auto",
    )  # fmt: skip
    axes.set_xticks(range(len(rows)), _names(rows), rotation=90, fontsize=5)
    axes.set_yticks([])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_title(f"row vs column, corrected p < {alpha:g}", loc="left")
    from matplotlib.patches import Patch

    axes.legend(
        handles=[Patch(color="#E69F00", label="more similar"), Patch(color="#56B4E9", label="less"),
                 Patch(color="#F2F2F2", label="no difference shown")],
        loc="lower center", bbox_to_anchor=(0.5, 1.06), ncols=3, frameon=False, handlelength=1.0,
        columnspacing=0.8, fontsize=5,
    )  # fmt: skip
