"""The run behind `rsa-faces searchlight`: maps of subjects, the group's test, peaks, figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.checks import parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names
from rsa_faces.mapping import (
    CeilingMap,
    SearchlightMap,
    ceiling_map,
    group_test_parts,
    mean_map,
    peak_table,
    searchlight,
    to_cifti,
    write_map,
)
from rsa_faces.rdm import MEASURES, RDMs, concat
from rsa_faces.report import Account
from rsa_faces.runs._brains import (
    KEYS,
    Brains,
    Subject,
    check_brains,
    image_name,
    read_brains,
    save_image,
    split,
)
from rsa_faces.runs._held_out import MEANINGS, held_out_layers
from rsa_faces.runs._inputs import column_of, read_models
from rsa_faces.runs._job import Job
from rsa_faces.runs._networks import network_jobs, network_rdms, networks_of, read_stimuli
from rsa_faces.runs._plan import Trials, size_of, timed
from rsa_faces.runs._run import Run
from rsa_faces.runs._sentences import about, heard
from rsa_faces.runs.searchlight.config import OF_LAYERS, SearchlightConfig
from rsa_faces.runs.searchlight.outputs import account
from rsa_faces.runs.searchlight.pictures import pictures_of

# Into how many shares places are split to try some; small figures that a map takes the time of.
_SHARES, _FIGURES_PER_MAP = 40, 4.0


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
    writes: ClassVar = {
        "peaks": "peaks of each layer and model in the brain",
        "best_layers": "the best layer of each network and its place, chosen by other subjects",
    }

    config: SearchlightConfig

    def check(self) -> None:
        """Read stimuli and models; unknown layers and missing weights are errors now."""
        config = self.config
        self.stimuli: Any = None if config.stimuli is None else read_stimuli(config.stimuli)
        self.networks = networks_of(self, self.stimuli)
        self.blocks = column_of(self.stimuli, config.blocks, "blocks")
        models = [read_models(entry, self.stimuli) for entry in config.models]
        self._models = [m.with_labels(name=list(m.labels["network"])) for m in models]
        shown = self.stimuli.ids if self.stimuli is not None else ()
        order = shown or (concat(self._models).conditions if models else ())
        check_brains(config.data, order, self._settings)

    def n_steps(self) -> int:
        """Networks, subjects (twice with a GLM), ceilings of each part, group and figures."""
        n = _n_subjects(self.config)
        n_made = n * (2 if self.config.data.bids is not None else 1)
        return len(self.config.networks) + n_made + (len(self._parts()) if n > 1 else 0) + 2

    def _parts(self) -> list[str]:
        """Return the parts of the brain: hemispheres of surfaces, or the volume."""
        data = self.config.data
        if data.dataset == "simulated cortex" or (data.mesh and data.mesh.template):
            return ["left", "right"]
        return list(data.mesh.sides()) if data.mesh is not None else ["volume"]

    def n_stages(self) -> int:
        """Patterns of BIDS, networks, maps and ceilings."""
        return 3 + (self.config.data.bids is not None)

    def estimate(self, trials: Trials) -> None:
        """Try a subject's map at some places, ceilings of some subjects, and some permutations.

        Of BIDS the patterns of the first subject are estimated, and count for the others.
        """
        config, data, n = self.config, self.config.data, _n_subjects(self.config)
        trials.networks(self.networks, network_jobs(self, self.networks, OF_LAYERS))
        if data.bids is not None:
            one = data.bids.model_copy(update={"subjects": data.bids.subjects[:1]})
            data = data.model_copy(update={"bids": one})

        def read(_: int) -> None:
            self.brains = read_brains(self, data, noise=config.noise is not None)

        seconds = timed(read, 0)
        name, subject = next(iter(self.brains.subjects.items()))
        own = size_of(subject.image) + size_of(subject.residuals)
        if data.bids is not None:
            for who in (config.data.bids or data.bids).subjects:
                trials.add(f"GLM of {who}", seconds, 12 * own, own, shared=True)
        else:
            trials.add("reading images", seconds)
        models = [] if self.brains.models is None else [self.brains.models]
        n_layers = sum(map(len, self.networks.layers.values()))
        n_models = n_layers + sum(map(len, [*models, *self._models]))
        conditions = list(dict.fromkeys(subject.conditions))
        n_pairs = len(conditions) * (len(conditions) - 1) // 2
        names = [f"model {i}" for i in range(n_models)]
        values = np.random.default_rng(0).random((n_models, n_pairs))
        random = RDMs(values, conditions, "random", {"name": names})
        space = self.brains.mask, self.brains.meshes
        shared = {**self._settings, "budget": config.budget, "n_jobs": self.jobs}
        places = list(split(subject, self.brains))
        paths = {part: trials.scratch / f"{part}.h5" for part in places}

        def map_some(k: int) -> None:
            of = -(-_SHARES // k)
            how = {**shared, "models": random, "share": (of // 2, of)}
            _make_maps(name, subject, *space, how, paths)

        seconds = trials.seconds("maps", map_some, _SHARES, (2, 8))
        maps = {part: SearchlightMap.load(path) for part, path in paths.items()}
        n_centers = sum(some.similarity.shape[-1] for some in maps.values())
        budget = parse_bytes(config.budget)
        # Blocks of RDMs, one for each thread, and 20 copies of them; whitening takes what it may.
        blocks = 8 * 20 * 64 * (self.jobs or os.cpu_count() or 1) * max(n_pairs, 500)
        held = budget if config.noise else min(budget, 8 * own + blocks)
        more = held + 6 * own + 24 * n_models * n_centers
        for i in range(n):
            what = f"searchlights of {list(self.brains.subjects)[i]}" if data.bids is None else ""
            disk = 8 * n_models * n_centers + own // 50
            trials.add(what or f"searchlights of subject {i + 1}", seconds, more, disk, shared=True)
        few = min(n, 3)
        if n > 1:

            def ceilings_some(k: int) -> None:
                of = -(-_SHARES // k)
                for part in places:
                    how = {**shared, "share": (of // 2, of)}
                    _make_ceilings(dict.fromkeys(range(few), subject), *space, part, how)

            seconds = trials.seconds("ceilings", ceilings_some, _SHARES, (2, 8)) * n / few
            held = budget if config.noise else min(budget, n * (8 * own + blocks))
            more = held + 9 * n * own + 24 * n_models * n_centers
            trials.add("noise ceilings", seconds, more, 16 * n_centers, shared=True)
            rng = np.random.default_rng(0)
            group = {
                part: [
                    replace(
                        some,
                        similarity=rng.normal(size=(1, some.similarity.shape[-1])),
                        labels=some.labels.iloc[:1],
                    )
                    for _ in range(n)
                ]
                for part, some in maps.items()
            }

            def test_some(k: int) -> None:
                group_test_parts(group, model=0, **_test_options(config) | {"n_permutations": k})

            flips = config.test.n_permutations
            seconds = trials.seconds("test", test_some, flips, (flips // 50 + 1, flips // 10 + 2))
            trials.add("group", n_models * seconds, 40 * n * n_models * n_centers, 0)
        n_figures = (n_models + (n > 1) + (n > 2 and n_models > 1)) * len(places)
        trials.figures("figures and report", 4 + _FIGURES_PER_MAP * n_figures)
        trials.add("pages of maps", 0.0, 0, n_figures * (2**17 + 16 * n_centers))

    def make(self) -> None:
        """Make maps of subjects, ceilings, the group's mean and test, and the table of peaks."""
        config = self.config
        self.brains = read_brains(self, config.data, noise=config.noise is not None)
        self.hashes["data_sha256"] = dict(self.brains.hashes)
        models = [] if self.brains.models is None else [self.brains.models]
        for rdms in network_rdms(self, self.networks, OF_LAYERS):
            labels = rdms.labels
            names = labels["network"] + " " + labels["layer"]
            models.append(rdms.with_labels(name=list(names)))
        self.models: RDMs = concat([*models, *self._models])
        self.hashes["models_sha256"] = self.models.hash
        self.maps = self._subjects()
        self.ceilings = self._ceilings()
        self.tell("group")
        self.means = {
            part: ms[0] if len(ms) == 1 else mean_map(ms) for part, ms in self.maps.items()
        }
        _write_maps(self.means, self.ceilings, self.folder)
        self.tests, peaks = _tested(config, self.maps, self.means, self.ceilings, self.folder)
        self.tables = {"peaks": peaks}
        self.best = self._best_layers()
        if len(self.best):
            self.tables["best_layers"] = self.best

    def draw(self) -> None:
        """Draw every model, the ceiling and the best model."""
        self.pictures += pictures_of(self)

    def account(self) -> Account:
        """Return peaks and methods."""
        return account(self)

    def meanings(self) -> Mapping[str, Mapping[str, str]]:
        """Return what columns of the table of best layers are."""
        return {"best_layers": MEANINGS}

    @property
    def members(self) -> dict[str, list[tuple[str, str]]]:
        """Layers of each network, with the names of their maps; other models are their own."""
        found = {
            network: [(f"{network} {layer}", layer) for layer in layers]
            for network, layers in self.networks.layers.items()
        }
        listed = {name for maps in found.values() for name, _ in maps}
        names = next(iter(self.maps.values()))[0].names
        return found | {name: [(name, "")] for name in names if name not in listed}

    def _best_layers(self) -> pd.DataFrame:
        """Return each network's and model's similarity where other subjects found it highest."""
        names = list(next(iter(self.maps.values()))[0].names)
        tables = []
        for network, maps in self.members.items():  # one at a time: maps of all layers are large
            rows = [names.index(name) for name, _ in maps]
            parts = [
                np.stack([m.similarity[rows] for m in ms], axis=1) for ms in self.maps.values()
            ]
            layers = {network: [layer for _, layer in maps]}
            tables.append(held_out_layers({network: np.concatenate(parts, axis=2)}, layers))
        table = pd.concat(tables, ignore_index=True)
        return table.sort_values("similarity", ascending=False) if len(table) else table

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
            **self._settings,
            "models": self.models,
            "budget": config.budget,
            "n_jobs": self.jobs,
        }
        places = self._parts()
        jobs, files_of = [], {}
        stems = file_names(brains.subjects)
        for name, subject in brains.subjects.items():
            files = {
                part: f"maps/{stems[name]}{'' if brains.meshes is None else f'_{part}'}.h5"
                for part in places
            }
            files_of[name] = files
            paths = {part: self.folder / file for part, file in files.items()}
            jobs.append(
                Job(
                    f"searchlights of {name}",
                    f"map {name}",
                    [*self._key_of(name), self.models.hash],
                    list(files.values()),
                    _make_maps,
                    (name, subject, brains.mask, brains.meshes, shared, paths),
                    f"subject {name!r}, {subject.where}",
                    KEYS,
                )
            )
        self.do(jobs)
        return {
            place: [SearchlightMap.load(self.folder / files[place]) for files in files_of.values()]
            for place in places
        }

    def _ceilings(self) -> dict[str, CeilingMap]:
        """Return the noise ceilings of each part; none of one subject, or where they do not fit."""
        brains, config = self.brains, self.config
        subjects = list(brains.subjects.values())
        if len(subjects) < 2:
            return {}
        depends_on = [key for subject in brains.subjects for key in self._key_of(subject)]
        files = {part: f"ceilings/{part}.npz" for part in self.maps}
        jobs = [
            Job(
                f"noise ceilings{'' if part == 'volume' else f', {part}'}",
                f"ceilings {part}",
                depends_on,
                [file],
                self._make_ceilings,
                (part, file),
                "noise ceilings",
                KEYS,
                here=True,
            )
            for part, file in files.items()
        ]
        try:
            self.do(jobs)
        except InputError as err:  # all subjects at once need more memory than one
            if self.share is not None:
                raise
            self.notes.append(f"no map of {err}")
            return {}
        ceilings = {}
        for part, some in self.maps.items():
            with np.load(self.folder / files[part]) as arrays:
                ceilings[part] = CeilingMap(
                    arrays["lower"],
                    arrays["upper"],
                    arrays["n_voxels"],
                    len(subjects),
                    config.measure,
                    config.method,
                    config.radius,
                    some[0].space,
                )
        return ceilings

    def _make_ceilings(self, part: str, file: str) -> list[str]:
        """Write the noise ceilings of a part of the brain, shared out to all workers."""
        brains, n = self.brains, self.parts.workers
        shared = {**self._settings, "budget": self.config.budget, "n_jobs": self.jobs}
        arguments = brains.subjects, brains.mask, brains.meshes, part
        waits = [
            self.parts.begin(_make_ceilings, *arguments, {**shared, "share": (k, n)})
            for k in range(n)
        ]
        shares = [wait() for wait in waits]
        # Each share is NaN, or 0, where others are not.
        bounds = np.stack([bounds for bounds, *_ in shares])
        whole = np.where(np.isnan(bounds), 0.0, bounds).sum(axis=0)
        whole[np.isnan(bounds).all(axis=0)] = np.nan
        n_voxels = np.sum([counts for _, counts, _ in shares], axis=0, dtype=np.int32)
        with atomic_path(self.folder / file) as temporary:
            np.savez_compressed(temporary, lower=whole[0], upper=whole[1], n_voxels=n_voxels)
        return [note for *_, more in shares for note in more]


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
        with heard() as said:
            maps = searchlight(**arguments, conditions=subject.conditions, folds=folds, **shared)
        maps.save(paths[part])
        where = name if meshes is None else f"{name}, {part}"
        notes += [f"{where}: {note}" for note in said]
    return notes


def _make_ceilings(
    subjects: Mapping[Any, Subject], mask, meshes, part: str, arguments: dict
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return bounds, numbers of voxels and warnings of a share. May run on another machine."""
    images, whose = {}, [f"subject {name!r}, {own.where}" for name, own in subjects.items()]
    for who, own in zip(whose, subjects.values(), strict=True):
        with about(who):
            images[who] = split(own, Brains({}, mask, meshes, {}))[part]
    crossed = MEASURES[arguments["measure"]].needs_folds
    first = images[whose[0]]
    with heard() as notes:
        ceilings = ceiling_map(
            {who: image["img"] for who, image in images.items()},
            conditions=[own.conditions for own in subjects.values()],
            folds=[own.folds for own in subjects.values()] if crossed else None,
            residuals=[image["residuals"] for image in images.values()],
            n_estimated=[image["n_estimated"] for image in images.values()],
            mask_img=first.get("mask_img"),
            mesh=first.get("mesh"),
            progress=False,
            **arguments,
        )
    return np.stack([ceilings.lower, ceilings.upper]), ceilings.n_voxels, notes


def _write_maps(means: dict, ceilings: dict, folder: Path) -> list[Path]:
    """Write mean maps and ceilings as images, and as CIFTI where there are several parts."""
    written = []
    for part, mean in means.items():
        alone = len(means) == 1
        written += write_map(mean, folder / "mean" if alone else folder / "mean" / part)
        if part in ceilings:
            for bound in ("lower", "upper"):
                path = folder / "ceilings" / image_name(bound, part)
                save_image(ceilings[part].to_img(bound), path)
                written.append(path)
    if set(means) - {"volume"} and len(means) > 1:
        path = folder / "mean" / "similarity.dscalar.nii"
        save_image(to_cifti(**means), path)
        written.append(path)
    return written


def _test_options(config: SearchlightConfig) -> dict[str, Any]:
    """Return the options of the test over subjects."""
    return config.test.model_dump(exclude={"alpha"}) | {"seed": config.seed}


def _tested(config, maps, means, ceilings, folder: Path):
    """Return the test of each model over subjects (none of one subject), and the peaks."""
    tests: dict[str, dict] = {}
    tables = []
    first = next(iter(means.values()))
    stems = file_names(first.names)
    for index, name in enumerate(first.names):
        if len(next(iter(maps.values()))) > 1:
            tests[name] = group_test_parts(maps, model=index, **_test_options(config))
        rows = []
        for part, mean in means.items():
            columns, where = {}, None
            if name in tests:
                test = tests[name][part]
                where, columns = test.p < config.test.alpha, {"t": test.t, "p": test.p}
                for kind in ("t", "p"):
                    image = mean.space.to_img(getattr(test, kind))
                    path = folder / "tests" / image_name(f"{stems[name]}_{kind}", part)
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
