"""What is left of geometry and identity against strengths of degradation; flags against them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses.quality.robustness import Robustness
from rsa_faces.figures._style import (
    COLORS,
    PAGE,
    as_axes,
    choose,
    choose_all,
    interval_label,
    shown_name,
    style,
)

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
_ROW = 1.45  # inches


def plot_robustness(
    results: Robustness | Sequence[Robustness],
    *,
    value: str = "stability",
    layer: str | None = None,
    degradations: Sequence[str] | None = None,
    ax=None,
) -> np.ndarray:
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
    ndarray of Axes
        One panel per degradation: the value at each strength with its interval; dashed: chance of
        verification. Strength 0 is the clean images.

    Raises
    ------
    InputError
        If a layer, a degradation or the value is unknown, there are no results or more than 8, or
        the value is not measured in one.
    """
    results = [results] if isinstance(results, Robustness) else list(results)
    check_choice(value, _LABELS, what="value")
    if not 1 <= len(results) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} results, got {len(results)}.")
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
        panels = _panels(ax, len(kinds))
        for panel, kind in zip(panels, kinds, strict=True):
            for color, part in zip(COLORS, chosen, strict=False):
                rows = part[part["degradation"].isin(["none", kind])].sort_values("strength")
                if (rows["degradation"] == kind).any():
                    name = shown_name(str(rows["network"].iloc[0]), str(rows["layer"].iloc[0]))
                    _curve(panel, rows, value, color, name)
            if value != "stability":
                panel.axhline(0.5, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
            panel.set_title(kind, loc="left")
            panel.set_xticks(range(6))
            panel.set_ylim((-0.05, 1.03) if value == "stability" else (0.35, 1.03))
        first = chosen[0].iloc[0]
        n = f"{first['n_conditions']} images"
        if first["n_people"] == first["n_people"]:
            n = f"{first['n_people']:g} people, {n}"
        _finish(panels, _LABELS[value], ax is None)
        spread = interval_label(results[0].settings["alpha"])
        if ax is None:
            panels[0].figure.suptitle(f"{n}; shaded: {spread}", fontsize=7, x=0.01, ha="left")
    return panels


def plot_flags(
    table: pd.DataFrame, *, value: str = "share", alpha: float = 0.05, ax=None
) -> np.ndarray:
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
    ndarray of Axes
        One panel per degradation, a curve per group; shaded: the table's intervals.

    Raises
    ------
    InputError
        If a column is missing, or there are no degradations or more than 8 groups.
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
        panels = _panels(ax, len(kinds))
        for panel, kind in zip(panels, kinds, strict=True):
            part = table[table["degradation"].isin(["none", kind])]
            for color, group in zip(("#000000", *COLORS), groups, strict=False):
                rows = part[part["group"] == group].sort_values("strength")
                n = f" ({rows['n_images'].iloc[0]} images)" if "n_images" in rows else ""
                names = dict(zip(ends, (f"{value}_low", f"{value}_high"), strict=True))
                _curve(panel, rows.rename(columns=names), value, color, f"{group}{n}")
            if value != "stability":
                asked = alpha if value == "share" else 1 - alpha
                panel.axhline(asked, color="#444444", linewidth=0.6, linestyle="--", zorder=1)
            panel.set_title(kind, loc="left")
            panel.set_xticks(range(6))
            panel.set_ylim(-0.03, 1.03)
        _finish(panels, _SIGNS[value], ax is None)
        if ax is None:
            title = {
                "share": f"dashed: rate of false flags asked for, {alpha:g}; ",
                "covered": f"dashed: coverage asked for, {1 - alpha:g}; ",
            }.get(value, "") + "strength 0: clean images"  # fmt: skip
            panels[0].figure.suptitle(title, fontsize=7, x=0.01, ha="left")
    return panels


def _panels(ax, n: int) -> np.ndarray:
    """Return one panel per degradation, at most four in a row."""
    if ax is not None:
        return as_axes(ax, (n,))
    columns = min(n, 4)
    rows = -(-n // columns)
    _, made = plt.subplots(
        rows, columns, figsize=(PAGE * columns / 4 if n > 2 else PAGE / 2, _ROW * rows + 0.75),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for spare in made.ravel()[n:]:
        spare.remove()
    return made.ravel()[:n]


def _curve(ax, rows: pd.DataFrame, value: str, color: str, name: str) -> None:
    """Draw one curve with its interval."""
    x, y = rows["strength"].to_numpy(float), rows[value].to_numpy(float)
    low, high = (rows[f"{value}_{end}"].to_numpy(float) for end in ("low", "high"))
    ax.fill_between(x, low, high, color=color, alpha=0.13, linewidth=0)
    ax.plot(x, y, "o-", color=color, label=name, markersize=2.2, zorder=3)


def _finish(panels: np.ndarray, label: str, own: bool) -> None:
    """Label the outside, and draw one legend."""
    figure = panels[0].figure
    if not own:
        for panel in panels:
            panel.set_xlabel("strength")
        panels[0].set_ylabel(label)
        panels[0].legend(frameon=False)
        return
    for panel in panels[-min(len(panels), 4) :]:
        panel.set_xlabel("strength")
        panel.tick_params(labelbottom=True)
    figure.supylabel(label, fontsize=7)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False)
