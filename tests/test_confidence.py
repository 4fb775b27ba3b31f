"""Stability per image, conformal intervals that cover, flags at the rate asked for."""

import numpy as np
import pandas as pd
import pytest
from drawn import panels

from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces.analyses import check_confidence
from rsa_faces.analyses.quality.confidence import (
    OutlierFlag,
    SimilarityInterval,
    flag_rates,
    image_confidence,
)
from rsa_faces.networks import load_network
from rsa_faces.stimuli import StimulusSet


def names(n, start=0):
    return [f"face {i}" for i in range(start, start + n)]


def flagged(flag, x, **options):
    return flag.apply({"fc": x}, conditions=names(len(x)), **options)


def fitted(x, **options):
    options = {"method": "mahalanobis", **options}
    return OutlierFlag.fit({"fc": x}, conditions=names(len(x)), **options)


def test_stability_falls_with_the_size_of_changes_and_goes_by_name():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    images[2] = np.linspace(0, 255, 32).astype(np.uint8)[:, None]  # smooth: moves little
    stimuli = StimulusSet.from_arrays(images, ["a", "b", "smooth"])
    net = load_network("pixels")
    small, large = (image_confidence(net, stimuli, size=s) for s in (0.2, 1.0))
    assert (small["stability"] > large["stability"]).all()
    assert (large["lowest"] <= large["stability"]).all()
    assert large["stability"].idxmax() == "smooth"
    alone = image_confidence(net, stimuli.subset(["b"]))
    pd.testing.assert_series_equal(alone.loc["b"], large.loc["b"], rtol=1e-5)
    with pytest.raises(InputError, match="size above 0, got 0"):
        image_confidence(net, stimuli, size=0)
    with pytest.raises(InputError, match="n_variants .* got 0"):
        image_confidence(net, stimuli, n_variants=0)


def test_variants_stay_in_place_on_average():
    from rsa_faces.analyses.quality.confidence import _variant

    image = np.zeros((41, 61, 3), np.uint8)
    image[20, 30] = 255
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:41, :61]
    middles = []
    for _ in range(60):
        light = _variant(image, 1.0, rng)[..., 0].astype(float)
        light[light < 30] = 0
        middles.append([(light * x).sum() / light.sum(), (light * y).sum() / light.sum()])
    assert np.mean(middles, axis=0) == pytest.approx([30, 20], abs=0.4)
    assert np.std(middles, axis=0) == pytest.approx([0.915, 0.915], rel=0.3)  # 1.5 % of 61
    tiny = _variant(image, 1e-9, rng)
    np.testing.assert_array_equal(tiny, image)


@pytest.mark.parametrize("with_stability", [False, True])
def test_interval_covers_as_stated(with_stability):
    rng = np.random.default_rng(1)
    covered = []
    for seed in range(300):
        x = rng.random(61)
        y = 0.5 + 0.3 * x**2 + rng.standard_t(3, 61) * 0.1  # the line is wrong
        people = np.repeat(np.arange(61), 1)
        given = {"stability": x[:-1]} if with_stability else {}
        found = SimilarityInterval.fit(y[:-1], people[:-1], alpha=0.1, seed=seed, **given)
        low, high = found.predict(x[-1] if with_stability else 0)
        covered.append(low <= y[-1] <= high)
    # n = 30: exactly 28/31 = 0.903 on average; standard error 0.017.
    assert 0.85 <= np.mean(covered) <= 0.955


def test_interval_is_the_order_statistic():
    y = np.arange(20) / 20
    found = SimilarityInterval.fit(y, range(20), alpha=0.2)
    assert found.n_people == 10
    assert found.slope == 0
    inside = np.abs(y - found.intercept) <= found.margin
    assert inside.sum() >= 9  # ⌈0.8 · 11⌉ of the ten at least
    few = SimilarityInterval.fit(y, range(20), alpha=0.05)
    assert few.margin == np.inf
    x = np.linspace(0, 1, 20)
    line = SimilarityInterval.fit(0.2 + 0.5 * x, range(20), stability=x, alpha=0.2)
    assert (line.slope, line.intercept, line.margin) == pytest.approx((0.5, 0.2, 0), abs=1e-9)
    # Each person once, however many pairs there are.
    many = SimilarityInterval.fit(np.tile(y, 5), list(range(20)) * 5, alpha=0.2)
    assert many.n_people == 10


def test_bad_intervals_are_refused():
    with pytest.raises(InputError, match="at least 4 people, got 2"):
        SimilarityInterval.fit([0.1, 0.2, 0.3, 0.4], ["a", "a", "b", "b"])
    with pytest.raises(InputError, match="expected one similarity"):
        SimilarityInterval.fit([0.1, 0.2], ["a"])
    with pytest.raises(InputError, match="finite similarities"):
        SimilarityInterval.fit([0.1, np.nan, 0, 0], list("abcd"))
    with pytest.raises(InputError, match="alpha between 0 and 1, got 0"):
        SimilarityInterval.fit([0.1] * 5, list("abcde"), alpha=0)


@pytest.mark.parametrize("method", ["mahalanobis", "neighbours"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_false_flags_are_as_many_as_asked_for(method, alpha):
    rng = np.random.default_rng(2)
    rates = []
    for seed in range(25):
        mix = rng.normal(size=(12, 12))
        reference, new = (rng.normal(size=(n, 12)) @ mix + 3 for n in (60, 200))
        flags = flagged(fitted(reference, method=method, seed=seed), new, alpha=alpha)
        rates.append(flags["flagged"].mean())
    assert alpha - 0.035 <= np.mean(rates) <= alpha + 0.02


def test_several_images_of_a_person_count_once():
    rng = np.random.default_rng(3)
    rates = []
    for seed in range(30):
        who = rng.normal(size=(40, 8))
        reference = np.repeat(who, 5, axis=0) + 0.3 * rng.normal(size=(200, 8))
        people = {name: i // 5 for i, name in enumerate(names(200))}
        flag = fitted(reference, people=people, seed=seed)
        new = rng.normal(size=(100, 8)) + 0.3 * rng.normal(size=(100, 8))
        rates.append(flagged(flag, new, alpha=0.1)["flagged"].mean())
    assert flag.n_people == {"all": 40}
    assert 0.05 <= np.mean(rates) <= 0.125


def two_groups(rng, n_many, n_few):
    """A small group, far from the large one."""
    few = rng.normal(size=(n_few, 6)) + np.r_[5, 0, 0, 0, 0, 0]
    x = np.concatenate([rng.normal(size=(n_many, 6)), few])
    return x, {n: "few" if i >= n_many else "many" for i, n in enumerate(names(len(x)))}


def test_groups_have_the_same_rate_of_false_flags_if_asked():
    rng = np.random.default_rng(4)
    plain, equal = [], []
    for seed in range(15):
        reference, groups = two_groups(rng, 120, 24)
        new, new_groups = two_groups(rng, 200, 200)
        flags = flagged(fitted(reference, seed=seed), new, alpha=0.1)
        plain.append(flag_rates(flags, new_groups).set_index("group")["share"])
        flag = fitted(reference, groups=groups, seed=seed)
        flags = flagged(flag, new, groups=new_groups, alpha=0.1)
        equal.append(flag_rates(flags, new_groups).set_index("group")["share"])
    plain, equal = (pd.concat(found, axis=1).mean(axis=1) for found in (plain, equal))
    assert plain["few"] > 0.25  # the flag is a minority detector
    assert plain["many"] < 0.1
    assert equal["few"] == pytest.approx(0.1, abs=0.04)
    assert equal["many"] == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("method", ["mahalanobis", "neighbours"])
def test_planted_outliers_are_flagged(method):
    rng = np.random.default_rng(5)
    direction = np.eye(10)[0] * 3
    flag = fitted(rng.normal(size=(100, 10)) + direction, method=method)
    shares = [
        flagged(flag, rng.normal(size=(200, 10)) + direction * (1 - k))["flagged"].mean()
        for k in (0, 2, 3)
    ]
    assert shares[0] < 0.12
    assert shares[1] > 0.5
    assert shares[2] > shares[0] + 0.5


def test_p_values_equal_a_plain_loop():
    from reference import ledoit_wolf
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(6)
    reference, new = rng.normal(size=(30, 4)), rng.normal(size=(7, 4)) * 1.5
    for method in ("mahalanobis", "neighbours"):
        flag = fitted(reference, method=method, n_folds=3, n_neighbours=2)
        above = np.ones(len(new))
        scores = np.zeros(len(new))
        for _, rows in flag._models:
            train = np.delete(reference, rows, axis=0)
            if method == "mahalanobis":
                mean = train.mean(axis=0)
                covariance, _ = ledoit_wolf(train - mean, len(train) - 1)
                precision = np.linalg.inv(covariance)
                own, theirs = (
                    np.einsum("ij,jk,ik->i", x - mean, precision, x - mean)
                    for x in (reference[rows], new)
                )
            else:
                unit = [z / np.linalg.norm(z, axis=1)[:, None] for z in (train, reference, new)]
                near = NearestNeighbors(n_neighbors=2).fit(unit[0])
                own = near.kneighbors(unit[1][rows])[0][:, 1]
                theirs = near.kneighbors(unit[2])[0][:, 1]
            for i, score in enumerate(theirs):
                above[i] += sum(s >= score for s in own)
            scores += theirs / 3
        found = flagged(flag, new)
        np.testing.assert_allclose(found["score"], scores, rtol=1e-6)
        np.testing.assert_allclose(found["p"], above / 31, rtol=1e-12)


def test_rates_are_counted_with_exact_intervals():
    from scipy.stats import beta

    flags = pd.DataFrame({"flagged": [True] * 3 + [False] * 17}, index=names(20))
    found = flag_rates(flags, dict.fromkeys(names(20), "x"))
    assert found["group"].tolist() == ["all", "x"]
    assert found["share"].tolist() == [0.15, 0.15]
    assert found["low"][0] == pytest.approx(beta.ppf(0.025, 3, 18))
    assert found["high"][0] == pytest.approx(beta.ppf(0.975, 4, 17))
    with pytest.raises(InputError, match="none for .*face 3"):
        flag_rates(flags, {n: "x" for n in names(20) if n != "face 3"})
    # Four images each of five people: as many observations as people, hits their shares.
    people = {name: i // 4 for i, name in enumerate(names(20))}
    found = flag_rates(flags, people=people)
    assert found["share"][0] == pytest.approx(0.15)
    assert found["n_flagged"][0] == 3
    assert found["high"][0] == pytest.approx(beta.ppf(0.975, 0.75 + 1, 5 - 0.75))
    assert found["low"][0] == pytest.approx(beta.ppf(0.025, 0.75, 5 - 0.75 + 1))
    none = flag_rates(flags.assign(flagged=False), people=people)
    assert (none["low"][0], none["high"][0]) == (0, pytest.approx(1 - 0.025 ** (1 / 5)))
    with pytest.raises(InputError, match="a person for each image"):
        flag_rates(flags, people={})


def test_bad_flags_are_refused(caplog):
    rng = np.random.default_rng(7)
    x, groups = two_groups(rng, 30, 8)
    with pytest.raises(InputError, match="unknown method 'forest'"):
        fitted(x, method="forest")
    with pytest.raises(InputError, match="at least 5 people, one a fold, got 3"):
        fitted(x[:3])
    with pytest.raises(InputError, match="at most 4096 channels .* has 5000"):
        fitted(np.zeros((6, 5000)))
    with pytest.raises(InputError, match="'fc' has none"):
        fitted(np.ones((6, 3)))
    with pytest.raises(InputError, match="at least 5 reference images .* got 4"):
        fitted(x[:5], method="neighbours")
    with pytest.raises(InputError, match="some are in two"):
        fitted(x, people=dict.fromkeys(groups, "one"), groups=groups)
    with pytest.raises(ConditionMismatchError, match="face 99"):
        fitted(x, people={**groups, "face 99": "other"})
    flag = fitted(x, groups=groups)
    with pytest.raises(InputError, match="made with groups, and only then: got none"):
        flagged(flag, x)
    with pytest.raises(InputError, match="unknown group 'third'"):
        flagged(flag, x, groups=dict.fromkeys(groups, "third"))
    with pytest.raises(InputError, match="expected 6 channels, .* got 4"):
        flagged(flag, x[:, :4], groups=groups)
    with pytest.raises(InputError, match="NaN or infinity"):
        flagged(flag, np.where(x > 2, np.nan, x), groups=groups)
    shown = flagged(flag, x + 100, groups=groups)
    assert "few (8); 19 are needed" in caplog.text
    assert shown["flagged"].tolist() == [True] * 30 + [False] * 8
    assert shown["smallest_p"].iloc[-1] == 1 / 9


def pictures(n_people=40, noise=12, seed=0):
    """Simulated faces: two pictures each of people who differ in coarse blocks."""
    rng = np.random.default_rng(seed)
    faces = np.kron(rng.integers(30, 200, (n_people, 6, 6, 3)), np.ones((1, 4, 4, 1)))
    images = np.repeat(faces, 2, axis=0) + rng.normal(0, noise, (2 * n_people, 24, 24, 3))
    ids = [f"p{i} {k}" for i in range(n_people) for k in "ab"]
    people = {name: name.split()[0] for name in ids}
    groups = {name: "few" if int(people[name][1:]) < 14 else "many" for name in ids}
    return StimulusSet.from_arrays(images.clip(0, 255).astype(np.uint8), ids), people, groups


def test_confidence_is_checked_on_people_who_did_not_set_it():
    stimuli, people, groups = pictures()
    found = check_confidence(
        load_network("pixels"),
        stimuli,
        people,
        groups=groups,
        alpha=0.1,
        n_variants=1,
        degradations=["gaussian-noise"],
        strengths=[1, 5],
    )
    at = found.table.set_index(["degradation", "strength", "group"])
    assert list(found.table["group"][:3]) == ["all", "few", "many"]
    assert at.loc[("none", 0, "all"), "low"] <= 0.1 <= at.loc[("none", 0, "all"), "high"]
    assert at.loc[("gaussian-noise", 5, "all"), "share"] > 0.5
    assert (at.xs("gaussian-noise")["stability"].xs("all", level="group").diff().dropna() < 0).all()
    # Coverage is promised over degradations, drawn as those that set the interval.
    every = found.images
    covered = every["similarity"].between(every["expected_low"], every["expected_high"])
    assert covered.groupby(every["person"]).mean().mean() > 0.8
    assert (every.groupby(["degradation", "strength"])["condition"].nunique() == 80).all()
    rows = every[every["degradation"] == "none"].set_index("condition")
    share = flag_rates(rows[["flagged"]], people=people)["share"][0]
    assert at.loc[("none", 0, "all"), "share"] == pytest.approx(share)


def test_stability_and_its_interval_are_of_people_however_many_images_there_are():
    rng = np.random.default_rng(0)
    n_images = [40] + [2] * 15  # the first with images that are all noise
    who = np.repeat(np.arange(16), n_images)
    smooth = np.kron(rng.integers(30, 200, (16, 2, 2, 3)), np.ones((1, 12, 12, 1)))[who]
    noise = rng.normal(0, 1, smooth.shape) * np.where(who == 0, 60, 2)[:, None, None, None]
    ids = [f"{p} {k}" for k, p in enumerate(who)]
    stimuli = StimulusSet.from_arrays(np.clip(smooth + noise, 0, 255).astype(np.uint8), ids)
    options = {"degradations": ["contrast"], "strengths": [1], "n_variants": 2, "alpha": 0.3}
    found = check_confidence(
        load_network("pixels"), stimuli, dict(zip(ids, who, strict=True)), **options
    )
    clean = found.images[found.images["degradation"] == "none"]
    row = found.table.iloc[0]
    of_people = clean.groupby("person")["stability"].mean().mean()
    assert row["stability"] == pytest.approx(of_people)
    assert row["stability_low"] < row["stability"] < row["stability_high"]
    assert clean["stability"].mean() < row["stability_low"]


def test_no_one_is_judged_by_a_flag_that_saw_them(monkeypatch):
    from rsa_faces.analyses.quality import _outliers

    stimuli, people, groups = pictures(n_people=16)
    fitted_on, applied_to = [], []
    fit, apply = OutlierFlag.fit.__func__, OutlierFlag.apply

    def noted_fit(cls, reference, **options):
        fitted_on.append({people[name] for name in options["conditions"]})
        return fit(cls, reference, **options)

    def noted_apply(self, activations, **options):
        applied_to.append({people[name] for name in options["conditions"]})
        return apply(self, activations, **options)

    monkeypatch.setattr(_outliers.OutlierFlag, "fit", classmethod(noted_fit))
    monkeypatch.setattr(_outliers.OutlierFlag, "apply", noted_apply)
    check_confidence(
        load_network("pixels"),
        stimuli,
        people,
        groups=groups,
        equal_groups=True,
        degradations=["blur"],
        strengths=[3],
        n_variants=1,
    )
    assert fitted_on[0].isdisjoint(fitted_on[1])
    assert fitted_on[0] | fitted_on[1] == set(people.values())
    for one, other in zip(applied_to, fitted_on * 2, strict=True):
        assert one.isdisjoint(other)


def test_bad_checks_are_refused():
    stimuli, people, groups = pictures(n_people=16)
    net = load_network("pixels")
    for changed, options, words in (
        (people, {"degradations": ["fog"]}, "unknown degradation 'fog'"),
        (people, {"strengths": [6]}, "strengths from 1 to 5"),
        (people, {"equal_groups": True}, "expected `groups`"),
        (dict.fromkeys(people, "x"), {}, "at least 16 people"),
        ({name: name for name in people}, {}, "16 people have|32 people have"),
        (people, {"groups": {n: n for n in people}}, "in one group"),
    ):
        with pytest.raises(InputError, match=words):
            check_confidence(net, stimuli, changed, **options)
    with pytest.raises(ConditionMismatchError):
        check_confidence(net, stimuli, {"other": "p"})


def test_figure():
    import matplotlib

    matplotlib.use("agg")
    from rsa_faces.figures.robustness import plot_flags

    rows = [
        {"degradation": d, "strength": s, "group": g, "share": s / 10, "low": 0, "high": 1}
        for d, s in (("none", 0), ("blur", 1), ("blur", 5), ("jpeg", 3))
        for g in ("all", "women")
    ]
    axes = panels(plot_flags(pd.DataFrame(rows)))
    assert axes[0].get_lines()[0].get_ydata().tolist() == [0, 0.1, 0.5]
    with pytest.raises(InputError, match="expected the columns"):
        plot_flags(pd.DataFrame(rows).drop(columns="low"))
    signs = pd.DataFrame(rows).assign(covered=0.9, covered_low=0.8, covered_high=1.0)
    panel = panels(plot_flags(signs, value="covered", alpha=0.2))[0]
    assert panel.get_lines()[0].get_ydata().tolist() == [0.9] * 3
    assert list(panel.get_lines()[-1].get_ydata()) == [0.8, 0.8]  # asked for
    matplotlib.pyplot.close("all")
