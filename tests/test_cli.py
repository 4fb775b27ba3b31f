"""The command line end to end, on simulated images and simulated subjects."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn import broken_rules, legend_of, panels
from PIL import Image
from typer.testing import CliRunner

import rsa_faces as rf
from rsa_faces.cli._app import app

N_IMAGES, N_SUBJECTS = 24, 6


def rsa_faces(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def sentence(run):
    """Return what was printed to stderr on one line."""
    return re.sub(r"\s+", " ", run.stderr)


def image_names():
    return [f"face_{i:02d}" for i in range(N_IMAGES)]


def make_project(tmp_path):
    """Make a folder with simulated images, simulated subjects and a configuration."""
    rng = np.random.default_rng(0)
    (tmp_path / "faces").mkdir()
    smooth = np.kron(rng.random((N_IMAGES, 6, 6, 3)), np.ones((1, 8, 8, 1)))
    for name, image in zip(image_names(), smooth, strict=True):
        Image.fromarray((image * 255).astype(np.uint8)).save(tmp_path / "faces" / f"{name}.png")
    table = pd.DataFrame(
        {
            "file": [f"{n}.png" for n in image_names()],
            "identity": [i // 4 for i in range(N_IMAGES)],
            "smiling": [i % 2 == 0 for i in range(N_IMAGES)],
        }
    )
    table.to_csv(tmp_path / "faces.csv", index=False)
    true = rf.compute_rdms(smooth.reshape(N_IMAGES, -1), conditions=image_names())
    noise = rng.normal(scale=0.02, size=(N_SUBJECTS, true.n_pairs))
    subjects = [f"simulated {i}" for i in range(N_SUBJECTS)]
    data = rf.RDMs(true.vectors + noise, image_names(), "correlation", {"subject": subjects})
    data.save(tmp_path / "simulated.h5")
    config = {
        "title": "simulated subjects who see pixels",
        "stimuli": {"folder": "faces", "manifest": "faces.csv"},
        "data": [{"rdms": "simulated.h5", "region": "simulated IT"}],
        "networks": ["pixels", "gabor-v1", {"name": "untrained:mini-xception", "layers": ["*1*"]}],
        "models": [{"metadata": "identity"}, {"metadata": "smiling"}],
        "subsets": {"all": "all", "smiling": "smiling"},
        "inference": {"n_boot": 100},
        "figures": {
            "mds_region": "simulated IT",
            "mds_color": "identity",
            "group": "identity",
            "subjects": True,
        },
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return tmp_path


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def watch_figures(patch):
    """Return, of each figure that is saved later, rules it breaks, its legend and its points."""
    seen = {}

    def save(figure, path):
        dots = [
            len(line.get_xdata())
            for axes in panels(figure)
            for line in axes.lines
            if line.get_markersize() == 1.2  # of single subjects
        ]
        legend = legend_of(figure)
        seen[path.name] = {"broken": broken_rules(figure), "dots": dots, "legend": legend}
        return keep(figure, path)

    keep = rf.figures.save_figure
    patch.setattr(rf.figures, "save_figure", save)
    return seen


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """Run the whole comparison once for the tests that only look at what it left."""
    folder = make_project(tmp_path_factory.mktemp("finished"))
    config = yaml.safe_load((folder / "c.yaml").read_text())
    config["partition"] = {"low": ["pixels", "gabor-v1"], "people": ["identity"]}
    (folder / "c.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        seen = watch_figures(patch)
        run = rsa_faces("compare", folder / "c.yaml", "--out", folder / "out")
    assert run.exit_code == 0, run.output
    (folder / "seen.json").write_text(json.dumps(seen))
    (folder / "stdout.txt").write_text(run.stdout)
    return folder


@pytest.fixture
def finished(finished_once, tmp_path):
    """Return a copy of a finished run, in the place where it was made."""
    kept = tmp_path / "kept"
    shutil.copytree(finished_once / "out", kept)
    yield finished_once
    shutil.rmtree(finished_once / "out")
    shutil.copytree(kept, finished_once / "out")


def test_all_figures_of_a_comparison_keep_the_rules_and_show_subjects(finished):
    seen = json.loads((finished / "seen.json").read_text())
    drawn = {path.stem for path in (finished / "out" / "figures").glob("*.png")}
    assert set(seen) == drawn
    kinds = {name.partition("-")[0] for name in drawn}
    assert kinds == {"layers", "heatmap", "models", "partition", "rdms", "mds"}
    assert {name: look["broken"] for name, look in seen.items() if look["broken"]} == {}
    layers = seen["layers-all"]
    assert "one subject" in layers["legend"]
    table = pd.read_csv(finished / "out" / "subjects.csv")
    table = table[table["subset"] == "all"]
    assert sum(layers["dots"]) == len(table)  # a point per subject and layer or model


def compare_in(project):
    return lambda *more: rsa_faces("compare", project / "c.yaml", "--out", project / "out", *more)


@pytest.fixture
def compare(project):
    return compare_in(project)


def test_compare_leaves_everything_and_finds_what_was_simulated(finished):
    out = finished / "out"
    for name in (
        "config.yaml",
        "provenance.json",
        "results.csv",
        "tests.csv",
        "report.html",
        "methods.md",
        "rdms/pixels.h5",
        "figures/layers-all.svg",
        "figures/layers-all.png",
        "figures/layers-all.pdf",
        "figures/heatmap-all.pdf",
        "figures/rdms.pdf",
        "figures/mds-simulated-IT.svg",
        "figures/models-simulated-IT.png",
    ):
        assert (out / name).stat().st_size > 0, name
    table = pd.read_csv(out / "results.csv")
    assert set(table["subset"]) == {"all", "smiling"}
    best = table[table["subset"] == "all"].set_index("network")
    assert best.loc["pixels", "p_corrected"] < 0.05
    assert best["similarity"].drop("pixels").max() < best.loc["pixels", "similarity"]
    assert best.loc["pixels", "n_subjects"] == N_SUBJECTS
    assert best.loc["pixels", "n_conditions"] == N_IMAGES
    assert "Report:" in (finished / "stdout.txt").read_text()
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["seed"] == 0
    assert set(provenance["weights_sha256"]) == {"pixels", "gabor-v1", "untrained:mini-xception"}
    assert not list(out.rglob("*.part*"))


def test_what_was_found_leads_with_best_layers_on_held_out_data(finished):
    out = finished / "out"
    table = pd.read_csv(out / "best_layers.csv")
    assert list(table["network"]) == ["gabor-v1", "untrained:mini-xception"]  # pixels: one layer
    models, data = (rf.load_rdms(out / "rdms" / f"{name}.h5") for name in ("models", "data"))
    layers = [i for i, n in enumerate(models.labels["network"]) if n in set(table["network"])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = rf.inference.best_layer(models[layers], data, method="rho-a", n_boot=100)
    for column in ("similarity", "ci_low", "ci_high", "p"):
        np.testing.assert_allclose(table[column], expected.table[column], atol=1e-12)
    assert list(table["share"]) == list(expected.chosen.groupby("network")["share"].max())
    report = (out / "report.html").read_text()
    found = report.partition('id="found"')[2].partition("</ul>")[0]
    first = found.partition("</table>")[0]
    assert "best layer, judged by data that did not choose it" in first
    for row in table.itertuples():
        shown = f"{row.similarity:.3f} ({row.ci_low:.3f} to {row.ci_high:.3f})"
        assert shown.replace("-", "−") in first
    # What has one layer has nothing to choose, and counts.
    assert "simulated IT: pixels is highest" in found
    assert ">pixels<" in first
    # Then short sentences.
    for sentence in found.split("<li>")[1:]:
        assert len(sentence.partition("</li>")[0]) < 400
    methods = (out / "methods.md").read_text()
    assert "halvings" in methods
    assert f"Networks were shown {N_IMAGES} images." in methods
    assert "RDMs read from files" in methods
    assert '<a href="#methods">' in report
    printed = " ".join((finished / "stdout.txt").read_text().split())
    assert "best layer, judged by data that did not choose it" in printed
    assert "simulated IT: 6 subjects, 24 conditions, noise ceiling" in printed


def test_the_report_asks_for_nothing_from_outside(finished):
    html = (finished / "out" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    assert "simulated IT" in html
    assert "too few to generalise to new conditions" in html


def test_twice_gives_the_same_bytes_and_a_second_run_reuses_the_first(finished):
    compare = compare_in(finished)
    first = (finished / "out" / "results.csv").read_bytes()
    assert compare().exit_code == 0
    reused = json.loads((finished / "out" / "provenance.json").read_text())["steps_reused"]
    assert "rdms pixels" in reused
    assert "figure layers-all" in reused
    assert (finished / "out" / "results.csv").read_bytes() == first
    assert compare("--fresh").exit_code == 0
    assert json.loads((finished / "out" / "provenance.json").read_text())["steps_reused"] == []
    assert (finished / "out" / "results.csv").read_bytes() == first


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(finished):
    project = finished
    expected = (project / "out" / "results.csv").read_bytes()
    tests = (project / "out" / "tests.csv").read_bytes()
    again = project / "again"
    command = [
        sys.executable,
        "-c",
        "from rsa_faces.cli import main; main()",
        "compare",
        str(project / "c.yaml"),
        "--out",
        str(again),
    ]
    rng = np.random.default_rng(0)
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        # Wait for the folder, then a random moment more: the kill falls into any step.
        while process.poll() is None and not again.exists():
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 3))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed
    run = rsa_faces("compare", project / "c.yaml", "--out", again)
    assert run.exit_code == 0, run.output
    assert (again / "results.csv").read_bytes() == expected
    assert (again / "tests.csv").read_bytes() == tests


def test_json_is_for_machines(finished):
    run = compare_in(finished)("--json")
    answer = json.loads(run.stdout)
    assert {"command", "folder", "figures", "report", "notes", "tables"} == set(answer)
    assert answer["command"] == "compare"
    assert answer["tables"]["results"][0]["network"] == "pixels"


def _break_image(project):
    (project / "faces" / "face_03.png").write_bytes(b"no image")


def _remove_image(project):
    (project / "faces" / "face_03.png").unlink()


def _constant_image(project):
    Image.fromarray(np.full((48, 48, 3), 128, np.uint8)).save(project / "faces" / "face_03.png")


def _double_names(project):
    table = pd.read_csv(project / "faces.csv").assign(id=lambda t: t["file"].str[:-4])
    table.loc[3, "id"] = "face_02"
    table.to_csv(project / "faces.csv", index=False)


def _other_names(project):
    rdms = rf.load_rdms(project / "simulated.h5")
    names = ["person 1", *rdms.conditions[1:]]
    rf.RDMs(rdms.vectors, names, rdms.measure, rdms.labels).save(project / "simulated.h5")


def _missing_pairs(project):
    rdms = rf.load_rdms(project / "simulated.h5")
    vectors = rdms.vectors.copy()
    vectors[1, 3] = np.nan
    rf.RDMs(vectors, rdms.conditions, rdms.measure, rdms.labels).save(project / "simulated.h5")


def _one_subject(project):
    rf.load_rdms(project / "simulated.h5")[0].save(project / "simulated.h5")


def _nothing(project):
    pass


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (_remove_image, [], "face_03.png"),
        (_break_image, [], "face_03.png"),
        (_constant_image, [], "layer .* of pixels is constant for 'face_03'"),
        (_double_names, [], "face_02"),
        (_other_names, [], "only in the stimuli: 'face_00'; only in .*: 'person 1'"),
        (_missing_pairs, [], "1 of 1656 are missing .* `allow_missing: true`"),
        (_one_subject, [], "generalise_to: conditions"),
        (_nothing, ["--set", "networks.0=pixel"], "unknown network 'pixel'. Did you mean 'pixels'"),
        (
            _nothing,
            ["--set", "networks.0={name: gabor-v1, layers: [enrgy]}", "--set", "networks.1=pixels"],
            "'enrgy'.* Did you mean 'energy'",
        ),
        (_nothing, ["--set", "methd=cosine"], "unknown key 'methd'. Did you mean 'method'"),
        (_nothing, ["--set", "method=speerman"], "Did you mean 'spearman'"),
        (_nothing, ["--set", "measure=corelation"], "Did you mean 'correlation'"),
        (_nothing, ["--set", "stimuli.folder=nowhere"], "nowhere"),
        (_nothing, ["--set", "subsets.x=smilng"], "smil"),
        (_nothing, ["--set", "subsets.x=[face_00, face_01]"], "at least 3 conditions in subset"),
        (_nothing, ["--set", "models.0.metadata=identiti"], "Did you mean 'identity'"),
        (_nothing, ["--set", "inference.by=rater"], "rater"),
        (_nothing, ["--device", "tpu"], "tpu"),
    ],
)
def test_wrong_input_is_one_sentence_exit_2_and_nothing_written(
    compare, project, spoil, options, message
):
    spoil(project)
    run = compare(*options)
    assert run.exit_code == 2, run.output
    assert re.search(message, sentence(run)), run.stderr
    assert "Traceback" not in run.output
    assert not (project / "out" / "results.csv").exists()


def test_one_subject_is_possible_over_conditions_and_said(compare, project):
    _one_subject(project)
    run = compare("--set", "inference.generalise_to=conditions")
    assert run.exit_code == 0, run.output
    assert "no noise ceiling" in run.output
    assert pd.read_csv(project / "out" / "results.csv")["ceiling_low"].isna().all()


def test_a_folder_of_another_run_is_not_written_over(finished):
    compare = compare_in(finished)
    before = (finished / "out" / "results.csv").read_bytes()
    run = compare("--set", "inference.n_boot=200")
    assert run.exit_code == 2
    assert "another configuration (differs in inference)" in sentence(run)
    assert (finished / "out" / "results.csv").read_bytes() == before


def test_an_output_that_is_a_file_is_refused(project):
    run = rsa_faces("compare", project / "c.yaml", "--out", project / "c.yaml")
    assert run.exit_code == 2
    assert "cannot be written" in sentence(run)
    assert "title" in (project / "c.yaml").read_text()


def test_networks_are_listed_shown_and_opened():
    names = [n["name"] for n in json.loads(rsa_faces("networks", "list", "--json").stdout)]
    assert {"dlib-face", "face-api-expression", "resnet50-vggface2", "pixels"} <= set(names)
    assert "dlib-face" in rsa_faces("networks", "list").stdout
    assert "150" in rsa_faces("networks", "show", "dlib-face").stdout
    some = rsa_faces("networks", "layers", "mini-xception").stdout.split()
    every = rsa_faces("networks", "layers", "mini-xception", "--all").stdout.split()
    assert 3 < len(some) < len(every)
    run = rsa_faces("networks", "show", "dlib-fase")
    assert run.exit_code == 2
    assert "Did you mean 'dlib-face'" in sentence(run)


def test_doctor_tells_what_is_here():
    run = rsa_faces("doctor", "--json")
    found = {row["what"]: row for row in json.loads(run.stdout)}
    assert found["images92"]["ok"] is True
    assert found["torch"]["ok"] is True
    assert found["resnet50-vggface2"]["ok"] is None
    assert run.exit_code == 0


def test_init_writes_a_configuration_that_runs(project):
    (project / "c.yaml").unlink()
    run = rsa_faces(
        "init",
        "--stimuli",
        project / "faces",
        "--data",
        project / "simulated.h5",
        "--out",
        project / "mine.yaml",
    )
    assert run.exit_code == 0, run.output
    text = (project / "mine.yaml").read_text()
    assert "faces.csv" in text
    assert f"{N_SUBJECTS} subjects" in text
    assert "groups: identity" in text
    run = rsa_faces(
        "compare",
        project / "mine.yaml",
        "--out",
        project / "out",
        "--set",
        "networks=[pixels]",
        "--set",
        "inference.n_boot=100",
    )
    assert run.exit_code == 0, run.output
    again = rsa_faces("init", "--stimuli", project / "faces", "--out", project / "mine.yaml")
    assert again.exit_code == 2
    assert "mine.yaml exists" in sentence(again)


def test_every_command_has_help():
    commands = re.findall(r"│ (\w+) ", rsa_faces("--help").stdout)
    assert {"compare", "networks", "doctor", "init"} <= set(commands)
    for command in ["compare", "doctor", "init", "networks"]:
        assert len(rsa_faces(command, "--help").stdout) > 300


def test_debug_shows_the_traceback(project):
    run = rsa_faces("--debug", "compare", project / "nothing.yaml")
    assert isinstance(run.exception, FileNotFoundError)


def test_groups_and_runs_are_columns_of_the_stimulus_table(project):
    from rsa_faces.runs._inputs import read_inputs
    from rsa_faces.runs._reading import read_config
    from rsa_faces.runs.compare.config import Config

    def load_config(path, options=()):
        return read_config(path, options, Config)

    table = pd.read_csv(project / "faces.csv")
    table["run"] = np.arange(len(table)) % 2
    table.to_csv(project / "faces.csv", index=False)
    with pytest.raises(rf.InputError, match="^subsets.few: .*smilin"):
        read_inputs(load_config(project / "c.yaml", ["subsets={few: smilin}"]))
    plain = read_inputs(load_config(project / "c.yaml"))
    assert "values of 'identity' for 24 images" in plain.notes[0]
    assert "Give inference.groups: identity" in plain.notes[0]
    options = ["inference.groups=identity", "inference.blocks=run"]
    inputs = read_inputs(load_config(project / "c.yaml", options))
    assert inputs.notes == ()
    assert inputs.groups == {n: i // 4 for i, n in enumerate(image_names())}
    assert inputs.blocks == {n: i % 2 for i, n in enumerate(image_names())}
    # Pairs across runs may be missing.
    data = rf.rdm.load_rdms(project / "simulated.h5")
    row, col = np.triu_indices(N_IMAGES, k=1)
    vectors = np.where(row % 2 == col % 2, data.vectors, np.nan)
    rf.RDMs(vectors, data.conditions, data.measure, data.labels).save(project / "simulated.h5")
    read_inputs(load_config(project / "c.yaml", options))
    with pytest.raises(rf.InputError, match="are missing .NaN"):
        read_inputs(load_config(project / "c.yaml"))
    with pytest.raises(rf.InputError, match="for inference.groups: 'identiti'. Did you mean"):
        read_inputs(load_config(project / "c.yaml", [*options, "inference.groups=identiti"]))
