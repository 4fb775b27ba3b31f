"""Labels move only where the design lets them."""

import numpy as np
import pytest

from rsa_faces import InputError
from rsa_faces._core.exchange import exchanged

PERSON, FACE, VIEW = (index.ravel() for index in np.indices((6, 3, 2)))


def test_labels_inside_units_stay_inside_cells():
    drawn = exchanged(FACE, PERSON, 300, np.random.default_rng(0), VIEW)
    for labels in drawn:
        for person in range(6):
            for view in range(2):
                assert sorted(labels[(person == PERSON) & (view == VIEW)]) == [0, 1, 2]
    # Every order of a cell is as likely.
    first = drawn[:, (PERSON == 0) & (VIEW == 0)]
    counts = np.unique(first, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert counts.min() > 25


def test_labels_of_units_move_between_units_with_the_same_cells():
    old = np.array([0, 0, 0, 1, 1, 1])
    kept = ~((PERSON % 2 == 0) & (VIEW == 1))  # three people are seen in one view only
    drawn = exchanged(old[PERSON][kept], PERSON[kept], 200, np.random.default_rng(0), VIEW[kept])
    people = np.array([row[np.unique(PERSON[kept], return_index=True)[1]] for row in drawn])
    assert (people[:, PERSON[kept]] == drawn).all()
    assert (people[:, ::2].sum(axis=1) == 1).all()
    assert (people[:, 1::2].sum(axis=1) == 2).all()
    assert len(np.unique(people, axis=0)) == 9


def test_labels_that_cannot_move_are_an_error():
    with pytest.raises(InputError, match="can be exchanged"):
        exchanged(FACE, PERSON, 9, np.random.default_rng(0), FACE)
