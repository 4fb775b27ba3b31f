"""How far one network's space is a linear map of another's."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.analyses import EmbeddingMap
from rsa_faces.figures._style import COLORS, COLUMN, style

_STYLES = {"ridge": "-", "procrustes": "--"}


def plot_embedding_map(
    results: EmbeddingMap | Mapping[str, EmbeddingMap],
    *,
    score: str = "auc",
    ax: Axes | None = None,
) -> Axes:
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
    Axes
        Means over draws with the middle 95 % of draws (AUC and accuracy); grey: the networks' own
        spaces.

    Raises
    ------
    InputError
        If there are no results or more than 8, or no such score.
    """
    named = dict(results) if isinstance(results, Mapping) else {"": results}
    if not 1 <= len(named) <= len(COLORS):
        raise InputError(f"expected 1 to {len(COLORS)} results, got {len(named)}.")
    with style():
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN, 2.5), layout="constrained")
        for color, (name, result) in zip(COLORS, named.items(), strict=False):
            known = [c for c in result.table if c in ("auc", "accuracy") or c.startswith("tar@")]
            check_choice(score, known, what="score")
            own = result.table.set_index("map")[score]
            ax.axhline(own["target"], color="#888888", linewidth=0.7, linestyle=":")
            for kind, line in _STYLES.items():
                rows = result.table[result.table["map"] == kind]
                if not len(rows):
                    continue
                label = f"{name}, {kind}" if name else kind
                ax.plot(rows["n_pairs"], rows[score], f"o{line}", color=color, markersize=3,
                        label=label)  # fmt: skip
                if f"{score}_low" in rows:
                    ax.fill_between(rows["n_pairs"], rows[f"{score}_low"], rows[f"{score}_high"],
                                    color=color, alpha=0.12, linewidth=0)  # fmt: skip
        ax.plot([], [], color="#888888", linewidth=0.7, linestyle=":", label="target's own space")
        if score != "auc":
            ax.set_ylim(bottom=0)
        else:
            ax.axhline(0.5, color="#444444", linewidth=0.5)
        ax.set_xscale("log")
        ticks = sorted({n for r in named.values() for n in r.table["n_pairs"] if n})
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.minorticks_off()
        ax.set_xlabel("training pairs")
        ax.set_ylabel({"auc": "verification, AUC", "accuracy": "verification accuracy"}.get(
            score, f"true accepts at {score.removeprefix('tar@')} false"))  # fmt: skip
        people = next(iter(named.values())).table["n_people"].iloc[0]
        ax.set_title(f"{people} people, tested on those left out", loc="left")
        ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return ax
