"""Where units look, and whether data resemble those of the centre or of the rim."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces.analyses.networks.topography import ReceptiveFields, TopographyComparison
from rsa_faces.figures._style import (
    COLORS,
    COLUMN,
    choose,
    interval_label,
    shown_name,
    similarity_label,
    style,
)

_HEIGHT = 2.3  # inches
_PARTS = {"central": COLORS[1], "peripheral": COLORS[0]}


def plot_receptive_fields(
    fields: ReceptiveFields, *, layer: str | None = None, radius: float | None = 0.25,
    n_boxes: int | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the centres of a layer's receptive fields on the image, and the size of some.

    Parameters
    ----------
    fields : ReceptiveFields
        From :func:`rsa_faces.analyses.receptive_fields`.
    layer : str, optional
        By default the first.
    radius : float or None, default 0.25
        Of the circle between centre and rim; None leaves it out.
    n_boxes : int, optional
        Fields to outline, spread over the units: boxes, or circles of one spread for gradients.
        By default 9, or fewer where they would overlap much.
    ax : Axes, optional
        To draw in; by default a new square figure.

    Returns
    -------
    Axes
        The square input of the network, 0 to 1 on both sides, y downwards.

    Raises
    ------
    InputError
        If there is no such layer.
    """
    check_arguments(plot_receptive_fields, locals())
    table = fields.table
    layer = choose(layer, table["layer"], "layer")
    units = table[table["layer"] == layer].dropna(subset=["x", "y"]).reset_index(drop=True)
    size = fields.settings["size"]
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(_HEIGHT, _HEIGHT), layout="constrained")
        central = units["eccentricity"] <= (np.inf if radius is None else radius)
        for mask, color in ((central, _PARTS["central"]), (~central, _PARTS["peripheral"])):
            dot = float(np.clip(60 / np.sqrt(max(len(units), 1)), 0.4, 3))
            ax.plot(units["x"][mask], units["y"][mask], ".", color=color, markersize=dot)
        if n_boxes is None:
            side = (units["width"] if "width" in units else 2 * units["spread"]).median()
            n_boxes = int(np.clip(1 / side, 1, 3)) ** 2 if len(units) else 0
        for i in _spread_out(units, n_boxes):
            unit = units.iloc[i]
            color = _PARTS["central" if central[i] else "peripheral"]
            if "left" in units:
                corner = (unit["left"] / size, unit["top"] / size)
                shape = plt.Rectangle(corner, unit["width"], unit["height"])
            else:
                shape = Circle((unit["x"], unit["y"]), unit["spread"])
            shape.set(fill=False, edgecolor=color, linewidth=0.8)
            ax.add_patch(shape)
        if radius is not None:
            ax.add_patch(
                Circle((0.5, 0.5), radius, fill=False, edgecolor="black", linestyle="--",
                       linewidth=0.8)
            )  # fmt: skip
        ax.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xlabel="x, share of the image",
               ylabel="y, share of the image")  # fmt: skip
        ticks = [0, 0.5, 1]
        ax.set_xticks(ticks)
        ax.set_yticks(ticks)
        ax.spines[:].set_visible(True)
        kind = "boxes" if "left" in units else "circles: one spread"
        name = shown_name(fields.settings["network"], layer)
        what = "units" if (units["row"] < 0).all() else "places"
        ax.set_title(f"{name}\n{len(units)} {what}; {kind} of {fields.settings['method']} fields",
                     loc="left")  # fmt: skip
    return ax


def plot_central_bias(
    table: pd.DataFrame, *, of: str = "field", ax: Axes | None = None
) -> Axes:  # fmt: skip
    """Draw how far units favour the centre, layer by layer.

    Parameters
    ----------
    table : DataFrame
        From :func:`rsa_faces.analyses.central_bias`, of one or more networks put together.
    of : {"field", "activation"}, default "field"
        Bias of effective fields or of activation.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        A curve per network: the median over units; band: their middle half.

    Raises
    ------
    InputError
        If `of` is unknown or there are more than 8 networks.
    """
    column = f"{choose(of, ['field', 'activation'], 'bias')}_bias"
    networks = list(dict.fromkeys(table["network"]))
    if not 1 <= len(networks) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} networks, got {len(networks)}.")
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN, _HEIGHT), layout="constrained")
        for color, network in zip(COLORS, networks, strict=False):
            part = table[table["network"] == network].dropna(subset=[column])
            groups = part.groupby("layer", sort=False)[column]
            low, middle, high = (groups.quantile(q) for q in (0.25, 0.5, 0.75))
            x = np.arange(len(middle))
            ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
            ax.plot(x, middle, "o-", color=color, markersize=3, label=shown_name(network))
        if len({tuple(g["layer"].unique()) for _, g in table.groupby("network")}) == 1:
            ax.set_xticks(x, middle.index, rotation=45, ha="right", rotation_mode="anchor")
        else:
            ax.set_xlabel("layer, in order of computation")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.axhline(0, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
        ax.set_ylabel(f"central bias of {'fields' if of == 'field' else 'activation'}")
        ax.set_title("share in the disc, less expected; band: half of the units",
                     loc="left")  # fmt: skip
        ax.legend(frameon=False, ncols=2)
    return ax


def plot_topography(
    result: TopographyComparison, *, region: str | None = None, title: str = "",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw how similar data are to central and to peripheral units, layer by layer.

    Parameters
    ----------
    result : TopographyComparison
        From :func:`rsa_faces.analyses.compare_topography`, of one network.
    region : str, optional
        By default the first.
    title : str, optional
        Put before the numbers.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        Two curves over layers; squares: central less peripheral, with its interval; stars: layers
        in which the parts differ, corrected over layers.

    Raises
    ------
    InputError
        If there is no such region, or the table has several networks.
    """
    region = choose(region, result.table["region"], "region")
    table = result.table[result.table["region"] == region]
    if table["network"].nunique() > 1:
        raise InputError(
            f"expected one network, got {', '.join(map(repr, table['network'].unique()))}."
        )
    alpha = result.settings["alpha"]
    x = np.arange(len(table))
    own = ax is None
    with style():
        if own:
            _, ax = plt.subplots(figsize=(COLUMN, 1.25 * _HEIGHT), layout="constrained")
        for part, color in _PARTS.items():
            ax.plot(x, table[part], "o-", color=color, markersize=3, label=part, zorder=3)
        difference = table["difference"].to_numpy()
        half = table["ci_high"].to_numpy() - difference
        ax.errorbar(
            x, difference, half, fmt="s", color="#444444", markersize=2.5, capsize=2,
            elinewidth=0.8, label=f"difference, {interval_label(alpha)}", zorder=2,
        )  # fmt: skip
        ax.axhline(0, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
        if table["ceiling_low"].notna().all():
            ax.axhline(table["ceiling_low"].mean(), color="#999999", linewidth=0.8, zorder=1,
                       label="lower noise ceiling")  # fmt: skip
        top = table[["central", "peripheral"]].max(axis=1).to_numpy()
        for i in np.flatnonzero(table["p_corrected"] <= alpha):
            ax.annotate("*", (x[i], top[i]), xytext=(0, 1), textcoords="offset points",
                        ha="center", fontsize=9)  # fmt: skip
        first = table.iloc[0]
        numbers = f"{first['n_subjects']} subjects, {first['n_conditions']} conditions"
        name = shown_name(str(first["network"]))
        lines = [f"{title}{name}{f' and {region}' if region else ''}", numbers]
        ax.set_title("\n".join(lines), loc="left")
        ax.set_xticks(x, table["layer"], rotation=45, ha="right", rotation_mode="anchor")
        ax.set_ylabel(similarity_label(first["method"]))
        ax.margins(y=0.12)
        legend = {
            "frameon": False, "ncols": 2, "title_fontsize": 5.5,
            "title": f"*: parts differ, corrected over layers (alpha {alpha:g})",
        }  # fmt: skip
        if own:
            ax.figure.legend(loc="outside lower center", **legend)
        else:
            ax.legend(loc="best", **legend)
    return ax


def _spread_out(units: pd.DataFrame, n: int) -> list[int]:
    """Return units nearest to an even grid over the image."""
    side = max(1, int(np.sqrt(n)))
    if not len(units) or n < 1:
        return []
    at = (np.arange(side) + 0.5) / side
    chosen = [int(np.hypot(units["x"] - a, units["y"] - b).argmin()) for b in at for a in at]
    return list(dict.fromkeys(chosen))
