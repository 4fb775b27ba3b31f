"""`rsa-faces timecourse`: planted layers are found where and when they hold."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from test_cli import rsa_faces, sentence
from test_ieeg import write_bids_ieeg

import rsa_faces as rf
from rsa_faces.brain import ieeg_patterns, ieeg_rdms
from rsa_faces.datasets import simulated_layers, simulated_recordings
from rsa_faces.rdm import load_rdms

pytest.importorskip("mne")
CONFIG = Path(__file__).parents[1] / "rsa_faces" / "configs" / "timecourse.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Ten pictures, and three simulated patients as files in whom pixels hold from 0.1 to 0.3 s."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    (folder / "faces").mkdir()
    for i in range(10):
        coarse = (rng.random((4, 4, 3)) * 255).astype(np.uint8)
        Image.fromarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))).save(
            folder / "faces" / f"face{i}.png"
        )
    stimuli = rf.load_stimuli(folder / "faces")
    rdms = rf.layer_rdms(rf.load_network("pixels"), stimuli, measure="sqeuclidean")
    made = simulated_recordings(
        rdms.with_labels(name=["pixels"]),
        [("ventral", "pixels", 0.1, 0.3)],
        n_patients=3,
        n_electrodes=40,
        times=(-0.2, 0.5),
        signal=2.0,
    )
    for patient, epochs in made.epochs.items():
        epochs.save(folder / f"{patient}-epo.fif", overwrite=True, verbose="error")
    made.electrodes.to_csv(folder / "electrodes.tsv", sep="\t", index=False)
    config = {
        "title": "simulated",
        "stimuli": {"folder": "faces"},
        "data": {
            "patients": {p: f"{p}-epo.fif" for p in made.epochs},
            "electrodes": "electrodes.tsv",
        },
        "networks": ["pixels", "gabor-v1"],
        "signal": "raw",
        "window": 0.05,
        "step": 0.05,
        "measure": "sqeuclidean",
        "test": {"along": "time", "n_permutations": 99},
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder, made, stimuli


def test_noise_of_a_time_course(project, tmp_path):
    folder, made, stimuli = project
    options = ["--set", "measure=mahalanobis", "--set", "noise=schaefer-strimmer"]
    done = rsa_faces("timecourse", folder / "c.yaml", "--out", tmp_path / "o", *options)
    assert done.exit_code == 0, done.output
    patient, epochs = next(iter(made.epochs.items()))
    places = made.electrodes[made.electrodes["patient"] == patient]
    patterns = ieeg_patterns(
        epochs, electrodes=places, stimuli=stimuli, signal="raw", patient=patient, source="x"
    )
    expected = ieeg_rdms(
        patterns,
        per="region",
        measure="mahalanobis",
        window=0.05,
        step=0.05,
        noise="schaefer-strimmer",
    )
    found = load_rdms(tmp_path / "o" / "rdms" / f"patient-{patient}.h5")
    np.testing.assert_allclose(
        found.vectors, expected.align(found.conditions).vectors, rtol=1e-3
    )  # files of epochs hold float32


@pytest.mark.usefixtures("figures_keep_the_rules")
def test_similarity_is_there_when_it_was_planted(project, tmp_path):
    folder, made, stimuli = project
    done = rsa_faces("timecourse", folder / "c.yaml", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "o" / "similarity.csv")
    pixels = table[table["network"] == "pixels"].groupby("time")["similarity"].mean()
    assert pixels[(pixels.index > 0.13) & (pixels.index < 0.27)].min() > 0.5
    assert abs(pixels[(pixels.index < 0.05) | (pixels.index > 0.35)]).max() < 0.3
    patient, epochs = next(iter(made.epochs.items()))
    places = made.electrodes[made.electrodes["patient"] == patient]
    patterns = ieeg_patterns(
        epochs, electrodes=places, stimuli=stimuli, signal="raw", patient=patient, source="x"
    )
    expected = ieeg_rdms(patterns, per="region", measure="sqeuclidean", window=0.05, step=0.05)
    found = load_rdms(tmp_path / "o" / "rdms" / f"patient-{patient}.h5")
    np.testing.assert_allclose(
        found.vectors, expected.align(found.conditions).vectors, rtol=1e-4
    )  # files of epochs hold float32
    for name in ("layers_by_time.svg", "electrodes.png"):
        assert (tmp_path / "o" / "figures" / name).is_file()
    told = re.findall(r"\w+\.csv", (tmp_path / "o" / "report.html").read_text(encoding="utf-8"))
    assert "similarity.csv" in told
    for name in told:  # without a table of best layers, which three patients do not give
        assert (tmp_path / "o" / name).is_file(), name
    methods = (tmp_path / "o" / "methods.md").read_text(encoding="utf-8")
    assert "tested over patients by all 8 sign flips" in methods  # 99 were asked for
    assert "were shown the stimuli (squared Euclidean distance)" in methods
    compared = pd.read_csv(tmp_path / "o" / "networks.csv")
    assert compared[["region", "network_a", "network_b"]].to_numpy().tolist() == [
        ["ventral", "pixels", "gabor-v1"]
    ]
    by_patient = table.groupby(["network", "subject"])["similarity"].mean()
    difference = by_patient["pixels"].mean() - by_patient["gabor-v1"].mean()
    assert compared["difference"][0] == pytest.approx(difference)
    again = rsa_faces("timecourse", folder / "c.yaml", "--out", tmp_path / "o", "--json")
    assert again.exit_code == 0, again.output
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "o" / "similarity.csv"))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("window=0", "window: input should be greater than 0"),
        ("data.electrodes=nothing.tsv", "nothing.tsv"),
        ("windows=0.1", "unknown key 'windows'. Did you mean 'window'"),
        ("signal=high gamma", "sampling rate"),
        ("method=spaerman", "spearman"),
    ],
)
def test_wrong_input_is_one_sentence(project, tmp_path, settings, match):
    done = rsa_faces(
        "timecourse", project[0] / "c.yaml", "--out", tmp_path / "o", "--set", settings
    )
    assert done.exit_code == 2, done.output
    assert match in sentence(done)


def test_electrodes_that_prefer_faces_are_chosen_on_the_other_half(project, tmp_path):
    mne = pytest.importorskip("mne")
    folder, made, stimuli = project
    faces, others = list(stimuli.ids[:5]), list(stimuli.ids[5:])
    config = yaml.safe_load((folder / "c.yaml").read_text())
    config["stimuli"]["folder"] = str(folder / "faces")
    config["data"] |= {
        "electrodes": str(folder / "electrodes.tsv"),
        "face_selective": {"halves": True, "faces": faces, "others": others},
    }
    chosen = {}
    for p, (patient, epochs) in enumerate(made.epochs.items()):
        copy = epochs.copy()
        is_face = np.isin(copy.events[:, 2], [copy.event_id[name] for name in faces])
        # The third patient has no electrode that prefers faces.
        field = copy.get_data()
        chosen[patient] = copy.ch_names[:9] if p < 2 else []
        field[np.ix_(is_face, range(len(chosen[patient])), range(30, 60))] += 2e-4
        changed = mne.EpochsArray(
            field,
            copy.info,
            events=copy.events,
            tmin=copy.tmin,
            event_id=copy.event_id,
            verbose="error",
        )
        changed.save(tmp_path / f"{patient}-epo.fif", verbose="error")
        config["data"]["patients"][patient] = f"{patient}-epo.fif"
        changed.save(tmp_path / f"{patient}-loc-epo.fif", verbose="error")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces(
        "timecourse",
        tmp_path / "c.yaml",
        "--out",
        tmp_path / "o",
        "--set",
        "data.face_selective.alpha=0.001",
    )
    assert done.exit_code == 0, done.output
    assert "simulated03: left out, no electrode prefers faces" in sentence(done)
    table = pd.read_csv(tmp_path / "o" / "electrodes.csv")
    assert len(table) == 120
    for patient, names in chosen.items():
        assert set(table["name"][table["used"] & (table["patient"] == patient)]) == set(names)
    # The RDMs are those of the even trials at these electrodes.
    patient, names = next(iter(chosen.items()))
    patterns = ieeg_patterns(
        mne.read_epochs(tmp_path / f"{patient}-epo.fif", verbose="error"),
        signal="raw",
        electrodes=made.electrodes,
        patient=patient,
    )
    even = rf.brain.split_trials(patterns)[1]
    even = even.take_electrodes(even.electrodes["name"].isin(names).to_numpy())
    expected = ieeg_rdms(even, per="region", measure="sqeuclidean", window=0.05, step=0.05)
    found = load_rdms(tmp_path / "o" / "rdms" / f"patient-{patient}.h5")
    np.testing.assert_allclose(found.vectors, expected.align(found.conditions).vectors, rtol=1e-9)
    again = rsa_faces(
        "timecourse",
        tmp_path / "c.yaml",
        "--out",
        tmp_path / "o",
        "--set",
        "data.face_selective.alpha=0.001",
    )
    assert again.exit_code == 0, again.output
    # A localiser that is the recording itself is no other data.
    config["data"]["face_selective"] = {
        "localiser": {p: f"{p}-loc-epo.fif" for p in made.epochs},
        "faces": faces,
        "others": others,
        "alpha": 0.001,
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    refused = rsa_faces("timecourse", tmp_path / "c.yaml", "--out", tmp_path / "o2")
    assert refused.exit_code == 2
    assert "independent of the choice of electrodes" in sentence(refused)


@pytest.mark.filterwarnings("ignore")
def test_bids_ieeg_is_read(tmp_path):
    pytest.importorskip("mne_bids")
    rng = np.random.default_rng(0)
    (tmp_path / "faces").mkdir()
    for i in range(6):
        coarse = (rng.random((4, 4, 3)) * 255).astype(np.uint8)
        Image.fromarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))).save(
            tmp_path / "faces" / f"image {i}.png"
        )
    for i, patient in enumerate(("07", "08")):
        (tmp_path / patient).mkdir()
        write_bids_ieeg(tmp_path / "study", tmp_path / patient, patient, seed=i)
    config = {
        "title": "simulated",
        "stimuli": {"folder": "faces"},
        "networks": ["pixels"],
        "data": {
            "bids": {
                "root": "study",
                "task": "faces",
                "patients": ["07", "08"],
                "run": "1",
                "events": "stimulus",
                "query": "trial_type == 'face'",
                "between": [-0.5, 0.8],
                "regions": {"fusiform": "ventral", "STS": "lateral"},
            }
        },
        "signal": "high gamma",
        "window": 0.1,
        "step": 0.1,
        "test": {"n_permutations": 99},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces("timecourse", tmp_path / "c.yaml", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "o" / "similarity.csv", dtype={"subject": str})
    assert set(table["region"]) == {"ventral", "lateral"}
    assert set(table["subject"]) == {"07", "08"}
    refused = rsa_faces("timecourse", tmp_path / "c.yaml", "--set", "data.bids.patients=['09']")
    assert refused.exit_code == 2
    assert "expected recordings of '09'" in sentence(refused)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"patients": {"a": "b"}}, "expected `electrodes` (a table) beside `patients`"),
        (
            {"bids": {"root": "a", "task": "b", "patients": ["1"]}, "electrodes": "c"},
            "expected `electrodes`",
        ),
        (
            {
                "patients": {"a": "b"},
                "electrodes": "c",
                "face_selective": {"localiser": {"x": "y"}, "faces": "f", "others": "o"},
            },
            "a localiser of each patient",
        ),
        (
            {
                "patients": {"a": "b"},
                "electrodes": "c",
                "face_selective": {"faces": "f", "others": "o"},
            },
            "exactly one of localiser, halves",
        ),
    ],
)
def test_wrong_recordings_are_one_sentence(project, tmp_path, data, match):
    config = yaml.safe_load((project[0] / "c.yaml").read_text()) | {"data": data}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces("timecourse", tmp_path / "c.yaml", "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert match in sentence(done)


def test_simulated_recordings_hold_what_they_say():
    models = simulated_layers(2)
    made = simulated_recordings(
        models,
        [("a", "simulated layer_1", 0.1, 0.3), ("b", "simulated layer_2", 0.2, 0.4)],
        n_patients=2,
        n_electrodes=20,
        signal=3.0,
    )
    assert made.name == "simulated"
    assert set(made.electrodes["region"]) == {"a", "b"}
    for patient, epochs in made.epochs.items():
        names = np.array(
            [{v: k for k, v in epochs.event_id.items()}[e] for e in epochs.events[:, 2]]
        )
        for region, k, (start, stop) in (("a", 0, (0.15, 0.25)), ("b", 1, (0.25, 0.35))):
            own = made.electrodes[
                (made.electrodes["patient"] == patient) & (made.electrodes["region"] == region)
            ]["name"]
            data = epochs.copy().pick(list(own)).get_data(tmin=start, tmax=stop).mean(axis=2)
            means = np.array([data[names == c].mean(axis=0) for c in models.conditions])
            rdm = rf.compute_rdms(means, conditions=models.conditions, measure="sqeuclidean")
            sims = rf.compare(models, rdm, method="pearson")[:, 0]
            assert sims.argmax() == k
            assert sims[k] > 0.8
    with pytest.raises(rf.InputError, match="to hold at times within"):
        simulated_recordings(models, [("a", "simulated layer_1", 0.1, 3)])
    with pytest.raises(rf.InputError, match="Did you mean"):
        simulated_recordings(models, [("a", "simulated layer_7", 0.1, 0.2)])


@pytest.mark.slow
def test_the_example_shows_planted_layers_at_their_times(tmp_path):
    done = rsa_faces(
        "timecourse",
        CONFIG,
        "--out",
        tmp_path / "o",
        "--set",
        "test.n_permutations=199",
        "--set",
        "step=0.05",
    )
    assert done.exit_code == 0, done.output
    assert "these recordings are simulated" in sentence(done)
    clusters = pd.read_csv(tmp_path / "o" / "clusters.csv")
    found = clusters[clusters["p_corrected"] < 0.05]
    spans = {
        (row.region, round(row.time_from, 1), round(row.time_to, 1)) for row in found.itertuples()
    }
    assert {("simulated ventral", 0.1, 0.3), ("simulated ventral", 0.4, 0.6)} <= spans
    table = pd.read_csv(tmp_path / "o" / "similarity.csv")
    for region, layer, start, stop in (
        ("simulated ventral", "block1.relu2", 0.15, 0.25),
        ("simulated ventral", "block4.relu4", 0.45, 0.55),
        ("simulated lateral", "block4.relu4", 0.35, 0.55),
    ):
        rows = table[(table["region"] == region) & table["time"].between(start, stop)]
        assert rows.groupby("layer")["similarity"].mean().idxmax() == layer


def test_runs_of_stimuli_are_a_column_of_their_table(project, tmp_path):
    folder, _, stimuli = project
    run_of = {name: i % 2 for i, name in enumerate(stimuli.ids)}
    table = pd.DataFrame({"file": [f"{n}.png" for n in run_of], "run": list(run_of.values())})
    table.to_csv(tmp_path / "faces.csv", index=False)
    manifest = f"stimuli.manifest={tmp_path}/faces.csv"
    command = ("timecourse", folder / "c.yaml", "--out", tmp_path / "o", "--set", manifest)
    wrong = rsa_faces(*command, "--set", "blocks=runn")
    assert wrong.exit_code == 2
    assert "Did you mean 'run'" in sentence(wrong)
    assert not (tmp_path / "o").exists()
    done = rsa_faces(*command, "--set", "blocks=run")
    assert done.exit_code == 0, done.output
    data = rf.rdm.concat(
        [load_rdms(path) for path in sorted((tmp_path / "o" / "rdms").glob("patient-*.h5"))]
    )
    models = rf.rdm.concat(
        [load_rdms(tmp_path / "o" / "rdms" / f"{n}.h5") for n in ("pixels", "gabor-v1")]
    )
    expected = rf.mapping.layer_map(models, data, method="spearman", blocks=run_of).to_frame()
    keys = ["network", "layer", "subject", "time"]
    found = pd.read_csv(tmp_path / "o" / "similarity.csv").sort_values(keys)
    np.testing.assert_allclose(
        found["similarity"], expected.sort_values(keys)["similarity"], atol=1e-12
    )
    whole = rf.mapping.layer_map(models, data, method="spearman").to_frame().sort_values(keys)
    assert np.nanmax(abs(found["similarity"].to_numpy() - whole["similarity"].to_numpy())) > 0.05
