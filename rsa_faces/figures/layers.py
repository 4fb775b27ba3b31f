"""Layer curves: similarity from layer to layer, per network and region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rsa_faces._core.words import interval_label
from rsa_faces.figures._layout import layer_grid
from rsa_faces.figures._parts import (
    GRAY,
    SUBJECT,
    bounded_axis,
    ceiling_entry,
    differs,
    entry,
    figure_of,
    limits_of,
    name_places,
    network_colors,
    panels,
)
from rsa_faces.figures._style import (
    CEILING,
    base_name,
    choose,
    choose_all,
    method_symbol,
    numbers,
    shortened,
    shown_name,
    style,
    wrapped,
)
from rsa_faces.inference import Result
from rsa_faces.networks import NETWORKS

_NAME_LENGTH = 20  # characters of a layer's or model's name on the axis


def plot_layers(
    result: Result,
    *,
    subset: str | None = None,
    networks: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    subjects: bool = False,
    ax: np.ndarray | None = None,
) -> Figure:
    """Draw similarity from layer to layer: a row of panels per region, a column per network.

    Parameters
    ----------
    result : Result
        From :func:`rsa_faces.evaluate`.
    subset : str, optional
        Which subset of conditions; the first by default.
    networks : sequence of str, optional
        Networks and models to draw, in this order; all by default. ``untrained:NAME`` is drawn in
        the panel of NAME. Networks and models of one layer stand side by side in the last column.
    regions : sequence of str, optional
        Rows; all by default.
    subjects : bool, default False
        Draw each subject's similarity as a dot.
    ax : ndarray of Axes, optional
        Axes to draw in, shape (n_regions, n_columns); the legend is then left to you.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per region (rows) and network (columns), in ``axes`` row by row. Grey band: noise
        ceiling, lower to upper, where subjects share structure. Coloured band or bar: interval of
        the similarity, of untrained networks dashed at its ends. Dots below: differs from 0 after
        correction. At most 183 mm wide: columns that do not fit go below.

    Raises
    ------
    InputError
        If a subset, network or region is unknown, or `ax` has another number of axes.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.
    plot_heatmap : Draw similarity of each layer with each region as colours, a block per network.
    plot_models : Draw similarities of models with one region, and which of them differ.

    Notes
    -----
    All panels share the axis of similarity. Intervals end at -1 and 1. Similarities that are not
    defined (NaN) leave a gap. The figure shows what `result` holds and computes nothing.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> models = d92.models.sel(name=["animacy", "HMAX"])
    >>> result = rf.evaluate(models, d92.rdms.sel(region="behaviour"), n_boot=100)
    >>> figure = rf.figures.plot_layers(result)
    >>> len(figure.axes)
    1
    """
    table = result.table
    subset = choose(subset, table["subset"], "subset")
    table = table[table["subset"] == subset]
    regions = choose_all(regions, table["region"], "region")
    names = choose_all(networks, table["network"], "network")
    table = table[table["region"].isin(regions)]
    curves, single = _columns(table, names)
    columns = [*curves, *([None] if single else [])]
    drawn = table[table["network"].map(base_name).isin({base_name(n) for n in names})]
    twins = drawn["network"].isin([f"untrained:{n}" for n in curves]).any()
    alpha = result.settings.get("alpha", 0.05)
    limits = _limits(drawn)
    with style():
        handles = _handles(drawn, alpha, twins, curves, single, subjects)
        of_subjects = result.subjects[result.subjects["subset"] == subset] if subjects else None
        colors = network_colors(curves)
        if ax is None:
            labels = [
                [shortened(x, _NAME_LENGTH) for x in (single if n is None else _layers(table, n))]
                for n in columns
            ]
            headings = [numbers(table[table["region"] == region].iloc[0]) for region in regions]
            titles = [_title(n) if curves else "" for n in columns]
            ax = layer_grid(headings, labels, titles, handles, n_curves=len(curves))
        ax = panels(ax, len(regions), len(columns), 0.0, 0.0)
        for row, region in enumerate(regions):
            of_region = table[table["region"] == region]
            for column, network in enumerate(columns):
                axes: Axes = ax[row, column]
                _frame(axes, of_region.iloc[0], limits)
                if network is None:
                    _draw_single(axes, of_region, single, alpha, limits)
                    places = {
                        (name, layer): i
                        for i, name in enumerate(single)
                        for layer in _layers(of_region, name)
                    }
                else:
                    _draw_network(axes, of_region, network, colors[network], alpha, limits)
                    layers = _layers(of_region, network)
                    places = {(network, layer): i for i, layer in enumerate(layers)}
                if of_subjects is not None:
                    _draw_subjects(axes, of_subjects[of_subjects["region"] == region], places)
                left = axes.get_position().x0
                first = column == 0 or left < ax[row, column - 1].get_position().x0
                if first:
                    _label_row(axes, of_region.iloc[0])
                axes.tick_params(labelleft=first, labelbottom=row == len(regions) - 1)
                if row == 0 and curves:
                    width = axes.get_window_extent().width / axes.figure.dpi
                    axes.set_title(wrapped(_title(network), width, 7), pad=13)
    return figure_of(ax)


def _columns(table: pd.DataFrame, names: list[str]) -> tuple[list[str], list[str]]:
    """Return which names have a panel of their own, and which stand together in the last one."""
    several = [n for n in names if _n_layers(table, n) > 1]
    # An untrained network is drawn behind its trained twin; without the twin it has a panel of its
    # own.
    curves = [n for n in several if base_name(n) == n or base_name(n) not in several]
    return curves, [n for n in names if n not in several]


def _layers(table: pd.DataFrame, network: str) -> list[str]:
    """Return a network's layers in order of computation."""
    rows = table[table["network"] == network].sort_values("layer_index", kind="stable")
    return list(dict.fromkeys(rows["layer"]))


def _n_layers(table: pd.DataFrame, network: str) -> int:
    """Return how many layers of a network there are."""
    return table.loc[table["network"] == network, "layer"].nunique()


def _title(network: str | None) -> str:
    """Return a column's title: the network, and what it was trained for where that is known."""
    if network is None:
        return "one layer"
    spec = NETWORKS.get(network)
    none = spec is None or spec.task == "none"
    return shown_name(network) if none else f"{network}\n({spec.task})"


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold 0 and all similarities, intervals and ceilings that are drawn."""
    values = table[["similarity", "ci_low", "ci_high"]].to_numpy(float)
    # Ceilings of regions without a reliable signal are not drawn: they must not stretch the axis.
    ceilings = table.loc[table["reliable"].eq(True), "ceiling_high"].to_numpy(float)
    return limits_of([*values.ravel(), *ceilings])


def _frame(axes: Axes, head: pd.Series, limits: tuple[float, float]) -> None:
    """Draw what all panels have: the ceiling, the line at 0, axes; leave a strip for marks."""
    low, high = limits
    if head["reliable"] and np.isfinite(head["ceiling_low"]):
        axes.axhspan(
            head["ceiling_low"], head["ceiling_high"], color=CEILING, linewidth=0, zorder=0
        )
    axes.axhline(0, color="black", linewidth=0.4, zorder=1)
    # Room below for two rows of marks, which belong to no value of the axis.
    axes.set_ylim(low - 0.16 * (high - low), high + 0.03 * (high - low))
    bounded_axis(axes, low, high)


def _mark(axes: Axes, x, limits, color: str, *, level: int, filled: bool) -> None:
    """Draw marks of significance in the strip below the data, one row per level."""
    low, high = limits
    y = np.full(len(x), low - (0.05 + 0.055 * level) * (high - low))
    look = {"markerfacecolor": color if filled else "white", "markeredgewidth": 0.4}
    axes.plot(x, y, "o", markersize=1.7, color=color, clip_on=False, **look)


def _draw_network(axes, table, network, color, alpha, limits) -> None:
    """Draw one network's layers, and its untrained twin dashed."""
    layers = _layers(table, network)
    place = {layer: i for i, layer in enumerate(layers)}
    for name, trained in ((f"untrained:{network}", False), (network, True)):
        rows = table[table["network"] == name].sort_values("layer_index", kind="stable")
        rows = rows[rows["layer"].isin(place)]
        if rows.empty:
            continue
        x = rows["layer"].map(place).to_numpy(float)
        # Intervals of t are symmetric and can go beyond what a similarity can be.
        ends = np.clip(rows[["ci_low", "ci_high"]].to_numpy(float), -1, 1)
        if trained:
            axes.fill_between(x, *ends.T, color=color, alpha=0.2, linewidth=0)
        else:
            axes.fill_between(x, *ends.T, **_untrained_band(color))
        axes.plot(
            x,
            rows["similarity"],
            color=color,
            linestyle="-" if trained else "--",
            marker="o" if trained else None,
            markersize=1.8,
            linewidth=1.0 if trained else 0.7,
        )
        significant = rows["p_corrected"].to_numpy(float) < alpha
        _mark(axes, x[significant], limits, color, level=0 if trained else 1, filled=trained)
    _label_places(axes, layers)


def _untrained_band(color: str) -> dict[str, Any]:
    """Return how the interval of an untrained network looks: dashed at its ends."""
    inside, edge = to_rgba(color, 0.07), to_rgba(color, 0.6)
    return {"facecolor": inside, "edgecolor": edge, "linestyle": (0, (2, 2)), "linewidth": 0.4}


def _draw_single(axes, table, names, alpha, limits) -> None:
    """Draw networks and models of one layer as points with intervals."""
    rows = table[table["network"].isin(names)]
    x = rows["network"].map({name: i for i, name in enumerate(names)}).to_numpy(float)
    ends = np.clip(rows[["ci_low", "ci_high"]].to_numpy(float), -1, 1)
    axes.vlines(x, *ends.T, color=GRAY, linewidth=0.7)
    axes.plot(x, rows["similarity"], "_", markersize=4, markeredgewidth=1.3, color="black")
    significant = rows["p_corrected"].to_numpy(float) < alpha
    _mark(axes, x[significant], limits, "black", level=0, filled=True)
    _label_places(axes, names, every=True)


def _draw_subjects(axes: Axes, subjects: pd.DataFrame, places: dict) -> None:
    """Draw each subject as a dot at its layer."""
    keys = zip(subjects["network"], subjects["layer"], strict=True)
    x = np.array([places.get(key, np.nan) for key in keys])
    here = np.isfinite(x)
    y = subjects["similarity"].to_numpy(float)[here]
    axes.plot(x[here], y, "o", color=SUBJECT, markersize=1.2, markeredgewidth=0, zorder=2)


def _label_places(axes: Axes, names: Sequence[str], *, every: bool = False) -> None:
    """Name places along x, all or as many as are readable and the last; a tick for each."""
    room = axes.get_window_extent().width / axes.figure.dpi * len(names) / (len(names) + 0.2)
    name_places(axes, "x", names, None if every else room, length=_NAME_LENGTH)
    axes.set_xticks(range(len(names)), minor=True)
    axes.tick_params(axis="x", which="both", length=1.8, pad=1.5)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _label_row(axes: Axes, head: pd.Series) -> None:
    """Write what a row of panels is, and the unit of its axis."""
    axes.annotate(
        numbers(head),
        (0, 1),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=7,
        fontweight="bold",
    )
    method = head["method"]
    axes.set_ylabel(f"similarity\n({method_symbol(method)})", labelpad=2)


def _handles(drawn: pd.DataFrame, alpha, twins: bool, curves, single, subjects: bool) -> list:
    """Return the legend's entries: those that occur."""
    handles: list = []
    interval = interval_label(alpha)
    if curves:
        trained = "trained" if twins else "network"
        handles.append(entry(trained, "o", markersize=2, linestyle="-"))
        color = network_colors(curves)[curves[0]]
        handles.append(Patch(color=color, alpha=0.2, linewidth=0, label=interval))
    if twins:
        same = "same architecture, untrained"
        handles.append(entry(same, linewidth=0.7, linestyle="--"))
        handles.append(Patch(**_untrained_band(color), label=f"{interval}, untrained"))
    if single:
        label = f"{'one layer' if curves else 'model'}, {interval}"
        handles.append(entry(label, "_", color="black", markersize=5, markeredgewidth=1.3))
    if subjects:
        handles.append(entry("one subject", "o", color=SUBJECT, markersize=1.2))
    handles += ceiling_entry(drawn)
    significant = drawn[drawn["p_corrected"] < alpha]
    if len(significant):
        untrained = significant["network"].isin([f"untrained:{name}" for name in curves])
        more = " (open: untrained)" * bool(twins and untrained.any())
        handles.append(entry(differs(alpha) + more, "o", markersize=1.8))
    return handles
