"""Parts of a run on other processes or machines, through Dask; the same numbers either way."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from rsa_faces._core.optional import require, torch_if_there
from rsa_faces.runs._cluster_config import ClusterConfig, load_cluster_config

_PURPOSE = "Running on a cluster"
# Dask has its workers give freed memory back at once; faulting it in again for every block of
# centres took up to a third of the time. With these sizes it is kept, as in any other process.
_ALLOCATION = {"MALLOC_TRIM_THRESHOLD_": str(2**27), "MALLOC_MMAP_THRESHOLD_": str(2**25)}


class Parts:
    """Hands out the parts of a run: to a Dask client, or one after the other when asked for.

    Parts are functions at the top of a module that write files below the run's folder, which all
    workers must see, and return little. A part whose worker is lost is done again by another.
    """

    def __init__(
        self, client: Any = None, retries: int = 3, threads: int | None = None, workers: int = 1
    ) -> None:
        self._client, self._retries, self._threads = client, retries, threads
        #: How many parts are done side by side.
        self.workers = workers

    def begin(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Return a function that waits for the result."""
        if self._client is None:
            return functools.partial(function, *arguments)
        future = self._client.submit(
            _with_threads, self._threads, function, *arguments, retries=self._retries, pure=False
        )
        return future.result


def _with_threads(threads: int | None, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function on that many processor threads."""
    with limited_threads(threads):
        return function(*arguments)


@contextlib.contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Set how many threads NumPy, numba and torch use; None leaves them as they are."""
    if threads is None:
        yield
        return
    import numba

    torch = torch_if_there()
    before = torch.get_num_threads() if torch else 0, numba.get_num_threads()
    if torch:
        torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        if torch:
            torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@contextlib.contextmanager
def opened(cluster: str | os.PathLike[str] | ClusterConfig | None) -> Iterator[Parts]:
    """Start or join a cluster, and leave it at the end.

    Parameters
    ----------
    cluster : path-like, ClusterConfig or None
        None runs everything in this process.
    """
    if cluster is None:
        yield Parts()
        return
    config = cluster if isinstance(cluster, ClusterConfig) else load_cluster_config(cluster)
    distributed = require("distributed", extra="cluster", purpose=_PURPOSE)
    with contextlib.ExitStack() as stack:
        if config.kind == "address":
            client = stack.enter_context(distributed.Client(config.address))
            yield Parts(client, workers=max(1, len(client.nthreads())))
            return
        made = stack.enter_context(_made(config, distributed))
        client = stack.enter_context(distributed.Client(made))
        yield Parts(client, threads=config.threads, workers=config.workers)


def _made(config: ClusterConfig, distributed: Any) -> Any:
    """Return a new cluster of processes here, or of jobs."""
    scratch = None if config.scratch is None else str(Path(config.scratch))
    if config.kind == "local":
        import dask

        keys = {f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in _ALLOCATION.items()}
        with dask.config.set(keys):
            return distributed.LocalCluster(
                n_workers=config.workers, threads_per_worker=1, processes=True,
                memory_limit=config.memory or "auto", dashboard_address=None,
                local_directory=scratch,
            )  # fmt: skip
    jobqueue = require("dask_jobqueue", extra="cluster", purpose=_PURPOSE)
    # To Dask a core is one more part at the same time, in the same memory: one each, on `threads`.
    cluster = jobqueue.SLURMCluster(
        cores=1, job_cpu=config.threads, processes=1, memory=config.memory,
        walltime=config.walltime, queue=config.queue, account=config.account,
        local_directory=scratch,
        job_script_prologue=[*(f"export {k}={v}" for k, v in _ALLOCATION.items()), *config.before],
        job_extra_directives=list(config.directives),
    )  # fmt: skip
    # Not `scale`: that never replaces a job that ended at its wall time or with its node.
    cluster.adapt(minimum_jobs=config.workers, maximum_jobs=config.workers)
    return cluster
