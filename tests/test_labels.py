"""Groups, blocks and cells of conditions as a Series: by name, wherever a mapping is taken."""

import numpy as np
import pandas as pd
import pytest

import rsa_faces as rf
from rsa_faces.inference import noise_ceiling, permutation_test

NAMES = [f"face {i}" for i in range(16)]
PEOPLE = dict(zip(NAMES, "aabbccddeeffgghh", strict=True))
RUNS = dict(zip(NAMES, [1] * 8 + [2] * 8, strict=True))


def simulated(seed):
    patterns = np.random.default_rng(seed).normal(size=(16, 8))
    return rf.compute_rdms(patterns, conditions=NAMES)


def shuffled(labels):
    return pd.Series(labels).sample(frac=1, random_state=1)


MODEL = simulated(0)
DATA = rf.rdm.concat([simulated(s) for s in range(1, 6)]).with_labels(subject=list("vwxyz"))
DOORS = {
    "compare": lambda **o: rf.compare(MODEL, DATA, blocks=o["blocks"]),
    "evaluate": lambda **o: rf.evaluate(MODEL, DATA, **o).table.to_string(),
    "permutation_test": lambda **o: permutation_test(MODEL, DATA, n_permutations=20, **o).p,
    "within": lambda **o: (
        permutation_test(MODEL, DATA, n_permutations=20, groups=o["groups"], within=o["blocks"]).p
    ),
    "noise_ceiling": lambda **o: noise_ceiling(DATA, blocks=o["blocks"]),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_series_goes_by_its_names(door):
    given = DOORS[door](groups=PEOPLE, blocks=RUNS)
    moved = DOORS[door](groups=shuffled(PEOPLE), blocks=shuffled(RUNS))
    assert str(given) == str(moved)
    other = DOORS[door](groups=PEOPLE, blocks=dict(zip(NAMES, [1, 2] * 8, strict=True)))
    assert door == "within" or str(given) != str(other)


@pytest.mark.parametrize("door", DOORS)
def test_a_series_without_names_or_with_one_twice_is_refused(door):
    for wrong, words in (
        (pd.Series(list(RUNS.values())), "the names of its rows"),
        (pd.concat([pd.Series(RUNS), pd.Series({"face 0": 2})]), "unique condition names"),
        (list(RUNS.values()), "a mapping or a Series"),
    ):
        with pytest.raises(rf.InputError, match=words):
            DOORS[door](groups=PEOPLE, blocks=wrong)
