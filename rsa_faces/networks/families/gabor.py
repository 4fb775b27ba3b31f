"""V1-like Gabor energy: a fixed bank of quadrature pairs."""

from __future__ import annotations

import math

from rsa_faces.networks._late import Module, nn, torch
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks.families._blocks import Chain

SPECS = (
    NetworkSpec(
        name="gabor-v1",
        task="none",
        architecture="Gabor energy, 8 orientations x 4 frequencies x 2 phases",
        training_set="none",
        licence="BSD-3-Clause",
        origin="rsa-faces",
        citation="Adelson E. H., Bergen J. R. (1985), JOSA A 2:284, doi:10.1364/JOSAA.2.000284",
        preprocessing=Preprocessing(size=128, fit="pad", channels="L", mean=(127.5,), std=(127.5,)),
        builder="GaborV1",
        layers=("simple", "energy", "pool"),
    ),
)

N_ORIENTATIONS = 8
#: cycles per image width, one octave apart
FREQUENCIES = (4, 8, 16, 32)
#: standard deviation of the envelope in wavelengths: one octave of bandwidth at half height
SIGMA = math.sqrt(math.log(2) / 2) * 3 / math.pi


def gabor_bank(size: int) -> torch.Tensor:
    """Return even and odd filters, shape (2, n_frequencies * n_orientations, size, size).

    Each even filter sums to 0 and each filter has unit norm; orientation 0 is vertical stripes.
    """
    # Float64, so that the same filters come out everywhere.
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pairs = []
    for frequency in FREQUENCIES:
        wavelength = size / frequency
        envelope = torch.exp(-(x**2 + y**2) / (2 * (SIGMA * wavelength) ** 2))
        for i in range(N_ORIENTATIONS):
            angle = math.pi * i / N_ORIENTATIONS
            phase = 2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / wavelength
            even, odd = envelope * torch.cos(phase), envelope * torch.sin(phase)
            even = even - envelope * (even.sum() / envelope.sum())
            pairs.append(torch.stack([even / even.norm(), odd / odd.norm()]))
    return torch.stack(pairs, dim=1)


class Simple(Module):
    """Responses of every filter on a grid of positions; outside the image is mid-grey."""

    def __init__(self, size: int, stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        filters = gabor_bank(size).flatten(0, 1).float()
        self.register_buffer("filters", filters)
        spectra = torch.fft.rfft2(filters, s=(2 * size, 2 * size)).conj().resolve_conj()
        self.register_buffer("spectra", spectra, persistent=False)

    spectra: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 1, size, size) to (n, 2 * n_filters, size / stride, size / stride)."""
        # Correlation through the Fourier domain at twice the size: no wrap-around. Lag k is the
        # filter moved by k, so that its centre lies at k + size // 2.
        padded = (2 * self.size, 2 * self.size)
        lags = torch.arange(self.stride // 2, self.size, self.stride, device=x.device)
        lags = (lags - self.size // 2) % (2 * self.size)
        spectrum = torch.fft.rfft2(x, s=padded)
        parts = []
        for some in self.spectra.split(8):  # in parts, to keep memory small
            response = torch.fft.irfft2(spectrum * some, s=padded)
            parts.append(response[..., lags[:, None], lags])
        return torch.cat(parts, dim=1)


class Energy(Module):
    """Root of the summed squares of each even and odd pair: indifferent to phase."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 2 * n_filters, h, w) to (n, n_filters, h, w)."""
        even, odd = x.chunk(2, dim=1)
        return torch.sqrt(even**2 + odd**2)


class GaborV1(Chain):
    """Layers: simple (linear responses, 32x32 positions), energy, pool (8x8 means of energy)."""

    def __init__(self) -> None:
        super().__init__()
        self.simple = Simple(128, stride=4)
        self.energy = Energy()
        self.pool = nn.AvgPool2d(4)
