"""The best layer, chosen by others than those who judge it: no optimism where nothing is there."""

import numpy as np
import pandas as pd
import pytest

from rsa_faces.runs._held_out import (
    best_findings,
    best_table,
    held_out_folds,
    held_out_layers,
    highest,
)
from rsa_faces.runs.analyse.questions import QUESTIONS

LAYERS = {"net": ["a", "b", "c"]}


def test_chance_is_not_made_better_by_choosing():
    rng = np.random.default_rng(0)
    means, covered = [], 0
    for _ in range(100):
        values = rng.normal(size=(3, 8, 40))
        row = held_out_layers({"net": values}, LAYERS).iloc[0]
        means.append(row["similarity"])
        covered += row["ci_low"] <= 0 <= row["ci_high"]
        assert values.mean(axis=1).max() > 0.5  # what choosing and judging on the same gives
    assert abs(np.mean(means)) < 3 * np.std(means) / np.sqrt(100)
    assert covered / 100 >= 0.95


def test_what_holds_is_found_with_its_layer_and_at_its_value():
    rng = np.random.default_rng(1)
    values = rng.normal(scale=0.1, size=(3, 10, 30))
    values[1, :, 7] += 0.8
    values[0, 2, 3] = np.nan  # a subject without the layer there
    row = held_out_layers({"net": values}, LAYERS).iloc[0]
    assert (row["chosen_layer"], row["share"], row["n_subjects"]) == ("b", 1.0, 10)
    assert row["similarity"] == pytest.approx(values[1, :, 7].mean(), abs=0.01)
    half = np.std(values[1, :, 7], ddof=1) / np.sqrt(5) * 2.776445  # of five subjects
    assert row["ci_high"] - row["similarity"] == pytest.approx(half, rel=0.1)


def test_no_interval_goes_beyond_what_similarities_can_be():
    values = np.array([0.99, 0.99, 0.99, 0.6])[None, :, None]
    for sign in (1, -1):
        row = held_out_layers({"net": sign * values}, {"net": ["a"]}).iloc[0]
        assert max(abs(row["ci_low"]), abs(row["ci_high"])) == 1


def test_three_subjects_judge_nothing():
    assert held_out_layers({"net": np.ones((3, 3, 5))}, LAYERS).empty
    assert best_findings(pd.DataFrame(), "subjects", "place") == []


def test_networks_are_ordered_and_said():
    rng = np.random.default_rng(2)
    values = {name: rng.normal(level, 0.1, (3, 6, 4)) for name, level in (("low", 0.1), ("x", 0.5))}
    table = held_out_layers(values, {"low": list("abc"), "x": list("abc")})
    assert table["network"].tolist() == ["x", "low"]
    (sentence,) = best_findings(table, "patients", "time")
    assert "judged by patients who did not choose layer and time: x 0." in sentence
    assert best_table(table, "patients", "time").rows.shape == (2, 5)


@pytest.mark.parametrize("kind", ["class", "number"])
def test_readout_is_judged_in_folds_that_did_not_choose_the_layer(kind):
    rng = np.random.default_rng(0)
    n, folds = 120, np.repeat(np.arange(6), 20)
    frames = []
    for layer, right in (("a", 0.5), ("b", 0.9)):
        label = rng.integers(0, 2, n) if kind == "class" else rng.normal(size=n)
        predicted = label.copy()
        wrong = rng.random(n) > right
        if kind == "class":
            predicted[wrong] = 1 - label[wrong]
        else:
            predicted = label + rng.normal(scale=2 * (1 - right) + 0.1, size=n)
        frames.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "condition": range(n),
                    "label": label,
                    "predicted": predicted,
                    "fold": folds,
                }
            )
        )

    predictions, classes = pd.concat(frames), kind == "class"
    found = held_out_folds(predictions, classes=classes)
    own = frames[1]
    expected = (
        (own["label"] == own["predicted"]).mean()
        if kind == "class"
        else np.corrcoef(own["label"], own["predicted"])[0, 1]
    )
    assert found["held_out_layer"] == "b"
    assert found["held_out"] == pytest.approx(expected)
    assert found["held_out_low"] < expected < found["held_out_high"]
    assert held_out_folds(frames[0], classes=classes) == {}


@pytest.mark.parametrize(
    ("right", "low", "high"),
    # Four folds, all right or all wrong: Clopper and Pearson; that differ: not beyond 0 and 1.
    [([1, 1, 1, 1], 0.3976, 1), ([0, 0, 0, 0], 0, 0.6024), ([0, 1, 1, 1], 0, 1)],
)
def test_intervals_of_accuracy_over_folds_are_those_of_a_rate(right, low, high):
    frame = pd.DataFrame({"label": "x", "fold": np.repeat(range(4), 5)})
    hits = np.repeat(np.array(right, bool), 5)
    frame = frame.assign(predicted=np.where(hits, "x", "y"))
    both = pd.concat([frame.assign(layer=layer) for layer in "ab"])
    found = held_out_folds(both, classes=True)
    ends = found["held_out_low"], found["held_out_high"]
    assert ends == pytest.approx((low, high), abs=1e-4)


def test_a_highest_layer_says_from_how_many_it_was_chosen():
    table = pd.DataFrame(
        {"network": list("aabc"), "layer": ["1", "2", "1", "1"], "r": [0.1, 0.3, 0.2, np.nan]}
    )
    rows = highest(table, "r", ["network"], ["layer"])
    assert rows["layer"].tolist() == ["2", "1", "1"]
    assert rows["chosen"].tolist() == ["highest of 2 layers, not corrected for choosing", "", ""]
    # Where held-out values stand beside them, they are the ones to read.
    beside = highest(table.assign(held_out=0.2), "r", ["network"], ["layer"])
    assert "chosen" not in beside
    assert "chosen" not in highest(table, "r", ["network", "layer"], ["layer"])


@pytest.mark.parametrize("name", ["congruence", "agreement", "landmarks", "readout"])
def test_questions_that_pick_a_layer_say_so(name):
    """Printed rows and sentences of a table with three layers of one network."""
    (kind,) = (kind for kind in QUESTIONS if kind.__name__.lower() == name)
    required = {"first": "a", "second": "b", "labels": "a", "landmarks": "points.npz"}
    question = kind(
        analysis=name, **{key: required[key] for key in kind.model_fields if key in required}
    )
    table = pd.DataFrame({column: [0.1, 0.3, 0.2] for column in ("r", "accuracy")})
    table = table.assign(congruence=table["r"], value=table["r"], null_low=0.0, null_high=0.1)
    table = table.assign(network="n", network_a="n", network_b="m", method="cka", measurement="e")
    pairs = {"layer_a": list("abc"), "layer_b": "z"}
    table = table.assign(**(pairs if name == "agreement" else {"layer": list("abc")}))
    shown, (sentence,) = question.shown(table), question.findings(table)
    what = "pairs of layers" if name == "agreement" else "layers"
    assert shown["chosen"].tolist() == [f"highest of 3 {what}, not corrected for choosing"]
    assert shown["chosen"].iloc[0] in sentence
    if name in ("landmarks", "readout"):
        judged = table.assign(
            held_out=0.25, held_out_low=0.2, held_out_high=0.3, held_out_layer="b"
        )
        (sentence,) = question.findings(judged)
        assert "chosen" not in question.shown(judged)
        assert "0.250 in the best layer, chosen by other folds" in sentence
        assert "highest on the same data" in sentence
