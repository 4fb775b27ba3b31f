"""Whether members of a training set can be told from others."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rsa_faces._core.words import between, counted, number
from rsa_faces.analyses import Membership
from rsa_faces.figures._parts import PALE, density, figure_of, legend_below, panels
from rsa_faces.figures._style import COLORS, COLUMN, PAGE, style

_BINS = 16


def plot_membership(result: Membership, *, ax=None) -> Figure:
    """Draw each sign of membership for members and for others.

    Parameters
    ----------
    result : Membership
    ax : sequence of Axes, optional
        One per sign; by default a new figure, at most 183 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per sign. Distributions over people; above: the AUC with its interval.

    See Also
    --------
    rsa_faces.analyses.membership

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> images = [f"p{i} {k}" for i in range(40) for k in range(3)]
    >>> spread = np.repeat([0.5, 1.5], 60)[:, None]  # made up: images of members are more alike
    >>> x = np.repeat(rng.normal(size=(40, 16)), 3, axis=0) + spread * rng.normal(size=(120, 16))
    >>> scores = rf.analyses.similarity_scores({"fc": x}, conditions=images)
    >>> person = {name: name.split()[0] for name in images}
    >>> member = {name: i < 60 for i, name in enumerate(images)}
    >>> result = rf.analyses.membership(scores, member, people=person, n_permutations=99)
    >>> figure = rf.figures.plot_membership(result)
    >>> [axes.get_xlabel() for axes in figure.axes[:3]]
    ['nearest', 'spread', 'own (needs labels)']
    """
    signs = list(result.table["sign"])
    member = result.people["member"].to_numpy()
    with style():
        axes = panels(ax, 1, len(signs), min(max(1.8 * len(signs), COLUMN), PAGE), 2.4)[0]
        for one, row in zip(axes, result.table.itertuples(), strict=True):
            values = result.people[row.sign].to_numpy()
            bins = np.linspace(values.min(), values.max(), _BINS)
            for chosen, color, label in (
                (~member, PALE, f"others ({counted(row.n_others, 'person')})"),
                (member, COLORS[0], f"members ({counted(row.n_members, 'person')})"),
            ):
                density(one, values[chosen], bins, color, label, alpha=0.45)
            labels = " (needs labels)" if row.needs_labels else ""
            one.set_xlabel(f"{row.sign}{labels}")
            one.set_yticks([])
            auc = f"AUC {number(row.auc, 2)}, {between(row.ci_low, row.ci_high, 2)}"
            one.set_title(auc, loc="left", fontsize=6)
        axes[0].set_ylabel("density of people")
        legend_below(axes, ax is None, title="above: AUC (0.5 is chance) with its 95 % interval")
    return figure_of(axes)
