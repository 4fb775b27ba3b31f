"""How far one network's space is a linear map of another's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses import EmbeddingMap
from rsa_faces.analyses.networks.embedding_map import SWEPT
from rsa_faces.figures._parts import (
    PALE,
    amount_scale,
    band,
    cells,
    check_few,
    color_bar,
    count_axis,
    figure_of,
    legend_below,
    name_places,
    network_colors,
    panels,
    reference,
    wrapped_panels,
)
from rsa_faces.figures._style import COLORS, COLUMN, style

_STYLES = {"ridge": "-", "procrustes": "--"}
_SCORES = {"auc": "verification, AUC", "accuracy": "verification accuracy"}


def plot_embedding_map(
    results: EmbeddingMap | Mapping[str, EmbeddingMap],
    *,
    score: str = "auc",
    ax: Axes | None = None,
) -> Figure:
    """Draw recognition across networks against the number of training pairs.

    Parameters
    ----------
    results : EmbeddingMap, or mapping of name to EmbeddingMap
        At most 8.
    score : str, default "auc"
        "auc", "accuracy" or a rate such as "tar@0.01".
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        Means over draws with the middle 95 % of draws (AUC and accuracy); dotted: the networks'
        own spaces.

    Raises
    ------
    InputError
        If there are no results or more than 8, or no such score.

    See Also
    --------
    rsa_faces.analyses.embedding_map : Map one network's embeddings into another's space.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.normal(size=(40, 16)), 2, axis=0) + 0.3 * rng.normal(size=(80, 16))
    >>> y = x @ rng.normal(size=(16, 12))  # made up: a linear map
    >>> names = [f"p{i} {k}" for i in range(40) for k in "ab"]
    >>> person = {name: name.split()[0] for name in names}
    >>> result = rf.analyses.embedding_map({"fc": x}, {"fc": y}, person, conditions=names,
    ...                                    kinds=["ridge"], n_pairs=[10, 50], n_draws=3)
    >>> figure = rf.figures.plot_embedding_map(result)
    >>> figure.axes[0].get_ylabel()
    'verification, AUC'
    """
    named = dict(results) if isinstance(results, Mapping) else {"": results}
    check_few(named, "results")
    banded = False
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.7)
        # Of "SOURCE to TARGET" the source is what differs.
        sources = [name.partition(" to ")[0] for name in named]
        several = len(set(sources)) == len(sources)
        colors = [*network_colors(sources).values()] if several else COLORS
        for color, (name, result) in zip(colors, named.items(), strict=False):
            known = [c for c in result.table if c in _SCORES or c.startswith("tar@")]
            check_choice(score, known, what="score")
            own = result.table.set_index("map")[score]["target"]
            one.axhline(own, color=color if len(named) > 1 else PALE, linewidth=0.7, linestyle=":")
            for kind, line in _STYLES.items():
                rows = result.table[result.table["map"] == kind]
                if not len(rows):
                    continue
                label = f"{name}, {kind}" if name else kind
                one.plot(
                    rows["n_pairs"], rows[score], f"o{line}", color=color, markersize=3, label=label
                )
                if f"{score}_low" in rows:
                    banded = True
                    band(
                        one,
                        rows["n_pairs"],
                        rows[f"{score}_low"],
                        rows[f"{score}_high"],
                        color=color,
                        alpha=0.12,
                    )
        one.plot([], [], color=PALE, linewidth=0.7, linestyle=":", label="target's own space")
        if score == "auc":
            reference(one, 0.5, text="chance")
        else:
            one.set_ylim(bottom=0)
        counts = [n for result in named.values() for n in result.table["n_pairs"]]
        pairing = next(iter(named.values())).settings["pairing"]
        count_axis(one, counts, f"training pairs ({pairing} of a person)")
        rate = score.removeprefix("tar@")
        one.set_ylabel(_SCORES.get(score, f"true accepts at {rate} false accepts"))
        people = next(iter(named.values())).table["n_people"].iloc[0]
        one.set_title(f"{people} people, tested on those left out", loc="left")
        legend_below(one, ax is None, title="bands: middle 95 % of draws" if banded else "")
    return figure_of(one)


def plot_map_surface(
    results: EmbeddingMap | Mapping[str, EmbeddingMap], *, ax: Axes | None = None
) -> Figure:
    """Draw recognition lost against ridge strength and number of training pairs.

    Parameters
    ----------
    results : EmbeddingMap, or mapping of name to EmbeddingMap
        Made with ``sweep=True``; at most 8.
    ax : sequence of Axes, optional
        One per result; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each result: AUC of the target's own space less that of the map, mean over
        draws, as colour and number; below 0 is drawn as 0. The top row is what leaving out
        training people chooses.

    Raises
    ------
    InputError
        If there are no results or more than 8, or one has no sweep.

    See Also
    --------
    rsa_faces.analyses.embedding_map : Map one network's embeddings into another's space.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.normal(size=(40, 16)), 2, axis=0) + 0.3 * rng.normal(size=(80, 16))
    >>> names = [f"p{i} {k}" for i in range(40) for k in "ab"]
    >>> found = rf.analyses.embedding_map(
    ...     {"fc": x}, {"fc": x @ rng.normal(size=(16, 12))},  # made up: a linear map
    ...     {name: name.split()[0] for name in names}, conditions=names,
    ...     kinds=["ridge"], n_pairs=[10, 30], n_draws=2, sweep=True)
    >>> figure = rf.figures.plot_map_surface(found)
    >>> len(figure.axes)
    2
    """
    named = dict(results) if isinstance(results, Mapping) else {"": results}
    check_few(named, "results")
    tables = {}
    for name, result in named.items():
        table = result.table[result.table["map"].isin([SWEPT, "ridge"])]
        if SWEPT not in set(table["map"]):
            raise InputError(f"expected a sweep over strengths, but {name!r} has none: sweep=True.")
        # The strength that is chosen stands above all.
        tables[name] = table.assign(strength=table["strength"].fillna(np.inf)).pivot(
            index="strength", columns="n_pairs", values="lost"
        )
    scale = amount_scale(np.concatenate([t.to_numpy().ravel() for t in tables.values()]))
    with style():
        axes = wrapped_panels(ax, len(tables), 2, COLUMN, 2.4)
        for one, (name, table) in zip(axes, tables.items(), strict=True):
            values = table.to_numpy()[::-1]
            # z: no sign before what rounds to 0.
            texts = [[f"{value:z.3f}".replace("-", "−") for value in row] for row in values]
            cells(one, values, texts, scale)
            rows = ["chosen" if np.isinf(k) else f"{k:g}" for k in table.index[::-1]]
            name_places(one, "y", rows, size=5.5)
            one.set_xticks(range(len(table.columns)), [str(n) for n in table.columns])
            one.set_xlabel("training pairs")
            one.set_ylabel("ridge strength (of mean squared length)")
            people = named[name].table["n_people"].iloc[0]
            one.set_title(f"{name + ': ' if name else ''}{people} people", loc="left")
        color_bar(scale, "AUC lost, people left out", ax=list(axes))
    return figure_of(axes)
