"""Clips over time: frames, movement, what it adds to averages, moments against recordings."""

from itertools import pairwise, permutations

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.analyses import movement, movement_adds
from rsa_faces.extraction import FramePatterns, extract_frames
from rsa_faces.inference import compare_movies
from rsa_faces.rdm import frame_rdms
from rsa_faces.runs import AnalysesConfig
from rsa_faces.runs.analyse.run import AnalyseRun
from rsa_faces.stimuli import _video

NAMES = [f"clip {i:02d}" for i in range(14)]
TIMES = np.arange(8) / 5


def planted(seed=0):
    """Looks that last, and movement: one layer follows it, the other sees noise in its place."""
    rng = np.random.default_rng(seed)
    look = 3 * rng.normal(size=(14, 20, 1))
    walk = rng.normal(size=(14, 20, 8)).cumsum(axis=2)
    layers = {"still": look + rng.normal(size=walk.shape), "moving": look + walk}
    return FramePatterns(layers, NAMES, TIMES, network="planted")


def z(x):
    return (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)


def recorded(movie, lag, rng, n_subjects=8):
    """Subjects who see each moment of a movie so many frames later, with noise."""
    seen = z(movie.vectors)[np.maximum(np.arange(8) - lag, 0)]
    values = np.tile(seen, (n_subjects, 1)) + 2 * rng.normal(size=(8 * n_subjects, 91))
    labels = {"subject": np.repeat(range(n_subjects), 8), "time": np.tile(TIMES, n_subjects)}
    return rf.RDMs(values, NAMES, "simulated", labels)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for name, n in (("a", 4), ("b", 4), ("c", 5)):
        frames = rng.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
        _video.write(folder / f"{name}.mp4", list(frames), rate=5)
    return rf.load_clips(folder)


def test_frames_are_what_single_images_give(clips):
    network = rf.load_network("pixels", device="cpu")
    with pytest.raises(InputError, match="'c' has 5"):
        extract_frames(network, clips, rate=5, progress=False)
    found = extract_frames(network, clips, rate=5, shortest=True, progress=False)
    assert (found.conditions, found.times.tolist()) == (("a", "b", "c"), [0, 0.2, 0.4, 0.6])
    for i, name in enumerate("abc"):
        shown = list(clips.frames(name, rate=5))[:4]
        one = rf.extract(network, rf.StimulusSet.from_arrays(shown, list("0123")), progress=False)
        np.testing.assert_allclose(found["pixels"][i].T, one["pixels"], rtol=1e-5)
        shown = np.array(shown, float)
        change = np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(clips.pixel_change(name, rate=5)[:3], change)
    mean = rf.clip_rdms(network, clips.subset(["a", "b"]), rate=5, progress=False).vectors
    other = frame_rdms(found, of="average").subset(["a", "b"]).vectors
    np.testing.assert_allclose(mean, other, rtol=1e-5)


def test_shuffled_frames_keep_averages_and_lose_order():
    frames = planted()
    shuffled = frames.shuffled(seed=1)
    for layer in frames:  # the same frames, each clip in an order of its own
        np.testing.assert_array_equal(
            np.sort(frames[layer], axis=2), np.sort(shuffled[layer], axis=2)
        )
    same, other = (frame_rdms(x, of="average").vectors for x in (frames, shuffled))
    np.testing.assert_allclose(same, other, atol=1e-12)
    r = rf.compare(
        frame_rdms(shuffled, of="movement"), frame_rdms(frames, of="movement"), method="pearson"
    )
    assert abs(r[1, 1]) < 0.4
    before, after = movement(frames), movement(shuffled)
    assert abs(before.table["order"][0]) < 0.1
    assert before.table["order"][1] > 0.5
    assert (before.table["p_corrected"] < 0.05).tolist() == [False, True]
    assert after.table["p_corrected"].min() > 0.05
    columns = "change_shuffled"
    np.testing.assert_allclose(before.table[columns], after.table[columns])
    again = frames.shuffled(seed=1).shuffled(seed=2)
    np.testing.assert_array_equal(np.sort(again["moving"]), np.sort(shuffled["moving"]))


def test_movement_is_that_of_a_loop():
    x = np.random.default_rng(2).normal(size=(3, 6, 4))
    people = {"a": 1, "b": 1, "c": 2}
    found = movement(FramePatterns({"one": x}, list("abc"), range(4)), people=people)

    def change(own, order):
        return np.mean([1 - np.corrcoef(own[:, i], own[:, j])[0, 1] for i, j in pairwise(order)])

    every = [[change(own, order) for order in permutations(range(4))] for own in x]
    orders = [1 - change(own, range(4)) / np.mean(e) for own, e in zip(x, every, strict=True)]
    np.testing.assert_allclose(found.clips["change_shuffled"], np.mean(every, axis=1))
    np.testing.assert_allclose(found.clips["order"], orders)
    people_means = [np.mean(orders[:2]), orders[2]]
    row = found.table.iloc[0]
    assert row["order"] == pytest.approx(np.mean(people_means))
    assert (row["n_people"], row["n_clips"]) == (2, 3)
    # p against all orders of all clips, each clip on its own.
    null = [1 - np.array(e) / np.mean(e) for e in every]
    null = (null[0][:, None, None] + null[1][:, None]) / 4 + null[2] / 2
    exact = np.mean(np.abs(null) >= abs(row["order"]) - 1e-9)
    assert row["p"] == pytest.approx(exact, abs=0.06)


def test_clips_that_do_not_move_are_left_out_and_said():
    x = np.random.default_rng(3).normal(size=(4, 6, 5))
    x[1] = x[1, :, :1]
    with pytest.warns(UserWarning, match="1 of 4 clips do not move in layer 'one'"):
        found = movement(FramePatterns({"one": x}, list("abcd"), range(5)))
    assert found.table["n_clips"].tolist() == [3]
    assert np.isnan(found.clips.loc[1, "order"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_movement_adds_is_found_and_falls_with_shuffled_frames():
    frames = planted()
    rng = np.random.default_rng(4)
    moving = frame_rdms(frames, of="movement").vectors[1]
    look = frame_rdms(frames, of="average").vectors[1]
    values = z(moving) + z(look) + rng.normal(size=(8, 91))
    data = rf.RDMs(values, NAMES, "simulated", {"subject": range(8)})
    found = movement_adds(frames, data, n_boot=20, n_permutations=99)
    r2 = found.table.pivot(index="layer", columns="part", values="r2_adjusted")
    p = found.table.pivot(index="layer", columns="part", values="p_corrected")
    assert r2.loc["moving", "movement only"] > 0.25
    assert p.loc["moving", "movement only"] < 0.05
    assert r2.loc["moving", "movement only, frames shuffled"] < 0.05
    assert r2.loc["still", "movement only"] < 0.1
    both = {
        "movement": frame_rdms(frames, of="movement")[[1]],
        "average": frame_rdms(frames, of="average")[[1]],
    }
    by_hand = rf.variance_partition(data, both, n_boot=20, n_permutations=0).table["r2_adjusted"]
    names = ["movement only", "average only", "both"]
    np.testing.assert_allclose(r2.loc["moving", names], by_hand)


def test_the_planted_lag_is_found_beside_averages_and_not_in_shuffled_frames():
    frames = planted()
    movie = frame_rdms(frames, measure="euclidean")
    data = recorded(movie[8:], 2, np.random.default_rng(5))
    average = frame_rdms(frames, of="average", measure="euclidean")
    found = compare_movies(movie, data, given=average, n_permutations=255)
    peaks = found.peaks.set_index("layer")
    assert peaks.loc["moving", ["lag", "ci_low", "ci_high"]].tolist() == [0.4, 0.4, 0.4]
    best = found.table.set_index(["layer", "lag"])
    assert best.loc[("moving", 0.4), "p_corrected"] < 0.05
    assert best.loc["still", "timing"].abs().max() < best.loc[("moving", 0.4), "timing"] / 4
    other = compare_movies(
        frame_rdms(frames.shuffled(seed=0), measure="euclidean"), data, n_permutations=255
    )
    assert other.table["p_corrected"].min() > 0.05
    # A loop over subjects and times, with the layer's own average taken out.
    loop = np.mean(
        [
            rf.compare(movie[8:], data.sel(subject=s), method="spearman", given=average[[1]])
            for s in range(8)
        ],
        axis=0,
    )
    np.testing.assert_allclose(found.similarity[0, 1], loop, atol=1e-12)
    row = best.loc[("moving", 0.4)]
    assert row["similarity"] == pytest.approx(np.diagonal(loop, 2).mean())
    centred = loop - loop.mean(0) - loop.mean(1)[:, None] + loop.mean()
    assert row["timing"] == pytest.approx(np.diagonal(centred, 2).mean())
    assert row["n_moments"] == 6
    figure = rf.figures.plot_movies(found, layers=["still", "moving"])
    assert len(figure.axes[1].get_lines()) >= 4


@pytest.mark.simulation
def test_moments_that_do_not_correspond_are_found_seldom():
    found = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        look = 2 * rng.normal(size=91)
        model = rf.RDMs(rng.normal(size=(8, 91)) + look, NAMES, "simulated", {"time": TIMES})
        nothing = rf.RDMs(np.tile(look, (8, 1)), NAMES, "simulated")
        table = compare_movies(model, recorded(nothing, 0, rng), n_permutations=255).table
        found += table["p_corrected"].min() <= 0.05
    assert found <= 5  # P(more than 5 of 30) = .3 %


def test_what_is_asked_for_wrongly(clips, tmp_path):
    frames, rng = planted(), np.random.default_rng(6)
    movie = frame_rdms(frames)
    data = recorded(movie[8:], 0, rng)
    with pytest.raises(InputError, match="use rsa_faces.inference.compare_movies"):
        movement_adds(frames, data)
    with pytest.raises(InputError, match="label 'time' in seconds, as frame_rdms gives it"):
        compare_movies(frame_rdms(frames, of="average"), data)
    with pytest.raises(InputError, match="same even steps in model and data.*0.2.*0.4"):
        compare_movies(movie, data.sel(time=[0.0, 0.4, 0.8, 1.2]))
    with pytest.raises(InputError, match="`given` with one RDM for each layer"):
        compare_movies(movie, data, given=movie)
    with pytest.raises(InputError, match="at least 3 frames.*got 2"):
        movement(FramePatterns({"one": frames["still"][:, :, :2]}, NAMES, [0, 1]))
    with pytest.raises(InputError, match="`window` and `step` for moments only"):
        frame_rdms(frames, of="average", window=1.0)
    with pytest.raises(InputError, match=r"shape \(n_clips, n_channels, 3\), got \(14, 20, 8\)"):
        FramePatterns({"one": frames["still"]}, NAMES, [0, 1, 2])
    config = {
        "title": "t",
        "stimuli": {"clips": str(clips.paths[0].parent)},
        "networks": ["pixels"],
        "analyses": [{"analysis": "movement"}],
    }
    with pytest.raises(InputError, match="expected `clips` and a `rate` in `stimuli`"):
        AnalyseRun(AnalysesConfig.model_validate(config), tmp_path / "o").check()
