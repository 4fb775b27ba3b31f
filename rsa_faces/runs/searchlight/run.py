"""The searchlight run: maps of subjects, the group's test, peaks and figures; resumable."""

from __future__ import annotations

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
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names, write_text
from rsa_faces.brain import Volume, fsaverage, sulcal_depth
from rsa_faces.mapping import (
    BestModels,
    CeilingMap,
    SearchlightMap,
    best_model_map,
    ceiling_map,
    group_test_parts,
    mean_map,
    peak_table,
    searchlight,
    to_cifti,
    write_map,
)
from rsa_faces.networks import load_network
from rsa_faces.rdm import MEASURES, RDMs, concat, layer_rdms
from rsa_faces.runs._brains import Brains, Subject, read_brains, save_image, split
from rsa_faces.runs._cluster_config import ClusterConfig
from rsa_faces.runs._inputs import _models as read_models
from rsa_faces.runs._parts import Parts, opened
from rsa_faces.runs._provenance import git_state, machine, versions
from rsa_faces.runs._reading import dump_config
from rsa_faces.runs._sentences import about
from rsa_faces.runs._steps import Steps, locked
from rsa_faces.runs.searchlight.config import SearchlightConfig
from rsa_faces.stimuli import StimulusSet, load_stimuli

_KEYS = {"img": "images", "mask_img": "mask", "min_voxels": "min_voxels"}

OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class SearchlightOutput:
    """What a searchlight run left.

    Attributes
    ----------
    folder : Path
    peaks : DataFrame
        One row per peak of each model: model, part (hemisphere or volume, where there are
        several), similarity, t, p (corrected for all places), ceiling_low, ceiling_high, place.
    figures : tuple of Path
        PNG files; SVG, PDF and a page to look around in (HTML) lie beside them.
    n_subjects : int
    notes : tuple of str
        What a reader has to know.
    """

    folder: Path
    peaks: pd.DataFrame
    figures: tuple[Path, ...]
    n_subjects: int
    notes: tuple[str, ...]


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
        From :func:`rsa_faces.runs.searchlight.config.load_searchlight_config`.
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
    folder = Path(folder).resolve()
    (folder / "maps").mkdir(parents=True, exist_ok=True)
    n_subjects = _n_subjects(config)
    total = n_subjects * (2 if config.data.bids is not None else 1) + 3
    done = iter(range(total))
    tell = on_step or (lambda done, total, what: None)
    with locked(folder), opened(cluster) as parts:
        write_text(folder / "config.yaml", dump_config(config))
        steps = Steps(folder)
        brains = read_brains(
            config.data, folder, steps, parts, noise=config.noise is not None, seed=config.seed,
            tell=lambda what: tell(next(done), total, what),
        )  # fmt: skip
        models = _all_models(config, device, brains.models)
        maps, more = _subjects(
            config, folder, steps, brains, models, parts, jobs,
            lambda what: tell(next(done), total, what),
        )  # fmt: skip
        notes = [*brains.notes, *more]
        tell(next(done), total, "noise ceilings")
        ceilings, more = _ceilings(config, folder, steps, brains, maps, parts, jobs)
        notes += more
        tell(next(done), total, "group")
        means = {part: ms[0] if len(ms) == 1 else mean_map(ms) for part, ms in maps.items()}
        written = _write_maps(means, ceilings, folder)
        tests, peaks = _tested(config, maps, means, ceilings, folder)
        tell(next(done), total, "figures")
        figures = _figures(config, folder, parts, maps, means, tests, ceilings)
        with atomic_path(folder / "peaks.csv") as temporary:
            peaks.to_csv(temporary, index=False)
        provenance = {
            "rsa-faces": __version__, "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 1),
            "seconds_of_steps": steps.seconds, "steps_reused": steps.reused, "seed": config.seed,
            "models_sha256": models.hash, "data_sha256": dict(brains.hashes),
            "files": sorted(str(path.relative_to(folder)) for path in written),
            "versions": versions(), "machine": machine(), "git": git_state(Path.cwd()),
        }  # fmt: skip
        write_text(folder / "provenance.json", json.dumps(provenance, indent=1))
    tell(total, total, "done")
    return SearchlightOutput(folder, peaks, tuple(figures), n_subjects, tuple(dict.fromkeys(notes)))


def _n_subjects(config: SearchlightConfig) -> int:
    """Return how many subjects there are."""
    data = config.data
    if data.dataset is not None:
        return {"simulated": 12, "simulated cortex": 10}[data.dataset]
    return len(data.bids.subjects if data.bids is not None else data.names())


def _subjects(
    config: SearchlightConfig, folder: Path, steps: Steps, brains: Brains, models: RDMs,
    parts: Parts, jobs: int | None, tell: Callable[[str], None],
) -> tuple[dict[str, list[SearchlightMap]], list[str]]:  # fmt: skip
    """Return maps of all subjects by part of the brain, from disk where done, and what to note."""
    settings = {
        "radius": config.radius, "measure": config.measure, "method": config.method,
        "noise": config.noise, "noise_from": config.noise_from, "min_voxels": config.min_voxels,
    }  # fmt: skip
    shared = {**settings, "models": models, "budget": config.budget, "n_jobs": jobs}
    first = next(iter(brains.subjects.values()))
    places = ["volume"] if brains.meshes is None else list(split(first, brains))
    waiting = []
    stems = file_names(brains.subjects)
    for name, subject in brains.subjects.items():
        files = {
            part: f"maps/{stems[name]}{'' if brains.meshes is None else f'_{part}'}.h5"
            for part in places
        }
        depends_on = [
            __version__, brains.hashes[name], *(brains.hashes.get(k, "") for k in ("mask", "mesh")),
            models.hash, repr(tuple(settings.values())), repr(subject.conditions),
            repr(subject.folds),
        ]  # fmt: skip
        step = f"map {name}"
        wait = None
        if not steps.is_done(step, depends_on):
            paths = {part: folder / file for part, file in files.items()}
            wait = parts.begin(_make_maps, subject, brains.mask, brains.meshes, shared, paths)
        waiting.append((name, step, depends_on, files, wait))
    maps: dict[str, list[SearchlightMap]] = {part: [] for part in places}
    notes = []
    for name, step, depends_on, files, wait in waiting:
        tell(f"searchlights of {name}")

        def make(wait=wait, name=name) -> None:
            with about(f"subject {name!r}, {brains.subjects[name].where}", _KEYS):
                notes.extend(f"{name}: {note}" for note in wait())

        steps.run(step, depends_on, list(files.values()), make)
        for part, file in files.items():
            maps[part].append(SearchlightMap.load(folder / file))
    return maps, notes


def _make_maps(subject: Subject, mask, meshes, shared: dict, paths: dict[str, Path]) -> list[str]:
    """Write one subject's maps; return what was warned of. May run on another machine."""
    notes = []
    folds = subject.folds if MEASURES[shared["measure"]].needs_folds else None
    for part, arguments in split(subject, Brains({}, mask, meshes, {})).items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            maps = searchlight(**arguments, conditions=subject.conditions, folds=folds, **shared)
        paths[part].parent.mkdir(parents=True, exist_ok=True)
        maps.save(paths[part])
        where = "" if meshes is None else f"{part}: "
        notes += [f"{where}{w.message}" for w in caught if w.category is UserWarning]
    return notes


def _ceilings(
    config: SearchlightConfig, folder: Path, steps: Steps, brains: Brains,
    maps: dict[str, list[SearchlightMap]], parts: Parts, jobs: int | None,
) -> tuple[dict[str, CeilingMap], list[str]]:  # fmt: skip
    """Return the noise ceilings of each part; none of one subject, or where they do not fit."""
    found: dict[str, CeilingMap] = {}
    subjects = list(brains.subjects.values())
    if len(subjects) < 2:
        return found, []
    settings = {
        "radius": config.radius, "measure": config.measure, "method": config.method,
        "noise": config.noise, "noise_from": config.noise_from, "min_voxels": config.min_voxels,
    }  # fmt: skip
    notes: list[str] = []
    for part, some in maps.items():
        name = f"ceilings/{part}.npz"
        depends_on = [__version__, *brains.hashes.values(), repr(tuple(settings.values())),
                      *(repr((s.conditions, s.folds)) for s in subjects)]  # fmt: skip

        def make(part=part, name=name) -> None:
            shared = {**settings, "budget": config.budget, "n_jobs": jobs}
            waits = [
                parts.begin(
                    _make_ceilings, subjects, brains.mask, brains.meshes, part,
                    {**shared, "share": (k, parts.workers)},
                )
                for k in range(parts.workers)
            ]  # fmt: skip
            shares = [wait() for wait in waits]
            notes.extend(note for *_, more in shares for note in more)
            # Each share is NaN, or 0, where others are not.
            bounds = np.stack([bounds for bounds, *_ in shares])
            whole = np.where(np.isnan(bounds), 0.0, bounds).sum(axis=0)
            whole[np.isnan(bounds).all(axis=0)] = np.nan
            n_voxels = np.sum([counts for _, counts, _ in shares], axis=0, dtype=np.int32)
            with atomic_path(folder / name) as temporary:
                np.savez_compressed(temporary, lower=whole[0], upper=whole[1], n_voxels=n_voxels)

        try:
            steps.run(f"ceilings {part}", depends_on, [name], make)
        except InputError as err:  # all subjects at once need more memory than one
            return {}, [f"no map of noise ceilings: {err}"]
        with np.load(folder / name) as arrays:
            found[part] = CeilingMap(
                arrays["lower"], arrays["upper"], arrays["n_voxels"], len(subjects),
                config.measure, config.method, config.radius, some[0].space,
            )  # fmt: skip
    return found, notes


def _make_ceilings(subjects: list[Subject], mask, meshes, part: str, arguments: dict):
    """Return bounds, numbers of voxels and warnings of a share. May run on another machine."""
    images = [split(subject, Brains({}, mask, meshes, {}))[part] for subject in subjects]
    crossed = MEASURES[arguments["measure"]].needs_folds
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        ceilings = ceiling_map(
            [image["img"] for image in images],
            conditions=[subject.conditions for subject in subjects],
            folds=[subject.folds for subject in subjects] if crossed else None,
            residuals=[image["residuals"] for image in images],
            n_estimated=[image["n_estimated"] for image in images],
            mask_img=images[0].get("mask_img"), mesh=images[0].get("mesh"), progress=False,
            **arguments,
        )  # fmt: skip
    notes = [str(w.message) for w in caught if w.category is UserWarning]
    return np.stack([ceilings.lower, ceilings.upper]), ceilings.n_voxels, notes


def _write_maps(means: dict, ceilings: dict, folder: Path) -> list[Path]:
    """Write mean maps and ceilings as images, and as CIFTI where there are several parts."""
    written = []
    for part, mean in means.items():
        alone = len(means) == 1
        written += write_map(mean, folder / "mean" if alone else folder / "mean" / part)
        if part in ceilings:
            for bound in ("lower", "upper"):
                path = folder / "ceilings" / _image_name(bound, part, mean)
                save_image(ceilings[part].to_img(bound), path)
                written.append(path)
    if set(means) - {"volume"} and len(means) > 1:
        path = folder / "mean" / "similarity.dscalar.nii"
        save_image(to_cifti(**means), path)
        written.append(path)
    return written


def _image_name(what: str, part: str, maps: SearchlightMap) -> str:
    """Return the name of a file with a map: of a hemisphere with its name."""
    if isinstance(maps.space, Volume):
        return f"{what}.nii.gz"
    return f"{what}_{part}.shape.gii"


def _tested(config, maps, means, ceilings, folder: Path):
    """Return the test of each model over subjects (none of one subject), and the peaks."""
    tests: dict[str, dict] = {}
    tables = []
    first = next(iter(means.values()))
    stems = file_names(first.names)
    for index, name in enumerate(first.names):
        if len(next(iter(maps.values()))) > 1:
            tests[name] = group_test_parts(
                maps, model=index, statistic=config.test.statistic,
                threshold=config.test.threshold, tail=config.test.tail,
                n_permutations=config.test.n_permutations, seed=config.seed,
            )  # fmt: skip
        rows = []
        for part, mean in means.items():
            columns, where = {}, None
            if name in tests:
                test = tests[name][part]
                where, columns = test.p < config.test.alpha, {"t": test.t, "p": test.p}
                for kind in ("t", "p"):
                    image = mean.space.to_img(getattr(test, kind))
                    path = folder / "tests" / _image_name(f"{stems[name]}_{kind}", part, mean)
                    save_image(image, path)
            if part in ceilings:
                columns |= {
                    "ceiling_low": ceilings[part].lower,
                    "ceiling_high": ceilings[part].upper,
                }
            table = peak_table(mean.space, mean.similarity[index], where=where, **columns)
            rows.append(table.rename(columns={"value": "similarity"}).assign(model=name, part=part))
        table = pd.concat(rows, ignore_index=True)
        tables.append(table.sort_values("similarity", ascending=False, kind="stable"))
    peaks = pd.concat(tables, ignore_index=True)
    if len(means) == 1:
        peaks = peaks.drop(columns="part")
    front = [c for c in ("model", "part") if c in peaks]
    return tests, peaks[[*front, *[c for c in peaks.columns if c not in front]]]


def _figures(config, folder: Path, parts: Parts, maps, means, tests, ceilings) -> list[Path]:
    """Draw every model, the ceiling and the best model; return PNG files."""
    waiting = []
    alpha = config.test.alpha
    for part, mean in means.items():
        side = f" {part}" if len(means) > 1 else ""
        how = _view(config, part, mean)
        stems = file_names(mean.names)
        for name in mean.names:
            where = tests[name][part].p < alpha if name in tests else None
            title = _title(config, name, len(maps[part]), tested=name in tests)
            path = folder / "figures" / f"{stems[name]}{side.replace(' ', '_')}"
            options = {**how, "model": name, "where": where, "title": title}
            waiting.append(parts.begin(_draw, mean, options, path))
        if part in ceilings:
            title = f"noise ceiling (lower bound) of {len(maps[part])} subjects"
            path = folder / "figures" / f"noise ceiling{side}"
            waiting.append(parts.begin(_draw, ceilings[part], {**how, "title": title}, path))
        if len(maps[part]) >= 3 and len(mean.names) > 1:
            best = best_model_map(maps[part])
            anywhere = np.any([test[part].p < alpha for test in tests.values()], axis=0)
            path = folder / "figures" / f"best model{side}"
            waiting.append(parts.begin(_draw, best, {**how, "where": anywhere}, path))
            save_image(best.to_img(), folder / _image_name("best_model", part, mean))
    return [wait() for wait in waiting]


def _view(config: SearchlightConfig, part: str, mean: SearchlightMap) -> dict[str, Any]:
    """Return how a part is looked at: the template inflated, with its sulci."""
    if isinstance(mean.space, Volume):
        return {}
    data = config.data
    how: dict[str, Any] = {"hemisphere": part}
    if data.dataset is not None or data.mesh.template is not None:
        how |= {"mesh": fsaverage(part, part="inflated"), "background": sulcal_depth(part)}
    return how


def _draw(maps: Any, how: dict[str, Any], path: Path) -> Path:
    """Save the figure of a map and a page to look around in; return its PNG. May run elsewhere."""
    import matplotlib.pyplot as plt

    from rsa_faces.figures import plot_best_models, plot_map, save_figure, view_map

    if threading.current_thread() is not threading.main_thread():
        plt.switch_backend("agg")  # windows belong to the main thread
    plot = plot_best_models if isinstance(maps, BestModels) else plot_map
    axes = plot(maps, **how)
    saved = save_figure(axes[0].figure, path)
    plt.close(axes[0].figure)
    view_map(maps, **how, path=path.with_name(f"{path.name}.html"))
    return saved[1]


def _title(config: SearchlightConfig, name: str, n_subjects: int, *, tested: bool) -> str:
    """Return a figure's title: what, of whom, at which level."""
    who = "1 subject" if n_subjects == 1 else f"mean of {n_subjects} subjects"
    level = f"; shown: p < {config.test.alpha:g}, corrected" if tested else ""
    return f"{name}: {who}{level}"


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
    if entry.rdms is not None and stimuli is None:
        rdms = entry.with_new_names(entry.read())
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
