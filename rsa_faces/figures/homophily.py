"""Whether people who are linked look more alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from rsa_faces._core.words import counted, interval_label
from rsa_faces.analyses import Homophily
from rsa_faces.figures._parts import (
    PALE,
    check_few,
    density,
    figure_of,
    line_of,
    network_colors,
    panels,
    points,
    reference,
)
from rsa_faces.figures._style import COLORS, PAGE, shown_name, style

_KINDS = {0: ("no tie", PALE), 1: ("tie", COLORS[0]), -1: ("negative tie", COLORS[1])}


def plot_homophily(results: Homophily | Mapping[str, Homophily], *, ax=None) -> Figure:
    """Draw scores of linked people and others, and what ties and controls explain.

    Parameters
    ----------
    results : Homophily, or mapping of name to Homophily
        Several, such as without and with controls, or of several networks, are drawn side by side
        on the right; on the left the scores of the first. At most 8.
    ax : sequence of two Axes, optional
        To draw in; by default a new figure, 183 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        Left: distributions of scores. Right: estimates in standard deviations with their
        intervals; filled: p ≤ alpha of the result (permutation).

    Raises
    ------
    InputError
        If there are no results or more than 8.

    See Also
    --------
    rsa_faces.analyses.homophily : Regress how alike two faces are on whether the people are linked.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> people = [f"p{i}" for i in range(40)]
    >>> scores = rf.analyses.similarity_scores({"fc": rng.normal(size=(40, 16))}, conditions=people)
    >>> alike = np.triu(scores.to_numpy() + 0.2 * rng.normal(size=(40, 40)) > 0.4, 1)  # made up
    >>> ties = pd.DataFrame((alike | alike.T).astype(int), people, people)
    >>> figure = rf.figures.plot_homophily(rf.analyses.homophily(ties, scores, n_permutations=99))
    >>> figure.axes[0].get_title(loc="left")
    '40 people; lines: means'
    """
    named = dict(results) if isinstance(results, Mapping) else {"": results}
    check_few(named, "results")
    terms = list(dict.fromkeys(t for r in named.values() for t in r.table["term"]))
    name, first = next(iter(named.items()))
    alpha = first.settings["alpha"]
    with style():
        height = min(9.0, max(2.6, 1.2 + 0.2 * len(terms) * len(named)))
        ((left, right),) = panels(ax, 1, 2, PAGE, height)
        bins = np.linspace(first.pairs["score"].min(), first.pairs["score"].max(), 31)
        for kind, (label, color) in _KINDS.items():
            scores = first.pairs.loc[first.pairs["tie"] == kind, "score"]
            if len(scores):
                label = f"{label} ({counted(len(scores), 'pair')})"
                density(left, scores, bins, color, label)
                left.axvline(scores.mean(), color=color, linewidth=1)
        of = f"{shown_name(name)}: " if name else ""
        left.set_title(f"{of}{first.table['n_people'].iloc[0]} people; lines: means", loc="left")
        left.set_xlabel("score (similarity of two faces)")
        left.set_ylabel("density of pairs")
        left.set_yticks([])
        left.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2)
        offsets = np.linspace(-0.2, 0.2, len(named)) if len(named) > 1 else [0.0]
        for offset, (name, color) in zip(offsets, network_colors(list(named)).items(), strict=True):
            rows = named[name].table
            # Intervals are in units of scores; here they stand in standard deviations.
            scale = rows["standardized"] / rows["estimate"]
            y = np.array([terms.index(term) for term in rows["term"]]) + offset
            ends = rows["ci_low"] * scale, rows["ci_high"] * scale
            look = {"color": color, "linestyle": line_of(name), "label": shown_name(name)}
            right.hlines(y, *ends, **look)
            significant = rows["p"] <= named[name].settings["alpha"]
            points(right, rows["standardized"], y, color, significant, 4)
        reference(right, axis="x")
        right.set_yticks(range(len(terms)), terms)
        right.set_ylim(len(terms) - 0.5, -0.5)
        right.set_xlabel("difference of similarity (SD of the scores)")
        right.set_title(f"line: {interval_label(alpha)}; filled: p ≤ {alpha:g}", loc="left")
        if len(named) > 1:
            right.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3)
    return figure_of(left)
