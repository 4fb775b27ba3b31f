"""Maps of the brain: slices of a volume, views of a surface, pages to look around in, peaks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from rsa_faces._core.checks import check_above, check_choice, check_count, check_enough, check_flags
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted, number, p_value
from rsa_faces.brain import Surface, Volume
from rsa_faces.brain.images import load_file
from rsa_faces.figures._pages import Page, surface_page, volume_page
from rsa_faces.figures._parts import (
    amount_scale,
    color_bar,
    figure_of,
    outline,
    panels,
    scale_of,
    signed_scale,
)
from rsa_faces.figures._style import COLUMN, PAGE, shortened, similarity_label, style, text_width
from rsa_faces.mapping import BestModels, CeilingMap, SearchlightMap

AXES = ("x", "y", "z")
VIEWS = ("lateral", "medial", "dorsal", "ventral", "anterior", "posterior")
_BRAIN = "#E3E3E3"  # places without a colour
_MOST_NAMES = 16  # models named one by one beside a map
_BAR = 0.75  # inches to the right of the maps


@dataclass(frozen=True)
class _Shown:
    """What is drawn: a value for each place (NaN: nothing), and what its colours mean."""

    values: np.ndarray
    space: Volume | Surface
    cmap: Colormap
    norm: Normalize
    label: str
    names: tuple[str, ...] = ()  # of the numbers 0, 1, … of a best-model map


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
    shown, name = _numbers(similarity, model, space, label)
    shown = _limited(shown, threshold, where, limit)
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
    shown = _best(best, threshold, where)
    if title is None:
        chosen = "the same data" if best.subjects is None else "the other subjects"
        n = "" if best.subjects is None else f", {counted(len(best.subjects), 'subject')}"
        title = f"best model, chosen in {chosen}{n}"
    return _draw(shown, background, axis, cuts, mesh, hemisphere, views, title, ax)


def view_map(
    similarity: SearchlightMap | CeilingMap | BestModels | np.ndarray,
    *,
    model: int | str | None = None,
    threshold: float | None = None,
    where: Any = None,
    space: Volume | Surface | None = None,
    label: str | None = None,
    limit: float | None = None,
    background: Any = None,
    mesh: Surface | None = None,
    hemisphere: str = "left",
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Page:
    """Make a page to look around in a map: one HTML file that needs nothing else.

    Parameters
    ----------
    similarity : SearchlightMap, CeilingMap, BestModels, or array_like of shape (n_places,)
        As for :func:`plot_map` and :func:`plot_best_models`.
    model, threshold, where, space, label, limit, background, mesh, hemisphere, title
        As for :func:`plot_map`.
    path : path-like, optional
        Where to write the page (whole or not at all).

    Returns
    -------
    Page
        Shows itself in a notebook; ``open_in_browser()`` elsewhere, ``save(path)``, ``html``.

    Raises
    ------
    InputError
        As for :func:`plot_map`.

    See Also
    --------
    plot_map : Draw a map as slices through the brain, or as views of a surface.

    Notes
    -----
    Nothing is fetched from the network, and nothing sent. Volumes are three slices through a
    point that can be moved, surfaces can be turned (in a browser with WebGL); the value at the
    point is written below.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Volume
    >>> from rsa_faces.figures import view_map
    >>> space = Volume(np.ones((8, 8, 8), bool), np.diag([3.0, 3, 3, 1]))
    >>> page = view_map(np.linspace(0.1, 1, 512), space=space, label="a number")
    >>> "http" in page.html.split("<body")[0]
    False
    """
    check_choice(hemisphere, ["left", "right"], what="hemisphere")
    if isinstance(similarity, BestModels):
        shown, name = _best(similarity, threshold, where), "best model"
    else:
        shown, name = _numbers(similarity, model, space, label)
        shown = _limited(shown, threshold, where, limit)
    title = name if title is None else title
    if isinstance(shown.space, Surface):
        page = _surface_page(shown, background, mesh, hemisphere, title)
    else:
        page = _volume_page(shown, background, title)
    if path is not None:
        page.save(path)
    return page


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
    heads = [f"{c} (mm)" if c in AXES else c.replace("_", " ") for c in rows.columns]
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


# What is shown ------------------------------------------------------------------------------------


def _numbers(similarity, model, space, label) -> tuple[_Shown, str]:
    """Return the numbers of a map, and the name of what they are."""
    if isinstance(similarity, BestModels):
        raise InputError("expected numbers, got BestModels: draw them with plot_best_models().")
    if isinstance(similarity, SearchlightMap):
        index = similarity.model_index(model)
        values, name = similarity.similarity[index], similarity.names[index]
    elif isinstance(similarity, CeilingMap):
        bound = (
            "lower" if model is None else check_choice(str(model), ["lower", "upper"], what="bound")
        )
        values = getattr(similarity, bound)
        name = f"{bound} noise ceiling, {counted(similarity.n_subjects, 'subject')}"
    else:
        if not isinstance(space, (Volume, Surface)) or label is None:
            raise InputError(
                "expected `space` (a Volume or Surface, such as maps.space) and `label` with an "
                f"array, got space {type(space).__name__} and label {label!r}."
            )
        values, name = np.asarray(similarity), label
    if isinstance(similarity, (SearchlightMap, CeilingMap)):
        space = similarity.space
        label = similarity_label(similarity.method) if label is None else label
    if values.shape != (space.n_places,):
        raise InputError(
            f"expected one value for each of {space.n_places} places, got shape {values.shape}."
        )
    values = values.astype(np.float64)
    scale = scale_of(values)
    if isinstance(similarity, SearchlightMap):
        scale = signed_scale(values)
    elif isinstance(similarity, CeilingMap):
        scale = amount_scale(values)
    return _Shown(values, space, _over_anatomy(scale), scale.norm, label), name


def _limited(shown: _Shown, threshold, where, limit) -> _Shown:
    """Return a map with its scale, without the places that have no colour."""
    for value, what in ((threshold, "threshold"), (limit, "limit")):
        if value is not None:
            check_above(value, 0, what=f"{what} to be a number")
    values = shown.values.copy()
    if threshold is not None:
        values[~(np.abs(values) >= threshold)] = np.nan
    values[~_allowed(where, shown.space)] = np.nan
    # The scale is that of all values at hand if none is left.
    rest = values[np.isfinite(values)]
    rest = rest if len(rest) else shown.values[np.isfinite(shown.values)]
    scale = (signed_scale if shown.norm.vmin < 0 else amount_scale)(rest, limit)
    return _Shown(values, shown.space, _over_anatomy(scale), scale.norm, shown.label)


def _over_anatomy(scale: ScalarMappable) -> Colormap:
    """Return the colours of a scale; places without a number show what is below."""
    return scale.cmap.with_extremes(bad=(0.0, 0.0, 0.0, 0.0))


def _best(best: BestModels, threshold, where) -> _Shown:
    """Return the rank in depth of the best model at each place, and a colour for each."""
    n_models = len(best.names)
    depth = np.arange(n_models) if best.depth is None else best.depth
    order = np.argsort(depth, kind="stable")
    rank = np.empty(n_models, int)
    rank[order] = np.arange(n_models)
    fine = (best.index >= 0) & _allowed(where, best.space)
    if threshold is not None:
        fine &= best.similarity >= threshold
    values = np.full(len(best.index), np.nan)
    values[fine] = rank[best.index[fine]]
    shades = np.linspace(0.0, 0.95, n_models) if n_models > 1 else [0.5]
    cmap = ListedColormap(plt.get_cmap("viridis")(shades))
    names = tuple(best.names[i] for i in order)
    norm = Normalize(-0.5, n_models - 0.5)
    return _Shown(values, best.space, cmap, norm, "best model", names)


def _allowed(where, space) -> np.ndarray:
    """Return which places have a colour."""
    if where is None:
        return np.ones(space.n_places, bool)
    return check_flags(where, space.n_places, what="where")


def _cell(name: str, value: Any) -> str:
    """Return a number or name as a reader wants it."""
    if isinstance(value, (float, np.floating)):
        if name == "p":
            return p_value(value)
        return number(value, 1 if name in AXES else 3) if np.isfinite(value) else "–"
    return shortened(str(value), 40)


# Drawing ------------------------------------------------------------------------------------------


def _draw(shown, background, axis, cuts, mesh, hemisphere, views, title, ax) -> Figure:
    """Draw slices or views, and what colours mean."""
    if isinstance(shown.space, Surface):
        return _draw_surface(shown, background, mesh, hemisphere, views, title, ax)
    check_choice(axis, AXES, what="axis")
    along = AXES.index(axis)
    values, mask = _upright(shown.space, shown.values), _upright(shown.space, None)
    under = None if background is None else _upright_image(background)
    cuts = _cuts(cuts, mask, along)
    with style():
        width, height = np.delete(mask.size, along)
        axes = _axes(ax, len(cuts), width / height, shown, title, {})
        for at, mm in zip(axes, cuts, strict=True):
            if under is None:
                _imshow(at, mask, along, mm, cmap=ListedColormap([_BRAIN]))
                _outline(at, mask, along, mm)
            else:
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


@dataclass(frozen=True)
class _Upright:
    """Voxels along the axes of the scanner: where the first one is, and how large they are."""

    array: np.ndarray
    origin: np.ndarray
    step: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Length of each side, in mm."""
        return self.step * self.array.shape

    def corners(self, along: int) -> np.ndarray:
        """Return the lower left and upper right corner of a slice, in mm."""
        low = self.origin - self.step / 2
        return np.delete(np.stack([low, low + self.size]), along, axis=1)


def _upright(space: Volume, values) -> _Upright:
    """Return values (or the mask) in a grid along the axes of the scanner."""
    import nibabel

    values = np.ones(space.n_places) if values is None else values
    found = _upright_image(nibabel.Nifti1Image(space.to_array(values), space.affine))
    # One voxel around the mask is enough.
    inside = _upright_image(nibabel.Nifti1Image(space.mask.astype(np.float64), space.affine))
    box = np.argwhere(inside.array > 0.5)
    low = np.maximum(box.min(axis=0) - 1, 0)
    part = tuple(slice(a, b + 2) for a, b in zip(low, box.max(axis=0), strict=True))
    return _Upright(found.array[part], found.origin + low * found.step, found.step)


def _upright_image(img: Any) -> _Upright:
    """Return an image in a grid along the axes of the scanner, by the nearest voxel."""
    import nibabel
    from nilearn.image import resample_img

    img = nibabel.as_closest_canonical(
        load_file(img, "the image below the map") if isinstance(img, (str, os.PathLike)) else img
    )
    matrix = img.affine[:3, :3]
    step = np.linalg.norm(matrix, axis=0)
    if np.abs(matrix - np.diag(np.diagonal(matrix))).max() > 1e-3 * step.min():
        with warnings.catch_warnings(action="ignore"):
            img = resample_img(
                img,
                target_affine=np.diag([step.min()] * 3),
                interpolation="nearest",
                fill_value=np.nan,
                force_resample=True,
                copy_header=True,
            )
        step = np.full(3, step.min())
    array = np.asarray(img.dataobj, dtype=np.float64)
    return _Upright(array.reshape(array.shape[:3]), img.affine[:3, 3], step)


def _cuts(cuts, mask: _Upright, along: int) -> np.ndarray:
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


def _imshow(ax: Axes, upright: _Upright, along: int, mm: float, **options) -> None:
    """Draw the slice that is nearest."""
    i = int(np.rint((mm - upright.origin[along]) / upright.step[along]))
    if not 0 <= i < upright.array.shape[along]:
        return
    (x0, y0), (x1, y1) = upright.corners(along)
    ax.imshow(
        np.ma.masked_invalid(upright.array.take(i, axis=along).T),
        origin="lower",
        extent=(x0, x1, y0, y1),
        interpolation="nearest",
        **options,
    )


def _outline(ax: Axes, mask: _Upright, along: int, mm: float) -> None:
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


def _axes(ax, n: int, aspect: float, shown: _Shown, title, options: dict) -> np.ndarray:
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


def _explain(figure, shown: _Shown, names, width, height, head, x) -> None:
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

    coordinates, faces, full, background = _surface(shown, shown.values, background, mesh)
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
                    avg_method="median",
                    bg_on_data=False,
                )
            at.set_title(f"{hemisphere}, {view}", pad=-2, fontsize=6)
            at.set_box_aspect(None, zoom=1.35)
            at.set_rasterization_zorder(np.inf)
    return figure_of(axes)


def _surface(shown: _Shown, values, background, mesh):
    """Return coordinates, faces, a value for each vertex, and what lies under them."""
    mesh = shown.space if mesh is None else mesh
    if not isinstance(mesh, Surface):
        raise TypeError(f"expected mesh to be a Surface, got {type(mesh).__name__}.")
    n_vertices = len(shown.space.mask)
    if len(mesh.vertices) != n_vertices:
        raise InputError(
            f"expected a mesh of {n_vertices} vertices, those of the map, got {len(mesh.vertices)}."
        )
    if background is not None:
        background = np.asarray(background, dtype=np.float64)
        if background.shape != (n_vertices,):
            raise InputError(
                f"expected a background with one value for each of {n_vertices} vertices, got "
                f"shape {background.shape}."
            )
    # Copies: nilearn moves coordinates in place.
    return mesh.vertices.copy(), mesh.faces.copy(), shown.space.to_array(values), background


def _surface_page(shown: _Shown, background, mesh, hemisphere, title) -> Page:
    """Return a page with a surface that can be turned."""
    vertices, faces, values, under = _surface(shown, shown.values, background, mesh)
    colors = np.full((len(values), 3), 0.85)
    if under is not None:
        low, high = np.nanpercentile(under, [2, 98])
        gray = 0.9 - 0.45 * np.clip((under - low) / max(high - low, 1e-12), 0.0, 1.0)
        colors[:] = np.nan_to_num(gray, nan=0.85)[:, None]
    has = np.isfinite(values)
    colors[has] = shown.cmap(shown.norm(values[has]))[:, :3]
    n_colors = len(shown.names) or 32
    return surface_page(
        vertices,
        faces,
        values,
        colors,
        names=shown.names,
        label=shown.label,
        title=title,
        scale=[*shown.cmap(np.arange(n_colors) if shown.names else np.linspace(0, 1, n_colors))],
        limits=(float(shown.norm.vmin), float(shown.norm.vmax)),
        view=hemisphere,
    )


def _volume_page(shown: _Shown, background, title) -> Page:
    """Return a page with slices through a point that can be moved."""
    found, mask = _upright(shown.space, shown.values), _upright(shown.space, None)
    has = np.isfinite(found.array)
    n_colors = len(shown.names) or 255
    if n_colors > 255:
        raise InputError(f"expected at most 255 models in a page, got {n_colors}.")
    codes = np.zeros(found.array.shape, np.uint8)
    if shown.names:
        codes[has] = found.array[has].astype(int) + 1
    else:
        codes[has] = 1 + np.clip(shown.norm(found.array[has]) * 255, 0, 254).astype(int)
    colors = [*shown.cmap(np.arange(n_colors) if shown.names else np.linspace(0, 1, n_colors))]
    if background is None:
        gray, under = np.where(np.isnan(mask.array), 0, 227), mask
    else:
        under = _upright_image(background)
        low, high = np.nanpercentile(under.array, [2, 99.5])
        gray = np.nan_to_num(1 + 229 * np.clip((under.array - low) / max(high - low, 1e-12), 0, 1))
    place = np.abs(np.where(has, found.array, 0.0)).argmax() if has.any() else codes.size // 2
    start = found.origin + found.step * np.unravel_index(place, codes.shape)
    return volume_page(
        {"array": found.array, "origin": found.origin, "step": found.step},
        {"array": gray, "origin": under.origin, "step": under.step},
        codes,
        palette=colors,
        scale=colors if shown.names else colors[::8],
        names=shown.names,
        label=shown.label,
        limits=(float(shown.norm.vmin), float(shown.norm.vmax)),
        start=start.tolist(),
        smooth=background is not None,
        title=title,
    )
