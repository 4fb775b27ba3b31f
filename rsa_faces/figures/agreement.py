"""How alike the geometries of layers are."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rsa_faces._core.errors import InputError
from rsa_faces.analyses import LayerAgreement
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, as_axes, shown_name, style

_NAMES = {
    "spearman": "RSA, Spearman", "pearson": "RSA, Pearson", "cka": "CKA, without bias",
    "procrustes": "Procrustes similarity",
}  # fmt: skip
_MOST = 30  # names of layers on an axis


def plot_layer_agreement(result: LayerAgreement, *, alpha: float = 0.05, ax=None) -> np.ndarray:
    """Draw layer by layer maps of agreement, one for each method.

    Parameters
    ----------
    result : LayerAgreement
    alpha : float, default 0.05
        Cells with a corrected p above this are crossed out.
    ax : sequence of Axes, optional
        One per method; by default a new figure, at most 183 mm wide.

    Returns
    -------
    ndarray of Axes, shape (n_methods,)
        Colours from 0 to the largest value; dots: for each row the layer it agrees with most.
    """
    methods = list(result.table["method"].unique())
    with style():
        if ax is None:
            width = min(PAGE, 2.6 * len(methods))
            shape = result.matrix(methods[0]).shape
            height = max(2.2, 0.9 + width / len(methods) * min(shape[0] / shape[1], 1.6) * 0.75)
            _, ax = plt.subplots(1, len(methods), figsize=(width, height), layout="constrained",
                                 squeeze=False)  # fmt: skip
        axes = as_axes(ax, (len(methods),))
        for i, (one, method) in enumerate(zip(axes, methods, strict=True)):
            wide, p = result.matrix(method), result.matrix(method, "p_corrected").to_numpy()
            values = wide.to_numpy()
            image = one.imshow(values, cmap="viridis", vmin=0, vmax=max(values.max(), 0.1),
                               aspect="auto")  # fmt: skip
            one.plot(values.argmax(axis=1), range(len(values)), "o", color="white", markersize=2.5,
                     markeredgecolor="black", markeredgewidth=0.4)  # fmt: skip
            for row, col in np.argwhere(p > alpha):
                one.plot(col, row, "x", color="#CCCCCC", markersize=3, markeredgewidth=0.5)
            rows = result.table.iloc[0]
            one.set_xlabel(shown_name(str(rows["network_b"])))
            if i == 0:
                one.set_ylabel(shown_name(str(rows["network_a"])))
            _names(one, "x", list(wide.columns))
            _names(one, "y", list(wide.index) if i == 0 else [])
            order = result.order.set_index("method").loc[method]
            in_order = "" if np.isnan(order["depth_r"]) else f"\ndepth r = {order['depth_r']:.2f}"
            one.set_title(f"{_NAMES[method]}{in_order}", loc="left")
            one.figure.colorbar(image, ax=one, shrink=0.8)
            one.tick_params(length=0)
    return axes


def plot_seed_consistency(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame], *, ax: Axes | None = None
) -> Axes:
    """Draw how far networks of different seeds agree, layer by layer.

    Parameters
    ----------
    tables : DataFrame, or mapping of name to DataFrame
        From :func:`rsa_faces.analyses.seed_consistency`; at most 8 architectures.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        Means over pairs of seeds with their intervals; dashed: agreement with the untrained self.

    Raises
    ------
    InputError
        If there are no tables or more than 8.
    """
    named = dict(tables) if isinstance(tables, Mapping) else {"between seeds": tables}
    if not 1 <= len(named) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} tables, got {len(named)}.")
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN, 2.3), layout="constrained")
        for color, (name, table) in zip(COLORS, named.items(), strict=False):
            label = f"{name} ({table['n_seeds'].iloc[0]} seeds)"
            ax.fill_between(table["depth"], table["ci_low"], table["ci_high"], color=color,
                            alpha=0.15, linewidth=0)  # fmt: skip
            ax.plot(table["depth"], table["agreement"], "o-", color=color, markersize=3,
                    label=label)  # fmt: skip
            if "with_untrained" in table:
                ax.plot(table["depth"], table["with_untrained"], "--", color=color, linewidth=0.8,
                        label=f"{name}, with its untrained self")  # fmt: skip
        ax.axhline(0, color="#444444", linewidth=0.6, linestyle=":")
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(top=1.03)
        ax.set_xlabel("relative depth of the layer")
        ax.set_ylabel("agreement of geometries")
        ax.set_title(f"{next(iter(named.values()))['n_conditions'].iloc[0]} images", loc="left")
        ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return ax


def _names(ax: Axes, axis: str, names: list[str]) -> None:
    """Write names of layers, as many as fit."""
    step = -(-len(names) // _MOST) or 1
    places = range(0, len(names), step)
    shown = [names[i] for i in places]
    if axis == "x":
        ax.set_xticks(places, shown, rotation=90, fontsize=4.5)
    else:
        ax.set_yticks(places, shown, fontsize=4.5)
