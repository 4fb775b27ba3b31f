"""Individuation: what is told within categories, and what by categories alone."""

import numpy as np
import pandas as pd
import pytest
from drawn import broken_rules, panels

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import individuation
from rsa_faces.figures import network_colors, plot_effects

N = 32
NAMES = [f"face {i}" for i in range(N)]
GENDER = np.arange(N) % 2
AGE = np.arange(N) // 16
CATEGORIES = pd.DataFrame({"gender": GENDER, "age": AGE}, NAMES)
QUICK = {"n_boot": 50, "n_permutations": 99}


def raters(rng, of_faces, shared):
    """Raters who see categories, and single faces as far as they are shared."""
    apart = 4 * np.stack([GENDER, AGE], axis=1)
    x = [np.hstack([apart, shared * of_faces + rng.normal(size=(N, 4))]) for _ in range(5)]
    rdms = [rf.compute_rdms({"r": one}, conditions=NAMES, measure="euclidean") for one in x]
    return rf.concat(rdms).with_labels(subject=range(5), region="raters")


def layers(of_faces):
    apart = 4 * np.stack([GENDER, AGE], axis=1)
    other = np.random.default_rng(9).normal(size=(N, 2))
    both = {"categories": apart + 0.01 * other, "faces": of_faces}
    return rf.compute_rdms(both, conditions=NAMES, measure="euclidean")


@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_only_faces_that_raters_tell_apart_are_left_within_categories(shared):
    rng = np.random.default_rng(1)
    of_faces = rng.normal(size=(N, 4))
    data = raters(rng, of_faces, shared)
    found = individuation(layers(of_faces), data, CATEGORIES, **QUICK)
    rows = found.table.set_index(["network", "pairs"])
    assert rows["p"]["categories", "all"] == 0.01
    assert rows["similarity"]["categories", "all"] > 0.4
    within = rows.xs("within categories", level="pairs")
    assert abs(within["similarity"]["categories"]) < 0.15
    assert (within["p"]["faces"] == 0.01) == (shared > 0)
    assert (within["ceiling_low"] > 0.3).all() == (shared > 0)
    # As compare() does in blocks.
    block = CATEGORIES.astype(str).agg("".join, axis=1).to_dict()
    similarity = rf.compare(layers(of_faces), data, blocks=block, method="rho-a").mean(axis=1)
    np.testing.assert_allclose(within["similarity"], similarity, atol=1e-9)


def test_categories_without_faces_enough_are_left_out_and_that_is_said():
    rng = np.random.default_rng(2)
    of_faces = rng.normal(size=(N, 4))
    few = CATEGORIES.assign(view=[0] * 28 + [1] * 4)
    data, model = raters(rng, of_faces, 2.0), layers(of_faces)
    found = individuation(model, data, few, **QUICK)
    assert (found.table["n_conditions"] == 28).all()
    assert (found.table["n_categories"] == 4).all()
    assert found.notes[0].startswith("4 of 32 faces are left out: their categories (2 of 6)")
    (axes,) = panels(plot_effects(found))
    assert axes.get_title(loc="left") == "raters"
    with pytest.raises(InputError, match="at least 2 categories of 20 faces or more, got 0 of 4"):
        individuation(model, data, CATEGORIES, min_faces=20, **QUICK)
    with pytest.raises(InputError, match="category"):
        individuation(model, data, CATEGORIES[1:], **QUICK)


def test_networks_keep_their_colours_and_panels_their_height_beside_a_long_legend():
    made = [np.random.default_rng(i).normal(size=(N, 4)) for i in range(6)]
    data = raters(np.random.default_rng(9), made[5], 2.0).sel(subject=0)
    names = ["sface", "dlib-face", "mini-xception", "face-api-expression", "efficientnet-lite0"]
    options = {**QUICK, "generalise_to": "conditions"}
    models = [
        layers(x).sel(name="faces").with_labels(name=n)
        for n, x in zip(names, made[:5], strict=True)
    ]
    drawn = [individuation(model, data, CATEGORIES, **options) for model in models]
    figure = plot_effects(drawn)
    assert broken_rules(figure) == []
    (axes,) = panels(figure)
    assert axes.get_window_extent().height / figure.dpi > 0.75
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == [*names, "all", "within categories"]
    colors = [line.get_color() for line in legend.get_lines()]
    assert colors[:5] == list(network_colors(names).values())
    assert [line.get_linestyle() for line in legend.get_lines()[5:]] == ["-", "--"]
    assert legend.get_title().get_text().startswith("1 subject, 32 images;")


def test_faces_are_matched_by_name_and_each_needs_its_categories_and_person():
    rng = np.random.default_rng(3)
    of_faces = rng.normal(size=(N, 4))
    data, model = raters(rng, of_faces, 2.0), layers(of_faces)
    plain = individuation(model, data, CATEGORIES, **QUICK).table["similarity"]
    shuffled = individuation(model, data.subset(NAMES[::-1]), CATEGORIES[::-1], **QUICK).table
    np.testing.assert_allclose(shuffled["similarity"], plain, rtol=1e-12)
    for one, other in ((model.subset(NAMES[:28]), data), (model, data.subset(NAMES[:28]))):
        with pytest.raises(ConditionMismatchError, match="28"):
            individuation(one, other, CATEGORIES, **QUICK)
        found = individuation(one, other, CATEGORIES, match="intersection", **QUICK)
        assert "using the 28 conditions in both" in found.notes[0]
        assert (found.table["n_conditions"] == 28).all()
    lacking = CATEGORIES.astype(float)
    lacking.loc["face 5", "age"] = np.nan
    with pytest.raises(InputError, match="a category for every condition, but 1 have none"):
        individuation(model, data, lacking, **QUICK)
    with pytest.raises(InputError, match="a person for every condition, but 31 have none"):
        individuation(model, data, CATEGORIES, people={"face 0": "a"}, **QUICK)
    with pytest.raises(InputError, match="no blocks among the options"):
        individuation(model, data, CATEGORIES, blocks={}, **QUICK)


def test_people_may_be_named_by_numbers():
    rng = np.random.default_rng(1)
    of_faces = rng.normal(size=(N, 4))
    number = {name: str(100 + i) for i, name in enumerate(NAMES)}
    model, data = layers(of_faces).rename(number), raters(rng, of_faces, 2.0).rename(number)
    categories = CATEGORIES.set_axis([100 + i for i in range(N)])
    people = pd.Series(np.arange(N) // 2, [100 + i for i in range(N)])
    found = individuation(model, data, categories, people=people, min_faces=4, **QUICK)
    assert len(found.table) == 4
