"""Maps of the brain: slices of a volume, views of a surface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from rsa_faces._core.checks import check_choice, check_count, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted
from rsa_faces.brain import Surface, Volume
from rsa_faces.figures._parts import (
    color_bar,
    figure_of,
    outline,
    panels,
)
from rsa_faces.figures._shown_map import Shown, limited, numbers_of, ranks_of, surface_of
from rsa_faces.figures._style import COLUMN, PAGE, shortened, style, text_width
from rsa_faces.figures._upright import Upright, upright, upright_image
from rsa_faces.mapping import BestModels, CeilingMap, SearchlightMap

AXES = ("x", "y", "z")
VIEWS = ("lateral", "medial", "dorsal", "ventral", "anterior", "posterior")
_BRAIN = "#E3E3E3"  # places without a colour
_MOST_NAMES = 16  # models named one by one beside a map
_BAR = 0.75  # inches to the right of the maps


def plot_map(
    similarity: SearchlightMap | CeilingMap | np.ndarray,
    *,
    model: int | str | None = None,
    threshold: float | None = None,
    where: Any = None,
    space: Volume | Surface | None = None,
    label: str | None = None,
    limit: float | None = None,
    background: Any = None,
    axis: str = "z",
    cuts: int | Sequence[float] = 6,
    mesh: Surface | None = None,
    hemisphere: str = "left",
    views: Sequence[str] = ("lateral", "medial", "ventral"),
    title: str | None = None,
    ax: Any = None,
) -> Figure:
    """Draw a map as slices through the brain, or as views of a surface.

    Parameters
    ----------
    similarity : SearchlightMap, CeilingMap, or array_like of shape (n_places,)
        Of a group: :func:`rsa_faces.mapping.mean_map`. Any other numbers, such as ``test.t`` or
        ``maps.n_voxels``, with `space` and `label`.
    model : int or str, optional
        Number or name of the model; "lower" (default) or "upper" of a CeilingMap.
    threshold : float, optional
        Values nearer to 0 have no colour. A threshold of values is no test: see `where`.
    where : array_like of bool, shape (n_places,), optional
        Places that have a colour, such as ``test.p < 0.05`` of
        :func:`rsa_faces.mapping.group_test`.
    space : Volume or Surface, optional
        Of an array.
    label : str, optional
        What the numbers of an array are.
    limit : float, optional
        Value at the end of the scale; by default the largest one shown. Larger values have the
        last colour.
    background : image, path, or array, optional
        Anatomy in the same space (mm), any resolution; on a surface one value per vertex, such as
        the depth of sulci. By default the mask is grey.
    axis : {"x", "y", "z"}, default "z"
        Slices are at right angles to this axis of the scanner.
    cuts : int or sequence of float, default 6
        Number of slices, evenly through the mask, or where they are, in mm.
    mesh : Surface, optional
        The same vertices in another shape to look at, such as inflated.
    hemisphere : {"left", "right"}, default "left"
        Of a surface.
    views : sequence of str, default ("lateral", "medial", "ventral")
        Of a surface: lateral, medial, dorsal, ventral, anterior, posterior.
    title : str, optional
        By default the model's name.
    ax : Axes or sequence of Axes, optional
        One per slice or view (of a surface with ``projection="3d"``). No colour bar is drawn
        then.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per slice or view.

    Raises
    ------
    InputError
        If there is no such model, arrays do not fit the space, a slice misses the brain, or an
        option is unknown.

    See Also
    --------
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.
    view_map : Make a page to look around in a map: one HTML file that needs nothing else.

    Notes
    -----
    Voxels are drawn as they are, not smoothed; images at an angle to the scanner's axes are
    resampled to the nearest voxel. The left side of the brain is on the left. Similarities have
    colours from blue through white to red, symmetric around 0, also where none is below it;
    ceilings from light to dark; other numbers the first where some are below 0, else the second.
    Beyond 0 and the limit nothing is clipped in the data.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Volume
    >>> from rsa_faces.figures import plot_map
    >>> space = Volume(np.ones((8, 8, 8), bool), np.diag([3.0, 3, 3, 1]))
    >>> figure = plot_map(np.linspace(0, 1, 512), space=space, label="a number", cuts=3)
    >>> [a.get_title() for a in figure.axes[:3]]
    ['z = 3 mm', 'z = 12 mm', 'z = 18 mm']
    """
    shown, name = numbers_of(similarity, model, space, label)
    shown = limited(shown, threshold, where, limit)
    title = name if title is None else title
    return _draw(shown, background, axis, cuts, mesh, hemisphere, views, title, ax)


def plot_best_models(
    best: BestModels,
    *,
    where: Any = None,
    threshold: float | None = None,
    background: Any = None,
    axis: str = "z",
    cuts: int | Sequence[float] = 6,
    mesh: Surface | None = None,
    hemisphere: str = "left",
    views: Sequence[str] = ("lateral", "medial", "ventral"),
    title: str | None = None,
    ax: Any = None,
) -> Figure:
    """Draw which model is best at each place, one colour per model in order of depth.

    Parameters
    ----------
    best : BestModels
        From :func:`rsa_faces.mapping.best_model_map`, or of one map: ``maps.best()``.
    where : array_like of bool, shape (n_places,), optional
        Places that have a colour, such as those where `best.subjects` differ from 0. There is a
        best model of noise, too.
    threshold : float, optional
        Places with a similarity of less have no colour.
    background, axis, cuts, mesh, hemisphere, views, ax
        As for :func:`plot_map`.
    title : str, optional
        By default how the model was chosen.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per slice or view.

    Raises
    ------
    InputError
        As for :func:`plot_map`.

    See Also
    --------
    rsa_faces.mapping.best_model_map : Find the best model of each place.

    Notes
    -----
    Colours run from dark to light along the depth of models in their network (``best.depth``),
    or along their order if they have none. Models that are best nowhere keep their colour, and are
    not named.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Volume
    >>> from rsa_faces.figures import plot_best_models
    >>> from rsa_faces.mapping import BestModels
    >>> space = Volume(np.ones((8, 8, 8), bool), np.diag([3.0, 3, 3, 1]))
    >>> best = BestModels(np.repeat([0, 1], 256), np.full(512, 0.2), None, None,
    ...                   ("conv1", "conv2"), space)
    >>> len(plot_best_models(best, cuts=3).axes)
    3
    """
    shown = ranks_of(best, threshold, where)
    if title is None:
        chosen = "the same data" if best.subjects is None else "the other subjects"
        n = "" if best.subjects is None else f", {counted(len(best.subjects), 'subject')}"
        title = f"best model, chosen in {chosen}{n}"
    return _draw(shown, background, axis, cuts, mesh, hemisphere, views, title, ax)


def _draw(shown, background, axis, cuts, mesh, hemisphere, views, title, ax) -> Figure:
    """Draw slices or views, and what colours mean."""
    if isinstance(shown.space, Surface):
        return _draw_surface(shown, background, mesh, hemisphere, views, title, ax)
    check_choice(axis, AXES, what="axis")
    along = AXES.index(axis)
    values, mask = upright(shown.space, shown.values), upright(shown.space, None)
    under = None if background is None else upright_image(background)
    cuts = _cuts(cuts, mask, along)
    with style():
        width, height = np.delete(mask.size, along)
        axes = _axes(ax, len(cuts), width / height, shown, title, {})
        for at, mm in zip(axes, cuts, strict=True):
            if under is None:
                _imshow(at, mask, along, mm, cmap=ListedColormap([_BRAIN]))
                _outline(at, mask, along, mm)
            else:
                # A few bright voxels, of fat or vessels, would leave the brain dark.
                low, high = np.nanpercentile(under.array, [2, 99.5])
                _imshow(at, under, along, mm, cmap="gray", norm=Normalize(low, 1.15 * high))
            _imshow(at, values, along, mm, cmap=shown.cmap, norm=shown.norm)
            (x0, y0), (x1, y1) = mask.corners(along)
            at.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal", xticks=[], yticks=[])
            at.set_title(_cut(axis, mm), pad=2, fontsize=6)
            at.spines[:].set_visible(False)
        _sides(axes[0], along)
    return figure_of(axes)


def _cut(axis: str, mm: float) -> str:
    """Return where a slice is, and in which hemisphere."""
    mm = round(mm, 1)
    side = "" if axis != "x" or mm == 0 else ", right" if mm > 0 else ", left"
    return f"{axis} = {mm:g} mm{side}".replace("-", "−")


def _cuts(cuts, mask: Upright, along: int) -> np.ndarray:
    """Return where slices are, in mm: in the middle of voxels."""
    inside = np.nan_to_num(mask.array).any(axis=tuple(np.delete(range(3), along)))
    layers = np.flatnonzero(inside)
    origin, step = mask.origin[along], mask.step[along]
    if np.isscalar(cuts) and not isinstance(cuts, str):
        n = min(check_count(cuts, what="cuts"), len(layers))
        # From 1/2n to 1 - 1/2n: the ends of a brain show little.
        chosen = layers[((np.arange(n) + 0.5) / n * len(layers)).astype(int)]
        return origin + step * chosen
    cuts = np.atleast_1d(np.asarray(cuts, dtype=np.float64))
    index = np.rint((cuts - origin) / step)
    for mm, i in zip(cuts, index, strict=True):
        if i not in layers:
            low, high = origin + step * layers[[0, -1]]
            raise InputError(
                f"expected slices from {low:g} to {high:g} mm, where the brain is, got {mm:g} mm."
            )
    return cuts


def _imshow(ax: Axes, grid: Upright, along: int, mm: float, **options) -> None:
    """Draw the slice that is nearest."""
    i = int(np.rint((mm - grid.origin[along]) / grid.step[along]))
    if not 0 <= i < grid.array.shape[along]:
        return
    (x0, y0), (x1, y1) = grid.corners(along)
    ax.imshow(
        np.ma.masked_invalid(grid.array.take(i, axis=along).T),
        origin="lower",
        extent=(x0, x1, y0, y1),
        interpolation="nearest",
        **options,
    )


def _outline(ax: Axes, mask: Upright, along: int, mm: float) -> None:
    """Draw the edge of the brain: colours near 0 are nearly white."""
    i = int(np.rint((mm - mask.origin[along]) / mask.step[along]))
    inside = np.nan_to_num(mask.array.take(i, axis=along)).T > 0
    corner, steps = mask.corners(along)[0], np.delete(mask.step, along)
    x, y = (c + s * np.arange(n + 1) for c, s, n in zip(corner, steps, inside.T.shape, strict=True))
    ax.add_collection(outline(inside, x, y, colors="#999999", linewidths=0.4))


def _sides(ax: Axes, along: int) -> None:
    """Say which side is which."""
    ends = {0: ("P", "A"), 1: ("L", "R"), 2: ("L", "R")}[along]
    for x, text, side in ((0.0, ends[0], "left"), (1.0, ends[1], "right")):
        edge = [withStroke(linewidth=1.2, foreground="white")]  # read on any background
        look = {"transform": ax.transAxes, "fontsize": 6, "path_effects": edge}
        ax.text(x, 0.0, text, ha=side, va="bottom", **look)


def _axes(ax, n: int, aspect: float, shown: Shown, title, options: dict) -> np.ndarray:
    """Return axes: those given, or new ones in rows, with a scale beside them."""
    if ax is not None:
        return panels(ax, 1, n, 0.0, 0.0)[0]
    names = [shortened(name, 28) for name in shown.names]
    beside = _BAR if not names else 0.45 + max(text_width(name, 6) for name in names)
    room = PAGE - beside - 0.05
    # As large as fits, but no panel wider than 1.6 inches.
    per_row = min(n, 6 if n > 3 else n)
    panel = min(room / per_row, 1.6)
    n_rows = int(np.ceil(n / per_row))
    head = 0.24 if title else 0.04
    row = panel / aspect + 0.2
    width = max(panel * per_row + 0.05 + beside, COLUMN)
    listed = 0.16 * len(names) + 0.1 if 0 < len(names) <= _MOST_NAMES else 0.9
    height = max(n_rows * row, listed) + head
    figure = plt.figure(figsize=(width, height))
    axes = np.empty(n, dtype=object)
    for i in range(n):
        x, y = 0.05 + i % per_row * panel, height - head - (i // per_row + 1) * row
        box = (x / width, y / height, 0.96 * panel / width, panel / aspect / height)
        axes[i] = figure.add_axes(box, **options)
    if title:
        figure.text(0.05 / width, 1 - 0.05 / height, title, fontsize=7, va="top")
    _explain(figure, shown, names, width, height, head, 0.05 + per_row * panel)
    return axes


def _explain(figure, shown: Shown, names, width, height, head, x) -> None:
    """Draw the scale, or the names of models."""
    scale = ScalarMappable(shown.norm, shown.cmap)
    if 0 < len(names) <= _MOST_NAMES:
        # The deepest on top.
        there = np.unique(shown.values[np.isfinite(shown.values)])
        handles = [
            Patch(color=shown.cmap(i), label=name)
            for i, name in reversed([*enumerate(names)])
            if i in there
        ]
        figure.legend(
            handles=handles,
            loc="center left",
            frameon=False,
            handlelength=0.9,
            bbox_to_anchor=(x / width, 0.5 * (1 - head / height)),
            labelspacing=0.35,
        )
        return
    tall = min(1.1, height - head - 0.3)
    y = (height - head - tall) / 2
    box = ((x + 0.1) / width, y / height, 0.09 / width, tall / height)
    colorbar = color_bar(scale, "" if names else shown.label, box=(figure, box))
    if names:
        ticks = np.unique(np.linspace(0, len(names) - 1, 8).round().astype(int))
        colorbar.set_ticks(ticks, labels=[names[i] for i in ticks])
        colorbar.ax.minorticks_off()


def _draw_surface(shown, background, mesh, hemisphere, views, title, ax) -> Figure:
    """Draw views of a surface."""
    check_choice(hemisphere, ["left", "right"], what="hemisphere")
    views = [check_choice(view, VIEWS, what="view") for view in views]
    check_enough(len(views), 1, "view")
    from nilearn import plotting

    coordinates, faces, full, background = surface_of(shown, shown.values, background, mesh)
    with style():
        axes = _axes(ax, len(views), 1.15, shown, title, {"projection": "3d"})
        for at, view in zip(axes, views, strict=True):
            with warnings.catch_warnings(action="ignore"):
                plotting.plot_surf(
                    [coordinates, faces],
                    full,
                    bg_map=background,
                    hemi=hemisphere,
                    view=view,
                    cmap=shown.cmap,
                    vmin=shown.norm.vmin,
                    vmax=shown.norm.vmax,
                    colorbar=False,
                    axes=at,
                    figure=at.figure,
                    # A face shows one of its corners: a mean of ranks of models would be another
                    # model.
                    avg_method="median",
                    bg_on_data=False,
                )
            at.set_title(f"{hemisphere}, {view}", pad=-2, fontsize=6)
            at.set_box_aspect(None, zoom=1.35)
            # As vectors, tens of thousands of triangles would be drawn.
            at.set_rasterization_zorder(np.inf)
    return figure_of(axes)
