"""Where the panels of the layer figure go, in inches: wide results are wrapped."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from rsa_faces.figures._parts import bottom_legend, entries_per_row
from rsa_faces.figures._style import COLUMN, PAGE, text_width, wrapped

# Inches. A panel is as wide as its number of layers asks for; _UNIT is the least for one layer.
_UNIT, _WIDEST_UNIT, _FEWEST = 0.04, 0.11, 9
_LEFT, _RIGHT, _GAP = 0.62, 0.06, 0.08
_HEADING, _LINE = 0.2, 0.118


def layer_grid(
    headings: Sequence[str],
    labels: Sequence[Sequence[str]],
    titles: Sequence[str],
    handles: Sequence,
    *,
    n_curves: int,
) -> np.ndarray:
    """Return axes of shape (n_rows, n_columns), in blocks below each other where too wide.

    The first `n_curves` columns have layers in order, of which some are named; in the others every
    place needs its name.
    """
    n_rows = len(headings)
    units = np.array([max(len(names), _FEWEST) for names in labels], dtype=float)
    units[n_curves:] = [max(1.7 * len(names), 5) for names in labels[n_curves:]]
    blocks = _blocks(units)
    widest = max(units[b].sum() for b in blocks)
    gaps = _GAP * (max(len(b) for b in blocks) - 1)
    needed = max(gaps + _WIDEST_UNIT * widest, 1.18 * max(text_width(h, 7) for h in headings))
    width = np.clip(_LEFT + _RIGHT + needed, COLUMN, PAGE)
    # One scale for all blocks: a layer is as wide everywhere.
    unit = min((width - _LEFT - _RIGHT - _GAP * (len(b) - 1)) / units[b].sum() for b in blocks)
    panel = 1.0 if n_rows * len(blocks) <= 6 else 0.72
    n_lines = [wrapped(t, u * unit, 7).count("\n") + 1 for t, u in zip(titles, units, strict=True)]
    tops = [0.06 + _LINE * max(n_lines[i] for i in block) for block in blocks]
    named = [0.12 + max(text_width(t, 5) for t in names) for names in labels]
    ordered = [[i for i in block if i < n_curves] for block in blocks]
    bottoms = [
        max(max(named[i] for i in block), max((0.24 + named[i] for i in some), default=0.0)) + 0.04
        for block, some in zip(blocks, ordered, strict=True)
    ]
    legend = [h.get_label() for h in handles]
    per_row = entries_per_row(legend, width)
    legend_height = 0.06 + 0.14 * int(np.ceil(len(legend) / per_row))
    height = sum(tops) + sum(bottoms) + len(blocks) * n_rows * (panel + _HEADING) + legend_height
    figure = plt.figure(figsize=(width, height))
    axes = np.empty((n_rows, len(units)), dtype=object)
    y = height
    for block, some, top, bottom in zip(blocks, ordered, tops, bottoms, strict=True):
        y -= top
        for row in range(n_rows):
            y -= _HEADING + panel
            x = _LEFT
            for column in block:
                w = units[column] * unit
                box = (x / width, y / height, w / width, panel / height)
                axes[row, column] = figure.add_axes(box)
                x += w + _GAP
        if some:
            figure.text(
                (_LEFT / width + axes[0, some[-1]].get_position().x1) / 2,
                (y - max(named[i] for i in some) - 0.11) / height,
                "layer, in order of computation",
                ha="center",
                va="center",
                fontsize=7,
            )
        y -= bottom
    bottom_legend(figure, handles)
    return axes


def _blocks(units: np.ndarray) -> list[list[int]]:
    """Return the columns of each block: as few blocks as fit the page, about equally wide."""
    room = PAGE - _LEFT - _RIGHT

    def fill(limit: float) -> list[list[int]]:
        blocks: list[list[int]] = [[]]
        for column in range(len(units)):
            block = [*blocks[-1], column]
            if blocks[-1] and units[block].sum() * _UNIT + _GAP * (len(block) - 1) > limit:
                blocks.append([column])
            else:
                blocks[-1] = block
        return blocks

    blocks = fill(room)
    # The smallest width that needs no more blocks spreads the columns evenly.
    for limit in np.linspace(0.3 * room, room, 60):
        if len(fill(limit)) == len(blocks):
            return fill(limit)
    return blocks
