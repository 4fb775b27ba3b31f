"""How alike the geometries of layers are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces.analyses import LayerAgreement
from rsa_faces.figures._parts import (
    check_few,
    color_bar,
    curve,
    depth_axis,
    figure_of,
    image,
    ink,
    legend_below,
    name_places,
    network_colors,
    panels,
    reference,
    scale_of,
)
from rsa_faces.figures._style import COLUMN, PAGE, shown_name, style

_NAMES = {
    "spearman": "RSA, Spearman ρ",
    "pearson": "RSA, Pearson r",
    "cka": "CKA, without bias",
    "procrustes": "Procrustes similarity",
}


def plot_layer_agreement(result: LayerAgreement, *, alpha: float = 0.05, ax=None) -> Figure:
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
    matplotlib.figure.Figure
        A panel per method, all with one scale. Dots: for each row the layer it agrees with most.

    See Also
    --------
    rsa_faces.analyses.layer_agreement : Compare the geometry of every layer of a network.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> x, other = rng.normal(size=(2, 30, 8))
    >>> turned = 3 * x @ np.linalg.qr(rng.normal(size=(8, 8)))[0]  # the same geometry
    >>> names = [f"face {i}" for i in range(30)]
    >>> result = rf.analyses.layer_agreement({"a": x}, {"b": turned, "c": other}, conditions=names,
    ...                                      methods=["cka"], n_boot=50, n_permutations=99)
    >>> figure = rf.figures.plot_layer_agreement(result)
    >>> figure.axes[0].get_title(loc="left")
    'CKA, without bias'
    """
    methods = list(result.table["method"].unique())
    rows = result.table.iloc[0]
    shape = result.matrix(methods[0]).shape
    wide = min(PAGE, 2.6 * len(methods))
    tall = float(np.clip(wide / len(methods) * min(shape[0] / shape[1], 1.6) * 0.75, 1.3, 4.0))
    with style():
        axes = panels(ax, 1, len(methods), wide, 1.2 + tall)[0]
        scale = scale_of(result.table["value"])
        for i, (one, method) in enumerate(zip(axes, methods, strict=True)):
            values = result.matrix(method)
            image(one, values, scale)
            best = values.to_numpy().argmax(axis=1)
            one.plot(
                best,
                range(len(best)),
                "o",
                color="white",
                markersize=2.5,
                markeredgecolor="black",
                markeredgewidth=0.4,
                label="highest of its row",
            )
            p = result.matrix(method, "p_corrected").to_numpy()
            for y, x in np.argwhere(p > alpha):
                color = ink(scale, values.iat[y, x])
                one.plot(x, y, "x", color=color, markersize=3, markeredgewidth=0.5)
            one.set_xlabel(shown_name(str(rows["network_b"])))
            name_places(one, "x", list(values.columns), (wide - 0.8) / len(methods) - 0.2)
            name_places(one, "y", list(values.index) if i == 0 else [], tall)
            order = result.order.set_index("method").loc[method]
            in_order = "" if np.isnan(order["depth_r"]) else f"\ndepth r = {order['depth_r']:.2f}"
            one.set_title(f"{_NAMES[method]}{in_order}", loc="left")
        axes[0].set_ylabel(shown_name(str(rows["network_a"])))
        color_bar(scale, "agreement of geometries", ax=list(axes))
        crossed = (result.table["p_corrected"] > alpha).any()
        crosses = f"; crossed out: not above 0, p > {alpha:g}, corrected" if crossed else ""
        legend_below(axes, ax is None, title=f"{rows['n_conditions']} images{crosses}")
    return figure_of(axes)


def plot_seed_consistency(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame], *, ax: Axes | None = None
) -> Figure:
    """Draw how far networks of different seeds agree, layer by layer.

    Parameters
    ----------
    tables : DataFrame, or mapping of name to DataFrame
        From :func:`rsa_faces.analyses.seed_consistency`; at most 8 architectures.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        Means over pairs of seeds with their intervals; dashed: agreement with the untrained self.

    Raises
    ------
    InputError
        If there are no tables or more than 8.

    See Also
    --------
    rsa_faces.analyses.seed_consistency : Ask how far networks.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(20, 8))
    >>> seeds = [{f"layer {k}": x + k * rng.normal(size=x.shape) for k in range(4)}
    ...          for _ in range(4)]  # made up: seeds share less in later layers
    >>> table = rf.analyses.seed_consistency(seeds, conditions=[f"face {i}" for i in range(20)])
    >>> figure = rf.figures.plot_seed_consistency(table)
    >>> figure.axes[0].get_ylabel()
    'agreement of geometries'
    """
    named = dict(tables) if isinstance(tables, Mapping) else {"between seeds": tables}
    check_few(named, "tables")
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.5)
        for name, color in network_colors(list(named)).items():
            table = named[name]
            label = f"{name} ({table['n_seeds'].iloc[0]} seeds)"
            curve(
                one,
                table["depth"],
                table["agreement"],
                color=color,
                label=label,
                low=table["ci_low"],
                high=table["ci_high"],
            )
            if "with_untrained" in table:
                one.plot(
                    table["depth"],
                    table["with_untrained"],
                    "--",
                    color=color,
                    linewidth=0.8,
                    label=f"{name}, with its untrained self",
                )
        reference(one)
        depth_axis(one)
        one.set_ylim(top=1.03)
        one.set_ylabel("agreement of geometries")
        n = next(iter(named.values()))["n_conditions"].iloc[0]
        legend_below(one, ax is None, title=f"{n} images; bands: 95 % interval")
    return figure_of(one)
