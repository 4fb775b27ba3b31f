"""The run on intracranial recordings: layers by time in each region, tested over patients."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rsa_faces import __version__, datasets
from rsa_faces._errors import InputError
from rsa_faces._files import atomic_path, sha256_file, slug, write_text
from rsa_faces._optional import require
from rsa_faces.brain import ieeg_patterns, ieeg_rdms, read_electrodes
from rsa_faces.config import TimecourseConfig, dump_config
from rsa_faces.mapping import layer_map, map_clusters
from rsa_faces.networks import load_network
from rsa_faces.pipeline._provenance import git_state, machine, versions
from rsa_faces.pipeline._steps import Steps, locked
from rsa_faces.pipeline._tables import separator
from rsa_faces.rdm import RDMs, concat, layer_rdms, load_rdms
from rsa_faces.stimuli import StimulusSet, load_stimuli

OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class TimecourseOutput:
    """What a run left.

    Attributes
    ----------
    folder : Path
    clusters : DataFrame
        One row per cluster of times (and layers) in which similarity is above 0.
    figures : tuple of Path
        PNG files; SVG and PDF lie beside them.
    n_patients : int
    notes : tuple of str
        What a reader has to know.
    """

    folder: Path
    clusters: pd.DataFrame
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
        From :func:`rsa_faces.config.load_timecourse_config`.
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

    from rsa_faces.figures import plot_layer_map, save_figure

    started, clock = datetime.now(UTC), time.perf_counter()
    folder = Path(folder)
    tell = on_step or (lambda done, total, what: None)
    source = config.stimuli
    stimuli = (
        datasets.load_dataset(source.dataset).stimuli
        if source.dataset is not None
        else load_stimuli(source.folder, manifest=source.manifest)
    )
    recordings, electrodes, hashes, note = _recordings(config, stimuli)
    notes = [note] if note else []
    total = len(config.networks) + len(recordings) + 2
    (folder / "rdms").mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_text(folder / "config.yaml", dump_config(config))
        steps, done, models, data = Steps(folder), 0, [], []
        for entry in config.networks:
            tell(done, total, f"layers of {entry.name}")
            models.append(_network(config, entry, stimuli, device, steps, folder))
            done += 1
        for patient, epochs in recordings.items():
            tell(done, total, f"RDMs of {patient}")
            data.append(
                _patient(config, patient, epochs, electrodes, hashes, stimuli, steps, folder, notes)
            )
            done += 1
        tell(done, total, "layers and times")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found = layer_map(concat(models), concat(data), method=config.method, seed=config.seed)
            test = map_clusters(
                found, along=config.test.along, n_permutations=config.test.n_permutations,
                seed=config.seed,
            )  # fmt: skip
        notes += [str(w.message) for w in caught if w.category is UserWarning]
        for name, table in (("similarity", found.to_frame()), ("clusters", test.clusters)):
            with atomic_path(folder / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False)
        tell(total - 1, total, "figures")
        axes = plot_layer_map(found, test, alpha=config.test.alpha)
        figures = save_figure(axes.flat[0].figure, folder / "figures" / "layers by time")
        plt.close(axes.flat[0].figure)
        provenance = {
            "rsa-faces": __version__, "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 1), "steps_reused": steps.reused,
            "seed": config.seed, "stimuli_sha256": stimuli.hash, "data_sha256": hashes,
            "versions": versions(), "machine": machine(), "git": git_state(Path.cwd()),
        }  # fmt: skip
        write_text(folder / "provenance.json", json.dumps(provenance, indent=1))
    tell(total, total, "done")
    pictures = tuple(path for path in figures if path.suffix == ".png")
    return TimecourseOutput(
        folder, test.clusters, pictures, len(recordings), tuple(dict.fromkeys(notes))
    )


def _network(config, entry, stimuli, device, steps: Steps, folder: Path) -> RDMs:
    """Return a network's layer RDMs, from disk where they are done."""
    network = load_network(entry.name, device=device, weights=entry.weights, seed=config.seed)
    name = f"rdms/{slug(entry.name)}.h5"
    # Measures that need repeats estimate squared distances.
    repeats = config.measure in {"crossnobis", "mahalanobis"}
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


def _patient(config, patient, epochs, electrodes, hashes, stimuli, steps, folder, notes) -> RDMs:
    """Return a patient's RDMs by region and time, from disk where they are done."""
    name = f"rdms/patient-{slug(patient)}.h5"

    def make() -> None:
        opened = epochs
        if isinstance(epochs, Path):
            mne = require("mne", extra="ieeg", purpose="Intracranial recordings")
            opened = mne.read_epochs(epochs, verbose="error")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            patterns = ieeg_patterns(
                opened, electrodes=electrodes, conditions=config.data.conditions, stimuli=stimuli,
                signal=config.signal, patient=patient, unplaced=config.unplaced, progress=False,
            )  # fmt: skip
            rdms = ieeg_rdms(
                patterns, per="region", measure=config.measure, window=config.window,
                step=config.step, progress=False,
            )  # fmt: skip
        notes.extend(f"{patient}: {w.message}" for w in caught if w.category is UserWarning)
        rdms.save(folder / name)

    settings = (config.signal, config.measure, config.window, config.step, config.unplaced,
                config.data.conditions)  # fmt: skip
    depends_on = [__version__, hashes[patient], hashes["electrodes"], stimuli.hash, repr(settings)]
    steps.run(f"patient {patient}", depends_on, [name], make)
    return load_rdms(folder / name)


def _recordings(config: TimecourseConfig, stimuli: StimulusSet):
    """Return epochs (or their files) by patient, electrodes, hashes and what to say of them."""
    data = config.data
    if data.simulated is None:
        for path in [*data.patients.values(), data.electrodes]:
            if not path.is_file():
                raise InputError(f"expected the file {path}, but it does not exist.")
        hashes = {p: sha256_file(path) for p, path in data.patients.items()}
        hashes["electrodes"] = sha256_file(data.electrodes)
        table = pd.read_csv(data.electrodes, sep=separator(data.electrodes), na_values="n/a")
        return dict(data.patients), read_electrodes(table), hashes, ""
    parts, planted = [], []
    for entry in data.simulated:
        network = load_network(entry.network, device="cpu", seed=config.seed)
        rdms = layer_rdms(
            network, stimuli, layers=[entry.layer], measure="sqeuclidean", budget=config.budget,
            progress=False,
        )  # fmt: skip
        name = f"{entry.network} {entry.layer}"
        if all(name != part.labels["name"][0] for part in parts):
            parts.append(rdms.with_labels(name=[name]))
        planted.append((entry.region, name, entry.start, entry.stop))
    made = datasets.simulated_recordings(concat(parts), planted, seed=config.seed)
    key = repr((planted, config.seed, __version__))
    known: dict[str, Any] = dict.fromkeys([*made.epochs, "electrodes"], key)
    what = "; ".join(f"{m} in {r}, {a:g} to {b:g} s" for r, m, a, b in planted)
    return made.epochs, made.electrodes, known, f"these recordings are simulated: {what}."
