"""Stimuli that tell models apart: what they are expected to tell, and how soon."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.words import number
from rsa_faces.analyses import StimulusDesign, Synthesis
from rsa_faces.figures._parts import (
    GRAY,
    PALE,
    color_bar,
    count_axis,
    figure_of,
    image,
    legend_below,
    name_places,
    panels,
    reference,
    signed_scale,
)
from rsa_faces.figures._style import COLORS, PAGE, style


def plot_stimulus_design(
    design: StimulusDesign, selection: pd.DataFrame | None = None, *, ax=None
) -> Figure:
    """Draw what chosen stimuli are expected to tell, beside random ones.

    Parameters
    ----------
    design : StimulusDesign
    selection : DataFrame, optional
        From :func:`rsa_faces.analyses.simulate_selection`.
    ax : sequence of Axes, optional
        Two, or three with `selection`; by default a new figure, 183 mm wide.

    Returns
    -------
    matplotlib.figure.Figure
        Expected information (its lower bound) of the chosen stimuli and of random subsets; the
        correlations of the models on the chosen stimuli; how often the right model is found in
        simulation.

    See Also
    --------
    rsa_faces.analyses.choose_stimuli

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i:02d}" for i in range(40)]
    >>> x = rng.normal(size=(40, 6))
    >>> y = np.vstack([rng.normal(size=(8, 6)), x[8:]])  # made up: they differ on eight faces
    >>> one, other = (rf.compute_rdms(patterns, conditions=names, measure="euclidean")
    ...               for patterns in (x, y))
    >>> models = rf.concat([one.with_labels(name=["one"]), other.with_labels(name=["other"])])
    >>> figure = rf.figures.plot_stimulus_design(rf.analyses.choose_stimuli(models, 8, n_starts=2))
    >>> figure.axes[0].get_title(loc="left")
    '8 of 40 stimuli'
    """
    n = 2 if selection is None else 3
    designed = design.table.set_index("choice").loc["designed"]
    names = list(design.correlations)
    with style():
        axes = panels(ax, 1, n, PAGE, 3.0)[0]
        axes[0].hist(design.random, 20, color=PALE, label="random subsets")
        axes[0].axvline(designed["lower"], color=COLORS[0], label="chosen")
        axes[0].axvline(designed["most"], color=GRAY, linestyle="--", label="most possible")
        axes[0].set_xlabel("information, lower bound (nats)")
        axes[0].set_ylabel("number of random subsets")
        chosen = f"{len(design.stimuli)} of {design.settings['n_pool']} stimuli"
        axes[0].set_title(chosen, loc="left")
        scale = signed_scale(None, 1.0)
        image(axes[1], design.correlations, scale, aspect="equal")
        room = PAGE / n - 1.2
        name_places(axes[1], "x", names, room)
        name_places(axes[1], "y", names, room)
        axes[1].set_title("models on the chosen stimuli", loc="left")
        color_bar(scale, "correlation of RDMs", ax=axes[1])
        handles = axes[0].get_legend_handles_labels()[0]
        if selection is not None:
            for choice, rows in selection.groupby("choice"):
                color = COLORS[0] if choice == "designed" else PALE
                axes[2].plot(
                    rows["n_measurements"], rows["correct"], "o-", markersize=3, color=color
                )
            reference(axes[2], selection["chance"].iloc[0], text="chance")
            count_axis(axes[2], selection["n_measurements"], "number of measured RDMs")
            axes[2].set_ylim(0, 1.03)
            axes[2].set_ylabel("share of simulations that find\nthe right model")
            axes[2].set_title("simulated", loc="left")
        legend_below(axes, ax is None, handles=handles)
    return figure_of(axes)


def plot_synthesis(start, made: Synthesis, *, n: int = 10, ax=None) -> Figure:
    """Draw images before and after they were made to tell networks apart.

    Parameters
    ----------
    start : StimulusSet or sequence of ndarray
        What was started from, in the same order.
    made : Synthesis
    n : int, default 10
        How many to show, at most.
    ax : array of Axes, optional
        Shape (2, n_shown), or (2, n_shown + 1) if random sets stand beside.

    Returns
    -------
    matplotlib.figure.Figure
        Above: where each image started; below: what was made of it. On the right, if there are
        random sets: their disagreement, and the information that they give, beside both.

    See Also
    --------
    rsa_faces.analyses.synthesise_images

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> before, after = (rf.StimulusSet.from_arrays(rng.integers(0, 256, (4, 24, 24, 3), np.uint8),
    ...                                             list("abcd")) for _ in range(2))
    >>> table = pd.DataFrame({"images": ["start", "made"], "disagreement": [0.3, 1.2]})  # made up
    >>> made = rf.analyses.Synthesis(stimuli=after, coordinates=None, disagreement=table,
    ...                              trace=pd.DataFrame(), pairs=pd.DataFrame())
    >>> figure = rf.figures.plot_synthesis(before, made)
    >>> figure.axes[4].get_title(loc="left")
    'made: disagreement 1.20'
    """
    check_arguments(plot_synthesis, locals())
    before = [start.image(i) for i in start.ids] if hasattr(start, "ids") else list(start)
    after = [made.stimuli.image(name) for name in made.stimuli.ids]
    n = min(n, len(after))
    wide = n + (made.random is not None)
    with style():
        axes = panels(ax, 2, wide, PAGE, min(2 * PAGE / wide + 0.6, 5.0))
        for row, images in zip(axes, (before, after), strict=True):
            for one, picture in zip(row[:n], images, strict=False):
                one.imshow(picture, cmap="gray", vmin=0, vmax=255)
                one.set(xticks=[], yticks=[])
                one.spines[:].set_visible(False)
        values = made.disagreement["disagreement"]
        for row, name, value in zip(axes, ("start", "made"), values, strict=True):
            row[0].set_title(f"{name}: disagreement {number(value, 2)}", loc="left")
        said = f"{n} of {len(after)} images; disagreement: 1 − correlation of the networks' RDMs"
        if len(made.pairs) > 2:
            said += f", mean of {len(made.pairs) // 2} pairs"
        handles = [] if made.random is None else _beside_random(axes[:, n], made)
        legend_below(axes, ax is None, handles=handles, title=said)
    return figure_of(axes)


def _beside_random(axes, made: Synthesis) -> list:
    """Draw how random sets are spread, and where start and made images are; return handles."""
    columns = (("disagreement", "disagreement"), ("lower", "information\n(nats, lower bound)"))
    for ax, (column, label) in zip(axes, columns, strict=True):
        ax.hist(made.random[column], 10, color=PALE, label=f"{len(made.random)} random sets")
        for k, (images, line) in enumerate((("start", "--"), ("made", "-"))):
            value = made.table[column][k]
            ax.axvline(value, color=COLORS[0] if k else GRAY, linestyle=line, label=images)
        ax.set_xlabel(label)
        ax.set_ylabel("sets")
        ax.yaxis.get_major_locator().set_params(integer=True)
    return axes[0].get_legend_handles_labels()[0]
