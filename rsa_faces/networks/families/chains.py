"""VGG16 and AlexNet: torchvision's networks under the layer names of the papers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rsa_faces._core.optional import require
from rsa_faces.networks._late import nn, torch
from rsa_faces.networks._spec import (
    IMAGENET_INPUT,
    JIAHUI,
    OWN_FILE,
    OWN_LICENCE,
    VGGFACE2_CROP,
    NetworkSpec,
)
from rsa_faces.networks.families._blocks import Chain

N_VGGFACE = 2622
N_IMAGENET = 1000
N_VGGFACE2 = 8631


_HEAD = ("fc6", "relu6", "fc7", "relu7", "fc8")
#: torchvision's networks: the papers' names of their layers in order, dropout left out.
NAMES = {
    "vgg16": (
        *(
            name
            for stage, n in enumerate((2, 2, 3, 3, 3), 1)
            for name in (
                *(f"{kind}{stage}_{i}" for i in range(1, n + 1) for kind in ("conv", "relu")),
                f"pool{stage}",
            )
        ),
        *_HEAD,
    ),
    "alexnet": (
        *("conv1", "relu1", "pool1", "conv2", "relu2", "pool2"),
        *("conv3", "relu3", "conv4", "relu4", "conv5", "relu5", "pool5"),
        *_HEAD,
    ),
}
_READ_OUT = {
    model: tuple(name for name in names if not name.startswith(("conv", "fc6", "fc7")))
    for model, names in NAMES.items()
}
_ANY = (
    "The number of outputs is read from the file. Assumed input: torchvision's (RGB, shorter side "
    "256, centre of 224, ImageNet's mean and standard deviation)."
)
_VGG = NetworkSpec(
    name="vgg16-imagenet",
    task="objects",
    architecture="VGG16, 13 convolutions and 3 fully connected layers",
    training_set="ImageNet-1k, 1.28 million photographs in 1,000 classes",
    licence="BSD-3-Clause (code); weights: see torchvision's page",
    origin=OWN_FILE,
    citation="Simonyan K., Zisserman A. (2015), ICLR, arXiv:1409.1556",
    preprocessing=IMAGENET_INPUT,
    builder="build_vgg_imagenet",
    layers=_READ_OUT["vgg16"],
    weights_help=(
        "Get torchvision's vgg16, weights IMAGENET1K_V1 "
        "(https://pytorch.org/vision/stable/models/vgg.html)."
    ),
    published=(
        (
            "vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
    ),
)
_ALEXNET = replace(
    _VGG,
    name="alexnet-imagenet",
    architecture=(
        "AlexNet, 5 convolutions and 3 fully connected layers (one column, 64 channels first)"
    ),
    citation="Krizhevsky A. (2014), One weird trick, arXiv:1404.5997",
    builder="build_alexnet_imagenet",
    layers=_READ_OUT["alexnet"],
    weights_help=(
        "Get torchvision's alexnet, weights IMAGENET1K_V1 "
        "(https://pytorch.org/vision/stable/models/alexnet.html)."
    ),
    published=(
        (
            "alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        ),
        ("alexnet-owt-4df8aa71.pth", "4df8aa71"),
    ),
)


def _of_faces(spec: NetworkSpec, model: str) -> NetworkSpec:
    """Return the description of the same network, trained on faces by the user."""
    return replace(
        spec,
        name=f"{model}-faces",
        crop="box",
        crop_margin=0.3,
        crop_source=VGGFACE2_CROP,
        task="identity",
        training_set="faces, as your file was trained; Jiahui et al. (2023): VGGFace2",
        licence=OWN_LICENCE,
        citation=f"{JIAHUI}; {spec.citation}",
        builder=f"build_{model.removesuffix('16')}_faces",
        weights_help=f"Train torchvision's {model} on faces and save its state_dict. {_ANY}",
        published=(),
        any_outputs="fc8",
    )


SPECS = (
    _VGG,
    replace(
        _VGG,
        name="vgg16-vggface",
        crop="box",
        crop_margin=0.3,
        crop_source="assumed, as of VGGFace2: the authors name no margin",
        task="identity",
        training_set="VGG-Face, 2.6 million photographs of 2,622 identities",
        licence="non-commercial research, Creative Commons Attribution; see the authors' page",
        citation=(
            "Parkhi O. M., Vedaldi A., Zisserman A. (2015), Deep face recognition, BMVC, "
            "doi:10.5244/C.29.41"
        ),
        preprocessing=replace(IMAGENET_INPUT, mean=(129.1863, 104.7624, 93.5940), std=(1.0,) * 3),
        builder="build_vggface",
        weights_help=(
            "Get 'vgg_face_dag.pth' (https://www.robots.ox.ac.uk/~albanie/pytorch-models.html), "
            "the authors' MatConvNet network (https://www.robots.ox.ac.uk/~vgg/software/vgg_face/) "
            "in PyTorch form. It takes RGB; conversions of the authors' Caffe or Torch files take "
            "BGR and give wrong activations here."
        ),
        published=(),
    ),
    _of_faces(_VGG, "vgg16"),
    _ALEXNET,
    _of_faces(_ALEXNET, "alexnet"),
)


def _layers(model: str, n_out: int) -> tuple[list[str], list[nn.Module]]:
    """Return torchvision's names and layers but dropout; rectifiers do not overwrite."""
    torchvision = require("torchvision", purpose="A network of torchvision")
    options = {"init_weights": False} if model == "vgg16" else {}
    whole = torchvision.models.get_model(model, num_classes=n_out, **options)
    names, layers = [], []
    for part in ("features", "classifier"):
        for name, layer in whole.get_submodule(part).named_children():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
            if not isinstance(layer, nn.Dropout):
                names.append(f"{part}.{name}")
                layers.append(layer)
    return names, layers


def _build(model: str, n_out: int) -> nn.Module:
    """Return a network without its weights."""
    return Chain(dict(zip(NAMES[model], _layers(model, n_out)[1], strict=True)))


build_vggface = partial(_build, "vgg16", N_VGGFACE)
build_vgg_imagenet = partial(_build, "vgg16", N_IMAGENET)


build_vgg_faces = partial(_build, "vgg16", n_out=N_VGGFACE2)
build_alexnet_imagenet = partial(_build, "alexnet", N_IMAGENET)


build_alexnet_faces = partial(_build, "alexnet", n_out=N_VGGFACE2)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under the papers' names.

    Fully connected layers stored as convolutions, (out, channels, height, width), are flattened.
    """
    model = "alexnet" if "classifier.1.weight" in state else "vgg16"
    # Only names are wanted: the meta device holds no weights.
    with torch.device("meta"):
        new = dict(zip(_layers(model, 2)[0], NAMES[model], strict=True))
    out = {}
    for name, tensor in state.items():
        layer, _, key = name.rpartition(".")
        layer = new.get(layer, layer)
        flat = layer in ("fc6", "fc7", "fc8") and key == "weight"
        out[f"{layer}.{key}" if layer else key] = tensor.flatten(1) if flat else tensor
    return out
