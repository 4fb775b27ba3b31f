"""Intervals of what few drawn people give, and of rates: against loops, and planted truths."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rsa_faces.analyses import (
    axis_tuning,
    encoding,
    false_matches,
    landmark_gain,
    landmark_readout,
    layer_agreement,
    readout,
    score_distributions,
    trait_generalization,
    trait_readout,
)
from rsa_faces.analyses._intervals import interval_of_rate, percentile_interval
from rsa_faces.analyses.networks.occlusion import table_of_places
from rsa_faces.analyses.quality.robustness import Comparison
from rsa_faces.inference.bootstrap import draws_of


def test_percentiles_go_as_far_out_as_few_people_ask_for():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(2000, 3))
    samples[::7, 1] = np.nan
    for n, level in ((6, 0.95), (12, 0.9)):
        low, high = percentile_interval(samples, n, level)
        tail = stats.norm.cdf(stats.t.ppf((1 - level) / 2, n - 1) * np.sqrt(n / (n - 1)))
        for j, column in enumerate(samples.T):
            known = column[~np.isnan(column)]
            assert [low[j], high[j]] == pytest.approx(np.quantile(known, [tail, 1 - tail]))
    # Drawn within 3 groups, 8 people are as good as 5 degrees of freedom.
    tail = stats.norm.cdf(stats.t.ppf(0.025, 5) * np.sqrt(8 / 5))
    found = percentile_interval(samples[:, 0], 8, n_groups=3)
    assert found == pytest.approx(np.quantile(samples[:, 0], [tail, 1 - tail]))
    many = percentile_interval(samples[:, 0], 10**9)
    assert many == pytest.approx(np.quantile(samples[:, 0], [0.025, 0.975]))
    assert np.isnan(percentile_interval(samples, 1)).all()
    assert np.isnan(percentile_interval(np.full(9, np.nan), 9)).all()
    assert percentile_interval(samples[:0], 9).shape == (2, 3)


@pytest.mark.parametrize("n", [6, 8, 12, 30])
def test_intervals_of_means_hold_the_truth(n):
    rng, held = np.random.default_rng(n), 0
    for _ in range(400):
        people = rng.normal(1, 1, n)
        low, high = percentile_interval(draws_of(n, 1000, rng) @ people / n, n)
        held += low <= 1 <= high
    # Percentiles as they are hold it in 86 % with 6 people; samples of 6 have tails that are light.
    assert stats.binom.ppf(0.005, 400, 0.93) <= held <= stats.binom.ppf(0.995, 400, 0.95)


@pytest.mark.parametrize("n", [6, 12])
def test_intervals_of_places_hold_the_truth(n):
    rng, held = np.random.default_rng(n), []
    for _ in range(200):
        table = table_of_places(rng.normal(1, 1, size=(4, n)), np.arange(n), 2, rng)
        held.append(table["ci_low"].le(1) & table["ci_high"].ge(1))
    assert stats.binom.ppf(0.005, 800, 0.93) <= np.sum(held) <= stats.binom.ppf(0.995, 800, 0.95)


def test_a_rate_that_all_share_has_the_interval_of_as_many_people():
    for hits, n in ((3, 6), (0, 6), (6, 6), (1, 40)):
        found = interval_of_rate(hits / n, 0.0, n, 0.05)
        wanted = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
        assert found == pytest.approx([wanted.low, wanted.high])
    # An error says itself how many independent people there are; rounding is none.
    error = np.sqrt(0.3 * 0.7 / 10)
    wanted = stats.binomtest(3, 10).proportion_ci(0.95, "exact")
    assert interval_of_rate(0.3, error, 5, 0.05) == pytest.approx([wanted.low, wanted.high])
    assert interval_of_rate(0.3, 1e-12, 10, 0.05) == pytest.approx([wanted.low, wanted.high])
    assert np.isnan(interval_of_rate(np.nan, 0.0, 5, 0.05)).all()
    assert np.isnan(interval_of_rate(0.3, np.nan, 5, 0.05)).all()
    alike = percentile_interval(np.full((50, 2), [0.3, 1.0]), 10, rate=True)
    assert alike[:, 0] == pytest.approx([wanted.low, wanted.high])
    assert alike[:, 1] == pytest.approx([0.025 ** (1 / 10), 1])


def test_false_matches_of_people_who_are_all_alike_have_an_interval():
    who = np.repeat(np.arange(24), 2)
    names = [f"p{w} {i}" for i, w in enumerate(who)]
    # Of four pairs of images two match, in every pair of people.
    even = (np.arange(48)[:, None] + np.arange(48)) % 2 == 0
    scores = pd.DataFrame((even & (who[:, None] != who)).astype(float), names, names)
    groups = {name: "ab"[w // 12] for name, w in zip(names, who, strict=True)}
    people = dict(zip(names, who, strict=True))
    options = {"people": people, "n_boot": 50, "n_permutations": 9}
    found = false_matches(scores, groups, threshold=0.5, **options)
    for row in found.table.itertuples():
        n = 6 if row.group_a == row.group_b else 12
        wanted = stats.binomtest(n // 2, n).proportion_ci(0.95, "exact")
        assert row.rate == 0.5
        assert [row.ci_low, row.ci_high] == pytest.approx([wanted.low, wanted.high])
    # No image of a person matches the other one.
    for row in found.groups.itertuples():
        assert [row.fnmr, row.fnmr_high] == [1, 1]
        assert row.fnmr_low == pytest.approx(0.025 ** (1 / 12))


def test_an_accuracy_of_1_has_an_interval():
    x = np.tile([[-1.0], [1.0]], (8, 1)) + 0.01 * np.arange(16)[:, None]
    names = [f"face {i}" for i in range(16)]
    people = {name: i // 2 for i, name in enumerate(names)}
    smiles = {name: i % 2 for i, name in enumerate(names)}
    found = readout(
        {"a": x}, smiles, conditions=names, across=people, n_permutations=0, people=people
    ).table.iloc[0]
    assert found["accuracy"] == found["ci_high"] == 1
    assert found["ci_low"] == pytest.approx(0.025 ** (1 / 8))


def test_an_area_of_1_has_an_interval():
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(8), 2)
    names = [f"p{w} {i}" for i, w in enumerate(who)]
    x, shape = (rng.normal(size=(8, 20))[who] for _ in range(2))
    people = dict(zip(names, who, strict=True))
    options = {"conditions": names, "n_folds": 2, "n_boot": 50}
    table = landmark_gain({"a": x}, pd.DataFrame(shape, names), people, **options).table
    areas = table[table["features"] != "gain"]
    assert len(areas) == 3
    assert np.allclose(areas["ci_low"], 0.025 ** (1 / 8))
    assert (areas["ci_high"] == 1).all()


PEOPLE, IMAGES = 7, 3
NAMES = [f"p{i // IMAGES} {i}" for i in range(PEOPLE * IMAGES)]
WHO = {name: name.split()[0] for name in NAMES}
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(len(NAMES), 3)), NAMES, ["shape 1", "shape 2", "appearance 1"])
Y = pd.DataFrame(X.to_numpy() @ RNG.normal(size=(3, 4)), NAMES) + RNG.normal(size=(len(NAMES), 4))
SCORES = pd.DataFrame(np.corrcoef(RNG.normal(size=(len(NAMES), 9))), NAMES, NAMES)
GROUPS = {name: "ab"[int(who[1:]) > 2] for name, who in WHO.items()}


@pytest.mark.parametrize(
    ("module", "ask", "numbers"),
    [
        (
            "_targets",
            lambda: readout(
                {"a": X.to_numpy()},
                GROUPS,
                conditions=NAMES,
                across=WHO,
                people=WHO,
                n_permutations=0,
            ),
            {PEOPLE},
        ),
        (
            "information.traits",
            lambda: trait_readout({"a": X}, Y, across=WHO, n_permutations=1),
            {PEOPLE},
        ),
        (
            "_targets",
            lambda: trait_generalization({"a": X}, Y, {"a": X}, Y, across=WHO, n_permutations=1),
            {PEOPLE},
        ),
        (
            "information.encoding",
            lambda: encoding({"a": X}, Y, across=WHO, n_permutations=1, conditions=NAMES),
            {PEOPLE},
        ),
        (
            "face_code.axis_coding",
            lambda: axis_tuning(X, Y, across=WHO, n_permutations=1),
            {PEOPLE},
        ),
        (
            "networks.agreement",
            lambda: layer_agreement(
                {"a": X.to_numpy()},
                {"b": Y.to_numpy()},
                conditions=NAMES,
                people=WHO,
                methods=["cka"],
                n_permutations=0,
                n_boot=9,
            ),
            {PEOPLE},
        ),
        (
            "networks.occlusion",
            lambda: table_of_places(
                np.ones((4, len(NAMES))), np.repeat(np.arange(PEOPLE), IMAGES), 2, RNG
            ),
            {PEOPLE},
        ),
        (
            "quality.robustness",
            lambda: Comparison.of(
                np.repeat(np.arange(PEOPLE), IMAGES), False, 9, 0.05, RNG
            ).stability(np.arange(210.0), np.arange(210.0)),
            {PEOPLE},
        ),
        (
            "people.false_matches",
            lambda: false_matches(
                SCORES, GROUPS, people=WHO, threshold=0.5, n_boot=9, n_permutations=1
            ),
            {3, 4},
        ),
        (
            "people.group_scores",
            lambda: score_distributions(SCORES, GROUPS, people=WHO, n_boot=9, n_permutations=1),
            {3, 4, PEOPLE},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_people_are_counted_not_their_images(module, ask, numbers, monkeypatch):
    seen = set()

    def told(samples, n, *args, **options):
        seen.add(n)
        return percentile_interval(samples, n, *args, **options)

    monkeypatch.setattr(f"rsa_faces.analyses.{module}.percentile_interval", told)
    ask()
    assert seen == numbers


@pytest.mark.parametrize(
    "ask",
    [
        lambda x, y, who: encoding({"a": x}, y, conditions=x.index, across=who, n_permutations=1),
        lambda x, y, who: trait_readout({"a": x}, y, across=who, n_permutations=1),
        lambda x, y, who: axis_tuning(x, y, across=who, n_permutations=1),
        lambda x, y, who: landmark_readout(
            {"a": x}, y, conditions=x.index, across=who, n_permutations=1
        ),
        lambda x, y, who: readout(
            {"a": x},
            y[0],
            conditions=x.index,
            people=who,
            across=who,
            kind="number",
            n_permutations=0,
        ),
    ],
    ids=["encoding", "trait_readout", "axis_tuning", "landmark_readout", "readout"],
)
def test_intervals_of_correlations_of_few_people_are_said_to_be_too_narrow(ask):
    with pytest.warns(UserWarning, match=f"correlations of {PEOPLE} people .* too narrow"):
        found = ask(X, Y, WHO)
    assert "of 12 people, those of 95 % held the truth in about 84 %" in found.notes[0]
    many = [f"{name} {i}" for i in range(3) for name in NAMES]
    x3, y3 = (pd.concat([one] * 3).set_axis(many) for one in (X, Y))
    who = {name: f"{name.split()[0]} {name.split()[2]}" for name in many}
    assert not any("too narrow" in note for note in ask(x3, y3, who).notes)
