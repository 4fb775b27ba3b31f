"""Runs on several processes: the same bytes as in one, also when a worker is lost."""

import os
import signal
import threading
import time

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from test_cli import make_project
from threadpoolctl import threadpool_info

from rsa_faces import InputError
from rsa_faces._kernels.choice import n_threads
from rsa_faces.datasets import simulated_brain
from rsa_faces.mapping import SearchlightMap
from rsa_faces.runs import _parts
from rsa_faces.runs._cluster_config import ClusterConfig, load_cluster_config
from rsa_faces.runs._parts import Parts, opened
from rsa_faces.runs.compare.config import Config
from rsa_faces.runs.compare.run import CompareRun
from rsa_faces.runs.searchlight.config import SearchlightConfig
from rsa_faces.runs.searchlight.run import SearchlightRun

distributed = pytest.importorskip("distributed")
LOCAL = ClusterConfig(kind="local", workers=2)


def wait_and_write(path, seconds):
    """A part that takes its time, and says who did it."""
    time.sleep(seconds)
    path.write_text(str(os.getpid()))
    return os.getpid()


def test_without_a_cluster_parts_run_when_asked_for(tmp_path):
    with opened(None) as parts:
        wait = parts.begin(wait_and_write, tmp_path / "a", 0)
        assert not (tmp_path / "a").exists()
        assert wait() == os.getpid()


@pytest.mark.slow
def test_parts_run_side_by_side_elsewhere_and_a_lost_worker_changes_nothing(tmp_path):
    with opened(LOCAL) as parts:
        first = parts.begin(wait_and_write, tmp_path / "first", 0)()
        assert first != os.getpid()
        waits = [parts.begin(wait_and_write, tmp_path / f"{k}", 1.0) for k in range(4)]
        killer = threading.Timer(0.5, lambda: os.kill(first, signal.SIGKILL))
        killer.start()
        done_by = [wait() for wait in waits]
    assert first not in done_by
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1", "2", "3", "first"]


@pytest.mark.slow
def test_compare_gives_the_same_bytes(tmp_path):
    project = make_project(tmp_path)
    few = ["networks=[pixels, gabor-v1]", "models=[]", "subsets={all: all}", "figures={}"]
    config = Config.read(project / "c.yaml", few)
    alone = CompareRun(config, tmp_path / "alone").run()
    shared = CompareRun(config, tmp_path / "shared", cluster=LOCAL).run()
    for name in ("results.csv", "tests.csv"):
        assert (alone.folder / name).read_bytes() == (shared.folder / name).read_bytes()


@pytest.mark.slow
def test_a_searchlight_gives_the_same_numbers_also_when_a_worker_is_killed(tmp_path):
    brain = simulated_brain(
        n_subjects=6, shape=(16, 16, 14), region_radius=6.0, planted=["simulated layer_1"]
    )
    for i, image in enumerate(brain.imgs):
        nibabel.save(image, tmp_path / f"{i}.nii")
    nibabel.save(brain.mask_img, tmp_path / "mask.nii")
    brain.models.sel(name="simulated layer_1").save(tmp_path / "models.h5")
    pd.DataFrame({"condition": brain.conditions}).to_csv(tmp_path / "v.csv", index=False)
    data = {
        "subjects": {f"s{i}": f"{i}.nii" for i in range(6)},
        "conditions": "v.csv",
        "mask": "mask.nii",
    }
    (tmp_path / "s.yaml").write_text(
        yaml.safe_dump(
            {
                "title": "simulated",
                "data": data,
                "models": [{"rdms": "models.h5"}],
                "test": {"n_permutations": 99, "statistic": "max"},
            }
        )
    )
    config = SearchlightConfig.read(tmp_path / "s.yaml")
    alone = SearchlightRun(config, tmp_path / "alone").run()
    maps = tmp_path / "shared" / "maps"
    done_when_killed = []
    with _parts._made(LOCAL, distributed) as made, distributed.Client(made) as client:
        client.wait_for_workers(2)
        victim = client.run(os.getpid).popitem()[1]

        def kill() -> None:
            while not list(maps.glob("*.h5")):
                time.sleep(0.005)
            os.kill(victim, signal.SIGKILL)
            done_when_killed.append(len(list(maps.glob("*.h5"))))

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        address = ClusterConfig(kind="address", address=made.scheduler_address)
        shared = SearchlightRun(config, tmp_path / "shared", cluster=address).run()
        killer.join()
    assert done_when_killed[0] < 6
    bounds = [np.load(out.folder / "ceilings" / "volume.npz") for out in (alone, shared)]
    for name in ("lower", "upper", "n_voxels"):
        np.testing.assert_array_equal(bounds[0][name], bounds[1][name])
    assert alone.tables["peaks"].equals(shared.tables["peaks"])
    for path in sorted((alone.folder / "maps").glob("*.h5")):
        one, two = SearchlightMap.load(path), SearchlightMap.load(maps / path.name)
        np.testing.assert_array_equal(one.similarity, two.similarity)


def test_slurm_jobs_are_asked_for_as_configured(monkeypatch, tmp_path):
    jobqueue = pytest.importorskip("dask_jobqueue")
    asked = {}

    class FakeSlurm:
        def __init__(self, **options):
            asked.update(options)

        def adapt(self, *, minimum_jobs, maximum_jobs):
            assert minimum_jobs == maximum_jobs
            asked["jobs"] = maximum_jobs

    monkeypatch.setattr(jobqueue, "SLURMCluster", FakeSlurm)
    config = ClusterConfig(
        kind="slurm",
        workers=7,
        threads=4,
        memory="16GB",
        queue="short",
        walltime="01:00:00",
        before=["source here"],
        directives=["--gres=gpu:1"],
    )
    _parts._made(config, distributed)
    assert (asked["jobs"], asked["processes"]) == (7, 1)
    assert (asked["cores"], asked["job_cpu"]) == (1, 4)
    assert (asked["memory"], asked["queue"], asked["walltime"]) == ("16GB", "short", "01:00:00")
    assert asked["job_script_prologue"] == [
        "export MALLOC_TRIM_THRESHOLD_=134217728",
        "export MALLOC_MMAP_THRESHOLD_=33554432",
        "source here",
    ]
    assert asked["job_extra_directives"] == ["--gres=gpu:1"]


@pytest.mark.slow
def test_jobs_that_end_are_replaced(monkeypatch, tmp_path):
    jobqueue = pytest.importorskip("dask_jobqueue")
    from dask_jobqueue.local import LocalCluster

    # Job scripts of the same library, run as processes of this machine instead of by SLURM.
    def run_here(*, queue, account, job_cpu, job_script_prologue, **options):
        return LocalCluster(**options, log_directory=str(tmp_path))

    monkeypatch.setattr(jobqueue, "SLURMCluster", run_here)
    config = ClusterConfig(
        kind="slurm", workers=1, threads=2, memory="1GB", walltime="00:10:00", scratch=tmp_path
    )
    with (
        _parts._made(config, distributed) as made,
        distributed.Client(made) as client,
    ):
        client.wait_for_workers(1, timeout=120)
        (first,) = client.run(os.getpid).values()
        os.kill(first, signal.SIGKILL)
        parts = _parts.Parts(client)
        assert parts.begin(os.getpid)() != first
        assert list(client.nthreads().values()) == [1]


def threads():
    """Return how many threads compiled loops, torch and NumPy use."""
    import torch

    pools = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
    return n_threads(), torch.get_num_threads(), *pools


def allocation():
    """Return what the C library was told about freed memory."""
    return tuple(os.environ.get(f"MALLOC_{name}_THRESHOLD_") for name in ("TRIM", "MMAP"))


@pytest.mark.slow
def test_local_workers_keep_freed_memory():
    with opened(ClusterConfig(kind="local", workers=1)) as parts:
        assert parts.begin(allocation)() == ("134217728", "33554432")


@pytest.mark.slow
def test_a_part_uses_the_threads_that_were_asked_for():
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as made,
        distributed.Client(made) as client,
    ):
        for n_threads in {1, min(2, os.cpu_count())}:
            assert set(Parts(client, threads=n_threads).begin(threads)()) == {n_threads}


@pytest.mark.slow
def test_slurm_job_scripts_hold_what_was_asked_for():
    jobqueue = pytest.importorskip("dask_jobqueue")
    with jobqueue.SLURMCluster(
        cores=1,
        job_cpu=4,
        processes=1,
        memory="16GB",
        queue="short",
        walltime="01:00:00",
        job_script_prologue=["source here"],
        job_extra_directives=["--gres=gpu:1"],
    ) as cluster:
        script = cluster.job_script()
    for line in (
        "#SBATCH -p short",
        "#SBATCH --cpus-per-task=4",
        "--nthreads 1",
        "#SBATCH --gres=gpu:1",
        "source here",
    ):
        assert line in script


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"kind": "sge"}, "'local', 'slurm', 'array' or 'address'"),
        ({"kind": "slurm"}, "expected `memory` of each job"),
        ({"kind": "address"}, "expected `address` with kind: address"),
        ({"kind": "local", "address": "tcp://1"}, "expected `address` with kind: address"),
        ({"kind": "local", "worker": 3}, "unknown key 'worker'. Did you mean 'workers'"),
        ({"kind": "slurm", "memory": "lots"}, "lots"),
    ],
)
def test_wrong_configurations_are_one_sentence(tmp_path, content, match):
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=match):
        load_cluster_config(path)


def test_errors_of_a_part_come_through():
    class Client:
        def submit(self, function, *arguments, **options):
            assert options["retries"] == 3

            class Future:
                result = staticmethod(lambda: function(*arguments))

            return Future

    def fails():
        raise InputError("this image")

    with pytest.raises(InputError, match="this image"):
        Parts(Client()).begin(fails)()
