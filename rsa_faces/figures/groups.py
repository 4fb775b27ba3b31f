"""Scores between faces and the groups that people say they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted, interval_label, number, p_sentence, percent
from rsa_faces.analyses import FalseMatches, GroupComponents, ScoreDistributions
from rsa_faces.figures._parts import (
    GRAY,
    amount_scale,
    cells,
    color_bar,
    entry,
    figure_of,
    legend_below,
    panels,
)
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, shown_name, style

_NOTE = "groups as people described themselves; what this can show: result.notes"
_KINDS = {"mated": "one person", "within": "two people", "between": "two people, different groups"}


def plot_group_components(
    result: GroupComponents, *, attribute: str | None = None, alpha: float = 0.05, ax=None
) -> Figure:
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
    matplotlib.figure.Figure
        Left: faces by group. Right: share of each component's variance that lies between groups;
        ticks show what permuted groups give.

    Raises
    ------
    InputError
        If the attribute is unknown, there is one component only, or more than 8 groups.

    See Also
    --------
    rsa_faces.analyses.group_components : Ask which principal components of a score matrix go.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 5  # made up: two groups
    >>> names = [f"face{i}" for i in range(40)]
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> scores = rf.analyses.similarity_scores({"fc": embedding}, conditions=names)
    >>> result = rf.analyses.group_components(scores, groups, n_components=3, n_permutations=99)
    >>> figure = rf.figures.plot_group_components(result)
    >>> figure.axes[0].get_xlabel()
    'component 1 (63 % of variance)'
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
        ((left, right),) = panels(ax, 1, 2, PAGE, 2.9)
        for color, kind in zip(COLORS, kinds, strict=False):
            chosen = result.components[(labels == kind).to_numpy()]
            left.plot(
                chosen[1],
                chosen[2],
                "o",
                markersize=3,
                color=color,
                alpha=0.8,
                markeredgewidth=0,
                label=f"{kind} ({counted(len(chosen), 'face')})",
            )
        for k, name in enumerate(("x", "y")):
            share = percent(table["explained"].iloc[k], 0)
            left.set(**{f"{name}label": f"component {k + 1} ({share} % of variance)"})
        n = table["n_people"].iloc[0]
        left.set_title(f"{attribute}: {len(labels)} faces of {n} people", loc="left")
        x, significant = table["component"], (table["p_max"] <= alpha).to_numpy()
        right.bar(
            x,
            table["between_group_share"],
            edgecolor=GRAY,
            linewidth=0.7,
            color=np.where(significant, GRAY, "white"),
        )
        right.plot(x, table["expected_share"], "_", color=COLORS[1], markersize=9)
        right.set_xticks(x)
        right.set_ylim(0, 1.03)
        right.set_xlabel("component")
        right.set_ylabel("share of its variance between groups")
        handles = left.get_legend_handles_labels()[0]
        if significant.any():
            handles.append(Patch(color=GRAY, label=f"separates groups, p ≤ {alpha:g}, corrected"))
        if not significant.all():
            handles.append(Patch(facecolor="white", edgecolor=GRAY, label="no separation shown"))
        handles.append(entry("mean of permuted groups", "_", color=COLORS[1], markersize=9))
        legend_below([left, right], ax is None, handles=handles, title=_NOTE)
    return figure_of(left)


def plot_score_distributions(result: ScoreDistributions, *, ax: Axes | None = None) -> Figure:
    """Draw the distributions of scores within a person, within groups and between them.

    Parameters
    ----------
    result : ScoreDistributions
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        One row per kind of pair and group: a violin of all scores, its mean with the interval over
        people.

    See Also
    --------
    rsa_faces.analyses.score_distributions : Compare scores within groups.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 5  # made up: two groups
    >>> names = [f"face{i}" for i in range(40)]
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> scores = rf.analyses.similarity_scores({"fc": embedding}, conditions=names)
    >>> result = rf.analyses.score_distributions(scores, groups, n_permutations=99, n_boot=100)
    >>> figure = rf.figures.plot_score_distributions(result)
    >>> figure.axes[0].get_xlabel()
    'score (similarity of two images)'
    """
    table = result.table
    table = table[(table["group_a"] != "") | (table["kind"] == "between")]
    table = table[(table["kind"] != "between") | (table["group_a"] == "")]
    order = list(_KINDS)
    rows = sorted(table.itertuples(), key=lambda row: order.index(row.kind))
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 1.2 + 0.24 * len(rows))
        colors = dict(zip(order, COLORS, strict=False))
        names = []
        for i, row in enumerate(rows):
            pairs = result.pairs[result.pairs["kind"] == row.kind]
            if row.group_a != "":
                pairs = pairs[(pairs["group_a"] == row.group_a)]
            color = colors[row.kind]
            # Equal scores have no density.
            if len(pairs) > 1 and pairs["score"].std() > 0:
                violin = one.violinplot(
                    pairs["score"], [i], orientation="horizontal", showextrema=False, widths=0.9
                )
                for body in violin["bodies"]:
                    body.set(color=color, alpha=0.3, linewidth=0)
            one.plot([row.ci_low, row.ci_high], [i, i], color=color)
            one.plot(row.mean, i, "o", markersize=3, color=color)
            group = f", {row.group_a}" if row.group_a else ""
            names.append(f"{_KINDS[row.kind]}{group} ({counted(row.n_pairs, 'pair')})")
        one.set_yticks(range(len(names)), names)
        one.invert_yaxis()
        one.set_xlabel("score (similarity of two images)")
        first = result.summary.iloc[0]
        # Beside the names, which are wider than the panel.
        one.set_title(
            f"{first['n_people']:g} people; within − between groups: "
            f"{number(first['difference'])}, {p_sentence(first['p'])}",
            loc="right",
        )
        ends = "area: all pairs; dot and line: mean with its 95 % interval over people"
        legend_below(one, ax is None, handles=[], title=f"{ends}\n{_NOTE}")
    return figure_of(one)


def plot_false_matches(
    results: FalseMatches | Mapping[str, FalseMatches], *, ax: Any = None
) -> Figure:
    """Draw how often two different people are taken for one, by their groups.

    Parameters
    ----------
    results : FalseMatches, or mapping of network to FalseMatches
    ax : Axes, or sequence of Axes for a mapping, optional
        To draw in; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per network, one cell per pair of groups: the rate in per cent, its interval, and
        the number of pairs that match; colour by the rate, one scale for all.

    See Also
    --------
    rsa_faces.analyses.false_matches : Count how often different people are taken for one.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 5  # made up: two groups
    >>> names = [f"face{i}" for i in range(40)]
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> scores = rf.analyses.similarity_scores({"fc": embedding}, conditions=names)
    >>> result = rf.analyses.false_matches(scores, groups, fmr=0.05, n_boot=200, n_permutations=99)
    >>> figure = rf.figures.plot_false_matches(result)
    >>> figure.axes[1].get_ylabel()
    'false matches (% of pairs)'
    """
    named = dict(results) if isinstance(results, Mapping) else {"": results}
    n_groups = max(len(result.groups) for result in named.values())
    width = min(PAGE, 2.2 + 0.75 * n_groups)
    height = min(9.5, (0.55 + 0.42 * n_groups) * len(named) + 0.7)
    with style():
        axes = panels(ax, len(named), 1, width, height)[:, 0]
        rates = [100 * result.table["rate"].to_numpy(float) for result in named.values()]
        scale = amount_scale(np.concatenate(rates))
        for one, (name, result) in zip(axes, named.items(), strict=True):
            _matches(one, name, result, scale)
        color_bar(scale, "false matches (% of pairs)", ax=list(axes))
        first = next(iter(named.values()))
        level = interval_label(first.settings.get("alpha", 0.05))
        rule = f"rate, {level}, number of pairs that match"
        legend_below(axes, ax is None, handles=[], title=f"cells: {rule}\n{_NOTE}")
    return figure_of(axes)


def _matches(ax: Axes, name: str, result: FalseMatches, scale) -> None:
    """Draw one matrix of false matches."""
    rates, low, high, n = (
        result.matrix(c).to_numpy(float) for c in ("rate", "ci_low", "ci_high", "n_false")
    )
    texts = np.full(rates.shape, "no pairs", dtype=object)
    for at in np.argwhere(~np.isnan(rates)):
        rate, *ends = (percent(values[*at], 2) for values in (rates, low, high))
        texts[*at] = f"{rate} %\n{' to '.join(ends)}\nn = {int(n[*at])}"
    cells(ax, 100 * rates, texts, scale, 5.0)
    people = dict(zip(result.groups["group"], result.groups["n_people"], strict=True))
    groups = result.matrix("rate").index
    ax.set_xticks(range(len(groups)), [str(group) for group in groups])
    names = [f"{group}\n({counted(people[group], 'person')})" for group in groups]
    ax.set_yticks(range(len(groups)), names)
    threshold = result.overall["threshold"].iloc[0]
    set_at = "a threshold per group" if np.isnan(threshold) else f"threshold {threshold:.3f}"
    ax.set_title(f"{shown_name(name)}, {set_at}" if name else set_at, loc="left")
