"""A Siamese network that tells whether two faces are the same person."""

from __future__ import annotations

from functools import partial

from rsa_faces.networks._late import Module, nn, torch
from rsa_faces.networks._spec import OWN_FILE, OWN_LICENCE, NetworkSpec, Preprocessing
from rsa_faces.networks.families._blocks import Chain

_LAYERS = tuple(
    f"embedding.{name}"
    for name in ("relu1", "pool1", "relu2", "pool2", "relu3", "pool3", "relu4", "fc")
)

_INPUT = Preprocessing(size=105, fit="crop", resize_to=105, channels="L", mean=(0.0,), std=(255.0,))

SPECS = (
    NetworkSpec(
        name="siamese-lfw",
        crop="box",
        crop_margin=1.2,
        crop_source="Huang G. B. et al. (2007), LFW: the detector's square times 2.2",
        task="identity",
        architecture="Siamese network, 4 convolutions and one linear embedding layer",
        training_set="pairs of Labeled Faces in the Wild, same or different person",
        licence=OWN_LICENCE,
        origin=OWN_FILE,
        citation=(
            "Schwartz E., O'Nell K., Anzellotti S., poster; Koch G., Zemel R., Salakhutdinov R. "
            "(2015), Siamese neural networks, ICML Deep Learning Workshop"
        ),
        preprocessing=_INPUT,
        builder="build",
        layers=_LAYERS,
        weights_help=(
            "No weights are published: scripts/train_siamese.py trains it on the pairs of "
            "http://vis-www.cs.umass.edu/lfw/. Assumed, after Koch et al. "
            "(2015) where the poster is silent: one grey channel of 105 px from 0 to 1. The length "
            "of the embedding is read from the file."
        ),
        any_outputs="embedding.fc",
    ),
    # Made by ``OMP_NUM_THREADS=1 python scripts/train_siamese.py --orl PATH --out FOLDER``;
    # measured by scripts/demo_training.py. A small example: it has seen 30 people, and is hardly
    # better than plain pixels at telling others apart (weights/siamese-orl.LICENSE.txt).
    NetworkSpec(
        name="siamese-orl",
        crop="box",
        crop_source="photographs it was trained on: their square is 0.99 times the detector's box",
        task="identity",
        architecture=(
            "Siamese network, 4 convolutions (16 to 64 channels), linear 256-d embedding"
        ),
        training_set=(
            "a small example: 300 photographs of 30 people, the first of the AT&T/ORL Database of "
            "Faces; pairs, same or different person"
        ),
        licence="BSD-3-Clause",
        origin="rsa-faces, scripts/train_siamese.py --orl",
        citation=(
            "Samaria F., Harter A. (1994), WACV, doi:10.1109/ACV.1994.341300 (faces: AT&T "
            "Laboratories Cambridge); Koch G., Zemel R., Salakhutdinov R. (2015), Siamese neural "
            "networks, ICML Deep Learning Workshop"
        ),
        preprocessing=_INPUT,
        builder="build_orl",
        layers=_LAYERS,
        weights="siamese-orl.safetensors",
        sha256="f0bacc3f60517bba6e02c969549b5c24496bf4dfd4c0d97b0399d27c29ecdac2",
    ),
)

N_EMBEDDING = 4096


class Embedding(Chain):
    """Four convolutions with ReLU, three of them with a maximum; one linear layer without."""

    def __init__(self, n_out: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 10)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(width, 2 * width, 7)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2, 2)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 4)
        self.relu3 = nn.ReLU()
        self.pool3 = nn.MaxPool2d(2, 2)
        self.conv4 = nn.Conv2d(2 * width, 4 * width, 4)
        self.relu4 = nn.ReLU()
        self.fc = nn.Linear(4 * width * 6 * 6, n_out)


class SiameseNet(Module):
    """Two images through the same layers; the head judges the difference of their embeddings.

    Parameters
    ----------
    n_out : int, default 4096
        Length of an embedding.
    width : int, default 64
        Channels of the first convolution; the later ones have 2, 2 and 4 times as many.

    Notes
    -----
    Schwartz, O'Nell and Anzellotti (poster) say: trained on pairs of Labeled Faces in the Wild,
    cross-entropy on same or different, ReLU everywhere but in the fully connected layer. Where
    the poster is silent (input of 105 px in grey, sizes of the layers, absolute difference of the
    embeddings), this follows [1]_. Differences from [1]_: no sigmoid after the fully connected
    layer, two logits instead of one probability.

    References
    ----------
    .. [1] Koch G., Zemel R., Salakhutdinov R. (2015), Siamese neural networks for one-shot image
       recognition, ICML Deep Learning Workshop.

    Examples
    --------
    >>> import torch
    >>> from rsa_faces.networks.families.siamese import SiameseNet
    >>> network = SiameseNet(n_out=16, width=2)
    >>> a, b = torch.rand(2, 5, 1, 105, 105)
    >>> same = torch.tensor([0, 1, 0, 1, 1])
    >>> loss = torch.nn.functional.cross_entropy(network.compare(a, b), same)
    >>> tuple(network(a).shape), tuple(network.compare(a, b).shape)
    ((5, 16), (5, 2))
    """

    def __init__(self, n_out: int = N_EMBEDDING, width: int = 64) -> None:
        super().__init__()
        self.embedding = Embedding(n_out, width)
        self.head = nn.Linear(n_out, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, (n, 1, 105, 105) from 0 to 1, to embeddings, (n, n_out)."""
        return self.embedding(x)

    def compare(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return logits, (n, 2), that the images `a` and `b` show different persons or one.

        Column 0: different, column 1: the same. ``compare(a, b)`` equals ``compare(b, a)``.
        """
        return self.head((self(a) - self(b)).abs())


build = partial(SiameseNet, n_out=N_EMBEDDING)
build_orl = partial(SiameseNet, 256, 16)
