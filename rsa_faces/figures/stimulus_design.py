"""Stimuli that tell models apart: what they are expected to tell, and how soon."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments
from rsa_faces.analyses import StimulusDesign, Synthesis
from rsa_faces.figures._style import COLORS, PAGE, as_axes, style

_COLORS = {"designed": COLORS[0], "random": "#888888"}


def plot_stimulus_design(
    design: StimulusDesign, selection: pd.DataFrame | None = None, *, ax=None
) -> np.ndarray:
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
    ndarray of Axes, shape (2,) or (3,)
        Expected information (its lower bound) of the chosen stimuli and of random subsets; the
        correlations of the models on the chosen stimuli; how often the right model is found in
        simulation.
    """
    n = 2 if selection is None else 3
    with style():
        if ax is None:
            _, ax = plt.subplots(1, n, figsize=(PAGE, 2.9), layout="constrained")
        axes = as_axes(ax, (n,))
        designed = design.table.set_index("choice").loc["designed"]
        axes[0].hist(design.random, 20, color=_COLORS["random"], label="random subsets")
        axes[0].axvline(designed["lower"], color=_COLORS["designed"], label="chosen")
        axes[0].axvline(
            designed["most"], color="#444444", linewidth=0.7, linestyle="--", label="most possible"
        )
        axes[0].set_xlabel("information, lower bound (nats)")
        axes[0].set_ylabel("random subsets")
        axes[0].set_title(
            f"{len(design.stimuli)} of {design.settings['n_pool']} stimuli", loc="left"
        )
        axes[0].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.25))
        names = list(design.correlations)
        image = axes[1].imshow(design.correlations, cmap="RdBu_r", vmin=-1, vmax=1)
        axes[1].set_xticks(range(len(names)), names, rotation=90, fontsize=5)
        axes[1].set_yticks(range(len(names)), names, fontsize=5)
        axes[1].tick_params(length=0)
        axes[1].set_title("models on the chosen stimuli", loc="left")
        axes[1].figure.colorbar(image, ax=axes[1], shrink=0.8, label="correlation of RDMs")
        if selection is not None:
            for choice, rows in selection.groupby("choice"):
                axes[2].plot(rows["n_measurements"], rows["correct"], "o-", markersize=3,
                             color=_COLORS[choice], label=choice)  # fmt: skip
            axes[2].axhline(selection["chance"].iloc[0], color="#444444", linewidth=0.6,
                            linestyle="--")  # fmt: skip
            axes[2].set_xscale("log")
            ticks = sorted(selection["n_measurements"].unique())
            axes[2].set_xticks(ticks, [str(t) for t in ticks])
            axes[2].minorticks_off()
            axes[2].set_ylim(0, 1.03)
            axes[2].set_xlabel("measured RDMs")
            axes[2].set_ylabel("right model found")
            axes[2].set_title("simulated; dashed: chance", loc="left")
            axes[2].legend(frameon=False)
    return axes


def plot_synthesis(start, made: Synthesis, *, n: int = 10, ax=None) -> np.ndarray:
    """Draw images before and after they were made to tell two networks apart.

    Parameters
    ----------
    start : StimulusSet or sequence of ndarray
        What was started from, in the same order.
    made : Synthesis
    n : int, default 10
        How many to show, at most.
    ax : array of Axes, shape (2, n_shown), optional

    Returns
    -------
    ndarray of Axes, shape (2, n_shown)
    """
    check_arguments(plot_synthesis, locals())
    before = [start.image(i) for i in start.ids] if hasattr(start, "ids") else list(start)
    after = [made.stimuli.image(name) for name in made.stimuli.ids]
    n = min(n, len(after))
    with style():
        if ax is None:
            _, ax = plt.subplots(2, n, figsize=(PAGE, 2 * PAGE / n + 0.4), squeeze=False,
                                 layout="constrained")  # fmt: skip
        axes = as_axes(ax, (2, n))
        for row, images in zip(axes, (before, after), strict=True):
            for one, image in zip(row, images, strict=False):
                one.imshow(image, cmap="gray", vmin=0, vmax=255)
                one.set_xticks([])
                one.set_yticks([])
                one.spines[:].set_visible(False)
        for row, name, value in zip(axes, ("start", "made"), made.disagreement["disagreement"],
                                    strict=True):  # fmt: skip
            row[0].set_title(f"{name}: disagreement {value:.2f}", loc="left", fontsize=6)
    return axes
