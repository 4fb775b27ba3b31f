"""FaceNet's Inception-ResNet-v1, in the form of the package facenet-pytorch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rsa_faces.networks._late import F, Module, nn, torch
from rsa_faces.networks._spec import FORMS, OWN_FILE, NetworkSpec, Preprocessing

_LAYERS = (
    "conv2d_1a",
    "conv2d_2a",
    "conv2d_2b",
    "maxpool_3a",
    "conv2d_3b",
    "conv2d_4a",
    "conv2d_4b",
    *(f"repeat_1.{i}" for i in range(5)),
    "mixed_6a",
    *(f"repeat_2.{i}" for i in range(10)),
    "mixed_7a",
    *(f"repeat_3.{i}" for i in range(5)),
    "block8",
    "avgpool_1a",
    "last_linear",
    "last_bn",
    "embedding",
)
_INPUT = Preprocessing(size=160, fit="pad", channels="RGB", mean=(127.5,) * 3, std=(128.0,) * 3)
_FACENET_CROP = (
    "facenet's training (github.com/davidsandberg/facenet): 182 px with 44 px of margin, of which "
    "160 px are cut out"
)
_FACENET = (
    "Schroff F., Kalenichenko D., Philbin J. (2015), FaceNet, CVPR, arXiv:1503.03832, "
    "doi:10.1109/CVPR.2015.7298682; Szegedy C. et al. (2017), Inception-ResNet, AAAI, "
    "arXiv:1602.07261"
)
_FACENET_PAGE = "https://github.com/timesler/facenet-pytorch, table 'Pretrained models'"
_FACENET_LICENCE = "MIT (code); weights and training set: see the authors' pages"

_OF_VGGFACE2 = NetworkSpec(
    name="inception-resnet-vggface2",
    crop="box",
    crop_margin=0.16,
    crop_source=_FACENET_CROP,
    task="identity",
    architecture="Inception-ResNet-v1, 512-d embedding of length 1",
    training_set="VGGFace2, the 8,631 identities for training",
    licence=_FACENET_LICENCE,
    origin=OWN_FILE,
    citation=f"{_FACENET}; Cao Q. et al. (2018), VGGFace2, FG, doi:10.1109/FG.2018.00020",
    preprocessing=_INPUT,
    builder="build_vggface2",
    layers=_LAYERS,
    weights_help=(
        f"Get '20180402-114759-vggface2.pt' of facenet-pytorch ({_FACENET_PAGE}), {FORMS}. "
        "Photographs should be cut to the face with a small margin."
    ),
    published=(
        (
            "20180402-114759-vggface2.pt",
            "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        ),
    ),
)
SPECS = (
    _OF_VGGFACE2,
    replace(
        _OF_VGGFACE2,
        name="inception-resnet-casia",
        training_set="CASIA-WebFace, 10,575 identities",
        citation=f"{_FACENET}; Yi D. et al. (2014), CASIA-WebFace, arXiv:1411.7923",
        builder="build_casia",
        weights_help=_OF_VGGFACE2.weights_help.replace(
            "20180402-114759-vggface2", "20180408-102900-casia-webface"
        ),
        published=(),
    ),
)

N_VGGFACE2 = 8631
N_CASIA = 10575

#: Branches of each kind of block: a tuple of convolutions (channels, size), in parallel. A third
#: entry is the stride; such convolutions have no padding, all others keep the size. Channels are
#: those of the published network, whose first convolution has 32.
BLOCK35 = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (32, 3), (32, 3)))
BLOCK17 = (((128, 1),), ((128, 1), (128, (1, 7)), (128, (7, 1))))
BLOCK8 = (((192, 1),), ((192, 1), (192, (1, 3)), (192, (3, 1))))
MIXED_6A = (((384, 3, 2),), ((192, 1), (192, 3), (256, 3, 2)))
MIXED_7A = (
    ((256, 1), (384, 3, 2)),
    ((256, 1), (256, 3, 2)),
    ((256, 1), (256, 3), (256, 3, 2)),
)
#: The first layers: (channels, size, stride, padding).
STEM = (
    ("conv2d_1a", (32, 3, 2, 0)),
    ("conv2d_2a", (32, 3, 1, 0)),
    ("conv2d_2b", (64, 3, 1, 1)),
    ("maxpool_3a", None),
    ("conv2d_3b", (80, 1, 1, 0)),
    ("conv2d_4a", (192, 3, 1, 0)),
    ("conv2d_4b", (256, 3, 2, 0)),
)


class ConvNorm(Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, n_in: int, n_out: int, size, stride: int = 1, padding=0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, size, stride, padding, bias=False)
        # As in TensorFlow, where it was trained; torch's default is 1e-5.
        self.bn = nn.BatchNorm2d(n_out, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        return self.relu(self.bn(self.conv(x)))


class Branches(Module):
    """Chains of convolutions in parallel, their outputs joined along the channels."""

    def __init__(self, n_in: int, branches: tuple, width: int, *, pool: bool = False) -> None:
        super().__init__()
        self.names: list[str] = []
        self.n_joined = n_in if pool else 0
        for i, branch in enumerate(branches):
            chain, n = [], n_in
            for channels, size, *stride in branch:
                n_out = channels * width // 32
                chain.append(ConvNorm(n, n_out, size, *(stride or (1, _same(size)))))
                n = n_out
            self._add(f"branch{i}", chain[0] if len(chain) == 1 else nn.Sequential(*chain))
            self.n_joined += n
        if pool:
            self._add(f"branch{len(branches)}", nn.MaxPool2d(3, 2))

    def _add(self, name: str, module: nn.Module) -> None:
        """Add a branch."""
        self.names.append(name)
        self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the joined maps."""
        return torch.cat([getattr(self, name)(x) for name in self.names], 1)


class Residual(Branches):
    """Branches, a 1x1 convolution of them, scaled and added to the input."""

    def __init__(
        self, n_in: int, branches: tuple, width: int, *, scale: float, rectify: bool = True
    ) -> None:
        super().__init__(n_in, branches, width)
        self.scale = scale
        self.conv2d = nn.Conv2d(self.n_joined, n_in, 1)
        self.relu = nn.ReLU() if rectify else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum, rectified if this block is."""
        out = self.conv2d(super().forward(x)) * self.scale + x
        return out if self.relu is None else self.relu(out)


class Normalise(Module):
    """Each row divided by its Euclidean length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows of length 1."""
        return F.normalize(x, dim=1)


def _same(size):
    """Return the padding that keeps the size."""
    return tuple(s // 2 for s in size) if isinstance(size, tuple) else size // 2


class InceptionResNetV1(Module):
    """Inception-ResNet-v1: 160 px in, an embedding of length 1 out.

    Parameters
    ----------
    n_identities : int, default 8631
        Outputs of `logits`.
    width : int, default 32
        Channels of the first convolution; those of the others grow with it.
    n_out : int, default 512
        Length of the embedding.

    Notes
    -----
    Layers: conv2d_1a to conv2d_4b, ``repeat_1.0`` to ``repeat_1.4``, mixed_6a, ``repeat_2.0`` to
    ``repeat_2.9``, mixed_7a, ``repeat_3.0`` to ``repeat_3.4``, block8, avgpool_1a, last_linear,
    last_bn, embedding (`last_bn` divided by its length). The identities before softmax are the
    layer "logits"; it does not enter the embedding.

    Examples
    --------
    >>> import torch
    >>> from rsa_faces.networks.families.inception_resnet import InceptionResNetV1
    >>> network = InceptionResNetV1(n_identities=5, width=2, n_out=8).eval()
    >>> tuple(network(torch.zeros(1, 3, 160, 160)).shape)
    (1, 8)
    """

    def __init__(self, n_identities: int = N_VGGFACE2, width: int = 32, n_out: int = 512) -> None:
        super().__init__()
        n = 3
        for name, sizes in STEM:
            if sizes is None:
                self.add_module(name, nn.MaxPool2d(3, 2))
                continue
            n_in, n = n, sizes[0] * width // 32
            self.add_module(name, ConvNorm(n_in, n, *sizes[1:]))
        self.repeat_1 = nn.Sequential(*(Residual(n, BLOCK35, width, scale=0.17) for _ in range(5)))
        self.mixed_6a = Branches(n, MIXED_6A, width, pool=True)
        n = self.mixed_6a.n_joined
        self.repeat_2 = nn.Sequential(*(Residual(n, BLOCK17, width, scale=0.1) for _ in range(10)))
        self.mixed_7a = Branches(n, MIXED_7A, width, pool=True)
        n = self.mixed_7a.n_joined
        self.repeat_3 = nn.Sequential(*(Residual(n, BLOCK8, width, scale=0.2) for _ in range(5)))
        self.block8 = Residual(n, BLOCK8, width, scale=1.0, rectify=False)
        self.avgpool_1a = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(n, n_out, bias=False)
        self.last_bn = nn.BatchNorm1d(n_out, eps=1e-3)
        self.logits = nn.Linear(n_out, n_identities)
        self.embedding = Normalise()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 160, 160) to the (n, n_out) embedding."""
        for name, _ in STEM:
            x = getattr(self, name)(x)
        x = self.repeat_2(self.mixed_6a(self.repeat_1(x)))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        x = self.last_bn(self.last_linear(self.avgpool_1a(x).flatten(1)))
        # Computed only for those who read it out.
        self.logits(x)
        return self.embedding(x)


build_vggface2 = partial(InceptionResNetV1, N_VGGFACE2)
build_casia = partial(InceptionResNetV1, N_CASIA)
