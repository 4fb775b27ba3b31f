"""Whether two labels share directions, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.errors import InputError
from rsa_faces.analyses import Congruence
from rsa_faces.figures._parts import (
    check_few,
    curve,
    depth_axis,
    figure_of,
    filled,
    legend_below,
    network_curves,
    panels,
    reference,
)
from rsa_faces.figures._style import COLUMN, style


def plot_congruence(
    results: Congruence | Sequence[Congruence], *, alpha: float = 0.05, ax: Axes | None = None
) -> Figure:
    """Draw the congruence of two labels from layer to layer.

    Parameters
    ----------
    results : Congruence or sequence of Congruence
        Of the same two labels, from one or more networks; at most 8.
    alpha : float, default 0.05
        Filled points lie outside the null at this level, two-sided, not corrected over layers.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        A curve per network over relative depth, of congruence less the mean of its null: how high
        that mean is depends on the width of a layer. Bands: the middle 95 % of the null. Layers
        in which congruence is undefined have no point.

    Raises
    ------
    InputError
        If labels differ, there are no results or more than 8.

    See Also
    --------
    rsa_faces.analyses.congruence : Compare the subspaces in which two labels vary.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(20) for e in ("neutral", "smiling")]
    >>> person, smiling = ({name: name.split()[k] for name in names} for k in (1, 2))
    >>> layers = {}
    >>> for k in range(3):  # made up: people in ten channels, smiles in one of theirs or in another
    ...     layers[f"layer {k}"] = 0.1 * rng.normal(size=(40, 30))
    ...     layers[f"layer {k}"][:, :10] += np.repeat(rng.normal(size=(20, 10)), 2, axis=0)
    ...     layers[f"layer {k}"][1::2, 10 * k] += 2
    >>> result = rf.analyses.congruence(layers, person, smiling, conditions=names,
    ...                                 n_permutations=99)
    >>> figure = rf.figures.plot_congruence(result)
    >>> figure.axes[0].get_title(loc="left")
    'first and second: 40 images, 10 and 1 dimensions'
    """
    results = [results] if isinstance(results, Congruence) else list(results)
    check_few(results, "results")
    if len({result.names for result in results}) > 1:
        shown = ", ".join(" and ".join(map(repr, result.names)) for result in results)
        raise InputError(f"expected results of the same two labels, got {shown}.")
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.5)
        for table, look in network_curves([result.table for result in results]):
            outside = 2 * table[["p_less", "p_greater"]].min(axis=1) <= alpha
            curve(
                one,
                table["depth"],
                table["excess"],
                found=outside,
                **look,
                low=table["null_low"] - table["null_mean"],
                high=table["null_high"] - table["null_mean"],
            )
        table = results[0].table
        n = [table[f"n_dimensions_{which}"].max() for which in ("first", "second")]
        one.set_title(
            f"{' and '.join(results[0].names)}: {table['n_conditions'].iloc[0]} images, "
            f"{n[0]} and {n[1]} dimensions",
            loc="left",
        )
        one.set_ylabel("congruence − mean of its null")
        reference(one)
        depth_axis(one)
        p = (result.table["p_less"] for result in results)
        marks = filled(f"outside it, p ≤ {alpha:g}, not corrected", *p)
        legend_below(one, ax is None, title=f"bands: middle 95 % of the null\n{marks}")
    return figure_of(one)
