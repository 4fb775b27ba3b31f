"""Ceilings, bootstrap variances, tests and what is said about them."""

import numpy as np
import pandas as pd
import pytest
from rsatoolbox.util.inference_util import _dual_bootstrap
from scipy import stats

import rsa_faces as rf
from rsa_faces.inference import adjust, check_design, shared_structure
from rsa_faces.inference._design import Design
from rsa_faces.inference._study import Study
from rsa_faces.inference.bootstrap import (
    contrast_variances,
    draw_counts,
    dual_variance,
    estimate,
)
from rsa_faces.mapping._map import model_names

CONDITIONS = [f"c{i:02d}" for i in range(24)]
N_PAIRS = 24 * 23 // 2


def simulated(n_subjects=8, signal=1.0, seed=0, n_model=3, conditions=CONDITIONS, region=None):
    """Return simulated models and subjects; model 0 is the truth."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(n_model, len(conditions), 30))
    row, col = np.triu_indices(len(conditions), k=1)
    vectors = ((patterns[:, row] - patterns[:, col]) ** 2).sum(axis=2)
    truth = (vectors[0] - vectors[0].mean()) / vectors[0].std()
    noise = rng.normal(size=(n_subjects, len(row)))
    labels = {"subject": [f"simulated {i}" for i in range(n_subjects)]}
    if region is not None:
        labels["region"] = region
    data = rf.RDMs(signal * truth + noise + 5, conditions, "simulated", labels)
    names = {
        "network": "net",
        "layer": [f"l{i}" for i in range(n_model)],
        "layer_index": range(n_model),
        "depth": np.linspace(0, 1, n_model),
    }
    return rf.RDMs(vectors, conditions, "simulated", names), data


# --- ceilings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "faces", "method", "expected"),
    [
        ("human IT", False, "spearman", (0.3723, 0.6657)),
        ("behaviour", False, "spearman", (0.4770, 0.5767)),
        ("human IT", True, "pearson", (0.1206, 0.5498)),
        ("behaviour", True, "pearson", (0.8066, 0.8315)),
    ],
)
def test_published_ceilings(region, faces, method, expected):
    d92 = rf.datasets.images92()
    data = d92.rdms.sel(region=region)
    if faces:
        data = data.subset(d92.stimuli.query("face").ids)
    ceiling = rf.noise_ceiling(data, method=method)
    assert (round(ceiling.lower, 4), round(ceiling.upper, 4)) == expected
    assert ceiling.n_subjects == {"human IT": 4, "behaviour": 16}[region]


def test_sessions_of_a_subject_leave_together():
    _, data = simulated(4)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=data.vectors.shape)
    sessions = rf.concat(
        [
            rf.RDMs(
                data.vectors + sign * noise,
                CONDITIONS,
                "simulated",
                data.labels.assign(session=sign),
            )
            for sign in (-1, 1)
        ]
    )
    one, two = rf.noise_ceiling(data), rf.noise_ceiling(sessions)
    assert two.n_subjects == 4
    assert two.lower == pytest.approx(one.lower, abs=1e-12)
    assert two.upper == pytest.approx(one.upper, abs=1e-12)


def test_equal_subjects_have_a_ceiling_of_one():
    _, data = simulated(1)
    same = rf.RDMs(np.repeat(data.vectors, 3, axis=0), CONDITIONS, "s", {"subject": list("abc")})
    for method in rf.comparison.METHODS:
        ceiling = rf.noise_ceiling(same, method=method)
        assert ceiling.lower == pytest.approx(1, abs=1e-12)
        assert ceiling.upper == pytest.approx(1, abs=1e-12)


def test_ceiling_doors():
    _, data = simulated()
    with pytest.raises(rf.InputError, match="at least 2 subjects for a noise ceiling, got 1"):
        rf.noise_ceiling(data[0])
    with pytest.raises(rf.InputError, match="unknown comparison method 'rho_a'. Did you mean"):
        rf.noise_ceiling(data, method="rho_a")
    with pytest.raises(rf.InputError, match="tells subjects apart 'rater'"):
        rf.noise_ceiling(data, by="rater")
    unnamed = data.with_labels(subject=["a"] * 7 + [None])
    with pytest.raises(rf.InputError, match="1 of 8 have none"):
        rf.noise_ceiling(unnamed)
    with pytest.raises(rf.InputError, match="n_permutations to be a whole number"):
        shared_structure(data, n_permutations=0)
    with pytest.raises(rf.InputError, match="at least 2 subjects, got 1"):
        shared_structure(data[0])


def test_shared_structure_is_found_and_its_absence_too():
    assert shared_structure(simulated(6, signal=1.0)[1]) == 0.001
    assert shared_structure(simulated(6, signal=0.0)[1]) > 0.05


def test_shared_structure_is_exact_for_equal_subjects():
    # Three conditions: six orders each; every permutation can only tie or fall below.
    same = rf.RDMs([[1.0, 2, 3]] * 2, list("abc"), "s", {"subject": list("ab")})
    p = shared_structure(same, n_permutations=600)
    assert p == pytest.approx(1 / 6, abs=0.06)


@pytest.mark.simulation
@pytest.mark.slow
def test_shared_structure_is_calibrated():
    p = [
        shared_structure(simulated(5, signal=0.0, seed=s)[1], n_permutations=99, seed=s)
        for s in range(400)
    ]
    rate = np.mean(np.array(p) <= 0.05)
    low, high = stats.binom.interval(0.99, 400, 0.05)
    assert low <= rate * 400 <= high


# --- bootstrap -----------------------------------------------------------------------------------


def test_counts_add_up_and_groups_are_drawn_together():
    rng = np.random.default_rng(0)
    counts = draw_counts(rng, 200, np.array([0, 0, 1, 2, 2, 2]))
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 3] == counts[:, 5]).all()
    assert (counts[:, [0, 2, 3]].sum(axis=1) == 3).all()
    poor = draw_counts(rng, 500, np.arange(5), min_distinct=4)
    assert ((poor > 0).sum(axis=1) >= 4).all()
    assert poor.max() <= 2


def test_contrast_variances_are_those_of_columns_and_differences():
    samples = np.random.default_rng(0).normal(size=(50, 4))
    own, differences = contrast_variances(samples)
    np.testing.assert_allclose(own, samples.var(axis=0, ddof=1), rtol=1e-12)
    expected = (samples[:, :, None] - samples[:, None, :]).var(axis=0, ddof=1)
    np.testing.assert_allclose(differences, expected, rtol=1e-12, atol=1e-15)
    samples[:7, 1] = np.nan
    own, differences = contrast_variances(samples)
    assert own[1] == pytest.approx(samples[7:, 1].var(ddof=1), rel=1e-12)
    difference = samples[7:, 1] - samples[7:, 3]
    assert differences[1, 3] == pytest.approx(difference.var(ddof=1), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_dual_variance_equals_rsatoolbox(seed):
    variances = np.random.default_rng(seed).random((3, 50))
    theirs = _dual_bootstrap(variances, n_rdm=7, n_pattern=30)
    both, subjects, conditions = variances
    found = dual_variance(subjects, conditions, both, 7, 30)
    # rsatoolbox bounds by V_sc last, so that "both" can be surer than one factor alone; ours by the
    # variances of single factors.
    lower = np.maximum(7 / 6 * subjects, 30 / 29 * conditions)
    assert (lower > both).any()
    assert (lower < both).any()
    np.testing.assert_allclose(found, np.maximum(theirs, lower), rtol=1e-12)


# --- many tests ----------------------------------------------------------------------------------


def test_corrections_agree_with_their_definitions():
    p = np.random.default_rng(0).random(40) ** 3
    np.testing.assert_allclose(
        adjust(p, method="fdr"), stats.false_discovery_control(p), rtol=1e-12
    )
    np.testing.assert_allclose(adjust(p, method="bonferroni"), np.minimum(p * 40, 1))
    holm, largest = np.empty(40), 0.0
    for i, j in enumerate(np.argsort(p)):
        largest = max(largest, (40 - i) * p[j])
        holm[j] = min(largest, 1)
    np.testing.assert_allclose(adjust(p, method="holm"), holm)


def test_tests_not_made_do_not_count():
    p = np.array([0.01, np.nan, 0.04])
    np.testing.assert_allclose(adjust(p), [0.02, np.nan, 0.04])
    assert np.isnan(adjust([np.nan])).all()
    with pytest.raises(rf.InputError, match="from 0 to 1, got .*1.2"):
        adjust([0.5, 1.2])
    with pytest.raises(rf.InputError, match="unknown correction 'bh'"):
        adjust([0.5], method="bh")


# --- evaluate ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", rf.comparison.METHODS)
@pytest.mark.parametrize("bootstrap", ["subjects", "conditions", "both"])
def test_the_true_model_wins(method, bootstrap):
    model, data = simulated()
    result = rf.evaluate(model, data, method=method, generalise_to=bootstrap, n_boot=100)
    table = result.to_frame()
    np.testing.assert_allclose(
        table["similarity"], rf.compare(model, data, method=method).mean(axis=1), rtol=1e-10
    )
    assert table["similarity"].idxmax() == 0
    assert table.loc[0, "p_corrected"] < 0.01
    best = result.pairs[result.pairs["layer_a"] == "l0"]
    assert (best["p_corrected"] < 0.05).all()
    assert (table["ci_low"] < table["similarity"]).all()
    ceiling = rf.noise_ceiling(data, method=method)
    assert table.loc[0, "ceiling_low"] == pytest.approx(ceiling.lower, abs=1e-12)
    assert bool(table.loc[0, "reliable"])
    freedom = {"subjects": 7, "conditions": 23, "both": 7}[bootstrap]
    assert result.settings["degrees_of_freedom"] == freedom
    half = stats.t.ppf(0.975, freedom) * table["sem"]
    np.testing.assert_allclose(table["ci_high"] - table["similarity"], half, rtol=1e-12)


def test_subject_bootstrap_is_the_t_test_over_subjects():
    model, data = simulated(10, signal=0.3)
    result = rf.evaluate(model, data, generalise_to="subjects", n_boot=40_000)
    similarity = rf.compare(model, data)
    expected = stats.ttest_1samp(similarity, 0, axis=1)
    table = result.to_frame()
    np.testing.assert_allclose(table["sem"], stats.sem(similarity, axis=1), rtol=0.03)
    np.testing.assert_allclose(
        table["similarity"] / table["sem"], expected.statistic, rtol=0.03, atol=0.05
    )


def test_the_same_seed_gives_the_same_result():
    model, data = simulated()
    first, second = (rf.evaluate(model, data, n_boot=100, seed=3) for _ in range(2))
    assert first.to_json() == second.to_json()
    other = rf.evaluate(model, data, n_boot=100, seed=4)
    assert not first.table["sem"].equals(other.table["sem"])


def test_conditions_are_matched_by_name():
    model, data = simulated()
    turned = model.align(model.conditions[::-1])
    a, b = (rf.evaluate(m, data, n_boot=100).table["similarity"] for m in (model, turned))
    np.testing.assert_allclose(a, b, rtol=1e-12)
    with pytest.raises(rf.ConditionMismatchError, match="only in data: 'c23'"):
        rf.evaluate(model.subset(CONDITIONS[:-1]), data)


def test_regions_are_evaluated_one_by_one_and_results_survive_json():
    model, first = simulated(region="FFA")
    second = simulated(5, seed=2, region="OFA")[1]
    result = rf.evaluate(model, rf.concat([first, second]), n_boot=100)
    assert list(result.ceilings["region"]) == ["FFA", "OFA"]
    assert list(result.ceilings["n_subjects"]) == [8, 5]
    assert result.settings["degrees_of_freedom"] == {"FFA": 7, "OFA": 4}
    alone = rf.evaluate(model, first, n_boot=100)
    pd.testing.assert_frame_equal(result.table.iloc[:3], alone.table)
    again = rf.Result.from_json(result.to_json())
    assert again.to_json() == result.to_json()
    with pytest.raises(rf.InputError, match="each subset and region once"):
        rf.Result.concat([alone, alone])
    with pytest.raises(rf.InputError, match="got none"):
        rf.Result.concat([])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_small_numbers_are_said():
    model, data = simulated(3, conditions=CONDITIONS[:10])
    with pytest.warns(UserWarning, match="3 subjects are too few"):
        result = rf.evaluate(model, data, n_boot=100)
    notes = " ".join(result.notes)
    assert "3 subjects are too few to generalise to new subjects" in notes
    assert "10 conditions are too few to generalise to new conditions" in notes
    assert result.settings["generalises_to"] == "new subjects and new conditions"
    over_conditions = rf.evaluate(model, data, n_boot=100, generalise_to="conditions")
    assert "subjects are too few" not in " ".join(over_conditions.notes)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_subject_has_no_ceiling_and_generalises_to_conditions_only():
    model, data = simulated(1)
    for bootstrap in ("both", "subjects"):
        with pytest.raises(rf.InputError, match="at least 2 subjects .* got 1: .* conditions"):
            rf.evaluate(model, data, generalise_to=bootstrap)
    result = rf.evaluate(model, data, generalise_to="conditions", n_boot=100)
    assert "no noise ceiling" in " ".join(result.notes)
    assert result.table[["ceiling_low", "ceiling_high", "p_ceiling"]].isna().all(axis=None)
    assert result.table["reliable"].isna().all()
    assert result.settings["generalises_to"].endswith("these subjects only")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_shared_signal_is_said():
    model, data = simulated(6, signal=0.0)
    result = rf.evaluate(model, data, n_boot=100)
    assert not result.ceilings["reliable"].any()
    assert "no reliable signal" in " ".join(result.notes)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_constant_model_is_undefined_and_named():
    model, data = simulated()
    vectors = model.vectors.copy()
    vectors[1] = 2.0
    constant = rf.RDMs(vectors, CONDITIONS, "m", model.labels)
    result = rf.evaluate(constant, data, n_boot=100)
    assert result.table[["similarity", "p", "sem"]].isna().iloc[1].all()
    assert result.table["similarity"].notna().sum() == 2
    assert "net l1 (constant" in " ".join(result.notes)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_layers_and_models_put_together_keep_their_names():
    layers, data = simulated()
    models = rf.RDMs(layers.vectors[::-1], CONDITIONS, layers.measure, {"name": list("abc")})
    both = rf.concat([layers, models])
    result = rf.evaluate(both, data, n_boot=100)
    assert result.table["network"].tolist() == ["net"] * 3 + ["a", "b", "c"]
    assert result.table["layer"].tolist() == ["l0", "l1", "l2", "", "", ""]
    result.plot()
    assert model_names(both.labels) == ("net l0", "net l1", "net l2", "a", "b", "c")


def test_groups_of_conditions_are_drawn_together():
    model, data = simulated()
    groups = {c: i // 4 for i, c in enumerate(CONDITIONS)}
    with pytest.warns(UserWarning, match="6 groups of conditions are too few"):
        result = rf.evaluate(model, data, generalise_to="conditions", groups=groups, n_boot=100)
    assert result.settings["degrees_of_freedom"] == 5
    with pytest.raises(rf.InputError, match="1 have none: 'c23'"):
        rf.evaluate(model, data, groups={c: 0 for c in CONDITIONS[:-1]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "speerman"}, "Did you mean 'spearman'"),
        ({"generalise_to": "voxels"}, "unknown value of generalise_to 'voxels'"),
        ({"correction": "bh"}, "unknown correction 'bh'"),
        ({"n_boot": 1}, "n_boot to be a whole number of at least 2, got 1"),
        ({"alpha": 1.5}, "alpha between 0 and 1, got 1.5"),
        ({"by": "rater"}, "'rater'"),
    ],
)
def test_evaluate_doors(options, message):
    with pytest.raises(rf.InputError, match=message):
        rf.evaluate(*simulated(), **options)


def test_missing_pairs():
    model, data = simulated()
    vectors = data.vectors.copy()
    vectors[0, :20] = np.nan
    holes = rf.RDMs(vectors, CONDITIONS, "m", data.labels)
    result = rf.evaluate(model, holes, n_boot=100)
    np.testing.assert_allclose(
        result.table["similarity"], rf.compare(model, holes).mean(axis=1), rtol=1e-10
    )
    with pytest.raises(rf.InputError, match="'corr_cov' needs every pair"):
        rf.evaluate(model, holes, method="corr_cov")
    gaps = model.vectors.copy()
    gaps[0, 0] = np.nan
    with pytest.raises(rf.InputError, match="every pair measured in the model, but 1 are missing"):
        rf.evaluate(rf.RDMs(gaps, CONDITIONS, "m", model.labels), data)


def test_check_design_refuses_what_cannot_be_drawn():
    assert check_design(n_subjects=20, n_conditions=60, generalise_to="both") == []
    with pytest.raises(rf.InputError, match="at least 4 conditions in FFA .* got 3"):
        check_design(n_subjects=9, n_conditions=3, generalise_to="both", what="FFA")


# --- calibration ---------------------------------------------------------------------------------


def null_p_values(bootstrap, n_simulations, n_subjects=10, n_conditions=30, seed=0):
    """Return p values of a model that has nothing to do with the simulated subjects' signal."""
    names = [f"c{i}" for i in range(n_conditions)]
    row, col = np.triu_indices(n_conditions, k=1)
    rng = np.random.default_rng(seed)
    p = []
    for _ in range(n_simulations):
        points = rng.normal(size=(2, n_conditions, 20))
        model, signal = ((points[:, row] - points[:, col]) ** 2).sum(axis=2)
        own = rng.normal(size=(n_subjects, n_conditions, 20))
        distances = ((own[:, row] - own[:, col]) ** 2).sum(axis=2)
        data = rf.RDMs(signal + distances, names, "simulated", {"subject": range(n_subjects)})
        result = rf.evaluate(
            rf.RDMs(model, names, "simulated"),
            data,
            method="pearson",
            generalise_to=bootstrap,
            n_boot=200,
            seed=int(rng.integers(2**31)),
        )
        p.append(result.table["p"].iloc[0])
    return np.array(p)


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_dual_bootstrap_keeps_its_level_when_subjects_share_an_unrelated_signal():
    p = null_p_values("both", 300)
    # Subjects and conditions are both drawn: the level is kept, and not by being far too strict.
    assert stats.binomtest(int((p < 0.05).sum()), 300, 0.05, "greater").pvalue > 0.005
    assert (p < 0.5).mean() > 0.25


# --- partial correlation and intervals -----------------------------------------------------------


def test_what_the_subjects_share_can_be_regressed_out():
    models, data = simulated(8, signal=0.6)
    plain = rf.evaluate(models, data, method="pearson", n_boot=200)
    assert plain.ceilings["reliable"].iloc[0]
    with pytest.warns(UserWarning, match="no reliable signal"):
        rest = rf.evaluate(models[1:], data, method="pearson", given=models[0], n_boot=200)
    assert rest.settings["method"] == "partial-pearson"
    assert rest.settings["given"] == ["net l0"]
    assert (rest.table["method"] == "partial-pearson").all()
    assert not rest.ceilings["reliable"].iloc[0]
    expected = rf.compare(models[1:], data, method="pearson", given=models[0]).mean(axis=1)
    np.testing.assert_allclose(rest.table["similarity"], expected, atol=1e-14)
    ceiling = rf.noise_ceiling(data, method="pearson", given=models[0])
    assert rest.ceilings["ceiling_low"].iloc[0] == ceiling.lower < 0.05
    assert type(rest).from_json(rest.to_json()).settings == rest.settings


@pytest.mark.parametrize("bootstrap", ["subjects", "conditions", "both"])
def test_percentile_intervals_are_quantiles_of_the_samples(bootstrap):
    models, data = simulated(8)
    options = {"method": "pearson", "generalise_to": bootstrap, "n_boot": 300}
    by_t = rf.evaluate(models, data, **options).table
    result = rf.evaluate(models, data, interval="percentile", alpha=0.1, **options)
    design = Design(generalise_to=bootstrap, n_boot=300)
    pearson, units = rf.comparison.resolve("pearson"), design.units(models.conditions)
    found = estimate(Study(models.vectors, data.vectors, pearson, units), design)
    expected = np.quantile(found.samples[:, :3], [0.05, 0.95], axis=0)
    np.testing.assert_allclose(result.table[["ci_low", "ci_high"]].to_numpy().T, expected)
    np.testing.assert_array_equal(result.table["p"], by_t["p"])
    with pytest.raises(rf.InputError, match="percentil"):
        rf.evaluate(models, data, interval="percentil")
