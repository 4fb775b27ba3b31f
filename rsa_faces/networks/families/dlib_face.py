"""The dlib face network: a ResNet of 29 convolutions that maps a face chip to 128 numbers."""

from __future__ import annotations

from rsa_faces.networks._late import F, Module, nn, torch
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks.families._blocks import Chain

SPECS = (
    NetworkSpec(
        name="dlib-face",
        crop="dlib",
        crop_source="dlib's face chip with its padding of 0.25 (King 2009)",
        task="identity",
        architecture="ResNet, 29 convolutions, 128-d embedding",
        training_set="about 3 million faces of 7,485 identities (VGG, FaceScrub, web)",
        licence="CC0-1.0",
        origin="PyPI face-recognition-models 0.3.0",
        citation="King D. E. (2009), Dlib-ml, JMLR 10:1755; dlib_face_recognition_resnet_model_v1",
        preprocessing=Preprocessing(
            size=150, fit="pad", channels="RGB", mean=(122.782, 117.001, 104.298), std=(256.0,) * 3
        ),
        builder="DlibFace",
        layers=(
            "conv1",
            "pool1",
            *(f"block{s}_{b}" for s, n in enumerate((3, 4, 3, 3, 1), 1) for b in range(1, n + 1)),
            "pool5",
            "fc",
        ),
        weights="dlib-face.safetensors",
        sha256="4cd33b857e4e1491c26c64de610b7b74eeaffd3237a7bd619a65fd4e16802490",
    ),
)


class Affine(Module):
    """Scale and shift each channel: a batch normalisation with its statistics folded in."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` scaled and shifted."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class ConvAffine(Module):
    """Convolution, then :class:`Affine`, then ReLU if asked."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int, *, relu: bool) -> None:
        super().__init__()
        # dlib pads only where the stride is 1.
        padding = size // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(n_in, n_out, size, stride, padding)
        self.affine = Affine(n_out)
        self.relu = nn.ReLU() if relu else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        x = self.affine(self.conv(x))
        return x if self.relu is None else self.relu(x)


class Residual(Module):
    """Two 3x3 convolutions added to a shortcut, then ReLU.

    With stride 2 the shortcut is a 2x2 average, and the smaller of the two summands is filled up
    with zeros at the bottom, the right and in the last channels.
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvAffine(n_in, n_out, 3, stride, relu=True)
        self.conv2 = ConvAffine(n_out, n_out, 3, 1, relu=False)
        self.shortcut = nn.AvgPool2d(2, 2) if stride == 2 else None
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rectified sum."""
        out = self.conv2(self.conv1(x))
        if self.shortcut is None:
            return self.relu(out + x)
        shortcut = self.shortcut(x)
        shape = [max(a, b) for a, b in zip(out.shape[1:], shortcut.shape[1:], strict=True)]
        return self.relu(_fill(out, shape) + _fill(shortcut, shape))


def _fill(x: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """Append zeros so that channels, height and width are `shape`."""
    channels, height, width = (want - have for want, have in zip(shape, x.shape[1:], strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels))


class DlibFace(Chain):
    """dlib's ``dlib_face_recognition_resnet_model_v1``: 150 px in, 128 numbers out.

    Layers: conv1, pool1, block1_1 ... block5_1 (after the sum and ReLU), pool5 (mean over
    positions), fc.
    """

    #: (input channels, output channels, stride) of each residual block, by stage
    STAGES = (
        ((32, 32, 1), (32, 32, 1), (32, 32, 1)),
        ((32, 64, 2), (64, 64, 1), (64, 64, 1), (64, 64, 1)),
        ((64, 128, 2), (128, 128, 1), (128, 128, 1)),
        ((128, 256, 2), (256, 256, 1), (256, 256, 1)),
        ((256, 256, 2),),
    )

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvAffine(3, 32, 7, 2, relu=True)
        self.pool1 = nn.MaxPool2d(3, 2)
        for stage, blocks in enumerate(self.STAGES, start=1):
            for index, (n_in, n_out, stride) in enumerate(blocks, start=1):
                self.add_module(f"block{stage}_{index}", Residual(n_in, n_out, stride))
        self.pool5 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(256, 128, bias=False)
