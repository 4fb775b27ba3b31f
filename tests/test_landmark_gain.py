"""Landmarks added to an embedding: a gain that was planted, none of noise, references."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from rsa_faces import InputError
from rsa_faces.analyses import landmark_gain

N, K = 50, 2
NAMES = [f"p{i} {k}" for i in range(N) for k in range(K)]
PERSON = {name: name.split()[0] for name in NAMES}
WHO = np.repeat(np.arange(N), K)


def study(useful, seed=0):
    """An embedding of half of what people differ in; landmarks of the other half, or of nothing."""
    rng = np.random.default_rng(seed)
    face = rng.normal(size=(N, 8))[WHO]
    seen = face[:, :4] + 1.2 * rng.normal(size=(len(WHO), 4))
    shape = useful * face[:, 4:] + 0.8 * rng.normal(size=(len(WHO), 4))
    age = face[:, 0] + face[:, 4] + 0.3 * rng.normal(size=N)[WHO]
    labels = pd.DataFrame({"age": age, "kind": np.where(face[:, 5] > 0, "one", "other")}, NAMES)
    shape = pd.DataFrame(shape, NAMES, list("abcd"))
    found = landmark_gain({"fc": seen}, shape, PERSON, labels, conditions=NAMES, n_boot=300)
    return seen, shape, found.table.set_index(["what", "features"])


def test_what_was_planted_is_found_and_noise_is_not():
    _, _, table = study(True)
    for what in ("recognition", "read-out of age", "read-out of kind"):
        gain = table.loc[(what, "gain")]
        assert gain["p"] < 0.02
        assert 0.05 < gain["ci_low"] < gain["value"] < gain["ci_high"]
        both, alone = (table.loc[(what, name), "value"] for name in ("both", "embedding"))
        assert gain["value"] == pytest.approx(both - alone)
    _, _, table = study(False)
    for what in ("recognition", "read-out of age", "read-out of kind"):
        gain = table.loc[(what, "gain")]
        assert gain["p"] > 0.05 or gain["value"] < 0
        assert abs(gain["value"]) < 0.05


def test_recognition_alone_is_that_of_ranks_in_each_half():
    seen, _, table = study(True)
    rng = np.random.default_rng(0)
    rng.multinomial(N, np.full(N, 1 / N), size=300)
    order, half = rng.permutation(N), np.empty(N, int)
    half[order] = np.arange(N) % 2
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    areas = []
    for h in (0, 1):
        rows = np.flatnonzero(half[WHO] == h)
        i, j = np.triu_indices(len(rows), 1)
        scores, same = (unit[rows] @ unit[rows].T)[i, j], WHO[rows[i]] == WHO[rows[j]]
        above = rankdata(scores)[same].sum() - same.sum() * (same.sum() + 1) / 2
        areas.append(above / (same.sum() * (~same).sum()))
    assert table.loc[("recognition", "embedding"), "value"] == pytest.approx(np.mean(areas))


def test_wrong_input_is_told():
    x = np.random.default_rng(0).normal(size=(len(NAMES), 3))
    flat = pd.DataFrame({"nose": np.ones(len(NAMES))}, NAMES)
    with pytest.raises(InputError, match="measurements that vary"):
        landmark_gain({"fc": x}, flat, PERSON, conditions=NAMES)
    with pytest.raises(InputError, match=r"conditions have NaN or infinity: 'p0 0'"):
        landmark_gain({"fc": x}, flat.replace(1, np.nan), PERSON, conditions=NAMES)
    alone = {name: name for name in NAMES} | {name: PERSON[name] for name in NAMES[:4]}
    with pytest.raises(InputError, match="4 people with two images or more, got 2"):
        landmark_gain({"fc": x}, flat, alone, conditions=NAMES)


def test_true_and_false_are_two_classes():
    rng = np.random.default_rng(0)
    x, shape = (
        rng.normal(size=(len(NAMES), 4)),
        pd.DataFrame(rng.normal(size=(len(NAMES), 2)), NAMES),
    )
    smiles = WHO % 2 == 0
    labels = pd.DataFrame({1: smiles, "text": np.where(smiles, "yes", "no")}, NAMES)
    table = landmark_gain({"fc": x}, shape, PERSON, labels, conditions=NAMES, n_boot=20).table
    one, other = (table.loc[table["what"] == f"read-out of {c}", "value"] for c in (1, "text"))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="class of 'who' in `labels` of at least 2 people"):
        landmark_gain(
            {"fc": x}, shape, PERSON, pd.DataFrame({"who": pd.Series(PERSON)}), conditions=NAMES
        )
