"""A map of conditions: multidimensional scaling with the stimuli as thumbnails."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image
from sklearn.manifold import smacof

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces.figures._parts import SUBJECT, figure_of
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, style, text_width, wrapped
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured
from rsa_faces.stimuli import StimulusSet

_DPI = 300  # of thumbnails, at the size they have in the figure


def plot_mds(
    rdm: RDMs,
    stimuli: StimulusSet,
    *,
    color: str | None = None,
    title: str = "",
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """Draw conditions in two dimensions, so that distances follow one RDM.

    Parameters
    ----------
    rdm : RDMs
        One RDM, every pair measured.
    stimuli : StimulusSet
        The images of its conditions.
    color : str, optional
        Column of the stimulus table that colours the frames.
    title : str
        What the RDM is.
    seed : int, default 0
        Of the starting points.
    ax : Axes, optional
        Axes to draw in, at their final size.

    Returns
    -------
    matplotlib.figure.Figure
        With the stress in its title: Kruskal's stress-1, 0 (distances exact) to 1.

    Raises
    ------
    InputError
        If there is more than one RDM, a pair is missing, or the column is unknown.
    ConditionMismatchError
        If a condition has no image.

    See Also
    --------
    plot_rdms : Draw RDMs as images, side by side.

    Notes
    -----
    Metric scaling by SMACOF from 8 starts [1]_. Negative dissimilarities (crossnobis) count as 0.
    Thumbnails that would cover each other are moved apart; one that leaves its place has a line to
    it.

    References
    ----------
    .. [1] de Leeuw J., Mair P. (2009). Journal of Statistical Software 31(3).
       doi:10.18637/jss.v031.i03

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> mean = d92.rdms.sel(region="monkey IT").subset(d92.stimuli.ids[:6])
    >>> figure = rf.figures.plot_mds(mean, d92.stimuli, color="category", title="monkey IT")
    >>> figure.axes[0].get_title(loc="left")[:30]
    'monkey IT: multidimensional sc'
    """
    check_arguments(plot_mds, locals())
    if len(rdm) != 1:
        raise InputError(f"expected one RDM to map, got {len(rdm)}. Average them with mean().")
    check_measured(rdm, "the RDM")
    if set(rdm.conditions) - set(stimuli.ids):
        raise ConditionMismatchError(
            rdm.conditions, stimuli.ids, left_name="the RDM", right_name="the stimuli"
        )
    # Distances that noise is taken out of may be below 0.
    distances = np.maximum(rdm.matrices()[0], 0.0)
    distances /= distances.max() or 1.0
    points, _ = smacof(
        distances,
        n_components=2,
        # Stress has many minima: the best of several starts is drawn.
        n_init=8,
        random_state=seed,
        max_iter=500,
        eps=1e-6,
        normalized_stress=False,
        n_jobs=1,
    )
    row, col = np.triu_indices(len(points), k=1)
    drawn = np.linalg.norm(points[row] - points[col], axis=1)
    stress = np.sqrt(((drawn - distances[row, col]) ** 2).sum() / (drawn**2).sum())
    kinds, codes = _kinds(rdm, stimuli, color)
    with style():
        side = _thumbnail_side(points)
        places = _apart(points, 1.12 * side)
        low, high = places.min(axis=0) - 0.6 * side, places.max(axis=0) + 0.6 * side
        moved = np.abs(places - points).max(axis=1) > side / 2
        what = f"{title}: multidimensional" if title else "Multidimensional"
        lines = "; grey lines lead to where moved pictures belong" if moved.any() else ""
        heading = (
            f"{what} scaling of {rdm.n_conditions} conditions; near: similar; distances have no "
            f"unit; stress-1 = {stress:.2f} (0: exact){lines}"
        )
        if ax is None:
            longer = PAGE if len(points) > 30 else 0.7 * PAGE
            size = longer * (high - low) / (high - low).max()
            ax = _axes(size, heading, kinds)
        room = ax.get_window_extent().width / ax.figure.dpi
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        pixels = _DPI * ax.get_window_extent().width / ax.figure.dpi * side / (high - low)[0]
        for name, point, place, code, away in zip(
            rdm.conditions, points, places, codes, moved, strict=True
        ):
            if away:
                ax.plot(*zip(place, point, strict=True), color=SUBJECT, linewidth=0.5, zorder=1)
                ax.plot(*point, ".", color=SUBJECT, markersize=2, zorder=1)
            image = Image.fromarray(stimuli.image(name))
            image.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
            width, height = side * np.array(image.size) / max(image.size)
            x, y = place - (width / 2, height / 2)
            ax.imshow(
                image,
                extent=(x, x + width, y, y + height),
                interpolation="nearest",
                aspect="equal",
                zorder=2,
            )
            frame = COLORS[code % len(COLORS)] if kinds else SUBJECT
            ax.add_patch(
                Rectangle(
                    (x, y),
                    width,
                    height,
                    facecolor="none",
                    edgecolor=frame,
                    linewidth=1.1 if kinds else 0.4,
                    zorder=3,
                )
            )
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))  # imshow has changed them
        ax.set_axis_off()
        ax.set_title(wrapped(heading, 0.95 * room, 7, " "), loc="left")
        if kinds:
            n_rows = _n_rows(kinds, room)
            handles = [
                Patch(facecolor="white", edgecolor=COLORS[i % len(COLORS)], label=k, linewidth=1.2)
                for i, k in enumerate(kinds)
            ]
            ax.legend(
                handles=handles,
                loc="upper center",
                bbox_to_anchor=(0.5, 0.0),
                frameon=False,
                ncols=int(np.ceil(len(kinds) / n_rows)),
                title=color,
                title_fontsize=6,
            )
    return figure_of(ax)


def _axes(size: np.ndarray, heading: str, kinds: list[str]) -> Axes:
    """Return axes of this size (inches) in a figure with room for heading and legend."""
    width = max(size[0], COLUMN)
    top = 0.08 + 0.13 * (wrapped(heading, 0.95 * size[0], 7, " ").count("\n") + 1)
    bottom = 0.3 + 0.14 * _n_rows(kinds, size[0]) if kinds else 0.02
    height = size[1] + top + bottom
    box = (0.5 - size[0] / width / 2, bottom / height, size[0] / width, size[1] / height)
    return plt.figure(figsize=(width, height)).add_axes(box)


def _n_rows(kinds: list[str], room: float) -> int:
    """Return how many rows a legend of these names takes."""
    widest = max(text_width(kind, 6) for kind in kinds) + 0.4
    return int(np.ceil(len(kinds) / max(room // widest, 1)))


def _thumbnail_side(points: np.ndarray) -> float:
    """Return the longer side of a thumbnail: together they fill about a quarter of the map."""
    extent = np.ptp(points, axis=0)
    return min(np.sqrt(0.27 * extent.prod() / len(points)), extent.max() / 8) or extent.max() / 8


def _apart(points: np.ndarray, side: float, n_steps: int = 500) -> np.ndarray:
    """Move squares of one size apart where they overlap, each pair along its shorter way."""
    places = points.copy()
    # Conditions at one point need some direction: their order.
    order = np.sign(np.arange(len(points))[:, None] - np.arange(len(points)))
    for _ in range(n_steps):
        offset = places[:, None] - places[None]
        overlap = np.maximum(side - np.abs(offset), 0.0)
        along_x = overlap[..., 0] <= overlap[..., 1]
        way = np.where(along_x, overlap[..., 0], overlap[..., 1])
        way = np.where((overlap > 0).all(axis=-1), way, 0.0)
        np.fill_diagonal(way, 0.0)
        if way.max() < 0.02 * side:
            break
        direction = np.where(along_x, offset[..., 0], offset[..., 1])
        direction = np.where(direction == 0, order, np.sign(direction))
        # Both of a pair are pushed, and each by several: half of the overlap would overshoot.
        push = 0.35 * way * direction
        places += np.stack([(push * along_x).sum(1), (push * ~along_x).sum(1)], axis=1)
    return places


def _kinds(rdm: RDMs, stimuli: StimulusSet, color: str | None) -> tuple[list[str], list[int]]:
    """Return the values of the colour column and each condition's index among them."""
    if color is None:
        return [], [0] * rdm.n_conditions
    check_choice(color, stimuli.metadata.columns, what="column of the stimulus table")
    values = [str(stimuli.metadata.loc[name, color]) for name in rdm.conditions]
    kinds = list(dict.fromkeys(values))
    return kinds, [kinds.index(v) for v in values]
