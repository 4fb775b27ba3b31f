"""Erasure of groups: planted directions go, and recognition stays; nothing where nothing is."""

import numpy as np
import pytest
from drawn import panels

from rsa_faces import InputError
from rsa_faces.analyses import SELF_REPORT, erase_groups
from rsa_faces.analyses.people.group_erasure import _erased
from rsa_faces.figures import plot_effects

N_PEOPLE, WIDTH = 100, 8
NAMES = [f"p{i} {j}" for i in range(N_PEOPLE) for j in "ab"]
PERSON = {name: name.split()[0] for name in NAMES}
WHO = np.repeat(np.arange(N_PEOPLE), 2)
GROUP = {name: f"group {i % 2}" for name, i in zip(NAMES, WHO, strict=True)}
QUICK = {"conditions": NAMES, "n_boot": 50, "n_permutations": 19}


def faces(seed, apart):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N_PEOPLE, WIDTH))[WHO] + 0.3 * rng.normal(size=(2 * N_PEOPLE, WIDTH))
    return x + apart * (WHO % 2)[:, None] * np.eye(WIDTH)[0]


class Layers(dict):
    conditions = tuple(NAMES)

    def __init__(self, patterns, network):
        super().__init__({f"{name} fc": x for name, x in patterns.items()})
        self.network = network


def values(found):
    return found.table.set_index(["what", "embedding"])


def test_a_planted_direction_is_erased_and_people_are_told_as_before():
    found = erase_groups({"fc": faces(0, 4.0)}, GROUP, PERSON, **QUICK)
    rows = values(found)
    assert rows["value"]["group", "whole"] > 0.9
    assert rows["value"]["group", "erased"] < 0.65
    assert rows["value"]["people", "erased"] > 0.95
    assert abs(rows["value"]["people", "cost"]) < 0.03
    cost = rows["value"]["people", "erased"] - rows["value"]["people", "whole"]
    assert rows["value"]["people", "cost"] == pytest.approx(cost)
    assert found.notes[-1] == SELF_REPORT
    assert found.embeddings["fc"].shape == (2 * N_PEOPLE, WIDTH)
    group, people = panels(plot_effects(found))
    marks = [line.get_xdata()[0] for line in group.lines if line.get_marker() == "|"]
    assert marks == pytest.approx(found.table["chance"][:2])
    assert sorted(line.get_ydata()[0] for line in people.lines if line.get_marker() == "|") == [
        0,
        1,
        2,
    ]


def test_where_people_differ_only_by_group_recognition_is_lost():
    rng = np.random.default_rng(1)
    x = np.where(WHO % 2, 3, -3)[:, None] * np.eye(WIDTH)[0] + rng.normal(size=(200, WIDTH))
    rows = values(erase_groups({"fc": x}, GROUP, PERSON, **QUICK))
    assert rows["value"]["people", "whole"] > 0.65
    assert abs(rows["value"]["people", "erased"] - 0.5) < 0.1
    assert rows["ci_high"]["people", "cost"] < -0.05
    assert rows["p"]["people", "cost"] < 0.05


def test_of_groups_that_mean_nothing_nothing_is_found():
    rows = values(erase_groups({"fc": faces(2, 0.0)}, GROUP, PERSON, **QUICK))
    assert (rows.loc["group", "p"] > 0.1).all()
    assert abs(rows["value"]["people", "cost"]) < 0.03


def test_means_of_groups_are_equal_where_they_were_learnt_and_little_else_changes():
    x = faces(3, 2.0)
    code = np.arange(200) % 3
    x[code == 2, 1] += 5
    first, second = _erased(x, code)
    erased = x - (x - x.mean(axis=0)) @ first @ second
    for k in range(3):
        np.testing.assert_allclose(erased[code == k].mean(axis=0), x.mean(axis=0), atol=1e-9)
    assert np.linalg.matrix_rank(x - erased, tol=1e-9) == 2
    # Twice is as once.
    np.testing.assert_allclose((erased - x.mean(axis=0)) @ first @ second, 0, atol=1e-9)


def test_what_cannot_be_erased():
    with pytest.raises(InputError, match="at least 2 groups"):
        erase_groups({"fc": faces(0, 0)}, dict.fromkeys(NAMES, "one"), PERSON, **QUICK)
    with pytest.raises(InputError, match="4 people with two images or more, got 0"):
        erase_groups({"fc": faces(0, 0)}, GROUP, dict(zip(NAMES, NAMES, strict=True)), **QUICK)


def test_layers_of_other_names_take_no_room_in_each_other():
    two = [Layers({name: faces(0, 4.0)}, name) for name in ("one", "other")]
    found = [erase_groups(one, GROUP, PERSON, n_boot=50, n_permutations=19) for one in two]
    axes = panels(plot_effects(found))[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["one fc", "other fc"]
    # whole, erased and cost of each; one row between the two.
    assert axes.get_yticks().tolist() == [1, 5]


def test_people_of_two_groups_and_groups_of_few_are_refused():
    x = {"fc": faces(0, 1.0)}
    with pytest.raises(InputError, match="one value of groups per person, but 'p0' has 'other'"):
        erase_groups(x, {**GROUP, "p0 a": "other"}, PERSON, **QUICK)
    few = {name: "few" if PERSON[name] in ("p0", "p1", "p2") else g for name, g in GROUP.items()}
    with pytest.raises(InputError, match="4 people of every group in `groups`.*'few' has 3"):
        erase_groups(x, few, PERSON, **QUICK)
