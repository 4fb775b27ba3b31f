"""A gallery of RDMs."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._kernels.ranks import average_ranks
from rsa_faces.figures._parts import color_bar, figure_of, wrapped_panels
from rsa_faces.figures._style import COLUMN, PAGE, style, wrapped
from rsa_faces.rdm import RDMs


def plot_rdms(
    rdms: RDMs,
    *,
    titles: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    ranked: bool = True,
    n_columns: int = 5,
    ax: np.ndarray | None = None,
) -> Figure:
    """Draw RDMs as images, side by side.

    Parameters
    ----------
    rdms : RDMs
        Drawn in their order, conditions in theirs.
    titles : sequence of str, optional
        One per RDM; by default the labels in which the RDMs differ.
    groups : sequence of str, optional
        Group of each condition, in the order of ``rdms.conditions``: conditions are drawn sorted
        by group (in order of first appearance), groups are separated by lines and named.
    ranked : bool, default True
        Colour by percentile within each RDM (RDMs of different measures can then share a scale);
        otherwise by dissimilarity, each RDM on its own scale.
    n_columns : int, default 5
        RDMs per row.
    ax : ndarray of Axes, optional
        One per RDM.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per RDM.

    Raises
    ------
    InputError
        If the number of titles, groups or axes does not fit.

    See Also
    --------
    plot_mds : Draw conditions in two dimensions, so that distances follow one RDM.

    Notes
    -----
    The colour bar says whether colours are percentiles (ties share their mean rank) or
    dissimilarities. Pairs not measured (NaN), and the diagonal, are white.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> groups = d92.stimuli.metadata["category"]
    >>> figure = rf.figures.plot_rdms(d92.models[:2], titles=["a", "b"], groups=groups)
    >>> [a.get_title() for a in figure.axes[:2]]
    ['a', 'b']
    """
    check_arguments(plot_rdms, locals())
    check_count(n_columns, what="n_columns")
    titles = _titles(rdms.labels) if titles is None else titles
    if len(titles) != len(rdms):
        raise InputError(f"expected {len(rdms)} titles, one per RDM, got {len(titles)}.")
    order, edges, names = _sorted_by(groups, rdms.n_conditions)
    values = rdms.vectors
    if ranked:
        values = np.stack([_percentiles(v) for v in values])
    square = np.full((len(rdms), rdms.n_conditions, rdms.n_conditions), np.nan)
    row, col = np.triu_indices(rdms.n_conditions, k=1)
    square[:, row, col] = square[:, col, row] = values
    n_columns = min(n_columns, len(rdms))
    width = max(PAGE / 5, COLUMN / n_columns)
    with style():
        room = (0.2 if ranked else 0.45) / -(-len(rdms) // n_columns)
        axes = wrapped_panels(ax, len(rdms), n_columns, width, 0.87 * width + room + 0.05)
        for i, (one, matrix, title) in enumerate(zip(axes, square, titles, strict=True)):
            shown = matrix[np.ix_(order, order)]
            _draw(one, shown, title, edges, names if i == 0 else (), ranked)
        if ranked:
            label = f"dissimilarity\n(percentile in each RDM)\nof {rdms.n_conditions} conditions"
            rows = -(-len(rdms) // n_columns)
            color_bar(axes[-1].images[0], label, ax=list(axes), shrink=0.8 / rows**0.5)
    return figure_of(axes)


def _titles(labels: pd.DataFrame) -> list[str]:
    """Return titles from the labels in which the RDMs differ."""
    labels = labels.drop(columns=["layer_index", "depth"], errors="ignore")
    differ = [c for c in labels if labels[c].nunique(dropna=False) > 1]
    rows = labels[differ or list(labels)].to_numpy(dtype=object)
    return [" ".join(str(v) for v in row if not pd.isna(v) and v != "") for row in rows]


def _sorted_by(groups, n_conditions):
    """Return the order by group, where groups end, and (middle, name) of each group."""
    if groups is None:
        return np.arange(n_conditions), (), ()
    groups = [str(g) for g in groups]
    if len(groups) != n_conditions:
        raise InputError(f"expected {n_conditions} groups, one per condition, got {len(groups)}.")
    kinds = list(dict.fromkeys(groups))
    codes = np.array([kinds.index(g) for g in groups])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    starts = np.concatenate([[0], ends[:-1]])
    return order, ends[:-1] - 0.5, list(zip((starts + ends - 1) / 2, kinds, strict=True))


def _percentiles(vector: np.ndarray) -> np.ndarray:
    """Return percentiles of measured pairs."""
    out = np.full(len(vector), np.nan)
    present = ~np.isnan(vector)
    n = present.sum()
    if n:
        out[present] = 100 * (average_ranks(vector[present][None])[0] - 0.5) / n
    return out


def _draw(axes: Axes, matrix, title, edges, names, ranked) -> None:
    """Draw one RDM."""
    limits = {"vmin": 0, "vmax": 100} if ranked else {}
    cmap = plt.get_cmap("viridis").with_extremes(bad="white")
    image = axes.imshow(matrix, cmap=cmap, interpolation="nearest", **limits)
    # Lines and names of many small groups would lie on each other.
    height = 72 * axes.get_window_extent().height / axes.figure.dpi / len(matrix)
    smallest = np.diff([-0.5, *edges, len(matrix) - 0.5]).min() * height
    for edge in edges if smallest > 2 else ():
        axes.axhline(edge, color="white", linewidth=0.4)
        axes.axvline(edge, color="white", linewidth=0.4)
    names = names if smallest > 5.5 else ()
    axes.set_xticks([])
    axes.set_yticks([place for place, _ in names], [name for _, name in names], fontsize=5)
    axes.tick_params(length=0, pad=1)
    width = axes.get_window_extent().width / axes.figure.dpi
    axes.set_title(wrapped(title, 1.1 * width, 5.5), fontsize=5.5, pad=2)
    axes.spines[:].set_visible(False)
    if not ranked:
        bar = axes.figure.colorbar(
            image, ax=axes, shrink=0.7, aspect=15, pad=0.03, location="bottom"
        )
        bar.set_label(f"dissimilarity, {len(matrix)} conditions", fontsize=5)
        bar.ax.tick_params(labelsize=5, length=1.5)
        bar.outline.set_linewidth(0.4)
