"""ArcFace's residual networks ("IR"): 112 px in, 512 numbers out."""

from __future__ import annotations

import re

import torch
from torch import nn

from rsa_faces.networks.sface import PReLU

#: residual blocks of the four stages
IR50 = (3, 4, 14, 3)
IR100 = (3, 13, 30, 3)

#: Names in the files of InsightFace_Pytorch and face.evoLVe, and ours. Their blocks are numbered
#: through, ``body.0`` to ``body.23`` or ``body.48``.
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
    "res_layer.0": "bn1",
    "res_layer.1": "conv1",
    "res_layer.2": "prelu",
    "res_layer.3": "conv2",
    "res_layer.4": "bn3",
    "res_layer.5.fc1": "se.fc1",
    "res_layer.5.fc2": "se.fc2",
}


class Block(nn.Module):
    """Two 3x3 convolutions added to a shortcut, with no nonlinearity after the sum."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.prelu = PReLU(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.downsample = _project(n_in, n_out, stride) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        out = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(out)) + (x if self.downsample is None else self.downsample(x))


class SqueezeExcite(nn.Module):
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


class PlainBlock(nn.Module):
    """The block of InsightFace_Pytorch: no normalisation between first convolution and PReLU.

    Where the number of channels stays the same and the image shrinks, the shortcut takes every
    second pixel.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.prelu = PReLU(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.downsample = None
        if n_in != n_out:
            self.downsample = _project(n_in, n_out, stride)
        elif stride > 1:
            self.downsample = nn.MaxPool2d(1, stride)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is added to the shortcut."""
        return self.bn3(self.conv2(self.prelu(self.conv1(self.bn1(x)))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        return self.residual(x) + (x if self.downsample is None else self.downsample(x))


class SqueezeBlock(PlainBlock):
    """The same with squeeze and excitation before the sum."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__(n_in, n_out, stride)
        self.se = SqueezeExcite(n_out)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is added to the shortcut."""
        return self.se(super().residual(x))


def _project(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    """Return the 1x1 convolution of a shortcut."""
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))


class IResNet(nn.Module):
    """A residual network without pooling whose whole last map goes into the embedding.

    Parameters
    ----------
    depths : tuple of int
        Blocks of the four stages.
    block : type, default Block
        The residual block; its output is the residual sum.
    width : int, default 64
        Channels of the first convolution.
    n_out : int, default 512
        Length of the embedding.

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
    >>> from rsa_faces.networks.arcface import IR50, IResNet
    >>> network = IResNet(IR50, width=2, n_out=8).eval()
    >>> tuple(network(torch.zeros(1, 3, 112, 112)).shape)
    (1, 8)
    """

    def __init__(
        self, depths: tuple[int, ...], block: type = Block, width: int = 64, n_out: int = 512
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = PReLU(width)
        n_in = width
        for stage, n_blocks in enumerate(depths):
            channels = width * 2**stage
            blocks = [block(n_in, channels, 2)]
            blocks += [block(channels, channels, 1) for _ in range(n_blocks - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            n_in = channels
        self.bn2 = nn.BatchNorm2d(n_in)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(n_in * 7 * 7, n_out)
        self.features = nn.BatchNorm1d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 112, 112) to the (n, n_out) embedding."""
        for layer in self.children():
            x = layer(x)
        return x


def build_ir50() -> nn.Module:
    """Return InsightFace's "iresnet50" without its weights."""
    return IResNet(IR50)


def build_ir100() -> nn.Module:
    """Return InsightFace's "iresnet100" without its weights."""
    return IResNet(IR100)


def build_ir50_plain() -> nn.Module:
    """Return the IR-50 of InsightFace_Pytorch and face.evoLVe without its weights."""
    return IResNet(IR50, PlainBlock)


def build_ir50_se() -> nn.Module:
    """Return the IR-SE-50 of InsightFace_Pytorch and face.evoLVe without its weights."""
    return IResNet(IR50, SqueezeBlock)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names.

    InsightFace's own names are ours but for the PReLU's slopes, which are "weight" there.
    """
    bodies = {name.split(".")[1] for name in state if name.startswith("body.")}
    depths = IR50 if len(bodies) == sum(IR50) else IR100
    places = [f"layer{s}.{b}" for s, n in enumerate(depths, start=1) for b in range(n)]
    out = {}
    for name, tensor in state.items():
        layer, _, key = name.rpartition(".")
        match = re.fullmatch(r"body\.(\d+)\.(.+)", layer)
        if match and int(match[1]) < len(places) and match[2] in _PARTS:
            layer = f"{places[int(match[1])]}.{_PARTS[match[2]]}"
        else:
            layer = _ENDS.get(layer, layer)
        if layer.endswith("prelu") and key == "weight":
            key = "slope"
        out[f"{layer}.{key}" if layer else key] = tensor
    return out
