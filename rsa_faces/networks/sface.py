"""SFace, the identity network of OpenCV: a MobileNet that maps an aligned face to 128 numbers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class PReLU(nn.Module):
    """``max(0, x) + slope * min(0, x)``, one slope per channel."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        # Not called "weight": untrained weights of one dimension start at 1, which would leave
        # a network without any nonlinearity.
        self.slope = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rectified input."""
        return F.prelu(x, self.slope)


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, PReLU."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, size, stride, size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3)
        self.prelu = PReLU(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        return self.prelu(self.norm(self.conv(x)))


class Separable(nn.Module):
    """One 3x3 filter per channel, then a 1x1 convolution; each with norm and PReLU."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(n_in, n_in, 3, stride, groups=n_in)
        self.pointwise = ConvNorm(n_in, n_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        return self.pointwise(self.depthwise(x))


class Embedding(nn.Module):
    """Linear layer, then a normalisation of each of its outputs."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.norm = nn.BatchNorm1d(n_out, eps=2e-5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embedding."""
        return self.norm(self.linear(x))


class SFace(nn.Module):
    """OpenCV's ``face_recognition_sface_2021dec``: 112 px in, 128 numbers out.

    Layers: conv1, block1 ... block13 (the published conv_2 ... conv_14, each depthwise and
    pointwise), norm, fc (the embedding, with its normalisation; of no fixed length).
    """

    #: (output channels, stride) of each block
    BLOCKS = (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 32, 3)
        n_in = 32
        self.block_names = []
        for index, (n_out, stride) in enumerate(self.BLOCKS, start=1):
            self.block_names.append(f"block{index}")
            self.add_module(self.block_names[-1], Separable(n_in, n_out, stride))
            n_in = n_out
        self.norm = nn.BatchNorm2d(n_in, eps=2e-5)
        self.fc = Embedding(n_in * 7 * 7, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 112, 112) to the (n, 128) face descriptor."""
        x = self.conv1(x)
        for name in self.block_names:
            x = getattr(self, name)(x)
        return self.fc(self.norm(x).flatten(1))


def build() -> nn.Module:
    """Return the network without its weights."""
    return SFace()


def expand(
    quantized: torch.Tensor, scales: torch.Tensor, zero_points: torch.Tensor
) -> torch.Tensor:
    """Return float32 weights, ``(quantized - zero_point) * scale``, with a pair for each block.

    A block is a run of a row's values, rows being the first axis; blocks of a row are equally long.
    """
    rows = quantized.flatten(1).short()
    length = -(-rows.shape[1] // scales.shape[1])
    blocks = [
        values.repeat_interleave(length, dim=1)[:, : rows.shape[1]]
        for values in (zero_points.short(), scales)
    ]
    # The difference is exact, the product rounds once: what ONNX's DequantizeLinear computes.
    return ((rows - blocks[0]).float() * blocks[1]).view(quantized.shape)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` with weights that were stored as 8-bit numbers and scales expanded."""
    out = {}
    for name, tensor in state.items():
        base, _, part = name.rpartition(".")
        if part == "quantized":
            parts = (state.get(f"{base}.{key}") for key in ("scales", "zero_points"))
            out[f"{base}.weight"] = expand(tensor, *parts)
        elif part not in ("scales", "zero_points"):
            out[name] = tensor
    return out
