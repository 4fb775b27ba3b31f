"""Intervals of what few drawn people give, and of rates: against loops, and planted truths."""

import importlib
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

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
from rsa_faces.analyses._gram import centred_on
from rsa_faces.analyses._intervals import (
    blocks_of,
    interval_of_rate,
    percentile_interval,
    refitted_interval,
)
from rsa_faces.analyses._ridge import deal_folds, fit_fold
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
            "information.trait_generalization",
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

    def told_of_fits(value, samples, left_out, n, **options):
        seen.add(n)
        assert len(left_out) == n  # blocks of people: one each, as they are few
        return refitted_interval(value, samples, left_out, n, **options)

    where = importlib.import_module(f"rsa_faces.analyses.{module}")
    for name, stand_in in (("percentile_interval", told), ("refitted_interval", told_of_fits)):
        if hasattr(where, name):
            monkeypatch.setattr(where, name, stand_in)
    ask()
    assert seen == numbers


def test_blocks_hold_people_whole_and_those_of_a_fold_apart():
    rng = np.random.default_rng(0)
    for n in (3, 7, 20, 33, 60):
        units = np.concatenate([np.arange(n), rng.integers(0, n, 2 * n)])
        fold_of = rng.permutation(np.arange(n) % 5)[units]
        block = blocks_of(units, fold_of)
        pairs = pd.DataFrame({"block": block, "person": units}).drop_duplicates()
        assert not pairs["person"].duplicated().any()
        sizes = pairs.groupby("block").size()
        assert sizes.index.tolist() == list(range(min(n, 20)))
        assert np.ptp(sizes) <= 1
        for fold in range(5):
            own = np.unique(units[fold_of == fold])
            if len(own) <= 20:
                assert len({block[units == u][0] for u in own}) == len(own)


def test_predictions_without_people_are_those_of_a_fit_without_them():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 12)), rng.normal(size=30)
    train, test, rows = np.arange(24), np.arange(24, 30), np.array([1, 4, 20])
    products = centred_on(x @ x.T, train)
    fold = fit_fold(products, train, test, np.array([0.1, 2.0]), train)
    kept = np.delete(train, rows)
    for k, strength in enumerate((0.1, 2.0)):
        # The penalty stays that of all training conditions.
        alpha = strength * ((x[train] - x[train].mean(axis=0)) ** 2).sum() / len(train)
        told = Ridge(alpha=alpha).fit(x[kept], y[kept]).predict(x[test])
        found = fold.smoother[k] @ fold.without(k, y[train], rows)
        np.testing.assert_allclose(found, told, rtol=1e-10)
        np.testing.assert_array_equal(fold.without(k, y[train], rows[:0]), y[train])
        assert np.isnan(fold.without(k, y[train], train)).all()


@pytest.mark.parametrize("per_person", [1, 2])
def test_intervals_of_read_out_numbers_are_those_of_a_loop(per_person):
    rng = np.random.default_rng(2)
    n = 9
    who = np.repeat(np.arange(n), per_person)
    x = rng.normal(size=(len(who), 5))
    y = x[:, 0] + 0.5 * rng.normal(size=len(who))
    names = [f"face {i}" for i in range(len(who))]
    people = dict(zip(names, who, strict=True))
    options = {"conditions": names, "n_folds": 3, "n_permutations": 1, "strengths": [0.5]}
    y = pd.DataFrame({"y": y}, names)
    read = readout(
        {"a": x}, y["y"].to_dict(), across=people, people=people, kind="number", **options
    )
    told = landmark_readout({"a": x}, y, across=people, **options)
    y = y["y"].to_numpy()
    for found in (read, told):
        fold_of = found.predictions["fold"].to_numpy()

        def r_of(left, fold_of=fold_of):
            kept, a, b = who != left, [], []
            for fold in range(3):
                train, test = fold_of != fold, (fold_of == fold) & kept
                alpha = 0.5 * ((x[train] - x[train].mean(axis=0)) ** 2).sum() / train.sum()
                train &= kept
                model = Ridge(alpha=alpha).fit(x[train], y[train])
                a += list(model.predict(x[test]) - y[train].mean()) if test.any() else []
                b += list(y[test] - y[train].mean())
            return np.corrcoef(a, b)[0, 1]

        row = found.table.iloc[0]
        assert row["r"] == pytest.approx(r_of(None))
        z = np.arctanh([r_of(person) for person in range(n)])
        refitted = (n - 1) * np.mean((z - z.mean()) ** 2)
        half = np.arctanh(row["ci_high"]) - np.arctanh(row["r"])
        assert np.arctanh(row["r"]) - np.arctanh(row["ci_low"]) == pytest.approx(half)
        drawn = 2 * (half / stats.t.ppf(0.975, n - 1)) ** 2 - refitted
        # What is left is the variance of drawn people: here that of 2,000 other samples.
        shown = found.predictions
        known = shown["label" if "label" in shown else "measured"].to_numpy(float)
        means = np.array([known[fold_of != fold].mean() for fold in fold_of])
        a, b = shown["predicted"].to_numpy(float) - means, known - means
        samples = []
        for _ in range(2000):
            rows = np.concatenate([np.flatnonzero(who == p) for p in rng.integers(0, n, n)])
            samples.append(np.corrcoef(a[rows], b[rows])[0, 1])
        expected = np.nanvar(np.arctanh(samples)) * n / (n - 1)
        assert drawn == pytest.approx(expected, rel=0.2)


def test_intervals_of_encoding_are_those_of_fits_without_each_person():
    rng = np.random.default_rng(3)
    n = 10
    names = [f"face {i}" for i in range(n)]
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    y[:, 0] += 2 * x[:, 0]
    found = encoding(
        {"a": x}, y, conditions=names, n_folds=3, n_permutations=1, strengths=[0.5], seed=5
    )
    # The study again, at the penalties that all training faces gave.
    fold_of = deal_folds(np.arange(n), 3, np.random.default_rng(5))

    def r_of(left):
        kept, r = np.arange(n) != left, []
        for target in y.T:
            a, b = [], []
            for fold in range(3):
                train, test = fold_of != fold, (fold_of == fold) & kept
                alpha = 0.5 * ((x[train] - x[train].mean(axis=0)) ** 2).sum() / train.sum()
                told = Ridge(alpha=alpha).fit(x[train & kept], target[train & kept])
                told, known = told.predict(x[test]), target[test]
                a, b = [*a, *(told - told.mean())], [*b, *(known - known.mean())]
            r.append(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))
        return np.mean(r)

    row = found.table.iloc[0]
    assert row["r"] == pytest.approx(r_of(None))
    z = np.arctanh([r_of(face) for face in range(n)])
    half = np.arctanh(row["ci_high"]) - np.arctanh(row["r"])
    drawn = 2 * (half / stats.t.ppf(0.975, n - 1)) ** 2 - (n - 1) * z.var()
    assert 0 < drawn < (n - 1) * z.var()


def test_targets_a_few_at_a_time_have_the_same_intervals(monkeypatch):
    rng = np.random.default_rng(4)
    n = 24
    x, z = rng.normal(size=(2, n, 5))
    y = rng.normal(size=(n, 11)) + x[:, :1]
    ask = partial(
        encoding,
        {"a": x},
        pd.DataFrame(y, [f"face {i}" for i in range(n)], [f"cell {i}" for i in range(11)]),
        conditions=[f"face {i}" for i in range(n)],
        beside={"b": z},
        regions={f"cell {i}": "uv"[i > 4] for i in range(11)},
        n_mixtures=6,
        n_permutations=3,
    )
    whole = ask()
    monkeypatch.setattr("rsa_faces.analyses.information._encoding._HELD", 2000)
    few = ask()
    for one, other in ((whole.table, few.table), (whole.parts, few.parts)):
        pd.testing.assert_frame_equal(one, other, rtol=1e-10)
