"""Similarity over time, and from one time to another."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import interval_label
from rsa_faces.figures._parts import (
    GRAY,
    UNITS,
    band,
    bottom_legend,
    bounded_axis,
    ceiling_entry,
    check_few,
    color_bar,
    curve,
    differs,
    entries_per_row,
    entry,
    figure_of,
    legend_below,
    limits_of,
    network_colors,
    panels,
    reference,
    signed_scale,
)
from rsa_faces.figures._style import (
    CEILING,
    COLORS,
    COLUMN,
    PAGE,
    choose,
    method_symbol,
    numbers,
    shortened,
    shown_name,
    similarity_label,
    style,
)
from rsa_faces.inference import MovieSimilarity, TimeCourse, TimeGeneralization

_LENGTH = 32  # characters of a model's name in the legend
_LINE_STYLES = ("-", "--", ":", "-.")
# Inches: margins, height of a panel, of its heading, of a line of the legend.
_LEFT, _RIGHT, _PANEL, _HEADING, _LINE = 0.62, 0.08, 1.35, 0.22, 0.14


def plot_time(course: TimeCourse, *, unit: str = "ms", ax: np.ndarray | None = None) -> Figure:
    """Draw similarity over time: a panel per region, a curve per model.

    Parameters
    ----------
    course : TimeCourse
        From :func:`rsa_faces.inference.time_course`; at most 8 models.
    unit : {"ms", "s"}, default "ms"
        Of the axis of time.
    ax : Axes or ndarray of Axes, optional
        One per region, to draw in; the legend is then left to you.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per region, 89 mm wide. Coloured band: interval of each time on its own.
        Grey band: noise ceiling of each time, lower to upper, where subjects share structure.
        Dots below, a row per model: differs from 0 after correction. Dotted line: time 0.

    Raises
    ------
    InputError
        If there are more than 8 models, the unit is unknown, or `ax` has another number of axes.

    See Also
    --------
    rsa_faces.inference.time_course : Evaluate how well models predict data at each time.

    Notes
    -----
    All panels share both axes. Intervals and ceilings end at -1 and 1. Times that are not defined
    (NaN) leave a gap. There is no grey band where `reliable` is not true in the course's table:
    the upper ceiling stays near 1/√n_subjects where subjects share nothing.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.figures.time import plot_time
    >>> from rsa_faces.inference import time_course
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random(190), names, "simulated", {"name": ["a model"]})
    >>> gain = np.tile([0.0, 1.0, 0.5], 6)[:, None]
    >>> labels = {"subject": np.repeat(range(6), 3), "time": np.tile([0.0, 0.1, 0.2], 6)}
    >>> data = rf.RDMs(gain * model.vectors + rng.random((18, 190)), names, "simulated", labels)
    >>> figure = plot_time(time_course(model, data, n_boot=200))
    >>> figure.axes[0].get_xlabel()
    'time (ms)'
    """
    check_choice(unit, UNITS, what="unit of time")
    models = list(course.curves["model"].unique())
    if len(models) > len(COLORS):
        raise InputError(
            f"expected at most {len(COLORS)} models in a figure over time, got {len(models)}: more "
            "colours cannot be told apart. Take fewer with course.sel(model=...)."
        )
    regions = list(course.curves["region"].unique())
    limits = _limits(course.table)
    colors = network_colors(models)
    with style():
        if ax is None:
            ax = _panels(len(regions), _handles(colors, course))
        ax = panels(ax, 1, len(regions), 0.0, 0.0)[0]
        for axes, region in zip(ax, regions, strict=True):
            table = course.table[course.table["region"] == region]
            _frame(axes, table, course.times * UNITS[unit], limits, len(models))
            for level, model in enumerate(models):
                rows = table[table["model"] == model]
                alpha = course.settings["alpha"]
                _curve(axes, rows, UNITS[unit], limits, level, alpha, colors[model])
            axes.set_title(
                numbers(table.iloc[0], caveats=False), loc="left", fontweight="bold", pad=3
            )
            method = table["method"].iloc[0]
            axes.set_ylabel(f"similarity\n({method_symbol(method)})", labelpad=2)
            last = axes is ax[-1]
            axes.tick_params(labelbottom=last)
            axes.set_xlabel(f"time ({unit})" if last else "")
    return figure_of(ax)


def plot_generalization(
    generalization: TimeGeneralization, *, unit: str = "ms", ax: Axes | None = None
) -> Figure:
    """Draw the similarity of RDMs between all pairs of times.

    Parameters
    ----------
    generalization : TimeGeneralization
        From :func:`rsa_faces.inference.time_generalization`.
    unit : {"ms", "s"}, default "ms"
        Of both axes.
    ax : Axes, optional
        Axes to draw in; the colour bar takes some of its room.

    Returns
    -------
    matplotlib.figure.Figure
        Rows (upwards): time of one subject; columns: time of the others, pooled. White is a
        similarity of 0, red above, blue below, grey undefined. Dotted lines: time 0. Dashed: the
        diagonal, where both times are the same.

    Raises
    ------
    InputError
        If the unit is unknown.

    See Also
    --------
    rsa_faces.inference.time_generalization : Compare RDMs between all pairs of times.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.figures.time import plot_generalization
    >>> from rsa_faces.inference import time_generalization
    >>> labels = {"subject": np.repeat(range(6), 3), "time": np.tile([0.0, 0.1, 0.2], 6)}
    >>> values = np.random.default_rng(0).random((18, 190))
    >>> data = rf.RDMs(values, [f"image {i}" for i in range(20)], "simulated", labels)
    >>> plot_generalization(time_generalization(data)).axes[0].get_xlabel()
    'time of the other subjects (ms)'
    """
    check_choice(unit, UNITS, what="unit of time")
    times = generalization.times * UNITS[unit]
    values = generalization.similarity
    scale = signed_scale(values)
    with style():
        if ax is None:
            ax = plt.figure(figsize=(COLUMN, 2.9)).add_axes((0.17, 0.15, 0.62, 0.75))
        ax.pcolormesh(
            times,
            times,
            np.ma.masked_invalid(values),
            cmap=scale.cmap,
            norm=scale.norm,
            shading="nearest",
            rasterized=True,
        )
        ax.set_aspect("equal")
        ax.axline((times[0], times[0]), slope=1, color="black", linewidth=0.5, linestyle="--")
        if times[0] < 0 < times[-1]:
            ax.axvline(0, color="black", linewidth=0.6, linestyle=":")
            ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        ax.spines[["top", "right"]].set_visible(True)
        ax.set_xlabel(f"time of the other subjects ({unit})")
        ax.set_ylabel(f"time of one subject ({unit})")
        head = pd.Series(
            {
                "region": generalization.region,
                "n_subjects": len(generalization.subject_names),
                "n_conditions": generalization.n_conditions,
            }
        )
        ax.set_title(numbers(head, caveats=False), loc="left", fontweight="bold", pad=4)
        color_bar(scale, similarity_label(generalization.method), ax=ax)
    return figure_of(ax)


def plot_movies(
    found: MovieSimilarity,
    *,
    region: str | None = None,
    layers: str | Sequence[str] | None = None,
    alpha: float = 0.05,
    ax: np.ndarray | None = None,
) -> Figure:
    """Draw the similarity of moments of clips and of data: all pairs of times, and at each lag.

    Parameters
    ----------
    found : MovieSimilarity
        From :func:`rsa_faces.inference.compare_movies`.
    region : str, optional
        By default the first.
    layers : str or sequence of str, optional
        At most 8; by default of each network the one with the highest timing.
    alpha : float, default 0.05
        Filled points: timing is not 0 at this level, corrected.
    ax : ndarray of 2 Axes, optional
        By default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Left: similarity of all pairs of times, of the layer with the highest timing; dashed: the
        same time. Right: timing at each lag, a curve per layer with its interval over subjects.

    Raises
    ------
    InputError
        If there is no such region or layer, or there are more than 8.

    See Also
    --------
    rsa_faces.inference.compare_movies : Compare moments of clips with those of a recording.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names, at = [f"clip {i}" for i in range(12)], np.arange(6) / 5
    >>> model = rf.RDMs(rng.random((6, 66)), names, "simulated", {"time": at})
    >>> labels = {"subject": np.repeat(range(8), 6), "time": np.tile(at, 8)}
    >>> values = np.tile(np.roll(model.vectors, 1, axis=0), (8, 1)) + rng.random((48, 66))
    >>> data = rf.RDMs(values, names, "simulated", labels)
    >>> figure = rf.figures.plot_movies(rf.inference.compare_movies(model, data))
    >>> figure.axes[1].get_xlabel()
    'lag (s): data after the model'
    """
    check_arguments(plot_movies, locals())
    region = choose(region, found.table["region"], "region")
    table = found.table[found.table["region"] == region]
    best = table.loc[table.groupby(["network", "layer"], sort=False)["timing"].idxmax()]
    if layers is None:
        best = best.loc[best.groupby("network", sort=False)["timing"].idxmax()]
    else:
        layers = [layers] if isinstance(layers, str) else list(layers)
        for name in layers:
            check_choice(name, list(best["layer"]), what="layer")
        best = best[best["layer"].isin(layers)]
    names = [shown_name(*key) for key in zip(best["network"], best["layer"], strict=True)]
    check_few(names, "layers")
    highest = best.loc[best["timing"].idxmax()]
    with style():
        left, right = panels(ax, 1, 2, PAGE, 2.9)[0]
        place = list(dict.fromkeys(found.table["region"])).index(region)
        keys = table[["network", "layer"]].drop_duplicates().itertuples(index=False, name=None)
        values = found.similarity[place, list(keys).index((highest["network"], highest["layer"]))]
        scale = signed_scale(values)
        left.pcolormesh(
            found.data_times,
            found.model_times,
            values,
            cmap=scale.cmap,
            norm=scale.norm,
            shading="nearest",
            rasterized=True,
        )
        left.axline((found.model_times[0],) * 2, slope=1, color="black", lw=0.5, linestyle="--")
        left.set(xlabel="time of the data (s)", ylabel="time of the model (s)", aspect="equal")
        left.spines[["top", "right"]].set_visible(True)
        left.set_title(shown_name(highest["network"], highest["layer"]), loc="left")
        color_bar(scale, similarity_label(found.settings["method"]), ax=left)
        colors = network_colors(names)
        for name, row in zip(names, best.itertuples(), strict=True):
            own = table[(table["network"] == row.network) & (table["layer"] == row.layer)]
            curve(
                right,
                own["lag"],
                own["timing"],
                color=colors[name],
                low=own["timing_low"],
                high=own["timing_high"],
                found=own["p_corrected"] <= alpha,
                label=name,
            )
        reference(right)
        right.axvline(0, color="black", linewidth=0.6, linestyle=":")
        right.set_xlabel("lag (s): data after the model")
        right.set_ylabel("timing: similarity less that of\nthe same moments at other lags")
        right.set_title(numbers(highest, caveats=False), loc="left")
        marks = f"bands: 95 % interval; filled: p ≤ {alpha:g}, corrected"
        legend_below(
            [left, right], ax is None, handles=right.get_legend_handles_labels()[0], title=marks
        )
    return figure_of(np.array([left, right]))


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold 0 and all similarities, intervals and ceilings."""
    columns = ["similarity", "ci_low", "ci_high", "ceiling_low", "ceiling_high"]
    values = table[columns].to_numpy(float, copy=True)
    values[(~table["reliable"].eq(True)).to_numpy(), 3:] = np.nan
    return limits_of(values.ravel())


def _panels(n_regions: int, handles: list) -> np.ndarray:
    """Return one axes per region, below each other, with a legend."""
    per_row = entries_per_row([h.get_label() for h in handles], COLUMN)
    legend = 0.06 + _LINE * int(np.ceil(len(handles) / per_row))
    bottom = legend + 0.31
    height = bottom + n_regions * (_PANEL + _HEADING)
    figure = plt.figure(figsize=(COLUMN, height))
    width = (COLUMN - _LEFT - _RIGHT) / COLUMN
    axes = [
        figure.add_axes(
            (
                _LEFT / COLUMN,
                (bottom + (n_regions - 1 - i) * (_PANEL + _HEADING)) / height,
                width,
                _PANEL / height,
            )
        )
        for i in range(n_regions)
    ]
    bottom_legend(figure, handles)
    return np.array(axes, dtype=object)


def _frame(axes: Axes, table: pd.DataFrame, times, limits, n_models: int) -> None:
    """Draw what all panels have: ceilings, lines at 0, axes; leave a strip for the dots."""
    low, high = limits
    first = table[table["model"] == table["model"].iloc[0]]
    reliable = first["reliable"].eq(True).to_numpy()
    ends = np.clip(first[["ceiling_low", "ceiling_high"]].to_numpy(float), -1, 1)
    shown = np.where(reliable[:, None], ends, np.nan)
    band(axes, times, *shown.T, color=CEILING, alpha=1.0, zorder=0)
    axes.axhline(0, color="black", linewidth=0.4, zorder=1)
    if times[0] < 0 < times[-1]:
        axes.axvline(0, color="black", linewidth=0.6, linestyle=":", zorder=1)
    axes.set_xlim(times[0], times[-1])
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.set_ylim(low - (0.06 + 0.06 * n_models) * (high - low), high + 0.03 * (high - low))
    bounded_axis(axes, low, high)


def _curve(axes, rows: pd.DataFrame, scale: float, limits, level, alpha, color: str) -> None:
    """Draw one model's curve, interval and dots."""
    low, high = limits
    times = rows["time"].to_numpy(float) * scale
    ends = np.clip(rows[["ci_low", "ci_high"]].to_numpy(float), -1, 1)
    band(axes, times, *ends.T, color=color, alpha=0.2)
    axes.plot(
        times, rows["similarity"], color=color, linewidth=1.0, linestyle=_LINE_STYLES[level % 4]
    )
    significant = times[rows["p_corrected"].to_numpy(float) < alpha]
    y = np.full(len(significant), low - (0.06 + 0.06 * level) * (high - low))
    axes.plot(significant, y, "o", markersize=1.6, color=color, clip_on=False, markeredgewidth=0)


def _handles(colors: dict[str, str], course: TimeCourse) -> list:
    """Return the legend's entries: those that occur."""
    alpha = course.settings["alpha"]
    handles: list = [
        entry(shortened(name, _LENGTH), color=color, linestyle=_LINE_STYLES[i % 4])
        for i, (name, color) in enumerate(colors.items())
    ]
    color = next(iter(colors.values())) if len(colors) == 1 else GRAY
    interval = f"{interval_label(alpha)}, each time"
    handles.append(Patch(color=color, alpha=0.2, linewidth=0, label=interval))
    handles += ceiling_entry(course.table)
    if (course.table["p_corrected"] < alpha).any():
        handles.append(entry(differs(alpha), "o", markersize=1.8, color=color))
    return handles
