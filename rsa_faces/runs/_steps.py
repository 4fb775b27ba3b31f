"""Steps of a run: each is done once, and redone when what it depends on has changed."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes, sha256_file, write_text

try:
    import fcntl
except ImportError:  # not on Windows, where the lock is left out
    fcntl = None  # type: ignore[assignment]


class Steps:
    """The steps of the run in one output folder, kept in ``state.json``.

    A step is done when its key (a hash of all that it depends on) is the recorded one and its
    files still have the recorded bytes. The record is written after the files, so that a run
    killed at any moment repeats the step it was in and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.reused: list[str] = []
        self._path = folder / "state.json"
        try:
            self._done = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self._done = {}

    def run(
        self, name: str, depends_on: Sequence[str], files: Sequence[str], make: Callable[[], None]
    ) -> None:
        """Run `make`, which writes `files` (relative names), unless it is done already."""
        if self.is_done(name, depends_on):
            self.reused.append(name)
            return
        key = sha256_bytes(*(part.encode() for part in depends_on))
        start = time.perf_counter()
        make()
        self.seconds[name] = round(time.perf_counter() - start, 3)
        hashes = {file: sha256_file(self.folder / file) for file in files}
        self._done[name] = {"key": key, "files": hashes}
        write_text(self._path, json.dumps(self._done, indent=1))

    def is_done(self, name: str, depends_on: Sequence[str]) -> bool:
        """Return whether a step need not be run."""
        key = sha256_bytes(*(part.encode() for part in depends_on))
        record = self._done.get(name, {})
        return record.get("key") == key and self._intact(record["files"])

    def _intact(self, files: dict[str, str]) -> bool:
        """Whether all files exist with the recorded bytes."""
        paths = {self.folder / name: digest for name, digest in files.items()}
        return all(p.is_file() and sha256_file(p) == digest for p, digest in paths.items())


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the output folder for this process; a second run of the same folder is refused."""
    if fcntl is None:
        yield
        return
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise InputError(
                f"expected {folder} to be free, but another run is writing there. "
                "Wait for it, or choose another folder with --out."
            ) from err
        except OSError:
            pass  # some network file systems have no locks; a second run is then the user's care
        yield
