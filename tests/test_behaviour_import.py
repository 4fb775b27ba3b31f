"""Import of behaviour: Meadows files, ratings, matrices, traits and triplets."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.behaviour import (
    fit_raters,
    inverse_mds,
    matrix_rdms,
    pair_rating_rdms,
    read_meadows,
    read_meadows_annotations,
    trait_rdms,
    triplet_embedding,
    triplet_rdms,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def present(*names):
    return pytest.mark.skipif(
        not all((DATA / name).exists() for name in names), reason="real data not here"
    )


def test_import_is_light():
    code = (
        "import sys, rsa_faces.behaviour; "
        "print([m for m in ('torch', 'matplotlib', 'nilearn', 'mne', 'cv2', 'av', 'fastapi', "
        "'sklearn', 'rsatoolbox') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# Meadows -----------------------------------------------------------------------------------


@present("meadows")
def test_meadows_tree_gives_meadows_own_rdm():
    data = read_meadows(DATA / "meadows" / "Meadows_twoMaTasks_v_v1_informed-mole_tree.json")
    assert list(data.arrangements) == [("informed-mole", "ma1"), ("informed-mole", "ma2")]
    assert data.rdms.conditions == ("beach", "fireplace", "river")
    first_evidence = []
    for i, trials in enumerate(data.arrangements.values()):
        result = inverse_mds(trials, tol=1e-12)
        theirs = data.rdms.vectors[i]
        ours = result.rdms.vectors[0] / np.sqrt(np.sum(result.rdms.vectors[0] ** 2))
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
        first_evidence.append(result.evidence.min())
        assert 5 < trials.trials[0].seconds < 60
    # What Meadows itself noted as least evidence after the last trial.
    np.testing.assert_allclose(first_evidence, [0.6418277893049683, 0.6634546191862745])
    one = read_meadows(
        DATA / "meadows" / "Meadows_twoMaTasks_v_v1_informed-mole_tree.json", task="ma2"
    )
    assert one.rdms.labels["task"].tolist() == ["ma2"]
    assert len(one.report.table) == 0


@present("meadows")
def test_meadows_tree_equals_rsatoolbox():
    from rsatoolbox.io.meadows import load_rdms

    path = DATA / "meadows" / "Meadows_twoMaTasks_v_v1_informed-mole_tree.json"
    theirs = load_rdms(str(path), sort=False)
    ours = read_meadows(path).rdms.align(theirs.pattern_descriptors["conds"])
    np.testing.assert_array_equal(ours.vectors, theirs.dissimilarities)


@present("meadows")
def test_meadows_mat_reports_the_rater_without_rdm():
    data = read_meadows(DATA / "meadows" / "Meadows_myExp_v_v1_arrangement_1D.mat")
    assert data.rdms.labels["rater"].tolist() == ["able-fly", "clean-koi"]
    assert data.rdms.labels["task"].tolist() == ["arrangement"] * 2
    assert data.rdms.n_conditions == 118
    assert data.rdms.conditions[:2] == ("stim118", "stim117")
    assert data.report.raters[-1] == "cuddly-bunny"
    row = data.report.table.iloc[0]
    assert (row["rater"], row["rule"], row["action"]) == (
        "cuddly-bunny",
        "no RDM in the file",
        "rater left out",
    )
    np.testing.assert_allclose((data.rdms.vectors**2).sum(axis=1), 1)


def tree(images, trials, **more):
    return {
        "task": {"name": "ma", "task_type": "multiarrange"},
        "status": "finished",
        "stimuli": [{"id": i, "name": n} for i, n in images],
        "trials": [
            {"positions": [{"id": i, "x": x, "y": y} for i, x, y in t], "start": 0, "end": 2500}
            for t in trials
        ],
    } | more


IMAGES = [("1", "x.png"), ("2", "y.png"), ("3", "z.png")]
TRIAL = [("3", 0.0, 0.8), ("1", 0.0, 0.0), ("2", 0.6, 0.0)]


def test_meadows_tree_of_several_participants(tmp_path):
    whole = {
        "good-bee": {"tasks": {"ma": tree(IMAGES, [TRIAL, TRIAL[:1]])}},
        "odd-ant": tree(IMAGES[::-1], [TRIAL[:2]], rdm=[3.0, 2.0, 1.0], status="started"),
        "shy-elk": tree(IMAGES, []),
    }
    path = tmp_path / "Meadows_e_v_v1_tree.json"
    path.write_text(json.dumps(whole))
    data = read_meadows(path)
    assert data.rdms.conditions == ("x", "y", "z")
    assert np.isnan(data.rdms.vectors[0]).all()
    np.testing.assert_array_equal(data.rdms.vectors[1], [1.0, 2.0, 3.0])
    one = inverse_mds(data.arrangements["good-bee", "ma"])
    np.testing.assert_allclose(
        one.rdms.vectors[0] / one.rdms.vectors[0, 0], [1, 0.8 / 0.6, 1 / 0.6]
    )
    assert data.arrangements["good-bee", "ma"].trials[0].seconds == 2.5
    both = [data.arrangements[r, "ma"] for r in ("good-bee", "odd-ant")]
    assert np.isnan(fit_raters(both).rdms.vectors[1]).sum() == 2
    report = data.report
    assert report.count("fewer than 2 images in a trial") == 1
    assert report.count("task not finished") == 1
    assert report.count("no trial") == 1
    assert report.count("no RDM in the file") == 2
    assert report.summary().loc["odd-ant", "pair never shown together"] == 2


def test_meadows_refusals(tmp_path):
    def write(content, name="Meadows_e_v_v1_tree.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    with pytest.raises(InputError, match="does not exist"):
        read_meadows(tmp_path / "no.json")
    with pytest.raises(InputError, match="got 'a.csv'"):
        read_meadows(write("", "a.csv"))
    with pytest.raises(InputError, match="expected a JSON file"):
        read_meadows(write("{"))
    with pytest.raises(InputError, match="expected a Meadows tree"):
        read_meadows(write([1]))
    with pytest.raises(InputError, match="it holds none"):
        read_meadows(write({"tasks": [{"task": {"task_type": "info"}}]}))
    with pytest.raises(InputError, match="expected the list of images"):
        read_meadows(write(tree([], [])))
    with pytest.raises(InputError, match="trial 1 of task 'ma' of rater .*the id '9'"):
        read_meadows(write(tree(IMAGES, [[("9", 0, 0), ("1", 1, 1)]])))
    with pytest.raises(InputError, match="RDM of 3 pairs for 3 images"):
        read_meadows(write(tree(IMAGES, [TRIAL], rdm=[1.0, 2.0])))
    other = [("1", "x"), ("2", "y"), ("3", "w")]
    two = {"a-b": tree(IMAGES, [TRIAL]), "c-d": tree(other, [TRIAL])}
    with pytest.raises(ConditionMismatchError, match="only in task 'ma' of rater 'c-d': 'w'"):
        read_meadows(write(two))
    with pytest.raises(InputError, match="unknown task 'mb'.*'ma'"):
        read_meadows(write(tree(IMAGES, [TRIAL])), task="mb")


def test_meadows_mat_aligns_raters_by_name(tmp_path):
    path = tmp_path / "Meadows_e_v_v1_sorting_1D.mat"
    savemat(
        path,
        {
            "stimuli_a_b": ["x.png", "y.png", "z.png"],
            "rdmutv_a_b": [[1.0, 2.0, 3.0]],
            "stimuli_c_d": ["z.png", "y.png", "x.png"],
            "rdmutv_c_d": [[1.0, 2.0, 3.0]],
        },
    )
    rdms = read_meadows(path).rdms
    np.testing.assert_array_equal(rdms.vectors, [[1, 2, 3], [3, 2, 1]])
    single = tmp_path / "Meadows_e_v_v1_cuddly-bunny_3_1D.mat"
    savemat(single, {"stimuli": ["x.png", "y.png", "z.png"], "rdmutv": [[1.0, 2.0, 3.0]]})
    assert read_meadows(single).rdms.labels["rater"].tolist() == ["cuddly-bunny"]
    savemat(single, {"other": [1.0]})
    with pytest.raises(InputError, match="got other"):
        read_meadows(single)


def test_meadows_annotations(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text(
        "task,participation,stim1_id,stim2_id,stim3_id,stim1_name,stim2_name,stim3_name,start,"
        "resp,label\n"
        "t,m,i1,i2,i3,x,y,z,2020-09-14T18:18:43.000Z,2020-09-14T18:18:45.500Z,z\n"
        "t,m,i1,i2,i3,x,y,z,,,i2\n"
        "t,m,i1,i2,i3,x,y,z,,,1\n"
        "r,m,i1,i2,,x,y,,,,4\n"
    )
    table = read_meadows_annotations(path, task="t")
    assert table["odd"].tolist() == ["z", "y", "x"]
    assert table["seconds"].iloc[0] == 2.5
    assert triplet_rdms(table).rdms.vectors.tolist() == [[pytest.approx(2 / 3)] * 3]
    ratings = read_meadows_annotations(path, task="r")
    assert ratings[["a", "b", "rating"]].values.tolist() == [["x", "y", 4.0]]
    with pytest.raises(InputError, match="unknown task 'q'"):
        read_meadows_annotations(path, task="q")
    bad = pd.read_csv(path, dtype=str).assign(label="left")
    with pytest.raises(InputError, match="row 0 has the label 'left'"):
        read_meadows_annotations(bad, task="t")


# Ratings of pairs --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("direction", ["similarity", "dissimilarity"])
def test_pair_ratings_equal_a_loop(seed, direction):
    rng = np.random.default_rng(seed)
    names = list("abcdef")
    rows = [
        (f"r{rng.integers(3)}", *rng.choice(names, 2), int(rng.integers(1, 8))) for _ in range(80)
    ]
    table = pd.DataFrame(rows, columns=["rater", "a", "b", "rating"])
    found = pair_rating_rdms(table, direction=direction, scale=(1, 7), conditions=names)
    for k, rater in enumerate(found.rdms.labels["rater"]):
        for p, (a, b) in enumerate(itertools.combinations(names, 2)):
            values = [r for who, x, y, r in rows if who == rater and {x, y} == {a, b}]
            assert found.counts[k, p] == len(values)
            expected = np.mean(values) if values else np.nan
            expected = 7 - expected if direction == "similarity" else expected
            np.testing.assert_allclose(found.rdms.vectors[k, p], expected)
    assert found.report.count("image with itself") == sum(a == b for _, a, b, _ in rows)
    assert found.report.count("pair not judged") == (found.counts == 0).sum()


def test_pair_rating_report():
    rows = [
        ("r1", "x", "y", 1.0, np.nan),
        ("r1", "x", "y", 3.0, np.nan),
        ("r1", "z", "x", 5.0, np.nan),
        ("r1", "x", "z", 7.0, np.nan),
        ("r1", "y", "z", np.nan, np.nan),
        ("r1", "y", "z", 2.0, 7.0),
        ("r1", "y", "z", 7.0, 7.0),
        ("r2", "x", "y", 4.0, np.nan),
        ("r2", "x", "z", 4.0, np.nan),
        ("r2", "y", "z", 7.0, 7.0),
    ]
    table = pd.DataFrame(rows, columns=["rater", "a", "b", "rating", "expected"])
    found = pair_rating_rdms(table, direction="dissimilarity")
    np.testing.assert_array_equal(found.rdms.vectors, [[2, 6, np.nan], [4, 4, np.nan]])
    summary = found.report.summary()
    assert summary.loc["r1"].to_dict() == {
        "attention check failed": 1,
        "pair judged in both orders": 1,
        "pair judged more than once": 1,
        "pair not judged": 1,
        "rating missing": 1,
        "same rating throughout": 0,
    }
    assert summary.loc["r2", "same rating throughout"] == 1
    strict = pair_rating_rdms(table, direction="dissimilarity", max_failed=0.4)
    assert strict.rdms.labels["rater"].tolist() == ["r2"]
    assert strict.report.count("too many attention checks failed") == 1
    assert strict.report.raters == ("r1", "r2")
    with pytest.raises(InputError, match="all failed their attention checks"):
        pair_rating_rdms(table[table["rater"] == "r1"], direction="similarity", max_failed=0)


CHECKED = {
    "pairs": (
        lambda table, **given: pair_rating_rdms(table, direction="dissimilarity", **given),
        [
            ("r", "x", "y", 1, None),
            ("r", "x", "z", 2, None),
            ("r", "y", "z", 3, None),
            ("r", "dot", "cross", 1, 7),
            ("r", "dot", "cross", 7, 7),
            ("s", "x", "y", 5, None),
            ("t", "dot", "cross", 7, 7),
        ],
        ["rater", "a", "b", "rating", "expected"],
    ),
    "triplets": (
        lambda table, **given: triplet_rdms(table, by="rater", **given),
        [
            ("r", "x", "y", "z", "z", None),
            ("r", "z", "y", "x", "z", ""),
            ("r", "x", "x", "dot", "x", "dot"),
            ("r", "y", "y", "dot", "dot", "dot"),
            ("s", "x", "y", "z", "x", None),
            ("t", "y", "y", "dot", "dot", "dot"),
        ],
        ["rater", "a", "b", "c", "odd", "expected"],
    ),
}


@pytest.mark.parametrize("kind", CHECKED)
def test_attention_checks_are_reported_and_never_enter(kind, tmp_path):
    make, rows, columns = CHECKED[kind]
    table = pd.DataFrame(rows, columns=columns)
    checks = table["expected"].notna() & (table["expected"] != "")
    plain = make(table[~checks].drop(columns="expected"))
    path = tmp_path / "judgements.csv"
    table.to_csv(path, index=False)
    for source in (table, path):
        found = make(source)
        assert found.rdms.equals(plain.rdms)
        assert "dot" not in found.rdms.conditions
        (failed,) = found.report.table[found.report.table["rule"] == "attention check failed"].index
        row = found.report.table.loc[failed]
        assert (row["rater"], row["n"], row["action"]) == ("r", 1, "of 2 checks; kept")
        assert row["where"] == str(int(checks.to_numpy().argmax()))
        assert found.report.count("nothing besides attention checks") == 1
        assert found.report.raters == ("r", "s", "t")
        assert make(source, max_failed=0.5).rdms.equals(plain.rdms)
        strict = make(source, max_failed=0.4)
        assert strict.rdms.labels["rater"].tolist() == ["s"]
        rows = strict.report.table
        (row,) = rows[rows["rule"].str.contains("attention checks? failed")].to_dict("records")
        assert (row["rule"], row["n"]) == ("too many attention checks failed", 1)
        assert row["action"] == "of 2 checks; rater left out"  # once: not kept as well
        assert strict.report.raters == ("r", "s", "t")
    with pytest.raises(InputError, match="column 'expected'"):
        make(table.drop(columns="expected"), max_failed=0)
    with pytest.raises(InputError, match="max_failed from 0 to 1, got 2"):
        make(table, max_failed=2)


@pytest.mark.filterwarnings("error")
def test_attention_checks_of_traits():
    table = pd.DataFrame(
        {
            "rater": list("rrrsss"),
            "stimulus": list("xyzxyz"),
            "trust": [1.0, 2, 4, 5, 5, 1],
            "seven": [7.0, np.nan, 6, 7, np.nan, np.nan],
            "one": [1.0, np.nan, np.nan, 2, 1, np.nan],
        }
    )
    plain = trait_rdms(table[["rater", "stimulus", "trust"]])
    found = trait_rdms(table, checks={"seven": 7, "one": 1})
    assert found.rdms.equals(plain.rdms)
    rows = found.report.table.set_index("rater")
    assert rows.loc["all", "action"] == "'trust'"
    rows = rows.drop("all")
    assert rows["rule"].tolist() == ["attention check failed"] * 2
    assert rows["action"].tolist() == ["of 3 checks; kept"] * 2
    assert rows.loc["r", "where"] == "2"
    strict = trait_rdms(table, checks={"seven": 7}, traits=["trust"], max_failed=0.2)
    assert strict.rdms.labels["rater"].tolist() == ["s"]
    assert strict.report.count("too many attention checks failed") == 1
    assert strict.report.raters == ("r", "s")
    with pytest.raises(InputError, match="attention checks, checks="):
        trait_rdms(table, max_failed=0.2)
    with pytest.raises(InputError, match="expected the column 'two'"):
        trait_rdms(table, checks={"two": 2})


def test_pair_rating_refusals():
    table = pd.DataFrame({"rater": "r", "a": ["x", "x"], "b": ["y", "z"], "rating": [1, 9]})
    with pytest.raises(TypeError, match="direction"):
        pair_rating_rdms(table)
    with pytest.raises(InputError, match="unknown direction 'similar'. Did you mean 'similarity'"):
        pair_rating_rdms(table, direction="similar")
    with pytest.raises(InputError, match="from 1 to 7, but row 1 has 9"):
        pair_rating_rdms(table, direction="similarity", scale=(1, 7))
    with pytest.raises(InputError, match="low < high"):
        pair_rating_rdms(table, direction="similarity", scale=(7, 1))
    with pytest.raises(InputError, match="unknown condition 'z'"):
        pair_rating_rdms(table, direction="similarity", conditions=["x", "y"])
    with pytest.raises(InputError, match="a name in every row of column 'a'.*row 1"):
        pair_rating_rdms(table.assign(a=["x", None]), direction="similarity")
    with pytest.raises(InputError, match="ratings, but all are missing"):
        pair_rating_rdms(table.assign(rating=np.nan), direction="similarity")
    with pytest.raises(InputError, match="it has none"):
        pair_rating_rdms(table.head(0), direction="similarity")


def test_names_stay_text(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("rater,a,b,rating\n01,007,NA,3\n01,007,null,\n")
    found = pair_rating_rdms(path, direction="dissimilarity")
    assert found.rdms.conditions == ("007", "NA", "null")
    assert found.rdms.labels["rater"].tolist() == ["01"]
    assert found.report.count("rating missing") == 1
    path.write_text("rater,a,b,c,odd\n01,007,NA,8,007\n01,007,NA,8,\n")
    triplets = triplet_rdms(path, by="rater")
    assert triplets.rdms.vectors.tolist() == [[1.0, 1.0, 0.0]]
    assert triplets.report.count("no choice") == 1
    path.write_text("rater,stimulus,t,u\n01,1,2,5\n01,2,,6\n01,03,4,8\n")
    traits = trait_rdms(path)
    assert traits.rdms.conditions == ("03", "1", "2")
    assert traits.rdms.labels["rater"].tolist() == ["01"]
    assert traits.report.count("trait missing") == 1
    path.write_text("task,participation,stim1_name,stim2_name,stim3_name,label\nt,m,01,02,03,02\n")
    assert read_meadows_annotations(path, task="t")["odd"].tolist() == ["02"]


# Matrices ----------------------------------------------------------------------------------


def test_matrices_are_refused_or_read_as_asked():
    names = list("abc")
    good = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]])
    assert matrix_rdms(good, names, direction="dissimilarity").rdms.vectors.tolist() == [[1, 2, 3]]
    diagonal = good + np.diag([0, 0.5, 0])
    with pytest.raises(InputError, match="zero diagonal, but matrix 0 has 0.5 at position 1"):
        matrix_rdms(diagonal, names, direction="dissimilarity")
    read = matrix_rdms(diagonal, names, direction="dissimilarity", diagonal="ignore")
    assert read.rdms.vectors.tolist() == [[1, 2, 3]]
    assert read.report.table.iloc[0]["where"] == "b"
    uneven = good.copy()
    uneven[0, 1], uneven[2, 0] = 2.0, np.nan
    with pytest.raises(InputError, match="symmetric matrices"):
        matrix_rdms(uneven, names, direction="dissimilarity")
    read = matrix_rdms(uneven, names, direction="dissimilarity", asymmetry="average")
    assert read.rdms.vectors.tolist() == [[1.5, 2, 3]]
    assert read.counts.tolist() == [[2, 1, 2]]
    assert read.report.count("matrix not symmetric") == 2
    similar = matrix_rdms(
        [[9, 4, 1], [4, 8, 2], [1, 2, 9]], names, direction="similarity", labels={"rater": ["r"]}
    )
    assert similar.rdms.vectors.tolist() == [[5, 8, 7]]
    with pytest.raises(InputError, match=r"one row for each of 2 condition names, got \(3, 3\)"):
        matrix_rdms(good, names[:2], direction="similarity")
    with pytest.raises(InputError, match="unknown diagonal 'drop'"):
        matrix_rdms(good, names, direction="similarity", diagonal="drop")
    with pytest.raises(InputError, match="unknown asymmetry"):
        matrix_rdms(good, names, direction="similarity", asymmetry="upper")


@present("lee2026/rdm")
def test_lee2026_needs_the_option():
    path = sorted((DATA / "lee2026" / "rdm").glob("*.npy"))[0]
    matrix = np.load(path)
    names = [f"{i}-{e}" for i in range(12) for e in "nhsufda"]
    with pytest.raises(InputError, match="expected a zero diagonal"):
        matrix_rdms(matrix, names, direction="dissimilarity")
    read = matrix_rdms(matrix, names, direction="dissimilarity", diagonal="ignore")
    assert read.report.count("diagonal not zero") == (np.diagonal(matrix) > 1e-8).sum() > 0
    np.testing.assert_allclose(read.rdms.vectors[0], matrix[np.triu_indices(84, 1)])


# Traits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_traits_equal_a_loop(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 8, (2, 6, 4)).astype(float)
    values[1, 2, 3] = np.nan
    rows = [
        {"rater": f"r{r}", "stimulus": f"f{s}", **{f"t{t}": values[r, s, t] for t in range(4)}}
        for r in range(2)
        for s in rng.permutation(6)
    ]
    table = pd.DataFrame(rows)
    found = trait_rdms(table)
    for r in range(2):
        z = (values[r] - np.nanmean(values[r], axis=0)) / np.nanstd(values[r], axis=0)
        np.testing.assert_allclose(found.rdms.vectors[r], pdist(z) / 2, rtol=1e-12)
    assert found.report.count("trait missing") == 1
    assert np.isnan(found.rdms.vectors[1]).sum() == 5
    each = trait_rdms(table, by="trait", traits=["t3", "t0"])
    assert each.rdms.labels["trait"].tolist() == ["t3", "t0"] * 2
    np.testing.assert_allclose(each.rdms.vectors[1], pdist(values[0, :, :1]).ravel())


def test_trait_report_and_refusals():
    table = pd.DataFrame({"stimulus": ["x", "y", "y"], "t": [1.0, 2, 4], "u": [5.0, 5, 5]})
    found = trait_rdms(table)
    assert found.rdms.vectors.tolist() == [[2.0]]
    assert found.report.count("face rated more than once") == 1
    assert found.report.count("same rating throughout") == 1
    with pytest.raises(InputError, match="expected the column 'v'"):
        trait_rdms(table, traits=["v"])
    with pytest.raises(InputError, match="expected the column 'region'"):
        trait_rdms(table, rater="region")
    with pytest.raises(InputError, match="at least 2 faces, got 1"):
        trait_rdms(table.head(1))
    with pytest.raises(InputError, match="at least one column of numbers"):
        trait_rdms(table[["stimulus"]])


@present("psa001")
def test_psa001_regions_as_raters():
    found = trait_rdms(DATA / "psa001" / "psa001_agg.csv", rater="region", stimulus="stim_id")
    assert found.rdms.n_conditions == 120
    r = np.corrcoef(found.rdms.vectors)
    assert r[np.triu_indices(11, 1)].mean() == pytest.approx(0.847, abs=5e-4)
    ceiling = rf.noise_ceiling(found.rdms, method="pearson", by="region")
    assert ceiling.lower == pytest.approx(0.9125, abs=5e-5)
    assert ceiling.upper == pytest.approx(0.9280, abs=5e-5)


# Triplets ----------------------------------------------------------------------------------


def choices(seed, n=7, n_rows=200, raters=2):
    rng = np.random.default_rng(seed)
    names = [f"f{i}" for i in range(n)]
    rows = []
    for _ in range(n_rows):
        three = list(rng.choice(names, 3, replace=False))
        rows.append((f"r{rng.integers(raters)}", *three, three[rng.integers(3)]))
    return names, pd.DataFrame(rows, columns=["rater", "a", "b", "c", "odd"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", ["all", "rater"])
def test_triplets_equal_a_loop(seed, by):
    names, table = choices(seed, n_rows=60)
    found = triplet_rdms(table, by=by, conditions=names)
    for k, rater in enumerate(found.rdms.labels["rater"]):
        rows = table if by == "all" else table[table["rater"] == rater]
        for p, (x, y) in enumerate(itertools.combinations(names, 2)):
            both = [r for r in rows.itertuples() if {x, y} <= {r.a, r.b, r.c}]
            third = [r for r in both if r.odd not in (x, y)]
            expected = 1 - len(third) / len(both) if both else np.nan
            np.testing.assert_allclose(found.rdms.vectors[k, p], expected)
            assert found.counts[k, p] == len(both)
    assert found.report.count("pair in no triplet") == np.isnan(found.rdms.vectors).sum()


def test_all_triplets_once_have_mean_one_third():
    rng = np.random.default_rng(0)
    rows = [(*t, t[rng.integers(3)]) for t in itertools.combinations("abcdefgh", 3)]
    table = pd.DataFrame(rows, columns=["a", "b", "c", "odd"]).assign(rater="r")
    found = triplet_rdms(table)
    assert (found.counts == 6).all()
    assert found.rdms.vectors.mean() == pytest.approx(2 / 3, abs=1e-12)


def test_triplet_report_and_refusals():
    rows = [
        ("r", "x", "y", "z", "z"),
        ("r", "z", "y", "x", "z"),
        ("r", "x", "x", "z", "z"),
        ("r", "x", "y", "z", None),
        ("s", "x", "y", "z", "x"),
    ]
    table = pd.DataFrame(rows, columns=["rater", "a", "b", "c", "odd"])
    found = triplet_rdms(table)
    np.testing.assert_allclose(found.rdms.vectors, [[1 / 3, 1, 2 / 3]])
    assert found.report.summary().loc["r"].to_dict() == {
        "image twice in a triplet": 1,
        "no choice": 1,
        "triplet judged more than once": 1,
    }
    with pytest.raises(InputError, match="one of 'x', 'y', 'z' in column 'odd', but row 0 has 'w'"):
        triplet_rdms(table.assign(odd="w"))
    with pytest.raises(InputError, match="unknown by 'all raters'"):
        triplet_rdms(table, by="all raters")
    with pytest.raises(InputError, match="unknown condition 'z'"):
        triplet_rdms(table, conditions=list("xyw"))
    with pytest.raises(InputError, match="at least 3 conditions, got 2"):
        triplet_rdms(table.iloc[[2]])
    with pytest.raises(InputError, match="at least one choice"):
        triplet_rdms(table.assign(odd=""))


@present("facesim3d")
def test_facesim3d_published_correlations():
    vectors = {}
    for view in ("2D", "3D"):
        table = pd.read_csv(DATA / "facesim3d" / f"{view}_similarity-rt.csv", index_col=0)
        pairs = table.index.str.strip("()").str.split(", ", expand=True)
        names = [[f"head{int(i):02}" for i in pairs.get_level_values(k)] for k in (0, 1)]
        rows = pd.DataFrame(
            {"rater": view, "a": names[0], "b": names[1], "rating": table["similarity"].to_numpy()}
        )
        vectors[view] = pair_rating_rdms(rows, direction="similarity", scale=(0, 1)).rdms
    heads = vectors["2D"].conditions
    for part, published in (
        (heads, 0.9325),
        (heads[:50], 0.9233),
        (heads[50:], 0.9392),
    ):
        x, y = (vectors[view].subset(part).vectors[0] for view in ("2D", "3D"))
        assert spearmanr(x, y)[0] == pytest.approx(published, abs=5e-5)
    # Every triplet judged once would make the mean similarity one third, as triplet_rdms has it.
    assert vectors["2D"].vectors.mean() == pytest.approx(2 / 3, abs=1e-9)


def simulated_choices(seed, n=16, n_rows=3000, scale=1.5):
    rng = np.random.default_rng(seed)
    x = scale * np.abs(rng.standard_normal((n, 3)))
    s = x @ x.T
    three = np.array([rng.permutation(n)[:3] for _ in range(n_rows)])
    i, j, k = three.T
    logits = np.stack([s[j, k], s[i, k], s[i, j]], axis=1)
    odd = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    names = np.array([f"f{i:02}" for i in range(n)])
    table = pd.DataFrame(names[three], columns=list("abc"))
    table["odd"], table["rater"] = names[three[np.arange(n_rows), odd]], "r"
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return s, table, (p.max(axis=1) / p.sum(axis=1)).mean()


@pytest.mark.parametrize("nonnegative", [True, False])
def test_embedding_recovers_similarities(nonnegative):
    s, table, best = simulated_choices(0)
    found = triplet_embedding(table, n_dimensions=3, nonnegative=nonnegative, n_folds=3)
    estimate = found.coordinates @ found.coordinates.T
    upper = np.triu_indices(len(s), 1)
    assert np.corrcoef(s[upper], estimate[upper])[0, 1] > 0.95
    assert (found.coordinates >= 0).all() == nonnegative
    # No model can beat the choice probabilities that made the data, but for chance.
    assert best - 0.05 < found.cv_accuracy < best + 0.03
    assert found.cv_log_likelihood < found.log_likelihood
    again = triplet_embedding(table, n_dimensions=3, nonnegative=nonnegative, n_folds=3)
    np.testing.assert_array_equal(again.coordinates, found.coordinates)
    # Choice probabilities of the RDM, one pair by hand.
    e = np.exp(estimate)
    p = [e[0, 1] / (e[0, 1] + e[0, k] + e[1, k]) for k in range(2, len(s))]
    assert found.rdms.vectors[0, 0] == pytest.approx(1 - np.mean(p), abs=1e-9)


def test_embedding_is_a_maximum():
    """The likelihood has no slope: small steps in any direction do not raise it."""
    _, table, _ = simulated_choices(1, n=8, n_rows=400)
    found = triplet_embedding(table, n_dimensions=2, nonnegative=False, n_folds=0, penalty=0.02)
    names = list(found.conditions)
    index = table[["a", "b", "c", "odd"]].map(names.index).to_numpy()

    def cost(x):
        s, total = x @ x.T, 0.0
        for a, b, c, odd in index:
            i, j = (k for k in (a, b, c) if k != odd)
            total -= s[i, j] - np.log(np.exp([s[a, b], s[a, c], s[b, c]]).sum())
        return total / len(index) + 0.02 * np.abs(x).sum() / len(x)

    best = cost(found.coordinates)
    rng = np.random.default_rng(0)
    for _ in range(10):
        step = rng.standard_normal(found.coordinates.shape)
        assert cost(found.coordinates + 0.01 * step) > best - 1e-5
    assert found.log_likelihood == pytest.approx(
        -(best - 0.02 * np.abs(found.coordinates).sum() / 8), abs=1e-9
    )


def test_embedding_of_random_choices_is_at_chance():
    _, table = choices(5, n=12, n_rows=1500)
    found = triplet_embedding(table, n_dimensions=2, n_folds=3, penalty=0.01)
    # Three standard errors of 1/3 with 1500 choices.
    assert found.cv_accuracy < 1 / 3 + 0.037
    assert np.isfinite(found.cv_folds).all()


def test_embedding_refusals():
    names, table = choices(0)
    with pytest.raises(InputError, match="but 'zz' is in none"):
        triplet_embedding(table, conditions=[*names, "zz"])
    with pytest.raises(InputError, match="penalty of at least 0, got -1"):
        triplet_embedding(table, penalty=-1)
    with pytest.raises(InputError, match="2 to 1 folds for 1 different"):
        triplet_embedding(table.head(1), n_folds=5)
    with pytest.raises(InputError, match="n_dimensions"):
        triplet_embedding(table, n_dimensions=0)
    with pytest.warns(UserWarning, match="did not settle within 1"):
        triplet_embedding(table, max_iter=1, n_folds=0)
