"""Linear 3-D faces on the photographs that they were fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import number
from rsa_faces.figures._parts import figure_of, legend_below, panels
from rsa_faces.figures._style import COLORS, PAGE, shortened, style
from rsa_faces.stimuli import HeadFit, StimulusSet

_MOST = 8  # faces beside each other


def plot_head_fit(
    fit: HeadFit,
    photographs: StimulusSet | None = None,
    *,
    faces: Sequence[str] | None = None,
    ax: Any = None,
) -> Figure:
    """Draw fitted heads: landmarks measured and fitted on the photograph, and the normals.

    Parameters
    ----------
    fit : HeadFit
    photographs : StimulusSet, optional
        Those in which the landmarks were measured, by name; without, landmarks stand alone.
    faces : sequence of str, optional
        Which faces, at most 8; by default the first four.
    ax : array of Axes, optional
        Shape (2, n_faces).

    Returns
    -------
    matplotlib.figure.Figure
        Above: the photograph, measured and fitted landmarks, and how far they are apart, root mean
        square in pixels. Below: normals of the fitted surface with its expression, from the front.

    Raises
    ------
    InputError
        If a face is unknown, has no photograph, or there are none or more than 8.

    See Also
    --------
    rsa_faces.stimuli.fit_heads : Fit a linear 3-D face to 68 landmarks of each photograph.
    plot_landmarks : Draw landmarks on a face, to see which is which.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'happy'")
    >>> faces = faces.subset(faces.ids[:2])
    >>> crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
    >>> fit = rf.stimuli.fit_heads(rf.networks.detect_landmarks(crops), conditions=crops.ids)
    >>> figure = rf.figures.plot_head_fit(fit, crops)
    >>> figure.axes[0].get_title().splitlines()[1].endswith(" px")
    True
    """
    check_arguments(plot_head_fit, locals())
    names = list(fit.table["condition"])
    chosen = names[:4] if faces is None else list(faces)
    if not 1 <= len(chosen) <= _MOST:
        raise InputError(f"expected 1 to {_MOST} faces, got {len(chosen)}.")
    rows = [names.index(check_choice(name, names, what="face of the fit")) for name in chosen]
    if photographs is not None and (lacking := [n for n in chosen if n not in photographs.ids]):
        raise InputError(f"expected a photograph of every face, but {lacking[0]!r} has none.")
    part = replace(
        fit,
        table=fit.table.iloc[rows].reset_index(drop=True),
        identity=fit.identity[rows],
        expression=fit.expression.iloc[rows].reset_index(drop=True),
    )
    normals = part.normal_images(size=224, expression=True)
    with style():
        wide = PAGE / max(len(rows), 3)
        axes = panels(ax, 2, len(rows), wide * len(rows), 2 * wide + 0.7)
        for above, below, name, row in zip(*axes, chosen, rows, strict=True):
            measured, fitted = fit.landmarks[row], fit.fitted[row]
            if photographs is None:
                above.set_aspect("equal")
                above.invert_yaxis()
            else:
                above.imshow(photographs.image(name), cmap="gray", vmin=0, vmax=255, alpha=0.7)
            dots = {"linestyle": "none", "marker": "o"}
            above.plot(*measured.T, color=COLORS[0], markersize=1.5, label="measured", **dots)
            ring = {"markerfacecolor": "none", "markeredgewidth": 0.5, "markersize": 3}
            above.plot(*fitted.T, color=COLORS[1], label="fitted", **ring, **dots)
            off = np.sqrt(((fitted - measured) ** 2).sum(axis=1).mean())
            above.set_title(f"{shortened(name, 24)}\n{number(off, 1)} px")
            below.imshow(normals.image(name))
        for one in axes.ravel():
            one.set_axis_off()
        said = "px: root mean squared distance of fitted and measured landmarks; below: normals"
        legend_below(axes, ax is None, title=said)
    return figure_of(axes)
