"""True accept rates of templates against false accept rates."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsa_faces._core.words import interval_label
from rsa_faces.analyses import TemplateVerification
from rsa_faces.figures._parts import (
    STAR,
    check_few,
    figure_of,
    legend_below,
    network_curves,
    panels,
)
from rsa_faces.figures._style import COLUMN, style

_STARS = {"linestyle": "none", "markersize": 4, "markeredgewidth": 0.5}


def plot_template_verification(
    results: TemplateVerification | Sequence[TemplateVerification], *, ax: Axes | None = None
) -> Figure:
    """Draw true accept rates against false accept rates, from the lowest that can be measured.

    Parameters
    ----------
    results : TemplateVerification or sequence of TemplateVerification
        One colour each; at most 8.
    ax : Axes, optional
        To draw in; by default a new figure, 89 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        A curve for each network, its false accept rates on a logarithmic axis that begins at 1
        over the pairs of two people; points with their intervals at the rates asked for. A star
        above a point: the rate differs from that of the network it was measured against.

    Raises
    ------
    InputError
        If there are no results or more than 8.

    See Also
    --------
    rsa_faces.analyses.template_verification : Verify people by templates of several images.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.normal(size=(40, 16)), 2, axis=0) + rng.normal(size=(80, 16))  # made up
    >>> names = [f"p{i} {k}" for i in range(40) for k in "ab"]
    >>> rows = pd.DataFrame({"file": names, "template": names,
    ...                      "subject": [name.split()[0] for name in names]})
    >>> found = rf.analyses.template_verification({"fc": x}, rows, conditions=names)
    >>> figure = rf.figures.plot_template_verification(found)
    >>> figure.axes[0].get_title(loc="left")
    '40 people, 80 templates'
    """
    results = [results] if isinstance(results, TemplateVerification) else list(results)
    check_few(results, "results")
    with style():
        ((one,),) = panels(ax, 1, 1, COLUMN, 2.7)
        looks = [look for _, look in network_curves([result.table for result in results])]
        for place, (result, look) in enumerate(zip(results, looks, strict=True)):
            one.step(result.curve["far"], result.curve["tar"], where="post", **look)
            rows = result.table.dropna(subset="tar")
            # Intervals of several networks stand side by side.
            far = rows["far"] * 1.06 ** (place - (len(results) - 1) / 2)
            one.vlines(far, rows["ci_low"], rows["ci_high"], color=look["color"], linewidth=1)
            one.plot(far, rows["tar"], "o", color=look["color"], markersize=3)
            if "p_difference" in rows:
                differs = rows["p_difference"] <= result.settings["alpha"]
                tops = rows["ci_high"][differs] + 0.03
                one.plot(far[differs], tops, marker=STAR, color=look["color"], **_STARS)
        one.set_xscale("log")
        one.xaxis.set_major_formatter("{x:g}")
        one.xaxis.set_minor_formatter("")
        one.set_ylim(-0.03, 1.03)
        one.set_xlabel("false accept rate (pairs of two people)")
        one.set_ylabel("true accept rate")
        first = results[0].table.iloc[0]
        one.set_title(f"{first['n_people']} people, {first['n_templates']} templates", loc="left")
        marks = f"{first['n_same']:,} pairs of one person, {first['n_different']:,} of two; "
        marks += f"lines: {interval_label(results[0].settings['alpha'])}"
        if others := dict.fromkeys(
            r.settings["against"] for r in results if "against" in r.settings
        ):
            marks += f"; stars: p ≤ {results[0].settings['alpha']:g} against {', '.join(others)}"
        legend_below(one, ax is None, title=marks)
    return figure_of(one)
