"""OpenFace: published names and sizes, and its output against the published order of operations."""

import torch
from torch.nn import functional as F

from rsa_faces.networks import _trace, get_spec, load_network
from rsa_faces.networks._weights import initialise
from rsa_faces.networks.families import openface

#: OpenFacePytorch, loadOpenFace.py: channels in, sizes, strides, channels out, channels between.
PUBLISHED = {
    14: (192, (3, 5), (1, 1), (128, 32), (96, 16, 32, 64), "max"),
    15: (256, (3, 5), (1, 1), (128, 64), (96, 32, 64, 64), "root"),
    16: (320, (3, 5), (2, 2), (256, 64), (128, 32, None, None), "max"),
    17: (640, (3, 5), (1, 1), (192, 64), (96, 32, 128, 256), "root"),
    18: (640, (3, 5), (2, 2), (256, 128), (160, 64, None, None), "max"),
    19: (1024, (3,), (1,), (384,), (96, 96, 256), "root"),
    21: (736, (3,), (1,), (384,), (96, 96, 256), "max"),
}


def conv_table(name, i, n, n_in, size):
    norm = name if i == "" else f"{name}{i + 1}_bn"
    conv = f"{name}{i}_conv"
    keys = ("weight", "bias", "running_mean", "running_var")
    return {
        f"{conv}.weight": (n, n_in, size, size),
        f"{conv}.bias": (n,),
        f"{norm}.num_batches_tracked": (),
    } | {f"{norm}.{key}": (n,) for key in keys}


def plain_table(i, n, n_in, size):
    table = conv_table("x.", 1, n, n_in, size)
    return {
        k.replace("x.1_conv", f"layer{i}").replace("x.2_bn", f"layer{i + 1}"): v
        for k, v in table.items()
    }


def openface_table():
    out = plain_table(1, 64, 3, 7) | plain_table(6, 64, 64, 1) | plain_table(9, 192, 64, 3)
    for layer, (n_in, sizes, _, outs, between, _) in PUBLISHED.items():
        at = f"layer{layer}.seq_list"
        k = len(sizes)
        for b, size in enumerate(sizes):
            out |= conv_table(f"{at}.{b}.", 1, between[b], n_in, 1)
            out |= conv_table(f"{at}.{b}.", 4, outs[b], between[b], size)
        if between[k]:
            out |= conv_table(f"{at}.{k}.", 2, between[k], n_in, 1)
        if between[k + 1] if k + 1 < len(between) else None:
            out |= conv_table(f"{at}.{k + 1}.", 1, between[k + 1], n_in, 1)
    return out | {"layer25.weight": (128, 736), "layer25.bias": (128,)}


def test_names_and_sizes_are_the_published_ones():
    with torch.device("meta"):
        module = openface.build().eval()
        calls = _trace.trace(module, torch.empty(1, 3, 96, 96))
    found = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert found == openface_table()
    layers = get_spec("openface").layers
    places = [list(calls).index(layer) for layer in layers]
    assert places == sorted(places)
    assert calls["layer21"].shape == (736, 3, 3)


def reference(state, x):
    def convolution(x, conv, norm, padding, stride=1):
        keys = ("running_mean", "running_var", "weight", "bias")
        x = F.conv2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], stride, padding)
        return F.relu(F.batch_norm(x, *(state[f"{norm}.{key}"] for key in keys)))

    x = F.max_pool2d(convolution(x, "layer1", "layer2", 3, 2), 3, 2, 1)
    x = F.local_response_norm(x, 5, 1e-4, 0.75, 1.0)
    x = convolution(convolution(x, "layer6", "layer7", 0), "layer9", "layer10", 1)
    x = F.max_pool2d(F.local_response_norm(x, 5, 1e-4, 0.75, 1.0), 3, 2, 1)
    for layer, (_, sizes, strides, _, between, pool) in PUBLISHED.items():
        at, maps = f"layer{layer}.seq_list", []
        for b, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
            y = convolution(x, f"{at}.{b}.1_conv", f"{at}.{b}.2_bn", 0)
            maps.append(convolution(y, f"{at}.{b}.4_conv", f"{at}.{b}.5_bn", size // 2, stride))
        k = len(sizes)
        y = F.max_pool2d(x, 3, 2) if pool == "max" else F.lp_pool2d(x, 2.0, 3, 3)
        maps.append(convolution(y, f"{at}.{k}.2_conv", f"{at}.{k}.3_bn", 0) if between[k] else y)
        if k + 1 < len(between) and between[k + 1]:
            maps.append(convolution(x, f"{at}.{k + 1}.1_conv", f"{at}.{k + 1}.2_bn", 0))
        side = max(y.shape[-1] for y in maps)
        for j, y in enumerate(maps):
            gap = side - y.shape[-1]
            maps[j] = F.pad(y, (gap // 2, gap - gap // 2) * 2)
        x = torch.cat(maps, 1)
    x = F.linear(F.avg_pool2d(x, 3, 1).flatten(1), state["layer25.weight"], state["layer25.bias"])
    return x / torch.sqrt((x**2).sum(1, keepdim=True) + 1e-6)


def test_output_is_that_of_the_published_order_of_operations(tmp_path, monkeypatch):
    module = openface.build(divisor=16)
    initialise(module, 0)
    generator = torch.Generator().manual_seed(0)
    for name, value in module.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    torch.save(module.state_dict(), tmp_path / "openface.pth")
    monkeypatch.setattr(openface, "build", lambda: openface.OpenFace(16))
    opened = load_network("openface", device="cpu", weights=tmp_path / "openface.pth")
    x = torch.rand(2, 3, 96, 96, generator=generator)
    with torch.inference_mode():
        expected = reference(module.state_dict(), x)
        torch.testing.assert_close(opened.module(x), expected, rtol=1e-4, atol=1e-5)
    assert expected.std(0).min() > 0
