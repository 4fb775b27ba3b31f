"""The bundled data: published numbers, order of conditions, no duplicates, origin."""

import hashlib

import h5py
import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr

import rsa_faces as rf
from rsa_faces.datasets import DATASETS, images92, load_dataset, simulated_faces
from rsa_faces.datasets.images92 import PATH


@pytest.fixture(scope="module")
def data():
    return images92()


def model(data, name):
    return data.models.sel(name=name).vectors[0]


def ceiling(rdms, transform, correlate):
    """Return the mean correlation of each subject with the others' mean, and with all's mean."""
    subjects = np.array([transform(v) for v in rdms.mean(by="subject").vectors])
    others = [np.delete(subjects, i, axis=0).mean(axis=0) for i in range(len(subjects))]
    lower = [correlate(s, o)[0] for s, o in zip(subjects, others, strict=True)]
    upper = [correlate(s, subjects.mean(axis=0))[0] for s in subjects]
    return np.mean(lower), np.mean(upper)


def standardised(vector):
    return (vector - vector.mean()) / vector.std()


def test_what_there_is(data):
    assert len(data.stimuli) == 92
    assert data.stimuli.ids[0] == "image_01"
    assert data.stimuli.ids[91] == "image_92"
    assert {data.stimuli.image(name).shape for name in data.stimuli} == {(175, 175, 3)}
    table = data.stimuli.metadata
    assert table["category"].value_counts().to_dict() == {
        "human bodypart": 12,
        "human face": 12,
        "nonhuman bodypart": 12,
        "nonhuman face": 12,
        "natural inanimate": 23,
        "artificial inanimate": 21,
    }
    assert table[["human", "face", "animal", "natural", "monkey_or_ape"]].sum().to_dict() == {
        "human": 24,
        "face": 24,
        "animal": 48,
        "natural": 71,
        "monkey_or_ape": 7,
    }
    labels = data.rdms.labels
    assert labels.groupby("region").size().to_dict() == {
        "human IT": 8,
        "monkey IT": 1,
        "behaviour": 16,
    }
    human = labels[labels["region"] == "human IT"]
    assert sorted(zip(human["subject"], human["session"], strict=True)) == [
        (s, n) for s in ("BE", "KO", "SN", "TI") for n in (1, 2)
    ]
    assert labels.loc[labels["region"] == "behaviour", "subject"].nunique() == 16
    assert len(data.models) == 8
    for rdms in (data.rdms, data.models):
        assert rdms.conditions == data.stimuli.ids
        assert not np.isnan(rdms.vectors).any()


def test_published_correlations(data):
    human = data.rdms.sel(region="human IT").mean().vectors[0]
    monkey = data.rdms.sel(region="monkey IT").vectors[0]
    assert pearsonr(human, monkey)[0] == pytest.approx(0.491, abs=5e-4)
    assert pearsonr(human, model(data, "animacy"))[0] == pytest.approx(0.5766, abs=5e-5)


def test_published_noise_ceilings(data):
    human, people = data.rdms.sel(region="human IT"), data.rdms.sel(region="behaviour")
    assert ceiling(human, rankdata, spearmanr) == pytest.approx((0.3723, 0.6657), abs=5e-5)
    assert ceiling(people, rankdata, spearmanr) == pytest.approx((0.4770, 0.5767), abs=5e-5)
    faces = data.stimuli.query("face").ids
    human, people = human.subset(faces), people.subset(faces)
    assert ceiling(human, standardised, pearsonr) == pytest.approx((0.1206, 0.5498), abs=5e-5)
    assert ceiling(people, standardised, pearsonr) == pytest.approx((0.8066, 0.8315), abs=5e-5)


def test_images_are_in_the_order_of_the_rdms(data):
    # A model made from the very pixels: one image in another place would be seen.
    images = np.array([data.stimuli.image(name) for name in data.stimuli])
    figure = (images != 128).any(axis=3).reshape(92, -1)
    made = 1 - np.corrcoef(figure)[np.triu_indices(92, k=1)]
    np.testing.assert_allclose(made, model(data, "Silhouette"), atol=1e-12)


def test_flags_are_in_the_order_of_the_rdms(data):
    table = data.stimuli.metadata
    row, col = np.triu_indices(92, k=1)
    animal = table["animal"].to_numpy()
    np.testing.assert_array_equal(animal[row] != animal[col], model(data, "animacy"))
    kind = np.select([table["face"], table["animal"], ~table["natural"]], [0, 1, 2], 3)
    np.testing.assert_array_equal(kind[row] != kind[col], model(data, "FaceBodyManmadeNatobj"))


def test_every_subject_is_in_this_order(data):
    # Within one category a shift by one image destroys what the regions share.
    shifted = [*data.stimuli.ids[1:], data.stimuli.ids[0]]
    human = data.rdms.sel(region="human IT").mean().vectors[0]
    monkey = data.rdms.sel(region="monkey IT")
    other = monkey.subset(shifted).vectors[0]
    assert pearsonr(human, monkey.vectors[0])[0] > pearsonr(human, other)[0] + 0.05
    faces = data.stimuli.query("face").ids
    turned = (*faces[1:], faces[0])
    people = data.rdms.sel(region="behaviour")
    mean = people.subset(faces).mean().vectors[0]
    for subject in people:
        right = pearsonr(subject.subset(faces).vectors[0], mean)[0]
        assert right > pearsonr(subject.subset(turned).vectors[0], mean)[0]


def test_nothing_is_there_twice_but_what_is_said(data):
    hashes = [hashlib.sha256(v.tobytes()).hexdigest() for v in data.models.vectors]
    assert len(set(hashes)) == 8
    every = np.concatenate([data.rdms.vectors, data.models.vectors])
    same = [
        (i, j)
        for i in range(len(every))
        for j in range(i)
        if abs(np.corrcoef(every[i], every[j])[0, 1]) > 0.999
    ]
    monkey = data.rdms.labels["region"].tolist().index("monkey IT")
    copy = len(data.rdms) + data.models.labels["name"].tolist().index("monkeyIT")
    assert same == [(copy, monkey)]
    np.testing.assert_array_equal(every[copy], every[monkey])
    assert len(set(data.stimuli.sha256)) == 92
    assert any("'monkeyIT' is the RDM of region 'monkey IT'" in note for note in data.notes)


def test_origin_is_in_the_file_and_beside_it(data):
    assert "rsatoolbox 0.0.4" in data.origin
    assert data.licence.startswith("MIT")
    assert "10.1016/j.neuron.2008.10.043" in data.citations[0]
    assert "10.3389/fpsyg.2013.00128" in data.citations[1]
    beside = PATH.with_suffix(".txt").read_text()
    assert hashlib.sha256(PATH.read_bytes()).hexdigest() in beside
    assert "Permission is hereby granted" in beside
    with h5py.File(PATH) as file:
        assert file.attrs["archive_sha256"] in beside
    assert PATH.stat().st_size < 5e6


def test_load_by_name():
    assert load_dataset("images92") is images92()
    assert load_dataset("simulated_faces") is simulated_faces()
    assert set(DATASETS) == {"images92", "simulated_faces", "london", "facesim3d"}
    with pytest.raises(rf.InputError, match="unknown data set 'image92'. Did you mean 'images92'"):
        load_dataset("image92")
