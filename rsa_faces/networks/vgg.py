"""VGG16 with the layer names of VGG-Face (Parkhi et al. 2015); files of torchvision fit too."""

from __future__ import annotations

import torch
from torch import nn

N_VGGFACE = 2622
N_IMAGENET = 1000
N_VGGFACE2 = 8631

#: (convolutions, channels relative to the first stage) of the five stages
STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))

_CONVOLUTIONS = [f"conv{s}_{i}" for s, (n, _) in enumerate(STAGES, 1) for i in range(1, n + 1)]
_POSITIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
#: torchvision's name to ours
NAMES = {
    **{f"features.{p}": name for p, name in zip(_POSITIONS, _CONVOLUTIONS, strict=True)},
    "classifier.0": "fc6",
    "classifier.3": "fc7",
    "classifier.6": "fc8",
}


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions in five stages, three fully connected layers.

    Dropout is left out: it does nothing when a network is read out, and has no weights.
    """

    def __init__(self, n_out: int = N_VGGFACE, width: int = 64) -> None:
        super().__init__()
        n_in = 3
        for stage, (n, times) in enumerate(STAGES, 1):
            for i in range(1, n + 1):
                conv = nn.Conv2d(n_in, times * width, 3, padding=1)
                self.add_module(f"conv{stage}_{i}", conv)
                self.add_module(f"relu{stage}_{i}", nn.ReLU())
                n_in = times * width
            self.add_module(f"pool{stage}", nn.MaxPool2d(2, 2))
        hidden = 64 * width
        self.fc6 = nn.Linear(n_in * 7 * 7, hidden)
        self.relu6 = nn.ReLU()
        self.fc7 = nn.Linear(hidden, hidden)
        self.relu7 = nn.ReLU()
        self.fc8 = nn.Linear(hidden, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 224, 224) to (n, n_out) classes, before softmax."""
        for name, layer in self.named_children():
            x = layer(x.flatten(1) if name == "fc6" else x)
        return x


def build_vggface() -> nn.Module:
    """Return the network of Parkhi et al. (2015), without its weights."""
    return VGG16(N_VGGFACE)


def build_imagenet() -> nn.Module:
    """Return the network for ImageNet's 1,000 classes, without its weights."""
    return VGG16(N_IMAGENET)


def build_faces(n_out: int = N_VGGFACE2) -> nn.Module:
    """Return the network for `n_out` identities, without its weights."""
    return VGG16(n_out)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names.

    Fully connected layers stored as convolutions, (out, channels, height, width), are flattened.
    """
    out = {}
    for name, tensor in state.items():
        layer, _, key = name.rpartition(".")
        layer = NAMES.get(layer, layer)
        flat = layer in ("fc6", "fc7", "fc8") and key == "weight"
        out[f"{layer}.{key}" if layer else key] = tensor.flatten(1) if flat else tensor
    return out
