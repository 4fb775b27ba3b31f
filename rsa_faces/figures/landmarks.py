"""Landmarks on a face, and what layers tell about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses.information._templates import TEMPLATES
from rsa_faces.analyses.information.landmarks import LandmarkReadout
from rsa_faces.figures._style import COLUMN, shown_name, style

_SCORES = {
    "r": ("p_corrected", "correlation with prediction, held out"),
    "r2": ("p_corrected", "explained variance, held out"),
    "r_beyond": ("p_beyond_corrected", "correlation beyond the baseline, held out"),
    "gain": (None, "explained variance above the baseline's"),
}


def plot_landmark_readout(
    result: LandmarkReadout, *, score: str = "r", alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
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
    Axes
        Measurements (rows) by layers (columns); in front, where there is one, the baseline.
        Colours from -1 (blue) to 1 (red).

    Raises
    ------
    InputError
        If the score is unknown or was not computed.
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
    with style():
        if ax is None:
            size = (1.9 + 0.2 * values.shape[1], 1.1 + 0.17 * len(names))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        y, x = np.nonzero(marked.to_numpy(bool))
        dots = np.abs(values[y, x + first]) > 0.6
        ax.scatter(x + first, y, s=3, c=np.where(dots, "white", "black"), linewidths=0)
        places = ([0] if first else []) + list(range(first, values.shape[1]))
        ax.set_xticks(places, (["baseline"] if first else []) + layers, rotation=90)
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel(shown_name(str(table["network"].iloc[0])) or "layer")
        what = "interval above 0" if column is None else f"p ≤ {alpha:g}, corrected"
        people = f"{table['n_people'].iloc[0]} people"
        ax.set_title(f"{people}; dots: {what}", loc="left")
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, pad=0.02)
        bar.set_label(_SCORES[score][1])
        bar.outline.set_visible(False)
    return ax


def plot_landmarks(
    image: np.ndarray,
    points: np.ndarray,
    *,
    template: str | Mapping[str, Sequence[int]] | None = "london-189",
    numbers: bool = False,
    ax: Axes | None = None,
) -> Axes:
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
    Axes

    Raises
    ------
    InputError
        If points have another shape or are fewer than the template's.
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
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN, COLUMN * 1.1), layout="constrained")
        ax.imshow(image, cmap="gray", vmin=0, vmax=255, alpha=0.7)
        ax.plot(*points.T, ".", color="#0072B2", markersize=2, markeredgewidth=0)
        if numbers:
            for i, (x, y) in enumerate(points):
                ax.text(x, y, str(i), fontsize=3, color="#0072B2", clip_on=True)
        for name, members in named.items():
            x, y = points[list(members)].mean(axis=0)
            ax.plot(x, y, "o", color="#D55E00", markersize=2)
            if not numbers:
                # Away from the middle, so that the names of both sides do not meet.
                side = "right" if x < points[:, 0].mean() - 1 else "left"
                ax.text(x, y, f"  {name.replace('_', ' ')}  ", fontsize=3.5, va="center", ha=side)
        low, high = points.min(axis=0), points.max(axis=0)
        margin = 0.08 * (high - low).max()
        ax.set_xlim(low[0] - margin, high[0] + margin)
        ax.set_ylim(high[1] + margin, low[1] - margin)
        ax.set_axis_off()
    return ax
