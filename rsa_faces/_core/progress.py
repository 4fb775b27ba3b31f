"""A progress bar for work that takes long, on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

PATIENCE = 2.0


@contextlib.contextmanager
def progress_bar(what: str, total: int, *, show: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how much is done; a bar appears after two seconds."""
    if not (show and sys.stderr.isatty()):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=total)
    start, started = time.monotonic(), False

    def tell(done: int) -> None:
        nonlocal started
        if not started and time.monotonic() - start > PATIENCE:
            bar.start()
            started = True
        bar.update(task, completed=done)

    try:
        yield tell
    finally:
        if started:
            bar.stop()
