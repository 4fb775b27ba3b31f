"""The run behind `rsa-faces compare`: layers and models against regions."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rsa_faces._core.files import file_names, write_text
from rsa_faces.inference import Result, evaluate
from rsa_faces.rdm import RDMs, concat
from rsa_faces.report import Account
from rsa_faces.runs._inputs import Inputs, read_inputs
from rsa_faces.runs._networks import Networks, network_rdms
from rsa_faces.runs._run import Run
from rsa_faces.runs.compare.config import Config
from rsa_faces.runs.compare.outputs import account, draw


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
    writes: ClassVar = ("results", "tests", "subjects", "ceilings")

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
        )
        self.hashes = {
            "stimuli_sha256": self.inputs.stimuli.hash,
            "weights_sha256": dict(self.networks.weights),
            "data_sha256": {region: rdms.hash for region, rdms in self.inputs.data.items()},
        }
        self.networks.check()
        self.notes += self.networks.notes

    def n_steps(self) -> int:
        """Networks, regions of each subset, and the figures."""
        return len(self.config.networks) + len(self.inputs.subsets) * len(self.inputs.data) + 1

    def make(self) -> None:
        """Make RDMs and test their similarities with the data."""
        parts = network_rdms(self, self.networks, self.config.measure)
        if self.inputs.models is not None:
            parts.append(self.inputs.models)
        self.models: RDMs = concat(parts)
        self.hashes["models_sha256"] = self.models.hash
        self.evaluated = self._evaluations()
        self.notes += self.evaluated.notes
        self.models.save(self.folder / "rdms" / "models.h5")
        concat(self.inputs.data.values()).save(self.folder / "rdms" / "data.h5")
        self.tables = {
            "results": self.evaluated.table,
            "tests": self.evaluated.pairs,
            "subjects": self.evaluated.subjects,
            "ceilings": self.evaluated.ceilings,
        }

    def draw(self) -> None:
        """Draw layers, heat maps, models, RDMs and the map of conditions."""
        draw(self, self.inputs, self.models, self.evaluated)

    def account(self) -> Account:
        """Return answers, tables, methods and sources."""
        return account(self.config, self.networks, self.evaluated)

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
                    "groups": self.inputs.groups,
                    "blocks": self.inputs.blocks,
                    "family": inference.family,
                    "tail": inference.tail,
                    "alpha": inference.alpha,
                    "correction": inference.correction,
                    "by": inference.by,
                    "seed": self.config.seed,
                }
                part = self.begin(
                    f"{entry.region}, {subset}",
                    f"evaluate {subset} {entry.region}",
                    [models.hash, data.hash, subset, repr(options)],
                    [path],
                    _make_evaluation,
                    models,
                    data,
                    {"subset": subset, **options},
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


def _make_evaluation(models: RDMs, data: RDMs, arguments: dict, path: Path) -> None:
    """Write the tests of one region and subset. May run on another machine."""
    with warnings.catch_warnings():
        # What evaluate warns of is in its notes, which the run shows and keeps.
        warnings.simplefilter("ignore", UserWarning)
        result = evaluate(models, data, **arguments)
    write_text(path, result.to_json())
