"""The simulated faces that ship: complete, matched, named simulated, as the script made them."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from rsa_faces.datasets.simulated_faces import PATH, simulated_faces
from rsa_faces.stimuli.rendering import EXPRESSIONS, expression_table

SCRIPT = Path(__file__).parents[1] / "scripts" / "build_simulated_faces.py"


@pytest.fixture(scope="module")
def data():
    return simulated_faces()


def test_every_cell_is_there_once(data):
    table = data.stimuli.metadata
    assert len(table) == 18 * 7 * 3
    cells = table.groupby(["identity", "expression", "yaw"]).size()
    assert len(cells) == 378
    assert (cells == 1).all()
    assert set(table["expression"]) == set(EXPRESSIONS)
    assert set(table["yaw"]) == {-30, 0, 30}
    assert {data.stimuli.image(name).shape for name in data.stimuli} == {(224, 224, 3)}
    assert len(set(data.stimuli.sha256)) == 378
    for name, row in table.iterrows():
        assert name == f"{row['identity']}_{row['expression']}_yaw{row['yaw']:+g}_{row['light']}"


def test_it_says_that_it_is_simulated(data):
    assert data.name == "simulated_faces"
    assert data.stimuli.metadata["simulated"].all()
    assert all(name.startswith("simulated") for name in data.stimuli)
    assert any("no picture shows a person" in note for note in data.notes)
    assert any(note.startswith("Not for:") for note in data.notes)
    assert b"simulated face" in PATH.read_bytes()  # in every JPEG
    assert len(data.rdms) == 0


def test_parameters_are_those_of_the_pictures(data):
    table, people = data.stimuli.metadata, data.parameters
    assert set(people.index) == set(table["identity"])
    assert len([name for name in people if name.startswith("shape:")]) == 94
    for name in ("melanin", "gender", "hair_colour", "paint_seed"):
        np.testing.assert_array_equal(table[name], people.loc[table["identity"], name])
    assert data.expressions.equals(expression_table())


def test_darker_skin_is_darker_and_views_are_turned(data):
    # Pictures and table match: the face's brightness follows melanin, the face the yaw.
    table = data.stimuli.metadata.query("expression == 'neutral'")
    face = np.array(
        [data.stimuli.image(name)[100:150, 90:134].mean() for name in table.query("yaw == 0").index]
    )
    assert np.corrcoef(face, table.query("yaw == 0")["melanin"])[0, 1] < -0.85
    moved = []
    for identity in data.parameters.index:
        skin = []
        for yaw in ("-30", "+30"):
            image = data.stimuli.image(f"{identity}_neutral_yaw{yaw}_front").astype(float)
            reddish = image[60:180, :, 0] - image[60:180, :, 2] > 25
            skin.append(np.nonzero(reddish)[1].mean())
        moved.append(skin[1] - skin[0])
    assert np.mean(moved) > 8  # pixels; fair hair counts as skin here, and moves the other way


def test_models_follow_the_design(data):
    table = data.stimuli.metadata
    row, col = np.triu_indices(len(table), k=1)
    models = {name: data.models.sel(name=name).vectors[0] for name in data.models.labels["name"]}
    assert data.models.conditions == data.stimuli.ids
    for name, column in (("identity", "identity"), ("expression", "expression")):
        values = table[column].to_numpy(dtype=object)
        np.testing.assert_array_equal(models[name], values[row] != values[col])
    yaw = table["yaw"].to_numpy()
    np.testing.assert_array_equal(models["view"], abs(yaw[row] - yaw[col]))
    same = models["identity"] == 0
    assert (models["face shape"][same] == 0).all()
    assert models["face shape"][~same].min() >= 5.5
    assert (models["facial actions"][models["expression"] == 0] == 0).all()
    assert models["facial actions"][models["expression"] == 1].min() > 0.5
    smile = data.expressions.query("expression == 'happy'").groupby("action")["weight"].sum()
    i = list(data.stimuli.ids).index("simulated01_happy_yaw+0_front")
    j = list(data.stimuli.ids).index("simulated01_neutral_yaw+0_front")
    pair = np.flatnonzero((row == min(i, j)) & (col == max(i, j)))[0]
    assert models["facial actions"][pair] == pytest.approx(np.sqrt((smile**2).sum()), rel=1e-6)


def test_origin_licence_and_hash(data):
    spec = importlib.util.spec_from_file_location("build_simulated_faces", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found = hashlib.sha256(PATH.read_bytes()).hexdigest()
    assert found == script.FILE_SHA256
    beside = PATH.with_suffix(".txt").read_text()
    assert found in beside
    assert script.WHEEL_SHA256 in beside
    assert "Creative Commons CC0 1.0 Universal" in beside
    assert list(data.notes) == script.NOTES
    assert data.licence.startswith("CC0")
    assert PATH.stat().st_size < 8e6
