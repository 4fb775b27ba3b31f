"""Steps of a run: each is done once, and redone when what it depends on has changed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rsa_faces import __version__
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, locked, sha256_bytes, sha256_file, write_text

#: What time is: a check on a busy machine takes the processor's.
CLOCK: Callable[[], float] = time.perf_counter
#: Folder, in that of a run, of the scripts of a job array and of what its jobs have done.
ARRAY = ".array"


class Steps:
    """The steps of the run in one output folder, kept in ``state.json``.

    A step is done when its key (a hash of all that it depends on, and of the package's version) is
    the recorded one and its files still have the recorded bytes. The record is written after the
    files, so that a run killed at any moment repeats the step it was in and nothing else. What a
    step had to note is recorded with it: a run that goes on says the same as one that was whole.
    Steps that jobs of an array did are recorded one by one in the folder ``.array``, until the run
    that gathers them takes their records over.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.peak_bytes: dict[str, int] = {}
        self.reused: list[str] = []
        self._path = folder / "state.json"
        try:
            self._done = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self._done = {}
        self._apart: dict[str, dict[str, Any]] = {}
        for path in sorted((folder / ARRAY).glob("*.json")):
            # A record that a killed job left half is none: its step is done again.
            with contextlib.suppress(ValueError):
                record = json.loads(path.read_text(encoding="utf-8"))
                self._apart[record["step"]] = record

    def run(
        self,
        name: str,
        depends_on: Sequence[str],
        files: Sequence[str],
        make: Callable[[], Sequence[str] | None],
    ) -> tuple[str, ...]:
        """Run `make`, which writes `files` (relative names), or some, unless it is done already.

        Returns
        -------
        tuple of str
            What `make` returned: notes.
        """
        record = self._found(name, depends_on)
        if record is None:
            record = self._make(name, depends_on, files, make)
        elif record is self._done.get(name):
            self.reused.append(name)
            return tuple(record.get("notes", ()))
        else:
            self.seconds[name], self.peak_bytes[name] = record["seconds"], record["peak_bytes"]
        self._done[name] = {key: record[key] for key in ("key", "files", "notes")}
        write_text(self._path, json.dumps(self._done, indent=1, ensure_ascii=False))
        return tuple(record["notes"])

    def run_apart(
        self,
        name: str,
        depends_on: Sequence[str],
        files: Sequence[str],
        make: Callable[[], Sequence[str] | None],
    ) -> None:
        """Run a step beside other processes in the same folder, and record it for them."""
        record = {"step": name, **self._make(name, depends_on, files, make)}
        path = self.folder / ARRAY / f"{sha256_bytes(name.encode())[:16]}.json"
        write_text(path, json.dumps(record, ensure_ascii=False))

    def _make(
        self,
        name: str,
        depends_on: Sequence[str],
        files: Sequence[str],
        make: Callable[[], Sequence[str] | None],
    ) -> dict[str, Any]:
        """Run a step, and return its record."""
        start = CLOCK()
        with peak_memory() as peak:
            notes = list(make() or ())
        self.seconds[name] = round(CLOCK() - start, 3)
        self.peak_bytes[name] = peak[0]
        return {
            "key": _key(depends_on),
            "files": {
                file: sha256_file(self.folder / file)
                for file in files
                if (self.folder / file).exists()
            },
            "notes": notes,
            "seconds": self.seconds[name],
            "peak_bytes": peak[0],
        }

    def is_done(self, name: str, depends_on: Sequence[str]) -> bool:
        """Return whether a step need not be run."""
        return self._found(name, depends_on) is not None

    def _found(self, name: str, depends_on: Sequence[str]) -> dict[str, Any] | None:
        """Return the record of a step that is done."""
        key = _key(depends_on)
        # Steps of jobs are taken over into state.json when the run that gathers comes to them.
        for records in (self._done, self._apart):
            record = records.get(name, {})
            # By their bytes: a file that was edited or cut since is made again, not read.
            if record.get("key") == key and self._intact(record["files"]):
                return record
        return None

    def _intact(self, files: dict[str, str]) -> bool:
        """Whether all files exist with the recorded bytes."""
        paths = {self.folder / name: digest for name, digest in files.items()}
        return all(p.is_file() and sha256_file(p) == digest for p, digest in paths.items())


def _key(depends_on: Sequence[str]) -> str:
    """Return the hash of all that a step depends on."""
    # Another version may compute another number from the same input.
    return sha256_bytes(*(part.encode() for part in (__version__, *depends_on)))


@contextlib.contextmanager
def peak_memory(*, reset: bool = True) -> Iterator[list[int]]:
    """Yield a list that holds, at the end, the most bytes that were resident in the block.

    On Linux the system's mark is set back first; elsewhere it is the most since the process began.
    """
    peak = [0]
    if reset:
        with contextlib.suppress(OSError):
            # 5 sets the high-water mark back to what is resident now (Linux, proc(5)).
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    try:
        yield peak
    finally:
        peak[0] = _high_water()


def _high_water() -> int:
    """Return the most bytes that were resident since the mark was set back."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS tells bytes, others kilobytes; there the mark of the whole process is all there is.
    return peak if os.uname().sysname == "Darwin" else peak * 1024


def check_place(folder: Path) -> None:
    """Raise if a folder cannot be made, or written to; nothing is made yet.

    Raises
    ------
    InputError
        With what stands in its way.
    """
    # The nearest folder that exists decides, as those below it are still to be made.
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise _unwritable(folder, f"{there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(folder, f"{there} is not yours to write to")


def _unwritable(folder: Path, why: str | None) -> InputError:
    """Return what is said of a folder that cannot be written."""
    return InputError(
        f"expected a folder to write results to, but {folder} cannot be written: {why}. "
        "Choose another with --out."
    )


@contextlib.contextmanager
def claimed(
    folder: Path,
    resolved: str,
    *,
    fresh: bool,
    tables: Sequence[str],
    differences: Callable[[str], str],
) -> Iterator[None]:
    """Lock a folder, then make it this run's; a run that is refused changes nothing there.

    Parameters
    ----------
    folder : Path
        Made if missing.
    resolved : str
        What ``config.yaml`` there has to hold, and does afterwards.
    fresh : bool
        Forget what an earlier run left: the files that it recorded.
    tables : sequence of str
        Files that the run will write, and that must not be somebody else's.
    differences : callable
        From the text of another ``config.yaml`` to what differs, for the message.

    Raises
    ------
    InputError
        If the folder cannot be written, another run holds it, or it holds another configuration
        and `fresh` is False.
    """
    previous = folder / "config.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Tried, not asked for: permissions on network folders are not what they say.
        with atomic_path(folder / ".writable"):
            pass
        (folder / ".writable").unlink()
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # a full disk is said as such
        raise _unwritable(folder, err.strerror) from err
    with locked(folder):
        before = previous.read_text(encoding="utf-8") if previous.is_file() else None
        if fresh:
            _forget(folder)
        elif before is not None and before != resolved:
            raise InputError(
                f"{folder} holds a run of another configuration ({differences(before)}). "
                "Choose another folder with --out, or replace that run with --fresh."
            )
        elif before is None and (foreign := [t for t in tables if (folder / t).exists()]):
            raise InputError(
                f"{folder} holds a {foreign[0]} that no run of rsa-faces left there. "
                "Choose another folder with --out."
            )
        # Only under the lock: another run's temporary files are not ours to remove.
        _sweep(folder)
        # Last: a run that is refused must not have changed what it was refused for.
        write_text(previous, resolved)
        yield


@contextlib.contextmanager
def joined(folder: Path, resolved: str) -> Iterator[None]:
    """Hold, beside other jobs of an array, a folder that the command which sent them has claimed.

    Raises
    ------
    InputError
        If it holds another configuration, or none, or a run that is no job of an array.
    """
    claim = folder / "config.yaml"
    if not claim.is_file() or claim.read_text(encoding="utf-8") != resolved:
        raise InputError(
            f"expected the run of this configuration in {folder}, of which --part does one share. "
            "Start it without --part first: that writes the job array."
        )
    # Shared among the jobs, but not with a run of its own, which would gather what they still
    # write.
    with locked(folder, shared=True):
        yield


def _forget(folder: Path) -> None:
    """Remove the files that earlier runs recorded, and their records; nothing else."""
    recorded: set[str] = set()
    for name, read in (
        ("state.json", lambda steps: {file for step in steps.values() for file in step["files"]}),
        ("provenance.json", lambda provenance: set(provenance["files"])),
    ):
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
            recorded |= read(json.loads((folder / name).read_text(encoding="utf-8")))
    root = folder.resolve()
    for name in recorded | {"state.json", "provenance.json"}:
        path = (root / name).resolve()
        # A record could name any file, such as one that a link leads to outside of the folder.
        if path.is_relative_to(root) and path.is_file():
            path.unlink()
    remove_array(folder)


def remove_array(folder: Path) -> None:
    """Remove the scripts and records of a job array."""
    shutil.rmtree(folder / ARRAY, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove temporary files of runs that were killed: the folder is locked, nobody writes them."""
    for path in folder.rglob(".*.part*"):
        if path.is_file():
            path.unlink(missing_ok=True)
