"""Weight files of users: read without running them, checked, renamed; untrained weights."""

import hashlib
import os
import pickle
import re
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rsa_faces import InputError
from rsa_faces.networks import get_spec, libraries, load_network
from rsa_faces.networks._load import is_published
from rsa_faces.networks._registry import NETWORKS
from rsa_faces.networks._weights import fill, initialise, read_weights
from rsa_faces.networks.families import resnet


def small_resnet(n_out=7):
    """The VGGFace2 network, sixteen times narrower, seven identities."""
    return resnet.ResNet50(n_out, width=4)


@pytest.fixture
def state():
    module = small_resnet()
    initialise(module, seed=3)
    for name, value in module.state_dict().items():
        if name.endswith("running_mean"):
            value.copy_(torch.linspace(-1, 1, len(value)))
    return module.state_dict()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(resnet, "build", small_resnet)


def write(state, path, protocol=2):
    """Write a state dict in one of the community's formats."""
    arrays = {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(arrays, protocol=protocol))
    elif path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def assert_same(module, state):
    for name, value in module.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, state[name]), name


# --- the three formats ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".pt", ".safetensors"])
def test_community_files_load(suffix, state, small, tmp_path):
    path = write(state, tmp_path / f"resnet50_ft{suffix}")
    network = load_network("resnet50-vggface2", device="cpu", weights=path)
    assert_same(network.module, state)
    assert network.layers()[:4] == ["relu", "maxpool", "layer1.0", "layer1.1"]


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_load(protocol, state, tmp_path):
    found = read_weights(write(state, tmp_path / "w.pkl", protocol))
    assert all(torch.equal(found[k], v) for k, v in state.items() if k in found)
    assert len(found) > 200


def test_python_2_pickle_loads(tmp_path):
    # What Python 2 wrote: byte strings for names and data, the old name of NumPy's core.
    data = np.array([1.5, -2.0], "<f4").tobytes()
    text = (
        b"(dp0\nS'conv1.bias'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n"
        b"(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\nI0\nI1\n"
        b"tp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\nS"
        + repr(data)[1:].encode()
        + b"\np15\ntp16\nbs."
    )
    (tmp_path / "old.pkl").write_bytes(text)
    found = read_weights(tmp_path / "old.pkl")
    assert found["conv1.bias"].tolist() == [1.5, -2.0]


def test_nested_and_prefixed_checkpoints_load(state, small, tmp_path):
    wrapped = {"epoch": 3, "state_dict": OrderedDict(("module." + k, v) for k, v in state.items())}
    torch.save(wrapped, tmp_path / "checkpoint.pth")
    network = load_network("resnet50-vggface2", device="cpu", weights=tmp_path / "checkpoint.pth")
    assert_same(network.module, state)


def test_files_converted_from_matconvnet_load(state, small, tmp_path):
    stages = {"layer1": 2, "layer2": 3, "layer3": 4, "layer4": 5}
    parts = {
        "conv1": "1x1_reduce",
        "bn1": "1x1_reduce_bn",
        "conv2": "3x3",
        "bn2": "3x3_bn",
        "conv3": "1x1_increase",
        "bn3": "1x1_increase_bn",
        "downsample.0": "1x1_proj",
        "downsample.1": "1x1_proj_bn",
    }
    converted = {}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if head in stages:
            block, _, rest = rest.partition(".")
            part, _, key = rest.rpartition(".")
            new = f"conv{stages[head]}_{int(block) + 1}_{parts[part]}.{key}"
        else:
            new = {"conv1": "conv1_7x7_s2", "bn1": "conv1_7x7_s2_bn", "fc": "classifier"}[head]
            new = f"{new}.{rest}"
        converted[new] = value[:, :, None, None] if name == "fc.weight" else value
    # They take RGB, this network BGR.
    converted["conv1_7x7_s2.weight"] = converted["conv1_7x7_s2.weight"].flip(1)
    path = write(converted, tmp_path / "resnet50_ft_dag.pth")
    assert_same(load_network("resnet50-vggface2", device="cpu", weights=path).module, state)


def test_published_form_equals_torchvision_with_moved_strides():
    import torchvision

    ours = load_network("untrained:resnet50-vggface2", device="cpu", seed=1)
    theirs = torchvision.models.resnet50(num_classes=8631).eval()
    theirs.load_state_dict(ours.module.state_dict(), strict=True)
    for layer in (theirs.layer2, theirs.layer3, theirs.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    theirs.maxpool = torch.nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
    image = np.random.default_rng(0).integers(0, 256, (230, 300, 3), dtype=np.uint8)
    x = ours.preprocess([image])
    with torch.inference_mode():
        expected = theirs(x)
        torch.testing.assert_close(ours.module(x), expected, rtol=1e-4, atol=1e-4 * expected.std())


# --- refusals ---------------------------------------------------------------------------------


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_malicious_files_are_refused_and_not_run(suffix, tmp_path):
    trap = tmp_path / "trap"
    path = tmp_path / f"evil{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps({"conv1.weight": Evil(trap)}))
    else:
        torch.save({"conv1.weight": Evil(trap)}, path)
    with pytest.raises(InputError, match=f"evil{suffix} could not be read safely"):
        load_network("resnet50-vggface2", device="cpu", weights=path)
    assert not trap.exists()


@pytest.mark.parametrize(
    "call",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
        b"c_codecs\nencode\n(Vabc\nVzlib\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
    ],
)
def test_no_other_function_can_be_called(call, tmp_path):
    (tmp_path / "w.pkl").write_bytes(call)
    with pytest.raises(
        InputError, match=r"w.pkl could not be read safely .*(asks for|not allowed)"
    ):
        read_weights(tmp_path / "w.pkl")


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all" * 9])
def test_damaged_files_are_refused(suffix, content, tmp_path):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"w{suffix} could not be read safely"):
        read_weights(path)


def test_cut_files_are_refused(state, tmp_path):
    for suffix in (".pkl", ".pth", ".safetensors"):
        path = write(state, tmp_path / f"w{suffix}")
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(InputError, match=f"w{suffix} could not be read safely"):
            read_weights(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([1, 2], "dictionary of named arrays in w.pkl, got list"),
        ({}, "dictionary of named arrays in w.pkl, got dict"),
        ({"a": "text"}, "expected numbers under 'a' in w.pkl, got str"),
        ({"a": np.array([None])}, "expected numbers under 'a' in w.pkl, got ndarray"),
    ],
)
def test_files_without_arrays_are_refused(content, match, tmp_path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=match):
        read_weights(tmp_path / "w.pkl")


def test_missing_file_and_unknown_kind(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is none at .*nowhere.pth"):
        load_network("resnet50-vggface2", device="cpu", weights=tmp_path / "nowhere.pth")
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"ending in .safetensors, .pth, .*, got w.onnx"):
        read_weights(tmp_path / "w.onnx")


def test_missing_names_are_refused(state):
    del state["layer1.0.conv1.weight"], state["bn1.running_var"]
    names = r"2 names \(bn1.running_var, layer1.0.conv1.weight\) missing, 0 names too many"
    with pytest.raises(InputError, match=f"w.pth does not fit this network: {names}"):
        fill(small_resnet(), state, source="w.pth")


def test_extra_names_are_refused(state):
    state |= {f"extra{i}.weight": torch.zeros(1) for i in range(5)}
    names = (
        r"0 names missing, 5 names \(extra0.weight, extra1.weight, extra2.weight, ...\) too many"
    )
    with pytest.raises(InputError, match=names):
        fill(small_resnet(), state, source="w.pth")


def test_wrong_shapes_are_refused(state):
    state["fc.bias"] = torch.zeros(1000)
    with pytest.raises(InputError, match=r"fc.bias has shape \(1000,\), expected \(7,\)"):
        fill(small_resnet(), state, source="w.pth")


def test_nothing_is_filled_when_something_does_not_fit(state):
    module = small_resnet()
    before = module.conv1.weight.clone()
    state["fc.bias"] = torch.zeros(1000)
    with pytest.raises(InputError, match="fc.bias"):
        fill(module, state, source="w.pth")
    assert torch.equal(module.conv1.weight, before)


def test_vggface2_without_a_file_says_what_to_get():
    with pytest.raises(InputError, match=r"(?s)robots.ox.ac.uk.*VGGFace2-pytorch.*weights=PATH"):
        load_network("resnet50-vggface2", device="cpu")


@pytest.mark.parametrize("name", ["pixels", "gabor-v1", "untrained:dlib-face"])
def test_networks_without_weights_take_no_file(name):
    with pytest.raises(InputError, match=f"'{name}' takes no weight file, got weights='w.pth'"):
        load_network(name, device="cpu", weights="w.pth")


def test_own_weights_replace_the_bundled_ones(tmp_path):
    other = load_network("untrained:mini-xception", device="cpu", seed=5)
    path = write(other.module.state_dict(), tmp_path / "mine.safetensors")
    mine = load_network("mini-xception", device="cpu", weights=path)
    assert mine.weights_sha256 == other.weights_sha256
    with pytest.raises(InputError, match="mine.safetensors does not fit this network"):
        load_network("dlib-face", device="cpu", weights=path)


def test_files_that_are_published_with_a_hash_are_checked(state, small, tmp_path, monkeypatch):
    """Of a small file in the published form, under its name and another."""
    path = write(state, tmp_path / "20180402.pt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    spec = replace(get_spec("resnet50-vggface2"), published=(("20180402.pt", digest),))
    assert is_published(spec, path)
    assert is_published(spec, path.rename(tmp_path / "another name.pt"))
    write(state | {"fc.bias": state["fc.bias"] + 1}, path)
    with pytest.raises(InputError, match=f"20180402.pt is published with SHA-256 {digest}, but"):
        is_published(spec, path)
    assert not is_published(spec, path.rename(tmp_path / "mine.pt"))  # a file of the user's own
    spec = get_spec("torchvision:resnet18")
    path = write(state, tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(InputError, match="resnet18-f37072fd.pth is published with SHA-256 f37072f"):
        load_network("torchvision:resnet18", device="cpu", weights=path)
    assert not is_published(spec, path.rename(tmp_path / "resnet18-20240131.pth"))


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=lambda spec: spec.name)
def test_known_hashes_begin_as_their_names_say(spec):
    for name, digest in spec.published:
        assert re.fullmatch("[0-9a-f]{8}|[0-9a-f]{64}", digest)
        digits = re.search("-([0-9a-f]{8}).pth$", name)
        assert not digits or digest.startswith(digits[1])
        assert name.endswith(".pth") or name in spec.weights_help


# --- libraries --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("timm:test_resnet", ".safetensors"), ("torchvision:squeezenet1_1", ".pth")],
)
def test_library_networks_load_a_local_file(name, suffix, tmp_path):
    source = load_network(f"untrained:{name}", device="cpu", seed=2)
    path = write(source.module.state_dict(), tmp_path / f"w{suffix}")
    network = load_network(name, device="cpu", weights=path)
    assert network.name == name
    assert_same(network.module, source.module.state_dict())


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18"])
def test_unreachable_hub_is_a_clear_error(name, monkeypatch):
    def offline(library, model, *, pretrained):
        raise OSError("Name or service not known")

    monkeypatch.setattr(libraries, "_create", offline)
    with pytest.raises(
        InputError, match=rf"'{name}' could not be fetched .*not known.*weights=PATH"
    ):
        load_network(name, device="cpu")


def test_hub_weights_are_kept_as_they_come(monkeypatch):
    import timm

    hub = timm.create_model("test_resnet")
    monkeypatch.setattr(libraries, "_create", lambda library, model, *, pretrained: hub)
    before = {k: v.clone() for k, v in hub.state_dict().items()}
    assert_same(load_network("timm:test_resnet", device="cpu").module, before)


def test_timm_variants_without_or_with_odd_input_are_refused(monkeypatch):
    import timm

    with monkeypatch.context() as patch:
        patch.setattr(timm, "get_pretrained_cfg", lambda model: None)
        with pytest.raises(InputError, match="timm describes no input for 'resnet18'"):
            libraries.describe("timm", "resnet18")
    import timm.data

    odd = {"input_size": (3, 224, 192), "crop_mode": "center", "interpolation": "bicubic"}
    monkeypatch.setattr(timm.data, "resolve_data_config", lambda pretrained_cfg: odd)
    with pytest.raises(InputError, match=r"timm:resnet18 has preprocessing .*\(3, 224, 192\)"):
        libraries.describe("timm", "resnet18")


# --- untrained --------------------------------------------------------------------------------


def test_untrained_weights_follow_the_seed_only():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    a, b, c = (
        load_network("untrained:face-api-expression", device="cpu", seed=s) for s in (0, 0, 1)
    )
    assert a.weights_sha256 == b.weights_sha256 != c.weights_sha256
    assert a.weights_sha256 != load_network("face-api-expression", device="cpu").weights_sha256
    # Values are NumPy's, so they are the same on every machine.
    rng = np.random.default_rng(0)
    first = rng.standard_normal((32, 3, 3, 3), dtype=np.float32) * np.float32((2 / 27) ** 0.5)
    np.testing.assert_array_equal(a.module.block1.conv1.full.weight.numpy(), first)
    torch.random.set_rng_state(before)


def test_untrained_weights_are_he_normal_and_norms_pass_through():
    module = load_network("untrained:efficientnet-lite0", device="cpu", seed=4).module
    for child in module.modules():
        if isinstance(child, torch.nn.Conv2d) and child.weight.numel() > 20000:
            fan_in = child.weight[0].numel()
            assert child.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
        if isinstance(child, torch.nn.BatchNorm2d):
            assert (child.weight == 1).all()
            assert (child.bias == 0).all()
            assert (child.running_mean == 0).all()
            assert (child.running_var == 1).all()
    assert (module.classifier.bias == 0).all()
    dlib = load_network("untrained:dlib-face", device="cpu").module
    assert (dlib.conv1.affine.weight == 1).all()
    assert (dlib.conv1.affine.bias == 0).all()


def test_untrained_tokens_and_positions_are_small():
    module = load_network("untrained:timm:vit_tiny_patch16_224", device="cpu").module
    assert module.pos_embed.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("name", ["dlib-face", "face-api-landmarks", "mini-xception"])
def test_untrained_networks_compute_something(name):
    network = load_network(f"untrained:{name}", device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (90, 90, 3), dtype=np.uint8) for _ in range(3)]
    with torch.inference_mode():
        out = network.module(network.preprocess(images))
    assert torch.isfinite(out).all()
    assert out.std(0).min() > 0
