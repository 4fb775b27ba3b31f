"""Whether two labels share directions, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rsa_faces._core.errors import InputError
from rsa_faces.analyses import Congruence
from rsa_faces.figures._style import COLORS, COLUMN, shown_name, style

_HEIGHT = 2.3  # inches


def plot_congruence(
    results: Congruence | Sequence[Congruence], *, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw the congruence of two labels from layer to layer.

    Parameters
    ----------
    results : Congruence or sequence of Congruence
        Of the same two labels, from one or more networks; at most 8.
    alpha : float, default 0.05
        Filled points lie outside the null at this level, two-sided, not corrected over layers.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        A curve per network over relative depth, of congruence less the mean of its null: how high
        that mean is depends on the width of a layer. Bands: the middle 95 % of the null. Layers
        in which congruence is undefined have no point.

    Raises
    ------
    InputError
        If labels differ, there are no results or more than 8.
    """
    results = [results] if isinstance(results, Congruence) else list(results)
    if not 1 <= len(results) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} results, got {len(results)}.")
    if len({result.names for result in results}) > 1:
        shown = ", ".join(" and ".join(map(repr, result.names)) for result in results)
        raise InputError(f"expected results of the same two labels, got {shown}.")
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN, _HEIGHT), layout="constrained")
        for color, result in zip(COLORS, results, strict=False):
            table = result.table
            x, y = table["depth"].to_numpy(), table["excess"].to_numpy()
            name = shown_name(str(table["network"].iloc[0])) or "features"
            low, high = (table[f"null_{end}"] - table["null_mean"] for end in ("low", "high"))
            ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
            ax.plot(x, y, color=color, label=name, zorder=3)
            outside = (2 * table[["p_less", "p_greater"]].min(axis=1) <= alpha).to_numpy()
            for filled, these in ((True, outside), (False, ~outside)):
                ax.plot(
                    x[these], y[these], "o", markersize=3, color=color, markeredgewidth=0.7,
                    markerfacecolor=color if filled else "white", zorder=4,
                )  # fmt: skip
        table = results[0].table
        first, second = results[0].names
        dimensions = f"{table['n_dimensions_first'].max()} and {table['n_dimensions_second'].max()}"
        ax.set_title(
            f"{first} and {second}: {table['n_conditions'].iloc[0]} images, "
            f"{dimensions} dimensions", loc="left",
        )  # fmt: skip
        ax.set_xlabel("relative depth of the layer")
        ax.set_ylabel("congruence − mean of its null")
        ax.axhline(0, color="0.6", linewidth=0.5, zorder=1)
        ax.set_xlim(-0.02, 1.02)
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False,
            title="bands: null; filled: outside it",
            title_fontsize=5.5,
        )  # fmt: skip
    return ax
