"""Model comparison: similarities of a handful of models with one region."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from rsa_faces._errors import InputError
from rsa_faces._validation import check_choice
from rsa_faces.figures._style import CEILING, PAGE, similarity_label, style
from rsa_faces.inference import Result

MAX_MODELS = 30
_MORE, _LESS, _SAME = "#E69F00", "#56B4E9", "#F2F2F2"


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
        figure = None
        if ax is None:
            figure, ax = plt.subplots(
                1, 2, figsize=(PAGE * 0.85, 1.0 + 0.15 * len(rows)), layout="constrained",
                gridspec_kw={"width_ratios": [1.7, 1]},
            )  # fmt: skip
        handles = _draw_similarities(ax[0], rows, result, alpha)
        handles += _draw_pairs(ax[1], rows, result, alpha)
        if figure is not None:
            figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False,
                          handlelength=1.2, columnspacing=1.2)  # fmt: skip
    return np.asarray(ax, dtype=object)


def _names(rows: pd.DataFrame) -> list[str]:
    """Return `network layer` of each row."""
    return [
        n if layer in {"", n} else f"{n} {layer}"
        for n, layer in zip(rows["network"], rows["layer"], strict=True)
    ]


def _draw_similarities(axes: Axes, rows: pd.DataFrame, result: Result, alpha: float) -> list:
    """Draw points, intervals, subjects and the ceiling; return handles for the legend."""
    head = rows.iloc[0]
    place = np.arange(len(rows))
    handles: list = []
    if np.isfinite(head["ceiling_low"]) and head["reliable"]:
        axes.axvspan(head["ceiling_low"], head["ceiling_high"], color=CEILING, linewidth=0)
        handles.append(Patch(color=CEILING, label="noise ceiling (lower to upper)"))
    axes.axvline(0, color="black", linewidth=0.5)
    subjects = result.subjects
    subjects = subjects[(subjects["region"] == head["region"])
                        & (subjects["subset"] == head["subset"])]  # fmt: skip
    shown = subjects.groupby(["network", "layer"], sort=False)["similarity"]
    if head["n_subjects"] > 1:
        for y, (_, row) in zip(place, rows.iterrows(), strict=True):
            values = shown.get_group((row["network"], row["layer"]))
            (dots,) = axes.plot(
                values, np.full(len(values), y), ".", color="#999999", markersize=2.5,
                markeredgewidth=0, zorder=1, label="one subject",
            )  # fmt: skip
        handles.append(dots)
    error = np.abs(rows[["ci_low", "ci_high"]].to_numpy(float).T - rows["similarity"].to_numpy())
    handles.append(
        axes.errorbar(
            rows["similarity"], place, xerr=error, fmt="o", markersize=2.5, color="#0072B2",
            elinewidth=0.9, label=f"similarity, {100 * (1 - alpha):g} % interval",
        )
    )  # fmt: skip
    capped = rows["max_similarity"].to_numpy(float) < 0.995
    if capped.any():
        handles += axes.plot(
            rows["max_similarity"].to_numpy(float)[capped], place[capped], "|", color="black",
            markersize=5, label="largest value the model's ties allow",
        )  # fmt: skip
    labels = [
        f"{name} {'*' if p < alpha else ' '}  {i}"
        for i, (name, p) in enumerate(zip(_names(rows), rows["p_corrected"], strict=True), start=1)
    ]
    axes.set_yticks(place, labels)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    subjects_text = "1 subject" if head["n_subjects"] == 1 else f"{head['n_subjects']} subjects"
    note = "" if head["n_subjects"] > 1 else "; no ceiling"
    if head["n_subjects"] > 1 and not head["reliable"]:
        note = "; no reliable signal"
    axes.set_title(f"{head['region']}: {subjects_text}, {head['n_conditions']} conditions{note}")
    axes.set_xlabel(
        f"{similarity_label(head['method'])}\n* differs from 0, corrected p < {alpha:g}"
    )
    return handles


def _draw_pairs(axes: Axes, rows: pd.DataFrame, result: Result, alpha: float) -> list:
    """Draw which pairs of models differ; return handles for the legend."""
    head = rows.iloc[0]
    pairs = result.pairs
    pairs = pairs[(pairs["region"] == head["region"]) & (pairs["subset"] == head["subset"])]
    place = {key: i for i, key in enumerate(zip(rows["network"], rows["layer"], strict=True))}
    a = [place.get(k) for k in zip(pairs["network_a"], pairs["layer_a"], strict=True)]
    b = [place.get(k) for k in zip(pairs["network_b"], pairs["layer_b"], strict=True)]
    image = np.full((len(rows), len(rows)), np.nan)
    for i, j, d, p in zip(a, b, pairs["difference"], pairs["p_corrected"], strict=True):
        if i is None or j is None or not np.isfinite(p):
            continue
        value = np.sign(d) if p < alpha else 0.0
        image[i, j], image[j, i] = value, -value
    axes.imshow(
        image, cmap=ListedColormap([_LESS, _SAME, _MORE]), vmin=-1.5, vmax=1.5,
        origin="lower", interpolation="nearest", aspect="auto",
    )  # fmt: skip
    numbers = [str(i) for i in range(1, len(rows) + 1)]
    axes.set_xticks(range(len(rows)), numbers, fontsize=4.5)
    axes.set_yticks(range(len(rows)), numbers, fontsize=5)
    axes.tick_params(length=0)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("row compared with column")
    axes.set_xlabel(f"model (numbers as on the left)\ncorrected p < {alpha:g}")
    return [
        Patch(color=_MORE, label="row more similar"),
        Patch(color=_LESS, label="row less similar"),
        Patch(color=_SAME, label="no difference shown"),
    ]
