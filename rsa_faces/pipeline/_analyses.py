"""Questions to the features of networks: from a configuration to tables and figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rsa_faces import __version__, analyses, datasets
from rsa_faces._errors import InputError
from rsa_faces._files import atomic_path, slug, write_text
from rsa_faces._validation import check_choice
from rsa_faces.config import AnalysesConfig, TaskConfig, dump_config
from rsa_faces.extraction import Activations, extract
from rsa_faces.networks import load_network
from rsa_faces.pipeline._provenance import git_state, machine, versions
from rsa_faces.pipeline._steps import Steps, locked
from rsa_faces.stimuli import StimulusSet, crop_faces, detect_faces, load_stimuli

OnStep = Callable[[int, int, str], None]
_SUFFIXES = ("svg", "pdf", "png")


@dataclass(frozen=True, eq=False)
class AnalysesOutput:
    """What a run left.

    Attributes
    ----------
    folder : Path
    tables : dict of str to DataFrame
        The table of each analysis, by the name of its file: all networks below each other.
    figures : tuple of Path
        PNG files; SVG and PDF lie beside them.
    notes : tuple of str
        What a reader has to know.
    """

    folder: Path
    tables: dict[str, pd.DataFrame]
    figures: tuple[Path, ...]
    notes: tuple[str, ...]


def run_analyses(
    config: AnalysesConfig,
    folder: str | Path,
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> AnalysesOutput:
    """Take features once from each network, answer each question, and write and draw the answers.

    Parameters
    ----------
    config : AnalysesConfig
        From :func:`rsa_faces.config.load_analyses_config`.
    folder : path-like
        For the results; features and answers that are there already are not made again.
    device : str, default "auto"
        Where networks run.
    on_step : callable, optional
        Called as ``on_step(done, total, what)`` before each step.

    Returns
    -------
    AnalysesOutput

    Raises
    ------
    InputError
        If the input is wrong: a column of labels that is not there, a stimulus without a face.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    folder = Path(folder).resolve()
    tell = on_step or (lambda done, total, what: None)
    stimuli, labels = _stimuli(config)
    for entry in config.analyses:
        _check_labels(entry, labels)
    faces = detect_faces(stimuli) if any(n.crop_faces for n in config.networks) else None
    total = len(config.networks) + len(config.analyses)
    (folder / "activations").mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_text(folder / "config.yaml", dump_config(config))
        steps, features, depends_on, weights = Steps(folder), {}, [__version__], {}
        for i, entry in enumerate(config.networks):
            tell(i, total, f"layers of {entry.name}")
            network = load_network(
                entry.name, device=device, weights=entry.weights, seed=config.seed
            )
            shown = stimuli
            if entry.crop_faces:
                shown = crop_faces(stimuli, faces, template=network.spec.crop)
            features[entry.name] = extract(
                network, shown, layers=entry.layers, reduce=entry.reduce, seed=config.seed,
                store=folder / "activations" / f"{slug(entry.name)}.h5", budget=config.budget,
                progress=False,
            )  # fmt: skip
            weights[entry.name] = network.weights_sha256
            depends_on += [
                entry.model_dump_json(), network.weights_sha256, shown.hash,
                repr(network.spec.preprocessing),
            ]  # fmt: skip
        depends_on += [labels.to_csv(), str(config.seed)]
        tables, figures, notes = {}, [], []
        for i, entry in enumerate(config.analyses):
            name = f"{i + 1} {_title(entry)}"
            tell(len(config.networks) + i, total, name)
            files = [f"{slug(name)}.csv", *(f"{slug(name)}.{s}" for s in _SUFFIXES)]

            def make(entry=entry, files=files) -> None:
                table, figure = _ANSWERS[entry.analysis](entry, features, labels, config.seed)
                _write(folder, files[0], table, figure)

            steps.run(name, [*depends_on, entry.model_dump_json()], files, make)
            tables[name] = pd.read_csv(folder / files[0])
            figures.append(folder / files[-1])
            if entry.analysis == "groups":
                notes.append(analyses.SELF_REPORT)
        provenance = {
            "rsa-faces": __version__, "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 1), "steps_reused": steps.reused,
            "seed": config.seed, "stimuli_sha256": stimuli.hash, "weights_sha256": weights,
            "versions": versions(), "machine": machine(), "git": git_state(Path.cwd()),
        }  # fmt: skip
        write_text(folder / "provenance.json", json.dumps(provenance, indent=1))
    tell(total, total, "done")
    return AnalysesOutput(folder, tables, tuple(figures), tuple(dict.fromkeys(notes)))


def _stimuli(config: AnalysesConfig) -> tuple[StimulusSet, pd.DataFrame]:
    """Return the stimuli that were selected, and their labels."""
    source = config.stimuli
    stimuli = (
        datasets.load_dataset(source.dataset).stimuli
        if source.dataset is not None
        else load_stimuli(source.folder, manifest=source.manifest)
    )
    labels = stimuli.metadata
    if config.labels == "kdef":
        labels = analyses.kdef_table(stimuli.ids).set_axis(list(stimuli.ids))
    keep = pd.Series(True, index=labels.index)
    for column, wanted in config.select.items():
        check_choice(column, list(labels.columns), what="column of `select`")
        wanted = wanted if isinstance(wanted, list) else [wanted]
        same = labels[column].isin(wanted)  # numbers as numbers: 0 is 0.0
        keep &= same | labels[column].astype(str).isin([str(value) for value in wanted])
    if not keep.any():
        raise InputError(f"expected stimuli with {config.select}, but none has all of these.")
    chosen = [name for name in stimuli.ids if keep[name]]
    return stimuli.subset(chosen), labels.loc[chosen]


def _check_labels(entry: Any, labels: pd.DataFrame) -> None:
    """Raise unless the columns an analysis names are there, with a value for each stimulus."""
    tasks = entry.tasks.values() if entry.analysis == "transfer" else [entry]
    for task in tasks:
        for key in ("labels", "across", "people", "first", "second", "groups"):
            column = getattr(task, key, None)
            if column is None:
                continue
            check_choice(column, list(labels.columns), what=f"column for `{key}`")
            if labels[column].isna().any():
                name = labels.index[labels[column].isna()][0]
                raise InputError(
                    f"expected a value in column {column!r} for every stimulus, but {name!r} has "
                    "none: fill it in, or leave such stimuli out with `select`."
                )


def _title(entry: Any) -> str:
    """Return what an analysis is called in names of files."""
    if entry.analysis == "readout":
        across = f" across {entry.across}" if entry.across else ""
        return f"readout of {entry.labels}{across}"
    if entry.analysis == "congruence":
        return f"congruence of {entry.first} and {entry.second}"
    return entry.analysis if entry.analysis == "transfer" else f"groups by {entry.groups}"


def _task(entry: TaskConfig, labels: pd.DataFrame) -> dict[str, Any]:
    """Return arguments of a read-out."""
    columns = {"labels": entry.labels, "across": entry.across, "people": entry.people}
    given = {key: labels[name] for key, name in columns.items() if name is not None}
    return {**given, "kind": entry.values}


def _readout(entry, features: dict[str, Activations], labels, seed: int):
    """Answer what each layer tells linearly."""
    from rsa_faces.figures import plot_readout

    found = [
        analyses.readout(
            one, **_task(entry, labels), task=_title(entry).removeprefix("readout of "),
            n_permutations=entry.n_permutations, seed=seed, progress=False,
        )
        for one in features.values()
    ]  # fmt: skip
    return pd.concat([result.table for result in found]), plot_readout(found).figure


def _transfer(entry, features, labels, seed: int):
    """Answer what one layer of each network tells of each label."""
    from rsa_faces.figures import plot_transfer

    tasks = {name: _task(task, labels) for name, task in entry.tasks.items()}
    table = analyses.transfer_matrix(
        features, tasks, layer=_layers(entry, features), n_permutations=entry.n_permutations,
        seed=seed, progress=False,
    )  # fmt: skip
    return table, plot_transfer(table).figure


def _congruence(entry, features, labels, seed: int):
    """Answer whether two labels share directions."""
    from rsa_faces.figures import plot_congruence

    found = [
        analyses.congruence(
            one, labels[entry.first], labels[entry.second],
            across=None if entry.across is None else labels[entry.across],
            n_dimensions=entry.n_dimensions, n_permutations=entry.n_permutations,
            names=(entry.first, entry.second), seed=seed, progress=False,
        )
        for one in features.values()
    ]  # fmt: skip
    return pd.concat([result.table for result in found]), plot_congruence(found).figure


def _groups(entry, features, labels, seed: int):
    """Answer how scores within groups of people differ from those between them."""
    from rsa_faces.figures import plot_false_matches

    layers = _layers(entry, features)
    people = None if entry.people is None else labels[entry.people]
    found = {
        name: analyses.false_matches(
            analyses.similarity_scores(one, layer=layers[name], measure=entry.measure),
            labels[entry.groups], people=people, fmr=entry.fmr, seed=seed,
            n_permutations=entry.n_permutations,
        )
        for name, one in features.items()
    }  # fmt: skip
    tables = [
        result.table.assign(network=name, layer=layers[name]) for name, result in found.items()
    ]
    table = pd.concat(tables)
    first = ["network", "layer"]
    table = table[[*first, *table.columns.drop(first)]]
    return table, plot_false_matches(found)[0].figure


_ANSWERS = {
    "readout": _readout,
    "transfer": _transfer,
    "congruence": _congruence,
    "groups": _groups,
}


def _layers(entry, features) -> dict[str, str]:
    """Return the layer of each network that an analysis asks for."""
    if isinstance(entry.layer, dict) and set(entry.layer) != set(features):
        raise InputError(
            f"expected `layer` for the networks {', '.join(features)}, got "
            f"{', '.join(entry.layer) or 'none'}."
        )
    found = {}
    for name, one in features.items():
        layer = entry.layer[name] if isinstance(entry.layer, dict) else entry.layer
        layers = list(one)
        found[name] = layers[-1] if layer == "last" else check_choice(
            layer, layers, what=f"layer of {name}:"
        )  # fmt: skip
    return found


def _write(folder: Path, name: str, table: pd.DataFrame, figure) -> None:
    """Write a table and its figure."""
    import matplotlib.pyplot as plt

    from rsa_faces.figures import save_figure

    with atomic_path(folder / name) as temporary:
        table.to_csv(temporary, index=False)
    save_figure(figure, folder / name.removesuffix(".csv"))
    plt.close(figure)
