"""The image itself, as a network of one layer."""

from __future__ import annotations

import torch
from torch import nn


class Copy(nn.Module):
    """Return the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x`."""
        return x


class Pixels(nn.Module):
    """One layer, `pixels`."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = Copy()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the resized pixels, (n, 3, 128, 128), 0-1."""
        return self.pixels(x)


def build() -> nn.Module:
    """Return the module."""
    return Pixels()
