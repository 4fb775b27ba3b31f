"""Named networks through timm: descriptions, layers, tokens, files in the authors' form."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.networks import Network, _trace, get_spec, libraries, load_network
from rsa_faces.networks._registry import resolve_builder
from rsa_faces.networks._weights import initialise
from rsa_faces.networks.families import efficientnet, transformers

SPECS = {spec.name: spec for spec in (*transformers.SPECS, *efficientnet.SPECS)}
#: Networks whose weights come from timm's hub, or are trained in its form: its input.
AS_TIMM_SAYS = ["clip-vitb16", "dinov2-vits14", "dinov2-vitb14", "siglip-vitb16"]
TOKENS = {  # of a block: extra, patches
    "clip-vitb16": (1, 196),
    "farl-vitb16": (1, 196),
    "vit-faces": (1, 196),
    "siglip-vitb16": (0, 196),
    "dinov2-vits14": (1, 1369),
}
FORMS = {
    "clip-vitb16": "vit_base_patch16_clip_quickgelu_224",
    "siglip-vitb16": "vit_base_patch16_siglip_224",
    "dinov2-vits14": "vit_small_patch14_dinov2",
}


@pytest.mark.parametrize("name", AS_TIMM_SAYS)
def test_input_is_what_timm_describes(name):
    spec = SPECS[name]
    theirs = libraries.describe(*spec.builder.split(":")).preprocessing
    for key in ("size", "channels", "interpolation"):
        assert getattr(spec.preprocessing, key) == getattr(theirs, key)
    np.testing.assert_allclose(spec.preprocessing.mean, theirs.mean, rtol=1e-6)
    np.testing.assert_allclose(spec.preprocessing.std, theirs.std, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in SPECS if n != "dinov2-vitb14"])
def test_layers_are_there_in_order_and_tokens_are_known(name):
    spec = SPECS[name]
    with torch.device("meta"):
        module = resolve_builder(name)().eval()
        image = torch.empty(1, 3, spec.preprocessing.size, spec.preprocessing.size)
    calls = _trace.trace(module, image)
    places = [list(calls).index(layer) for layer in spec.layers]
    assert places == sorted(places)
    assert all(calls[layer].n_calls == 1 for layer in spec.layers)
    if name in TOKENS:
        extra, n_patches = TOKENS[name]
        shape = calls["blocks.5"].shape
        assert shape[0] == extra + n_patches
        assert _trace.extra_tokens_in(module, shape) == extra
        assert _trace.has_class_token(module) == bool(extra)


@pytest.mark.parametrize("name", FORMS)
def test_class_token_and_mean_of_patches(name):
    options = {"img_size": 56} if "dinov2" in name else {}
    module = timm.create_model(FORMS[name], embed_dim=32, depth=2, num_heads=2, **options)
    initialise(module, 1)
    spec = replace(SPECS[name], layers=("blocks.0", "blocks.1"))
    if options:
        spec = replace(spec, preprocessing=replace(spec.preprocessing, size=56, resize_to=56))
    network = Network(spec, module, torch.device("cpu"))
    faces = rf.stimuli.StimulusSet.from_arrays(
        [np.random.default_rng(i).integers(0, 256, (60, 60, 3), np.uint8) for i in range(2)],
        ["a", "b"],
    )
    with torch.inference_mode():
        x = module.patch_embed(network.preprocess([faces.image(i) for i in faces.ids]))
        tokens = module.blocks[0](module.norm_pre(module._pos_embed(x))).numpy()
    extra = int(name != "siglip-vitb16")
    mean = rf.extract(network, faces, layers=["blocks.0"], reduce="mean", progress=False)
    expected = tokens[:, extra:].mean(axis=1)
    np.testing.assert_allclose(mean["blocks.0:mean"], expected, rtol=1e-4, atol=1e-5)
    if extra:
        first = rf.extract(network, faces, reduce="class token", progress=False)
        assert first.layers == ("blocks.0:class token", "blocks.1:class token")
        np.testing.assert_allclose(
            first["blocks.0:class token"], tokens[:, 0], rtol=1e-4, atol=1e-5
        )
    else:
        with pytest.raises(InputError, match="'blocks.1' of siglip-vitb16 has none"):
            rf.extract(network, faces, reduce="class token", progress=False)


def clip_state(width=32, depth=2):
    """Return weights under the names of CLIP's authors, with a part of the text tower."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator) * 0.1

    def pair(name, *shape):
        return {f"{name}.weight": draw(*shape), f"{name}.bias": draw(shape[0])}

    state = {
        "visual.class_embedding": draw(width),
        "visual.positional_embedding": draw(197, width),
        "visual.conv1.weight": draw(width, 3, 16, 16),
        "visual.proj": draw(width, 512),
        "token_embedding.weight": draw(9, 4),
        "logit_scale": draw(),
    }
    state |= pair("visual.ln_pre", width) | pair("visual.ln_post", width)
    for i in range(depth):
        block = f"visual.transformer.resblocks.{i}"
        state |= {
            f"{block}.attn.in_proj_weight": draw(3 * width, width),
            f"{block}.attn.in_proj_bias": draw(3 * width),
        }
        state |= pair(f"{block}.attn.out_proj", width, width)
        state |= pair(f"{block}.mlp.c_fc", 4 * width, width)
        state |= pair(f"{block}.mlp.c_proj", width, 4 * width)
        state |= pair(f"{block}.ln_1", width) | pair(f"{block}.ln_2", width)
    return state


def test_files_of_clips_form_open_as_farl(monkeypatch, tmp_path):
    create = libraries._create

    def narrow(library, model, *, pretrained, **options):
        size = {"embed_dim": 32, "depth": 2, "num_heads": 2}
        return create(library, model, pretrained=pretrained, **options, **size)

    monkeypatch.setattr(libraries, "_create", narrow)
    state = clip_state()
    torch.save({"state_dict": state, "epoch": 64}, tmp_path / "FaRL.pth")
    module = load_network("farl-vitb16", device="cpu", weights=tmp_path / "FaRL.pth").module
    block = "visual.transformer.resblocks.1"
    assert torch.equal(module.blocks[1].attn.qkv.weight, state[f"{block}.attn.in_proj_weight"])
    assert torch.equal(module.cls_token.flatten(), state["visual.class_embedding"])
    assert torch.equal(module.head.weight, state["visual.proj"].T)
    with pytest.raises(InputError, match="'farl-vitb16' needs a weight file"):
        load_network("farl-vitb16", device="cpu")


@pytest.mark.parametrize("n_outputs", [8, 7])
def test_hsemotion_opens_with_its_classifier(n_outputs, tmp_path):
    module = timm.create_model("tf_efficientnet_b0", num_classes=n_outputs)
    state = module.state_dict()
    published = {k.replace("classifier.", "classifier.0."): v for k, v in state.items()}
    torch.save(published, tmp_path / "enet.pt")
    found = load_network("hsemotion-b0", device="cpu", weights=tmp_path / "enet.pt").module
    assert torch.equal(found.classifier.weight, state["classifier.weight"])
    assert get_spec("hsemotion-b0").preprocessing.fit == "stretch"
