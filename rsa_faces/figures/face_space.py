"""Faces of a face space, and cells in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_arguments, check_choice, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import number, p_sentence, percent
from rsa_faces.analyses.face_code._face_space import FaceSpace
from rsa_faces.analyses.face_code._faces import Faces
from rsa_faces.analyses.face_code.axis_coding import AxisTuning
from rsa_faces.analyses.face_code.axis_geometry import AxisGeometry
from rsa_faces.analyses.face_code.face_decoding import FaceDecoding
from rsa_faces.figures._parts import (
    PALE,
    count_axis,
    curve,
    figure_of,
    legend_below,
    panels,
    reference,
    wrapped_panels,
)
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, style, wrapped

_INSIDE, _OUTSIDE = "#009E73", "#D55E00"
_ROW = 0.16  # inches of text over a face
_LABEL = 0.8  # inches of a label in one line
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
) -> Figure:
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
    matplotlib.figure.Figure
        Green frame: a mixture of known faces. Orange, dashed: extrapolated, with the factor by
        which the region of known faces would have to grow.

    Raises
    ------
    InputError
        If there are more or fewer labels or axes than faces.

    See Also
    --------
    rsa_faces.analyses.face_space : Make a space of faces from landmarks and images.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> images = rf.StimulusSet.from_arrays(
    ...     rng.integers(0, 256, (6, 24, 24, 3), np.uint8), list("abcdef"))
    >>> grid = np.stack(np.meshgrid([4, 12, 20], [4, 12, 20]), axis=-1).reshape(-1, 2)
    >>> points = {name: grid + rng.normal(size=(9, 2)) for name in images}  # made up: no faces
    >>> space = rf.analyses.face_space(images, points, n_shape=2, n_appearance=2, progress=False)
    >>> figure = rf.figures.plot_faces(space.caricature("a", [0, 1, 2]))
    >>> len(figure.axes)
    3
    """
    check_arguments(plot_faces, locals())
    labels = list(faces.coordinates.index) if labels is None else list(labels)
    if len(labels) != len(faces):
        raise InputError(f"expected {len(faces)} labels, got {len(labels)}.")
    view = _view(faces.landmarks, faces.images.shape, zoom)
    n_columns = max(min(n_columns, len(faces)), 1)
    width = min(PAGE / n_columns, 1.4)
    tall = width * (view[3] - view[2]) / (view[1] - view[0])
    with style():
        axes = wrapped_panels(ax, len(faces), n_columns, width, tall + 2 * _ROW)
        for one, picture, label, row in zip(
            axes, faces.images, labels, faces.table.itertuples(), strict=True
        ):
            note = "inside" if row.inside else f"extrapolated × {row.extent:.1f}"
            _face(one, picture, str(label), note, view, inside=row.inside)
        _explain(axes, ax is None, faces.table["inside"], "; ×: growth of their region it takes")
    return figure_of(axes)


def plot_components(
    space: FaceSpace,
    components: Sequence[str] | int = 3,
    *,
    steps: Sequence[float] = (-3, -1.5, 0, 1.5, 3),
    zoom: bool = True,
    ax=None,
) -> Figure:
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
    matplotlib.figure.Figure
        Frames as in :func:`plot_faces`.

    Raises
    ------
    InputError
        If a component is unknown.

    See Also
    --------
    rsa_faces.analyses.face_space : Make a space of faces from landmarks and images.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> images = rf.StimulusSet.from_arrays(
    ...     rng.integers(0, 256, (6, 24, 24, 3), np.uint8), list("abcdef"))
    >>> grid = np.stack(np.meshgrid([4, 12, 20], [4, 12, 20]), axis=-1).reshape(-1, 2)
    >>> points = {name: grid + rng.normal(size=(9, 2)) for name in images}  # made up: no faces
    >>> space = rf.analyses.face_space(images, points, n_shape=2, n_appearance=2, progress=False)
    >>> figure = rf.figures.plot_components(space, 1)
    >>> [axes.get_ylabel().splitlines()[0] for axes in figure.axes[::5]]
    ['shape 1', 'appearance 1']
    """
    about = space.components.set_index("component")
    if isinstance(components, (int, np.integer)):
        components = [
            name
            for part in ("shape", "appearance")
            for name in about.index[about["part"] == part][:components]
        ]
    names = [check_choice(name, about.index, what="component") for name in components]
    if not names or not len(steps):
        raise InputError("expected at least one component and one step, got none.")
    view = _view(space.mean_shape[None], (1, *space.mean_image.shape), zoom)
    width = min((PAGE - 0.5) / len(steps), 1.1)
    tall = width * (view[3] - view[2]) / (view[1] - view[0])
    height = min((tall + 2 * _ROW) * len(names) + 0.3, 9.5)
    with style():
        axes = panels(ax, len(names), len(steps), width * len(steps) + 0.5, height)
        all_inside = []
        for row, name in zip(axes, names, strict=True):
            faces = space.along(name, steps)
            for one, picture, step, inside in zip(
                row, faces.images, steps, faces.table["inside"], strict=True
            ):
                label = "mean face" if step == 0 else f"{step:+g} SD".replace("-", "−")
                _face(one, picture, label, "" if inside else "extrapolated", view, inside=inside)
                all_inside.append(inside)
            share = percent(about.at[name, "explained"], 0)
            row[0].set_ylabel(f"{name}\n{share} % of {name.split()[0]}")
        of = f"; SD: of {len(space.coordinates)} known faces; %: of their variance"
        _explain(axes, ax is None, all_inside, of)
    return figure_of(axes)


def plot_axis_tuning(
    tuning: AxisTuning, cells: Sequence[str] | None = None, *, alpha: float = 0.05, ax=None
) -> Figure:
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
    matplotlib.figure.Figure
        Mean responses ± SEM in bins of equal numbers of faces. An axis code rises along the axis
        and is flat beside it.

    Raises
    ------
    InputError
        If a cell is unknown.

    See Also
    --------
    rsa_faces.analyses.axis_tuning

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(80)]
    >>> faces = pd.DataFrame(rng.normal(size=(80, 4)), names, [f"shape {i}" for i in (1, 2, 3, 4)])
    >>> cell = faces["shape 1"] + 0.3 * rng.normal(size=80)  # made up: one axis
    >>> result = rf.analyses.axis_tuning(faces, cell.to_frame("a"), n_permutations=99)
    >>> figure = rf.figures.plot_axis_tuning(result)
    >>> figure.axes[0].get_title(loc="left").splitlines()[0]
    'a: r = 0.96'
    """
    table = tuning.table.set_index("cell")
    if cells is None:
        # The cells that the axis predicts best: two rows of three are what a page holds and a
        # reader compares.
        cells = table["r"].sort_values(ascending=False).index[:6]
    cells = [check_choice(cell, table.index, what="cell") for cell in cells]
    check_enough(len(cells), 1, "cell")
    n_columns = min(len(cells), 3)
    with style():
        width = PAGE * max(n_columns, 2) / 3 / n_columns
        axes = wrapped_panels(ax, len(cells), n_columns, width, 2.05)
        for one, cell in zip(axes, cells, strict=True):
            curves = tuning.curves[tuning.curves["cell"] == cell]
            for color, (direction, label) in zip(COLORS, _DIRECTIONS.items(), strict=False):
                rows = curves[curves["direction"] == direction]
                one.errorbar(
                    rows["position"],
                    rows["response"],
                    rows["sem"],
                    color=color,
                    label=label,
                    marker="o",
                    markersize=2.5,
                    elinewidth=0.6,
                )
            row = table.loc[cell]
            beside = _beside(row["p_orthogonal"], alpha)
            one.set_title(f"{cell}: r = {number(row['r'], 2)}\n{beside}", loc="left")
            one.set_xlabel("position (SD or z)")
            one.set_ylabel("response")
        n = f"{len(tuning.predictions)} faces"
        marks = f"{n}; points: mean ± standard error of a bin; r: predicted and measured, held out"
        legend_below(axes, ax is None, title=marks)
    return figure_of(axes)


def plot_axis_geometry(geometry: AxisGeometry, *, ax=None) -> Figure:
    """Draw what axes of cells span, their cosines, and their places.

    Parameters
    ----------
    geometry : AxisGeometry
    ax : sequence of Axes, optional
        Two, or three where there are places.

    Returns
    -------
    matplotlib.figure.Figure
        Components of the axes; cosines of pairs of cells; mean cosine by distance. Grey: 95 % of
        random axes with the same lengths and noise, or of exchanged places.

    See Also
    --------
    rsa_faces.analyses.axis_geometry

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names, cells = [f"face {i}" for i in range(90)], [f"cell {i}" for i in range(30)]
    >>> faces = pd.DataFrame(rng.normal(size=(90, 10)), names)
    >>> mm = pd.Series(rng.uniform(0, 3, 30), cells)
    >>> signal = np.outer(faces[0], np.cos(mm)) + np.outer(faces[1], np.sin(mm))  # made up
    >>> cells = pd.DataFrame(signal + rng.normal(size=(90, 30)), names, cells)
    >>> found = rf.analyses.axis_geometry(faces, cells, places=mm, n_permutations=39)
    >>> figure = rf.figures.plot_axis_geometry(found)
    >>> len(figure.axes)
    3
    """
    answers = geometry.table.set_index("question")
    cosines, curve_ = geometry.cosines, geometry.curve
    middle = (cosines["from"] + cosines["to"]) / 2
    drawn = [
        (
            geometry.spectrum,
            "component",
            "share",
            "component of the axes",
            "share of squared length",
        ),
        (cosines.assign(middle=middle), "middle", "share", "cosine of two axes", "share of pairs"),
    ]
    titles = [
        _value(answers.loc["dimensions spanned"], "dimensions", "fewer", 1),
        _value(answers.loc["squared cosine"], "squared cosine", "smaller", 3),
    ]
    if len(curve_):
        drawn.append((curve_, "distance", "cosine", "distance of two cells", "mean cosine of axes"))
        titles.append(_value(answers.loc["cosine by distance"], "change per unit", "not 0", 3))
    with style():
        axes = wrapped_panels(ax, len(drawn), 3, PAGE / max(len(drawn), 2.5), 2.1)
        for one, (table, x, y, *names), title in zip(axes, drawn, titles, strict=True):
            band = table["random_low"], table["random_high"]
            look = {"color": PALE, "alpha": 0.4, "linewidth": 0, "label": "95 % of random ones"}
            one.fill_between(table[x], *band, **look)
            curve(one, table[x], table[y], color=COLORS[0], label="cells", markersize=2.5)
            reference(one)
            one.set_xlabel(names[0])
            one.set_ylabel(names[1])
            one.set_title(title, loc="left")
        row = geometry.table.iloc[0]
        marks = (
            f"{row['n_cells']} cells, {row['n_faces']} faces in {row['n_dimensions']} dimensions"
        )
        marks += "; brackets: 95 % interval, drawing cells; noise taken out"
        legend_below(axes, ax is None, title=marks)
    return figure_of(axes)


def plot_identification(decoding: FaceDecoding, *, ax: Axes | None = None) -> Figure:
    """Draw how well faces are picked out against the number of units.

    Parameters
    ----------
    decoding : FaceDecoding
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        A curve per number of distractors; shaded: 95 % of subsets of units; dashed: chance.

    See Also
    --------
    rsa_faces.analyses.decode_faces

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> columns = ["shape 1", "shape 2", "appearance 1", "appearance 2"]
    >>> faces = pd.DataFrame(rng.normal(size=(60, 4)), [f"face {i}" for i in range(60)], columns)
    >>> cells = faces @ rng.normal(size=(4, 30)) + rng.normal(size=(60, 30))  # made up
    >>> result = rf.analyses.decode_faces(faces, cells, n_units=[1, 5, 30], n_permutations=19)
    >>> figure = rf.figures.plot_identification(result)
    >>> figure.axes[0].get_ylabel()
    'share of faces identified, held out'
    """
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.6)
        for k, (m, rows) in enumerate(decoding.table.groupby("n_distractors")):
            color = COLORS[k % len(COLORS)]
            curve(
                one,
                rows["n_units"],
                rows["accuracy"],
                low=rows["low"],
                high=rows["high"],
                color=color,
                label=f"among {m + 1} faces",
            )
            one.axhline(rows["chance"].iloc[0], color=color, linewidth=0.6, linestyle="--")
        count_axis(one, decoding.table["n_units"], "number of units")
        one.set_ylim(0, 1.03)
        one.set_ylabel("share of faces identified, held out")
        one.set_title(f"{decoding.table['n_faces'].iloc[0]} faces", loc="left")
        legend_below(one, ax is None, title="bands: 95 % of subsets of units; dashed: chance")
    return figure_of(one)


def _explain(axes, own: bool, inside, more: str) -> None:
    """Say below what frames mean, of those that there are."""
    inside = np.asarray(inside, dtype=bool)
    frames = ["green: a mixture of known faces"] * bool(inside.any())
    frames += ["orange, dashed: extrapolated"] * bool((~inside).any())
    if own:
        legend_below(axes, own, handles=[], title=f"frame {'; '.join(frames)}{more}")


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
        spine.set(
            visible=True,
            color=_INSIDE if inside else _OUTSIDE,
            linewidth=1.2,
            linestyle="-" if inside else (0, (3, 2)),
        )
    ax.set_title(wrapped(label, _LABEL, 6), fontsize=6, pad=2)
    if note:
        ax.set_xlabel(note, fontsize=5.5, labelpad=1.5, color=_INSIDE if inside else _OUTSIDE)


def _value(row, name: str, claim: str, digits: int) -> str:
    """Return what was found, its interval, and what was tested."""
    value, low, high, expected = (
        "∞" if row[c] == np.inf else number(row[c], digits)
        for c in ("value", "ci_low", "ci_high", "expected")
    )
    test = f"{claim}: {p_sentence(row['p'])}"
    if np.isnan(row["value"]):  # noise rules: no number would say anything, the test still does
        return f"{name}: undefined\nrandom: {expected}\n{test}"
    return f"{name}: {value}\n[{low}, {high}]; random: {expected}\n{test}"


def _beside(p: float, alpha: float) -> str:
    """Return in words what the test beside the axis found."""
    if not np.isfinite(p):
        return "beside it: not tested"
    return f"{'changes' if p <= alpha else 'no change found'} beside it (p = {p:.2g})"
