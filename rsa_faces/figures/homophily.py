"""Whether people who are linked look more alike."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.analyses import Homophily
from rsa_faces.figures._style import COLORS, PAGE, as_axes, style

_KINDS = {0: ("no tie", "#888888"), 1: ("tie", COLORS[0]), -1: ("negative tie", COLORS[1])}


def plot_homophily(results: Homophily | Mapping[str, Homophily], *, ax=None) -> np.ndarray:
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
    ndarray of Axes, shape (2,)
        Left: distributions of scores. Right: estimates in standard deviations with their
        intervals; filled: p ≤ alpha of the result (permutation).

    Raises
    ------
    InputError
        If there are no results or more than 8.
    """
    named = dict(results) if isinstance(results, Mapping) else {"": results}
    if not 1 <= len(named) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} results, got {len(named)}.")
    with style():
        terms = list(dict.fromkeys(t for r in named.values() for t in r.table["term"]))
        if ax is None:
            height = max(2.3, 1.0 + 0.2 * len(terms) * len(named))
            _, ax = plt.subplots(1, 2, figsize=(PAGE, height), layout="constrained")
        left, right = axes = as_axes(ax, (2,))
        first = next(iter(named.values()))
        bins = np.linspace(first.pairs["score"].min(), first.pairs["score"].max(), 31)
        for kind, (label, color) in _KINDS.items():
            scores = first.pairs.loc[first.pairs["tie"] == kind, "score"]
            if len(scores):
                left.hist(
                    scores, bins, density=True, histtype="stepfilled", color=color, alpha=0.3,
                    label=f"{label} ({len(scores)} pairs)",
                )  # fmt: skip
                left.axvline(scores.mean(), color=color, linewidth=1)
        n_people = first.table["n_people"].iloc[0]
        left.set_xlabel(f"similarity of faces of {n_people} people (lines: means)")
        left.set_ylabel("density")
        left.set_yticks([])
        left.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=5.5,
            borderaxespad=0.2, columnspacing=1,
        )  # fmt: skip
        offsets = np.linspace(-0.2, 0.2, len(named)) if len(named) > 1 else [0.0]
        for offset, color, (name, result) in zip(offsets, COLORS, named.items(), strict=False):
            rows = result.table
            scale = rows["standardized"] / rows["estimate"]
            y = np.array([terms.index(term) for term in rows["term"]]) + offset
            right.hlines(y, rows["ci_low"] * scale, rows["ci_high"] * scale, color=color)
            found = (rows["p"] <= result.settings["alpha"]).to_numpy()
            for filled, these in ((True, found), (False, ~found)):
                right.plot(
                    rows["standardized"][these], y[these], "o", markersize=4, color=color,
                    markerfacecolor=color if filled else "white", markeredgewidth=0.8,
                )  # fmt: skip
            right.plot([], [], "o-", color=color, markersize=4, label=name)
        right.axvline(0, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
        right.set_yticks(range(len(terms)), terms)
        right.set_ylim(len(terms) - 0.5, -0.5)
        alpha = first.settings["alpha"]
        right.set_xlabel(
            f"difference of similarity (SD), {100 * (1 - alpha):g} % interval; "
            f"filled: p ≤ {alpha:g}"
        )
        if len(named) > 1:
            right.legend(
                loc="lower left", bbox_to_anchor=(0, 1), ncols=len(named), frameon=False,
                fontsize=5.5,
            )  # fmt: skip
    return axes
