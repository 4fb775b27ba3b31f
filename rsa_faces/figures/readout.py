"""What a linear layer reads out of each layer, network by network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.errors import InputError
from rsa_faces._core.words import number
from rsa_faces.analyses import Readout
from rsa_faces.figures._parts import (
    amount_scale,
    cells,
    check_few,
    color_bar,
    curve,
    depth_axis,
    figure_of,
    filled,
    legend_below,
    network_curves,
    panels,
    reference,
)
from rsa_faces.figures._style import COLUMN, PAGE, shown_name, style

_SCORES = {"accuracy": "accuracy, held out", "r": "correlation with prediction, held out"}


def plot_readout(
    results: Readout | Sequence[Readout], *, alpha: float = 0.05, ax: Axes | None = None
) -> Figure:
    """Draw read-out accuracy from layer to layer.

    Parameters
    ----------
    results : Readout or sequence of Readout
        Of one task, from one or more networks; at most 8.
    alpha : float, default 0.05
        Filled points differ from chance at this level, corrected over the network's layers.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        A curve per network over relative depth, with 95 % intervals; dashed: chance.

    Raises
    ------
    InputError
        If tasks differ, there are no results or more than 8, or classes and numbers are mixed.

    See Also
    --------
    rsa_faces.analyses.readout : Read labels from frozen features.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(20) for e in ("neutral", "smiling")]
    >>> person, smiling = ({name: name.split()[k] for name in names} for k in (1, 2))
    >>> layers = {}
    >>> for k, name in enumerate(["early", "middle", "late"]):
    ...     layers[name] = rng.normal(size=(40, 30))
    ...     layers[name][1::2, :3] += k  # made up: later layers answer more to smiles
    >>> result = rf.analyses.readout(layers, smiling, conditions=names, across=person,
    ...                              n_permutations=99)
    >>> figure = rf.figures.plot_readout(result)
    >>> figure.axes[0].get_title(loc="left")
    'labels: 20 people, 40 images'
    """
    results = [results] if isinstance(results, Readout) else list(results)
    check_few(results, "results")
    tasks = list(dict.fromkeys(result.task for result in results))
    scores = {"accuracy" if result.classes else "r" for result in results}
    if len(tasks) > 1 or len(scores) > 1:
        raise InputError(f"expected results of one task, got {', '.join(map(repr, tasks))}.")
    score = scores.pop()
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.6)
        for table, look in network_curves([result.table for result in results]):
            curve(
                one,
                table["depth"],
                table[score],
                low=table["ci_low"],
                high=table["ci_high"],
                found=table["p_corrected"] <= alpha,
                **look,
            )
        chance = float(np.mean([result.table["chance"].mean() for result in results]))
        reference(one, chance, text=f"chance {number(chance, 2)}")
        first = results[0].table.iloc[0]
        n = f"{first['n_people']} people, " if first["n_people"] < first["n_conditions"] else ""
        one.set_title(f"{tasks[0]}: {n}{first['n_conditions']} images", loc="left")
        one.set_ylabel(_SCORES[score])
        depth_axis(one)
        if score == "accuracy":
            one.set_ylim(0, 1.03)
        p = (result.table["p_corrected"] for result in results)
        marks = filled(f"above chance, p ≤ {alpha:g}, corrected over layers", *p)
        legend_below(one, ax is None, title=f"bands: 95 % interval\n{marks}")
    return figure_of(one)


def plot_transfer(
    table: pd.DataFrame, *, score: str = "accuracy", ax: Axes | None = None
) -> Figure:
    """Draw which task can be read out of which network.

    Parameters
    ----------
    table : DataFrame
        From :func:`rsa_faces.analyses.transfer_matrix`.
    score : str, default "accuracy"
        Column to show; of tasks that are numbers, the correlation ``r``.
    ax : Axes, optional
        To draw in; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        One cell per network (row) and task (column): the score, chance in brackets; colours from
        chance or less (light) to 1.

    Raises
    ------
    InputError
        If the column is missing or a network and task occur twice.

    See Also
    --------
    rsa_faces.analyses.transfer_matrix : Read several tasks out of several networks.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(12) for e in ("neutral", "smiling")]
    >>> person, smiling = ({name: name.split()[k] for name in names} for k in (1, 2))
    >>> who = np.repeat(rng.normal(size=(12, 20)), 2, axis=0) + 0.6 * rng.normal(size=(24, 20))
    >>> smile = np.tile([[0.0], [2.0]], (12, 20)) + rng.normal(size=(24, 20))  # made up, as who is
    >>> tasks = {"identity": {"labels": person, "across": smiling},
    ...          "expression": {"labels": smiling, "across": person}}
    >>> table = rf.analyses.transfer_matrix({"one": {"last": who}, "other": {"last": smile}}, tasks,
    ...                                     conditions=names, n_permutations=19, progress=False)
    >>> figure = rf.figures.plot_transfer(table)
    >>> figure.axes[0].get_xlabel()
    'task that is read out (held out)'
    """
    if score not in table.columns or table.duplicated(["trained", "task"]).any():
        raise InputError(
            f"expected one row per network and task with the column {score!r}, as transfer_matrix "
            "gives."
        )
    rows, columns = (list(dict.fromkeys(table[key])) for key in ("trained", "task"))
    value = table[score]
    numbers = value.isna() & table["r"].notna() if "r" in table else value != value
    table = table.assign(shown=value.where(~numbers, table.get("r")), numbers=numbers)
    value, chance = (
        table.pivot(index="trained", columns="task", values=key).loc[rows, columns].to_numpy(float)
        for key in ("shown", "chance")
    )
    texts = [
        [f"{number(v, 2)}\n({number(c, 2)})" for v, c in zip(*pair, strict=True)]
        for pair in zip(value, chance, strict=True)
    ]
    with style():
        width = min(PAGE, max(COLUMN, 2.3 + 0.7 * len(columns)))
        ((one,),) = panels(ax, 1, 1, width, min(9.5, 1.2 + 0.34 * len(rows)))
        scale = amount_scale(None, 1.0)
        cells(one, np.clip((value - chance) / (1 - chance), 0, None), texts, scale)
        of_numbers = set(table.loc[numbers, "task"])
        one.set_xticks(
            range(len(columns)), [f"{c}\n({'r' if c in of_numbers else score})" for c in columns]
        )
        one.set_yticks(range(len(rows)), [shown_name(str(r)) for r in rows])
        one.set_xlabel("task that is read out (held out)")
        color_bar(scale, "from chance (0)\nto perfect (1)", ax=one)
        first = table.iloc[0]
        n = f"{first['n_people']} people, {first['n_conditions']} images"
        legend_below(one, ax is None, handles=[], title=f"{n}; in brackets: chance")
    return figure_of(one)
