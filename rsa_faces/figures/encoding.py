"""How well layers predict responses, region by region, beside their geometry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rsa_faces._core.errors import InputError
from rsa_faces._core.words import between, number, p_sentence
from rsa_faces.analyses import Encoding
from rsa_faces.figures._parts import (
    check_few,
    curve,
    entry,
    figure_of,
    legend_below,
    network_curves,
    panels,
    points,
    reference,
    wrapped_panels,
)
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, shortened, style
from rsa_faces.inference import Result


def plot_encoding(
    results: Encoding | Sequence[Encoding],
    *,
    rsa: Result | None = None,
    alpha: float = 0.05,
    ax=None,
) -> Figure:
    """Draw how well layers predict responses, a column of panels per region.

    Parameters
    ----------
    results : Encoding or sequence of Encoding
        From one or more networks, of the same regions; at most 8.
    rsa : Result, optional
        Of the same networks, layers and regions, from :func:`rsa_faces.evaluate`: similarities are
        drawn beside correlations.
    alpha : float, default 0.05
        Filled points predict at this level, corrected over the network's layers and regions.
    ax : array of Axes, optional
        One per region, and so many again for parts where a result has several spaces.

    Returns
    -------
    matplotlib.figure.Figure
        Above a curve per network over relative depth with 95 % intervals, dotted the ceiling,
        dashed RSA. Below, of the first result, the part of each feature space in r2.

    Raises
    ------
    InputError
        If regions differ, there are no results or more than 8, or of `rsa` no layer is among them.

    See Also
    --------
    rsa_faces.analyses.encoding : Predict responses from each layer by banded ridge regression.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(60)]
    >>> layers = {f"layer {i}": x for i, x in enumerate(rng.normal(size=(3, 60, 10)))}
    >>> cells = layers["layer 1"] + layers["layer 2"] + rng.normal(size=(3, 60, 10))  # made up
    >>> found = rf.analyses.encoding(layers, cells, conditions=names, n_permutations=39,
    ...                              beside={"pixels": rng.normal(size=(60, 10))})
    >>> figure = rf.figures.plot_encoding(found)
    >>> len(figure.axes)
    2
    """
    results = [results] if isinstance(results, Encoding) else list(results)
    check_few(results, "results")
    regions = list(dict.fromkeys(results[0].table["region"]))
    if any(set(result.table["region"]) != set(regions) for result in results):
        raise InputError(f"expected results of the same regions, the first has {regions}.")
    parts = results[0].parts
    own = parts["space"] == parts["layer"]
    n_rows = 1 if own.all() else 2
    with style():
        width = min(PAGE, max(COLUMN, 2.0 * len(regions)))
        options = {"sharex": True, "sharey": "row"}
        axes = panels(ax, n_rows, len(regions), width, 1.1 + 1.6 * n_rows, **options)
        for one, region in zip(axes[0], regions, strict=True):
            tables = [result.table[result.table["region"] == region] for result in results]
            for table, look in network_curves(tables):
                curve(
                    one,
                    table["depth"],
                    table["r"],
                    low=table["ci_low"],
                    high=table["ci_high"],
                    found=table["p_corrected"] <= alpha,
                    **look,
                )
                if rsa is not None:
                    beside = _similarity(rsa, table, region)
                    one.plot(table["depth"], beside, color=look["color"], linestyle="--")
            ceiling = tables[0]["ceiling"].mean()
            if np.isfinite(ceiling):
                one.axhline(ceiling, color="#666666", linewidth=0.6, linestyle=":")
            reference(one)
            one.set_title(region, loc="left")
        axes[0, 0].set_ylabel("correlation, held out")
        for one, region in zip(axes[1] if n_rows > 1 else (), regions, strict=False):
            spaces = dict.fromkeys(["the layer", *parts["space"][~own]])
            for color, space in zip(("#000000", *COLORS), spaces, strict=False):
                rows = parts[(own if space == "the layer" else parts["space"] == space)]
                rows = rows[rows["region"] == region]
                depth = results[0].table.drop_duplicates("layer").set_index("layer")["depth"]
                x = depth.loc[list(rows["layer"])]
                ends = {"low": rows["ci_low"], "high": rows["ci_high"]}
                curve(one, x, rows["part"], color=color, label=shortened(space, 24), **ends)
            reference(one)
        if n_rows > 1:
            axes[1, 0].set_ylabel("part of r²")
        for one in axes[-1]:
            one.set_xlim(-0.02, 1.02)
            one.set_xlabel("relative depth (1: the last)")
        handles = [h for row in axes for h in row[0].get_legend_handles_labels()[0]]
        if rsa is not None:
            handles.append(entry("RSA (similarity)", linestyle="--"))
        if results[0].table["ceiling"].notna().any():
            handles.append(entry("ceiling", linestyle=":"))
        first = results[0].table.iloc[0]
        marks = f"{first['n_targets']} responses to {first['n_conditions']} images; bands: 95 % "
        marks += f"interval; filled: predicted, p ≤ {alpha:g}, corrected"
        legend_below(axes, ax is None, handles=handles, title=marks)
    return figure_of(axes)


def plot_feature_sets(result: Encoding, *, ax=None) -> Figure:
    """Draw which of two sets of features predicts the same responses better.

    Parameters
    ----------
    result : Encoding
        Of two sets (layers) or more.
    ax : sequence of Axes, optional
        One for each set that is compared, and region.

    Returns
    -------
    matplotlib.figure.Figure
        A dot per response: r2 from the set that others are compared with, and from another.
        Above: the mean difference, its 95 % interval and p over faces, and p over responses.

    Raises
    ------
    InputError
        If there is one set only.

    See Also
    --------
    rsa_faces.analyses.encoding : Predict responses from each layer by banded ridge regression.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(60)]
    >>> sets = dict(zip(["shape", "appearance"], rng.normal(size=(2, 60, 10)), strict=True))
    >>> cells = sets["shape"] + 0.5 * sets["appearance"] + rng.normal(size=(60, 10))  # made up
    >>> found = rf.analyses.encoding(sets, cells, conditions=names, n_permutations=19)
    >>> figure = rf.figures.plot_feature_sets(found)
    >>> len(figure.axes)
    1
    """
    rows = result.differences
    if not len(rows):
        raise InputError("expected a result of at least two sets (layers), got one.")
    r2 = result.targets.set_index(["layer", "region"])["r2"].sort_index()
    span = np.array([min(r2.min(), 0.0), r2.max()]) * 1.05
    n_regions = rows["region"].nunique()
    first = result.table.iloc[0]
    # What was drawn, and left out together.
    units = "images" if first["n_people"] == first["n_conditions"] else "people"
    with style():
        n_columns = n_regions if 1 < n_regions < 4 else 3
        axes = wrapped_panels(ax, len(rows), n_columns, PAGE / 3, 2.4)
        for one, row in zip(axes, rows.itertuples(), strict=True):
            x, y = (r2.loc[[(name, row.region)]] for name in (row.against, row.layer))
            one.plot(span, span, color="#666666", linewidth=0.6, linestyle="--", zorder=1)
            points(one, x, y, COLORS[0], np.ones(len(x), bool), 2.5)
            one.set_xlabel(f"r², {shortened(row.against, 24)}")
            one.set_ylabel(f"r², {shortened(row.layer, 24)}")
            interval = between(row.r2_ci_low, row.r2_ci_high)
            texts = [f"{row.region}: difference {number(row.r2_difference)}", f"({interval})"]
            texts.append(f"{units}: {p_sentence(row.r2_p)}")
            texts.append(f"responses: {p_sentence(row.targets_p)}")
            one.set_title("\n".join(texts), loc="left")
        marks = f"{len(r2) // r2.index.get_level_values(0).nunique()} responses to "
        marks += (
            f"{first['n_conditions']} images; r²: explained variance, held out; dashed: alike; "
        )
        legend_below(
            axes, ax is None, handles=[], title=marks + f"brackets: 95 % interval over {units}"
        )
    return figure_of(axes)


def _similarity(rsa: Result, table: pd.DataFrame, region: str) -> np.ndarray:
    """Return the similarity of each layer with a region; NaN where there is none."""
    network = table["network"].iloc[0]
    rows = rsa.table[(rsa.table["network"] == network) & (rsa.table["region"] == region)]
    values = rows.drop_duplicates("layer").set_index("layer")["similarity"]
    similarity = values.reindex(table["layer"]).to_numpy(float)
    if np.isnan(similarity).all():
        raise InputError(f"expected layers of {network!r} and {region!r} in `rsa`, got none.")
    return similarity
