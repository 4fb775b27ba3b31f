"""Every compiled loop gives what its plain form gives, on random input."""

import dataclasses
import logging
import os
import subprocess
import sys
import time
import warnings

import nibabel
import numpy as np
import pandas as pd
import pytest

import rsa_faces as rf
from rsa_faces._kernels import (
    choice,
    clusters,
    fits,
    kendall,
    products,
    resampled,
    sort,
    spheres,
)
from rsa_faces.comparison import METHODS
from rsa_faces.inference import flexible
from rsa_faces.rdm.measures import MEASURES

NEVER, ALWAYS = 10**18, 0


def values(seed, n_rows=4, n=257, *, ties):
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(n_rows, n)) * 10.0 ** rng.integers(-3, 4)
    if ties:
        drawn = np.round(drawn / np.abs(drawn).max() * 9)
        drawn[0] = drawn[0, 0]
    return drawn


@pytest.fixture
def forms(monkeypatch):
    """Return a function that calls another with the plain, then with the compiled form."""

    def run(call):
        results = []
        for limit in (NEVER, ALWAYS):
            for module in (sort, resampled, kendall):
                monkeypatch.setattr(module, "LIMIT", limit)
            results.append(call())
        return results

    return run


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_sorting_and_ranking(forms, seed, ties):
    vectors = values(seed, ties=ties)
    for door in (sort.sort_rows, sort.rank_rows):
        assert len(forms(lambda door=door: door(vectors[:0]))[0][0]) == 0
        plain, compiled = forms(lambda door=door: door(vectors))
        for one, other in zip(plain, compiled, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(50))
def test_values_that_are_close(forms, seed):
    rng = np.random.default_rng(seed)
    row = values(seed, 2, int(rng.integers(60, 900)), ties=seed % 3 == 0)[1]
    row[50] = np.nan
    row[7] = row[31]
    limit = 10.0 ** rng.uniform(-14, -4) * np.nanmax(np.abs(row))
    two = np.stack([row, row])
    plain, compiled = forms(lambda: sort.any_closer(two, np.array([limit, 1e-18 * limit])))
    np.testing.assert_array_equal(plain, compiled)
    assert not plain[1]
    two[1, 7] += 0.9 * limit
    for found in forms(lambda: sort.any_closer(two, np.array([0.0, limit]))):
        assert found.tolist() == [False, True]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_ranks_of_resamples(forms, seed, ties):
    order, new = sort.sort_rows(values(seed, ties=ties))
    weights = np.random.default_rng(seed).integers(0, 4, size=order.shape[1]).astype(float)
    plain, compiled = forms(lambda: next(resampled.resampled_ranks([(order, new)], weights)))
    np.testing.assert_array_equal(plain[0], compiled[0])
    np.testing.assert_array_equal(plain[1], compiled[1])
    assert plain[0].shape == (len(order), (weights > 0).sum())
    # Weights of evidence are no whole numbers.
    plain, compiled = forms(lambda: next(resampled.resampled_ranks([(order, new)], weights / 7)))
    np.testing.assert_allclose(plain[0], compiled[0], atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_pooled_ranks(forms, seed, ties):
    weights = np.random.default_rng(seed).integers(0, 4, size=257).astype(float)
    drawn = weights[weights > 0]
    for n in (4, 2, 1):
        sides = sort.sort_rows(values(seed, ties=ties)[:n])
        ((ranks, _),) = resampled.resampled_ranks([sides], weights)
        plain, compiled = forms(lambda ranks=ranks: resampled.pooled_sums(ranks, drawn))
        for one, other in zip(plain, compiled, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_kendall(forms, seed, ties, paired, weighted):
    x, y = values(seed, ties=ties), values(seed + 100, 4 if paired else 3, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, x.shape[1]))
    options = {"weights": weights} if weighted else {}
    plain, compiled = forms(lambda: kendall.kendall_sums(x, y, paired=paired, **options))
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shuffled_lengths(monkeypatch):
    rng = np.random.default_rng(0)
    square = rng.normal(size=(3, 12, 12))
    square += square.transpose(0, 2, 1)
    orders = np.argsort(rng.random((40, 3, 12)), axis=2)
    plain = resampled.shuffled_lengths(square, orders)
    monkeypatch.setattr(resampled, "_SHUFFLED_LIMIT", 0)
    np.testing.assert_allclose(resampled.shuffled_lengths(square, orders), plain, rtol=1e-12)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_products(kind):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(6, 40)) + 5).astype(kind)
    results = []
    for compiled in (False, True):
        rest, offsets, total = np.empty((6, 30), kind), np.empty(6), np.zeros(30, kind)
        products.take_means_of_rows(rows, 7, rest, offsets, total, compiled)
        toward = np.zeros(6)
        products.take_mean_row(rest, total / kind(6), toward, compiled)
        results.append((rest, offsets, total, toward))
    tolerance = 1e-13 if kind is np.float64 else 1e-5
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(5))
def test_nnls(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, 30, 7)) * 10.0 ** rng.integers(-3, 4, size=7)
    x[0, :, 2] = 0
    y = rng.normal(size=(6, 4, 30))
    problems = x.transpose(0, 2, 1) @ x, y @ x
    plain, compiled = (fits.nnls(*problems, compiled=c) for c in (False, True))
    predicted = [w @ x.transpose(0, 2, 1) for w in (plain, compiled)]
    np.testing.assert_allclose(*predicted, atol=1e-9)
    assert not plain[0, :, 2].any()


@pytest.mark.parametrize("tail", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("statistic", ["max", "cluster-mass"])
@pytest.mark.parametrize("ties", [False, True])
def test_statistics_of_maps(monkeypatch, statistic, tail, ties):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(7, 6, 9)) + 0.3
    if ties:
        maps = np.round(maps)
    neighbours = None if statistic == "max" else rf.inference.grid_neighbours(maps.shape[1:])
    tests = []
    for limit in (NEVER, ALWAYS):
        monkeypatch.setattr(clusters, "LIMIT", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tests.append(
                rf.inference.sign_flip_test(
                    maps, statistic=statistic, neighbours=neighbours, tail=tail, n_permutations=60
                )
            )
    plain, compiled = tests
    np.testing.assert_array_equal(plain.p, compiled.p)
    np.testing.assert_array_equal(plain.maxima, compiled.maxima)
    if statistic == "cluster-mass":
        pd.testing.assert_frame_equal(plain.clusters, compiled.clusters)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_enhancement_of_clusters(seed, ties):
    t = np.random.default_rng(seed).normal(size=54)
    t = np.round(t) if ties else t
    graph = rf.inference.grid_neighbours((6, 9))
    np.testing.assert_allclose(
        clusters.enhance(t, graph), clusters.plain_enhance(t, graph), rtol=1e-12
    )


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("ties", [False, True])
def test_spheres(monkeypatch, measure, ties):
    """Continuous patterns with an equal pair, and codes; small ones go to the measure itself."""
    rng = np.random.default_rng(0)
    images = np.abs(rng.normal(size=(4, 4, 4, 24))) + 0.1
    if ties:
        images = rng.integers(0, 3, size=images.shape).astype(float)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    names = [f"c{i:02d}" for i in range(12)]
    resolved = MEASURES[measure]
    options = {"folds": np.repeat([0, 1], 12)} if resolved.needs_folds else {}
    if resolved.needs_noise:
        options["noise"] = "ledoit-wolf"
    maps = []
    for limit in (10**12, -1):
        monkeypatch.setattr(spheres, "PLAIN", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            maps.append(
                rf.mapping.searchlight(
                    nibabel.Nifti1Image(images, affine),
                    conditions=names * 2,
                    radius=5.0,
                    mask_img=nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), affine),
                    models=rf.RDMs(np.random.default_rng(1).random((2, 66)), names, "simulated"),
                    measure=measure,
                    method="kendall",
                    progress=False,
                    **options,
                )
            )
    np.testing.assert_allclose(*(m.similarity for m in maps), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fit", ["nnls", "select"])
def test_held_out_similarities(method, fit, monkeypatch):
    monkeypatch.setattr(flexible, "PLAIN", 0)
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(12)]
    layers = {"network": ["n"] * 3, "layer": list("abc"), "layer_index": [0, 1, 2]}
    model = rf.RDMs(rng.random((3, 66)), names, "simulated", layers)
    subjects = {"subject": list("abcde")}
    data = rf.RDMs(np.round(rng.random((5, 66)), 1), names, "simulated", subjects)
    compiled, plain = (
        rf.inference.evaluate_flexible(
            model, data, method=one, fit=fit, n_folds=2, n_cv=2, n_boot=5, bootstrap="subjects"
        ).table
        for one in (METHODS[method], dataclasses.replace(METHODS[method], code=None))
    )
    numbers = compiled.select_dtypes("number").columns
    np.testing.assert_allclose(compiled[numbers], plain[numbers], rtol=1e-9, atol=1e-12)


def test_a_long_bootstrap_changes_over_and_gives_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(14)]
    model = rf.RDMs(rng.random((2, 91)), names, "simulated")
    data = rf.RDMs(rng.random((5, 91)), names, "simulated", {"subject": list("abcde")})
    tables = []
    for limit in (NEVER, choice._done["_resampled_loops"] + 10**4):
        for module in (sort, resampled):
            monkeypatch.setattr(module, "LIMIT", limit)
        tables.append(rf.evaluate(model, data, n_boot=100).table)
    np.testing.assert_array_equal(*(t.select_dtypes("number").to_numpy() for t in tables))


def test_it_is_said_that_loops_are_compiled(monkeypatch, caplog):
    monkeypatch.setattr(choice, "_PATIENCE", 0.01)
    choice._say.cache_clear()

    def slow():
        time.sleep(0.1)

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            choice.call(slow)
    assert [record.message.split(":")[0] for record in caplog.records] == ["compiling, once"]


def test_a_first_evaluation_needs_no_compiler(tmp_path):
    """11 networks × 4 subjects × 92 conditions; seconds are measured by scripts, not by tests."""
    code = """
import sys
import numpy as np
import rsa_faces as rf
rng = np.random.default_rng(0)
names = [f"c{i:02d}" for i in range(92)]
model = rf.RDMs(rng.random((11, 4186)), names, "simulated")
data = rf.RDMs(rng.random((4, 4186)), names, "simulated", {"subject": list("abcd")})
rf.evaluate(model, data, n_boot=60)
assert "numba" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr


def test_threads_of_torch_stay_as_they_are():
    """As `OMP_NUM_THREADS` has it, whatever else is computed."""
    program = """
import numpy as np, torch
from rsa_faces._kernels import sort
assert torch.get_num_threads() == 1
sort.LIMIT = 0
sort.rank_rows(np.random.default_rng(0).random((4, 50)))
assert torch.get_num_threads() == 1
"""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)
