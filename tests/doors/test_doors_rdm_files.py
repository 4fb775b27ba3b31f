"""RDM files, features and stores that are bad or odd: read rightly, or one sentence."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.spatial.distance import pdist, squareform
from situation import Situation, check, command, each

import rsa_faces as rf
from rsa_faces.cli import _extract, _init, _runs  # noqa: F401 (registers the commands)
from rsa_faces.extraction import Activations
from rsa_faces.io import read_features, read_rdms
from rsa_faces.rdm import concat, read_names
from rsa_faces.runs import Config

NAMES = list("dacb")
SQUARE = squareform(pdist(np.random.default_rng(0).normal(size=(4, 9))))


def rdms(n=2, names=NAMES, measure="correlation", **labels):
    values = np.random.default_rng(1).random((n, len(names) * (len(names) - 1) // 2))
    return rf.RDMs(values, names, measure, labels)


def keeps(column):
    """Return a situation: a column of labels comes back from a file as it was."""

    def run(folder):
        made = rdms(3).with_labels(label=column)
        made.save(folder / "r.h5")
        again = rf.load_rdms(folder / "r.h5")
        assert again.equals(made)
        pd.testing.assert_series_equal(again.labels["label"], made.labels["label"])

    return run


def broken(change):
    """Return a situation: a file of RDMs in which something was changed."""

    def run(folder):
        rdms(subject=["1", "2"]).save(folder / "r.h5")
        with h5py.File(folder / "r.h5", "r+") as file:
            change(file)
        rf.load_rdms(folder / "r.h5")

    return run


def renamed_condition(file):
    names = file["conditions"].asstr()[()].tolist()
    file["conditions"][...] = ["a", "d", *names[2:]]


def first_version(folder):
    """Files of earlier versions, whose labels are JSON, are read."""
    made = rdms(2, subject=["1", "2"], depth=[0.5, np.nan])
    made.save(folder / "r.h5")
    columns = {
        "subject": {"dtype": "object", "values": ["1", "2"]},
        "depth": {"dtype": "float64", "values": [0.5, None]},
    }
    with h5py.File(folder / "r.h5", "r+") as file:
        del file["labels"]
        file.attrs["labels"], file.attrs["version"] = json.dumps(columns), 1
    assert rf.load_rdms(folder / "r.h5").equals(made)


def odd_json(folder):
    first_version(folder)
    with h5py.File(folder / "r.h5", "r+") as file:
        file.attrs["labels"] = '{"subject": [1, 2'
    rf.load_rdms(folder / "r.h5")


def store(folder, old=b"", new=b""):
    """Make a store of activations and change something in its list."""
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    stimuli = rf.StimulusSet.from_arrays(images, list("abc"))
    rf.extract(rf.load_network("pixels"), stimuli, store=folder / "s", progress=False)
    (path,) = (folder / "s").glob("*.list")
    path.write_bytes(path.read_bytes().replace(old, new))
    return read_features(folder / "s")


def single_precision(make):
    """Return a situation: 1 - corrcoef in single precision goes in by one of the doors."""

    def run(folder):
        patterns = np.random.default_rng(0).normal(size=(30, 200)).astype(np.float32)
        square = 1 - np.corrcoef(patterns, dtype=np.float32)
        square[np.arange(30), np.arange(30)] = np.float32(1.2e-7)
        square[3, 4] += np.float32(2e-7)
        names = [f"i{k:02d}" for k in range(30)]
        made = make(folder, square, names)
        np.testing.assert_allclose(made.matrices()[0], (square + square.T) / 2, atol=1e-6)
        assert (np.diagonal(made.matrices()[0]) == 0).all()

    return run


def saved(folder, square, names):
    np.save(folder / "r.npy", square)
    return read_rdms(folder / "r.npy", conditions=names)


def rated(folder, square, names):
    return rf.behaviour.matrix_rdms(square, names, direction="dissimilarity").rdms


def archive(folder, square, names):
    np.savez(folder / "r.npz", rdm=square, layer_name="fc", stimuli_name=names)
    return read_rdms(folder / "r.npz")


def lopsided(folder):
    square = SQUARE.copy()
    square[0, 1] += 0.01
    np.save(folder / "r.npy", square)
    read_rdms(folder / "r.npy", conditions=NAMES, format="npy")


def recognised(name, write, expected):
    """Return a situation: a format is seen from the content."""

    def run(folder):
        write(folder / name)
        made = read_rdms(folder / name)
        assert made.conditions == tuple(NAMES)
        np.testing.assert_allclose(made.vectors, expected().vectors)

    return run


def toolbox(path):
    rdms(subject=["1", "2"]).to_rsatoolbox().save(str(path), file_type="hdf5")


def no_format(folder):
    (folder / "r.dat").write_bytes(b"\0\1\2\3")
    read_rdms(folder / "r.dat")


def features_for_rdms(folder):
    np.savez(folder / "a.jpg.npz", conv=np.eye(3))
    read_rdms(folder)


def rdms_for_features(folder):
    rdms().save(folder / "r.h5")
    read_features(folder / "r.h5")


def unknown_format(folder):
    np.save(folder / "r.npy", SQUARE)
    read_rdms(folder / "r.npy", format="rsatolbox", conditions=NAMES)


def no_names(folder):
    np.save(folder / "r.npy", SQUARE)
    read_rdms(folder / "r.npy")


def given_labels(folder):
    np.save(folder / "r.npy", np.stack([SQUARE, SQUARE]))
    made = read_rdms(
        folder / "r.npy", conditions=NAMES, measure="euclidean", label={"subject": ["01", "02"]}
    )
    assert made.measure == "euclidean"
    assert made.labels["subject"].tolist() == ["01", "02"]
    made = read_rdms(folder / "r.npy", conditions=NAMES, label="subject")
    assert made.labels.to_dict("list") == {"subject": ["1", "2"]}
    np.save(folder / "sub-07.npy", SQUARE)
    made = read_rdms(folder / "sub-07.npy", conditions=NAMES, label="subject")
    assert made.labels["subject"].tolist() == ["sub-07"]


def too_few_labels(folder):
    np.save(folder / "r.npy", np.stack([SQUARE, SQUARE]))
    read_rdms(folder / "r.npy", conditions=NAMES, label={"subject": ["01"]})


def layers_of_a_store(folder):
    acts = store(folder)
    assert isinstance(acts, Activations)
    only = acts.layers[0]
    assert read_features(folder / "s", layers=[only]).layers == (only,)
    with pytest.raises(rf.InputError, match="unknown layer 'fc'"):
        read_features(folder / "s", layers=["fc"])


def union(folder):
    first = rf.RDMs([1.0, 2, 3], list("abc"), "rating", {"subject": ["1"]})
    second = rf.RDMs([4.0, 5, 6], list("dcb"), "rating", {"subject": ["2"]})
    both = concat([first, second], conditions="union")
    assert both.conditions == tuple("abcd")
    square = both.matrices()
    # first: ab 1, ac 2, bc 3; second: dc 4, db 5, cb 6.
    assert (square[0, 0, 1], square[0, 0, 2], square[0, 1, 2]) == (1, 2, 3)
    assert (square[1, 3, 2], square[1, 3, 1], square[1, 2, 1]) == (4, 5, 6)
    assert np.isnan(square[:, 0, 3]).all()
    assert np.isnan(both.vectors).sum() == 6
    assert both.mean().vectors[0, 3] == 4.5  # the pair b, c: of both


def not_the_same(folder):
    concat([rdms(1), rdms(1, list("dacx"))])


def not_rdms(folder):
    concat([rdms(1), SQUARE])


def new_names(folder):
    (folder / "n.csv").write_text("old,new\nd,01\na,ann\n")
    assert rdms().rename(read_names(folder / "n.csv")).conditions == ("01", "ann", "c", "b")
    assert rdms().rename(str.upper).conditions == tuple("DACB")
    np.testing.assert_array_equal(rdms().rename({"d": "x"}).vectors, rdms().vectors)


def twice_renamed(folder):
    (folder / "n.csv").write_text("old,new\nd,x\nd,y\n")
    read_names(folder / "n.csv")


def experiment(folder, **entry):
    """Write images, RDMs of two subjects that saw different ones, and a configuration."""
    names = [f"face{i}" for i in range(6)]
    (folder / "faces").mkdir()
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "faces" / f"{name}.png")
    for subject, seen in (("ann", names[:5]), ("bob", names[1:])):
        rdms(1, seen).save(folder / f"{subject}.h5")
    config = {
        "title": "t",
        "stimuli": {"folder": "faces"},
        "data": [{"region": "FFA", "rdms": ["ann.h5", "bob.h5"], **entry}],
        "networks": ["pixels"],
        "inference": {"generalise_to": "conditions", "n_boot": 100},
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder / "c.yaml"


def run_of_a_union(folder):
    path = experiment(folder, conditions="union")
    from rsa_faces.runs._inputs import read_inputs

    data = read_inputs(Config.read(path)).data["FFA"]
    assert data.n_conditions == 6
    assert data.labels["subject"].tolist() == ["ann", "bob"]
    assert np.isnan(data.vectors).any()


def run_without_union(folder):
    from rsa_faces.runs._inputs import read_inputs

    read_inputs(Config.read(experiment(folder)))


def run_with_new_names(folder):
    from rsa_faces.runs._inputs import read_inputs

    path = experiment(folder, rdms="all.h5", rename="names.csv")
    rdms(2, list("uvwxyz"), subject=["1", "2"]).save(folder / "all.h5")
    table = pd.DataFrame({"old": list("zyxwvu"), "new": [f"face{i}" for i in range(6)]})
    table.to_csv(folder / "names.csv", index=False)
    data = read_inputs(Config.read(path)).data["FFA"]
    there = rf.load_rdms(folder / "all.h5").align(list("zyxwvu"))
    np.testing.assert_array_equal(data.vectors, there.vectors)


def imported(folder):
    """A user's way: import, init, compare, without --set."""
    experiment(folder)
    names = [f"face{i}" for i in range(6)]
    made = rdms(3, names)
    np.save(folder / "ffa.npy", made.matrices())
    (folder / "names.txt").write_text("\n".join(names))
    said = command(
        "import",
        folder / "ffa.npy",
        "--conditions",
        folder / "names.txt",
        "--out",
        folder / "FFA.h5",
        "--measure",
        "euclidean",
        "--label",
        "subject",
        "--label",
        "task=view",
    )
    assert "measure='euclidean'" in said
    again = rf.load_rdms(folder / "FFA.h5")
    assert again.labels.to_dict("list") == {"subject": ["1", "2", "3"], "task": ["view"] * 3}
    np.testing.assert_allclose(again.vectors, made.vectors)
    path = folder / "e.yaml"
    command("init", "--stimuli", folder / "faces", "--data", folder / "FFA.h5", "--out", path)
    config = yaml.safe_load(path.read_text())
    config |= {"networks": ["pixels"], "inference": config["inference"] | {"n_boot": 100}}
    path.write_text(yaml.safe_dump(config))
    command("compare", path, "--out", folder / "out")
    assert (folder / "out" / "results.csv").is_file()


def subjects_by_index(folder):
    """RDMs that only count their subjects: the configuration says by what they are told apart."""
    experiment(folder)
    names = [f"face{i}" for i in range(6)]
    np.save(folder / "ffa.npy", rdms(3, names).matrices())
    (folder / "names.txt").write_text("\n".join(names))
    command(
        "import",
        folder / "ffa.npy",
        "--conditions",
        folder / "names.txt",
        "--out",
        folder / "FFA.h5",
    )
    command(
        "init",
        "--stimuli",
        folder / "faces",
        "--data",
        folder / "FFA.h5",
        "--out",
        folder / "e.yaml",
    )
    assert yaml.safe_load((folder / "e.yaml").read_text())["inference"]["by"] == "index"


def wrong_label(folder):
    np.save(folder / "r.npy", SQUARE)
    (folder / "n.txt").write_text("\n".join(NAMES))
    command(
        "import",
        folder / "r.npy",
        "--conditions",
        folder / "n.txt",
        "--out",
        folder / "o.h5",
        "--label",
        "=x",
    )


SITUATIONS = [
    Situation("labels: whole numbers with a gap", keeps(pd.array([1, None, 3], "Int64"))),
    Situation("labels: yes and no with a gap", keeps(pd.array([True, None, False], "boolean"))),
    Situation("labels: whole numbers as objects", keeps(pd.Series([1, 2, 30], dtype=object))),
    Situation("labels: numbers and text", keeps(pd.Series([1, "a", 2.5], dtype=object))),
    Situation("labels: text with a gap", keeps(pd.Series(["a", None, "c"], dtype=object))),
    Situation("labels: 8-bit numbers", keeps(np.array([1, 2, 3], np.int8))),
    Situation("labels: categories", keeps(pd.Categorical(["a", "b", "a"]))),
    Situation("a file of an earlier version", first_version),
    Situation("labels that are half of JSON", odd_json, r"r\.h5 is damaged, or was not written"),
    Situation(
        "a file without its measure",
        broken(lambda file: file.attrs.__delitem__("measure")),
        r"r\.h5 is damaged, or was not written by RDMs\.save",
    ),
    Situation(
        "a file without its version",
        broken(lambda file: file.attrs.__delitem__("version")),
        r"r\.h5 is damaged",
    ),
    Situation(
        "a file without its conditions",
        broken(lambda file: file.__delitem__("conditions")),
        r"r\.h5 is damaged",
    ),
    Situation(
        "a file without its labels",
        broken(lambda file: file.__delitem__("labels")),
        r"r\.h5 is damaged",
    ),
    Situation(
        "a file of a newer version",
        broken(lambda file: file.attrs.__setitem__("version", 99)),
        r"newer rsa-faces \(format version 99",
    ),
    Situation("conditions swapped in a file", broken(renamed_condition), "is damaged: its content"),
    Situation(
        "conditions swapped in a store",
        lambda folder: store(folder, b'["a", "b"', b'["b", "a"'),
        r"\.list is damaged: its header is not as it was written",
    ),
    Situation(
        "a store without its key",
        lambda folder: store(folder, b'"key"', b'"kee"'),
        r"\.list is damaged",
    ),
    Situation(
        "a store whose key is no JSON",
        lambda folder: store(folder, b'{"key"', b'["key"'),
        r"\.list is damaged",
    ),
    Situation(
        "a store without its layers",
        lambda folder: store(folder, b'"layers"', b'"l"'),
        r"\.list is damaged",
    ),
    Situation("a store of activations", layers_of_a_store),
    Situation(
        "1 - corrcoef in single precision: matrices",
        single_precision(lambda folder, square, names: rf.RDMs.from_matrices(square, names, "c")),
    ),
    Situation(
        "1 - corrcoef in single precision, kept in double",
        single_precision(
            lambda folder, square, names: rf.RDMs.from_matrices(square.astype(float), names, "c")
        ),
    ),
    Situation("1 - corrcoef in single precision: a NumPy file", single_precision(saved)),
    Situation("1 - corrcoef in single precision: ratings", single_precision(rated)),
    Situation("1 - corrcoef in single precision: Net2Brain", single_precision(archive)),
    Situation(
        "RDMs saved with the ending of a table",
        lambda folder: rdms().save(folder / "r.csv"),
        r"a name that ends in \.h5",
    ),
    Situation("RDMs saved as a folder", lambda folder: rdms().save(folder), "is a folder"),
    Situation("a folder where RDMs are expected", rf.load_rdms, "is a folder"),
    Situation("a matrix whose halves differ", lopsided, r"r\.npy: expected symmetric matrices"),
    Situation("rsatoolbox, recognised", recognised("r.hdf5", toolbox, rdms)),
    Situation(
        "RDMs of our own, recognised", recognised("r.hdf5", lambda path: rdms().save(path), rdms)
    ),
    Situation(
        "a tidy table, recognised",
        recognised(
            "r.csv",
            lambda path: rdms(subject=["a", "b"]).to_frame().to_csv(path, index=False),
            rdms,
        ),
    ),
    Situation("a file of no known format", no_format, r"known format, but .*r\.dat begins with"),
    Situation("features where RDMs are expected", features_for_rdms, "holds features .*read_feat"),
    Situation("RDMs where features are expected", rdms_for_features, "holds RDMs .*read_rdms"),
    Situation("a format that is misspelt", unknown_format, "'rsatolbox'. Did you mean 'rsatoolb"),
    Situation("an array without names", no_names, "expected `conditions`: .* which of its 4 rows"),
    Situation("measure and labels that are given", given_labels),
    Situation(
        "fewer labels than RDMs", too_few_labels, "label 'subject' for each of 2 RDMs, got 1"
    ),
    Situation("subjects who saw different images", union),
    Situation("different images, not said", not_the_same, "only in object 0: 'b'"),
    Situation("a matrix among RDMs", not_rdms, "expected RDMs to put together, got ndarray"),
    Situation("new names", new_names),
    Situation(
        "a new name for nobody",
        lambda folder: rdms().rename({"D": "x"}),
        "unknown condition to rename: 'D'. Did you mean 'd'",
    ),
    Situation(
        "one new name for two", lambda folder: rdms().rename({"d": "a"}), "unique condition names"
    ),
    Situation("two new names for one", twice_renamed, "'d' stands there twice"),
    Situation("a run: subjects who saw different images", run_of_a_union),
    Situation("a run: different images, not said", run_without_union, "expected the same condi"),
    Situation("a run: new names", run_with_new_names),
    Situation("import, init, compare", imported),
    Situation("subjects that are only counted", subjects_by_index),
    Situation("a label without a name", wrong_label, "expected --label NAME or NAME=VALUE"),
]


@each(SITUATIONS)
def test_situation(situation, tmp_path):
    check(situation, tmp_path)
