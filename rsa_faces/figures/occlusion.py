"""Where a hidden part of the face changes a layer most, or what its similarity follows from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rsa_faces.analyses import AttributionMap, OcclusionMap
from rsa_faces.figures._parts import (
    amount_scale,
    check_few,
    color_bar,
    figure_of,
    legend_below,
    signed_scale,
    wrapped_panels,
)
from rsa_faces.figures._style import COLUMN, PAGE, shown_name, style


def plot_occlusion(
    results: OcclusionMap | Sequence[OcclusionMap], *, alpha: float = 0.05, ax: object = None
) -> Figure:
    """Draw where a hidden part changes most, over the mean face.

    Parameters
    ----------
    results : OcclusionMap, AttributionMap, or sequence of these
        A panel each; at most 8.
    alpha : float, default 0.05
        Dots: the change is more, or less, than at other places at this level, corrected.
    ax : array of Axes, optional
        One per result; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        The mean of the images, and over it colours for the mean change at each place (or the mean
        attribution: red raises the output, blue lowers it).

    Raises
    ------
    InputError
        If there are no results or more than 8.

    See Also
    --------
    rsa_faces.analyses.occlusion_map : Hide one part of each image after another.
    rsa_faces.analyses.attribution_map : Follow a similarity back to pixels.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.stimuli import StimulusSet
    >>> images = np.random.default_rng(0).integers(90, 160, (6, 32, 32, 3)).astype(np.uint8)
    >>> images[:, 8:16, 8:24] //= 3  # made up: what could be eyes
    >>> stimuli = StimulusSet.from_arrays(images, list("abcdef"))
    >>> found = rf.analyses.occlusion_map(rf.load_network("pixels"), stimuli, n_places=4)
    >>> figure = rf.figures.plot_occlusion(found)
    >>> figure.axes[0].get_title(loc="left")
    'pixels'
    """
    results = [results] if isinstance(results, OcclusionMap) else list(results)
    check_few(results, "results")
    with style():
        n = min(3, len(results))
        width = (PAGE if n > 1 else COLUMN) / n
        axes = wrapped_panels(ax, len(results), n, width, width)
        for one, result in zip(axes, results, strict=True):
            values = result.matrix().to_numpy()
            scale = amount_scale(values) if values.min() >= 0 else signed_scale(values)
            height, across = result.face.shape[:2]
            face = result.face.mean(axis=2)
            one.imshow(face, cmap="gray", vmin=0, vmax=255, extent=(0, across, height, 0))
            colors = scale.to_rgba(values)
            colors[..., 3] = 0.6
            one.imshow(colors, extent=(0, across, height, 0), interpolation="nearest")
            rows = result.table[result.table["p_corrected"] <= alpha]
            one.plot(rows["x"] * across, rows["y"] * height, "k.", markersize=2)
            one.set_xticks([])
            one.set_yticks([])
            settings = result.settings
            one.set_title(shown_name(settings["network"], settings["layer"]), loc="left")
            what = "1 − cosine" if settings["of"] == "embedding" else "1 − r of the RDM's row"
            what = f"change ({what})"
            if isinstance(result, AttributionMap):
                what = f"part of the {'cosine' if settings['of'] == 'embedding' else 'distance'}"
            color_bar(scale, what, ax=one)
        first = results[0].table.iloc[0]
        counts = f"{first['n_people']:g} people, {first['n_conditions']:g} images"
        marks = f"{counts}; dots: unlike other places, p ≤ {alpha:g}, corrected"
        legend_below(axes, ax is None, handles=[], title=marks)
    return figure_of(np.ravel(axes))
