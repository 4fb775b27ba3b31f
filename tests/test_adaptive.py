"""Adaptive choice of images: against brute force, and in simulation against random subsets."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from test_inverse_mds import place, random_trials

from rsa_faces import InputError
from rsa_faces.behaviour import Trial, enough_evidence, inverse_mds, next_trial


def efficiency(chosen, estimate, evidence, cost, d=10.0, floor=0.2):
    """Gain in utility of a trial over its cost, pair by pair."""
    largest = max(estimate[i, j] for i in chosen for j in chosen)
    gain = 0.0
    for a, i in enumerate(chosen):
        for j in chosen[a + 1 :]:
            after = evidence[i, j] + max(estimate[i, j] / largest, floor) ** 2
            gain += np.exp(-d * evidence[i, j]) - np.exp(-d * after)
    return gain / len(chosen) ** cost


def brute_force(result, n_max, cost):
    """Lift the weakest, one image at a time."""
    n = len(result.conditions)
    estimate, evidence = result.rdms.matrices()[0], squareform(result.evidence)
    weak = np.where(np.triu(np.ones((n, n)), 1) > 0, evidence, np.inf)
    chosen = list(np.unravel_index(np.argmin(weak), weak.shape))
    best = efficiency(chosen, estimate, evidence, cost)
    while len(chosen) < n_max:
        rest = [i for i in range(n) if i not in chosen]
        values = [efficiency([*chosen, i], estimate, evidence, cost) for i in rest]
        if not rest or (max(values) <= best and len(chosen) >= 3):
            break
        chosen.append(rest[int(np.argmax(values))])
        best = max(values)
    return tuple(result.conditions[i] for i in sorted(chosen))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n_max", [4, 9])
@pytest.mark.parametrize("cost", [1.0, 1.5])
def test_equals_brute_force(seed, n_max, cost):
    names, trials = random_trials(seed, sizes=(9, 5, 4))
    # A low floor, or several pairs would tie for the least evidence.
    result = inverse_mds(trials, names, evidence_floor=0.001)
    expected = brute_force(result, n_max, cost)
    assert next_trial(result, n_max=n_max, cost_exponent=cost) == expected
    assert cost > 1 or next_trial(result, n_max=n_max) == expected


def test_sets_grow_beyond_three_and_hold_the_weakest_pair():
    sizes = set()
    for seed in range(20):
        names, trials = random_trials(seed, n=20, sizes=(20, 8, 8))
        result = inverse_mds(trials, names, evidence_floor=0.001)
        chosen = next_trial(result)
        assert list(chosen) == [name for name in names if name in chosen]
        row, col = np.triu_indices(20, 1)
        weakest = np.argmin(result.evidence)
        assert {names[row[weakest]], names[col[weakest]]} <= set(chosen)
        sizes.add(len(chosen))
    assert min(sizes) >= 3
    assert max(sizes) > 3


def test_first_trial():
    names = tuple(f"c{i}" for i in range(8))
    assert next_trial([], names) == names
    some = next_trial([], names, n_max=5, seed=1)
    assert len(some) == 5
    assert some == next_trial([], names, n_max=5, seed=1)
    assert len({next_trial([], names, n_max=5, seed=s) for s in range(10)}) > 3
    # All images on one spot: nothing is known yet.
    assert next_trial([Trial(names, np.zeros((8, 2)))], names) == names


def test_unseen_pairs_are_reached_from_seen_ones():
    rng = np.random.default_rng(0)
    names = tuple(f"c{i:02}" for i in range(30))
    trials = []
    for step in range(40):
        chosen = next_trial(trials, names, n_max=8, seed=step)
        trials.append(Trial(chosen, rng.normal(0, 0.3, (len(chosen), 2))))
        with warnings.catch_warnings():
            # Never a group of trials that cannot be scaled to the others.
            warnings.simplefilter("error")
            result = inverse_mds(trials, names)
        if (result.evidence > 0).all():
            break
    assert (result.evidence > 0).all()
    # 435 pairs at 28 a trial need at least 16 trials.
    assert step < 35


def test_random_rule():
    names, trials = random_trials(0)
    one = next_trial(trials, names, rule="random", n_max=4, seed=5)
    assert len(one) == 4
    assert one == next_trial(trials, names, rule="random", n_max=4, seed=5)


def test_aligned_state_gives_the_same_choice():
    names, trials = random_trials(3, sizes=(9, 5, 4))
    result = inverse_mds(trials, names)
    assert set(next_trial(result, names[::-1], n_max=4)) == set(next_trial(result, n_max=4))


def test_enough_evidence():
    far = Trial(tuple("abc"), [[-0.5, 0], [0.5, 0], [0, 0.5]])
    # Evidence 1, 0.5, 0.5.
    assert enough_evidence([far])
    assert not enough_evidence([far], threshold=0.51)
    assert enough_evidence([far], threshold=0.51, share=1 / 3)
    assert enough_evidence([far, far], threshold=1.0)
    assert not enough_evidence([], tuple("abc"))
    assert not enough_evidence([far], tuple("abcd"))
    assert enough_evidence(inverse_mds([far]))


def test_refusals():
    names, trials = random_trials(0)
    with pytest.raises(InputError, match="unknown rule 'lift'"):
        next_trial(trials, names, rule="lift")
    with pytest.raises(InputError, match="n_max to be a whole number of at least 3, got 2"):
        next_trial(trials, names, n_max=2)
    with pytest.raises(InputError, match="at least 3 conditions, got 2"):
        next_trial([], ("a", "b"))
    with pytest.raises(InputError, match="cost exponent above 0, got -1"):
        next_trial(trials, names, cost_exponent=-1)
    with pytest.raises(InputError, match="utility exponent above 0, got 0"):
        next_trial(trials, names, utility_exponent=0)
    with pytest.raises(InputError, match="threshold above 0, got 0"):
        enough_evidence(trials, threshold=0)
    with pytest.raises(InputError, match="share above 0 and up to 1, got 2"):
        enough_evidence(trials, share=2)


def session(rule, seed, time_left, n=40, n_max=12, n_dimensions=5, noise=0.05):
    """Time spent (Σ n^1.5) and rank correlation with the truth after each trial of one rater."""
    rng = np.random.default_rng(seed)
    names = tuple(f"c{i:02}" for i in range(n))
    truth = pdist(rng.standard_normal((n, n_dimensions)))
    square, trials, spent, recovery = squareform(truth), [], [0.0], [0.0]
    while spent[-1] < time_left:
        seed_now = 1000 * seed + len(trials)
        chosen = next_trial(trials, names, n_max=n_max, rule=rule, seed=seed_now)
        index = [names.index(name) for name in chosen]
        trials.append(Trial(chosen, place(square[np.ix_(index, index)], noise, rng)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            vector = inverse_mds(trials, names, tol=1e-5).rdms.vectors[0]
        # A pair never shown is taken for average.
        vector = np.where(np.isnan(vector), np.nanmean(vector), vector)
        recovery.append(spearmanr(vector, truth)[0])
        spent.append(spent[-1] + len(chosen) ** 1.5)
    return np.array(spent), np.array(recovery)


@pytest.mark.slow
def test_needs_fewer_trials_and_less_time_than_random_subsets():
    """At low and at high accuracy, by trials and by time."""
    lifted, drawn = (
        [session(rule, seed, 1600) for seed in range(4)] for rule in ("lift-weakest", "random")
    )
    n = [int(np.mean([len(r) - 1 for _, r in part])) for part in (lifted, drawn)]
    assert n[0] >= n[1]
    for k in (5, 10, 20, n[1]):
        # After as many trials, no less is known.
        assert np.mean([r[k] for _, r in lifted]) > np.mean([r[k] for _, r in drawn]), k
    for level, share in ((0.75, 0.85), (0.85, 0.85)):
        trials = [np.mean([np.argmax(r >= level) for _, r in part]) for part in (lifted, drawn)]
        assert trials[0] <= share * trials[1], (level, trials)
    # The time at which lifting has reached what random subsets reach in the end.
    shares = [
        spent[np.argmax(r >= end[1][-1])] / end[0][-1]
        for (spent, r), end in zip(lifted, drawn, strict=True)
    ]
    assert np.mean(shares) <= 0.75, shares
