"""Layer curves: similarity from layer to layer, per network and region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rsa_faces.figures._layout import layer_grid
from rsa_faces.figures._style import (
    CEILING,
    COLORS,
    as_axes,
    base_name,
    choose,
    choose_all,
    interval_label,
    method_symbol,
    numbers,
    shortened,
    style,
    wrapped,
)
from rsa_faces.inference import Result
from rsa_faces.networks import NETWORKS

_GRAY = "#444444"
_NAME_LENGTH = 24  # characters of a layer's or model's name on the axis


def plot_layers(
    result: Result,
    *,
    subset: str | None = None,
    networks: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    ax: np.ndarray | None = None,
) -> np.ndarray:
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
    ax : ndarray of Axes, optional
        Axes to draw in, shape (n_regions, n_columns); the legend is then left to you.

    Returns
    -------
    ndarray of Axes, shape (n_regions, n_columns)
        Their ``figure`` is the whole. Grey band: noise ceiling, lower to upper, where subjects
        share structure. Coloured band or bar: interval of the similarity. Dots below: differs from
        0 after correction. At most 183 mm wide: columns that do not fit go below.

    Raises
    ------
    InputError
        If a subset, network or region is unknown, or `ax` has another number of axes.

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
    >>> axes = rf.figures.plot_layers(result)
    >>> axes.shape
    (1, 1)
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
        handles = _handles(drawn, alpha, twins, curves, single)
        if ax is None:
            labels = [
                [shortened(x, _NAME_LENGTH) for x in (single if n is None else _layers(table, n))]
                for n in columns
            ]
            headings = [numbers(table[table["region"] == region].iloc[0]) for region in regions]
            titles = [_title(n) if curves else "" for n in columns]
            ax = layer_grid(headings, labels, titles, handles, n_curves=len(curves))
        ax = as_axes(ax, (len(regions), len(columns)))
        for row, region in enumerate(regions):
            of_region = table[table["region"] == region]
            for column, network in enumerate(columns):
                axes: Axes = ax[row, column]
                _frame(axes, of_region.iloc[0], limits)
                if network is None:
                    _draw_single(axes, of_region, single, alpha, limits)
                else:
                    color = COLORS[column % len(COLORS)]
                    _draw_network(axes, of_region, network, color, alpha, limits)
                left = axes.get_position().x0
                first = column == 0 or left < ax[row, column - 1].get_position().x0
                if first:
                    _label_row(axes, of_region.iloc[0])
                axes.tick_params(labelleft=first, labelbottom=row == len(regions) - 1)
                if row == 0 and curves:
                    width = axes.get_window_extent().width / axes.figure.dpi
                    axes.set_title(wrapped(_title(network), width, 7), pad=13)
    return ax


def _columns(table: pd.DataFrame, names: list[str]) -> tuple[list[str], list[str]]:
    """Return which names have a panel of their own, and which stand together in the last one."""
    several = [n for n in names if _n_layers(table, n) > 1]
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
    return network if spec is None or spec.task == "none" else f"{network}\n({spec.task})"


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold 0 and all similarities, intervals and ceilings that are drawn."""
    values = table[["similarity", "ci_low", "ci_high"]].to_numpy(float)
    ceilings = table.loc[table["reliable"] == True, "ceiling_high"].to_numpy(float)  # noqa: E712
    values = np.clip(np.concatenate([values.ravel(), ceilings, [0.0]]), -1, 1)
    values = values[~np.isnan(values)]
    return (values.min(), values.max()) if np.ptp(values) > 0 else (0.0, 1.0)


def _frame(axes: Axes, head: pd.Series, limits: tuple[float, float]) -> None:
    """Draw what all panels have: the ceiling, the line at 0, axes; leave a strip for marks."""
    low, high = limits
    if head["reliable"] and np.isfinite(head["ceiling_low"]):
        axes.axhspan(
            head["ceiling_low"], head["ceiling_high"], color=CEILING, linewidth=0, zorder=0
        )
    axes.axhline(0, color="black", linewidth=0.4, zorder=1)
    axes.set_ylim(low - 0.16 * (high - low), high + 0.03 * (high - low))
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    axes.set_yticks(ticks[(ticks >= low) & (ticks <= high)])
    axes.spines["left"].set_bounds(low, high)


def _mark(axes: Axes, x, limits, color: str, *, level: int, filled: bool) -> None:
    """Draw marks of significance in the strip below the data, one row per level."""
    low, high = limits
    y = np.full(len(x), low - (0.05 + 0.055 * level) * (high - low))
    axes.plot(x, y, linestyle="none", marker="o", markersize=1.7, color=color, clip_on=False,
              markerfacecolor=color if filled else "white", markeredgewidth=0.4)  # fmt: skip


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
        if trained:
            ends = np.clip(rows[["ci_low", "ci_high"]].to_numpy(float), -1, 1)
            axes.fill_between(x, *ends.T, color=color, alpha=0.2, linewidth=0)
        axes.plot(
            x, rows["similarity"], color=color, linestyle="-" if trained else "--",
            marker="o" if trained else None, markersize=1.8, linewidth=1.0 if trained else 0.7,
        )  # fmt: skip
        found = rows["p_corrected"].to_numpy(float) < alpha
        _mark(axes, x[found], limits, color, level=0 if trained else 1, filled=trained)
    _label_places(axes, layers)


def _draw_single(axes, table, names, alpha, limits) -> None:
    """Draw networks and models of one layer as points with intervals."""
    rows = table[table["network"].isin(names)]
    x = rows["network"].map({name: i for i, name in enumerate(names)}).to_numpy(float)
    ends = np.clip(rows[["ci_low", "ci_high"]].to_numpy(float), -1, 1)
    axes.vlines(x, *ends.T, color=_GRAY, linewidth=0.7)
    axes.plot(x, rows["similarity"], "_", markersize=4, markeredgewidth=1.3, color="black")
    found = rows["p_corrected"].to_numpy(float) < alpha
    _mark(axes, x[found], limits, "black", level=0, filled=True)
    _label_places(axes, names, every=True)


def _label_places(axes: Axes, names: Sequence[str], *, every: bool = False) -> None:
    """Name places along x, all or as many as are readable and the last; a tick for each."""
    per_name = 72 * axes.get_window_extent().width / axes.figure.dpi / (len(names) + 0.2)
    step = 1 if every else int(np.ceil(6.2 / per_name))
    places = np.arange(len(names))[::-1][::step][::-1]
    axes.set_xticks(places, [shortened(names[i], _NAME_LENGTH) for i in places], rotation=90,
                    fontsize=5)  # fmt: skip
    axes.set_xticks(range(len(names)), minor=True)
    axes.tick_params(axis="x", which="both", length=1.8, pad=1.5)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _label_row(axes: Axes, head: pd.Series) -> None:
    """Write what a row of panels is, and the unit of its axis."""
    axes.annotate(numbers(head), (0, 1), (0, 3), xycoords="axes fraction",
                  textcoords="offset points", fontsize=7, fontweight="bold")  # fmt: skip
    method = head["method"]
    axes.set_ylabel(f"similarity\n({method_symbol(method)})", labelpad=2)


def _handles(drawn: pd.DataFrame, alpha: float, twins: bool, curves, single) -> list:
    """Return the legend's entries: those that occur."""
    handles: list = []
    if curves:
        trained = "trained" if twins else "network"
        handles.append(Line2D([], [], color=_GRAY, marker="o", markersize=2, label=trained))
    if twins:
        handles.append(Line2D([], [], color=_GRAY, linestyle="--", linewidth=0.7,
                              label="same architecture, untrained"))  # fmt: skip
    if curves:
        handles.append(Patch(color=COLORS[0], alpha=0.2, linewidth=0, label=interval_label(alpha)))
    if single:
        label = "one layer" if curves else f"model, {interval_label(alpha)}"
        handles.append(Line2D([], [], color="black", marker="_", markersize=5, linestyle="none",
                              markeredgewidth=1.3, label=label))  # fmt: skip
    if (drawn["reliable"] == True).any():  # noqa: E712
        handles.append(Patch(color=CEILING, linewidth=0, label="noise ceiling (lower to upper)"))
    label = f"differs from 0, corrected p < {alpha:g}" + (" (open: untrained)" if twins else "")
    handles.append(Line2D([], [], linestyle="none", marker="o", markersize=1.8, color=_GRAY,
                          label=label))  # fmt: skip
    return handles
