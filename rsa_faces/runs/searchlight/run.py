"""The run behind `rsa-faces searchlight`: maps of subjects, the group's test, peaks, figures."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names
from rsa_faces.brain import Volume, fsaverage, sulcal_depth
from rsa_faces.comparison import METHODS
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
from rsa_faces.rdm import MEASURES, RDMs, concat
from rsa_faces.report import Account, Picture
from rsa_faces.runs._brains import Brains, Subject, read_brains, save_image, split
from rsa_faces.runs._inputs import column_of, read_models
from rsa_faces.runs._networks import Networks, network_rdms, read_stimuli
from rsa_faces.runs._run import SUFFIXES, Run
from rsa_faces.runs._sentences import about
from rsa_faces.runs.searchlight.config import SearchlightConfig
from rsa_faces.runs.searchlight.outputs import account

_KEYS = {"img": "images", "mask_img": "mask", "min_voxels": "min_voxels"}


class SearchlightRun(Run):
    """Map the similarity of models in every subject, and test it over subjects.

    Examples
    --------
    >>> from rsa_faces.runs.searchlight.run import SearchlightRun
    >>> SearchlightRun.command
    'searchlight'
    """

    command: ClassVar[str] = "searchlight"
    takes: ClassVar = SearchlightConfig
    writes: ClassVar = ("peaks",)

    config: SearchlightConfig

    def check(self) -> None:
        """Read stimuli and models; unknown layers and missing weights are errors now."""
        config = self.config
        self.stimuli = None if config.stimuli is None else read_stimuli(config.stimuli)
        self.networks = None
        if config.networks:
            self.networks = Networks(
                config.networks,
                self.stimuli,
                self.device,
                config.seed,
                known=self.folder / "faces.csv",
                rate=config.stimuli.rate,
            )
            self.networks.check()
            self.notes += self.networks.notes
            self.hashes["stimuli_sha256"] = self.stimuli.hash
            self.hashes["weights_sha256"] = dict(self.networks.weights)
        self.blocks = None
        if config.blocks is not None:
            self.blocks = column_of(self.stimuli, config.blocks, "blocks")
        models = [read_models(entry, self.stimuli) for entry in config.models]
        self._models = [m.with_labels(name=list(m.labels["network"])) for m in models]

    def n_steps(self) -> int:
        """Networks, subjects (twice with a GLM), ceilings, group and figures."""
        n = _n_subjects(self.config) * (2 if self.config.data.bids is not None else 1)
        return len(self.config.networks) + n + 3

    def make(self) -> None:
        """Make maps of subjects, ceilings, the group's mean and test, and the table of peaks."""
        (self.folder / "maps").mkdir(exist_ok=True)
        config = self.config
        self.brains = read_brains(self, config.data, noise=config.noise is not None)
        self.hashes["data_sha256"] = dict(self.brains.hashes)
        models = [] if self.brains.models is None else [self.brains.models]
        if self.networks is not None:
            # Networks' RDMs are made as images' are: measures of repeats estimate this one.
            for rdms in network_rdms(self, self.networks, "correlation"):
                labels = rdms.labels
                names = labels["network"] + " " + labels["layer"]
                models.append(rdms.with_labels(name=list(names)))
        self.models: RDMs = concat([*models, *self._models])
        self.hashes["models_sha256"] = self.models.hash
        self.maps = self._subjects()
        self.tell("noise ceilings")
        self.ceilings = self._ceilings()
        self.tell("group")
        self.means = {
            part: ms[0] if len(ms) == 1 else mean_map(ms) for part, ms in self.maps.items()
        }
        _write_maps(self.means, self.ceilings, self.folder)
        self.tests, peaks = _tested(config, self.maps, self.means, self.ceilings, self.folder)
        self.tables = {"peaks": peaks}

    def draw(self) -> None:
        """Draw every model, the ceiling and the best model."""
        self.pictures += _figures(self)

    def account(self) -> Account:
        """Return peaks and methods."""
        return account(self)

    @property
    def _settings(self) -> dict[str, Any]:
        """How similarity is mapped."""
        keys = ("radius", "measure", "method", "noise", "noise_from", "min_voxels")
        return {key: getattr(self.config, key) for key in keys} | {"blocks": self.blocks}

    def _key_of(self, name: str) -> list[str]:
        """Return all that a subject's map depends on."""
        subject, hashes = self.brains.subjects[name], self.brains.hashes
        return [
            hashes[name],
            *(hashes.get(k, "") for k in ("mask", "mesh")),
            repr(sorted(self._settings.items())),
            repr((subject.conditions, subject.folds)),
        ]

    def _subjects(self) -> dict[str, list[SearchlightMap]]:
        """Return maps of all subjects by part of the brain, from disk where done."""
        brains, config = self.brains, self.config
        shared = {
            **self._settings, "models": self.models, "budget": config.budget, "n_jobs": self.jobs,
        }  # fmt: skip
        first = next(iter(brains.subjects.values()))
        places = ["volume"] if brains.meshes is None else list(split(first, brains))
        begun = []
        stems = file_names(brains.subjects)
        for name, subject in brains.subjects.items():
            files = {
                part: f"maps/{stems[name]}{'' if brains.meshes is None else f'_{part}'}.h5"
                for part in places
            }
            paths = {part: self.folder / file for part, file in files.items()}
            part = self.begin(
                f"searchlights of {name}",
                f"map {name}",
                [*self._key_of(name), self.models.hash],
                list(files.values()),
                _make_maps,
                name,
                subject,
                brains.mask,
                brains.meshes,
                shared,
                paths,
            )
            begun.append((name, part, files))
        maps: dict[str, list[SearchlightMap]] = {place: [] for place in places}
        for name, part, files in begun:
            with about(f"subject {name!r}, {brains.subjects[name].where}", _KEYS):
                self.finish(part)
            for place, file in files.items():
                maps[place].append(SearchlightMap.load(self.folder / file))
        return maps

    def _ceilings(self) -> dict[str, CeilingMap]:
        """Return the noise ceilings of each part; none of one subject, or where they do not fit."""
        brains, config = self.brains, self.config
        found: dict[str, CeilingMap] = {}
        subjects = list(brains.subjects.values())
        if len(subjects) < 2:
            return found
        for part, some in self.maps.items():
            name = f"ceilings/{part}.npz"
            depends_on = [key for subject in brains.subjects for key in self._key_of(subject)]

            def make(part=part, name=name) -> list[str]:
                shared = {**self._settings, "budget": config.budget, "n_jobs": self.jobs}
                waits = [
                    self.parts.begin(
                        _make_ceilings, subjects, brains.mask, brains.meshes, part,
                        {**shared, "share": (k, self.parts.workers)},
                    )
                    for k in range(self.parts.workers)
                ]  # fmt: skip
                shares = [wait() for wait in waits]
                # Each share is NaN, or 0, where others are not.
                bounds = np.stack([bounds for bounds, *_ in shares])
                whole = np.where(np.isnan(bounds), 0.0, bounds).sum(axis=0)
                whole[np.isnan(bounds).all(axis=0)] = np.nan
                n_voxels = np.sum([counts for _, counts, _ in shares], axis=0, dtype=np.int32)
                with atomic_path(self.folder / name) as temporary:
                    np.savez_compressed(
                        temporary, lower=whole[0], upper=whole[1], n_voxels=n_voxels
                    )
                return [note for *_, more in shares for note in more]

            try:
                self.notes += self.steps.run(f"ceilings {part}", depends_on, [name], make)
            except InputError as err:  # all subjects at once need more memory than one
                self.notes.append(f"no map of noise ceilings: {err}")
                return {}
            with np.load(self.folder / name) as arrays:
                found[part] = CeilingMap(
                    arrays["lower"], arrays["upper"], arrays["n_voxels"], len(subjects),
                    config.measure, config.method, config.radius, some[0].space,
                )  # fmt: skip
        return found


def _n_subjects(config: SearchlightConfig) -> int:
    """Return how many subjects there are."""
    data = config.data
    if data.dataset is not None:
        return {"simulated": 12, "simulated cortex": 10}[data.dataset]
    return len(data.bids.subjects if data.bids is not None else data.names())


def _make_maps(
    name: str, subject: Subject, mask, meshes, shared: dict, paths: dict[str, Path]
) -> list[str]:
    """Write one subject's maps; return what was warned of. May run on another machine."""
    notes = []
    folds = subject.folds if MEASURES[shared["measure"]].needs_folds else None
    for part, arguments in split(subject, Brains({}, mask, meshes, {})).items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            maps = searchlight(**arguments, conditions=subject.conditions, folds=folds, **shared)
        paths[part].parent.mkdir(parents=True, exist_ok=True)
        maps.save(paths[part])
        where = name if meshes is None else f"{name}, {part}"
        notes += [f"{where}: {w.message}" for w in caught if w.category is UserWarning]
    return notes


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


def _figures(run: SearchlightRun) -> list[Picture]:
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
            add(run.ceilings[part], options, f"noise_ceiling{side}",
                f"{title}{where_}. {_seen(config, how, mean)}")  # fmt: skip
        if n >= 3 and len(mean.names) > 1:
            best = best_model_map(run.maps[part])
            anywhere = np.any([test[part].p < alpha for test in tests.values()], axis=0)
            add(best, {**how, "where": anywhere}, f"best_model{side}",
                f"The most similar model at each place{where_}, where any is shown (p < {alpha:g}, "
                f"corrected), {n} subjects. {_seen(config, how, mean)}")  # fmt: skip
            save_image(best.to_img(), run.folder / _image_name("best_model", part, mean))
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
    found = [np.abs(values[np.isfinite(values)]).max(initial=0.0) for values in parts]
    return float(max(found, default=0.0)) or None


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
    if data.dataset is not None or data.mesh.template is not None:
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
