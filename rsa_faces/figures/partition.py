"""Variance partitioning: areas true to size where shapes can show them, bars where not."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Patch
from scipy import ndimage
from scipy.optimize import brentq, least_squares, linear_sum_assignment

from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted, interval_label, percent
from rsa_faces.figures._parts import figure_of
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, style, text_width, wrapped
from rsa_faces.inference.partition import Partition

# Areas differ from the numbers by at most this share of the largest part.
TOLERANCE = 0.002
_SHARED = "#8C8C8C"
# Inches: the diagram, labels beside it, names of bars, lines of text of 6 and 7 points.
_DIAGRAM, _LABEL, _NAME, _LINE, _TITLE_LINE = 2.1, 1.45, 1.4, 0.1, 0.125
# Grid in which labels look for room, in inches.
_STEP = 0.01
_ALPHA = 0.35


def plot_partition(partition: Partition, *, ax: Axes | None = None) -> Figure:
    """Draw how much predictors explain alone and together.

    Parameters
    ----------
    partition : Partition
        From :func:`rsa_faces.inference.partition.variance_partition`.
    ax : Axes, optional
        For circles with their labels about 95 mm wide or more, 60 mm high, in a figure without
        a layout (constrained, tight), which would change their size afterwards.

    Returns
    -------
    matplotlib.figure.Figure
        Two or three circles (or ellipses) whose areas, and those of all their parts, are the
        adjusted R². Parts that are below 0, or that no such shapes have, are drawn as bars with
        their intervals, and the title says so.

    Raises
    ------
    InputError
        If `ax` is too small for circles with their labels, or in a figure with a layout.

    See Also
    --------
    rsa_faces.variance_partition

    Notes
    -----
    Two circles can have any three parts that are not below 0. Three circles are drawn if all seven
    areas are right to 0.2 % of the largest; else ellipses are fitted, and drawn if they are, and if
    every part is in one piece.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.figures.partition import plot_partition
    >>> from rsa_faces.inference.partition import variance_partition
    >>> d92 = rf.datasets.images92()
    >>> models = {name: d92.models.sel(name=name) for name in ["animacy", "HMAX"]}
    >>> figure = plot_partition(variance_partition(d92.rdms.sel(region="human IT"), models))
    >>> figure.axes[0].get_title(loc="left").splitlines()[0]
    'animacy and HMAX explain 35.9 % of variance together'
    """
    values = partition.table["r2_adjusted"].to_numpy(float)
    shapes, why = None, "bars, because areas cannot show a part below 0"
    if not (values < 0).any():
        shapes, why = _fit(values), "bars, because no circles or ellipses have these areas"
    with style():
        if shapes is None:
            return figure_of(_draw_bars(partition, why, ax))
        return figure_of(_draw_areas(partition, shapes, ax))


# Shapes: rows of x, y, two half axes, and the angle of the first in radians.


def _members(n_parts: int) -> np.ndarray:
    """Return which shapes each part lies in, (n_parts, n_shapes), in the order of the table."""
    if n_parts == 3:
        return np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)
    return np.array(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=bool
    )


def _fit(values: np.ndarray) -> np.ndarray | None:
    """Return shapes whose parts have these areas, or None where none are found."""
    members = _members(len(values))
    # Overlaps of pairs, all of them: what two shapes share includes what all three do.
    wanted = {
        pair: values[members[:, pair[0]] & members[:, pair[1]]].sum()
        for pair in ([(0, 1)] if members.shape[1] == 2 else [(0, 1), (0, 2), (1, 2)])
    }
    # A shape's area is all that its predictor explains alone.
    radius = np.sqrt(values @ members / np.pi)
    if not (radius > 0).all():
        return None
    circles = _circles(radius, wanted)
    # Two circles have any three areas.
    if len(radius) == 2 or _true(circles, values):
        return circles
    for start in _starts(circles):
        ellipses = _ellipses(start, values)
        if _true(ellipses, values):
            return ellipses
    return None


def _circles(radius: np.ndarray, wanted: dict[tuple[int, int], float]) -> np.ndarray:
    """Return circles of these radii, their centres as far apart as overlaps ask for."""
    apart = {}
    for (i, j), area in wanted.items():
        near, far = abs(radius[i] - radius[j]), radius[i] + radius[j]

        def excess(d, a=radius[i], b=radius[j], area=area):
            return _lens(a, b, d) - area

        if excess(far) >= 0:
            apart[i, j] = far
        elif excess(near) <= 0:
            apart[i, j] = near
        else:
            # Overlap has no inverse in closed form, but it falls with the distance: one root,
            # between touching from inside and from outside.
            apart[i, j] = brentq(excess, near, far, xtol=1e-14)
    shapes = np.zeros((len(radius), 5))
    shapes[:, 2] = shapes[:, 3] = radius
    shapes[1, 0] = apart[0, 1]
    if len(radius) == 3:
        d, e, f = apart[0, 1], apart[0, 2], apart[1, 2]
        x = np.clip((d**2 + e**2 - f**2) / (2 * d), -e, e) if d > 0 else 0.0
        shapes[2, :2] = x, -np.sqrt(max(e**2 - x**2, 0.0))
    return shapes


def _lens(a: float, b: float, d: float) -> float:
    """Return the area that circles of radius a and b share at distance d."""
    if d >= a + b:
        return 0.0
    if d <= abs(a - b):
        return np.pi * min(a, b) ** 2
    x = (d**2 + a**2 - b**2) / (2 * d)
    y = d - x
    height = np.sqrt(max(a**2 - x**2, 0.0))
    return (
        a**2 * np.arccos(np.clip(x / a, -1, 1))
        + b**2 * np.arccos(np.clip(y / b, -1, 1))
        - (d * height)
    )


def _starts(circles: np.ndarray) -> list[np.ndarray]:
    """Return shapes to begin a fit with: the circles, and flattened ones."""
    starts = [circles]
    for turn in (0.0, np.pi / 3):
        start = circles.copy()
        start[:, 2] *= 1.3
        start[:, 3] /= 1.3
        start[:, 4] = turn + np.array([0, 1, 2]) * np.pi / 3
        starts.append(start)
    return starts


def _ellipses(start: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return ellipses that have these areas as nearly as can be, and are as round as can be."""
    area = start[:, 2] * start[:, 3]
    scale = np.sqrt(area.max())

    def shapes(x: np.ndarray) -> np.ndarray:
        x = x.reshape(-1, 4)
        stretch = np.exp(x[:, 2])
        return np.column_stack(
            [x[:, :2] * scale, np.sqrt(area) * stretch, np.sqrt(area) / stretch, x[:, 3]]
        )

    x = np.column_stack([start[:, :2] / scale, np.log(start[:, 2] / start[:, 3]) / 2, start[:, 4]])
    # exp(2 * 0.7): at most about four times as long as wide.
    high = np.tile([np.inf, np.inf, 0.7, np.inf], len(start))
    # First held round, which leads away from slivers; then the areas alone decide.
    for round_ in (0.03, 0.0):

        def miss(x: np.ndarray, round_=round_) -> np.ndarray:
            # Coarser than the check at the end: it is computed hundreds of times.
            areas = _areas(shapes(x), 600) - values
            return np.append(areas / values.max(), round_ * x.reshape(-1, 4)[:, 2])

        x = least_squares(miss, np.ravel(x), bounds=(-high, high), diff_step=1e-4, max_nfev=60).x
    return shapes(x)


def _chords(shapes: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper end of each shape's vertical chord at x; equal where there is none."""
    cos, sin = np.cos(shapes[:, 4]), np.sin(shapes[:, 4])
    p, q = shapes[:, 2] ** -2.0, shapes[:, 3] ** -2.0
    a, b, c = p * cos**2 + q * sin**2, (p - q) * cos * sin, p * sin**2 + q * cos**2
    dx = x[:, None] - shapes[:, 0]
    half = np.sqrt(np.maximum((b * dx) ** 2 - c * (a * dx**2 - 1), 0)) / c
    middle = shapes[:, 1] - b * dx / c
    return middle - half, middle + half


def _extent(shapes: np.ndarray) -> np.ndarray:
    """Return the box around all shapes: left, bottom, right, top."""
    cos, sin = np.cos(shapes[:, 4]), np.sin(shapes[:, 4])
    half = np.column_stack(
        [
            np.hypot(shapes[:, 2] * cos, shapes[:, 3] * sin),
            np.hypot(shapes[:, 2] * sin, shapes[:, 3] * cos),
        ]
    )
    return np.concatenate([(shapes[:, :2] - half).min(axis=0), (shapes[:, :2] + half).max(axis=0)])


def _areas(shapes: np.ndarray, n: int = 8000) -> np.ndarray:
    """Return the areas of all parts, from chords that are integrated over x."""
    left, _, right, _ = _extent(shapes)
    x = left + (np.arange(n) + 0.5) * (right - left) / n
    low, high = _chords(shapes, x)
    members = _members(2 ** len(shapes) - 1)
    common = np.array(
        [
            np.maximum(high[:, m].min(axis=1) - low[:, m].max(axis=1), 0).sum() * (right - left) / n
            for m in members
        ]
    )
    # What lies in at least these shapes, less what lies in more.
    parts = np.zeros(len(members))
    for i in np.argsort(-members.sum(axis=1), kind="stable"):
        more = (members >= members[i]).all(axis=1) & (members != members[i]).any(axis=1)
        parts[i] = common[i] - parts[more].sum()
    return parts


def _true(shapes: np.ndarray, values: np.ndarray) -> bool:
    """Whether all areas are right and every part is in one piece."""
    if np.abs(_areas(shapes) - values).max() > TOLERANCE * values.max():
        return False
    left, bottom, right, top = _extent(shapes)
    inside = _raster(shapes, left, bottom, max(right - left, top - bottom) / 500, (500, 500))
    for part in _members(len(values)):
        mask = (inside == part[:, None, None]).all(axis=0)
        pieces = np.bincount(ndimage.label(mask, np.ones((3, 3)))[0].ravel())[1:]
        # Shapes that meet leave crumbs of a few points.
        if (pieces > max(4, 0.02 * mask.sum())).sum() > 1:
            return False
    return True


def _raster(shapes: np.ndarray, left: float, bottom: float, step: float, size) -> np.ndarray:
    """Return which points of a grid lie in each shape, (n_shapes, n_y, n_x)."""
    x = left + (np.arange(size[1]) + 0.5) * step
    y = bottom + (np.arange(size[0]) + 0.5) * step
    low, high = _chords(shapes, x)
    return (low.T[:, None, :] < y[:, None]) & (y[:, None] < high.T[:, None, :])


# Words


def _with_interval(row) -> str:
    """Return value and interval of a part or a model, with more digits for very small ones."""
    digits = 1 if abs(row.r2_adjusted) >= 0.001 else 2
    value, low, high = (percent(v, digits) for v in (row.r2_adjusted, row.ci_low, row.ci_high))
    return f"{value} % ({low} to {high})"


def _title(partition: Partition, how: str, width: float) -> str:
    """Return what is explained, by what, of how many, and how it is drawn."""
    names = partition.settings["predictors"]
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    of = "" if partition.n_subjects == 1 else "mean of "
    n = of + counted(partition.n_subjects, "subject")
    n_blocks = partition.settings["n_blocks"]
    of_blocks = f" in {n_blocks} blocks" if n_blocks else ""
    total = percent(partition.models["r2_adjusted"].iloc[-1])
    ranked = " of ranks" if partition.settings["transform"] == "rank" else ""
    lines = (
        f"{listed} explain {total} % of variance together",
        f"{n}, {partition.n_conditions} conditions{of_blocks}, {partition.n_pairs:,} pairs",
        f"adjusted R²{ranked} with {interval_label(partition.settings['alpha'])}; {how}",
    )
    return "\n".join(wrapped(line, width, 7) for line in lines)


def _n_lines(text: str) -> int:
    """Return the number of lines."""
    return 1 + text.count("\n")


def _width(text: str) -> float:
    """Return the width of the longest line at 6 points, in inches."""
    return max(text_width(line, 6) for line in text.split("\n"))


# Bars


def _draw_bars(partition: Partition, how: str, ax: Axes | None) -> Axes:
    """Draw parts as horizontal bars with intervals."""
    table = partition.table
    names = [wrapped(part, _NAME, 6) for part in table["part"]]
    numbers = [_with_interval(row) for row in table.itertuples()]
    heights = np.array([max(0.2, 0.07 + _LINE * _n_lines(name)) for name in names])
    if ax is None:
        left, right = 0.15 + max(map(_width, names)), 0.12 + max(map(_width, numbers))
        width = max(left + 1.8 + right, COLUMN)
        bars = width - left - right
        title = _title(partition, how, 0.93 * width - 0.1)
        top, bottom = 0.1 + _TITLE_LINE * _n_lines(title), 0.38
        height = top + heights.sum() + bottom
        figure = plt.figure(figsize=(width, height))
        ax = figure.add_axes((left / width, bottom / height, bars / width, heights.sum() / height))
        ax.set_title(title, loc="left", x=-(left - 0.05) / bars)
    else:
        ax.set_title(_title(partition, how, _room(ax)[0]), loc="left")
    edges = np.append(0.0, np.cumsum(heights)) / heights.mean()
    place = (edges[:-1] + edges[1:]) / 2
    n_unique = len(partition.settings["predictors"])
    colors = [*COLORS[:n_unique], *[_SHARED] * (len(table) - n_unique)]
    values, low, high = 100 * table[["r2_adjusted", "ci_low", "ci_high"]].to_numpy(float).T
    ax.barh(place, values, height=0.62, color=colors, linewidth=0)
    ax.hlines(place, low, high, color="black", linewidth=0.8)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_yticks(place, names, fontsize=6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(edges[-1], 0)
    for y, text in zip(place, numbers, strict=True):
        ax.annotate(
            text,
            (1, y),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=6,
        )
    ax.set_xlabel("variance explained (adjusted R², %)")
    return ax


# Areas


def _draw_areas(partition: Partition, shapes: np.ndarray, ax: Axes | None) -> Axes:
    """Draw shapes, each part with its name, value and interval inside or beside it."""
    kind = "circles" if np.allclose(shapes[:, 2], shapes[:, 3]) else "ellipses"
    how = f"areas of {kind} are true to size"
    left, bottom, right, top = _extent(shapes)
    shapes = shapes.copy()
    shapes[:, :4] *= _DIAGRAM / max(right - left, top - bottom)
    left, bottom, right, top = _extent(shapes)
    size = np.array([right - left, top - bottom])
    singles = partition.models[partition.models["n_predictors"] == 1]
    legend = [f"{row.model}, all its parts: {_with_interval(row)}" for row in singles.itertuples()]
    points = _inner_points(shapes)
    legend += [
        f"too small to be seen: {row.part}, {_with_interval(row)}"
        for row, point in zip(partition.table.itertuples(), points, strict=True)
        if point is None
    ]
    if ax is None:
        width = min(size[0] + 2 * _LABEL + 0.1, PAGE)
        title = _title(partition, how, 0.93 * width - 0.1)
        legend = [wrapped(text, width - 0.5, 6) for text in legend]
        head = 0.1 + _TITLE_LINE * _n_lines(title)
        height = head + size[1] + 0.15 + _foot(legend)
        figure = plt.figure(figsize=(width, height))
        ax = figure.add_axes((0.05 / width, 0, 1 - 0.1 / width, 1 - head / height))
    else:
        engine = ax.get_figure(root=True).get_layout_engine()
        if engine is not None:
            raise InputError(
                "expected axes that keep their size, but the layout of the figure "
                f"({type(engine).__name__}) changes it. Make the figure without a layout."
            )
        width = _room(ax)[0]
        title = _title(partition, how, width)
        legend = [wrapped(text, width - 0.4, 6) for text in legend]
    ax.set_title(title, loc="left")
    ax.axis("off")
    room, foot = _room(ax), _foot(legend)
    free = room - [2 * _LABEL, foot + 0.06]
    if (free < 0.8).any():
        need = np.ceil(25.4 * (np.array([2 * _LABEL, foot + 0.06]) + 0.8))
        raise InputError(
            f"expected axes of at least {need[0]:.0f} x {need[1]:.0f} mm for circles with their "
            f"labels, got {25.4 * room[0]:.0f} x {25.4 * room[1]:.0f} mm."
        )
    # Data coordinates are inches: the legend below, the diagram in the middle of what is left.
    shapes[:, :4] *= min(1.0, *(free / size))
    left, bottom, right, top = _extent(shapes)
    shapes[:, :2] += (room + [0, foot]) / 2 - [(left + right) / 2, (bottom + top) / 2]
    ax.set(xlim=(0, room[0]), ylim=(0, room[1]), aspect="equal")
    for (x, y, a, b, angle), color in zip(shapes, COLORS, strict=False):
        place = {"xy": (x, y), "width": 2 * a, "height": 2 * b, "angle": np.degrees(angle)}
        ax.add_patch(Ellipse(**place, facecolor=color, linewidth=0, alpha=_ALPHA, zorder=1))
        ax.add_patch(Ellipse(**place, fill=False, edgecolor=color, linewidth=1.0, zorder=2))
    _place_texts(ax, shapes, partition, room, foot)
    handles = [Patch(facecolor=to_rgba(c, _ALPHA), edgecolor=c) for c in COLORS[: len(shapes)]]
    handles += [Patch(visible=False)] * (len(legend) - len(shapes))
    ax.legend(
        handles,
        legend,
        loc="lower left",
        frameon=False,
        borderpad=0.3,
        borderaxespad=0.0,
        handlelength=1.2,
        labelspacing=0.4,
    )
    return ax


def _room(ax: Axes) -> np.ndarray:
    """Return width and height of axes in inches."""
    root = ax.get_figure(root=True)
    return np.array(ax.get_window_extent().size) / root.dpi


def _foot(legend: Sequence[str]) -> float:
    """Return the height of the legend in inches."""
    return 0.1 + sum(0.04 + _LINE * _n_lines(text) for text in legend)


def _masks(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which points of a grid lie in each part, (n_parts, n_y, n_x), and its corner."""
    left, bottom, right, top = _extent(shapes)
    size = (int((top - bottom) / _STEP) + 3, int((right - left) / _STEP) + 3)
    corner = np.array([left - _STEP, bottom - _STEP])
    inside = _raster(shapes, *corner, _STEP, size)
    members = _members(2 ** len(shapes) - 1)
    return (inside == members[:, :, None, None]).all(axis=1), corner


def _inner_points(shapes: np.ndarray) -> list[np.ndarray | None]:
    """Return the point of each part that is farthest from its edge; None where none is inside."""
    masks, corner = _masks(shapes)
    return [_deepest(mask, corner) if mask.any() else None for mask in masks]


def _deepest(mask: np.ndarray, corner: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Return the point of the mask, among some of its points, that is farthest from its edge."""
    depth = ndimage.distance_transform_edt(mask)
    if among is not None:
        depth = np.where(among, depth, 0.0)
    y, x = np.unravel_index(np.argmax(depth), mask.shape)
    return corner + (np.array([x, y]) + 0.5) * _STEP


def _forms(row) -> list[str]:
    """Return the label of a part in forms from wide to narrow."""
    numbers = _with_interval(row)
    broken = numbers.replace(" (", "\n(")
    return [
        f"{row.part}\n{numbers}",
        *(f"{wrapped(row.part, width, 6)}\n{broken}" for width in (1.0, 0.8, 0.6)),
    ]


def _place_texts(ax, shapes, partition: Partition, room: np.ndarray, foot: float) -> None:
    """Write the label of each part into it where it fits, else beside the diagram with a line."""
    masks, corner = _masks(shapes)
    boxes, outer = [], []
    for row, mask in zip(partition.table.itertuples(), masks, strict=True):
        if not mask.any():
            continue
        for text in _forms(row):
            size = np.array([_width(text) + 0.08, _LINE * _n_lines(text) + 0.06])
            # Odd, so that a window has a middle.
            window = tuple(int(s / _STEP) | 1 for s in size[::-1])
            fits = ndimage.minimum_filter(mask.astype(np.uint8), window, mode="constant") > 0
            if fits.any():
                point = _deepest(mask, corner, fits)
                _label(ax, point, text, "center")
                boxes.append((*(point - size / 2), *(point + size / 2)))
                break
        else:
            text = f"{wrapped(row.part, _LABEL - 0.16, 6)}\n{_with_interval(row)}"
            outer.append((text, _deepest(mask, corner)))
    if outer:
        left, _, right, _ = _extent(shapes)
        columns = np.array([left - 0.12, right + 0.12])
        _place_outside(ax, outer, np.array(boxes).reshape(-1, 4), columns, foot, room[1])


def _label(ax: Axes, point: np.ndarray, text: str, ha: str) -> None:
    """Write a label of a part."""
    ax.text(*point, text, ha=ha, va="center", fontsize=6, linespacing=1.15, zorder=4)


def _place_outside(ax, outer, boxes: np.ndarray, columns, low: float, high: float) -> None:
    """Write labels in columns left and right, with lines of least total length to their parts."""
    points = np.array([point for _, point in outer])
    height = 0.08 + _LINE * max(_n_lines(text) for text, _ in outer)
    n_slots = max(int((high - low) / height), (len(outer) + 1) // 2)
    y = low + (np.arange(n_slots) + 0.5) * (high - low) / n_slots
    slots = np.array([(x, v) for x in columns for v in y])
    # Lines of least total length never cross. One through the label of a part counts as long.
    cost = np.linalg.norm(points[:, None] - slots, axis=2)
    cost += 100 * _crossings(points, slots, boxes)
    for i, j in zip(*linear_sum_assignment(cost), strict=True):
        text, point = outer[i]
        to_left = j < n_slots
        ax.plot(*zip(point, slots[j], strict=True), color="black", linewidth=0.5, zorder=3)
        ax.plot(*point, "o", color="black", markersize=1.8, markeredgewidth=0, zorder=3)
        end = slots[j] + [-0.03 if to_left else 0.03, 0.0]
        _label(ax, end, text, "right" if to_left else "left")


def _crossings(points: np.ndarray, slots: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return how much of each line from point to slot lies in boxes, (n_points, n_slots)."""
    t = np.linspace(0, 1, 60)[:, None, None, None]
    line = (1 - t) * points[:, None] + t * slots
    x, y = line[..., 0, None], line[..., 1, None]
    hit = (x > boxes[:, 0]) & (y > boxes[:, 1]) & (x < boxes[:, 2]) & (y < boxes[:, 3])
    return hit.any(axis=-1).mean(axis=0)
