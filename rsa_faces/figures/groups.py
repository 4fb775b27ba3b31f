"""Scores between faces and the groups that people say they belong to."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses import FalseMatches, GroupComponents, ScoreDistributions
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, as_axes, shown_name, style

_NOTE = "Groups as people described themselves; what this can show: result.notes"


def plot_group_components(
    result: GroupComponents, *, attribute: str | None = None, alpha: float = 0.05, ax=None
) -> np.ndarray:
    """Draw faces on the first two components, and how far each component separates groups.

    Parameters
    ----------
    result : GroupComponents
        With at least two components.
    attribute : str, optional
        By default the first.
    alpha : float, default 0.05
        Filled bars: p_max at most this.
    ax : sequence of two Axes, optional
        To draw in; by default a new figure, 183 mm wide.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Left: faces by group. Right: share of each component's variance that lies between groups;
        ticks show what permuted groups give.

    Raises
    ------
    InputError
        If the attribute is unknown, there is one component only, or more than 8 groups.
    """
    attribute = result.groups.columns[0] if attribute is None else attribute
    check_choice(attribute, result.groups.columns, what="attribute")
    table = result.table[result.table["attribute"] == attribute]
    labels = result.groups[attribute]
    kinds = list(dict.fromkeys(labels))
    if len(table) < 2 or len(kinds) > len(COLORS):
        raise InputError(
            f"expected at least 2 components and at most {len(COLORS)} groups, got {len(table)} "
            f"and {len(kinds)}."
        )
    with style():
        if ax is None:
            _, ax = plt.subplots(1, 2, figsize=(PAGE, 2.6), layout="constrained")
        axes = as_axes(ax, (2,))
        for color, kind in zip(COLORS, kinds, strict=False):
            chosen = result.components[(labels == kind).to_numpy()]
            axes[0].plot(
                chosen[1], chosen[2], "o", markersize=3, color=color, alpha=0.8,
                markeredgewidth=0, label=f"{kind} ({len(chosen)})",
            )  # fmt: skip
        for k, name in enumerate(("x", "y")):
            share = table["explained"].iloc[k]
            axes[0].set(**{f"{name}label": f"component {k + 1} ({share:.0%} of variance)"})
        axes[0].legend(frameon=False, fontsize=5.5, loc="center left", bbox_to_anchor=(1, 0.5))
        axes[0].set_title(f"{attribute}: {len(labels)} faces", loc="left")
        x, share = table["component"], table["between_group_share"]
        found = table["p_max"] <= alpha
        face = ["#0072B2" if f else "white" for f in found]
        axes[1].bar(x, share, color=face, edgecolor="#0072B2", linewidth=0.7)
        axes[1].plot(
            x, table["expected_share"], "_", color="#444444", markersize=8,
            label="permuted groups, mean",
        )  # fmt: skip
        axes[1].set_xticks(x)
        axes[1].set_ylim(0, 1.03)
        axes[1].set_xlabel(f"component (filled: p ≤ {alpha:g}, corrected)")
        axes[1].set_ylabel("variance between groups")
        axes[1].legend(frameon=False, fontsize=5.5, loc="upper right")
        _say(axes[1])
    return axes


def plot_score_distributions(result: ScoreDistributions, *, ax: Axes | None = None) -> Axes:
    """Draw the distributions of scores within a person, within groups and between them.

    Parameters
    ----------
    result : ScoreDistributions
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    Axes
        One row per kind of pair and group: a violin of all scores, its mean with the interval over
        people.
    """
    table = result.table
    table = table[(table["group_a"] != "") | (table["kind"] == "between")]
    table = table[(table["kind"] != "between") | (table["group_a"] == "")]
    with style():
        if ax is None:
            size = (COLUMN, 0.8 + 0.22 * len(table))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        colors = dict(zip(("between", "within", "mated"), COLORS, strict=False))
        names = []
        order = {"mated": 0, "within": 1, "between": 2}
        rows = sorted(table.itertuples(), key=lambda row: order[row.kind])
        for i, row in enumerate(rows):
            pairs = result.pairs[result.pairs["kind"] == row.kind]
            if row.group_a != "":
                pairs = pairs[(pairs["group_a"] == row.group_a)]
            if len(pairs) > 1 and pairs["score"].std() > 0:
                violin = ax.violinplot(
                    pairs["score"], [i], orientation="horizontal", showextrema=False, widths=0.9
                )
                for body in violin["bodies"]:
                    body.set(color=colors[row.kind], alpha=0.3, linewidth=0)
            ax.plot([row.ci_low, row.ci_high], [i, i], color=colors[row.kind])
            ax.plot(row.mean, i, "o", markersize=3, color=colors[row.kind])
            what = {
                "mated": f"one person, {row.group_a}", "within": f"two people, {row.group_a}",
                "between": "two people, different groups",
            }[row.kind]  # fmt: skip
            names.append(f"{what} ({row.n_pairs})")
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set_xlabel("score; mean with 95 %")
        first = result.summary.iloc[0]
        ax.set_title(
            f"within − between groups: {first['difference']:.3f}, p = {first['p']:.2g}",
            loc="right",
        )
        _say(ax)
    return ax


def plot_false_matches(results: FalseMatches | Mapping[str, FalseMatches], *, ax=None):
    """Draw how often two different people are taken for one, by their groups.

    Parameters
    ----------
    results : FalseMatches, or mapping of network to FalseMatches
    ax : Axes, or sequence of Axes for a mapping, optional
        To draw in; by default a new figure.

    Returns
    -------
    Axes, or ndarray of Axes for a mapping
        One cell per pair of groups: the rate in per cent, its interval, and the number of pairs
        that match; colour by the rate.
    """
    several = isinstance(results, Mapping)
    named = dict(results) if several else {"": results}
    n_groups = max(len(result.groups) for result in named.values())
    with style():
        if ax is None:
            size = (1.2 + 0.72 * n_groups, (1.0 + 0.45 * n_groups) * len(named))
            _, ax = plt.subplots(len(named), 1, figsize=size, layout="constrained")
        axes = as_axes(ax, (len(named),))
        for one, (name, result) in zip(axes, named.items(), strict=True):
            _matches(one, name, result)
    return axes if several else axes[0]


def _matches(ax: Axes, name: str, result: FalseMatches) -> None:
    """Draw one matrix of false matches."""
    rates, low, high, n = (result.matrix(c) for c in ("rate", "ci_low", "ci_high", "n_false"))
    size, shown = len(rates), rates.to_numpy(float)
    ax.imshow(shown, cmap="Oranges", vmin=0, vmax=np.nanmax(shown) or 1, aspect="auto")
    for i in range(size):
        for j in range(size):
            value = shown[i, j]
            text = "no pairs" if np.isnan(value) else (
                f"{100 * value:.2f} %\n{100 * low.iat[i, j]:.2f}–{100 * high.iat[i, j]:.2f}"
                f"\nn = {int(n.iat[i, j])}"
            )  # fmt: skip
            dark = np.nan_to_num(value) > 0.6 * np.nanmax(shown)
            ax.text(j, i, text, ha="center", va="center", fontsize=5.5,
                    color="white" if dark else "black")  # fmt: skip
    people = dict(zip(result.groups["group"], result.groups["n_people"], strict=True))
    ax.set_xticks(range(size), [str(g) for g in rates.columns])
    ax.set_yticks(range(size), [f"{g} ({people[g]} people)" for g in rates.index])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    threshold = result.overall["threshold"].iloc[0]
    set_at = "a threshold per group" if np.isnan(threshold) else f"threshold {threshold:.3f}"
    name = f"{shown_name(name)}, " if name else "false matches, "
    ax.set_title(f"{name}{set_at}", loc="right")
    _say(ax)


def _say(ax: Axes) -> None:
    """Write under the axes what groups are."""
    ax.annotate(
        _NOTE, (1, 0), xytext=(0, -30), xycoords="axes fraction", textcoords="offset points",
        fontsize=4.5, color="#444444", ha="right", va="top",
    )  # fmt: skip
