"""Faces turned in space: against geometry that is known, and against rendered views."""

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces.stimuli import turning
from rsa_faces.stimuli.turning import random_turns, turn_faces

SIZE = 120


def dots(*places):
    """An image with white dots, blurred a little."""
    y, x = np.mgrid[:SIZE, :SIZE]
    image = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8.0) for a, b in places)
    return np.repeat(np.clip(255 * image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def centre(image, near, reach=12):
    """Return where the light near a place has its middle."""
    y, x = np.mgrid[:SIZE, :SIZE]
    light = image[..., 0].astype(float) * (np.hypot(x - near[0], y - near[1]) < reach)
    return (light * x).sum() / light.sum(), (light * y).sum() / light.sum()


@pytest.fixture
def head(monkeypatch):
    """Make the average head a plate with a ridge of depth 1 down its middle."""
    known, _, _ = turning._mean_head()

    def make(ridge):
        depth = np.zeros((64, 64), np.float32)
        depth[:, 29:35] = ridge
        monkeypatch.setattr(turning, "_mean_head", lambda: (known, depth, 3.0))
        # Landmarks in the image: 20 pixels to a unit, the middle of the face at (60, 60).
        return 20 * (known - known.mean(axis=0)) + 60

    return make


def test_no_turn_changes_nothing(head):
    points = head(1.0)
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    same = turning.turned(image, points, 0.0, 0.0)
    assert np.abs(same.astype(int) - image).max() <= 1


@pytest.mark.parametrize("angle", [-40, -20, 20, 40])
def test_a_plate_gets_narrower_by_the_cosine(head, angle):
    points = head(0.0)
    made = turning.turned(dots((36, 60), (84, 40)), points, angle, 0.0)
    c = np.cos(np.radians(angle))
    assert centre(made, (60 - 24 * c, 60)) == pytest.approx((60 - 24 * c, 60), abs=0.3)
    assert centre(made, (60 + 24 * c, 40)) == pytest.approx((60 + 24 * c, 40), abs=0.3)
    made = turning.turned(dots((60, 30)), points, 0.0, angle)
    assert centre(made, (60, 60 - 30 * c)) == pytest.approx((60, 60 - 30 * c), abs=0.3)


@pytest.mark.parametrize("angle", [-25, 25])
def test_what_stands_out_moves_to_the_side_the_head_turns_to(head, angle):
    points = head(1.0)  # the middle stands out by 20 pixels
    known = turning._mean_head()[0]
    nose = (60 - 20 * known[:, 0].mean(), 60)
    side = (nose[0] + 24, 60)
    image = dots(nose, side)
    made = turning.turned(image, points, angle, 0.0)
    # What stands out by d moves by d sin(angle) more than what does not; all else is one plane.
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    at = np.maximum(turning._depth_at(known, *turning._mean_head()[1:]), turning._BACK) * 20
    middle = np.mean(c * points[:, 0] + s * at) - points[:, 0].mean()
    expected = [
        c * nose[0] + s * 20 - middle,
        c * side[0] + s * 20 * turning._BACK - middle,
    ]
    assert centre(made, (expected[0], 60), 8)[0] == pytest.approx(expected[0], abs=0.7)
    assert centre(made, (expected[1], 60), 8)[0] == pytest.approx(expected[1], abs=0.7)


def test_background_stays_and_the_outline_is_this_face_s(head):
    points = head(1.0)
    corner = (6, 6)
    made = turning.turned(dots(corner), points, 40, 0.0)
    assert centre(made, corner, 6) == pytest.approx(corner, abs=0.1)
    # A nose far from where the average one is: there the sheet has the depth of the nose.
    moved = points.copy()
    moved[27:36] += [14, 0]
    depth = turning._sheet(moved[[30]], moved)[0] / turning._sheet(points[[30]], points)[0]
    assert depth > 0.9


def test_what_is_made_up_is_measured_and_said():
    known = turning._mean_head()[0]
    points = 20 * (known - known.mean(axis=0)) + 60
    stimuli = rf.StimulusSet.from_arrays([dots((60, 60))] * 2, ["a", "b"])
    near = turn_faces(stimuli, [points] * 2, 15).metadata["stretched"]
    with pytest.warns(UserWarning, match=r"2 of 2 faces are turned by more than 30 degrees: "):
        far = turn_faces(stimuli, [points] * 2, 50).metadata["stretched"]
    assert 0 <= near.max() < 0.1 < far.min() < 1


def test_up_is_up(head):
    points = head(0.0)
    up = turning._rotated(np.array([[0.0, 0.0]]), np.array([1.0]), 0.0, 30.0)
    assert up[0] == pytest.approx([0, -0.5, np.cos(np.pi / 6)])  # the nose goes up: y falls
    assert points.shape == (68, 2)


@pytest.mark.slow
def test_simulated_faces_are_turned_as_they_are_rendered():
    from rsa_faces.analyses import measure_landmarks
    from rsa_faces.networks import detect_landmarks

    data = rf.datasets.simulated_faces().stimuli
    kept = [i for i in data.ids if "_neutral_" in i][: 3 * 6]
    faces = data.subset(kept)
    crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")

    def yaw_of(stimuli):
        points = detect_landmarks(stimuli, device="cpu")
        table = measure_landmarks(points, conditions=stimuli.ids, template="ibug-68")
        return table["yaw"].to_numpy(), points

    yaw, points = yaw_of(crops)
    shown = crops.metadata["yaw"].to_numpy()
    front = crops.subset([i for i in crops.ids if "_yaw+0_" in i])
    asked = points[shown == 0]
    rendered = yaw[shown == 30].mean() - yaw[shown == 0].mean()
    for angle, sign in ((30, 1), (-30, -1)):
        made = turn_faces(front, asked, angle)
        change = sign * (yaw_of(made)[0].mean() - yaw[shown == 0].mean())
        assert 0.6 * rendered < change < 1.5 * rendered
    assert (made.metadata["turned_yaw"] == -30).all()
    assert list(made.metadata["identity"]) == list(front.metadata["identity"])
    many = random_turns(front.subset(front.ids[:2]), asked[:2], 3, seed=1)
    assert many.ids[0] == f"{front.ids[0]} turn 1"
    assert len(many) == 6
    assert many.metadata["turned_yaw"].abs().max() <= 30
    assert many.hash == random_turns(front.subset(front.ids[:2]), asked[:2], 3, seed=1).hash
    assert many.hash != random_turns(front.subset(front.ids[:2]), asked[:2], 3, seed=2).hash


def test_what_is_refused():
    stimuli = rf.StimulusSet.from_arrays([dots((60, 60))], ["a"])
    points = np.zeros((1, 68, 2))
    with pytest.raises(rf.InputError, match=r"shape \(1, 68, 2\), from detect_landmarks, got"):
        turn_faces(stimuli, points[:, :5], 10)
    with pytest.raises(rf.InputError, match="at most 60 degrees, got 75"):
        turn_faces(stimuli, points, 75)
    with pytest.raises(rf.InputError, match="n_turns"):
        random_turns(stimuli, points, 0)
    away = [20 * turning._mean_head()[0] + 5000]
    with pytest.raises(rf.InputError, match="landmarks of 'a' inside the image, but the head"):
        turn_faces(stimuli, away, 10)
