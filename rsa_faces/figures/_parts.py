"""What figures are made of: panels, colours of networks, scales, curves, legends, names on axes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rsa_faces._core.errors import InputError
from rsa_faces.figures._style import (
    CEILING,
    COLORS,
    base_name,
    light_to_dark,
    shortened,
    shown_name,
    text_width,
    wrapped,
)

UNITS = {"ms": 1000.0, "s": 1.0}  # of a second
CEILING_LABEL = "noise ceiling (lower to upper)"
STAR = (6, 2, 0)  # marker of six rays
SUBJECT = "#767676"  # of dots of single subjects
GRAY, PALE, UNDEFINED = "#444444", "#888888", "#BBBBBB"
BAR = "<colorbar>"  # label of axes that explain colours, as matplotlib names its own
#: Marks of significance: filled where found, open where not.
POINT = {"linestyle": "none", "marker": "o", "markeredgewidth": 0.7}
_ROWS = 3  # of a legend, for which the heights of figures have room
_TICK = 6.2  # points that a turned name takes along its axis

# Panels -------------------------------------------------------------------------------------------


def panels(
    ax: Any, n_rows: int, n_columns: int, width: float, height: float, **options: Any
) -> np.ndarray:
    """Return axes of shape (n_rows, n_columns): the user's, or those of a new figure (inches)."""
    shape = (n_rows, n_columns)
    if ax is None:
        return plt.subplots(
            *shape, figsize=(width, height), layout="constrained", squeeze=False, **options
        )[1]
    ax = np.asarray(ax, dtype=object)
    if ax.size != np.prod(shape):
        raise InputError(f"expected {np.prod(shape)} axes, shape {shape}, got {ax.size}.")
    return ax.reshape(shape)


def wrapped_panels(
    ax: Any, n: int, n_columns: int, width: float, height: float, **options: Any
) -> np.ndarray:
    """Return n axes, so many in a row; width and height are those of one."""
    if ax is not None:
        return panels(ax, 1, n, 0.0, 0.0)[0]
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    axes = panels(None, n_rows, n_columns, width * n_columns, height * n_rows, **options).ravel()
    for spare in axes[n:]:
        spare.remove()
    return axes[:n]


def figure_of(axes: Any) -> Figure:
    """Return the figure that axes are in."""
    return np.ravel(axes)[0].get_figure(root=True)


def check_few(things: Sequence, what: str) -> None:
    """Raise unless there are as many things as colours that can be told apart, or fewer."""
    if not 1 <= len(things) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} {what}, got {len(things)}.")


# Colours of networks ------------------------------------------------------------------------------

# Those that ship, and the one of identity that most people fetch, have a colour of their own.
_KNOWN = (
    "dlib-face",
    "face-api-expression",
    "mini-xception",
    "face-api-landmarks",
    "efficientnet-lite0",
    "sface",
    "arcface-ir50",
    "pixels",
)
# The eight, then a darker or lighter one of each.
_MIXED = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0)
_PALETTE = COLORS + tuple(
    mpl.colors.to_hex(0.6 * np.array(to_rgb(color)) + 0.4 * white)
    for color, white in zip(COLORS, _MIXED, strict=True)
)
_run: dict[str, str] = {}


@contextlib.contextmanager
def palette(names: Sequence[str]) -> Iterator[None]:
    """Keep the colours of these networks, told apart, in all figures that are drawn meanwhile.

    Parameters
    ----------
    names : sequence of str
        All networks of a study, also those that only some of its figures show.

    See Also
    --------
    network_colors : Return a colour for each network, the same in every figure.

    Examples
    --------
    >>> from rsa_faces.figures import network_colors, palette
    >>> with palette(["dlib-face", "one of mine", "another"]):
    ...     colors = network_colors(["another"])
    >>> list(colors)
    ['another']
    """
    global _run
    before, _run = _run, {}
    _run = network_colors(names)
    try:
        yield
    finally:
        _run = before


def network_colors(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each network, the same in every figure.

    Parameters
    ----------
    names : sequence of str
        Names of networks, models or layers. ``untrained:NAME`` has the colour of NAME.

    Returns
    -------
    dict of str to str
        Colours as ``#RRGGBB``, by name. A colour follows from the name alone, unless two of the
        names ask for the same one: then the later one in alphabetical order takes the next. The
        first 16 names all differ. All figures of a run give its networks the same colours.

    See Also
    --------
    palette : Keep the colours of these networks.
    rsa_faces.figures.plot_layers : Draw similarity from layer to layer.

    Examples
    --------
    >>> from rsa_faces.figures import network_colors
    >>> network_colors(["untrained:dlib-face", "dlib-face"])
    {'untrained:dlib-face': '#0072B2', 'dlib-face': '#0072B2'}
    """
    bases = sorted({base_name(name) for name in names})
    chosen = {name: _run[name] for name in bases if name in _run}
    chosen |= {n: COLORS[_KNOWN.index(n)] for n in bases if n in _KNOWN and n not in chosen}
    for name in bases:
        if name not in chosen:
            # By its name: the same colour whichever networks are drawn beside it.
            first = crc32(name.encode()) % len(_PALETTE)
            order = (*_PALETTE[first:], *_PALETTE[:first])
            taken = {*chosen.values(), *_run.values()}
            chosen[name] = next((c for c in order if c not in taken), order[0])
    return {name: chosen[base_name(name)] for name in names}


def line_of(network: str) -> str:
    """Return how a network's curve is drawn: dashed if it is untrained."""
    return "-" if base_name(network) == network else "--"


def network_curves(tables: Sequence[pd.DataFrame]) -> list[tuple[pd.DataFrame, dict[str, str]]]:
    """Return tables of one network each with the looks of their curves: colour, line and label."""
    names: list[str] = []
    for table in tables:
        name = str(table["network"].iloc[0])
        again = sum(base.partition(" again")[0] == name for base in names)
        names.append(f"{name} again{f' ({again})' if again > 1 else ''}" if again else name)
    colors = network_colors(names)
    looks = [
        {"color": colors[name], "linestyle": line_of(name), "label": shown_name(name) or "features"}
        for name in names
    ]
    return list(zip(tables, looks, strict=True))


# Scales of colour ---------------------------------------------------------------------------------


def signed_scale(values: Any, limit: float | None = None) -> ScalarMappable:
    """Return colours of what can be below 0: blue, white at 0, red; grey is undefined."""
    limit = limit or _largest(values)
    cmap = mpl.colormaps["RdBu_r"].with_extremes(bad=UNDEFINED)
    return ScalarMappable(Normalize(-limit, limit), cmap)


def amount_scale(values: Any, limit: float | None = None) -> ScalarMappable:
    """Return colours of what is never below 0: from light to dark; grey is undefined."""
    limit = limit or _largest(values)
    return ScalarMappable(Normalize(0.0, limit), light_to_dark().with_extremes(bad=UNDEFINED))


def scale_of(values: Any, limit: float | None = None) -> ScalarMappable:
    """Return colours of numbers of any kind: around 0 where some are below it."""
    values = np.asarray(values, dtype=np.float64)
    return (signed_scale if (values < 0).any() else amount_scale)(values, limit)


def _largest(values: Any) -> float:
    """Return the largest number without its sign; 1 where there is none above 0."""
    values = np.abs(np.asarray(values, dtype=np.float64))
    return float(values[np.isfinite(values)].max(initial=0.0)) or 1.0


def ink(scale: ScalarMappable, value: float) -> str:
    """Return in which colour text and marks are read on a colour of the scale."""
    red, green, blue = scale.to_rgba(value)[:3]
    # Brightness as it is seen: weights of red, green and blue of ITU-R 601.
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"


def image(ax: Axes, values: np.ndarray, scale: ScalarMappable, **options: Any) -> None:
    """Draw numbers as colours, the first row on top."""
    values = np.ma.masked_invalid(np.asarray(values, dtype=np.float64))
    options = {"aspect": "auto", "interpolation": "nearest", **options}
    ax.imshow(values, cmap=scale.cmap, norm=scale.norm, **options)
    ax.tick_params(length=0)


def cells(ax: Axes, values: np.ndarray, texts: Any, scale: ScalarMappable, size=5.5) -> None:
    """Draw numbers as colours, and a text in each cell."""
    image(ax, values, scale)
    for (i, j), value in np.ndenumerate(np.asarray(values, dtype=np.float64)):
        ax.text(
            j,
            i,
            texts[i][j],
            ha="center",
            va="center",
            fontsize=size,
            linespacing=1.1,
            color="black" if np.isnan(value) else ink(scale, value),
        )
    ax.spines[:].set_visible(False)


def color_bar(
    scale: ScalarMappable, label: str, *, ax: Any = None, box: Any = None, shrink: float = 0.8
) -> Colorbar:
    """Draw what colours mean, beside axes, or in a box of the figure (left, bottom, …)."""
    if box is None:
        bar = figure_of(ax).colorbar(scale, ax=ax, shrink=shrink, aspect=22, pad=0.02)
    else:
        figure, place = box
        bar = figure.colorbar(scale, cax=figure.add_axes(place, label=BAR))
    bar.set_label(label, fontsize=6)
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=5.5, width=0.4, length=1.8)
    bar.locator = MaxNLocator(5, steps=[1, 2, 5, 10])
    bar.update_ticks()
    return bar


def outline(inside: np.ndarray, x: np.ndarray, y: np.ndarray, **look: Any) -> LineCollection:
    """Return the edge of the cells of a mask (rows, columns) whose own edges are x and y."""
    padded = np.pad(inside, 1)
    lines = [
        [(x[j], y[i]), (x[j], y[i + 1])]
        for i, j in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    ]
    lines += [
        [(x[j], y[i]), (x[j + 1], y[i])]
        for i, j in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    ]
    return LineCollection(lines, **look)


# Curves and axes ----------------------------------------------------------------------------------


def band(
    ax: Axes, x: Any, low: Any, high: Any, *, color: str, alpha: float = 0.15, **look: Any
) -> None:
    """Draw a band between two ends; where a point has no known neighbour, a line."""
    x, low, high = (np.asarray(values, dtype=np.float64) for values in (x, low, high))
    around = np.pad(np.isfinite(low) & np.isfinite(high), 1)
    alone = around[1:-1] & ~around[:-2] & ~around[2:]
    shown = {"color": color, "alpha": alpha, "linewidth": 0, **look}
    ax.fill_between(x, low, high, where=~alone, **shown)
    if alone.any():
        # A band of one point has no width, and would not be seen.
        look = {"linewidth": 1.5, **look}
        ax.vlines(x[alone], low[alone], high[alone], color=color, alpha=max(alpha, 0.5), **look)


def curve(
    ax: Axes,
    x: Any,
    y: Any,
    *,
    color: str,
    label: str | None = None,
    low: Any = None,
    high: Any = None,
    found: Any = None,
    linestyle: str = "-",
    markersize: float = 3,
) -> None:
    """Draw a curve with its band; points are filled where something was found, else open."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if low is not None:
        band(ax, x, low, high, color=color)
    ax.plot(x, y, color=color, label=label, linestyle=linestyle, zorder=3)
    points(ax, x, y, color, np.ones(len(x), bool) if found is None else found, markersize)


def points(ax: Axes, x: Any, y: Any, color: str, found: Any, markersize: float = 3) -> None:
    """Draw points, filled where something was found, else open."""
    x, y, found = np.asarray(x), np.asarray(y), np.asarray(found, dtype=bool)
    for inside, these in ((color, found), ("white", ~found)):
        if these.any():
            ax.plot(
                x[these],
                y[these],
                markersize=markersize,
                color=color,
                markerfacecolor=inside,
                zorder=4,
                **POINT,
            )


def limits_of(values: Any) -> tuple[float, float]:
    """Return the smallest and the largest similarity, and 0; 0 and 1 where all are 0."""
    # Ends of intervals may lie beyond what a similarity can be.
    values = np.clip(np.append(values, 0.0), -1, 1)
    values = values[~np.isnan(values)]
    return (values.min(), values.max()) if np.ptp(values) > 0 else (0.0, 1.0)


def bounded_axis(ax: Axes, low: float, high: float) -> None:
    """Draw the vertical axis and its ticks between two values only."""
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    ax.set_yticks(ticks[(ticks >= low) & (ticks <= high)])
    ax.spines["left"].set_bounds(low, high)


def ceiling_entry(table: pd.DataFrame) -> list:
    """Return the legend's entry of noise ceilings, where subjects share structure."""
    # Missing where there is no ceiling: neither true nor false.
    shown = table["reliable"].eq(True).any()
    return [Patch(color=CEILING, linewidth=0, label=CEILING_LABEL)] if shown else []


def differs(alpha: float) -> str:
    """Return what marks of significance say of similarities."""
    return f"differs from 0, corrected p < {alpha:g}"


def filled(meaning: str, *p: pd.Series) -> str:
    """Return what filled points mean; where no p is known, that nothing was tested."""
    return f"filled: {meaning}" if any(one.notna().any() for one in p) else "not tested"


def density(ax: Axes, values: Any, bins: Any, color: str, label: str, alpha: float = 0.3) -> None:
    """Draw how numbers are distributed, as an area."""
    look = {"color": color, "alpha": alpha, "label": label}
    ax.hist(values, bins, density=True, histtype="stepfilled", **look)


def reference(ax: Axes, value: float = 0.0, *, axis: str = "y", text: str = "") -> None:
    """Draw a dashed line at what would be nothing or chance, and say what it is."""
    draw = ax.axhline if axis == "y" else ax.axvline
    draw(value, color=GRAY, linewidth=0.6, linestyle="--", zorder=1)
    if text:
        ax.annotate(
            text,
            (0, value),
            (2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=5.5,
            color=GRAY,
        )


def depth_axis(ax: Axes) -> None:
    """Name the axis of layers where networks are compared."""
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("relative depth of the layer (1: the last)")


def count_axis(ax: Axes, counts: Any, label: str) -> None:
    """Name a logarithmic axis of counts; ticks that would touch are left out."""
    *ticks, last = sorted({int(n) for n in counts if n > 0})
    ticks = [*(t for t in ticks if last / t >= 1.5), last]
    ax.set_xscale("log")
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel(label)


def name_places(
    ax: Axes,
    axis: str,
    names: Sequence[Any],
    room: float | None = None,
    *,
    length: int = 24,
    size: float = 5.0,
    places: Sequence[float] | None = None,
) -> None:
    """Name places along an axis: all, or as many as are readable in `room` inches."""
    where = np.arange(len(names)) if places is None else np.asarray(places)
    step = 1 if room is None or not len(names) else int(np.ceil(len(names) * _TICK / (72 * room)))
    # Counted from the end: the last layer is always named.
    shown = np.arange(len(names))[::-1][:: max(step, 1)][::-1]
    texts = [shortened(str(names[i]), length) for i in shown]
    if axis == "x":
        ax.set_xticks(where[shown], texts, rotation=90, fontsize=size)
    else:
        ax.set_yticks(where[shown], texts, fontsize=size)


# Legends ------------------------------------------------------------------------------------------


def legend_below(axes: Any, own: bool, *, handles: Sequence | None = None, title: str = "") -> None:
    """Draw one legend below all axes; in axes of the user, inside the first.

    `title` says what marks, bands and lines mean; it stands also where there is one curve only.
    """
    first = np.ravel(axes)[0]
    if handles is None:
        handles, labels = first.get_legend_handles_labels()
    else:
        labels = [handle.get_label() for handle in handles]
    if not own:
        first.legend(handles, labels, frameon=False, title=title, title_fontsize=5.5)
        return
    figure = figure_of(axes)
    # In one column the legend is as wide as its longest line.
    width = figure.get_figwidth()
    # Letters of few dots are drawn up to 7 % wider than they are.
    title = wrapped(title, 0.92 * width, 5.5, " ")
    n_columns = entries_per_row(labels, width)
    # Heights of figures have room for a few rows: more of them would take it from the panels.
    more = max(0, -(-len(labels) // n_columns) - _ROWS)
    figure.set_figheight(figure.get_figheight() + 0.125 * more)
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower center",
        frameon=False,
        handlelength=1.6,
        ncols=n_columns,
        columnspacing=1.2,
        title=title or None,
        title_fontsize=5.5,
        borderpad=0.2,
    )
    legend.get_title().set_multialignment("center")


def bottom_legend(figure: Figure, handles: Sequence) -> None:
    """Draw a legend at the lower edge of a figure whose panels keep their places."""
    labels = [handle.get_label() for handle in handles]
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.0),
        frameon=False,
        ncols=entries_per_row(labels, figure.get_figwidth()),
        handlelength=1.6,
        columnspacing=1.2,
        borderpad=0.2,
        borderaxespad=0.0,
    )


def entry(label: str, marker: str | tuple | None = None, **look: Any) -> Line2D:
    """Return a legend's entry: a mark, or a line, or both where `linestyle` is given."""
    look = {"linestyle": "-" if marker is None else "none", "color": GRAY, **look}
    return Line2D([], [], marker=marker, label=label, **look)


def entries_per_row(labels: Sequence[str], width: float) -> int:
    """Return how many legend entries fit beside each other."""
    widths = [text_width(label, 6) + 0.45 for label in labels]
    for n in range(len(labels), 1, -1):
        # Entries fill one column after the other.
        if sum(max(column) for column in np.array_split(widths, n)) < width:
            return n
    return 1
