"""Figures of a searchlight run, and pages to look around in its maps."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsa_faces._core.files import file_names
from rsa_faces.brain import Volume, fsaverage, sulcal_depth
from rsa_faces.comparison import METHODS
from rsa_faces.mapping import BestModels, SearchlightMap, best_model_map
from rsa_faces.report import Picture
from rsa_faces.runs._brains import image_name, save_image
from rsa_faces.runs._run import SUFFIXES
from rsa_faces.runs.searchlight.config import SearchlightConfig

if TYPE_CHECKING:
    from rsa_faces.runs.searchlight.run import SearchlightRun


def pictures_of(run: SearchlightRun) -> list[Picture]:
    """Draw every model, the ceiling and the best model; return PNG files with captions."""
    config, tests = run.config, run.tests
    waiting = []
    alpha = config.test.alpha
    # One scale for all models and parts, and one for the ceilings.
    limit = _largest(mean.similarity for mean in run.means.values())
    highest = _largest(ceiling.lower for ceiling in run.ceilings.values())

    def add(maps: Any, how: dict[str, Any], name: str, caption: str) -> None:
        path = run.folder / "figures" / name
        waiting.append((run.parts.begin(_draw, maps, how, path), path, caption))

    for part, mean in run.means.items():
        several = len(run.means) > 1
        side, where_ = (f"_{part}", f", {part} hemisphere") if several else ("", "")
        how = _view(config, part, mean)
        n = len(run.maps[part])
        stems = file_names(mean.names)
        for name in mean.names:
            where = tests[name][part].p < alpha if name in tests else None
            title = _title(config, name, n, tested=name in tests)
            caption = f"{title}{where_}. {_seen(config, how, mean)}"
            options = {**how, "model": name, "where": where, "title": title, "limit": limit}
            add(mean, options, f"{stems[name]}{side}", caption)
        if part in run.ceilings:
            title = f"noise ceiling (lower bound) of {n} subjects"
            options = {**how, "title": title, "limit": highest}
            add(
                run.ceilings[part],
                options,
                f"noise_ceiling{side}",
                f"{title}{where_}. {_seen(config, how, mean)}",
            )
        if n >= 3 and len(mean.names) > 1:
            best = best_model_map(run.maps[part])
            anywhere = np.any([test[part].p < alpha for test in tests.values()], axis=0)
            add(
                best,
                {**how, "where": anywhere},
                f"best_model{side}",
                f"The most similar model at each place{where_}, where any is shown (p < {alpha:g}, "
                f"corrected), {n} subjects. {_seen(config, how, mean)}",
            )
            save_image(best.to_img(), run.folder / image_name("best_model", part))
    pictures = []
    for wait, path, caption in waiting:
        wait()
        png = path.with_name(f"{path.name}.{SUFFIXES[1]}")
        pictures.append(Picture(png, caption, f"Map of the brain: {caption}"))
    return pictures


def _seen(config: SearchlightConfig, how: dict[str, Any], mean: SearchlightMap) -> str:
    """Say what a place is, how similarity is measured, what scales share, and what lies below."""
    volume = isinstance(mean.space, Volume)
    shape = "sphere" if volume else "disc on the cortical surface"
    if "background" in how:
        below = "anatomy" if volume else "depth of sulci on the inflated template"
    else:
        below = "the mask" if volume else "the cortex"
    return (
        f"Each place: a {shape} of {config.radius:g} mm; similarity is "
        f"{METHODS[config.method].label}, and all maps of a kind share one scale. Grey: {below}."
    )


def _largest(parts: Iterable[np.ndarray]) -> float | None:
    """Return the largest number without its sign; None where there is none above 0."""
    largest = [np.abs(values[np.isfinite(values)]).max(initial=0.0) for values in parts]
    return float(max(largest, default=0.0)) or None


def _view(config: SearchlightConfig, part: str, mean: SearchlightMap) -> dict[str, Any]:
    """Return how a part is looked at: on its anatomy, or the template inflated, with its sulci."""
    data = config.data
    if isinstance(mean.space, Volume):
        if data.anatomy is not None:
            return {"background": data.anatomy}
        if data.bids is None or not (data.bids.space or "MNI152").startswith("MNI152"):
            return {}
        from nilearn.datasets import load_mni152_template

        return {"background": load_mni152_template(resolution=2)}
    how: dict[str, Any] = {"hemisphere": part}
    if data.dataset is not None or (data.mesh is not None and data.mesh.template is not None):
        how |= {"mesh": fsaverage(part, part="inflated"), "background": sulcal_depth(part)}
    return how


def _draw(maps: Any, how: dict[str, Any], path: Path) -> None:
    """Save the figure of a map and a page to look around in. May run elsewhere."""
    import matplotlib.pyplot as plt

    from rsa_faces.figures import plot_best_models, plot_map, save_figure, view_map

    if threading.current_thread() is not threading.main_thread():
        plt.switch_backend("agg")  # windows belong to the main thread
    plot = plot_best_models if isinstance(maps, BestModels) else plot_map
    figure = plot(maps, **how)
    save_figure(figure, path)
    plt.close(figure)
    view_map(maps, **how, path=path.with_name(f"{path.name}.html"))


def _title(config: SearchlightConfig, name: str, n_subjects: int, *, tested: bool) -> str:
    """Return a figure's title: what, of whom, at which level."""
    who = "1 subject" if n_subjects == 1 else f"mean of {n_subjects} subjects"
    level = f"; shown: p < {config.test.alpha:g}, corrected" if tested else ""
    return f"{name}: {who}{level}"
