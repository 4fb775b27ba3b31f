"""Landmarks of images that show no face: they are found all the same, and that is said."""

import warnings

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces.networks import detect_landmarks
from rsa_faces.networks.landmarks import _MIRRORED
from rsa_faces.networks.training import LabelledFaces, find_landmarks


@pytest.fixture(scope="module")
def crops():
    faces = rf.datasets.simulated_faces().stimuli.query("expression in ('happy', 'neutral')")
    faces = faces.subset(faces.ids[::9])
    return rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")


def test_cut_out_faces_are_not_doubted_from_any_side(crops):
    with warnings.catch_warnings(action="error"):
        points = detect_landmarks(crops, device="cpu")
    # Each point is about where its partner is in the mirrored image.
    across = points[..., 0].mean(axis=1)[:, None] * 2 - points[..., 0][:, _MIRRORED]
    width = np.ptp(points[..., 0], axis=1)[:, None]
    assert (np.abs(across - points[..., 0]) < 0.3 * width).all()
    assert sorted(_MIRRORED) == list(range(68))
    assert (_MIRRORED[_MIRRORED] == np.arange(68)).all()


def test_images_without_a_face_are_named(crops):
    objects = rf.datasets.images92().stimuli.query("not face")
    some = objects.subset(objects.ids[:5])
    images = [crops.image(crops.ids[0]), *(some.image(name) for name in some.ids)]
    ids = ["a face", *some.ids]
    with pytest.warns(UserWarning, match="not to be relied on in 5 of 6 images") as caught:
        detect_landmarks(rf.StimulusSet.from_arrays(images, ids), device="cpu")
    assert repr(some.ids[0]) in str(caught[0].message)
    assert "'a face'" not in str(caught[0].message)
    faces = LabelledFaces(images, ids, np.arange(6) % 2, ["Ann", "Bo"])
    with pytest.warns(UserWarning, match="not to be relied on in 5 of 6 images"):
        find_landmarks(faces, device="cpu")
