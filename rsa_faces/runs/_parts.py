"""Parts of a run on other processes or machines, through Dask; the same numbers either way."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from typing import Any

from threadpoolctl import threadpool_limits

from rsa_faces._core.checks import parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import write_text
from rsa_faces._core.optional import require, torch_if_there
from rsa_faces.runs._cluster_config import ClusterConfig, load_cluster_config
from rsa_faces.runs._steps import ARRAY

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
    """Set how many threads NumPy, torch and compiled loops use; None leaves them as they are."""
    if threads is None:
        yield
        return
    torch = torch_if_there()
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)


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


def write_array(
    folder: Path, command: str, options: str, array: ClusterConfig, n_stages: int
) -> Path:
    """Write the scripts of a job array in a run's folder; return the one that sends them to SLURM.

    One script does a share of the run, and is sent once for each stage (what a stage needs, the
    stages before it have made); another gathers the shares.

    Parameters
    ----------
    folder : Path
        Of the run; its ``config.yaml`` is what the jobs read.
    command, options : str
        Of the command line.
    array : ClusterConfig
        How many shares, on what.
    n_stages : int
        How many stages the run has.
    """
    place = folder / ARRAY
    run = f"rsa-faces {command} {quote(str(folder / 'config.yaml'))} --out {quote(str(folder))}"
    megabytes = parse_bytes(array.memory or "1GB") // 2**20
    lines = [
        "#!/bin/sh",
        f"#SBATCH --job-name=rsa-faces-{command}",
        f"#SBATCH --cpus-per-task={array.threads} --mem={megabytes}M",
        f"#SBATCH --time={array.walltime}",
        *(f"#SBATCH --partition={queue}" for queue in [array.queue] if queue),
        *(f"#SBATCH --account={account}" for account in [array.account] if account),
        f"#SBATCH --output={quote(str(place / '%A_%a.log'))}",
        *(f"#SBATCH {line}" for line in array.directives),
        "set -e",
        *(
            f"mkdir -p {s} && export TMPDIR={s}"
            for s in [quote(str(array.scratch))]
            if array.scratch
        ),
        *array.before,
    ]
    share = f'{run} {options} --part "$SLURM_ARRAY_TASK_ID/{array.workers}"'
    # A stage that failed is not waited for: the run that gathers does what is left, and says why.
    submit = ["#!/bin/sh", "set -e", 'after=""']
    shares = f"--array=0-{array.workers - 1} {quote(str(place / 'share.sh'))}"
    for job in [*[shares] * n_stages, quote(str(place / "gather.sh"))]:
        submit += [
            f"job=$(sbatch --parsable $after {job})",
            "job=${job%%;*}; echo $job",
            'after="--dependency=afterany:$job"',
        ]
    for name, script in (
        ("share.sh", [*lines, share]),
        ("gather.sh", [*lines, f"{run} {options}"]),
        ("submit.sh", submit),
    ):
        write_text(place / name, "\n".join(script) + "\n")
    return place / "submit.sh"


def submit_array(script: Path) -> list[str]:
    """Run the script that gives an array to SLURM, if SLURM is here; return what to say of it."""
    if shutil.which("sbatch") is None:
        return [f"there is no `sbatch` here: where SLURM is, start the run with `sh {script}`."]
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(
            f"expected SLURM to take the jobs of {script}, but sbatch said: "
            f"{' '.join(done.stderr.split()) or 'nothing'}."
        )
    *shares, last = done.stdout.split()
    return [
        f"SLURM has taken {len(shares)} arrays, one after the other ({', '.join(shares)}), and a "
        f"job that gathers what they make ({last}).",
        f"What they say is in {script.parent}, the results will be in {script.parents[1]}.",
    ]


def _made(config: ClusterConfig, distributed: Any) -> Any:
    """Return a new cluster of processes here, or of jobs."""
    scratch = None if config.scratch is None else str(Path(config.scratch))
    if config.kind == "local":
        import dask

        keys = {f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in _ALLOCATION.items()}
        with dask.config.set(keys):
            return distributed.LocalCluster(
                n_workers=config.workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=config.memory or "auto",
                dashboard_address=None,
                local_directory=scratch,
            )
    jobqueue = require("dask_jobqueue", extra="cluster", purpose=_PURPOSE)
    # To Dask a core is one more part at the same time, in the same memory: one each, on `threads`.
    cluster = jobqueue.SLURMCluster(
        cores=1,
        job_cpu=config.threads,
        processes=1,
        memory=config.memory,
        walltime=config.walltime,
        queue=config.queue,
        account=config.account,
        local_directory=scratch,
        job_script_prologue=[*(f"export {k}={v}" for k, v in _ALLOCATION.items()), *config.before],
        job_extra_directives=list(config.directives),
    )
    # Not `scale`: that never replaces a job that ended at its wall time or with its node.
    cluster.adapt(minimum_jobs=config.workers, maximum_jobs=config.workers)
    return cluster
