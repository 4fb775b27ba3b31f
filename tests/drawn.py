"""Figures as tests look at them: their panels, and the rules that every figure follows."""

import re

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from rsa_faces.figures._parts import GRAY
from rsa_faces.figures._style import PAGE, PAGE_HEIGHT


def panels(figure):
    """Return the axes that hold data, in reading order: all but those that explain colours."""
    axes = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    return np.array(axes, dtype=object)


def by_region(figure):
    """Return the panels of a figure with a row per region, (n_regions, n_columns)."""
    axes = panels(figure)
    names = {t.get_text() for ax in axes for t in ax.texts if t.get_fontweight() == "bold"}
    return axes.reshape(len(names), -1)


def legend_of(figure):
    """Return the entries of all legends of a figure."""
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def said_in(figure):
    """Return all that a figure says, as one text."""
    figure.draw_without_rendering()
    return "\n".join(t.get_text() for t in figure.findobj(Text) if t.get_visible())


def boxes(figure):
    """Return (text, box in pixels) of all texts that are drawn."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    hidden = set()  # labels that exist but are not drawn: beyond the limits, or of no axis
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not (low <= tick.get_loc() <= high and axes.axison):
                    hidden.update({tick.label1, tick.label2})
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden
    ]


def overlaps(figure):
    """Return pairs of texts that lie on each other by more than a pixel."""
    found = boxes(figure)
    x0, y0, x1, y1 = np.array([box.extents for _, box in found]).T
    width = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    height = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    return [(found[i][0], found[j][0]) for i, j in np.argwhere((width > 1) & (height > 1)) if i < j]


# The rules ----------------------------------------------------------------------------------------

_COUNTED = (
    "subject|condition|image|person|people|face|patient|pair|stimuli|electrode|landmark|unit|place"
    "|network|model|voxel|vertices|peak"
)
N = re.compile(rf"\bn = \d|\d\S* (\w+ )?({_COUNTED})")
SMALLEST = 4.9  # points
_TOLERANCE = 2.0  # pixels of a figure at 100 dpi
_GENERIC = {to_rgb(GRAY)}  # stands for the colours of all networks


def broken_rules(figure):
    """Return in words which rules of all figures this one breaks."""
    figure.canvas.draw()
    found = [f"no n in {said_in(figure)!r}"] * (not N.search(said_in(figure)))
    width, height = figure.get_size_inches()
    if width > PAGE + 0.02 or height > PAGE_HEIGHT + 0.5:
        found.append(f"larger than a page: {25.4 * width:.0f} x {25.4 * height:.0f} mm")
    edge = figure.bbox.padded(_TOLERANCE)
    shown = boxes(figure)
    for text, box in shown:
        if not (
            edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1
        ):
            found.append(f"cut off: {text!r}")
    small = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    found += [f"too small: {t.get_text()!r}" for t in small if t.get_fontsize() < SMALLEST]
    found += [f"on each other: {a!r} and {b!r}" for a, b in overlaps(figure)]
    for legend in [*figure.legends, *filter(None, (ax.get_legend() for ax in figure.axes))]:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            if not _is_drawn(handle, figure):
                found.append(f"in the legend, not in the figure: {text.get_text()!r}")
    for axis in ("x", "y"):
        named = [ax for ax in figure.axes if getattr(ax, f"get_{axis}label")()]
        named = bool(named) or bool(
            figure.get_supylabel() if axis == "y" else figure.get_supxlabel()
        )
        numeric = [ax for ax in panels(figure) if ax.axison and _has_numbers(ax, axis)]
        if numeric and not named:
            found.append(f"no unit on the {axis} axis")
    return found


def _has_numbers(ax, axis):
    """Return whether numbers are written along an axis."""
    labels = getattr(ax, f"get_{axis}ticklabels")()
    texts = [t.get_text().replace("−", "-") for t in labels if t.get_visible()]
    return any(re.fullmatch(r"-?\d+(\.\d+)?", text) for text in texts)


def _is_drawn(handle, figure):
    """Return whether something in the axes looks like an entry of the legend."""
    drawn = [a for ax in figure.axes for a in (*ax.lines, *ax.collections, *ax.patches, *ax.images)]
    if isinstance(handle, Line2D) and handle.get_marker() not in (None, "None", ""):
        return any(
            (isinstance(a, Line2D) and a.get_marker() == handle.get_marker() and _has_data(a))
            or isinstance(a, PathCollection)
            for a in drawn
        )
    if isinstance(handle, (Line2D, LineCollection)):
        return any(_same_line(a, handle) for a in drawn)
    if not isinstance(handle, Patch) or not handle.get_visible():
        return True
    inside, edge = to_rgba(handle.get_facecolor()), to_rgba(handle.get_edgecolor())
    wanted = edge[:3] if inside[3] == 0 or inside[:3] == (1.0, 1.0, 1.0) else inside[:3]
    return any(np.allclose(wanted, c, atol=0.02) or wanted in _GENERIC for c in _colors(drawn))


def _has_data(line):
    """Return whether a line holds a point."""
    return np.isfinite(np.asarray(line.get_ydata(orig=False), dtype=float)).any()


def _same_line(artist, handle):
    """Return whether an artist is a line of the handle's colour, or any where that is grey."""
    if isinstance(artist, Line2D):
        colors = [to_rgb(artist.get_color())] if _has_data(artist) else []
    elif isinstance(artist, LineCollection):
        colors = [tuple(c[:3]) for c in artist.get_colors()]
    else:
        return False
    color = handle.get_color()
    color = to_rgb(color[0] if isinstance(handle, LineCollection) else color)
    return any(np.allclose(color, c, atol=0.02) or color in _GENERIC for c in colors)


def _colors(drawn):
    """Return the colours of all areas and edges."""
    for artist in drawn:
        if isinstance(artist, Patch):
            yield from (to_rgb(artist.get_facecolor()), to_rgb(artist.get_edgecolor()))
        elif isinstance(artist, AxesImage):
            rgba = artist.to_rgba(artist.get_array())
            yield from {tuple(c) for c in np.round(rgba.reshape(-1, rgba.shape[-1])[:, :3], 4)}
        elif hasattr(artist, "get_facecolor"):
            for colors in (artist.get_facecolor(), artist.get_edgecolor()):
                yield from {tuple(np.round(c[:3], 4)) for c in np.reshape(colors, (-1, 4))}
