"""ArcFace, Inception-ResNet-v1, SE-ResNet-50: published names, layers, values, files."""

import doctest
import pickle
from functools import cache, partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from rsa_faces import InputError
from rsa_faces.networks import NETWORKS, load_network
from rsa_faces.networks._network import Network
from rsa_faces.networks._registry import _HOMES, resolve_builder, resolve_rename
from rsa_faces.networks._weights import fill, initialise
from rsa_faces.networks.families import arcface, inception_resnet, resnet

SPECS = (*arcface.SPECS, *inception_resnet.SPECS, *resnet.SPECS[1:])
BY_NAME = {spec.name: spec for spec in SPECS}
CPU = torch.device("cpu")
IR50, IR100 = (3, 4, 14, 3), (3, 13, 30, 3)


# --- the published files, as tables of names and shapes ---------------------------------------


def norm_table(name, n):
    """Return the entries of a batch normalisation."""
    keys = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": (n,) for key in keys} | {f"{name}.num_batches_tracked": ()}


def arcface_table(depths, width=64, n_out=512):
    """Return insightface/recognition/arcface_torch, backbones/iresnet.py."""
    out = {"conv1.weight": (width, 3, 3, 3), "prelu.weight": (width,)} | norm_table("bn1", width)
    n_in = width
    for stage, n_blocks in enumerate(depths, start=1):
        n = width * 2 ** (stage - 1)
        for i in range(n_blocks):
            block = f"layer{stage}.{i}"
            out |= norm_table(f"{block}.bn1", n_in)
            out |= norm_table(f"{block}.bn2", n) | norm_table(f"{block}.bn3", n)
            out[f"{block}.conv1.weight"] = (n, n_in, 3, 3)
            out[f"{block}.conv2.weight"] = (n, n, 3, 3)
            out[f"{block}.prelu.weight"] = (n,)
            if i == 0:
                out[f"{block}.downsample.0.weight"] = (n, n_in, 1, 1)
                out |= norm_table(f"{block}.downsample.1", n)
            n_in = n
    out |= {"fc.weight": (n_out, n_in * 49), "fc.bias": (n_out,)}
    return out | norm_table("bn2", n_in) | norm_table("features", n_out)


def body_table(depths, width=64, n_out=512, *, se=False, ada=False):
    """Return InsightFace_Pytorch's model.py, which is face.evoLVe's backbone/model_irse.py.

    `ada`: AdaFace's net.py, with one normalisation more in a block, and a last one that neither
    scales nor shifts.
    """
    out = {"input_layer.0.weight": (width, 3, 3, 3), "input_layer.2.weight": (width,)}
    out |= norm_table("input_layer.1", width)
    n_in, index = width, 0
    for stage, n_blocks in enumerate(depths):
        n = width * 2**stage
        for _ in range(n_blocks):
            block = f"body.{index}"
            if n_in != n:
                out[f"{block}.shortcut_layer.0.weight"] = (n, n_in, 1, 1)
                out |= norm_table(f"{block}.shortcut_layer.1", n)
            out |= norm_table(f"{block}.res_layer.0", n_in)
            out |= norm_table(f"{block}.res_layer.{4 + ada}", n)
            out[f"{block}.res_layer.1.weight"] = (n, n_in, 3, 3)
            if ada:
                out |= norm_table(f"{block}.res_layer.2", n)
            out[f"{block}.res_layer.{2 + ada}.weight"] = (n,)
            out[f"{block}.res_layer.{3 + ada}.weight"] = (n, n, 3, 3)
            if se:
                squeezed = max(1, n // 16)
                out[f"{block}.res_layer.5.fc1.weight"] = (squeezed, n, 1, 1)
                out[f"{block}.res_layer.5.fc2.weight"] = (n, squeezed, 1, 1)
            n_in, index = n, index + 1
    out |= norm_table("output_layer.0", n_in)
    last = norm_table("output_layer.4", n_out)
    keys = [key for key in last if not ada or "running" in key or "num_" in key]
    out |= {key: last[key] for key in keys}
    return out | {"output_layer.3.weight": (n_out, n_in * 49), "output_layer.3.bias": (n_out,)}


#: facenet-pytorch, models/inception_resnet_v1.py: every convolution with its normalisation, in
#: the order of the file: name, inputs, outputs, height, width of the filter.
INCEPTION = [
    ("conv2d_1a", 3, 32, 3, 3),
    ("conv2d_2a", 32, 32, 3, 3),
    ("conv2d_2b", 32, 64, 3, 3),
    ("conv2d_3b", 64, 80, 1, 1),
    ("conv2d_4a", 80, 192, 3, 3),
    ("conv2d_4b", 192, 256, 3, 3),
    *(
        (f"repeat_1.{i}.{name}", *sizes)
        for i in range(5)
        for name, *sizes in (
            ("branch0", 256, 32, 1, 1),
            ("branch1.0", 256, 32, 1, 1),
            ("branch1.1", 32, 32, 3, 3),
            ("branch2.0", 256, 32, 1, 1),
            ("branch2.1", 32, 32, 3, 3),
            ("branch2.2", 32, 32, 3, 3),
        )
    ),
    ("mixed_6a.branch0", 256, 384, 3, 3),
    ("mixed_6a.branch1.0", 256, 192, 1, 1),
    ("mixed_6a.branch1.1", 192, 192, 3, 3),
    ("mixed_6a.branch1.2", 192, 256, 3, 3),
    *(
        (f"repeat_2.{i}.{name}", *sizes)
        for i in range(10)
        for name, *sizes in (
            ("branch0", 896, 128, 1, 1),
            ("branch1.0", 896, 128, 1, 1),
            ("branch1.1", 128, 128, 1, 7),
            ("branch1.2", 128, 128, 7, 1),
        )
    ),
    ("mixed_7a.branch0.0", 896, 256, 1, 1),
    ("mixed_7a.branch0.1", 256, 384, 3, 3),
    ("mixed_7a.branch1.0", 896, 256, 1, 1),
    ("mixed_7a.branch1.1", 256, 256, 3, 3),
    ("mixed_7a.branch2.0", 896, 256, 1, 1),
    ("mixed_7a.branch2.1", 256, 256, 3, 3),
    ("mixed_7a.branch2.2", 256, 256, 3, 3),
    *(
        (f"{block}.{name}", *sizes)
        for block in (*(f"repeat_3.{i}" for i in range(5)), "block8")
        for name, *sizes in (
            ("branch0", 1792, 192, 1, 1),
            ("branch1.0", 1792, 192, 1, 1),
            ("branch1.1", 192, 192, 1, 3),
            ("branch1.2", 192, 192, 3, 1),
        )
    ),
]
#: The 1x1 convolutions before the sums: blocks, joined inputs, outputs.
INCEPTION_SUMS = [
    *((f"repeat_1.{i}", 96, 256) for i in range(5)),
    *((f"repeat_2.{i}", 256, 896) for i in range(10)),
    *((f"repeat_3.{i}", 384, 1792) for i in range(5)),
    ("block8", 384, 1792),
]


def inception_table(n_identities, width=32, n_out=512):
    def scaled(n):
        return n if n == 3 else n * width // 32

    out = {}
    for name, n_in, n, *size in INCEPTION:
        out[f"{name}.conv.weight"] = (scaled(n), scaled(n_in), *size)
        out |= norm_table(f"{name}.bn", scaled(n))
    for name, n_in, n in INCEPTION_SUMS:
        out[f"{name}.conv2d.weight"] = (scaled(n), scaled(n_in), 1, 1)
        out[f"{name}.conv2d.bias"] = (scaled(n),)
    out |= norm_table("last_bn", n_out) | {"last_linear.weight": (n_out, scaled(1792))}
    return out | {"logits.weight": (n_identities, n_out), "logits.bias": (n_identities,)}


def senet_table(n_identities=8631, width=64, *, converted=False):
    """Return VGGFace2-pytorch's models/senet.py, or the names of files from MatConvNet."""
    parts = {"conv1": "1x1_reduce", "conv2": "3x3", "conv3": "1x1_increase"}
    parts |= {"conv4": "1x1_down", "conv5": "1x1_up", "downsample": "1x1_proj"}

    def layer(part, stage=None, i=None):
        """Return the names of a convolution and its normalisation."""
        if stage is None:
            pair = ("conv1_7x7_s2", "conv1_7x7_s2_bn") if converted else ("conv1", "bn1")
        elif converted:
            name = f"conv{stage + 1}_{i + 1}_{parts[part]}"
            pair = (name, f"{name}_bn")
        elif part == "downsample":
            pair = tuple(f"layer{stage}.{i}.downsample.{j}" for j in (0, 1))
        else:
            pair = (f"layer{stage}.{i}.{part}", f"layer{stage}.{i}.bn{part[-1]}")
        return pair

    out = {}

    def add(n_out, n_in, size, *place):
        conv, norm = layer(*place)
        out[f"{conv}.weight"] = (n_out, n_in, size, size)
        if place[0] in ("conv4", "conv5"):
            out[f"{conv}.bias"] = (n_out,)
        else:
            out.update(norm_table(norm, n_out))

    add(width, 3, 7, "conv1")
    n_in = width
    for stage, n_blocks in enumerate((3, 4, 6, 3), start=1):
        n = width * 2 ** (stage - 1)
        for i in range(n_blocks):
            add(n, n_in, 1, "conv1", stage, i)
            add(n, n, 3, "conv2", stage, i)
            add(4 * n, n, 1, "conv3", stage, i)
            add(n // 4, 4 * n, 1, "conv4", stage, i)
            add(4 * n, n // 4, 1, "conv5", stage, i)
            if i == 0:
                add(4 * n, n_in, 1, "downsample", stage, i)
            n_in = 4 * n
    last = "classifier" if converted else "fc"
    shape = (n_identities, n_in, 1, 1) if converted else (n_identities, n_in)
    return out | {f"{last}.weight": shape, f"{last}.bias": (n_identities,)}


FULL = {
    "arcface-ir50": partial(arcface_table, IR50),
    "arcface-ir100": partial(arcface_table, IR100),
    "arcface-ir50-evolve": partial(body_table, IR50),
    "arcface-irse50": partial(body_table, IR50, se=True),
    "adaface-ir50": partial(body_table, IR50, ada=True),
    "adaface-ir101": partial(body_table, IR100, ada=True),
    "inception-resnet-vggface2": partial(inception_table, 8631),
    "inception-resnet-casia": partial(inception_table, 10575),
    "senet50-vggface2": senet_table,
}
#: The same, narrow: the published names and the module that takes them.
NARROW = {
    "arcface-ir50": (
        partial(arcface_table, IR50, 2, 5),
        partial(arcface.build_ir50, width=2, n_out=5),
    ),
    "arcface-ir100": (
        partial(arcface_table, IR100, 2, 5),
        partial(arcface.build_ir100, width=2, n_out=5),
    ),
    "arcface-ir50-evolve": (
        partial(body_table, IR50, 2, 5),
        partial(arcface.build_ir50_plain, width=2, n_out=5),
    ),
    "arcface-irse50": (
        partial(body_table, IR50, 4, 5, se=True),
        partial(arcface.build_ir50_se, width=4, n_out=5),
    ),
    "adaface-ir50": (
        partial(body_table, IR50, 2, 5, ada=True),
        partial(arcface.build_adaface50, width=2, n_out=5),
    ),
    "adaface-ir101": (
        partial(body_table, IR100, 2, 5, ada=True),
        partial(arcface.build_adaface101, width=2, n_out=5),
    ),
    "inception-resnet-vggface2": (
        partial(inception_table, 7, 2, 5),
        lambda: inception_resnet.InceptionResNetV1(7, width=2, n_out=5),
    ),
    "inception-resnet-casia": (
        partial(inception_table, 9, 2, 5),
        lambda: inception_resnet.InceptionResNetV1(9, width=2, n_out=5),
    ),
    "senet50-vggface2": (
        partial(senet_table, 7, 4),
        lambda: resnet.ResNet50(7, width=4, squeeze=True),
    ),
}
#: Parameters of the published networks, from other people's tables of these files: arcface_torch
#: 43,590,848 and 65,156,160; facenet-pytorch 27,910,327 with the classifier of VGGFace2. SE: timm's
#: SE-ResNet-50 with 8,631 classes instead of 1,000. The form of InsightFace_Pytorch has fewer
#: normalisations than arcface_torch (2 parameters per channel), no convolution in the first
#: shortcut, and with SE two filters of an eighth of a squared number of channels more.
CHANNELS = [64] * 3 + [128] * 4 + [256] * 14 + [512] * 3
PLAIN = 43_590_848 - 2 * sum(CHANNELS) - (64 * 64 + 2 * 64)
PARAMETERS = {
    "arcface-ir50": 43_590_848,
    "arcface-ir100": 65_156_160,
    "arcface-ir50-evolve": PLAIN,
    # One normalisation more in each block than the plain form, and no scale and shift at the end.
    "adaface-ir50": PLAIN + 2 * sum(CHANNELS) - 2 * 512,
    "adaface-ir101": 65_156_160 - (64 * 64 + 2 * 64) - 2 * 512,
    "arcface-irse50": PLAIN + sum(n * n // 8 for n in CHANNELS),
    "inception-resnet-vggface2": 27_910_327,
    "inception-resnet-casia": 27_910_327 + (10575 - 8631) * 513,
    "senet50-vggface2": 28_088_024 + (8631 - 1000) * 2049,
}
EVERY = pytest.mark.parametrize("name", list(FULL))


def build(name):
    """Call the builder that the spec names, as the registry does."""
    return resolve_builder(name)()


def rename(name, state):
    return resolve_rename(name)(state)


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


def draw(table, seed=0):
    """Return a state dict with these names and shapes, random, nothing neutral."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in table.items():
        if name.endswith("num_batches_tracked"):
            out[name] = torch.tensor(3)
        elif len(shape) > 1:
            std = (2 / np.prod(shape[1:])) ** 0.5
            out[name] = torch.randn(shape, generator=generator) * std
        elif name.endswith(("running_mean", "bias")):
            out[name] = torch.randn(shape, generator=generator) * 0.1
        else:
            out[name] = torch.rand(shape, generator=generator) + 0.3
    return out


@cache
def narrow(name, seed=0):
    """Return the narrow network with a random file's weights, and that file's contents."""
    table, make = NARROW[name]
    state = draw(table(), seed)
    module = make()
    fill(module, rename(name, state), source="w.pth")
    return Network(BY_NAME[name], module, CPU), state


def images(n=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (120, 90, 3), dtype=np.uint8) for _ in range(n)]


def run(net, x, layers=()):
    """Return the module's output and the outputs of `layers`."""
    kept = {}
    handles = [
        net.module.get_submodule(n).register_forward_hook(
            lambda m, i, out, n=n: kept.update({n: out})
        )
        for n in layers
    ]
    with torch.inference_mode():
        out = net.module(x)
    for handle in handles:
        handle.remove()
    return out, kept


# --- specs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_every_spec_says_where_its_weights_come_from(spec):
    assert not spec.bundled
    assert spec.task == "identity"
    assert "https://" in spec.weights_help
    assert ".safetensors" in spec.weights_help
    assert "doi:" in spec.citation
    for text in (spec.licence, spec.origin, spec.training_set, spec.architecture):
        assert text


def test_names_are_unique_and_tables_agree():
    assert len(BY_NAME) == len(SPECS)
    assert set(FULL) == set(NARROW) == set(PARAMETERS) == set(BY_NAME)


def test_inputs():
    size = {name: BY_NAME[name].preprocessing.size for name in FULL}
    assert size["arcface-ir50"] == size["arcface-irse50"] == 112
    assert size["inception-resnet-casia"] == 160
    for name, std in (("arcface-ir100", 127.5), ("inception-resnet-vggface2", 128)):
        net, _ = narrow(name)
        picture = np.zeros((50, 50, 3), np.uint8)
        picture[:, :, 0] = 255
        x = net.preprocess([picture])[0]
        assert (x[0] == 127.5 / std).all(), "red first"
        assert (x[1:] == -127.5 / std).all()
    ours, resnet = BY_NAME["senet50-vggface2"], NETWORKS["resnet50-vggface2"]
    assert ours.preprocessing == resnet.preprocessing


# --- names and sizes of the published files ---------------------------------------------------


@EVERY
def test_full_size(name):
    table = FULL[name]()
    with torch.device("meta"):
        module = build(name).eval()
        published = {key: torch.empty(shape) for key, shape in table.items()}
        x = torch.empty(2, 3, *[BY_NAME[name].preprocessing.size] * 2)
        out = module(x)
    wanted = shapes(module.state_dict())
    assert shapes(rename(name, published)) == wanted
    assert shapes(rename(name, module.state_dict())) == wanted, "our own names stay"
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]
    assert tuple(out.shape) == (2, 8631 if name.startswith("senet") else 512)


@pytest.mark.parametrize(
    "name", ["inception-resnet-vggface2", "inception-resnet-casia", "senet50-vggface2"]
)
def test_names_are_the_published_ones(name):
    with torch.device("meta"):
        assert shapes(build(name).state_dict()) == FULL[name]()


def test_names_of_arcface_differ_only_in_the_slopes():
    with torch.device("meta"):
        found = set(build("arcface-ir50").state_dict())
    published = set(FULL["arcface-ir50"]())
    slopes = {key for key in published if key.endswith("prelu.weight")}
    assert published - found == slopes
    assert found - published == {key.replace("weight", "slope") for key in slopes}
    assert len(slopes) == 25


def test_body_numbers_follow_the_number_of_blocks():
    for depths in (IR50, IR100):
        state = rename("arcface-ir50-evolve", draw(body_table(depths, 2, 5)))
        sums = [f"layer{s}.{b}" for s, n in enumerate(depths, 1) for b in range(n)]
        assert {key.rsplit(".conv1", 1)[0] for key in state if ".conv1" in key} == set(sums)
        module = arcface.IResNet(depths, width=2, n_out=5, norm=False, project=False)
        fill(module, state, source="w.pth")


# --- layers -----------------------------------------------------------------------------------


@EVERY
def test_layers_exist_run_once_and_in_order(name):
    net, _ = narrow(name)
    order = net.all_layers()
    places = [order.index(layer) for layer in net.layers()]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    # Every module runs once: nothing shared, nothing forgotten.
    assert sorted(order) == sorted(n for n, _ in net.module.named_modules() if n)


@EVERY
def test_last_layer_is_the_output(name):
    net, _ = narrow(name)
    last = net.layers()[-1]
    out, kept = run(net, net.preprocess(images()), [last])
    assert torch.equal(out, kept[last])
    assert out.std(0).min() > 0


def test_arcface_layers_are_those_of_jiahui_et_al():
    layers = BY_NAME["arcface-ir100"].layers
    assert len(layers) == 49 + 2
    assert layers[:3] == ("layer1.0", "layer1.1", "layer1.2")
    assert layers[48:] == ("layer4.2", "fc", "features")
    assert [sum(n.startswith(f"layer{s}.") for n in layers) for s in range(1, 5)] == list(IR100)
    # The flattened map before the embedding can be read out as well.
    net, _ = narrow("arcface-ir100")
    assert net.all_layers()[-4:] == ["bn2", "flatten", "fc", "features"]


def test_block_names_of_the_others():
    layers = BY_NAME["inception-resnet-casia"].layers
    assert sum(n.startswith("repeat_") for n in layers) == 20
    assert layers[-5:] == ("block8", "avgpool_1a", "last_linear", "last_bn", "embedding")
    assert "logits" in narrow("inception-resnet-casia")[0].all_layers()
    assert BY_NAME["senet50-vggface2"].layers == NETWORKS["resnet50-vggface2"].layers


@EVERY
def test_nothing_is_changed_in_place(name):
    net, _ = narrow(name)
    assert not any(getattr(m, "inplace", False) for m in net.module.modules())
    copies = []

    def keep(module, inputs):
        # What a module was given must still be there when the whole pass is over.
        copies.append((inputs[0], inputs[0].clone()))

    handles = [m.register_forward_pre_hook(keep) for m in net.module.modules()]
    with torch.inference_mode():
        net.module(net.preprocess(images(1)))
    for handle in handles:
        handle.remove()
    assert len(copies) > 50
    assert all(torch.equal(tensor, copy) for tensor, copy in copies)


# --- values, against the published order of operations ----------------------------------------


def batch_norm(state, x, name, eps=1e-5):
    keys = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=eps)


def reference_arcface(state, x):
    """Compute from the names of arcface_torch; return the layers of the spec."""
    norm = partial(batch_norm, state)
    x = F.conv2d(x, state["conv1.weight"], padding=1)
    x = F.prelu(norm(x, "bn1"), state["prelu.weight"])
    kept = {}
    for stage in range(1, 5):
        i = 0
        while f"layer{stage}.{i}.conv1.weight" in state:
            b = f"layer{stage}.{i}"
            stride = 2 if i == 0 else 1
            y = F.conv2d(norm(x, f"{b}.bn1"), state[f"{b}.conv1.weight"], padding=1)
            y = F.prelu(norm(y, f"{b}.bn2"), state[f"{b}.prelu.weight"])
            y = F.conv2d(y, state[f"{b}.conv2.weight"], stride=stride, padding=1)
            y = norm(y, f"{b}.bn3")
            if i == 0:
                x = F.conv2d(x, state[f"{b}.downsample.0.weight"], stride=2)
                x = norm(x, f"{b}.downsample.1")
            x = kept[b] = x + y
            i += 1
    x = kept["flatten"] = norm(x, "bn2").flatten(1)
    kept["fc"] = F.linear(x, state["fc.weight"], state["fc.bias"])
    kept["features"] = norm(kept["fc"], "features")
    return kept


def reference_body(state, x, depths=IR50):
    """Compute from the names of InsightFace_Pytorch; return the layers of the spec."""
    norm = partial(batch_norm, state)
    x = F.conv2d(x, state["input_layer.0.weight"], padding=1)
    x = F.prelu(norm(x, "input_layer.1"), state["input_layer.2.weight"])
    ada = int("body.0.res_layer.2.running_mean" in state)
    kept, index = {}, 0
    for stage, n_blocks in enumerate(depths, start=1):
        for i in range(n_blocks):
            b = f"body.{index}.res_layer"
            stride = 2 if i == 0 else 1
            y = F.conv2d(norm(x, f"{b}.0"), state[f"{b}.1.weight"], padding=1)
            y = norm(y, f"{b}.2") if ada else y
            y = F.prelu(y, state[f"{b}.{2 + ada}.weight"])
            y = F.conv2d(y, state[f"{b}.{3 + ada}.weight"], stride=stride, padding=1)
            y = norm(y, f"{b}.{4 + ada}")
            if f"{b}.5.fc1.weight" in state:
                z = F.conv2d(y.mean((2, 3), keepdim=True), state[f"{b}.5.fc1.weight"])
                y = y * torch.sigmoid(F.conv2d(F.relu(z), state[f"{b}.5.fc2.weight"]))
            if f"body.{index}.shortcut_layer.0.weight" in state:
                x = F.conv2d(x, state[f"body.{index}.shortcut_layer.0.weight"], stride=stride)
                x = norm(x, f"body.{index}.shortcut_layer.1")
            else:
                x = x[:, :, ::stride, ::stride]
            x = kept[f"layer{stage}.{i}"] = x + y
            index += 1
    x = norm(x, "output_layer.0").flatten(1)
    kept["fc"] = F.linear(x, state["output_layer.3.weight"], state["output_layer.3.bias"])
    keys = ("running_mean", "running_var", "weight", "bias")
    last = (state.get(f"output_layer.4.{key}") for key in keys)
    kept["features"] = F.batch_norm(kept["fc"], *last)
    return kept


def reference_inception(state, x):
    """Compute from the names of facenet-pytorch; return the layers of the spec, and logits."""

    def conv(x, name, stride=1, padding=0):
        x = F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=padding)
        return F.relu(batch_norm(state, x, f"{name}.bn", eps=1e-3))

    def add(x, name, branches, scale):
        y = F.conv2d(
            torch.cat(branches, 1), state[f"{name}.conv2d.weight"], state[f"{name}.conv2d.bias"]
        )
        return y * scale + x

    kept = {}
    x = kept["conv2d_1a"] = conv(x, "conv2d_1a", 2)
    x = kept["conv2d_2a"] = conv(x, "conv2d_2a")
    x = kept["conv2d_2b"] = conv(x, "conv2d_2b", padding=1)
    x = kept["maxpool_3a"] = F.max_pool2d(x, 3, 2)
    x = kept["conv2d_3b"] = conv(x, "conv2d_3b")
    x = kept["conv2d_4a"] = conv(x, "conv2d_4a")
    x = kept["conv2d_4b"] = conv(x, "conv2d_4b", 2)
    for i in range(5):
        b = f"repeat_1.{i}"
        one = conv(x, f"{b}.branch0")
        two = conv(conv(x, f"{b}.branch1.0"), f"{b}.branch1.1", padding=1)
        three = conv(conv(x, f"{b}.branch2.0"), f"{b}.branch2.1", padding=1)
        three = conv(three, f"{b}.branch2.2", padding=1)
        x = kept[b] = F.relu(add(x, b, (one, two, three), 0.17))
    one = conv(x, "mixed_6a.branch0", 2)
    two = conv(conv(x, "mixed_6a.branch1.0"), "mixed_6a.branch1.1", padding=1)
    two = conv(two, "mixed_6a.branch1.2", 2)
    x = kept["mixed_6a"] = torch.cat((one, two, F.max_pool2d(x, 3, 2)), 1)
    for i in range(10):
        b = f"repeat_2.{i}"
        two = conv(conv(x, f"{b}.branch1.0"), f"{b}.branch1.1", padding=(0, 3))
        two = conv(two, f"{b}.branch1.2", padding=(3, 0))
        x = kept[b] = F.relu(add(x, b, (conv(x, f"{b}.branch0"), two), 0.10))
    one = conv(conv(x, "mixed_7a.branch0.0"), "mixed_7a.branch0.1", 2)
    two = conv(conv(x, "mixed_7a.branch1.0"), "mixed_7a.branch1.1", 2)
    three = conv(conv(x, "mixed_7a.branch2.0"), "mixed_7a.branch2.1", padding=1)
    three = conv(three, "mixed_7a.branch2.2", 2)
    x = kept["mixed_7a"] = torch.cat((one, two, three, F.max_pool2d(x, 3, 2)), 1)
    for b in (*(f"repeat_3.{i}" for i in range(5)), "block8"):
        two = conv(conv(x, f"{b}.branch1.0"), f"{b}.branch1.1", padding=(0, 1))
        two = conv(two, f"{b}.branch1.2", padding=(1, 0))
        last = b == "block8"
        x = add(x, b, (conv(x, f"{b}.branch0"), two), 1.0 if last else 0.20)
        x = kept[b] = x if last else F.relu(x)
    x = kept["avgpool_1a"] = x.mean((2, 3), keepdim=True)
    x = kept["last_linear"] = F.linear(x.flatten(1), state["last_linear.weight"])
    x = kept["last_bn"] = batch_norm(state, x, "last_bn", eps=1e-3)
    kept["logits"] = F.linear(x, state["logits.weight"], state["logits.bias"])
    kept["embedding"] = x / x.square().sum(1, keepdim=True).sqrt()
    return kept


def reference_senet(state, x):
    """Compute from the names of VGGFace2-pytorch; return the layers of the spec."""
    norm = partial(batch_norm, state)
    x = F.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    kept = {"relu": F.relu(norm(x, "bn1"))}
    x = kept["maxpool"] = F.max_pool2d(kept["relu"], 3, 2, ceil_mode=True)
    for stage, n_blocks in enumerate((3, 4, 6, 3), start=1):
        for i in range(n_blocks):
            b = f"layer{stage}.{i}"
            stride = 2 if i == 0 and stage > 1 else 1
            y = F.conv2d(x, state[f"{b}.conv1.weight"], stride=stride)
            y = F.conv2d(F.relu(norm(y, f"{b}.bn1")), state[f"{b}.conv2.weight"], padding=1)
            y = norm(F.conv2d(F.relu(norm(y, f"{b}.bn2")), state[f"{b}.conv3.weight"]), f"{b}.bn3")
            z = y.mean((2, 3), keepdim=True)
            z = F.relu(F.conv2d(z, state[f"{b}.conv4.weight"], state[f"{b}.conv4.bias"]))
            z = torch.sigmoid(F.conv2d(z, state[f"{b}.conv5.weight"], state[f"{b}.conv5.bias"]))
            if i == 0:
                x = F.conv2d(x, state[f"{b}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{b}.downsample.1")
            x = kept[b] = F.relu(z * y + x)
    x = kept["avgpool"] = F.avg_pool2d(x, 7, 1)
    kept["fc"] = F.linear(x.flatten(1), state["fc.weight"], state["fc.bias"])
    return kept


REFERENCES = {
    "arcface-ir50": reference_arcface,
    "arcface-ir100": reference_arcface,
    "arcface-ir50-evolve": reference_body,
    "arcface-irse50": reference_body,
    "adaface-ir50": reference_body,
    "adaface-ir101": partial(reference_body, depths=IR100),
    "inception-resnet-vggface2": reference_inception,
    "inception-resnet-casia": reference_inception,
    "senet50-vggface2": reference_senet,
}


def assert_near(found, expected, message=""):
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < 1e-5, f"{message}: {error}"


@EVERY
def test_every_layer_equals_the_published_order_of_operations(name):
    net, state = narrow(name, seed=4)
    x = net.preprocess(images(3))
    with torch.inference_mode():
        expected = REFERENCES[name](state, x)
    _, found = run(net, x, list(expected))
    assert set(net.layers()) <= set(expected)
    for layer, value in expected.items():
        assert found[layer].shape == value.shape, layer
        assert value.std() > 0
        assert_near(found[layer], value, layer)


def test_embedding_of_inception_has_length_1():
    net, _ = narrow("inception-resnet-vggface2")
    out, _ = run(net, net.preprocess(images(4)))
    torch.testing.assert_close(out.norm(dim=1), torch.ones(4))


def test_senet_equals_timm_at_full_size():
    import timm

    state = draw(senet_table(7), seed=2)
    module = resnet.ResNet50(7, squeeze=True)
    fill(module, state, source="w.pth")
    stem = {"conv1": "layer0.conv1", "bn1": "layer0.bn1", "fc": "last_linear"}
    theirs = timm.create_model("legacy_seresnet50", num_classes=7).eval()
    renamed = {}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if head in stem:
            name = f"{stem[head]}.{rest}"
        name = name.replace(".conv4.", ".se_module.fc1.").replace(".conv5.", ".se_module.fc2.")
        renamed[name] = value
    theirs.load_state_dict(renamed, strict=True)
    net = Network(BY_NAME["senet50-vggface2"], module, CPU)
    x = net.preprocess(images(1))
    with torch.inference_mode():
        assert_near(net.module(x), theirs(x))


def test_senet_files_converted_from_matconvnet_take_bgr():
    # The converted network, as its authors use it: RGB with the mean in that order.
    state = draw(senet_table(7, 4, converted=True), seed=5)
    module = resnet.ResNet50(7, width=4, squeeze=True)
    fill(module, resnet.rename(state), source="w.pth")
    net = Network(BY_NAME["senet50-vggface2"], module, CPU)
    x = net.preprocess(images())
    reference = dict(
        zip(
            senet_table(7, 4),
            (state[key] for key in senet_table(7, 4, converted=True)),
            strict=True,
        )
    )
    reference["fc.weight"] = reference["fc.weight"].flatten(1)
    with torch.inference_mode():
        expected = reference_senet(reference, x.flip(1))["fc"]
    assert_near(run(net, x)[0], expected)


# --- files ------------------------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch):
    """Register the networks, narrow."""
    for name, spec in BY_NAME.items():
        monkeypatch.setitem(NETWORKS, name, spec)
        monkeypatch.setattr(_HOMES[name], spec.builder, NARROW[name][1])


def write(state, path, *, prefix=False):
    """Write a state dict in one of the community's forms."""
    if path.suffix == ".pkl":
        arrays = {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}
        if "fc.weight" in arrays:
            arrays["fc.weight"] = arrays["fc.weight"][:, :, None, None]
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    elif path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({f"module.{k}" if prefix else k: v for k, v in state.items()}, path)
    return path


@EVERY
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_open_by_name(name, suffix, registered, tmp_path):
    expected, state = narrow(name, seed=7)
    path = write(state, tmp_path / f"w{suffix}", prefix=suffix == ".pth")
    found = load_network(name, device="cpu", weights=path)
    assert found.layers() == list(BY_NAME[name].layers)
    assert found.weights_sha256 == expected.weights_sha256


def test_pickled_arrays_open_with_a_classifier_stored_as_1x1(registered, tmp_path):
    expected, state = narrow("senet50-vggface2", seed=7)
    path = write(state, tmp_path / "senet50_ft.pkl")
    found = load_network("senet50-vggface2", device="cpu", weights=path)
    assert found.weights_sha256 == expected.weights_sha256


def test_a_checkpoint_of_adaface_opens_with_its_head(registered, tmp_path):
    expected, state = narrow("adaface-ir50", seed=7)
    whole = {f"model.{key}": value for key, value in state.items()} | {"head.kernel": torch.ones(5)}
    torch.save({"state_dict": whole, "epoch": 1}, tmp_path / "adaface_ir50.ckpt")
    found = load_network("adaface-ir50", device="cpu", weights=tmp_path / "adaface_ir50.ckpt")
    assert found.weights_sha256 == expected.weights_sha256


@EVERY
def test_without_a_file_the_message_says_what_to_get(name, registered):
    with pytest.raises(InputError, match=f"'{name}' needs a weight file"):
        load_network(name, device="cpu")


#: A file, and the network that it is given to by mistake.
MISTAKEN = [
    ("arcface-ir50", "arcface-ir100"),
    ("arcface-ir100", "arcface-ir50"),
    ("arcface-ir50", "arcface-ir50-evolve"),
    ("arcface-ir50-evolve", "arcface-ir50"),
    ("arcface-ir50-evolve", "arcface-irse50"),
    ("arcface-irse50", "arcface-ir50-evolve"),
    ("inception-resnet-casia", "inception-resnet-vggface2"),
    ("inception-resnet-vggface2", "inception-resnet-casia"),
    ("adaface-ir50", "arcface-ir50"),
    ("arcface-ir50-evolve", "adaface-ir50"),
    ("senet50-vggface2", "arcface-ir50"),
    ("arcface-ir50", "inception-resnet-vggface2"),
    ("inception-resnet-vggface2", "senet50-vggface2"),
]


@pytest.mark.parametrize(("given", "name"), MISTAKEN)
def test_files_of_another_network_are_refused(given, name, registered, tmp_path):
    path = write(narrow(given)[1], tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other.pth does not fit this network"):
        load_network(name, device="cpu", weights=path)


def test_ir100_in_the_form_of_insightface_pytorch_is_refused_as_ir50(registered, tmp_path):
    path = write(draw(body_table(IR100, 2, 5)), tmp_path / "ir100.pth")
    with pytest.raises(InputError, match=r"0 names missing, .*layer2.4.* too many"):
        load_network("arcface-ir50-evolve", device="cpu", weights=path)


def test_the_resnet_of_vggface2_is_refused():
    with torch.device("meta"):
        state, ours = resnet.build().state_dict(), build("senet50-vggface2")
    with pytest.raises(InputError, match=r"64 names .*conv4.* missing, 0 names too many"):
        fill(ours, resnet.rename(state), source="resnet50_ft.pkl")


def test_names_without_a_layer_pass_through_renaming():
    state = {"scale": torch.zeros(1), "body.99.res_layer.1.weight": torch.zeros(1)}
    assert set(arcface.rename(state)) == set(state)
    assert set(resnet.rename(state)) == set(state)


# --- untrained --------------------------------------------------------------------------------


@EVERY
def test_untrained_networks_are_not_linear(name, registered):
    net = load_network(f"untrained:{name}", device="cpu", seed=1)
    x = torch.randn(2, 3, *[net.spec.preprocessing.size] * 2)
    with torch.inference_mode():
        there, back = net.module(x), net.module(-x)
    assert torch.isfinite(there).all()
    assert (there + back).abs().max() > 0.01 * there.abs().max()


@pytest.mark.parametrize("form", [{}, {"norm": False, "project": False}, {"squeeze": True}])
def test_slopes_of_untrained_networks_are_small(form):
    module = arcface.IResNet((1, 1, 1, 1), width=4, n_out=3, **form)
    initialise(module, 0)
    slopes = torch.cat([p for n, p in module.named_parameters() if n.endswith("slope")])
    assert slopes.abs().max() < 0.1


@pytest.mark.parametrize("module", [arcface, inception_resnet])
def test_docstring_examples_run(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
