"""Flexible models: fits, held-out similarities, the choice of a layer, reweighted features."""

import numpy as np
import pytest
from rsatoolbox.model import ModelInterpolate, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import fit_interpolate, fit_regress_nn, fit_select
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from scipy import stats
from scipy.optimize import nnls
from sklearn.linear_model import Ridge

import rsa_faces as rf
from rsa_faces._kernels import fits
from rsa_faces.comparison import METHODS
from rsa_faces.inference import (
    _held_out,
    _region,
    best_layer,
    evaluate_flexible,
    fit_layers,
    flexible,
    reweighted_similarity,
    reweighting,
)
from rsa_faces.inference._design import Units
from rsa_faces.inference._study import Study
from rsa_faces.inference.bootstrap import draw_counts

RANK_METHODS = frozenset(name for name, method in METHODS.items() if method.uses_ranks)
COV_METHODS = frozenset(name for name, method in METHODS.items() if method.whitened)

FITS = ("nnls", "interpolation", "select")


def simulated(
    n_networks=2, n_layers=3, n_subjects=5, n_conditions=20, seed=0, noise=1.0, ties=False
):
    """Return layer RDMs, and subjects whose truth is the sum of the first layers."""
    rng = np.random.default_rng(seed)
    row, col = np.triu_indices(n_conditions, k=1)
    x = rng.normal(size=(n_networks * n_layers, n_conditions, 8))
    vectors = ((x[:, row] - x[:, col]) ** 2).sum(axis=2)
    truth = vectors[::n_layers].sum(axis=0)
    truth = (truth - truth.mean()) / truth.std()
    data = truth + noise * rng.normal(size=(n_subjects, len(row))) + 3
    if ties:
        vectors, data = np.round(vectors / 4), np.round(data)
    names = [f"c{i}" for i in range(n_conditions)]
    labels = {
        "network": np.repeat([f"net {i}" for i in range(n_networks)], n_layers),
        "layer": [f"l{i}" for i in range(n_layers)] * n_networks,
        "layer_index": list(range(n_layers)) * n_networks,
    }
    return (
        rf.RDMs(vectors, names, "simulated", labels),
        rf.RDMs(data, names, "simulated", {"subject": [f"s{i}" for i in range(n_subjects)]}),
    )


def alone(n):
    """Return conditions (or subjects) of which each is drawn by itself."""
    return Units.of_groups(np.arange(n))


def whole(data):
    """Return what predictions are compared with."""
    return Study(data.vectors[:0], data.vectors, METHODS["pearson"], alone(data.n_conditions))


def scaled_layers(model, method):
    every = np.ones(model.n_pairs, bool)
    return _held_out.layers_of(model, "network", method, every)[0]


def some_splits(data, seed, *, n_folds=2, n_subject_folds=2, n=4, once=False):
    rng = np.random.default_rng(seed)
    k = data.n_conditions
    conditions = draw_counts(rng, n, np.arange(k), min_distinct=4 * n_folds)
    subjects = draw_counts(rng, n, np.arange(len(data)))
    if once:
        conditions, subjects = np.ones((n, k)), np.ones((n, len(data)))
    return _held_out.Splits(
        conditions,
        _held_out.draw_folds(rng, conditions, alone(k), n_folds),
        ((subjects, _held_out.draw_folds(rng, subjects, alone(len(data)), n_subject_folds)),),
    )


# --- the obvious loop ----------------------------------------------------------------------------


def resampled(vectors, counts):
    """Return vectors of conditions really repeated, without pairs of a condition and its copy."""
    index = np.repeat(np.arange(len(counts)), counts.astype(int))
    square = np.full((len(vectors), len(counts), len(counts)), np.nan)
    row, col = np.triu_indices(len(counts), k=1)
    square[:, row, col] = square[:, col, row] = vectors
    row, col = np.triu_indices(len(index), k=1)
    present = index[row] != index[col]
    return square[:, index[row[present]], index[col[present]]], (index, present)


def inverse_covariance(index, present):
    row, col = np.triu_indices(len(index), k=1)
    contrast = np.zeros((len(row), len(index)))
    contrast[np.arange(len(row)), row], contrast[np.arange(len(row)), col] = 1, -1
    return np.linalg.inv(((contrast @ contrast.T) ** 2)[np.ix_(present, present)])


def similarity(x, y, method, where):
    """Compare two vectors; NaN where one is constant."""
    if method not in COV_METHODS:
        return METHODS[method](x[None], y[None])[0, 0]
    if method == "corr_cov":
        x, y = x - x.mean(), y - y.mean()
    inverse = inverse_covariance(*where)
    return x @ inverse @ y / np.sqrt((x @ inverse @ x) * (y @ inverse @ y))


def scaled(vectors, method):
    """Scale as the pool of a linear method wants it."""
    if method not in {"cosine", "cosine_cov"}:
        vectors = vectors - vectors.mean(axis=1, keepdims=True)
    return vectors / np.sqrt((vectors**2).mean(axis=1, keepdims=True))


def ranks(vectors):
    """Average ranks."""
    return np.stack([stats.rankdata(v) for v in vectors])


def slow_fit(layers, data, fit, method, where):
    """Fit one network to resampled training RDMs."""
    if fit == "select":
        scores = [np.mean([similarity(x, y, method, where) for y in data]) for x in layers]
        return np.eye(len(layers))[np.argmax(scores)]
    linear = "pearson" if method in RANK_METHODS else method
    target = scaled(data, linear).mean(axis=0)
    x = layers if linear in {"cosine", "cosine_cov"} else layers - layers.mean(1, keepdims=True)
    if method in COV_METHODS:
        root = np.linalg.cholesky(inverse_covariance(*where)).T
        x, target = x @ root.T, root @ target

    def cosine(w):
        p = w @ x
        return p @ target / np.sqrt((p @ p) * (target @ target)) if w.any() else -np.inf

    singles = list(np.eye(len(layers)))
    if fit == "nnls":
        candidates = [nnls(x.T, target, maxiter=1000)[0]]
        candidates += [] if candidates[0].any() else singles
    else:
        candidates = singles
        for i in range(len(layers) - 1):
            w = np.zeros(len(layers))
            w[i : i + 2] = nnls(x[i : i + 2].T, target)[0]
            candidates = [*candidates, w]
    return max(candidates, key=cosine)


def slow_held_out(layers, starts, data, splits, fit, method, n_folds, n_subject_folds):
    """Return what _held_out does, by resampling everything."""
    n_networks = len(starts) - 1
    ((subjects, subject_folds),) = splits.subjects
    out = np.full((len(splits), n_folds, n_networks + 2, len(data)), np.nan)
    for t in range(len(splits)):
        for f in range(n_folds):
            train = splits.counts[t] * (splits.folds[t] != f)
            test = splits.counts[t] * (splits.folds[t] == f)
            x_train, where = resampled(layers, train)
            x_test, where_test = resampled(layers, test)
            y_train, y_test = resampled(data, train)[0], resampled(data, test)[0]
            for g in range(n_subject_folds):
                tested = np.flatnonzero((subject_folds[t] == g) & (subjects[t] > 0))
                others = subjects[t] * (subject_folds[t] != g)
                trained = others if others.any() else subjects[t]
                rows = np.repeat(np.arange(len(data)), trained.astype(int))
                predictions = []
                for m in range(n_networks):
                    part = slice(starts[m], starts[m + 1])
                    w = slow_fit(x_train[part], y_train[rows], fit, method, where)
                    predictions.append(w @ x_test[part])
                for count in (others, subjects[t]):
                    pool = ranks(y_test) if method in RANK_METHODS else scaled(y_test, method)
                    predictions.append(count @ pool if count.any() else np.full(len(pool[0]), 0.0))
                for s in tested:
                    out[t, f, :, s] = [
                        similarity(p, y_test[s], method, where_test) if p.any() else np.nan
                        for p in predictions
                    ]
    return out


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("method", METHODS)
def test_held_out_similarities_equal_those_of_resampled_rdms(method, fit, ties):
    if ties and fit == "select" and method in {"kendall", "tau-a"}:
        pytest.skip("equal scores of two layers may be broken either way")
    for seed in range(2):
        model, data = simulated(seed=seed, n_subjects=4, n_conditions=16, noise=2.0, ties=ties)
        layers = scaled_layers(model, method)
        splits = some_splits(data, seed, n=3)
        (ours,), _ = _held_out.held_out_means(
            layers, data.vectors, splits, alone(data.n_conditions), fit, METHODS[method], 2, 2
        )
        expected = slow_held_out(
            model.vectors, layers.starts, data.vectors, splits, fit, method, 2, 2
        )
        np.testing.assert_allclose(ours, expected, atol=1e-9)


# --- fits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_nnls_equals_scipy(size, compiled):
    rng = np.random.default_rng(size)
    for _ in range(40):
        x = rng.normal(size=(60, size)) + rng.choice([0, 3]) * rng.normal(size=(60, 1))
        y = rng.normal(size=(3, 60)) + x @ np.maximum(rng.normal(size=size), 0)
        ours = fits.nnls((x.T @ x)[None], (y @ x)[None], compiled=compiled)[0]
        for w, target in zip(ours, y, strict=True):
            np.testing.assert_allclose(w, nnls(x, target)[0], atol=1e-9)


@pytest.mark.parametrize("compiled", [False, True])
def test_nnls_of_equal_and_of_empty_predictors(compiled):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    x = np.column_stack([x, x[:, 0], np.zeros(30)])
    y = x[:, 0] + 0.5 * x[:, 1]
    w = fits.nnls((x.T @ x)[None], (x.T @ y)[None, None], compiled=compiled)[0, 0]
    np.testing.assert_allclose(x @ w, y, atol=1e-10)
    assert w[4] == 0
    assert not fits.nnls((x.T @ x)[None], np.full((1, 1, 5), -1.0), compiled=compiled).any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("cosine", "cosine"),
        ("pearson", "corr"),
        ("cosine_cov", "cosine_cov"),
        ("corr_cov", "corr_cov"),
    ],
)
def test_weights_equal_rsatoolbox(ours, theirs, seed):
    model, data = simulated(n_networks=1, n_layers=5, seed=seed, n_conditions=14)
    w = fit_layers(model, data, method=ours)["weight"].to_numpy()
    # The toolbox stops at an absolute slope of 2e-14 and never ends with larger values.
    toolbox = ModelWeighted("m", ToolboxRDMs(model.vectors / 1000))
    expected = fit_regress_nn(toolbox, ToolboxRDMs(data.vectors), method=theirs)
    if ours not in COV_METHODS:
        np.testing.assert_allclose(w, expected, atol=1e-6)
        return
    # Whitened, theirs differ in the third digit and are a little less similar to the pool.
    pool = scaled(data.vectors, "cosine" if ours == "cosine_cov" else "pearson").mean(axis=0)
    where = np.arange(14), np.ones(91, dtype=bool)
    own, other = (similarity(v @ model.vectors, pool, ours, where) for v in (w, expected))
    assert own >= other - 1e-9
    assert own == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_interpolation_and_choice_equal_rsatoolbox(seed):
    model, data = simulated(n_networks=1, n_layers=4, seed=seed, n_conditions=14)
    theirs = ToolboxRDMs(data.vectors)
    w = fit_layers(model, data, fit="interpolation", method="pearson")["weight"].to_numpy()
    expected = fit_interpolate(
        ModelInterpolate("m", ToolboxRDMs(model.vectors)), theirs, method="corr"
    )
    # Theirs is a search by bisection in steps of 1e-5.
    np.testing.assert_allclose(w / w.sum(), expected, atol=1e-4)
    for method in ("cosine", "spearman"):
        chosen = fit_layers(model, data, fit="select", method=method)["weight"].to_numpy()
        toolbox = ModelSelect("m", ToolboxRDMs(model.vectors))
        assert np.argmax(chosen) == fit_select(toolbox, theirs, method=method)


def test_negatively_related_layers_give_the_least_negative_one():
    model, data = simulated(n_networks=1, n_layers=3)
    against = rf.RDMs(-data.vectors, data.conditions, "d", data.labels)
    w = fit_layers(model, against, method="cosine")["weight"].to_numpy()
    assert sorted(w) == [0, 0, 1]
    assert np.argmax(w) == np.argmax(rf.compare(model, against, method="cosine").mean(axis=1))


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cosine", "pearson", "rho-a", "corr_cov"])
def test_one_layer_is_a_fixed_model_on_the_held_out_pairs(method):
    model, data = simulated(n_networks=2, n_layers=1)
    layers = scaled_layers(model, method)
    splits = some_splits(data, 0, once=True)
    found = []
    for fit in FITS:
        (ours,), _ = _held_out.held_out_means(
            layers, data.vectors, splits, alone(data.n_conditions), fit, METHODS[method], 2, 2
        )
        found.append(ours)
        for t in range(len(splits)):
            for f in range(2):
                names = [data.conditions[i] for i in np.flatnonzero(splits.folds[t] == f)]
                expected = rf.compare(model.subset(names), data.subset(names), method=method)
                np.testing.assert_allclose(ours[t, f, :2], expected, atol=1e-12)
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    np.testing.assert_allclose(found[0], found[2], atol=1e-12)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("method", ["cosine", "pearson", "cosine_cov"])
def test_scaling_layers_leaves_the_prediction(method, fit):
    model, data = simulated()
    factor = np.array([1e-3, 1, 50, 7, 1e4, 0.2])[:, None]
    other = rf.RDMs(model.vectors * factor, model.conditions, "m", model.labels)
    one, two = (
        evaluate_flexible(m, data, fit=fit, method=method, n_boot=4).table for m in (model, other)
    )
    np.testing.assert_allclose(one["similarity"], two["similarity"], atol=1e-9)


def test_test_pairs_change_no_weight():
    model, data = simulated(n_subjects=4)
    splits = some_splits(data, 1, once=True, n=1)
    ((_, subject_folds),) = splits.subjects
    row, col = np.triu_indices(data.n_conditions, k=1)
    rng = np.random.default_rng(0)
    for method in ("cosine", "rho-a", "corr_cov"):
        for fit in FITS:
            layers = scaled_layers(model, method)
            before = _held_out.fold_weights(
                layers, data.vectors, splits, alone(data.n_conditions), fit, METHODS[method], 2, 2
            )
            for f in range(2):
                for g in range(2):
                    held = (splits.folds[0][row] == f) | (splits.folds[0][col] == f)
                    changed = data.vectors.copy()
                    changed[:, held] = rng.normal(size=(4, held.sum()))
                    tested = subject_folds[0] == g
                    changed[tested] = rng.normal(size=changed[tested].shape)
                    after = _held_out.fold_weights(
                        layers,
                        changed,
                        splits,
                        alone(data.n_conditions),
                        fit,
                        METHODS[method],
                        2,
                        2,
                    )
                    np.testing.assert_allclose(after[0, f, g], before[0, f, g], atol=1e-9)
                    if fit == "nnls":
                        assert not np.allclose(after[0, 1 - f, 1 - g], before[0, 1 - f, 1 - g])


def test_conditions_groups_and_subjects_are_whole_in_their_fold():
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    counts = draw_counts(rng, 50, groups)
    folds = _held_out.draw_folds(rng, counts, Units.of_groups(groups), 2)
    assert (folds[:, ::2] == folds[:, 1::2]).all()
    assert ((folds == -1) == (counts == 0)).all()
    sizes = np.stack([(folds == f).sum(axis=1) for f in range(2)])
    assert np.abs(sizes[0] - sizes[1]).max() <= 2


def test_same_seed_same_result_and_blocks_do_not_matter(monkeypatch):
    model, data = simulated()
    one, again = (evaluate_flexible(model, data, n_boot=10, seed=3) for _ in range(2))
    assert one.to_json() == again.to_json()
    other = evaluate_flexible(model, data, n_boot=10, seed=4)
    assert not np.allclose(one.table["sem"], other.table["sem"])
    monkeypatch.setattr(flexible, "_SPLITS", 3)
    monkeypatch.setattr(_held_out, "MEMORY", 20_000)
    blocks = evaluate_flexible(model, data, n_boot=10, seed=3)
    for column in ("similarity", "sem", "p", "ceiling_low"):
        np.testing.assert_allclose(blocks.table[column], one.table[column], rtol=1e-7)


def test_order_of_layers_and_conditions_does_not_matter():
    model, data = simulated(n_layers=4)
    one = evaluate_flexible(model, data, fit="interpolation", n_boot=3)
    shuffled = model[np.random.default_rng(0).permutation(4)]
    first = model.sel(network="net 0")
    two = evaluate_flexible(
        shuffled, data.align(data.conditions[::-1]), fit="interpolation", n_boot=3
    )
    np.testing.assert_allclose(two.table["similarity"][0], one.table["similarity"][0], atol=1e-12)
    assert len(first) == 4


# --- the result ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bootstrap", ["both", "subjects", "conditions"])
def test_result_has_the_columns_of_evaluate(bootstrap):
    model, data = simulated(n_conditions=24)
    flex = evaluate_flexible(model, data, n_boot=20, generalise_to=bootstrap, method="pearson")
    fixed = rf.evaluate(model, data, n_boot=20, generalise_to=bootstrap, method="pearson")
    for name in ("table", "pairs", "subjects", "ceilings"):
        assert list(getattr(flex, name)) == list(getattr(fixed, name))
    assert set(fixed.settings) < set(flex.settings)
    assert flex.table["layer"].tolist() == ["weighted layers"] * 2
    np.testing.assert_allclose(
        flex.subjects.groupby("network", sort=False)["similarity"].mean(),
        flex.table["similarity"],
        atol=1e-12,
    )
    assert (flex.table["sem"] > 0).all()
    assert (flex.ceilings["ceiling_low"] < flex.ceilings["ceiling_high"]).all()
    again = rf.inference.Result.from_json(flex.to_json())
    np.testing.assert_array_equal(again.table["p"], flex.table["p"])


def test_regions_are_evaluated_on_their_own():
    model, data = simulated()
    other = rf.RDMs(data.vectors[:, ::-1], data.conditions, "d", data.labels)
    both = rf.concat([data.with_labels(region="one"), other.with_labels(region="two")])
    result = evaluate_flexible(model, both, n_boot=4)
    alone = evaluate_flexible(model, data, n_boot=4)
    assert result.table["region"].tolist() == ["one"] * 2 + ["two"] * 2
    np.testing.assert_array_equal(result.table["similarity"][:2], alone.table["similarity"])


def test_correction_for_random_folds():
    rng = np.random.default_rng(0)
    sample, folds = rng.normal(size=(20_000, 1, 2)), rng.normal(size=(20_000, 3, 2)) * 2
    own, difference = flexible._cv_variances(sample + folds)
    np.testing.assert_allclose(own, 1, atol=0.08)
    np.testing.assert_allclose(difference[0, 1], 2, atol=0.16)
    # Where folds explain all, the uncorrected variance stays.
    own, _ = flexible._cv_variances(np.tile([[1.0], [-1.0]], (5, 1, 1)) * [[[1.0]]])
    assert own[0] == 0


def test_one_subject():
    model, data = simulated(n_subjects=1, n_conditions=24)
    with pytest.warns(UserWarning, match="only conditions are held out"):
        result = evaluate_flexible(model, data, n_boot=10, generalise_to="conditions")
    assert result.table["similarity"].notna().all()
    assert result.table["ceiling_low"].isna().all()


def test_one_distinct_subject_in_a_sample():
    _, data = simulated()
    counts = np.array([[3.0, 0, 0]])
    folds = _held_out.draw_folds(np.random.default_rng(0), counts, alone(3), 2)
    np.testing.assert_array_equal(folds, [[0, -1, -1]])
    train = _held_out.training_subjects(counts, folds, 2)
    np.testing.assert_array_equal(train, [[[3, 0, 0], [3, 0, 0]]])
    assert len(data) == 5


def test_undefined_folds_are_said():
    _, data = simulated(n_conditions=12)
    rare = ["a", "a", *"bbbbbbbbbb"]
    few = rf.rdm.model_rdm_from_labels(rare, conditions=data.conditions)
    few = few.with_labels(network="rare")
    with pytest.warns(UserWarning, match=r"no similarity is defined for rare in \d+\.\d% of the"):
        result = evaluate_flexible(few, data, n_boot=10, generalise_to="subjects", method="pearson")
    assert result.table["similarity"].notna().all()


def test_best_layer_counts_choices():
    model, data = simulated(noise=0.1)
    best = best_layer(model, data, n_boot=5, method="rho-a")
    assert best.result.table["layer"].tolist() == ["best layer"] * 2
    shares = best.chosen.pivot(index="network", columns="layer", values="share")
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares["l0"] > 0.95).all()
    same = evaluate_flexible(model, data, n_boot=5, method="rho-a", fit="select")
    np.testing.assert_array_equal(same.table["similarity"], best.result.table["similarity"])


def test_doors():
    model, data = simulated()
    with pytest.raises(rf.InputError, match="unknown fit 'nnsl'. Did you mean 'nnls'"):
        evaluate_flexible(model, data, fit="nnsl")
    with pytest.raises(rf.InputError, match="tells flexible models apart 'net'"):
        evaluate_flexible(model, data, by_model="net")
    with pytest.raises(rf.InputError, match="n_cv to be a whole number of at least 2, got 1"):
        evaluate_flexible(model, data, n_cv=1)
    with pytest.raises(rf.InputError, match="n_folds to be a whole number of at least 2, got 1"):
        evaluate_flexible(model, data, n_folds=1)
    with pytest.raises(rf.InputError, match="at least 24 distinct conditions .* 8 folds .* got 20"):
        evaluate_flexible(model, data, n_folds=8, generalise_to="subjects")
    with pytest.raises(rf.InputError, match="sample holds about 13"):
        evaluate_flexible(model, data, n_folds=5)
    with pytest.raises(rf.InputError, match="alpha between 0 and 1, got 2"):
        evaluate_flexible(model, data, alpha=2)
    few = list(data.conditions[:8])
    with pytest.raises(rf.InputError, match="at least 6 distinct conditions .* got 8, of which"):
        evaluate_flexible(model.subset(few), data.subset(few))
    with pytest.raises(rf.InputError, match="groups of conditions in the data for 4 folds of at l"):
        groups = {c: i // 2 for i, c in enumerate(data.conditions)}
        evaluate_flexible(model, data, groups=groups, n_folds=4)
    with pytest.raises(rf.InputError, match="at least 2 subjects"):
        evaluate_flexible(model, data[0])
    with pytest.raises(rf.InputError, match="for every model RDM, but 1 of 6 have none"):
        evaluate_flexible(model.with_labels(network=["a"] * 5 + [None]), data)
    holes = data.vectors.copy()
    holes[0, :3] = np.nan
    with pytest.raises(rf.InputError, match="in the data RDMs of a flexible model, but 3 are mis"):
        evaluate_flexible(model, rf.RDMs(holes, data.conditions, "d", data.labels))
    with pytest.raises(rf.ConditionMismatchError):
        evaluate_flexible(model, data.subset(few))


# --- reweighted features -------------------------------------------------------------------------


def slow_ridge(x, y, train, penalty):
    """Fit with scikit-learn to the pairs of the training conditions."""
    row, col = (train[i] for i in np.triu_indices(len(train), k=1))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    d = (z[row] - z[col]) ** 2
    ridge = Ridge(alpha=penalty * ((d - d.mean(axis=0)) ** 2).sum() / len(d))
    return ridge.fit(d, y[row, col]), z


@pytest.mark.parametrize("n_features", [5, 400])
def test_reweighting_equals_scikit_learn(n_features, monkeypatch):
    rng = np.random.default_rng(n_features)
    x = rng.normal(size=(20, n_features)) * rng.uniform(0.1, 9, n_features)
    _, data = simulated(n_subjects=3)
    found = reweighted_similarity(x, data, conditions=data.conditions, penalties=[0.5], n_folds=3)
    vectors = data.vectors - data.vectors.mean(axis=1, keepdims=True)
    y = rf.RDMs(
        (vectors / vectors.std(axis=1, keepdims=True)).mean(axis=0), data.conditions, "pool"
    ).matrices()[0]
    ridge, z = slow_ridge(x, y, np.arange(20), 0.5)
    row, col = np.triu_indices(20, k=1)
    np.testing.assert_allclose(found.weights, ridge.coef_, atol=1e-9)
    expected = ridge.predict((z[row] - z[col]) ** 2)
    np.testing.assert_allclose(found.fitted.vectors[0], expected, atol=1e-9)
    folds = _held_out.draw_folds(np.random.default_rng(0), np.ones((1, 20)), alone(20), 3)[0]
    for fold, ours, plain in found.folds[["fold", "similarity", "unweighted"]].to_numpy():
        ridge, z = slow_ridge(x, y, np.flatnonzero(folds != fold), 0.5)
        test = np.flatnonzero(folds == fold)
        row, col = (test[i] for i in np.triu_indices(len(test), k=1))
        d = (z[row] - z[col]) ** 2
        subjects = data.matrices()[:, row, col]
        for value, prediction in ((ours, ridge.predict(d)), (plain, d.sum(axis=1))):
            expected = np.mean([np.corrcoef(prediction, s)[0, 1] for s in subjects])
            assert value == pytest.approx(expected, abs=1e-9)
    monkeypatch.setattr(reweighting, "MEMORY", 10_000)
    blocks = reweighted_similarity(x, data, conditions=data.conditions, penalties=[0.5], n_folds=3)
    np.testing.assert_allclose(blocks.weights, found.weights, atol=1e-10)


def test_reweighting_chooses_a_penalty_within_the_training_conditions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 60))
    names = [f"c{i}" for i in range(30)]
    clean = rf.compute_rdms(x[:, :3], conditions=names, measure="sqeuclidean")
    noisy = rf.RDMs(rng.normal(size=(1, 435)) + 0.02 * clean.vectors, names, "noise")
    low, high = (
        reweighted_similarity(x, d, conditions=names, penalties=(1e-4, 1e4)).penalty
        for d in (clean, noisy)
    )
    assert low < high
    # Held-out pairs of noise are predicted by chance only; the fit to all data always fits.
    noise = rf.RDMs(rng.normal(size=(1, 435)), names, "noise")
    found = reweighted_similarity(x, noise, conditions=names, penalties=(1e-3,))
    assert abs(found.similarity) < 0.25
    assert rf.compare(found.fitted, noise, method="pearson")[0, 0] > 0.3


def test_test_pairs_change_no_reweighting():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 6))
    _, data = simulated(n_conditions=24)
    first = reweighted_similarity(x, data, conditions=data.conditions, n_folds=3)
    folds = _held_out.draw_folds(np.random.default_rng(0), np.ones((1, 24)), alone(24), 3)[0]
    assert first.folds["n_test"].tolist() == [(folds == f).sum() for f in range(3)]
    ridge = reweighting._Ridge(x, whole(data), np.array([0.1, 10.0]), False)
    weights = ridge.fit(np.flatnonzero(folds != 0), ridge.penalties)[0]
    row, col = np.triu_indices(24, k=1)
    changed = data.vectors.copy()
    held = (folds[row] == 0) & (folds[col] == 0)
    changed[:, held] = changed[:, held][:, ::-1]
    changed = rf.RDMs(changed, data.conditions, "d", data.labels)
    other = reweighting._Ridge(x, whole(changed), ridge.penalties, False)
    np.testing.assert_allclose(other.fit(np.flatnonzero(folds != 0), ridge.penalties)[0], weights)


def test_nonnegative_reweighting():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(24, 8))
    _, data = simulated(n_conditions=24)
    options = {"conditions": data.conditions, "penalties": [1e-9]}
    found = reweighted_similarity(x, data, nonnegative=True, **options)
    assert (found.weights >= 0).all()
    free = reweighted_similarity(x, data, **options)
    assert (free.weights < 0).any()
    pool = (data.vectors - data.vectors.mean(1, keepdims=True)) / data.vectors.std(1, keepdims=True)
    row, col = np.triu_indices(24, k=1)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    d = (z[row] - z[col]) ** 2
    expected = nnls(d - d.mean(axis=0), pool.mean(axis=0))[0]
    np.testing.assert_allclose(found.weights, expected, atol=1e-6)


def test_reweighting_doors(monkeypatch):
    _, data = simulated()
    x = np.random.default_rng(0).normal(size=(20, 4))
    names = data.conditions
    with pytest.raises(rf.InputError, match=r"shape \(20, n_features\).*got \(19, 4\)"):
        reweighted_similarity(x[1:], data, conditions=names)
    with pytest.raises(rf.InputError, match="finite patterns, got 1"):
        reweighted_similarity(
            np.where(np.arange(80) == 3, np.nan, x.ravel()).reshape(20, 4), data, conditions=names
        )
    with pytest.raises(rf.InputError, match="penalties above 0"):
        reweighted_similarity(x, data, conditions=names, penalties=[0.0, 1.0])
    with pytest.raises(rf.InputError, match="features that differ between conditions"):
        reweighted_similarity(np.ones((20, 4)), data, conditions=names)
    with pytest.raises(rf.InputError, match="at most 1000 features .*got 1001"):
        reweighted_similarity(
            np.random.default_rng(0).normal(size=(20, 1001)),
            data,
            conditions=names,
            nonnegative=True,
        )
    with pytest.raises(rf.ConditionMismatchError):
        reweighted_similarity(x, data, conditions=[f"d{i}" for i in range(20)])
    with pytest.raises(rf.InputError, match="24 distinct conditions"):
        reweighted_similarity(x, data, conditions=names, n_folds=8)
    monkeypatch.setattr(reweighting, "_LARGEST_GRAM", 3)
    with pytest.raises(rf.InputError, match="at most 3 features or pairs, got 4 features and 190"):
        reweighted_similarity(x, data, conditions=names)


# --- calibration ---------------------------------------------------------------------------------


def test_noise_layers_help_in_sample_only():
    rng = np.random.default_rng(0)
    held_out, in_sample = [], []
    for seed in range(25):
        model, data = simulated(n_networks=1, n_layers=2, n_conditions=24, seed=seed, noise=2.0)
        x = rng.normal(size=(12, 24, 8))
        row, col = np.triu_indices(24, k=1)
        noise = ((x[:, row] - x[:, col]) ** 2).sum(axis=2)
        more = rf.RDMs(
            np.vstack([model.vectors, noise]), model.conditions, "m", {"network": "net 0"}
        )
        splits = some_splits(data, seed, once=True)
        values, fitted = [], []
        for m in (model, more):
            layers = scaled_layers(m, "pearson")
            (sims,), _ = _held_out.held_out_means(
                layers, data.vectors, splits, alone(24), "nnls", METHODS["pearson"], 2, 2
            )
            values.append(sims[:, :, 0].mean())
            w = fit_layers(m, data, method="pearson")["weight"].to_numpy()
            prediction = rf.RDMs(w @ m.vectors, m.conditions, "fitted")
            fitted.append(rf.compare(prediction, data, method="pearson").mean())
        held_out.append(values[1] - values[0])
        in_sample.append(fitted[1] - fitted[0])
    # More layers never fit worse; on held-out pairs noise costs.
    assert np.min(in_sample) >= -1e-9
    assert np.mean(in_sample) > 3 * np.std(in_sample) / 5
    assert np.mean(held_out) < -2 * np.std(held_out) / 5


@pytest.mark.simulation
@pytest.mark.slow
def test_held_out_similarity_is_that_of_new_conditions_and_subjects():
    found, new, in_sample = [], [], []
    for seed in range(300):
        model, data = simulated(
            n_networks=1, n_layers=6, n_conditions=36, n_subjects=9, seed=seed, noise=2.0
        )
        layers = scaled_layers(model, "pearson")
        # The study: 24 conditions, 6 subjects. Half of them also train for 12 and 3 new ones: as
        # many as a fold holds, because similarities over more conditions are a little higher.
        counts = np.zeros((1, 36))
        counts[0, :24] = 1
        folds = np.full((1, 36), -1)
        folds[0, :24] = np.arange(24) % 2
        subjects = (np.array([[1.0] * 6 + [0] * 3]), np.array([[0, 1] * 3 + [-1] * 3]))
        study = _held_out.Splits(counts, folds, (subjects,))
        counts, folds = counts.copy(), folds.copy()
        counts[0, 1:24:2], counts[0, 24:] = 0, 1
        folds[0, :24:2], folds[0, 24:] = 1, 0
        subjects = np.array([[1.0, 0] * 3 + [1] * 3]), np.array([[1, -1] * 3 + [0] * 3])
        beyond = _held_out.Splits(counts, folds, (subjects,))
        options = (alone(36), "nnls", METHODS["pearson"], 2, 2)
        (here,), _ = _held_out.held_out_means(layers, data.vectors, study, *options)
        (there,), _ = _held_out.held_out_means(layers, data.vectors, beyond, *options)
        found.append(here[0, :, 0, :6].mean())
        new.append(there[0, 0, 0, 6:].mean())
        names = list(data.conditions[:24])
        part, own = model.subset(names), data[range(6)].subset(names)
        w = fit_layers(part, own, method="pearson")["weight"].to_numpy()
        prediction = rf.RDMs(w @ part.vectors, names, "fitted")
        in_sample.append(rf.compare(prediction, own, method="pearson").mean())
    difference = np.subtract(found, new)
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    assert abs(difference.mean()) < 3 * error
    assert error < 0.01
    assert np.mean(in_sample) - np.mean(new) > 5 * error


@pytest.mark.simulation
@pytest.mark.slow
def test_difference_of_equally_good_models_is_calibrated(monkeypatch):
    monkeypatch.setattr(_region, "shared_structure", lambda *_, **__: 0.001)
    n, p = 100, []
    row, col = np.triu_indices(30, k=1)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(6, 30, 6))
        vectors = ((x[:, row] - x[:, col]) ** 2).sum(axis=2)
        # Two layers of each network matter; every subject weights them differently.
        truth = rng.uniform(0.3, 1.7, size=(12, 4)) @ vectors[[0, 1, 3, 4]]
        truth = (truth - truth.mean(1, keepdims=True)) / truth.std(1, keepdims=True)
        names = [f"c{i}" for i in range(30)]
        model = rf.RDMs(vectors, names, "m", {"network": list("aaabbb")})
        data = rf.RDMs(truth + rng.normal(size=truth.shape), names, "d", {"subject": range(12)})
        result = evaluate_flexible(model, data, method="pearson", n_boot=300, seed=seed)
        p.append(result.pairs["p"][0])
    low, high = stats.binom.interval(0.99, n, 0.05)
    assert low <= (np.array(p) <= 0.05).sum() <= high


# --- runs ----------------------------------------------------------------------------------------


def in_runs(rdms, run_of, name):
    return rdms.subset([c for c in rdms.conditions if run_of[c] == name])


def lacking(rdms, run_of):
    """Return RDMs without the pairs of conditions of different runs."""
    codes = np.array([run_of[c] for c in rdms.conditions])
    row, col = np.triu_indices(len(codes), k=1)
    vectors = np.where(codes[row] == codes[col], rdms.vectors, np.nan)
    return rf.RDMs(vectors, rdms.conditions, "within", rdms.labels)


@pytest.mark.parametrize("method", ["pearson", "cosine", "rho-a", "corr_cov"])
@pytest.mark.parametrize("fit", FITS)
def test_fits_within_runs_are_judged_within_runs(fit, method):
    model, data = simulated(n_conditions=24, n_subjects=4)
    run_of = {c: "ab"[i % 2] for i, c in enumerate(model.conditions)}
    options = {"fit": fit, "method": method, "n_boot": 4, "blocks": run_of}
    found = evaluate_flexible(model, data, **options)
    # Pairs of different runs are used nowhere.
    again = evaluate_flexible(lacking(model, run_of), lacking(data, run_of), **options)
    numbers = found.table.select_dtypes("number").columns
    np.testing.assert_allclose(found.table[numbers], again.table[numbers], rtol=1e-9)
    # Held-out similarities are means over runs, each as if it were all there is.
    units, rows = Units(*codes(run_of, model), ("a", "b")), np.arange(24)
    rng = np.random.default_rng(1)
    counts, everyone = np.ones((3, 24)), np.ones((3, 4))
    folds = _held_out.draw_folds(rng, counts, units, 2)
    for run in (0, 1):
        assert (np.sort(folds[:, rows % 2 == run], axis=1) == np.repeat([0, 1], 6)).all()
    subjects = everyone, _held_out.draw_folds(rng, everyone, alone(4), 2)
    splits = _held_out.Splits(counts, folds, (subjects,))
    layers = scaled_layers(model, method)
    (ours,), weights = _held_out.held_out_means(
        layers, data.vectors, splits, units, fit, METHODS[method], 2, 2
    )
    expected = []
    for name, run in (("a", 0), ("b", 1)):
        own = rows % 2 == run
        sides = [
            in_runs(rf.RDMs(v, model.conditions, "x"), run_of, name).vectors
            for v in (layers.vectors, data.vectors)
        ]
        expected.append(
            _held_out.held_out_plain(
                sides[0],
                layers.starts,
                weights,
                sides[1],
                (counts[:, own], folds[:, own]),
                subjects,
                METHODS[method],
            )
        )
    np.testing.assert_allclose(ours, np.mean(expected, axis=0), atol=1e-12)


def codes(run_of, rdms):
    blocks = np.array([run_of[c] for c in rdms.conditions])
    return np.arange(len(blocks)), (blocks == "b").astype(int)


def test_weights_of_runs_on_different_scales():
    model, data = simulated(n_networks=1, n_conditions=30, noise=0.05)
    run_of = {c: "ab"[i % 2] for i, c in enumerate(model.conditions)}
    second = np.array([run_of[c] == "b" for c in data.conditions])
    row, col = np.triu_indices(30, k=1)
    scaled = np.where(second[row] & second[col], 1000 * data.vectors + 50, data.vectors)
    scaled = rf.RDMs(scaled, data.conditions, "x", data.labels)
    first, other = (
        fit_layers(model, d, method="pearson", blocks=run_of)["weight"] for d in (data, scaled)
    )
    np.testing.assert_allclose(first, other, atol=1e-9)
    assert first.argmax() == 0
    best = [best_layer(model, d, n_boot=4, blocks=run_of).table for d in (data, scaled)]
    np.testing.assert_allclose(best[0]["similarity"], best[1]["similarity"])


def test_doors_of_fits_within_runs():
    model, data = simulated(n_conditions=24)
    run_of = {c: "a" if i < 5 else "b" for i, c in enumerate(model.conditions)}
    with pytest.raises(rf.InputError, match="expected at least 6 distinct conditions in run 'a'"):
        evaluate_flexible(model, data, n_boot=4, blocks=run_of)
    with pytest.warns(UserWarning, match="10 bootstrap samples: what is held out of fits has no"):
        found = evaluate_flexible(model, data, n_boot=10, uncertainty="analytic")
    drawn = evaluate_flexible(model, data, n_boot=10)
    np.testing.assert_array_equal(found.table["sem"], drawn.table["sem"])


@pytest.mark.parametrize("n_features", [6, 90])
def test_reweighting_within_runs(n_features):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, n_features))
    names = [f"c{i}" for i in range(24)]
    run_of = {c: "ab"[i % 2] for i, c in enumerate(names)}
    second = np.arange(24) % 2 == 1
    row, col = np.triu_indices(24, k=1)
    truth = rf.compute_rdms(x[:, :2], conditions=names, measure="sqeuclidean").vectors
    across = np.where(second[row] & second[col], 100 * truth + 7, truth)
    across = np.where(second[row] != second[col], np.nan, across)
    data = rf.RDMs(across, names, "within")
    options = {"conditions": names, "n_folds": 2, "penalties": (1e-3,), "blocks": run_of}
    found = reweighted_similarity(x, data, **options)
    # The scale of a run does not matter.
    plain = reweighted_similarity(x, rf.RDMs(truth, names, "x"), **options)
    np.testing.assert_allclose(found.folds, plain.folds, rtol=1e-8)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    d, y = (z[row] - z[col]) ** 2, np.full(len(row), np.nan)
    for run in (False, True):
        own = (second[row] == run) & (second[col] == run)
        y[own] = (truth[0, own] - truth[0, own].mean()) / truth[0, own].std()
    used = ~np.isnan(y)
    penalty = 1e-3 * d[used].var(axis=0).sum()
    expected = Ridge(alpha=penalty, solver="cholesky").fit(d[used], y[used]).coef_
    np.testing.assert_allclose(found.weights, expected, rtol=1e-6, atol=1e-10)
    assert found.similarity > 0.9 if n_features == 6 else found.similarity > found.unweighted
