"""The run behind `rsa-faces timecourse`: layers by time in each region, tested over patients."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from typing import ClassVar

import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces.inference.multiple import adjust
from rsa_faces.mapping import LayerMap, compare_networks, layer_map, map_clusters
from rsa_faces.rdm import MEASURES, RDMs, concat
from rsa_faces.report import Account
from rsa_faces.runs._inputs import column_of
from rsa_faces.runs._networks import Networks, network_rdms, read_images
from rsa_faces.runs._run import Run
from rsa_faces.runs.timecourse.config import TimecourseConfig
from rsa_faces.runs.timecourse.outputs import account, draw
from rsa_faces.runs.timecourse.recordings import patient_rdms, read_recordings


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
    writes: ClassVar = ("clusters", "similarity", "electrodes", "networks")

    config: TimecourseConfig

    def check(self) -> None:
        """Read stimuli and what recordings there are; unknown layers are errors now."""
        config = self.config
        self.stimuli = read_images(config.stimuli, self.command)
        self.blocks = column_of(self.stimuli, config.blocks, "blocks")
        self.networks = Networks(
            config.networks, self.stimuli, self.device, config.seed, known=self.folder / "faces.csv"
        )
        self.networks.check()
        self.notes += self.networks.notes
        self.recordings = read_recordings(config, self.stimuli)
        self.notes += [self.recordings.note] if self.recordings.note else []
        self.hashes = {
            "stimuli_sha256": self.stimuli.hash,
            "weights_sha256": dict(self.networks.weights),
            "data_sha256": dict(self.recordings.hashes),
        }

    def n_steps(self) -> int:
        """Networks, patients, the map, and figures."""
        return len(self.config.networks) + len(self.recordings.patients) + 2

    def make(self) -> None:
        """Make RDMs of layers and patients, and the map of their similarity with its tests."""
        config = self.config
        # Measures that need repeats estimate squared distances.
        measure = config.measure if MEASURES[config.measure].plain else "sqeuclidean"
        models = concat(network_rdms(self, self.networks, measure))
        data: list[RDMs] = []
        electrodes = []
        for patient in self.recordings.patients:
            rdms, table = patient_rdms(self, self.recordings, patient, self.stimuli)
            data += [] if rdms is None else [rdms]
            electrodes.append(table)
        if not data:
            raise InputError(
                "expected patients with electrodes that prefer faces, but none of "
                f"{len(electrodes)} has any."
            )
        self.tell("layers and times")
        self.n_patients = len(data)
        self.found = layer_map(
            models,
            concat(data),
            method=config.method,
            blocks=self.blocks,
            seed=config.seed,
        )
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
        return {"electrodes": chosen}

    def account(self) -> Account:
        """Return clusters, methods and sources."""
        return account(self)


def _compared(found: LayerMap, networks: list[str], seed: int) -> pd.DataFrame:
    """Return the tests of each pair of networks in each region, corrected for all of them."""
    parts = []
    for one, other in itertools.combinations(networks, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # said with the clusters
            parts.append(compare_networks(found, one, other, seed=seed))
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    return table.assign(p_corrected=adjust(table["p"].to_numpy(), method="holm"))
