"""Landmarks: measured by hand; read-out equal to the plain one, right where planted, fair else."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from drawn import panels
from scipy import stats

import rsa_faces as rf
from rsa_faces.analyses import readout
from rsa_faces.analyses.information._templates import DISTANCES, TEMPLATES
from rsa_faces.analyses.information.landmarks import (
    face_size,
    landmark_readout,
    measure_landmarks,
    read_landmarks,
)

matplotlib.use("Agg")
LONDON = Path(__file__).parents[2] / "shared" / "data" / "london"
needs_london = pytest.mark.skipif(not LONDON.exists(), reason="the London set is not here")


def names(n):
    return [f"face {i:03d}" for i in range(n)]


def simulated(n=60, n_channels=25, seed=0):
    """Features, measurements and sizes; channel 0 is the nose, channel 1 the size."""
    rng = np.random.default_rng(seed)
    size = rng.normal(100, 10, n)
    table = pd.DataFrame(
        {
            "nose": 0.4 * size + rng.normal(0, 4, n),
            "mouth": rng.normal(40, 3, n),
            "pupils": 0.5 * size + rng.normal(0, 2, n),
        },
        names(n),
    )
    features = rng.normal(size=(n, n_channels))
    nosy, sized = features.copy(), features.copy()
    nosy[:, 0] += table["nose"]
    sized[:, 1] += size
    layers = {"noise": features, "nose": nosy, "size": sized}
    return layers, table, pd.DataFrame({"size": size}, names(n))


def by_hand(points):
    """A measurement, its two landmarks in the London template."""
    return {
        "pupil distance": (0, 1),
        "nose width": (63, 68),
        "mouth width": (87, 93),
        "face width": (110, 113),
        "jaw width": (125, 133),
        "philtrum length": (55, 90),
        "lip height": (90, 106),
        "chin height": (106, 129),
    }


def test_distances_by_hand():
    points = np.random.default_rng(0).uniform(0, 300, size=(4, 189, 2))
    table = measure_landmarks(points, conditions=names(4))
    for what, (a, b) in by_hand(points).items():
        expected = np.sqrt(((points[:, a] - points[:, b]) ** 2).sum(axis=1))
        np.testing.assert_allclose(table[what], expected)
    nasion = (points[:, 51] + points[:, 57]) / 2
    np.testing.assert_allclose(table["nose length"], np.linalg.norm(nasion - points[:, 55], axis=1))
    widths = [np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in ((18, 22), (23, 27))]
    np.testing.assert_allclose(table["eye width"], np.mean(widths, axis=0))
    assert list(table.columns) == [*DISTANCES, "roll", "yaw", "pitch"]


def test_relative_measurements_do_not_depend_on_size_place_and_turn():
    points = np.random.default_rng(1).uniform(0, 300, size=(3, 68, 2))
    turn = np.radians(20)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    options = {"conditions": names(3), "template": "ibug-68", "relative": True}
    a = measure_landmarks(points, **options)
    b = measure_landmarks(points @ matrix.T * 1.7 + [30, -4], **options)
    turned = (b.pop("roll") - a.pop("roll")) % 360
    np.testing.assert_allclose(turned, 20)
    pd.testing.assert_frame_equal(a, b)
    assert "pupil distance" not in a
    assert "forehead height" not in a


def test_pose_has_the_sign_that_is_said():
    mine = {
        "pupil_left": [0],
        "pupil_right": [1],
        "nose_tip": [2],
        "cheek_left": [3],
        "cheek_right": [4],
        "mouth_left": [5],
        "mouth_right": [6],
    }
    straight = np.array([[20, 20], [40, 20], [30, 30], [10, 28], [50, 28], [25, 40], [35, 40.0]])
    right, down = straight.copy(), straight.copy()
    right[2, 0] += 5
    down[2, 1] += 5
    found = measure_landmarks({"a": straight, "b": right, "c": down}, template=mine)
    assert found["yaw"].tolist() == [0, 0.25, 0]
    assert found["pitch"].tolist() == [0.5, 0.5, 0.75]
    # Clockwise as seen: the right pupil lower.
    straight[1, 1] += 20
    assert measure_landmarks({"a": straight}, template=mine)["roll"].iloc[0] == pytest.approx(45)


def test_size_by_hand():
    points = np.array([[[0, 0], [4, 0], [4, 3], [0, 3.0]]])
    found = face_size(points * 2, conditions=["a"])
    assert found.loc["a"].tolist() == [10.0, 4.0, 3.0]


def test_wrong_landmarks_are_told(tmp_path):
    with pytest.raises(rf.InputError, match="unknown template 'ibug68'.*'ibug-68'"):
        measure_landmarks({"a": np.zeros((68, 2))}, template="ibug68")
    with pytest.raises(rf.InputError, match="at least 140 landmarks.*got 68"):
        measure_landmarks({"a": np.zeros((68, 2))})
    with pytest.raises(rf.InputError, match="'b' has NaN"):
        measure_landmarks({"a": np.zeros((68, 2)), "b": np.full((68, 2), np.nan)})
    with pytest.raises(rf.InputError, match=r"got \['brow'\]"):
        measure_landmarks({"a": np.zeros((68, 2))}, template={"brow": [1]})
    with pytest.raises(rf.InputError, match="pupils among"):
        measure_landmarks(
            {"a": np.zeros((68, 2))}, relative=True, template={"nasion": [1], "subnasale": [2]}
        )
    with pytest.raises(rf.InputError, match="at least one face"):
        measure_landmarks({})
    np.savez(tmp_path / "a.npz", points=np.zeros((1, 68, 2)))
    with pytest.raises(rf.InputError, match="'files' and 'points'"):
        read_landmarks(tmp_path / "a.npz")
    with pytest.raises(rf.InputError, match="none.npz"):
        read_landmarks(tmp_path / "none.npz")
    np.savez(tmp_path / "cut.npz", files=["one.jpg"], points=np.zeros((1, 5, 2)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-30])
    with pytest.raises(rf.InputError, match="cut.npz cannot be read"):
        read_landmarks(tmp_path / "cut.npz")
    np.savez(tmp_path / "b.npz", files=["x/one.jpg", "two.png"], points=np.ones((2, 5, 2)))
    assert list(read_landmarks(tmp_path / "b.npz")) == ["one", "two"]


def test_numbers_are_those_of_the_readout():
    layers, table, _ = simulated()
    people = {name: name[-3:-1] for name in table.index}  # ten of each
    found = landmark_readout(
        layers, table, conditions=table.index, across=people, n_folds=4, n_permutations=9, seed=2
    )
    for what in table:
        one = readout(
            layers,
            table[what],
            conditions=list(table.index),
            across=people,
            kind="number",
            n_folds=4,
            n_permutations=9,
            seed=2,
        ).table
        ours = found.table[found.table["measurement"] == what]
        np.testing.assert_allclose(ours[["r", "r2"]], one[["r", "r2"]], rtol=1e-9)
    shown = found.predictions.query("layer == 'nose' and measurement == 'nose'")
    assert shown.groupby(shown["condition"].str[-3:-1])["fold"].nunique().eq(1).all()
    assert found.table["n_people"].eq(6).all()


def test_planted_layers_are_found_and_size_is_not_taken_for_the_nose():
    layers, table, size = simulated(n=90)
    found = landmark_readout(
        layers, table, conditions=table.index, baseline=size, n_permutations=199
    )
    at = found.table.set_index(["layer", "measurement"])
    assert at.loc[("nose", "nose"), "p_corrected"] <= 0.01
    assert at.loc[("nose", "nose"), "p_beyond_corrected"] <= 0.01
    assert at.loc[("nose", "nose"), "gain_low"] > 0
    # A layer that knows the size reads the nose, but no better than size, and nothing beyond it.
    assert at.loc[("size", "nose"), "p"] <= 0.01
    assert at.loc[("size", "nose"), "p_beyond"] > 0.05
    assert at.loc[("size", "nose"), "gain_low"] < 0
    assert (at.loc["noise", "p"] > 0.01).all()
    assert at.loc[("size", "pupils"), "baseline_r2"] > 0.6
    row = at.loc[("nose", "nose")]
    shown = found.predictions.query("layer == 'nose' and measurement == 'nose'")
    y, fold = shown["measured"].to_numpy(), shown["fold"].to_numpy()
    means = np.array([y[fold != f].mean() for f in fold])
    r2 = 1 - ((y - shown["predicted"]) ** 2).sum() / ((y - means) ** 2).sum()
    assert row["r2"] == pytest.approx(r2)
    assert row["gain"] == pytest.approx(row["r2"] - row["baseline_r2"])
    assert row["gain_low"] < row["gain"] < row["gain_high"]


def test_p_values_count_permutations():
    layers, table, size = simulated(n=30)
    options = {"conditions": table.index, "n_permutations": 19, "baseline": size}
    found = landmark_readout(layers, table, **options)
    again = landmark_readout(
        {k: v[::-1] for k, v in layers.items()},
        table.sample(frac=1, random_state=0),
        **options | {"conditions": table.index[::-1]},
    )
    assert (found.table["p"] * 20 % 1 < 1e-9).all()
    assert (found.table["p_corrected"] >= found.table["p"]).all()
    # Matched by name; folds depend on the order of the activations only.
    assert set(again.predictions["condition"]) == set(table.index)
    merged = found.predictions.merge(again.predictions, on=["layer", "measurement", "condition"])
    np.testing.assert_array_equal(merged["measured_x"], merged["measured_y"])
    same = landmark_readout(layers, table.iloc[::-1], **options)
    pd.testing.assert_frame_equal(found.table, same.table)


def test_wrong_readouts_are_told():
    layers, table, size = simulated(n=20)
    rows = {"conditions": list(table.index)}
    with pytest.raises(rf.InputError, match="'nose' is 3 in all"):
        landmark_readout(layers, table.assign(nose=3.0), **rows)
    with pytest.raises(rf.InputError, match="measurements, but 1 conditions.*'face 002'"):
        bad = table.copy()
        bad.iloc[2, 1] = np.nan
        landmark_readout(layers, bad, **rows)
    with pytest.raises(rf.InputError, match="'pupils' is a sum of its columns"):
        landmark_readout(layers, table, baseline=table[["pupils"]], **rows)
    with pytest.raises(rf.ConditionMismatchError, match="only in the activations: 'face 000'"):
        landmark_readout(layers, table.iloc[1:], **rows)
    with pytest.raises(rf.ConditionMismatchError, match="baseline"):
        landmark_readout(layers, table, baseline=size.iloc[1:], **rows)
    kept = landmark_readout(layers, table.iloc[1:], match="intersection", n_permutations=3, **rows)
    assert kept.table["n_left_out"].eq(1).all()
    with pytest.raises(rf.InputError, match="at least 3 people, got 2"):
        landmark_readout(layers, table, across={n: n[-1] < "5" for n in table.index}, **rows)
    with pytest.raises(rf.InputError, match="as many conditions in the same cells"):
        who = dict(zip(table.index, [0] * 4 + [1] * 6 + [2] * 10, strict=True))
        landmark_readout(layers, table, across=who, **rows)
    with pytest.raises(rf.InputError, match="DataFrame indexed by condition, got a Series"):
        landmark_readout(layers, table["nose"], **rows)
    with pytest.raises(rf.InputError, match="strengths above 0"):
        landmark_readout(layers, table, strengths=[-1], **rows)
    with pytest.raises(rf.InputError, match="layer 'flat' has none"):
        landmark_readout({"flat": np.ones((20, 3))}, table, **rows)


def test_figures():
    import matplotlib.pyplot as plt

    from rsa_faces.figures.landmarks import plot_landmark_readout, plot_landmarks

    layers, table, size = simulated(n=30)
    plain = landmark_readout(layers, table, conditions=table.index, n_permutations=19)
    full = landmark_readout(layers, table, conditions=table.index, n_permutations=19, baseline=size)
    ax = panels(plot_landmark_readout(full))[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["baseline", "noise", "nose", "size"]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(table.columns)
    at = full.table.set_index(["measurement", "layer"])
    shown = ax.images[0].get_array()
    assert shown[0, 3] == pytest.approx(at.loc[("nose", "nose"), "r"])
    assert shown[2, 0] == pytest.approx(at.loc[("pupils", "nose"), "baseline_r"])
    n_dots = len(ax.collections[0].get_offsets())
    assert n_dots == (full.table["p_corrected"] <= 0.05).sum() > 0
    assert len(panels(plot_landmark_readout(full, score="gain"))[0].get_xticks()) == 3
    with pytest.raises(rf.InputError, match="baseline for score='gain'"):
        plot_landmark_readout(plain, score="gain")
    with pytest.raises(rf.InputError, match="unknown score 'R'"):
        plot_landmark_readout(plain, score="R")
    points = np.random.default_rng(0).uniform(0, 40, size=(68, 2))
    ax = panels(plot_landmarks(np.zeros((40, 40), np.uint8), points, template="ibug-68"))[0]
    assert {t.get_text().strip() for t in ax.texts} >= {"pupil left", "chin"}
    ax = panels(plot_landmarks(np.zeros((40, 40), np.uint8), points, template=None, numbers=True))[
        0
    ]
    assert [t.get_text() for t in ax.texts] == [str(i) for i in range(68)]
    with pytest.raises(rf.InputError, match="at least 140 points, got 68"):
        plot_landmarks(np.zeros((40, 40), np.uint8), points)
    with pytest.raises(rf.InputError, match=r"shape \(n_landmarks, 2\), got \(68, 1\)"):
        plot_landmarks(np.zeros((40, 40), np.uint8), points[:, :1])
    plt.close("all")


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_features_that_tell_nothing_are_found_at_the_rate_said(grouped):
    rng = np.random.default_rng(5)
    n, n_tables = 45, 250
    who = {name: str(i // 3) for i, name in enumerate(names(n))} if grouped else None
    # Images of one person resemble each other, in features and in measurements.
    person = np.repeat(np.arange(15), 3)
    features = rng.normal(size=(15, 12))[person] + rng.normal(size=(n, 12))
    size = rng.normal(size=n)
    own = rng.normal(size=(15, n_tables))[person] if grouped else 0
    values = own + rng.normal(size=(n, n_tables)) + size[:, None]
    features[:, 0] += 2 * size
    table = pd.DataFrame(values, names(n), [f"m{i}" for i in range(n_tables)])
    found = landmark_readout(
        {"a": features},
        table,
        conditions=names(n),
        across=who,
        n_permutations=99,
        baseline=pd.DataFrame({"size": size}, names(n)),
    ).table
    low, high = stats.binom.ppf([0.005, 0.995], n_tables, 0.05)
    # Rather too few, as size is left over in the features.
    assert (found["p_beyond"] <= 0.05).sum() <= high
    # They do share size with the features, and that is found (0.05 would be chance).
    assert (found["p"] <= 0.05).mean() > 0.3
    blank = landmark_readout(
        {"a": features},
        table.sub(size, axis=0),
        conditions=names(n),
        across=who,
        n_permutations=99,
    ).table
    assert low <= (blank["p"] <= 0.05).sum() <= high


@needs_london
def test_templates_agree_with_a_picture_of_numbered_points():
    landmarks = read_landmarks(LONDON / "landmarks.npz")
    points = np.stack(list(landmarks.values()))
    at = {k: points[:, list(v)].mean(axis=1) for k, v in TEMPLATES["london-189"].items()}
    left_to_right = [
        "cheek_left",
        "eye_outer_left",
        "pupil_left",
        "eye_inner_left",
        "nasion",
        "eye_inner_right",
        "pupil_right",
        "eye_outer_right",
        "cheek_right",
    ]
    x = np.stack([at[k][:, 0] for k in left_to_right])
    assert (np.diff(x, axis=0) > 0).all()
    down = ["hairline", "nasion", "nose_tip", "subnasale", "lip_top", "lip_bottom", "chin"]
    assert (np.diff(np.stack([at[k][:, 1] for k in down]), axis=0) > 0).all()
    assert (at["brow_left"][:, 1] < at["lid_upper_left"][:, 1]).all()
    assert (at["lid_upper_left"][:, 1] < at["lid_lower_left"][:, 1]).all()
    table = measure_landmarks(landmarks, relative=True)
    # Portraits, frontal.
    assert table["roll"].abs().max() < 6
    assert table["yaw"].abs().max() < 0.2
    assert table["face width"].mean() == pytest.approx(2.2, abs=0.1)


@needs_london
@pytest.mark.slow
def test_london_yaw_is_read_from_dlib_and_roll_is_not_once_faces_are_aligned():
    from rsa_faces.networks import detect_landmarks
    from rsa_faces.stimuli import StimulusSet

    landmarks = read_landmarks(LONDON / "landmarks.npz")
    stimuli = rf.load_stimuli(LONDON / "images").subset(list(landmarks))
    crops, corners = [], []
    for name in stimuli.ids:
        low, high = landmarks[name][:134].min(axis=0), landmarks[name][:134].max(axis=0)
        side = int((high - low).max() * 1.05)
        x, y = ((low + high) / 2).astype(int) - side // 2
        crops.append(stimuli.image(name)[y : y + side, x : x + side])
        corners.append([x, y])
    crops = StimulusSet.from_arrays(crops, stimuli.ids)
    found = detect_landmarks(crops, device="cpu") + np.array(corners)[:, None]
    # Two templates, found by people and by a network, measure the same.
    ours = measure_landmarks(landmarks).loc[list(stimuli.ids)]
    theirs = measure_landmarks(found, conditions=stimuli.ids, template="ibug-68")
    r = {name: np.corrcoef(ours[name], theirs[name])[0, 1] for name in theirs}
    assert min(r[k] for k in ("yaw", "pitch", "roll", "face width", "brow height")) > 0.9
    assert min(r[k] for k in ("pupil distance", "mouth width", "nose width", "face height")) > 0.7
    network = rf.load_network("dlib-face", device="cpu")
    activations = rf.extract(
        network, rf.align_faces(stimuli, found), layers=["block2_3", "fc"], progress=False
    )
    result = landmark_readout(
        activations,
        ours[["yaw", "roll", "nose width"]],
        n_permutations=99,
        baseline=face_size(landmarks)[["size"]],
    )
    at = result.table.set_index(["layer", "measurement"])
    assert at.loc[("block2_3", "yaw"), "r"] > 0.8
    assert at.loc[("fc", "yaw"), "p"] > 0.05
    assert (at.xs("roll", level=1)["p"] > 0.05).all()
    assert at.loc[("fc", "nose width"), "p_beyond_corrected"] <= 0.05
