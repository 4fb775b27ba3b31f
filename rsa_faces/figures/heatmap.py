"""Layer by region: every similarity as a colour, ceilings beside it."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rsa_faces.figures._parts import (
    bottom_legend,
    ceiling_entry,
    color_bar,
    differs,
    entry,
    figure_of,
    image,
    ink,
    name_places,
    signed_scale,
)
from rsa_faces.figures._style import (
    CEILING,
    COLUMN,
    PAGE,
    PAGE_HEIGHT,
    choose,
    choose_all,
    shortened,
    shown_name,
    similarity_label,
    style,
    text_width,
)
from rsa_faces.inference import Result

# Inches: a cell, the strip of ceilings, gaps, room above a block, colour bar.
_WIDEST, _TALL, _STRIP, _GAP, _BESIDE, _HEADING, _BAR = 0.16, 0.17, 0.62, 0.08, 0.2, 0.22, 0.82
_LOWEST = 0.09  # of a row: its name can just be read
_LONGEST = 24  # characters of a name
_MOST_COLUMNS = 4


def plot_heatmap(
    result: Result,
    *,
    subset: str | None = None,
    networks: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
) -> Figure:
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
    matplotlib.figure.Figure
        In ``axes`` an image and a strip per block. Images: layers in order of computation by
        regions, with their numbers of subjects (n); grey is undefined, a dot differs from 0 after
        correction. Right of each: the noise ceiling of each region in grey, lower to upper, where
        subjects share structure, and the layer that is highest on these data, whose value is
        optimistic. All blocks share their scales, white is 0. They stand side by side where one
        column would not fit a page.

    Raises
    ------
    InputError
        If a subset, network or region is unknown.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.
    plot_layers : Draw similarity from layer to layer.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> models = d92.models.sel(name=["animacy", "HMAX"])
    >>> result = rf.evaluate(models, d92.rdms.sel(region="behaviour"), n_boot=100)
    >>> len(rf.figures.plot_heatmap(result).axes)
    3
    """
    table = result.table
    subset = choose(subset, table["subset"], "subset")
    table = table[table["subset"] == subset]
    regions = choose_all(regions, table["region"], "region")
    names = choose_all(networks, table["network"], "network")
    table = table[table["region"].isin(regions) & table["network"].isin(names)]
    blocks = _blocks(table, names)
    alpha = result.settings.get("alpha", 0.05)
    with style():
        scale = signed_scale(table["similarity"])
        handles = _handles(table, alpha)
        axes = _axes(blocks, _labels(table, regions), handles)
        limits = _limits(table)
        for (left, right), (title, rows, places) in zip(axes, blocks, strict=True):
            _image(left, rows, places, regions, alpha, scale)
            left.set_title(title, loc="left", pad=3)
            _strip(right, rows, regions, limits)
        figure = figure_of(axes)
        width, height = figure.get_size_inches()
        top, low = axes[0, 1].get_position().y1, axes[-1, 1].get_position().y0
        tall = min(1.2, (top - low) * height)
        label = similarity_label(table["method"].iloc[0])
        if tall <= 1:
            label = label.replace(" (", "\n(")
        # The label runs along the bar: a shorter bar would leave it to the edge of the page.
        tall = max(tall, *(text_width(line, 6) for line in label.split("\n")))
        box = (1 - (_BAR - 0.12) / width, top - tall / height, 0.09 / width, tall / height)
        color_bar(scale, label, box=(figure, box))
    return figure


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


def _axes(blocks, labels: list[str], handles: list) -> np.ndarray:
    """Return axes of images and of ceilings, (n_blocks, 2), in as few columns as fit a page."""
    left = max(text_width(label, 6) for label in labels) + 0.14
    below = [
        max(max(text_width(shortened(p, _LONGEST), 5) for p in places) + 0.1, 0.36)
        for _, _, places in blocks
    ]
    n_places = [len(places) for _, _, places in blocks]
    legend = 0.1 + 0.14 * len(handles)
    best = None
    # Rows as high as they can be on one page.
    for tall in (_TALL, 0.13, _LOWEST):
        for n_columns in range(1, min(_MOST_COLUMNS, len(blocks)) + 1):
            starts = range(0, len(blocks), n_columns)
            rows = [range(i, min(i + n_columns, len(blocks))) for i in starts]
            room = PAGE - left - _BAR - n_columns * (_GAP + _STRIP + _BESIDE)
            cell = min(_WIDEST, room / max(sum(n_places[i] for i in row) for row in rows))
            height = legend + sum(
                _HEADING + tall * len(labels) + max(below[i] for i in row) for row in rows
            )
            if cell > 0 and (best is None or height < best[0]):
                best = height, tall, cell, rows
            if height <= PAGE_HEIGHT:
                break
        if best[0] <= PAGE_HEIGHT:
            break
    height, tall, cell, rows = best
    wide = max(
        sum(cell * n_places[i] + _GAP + _STRIP + _BESIDE for i in row) - _BESIDE for row in rows
    )
    width = max(left + wide + _BAR, COLUMN)
    figure = plt.figure(figsize=(width, height))
    axes = np.empty((len(blocks), 2), dtype=object)
    y = height
    for row in rows:
        y -= _HEADING + tall * len(labels)
        x = left
        for i in row:
            for j, w in enumerate((cell * n_places[i], _STRIP)):
                box = (x / width, y / height, w / width, tall * len(labels) / height)
                axes[i, j] = figure.add_axes(box)
                x += w + (_GAP if j == 0 else _BESIDE)
            name_places(axes[i, 0], "y", labels if i == row[0] else [], tall * len(labels), size=6)
            axes[i, 1].set_xlabel("similarity", fontsize=5.5, labelpad=1)
        y -= max(below[i] for i in row)
    bottom_legend(figure, handles)
    return axes


def _image(axes: Axes, rows, places, regions, alpha: float, scale: ScalarMappable) -> None:
    """Draw one block."""
    line = rows["region"].map({region: i for i, region in enumerate(regions)}).to_numpy()
    place = rows["place"].to_numpy()
    values = np.full((len(regions), len(places)), np.nan)
    values[line, place] = rows["similarity"]
    image(axes, values, scale)
    significant = rows["p_corrected"].to_numpy(float) < alpha
    inks = np.array([ink(scale, value) for value in rows["similarity"]])
    for color in ("white", "black"):
        some = significant & (inks == color)
        axes.plot(place[some], line[some], "o", markersize=1.4, color=color, markeredgewidth=0)
    name_places(axes, "x", places, axes.get_window_extent().width / axes.figure.dpi)
    axes.tick_params(length=1.5, pad=1.5)
    axes.spines[["top", "right"]].set_visible(True)


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold 0, the highest layers and the ceilings."""
    inside = table.groupby(["network", "region"])["similarity"].max().to_list()
    inside += table.loc[table["reliable"].eq(True), "ceiling_high"].to_list()
    low, high = np.nanmin([*inside, 0.0]), np.nanmax([*inside, 0.0])
    # Colours need a range, also where all is 0; and the highest is not at the very end of it.
    return float(low), float(max(high, low + 1e-6) * 1.05)


def _strip(axes: Axes, rows: pd.DataFrame, regions, limits) -> None:
    """Draw the ceiling of each region, and its highest layer."""
    for line, region in enumerate(regions):
        own = rows[rows["region"] == region]
        head = own.iloc[0]
        if head["reliable"] and np.isfinite(head["ceiling_low"]):
            low, high = np.clip([head["ceiling_low"], head["ceiling_high"]], -1, 1)
            # Bounds that meet would leave nothing to see.
            axes.barh(line, max(high - low, 0.01), left=low, height=0.8, color=CEILING, linewidth=0)
        axes.plot(
            own["similarity"].max(), line, "|", color="black", markersize=6, markeredgewidth=1.0
        )
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set_ylim(len(regions) - 0.5, -0.5)
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", labelsize=5, length=1.5, pad=1.5)
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.spines["left"].set_visible(False)


def _handles(table: pd.DataFrame, alpha: float) -> list:
    """Return the legend's entries: those that occur."""
    handles = ceiling_entry(table)
    handles.append(entry("highest layer, chosen on these data", "|", color="black", markersize=6))
    if (table["p_corrected"] < alpha).any():
        handles.append(entry(differs(alpha), "o", markersize=2, color="black"))
    return handles
