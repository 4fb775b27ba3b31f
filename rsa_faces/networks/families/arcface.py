"""ArcFace's residual networks ("IR"), and AdaFace's: 112 px in, 512 numbers out."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from rsa_faces.networks._late import Module, nn, torch
from rsa_faces.networks._spec import (
    FORMS,
    JIAHUI,
    OWN_FILE,
    SQUEEZE_EXCITE,
    NetworkSpec,
    Preprocessing,
)
from rsa_faces.networks.families._blocks import Chain, PReLU

#: residual blocks of the four stages
IR50 = (3, 4, 14, 3)
IR100 = (3, 13, 30, 3)


def _layers(depths: tuple[int, ...]) -> tuple[str, ...]:
    """Return the residual sums, then the embedding before and after its normalisation."""
    sums = (f"layer{s}.{b}" for s, n in enumerate(depths, start=1) for b in range(n))
    return (*sums, "fc", "features")


_ALIGNED = (
    "Photographs must be aligned to the eyes, nose and mouth, as in training: "
    "rsa_faces.crop_faces does it."
)
_CITATION = (
    "Deng J., Guo J., Xue N., Zafeiriou S. (2019), ArcFace, CVPR, arXiv:1801.07698, "
    "doi:10.1109/CVPR.2019.00482"
)
_PAGE = "MIT (code); weights and training set: see the authors' page"


def _arcface_help(backbone: str, short: str) -> str:
    """Say where InsightFace describes its files."""
    return (
        f"Get the file 'backbone.pth' of a network with backbone '{short}' from InsightFace's "
        "arcface_torch, table 'Model Zoo' "
        "(https://github.com/deepinsight/insightface/tree/master/recognition/arcface_torch), or "
        f"train its '{backbone}' yourself and save the state_dict, {FORMS}. {_ALIGNED}"
    )


_IR50 = NetworkSpec(
    name="arcface-ir50",
    crop="arcface",
    crop_source="the five points of insightface's aligned crop (Deng et al. 2019)",
    task="identity",
    architecture="IR-50, 24 residual blocks with PReLU, 512-d embedding",
    training_set=(
        "as your file was trained: MS1MV3 (5.2 million photographs of 93,000 identities), MS1MV2 "
        "(5.8 million of 87,000) or Glint360K (17.1 million of 360,000)"
    ),
    licence="non-commercial research; see the authors' page",
    origin=OWN_FILE,
    citation=_CITATION,
    preprocessing=Preprocessing(
        size=112, fit="pad", channels="RGB", mean=(127.5,) * 3, std=(127.5,) * 3
    ),
    builder="build_ir50",
    layers=_layers(IR50),
    weights_help=_arcface_help("iresnet50", "r50"),
)
_ADAFACE = replace(
    _IR50,
    name="adaface-ir50",
    architecture="IR-50 with unprojected shortcuts, 512-d embedding",
    training_set="as your file was trained: WebFace4M, WebFace12M, MS1MV2, MS1MV3, CASIA-WebFace",
    licence="MIT (code); weights and training set: see the authors' page",
    citation="Kim M., Jain A. K., Liu X. (2022), AdaFace, CVPR, doi:10.48550/arXiv.2204.00964",
    preprocessing=replace(_IR50.preprocessing, channels="BGR"),
    builder="build_adaface50",
    weights_help=(
        "Get 'adaface_ir50_*.ckpt' (https://github.com/mk-minchul/AdaFace, table 'Pretrained "
        f"Models'), {FORMS} or .ckpt. {_ALIGNED} Its authors divide the last layer by its length; "
        "here it is left as it is."
    ),
)

SPECS = (
    _IR50,
    replace(
        _IR50,
        name="arcface-ir100",
        architecture="IR-100, 49 residual blocks with PReLU, 512-d embedding",
        citation=f"{_CITATION}; {JIAHUI}",
        builder="build_ir100",
        layers=_layers(IR100),
        weights_help=_arcface_help("iresnet100", "r100"),
    ),
    replace(
        _IR50,
        name="arcface-ir50-evolve",
        architecture="IR-50 with one normalisation fewer in each block, 512-d embedding",
        training_set="MS-Celeb-1M, aligned, as face.evoLVe's page or your file's says",
        licence=_PAGE,
        citation=f"{_CITATION}; Zhao J., face.evoLVe (2019)",
        builder="build_ir50_plain",
        weights_help=(
            "Get face.evoLVe's IR-50 for 112 px, 'backbone_ir50_ms1m_epoch120.pth' "
            "(https://github.com/ZhaoJ9014/face.evoLVe), or another network in its form or that "
            "of InsightFace_Pytorch (mode 'ir', 50 layers; names input_layer, body, output_layer), "
            f"{FORMS}. {_ALIGNED}"
        ),
    ),
    replace(
        _IR50,
        name="arcface-irse50",
        architecture="IR-SE-50, 24 residual blocks with squeeze and excitation, 512-d embedding",
        training_set="MS-Celeb-1M, refined; see the authors' page",
        licence=_PAGE,
        citation=f"{_CITATION}; {SQUEEZE_EXCITE}",
        builder="build_ir50_se",
        weights_help=(
            "Get 'model_ir_se50.pth' of InsightFace_Pytorch "
            "(https://github.com/TreB1eN/InsightFace_Pytorch, 'Pretrained Models'), or another "
            f"network in its form (mode 'ir_se', 50 layers), {FORMS}. {_ALIGNED} Its authors "
            "divide the last layer by its length; here it is left as it is."
        ),
    ),
    _ADAFACE,
    replace(
        _ADAFACE,
        name="adaface-ir101",
        architecture="IR-101 with unprojected shortcuts, 512-d embedding",
        builder="build_adaface101",
        layers=_layers(IR100),
        weights_help=_ADAFACE.weights_help.replace("ir50", "ir101"),
    ),
)

#: Names in the files of InsightFace_Pytorch, face.evoLVe and AdaFace, and ours. Their blocks are
#: numbered through, ``body.0`` to ``body.23`` or ``body.48``.
_ENDS = {
    "input_layer.0": "conv1",
    "input_layer.1": "bn1",
    "input_layer.2": "prelu",
    "output_layer.0": "bn2",
    "output_layer.3": "fc",
    "output_layer.4": "features",
}
_PARTS = {
    "shortcut_layer.0": "downsample.0",
    "shortcut_layer.1": "downsample.1",
    "res_layer.5.fc1": "se.fc1",
    "res_layer.5.fc2": "se.fc2",
}
#: Parts of a residual branch in order: AdaFace's with a normalisation after the first convolution.
_WITH_NORM = ("bn1", "conv1", "bn2", "prelu", "conv2", "bn3")
_PLAIN = ("bn1", "conv1", "prelu", "conv2", "bn3")


class SqueezeExcite(Module):
    """Each channel multiplied by a weight from 0 to 1 that the means of all channels decide."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(n_channels, max(1, n_channels // 16), 1, bias=False)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(max(1, n_channels // 16), n_channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weighted channels."""
        return x * self.sigmoid(self.fc2(self.relu(self.fc1(self.pool(x)))))


class Block(Module):
    """Two 3x3 convolutions added to a shortcut, with no nonlinearity after the sum.

    Parameters
    ----------
    n_in, n_out, stride : int
        Channels and step.
    norm : bool
        Normalise between first convolution and PReLU (InsightFace and AdaFace do).
    project : bool
        Let the first shortcut of each stage be a convolution also where the number of channels
        stays the same (InsightFace does; the others take every second pixel).
    squeeze : bool
        Squeeze and excitation before the sum.
    """

    def __init__(
        self, n_in: int, n_out: int, stride: int, *, norm: bool, project: bool, squeeze: bool
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        if norm:
            self.bn2 = nn.BatchNorm2d(n_out)
        self.prelu = PReLU(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        if squeeze:
            self.se = SqueezeExcite(n_out)
        self.residual = [name for name, _ in self.named_children()]
        self.downsample: nn.Module | None = None
        if n_in != n_out or (project and stride > 1):
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )
        elif stride > 1:
            self.downsample = nn.MaxPool2d(1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        added = x
        for name in self.residual:
            added = getattr(self, name)(added)
        return added + (x if self.downsample is None else self.downsample(x))


class IResNet(Chain):
    """A residual network without pooling whose whole last map goes into the embedding.

    Parameters
    ----------
    depths : tuple of int
        Blocks of the four stages.
    width : int, default 64
        Channels of the first convolution.
    n_out : int, default 512
        Length of the embedding.
    affine : bool, default True
        Scale and shift the normalised embedding (AdaFace does not).
    norm, project, squeeze : bool
        As of :class:`Block`.

    Notes
    -----
    Layers: conv1, bn1, prelu, ``layer<stage>.<block>`` (the residual sums), bn2, flatten, fc,
    features. The MXNet network LResNet100E-IR, which Jiahui et al. (2023) [1]_ read out, calls its
    last two "pre_fc1" (``fc`` here) and "fc1" (``features``, its normalisation); it has the same
    blocks as the IR-100 here. The embedding has no fixed length. Dropout is left out: it does
    nothing when a network is read out, and has no weights.

    References
    ----------
    .. [1] Jiahui G., Feilong M., Visconti di Oleggio Castello M., Nastase S. A., Haxby J. V.,
       Gobbini M. I. (2023), PNAS 120(44), doi:10.1073/pnas.2304085120.

    Examples
    --------
    >>> import torch
    >>> from rsa_faces.networks.families.arcface import IR50, IResNet
    >>> network = IResNet(IR50, width=2, n_out=8).eval()
    >>> tuple(network(torch.zeros(1, 3, 112, 112)).shape)
    (1, 8)
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        *,
        width: int = 64,
        n_out: int = 512,
        affine: bool = True,
        norm: bool = True,
        project: bool = True,
        squeeze: bool = False,
    ) -> None:
        super().__init__()
        kind = {"norm": norm, "project": project, "squeeze": squeeze}
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = PReLU(width)
        n_in = width
        for stage, n_blocks in enumerate(depths):
            n = width * 2**stage
            blocks = [Block(n if i else n_in, n, 1 if i else 2, **kind) for i in range(n_blocks)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            n_in = n
        self.bn2 = nn.BatchNorm2d(n_in)
        self.flatten = nn.Flatten()
        # 112 px, halved in each of the four stages.
        self.fc = nn.Linear(n_in * 7 * 7, n_out)
        self.features = nn.BatchNorm1d(n_out, affine=affine)


build_ir50 = partial(IResNet, IR50)
build_ir100 = partial(IResNet, IR100)


build_ir50_plain = partial(IResNet, IR50, norm=False, project=False)
build_ir50_se = partial(IResNet, IR50, norm=False, project=False, squeeze=True)


build_adaface50 = partial(IResNet, IR50, project=False, affine=False)
build_adaface101 = partial(IResNet, IR100, project=False, affine=False)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names.

    InsightFace's own names are ours but for the PReLU's slopes, which are "weight" there. The head
    that AdaFace's files hold beside the network is left out.
    """
    bodies = {name.split(".")[1] for name in state if name.startswith("body.")}
    depths = IR50 if len(bodies) == sum(IR50) else IR100
    places = [f"layer{s}.{b}" for s, n in enumerate(depths, start=1) for b in range(n)]
    # A part of a branch that has statistics at number 2 is normalised there.
    order = _WITH_NORM if "body.0.res_layer.2.running_mean" in state else _PLAIN
    parts = _PARTS | {f"res_layer.{i}": part for i, part in enumerate(order)}
    out = {}
    for name, tensor in state.items():
        layer, _, key = name.rpartition(".")
        match = re.fullmatch(r"body\.(\d+)\.(.+)", layer)
        if match and int(match[1]) < len(places) and match[2] in parts:
            layer = f"{places[int(match[1])]}.{parts[match[2]]}"
        else:
            layer = _ENDS.get(layer, layer)
        if layer.endswith("prelu") and key == "weight":
            key = "slope"
        # The people of AdaFace's training: part of its loss, not of the network.
        if bodies and name == "head.kernel":
            continue
        out[f"{layer}.{key}" if layer else key] = tensor
    return out
