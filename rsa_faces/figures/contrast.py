"""What organises a geometry, layer by layer or rater by rater."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rsa_faces._core.errors import InputError
from rsa_faces.figures._style import COLORS, COLUMN, style
from rsa_faces.inference import adjust

_HEIGHT = 2.3  # inches
_NEEDED = ("feature", "contrast", "p", "n_conditions")


def plot_contrast(table: pd.DataFrame, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Draw how far apart groups of faces are, beyond distances within groups.

    Parameters
    ----------
    table : DataFrame
        From :func:`rsa_faces.behaviour.feature_contrast`; at most 8 features. Layers of one
        network (label depth) are curves, other RDMs (raters, regions) points.
    alpha : float, default 0.05
        Filled points are above 0 at this level, p corrected (false discovery rate) over all that
        is drawn.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        Curves over the layers' relative depth; or, for each feature, a point per RDM and a line
        at their mean.

    Raises
    ------
    InputError
        If a column is missing, there are no or more than 8 features, or layers are of several
        networks.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.behaviour import feature_contrast
    >>> d92 = rf.datasets.images92()
    >>> it = d92.rdms.sel(region="human IT").mean(by="subject")
    >>> table = feature_contrast(it, d92.stimuli.metadata[["face"]], n_permutations=99)
    >>> rf.figures.plot_contrast(table).get_ylabel()
    'between minus within (SD of the RDM)'
    """
    for column in _NEEDED:
        if column not in table:
            raise InputError(f"expected a table of feature_contrast, got no column {column!r}.")
    features = list(dict.fromkeys(table["feature"]))
    if not 1 <= len(features) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} features, got {len(features)}.")
    layers = "depth" in table and table["depth"].notna().all()
    if layers and "network" in table and table["network"].nunique() > 1:
        raise InputError(
            f"expected layers of one network, got {', '.join(table['network'].unique())}. Draw "
            "each in axes of its own."
        )
    tested = table["p"].notna().all()
    above = adjust(table["p"].to_numpy(), method="fdr") <= alpha if tested else None
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN, _HEIGHT), layout="constrained")
        ax.axhline(0, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
        for i, (color, feature) in enumerate(zip(COLORS, features, strict=False)):
            rows = (table["feature"] == feature).to_numpy()
            part = table[rows]
            y = part["contrast"].to_numpy()
            filled = above[rows] if tested else np.zeros(len(part), dtype=bool)
            if layers:
                x = part["depth"].to_numpy()
                order = np.argsort(x, kind="stable")
                ax.plot(x[order], y[order], color=color, label=feature, zorder=3)
            else:
                # Side by side, not on each other.
                x = i + np.linspace(-0.2, 0.2, len(part)) * (len(part) > 1)
                ax.plot([i - 0.3, i + 0.3], [y.mean()] * 2, color=color, zorder=3)
            for inside, these in ((color, filled), ("white", ~filled)):
                ax.plot(
                    x[these], y[these], "o", markersize=3, color=color, markeredgewidth=0.7,
                    markerfacecolor=inside, zorder=4,
                )  # fmt: skip
        n = sorted(set(table["n_conditions"]))
        faces = f"{n[0]} faces" if len(n) == 1 else f"{n[0]} to {n[-1]} faces"
        said = f"; filled: above 0, p < {alpha:g} corrected" if tested else ""
        name = f"{table['network'].iloc[0]}, " if layers and "network" in table else ""
        ax.set_title(f"{name}{faces}{said}", loc="left", fontsize=6)
        ax.set_ylabel("between minus within (SD of the RDM)")
        if layers:
            ax.set_xlabel("relative depth of the layer")
            ax.set_xlim(-0.02, 1.02)
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4, frameon=False)
        else:
            ax.set_xticks(range(len(features)), features)
            ax.set_xlim(-0.6, len(features) - 0.4)
    return ax
