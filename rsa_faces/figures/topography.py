"""Where units look, and whether data resemble those of the centre or of the rim."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted, interval_label, percent
from rsa_faces.analyses.networks.topography import ReceptiveFields, TopographyComparison
from rsa_faces.figures._parts import (
    CEILING_LABEL,
    GRAY,
    STAR,
    check_few,
    curve,
    depth_axis,
    figure_of,
    legend_below,
    line_of,
    name_places,
    network_colors,
    panels,
    reference,
)
from rsa_faces.figures._style import (
    CEILING,
    COLORS,
    COLUMN,
    choose,
    shown_name,
    similarity_label,
    style,
)

_TICKS = (0, 0.5, 1)
_PARTS = {"central": COLORS[1], "peripheral": COLORS[0]}


def plot_receptive_fields(
    fields: ReceptiveFields,
    *,
    layer: str | None = None,
    radius: float | None = 0.25,
    n_boxes: int | None = None,
    ax: Axes | None = None,
) -> Figure:
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
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        The square input of the network, 0 to 1 on both sides, y downwards.

    Raises
    ------
    InputError
        If there is no such layer.

    See Also
    --------
    rsa_faces.analyses.receptive_fields : Find where in the image each place of a layer looks.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> fields = rf.analyses.receptive_fields(network, ["conv1"])
    >>> figure = rf.figures.plot_receptive_fields(fields)
    >>> figure.axes[0].get_title(loc="left").splitlines()[0]
    'mini-xception conv1'
    """
    check_arguments(plot_receptive_fields, locals())
    table = fields.table
    layer = choose(layer, table["layer"], "layer")
    units = table[table["layer"] == layer].dropna(subset=["x", "y"]).reset_index(drop=True)
    size = fields.settings["size"]
    boxes = "left" in units
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, COLUMN + 0.1)
        central = units["eccentricity"] <= (np.inf if radius is None else radius)
        for part, mask in (("central", central), ("peripheral", ~central)):
            # Area of dots in proportion to the room that each has: thousands of units stay a
            # density, not a blot.
            dot = float(np.clip(60 / np.sqrt(max(len(units), 1)), 0.8, 4))
            if mask.any():
                one.plot(
                    units["x"][mask],
                    units["y"][mask],
                    ".",
                    color=_PARTS[part],
                    markersize=dot,
                    label="centre of a field" + (f", {part}" if radius is not None else ""),
                )
        if n_boxes is None:
            side = (units["width"] if "width" in units else 2 * units["spread"]).median()
            # As many fields as lie beside each other without covering the image, at most nine.
            n_boxes = int(np.clip(1 / side, 1, 3)) ** 2 if len(units) else 0
        label = "field" if boxes else "field: one spread"
        for i in _spread_out(units, n_boxes):
            unit = units.iloc[i]
            if boxes:
                corner = (unit["left"] / size, unit["top"] / size)
                shape = plt.Rectangle(corner, unit["width"], unit["height"])
            else:
                shape = Circle((unit["x"], unit["y"]), unit["spread"])
            color = _PARTS["central" if central[i] else "peripheral"]
            shape.set(fill=False, edgecolor=color, linewidth=0.8, label=label)
            one.add_patch(shape)
            label = None
        if radius is not None:
            one.add_patch(
                Circle(
                    (0.5, 0.5),
                    radius,
                    fill=False,
                    edgecolor="black",
                    linestyle="--",
                    linewidth=0.8,
                    label=f"disc of radius {radius:g}",
                )
            )
        one.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xticks=_TICKS, yticks=_TICKS)
        one.set(xlabel="x (share of the image)", ylabel="y (share of the image)")
        one.spines[:].set_visible(True)
        name = shown_name(fields.settings["network"], layer)
        what = "unit" if (units["row"] < 0).all() else "place"
        method = fields.settings["method"]
        one.set_title(f"{name}\n{counted(len(units), what)}; {method} fields", loc="left")
        legend_below(one, ax is None)
    return figure_of(one)


def plot_central_bias(table: pd.DataFrame, *, of: str = "field", ax: Axes | None = None) -> Figure:
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
    matplotlib.figure.Figure
        A curve per network: the median over units; band: their middle half.

    Raises
    ------
    InputError
        If `of` is unknown or there are more than 8 networks.

    See Also
    --------
    rsa_faces.analyses.central_bias : Measure how far units favour the centre of the image.

    Examples
    --------
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> table = pd.DataFrame({"network": "made up", "layer": ["conv1"] * 3 + ["conv2"] * 3,
    ...                       "field_bias": [0.0, 0.1, 0.2, 0.1, 0.3, 0.4], "field_expected": 0.2})
    >>> figure = rf.figures.plot_central_bias(table)
    >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
    ['conv1', 'conv2']
    """
    column = f"{choose(of, ['field', 'activation'], 'bias')}_bias"
    networks = list(dict.fromkeys(table["network"]))
    check_few(networks, "networks")
    same = len({tuple(g["layer"].unique()) for _, g in table.groupby("network")}) == 1
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.8)
        for network, color in network_colors(networks).items():
            part = table[table["network"] == network].dropna(subset=[column])
            groups = part.groupby("layer", sort=False)[column]
            # Units of a layer are no sample of anything: their spread is shown, not an interval of
            # a mean.
            low, middle, high = (groups.quantile(q) for q in (0.25, 0.5, 0.75))
            layers = list(dict.fromkeys(table.loc[table["network"] == network, "layer"]))
            x = np.array([layers.index(layer) for layer in middle.index], dtype=float)
            x = x if same else (x + 1) / len(layers)
            n = int(groups.size().sum())
            label = f"{shown_name(network)} ({counted(n, 'unit')})"
            curve(
                one,
                x,
                middle,
                low=low,
                high=high,
                color=color,
                label=label,
                linestyle=line_of(network),
            )
        if same:
            name_places(one, "x", layers, COLUMN - 0.7)
            one.set_xlabel("layer, in order of computation")
        else:
            depth_axis(one)
        reference(one)
        one.set_ylabel("central bias (share in the disc\nless what is expected)")
        area = percent(table[f"{of}_expected"].mean(), 0)
        marks = f"disc: middle of the image, {area} % of it; bands: middle half of the units"
        one.set_title("fields" if of == "field" else "activation", loc="left")
        legend_below(one, ax is None, title=marks)
    return figure_of(one)


def plot_topography(
    result: TopographyComparison,
    *,
    region: str | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
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
    matplotlib.figure.Figure
        Two curves over layers; squares: central less peripheral, with its interval; stars: layers
        in which the parts differ, corrected over layers.

    Raises
    ------
    InputError
        If there is no such region, or the table has several networks.

    See Also
    --------
    rsa_faces.analyses.compare_topography

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> faces = d92.stimuli.query("face")
    >>> rdms = rf.analyses.topographic_rdms(network, faces, layers=["conv1"])
    >>> judged = d92.rdms.sel(region="behaviour").subset(faces.ids)
    >>> result = rf.analyses.compare_topography(rdms, judged, n_boot=50)
    >>> figure = rf.figures.plot_topography(result)
    >>> figure.axes[0].get_title(loc="left").splitlines()[0]
    'mini-xception and behaviour'
    """
    region = choose(region, result.table["region"], "region")
    table = result.table[result.table["region"] == region]
    if table["network"].nunique() > 1:
        raise InputError(
            f"expected one network, got {', '.join(map(repr, table['network'].unique()))}."
        )
    alpha = result.settings["alpha"]
    x = np.arange(len(table))
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 3.1)
        for part, color in _PARTS.items():
            one.plot(x, table[part], "o-", color=color, markersize=3, label=part, zorder=3)
        difference = table["difference"].to_numpy()
        one.errorbar(
            x,
            difference,
            table["ci_high"].to_numpy() - difference,
            fmt="s",
            color=GRAY,
            markersize=2.5,
            capsize=2,
            elinewidth=0.8,
            zorder=2,
            label=f"central − peripheral, {interval_label(alpha)}",
        )
        reference(one)
        low, high = table["ceiling_low"].mean(), table["ceiling_high"].mean()
        if table["ceiling_low"].notna().all():
            one.axhspan(low, high, color=CEILING, linewidth=0, zorder=0, label=CEILING_LABEL)
        significant = (table["p_corrected"] <= alpha).to_numpy()
        if significant.any():
            top = table[["central", "peripheral"]].max(axis=1).to_numpy()
            one.plot(
                x[significant],
                top[significant] + 0.05 * np.ptp(one.get_ylim()),
                linestyle="none",
                marker=STAR,
                color="black",
                markersize=4,
                markeredgewidth=0.5,
                label=f"parts differ, corrected p ≤ {alpha:g}",
            )
        first = table.iloc[0]
        numbers = f"{counted(first['n_subjects'], 'subject')}, {first['n_conditions']} conditions"
        name = shown_name(str(first["network"]))
        name = f"{title}: {name}" if title and title != name else name
        lines = [f"{name}{f' and {region}' if region else ''}", numbers]
        one.set_title("\n".join(lines), loc="left")
        name_places(one, "x", list(table["layer"]), COLUMN - 0.7)
        one.set_xlabel("layer, in order of computation")
        one.set_ylabel(similarity_label(first["method"]))
        legend_below(one, ax is None, title="central: units whose field has its centre in the disc")
    return figure_of(one)


def _spread_out(units: pd.DataFrame, n: int) -> list[int]:
    """Return units nearest to an even grid over the image."""
    side = max(1, int(np.sqrt(n)))
    if not len(units) or n < 1:
        return []
    at = (np.arange(side) + 0.5) / side
    chosen = [int(np.hypot(units["x"] - a, units["y"] - b).argmin()) for b in at for a in at]
    return list(dict.fromkeys(chosen))
