"""What organises a geometry, layer by layer or rater by rater."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.errors import InputError
from rsa_faces.figures._parts import (
    check_few,
    curve,
    depth_axis,
    figure_of,
    legend_below,
    panels,
    points,
    reference,
)
from rsa_faces.figures._style import COLORS, COLUMN, shown_name, style
from rsa_faces.inference import adjust

_NEEDED = ("feature", "contrast", "p", "n_conditions")


def plot_contrast(table: pd.DataFrame, *, alpha: float = 0.05, ax: Axes | None = None) -> Figure:
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
    matplotlib.figure.Figure
        Curves over the layers' relative depth; or, for each feature, a point per RDM and a line
        at their mean.

    Raises
    ------
    InputError
        If a column is missing, there are no or more than 8 features, or layers are of several
        networks.

    See Also
    --------
    rsa_faces.behaviour.feature_contrast : Compare distances between groups of faces.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.behaviour import feature_contrast
    >>> d92 = rf.datasets.images92()
    >>> it = d92.rdms.sel(region="human IT").mean(by="subject")
    >>> table = feature_contrast(it, d92.stimuli.metadata[["face"]], n_permutations=99)
    >>> rf.figures.plot_contrast(table).axes[0].get_ylabel()
    'between minus within (SD of the RDM)'
    """
    for column in _NEEDED:
        if column not in table:
            raise InputError(f"expected a table of feature_contrast, got no column {column!r}.")
    features = list(dict.fromkeys(table["feature"]))
    check_few(features, "features")
    layers = "depth" in table and table["depth"].notna().all()
    if layers and "network" in table and table["network"].nunique() > 1:
        raise InputError(
            f"expected layers of one network, got {', '.join(table['network'].unique())}. Draw "
            "each in axes of its own."
        )
    tested = table["p"].notna().all()
    above = adjust(table["p"].to_numpy(), method="fdr") <= alpha if tested else None
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.5)
        reference(one)
        for i, (color, feature) in enumerate(zip(COLORS, features, strict=False)):
            rows = (table["feature"] == feature).to_numpy()
            part = table[rows]
            y = part["contrast"].to_numpy()
            significant = above[rows] if tested else np.zeros(len(part), dtype=bool)
            if layers:
                order = np.argsort(part["depth"].to_numpy(), kind="stable")
                x = part["depth"].to_numpy()[order]
                curve(one, x, y[order], color=color, label=feature, found=significant[order])
            else:
                # Side by side, not on each other.
                x = i + np.linspace(-0.2, 0.2, len(part)) * (len(part) > 1)
                label = "mean over RDMs" if i == 0 else None
                one.plot([i - 0.3, i + 0.3], [y.mean()] * 2, color=color, label=label, zorder=3)
                points(one, x, y, color, significant)
        n = sorted(set(table["n_conditions"]))
        count = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
        name = f"{shown_name(table['network'].iloc[0])}, " if layers and "network" in table else ""
        one.set_title(f"{name}{count} conditions", loc="left")
        one.set_ylabel("between minus within (SD of the RDM)")
        if layers:
            depth_axis(one)
        else:
            one.set_xticks(range(len(features)), features)
            one.set_xlim(-0.6, len(features) - 0.4)
        marks = f"filled: above 0, p ≤ {alpha:g}, corrected" if tested else "not tested"
        one_each = "" if layers else "points: one RDM each; "
        legend_below(one, ax is None, title=f"{one_each}{marks}")
    return figure_of(one)
