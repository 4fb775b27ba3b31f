"""The searchlight run: maps of subjects, the group's test, peaks and figures; resumable."""

from __future__ import annotations

import gzip
import json
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces import __version__, datasets
from rsa_faces._errors import InputError
from rsa_faces._files import atomic_path, sha256_file, slug, write_text
from rsa_faces.config import ClusterConfig, SearchlightConfig, dump_config
from rsa_faces.mapping import (
    BestModels,
    SearchlightMap,
    best_model_map,
    group_test,
    mean_map,
    peak_table,
    searchlight,
    write_map,
)
from rsa_faces.networks import load_network
from rsa_faces.pipeline._cluster import Parts, opened
from rsa_faces.pipeline._inputs import _models as read_models
from rsa_faces.pipeline._provenance import git_state, machine, versions
from rsa_faces.pipeline._steps import Steps, locked
from rsa_faces.pipeline._tables import read_volumes
from rsa_faces.rdm import RDMs, concat, layer_rdms
from rsa_faces.stimuli import StimulusSet, load_stimuli

OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class SearchlightOutput:
    """What a searchlight run left.

    Attributes
    ----------
    folder : Path
    peaks : DataFrame
        One row per peak of each model: model, similarity, t, p (corrected for all places), place.
    figures : tuple of Path
        PNG files; SVG and PDF lie beside them.
    n_subjects : int
    notes : tuple of str
        What a reader has to know.
    """

    folder: Path
    peaks: pd.DataFrame
    figures: tuple[Path, ...]
    n_subjects: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Inputs:
    """Images, what their volumes show, and models."""

    images: dict[str, Any]
    mask: Any
    conditions: list[str]
    folds: list[str] | None
    models: RDMs
    hashes: dict[str, str]
    note: str


def run_searchlight(
    config: SearchlightConfig,
    folder: str | Path,
    *,
    device: str = "auto",
    jobs: int | None = None,
    cluster: str | Path | ClusterConfig | None = None,
    on_step: OnStep | None = None,
) -> SearchlightOutput:
    """Map the similarity of models in every subject, test it over subjects, write and draw it.

    Parameters
    ----------
    config : SearchlightConfig
        From :func:`rsa_faces.config.load_searchlight_config`.
    folder : path-like
        For the results; a run that was stopped goes on there, subject by subject.
    device : str, default "auto"
        Where networks run.
    jobs : int, optional
        Threads; all by default. The numbers do not depend on them.
    cluster : path-like or ClusterConfig, optional
        Where subjects' maps are made, side by side; the numbers do not depend on it. `folder` and
        the images must be on storage that all workers share.
    on_step : callable, optional
        Called as ``on_step(done, total, what)`` before each step.

    Returns
    -------
    SearchlightOutput

    Raises
    ------
    InputError
        If the input is wrong.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    inputs = _read(config, device)
    folder = Path(folder).resolve()
    (folder / "maps").mkdir(parents=True, exist_ok=True)
    tell = on_step or (lambda done, total, what: None)
    total = len(inputs.images) + 2
    notes = [inputs.note] if inputs.note else []
    with locked(folder), opened(cluster) as parts:
        write_text(folder / "config.yaml", dump_config(config))
        steps = Steps(folder)
        maps, more = _subjects(config, folder, steps, inputs, parts, jobs, tell)
        notes += more
        tell(total - 2, total, "group")
        mean = maps[0] if len(maps) == 1 else mean_map(maps)
        written = write_map(mean, folder / "mean")
        tests, peaks = _tested(config, maps, mean, folder)
        tell(total - 1, total, "figures")
        waiting = []
        for name in mean.names:
            where = tests[name].p < config.test.alpha if name in tests else None
            how = {"model": name, "where": where,
                   "title": _title(config, name, len(maps), tested=name in tests)}  # fmt: skip
            waiting.append(parts.begin(_draw, mean, how, folder / "figures" / slug(name)))
        if len(maps) >= 3 and len(mean.names) > 1:
            best = best_model_map(maps)
            anywhere = np.any([test.p < config.test.alpha for test in tests.values()], axis=0)
            how = {"where": anywhere}
            waiting.append(parts.begin(_draw, best, how, folder / "figures" / "best model"))
            _save_image(best.to_img(), folder / "best_model.nii.gz")
        figures = [wait() for wait in waiting]
        with atomic_path(folder / "peaks.csv") as temporary:
            peaks.to_csv(temporary, index=False)
        provenance = {
            "rsa-faces": __version__, "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 1),
            "seconds_of_steps": steps.seconds, "steps_reused": steps.reused, "seed": config.seed,
            "models_sha256": inputs.models.hash, "data_sha256": inputs.hashes,
            "files": sorted(str(path.relative_to(folder)) for path in written),
            "versions": versions(), "machine": machine(), "git": git_state(Path.cwd()),
        }  # fmt: skip
        write_text(folder / "provenance.json", json.dumps(provenance, indent=1))
    tell(total, total, "done")
    return SearchlightOutput(folder, peaks, tuple(figures), len(maps), tuple(dict.fromkeys(notes)))


def _subjects(
    config: SearchlightConfig,
    folder: Path,
    steps: Steps,
    inputs: _Inputs,
    parts: Parts,
    jobs: int | None,
    tell: OnStep,
) -> tuple[list[SearchlightMap], list[str]]:
    """Return the maps of all subjects, from disk where they are done, and what to note."""
    settings = {
        "radius": config.radius, "measure": config.measure, "method": config.method,
        "noise": config.noise, "min_voxels": config.min_voxels,
    }  # fmt: skip
    shared = {
        **settings, "mask_img": inputs.mask, "conditions": inputs.conditions,
        "models": inputs.models, "budget": config.budget, "n_jobs": jobs,
        "folds": inputs.folds if config.measure == "crossnobis" else None,
    }  # fmt: skip
    waiting = []
    for subject, image in inputs.images.items():
        name = f"maps/{slug(subject)}.h5"
        depends_on = [
            __version__, inputs.hashes[subject], inputs.hashes["mask"], inputs.models.hash,
            repr(tuple(settings.values())), repr(inputs.conditions), repr(inputs.folds),
        ]  # fmt: skip
        step = f"map {subject}"
        done = steps.is_done(step, depends_on)
        wait = None if done else parts.begin(_make_map, image, shared, folder / name)
        waiting.append((subject, step, depends_on, name, wait))
    maps, notes = [], []
    for i, (subject, step, depends_on, name, wait) in enumerate(waiting):
        tell(i, len(waiting) + 2, f"searchlights of {subject}")

        def make(wait=wait, subject=subject) -> None:
            notes.extend(f"{subject}: {note}" for note in wait())

        steps.run(step, depends_on, [name], make)
        maps.append(SearchlightMap.load(folder / name))
    return maps, notes


def _make_map(image: Any, arguments: dict[str, Any], path: Path) -> list[str]:
    """Write one subject's map; return what was warned of. May run on another machine."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        maps = searchlight(image, **arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    maps.save(path)
    return [str(w.message) for w in caught if w.category is UserWarning]


def _tested(config, maps, mean: SearchlightMap, folder: Path):
    """Return the test of each model over subjects (none of one subject), and the peaks."""
    tests, tables = {}, []
    for index, name in enumerate(mean.names):
        columns, where = {}, None
        if len(maps) > 1:
            test = group_test(
                maps, model=name, statistic=config.test.statistic,
                threshold=config.test.threshold, tail=config.test.tail,
                n_permutations=config.test.n_permutations, seed=config.seed,
            )  # fmt: skip
            tests[name], where = test, test.p < config.test.alpha
            columns = {"t": test.t, "p": test.p}
            for kind in ("t", "p"):
                image = mean.space.to_img(getattr(test, kind))
                _save_image(image, folder / "tests" / f"{slug(name)}_{kind}.nii.gz")
        table = peak_table(mean.space, mean.similarity[index], where=where, **columns)
        tables.append(table.rename(columns={"value": "similarity"}).assign(model=name))
    peaks = pd.concat(tables, ignore_index=True)
    return tests, peaks[["model", *[c for c in peaks.columns if c != "model"]]]


def _save_image(image: Any, path: Path) -> None:
    """Write an image, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        # Without the time of writing: the same image gives the same bytes.
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def _draw(maps: SearchlightMap | BestModels, how: dict[str, Any], path: Path) -> Path:
    """Save the figure of a map; return its PNG. May run on another machine."""
    import matplotlib.pyplot as plt

    from rsa_faces.figures import plot_best_models, plot_map, save_figure

    if threading.current_thread() is not threading.main_thread():
        plt.switch_backend("agg")  # windows belong to the main thread
    plot = plot_map if isinstance(maps, SearchlightMap) else plot_best_models
    axes = plot(maps, **how)
    saved = save_figure(axes[0].figure, path)
    plt.close(axes[0].figure)
    return saved[1]


def _title(config: SearchlightConfig, name: str, n_subjects: int, *, tested: bool) -> str:
    """Return a figure's title: what, of whom, at which level."""
    who = "1 subject" if n_subjects == 1 else f"mean of {n_subjects} subjects"
    level = f"; shown: p < {config.test.alpha:g}, corrected" if tested else ""
    return f"{name}: {who}{level}"


def _read(config: SearchlightConfig, device: str) -> _Inputs:
    """Read images, conditions and models, and check that they fit each other."""
    data = config.data
    if data.dataset is not None:
        brain = datasets.simulated_brain(seed=config.seed)
        images = {f"simulated {i + 1:02d}": image for i, image in enumerate(brain.imgs)}
        hashes = dict.fromkeys([*images, "mask"], f"simulated, seed {config.seed}")
        models = _all_models(config, device, brain.models)
        return _Inputs(
            images, brain.mask_img, list(brain.conditions), list(brain.runs), models, hashes,
            "these brains are simulated: " + "; ".join(
                f"{row.model} at {row.x:g}, {row.y:g}, {row.z:g} mm"
                for row in brain.regions.itertuples()
            ) + ".",
        )  # fmt: skip
    table = read_volumes(data.conditions)
    hashes = {}
    for subject, path in {**data.subjects, "mask": data.mask}.items():
        if not Path(path).is_file():
            raise InputError(f"expected an image of {subject}, but {path} does not exist.")
        hashes[subject] = sha256_file(path)
    models = _all_models(config, device, None)
    folds = table["fold"].tolist() if "fold" in table else None
    return _Inputs(
        dict(data.subjects), data.mask, table["condition"].tolist(), folds, models,
        hashes, "",
    )  # fmt: skip


def _all_models(config: SearchlightConfig, device: str, given: RDMs | None) -> RDMs:
    """Return the RDMs of networks' layers and of models, with names of their own."""
    parts = [] if given is None else [given]
    stimuli = None
    if config.stimuli is not None:
        source = config.stimuli
        stimuli = (
            datasets.load_dataset(source.dataset).stimuli
            if source.dataset is not None
            else load_stimuli(source.folder, manifest=source.manifest)
        )
    for entry in config.networks:
        network = load_network(entry.name, device=device, weights=entry.weights, seed=config.seed)
        rdms = layer_rdms(
            network, stimuli, layers=entry.layers, reduce=entry.reduce, seed=config.seed,
            budget=config.budget,
        )  # fmt: skip
        parts.append(rdms.with_labels(name=[f"{entry.name} {x}" for x in rdms.labels["layer"]]))
    for entry in config.models:
        parts.append(_model(entry, stimuli))
    return concat(parts)


def _model(entry, stimuli: StimulusSet | None) -> RDMs:
    """Return model RDMs; those of a file need no stimuli."""
    from rsa_faces.rdm import load_rdms

    if entry.rdms is not None and stimuli is None:
        rdms = load_rdms(entry.rdms)
        for key, wanted in entry.select.items():
            rdms = rdms.sel(**{key: wanted})
        if "name" not in rdms.labels:
            names = rdms.labels.astype(str).agg(" ".join, axis=1) if len(rdms.labels.columns) else [
                f"model {i + 1}" for i in range(len(rdms))]  # fmt: skip
            rdms = rdms.with_labels(name=list(names))
        return rdms
    if stimuli is None:
        raise InputError("expected `stimuli` beside `models` of a data set or of its metadata.")
    return read_models(entry, stimuli)
