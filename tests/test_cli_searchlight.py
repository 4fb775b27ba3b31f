"""`rsa-faces searchlight`: from a configuration to maps, tests, peaks and figures."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from test_cli import rsa_faces, sentence

import rsa_faces as rf
from rsa_faces._errors import InputError
from rsa_faces.cli import _searchlight  # noqa: F401
from rsa_faces.datasets import simulated_brain
from rsa_faces.pipeline._tables import read_volumes

CONFIG = Path(__file__).parents[1] / "configs" / "searchlight.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Four small simulated brains as files."""
    folder = tmp_path_factory.mktemp("brains")
    brain = simulated_brain(
        n_subjects=4, shape=(12, 12, 10), region_radius=6.0, planted=["simulated layer_1"]
    )
    subjects = {}
    for i, image in enumerate(brain.imgs):
        nibabel.save(image, folder / f"sub-{i}.nii.gz")
        subjects[f"sub-{i}"] = f"sub-{i}.nii.gz"
    nibabel.save(brain.mask_img, folder / "mask.nii.gz")
    brain.models.save(folder / "models.h5")
    table = pd.DataFrame({"condition": brain.conditions, "fold": brain.runs})
    table.to_csv(folder / "volumes.csv", index=False)
    config = {
        "title": "simulated",
        "data": {"subjects": subjects, "conditions": "volumes.csv", "mask": "mask.nii.gz"},
        "models": [{"rdms": "models.h5"}],
        "radius": 6.0,
        "test": {"n_permutations": 99, "alpha": 0.07},
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder, brain


def run(project, *arguments):
    return rsa_faces("searchlight", project[0] / "c.yaml", *arguments)


def test_the_planted_model_is_found_where_it_is(project, tmp_path):
    folder, brain = project
    done = run(project, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    peaks = pd.read_csv(out / "peaks.csv")
    top = peaks[peaks["model"] == "simulated layer_1"].iloc[0]
    place = brain.regions.iloc[0][["x", "y", "z"]].to_numpy(float)
    assert np.linalg.norm(top[["x", "y", "z"]].to_numpy(float) - place) <= 6
    # The maps of subjects are those of the function.
    maps = rf.mapping.SearchlightMap.load(out / "maps" / "sub-2.h5")
    expected = rf.searchlight(
        brain.imgs[2], mask_img=brain.mask_img, conditions=brain.conditions, models=brain.models,
        radius=6.0,
    )  # fmt: skip
    np.testing.assert_allclose(maps.similarity, expected.similarity, atol=1e-12)
    t = nibabel.load(out / "tests" / "simulated-layer_1_t.nii.gz").get_fdata()
    assert t.shape == (12, 12, 10)
    for name in ("mean/similarity.nii.gz", "best_model.nii.gz", "provenance.json"):
        assert (out / name).is_file()
    assert len(list((out / "figures").glob("*.png"))) == 6
    assert set(json.loads((out / "provenance.json").read_text())["data_sha256"]) == {
        "sub-0", "sub-1", "sub-2", "sub-3", "mask",
    }  # fmt: skip


def test_a_second_run_makes_no_map_anew_and_ends_the_same(project, tmp_path):
    out = tmp_path / "out"
    assert run(project, "--out", out).exit_code == 0
    first = {p: p.read_bytes() for p in out.rglob("*.nii.gz")} | {
        out / "peaks.csv": (out / "peaks.csv").read_bytes()
    }
    (out / "maps" / "sub-1.h5").unlink()  # as if it had been stopped there
    done = run(project, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    reused = json.loads((out / "provenance.json").read_text())["steps_reused"]
    assert reused == ["map sub-0", "map sub-2", "map sub-3"]
    assert all(path.read_bytes() == content for path, content in first.items())
    assert json.loads(done.stdout)[0]["model"] == "simulated layer_1"


def test_crossnobis_takes_the_runs_as_folds(project, tmp_path):
    folder, brain = project
    done = run(project, "--out", tmp_path / "o", "--set", "measure=crossnobis", "--set",
               "method=cosine")  # fmt: skip
    assert done.exit_code == 0, done.output
    maps = rf.mapping.SearchlightMap.load(tmp_path / "o" / "maps" / "sub-0.h5")
    expected = rf.searchlight(
        brain.imgs[0], mask_img=brain.mask_img, conditions=brain.conditions, models=brain.models,
        radius=6.0, measure="crossnobis", method="cosine", folds=brain.runs,
    )  # fmt: skip
    np.testing.assert_allclose(maps.similarity, expected.similarity, atol=1e-12)


def test_one_subject_has_a_map_and_no_test(project, tmp_path):
    folder, _ = project
    config = yaml.safe_load((folder / "c.yaml").read_text())
    config["data"]["subjects"] = {"sub-0": "sub-0.nii.gz"}
    (folder / "one.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces("searchlight", folder / "one.yaml", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    peaks = pd.read_csv(tmp_path / "o" / "peaks.csv")
    assert "p" not in peaks
    assert not (tmp_path / "o" / "tests").exists()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (["radius=-1"], "radius: input should be greater than 0"),
        (["radios=8"], "unknown key 'radios'. Did you mean 'radius'"),
        (["method=spaerman"], "unknown comparison method 'spaerman'. Did you mean 'spearman'"),
        (["data.mask=nothing.nii.gz"], "expected an image of mask"),
        (["data.conditions=c.yaml"], "with the column `condition`"),
        (["networks=[pixels]"], "expected `stimuli` for the networks to look at"),
        (["measure=mahalanobis"], "noise"),
    ],
)
def test_wrong_input_is_one_sentence(project, tmp_path, settings, match):
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = run(project, "--out", tmp_path / "o", *arguments)
    assert done.exit_code == 2, done.output
    assert match in sentence(done)


def test_conditions_that_models_do_not_have_are_named(project, tmp_path):
    folder, _ = project
    table = pd.read_csv(folder / "volumes.csv").replace("simulated 01", "simulated XX")
    table.to_csv(folder / "other.csv", index=False)
    done = run(project, "--out", tmp_path / "o", "--set", "data.conditions=other.csv")
    assert done.exit_code == 2
    assert "simulated XX" in sentence(done)


@pytest.mark.slow
def test_the_example_shows_planted_layers_in_their_places(tmp_path):
    done = rsa_faces("searchlight", CONFIG, "--out", tmp_path / "o", "--set",
                     "test.n_permutations=199")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "these brains are simulated" in sentence(done)
    brain = simulated_brain()
    peaks = pd.read_csv(tmp_path / "o" / "peaks.csv")
    assert len(brain.regions) == 3
    for row in brain.regions.itertuples():
        top = peaks[peaks["model"] == row.model].iloc[0]
        assert np.linalg.norm(top[["x", "y", "z"]] - [row.x, row.y, row.z]) <= 5
        assert top["p"] < 0.01
    best = nibabel.load(tmp_path / "o" / "best_model.nii.gz").get_fdata()
    for row in brain.regions.itertuples():
        number = list(brain.models.labels["name"]).index(row.model)
        assert best[row.i, row.j, row.k] == number + 1  # 0 is outside


@pytest.mark.parametrize(
    ("name", "text", "folds"),
    [("v.csv", "condition\nA\nNA\n", None), ("v.tsv", "fold\tcondition\n1\tA\n2\tNA\n", "12")],
)
def test_tables_of_volumes_are_read_as_written(tmp_path, name, text, folds):
    (tmp_path / name).write_text(text)
    table = read_volumes(tmp_path / name)
    assert list(table["condition"]) == ["A", "NA"]
    assert ("fold" in table) == (folds is not None)
    assert folds is None or "".join(table["fold"]) == folds


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("v.csv", "condition,fold\nA,1\nB,\n", "row 2 has a gap"),
        ("v.csv", "name\nA\n", "the column `condition`.*got the columns 'name'"),
        ("v.txt", "condition,fold\nA,1\n", "separated by commas in .csv, by tabs in any other"),
    ],
)
def test_tables_of_volumes_are_checked(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_volumes(tmp_path / name)
