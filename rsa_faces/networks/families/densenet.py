"""The small DenseNet for identity or expression of Schwartz, O'Nell, Saxe & Anzellotti (2023)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rsa_faces.networks._late import nn, torch
from rsa_faces.networks._spec import OWN_FILE, OWN_LICENCE, NetworkSpec, Preprocessing, renamed
from rsa_faces.networks.families._blocks import Chain

N_CELEBA = 1503
N_FER2013 = 7

_HELP = (
    "The authors' weights are not published: train the network as the paper describes "
    "(https://doi.org/10.3390/brainsci13020296), or ask the authors, and save its state_dict alone "
    "as .pth or .safetensors. Numbers of outputs and channels and sizes of convolutions are "
    "read from the file. Assumed, after the authors' training script: one grey channel of 48 px "
    "from 0 to 1, three layers per block, half the channels after a transition, average over the "
    "first 8x8 positions of the last map. "
)
_CELEBA = NetworkSpec(
    name="densenet-celeba",
    crop="box",
    crop_margin=0.6,
    crop_source=(
        "the central 178 px of CelebA's aligned photographs, whose eyes are 38 px apart; the "
        "detector's box is 2.9 times that (London)"
    ),
    task="identity",
    architecture="DenseNet, three blocks of three convolutions, growth 32",
    training_set="CelebA, a subset of 1,503 identities",
    licence=OWN_LICENCE,
    origin=OWN_FILE,
    citation=(
        "Schwartz E., O'Nell K., Saxe R., Anzellotti S. (2023), Brain Sciences 13:296, "
        "doi:10.3390/brainsci13020296; Huang G. et al. (2017), DenseNet, CVPR, arXiv:1608.06993"
    ),
    preprocessing=Preprocessing(
        size=48, fit="crop", resize_to=48, channels="L", mean=(0.0,), std=(255.0,)
    ),
    builder="build_celeba",
    layers=(
        "conv1",
        *(f"dense1.layer{i}" for i in range(1, 4)),
        "trans1",
        *(f"dense2.layer{i}" for i in range(1, 4)),
        "trans2",
        *(f"dense3.layer{i}" for i in range(1, 4)),
        "pool",
        "fc",
    ),
    weights_help=_HELP
    + "CelebA's aligned photographs were cut to their central 178 px square first.",
    any_outputs="fc",
)
SPECS = (
    _CELEBA,
    replace(
        _CELEBA,
        name="densenet-fer2013",
        crop_margin=-0.1,
        crop_source="as mini-xception, which was trained on the same images",
        task="expression",
        training_set="FER2013, grey faces of 48 px in seven expressions",
        builder="build_fer2013",
        outputs=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
        weights_help=_HELP + "`outputs` are FER2013's seven labels in their order.",
    ),
)

_KEYS = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
#: The authors' names to ours.
_PATTERNS = (
    (
        rf"dense(\d)\.(\d+)\.(bn|conv)1\.{_KEYS}",
        lambda m: f"dense{m[1]}.layer{int(m[2]) + 1}.{m[3]}.{m[4]}",
    ),
    (rf"trans(\d)\.(bn|conv)1\.{_KEYS}", r"trans\1.\2.\3"),
    (rf"bn1\.{_KEYS}", r"bn.\1"),
)


class DenseLayer(Chain):
    """Normalisation, convolution, ReLU; the result is appended to the input's channels."""

    def __init__(self, n_in: int, growth: int, kernel: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(n_in)
        self.conv = nn.Conv2d(n_in, growth, kernel, padding=kernel // 2, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, n_in + growth, height, width)."""
        return torch.cat((x, super().forward(x)), 1)


class Transition(Chain):
    """Normalisation, convolution to fewer channels, ReLU, 2x2 maximum."""

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(n_in)
        self.conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)


class DenseNet(Chain):
    """Three dense blocks of three layers, with a transition after the first and the second.

    Parameters
    ----------
    n_out : int
        Classes.
    growth : int, default 32
        Channels that a layer adds; the first convolution has twice as many.
    first, kernel : int, default 7
        Sizes of the first and of all other convolutions.

    Notes
    -----
    The four layers that the paper reads out are ``conv1``, ``trans1``, ``trans2`` and
    ``dense3.layer3``. As there, ``pool`` averages the first 8x8 of the last map's 12x12
    positions: the remaining four rows and columns do not reach the classifier. Dropout is left
    out: it does nothing when a network is read out, and has no weights.
    """

    def __init__(self, n_out: int, growth: int = 32, first: int = 7, kernel: int = 7) -> None:
        super().__init__()
        n = 2 * growth
        self.conv1 = nn.Conv2d(1, n, first, padding=first // 2)
        for block in range(1, 4):
            layers = nn.Sequential()
            for i in range(1, 4):
                layers.add_module(f"layer{i}", DenseLayer(n, growth, kernel))
                n += growth
            self.add_module(f"dense{block}", layers)
            if block < 3:
                self.add_module(f"trans{block}", Transition(n, n // 2, kernel))
                n //= 2
        self.bn = nn.BatchNorm2d(n)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(8)
        self.fc = nn.Linear(n, n_out)


build_celeba = partial(DenseNet, n_out=N_CELEBA)
build_fer2013 = partial(DenseNet, n_out=N_FER2013)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` under this module's names."""
    return renamed(state, _PATTERNS)


def sizes(state: dict[str, torch.Tensor]) -> dict[str, int]:
    """Return growth and sizes of the convolutions of a file's network, under our names."""
    first, other = (state.get(f"{name}.weight") for name in ("conv1", "dense1.layer1.conv"))
    if first is None or other is None or first.ndim != 4 or other.ndim != 4:
        return {}
    return {"growth": len(other), "first": first.shape[-1], "kernel": other.shape[-1]}
