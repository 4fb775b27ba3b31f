"""Membership: planted members are told apart, and nobody is without a difference."""

import importlib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import panels
from sklearn.metrics import roc_auc_score, roc_curve

from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import membership, similarity_scores
from rsa_faces.analyses.networks.membership import _auc, _interval
from rsa_faces.figures import plot_membership


def simulated(seed=0, *, n_people=40, n_images=3, closer=0.6):
    """Images of people; members' (the first half) differ by less from each other."""
    rng = np.random.default_rng(seed)
    noise = np.where(np.arange(n_people) < n_people // 2, closer, 1.0)
    x = np.repeat(rng.normal(size=(n_people, 16)), n_images, axis=0)
    x = x + np.repeat(noise, n_images)[:, None] * rng.normal(size=x.shape)
    names = [f"p{i} {k}" for i in range(n_people) for k in range(n_images)]
    person = {name: name.split()[0] for name in names}
    member = {name: int(person[name][1:]) < n_people // 2 for name in names}
    return similarity_scores({"fc": x}, conditions=names), member, person


def test_members_are_found_with_and_without_labels():
    scores, member, person = simulated()
    table = membership(scores, member, people=person, n_permutations=999).table.set_index("sign")
    assert list(table.index) == ["nearest", "spread", "own", "margin"]
    assert (table.loc[["nearest", "own", "margin"], "p_corrected"] <= 0.01).all()
    assert table.loc["own", "auc"] > 0.85
    alone = membership(scores, member, n_permutations=99).table
    assert list(alone["sign"]) == ["nearest", "spread"]
    assert not alone["needs_labels"].any()
    assert (alone["n_members"] == 60).all()


def test_values_and_areas_are_those_of_loops_and_scikit_learn():
    scores, member, person = simulated(1, n_people=30, closer=0.8)
    found = membership(scores, member, people=person, n_permutations=9, fpr=0.2)
    values = found.people.set_index("person")
    for name in values.index:
        mine = [i for i in scores.index if person[i] == name]
        nearest, spread, own, margin = [], [], [], []
        for i in mine:
            rest = scores.loc[i].drop(i)
            nearest.append(rest.max())
            spread.append(rest.std(ddof=0))
            own.append(rest[[j for j in mine if j != i]].mean())
            margin.append(own[-1] - scores.loc[i].drop(mine).max())
        expected = [np.mean(v) for v in (nearest, spread, own, margin)]
        np.testing.assert_allclose(
            values.loc[name, ["nearest", "spread", "own", "margin"]].astype(float), expected
        )
    for row in found.table.itertuples():
        truth, sign = values["member"].astype(int), values[row.sign]
        assert row.auc == pytest.approx(roc_auc_score(truth, sign), abs=1e-12)
        fpr, tpr, _ = roc_curve(truth, sign, drop_intermediate=False)
        assert row.tpr == pytest.approx(tpr[fpr <= 0.2].max())


def test_the_standard_error_is_delongs():
    # By the definition, term by term.
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 8, 13).astype(float), rng.integers(-2, 6, 9).astype(float)

    def psi(a, b):
        return 1.0 if a > b else 0.5 if a == b else 0.0

    auc = np.mean([[psi(a, b) for b in y] for a in x])
    v10 = [np.mean([psi(a, b) for b in y]) for a in x]
    v01 = [np.mean([psi(a, b) for a in x]) for b in y]
    variance = np.var(v10, ddof=1) / len(x) + np.var(v01, ddof=1) / len(y)
    assert _auc(x, y) == pytest.approx((auc, np.sqrt(variance)), abs=1e-12)


@pytest.mark.simulation
@pytest.mark.slow
def test_false_positive_rate():
    n, single, corrected = 400, [], []
    for seed in range(n):
        scores, member, person = simulated(seed, n_people=20, closer=1.0)
        table = membership(scores, member, people=person, n_permutations=39, seed=seed).table
        single += list(table["p"] <= 0.05)
        corrected.append(table["p_corrected"].min() <= 0.05)
    assert 0.03 <= np.mean(single) <= 0.075
    assert 0.02 <= np.mean(corrected) <= 0.08


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_intervals_cover(shift):
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    truth, n, hits = norm.cdf(shift / np.sqrt(2)), 2000, 0
    member = np.arange(40) < 20
    for _ in range(n):
        auc, error = _auc(rng.normal(shift, 1, 20), rng.normal(size=20))
        low, high = _interval(auc, error, 0.05, member)
        hits += low <= truth <= high
    assert 0.92 <= hits / n <= 0.985


def test_the_order_of_images_does_not_matter_and_the_seed_does_all():
    scores, member, person = simulated(2)
    mixed = scores.sample(frac=1, random_state=0)
    mixed = mixed[list(mixed.index)]
    one, two = (membership(s, member, people=person, n_permutations=99) for s in (scores, mixed))
    np.testing.assert_allclose(one.table["auc"], two.table["auc"])
    again = membership(scores, member, people=person, n_permutations=99)
    pd.testing.assert_frame_equal(one.table, again.table)


def test_few_others_give_no_rate_and_no_overlap_an_open_interval():
    scores, member, person = simulated(n_people=12, closer=0.01)
    table = membership(scores, member, people=person, n_permutations=9).table.set_index("sign")
    assert table["tpr"].isna().all()  # 6 others, 5 %
    assert table.loc["own", "auc"] == 1
    assert 0.4 < table.loc["own", "ci_low"] < 0.6


def test_figure():
    scores, member, person = simulated()
    result = membership(scores, member, people=person, n_permutations=9)
    axes = panels(plot_membership(result))
    assert len(axes) == 4
    assert axes[2].get_xlabel() == "own (needs labels)"
    assert axes[2].get_title(loc="left").startswith(f"AUC {result.table['auc'][2]:.2f}")
    plt.close("all")


def test_wrong_input_is_told():
    scores, member, person = simulated()
    with pytest.raises(InputError, match="true or false for every image in `members`, got 'yes'"):
        membership(scores, member | {"p0 0": "yes"})
    with pytest.raises(InputError, match="at least 2 members and 2 others, got 1 and 39"):
        membership(scores, {n: p == "p0" for n, p in person.items()}, people=person)
    with pytest.raises(InputError, match="one value of members per person"):
        membership(scores, member | {"p0 0": False}, people=person)
    with pytest.raises(InputError, match="at least 2 images of every person.*1 people have one"):
        membership(scores, member, people=person | {"p0 0": "someone", "p0 1": "p1", "p0 2": "p1"})
    gaps = scores.copy()
    gaps.iloc[0, 1] = gaps.iloc[1, 0] = np.nan
    with pytest.raises(InputError, match="every pair measured, but 2 entries"):
        membership(gaps, member)
    with pytest.raises(InputError, match="fpr between 0 and 1"):
        membership(scores, member, fpr=1.5)


def two_networks(seed, *, remembered=1.0, n_people=30, photographs=0.6):
    """Members' photographs differ by less for both networks, and still less for the first."""
    rng = np.random.default_rng(seed)
    names = [f"p{i} {k}" for i in range(n_people) for k in range(3)]
    person = {name: name.split()[0] for name in names}
    member = {name: int(person[name][1:]) < n_people // 2 for name in names}
    inside = np.repeat(np.arange(n_people) < n_people // 2, 3)[:, None]
    own = np.repeat(rng.normal(size=(n_people, 16)), 3, axis=0)
    image = np.where(inside, photographs, 1.0) * rng.normal(size=own.shape)
    scores = [
        similarity_scores(
            {"fc": own + image * np.where(inside, share, 1) + 0.3 * rng.normal(size=own.shape)},
            conditions=names,
        )
        for share in (remembered, 1.0)
    ]
    return *scores, member, person


def test_a_reference_takes_away_what_photographs_tell():
    alone, beyond = 0, np.zeros(4)
    for seed in range(60):
        one, other, member, person = two_networks(seed)
        table = membership(one, member, people=person, reference=other, n_permutations=39).table
        alone += table.set_index("sign").loc["own", "p"] <= 0.05
        beyond += table["p_difference"].to_numpy() <= 0.05
    assert alone > 30
    # 60 studies at 5 %: at most 8 with a probability of 0.99.
    assert (beyond <= 8).all()
    one, other, member, person = two_networks(0, remembered=0.4, n_people=80, photographs=0.9)
    row = membership(one, member, people=person, reference=other, n_permutations=199).table
    row = row.set_index("sign").loc["own"]
    assert row["p_difference_corrected"] <= 0.01
    assert row["difference_low"] > 0


def test_difference_of_areas_is_that_of_two_calls_and_of_a_jackknife():
    one, other, member, person = two_networks(3, remembered=0.7, n_people=40)
    order = list(np.random.default_rng(0).permutation(len(other)))
    mixed = other.iloc[order, order]
    found = membership(one, member, people=person, reference=mixed, n_permutations=19)
    theirs = membership(other, member, people=person, n_permutations=19)
    table, reference = (result.table.set_index("sign") for result in (found, theirs))
    np.testing.assert_allclose(table["reference_auc"], reference["auc"])
    np.testing.assert_allclose(table["difference"], table["auc"] - reference["auc"])
    # The interval is about as wide as a jackknife over people says.
    value, known = (f.people.set_index("person") for f in (found, theirs))
    truth, gaps = value["member"].to_numpy(), []
    for left in range(len(truth)):
        kept = np.arange(len(truth)) != left
        gaps.append(
            np.subtract(
                *(roc_auc_score(truth[kept], v["own"].to_numpy()[kept]) for v in (value, known))
            )
        )
    error = (len(gaps) - 1) / np.sqrt(len(gaps)) * np.std(gaps, ddof=1)
    width = table.loc["own", "difference_high"] - table.loc["own", "difference_low"]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.1)
    with pytest.raises(ConditionMismatchError):
        membership(one, member, people=person, reference=other.iloc[1:, 1:])


def test_members_are_exchanged_within_strata():
    """Every member is in one stratum, which differs from the other: nothing is left to find."""
    one, _, member, person = two_networks(0)
    stratum = {n: int(person[n][1:]) < 16 for n in one.index}
    free = membership(one, member, people=person, n_permutations=199).table
    inside = membership(one, member, people=person, within=stratum, n_permutations=199).table
    assert free["p"].min() <= 0.01
    assert inside["p"].min() > 0.01


@pytest.mark.simulation
def test_members_of_a_first_training_are_found_through_fine_tuning_on_others(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    found = importlib.import_module("simulate_membership").study(0)
    margin = {name: table.set_index("sign").loc["margin"] for name, table in found.items()}
    assert margin["fine-tuned for 0 steps"]["auc"] > 0.9
    assert margin["fine-tuned for 400 steps"]["difference_low"] > 0.1
    assert margin["fine-tuned for 400 steps"]["p_difference"] <= 0.05
    assert margin["never saw them"]["p_difference"] > 0.05


def test_gaps_in_members_are_refused_whatever_their_type():
    scores, member, person = simulated()
    gap = pd.Series(member, dtype="boolean")
    gap.iloc[3] = pd.NA
    with pytest.raises(InputError, match="true or false for every image in `members`, got <NA>"):
        membership(scores, gap, people=person)
