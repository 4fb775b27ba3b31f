"""`rsa-faces compare` beyond images: RDM files, clips, runs, RDMs regressed out, partition."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from test_cli import rsa_faces, sentence

import rsa_faces as rf

N, N_SUBJECTS = 24, 6
NAMES = [f"face {i:02d}" for i in range(N)]


@pytest.fixture
def files(tmp_path):
    """Write RDMs of simulated subjects, who see two features, and of these features."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, N, 5))
    rdms = [rf.compute_rdms(f, conditions=NAMES, measure="euclidean") for f in features]
    for name, one in zip(("identity", "expression", "other"), rdms, strict=True):
        one.with_labels(name=[name]).save(tmp_path / f"{name}.h5")
    seen = rdms[0].vectors + rdms[1].vectors
    noise = rng.normal(scale=0.3, size=(N_SUBJECTS, rdms[0].n_pairs))
    rf.RDMs(
        seen + noise, NAMES, "rating", {"subject": [f"simulated {i}" for i in range(N_SUBJECTS)]}
    ).save(tmp_path / "behaviour.h5")
    return tmp_path


@pytest.fixture
def compare(files):
    def run(*options, out="out", **changes):
        config = {
            "title": "RDMs in files",
            "data": [{"rdms": "behaviour.h5", "region": "behaviour"}],
            "models": [{"rdms": f"{name}.h5"} for name in ("identity", "expression", "other")],
            "method": "spearman",
            "inference": {"n_boot": 100},
            **changes,
        }
        (files / "c.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return rsa_faces("compare", files / "c.yaml", "--out", files / out, *options)

    return run


def results(files, name="results", out="out"):
    return pd.read_csv(files / out / f"{name}.csv")


def test_files_of_rdms_are_compared_without_images(compare, files):
    run = compare(subsets={"all": "all", "few": NAMES[5:17]}, figures={"mds_region": "behaviour"})
    assert run.exit_code == 0, run.output
    table = results(files)
    expected = rf.evaluate(
        rf.rdm.load_rdms(files / "identity.h5"),
        rf.rdm.load_rdms(files / "behaviour.h5"),
        method="spearman",
        n_boot=100,
    ).table
    first = table[(table["subset"] == "all") & (table["network"] == "identity")].iloc[0]
    assert first["similarity"] == expected["similarity"][0]
    assert dict(table.groupby("subset")["n_conditions"].first()) == {"all": 24, "few": 12}
    assert "map of conditions (figures.mds_region) is left out" in sentence(run) + run.stdout
    assert not list((files / "out" / "figures").glob("mds*"))
    assert (files / "out" / "figures" / "rdms.svg").exists()
    assert json.loads((files / "out" / "provenance.json").read_text())["stimuli_sha256"] is None


def test_alpha_stands_beside_the_ceiling(compare, files):
    assert compare().exit_code == 0
    alpha = rf.inference.cronbach_alpha(rf.rdm.load_rdms(files / "behaviour.h5")).overall
    assert results(files, "ceilings")["cronbach_alpha"][0] == pytest.approx(alpha, rel=1e-12)
    assert f"Cronbach's α over subjects was behaviour {alpha:.2f}" in (
        files / "out" / "methods.md"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": ["pixels"]}, "expected `stimuli`, which networks need"),
        ({"inference": {"groups": "person"}}, "which inference.groups need"),
        ({"subsets": {"x": "smiling"}}, "which subsets that are conditions on the stimulus table"),
        ({"figures": {"group": "person"}}, "which figures.group need"),
        ({"models": [{"metadata": "person"}]}, "expected `stimuli` beside the model `metadata"),
        ({"subsets": {"x": [*NAMES[:5], "fase 07"]}}, "Did you mean 'face 07'"),
        ({"method": "rho-a", "given": [{"rdms": "other.h5"}]}, "pearson, spearman; got 'rho-a'"),
        ({"partition": {"identity": ["identity"]}}, "two or three sets"),
        ({"partition": {"a": ["identty"], "b": ["other"]}}, "Did you mean 'identity'"),
        ({"stimuli": {"clips": "c", "folder": "f"}}, "exactly one of folder, clips, dataset"),
        ({"stimuli": {"folder": "f", "rate": 5}}, "beside `clips`, not `folder`"),
    ],
)
def test_what_needs_images_or_is_wrong_is_said_before_anything_is_written(
    compare, files, changes, message
):
    run = compare(**changes)
    assert run.exit_code == 2, run.output
    assert message in sentence(run)
    assert not (files / "out").exists()


def test_a_measure_that_no_file_names_is_not_made_up(compare, files):
    rdms = rf.rdm.load_rdms(files / "behaviour.h5")
    rf.RDMs(rdms.vectors, NAMES, "unknown", rdms.labels).save(files / "behaviour.h5")
    run = compare(models=[{"rdms": "expression.h5"}])
    assert run.exit_code == 0, run.output
    methods = (files / "out" / "methods.md").read_text(encoding="utf-8")
    assert "behaviour, RDMs read from files." in methods
    assert "RDM (their mean, where a subject has several) by Spearman" in methods


def test_given_rdms_are_regressed_out(compare, files):
    run = compare(given=[{"rdms": "identity.h5"}], models=[{"rdms": "expression.h5"}])
    assert run.exit_code == 0, run.output
    expected = rf.evaluate(
        rf.rdm.load_rdms(files / "expression.h5"),
        rf.rdm.load_rdms(files / "behaviour.h5"),
        method="spearman",
        n_boot=100,
        given=rf.rdm.load_rdms(files / "identity.h5"),
    ).table
    table = results(files)
    assert table["similarity"][0] == pytest.approx(expected["similarity"][0], abs=1e-12)
    assert table["ci_low"][0] == pytest.approx(expected["ci_low"][0], abs=1e-12)
    methods = (files / "out" / "methods.md").read_text(encoding="utf-8")
    assert "identity regressed out" in methods
    again = compare(given=[{"rdms": "other.h5"}], models=[{"rdms": "expression.h5"}])
    assert "differs in given" in sentence(again)


def test_conditions_that_all_have_are_compared_if_asked_for(compare, files):
    kept = rf.rdm.load_rdms(files / "identity.h5").subset(NAMES[3:])
    kept.save(files / "identity.h5")
    refused = compare()
    assert refused.exit_code == 2
    assert "`conditions: intersection`" in sentence(refused)
    run = compare(conditions="intersection", models=[{"rdms": "identity.h5"}])
    assert run.exit_code == 0, run.output
    assert results(files)["n_conditions"].tolist() == [21]
    note = "21 conditions that all have are compared; left out are 3 of 24 of the data"
    assert note in (files / "out" / "notes.txt").read_text(encoding="utf-8")
    rf.rdm.load_rdms(files / "other.h5").rename({n: f"x{n}" for n in NAMES}).save(
        files / "other.h5"
    )
    none = compare(conditions="intersection", out="none")
    assert none.exit_code == 2
    assert "but there are 0" in sentence(none)


def test_variance_is_split_over_sets_of_models(compare, files):
    sets = {"who": ["identity"], "how": ["expression", "other"]}
    run = compare(partition=sets)
    assert run.exit_code == 0, run.output
    load = rf.rdm.load_rdms
    expected = rf.variance_partition(
        load(files / "behaviour.h5"),
        {name: rf.rdm.concat([load(files / f"{m}.h5") for m in ms]) for name, ms in sets.items()},
        generalise_to="both",
        n_boot=100,
        transform="rank",
    )
    table = results(files, "partition")
    assert table["part"].tolist() == ["who only", "how only", "who & how"]
    np.testing.assert_allclose(table["r2_adjusted"], expected.table["r2_adjusted"], rtol=1e-9)
    np.testing.assert_allclose(table["ci_low"], expected.table["ci_low"], rtol=1e-9)
    assert (files / "out" / "figures" / "partition-all-behaviour.svg").exists()
    assert "who and how explain" in (files / "out" / "report.html").read_text(encoding="utf-8")
    first = (files / "out" / "partition.csv").read_bytes()
    assert compare(partition=sets).exit_code == 0
    reused = json.loads((files / "out" / "provenance.json").read_text())["steps_reused"]
    assert "partition all behaviour" in reused
    assert (files / "out" / "partition.csv").read_bytes() == first


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Write two runs of seven simulated clips, with four simulated subjects."""
    pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("clips")
    rf.datasets.simulated_clips(folder / "clips", n_runs=2, n_per_run=7, n_subjects=4)
    return folder


def test_the_study_of_clips_in_runs_is_one_configuration(clips):
    written = rsa_faces("example", "clips", "--out", clips / "clips.yaml")
    assert written.exit_code == 0, written.output
    whole = "{name: mini-xception, crop_faces: false}"
    options = [
        f"networks=[pixels, gabor-v1, {whole}]",
        "inference.n_boot=100",
        "partition={plain: [pixels, gabor-v1], faces: [mini-xception]}",
    ]
    run = rsa_faces(
        "compare",
        clips / "clips.yaml",
        "--out",
        clips / "out",
        *[word for option in options for word in ("--set", option)],
    )
    assert run.exit_code == 0, run.output
    own = rf.stimuli.load_clips(clips / "clips", manifest=clips / "clips" / "clips.csv")
    network = rf.load_network("mini-xception", device="cpu")
    layers = rf.rdm.clip_rdms(network, own, rate=5)
    made = rf.rdm.load_rdms(clips / "out" / "rdms" / "mini-xception.h5")
    np.testing.assert_allclose(made.vectors, layers.vectors, rtol=1e-5, atol=1e-6)
    data = rf.rdm.load_rdms(clips / "clips" / "subjects.h5").sel(region="simulated STS")
    runs = own.metadata["run"].to_dict()
    expected = rf.evaluate(
        made, data, method="spearman", generalise_to="subjects", n_boot=100, blocks=runs
    ).table
    table = results(clips)
    sts = table[(table["region"] == "STS") & (table["network"] == "mini-xception")]
    np.testing.assert_allclose(sts["similarity"], expected["similarity"], atol=1e-9)
    models = table[table["layer"].isna()].set_index(["region", "network"])["similarity"]
    assert models["FFA", "face shape"] > models["FFA", "facial actions"]
    assert models["STS", "facial actions"] > models["STS", "face shape"]
    alpha = rf.inference.cronbach_alpha(data, blocks=runs).mean
    ceilings = results(clips, "ceilings").set_index("region")
    assert ceilings.loc["STS", "cronbach_alpha"] == pytest.approx(alpha)
    assert set(results(clips, "partition")["region"]) == {"behaviour", "FFA", "STS"}
    again = rsa_faces(
        "compare", clips / "clips.yaml", "--out", clips / "out", "--set", "stimuli.rate=2"
    )
    assert "another configuration" in sentence(again)


def test_what_clips_cannot_do_is_said(clips):
    question = {"analysis": "readout", "labels": "expression", "across": "identity"}
    analyse = {"title": "x", "stimuli": {"clips": "clips"}, "networks": ["pixels"]}
    analyse["analyses"] = [question]
    for labels in ("table", "kdef"):
        (clips / "a.yaml").write_text(yaml.safe_dump(analyse | {"labels": labels}))
        run = rsa_faces("analyse", clips / "a.yaml", "--out", clips / "no")
        assert run.exit_code == 2
        assert "got clips, which `rsa-faces analyse` cannot take" in sentence(run)
    assert not (clips / "no").exists()
