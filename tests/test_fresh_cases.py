"""Two hundred cases of scripts/fresh_cases.py, and the faults that fresh cases found."""

from pathlib import Path

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces.inference import permutation_test, split_half
from rsa_faces.rdm import MEASURES

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def fresh_cases(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import fresh_cases

    return fresh_cases


def test_two_hundred_cases_are_explained(fresh_cases, capsys):
    assert fresh_cases.main(["--cases", "200", "--seed", "17"]) == 0, capsys.readouterr().out
    shown = capsys.readouterr().out
    assert shown.startswith("seed 17\n")
    for check in fresh_cases.KINDS:
        assert check.__name__.removeprefix("check_").replace("_", " ") in shown


def test_a_difference_is_shown_with_its_case(fresh_cases, monkeypatch, capsys):
    monkeypatch.setattr(fresh_cases, "compare", lambda model, data, **_: np.zeros((9, 9)))
    assert fresh_cases.main(["--cases", "20", "--seed", "3"]) == 1
    shown = capsys.readouterr().out
    number = shown.split("\ncase ")[1].split()[0]
    assert fresh_cases.main(["--case", number, "--seed", "3"]) == 1
    assert f"\ncase {number} (" in capsys.readouterr().out


@pytest.mark.parametrize("compiled_size", [False, True])
@pytest.mark.parametrize("offset", [0, 100, 1000])
def test_an_offset_of_rows_costs_streamed_distances_no_digits(offset, compiled_size):
    rng = np.random.default_rng(0)
    shape = (70, 61_000) if compiled_size else (7, 5)
    rows = rng.normal(size=shape) + offset + rng.normal(size=(shape[0], 1))
    rows = rows.astype(np.float32)
    for measure in ("sqeuclidean", "euclidean"):
        exact = MEASURES[measure](rows.astype(np.float64))
        streamed = MEASURES[measure].of_layer(rows)
        np.testing.assert_allclose(streamed, exact, rtol=0, atol=1e-6 * exact.max())


@pytest.mark.parametrize("method", ["pearson", "spearman", "rho-a", "tau-a"])
def test_orders_as_similar_as_the_observed_count_where_that_is_zero(method):
    names, size = list("abcdefgh"), 28
    row, col = np.triu_indices(8, k=1)
    orders = np.argsort(np.random.default_rng(0).random((64, 8)), axis=1)
    n_zero = 0
    for seed in range(80):
        codes = np.random.default_rng(seed).permuted(np.tile([0.0, 1.0], (2, size // 2)), axis=1)
        model, data = rf.RDMs(codes[0], names, "m"), rf.RDMs(codes[1], names, "m", {"subject": [1]})
        square = data.matrices()[0]
        shuffled = rf.RDMs([square[o][:, o][row, col] for o in orders], names, "m")
        observed = rf.compare(model, data, method=method)[0, 0]
        if abs(observed) > 1e-9:
            continue
        n_zero += 1
        reached = (rf.compare(model, shuffled, method=method) >= observed - 1e-9).sum()
        found = permutation_test(model, data, method=method, n_permutations=64).p[0]
        assert found == (1 + reached) / 65
    assert n_zero > 5


def test_means_that_are_equal_are_ties():
    # 0.1 + 0.7 is not 0.3 + 0.5 in float64.
    vectors = [[0.1, 0.3, 0.2], [0.7, 0.5, 0.9]]
    sessions = rf.RDMs(vectors, list("abc"), "ratings", {"subject": [1, 1]})
    a, b, c = sessions.mean(by="subject").vectors[0]
    assert a == b == pytest.approx(0.4, abs=1e-15)
    assert c == (0.2 + 0.9) / 2


def test_halves_have_the_ties_of_their_data():
    for seed in range(30):
        vectors = np.random.default_rng(seed).integers(0, 4, (6, 28)).astype(float)
        subjects = rf.RDMs(vectors, list("abcdefgh"), "ratings", {"subject": range(6)})
        order = np.argsort(np.random.default_rng(0).random((1, 6)), axis=1)[0]
        # Sums of whole numbers are exact, so that their ties are those of the means.
        first, second = (
            rf.RDMs(vectors[own].sum(axis=0), subjects.conditions, "sum")
            for own in (order[:3], order[3:])
        )
        r = rf.compare(first, second, method="rho-a")[0, 0]
        found = split_half(subjects, method="rho-a", n_splits=1)
        assert found / (2 - found) == pytest.approx(r, abs=1e-9)
