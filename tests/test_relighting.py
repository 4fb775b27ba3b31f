"""Faces in other light: against Lambert's law on a relief that is known."""

import numpy as np
import pytest

from rsa_faces import InputError
from rsa_faces.stimuli import StimulusSet, turning
from rsa_faces.stimuli.degradations import to_linear
from rsa_faces.stimuli.relighting import relight_faces, relit

POINTS = 60 + 25 * turning._mean_head()[0]


def test_a_roof_is_lit_by_lamberts_law(monkeypatch):
    slope, ambient, azimuth = 0.7, 0.2, np.radians(40)

    def roof(mesh, points):
        return -slope * abs(mesh[:, 0] - 60), np.zeros(68), np.ones(len(mesh))

    monkeypatch.setattr(turning, "_sheet", roof)
    image = np.full((121, 121, 3), 110, np.uint8)
    light = to_linear(relit(image, POINTS, 40, 0, ambient))
    length = np.sqrt(1 + slope**2)
    sides = [
        ambient
        + (1 - ambient) * max(0, (np.cos(azimuth) + sign * slope * np.sin(azimuth)) / length)
        for sign in (-1, 1)
    ]
    assert light[60, 90].mean() / light[60, 30].mean() == pytest.approx(
        sides[1] / sides[0], rel=0.03
    )
    assert light[:, [30, 90]].mean() == pytest.approx(to_linear(110), rel=0.03)
    above = relit(image, POINTS, 0, 50, ambient)  # no slope up or down: the mean is kept
    assert np.ptp(above[:, 30].astype(int)) <= 1


def test_light_comes_from_the_side_that_is_asked_for():
    image = np.random.default_rng(0).integers(60, 190, (130, 120, 3), dtype=np.uint8)
    faces = StimulusSet.from_arrays(image[None], ["simulated"])
    for same in (
        relight_faces(faces, POINTS[None], 0),
        relight_faces(faces, POINTS[None], 60, ambient=1),
    ):
        assert abs(same.image("simulated").astype(int) - image).max() <= 1
    change = {
        name: to_linear(relit(image, POINTS, *angles, 0.3)).mean(axis=2)
        / to_linear(image).mean(axis=2)
        for name, angles in (("right", (50, 0)), ("left", (-50, 0)), ("above", (0, 50)))
    }
    cheeks = [
        tuple(np.rint(POINTS[[a, b]].mean(axis=0)).astype(int)) for a, b in ((3, 31), (13, 35))
    ]
    (lx, ly), (rx, ry) = cheeks
    assert change["right"][ry, rx] > 1.1 > 0.9 > change["right"][ly, lx]
    assert change["left"][ly, lx] > 1.1 > 0.9 > change["left"][ry, rx]
    nose, chin = (np.rint(p).astype(int) for p in (POINTS[29], POINTS[8]))
    assert change["above"][nose[1], nose[0]] > change["above"][chin[1], chin[0]] + 0.1
    assert change["right"][:, 0] == pytest.approx(1, abs=0.03)
    lit = relight_faces(faces, POINTS[None], 50)
    assert lit.metadata["light_azimuth"].tolist() == [50.0]
    with pytest.raises(InputError, match="at most 80 degrees aside, got azimuth 95"):
        relight_faces(faces, POINTS[None], 95)
    unknown = np.stack([POINTS, np.full_like(POINTS, np.nan)])
    two = StimulusSet.from_arrays([faces.image(faces.ids[0])] * 2, ["seen", "unseen"])
    with pytest.raises(InputError, match="1 of 2 images have NaN or infinity: 'unseen'"):
        relight_faces(two, unknown, 5)
    with pytest.raises(InputError, match="ambient from 0 to 1, got 2"):
        relight_faces(faces, POINTS[None], 5, ambient=2)
    with pytest.raises(InputError, match=r"landmarks of shape \(1, 68, 2\)"):
        relight_faces(faces, POINTS, 5)
    with pytest.raises(InputError, match=f"landmarks of '{faces.ids[0]}' inside the image, but"):
        relight_faces(faces, POINTS[None] + 900, 5)
