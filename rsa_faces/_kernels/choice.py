"""Which form of a loop to use, and how to call a compiled one."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

_log = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds before it is said that loops are compiled
_done: Counter[str] = Counter()
_ready: set[Callable] = set()


def compiled_pays(loops: str, steps: int, limit: int) -> bool:
    """Return whether to use the compiled form of a loop from now on.

    Parameters
    ----------
    loops : str
        The module that holds it. What was done before counts, so that a long bootstrap changes
        over.
    steps : int
        Steps of this call.
    limit : int
        Steps that take the plain form about as long as compiling takes, measured. Where an earlier
        run has compiled the loop a twentieth of them, about what loading takes. 0: always.

    Returns
    -------
    bool
    """
    _done[loops] += int(steps)
    return _done[loops] > (limit // 20 if _compiled_before(loops) else limit)


@cache
def _compiled_before(loops: str) -> bool:
    """Return whether an earlier run on this machine left the compiled form of a module."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    pattern = f"{loops}.*.nbi"
    if folder:
        return any(Path(folder).rglob(pattern))
    return any((Path(__file__).parent / "__pycache__").glob(pattern))


def call(function: Callable, *arguments):
    """Call a compiled function; if that takes long the first time, say why."""
    if function in _ready:
        return function(*arguments)
    with _saying():
        result = function(*arguments)
    _ready.add(function)
    return result


@contextlib.contextmanager
def _saying() -> Iterator[None]:
    timer = threading.Timer(_PATIENCE, _say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def in_threads(function: Callable[..., None], n_items: int, *arguments: object) -> None:
    """Call the compiled ``function(*arguments, start, stop)`` for parts of the items, side by side.

    In a thread that is itself one of several, the parts are done one after the other.
    """
    import numba

    alone = threading.current_thread() is threading.main_thread()
    n_threads = max(1, min(numba.get_num_threads(), n_items)) if alone else 1
    if n_threads == 1:
        call(function, *arguments, 0, n_items)
        return
    bounds = np.linspace(0, n_items, n_threads + 1).astype(np.int64)
    with ThreadPoolExecutor(n_threads) as pool:
        parts = zip(bounds[:-1], bounds[1:], strict=True)
        for done in [pool.submit(call, function, *arguments, a, b) for a, b in parts]:
            done.result()


@contextlib.contextmanager
def one_thread_each() -> Iterator[int]:
    """Yield how many threads libraries of linear algebra use; within, each of them uses one."""
    pools = _pools(len(sys.modules))
    n_threads = max([pool["num_threads"] for pool in pools.info()], default=1)
    with pools.limit(limits=1):
        yield n_threads


@lru_cache(maxsize=1)
def _pools(n_modules: int) -> ThreadpoolController:
    """Return what limits threads; to look for libraries takes milliseconds, imports add some."""
    return ThreadpoolController()


@cache
def _say() -> None:
    """Say, once in a process, what takes long."""
    _log.warning("compiling, once: the next run on this machine starts at once")
