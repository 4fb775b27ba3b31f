"""What judgements of faces follow from."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses import TraitReadout
from rsa_faces.figures._style import COLORS, style


def plot_traits(result: TraitReadout, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Draw how well each trait is predicted from each set of features.

    Parameters
    ----------
    result : TraitReadout
        With at most 8 sets of features.
    alpha : float, default 0.05
        Filled: p_corrected at most this.
    ax : Axes, optional
        To draw in; by default a new figure.

    Returns
    -------
    Axes
        A row per trait, a dot with its 95 % interval per set of features; a grey line at the
        ceiling, where reliabilities were given.

    Raises
    ------
    InputError
        If there are more than 8 sets.
    """
    sets = list(result.table["features"].unique())
    traits = list(result.table["trait"].unique())
    if len(sets) > len(COLORS):
        raise InputError(f"expected at most {len(COLORS)} sets of features, got {len(sets)}.")
    with style():
        if ax is None:
            size = (3.5, 0.8 + len(traits) * (0.1 + 0.09 * len(sets)))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        offsets = np.linspace(-0.3, 0.3, len(sets)) if len(sets) > 1 else [0.0]
        for offset, color, name in zip(offsets, COLORS, sets, strict=False):
            rows = result.table[result.table["features"] == name].set_index("trait").loc[traits]
            y = np.arange(len(traits)) + offset
            ax.hlines(y, rows["ci_low"], rows["ci_high"], color=color, linewidth=0.8)
            found = (rows["p_corrected"] <= alpha).to_numpy()
            for filled, these in ((True, found), (False, ~found)):
                ax.plot(
                    rows["r"][these], y[these], "o", markersize=3.5, color=color,
                    markerfacecolor=color if filled else "white", markeredgewidth=0.7,
                )  # fmt: skip
            ax.plot([], [], "o-", color=color, markersize=3.5, linewidth=0.8, label=name)
        if "ceiling" in result.table:
            ceiling = result.table.drop_duplicates("trait").set_index("trait").loc[traits]
            for i, value in enumerate(ceiling["ceiling"]):
                ax.vlines(value, i - 0.4, i + 0.4, color="#888888", linewidth=1.2)
            ax.plot([], [], color="#888888", linewidth=1.2, label="ceiling of the ratings")
        ax.axvline(0, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
        ax.set_yticks(range(len(traits)), traits)
        ax.invert_yaxis()
        ax.set_xlabel("correlation with ratings, held out")
        ax.set_title(f"{result.table['n_faces'].iloc[0]} faces", loc="left")
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.6 / ax.figure.get_figheight()), ncols=2,
            frameon=False, title="filled: above chance, corrected", title_fontsize=5.5,
        )  # fmt: skip
    return ax


def plot_specificity(
    result: TraitReadout, features: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw which ratings the prediction of each trait follows.

    Parameters
    ----------
    result : TraitReadout
    features : str, optional
        Which set; by default the first.
    ax : Axes, optional
        To draw in; by default a new figure.

    Returns
    -------
    Axes
        Rows: trait trained on; columns: trait tested on; numbers: r, held out. A star: the
        trait's own ratings are followed more closely than this one's (95 % interval above 0).

    Raises
    ------
    InputError
        If there is no such set.
    """
    sets = list(result.specificity["features"].unique())
    features = sets[0] if features is None else check_choice(features, sets, what="features")
    rows = result.specificity[result.specificity["features"] == features]
    traits = list(rows["trained"].unique())
    wide, low = (
        rows.pivot(index="trained", columns="tested", values=v).loc[traits, traits].to_numpy()
        for v in ("r", "difference_low")
    )
    with style():
        if ax is None:
            size = 1.1 + 0.36 * len(traits)
            _, ax = plt.subplots(figsize=(size + 0.5, size), layout="constrained")
        image = ax.imshow(wide, cmap="RdBu_r", vmin=-1, vmax=1)
        for i in range(len(traits)):
            for j in range(len(traits)):
                star = "*" if i != j and low[i, j] > 0 else ""
                ax.text(j, i, f"{wide[i, j]:.2f}{star}", ha="center", va="center", fontsize=5.5,
                        color="white" if abs(wide[i, j]) > 0.6 else "black")  # fmt: skip
        ax.set_xticks(range(len(traits)), traits, rotation=90)
        ax.set_yticks(range(len(traits)), traits)
        ax.set_xlabel("tested on")
        ax.set_ylabel("trained on")
        ax.set_title(f"{features} (* less than with its own trait)", loc="left")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.figure.colorbar(image, ax=ax, shrink=0.7, label="correlation, held out")
    return ax
