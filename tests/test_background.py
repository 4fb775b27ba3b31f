"""Units of the background and of the face: planted, and by a loop."""

import numpy as np
import pytest
import torch
from torch import nn

from rsa_faces import InputError
from rsa_faces.analyses import background_units
from rsa_faces.figures import plot_effects
from rsa_faces.networks import Network, Preprocessing
from rsa_faces.networks._spec import NetworkSpec
from rsa_faces.stimuli import StimulusSet

NAMES = [f"face {i}" for i in range(8)]
#: Rows and columns 8 to 23 of 32: a quarter of the image.
SQUARE = np.array([[8.0, 8], [23, 8], [23, 23], [8, 23]])


class Planted(nn.Module):
    """A map of 5 channels, 3 of the face, 1 of the background, 1 of all; a vector of the last."""

    def __init__(self):
        super().__init__()
        face = torch.zeros(32, 32)
        face[8:24, 8:24] = 1
        self.register_buffer("masks", torch.stack([face] * 3 + [1 - face, torch.ones(32, 32)]))
        self.map, self.vector, self.silent = nn.Identity(), nn.Linear(5, 2), nn.Linear(5, 2)
        with torch.no_grad():
            self.vector.weight.copy_(torch.eye(5)[[3, 0]])  # background, face
            self.silent.weight.copy_(torch.zeros(2, 5))
            self.silent.weight[0, 3] = 1

    def forward(self, x):
        x = self.map(x.mean(dim=1, keepdim=True) * self.masks * 1)
        means = x.mean(dim=(2, 3))
        return self.vector(means) + self.silent(means)


@pytest.fixture(scope="module")
def network():
    into = Preprocessing(size=32, fit="stretch", channels="RGB", mean=(128.0,) * 3, std=(60.0,) * 3)
    spec = NetworkSpec("planted", "none", "test", "none", "none", "none", "none", into, "")
    module = Planted()
    module.map = nn.Conv2d(5, 5, 1, bias=False)
    with torch.no_grad():
        module.map.weight.copy_(torch.eye(5)[:, :, None, None])
    return Network(spec, module, torch.device("cpu"))


@pytest.fixture(scope="module")
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    return StimulusSet.from_arrays(images, NAMES)


def test_planted_units_are_counted(network, stimuli):
    landmarks = dict.fromkeys(NAMES, SQUARE)
    layers = ["map", "vector", "silent"]
    found = background_units(network, stimuli, landmarks, layers=layers, progress=False)
    table = found.table.set_index("layer")
    assert table["area"].tolist() == [0.75] * 3
    assert table["n_units"].tolist() == [5, 2, 1]
    units = found.units.set_index("layer")
    index = units.loc["map", "index"].to_numpy()
    np.testing.assert_allclose(index[:4], [-1, -1, -1, 1])
    assert abs(index[4]) < 0.1  # of all pixels alike
    assert units.loc["map", "without_background"].iloc[4] > units.loc["map", "without_face"].iloc[4]
    assert table.loc["map", "share"] == pytest.approx(0.2 + 0.2 * (index[4] > 0))
    assert table.loc["map", "share_whole"] == pytest.approx(0.4)
    assert table.loc["vector", ["share", "ci_low", "ci_high"]].tolist() == [0.5] * 3
    assert table.loc["silent", "share"] == 1
    assert np.isnan(units.loc["silent", "index"].iloc[1])
    # A loop: channel 4 of the map is the mean of colours, in units of 60.
    images = np.array([stimuli.image(name) for name in NAMES]).mean(axis=3) - 128
    face = np.zeros((32, 32), bool)
    face[8:24, 8:24] = True
    b, f = (np.abs(images[:, part]).sum(axis=1) / 60 for part in (~face, face))
    row = units.loc["map"].iloc[4]
    np.testing.assert_allclose(
        row[["without_background", "without_face"]].astype(float), [b.mean(), f.mean()], rtol=1e-5
    )
    b, f = (b / 0.75).mean(), (f / 0.25).mean()
    assert row["index"] == pytest.approx((b - f) / (b + f), rel=1e-5)
    assert len(plot_effects(found).axes) == 1


def test_people_weigh_the_same_and_hulls_follow_scale(network, stimuli):
    people = {name: min(i, 4) for i, name in enumerate(NAMES)}
    landmarks = dict.fromkeys(NAMES, SQUARE)
    options = {"layers": ["map"], "progress": False}
    found = background_units(network, stimuli, landmarks, people=people, **options)
    assert found.table["n_people"].tolist() == [5]
    images = np.array([stimuli.image(name) for name in NAMES]).mean(axis=3) - 128
    f = np.abs(images[:, 8:24, 8:24]).sum(axis=(1, 2)) / 60
    mean = np.mean([*f[:4], f[4:].mean()])
    assert found.units["without_face"].iloc[4] == pytest.approx(mean, rel=1e-5)
    smaller = background_units(network, stimuli, landmarks, scale=0.5, **options)
    assert smaller.table["area"].iloc[0] > 0.9


def test_what_is_asked_for_wrongly(network, stimuli):
    landmarks = dict.fromkeys(NAMES, SQUARE)
    with pytest.raises(InputError, match="landmarks of every image, but 7 have none: 'face 1'"):
        background_units(network, stimuli, {NAMES[0]: SQUARE})
    with pytest.raises(InputError, match="the hull of the landmarks of 'face 0' encloses all"):
        background_units(network, stimuli, landmarks, scale=9)
    with pytest.raises(InputError, match="the hull of the landmarks of 'face 0' encloses none"):
        background_units(network, stimuli, dict.fromkeys(NAMES, SQUARE + 99))
    with pytest.raises(InputError, match="hull of landmarks"):
        background_units(network, stimuli, dict.fromkeys(NAMES, np.ones((4, 2))))
