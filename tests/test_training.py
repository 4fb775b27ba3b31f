"""Training: data, batches, objectives, the loop, verification; each against a loop."""

import importlib
import json
import math
import os
import re
import subprocess
import sys
from functools import partial, partialmethod
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve
from torch import nn

from rsa_faces import InputError, load_network
from rsa_faces._core.files import locked, sha256_file
from rsa_faces.networks import get_spec
from rsa_faces.networks._weights import fill, initialise, read_weights
from rsa_faces.networks.families.densenet import DenseNet
from rsa_faces.networks.families.siamese import SPECS, SiameseNet
from rsa_faces.networks.training import (
    Augmentation,
    LabelledFaces,
    Recipe,
    Turns,
    accuracy,
    all_pairs,
    area_under_roc,
    by_person,
    compute_outputs,
    draw_pairs,
    estimate_yaw,
    fit,
    pair_scores,
    pairwise,
    read_celeba,
    read_fer2013,
    read_pairs,
    read_people,
    roc,
    shuffled,
    tar_at_far,
    verification,
)
from rsa_faces.networks.training.objectives import (
    Classes,
    arcface_logits,
    cosface_logits,
    pair_loss,
    partial_loss,
    softmax_loss,
    start_head,
    triplet_loss,
    use_classes,
    use_dropout,
)
from rsa_faces.networks.training.poses import _poured
from rsa_faces.networks.training.verification import best_threshold
from rsa_faces.stimuli import StimulusSet, load_stimuli
from rsa_faces.stimuli.degradations import degrade
from rsa_faces.stimuli.turning import _depth_at, _mean_head, _rotated, turned

ROOT = Path(__file__).parents[1]
LONDON = ROOT.parent / "shared" / "data" / "london"
GREY48 = get_spec("densenet-fer2013").preprocessing
DENSENET = DenseNet.__init__
GREY105 = get_spec("siamese-lfw").preprocessing


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def noise_faces(n_people=4, n_each=4, side=12, seed=0):
    """Each person one random pattern, each image a little different."""
    rng = np.random.default_rng(seed)
    people = rng.integers(40, 216, (n_people, 1, side, side, 3))
    images = people + rng.integers(-40, 41, (n_people, n_each, side, side, 3))
    ids = [f"p{p}/{i}" for p in range(n_people) for i in range(n_each)]
    labels = np.repeat(np.arange(n_people), n_each)
    names = [f"p{p}" for p in range(n_people)]
    return LabelledFaces(images.reshape(-1, side, side, 3).astype(np.uint8), ids, labels, names)


class Tiny(nn.Module):
    """Grey 48 px to n outputs, by an average and one linear layer."""

    def __init__(self, n_out):
        super().__init__()
        self.pool = nn.AvgPool2d(8)
        self.drop = nn.Dropout(0.2)
        self.norm = nn.BatchNorm1d(36)
        self.fc = nn.Linear(36, n_out)

    def forward(self, x):
        return self.fc(self.norm(self.drop(self.pool(x).flatten(1))))


def tiny(n_out=4, seed=0):
    module = Tiny(n_out)
    initialise(module, seed)
    return module


# --- faces ------------------------------------------------------------------------------------


def write_images(folder, names, side=6):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((side, side, 3), i, np.uint8)).save(path)


def test_a_folder_per_person_is_read_as_lfw_vggface2_and_casia_have_it(tmp_path, caplog):
    names = ["Bo_Li/Bo_Li_0001.png", "Ann/Ann_0002.png", "Ann/Ann_0001.png", "n01/0001_01.png"]
    write_images(tmp_path, names)
    write_images(tmp_path, [".hidden/a.png", "Ann/.b.png", "loose.png"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "Ann" / "notes.txt").write_text("no image")
    faces = read_people(tmp_path)
    assert faces.names == ("Ann", "Bo_Li", "n01")
    assert faces.ids == tuple(sorted(names))
    assert faces.labels.tolist() == [0, 0, 1, 2]
    assert [int(faces.image(i)[0, 0, 0]) for i in range(4)] == [2, 1, 0, 3]
    assert read_people(tmp_path, leave_out=["Ann", "Nobody"]).names == ("Bo_Li", "n01")
    assert read_people(str(tmp_path), min_images=2).names == ("Ann",)
    assert "2 people" in caplog.text
    with pytest.raises(InputError, match="4 people, 3 with too few"):
        read_people(tmp_path, min_images=3)
    with pytest.raises(InputError, match="nowhere is none"):
        read_people(tmp_path / "nowhere")


def test_faces_are_kept_left_out_and_split_by_name():
    faces = noise_faces(5, 3)
    kept = faces.keep(["p3", "p1"])
    assert kept.names == ("p3", "p1")
    assert [kept.names[i] for i in kept.labels] == [name[:2] for name in kept.ids]
    assert all(
        (kept.image(i) == faces.image(faces.ids.index(n))).all() for i, n in enumerate(kept.ids)
    )
    assert faces.without(["p0", "Nobody"]).names == ("p1", "p2", "p3", "p4")
    for seed in range(5):
        train, held_out = faces.split(2, seed=seed)
        assert sorted(train.ids + held_out.ids) == sorted(faces.ids)
        assert not {*train.names} & {*held_out.names}
        assert len(held_out.names) == 2
        assert faces.split(2, seed=seed)[1].names == held_out.names
    assert len({faces.split(2, seed=seed)[1].names for seed in range(20)}) > 5
    with pytest.raises(InputError, match="no label 'p9'"):
        faces.keep(["p9"])
    with pytest.raises(InputError, match="at least one name"):
        faces.keep([])
    with pytest.raises(InputError, match="the 5 there are, got 5"):
        faces.split(5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"labels": [0, 1, 2]}, r"3 ids|shape \(3,\)"),
        ({"labels": [0, 2]}, "0 to 1, got 0 to 2"),
        ({"labels": [-1, 0]}, "got -1"),
        ({"labels": [0.0, 1.0]}, "float64"),
        ({"ids": ["a", "a"]}, "unique image names"),
        ({"names": ["x", "x"]}, "unique label names"),
        ({"images": []}, "0 images"),
    ],
)
def test_faces_that_do_not_fit_are_refused(change, match):
    fine = {
        "images": np.zeros((2, 4, 4, 3), np.uint8),
        "ids": ["a", "b"],
        "labels": [0, 1],
        "names": ["x", "y"],
    }
    LabelledFaces(**fine)
    with pytest.raises(InputError, match=match):
        LabelledFaces(**{**fine, **change})


def celeba(folder, n_people=3, n_each=4, size=(218, 178)):
    """Write the layout of CelebA: each person one random pattern of colours."""
    rng = np.random.default_rng(0)
    (folder / "img_align_celeba").mkdir(parents=True)
    patterns = rng.integers(0, 256, (n_people, 6, 5, 3), dtype=np.uint8)
    who, part = [], []
    for i in range(n_people * n_each):
        name, person = f"{i + 1:06d}.jpg", i % n_people
        noise = rng.integers(-20, 21, (6, 5, 3))
        picture = np.clip(patterns[person] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(picture).resize(size[::-1]).save(folder / "img_align_celeba" / name)
        who.append(f"{name} {person + 9}")
        part.append(f"{name} {person % 3}")
    (folder / "identity_CelebA.txt").write_text("\n".join(who) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(part))
    return folder


def test_celeba_is_read_as_it_comes(tmp_path):
    folder = celeba(tmp_path / "CelebA", size=(8, 6))
    faces = read_celeba(folder)
    assert faces.names == ("9", "10", "11")
    assert faces.ids[:5] == ("000001.jpg", "000004.jpg", "000007.jpg", "000010.jpg", "000002.jpg")
    assert faces.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert faces.image(0).shape == (8, 6, 3)
    assert read_celeba(folder, part="val").names == ("10",)
    assert read_celeba(folder, leave_out=["9", "12"]).names == ("10", "11")
    with pytest.raises(InputError, match="at least 5 each.* 3 with too few images"):
        read_celeba(folder, min_images=5)
    # As it lies on Kaggle: one more folder, tables with a header and commas.
    inner = folder / "img_align_celeba" / "img_align_celeba"
    (folder / "img_align_celeba").rename(folder / "inner")
    (folder / "img_align_celeba").mkdir()
    (folder / "inner").rename(inner)
    lines = (folder / "list_eval_partition.txt").read_text().replace(" ", ",")
    (folder / "list_eval_partition.csv").write_text(f"image_id,partition\n{lines}\n")
    (folder / "list_eval_partition.txt").unlink()
    assert read_celeba(folder, part="test").ids == ("000003.jpg", "000006.jpg", *faces.ids[-2:])
    (folder / "identity_CelebA.txt").write_text("000001.jpg 4\n000002.jpg four\n")
    with pytest.raises(InputError, match="a number in line 2 of .*'000002.jpg four'"):
        read_celeba(folder)
    (folder / "identity_CelebA.txt").unlink()
    with pytest.raises(InputError, match="identity_CelebA.txt of CelebA in .* not there"):
        read_celeba(folder)
    with pytest.raises(InputError, match="images in .*img_align_celeba, but there is no such"):
        read_celeba(tmp_path)


def test_images_of_everybody_are_held_out():
    faces = noise_faces(3, 5)
    shown, held = faces.split_images(2, seed=4)
    assert shown.names == held.names == faces.names
    assert np.bincount(shown.labels).tolist() == [3] * 3
    assert np.bincount(held.labels).tolist() == [2] * 3
    assert {*shown.ids, *held.ids} == set(faces.ids)
    assert held.ids != faces.split_images(2, seed=5)[1].ids
    with pytest.raises(InputError, match="more than 5 images of each name.*'p0', 'p1', 'p2'"):
        faces.split_images(5)


def test_stimuli_give_labels_from_a_column():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    stimuli = StimulusSet.from_arrays(images, ["c", "a", "b"], {"who": [7, 3, 7]})
    faces = LabelledFaces.from_stimuli(stimuli, "who")
    assert (faces.ids, faces.names) == (("a", "b", "c"), ("3", "7"))
    assert faces.labels.tolist() == [0, 1, 1]
    assert [int(faces.image(i)[0, 0, 0]) for i in range(3)] == [1, 2, 0]
    with pytest.raises(InputError, match="column 'how'.*'who'"):
        LabelledFaces.from_stimuli(stimuli, "how")
    gap = StimulusSet.from_arrays(images, ["c", "a", "b"], {"who": ["x", None, "y"]})
    with pytest.raises(InputError, match="'a' has none"):
        LabelledFaces.from_stimuli(gap, "who")


def fer_rows(n=6, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 48, 48))
    usages = ["Training", "PublicTest", "PrivateTest"]
    return pixels, [
        (i % 7, " ".join(map(str, p.ravel())), usages[i % 3]) for i, p in enumerate(pixels)
    ]


def write_fer(path, rows, header="emotion,pixels,Usage"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_fer2013_is_read_row_by_row(tmp_path):
    pixels, rows = fer_rows()
    faces = read_fer2013(write_fer(tmp_path / "fer2013.csv", rows))
    assert faces.ids == ("Training/2", "Training/5")
    assert [faces.names[i] for i in faces.labels] == ["angry", "happy"]
    for i, row in enumerate((0, 3)):
        assert (faces.image(i) == pixels[row][..., None]).all()
        assert faces.image(i).dtype == np.uint8
    both = read_fer2013(tmp_path / "fer2013.csv", usage=("PublicTest", "PrivateTest"))
    assert [faces.names[i] for i in both.labels] == ["disgust", "fear", "sad", "surprise"]
    # Kaggle's later file: another order, spaces before the names.
    other = [(e, u, p) for e, p, u in rows]
    write_fer(tmp_path / "icml_face_data.csv", other, "emotion, Usage, pixels")
    again = read_fer2013(tmp_path / "icml_face_data.csv")
    assert all((again.image(i) == faces.image(i)).all() for i in range(2))


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ((7, None, "Training"), "0 to 6 in line 3 .*got '7'"),
        ((0, "1 2 3", "Training"), "2304 pixels from 0 to 255 in line 3 .*got 3"),
        ((0, "", "Training"), "line 3 .*got 0"),
        ((0, " ".join(["256"] * 2304), "Training"), "line 3 .*to 256"),
        ((0, "1 x", "Training"), "whole numbers as pixels in line 3"),
        ((0, None, "Test"), "Usage in line 3 .*'Test'"),
        ((0, "1"), "3 cells .*line 3 has 2"),
    ],
)
def test_fer2013_errors_name_the_line(row, match, tmp_path):
    _, rows = fer_rows()
    row = tuple(rows[0][1] if field is None else field for field in row)
    path = write_fer(tmp_path / "f.csv", [rows[0], row, *rows[2:]])
    with pytest.raises(InputError, match=match):
        read_fer2013(path)


def test_fer2013_errors_of_the_file(tmp_path):
    _, rows = fer_rows(1)
    with pytest.raises(InputError, match="the column 'pixels'"):
        read_fer2013(write_fer(tmp_path / "f.csv", [], "emotion,Usage"))
    with pytest.raises(InputError, match="rows of usage PrivateTest"):
        read_fer2013(write_fer(tmp_path / "f.csv", rows), usage="PrivateTest")
    with pytest.raises(InputError, match="unknown usage 'Test'"):
        read_fer2013(tmp_path / "f.csv", usage="Test")
    with pytest.raises(InputError, match="does not exist"):
        read_fer2013(tmp_path / "nowhere.csv")


# --- pairs ------------------------------------------------------------------------------------


def lfw_lines(n_folds=10, n_each=300, seed=0):
    """Lines in the layout of pairs.txt, and what they say."""
    rng = np.random.default_rng(seed)
    lines, wanted = [f"{n_folds}\t{n_each}"], []
    for fold in range(n_folds):
        for _ in range(n_each):
            name, (i, j) = f"F{fold}_{rng.integers(50)}", rng.choice(530, 2, replace=False) + 1
            lines.append(f"{name}\t{i}\t{j}")
            wanted.append((fold, True, name, i, name, j))
        for _ in range(n_each):
            a, b = rng.choice(50, 2, replace=False)
            i, j = rng.integers(1, 531, 2)
            lines.append(f"F{fold}_{a}\t{i}\tF{fold}_{b}\t{j}")
            wanted.append((fold, False, f"F{fold}_{a}", i, f"F{fold}_{b}", j))
    return lines, wanted


def test_pairs_txt_is_read_exactly(tmp_path):
    lines, wanted = lfw_lines()
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    pairs = read_pairs(tmp_path / "pairs.txt")
    assert len(pairs) == 6000
    for k, (fold, same, a, i, b, j) in enumerate(wanted):
        assert pairs.first[k] == f"{a}/{a}_{i:04d}.jpg"
        assert pairs.second[k] == f"{b}/{b}_{j:04d}.jpg"
        assert (pairs.fold[k], pairs.same[k]) == (fold, same)
    assert len(pairs.people) == 10
    assert pairs.people[3] == {name for row in wanted if row[0] == 3 for name in (row[2], row[4])}
    part = pairs.subset(3)
    assert part.first == pairs.first[1800:2400]
    assert (part.people, part.fold.max()) == (pairs.people[3:4], 0)
    with pytest.raises(InputError, match="0 to 9, got 10"):
        pairs.subset(10)


def test_the_development_pairs_are_one_fold(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"2\r\nA 1 2\r\nB 3 4\r\nA 1 B 2\r\nB\t1\tC\t9\r\n")
    pairs = read_pairs(tmp_path / "p.txt", suffix=".png")
    assert pairs.second == ("A/A_0002.png", "B/B_0004.png", "B/B_0002.png", "C/C_0009.png")
    assert pairs.fold.tolist() == [0] * 4


def test_pairs_without_a_line_of_counts_are_one_fold(tmp_path):
    lines = ["A 1 2", "B 3 4", "A 1 B 2", "B 1 C 9", "C 1 2"]
    (tmp_path / "bare.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "counted.txt").write_text("\n".join(["2", *lines[:4]]))
    bare, counted = read_pairs(tmp_path / "bare.txt"), read_pairs(tmp_path / "counted.txt")
    assert bare.first[:4] == counted.first
    assert bare.second[:4] == counted.second
    assert bare.same.tolist() == [*counted.same.tolist(), True]
    assert bare.fold.tolist() == [0] * 5
    assert bare.people == (frozenset("ABC"),)
    (tmp_path / "bare.txt").write_text("\n".join([*lines, "C 1"]))
    with pytest.raises(InputError, match="line 6 of .*'C 1'"):
        read_pairs(tmp_path / "bare.txt")


@pytest.mark.parametrize(
    ("line", "text", "match"),
    [
        (1, "ten 3", "line 1 .*'ten 3'"),
        (1, "", "line 1 "),
        (1, "2 3 4", "line 1 "),
        (1, "2 4", r"16 lines of pairs .*2 x 2 folds x 4.*got 12"),
        (3, "A 1", "'NAME i j'.* line 3 .*'A 1'"),
        (3, "A 1 B 2", "'NAME i j'.* line 3 "),
        (5, "A 1 2", "'NAME i OTHER j'.* line 5 "),
        (2, "A 1 x", "line 2 "),
        (2, "A 0 1", "line 2 "),
        (2, "A -1 1", "line 2 "),
        (2, "A 4 4", "two images in line 2 .*same one twice"),
        (13, "A 1 A 2", "two people in line 13"),
        (8, "", "line 8 "),
    ],
)
def test_errors_in_pairs_name_the_line(line, text, match, tmp_path):
    lines, _ = lfw_lines(2, 3)
    lines[line - 1] = text
    (tmp_path / "p.txt").write_text("\n".join(lines))
    with pytest.raises(InputError, match=match):
        read_pairs(tmp_path / "p.txt")


def test_pairs_find_their_images_by_name(tmp_path):
    write_images(tmp_path, [f"{n}/{n}_000{i}.jpg" for n in "AB" for i in (1, 2)])
    (tmp_path / "p.txt").write_text("1 1\nB 2 1\nA 1 B 2\n")
    pairs = read_pairs(tmp_path / "p.txt")
    assert pairs.index(read_people(tmp_path)).tolist() == [[3, 2], [0, 3]]
    with pytest.raises(InputError, match="1 are missing: 'A/A_0001.jpg'"):
        pairs.index(read_people(tmp_path).keep(["B"]))
    with pytest.raises(InputError, match=r"cannot be read"):
        read_pairs(tmp_path)


def test_all_pairs_against_a_loop():
    faces = noise_faces(3, 3).subset([4, 0, 8, 1, 2])
    index, same = all_pairs(faces)
    wanted = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    assert index.tolist() == [list(p) for p in wanted]
    assert same.tolist() == [faces.ids[i][:2] == faces.ids[j][:2] for i, j in wanted]


def test_drawn_pairs_are_distinct_right_and_of_one_fold():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(12), rng.integers(2, 6, 12)))
    ids = [f"i{i}" for i in range(len(labels))]
    blank = np.zeros((len(labels), 2, 2, 3), np.uint8)
    faces = LabelledFaces(blank, ids, labels, [f"p{p}" for p in range(12)])
    seen = set()
    for seed in range(150):
        pairs = draw_pairs(faces, n_folds=3, n_each=3, seed=seed)
        index = pairs.index(faces)
        assert len({frozenset(p) for p in index.tolist()}) == len(pairs) == 18
        assert (pairs.same == (labels[index[:, 0]] == labels[index[:, 1]])).all()
        assert pairs.same.tolist() == [True] * 3 + [False] * 3 + pairs.same[6:].tolist()
        assert pairs.fold.tolist() == sorted([0, 1, 2] * 6)
        for fold, people in enumerate(pairs.people):
            assert {faces.names[i] for i in labels[index[pairs.fold == fold]].ravel()} <= people
        assert sum(map(len, pairs.people)) == len(frozenset().union(*pairs.people)) == 12
        seen |= {frozenset(p) for p in index.tolist()}
    assert draw_pairs(faces, n_folds=3, n_each=3, seed=149).first == pairs.first
    # Every same pair, and most of all others, is drawn at some time.
    every, same = all_pairs(faces)
    assert {frozenset(p) for p in every[same].tolist()} <= seen
    assert len(seen) > 0.7 * len(every)
    with pytest.raises(InputError, match="at least 99 pairs of the same person.*fold 1 has"):
        draw_pairs(faces, n_folds=3, n_each=99)
    with pytest.raises(InputError, match="of two people .*fold 1 has 0"):
        draw_pairs(faces, n_folds=12, n_each=1)


# --- augmentation and batches -----------------------------------------------------------------


def test_augmentation_is_a_window_mirrored_or_not():
    # Every pixel says where it is.
    image = np.zeros((40, 30, 3), np.uint8)
    image[..., 0], image[..., 1] = np.indices((40, 30))
    assert (Augmentation(flip=1, crop=0)(image, np.random.default_rng(0)) == image[:, ::-1]).all()
    assert (Augmentation(flip=0, crop=0)(image, np.random.default_rng(0)) == image).all()
    heights, tops, lefts, n_flipped = [], [], [], 0
    for seed in range(500):
        out = Augmentation(crop=0.3)(image, np.random.default_rng(seed))
        flipped = out[0, 0, 1] > out[0, -1, 1]
        n_flipped += flipped
        out = out[:, ::-1] if flipped else out
        top, left = (int(i) for i in out[0, 0, :2])
        height, width = out.shape[:2]
        assert (out == image[top : top + height, left : left + width]).all()
        assert abs(height / 40 - width / 30) < 1 / 30
        heights.append(height)
        tops.append(top / max(1, 40 - height))
        lefts.append(left / max(1, 30 - width))
    assert (min(heights), max(heights)) == (28, 40)
    assert np.histogram(heights, bins=3)[0].min() > 100
    assert 200 < n_flipped < 300
    for places in (tops, lefts):
        assert (min(places), max(places)) == (0, 1)
        assert 0.4 < np.mean(places) < 0.6
    first = Augmentation()(image, np.random.default_rng(3))
    assert (first == Augmentation()(image, np.random.default_rng(3))).all()
    with pytest.raises(InputError, match="flip from 0 to 1, got 2"):
        Augmentation(flip=2)
    with pytest.raises(InputError, match="crop from 0 to below 1, got 1"):
        Augmentation(crop=1)


def seen_from(yaws):
    """Landmarks of the average head at known yaws, tilted a little in the image, by name."""
    known, depth, reach = _mean_head()
    tilt = np.array([[0.98, -0.2], [0.2, 0.98]])
    points = [_rotated(known, _depth_at(known, depth, reach), yaw, 5.0) for yaw in yaws]
    return {f"i{k}": 50 * p[:, :2] @ tilt.T + 90 for k, p in enumerate(points)}


def test_yaw_is_that_of_the_average_head_and_turning_spreads_it():
    rng = np.random.default_rng(0)
    yaws = np.r_[rng.normal(2, 6, 280), 24.0, -50.0]
    points = seen_from(yaws)
    np.testing.assert_allclose(estimate_yaw(np.array(list(points.values()))), yaws, atol=1e-6)
    turns = Turns(points, 0.4)
    assert turns.entropy == Turns(points, 0.4, yaw=dict(zip(points, yaws, strict=True))).entropy
    before, after = turns.entropy
    counts = np.histogram(np.clip(yaws, -29, 29), np.linspace(-30, 30, 8))[0]
    assert before == pytest.approx(-sum(c / 282 * np.log2(c / 282) for c in counts if c))
    added = np.array([[turns.angle(name, rng) for name in points] for _ in range(20)])
    front = abs(yaws) <= 15
    assert not added[:, ~front].any()
    n = added[:, front].size
    assert abs((added[:, front] != 0).mean() - 0.4) < 2.58 * math.sqrt(0.24 / n)
    shares = np.histogram(np.clip(yaws + added, -29, 29), np.linspace(-30, 30, 8))[0]
    np.testing.assert_allclose(shares / shares.sum(), turns.bins["after"], atol=0.02)
    drawn = [-s * math.log2(s) for s in shares / shares.sum()]
    assert before + 0.5 < sum(drawn) == pytest.approx(after, abs=0.02)


def test_water_is_poured_where_least_is():
    rng = np.random.default_rng(0)
    for n in (2, 5, 9):
        base = rng.dirichlet(np.full(n, 0.5)) * 0.7
        drops = base.copy()
        for _ in range(3000):
            drops[drops.argmin()] += 0.3 / 3000
        np.testing.assert_allclose(base + _poured(base, 0.3), drops, atol=2e-4)


def test_images_are_turned_and_made_worse_by_name_and_seed():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    points = {
        name: 0.35 * p[:, :2] for name, p in zip("ab", seen_from([0, 0]).values(), strict=True)
    }
    turns = Turns(points, 0.49)
    seeds = [np.random.default_rng(s) for s in range(12)]
    found = [Augmentation(flip=0, crop=0, turns=turns)(image, rng, "a") for rng in seeds]
    for seed, one in enumerate(found):
        rng = np.random.default_rng(seed)
        rng.random(4)
        assert (one == turned(image, points["a"], turns.angle("a", rng), 0.0)).all()
    assert 0 < sum((one != image).any() for one in found) < 12
    worse = Augmentation(flip=0, crop=0, degradations=("blur", "contrast"), strongest=2)
    known = [degrade([image], k, s, names=["a"])[0] for k in worse.degradations for s in (1, 2)]
    of = [worse(image, np.random.default_rng(s)) for s in range(60)]
    counts = [sum((one == two).all() for one in of) for two in [image, *known]]
    assert sum(counts) == 60
    assert 15 < counts[0] < 45
    assert min(counts) > 0
    with pytest.raises(InputError, match="below 0.5, got 0.5: a network must see more photographs"):
        Turns(points, 0.5)
    with pytest.raises(InputError, match="landmarks of all training images, got none of 'c'"):
        turns.check(("a", "c"))
    with pytest.raises(InputError, match="of the same images, but only one has 'b'"):
        Turns(points, yaw={"a": 0})
    with pytest.raises(InputError, match="spread evenly already"):
        Turns(points, yaw={"a": -10, "b": 10}, n_bins=2)
    with pytest.raises(InputError, match="the least turned of 2 has 20"):
        Turns(points, yaw={"a": -20, "b": 40})
    with pytest.raises(InputError, match="degradation .*'blurr'"):
        Augmentation(degradations=("blurr",))


def test_other_degradations_are_not_mixed_up(tmp_path):
    train(tmp_path, augment=Augmentation(degradations=("blur",)), recipe={"epochs": 1})
    with pytest.raises(InputError, match="degradations: .'blur'. then, .'jpeg'. now"):
        train(
            tmp_path,
            augment=Augmentation(degradations=("jpeg",)),
            recipe={"epochs": 1},
            resume=True,
        )


@pytest.mark.parametrize(("n", "size"), [(9, 4), (8, 4), (10, 4), (3, 8), (1, 4), (5, 1)])
def test_shuffled_shows_every_image_once(n, size):
    batches = shuffled(0, n_images=n, batch_size=size)
    assert sorted(np.concatenate(batches).ravel()) == list(range(n))
    assert all(len(b) > 1 for b in batches) or size == 1 or n == 1
    assert all(len(b) in (size, size + 1) for b in batches[:-1])


def test_by_person_groups_images_of_one_person():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(9), [1, 2, 3, 4, 5, 7, 3, 3, 0]))
    seen = set()
    for epoch in range(20):
        batches = by_person(epoch, labels=labels, n_people=3, n_images=3, seed=1)
        groups = np.concatenate(batches)
        assert groups.shape == (1 + 1 + 1 + 2 + 1 + 1, 3)
        assert len({*groups.ravel()}) == groups.size
        for group in groups:
            assert len({*labels[group]}) == 1
        assert [len(b) for b in batches] == [3, 4]
        seen |= {*groups.ravel().tolist()}
    assert seen == {*np.flatnonzero(np.bincount(labels)[labels] >= 3).tolist()}
    with pytest.raises(InputError, match="with 6 images each, but 1 of 8"):
        by_person(0, labels=labels, n_people=3, n_images=6)


def test_pairwise_shows_every_pair_once():
    pairs = np.arange(14).reshape(7, 2)
    batches = pairwise(0, pairs=pairs, batch_size=3)
    assert [b.shape for b in batches] == [(3, 2), (4, 2)]
    assert sorted(np.concatenate(batches).tolist()) == pairs.tolist()


@pytest.mark.parametrize(
    "order",
    [
        partial(shuffled, n_images=30, batch_size=7),
        partial(by_person, labels=np.arange(30) % 5, n_people=3, n_images=2),
        partial(pairwise, pairs=np.arange(30).reshape(15, 2), batch_size=4),
    ],
)
def test_order_depends_on_seed_and_epoch_alone(order):
    def flat(epoch, seed):
        return np.concatenate(order(epoch, seed=seed)).ravel().tolist()

    assert flat(0, 0) == flat(0, 0)
    assert len({tuple(flat(*pair)) for pair in ((0, 0), (1, 0), (0, 1), (1, 1))}) == 4


# --- objectives -------------------------------------------------------------------------------


def log_softmax(row):
    top = max(row)
    return [x - top - math.log(sum(math.exp(y - top) for y in row)) for x in row]


@pytest.mark.parametrize("seed", range(4))
def test_pair_loss_against_a_loop_over_compare(seed):
    torch.manual_seed(seed)
    network = SiameseNet(n_out=5, width=1)
    images, labels = torch.rand(7, 1, 105, 105), torch.tensor([0, 1, 0, 2, 2, 0, 1])
    embeddings = network(images).detach()

    def wanted(pairs):
        losses = {True: [], False: []}
        for i, j in pairs:
            same = bool(labels[i] == labels[j])
            row = network.compare(images[i : i + 1], images[j : j + 1])[0].tolist()
            losses[same].append(-log_softmax(row)[int(same)])
        return np.mean([np.mean(kind) for kind in losses.values() if kind])

    every = [(i, j) for i in range(7) for j in range(i + 1, 7)]
    network.requires_grad_(False)
    found = pair_loss(embeddings, labels, head=network.head)
    assert float(found) == pytest.approx(wanted(every), rel=1e-5)
    found = pair_loss(embeddings[:6], labels[:6], head=network.head, pairs="given")
    assert float(found) == pytest.approx(wanted([(0, 1), (2, 3), (4, 5)]), rel=1e-5)
    index = [0, 2, 5]
    one_kind = pair_loss(embeddings[index], labels[index], head=network.head)
    assert float(one_kind) == pytest.approx(wanted([(0, 2), (0, 5), (2, 5)]), rel=1e-5)
    with pytest.raises(InputError, match="unknown choice of pairs 'any'"):
        pair_loss(embeddings, labels, head=network.head, pairs="any")


def test_start_head_says_different_beyond_the_mean_distance():
    torch.manual_seed(0)
    network = SiameseNet(n_out=6, width=1)
    embeddings = torch.randn(9, 6)
    start_head(network.head, embeddings)
    i, j = torch.triu_indices(9, 9, 1)
    difference = (embeddings[i] - embeddings[j]).abs()
    logits = network.head(difference)
    ratio = difference.sum(1) / difference.sum(1).mean()
    torch.testing.assert_close(logits, torch.stack([2 * ratio - 2, 2 - 2 * ratio], 1))


def triplet_by_loop(x, labels, margin):
    x = [row / np.linalg.norm(row) for row in x]
    losses = []
    for a in range(len(x)):
        others = [((x[a] - x[n]) ** 2).sum() for n in range(len(x)) if labels[n] != labels[a]]
        for p in range(len(x)):
            if p == a or labels[p] != labels[a] or not others:
                continue
            d = ((x[a] - x[p]) ** 2).sum()
            farther = [o for o in others if o > d]
            losses.append(max(0.0, d - (min(farther) if farther else max(others)) + margin))
    return np.mean(losses) if losses else 0.0


@pytest.mark.parametrize(
    "labels",
    [
        [0, 0, 1, 1, 2, 0],
        [0, 0, 0, 1, 2, 3],
        [0, 1, 2, 3, 4, 5],
        [0, 0, 0, 0, 0, 0],
        [3, 3, 1, 1, 1, 1],
    ],
)
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_triplet_loss_against_a_loop(labels, margin):
    for seed in range(5):
        x = torch.from_numpy(np.random.default_rng(seed).normal(size=(6, 3))).requires_grad_()
        found = triplet_loss(x, torch.tensor(labels), margin=margin)
        wanted = triplet_by_loop(x.detach().numpy(), labels, margin)
        assert float(found.detach()) == pytest.approx(wanted, abs=1e-9)
        found.backward()
        assert torch.isfinite(x.grad).all()


def test_a_negative_as_far_as_the_positive_is_not_semi_hard():
    # Anchor 0, positive 1 and negative 2 at squared distance 2; negative 3 at 4.
    x = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    labels = [0, 0, 1, 2]
    wanted = triplet_by_loop(x, labels, 1.0)
    assert wanted == np.mean([0.0, 1.0])
    assert float(triplet_loss(torch.from_numpy(x), torch.tensor(labels), margin=1.0)) == wanted


def test_triplet_loss_of_collapsed_embeddings_is_the_margin():
    loss = triplet_loss(torch.ones(6, 3), torch.tensor([0, 0, 1, 1, 2, 2]), margin=0.2)
    assert float(loss) == pytest.approx(0.2, abs=1e-6)


def sampled_softmax_loss(logits, labels, **options):
    """The partial loss of a layer that hands on the logits as they are."""
    n = logits.shape[1]
    layer = Classes(n, n).to(logits.dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(n))
        layer.bias.zero_()
    return partial_loss(logits, labels, layer=layer, **options)


@pytest.mark.parametrize("seed", range(5))
def test_sampled_softmax_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (6, 20)))
    labels = torch.from_numpy(rng.integers(0, 20, 6))
    assert torch.equal(
        sampled_softmax_loss(logits, labels, share=1.0), softmax_loss(logits, labels)
    )
    present = sorted({*labels.tolist()})
    others = [c for c in range(20) if c not in present]
    n_drawn = math.ceil(0.3 * len(others))
    for correct in (False, True):
        # The draw: the first of a random order of the absent classes.
        order = torch.randperm(len(others), generator=torch.Generator().manual_seed(7))
        drawn = [others[i] for i in order[:n_drawn]]
        shift = math.log(len(others) / n_drawn) if correct else 0.0
        losses = []
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            row = [
                row[label],
                *(row[c] for c in present if c != label),
                *(row[c] + shift for c in drawn),
            ]
            losses.append(-log_softmax(row)[0])
        found = sampled_softmax_loss(
            logits, labels, share=0.3, correct=correct, generator=torch.Generator().manual_seed(7)
        )
        assert float(found) == pytest.approx(np.mean(losses), rel=1e-9)


def test_sampling_is_corrected_in_the_mean_of_the_sum():
    rng = np.random.default_rng(0)
    logits, labels = torch.from_numpy(rng.normal(0, 1, (1, 50))), torch.tensor([4])
    full = math.exp(float(softmax_loss(logits, labels)))
    generator = torch.Generator().manual_seed(0)

    def mean(correct):
        draws = [
            math.exp(
                float(
                    sampled_softmax_loss(
                        logits, labels, share=0.2, correct=correct, generator=generator
                    )
                )
            )
            for _ in range(1500)
        ]
        return np.mean(draws), np.std(draws) / math.sqrt(len(draws))

    corrected, error = mean(True)
    assert abs(corrected - full) < 4 * error
    assert mean(False)[0] < 0.5 * full


def test_sampled_softmax_at_its_edges():
    logits, labels = torch.randn(3, 3), torch.arange(3)
    # All classes are in the batch: nothing to draw.
    torch.testing.assert_close(
        sampled_softmax_loss(logits, labels, share=0.5), softmax_loss(logits, labels)
    )
    for share in (0, 1.5, float("nan")):
        with pytest.raises(InputError, match=f"up to 1, got {share}"):
            sampled_softmax_loss(logits, labels, share=share)


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
def test_arcface_against_a_loop(margin):
    rng = np.random.default_rng(0)
    cosines = np.cos(rng.uniform(0.02, math.pi - 0.02, (40, 5)))
    labels = rng.integers(0, 5, 40)
    wanted = 64 * cosines
    for i, label in enumerate(labels):
        theta = math.acos(cosines[i, label])
        inside = theta + margin < math.pi
        wanted[i, label] = 64 * (
            math.cos(theta + margin) if inside else math.cos(theta) - margin * math.sin(margin)
        )
    assert (np.arccos(cosines[range(40), labels]) + margin > math.pi).any() or not margin
    found = arcface_logits(torch.from_numpy(cosines), torch.from_numpy(labels), margin=margin)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)
    loss = softmax_loss(found, torch.from_numpy(labels))
    losses = [-log_softmax(row)[label] for row, label in zip(wanted, labels, strict=True)]
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-9)


def test_cosface_against_a_loop():
    rng = np.random.default_rng(0)
    cosines, labels = rng.uniform(-1, 1, (6, 4)), rng.integers(0, 4, 6)
    expected = [
        [8 * (c - 0.3 * (k == label)) for k, c in enumerate(row)]
        for row, label in zip(cosines, labels, strict=True)
    ]
    found = cosface_logits(torch.tensor(cosines), torch.tensor(labels), scale=8, margin=0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("logits", [None, arcface_logits, cosface_logits])
def test_partial_loss_is_the_sampled_one_with_its_gradients(logits):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 20)).double()
    layer = use_classes(module, "1", cosines=logits is not None).double()
    x, labels = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 7, 7, 3, 19, 0])
    found, expected = [], []
    for share in (0.3, 1.0):
        draw = torch.Generator().manual_seed(7)
        loss = partial_loss(
            module.train()(x), labels, layer=layer, share=share, logits=logits, generator=draw
        )
        found += [loss, *torch.autograd.grad(loss, [layer.weight, module[0].weight])]
        outputs = module.eval()(x)
        whole = outputs if logits is None else logits(outputs, labels)
        draw = torch.Generator().manual_seed(7)
        loss = sampled_softmax_loss(whole, labels, share=share, generator=draw)
        expected += [loss, *torch.autograd.grad(loss, [layer.weight, module[0].weight])]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_partial_loss_keeps_memory_in_proportion_to_the_share():
    torch.manual_seed(0)
    layer, x = Classes(8, 10_000), torch.randn(32, 8)
    labels = torch.arange(32)

    def kept(share):
        """Bytes that are kept for the gradient, of tensors per image and class."""
        sizes = []

        def pack(tensor):
            if tensor.ndim == 2 and len(tensor) == 32 and tensor.shape[1] > 8:
                sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            partial_loss(x, labels, layer=layer, share=share)
        return sum(sizes)

    whole = kept(1.0)
    assert whole >= 32 * 10_000 * 4
    for share in (0.5, 0.1, 0.01):
        assert kept(share) == pytest.approx(share * whole, rel=0.5 if share == 0.01 else 0.05)


def test_dropout_leaves_out_channels_while_training_and_keeps_names():
    network = DenseNet(3)
    initialise(network, 0)
    x, names = torch.rand(2, 1, 48, 48), list(network.state_dict())
    before = network.eval()(x)
    use_dropout(network, 0.5)
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network.eval()(x), before, rtol=0, atol=0)
    dropped = [name for name, m in network.named_modules() if isinstance(m, nn.Dropout2d)]
    assert len(dropped) == 11  # nine layers and two transitions; not after the last normalisation
    outputs = []
    network.dense1.layer1.relu.register_forward_hook(lambda *args: outputs.append(args[2]))
    torch.manual_seed(0)
    network.train()(x)
    gone = (outputs[0] == 0).flatten(2).all(2).float().mean()
    assert 0.3 < float(gone) < 0.7
    with pytest.raises(InputError, match="a ReLU after a convolution for dropout, got none"):
        use_dropout(tiny(), 0.5)
    with pytest.raises(InputError, match="from 0 to below 1, got 1"):
        use_dropout(network, 1)


def test_arcface_has_finite_gradients_at_equal_and_opposite_directions():
    cosines = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1 + 1e-7, 0.2]], requires_grad=True)
    labels = torch.tensor([0, 0, 0])
    softmax_loss(arcface_logits(cosines, labels), labels).backward()
    assert torch.isfinite(cosines.grad).all()


def test_cosine_layer_takes_the_place_of_a_linear_one():
    module = DenseNet(5, growth=2)
    assert use_classes(module, "fc", cosines=True) is module.fc
    module.eval()
    assert module.fc.weight.shape == (5, DenseNet(5, growth=2).fc.in_features)
    x, w = torch.randn(7, module.fc.in_features), module.fc.weight.detach()
    wanted = [[float(a @ b / (a.norm() * b.norm())) for b in w] for a in x]
    np.testing.assert_allclose(module.fc(x).detach(), wanted, atol=1e-6)
    assert not module.fc.bias.requires_grad
    siamese = SiameseNet(4, 1)
    use_classes(siamese, "embedding.fc")
    assert isinstance(siamese.embedding.fc, Classes)
    with pytest.raises(InputError, match="linear layer 'conv1', got Conv2d"):
        use_classes(module, "conv1")
    with pytest.raises(InputError, match="linear layer 'fc9', got NoneType"):
        use_classes(module, "fc9")


# --- verification -----------------------------------------------------------------------------


def scored_pairs(seed, n=60, ties=True):
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.4
    same[:2] = True, False
    scores = rng.normal(same * 1.0, 1.0)
    return (scores.round(1) if ties else scores), same, rng.permutation(np.arange(n) % 5)


@pytest.mark.parametrize("seed", range(6))
def test_verification_against_a_loop(seed):
    scores, same, fold = scored_pairs(seed)
    accuracies = []
    for k in range(5):
        train = fold != k
        values = sorted({*scores[train].tolist()})
        tried = [
            -math.inf,
            *((a + b) / 2 for a, b in zip(values, values[1:], strict=False)),
            math.inf,
        ]
        right = [
            sum((s >= t) == w for s, w in zip(scores[train], same[train], strict=True))
            for t in tried
        ]
        best = [t for t, r in zip(tried, right, strict=True) if r == max(right)]
        threshold = best[(len(best) - 1) // 2]
        assert best_threshold(scores[train], same[train]) == threshold
        accuracies.append(np.mean((scores[~train] >= threshold) == same[~train]))
    found = verification(scores, same, fold)
    assert found.folds["accuracy"].tolist() == accuracies
    assert found.accuracy == pytest.approx(np.mean(accuracies))
    wanted = math.sqrt(sum((a - np.mean(accuracies)) ** 2 for a in accuracies) / 4 / 5)
    assert found.standard_error == pytest.approx(wanted)
    assert found.folds["n_pairs"].tolist() == [12] * 5


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_roc_against_scikit_learn_and_loops(seed, ties):
    scores, same, _ = scored_pairs(seed, ties=ties)
    far, tar, thresholds = roc_curve(same, scores, drop_intermediate=False)
    curve = roc(scores, same)
    np.testing.assert_allclose(curve[["threshold", "far", "tar"]], np.c_[thresholds, far, tar])
    assert area_under_roc(scores, same) == pytest.approx(roc_auc_score(same, scores))
    wins = [(a > b) + (a == b) / 2 for a in scores[same] for b in scores[~same]]
    assert area_under_roc(scores, same) == pytest.approx(np.mean(wins))
    n_impostors = (~same).sum()
    table = tar_at_far(scores, same, fars=(1.0, 0.5, 0.2, 0.05, 1 / n_impostors, 0.001))
    for far, row in table.iterrows():
        assert row["n_impostors"] == n_impostors
        assert row["n_needed"] == math.ceil(1 / far - 1e-9)
        if far < 1 / n_impostors:
            assert math.isnan(row["tar"])
            assert math.isnan(row["threshold"])
            continue
        fine = [
            t for t in [math.inf, *scores] if (scores[~same] >= t).sum() <= far * n_impostors + 1e-9
        ]
        assert row["threshold"] == min(fine)
        assert row["tar"] == pytest.approx((scores[same] >= min(fine)).mean())


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="1 of 3 are NaN"):
        area_under_roc([1, math.nan, 2], [True, False, True])
    with pytest.raises(InputError, match=r"both kinds, got 2 same and 0 different"):
        roc([1, 2], [True, True])
    with pytest.raises(InputError, match="true or false, got type int64"):
        roc([1, 2], [1, 0])
    with pytest.raises(InputError, match=r"shapes \(3,\) and \(2,\)"):
        roc([1, 2, 3], [True, False])
    with pytest.raises(InputError, match="two folds, got .* 1 folds"):
        verification([1, 2], [True, False], [0, 0])
    with pytest.raises(InputError, match="up to 1, got 0"):
        tar_at_far([1, 2], [True, False], fars=(0,))


def test_accuracy_against_scikit_learn():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)), rng.choice(4, 50, p=[0.7, 0.2, 0.1, 0])
    found = accuracy(logits, labels)
    answers = logits.argmax(1)
    assert found["accuracy"] == np.mean(answers == labels)
    present = np.isin(answers, labels)
    wanted = np.mean([np.mean(answers[labels == k] == k) for k in range(3)])
    assert found["balanced accuracy"] == pytest.approx(wanted)
    if present.all():
        assert wanted == pytest.approx(balanced_accuracy_score(labels, answers))
    with pytest.raises(InputError, match=r"shapes \(50, 4\) and \(3,\)"):
        accuracy(logits, [0, 1, 2])
    with pytest.raises(InputError, match="got 1 NaN"):
        accuracy([[math.nan, 1]], [0])


def test_outputs_and_scores_of_pairs():
    faces, module = noise_faces(), SiameseNet(6, 1)
    outputs = compute_outputs(module, faces, preprocessing=GREY105, batch_size=5)
    assert module.training
    one = [compute_outputs(module, faces.subset(i), preprocessing=GREY105)[0] for i in range(16)]
    np.testing.assert_allclose(outputs, one, atol=1e-5)
    pool = compute_outputs(module, faces, preprocessing=GREY105, layer="embedding.pool3")
    assert pool.shape == (16, 2 * 9 * 9)
    assert not module.embedding.pool3._forward_hooks
    with pytest.raises(InputError, match="unknown layer 'embedding.pool9'"):
        compute_outputs(module, faces, preprocessing=GREY105, layer="embedding.pool9")
    index, _ = all_pairs(faces)
    for k, (i, j) in enumerate(index):
        a, b = outputs[i].astype(float), outputs[j].astype(float)
        for score, wanted in (
            ("cosine", a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
            ("distance", -np.linalg.norm(a - b)),
        ):
            assert pair_scores(outputs, index[k : k + 1], score=score)[0] == pytest.approx(wanted)
    logits = module.head(torch.from_numpy(np.abs(outputs[index[:, 0]] - outputs[index[:, 1]])))
    np.testing.assert_allclose(
        pair_scores(outputs, index, score=module.head),
        (logits[:, 1] - logits[:, 0]).detach(),
        atol=1e-5,
    )
    assert math.isnan(pair_scores(np.zeros((2, 3)), np.array([[0, 1]]))[0])
    with pytest.raises(InputError, match="unknown score 'r'"):
        pair_scores(outputs, index, score="r")


# --- the loop ---------------------------------------------------------------------------------


def train(out, *, module=None, objective=softmax_loss, faces=None, batches=None, **options):
    """Train a tiny network; return it and its log."""
    module = tiny() if module is None else module
    faces = noise_faces() if faces is None else faces
    recipe = options.pop("recipe", {})
    recipe = Recipe(**({"epochs": 4, "optimizer": "adamw", "learning_rate": 0.01} | recipe))
    batches = batches or partial(shuffled, n_images=len(faces), batch_size=5)
    options = {"augment": Augmentation(), "device": "cpu", "preprocessing": GREY48} | options
    log = fit(module, objective, faces, recipe=recipe, batches=batches, out=out, **options)
    return module, log


def assert_same_weights(a, b):
    a, b = ({**m} if isinstance(m, dict) else m.state_dict() for m in (a, b))
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "sgd", "clip": 0.5, "warmup": 1.5}])
def test_going_on_gives_the_weights_of_an_uninterrupted_run(recipe, tmp_path):
    options = {
        "recipe": recipe,
        "validate": lambda module: {"mean": float(module.fc.weight.mean())},
    }
    whole, log = train(tmp_path / "whole", **options)

    def stop(n_steps):
        if n_steps == 8:
            raise KeyboardInterrupt

    # In the middle of the third epoch: that epoch is done again.
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", on_step=stop, **options)
    assert len(pd.read_csv(tmp_path / "parts" / "log.csv")) == 2
    parts, again = train(tmp_path / "parts", resume=True, module=tiny(), **options)
    assert_same_weights(whole, parts)
    assert_same_weights(
        load_file(tmp_path / "whole" / "weights.safetensors"),
        load_file(tmp_path / "parts" / "weights.safetensors"),
    )
    pd.testing.assert_frame_equal(
        log.drop(columns="seconds"), again.drop(columns="seconds"), check_exact=True
    )
    written = pd.read_csv(tmp_path / "parts" / "log.csv", index_col="epoch")
    pd.testing.assert_frame_equal(written, again)
    assert sorted(p.name for p in (tmp_path / "parts").glob("[!.]*")) == [
        "checkpoint.pt",
        "log.csv",
        "weights.safetensors",
    ]
    # Nothing left to do: the same again.
    done, _ = train(tmp_path / "parts", resume=True, module=tiny(), **options)
    assert_same_weights(whole, done)


def test_the_seed_decides_and_torchs_own_generator_is_left_alone(tmp_path):
    modules = [tiny() for _ in range(2)]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, _ = train(tmp_path / "a", module=modules[0])
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second, _ = train(tmp_path / "b", module=modules[1])
    assert_same_weights(first, second)
    third, _ = train(tmp_path / "c", recipe={"seed": 1})
    assert not torch.equal(first.fc.weight, third.fc.weight)


def test_what_an_objective_draws_depends_on_seed_and_epoch(tmp_path):
    def drawn(out, **options):
        draws = []

        def objective(outputs, labels):
            draws.append(float(torch.rand(1)))
            return softmax_loss(outputs, labels)

        train(out, objective=objective, **options)
        return draws

    draws = drawn(tmp_path / "a")
    assert len(set(draws)) == len(draws) == 12
    assert draws == drawn(tmp_path / "b")
    assert not {*draws} & {*drawn(tmp_path / "c", recipe={"seed": 1})}


def test_processes_that_read_change_nothing(tmp_path):
    recipe = {"epochs": 1}
    first, _ = train(tmp_path / "a", recipe=recipe)
    second, _ = train(tmp_path / "b", recipe=recipe, workers=2)
    assert_same_weights(first, second)


def test_sgd_against_a_loop(tmp_path):
    """Momentum, decay of weights and not of biases, cosine with warm-up, clipping."""
    faces, options = noise_faces(), {"learning_rate": 0.3, "momentum": 0.8, "weight_decay": 0.01}
    recipe = Recipe(epochs=3, warmup=1, clip=0.4, **options)
    module = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(36, 4))
    initialise(module, 0)
    weight, bias = (p.detach().double().clone() for p in module[2].parameters())
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    x = (
        torch.stack(
            [
                torch.from_numpy(
                    np.asarray(
                        Image.fromarray(faces.image(i))
                        .convert("L")
                        .resize((48, 48), Image.Resampling.BILINEAR),
                        np.float64,
                    )
                )
                for i in range(16)
            ]
        )[:, None]
        / 255
    )
    x = nn.functional.avg_pool2d(x, 8).flatten(1)
    labels = torch.from_numpy(np.array(faces.labels))
    losses, clipped = [], 0
    for epoch in range(3):
        batches = shuffled(epoch, n_images=16, batch_size=5)
        sums = 0.0
        for step, batch in enumerate(batches):
            time = epoch + (step + 0.5) / len(batches)
            rate = 0.3 * min(1, time) * (1 + math.cos(math.pi * time / 3)) / 2
            index = batch[:, 0]
            logits = x[index] @ weight.T + bias
            p = logits.softmax(1)
            sums -= float(p[range(len(index)), labels[index]].log().sum())
            p[range(len(index)), labels[index]] -= 1
            p /= len(index)
            gradients = [p.T @ x[index], p.sum(0)]
            norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
            clipped += norm > 0.4
            gradients = [g * min(1, 0.4 / norm) for g in gradients]
            gradients[0] = gradients[0] + 0.01 * weight
            for k, value in enumerate((weight, bias)):
                velocity[k] = 0.8 * velocity[k] + gradients[k]
                value -= rate * velocity[k]
        losses.append(sums / 16)
    log = fit(
        module,
        softmax_loss,
        faces,
        recipe=recipe,
        preprocessing=GREY48,
        out=tmp_path,
        batches=partial(shuffled, n_images=16, batch_size=5),
        device="cpu",
    )
    assert clipped > 2
    np.testing.assert_allclose(log["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(module[2].weight.detach(), weight, atol=1e-5)
    np.testing.assert_allclose(module[2].bias.detach(), bias, atol=1e-5)


def test_learning_rates():
    steps = Recipe(epochs=9, learning_rate=1, schedule="steps", milestones=[3, 6])
    assert [steps.rate(t) for t in (0, 2.9, 3, 5.9, 6, 9)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    assert Recipe(epochs=9, schedule="constant").rate(8.5) == 0.01
    cosine = Recipe(epochs=8, learning_rate=2)
    wanted = [1 + math.cos(math.pi * t / 8) for t in range(9)]
    assert [cosine.rate(t) for t in range(9)] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "epochs to be .*got 0"),
        ({"seed": -1}, "seed to be .*got -1"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam'.*'adamw'"),
        ({"schedule": "cos"}, "unknown schedule 'cos'"),
        ({"schedule": "steps"}, "milestones for the schedule"),
        ({"learning_rate": -1}, "learning_rate of at least 0, got -1"),
        ({"learning_rate": math.nan}, "learning_rate .*nan"),
        ({"weight_decay": -1}, "weight_decay .*-1"),
        ({"warmup": -1}, "warmup .*-1"),
        ({"momentum": 1}, "momentum from 0 to below 1, got 1"),
        ({"clip": 0}, "clip above 0 or None, got 0"),
        ({"decay": 0}, "decay above 0 and up to 1, got 0"),
    ],
)
def test_recipes_that_are_not_valid(options, match):
    with pytest.raises(InputError, match=match):
        Recipe(**({"epochs": 3} | options))


def test_other_settings_are_not_mixed_up(tmp_path):
    train(tmp_path, recipe={"epochs": 1})
    with pytest.raises(InputError, match=r"checkpoint.pt is there already"):
        train(tmp_path, recipe={"epochs": 1})
    for options, match in (
        ({"recipe": {"epochs": 2}}, "recipe.epochs: 1 then, 2 now"),
        ({"recipe": {"epochs": 1, "seed": 3}}, "recipe.seed: 0 then, 3 now"),
        ({"augment": None}, "augment: .*None now"),
        ({"augment": Augmentation(crop=0.2)}, "augment.crop: 0.1 then, 0.2 now"),
        ({"preprocessing": GREY105}, "preprocessing.size: 48 then, 105 now"),
        ({"faces": noise_faces(4, 5)}, "faces: .*; first batches: "),
        ({"faces": noise_faces(4, 4, seed=1)}, "faces: "),
        ({"objective": partial(triplet_loss, margin=0.3)}, "objective.function: 'softmax_loss' "),
        ({"module": tiny(seed=1)}, "starting weights: 'others' then, 'these' now"),
        ({"module": nn.Sequential(tiny())}, "network: "),
    ):
        with pytest.raises(InputError, match=match):
            train(tmp_path, resume=True, **({"recipe": {"epochs": 1}} | options))


def test_other_options_of_an_objective_are_not_mixed_up(tmp_path):
    train(tmp_path, objective=partial(triplet_loss, margin=0.3), recipe={"epochs": 1})
    with pytest.raises(InputError, match="objective.margin: '0.3' then, '0.2' now"):
        train(
            tmp_path,
            objective=partial(triplet_loss, margin=0.2),
            recipe={"epochs": 1},
            resume=True,
        )


def test_images_in_files_are_known_again(tmp_path):
    write_images(tmp_path, ["a/1.png", "a/2.png", "b/1.png"])
    before = read_people(tmp_path).digest()
    assert read_people(tmp_path).digest() == before
    write_images(tmp_path, ["b/1.png"])  # black, not grey
    assert read_people(tmp_path).digest() != before


def test_a_second_training_in_a_folder_is_refused(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(InputError, match="to be free, but another run is writing there"),
    ):
        train(tmp_path, recipe={"epochs": 1})
    train(tmp_path, recipe={"epochs": 1})


def test_one_label_cannot_be_told_apart(tmp_path):
    with pytest.raises(InputError, match="at least two labels to tell apart, got 4 of one: 'p0'"):
        train(tmp_path, faces=noise_faces(1, 4), recipe={"epochs": 1})


def test_a_loss_that_is_not_finite_is_said(tmp_path):
    with pytest.raises(InputError, match="the loss became (nan|inf) in epoch 1: lower"):
        train(tmp_path, recipe={"optimizer": "sgd", "learning_rate": 1e38})
    assert not (tmp_path / "weights.safetensors").exists()


def test_mixed_precision_is_for_gpus(tmp_path):
    with pytest.raises(InputError, match="CUDA GPU for mixed precision, got device 'cpu'"):
        train(tmp_path, recipe={"mixed": True})


def test_colour_or_grey_is_the_networks_own(tmp_path):
    """The same faces train a network that takes BGR and one that takes grey."""
    rgb = get_spec("resnet50-vggface2").preprocessing
    seen = []

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x):
            seen.append(x.detach())
            return self.fc(x.mean((2, 3)) / 100)

    faces = noise_faces(2, 2, side=256)
    train(
        tmp_path,
        module=Mean(),
        faces=faces,
        preprocessing=rgb,
        augment=None,
        recipe={"epochs": 1},
        batches=partial(shuffled, n_images=4, batch_size=4),
    )
    order = shuffled(0, n_images=4, batch_size=4)[0][:, 0]
    wanted = faces.image(order[0])[16:240, 16:240, ::-1].transpose(2, 0, 1)
    mean = np.array(rgb.mean)[:, None, None]
    np.testing.assert_allclose(seen[0][0].numpy(), wanted - mean, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "build", "layer"),
    [
        ("siamese-lfw", partial(SiameseNet, n_out=8), "embedding.fc"),
        ("densenet-fer2013", partial(DenseNet, n_out=4), "fc"),
    ],
)
def test_written_weights_open_by_name(name, build, layer, tmp_path):
    faces, module = noise_faces(2, 2, side=24), build()
    initialise(module, 0)
    spec = get_spec(name)
    train(
        tmp_path,
        module=module,
        faces=faces,
        preprocessing=spec.preprocessing,
        recipe={"epochs": 1, "learning_rate": 1e-4},
    )
    network = load_network(name, weights=tmp_path / "weights.safetensors", device="cpu")
    x = network.preprocess([faces.image(0)])
    with torch.inference_mode():
        assert torch.equal(network.module(x), module(x))
    assert not module.training
    settings = json.loads(safetensors_metadata(tmp_path / "weights.safetensors")["settings"])
    assert settings["recipe"]["learning_rate"] == 1e-4
    assert (
        network.module.get_submodule(layer).weight.shape == module.get_submodule(layer).weight.shape
    )


def safetensors_metadata(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as stream:
        return stream.metadata()


def test_rows_for_cosines_are_saved_at_length_one(tmp_path):
    module = tiny()
    layer = use_classes(module, "fc", cosines=True)
    logits = partial(arcface_logits, scale=8.0)
    train(tmp_path, module=module, objective=partial(partial_loss, layer=layer, logits=logits))
    state = read_weights(tmp_path / "weights.safetensors")
    torch.testing.assert_close(state["fc.weight"].norm(dim=1), torch.ones(4))
    assert not state["fc.bias"].any()
    plain = tiny()
    fill(plain, state, source="file")
    x = torch.rand(5, 1, 48, 48)
    features = plain.eval().norm(plain.pool(x).flatten(1))
    torch.testing.assert_close(plain(x) / features.norm(dim=1, keepdim=True), module(x))


def test_damaged_images_are_named(tmp_path):
    write_images(tmp_path / "people", ["a/1.png", "a/2.png", "b/1.png", "b/2.png"])
    (tmp_path / "people" / "a" / "2.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"a.2\.png cannot be read"):
        train(tmp_path / "out", faces=read_people(tmp_path / "people"))


PROCESS = """
module = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(36, 4))
initialise(module, int(os.environ.get("RANK", 0)))
train({whole!r}, module=module, augment=None, recipe={{"epochs": 2, "clip": 1.0}},
      batches=partial(shuffled, n_images=16, batch_size=4))
# Threads of the group that outlive it can abort the process while it exits.
tasks = Path("/proc/self/task")
names = [(task / "comm").read_text() for task in tasks.glob("*")]
sys.exit(any("gloo" in name for name in names))
"""


@pytest.fixture(scope="module")
def in_two(tmp_path_factory):
    """Run both programs in two processes; return the folder of what they trained."""
    folder = tmp_path_factory.mktemp("in_two")
    names = {name: str(folder / name) for name in ("whole", "divided")}
    names["tests"] = str(Path(__file__).parent)
    program = folder / "program.py"
    program.write_text("".join((DIVIDED + PROCESS).format(**names)))
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    command = [sys.executable, *run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(in_two, tmp_path):
    """By gloo on the CPU; DistributedDataParallel sends process 0's start to the other."""
    module = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(36, 4))
    initialise(module, 0)
    _, log = train(
        tmp_path / "one",
        module=module,
        augment=None,
        recipe={"epochs": 2, "clip": 1.0},
        batches=partial(shuffled, n_images=16, batch_size=4),
    )
    two = read_weights(in_two / "whole" / "weights.safetensors")
    for name, value in module.state_dict().items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5)
    both = pd.read_csv(in_two / "whole" / "log.csv", index_col="epoch")
    np.testing.assert_allclose(both["loss"], log["loss"], rtol=1e-5)


DIVIDED = """
import copy, sys
sys.path.insert(0, {tests!r})
from test_training import *
from torch import distributed
from rsa_faces.networks.training._steps import world

torch.set_num_threads(1)


def parts(module, layer, x, labels, logits, share):
    loss = partial_loss(module(x), labels, layer=layer, share=share, logits=logits,
                        generator=torch.Generator().manual_seed(7))
    loss.backward()
    return loss.detach()


class Stop(Exception):
    pass


def stop(step):
    if step == 6:
        raise Stop


with world() as (rank, n_ranks):
    for logits in (None, arcface_logits, partial(cosface_logits, scale=8.0)):
        for share, n_classes in ((1.0, 21), (0.3, 21), (0.02, 40)):
            torch.manual_seed(0)
            whole = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, n_classes)).double()
            layer = use_classes(whole, "1", cosines=logits is not None, divided=True).double()
            half = copy.deepcopy(whole)
            half[1].divide(rank, n_ranks, "cpu")
            x, labels = torch.randn(6, 5).double(), torch.tensor([0, 7, 7, 3, 19, 0])
            loss = parts(whole, layer, x, labels, logits, share)
            mine = slice(3 * rank, 3 * rank + 3)
            assert torch.isclose(parts(half, half[1], x[mine], labels[mine], logits, share), loss)
            assert half[1].weight.shape[0] in (n_classes // 2, n_classes - n_classes // 2)
            grad = half[0].weight.grad  # the mean over processes, as DistributedDataParallel takes
            distributed.all_reduce(grad)
            torch.testing.assert_close(grad / n_ranks, whole[0].weight.grad)
            for one, other in zip(half[1].parameters(), layer.parameters()):
                if other.requires_grad:
                    torch.testing.assert_close(one.grad, other.grad[half[1].held()])
    for onward in (stop, None):  # stopped in the second epoch, and started again
        try:
            fit_divided({divided!r}, start=rank if onward else 0, on_step=onward, resume=not onward)
        except Stop:
            pass
"""


def fit_divided(out, *, start=0, **options):
    """Train a layer that two processes may divide: AdamW, a short gradient, sampled classes."""
    module = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(36, 6), nn.Linear(6, 4))
    layer = use_classes(module, "3", cosines=True, divided=True)
    initialise(module, start)
    shown = []
    fit(
        module,
        partial(partial_loss, layer=layer, logits=partial(cosface_logits, scale=4.0)),
        noise_faces(),
        recipe=Recipe(epochs=2, optimizer="adamw", clip=0.1),
        preprocessing=GREY48,
        batches=partial(shuffled, n_images=16, batch_size=4),
        out=out,
        device="cpu",
        validate=lambda module: shown.append(module(torch.ones(2, 1, 48, 48)).shape) or {},
        **options,
    )
    assert set(shown) <= {(2, 4)}
    assert module[3].weight.shape == (4, 6)
    return module


@pytest.mark.slow
def test_classes_divided_between_two_processes_give_the_loss_and_weights_of_one(in_two, tmp_path):
    fit_divided(tmp_path)
    runs = tmp_path, in_two / "divided"
    one, two = (read_weights(run / "weights.safetensors") for run in runs)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5)
    states = [torch.load(run / "checkpoint.pt")["optimizer"] for run in runs]
    for key, slots in states[0]["state"].items():
        torch.testing.assert_close(states[1]["state"][key], slots, atol=1e-5, rtol=1e-4)


# --- the bundled example ----------------------------------------------------------------------


def test_siamese_orl_is_as_described():
    spec = SPECS[1]
    assert sha256_file(spec.weights_path) == spec.sha256
    assert spec.weights_path.stat().st_size < 6e6
    assert "AT&T Laboratories Cambridge" in spec.citation
    licence = spec.weights_path.with_name("siamese-orl.LICENSE.txt").read_text()
    assert "credit AT&T Laboratories Cambridge" in " ".join(licence.split())
    module = SiameseNet(n_out=256, width=16)
    fill(module, read_weights(spec.weights_path), source=spec.weights)
    names = dict(module.named_modules())
    assert all(layer in names for layer in spec.layers)
    assert spec.preprocessing == GREY105


def test_importing_training_loads_no_torch():
    code = "import sys, rsa_faces.networks.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- scripts ----------------------------------------------------------------------------------


def run_script(name, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


@pytest.mark.slow
def test_scripts_train_on_folders(tmp_path):
    faces = noise_faces(6, 4, side=48)
    data, common = tmp_path / "people", ["--epochs", 1, "--device", "cpu"]
    for i, name in enumerate(faces.ids):
        path = data / name[:2] / f"{name[:2]}_000{int(name[3]) + 1}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.image(i)).save(path)
    (tmp_path / "pairs.txt").write_text("2 1\np0 1 2\np0 1 p1 2\np2 1 2\np2 1 p3 2\n")
    small = ["--width", 2, "--n-out", 4, "--held-out", 0]
    how = ["--data", data, "--out", tmp_path / "s", *small, *common]
    tested = ["--test", data, "--pairs", tmp_path / "pairs.txt"]
    done = run_script("train_siamese.py", *how, *tested)
    assert done.returncode == 0, done.stderr
    assert "training on 8 images of 2 people; 4 tested people are left out" in done.stdout
    assert "4 pairs of pairs.txt: AUC" in done.stdout
    again = run_script("train_siamese.py", *how)
    assert again.returncode == 2
    assert re.match("error: .*checkpoint.pt is there already", again.stderr.splitlines()[-1])
    how = ["--data", data, "--out", tmp_path / "i", "--held-out", 2, *common]
    done = run_script("train_identity.py", *how, "--objective", "arcface", "--share", 0.5)
    assert done.returncode == 0, done.stderr
    assert "auc" in done.stdout
    load_network("densenet-celeba", weights=tmp_path / "i" / "weights.safetensors", device="cpu")


def in_process(script, monkeypatch, *arguments):
    """Run a training script here, with a narrow DenseNet."""
    narrow = partialmethod(DENSENET, growth=4)
    monkeypatch.setattr(DenseNet, "__init__", narrow)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments), "--device", "cpu"])
    importlib.import_module(script).run()


def test_given_pairs_may_share_images(tmp_path, monkeypatch, capsys):
    """As LFW's do: in a first batch of 64 they nearly always do."""
    names = [f"{name}/{name}_000{i}.jpg" for name in ("Ann", "Bo", "Cy") for i in (1, 2)]
    write_images(tmp_path / "LFW", names, side=30)
    pairs = ["Ann 1 2", "Bo 1 2", "Cy 1 2", "Ann 1 Bo 1", "Ann 1 Cy 2", "Bo 1 Cy 1"]
    (tmp_path / "pairsDevTrain.txt").write_text("\n".join(["3", *pairs]))
    small = ["--epochs", 1, "--batch", 64, "--width", 2, "--n-out", 4]
    data = ["--data", tmp_path / "LFW", "--train-pairs", tmp_path / "pairsDevTrain.txt"]
    in_process("train_siamese", monkeypatch, *data, "--out", tmp_path / "run", *small)
    assert "training on 6 images of 3 people" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "run" / "log.csv")) == 1


def test_the_paper_on_identity_can_be_run(tmp_path, monkeypatch, capsys):
    """Its recipe end to end, on a few simulated people."""
    folder = celeba(tmp_path / "CelebA", n_people=3, n_each=6)
    small = ["--epochs", 2, "--batch", 8, "--held-out-images", 2]
    how = ["--celeba", folder, "--recipe", "celeba", "--out", tmp_path / "run", *small]
    in_process("train_identity", monkeypatch, *how)
    assert "training on 12 images of 3 people" in capsys.readouterr().out
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert log["learning_rate"].tolist() == [0.1, 0.1]
    assert set(log["top-1"] * 6) <= set(range(7))
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    recipe = json.loads(state["settings"])["recipe"]
    assert (recipe["optimizer"], recipe["schedule"], recipe["decay"]) == ("sgd", "steps", 0.5)
    assert round(Recipe(**recipe | {"epochs": 201}).rate(65.0), 9) == 0.025
    assert recipe["milestones"] == [30, 60, 90, 120, 150, 180]
    with pytest.raises(InputError, match="objective.logits: 'None' then"):
        in_process("train_identity", monkeypatch, *how, "--resume", "--objective", "cosface")
    margin = ["--objective", "cosface", "--share", 0.5, "--divide", "--degrade", "blur", "mask"]
    how = ["--celeba", folder, "--out", tmp_path / "margin", *small, "--held-out", 0, *margin]
    in_process("train_identity", monkeypatch, *how)
    state = torch.load(tmp_path / "margin" / "checkpoint.pt", weights_only=True)
    settings = json.loads(state["settings"])
    assert settings["objective"]["logits"]["function"] == "cosface_logits"
    assert settings["augment"]["degradations"] == ["blur", "mask"]


def test_the_paper_on_expression_can_be_run(tmp_path, monkeypatch, capsys):
    _, rows = fer_rows(9)
    write_fer(tmp_path / "fer.csv", rows)
    how = ["--fer2013", tmp_path / "fer.csv", "--out", tmp_path / "e", "--epochs", 1]
    in_process("train_expression", monkeypatch, *how, "--recipe", "fer2013", "--batch", 4)
    assert "PrivateTest: {'accuracy'" in capsys.readouterr().out
    state = torch.load(tmp_path / "e" / "checkpoint.pt", weights_only=True)
    settings = json.loads(state["settings"])
    assert settings["recipe"]["schedule"] == "constant"
    assert settings["recipe"]["learning_rate"] == 0.01
    assert settings["augment"] == {"crop": 0.0, "flip": 0.0}


# --- learning from photographs ----------------------------------------------------------------


@pytest.fixture(scope="module")
def london():
    """Faces of 102 people, neutral and smiling, cut out at one place: stimuli."""
    if not LONDON.exists():
        pytest.skip("the London faces are not here")
    stimuli = load_stimuli(LONDON / "images", manifest=LONDON / "images.csv")
    images = [stimuli.image(name)[70:270, 70:270] for name in stimuli.ids]
    return StimulusSet.from_arrays(images, stimuli.ids, stimuli.metadata)


class Small(nn.Sequential):
    """Three convolutions and one linear layer, grey 48 px to n outputs."""

    def __init__(self, n_out):
        super().__init__()
        for n_in, n, size in ((1, 16, 5), (16, 32, 3), (32, 32, 3)):
            self.append(nn.Conv2d(n_in, n, size, 2, padding=size // 2))
            self.append(nn.BatchNorm2d(n))
            self.append(nn.ReLU())
        self.append(nn.Flatten())
        self.append(nn.Linear(32 * 36, n_out))
        initialise(self, 0)


def learn(tmp_path, module, objective, faces, batches, epochs):
    """Train; return the log."""
    return train(
        tmp_path,
        module=module,
        objective=objective,
        faces=faces,
        batches=batches,
        recipe={"epochs": epochs, "learning_rate": 1e-3},
    )[1]


@pytest.mark.slow
@pytest.mark.simulation
@pytest.mark.parametrize(
    ("share", "logits"),
    [(1.0, None), (0.2, None), (1.0, partial(arcface_logits, scale=16.0))],
)
def test_people_are_recognised_smiling_who_were_seen_neutral(share, logits, london, tmp_path):
    faces = LabelledFaces.from_stimuli(london, "identity")
    neutral = (london.metadata["expression"] == "neutral").to_numpy()
    seen, unseen = (faces.subset(np.flatnonzero(part)) for part in (neutral, ~neutral))
    module = Small(102)
    torch.manual_seed(0)
    layer = use_classes(module, "10", cosines=logits is not None)
    objective = partial(partial_loss, layer=layer, share=share, logits=logits)
    log = learn(
        tmp_path, module, objective, seen, partial(shuffled, n_images=102, batch_size=17), 40
    )
    assert log["loss"].iloc[-1] < 0.6 * log["loss"].iloc[0]
    outputs = compute_outputs(module, unseen, preprocessing=GREY48)
    # Chance is 1 of 102; by chance 5 or more would be right in 0.4 % of runs.
    assert accuracy(outputs, unseen.labels)["accuracy"] >= 6 / 102


def held_out_auc(module, faces, stimuli):
    """AUC of pairs of a neutral with a smiling face, by the cosine."""
    index, same = all_pairs(faces)
    expression = stimuli.metadata["expression"][list(faces.ids)].to_numpy()
    crossed = expression[index[:, 0]] != expression[index[:, 1]]
    outputs = compute_outputs(module, faces, preprocessing=GREY48)
    return area_under_roc(pair_scores(outputs, index[crossed]), same[crossed])


@pytest.mark.slow
@pytest.mark.simulation
def test_triplets_help_with_people_never_seen(london, tmp_path):
    faces = LabelledFaces.from_stimuli(london, "identity")
    seen, unseen = faces.split(30, seed=0)
    module = Small(32).eval()
    before = held_out_auc(module, unseen, london)
    log = learn(
        tmp_path,
        module,
        triplet_loss,
        seen,
        partial(by_person, labels=seen.labels, n_people=12, n_images=2),
        40,
    )
    assert log["loss"].iloc[-1] < 0.5 * log["loss"].iloc[0]
    after = held_out_auc(module, unseen, london)
    assert before < 0.9 < 0.95 < after


@pytest.mark.slow
@pytest.mark.simulation
def test_expressions_are_recognised_in_people_never_seen(london, tmp_path):
    faces = LabelledFaces.from_stimuli(london, "expression")
    people = LabelledFaces.from_stimuli(london, "identity")
    held_out = np.isin(people.labels, np.random.default_rng(0).choice(102, 30, replace=False))
    seen, unseen = (faces.subset(np.flatnonzero(part)) for part in (~held_out, held_out))
    module = Small(2)
    log = learn(
        tmp_path,
        module,
        softmax_loss,
        seen,
        partial(shuffled, n_images=len(seen), batch_size=16),
        30,
    )
    assert log["loss"].iloc[-1] < 0.5 * log["loss"].iloc[0]
    outputs = compute_outputs(module, unseen, preprocessing=GREY48)
    assert accuracy(outputs, unseen.labels)["balanced accuracy"] > 0.75


@pytest.mark.slow
@pytest.mark.skipif(not LONDON.exists(), reason="the London faces are not here")
def test_siamese_orl_does_on_london_photographs_what_its_licence_file_says():
    stimuli = load_stimuli(LONDON / "images", manifest=LONDON / "images.csv")
    faces = LabelledFaces.from_stimuli(stimuli, "identity")
    module = SiameseNet(n_out=256, width=16)
    fill(module, read_weights(SPECS[1].weights_path), source="siamese-orl")
    index, same = all_pairs(faces)
    expression = stimuli.metadata["expression"].to_numpy()
    crossed = expression[index[:, 0]] != expression[index[:, 1]]
    outputs = compute_outputs(module, faces, preprocessing=GREY105)
    scores = pair_scores(outputs, index[crossed], score=module.head)
    assert area_under_roc(scores, same[crossed]) == pytest.approx(0.971, abs=0.0015)
