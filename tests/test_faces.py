"""Finding faces and cutting them out: on the faces of the 92 images, by laws, by hand."""

import logging
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces._core.files import sha256_file
from rsa_faces.datasets import images92, simulated_faces
from rsa_faces.stimuli import StimulusSet, load_stimuli
from rsa_faces.stimuli import crops as cuts
from rsa_faces.stimuli import faces as module
from rsa_faces.stimuli.alignment import warp
from rsa_faces.stimuli.crops import ARCFACE, DLIB, crop_faces, crop_landmarks, find_to_cut
from rsa_faces.stimuli.faces import POINTS, FaceTable, detect_faces

LONDON = Path(__file__).parents[2] / "shared" / "data" / "london"
ONE = "image_13"


@pytest.fixture(scope="module")
def people():
    return images92().stimuli.query("face and human")


@pytest.fixture(scope="module")
def found(people):
    return detect_faces(people)


def in_memory(**images):
    return StimulusSet.from_arrays(list(images.values()), list(images))


def made(stimuli, points, box=(10.0, 20.0, 30.0, 40.0), **columns):
    """Return a table that says a face with these points is in each image."""
    named = {
        f"{n}_{axis}": points[k, a] for k, n in enumerate(POINTS) for a, axis in enumerate("xy")
    }
    row = {"found": True, "reason": "", "n_faces": 1, "score": 0.9, **named}
    row |= dict(zip(("x", "y", "width", "height"), box, strict=True)) | columns
    table = pd.DataFrame([row] * len(stimuli), index=pd.Index(stimuli.ids, name="id"))
    return FaceTable(table.assign(sha256=list(stimuli.sha256)), 0.6, 20, "largest")


def moved(points, angle, scale, shift):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + shift


# --- detection --------------------------------------------------------------------------------


def test_every_face_of_a_person_is_found(people, found):
    table = found.table
    assert found.missing == ()
    assert list(table.index) == list(people.ids)
    assert (table["n_faces"] == 1).all()
    assert table["score"].between(0.85, 1).all()
    assert (table["reason"] == "").all()
    assert list(table["sha256"]) == list(people.sha256)
    points = found.points
    assert points.shape == (12, 5, 2)
    eyes, nose, mouth = points[:, :2], points[:, 2], points[:, 3:]
    assert (eyes[:, 0, 0] < eyes[:, 1, 0]).all()
    assert (mouth[:, 0, 0] < mouth[:, 1, 0]).all()
    assert (eyes[..., 1].max(1) < nose[:, 1]).all()
    assert (nose[:, 1] < mouth[..., 1].min(1)).all()
    np.testing.assert_allclose(table["eye_distance"], np.hypot(*(eyes[:, 1] - eyes[:, 0]).T))
    corner = table[["x", "y"]].to_numpy()
    inside = (points > corner[:, None]) & (
        points < (corner + table[["width", "height"]].to_numpy())[:, None]
    )
    assert inside.all()


def test_the_one_head_turned_away_has_the_largest_yaw(found):
    assert found.table["yaw"].abs().idxmax() == "image_15"
    assert found.table.at["image_15", "yaw"] > 20
    assert found.table["yaw"].drop("image_15").abs().max() < 15


def test_what_shows_no_face_keeps_its_row_and_says_why(caplog):
    every = images92().stimuli
    others = every.subset(["image_01", "image_02", "image_60", "image_81", "image_90"])
    with caplog.at_level(logging.WARNING):
        found = detect_faces(others)
    assert found.missing == others.ids
    assert repr(found) == "FaceTable(0 of 5 with a face)"
    assert "no face found in 5 of 5 images: 'image_01'" in caplog.text
    table = found.table
    assert (table["n_faces"] == 0).all()
    assert np.isnan(found.points).all()
    assert table[["x", "width", "roll", "sharpness"]].isna().all(axis=None)
    assert table.at["image_01", "reason"] == "no face"
    assert table.at["image_02", "reason"].endswith("below 0.6")
    assert table["score"].between(0, 1).all()
    # A pattern of about 15 px: tall enough only for who asks for it.
    assert re.fullmatch(r"face of 1\d px, below 20", table.at["image_81", "reason"])
    assert detect_faces(others.subset(["image_81"]), min_size=10).missing == ()
    low = detect_faces(others.subset(["image_02"]), min_score=0.1)
    assert low.table["found"].all()


def test_same_images_same_numbers(people, found):
    again = detect_faces(people.subset([ONE]), progress=False)
    pd.testing.assert_frame_equal(again.table, found.table.loc[[ONE]])


def test_points_move_grow_mirror_and_turn_with_the_image(people, found):
    image = people.image(ONE)
    height, width = image.shape[:2]
    points, eyes = found.points[0], found.table.at[ONE, "eye_distance"]
    larger = np.full((400, 500, 3), 128, np.uint8)
    larger[90 : 90 + height, 210 : 210 + width] = image
    double = np.asarray(Image.fromarray(image).resize((2 * width, 2 * height)))
    turned = Image.fromarray(image).rotate(-30, Image.Resampling.BICUBIC, fillcolor=(128,) * 3)
    changed = in_memory(
        a=larger, b=double, c=np.ascontiguousarray(image[:, ::-1]), d=np.asarray(turned)
    )
    result = detect_faces(changed)
    # The detector's own grain is 1 to 2 % of the eyes' distance.
    tolerance = 0.05 * eyes
    np.testing.assert_allclose(result.points[0], points + [210, 90], atol=tolerance)
    np.testing.assert_allclose((result.points[1] - 0.5) / 2, points, atol=tolerance)
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1] + [width - 1, 0]
    np.testing.assert_allclose(result.points[2], mirrored, atol=tolerance)
    middle = (np.array([width, height]) - 1) / 2
    expected = moved(points - middle, np.radians(30), 1, middle)
    np.testing.assert_allclose(result.points[3], expected, atol=0.08 * eyes)
    roll = found.table.at[ONE, "roll"]
    np.testing.assert_allclose(result.table["roll"], [roll, roll, -roll, roll + 30], atol=3)
    yaw = found.table.at[ONE, "yaw"]
    np.testing.assert_allclose(result.table["yaw"], [yaw, yaw, -yaw, yaw], atol=6)


def test_quality_follows_the_picture(people, found):
    image = people.image(ONE)
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(3)))
    cut = image[:, 60:]
    small = np.asarray(Image.fromarray(image).resize((60, 60)))
    table = detect_faces(in_memory(blur=blurred, cut=cut, dark=image // 2, small=small)).table
    whole = found.table.loc[ONE]
    assert table.at["blur", "sharpness"] < 0.2 * whole["sharpness"]
    assert table.at["small", "sharpness"] < 0.5 * whole["sharpness"]
    assert table.at["dark", "brightness"] == pytest.approx(whole["brightness"] / 2, rel=0.03)
    assert whole["inside"] == pytest.approx(1)
    assert table.at["cut", "inside"] < 0.9


def test_several_faces_are_chosen_by_rule_or_refused(people, caplog):
    large, small = people.image(ONE), people.image("image_17")
    scene = np.full((200, 500, 3), 128, np.uint8)
    scene[10:185, 10:185] = large
    scene[60:150, 230:320] = np.asarray(Image.fromarray(small).resize((90, 90)))
    two = in_memory(scene=scene)
    with caplog.at_level(logging.WARNING):
        largest = detect_faces(two).table.loc["scene"]
    assert "1 of 1 images show several faces; the largest is taken: 'scene'" in caplog.text
    central = detect_faces(two, several="central").table.loc["scene"]
    assert largest["n_faces"] == central["n_faces"] == 2
    assert 10 < largest["nose_x"] < 185
    assert 230 < central["nose_x"] < 320
    with pytest.raises(InputError, match="1 of 1 show more: 'scene'.*several='largest'"):
        detect_faces(two, several="refuse")


def test_overlap_and_distinct_faces():
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 10, 20])
    found = module._overlap(a, np.array([a, b, a + [10, 0, 0, 0]]))
    np.testing.assert_allclose(found, [1, 50 / (100 + 200 - 50), 0])
    faces = np.zeros((4, 15))
    faces[:, 0] = 0.5, 0.9, 0.7, 0.6
    faces[:, 1:5] = [[0, 0, 10, 10], [1, 1, 10, 10], [40, 0, 10, 10], [47, 0, 10, 10]]
    kept = module._distinct(faces)
    assert list(kept[:, 0]) == [0.9, 0.7, 0.6]
    assert module._distinct(np.empty((0, 15))).shape == (0, 15)


def test_roll_and_yaw_of_known_points():
    points = np.array([[-50.0, 0], [50, 0], [0, 40], [-30, 70], [30, 70]])
    points[2, 0] = 100 * 0.5 * np.tan(np.radians(25))
    image = np.zeros((300, 300, 3), np.uint8)
    for angle in (-30, 0, 45):
        here = moved(points, np.radians(angle), 0.7, [150, 120])
        face = np.array([0.9, 100, 100, 80, 90, *here.ravel()])
        row = dict(zip(module.MEASURES, module._measure(image, face), strict=True))
        assert row["roll"] == pytest.approx(angle)
        assert row["yaw"] == pytest.approx(25)
        assert row["eye_distance"] == pytest.approx(70)
        assert (row["inside"], row["brightness"], row["sharpness"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"min_score": 0}, "min_score above 0 and at most 1, got 0"),
        ({"min_score": 1.2}, "got 1.2"),
        ({"min_score": float("nan")}, "got nan"),
        ({"min_size": 0}, "min_size .* got 0"),
        ({"several": "bigest"}, "several faces 'bigest'"),
    ],
)
def test_impossible_options_of_detection_are_refused(people, options, match):
    with pytest.raises(InputError, match=match):
        detect_faces(people, **options)


def test_importing_loads_neither_opencv_nor_torch():
    code = "import sys, rsa_faces.stimuli.faces; print(sorted({'cv2', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_model_has_its_licence_beside_it():
    licence = module.MODEL.with_suffix(".LICENSE.txt").read_text(encoding="utf-8")
    assert "MIT License" in licence
    assert sha256_file(module.MODEL) in licence


# --- crops ------------------------------------------------------------------------------------


def test_points_on_the_template_give_the_image_itself():
    image = np.random.default_rng(0).integers(1, 256, (112, 112, 3), dtype=np.uint8)
    stimuli = in_memory(a=image)
    crops = crop_faces(stimuli, made(stimuli, ARCFACE))
    # One grey level: the interpolation cuts fractions off.
    np.testing.assert_allclose(crops.image("a").astype(int), image, atol=1)
    image = np.random.default_rng(0).integers(1, 256, (150, 150, 3), dtype=np.uint8)
    stimuli = in_memory(a=image)
    chips = crop_faces(stimuli, made(stimuli, (DLIB + 0.25) / 1.5 * 150 - 0.5), template="dlib")
    np.testing.assert_allclose(chips.image("a").astype(int), image, atol=1)


@pytest.mark.parametrize("template", ["arcface", "dlib"])
def test_transform_is_of_least_squares(template):
    rng = np.random.default_rng(0)
    for size in (64, 112, 150):
        points = moved(ARCFACE, 0.3, 1.7, [50.0, -20.0]) + rng.normal(0, 4, (5, 2))
        if template == "arcface":
            target = (ARCFACE + 0.5) * size / 112 - 0.5
            source, aim = points, target
        else:
            target = (DLIB + 0.25) / 1.5 * size - 0.5
            source, aim = target, points
        design = np.zeros((10, 4))
        design[0::2] = np.c_[source[:, 0], -source[:, 1], np.ones(5), np.zeros(5)]
        design[1::2] = np.c_[source[:, 1], source[:, 0], np.zeros(5), np.ones(5)]
        a, b, x, y = np.linalg.lstsq(design, aim.ravel(), rcond=None)[0]
        expected = np.array([[a, -b, x], [b, a, y], [0, 0, 1]])
        if template == "dlib":
            expected = np.linalg.inv(expected)
        found = cuts._points_transform(points, template, size)
        np.testing.assert_allclose(found, expected[:2], atol=1e-9)


def test_arcface_crop_is_opencvs(people, found):
    # What FaceRecognizerSF.alignCrop does: Umeyama's transform, then warpAffine.
    import cv2

    crops = crop_faces(people, found)
    for k, name in enumerate(people.ids[:4]):
        source, target = found.points[k], ARCFACE
        a, b = source - source.mean(0), target - target.mean(0)
        u, s, vt = np.linalg.svd(b.T @ a / 5)
        turn = u @ np.diag([1, np.sign(np.linalg.det(u @ vt))]) @ vt
        turn = turn * s.sum() / a.var(axis=0).sum()
        matrix = np.c_[turn, target.mean(0) - turn @ source.mean(0)]
        expected = cv2.warpAffine(people.image(name), matrix, (112, 112))
        # OpenCV interpolates in steps of 1/32 pixel.
        assert np.abs(crops.image(name).astype(float) - expected).mean() < 1
        assert np.abs(np.roll(crops.image(name), 1, axis=1).astype(float) - expected).mean() > 3


def test_dlib_template_is_that_of_the_mean_face():
    assert DLIB.shape == (5, 2)
    np.testing.assert_allclose(DLIB[:2].mean(0)[0], 0.4901, atol=1e-3)
    np.testing.assert_allclose(
        DLIB[2:], [[0.490127, 0.515625], [0.254149, 0.780233], [0.726104, 0.780233]]
    )


@pytest.mark.parametrize("template", ["arcface", "dlib"])
def test_a_margin_shows_more_about_the_middle_of_a_template(template):
    points = np.random.default_rng(0).uniform(0, 200, (5, 2))
    row = made(in_memory(a=np.zeros((9, 9, 3), np.uint8)), points).table.iloc[0]
    plain, wide = (cuts.cut_of(row, "a", template, 101, margin) for margin in (0.0, 0.6))
    for place in ([0, 0], [150, 80]):
        near, far = plain @ [*place, 1] - 50, wide @ [*place, 1] - 50
        np.testing.assert_allclose(1.6 * far, near, atol=1e-9)


def test_box_is_square_centred_and_wider_by_the_margin():
    image = np.random.default_rng(0).integers(1, 256, (90, 90, 3), dtype=np.uint8)
    stimuli = in_memory(a=image)
    faces = made(stimuli, ARCFACE, box=(24.5, 14.5, 30.0, 40.0))
    crops = crop_faces(stimuli, faces, template="box", margin=0.5, size=60)
    # Centre at 39.5, 34.5; side 60.
    np.testing.assert_array_equal(crops.image("a"), image[5:65, 10:70])
    tight = crop_faces(stimuli, faces, template="box", margin=0, size=40)
    np.testing.assert_array_equal(tight.image("a"), image[15:55, 20:60])
    assert crop_faces(stimuli, faces, template="box").image("a").shape == (256, 256, 3)


def test_crops_keep_ids_and_metadata_and_may_be_of_a_part(people, found):
    part = people.query("id in ['image_20', 'image_14']")
    crops = crop_faces(part, found, size=80)
    assert crops.ids == ("image_14", "image_20")
    pd.testing.assert_frame_equal(crops.metadata, part.metadata)
    transform = cuts._points_transform(found.points[1], "arcface", 80)
    expected = warp(people.image("image_14"), transform, 80)
    np.testing.assert_array_equal(crops.image("image_14"), expected)


@pytest.mark.parametrize(
    "options",
    [{}, {"size": 80, "margin": 0.2}, {"template": "dlib"}, {"template": "box", "margin": 0.1}],
)
def test_landmarks_lie_in_crops_where_they_lay_in_images(people, found, options):
    one = people.subset([ONE])
    place = found.points[list(found.table.index).index(ONE)].round()[2]  # the nose
    image = np.zeros_like(one.image(ONE))
    image[int(place[1]), int(place[0])] = 255
    marked = StimulusSet.from_arrays([image], [ONE])
    table = found.table.loc[[ONE]].assign(sha256=list(marked.sha256))
    faces = FaceTable(table, 0.6, 20, "largest")
    light = crop_faces(marked, faces, **options).image(ONE).sum(axis=2).astype(float)
    seen = [(light.sum(axis=k) @ np.arange(len(light))) / light.sum() for k in (0, 1)]
    (moved,) = crop_landmarks({ONE: [place]}, faces, **options)[ONE]
    np.testing.assert_allclose(moved, seen, atol=0.6)
    with pytest.raises(InputError, match="1 of 1 have none: 'other'"):
        crop_landmarks({"other": [place]}, faces)


def test_stimuli_without_a_face_are_refused_or_left_out(caplog):
    every = images92().stimuli
    mixed = every.subset([ONE, *(f"image_{i:02d}" for i in (50, 51, 52, 53, 54, 55, 56))])
    faces = detect_faces(mixed)
    with pytest.raises(InputError, match="none was found in 7 of 8: 'image_50', .* and 2 more"):
        crop_faces(mixed, faces)
    with caplog.at_level(logging.WARNING):
        crops = crop_faces(mixed, faces, missing="leave-out")
    assert crops.ids == (ONE,)
    assert "left out, because no face was found, are 7 of 8 images: 'image_50'" in caplog.text
    none = mixed.subset(["image_50", "image_51"])
    with pytest.raises(InputError, match="at least one of 2 images, found none"):
        crop_faces(none, faces, missing="leave-out")


def test_faces_must_be_of_these_images(people, found):
    with pytest.raises(InputError, match="1 have none: 'image_01'"):
        crop_faces(images92().stimuli.subset([ONE, "image_01"]), found)
    other = in_memory(**{ONE: people.image("image_14")})
    with pytest.raises(InputError, match=f"1 of 1 are others: '{ONE}'"):
        crop_faces(other, found)
    broken = FaceTable(found.table.assign(nose_x=np.nan), 0.6, 20, "largest")
    with pytest.raises(InputError, match=f"five points of '{ONE}'"):
        crop_faces(people, broken)
    same = in_memory(a=np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match="face of 'a': .*at no size above 0"):
        crop_faces(same, made(same, np.ones((5, 2))))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"template": "arcfase"}, "template 'arcfase'. Did you mean 'arcface'"),
        ({"size": 1}, "size .* got 1"),
        ({"margin": -0.5}, "margin above -0.5 and up to 10, got -0.5"),
        ({"margin": np.nan}, "margin above -0.5 and up to 10, got nan"),
        ({"missing": "skip"}, "without a face 'skip'"),
    ],
)
def test_impossible_options_of_crops_are_refused(people, found, options, match):
    with pytest.raises(InputError, match=match):
        crop_faces(people, found, **options)


# --- London -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not LONDON.exists(), reason="the London faces are not here")
def test_london_faces_are_found_and_pupils_are_where_people_put_them():
    stimuli = load_stimuli(LONDON / "images", manifest=LONDON / "images.csv")
    stored = np.load(LONDON / "landmarks.npz")
    files = [str(file).removesuffix(".jpg") for file in stored["files"][::2]]
    people = {file.split("_")[0] for file in files}
    stimuli = stimuli.subset([name for name in stimuli.ids if name.split("_")[0] in people])
    faces = detect_faces(stimuli)
    assert faces.missing == ()
    assert (faces.table["n_faces"] == 1).all()
    assert faces.table["yaw"].abs().max() < 12
    assert faces.table["roll"].abs().max() < 8
    pupils = stored["points"][::2, :2]
    rows = [stimuli.ids.index(file) for file in files]
    error = np.linalg.norm(faces.points[rows, :2] - pupils, axis=-1).mean(axis=1)
    error /= np.linalg.norm(pupils[:, 0] - pupils[:, 1], axis=-1)
    assert error.mean() < 0.04
    assert error.max() < 0.12
    across = pupils[:, 1] - pupils[:, 0]
    tilt = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    roll = faces.table["roll"].to_numpy()[rows]
    assert np.corrcoef(tilt, roll)[0, 1] > 0.8
    assert np.abs(tilt - roll).mean() < 1.2


def turned_about(image, angle):
    """Turn a picture clockwise on a canvas of its border's colour; return it and its way back."""
    height, width = image.shape[:2]
    side = int(np.ceil(np.hypot(height, width)))
    colour = tuple(int(v) for v in np.concatenate([image[0], image[-1]]).mean(axis=0))
    canvas = Image.new("RGB", (side, side), colour)
    x, y = (side - width) // 2, (side - height) // 2
    canvas.paste(Image.fromarray(image), (x, y))
    canvas = canvas.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=colour)
    middle, t = (side - 1) / 2, np.radians(angle)
    back = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    return np.asarray(canvas), lambda points: (points - middle) @ back + middle - [x, y]


@pytest.mark.parametrize("name", ["simulated01_happy_yaw+0_front", "simulated14_sad_yaw+30_front"])
def test_faces_turned_far_are_found_upright_or_called_doubtful(name):
    image = simulated_faces().stimuli.image(name)
    angles = (0, 60, 90, 120, 180, 270)
    pictures = [turned_about(image, angle) for angle in angles]
    names = [f"{angle:03d}" for angle in angles]
    found = detect_faces(StimulusSet.from_arrays([p for p, _ in pictures], names), progress=False)
    upright = pictures[0][1](found.points[0])
    eyes = np.hypot(*(upright[1] - upright[0]))
    level = found.table["roll"].iloc[0]
    assert found.table["found"].sum() >= 5
    for i, (angle, (_, back)) in enumerate(zip(angles, pictures, strict=True)):
        row = found.table.iloc[i]
        if not row["found"]:
            assert "doubtful" in row["reason"]
            assert np.isnan(found.points[i]).all()
            continue
        assert abs((row["roll"] - level - angle + 180) % 360 - 180) < 5
        assert np.hypot(*(back(found.points[i]) - upright).T).max() < 0.12 * eyes


def test_what_is_known_to_be_cut_out_is_remembered():
    faces = rf.datasets.simulated_faces().stimuli
    faces = faces.subset(faces.ids[:3])
    assert not faces.cropped
    crops = rf.crop_faces(faces, rf.detect_faces(faces))
    assert crops.cropped
    assert crops.subset(crops.ids[:2]).cropped
    assert pickle.loads(pickle.dumps(crops)).cropped


def test_a_network_of_cut_out_faces_warns_of_whole_images_once():
    faces = rf.datasets.simulated_faces().stimuli
    faces = faces.subset(faces.ids[:3])
    network = rf.load_network("mini-xception", device="cpu")
    assert network.spec.crop
    for door in (rf.extract, rf.layer_rdms):
        with pytest.warns(UserWarning, match="mini-xception was trained on faces cut out") as seen:
            door(network, faces, layers=network.layers()[-1:], progress=False)
        assert len([w for w in seen if "cut out" in str(w.message)]) == 1
        crops = rf.crop_faces(faces, rf.detect_faces(faces), **network.spec.crop_options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            door(network, crops, layers=network.layers()[-1:], progress=False)


def test_the_rule_of_auto_cuts_portraits_only_and_only_once():
    faces = rf.datasets.simulated_faces().stimuli
    faces = faces.subset(faces.ids[:9])
    found, reason = find_to_cut(faces)
    assert reason == ""
    assert len(found) == 9
    crops = rf.crop_faces(faces, found)
    assert find_to_cut(crops)[1] == "they are marked as cut-out faces"
    unmarked = StimulusSet.from_arrays([crops.image(name) for name in crops.ids], crops.ids)
    assert "cut-out faces already" in find_to_cut(unmarked)[1]
    objects = rf.datasets.images92().stimuli
    found, reason = find_to_cut(objects)
    assert found is None
    assert "shows no face" in reason


def test_a_table_of_faces_is_saved_and_read(tmp_path):
    faces = rf.datasets.images92().stimuli.subset(["image_13", "image_60"])
    found = rf.detect_faces(faces)
    found.save(tmp_path / "faces.csv")
    again = FaceTable.load(tmp_path / "faces.csv")
    pd.testing.assert_frame_equal(again.table, found.table, check_dtype=False)
    assert (again.min_score, again.min_size, again.several) == (0.6, 20, "largest")
    (tmp_path / "other.csv").write_text("id,found\na,True\n")
    with pytest.raises(rf.InputError, match="expected"):
        FaceTable.load(tmp_path / "other.csv")
