"""The VGGFace2 ResNet-50, in the form its authors published (Caffe)."""

from __future__ import annotations

import re

import torch
from torch import nn

N_IDENTITIES = 8631

#: How other files name the same parameters: patterns tried in order, first match wins. Names of
#: the PyTorch community files are ours already; the second group is the naming that the
#: automatic conversion of the authors' Caffe and MatConvNet files gives.
_STAGES = {"2": "layer1", "3": "layer2", "4": "layer3", "5": "layer4"}
_PARTS = {
    "1x1_reduce": "conv1",
    "3x3": "conv2",
    "1x1_increase": "conv3",
    "1x1_proj": "downsample.0",
    "1x1_reduce_bn": "bn1",
    "3x3_bn": "bn2",
    "1x1_increase_bn": "bn3",
    "1x1_proj_bn": "downsample.1",
}
_PATTERNS = (
    (r"conv1_7x7_s2\.(\w+)", lambda m: f"conv1.{m[1]}"),
    (r"conv1_7x7_s2_bn\.(\w+)", lambda m: f"bn1.{m[1]}"),
    (
        r"conv([2-5])_(\d)_(1x1_reduce|3x3|1x1_increase|1x1_proj)(_bn)?\.(\w+)",
        lambda m: f"{_STAGES[m[1]]}.{int(m[2]) - 1}.{_PARTS[m[3] + (m[4] or '')]}.{m[5]}",
    ),
    (r"classifier\.(\w+)", lambda m: f"fc.{m[1]}"),
)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions added to a shortcut; the stride is in the first."""

    def __init__(self, n_in: int, width: int, stride: int, *, project: bool) -> None:
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
        return self.relu3(out + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """ResNet-50 with Caffe's pooling: 3x3 maximum without padding, sizes rounded up."""

    def __init__(self, n_out: int = N_IDENTITIES, width: int = 64) -> None:
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
                blocks.append(Bottleneck(n_in, inner, stride, project=not i))
                n_in = 4 * inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AvgPool2d(7, 1)
        self.fc = nn.Linear(n_in, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 224, 224) to (n, 8631) identities, before softmax."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def build(n_out: int = N_IDENTITIES) -> nn.Module:
    """Return the network for `n_out` identities, without its weights."""
    return ResNet50(n_out)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names.

    Files converted from MatConvNet expect RGB: the colours of their first convolution are put in
    the order BGR, which this network's input has. A classifier stored as 1x1 is flattened.
    """
    out = {}
    for name, tensor in state.items():
        if name == "conv1_7x7_s2.weight":
            tensor = tensor.flip(1)
        for pattern, new_name in _PATTERNS:
            match = re.fullmatch(pattern, name)
            if match:
                name = new_name(match)
                break
        out[name] = tensor.flatten(1) if name == "fc.weight" else tensor
    return out
