"""Occlusion maps: the planted place, in each face's own frame; nothing where all is alike."""

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces import InputError, load_network
from rsa_faces.analyses import occlusion_map
from rsa_faces.analyses.networks.occlusion import unlike_others
from rsa_faces.figures import plot_occlusion
from rsa_faces.runs._entries import NetworkConfig
from rsa_faces.runs._networks import Networks
from rsa_faces.runs.analyse.questions import Study
from rsa_faces.runs.analyse.questions.occlusion import Occlusion
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.crops import ARCFACE

NAMES = [f"face {i}" for i in range(10)]
OPTIONS = {"n_places": 4, "size": 1.0, "progress": False}


def stimuli(images):
    return StimulusSet.from_arrays(images, NAMES)


def patches(rng, row, column, moves):
    """Grey images with something to see in one place only, which moves in each."""
    images = np.full((10, 32, 32, 3), 128, np.uint8)
    for image, (dx, dy) in zip(images, moves, strict=True):
        y, x = 8 * row + dy, 8 * column + dx
        image[y : y + 8, x : x + 8] = rng.integers(0, 256, (8, 8, 3))
    return images


@pytest.mark.parametrize("of", ["embedding", "rdm"])
def test_the_only_place_with_something_to_see_is_found(of):
    rng = np.random.default_rng(0)
    images = 128 + rng.integers(-2, 3, (10, 32, 32, 3))
    images[:, 8:16, 16:24] = rng.integers(0, 256, (10, 8, 8, 3))
    found = occlusion_map(
        load_network("pixels"), stimuli(images.astype(np.uint8)), of=of, **OPTIONS
    )
    change = found.matrix().to_numpy()
    assert np.unravel_index(change.argmax(), (4, 4)) == (1, 2)
    assert found.matrix("p_corrected").loc[1, 2] < 0.05
    assert np.sort(change.ravel())[-2] < change.max() / 5
    assert found.table["above"].sum() == pytest.approx(0, abs=1e-9)


def test_places_are_those_of_the_mean_shape():
    rng = np.random.default_rng(1)
    moves = rng.integers(-5, 6, (10, 2))
    moves -= np.rint(moves.mean(axis=0)).astype(int)
    images = stimuli(patches(rng, 1, 1, moves))
    shape = np.array([[4.0, 4], [28, 4], [16, 28]])
    landmarks = {name: shape + moved for name, moved in zip(NAMES, moves, strict=True)}
    network = load_network("pixels")
    found = occlusion_map(network, images, landmarks=landmarks, **OPTIONS)
    plain = occlusion_map(network, images, **OPTIONS)
    best = found.table.loc[found.table["change"].idxmax()]
    assert (best["row"], best["column"]) == (1, 1)
    assert found.table["change"].max() > 1.3 * plain.table["change"].max()


def test_places_that_are_alike_differ_seldom():
    """Skewed changes, 20 people, 16 places: corrected over places."""
    found = [
        unlike_others(x - x.mean(axis=0), np.random.default_rng(seed))[1].min() <= 0.05
        for seed in range(60)
        for x in [np.random.default_rng([seed, 1]).gamma(3.0, size=(16, 20))]
    ]
    # P(more than 8 of 60) = .2 %.
    assert np.sum(found) <= 8


def test_where_all_places_are_alike_none_is_found():
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        # As large as the network takes them: no pixel is shared by places.
        images = rng.integers(0, 256, (10, 128, 128, 3)).astype(np.uint8)
        found.append(occlusion_map(load_network("pixels"), stimuli(images), **OPTIONS))
    # P(more than 2 of 5 with some p_corrected <= .05) = .1 %.
    assert sum(one.table["p_corrected"].min() <= 0.05 for one in found) <= 2
    assert plot_occlusion(found[0]).axes[0].get_title(loc="left") == "pixels"


def test_what_is_asked_for_wrongly():
    rng = np.random.default_rng(3)
    images = stimuli(rng.integers(0, 256, (10, 16, 16, 3)).astype(np.uint8))
    network = load_network("pixels")
    with pytest.raises(InputError, match="landmarks of every image, but 9 have none: 'face 1'"):
        occlusion_map(network, images, landmarks={NAMES[0]: np.eye(3)[:, :2]}, **OPTIONS)
    with pytest.raises(InputError, match="at least 4 people"):
        people = {name: i % 2 for i, name in enumerate(NAMES)}
        occlusion_map(network, images, people=people, **OPTIONS)
    with pytest.raises(InputError, match="size above 0 and at most n_places=4, got 9"):
        occlusion_map(network, images, n_places=4, size=9)


def test_a_run_brings_landmarks_to_the_crops_that_networks_are_shown(tmp_path, monkeypatch):
    people = rf.datasets.images92().stimuli.subset(["image_13", "image_14"])
    faces = rf.detect_faces(people)
    marks = dict(zip(people.ids, faces.points, strict=True))
    np.savez(tmp_path / "points.npz", files=list(marks), points=list(marks.values()))
    entries = [{"name": "sface", "crop_faces": True}, {"name": "pixels"}]
    networks = Networks([NetworkConfig(**entry) for entry in entries], people, "cpu", 0)
    seen = []

    def ask(network, stimuli, landmarks, **options):
        seen.append((stimuli.image("image_13").shape, landmarks))
        raise InterruptedError

    for name in ("sface", "pixels"):
        study = Study(
            *(people, people.metadata, {name: {"last": None}}, lambda name: None),
            *(networks.shown, networks.placed),
            **{"budget": "1GB", "seed": 0},
        )
        with pytest.raises(InterruptedError):
            Occlusion(analysis="occlusion", landmarks=tmp_path / "points.npz")._drawn(study, ask)
    (cut, moved), (whole, same) = seen
    assert cut == (112, 112, 3)
    assert whole == people.image("image_13").shape
    for name, points in marks.items():
        np.testing.assert_allclose(moved[name], ARCFACE, atol=6)
        np.testing.assert_array_equal(same[name], points)
