"""Electrodes in a glass brain."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted
from rsa_faces.figures._parts import UNDEFINED, color_bar, entry, signed_scale
from rsa_faces.figures._style import COLORS, PAGE, shortened, style

_SIDES = {"l": "left", "r": "right", "x": "from the side", "y": "from behind", "z": "from above"}
_GROUPS = ("region", "patient")
_FARTHEST, _NEAREST = 150.0, 1.0  # mm: what can be a brain in a template's space


def plot_electrodes(
    electrodes: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    values: Sequence[float] | None = None,
    label: str = "",
    by: str = "region",
    views: str = "lyrz",
) -> Figure:
    """Draw electrodes in a glass brain.

    Parameters
    ----------
    electrodes : DataFrame, or sequence of these
        From :func:`rsa_faces.brain.electrodes.read_electrodes`, or ``patterns.electrodes`` of all
        patients; coordinates in mm in MNI space.
    values : sequence of float, optional
        One number per electrode, shown as its colour (NaN: grey); white is 0.
    label : str
        What the numbers are, with their unit.
    by : {"region", "patient"}, default "region"
        What colours mean without `values`; at most 8 of them, others are grey.
    views : str, default "lyrz"
        Views of the brain, as `display_mode` of :func:`nilearn.plotting.plot_glass_brain`.

    Returns
    -------
    matplotlib.figure.Figure
        183 mm wide. How many electrodes of how many patients are shown stands below, and how many
        have no coordinates and are not.

    Raises
    ------
    InputError
        If no electrode has coordinates, they cannot be mm in a template's space, there are not as
        many values as electrodes, or an option is unknown.

    See Also
    --------
    rsa_faces.brain.read_electrodes : Read where electrodes are.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.figures.electrodes import plot_electrodes
    >>> table = pd.DataFrame({"patient": "p1", "name": ["A1", "A2"], "region": "ventral",
    ...                       "x": [40.0, -42.0], "y": [-50.0, -54.0], "z": [-20.0, -15.0]})
    >>> type(plot_electrodes(table)).__name__
    'Figure'
    """
    check_choice(by, _GROUPS, what="meaning of colours")
    if not isinstance(electrodes, pd.DataFrame):
        electrodes = pd.concat(list(electrodes), ignore_index=True)
    if values is not None:
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(electrodes),):
            raise InputError(
                f"expected {len(electrodes)} values, one per electrode, got {values.shape}."
            )
    coordinates = electrodes[["x", "y", "z"]].to_numpy(np.float64)
    placed = np.isfinite(coordinates).all(axis=1)
    if not placed.any():
        raise InputError(f"expected coordinates, but none of {len(placed)} electrodes has any.")
    largest = np.abs(coordinates[placed]).max()
    if not _NEAREST < largest < _FARTHEST:
        raise InputError(
            f"expected coordinates in mm in MNI space, but the largest is {largest:g}. Read them "
            "with the right unit, and transform them to MNI space."
        )
    colors, handles, scale = _marker_colors(electrodes[placed], values, placed, by)
    n_hidden = int((~placed).sum())
    text = counted(int(placed.sum()), "electrode") + " of "
    text += counted(electrodes["patient"][placed].nunique(), "patient")
    text += f"; {n_hidden} without coordinates not shown" if n_hidden else ""
    with style():
        figure = plt.figure(figsize=(PAGE, 2.2))
        _brain(figure, views, coordinates[placed], colors, (0.0, 0.2, 0.9 if scale else 1.0, 0.73))
        figure.text(0.01, 0.02, text, fontsize=6, va="bottom")
        if scale is not None:
            color_bar(scale, label, box=(figure, (0.915, 0.3, 0.012, 0.56)))
        else:
            figure.legend(
                handles=handles,
                loc="lower center",
                bbox_to_anchor=(0.5, 0.07),
                ncols=len(handles),
                frameon=False,
                handletextpad=0.2,
                columnspacing=1.2,
            )
    return figure


def _brain(figure, views, coordinates, colors, box) -> None:
    """Draw the outlines of a brain and markers in it."""
    from nilearn import plotting

    with warnings.catch_warnings(action="ignore"):
        # of an empty image
        display = plotting.plot_glass_brain(
            None, display_mode=views, figure=figure, axes=box, annotate=True
        )
    for letter, shown in display.axes.items():
        if letter in _SIDES:
            shown.ax.set_title(_SIDES[letter], fontsize=6, pad=1)
    display.add_markers(
        coordinates,
        marker_color=colors,
        marker_size=9,
        edgecolors="black",
        linewidths=0.25,
        alpha=1.0,
    )


def _marker_colors(electrodes: pd.DataFrame, values, shown, by: str):
    """Return the colours of electrodes, and the legend or the scale that explains them."""
    if values is not None:
        values = values[shown]
        scale = signed_scale(values)
        return scale.to_rgba(np.ma.masked_invalid(values)), [], scale
    names = electrodes[by].fillna("unknown").astype(str)
    counts = names.value_counts()
    most = counts.index[: len(COLORS)]
    chosen = [n for n in dict.fromkeys(names) if n != "unknown" and n in most]
    color = dict(zip(chosen, COLORS, strict=False))
    marks = [(f"{shortened(name, 24)} ({counts[name]})", color[name]) for name in chosen]
    others = int(counts.sum() - counts[chosen].sum())
    if others:
        what = "unknown" if len(counts) == len(chosen) + ("unknown" in counts) else "others"
        marks.append((f"{what} ({others})", UNDEFINED))
    look = {"markersize": 3.5, "markeredgecolor": "black", "markeredgewidth": 0.25}
    handles = [entry(text, "o", color=one, **look) for text, one in marks]
    return [color.get(name, UNDEFINED) for name in names], handles, None
