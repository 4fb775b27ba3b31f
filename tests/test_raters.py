"""Raters and feature masks: against obvious loops, and calibration of the label shuffles."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn import panels

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.behaviour import (
    Arrangements,
    Trial,
    feature_contrast,
    feature_masks,
    fit_raters,
    group_rdm,
    rater_agreement,
    trait_rdms,
)

PSA = Path(__file__).resolve().parents[2] / "shared" / "data" / "psa001"
NAMES = [f"f{i:02}" for i in range(10)]


def simulated(seed=0, n_raters=6, noise=0.7, missing=0.1):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(45)
    vectors = 3 + shared + noise * rng.standard_normal((n_raters, 45))
    vectors[rng.random(vectors.shape) < missing] = np.nan
    labels = {"rater": [f"r{i}" for i in range(n_raters)]}
    return rf.RDMs(vectors, NAMES, "rating", labels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_agreement_equals_a_loop(seed, weighted):
    rdms = simulated(seed)
    rng = np.random.default_rng(seed)
    evidence = rng.random(rdms.vectors.shape) if weighted else None
    table = rater_agreement(rdms, evidence=evidence)
    z = [(v - np.nanmean(v)) / np.nanstd(v) for v in rdms.vectors]
    for i in range(len(rdms)):
        x, y = [], []
        for p in range(45):
            others = [
                (z[k][p], 1.0 if evidence is None else evidence[k, p])
                for k in range(len(rdms))
                if k != i and not np.isnan(z[k][p])
            ]
            if np.isnan(z[i][p]) or not others:
                continue
            x.append(z[i][p])
            y.append(sum(v * w for v, w in others) / sum(w for _, w in others))
        assert table["n_pairs"][i] == len(x)
        assert table["r"][i] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    fisher = np.arctanh(table["r"])
    spread = 1.4826 * np.median(np.abs(fisher - np.median(fisher)))
    np.testing.assert_allclose(table["deviation"], (fisher - np.median(fisher)) / spread)


def test_agreement_is_the_lower_ceiling():
    rdms = simulated(1, missing=0)
    lower = rf.noise_ceiling(rdms, method="pearson", by="rater").lower
    assert rater_agreement(rdms)["r"].mean() == pytest.approx(lower, abs=1e-10)


def test_raters_are_compared_within_runs():
    """A rater who used another scale in the second run agrees as well as before."""
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(16)]
    run = {name: i // 8 for i, name in enumerate(names)}
    row, col = np.triu_indices(16, 1)
    vectors = rng.random(120) + 0.2 * rng.random((4, 120))
    labels = {"rater": list("abcd")}
    before = rater_agreement(rf.RDMs(vectors, names, "rating", labels), blocks=run)
    vectors[0, (row >= 8)] = 5 + 9 * vectors[0, row >= 8]
    vectors[:, (row < 8) & (col >= 8)] = np.nan
    after = rater_agreement(rf.RDMs(vectors, names, "rating", labels), blocks=run)
    pd.testing.assert_frame_equal(before, after)
    assert (after["n_pairs"] == 56).all()
    whole = rater_agreement(rf.RDMs(vectors, names, "rating", labels))
    assert whole["r"][0] < after["r"][0] - 0.3


def test_outliers_are_flagged_with_their_reason():
    rdms = simulated(2, n_raters=12, noise=0.4)
    vectors = rdms.vectors.copy()
    vectors[3] = -vectors[3]
    vectors[5] = np.random.default_rng(0).standard_normal(45)
    vectors[7, 10:] = np.nan
    vectors[9] = 4.0
    table = rater_agreement(rf.RDMs(vectors, NAMES, "rating", rdms.labels)).set_index("rater")
    assert set(table.index[table["flagged"]]) == {"r3", "r5", "r7", "r9"}
    assert "not above 0" in table.loc["r3", "reason"]
    assert "below the median rater, more than 3" in table.loc["r5", "reason"]
    assert "fewer than 20" in table.loc["r7", "reason"]
    assert "no correlation: constant" in table.loc["r9", "reason"]
    assert (table["reason"][~table["flagged"]] == "").all()
    lenient = rater_agreement(rdms, max_deviation=np.inf, min_pairs=1)
    assert not lenient["flagged"].any()


def test_raters_with_the_same_rdm_are_flagged():
    rdms = simulated(missing=0.1)
    vectors = rdms.vectors.copy()
    vectors[4] = 2 * vectors[1] + 1  # read twice, on another scale
    table = rater_agreement(rf.RDMs(vectors, NAMES, "rating", rdms.labels)).set_index("rater")
    assert "the same RDM as r4" in table.loc["r1", "reason"]
    assert "the same RDM as r1" in table.loc["r4", "reason"]
    assert not table.loc[["r0", "r2", "r3", "r5"], "reason"].str.contains("same RDM").any()
    few = rater_agreement(rf.RDMs(vectors, NAMES, "rating", rdms.labels), min_pairs=46)
    assert not few["reason"].str.contains("same RDM").any()


@pytest.mark.parametrize("scale", ["rms", "z", "none"])
def test_group_rdm_equals_a_loop(scale):
    rdms = simulated(3, missing=0.6)
    evidence = np.random.default_rng(0).random(rdms.vectors.shape)
    found = group_rdm(rdms, evidence=evidence, scale=scale)
    scaled = {
        "rms": lambda v: v / np.sqrt(np.nanmean(v**2)),
        "z": lambda v: (v - np.nanmean(v)) / np.nanstd(v),
        "none": lambda v: v,
    }[scale]
    values = [scaled(v) for v in rdms.vectors]
    fewest = 99
    for p in range(45):
        have = [k for k in range(len(rdms)) if not np.isnan(values[k][p])]
        fewest = min(fewest, len(have))
        weight = sum(evidence[k, p] for k in have)
        expected = sum(evidence[k, p] * values[k][p] for k in have) / weight if have else np.nan
        np.testing.assert_allclose(found.vectors[0, p], expected, rtol=1e-12)
    assert found.labels["n_averaged_min"][0] == fewest
    assert found.labels["n_averaged"][0] == 6


def test_group_of_equal_raters_is_that_rater():
    rng = np.random.default_rng(4)
    xy = rng.standard_normal((10, 2))
    raters = [Arrangements(f"r{i}", [Trial(NAMES, xy * (i + 1) / 3)]) for i in range(3)]
    fits = fit_raters(raters)
    group = group_rdm(fits.rdms, evidence=fits.evidence)
    np.testing.assert_allclose(group.vectors, fits.rdms.vectors[:1], rtol=1e-12)
    assert group.measure == "arrangement"


def test_evidence_weighs_the_group_rdm_of_a_comparison(tmp_path):
    """Trials → raters with evidence → `compare`, with raters apart and as one RDM."""
    from test_cli import image_names, make_project, rsa_faces, sentence

    from rsa_faces.runs._inputs import read_inputs
    from rsa_faces.runs.compare.config import Config

    project = make_project(tmp_path) / "c.yaml"
    names = image_names()
    truth = np.random.default_rng(0).uniform(-0.35, 0.35, (len(names), 2))
    raters = []
    for r in range(5):
        rng = np.random.default_rng(r)
        trials = []
        for k in range(12):
            shown = rng.permutation(len(names))[: len(names) if r and not k else 9]
            xy = truth[shown] + rng.normal(scale=0.05, size=(len(shown), 2))
            trials.append(Trial([names[i] for i in shown], xy))
        # In an order of their own: conditions go by name.
        raters.append(Arrangements(f"simulated {r}", trials, names[::-1]))
    fits = fit_raters(raters)
    fits.save_rdms(tmp_path / "raters.h5")
    one = {"rdms": "raters.h5", "region": "raters", "allow_missing": True}
    mean = {
        "rdms": "raters.h5",
        "region": "group",
        "average": "evidence",
        "bootstrap": "conditions",
        "select": {"rater": [f"simulated {r}" for r in range(1, 5)]},
    }
    config = yaml.safe_load(project.read_text())
    config |= {
        "data": [one, mean],
        "networks": ["pixels"],
        "subsets": {"all": "all"},
        "figures": {},
        "partition": None,
    }
    project.write_text(yaml.safe_dump(config))
    inputs = read_inputs(Config.read(project))
    apart, group = inputs.data["raters"], inputs.data["group"]
    assert apart.labels["subject"].tolist() == [f"simulated {r}" for r in range(5)]
    np.testing.assert_array_equal(apart.vectors, fits.rdms.align(names).vectors)
    assert len(group) == 1
    # The same by hand, from the weighted average of the four raters.
    weights = fits.evidence[1:] / fits.evidence[1:].sum(axis=0)
    values = np.nan_to_num(fits.rdms.vectors[1:])
    by_hand = rf.RDMs((weights * values).sum(axis=0), names[::-1], "arrangement").align(names)
    np.testing.assert_allclose(group.vectors, by_hand.vectors, rtol=1e-12)
    # Without generalise_to: conditions one RDM says nothing about new subjects; without evidence no
    # weights.
    project.write_text(yaml.safe_dump(config | {"data": [mean | {"bootstrap": "both"}]}))
    refused = rsa_faces("compare", project, "--out", tmp_path / "no")
    assert refused.exit_code == 2
    assert "generalise_to: conditions" in sentence(refused)
    mean = mean | {"rdms": "simulated.h5", "select": {}}
    project.write_text(yaml.safe_dump(config | {"data": [mean]}))
    refused = rsa_faces("compare", project, "--out", tmp_path / "no")
    assert refused.exit_code == 2
    assert "expected evidence of every rater's pairs" in sentence(refused)
    project.write_text(
        yaml.safe_dump(
            config | {"data": [{"dataset": "images92", "region": "group", "average": "evidence"}]}
        )
    )
    refused = rsa_faces("compare", project, "--out", tmp_path / "no")
    assert "expected `rdms`, one file of `rsa-faces arrange fit`" in sentence(refused)


def test_rater_refusals():
    rdms = simulated()
    with pytest.raises(InputError, match="at least 3 raters, got 2"):
        rater_agreement(rdms[:2])
    with pytest.raises(InputError, match="unknown label that tells raters apart 'subject'"):
        rater_agreement(rdms, by="subject")
    with pytest.raises(InputError, match="'r0' in more than one row.*Average sessions"):
        group_rdm(rdms[[0, 0, 1]])
    with pytest.raises(InputError, match="a value of 'rater' for every RDM"):
        group_rdm(rdms.with_labels(rater=["a", None, "b", "c", "d", "e"]))
    with pytest.raises(InputError, match=r"evidence of shape \(6, 45\).*got \(6, 3\)"):
        group_rdm(rdms, evidence=np.ones((6, 3)))
    with pytest.raises(InputError, match="finite evidence of at least 0"):
        group_rdm(rdms, evidence=-np.ones((6, 45)))
    with pytest.raises(InputError, match="unknown scale 'zscore'"):
        group_rdm(rdms, scale="zscore")


# Feature masks -----------------------------------------------------------------------------


def random_features(seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "gender": rng.permutation(["f"] * 5 + ["m"] * 5),
            "age": rng.integers(18, 80, 10).astype(float),
            "expression": rng.choice(["happy", "neutral", None], 10, p=[0.45, 0.45, 0.1]),
        },
        index=rng.permutation(NAMES),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_contrast_equals_a_loop(seed, missing):
    rdms = simulated(seed, n_raters=2, missing=missing)
    features = random_features(seed)
    table = feature_contrast(rdms, features, bins={"age": [40, 60]}, n_permutations=0)
    groups = features.copy()
    groups["age"] = np.digitize(features["age"], [40, 60])
    for row in table.itertuples():
        vector = rdms.sel(rater=row.rater).vectors[0]
        z = (vector - np.nanmean(vector)) / np.nanstd(vector)
        within, between = [], []
        for p, (a, b) in enumerate(itertools.combinations(NAMES, 2)):
            x, y = groups.loc[a, row.feature], groups.loc[b, row.feature]
            if pd.isna(x) or pd.isna(y) or np.isnan(z[p]):
                continue
            (within if x == y else between).append(z[p])
        assert (row.n_within, row.n_between) == (len(within), len(between))
        assert row.contrast == pytest.approx(np.mean(between) - np.mean(within), abs=1e-12)
        assert row.within == pytest.approx(np.mean(within), abs=1e-12)
        assert np.isnan(row.p)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_permutations_equal_a_loop(missing):
    """With 4 faces of 2 and 2, all shuffles are known: the exact share comes out."""
    rng = np.random.default_rng(3)
    vector = rng.standard_normal(15)
    vector[rng.random(15) < missing] = np.nan
    names = list("abcdef")
    rdm = rf.RDMs(vector, names, "rating")
    groups = dict(zip(names, "xxxyyy", strict=True))
    table = feature_contrast(rdm, {"g": groups}, n_permutations=20000, seed=1)
    z = (vector - np.nanmean(vector)) / np.nanstd(vector)
    pairs = list(itertools.combinations(range(6), 2))
    exact = []
    for order in itertools.permutations("xxxyyy"):
        same = np.array([order[i] == order[j] for i, j in pairs])
        exact.append(np.nanmean(z[~same]) - np.nanmean(z[same]))
    share = np.mean(np.array(exact) >= table["contrast"][0] - 1e-12)
    # Three standard errors of a share with 20,000 draws.
    assert table["p"][0] == pytest.approx(share, abs=3 * np.sqrt(0.25 / 20000))


def test_contrast_finds_a_feature_and_keeps_its_seed():
    rng = np.random.default_rng(0)
    names = [f"f{i:02}" for i in range(24)]
    gender = dict(zip(names, rng.permutation(["f", "m"] * 12), strict=True))
    nothing = dict(zip(names, rng.permutation(["l", "r"] * 12), strict=True))
    patterns = rng.standard_normal((24, 30)) + np.array([[gender[n] == "f"] for n in names]) * 1.5
    rdm = rf.compute_rdms(patterns, conditions=names, measure="euclidean")
    table = feature_contrast(rdm, {"gender": gender, "side": nothing}).set_index("feature")
    assert table.loc["gender", "p"] == 0.001
    assert table.loc["gender", "contrast"] > 1
    assert table.loc["side", "p"] > 0.05
    alone = feature_contrast(rdm, {"side": nothing})
    assert alone["p"][0] == table.loc["side", "p"]
    assert table.loc["gender", "n_groups"] == 2
    # People may come in a Series, in any order, as cells do.
    people = dict(zip(names, np.arange(24) // 2, strict=True))
    series = pd.Series(people).iloc[::-1].astype("category")
    one, other = (feature_contrast(rdm, {"side": nothing}, people=p) for p in (people, series))
    pd.testing.assert_frame_equal(one, other)


def test_masks():
    features = random_features(0)
    masks = feature_masks(features, NAMES)
    assert list(masks.columns) == ["condition_a", "condition_b", "gender", "age", "expression"]
    assert masks["gender"].sum() == 20
    row = masks.iloc[17]
    expected = (
        features.loc[row["condition_a"], "gender"] == features.loc[row["condition_b"], "gender"]
    )
    assert row["gender"] == expected
    lacking = features["expression"].isna().sum()
    assert masks["expression"].isna().sum() == 45 - (10 - lacking) * (9 - lacking) // 2


def test_feature_refusals():
    rdms, features = simulated(), random_features(0)
    with pytest.raises(InputError, match="1 have none: 'f00'"):
        feature_contrast(rdms, features.drop("f00"))
    with pytest.raises(InputError, match="'f01' has several"):
        feature_contrast(rdms, pd.concat([features, features.loc[["f01"]]]))
    with pytest.raises(InputError, match="RDM 0 has none within its 10 groups of 10"):
        feature_contrast(rdms, features[["gender"]].assign(identity=range(10)))
    with pytest.raises(InputError, match="none between its 1 groups"):
        feature_contrast(rdms, features.assign(gender="f")[["gender"]])
    with pytest.raises(InputError, match="unknown feature in bins 'ages'. Did you mean 'age'"):
        feature_masks(features, NAMES, bins={"ages": [3]})
    with pytest.raises(InputError, match="numbers in feature 'gender' to bin"):
        feature_masks(features, NAMES, bins={"gender": [3]})
    with pytest.raises(InputError, match=r"rising edges for 'age', got \[50.0, 30.0\]"):
        feature_masks(features, NAMES, bins={"age": [50, 30]})
    with pytest.raises(InputError, match="at least one feature"):
        feature_masks({}, NAMES)


@pytest.mark.skipif(not PSA.exists(), reason="real data not here")
def test_psa001_race_and_gender_organise_impressions():
    rdms = trait_rdms(PSA / "psa001_agg.csv", rater="region", stimulus="stim_id").rdms
    faces = pd.read_csv(PSA / "psa001_cfd_faces.csv").set_index("Target")
    table = feature_contrast(
        rdms.mean(), faces[["Race", "Gender", "Age"]], bins={"Age": [25, 30]}, n_permutations=499
    ).set_index("feature")
    assert table.loc["Gender", "p"] == 0.002
    assert table.loc["Gender", "contrast"] > 0
    agreement = rater_agreement(rdms, by="region")
    assert agreement["r"].mean() == pytest.approx(0.9125, abs=5e-5)


@pytest.mark.simulation
@pytest.mark.slow
def test_label_shuffles_are_calibrated():
    """No effect: p at or below 0.05 in 5 % of cases, within the binomial 99 % interval."""
    rng = np.random.default_rng(0)
    n_cases = 1000
    groups = dict(zip(NAMES, ["f"] * 5 + ["m"] * 5, strict=True))
    # Faces differ in how typical they are, so that pairs are not independent.
    patterns = rng.standard_normal((n_cases, 10, 4)) * rng.uniform(0.3, 3, (n_cases, 10, 1))
    row, col = np.triu_indices(10, 1)
    vectors = np.linalg.norm(patterns[:, row] - patterns[:, col], axis=2)
    p = feature_contrast(rf.RDMs(vectors, NAMES, "euclidean"), {"g": groups}, n_permutations=199)[
        "p"
    ]
    # 126 different splits: ties make the test a little strict, never lenient.
    assert (p <= 0.05).mean() <= 0.05 + 2.576 * np.sqrt(0.05 * 0.95 / n_cases)
    assert (p <= 0.05).mean() >= 0.02
    assert 0.45 < p.mean() < 0.55


def test_images_of_a_person_are_shuffled_together():
    """No effect of gender: three images of a person are not three faces. Expression: within."""
    rng = np.random.default_rng(1)
    n_cases, n_people, each = 400, 10, 3
    names = [f"f{i:02}" for i in range(n_people * each)]
    person = np.repeat(np.arange(n_people), each)
    people = {name: f"p{p}" for name, p in zip(names, person, strict=True)}
    gender = {name: "fm"[p % 2] for name, p in zip(names, person, strict=True)}
    expression = {name: "asn"[i % each] for i, name in enumerate(names)}
    patterns = rng.standard_normal((n_cases, n_people, 4))[:, person]
    patterns = patterns + 0.3 * rng.standard_normal(patterns.shape)
    row, col = np.triu_indices(len(names), 1)
    rdms = rf.RDMs(np.linalg.norm(patterns[:, row] - patterns[:, col], axis=2), names, "euclidean")
    features = {"gender": gender, "expression": expression, "person": people}
    plain = feature_contrast(rdms, {"gender": gender}, n_permutations=199)
    table = feature_contrast(rdms, features, people=people, n_permutations=199)
    shuffled = dict(zip(table["feature"], table["shuffled"], strict=True))
    assert shuffled == {"gender": "people", "expression": "within people", "person": "faces"}
    assert set(plain["shuffled"]) == {"faces"}
    by_gender = table[table["feature"] == "gender"]
    np.testing.assert_array_equal(by_gender["contrast"], plain["contrast"])
    assert (plain["p"] <= 0.05).mean() > 0.15  # far too often
    # 0.05 and the upper end of its binomial 99 % interval; 126 different splits of ten people.
    limit = 0.05 + 2.576 * np.sqrt(0.05 * 0.95 / n_cases)
    # What people are alike in is in both, without any effect.
    rest = table["contrast"] - table["chance"]
    for name, sign in (("gender", 1), ("expression", -1)):
        mine = table["feature"] == name
        assert sign * table.loc[mine, "contrast"].mean() > 0.05
        assert abs(rest[mine].mean()) < 0.02
    for name in ("gender", "expression"):
        p = table.loc[table["feature"] == name, "p"]
        assert 0.01 <= (p <= 0.05).mean() <= limit, name
    assert (table.loc[table["feature"] == "person", "p"] == 0.005).all()
    some = {k: v for k, v in people.items() if k != "f00"} | {"f00": None}
    with pytest.raises(InputError, match="person for every condition, but 'f00' has none"):
        feature_contrast(rdms, features, people=some)


@pytest.mark.parametrize("missing", [False, True])
def test_shuffles_over_and_within_people_equal_a_loop(missing):
    """People with unequal numbers of images: the exact shares over all shuffles come out."""
    rng = np.random.default_rng(5)
    vector = rng.standard_normal(15)
    if missing:
        vector[4] = np.nan
    names, person = list("abcdef"), [0, 0, 0, 1, 2, 2]
    rdm = rf.RDMs(vector, names, "rating")
    features = {
        "gender": dict(zip(names, "xxxxyy", strict=True)),
        "expression": dict(zip(names, "hssshs", strict=True)),
    }
    people = dict(zip(names, person, strict=True))
    table = feature_contrast(rdm, features, people=people, n_permutations=8000, seed=2)
    z = (vector - np.nanmean(vector)) / np.nanstd(vector)
    pairs = list(itertools.combinations(range(6), 2))

    def contrast(groups):
        same = np.array([groups[i] == groups[j] for i, j in pairs])
        return np.nanmean(z[~same]) - np.nanmean(z[same])

    over = [[g[p] for p in person] for g in itertools.permutations("xxy")]
    within = [
        [*first, "s", *last]
        for first in itertools.permutations("hss")
        for last in itertools.permutations("hs")
    ]
    for row, all_groups in zip(table.itertuples(), (over, within), strict=True):
        exact = np.array([contrast(groups) for groups in all_groups])
        share = np.mean(exact >= row.contrast - 1e-12)
        assert row.chance == pytest.approx(exact.mean(), abs=0.03), row.feature
        # Three standard errors of a share with 8,000 draws.
        assert row.p == pytest.approx(share, abs=3 * np.sqrt(0.25 / 8000)), row.feature


def test_contrasts_are_drawn_at_their_values():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    rng = np.random.default_rng(0)
    features = {
        "gender": dict(zip(NAMES, "ffffffmmmm", strict=True)),
        "age": dict(zip(NAMES, "yoyoyoyoyo", strict=True)),
    }
    labels = {"network": "a", "layer": ["one", "two"], "depth": [1.0, 0.0]}
    layers = rf.RDMs(rng.random((2, 45)), NAMES, "euclidean", labels)
    table = feature_contrast(layers, features, n_permutations=0)
    table["p"] = [0.001, 0.9, 0.9, 0.9]
    ax = panels(rf.figures.plot_contrast(table))[0]
    curves = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert list(curves) == ["gender", "age"]
    gender = table[table["feature"] == "gender"].set_index("depth")["contrast"]
    np.testing.assert_array_equal(curves["gender"].get_xdata(), [0, 1])
    np.testing.assert_array_equal(curves["gender"].get_ydata(), gender.loc[[0.0, 1.0]])
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in points] == [1, 1, 2]
    assert points[0].get_xdata()[0] == 1.0
    assert "10 conditions" in ax.get_title(loc="left")
    raters = feature_contrast(simulated(), features, n_permutations=0)
    ax = panels(rf.figures.plot_contrast(raters))[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["gender", "age"]
    assert sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == "o") == 12
    assert "filled" not in ax.get_title(loc="left")
    with pytest.raises(InputError, match="no column 'contrast'"):
        rf.figures.plot_contrast(raters.drop(columns="contrast"))
    with pytest.raises(InputError, match="layers of one network, got a, b"):
        rf.figures.plot_contrast(pd.concat([table, table.assign(network="b")]))
    with pytest.raises(InputError, match="1 to 8 features, got 0"):
        rf.figures.plot_contrast(raters.head(0))
    pyplot.close("all")


def test_within_finds_expressions_beside_a_crossed_view_and_keeps_its_level():
    """Views differ by more than expressions: shuffled across views, nothing is ever found."""
    p, e, v = (index.ravel() for index in np.indices((12, 4, 3)))
    names = [f"{i}" for i in range(len(p))]
    person, face, view = (dict(zip(names, label.tolist(), strict=True)) for label in (p, e, v))
    hits = {0.0: [0, 0], 0.3: [0, 0]}
    for effect in hits:
        for seed in range(40):
            rng = np.random.default_rng(seed)
            of = [scale * rng.normal(size=(n, 30)) for n, scale in ((12, 1), (4, effect), (3, 2))]
            x = of[0][p] + of[1][e] + of[2][v] + rng.normal(size=(len(p), 30))
            rdm = rf.compute_rdms(x, conditions=names, measure="sqeuclidean")
            for k, within in enumerate((view, None)):
                table = feature_contrast(
                    rdm,
                    {"expression": face},
                    people=person,
                    within=within,
                    n_permutations=39,
                    seed=seed,
                )
                hits[effect][k] += table["p"][0] <= 0.05
    assert hits[0.0][0] <= 6  # of 40 at 5 %: with a probability of 0.99
    assert hits[0.3][0] >= 36
    assert hits[0.3][1] <= 8
    with pytest.raises(InputError, match="can be exchanged"):
        feature_contrast(rdm, {"expression": face}, people=person, within=face)
