"""Effects with their intervals: the figure of all analyses whose result is a table of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.figures._parts import (
    check_few,
    curve,
    entry,
    figure_of,
    filled,
    legend_below,
    line_of,
    name_places,
    network_colors,
    points,
    reference,
    wrapped_panels,
)
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, shown_name, style

_SIGNS = ("-", "--", ":", "-.")


def plot_effects(
    results: Effects | Sequence[Effects], *, alpha: float = 0.05, ax: object = None
) -> Figure:
    """Draw effects with their intervals: curves over layers, or a row of dots each.

    Parameters
    ----------
    results : Effects or sequence of Effects
        Of one kind, such as :class:`rsa_faces.analyses.Individuation`, from one or more networks.
    alpha : float, default 0.05
        Filled points differ from nothing at this level (the corrected p, where there is one).
    ax : array of Axes, optional
        One per panel; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each region, task or the like; a colour for each network, or for each kind of
        effect (networks are then told by their lines); dashed: no effect; dotted: ceilings; where
        chance differs from row to row, a mark in each.

    Raises
    ------
    InputError
        If there are no results, results of two kinds, or more than 8 colours.

    See Also
    --------
    rsa_faces.analyses.individuation : Ask what is left of geometries within categories.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> x = np.repeat(np.random.default_rng(0).normal(size=(30, 6)), 2, axis=0)
    >>> x[:30, 0] += 4  # made up: two groups of people
    >>> names = [f"{i // 2} {i % 2}" for i in range(60)]
    >>> person = {name: name.split()[0] for name in names}
    >>> group = {name: "one" if i < 30 else "other" for i, name in enumerate(names)}
    >>> found = rf.analyses.erase_groups({"fc": x}, group, person, conditions=names,
    ...                                  n_permutations=19)
    >>> figure = rf.figures.plot_effects(found)
    >>> len(figure.axes)
    2
    """
    results = [results] if isinstance(results, Effects) else list(results)
    check_few(results, "results")
    if len({type(result) for result in results}) > 1:
        raise InputError("expected results of one kind, got several.")
    shown: Shown = results[0].shown
    table = pd.concat([result.table for result in results], ignore_index=True)
    table = table.assign(
        **{k: "" for k in ("network", shown.series, shown.panel) if k not in table}
    )
    for column in {shown.panel, "network", shown.series}:
        table[column] = table[column].astype(str)
    names = list(dict.fromkeys(table[shown.panel]))
    looks = _looks(table, shown.series)
    curves = shown.name == "depth"
    with style():
        n_columns = min(3, len(names))
        places, middles = ({}, {}) if curves else _places(table, shown, looks)
        height = 2.0 if curves else min(8.0, 0.9 + 0.13 * (max(places.values()) + 1))
        width = (PAGE if n_columns > 1 else COLUMN) / n_columns
        options = {"sharex": True, "sharey": True}
        axes = wrapped_panels(ax, len(names), n_columns, width, height, **options)
        for one, name in zip(axes, names, strict=True):
            part = table[table[shown.panel] == name]
            if curves:
                _curves(one, part, shown, looks, alpha)
            else:
                _dots(one, part, shown, looks, alpha, places)
                one.set_ylim(max(places.values()) + 0.7, -0.7)
                name_places(one, "y", list(middles), places=list(middles.values()))
            if not shown.chance:
                reference(one, shown.reference, axis="y" if curves else "x")
            one.set_title(name, loc="left")
        for one in axes:
            if curves:
                one.set_xlim(-0.02, 1.02)
                one.set_xlabel("relative depth (1: the last)")
            else:
                one.set_xlabel(shown.label)
                # Tiny numbers written out would stand on each other.
                one.locator_params(axis="x", nbins=int(width / 0.6))
        if curves:
            axes[0].set_ylabel(shown.label)
        handles = _entries(looks)
        if shown.ceilings and table[list(shown.ceilings)].notna().any(axis=None):
            handles.append(entry("ceiling", linestyle=":"))
        handles += [entry("chance", "|")] * bool(shown.chance)
        counts = {"n_subjects": "subject", "n_people": "person", "n_conditions": "image"}
        counts["n_clips"] = "clip"
        numbers = [counted(int(table[c].max()), what) for c, what in counts.items() if c in table]
        marks = ", ".join(numbers)
        if shown.low in table:
            marks += f"; {'bands' if curves else 'lines'}: 95 % interval"
        if shown.p in table:
            marks += "; " + filled(f"p ≤ {alpha:g}", table[shown.p])
        legend_below(axes, ax is None, handles=handles, title=marks.strip("; "))
    return figure_of(axes)


def _looks(table: pd.DataFrame, series: str) -> dict[tuple[str, ...], dict[str, str]]:
    """Return colour and line of each network and kind of effect; empty names are left out.

    Networks have their colours, and kinds a line each; of one network, or where these are too few
    to tell all apart, kinds have a colour each.
    """
    networks = list(dict.fromkeys(table["network"]))
    kinds = list(dict.fromkeys(table[series]))
    check_few(kinds if len(kinds) > 1 else networks, "kinds of effects")
    looks, colors = {}, network_colors([n for n in networks if n])
    alike = len(set(colors.values())) < len(networks) or len(kinds) > len(_SIGNS)
    for network, kind in dict.fromkeys(zip(table["network"], table[series], strict=True)):
        if len(kinds) < 2:
            color, line = colors.get(network, "#000000"), line_of(network)
        elif alike or len(networks) < 2:
            color = ("#000000", *COLORS)[kinds.index(kind)]
            line = _SIGNS[networks.index(network) % len(_SIGNS)]
        else:
            color, line = colors[network], _SIGNS[kinds.index(kind)]
        label = [shown_name(network)] * bool(network and (len(networks) > 1 or len(kinds) < 2))
        label += [kind] * (len(kinds) > 1)
        looks[(network, kind)] = {"color": color, "linestyle": line, "label": ", ".join(label)}
    return looks


def _entries(looks: dict[tuple[str, ...], dict[str, str]]) -> list:
    """Return entries of a legend: of networks and of kinds, where colours and lines are theirs."""
    colors = {network: look["color"] for (network, _), look in looks.items()}
    lines = {kind: look["linestyle"] for (_, kind), look in looks.items()}
    theirs = all(
        look["color"] == colors[network] and look["linestyle"] == lines[kind]
        for (network, kind), look in looks.items()
    )
    if not theirs or min(len(colors), len(lines)) < 2:
        return [entry(**look) for look in looks.values() if look["label"]]
    handles = [entry(shown_name(name), linestyle="-", color=one) for name, one in colors.items()]
    return handles + [entry(kind, linestyle=line) for kind, line in lines.items()]


def _found(rows: pd.DataFrame, shown: Shown, alpha: float) -> np.ndarray:
    """Return which effects differ from nothing."""
    if shown.p not in rows:
        return np.ones(len(rows), bool)
    return rows[shown.p].to_numpy(float) <= alpha


def _curves(ax, part: pd.DataFrame, shown: Shown, looks, alpha: float) -> None:
    """Draw a curve over layers for each network and kind of effect."""
    for (network, kind), look in looks.items():
        rows = part[(part["network"] == network) & (part[shown.series] == kind)]
        if not len(rows):
            continue
        ends = {"low": rows[shown.low], "high": rows[shown.high]} if shown.low in rows else {}
        curve(
            ax, rows["depth"], rows[shown.value], found=_found(rows, shown, alpha), **ends, **look
        )
        for ceiling in shown.ceilings:
            ax.plot(rows["depth"], rows[ceiling], ":", color=look["color"], linewidth=0.7)


def _places(table: pd.DataFrame, shown: Shown, looks):
    """Return where each row of dots stands, the same in all panels, and the middle of each name."""
    columns = table[shown.name].astype(str), table["network"], table[shown.series]
    rows = set(zip(*columns, strict=True))
    places: dict[tuple[str, ...], float] = {}
    middles: dict[str, float] = {}
    y = 0.0
    for name in dict.fromkeys(columns[0]):
        own = [(name, *look) for look in looks if (name, *look) in rows]
        places |= {row: y + i for i, row in enumerate(own)}
        middles[name] = y + (len(own) - 1) / 2
        y += len(own) + (len(looks) > 1)
    return places, middles


def _dots(ax, part: pd.DataFrame, shown: Shown, looks, alpha: float, places) -> None:
    """Draw a row for each name, with a dot and its interval for each network and kind."""
    for (network, kind), look in looks.items():
        rows = part[(part["network"] == network) & (part[shown.series] == kind)]
        if not len(rows):
            continue
        y = np.array([places[str(name), network, kind] for name in rows[shown.name]], float)
        if shown.low in rows:
            ends = rows[shown.low], rows[shown.high]
            ax.hlines(y, *ends, color=look["color"], linewidth=1, linestyle=look["linestyle"])
        points(ax, rows[shown.value], y, look["color"], _found(rows, shown, alpha))
        for mark in (*shown.ceilings, *([shown.chance] * bool(shown.chance))):
            ax.plot(rows[mark], y, linestyle="none", marker="|", color="#666666")
