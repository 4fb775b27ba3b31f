"""A similarity as a function of pixels, and its gradients; needs torch and captum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rsa_faces._core.errors import InputError
from rsa_faces.analyses.networks._topography import _Enough, _until
from rsa_faces.networks._trace import first_tensor

if TYPE_CHECKING:
    from rsa_faces.networks import Network

_GRAY = 128
_BATCH = 8  # images in a pass


class Followed:
    """What is followed back to pixels, for each of some images."""

    def __init__(self, network: Network, layer: str, images: Sequence[np.ndarray], of: str) -> None:
        self._network, self._layer, self._of = network, layer, of
        self._inputs = network.preprocess(list(images))
        self._gray = network.preprocess([np.full_like(images[0], _GRAY)])
        with torch.no_grad():
            parts = [
                self._unit(self._inputs[i : i + _BATCH]) for i in range(0, len(images), _BATCH)
            ]
        own = torch.cat(parts)
        # The mean of distances to all others is the distance to the mean of their directions.
        self._toward = own if of == "embedding" else (own.sum(dim=0) - own) / (len(own) - 1)

    def _unit(self, batch: torch.Tensor) -> torch.Tensor:
        """Return a layer's answers as vectors of length 1; for RDMs less their mean."""
        taken: list[torch.Tensor] = []

        def take(child: Any, inputs: Any, output: Any) -> None:
            taken.append(first_tensor(output).flatten(1))
            raise _Enough

        module = self._network.module
        handle = module.get_submodule(self._layer).register_forward_hook(take)
        try:
            _until(module, batch.to(self._network.device) * 1)  # a first module may work in place
        finally:
            handle.remove()
        answers = taken[0]
        if self._of == "rdm":
            answers = answers - answers.mean(dim=1, keepdim=True)
        return answers / answers.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def _output(self, batch: torch.Tensor, toward: torch.Tensor) -> torch.Tensor:
        """Return the cosine with the answer to the whole image, or the distance to the others."""
        similarity = self._unit(batch) @ toward
        if torch.is_grad_enabled() and batch.requires_grad and not similarity.requires_grad:
            raise InputError(
                f"layer {self._layer!r} of {self._network.name} has no gradient with respect to "
                "the image. Use occlusion_map."
            )
        return similarity if self._of == "embedding" else 1 - similarity

    def pixels(self, i: int, method: str, n_steps: int) -> tuple[np.ndarray, float, float]:
        """Return attributions of an image's pixels (size, size), and both outputs."""
        from captum.attr import IntegratedGradients, Saliency

        device = self._network.device
        image, gray = self._inputs[i : i + 1].to(device), self._gray.to(device)
        toward = self._toward[i]
        self._network.module.eval()

        def output(batch: torch.Tensor) -> torch.Tensor:
            return self._output(batch, toward)

        if method == "integrated gradients":
            attributed = IntegratedGradients(output).attribute(
                image, gray, n_steps=n_steps, internal_batch_size=_BATCH
            )
        else:
            slopes = Saliency(output).attribute(image.clone().requires_grad_(), abs=False)
            attributed = slopes * (image - gray)
        with torch.no_grad():
            ends = [float(output(x)) for x in (image, gray)]
        summed = attributed.detach().double().sum(dim=1)[0]
        return summed.cpu().numpy(), ends[0], ends[1]
