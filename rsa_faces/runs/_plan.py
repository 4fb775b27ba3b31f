"""What a run will take, known before it: parts, time, memory and disk."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import parse_bytes
from rsa_faces.brain.files import load_file
from rsa_faces.extraction._layers import split_call
from rsa_faces.networks import Network
from rsa_faces.runs import _steps
from rsa_faces.stimuli.clips import FaceClips

if TYPE_CHECKING:
    from rsa_faces.runs._job import Job
    from rsa_faces.runs._networks import Networks

#: Beside what a process keeps when memory is counted again and again.
_SLACK = 200 * 2**20
# Trials that take less are done twice.
_SHORT = 0.5
# Images of a trial: a few, and two batches more.
_IMAGES = (2, 18)


@dataclass(frozen=True)
class Work:
    """What a part of a run takes.

    Attributes
    ----------
    what : str
        As it is told when it runs.
    seconds : float
        Wall time on the machine that plans, as busy as it is then.
    peak_bytes : int
        At most resident in the process meanwhile.
    disk_bytes : int
        That it leaves.
    shared : bool
        Whether a cluster does it beside others.
    """

    what: str
    seconds: float
    peak_bytes: int
    disk_bytes: int = 0
    shared: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run will take, and what of it does not fit this machine.

    Attributes
    ----------
    works : tuple of Work
    workers : int
        How many parts are done side by side.
    free_disk, memory : int
        Bytes that there are: of this machine, or of each worker.
    notes : tuple of str
        What was decided when input was read, such as which column tells people apart.
    """

    works: tuple[Work, ...]
    workers: int
    free_disk: int
    memory: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Time from start to end; shared parts are spread over workers."""
        shared = [work.seconds for work in self.works if work.shared]
        own = sum(work.seconds for work in self.works if not work.shared)
        # However many workers there are, the longest part takes its time.
        return own + max(sum(shared) / self.workers, max(shared, default=0.0))

    @property
    def peak_bytes(self) -> int:
        """Most memory of one process."""
        return max(work.peak_bytes for work in self.works)

    @property
    def disk_bytes(self) -> int:
        """All that is left on disk."""
        return sum(work.disk_bytes for work in self.works)

    @property
    def title(self) -> str:
        """All of it in one line."""
        return (
            f"What this takes, about: {duration(self.seconds)} from start to end on this machine, "
            f"as busy as it is now; at most {size(self.peak_bytes)} of memory, "
            f"{size(self.disk_bytes)} of disk"
        )

    @property
    def advice(self) -> tuple[str, ...]:
        """What does not fit, and what to change."""
        sentences = []
        most = max(self.works, key=lambda work: work.peak_bytes)
        if most.peak_bytes > self.memory:
            sentences.append(
                f"{most.what} may take {size(most.peak_bytes)} of memory, and there are "
                f"{size(self.memory)}: give a smaller `budget` or fewer layers, or run it where "
                "there is more (`memory` of --cluster)."
            )
        if self.disk_bytes > self.free_disk:
            largest = max(self.works, key=lambda work: work.disk_bytes)
            sentences.append(
                f"results take {size(self.disk_bytes)} of disk, and {size(self.free_disk)} are "
                f"free: choose another folder with --out, or leave less of {largest.what} "
                "(fewer layers, or `reduce`)."
            )
        return tuple(sentences)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per part, numbers in seconds and bytes."""
        columns = ("what", "seconds", "peak_bytes", "disk_bytes", "shared")
        rows = [[getattr(work, column) for column in columns] for work in self.works]
        return pd.DataFrame(rows, columns=list(columns)).rename(columns={"what": "part"})

    def shown(self) -> pd.DataFrame:
        """Return one row per part, as text."""
        return pd.DataFrame(
            {
                "part": [work.what for work in self.works],
                "time": [duration(work.seconds) for work in self.works],
                "memory": [size(work.peak_bytes) for work in self.works],
                "disk": [size(work.disk_bytes) for work in self.works],
            }
        )


@dataclass(eq=False)
class Trials:
    """Small versions of parts, timed: from a few units of what takes the time to all of them."""

    scratch: Path
    _works: list[tuple[str, float, int, int, bool]] = field(default_factory=list)
    _known: dict[Hashable, float] = field(default_factory=dict)

    def add(
        self,
        what: str,
        seconds: float,
        more_bytes: float = 0,
        disk_bytes: float = 0,
        *,
        shared: bool = False,
    ) -> None:
        """Add a part that takes so much memory beyond what this process has taken by now."""
        self._works.append((what, seconds, int(more_bytes), int(disk_bytes), shared))

    def plan(self, folder: Path, workers: int, memory: int, notes: Sequence[str] = ()) -> Plan:
        """Return all parts; each process will hold what this one has loaded by now."""
        held = peak_bytes() + _SLACK
        works = tuple(
            Work(what, seconds, held + more, disk, shared)
            for what, seconds, more, disk, shared in self._works
        )
        return Plan(works, workers, free_disk(folder), memory, tuple(notes))

    def figures(self, what: str, n: float) -> None:
        """Add figures, and what is written at the end: as so many small ones."""
        first, each = self.figure_seconds
        self.add(what, first + n * each, 300 * 2**20, 2**17 * n)

    def seconds(
        self,
        key: Hashable,
        make: Callable[[int], Any],
        whole: int,
        sizes: tuple[int, int],
    ) -> float:
        """Return how long `make` of all units takes, from two smaller sizes; of each key once.

        A call before does not count: it loads and compiles what is then there for the run.
        """
        if key in self._known:
            return self._known[key]
        few, more = (min(n, whole) for n in sizes)
        # Once before it is timed: what is compiled or loaded first is not in the slope.
        make(few)
        least = timed(make, few)
        slope = 0.0
        if few < whole:
            most = timed(make, more)
            # Something may have been loaded, or compiled, that fewer did not need.
            if most < _SHORT or most > 2 * least * more / few:
                # The smaller of two: other processes make times longer, never shorter.
                least, most = min(least, timed(make, few)), min(most, timed(make, more))
            slope = max(0.0, most - least) / (more - few)
        self._known[key] = least + slope * (whole - few)
        return self._known[key]

    def job(
        self,
        job: Job,
        unit: str,
        shape: Hashable,
        *,
        more_bytes: float = 0,
        disk_bytes: float = 0,
    ) -> None:
        """Add a step that is repeated as often as the option `unit` of its function says."""
        options = next(a for a in job.arguments if isinstance(a, dict) and unit in a)

        def make(n: int) -> None:
            arguments = [
                {**options, unit: n}
                if argument is options
                else self.scratch / argument.name
                if isinstance(argument, Path)
                else argument
                for argument in job.arguments
            ]
            job.function(*arguments)

        whole = options[unit]
        sizes = whole // 50 + 2, whole // 6 + 10
        seconds = self.seconds((job.function, shape), make, whole, sizes)
        self.add(job.what, seconds, more_bytes, disk_bytes, shared=True)

    def networks(self, networks: Networks, jobs: Sequence[Job]) -> None:
        """Add the RDMs of networks' layers, from passes of some of the stimuli."""
        cut = 0
        for entry, job in zip(networks.entries, jobs, strict=True):
            name, opening, stimuli, options, path = job.arguments
            cut += isinstance(stimuli, FaceClips)
            network = networks.load(entry.name)
            channels = n_channels(network, networks.layers[entry.name])
            n, budget = len(stimuli), parse_bytes(options["budget"])

            def make(k: int, job=job, first=cut == 1) -> None:
                name, opening, stimuli, options, path = job.arguments
                shown = stimuli.subset(stimuli.ids[:k])
                if first and isinstance(shown, FaceClips):
                    # The first network finds the faces, for all others.
                    shown = replace(shown, _faces={})
                fresh = {key: value for key, value in options.items() if key != "store"}
                target = self.scratch / path.name
                shutil.rmtree(target, ignore_errors=True)  # a store, or
                target.unlink(missing_ok=True)  # a file of RDMs
                job.function(name, opening, shown, fresh, target)

            seconds = self.seconds((name, path), make, n, _IMAGES)
            # What two stimuli are compared by is not in the passes.
            # A trial has few pairs, whose number grows with the square of the stimuli.
            seconds += 2 * n**2 * sum(channels) / self.products_per_second
            n_pairs = n * (n - 1) // 2
            weights = sum(p.numel() for p in network.module.parameters()) * 4
            side = network.spec.preprocessing.size
            images = n * 3 * side**2 * 4 if hasattr(stimuli, "image") else 0
            largest = 4 * n * max(channels)
            held = min(budget, 4 * n * sum(channels)) + min(2 * largest, 2 * budget)
            more = 2 * held + 3 * weights + 3 * images + 24 * n_pairs * len(channels)
            self.add(job.what, seconds, more, 8 * n_pairs * len(channels) + 2**14, shared=True)

    @cached_property
    def products_per_second(self) -> float:
        """Multiplications and additions of float32 in a second, of large products."""
        a = np.ones((256, 4096), np.float32)
        return 2 * 256 * 256 * 4096 / min(timed(lambda _: a @ a.T, 0) for _ in range(5))

    @cached_property
    def figure_seconds(self) -> tuple[float, float]:
        """What the first takes more than others, and one small figure, saved as all are."""
        from rsa_faces.figures import save_figure

        def draw(_: int) -> None:
            import matplotlib.pyplot as plt

            figure, axes = plt.subplots(figsize=(4, 3))
            axes.plot(range(20), range(20), "o-", label="a line")
            axes.legend()
            save_figure(figure, self.scratch / "figure")
            plt.close(figure)

        first = timed(draw, 0)
        each = min(timed(draw, 0), timed(draw, 0))
        return max(0.0, first - each), each


@contextlib.contextmanager
def trials() -> Iterator[Trials]:
    """Yield a place for trials, silent and gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="rsa-faces-plan-") as scratch,
        warnings.catch_warnings(action="ignore"),
    ):
        # What is found in the few images of a trial is not what the run finds.
        faces = logging.getLogger("rsa_faces.stimuli")
        level = faces.level
        faces.setLevel(logging.ERROR)
        try:
            yield Trials(Path(scratch))
        finally:
            faces.setLevel(level)


def timed(make: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds that one call takes."""
    # Or a collection that falls due would be timed.
    gc.collect()
    start = _steps.CLOCK()
    make(*arguments)
    return _steps.CLOCK() - start


def n_channels(network: Network, layers: Sequence[str]) -> list[int]:
    """Return how many values each layer gives for one image."""
    modules = list(dict.fromkeys(split_call(layer)[0] for layer in layers))
    return network.layer_table(modules)["n_channels"].tolist()


def size_of(image: Any) -> int:
    """Return the bytes of an image, its files or its parts, as float32 in memory."""
    if image is None:
        return 0
    if isinstance(image, dict):
        return sum(map(size_of, image.values()))
    if isinstance(image, (list, tuple)):
        return sum(map(size_of, image))
    if isinstance(image, (str, Path)):
        image = load_file(image, "an image")
    shape = getattr(image, "shape", None) or np.shape(image.agg_data())
    return 4 * int(np.prod(shape))


def peak_bytes() -> int:
    """Return the most bytes that were resident in this process since they were counted last."""
    with _steps.peak_memory(reset=False) as peak:
        pass
    return peak[0]


def memory_of_machine() -> int:
    """Return the bytes of memory that this machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63 - 1  # not told here


def free_disk(folder: Path) -> int:
    """Return the bytes that are free where a folder is, or will be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def duration(seconds: float) -> str:
    """Return a time as text."""
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size(n_bytes: float) -> str:
    """Return a number of bytes as text."""
    unit, factor = next(
        (u, f)
        for u, f in (("KB", 1e3), ("MB", 1e6), ("GB", 1e9))
        if n_bytes < 1000 * f or u == "GB"
    )
    return f"{n_bytes / factor:.{int(n_bytes < 10 * factor)}f} {unit}"
