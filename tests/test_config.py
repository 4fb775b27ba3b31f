"""Configuration files: known keys, resolved paths, overrides."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import rsa_faces as rf
from rsa_faces._core.files import file_names, slug
from rsa_faces.behaviour.arrange import load_arrange_config
from rsa_faces.runs import AnalysesConfig, Config, SearchlightConfig, TimecourseConfig
from rsa_faces.runs._cluster_config import load_cluster_config
from rsa_faces.runs._reading import dump_config, read_config
from rsa_faces.runs.analyse.run import AnalyseRun
from rsa_faces.runs.compare.run import CompareRun
from rsa_faces.runs.searchlight.run import SearchlightRun

IMAGES92 = Path(__file__).parents[1] / "rsa_faces" / "configs" / "images92.yaml"


def write(tmp_path, **changes):
    raw = {
        "title": "t",
        "stimuli": {"folder": "faces"},
        "data": [{"rdms": "ffa.csv", "region": "FFA"}],
        "networks": ["pixels"],
    } | changes
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in raw.items() if v is not None}))
    return path


@pytest.mark.parametrize("path", sorted(IMAGES92.parent.glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_configuration_is_valid_and_survives_a_round_trip(path, tmp_path):
    if path.name == "arrange.yaml":
        assert load_arrange_config(path).title
        return
    if path.name == "cluster.yaml":
        assert load_cluster_config(path).kind == "local"
        return
    kind = {
        "analyses.yaml": AnalysesConfig,
        "photographs.yaml": AnalysesConfig,
        "kdef.yaml": AnalysesConfig,
        "london.yaml": AnalysesConfig,
        "searchlight.yaml": SearchlightConfig,
        "surface.yaml": SearchlightConfig,
        "timecourse.yaml": TimecourseConfig,
    }.get(path.name, Config)
    config = kind.read(path)
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(config), encoding="utf-8")
    assert kind.read(again) == config


def test_paths_are_taken_from_the_configuration_s_folder(tmp_path):
    config = Config.read(write(tmp_path))
    assert config.stimuli.folder == tmp_path / "faces"
    assert config.data[0].rdms == tmp_path / "ffa.csv"
    absolute = Config.read(write(tmp_path, stimuli={"folder": "/somewhere"}))
    assert absolute.stimuli.folder == Path("/somewhere")


def test_a_bare_name_is_a_network():
    assert Config.read(IMAGES92).networks[0].model_dump() == {
        "name": "dlib-face",
        "layers": "all",
        "weights": None,
        "crop_faces": "auto",
        "crop_margin": None,
        "reduce": None,
    }


def test_set_changes_nested_keys_and_list_entries(tmp_path):
    config = Config.read(
        write(tmp_path),
        ["inference.n_boot=200", "networks.0={name: gabor-v1, layers: [energy]}", "seed=7"],
    )
    assert config.inference.n_boot == 200
    assert config.networks[0].layers == ["energy"]
    assert config.seed == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("infrence.n_boot=200", "unknown key 'infrence'. Did you mean 'inference'"),
        ("inference.n_bot=200", "inference: unknown key 'n_bot'. Did you mean 'n_boot'"),
        ("inference.n_boot=3", r"greater than or equal to 100 \(got 3\)"),
        ("inference.generalise_to=voxels", r"inference.generalise_to: .*\(got 'voxels'\)"),
        ("networks.9=pixels", "--set 'networks.9=pixels' does not fit"),
        ("title.x=1", "title is 't', not a section"),
        ("seed", "expected --set key=value, got 'seed'"),
        ("seed=-1", r"seed: .*\(got -1\)"),
        ("budget=lots", "memory size such as '4GB' or '500MB', got 'lots'"),
        (
            "stimuli.dataset=images92",
            "exactly one of folder, clips, dataset, got folder and dataset",
        ),
        (
            "stimuli={manifest: m.csv, dataset: images92}",
            "expected `folder` or `clips` beside `manifest`",
        ),
        (
            "data.0.dataset=images92",
            "exactly one of dataset, rdms, fmri, simulated, got dataset and rdms",
        ),
        ("models=[{kind: ordinal}]", "exactly one of dataset, rdms, metadata, got none of them"),
        ("data=[]", "data: list should have at least 1 item"),
        ("networks=[]", "at least one entry in `networks` or `models`"),
        ("networks=[pixels, pixels]", r"each network once, got \['pixels'\]"),
        ("subsets={}", "at least one subset"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, override, message):
    with pytest.raises(rf.InputError, match=message):
        Config.read(write(tmp_path), [override])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"stimuli": {"folder": "nowhere"}}, r"^stimuli\.folder: expected a folder of images, but"),
        ({"stimuli": {"manifest": "no.csv"}}, r"^stimuli\.manifest: .*no\.csv does not exist"),
        (
            {"data": [{"rdms": "ffa.h5", "region": "A"}, {"rdms": "no.h5", "region": "B"}]},
            r"^data\.1\.rdms: .*no\.h5 does not exist",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_key(tmp_path, settings, sentence):
    (tmp_path / "faces").mkdir()
    for name in "abcd":
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{name}.png")
    rdm = rf.compute_rdms(np.eye(4), conditions=list("abcd"), measure="euclidean")
    rdm.save(tmp_path / "ffa.h5")
    stimuli = {"folder": "faces", **settings.pop("stimuli", {})}
    path = write(tmp_path, stimuli=stimuli, networks=[{"name": "pixels"}], **settings)
    run = CompareRun(Config.read(path), tmp_path / "out")
    with pytest.raises(rf.InputError, match=sentence):
        run.run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("run", "settings", "sentence"),
    [
        (
            SearchlightRun,
            {
                "data": {"subjects": {"s": "s.nii"}, "conditions": "v.csv", "mask": "no.nii"},
                "models": [{"rdms": "m.h5"}],
            },
            r"^data\.mask: .*no\.nii does not exist",
        ),
        (
            AnalyseRun,
            {
                "stimuli": {"folder": "nowhere"},
                "networks": [{"name": "pixels"}],
                "analyses": [{"analysis": "readout", "labels": "x", "across": "y"}],
            },
            r"^stimuli\.folder: expected a folder of images, but",
        ),
    ],
)
def test_other_commands_name_the_key_as_well(tmp_path, run, settings, sentence):
    pd.DataFrame({"condition": list("abcd")}).to_csv(tmp_path / "v.csv", index=False)
    rf.compute_rdms(np.eye(4), conditions=list("abcd"), measure="euclidean").save(tmp_path / "m.h5")
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"title": "simulated", **settings}))
    with pytest.raises(rf.InputError, match=sentence):
        run(run.takes.read(path), tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_regions_must_differ(tmp_path):
    entry = {"rdms": "ffa.csv", "region": "FFA"}
    with pytest.raises(rf.InputError, match=r"each region once, got \['FFA'\]"):
        Config.read(write(tmp_path, data=[entry, entry]))


def test_files_that_are_no_configuration(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.yaml does not exist"):
        Config.read(tmp_path / "nothing.yaml")
    path = tmp_path / "bad.yaml"
    path.write_text("a: [1")
    with pytest.raises(rf.InputError, match="not valid YAML"):
        Config.read(path)
    path.write_text("- a\n")
    with pytest.raises(rf.InputError, match="got list"):
        Config.read(path)


def test_every_key_is_explained_in_the_example():
    text = IMAGES92.read_text(encoding="utf-8")
    for key in Config.model_fields:
        assert f"{key}:" in text


@pytest.mark.parametrize(
    "names", [("FFA left", "FFA-left"), ("FFA", "ffa"), ("紡錘状回 1", "紡錘状回-1")]
)
def test_names_that_would_share_a_file_get_files_of_their_own(tmp_path, names):
    data = [{"rdms": "ffa.csv", "region": name} for name in names]
    config = Config.read(write(tmp_path, data=data))
    files = file_names(entry.region for entry in config.data)
    assert len({file.casefold() for file in files.values()}) == 2


def test_names_in_any_script_become_file_names():
    assert slug("紡錘状回 1") == "紡錘状回-1"
    assert slug("untrained:dlib-face") == "untrained-dlib-face"
    assert slug("../..") == "unnamed"


def test_old_key_of_what_conclusions_hold_for(tmp_path):
    text = IMAGES92.read_text().replace("generalise_to:", "bootstrap:")
    path = tmp_path / "old.yaml"
    path.write_text(text)
    with pytest.warns(FutureWarning, match="is now called 'generalise_to', no longer 'bootstrap'"):
        config = read_config(path, [], Config)
    assert config.inference.generalise_to == "both"
    with pytest.raises(rf.InputError, match="expected generalise_to='both' alone, got bootstrap"):
        read_config(path, ["inference.generalise_to=both"], Config)


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("title: one\ndata: []\ntitle: other\n")
    with pytest.raises(rf.InputError, match="line 3: the key 'title' stands there twice"):
        Config.read(path)
    path.write_text("title: [one\n")
    with pytest.raises(rf.InputError, match="c.yaml is not valid YAML: line"):
        Config.read(path)
