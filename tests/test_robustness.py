"""Degradations as documented; stability and verification equal to plain loops."""

import numpy as np
import pandas as pd
import pytest
from drawn import panels
from reference import drawn_interval
from scipy.stats import rankdata, spearmanr

import rsa_faces as rf
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces.analyses._gram import unit_length
from rsa_faces.analyses.quality.robustness import (
    Comparison,
    _turned,
    best_threshold,
    robustness,
)
from rsa_faces.networks import detect_landmarks, load_network
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.degradations import DEGRADATIONS, degrade, from_linear, to_linear


def smooth(n, size=64, seed=0):
    """Images with structure at all scales."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    x = sum(
        gaussian_filter(rng.normal(size=(n, size, size, 3)), (0, s, s, 0), mode="wrap") * s
        for s in (1, 3, 8)
    )
    return np.clip(128 + 60 * x / x.std(), 0, 255).astype(np.uint8)


def people_set(n_people=8, seed=0):
    """Two noisy photographs of each person, as a StimulusSet, and who is shown."""
    rng = np.random.default_rng(seed)
    faces = smooth(n_people, 32, seed).astype(float)
    images, ids = [], []
    for i, face in enumerate(faces):
        for k in "ab":
            images.append(np.clip(face + rng.normal(0, 12, face.shape), 0, 255).astype(np.uint8))
            ids.append(f"{i:02d}_{k}")
    return StimulusSet.from_arrays(images, ids), {name: name[:2] for name in ids}


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_strength_is_further_from_the_image(kind):
    images = list(smooth(4))
    names = list("abcd")
    assert degrade(images, kind, 0, names=names)[0] is images[0]
    away = []
    for strength in range(1, 6):
        worse = degrade(images, kind, strength, names=names)
        assert all(w.dtype == np.uint8 and w.shape == (64, 64, 3) for w in worse)
        away.append(
            [((w - i.astype(float)) ** 2).mean() for w, i in zip(worse, images, strict=True)]
        )
    assert (np.diff(away, axis=0) > 0).all()


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_chance_goes_by_name_and_seed_alone(kind):
    images = list(smooth(3))
    together = degrade(images, kind, 3, names=["a", "b", "c"])
    alone = degrade(images[2:], kind, 3, names=["c"])
    np.testing.assert_array_equal(together[2], alone[0])
    as_set = degrade(StimulusSet.from_arrays(images[::-1], ["c", "b", "a"]), kind, 3)
    assert as_set.ids == ("a", "b", "c")
    np.testing.assert_array_equal(as_set.image("b"), together[1])
    if kind in {"gaussian-noise", "low-light", "occlusion", "bar"}:
        other = degrade(images[2:], kind, 3, names=["c"], seed=1)[0]
        assert (other != alone[0]).any()
        renamed = degrade(images[2:], kind, 3, names=["d"])[0]
        assert (renamed != alone[0]).any()


def test_levels_are_in_the_units_they_say():
    grey = np.full((100, 80, 3), 128, np.uint8)
    one = {"names": ["x"]}
    noise = degrade([grey], "gaussian-noise", 2, **one)[0].astype(float)
    assert (noise - 128).std() / 255 == pytest.approx(0.06, rel=0.02)
    for strength, share in enumerate(DEGRADATIONS["occlusion"].levels, 1):
        white = np.full((100, 80, 3), 255, np.uint8)
        hidden = degrade([white], "occlusion", strength, **one)[0][..., 0] == 128
        assert hidden.mean() == pytest.approx(share, rel=0.08)
        bar = degrade([white], "bar", strength, **one)[0][..., 0] == 128
        assert (bar.all(axis=1) == bar.any(axis=1)).all()
        assert bar.mean() == pytest.approx(DEGRADATIONS["bar"].levels[strength - 1], abs=0.006)
        mask = degrade([white], "mask", strength, **one)[0][..., 0] == 128
        assert mask[-10 * strength :].all()
        assert mask.mean() == pytest.approx(0.1 * strength)
    dim = to_linear(degrade([grey], "low-light", 3, **one)[0])
    assert dim.mean() == pytest.approx(to_linear(grey).mean() / 8, rel=0.02)
    photons = to_linear(grey).mean() / 8 * 2000
    assert dim.std() == pytest.approx(np.sqrt(photons) / 2000, rel=0.1)
    half = to_linear(degrade([grey], "half-light", 2, **one)[0]).mean(axis=(0, 2))
    assert half.max() == pytest.approx(to_linear(grey).mean(), rel=0.01)
    assert half.min() == pytest.approx(to_linear(grey).mean() / 4, rel=0.03)
    assert half[[39, 40]].mean() == pytest.approx((half.max() + half.min()) / 2, rel=0.03)
    image = smooth(1)[0]
    flat = degrade([image], "contrast", 2, **one)[0]
    assert flat.std(axis=(0, 1)) == pytest.approx(image.std(axis=(0, 1)) * 0.4, rel=0.02)
    edge = np.repeat(np.repeat([[0, 255]], 100, 0), 50, 1).astype(np.uint8)[..., None].repeat(3, 2)
    slope = np.diff(degrade([edge], "blur", 3, **one)[0][50, :, 0].astype(float)) / 255
    x = np.arange(99) - 49
    assert np.sqrt((slope * x**2).sum()) == pytest.approx(4, rel=0.05)  # 4 % of 100 pixels
    small = degrade([smooth(1, 40)[0]], "resolution", 2, **one)[0]
    np.testing.assert_array_equal(small, smooth(1, 40)[0])  # 40 pixels: no wider
    np.testing.assert_array_equal(from_linear(to_linear(image)), image)


def test_bad_degradations_are_refused():
    image = smooth(1)[0]
    with pytest.raises(InputError, match="unknown degradation 'blurr'. Did you mean 'blur'"):
        degrade([image], "blurr", 1, names=["a"])
    with pytest.raises(InputError, match="from 0 to 5, got 6"):
        degrade([image], "blur", 6, names=["a"])
    with pytest.raises(InputError, match="whole number of at least 0, got 1.5"):
        degrade([image], "blur", 1.5, names=["a"])
    with pytest.raises(InputError, match="one name for each of 1 images, got none"):
        degrade([image], "blur", 1)
    with pytest.raises(InputError, match="'a' has type float64"):
        degrade([image / 255], "blur", 1, names=["a"])


def comparison(people, n_bootstrap=0, seed=0, verify=True):
    return Comparison.of(np.asarray(people), verify, n_bootstrap, 0.05, np.random.default_rng(seed))


def test_stability_is_the_spearman_correlation_also_with_ties_and_nan():
    rng = np.random.default_rng(0)
    for n in (3, 7, 12):
        x = rng.integers(0, 6, n * (n - 1) // 2).astype(float)
        y = x + rng.integers(0, 6, len(x))
        c = comparison(np.arange(n), verify=False)
        assert c.stability(x, y)["stability"] == pytest.approx(spearmanr(x, y)[0])
    x[3] = np.nan
    expected = spearmanr(x, y, nan_policy="omit")[0]
    assert c.stability(x, y)["stability"] == pytest.approx(expected)
    assert np.isnan(c.stability(np.ones(len(y)), y)["stability"])


def test_samples_of_people_equal_a_plain_loop():
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(6), [2, 2, 3, 2, 1, 2])
    n = len(people)
    c = comparison(people, n_bootstrap=9)
    clean = rng.normal(size=(n, 5)).round(1)
    worse = (clean + rng.normal(size=(n, 5))).round(1)
    scores = (unit_length(worse) @ unit_length(clean).T).round(1)  # ties
    found = c.auc(scores)
    for sample, w in enumerate(c.weights):
        same, different = [], []
        for i in range(n):
            for j in range(n):
                times = int(w[i] if people[i] == people[j] else w[i] * w[j])
                if people[i] == people[j] and i != j:
                    same += [scores[i, j]] * times
                elif people[i] != people[j]:
                    different += [scores[i, j]] * times
        if not same:
            assert np.isnan(found[sample])
            continue
        a, b = np.array(same)[:, None], np.array(different)
        assert found[sample] == pytest.approx(((a > b) + 0.5 * (a == b)).mean())


def test_stability_interval_is_that_of_a_weighted_loop():
    rng = np.random.default_rng(2)
    n = 10
    c = comparison(np.repeat(np.arange(5), 2), n_bootstrap=50, verify=False)
    low, high = np.triu_indices(n, 1)
    x = rng.normal(size=len(low))
    y = x + rng.normal(size=len(low))
    found = c.stability(x, y)
    rx, ry = rankdata(x), rankdata(y)
    drawn = []
    for w in c.weights[1:]:
        times = np.where(low // 2 == high // 2, w[low], w[low] * w[high])
        cov = np.cov(rx, ry, fweights=times.astype(int))
        drawn.append(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    ends = drawn_interval(drawn, 5)
    assert [found["stability_low"], found["stability_high"]] == pytest.approx(ends)


def test_people_with_many_images_do_not_shift_the_interval():
    # Images of a person are alike, clean or not: were they drawn together too often, as when pairs
    # of one person counted c², stability would look better in every sample than it is.
    rng = np.random.default_rng(6)
    low, high = np.triu_indices(96, 1)
    people = np.repeat(np.arange(12), 8)
    apart = people[low] != people[high]
    x, y = (2.0 * apart + rng.normal(size=len(low)) for _ in range(2))
    c = comparison(people, n_bootstrap=400, verify=False)
    found = c.stability(x, y)
    middle = (found["stability_low"] + found["stability_high"]) / 2
    assert found["stability_low"] < found["stability"] < found["stability_high"]
    assert abs(middle - found["stability"]) < 0.03


def test_best_threshold_by_trying_all():
    rng = np.random.default_rng(3)
    for _ in range(20):
        same, different = rng.integers(2, 9, 6) / 10, rng.integers(0, 7, 15) / 10
        t = best_threshold(same, different)
        tried = np.linspace(-0.05, 1.05, 23)
        best = max(((same >= u).mean() + (different < u).mean()) for u in tried)
        assert (same >= t).mean() + (different < t).mean() == pytest.approx(best)


def test_whole_analysis_against_plain_code():
    stimuli, who = people_set()
    net = load_network("pixels")
    found = robustness(
        net,
        stimuli,
        identity=who,
        degradations=["gaussian-noise", "blur"],
        strengths=[5, 2],
        n_bootstrap=200,
    )
    table = found.table
    assert table["strength"].tolist() == [0, 2, 5, 2, 5]
    assert table["stability"][0] == 1
    assert table["stability"][2] < table["stability"][1]
    assert (table["stability_low"][1:] <= table["stability"][1:]).all()
    assert (table["stability"][1:] <= table["stability_high"][1:]).all()
    worse = degrade(stimuli, "gaussian-noise", 5)
    x, y = (
        np.stack([np.ravel(net.preprocess([s.image(i)]).numpy()) for i in s.ids]).astype(float)
        for s in (stimuli, worse)
    )
    low = np.triu_indices(len(x), 1)
    expected = spearmanr((1 - np.corrcoef(x))[low], (1 - np.corrcoef(y))[low])[0]
    assert table["stability"][2] == pytest.approx(expected, abs=1e-4)
    row, people = table.iloc[2], np.array([who[i] for i in stimuli.ids])
    scores = unit_length(y) @ unit_length(x).T
    same = people[:, None] == people
    np.fill_diagonal(same, False)
    different = people[:, None] != people
    a, b = scores[same][:, None], scores[different]
    assert row["auc"] == pytest.approx((a > b).mean(), abs=1e-4)
    assert row["n_people"] == 8
    again = robustness(
        net,
        stimuli,
        identity=who,
        degradations=["gaussian-noise", "blur"],
        strengths=[5, 2],
        n_bootstrap=200,
    )
    pd.testing.assert_frame_equal(again.table, table)
    assert "'pixels', 2 degradations" in repr(found)


def test_accuracy_uses_thresholds_of_the_other_half():
    rng = np.random.default_rng(4)
    people = np.repeat(np.arange(10), 2)
    who = rng.normal(size=(10, 6))[people]
    clean, worse = (who + 0.7 * rng.normal(size=who.shape) for _ in range(2))
    from rsa_faces.analyses.quality.robustness import _reference

    c = comparison(people)
    found = c.verification(_reference(clean, c), worse)["accuracy"]
    x, y = unit_length(clean), unit_length(worse)
    hits, passes = [], []
    for fold in (0, 1):
        train, test = np.flatnonzero(c.fold != fold), np.flatnonzero(c.fold == fold)
        pairs = [(i, j) for i in train for j in train if i < j]
        same = [x[i] @ x[j] for i, j in pairs if people[i] == people[j]]
        different = [x[i] @ x[j] for i, j in pairs if people[i] != people[j]]
        t = best_threshold(np.array(same), np.array(different))
        for i in test:
            for j in test:
                if people[i] != people[j]:
                    passes.append(y[i] @ x[j] < t)
                elif i != j:
                    hits.append(y[i] @ x[j] >= t)
    assert found == pytest.approx((np.mean(hits) + np.mean(passes)) / 2)


def test_without_identity_in_features_verification_is_at_chance():
    rng = np.random.default_rng(5)
    from rsa_faces.analyses.quality.robustness import _reference

    people = np.repeat(np.arange(20), 2)
    inside, values = 0, []
    for seed in range(100):
        clean, worse = rng.normal(size=(2, 40, 8))
        c = comparison(people, n_bootstrap=200, seed=seed)
        found = c.verification(_reference(clean, c), worse)
        inside += found["auc_low"] <= 0.5 <= found["auc_high"]
        values.append([found["auc"], found["accuracy"]])
    assert np.mean(values, axis=0) == pytest.approx([0.5, 0.5], abs=0.02)
    assert 85 <= inside <= 100


def test_without_identity_there_is_no_verification():
    stimuli, _ = people_set(2)
    found = robustness(
        load_network("pixels"), stimuli, degradations=["jpeg"], strengths=[1], n_bootstrap=0
    ).table
    assert found[["auc", "accuracy", "stability_low", "n_people"]].isna().all(axis=None)
    assert found["level"][1] == 40


def test_bad_input_is_refused():
    stimuli, who = people_set(3)
    net = load_network("pixels")
    with pytest.raises(InputError, match="at least 4 people with two images .*, got 3"):
        robustness(net, stimuli, identity=who)
    with pytest.raises(InputError, match="unknown degradation 'fog'"):
        robustness(net, stimuli, degradations=["fog"])
    with pytest.raises(InputError, match="strengths from 1 to 5, got .* \\[6\\]"):
        robustness(net, stimuli, strengths=[6])
    with pytest.raises(InputError, match="alpha between 0 and 1, got 2"):
        robustness(net, stimuli, alpha=2)
    with pytest.raises(InputError, match="at least 3 images, for RDMs, got 1"):
        robustness(net, stimuli.subset(["00_a"]))
    del who["00_a"]
    with pytest.raises(ConditionMismatchError, match="00_a"):
        robustness(net, stimuli, identity=who)


def test_figure():
    import matplotlib

    matplotlib.use("agg")
    from rsa_faces.figures.robustness import plot_robustness

    stimuli, who = people_set(4)
    found = robustness(
        load_network("pixels"),
        stimuli,
        identity=who,
        strengths=[1, 5],
        n_bootstrap=20,
        degradations=["blur", "jpeg", "contrast"],
    )
    axes = panels(plot_robustness(found))
    assert [p.get_title(loc="left") for p in axes] == ["blur", "jpeg", "contrast"]
    shown = found.table.set_index(["degradation", "strength"])["stability"]
    drawn = axes[0].get_lines()[0].get_ydata()
    assert drawn == pytest.approx([1, shown["blur", 1], shown["blur", 5]])
    with pytest.raises(InputError, match="unknown value 'stabilit'"):
        plot_robustness(found, value="stabilit")
    with pytest.raises(InputError, match="got 0"):
        plot_robustness([])
    matplotlib.pyplot.close("all")


def test_heads_are_turned_to_a_side_each():
    faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'sad'")
    faces = faces.subset(faces.ids[:4])
    crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
    table = robustness(
        load_network("pixels"), crops, degradations=["turned"], strengths=[5], n_bootstrap=0
    ).table
    assert table["level"][1] == 30
    assert table["stability"][1] < 1
    points = dict(zip(crops.ids, detect_landmarks(crops), strict=True))
    turned = _turned(crops, points, 30.0, 0)
    sides = [np.diff(p[[36, 30, 45], 0]) for p in detect_landmarks(turned)]
    shares = np.array([left / (left + right) for left, right in sides])
    assert (np.abs(shares - 0.5) > 0.1).all()
    assert len(set(shares > 0.5)) == 2
    assert turned.ids == crops.ids
