"""The run behind `rsa-faces timecourse`: layers by time in each region, tested over patients."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces.inference.multiple import adjust
from rsa_faces.mapping import LayerMap, compare_networks, layer_map, map_clusters
from rsa_faces.rdm import MEASURES, RDMs, concat, load_rdms
from rsa_faces.report import Account
from rsa_faces.runs._held_out import MEANINGS, held_out_layers
from rsa_faces.runs._inputs import column_of
from rsa_faces.runs._networks import network_jobs, network_rdms, networks_of, read_images
from rsa_faces.runs._plan import Trials, timed
from rsa_faces.runs._run import Run
from rsa_faces.runs.timecourse.config import TimecourseConfig
from rsa_faces.runs.timecourse.outputs import account, draw
from rsa_faces.runs.timecourse.recordings import (
    names_of_faces,
    patient_jobs,
    patient_rdms,
    read_recordings,
)


class TimecourseRun(Run):
    """Compare layers with recordings over time, region by region.

    Examples
    --------
    >>> from rsa_faces.runs.timecourse.run import TimecourseRun
    >>> TimecourseRun.command
    'timecourse'
    """

    command: ClassVar[str] = "timecourse"
    takes: ClassVar = TimecourseConfig
    writes: ClassVar = {
        "clusters": "clusters of times, or of times and layers, in each region",
        "similarity": "each layer with each patient, region and time",
        "electrodes": "electrodes, and whether they were used",
        "networks": "differences of pairs of networks in each region (where there are several)",
        "best_layers": "the best layer of each network and its time, chosen by other patients",
    }

    config: TimecourseConfig

    def check(self) -> None:
        """Read stimuli and what recordings there are; unknown layers are errors now."""
        config = self.config
        self.stimuli = read_images(config.stimuli, self.command)
        self.blocks = column_of(self.stimuli, config.blocks, "blocks")
        self.networks = networks_of(self, self.stimuli)
        self.recordings = read_recordings(config, self.stimuli)
        names_of_faces(config.data.face_selective, self.stimuli)
        self.notes += [self.recordings.note] if self.recordings.note else []
        self.hashes["data_sha256"] = dict(self.recordings.hashes)

    def n_steps(self) -> int:
        """Networks, patients, the map, and figures."""
        return len(self.config.networks) + len(self.recordings.patients) + 2

    def n_stages(self) -> int:
        """Networks, and patients."""
        return 2

    def estimate(self, trials: Trials) -> None:
        """Make the RDMs of the first patient; try layers with some of these, and some flips."""
        config, n = self.config, len(self.recordings.patients)
        trials.networks(self.networks, network_jobs(self, self.networks, self.measure_of_layers))
        jobs = patient_jobs(self, self.recordings, self.stimuli)
        (trials.scratch / "rdms").mkdir()
        first = timed(jobs[0].function, *jobs[0].arguments)
        source = next(iter(self.recordings.patients.values()))
        own = source.stat().st_size if isinstance(source, Path) else 0
        table, path = jobs[0].arguments[-2:]
        left = (path if path.exists() else table).stat().st_size
        for job in jobs:
            trials.add(job.what, first, 20 * own + 20 * left, left, shared=True)
        layers = self.networks.layers.items()
        names = [(network, layer) for network, some in layers for layer in some]
        more = 40 * left * n
        if path.exists():
            rdms = load_rdms(path)
            labels = pd.DataFrame(names, columns=["network", "layer"])
            rng, spread = np.random.default_rng(0), float(np.nanstd(rdms.vectors))
            values = rng.random((len(names), rdms.n_pairs))
            models = RDMs(
                values, rdms.conditions, "random", labels.assign(layer_index=0, depth=0.5)
            )
            found = {}

            def map_some(k: int) -> None:
                # Each with noise of its own: of equal patients there is no t.
                patients = [
                    RDMs(
                        rdms.vectors + rng.normal(scale=spread, size=rdms.vectors.shape),
                        rdms.conditions,
                        rdms.measure,
                        rdms.labels.assign(subject=f"patient {i}"),
                    )
                    for i in range(k)
                ]
                found[0] = self._layer_map(models, patients)

            def test_some(k: int) -> None:
                map_clusters(found[0], along=config.test.along, n_permutations=k, seed=0)

            seconds = trials.seconds("layers", map_some, n, (3, 4))
            flips = config.test.n_permutations
            seconds += trials.seconds("test", test_some, flips, (flips // 50 + 99, flips // 5 + 99))
            more += 8 * flips * len(rdms) + 100 * n * len(rdms) * len(names)
            trials.add("layers and times", seconds, more, 60 * n * len(rdms) * len(names))
        n_panels = len(self.networks.entries) * 2
        trials.figures("figures and report", 6 + 3 * n_panels)

    def make(self) -> None:
        """Make RDMs of layers and patients, and the map of their similarity with its tests."""
        config = self.config
        models = concat(network_rdms(self, self.networks, self.measure_of_layers))
        data, electrodes = patient_rdms(self, self.recordings, self.stimuli)
        if not data:
            raise InputError(
                "expected patients with electrodes that prefer faces, but none of "
                f"{len(electrodes)} has any."
            )
        self.tell("layers and times")
        self.n_patients = len(data)
        self.found = self._layer_map(models, data)
        self.test = map_clusters(
            self.found,
            along=config.test.along,
            n_permutations=config.test.n_permutations,
            seed=config.seed,
        )
        self.tables = {
            "clusters": self.test.clusters,
            "similarity": self.found.to_frame(),
            "electrodes": pd.concat(electrodes, ignore_index=True),
        }
        networks = _compared(self.found, [entry.name for entry in config.networks], config.seed)
        if len(networks):
            self.tables["networks"] = networks
        self.best = _best_layers(self.found)
        if len(self.best):
            self.tables["best_layers"] = self.best

    def _layer_map(self, models: RDMs, patients: list[RDMs]) -> LayerMap:
        """Compare layers with every time of patients."""
        config, data = self.config, concat(patients)
        return layer_map(models, data, method=config.method, blocks=self.blocks, seed=config.seed)

    @property
    def measure_of_layers(self) -> str:
        """How layers' RDMs are made: measures that need repeats estimate squared distances."""
        return self.config.measure if MEASURES[self.config.measure].plain else "sqeuclidean"

    def draw(self) -> None:
        """Draw layers by time, and the electrodes."""
        draw(self, self.found, self.test, self.tables["electrodes"], self.n_patients)

    def meanings(self) -> Mapping[str, Mapping[str, str]]:
        """Return what columns are where electrodes that prefer faces were chosen."""
        chosen = {
            "difference": "mean of faces less mean of others, on the trials that choose electrodes",
            "p": "one-sided p value of that difference",
            "p_corrected": "the same, corrected over the electrodes of the patient",
        }
        return {"electrodes": chosen, "best_layers": MEANINGS}

    def account(self) -> Account:
        """Return clusters, methods and sources."""
        return account(self)


def _best_layers(found: LayerMap) -> pd.DataFrame:
    """Return each network's similarity where other patients found it highest, in each region."""
    tables = []
    for region, curves in found.curves.groupby("region", sort=False):
        groups = list(curves.groupby("network", sort=False))
        values = {
            network: np.moveaxis(found.subjects[:, rows.index], 0, 1) for network, rows in groups
        }
        layers = {network: rows["layer"].tolist() for network, rows in groups}
        table = held_out_layers(values, layers)
        if len(table):
            table.insert(0, "region", region)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _compared(found: LayerMap, networks: list[str], seed: int) -> pd.DataFrame:
    """Return the tests of each pair of networks in each region, corrected for all of them."""
    parts = []
    for one, other in itertools.combinations(networks, 2):
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            # said with the clusters
            parts.append(compare_networks(found, one, other, seed=seed))
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    return table.assign(p_corrected=adjust(table["p"].to_numpy(), method="holm"))
