"""What is left of geometry and identity against strengths of degradation; flags against them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import interval_label
from rsa_faces.analyses.quality.robustness import Robustness
from rsa_faces.figures._parts import (
    check_few,
    curve,
    figure_of,
    legend_below,
    network_curves,
    reference,
    wrapped_panels,
)
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, choose, choose_all, shown_name, style

_LABELS = {
    "stability": "stability of the RDM (Spearman ρ)",
    "auc": "verification (AUC)",
    "accuracy": "verification (balanced accuracy)",
}
_SIGNS = {
    "share": "share of images flagged",
    "stability": "stability (mean cosine)",
    "covered": "share inside the interval",
}


def plot_robustness(
    results: Robustness | Sequence[Robustness],
    *,
    value: str = "stability",
    layer: str | None = None,
    degradations: Sequence[str] | None = None,
    ax=None,
) -> Figure:
    """Draw stability or verification against strength, one panel per degradation.

    Parameters
    ----------
    results : Robustness or sequence of Robustness
        One curve each; at most 8.
    value : {"stability", "auc", "accuracy"}, default "stability"
    layer : str, optional
        By default the last of each result.
    degradations : sequence of str, optional
        By default all, in their order.
    ax : array of Axes, optional
        One per degradation; by default a new figure, 183 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per degradation: the value at each strength with its interval; dashed: chance of
        verification. Strength 0 is the clean images.

    Raises
    ------
    InputError
        If a layer, a degradation or the value is unknown, there are no results or more than 8, or
        the value is not measured in one.

    See Also
    --------
    rsa_faces.analyses.robustness

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    >>> result = rf.analyses.robustness(
    ...     rf.load_network("pixels"), rf.StimulusSet.from_arrays(images, list("abcdef")),
    ...     degradations=["gaussian-noise"], strengths=[1, 5], n_bootstrap=0)
    >>> figure = rf.figures.plot_robustness(result)
    >>> figure.axes[0].get_xlabel()
    'strength (0 to 5)'
    """
    results = [results] if isinstance(results, Robustness) else list(results)
    check_choice(value, _LABELS, what="value")
    check_few(results, "results")
    chosen = []
    for result in results:
        last = result.table["layer"].iloc[-1] if layer is None else layer
        one = choose(last, result.table["layer"], "layer")
        part = result.table[result.table["layer"] == one]
        if part[value].isna().all():
            raise InputError(f"expected {value!r} to be measured, but it is NaN in every row.")
        chosen.append(part)
    kinds = [k for k in pd.concat(chosen)["degradation"].unique() if k != "none"]
    kinds = choose_all(degradations, kinds, "degradation")
    with style():
        axes = wrapped_panels(ax, len(kinds), 4, *_size(len(kinds)), sharex=True, sharey=True)
        curves = network_curves(chosen)
        for one, kind in zip(axes, kinds, strict=True):
            for part, look in curves:
                rows = part[part["degradation"].isin(["none", kind])].sort_values("strength")
                # A result without this degradation would be drawn as the point of its clean images
                # alone.
                if (rows["degradation"] == kind).any():
                    _curve(one, rows, value, **look | {"label": _name(part)})
            if value != "stability":
                reference(one, 0.5)
            one.set_title(kind, loc="left")
            one.set_ylim((-0.05, 1.03) if value == "stability" else (0.35, 1.03))
        first = chosen[0].iloc[0]
        n = f"{first['n_conditions']} images"
        # Not NaN: people are known.
        if first["n_people"] == first["n_people"]:
            n = f"{first['n_people']:g} people, {n}"
        chance = "" if value == "stability" else "; dashed: chance"
        bands = f"bands: {interval_label(results[0].settings['alpha'])}"
        _finish(axes, _LABELS[value], ax is None, f"{n}; strength 0: clean images; {bands}{chance}")
    return figure_of(axes)


def plot_flags(
    table: pd.DataFrame, *, value: str = "share", alpha: float = 0.05, ax=None
) -> Figure:
    """Draw the share of flagged images, or another sign of confidence, against strength, by group.

    Parameters
    ----------
    table : DataFrame
        Of :func:`rsa_faces.analyses.check_confidence`; or rows of
        :func:`rsa_faces.analyses.flag_rates` with the columns ``degradation`` ("none"
        for clean images) and ``strength``.
    value : {"share", "stability", "covered"}, default "share"
        Flagged images; stability; images inside the interval said beforehand.
    alpha : float, default 0.05
        The rate of false flags asked for (for "covered" one minus the coverage), drawn dashed.
    ax : array of Axes, optional
        One per degradation; by default a new figure, 183 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per degradation, a curve per group; shaded: the table's intervals.

    Raises
    ------
    InputError
        If a column is missing, or there are no degradations or more than 8 groups.

    See Also
    --------
    rsa_faces.analyses.check_confidence

    Examples
    --------
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> clean = {"degradation": "none", "strength": 0, "group": "all", "low": 0.02, "high": 0.1}
    >>> table = pd.DataFrame([{**clean, "share": 0.05}, {**clean, "degradation": "contrast",
    ...                       "strength": 5, "share": 0.4, "low": 0.3, "high": 0.5}])  # made up
    >>> figure = rf.figures.plot_flags(table)
    >>> figure.axes[0].get_title(loc="left")
    'contrast'
    """
    check_choice(value, _SIGNS, what="value")
    ends = ["low", "high"] if value == "share" else [f"{value}_low", f"{value}_high"]
    needed = ["degradation", "strength", "group", value, *ends]
    missing = [c for c in needed if c not in table.columns]
    groups = [] if missing else list(dict.fromkeys(table["group"]))
    kinds = [] if missing else [k for k in dict.fromkeys(table["degradation"]) if k != "none"]
    if missing or not kinds or len(groups) > len(COLORS):
        raise InputError(
            f"expected the columns {needed}, a degradation and at most {len(COLORS)} groups, got "
            f"{list(table.columns)}, {kinds} and {len(groups)} groups."
        )
    with style():
        axes = wrapped_panels(ax, len(kinds), 4, *_size(len(kinds)), sharex=True, sharey=True)
        for one, kind in zip(axes, kinds, strict=True):
            part = table[table["degradation"].isin(["none", kind])]
            for color, group in zip(("#000000", *COLORS), groups, strict=False):
                rows = part[part["group"] == group].sort_values("strength")
                n = f" ({rows['n_images'].iloc[0]} images)" if "n_images" in rows else ""
                names = dict(zip(ends, (f"{value}_low", f"{value}_high"), strict=True))
                rows = rows.rename(columns=names)
                _curve(one, rows, value, color=color, label=f"{group}{n}")
            if value != "stability":
                reference(one, alpha if value == "share" else 1 - alpha)
            one.set_title(kind, loc="left")
            one.set_ylim(-0.03, 1.03)
        asked = {
            "share": f"; dashed: rate of false flags asked for, {alpha:g}",
            "covered": f"; dashed: coverage asked for, {1 - alpha:g}",
        }.get(value, "")
        marks = f"strength 0: clean images; bands: 95 % interval{asked}"
        _finish(axes, _SIGNS[value], ax is None, marks)
    return figure_of(axes)


def _size(n: int) -> tuple[float, float]:
    """Return width and height of one of n panels."""
    columns = min(n, 4)
    return (PAGE if n > 2 else COLUMN * n) / columns, 1.45 + 0.75 / -(-n // columns)


def _name(rows: pd.DataFrame) -> str:
    """Return network and layer of a curve."""
    return shown_name(str(rows["network"].iloc[0]), str(rows["layer"].iloc[0]))


def _curve(ax, rows: pd.DataFrame, value: str, **look: str) -> None:
    """Draw one curve with its interval."""
    curve(
        ax,
        rows["strength"],
        rows[value],
        low=rows[f"{value}_low"],
        high=rows[f"{value}_high"],
        markersize=2.2,
        **look,
    )


def _finish(axes: np.ndarray, label: str, own: bool, marks: str) -> None:
    """Label the outside, and draw one legend."""
    for one in axes[-min(len(axes), 4) :]:
        one.set_xlabel("strength (0 to 5)")
        one.tick_params(labelbottom=True)
        one.set_xticks(range(6))
    if own:
        figure_of(axes).supylabel(label, fontsize=7)
    else:
        axes[0].set_ylabel(label)
    legend_below(axes, own, title=marks)
