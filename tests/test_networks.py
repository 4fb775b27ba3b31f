"""The registry, opened networks, their input and their output against the publishers' programs."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rsa_faces import InputError
from rsa_faces._core.files import sha256_file
from rsa_faces.networks import (
    NETWORKS,
    NetworkSpec,
    Preprocessing,
    _preprocess,
    detect_landmarks,
    get_spec,
    list_networks,
    load_network,
)
from rsa_faces.networks import _load as load_module
from rsa_faces.networks._network import Network
from rsa_faces.stimuli import StimulusSet

ROOT = Path(__file__).parents[1]
LONDON = ROOT.parent / "shared" / "data" / "london"
BUNDLED = [name for name, spec in NETWORKS.items() if spec.bundled]
READY = [name for name, spec in NETWORKS.items() if spec.weights_from in ("ship", "none")]

#: largest absolute difference from the publisher's own program, as in scripts/verify_networks.py
TOLERANCE = {
    "dlib-face": 1e-5,
    "face-api-expression": 1e-4,
    "face-api-landmarks": 1e-5,
    "mini-xception": 1e-4,
    "efficientnet-lite0": 1e-4,
    "sface": 2e-5,
}


@pytest.fixture(scope="module")
def reference():
    arrays = {}
    for name in ("network_reference.npz", "sface_reference.npz"):
        with np.load(ROOT / "tests" / "data" / name) as file:
            arrays |= dict(file)
    return arrays


@pytest.fixture(scope="module")
def opened():
    cache = {}

    def get(name):
        if name not in cache:
            cache[name] = load_network(name, device="cpu")
        return cache[name]

    return get


def picture(height=60, width=80, seed=0):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def run(network, images):
    with torch.inference_mode():
        return network.module(network.preprocess(images).to(network.device)).cpu().numpy()


# --- registry ---------------------------------------------------------------------------------


def test_listing_networks_loads_no_torch():
    code = (
        "import sys, rsa_faces.networks as n; n.list_networks(); n.get_spec('untrained:dlib-face');"
        "print(sorted({'torch', 'timm', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_list_networks_takes_a_pattern():
    assert list_networks() == sorted(NETWORKS)
    assert list_networks("*vggface2*") == [
        "inception-resnet-vggface2",
        "resnet50-vggface2",
        "senet50-vggface2",
    ]
    assert list_networks("nothing*") == []


@pytest.mark.parametrize("name", NETWORKS)
def test_every_spec_is_complete(name):
    spec = NETWORKS[name]
    assert spec.name == name
    assert all([spec.task, spec.architecture, spec.training_set, spec.licence, spec.origin])
    assert spec.preprocessing.to_dict()["size"] == spec.preprocessing.size
    assert len(set(spec.layers)) == len(spec.layers) > 0
    assert bool(spec.crop) == bool(spec.crop_source), "each crop says where it is from"
    with pytest.raises(AttributeError):
        spec.name = "other"


@pytest.mark.parametrize("name", BUNDLED)
def test_weights_are_the_built_ones_and_carry_their_licence(name):
    spec = NETWORKS[name]
    assert sha256_file(spec.weights_path) == spec.sha256
    assert spec.weights_path.with_name(f"{name}.LICENSE.txt").stat().st_size > 500
    readme = spec.weights_path.with_name("README.md").read_text(encoding="utf-8")
    assert f"## {name}" in readme
    assert spec.sha256 in readme


def test_bundled_weights_stay_small():
    total = sum(NETWORKS[name].weights_path.stat().st_size for name in BUNDLED)
    assert 25e6 < total < 60e6


def test_get_spec_of_untrained_and_library_networks():
    spec = get_spec("untrained:face-api-expression")
    assert (spec.name, spec.task, spec.bundled, spec.outputs) == (
        "untrained:face-api-expression",
        "none",
        False,
        (),
    )
    assert spec.layers == NETWORKS["face-api-expression"].layers
    spec = get_spec("timm:test_resnet")
    assert spec.preprocessing.size == 160
    assert spec.origin.startswith("timm ")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("dlib-fase", "unknown network 'dlib-fase'. Did you mean 'dlib-face'"),
        ("untrained:mini-xeption", "Did you mean 'mini-xception'"),
        ("timm:", "unknown network 'timm:'"),
        ("timm:resnet18x", "timm has no network 'resnet18x'. Did you mean 'resnet18'"),
        ("timm:resnet18.nope", "timm has no weights 'resnet18.nope'. Valid: .*resnet18.a1_in1k"),
        ("torchvision:resnat18", "torchvision has no image network 'resnat18'.*'resnet18'"),
        ("untrained:pixels", "'pixels' has no weights to train"),
    ],
)
def test_unknown_names_are_refused(name, match):
    with pytest.raises(InputError, match=match):
        load_network(name, device="cpu")


# --- output -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOLERANCE)
def test_output_equals_the_publishers_program(name, opened, reference):
    out = run(opened(name), list(reference[f"{name}/images"]))
    expected = reference[f"{name}/output"]
    np.testing.assert_allclose(out, expected, rtol=0, atol=TOLERANCE[name])


def test_reference_tells_right_from_nearly_right(opened, reference):
    # The same weights in timm's other EfficientNet-Lite0 (symmetric padding) must not pass.
    import timm

    right = opened("efficientnet-lite0")
    wrong = timm.create_model("efficientnet_lite0").eval()
    wrong.load_state_dict(right.module.state_dict())
    with torch.inference_mode():
        out = wrong(right.preprocess(list(reference["efficientnet-lite0/images"]))).numpy()
    assert np.abs(out - reference["efficientnet-lite0/output"]).max() > 0.1


# --- layers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READY)
def test_layers_are_hookable_in_order(name, opened):
    network = opened(name)
    every, default = network.all_layers(), network.layers()
    assert default == [layer for layer in every if layer in default]
    assert not network.module.training
    assert not any(p.requires_grad for p in network.module.parameters())
    if name not in ("pixels", "gabor-v1"):
        assert 8 <= len(default) <= 25
    assert not any(m._forward_hooks for m in network.module.modules())


def test_residual_layers_are_after_the_sum(opened):
    network = opened("dlib-face")
    modules, seen = dict(network.module.named_modules()), {}
    names = ("block1_1", "block1_2.conv2", "block1_2")
    handles = [
        modules[n].register_forward_hook(lambda m, i, out, n=n: seen.update({n: out.clone()}))
        for n in names
    ]
    run(network, [picture()])
    for handle in handles:
        handle.remove()
    expected = torch.relu(seen["block1_1"] + seen["block1_2.conv2"])
    assert torch.equal(seen["block1_2"], expected)


def test_shared_and_identity_modules_are_left_out():
    class Pair(torch.nn.Module):
        def forward(self, x):
            return x, x

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last = torch.nn.Conv2d(3, 2, 1)
            self.first = torch.nn.Conv2d(3, 3, 1)
            self.shared = torch.nn.ReLU()
            self.pair = Pair()
            self.same = torch.nn.Identity()
            self.unused = torch.nn.ReLU()

        def forward(self, x):
            x = self.shared(self.shared(self.first(x)))
            return self.last(self.same(self.pair(x)[0]))

    spec = replace(NETWORKS["pixels"], layers=())
    network = Network(spec, Odd(), torch.device("cpu"))
    assert network.all_layers() == ["first", "pair", "last"]
    assert network.layers() == ["first", "pair", "last"]


def test_default_layers_of_libraries_are_blocks():
    resnet = load_network("untrained:torchvision:resnet18", device="cpu")
    assert resnet.layers() == [
        "conv1",
        "bn1",
        "relu",
        "maxpool",
        *(f"layer{s}.{b}" for s in range(1, 5) for b in range(2)),
        "avgpool",
        "fc",
    ]
    mobilenet = load_network("untrained:torchvision:vgg19_bn", device="cpu").layers()
    assert len(mobilenet) == 25
    assert (mobilenet[0], mobilenet[-1]) == ("features.0", "classifier.6")


def test_one_image_alone_equals_the_batch(opened):
    images = [picture(seed=s) for s in range(3)]
    for name in ("face-api-expression", "mini-xception", "gabor-v1"):
        network = opened(name)
        alone = np.concatenate([run(network, [image]) for image in images])
        np.testing.assert_allclose(alone, run(network, images), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(run(network, images), run(network, images))


def test_weights_hash_follows_the_parameters(opened):
    network = load_network("mini-xception", device="cpu")
    assert network.weights_sha256 == opened("mini-xception").weights_sha256
    other = load_network("mini-xception", device="cpu")
    other.module.conv3.bias[0] += 1e-6
    assert other.weights_sha256 != network.weights_sha256


def test_repr_names_network_and_device(opened):
    assert repr(opened("pixels")) == "Network('pixels', 1 layers, device='cpu')"


# --- preprocessing ----------------------------------------------------------------------------


def spec_with(**changes) -> Preprocessing:
    base = Preprocessing(size=8, fit="pad", channels="RGB", mean=(0.0,) * 3, std=(1.0,) * 3)
    return replace(base, **changes)


def test_pad_centres_on_black_and_keeps_right_sizes():
    image = np.full((4, 8, 3), 200, np.uint8)
    (out,) = _preprocess.apply(spec_with(), [image])
    assert (out[:, 2:6] == 200).all()
    assert (out[:, :2] == 0).all()
    assert (out[:, 6:] == 0).all()
    (out,) = _preprocess.apply(spec_with(), [image.transpose(1, 0, 2)])
    assert (out[:, :, 2:6] == 200).all()
    assert out[:, :, [0, 1, 6, 7]].max() == 0


def test_an_image_of_the_right_size_is_not_touched():
    image = picture(8, 8)
    for fit in ("pad", "stretch"):
        (out,) = _preprocess.apply(spec_with(fit=fit), [image])
        np.testing.assert_array_equal(out, image.transpose(2, 0, 1))


def test_stretch_uses_both_sides():
    image = picture(30, 50)
    (out,) = _preprocess.apply(spec_with(fit="stretch", interpolation="bicubic"), [image])
    expected = Image.fromarray(image).resize((8, 8), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(out, np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(70, 101), (101, 70), (40, 40), (33, 64), (224, 224)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_equals_torchvision(shape, interpolation):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = picture(*shape)
    reference = Compose([Resize(37, InterpolationMode(interpolation)), CenterCrop(32)])
    spec = spec_with(size=32, fit="crop", resize_to=37, interpolation=interpolation)
    (out,) = _preprocess.apply(spec, [image])
    expected = np.asarray(reference(Image.fromarray(image))).transpose(2, 0, 1)
    np.testing.assert_array_equal(out, expected)


def test_channel_order_mean_and_scale():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:] = (10, 20, 30)
    spec = spec_with(channels="BGR", mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))
    (out,) = _preprocess.apply(spec, [image])
    np.testing.assert_allclose(out[:, 0, 0], [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 8])
    spec = spec_with(channels="L", mean=(0.0,), std=(1.0,))
    out = _preprocess.apply(spec, [image])
    assert out.shape == (1, 1, 8, 8)
    assert abs(out[0, 0, 0, 0] - (0.299 * 10 + 0.587 * 20 + 0.114 * 30)) <= 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dlib-face", (255 - 122.782) / 256),
        ("face-api-landmarks", (255 - 122.782) / 255),
        ("mini-xception", 1.0),
        ("efficientnet-lite0", 1.0),
        ("resnet50-vggface2", 255 - 91.4953),
        ("sface", 127.5 / 128),
        ("pixels", 1.0),
    ],
)
def test_published_input_scaling(name, value):
    spec = NETWORKS[name].preprocessing
    out = _preprocess.apply(spec, [np.full((9, 9, 3), 255, np.uint8)])
    assert out.dtype == np.float32
    assert out[0, 0, 0, 0] == pytest.approx(value, rel=1e-6)


def test_torchvision_preprocessing_is_its_own():
    import torchvision

    network = load_network("untrained:torchvision:squeezenet1_1", device="cpu")
    image = picture(150, 200)
    transforms = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    expected = transforms(Image.fromarray(image)).numpy()
    np.testing.assert_allclose(network.preprocess([image])[0].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("model", ["resnet18", "vit_tiny_patch16_224", "test_resnet"])
def test_timm_preprocessing_is_its_own(model):
    import timm
    from timm.data import create_transform, resolve_data_config

    spec = get_spec(f"timm:{model}").preprocessing
    image = picture(150, 200)
    data = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model).to_dict())
    expected = create_transform(**data)(Image.fromarray(image)).numpy()
    np.testing.assert_allclose(_preprocess.apply(spec, [image])[0], expected, atol=2e-6)


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (np.zeros((8, 8), np.uint8), r"image 1 is uint8 \(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"image 1 is uint8 \(8, 8, 4\)"),
        (np.zeros((8, 8, 3)), r"image 1 is float64 \(8, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), r"image 1 is uint8 \(0, 8, 3\)"),
    ],
)
def test_images_must_be_uint8_rgb(image, match, opened):
    with pytest.raises(InputError, match=match):
        opened("pixels").preprocess([picture(), image])


# --- pixels and Gabor -------------------------------------------------------------------------


def test_pixels_are_the_resized_image(opened):
    image = picture(128, 128)
    np.testing.assert_allclose(
        run(opened("pixels"), [image])[0], image.transpose(2, 0, 1) / 255, rtol=1e-6
    )


def test_gabor_responses_equal_direct_sums(opened):
    simple = opened("gabor-v1").module.simple
    filters = simple.filters.numpy().astype(float)
    x = np.random.default_rng(1).standard_normal((128, 128))
    out = simple(torch.from_numpy(x)[None, None].float()).numpy()[0]
    padded = np.pad(x, 128)
    for f in (0, 13, 31, 32, 63):
        for row, col in ((0, 0), (5, 20), (31, 31)):
            y, z = 128 + 2 + 4 * row - 64, 128 + 2 + 4 * col - 64
            expected = (padded[y : y + 128, z : z + 128] * filters[f]).sum()
            assert out[f, row, col] == pytest.approx(expected, abs=1e-4)


def test_gabor_filters_are_balanced_unit_pairs(opened):
    even, odd = opened("gabor-v1").module.simple.filters.double().chunk(2)
    np.testing.assert_allclose(even.sum((1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose((even**2).sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose((even * odd).sum((1, 2)), 0, atol=0.02)


def test_gabor_energy_is_tuned_and_indifferent_to_phase(opened):
    network = opened("gabor-v1")
    axis = np.arange(128)
    for which, (orientation, frequency) in enumerate([(0, 8), (4, 16)]):
        energies = []
        for phase in (0.0, 0.9, 2.0):
            wave = 127.5 + 100 * np.cos(2 * np.pi * frequency * axis / 128 + phase)
            image = np.broadcast_to(wave if which == 0 else wave[:, None], (128, 128))
            image = np.repeat(image[..., None], 3, axis=2).round().astype(np.uint8)
            energies.append(run(network, [image])[0, :, 3:5, 3:5].mean((1, 2)))
        np.testing.assert_allclose(energies[0], energies[1], rtol=0.05, atol=0.3)
        best = np.argmax(energies[2])
        assert (best % 8, (4, 8, 16, 32)[best // 8]) == (orientation, frequency)


# --- opening ----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_devices_that_are_not_here_are_refused(device):
    with pytest.raises(InputError, match=f"got '{device}'"):
        load_network("pixels", device=device)


def test_auto_device_is_usable():
    network = load_network("pixels")
    assert network.device.type in ("cpu", "cuda")
    assert run(network, [picture()]).shape == (1, 3, 128, 128)


def test_changed_bundled_file_is_refused(monkeypatch):
    spec = NETWORKS["mini-xception"]
    monkeypatch.setitem(load_module.NETWORKS, spec.name, replace(spec, sha256="0" * 64))
    with pytest.raises(InputError, match=f"have SHA-256 {spec.sha256}, expected 0000"):
        load_network("mini-xception", device="cpu")


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_seed_must_be_a_whole_number(seed):
    with pytest.raises(InputError, match=f"seed .* got {seed!r}"):
        load_network("untrained:mini-xception", device="cpu", seed=seed)


# --- landmarks --------------------------------------------------------------------------------


def test_landmarks_come_in_each_images_pixels(opened):
    square = picture(112, 112)
    wide = square[20:85]  # 65 of 112 rows: padded by 23 above and 24 below
    images = {"a": square, "b": np.kron(square, np.ones((2, 2, 1), np.uint8)), "c": wide}
    found = detect_landmarks(
        StimulusSet.from_arrays(list(images.values()), list(images)), device="cpu"
    )
    assert found.shape == (3, 68, 2)
    fractions = run(opened("face-api-landmarks"), [square])[0].reshape(68, 2)
    np.testing.assert_allclose(found[0], fractions * 112 - 0.5, atol=1e-4)
    np.testing.assert_allclose(found[1] + 0.5, 2 * (found[0] + 0.5), atol=0.2)
    padded = np.zeros((112, 112, 3), np.uint8)
    padded[23:88] = wide
    in_square = run(opened("face-api-landmarks"), [padded])[0].reshape(68, 2) * 112 - 0.5
    np.testing.assert_allclose(found[2], in_square - [0, 23], atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not LONDON.exists(), reason="the London faces are not here")
def test_networks_see_what_they_were_trained_for(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    script = ROOT / "scripts" / "verify_networks.py"
    module_spec = importlib.util.spec_from_file_location("verify_networks", script)
    verify = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(verify)
    names = ["dlib-face", "face-api-expression", "mini-xception"]
    results = verify.london(LONDON, names)
    # Mean distance from the set's own points, in units of the outer eye corners' distance.
    assert results["landmarks"]["error"] < 0.06
    identity, expression = results["dlib-face"], results["face-api-expression"]
    assert identity["same identity"] >= 0.99
    assert 0.50 <= identity["same expression"] <= 0.53
    assert expression["same identity"] <= 0.70
    assert expression["same expression"] >= 0.72
    assert expression["neutral called neutral"] >= 0.95
    assert results["mini-xception"]["same expression"] >= 0.70


def test_spec_is_plain_data():
    spec = NetworkSpec(
        name="n",
        task="t",
        architecture="a",
        training_set="s",
        licence="l",
        origin="o",
        citation="c",
        preprocessing=spec_with(),
        builder="",
    )
    assert not spec.bundled
    assert spec.weights_path is None
