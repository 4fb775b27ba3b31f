"""What judgements of faces follow from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_choice
from rsa_faces._core.words import number
from rsa_faces.analyses import TraitReadout
from rsa_faces.figures._parts import (
    PALE,
    cells,
    check_few,
    color_bar,
    figure_of,
    legend_below,
    line_of,
    name_places,
    network_colors,
    panels,
    points,
    reference,
    signed_scale,
)
from rsa_faces.figures._style import COLUMN, PAGE, shown_name, style


def plot_traits(result: TraitReadout, *, alpha: float = 0.05, ax: Axes | None = None) -> Figure:
    """Draw how well each trait is predicted from each set of features.

    Parameters
    ----------
    result : TraitReadout
        With at most 8 sets of features; other versions of a set have its colour.
    alpha : float, default 0.05
        Filled: p_corrected at most this.
    ax : Axes, optional
        To draw in; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        A row per trait, a dot with its 95 % interval per set of features; a grey line at the
        ceiling, where reliabilities were given.

    Raises
    ------
    InputError
        If there are more than 8 sets.

    See Also
    --------
    rsa_faces.analyses.trait_readout

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> faces = [f"face {i}" for i in range(60)]
    >>> x = pd.DataFrame(rng.normal(size=(60, 10)), faces)
    >>> warm = x[0] + 0.3 * rng.normal(size=60)  # made up ratings
    >>> ratings = pd.DataFrame({"warm": warm, "tall": rng.normal(size=60)}, faces)
    >>> result = rf.analyses.trait_readout({"network": x}, ratings, n_permutations=99)
    >>> figure = rf.figures.plot_traits(result)
    >>> figure.axes[0].get_xlabel()
    'correlation with ratings, held out'
    """
    sets = list(result.table["features"].unique())
    traits = list(result.table["trait"].unique())
    versions = result.table.get("against", pd.Series(dtype=object)).dropna()
    against = dict(zip(result.table["features"].loc[versions.index], versions, strict=True))
    kinds = [name for name in sets if name not in against]
    check_few(kinds, "sets of features")
    colors = network_colors(kinds)
    heights = min(9.0, 1.3 + len(traits) * (0.1 + 0.09 * len(sets)))
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, heights)
        offsets = np.linspace(-0.3, 0.3, len(sets)) if len(sets) > 1 else [0.0]
        for offset, name in zip(offsets, sets, strict=True):
            color, line = colors[against.get(name, name)], line_of(name)
            if name in against:  # other versions of a set have its colour
                own = [one for one in against if against[one] == against[name]]
                line = ("--", ":", "-.")[own.index(name) % 3]
            rows = result.table[result.table["features"] == name].set_index("trait").loc[traits]
            y = np.arange(len(traits)) + offset
            look = {"color": color, "linewidth": 0.8, "linestyle": line}
            one.hlines(y, rows["ci_low"], rows["ci_high"], label=shown_name(name), **look)
            points(one, rows["r"], y, color, rows["p_corrected"] <= alpha, 3.5)
        if "ceiling" in result.table:
            ceiling = result.table.drop_duplicates("trait").set_index("trait").loc[traits]
            place = np.arange(len(traits))
            one.vlines(
                ceiling["ceiling"],
                place - 0.4,
                place + 0.4,
                color=PALE,
                linewidth=1.2,
                label="ceiling: reliability of the ratings",
            )
        reference(one, axis="x")
        one.set_yticks(range(len(traits)), traits)
        one.set_ylim(len(traits) - 0.5, -0.5)
        one.set_xlabel("correlation with ratings, held out")
        one.set_title(f"{result.table['n_faces'].iloc[0]} faces", loc="left")
        marks = f"lines: 95 % interval; filled: above chance, p ≤ {alpha:g}, corrected"
        legend_below(one, ax is None, title=marks)
    return figure_of(one)


def plot_specificity(
    result: TraitReadout, features: str | None = None, *, ax: Axes | None = None
) -> Figure:
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
    matplotlib.figure.Figure
        Rows: trait trained on; columns: trait tested on; numbers: r, held out. A star: the
        trait's own ratings are followed more closely than this one's (95 % interval above 0).

    Raises
    ------
    InputError
        If there is no such set.

    See Also
    --------
    rsa_faces.analyses.trait_readout

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> faces = [f"face {i}" for i in range(60)]
    >>> x = pd.DataFrame(rng.normal(size=(60, 10)), faces)
    >>> warm = x[0] + 0.3 * rng.normal(size=60)  # made up ratings
    >>> ratings = pd.DataFrame({"warm": warm, "tall": rng.normal(size=60)}, faces)
    >>> result = rf.analyses.trait_readout({"network": x}, ratings, n_permutations=99)
    >>> figure = rf.figures.plot_specificity(result)
    >>> figure.axes[0].get_ylabel()
    'trait it is trained on'
    """
    sets = list(result.specificity["features"].unique())
    features = sets[0] if features is None else check_choice(features, sets, what="features")
    rows = result.specificity[result.specificity["features"] == features]
    traits = list(rows["trained"].unique())
    wide, low = (
        rows.pivot(index="trained", columns="tested", values=v).loc[traits, traits].to_numpy()
        for v in ("r", "difference_low")
    )
    texts = [
        [number(wide[i, j], 2) + "*" * bool(i != j and low[i, j] > 0) for j in range(len(traits))]
        for i in range(len(traits))
    ]
    side = 0.4 * len(traits)
    with style():
        ((one,),) = panels(ax, 1, 1, min(PAGE, max(COLUMN, 1.9 + side)), min(9.0, 1.5 + side))
        scale = signed_scale(wide, 1.0)
        cells(one, wide, texts, scale)
        name_places(one, "x", traits, size=6)
        name_places(one, "y", traits, size=6)
        one.set_xlabel("ratings it is tested on")
        one.set_ylabel("trait it is trained on")
        one.set_title(
            f"{shown_name(features)}: {result.table['n_faces'].iloc[0]} faces", loc="left"
        )
        color_bar(scale, "correlation, held out", ax=one)
        star = "* less than with its own trait: 95 % interval of the difference above 0"
        star = star if any("*" in text for row in texts for text in row) else ""
        legend_below(one, ax is None, handles=[], title=star)
    return figure_of(one)
