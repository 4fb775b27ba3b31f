"""The small DenseNet for identity or expression of Schwartz, O'Nell, Saxe & Anzellotti (2023)."""

from __future__ import annotations

import re

import torch
from torch import nn

N_CELEBA = 1503
N_FER2013 = 7

_KEYS = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
#: The authors' names to ours: patterns tried in order, first match wins.
_PATTERNS = (
    (
        rf"dense(\d)\.(\d+)\.(bn|conv)1\.{_KEYS}",
        lambda m: f"dense{m[1]}.layer{int(m[2]) + 1}.{m[3]}.{m[4]}",
    ),
    (rf"trans(\d)\.(bn|conv)1\.{_KEYS}", lambda m: f"trans{m[1]}.{m[2]}.{m[3]}"),
    (rf"bn1\.{_KEYS}", lambda m: f"bn.{m[1]}"),
)


class DenseLayer(nn.Module):
    """Normalisation, 7x7 convolution, ReLU; the result is appended to the input's channels."""

    def __init__(self, n_in: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(n_in)
        self.conv = nn.Conv2d(n_in, growth, 7, padding=3, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, n_in + growth, height, width)."""
        return torch.cat((x, self.relu(self.conv(self.bn(x)))), 1)


class Transition(nn.Sequential):
    """Normalisation, 7x7 convolution to fewer channels, ReLU, 2x2 maximum."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(n_in)
        self.conv = nn.Conv2d(n_in, n_out, 7, padding=3, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)


class DenseNet(nn.Module):
    """Three dense blocks of three layers, with a transition after the first and the second.

    The four layers that the paper reads out are ``conv1``, ``trans1``, ``trans2`` and
    ``dense3.layer3``. As there, ``pool`` averages the first 8x8 of the last map's 12x12
    positions: the remaining four rows and columns do not reach the classifier. Dropout is left
    out: it does nothing when a network is read out, and has no weights.
    """

    def __init__(self, n_out: int, growth: int = 32) -> None:
        super().__init__()
        n = 2 * growth
        self.conv1 = nn.Conv2d(1, n, 7, padding=3)
        for block in range(1, 4):
            layers = nn.Sequential()
            for i in range(1, 4):
                layers.add_module(f"layer{i}", DenseLayer(n, growth))
                n += growth
            self.add_module(f"dense{block}", layers)
            if block < 3:
                self.add_module(f"trans{block}", Transition(n, n // 2))
                n //= 2
        self.bn = nn.BatchNorm2d(n)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(8)
        self.fc = nn.Linear(n, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 1, 48, 48) to (n, n_out) classes, before softmax."""
        for name, layer in self.named_children():
            x = layer(x.flatten(1) if name == "fc" else x)
        return x


def build_celeba(n_out: int = N_CELEBA) -> nn.Module:
    """Return the network for `n_out` identities, without its weights."""
    return DenseNet(n_out)


def build_fer2013(n_out: int = N_FER2013) -> nn.Module:
    """Return the network for `n_out` expressions, without its weights."""
    return DenseNet(n_out)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names."""
    out = {}
    for name, tensor in state.items():
        for pattern, new_name in _PATTERNS:
            match = re.fullmatch(pattern, name)
            if match:
                name = new_name(match)
                break
        out[name] = tensor
    return out
