"""Tests that exchange faces, in designs with a factor that moves everything: the view.

Without cells a common effect of view is found for what is asked; inside cells of view it is not,
and what is planted beside it is still found.
"""

import numpy as np
import pandas as pd
import pytest

from rsa_faces import InputError
from rsa_faces.analyses import (
    decode_faces,
    landmark_readout,
    layer_agreement,
    readout,
    trait_generalization,
    trait_readout,
)
from rsa_faces.analyses.face_code.axis_coding import axis_tuning

N_PEOPLE, VIEWS = 14, ("left", "front", "right")
NAMES = [f"p{p:02d} {view}" for p in range(N_PEOPLE) for view in VIEWS]
VIEW = {name: name.split()[1] for name in NAMES}
N = len(NAMES)


def shifts(rng, n_values, size=2.0):
    """Return what the view adds to each face, in a direction of its own."""
    each = rng.normal(size=(len(VIEWS), n_values))
    return size * np.tile(each, (N_PEOPLE, 1))


def agreement(rng, shared, within):
    common = rng.normal(size=(N, 6))
    layers = [
        {
            "fc": rng.normal(size=(N, 12))
            + shifts(rng, 12)
            + shared * common @ rng.normal(size=(6, 12))
        }
        for _ in range(2)
    ]
    found = layer_agreement(
        *layers,
        conditions=NAMES,
        within=within,
        methods=["spearman"],
        n_boot=0,
        n_permutations=99,
        seed=1,
    )
    return found.table["p"].iloc[0]


def face_space(rng):
    columns = ["shape 1", "shape 2", "appearance 1", "appearance 2"]
    return pd.DataFrame(rng.normal(size=(N, 4)) + shifts(rng, 4), NAMES, columns)


def cells_of(rng, space, shared, n=12):
    driven = (space - space.groupby(VIEW).transform("mean")) @ rng.normal(size=(4, n))
    return shared * driven + rng.normal(size=(N, n)) + shifts(rng, n)


def decoding(rng, shared, within):
    space = face_space(rng)
    found = decode_faces(
        space,
        cells_of(rng, space, shared),
        within=within,
        n_units=[12],
        n_draws=1,
        n_distractors=[5],
        n_permutations=99,
        seed=1,
    )
    return found.table["p"].iloc[0]


def tuning(rng, shared, within):
    space = face_space(rng)
    cells = cells_of(rng, space, shared, n=4)
    return axis_tuning(space, cells, within=within, n_permutations=99, seed=1).table["p"].min()


def generalization(rng, shared, within):
    features, ratings = [], []
    weights, of_view, moved = rng.normal(size=5), rng.normal(size=3), rng.normal(size=(3, 5))
    for _ in range(2):
        own = rng.normal(size=(N, 5))
        rated = shared * own @ weights + rng.normal(size=N) + 2 * np.tile(of_view, N_PEOPLE)
        features.append({"net": pd.DataFrame(own + 2 * np.tile(moved, (N_PEOPLE, 1)), NAMES)})
        ratings.append(pd.DataFrame({"warm": rated}, NAMES))
    found = trait_generalization(
        features[0], ratings[0], features[1], ratings[1], within=within, n_permutations=99, seed=1
    )
    return found["p"].iloc[0]


def reading(rng, shared, within):
    """Classes are at home in views: mostly one in each, with exceptions."""
    at_home = np.tile([0, 1, 1], N_PEOPLE)
    label = np.where(rng.random(N) < 0.25, 1 - at_home, at_home)
    features = rng.normal(size=(N, 12)) + shifts(rng, 12)
    features[:, :3] += 2 * shared * label[:, None]
    labels = {name: "ab"[one] for name, one in zip(NAMES, label, strict=True)}
    found = readout(
        {"fc": features},
        labels,
        conditions=NAMES,
        within=within,
        n_permutations=99,
        seed=1,
        progress=False,
    )
    return found.table["p"].iloc[0]


def numbers(rng, shared):
    """Return features, and a number of each face that the view moves."""
    own = rng.normal(size=(N, 5))
    value = shared * own @ rng.normal(size=5) + rng.normal(size=N)
    return own + shifts(rng, 5), pd.DataFrame({"one": value + shifts(rng, 1)[:, 0]}, NAMES)


def measuring(rng, shared, within):
    features, table = numbers(rng, shared)
    found = landmark_readout(
        {"fc": features},
        table,
        conditions=NAMES,
        within=within,
        n_permutations=99,
        seed=1,
        progress=False,
    )
    return found.table["p"].iloc[0]


def rating(rng, shared, within):
    features, table = numbers(rng, shared)
    found = trait_readout(
        {"net": pd.DataFrame(features, NAMES)},
        table,
        within=within,
        n_permutations=99,
        seed=1,
        progress=False,
    )
    return found.table["p"].iloc[0]


ASKED = [agreement, decoding, tuning, generalization, reading, measuring, rating]


@pytest.mark.parametrize("ask", ASKED)
def test_a_common_factor_is_no_effect_inside_its_cells(ask):
    found, held, planted = (
        np.array([ask(np.random.default_rng(seed), shared, within) for seed in range(12)])
        for shared, within in ((0, None), (0, VIEW), (4, VIEW))
    )
    assert (found <= 0.05).sum() >= 6
    # With 12 studies more than 4 have p <= 0.1 in 0.4 % (tuning: the smallest of 4 cells).
    assert (held <= (0.1 if ask is not tuning else 0.025)).sum() <= 4
    assert (planted <= 0.05).sum() >= 10


def test_every_face_has_a_cell():
    rng = np.random.default_rng(0)
    lacking = {name: view for name, view in VIEW.items() if name != NAMES[3]}
    for ask in (agreement, decoding, tuning, generalization):
        with pytest.raises(InputError, match=rf"1 of 42 have none: {NAMES[3]!r}"):
            ask(rng, 0, lacking)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({n: 1 if i % 2 else "1" for i, n in enumerate(NAMES)}, "labels labels of one type"),
        ({n: bool(i % 2) or 0 for i, n in enumerate(NAMES)}, "labels labels of one type"),
        ({n: (VIEW[n], np.nan if i == 4 else 1) for i, n in enumerate(NAMES)}, NAMES[4]),
    ],
)
def test_labels_of_two_types_and_cells_that_lack_a_part_are_no_classes_of_their_own(labels, words):
    x = np.random.default_rng(0).normal(size=(N, 3))
    with pytest.raises(InputError, match=words):
        readout({"fc": x}, labels, conditions=NAMES, n_permutations=9, progress=False)


def test_columns_of_a_table_are_cells_together():
    columns = pd.DataFrame({"view": VIEW, "half": {n: i // 21 for i, n in enumerate(NAMES)}})
    x = np.random.default_rng(0).normal(size=(N, 3))
    labels = {n: i % 2 for i, n in enumerate(NAMES)}
    tuples = pd.Series(list(columns.itertuples(index=False, name=None)), columns.index)
    found = [
        readout({"fc": x}, labels, within=cells, conditions=NAMES, n_permutations=9, progress=False)
        for cells in (columns[::-1], tuples)
    ]
    assert found[0].table["p"].tolist() == found[1].table["p"].tolist()
