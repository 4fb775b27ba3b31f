"""The face-api networks: one backbone of separable convolutions, trained on two face tasks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rsa_faces.networks._late import F, Module, nn, torch
from rsa_faces.networks._spec import MEASURED, NetworkSpec, Preprocessing
from rsa_faces.networks.families._blocks import Chain

_DENSE = tuple(f"block{b}.relu{r}" for b in range(1, 5) for r in range(1, 5))
_ORIGIN = "npm @vladmandic/face-api 1.7.15"
_CITATION = "Mühler V., face-api.js (2018); Mandic V., @vladmandic/face-api 1.7.15"
_INPUT = Preprocessing(
    size=112, fit="pad", channels="RGB", mean=(122.782, 117.001, 104.298), std=(255.0,) * 3
)
_EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")

_EXPRESSION = NetworkSpec(
    name="face-api-expression",
    crop="box",
    crop_margin=-0.1,
    crop_source=MEASURED + ": expression AUC .784, .969, .938, named .82, .89, .81",
    task="expression",
    architecture="four dense blocks of separable convolutions",
    training_set="public data sets and images from the web, seven expressions",
    licence="MIT",
    origin=_ORIGIN,
    citation=_CITATION,
    preprocessing=_INPUT,
    builder="build_expression",
    layers=(*_DENSE, "pool", "fc"),
    weights="face-api-expression.safetensors",
    sha256="e2e8b3357ccfe7b79922914585560cbabd084c5bef5ef719dccdb5adaa888b90",
    outputs=_EXPRESSIONS,
)
SPECS = (
    _EXPRESSION,
    replace(
        _EXPRESSION,
        name="face-api-landmarks",
        crop_source=MEASURED + ": points off by .056, .065, .076 of the eyes' distance",
        task="landmarks",
        training_set="about 35,000 faces with 68 landmarks",
        builder="build_landmarks",
        weights="face-api-landmarks.safetensors",
        sha256="ace70fe03b05865c57e22b13cead4b6c4154855e73d2649c9a638df7ac570698",
        outputs=tuple(f"{axis}{i}" for i in range(68) for axis in "xy"),
    ),
)


class Conv(Module):
    """A 3x3 convolution, full or depthwise separable, with TensorFlow's "same" padding."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, separable: bool) -> None:
        super().__init__()
        self.stride = stride
        if separable:
            self.depthwise = nn.Conv2d(n_in, n_in, 3, stride, groups=n_in, bias=False)
            self.pointwise = nn.Conv2d(n_in, n_out, 1)
        else:
            self.full = nn.Conv2d(n_in, n_out, 3, stride)
        self.separable = separable

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution, before any ReLU."""
        # "same": an even input at stride 2 is padded at the bottom and the right only.
        x = F.pad(x, (0, 1, 0, 1) if self.stride == 2 else (1, 1, 1, 1))
        return self.pointwise(self.depthwise(x)) if self.separable else self.full(x)


class DenseBlock(Module):
    """Four convolutions; each one's input is the rectified sum of all before it.

    relu1 is the first convolution rectified, relu2 the sum of two, relu3 of three, relu4 of four:
    the block's output.
    """

    def __init__(self, n_in: int, n_out: int, *, first: bool) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, n_out, 2, separable=not first)
        self.relu1 = nn.ReLU()
        self.conv2 = Conv(n_out, n_out, 1, separable=True)
        self.relu2 = nn.ReLU()
        self.conv3 = Conv(n_out, n_out, 1, separable=True)
        self.relu3 = nn.ReLU()
        self.conv4 = Conv(n_out, n_out, 1, separable=True)
        self.relu4 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output at half the size."""
        x = total = self.relu1(self.conv1(x))
        for conv, relu in (
            (self.conv2, self.relu2),
            (self.conv3, self.relu3),
            (self.conv4, self.relu4),
        ):
            total = total + conv(x)
            x = relu(total)
        return x


class FaceApi(Chain):
    """Four dense blocks, a 7x7 average, one linear layer: 112 px in, `n_out` numbers out."""

    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.block1 = DenseBlock(3, 32, first=True)
        self.block2 = DenseBlock(32, 64, first=False)
        self.block3 = DenseBlock(64, 128, first=False)
        self.block4 = DenseBlock(128, 256, first=False)
        self.pool = nn.AvgPool2d(7, 2)
        self.fc = nn.Linear(256, n_out)


build_expression = partial(FaceApi, 7)
build_landmarks = partial(FaceApi, 136)
