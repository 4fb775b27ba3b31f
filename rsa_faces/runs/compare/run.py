"""The run behind `rsa-faces compare`: layers and models against regions."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import file_names, write_text
from rsa_faces._core.words import interval_label
from rsa_faces.comparison import METHODS
from rsa_faces.inference import Partition, Result, cronbach_alpha, evaluate, variance_partition
from rsa_faces.rdm import RDMs, concat
from rsa_faces.report import Account
from rsa_faces.runs._inputs import Inputs, read_inputs, with_regions
from rsa_faces.runs._job import Job, save_made
from rsa_faces.runs._networks import network_jobs, network_rdms, networks_of
from rsa_faces.runs._plan import Trials, timed
from rsa_faces.runs._run import Run
from rsa_faces.runs.compare import held_out, regions
from rsa_faces.runs.compare.config import Config, DataConfig
from rsa_faces.runs.compare.outputs import account, draw, partition_tables

_ENDS = {"low": "lower", "high": "upper"}


class CompareRun(Run):
    """Compare layers of networks and models with RDMs of regions.

    Examples
    --------
    >>> from rsa_faces.runs.compare.run import CompareRun
    >>> CompareRun.command
    'compare'
    """

    command: ClassVar[str] = "compare"
    takes: ClassVar = Config
    writes: ClassVar = {
        "results": "each layer and model with each region: similarity, against 0 and the ceiling",
        "tests": "differences of pairs of layers and models",
        "subjects": "similarity with each subject",
        "ceilings": "noise ceilings and reliability of each region",
        "best_layers": "the best layer of each network, judged by data that did not choose it",
        "partition": "parts of the variance that sets of networks explain (`partition`)",
        "partition_models": "what each set of networks explains, alone and together (`partition`)",
    }

    config: Config

    def check(self) -> None:
        """Read all input; unknown names, layers and missing weights are errors now."""
        self.inputs: Inputs = read_inputs(self.config)
        self.sources = regions.sources(self.config)
        self.networks = networks_of(self, self.inputs.stimuli)

    def n_steps(self) -> int:
        """Networks, regions: made, tested in each subset (and split), best layers; figures."""
        n_evaluated = len(self.inputs.subsets) * len(self.inputs.data)
        n_times = 1 if self.config.partition is None else 2
        n_judged = len(held_out.judged_regions(self))
        n_made = len(self.config.networks) + regions.n_jobs(self)
        return n_made + n_evaluated * n_times + n_judged + 1

    def n_stages(self) -> int:
        """Networks, regions if some are made, and what needs the RDMs of both."""
        return 2 + (regions.n_jobs(self) > 0)

    def estimate(self, trials: Trials) -> None:
        """Try networks with some images, and inference with some samples, on random models."""
        trials.networks(self.networks, network_jobs(self, self.networks, self.config.measure))
        self._try_regions(trials)
        layers = self.networks.layers.items()
        names = [(network, layer) for network, some in layers for layer in some]
        n_models = 0 if self.inputs.models is None else len(self.inputs.models)
        parts = [] if self.inputs.models is None else [self.inputs.models]
        if names:
            n_pairs = len(self.inputs.conditions) * (len(self.inputs.conditions) - 1) // 2
            labels = pd.DataFrame(names, columns=["network", "layer"])
            labels = labels.assign(layer_index=labels.groupby("network").cumcount(), depth=0.5)
            values = np.random.default_rng(0).random((len(names), n_pairs))
            parts.insert(0, RDMs(values, self.inputs.conditions, "random", labels))
        self.models: RDMs = concat([part.subset(self.inputs.conditions) for part in parts])
        n_boot = self.config.inference.n_boot
        for job in (*self._evaluations(), *held_out.jobs(self), *self._partitions()):
            data = next(a for a in job.arguments if isinstance(a, RDMs) and "region" in a.labels)
            n_subjects, n_rdms = len(data), len(names) + n_models
            trials.job(
                job,
                "n_boot",
                (n_rdms, n_subjects, data.n_conditions, str(job.step.split()[0])),
                more_bytes=80 * (n_rdms + n_subjects) * data.n_pairs
                + 24 * n_boot * n_rdms * (n_subjects + 4)
                + 200 * n_rdms**2,
                disk_bytes=300 * n_rdms * (n_rdms + n_subjects),
            )
        n_panels = len(self.inputs.data) * (len(self.networks.entries) + 1)
        n_subsets = len(self.inputs.subsets)
        n_figures = 4 + n_subsets * (4 + 0.7 * n_panels) + 1.4 * n_panels
        n_figures += 10 * (self.config.figures.mds_region is not None)
        trials.figures("figures and report", n_figures)

    def _try_regions(self, trials: Trials) -> None:
        """Make regions of the first subject of each kind of images, who counts for the others."""
        (trials.scratch / "parts").mkdir()
        seconds: dict[str, float] = {}
        for job in regions.region_jobs(self):
            kind = job.step.partition(" of ")[0]
            if kind not in seconds:
                seconds[kind] = timed(job.function, *job.arguments)
                left = sum(path.stat().st_size for path in job.arguments[-1].values())
            trials.add(job.what, seconds[kind], left, left, shared=True)

    def make(self) -> None:
        """Make RDMs and test their similarities with the data."""
        parts = network_rdms(self, self.networks, self.config.measure)
        made = regions.region_rdms(self) if regions.n_jobs(self) else {}
        self.inputs = with_regions(self.inputs, self.config, made)
        self.hashes["data_sha256"] = {
            region: rdms.hash for region, rdms in self.inputs.data.items()
        }
        if self.inputs.models is not None:
            parts.append(self.inputs.models)
        self.models = concat([part.subset(self.inputs.conditions) for part in parts])
        self.hashes["models_sha256"] = self.models.hash
        jobs = self._evaluations(), held_out.jobs(self), self._partitions()
        # All at once: a cluster has work until the last of any kind is done.
        self.do(itertools.chain(*jobs))
        # Always read back: a resumed run then ends with the same bytes.
        parts = [
            Result.from_json((self.folder / job.files[0]).read_text("utf-8")) for job in jobs[0]
        ]
        result = Result.concat(parts)
        self.evaluated = replace(result, notes=(*self.inputs.notes, *result.notes))
        self.notes += self.evaluated.notes
        self.models.save(self.folder / "rdms" / "models.h5")
        concat(self.inputs.data.values()).save(self.folder / "rdms" / "data.h5")
        self.tables = {
            "results": self.evaluated.table,
            "tests": self.evaluated.pairs,
            "subjects": self.evaluated.subjects,
            "ceilings": self.evaluated.ceilings.assign(cronbach_alpha=self._alphas()),
        }
        self.best = held_out.table([self.folder / job.files[0] for job in jobs[1]])
        if len(self.best):
            self.tables["best_layers"] = self.best
        places = itertools.product(self.inputs.subsets, self.inputs.data)
        files = [self.folder / job.files[0] for job in jobs[2]]
        self.partitions = dict(zip(places, map(Partition.load, files), strict=False))
        if self.partitions:
            self.tables |= partition_tables(self.partitions)
        self.notes += [
            f"{region}, {subset}: {note}"
            for (subset, region), partition in self.partitions.items()
            for note in partition.notes
            if not note.startswith("the data: ")  # said of the region, by its tests
        ]

    def draw(self) -> None:
        """Draw layers, heat maps, models, RDMs, partitions and the map of conditions."""
        draw(self)

    def account(self) -> Account:
        """Return answers, tables, methods and sources."""
        return account(self)

    def meanings(self) -> Mapping[str, Mapping[str, str]]:
        """Return what columns of the table of best layers are, and the level of intervals."""
        level = interval_label(self.config.inference.alpha)
        ends = {f"ci_{end}": f"{word} end of the {level}" for end, word in _ENDS.items()}
        return dict.fromkeys(self.writes, ends) | {"best_layers": {**ends, **held_out.MEANINGS}}

    def result(self) -> Result:
        """Return the result of :func:`rsa_faces.evaluate` over regions and subsets."""
        return self.evaluated

    def places(self) -> Iterator[tuple[str, DataConfig, tuple[str, ...], str]]:
        """Yield each subset and region with the conditions, and a name for files."""
        subsets = file_names(self.inputs.subsets)
        stems = file_names(entry.region for entry in self.config.data)
        for subset, conditions in self.inputs.subsets.items():
            for entry in self.config.data:
                yield subset, entry, conditions, f"{subsets[subset]}--{stems[entry.region]}"

    def options(self, entry: DataConfig, conditions: tuple[str, ...], *more: str) -> dict[str, Any]:
        """Return how a region is tested, with `more` of the keys of the inference."""
        inference = self.config.inference
        return {
            "generalise_to": entry.generalise_to or inference.generalise_to,
            "n_boot": inference.n_boot,
            "groups": self._of(self.inputs.groups, conditions),
            "blocks": self._of(self.inputs.blocks, conditions),
            "by": inference.by,
            "seed": self.config.seed,
            "alpha": inference.alpha,
            **{key: getattr(inference, key) for key in more},
        }

    def _evaluations(self) -> list[Job]:
        """Return the tests of every subset and region."""
        jobs = []
        for subset, entry, conditions, name in self.places():
            path = f"parts/{name}.json"
            data = self.inputs.data[entry.region].subset(conditions)
            models = self.models.subset(conditions)
            options = {
                "method": self.config.method,
                **self.options(entry, conditions, "uncertainty", "family", "tail", "correction"),
            }
            given = self.inputs.given
            given = None if given is None else given.subset(conditions)
            jobs.append(
                Job(
                    f"{entry.region}, {subset}",
                    f"evaluate {subset} {entry.region}",
                    [models.hash, data.hash, given.hash if given else "", subset, repr(options)],
                    [path],
                    _make_evaluation,
                    (
                        models,
                        data,
                        {"subset": subset, "given": given, **options},
                        self.folder / path,
                    ),
                )
            )
        return jobs

    @staticmethod
    def _of(labels: Mapping | None, conditions: tuple[str, ...]) -> Mapping | None:
        """Return the labels of some conditions."""
        return None if labels is None else {name: labels[name] for name in conditions}

    def _alphas(self) -> list[float]:
        """Return Cronbach's alpha of each row of the ceilings: NaN of one subject or lost pairs."""
        alphas = []
        for _, row in self.evaluated.ceilings.iterrows():
            conditions = self.inputs.subsets[row["subset"]]
            data = self.inputs.data[row["region"]].subset(conditions)
            blocks = self._of(self.inputs.blocks, conditions)
            try:
                alpha = cronbach_alpha(data, by=self.config.inference.by, blocks=blocks)
            except InputError:
                alphas.append(float("nan"))
                continue
            alphas.append(alpha.overall if blocks is None else alpha.mean)
        return alphas

    def _partitions(self) -> list[Job]:
        """Return what splits the variance of each subset and region among sets of models."""
        jobs: list[Job] = []
        labels = self.models.labels
        for subset, entry, conditions, name in self.places():
            if self.config.partition is None:
                break
            models = self.models.subset(conditions)
            predictors = {
                # Of a network the last layer, which was chosen before looking.
                each: models[[int(np.flatnonzero(labels["network"] == m)[-1]) for m in members]]
                for each, members in self.config.partition.items()
            }
            path = f"parts/partition-{name}.h5"
            data = self.inputs.data[entry.region].subset(conditions)
            options = {
                **self.options(entry, conditions),
                # What is split is the variance of what is compared.
                "transform": "rank" if METHODS[self.config.method].uses_ranks else None,
            }
            jobs.append(
                Job(
                    f"partition of {entry.region}, {subset}",
                    f"partition {subset} {entry.region}",
                    [*(p.hash for p in predictors.values()), *predictors, data.hash, repr(options)],
                    [path],
                    save_made,
                    (variance_partition, data, predictors, options, self.folder / path),
                )
            )
        return jobs


def _make_evaluation(models: RDMs, data: RDMs, arguments: dict, path: Path) -> None:
    """Write the tests of one region and subset. May run on another machine."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        # What evaluate warns of is in its notes, which the run shows and keeps.
        result = evaluate(models, data, **arguments)
    write_text(path, result.to_json())
