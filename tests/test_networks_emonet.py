"""EmoNet: published names and sizes, and its layers against an obvious version."""

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from rsa_faces.networks import _trace, get_spec, load_network
from rsa_faces.networks._weights import initialise
from rsa_faces.networks.families import emonet


def norm_table(name, n):
    keys = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": (n,) for key in keys} | {f"{name}.num_batches_tracked": ()}


def block_table(name, n_in, n):
    """Return the entries of ConvBlock in emonet/models/emonet.py."""
    out = {}
    for i, (a, b) in enumerate(((n_in, n // 2), (n // 2, n // 4), (n // 4, n // 4)), 1):
        out |= norm_table(f"{name}.bn{i}", a) | {f"{name}.conv{i}.weight": (b, a, 3, 3)}
    if n_in != n:
        out |= norm_table(f"{name}.downsample.0", n_in)
        out |= {f"{name}.downsample.2.weight": (n, n_in, 1, 1)}
    return out


def conv_table(name, n, n_in, size=1):
    return {f"{name}.weight": (n, n_in, size, size), f"{name}.bias": (n,)}


def emonet_table():
    out = conv_table("conv1", 64, 3, 7) | norm_table("bn1", 64)
    out |= block_table("conv2", 64, 128) | block_table("conv3", 128, 128)
    out |= block_table("conv4", 128, 256)
    for i in range(2):
        for level in range(1, 5):
            for part in ("b1", "b2", "b3", *(["b2_plus"] if level == 1 else [])):
                out |= block_table(f"m{i}.{part}_{level}", 256, 256)
        out |= block_table(f"top_m_{i}", 256, 256) | conv_table(f"conv_last{i}", 256, 256)
        out |= norm_table(f"bn_end{i}", 256) | conv_table(f"l{i}", 68, 256)
    out |= conv_table("bl0", 256, 256) | conv_table("al0", 256, 68)
    out |= conv_table("conv1x1_input_emo_2", 256, 768)
    for i in (0, 2, 4, 6):
        out |= block_table(f"emo_net_2.{i}", 256, 256)
    out |= {"emo_fc_2.0.weight": (128, 256), "emo_fc_2.0.bias": (128,)}
    out |= norm_table("emo_fc_2.1", 128)
    return out | {"emo_fc_2.3.weight": (10, 128), "emo_fc_2.3.bias": (10,)}


def test_names_and_sizes_are_the_published_ones():
    with torch.device("meta"):
        module = emonet.build().eval()
        calls = _trace.trace(module, torch.empty(1, 3, 256, 256))
    found = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert found == emonet_table()
    spec = get_spec("emonet")
    places = [list(calls).index(layer) for layer in spec.layers]
    assert places == sorted(places)
    assert all(calls[layer].n_calls == 1 for layer in spec.layers)
    assert calls[spec.layers[-1]].shape == (len(spec.outputs),)


def reference(state, x):
    """Compute from the published names, step by step, as the authors do."""

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    def conv(x, name, padding=0, stride=1):
        bias = state.get(f"{name}.bias")
        return F.conv2d(x, state[f"{name}.weight"], bias, stride=stride, padding=padding)

    def block(x, name):
        one = conv(F.relu(norm(x, f"{name}.bn1")), f"{name}.conv1", 1)
        two = conv(F.relu(norm(one, f"{name}.bn2")), f"{name}.conv2", 1)
        three = conv(F.relu(norm(two, f"{name}.bn3")), f"{name}.conv3", 1)
        if f"{name}.downsample.2.weight" in state:
            x = conv(F.relu(norm(x, f"{name}.downsample.0")), f"{name}.downsample.2")
        return torch.cat((one, two, three), 1) + x

    def hourglass(x, name, level):
        up = block(x, f"{name}.b1_{level}")
        low = block(F.max_pool2d(x, 2), f"{name}.b2_{level}")
        low = hourglass(low, name, level - 1) if level > 1 else block(low, f"{name}.b2_plus_1")
        return up + F.interpolate(block(low, f"{name}.b3_{level}"), scale_factor=2, mode="nearest")

    x = F.relu(norm(conv(x, "conv1", 3, 2), "bn1"))
    x = block(block(F.max_pool2d(block(x, "conv2"), 2), "conv3"), "conv4")
    previous, features = x, []
    for i in range(2):
        y = block(hourglass(previous, f"m{i}", 4), f"top_m_{i}")
        y = F.relu(norm(conv(y, f"conv_last{i}"), f"bn_end{i}"))
        places = conv(y, f"l{i}")
        if i == 0:
            y = conv(y, "bl0")
            previous = previous + y + conv(places, "al0")
        features.append(y)
    seen = torch.cat(features, 1) * places.sum(1, keepdim=True)
    y = conv(torch.cat((x, seen), 1), "conv1x1_input_emo_2")
    for i in (0, 2, 4, 6):
        y = F.max_pool2d(block(y, f"emo_net_2.{i}"), 2)
    y = F.linear(
        F.avg_pool2d(y, 4).flatten(1), state["emo_fc_2.0.weight"], state["emo_fc_2.0.bias"]
    )
    y = F.relu(norm(y, "emo_fc_2.1"))
    return F.linear(y, state["emo_fc_2.3.weight"], state["emo_fc_2.3.bias"])


def test_output_is_that_of_the_published_order_of_operations(tmp_path, monkeypatch):
    module = emonet.build(n=16)
    initialise(module, 0)
    generator = torch.Generator().manual_seed(0)
    for name, value in module.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    state = module.state_dict()
    save_file({f"module.{k}": v for k, v in state.items()}, tmp_path / "emonet_8.safetensors")
    monkeypatch.setattr(emonet, "build", lambda: emonet.EmoNet(16))
    opened = load_network("emonet", device="cpu", weights=tmp_path / "emonet_8.safetensors")
    x = torch.rand(2, 3, 256, 256, generator=generator)
    with torch.inference_mode():
        expected = reference(state, x)
        torch.testing.assert_close(opened.module(x), expected, rtol=1e-4, atol=1e-5)
    assert expected.std(0).min() > 0
