"""One run, whatever the command: checked, claimed, made in steps, drawn, reported."""

from __future__ import annotations

import abc
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from rsa_faces import __version__
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes, write_text
from rsa_faces.report import Account, Picture, write_report, write_table
from rsa_faces.runs._cluster_config import ClusterConfig
from rsa_faces.runs._columns import describe_folder
from rsa_faces.runs._entries import RunConfig
from rsa_faces.runs._parts import Parts, limited_threads, opened
from rsa_faces.runs._provenance import git_state, machine, versions
from rsa_faces.runs._reading import dump_config, parse_config
from rsa_faces.runs._steps import Steps, check_place, claimed

OnStep = Callable[[int, int, str], None]
SUFFIXES = ("svg", "png", "pdf")


@dataclass(frozen=True, eq=False)
class Output:
    """What a run left.

    Attributes
    ----------
    folder : Path
    tables : dict of str to DataFrame
        By the name of their CSV file, without suffix.
    figures : tuple of Path
        PNG files; SVG and PDF lie beside them. The main figure comes first.
    notes : tuple of str
        What a reader has to know.
    report : Path
        One HTML page.
    result : object
        Of `compare`: the :class:`rsa_faces.inference.Result`; else None.
    """

    folder: Path
    tables: Mapping[str, pd.DataFrame]
    figures: tuple[Path, ...]
    notes: tuple[str, ...]
    report: Path
    result: Any = None


@dataclass(frozen=True, eq=False)
class Part:
    """A step that was begun, perhaps elsewhere; :meth:`Run.finish` waits for it."""

    what: str
    step: str
    depends_on: Sequence[str]
    files: Sequence[str]
    wait: Callable[[], Any] | None


@dataclass(eq=False)
class Run(abc.ABC):
    """A run of one command; a subclass says what it checks, makes, draws and reports.

    Parameters
    ----------
    config : RunConfig
        Of the subclass's kind.
    folder : path-like
        Where results go; made if missing. A run that was stopped goes on there.
    device : str, default "auto"
        Where networks run.
    jobs : int, optional
        Processor threads; all by default. The numbers do not depend on them beyond rounding.
    fresh : bool, default False
        Replace what an earlier run left in `folder` (only files that runs write).
    cluster : path-like or ClusterConfig, optional
        Where parts are made, side by side; the numbers do not depend on it. The folder and all
        input must be on storage that workers share.
    on_step : callable, optional
        Called as ``on_step(done, total, what)`` before each step.
    """

    config: Any
    folder: Path
    device: str = "auto"
    jobs: int | None = None
    fresh: bool = False
    cluster: str | Path | ClusterConfig | None = None
    on_step: OnStep | None = None

    #: What the command is called, and the kind of configuration that it takes.
    command: ClassVar[str]
    takes: ClassVar[type[RunConfig]]
    #: Tables that the run writes, without suffix; the first is the one people read.
    writes: ClassVar[tuple[str, ...]]

    tables: dict[str, pd.DataFrame] = field(default_factory=dict, init=False)
    pictures: list[Picture] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    #: Hashes of what was read, for the provenance: kind → name → SHA-256.
    hashes: dict[str, Any] = field(default_factory=dict, init=False)
    _done: int = field(default=0, init=False)

    # --- what a subclass says -----------------------------------------------------------------

    @abc.abstractmethod
    def check(self) -> None:
        """Read and check all that can be known before anything runs or is written."""

    @abc.abstractmethod
    def n_steps(self) -> int:
        """Return how often :meth:`tell` will be called; known after :meth:`check`."""

    @abc.abstractmethod
    def make(self) -> None:
        """Make the numbers in steps; fill :attr:`tables`."""

    @abc.abstractmethod
    def draw(self) -> None:
        """Draw the figures with :meth:`picture`."""

    @abc.abstractmethod
    def account(self) -> Account:
        """Return what was found and how, for report and methods."""

    def meanings(self) -> Mapping[str, Mapping[str, str]]:
        """Return what columns of a table are, where they are not what they are elsewhere."""
        return {}

    def result(self) -> Any:
        """Return what the output holds beside tables."""
        return None

    # --- the run ------------------------------------------------------------------------------

    def run(self) -> Output:
        """Run, or go on where an earlier run of the same folder stopped.

        Returns
        -------
        Output

        Raises
        ------
        InputError
            If the input is wrong; nothing has been written then. Also if `folder` holds a run of
            another configuration and `fresh` is False, or another run is writing there.
        """
        started, clock = datetime.now(UTC), time.perf_counter()
        self.folder = Path(self.folder).resolve()
        with ExitStack() as stack:
            stack.enter_context(limited_threads(self.jobs))
            caught = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always", UserWarning)
            check_place(self.folder)
            self.check()
            stack.enter_context(
                claimed(
                    self.folder,
                    f"# rsa-faces {self.command}\n{dump_config(self.config)}",
                    fresh=self.fresh,
                    tables=[f"{name}.csv" for name in self.writes],
                    differences=self._differences,
                )
            )
            self.parts: Parts = stack.enter_context(opened(self.cluster))
            self.steps = Steps(self.folder)
            self.make()
            self._write_tables()
            self.tell("figures and report")
            self.draw()
            self.notes += [str(w.message) for w in caught if w.category is UserWarning]
            self.notes = list(dict.fromkeys(self.notes))
            self._write_account(started, time.perf_counter() - clock)
            total = self.n_steps()
            self._say(total, total, "done")
        return Output(
            self.folder,
            dict(self.tables),
            tuple(picture.path for picture in self.pictures),
            tuple(self.notes),
            self.folder / "report.html",
            self.result(),
        )

    def tell(self, what: str) -> None:
        """Report the step about to be done."""
        self._say(self._done, self.n_steps(), what)
        self._done += 1

    def _say(self, done: int, total: int, what: str) -> None:
        """Call `on_step` if there is one."""
        if self.on_step is not None:
            self.on_step(done, total, what)

    def begin(
        self,
        what: str,
        step: str,
        depends_on: Sequence[str],
        files: Sequence[str],
        function: Callable[..., Any],
        *arguments: Any,
    ) -> Part:
        """Begin a step unless it is done: `function` writes `files`, perhaps elsewhere.

        What `function` returns, if anything, are notes.
        """
        wait = None
        if not self.steps.is_done(step, depends_on):
            wait = self.parts.begin(function, *arguments)
        return Part(what, step, depends_on, files, wait)

    def finish(self, part: Part) -> None:
        """Wait for a part, and keep its notes."""
        self.tell(part.what)
        self.notes += self.steps.run(part.step, part.depends_on, part.files, part.wait)

    def picture(
        self, name: str, caption: str, alt: str, draw: Callable[[], Any], *depends_on: str
    ) -> None:
        """Draw one figure unless it is done, and put it into the report.

        Parameters
        ----------
        name : str
            Of the files in ``figures/``, without suffix and without spaces.
        caption, alt : str
            What it shows, with n; the same for those who cannot see it.
        draw : callable
            Returns a matplotlib figure.
        *depends_on : str
            All that the figure depends on.
        """

        def make() -> None:
            import matplotlib.pyplot as plt

            from rsa_faces.figures import save_figure

            with warnings.catch_warnings():
                # What figures warn of, the numbers warned of before.
                warnings.simplefilter("ignore", UserWarning)
                figure = draw()
                save_figure(figure, self.folder / "figures" / name)
            plt.close(figure)

        files = [f"figures/{name}.{suffix}" for suffix in SUFFIXES]
        key = [sha256_bytes(*(d.encode() for d in depends_on))]
        self.steps.run(f"figure {name}", key, files, make)
        self.pictures.append(Picture(self.folder / files[1], caption, alt))

    def _write_tables(self) -> None:
        """Write all tables as CSV."""
        for name, table in self.tables.items():
            write_table(table, self.folder / f"{name}.csv")

    def _write_account(self, started: datetime, seconds: float) -> None:
        """Write methods, notes, report, the folder's README and the provenance."""
        account = self.account()
        numbered = "\n".join(f"{i}. {r}" for i, r in enumerate(account.references, start=1))
        listed = "\n".join(f"- {source}" for source in account.sources)
        write_text(
            self.folder / "methods.md",
            f"# Methods\n\n{account.methods}\n\n{numbered}\n\n"
            f"## Sources of data and networks\n\n{listed}\n",
        )
        write_text(self.folder / "notes.txt", "".join(f"{note}\n" for note in self.notes))
        provenance = {
            "rsa-faces": __version__,
            "command": self.command,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "seconds_of_steps": self.steps.seconds,
            "peak_bytes_of_steps": self.steps.peak_bytes,
            "steps_reused": self.steps.reused,
            "seed": self.config.seed,
            **self.hashes,
            "versions": versions(),
            "machine": machine(),
            "git": git_state(Path.cwd()),
        }
        write_report(
            self.folder / "report.html",
            title=self.config.title,
            account=account,
            notes=self.notes,
            pictures=self.pictures,
            provenance=provenance,
        )
        write_text(
            self.folder / "README.md", describe_folder(self.folder, self.tables, self.meanings())
        )
        provenance["files"] = self._files() + ["provenance.json"]
        content = json.dumps(provenance, indent=1, ensure_ascii=False)
        write_text(self.folder / "provenance.json", content + "\n")

    def _files(self) -> list[str]:
        """Return all files of the folder but hidden ones and the provenance, sorted."""
        paths = (p.relative_to(self.folder) for p in self.folder.rglob("*") if p.is_file())
        return sorted(
            path.as_posix()
            for path in paths
            if not any(part.startswith(".") for part in path.parts)
            and path.as_posix() != "provenance.json"
        )

    def _differences(self, before: str) -> str:
        """Name the keys in which the configuration of an earlier run differs."""
        command = before.partition("\n")[0].removeprefix("# rsa-faces ")
        if before.startswith("# rsa-faces ") and command != self.command:
            return f"of `rsa-faces {command}`"
        try:
            old = parse_config(before, type(self.config), "its config.yaml")
        except InputError:
            return "one this version cannot read"
        keys = [k for k in type(old).model_fields if getattr(old, k) != getattr(self.config, k)]
        return f"differs in {', '.join(keys) or 'its comments'}"
