"""Time the searchlight against rsatoolbox and mne-rsa, in one process, in turn.

    python scripts/bench_searchlight.py            ours against theirs, and a whole brain
    python scripts/bench_searchlight.py --small    ours against theirs only

The others are called as their users call them, on a part of the brain (where more spheres are cut
off, in their favour), and compared by the time per centre; what they do once (finding spheres) is
left out of theirs and not of ours. Ours uses all cores, theirs one: beside the time that passed
stands the time of the processor over all cores, which hardly depends on what else runs. Timings
decide no test. All data are simulated.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import resource
import time
import warnings
from collections.abc import Callable
from importlib import metadata

import nibabel
import numpy as np

import rsa_faces as rf
from rsa_faces.mapping import searchlight

N_CONDITIONS = 92
AFFINE = np.diag([3.0, 3, 3, 1])


def seconds(call: Callable[[], object], repeats: int = 3) -> tuple[np.ndarray, object]:
    """Return the shortest time that passed and of the processor, and what the last run gave."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        result = call()
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return np.min(times, axis=0), result


def ellipsoid(*axes: int) -> np.ndarray:
    """Return a mask with these half axes, in voxels, and a margin of one."""
    shape = [2 * a + 3 for a in axes]
    grid = np.indices(shape).reshape(3, -1).T - (np.array(axes) + 1)
    return (((grid / np.array(axes)) ** 2).sum(axis=1) <= 1).reshape(shape)


def simulated(rng: np.random.Generator, mask: np.ndarray):
    """Return an image in single precision, as files have it, and its mask."""
    data = np.zeros((*mask.shape, N_CONDITIONS), np.float32)
    data[mask] = rng.normal(size=(int(mask.sum()), N_CONDITIONS))
    return nibabel.Nifti1Image(data, AFFINE), nibabel.Nifti1Image(mask.astype(np.uint8), AFFINE)


def models_of(rng: np.random.Generator, n: int) -> rf.RDMs:
    """Return random models."""
    names = [f"c{i:02d}" for i in range(N_CONDITIONS)]
    return rf.RDMs(rng.random((n, N_CONDITIONS * (N_CONDITIONS - 1) // 2)), names, "simulated")


def ours(img, mask, models: rf.RDMs, **options):
    """Run our searchlight."""
    return searchlight(
        img, mask_img=mask, conditions=models.conditions, models=models, progress=False, **options
    )


def rsatoolbox_seconds(img, mask: np.ndarray, models: rf.RDMs, radius: float):
    """Time rsatoolbox from patterns to similarities (Spearman); spheres are found before."""
    from rsatoolbox.inference import eval_fixed
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.util.searchlight import (
        evaluate_models_searchlight,
        get_searchlight_RDMs,
        get_volume_searchlight,
    )

    names = np.array(models.conditions)
    data = img.get_fdata().reshape(-1, N_CONDITIONS).T
    fixed = [ModelFixed(f"m{i}", v) for i, v in enumerate(models.vectors)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        centers, around = get_volume_searchlight(mask, radius / 3.0, 0.0, truncate_at_boundary=True)

        def call():
            rdms = get_searchlight_RDMs(data, centers, around, names, "correlation", verbose=False)
            results = evaluate_models_searchlight(rdms, fixed, eval_fixed, method="spearman")
            return np.array([r.evaluations.ravel() for r in results]).T

        return seconds(call, 1)


def mne_rsa_seconds(img, mask: np.ndarray, models: rf.RDMs, radius: float):
    """Time mne-rsa from patterns to similarities (Spearman); spheres are found before."""
    from mne_rsa import rsa_array
    from mne_rsa import searchlight as patches_of
    from sklearn.neighbors import NearestNeighbors

    data = np.ascontiguousarray(img.get_fdata()[mask].T)
    where = np.argwhere(mask) * 3.0
    near = NearestNeighbors(radius=radius).fit(where).radius_neighbors_graph(mode="distance")
    patches = patches_of(data.shape, dist=near, spatial_radius=radius)
    metrics = {"data_rdm_metric": "correlation", "rsa_metric": "spearman"}
    return seconds(lambda: rsa_array(data, list(models.vectors), patches, **metrics), 1)


def bench_others(rng: np.random.Generator) -> None:
    """Compare times per centre, and the similarities themselves."""
    small = ellipsoid(4, 5, 4)
    large = ellipsoid(14, 16, 13)
    print("Milliseconds per centre, passed / processor; ratios likewise.")
    print("| radius | models | voxels | ours | rsatoolbox | ratio | mne-rsa | ratio | differ by |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for radius in (8.0, 10.0):
        one, fifty = (bench_row(rng, small, large, n, radius) for n in (1, 50))
        print(f"{radius:g} mm: 50 models cost {pair(fifty / one, 2)} times what 1 does")


def pair(values: np.ndarray, digits: int) -> str:
    """Show time passed and time of the processor."""
    return " / ".join(f"{v:.{digits}f}" for v in values)


def bench_row(
    rng, small: np.ndarray, large: np.ndarray, n_models: int, radius: float
) -> np.ndarray:
    """Print one line: theirs on a small brain, ours on a large one, and how they differ."""
    models = models_of(rng, n_models)
    img, mask = simulated(rng, large)
    ours(img, mask, models, radius=radius)  # compiles
    took, maps = seconds(lambda: ours(img, mask, models, radius=radius))
    per_center = took / large.sum()
    img_small, mask_small = simulated(rng, small)
    here = ours(img_small, mask_small, models, radius=radius)
    # No voxel is at this distance exactly: < and ≤ are the same.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        toolbox, theirs = rsatoolbox_seconds(img_small, small, models, radius)
        mne, other = mne_rsa_seconds(img_small, small, models, radius)
    differ = max(
        np.abs(here.similarity - np.asarray(t).reshape(n_models, -1)).max() for t in (theirs, other)
    )
    toolbox, mne = toolbox / small.sum(), mne / small.sum()
    print(
        f"| {radius:g} mm | {n_models} | {maps.n_voxels.mean():.0f} | {pair(1e3 * per_center, 3)} "
        f"| {pair(1e3 * toolbox, 2)} | {pair(toolbox / per_center, 0)} | {pair(1e3 * mne, 2)} | "
        f"{pair(mne / per_center, 1)} | {differ:.0e} |",
        flush=True,
    )
    return per_center


def bench_brain(rng: np.random.Generator) -> None:
    """Time a whole brain: about 50,000 centres, 50 models."""
    mask = ellipsoid(22, 27, 20)
    img, mask_img = simulated(rng, mask)
    models = models_of(rng, 50)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for radius in (8.0, 10.0):
        took, maps = seconds(lambda r=radius: ours(img, mask_img, models, radius=r), 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"whole brain, {radius:g} mm: {mask.sum():,} centres × 50 models in {took[0]:.1f} s "
            f"(processor {took[1]:.1f} s; {maps.n_voxels.mean():.0f} voxels per centre); "
            f"peak memory {peak:.2f} GiB, of which {base:.2f} before (with the image)"
        )


def main() -> None:
    """Run the table, and the whole brain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="leave the whole brain out")
    parser.add_argument("--brain", action="store_true", help="the whole brain only")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    rng = np.random.default_rng(0)
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("rsatoolbox", "mne-rsa", "numpy"))
    print(
        f"{N_CONDITIONS} conditions, correlation distance, Spearman; {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {versions}"
    )
    if not arguments.brain:
        bench_others(rng)
    if not arguments.small:
        ours(*simulated(rng, ellipsoid(4, 4, 4)), models_of(rng, 50))  # compiles
        bench_brain(rng)


if __name__ == "__main__":
    main()
