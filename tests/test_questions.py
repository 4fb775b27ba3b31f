"""Every question of `rsa-faces analyse`, through the command line: what it prints and leaves."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from test_cli import rsa_faces
from test_cli_analyse import drawn_small

import rsa_faces as rf
from rsa_faces.cli._console import out
from rsa_faces.runs import AnalysesConfig
from rsa_faces.runs.analyse.outputs import answer_table
from rsa_faces.runs.analyse.questions import QUESTIONS as ALL
from rsa_faces.stimuli import _video

PEOPLE, EXPRESSIONS = 8, ("happy", "sad", "angry")
FEW = {"n_permutations": 19}
MANY = {"n_permutations": 99}
SMALL = ["mini-xception"]
CLIPS = {"stimuli": {"clips": "clips", "rate": 5}, "networks": ["pixels"]}

#: question → entry of the configuration, and what else differs from the usual one.
QUESTIONS = {
    "readout": ({"labels": "expression", "across": "identity", **FEW}, {}),
    "transfer": (
        {
            "tasks": {
                "identity": {"labels": "identity", "across": "expression", "people": "identity"},
                "warm": {"labels": "warm", "across": "identity", "values": "number"},
            },
            **FEW,
        },
        {},
    ),
    "congruence": ({"first": "identity", "second": "expression", **FEW}, {}),
    "groups": ({"groups": "gender", "people": "identity", "fmr": 0.1, **FEW}, {}),
    "components": (
        {"groups": ["gender"], "n_components": 3, **MANY},
        {},
    ),
    "scores": ({"groups": "gender", "people": "identity", **MANY}, {}),
    "map": (
        {"people": "identity", "target": "gabor-v1", "n_pairs": [8], "n_draws": 2, "sweep": True},
        {},
    ),
    "agreement": (
        {"methods": ["spearman"], "n_boot": 99, **MANY},
        {},
    ),
    "robustness": (
        {"people": "identity", "degradations": ["blur"], "strengths": [1, 5]},
        {"networks": SMALL},
    ),
    "confidence": (
        {
            "people": "identity",
            "groups": "gender",
            "degradations": ["jpeg"],
            "strengths": [5],
            "n_variants": 1,
            "alpha": 0.2,
        },
        {"networks": SMALL},
    ),
    "topography": ({"n_units": 2}, {"networks": [{"name": SMALL[0], "layers": ["conv1"]}]}),
    "background": ({"landmarks": "points.npz", "scale": 0.5}, {"networks": ["pixels"]}),
    "stimuli": ({"n": 6, "synthesis_steps": 2}, {}),
    "landmarks": (
        {"landmarks": "points.npz", **FEW},
        {"networks": ["pixels"]},
    ),
    "face space": ({"landmarks": "points.npz", "n_shape": 4, "n_appearance": 4}, {}),
    "axes": (
        {
            "landmarks": "points.npz",
            "responses": "responses.csv",
            "places": "places.csv",
            "n_shape": 2,
            "n_appearance": 2,
            **FEW,
        },
        {},
    ),
    "traits": (
        {
            "ratings": ["warm"],
            "baseline": ["age"],
            "landmarks": "points.npz",
            "variants": ["masked grey"],
            **FEW,
        },
        {"networks": ["pixels"]},
    ),
    "averageness": (
        {
            "landmarks": "points.npz",
            "ratings": ["warm"],
            "raters": "ratings.csv",
            "controls": ["age"],
            "within": "gender",
            **FEW,
        },
        {"networks": ["pixels"], "select": {"expression": "sad"}},
    ),
    "encoding": ({"responses": "responses.csv", "beside": ["pixels"], **FEW}, {}),
    "feature sets": (
        {
            "responses": "responses.csv",
            "face_spaces": {"space": "points.npz"},
            "n_shape": 2,
            "n_appearance": 2,
            "against": "space",
            **FEW,
        },
        {"networks": ["pixels"]},
    ),
    "individuation": (
        {"rdms": "raters.h5", "categories": ["gender"], "n_boot": 50, **MANY},
        {"networks": ["pixels"]},
    ),
    "attribution": ({"n_places": 2, "n_steps": 4, "of": "rdm"}, {"networks": ["pixels"]}),
    "occlusion": ({"of": "rdm", "n_places": 2}, {"networks": ["pixels"]}),
    "erasure": ({"groups": "gender", "people": "identity", **FEW}, {"networks": ["gabor-v1"]}),
    "homophily": (
        {"ties": "ties.csv", "people": "identity", "controls": ["gender"], **MANY},
        {"select": {"expression": "sad"}},
    ),
    "membership": ({"members": "member", **MANY}, {}),
    "light": (
        {"people": "identity", "methods": ["self-quotient"], "strengths": [5]},
        {"networks": ["pixels"]},
    ),
    "landmark gain": (
        {"landmarks": "points.npz", "people": "identity", "labels": ["gender", "warm"]},
        {"networks": ["pixels"]},
    ),
    "verification": ({"people": "identity", "media": "expression", "fars": [0.1, 1e-4]}, {}),
    "movement": (FEW, CLIPS),
    "movement adds": ({"rdms": "watched.h5", "n_boot": 50, **FEW}, CLIPS),
    "moments": ({"rdms": "recorded.h5", "beside_average": True, **FEW}, CLIPS),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of people, and all that questions want to know of them."""
    folder = tmp_path_factory.mktemp("questions")
    rng = np.random.default_rng(0)
    (folder / "faces").mkdir()
    rows = []
    upper = rng.integers(40, 216, (2 * PEOPLE, 4, 8))
    lower = rng.integers(40, 216, (len(EXPRESSIONS), 4, 8))
    for i in range(2 * PEOPLE):
        for j, expression in enumerate(EXPRESSIONS):
            cells = np.vstack([upper[i], lower[j]]) + rng.integers(-20, 20, (8, 8))
            image = np.kron(cells, np.ones((4, 4))).clip(0, 255).astype(np.uint8)
            name = f"{i:02}-{expression}.png"
            Image.fromarray(image).convert("RGB").save(folder / "faces" / name)
            gender = "female" if i % 2 else "male"
            rows.append([name, f"p{i}", expression, gender, i < PEOPLE])
    table = pd.DataFrame(rows, columns=["file", "identity", "expression", "gender", "member"])
    table["warm"] = rng.normal(size=len(table))
    table["age"] = rng.uniform(20, 60, len(table))
    table.to_csv(folder / "faces.csv", index=False)
    half = rng.uniform(4, 28, (94, 2))
    face = np.vstack([half, [32, 0] + half * [-1, 1], [16, 16]])  # the same on both sides
    points = 0.3 * rng.normal(size=(len(table), 189, 2)) + face
    np.savez(folder / "points.npz", files=table["file"].to_numpy(str), points=points)
    responses = pd.DataFrame(
        rng.normal(size=(2 * len(table), 3)), columns=["FFA:1", "FFA:2", "OFA:1"]
    )
    # Cells that tell expressions.
    responses += 2 * np.tile([[1, 0, 1], [0, 1, -1], [-1, -1, 1]], (4 * PEOPLE, 1))
    responses.insert(0, "stimulus", np.tile(table["file"].str.removesuffix(".png"), 2))
    responses["repeat"] = np.repeat([1, 2], len(table))
    responses.to_csv(folder / "responses.csv", index=False)
    ratings = table[["file"]].rename(columns={"file": "stimulus"})
    ratings["stimulus"] = ratings["stimulus"].str.removesuffix(".png")
    ratings = pd.concat([ratings.assign(rater=rater) for rater in "abcd"])
    ratings["warm"] = rng.integers(1, 8, len(ratings))
    ratings.to_csv(folder / "ratings.csv", index=False)
    places = pd.DataFrame({"cell": ["OFA:1", "FFA:1", "FFA:2"], "mm": [0.0, 1.0, 3.0]})
    places.to_csv(folder / "places.csv", index=False)
    names = list(table["file"].str.removesuffix(".png"))
    pairs = rng.random((3, len(names) * (len(names) - 1) // 2))
    rf.RDMs(pairs, names, "rating", {"subject": list("abc")}).save(folder / "raters.h5")
    people = [f"p{i}" for i in range(2 * PEOPLE)]
    pd.DataFrame({"a": people[:-1], "b": people[1:]}).to_csv(folder / "ties.csv", index=False)
    for i in range(6):
        frames = rng.integers(40, 216, (5, 32, 32, 3)).astype(np.uint8)
        _video.write(folder / "clips" / f"clip{i}.mp4", list(frames), rate=5)
    clips = [f"clip{i}" for i in range(6)]
    labels = {"subject": np.repeat(list("abcd"), 5), "time": np.tile(np.arange(5) / 5, 4)}
    rf.RDMs(rng.random((20, 15)), clips, "simulated", labels).save(folder / "recorded.h5")
    rf.RDMs(rng.random((2, 15)), clips, "rating", {"subject": list("ab")}).save(
        folder / "watched.h5"
    )
    return folder


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_through_the_command_line(folder, tmp_path, monkeypatch, request, question):
    monkeypatch.setattr(rf.figures, "save_figure", drawn_small)
    request.getfixturevalue("figures_keep_the_rules")
    if question == "attribution":
        pytest.importorskip("captum")
    entry, changes = QUESTIONS[question]
    config = {
        "title": f"small: {question}",
        "stimuli": {"folder": "faces", "manifest": "faces.csv"},
        "networks": ["pixels", "gabor-v1"],
        "analyses": [{"analysis": question, **entry}],
        **changes,
    }
    path = folder / f"{tmp_path.name}.yaml"
    path.write_text(yaml.safe_dump(config))
    done = rsa_faces("analyse", path, "--out", tmp_path / "o", "--device", "cpu")
    assert done.exit_code == 0, done.output
    output = tmp_path / "o"
    (table_file,) = output.glob("1-*.csv")
    table = pd.read_csv(table_file)
    assert len(table) > 0
    if "n_people" in table:
        # Images repeat people, whether or not the question says so.
        assert table["n_people"].max() <= 2 * PEOPLE
    (section,) = AnalysesConfig.read(path).analyses
    for column in answer_table(section, table_file.stem, table).rows:
        assert column.split()[0] in done.stdout
    report = html.unescape((output / "report.html").read_text())
    assert all(sentence in report for sentence in section.findings(table))
    assert section.findings(table)
    described = (output / "README.md").read_text()  # that all have a line: see conftest.py
    assert all(f"- `{column}`: " in described for column in table)
    record = json.loads((output / "provenance.json").read_text())
    figures = [name for name in record["files"] if name.endswith(".png")]
    assert figures
    for name in figures:
        with Image.open(output / name) as image:
            assert min(image.size) > 20


def test_no_question_is_left_out():
    asked = {kind.model_fields["analysis"].annotation.__args__[0] for kind in ALL}
    assert set(QUESTIONS) == asked


def test_people_are_told_by_the_column_of_the_table_where_a_question_does_not_say():
    labels = pd.DataFrame({"identity": ["a", "a", "b"], "expression": ["x", "y", "x"]})
    asked = {kind.__name__: kind for kind in ALL}
    readout = asked["Readout"](analysis="readout", labels="identity", across="expression")
    question, column = readout.with_people(labels)
    assert (question.people, column) == ("identity", "identity")
    transfer = asked["Transfer"](
        analysis="transfer", tasks={"one": {"labels": "expression"}, "two": {"labels": "identity"}}
    )
    question, column = transfer.with_people(labels)
    assert [task.people for task in question.tasks.values()] == ["identity"] * 2
    # Where each image is of somebody else, images are people.
    assert readout.with_people(labels.iloc[1:])[1] == ""
    # What is said stays.
    said = readout.model_copy(update={"people": "expression"})
    assert said.with_people(labels) == (said, "")


def test_every_question_that_can_be_told_people_takes_them_from_the_table():
    asked = {kind.__name__: kind for kind in ALL}
    for kind in (*ALL, asked["Congruence"], asked["MovementAdds"], asked["Topography"]):
        fields = kind.model_fields
        told = [
            key for key in ("people", "across") if key in fields and not fields[key].is_required()
        ]
        assert bool(told) == bool(kind.people_key), kind.__name__
    labels = pd.DataFrame({"identity": ["a", "a", "b"]})
    fields_only = asked["Topography"](analysis="topography")
    assert fields_only.with_people(labels) == (fields_only, "")
    with_data = fields_only.model_copy(update={"rdms": Path("regions.h5")})
    assert with_data.with_people(labels)[0].people == "identity"


def printed(monkeypatch, *arguments):
    """Return what a command prints on a terminal of 80 columns."""
    monkeypatch.setattr(out, "width", 80)
    done = rsa_faces(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_networks_are_listed_in_80_columns_one_line_each(monkeypatch):
    lines = printed(monkeypatch, "networks", "list")
    assert max(map(len, lines)) <= 80
    starts = [line.split()[0] for line in lines]
    assert [name for name in starts if name in rf.list_networks()] == rf.list_networks()


def test_doctor_fits_a_screen(monkeypatch):
    lines = printed(monkeypatch, "doctor")
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    text = " ".join(" ".join(lines).split())
    assert all(name in text for name in rf.list_networks())


def test_every_question_stands_in_a_configuration_that_ships_with_keys_that_exist():
    entries = []
    for path in sorted((Path(rf.__file__).parent / "configs").glob("*.yaml")):
        text = path.read_text()
        entries += (yaml.safe_load(text).get("analyses") or []) if "analyses:" in text else []
        entries += [
            yaml.safe_load(line)[0] for line in re.findall(r"^  #   (- \{.*\})$", text, re.M)
        ]
    asked = [entry for entry in entries if "analysis" in entry]
    assert {entry["analysis"] for entry in asked} == set(QUESTIONS)
    AnalysesConfig.model_validate(
        {
            "title": "t",
            "stimuli": {"folder": "f"},
            "networks": ["pixels", "sface"],
            "analyses": asked,
        }
    )
