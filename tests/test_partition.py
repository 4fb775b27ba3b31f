"""Variance partitioning against explicit regressions, its calibration, and its figure.

All data are simulated, but for the 92 images.
"""

import dataclasses
import itertools
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from drawn import panels
from matplotlib.patches import Ellipse
from matplotlib.text import Text
from scipy import stats
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression

import rsa_faces as rf
from rsa_faces._core.errors import ConditionMismatchError
from rsa_faces.figures import partition as drawing
from rsa_faces.figures.partition import plot_partition
from rsa_faces.inference import partition as inner
from rsa_faces.inference.bootstrap import draw_counts
from rsa_faces.inference.partition import Partition, variance_partition

mpl.use("Agg")
import matplotlib.pyplot as plt

NAMES = ("identity", "expression", "pose")
PARTS_OF_TWO = ["identity only", "expression only", "identity & expression"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def squared(features):
    """Return squared distances of rows, which share what their conditions have of their own."""
    row, col = np.triu_indices(len(features), k=1)
    return ((features[row] - features[col]) ** 2).sum(axis=1)


def simulated(n_predictors=3, n_subjects=3, n_conditions=14, n_rdms=1, seed=0, weights=None):
    """Return data and predictors that overlap; rows and columns in different orders."""
    rng = np.random.default_rng(seed)
    conditions = [f"c{i:02d}" for i in range(n_conditions)]
    common = rng.normal(size=(n_conditions, 3))
    own = rng.normal(size=(n_predictors, n_conditions, 3))
    weights = np.ones(n_predictors) if weights is None else weights
    signal = sum(w * squared(f) for w, f in zip(weights, own, strict=True)) + squared(common)
    noise = rng.normal(size=(n_subjects, len(signal))) * 3
    subjects = {"subject": [f"simulated {i}" for i in range(n_subjects)]}
    data = rf.RDMs(
        signal + noise + squared(rng.normal(size=(n_conditions, 3))), conditions, "m", subjects
    )
    predictors = {}
    for name, f in zip(NAMES, own, strict=False):
        vectors = squared(np.hstack([f, 0.7 * common])) + rng.normal(size=(n_rdms, len(signal)))
        order = rng.permutation(conditions)
        predictors[name] = rf.RDMs(vectors, conditions, "m").align(list(order))
    return data, predictors


def quiet(*args, **kwargs):
    """Partition without a bootstrap worth the time, and without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return variance_partition(*args, **{"n_boot": 2, "n_permutations": 0, **kwargs})


def with_values(rdms, change):
    """Return RDMs whose vectors were changed in place."""
    vectors = rdms.vectors.copy()
    change(vectors)
    return rf.RDMs(vectors, rdms.conditions, rdms.measure, rdms.labels)


# An independent reference: loops, explicit resampling, scikit-learn


def z(v):
    return (v - v.mean()) / v.std()


def reference_models(data, predictors, order, transform=None, subjects=None):
    """Return adjusted R² of all models for conditions `order`, which may repeat."""
    names = list(predictors)
    square = [list(data.matrices())]
    square += [list(predictors[n].align(data.conditions).matrices()) for n in names]
    if subjects is not None:
        square[0] = [square[0][s] for s in subjects]
    rows = []
    for a, b in itertools.combinations(range(len(order)), 2):
        i, j = order[a], order[b]
        if i != j:
            rows.append([[m[i, j] for m in side] for side in square])
    sides = [np.array([r[k] for r in rows]) for k in range(len(square))]
    # All RDMs, not only those drawn, decide which pairs are measured.
    everything = list(data.matrices()) + [m for side in square[1:] for m in side]
    pairs = [(i, j) for i, j in itertools.combinations(order, 2) if i != j]
    kept = np.array([all(np.isfinite(m[i, j]) for m in everything) for i, j in pairs])
    columns = []
    for side in sides:
        vectors = [v[kept] for v in side.T]
        if transform == "rank":
            vectors = [rankdata(v) for v in vectors]
        columns.append(np.mean([z(v) for v in vectors], axis=0))
    y, x = columns[0], np.array(columns[1:]).T
    n, r2, adjusted = len(y), {}, {}
    for size in range(1, len(names) + 1):
        for model in itertools.combinations(range(len(names)), size):
            r2[model] = LinearRegression().fit(x[:, model], y).score(x[:, model], y)
            adjusted[model] = 1 - (1 - r2[model]) * (n - 1) / (n - size - 1)
    return r2, adjusted


def reference_parts(r):
    """Return the parts, each formula written out."""
    if len(r) == 3:
        a, b, ab = r[(0,)], r[(1,)], r[(0, 1)]
        return [ab - b, ab - a, a + b - ab]
    a, b, c, ab, ac, bc, abc = (r[k] for k in [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
    return [
        abc - bc,
        abc - ac,
        abc - ab,
        ac + bc - c - abc,
        ab + bc - b - abc,
        ab + ac - a - abc,
        a + b + c - ab - ac - bc + abc,
    ]


@pytest.mark.parametrize("transform", [None, "rank"])
@pytest.mark.parametrize("n_rdms", [1, 2])
@pytest.mark.parametrize("n_predictors", [2, 3])
def test_parts_are_those_of_explicit_regressions(n_predictors, n_rdms, transform):
    for seed in range(3):
        data, predictors = simulated(n_predictors, n_rdms=n_rdms, seed=seed)
        # Ties, and a pair that one RDM lacks.
        predictors["identity"] = with_values(predictors["identity"], lambda v: v.round(out=v))
        predictors["expression"] = with_values(
            predictors["expression"], lambda v: v.__setitem__((0, 5), np.nan)
        )
        r2, adjusted = reference_models(data, predictors, range(14), transform)
        found = quiet(data, predictors, transform=transform)
        np.testing.assert_allclose(found.models["r2"], list(r2.values()), atol=1e-12)
        np.testing.assert_allclose(found.models["r2_adjusted"], list(adjusted.values()), atol=1e-12)
        np.testing.assert_allclose(
            found.table["r2_adjusted"], reference_parts(adjusted), atol=1e-12
        )
        assert (found.n_pairs, found.n_pairs_left_out) == (90, 1)


@pytest.mark.parametrize("n_predictors", [2, 3])
def test_parts_add_up(n_predictors):
    found = quiet(*simulated(n_predictors, seed=4))
    parts, models = found.table, found.models.set_index("model")["r2_adjusted"]
    assert parts["r2_adjusted"].sum() == pytest.approx(models.iloc[-1], abs=1e-13)
    assert parts["share"].sum() == pytest.approx(1, abs=1e-12)
    for name in list(NAMES)[:n_predictors]:
        own = parts["part"].str.contains(name) | (parts["part"] == "all three")
        assert parts.loc[own, "r2_adjusted"].sum() == pytest.approx(models[name], abs=1e-13)


def test_names_of_parts_and_models():
    two, three = quiet(*simulated(2)), quiet(*simulated(3))
    assert two.table["part"].tolist() == PARTS_OF_TWO
    assert two.table["kind"].tolist() == ["unique", "unique", "shared"]
    assert three.table["part"].tolist() == [
        "identity only",
        "expression only",
        "pose only",
        "identity & expression only",
        "identity & pose only",
        "expression & pose only",
        "all three",
    ]
    assert three.models["model"].iloc[-1] == "identity + expression + pose"
    assert repr(two).startswith("Partition(identity, expression: together ")


def test_predictors_that_do_not_overlap_share_nothing():
    conditions = [f"c{i:02d}" for i in range(60)]
    rng = np.random.default_rng(0)
    a, b, e = rng.normal(size=(3, 1770))
    data = rf.RDMs(2 * a + b + 2 * e, conditions, "simulated")
    found = quiet(data, {"a": rf.RDMs(a, conditions, "m"), "b": rf.RDMs(b, conditions, "m")})
    np.testing.assert_allclose(found.table["r2_adjusted"], [4 / 9, 1 / 9, 0], atol=0.04)


def test_suppression_stays_below_zero_and_is_said():
    rng = np.random.default_rng(1)
    signal, noise = rng.normal(size=(2, 190))
    conditions = [f"c{i:02d}" for i in range(20)]
    a, b = (rf.RDMs(v, conditions, "m") for v in (signal + noise, noise))
    with pytest.warns(UserWarning, match=r"a & b: below 0\. .*suppression"):
        found = variance_partition(
            rf.RDMs(signal, conditions, "simulated"), {"a": a, "b": b}, n_boot=20
        )
    assert found.table["r2_adjusted"].iloc[2] < -0.3
    assert found.models["r2_adjusted"].iloc[-1] == pytest.approx(1)
    assert len(found.notes) == 1


def test_sessions_of_a_subject_are_averaged_first():
    data, predictors = simulated(2, n_subjects=4)
    twice = rf.RDMs(data.vectors, data.conditions, "m", {"subject": list("aabb")})
    found, expected = quiet(twice, predictors), quiet(twice.mean(by="subject"), predictors)
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert found.n_subjects == 2


def test_scales_of_subjects_do_not_matter():
    data, predictors = simulated(2)
    louder = with_values(data, lambda v: v.__setitem__(1, 100 * v[1] + 7))
    np.testing.assert_allclose(
        quiet(louder, predictors).table["r2_adjusted"],
        quiet(data, predictors).table["r2_adjusted"],
        atol=1e-12,
    )


@pytest.mark.parametrize("transform", [None, "rank"])
def test_blocks_are_partitioned_one_by_one_and_averaged(transform):
    data, predictors = simulated(3, n_conditions=24)
    blocks = {c: i % 3 if i else 2 for i, c in enumerate(data.conditions)}
    found = quiet(data, predictors, blocks=blocks, transform=transform)
    each = []
    for block in (2, 1, 0):
        some = [c for c in data.conditions if blocks[c] == block]
        alone = quiet(
            data.subset(some),
            {k: v.subset(some) for k, v in predictors.items()},
            transform=transform,
        )
        each.append(alone.table["r2_adjusted"].to_numpy())
        rows = found.blocks[found.blocks["block"] == str(block)]
        np.testing.assert_allclose(rows["r2_adjusted"], each[-1], atol=1e-12)
        assert set(rows["n_pairs"]) == {len(some) * (len(some) - 1) // 2}
    np.testing.assert_allclose(found.table["r2_adjusted"], np.mean(each, axis=0), atol=1e-12)
    assert found.n_pairs == 36 + 28 + 21
    assert found.settings["n_blocks"] == 3


@pytest.mark.parametrize("transform", [None, "rank"])
@pytest.mark.parametrize("bootstrap", ["conditions", "subjects", "both"])
@pytest.mark.parametrize("n_blocks", [1, 2])
def test_the_bootstrap_is_explicit_resampling(n_blocks, bootstrap, transform):
    data, predictors = simulated(2, n_conditions=9 * n_blocks, n_rdms=2, seed=3)
    predictors["pose"] = simulated(3, n_conditions=9 * n_blocks, seed=8)[1]["pose"]
    predictors["pose"] = with_values(predictors["pose"], lambda v: v.__setitem__((0, 2), np.nan))
    blocks = {c: i % n_blocks for i, c in enumerate(data.conditions)}
    n_boot = 6
    found = quiet(
        data,
        predictors,
        blocks=blocks,
        generalise_to=bootstrap,
        n_boot=n_boot,
        seed=5,
        transform=transform,
    )
    rng = np.random.default_rng(5)
    if bootstrap != "subjects":
        conditions = [
            draw_counts(rng, n_boot, np.arange(9), min_distinct=4) for _ in range(n_blocks)
        ]
    subjects = draw_counts(rng, n_boot, np.arange(3))

    def samples(with_subjects, with_conditions):
        values = []
        for b in range(n_boot):
            who = np.repeat(range(3), subjects[b].astype(int)) if with_subjects else None
            models = []
            for k in range(n_blocks):
                members = np.array([i for i, c in enumerate(data.conditions) if blocks[c] == k])
                counts = conditions[k][b].astype(int) if with_conditions else 1
                drawn = np.repeat(members, counts)
                models.append(reference_models(data, predictors, drawn, transform, who)[1])
            mean = {m: np.mean([r[m] for r in models]) for m in models[0]}
            values.append([*reference_parts(mean), *mean.values()])
        return np.var(values, axis=0, ddof=1)

    if bootstrap == "conditions":
        variance = samples(False, True) * 9 / 8
        freedom = 8 * n_blocks
    elif bootstrap == "subjects":
        variance = samples(True, False) * 3 / 2
        freedom = 2
    else:
        s, c, both = samples(True, False), samples(False, True), samples(True, True)
        variance = 3 / 2 * s + 9 / 8 * c - 27 / 16 * (both - s - c)
        variance = np.maximum(np.minimum(variance, both), np.maximum(3 / 2 * s, 9 / 8 * c))
        freedom = 2
    sem = np.concatenate([found.table["sem"], found.models["sem"]])
    np.testing.assert_allclose(sem, np.sqrt(variance), rtol=1e-8)
    half = stats.t.ppf(0.975, freedom) * found.table["sem"]
    np.testing.assert_allclose(found.table["ci_low"], found.table["r2_adjusted"] - half)
    np.testing.assert_allclose(found.table["ci_high"], found.table["r2_adjusted"] + half)
    assert found.settings["degrees_of_freedom"] == freedom


def test_samples_in_which_a_predictor_is_constant_are_left_out_and_counted():
    data, predictors = simulated(2, n_conditions=12)
    odd = rf.rdm.model_rdm_from_labels([0] * 11 + [1], conditions=data.conditions)
    found = quiet(data, {**predictors, "pose": odd}, n_boot=200)
    assert any("of 200 bootstrap samples are left out" in note for note in found.notes)
    # The odd condition is missing from (11/12)^12 = 35 % of samples.
    assert found.settings["n_boot_undefined"] == pytest.approx(70, abs=20)
    assert np.isfinite(found.table["sem"]).all()


def test_p_is_the_share_of_all_shuffles_of_residuals():
    data, predictors = simulated(2, n_conditions=6, seed=0)
    found = quiet(data, predictors, n_permutations=20_000, seed=1)
    y = np.mean([z(v) for v in data.vectors], axis=0)
    x = [z(p.align(data.conditions).vectors[0]) for p in predictors.values()]
    for k in range(2):
        other = x[1 - k][:, None]
        own = x[k] - LinearRegression().fit(other, x[k]).predict(other)
        square = rf.RDMs(own, data.conditions, "m").matrices()[0]
        row, col = np.triu_indices(6, k=1)

        def gain(v, other=other):
            both = np.column_stack([v, other])
            rest = np.linalg.lstsq(both - both.mean(axis=0), y, rcond=None)[1]
            return 1 - rest[0] / len(y)

        observed = gain(own)
        reached = [
            gain(square[np.ix_(o, o)][row, col]) >= observed - 1e-12
            for o in itertools.permutations(range(6))
        ]
        assert found.table["p"].iloc[k] == pytest.approx(np.mean(reached), abs=0.008)
    assert np.isnan(found.table["p"].iloc[2])


def test_p_has_its_smallest_value_where_nothing_reaches_and_none_without_shuffles():
    data, predictors = simulated(2, n_conditions=30, weights=[5, 0])
    found = quiet(data, predictors, n_permutations=99)
    assert found.table["p"].iloc[0] == 0.01
    assert quiet(data, predictors).table["p"].isna().all()
    holes = with_values(data, lambda v: v.__setitem__((0, 1), np.nan))
    with pytest.warns(UserWarning, match=r"1 pairs are left out.*no p values"):
        found = variance_partition(holes, predictors, n_boot=10)
    assert found.table["p"].isna().all()
    assert found.settings["n_permutations"] == 0


def test_same_seed_same_result():
    data, predictors = simulated(2)
    options = {"generalise_to": "both", "n_boot": 50, "n_permutations": 50}
    first, again, other = (quiet(data, predictors, **options, seed=s) for s in (3, 3, 4))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert not first.table["sem"].equals(other.table["sem"])
    np.testing.assert_array_equal(first.table["r2_adjusted"], other.table["r2_adjusted"])


def test_few_conditions_and_subjects_are_noted():
    with pytest.warns(UserWarning, match="too few") as caught:
        found = variance_partition(*simulated(2), generalise_to="both", n_boot=10)
    assert [str(w.message) for w in caught] == list(found.notes)
    assert "3 subjects are too few" in found.notes[0]
    assert "14 conditions are too few" in found.notes[1]
    assert found.settings["generalises_to"] == "new subjects and new conditions"


def constant(rdms, row=0):
    """Return RDMs, one of them constant."""
    return with_values(rdms, lambda v: v.__setitem__(row, 2.0))


def same(p):
    """Return predictors of which the third follows from the others."""
    a, b = p["identity"], p["expression"].align(p["identity"].conditions)
    return {**p, "pose": rf.RDMs(z(a.vectors[0]) - 2 * z(b.vectors[0]), a.conditions, "m")}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, p: quiet(d, {"identity": p["identity"]}), "2 or 3 predictors, .* got 1"),
        (lambda d, p: quiet(d, {**p, "pose": p["identity"], "d": p["identity"]}), "got 4"),
        (lambda d, p: quiet(d, list(p.values())), "as a mapping of name to RDMs, got 2"),
        (lambda d, p: quiet(d, 3), "as a mapping of name to RDMs, got int"),
        (lambda d, p: quiet(d, {"": p["identity"], "b": p["expression"]}), "with names, got ''"),
        (
            lambda d, p: quiet(d, same(p)),
            "'identity' and 'expression' and 'pose' are linearly dependent. Leave one out",
        ),
        (
            lambda d, p: quiet(d, {**p, "copy": p["identity"]}),
            "but 'identity' and 'copy' are linearly dependent",
        ),
        (
            lambda d, p: quiet(d, {**p, "flat": constant(p["identity"])}),
            "predictor 'flat' is constant in the data",
        ),
        (lambda d, p: quiet(constant(d, 1), p), "RDM of subject 'simulated 1' is constant"),
        (
            lambda d, p: quiet(d.with_labels(region=["FFA", "OFA", "OFA"]), p),
            "data of one region, got 'FFA', 'OFA'",
        ),
        (lambda d, p: quiet(d, p, blocks={"c00": 1}), "13 have none: 'c01'"),
        (
            lambda d, p: quiet(d, p, blocks={c: i < 5 for i, c in enumerate(d.conditions)}),
            "at least 6 conditions in block 'True', got 5",
        ),
        (
            lambda d, p: quiet(with_values(d, lambda v: v[:, 3:].fill(np.nan)), p),
            "at least 4 pairs that every RDM has in the data, got 3 of 91",
        ),
        (lambda d, p: quiet(d[0], p, generalise_to="subjects"), "at least 2 subjects in the data"),
        (lambda d, p: quiet(d, p, generalise_to="pairs"), "unknown value of generalise_to 'pairs'"),
        (lambda d, p: quiet(d, p, transform="log"), "unknown transform 'log'"),
        (lambda d, p: quiet(d, p, alpha=1.0), "alpha between 0 and 1, got 1.0"),
        (lambda d, p: quiet(d, p, n_boot=1), "n_boot to be a whole number of at least 2, got 1"),
        (lambda d, p: quiet(d, p, n_permutations=-1), "n_permutations to be a whole .* got -1"),
        (lambda d, p: quiet(d, p, by="rater"), "subjects apart 'rater'"),
    ],
)
def test_doors(call, message):
    with pytest.raises(rf.InputError, match=message):
        call(*simulated(2))


def test_conditions_must_be_the_same_and_predictors_rdms():
    data, predictors = simulated(2)
    fewer = {**predictors, "expression": predictors["expression"].subset(["c00", "c01", "c02"])}
    with pytest.raises(ConditionMismatchError, match="only in data: 'c03'.*subset"):
        quiet(data, fewer)
    with pytest.raises(TypeError, match="predictor 'expression', got ndarray"):
        quiet(data, {**predictors, "expression": np.ones(91)})


def test_a_collinear_block_is_named():
    data, predictors = simulated(2)
    a, b = (predictors[k].align(data.conditions).matrices()[0] for k in predictors)
    b[:7, :7] = a[:7, :7]
    copies = rf.RDMs.from_matrices(b, data.conditions, "m")
    blocks = {c: "first" if i < 7 else "rest" for i, c in enumerate(data.conditions)}
    with pytest.raises(rf.InputError, match="linearly dependent in block 'first'"):
        quiet(data, {**predictors, "expression": copies}, blocks=blocks)


# Calibration


def calibration_data(seed, n_conditions, n_subjects=1, rng_subjects=None):
    """Return features' distances: data of one shared and two own parts; subjects vary."""
    rng = np.random.default_rng(seed)
    a, b, c, e = rng.normal(size=(4, n_conditions, 6))
    conditions = [f"c{i:03d}" for i in range(n_conditions)]
    signal = 0.7 * squared(a) + 0.5 * squared(b) + 0.6 * squared(c) + squared(e)
    x = [squared(np.hstack([f, 0.5 * c])) for f in (a, b)]
    rng = rng if rng_subjects is None else rng_subjects
    weights = 1 + 0.4 * rng.normal(size=(n_subjects, 1)) * (n_subjects > 1)
    data = signal + (weights - 1) * squared(a) + 10 * rng.normal(size=(n_subjects, len(signal)))
    predictors = {n: rf.RDMs(v, conditions, "simulated") for n, v in zip("ab", x, strict=True)}
    return rf.RDMs(data, conditions, "simulated", {"subject": range(n_subjects)}), predictors


def covered(found, truth):
    """Return which intervals hold the truth."""
    low, high = found.table[["ci_low", "ci_high"]].to_numpy().T
    return (low <= truth) & (truth <= high)


@pytest.mark.simulation
@pytest.mark.slow
def test_intervals_for_new_conditions_cover_the_truth():
    truth = np.mean(
        [quiet(*calibration_data(900 + s, 400)).table["r2_adjusted"] for s in range(10)], axis=0
    )
    hits = [covered(quiet(*calibration_data(s, 40), n_boot=300), truth) for s in range(300)]
    low, high = stats.binom.interval(0.99, 300, 0.95)
    assert truth.min() > 0.01
    # Two-sided: neither too short nor so wide that nothing is said.
    assert (np.sum(hits, axis=0) >= low).all()
    assert (np.sum(hits, axis=0)[:2] <= high).all()


@pytest.mark.simulation
@pytest.mark.slow
def test_intervals_for_new_subjects_cover_the_mean_of_as_many_subjects():
    hits = []
    for seed in range(100):
        rng = np.random.default_rng(5000 + seed)
        others = [
            quiet(*calibration_data(seed, 24, 12, rng)).table["r2_adjusted"] for _ in range(16)
        ]
        found = quiet(*calibration_data(seed, 24, 12, rng), n_boot=300, generalise_to="subjects")
        hits.append(covered(found, np.mean(others, axis=0)))
    share = np.mean(hits, axis=0)
    # As the docstring says: 90 to 95 %, with the binomial error of 100 data sets.
    assert (stats.binom.cdf(np.sum(hits, axis=0), 100, 0.92) > 0.005).all(), share


@pytest.mark.parametrize("uneven", [False, True])
def test_that_images_are_of_one_person_is_no_part_of_a_predictor(uneven):
    n_found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        counts = rng.integers(1, 4, 14) if uneven else np.full(14, 2)
        who = np.repeat(np.arange(14), counts)
        names = [f"face {i}" for i in range(len(who))]

        def rdms(scale, n=1, who=who, names=names, rng=rng):
            own = rng.normal(size=(14, 40))[who]
            return rf.concat(
                [
                    rf.compute_rdms(
                        {"x": own + scale * rng.normal(size=own.shape)},
                        conditions=names,
                        measure="euclidean",
                    )
                    for _ in range(n)
                ]
            ).with_labels(subject=range(n))

        # Each has a geometry of people of its own.
        data, models = rdms(0.7, 4), {"a": rdms(1), "b": rdms(1)}
        groups = dict(zip(names, who.tolist(), strict=True))
        found = variance_partition(
            data, models, groups=groups, n_boot=20, n_permutations=39, seed=seed
        )
        n_found += (found.table["p"] <= 0.05).sum()
    assert n_found <= 12  # of 120; 6 are expected


@pytest.mark.parametrize("told", ["alone", "with another"])
def test_whose_images_they_are_is_taken_out_once(told, monkeypatch):
    who = np.repeat(np.arange(8), 3)
    names = [f"face {i}" for i in range(24)]
    apart = (who[:, None] != who).astype(float)
    given = {}
    honest = inner._permutation

    def twice(runs, sides, transform, n, orders, rng, groups):
        for name, own in (("grouped", groups), ("alone", np.arange(24))):
            seeded = np.random.default_rng(1)
            given[name] = honest(runs, sides, transform, n, orders, seeded, own)
        return given["grouped"]

    monkeypatch.setattr(inner, "_permutation", twice)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(24, 5))
        other = rf.compute_rdms({"x": x}, conditions=names, measure="euclidean")
        people = apart if told == "alone" else apart + other.matrices()[0]
        models = {
            "people": rf.RDMs.from_matrices(people[None], conditions=names, measure="people"),
            "other": other,
        }
        y = rng.normal(size=(8, 5))[who] + 0.25 * x + rng.normal(size=(24, 5))
        data = rf.compute_rdms({"x": y}, conditions=names, measure="euclidean")
        groups = dict(zip(names, who.tolist(), strict=True))
        variance_partition(data, models, groups=groups, n_boot=20, n_permutations=199)
        # The first tells nothing else, beside the other; with people among predictors nothing of
        # them is left to take out of the other.
        np.testing.assert_array_equal(given["grouped"][:1], given["alone"][:1])
        if told == "alone":
            np.testing.assert_array_equal(given["grouped"], given["alone"])


def test_a_predictor_that_only_tells_people_apart_cannot_be_tested_by_exchanging_them():
    who = np.repeat(np.arange(8), 3)
    names = [f"face {i}" for i in range(24)]
    rng = np.random.default_rng(0)
    other = rng.normal(size=(24, 5))
    apart = (who[:, None] != who).astype(float)
    models = {
        "people": rf.RDMs.from_matrices(apart[None], conditions=names, measure="people"),
        "other": rf.compute_rdms({"x": other}, conditions=names, measure="euclidean"),
    }
    y = rng.normal(size=(8, 5))[who] + other + 0.2 * rng.normal(size=(24, 5))
    data = rf.compute_rdms({"x": y}, conditions=names, measure="euclidean")
    groups = dict(zip(names, who.tolist(), strict=True))
    found = variance_partition(data, models, groups=groups, n_boot=20, n_permutations=39)
    p = found.table.set_index("part")["p"]
    assert p["people only"] > 0.05  # people stay together in every order: there is no test of it
    assert p["other only"] == 1 / 40


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("n_blocks", [1, 3])
def test_p_of_a_unique_part_is_calibrated_when_there_is_none(n_blocks):
    p = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        n = 18 * n_blocks
        # Conditions differ in typicality; the second predictor adds nothing to the first.
        typical = rng.gamma(0.7, size=(3, n))
        row, col = np.triu_indices(n, k=1)
        x, own, noise = typical[:, row] + typical[:, col]
        conditions = [f"c{i:02d}" for i in range(n)]
        data = rf.RDMs(x + noise + 0.3 * rng.normal(size=len(x)), conditions, "simulated")
        predictors = {"a": rf.RDMs(x, conditions, "m"), "b": rf.RDMs(x + own, conditions, "m")}
        blocks = {c: i % n_blocks for i, c in enumerate(conditions)}
        found = quiet(data, predictors, blocks=blocks, n_permutations=99, seed=seed)
        p.append(found.table["p"].iloc[1])
    low, high = stats.binom.interval(0.99, 400, 0.05)
    assert low <= (np.array(p) <= 0.05).sum() <= high


# The figure


def made_up(values, names=NAMES, n_subjects=12, n_blocks=0, transform=None):
    """Return a partition of made-up numbers."""
    values = np.array(values, dtype=float)
    names = names[: 2 if len(values) == 3 else 3]
    n = len(names)
    r = np.linalg.solve(inner._inclusion_exclusion(n), values)
    half = 0.02 + 0.2 * np.abs(values)
    table = pd.DataFrame(
        {
            "part": inner._part_names(names),
            "kind": ["unique"] * n + ["shared"] * (len(values) - n),
            "r2_adjusted": values,
            "share": values / r[-1],
            "sem": half / 2,
            "ci_low": values - half,
            "ci_high": values + half,
            "p": np.nan,
        }
    )
    subsets = inner._subsets(n)
    models = pd.DataFrame(
        {
            "model": [" + ".join(names[i] for i in s) for s in subsets],
            "n_predictors": [len(s) for s in subsets],
            "r2": r,
            "r2_adjusted": r,
            "sem": 0.02,
            "ci_low": r - 0.05,
            "ci_high": r + 0.05,
        }
    )
    settings = {
        "predictors": list(names),
        "alpha": 0.05,
        "n_blocks": n_blocks,
        "transform": transform,
    }
    return Partition(table, models, pd.DataFrame(), 1770, 0, 60, n_subjects, settings=settings)


BALANCED = [0.12, 0.09, 0.1, 0.03, 0.025, 0.03, 0.02]
ELLIPSES = [0.1, 0.08, 0.08, 0.05, 0.05, 0.02, 0.12]
TINY = [0.3, 0.004, 0.002, 0.006, 0.003, 0.002, 0.02]
LONG = ("face networks, mean of three", "object networks, mean of two", "behaviour of raters")


def drawn_areas(ax, n=900):
    """Return the share of what is drawn that lies in each part: points inside the patches."""
    patches = [p for p in ax.patches if isinstance(p, Ellipse) and p.get_fill()]
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    x, y = np.meshgrid(np.linspace(x0, x1, n), np.linspace(y0, y1, n))
    points = np.column_stack([x.ravel(), y.ravel()])
    inside = []
    for patch in patches:
        u, v = (points - patch.center).T
        angle = np.radians(patch.angle)
        along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
        inside.append((2 * along / patch.width) ** 2 + (2 * across / patch.height) ** 2 < 1)
    inside = np.array(inside).T
    subsets = inner._subsets(len(patches))
    count = [(inside == [i in s for i in range(len(patches))]).all(axis=1).sum() for s in subsets]
    return np.array(count) / inside.any(axis=1).sum()


def said(ax):
    """Return all visible texts of a figure."""
    return [t.get_text() for t in ax.figure.findobj(Text) if t.get_visible() and t.get_text()]


def overlaps(ax):
    """Return pairs of texts that lie on each other by more than a pixel, or leave the page."""
    figure = ax.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    ticks = set()
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not (ax.axison and low <= tick.get_loc() <= high):
                ticks.add(tick.label1)
        if not ax.axison:
            ticks |= {axis.label, axis.offsetText}
    texts = [
        t
        for t in figure.findobj(Text)
        if t.get_visible() and t.get_text().strip() and t not in ticks
    ]
    boxes = [t.get_window_extent(renderer) for t in texts]
    width, height = figure.get_size_inches() * figure.dpi
    found = [
        (t.get_text(), "page")
        for t, b in zip(texts, boxes, strict=True)
        if b.x0 < 0 or b.y0 < 0 or b.x1 > width or b.y1 > height
    ]
    for (t, a), (u, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        w, h = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if w > 1 and h > 1:
            found.append((t.get_text(), u.get_text()))
    return found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.3, 0.05, 0.02], "circles"),
        ([0.2, 0.18, 0.12], "circles"),
        ([0.2, 0.02, 0], "circles"),
        ([0.2, 0, 0.03], "circles"),
        ([0.3, 0.0004, 0.002], "circles"),
        ([0, 0, 0.3], "circles"),
        (BALANCED, "ellipses"),
        (ELLIPSES, "ellipses"),
        (TINY, "ellipses"),
    ],
)
def test_drawn_areas_are_the_numbers(values, kind):
    ax = panels(plot_partition(made_up(values)))[0]
    expected = np.array(values) / sum(values)
    np.testing.assert_allclose(drawn_areas(ax), expected, atol=0.003 * expected.max() + 0.0005)
    legend = ax.get_legend().get_window_extent()
    assert all(p.get_window_extent().y0 > legend.y1 for p in ax.patches)
    title = ax.get_title(loc="left")
    assert f"{kind} are true to size" in title or values is BALANCED
    assert overlaps(ax) == []


def test_random_pairs_of_circles_are_exact():
    rng = np.random.default_rng(0)
    for _ in range(30):
        values = rng.dirichlet([0.5, 0.5, 0.5])
        np.testing.assert_allclose(drawing._areas(drawing._fit(values)), values, atol=2e-6)


def test_three_circles_where_they_are_true():
    circles = np.array([[0, 0, 1, 1, 0], [1.1, 0, 0.9, 0.9, 0], [0.5, -0.9, 0.8, 0.8, 0]])
    values = drawing._areas(circles)
    found = drawing._fit(values)
    np.testing.assert_allclose(found[:, 2], found[:, 3])
    np.testing.assert_allclose(drawing._areas(found), values, atol=1e-4)
    # The lens formula and the chords are two ways to one number.
    lens = drawing._lens(1.0, 0.9, 1.1)
    members = drawing._members(7)
    assert values[members[:, 0] & members[:, 1]].sum() == pytest.approx(lens, abs=1e-5)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.12, 0.09, 0.1, 0.03, -0.025, 0.03, 0.02], "areas cannot show a part below 0"),
        ([0.12, 0.09, -0.001], "areas cannot show a part below 0"),
        ([0.1, 0.036, 0.005, 0.6, 1.0, 0.08, 0.14], "no circles or ellipses have these areas"),
    ],
)
def test_bars_where_areas_cannot_show_it(values, why):
    partition = made_up(np.array(values) / 3)
    ax = panels(plot_partition(partition))[0]
    assert f"bars, because {why}" in ax.get_title(loc="left").replace("\n", " ")
    np.testing.assert_allclose([p.get_width() for p in ax.patches], 100 * np.array(values) / 3)
    ends = np.array([s[:, 0] for s in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, 100 * partition.table[["ci_low", "ci_high"]])
    names = [t.get_text().replace("\n", " ") for t in ax.get_yticklabels()]
    assert names == partition.table["part"].tolist()
    assert ax.get_xlabel() == "variance explained (adjusted R², %)"
    assert overlaps(ax) == []


def test_every_part_is_named_with_its_value_and_interval():
    for values in (BALANCED, [0.3, 0.05, 0.02], [0.2, 0.02, 0]):
        partition = made_up(values)
        texts = [t.replace("\n", " ") for t in said(panels(plot_partition(partition))[0])]
        for row in partition.table.itertuples():
            number = drawing._with_interval(row)
            assert any(row.part in t and number in t for t in texts), row.part
        assert (
            f"identity, all its parts: {drawing._with_interval(partition.models.iloc[0])}" in texts
        )


def test_the_title_says_how_much_of_how_many():
    title = panels(plot_partition(made_up([0.3, 0.05, 0.02])))[0].get_title(loc="left").split("\n")
    assert title == [
        "identity and expression explain 37.0 % of variance together",
        "mean of 12 subjects, 60 conditions, 1,770 pairs",
        "adjusted R² with 95 % interval; areas of circles are true to size",
    ]
    other = made_up([0.3, 0.05, 0.02], n_subjects=1, n_blocks=4, transform="rank")
    title = panels(plot_partition(other))[0].get_title(loc="left").split("\n")
    assert title[1] == "1 subject, 60 conditions in 4 blocks, 1,770 pairs"
    assert title[2].startswith("adjusted R² of ranks with 95 % interval")


def test_numbers_keep_their_sign_and_small_ones_their_digits():
    row = pd.Series({"r2_adjusted": -0.0004, "ci_low": -0.01, "ci_high": 0.002})
    assert drawing._with_interval(row) == "−0.04 % (−1.00 to 0.20)"
    row = pd.Series({"r2_adjusted": 0.31, "ci_low": 0.2, "ci_high": 0.412})
    assert drawing._with_interval(row) == "31.0 % (20.0 to 41.2)"


@pytest.mark.parametrize("values", [BALANCED, TINY, [0.2, 0.18, 0.12]])
def test_long_names_do_not_overlap_and_fit_a_page(values):
    ax = panels(plot_partition(made_up(values, LONG)))[0]
    assert overlaps(ax) == []
    assert ax.figure.get_size_inches()[0] <= 7.21


def test_own_axes_are_used_if_they_are_large_enough():
    _, axes = plt.subplots(1, 2, figsize=(14, 4), gridspec_kw={"wspace": 0.6, "top": 0.8})
    partition = made_up(BALANCED)
    assert plot_partition(partition, ax=axes[1]) is axes[1].figure
    expected = np.array(BALANCED) / sum(BALANCED)
    np.testing.assert_allclose(drawn_areas(axes[1]), expected, atol=0.002)
    assert overlaps(axes[1]) == []
    negative = dataclasses.replace(
        partition, table=partition.table.assign(r2_adjusted=[-0.1, *BALANCED[1:]])
    )
    assert len(panels(plot_partition(negative, ax=axes[0]))[0].patches) == 7
    _, small = plt.subplots(figsize=(2, 2))
    _, moving = plt.subplots(layout="constrained")
    with pytest.raises(rf.InputError, match=r"keep their size, .*ConstrainedLayoutEngine"):
        plot_partition(partition, ax=moving)
    with pytest.raises(rf.InputError, match=r"axes of at least 94 x \d+ mm .*, got 39 x 39 mm"):
        plot_partition(partition, ax=small)


def test_the_92_images():
    d92 = rf.datasets.images92()
    models = {n: d92.models.sel(name=n) for n in ["animacy", "HMAX", "Silhouette"]}
    found = variance_partition(d92.rdms.sel(region="human IT"), models, n_boot=20)
    assert found.table["part"].iloc[found.table["r2_adjusted"].argmax()] == "animacy only"
    assert (found.n_subjects, found.n_conditions, found.n_pairs) == (4, 92, 4186)
    ax = panels(plot_partition(found))[0]
    assert overlaps(ax) == []
    np.testing.assert_allclose(drawn_areas(ax), found.table["share"], atol=0.004)
