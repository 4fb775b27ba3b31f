"""Landmarks on a face, and what layers tell about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses.information._templates import TEMPLATES
from rsa_faces.analyses.information.landmarks import LandmarkReadout
from rsa_faces.figures._parts import (
    color_bar,
    figure_of,
    image,
    ink,
    legend_below,
    name_places,
    panels,
    signed_scale,
)
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, shown_name, style

_SCORES = {
    "r": ("p_corrected", "correlation with\nprediction, held out"),
    "r2": ("p_corrected", "explained variance,\nheld out"),
    "r_beyond": ("p_beyond_corrected", "correlation beyond\nthe baseline, held out"),
    "gain": (None, "explained variance\nabove the baseline's"),
}


def plot_landmark_readout(
    result: LandmarkReadout, *, score: str = "r", alpha: float = 0.05, ax: Axes | None = None
) -> Figure:
    """Draw how well each measurement is read from each layer.

    Parameters
    ----------
    result : LandmarkReadout
    score : {"r", "r2", "r_beyond", "gain"}, default "r"
        The last two need a baseline.
    alpha : float, default 0.05
        Dots mark what differs from chance, corrected over layers and measurements; for "gain",
        intervals above 0.
    ax : Axes, optional
        To draw in; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Measurements (rows) by layers (columns); in front, where there is one, the baseline.
        Colours from -1 (blue) to 1 (red).

    Raises
    ------
    InputError
        If the score is unknown or was not computed.

    See Also
    --------
    rsa_faces.analyses.landmark_readout : Read measurements of faces from each layer.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(60)]
    >>> nose = pd.DataFrame({"nose length": rng.normal(50, 5, 60)}, names)
    >>> features = rng.normal(size=(60, 20))
    >>> features[:, 0] += nose["nose length"]  # made up: one channel measures noses
    >>> result = rf.analyses.landmark_readout({"layer": features}, nose, conditions=names,
    ...                                       n_permutations=99)
    >>> figure = rf.figures.plot_landmark_readout(result)
    >>> figure.axes[0].get_title(loc="left")
    '60 people, 60 images'
    """
    check_choice(score, _SCORES, what="score")
    table = result.table
    if score not in table:
        raise InputError(f"expected a result with a baseline for score={score!r}, got one without.")
    names, layers = (list(dict.fromkeys(table[key])) for key in ("measurement", "layer"))
    wide = table.pivot(index="measurement", columns="layer", values=score).loc[names, layers]
    values = wide.to_numpy()
    column = _SCORES[score][0]
    table = table.assign(marked=table["gain_low"] > 0 if column is None else table[column] <= alpha)
    marked = table.pivot(index="measurement", columns="layer", values="marked").loc[names, layers]
    before = f"baseline_{score}" if score in ("r", "r2") else ""
    first = 0
    if before in table:
        alone = table.groupby("measurement", sort=False)[before].first().loc[names].to_numpy()
        values = np.column_stack([alone, np.full(len(names), np.nan), values])
        first = 2
    wide = min(PAGE - 2.3, 0.2 * values.shape[1])
    with style():
        ((one,),) = panels(ax, 1, 1, max(COLUMN, 2.3 + wide), 1.5 + 0.17 * len(names))
        # All scores are correlations or shares of variance: one scale for all figures.
        scale = signed_scale(values, 1.0)
        image(one, values, scale)
        if first:
            one.axvspan(0.5, 1.5, color="white")  # between baseline and layers
        y, x = np.nonzero(marked.to_numpy(bool))
        colors = [ink(scale, value) for value in values[y, x + first]]
        one.scatter(x + first, y, s=3, c=colors, linewidths=0)
        places = ([0] if first else []) + list(range(first, values.shape[1]))
        shown = (["baseline"] if first else []) + layers
        name_places(one, "x", shown, wide, places=places, size=5.5)
        one.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        one.spines[:].set_visible(False)
        head = table.iloc[0]
        network = shown_name(str(head["network"]))
        one.set_xlabel(f"layers of {network}" if network else "layer")
        one.set_title(f"{head['n_people']} people, {head['n_conditions']} images", loc="left")
        color_bar(scale, _SCORES[score][1], ax=one)
        what = "interval above 0" if column is None else f"p ≤ {alpha:g}, corrected"
        before = "; baseline: the other measurements given, alone" if first else ""
        legend_below(one, ax is None, handles=[], title=f"dots: {what}{before}")
    return figure_of(one)


def plot_landmarks(
    image: np.ndarray,
    points: np.ndarray,
    *,
    template: str | Mapping[str, Sequence[int]] | None = "london-189",
    numbers: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw landmarks on a face, to see which is which.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width[, 3])
    points : array-like, shape (n_landmarks, 2)
        x, y in pixels.
    template : str, mapping or None, default "london-189"
        Named points to label, as for :func:`rsa_faces.analyses.measure_landmarks`.
    numbers : bool, default False
        Write the number of every landmark.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        Named points are the means of their members.

    Raises
    ------
    InputError
        If points have another shape or are fewer than the template's.

    See Also
    --------
    rsa_faces.analyses.measure_landmarks : Measure faces.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> image = np.full((90, 80, 3), 200, np.uint8)
    >>> points = np.random.default_rng(0).uniform(20, 60, (68, 2))  # made up: no face
    >>> figure = rf.figures.plot_landmarks(image, points, template="ibug-68")
    >>> figure.axes[0].texts[0].get_text()
    'nasion'
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise InputError(f"expected finite points of shape (n_landmarks, 2), got {points.shape}.")
    if isinstance(template, str):
        template = TEMPLATES[check_choice(template, TEMPLATES, what="template")]
    named = dict(template or {})
    highest = max((max(v) for v in named.values()), default=0)
    if highest >= len(points):
        raise InputError(f"expected at least {highest + 1} points, got {len(points)}.")
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * (high - low).max()
    # Names stand in columns on both sides of the face.
    beside = 0.0 if numbers or not named else 0.28 * (high - low).max()
    box = (high - low) + 2 * margin + (2 * beside, 0)
    with style():
        width = PAGE if numbers else COLUMN
        ((one,),) = panels(ax, 1, 1, width, width * box[1] / box[0] + 0.3)
        one.imshow(image, cmap="gray", vmin=0, vmax=255, alpha=0.7)
        label = f"{len(points)} landmarks"
        dots = {"markeredgewidth": 0, "linestyle": "none", "marker": "o"}
        one.plot(*points.T, color=COLORS[0], markersize=1.5, label=label, **dots)
        if numbers:
            for i, place in enumerate(points):
                one.annotate(
                    str(i), place, (1, 1), textcoords="offset points", fontsize=5, color=COLORS[0]
                )
        places = {name: points[list(members)].mean(axis=0) for name, members in named.items()}
        if places:
            shown = np.array([*places.values()]).T
            label = "named: a landmark, or the mean of several"
            one.plot(*shown, color=COLORS[1], markersize=2.5, label=label, **dots)
        if places and not numbers:
            _name_beside(one, places, (low[0] - margin, high[0] + margin), 0.028 * box[0])
        one.set_xlim(low[0] - margin - beside, high[0] + margin + beside)
        one.set_ylim(high[1] + margin, low[1] - margin)
        one.set_axis_off()
        legend_below(one, ax is None)
    return figure_of(one)


def _name_beside(
    ax: Axes, places: Mapping[str, np.ndarray], edges: tuple[float, float], gap: float
) -> None:
    """Write names in a column on each side, in order of height, with lines to their points."""
    middle = np.mean([place[0] for place in places.values()])
    for edge, side in zip(edges, ("right", "left"), strict=True):
        own = [n for n, place in places.items() if (place[0] < middle) == (side == "right")]
        own.sort(key=lambda name: places[name][1])
        # As near to the height of the point as lines of text leave room.
        rows = np.array([places[name][1] for name in own])
        for _ in range(200):
            close = np.clip(gap - np.diff(rows), 0, None) / 2
            rows[1:] += close
            rows[:-1] -= close
        for name, row in zip(own, rows, strict=True):
            ax.annotate(
                name.replace("_", " "),
                places[name],
                (edge, row),
                fontsize=5,
                va="center",
                ha=side,
                arrowprops={"arrowstyle": "-", "linewidth": 0.3, "color": COLORS[1]},
            )
