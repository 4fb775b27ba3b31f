"""One run, whatever the command: checked, claimed, made in steps, drawn, reported."""

from __future__ import annotations

import abc
import contextlib
import functools
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from rsa_faces import __version__
from rsa_faces._core.checks import parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes, write_text
from rsa_faces.report import Account, Picture, Table, write_report, write_table
from rsa_faces.runs import _steps
from rsa_faces.runs._cluster_config import ClusterConfig, load_cluster_config
from rsa_faces.runs._columns import describe_folder
from rsa_faces.runs._entries import RunConfig
from rsa_faces.runs._job import Job
from rsa_faces.runs._parts import Parts, limited_threads, opened, submit_array, write_array
from rsa_faces.runs._plan import Plan, Trials, memory_of_machine, trials
from rsa_faces.runs._provenance import git_state, machine, versions
from rsa_faces.runs._reading import dump_config, parse_config
from rsa_faces.runs._sentences import about, keys_of_paths
from rsa_faces.runs._steps import Steps, check_place, claimed, joined, remove_array

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
    answers : tuple of Table
        The rows that a reader wants first, as text; the report shows them, too.
    legend : str
        How they are read.
    result : object
        Of `compare`: the :class:`rsa_faces.inference.Result`; else None.
    """

    folder: Path
    tables: Mapping[str, pd.DataFrame]
    figures: tuple[Path, ...]
    notes: tuple[str, ...]
    report: Path
    answers: tuple[Table, ...] = ()
    legend: str = ""
    result: Any = None


class Elsewhere(Exception):
    """Raised where a share of a run is done, and what follows is for others."""


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
    share : (int, int), optional
        Of :meth:`do_share`: which of how many shares, from 0.
    """

    config: Any
    folder: Path
    device: str = "auto"
    jobs: int | None = None
    fresh: bool = False
    cluster: str | Path | ClusterConfig | None = None
    on_step: OnStep | None = None
    share: tuple[int, int] | None = None

    #: What the command is called, and the kind of configuration that it takes.
    command: ClassVar[str]
    takes: ClassVar[type[RunConfig]]
    #: Tables that the run may write, without suffix, and what each is; the first is what people
    #: read.
    writes: ClassVar[Mapping[str, str]]

    tables: dict[str, pd.DataFrame] = field(default_factory=dict, init=False)
    pictures: list[Picture] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    #: Hashes of what was read, for the provenance: kind → name → SHA-256.
    hashes: dict[str, Any] = field(default_factory=dict, init=False)
    _done: int = field(default=0, init=False)
    _stages: int = field(default=0, init=False)

    # --- what a subclass says -----------------------------------------------------------------

    @abc.abstractmethod
    def check(self) -> None:
        """Read and check all that can be known before anything runs or is written."""

    @abc.abstractmethod
    def n_steps(self) -> int:
        """Return how often :meth:`tell` will be called; known after :meth:`check`."""

    @abc.abstractmethod
    def n_stages(self) -> int:
        """Return how often :meth:`do` will be called; known after :meth:`check`."""

    @abc.abstractmethod
    def estimate(self, trials: Trials) -> None:
        """Try small versions of the parts, and add what the parts will take; after :meth:`check`.

        The folder is a temporary one meanwhile.
        """

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
        # In this order: nothing is written before all is checked, and no cluster asked for before
        # the folder is ours.
        with self._checked() as caught, self._claimed(), opened(self.cluster) as self.parts:
            self.steps = Steps(self.folder)
            self.make()
            for name, table in self.tables.items():
                write_table(table, self.folder / f"{name}.csv")
            self.tell("figures and report")
            self.draw()
            # Not subclasses: what they warn of, a run says in words of its own.
            self.notes += [str(w.message) for w in caught if w.category is UserWarning]
            self.notes = list(dict.fromkeys(self.notes))
            account = self.account()
            self._write_account(account, started, time.perf_counter() - clock)
            remove_array(self.folder)
            total = self.n_steps()
            self._say(total, total, "done")
        return Output(
            self.folder,
            dict(self.tables),
            tuple(picture.path for picture in self.pictures),
            tuple(self.notes),
            self.folder / "report.html",
            (*account.lead, *account.tables),
            account.legend,
            self.result(),
        )

    def plan(self) -> Plan:
        """Return parts, time, memory and disk of the run, from trials of its parts.

        Input is read and checked; nothing is written but to a temporary folder.

        Returns
        -------
        Plan
        """
        folder, start = Path(self.folder).resolve(), _steps.CLOCK()
        with self._checked(), trials() as tried:
            tried.add("reading and checking", _steps.CLOCK() - start)
            notes = list(dict.fromkeys(self.notes))
            self.folder, self.parts, self.steps = tried.scratch, Parts(), Steps(tried.scratch)
            self.on_step = None
            self.estimate(tried)
            workers, memory = 1, memory_of_machine()
            if self.cluster is not None:
                where = self.cluster
                if not isinstance(where, ClusterConfig):
                    where = load_cluster_config(where)
                workers = where.workers
                memory = parse_bytes(where.memory) if where.memory else memory
            return tried.plan(folder, workers, memory, notes)

    def send(self, array: ClusterConfig) -> list[str]:
        """Write the scripts of a job array and give them to SLURM; return what to say of it.

        Nothing stays running here: jobs do shares of the run, and a last one gathers them.
        """
        with self._checked():
            self._check_shared()
            with self._claimed():
                remove_array(self.folder)
                options = f"--device {self.device} --jobs {array.threads}"
                script = write_array(self.folder, self.command, options, array, self.n_stages())
        # Not before the folder is free: jobs may start at once.
        return submit_array(script)

    def _check_shared(self) -> None:
        """Refuse to share out what cannot be; the cluster would stand idle."""
        if not self.n_stages():
            raise InputError(
                f"expected a run that can be shared out, but `rsa-faces {self.command}` cannot: "
                "give it one job of its own, without --cluster and --part."
            )

    def do_share(self) -> None:
        """Do this process's share of the first steps that are not done, beside other processes."""
        with self._checked(), joined(self.folder, self._resolved()):
            self.parts, self.steps, self._stages = Parts(), Steps(self.folder), self.n_stages()
            with contextlib.suppress(Elsewhere):
                self.make()

    @contextlib.contextmanager
    def _checked(self) -> Iterator[list[warnings.WarningMessage]]:
        """Check the input; then yield the warnings of the block, on its number of threads."""
        self.folder = Path(self.folder).resolve()
        with limited_threads(self.jobs), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            check_place(self.folder)
            with keys_of_paths(self.config):
                self.check()
            if self.cluster is not None or self.share is not None:
                self._check_shared()
            yield caught

    def _claimed(self) -> contextlib.AbstractContextManager[None]:
        """Claim the folder for this run."""
        return claimed(
            self.folder,
            self._resolved(),
            fresh=self.fresh,
            tables=[f"{name}.csv" for name in self.writes],
            differences=self._differences,
        )

    def _resolved(self) -> str:
        """Return what ``config.yaml`` in the folder holds."""
        return f"# rsa-faces {self.command}\n{dump_config(self.config)}"

    def tell(self, what: str) -> None:
        """Report the step about to be done."""
        self._say(self._done, self.n_steps(), what)
        self._done += 1

    def _say(self, done: int, total: int, what: str) -> None:
        """Call `on_step` if there is one."""
        if self.on_step is not None:
            self.on_step(done, total, what)

    def do(self, jobs: Iterable[Job]) -> None:
        """Do steps, side by side where there is a cluster, and keep their notes.

        A process that has one share of the run does its share of the first steps that are not
        done; then it ends, as others need the rest.
        """
        jobs = list(jobs)
        if self.share is not None:
            self._do_share(jobs, *self.share)
            return
        # All are begun before the first is waited for; they are kept in their order, so that
        # results do not depend on which ends first.
        waits = [
            functools.partial(job.function, *job.arguments)
            if job.here or self.steps.is_done(job.step, job.depends_on)
            else self.parts.begin(job.function, *job.arguments)
            for job in jobs
        ]
        for job, wait in zip(jobs, waits, strict=True):
            self.tell(job.what)
            with about(job.about, job.keys):
                self.notes += self.steps.run(job.step, job.depends_on, job.files, wait)

    def _do_share(self, jobs: list[Job], share: int, n_shares: int) -> None:
        """Do a share of the steps; raise unless all of them were done before, by whomever."""
        self._stages -= 1
        waiting = [job for job in jobs if not self.steps.is_done(job.step, job.depends_on)]
        # Shares of all jobs, not of those that are left: which is whose must not depend on how far
        # the others are.
        mine = [job for job in jobs[share::n_shares] if job in waiting]
        for job in mine:
            self.tell(job.what)
            with about(job.about, job.keys):
                make = functools.partial(job.function, *job.arguments)
                self.steps.run_apart(job.step, job.depends_on, job.files, make)
        if waiting or not self._stages:
            raise Elsewhere

    def picture(
        self, name: str, caption: str, alt: str, draw: Callable[..., Any], *depends_on: str
    ) -> None:
        """Draw one figure unless it is done, and put it into the report.

        Parameters
        ----------
        name : str
            Of the files in ``figures/``, without suffix and without spaces.
        caption, alt : str
            What it shows, with n; the same for those who cannot see it.
        draw : callable
            Returns a matplotlib figure; called without arguments.
        *depends_on : str
            All that the figure depends on.
        """

        def make() -> None:
            import matplotlib.pyplot as plt

            from rsa_faces.figures import palette, save_figure

            names = [entry.name for entry in getattr(self.config, "networks", [])]
            with warnings.catch_warnings(), palette(names):
                # What figures warn of, the numbers warned of before.
                warnings.simplefilter("ignore", UserWarning)
                figure = draw()
                save_figure(figure, self.folder / "figures" / name)
            plt.close(figure)

        files = [f"figures/{name}.{suffix}" for suffix in SUFFIXES]
        key = [sha256_bytes(*(d.encode() for d in depends_on))]
        self.steps.run(f"figure {name}", key, files, make)
        self.pictures.append(Picture(self.folder / files[1], caption, alt))

    def _write_account(self, account: Account, started: datetime, seconds: float) -> None:
        """Write methods, notes, report, the folder's README and the provenance."""
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
            self.folder / "README.md",
            describe_folder(self.folder, self.tables, self.writes, self.meanings()),
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
