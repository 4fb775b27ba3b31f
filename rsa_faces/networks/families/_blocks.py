"""Parts that several families are built from."""

from __future__ import annotations

from collections.abc import Mapping

from rsa_faces.networks._late import F, Module, nn, torch


class Chain(Module):
    """Layers one after the other; what goes into a linear layer is flattened."""

    def __init__(self, layers: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        for name, layer in (layers or {}).items():
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the last layer makes of it."""
        for layer in self.children():
            x = layer(x.flatten(1) if isinstance(layer, nn.Linear) else x)
        return x


class PReLU(Module):
    """``max(0, x) + slope * min(0, x)``, one slope per channel."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        # Not called "weight": untrained weights of one dimension start at 1, which would leave
        # a network without any nonlinearity.
        self.slope = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rectified input."""
        return F.prelu(x, self.slope)
