"""Calibration: simulated studies, their counts and what is said about them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import rsa_faces as rf
from rsa_faces.cli._app import app
from rsa_faces.inference import calibrate
from rsa_faces.inference.calibration import CHECKS, _distances, _noise_at_ceiling, _row


def test_every_check_is_made_and_counted():
    steps = []
    table = calibrate(5, 12, method="pearson", n_simulations=6, on_step=steps.append)
    assert list(table["check"]) == list(CHECKS)
    assert set(table["n_simulations"]) == {6, 2}
    assert ((table["share"] >= 0) & (table["share"] <= 1)).all()
    np.testing.assert_allclose(table["share"] * table["n_simulations"] % 1, 0, atol=1e-12)
    np.testing.assert_allclose(steps, np.arange(1, 7) / 6)


def test_the_same_seed_gives_the_same_studies_whatever_the_number_of_processes():
    one = calibrate(4, 10, method="pearson", n_simulations=9, seed=3)
    two = calibrate(4, 10, method="pearson", n_simulations=9, seed=3, jobs=2)
    assert one.equals(two)


def test_it_stops_in_time():
    table = calibrate(4, 8, method="pearson", n_simulations=1000, seconds=0.2)
    assert 1 <= table["n_simulations"].max() < 1000


@pytest.mark.parametrize(
    ("level", "count", "verdict"),
    [
        (0.05, 15, "as stated"),
        (0.05, 4, "cautious"),
        (0.05, 30, "too lenient"),
        (0.95, 285, "as stated"),
        (0.95, 299, "cautious"),
        (0.95, 260, "too lenient"),
    ],
)
def test_verdicts(level, count, verdict):
    name = next(name for name, right in CHECKS.items() if right == level)
    row = _row(name, [True] * count + [False] * (300 - count))
    assert row["verdict"] == verdict
    assert row["share"] == count / 300
    assert _row(name, [True] * 10)["verdict"] == "too few"


def test_a_test_that_is_too_lenient_is_found(monkeypatch):
    """Calibration would notice a standard error that is too small by half."""
    from rsa_faces.inference import calibration

    honest = calibration.t_test
    monkeypatch.setattr(calibration, "t_test", lambda x, sem, n: honest(x, sem / 2, n))
    table = calibrate(8, 20, method="pearson", n_simulations=60).set_index("check")
    name = "model against 0; subjects drawn; subjects share nothing"
    assert table.loc[name, "verdict"] == "too lenient"


def test_the_noise_puts_a_model_at_the_lower_ceiling():
    rng = np.random.default_rng(5)
    noise = _noise_at_ceiling(8, 20, "pearson", 0)
    gaps = []
    names = [f"c{i}" for i in range(20)]
    for _ in range(300):
        common = rng.normal(size=(20, 20))
        vectors = _distances(common) + _distances(rng.normal(size=(8, 20, 20)))
        data = rf.RDMs(vectors, names, "simulated", {"subject": range(8)})
        model = _distances(common + noise * rng.normal(size=common.shape))[None]
        similarity = rf.compare(rf.RDMs(model, names, "simulated"), data, method="pearson")
        gaps.append(similarity.mean() - rf.noise_ceiling(data, method="pearson").lower)
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(300) + 0.01


def test_distances_are_squared_euclidean():
    patterns = np.random.default_rng(0).normal(size=(4, 3))
    rdm = rf.compute_rdms(patterns, conditions=list("abcd"), measure="sqeuclidean")
    np.testing.assert_allclose(_distances(patterns), rdm.vectors[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_subjects": 1}, "n_subjects"),
        ({"n_conditions": 3}, "n_conditions"),
        ({"method": "rho"}, "rho-a"),
        ({"seconds": 0}, "positive number of seconds, got 0"),
    ],
)
def test_sizes_that_cannot_be_simulated(arguments, message):
    with pytest.raises(rf.InputError, match=message):
        calibrate(**{"n_subjects": 5, "n_conditions": 12, "n_simulations": 1} | arguments)


def test_selftest_prints_a_table_and_json():
    options = [
        "selftest",
        "--subjects",
        "5",
        "--conditions",
        "10",
        "--method",
        "pearson",
        "--simulations",
        "3",
        "--jobs",
        "1",
    ]
    shown = CliRunner().invoke(app, options)
    assert shown.exit_code == 0
    assert "simulated data" in shown.output
    assert "Too few simulated studies to tell" in shown.output
    rows = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert [row["check"] for row in rows] == list(CHECKS)


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("size", [(8, 24), (16, 40)])
def test_no_test_is_too_lenient(size):
    table = calibrate(*size, method="pearson", n_simulations=250, seed=11)
    assert not (table["verdict"] == "too lenient").any(), table.to_string()
