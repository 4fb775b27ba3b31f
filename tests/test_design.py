"""Groups, runs and samples of inference: what is drawn, exchanged, used and said."""

import inspect
import warnings

import numpy as np
import pytest
from scipy import stats

import rsa_faces as rf
from rsa_faces.comparison._forms import Covariance
from rsa_faces.inference import (
    cronbach_alpha,
    evaluate_flexible,
    permutation_test,
    split_half,
    time_course,
    variance_partition,
)
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._orders import exchanges
from rsa_faces.inference._study import Study
from rsa_faces.inference.bootstrap import draw_conditions, dual_variance
from rsa_faces.inference.partition import Partition

METHODS = list(rf.comparison.METHODS)


def study(n_conditions=18, n_subjects=4, n_runs=3, *, seed=0, between=np.nan, noise=1.0):
    """Return models, subjects and the run of each condition; pairs between runs are `between`."""
    rng = np.random.default_rng(seed)
    names = [f"c{i:02d}" for i in range(n_conditions)]
    runs = {c: f"run {i % n_runs}" for i, c in enumerate(names)}
    row, col = np.triu_indices(n_conditions, k=1)
    outside = np.array([runs[names[i]] != runs[names[j]] for i, j in zip(row, col, strict=True)])
    truth = rng.random(len(row))
    model = np.stack([truth, rng.random(len(row))])
    data = truth + noise * rng.random((n_subjects, len(row)))
    data[:, outside] = between
    labels = {"subject": [f"s{i}" for i in range(n_subjects)]}
    return (
        rf.RDMs(model, names, "simulated", {"name": ["true", "other"]}),
        rf.RDMs(data, names, "simulated", labels),
        runs,
    )


def in_run(rdms, runs, run):
    """Return RDMs of the conditions of one run."""
    return rdms.subset([c for c in rdms.conditions if runs[c] == run])


def quiet(function, *arguments, **options):
    """Return what a function returns, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **options)


# --- what is drawn -------------------------------------------------------------------------------


def of(groups, blocks=None):
    """Return units."""
    blocks = np.zeros(len(groups), int) if blocks is None else np.asarray(blocks)
    return Units(np.asarray(groups), blocks, tuple(f"run {b}" for b in np.unique(blocks)))


def test_whole_groups_are_drawn_even_one_of_them_four_times():
    units = of(np.repeat(range(4), 4))
    counts, spread = draw_conditions(np.random.default_rng(0), 20_000, units)
    by_group = counts[:, ::4]
    assert (counts == np.repeat(by_group, 4, axis=1)).all()
    assert (by_group.sum(axis=1) == 4).all()
    # One person four times is a sample: four images of one person can be compared.
    assert (by_group.max(axis=1) == 4).mean() == pytest.approx(4 / 256, abs=0.004)
    assert spread == 0.75
    assert by_group.var(axis=0) == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("n", [4, 5, 6, 8])
def test_only_samples_without_three_pairs_are_drawn_again(n):
    counts, spread = draw_conditions(np.random.default_rng(1), 20_000, of(np.arange(n)))
    distinct = (counts > 0).sum(axis=1)
    assert distinct.min() == 3
    assert spread == pytest.approx(((counts - 1) ** 2).mean())
    # Of all samples, those with three or more different conditions.
    free = np.random.default_rng(2).multinomial(n, np.full(n, 1 / n), size=40_000)
    kept = free[(free > 0).sum(axis=1) > 2]
    assert spread == pytest.approx(((kept - 1) ** 2).mean(), abs=0.02)
    assert spread < 1 - 1 / n


def test_conditions_are_drawn_within_their_run():
    blocks = np.repeat([0, 1], [5, 9])
    counts, spread = draw_conditions(np.random.default_rng(0), 500, of(np.arange(14), blocks))
    assert (counts[:, :5].sum(axis=1) == 5).all()
    assert (counts[:, 5:].sum(axis=1) == 9).all()
    assert of(np.arange(14), blocks).freedom == 12
    # A person seen in both runs is drawn in both.
    people = np.r_[0:5, 0:5, 5:9]
    across = of(people, blocks)
    counts, _ = draw_conditions(np.random.default_rng(0), 500, across)
    assert (counts[:, :5] == counts[:, 5:10]).all()
    assert across.freedom == 8


def test_what_can_never_be_compared_is_refused():
    with pytest.raises(rf.InputError, match="hardly any sample holds 3 different conditions in"):
        draw_conditions(np.random.default_rng(0), 10, of(np.arange(4), [0, 0, 1, 1]))


def test_both_is_never_surer_than_one():
    rng = np.random.default_rng(0)
    subjects, conditions, both = rng.random((3, 1000))
    variance = dual_variance(subjects, conditions, both, 3, 12)
    assert (variance >= 3 / 2 * subjects).all()
    assert (variance >= 12 / 11 * conditions).all()


def test_the_standard_error_of_four_people_is_not_zero():
    rng = np.random.default_rng(0)
    names = [f"c{i:02d}" for i in range(16)]
    person = {c: f"p{i // 4}" for i, c in enumerate(names)}
    model = rf.RDMs(rng.random((2, 120)), names, "m", {"name": ["a", "b"]})
    data = rf.RDMs(rng.random((6, 120)), names, "m", {"subject": range(6)})
    for target in ("conditions", "both"):
        found = quiet(rf.evaluate, model, data, groups=person, generalise_to=target, n_boot=200)
        assert (found.table["sem"] > 0.01).all()
        assert found.settings["degrees_of_freedom"] == 3
    alone = quiet(
        rf.evaluate,
        model.subset(names[:4]),
        data.subset(names[:4]),
        generalise_to="conditions",
        n_boot=200,
    )
    assert (alone.table["sem"] > 0.1).all()
    labels = {"subject": np.repeat(range(6), 2), "time": np.tile([0.0, 0.1], 6)}
    movie = rf.RDMs(rng.random((12, 120)), names, "m", labels)
    course = quiet(
        time_course,
        model,
        movie,
        groups=person,
        generalise_to="conditions",
        n_boot=200,
        n_permutations=0,
    )
    assert (course.table["p"] > 1e-3).all()


def test_nothing_follows_from_an_error_of_zero():
    model, data, _ = study(between=0.5)
    same = rf.RDMs(np.repeat(model.vectors[:1], 4, axis=0), model.conditions, "m", data.labels)
    with pytest.warns(UserWarning, match="no standard error can be given for true"):
        found = rf.evaluate(model, same, n_boot=50, method="pearson")
    assert found.table["similarity"][0] == pytest.approx(1)
    assert np.isnan(found.table[["sem", "p", "ci_low"]].iloc[0].to_numpy(float)).all()


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_runs_are_compared_one_by_one_and_averaged(method):
    model, data, runs = study()
    expected = np.mean(
        [
            rf.compare(in_run(model, runs, r), in_run(data, runs, r), method=method)
            for r in dict.fromkeys(runs.values())
        ],
        axis=0,
    )
    np.testing.assert_allclose(
        rf.compare(model, data, method=method, blocks=runs), expected, atol=1e-12
    )
    found = quiet(rf.evaluate, model, data, method=method, blocks=runs, n_boot=20)
    np.testing.assert_allclose(found.table["similarity"], expected.mean(axis=1), atol=1e-12)
    ceilings = [rf.noise_ceiling(in_run(data, runs, r), method=method) for r in set(runs.values())]
    ceiling = rf.noise_ceiling(data, method=method, blocks=runs)
    assert ceiling.lower == pytest.approx(np.mean([c.lower for c in ceilings]), abs=1e-12)
    assert ceiling.upper == pytest.approx(np.mean([c.upper for c in ceilings]), abs=1e-12)
    assert found.table["ceiling_low"][0] == pytest.approx(ceiling.lower, abs=1e-12)
    # What lies between runs is used nowhere.
    other = study(between=7.0)[1]
    again = quiet(rf.evaluate, model, other, method=method, blocks=runs, n_boot=20)
    np.testing.assert_allclose(again.table["sem"], found.table["sem"], rtol=1e-9)
    assert again.ceilings["p_reliable"][0] == found.ceilings["p_reliable"][0]


@pytest.mark.parametrize("method", ["pearson", "spearman", "cosine"])
def test_weights_and_partial_correlations_within_runs(method):
    model, data, runs = study()
    rng = np.random.default_rng(5)
    weights = rf.RDMs(rng.random(data.vectors.shape), data.conditions, "w")
    names = list(dict.fromkeys(runs.values()))
    expected = [
        rf.compare(
            in_run(model, runs, r),
            in_run(data, runs, r),
            method=method,
            weights=in_run(weights, runs, r).vectors,
        )
        for r in names
    ]
    found = rf.compare(model, data, method=method, weights=weights.vectors, blocks=runs)
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-12)
    if method == "cosine":
        return
    given = model[1]
    expected = [
        rf.compare(
            in_run(model[0], runs, r),
            in_run(data, runs, r),
            method=method,
            given=in_run(given, runs, r),
        )
        for r in names
    ]
    found = rf.compare(model[0], study(between=1.0)[1], method=method, given=given, blocks=runs)
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-12)


@pytest.mark.parametrize("method", ["pearson", "rho-a", "tau-a", "corr_cov"])
def test_samples_within_runs_are_resamples(method):
    model, data, runs = study(n_runs=2, n_conditions=14)
    design = Design(blocks=runs)
    units = design.units(model.conditions)
    counts, _ = draw_conditions(np.random.default_rng(3), 5, units, fewest=5)
    whole = Study(model.vectors, data.vectors, rf.comparison.resolve(method), units)
    found, bounds = whole.similarities(counts), whole.ceilings(counts)
    for run, members in zip(units.names, units.runs, strict=True):
        sides = [in_run(rdms, runs, run).vectors for rdms in (model, data)]
        own = Study(*sides, rf.comparison.resolve(method), of(np.arange(len(members))))
        found = found - own.similarities(counts[:, members]) / 2
        bounds = bounds - own.ceilings(counts[:, members]) / 2
    np.testing.assert_allclose(found, 0, atol=1e-12)
    np.testing.assert_allclose(bounds, 0, atol=1e-12)


def test_a_subject_without_a_run_has_the_mean_over_its_others():
    model, data, runs = study()
    vectors = data.vectors.copy()
    row, col = np.triu_indices(len(data.conditions), k=1)
    of_pair = [runs[data.conditions[i]] for i in row]
    vectors[0, np.array(of_pair) == "run 1"] = np.nan
    lacking = rf.RDMs(vectors, data.conditions, "simulated", data.labels)
    expected = np.mean(
        [rf.compare(in_run(model, runs, r), in_run(data[0], runs, r)) for r in ("run 0", "run 2")],
        axis=0,
    )
    np.testing.assert_allclose(rf.compare(model, lacking, blocks=runs)[:, [0]], expected)
    found = quiet(rf.evaluate, model, lacking, blocks=runs, n_boot=20)
    np.testing.assert_allclose(found.subjects["similarity"].iloc[[0, 4]], expected[:, 0])


def test_reliability_within_runs():
    _, data, runs = study()
    alpha = cronbach_alpha(data, blocks=runs)
    own = [cronbach_alpha(in_run(data, runs, r)).overall for r in dict.fromkeys(runs.values())]
    np.testing.assert_allclose(list(alpha.by_block.values()), own, rtol=1e-12)
    assert alpha.mean == pytest.approx(np.mean(own))
    assert np.isnan(alpha.overall)
    assert 0 < split_half(data, blocks=runs, n_splits=20) < 1
    with pytest.raises(rf.InputError, match="every pair measured in every subject"):
        cronbach_alpha(data)


def test_scales_of_runs_do_not_matter_within_runs():
    """Raters who use their own scale in each run: pooled r is low, mean run r is not."""
    model, data, runs = study(n_conditions=48, n_subjects=6, n_runs=4, between=0.0, noise=0.5)
    rng = np.random.default_rng(1)
    row = np.triu_indices(48, k=1)[0]
    run = np.array([runs[data.conditions[i]] for i in row])
    vectors = data.vectors.copy()
    for r in set(run):
        inside = run == r
        vectors[:, inside] = vectors[:, inside] * rng.uniform(1, 3, (6, 1)) + rng.normal(
            0, 3, (6, 1)
        )
    scaled = rf.RDMs(vectors, data.conditions, "simulated", data.labels)
    pooled = rf.compare(model[0], scaled, method="pearson").mean()
    within = rf.compare(model[0], scaled, method="pearson", blocks=runs)
    assert within.mean() > pooled + 0.2
    np.testing.assert_allclose(
        within, rf.compare(model[0], data, method="pearson", blocks=runs), atol=1e-12
    )


def test_doors_of_runs_and_groups():
    model, data, runs = study()
    with pytest.raises(rf.InputError, match="expected a block for every condition, but 17 have"):
        rf.compare(model, data, blocks={"c00": 1})
    with pytest.raises(rf.InputError, match="at least 3 conditions in block '1', got 2"):
        rf.compare(model, data, blocks={c: int(i < 2) for i, c in enumerate(model.conditions)})
    with pytest.raises(rf.InputError, match="4 conditions in run '1' of the data .* got 3"):
        quiet(rf.evaluate, model, data, blocks={c: int(i < 3) for i, c in enumerate(runs)})
    with pytest.raises(rf.InputError, match="expected a group for every condition, but 1 have"):
        rf.evaluate(model, data, groups=dict.fromkeys(model.conditions, 1) | {"c03": None})


# --- what is exchanged ---------------------------------------------------------------------------


def test_whole_groups_are_exchanged_with_groups_of_their_size():
    groups = np.array([0, 0, 1, 1, 2, 2, 2, 3, 3])
    orders = exchanges(groups, np.zeros(9, int))(np.random.default_rng(0), 300)
    assert (np.sort(orders, axis=1) == np.arange(9)).all()
    assert (orders[:, 4:7] == [4, 5, 6]).all()
    assert len(np.unique(orders, axis=0)) == 6
    # Members keep their order: the second image of one person takes the place of a second image.
    assert set(orders[:, 0]) == {0, 2, 7}
    assert (orders[:, 1] == orders[:, 0] + 1).all()


def test_groups_in_several_cells_move_cell_by_cell():
    people = np.array([0, 1, 2, 0, 1, 2, 3, 3])
    cells = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    orders = exchanges(people, cells)(np.random.default_rng(0), 200)
    assert (cells[orders] == cells).all()
    assert (people[orders[:, :3]] == people[orders[:, 3:6]]).all()
    assert len(np.unique(orders, axis=0)) == 6
    with pytest.raises(rf.InputError, match="groups .* that can be exchanged, but none of 2"):
        exchanges(np.array([0, 0, 1]), np.zeros(3, int))
    with pytest.warns(UserWarning, match="there are 6 orders .* below 0.167"):
        exchanges(np.repeat(range(3), 2), np.zeros(6, int))


def test_a_model_of_groups_alone_cannot_be_tested_by_exchanging_groups():
    names = [f"c{i:02d}" for i in range(20)]
    person = {c: i // 4 for i, c in enumerate(names)}
    same = rf.rdm.model_rdm_from_labels([person[c] for c in names], conditions=names)
    data = rf.RDMs(
        same.vectors + np.random.default_rng(0).random((3, 190)), names, "m", {"subject": range(3)}
    )
    assert permutation_test(same, data, n_permutations=99).p[0] == 0.01
    assert permutation_test(same, data, groups=person, n_permutations=99).p[0] == 1


def test_permutation_within_runs_is_the_mean_over_runs():
    model, data, runs = study()
    for method in ("pearson", "tau-a", "corr_cov"):
        test = permutation_test(model, data, method=method, blocks=runs, n_permutations=99)
        expected = rf.compare(model, data, method=method, blocks=runs).mean(axis=1)
        np.testing.assert_allclose(test.similarity, expected, atol=1e-12)
        assert test.p[0] == 0.01
    cell = {c: i % 2 for i, c in enumerate(model.conditions)}
    assert permutation_test(model, data, blocks=runs, within=cell, n_permutations=99).p[0] < 0.05


# --- what is asked for and said ------------------------------------------------------------------


def test_old_names_are_taken_with_a_word():
    model, data, _ = study(between=0.5)
    with pytest.warns(FutureWarning, match="argument of evaluate.. is now called 'generalise_to'"):
        old = quiet(rf.evaluate, model, data, bootstrap="subjects", n_boot=20)
    new = quiet(rf.evaluate, model, data, generalise_to="subjects", n_boot=20)
    assert old.to_json() == new.to_json()
    with pytest.raises(rf.InputError, match="bootstrap='both' as well"):
        rf.evaluate(model, data, bootstrap="both", generalise_to="both")


def test_one_sided_tests():
    model, data, _ = study(between=0.5, noise=3.0)
    p = {
        tail: quiet(rf.evaluate, model, data, n_boot=50, tail=tail).table["p"]
        for tail in ("two-sided", "greater", "less")
    }
    np.testing.assert_allclose(p["greater"] + p["less"], 1)
    np.testing.assert_allclose(2 * np.minimum(p["greater"], p["less"]), p["two-sided"])
    with pytest.raises(rf.InputError, match="unknown tail 'right'"):
        rf.evaluate(model, data, tail="right")


def test_correction_over_all_regions():
    model, first, _ = study(between=0.5)
    second = study(between=0.5, seed=3)[1]
    data = rf.concat([first.with_labels(region="FFA"), second.with_labels(region="OFA")])
    within = quiet(rf.evaluate, model, data, n_boot=50)
    over = quiet(rf.evaluate, model, data, n_boot=50, family="all")
    np.testing.assert_allclose(over.table["p"], within.table["p"])
    np.testing.assert_allclose(
        over.table["p_corrected"], stats.false_discovery_control(over.table["p"])
    )
    assert (over.table["p_corrected"] != within.table["p_corrected"]).any()
    from rsa_faces.report.methods import methods_text

    text = methods_text(over, measure="correlation", networks=[])
    assert "corrected over all tests of one kind over all regions" in text


def test_a_subject_that_spoils_is_named_and_left_out_on_request():
    model, data, _ = study(between=0.5)
    vectors = data.vectors.copy()
    vectors[1] = 2.0
    spoilt = rf.RDMs(vectors, data.conditions, "m", data.labels)
    with pytest.warns(UserWarning, match="the RDM of subject 's1' is constant or empty and spoils"):
        kept = rf.evaluate(model, spoilt, n_boot=20)
    assert kept.table["similarity"].isna().all()
    assert kept.subjects["similarity"].notna().sum() == 6
    assert any("in subject 's1'" in note for note in kept.notes)
    with pytest.warns(UserWarning, match="'s1' is constant or empty and is left out"):
        dropped = rf.evaluate(model, spoilt, n_boot=20, unusable="drop")
    without = quiet(rf.evaluate, model, data[[0, 2, 3]], n_boot=20)
    np.testing.assert_allclose(dropped.table["similarity"], without.table["similarity"])
    assert (dropped.table["n_subjects"] == 3).all()


def test_a_condition_nobody_has_is_named_and_left_out_on_request():
    model, data, _ = study(between=0.5)
    row, col = np.triu_indices(18, k=1)
    vectors = data.vectors.copy()
    vectors[:, (row == 4) | (col == 4)] = np.nan
    holes = rf.RDMs(vectors, data.conditions, "m", data.labels)
    with pytest.warns(UserWarning, match="no subject has a pair of 1 conditions .'c04'"):
        dropped = rf.evaluate(model, holes, n_boot=20, unusable="drop")
    assert (dropped.table["n_conditions"] == 17).all()
    names = [c for c in data.conditions if c != "c04"]
    without = quiet(rf.evaluate, model.subset(names), data.subset(names), n_boot=20)
    np.testing.assert_allclose(dropped.table["sem"], without.table["sem"])


def test_partition_draws_and_exchanges_whole_groups():
    model, data, _ = study(n_conditions=24, between=0.5, noise=3.0)
    person = {c: i // 4 for i, c in enumerate(data.conditions)}
    predictors = {"a": model[0], "b": model[1]}
    found = quiet(variance_partition, data, predictors, groups=person, n_boot=200, seed=1)
    assert isinstance(found, Partition)
    assert found.settings["degrees_of_freedom"] == 5
    single = quiet(variance_partition, data, predictors, n_boot=200, seed=1)
    np.testing.assert_allclose(found.table["r2_adjusted"], single.table["r2_adjusted"])
    assert not np.allclose(found.table["sem"], single.table["sem"], rtol=0.05)


def test_whitened_folds_stand_where_one_condition_holds_half_of_the_draws():
    rng = np.random.default_rng(0)
    names = [f"c{i:02d}" for i in range(16)]
    labels = {"network": "n", "layer": ["a", "b"], "layer_index": [0, 1]}
    model = rf.RDMs(rng.random((2, 120)), names, "m", labels)
    data = rf.RDMs(model.vectors[0] + rng.random((4, 120)), names, "m", {"subject": list("wxyz")})
    for method in ("corr_cov", "cosine_cov"):
        found = quiet(evaluate_flexible, model, data, method=method, n_boot=400, seed=1)
        assert (found.table["sem"] > 0).all()


# --- signatures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["comparison", "inference", "rdm", "mapping"])
def test_no_function_takes_more_than_eight_positional_arguments(name):
    import importlib
    import pkgutil

    package = importlib.import_module(f"rsa_faces.{name}")
    modules = [package] + [
        importlib.import_module(m.name)
        for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    ]
    long = {}
    for module in modules:
        owners = [module, *(v for v in vars(module).values() if inspect.isclass(v))]
        for owner in owners:
            for function in vars(owner).values():
                function = getattr(function, "py_func", inspect.unwrap(function))
                own = getattr(function, "__module__", None) == module.__name__
                if not (inspect.isfunction(function) and own) or function.__name__ == "__init__":
                    continue
                kinds = [p.kind for p in inspect.signature(function).parameters.values()]
                n = sum(k in (0, 1) for k in kinds)
                if n > 8:
                    long[f"{module.__name__}.{function.__qualname__}"] = n
    assert not long


# --- runs elsewhere ------------------------------------------------------------------------------


def test_feature_contrast_within_runs():
    from rsa_faces.behaviour import feature_contrast

    _, data, runs = study(n_conditions=24)
    gender = {c: i % 4 // 2 for i, c in enumerate(data.conditions)}
    age = {c: i // 6 for i, c in enumerate(data.conditions)}
    features = {"gender": gender, "age": age}
    found = feature_contrast(data, features, blocks=runs, n_permutations=99)
    names = list(dict.fromkeys(runs.values()))
    each = [feature_contrast(in_run(data, runs, r), features, n_permutations=0) for r in names]
    for column in ("contrast", "between", "within"):
        expected = np.mean([table[column] for table in each], axis=0)
        np.testing.assert_allclose(found[column], expected, atol=1e-12)
    assert (found["n_within"] == np.sum([t["n_within"] for t in each], axis=0)).all()
    assert ((found["p"] >= 0.01) & (found["p"] <= 1)).all()
    person = {c: i // 2 for i, c in enumerate(data.conditions)}
    with pytest.raises(rf.InputError, match="each person of `people` in one block, but 12"):
        feature_contrast(data, features, blocks=runs, people=person)


def test_searchlight_within_runs():
    from rsa_faces.mapping import searchlight
    from rsa_faces.mapping.groups import ceiling_map

    nibabel = pytest.importorskip("nibabel")
    model, _, runs = study(n_conditions=15, between=0.5)
    rng = np.random.default_rng(0)
    affine = np.diag([3.0, 3, 3, 1])
    mask = nibabel.Nifti1Image(np.ones((4, 4, 3), np.uint8), affine)
    images = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 3, 15)), affine) for _ in range(2)]
    names = list(dict.fromkeys(runs.values()))
    places = {r: [i for i, c in enumerate(model.conditions) if runs[c] == r] for r in names}
    options = {"mask_img": mask, "radius": 6.0, "progress": False}
    for method in ("spearman", "tau-a", "corr_cov"):
        found = searchlight(
            images[0],
            conditions=model.conditions,
            models=model,
            method=method,
            blocks=runs,
            **options,
        )
        alone = [
            searchlight(
                nibabel.Nifti1Image(images[0].get_fdata()[..., places[r]], affine),
                conditions=in_run(model, runs, r).conditions,
                models=in_run(model, runs, r),
                method=method,
                **options,
            ).similarity
            for r in names
        ]
        np.testing.assert_allclose(found.similarity, np.mean(alone, axis=0), atol=1e-10)
    ceiling = ceiling_map(images, conditions=model.conditions, blocks=runs, **options)
    alone = [
        ceiling_map(
            [nibabel.Nifti1Image(i.get_fdata()[..., places[r]], affine) for i in images],
            conditions=in_run(model, runs, r).conditions,
            **options,
        ).lower
        for r in names
    ]
    np.testing.assert_allclose(ceiling.lower, np.mean(alone, axis=0), atol=1e-10)


# --- weights of evidence -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pearson", "spearman", "cosine"])
@pytest.mark.parametrize("in_runs", [False, True])
def test_evidence_weighs_similarities_and_ceilings(method, in_runs):
    model, data, runs = study(between=0.5)
    options = {"method": method, "blocks": runs if in_runs else None}
    rng = np.random.default_rng(2)
    weights = rng.random(data.vectors.shape)
    weights[0, :9] = 0
    found = quiet(rf.evaluate, model, data, weights=weights, n_boot=20, **options)
    expected = rf.compare(model, data, weights=weights, **options)
    np.testing.assert_allclose(found.subjects["similarity"], expected.ravel(), atol=1e-12)
    assert found.settings["weights"]
    # Only ratios of a subject's weights matter.
    scaled = weights * np.array([[1.0], [2], [30], [4]])
    again = quiet(rf.evaluate, model, data, weights=scaled, n_boot=20, **options)
    np.testing.assert_allclose(again.table["sem"], found.table["sem"], rtol=1e-9)
    np.testing.assert_allclose(again.table["ceiling_low"], found.table["ceiling_low"], atol=1e-12)
    # Weights that are all the same are none.
    same = quiet(rf.evaluate, model, data, weights=np.full_like(weights, 3.0), n_boot=20, **options)
    none = quiet(rf.evaluate, model, data, n_boot=20, **options)
    for column in ("similarity", "sem", "ceiling_low", "ceiling_high"):
        np.testing.assert_allclose(same.table[column], none.table[column], rtol=1e-9)


def test_lower_ceiling_under_weights_is_a_loop():
    _, data, _ = study(n_conditions=8, n_subjects=3, between=0.5)
    weights = np.random.default_rng(0).random(data.vectors.shape)
    weights /= weights.mean(axis=1, keepdims=True)

    def z(x, w):
        x = x - np.average(x, weights=w)
        return x / np.sqrt(np.average(x**2, weights=w))

    scaled = np.array([z(x, w) for x, w in zip(data.vectors, weights, strict=True)])
    lower = []
    for s in range(3):
        others = [i for i in range(3) if i != s]
        pool = np.average(scaled[others], axis=0, weights=weights[others])
        lower.append(np.average(z(pool, weights[s]) * scaled[s], weights=weights[s]))
    ceiling = rf.noise_ceiling(data, method="pearson", weights=7 * weights)
    assert ceiling.lower == pytest.approx(np.mean(lower), abs=1e-12)


def test_doors_of_weights():
    model, data, _ = study(between=0.5)
    weights = np.ones(data.vectors.shape)
    with pytest.raises(rf.InputError, match="expected a method that takes weights"):
        rf.evaluate(model, data, weights=weights, method="tau-a")
    with pytest.raises(rf.InputError, match="expected weights of shape .4, 153."):
        rf.evaluate(model, data, weights=weights[:2], method="pearson")
    two = data.with_labels(subject=["a", "a", "b", "b"])
    with pytest.raises(rf.InputError, match="one RDM per subject with `weights`, got 4 RDMs of 2"):
        rf.evaluate(model, two, weights=weights, method="pearson")


@pytest.mark.parametrize("method", ["pearson", "spearman", "cosine"])
@pytest.mark.parametrize("in_runs", [False, True])
def test_closed_form_under_weights(method, in_runs):
    model, data, runs = study(n_subjects=6, n_conditions=24, n_runs=2, between=0.5)
    options = {"method": method, "blocks": runs if in_runs else None, "uncertainty": "analytic"}
    weights = np.random.default_rng(2).random(data.vectors.shape)
    weights[0, :9] = 0
    columns = ["sem", "p_ceiling", "ceiling_low", "ci_low"]
    found = quiet(rf.evaluate, model, data, weights=weights, **options).table[columns]
    # Only ratios of a subject's weights matter.
    scaled = weights * np.arange(1, 7)[:, None]
    again = quiet(rf.evaluate, model, data, weights=scaled, **options).table[columns]
    np.testing.assert_allclose(again, found, rtol=1e-9)
    # Weights that are all the same are none, and those of 0 are missing pairs.
    same = quiet(rf.evaluate, model, data, weights=np.full_like(weights, 3.0), **options)
    none = quiet(rf.evaluate, model, data, **options)
    np.testing.assert_allclose(same.table[columns], none.table[columns], rtol=1e-9)
    vectors = np.where(weights > 0, data.vectors, np.nan)
    lacking = rf.RDMs(vectors, data.conditions, "simulated", data.labels)
    zero = quiet(rf.evaluate, model, data, weights=np.sign(weights), **options)
    missing = quiet(rf.evaluate, model, lacking, **options)
    np.testing.assert_allclose(zero.table[columns], missing.table[columns], rtol=1e-9)


@pytest.mark.parametrize("method", ["corr_cov", "cosine_cov"])
@pytest.mark.parametrize("in_runs", [False, True])
def test_covariance_of_patterns_in_evaluation(method, in_runs):
    model, data, runs = study(n_subjects=5, n_conditions=16, n_runs=2, between=0.5)
    rng = np.random.default_rng(0)
    root = rng.normal(size=(16, 40))
    sigma_k = root @ root.T / 40
    options = {"method": method, "blocks": runs if in_runs else None}
    with pytest.warns(UserWarning, match="come from the closed form: how copies"):
        found = rf.evaluate(model, data, sigma_k=sigma_k, **options)
    expected = rf.compare(model, data, sigma_k=sigma_k, **options)
    np.testing.assert_allclose(found.subjects["similarity"], expected.ravel(), atol=1e-12)
    assert found.settings["sigma_k"]
    assert found.settings["uncertainty"] == "analytic"
    # The lower ceiling: each subject and the mean of the others, scaled as the method wants.
    names = np.unique(list(runs.values())) if in_runs else ["all"]
    lower = []
    for run in names:
        own, kept = data, np.arange(16)
        if in_runs:
            own = in_run(data, runs, run)
            kept = np.array([runs[c] == run for c in data.conditions]).nonzero()[0]
        scaled = own.vectors - own.vectors.mean(axis=1, keepdims=True) * (method == "corr_cov")
        scaled /= np.sqrt((scaled**2).mean(axis=1, keepdims=True))
        for s in range(5):
            pool = rf.RDMs(scaled[np.arange(5) != s].mean(axis=0), own.conditions, "pool")
            here = sigma_k[np.ix_(kept, kept)]
            lower.append(rf.compare(pool, own[s], method=method, sigma_k=here)[0, 0])
    assert found.table["ceiling_low"][0] == pytest.approx(np.mean(lower), abs=1e-12)
    # For subjects alone samples are drawn, and nothing is left out.
    drawn = quiet(rf.evaluate, model, data, sigma_k=sigma_k, generalise_to="subjects", **options)
    assert drawn.settings["uncertainty"] == "bootstrap"
    # Independent patterns of any variance are as if nothing was known.
    known = quiet(rf.evaluate, model, data, sigma_k=3 * np.eye(16), **options).table
    none = quiet(rf.evaluate, model, data, uncertainty="analytic", **options).table
    same = ["similarity", "ceiling_low", "ceiling_high"]
    np.testing.assert_allclose(known[same], none[same], atol=1e-12)
    np.testing.assert_allclose(known["sem"], none["sem"], rtol=0.05)


def test_doors_of_sigma_k():
    model, data, _ = study(between=0.5)
    with pytest.raises(rf.InputError, match="uses no `sigma_k`"):
        rf.evaluate(model, data, sigma_k=np.eye(18), method="pearson")
    with pytest.raises(rf.InputError, match="expected a sigma_k of shape"):
        rf.evaluate(model, data, sigma_k=np.eye(3), method="corr_cov")
    with pytest.raises(rf.InputError, match="closed form|analytic"):
        rf.evaluate(model, data, sigma_k=np.eye(18), method="corr_cov", interval="percentile")
    copies = np.ones((1, 18))
    copies[0, :2] = 2, 0
    method = rf.comparison.resolve("corr_cov").with_sigma_k(Covariance(np.eye(18)))
    with pytest.raises(rf.InputError, match="each condition at most once"):
        method.with_counts(model.vectors, data.vectors, copies)


# --- levels --------------------------------------------------------------------------------------


def grouped_study(rng, n_people, n_images, n_subjects=8, related=0.0):
    """Return a model and subjects; images of a person are alike, and the model does not say who."""
    person = np.repeat(np.arange(n_people), n_images)

    def patterns():
        people = rng.normal(size=(n_people, 20))[person]
        return people + (rng.normal(size=(len(person), 20)) if n_images > 1 else 0)

    shared, row, col = patterns(), *np.triu_indices(len(person), k=1)

    def distances(x):
        return ((x[..., row, :] - x[..., col, :]) ** 2).sum(axis=-1)

    model = distances(np.sqrt(related) * shared + np.sqrt(1 - related) * patterns())
    same = person[row] == person[col]
    if same.any():
        model[same] = model[~same].mean()
    names = [f"c{i:02d}" for i in range(len(person))]
    data = distances(shared + rng.normal(size=(n_subjects, *shared.shape)))
    return (
        rf.RDMs(model, names, "simulated"),
        rf.RDMs(data, names, "simulated", {"subject": range(n_subjects)}),
        dict(zip(names, person.tolist(), strict=True)),
    )


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize(("n_people", "n_images"), [(4, 4), (4, 1), (6, 1)])
def test_few_groups_reject_at_most_their_level(n_people, n_images):
    """With 4 groups or conditions p was 0 in every study."""
    rejected = 0
    for i in range(150):
        model, data, person = grouped_study(np.random.default_rng(i), n_people, n_images)
        found = quiet(
            rf.evaluate,
            model,
            data,
            method="pearson",
            generalise_to="conditions",
            groups=person,
            n_boot=200,
            seed=i,
        )
        rejected += found.table["p"][0] < 0.05
    assert rejected <= stats.binom.ppf(0.995, 150, 0.05)


@pytest.mark.simulation
@pytest.mark.slow
def test_exchanging_whole_groups_keeps_the_level():
    """6 people with 10 images each: 10.7 % where images are exchanged one by one."""
    p = []
    for i in range(150):
        model, data, person = grouped_study(np.random.default_rng(i), 6, 10)
        options = {"method": "pearson", "n_permutations": 199, "seed": i}
        p.append(permutation_test(model, data, groups=person, **options).p[0])
    low, high = stats.binom.interval(0.99, 150, 0.05)
    assert low <= (np.array(p) <= 0.05).sum() <= high
