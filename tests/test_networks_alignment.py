"""Face alignment: geometry against dlib's own chips and obvious cases."""

from pathlib import Path

import numpy as np
import pytest

from rsa_faces import InputError
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.alignment import (
    POINTS_68,
    TEMPLATE_5,
    TEMPLATE_68,
    align_faces,
    chip_transform,
    warp,
)

REFERENCE = Path(__file__).parent / "data" / "network_reference.npz"


def moved(points, angle, scale, shift):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + shift


def sixty_eight(rng):
    points = rng.uniform(0, 1, (68, 2))
    points[POINTS_68] = TEMPLATE_68
    return points


@pytest.mark.parametrize("n_points", [5, 68])
def test_chip_is_dlibs(n_points):
    with np.load(REFERENCE) as file:
        image, points, expected = (
            file[f"face chip, {n_points} points/{key}"] for key in ("images", "points", "output")
        )
    chip = warp(image[0], chip_transform(points, 150, 0.25), 150)
    # Both interpolate linearly; dlib rounds elsewhere.
    assert np.abs(chip - expected).mean() < 1
    assert np.abs(np.roll(chip, 1, axis=1) - expected).mean() > 2


def test_templates_agree():
    five = TEMPLATE_68[[list(POINTS_68).index(i) for i in (45, 42, 36, 39, 33)]]
    np.testing.assert_allclose(five, TEMPLATE_5, atol=0.004)


@pytest.mark.parametrize("n_points", [5, 68])
@pytest.mark.parametrize(("size", "padding"), [(150, 0.25), (112, 0.0), (64, 1.0)])
def test_moved_template_is_brought_back(n_points, size, padding):
    rng = np.random.default_rng(n_points)
    base = TEMPLATE_5 if n_points == 5 else sixty_eight(rng)
    image_points = moved(base, 0.4, 130.0, [300.0, -20.0])
    transform = chip_transform(image_points, size, padding)
    used = slice(None) if n_points == 5 else POINTS_68
    found = image_points[used] @ transform[:, :2].T + transform[:, 2]
    expected = (base[used] + padding) / (1 + 2 * padding) * size - 0.5
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_jaw_brows_and_lower_lip_do_not_matter():
    rng = np.random.default_rng(0)
    points = sixty_eight(rng) * 100
    other = points.copy()
    moving = [*range(27), *range(55, 60), *range(65, 68)]
    other[moving] += rng.normal(0, 9, (len(moving), 2))
    np.testing.assert_array_equal(chip_transform(points), chip_transform(other))
    for i in set(range(68)) - set(moving):
        other = points.copy()
        other[i] += 9
        assert not np.allclose(chip_transform(points), chip_transform(other))


def test_fit_is_least_squares_in_the_image():
    rng = np.random.default_rng(0)
    points = moved(TEMPLATE_5, 0.1, 100.0, [50.0, 60.0]) + rng.normal(0, 4, (5, 2))
    chip = (TEMPLATE_5 + 0.25) / 1.5 * 150 - 0.5
    design = np.zeros((10, 4))
    design[0::2] = np.c_[chip[:, 0], -chip[:, 1], np.ones(5), np.zeros(5)]
    design[1::2] = np.c_[chip[:, 1], chip[:, 0], np.zeros(5), np.ones(5)]
    a, b, x, y = np.linalg.lstsq(design, points.ravel(), rcond=None)[0]
    inverse = np.linalg.inv([[a, -b, x], [b, a, y], [0, 0, 1]])
    np.testing.assert_allclose(chip_transform(points), inverse[:2], atol=1e-9)


def test_warp_moves_by_whole_pixels_and_fills_black():
    image = np.random.default_rng(0).integers(1, 256, (12, 12, 3), dtype=np.uint8)
    out = warp(image, np.array([[1.0, 0, 3], [0, 1, -2]]), 12)
    np.testing.assert_array_equal(out[:10, 3:], image[2:, :9])
    assert out[:, :3].max() == 0
    assert out[10:].max() == 0


def test_warp_turns_about_pixel_centres():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    out = warp(image, np.array([[0.0, -1, 8], [1, 0, 0]]), 9)
    np.testing.assert_array_equal(out, np.rot90(image, -1))


def test_warp_averages_when_it_makes_much_smaller():
    image = np.zeros((80, 80, 3), np.uint8)
    image[::5] = 200
    out = warp(image, np.array([[0.1, 0, -0.45], [0, 0.1, -0.45]]), 8)
    assert (out == 40).all()


def test_align_faces_keeps_ids_and_metadata():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (90, 100, 3), dtype=np.uint8) for _ in range(3)]
    stimuli = StimulusSet.from_arrays(images, ["c", "a", "b"], {"smile": [1, 2, 3]})
    points = np.stack([TEMPLATE_5 * 40 + 20 + i for i in range(3)])
    chips = align_faces(stimuli, points, size=50, padding=0.1)
    assert chips.ids == stimuli.ids == ("a", "b", "c")
    assert list(chips.metadata["smile"]) == [2, 3, 1]
    expected = warp(stimuli.image("b"), chip_transform(points[1], 50, 0.1), 50)
    np.testing.assert_array_equal(chips.image("b"), expected)


@pytest.mark.parametrize(
    ("points", "match"),
    [
        (np.zeros((6, 2)), r"got \(6, 2\)"),
        (np.full((5, 2), np.nan), "some are NaN or infinite"),
        (np.ones((5, 2)), "at no size above 0"),
    ],
)
def test_impossible_landmarks_are_refused(points, match):
    with pytest.raises(InputError, match=match):
        chip_transform(points)
    stimuli = StimulusSet.from_arrays([np.zeros((9, 9, 3), np.uint8)], ["only"])
    with pytest.raises(InputError, match=f"landmarks of 'only': .*{match}"):
        align_faces(stimuli, points[None])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": 1}, "size .* got 1"),
        ({"size": 9.5}, "size .* got 9.5"),
        ({"padding": -0.1}, "padding .* got -0.1"),
        ({"padding": np.nan}, "padding .* got nan"),
    ],
)
def test_impossible_chips_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        chip_transform(TEMPLATE_5, **options)


def test_one_set_of_points_per_image():
    stimuli = StimulusSet.from_arrays([np.zeros((9, 9, 3), np.uint8)], ["only"])
    with pytest.raises(InputError, match=r"shape \(1, 5 or 68, 2\).* got \(2, 5, 2\)"):
        align_faces(stimuli, np.zeros((2, 5, 2)))
