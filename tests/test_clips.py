"""Clips: which frame is shown when, damaged files, means and RDMs over frames, memory."""

import importlib
import logging
import pickle
import sys
import tracemalloc
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.extraction.clips import extract_clips
from rsa_faces.networks import Network, Preprocessing
from rsa_faces.networks._spec import NetworkSpec
from rsa_faces.rdm import clips as clip_module
from rsa_faces.rdm.clips import clip_rdms
from rsa_faces.runs._entries import NetworkConfig
from rsa_faces.runs._networks import Networks
from rsa_faces.runs._sources import crops
from rsa_faces.runs.compare.run import CompareRun
from rsa_faces.stimuli.clips import crop_clips, load_clips

av = pytest.importorskip("av")

SIZE = (16, 24)  # height, width


def make(path, pictures, times=None, *, fps=25, codec="ffv1", turn=None, options=None):
    """Write a video; `pictures` are grey levels or RGB arrays, `times` in seconds."""
    pictures = [
        np.full((*SIZE, 3), p, np.uint8) if np.ndim(p) == 0 else np.asarray(p) for p in pictures
    ]
    times = [Fraction(i, fps) for i in range(len(pictures))] if times is None else times
    clock = {"ffv1": Fraction(1, 1000), "libvpx": Fraction(1, 1000)}.get(codec, Fraction(1, fps))
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        stream.codec_context.time_base = clock
        if turn is not None:
            stream.set_display_rotation(*turn)
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time) / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def levels(clips, name, rate=None):
    """Return the grey level of each frame that is shown."""
    return [round(float(frame.mean())) for frame in clips.frames(name, rate=rate)]


def shown(times, end, rate):
    """The rule, written out: the last frame with a time stamp of at most t (and 1 ms)."""
    result, k = [], 0
    while k == 0 or k / rate + 0.001 < end:
        result.append(max(i for i, at in enumerate(times) if at <= k / rate + 0.001))
        k += 1
    return result


def test_the_frame_shown_at_a_time(tmp_path):
    make(tmp_path / "a.mkv", range(0, 250, 10))  # 25 frames, 1 s: frame i from i/25 s
    clips = load_clips(tmp_path)
    assert levels(clips, "a") == list(range(0, 250, 10))
    assert levels(clips, "a", 25) == list(range(0, 250, 10))
    assert levels(clips, "a", 5) == [0, 50, 100, 150, 200]
    assert levels(clips, "a", 2) == [0, 120]  # 0.5 s: frame 12 began at 0.48 s
    assert levels(clips, "a", 1) == [0]
    assert levels(clips, "a", 50) == [x for x in range(0, 250, 10) for _ in range(2)]
    assert levels(clips, "a", 0.1) == [0]  # a step longer than the clip: the first frame
    assert clips.n_frames("a") == 25
    assert clips.n_frames("a", rate=2) == 2
    frame = next(clips.frames("a"))
    assert frame.dtype == np.uint8
    assert frame.shape == (*SIZE, 3)
    assert not frame.flags.writeable


@pytest.mark.parametrize("seed", range(4))
def test_variable_frame_rate(tmp_path, seed):
    rng = np.random.default_rng(seed)
    times = np.r_[0, np.cumsum(rng.integers(5, 400, 11))] / 1000
    make(tmp_path / "a.mkv", range(0, 240, 20), [Fraction(round(t * 1000), 1000) for t in times])
    clips = load_clips(tmp_path)
    for rate in [0.7, 3, 10, 29.97]:
        expected = [20 * i for i in shown(times, times[-1] + 0.04, rate)]
        assert levels(clips, "a", rate) == expected


def test_thirds_of_a_second_that_the_file_rounds(tmp_path):
    # Matroska says 67 ms for 2/30 s = 66.67 ms: still the frame of that time.
    make(tmp_path / "a.mkv", range(0, 60), fps=30)
    clips = load_clips(tmp_path)
    assert levels(clips, "a", 30) == list(range(60))
    assert levels(clips, "a", 15) == list(range(0, 60, 2))


def test_times_count_from_the_first_frame(tmp_path):
    times = [Fraction(i, 10) + 2 for i in range(10)]
    make(tmp_path / "a.mkv", range(0, 100, 10), times, fps=10)
    assert levels(load_clips(tmp_path), "a", 5) == [0, 20, 40, 60, 80]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mov", "mpeg4"), ("avi", "mpeg4"), ("webm", "libvpx")],
)
def test_formats(tmp_path, suffix, codec):
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV without {codec}")
    make(tmp_path / f"a.{suffix}", range(40, 240, 8), codec=codec)
    clips = load_clips(tmp_path)
    np.testing.assert_allclose(levels(clips, "a", 5), range(40, 240, 40), atol=5)
    assert clips.n_frames("a") == 25


def test_frames_are_turned_and_mirrored(tmp_path):
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:8, :12] = 200  # top left
    picture[8:, :12] = 100  # bottom left
    for name, turn in {
        "none": (0,),
        "left": (90,),
        "half": (180,),
        "right": (-90,),
        "mirror": (0, True, False),
        "both": (90, True, False),
    }.items():
        make(tmp_path / f"{name}.mov", [picture] * 3, codec="mpeg4", turn=turn)
    clips = load_clips(tmp_path)
    expected = {
        "none": picture,
        "left": np.rot90(picture),
        "half": np.rot90(picture, 2),
        "right": np.rot90(picture, -1),
        "mirror": picture[:, ::-1],
        "both": np.rot90(picture)[:, ::-1],
    }
    for name, wanted in expected.items():
        frame = next(clips.frames(name))
        assert frame.shape == wanted.shape, name
        assert np.abs(frame.astype(float) - wanted).mean() < 5, name
    make(tmp_path / "oblique.mov", [picture] * 3, codec="mpeg4", turn=(30,))
    with pytest.raises(InputError, match="turned by a multiple of 90"):
        next(load_clips(tmp_path).frames("oblique"))


def test_colours_keep_their_channels(tmp_path):
    red = np.zeros((*SIZE, 3), np.uint8)
    red[..., 0] = 255
    make(tmp_path / "a.mkv", [red])
    np.testing.assert_array_equal(next(load_clips(tmp_path).frames("a")), red)


@pytest.fixture
def folder(tmp_path):
    """Three clips of 4, 4 and 6 frames, and a file that is none."""
    rng = np.random.default_rng(0)
    for name, n in [("c", 4), ("a", 4), ("B", 6)]:
        pictures = rng.integers(0, 256, (n, *SIZE, 3), dtype=np.uint8)
        make(tmp_path / f"{name}.mkv", list(pictures))
    (tmp_path / "notes.txt").write_text("no clip")
    (tmp_path / "._a.mkv").write_bytes(b"made by an operating system")
    return tmp_path


def test_sets_are_sorted_hashed_and_chosen_from(folder):
    clips = load_clips(folder)
    assert clips.ids == ("B", "a", "c")
    assert [path.name for path in clips.paths] == ["B.mkv", "a.mkv", "c.mkv"]
    assert list(clips) == list(clips.ids)
    assert "a" in clips
    assert "3 clips" in repr(clips)
    assert clips.subset(["c", "a"]).ids == ("a", "c")
    copied = pickle.loads(pickle.dumps(clips))
    assert copied.hash == clips.hash
    assert copied.sha256 == clips.sha256
    (folder / "m.csv").write_text("file,id,smiling\nc.mkv,10,True\na.mkv,02,False\n")
    with pytest.warns(UserWarning, match="1 of 3 clips .* left out: 'B.mkv'"):
        named = load_clips(folder, manifest=folder / "m.csv")
    assert named.ids == ("02", "10")
    assert named.query("smiling").ids == ("10",)
    assert named.metadata["smiling"].tolist() == [False, True]
    assert named.hash != clips.hash


def test_errors_of_sets(folder, tmp_path_factory):
    clips = load_clips(folder)
    with pytest.raises(InputError, match="unknown clip 'A'.* Did you mean 'a'"):
        clips.frames("A")
    for rate in [0, -1, np.nan, 1e9, True, "2"]:
        with pytest.raises(InputError, match="expected a rate above 0"):
            clips.frames("a", rate=rate)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(InputError, match="expected clips .* found none"):
        load_clips(empty)
    (empty / "sub").mkdir()
    make(empty / "sub" / "a.mkv", [1])
    with pytest.raises(InputError, match="subfolders hold some"):
        load_clips(empty)
    with pytest.raises(InputError, match="is not a folder"):
        load_clips(folder / "a.mkv")
    make(folder / "a.mkv", [1, 2, 3])
    with pytest.raises(InputError, match=r"a\.mkv has changed"):
        clips.frames("a")
    (folder / "c.mkv").unlink()
    with pytest.raises(InputError, match=r"c\.mkv: No such file"):
        clips.frames("c")


def test_broken_files_are_named(tmp_path):
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (50, 64, 64, 3), dtype=np.uint8))
    bad = tmp_path / "bad"
    bad.mkdir()

    def refused(name, data, match):
        path = bad / name
        path.write_bytes(data)
        with pytest.raises(InputError, match=match) as caught:
            load_clips(bad)
        assert name in str(caught.value)
        path.unlink()

    refused("empty.mp4", b"", "cannot be read as one")
    refused("text.mkv", b"no video" * 99, "cannot be read as one")
    whole = make(tmp_path / "a.mkv", pictures).read_bytes()
    refused("cut.mkv", whole[: len(whole) * 6 // 10], "and its header says 2.00 s")
    refused("header.mkv", whole[:1000], "has no frames")
    start = {"movflags": "faststart"}
    whole = make(tmp_path / "a.mp4", pictures, codec="mpeg4", options=start).read_bytes()
    refused("cut.mp4", whole[: len(whole) * 6 // 10], "its header says|cannot be read")
    whole = make(tmp_path / "a.avi", pictures, codec="mpeg4").read_bytes()
    refused("cut.avi", whole[: len(whole) * 6 // 10], "its header says|cannot be read")


def test_sound_alone_is_no_clip(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"a\.mkv has no pictures"):
        load_clips(tmp_path)


def test_damage_inside_is_found_when_it_is_decoded(tmp_path):
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (50, 64, 64, 3), dtype=np.uint8))
    path = make(tmp_path / "a.mp4", pictures, codec="libx264", options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20000] = bytes(20000)
    path.write_bytes(data)
    clips = load_clips(tmp_path)
    with pytest.raises(InputError, match=r"a\.mp4 cannot be read"):
        list(clips.frames("a"))


def test_without_pyav_the_install_line_is_given(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(rf.MissingExtraError, match=r"rsa-faces\[video\]"):
        load_clips(folder)
    importlib.import_module("rsa_faces.stimuli.clips")


class Small(nn.Module):
    """A convolution, an in-place ReLU after it, and a linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4 * 14 * 14, 5)
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.fc(self.relu(self.conv(x)).flatten(1))


@pytest.fixture
def network():
    spec = NetworkSpec(
        "small",
        "none",
        "test",
        "none",
        "none",
        "none",
        "none",
        Preprocessing(size=16, fit="stretch", channels="RGB", mean=(127.0,) * 3, std=(60.0,) * 3),
        "",
    )
    return Network(spec, Small(), torch.device("cpu"))


@pytest.mark.parametrize("measure", ["correlation", "euclidean"])
def test_equal_means_over_frames_are_equal(tmp_path, measure):
    """The same frames in another order: sums of dissimilarities differ in the last digit."""
    rng = np.random.default_rng(0)
    pictures = 255 * rng.integers(0, 2, (2, 9, *SIZE, 1), dtype=np.uint8).repeat(3, axis=-1)
    network = rf.load_network("pixels", device="cpu")
    for k, order in enumerate([rng.permutation(9) for _ in range(8)]):
        for i, name in enumerate("ab"):
            make(tmp_path / f"{name}{k}.mkv", list(pictures[i][order]))
    clips = load_clips(tmp_path)
    rdms = clip_rdms(network, clips, average="rdms", measure=measure, progress=False)
    row, col = np.triu_indices(16, k=1)
    # Of a clip and the one whose frames are in the same order: a0 with b0, a1 with b1, …
    pairs = col == row + 8
    assert pairs.sum() == 8
    for vector in rdms.vectors:
        assert len(np.unique(vector[pairs])) == 1


LAYERS = ["conv", "relu", "fc"]


def patterns(network, clips, rate=None, layers=LAYERS):
    """Layer to clip to patterns of its frames, each frame as a stimulus of its own."""
    result = {layer: {} for layer in layers}
    for name in clips.ids:
        frames = list(clips.frames(name, rate=rate))
        ids = [f"{i:03d}" for i in range(len(frames))]
        acts = rf.extract(network, rf.StimulusSet.from_arrays(frames, ids), layers=layers)
        for layer in layers:
            result[layer][name] = acts[layer].astype(float)
    return result


@pytest.mark.parametrize("rate", [None, 10])
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_means_are_those_of_single_frames(network, folder, rate, batch_size):
    clips = load_clips(folder)
    acts = extract_clips(network, clips, layers=LAYERS, rate=rate, batch_size=batch_size)
    assert acts.conditions == clips.ids
    assert acts.layers == tuple(LAYERS)
    assert acts.network == "small"
    for layer, by_clip in patterns(network, clips, rate).items():
        expected = np.stack([by_clip[name].mean(axis=0) for name in clips.ids])
        assert acts[layer].dtype == np.float32
        np.testing.assert_allclose(acts[layer], expected, rtol=1e-5, atol=1e-6)
    assert (acts["conv"] < 0).any()  # not what the ReLU in place left
    assert not network.module.conv._forward_hooks


def test_a_mean_does_not_depend_on_the_other_clips(network, folder):
    clips = load_clips(folder)
    together = extract_clips(network, clips, layers=LAYERS)
    alone = extract_clips(network, clips.subset(["a"]), layers=LAYERS)
    for layer in LAYERS:
        np.testing.assert_array_equal(together[layer][1], alone[layer][0])


def test_more_than_the_budget_goes_to_disk_with_the_same_result(network, folder):
    clips = load_clips(folder)
    memory = extract_clips(network, clips, layers=LAYERS, batch_size=2)
    disk = extract_clips(network, clips, layers=LAYERS, batch_size=2, budget="20KB")
    assert not isinstance(disk._arrays, dict)
    for layer in LAYERS:
        np.testing.assert_array_equal(memory[layer], disk[layer])


def test_a_store_is_resumed_and_keeps_each_rate(network, folder, tmp_path, caplog):
    clips = load_clips(folder)
    store = tmp_path / "store"
    whole = extract_clips(network, clips, layers=LAYERS)
    (folder / "c.mkv").rename(folder / "c.away")
    with pytest.raises(InputError, match=r"c\.mkv"):
        extract_clips(network, clips, layers=LAYERS, store=store)
    assert not network.module.conv._forward_hooks
    (folder / "c.away").rename(folder / "c.mkv")
    network.module.batches.clear()
    resumed = extract_clips(network, clips, layers=LAYERS, store=store)
    assert network.module.batches == [1, 4]  # a look at one frame, and the clip that was missing
    for layer in LAYERS:
        np.testing.assert_array_equal(resumed[layer], whole[layer])
    with caplog.at_level(logging.INFO):
        extract_clips(network, clips, layers=LAYERS, store=store, rate=10)
    assert "3 of 3 are new" in caplog.text
    network.module.batches.clear()
    for rate in (None, 10):
        extract_clips(network, clips, layers=LAYERS, store=store, rate=rate)
    assert network.module.batches == [1, 1]  # both are still there


def test_memory_that_runs_out_halves_the_batch(network, folder, monkeypatch):
    clips = load_clips(folder)
    expected = extract_clips(network, clips, layers=LAYERS, batch_size=2)
    forward = type(network.module).forward

    def scarce(module, x):
        if len(x) > 2:
            raise RuntimeError("out of memory")
        return forward(module, x)

    monkeypatch.setattr(type(network.module), "forward", scarce)
    acts = extract_clips(network, clips, layers=LAYERS, batch_size=5)
    for layer in LAYERS:
        np.testing.assert_array_equal(acts[layer], expected[layer])


def test_a_frame_with_values_that_are_not_finite_is_named(network, folder):
    with torch.no_grad():
        network.module.fc.bias[0] = torch.inf
    with pytest.raises(InputError, match="infinite values for image 'B, frame 0'"):
        extract_clips(network, load_clips(folder), layers=LAYERS)


def correlation_distance(x, y):
    return 1 - np.corrcoef(x, y)[0, 1]


@pytest.mark.parametrize("budget", ["4GB", "20KB"])
def test_both_averages(network, folder, budget, monkeypatch):
    if budget == "20KB":  # two groups of frames on disk
        usage = type("Usage", (), {"free": 2 * 2 * 3 * 4 * (2 * 4 * 14 * 14 + 5)})
        monkeypatch.setattr(clip_module.shutil, "disk_usage", lambda path: usage)
    clips = load_clips(folder)
    single = patterns(network, clips)
    pairs = [("B", "a"), ("B", "c"), ("a", "c")]
    if budget == "4GB":
        rdms = clip_rdms(network, clips, layers=LAYERS)
        assert rdms.labels["layer"].tolist() == LAYERS
        for layer, vector in zip(LAYERS, rdms.vectors, strict=True):
            means = {name: p.mean(axis=0) for name, p in single[layer].items()}
            expected = [correlation_distance(means[x], means[y]) for x, y in pairs]
            np.testing.assert_allclose(vector, expected, rtol=1e-4)
    network.module.batches.clear()
    rdms = clip_rdms(network, clips, layers=LAYERS, average="rdms", shortest=True, budget=budget)
    assert len(rdms) == 3
    assert sum(network.module.batches) == 1 + 12
    assert rdms.labels["n_averaged"].tolist() == [4] * 3
    assert rdms.labels["n_averaged_min"].tolist() == [4] * 3
    for layer, vector in zip(LAYERS, rdms.vectors, strict=True):
        expected = [
            np.mean(
                [correlation_distance(single[layer][x][k], single[layer][y][k]) for k in range(4)]
            )
            for x, y in pairs
        ]
        np.testing.assert_allclose(vector, expected, rtol=1e-4)
    assert not network.module.conv._forward_hooks


def test_clips_of_different_length_are_named(network, folder):
    clips = load_clips(folder)
    with pytest.raises(InputError, match="2 of 3 clips have 4 and 'B' has 6.*first 4 of each"):
        clip_rdms(network, clips, average="rdms")
    rdms = clip_rdms(network, clips, average="rdms", rate=4, layers="fc")  # 0.24 s and 0.16 s
    assert rdms.labels["n_averaged"].tolist() == [1]


def test_a_frame_without_a_dissimilarity_is_not_averaged(network, tmp_path):
    rng = np.random.default_rng(1)
    for name in "abc":
        frames = list(rng.integers(0, 256, (3, *SIZE, 3), dtype=np.uint8))
        make(tmp_path / f"{name}.mkv", frames)
    with torch.no_grad():
        network.module.fc.weight.zero_()
        network.module.fc.bias.fill_(1)
    clips = load_clips(tmp_path)
    with pytest.warns(UserWarning, match="constant over channels"):
        rdms = clip_rdms(network, clips, average="rdms", layers="fc")
    assert np.isnan(rdms.vectors).all()
    assert rdms.labels["n_averaged_min"].tolist() == [0]


def test_errors_of_rdms(network, folder):
    clips = load_clips(folder)
    with pytest.raises(InputError, match="unknown average 'pattern'.*'patterns'"):
        clip_rdms(network, clips, average="pattern")
    with pytest.raises(InputError, match="unknown measure .*'crossnobis'"):
        clip_rdms(network, clips, measure="crossnobis")
    with pytest.raises(InputError, match="at least 2 clips"):
        clip_rdms(network, clips.subset(["a"]))
    with pytest.raises(InputError, match="unknown layer"):
        extract_clips(network, clips, layers="cnov")
    with pytest.raises(InputError, match="expected a rate"):
        extract_clips(network, clips, rate=-1)


def test_no_room_on_disk_is_said_before_anything_is_written(network, folder, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(clip_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="GB free for activations"):
        clip_rdms(
            network, load_clips(folder), layers=LAYERS, average="rdms", shortest=True, budget="20KB"
        )


@pytest.mark.parametrize("average", ["patterns", "rdms"])
def test_memory_stays_within_the_budget(network, tmp_path, average, monkeypatch):
    monkeypatch.setattr("rsa_faces.rdm._products._WIDTH", 64)  # of 4096: as the budget, small
    rng = np.random.default_rng(0)
    for i in range(30):
        frames = list(rng.integers(0, 256, (30, *SIZE, 3), dtype=np.uint8))
        make(tmp_path / f"{i:02d}.mkv", frames)
    clips = load_clips(tmp_path)
    budget = 300_000  # all means: 190 kB; all frames: 5.6 MB
    clip_rdms(network, clips, layers=LAYERS, average=average, budget=budget)  # loads modules
    tracemalloc.start()
    clip_rdms(network, clips, layers=LAYERS, average=average, budget=budget)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < budget + 1_500_000  # what Python, HDF5 and the tables take besides


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Two simulated clips of faces in photographs."""
    folder = tmp_path_factory.mktemp("faces")
    rf.datasets.simulated_clips(folder, n_runs=2, n_per_run=6, n_subjects=2)
    clips = load_clips(folder, manifest=folder / "clips.csv")
    return clips.subset(clips.ids[:2])


def test_faces_are_cut_out_of_every_frame_as_out_of_an_image(faces):
    cut = crop_clips(faces, template="dlib")
    name = faces.ids[0]
    frames = list(faces.frames(name, rate=2))
    made = list(cut.frames(name, rate=2))
    assert len(made) == len(frames) == cut.n_frames(name, rate=2)
    images = rf.StimulusSet.from_arrays(frames, [f"{i:02d}" for i in range(len(frames))])
    expected = rf.crop_faces(images, rf.detect_faces(images, progress=False), template="dlib")
    for image, crop in zip(expected.ids, made, strict=True):
        np.testing.assert_array_equal(expected.image(image), crop)
    assert cut.ids == faces.ids
    assert not set(cut.sha256) & set(faces.sha256)
    assert cut.hash != faces.hash
    assert crop_clips(faces, template="box").hash != cut.hash
    assert cut.subset(faces.ids[:1]).template == "dlib"
    copied = pickle.loads(pickle.dumps(cut))
    np.testing.assert_array_equal(next(copied.frames(name)), made[0])
    network = rf.load_network("mini-xception", device="cpu")
    with pytest.warns(
        UserWarning, match=r"cut out .*crop_clips\(clips, template='box', margin=-0.1\)"
    ):
        whole = extract_clips(network, faces, layers="pool", rate=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        crops = extract_clips(network, cut, layers="pool", rate=1)
    assert not np.allclose(whole["pool"], crops["pool"])


def test_a_frame_without_a_face_is_cut_where_the_face_was(faces, monkeypatch):
    first = next(faces.frames(faces.ids[0]))
    blank = np.zeros_like(first)
    shown = [first, blank, first]
    monkeypatch.setattr(type(faces), "frames", lambda self, name, *, rate=None: iter(shown))
    made = list(crop_clips(faces).frames(faces.ids[0]))
    np.testing.assert_array_equal(made[0], made[2])
    assert not made[1].any()
    shown[:] = [blank]
    with pytest.raises(InputError, match="a face in the first frame of"):
        next(crop_clips(faces).frames(faces.ids[0]))


def test_runs_cut_faces_out_of_clips_for_networks_that_were_trained_so(faces):
    def networks(*entries, stimuli=faces):
        settled = [NetworkConfig.model_validate(entry) for entry in entries]
        return Networks(settled, stimuli, "cpu", 0, rate=1.0)

    some = networks("mini-xception", "pixels", {"name": "sface", "crop_faces": False})
    some.check()
    assert some.crops == {"mini-xception": ("box", -0.1), "pixels": None, "sface": None}
    assert some.shown("pixels") is faces
    assert some.shown("mini-xception").template == "box"
    wider = networks({"name": "mini-xception", "crop_margin": 0.2})
    assert wider.shown("mini-xception").margin == 0.2
    assert wider.shown("mini-xception").hash != some.shown("mini-xception").hash
    assert "margin -0.1 (mini-xception: measured" in crops(some)
    assert "margin 0.2 (mini-xception: margin chosen for this run)" in crops(wider)
    assert some.notes == [
        "faces were cut out for mini-xception, as in their training (crop_faces: auto)."
    ]
    both = networks({"name": "pixels", "crop_faces": True}, "dlib-face")
    assert both.shown("pixels")._faces is both.shown("dlib-face")._faces


def test_clips_without_faces_stay_whole_or_are_an_error(tmp_path):
    make(tmp_path / "a.mkv", [30, 60])
    make(tmp_path / "b.mkv", [90, 60])
    clips = load_clips(tmp_path)
    auto = Networks([NetworkConfig(name="mini-xception")], clips, "cpu", 0)
    auto.check()
    assert auto.shown("mini-xception") is clips
    assert "'a' shows no face that could be cut out" in auto.notes[0]
    asked = Networks([NetworkConfig(name="mini-xception", crop_faces=True)], clips, "cpu", 0)
    with pytest.raises(InputError, match="expected a face in each image, but none was found"):
        asked.check()


def test_init_writes_a_configuration_for_a_folder_of_clips(faces, tmp_path):
    from test_cli import rsa_faces

    folder = faces.paths[0].parent
    done = rsa_faces("init", "--stimuli", folder, "--out", tmp_path / "c.yaml")
    assert done.exit_code == 0, done.output
    assert "12 clips" in done.stdout
    text = (tmp_path / "c.yaml").read_text()
    config = CompareRun.takes.read(tmp_path / "c.yaml")
    assert config.stimuli.clips.resolve() == folder.resolve()
    assert config.stimuli.rate == 5
    assert [entry.crop_faces for entry in config.networks] == ["auto"] * len(config.networks)
    assert "crop_faces: auto" in text
