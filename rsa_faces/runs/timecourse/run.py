"""The run on intracranial recordings: layers by time in each region, tested over patients."""

from __future__ import annotations

import itertools
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from rsa_faces import __version__, datasets
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names, write_text
from rsa_faces.inference.multiple import adjust
from rsa_faces.mapping import LayerMap, compare_networks, layer_map, map_clusters
from rsa_faces.networks import load_network
from rsa_faces.rdm import MEASURES, RDMs, concat, layer_rdms, load_rdms
from rsa_faces.runs._provenance import git_state, machine, versions
from rsa_faces.runs._reading import dump_config
from rsa_faces.runs._steps import Steps, locked
from rsa_faces.runs.searchlight.config import TimecourseConfig
from rsa_faces.runs.timecourse.recordings import patient_rdms, read_recordings
from rsa_faces.stimuli import load_stimuli

OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class TimecourseOutput:
    """What a run left.

    Attributes
    ----------
    folder : Path
    clusters : DataFrame
        One row per cluster of times (and layers) in which similarity is above 0.
    networks : DataFrame
        One row per region and pair of networks, from
        :func:`rsa_faces.mapping.compare_networks`; p is corrected for all rows. Empty with one
        network or one patient.
    figures : tuple of Path
        PNG files; SVG and PDF lie beside them.
    n_patients : int
    notes : tuple of str
        What a reader has to know.
    """

    folder: Path
    clusters: pd.DataFrame
    networks: pd.DataFrame
    figures: tuple[Path, ...]
    n_patients: int
    notes: tuple[str, ...]


def run_timecourse(
    config: TimecourseConfig,
    folder: str | Path,
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> TimecourseOutput:
    """Compare layers with recordings over time, region by region; write, test and draw it.

    Parameters
    ----------
    config : TimecourseConfig
        From :func:`rsa_faces.runs.timecourse.config.load_timecourse_config`.
    folder : path-like
        For the results; RDMs of patients that are there already are not made again.
    device : str, default "auto"
        Where networks run.
    on_step : callable, optional
        Called as ``on_step(done, total, what)`` before each step.

    Returns
    -------
    TimecourseOutput

    Raises
    ------
    InputError
        If the input is wrong.
    """
    import matplotlib.pyplot as plt

    from rsa_faces.figures import plot_electrodes, plot_layer_map, save_figure

    started, clock = datetime.now(UTC), time.perf_counter()
    folder = Path(folder)
    tell = on_step or (lambda done, total, what: None)
    source = config.stimuli
    stimuli = (
        datasets.load_dataset(source.dataset).stimuli
        if source.dataset is not None
        else load_stimuli(source.folder, manifest=source.manifest)
    )
    recordings = read_recordings(config, stimuli)
    notes = [recordings.note] if recordings.note else []
    total = len(config.networks) + len(recordings.patients) + 2
    (folder / "rdms").mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_text(folder / "config.yaml", dump_config(config))
        steps, done, models, data = Steps(folder), 0, [], []
        for entry in config.networks:
            tell(done, total, f"layers of {entry.name}")
            models.append(_network(config, entry, stimuli, device, steps, folder))
            done += 1
        electrodes = []
        for patient in recordings.patients:
            tell(done, total, f"RDMs of {patient}")
            rdms, table = patient_rdms(config, recordings, patient, stimuli, steps, folder, notes)
            data += [] if rdms is None else [rdms]
            electrodes.append(table)
            done += 1
        if not data:
            raise InputError(
                "expected patients with electrodes that prefer faces, but none of "
                f"{len(electrodes)} has any."
            )
        electrodes = pd.concat(electrodes, ignore_index=True)
        tell(done, total, "layers and times")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found = layer_map(concat(models), concat(data), method=config.method, seed=config.seed)
            test = map_clusters(
                found, along=config.test.along, n_permutations=config.test.n_permutations,
                seed=config.seed,
            )  # fmt: skip
        notes += [str(w.message) for w in caught if w.category is UserWarning]
        tables = {"similarity": found.to_frame(), "clusters": test.clusters,
                  "electrodes": electrodes}  # fmt: skip
        networks = _compared(found, [entry.name for entry in config.networks], config.seed)
        if len(networks):
            tables["networks"] = networks
        for name, table in tables.items():
            with atomic_path(folder / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False)
        tell(total - 1, total, "figures")
        axes = plot_layer_map(found, test, alpha=config.test.alpha)
        figures = save_figure(axes.flat[0].figure, folder / "figures" / "layers by time")
        plt.close(axes.flat[0].figure)
        used = electrodes[electrodes["used"]]
        try:
            drawn = plot_electrodes(used)
        except InputError as err:
            notes.append(f"no figure of electrodes: {err}")
        else:
            figures += save_figure(drawn, folder / "figures" / "electrodes")
            plt.close(drawn)
        provenance = {
            "rsa-faces": __version__, "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 1), "steps_reused": steps.reused,
            "seed": config.seed, "stimuli_sha256": stimuli.hash,
            "data_sha256": dict(recordings.hashes),
            "versions": versions(), "machine": machine(), "git": git_state(Path.cwd()),
        }  # fmt: skip
        write_text(folder / "provenance.json", json.dumps(provenance, indent=1))
    tell(total, total, "done")
    pictures = tuple(path for path in figures if path.suffix == ".png")
    return TimecourseOutput(
        folder, test.clusters, networks, pictures, len(data), tuple(dict.fromkeys(notes))
    )


def _network(config, entry, stimuli, device, steps: Steps, folder: Path) -> RDMs:
    """Return a network's layer RDMs, from disk where they are done."""
    network = load_network(entry.name, device=device, weights=entry.weights, seed=config.seed)
    name = f"rdms/{file_names(n.name for n in config.networks)[entry.name]}.h5"
    # Measures that need repeats estimate squared distances.
    repeats = not MEASURES[config.measure].plain
    measure = "sqeuclidean" if repeats else config.measure

    def make() -> None:
        layer_rdms(
            network, stimuli, layers=entry.layers, reduce=entry.reduce, seed=config.seed,
            measure=measure, budget=config.budget, progress=False,
        ).save(folder / name)  # fmt: skip

    depends_on = [
        __version__, network.weights_sha256, repr(network.spec.preprocessing), stimuli.hash,
        repr((entry.layers, entry.reduce, config.seed, measure)),
    ]  # fmt: skip
    steps.run(f"rdms {entry.name}", depends_on, [name], make)
    return load_rdms(folder / name)


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
