"""The ResNet-50 of VGGFace2, in the form its authors published (Caffe); also with SE blocks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rsa_faces.networks._late import Module, nn, torch
from rsa_faces.networks._spec import (
    OWN_FILE,
    SQUEEZE_EXCITE,
    VGGFACE2,
    VGGFACE2_CROP,
    NetworkSpec,
    Preprocessing,
    renamed,
)
from rsa_faces.networks.families._blocks import Chain

N_IDENTITIES = 8631


def _help(kind: str, short: str) -> str:
    """Say where copies of the authors' files are described."""
    return (
        f"Get the {kind} '{short}_ft' or '{short}_scratch' that the VGGFace2 authors trained, in "
        "its PyTorch form: .pkl, .pth or .safetensors. Their page "
        "(https://www.robots.ox.ac.uk/~vgg/data/vgg_face2/) is gone; copies are described at "
        "https://github.com/ox-vgg/vgg_face2 and https://github.com/cydonia999/VGGFace2-pytorch "
        "(table 'Pretrained models')."
    )


_RESNET = NetworkSpec(
    name="resnet50-vggface2",
    crop="box",
    crop_margin=0.3,
    crop_source=VGGFACE2_CROP,
    task="identity",
    architecture="ResNet-50, stride in the first 1x1 convolution, ceil-mode pooling",
    training_set="VGGFace2, the 8,631 identities for training",
    licence="see the authors' page",
    origin=OWN_FILE,
    citation=VGGFACE2,
    preprocessing=Preprocessing(
        size=224,
        fit="crop",
        resize_to=256,
        channels="BGR",
        mean=(91.4953, 103.8827, 131.0912),
        std=(1.0,) * 3,
    ),
    builder="build",
    layers=(
        "relu",
        "maxpool",
        *(f"layer{s}.{b}" for s, n in enumerate((3, 4, 6, 3), start=1) for b in range(n)),
        "avgpool",
        "fc",
    ),
    weights_help=_help("ResNet-50", "resnet50")
    + " Or train the network on photographs of your own: scripts/train_identity.py.",
    any_outputs="fc",
)
SPECS = (
    _RESNET,
    replace(
        _RESNET,
        name="senet50-vggface2",
        architecture="SE-" + _RESNET.architecture,
        training_set=f"{_RESNET.training_set}; 'senet50_ft' on MS-Celeb-1M before",
        citation=f"{VGGFACE2}; {SQUEEZE_EXCITE}",
        builder="build_se",
        weights_help=_help("SE-ResNet-50", "senet50")
        + " Not the variants with 128 or 256 features.",
        any_outputs="",
    ),
)

#: How other files name the same parameters. Names of the PyTorch community files are ours already;
#: the others are what the automatic conversion of the authors' Caffe and MatConvNet files gives.
_PARTS = {
    "1x1_reduce": "conv1",
    "3x3": "conv2",
    "1x1_increase": "conv3",
    "1x1_down": "conv4",
    "1x1_up": "conv5",
    "1x1_proj": "downsample.0",
    "1x1_reduce_bn": "bn1",
    "3x3_bn": "bn2",
    "1x1_increase_bn": "bn3",
    "1x1_proj_bn": "downsample.1",
}
_PATTERNS = (
    (r"conv1_7x7_s2\.(\w+)", r"conv1.\1"),
    (r"conv1_7x7_s2_bn\.(\w+)", r"bn1.\1"),
    (
        rf"conv([2-5])_(\d)_({'|'.join(_PARTS)})\.(\w+)",
        lambda m: f"layer{int(m[1]) - 1}.{int(m[2]) - 1}.{_PARTS[m[3]]}.{m[4]}",
    ),
    (r"classifier\.(\w+)", r"fc.\1"),
)


class Bottleneck(Module):
    """1x1, 3x3, 1x1 convolutions added to a shortcut; the stride is in the first.

    With `squeeze` its channels are weighted, from 0 to 1, before the sum.
    """

    def __init__(self, n_in: int, width: int, stride: int, *, project: bool, squeeze: bool) -> None:
        super().__init__()
        n_out = 4 * width
        self.conv1 = nn.Conv2d(n_in, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.weighted = squeeze
        if squeeze:
            self.squeeze = nn.AdaptiveAvgPool2d(1)
            self.conv4 = nn.Conv2d(n_out, max(1, n_out // 16), 1)
            self.relu4 = nn.ReLU()
            self.conv5 = nn.Conv2d(max(1, n_out // 16), n_out, 1)
            self.excite = nn.Sigmoid()
        self.downsample = None
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )
        self.relu3 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rectified sum."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.weighted:
            out = out * self.excite(self.conv5(self.relu4(self.conv4(self.squeeze(out)))))
        return self.relu3(out + (x if self.downsample is None else self.downsample(x)))


class ResNet50(Chain):
    """ResNet-50 with Caffe's pooling: 3x3 maximum without padding, sizes rounded up."""

    def __init__(
        self, n_out: int = N_IDENTITIES, width: int = 64, *, squeeze: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        n_in = width
        for stage, n_blocks in enumerate((3, 4, 6, 3)):
            inner = width * 2**stage
            blocks = []
            for i in range(n_blocks):
                stride = 2 if stage and not i else 1
                blocks.append(Bottleneck(n_in, inner, stride, project=not i, squeeze=squeeze))
                n_in = 4 * inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AvgPool2d(7, 1)
        self.fc = nn.Linear(n_in, n_out)


build = partial(ResNet50, n_out=N_IDENTITIES)
build_se = partial(ResNet50, n_out=N_IDENTITIES, squeeze=True)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names.

    Files converted from MatConvNet expect RGB: the colours of their first convolution are put in
    the order BGR, which this network's input has. A classifier stored as 1x1 is flattened.
    """
    first = "conv1_7x7_s2.weight"
    if first in state:
        state = state | {first: state[first].flip(1)}
    out = renamed(state, _PATTERNS)
    if "fc.weight" in out:
        out["fc.weight"] = out["fc.weight"].flatten(1)
    return out
