"""Light from another side while a network trains: what a trained step sees, and the option."""

import argparse
import importlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rsa_faces import InputError
from rsa_faces.networks import _preprocess, get_spec
from rsa_faces.networks.training import (
    Augmentation,
    LabelledFaces,
    Lights,
    Recipe,
    Turns,
    fit,
    shuffled,
)
from rsa_faces.networks.training.objectives import softmax_loss
from rsa_faces.stimuli.relighting import relit
from rsa_faces.stimuli.turning import _mean_head

GREY48 = get_spec("densenet-fer2013").preprocessing
SCRIPTS = Path(__file__).parents[1] / "scripts"
POINTS = 30 + 12 * _mean_head()[0]


class Seen(nn.Module):
    """A linear layer that keeps the images it was shown."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(48 * 48, 2)
        self.seen = []

    def forward(self, x):
        self.seen += list(x.detach().numpy())
        return self.fc(x.flatten(1))


def simulated_faces():
    images = np.random.default_rng(0).integers(70, 180, (8, 64, 60, 3), dtype=np.uint8)
    return LabelledFaces(images, list("abcdefgh"), [0, 1] * 4, ["Ann", "Bo"])


def train(out, augment, **options):
    faces, module = simulated_faces(), Seen()
    torch.manual_seed(0)
    log = fit(
        module,
        softmax_loss,
        faces,
        recipe=Recipe(epochs=1, seed=3),
        preprocessing=GREY48,
        batches=partial(shuffled, n_images=len(faces), batch_size=4),
        out=out,
        augment=augment,
        device="cpu",
        **options,
    )
    return faces, module, log


def test_a_trained_step_sees_images_in_other_light(tmp_path):
    lights = Lights(dict.fromkeys("abcdefgh", POINTS), 0.45)
    augment = Augmentation(flip=0, crop=0, lights=lights)
    faces, module, log = train(tmp_path, augment)
    assert np.isfinite(log["loss"]).all()
    wanted, n_lit = [], 0
    for i in range(len(faces)):
        rng = np.random.default_rng([3, 0, i])
        rng.random(4)  # window and mirroring, which change nothing here
        whether, azimuth, elevation = rng.random(3)
        image = faces.image(i)
        if whether < 0.45:
            image = relit(image, POINTS, 120 * azimuth - 60, 60 * elevation - 30, 0.3)
            n_lit += 1
        wanted.append(_preprocess.apply(GREY48, [image])[0])
    assert 1 < n_lit < 7
    for one in wanted:
        assert sum(np.array_equal(one, seen) for seen in module.seen) == 1
    with pytest.raises(InputError, match=r"lights.max_azimuth: 60.0 then, 20 now"):
        other = Lights(dict.fromkeys("abcdefgh", POINTS), 0.45, max_azimuth=20)
        train(tmp_path, Augmentation(flip=0, crop=0, lights=other), resume=True)


def test_light_falls_on_the_face_as_it_is_and_then_the_head_turns():
    image = simulated_faces().image(0)
    lights = Lights({"a": POINTS}, 0.49)
    turns = Turns({"a": POINTS}, 0.49, yaw={"a": 0.0})
    both = Augmentation(flip=0, crop=0, lights=lights, turns=turns)
    n_both = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rng.random(4)
        lit = lights(image, "a", rng)
        wanted = turns(lit, "a", rng)
        assert np.array_equal(both(image, np.random.default_rng(seed), "a"), wanted)
        n_both += (lit != image).any() and (wanted != lit).any()
    assert n_both > 2


def test_what_is_refused():
    points = {"a": POINTS}
    with pytest.raises(InputError, match="probability of new light above 0 and below 0.5, got 0.5"):
        Lights(points, 0.5)
    with pytest.raises(InputError, match="at most 80 degrees aside, got azimuth 81"):
        Lights(points, max_azimuth=81)
    with pytest.raises(InputError, match="ambient from 0 to 1, got 2"):
        Lights(points, ambient=2)
    far = Lights({"anna": POINTS + 900}, 0.49)
    with pytest.raises(InputError, match="landmarks of 'anna' inside the image"):
        for seed in range(20):
            far(np.zeros((90, 90, 3), np.uint8), "anna", np.random.default_rng(seed))
    with pytest.raises(InputError, match="landmarks of all training images, got none of 'b'"):
        Augmentation(lights=Lights(points)).check(("a", "b"))


def test_the_option_light_lights_what_is_trained_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    options = importlib.import_module("training_options")
    given = {}
    found = dict.fromkeys("abcdefgh", POINTS)
    monkeypatch.setattr(options, "find_landmarks", lambda faces, device: found)
    monkeypatch.setattr(options, "fit", lambda *a, **k: given.update(k) or argparse.Namespace())
    monkeypatch.setattr(options, "FIRST", False)
    parser = options.parser("", epochs=1, rate=0.1, batch=4, what="images")
    for light, probability in ((["--light", "0.3"], 0.3), ([], None)):
        args = parser.parse_args(["--out", str(tmp_path), *light])
        options.train(
            Seen(),
            softmax_loss,
            simulated_faces(),
            network="densenet-fer2013",
            args=args,
            batches=partial(shuffled, n_images=8, batch_size=4),
            validate=None,
        )
        lights = given["augment"].lights
        assert (None if lights is None else lights.probability) == probability
        assert given["augment"].turns is None


def test_a_damaged_checkpoint_is_told(tmp_path):
    augment = Augmentation(flip=0, crop=0)
    train(tmp_path, augment)
    file = tmp_path / "checkpoint.pt"
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(InputError, match="checkpoint.pt cannot be gone on with .*start anew"):
            train(tmp_path, augment, resume=True)
    torch.save({"settings": Recipe(epochs=1)}, file)
    with pytest.raises(InputError, match="cannot be gone on with .*not allowed"):
        train(tmp_path, augment, resume=True)
