"""Layer curves: similarity from layer to layer, per network and region."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rsa_faces._validation import check_choice
from rsa_faces.figures._style import CEILING, COLORS, PAGE, base_name, similarity_label, style
from rsa_faces.inference import Result
from rsa_faces.networks import NETWORKS

MAX_LABELS = 12


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
        Networks with a panel; all with more than one layer by default. ``untrained:NAME`` is
        drawn in the panel of NAME. Networks and models with one layer are short lines in the last
        column.
    regions : sequence of str, optional
        Rows; all by default.
    ax : ndarray of Axes, optional
        Axes to draw in, shape (n_regions, n_columns).

    Returns
    -------
    ndarray of Axes, shape (n_regions, n_columns)
        Their ``figure`` is the whole. Grey band: noise ceiling, lower to upper. Coloured band:
        interval of each similarity. Dots below: differs from 0 after correction.

    Raises
    ------
    InputError
        If a subset, network or region is unknown.
    """
    table = result.table
    subset = _choose(subset, table["subset"], "subset")
    table = table[table["subset"] == subset]
    regions = _choose_all(regions, table["region"], "region")
    several = table.groupby("network", sort=False)["layer"].nunique() > 1
    curves = [n for n in several.index[several] if base_name(n) == n or base_name(n) not in several]
    if networks is not None:
        curves = _choose_all(networks, table["network"], "network")
    single = [] if networks is not None else list(several.index[~several])
    columns = [*curves, *([None] if single else [])]
    alpha = result.settings.get("alpha", 0.05)
    with style():
        if ax is None:
            ax = _make_axes(table, regions, columns, single)
        ax = np.asarray(ax, dtype=object).reshape(len(regions), len(columns))
        low, high = _limits(table[table["region"].isin(regions)])
        for row, region in enumerate(regions):
            of_region = table[table["region"] == region]
            head = of_region.iloc[0]
            for column, network in enumerate(columns):
                axes: Axes = ax[row, column]
                _draw_ceiling(axes, head)
                axes.axhline(0, color="black", linewidth=0.5)
                axes.set_ylim(low, high)
                if network is None:
                    _draw_single(axes, of_region, single, alpha, low, high)
                else:
                    color = COLORS[column % len(COLORS)]
                    _draw_curve(axes, of_region, network, color, alpha, low, high)
                if row < len(regions) - 1:
                    axes.tick_params(labelbottom=False)
                if column:
                    axes.tick_params(labelleft=False)
                if row == 0:
                    axes.set_title(_title(network), pad=3)
            ax[row, 0].set_ylabel(f"{region}\n{_numbers(head)}", fontsize=6.5)
        if len(columns):
            ax[0, 0].figure.supylabel(similarity_label(table["method"].iloc[0]), fontsize=7, x=0.05)
        _legend(ax, alpha, any(f"untrained:{n}" in several.index for n in curves))
    return ax


def _choose(value, column: pd.Series, what: str) -> str:
    """Return the value asked for, or the first of the column."""
    options = list(dict.fromkeys(column))
    return options[0] if value is None else check_choice(value, options, what=what)


def _choose_all(values, column: pd.Series, what: str) -> list[str]:
    """Return the values asked for, or all of the column, each once."""
    options = list(dict.fromkeys(column))
    return options if values is None else [check_choice(v, options, what=what) for v in values]


def _make_axes(table, regions, columns, single) -> np.ndarray:
    """Return axes whose widths follow the number of layers."""
    counts = [
        max(4, len(single) * 0.9) if n is None
        else max(6.5, table[table["network"] == n]["layer"].nunique() * 0.75)
        for n in columns
    ]  # fmt: skip
    width = max(PAGE * 0.55, min(PAGE * 1.35, 0.9 + 0.115 * sum(counts)))
    figure, axes = plt.subplots(
        len(regions), len(columns), squeeze=False, sharey=True,
        figsize=(width, 0.9 + 1.25 * len(regions)),
        gridspec_kw={"width_ratios": counts, "wspace": 0.08, "hspace": 0.22},
    )  # fmt: skip
    figure.set_layout_engine("none")
    return axes


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return limits of y that hold all intervals and ceilings, with room for marks below."""
    values = table[["similarity", "ci_low", "ci_high", "ceiling_high"]].to_numpy(float)
    # Very wide intervals (few subjects) may leave the panel; similarities may not.
    shown = table[["similarity", "ceiling_high"]].to_numpy(float)
    low = max(np.nanmin(values), np.nanmin(shown) - 0.35, -1.0)
    high = min(np.nanmax(values), np.nanmax(shown) + 0.2, 1.0)
    low = min(low, 0.0)
    room = 0.14 * (high - low)
    return low - room, high + 0.08 * (high - low)


def _draw_ceiling(axes: Axes, head: pd.Series) -> None:
    """Draw the noise ceiling, where there is a signal that subjects share."""
    if np.isfinite(head["ceiling_low"]) and head["reliable"]:
        axes.axhspan(
            head["ceiling_low"], head["ceiling_high"], color=CEILING, linewidth=0, zorder=0
        )


def _numbers(head: pd.Series) -> str:
    """Return n of a row, and why there is no ceiling."""
    text = "1 subject" if head["n_subjects"] == 1 else f"{head['n_subjects']} subjects"
    text += f", {head['n_conditions']} conditions"
    if head["n_subjects"] == 1:
        return f"{text}\nno ceiling: one subject"
    return text if head["reliable"] else f"{text}\nno reliable signal"


def _title(network: str | None) -> str:
    """Return a column's title: the network, and what it was trained for where that is known."""
    if network is None:
        return "models,\none layer"
    spec = NETWORKS.get(network)
    return network if spec is None or spec.task == "none" else f"{network}\n({spec.task})"


def _draw_curve(axes, table, network, color, alpha, low, high) -> None:
    """Draw one network's layers, and its untrained twin dashed."""
    rows = table[table["network"] == network].sort_values("layer_index")
    position = np.arange(len(rows))
    twin = table[table["network"] == f"untrained:{network}"].sort_values("layer_index")
    for part, is_twin in ((twin, True), (rows, False)):
        if part.empty:
            continue
        x = _positions(part, rows)
        if not is_twin:
            axes.fill_between(x, part["ci_low"], part["ci_high"], color=color, alpha=0.2,
                              linewidth=0)  # fmt: skip
        axes.plot(
            x, part["similarity"], color=color, linestyle="--" if is_twin else "-",
            marker=None if is_twin else "o", markersize=2, linewidth=0.7 if is_twin else 1.0,
        )  # fmt: skip
        found = part["p_corrected"].to_numpy() < alpha
        level = low + (0.03 if is_twin else 0.07) * (high - low)
        axes.plot(
            x[found], np.full(found.sum(), level), linestyle="none", marker="o", markersize=1.6,
            color=color, markerfacecolor="white" if is_twin else color, markeredgewidth=0.4,
        )  # fmt: skip
    step = int(np.ceil(len(rows) / MAX_LABELS))
    ticks = position[::-1][::step][::-1]
    axes.set_xticks(ticks, rows["layer"].iloc[ticks], rotation=90, fontsize=5)
    axes.set_xlim(-0.6, len(rows) - 0.4)


def _positions(part: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Return the places of a twin's layers on the trained network's axis, by name."""
    place = {layer: i for i, layer in enumerate(rows["layer"])}
    return np.array([place.get(layer, np.nan) for layer in part["layer"]], dtype=float)


def _draw_single(axes, table, names, alpha, low, high) -> None:
    """Draw networks and models of one layer as points with intervals."""
    rows = table.set_index("network").loc[names]
    position = np.arange(len(rows))
    error = np.abs(rows[["ci_low", "ci_high"]].to_numpy(float).T - rows["similarity"].to_numpy())
    axes.errorbar(position, rows["similarity"], yerr=error, fmt="s", markersize=2.2, color="black",
                  elinewidth=0.6)  # fmt: skip
    found = rows["p_corrected"].to_numpy() < alpha
    axes.plot(position[found], np.full(found.sum(), low + 0.07 * (high - low)), "o",
              markersize=1.6, color="black", markeredgewidth=0.4)  # fmt: skip
    axes.set_xticks(position, names, rotation=90, fontsize=5)
    axes.set_xlim(-0.6, len(rows) - 0.4)


def _legend(ax: np.ndarray, alpha: float, twins: bool) -> None:
    """Explain lines, bands and marks below the panels."""
    gray = "#444444"
    handles = [
        Line2D([], [], color=gray, marker="o", markersize=2, label="trained"),
        *([Line2D([], [], color=gray, linestyle="--", linewidth=0.7,
                  label="same architecture, untrained")] if twins else []),
        Patch(color=COLORS[0], alpha=0.2, linewidth=0, label="95 % interval" if alpha == 0.05
              else f"{100 * (1 - alpha):g} % interval"),
        Patch(color=CEILING, linewidth=0, label="noise ceiling (lower to upper)"),
        Line2D([], [], linestyle="none", marker="o", markersize=1.8, color=gray,
               label=f"differs from 0, corrected p < {alpha:g}"
               + (" (open: untrained)" if twins else "")),
    ]  # fmt: skip
    ax[0, 0].figure.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 1.02 if len(ax) > 1 else 1.12),
        ncols=len(handles), frameon=False, handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip
