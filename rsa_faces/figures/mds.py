"""A map of conditions: multidimensional scaling with the stimuli as thumbnails."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Patch
from sklearn.manifold import smacof

from rsa_faces._errors import ConditionMismatchError, InputError
from rsa_faces._validation import check_choice
from rsa_faces.figures._style import COLORS, PAGE, style
from rsa_faces.rdm import RDMs
from rsa_faces.stimuli import StimulusSet


def plot_mds(
    rdm: RDMs,
    stimuli: StimulusSet,
    *,
    color: str | None = None,
    title: str = "",
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
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

    Returns
    -------
    Axes
        With the stress in its title: Kruskal's stress-1, 0 (distances exact) to 1.

    Raises
    ------
    InputError
        If there is more than one RDM, a pair is missing, or the column is unknown.
    ConditionMismatchError
        If a condition has no image.

    Notes
    -----
    Metric scaling by SMACOF from 8 starts [1]_. Negative dissimilarities (crossnobis) count as 0.

    References
    ----------
    .. [1] de Leeuw J., Mair P. (2009). Journal of Statistical Software 31(3).
       doi:10.18637/jss.v031.i03
    """
    if len(rdm) != 1:
        raise InputError(f"expected one RDM to map, got {len(rdm)}. Average them with mean().")
    if np.isnan(rdm.vectors).any():
        raise InputError(
            f"expected every pair measured, but {int(np.isnan(rdm.vectors).sum())} are missing."
        )
    if set(rdm.conditions) - set(stimuli.ids):
        raise ConditionMismatchError(rdm.conditions, stimuli.ids, left_name="the RDM",
                                     right_name="the stimuli")  # fmt: skip
    distances = np.maximum(rdm.matrices()[0], 0.0)
    distances /= distances.max() or 1.0
    points, _ = smacof(distances, n_components=2, n_init=8, random_state=seed, max_iter=500,
                       eps=1e-6, normalized_stress=False, n_jobs=1)  # fmt: skip
    row, col = np.triu_indices(len(points), k=1)
    drawn = np.linalg.norm(points[row] - points[col], axis=1)
    stress = np.sqrt(((drawn - distances[row, col]) ** 2).sum() / (drawn**2).sum())
    kinds, codes = _kinds(rdm, stimuli, color)
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(PAGE, PAGE * 0.92))
        ax.scatter(*points.T, s=0)
        # Thumbnails shrink with their number, so that about as much of the map stays free.
        size = 17 * np.sqrt(92 / max(len(points), 30)) * ax.get_window_extent().width / 720
        for name, point, code in zip(rdm.conditions, points, codes, strict=True):
            image = stimuli.image(name)
            box = OffsetImage(image, zoom=1.55 * size / max(image.shape[:2]), resample=True)
            frame = {"edgecolor": COLORS[code % len(COLORS)] if kinds else "none", "linewidth": 0.9,
                     "boxstyle": "square,pad=0.06"}  # fmt: skip
            ax.add_artist(AnnotationBbox(box, point, bboxprops=frame, pad=0.1))
        ax.set_aspect("equal")
        ax.margins(0.06)
        ax.set_axis_off()
        ax.set_title(f"{title + ': ' if title else ''}multidimensional scaling, stress "
                     f"{stress:.2f}", loc="left")  # fmt: skip
        if kinds:
            ax.legend(
                handles=[Patch(facecolor="white", edgecolor=COLORS[i % len(COLORS)], label=k,
                               linewidth=1.2) for i, k in enumerate(kinds)],
                loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=min(len(kinds), 6),
                frameon=False, title=color, title_fontsize=6,
            )  # fmt: skip
    return ax


def _kinds(rdm: RDMs, stimuli: StimulusSet, color: str | None) -> tuple[list[str], list[int]]:
    """Return the values of the colour column and each condition's index among them."""
    if color is None:
        return [], [0] * rdm.n_conditions
    check_choice(color, stimuli.metadata.columns, what="column of the stimulus table")
    values = [str(stimuli.metadata.loc[name, color]) for name in rdm.conditions]
    kinds = list(dict.fromkeys(values))
    return kinds, [kinds.index(v) for v in values]
