"""Time a searchlight over a group on one and on two local workers, each with one thread.

    python scripts/bench_cluster.py [--subjects 8] [--axis 20]

Starting the workers is left out; reading, mapping and writing of each subject is in. The group's
maps are compared byte for byte. Timings decide no test. All data are simulated.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import yaml
from bench_searchlight import AFFINE, N_CONDITIONS, ellipsoid, models_of

from rsa_faces.mapping import SearchlightMap
from rsa_faces.runs._cluster_config import ClusterConfig
from rsa_faces.runs._parts import _made
from rsa_faces.runs.searchlight.config import SearchlightConfig
from rsa_faces.runs.searchlight.run import SearchlightRun


def make(folder: Path, n_subjects: int, axis: int) -> Path:
    """Write simulated brains and a configuration; return its path."""
    rng = np.random.default_rng(0)
    mask = ellipsoid(axis, axis, axis)
    models = models_of(rng, 10)
    models.save(folder / "models.h5")
    rows = "\n".join(models.conditions)
    (folder / "conditions.csv").write_text(f"condition\n{rows}\n")
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), AFFINE), folder / "mask.nii.gz")
    subjects = {}
    for i in range(n_subjects):
        data = np.zeros((*mask.shape, N_CONDITIONS), np.float32)
        data[mask] = rng.normal(size=(int(mask.sum()), N_CONDITIONS))
        subjects[f"sub-{i:02d}"] = f"sub-{i:02d}.nii"
        nibabel.save(nibabel.Nifti1Image(data, AFFINE), folder / subjects[f"sub-{i:02d}"])
    config = {
        "title": "simulated",
        "data": {"subjects": subjects, "conditions": "conditions.csv", "mask": "mask.nii.gz"},
        "models": [{"rdms": "models.h5"}],
        "radius": 10,
        "test": {"n_permutations": 99, "statistic": "max"},
    }
    path = folder / "searchlight.yaml"
    path.write_text(yaml.safe_dump(config))
    print(f"{n_subjects} simulated subjects, {int(mask.sum())} centres, 10 models")
    return path


def main() -> None:
    """Time both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--axis", type=int, default=20, help="half axis of the brain, in voxels")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"  # of the workers, which inherit it
    import distributed

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = SearchlightConfig.read(make(folder, arguments.subjects, arguments.axis))
        seconds, maps = {}, {}
        for n_workers in (1, 2):
            with (
                _made(ClusterConfig(kind="local", workers=n_workers), distributed) as made,
                distributed.Client(made) as client,
            ):
                client.wait_for_workers(n_workers)
                (folder / "cluster.yaml").write_text(
                    yaml.safe_dump({"kind": "address", "address": made.scheduler_address})
                )
                start = time.perf_counter()
                run = SearchlightRun(
                    config, folder / f"of {n_workers}", cluster=folder / "cluster.yaml"
                ).run()
                seconds[n_workers] = time.perf_counter() - start
            maps[n_workers] = [
                SearchlightMap.load(p).similarity
                for p in sorted((run.folder / "maps").glob("*.h5"))
            ]
            print(f"{n_workers} workers: {seconds[n_workers]:.1f} s")
        for one, two in zip(maps[1], maps[2], strict=True):
            np.testing.assert_array_equal(one, two)
        print(f"two workers: {seconds[1] / seconds[2]:.2f} x one; the same maps")


if __name__ == "__main__":
    main()
