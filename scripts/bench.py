"""Time rsa-faces against rsatoolbox, in one process, in turn, and print a table of ratios.

    python scripts/bench.py            the sizes of the table in the documentation
    python scripts/bench.py --small    a quick look

rsatoolbox is called as its users call it. Where it would take hours, it is given fewer samples or
RDMs; the table says how many, and compares the time per sample or per pair of RDMs. Timings decide
no test. All data are simulated.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from importlib import metadata

import numpy as np
import rsatoolbox

import rsa_faces as rf

TOOLBOX = {"pearson": "corr"}


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    """Return the shortest of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def row(what: str, ours: float, our_n: int, theirs: float, their_n: int, unit: str) -> None:
    """Print one line: times, and the ratio per unit."""
    ratio = (theirs / their_n) / (ours / our_n)
    print(
        f"| {what} | {ours:.2f} s for {our_n:,} | {theirs:.2f} s for {their_n:,} | "
        f"{ratio:,.0f}× per {unit} |",
        flush=True,
    )


def simulated_rdms(rng: np.random.Generator, n: int, n_conditions: int, **labels) -> rf.RDMs:
    """Return RDMs of simulated patterns with a shared part."""
    pairs = n_conditions * (n_conditions - 1) // 2
    shared = rng.gamma(5.0, size=pairs)
    vectors = shared + rng.gamma(5.0, size=(n, pairs))
    return rf.RDMs(vectors, [f"c{i:04d}" for i in range(n_conditions)], "simulated", labels or None)


def bench_bootstrap(rng, method: str, n_boot: int, their_boot: int) -> None:
    """Dual bootstrap with ceilings: 20 models, 20 subjects, 92 conditions."""
    models = simulated_rdms(rng, 20, 92)
    data = simulated_rdms(rng, 20, 92, subject=list(range(20)))
    rf.evaluate(models, data, method=method, n_boot=64)  # compiles
    ours = seconds(lambda: rf.evaluate(models, data, method=method, n_boot=n_boot))
    fixed = [rsatoolbox.model.ModelFixed(f"m{i}", m.to_rsatoolbox()) for i, m in enumerate(models)]
    theirs_data = data.to_rsatoolbox()
    theirs = seconds(
        lambda: rsatoolbox.inference.eval_dual_bootstrap(
            fixed,
            theirs_data,
            method=TOOLBOX.get(method, method),
            N=their_boot,
            rdm_descriptor="subject",
        )
    )
    what = f"dual bootstrap, 20 × 20 × 92, {method}"
    row(what, ours, n_boot, theirs, their_boot, "sample")


def bench_compare(rng, method: str, n_data: int, their_data: int) -> None:
    """Similarities of 50 models with many RDMs of 92 conditions."""
    models, data = simulated_rdms(rng, 50, 92), simulated_rdms(rng, n_data, 92)
    rf.compare(models, data[:2], method=method)
    ours = seconds(lambda: rf.compare(models, data, method=method))
    few, theirs_models = data[:their_data].to_rsatoolbox(), models.to_rsatoolbox()
    theirs = seconds(
        lambda: rsatoolbox.rdm.compare(theirs_models, few, method=TOOLBOX.get(method, method))
    )
    row(f"compare, 50 × n, 92 conditions, {method}", ours, n_data, theirs, their_data, "RDM")


def bench_rdm(rng, n_conditions: int, n_channels: int) -> None:
    """Correlation RDM, against rsatoolbox and against the bare matrix product."""
    patterns = rng.normal(size=(n_conditions, n_channels)).astype(np.float32)
    names = [f"c{i:04d}" for i in range(n_conditions)]
    ours = seconds(lambda: rf.compute_rdms(patterns, conditions=names), 3)
    doubles = patterns.astype(np.float64)
    product = seconds(lambda: doubles @ doubles.T, 3)
    dataset = rsatoolbox.data.Dataset(doubles, obs_descriptors={"c": names})
    theirs = seconds(lambda: rsatoolbox.rdm.calc_rdm(dataset, "correlation", "c"))
    row(f"correlation RDM, {n_conditions} × {n_channels:,}", ours, 1, theirs, 1, "RDM")
    print(
        f"|   the bare float64 matrix product | {product:.2f} s | | ours is "
        f"{ours / product:.2f} of it |"
    )


def bench_flexible(rng, n_boot: int, their_boot: int) -> None:
    """Non-negative weights of 20 layers, cross-validated inside a bootstrap of both factors.

    Dissimilarities are small: with large ones the solver of rsatoolbox does not come to an end.
    """
    layers = simulated_rdms(
        rng, 20, 92, network="net", layer=[f"l{i}" for i in range(20)], layer_index=list(range(20))
    )
    data = simulated_rdms(rng, 20, 92, subject=list(range(20)))
    layers, data = (
        rf.RDMs(r.vectors / 1000, r.conditions, r.measure, r.labels) for r in (layers, data)
    )
    options = {"fit": "nnls", "method": "cosine", "n_folds": 2, "n_cv": 2}
    rf.inference.evaluate_flexible(layers, data, n_boot=400, **options)  # compiles
    ours = seconds(lambda: rf.inference.evaluate_flexible(layers, data, n_boot=n_boot, **options))
    model = rsatoolbox.model.ModelWeighted("net", layers.to_rsatoolbox())
    theirs_data = data.to_rsatoolbox()
    theirs = seconds(
        lambda: rsatoolbox.inference.bootstrap_crossval(
            [model],
            theirs_data,
            method="cosine",
            k_pattern=2,
            k_rdm=2,
            N=their_boot,
            n_cv=2,
            fitter=[rsatoolbox.model.fitter.fit_regress_nn],
            rdm_descriptor="subject",
        )
    )
    row(
        "weighted model of 20 layers, 20 × 92, cosine, 2 folds",
        ours,
        n_boot,
        theirs,
        their_boot,
        "sample",
    )


def bench_movie(rng, n_times: int) -> None:
    """Correlation RDMs of 92 conditions and 128 channels, one for each time."""
    patterns = rng.normal(size=(92, 128, n_times))
    names, times = [f"c{i:02d}" for i in range(92)], np.arange(n_times) / 100
    ours = seconds(lambda: rf.rdm.rdm_movie(patterns, times=times, conditions=names), 3)
    dataset = rsatoolbox.data.TemporalDataset(
        patterns, obs_descriptors={"c": names}, time_descriptors={"time": times}
    )
    theirs = seconds(lambda: rsatoolbox.rdm.calc_rdm_movie(dataset, "correlation", "c"))
    row("RDM movie, 92 × 128, correlation", ours, n_times, theirs, n_times, "time")


def bench_large(rng) -> None:
    """1,000 samples of 60 models, 21 subjects, 707 conditions: rsatoolbox would take days."""
    models = simulated_rdms(rng, 60, 707)
    data = simulated_rdms(rng, 21, 707, subject=list(range(21)))
    for method in ("pearson", "rho-a"):
        taken = seconds(lambda m=method: rf.evaluate(models, data, method=m, n_boot=1000))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"| dual bootstrap, 60 × 21 × 707, {method} | {taken:.0f} s for 1,000, memory so far "
            f"{peak:.1f} GiB | | |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="fewer samples, smaller RDMs")
    small = parser.parse_args().small
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    print(f"rsatoolbox {metadata.version('rsatoolbox')}; times are for what stands beside them\n")
    print("| what | rsa-faces | rsatoolbox | faster |\n| --- | --- | --- | --- |")
    for method, their_boot in (
        ("pearson", 20),
        ("cosine", 20),
        ("spearman", 4),
        ("rho-a", 4),
        ("tau-a", 3),
        ("corr_cov", 4),
    ):
        bench_bootstrap(rng, method, 128 if small else 1000, 2 if small else their_boot)
    for method, n_data, their_data in (("spearman", 10_000, 500), ("tau-a", 10_000, 20)):
        bench_compare(rng, method, n_data // 20 if small else n_data, their_data)
    bench_rdm(rng, 200 if small else 707, 20_000 if small else 100_352)
    bench_movie(rng, 20 if small else 200)
    bench_flexible(rng, 400, 1 if small else 3)
    if not small:
        bench_large(rng)


if __name__ == "__main__":
    main()
