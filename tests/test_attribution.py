"""Attribution by gradients: complete, where occlusion points, in each face's own frame."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.analyses import attribution_map, occlusion_map
from rsa_faces.figures import plot_occlusion
from rsa_faces.networks import Network, Preprocessing
from rsa_faces.networks._preprocess import positions
from rsa_faces.networks._spec import NetworkSpec
from rsa_faces.stimuli import StimulusSet

NAMES = [f"face {i}" for i in range(6)]


class OnePlace(nn.Module):
    """Sees rows 8 to 16, columns 16 to 24 of 32; smooth, not linear, the first module in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.ReLU6(inplace=True)
        self.one = nn.Linear(3 * 64, 16)
        self.two = nn.Linear(16, 8)

    def forward(self, x):
        x = self.first(x)[:, :, 8:16, 16:24].flatten(1)
        return self.two(torch.tanh(self.one(x)))


@pytest.fixture
def network():
    into = Preprocessing(size=32, fit="stretch", channels="RGB", mean=(0.0,) * 3, std=(60.0,) * 3)
    spec = NetworkSpec("one place", "none", "test", "none", "none", "none", "none", into, "")
    return Network(spec, OnePlace(), torch.device("cpu"))


@pytest.fixture
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    return StimulusSet.from_arrays(images, NAMES)


@pytest.mark.parametrize("method", ["integrated gradients", "gradient x input"])
@pytest.mark.parametrize("of", ["embedding", "rdm"])
def test_complete_and_where_occlusion_points(network, stimuli, of, method):
    pytest.importorskip("captum")
    options = {"of": of, "n_places": 4, "layer": "two", "progress": False}
    if (of, method) == ("embedding", "gradient x input"):
        with pytest.raises(InputError, match="has no slope"):
            attribution_map(network, stimuli, method=method, **options)
        return
    found = attribution_map(network, stimuli, method=method, n_steps=64, **options)
    values = found.matrix().to_numpy()
    assert np.unravel_index(np.abs(values).argmax(), (4, 4)) == (1, 2)
    assert np.abs(np.delete(values.ravel(), 6)).max() < 1e-12
    hidden = occlusion_map(network, stimuli, size=1.0, **options).matrix().to_numpy()
    assert np.unravel_index(hidden.argmax(), (4, 4)) == (1, 2)
    # Outputs, from the layer's answers: cosine with its own, mean distance to the others.
    acts = rf.extract(network, stimuli, layers=["two"])["two"].astype(float)
    gray = StimulusSet.from_arrays([np.full((32, 32, 3), 128, np.uint8)], ["gray"])
    at = rf.extract(network, gray, layers=["two"])["two"].astype(float)
    if of == "embedding":
        output = np.ones(6)
        ends = (acts @ at[0]) / np.linalg.norm(acts, axis=1) / np.linalg.norm(at)
    else:
        r = np.corrcoef(np.vstack([acts, at]))
        output = 1 - (r[:6, :6].sum(axis=1) - 1) / 5
        ends = 1 - (r[6, :6].sum() - r[6, :6]) / 5
    np.testing.assert_allclose(found.images["output"], output, atol=1e-5)
    np.testing.assert_allclose(found.images["at_baseline"], ends, atol=1e-5)
    if method == "integrated gradients":
        np.testing.assert_allclose(found.images["attributed"], output - ends, atol=2e-3)
        assert values.sum() == pytest.approx((output - ends).mean(), abs=2e-3)
    assert plot_occlusion(found).axes[0].get_title(loc="left").startswith("one place")
    assert not network.module.two._forward_hooks


def test_places_follow_faces_that_are_turned_and_moved(network, stimuli):
    pytest.importorskip("captum")
    shape = np.array([[4.0, 4], [28, 4], [16, 28]])
    moves = np.array([[0, 0], [2, 1], [-2, -1], [1, -2], [-1, 2], [0, 0]])
    landmarks = {name: shape + moved for name, moved in zip(NAMES, moves, strict=True)}
    found = attribution_map(
        network, stimuli, layer="two", landmarks=landmarks, n_places=4, progress=False
    )
    # The place that the network sees is another part of each face.
    values = found.matrix().to_numpy()
    assert np.unravel_index(values.argmax(), (4, 4)) == (1, 2)
    assert (np.abs(values) > 1e-6).sum() > 1
    whole = found.images["attributed"] - found.images["outside"]
    assert values.sum() == pytest.approx(whole.mean())


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_positions_are_those_of_what_the_network_is_shown(fit):
    """Each image is a ramp along x or y: what the network is shown tells where it is from."""
    into = Preprocessing(
        size=40, fit=fit, channels="RGB", mean=(0.0,) * 3, std=(1.0,) * 3, resize_to=50
    )
    ramps = np.zeros((60, 100, 3), np.uint8)
    ramps[..., 0], ramps[..., 1] = np.arange(100), np.arange(60)[:, None]
    from rsa_faces.networks._preprocess import apply

    shown = apply(into, [ramps])[0, :2].transpose(1, 2, 0) + 0.5
    at = positions(into, 100, 60)
    inside = ((at > 4) & (at < [96, 56])).all(axis=-1)
    np.testing.assert_allclose(shown[inside], at[inside], atol=1.3)


def test_what_is_said(network, stimuli, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(rf.MissingExtraError, match=r"pip install 'rsa-faces\[attribution\]'"):
        attribution_map(network, stimuli, layer="two", progress=False)
    with pytest.raises(InputError, match="unknown method 'saliency'"):
        attribution_map(network, stimuli, method="saliency")


def test_too_few_steps_are_said(network, stimuli):
    pytest.importorskip("captum")
    with pytest.warns(UserWarning, match="miss the difference of their outputs by more than 5 %"):
        attribution_map(network, stimuli, layer="two", of="rdm", n_steps=2, progress=False)
