"""Tables of the peaks of maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.errors import InputError
from rsa_faces._core.words import number, p_value
from rsa_faces.figures._parts import figure_of, panels
from rsa_faces.figures._style import shortened, style, text_width

_AXES = ("x", "y", "z")


def plot_peaks(table: pd.DataFrame, *, title: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw a table of peaks.

    Parameters
    ----------
    table : DataFrame
        From :meth:`rsa_faces.mapping.SearchlightMap.peaks` or
        :func:`rsa_faces.mapping.peak_table`; at most 30 rows are drawn, and how many are left
        out is said.
    title : str, optional
    ax : Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the table has no rows.

    See Also
    --------
    rsa_faces.mapping.peak_table : Find the places where a map is larger than at all places around.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.figures import plot_peaks
    >>> peaks = pd.DataFrame({"similarity": [0.41], "x": [-42.0], "y": [-51.0], "z": [-18.0]})
    >>> [text.get_text() for text in plot_peaks(peaks).axes[0].texts[:2]]
    ['similarity', '0.410']
    """
    if not len(table):
        raise InputError("expected at least one peak, got a table without rows.")
    rows = table.iloc[:30]
    cells = [[_cell(name, value) for name, value in row.items()] for _, row in rows.iterrows()]
    heads = [f"{c} (mm)" if c in _AXES else c.replace("_", " ") for c in rows.columns]
    widths = [
        max(text_width(text, 7) for text in [head, *(row[i] for row in cells)]) + 0.2
        for i, head in enumerate(heads)
    ]
    number = [pd.api.types.is_numeric_dtype(rows[c]) for c in rows.columns]
    lines = len(cells) + 1 + (len(table) > len(rows))
    with style():
        height = 0.16 * lines + (0.3 if title else 0.08)
        ((ax,),) = panels(ax, 1, 1, max(sum(widths), 1.5), height)
        ax.set_axis_off()
        ax.set(xlim=(0, sum(widths)), ylim=(lines, -0.1))
        left = np.concatenate([[0.0], np.cumsum(widths)])
        for i, head in enumerate(heads):
            x, side = (left[i + 1] - 0.1, "right") if number[i] else (left[i] + 0.1, "left")
            ax.text(x, 0.5, head, ha=side, va="center", weight="bold")
            for j, row in enumerate(cells):
                ax.text(x, j + 1.5, row[i], ha=side, va="center")
        ax.plot([0, left[-1]], [1, 1], color="black", linewidth=0.6, clip_on=False)
        if len(table) > len(rows):
            ax.text(0.1, lines - 0.5, f"and {len(table) - len(rows)} more", va="center")
        if title:
            ax.set_title(title, loc="left")
    return figure_of(ax)


def _cell(name: str, value: Any) -> str:
    """Return a number or name as a reader wants it."""
    if isinstance(value, (float, np.floating)):
        if name == "p":
            return p_value(value)
        return number(value, 1 if name in _AXES else 3) if np.isfinite(value) else "–"
    return shortened(str(value), 40)
