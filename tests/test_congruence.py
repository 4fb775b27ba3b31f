"""Congruence of the subspaces of two labels, against loops, laws and planted geometries."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn import panels, said_in
from matplotlib.collections import PolyCollection

from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses.information.congruence import _halves, _shuffled, congruence
from rsa_faces.figures import plot_congruence

PEOPLE, FACES = 16, ("neutral", "happy", "angry")
NAMES = [f"p{i:02d} {face}" for i in range(PEOPLE) for face in FACES]
WHO = {name: name.split()[0] for name in NAMES}
FACE = {name: name.split()[1] for name in NAMES}


def simulated(seed, *, shared=0.0, noise=0.3, face=1.0, n_channels=40):
    """Simulate people in channels 0 to 9, expressions in 20 and 21 turned into them by `shared`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(NAMES), n_channels)) * noise
    x[:, :10] += np.repeat(rng.normal(size=(PEOPLE, 10)), len(FACES), axis=0)
    angle = shared * np.pi / 2
    for k, weights in enumerate(np.eye(2)):
        direction = np.zeros((2, n_channels))
        direction[:, 20:22] = np.cos(angle) * np.eye(2)
        direction[:, :2] = np.sin(angle) * np.eye(2)
        x[k + 1 :: 3] += face * weights @ direction
    return x


def run(x, **options):
    options = {"n_permutations": 99, "n_splits": 4, **options}
    return congruence(
        {"a": x}, WHO, FACE, conditions=NAMES, names=("person", "expression"), **options
    )


def basis_by_loop(x, labels, n_dimensions):
    kinds = list(dict.fromkeys(labels))
    means = np.array([x[[label == k for label in labels]].mean(axis=0) for k in kinds])
    _, values, vectors = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    d = min(n_dimensions, len(kinds) - 1)
    return vectors[:d][values[:d] > 1e-9]


@pytest.mark.parametrize("seed", range(8))
def test_equals_bases_of_the_patterns_themselves(seed):
    rng = np.random.default_rng(seed)
    x = simulated(seed, shared=rng.random(), n_channels=int(rng.integers(24, 200)))
    d = int(rng.integers(1, 13))
    found = run(x, n_dimensions=d)
    u, v = basis_by_loop(x, list(WHO.values()), d), basis_by_loop(x, list(FACE.values()), d)
    cosines = np.linalg.svd(u @ v.T, compute_uv=False)
    assert found.table["congruence"][0] == pytest.approx(np.mean(cosines**2), abs=1e-9)
    np.testing.assert_allclose(np.cos(np.radians(found.angles["degrees"])), cosines, atol=1e-7)
    assert list(found.table[["n_dimensions_first", "n_dimensions_second"]].iloc[0]) == [
        len(u),
        len(v),
    ]


def test_one_dimension_each_is_tuckers_coefficient_squared():
    x = simulated(0, shared=0.5)
    mine = {name: "even" if int(name[1:3]) % 2 else "odd" for name in NAMES}
    smile = {name: FACE[name] == "happy" for name in NAMES}
    found = congruence({"a": x}, mine, smile, conditions=NAMES, n_permutations=9, n_splits=0)
    one, two = (
        x[[labels[n] == kinds[0] for n in NAMES]].mean(axis=0)
        - x[[labels[n] == kinds[1] for n in NAMES]].mean(axis=0)
        for labels, kinds in ((mine, ("even", "odd")), (smile, (True, False)))
    )
    tucker = one @ two / np.sqrt((one @ one) * (two @ two))
    assert found.table["congruence"][0] == pytest.approx(tucker**2, abs=1e-12)
    assert np.isnan(found.table["corrected"][0])


def test_the_null_and_the_halves_equal_a_loop(monkeypatch):
    x, n = simulated(3, shared=0.4), 19
    expected = run(x, n_permutations=n, n_splits=3, n_dimensions=2, seed=5).table
    # The package has the function there.
    module = sys.modules["rsa_faces.analyses.information.congruence"]
    monkeypatch.setattr(module, "_CHUNK", 1)  # one permutation at a time: nothing changes
    for column, value in run(x, n_permutations=n, n_splits=3, n_dimensions=2, seed=5).table.items():
        np.testing.assert_array_equal(value, expected[column])
    rng = np.random.default_rng(5)
    a, b = np.repeat(np.arange(PEOPLE), 3), np.tile(np.arange(3), PEOPLE)
    shuffled = _shuffled(b, a, a, n, rng)
    for labels in shuffled:
        assert all(sorted(labels[a == person]) == [0, 1, 2] for person in range(PEOPLE))
    assert len(np.unique(shuffled, axis=0)) == n

    def overlap(u, v):
        return np.mean(np.linalg.svd(u @ v.T, compute_uv=False)[: min(len(u), len(v))] ** 2)

    u = basis_by_loop(x, a, 2)
    null = [overlap(u, basis_by_loop(x, labels, 2)) for labels in shuffled]
    assert expected["null_mean"][0] == pytest.approx(np.mean(null), abs=1e-10)
    halves = _halves(a, b, a, 3, rng)
    assert all(
        len(np.unique(side[a == person])) == 1 for side in halves for person in range(PEOPLE)
    )
    bases = [
        [basis_by_loop(x[h], list(c[h]), 2) for h in (side, ~side) for c in (a, b)]
        for side in halves
    ]
    first = np.mean([overlap(one, two) for one, _, two, _ in bases])
    second = np.mean([overlap(one, two) for _, one, _, two in bases])
    cross = np.mean([(overlap(a1, b2) + overlap(a2, b1)) / 2 for a1, b1, a2, b2 in bases])
    row = expected.iloc[0]
    assert row["reliability_first"] == pytest.approx(first, abs=1e-10)
    assert row["reliability_second"] == pytest.approx(second, abs=1e-10)
    assert row["corrected"] == pytest.approx(cross / np.sqrt(first * second), abs=1e-10)


def test_planted_geometries_are_told_apart():
    apart, one = run(simulated(1)).table.iloc[0], run(simulated(1, shared=1.0)).table.iloc[0]
    assert apart["congruence"] < 0.2  # noise that the means of both labels share
    assert apart["p_greater"] > 0.05
    assert one["congruence"] > 0.7
    assert one["p_greater"] == 0.01
    assert apart["corrected"] < 0.3 < 0.6 < one["corrected"]
    quiet = run(simulated(1, shared=1.0, noise=0.03)).table.iloc[0]
    assert quiet["reliability_second"] > 0.9 > one["reliability_second"]


@pytest.mark.parametrize("kind", ["of people", "both of people", "both within people"])
def test_labels_are_exchanged_as_units_allow(kind):
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(12), 4)
    own, other = np.repeat(np.arange(12) % 2, 4), np.repeat(np.arange(12) % 3, 4)
    view, face = np.tile([0, 0, 1, 1], 12), np.tile([0, 1, 0, 1], 12)
    codes, others = {
        "of people": (view, own),
        "both of people": (own, other),
        "both within people": (face, view),
    }[kind]
    for labels in _shuffled(codes, others, units, 20, rng):
        of_units = labels.reshape(12, 4)
        assert sorted(labels) == sorted(codes)
        if kind == "both of people":
            assert (of_units == of_units[:, :1]).all()
        elif kind == "of people":
            assert (of_units.sum(axis=1) == 2).all()
        else:  # within a view of a person
            assert (of_units[:, :2].sum(axis=1) == 1).all()
    for first in _halves(codes, others, units, 20, rng):
        assert (first.reshape(12, 4) == first.reshape(12, 4)[:, :1]).all()
        assert first.sum() == 24
        if kind == "both of people":
            assert (np.bincount(own[first]) == 12).all()


def test_the_same_label_twice_is_one_and_the_order_of_conditions_does_not_matter():
    x = simulated(2)
    found = congruence({"a": x}, FACE, FACE, conditions=NAMES, n_permutations=9)
    assert found.table["congruence"][0] == pytest.approx(1, abs=1e-9)
    assert found.angles["degrees"].max() < 1e-3
    order = np.random.default_rng(0).permutation(len(NAMES))
    mixed = congruence(
        {"a": x[order]}, WHO, FACE, conditions=[NAMES[i] for i in order], n_permutations=9
    )
    straight = congruence({"a": x}, WHO, FACE, conditions=NAMES, n_permutations=9)
    assert mixed.table["congruence"][0] == pytest.approx(straight.table["congruence"][0], abs=1e-10)
    again = congruence({"a": x}, WHO, FACE, conditions=NAMES, n_permutations=9)
    assert again.table.equals(straight.table)


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_false_positive_rate_without_an_effect_of_the_second_label(nested):
    few, many = 0, 0
    old = {name: int(name[1:3]) % 2 for name in NAMES}  # of people, who differ by much
    labels, across = ((FACE, old), WHO) if nested else ((WHO, FACE), None)
    n = 400
    for seed in range(n):
        x = simulated(seed, face=0.0)
        row = congruence(
            {"a": x},
            *labels,
            conditions=NAMES,
            n_permutations=39,
            n_splits=0,
            seed=seed,
            across=across,
        ).table.iloc[0]
        few += row["p_less"] <= 0.05
        many += row["p_greater"] <= 0.05
    # 400 studies at 5 %: 2.5 to 8 % with a probability of 0.99.
    assert 0.025 <= few / n <= 0.08
    assert 0.025 <= many / n <= 0.08


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ({n: 1 for n in NAMES}, FACE, "at least 2 classes of 'person'.*got 1 classes of 48"),
        ({n: n for n in NAMES}, FACE, "at least 2 classes of 'person'.*got 48 classes of 48"),
    ],
)
def test_labels_are_checked(first, second, match):
    with pytest.raises(InputError, match=match):
        congruence(
            {"a": simulated(0)}, first, second, conditions=NAMES, names=("person", "expression")
        )


def test_features_are_checked():
    with pytest.raises(InputError, match="channels that vary, but layer 'a'"):
        run(np.ones((len(NAMES), 4)))
    x = simulated(0)
    x[3, 3] = np.nan
    with pytest.raises(InputError, match="finite activations, but layer 'a'"):
        run(x)
    x = np.repeat(np.eye(PEOPLE), 3, axis=0)  # people only: expressions have one mean
    with pytest.raises(InputError, match="classes of 'expression' whose mean patterns differ"):
        run(x)
    with pytest.raises(ConditionMismatchError):
        congruence({"a": simulated(0)}, WHO, {n: FACE[n] for n in NAMES[:-1]}, conditions=NAMES)


def test_figure():
    results = [run(simulated(seed)) for seed in range(2)]
    ax = panels(plot_congruence(results))[0]
    bands = [c for c in ax.collections if isinstance(c, PolyCollection)]
    assert len(bands) == len(results)
    assert "48 images" in ax.get_title(loc="left")
    plt.close(ax.figure)
    with pytest.raises(InputError, match="1 to 8 results, got 0"):
        plot_congruence([])
    other = congruence({"a": simulated(0)}, WHO, FACE, conditions=NAMES, n_permutations=9)
    with pytest.raises(InputError, match="same two labels"):
        plot_congruence([results[0], other])


def crossed(seed, width=24):
    """Simulate 20 people x 4 expressions x 3 views: all directions independent of identity's."""
    rng = np.random.default_rng(seed)
    p, e, v = (index.ravel() for index in np.indices((20, 4, 3)))
    who = np.linalg.qr(rng.normal(size=(width, 10)))[0].T
    views = np.linalg.qr(np.vstack([who, rng.normal(size=(2, width))]).T)[0].T[10:]
    faces = np.linalg.qr(rng.normal(size=(width, 3)))[0].T
    x = (2 * rng.normal(size=(20, 10)) @ who)[p] + (2 * rng.normal(size=(4, 3)) @ faces)[e]
    x += (8 * rng.normal(size=(3, 2)) @ views)[v] + 0.25 * rng.normal(size=(240, width))
    names = [f"{i}" for i in range(240)]
    return x, names, *(dict(zip(names, label.tolist(), strict=True)) for label in (p, e, v))


def test_a_third_factor_with_directions_of_its_own_makes_no_false_positives_within_its_cells():
    wrong, blind = np.zeros(2), 0
    n = 60
    for seed in range(n):
        x, names, who, face, view = crossed(seed)
        options = {"conditions": names, "n_permutations": 39, "n_splits": 0, "seed": seed}
        row = congruence({"a": x}, who, face, within=view, **options).table.iloc[0]
        wrong += row[["p_less", "p_greater"]].to_numpy(float) <= 0.05
        if seed < 10:
            blind += congruence({"a": x}, who, face, **options).table["p_greater"][0] <= 0.05
    # 60 studies at 5 %: at most 8 with a probability of 0.99.
    assert (wrong <= 8).all()
    assert blind >= 7  # without cells the views make the null too low
    x, names, who, face, view = crossed(0, width=60)
    x[:, :3] += 9 * np.eye(4)[[face[n] for n in names]][:, 1:]  # along channels of people
    x[:, :3] += 9 * np.random.default_rng(0).normal(size=(20, 3))[[who[n] for n in names]]
    row = congruence({"a": x}, who, face, within=view, **options).table.iloc[0]
    assert row["p_greater"] <= 0.05


def test_halves_never_split_a_person_who_is_among_the_cells():
    x, names, who, face, view = crossed(0, width=60)
    options = {"conditions": names, "n_permutations": 9, "n_splits": 4, "n_dimensions": 2}
    one = congruence({"a": x}, face, view, within=who, **options).table
    two = congruence({"a": x}, face, view, within=who, across=who, **options).table
    assert one.equals(two)
    assert (one["reliability_first"] > 0.6).all()


def test_other_factors_are_averaged_out_where_cells_are_unequal():
    x, names, who, face, view = crossed(0, width=60)
    # Some people are seen in some views only: their own means have these views in them.
    kept = np.flatnonzero([(who[n] * 7 + view[n]) % 5 > 1 for n in names])
    options = {"n_permutations": 9, "n_splits": 0, "within": view, "match": "intersection"}
    before = congruence({"a": x}, who, face, conditions=names, **options).table["congruence"][0]
    few = congruence({"a": x[kept]}, who, face, conditions=[names[i] for i in kept], **options)
    assert few.table["congruence"][0] == pytest.approx(before, abs=0.01)


@pytest.mark.parametrize("directions", ["means", "readout"])
def test_no_room_is_undefined_and_said(directions):
    x = simulated(0, n_channels=40)
    layers = {"narrow": x[:, 15:22], "wide": x}
    found = congruence(
        layers,
        WHO,
        FACE,
        conditions=NAMES,
        n_permutations=9,
        n_dimensions=6,
        n_splits=2,
        directions=directions,
    )
    table = found.table.set_index("layer")
    assert table["room"].to_dict() == {"narrow": 7, "wide": 40}
    numbers = ["congruence", "null_mean", "p_less", "corrected", "tucker", "tucker_p_greater"]
    assert table.loc["narrow", numbers].isna().all()
    given = numbers[: 3 if directions == "means" else 2]  # of a read-out there is no p
    assert table.loc["wide", given].notna().all()
    assert any("undefined in 1 layers" in note and "narrow (7)" in note for note in found.notes)


def test_tucker_is_the_mean_cosine_of_means_or_of_ridge_weights():
    from sklearn.linear_model import Ridge

    x = simulated(4, shared=0.5)
    for directions in ("means", "readout"):
        bases = []
        for labels in (WHO, FACE):
            values = np.array([labels[n] for n in NAMES])
            onehot = (values[:, None] == np.unique(values)).astype(float)
            if directions == "means":
                found = (onehot / onehot.sum(axis=0)).T @ x
            else:
                strength = 0.1 * ((x - x.mean(axis=0)) ** 2).sum() / len(x)
                found = Ridge(alpha=strength).fit(x, onehot).coef_
            bases.append(np.linalg.svd(found - found.mean(axis=0), full_matrices=False)[2][:2])
        row = run(x, n_dimensions=2, directions=directions, n_splits=0).table.iloc[0]
        assert row["tucker"] == pytest.approx(np.abs(bases[0] @ bases[1].T).mean(), abs=1e-9)
        assert row["tucker_excess"] == pytest.approx(row["tucker"] - row["tucker_null_mean"])


@pytest.mark.parametrize("directions", ["means", "readout"])
def test_units_of_activations_change_nothing(directions):
    x = simulated(0)
    usual = run(x, directions=directions).table.select_dtypes("number")
    for unit in (1e8, 1e-8, 1e-20):
        other = run(unit * x, directions=directions).table.select_dtypes("number")
        np.testing.assert_allclose(other, usual, rtol=1e-6)


def test_one_unit_is_refused():
    with pytest.raises(InputError, match="at least 2 units in `across`, got 1"):
        run(simulated(0), across=dict.fromkeys(NAMES, "all"))


def test_missing_images_bring_no_directions_together():
    # By means of the images that there are congruence was .44 for .38, and its null .68 for .39:
    # less alike than by chance where nothing is.
    whole, some = [], []
    for seed in range(20):
        x, names, who, face, view = crossed(seed)
        kept = np.random.default_rng(seed).random(len(names)) > 0.2
        for rows, found in ((np.ones(len(names), bool), whole), (kept, some)):
            left = [name for name, there in zip(names, rows, strict=True) if there]
            who_, face_, view_ = ({n: own[n] for n in left} for own in (who, face, view))
            options = {"within": view_, "n_splits": 0, "n_permutations": 19, "progress": False}
            one = congruence({"a": x[rows]}, who_, face_, conditions=left, **options)
            found.append(one.table[["congruence", "null_mean"]].iloc[0])
    whole, some = np.mean(whole, axis=0), np.mean(some, axis=0)
    np.testing.assert_allclose(some, whole, atol=0.03)


def test_no_p_is_given_for_directions_of_a_read_out():
    # Of 30 studies of independent directions 43 % had p_less at most .05.
    x, names, who, face, view = crossed(0)
    options = {"within": view, "n_splits": 0, "n_permutations": 19, "progress": False}
    found = congruence({"a": x}, who, face, conditions=names, directions="readout", **options)
    row = found.table.iloc[0]
    assert row[["p_less", "p_greater", "tucker_p_less", "tucker_p_greater"]].isna().all()
    assert row[["congruence", "null_mean", "tucker"]].notna().all()
    assert "p of read-out directions of first and second is not given" in found.notes[0]
    assert repr(found).endswith("1 layer)")
    figure = plot_congruence(found)
    assert "not tested" in said_in(figure)
    assert "filled" not in said_in(figure)
    plt.close(figure)


def test_missing_images_of_two_labels_that_vary_within_people():
    # By means of the images that there are the null was .24 for .11.
    nulls = []
    for seed in range(10):
        x, names, who, face, view = crossed(seed)
        kept = np.random.default_rng(seed).random(len(names)) > 0.2
        for rows in (np.ones(len(names), bool), kept):
            left = [name for name, there in zip(names, rows, strict=True) if there]
            first, second, across = ({n: own[n] for n in left} for own in (face, view, who))
            options = {"n_splits": 0, "n_permutations": 19, "progress": False}
            one = congruence(
                {"a": x[rows]}, first, second, conditions=left, across=across, **options
            )
            nulls.append(one.table["null_mean"][0])
    whole, some = np.mean(nulls[::2]), np.mean(nulls[1::2])
    assert some == pytest.approx(whole, abs=0.02)
