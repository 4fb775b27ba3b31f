"""Questions to the features of networks: from a configuration to tables and figures."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rsa_faces import __version__, analyses, datasets
from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names, sha256_file, slug, write_text
from rsa_faces._core.tables import read_table
from rsa_faces.extraction import extract
from rsa_faces.networks import Network, load_network
from rsa_faces.runs._provenance import git_state, machine, versions
from rsa_faces.runs._reading import dump_config
from rsa_faces.runs._steps import Steps, locked
from rsa_faces.runs.analyse.answers import Study, answer, figure_names, title
from rsa_faces.runs.analyse.config import AnalysesConfig
from rsa_faces.stimuli import StimulusSet, crop_faces, detect_faces, load_stimuli
from rsa_faces.stimuli.degradations import DEGRADATIONS

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
    figures : dict of str to tuple of Path
        PNG files of each analysis; SVG and PDF lie beside them.
    notes : tuple of str
        What a reader has to know.
    """

    folder: Path
    tables: dict[str, pd.DataFrame]
    figures: dict[str, tuple[Path, ...]]
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
        From :func:`rsa_faces.runs.analyse.config.load_analyses_config`.
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
    entries = {entry.name: entry for entry in config.networks}
    total = len(config.networks) + len(config.analyses)
    (folder / "activations").mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_text(folder / "config.yaml", dump_config(config))
        steps, features, depends_on, weights = Steps(folder), {}, [__version__], {}

        def load(name: str) -> Network:
            entry = entries[name]
            return load_network(name, device=device, weights=entry.weights, seed=config.seed)

        def shown(name: str) -> StimulusSet:
            if not entries[name].crop_faces:
                return stimuli
            # Networks that were not trained on faces are shown the box.
            return crop_faces(stimuli, faces, template=load(name).spec.crop or "box")

        stores = file_names(entry.name for entry in config.networks)
        for i, entry in enumerate(config.networks):
            tell(i, total, f"layers of {entry.name}")
            network, images = load(entry.name), shown(entry.name)
            features[entry.name] = extract(
                network, images, layers=entry.layers, reduce=entry.reduce, seed=config.seed,
                store=folder / "activations" / f"{stores[entry.name]}.h5", budget=config.budget,
                progress=False,
            )  # fmt: skip
            weights[entry.name] = network.weights_sha256
            depends_on += [
                entry.model_dump_json(), network.weights_sha256, images.hash,
                repr(network.spec.preprocessing),
            ]  # fmt: skip
        study = Study(stimuli, labels, features, load, shown, config.budget, config.seed)
        depends_on += [labels.to_csv(), str(config.seed)]
        tables, figures, notes = {}, {}, []
        for i, entry in enumerate(config.analyses):
            name = f"{i + 1} {title(entry)}"
            tell(len(config.networks) + i, total, name)
            drawn = figure_names(entry, list(features))
            named = file_names(f"{name} {part}" for part in drawn)
            stems = {part: named[f"{name} {part}"] for part in drawn}
            files = [f"{slug(name)}.csv"]
            files += [f"{stem}.{suffix}" for stem in stems.values() for suffix in _SUFFIXES]

            def make(entry=entry, table_file=files[0], stems=stems) -> None:
                table, drawn = answer(entry, study)
                with atomic_path(folder / table_file) as temporary:
                    table.to_csv(temporary, index=False)
                _draw(folder, {stems[part]: figure for part, figure in drawn.items()})

            read = [sha256_file(path) for _, path in entry if isinstance(path, Path)]
            steps.run(name, [*depends_on, *read, entry.model_dump_json()], files, make)
            tables[name] = read_table(
                folder / files[0], text=["stimulus"], optional=["stimulus"], guess=True, empty=True
            )
            figures[name] = tuple(folder / f"{stem}.png" for stem in stems.values())
            if getattr(entry, "groups", None) or getattr(entry, "controls", None):
                notes.append(analyses.SELF_REPORT)
        provenance = {
            "rsa-faces": __version__, "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 1), "steps_reused": steps.reused,
            "seed": config.seed, "stimuli_sha256": stimuli.hash, "weights_sha256": weights,
            "versions": versions(), "machine": machine(), "git": git_state(Path.cwd()),
        }  # fmt: skip
        write_text(folder / "provenance.json", json.dumps(provenance, indent=1))
    tell(total, total, "done")
    return AnalysesOutput(folder, tables, figures, tuple(dict.fromkeys(notes)))


def _stimuli(config: AnalysesConfig) -> tuple[StimulusSet, pd.DataFrame]:
    """Return the stimuli that were selected, and their labels."""
    source = config.stimuli
    if source.dataset is not None:
        stimuli = datasets.load_dataset(source.dataset).stimuli
    elif config.labels == "kdef" and source.manifest is None:
        stimuli = _kdef(source.folder)
    else:
        stimuli = load_stimuli(source.folder, manifest=source.manifest)
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


def _kdef(folder: Path) -> StimulusSet:
    """Return the images of KDEF: all in one folder, or as they come, in a folder per person."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.[jJ][pP][gG]"))
    if not any(len(path.parts) > 1 for path in files):
        return load_stimuli(folder)
    with tempfile.TemporaryDirectory() as place:
        manifest = Path(place) / "files.csv"
        pd.DataFrame({"file": [path.as_posix() for path in files]}).to_csv(manifest, index=False)
        return load_stimuli(folder, manifest=manifest)


_COLUMNS = (
    "labels", "across", "people", "first", "second", "groups", "ratings", "baseline", "controls",
    "members", "within",
)  # fmt: skip


def _check_labels(entry: Any, labels: pd.DataFrame) -> None:
    """Raise unless the columns an analysis names are there, with a value for each stimulus."""
    for kind in getattr(entry, "degradations", None) or []:
        check_choice(kind, list(DEGRADATIONS), what="degradation")
    tasks = entry.tasks.values() if entry.analysis == "transfer" else [entry]
    for task in tasks:
        for key in _COLUMNS:
            named = getattr(task, key, None) or []
            for column in named if isinstance(named, list) else [named]:
                check_choice(column, list(labels.columns), what=f"column for `{key}`")
                if labels[column].isna().any():
                    name = labels.index[labels[column].isna()][0]
                    raise InputError(
                        f"expected a value in column {column!r} for every stimulus, but {name!r} "
                        "has none: fill it in, or leave such stimuli out with `select`."
                    )


def _draw(folder: Path, figures: dict[str, Any]) -> None:
    """Write figures, each by its name."""
    import matplotlib.pyplot as plt

    from rsa_faces.figures import save_figure

    for stem, figure in figures.items():
        save_figure(figure, folder / stem)
        plt.close(figure)
