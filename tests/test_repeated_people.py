"""Tests with several images of a person: what is a person's own is no evidence, image by image."""

import numpy as np
import pandas as pd
import pytest

from rsa_faces.analyses import (
    axis_tuning,
    congruence,
    decode_faces,
    layer_agreement,
    trait_generalization,
)
from rsa_faces.analyses.face_code._axis import fit_sets
from rsa_faces.analyses.information.congruence import _shuffled

N_PEOPLE, N_IMAGES = 12, 3
WHO = np.repeat(np.arange(N_PEOPLE), N_IMAGES)
NAMES = [f"p{p} {i}" for p in range(N_PEOPLE) for i in range(N_IMAGES)]
PERSON = dict(zip(NAMES, WHO.tolist(), strict=True))
AXES = ["shape 1", "shape 2", "appearance 1"]


def own(rng, width):
    """Return values that are a person's own, and some noise."""
    return 4 * rng.normal(size=(N_PEOPLE, width))[WHO] + rng.normal(size=(len(WHO), width))


def tuning(rng, shared, people):
    space = pd.DataFrame(own(rng, 3), NAMES, AXES)
    cell = pd.DataFrame(own(rng, 1) + shared * space[["shape 1"]].to_numpy(), NAMES)
    options = {"across": people, "n_permutations": 19, "n_folds": 3, "seed": 1}
    with pytest.warns(UserWarning, match="36 faces are of 12 people"):
        table = axis_tuning(space, cell, **options).table
    assert table[["p_orthogonal", "preference_low", "preference_high"]].isna().all(axis=None)
    return table["p"][0]


def decoding(rng, shared, people):
    space = pd.DataFrame(own(rng, 3), NAMES, AXES)
    cells = pd.DataFrame(own(rng, 6) + shared * space.to_numpy() @ rng.normal(size=(3, 6)), NAMES)
    options = {"n_units": [6], "n_distractors": [9], "n_permutations": 19, "n_folds": 3}
    return decode_faces(space, cells, across=people, **options).table["p"][0]


def generalization(rng, shared, people):
    weights, sets = rng.normal(size=4), []
    for _ in range(2):
        x = own(rng, 4)
        sets += [{"a": pd.DataFrame(x, NAMES)}]
        sets += [pd.DataFrame({"warm": own(rng, 1)[:, 0] + shared * x @ weights}, NAMES)]
    return trait_generalization(*sets, across=people, n_permutations=19, seed=1)["p"][0]


def agreement(rng, shared, people):
    x = own(rng, 8)
    y = own(rng, 8) + shared * x
    options = {"conditions": NAMES, "people": people, "methods": ["cka"], "n_boot": 0}
    return layer_agreement({"a": x}, {"b": y}, n_permutations=19, **options).table["p"][0]


@pytest.mark.parametrize(
    "ask, n, most",
    [(tuning, 12, 3), (decoding, 12, 3), (generalization, 60, 7), (agreement, 12, 3)],
)
def test_people_stay_together(ask, n, most):
    p = [ask(np.random.default_rng(seed), 0, PERSON) for seed in range(n)]
    # Of 12 (60) studies more have p <= .05 in 0.2 (1.4) %; image by image 3 to 11 (14) do.
    assert np.sum(np.array(p) <= 0.05) <= most
    p = [ask(np.random.default_rng(seed), 4, PERSON) for seed in range(5)]
    assert max(p) <= 0.05


def test_strengths_are_chosen_by_leaving_out_whole_people():
    rng = np.random.default_rng(0)
    who = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7])
    faces, sets, strengths = (
        rng.normal(size=(13, 3)),
        rng.normal(size=(40, 13)),
        10.0 ** np.arange(-2, 3),
    )
    centred = faces - faces.mean(axis=0)
    scale = (centred**2).sum() / len(faces)
    errors = np.zeros((len(strengths), len(sets)))
    for k, strength in enumerate(strengths):
        for left in range(8):
            train = who != left
            x, y = faces[train] - faces[train].mean(axis=0), sets[:, train]
            products = x.T @ x + strength * scale * np.eye(3)
            weights = np.linalg.solve(products, x.T @ (y - y.mean(axis=1, keepdims=True)).T)
            new = (faces[~train] - faces[train].mean(axis=0)) @ weights + y.mean(axis=1)
            errors[k] += ((new.T - sets[:, ~train]) ** 2).sum(axis=1)
    chosen = fit_sets(faces, sets, strengths, "regression", who).chosen
    assert (chosen == errors.argmin(axis=0)).all()
    assert (chosen != fit_sets(faces, sets, strengths, "regression").chosen).any()


def test_labels_of_people_that_are_crossed_stay_crossed():
    """Old and young women and men: else labels that are exchanged share more than these."""
    old, female = np.repeat(np.arange(4), 9), np.repeat(np.tile([0, 0, 1], 4), 3)
    for labels in _shuffled(female, old, WHO, 20, np.random.default_rng(0)):
        assert (labels.reshape(4, 9).sum(axis=1) == 3).all()
        assert (np.ptp(labels.reshape(12, 3), axis=1) == 0).all()
    first, second = (dict(zip(NAMES, labels.tolist(), strict=True)) for labels in (old, female))
    options = {"conditions": NAMES, "n_permutations": 19, "n_splits": 0}
    less = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = 9 * rng.normal(size=(4, 10))[old] + own(rng, 10)
        found = congruence({"a": x}, first, second, across=PERSON, **options)
        less.append(found.table["p_less"][0])
    assert np.sum(np.array(less) <= 0.05) <= 4
