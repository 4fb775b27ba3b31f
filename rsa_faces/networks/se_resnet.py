"""The VGGFace2 SE-ResNet-50: the ResNet-50 of `vggface2` with squeeze and excitation."""

from __future__ import annotations

import re

import torch
from torch import nn

from rsa_faces.networks import vggface2

#: Layers that this network has more than the ResNet-50, in files converted from MatConvNet.
_SQUEEZE = {"1x1_down": "conv4", "1x1_up": "conv5"}
_CONVERTED = re.compile(r"conv([2-5])_(\d)_(1x1_down|1x1_up)\.(\w+)")


class Bottleneck(vggface2.Bottleneck):
    """The ResNet's block; its channels are weighted, from 0 to 1, before the sum."""

    def __init__(self, n_in: int, width: int, stride: int, *, project: bool) -> None:
        super().__init__(n_in, width, stride, project=project)
        n_out, n_squeezed = 4 * width, max(1, 4 * width // 16)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.conv4 = nn.Conv2d(n_out, n_squeezed, 1)
        self.relu4 = nn.ReLU()
        self.conv5 = nn.Conv2d(n_squeezed, n_out, 1)
        self.excite = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rectified sum."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out = out * self.excite(self.conv5(self.relu4(self.conv4(self.squeeze(out)))))
        return self.relu3(out + (x if self.downsample is None else self.downsample(x)))


class SEResNet50(nn.Module):
    """SE-ResNet-50 with Caffe's pooling: 3x3 maximum without padding, sizes rounded up."""

    def __init__(self, n_out: int = vggface2.N_IDENTITIES, width: int = 64) -> None:
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


def build() -> nn.Module:
    """Return the network without its weights."""
    return SEResNet50()


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names.

    The names of VGGFace2-pytorch are ours; other files are renamed as those of the ResNet-50.
    """
    out = {}
    for name, tensor in state.items():
        match = _CONVERTED.fullmatch(name)
        if match:
            stage, block, part, key = match.groups()
            name = f"layer{int(stage) - 1}.{int(block) - 1}.{_SQUEEZE[part]}.{key}"
        out[name] = tensor
    return vggface2.rename(out)
