"""Faces of a face space, and cells in it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses.face_code._face_space import FaceSpace
from rsa_faces.analyses.face_code._faces import Faces
from rsa_faces.analyses.face_code.axis_coding import AxisTuning
from rsa_faces.analyses.face_code.face_decoding import FaceDecoding
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, as_axes, style

_INSIDE, _OUTSIDE = "#009E73", "#D55E00"
_ROW = 0.16  # inches of text over a face
_LETTERS = 18  # of a label in one line
_DIRECTIONS = {
    "axis": "along the axis (SD)",
    "orthogonal": "beside it: longest orthogonal direction (SD)",
    "distance": "beside it: distance from the axis (z)",
}


def plot_faces(
    faces: Faces,
    *,
    labels: Sequence[str] | None = None,
    n_columns: int = 7,
    zoom: bool = True,
    ax=None,
) -> np.ndarray:
    """Draw made faces in rows, each marked inside or outside the region of known faces.

    Parameters
    ----------
    faces : Faces
        From a method of :class:`rsa_faces.analyses.FaceSpace`: a caricature row, a morph, samples.
    labels : sequence of str, optional
        By default the names of the faces.
    n_columns : int, default 7
    zoom : bool, default True
        Show the surroundings of the landmarks, not the whole frame.
    ax : sequence of Axes, optional
        One per face; by default a new figure, at most 183 mm wide.

    Returns
    -------
    ndarray of Axes, shape (n_faces,)
        Green frame: a mixture of known faces. Orange, dashed: extrapolated, with the factor by
        which the region of known faces would have to grow.

    Raises
    ------
    InputError
        If there are more or fewer labels or axes than faces.
    """
    check_arguments(plot_faces, locals())
    labels = list(faces.coordinates.index) if labels is None else list(labels)
    if len(labels) != len(faces):
        raise InputError(f"expected {len(faces)} labels, got {len(labels)}.")
    view = _view(faces.landmarks, faces.images.shape, zoom)
    with style():
        if ax is None:
            n_columns = max(min(n_columns, len(faces)), 1)
            n_rows = -(-len(faces) // n_columns)
            width = min(PAGE / n_columns, 1.4)
            tall = width * (view[3] - view[2]) / (view[1] - view[0])
            _, grid = plt.subplots(
                n_rows, n_columns, squeeze=False, layout="constrained",
                figsize=(width * n_columns, (tall + 2 * _ROW) * n_rows),
            )  # fmt: skip
            for spare in grid.ravel()[len(faces) :]:
                spare.set_axis_off()
            ax = grid.ravel()[: len(faces)]
        axes = as_axes(ax, (len(faces),))
        for one, image, label, row in zip(
            axes, faces.images, labels, faces.table.itertuples(), strict=True
        ):
            note = "inside" if row.inside else f"extrapolated × {row.extent:.1f}"
            _face(one, image, str(label), note, view, inside=row.inside)
    return axes


def plot_components(
    space: FaceSpace,
    components: Sequence[str] | int = 3,
    *,
    steps: Sequence[float] = (-3, -1.5, 0, 1.5, 3),
    zoom: bool = True,
    ax=None,
) -> np.ndarray:
    """Draw what the components of a face space do to the mean face.

    Parameters
    ----------
    space : FaceSpace
    components : sequence of str or int, default 3
        Names ("shape 1"), or how many of shape and of appearance.
    steps : sequence of float, default (-3, -1.5, 0, 1.5, 3)
        Standard deviations.
    zoom : bool, default True
        As for :func:`plot_faces`.
    ax : array of Axes, shape (n_components, n_steps), optional

    Returns
    -------
    ndarray of Axes, shape (n_components, n_steps)
        Frames as in :func:`plot_faces`.

    Raises
    ------
    InputError
        If a component is unknown.
    """
    about = space.components.set_index("component")
    if isinstance(components, (int, np.integer)):
        components = [
            name for part in ("shape", "appearance")
            for name in about.index[about["part"] == part][:components]
        ]  # fmt: skip
    names = [check_choice(name, about.index, what="component") for name in components]
    if not names or not len(steps):
        raise InputError("expected at least one component and one step, got none.")
    view = _view(space.mean_shape[None], (1, *space.mean_image.shape), zoom)
    with style():
        if ax is None:
            width = min((PAGE - 0.5) / len(steps), 1.1)
            tall = width * (view[3] - view[2]) / (view[1] - view[0])
            _, ax = plt.subplots(
                len(names), len(steps), squeeze=False, layout="constrained",
                figsize=(width * len(steps) + 0.5, (tall + 2 * _ROW) * len(names)),
            )  # fmt: skip
        axes = as_axes(ax, (len(names), len(steps)))
        for row, name in zip(axes, names, strict=True):
            faces = space.along(name, steps)
            for one, image, step, inside in zip(
                row, faces.images, steps, faces.table["inside"], strict=True
            ):
                label = "mean face" if step == 0 else f"{step:+g} SD"
                _face(one, image, label, "" if inside else "extrapolated", view, inside=inside)
            row[0].set_ylabel(f"{name}\n{about.at[name, 'explained']:.0%} of {name.split()[0]}")
    return axes


def plot_axis_tuning(
    tuning: AxisTuning, cells: Sequence[str] | None = None, *, alpha: float = 0.05, ax=None
) -> np.ndarray:
    """Draw tuning of cells along their axis and beside it.

    Parameters
    ----------
    tuning : AxisTuning
    cells : sequence of str, optional
        By default the 6 best predicted.
    alpha : float, default 0.05
        Level at which "changes beside the axis" is said.
    ax : sequence of Axes, optional
        One per cell.

    Returns
    -------
    ndarray of Axes, shape (n_cells,)
        Mean responses ± SEM in bins of equal numbers of faces. An axis code rises along the axis
        and is flat beside it.

    Raises
    ------
    InputError
        If a cell is unknown.
    """
    table = tuning.table.set_index("cell")
    if cells is None:
        cells = table["r"].sort_values(ascending=False).index[:6]
    cells = [check_choice(cell, table.index, what="cell") for cell in cells]
    if not cells:
        raise InputError("expected at least one cell, got none.")
    with style():
        if ax is None:
            n_columns = min(len(cells), 3)
            n_rows = -(-len(cells) // n_columns)
            _, grid = plt.subplots(
                n_rows, n_columns, squeeze=False, layout="constrained",
                figsize=(PAGE * max(n_columns, 2) / 3, 1.9 * n_rows + 0.3),
            )  # fmt: skip
            for spare in grid.ravel()[len(cells) :]:
                spare.set_axis_off()
            ax = grid.ravel()[: len(cells)]
        axes = as_axes(ax, (len(cells),))
        for one, cell in zip(axes, cells, strict=True):
            curves = tuning.curves[tuning.curves["cell"] == cell]
            for color, (direction, label) in zip(COLORS, _DIRECTIONS.items(), strict=False):
                rows = curves[curves["direction"] == direction]
                one.errorbar(
                    rows["position"], rows["response"], rows["sem"], color=color, label=label,
                    marker="o", markersize=2.5, elinewidth=0.6,
                )  # fmt: skip
            row = table.loc[cell]
            one.set_title(
                f"{cell}: r = {row['r']:.2f}\n{_beside(row['p_orthogonal'], alpha)}", loc="left"
            )
            one.set_xlabel("position")
            one.set_ylabel("response")
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return axes


def plot_identification(decoding: FaceDecoding, *, ax: Axes | None = None) -> Axes:
    """Draw how well faces are picked out against the number of units.

    Parameters
    ----------
    decoding : FaceDecoding
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        A curve per number of distractors; shaded: 95 % of subsets of units; dashed: chance.
    """
    own = ax is None
    with style():
        if own:
            _, ax = plt.subplots(figsize=(COLUMN, 2.5), layout="constrained")
        for k, (m, rows) in enumerate(decoding.table.groupby("n_distractors")):
            color = COLORS[k % len(COLORS)]
            ax.fill_between(rows["n_units"], rows["low"], rows["high"], color=color, alpha=0.15,
                            linewidth=0)  # fmt: skip
            ax.plot(rows["n_units"], rows["accuracy"], "o-", color=color, markersize=3,
                    label=f"among {m + 1} faces")  # fmt: skip
            ax.axhline(rows["chance"].iloc[0], color=color, linewidth=0.6, linestyle="--")
        ax.set_xscale("log")
        *ticks, last = sorted(decoding.table["n_units"].unique())
        ticks = [*(t for t in ticks if last / t >= 1.5), last]  # labels must not touch
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.minorticks_off()
        ax.set_ylim(0, 1.03)
        ax.set_xlabel("number of units")
        ax.set_ylabel("faces identified, held out")
        ax.set_title(f"{decoding.table['n_faces'].iloc[0]} faces; dashed: chance", loc="left")
        if own:
            ax.figure.legend(loc="outside lower center", ncols=3, frameon=False)
        else:
            ax.legend(frameon=False)
    return ax


def _view(points: np.ndarray, shape: tuple[int, ...], zoom: bool) -> tuple[float, ...]:
    """Return the part of the frame to show: left, right, top, bottom."""
    high = np.array([shape[2], shape[1]]) - 0.5
    if not zoom:
        return -0.5, high[0], -0.5, high[1]
    first, last = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    margin = 0.1 * (last - first).max()
    first, last = np.maximum(first - margin, -0.5), np.minimum(last + margin, high)
    return first[0], last[0], first[1], last[1]


def _face(ax: Axes, image: np.ndarray, label: str, note: str, view, *, inside: bool) -> None:
    """Draw one face with its mark."""
    ax.imshow(image[..., 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
    ax.set_xlim(view[0], view[1])
    ax.set_ylim(view[3], view[2])
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set(visible=True, color=_INSIDE if inside else _OUTSIDE, linewidth=1.2,
                  linestyle="-" if inside else (0, (3, 2)))  # fmt: skip
    ax.set_title(fill(label, _LETTERS), fontsize=6, pad=2)
    if note:
        ax.set_xlabel(note, fontsize=5.5, labelpad=1.5, color=_INSIDE if inside else _OUTSIDE)


def _beside(p: float, alpha: float) -> str:
    """Return in words what the test beside the axis found."""
    if not np.isfinite(p):
        return "beside it: not tested"
    return f"{'changes' if p <= alpha else 'no change found'} beside it (p = {p:.2g})"
