"""RDMs: construction, selection, alignment, averaging, files and the rsatoolbox bridge."""

import copy
import dataclasses
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import squareform

import rsa_faces as rf
from rsa_faces.rdm._rdms import pair_index


def simulated(n_rdms=4, n_conditions=7, seed=0, **labels):
    rng = np.random.default_rng(seed)
    n_pairs = n_conditions * (n_conditions - 1) // 2
    labels = labels or {"subject": [f"s{i // 2}" for i in range(n_rdms)], "run": range(n_rdms)}
    names = [f"face {i}é" for i in range(n_conditions)]
    return rf.RDMs(rng.normal(size=(n_rdms, n_pairs)), names, "crossnobis", labels)


def test_content_is_a_read_only_copy():
    values = np.arange(3.0)
    rdms = rf.RDMs(values, list("abc"), "euclidean")
    values[0] = 99
    assert rdms.vectors[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        rdms.vectors[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        rdms.measure = "x"
    labelled = simulated()
    frame = labelled.labels
    frame["subject"] = "changed"
    assert list(labelled.labels["subject"]) == ["s0", "s0", "s1", "s1"]


@pytest.mark.parametrize("twin", [lambda r: pickle.loads(pickle.dumps(r)), copy.deepcopy])
def test_pickle_and_deepcopy_stay_frozen_and_equal(twin):
    rdms = simulated()
    other = twin(rdms)
    assert other.equals(rdms)
    assert other.hash == rdms.hash
    assert not other.vectors.flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.zeros((1, 4))}, r"shape \(n_rdms, 3\) for 3 conditions, got \(1, 4\)"),
        ({"conditions": ["a", "b", "a"]}, "1 of 3 occur more than once: 'a'"),
        ({"conditions": ["a", "", "c"]}, "name 1 is ''"),
        ({"vectors": [[1, np.inf, 2]]}, "inf in RDM 0, pair 1"),
        ({"measure": ""}, "name of a measure, got ''"),
        ({"labels": {"subject": ["x", "y"]}}, "1 rows, one per RDM, got 2"),
        ({"labels": {"a": [1], "b": [1, 2]}}, r"one value per RDM \(1\)"),
        ({"conditions": ["a"], "vectors": np.zeros((1, 0))}, "at least 2 conditions, got 1"),
    ],
)
def test_wrong_content_is_refused(change, message):
    good = {"vectors": [[1.0, 2, 3]], "conditions": list("abc"), "measure": "m", "labels": None}
    with pytest.raises(rf.InputError, match=message):
        rf.RDMs(**(good | change))


def test_a_single_string_is_no_sequence_of_conditions():
    with pytest.raises(TypeError, match="single string 'abc'"):
        rf.RDMs([[1.0, 2, 3]], "abc", "m")


def test_matrices_agree_with_squareform_and_back():
    rdms = simulated()
    for vector, matrix in zip(rdms.vectors, rdms.matrices(), strict=True):
        np.testing.assert_array_equal(matrix, squareform(vector))
    again = rf.RDMs.from_matrices(rdms.matrices(), rdms.conditions, rdms.measure, rdms.labels)
    assert again.equals(rdms)


def test_from_matrices_keeps_nan_pairs():
    matrix = simulated(1).matrices()[0]
    matrix[2, 5] = matrix[5, 2] = np.nan
    rdms = rf.RDMs.from_matrices(matrix, simulated().conditions, "m")
    assert np.flatnonzero(np.isnan(rdms.vectors[0])) == pair_index(np.array(2), np.array(5), 7)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((3, 3), 0.78, "matrix 1 has 0.78 at position 3"),
        ((0, 4), 9.0, r"symmetric matrices, but matrix 1 has 9 at \(0, 4\)"),
        ((0, 4), np.nan, r"matrix 1 has nan at \(0, 4\)"),
    ],
)
def test_from_matrices_refuses_what_is_no_rdm(place, value, message):
    square = simulated(2).matrices()
    square[(1, *place)] = value
    with pytest.raises(rf.InputError, match=message):
        rf.RDMs.from_matrices(square, simulated().conditions, "m")


def test_from_matrices_refuses_other_shapes():
    with pytest.raises(rf.InputError, match=r"got \(3, 4\)"):
        rf.RDMs.from_matrices(np.zeros((3, 4)), list("abc"), "m")


@pytest.mark.parametrize("n", [2, 3, 8])
def test_pair_index_is_the_position_in_the_upper_triangle(n):
    row, col = np.triu_indices(n, k=1)
    np.testing.assert_array_equal(pair_index(row, col, n), np.arange(len(row)))
    np.testing.assert_array_equal(pair_index(col, row, n), np.arange(len(row)))


@pytest.mark.parametrize("seed", range(5))
def test_align_permutes_rows_and_columns_together(seed):
    rdms = simulated(seed=seed)
    order = np.random.default_rng(seed).permutation(rdms.n_conditions)
    aligned = rdms.align([rdms.conditions[i] for i in order])
    np.testing.assert_array_equal(aligned.matrices(), rdms.matrices()[:, order][:, :, order])
    assert aligned.align(rdms.conditions).equals(rdms)


def test_align_refuses_other_conditions_and_names_them():
    with pytest.raises(rf.ConditionMismatchError, match="only in the order asked for: 'x'"):
        simulated().align([*simulated().conditions[:-1], "x"])
    with pytest.raises(rf.ConditionMismatchError, match=r"only in the RDMs: 'face 5é', 'face 6é'"):
        simulated().align(simulated().conditions[:5])


def test_subset_takes_the_named_conditions_in_their_order():
    rdms = simulated()
    take = [5, 0, 3]
    part = rdms.subset([rdms.conditions[i] for i in take])
    np.testing.assert_array_equal(part.matrices(), rdms.matrices()[:, take][:, :, take])
    with pytest.raises(rf.InputError, match="unknown condition 'face 3e'. Did you mean"):
        rdms.subset(["face 1é", "face 3e"])
    with pytest.raises(rf.InputError, match="at least 2 conditions, got 1"):
        rdms.subset(["face 1é"])


def test_rows_and_labels_are_selected_together():
    rdms = simulated()
    assert len(rdms[1]) == 1
    assert list(rdms[1:3].labels["run"]) == [1, 2]
    assert list(rdms[[3, 0]].labels["run"]) == [3, 0]
    assert list(rdms[rdms.labels["run"].to_numpy() > 1].labels["run"]) == [2, 3]
    assert list(rdms.sel(subject="s1", run=[0, 3]).labels["run"]) == [3]
    assert [len(r) for r in rdms] == [1] * 4
    with pytest.raises(IndexError):
        rdms[9]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"subjekt": "s1"}, "unknown label column 'subjekt'. Did you mean 'subject'"),
        ({"subject": "s9"}, "unknown subject 's9'. Did you mean 's"),
        ({"subject": "s0", "run": 3}, "no RDM has all of the labels"),
    ],
)
def test_sel_names_what_does_not_occur(wanted, message):
    with pytest.raises(rf.InputError, match=message):
        simulated().sel(**wanted)


def test_mean_ignores_pairs_not_measured_and_says_how_many_entered():
    nan = np.nan
    rdms = rf.RDMs(
        [[1, 2, nan], [3, nan, nan], [7, 8, 9]],
        list("abc"),
        "m",
        {"subject": ["x", "x", "y"], "session": [1, 2, 1], "region": "IT"},
    )
    mean = rdms.mean(by="subject")
    np.testing.assert_array_equal(mean.vectors, [[2, 2, nan], [7, 8, 9]])
    assert mean.labels.to_dict("list") == {
        "subject": ["x", "y"],
        "region": ["IT", "IT"],
        "n_averaged": [2, 1],
        "n_averaged_min": [0, 1],
        "session": pytest.approx([nan, 1], nan_ok=True),
    }
    np.testing.assert_array_equal(rdms.mean().vectors, [[11 / 3, 5, 9]])
    with pytest.raises(rf.InputError, match="unknown label column 'rater'"):
        rdms.mean(by="rater")


def test_mean_of_equal_rdms_is_that_rdm():
    one = simulated(1)
    np.testing.assert_allclose(rf.concat([one] * 5).mean().vectors, one.vectors, rtol=1e-15)


def test_concat_aligns_by_name_and_keeps_arguments():
    a, b = simulated(), simulated(seed=1)
    turned = b.align(b.conditions[::-1])
    before = turned.hash
    both = rf.concat([a, turned])
    np.testing.assert_array_equal(both.vectors, np.concatenate([a.vectors, b.vectors]))
    assert turned.hash == before
    with pytest.raises(rf.ConditionMismatchError, match="object 1"):
        rf.concat([a, b.subset(b.conditions[:4])])
    with pytest.raises(rf.InputError, match="got none"):
        rf.concat([])


def test_concat_of_measures_says_which_is_which():
    a = rf.RDMs([[1.0, 2, 3]], list("abc"), "cosine")
    b = rf.RDMs([[1.0, 2, 3]], list("abc"), "euclidean", {"layer": ["conv1"]})
    both = rf.concat([a, b])
    assert both.measure == "mixed"
    assert list(both.labels["measure"]) == ["cosine", "euclidean"]


def test_to_frame_has_one_row_per_rdm_and_pair():
    rdms = simulated(2, 4)
    frame = rdms.to_frame()
    assert len(frame) == 2 * 6
    row = frame.iloc[7]
    assert (row.condition_a, row.condition_b) == (rdms.conditions[0], rdms.conditions[2])
    assert row.dissimilarity == rdms.vectors[1, 1]
    assert row.run == 1


@pytest.mark.parametrize("column", ["vectors", "conditions", "measure", "labels"])
def test_equals_sees_every_part(column):
    base = simulated()
    vectors = base.vectors.copy()
    vectors[0, 0] += 1e-12
    other = {
        "vectors": rf.RDMs(vectors, base.conditions, base.measure, base.labels),
        "conditions": rf.RDMs(base.vectors, list("abcdefg"), base.measure, base.labels),
        "measure": rf.RDMs(base.vectors, base.conditions, "other", base.labels),
        "labels": base.with_labels(subject="z"),
    }[column]
    assert not base.equals(other)
    assert base.equals(simulated())
    assert not base.equals("something else")


def test_hdf5_keeps_everything(tmp_path):
    rdms = simulated(
        subject=["Zoë", None, "c", "d"],
        layer_index=[1, 2, 3, 4],
        depth=[0.5, np.nan, 1, 0],
        trained=[True, False, True, True],
    )
    rdms.save(tmp_path / "deep" / "r.h5")
    again = rf.load_rdms(tmp_path / "deep" / "r.h5")
    assert again.equals(rdms)
    pd.testing.assert_frame_equal(again.labels, rdms.labels, check_dtype=False)
    assert again.labels["layer_index"].dtype == np.int64
    assert again.labels["trained"].dtype == bool
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["r.h5"]
    assert rf.RDMs.load(tmp_path / "deep" / "r.h5").equals(rdms)


def test_hdf5_refuses_labels_it_cannot_keep_and_leaves_the_old_file(tmp_path):
    simulated().save(tmp_path / "r.h5")
    with pytest.raises(rf.InputError, match="column 'label' of labels.*, which cannot be saved"):
        simulated(1, label=[object()]).save(tmp_path / "r.h5")
    assert rf.load_rdms(tmp_path / "r.h5").equals(simulated())
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.h5 does not exist"):
        rf.load_rdms(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(rf.InputError, match="text.h5 cannot be read as one"):
        rf.load_rdms(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(rf.InputError, match="other.h5 has format None"):
        rf.load_rdms(tmp_path / "other.h5")
    simulated().save(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5", "r+") as file:
        file["vectors"][0, 0] = 5.0
    with pytest.raises(rf.InputError, match="r.h5 is damaged"):
        rf.load_rdms(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5", "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(rf.InputError, match="format version 99"):
        rf.load_rdms(tmp_path / "r.h5")


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_tidy_tables_are_read(tmp_path, suffix):
    rdms = simulated()
    frame = rdms.to_frame().sample(frac=1, random_state=0)
    frame.loc[0, "dissimilarity"] = np.nan
    path = tmp_path / f"r{suffix}"
    frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    again = rf.load_rdms(path).align(rdms.conditions)
    again = rf.concat([again.sel(run=i) for i in range(4)])
    expected = rdms.vectors.copy()
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(again.vectors, expected)
    assert list(again.labels["subject"]) == ["s0", "s0", "s1", "s1"]


def test_a_table_without_labels_is_one_rdm(tmp_path):
    (tmp_path / "r.csv").write_text(
        "condition_a,condition_b,dissimilarity\nNA,b,1\nc,NA,2\n", encoding="utf-8"
    )
    rdms = rf.load_rdms(tmp_path / "r.csv")
    assert rdms.conditions == ("NA", "b", "c")
    np.testing.assert_array_equal(rdms.vectors, [[1, 2, np.nan]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "the column 'condition_a' in"),
        ("condition_a,condition_b,dissimilarity\n", "it has none"),
        ("condition_a,condition_b,dissimilarity\na,b,1\nb,c,x\n", "line 3 has 'x'"),
        ("condition_a,condition_b,dissimilarity\na,b,1\nb,b,0\n", "row 2 pairs 'b' with itself"),
        (
            "condition_a,condition_b,dissimilarity\na,b,1\nb,a,2\n",
            r"row 2 gives \('b', 'a'\) again",
        ),
        ("", "the file is empty"),
        ("condition_a,condition_b,dissimilarity\na,b,1,\n", "line 2 has 4"),
        ("condition_a,condition_b,dissimilarity,subject\na,b,1,s\na,c,1,\n", "'subject'.*line 3"),
        ("condition_a,condition_b,dissimilarity,roi\na,b,1,s\na,c,1,\n", "'roi'.*row 2 has none"),
        (
            "condition_a,condition_b,dissimilarity,dissimilarity\na,b,1,2\n",
            "is there again",
        ),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, message):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(rf.InputError, match=message):
        rf.load_rdms(tmp_path / "r.csv")


def test_subjects_of_a_table_are_names(tmp_path):
    header = "subject,session,condition_a,condition_b,dissimilarity\n"
    (tmp_path / "r.csv").write_text(f"{header}01,2,a,b,1\n02,2,a,b,3\n")
    rdms = rf.load_rdms(tmp_path / "r.csv")
    assert list(rdms.labels["subject"]) == ["01", "02"]
    assert list(rdms.labels["session"]) == [2, 2]
    (tmp_path / "r.csv").write_text(f"{header}10,2,a,b,1\n11,2,a,b,3\n")
    rdms = rf.load_rdms(tmp_path / "r.csv")
    assert list(rdms.labels["subject"]) == ["10", "11"]
    assert rdms.sel(subject=11).vectors.tolist() == rdms.sel(subject="11").vectors.tolist() == [[3]]


def test_labels_named_as_our_columns_are_refused():
    rdms = rf.RDMs([[1.0]], ["a", "b"], "m", {"dissimilarity": [1]})
    with pytest.raises(rf.InputError, match="got the label 'dissimilarity'"):
        rdms.to_frame()


def test_rsatoolbox_bridge_round_trip():
    rdms = simulated()
    theirs = rdms.to_rsatoolbox()
    np.testing.assert_array_equal(theirs.get_matrices(), rdms.matrices())
    theirs.dissimilarities[:] = 0
    assert not (rdms.vectors == 0).any()
    assert rf.RDMs.from_rsatoolbox(rdms.to_rsatoolbox()).equals(rdms)


def test_align_equals_rsatoolbox_sort_by():
    rdms = simulated()
    theirs = rdms.align(rdms.conditions[::-1]).to_rsatoolbox()
    theirs.sort_by(condition="alpha")
    assert rf.RDMs.from_rsatoolbox(theirs).equals(rdms.align(sorted(rdms.conditions)))


def test_rsatoolbox_without_condition_names_is_refused():
    theirs = simulated().to_rsatoolbox()
    with pytest.raises(rf.InputError, match="unknown pattern descriptor 'stimulus'"):
        rf.RDMs.from_rsatoolbox(theirs, conditions="stimulus")
    del theirs.pattern_descriptors["condition"]
    with pytest.raises(rf.InputError, match="but the rsatoolbox RDMs have none"):
        rf.RDMs.from_rsatoolbox(theirs)
