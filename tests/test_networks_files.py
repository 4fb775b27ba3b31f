"""Weight files as people have them: prefixes, wrappings, endings, precision, other heads."""

import argparse
import logging
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.networks import NETWORKS, Network, libraries, load_network
from rsa_faces.networks._weights import PREFIXES, WRAPPERS, fill, read_weights

CPU = torch.device("cpu")


def state_of(name, seed=1):
    return load_network(f"untrained:{name}", device="cpu", seed=seed).module.state_dict()


@pytest.fixture(scope="module")
def state():
    """Weights of a small network."""
    return state_of("mini-xception")


def assert_same(found, state):
    assert set(found) == set(state)
    assert all(torch.equal(found[k].float(), v.float()) for k, v in state.items())


@pytest.mark.parametrize(
    "prefix", [*PREFIXES, "module._orig_mod.", "_orig_mod.module.", "model.backbone.module."]
)
def test_prefixes_of_wrapping_modules_are_cut_off(prefix, state, tmp_path):
    torch.save({f"{prefix}{k}": v for k, v in state.items()}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth"), state)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_weights_beside_other_things_are_found(wrapper, state, tmp_path):
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, wrapper: state}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth"), state)


@pytest.mark.parametrize("ending", [".pth", ".pt", ".ckpt", ".bin", ".pth.tar", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_endings_and_precisions(ending, dtype, state, tmp_path):
    path = tmp_path / f"w{ending}"
    lower = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    (save_file if ending == ".safetensors" else torch.save)(lower, path)
    module = load_network("mini-xception", device="cpu", weights=path).module
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            assert value.dtype == torch.float32
            assert torch.equal(value, lower[name].float())


def test_a_checkpoint_of_lightning_opens(state, tmp_path):
    whole = {
        "state_dict": {f"model.{k}": v for k, v in state.items()},
        "hyper_parameters": argparse.Namespace(lr=0.1, data="/data"),
        "pytorch-lightning_version": "2.5",
        "callbacks": {},
    }
    torch.save(whole, tmp_path / "last.ckpt")
    assert_same(read_weights(tmp_path / "last.ckpt"), state)


def test_a_head_beside_a_backbone_is_named_as_too_many(state, tmp_path):
    torch.save(
        {f"backbone.{k}": v for k, v in state.items()} | {"head.kernel": torch.ones(2)},
        tmp_path / "w.pth",
    )
    with pytest.raises(InputError, match=r"0 names missing, 1 names \(head.kernel\) too many"):
        load_network("mini-xception", device="cpu", weights=tmp_path / "w.pth")


def test_whole_networks_are_refused_without_advice_to_read_them_unsafely(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(InputError, match="whole.pt could not be read safely .*torch.nn") as caught:
        read_weights(tmp_path / "whole.pt")
    message = str(caught.value)
    assert "state_dict()" in message
    for advice in ("weights_only", "trust", "add_safe_globals", "False"):
        assert advice not in message


# --- networks of libraries --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("timm:test_resnet", "fc"),
        ("timm:test_vit", "head"),
        ("torchvision:resnet18", "fc"),
        ("torchvision:squeezenet1_1", "classifier.1"),
    ],
)
@pytest.mark.parametrize("n_outputs", [7, None])
def test_library_networks_with_another_head_or_none(name, head, n_outputs, tmp_path):
    state = {k: v for k, v in state_of(name).items() if not k.startswith(f"{head}.")}
    if n_outputs:
        weight = state_of(name)[f"{head}.weight"]
        state[f"{head}.weight"] = torch.randn(n_outputs, *weight.shape[1:])
        state[f"{head}.bias"] = torch.randn(n_outputs)
    torch.save({"model": state}, tmp_path / "mine.pth")
    network = load_network(name, device="cpu", weights=tmp_path / "mine.pth")
    assert_same(network.module.state_dict(), state)
    with torch.inference_mode():
        out = network.module(network.preprocess([np.zeros((64, 64, 3), np.uint8)]))
    assert out.ndim == 2
    assert n_outputs is None or out.shape == (1, n_outputs)


def test_a_library_network_says_what_is_missing(tmp_path):
    state = state_of("torchvision:resnet18")
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"1 names \(layer1.0.conv1.weight\) missing, 0 names"):
        load_network("torchvision:resnet18", device="cpu", weights=tmp_path / "w.pth")


def test_without_a_network_only_one_sentence_is_told(monkeypatch, capfd):
    log = logging.getLogger("huggingface_hub")
    log.addHandler(handler := logging.StreamHandler())

    def offline(library, model, *, pretrained):
        for i in range(50):
            log.warning("retry %d", i)
        raise OSError("Name or service not known\nand more")

    monkeypatch.setattr(libraries, "_create", offline)
    with pytest.raises(InputError, match=r"could not be fetched .*\(Name or service not known\)"):
        load_network("timm:resnet18", device="cpu")
    log.removeHandler(handler)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET


# --- modules of one's own ---------------------------------------------------------------------


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


SPEC = libraries.NetworkSpec(
    name="mine",
    task="none",
    architecture="",
    training_set="",
    licence="",
    origin="mine",
    citation="",
    preprocessing=NETWORKS["pixels"].preprocessing,
    builder="",
)


@pytest.mark.parametrize("form", ["half", "double", "compiled", "parallel"])
def test_modules_of_ones_own_are_taken(form):
    torch.manual_seed(0)
    module = Small()
    made = {
        "half": lambda: module.half(),
        "double": lambda: module.double(),
        "compiled": lambda: torch.compile(module),
        "parallel": lambda: nn.DataParallel(module),
    }[form]()
    network = Network(SPEC, made, CPU)
    assert network.layers() == ["conv", "fc"]
    faces = rf.stimuli.StimulusSet.from_arrays(
        [np.full((9, 9, 3), v, np.uint8) for v in (0, 99)], ["a", "b"]
    )
    assert rf.extract(network, faces, progress=False)["fc"].shape == (2, 2)


def test_scripted_modules_are_refused_and_repr_never_fails():
    with pytest.raises(InputError, match="layers can be read out for 'mine', got a scripted one"):
        Network(SPEC, torch.jit.script(Small()), CPU)

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    assert repr(Network(SPEC, Broken(), CPU)) == "Network('mine', device='cpu')"
    assert repr(load_network("pixels", device="cpu")) == "Network('pixels', 1 layers, device='cpu')"


# --- class tokens -----------------------------------------------------------------------------


def test_default_layers_without_a_class_token_are_left_out_and_said():
    network = load_network("untrained:timm:test_vit", device="cpu")
    faces = rf.stimuli.StimulusSet.from_arrays(
        [np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8) for i in range(3)],
        list("abc"),
    )
    with pytest.warns(UserWarning, match="left out, as they have no class token: 'patch_embed'"):
        acts = rf.extract(network, faces, reduce="class token", progress=False)
    blocks = [layer for layer in acts.layers if layer.startswith("blocks.")]
    assert blocks == [f"blocks.{i}:class token" for i in range(len(blocks))]
    assert len(blocks) > 3
    with pytest.warns(UserWarning, match="no class token"):
        rdms = rf.layer_rdms(network, faces, reduce="class token", progress=False)
    assert rdms.labels["layer"].tolist() == list(acts.layers)
    with pytest.raises(
        InputError, match="layer 'patch_embed' of untrained:timm:test_vit has no class"
    ):
        rf.extract(network, faces, layers=["patch_embed", "norm"], reduce="class token")


def test_files_that_do_not_fit_fill_nothing(state):
    module = Small()
    with pytest.raises(InputError, match=r"missing, \d+ names"):
        fill(module, state, source="w.pth")


# --- torch, late ------------------------------------------------------------------------------


def test_modules_of_families_are_modules_of_torch_that_can_be_pickled():
    module = load_network("untrained:mini-xception", device="cpu", seed=3).module
    again = pickle.loads(pickle.dumps(module))
    assert isinstance(again, nn.Module)
    assert type(again) is type(module)
    assert_same(again.state_dict(), module.state_dict())
    kind = type(module).__mro__[1]
    assert not issubclass(kind, nn.Module), "the class as it is written derives from no torch"
    assert isinstance(kind(), nn.Module)
