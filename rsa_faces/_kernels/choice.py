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
    # Steps of all calls so far: a loop that is called often with little is worth compiling as well.
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
    # Whether a function has to be compiled shows only in how long it takes.
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
    # A thread that others stand beside has its share of the processor already.
    alone = threading.current_thread() is threading.main_thread()
    n = max(1, min(n_threads(), n_items)) if alone else 1
    if n == 1:
        call(function, *arguments, 0, n_items)
        return
    bounds = np.linspace(0, n_items, n + 1).astype(np.int64)
    with ThreadPoolExecutor(n) as pool:
        parts = zip(bounds[:-1], bounds[1:], strict=True)
        for done in [pool.submit(call, function, *arguments, a, b) for a, b in parts]:
            done.result()


@cache
def blas() -> ThreadpoolController:
    """Return what limits the threads of NumPy's BLAS; to look for it takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


def n_threads() -> int:
    """Return how many threads to use: as many as NumPy's BLAS does.

    Numba is not asked: it would start threads of its own, and with them raise the number that
    torch was told to use (`OMP_NUM_THREADS`, `torch.set_num_threads`).
    """
    counts = [library.num_threads for library in blas().lib_controllers]
    return max(counts, default=os.cpu_count() or 1)


@contextlib.contextmanager
def one_thread_each() -> Iterator[int]:
    """Yield how many threads to use; within, each library of linear algebra uses one."""
    n = n_threads()
    with _pools(len(sys.modules)).limit(limits=1):
        yield n


@lru_cache(maxsize=1)
def _pools(n_modules: int) -> ThreadpoolController:
    """Return what limits threads; to look for libraries takes milliseconds, imports add some."""
    return ThreadpoolController()


@cache
def _say() -> None:
    """Say, once in a process, what takes long."""
    _log.warning("compiling, once: the next run on this machine starts at once")
