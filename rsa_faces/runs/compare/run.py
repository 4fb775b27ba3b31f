"""The run behind `rsa-faces compare`: layers and models against regions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import file_names, write_text
from rsa_faces.comparison import METHODS
from rsa_faces.inference import Partition, Result, cronbach_alpha, evaluate, variance_partition
from rsa_faces.rdm import RDMs, concat
from rsa_faces.report import Account
from rsa_faces.runs._inputs import Inputs, read_inputs
from rsa_faces.runs._networks import Networks, network_rdms
from rsa_faces.runs._run import Run
from rsa_faces.runs.compare import held_out
from rsa_faces.runs.compare.config import Config
from rsa_faces.runs.compare.outputs import account, draw, partition_tables


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
    writes: ClassVar = ("results", "tests", "subjects", "ceilings", "best_layers")

    config: Config

    def check(self) -> None:
        """Read all input; unknown names, layers and missing weights are errors now."""
        self.inputs: Inputs = read_inputs(self.config)
        self.networks = Networks(
            self.config.networks,
            self.inputs.stimuli,
            self.device,
            self.config.seed,
            known=self.folder / "faces.csv",
            rate=None if self.config.stimuli is None else self.config.stimuli.rate,
        )
        stimuli = self.inputs.stimuli
        self.hashes = {
            "stimuli_sha256": None if stimuli is None else stimuli.hash,
            "weights_sha256": dict(self.networks.weights),
            "data_sha256": {region: rdms.hash for region, rdms in self.inputs.data.items()},
        }
        self.networks.check()
        self.notes += self.networks.notes

    def n_steps(self) -> int:
        """Networks, regions of each subset (and their partition), best layers, and the figures."""
        n_evaluated = len(self.inputs.subsets) * len(self.inputs.data)
        n_times = 1 if self.config.partition is None else 2
        n_judged = len(held_out.judged_regions(self))
        return len(self.config.networks) + n_evaluated * n_times + n_judged + 1

    def make(self) -> None:
        """Make RDMs and test their similarities with the data."""
        parts = network_rdms(self, self.networks, self.config.measure)
        if self.inputs.models is not None:
            parts.append(self.inputs.models)
        self.models: RDMs = concat([part.subset(self.inputs.conditions) for part in parts])
        self.hashes["models_sha256"] = self.models.hash
        self.evaluated = self._evaluations()
        self.notes += self.evaluated.notes
        self.models.save(self.folder / "rdms" / "models.h5")
        concat(self.inputs.data.values()).save(self.folder / "rdms" / "data.h5")
        self.tables = {
            "results": self.evaluated.table,
            "tests": self.evaluated.pairs,
            "subjects": self.evaluated.subjects,
            "ceilings": self.evaluated.ceilings.assign(cronbach_alpha=self._alphas()),
        }
        self.best = held_out.judge(self)
        if len(self.best):
            self.tables["best_layers"] = self.best
        self.partitions = {}
        if self.config.partition is not None:
            self.partitions = self._partitions()
            self.tables |= partition_tables(self.partitions)
            self.notes += [
                f"{region}, {subset}: {note}"
                for (subset, region), partition in self.partitions.items()
                for note in partition.notes
            ]

    def draw(self) -> None:
        """Draw layers, heat maps, models, RDMs, partitions and the map of conditions."""
        draw(self)

    def account(self) -> Account:
        """Return answers, tables, methods and sources."""
        return account(self)

    def meanings(self) -> Mapping[str, Mapping[str, str]]:
        """Return what columns of the table of best layers are."""
        return {"best_layers": held_out.MEANINGS}

    def result(self) -> Result:
        """Return the result of :func:`rsa_faces.evaluate` over regions and subsets."""
        return self.evaluated

    def _evaluations(self) -> Result:
        """Return the tests of every subset and region, from disk where they are done."""
        begun = []
        subsets = file_names(self.inputs.subsets)
        regions = file_names(entry.region for entry in self.config.data)
        for subset, conditions in self.inputs.subsets.items():
            for entry in self.config.data:
                path = f"parts/{subsets[subset]}--{regions[entry.region]}.json"
                data = self.inputs.data[entry.region].subset(conditions)
                models = self.models.subset(conditions)
                inference = self.config.inference
                options = {
                    "method": self.config.method,
                    "generalise_to": entry.generalise_to or inference.generalise_to,
                    "uncertainty": inference.uncertainty,
                    "n_boot": inference.n_boot,
                    "groups": self._of(self.inputs.groups, conditions),
                    "blocks": self._of(self.inputs.blocks, conditions),
                    "family": inference.family,
                    "tail": inference.tail,
                    "alpha": inference.alpha,
                    "correction": inference.correction,
                    "by": inference.by,
                    "seed": self.config.seed,
                }
                given = self.inputs.given
                given = None if given is None else given.subset(conditions)
                part = self.begin(
                    f"{entry.region}, {subset}",
                    f"evaluate {subset} {entry.region}",
                    [models.hash, data.hash, given.hash if given else "", subset, repr(options)],
                    [path],
                    _make_evaluation,
                    models,
                    data,
                    {"subset": subset, "given": given, **options},
                    self.folder / path,
                )
                begun.append((part, path))
        results = []
        for part, path in begun:
            self.finish(part)
            # Always read back: a resumed run then ends with the same bytes.
            results.append(Result.from_json((self.folder / path).read_text(encoding="utf-8")))
        result = Result.concat(results)
        return replace(result, notes=(*self.inputs.notes, *result.notes))

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

    def _partitions(self) -> dict[tuple[str, str], Partition]:
        """Return what sets of networks and models explain of each subset and region."""
        begun = []
        inference = self.config.inference
        subsets = file_names(self.inputs.subsets)
        regions = file_names(entry.region for entry in self.config.data)
        labels = self.models.labels
        for subset, conditions in self.inputs.subsets.items():
            models = self.models.subset(conditions)
            predictors = {}
            for name, members in self.config.partition.items():
                # Of a network the last layer, which was chosen before looking.
                rows = [int(np.flatnonzero(labels["network"] == m)[-1]) for m in members]
                predictors[name] = models[rows]
            for entry in self.config.data:
                path = f"parts/partition-{subsets[subset]}--{regions[entry.region]}.h5"
                data = self.inputs.data[entry.region].subset(conditions)
                options = {
                    "groups": self._of(self.inputs.groups, conditions),
                    "blocks": self._of(self.inputs.blocks, conditions),
                    "generalise_to": entry.generalise_to or inference.generalise_to,
                    "n_boot": inference.n_boot,
                    "by": inference.by,
                    "seed": self.config.seed,
                    "alpha": inference.alpha,
                    "transform": "rank" if METHODS[self.config.method].uses_ranks else None,
                }
                part = self.begin(
                    f"partition of {entry.region}, {subset}",
                    f"partition {subset} {entry.region}",
                    [*(p.hash for p in predictors.values()), *predictors, data.hash, repr(options)],
                    [path],
                    _make_partition,
                    data,
                    predictors,
                    options,
                    self.folder / path,
                )
                begun.append(((subset, entry.region), part, path))
        found = {}
        for place, part, path in begun:
            self.finish(part)
            found[place] = Partition.load(self.folder / path)
        return found


def _make_evaluation(models: RDMs, data: RDMs, arguments: dict, path: Path) -> None:
    """Write the tests of one region and subset. May run on another machine."""
    with warnings.catch_warnings():
        # What evaluate warns of is in its notes, which the run shows and keeps.
        warnings.simplefilter("ignore", UserWarning)
        result = evaluate(models, data, **arguments)
    write_text(path, result.to_json())


def _make_partition(data: RDMs, predictors: dict, options: dict, path: Path) -> None:
    """Write what predictors explain of one region and subset. May run on another machine."""
    with warnings.catch_warnings():
        # What is warned of is in its notes.
        warnings.simplefilter("ignore", UserWarning)
        partition = variance_partition(data, predictors, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    partition.save(path)
