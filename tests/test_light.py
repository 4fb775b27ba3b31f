"""Light evened out: references, and a gain in recognition that was planted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.analyses import light_gain
from rsa_faces.analyses._recognition import Recognition
from rsa_faces.stimuli.degradations import degrade
from rsa_faces.stimuli.light import normalise_light

LUMA = np.array([0.299, 0.587, 0.114])
NAMES = [f"{i:02} {k}" for i in range(16) for k in "ab"]
PERSON = {name: name[:2] for name in NAMES}


def faces(spread=25.0):
    """Two photographs of each person, of coarse grey patches."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(70, 186, (16, 1, 4, 4, 1)) + rng.normal(0, spread, (16, 2, 4, 4, 1))
    images = np.kron(coarse.reshape(32, 4, 4, 1), np.ones((1, 8, 8, 3))).clip(0, 255)
    return rf.StimulusSet.from_arrays(images.astype(np.uint8), NAMES)


def test_equalised_brightness_is_the_share_of_darker_pixels_and_light_leaves_the_quotient():
    rng = np.random.default_rng(1)
    image = rng.integers(40, 90, (20, 24, 3)).astype(np.uint8)
    one = rf.StimulusSet.from_arrays([image], ["a"])
    luma = image @ LUMA
    expected = 255 * (rankdata(luma).reshape(luma.shape) - 0.5) / luma.size
    evened = normalise_light(one).image("a").astype(float)
    inside = (evened < 255).all(axis=2)
    np.testing.assert_allclose((evened @ LUMA)[inside], expected[inside], atol=0.6)
    half = rf.StimulusSet.from_arrays([image // 2], ["a"])
    other = (normalise_light(s, "self-quotient").image("a").astype(int) for s in (one, half))
    assert np.abs(np.subtract(*other)).mean() < 2
    black = rf.StimulusSet.from_arrays(np.zeros((1, 8, 8, 3), np.uint8), ["a"])
    assert (normalise_light(black).image("a") == 128).all()


def test_a_gain_that_was_planted_is_found_and_is_that_of_ranks():
    network, stimuli = rf.load_network("pixels"), faces()
    options = {"degradations": ["half-light"], "strengths": [5], "n_boot": 300, "progress": False}
    table = light_gain(network, stimuli, PERSON, **options).table.set_index(
        ["light", "normalisation"]
    )
    row = table.loc[("half-light 5", "self-quotient")]
    # Which side is dark goes by chance: without a normalisation that is what pixels see most of.
    assert row["gain"] > 0.1
    assert row["p_corrected"] < 0.05
    assert 0 < row["gain_low"] < row["gain"] < row["gain_high"]
    assert row["gain"] == pytest.approx(row["auc"] - row["auc_without"])
    worse = degrade(stimuli, "half-light", 5)
    layer = network.layers()[-1]
    probe, clean = (
        np.asarray(rf.extract(network, images, layers=layer, progress=False)[layer], float)
        for images in (worse, stimuli)
    )
    who = np.array([PERSON[name] for name in stimuli.ids])
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (probe, clean)]
    off = ~np.eye(len(who), dtype=bool)
    scores, same = (unit[0] @ unit[1].T)[off], (who[:, None] == who)[off]
    above = rankdata(scores)[same].sum() - same.sum() * (same.sum() + 1) / 2
    assert row["auc_without"] == pytest.approx(above / (same.sum() * (~same).sum()))


def test_wrong_input_is_told():
    network, stimuli = rf.load_network("pixels"), faces()
    with pytest.raises(InputError, match="unknown normalisation of light 'retinex'"):
        light_gain(network, stimuli, PERSON, methods=["retinex"])
    with pytest.raises(InputError, match=r"strengths from 1 to 5, got .* and \[6\]"):
        light_gain(network, stimuli, PERSON, strengths=[6])
    alone = pd.Series(NAMES, NAMES)
    with pytest.raises(InputError, match="4 people with two images or more"):
        light_gain(network, stimuli, alone, strengths=[1])


def test_few_people_have_wider_intervals_and_larger_p():
    """Means of drawn people: as Student's t has them, not as the normal distribution."""
    rng, n = np.random.default_rng(0), 8
    covered, found = [], []
    for _ in range(1000):
        x = rng.normal(size=n)
        drawn = np.concatenate([[np.ones(n)], rng.multinomial(n, np.full(n, 1 / n), size=999)])
        means = drawn @ x / n
        row, p = Recognition.summary(means, n), Recognition.p(means, 0.0, n)
        covered.append(row["ci_low"] <= 0 <= row["ci_high"])
        found.append(p <= 0.05)
    assert 0.93 < np.mean(covered) < 0.97
    assert 0.03 < np.mean(found) < 0.07
    assert Recognition.p(np.zeros(100), 0.0, n) == 1
