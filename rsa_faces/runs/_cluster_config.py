"""Where the parts of a run are done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from rsa_faces._core.checks import parse_bytes
from rsa_faces._core.configurations import Section, key
from rsa_faces.runs._reading import read_config


class ClusterConfig(Section):
    """Where the parts of a run are done: read with :func:`load_cluster_config`.

    Parameters
    ----------
    kind : {"local", "slurm", "array", "address"}
        Processes of this machine, jobs that SLURM starts while the run waits for them, an array of
        jobs that is left to SLURM, or a Dask scheduler that runs already.
    workers : int, default 2
        Processes, or jobs.
    threads : int, default 1
        Processor threads of each worker, which does one part at a time; with kind "address" the
        workers stay as they were started.
    memory : str, optional
        Of each worker, such as "16GB"; needed for SLURM.
    address : str, optional
        Of the scheduler, such as "tcp://10.0.0.1:8786".
    walltime, queue, account : str, optional
        Of SLURM's jobs.
    before : list of str
        Lines of the job script before the worker, such as "source venv/bin/activate".
    directives : list of str
        Further #SBATCH lines, such as "--gres=gpu:1".
    scratch : path, optional
        Where workers keep what does not fit in memory.
    """

    kind: Literal["local", "slurm", "array", "address"] = key(
        "Processes here, SLURM jobs, a SLURM job array, or a running Dask scheduler."
    )
    workers: int = key("Processes, or jobs.", 2, ge=1)
    threads: int = key("Processor threads of each.", 1, ge=1)
    memory: str | None = key("Of each worker, such as 16GB; needed for SLURM.", None)
    address: str | None = key("Of the scheduler, such as tcp://10.0.0.1:8786.", None)
    walltime: str = key("Of SLURM's jobs.", "04:00:00")
    queue: str | None = key("Of SLURM's jobs.", None)
    account: str | None = key("Of SLURM's jobs.", None)
    before: list[str] = key("Lines of the job script before the worker.", [])
    directives: list[str] = key("Further #SBATCH lines.", [])
    scratch: Path | None = key("Where workers keep what does not fit in memory.", None)

    @model_validator(mode="after")
    def _enough(self) -> ClusterConfig:
        if (self.kind == "address") != (self.address is not None):
            raise ValueError("expected `address` with kind: address, and only there.")
        if self.kind in {"slurm", "array"} and self.memory is None:
            raise ValueError("expected `memory` of each job, such as 16GB.")
        if self.memory is not None:
            parse_bytes(self.memory)
        return self


def load_cluster_config(path: str | os.PathLike[str]) -> ClusterConfig:
    """Read from a YAML file where the parts of a run are done; as :func:`load_config`."""
    return read_config(path, (), ClusterConfig)
