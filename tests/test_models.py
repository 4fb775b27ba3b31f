"""Model RDMs from labels."""

import itertools

import numpy as np
import pandas as pd
import pytest

from rsa_faces.rdm import model_rdm_from_labels


def model(values, **options):
    names = [f"c{i}" for i in range(len(values))]
    return model_rdm_from_labels(values, conditions=names, **options)


def test_category():
    labels = ["face", "house", "face", "body"]
    expected = [float(a != b) for a, b in itertools.combinations(labels, 2)]
    rdms = model(labels, name="kind")
    assert rdms.vectors.tolist() == [expected]
    assert rdms.conditions == ("c0", "c1", "c2", "c3")
    assert rdms.measure == "model"
    assert rdms.labels["name"].tolist() == ["kind"]
    assert model(labels).labels.shape == (1, 0)


@pytest.mark.parametrize("values", [[True, False, True], [1, 2, 1], np.array([1.5, 2, 1.5])])
def test_category_of_other_types(values):
    assert model(values).vectors.tolist() == [[1, 0, 1]]
    assert model(pd.Series(values, index=[5, 6, 7])).vectors.tolist() == [[1, 0, 1]]


def test_ordinal():
    values = np.random.default_rng(0).normal(size=6)
    expected = [abs(a - b) for a, b in itertools.combinations(values, 2)]
    np.testing.assert_array_equal(model(values, kind="ordinal").vectors[0], expected)
    assert model(["1", "3", "2"], kind="ordinal").vectors.tolist() == [[2, 1, 1]]


@pytest.mark.parametrize("period", [360.0, 180.0, 12.0])
def test_circular(period):
    """The shorter way round, from the angle between two points on the circle."""
    values = np.random.default_rng(1).uniform(-1000, 1000, size=8)
    turns = np.exp(2j * np.pi * values / period)
    expected = [
        abs(np.angle(a / b)) * period / (2 * np.pi) for a, b in itertools.combinations(turns, 2)
    ]
    vector = model(values, kind="circular", period=period).vectors[0]
    np.testing.assert_allclose(vector, expected, atol=1e-9)
    assert vector.max() <= period / 2


@pytest.mark.parametrize("kind", ["category", "ordinal", "circular"])
def test_order_of_conditions_moves_with_the_labels(kind):
    values, order = np.array([0, 90, 350, 90, 10]), [3, 0, 4, 1, 2]
    rdms = model(values, kind=kind)
    names = [rdms.conditions[i] for i in order]
    moved = model_rdm_from_labels(values[order], conditions=names, kind=kind)
    np.testing.assert_array_equal(rdms.align(names).vectors, moved.vectors)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (["a", "b"], {}, "one value for each of 3 conditions, got 2"),
        (["a", None, "b"], {}, "'y' has none"),
        ([1.0, 2.0, np.nan], {"kind": "ordinal"}, "'z' has none"),
        (["a", "b", "c"], {"kind": "ordinal"}, "numbers for a model of kind 'ordinal'.*'a'"),
        ([np.inf, 2, np.inf], {"kind": "ordinal"}, "finite numbers, but 'x' has inf"),
        ([1, 2, 3], {"kind": "circular", "period": 0}, "period above 0, got 0"),
        ([1, 2, 3], {"kind": "circle"}, "'circle'.*'circular'"),
    ],
)
def test_doors(values, options, message):
    with pytest.raises(ValueError, match=message):
        model_rdm_from_labels(values, conditions=["x", "y", "z"], **options)


def test_conditions_must_be_unique_and_a_sequence():
    with pytest.raises(ValueError, match="unique condition names.*'x'"):
        model_rdm_from_labels([1, 2], conditions=["x", "x"])
    with pytest.raises(TypeError, match="'xy'"):
        model_rdm_from_labels([1, 2], conditions="xy")
