"""Traits: read from features, specific or not, in another data set, against scikit-learn."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import legend_of, panels
from sklearn.linear_model import Ridge

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import (
    landmark_readout,
    rating_reliability,
    readout,
    trait_generalization,
    trait_readout,
)
from rsa_faces.figures import plot_specificity, plot_traits
from rsa_faces.runs._entries import NetworkConfig
from rsa_faces.runs._networks import Networks
from rsa_faces.stimuli import StimulusSet, mask_faces

N = 80
FACES = [f"face {i:02d}" for i in range(N)]


def simulated(seed=0, *, n=N, effect=1.0, start=0):
    """Features of two kinds, and ratings: warm from the first, tall from the second, odd alone."""
    rng = np.random.default_rng(seed)
    faces = [f"face {i:02d}" for i in range(start, start + n)]
    one, two = (pd.DataFrame(rng.normal(size=(n, 12)) * s, faces) for s in (1.0, 30.0))
    warm = effect * (one[0] + one[1]) + rng.normal(size=n)
    ratings = pd.DataFrame(
        {
            "warm": warm,
            "kind": warm + 0.5 * rng.normal(size=n),
            "tall": effect * two[0] / 15 + rng.normal(size=n),
            "odd": rng.normal(size=n),
        },
        faces,
    )
    return {"network": one, "landmarks": two}, ratings


def means_without(values, folds):
    """Return for each face the mean of the faces of other folds."""
    return np.array([values[folds != fold].mean() for fold in folds])


def test_planted_traits_are_found_where_they_are():
    features, ratings = simulated()
    found = trait_readout(features, ratings, n_permutations=199)
    at = found.table.set_index(["features", "trait"])
    assert (
        at.loc[[("network", "warm"), ("network", "kind"), ("landmarks", "tall")], "p_corrected"]
        <= 0.01
    ).all()
    assert at.loc[("landmarks", "warm"), "p_corrected"] > 0.05
    assert (at.xs("odd", level=1)["p_corrected"] > 0.05).all()
    cells = found.specificity.set_index(["features", "trained", "tested"])
    assert cells.loc[("network", "warm", "odd"), "difference_low"] > 0
    # Two names of one impression cannot be told apart.
    one = cells.loc[("network", "warm", "kind")]
    assert one["difference_low"] < 0 < one["difference_high"]
    assert one["rating_r"] > 0.8


def test_numbers_are_those_of_the_readout_and_of_correlations():
    features, ratings = simulated(1)
    found = trait_readout(features, ratings, n_permutations=19, seed=3)
    other = landmark_readout(
        {k: v.to_numpy() for k, v in features.items()},
        ratings,
        conditions=FACES,
        standardize=True,
        n_permutations=19,
        seed=3,
    )
    np.testing.assert_array_equal(found.table["r"], other.table["r"])
    parts = dict(list(found.predictions.groupby(["features", "trait"])))
    for row in found.specificity.itertuples():
        part = parts[row.features, row.trained].set_index("condition").loc[FACES]
        folds = part["fold"].to_numpy()
        x = part["predicted"] - means_without(ratings[row.trained].loc[FACES], folds)
        y = ratings[row.tested].loc[FACES] - means_without(ratings[row.tested].loc[FACES], folds)
        assert row.r == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
        among = np.corrcoef(ratings[row.trained], ratings[row.tested])[0, 1]
        assert row.rating_r == pytest.approx(among, abs=1e-9)
        assert row.ci_low <= row.r <= row.ci_high


@pytest.mark.parametrize("silent", ["firing in one face in fifty", "nearly constant"])
def test_800_nearly_silent_channels_do_not_explode_in_people_left_out(silent):
    """Channels that fire in a few faces only: unbounded, r2 is far below 0."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 800)) * 1e-6
    if silent == "firing in one face in fifty":
        x[rng.random(x.shape) < 0.02] = 1.0
    else:
        x[rng.choice(N, 4), rng.choice(800, 4)] = 1.0
    features, ratings = simulated(1, effect=3.0)
    plain = features["network"]
    many = pd.DataFrame(np.hstack([np.repeat(plain, 20, axis=1), x]), FACES)
    smiles = {face: value > 0 for face, value in ratings["warm"].items()}
    options = {"n_permutations": 9, "seed": 0}
    r2 = trait_readout({"a": many}, ratings[["warm"]], **options).table["r2"][0]
    before = trait_readout({"a": plain}, ratings[["warm"]], **options).table["r2"][0]
    assert before > 0.8
    assert r2 > 0.3
    whole = trait_readout({"a": many}, ratings[["warm"]], standardize=False, **options)
    assert whole.table["r2"][0] > 0.6
    layer = {"a": many.to_numpy()}
    options["standardize"] = True
    found = landmark_readout(layer, ratings[["warm"]], conditions=FACES, **options)
    assert found.table["r2"][0] == r2
    hits = readout(layer, smiles, conditions=FACES, **options).table["accuracy"][0]
    assert hits > 0.75


def test_another_order_and_a_sequence_of_names_give_the_same():
    features, ratings = simulated(2)
    mixed = ratings.sample(frac=1, random_state=0)
    one = trait_readout(features, ratings, n_permutations=19).table
    two = trait_readout(features, mixed, n_permutations=19).table
    pd.testing.assert_frame_equal(one, two)


def test_generalization_is_ridge_on_all_of_the_one_and_r_in_the_other():
    features, ratings = simulated(4)
    more, others = simulated(5, n=50, start=100)
    found = trait_generalization(
        features, ratings, more, others * 10 + 3, strengths=[0.1], n_permutations=199
    )
    for row in found.itertuples():
        x, z = features[row.features].to_numpy(), more[row.features].to_numpy()
        mean, sd = x.mean(axis=0), x.std(axis=0)
        x, z = (x - mean) / sd, (z - mean) / sd
        strength = 0.1 * (x**2).sum() / N
        model = Ridge(alpha=strength).fit(x, ratings[row.trait])
        expected = np.corrcoef(model.predict(z), others[row.trait])[0, 1]
        assert row.r == pytest.approx(expected, abs=1e-9)
    at = found.set_index(["features", "trait"])
    assert at.loc[("network", "warm"), "p_corrected"] <= 0.01
    assert at.loc[("landmarks", "warm"), "p"] > 0.05
    assert (found["n_train"] == N).all()
    assert (found["n_test"] == 50).all()


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_reliability_is_that_of_the_model_and_of_cronbach(gaps):
    rng = np.random.default_rng(0)
    n_raters, n_faces = 12, 300
    truth = rng.normal(size=n_faces)
    y = truth + 1.5 * rng.normal(size=(n_raters, n_faces))
    rows = pd.DataFrame(
        [(r, f, y[r, f]) for r in range(n_raters) for f in range(n_faces)],
        columns=["rater", "face", "warm"],
    )
    rows = rows[rng.random(len(rows)) >= gaps]
    found = rating_reliability(rows)["warm"]
    k = n_raters * (1 - gaps)
    assert found == pytest.approx(k / (k + 1.5**2), abs=0.03)
    if not gaps:
        alpha = n_raters / (n_raters - 1) * (1 - y.var(axis=1, ddof=1).sum() / y.sum(0).var(ddof=1))
        assert found == pytest.approx(alpha, abs=0.01)
    noise = rows.assign(warm=rng.normal(size=len(rows)))
    assert rating_reliability(noise)["warm"] < 0.3


def test_the_ceiling_is_the_root_of_the_reliability():
    features, ratings = simulated(6)
    reliability = pd.Series({"warm": 0.81, "kind": 0.64, "tall": 0.0, "odd": 1.0})
    table = trait_readout(features, ratings, reliability=reliability, n_permutations=19).table
    at = table.set_index(["features", "trait"])
    assert at.loc[("network", "warm"), "ceiling"] == pytest.approx(0.9)
    row = at.loc[("network", "kind")]
    assert row["r_of_ceiling"] == pytest.approx(row["r"] / 0.8)
    assert np.isnan(at.loc[("network", "tall"), "r_of_ceiling"])


@pytest.mark.simulation
@pytest.mark.slow
def test_false_positive_rates():
    n, hits, corrected, elsewhere = 150, [], [], []
    for seed in range(n):
        features, ratings = simulated(seed, n=40, effect=0.0)
        table = trait_readout(
            features, ratings[["warm", "odd"]], n_permutations=39, seed=seed, progress=False
        ).table
        hits += list(table["p"] <= 0.05)
        corrected.append(table["p_corrected"].min() <= 0.05)
        more, others = simulated(seed + 1000, n=30, start=100, effect=0.0)
        table = trait_generalization(
            features, ratings[["warm"]], more, others[["warm"]], n_permutations=39, seed=seed
        )
        elsewhere += list(table["p"] <= 0.05)
    # 5 % within the range of 99.9 % of such numbers of studies (rows of a study are alike).
    assert 0.02 <= np.mean(hits) <= 0.085
    assert np.mean(corrected) <= 0.12
    assert 0.015 <= np.mean(elsewhere) <= 0.1


def test_wrong_input_is_told():
    features, ratings = simulated()
    with pytest.raises(InputError, match="mapping from a name to a DataFrame"):
        trait_readout(features["network"], ratings)
    with pytest.raises(ConditionMismatchError):
        trait_readout(features, ratings.iloc[:-1])
    few = trait_readout(features, ratings.iloc[:-1], match="intersection", n_permutations=9)
    assert (few.table["n_left_out"] == 1).all()
    gaps = ratings.copy()
    gaps.iloc[3, 1] = np.nan
    with pytest.raises(InputError, match="finite ratings, but 1 faces have NaN.*'face 03'"):
        trait_readout(features, gaps)
    with pytest.raises(InputError, match="numbers as ratings"):
        trait_readout(features, ratings.assign(warm="very"))
    with pytest.raises(InputError, match="reliability of every trait, none of kind"):
        trait_readout(
            features,
            ratings[["warm", "kind"]],
            reliability=pd.Series({"warm": 0.5}),
            n_permutations=9,
        )
    with pytest.raises(InputError, match="reliabilities from 0 to 1"):
        trait_readout(
            features, ratings[["warm"]], reliability=pd.Series({"warm": 1.5}), n_permutations=9
        )
    more, others = simulated(5, n=50, start=100)
    with pytest.raises(InputError, match="same sets of features"):
        trait_generalization(features, ratings, {"network": more["network"]}, others)
    with pytest.raises(InputError, match="trait that both have"):
        trait_generalization(features, ratings[["warm"]], more, others[["tall"]])
    with pytest.raises(InputError, match="same columns of 'network'"):
        trait_generalization(
            features, ratings, more | {"network": more["network"].iloc[:, 1:]}, others
        )
    with pytest.raises(InputError, match="vary, but 'warm' does not"):
        trait_generalization(features, ratings, more, others.assign(warm=1.0))
    rows = pd.DataFrame({"rater": [1, 2, 3] * 5, "face": list("abcde") * 3, "warm": range(15)})
    with pytest.raises(InputError, match="at least 4 raters for 'warm', got 3"):
        rating_reliability(rows)
    with pytest.raises(InputError, match="unknown column of ratings 'rater'"):
        rating_reliability(rows.rename(columns={"rater": "who"}))
    apart = pd.DataFrame({"rater": range(8), "face": range(8), "warm": range(8)})
    with pytest.raises(InputError, match="at least 3 faces rated by both halves"):
        rating_reliability(apart)


def test_figures():
    features, ratings = simulated()
    found = trait_readout(
        features, ratings, n_permutations=19, reliability=pd.Series(0.8, ratings.columns)
    )
    figure = plot_traits(found)
    ax = panels(figure)[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(ratings.columns)
    assert "ceiling: reliability of the ratings" in legend_of(figure)
    assert sorted(ax.get_ylim()) == [-0.5, len(ratings.columns) - 0.5]  # no point on the edge
    ax = panels(plot_specificity(found, "landmarks"))[0]
    assert len(ax.texts) == 16
    with pytest.raises(InputError, match="unknown features 'pixels'"):
        plot_specificity(found, "pixels")
    plt.close("all")


def test_other_versions_of_a_set_are_compared_with_it():
    features, ratings = simulated()
    rng = np.random.default_rng(1)
    one = features["network"]
    versions = {
        "network": one,
        "worse": one + 3 * rng.normal(size=one.shape),
        "same": 2 * one,
        "other": features["landmarks"],
    }
    against = {"worse": "network", "same": "network"}
    found = trait_readout(versions, ratings[["warm"]], against=against, n_permutations=19)
    at = found.table.set_index("features")
    assert at.loc["worse", "change"] == pytest.approx(at.loc["worse", "r"] - at.loc["network", "r"])
    assert at.loc["worse", "change_low"] < at.loc["worse", "change_high"] < 0
    assert at.loc["worse", "change_p"] < 0.05
    assert at.loc["worse", "against"] == "network"
    assert at.loc["same", "change"] == pytest.approx(0, abs=1e-9)
    assert at.loc[["network", "other"], "change"].isna().all()
    with pytest.raises(InputError, match="'wors'.*did you mean 'worse'|unknown set"):
        trait_readout(versions, ratings, against={"wors": "network"})


def test_masks_hide_all_but_the_face_and_colour():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(2, 40, 50, 3), dtype=np.uint8)
    stimuli = StimulusSet.from_arrays(images, ["a", "b"], {"kind": ["x", "y"]})
    corners = np.array([[10, 5], [40, 5], [40, 30], [10, 30], [25, 20], [45, 38]])
    points = {"b": corners + [2, 3], "a": corners}
    masked = mask_faces(stimuli, points, outline=range(5))
    for name, image, (dx, dy) in zip("ab", images, ((0, 0), (2, 3)), strict=True):
        y, x = np.mgrid[:40, :50]
        inside = (x >= 10 + dx) & (x <= 40 + dx) & (y >= 5 + dy) & (y <= 30 + dy)
        assert (masked.image(name)[inside] == image[inside]).all()
        assert (masked.image(name)[~inside] == 128).all()
    assert masked.metadata.equals(stimuli.metadata)
    grey = mask_faces(stimuli, grey=True).image("a")
    light = np.where(
        images[0] <= 10.31475, images[0] / 255 / 12.92, ((images[0] / 255 + 0.055) / 1.055) ** 2.4
    )
    luminance = light @ [0.2126, 0.7152, 0.0722]
    level = 255 * np.where(
        luminance <= 0.0031308, 12.92 * luminance, 1.055 * luminance ** (1 / 2.4) - 0.055
    )
    assert np.abs(grey - level[..., None]).max() <= 0.5 + 1e-9
    with pytest.raises(InputError, match="every image, but 'b' has none"):
        mask_faces(stimuli, {"a": corners}, outline=range(5))
    with pytest.raises(InputError, match=r"at least 145, but those of 'a' have \(6, 2\)"):
        mask_faces(stimuli, points)
    with pytest.raises(InputError, match="or grey=True"):
        mask_faces(stimuli)


def test_other_versions_are_cut_out_at_the_place_of_the_faces_as_they_are():
    stimuli = rf.datasets.simulated_faces().stimuli
    stimuli = stimuli.subset(stimuli.ids[:2])
    entry = NetworkConfig(name="mini-xception", crop_faces=True)
    networks = Networks([entry], stimuli, "cpu", 0)
    grey = networks.shown("mini-xception", mask_faces(stimuli, grey=True))
    crops = networks.shown("mini-xception")
    assert grey.ids == crops.ids
    for name in crops.ids:
        expected = mask_faces(crops, grey=True).image(name).astype(float)
        # Resampled before and after colour was taken out.
        assert np.abs(grey.image(name) - expected).mean() < 2


def test_units_of_ratings_change_nothing():
    sets, ratings = simulated()[:2]
    for unit in (1e-9, 1e9):
        usual, other = (
            trait_readout(sets, ratings * by, n_permutations=19, against={"landmarks": "network"})
            for by in (1.0, unit)
        )
        pd.testing.assert_frame_equal(usual.specificity, other.specificity)
        pd.testing.assert_frame_equal(usual.table, other.table)


def test_faces_named_by_numbers_are_those_named_by_text():
    sets, ratings = simulated()[:2]
    number = {face: 1000 + 7 * i for i, face in enumerate(ratings.index)}
    person = {face: i // 2 for i, face in enumerate(ratings.index)}
    usual, other = (
        trait_readout(
            {name: x.rename(index=named) for name, x in sets.items()},
            ratings.rename(index=named),
            across={named.get(face, face): who for face, who in person.items()},
            baseline=(ratings[["odd"]] ** 2).rename(index=named),
            n_permutations=19,
        )
        for named in ({}, number)
    )
    pd.testing.assert_frame_equal(usual.specificity, other.specificity)
    with pytest.raises(InputError, match="across as a mapping"):
        trait_readout(sets, ratings, across=list(person.values()), n_permutations=19)
