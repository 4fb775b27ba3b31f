"""OpenFace's nn4.small2, in the names of its PyTorch form: 96 px in, 128 numbers out."""

from __future__ import annotations

from rsa_faces.networks._late import F, Module, nn, torch
from rsa_faces.networks._spec import FORMS, OWN_FILE, NetworkSpec, Preprocessing

SPECS = (
    NetworkSpec(
        name="openface",
        crop="dlib",
        crop_margin=-0.333,
        crop_source=(
            "OpenFace's AlignDlib: dlib's mean face fills the image, which is its chip without "
            "padding (there an affine transform of three points, here a similarity of five)"
        ),
        task="identity",
        architecture="nn4.small2, inception modules, 128-d embedding of length 1",
        training_set="CASIA-WebFace and FaceScrub, 500,000 photographs",
        licence="Apache-2.0",
        origin=OWN_FILE,
        citation=(
            "Amos B., Ludwiczuk B., Satyanarayanan M. (2016), OpenFace, CMU-CS-16-118; Schroff F., "
            "Kalenichenko D., Philbin J. (2015), FaceNet, CVPR, doi:10.1109/CVPR.2015.7298682"
        ),
        preprocessing=Preprocessing(
            size=96, fit="stretch", channels="RGB", mean=(0.0,) * 3, std=(255.0,) * 3
        ),
        builder="build",
        layers=(
            *("layer3", "layer8", "layer11", *(f"layer{i}" for i in (14, 15, 16, 17, 18, 19, 21))),
            *("layer22", "layer25", "embedding"),
        ),
        weights_help=(
            "Get 'openface.pth' of OpenFacePytorch (https://github.com/thnkim/OpenFacePytorch), "
            f"the authors' nn4.small2.v1, {FORMS}."
        ),
    ),
)

#: Inception modules: channels in; branches of two convolutions (channels between, channels, size,
#: stride); pool ("max", at half the size, or the root of summed squares) and its channels, 0 for
#: none; channels of a 1x1 convolution beside them, 0 for none.
INCEPTIONS = {
    14: (192, ((96, 128, 3, 1), (16, 32, 5, 1)), "max", 32, 64),
    15: (256, ((96, 128, 3, 1), (32, 64, 5, 1)), "root", 64, 64),
    16: (320, ((128, 256, 3, 2), (32, 64, 5, 2)), "max", 0, 0),
    17: (640, ((96, 192, 3, 1), (32, 64, 5, 1)), "root", 128, 256),
    18: (640, ((160, 256, 3, 2), (64, 128, 5, 2)), "max", 0, 0),
    19: (1024, ((96, 384, 3, 1),), "root", 96, 256),
    21: (736, ((96, 384, 3, 1),), "max", 96, 256),
}


class Inception(Module):
    """Branches whose maps are joined; smaller ones are centred on zeros."""

    def __init__(
        self, n_in: int, branches: tuple, pool: str, n_pool: int, n_plain: int, divisor: int
    ) -> None:
        super().__init__()
        chains = []
        for n_between, n_out, size, stride in branches:
            between, out = n_between // divisor, n_out // divisor
            chains.append(
                [
                    *_convolution(n_in // divisor, between, 1, 1),
                    *_convolution(between, out, size, stride),
                ]
            )
        pooled = nn.MaxPool2d(3, 2) if pool == "max" else nn.LPPool2d(2, 3, 3)
        chains.append([("pool", pooled)])
        if n_pool:
            chains[-1] += _convolution(n_in // divisor, n_pool // divisor, 1, 1)
        if n_plain:
            chains.append(_convolution(n_in // divisor, n_plain // divisor, 1, 1))
        self.seq_list = nn.ModuleList()
        for chain in chains:
            sequence = nn.Sequential()
            for i, (kind, layer) in enumerate(chain, start=1):
                sequence.add_module(f"{i}_{kind}", layer)
            self.seq_list.append(sequence)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the joined maps."""
        maps = [branch(x) for branch in self.seq_list]
        height, width = (max(y.shape[axis] for y in maps) for axis in (2, 3))
        padded = []
        for y in maps:
            down, right = height - y.shape[2], width - y.shape[3]
            padded.append(F.pad(y, (right // 2, right - right // 2, down // 2, down - down // 2)))
        return torch.cat(padded, 1)


def _convolution(n_in: int, n_out: int, size: int, stride: int) -> list:
    """Return convolution, normalisation and rectifier, with their kinds."""
    conv = nn.Conv2d(n_in, n_out, size, stride, size // 2)
    return [("conv", conv), ("bn", nn.BatchNorm2d(n_out)), ("relu", nn.ReLU())]


class Normalise(Module):
    """Each row divided by its Euclidean length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows of length 1."""
        return x / torch.sqrt((x**2).sum(1, keepdim=True) + 1e-6)


class OpenFace(Module):
    """nn4.small2; with a `divisor` as many times fewer channels."""

    def __init__(self, divisor: int = 1) -> None:
        super().__init__()
        n, more = 64 // divisor, 192 // divisor
        first = (
            *(layer for _, layer in _convolution(3, n, 7, 2)),
            nn.MaxPool2d(3, 2, 1),
            nn.LocalResponseNorm(5, 1e-4, 0.75),
            *(layer for _, layer in _convolution(n, n, 1, 1)),
            *(layer for _, layer in _convolution(n, more, 3, 1)),
            nn.LocalResponseNorm(5, 1e-4, 0.75),
            nn.MaxPool2d(3, 2, 1),
        )
        for i, layer in enumerate(first, start=1):
            self.add_module(f"layer{i}", layer)
        for i, sizes in INCEPTIONS.items():
            self.add_module(f"layer{i}", Inception(*sizes, divisor))
        self.layer22 = nn.AvgPool2d(3, 1)
        self.layer25 = nn.Linear(736 // divisor, 128)
        self.embedding = Normalise()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 96, 96), from 0 to 1, to the (n, 128) embedding."""
        for name, layer in self.named_children():
            x = layer(x.flatten(1) if name == "layer25" else x)
        return x


build = OpenFace
