"""What a linear layer reads out of each layer, network by network."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rsa_faces._core.errors import InputError
from rsa_faces.analyses import Readout
from rsa_faces.figures._style import COLORS, COLUMN, shown_name, style

_HEIGHT = 2.3  # inches
_SCORES = {"accuracy": "accuracy, held out", "r": "correlation with prediction, held out"}


def plot_readout(
    results: Readout | Sequence[Readout], *, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw read-out accuracy from layer to layer.

    Parameters
    ----------
    results : Readout or sequence of Readout
        Of one task, from one or more networks; at most 8.
    alpha : float, default 0.05
        Filled points differ from chance at this level, corrected over the network's layers.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        A curve per network over relative depth, with 95 % intervals; dashed: chance.

    Raises
    ------
    InputError
        If tasks differ, there are no results or more than 8, or classes and numbers are mixed.
    """
    results = [results] if isinstance(results, Readout) else list(results)
    if not 1 <= len(results) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} results, got {len(results)}.")
    tasks = list(dict.fromkeys(result.task for result in results))
    scores = {"accuracy" if result.classes else "r" for result in results}
    if len(tasks) > 1 or len(scores) > 1:
        raise InputError(f"expected results of one task, got {', '.join(map(repr, tasks))}.")
    score = scores.pop()
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN, _HEIGHT), layout="constrained")
        for color, result in zip(COLORS, results, strict=False):
            _curve(ax, result.table, score, color, alpha)
        chance = float(np.mean([result.table["chance"].mean() for result in results]))
        ax.axhline(chance, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
        ax.annotate(
            f"chance {chance:.2f}", (0, chance), xytext=(2, 2), textcoords="offset points",
            fontsize=5.5, color="#444444", xycoords=("axes fraction", "data"),
        )  # fmt: skip
        first = results[0].table.iloc[0]
        n = f"{first['n_people']} people, " if first["n_people"] < first["n_conditions"] else ""
        ax.set_title(f"{tasks[0]}: {n}{first['n_conditions']} images", loc="left")
        ax.set_xlabel("relative depth of the layer")
        ax.set_ylabel(_SCORES[score])
        ax.set_xlim(-0.02, 1.02)
        if score == "accuracy":
            ax.set_ylim(0, 1.03)
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False,
            title="filled: above chance, corrected over layers", title_fontsize=5.5,
        )  # fmt: skip
    return ax


def plot_transfer(table: pd.DataFrame, *, score: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw which task can be read out of which network.

    Parameters
    ----------
    table : DataFrame
        From :func:`rsa_faces.analyses.transfer_matrix`; tasks of one kind.
    score : str, default "accuracy"
        Column to show.
    ax : Axes, optional
        To draw in; by default a new figure.

    Returns
    -------
    Axes
        One cell per network (row) and task (column): the score, chance in brackets; colours from
        chance (white) to 1.

    Raises
    ------
    InputError
        If the column is missing or a network and task occur twice.
    """
    if score not in table.columns or table.duplicated(["trained", "task"]).any():
        raise InputError(
            f"expected one row per network and task with the column {score!r}, as transfer_matrix "
            "gives."
        )
    rows, columns = (list(dict.fromkeys(table[key])) for key in ("trained", "task"))
    wide = table.set_index(["trained", "task"])
    with style():
        if ax is None:
            size = (0.9 + 0.75 * len(columns), 0.6 + 0.32 * len(rows))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        shown = np.array([
            [(wide.at[(r, c), score] - wide.at[(r, c), "chance"]) / (1 - wide.at[(r, c), "chance"])
             for c in columns] for r in rows
        ])  # fmt: skip
        ax.imshow(shown, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for i, r in enumerate(rows):
            for j, c in enumerate(columns):
                cell = wide.loc[(r, c)]
                ax.text(
                    j, i, f"{cell[score]:.2f} ({cell['chance']:.2f})", ha="center", va="center",
                    fontsize=6, color="white" if shown[i, j] > 0.6 else "black",
                )  # fmt: skip
        ax.set_xticks(range(len(columns)), columns)
        ax.set_yticks(range(len(rows)), [shown_name(str(r)) for r in rows])
        ax.set_xlabel(f"read out: {score} (chance)")
        ax.set_ylabel("network")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    return ax


def _curve(ax: Axes, table: pd.DataFrame, score: str, color: str, alpha: float) -> None:
    """Draw one network's layers."""
    x, y = table["depth"].to_numpy(), table[score].to_numpy()
    name = shown_name(str(table["network"].iloc[0])) or "features"
    ax.fill_between(x, table["ci_low"], table["ci_high"], color=color, alpha=0.15, linewidth=0)
    ax.plot(x, y, color=color, label=name, zorder=3)
    above = (table["p_corrected"] <= alpha).to_numpy()
    for filled, these in ((True, above), (False, ~above)):
        ax.plot(
            x[these], y[these], "o", markersize=3, color=color, markeredgewidth=0.7,
            markerfacecolor=color if filled else "white", zorder=4,
        )  # fmt: skip
