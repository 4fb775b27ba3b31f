"""Extraction: hooks that copy, layers by name, any batch size, memory and disk, kill -9."""

import copy
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import rsa_faces as rf
from rsa_faces._core import progress
from rsa_faces.extraction import (
    Activations,
    _extract,
    _store,
    extract,
    list_store,
    load_activations,
    prune_store,
    select_layers,
)
from rsa_faces.stimuli import StimulusSet

N_IMAGES = 7


class Tiny(nn.Module):
    """Convolutions with in-place ReLUs, one of them shared, and heads that return oddities."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv1 = nn.Conv2d(3, 6, 3)
            self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
            self.fc = nn.Linear(6 * 6 * 6, 5)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.9)
        self.pair = Odd(lambda x: (None, {"out": x * 2}))
        self.text = Odd(lambda x: "no tensor")
        self.swapped = Odd(lambda x: x.t())
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.dropout(self.relu(self.conv2(x)))
        x = self.fc(x.flatten(1))
        self.text(x)
        self.swapped(x)
        return self.pair(x)[1]["out"]


class Odd(nn.Module):
    """A layer that returns what the function makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)

    def __repr__(self):
        return "Odd()"


@dataclass
class FakeNetwork:
    """The interface extraction uses, and nothing else."""

    module: nn.Module
    name: str = "tiny"
    weights_sha256: str = "w"
    scale: float = 1 / 255
    origin: str = "library 1.0"

    @property
    def spec(self):
        return SimpleNamespace(preprocessing="8 px", origin=self.origin, crop="")

    @property
    def device(self):
        return torch.device("cpu")

    def layers(self):
        return ["conv1", "conv2", "fc"]

    def all_layers(self):
        return ["conv1", "conv2", "dropout", "fc", "swapped", "text", "pair"]

    def preprocess(self, images):
        pixels = np.stack(images).astype(np.float32) * self.scale - 0.5
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def tiny(seed=0, **changes):
    return FakeNetwork(Tiny(seed), **changes)


def faces(n=N_IMAGES, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return StimulusSet.from_arrays(images, [f"face{i}" for i in range(n)][::-1])


def by_hand(network, stimuli):
    """Return conv1, conv2 and fc of each image, computed without hooks."""
    module = copy.deepcopy(network.module).eval()
    conv1, conv2, fc = [], [], []
    with torch.no_grad():
        for name in stimuli:
            x = module.conv1(network.preprocess([stimuli.image(name)]))
            y = module.conv2(x.clamp(min=0))
            z = module.fc(y.clamp(min=0).flatten(1))
            for kept, value in zip((conv1, conv2, fc), (x, y, z), strict=True):
                kept.append(value[0].numpy())
    return {"conv1": np.array(conv1), "conv2": np.array(conv2), "fc": np.array(fc)}


def same_as_by_hand(acts, expected):
    """Channels come in memory order, which is height, width, channel here."""
    for layer in ("conv1", "conv2"):
        wanted = expected[layer].transpose(0, 2, 3, 1).reshape(len(expected[layer]), -1)
        np.testing.assert_allclose(acts[layer], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(acts["fc"], expected["fc"], rtol=1e-5, atol=1e-6)


def test_outputs_are_copied_before_in_place_relu():
    acts = extract(tiny(), faces())
    assert acts["conv1"].min() < -0.1
    assert acts["conv2"].min() < -0.1
    same_as_by_hand(acts, by_hand(tiny(), faces()))


def test_shape_order_and_depth():
    acts = extract(tiny(), faces(), layers=["fc", "conv1"])
    assert acts.conditions == tuple(sorted(acts.conditions)) == faces().ids
    assert acts.layers == tuple(acts) == ("conv1", "fc")
    assert {k: (v.shape, v.dtype.name) for k, v in acts.items()} == {
        "conv1": ((7, 216), "float32"),
        "fc": ((7, 5), "float32"),
    }
    assert acts.network == "tiny"
    assert 0 < acts.depth["conv1"] < acts.depth["fc"] < 1
    assert acts.provenance["weights"] == "w"
    with pytest.raises(ValueError, match="read-only"):
        acts["fc"][0, 0] = 1


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_batch_size_does_not_matter(batch_size):
    whole = extract(tiny(), faces(), batch_size=7)
    parts = extract(tiny(), faces(), batch_size=batch_size)
    for layer in whole:
        scale = np.abs(whole[layer]).max()
        np.testing.assert_allclose(parts[layer] / scale, whole[layer] / scale, rtol=0, atol=1e-5)


def test_channels_keep_one_order_when_memory_format_changes_with_the_batch():
    def moody(x):
        contiguous = torch.contiguous_format if len(x) > 1 else torch.channels_last
        return x.contiguous(memory_format=contiguous)

    network = tiny()
    network.module.conv1 = nn.Sequential(network.module.conv1, Odd(moody))
    one = extract(network, faces(), layers=["conv1"], batch_size=1)["conv1"]
    np.testing.assert_allclose(
        extract(network, faces(), layers=["conv1"], batch_size=3)["conv1"],
        one,
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_modes_are_put_back_and_hooks_removed(training, fails):
    network = tiny()
    if fails:
        network.module.fc = nn.Linear(3, 3)
    network.module.train(training)
    network.module.conv2.eval()
    modes = [module.training for module in network.module.modules()]
    if fails:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            extract(network, faces(), layers=["conv1"])
    else:
        same_as_by_hand(extract(network, faces()), by_hand(network, faces()))  # dropout was off
    assert [module.training for module in network.module.modules()] == modes
    assert not any(module._forward_hooks for module in network.module.modules())


def test_shared_module_keeps_its_last_output(caplog):
    with caplog.at_level(logging.INFO):
        acts = extract(tiny(), faces(), layers=["relu", "conv2"])
    assert acts.layers == ("conv2", "relu")
    np.testing.assert_array_equal(acts["relu"], np.maximum(acts["conv2"], 0))
    assert "relu ran 2 times in one pass: its output 2 is kept" in caplog.text


class Shared(nn.Module):
    """A ReLU, in place, that runs three times on three shapes, as in torchvision's ResNets."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv1 = nn.Conv2d(3, 4, 3)
            self.conv2 = nn.Conv2d(4, 6, 3, stride=2)
            self.fc = nn.Linear(24, 5)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.relu(self.fc(x.flatten(1)))


CALLS = ["conv1", "relu#1", "conv2", "relu#2", "fc", "relu"]


@pytest.mark.parametrize("batch_size", [1, 64])
def test_each_call_of_a_shared_module_can_be_taken(batch_size):
    network, stimuli = FakeNetwork(Shared()), faces(70)
    network.all_layers = lambda: ["conv1", "conv2", "fc"]
    acts = extract(network, stimuli, layers=CALLS[::-1], batch_size=batch_size)
    assert acts.layers == tuple(CALLS)
    depth = list(acts.depth.values())
    assert sorted(set(depth)) == depth
    assert (depth[0], depth[-1]) == (0.25, 1.0)
    for before, after in (("conv1", "relu#1"), ("conv2", "relu#2"), ("fc", "relu")):
        assert acts[before].min() < -0.1  # copied before it is rectified in place
        np.testing.assert_array_equal(acts[after], np.maximum(acts[before], 0))
    module = copy.deepcopy(network.module)
    for i in (0, 33, 69):  # against a pass without hooks
        x = network.preprocess([stimuli.image(stimuli.ids[i])])
        with torch.no_grad():
            x = module.conv2(module.conv1(x).clamp(min=0))
        wanted = x[0].permute(1, 2, 0).numpy().ravel()
        np.testing.assert_allclose(acts["conv2"][i], wanted, rtol=1e-5, atol=1e-6)


def test_batches_of_1_and_of_64_agree():
    stimuli = faces(65)
    one, many = (extract(tiny(), stimuli, layers="*", batch_size=size) for size in (1, 64))
    assert one.layers == many.layers
    for layer in one:
        scale = np.abs(one[layer]).max()
        np.testing.assert_allclose(one[layer] / scale, many[layer] / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("relu#3", "layer 'relu#3' of tiny ran 2 times in one pass, not 3"),
        ("relu#x", "unknown layer of tiny: 'relu#x'"),
    ],
)
def test_calls_that_do_not_exist_are_refused(layer, message):
    with pytest.raises(rf.InputError, match=message):
        extract(tiny(), faces(), layers=[layer])


def test_a_module_that_runs_less_often_with_more_images_is_an_error():
    class Moody(Shared):
        def forward(self, x):
            y = self.conv1(x)
            return y if len(x) > 2 else self.relu(y)

    network = FakeNetwork(Moody())
    with pytest.raises(rf.InputError, match=r"'relu' of tiny to run 1 times .* it ran 0 times"):
        extract(network, faces(), layers=["relu", "conv1"], batch_size=3)
    extract(network, faces(), layers=["relu", "conv1"], batch_size=1)


def test_first_tensor_of_tuples_and_dicts():
    acts = extract(tiny(), faces(), layers=["pair", "fc"])
    np.testing.assert_array_equal(acts["pair"], 2 * acts["fc"])


def test_transformer_outputs_are_flattened():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Odd(lambda x: x.flatten(2).transpose(1, 2))  # (n, tokens, dim)

        def forward(self, x):
            return self.block(x)

    network = FakeNetwork(Tokens())
    network.all_layers = lambda: ["block"]
    acts = extract(network, faces(), layers="block", batch_size=2)
    assert acts["block"].shape == (7, 64 * 3)
    assert set(np.round(acts["block"][0], 5)) == set(
        np.round(network.preprocess([faces().image("face0")]).numpy().ravel(), 5)
    )


@pytest.mark.parametrize(
    ("layers", "selected"),
    [
        ("all", ["conv1", "conv2", "fc"]),
        (["fc", "conv1", "fc"], ["conv1", "fc"]),
        ("conv*", ["conv1", "conv2"]),
        (["*", "conv1"], ["conv1", "conv2", "dropout", "fc", "swapped", "text", "pair"]),
        (["all", "pair"], ["conv1", "conv2", "fc", "pair"]),
        (["relu", "conv1"], ["conv1", "relu"]),
    ],
)
def test_select_layers(layers, selected):
    assert select_layers(tiny(), layers) == selected


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["conv3"], "unknown layer of tiny: 'conv3'. Did you mean 'conv[12]'"),
        ("block*", r"unknown layer of tiny: 'block\*'"),
        ([], "at least one layer, or 'all', got none"),
        (["unused"], "'unused' of tiny did not run in the forward pass"),
        (["text"], "'text' of tiny returns str without a tensor"),
        (["swapped"], r"'swapped' of tiny returns shape \(5, 1\) for one image"),
        ("te*", "none of 1 layers of tiny that .'te.'. matches"),
    ],
)
def test_wrong_layers(layers, message):
    with pytest.raises(rf.InputError, match=message):
        extract(tiny(), faces(), layers=layers)


def test_glob_leaves_out_what_cannot_be_used_and_says_so(caplog):
    acts = extract(tiny(), faces(), layers="*")
    assert acts.layers == ("conv1", "conv2", "dropout", "fc", "pair")
    assert "tiny: 2 layers are left out" in caplog.text
    assert "text returns str without a tensor in it" in caplog.text
    assert "swapped returns shape (5, 1) for one image" in caplog.text


def test_rows_that_appear_only_with_more_images_are_an_error():
    network = tiny()
    network.module.swapped.function = lambda x: x[:1]
    with pytest.raises(rf.InputError, match=r"'swapped' .*each of 7 images.* got \(1, 5\)"):
        extract(network, faces(), layers=["swapped"])


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_nan_and_infinite_values_are_named(value, kind):
    network = tiny()
    target = network.preprocess([faces().image("face4")])

    def spoil(x):
        x = x.clone()
        for row, image in zip(x, spoil.images, strict=True):
            if torch.equal(image, target[0]):
                row[1] = value
        return x

    network.module.conv1.register_forward_pre_hook(
        lambda module, inputs: setattr(spoil, "images", inputs[0])
    )
    network.module.swapped.function = spoil
    with pytest.raises(rf.InputError, match=f"'swapped' of tiny has {kind} .* image 'face4'"):
        extract(network, faces(), layers=["swapped"], batch_size=3)


def test_batches_halve_when_memory_runs_out(caplog):
    network, sizes = tiny(), []

    def small(module, inputs):
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    network.module.conv1.register_forward_pre_hook(small)
    acts = extract(network, faces())
    assert sizes == [1, 7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert acts.provenance["batch_size"] == 1
    assert "memory ran out: going on with batches of 3" in caplog.text
    same_as_by_hand(acts, by_hand(tiny(), faces()))


def test_errors_of_the_network_are_not_taken_for_memory():
    network = tiny()

    def break_down(module, inputs):
        if len(inputs[0]) > 1:
            raise RuntimeError("mat1 and mat2")

    network.module.conv1.register_forward_pre_hook(break_down)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        extract(network, faces())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "lots"}, "memory size such as '4GB' or '500MB', got 'lots'"),
        ({"batch_size": 0}, "batch_size to be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(rf.InputError, match=message):
        extract(tiny(), faces(), **options)


def test_activations_are_checked():
    with pytest.raises(rf.InputError, match=r"\(2, n_channels\).*layer 'x' has \(3, 1\)"):
        Activations({"x": np.zeros((3, 1))}, ["a", "b"])
    with pytest.raises(rf.InputError, match="at least one layer, got none"):
        Activations({}, ["a", "b"])
    acts = Activations({"x": np.zeros((2, 1)), "y": np.ones((2, 1))}, ["a", "b"])
    assert acts.depth == {"x": 0.5, "y": 1.0}
    assert "z" not in acts
    with pytest.raises(rf.InputError, match="unknown layer 'X'. Did you mean 'x'"):
        acts["X"]


# On disk


def equal(a, b):
    assert a.layers == b.layers
    assert a.conditions == b.conditions
    assert all(np.array_equal(a[layer], b[layer]) for layer in a)


@pytest.fixture
def passes(monkeypatch):
    """Count the images that pass through any network after the first, which is the probe's."""
    seen = []
    attempt = _extract._attempt

    def counting(forward, batch):
        seen.append(len(batch))
        return attempt(forward, batch)

    monkeypatch.setattr(_extract, "_attempt", counting)
    return seen


def test_above_the_budget_activations_go_to_a_temporary_file(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(_store.tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.INFO):
        acts = extract(tiny(), faces(), budget="12KB", batch_size=3)
    assert "more than the budget" in caplog.text
    assert len(list(tmp_path.glob("rsa-faces-*"))) == 1
    equal(acts, extract(tiny(), faces(), batch_size=3))
    equal(pickle.loads(pickle.dumps(acts)), acts)
    del acts
    assert not list(tmp_path.glob("rsa-faces-*"))


def test_batch_size_follows_the_budget(caplog):
    assert extract(tiny(), faces()).provenance["batch_size"] == 7
    assert extract(tiny(), faces(), budget="32KB").provenance["batch_size"] == 1
    extract(tiny(), faces(), layers=["conv1"], budget="6KB")
    assert "layer conv1 of tiny alone is larger than the budget" in caplog.text


def stop_after(network, n_passes):
    """Let the network run so many passes, the probe included, and then be interrupted."""
    passed = []

    def stop(module, inputs):
        passed.append(len(inputs[0]))
        if len(passed) > n_passes:
            raise KeyboardInterrupt

    network.module.fc.register_forward_pre_hook(stop)


def test_store_gives_the_same_and_is_not_computed_again(tmp_path, passes):
    path = tmp_path / "deep" / "acts"
    first = extract(tiny(), faces(), store=path, batch_size=3)
    assert passes == [3, 3, 1]
    equal(first, extract(tiny(), faces(), batch_size=3))
    passes.clear()
    equal(extract(tiny(), faces(), store=path), first)
    equal(
        extract(tiny(), faces(), store=path, layers=["fc"]),
        Activations({"fc": first["fc"]}, first.conditions),
    )
    assert passes == []
    assert [p.name for p in path.parent.iterdir()] == ["acts"]


def parts(path):
    return sorted(path.glob("[!.]*.part"))


def test_layers_are_added_to_a_store(tmp_path, passes):
    path = tmp_path / "acts"
    extract(tiny(), faces(), store=path, layers=["fc"], batch_size=3)
    before = {part: part.read_bytes() for part in parts(path)}
    both = extract(tiny(), faces(), store=path, layers=["conv1", "fc"], batch_size=3)
    assert passes == [3, 3, 1] * 2
    assert all(part.read_bytes() == values for part, values in before.items())
    added = [_store.Part.read(part) for part in parts(path) if part not in before]
    assert [list(part.layouts) for part in added] == [["conv1"]] * 3
    equal(both, extract(tiny(), faces(), layers=["conv1", "fc"], batch_size=3))


def test_the_same_activations_are_the_same_bytes_whenever_they_are_written(tmp_path, monkeypatch):
    stores = []
    for now in (0, 10**9):
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        monkeypatch.setattr(time, "time_ns", lambda now=now: now * 10**9)
        extract(tiny(), faces(), store=tmp_path / str(now), batch_size=3)
        files = (tmp_path / str(now)).iterdir()
        stores.append({file.name: file.read_bytes() for file in files})
    assert stores[0] == stores[1]
    assert len(stores[0]) > 1


def test_layers_are_added_to_an_unfinished_store(tmp_path, passes):
    path, network = tmp_path / "acts", tiny()
    stop_after(network, 3)
    with pytest.raises(KeyboardInterrupt):
        extract(network, faces(), store=path, layers=["fc"], batch_size=2)
    equal(
        extract(tiny(), faces(), store=path, batch_size=2), extract(tiny(), faces(), batch_size=2)
    )


@pytest.mark.parametrize(
    ("what", "network"),
    [
        ("weights", tiny(seed=1, weights_sha256="other")),
        ("preprocessing", tiny(scale=1 / 128)),
        ("code", tiny()),
        ("origin", tiny(origin="library 1.1")),
        ("structure, weights", tiny(weights_sha256="other")),
    ],
)
def test_a_changed_key_is_never_a_stale_hit(tmp_path, what, network, monkeypatch, caplog):
    path = tmp_path / "acts"
    first = extract(tiny(), faces(), store=path)
    with monkeypatch.context() as patch:
        if what == "code":
            patch.setattr(_extract, "code_version", lambda: "another")
        if "structure" in what:
            network.module.relu = nn.LeakyReLU(0.5, inplace=True)
        with caplog.at_level(logging.INFO):
            again = extract(network, faces(), store=path)
        assert f"is not used: changed since: {what}" in caplog.text
        equal(again, extract(network, faces()))
    equal(extract(tiny(), faces(), store=path), first)  # still there


def test_what_one_experiment_computed_another_reads(tmp_path, passes, caplog):
    """By the image's content: whatever it is called, and whatever else the experiment shows."""
    path, all_faces = tmp_path / "acts", faces(9)
    images = {name: all_faces.image(name) for name in all_faces.ids}
    first = dict(list(images.items())[:6])
    extract(tiny(), StimulusSet.from_arrays(list(first.values()), list(first)), store=path)
    passes.clear()
    renamed = StimulusSet.from_arrays(list(images.values()), [f"b{n}" for n in images])
    with caplog.at_level(logging.INFO):
        second = extract(tiny(), renamed, store=path)
    assert passes == [3]
    assert "3 of 9 are new" in caplog.text
    expected = extract(tiny(), renamed)
    for layer in expected:
        np.testing.assert_allclose(second[layer], expected[layer], rtol=1e-5, atol=1e-6)
    passes.clear()
    extract(tiny(), all_faces.subset(all_faces.ids[3:8]), store=path)
    rf.layer_rdms(tiny(), renamed, store=path)
    assert passes == []


def test_an_image_that_is_there_twice_is_kept_once(tmp_path, passes):
    image = faces().image("face0")
    twins = StimulusSet.from_arrays([image, image, image + 1], ["a", "b", "c"])
    acts = extract(tiny(), twins, store=tmp_path / "acts")
    assert passes == [2]
    np.testing.assert_array_equal(acts["fc"][0], acts["fc"][1])
    assert (acts["fc"][0] != acts["fc"][2]).any()


def test_a_changed_layout_is_never_a_stale_hit(tmp_path, passes):
    path, network = tmp_path / "acts", tiny()
    extract(network, faces(), store=path, layers=["fc", "conv1"])
    network.module.conv1.register_forward_hook(lambda module, inputs, output: output.contiguous())
    passes.clear()
    again = extract(network, faces(), store=path, layers=["fc", "conv1"])
    assert passes == [7]
    equal(again, extract(network, faces(), layers=["fc", "conv1"]))


def test_files_of_others_stay_untouched(tmp_path):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["format"] = "rsa-faces activations"
    with pytest.raises(rf.InputError, match=r"old.h5 is a file, perhaps a store of version 0.2"):
        extract(tiny(), faces(), store=tmp_path / "old.h5")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(rf.InputError, match="mine to be a store .* holds 'notes.txt'"):
        extract(tiny(), faces(), store=tmp_path / "mine")
    extract(tiny(), faces(), store=tmp_path / "acts")
    (name,) = (file.stem.rpartition("-")[0] for file in parts(tmp_path / "acts"))
    foreign = tmp_path / "acts" / f"{name}-a.part"
    foreign.write_text("mine")
    with pytest.raises(rf.InputError, match="-a.part to be a file of a store .* but it is none"):
        extract(tiny(), faces(), store=tmp_path / "acts")
    assert foreign.read_text() == "mine"
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_truncated_and_damaged_stores_are_found(tmp_path):
    path = tmp_path / "acts"
    acts = extract(tiny(), faces(), store=path)
    (part,) = parts(path)
    whole, read = part.read_bytes(), _store.Part.read(part)
    entry, row = read.header["layers"]["conv2"], faces().ids.index("face4")
    values = bytearray(whole)
    values[read.start + entry["start"] + 4 * (216 * row + 10)] ^= 1
    part.write_bytes(values)
    with pytest.raises(rf.InputError, match=r"part is damaged: layer 'conv2' of 'face4'"):
        acts["conv2"]
    assert acts["conv1"].shape == (7, 216)
    for broken, why in ((whole[:-5000], "cut short"), (whole[:99] + b"?" + whole[100:], "header")):
        part.write_bytes(broken)
        with pytest.raises(rf.InputError, match=f"part is damaged: it.* {why}"):
            extract(tiny(), faces(), store=path)
    part.unlink()
    with pytest.raises(rf.InputError, match="cannot be read any more"):
        acts["conv1"]
    with pytest.raises(rf.InputError, match="is not finished: 'conv1', 'conv2', 'fc'"):
        load_activations(path)


def test_a_store_without_room_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(rf.InputError, match="cannot write the store .*file/acts"):
        extract(tiny(), faces(), store=tmp_path / "file" / "acts")
    monkeypatch.setattr(_store.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(rf.InputError, match="expected 0.0 GB free .* there are 0.0 GB"):
        extract(tiny(), faces(), store=tmp_path / "other")


def test_two_extractions_at_once_write_one_store(tmp_path, passes):
    """The second begins in the middle of the first, on other layers and overlapping images."""
    path, network, others = tmp_path / "acts", tiny(), faces(9)
    inside = []

    def begin(module, inputs):
        if len(inputs[0]) == 2 and not inside:
            inside.append(extract(tiny(), others, store=path, layers=["conv1", "fc"]))

    network.module.conv2.register_forward_pre_hook(begin)
    first = extract(network, faces(), store=path, batch_size=2)
    equal(first, extract(tiny(), faces(), batch_size=2))
    equal(inside[0], extract(tiny(), others, layers=["conv1", "fc"]))
    passes.clear()
    equal(extract(tiny(), faces(), store=path), first)
    assert passes == []


def test_what_a_store_holds_is_listed_and_pruned(tmp_path, monkeypatch):
    path = tmp_path / "acts"
    with pytest.raises(rf.InputError, match="acts is none, or an empty one"):
        list_store(path)
    extract(tiny(), faces(), store=path, batch_size=4)
    with monkeypatch.context() as patch:
        patch.setattr(_extract, "code_version", lambda: "another")
        extract(replace(tiny(), name="small"), faces(), store=path, layers=["fc"])
    (path / "notes.txt").write_text("mine")
    (path / ".a.123.part.part").write_text("of a process that was killed")
    os.utime(path / ".a.123.part.part", (0, 0))
    first, second = sorted(path.glob("tiny-*.part"))
    os.utime(first, (0, 0))
    listed = list_store(path).set_index("state")
    assert listed.loc["current", ["network", "layers", "images"]].tolist() == ["tiny", 3, 7]
    assert listed.loc["current", "n_bytes"] == sum(p.stat().st_size for p in (first, second))
    assert listed.loc["other code", ["network", "layers", "images"]].tolist() == ["small", 1, 7]
    assert sorted(listed.index) == ["current", "foreign", "left over", "other code"]
    everything = sorted(path.rglob("*"))
    with pytest.raises(rf.InputError, match="what should go"):
        prune_store(path)
    old = prune_store(path, older_than=30)
    assert [Path(file) for file in old["file"]] == [first]
    most = prune_store(path, max_size=second.stat().st_size + 1)
    assert str(first) in set(most["file"])
    assert str(second) not in set(most["file"])
    assert set(prune_store(path, unused=True)["why"]) == {"unused"}
    assert sorted(path.rglob("*")) == everything  # nothing was touched
    prune_store(path, older_than=30, unused=True, delete=True)
    assert parts(path) == [second]
    left = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
    assert left == sorted(["notes.txt", second.name])
    equal(
        extract(tiny(), faces(), store=path, batch_size=4), extract(tiny(), faces(), batch_size=4)
    )


def test_interrupted_extraction_goes_on(tmp_path, passes):
    path, network = tmp_path / "acts", tiny()
    stop_after(network, 3)
    with pytest.raises(KeyboardInterrupt):
        extract(network, faces(), store=path, batch_size=2)
    passes.clear()
    whole = extract(tiny(), faces(), store=path, batch_size=2)
    assert passes == [2, 1]
    equal(whole, extract(tiny(), faces(), batch_size=2))


def killed(path, moment):
    """Extract in this process until it is killed, in a pass or before a file has its name."""
    network, n = tiny(), 0

    def die(*args):
        nonlocal n
        n += 1
        if n == {"pass": 4, "move": 3}[moment]:
            os.kill(os.getpid(), signal.SIGKILL)

    if moment == "pass":
        network.module.fc.register_forward_pre_hook(die)
    else:  # of the list, the first part, the second
        rename = Path.replace
        Path.replace = lambda self, target: (die(), rename(self, target))
    extract(network, faces(), store=path, batch_size=2)


@pytest.mark.parametrize(("moment", "left"), [("pass", [2, 1]), ("move", [2, 2, 1])])
def test_killed_extraction_goes_on_with_identical_numbers(tmp_path, passes, moment, left):
    path = tmp_path / "acts"
    code = f"import test_extraction as t; t.killed({str(path)!r}, {moment!r})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent)
    assert ended.returncode == -signal.SIGKILL
    assert len(parts(path)) == (N_IMAGES - sum(left)) // 2
    whole = extract(tiny(), faces(), store=path, batch_size=2)
    assert passes == left
    equal(whole, extract(tiny(), faces(), batch_size=2))


def test_progress_bar_needs_patience_and_a_terminal(monkeypatch, capsys):
    with progress.progress_bar("tiny", 3, show=True) as tell:
        tell(1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.progress_bar("tiny", 3, show=True) as tell:
        tell(1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "PATIENCE", -1)
    with progress.progress_bar("tiny", 3, show=False) as tell:
        tell(1)
    assert capsys.readouterr().err == ""
    with progress.progress_bar("tiny", 3, show=True) as tell:
        tell(3)
    assert "tiny" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_agrees_with_cpu():
    class OnGpu(FakeNetwork):
        device = torch.device("cuda")

    there = extract(OnGpu(Tiny().to("cuda")), faces())
    here = extract(tiny(), faces())
    for layer in here:
        np.testing.assert_allclose(there[layer], here[layer], rtol=1e-4, atol=1e-5)


# --- stores without their network -------------------------------------------------------------


def test_a_store_opens_without_its_network(tmp_path):
    network, stimuli = tiny(), faces(5)
    first, *others = "conv1", "conv2", "fc"
    whole = extract(network, stimuli, layers=others, store=tmp_path / "a")
    extract(network, stimuli, layers=[first], store=tmp_path / "a")
    opened = load_activations(tmp_path / "a")
    assert opened.conditions == stimuli.ids
    assert opened.network == network.name
    assert list(opened) == [first, *others]
    assert sorted(opened.depth, key=opened.depth.get) == list(opened)
    for layer in whole:
        np.testing.assert_array_equal(opened[layer], whole[layer])
        assert opened.depth[layer] == whole.depth[layer]


def test_an_unfinished_store_and_no_store_are_refused(tmp_path):
    network = tiny()
    stop_after(network, 2)
    with pytest.raises(KeyboardInterrupt):
        extract(network, faces(6), layers=["conv1"], store=tmp_path / "a", batch_size=2)
    with pytest.raises(rf.InputError, match="is not finished: 'conv1'. Run it again"):
        load_activations(tmp_path / "a")
    with pytest.raises(rf.InputError, match="there is no file"):
        load_activations(tmp_path / "b")
