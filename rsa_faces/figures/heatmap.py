"""Layer by region: every similarity as a colour, ceilings beside it."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rsa_faces.figures._style import (
    CEILING,
    COLUMN,
    PAGE,
    choose,
    choose_all,
    light_to_dark,
    shortened,
    shown_name,
    similarity_label,
    style,
    text_width,
)
from rsa_faces.inference import Result

# Inches: a cell, the strip of ceilings, gaps, room above a block, colour bar, legend.
_WIDEST, _TALL, _STRIP, _GAP, _HEADING, _BAR, _LEGEND = 0.16, 0.17, 0.75, 0.1, 0.22, 0.62, 0.34
_LONGEST = 24  # characters of a name


def plot_heatmap(
    result: Result,
    *,
    subset: str | None = None,
    networks: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw similarity of each layer with each region as colours, a block per network.

    Parameters
    ----------
    result : Result
        From :func:`rsa_faces.evaluate`.
    subset : str, optional
        Which subset of conditions; the first by default.
    networks : sequence of str, optional
        Networks and models to draw, in this order; all by default. Those of one layer stand in a
        block together, the last.
    regions : sequence of str, optional
        Rows, from the top; all by default.

    Returns
    -------
    ndarray of Axes, shape (n_blocks, 2)
        Images: layers in order of computation by regions, with their numbers of subjects (n);
        grey is undefined, a dot differs from 0 after correction. Right of each: the noise ceiling
        of each region in grey, lower to upper, where subjects share structure, and the layer that
        is highest on these data, whose value is optimistic. All blocks share their scales, with 0
        at the light end, or white in the middle where there are values below 0.

    Raises
    ------
    InputError
        If a subset, network or region is unknown.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> models = d92.models.sel(name=["animacy", "HMAX"])
    >>> result = rf.evaluate(models, d92.rdms.sel(region="behaviour"), n_boot=100)
    >>> rf.figures.plot_heatmap(result).shape
    (1, 2)
    """
    table = result.table
    subset = choose(subset, table["subset"], "subset")
    table = table[table["subset"] == subset]
    regions = choose_all(regions, table["region"], "region")
    names = choose_all(networks, table["network"], "network")
    table = table[table["region"].isin(regions) & table["network"].isin(names)]
    blocks = _blocks(table, names)
    alpha = result.settings.get("alpha", 0.05)
    scale = _scale(table["similarity"].to_numpy(float))
    with style():
        axes = _axes(blocks, _labels(table, regions))
        for row, (title, rows, places) in zip(axes, blocks, strict=True):
            _image(row[0], rows, places, regions, alpha, scale)
            row[0].set_title(title, loc="left", pad=3)
            _strip(row[1], rows, regions, _limits(table))
        axes[-1, 1].set_xlabel("similarity", labelpad=2)
        _explain(axes, table, alpha, scale)
    return axes


def _blocks(table: pd.DataFrame, names: list[str]) -> list[tuple[str, pd.DataFrame, list[str]]]:
    """Return title, rows (with their place) and names of places of each block."""
    blocks, single = [], []
    for name in names:
        rows = table[table["network"] == name]
        layers = list(dict.fromkeys(rows.sort_values("layer_index", kind="stable")["layer"]))
        if len(layers) == 1:
            single.append(name)
            continue
        places = rows["layer"].map({layer: i for i, layer in enumerate(layers)})
        blocks.append((shown_name(name), rows.assign(place=places), layers))
    if single:
        rows = table[table["network"].isin(single)]
        places = rows["network"].map({name: i for i, name in enumerate(single)})
        shown = [shown_name(name) for name in single]
        blocks.append(("one layer" if blocks else "", rows.assign(place=places), shown))
    return blocks


def _labels(table: pd.DataFrame, regions: list[str]) -> list[str]:
    """Return the regions with their numbers of subjects."""
    n = table.groupby("region")["n_subjects"].max()
    return [f"{shortened(region, _LONGEST)} (n = {n[region]:.0f})" for region in regions]


def _axes(blocks, labels: list[str]) -> np.ndarray:
    """Return axes of images and of ceilings, below each other; regions are named."""
    left = max(text_width(label, 6) for label in labels) + 0.14
    most = max(len(places) for _, _, places in blocks)
    room = PAGE - left - _GAP - _STRIP - _BAR
    cell = min(_WIDEST, room / most)
    tall = _TALL * len(labels)
    below = [
        max(text_width(shortened(p, _LONGEST), 5) for p in places) + 0.1 for _, _, places in blocks
    ]
    below[-1] = max(below[-1], 0.32)
    wide = max(cell * most, COLUMN - left - _GAP - _STRIP - _BAR)
    width = left + wide + _GAP + _STRIP + _BAR
    height = len(blocks) * (_HEADING + tall) + sum(below) + _LEGEND
    figure = plt.figure(figsize=(width, height))
    axes = np.empty((len(blocks), 2), dtype=object)
    y = height
    for i, (_, _, places) in enumerate(blocks):
        y -= _HEADING + tall
        box = (left / width, y / height, cell * len(places) / width, tall / height)
        axes[i, 0] = figure.add_axes(box)
        axes[i, 0].set_yticks(range(len(labels)), labels, fontsize=6)
        x = left + cell * len(places) + _GAP
        box = (x / width, y / height, _STRIP / width, tall / height)
        axes[i, 1] = figure.add_axes(box)
        y -= below[i]
    return axes


def _scale(values: np.ndarray) -> ScalarMappable:
    """Return colours: from light to dark, or around 0 where there are values below it."""
    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    signed = bool((values < 0).any())
    colors = plt.get_cmap("RdBu_r") if signed else light_to_dark()
    return ScalarMappable(
        Normalize(-largest if signed else 0.0, largest), colors.with_extremes(bad="#BBBBBB")
    )


def _image(axes: Axes, rows, places, regions, alpha: float, scale: ScalarMappable) -> None:
    """Draw one block."""
    line = rows["region"].map({region: i for i, region in enumerate(regions)}).to_numpy()
    place = rows["place"].to_numpy()
    values = np.full((len(regions), len(places)), np.nan)
    values[line, place] = rows["similarity"]
    axes.imshow(np.ma.masked_invalid(values), cmap=scale.cmap, norm=scale.norm, aspect="auto",
                interpolation="nearest")  # fmt: skip
    found = rows["p_corrected"].to_numpy(float) < alpha
    dark = np.abs(rows["similarity"].to_numpy(float)) > 0.6 * scale.norm.vmax
    for some, color in ((found & dark, "white"), (found & ~dark, "black")):
        axes.plot(place[some], line[some], linestyle="none", marker="o", markersize=1.4,
                  color=color, markeredgewidth=0)  # fmt: skip
    per_name = 72 * axes.get_window_extent().width / axes.figure.dpi / len(places)
    shown = np.arange(len(places))[::-1][:: int(np.ceil(6.2 / per_name))][::-1]
    axes.set_xticks(shown, [shortened(places[i], _LONGEST) for i in shown], rotation=90,
                    fontsize=5)  # fmt: skip
    axes.tick_params(length=1.5, pad=1.5)
    axes.spines[["top", "right"]].set_visible(True)


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold 0, the highest layers and the ceilings."""
    inside = table.groupby(["network", "region"])["similarity"].max().to_list()
    inside += table.loc[table["reliable"] == True, "ceiling_high"].to_list()  # noqa: E712
    low, high = np.nanmin([*inside, 0.0]), np.nanmax([*inside, 0.0])
    return float(low), float(max(high, low + 1e-6) * 1.05)


def _strip(axes: Axes, rows: pd.DataFrame, regions, limits) -> None:
    """Draw the ceiling of each region, and its highest layer."""
    for line, region in enumerate(regions):
        own = rows[rows["region"] == region]
        head = own.iloc[0]
        if head["reliable"] and np.isfinite(head["ceiling_low"]):
            low, high = np.clip([head["ceiling_low"], head["ceiling_high"]], -1, 1)
            axes.barh(line, max(high - low, 0.01), left=low, height=0.8, color=CEILING,
                      linewidth=0)  # fmt: skip
        axes.plot(own["similarity"].max(), line, "|", color="black", markersize=6,
                  markeredgewidth=1.0)  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set_ylim(len(regions) - 0.5, -0.5)
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", labelsize=5, length=1.5, pad=1.5)
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.spines["left"].set_visible(False)


def _explain(axes, table: pd.DataFrame, alpha: float, scale: ScalarMappable) -> None:
    """Draw the colour bar and the legend."""
    figure = axes[0, 0].figure
    width, height = figure.get_size_inches()
    top = axes[0, 1].get_position().y1
    tall = min(1.2, height - _HEADING - _LEGEND) / height
    bar = figure.add_axes((1 - (_BAR - 0.12) / width, top - tall, 0.09 / width, tall))
    label = similarity_label(table["method"].iloc[0])
    figure.colorbar(scale, cax=bar).set_label(label, fontsize=6)
    bar.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    bar.tick_params(labelsize=5)
    handles = [
        Line2D([], [], linestyle="none", marker="|", color="black", markersize=6,
               label="highest layer, chosen on these data"),
        Line2D([], [], linestyle="none", marker="o", markersize=2, color="black",
               label=f"differs from 0, corrected p < {alpha:g}"),
    ]  # fmt: skip
    if (table["reliable"] == True).any():  # noqa: E712
        handles.insert(0, Patch(color=CEILING, linewidth=0, label="noise ceiling (lower to upper)"))
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 0.0), frameon=False,
                  ncols=len(handles) if width > 5 else 1, handlelength=1.4, columnspacing=1.2,
                  borderpad=0.2, borderaxespad=0.0, labelspacing=0.3)  # fmt: skip
