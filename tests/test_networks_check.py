"""Whether a network sees what it was trained to see: each mistake is made, and seen."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.networks import NETWORKS, Network, NetworkCheck, check, load_network
from rsa_faces.networks import _check as module
from rsa_faces.runs._entries import NetworkConfig
from rsa_faces.runs._networks import Networks
from rsa_faces.runs._sources import crops

SHIPPED = [n for n, spec in NETWORKS.items() if spec.weights_from in ("ship", "none")]
CPU = torch.device("cpu")


def changed(name, *, crop_margin=None, **input_):
    """Return a network with another input."""
    network = load_network(name, device="cpu")
    spec = replace(network.spec, preprocessing=replace(network.spec.preprocessing, **input_))
    if crop_margin is not None:
        spec = replace(spec, crop_margin=crop_margin)
    return Network(spec, network.module, CPU)


def half_loaded(name):
    """Return a network of which the later half of the weights is as drawn at random."""
    network = load_network(name, device="cpu")
    random = load_network(f"untrained:{name}", device="cpu").module.state_dict()
    state = network.module.state_dict()
    late = list(state)[len(state) // 2 :]
    network.module.load_state_dict(state | {key: random[key] for key in late})
    return network


@pytest.mark.parametrize("name", SHIPPED)
def test_networks_that_ship_answer_as_recorded(name):
    off = module._difference(load_network(name, device="cpu"), module._golden()[name])
    assert off <= 1e-4


@pytest.mark.parametrize("name", ["face-api-expression", "mini-xception"])
def test_verdict_of_what_ships(name, tmp_path):
    found = check(name, device="cpu")
    assert found.verdict == "yes"
    assert found.good
    values = found.table.set_index("measure")["value"]
    assert values["expression"] > 0.9
    assert values["expressions named"] > 0.9
    assert values["identity"] < 0.6
    assert found.sentence.startswith(f"{name} sees what it should: yes, because it answers three")
    found.save(tmp_path / "check.h5")
    assert rf.load_result(tmp_path / "check.h5").equals(found)


MISTAKES = {
    "BGR for RGB": ({"channels": "BGR"}, "channels 'BGR' for 'RGB'"),
    "range": ({"mean": (0.0,) * 3, "std": (1.0,) * 3}, r"std \[1.0, 1.0, 1.0\] for"),
    "crop": ({"crop_margin": 0.3}, "margin 0.3 for -0.1"),
    "resize": ({"fit": "crop", "resize_to": 150}, "fit 'crop' for 'pad'"),
    "filter": ({"interpolation": "nearest"}, "interpolation 'nearest' for 'bilinear'"),
}


@pytest.mark.parametrize(("change", "match"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_input_is_seen(change, match):
    found = check(changed("face-api-expression", **change))
    assert found.good is False
    assert re.search(match, found.because), found.because
    assert found.notes


def test_half_loaded_weights_and_training_mode_are_seen():
    found = check(half_loaded("face-api-expression"))
    assert found.verdict == "no"
    assert "its weights are not those that ship, or not all of them" in found.because
    network = load_network("mini-xception", device="cpu")
    network.module.train()
    found = check(network)
    assert found.verdict == "no"
    assert found.because.startswith("it is in training mode")


def of_mine(network):
    """Return a network of whose name nothing is recorded."""
    return Network(replace(network.spec, name="mine"), network.module, CPU)


def test_networks_without_recorded_answers_are_judged_by_what_they_tell_apart():
    right = check(of_mine(load_network("mini-xception", device="cpu")))
    assert right.verdict == "yes"
    assert "it tells expression apart (AUC 0.94, 0.85 expected)" in right.because
    half = check(of_mine(half_loaded("mini-xception")))
    assert half.verdict == "no"
    assert "weights that are not all there" in half.because
    wrong = changed("mini-xception", mean=(0.0,), std=(1.0,))
    found = check(of_mine(wrong))
    assert found.verdict == "no"
    assert "with pixels from 0 to 1 it would be 0.9" in found.because
    other = check(of_mine(load_network("pixels", device="cpu")))
    assert (other.verdict, other.good) == ("not known", None)


def test_faces_of_the_user():
    faces = rf.datasets.simulated_faces().stimuli.query("expression in ['happy', 'neutral']")
    few = faces.subset([n for n in faces.ids if "yaw+0" in n][:12])
    found = check("mini-xception", few, device="cpu")
    assert found.table["measure"].tolist()[1:] == ["identity", "expression", "expressions named"]
    bare = rf.stimuli.StimulusSet.from_arrays([few.image(n) for n in few.ids], few.ids)
    with pytest.raises(InputError, match="label identity or expression .* got no labels"):
        check("mini-xception", bare, device="cpu")
    with pytest.raises(InputError, match="some share the identity and some do not, got 6 values"):
        check("mini-xception", few.query("expression == 'happy'"), device="cpu")
    with pytest.raises(InputError, match="`weights` with the name of a network"):
        check(load_network("pixels", device="cpu"), weights="w.pth")


def test_files_of_the_user_are_checked_once_and_runs_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("RSA_FACES_DATA", str(tmp_path / "kept"))
    state = load_network("untrained:mini-xception", device="cpu").module.state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    entry = {"name": "mini-xception", "weights": tmp_path / "mine.safetensors"}
    stimuli = rf.datasets.simulated_faces().stimuli
    stimuli = stimuli.subset(stimuli.ids[:3])

    def networks():
        made = Networks([NetworkConfig.model_validate(entry)], stimuli, "cpu", 0)
        made.check()
        return made

    with pytest.warns(UserWarning, match="mini-xception does not see what it should: it tells"):
        load_network("mini-xception", weights=tmp_path / "mine.safetensors", device="cpu")
    first = networks()
    verdict = first.verdicts["mini-xception"]
    assert verdict.startswith("mini-xception sees what it should: no, because it tells expression")
    assert verdict in crops(first)
    assert any(note.startswith("mini-xception does not see what it should") for note in first.notes)
    monkeypatch.setattr(module, "check", None)  # not called again
    assert networks().verdicts["mini-xception"] == verdict
    assert isinstance(NetworkCheck.load(*(tmp_path / "kept" / "checks").iterdir()), NetworkCheck)
    # Another crop in a later version of the package: the old verdict says nothing of it.
    spec = replace(module.get_spec("mini-xception"), crop_margin=0.3)
    monkeypatch.setattr(module, "get_spec", lambda name: spec)
    monkeypatch.setattr(module, "check", lambda *_, **__: pytest.fail("looked again"))
    with pytest.raises(pytest.fail.Exception, match="looked again"):
        networks()
