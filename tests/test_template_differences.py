"""Rates of two networks over the same templates: paired differences, and their stars."""

import numpy as np
import pandas as pd
import pytest

from rsa_faces.analyses import template_verification
from rsa_faces.figures import plot_template_verification

N = 50
NAMES = [f"p{p} {k}" for p in range(N) for k in "abc"]
ROWS = pd.DataFrame({"file": NAMES, "template": NAMES, "subject": [n.split()[0] for n in NAMES]})


def simulated(noise, seed=1):
    people = np.repeat(np.random.default_rng(0).normal(size=(N, 12)), 3, axis=0)
    return {"fc": people + noise * np.random.default_rng(seed).normal(size=people.shape)}


def told(x, other, rows=ROWS, **options):
    options = {"conditions": list(rows["file"]), "fars": [0.1, 0.01, 1e-5]} | options
    return template_verification(x, rows, against=other, **options)


def rates(*networks):
    return [template_verification(x, ROWS, conditions=NAMES, fars=[0.1]).table for x in networks]


def test_a_network_less_itself_is_nothing():
    table = told(simulated(1.0), simulated(1.0)).table
    assert table["difference"][:2].tolist() == [0, 0]
    assert table["p_difference"][:2].tolist() == [1, 1]
    assert (table["difference_low"][:2] < 0).all()
    assert (table["difference_high"][:2] > 0).all()
    # Fewer pairs than the rate needs: nothing is told of a difference either.
    assert table.loc[2, ["difference", "difference_low", "p_difference"]].isna().all()
    assert "difference" not in template_verification(simulated(1.0), ROWS, conditions=NAMES).table


def test_a_difference_has_a_sign_and_goes_by_names():
    good, bad = simulated(0.8), simulated(1.6, seed=2)
    one, back = told(good, bad), told(bad, good)
    assert (one.table["difference"][:2] > 0.2).all()
    assert (one.table["p_difference"][:2] < 0.001).all()
    for a, b in (("difference", "difference"), ("difference_low", "difference_high")):
        np.testing.assert_allclose(one.table[a][:2], -back.table[b][:2])
    alone = rates(good, bad)
    assert one.table["difference"][0] == pytest.approx(alone[0]["tar"][0] - alone[1]["tar"][0])


def test_its_error_is_that_of_leaving_people_out():
    good, bad = simulated(1.0), simulated(1.2, seed=1)  # the same noise, more of it: paired
    low, high = told(good, bad).table.loc[0, ["difference_low", "difference_high"]]
    left_out = []
    for p in range(N):
        kept = (ROWS["subject"] != f"p{p}").to_numpy()
        rows = ROWS[kept].reset_index(drop=True)
        part = told({"fc": good["fc"][kept]}, {"fc": bad["fc"][kept]}, rows, fars=[0.1])
        left_out.append(part.table["difference"][0])
    jackknife = np.sqrt((N - 1) ** 2 / N * np.var(left_out, ddof=1))
    error = (high - low) / (2 * 2.0096)  # t, 49 degrees of freedom
    assert 0.75 < error / jackknife < 1.35
    # Paired: far less than of two sets of people.
    widths = [t["ci_high"][0] - t["ci_low"][0] for t in rates(good, bad)]
    assert high - low < 0.75 * np.hypot(*widths)


@pytest.mark.parametrize("n", [6, 12])
def test_all_of_one_network_against_none_of_the_other_is_no_tie(n):
    """People who are all alike leave no error: p is that of the signs of as many people."""
    names = [f"p{p} {k}" for p in range(n) for k in "ab"]
    subject = [name.split()[0] for name in names]
    rows = pd.DataFrame({"file": names, "template": names, "subject": subject})
    people = np.repeat(np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0], 2, axis=0)
    all_known = {"fc": people}
    none_known = {"fc": people * np.tile([1.0, -1.0], n)[:, None]}  # one's images are opposite
    for first, second, sign in ((all_known, none_known, 1), (none_known, all_known, -1)):
        row = told(first, second, rows, fars=[0.1]).table.iloc[0]
        assert row["difference"] == sign
        assert row["p_difference"] == pytest.approx(2 * 0.5**n)
        ends = row[["difference_low", "difference_high"]].to_numpy(float)
        assert ends.min() <= sign <= ends.max()
        assert (sign * ends > 0.5).all()


def test_the_figure_marks_rates_that_differ():
    good, bad = simulated(0.8), simulated(1.6, seed=2)
    for other, n in ((bad, 2), (good, 0)):
        (ax,) = plot_template_verification(told(good, other)).axes
        stars = [line for line in ax.lines if line.get_marker() == (6, 2, 0)]
        assert sum(len(line.get_xdata()) for line in stars) == n
        said = ax.figure.legends[0].get_title().get_text()
        assert "against fc" in said.replace("\n", " ")
