"""SFace: its weights, its layers and its embedding against the published graph's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rsa_faces._core.files import sha256_file
from rsa_faces.networks import NETWORKS, load_network
from rsa_faces.networks.families import sface
from rsa_faces.networks.families._blocks import PReLU
from rsa_faces.networks.families.sface import SFace, expand, rename
from rsa_faces.stimuli import crop_faces, detect_faces, load_stimuli

(SPEC,) = sface.SPECS

ROOT = Path(__file__).parents[1]
LONDON = ROOT.parent / "shared" / "data" / "london"


@pytest.fixture(scope="module")
def reference():
    with np.load(ROOT / "tests" / "data" / "sface_reference.npz") as file:
        return {key.removeprefix("sface/"): file[key] for key in file.files}


@pytest.fixture(scope="module")
def open_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, SPEC.name, SPEC)
        yield lambda name="sface", **options: load_network(name, device="cpu", **options)


@pytest.fixture(scope="module")
def network(open_network):
    return open_network()


def run(network, images, layers=()):
    modules, seen = dict(network.module.named_modules()), {}
    handles = [
        modules[n].register_forward_hook(lambda m, i, out, n=n: seen.update({n: out.numpy()}))
        for n in layers
    ]
    with torch.inference_mode():
        out = network.module(network.preprocess(images)).numpy()
    for handle in handles:
        handle.remove()
    return out, seen


def test_embedding_is_the_graphs(network, reference):
    out, _ = run(network, list(reference["images"]))
    expected = reference["output"]
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_every_layer_is_the_graphs(network, reference):
    _, seen = run(network, list(reference["images"]), SPEC.layers[:-1])
    assert len(seen) == 14
    for name, values in seen.items():
        expected = reference[name]
        np.testing.assert_allclose(
            values.mean(axis=(2, 3)), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
        )


def test_reference_tells_channel_orders_and_scalings_apart(network, reference):
    images = list(reference["images"])
    out, _ = run(network, [image[:, :, ::-1] for image in images])
    largest = np.abs(reference["output"]).max()
    assert np.abs(out - reference["output"]).max() > 0.1 * largest
    with torch.inference_mode():
        darker = network.module(network.preprocess(images) - 1 / 128).numpy()
    assert np.abs(darker - reference["output"]).max() > 1e-3 * largest


def test_input_is_rgb_from_minus_one_to_one(network):
    image = np.zeros((112, 112, 3), np.uint8)
    image[..., 0] = 255
    x = network.preprocess([image])
    assert tuple(x.shape) == (1, 3, 112, 112)
    np.testing.assert_allclose(x[0, :, 5, 5], [127.5 / 128, -127.5 / 128, -127.5 / 128])


def test_layers_are_hookable_in_order(network):
    every = network.all_layers()
    assert network.layers() == [name for name in every if name in SPEC.layers]
    assert network.layers() == ["conv1", *(f"block{b}" for b in range(1, 14)), "fc"]
    assert {"block5.depthwise", "block5.pointwise.conv", "norm", "fc.linear"} <= set(every)


# --- weights --------------------------------------------------------------------------------


def test_file_is_the_built_one_small_and_with_its_licence():
    assert sha256_file(SPEC.weights_path) == SPEC.sha256
    assert SPEC.weights_path.stat().st_size < 11e6
    licence = SPEC.weights_path.with_name("sface.LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "opencv_zoo" in licence


def test_expand_is_the_obvious_loop():
    rng = np.random.default_rng(0)
    for shape, n_blocks, length in [((4, 6, 1, 1), 2, 3), ((3, 1, 3, 3), 1, 9), ((5, 7), 3, 3)]:
        quantized = rng.integers(-128, 128, shape, dtype=np.int8)
        scales = rng.uniform(1e-4, 1e-3, (shape[0], n_blocks)).astype(np.float32)
        zeros = rng.integers(-128, 128, (shape[0], n_blocks), dtype=np.int8)
        expected = np.empty(shape, np.float32).reshape(shape[0], -1)
        for row, values in enumerate(quantized.reshape(shape[0], -1)):
            for column, value in enumerate(values):
                block = column // length
                difference = np.float32(int(value) - int(zeros[row, block]))
                expected[row, column] = difference * scales[row, block]
        found = expand(*map(torch.from_numpy, (quantized, scales, zeros)))
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), expected.reshape(shape))


def test_rename_expands_the_file_and_leaves_float_weights_alone(network):
    stored = load_file(SPEC.weights_path)
    assert stored["block7.pointwise.conv.quantized"].dtype == torch.int8
    state = rename(stored)
    wanted = {n for n in SFace().state_dict() if not n.endswith("num_batches_tracked")}
    assert set(state) == wanted
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    again = rename(state)
    assert all(again[name] is state[name] for name in state)


def test_a_file_of_float_weights_gives_the_same_network(network, open_network, tmp_path):
    from safetensors.torch import save_file

    state = network.module.state_dict()
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "mine.safetensors")
    other = open_network(weights=tmp_path / "mine.safetensors")
    assert other.weights_sha256 == network.weights_sha256


def test_untrained_network_is_not_linear(open_network):
    network = open_network("untrained:sface", seed=1)
    slopes = [m.slope for m in network.module.modules() if isinstance(m, PReLU)]
    assert len(slopes) == 27
    assert max(float(slope.abs().max()) for slope in slopes) < 0.2
    x = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        out = network.module(torch.cat([x, -x, 0 * x]))
    assert float(out.std()) > 1e-3
    assert float((out[0] + out[1] - 2 * out[2]).abs().max()) > 0.1 * float(out.abs().max())


# --- faces ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not LONDON.exists(), reason="the London faces are not here")
def test_people_are_told_apart_and_expressions_are_not(network):
    stimuli = load_stimuli(LONDON / "images", manifest=LONDON / "images.csv")
    ids = [n for n in stimuli.ids if int(n[:3]) <= 60]
    stimuli = stimuli.subset(ids)
    crops = crop_faces(stimuli, detect_faces(stimuli))
    out, _ = run(network, [crops.image(name) for name in crops.ids])
    r = np.corrcoef(out.astype(float))
    i, j = np.triu_indices(len(crops), 1)
    identity = crops.metadata["identity"].to_numpy()
    expression = crops.metadata["expression"].to_numpy()
    same, alike = identity[i] == identity[j], expression[i] == expression[j]
    assert r[i, j][same].min() > r[i, j][~same].max()
    a, b = r[i, j][~same & alike], r[i, j][~same & ~alike]
    auc = (np.searchsorted(np.sort(b), a) / len(b)).mean()
    assert 0.48 < auc < 0.54
