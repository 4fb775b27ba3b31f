"""Model comparison: similarities of a handful of models with one region."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted, interval_label
from rsa_faces.figures._parts import (
    CEILING_LABEL,
    GRAY,
    STAR,
    SUBJECT,
    differs,
    entry,
    figure_of,
    legend_below,
    network_colors,
    panels,
)
from rsa_faces.figures._style import (
    CEILING,
    PAGE,
    base_name,
    choose,
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

    See Also
    --------
    plot_models : Draw similarities of models with one region, and which of them differ.
    rsa_faces.figures.plot_layers : Draw similarity from layer to layer.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.figures import last_layers
    >>> table = pd.DataFrame({"subset": "all", "region": "FFA", "network": ["a", "a", "b"],
    ...                       "layer": ["one", "two", ""], "layer_index": [0, 1, 0]})
    >>> last_layers(table)[["network", "layer"]].values.tolist()
    [['a', 'two'], ['b', '']]
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
    subjects: bool = True,
    ax: np.ndarray | None = None,
) -> Figure:
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
    subjects : bool, default True
        Draw each subject's similarity as a small dot.
    ax : ndarray of 2 Axes, optional
        For the similarities and for the pairwise tests; the legend is then left to you.

    Returns
    -------
    matplotlib.figure.Figure
        Left: similarity with interval (networks in their colours, untrained ones open), noise
        ceiling where subjects share structure; models are sorted. Right: which pairs differ after
        correction; the colour says which of the two is nearer.

    Raises
    ------
    InputError
        If region or subset is unknown, there are no models with a defined similarity, or more than
        30, or `ax` does not hold two axes.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.
    plot_layers : Draw similarity from layer to layer.

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
    >>> figure = rf.figures.plot_models(result, region="behaviour")
    >>> figure.axes[0].get_xlabel()
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
        height = 1.1 + 0.15 * max(len(rows), 4)
        ((left, right),) = panels(ax, 1, 2, PAGE, height, width_ratios=[1.35, 1])
        handles = _draw_similarities(left, rows, result, alpha, subjects)
        caveats = numbers(rows.iloc[0]).split("; ")
        if n_undefined:
            caveats.append(f"{counted(n_undefined, 'model')} undefined")
        left.set_title("\n".join(caveats), loc="left")
        handles += _draw_pairs(right, rows, result, alpha)
        if ax is None:
            legend_below([left, right], True, handles=handles)
    return figure_of(left)


def _draw_similarities(axes, rows: pd.DataFrame, result: Result, alpha, subjects: bool) -> list:
    """Draw points, intervals, subjects and the ceiling; return handles for the legend."""
    head = rows.iloc[0]
    place = np.arange(len(rows))
    handles: list = []
    if head["reliable"] and np.isfinite(head["ceiling_low"]):
        axes.axvspan(
            head["ceiling_low"], head["ceiling_high"], color=CEILING, linewidth=0, zorder=0
        )
        handles.append(Patch(color=CEILING, label=CEILING_LABEL))
    axes.axvline(0, color="black", linewidth=0.4, zorder=1)
    if subjects and head["n_subjects"] > 1:
        of_subjects = result.subjects[
            (result.subjects["region"] == head["region"])
            & (result.subjects["subset"] == head["subset"])
        ]
        of_model = of_subjects.groupby(["network", "layer"], sort=False)["similarity"]
        for y, key in zip(place, zip(rows["network"], rows["layer"], strict=True), strict=True):
            values = of_model.get_group(key)
            look = {"color": SUBJECT, "markersize": 1.5, "markeredgewidth": 0}
            below = np.full(len(values), y - 0.27)
            (dots,) = axes.plot(values, below, "o", label="one subject", **look)
        handles.append(dots)
    # Networks have the colours that they have elsewhere; what has one layer is grey.
    layers = result.table.groupby("network")["layer"].nunique()
    several = [name for name in rows["network"] if layers[name] > 1]
    colors = [network_colors(several).get(name, GRAY) for name in rows["network"]]
    ends = np.clip(rows[["ci_low", "ci_high"]].to_numpy(float), -1, 1)
    mean = f"mean, {interval_label(alpha)}"
    axes.hlines(place, *ends.T, color=colors, linewidth=1.0)
    for y, value, color, name in zip(
        place, rows["similarity"], colors, rows["network"], strict=True
    ):
        inside = color if base_name(name) == name else "white"
        axes.plot(value, y, "o", markersize=3, color=color, markerfacecolor=inside, label=mean)
    handles.append(entry(mean, "o", markersize=3, linestyle="-"))
    if any(base_name(name) != name for name in rows["network"]):
        handles.append(
            entry("untrained network", "o", markersize=3, markerfacecolor="white", linestyle="-")
        )
    largest = rows["max_similarity"].to_numpy(float)
    capped = largest < 0.995
    if capped.any():
        most = {"label": "most that the model's ties allow", "color": "black", "markersize": 5}
        handles += axes.plot(largest[capped], place[capped], "|", **most)
    names = map(shown_name, rows["network"], rows["layer"])
    axes.set_yticks(place, [f"{name}   {i}" for i, name in enumerate(names, start=1)])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    significant = place[rows["p_corrected"].to_numpy(float) < alpha]
    if len(significant):
        handles += axes.plot(
            np.full(len(significant), 1.02),
            significant,
            linestyle="none",
            marker=STAR,
            color="black",
            markersize=3.5,
            markeredgewidth=0.5,
            clip_on=False,
            transform=axes.get_yaxis_transform(),
            label=differs(alpha),
        )
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
        image,
        cmap=ListedColormap([_LESS, _SAME, _MORE]),
        # -1, 0 and 1 lie in the middle of the three colours.
        vmin=-1.5,
        vmax=1.5,
        origin="lower",
        interpolation="nearest",
        aspect="auto",
    )
    places = [str(i) for i in range(1, len(rows) + 1)]
    axes.set_xticks(range(len(rows)), places, fontsize=5, rotation=90 if len(rows) > 15 else 0)
    axes.set_yticks(range(len(rows)), places, fontsize=5)
    axes.tick_params(length=0)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    for edge in np.arange(1, len(rows)) - 0.5:
        axes.plot([-0.5, len(rows) - 0.5], [edge] * 2, color="white", linewidth=0.4)
        axes.plot([edge] * 2, [-0.5, len(rows) - 0.5], color="white", linewidth=0.4)
    axes.spines[:].set_visible(False)
    axes.set_title(f"pairs that differ, corrected p < {alpha:g}", loc="left")
    axes.set_xlabel("column (numbers as on the left)")
    axes.set_ylabel("row")
    labels = {
        1: (_MORE, "row more similar than column"),
        -1: (_LESS, "row less similar than column"),
        0: (_SAME, "no difference shown"),
    }
    return [
        Patch(color=color, label=label)
        for value, (color, label) in labels.items()
        if (image == value).any()
    ]
