"""AlexNet in the form of torchvision (Krizhevsky 2014), with the layer names of the papers."""

from __future__ import annotations

import torch
from torch import nn

N_IMAGENET = 1000
N_VGGFACE2 = 8631

#: torchvision's name to ours
NAMES = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3",
    "features.8": "conv4",
    "features.10": "conv5",
    "classifier.1": "fc6",
    "classifier.4": "fc7",
    "classifier.6": "fc8",
}


class AlexNet(nn.Module):
    """Five convolutions, three fully connected layers.

    Dropout is left out: it does nothing when a network is read out, and has no weights.
    """

    def __init__(self, n_out: int = N_IMAGENET, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 11, 4, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(3, 2)
        self.conv2 = nn.Conv2d(width, 3 * width, 5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(3, 2)
        self.conv3 = nn.Conv2d(3 * width, 6 * width, 3, padding=1)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(6 * width, 4 * width, 3, padding=1)
        self.relu4 = nn.ReLU()
        self.conv5 = nn.Conv2d(4 * width, 4 * width, 3, padding=1)
        self.relu5 = nn.ReLU()
        self.pool5 = nn.MaxPool2d(3, 2)
        hidden = 64 * width
        self.fc6 = nn.Linear(4 * width * 6 * 6, hidden)
        self.relu6 = nn.ReLU()
        self.fc7 = nn.Linear(hidden, hidden)
        self.relu7 = nn.ReLU()
        self.fc8 = nn.Linear(hidden, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 224, 224) to (n, n_out) classes, before softmax."""
        for name, layer in self.named_children():
            x = layer(x.flatten(1) if name == "fc6" else x)
        return x


def build_imagenet() -> nn.Module:
    """Return the network for ImageNet's 1,000 classes, without its weights."""
    return AlexNet(N_IMAGENET)


def build_faces(n_out: int = N_VGGFACE2) -> nn.Module:
    """Return the network for `n_out` identities, without its weights."""
    return AlexNet(n_out)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names."""
    out = {}
    for name, tensor in state.items():
        layer, _, key = name.rpartition(".")
        out[f"{NAMES.get(layer, layer)}.{key}" if layer else key] = tensor
    return out
