"""Tests over subjects alone, against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated import simulated_result

import rsa_faces as rf
from rsa_faces.inference import Result, group_tests, subject_tests


def with_similarities(values):
    """Return a simulated result whose subjects have these similarities, (n_models, n_subjects)."""
    networks = {f"net {i}": 1 for i in range(len(values))}
    result = simulated_result(networks, ("FFA",), n_subjects=values.shape[1])
    return Result(
        result.table,
        result.pairs,
        result.subjects.assign(similarity=values.ravel()),
        result.ceilings,
        settings=result.settings,
        notes=result.notes,
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_subjects", [6, 12, 60])
def test_single_models_and_pairs_agree_with_scipy(n_subjects, ties):
    values = np.random.default_rng(n_subjects).normal(0.1, size=(3, n_subjects))
    values = np.round(values, 1) if ties else values
    result = with_similarities(values)
    for test in ("t", "signed-rank"):
        ours = subject_tests(result, test=test)
        differences = values[[0, 0, 1]] - values[[1, 2, 2]]
        for rows, expected, value in (
            (ours.table, values, "similarity"),
            (ours.pairs, differences, "difference"),
        ):
            for p, row in zip(rows["p"], expected, strict=True):
                tied = len(set(np.abs(row))) < n_subjects or not row.all()
                theirs = (
                    stats.ttest_1samp(row, 0)
                    if test == "t"
                    else stats.wilcoxon(row, zero_method="pratt", method="approx")
                    if tied or n_subjects > 50
                    else stats.wilcoxon(row, method="exact")
                )
                assert p == pytest.approx(theirs.pvalue, abs=1e-14)
            np.testing.assert_allclose(rows[value], expected.mean(axis=1), atol=1e-15)
    assert list(ours.pairs[["network_a", "network_b"]].iloc[1]) == ["net 0", "net 2"]


def test_exact_signed_ranks_equal_all_sign_flips():
    values = np.random.default_rng(0).normal(0.5, size=(1, 8))
    ranks = stats.rankdata(np.abs(values[0]))
    signs = 1 - 2 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    sums = signs @ ranks
    expected = (np.abs(sums) >= abs((np.sign(values[0]) * ranks).sum()) - 1e-9).mean()
    with_ranks = subject_tests(with_similarities(values))
    assert with_ranks.table["p"].iloc[0] == pytest.approx(expected, abs=1e-14)


def test_no_differences_and_undefined_models():
    values = np.random.default_rng(0).normal(size=(3, 8))
    values[1] = values[0]
    values[2, 3] = np.nan
    for test in ("signed-rank", "t"):
        ours = subject_tests(with_similarities(values), test=test)
        assert np.isnan(ours.table["p"].iloc[2])
        assert test == "t" or ours.pairs["p"].iloc[0] == 1.0


def test_few_subjects_are_named():
    values = np.random.default_rng(0).normal(size=(1, 4))
    with pytest.warns(UserWarning, match="with 4 subjects the smallest p .* 0.125"):
        subject_tests(with_similarities(values))
    with pytest.raises(rf.InputError, match="at least 2 subjects in .* got 1"):
        subject_tests(with_similarities(values[:, :1]))
    with pytest.raises(rf.InputError, match="signed-rank"):
        subject_tests(with_similarities(values), test="signed-ranks")


def test_groups_agree_with_scipy_and_models_are_matched_by_name():
    rng = np.random.default_rng(1)
    first, second = (
        with_similarities(rng.normal(size=(3, 9))),
        with_similarities(rng.normal(size=(2, 7))),
    )
    renamed = second.subjects.assign(
        subject="other " + second.subjects["subject"],
        network=second.subjects["network"].replace({"net 0": "net 1", "net 1": "net 0"}),
    )
    second = Result(second.table, second.pairs, renamed, second.ceilings, settings={}, notes=())
    ours = group_tests(first, second)
    assert list(ours["network"]) == ["net 0", "net 1"]
    x = first.subjects["similarity"].to_numpy().reshape(3, 9)
    y = renamed["similarity"].to_numpy().reshape(2, 7)
    for row, (i, j) in zip(ours.itertuples(), [(0, 1), (1, 0)], strict=True):
        theirs = stats.mannwhitneyu(x[i], y[j], method="exact")
        assert row.p == pytest.approx(theirs.pvalue, abs=1e-14)
        assert row.statistic == theirs.statistic
        assert row.difference == pytest.approx(x[i].mean() - y[j].mean())


def test_groups_share_no_subject_and_some_model():
    values = np.random.default_rng(0).normal(size=(1, 5))
    one = with_similarities(values)
    with pytest.raises(rf.InputError, match="is in both: use subject_tests"):
        group_tests(one, one)
    other = Result(
        one.table, one.pairs, one.subjects.assign(subject="x", region="elsewhere"), one.ceilings
    )
    with pytest.raises(rf.InputError, match="elsewhere"):
        group_tests(one, other)


def test_one_model_with_ties_leaves_the_others_exact():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 10))
    values[1] = np.round(values[1])

    def result(columns, prefix):
        names = [f"{prefix}{i}" for i in range(5)]
        frame = pd.DataFrame(
            {
                "subset": "all",
                "region": "",
                "network": np.repeat(list("abc"), 5),
                "layer": "",
                "subject": names * 3,
                "similarity": values[:, columns].ravel(),
            }
        )
        return rf.Result(frame, frame, frame, frame)

    table = group_tests(result(slice(5), "x"), result(slice(5, 10), "y"))
    for row, p in zip(values, table["p"], strict=True):
        exact = "exact" if len(np.unique(row)) == 10 else "asymptotic"
        expected = stats.mannwhitneyu(row[:5], row[5:], method=exact).pvalue
        assert p == pytest.approx(expected, rel=1e-12)
