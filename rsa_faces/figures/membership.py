"""Whether members of a training set can be told from others."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from rsa_faces.analyses import Membership
from rsa_faces.figures._style import COLORS, PAGE, as_axes, style

_BINS = 16


def plot_membership(result: Membership, *, ax=None) -> np.ndarray:
    """Draw each sign of membership for members and for others.

    Parameters
    ----------
    result : Membership
    ax : sequence of Axes, optional
        One per sign; by default a new figure, at most 183 mm wide.

    Returns
    -------
    ndarray of Axes, shape (n_signs,)
        Distributions over people; above: the AUC with its interval.
    """
    signs = list(result.table["sign"])
    member = result.people["member"].to_numpy()
    with style():
        if ax is None:
            size = (min(1.8 * len(signs), PAGE), 2.2)
            _, ax = plt.subplots(1, len(signs), figsize=size, layout="constrained", squeeze=False)
        axes = as_axes(ax, (len(signs),))
        for one, row in zip(axes, result.table.itertuples(), strict=True):
            values = result.people[row.sign].to_numpy()
            bins = np.linspace(values.min(), values.max(), _BINS)
            for chosen, color, label in (
                (~member, "#888888", f"others ({row.n_others})"),
                (member, COLORS[0], f"members ({row.n_members})"),
            ):
                one.hist(values[chosen], bins, density=True, histtype="stepfilled", color=color,
                         alpha=0.45, label=label)  # fmt: skip
            labels = " (needs labels)" if row.needs_labels else ""
            one.set_xlabel(f"{row.sign}{labels}")
            one.set_yticks([])
            one.set_title(f"AUC {row.auc:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]", loc="left")
        axes[0].set_ylabel("people, density")
        axes[0].set_ylim(top=1.25 * axes[0].get_ylim()[1])  # room for the legend
        axes[0].legend(frameon=False, fontsize=5.5, loc="upper left", ncols=2)
    return axes
