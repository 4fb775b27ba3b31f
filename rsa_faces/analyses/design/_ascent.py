"""Networks' answers with gradients; the one module of the analyses that needs torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import combinations

import torch
import torch.nn.functional as F

from rsa_faces.networks import Network
from rsa_faces.networks._spec import Preprocessing
from rsa_faces.networks._trace import first_tensor

# Pillow's weights of red, green and blue for grey (ITU-R 601).
_LUMA = (0.299, 0.587, 0.114)


@contextlib.contextmanager
def seen_by(networks, layers) -> Iterator[Callable[[torch.Tensor], list[torch.Tensor]]]:
    """Yield a function from images (n, 3, size, size), 0 to 255, to each network's patterns."""
    with contextlib.ExitStack() as stack:
        found: list[dict] = [{} for _ in networks]
        for network, layer, kept in zip(networks, layers, found, strict=True):
            stack.enter_context(_hooked(network, layer, kept))

        def answers(images: torch.Tensor) -> list[torch.Tensor]:
            for network in networks:
                network.module(prepared(images.to(network.device), network.spec.preprocessing))
            return [kept["patterns"].flatten(1).to(images.device) for kept in found]

        yield answers


@contextlib.contextmanager
def _hooked(network: Network, layer: str, kept: dict) -> Iterator[None]:
    """Keep what a layer returns; the network in eval mode meanwhile."""
    module = dict(network.module.named_modules())[layer]

    def keep(_module, _inputs, output) -> None:
        # A copy: a following in-place operation must not change it.
        kept["patterns"] = first_tensor(output).clone()

    handle = module.register_forward_hook(keep)
    training = network.module.training
    network.module.eval()
    try:
        yield
    finally:
        handle.remove()
        network.module.train(training)


def prepared(images: torch.Tensor, how: Preprocessing) -> torch.Tensor:
    """Return square images as the network's input, near to what Pillow gives, with gradients."""
    if how.channels == "L":
        weights = torch.tensor(_LUMA, device=images.device)
        images = torch.einsum("nchw,c->nhw", images, weights)[:, None]
    size = how.resize_to if how.fit == "crop" and how.resize_to else how.size
    if images.shape[-1] != size:
        # Torch has no Lanczos filter: the bicubic one is next to it.
        mode = (
            "nearest"
            if how.interpolation == "nearest"
            else ("bilinear" if how.interpolation == "bilinear" else "bicubic")
        )
        # Pillow averages over all pixels that fall into a smaller one, torch only if asked to.
        smooth = {} if mode == "nearest" else {"antialias": True, "align_corners": False}
        images = F.interpolate(images, size=(size, size), mode=mode, **smooth)
    if size > how.size:
        edge = (size - how.size) // 2
        images = images[..., edge : edge + how.size, edge : edge + how.size]
    if how.channels == "BGR":
        images = images.flip(1)
    mean, std = (
        torch.tensor(values, device=images.device)[None, :, None, None]
        for values in (how.mean, how.std)
    )
    return (images - mean) / std


def disagreement_of(patterns: list[torch.Tensor]) -> torch.Tensor:
    """Return 1 - r of RDMs of correlation distances, the mean over pairs of them."""
    vectors = []
    for one in patterns:
        one = one - one.mean(dim=1, keepdim=True)
        one = one / one.norm(dim=1, keepdim=True).clamp_min(1e-12)
        row, col = torch.triu_indices(len(one), len(one), 1, device=one.device)
        vector = 1 - (one @ one.T)[row, col]
        vector = vector - vector.mean()
        vectors.append(vector / vector.norm().clamp_min(1e-12))
    pairs = list(combinations(vectors, 2))
    return 1 - sum(a @ b for a, b in pairs) / len(pairs)
