"""VGG16, AlexNet, the small DenseNet, the Siamese network: layers, renaming, outputs."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from rsa_faces import InputError
from rsa_faces.networks import load_network
from rsa_faces.networks._network import Network
from rsa_faces.networks._registry import resolve_builder
from rsa_faces.networks._weights import fill, initialise, n_outputs
from rsa_faces.networks.families import chains, densenet, siamese

SPECS = (*chains.SPECS, *densenet.SPECS, siamese.SPECS[0])
BY_NAME = {spec.name: spec for spec in SPECS}
ANY_OUTPUTS = {spec.name: spec.any_outputs for spec in SPECS if spec.any_outputs}


def narrowed(model, n_out=7):
    """Return torchvision's chain with 32 times fewer channels."""
    with torch.device("meta"):
        module = chains._build(model, n_out)
    for name, layer in module.named_children():
        if isinstance(layer, nn.Conv2d):
            n_in = (
                3
                if name.startswith("conv1") and layer.in_channels == 3
                else layer.in_channels // 32
            )
            new = nn.Conv2d(
                n_in, layer.out_channels // 32, layer.kernel_size, layer.stride, layer.padding
            )
        elif isinstance(layer, nn.Linear):
            new = nn.Linear(layer.in_features // 32, n_out if name == "fc8" else 128)
        else:
            continue
        setattr(module, name, new)
    return module


SMALL = {
    "vgg16-vggface": lambda: narrowed("vgg16"),
    "vgg16-imagenet": lambda: narrowed("vgg16"),
    "vgg16-faces": lambda: narrowed("vgg16"),
    "alexnet-imagenet": lambda: narrowed("alexnet"),
    "alexnet-faces": lambda: narrowed("alexnet"),
    "densenet-celeba": lambda: densenet.DenseNet(7, growth=2),
    "densenet-fer2013": lambda: densenet.DenseNet(7, growth=2),
    "siamese-lfw": lambda: siamese.SiameseNet(7, width=2),
}
#: Parameters of the full networks. VGG16 and AlexNet for ImageNet: torchvision's tables. Siamese:
#: Koch et al. 38,951,745 with one output; ours has two. DenseNet: counted below.
PARAMETERS = {
    "vgg16-vggface": 138_357_544 + (2622 - 1000) * 4097,
    "vgg16-imagenet": 138_357_544,
    "vgg16-faces": 138_357_544 + (8631 - 1000) * 4097,
    "alexnet-imagenet": 61_100_840,
    "alexnet-faces": 61_100_840 + (8631 - 1000) * 4097,
    "densenet-celeba": 2_935_232 + 185 * 1503,
    "densenet-fer2013": 2_935_232 + 185 * 7,
    "siamese-lfw": 38_951_745 + 4097,
}


def build(spec):
    """Return the builder that the spec names, as the registry does."""
    return resolve_builder(spec.name)


def randomise(module, seed=0):
    """Give every weight and running statistic a random value, none of them neutral."""
    initialise(module, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
        elif name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return module.eval().requires_grad_(False)


def network(name, seed=0):
    """Return the narrow network of that name."""
    return Network(BY_NAME[name], randomise(SMALL[name](), seed), torch.device("cpu"))


def images(n=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (120, 90, 3), dtype=np.uint8) for _ in range(n)]


# --- specs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_every_spec_says_where_its_weights_come_from(spec):
    assert not spec.bundled
    assert spec.weights_help
    for text in (spec.licence, spec.origin, spec.citation, spec.training_set, spec.architecture):
        assert text
    assert len(spec.preprocessing.mean) == len(spec.preprocessing.std)
    assert len(spec.preprocessing.mean) == (1 if spec.preprocessing.channels == "L" else 3)


def test_names_are_unique_and_tables_agree():
    assert len(BY_NAME) == len(SPECS)
    assert set(SMALL) == set(PARAMETERS) == set(BY_NAME)
    assert set(ANY_OUTPUTS) < set(BY_NAME)


def test_torchvision_preprocessing_is_torchvisions():
    from rsa_faces.networks import libraries

    for name, model in (("vgg16-imagenet", "vgg16"), ("alexnet-imagenet", "alexnet")):
        expected = libraries.describe("torchvision", model).preprocessing
        assert BY_NAME[name].preprocessing == expected


# --- full networks on the meta device ---------------------------------------------------------


def dense_parameters_without_classifier():
    """Count the DenseNet's parameters from the paper's sizes: growth 32, three by three."""
    total, n = 64 * 49 + 64, 64
    for block in range(3):
        for _ in range(3):
            total += 2 * n + 49 * n * 32
            n += 32
        if block < 2:
            total += 2 * n + 49 * n * (n // 2)
            n //= 2
    return total + 2 * n, n


def test_counted_by_hand():
    assert dense_parameters_without_classifier() == (2_935_232, 184)


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_full_size(name):
    spec = BY_NAME[name]
    with torch.device("meta"):
        module = build(spec)().eval()
        x = torch.empty(1, len(spec.preprocessing.mean), *[spec.preprocessing.size] * 2)
        out = module(x)
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]
    last = module.get_submodule(ANY_OUTPUTS.get(name, "fc8"))
    assert tuple(out.shape) == (1, last.out_features)
    if spec.outputs:
        assert out.shape[1] == len(spec.outputs)


# --- layers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SMALL))
def test_layers_exist_run_once_and_in_order(name):
    net = network(name)
    order = net.all_layers()
    assert len(set(order)) == len(order)
    places = [order.index(layer) for layer in net.layers()]
    assert places == sorted(places)
    # Every module but the head runs once: nothing shared, nothing forgotten.
    modules = {n for n, m in net.module.named_modules() if n and n != "head"}
    assert set(order) == modules


def test_names_are_those_of_the_papers():
    convolutions = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3"]
    convolutions += ["5_1", "5_2", "5_3"]
    expected = {f"{kind}{c}" for c in convolutions for kind in ("conv", "relu")}
    expected |= {f"pool{i}" for i in range(1, 6)} | {"fc6", "relu6", "fc7", "relu7", "fc8"}
    assert set(network("vgg16-vggface").all_layers()) == expected
    expected = {f"{kind}{i}" for i in range(1, 6) for kind in ("conv", "relu")}
    expected |= {"pool1", "pool2", "pool5", "fc6", "relu6", "fc7", "relu7", "fc8"}
    assert set(network("alexnet-faces").all_layers()) == expected


@pytest.mark.parametrize("name", list(SMALL))
def test_values_before_and_after_relu_are_separate(name):
    net = network(name)
    outputs = {}

    def keep(layer):
        # Without a clone: an in-place ReLU would change what is kept.
        return lambda module, inputs, output: outputs.update({layer: (inputs[0], output)})

    relus = [n for n, m in net.module.named_modules() if isinstance(m, nn.ReLU)]
    handles = [net.module.get_submodule(n).register_forward_hook(keep(n)) for n in relus]
    with torch.inference_mode():
        net.module(net.preprocess(images()))
    for handle in handles:
        handle.remove()
    assert len(outputs) == len(relus) > 0
    for before, after in outputs.values():
        assert before.min() < 0
        assert torch.equal(after, before.clamp(min=0))
    assert not any(getattr(m, "inplace", False) for m in net.module.modules())


@pytest.mark.parametrize("name", list(SMALL))
def test_last_layer_is_the_output(name):
    net = network(name)
    found = []
    last = net.module.get_submodule(net.layers()[-1])
    handle = last.register_forward_hook(lambda module, inputs, output: found.append(output))
    with torch.inference_mode():
        out = net.module(net.preprocess(images()))
    handle.remove()
    assert torch.equal(out, found[0])
    assert tuple(out.shape) == (2, 7)
    assert out.std(0).min() > 0


# --- torchvision ------------------------------------------------------------------------------


def torchvision_model(model, n_out, seed=1):
    """Return torchvision's network with random weights, drawn quickly."""
    generator = torch.Generator().manual_seed(seed)
    kwargs = {"init_weights": False} if model == "vgg16" else {}
    with torch.device("meta"):
        module = torchvision.models.get_model(model, num_classes=n_out, **kwargs)
    module = module.to_empty(device="cpu").eval().requires_grad_(False)
    for p in module.parameters():
        std = (2 / p[0].numel()) ** 0.5 if p.ndim > 1 else 0.1
        # Uniform is several times quicker than normal on VGG16's 138 million weights.
        p.uniform_(-(3**0.5) * std, 3**0.5 * std, generator=generator)
    return module


@pytest.mark.parametrize(
    ("model", "family", "name"),
    [("vgg16", chains, "vgg16-faces"), ("alexnet", chains, "alexnet-faces")],
)
def test_equals_torchvision_at_full_size(model, family, name):
    theirs = torchvision_model(model, n_out=11)
    state = family.rename(theirs.state_dict())
    with torch.device("meta"):
        ours = build(BY_NAME[name])(n_out=n_outputs(state, ANY_OUTPUTS[name], source="w.pth"))
    # assign: shares theirs' memory instead of a second copy of half a gigabyte.
    ours.load_state_dict(state, strict=True, assign=True)
    net = Network(BY_NAME[name], ours, torch.device("cpu"))
    x = net.preprocess(images(1))
    with torch.inference_mode():
        expected, found = theirs(x), net.module(x)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("model", "family"), [("vgg16", chains), ("alexnet", chains)])
def test_rename_covers_torchvision_and_leaves_ours_alone(model, family):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(model)
        ours = chains._build(model, 1000)
    wanted = {k: tuple(v.shape) for k, v in ours.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in family.rename(theirs.state_dict()).items()} == wanted
    assert {k: tuple(v.shape) for k, v in family.rename(ours.state_dict()).items()} == wanted


def test_fully_connected_layers_stored_as_convolutions_are_flattened():
    state = randomise(narrowed("vgg16")).state_dict()
    stored = dict(state)
    stored["fc6.weight"] = state["fc6.weight"].reshape(128, 16, 7, 7)
    stored["fc7.weight"] = state["fc7.weight"][:, :, None, None]
    stored["fc8.weight"] = state["fc8.weight"][:, :, None, None]
    found = chains.rename(stored)
    assert all(torch.equal(found[name], value) for name, value in state.items())


# --- DenseNet against an obvious version with the authors' names ------------------------------


def authors_names(state):
    """Write a state dict of ours under the names of the authors' checkpoints."""
    out = {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[0].startswith("dense"):
            parts[1] = str(int(parts[1].removeprefix("layer")) - 1)
        if parts[-2] in ("bn", "conv"):
            parts[-2] += "1"
        out[".".join(parts)] = value
    return out


def reference_densenet(state, x):
    """Compute the network step by step from the authors' names; return its read-out layers."""
    f = nn.functional

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return f.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    x = f.conv2d(x, state["conv1.weight"], state["conv1.bias"], padding=3)
    kept = [x]
    for block in (1, 2, 3):
        for i in range(3):
            name = f"dense{block}.{i}"
            new = f.conv2d(norm(x, f"{name}.bn1"), state[f"{name}.conv1.weight"], padding=3)
            x = torch.cat((x, f.relu(new)), 1)
        if block < 3:
            new = f.conv2d(
                norm(x, f"trans{block}.bn1"), state[f"trans{block}.conv1.weight"], padding=3
            )
            x = f.max_pool2d(f.relu(new), 2)
        kept.append(x)
    pooled = f.relu(norm(x, "bn1"))[:, :, :8, :8].mean((2, 3))
    return kept, f.linear(pooled, state["fc.weight"], state["fc.bias"])


def test_densenet_equals_an_obvious_version():
    source = randomise(densenet.DenseNet(5, growth=4), seed=3)
    state = authors_names(source.state_dict())
    assert "dense2.0.bn1.running_var" in state
    assert "trans1.conv1.weight" in state
    module = densenet.DenseNet(5, growth=4).eval()
    fill(module, densenet.rename(state), source="w.pth")
    found = []
    for layer in ("conv1", "trans1", "trans2", "dense3.layer3"):
        module.get_submodule(layer).register_forward_hook(lambda m, i, output: found.append(output))
    x = torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        out = module(x)
        kept, expected = reference_densenet(state, x)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    for a, b in zip(found, kept, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "kernel"), [(3, 7), (3, 3), (7, 7)])
def test_sizes_of_densenets_are_read_from_the_file(first, kernel, tmp_path):
    source = randomise(densenet.DenseNet(5, growth=4, first=first, kernel=kernel))
    torch.save(authors_names(source.state_dict()), tmp_path / "dense.pth")
    found = load_network("densenet-fer2013", device="cpu", weights=tmp_path / "dense.pth").module
    assert found.conv1.kernel_size == (first, first)
    assert found.trans1.conv.kernel_size == (kernel, kernel)
    x = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found(x), source(x))


def test_densenet_input_is_grey_from_0_to_1():
    net = network("densenet-celeba")
    white = net.preprocess([np.full((218, 178, 3), 255, np.uint8)])
    assert tuple(white.shape) == (1, 1, 48, 48)
    assert (white == 1).all()
    # Of CelebA's photographs the central square is kept: 20 px go above and below (the filter
    # reaches 4 px further).
    tall = np.zeros((218, 178, 3), np.uint8)
    tall[:14] = tall[-14:] = 255
    assert (net.preprocess([tall]) == 0).all()
    tall[:30] = 255
    assert (net.preprocess([tall])[0, 0, 0] == 1).all()


# --- Siamese network --------------------------------------------------------------------------


def test_siamese_compare():
    module = randomise(siamese.SiameseNet(9, width=2))
    a, b = torch.rand(2, 4, 1, 105, 105, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = module.compare(a, b)
        expected = (module(a) - module(b)).abs() @ module.head.weight.T + module.head.bias
        torch.testing.assert_close(logits, expected)
        assert torch.equal(logits, module.compare(b, a))
        # The same image twice: the difference is 0 and the head's bias is left.
        assert torch.equal(module.compare(a, a), module.head.bias.expand(4, 2))
    assert module(a).min() < 0, "the embedding is not rectified"


def test_siamese_trains_on_pairs():
    # Every weight gets a gradient, and the loss falls on pairs of four persons.
    module = randomise(siamese.SiameseNet(8, width=2)).train().requires_grad_(True)
    persons = torch.rand(4, 1, 105, 105, generator=torch.Generator().manual_seed(0))
    first, second = torch.arange(4).repeat(2), torch.tensor([0, 1, 2, 3, 1, 2, 3, 0])
    same = (first == second).long()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        logits = module.compare(persons[first], persons[second])
        loss = nn.functional.cross_entropy(logits, same)
        optimiser.zero_grad()
        loss.backward()
        # The bias of the embedding cancels in the difference: its gradient is 0 but for rounding.
        for name, parameter in module.named_parameters():
            assert name == "embedding.fc.bias" or (parameter.grad != 0).any(), name
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


# --- number of outputs, and files that do not fit ---------------------------------------------


@pytest.mark.parametrize("name", list(ANY_OUTPUTS))
def test_number_of_outputs_is_read_from_the_file(name):
    state = SMALL[name]().state_dict()
    assert n_outputs(state, ANY_OUTPUTS[name], source="w.pth") == 7
    with torch.device("meta"):
        module = build(BY_NAME[name])(n_out=7)
    assert module.get_submodule(ANY_OUTPUTS[name]).out_features == 7


def test_number_of_outputs_needs_the_layer():
    with pytest.raises(InputError, match=r"w.pth does not fit .* fc8.weight .* there is none"):
        n_outputs({"conv1.weight": torch.zeros(1)}, "fc8", source="w.pth")
    with pytest.raises(InputError, match=r"fc8.weight .* it has shape \(3, 2, 1, 1\)"):
        n_outputs({"fc8.weight": torch.zeros(3, 2, 1, 1)}, "fc8", source="w.pth")


def test_vgg_with_normalisation_is_refused():
    with torch.device("meta"):
        state = torchvision.models.vgg16_bn().state_dict()
        ours = chains.build_vgg_imagenet()
    with pytest.raises(InputError, match=r"w.pth does not fit .* \d+ names .* too many"):
        fill(ours, chains.rename(state), source="w.pth")


@pytest.mark.parametrize(("model", "other"), [("vgg16", "alexnet"), ("alexnet", "vgg16")])
def test_another_architecture_is_refused(model, other):
    with torch.device("meta"):
        state = torchvision.models.get_model(model).state_dict()
        ours = chains._build(other, 1000)
    with pytest.raises(InputError, match="w.pth does not fit this network"):
        fill(ours, chains.rename(state), source="w.pth")


def test_published_networks_keep_their_number_of_outputs():
    with torch.device("meta"):
        state = chains.build_vgg_imagenet().state_dict()
        ours = chains.build_vggface()
    with pytest.raises(InputError, match=r"fc8.weight has shape \(1000, 4096\), expected \(2622"):
        fill(ours, chains.rename(state), source="w.pth")


def test_torchvisions_densenet_is_refused():
    with torch.device("meta"):
        state = torchvision.models.densenet121().state_dict()
    with pytest.raises(InputError, match=r"fc.weight .* there is none"):
        n_outputs(densenet.rename(state), "fc", source="densenet121.pth")
    with pytest.raises(InputError, match="densenet121.pth does not fit this network"):
        fill(densenet.DenseNet(7), densenet.rename(state), source="densenet121.pth")


def test_names_without_a_layer_pass_through_renaming():
    state = {"scale": torch.zeros(1)}
    for family in (chains, densenet):
        assert set(family.rename(state)) == {"scale"}


def test_module_docstring_example_runs():
    import doctest

    assert doctest.testmod(siamese).attempted > 0
    assert doctest.testmod(siamese).failed == 0


@pytest.mark.parametrize("name", ["alexnet-faces", "siamese-lfw"])
def test_a_file_of_the_user_opens_by_name(name, tmp_path, monkeypatch):
    from rsa_faces.networks import _load

    monkeypatch.setattr(_load, "resolve_builder", lambda _: lambda n_out: small(name, n_out))
    module = small(name, 5)
    initialise(module, 3)
    path = tmp_path / "mine.pth"
    torch.save({"state_dict": module.state_dict()}, path)
    network = _load.load_network(name, device="cpu", weights=path)
    for ours, theirs in zip(network.module.parameters(), module.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(InputError, match=f"'{name}' needs a weight file"):
        _load.load_network(name, device="cpu")


def small(name, n_out):
    """Return a narrow network of this name."""
    if name == "siamese-lfw":
        return siamese.SiameseNet(n_out, width=2)
    return narrowed("alexnet", n_out)
