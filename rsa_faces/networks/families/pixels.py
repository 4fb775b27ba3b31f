"""The image itself, as a network of one layer."""

from __future__ import annotations

from rsa_faces.networks._late import Module, torch
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks.families._blocks import Chain

SPECS = (
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
        builder="Pixels",
        layers=("pixels",),
    ),
)


class Copy(Module):
    """Return the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x`."""
        return x


class Pixels(Chain):
    """One layer, `pixels`."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = Copy()
