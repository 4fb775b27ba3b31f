"""Model comparison: similarities of a handful of models with one region."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rsa_faces._core.errors import InputError
from rsa_faces.figures._style import (
    CEILING,
    COLORS,
    PAGE,
    as_axes,
    choose,
    interval_label,
    numbers,
    shown_name,
    similarity_label,
    style,
)
from rsa_faces.inference import Result

MAX_MODELS = 30
_MORE, _LESS, _SAME = "#E69F00", "#56B4E9", "#F2F2F2"


def last_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Choose the last layer of each network, and each model of one layer.

    Parameters
    ----------
    table : DataFrame
        The ``table`` of a :class:`rsa_faces.Result`.

    Returns
    -------
    DataFrame
        The chosen rows: a choice made without looking at similarities.
    """
    # Models may have no layer_index (NaN).
    ordered = table.sort_values("layer_index", kind="stable", na_position="first")
    return ordered.groupby(["subset", "region", "network"]).tail(1).sort_index()


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
        A layer chosen because it is highest on these data looks better than it is: if you draw
        one, write "best layer chosen on these data: optimistic" beside it.
    ax : ndarray of 2 Axes, optional
        For the similarities and for the pairwise tests; the legend is then left to you.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Left: similarity with interval, subjects as small dots, noise ceiling where subjects share
        structure; models are sorted. Right: which pairs differ after correction; the colour says
        which of the two is nearer.

    Raises
    ------
    InputError
        If region or subset is unknown, there are no models with a defined similarity, or more than
        30, or `ax` does not hold two axes.

    Notes
    -----
    The corrected p values of pairs are those of ``result.pairs``: corrected for all pairs of layers
    and models of the region, not only for those drawn.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> models = d92.models.sel(name=["animacy", "HMAX", "RADON"])
    >>> result = rf.evaluate(models, d92.rdms.sel(region="behaviour"), n_boot=100)
    >>> left, right = rf.figures.plot_models(result, region="behaviour")
    >>> left.get_xlabel()
    'similarity (Spearman ρ-a)'
    """
    table = result.table
    region = choose(region, table["region"], "region")
    subset = choose(subset, table["subset"], "subset")
    if rows is None:
        rows = last_layers(table)
    rows = rows[(rows["region"] == region) & (rows["subset"] == subset)]
    n_undefined = int(rows["similarity"].isna().sum())
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
                1, 2, figsize=(PAGE, 1.1 + 0.15 * max(len(rows), 4)), layout="constrained",
                gridspec_kw={"width_ratios": [1.35, 1]},
            )  # fmt: skip
        ax = as_axes(ax, (2,))
        handles = _draw_similarities(ax[0], rows, result, alpha)
        caveats = numbers(rows.iloc[0]).split("; ")
        if n_undefined:
            caveats.append(f"{n_undefined} models undefined")
        ax[0].set_title("\n".join(caveats), loc="left")
        handles += _draw_pairs(ax[1], rows, result, alpha)
        if figure is not None:
            figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False,
                          handlelength=1.2, columnspacing=1.2)  # fmt: skip
    return ax


def _draw_similarities(axes: Axes, rows: pd.DataFrame, result: Result, alpha: float) -> list:
    """Draw points, intervals, subjects and the ceiling; return handles for the legend."""
    head = rows.iloc[0]
    place = np.arange(len(rows))
    handles: list = []
    if head["reliable"] and np.isfinite(head["ceiling_low"]):
        axes.axvspan(head["ceiling_low"], head["ceiling_high"], color=CEILING, linewidth=0,
                     zorder=0)  # fmt: skip
        handles.append(Patch(color=CEILING, label="noise ceiling (lower to upper)"))
    axes.axvline(0, color="black", linewidth=0.4, zorder=1)
    if head["n_subjects"] > 1:
        subjects = result.subjects
        subjects = subjects[(subjects["region"] == head["region"])
                            & (subjects["subset"] == head["subset"])]  # fmt: skip
        of_model = subjects.groupby(["network", "layer"], sort=False)["similarity"]
        for y, key in zip(place, zip(rows["network"], rows["layer"], strict=True), strict=True):
            values = of_model.get_group(key)
            (dots,) = axes.plot(
                values, np.full(len(values), y - 0.27), "o", color="#767676", markersize=1.5,
                markeredgewidth=0, label="one subject",
            )  # fmt: skip
        handles.append(dots)
    ends = np.clip(rows[["ci_low", "ci_high"]].to_numpy(float), -1, 1)
    axes.hlines(place, *ends.T, color=COLORS[0], linewidth=1.0)
    handles += axes.plot(
        rows["similarity"], place, "o", markersize=3, color=COLORS[0],
        label=f"mean, {interval_label(alpha)}",
    )  # fmt: skip
    largest = rows["max_similarity"].to_numpy(float)
    capped = largest < 0.995
    if capped.any():
        handles += axes.plot(
            largest[capped], place[capped], "|", color="black", markersize=5,
            label="most that the model's ties allow",
        )  # fmt: skip
    names = map(shown_name, rows["network"], rows["layer"])
    axes.set_yticks(place, [f"{name}   {i}" for i, name in enumerate(names, start=1)])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    for y in place[rows["p_corrected"].to_numpy(float) < alpha]:
        axes.annotate("*", (1, y), (2, -2), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center")  # fmt: skip
    handles.append(Line2D([], [], linestyle="none", marker=(6, 2), color="black", markersize=3.5,
                          markeredgewidth=0.5,
                          label=f"differs from 0, corrected p < {alpha:g}"))  # fmt: skip
    axes.set_xlabel(similarity_label(head["method"]))
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
    places = [str(i) for i in range(1, len(rows) + 1)]
    axes.set_xticks(range(len(rows)), places, fontsize=5, rotation=90)
    axes.set_yticks(range(len(rows)), places, fontsize=5)
    axes.tick_params(length=0)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    for edge in np.arange(1, len(rows)) - 0.5:
        axes.plot([-0.5, len(rows) - 0.5], [edge] * 2, color="white", linewidth=0.4)
        axes.plot([edge] * 2, [-0.5, len(rows) - 0.5], color="white", linewidth=0.4)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"pairs that differ, corrected p < {alpha:g}", loc="left")
    axes.set_xlabel("column (numbers as on the left)")
    axes.set_ylabel("row")
    return [
        Patch(color=_MORE, label="row more similar than column"),
        Patch(color=_LESS, label="row less similar than column"),
        Patch(color=_SAME, label="no difference shown"),
    ]
