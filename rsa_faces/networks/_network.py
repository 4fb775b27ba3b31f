"""An opened network: its module, its layers, its input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._files import sha256_bytes
from rsa_faces.networks import _preprocess
from rsa_faces.networks._spec import NetworkSpec

if TYPE_CHECKING:
    import torch

MAX_DEFAULT_LAYERS = 25


class Network:
    """A torch module with the names, the layers and the input that its spec describes.

    Made by :func:`rsa_faces.load_network`.

    Parameters
    ----------
    spec : NetworkSpec
        What the network is.
    module : torch.nn.Module
        The module with its weights; put into eval mode and onto `device`.
    device : torch.device
        Where it computes.

    Attributes
    ----------
    name : str
        The spec's name.
    spec : NetworkSpec
        As given.
    module : torch.nn.Module
        In eval mode, without gradients.
    device : torch.device
        Where `module` lies.
    """

    def __init__(self, spec: NetworkSpec, module: torch.nn.Module, device: torch.device) -> None:
        self.spec = spec
        self.name = spec.name
        self.device = device
        self.module = module.to(device).eval().requires_grad_(False)

    def __repr__(self) -> str:
        return f"Network({self.name!r}, {len(self.layers())} layers, device={str(self.device)!r})"

    def layers(self) -> list[str]:
        """List the default analysis layers, in order of computation.

        Returns
        -------
        list of str
            The stages a paper would show. For networks of timm and torchvision: the module's
            blocks (containers opened, dropout and identity left out), thinned evenly to 25.
        """
        return list(self.spec.layers or self._blocks)

    def all_layers(self) -> list[str]:
        """List every module whose output a hook can take, in the order the outputs are ready.

        Returns
        -------
        list of str
            Dotted module names. Left out are modules that return something else than one tensor,
            that run more than once in a pass (a shared ReLU has no one output), or that only
            repeat their input (identity).
        """
        return list(self._traced)

    def preprocess(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Turn images into the network's input, as ``spec.preprocessing`` says.

        Parameters
        ----------
        images : sequence of ndarray, uint8, shape (height, width, 3)
            RGB images of any size.

        Returns
        -------
        torch.Tensor, float32, shape (n_images, 3 or 1, size, size)
            On the CPU.

        Raises
        ------
        InputError
            If an image is not uint8 RGB.
        """
        import torch

        return torch.from_numpy(_preprocess.apply(self.spec.preprocessing, images))

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of names, shapes and values of all parameters and buffers as loaded."""
        parts = []
        for name, tensor in self.module.state_dict().items():
            array = tensor.cpu().numpy()
            parts += [f"{name} {array.dtype} {array.shape}".encode(), array.tobytes()]
        return sha256_bytes(*parts)

    @cached_property
    def _traced(self) -> tuple[str, ...]:
        """Names in order of computation, from a pass over one black image."""
        import torch

        calls: dict[str, int] = {}
        other: set[str] = set()

        def hook(name: str):
            def record(module, inputs, output) -> None:
                calls[name] = calls.get(name, 0) + 1
                if not isinstance(output, torch.Tensor):
                    other.add(name)

            return record

        handles = [
            module.register_forward_hook(hook(name))
            for name, module in self.module.named_modules()
            if name and not isinstance(module, torch.nn.Identity)
        ]
        size = self.spec.preprocessing.size
        try:
            with torch.inference_mode():
                self.module(self.preprocess([np.zeros((size, size, 3), np.uint8)]).to(self.device))
        finally:
            for handle in handles:
                handle.remove()
        return tuple(name for name, n in calls.items() if n == 1 and name not in other)

    @cached_property
    def _blocks(self) -> tuple[str, ...]:
        """The module's blocks: its children, with containers replaced by theirs."""
        from torch import nn

        containers = (nn.Sequential, nn.ModuleList)
        skipped = (nn.Dropout, nn.Flatten)

        def walk(module: nn.Module, prefix: str):
            for name, child in module.named_children():
                if type(child) in containers:
                    yield from walk(child, f"{prefix}{name}.")
                elif not isinstance(child, skipped):
                    yield prefix + name

        blocks = set(walk(self.module, ""))
        names = [name for name in self._traced if name in blocks]
        if len(names) > MAX_DEFAULT_LAYERS:
            keep = np.linspace(0, len(names) - 1, MAX_DEFAULT_LAYERS).round().astype(int)
            names = [names[i] for i in keep]
        return tuple(names)
