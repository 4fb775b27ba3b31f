"""`rsa-faces analyse`: questions of a configuration become tables and figures."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from test_cli import rsa_faces, sentence

import rsa_faces as rf
from rsa_faces.analyses import congruence, readout
from rsa_faces.cli import _analyse  # noqa: F401
from rsa_faces.config import load_analyses_config
from rsa_faces.pipeline import run_analyses

PEOPLE, EXPRESSIONS = 8, ("happy", "sad", "angry")
ANALYSES = [
    {"analysis": "readout", "labels": "expression", "across": "identity", "n_permutations": 19},
    {
        "analysis": "transfer", "n_permutations": 19,
        "tasks": {
            "identity": {"labels": "identity", "across": "expression", "people": "identity"},
            "expression": {"labels": "expression", "across": "identity"},
        },
    },
    {"analysis": "congruence", "first": "identity", "second": "expression", "n_permutations": 19},
    {"analysis": "groups", "groups": "gender", "people": "identity", "n_permutations": 19,
     "fmr": 0.1},
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Simulated pictures: the upper half tells who it is, the lower half the expression."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    (folder / "faces").mkdir()
    upper = rng.integers(40, 216, (PEOPLE, 4, 8))
    lower = rng.integers(40, 216, (len(EXPRESSIONS), 4, 8))
    rows = []
    for i in range(PEOPLE):
        for j, expression in enumerate(EXPRESSIONS):
            cells = np.vstack([upper[i], lower[j]]) + rng.integers(-20, 20, (8, 8))
            name = f"{i}-{expression}.png"
            image = np.kron(cells, np.ones((4, 4))).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).convert("RGB").save(folder / "faces" / name)
            rows.append([name, f"p{i}", expression, "female" if i % 2 else "male"])
    columns = ["file", "identity", "expression", "gender"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "faces.csv", index=False)
    config = {
        "title": "simulated",
        "stimuli": {"folder": "faces", "manifest": "faces.csv"},
        "networks": ["pixels", "gabor-v1"],
        "analyses": ANALYSES,
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_tables_are_those_of_the_functions(project, tmp_path):
    done = rsa_faces("analyse", project / "c.yaml", "--out", tmp_path / "o", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "readout of expression across identity" in done.output
    assert "it must not be used to assign anyone to a group" in " ".join(done.output.split())
    stimuli = rf.load_stimuli(project / "faces", manifest=project / "faces.csv")
    labels = stimuli.metadata
    acts = rf.extract(rf.load_network("gabor-v1", device="cpu"), stimuli)
    found = pd.read_csv(tmp_path / "o" / "1-readout-of-expression-across-identity.csv")
    expected = readout(acts, labels["expression"], across=labels["identity"], n_permutations=19,
                       task="expression across identity").table  # fmt: skip
    ours = found[found["network"] == "gabor-v1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, expected, check_dtype=False, atol=1e-12)
    assert (found["accuracy"] > 0.9).all()  # planted in the lower half
    found = pd.read_csv(tmp_path / "o" / "3-congruence-of-identity-and-expression.csv")
    expected = congruence(acts, labels["identity"], labels["expression"], n_permutations=19,
                          names=("identity", "expression")).table  # fmt: skip
    ours = found[found["network"] == "gabor-v1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, expected, check_dtype=False, atol=1e-12)
    transfer = pd.read_csv(tmp_path / "o" / "2-transfer.csv")
    assert list(transfer["trained"]) == ["pixels"] * 2 + ["gabor-v1"] * 2
    groups = pd.read_csv(tmp_path / "o" / "4-groups-by-gender.csv")
    assert len(groups) == 2 * 4
    for stem in ("2-transfer", "4-groups-by-gender"):
        for suffix in ("svg", "pdf", "png"):
            assert (tmp_path / "o" / f"{stem}.{suffix}").stat().st_size > 1000
    record = json.loads((tmp_path / "o" / "provenance.json").read_text())
    assert record["stimuli_sha256"] == stimuli.hash
    assert set(record["weights_sha256"]) == {"pixels", "gabor-v1"}


def test_what_is_done_is_not_done_again(project, tmp_path):
    config = load_analyses_config(project / "c.yaml", ["networks=[pixels]"])
    first = run_analyses(config, tmp_path / "o", device="cpu")
    before = {p.name: p.read_bytes() for p in first.folder.glob("*.csv")}
    done = rsa_faces("analyse", project / "c.yaml", "--set", "networks=[pixels]", "--json",
                     "--out", tmp_path / "o", "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)) == list(first.tables)
    record = json.loads((tmp_path / "o" / "provenance.json").read_text())
    assert record["steps_reused"] == list(first.tables)
    assert {p.name: p.read_bytes() for p in first.folder.glob("*.csv")} == before
    # Other labels: asked again, with the features that are there.
    table = pd.read_csv(project / "faces.csv")
    table["expression"] = table["expression"].replace("sad", "afraid")
    table.to_csv(project / "other.csv", index=False)
    changed = load_analyses_config(
        project / "c.yaml", ["networks=[pixels]", f"stimuli.manifest={project / 'other.csv'}"]
    )
    run_analyses(changed, tmp_path / "o", device="cpu")
    record = json.loads((tmp_path / "o" / "provenance.json").read_text())
    assert record["steps_reused"] == []


def test_names_of_kdef_are_read_and_some_are_selected(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "KDEF").mkdir()
    for person in ("F01", "F02", "M01", "M02"):
        for expression in ("AN", "HA"):
            for view in ("S", "HL"):
                image = rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(image).save(tmp_path / "KDEF" / f"A{person}{expression}{view}.JPG")
    config = {
        "title": "simulated", "stimuli": {"folder": "KDEF"}, "labels": "kdef",
        "select": {"view": 0}, "networks": ["pixels"],
        "analyses": [{"analysis": "readout", "labels": "expression", "across": "identity",
                      "n_permutations": 19}],
    }  # fmt: skip
    (tmp_path / "k.yaml").write_text(yaml.safe_dump(config))
    output = run_analyses(load_analyses_config(tmp_path / "k.yaml"), tmp_path / "o", device="cpu")
    (table,) = output.tables.values()
    assert (table["n_conditions"] == 8).all()
    assert (table["n_classes"] == 2).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["analyses.0.labels=expresion"], "unknown column for `labels` 'expresion'"),
        (["analyses.3.groups=age"], "unknown column for `groups` 'age'"),
        (["analyses.0.analysis=regress"], "regress"),
        (["select={gender: other}"], "none has all of these"),
        (["select={sex: male}"], "unknown column of `select` 'sex'"),
        (["networks=[pixels, pixels]"], "each network once"),
        (["analyses.3.layer=conv9"], "unknown layer of pixels: 'conv9'"),
        (["analyses.3.layer={pixels: image}"], "`layer` for the networks pixels, gabor-v1"),
        (["labels=kdef"], "KDEF"),
    ],
)
def test_wrong_input_is_one_sentence(project, tmp_path, settings, words):
    options = [part for setting in settings for part in ("--set", setting)]
    done = rsa_faces("analyse", project / "c.yaml", "--out", tmp_path / "o", *options)
    assert done.exit_code == 2
    assert words in sentence(done)


def test_an_empty_label_is_named(project, tmp_path):
    table = pd.read_csv(project / "faces.csv")
    table.loc[3, "gender"] = None
    table.to_csv(project / "gaps.csv", index=False)
    done = rsa_faces("analyse", project / "c.yaml", "--set", "stimuli.manifest=gaps.csv",
                     "--out", tmp_path / "o")  # fmt: skip
    assert done.exit_code == 2
    assert "a value in column 'gender' for every stimulus, but '1-happy" in sentence(done)
