"""Layers over time in each region, with clusters and ceilings."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted
from rsa_faces.figures._parts import (
    GRAY,
    UNITS,
    bottom_legend,
    ceiling_entry,
    color_bar,
    entry,
    figure_of,
    name_places,
    network_colors,
    outline,
    signed_scale,
)
from rsa_faces.figures._style import (
    CEILING,
    COLUMN,
    PAGE,
    shortened,
    shown_name,
    similarity_label,
    style,
    text_width,
)
from rsa_faces.mapping.time_courses import LayerMap
from rsa_faces.mapping.time_tests import MapClusters

# Inches: strip of the ceiling, heading, room for time and legend, between panels, colour bar.
_STRIP, _HEADING, _BELOW, _GAP, _BAR = 0.32, 0.27, 0.6, 0.12, 0.72
_NAME_LENGTH = 18


def plot_layer_map(
    layer_map: LayerMap,
    clusters: MapClusters | None = None,
    *,
    alpha: float = 0.05,
    unit: str = "ms",
) -> Figure:
    """Draw the similarity of every layer over time, clusters outlined, ceilings above.

    Parameters
    ----------
    layer_map : LayerMap
        From :func:`rsa_faces.mapping.time_courses.layer_map`.
    clusters : MapClusters, optional
        Of this map, from :func:`rsa_faces.mapping.time_tests.map_clusters`. If a network was
        subtracted, the difference is drawn.
    alpha : float, default 0.05
        Layers and times with p (corrected for layers, times and regions) below it are outlined.
    unit : {"ms", "s"}, default "ms"
        Of the axis of time.

    Returns
    -------
    matplotlib.figure.Figure
        An image and a strip above it per region (rows) and network (columns). Images: layers
        upwards in order of computation, white is a similarity of 0, grey undefined. Strips: mean
        over layers, and in grey the noise ceiling, lower to upper, where patients share structure
        (not for differences). Dotted line: time 0. All panels share their scales. An outline says
        where an effect was found as a whole, not where it begins.

    Raises
    ------
    InputError
        If the clusters are of other regions, layers or times, or an option is unknown.

    See Also
    --------
    rsa_faces.mapping.layer_map : Compare every layer with every time.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.figures.ieeg import plot_layer_map
    >>> from rsa_faces.mapping.time_courses import layer_map
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(16)]
    >>> labels = {"network": "a network", "layer": ["one", "two"], "layer_index": [0, 1]}
    >>> model = rf.RDMs(rng.random((2, 120)), names, "simulated", labels)
    >>> labels = {"subject": np.repeat(range(8), 5), "time": np.tile(np.arange(5) / 10, 8)}
    >>> data = rf.RDMs(rng.random((40, 120)), names, "simulated", labels | {"region": "ventral"})
    >>> len(plot_layer_map(layer_map(model, data, n_permutations=0)).axes)
    3
    """
    check_choice(unit, UNITS, what="unit of time")
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    regions = list(dict.fromkeys(layer_map.curves["region"]))
    curves, values, found = _drawn(layer_map, clusters, regions, alpha)
    networks = list(dict.fromkeys(curves["network"]))
    difference = clusters is not None and bool(clusters.minus)
    scale = signed_scale(np.concatenate([v.ravel() for v in values.values()]))
    colors = network_colors(networks)
    columns = [(curves["network"] == n).to_numpy() for n in networks]
    with style():
        axes, strips = _grid(layer_map, curves, columns, regions, found is not None)
        limits = _strip_limits(layer_map, values, columns, difference)
        for r, region in enumerate(regions):
            for c, rows in enumerate(columns):
                outlined = None if found is None else found[region][rows]
                _image(
                    axes[r, c],
                    layer_map.times * UNITS[unit],
                    values[region][rows],
                    list(curves["layer"][rows]),
                    outlined,
                    scale,
                )
                _strip(
                    strips[r, c],
                    layer_map,
                    region,
                    values[region][rows].mean(axis=0),
                    limits,
                    unit,
                    difference,
                    colors[networks[c]],
                )
                axes[r, c].tick_params(labelbottom=r == len(regions) - 1)
                if r == len(regions) - 1:
                    axes[r, c].set_xlabel(f"time ({unit})", labelpad=2)
                strips[r, c].tick_params(labelleft=c == 0)
            strips[r, 0].set_title(
                _heading(layer_map, region), loc="left", fontweight="bold", pad=13 if r == 0 else 4
            )
        for c, network in enumerate(networks):
            name = shown_name(network)
            name += f" − {shown_name(clusters.minus)}" if difference else ""
            strips[0, c].text(
                0.5,
                1.06,
                name,
                transform=strips[0, c].transAxes,
                ha="center",
                va="bottom",
                fontsize=7,
            )
        _explain(axes, layer_map, scale, alpha, difference, found, colors)
    return figure_of(axes)


def _drawn(layer_map, clusters, regions, alpha):
    """Return layers, what is drawn in each region, and what is outlined."""
    first = layer_map.curves[layer_map.curves["region"] == regions[0]]
    curves = first.drop(columns="region").reset_index(drop=True)
    if clusters is None:
        similarity = layer_map.similarity
        own = {r: (layer_map.curves["region"] == r).to_numpy() for r in regions}
        return curves, {r: similarity[own[r]] for r in regions}, None
    same = list(clusters.tests) == regions and np.array_equal(clusters.times, layer_map.times)
    if not same or not set(clusters.curves["model"]) <= set(curves["model"]):
        raise InputError("expected the clusters of this map, got those of other places or times.")
    found = {r: clusters.p_map(r) < alpha for r in regions}
    return clusters.curves, dict(clusters.means), found


def _grid(layer_map, curves, columns, regions, outlined: bool):
    """Return axes of images and of strips, (n_regions, n_networks)."""
    n_layers = [int(c.sum()) for c in columns]
    names = [
        max(text_width(shortened(n, _NAME_LENGTH), 5) for n in curves["layer"][c]) + 0.12
        for c in columns
    ]
    names[0] = max(names[0] + 0.14, 0.46)
    room = PAGE - _BAR - sum(names) - _GAP * (len(columns) - 1)
    panel = min(room / len(columns), 2.3)
    tall = float(np.clip(0.1 * max(n_layers), 0.7, 1.9))
    width = sum(names) + panel * len(columns) + _GAP * (len(columns) - 1) + _BAR
    row = _HEADING + _STRIP + 0.05 + tall
    # In narrow figures the legend takes a line for each entry.
    height = row * len(regions) + _BELOW + 0.14 + (0.0 if width > 4.5 else 0.18)
    figure = plt.figure(figsize=(max(width, COLUMN), height))
    width = figure.get_figwidth()
    axes, strips = np.empty((2, len(regions), len(columns)), dtype=object)
    for r in range(len(regions)):
        bottom, x = height - 0.14 - row * (r + 1), 0.0
        for c in range(len(columns)):
            x += names[c]
            box = (x / width, bottom / height, panel / width, tall / height)
            axes[r, c] = figure.add_axes(box)
            box = (box[0], (bottom + tall + 0.05) / height, box[2], _STRIP / height)
            strips[r, c] = figure.add_axes(box)
            x += panel + _GAP
    return axes, strips


def _strip_limits(layer_map, values, columns, difference: bool) -> tuple[float, float]:
    """Return the limits of all strips."""
    inside = [v[rows].mean(axis=0) for v in values.values() for rows in columns]
    if not difference:
        reliable = layer_map.ceilings["reliable"].eq(True)
        inside.append(layer_map.ceilings.loc[reliable, "ceiling_low"].to_numpy(float))
        inside.append(layer_map.ceilings.loc[reliable, "ceiling_high"].to_numpy(float))
    inside = np.concatenate([*inside, [0.0]])
    low, high = np.nanmin(inside), np.nanmax(inside)
    space = 0.08 * (high - low) or 0.1
    return max(low - space, -1.0), min(high + space, 1.0)


def _strip(axes, layer_map, region, mean, limits, unit, difference: bool, color: str) -> None:
    """Draw the mean over layers, and the ceiling where patients share structure."""
    times = layer_map.times * UNITS[unit]
    rows = layer_map.ceilings[layer_map.ceilings["region"] == region]
    reliable = rows["reliable"].eq(True).to_numpy()
    if not difference:
        edges = _edges(times)
        for t in np.flatnonzero(reliable):
            low, high = rows[["ceiling_low", "ceiling_high"]].iloc[t].clip(-1, 1)
            axes.fill_between(edges[t : t + 2], low, high, color=CEILING, linewidth=0, zorder=0)
    axes.axhline(0, color="black", linewidth=0.4)
    axes.plot(times, mean, color=color, linewidth=0.9)
    edges = _edges(times)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(*limits)
    axes.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    axes.tick_params(labelbottom=False, bottom=False, labelsize=5)
    axes.spines["bottom"].set_visible(False)


def _image(axes, times, values, layers, outlined, scale: ScalarMappable) -> None:
    """Draw one image of layers over time, with outlines."""
    x, y = _edges(times), np.arange(len(values) + 1) - 0.5
    # As vectors, cells would make large files, with seams between them.
    axes.pcolormesh(
        x, y, np.ma.masked_invalid(values), cmap=scale.cmap, norm=scale.norm, rasterized=True
    )
    if outlined is not None and outlined.any():
        axes.add_collection(
            outline(outlined, x, y, colors="black", linewidths=0.9, capstyle="projecting")
        )
    if x[0] < 0 < x[-1]:
        axes.axvline(0, color="black", linewidth=0.6, linestyle=":")
    room = axes.get_window_extent().height / axes.figure.dpi
    name_places(axes, "y", layers, room, length=_NAME_LENGTH)
    axes.tick_params(axis="y", length=1.5, pad=1.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])


def _edges(times: np.ndarray) -> np.ndarray:
    """Return the edges of the cells around times."""
    if len(times) == 1:
        return times[0] + np.array([-0.5, 0.5])
    middle = (times[1:] + times[:-1]) / 2
    return np.concatenate([[2 * times[0] - middle[0]], middle, [2 * times[-1] - middle[-1]]])


def _heading(layer_map, region: str) -> str:
    """Return a region with its numbers."""
    rows = layer_map.ceilings[layer_map.ceilings["region"] == region]
    text = f"{region}: " if region else ""
    text += counted(int(rows["n_subjects"].iloc[0]), "patient")
    text += f", {layer_map.n_conditions} conditions"
    if rows["n_subjects"].iloc[0] == 1:
        return f"{text}; no ceiling: one patient"
    tested = rows["p_reliable"].notna().any()
    return text if not tested or rows["reliable"].any() else f"{text}; no reliable signal"


def _explain(axes, layer_map, scale, alpha: float, difference: bool, found, colors) -> None:
    """Draw the colour bar and the legend."""
    figure = axes[0, 0].figure
    width, height = figure.get_size_inches()
    top, low = axes[0, -1].get_position(), axes[-1, -1].get_position()
    x = top.x1 + 0.09 / width
    box = (x, low.y0, 0.09 / width, min(top.y1 - low.y0, 1.9 / height))
    text = similarity_label(layer_map.method)
    kind = ["difference of"] * difference + ["semi-partial"] * layer_map.unique
    color_bar(scale, f"{' '.join(kind)}\n{text}" if kind else text, box=(figure, box))
    color = next(iter(colors.values())) if len(colors) == 1 else GRAY
    handles = [entry("above: mean over layers", color=color, linewidth=0.9)]
    handles += [] if difference else ceiling_entry(layer_map.ceilings)
    if found is not None and any(f.any() for f in found.values()):
        handles.append(
            Patch(
                facecolor="none", edgecolor="black", linewidth=0.9, label=f"corrected p < {alpha:g}"
            )
        )
    bottom_legend(figure, handles)
