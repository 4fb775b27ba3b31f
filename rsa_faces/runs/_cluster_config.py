"""Where the parts of a run are done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsa_faces._core.checks import parse_bytes
from rsa_faces.runs._reading import Section, read_config


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

    kind: Literal["local", "slurm", "array", "address"] = Field(
        description="Processes here, SLURM jobs, a SLURM job array, or a running Dask scheduler."
    )
    workers: int = Field(default=2, ge=1, description="Processes, or jobs.")
    threads: int = Field(default=1, ge=1, description="Processor threads of each.")
    memory: str | None = Field(
        default=None, description="Of each worker, such as 16GB; needed for SLURM."
    )
    address: str | None = Field(
        default=None, description="Of the scheduler, such as tcp://10.0.0.1:8786."
    )
    walltime: str = Field(default="04:00:00", description="Of SLURM's jobs.")
    queue: str | None = Field(default=None, description="Of SLURM's jobs.")
    account: str | None = Field(default=None, description="Of SLURM's jobs.")
    before: list[str] = Field(
        default_factory=list, description="Lines of the job script before the worker."
    )
    directives: list[str] = Field(default_factory=list, description="Further #SBATCH lines.")
    scratch: Path | None = Field(
        default=None, description="Where workers keep what does not fit in memory."
    )

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
