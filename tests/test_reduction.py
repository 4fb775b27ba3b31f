"""Less of a layer: means, class tokens, projections, half precision; and what layers are."""

import numpy as np
import pytest
import torch
from torch import nn

import rsa_faces as rf
from rsa_faces.extraction import _store
from rsa_faces.networks import Network
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks._trace import channel_axis, receptive_fields

SIZE = 16


def network_of(module):
    spec = NetworkSpec(
        "small",
        "none",
        "test",
        "none",
        "none",
        "none",
        "none",
        Preprocessing(size=SIZE, fit="stretch", channels="RGB", mean=(127.0,) * 3, std=(60.0,) * 3),
        "",
    )
    return Network(spec, module, torch.device("cpu"))


class Maps(nn.Module):
    """Convolutions, a map with channels last, a vector."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 5, 3, stride=2, padding=1, dilation=1)
        self.last = nn.Linear(5, 7)
        self.fc = nn.Linear(7 * 16, 4)

    def forward(self, x):
        x = self.conv2(self.pool1(self.conv1(x)).relu())
        x = self.last(x.permute(0, 2, 3, 1))
        return self.fc(x.flatten(1))


class Tokens(nn.Module):
    """Patches, a class token, attention over both."""

    def __init__(self):
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, 1, 8))
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.flat = nn.Flatten(2)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.norm(self.flat(self.patches(x)).transpose(1, 2))
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        x, _ = self.attention(x, x, x)
        return self.head(x[:, 0])


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return network_of(Maps())


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return network_of(Tokens())


@pytest.fixture
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, size=(7, 20, 20, 3), dtype=np.uint8)
    return rf.StimulusSet.from_arrays(list(images), [f"i{k}" for k in range(7)])


def outputs(network, stimuli, layer):
    """What a layer returns for all images, by a hook of our own."""
    taken = []

    def take(module, inputs, output):
        taken.append((output[0] if isinstance(output, tuple) else output).clone().numpy())

    handle = network.module.get_submodule(layer).register_forward_hook(take)
    with torch.inference_mode():
        network.module(network.preprocess([stimuli.image(i) for i in stimuli.ids]))
    handle.remove()
    return taken[-1]


# --- reduce -----------------------------------------------------------------------------------


def test_mean_over_places_is_named_and_right(maps, stimuli):
    layers = ["conv1", "pool1", "last", "fc"]
    acts = rf.extract(maps, stimuli, layers=layers, reduce="mean", batch_size=3)
    assert acts.layers == ("conv1:mean", "pool1:mean", "last:mean", "fc")
    for layer, axes in (("conv1", (2, 3)), ("pool1", (2, 3)), ("last", (1, 2))):
        expected = outputs(maps, stimuli, layer).mean(axis=axes)
        np.testing.assert_allclose(acts[f"{layer}:mean"], expected, atol=1e-6)
    np.testing.assert_allclose(acts["fc"], outputs(maps, stimuli, "fc"), atol=1e-6)
    assert list(acts.depth) == list(acts.layers)


def test_mean_over_tokens_leaves_the_class_token_out(tokens, stimuli):
    acts = rf.extract(tokens, stimuli, layers=["norm", "attention"], reduce="mean")
    np.testing.assert_allclose(
        acts["norm:mean"], outputs(tokens, stimuli, "norm").mean(axis=1), atol=1e-6
    )
    np.testing.assert_allclose(
        acts["attention:mean"], outputs(tokens, stimuli, "attention")[:, 1:].mean(axis=1), atol=1e-6
    )


def test_class_token_is_the_first_and_only_where_there_is_one(tokens, maps, stimuli):
    acts = rf.extract(tokens, stimuli, layers=["attention", "head"], reduce="class token")
    assert acts.layers == ("attention:class token", "head")
    np.testing.assert_allclose(
        acts["attention:class token"], outputs(tokens, stimuli, "attention")[:, 0], atol=1e-6
    )
    with pytest.raises(rf.InputError, match=r"'norm' of small has none \(one image gives \(16, 8"):
        rf.extract(tokens, stimuli, layers=["norm"], reduce="class token")
    with pytest.raises(rf.InputError, match="expected layers with a class token"):
        rf.extract(maps, stimuli, layers=["conv1"], reduce="class token")


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "torchvision:vit_b_32"])
def test_class_tokens_of_the_libraries(name):
    network = rf.load_network(f"untrained:{name}", device="cpu")
    blocks = "blocks.1" if name.startswith("timm") else "encoder.layers.encoder_layer_1"
    table = network.layer_table([blocks]).iloc[0]
    n = (network.spec.preprocessing.size // (16 if name.startswith("timm") else 32)) ** 2
    assert (table["tokens"], bool(table["class_token"])) == (f"1 + {n}", True)
    assert table["shape"][0] == n + 1


def test_projection_keeps_squared_distances_within_the_stated_error(maps, stimuli):
    whole = rf.compute_rdms(rf.extract(maps, stimuli, layers=["conv1"]), measure="sqeuclidean")
    k, ratios = 200, []
    for seed in range(60):
        acts = rf.extract(maps, stimuli, layers=["conv1", "fc"], reduce=k, seed=seed)
        assert acts.layers == (f"conv1:projected {k}", "fc")
        rdms = rf.compute_rdms(acts, measure="sqeuclidean")
        ratios.append(rdms.vectors[0] / whole.vectors[0])
    ratios = np.array(ratios)
    # Standard deviation over projections at most sqrt(2 / k) = 0.1; mean 1 within 4 errors.
    assert ratios.std(axis=0).max() < np.sqrt(2 / k) * 1.35
    assert abs(ratios.mean(axis=0) - 1).max() < 4 * np.sqrt(2 / k / 60)


def test_projection_depends_on_seed_and_layer_only(maps, stimuli, tmp_path):
    first = rf.extract(maps, stimuli, layers=["conv1"], reduce=50, seed=1, batch_size=2)
    again = rf.extract(maps, stimuli, layers=["conv1"], reduce=50, seed=1, batch_size=5)
    other = rf.extract(maps, stimuli, layers=["conv1"], reduce=50, seed=2)
    (label,) = first
    np.testing.assert_allclose(first[label], again[label], atol=1e-5)
    assert np.abs(first[label] - other[label]).max() > 0.1


@pytest.mark.parametrize("reduce", ["mean", 40])
def test_streamed_rdms_are_those_of_reduced_activations(maps, stimuli, reduce):
    layers = ["conv1", "last", "fc"]
    kept = rf.compute_rdms(rf.extract(maps, stimuli, layers=layers, reduce=reduce))
    streamed = rf.layer_rdms(maps, stimuli, layers=layers, reduce=reduce)
    spilled = rf.layer_rdms(maps, stimuli, layers=layers, reduce=reduce, budget="20kB")
    assert streamed.labels.equals(kept.labels)
    np.testing.assert_allclose(streamed.vectors, kept.vectors, atol=2e-6)
    np.testing.assert_allclose(spilled.vectors, kept.vectors, atol=2e-6)


def test_whole_and_reduced_layers_share_a_store(maps, stimuli, tmp_path):
    store = tmp_path / "acts"
    whole = rf.extract(maps, stimuli, layers=["conv1"], store=store)
    mean = rf.extract(maps, stimuli, layers=["conv1"], store=store, reduce="mean")
    k = rf.extract(maps, stimuli, layers=["conv1"], store=store, reduce=9)
    again = rf.extract(maps, stimuli, layers=["conv1"], store=store, reduce=9)
    other = rf.extract(maps, stimuli, layers=["conv1"], reduce=9, seed=3)
    np.testing.assert_array_equal(k["conv1:projected 9"], again["conv1:projected 9"])
    assert np.abs(other["conv1:projected 9"] - k["conv1:projected 9"]).max() > 0.1
    n_places = whole["conv1"].shape[1] // 6
    by_place = whole["conv1"].reshape(7, n_places, 6)  # channels last in memory
    np.testing.assert_allclose(by_place.mean(axis=1), mean["conv1:mean"], atol=1e-6)


def test_another_seed_is_no_stale_hit(maps, stimuli, tmp_path):
    store = tmp_path / "acts"
    rf.extract(maps, stimuli, layers=["conv1"], store=store, reduce=9, seed=0)
    new = rf.extract(maps, stimuli, layers=["conv1"], store=store, reduce=9, seed=3)
    expected = rf.extract(maps, stimuli, layers=["conv1"], reduce=9, seed=3)
    np.testing.assert_allclose(new["conv1:projected 9"], expected["conv1:projected 9"], atol=1e-5)


# --- dtype and precision ----------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "error"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precision_stores_are_as_near_as_stated(maps, stimuli, tmp_path, dtype, error):
    exact = rf.extract(maps, stimuli, layers=["conv1", "fc"])
    store = tmp_path / "half"
    half = rf.extract(maps, stimuli, layers=["conv1", "fc"], store=store, dtype=dtype)
    unnamed = rf.extract(maps, stimuli, layers=["conv1", "fc"], dtype=dtype)
    for layer in exact:
        assert half[layer].dtype == np.float32
        assert (np.abs(half[layer] - exact[layer]) <= error * np.abs(exact[layer]) + 3e-8).all()
        assert np.abs(half[layer] - exact[layer]).max() > 0
        np.testing.assert_array_equal(half[layer], unnamed[layer])
    rdms = rf.compute_rdms(half)
    np.testing.assert_allclose(rdms.vectors, rf.compute_rdms(exact).vectors, atol=5e-3)
    (part,) = store.glob("*.part")
    assert part.stat().st_size < exact["conv1"].nbytes * 2 / 3
    whole = rf.extract(maps, stimuli, layers=["conv1", "fc"], store=store)  # no stale hit
    np.testing.assert_array_equal(whole["conv1"], exact["conv1"])


def test_bfloat16_rounds_as_torch_does():
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    values *= 10.0 ** np.random.default_rng(1).integers(-30, 30, 10_000)
    values[:4] = [0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8]  # the last two are ties
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    found = _store._decoded(_store._encoded(values, "bfloat16", "x"), "bfloat16")
    np.testing.assert_array_equal(found, expected)


def test_float16_refuses_what_it_cannot_hold(maps, stimuli):
    with torch.no_grad():
        maps.module.fc.bias[0] = 1e5
    with pytest.raises(rf.InputError, match="'fc' has values up to 1e\\+05, float16 holds up to"):
        rf.extract(maps, stimuli, layers=["fc"], dtype="float16")


def test_bfloat16_products_are_near_and_recorded(maps, stimuli, tmp_path):
    exact = rf.extract(maps, stimuli, layers=["fc"])
    rough = rf.extract(maps, stimuli, layers=["fc"], precision="bfloat16")
    assert rough.provenance["precision"] == "bfloat16"
    assert exact.provenance["precision"] == "float32"
    scale = np.abs(exact["fc"]).max()
    assert 0 < np.abs(rough["fc"] - exact["fc"]).max() < 0.03 * scale
    store = tmp_path / "acts"
    rf.extract(maps, stimuli, layers=["fc"], store=store, precision="bfloat16")
    np.testing.assert_allclose(  # another precision is no stale hit
        rf.extract(maps, stimuli, layers=["fc"], store=store)["fc"], exact["fc"], atol=1e-6
    )
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"reduce": "men"}, "unknown value of `reduce` 'men'. Did you mean 'mean'"),
        ({"reduce": 0}, "reduce"),
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"precision": "half"}, "unknown precision 'half'"),
        ({"precision": "tf32"}, "the precision 'tf32' needs a CUDA GPU"),
    ],
)
def test_unknown_options_are_refused(maps, stimuli, options, match):
    with pytest.raises(rf.InputError, match=match):
        rf.extract(maps, stimuli, layers=["fc"], **options)


# --- layers -----------------------------------------------------------------------------------


def brute_force(module, layer):
    """Which rows the middle unit of a map depends on: one row not a number at a time."""
    seen = []
    taken = {}
    handle = module.get_submodule(layer).register_forward_hook(
        lambda m, i, out: taken.update(out=out)
    )
    for row in range(SIZE):
        x = torch.zeros(1, 3, SIZE, SIZE)
        x[:, :, row] = torch.nan
        with torch.inference_mode():
            module(x)
        out = taken["out"][0]
        axis = channel_axis(type(module.get_submodule(layer)).__name__, out.shape)
        out = out if axis == 0 else out.permute(2, 0, 1)
        if torch.isnan(out[:, out.shape[1] // 2, out.shape[2] // 2]).any():
            seen.append(row)
    handle.remove()
    return seen[0], seen[-1]


def test_receptive_fields_are_those_of_single_rows(maps):
    found = receptive_fields(maps.module, (3, SIZE, SIZE), ["conv1", "pool1", "conv2", "last"])
    for layer, field in found.items():
        assert field == brute_force(maps.module, layer)
    assert [last - first + 1 for first, last in found.values()] == [3, 4, 8, 8]


def test_receptive_fields_of_vgg16_are_the_published_ones():
    module = rf.load_network("untrained:vgg16-imagenet", device="cpu").module
    sides = {"relu1_1": 3, "relu1_2": 5, "pool1": 6, "relu2_2": 14, "pool2": 16, "relu3_3": 40}
    # They do not depend on the size of the image; a small one is quicker.
    names = [name for name, _ in module.named_children()]
    start = nn.Sequential()
    for name in names[: names.index("pool3") + 1]:
        start.add_module(name, module.get_submodule(name))
    found = receptive_fields(start.eval(), (3, 64, 64), [*sides, "pool3"])
    assert {name: b - a + 1 for name, (a, b) in found.items()} == {**sides, "pool3": 44}


def test_layer_table_tells_what_layers_are(maps, tokens):
    table = maps.layer_table(["fc", "conv1", "last"], receptive_fields=True)
    assert list(table["layer"]) == ["conv1", "last", "fc"]
    assert list(table["kind"]) == ["Conv2d", "Linear", "Linear"]
    assert list(table["shape"]) == [(6, 14, 14), (4, 4, 7), (4,)]
    assert list(table["n_channels"]) == [6 * 14 * 14, 4 * 4 * 7, 4]
    assert list(table["receptive_field"]) == [3, 8, SIZE]
    np.testing.assert_allclose(table["share_of_input"], [3 / 16, 0.5, 1])
    table = tokens.layer_table(["norm", "attention", "head"], receptive_fields=True)
    assert list(table["tokens"]) == ["16", "1 + 16", ""]
    assert list(table["class_token"]) == [False, True, False]
    assert list(table["receptive_field"]) == [4, SIZE, SIZE]
    with pytest.raises(rf.InputError, match="unknown layer of small: 'convv1'. Did you mean"):
        maps.layer_table(["convv1"])


def test_attention_can_be_taken_although_it_returns_a_tuple(tokens, stimuli):
    assert "attention" in tokens.all_layers()
    acts = rf.extract(tokens, stimuli, layers="attention")
    expected = outputs(tokens, stimuli, "attention").reshape(7, -1)
    np.testing.assert_allclose(acts["attention"], expected, atol=1e-6)
