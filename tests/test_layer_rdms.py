"""RDMs of layers while the stimuli pass through, against keeping the activations."""

import numpy as np
import pytest
import torch
from torch import nn

import rsa_faces as rf
from rsa_faces.networks import Network, Preprocessing
from rsa_faces.networks._spec import NetworkSpec

N = 9


class InPlace(nn.Module):
    """Convolution, in-place ReLU, a module used twice, a tuple, a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(6)
        self.pair = Pair()
        self.fc = nn.Linear(6, 5)
        self.images = 0

    def forward(self, x):
        self.images += len(x)
        x = self.relu(self.conv(x))
        x = self.relu(self.norm(x) - 0.1)
        x, _ = self.pair(x)
        return self.fc(x)


class Pair(nn.Module):
    """Return two tensors."""

    def forward(self, x):
        """Average over space, and the shape."""
        return x.mean(dim=(2, 3)), torch.tensor(x.shape)


@pytest.fixture
def network():
    torch.manual_seed(0)
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
    return Network(spec, InPlace(), torch.device("cpu"))


@pytest.fixture
def stimuli():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(N, 20, 20, 3), dtype=np.uint8)
    return rf.StimulusSet.from_arrays(list(images), [f"i{k}" for k in range(N)])


LAYERS = ["conv", "relu#1", "norm", "relu", "pair", "fc"]


@pytest.mark.parametrize("measure", ["correlation", "cosine", "euclidean", "sqeuclidean"])
def test_rdms_are_those_of_kept_activations(network, stimuli, measure):
    kept = rf.compute_rdms(rf.extract(network, stimuli, layers=LAYERS), measure=measure)
    before = network.module.images
    streamed = rf.layer_rdms(network, stimuli, layers=LAYERS, measure=measure)
    assert network.module.images == before + 2 + N  # first and last alone, then each once
    assert streamed.conditions == kept.conditions
    assert streamed.labels.equals(kept.labels)
    assert (kept.vectors[0] > 0).all()
    np.testing.assert_allclose(streamed.vectors, kept.vectors, rtol=2e-5, atol=2e-6)


def test_first_tensor_of_dicts_and_lists(network, stimuli):
    class Named(nn.Module):
        def __init__(self, how):
            super().__init__()
            self.conv, self.how = nn.Conv2d(3, 4, 3), how

        def forward(self, x):
            out = self.conv(x)
            return {"out": out, "aux": out.mean()} if self.how == "dict" else [None, (out, out + 1)]

    class Whole(nn.Module):
        def __init__(self, how):
            super().__init__()
            self.named = Named(how)

        def forward(self, x):
            out = self.named(x)
            return out["out"] if self.named.how == "dict" else out[1][0]

    for how in ("dict", "list"):
        whole = Network(network.spec, Whole(how), torch.device("cpu"))
        rdms = rf.layer_rdms(whole, stimuli, layers=["named", "named.conv"])
        np.testing.assert_array_equal(rdms.vectors[0], rdms.vectors[1])


def test_a_real_network_answers_1_and_64_images_alike():
    network = rf.load_network("mini-xception", device="cpu")
    stimuli = rf.datasets.images92().stimuli
    one = rf.extract(network, stimuli, batch_size=1, progress=False)
    many = rf.extract(network, stimuli, batch_size=64, progress=False)
    rdms = rf.layer_rdms(network, stimuli, progress=False)
    expected = rf.compute_rdms(one)
    for layer, patterns in one.items():
        scale = np.abs(patterns).max()
        np.testing.assert_allclose(many[layer] / scale, patterns / scale, atol=1e-5)
    np.testing.assert_allclose(rdms.vectors, expected.vectors, atol=1e-5)


def test_poisson_needs_rates(network, stimuli):
    rdms = rf.layer_rdms(network, stimuli, layers=["relu"], measure="poisson")
    kept = rf.compute_rdms(rf.extract(network, stimuli, layers=["relu"]), measure="poisson")
    np.testing.assert_allclose(rdms.vectors, kept.vectors, rtol=1e-5)
    with pytest.raises(rf.InputError, match="rates of at least 0"):
        rf.layer_rdms(network, stimuli, layers=["conv"], measure="poisson")


def test_what_does_not_fit_goes_through_a_file_with_the_same_result(network, stimuli, caplog):
    caplog.set_level("INFO")
    whole = rf.layer_rdms(network, stimuli, layers=LAYERS)
    small = rf.layer_rdms(network, stimuli, layers=LAYERS, budget="60kB")
    assert "is over budget" in caplog.text
    assert small.labels.equals(whole.labels)
    np.testing.assert_allclose(small.vectors, whole.vectors, atol=2e-6)


def test_memory_that_runs_out_is_no_end(network, stimuli, monkeypatch):
    from rsa_faces.extraction import _forward

    def no_memory(network, found, layers, precision, act=None):
        if act is None:
            return recording(network, found, layers, precision)
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    recording = _forward.recording
    whole = rf.layer_rdms(network, stimuli, layers=LAYERS)
    monkeypatch.setattr(_forward, "recording", no_memory)
    np.testing.assert_allclose(
        rf.layer_rdms(network, stimuli, layers=LAYERS).vectors, whole.vectors, atol=2e-6
    )


class Keeps(nn.Module):
    """Keeps a map from one layer to a later one, outside of what it hands on."""

    def __init__(self, how):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.third = nn.Conv2d(4, 4, 1)
        self.how, self.kept = how, []

    def forward(self, x):
        x = torch.relu(self.first(x))
        if self.how == "attribute":
            self.before = x
        else:
            self.kept.append(x)
        x = self.second(x)
        return self.third(x + (self.before if self.how == "attribute" else self.kept.pop(0)))


@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize("n", [16, 20, 9])  # the last part as long as the others, shorter, one
@pytest.mark.parametrize("how", ["attribute", "list"])
def test_what_a_network_keeps_between_layers_is_not_mixed_up(network, how, n, twins):
    torch.manual_seed(0)
    keeps = Network(network.spec, Keeps(how), torch.device("cpu"))
    images = list(np.random.default_rng(0).integers(0, 256, size=(n, 20, 20, 3), dtype=np.uint8))
    if twins:
        images[(n - 1) // 8 * 8] = images[0]  # what would be found is right for the first image
    stimuli = rf.StimulusSet.from_arrays(images, [f"i{k:02d}" for k in range(n)])
    kept = rf.compute_rdms(rf.extract(keeps, stimuli))
    np.testing.assert_allclose(rf.layer_rdms(keeps, stimuli).vectors, kept.vectors, atol=2e-6)


def test_channels_keep_one_order_when_memory_format_changes_with_the_part(network, stimuli):
    class Turned(nn.Conv2d):
        def forward(self, x):
            out = super().forward(x)
            return out.contiguous() if len(x) == 1 else out  # channels last otherwise

    torch.manual_seed(0)
    turned = Network(network.spec, nn.Sequential(Turned(3, 6, 3)), torch.device("cpu"))
    kept = rf.compute_rdms(rf.extract(turned, stimuli, batch_size=1))
    np.testing.assert_allclose(rf.layer_rdms(turned, stimuli).vectors, kept.vectors, atol=2e-6)


class Forks(nn.Module):
    """Images go different ways: `bright` sees bright ones only."""

    def __init__(self):
        super().__init__()
        self.conv, self.bright, self.dark = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sigmoid()

    def forward(self, x):
        return self.bright(self.conv(x)) if x.mean() > 0 else self.dark(self.conv(x))


def test_images_that_go_different_ways_are_an_error(network):
    torch.manual_seed(0)
    forks = Network(network.spec, Forks(), torch.device("cpu"))
    rng = np.random.default_rng(0)
    images = [
        rng.integers(*((128, 256) if k < 8 else (0, 128)), (20, 20, 3)).astype(np.uint8)
        for k in range(16)
    ]
    stimuli = rf.StimulusSet.from_arrays(images, [f"i{k:02d}" for k in range(16)])
    with pytest.raises(rf.InputError, match="'bright' of small to run 1 times in each pass"):
        rf.layer_rdms(forks, stimuli, layers=["conv", "bright"])


def test_answers_that_depend_on_the_batch_are_an_error(network, stimuli):
    norm = nn.BatchNorm2d(6, track_running_stats=False)
    network.module.norm = norm
    message = "in its batch, but in layer 'norm' of small some values of 'i0'"
    with pytest.raises(rf.InputError, match=message):
        rf.extract(network, stimuli, layers=LAYERS)
    with pytest.raises(rf.InputError, match=message):
        rf.layer_rdms(network, stimuli, layers=LAYERS)
    rf.extract(network, stimuli, layers=LAYERS, batch_size=1)


def test_parts_that_wait_are_ended_inside_the_pass(network, stimuli):
    """They would put back the gradient mode of the pass after it."""

    class Guarded(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            with torch.no_grad():
                return self.conv(x)

    guarded = Network(network.spec, Guarded(), torch.device("cpu"))
    with pytest.raises(rf.InputError, match="rates of at least 0") as kept:
        rf.layer_rdms(guarded, stimuli, measure="poisson")
    del kept
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_nan_of_a_later_image_is_named(network, stimuli, monkeypatch):
    before = network.module.fc.forward

    def spoiled(x):
        out = before(x)
        if len(x) > 1:
            out[-1, 0] = float("nan")
        return out

    monkeypatch.setattr(network.module.fc, "forward", spoiled)
    with pytest.raises(rf.InputError, match="layer 'fc' of small has NaN values for image 'i8'"):
        rf.layer_rdms(network, stimuli, layers=LAYERS)


class Together(nn.Module):
    """Answers to images that come together are larger by a share."""

    def __init__(self, share):
        super().__init__()
        self.conv, self.last, self.share = nn.Conv2d(3, 4, 3), nn.Identity(), share

    def forward(self, x):
        return self.last(self.conv(x) * (1 + self.share * (len(x) > 1)))


@pytest.mark.parametrize("run", [rf.layer_rdms, rf.extract])
def test_answers_that_depend_on_the_batch_are_refused_where_they_are_seen(network, stimuli, run):
    torch.manual_seed(0)
    module = Together(0.01)
    together = Network(network.spec, module, torch.device("cpu"))
    with pytest.raises(
        rf.InputError, match="'last' of small some values of 'i0' differ .* by 1.0%"
    ):
        run(together, stimuli, layers=["conv", "last"])
    module.share = 1e-5  # as sums in another order
    run(together, stimuli, layers=["conv", "last"])


def test_hooks_are_gone_and_modes_back_after_an_error(network, stimuli):
    network.module.train()
    with pytest.raises(rf.InputError, match="unknown measure"):
        rf.layer_rdms(network, stimuli, measure="crossnobis")
    with torch.no_grad():
        network.module.fc.weight[0, 0] = float("nan")
    with pytest.raises(rf.InputError, match="layer 'fc' of small has NaN values for image 'i0'"):
        rf.layer_rdms(network, stimuli, layers=LAYERS)
    assert all(not module._forward_hooks for module in network.module.modules())
    assert network.module.training


def test_weights_are_the_same_objects_afterwards(network, stimuli):
    network.module.conv.weight.requires_grad_()
    before = dict(network.module.named_parameters())
    copies = {name: weight.detach().clone() for name, weight in before.items()}
    rf.layer_rdms(network, stimuli, layers=LAYERS)
    rf.extract(network, stimuli, layers=LAYERS)
    for name, weight in network.module.named_parameters():
        assert weight is before[name]
        assert weight.requires_grad == (name == "conv.weight")
        assert weight.is_contiguous()
        assert torch.equal(weight, copies[name])


def test_constant_patterns_are_named(network, stimuli):
    with torch.no_grad():
        network.module.fc.weight.zero_()
        network.module.fc.bias.fill_(2.0)
    with pytest.warns(UserWarning, match="9 patterns in 'fc' are constant"):
        rdms = rf.layer_rdms(network, stimuli, layers=LAYERS)
    assert np.isnan(rdms.vectors[-1]).all()
    assert np.isfinite(rdms.vectors[:-1]).all()


@pytest.mark.parametrize("measure", ["correlation", "cosine", "euclidean"])
def test_single_precision_is_near_and_exact_for_equal_patterns(measure):
    from rsa_faces.rdm.measures import MEASURES

    rng = np.random.default_rng(1)
    patterns = (rng.gamma(0.5, size=(12, 30_000)) + 3).astype(np.float32)
    patterns[1] = patterns[0]
    patterns[2] = patterns[0] + 1e-5 * rng.normal(size=30_000).astype(np.float32)
    single, double = (MEASURES[measure](patterns, single=s) for s in (True, False))
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-6)
    assert single[0] == double[0] == 0
    assert single[1] == pytest.approx(double[1], rel=1e-6)


@pytest.mark.parametrize("measure", ["correlation", "cosine", "euclidean"])
def test_single_precision_keeps_small_differences_of_patterns_that_are_alike(measure):
    """As in untrained networks: all distances are near 0.005, and their order matters."""
    from rsa_faces.rdm.measures import MEASURES

    rng = np.random.default_rng(2)
    shared = rng.gamma(1.0, size=50_000)
    patterns = shared + 0.07 * rng.normal(size=(20, 50_000)) * rng.gamma(3.0, size=(20, 1)) / 3
    patterns = patterns.astype(np.float32)
    single, double = (MEASURES[measure](patterns, single=s) for s in (True, False))
    assert measure == "euclidean" or double.max() < 0.02
    assert np.abs(single - double).max() < 2e-5 * double.std()
