"""Time two checkouts of the package in turn, in processor seconds, and print a table of ratios.

    python scripts/bench_editions.py BEFORE .                    everything
    python scripts/bench_editions.py BEFORE . tables measures    some parts
    python scripts/bench_editions.py BEFORE . measures --only movie

BEFORE and `.` are folders with checkouts. Each part calls what both have, on the same simulated
data, after a first call that compiles. Rounds go to and fro between the checkouts, each in a
process of its own with one thread; the shortest time of each counts, which hardly depends on what
else runs on the machine. Timings decide no test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROUNDS, SECONDS = 5, 1.0  # of a part in one round, at least two calls


def rdms(rng, n: int, n_conditions: int, **labels):
    """Return RDMs of simulated patterns with a shared part."""
    import rsa_faces as rf

    pairs = n_conditions * (n_conditions - 1) // 2
    vectors = rng.gamma(5.0, size=pairs) + rng.gamma(5.0, size=(n, pairs))
    return rf.RDMs(vectors, names(n_conditions), "simulated", labels or None)


def names(n: int) -> list[str]:
    """Return names of conditions."""
    return [f"c{i:04d}" for i in range(n)]


def tables(folder: Path, rng) -> dict[str, Callable]:
    """Reading and writing of RDMs and tables."""
    import pandas as pd

    import rsa_faces as rf
    from rsa_faces.behaviour import trait_rdms

    many = rdms(rng, 120, 92, subject=[f"{i:03d}" for i in range(120)])
    many.to_frame().to_csv(folder / "many.csv", index=False)
    few = many[:4]
    few.to_frame().to_csv(folder / "few.csv", index=False)
    many.save(folder / "many.h5")
    rows = [(f"r{r:02d}", f"face {i:03d}") for r in range(40) for i in range(200)]
    ratings = pd.DataFrame(rows, columns=["rater", "stimulus"])
    ratings[["trust", "age"]] = rng.integers(1, 8, (len(rows), 2))
    ratings.to_csv(folder / "ratings.csv", index=False)
    return {
        "table of RDMs, 502,320 rows": lambda: rf.load_rdms(folder / "many.csv"),
        "table of RDMs, 16,744 rows": lambda: rf.load_rdms(folder / "few.csv"),
        "table of ratings, 8,000 rows": lambda: trait_rdms(folder / "ratings.csv"),
        "HDF5 of RDMs, 120 x 92": lambda: rf.load_rdms(folder / "many.h5"),
        "writing HDF5 of RDMs, 120 x 92": lambda: many.save(folder / "out.h5"),
    }


def measures(folder: Path, rng) -> dict[str, Callable]:
    """RDMs of patterns."""
    import rsa_faces as rf

    wide = rng.normal(size=(92, 200_000)).astype(np.float32)
    small = rng.normal(size=(92, 5_000))
    many = rng.normal(size=(707, 5_000))
    movie = rng.normal(size=(92, 128, 200))
    times = np.arange(200) / 100
    folds = np.repeat(np.arange(4), 92)
    runs = rng.normal(size=(368, 200))
    calls = {
        "correlation RDM, 92 x 200,000": lambda: rf.compute_rdms(wide, conditions=names(92)),
        "correlation RDM, 707 x 5,000": lambda: rf.compute_rdms(many, conditions=names(707)),
        "crossnobis RDM, 4 x 92 x 200": lambda: rf.compute_rdms(
            runs, conditions=names(92) * 4, measure="crossnobis", folds=folds
        ),
        "RDM movie, 92 x 128 x 200": lambda: rf.rdm.rdm_movie(
            movie, times=times, conditions=names(92)
        ),
        "RDM movie, 92 x 128 x 20 windows, Euclidean": lambda: rf.rdm.rdm_movie(
            movie, times=times, conditions=names(92), measure="euclidean", window=0.1, step=0.1
        ),
    }
    for measure in ("correlation", "cosine", "euclidean", "sqeuclidean"):
        calls[f"{measure} RDM, 92 x 5,000"] = lambda m=measure: rf.compute_rdms(
            small, conditions=names(92), measure=m
        )
    calls["Poisson RDM, 92 x 5,000"] = lambda: rf.compute_rdms(
        np.abs(small), conditions=names(92), measure="poisson"
    )
    return calls


def searchlights(folder: Path, rng) -> dict[str, Callable]:
    """Searchlights of a small and of a larger brain."""
    from bench_searchlight import ellipsoid, models_of, ours, simulated

    calls = {}
    for what, axes in (("small", (4, 5, 4)), ("larger", (9, 10, 8))):
        mask = ellipsoid(*axes)
        img, mask_img = simulated(rng, mask)
        for method in ("spearman", "pearson", "rho-a"):
            for n in (1, 50):
                calls[f"searchlight, {what} ({mask.sum()}), {n} models, {method}"] = (
                    lambda i=img, m=mask_img, k=n, how=method: ours(
                        i, m, models_of(np.random.default_rng(0), k), radius=10.0, method=how
                    )
                )
    return calls


def comparisons(folder: Path, rng) -> dict[str, Callable]:
    """Similarities and inference."""
    import rsa_faces as rf

    models, data = rdms(rng, 20, 92), rdms(rng, 20, 92, subject=list(range(20)))
    many, fifty = rdms(rng, 10_000, 92), rdms(rng, 50, 92)
    calls = {}
    for method in ("pearson", "cosine", "spearman", "rho-a", "tau-a", "corr_cov"):
        n_boot = 200 if method in ("tau-a", "corr_cov") else 1000
        calls[f"evaluate, 20 x 20 x 92 x {n_boot:,}, {method}"] = lambda m=method, n=n_boot: (
            rf.evaluate(models, data, method=m, n_boot=n)
        )
    for method, n in (("pearson", 10_000), ("spearman", 10_000), ("tau-a", 1000)):
        calls[f"compare, 50 x {n:,} x 92, {method}"] = lambda m=method, k=n: rf.compare(
            fifty, many[:k], method=m
        )
    layers = rdms(
        rng, 20, 92, network="net", layer=[f"l{i}" for i in range(20)], layer_index=range(20)
    )
    small = [rf.RDMs(r.vectors / 1000, r.conditions, r.measure, r.labels) for r in (layers, data)]
    calls["weighted model of 20 layers, 20 x 92 x 200"] = lambda: rf.inference.evaluate_flexible(
        *small, n_boot=200, fit="nnls", method="cosine", n_folds=2, n_cv=2
    )
    for method in ("pearson", "rho-a"):
        calls[f"permutation test, 20 x 20 x 92 x 1,000, {method}"] = lambda m=method: (
            rf.inference.permutation_test(models, data, method=m, n_permutations=1000)
        )
    calls["noise ceiling, 20 x 92, spearman"] = lambda: rf.noise_ceiling(data, method="spearman")
    return calls


def behaviour(folder: Path, rng) -> dict[str, Callable]:
    """Arrangements and the choice of trials."""
    from scipy.spatial.distance import pdist, squareform
    from simulate_arrangements import placed

    from rsa_faces.behaviour import Trial, inverse_mds, next_trial

    distances = squareform(pdist(rng.normal(size=(60, 5))))
    images = tuple(names(60))
    trials = []
    for _ in range(30):
        at = np.sort(rng.choice(60, 15, replace=False))
        chosen = tuple(images[i] for i in at)
        trials.append(Trial(chosen, placed(distances[np.ix_(at, at)], rng)))
    return {
        "inverse MDS, 60 images, 30 trials": lambda: inverse_mds(trials, images),
        "next trial, 60 images, 30 trials": lambda: next_trial(trials, images, n_max=20, seed=0),
    }


def analyses(folder: Path, rng) -> dict[str, Callable]:
    """Layers of a network, read-out, face space."""
    import bench_analyses

    import rsa_faces as rf
    from rsa_faces import analyses

    stimuli, points = bench_analyses.simulated()
    network = rf.load_network("mini-xception", device="cpu")
    shown = stimuli.subset(stimuli.ids[:48])
    activations = rf.extract(network, stimuli, progress=False)
    labels = stimuli.metadata
    few = stimuli.subset([name for name in stimuli.ids if name in points][:40])
    return {
        "extract, all layers of mini-xception, 48 images": lambda: rf.extract(
            network, shown, progress=False
        ),
        "layer RDMs of mini-xception, 48 images": lambda: rf.layer_rdms(
            network, shown, progress=False
        ),
        "RDMs of activations of mini-xception, 204": lambda: rf.compute_rdms(activations),
        "read-out of expression, 204, 200 permutations": lambda: analyses.readout(
            activations,
            labels["expression"],
            across=labels["identity"],
            n_permutations=200,
            progress=False,
        ),
        "face space, 40 faces": lambda: analyses.face_space(
            few, points, match="intersection", progress=False, n_shape=10, n_appearance=10
        ),
    }


PARTS = {
    part.__name__: part
    for part in (tables, measures, searchlights, comparisons, behaviour, analyses)
}


def one_round(parts: list[str], only: str) -> None:
    """Time what is asked for with the package that is imported here; print JSON."""
    warnings.simplefilter("ignore")
    shortest = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            for what, call in PARTS[part](Path(folder), np.random.default_rng(0)).items():
                if only not in what:
                    continue
                call()
                times: list[float] = []
                while len(times) < 2 or (sum(times) < SECONDS and len(times) < 30):
                    start = time.process_time()
                    call()
                    times.append(time.process_time() - start)
                shortest[what] = min(times)
    print(json.dumps(shortest))


def round_of(folder: Path, arguments: list[str]) -> dict[str, float]:
    """Return the shortest seconds of each call with the package of a folder."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(threads, "1"), "PYTHONPATH": str(folder.resolve())}
    done = subprocess.run(
        [sys.executable, __file__, *arguments, "--child"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Time both and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--only", default="", help="part of what stands in the table")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if options.child:
        one_round(options.parts or list(PARTS), options.only)
        return
    arguments = [*map(str, (options.before, options.after)), *options.parts, "--only", options.only]
    best: dict[str, dict[Path, float]] = {}
    for _ in range(options.rounds):
        for folder in (options.before, options.after):
            for what, taken in round_of(folder, arguments).items():
                seen = best.setdefault(what, {})
                seen[folder] = min(taken, seen.get(folder, np.inf))
    print("| what | before, s | now, s | ratio |\n| --- | --- | --- | --- |")
    for what, seen in best.items():
        before, after = seen[options.before], seen[options.after]
        print(f"| {what} | {before:.4f} | {after:.4f} | {after / before:.2f} |")


if __name__ == "__main__":
    main()
