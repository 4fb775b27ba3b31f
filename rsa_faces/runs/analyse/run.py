"""The run behind `rsa-faces analyse`: questions to the features of networks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.expressions import rows_where
from rsa_faces._core.files import file_names, sha256_file, slug
from rsa_faces._core.tables import read_table
from rsa_faces._core.words import counted
from rsa_faces.extraction import Activations, FramePatterns, extract, extract_frames
from rsa_faces.networks._load import open_network
from rsa_faces.report import Account, Picture, write_table
from rsa_faces.runs._job import Job
from rsa_faces.runs._networks import networks_of, read_images, read_stimuli
from rsa_faces.runs._plan import Trials, n_channels
from rsa_faces.runs._run import SUFFIXES, Run
from rsa_faces.runs._sentences import about
from rsa_faces.runs.analyse.config import AnalysesConfig
from rsa_faces.runs.analyse.outputs import account
from rsa_faces.runs.analyse.questions import Question, Study
from rsa_faces.stimuli import StimulusSet, load_stimuli
from rsa_faces.stimuli.clips import ClipSet
from rsa_faces.stimuli.degradations import DEGRADATIONS


class AnalyseRun(Run):
    """Take features once from each network, and answer each question.

    Examples
    --------
    >>> from rsa_faces.runs.analyse.run import AnalyseRun
    >>> AnalyseRun.command
    'analyse'
    """

    command: ClassVar[str] = "analyse"
    takes: ClassVar = AnalysesConfig
    writes: ClassVar = {}  # a table for each question, named by its number

    config: AnalysesConfig

    def check(self) -> None:
        """Read stimuli and labels; columns that are not there are errors now."""
        config = self.config
        self.stimuli, self.labels = _stimuli(config)
        self.questions: list[Question] = []
        for entry in config.analyses:
            question, people = entry.with_people(self.labels)
            with about(question.title()):
                question.check(self.labels)
            self.questions.append(question)
            if people:
                self.notes.append(_told_by(people, self.labels))
        self.networks = networks_of(self, self.stimuli)
        for question in self.questions:
            with about(question.title()):
                question.check_networks(self.networks.layers)

    def n_steps(self) -> int:
        """Networks, questions, and the report."""
        return len(self.config.networks) + len(self.config.analyses) + 1

    def n_stages(self) -> int:
        """Nothing is shared out: features of all networks are asked together."""
        return 0

    def make(self) -> None:
        """Take features, then answer each question: its table and its figures."""
        config = self.config
        for part in ("activations", "figures"):
            (self.folder / part).mkdir(exist_ok=True)
        self.networks.write_faces(self.folder)
        features, depends_on = {}, [self.labels.to_csv(), str(config.seed)]
        for entry, job in zip(config.networks, self._jobs(), strict=True):
            self.tell(job.what)
            features[entry.name] = job.function(*job.arguments)
            depends_on += job.depends_on
        study = self._study(features)
        for number, question in enumerate(self.questions, start=1):
            self._answer(number, question, study, depends_on)

    def _jobs(self) -> list[Job]:
        """Return what takes the features of each network; a store of them goes on by itself."""
        config, jobs = self.config, []
        for entry in config.networks:
            options = {
                "layers": entry.layers,
                "reduce": entry.reduce,
                "seed": config.seed,
                "budget": config.budget,
                "progress": False,
                **({"rate": config.stimuli.rate} if isinstance(self.stimuli, ClipSet) else {}),
            }
            path = config.store or self.folder / "activations"
            jobs.append(
                Job(
                    f"layers of {entry.name}",
                    f"features {entry.name}",
                    [entry.model_dump_json(), *self.networks.key(entry.name)],
                    [],
                    _features,
                    (
                        entry.name,
                        self.networks.opening(entry.name),
                        self.networks.shown(entry.name),
                        options,
                        path,
                    ),
                )
            )
        return jobs

    def _study(self, features: Mapping[str, Activations]) -> Study:
        """Return what answers are made from."""
        return Study(
            self.stimuli,
            self.labels,
            dict(features),
            self.networks.load,
            self.networks.shown,
            self.networks.placed,
            self.config.budget,
            self.config.seed,
        )

    def estimate(self, trials: Trials) -> None:
        """Try networks with some images, and questions with few permutations of random features."""
        jobs = self._jobs()
        trials.networks(self.networks, jobs)
        n = len(self.stimuli)
        features: dict[str, Any] = {}
        stored, largest = 0, 0
        for entry in self.config.networks:
            network, layers = self.networks.load(entry.name), self.networks.layers[entry.name]
            channels = n_channels(network, layers)
            stored += 4 * n * sum(channels)
            largest = max(largest, 4 * n * max(channels))
            chance = Chance(dict(zip(layers, channels, strict=True)), n)
            features[entry.name] = Activations(chance, self.stimuli.ids, network=entry.name)
            if isinstance(self.stimuli, ClipSet):
                features[entry.name] = self._chance_frames(self.stimuli, chance, entry.name)
        trials.add("keeping features", 0.0, 0, stored)
        study = self._study(features)
        for number, question in enumerate(self.questions, start=1):
            make, whole, sizes = _trial_of(question, study)
            seconds = trials.seconds((number, "question"), make, whole, sizes)
            trials.add(f"{number} {question.title()}", seconds, 8 * largest + 400 * n**2, 2**21)
        # Questions draw their figures in the trials; here they are saved, each as two small ones.
        drawn = sum(len(question.figures(list(features))) for question in self.questions)
        trials.figures("figures and report", 2 + 2 * drawn)

    def _chance_frames(self, clips: ClipSet, chance: Chance, network: str) -> FramePatterns:
        """Return as many random frames as the first clip has."""
        rate, ids = self.config.stimuli.rate or 1.0, clips.ids
        n_frames = clips.n_frames(ids[0], rate=rate)
        spread = np.random.default_rng(1).random((1, 1, n_frames))
        arrays = {layer: values[:, :, None] + spread for layer, values in chance.items()}
        return FramePatterns(arrays, ids, (np.arange(n_frames) / rate).tolist(), network=network)

    def draw(self) -> None:
        """Figures are drawn with their answers."""

    def account(self) -> Account:
        """Return what was found, methods and sources."""
        return account(self)

    def meanings(self) -> Mapping[str, Mapping[str, str]]:
        """Return what the columns of each answer are."""
        return {
            name: question.meanings
            for question, name in zip(self.questions, self.tables, strict=True)
        }

    def _answer(self, number: int, question: Question, study: Study, depends_on: list[str]) -> None:
        """Answer one question unless it is answered; read its table back."""
        name = f"{number} {question.title()}"
        self.tell(name)
        table_file = f"{slug(name)}.csv"
        parts = question.figures(list(study.features))
        named = file_names(f"{name} {part}" for part in parts)
        stems = {part: named[f"{name} {part}"] for part in parts}
        files = [f"figures/{stem}.{suffix}" for stem in stems.values() for suffix in SUFFIXES]

        def make() -> None:
            from rsa_faces.figures import palette

            with palette(list(study.features)):
                table, drawn = question.answer(study)
            write_table(table, self.folder / table_file)
            _draw(self.folder / "figures", dict(zip(stems.values(), drawn, strict=True)))

        # Files that the question reads: where one was edited, the answer is another.
        read = [sha256_file(path) for _, path in question if isinstance(path, Path)]
        key = [*depends_on, *read, question.model_dump_json()]
        self.notes += self.steps.run(name, key, [table_file, *files], make)
        # Also what was just written: a run that goes on then has the same numbers.
        self.tables[slug(name)] = read_table(
            self.folder / table_file,
            text=["stimulus"],
            optional=["stimulus"],
            guess=True,
            empty=True,
        )
        counts = self._counts(self.tables[slug(name)])
        for part, stem in stems.items():
            what = f"{name.partition(' ')[2]}{f': {part}' if part else ''}"
            path = self.folder / "figures" / f"{stem}.png"
            caption = f"{what[0].upper()}{what[1:]} ({counts}). {question.marks}"
            self.pictures.append(Picture(path, caption, f"Figure of {what}."))
        if getattr(question, "groups", None) or getattr(question, "controls", None):
            self.notes.append(analyses.SELF_REPORT)

    def _counts(self, table: pd.DataFrame) -> str:
        """Return how many people and images an answer is about."""
        n_images, n_people = (
            table[column].max() if column in table else float("nan")
            for column in ("n_conditions", "n_people")
        )
        kind = "clip" if isinstance(self.stimuli, ClipSet) else "image"
        images = counted(len(self.stimuli) if pd.isna(n_images) else int(n_images), kind)
        return images if pd.isna(n_people) else f"{counted(int(n_people), 'person')}, {images}"


def _features(
    name: str, opening: dict, stimuli: StimulusSet | ClipSet, options: dict, path: Path
) -> Activations | FramePatterns:
    """Return the features of a network, kept in a store; of clips those of each frame."""
    if isinstance(stimuli, ClipSet):
        return extract_frames(open_network(name, **opening), stimuli, **options)
    return extract(open_network(name, **opening), stimuli, store=path, **options)


class Chance(Mapping):
    """Random features, made when they are asked for: layer to values, (n_stimuli, n_channels)."""

    def __init__(self, channels: Mapping[str, int], n_stimuli: int) -> None:
        self._channels, self._n = channels, n_stimuli

    def __getitem__(self, layer: str) -> np.ndarray:
        # Whenever a layer is asked for, the same values.
        rng = np.random.default_rng(0)
        return rng.random((self._n, self._channels[layer]), np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)


def _trial_of(question: Question, study: Study) -> tuple[Callable[[int], Any], int, tuple]:
    """Return what answers a question a number of times less often, how often, and tries."""
    settings = dict(question)
    key = next((k for k in ("n_permutations", "n_boot") if settings.get(k)), "")
    kinds = settings.get("degradations") or list(DEGRADATIONS)

    def answer(k: int) -> None:
        update: dict[str, Any] = {key: k} if key else {}
        if "degradations" in settings:
            update = {"degradations": kinds[:1], "strengths": settings["strengths"][:k]}
        _, drawn = question.model_copy(update=update).answer(study)
        close(drawn)

    if "degradations" in settings:
        return answer, len(kinds) * len(settings["strengths"]), (1, 2)
    whole = settings[key] if key else 1
    # 19: the fewest permutations that questions take.
    return answer, whole, (19, 19 + whole // 8) if key else (1, 1)


def _stimuli(config: AnalysesConfig) -> tuple[StimulusSet | ClipSet, pd.DataFrame]:
    """Return the stimuli that were selected, and their labels."""
    source = config.stimuli
    clips = [entry.analysis for entry in config.analyses if entry.of_clips]
    others = [entry.analysis for entry in config.analyses if not entry.of_clips]
    if clips and (others or source.clips is None or source.rate is None):
        raise InputError(
            f"expected `clips` and a `rate` in `stimuli`, and questions to clips only, for "
            f"{', '.join(map(repr, clips))}, got "
            f"{', '.join(map(repr, others)) or str(source.model_dump(exclude_none=True))}."
        )
    if config.labels == "kdef" and source.folder is not None and source.manifest is None:
        stimuli = _kdef(source.folder)
    else:
        stimuli = read_stimuli(source) if clips else read_images(source, "analyse")
    labels = stimuli.metadata
    if config.labels == "kdef":
        labels = analyses.kdef_table(stimuli.ids).set_axis(list(stimuli.ids))
    keep = pd.Series(True, index=labels.index)
    by_label = {} if isinstance(config.select, str) else config.select
    if isinstance(config.select, str):
        with about("select"):
            keep &= rows_where(config.select, labels, rows="stimuli")
    for column, wanted in by_label.items():
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
        # Without a manifest, folders below are not looked into.
        manifest = Path(place) / "files.csv"
        write_table(pd.DataFrame({"file": [path.as_posix() for path in files]}), manifest)
        return load_stimuli(folder, manifest=manifest)


def _told_by(column: str, labels: pd.DataFrame) -> str:
    """Say that people are told by a column that the configuration does not name."""
    return (
        f"n counts people: the column {column!r} tells which images show the same person "
        f"({labels[column].nunique()} people in {len(labels)} images)."
    )


def _draw(folder: Path, figures: dict[str, Any]) -> None:
    """Write figures, each by its name."""
    from rsa_faces.figures import save_figure

    for stem, figure in figures.items():
        save_figure(figure, folder / stem)
    close(figures.values())


def close(figures: Iterable[Any]) -> None:
    """Forget figures."""
    import matplotlib.pyplot as plt

    for figure in figures:
        plt.close(figure)
