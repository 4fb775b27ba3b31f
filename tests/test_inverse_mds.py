"""Inverse MDS: against an obvious loop, rsatoolbox, and simulated raters."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.behaviour import (
    Arrangements,
    Trial,
    fit_raters,
    inverse_mds,
    load_rater_rdms,
    read_arrangements,
    trial_reliability,
)


def random_trials(seed, n=9, sizes=(9, 4, 5, 3, 6), spread=0.3):
    rng = np.random.default_rng(seed)
    names = tuple(f"c{i}" for i in range(n))
    trials = []
    for size in sizes:
        index = rng.permutation(n)[:size]
        trials.append(Trial([names[i] for i in index], rng.normal(0, spread, (size, 2))))
    return names, trials


def reference(trials, names, floor=0.2, n_rounds=3000):
    """The definition, pair by pair."""
    n = len(names)
    shown = []
    for trial in trials:
        one = {}
        for i in range(len(trial.names)):
            for j in range(i + 1, len(trial.names)):
                key = tuple(sorted((names.index(trial.names[i]), names.index(trial.names[j]))))
                one[key] = float(np.linalg.norm(trial.xy[i] - trial.xy[j]))
        shown.append(one)
    keys = sorted({k for one in shown for k in one})
    estimate = {k: np.mean([one[k] for one in shown if k in one]) for k in keys}
    for _ in range(n_rounds):
        rms = np.sqrt(np.mean([v**2 for v in estimate.values()]))
        estimate = {k: v / rms for k, v in estimate.items()}
        top, bottom = dict.fromkeys(keys, 0.0), dict.fromkeys(keys, 0.0)
        for one in shown:
            target = sum(estimate[k] ** 2 for k in one)
            scale = np.sqrt(target / sum(v**2 for v in one.values()))
            for k, v in one.items():
                weight = max(v, floor) ** 2
                top[k] += weight * scale * v
                bottom[k] += weight
        estimate = {k: top[k] / bottom[k] for k in keys}
    rms = np.sqrt(np.mean([v**2 for v in estimate.values()]))
    vector, evidence = np.full((n, n), np.nan), np.zeros((n, n))
    for k in keys:
        vector[k], evidence[k] = estimate[k] / rms, bottom[k]
    upper = np.triu_indices(n, 1)
    return vector[upper], evidence[upper]


def place(dissimilarity, noise, rng):
    """A rater: classical MDS to the plane, filling an arena of diameter 1, and misplacement."""
    n = len(dissimilarity)
    center = np.eye(n) - 1 / n
    value, vector = np.linalg.eigh(-0.5 * center @ dissimilarity**2 @ center)
    xy = vector[:, -2:] * np.sqrt(np.maximum(value[-2:], 0))
    return xy / pdist(xy).max() + rng.normal(0, noise, xy.shape)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("floor", [0.2, 0.5])
def test_equals_the_definition(seed, floor):
    names, trials = random_trials(seed)
    result = inverse_mds(trials, names, evidence_floor=floor, tol=1e-13)
    vector, evidence = reference(trials, list(names), floor)
    # Both iterate to rounding: 1e-9.
    np.testing.assert_allclose(result.rdms.vectors[0], vector, rtol=1e-9)
    np.testing.assert_allclose(result.evidence, evidence, rtol=1e-12)
    assert np.sqrt(np.nanmean(result.rdms.vectors**2)) == pytest.approx(1)
    assert result.converged


@pytest.mark.parametrize("seed", range(3))
def test_equals_rsatoolbox_rescale(seed):
    from rsatoolbox.rdm import RDMs
    from rsatoolbox.rdm.combine import from_partials, rescale

    names, trials = random_trials(seed, sizes=(9, 5, 6, 4))
    parts = [
        RDMs(t.distances()[None], pattern_descriptors={"conds": list(t.names)}) for t in trials
    ]
    theirs = rescale(from_partials(parts, all_patterns=list(names)), "evidence", threshold=1e-26)
    theirs = theirs.mean(weights="rescalingWeights").dissimilarities[0]
    ours = inverse_mds(trials, names, tol=1e-13).rdms.vectors[0]
    np.testing.assert_allclose(ours, theirs / np.sqrt(np.mean(theirs**2)), rtol=1e-9)


def test_single_arrangement_is_its_own_distances():
    names, trials = random_trials(1, sizes=(9,))
    distances = squareform(trials[0].distances())
    order = [trials[0].names.index(name) for name in names]
    expected = squareform(distances[np.ix_(order, order)])
    result = inverse_mds(trials, names)
    np.testing.assert_allclose(
        result.rdms.vectors[0], expected / np.sqrt(np.mean(expected**2)), rtol=1e-12
    )
    assert result.stress == pytest.approx(0, abs=1e-12)
    assert (result.n_shown == 1).all()


def test_laws():
    names, trials = random_trials(2)
    result = inverse_mds(trials, names)
    turned = [Trial(t.names, t.xy @ [[0, 1], [-1, 0]] + 3) for t in trials]
    np.testing.assert_allclose(
        inverse_mds(turned, names).rdms.vectors, result.rdms.vectors, rtol=1e-7
    )
    mixed = inverse_mds(trials[::-1], names[::-1])
    np.testing.assert_allclose(
        mixed.rdms.align(names).vectors, result.rdms.vectors, rtol=1e-6, equal_nan=True
    )
    pixels = [Trial(t.names, t.xy * 800) for t in trials]
    wide = inverse_mds(pixels, names, arena_diameter=800)
    np.testing.assert_allclose(wide.rdms.vectors, result.rdms.vectors, rtol=1e-9)
    np.testing.assert_allclose(wide.evidence, result.evidence, rtol=1e-9)
    # The scales and the stress belong to the RDM.
    stress = [
        np.sqrt(((s * t.distances() - d) ** 2).sum() / ((s * t.distances()) ** 2).sum())
        for s, t, d in zip(
            result.scales,
            trials,
            (result.rdms.subset(t.names).vectors[0] for t in trials),
            strict=True,
        )
    ]
    np.testing.assert_allclose(result.trial_stress, stress, rtol=1e-9)


def test_two_images_and_one_spot():
    names, trials = random_trials(3)
    plain = inverse_mds(trials, names)
    with pytest.warns(UserWarning, match="1 trials of rater '1' show two images only"):
        inverse_mds([*trials, Trial(names[:2], [[0, 0], [0.9, 0]])], names)
    # Where nothing disagrees a pair changes nothing, at any size.
    xy = np.random.default_rng(0).normal(size=(4, 2))
    with pytest.warns(UserWarning, match="two images"):
        pair = inverse_mds([Trial(tuple("abcd"), xy), Trial(("a", "b"), [[0, 0], [0.9, 0]])])
    alone = inverse_mds([Trial(tuple("abcd"), xy)])
    np.testing.assert_allclose(pair.rdms.vectors, alone.rdms.vectors, rtol=1e-7)
    spot = inverse_mds([*trials, Trial(names[:3], np.zeros((3, 2)))], names)
    assert np.isfinite(spot.rdms.vectors).all()
    assert spot.rdms.vectors[0, 0] < plain.rdms.vectors[0, 0]
    assert np.isnan(spot.trial_stress[-1])


def test_pairs_never_shown_are_nan_and_groups_are_named():
    names = tuple("abcdef")
    xy = np.random.default_rng(0).normal(size=(3, 2))
    with pytest.warns(UserWarning, match="2 groups that share no pair"):
        result = inverse_mds([Trial(names[:3], xy), Trial(names[3:], xy)], names)
    assert result.n_groups == 2
    square = result.rdms.matrices()[0]
    assert np.isnan(square[:3, 3:]).all()
    assert np.isfinite(square[:3, :3]).all()
    assert (result.evidence[np.isnan(result.rdms.vectors[0])] == 0).all()
    assert result.to_frame()["n_shown"].sum() == 6


def test_warns_when_it_does_not_settle():
    names, trials = random_trials(4)
    with pytest.warns(UserWarning, match="within 2 rounds"):
        result = inverse_mds(trials, names, max_iter=2, tol=1e-14)
    assert not result.converged
    assert result.n_iterations == 2


def test_a_hundred_images_in_sixty_trials_settle():
    """How long it takes is measured by scripts/bench_behaviour.py."""
    names, trials = random_trials(0, n=100, sizes=(100,) + (20,) * 59)
    result = inverse_mds(trials, names)
    assert result.converged
    assert result.n_groups == 1
    assert np.isfinite(result.rdms.vectors).all()


def test_evidence_is_saved_with_the_rdms(tmp_path):
    raters = fit_raters(
        [Arrangements(f"r{s}", random_trials(s)[1], random_trials(0)[0]) for s in range(3)]
    )
    raters.save_rdms(tmp_path / "raters.h5")
    read = load_rater_rdms(tmp_path / "raters.h5")
    assert read.rdms.equals(raters.rdms)
    np.testing.assert_array_equal(read.evidence, raters.evidence)
    assert rf.load_rdms(tmp_path / "raters.h5").equals(raters.rdms)
    some = read.sel(rater=["r0", "r2"])
    np.testing.assert_array_equal(some.evidence, raters.evidence[[0, 2]])
    assert some.rdms.labels["rater"].tolist() == ["r0", "r2"]
    raters.rdms.save(tmp_path / "without.h5")
    with pytest.raises(InputError, match="evidence of every rater's pairs in .*, got none"):
        load_rater_rdms(tmp_path / "without.h5")
    with pytest.raises(FileNotFoundError):
        load_rater_rdms(tmp_path / "nothing.h5")


def test_positions_in_other_units_than_the_arena_are_told():
    names, trials = random_trials(1)
    table = Arrangements("r", [Trial(t.names, t.xy * 300) for t in trials], names).to_frame()
    with pytest.warns(UserWarning, match="give arena_diameter in the units of x and y"):
        read_arrangements(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_arrangements(table, arena_diameter=2000)


def test_recovery_improves_with_trials():
    """Error against the true configuration falls with every fourfold number of trials."""
    rng = np.random.default_rng(7)
    n = 20
    names = tuple(f"c{i:02}" for i in range(n))
    truth = pdist(rng.standard_normal((n, 2)))
    square = squareform(truth)
    truth = truth / np.sqrt(np.mean(truth**2))
    trials = []
    for _ in range(64):
        index = rng.permutation(n)[:12]
        noisy = place(square[np.ix_(index, index)], 0.05, rng)
        trials.append(Trial([names[i] for i in index], noisy))
    first = Trial(names, place(square, 0.05, rng))
    error = [
        np.sqrt(np.mean((inverse_mds([first, *trials[:k]], names).rdms.vectors[0] - truth) ** 2))
        for k in (0, 4, 16, 64)
    ]
    assert error[0] > error[1] > error[2] > error[3]
    assert error[3] < 0.4 * error[0]
    assert error[3] < 0.08


def test_fit_raters_aligns_by_name():
    names, trials = random_trials(5)
    raters = [
        Arrangements("r1", trials, names),
        Arrangements("r2", trials[:2], names[::-1]),
    ]
    both = fit_raters(raters)
    np.testing.assert_allclose(both.rdms.vectors[0], inverse_mds(raters[0]).rdms.vectors[0])
    single = inverse_mds(raters[1], names)
    np.testing.assert_allclose(both.rdms.vectors[1], single.rdms.vectors[0])
    np.testing.assert_allclose(both.evidence[1], single.evidence)
    assert both.rdms.labels["n_trials"].tolist() == [5, 2]
    with pytest.raises(InputError, match="'r1' occurs 2 times"):
        fit_raters([raters[0], raters[0]])
    with pytest.raises(InputError, match="at least one rater"):
        fit_raters([])
    with pytest.raises(ConditionMismatchError, match="'zzz'"):
        fit_raters([raters[0], Arrangements("r3", trials, [*names, "zzz"])])


def test_trial_reliability():
    names, trials = random_trials(6, sizes=(9,))
    same = trial_reliability(trials * 4, names)
    assert same["r"] == pytest.approx(1)
    assert same["n_pairs"] == 36
    rng = np.random.default_rng(0)
    noise = [Trial(names, rng.normal(size=(9, 2))) for _ in range(6)]
    found = trial_reliability(noise, n_splits=10, seed=3)
    assert abs(found["r"]) < 0.6
    pd.testing.assert_series_equal(found, trial_reliability(noise, n_splits=10, seed=3))
    apart = trial_reliability(
        [Trial(names[:3], noise[0].xy[:3]), Trial(names[3:6], noise[0].xy[:3])]
    )
    assert np.isnan(apart["r"])
    assert apart["n_splits"] == 0
    with pytest.raises(InputError, match="at least 2 trials to split, got 1"):
        trial_reliability(trials)


def test_trials_are_frozen_and_survive_pickling():
    trial = Trial(("a", "b"), [[0, 0], [1, 1]])
    with pytest.raises(ValueError, match="read-only"):
        trial.xy[0, 0] = 5
    again = pickle.loads(pickle.dumps(trial))
    assert again.names == trial.names
    assert not again.xy.flags.writeable
    many = Arrangements("r", [trial]).with_trial(trial)
    assert len(pickle.loads(pickle.dumps(many))) == 2


def test_refusals():
    names, trials = random_trials(8)
    with pytest.raises(InputError, match="at least 2 images in a trial, got 1"):
        Trial(("a",), [[0, 0]])
    with pytest.raises(InputError, match=r"shape \(2, 2\) for 2 images, got \(3, 2\)"):
        Trial(("a", "b"), np.zeros((3, 2)))
    with pytest.raises(InputError, match="'b' is at"):
        Trial(("a", "b"), [[0, 0], [np.nan, 1]])
    with pytest.raises(InputError, match="unique image names"):
        Trial(("a", "a"), np.zeros((2, 2)))
    with pytest.raises(InputError, match="unknown condition in a trial 'c8'"):
        inverse_mds(trials, names[:-1])
    with pytest.raises(InputError, match="at least 2 conditions, got 0"):
        Arrangements("r", ())
    with pytest.raises(InputError, match="arena diameter above 0, got 0"):
        Arrangements("r", trials, arena_diameter=0)
    with pytest.raises(InputError, match="at least 1 trial of rater '1'"):
        inverse_mds([], names)
    with pytest.raises(InputError, match="evidence floor between 0 and 1, got 0"):
        inverse_mds(trials, evidence_floor=0)
    with pytest.raises(InputError, match="tol above 0, got -1"):
        inverse_mds(trials, tol=-1)
    with pytest.raises(InputError, match="max_iter"):
        inverse_mds(trials, max_iter=0)
    with pytest.raises(InputError, match="on one spot in every trial"):
        inverse_mds([Trial(("a", "b"), np.zeros((2, 2)))])


def test_coordinates_from_csv(tmp_path):
    names, trials = random_trials(9)
    one = Arrangements("007", trials, names, 2)
    table = one.to_frame()
    extra = pd.DataFrame(
        [
            ("007", 1, trials[0].names[0], 9.0, 9.0),  # placed again: the last position counts
            ("007", 6, "c1", 0.0, 0.0),  # alone
            ("007", 6, "c2", np.nan, 0.0),  # no position
            ("007", np.nan, "c3", 0.0, 0.0),  # no trial
            ("r2", 1, "c0", 0.0, 0.0),
            ("r2", 1, "c1", 1.0, 0.0),
        ],
        columns=table.columns,
    )
    pd.concat([extra.iloc[:1], table, extra.iloc[1:]]).to_csv(tmp_path / "a.csv", index=False)
    (first, second), report = read_arrangements(tmp_path / "a.csv", arena_diameter=2)
    assert (first.rater, second.rater) == ("007", "r2")
    assert first.conditions == names == second.conditions
    np.testing.assert_allclose(inverse_mds(first).rdms.vectors, inverse_mds(one).rdms.vectors)
    assert report.count("image placed twice in a trial") == 1
    assert report.count("position missing") == 1
    assert report.count("trial missing") == 1
    assert report.count("fewer than 2 images in a trial") == 1
    assert report.summary().loc["r2", "pair never shown together"] == 35
    assert report.raters == ("007", "r2")
    with pytest.raises(InputError, match="expected the column 'stimulus' in .*got 'rater', 'x'"):
        read_arrangements(pd.DataFrame({"rater": ["r"], "x": [1]}))
    with pytest.raises(InputError, match="does not exist"):
        read_arrangements(tmp_path / "b.csv")
    with pytest.raises(InputError, match="numbers in column 'x'.*row 0 has 'left'"):
        read_arrangements(table.head(1).astype({"x": object}).assign(x="left"))


def test_no_warning_without_cause():
    names, trials = random_trials(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inverse_mds(trials, names)


@pytest.mark.parametrize("size", [1e-100, 1e-160, 1e-200, 1e-310])
def test_tiny_distances_are_scaled_before_they_are_squared(size):
    rng = np.random.default_rng(0)
    xy = rng.uniform(-0.03, 0.03, (5, 2))
    noisy = xy[:4] * 2 + rng.normal(scale=0.005, size=(4, 2))
    names = tuple("abcde")
    # All below the evidence floor: the size of the arrangement then changes nothing.
    expected = inverse_mds([Trial(names, xy), Trial(names[:4], noisy)])
    found = inverse_mds([Trial(names, xy * size), Trial(names[:4], noisy * size)])
    np.testing.assert_allclose(found.rdms.vectors, expected.rdms.vectors, rtol=1e-9)
    np.testing.assert_allclose(found.trial_stress, expected.trial_stress, rtol=1e-9)
    if size > 1e-300:
        np.testing.assert_allclose(found.scales * size, expected.scales, rtol=1e-9)


def test_distances_that_no_arena_has_are_refused():
    xy = np.array([[0, 0], [1e160, 0], [0, 1]])
    with pytest.raises(InputError, match=r"at most 1e\+100 arena diameters.*has one of 1e\+160"):
        inverse_mds([Trial(("a", "b", "c"), xy)])
