"""An opened network: its module, its layers, its input."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes
from rsa_faces.networks import _preprocess
from rsa_faces.networks._spec import NetworkSpec

if TYPE_CHECKING:
    import torch

    from rsa_faces.networks._trace import Call

# As many points as a curve over layers can show; who wants others names them.
MAX_DEFAULT_LAYERS = 25


class Network:
    """A torch module with the names, the layers and the input that its spec describes.

    Made by :func:`rsa_faces.load_network`.

    Parameters
    ----------
    spec : NetworkSpec
        What the network is.
    module : torch.nn.Module
        The module with its weights; put into eval mode, single precision and onto `device`. Of
        a compiled or parallel module the one inside it is taken.
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

    See Also
    --------
    rsa_faces.load_network : Open a network by name.
    rsa_faces.extract : Record what the layers of a network answer to each stimulus.
    rsa_faces.networks.NetworkSpec : A network's name, origin, licence, input and layers.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> network = rf.load_network("sface", device="cpu")
    >>> network.spec.task, len(network.layers())
    ('identity', 15)
    """

    def __init__(self, spec: NetworkSpec, module: torch.nn.Module, device: torch.device) -> None:
        self.spec = spec
        self.name = spec.name
        self.device = device
        self.module = _plain(module, spec.name).to(device).float().eval().requires_grad_(False)

    def __repr__(self) -> str:
        # Layers that nobody asked for yet would take a pass, which may fail.
        layers = self.spec.layers or self.__dict__.get("_blocks")
        known = f"{len(layers)} layers, " if layers else ""
        return f"Network({self.name!r}, {known}device={str(self.device)!r})"

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
            Dotted module names. Left out are modules that return no tensor with one row per
            image, that run more than once in a pass (a shared ReLU has no one output; its first
            is extracted as "relu#1"), or that only repeat their input (identity).
        """
        return list(self._traced)

    def layer_table(
        self, layers: Sequence[str] | None = None, *, receptive_fields: bool = False
    ) -> pd.DataFrame:
        """Describe layers: what they are, how large, how deep, what their units see.

        Parameters
        ----------
        layers : sequence of str, optional
            Module names; by default :meth:`layers`.
        receptive_fields : bool, default False
            Find what the central unit of each layer depends on: some tens of passes over one
            image, up to a minute for a large network on a processor.

        Returns
        -------
        DataFrame
            One row per layer, in order of computation: ``layer``, ``kind`` (class of the module),
            ``shape`` (of one image's output), ``n_channels`` (number of values), ``depth`` (share
            of the modules that have run, above 0 up to 1), ``n_calls`` (in one pass; the last is
            taken), ``tokens`` ("196", "1 + 196": extra tokens and those of patches; empty where
            there are none), ``class_token`` (True if the first token stands for the whole image)
            and, if asked for, ``receptive_field`` (side in pixels of the square of the input that
            the central unit depends on, at most the whole) and ``share_of_input`` (that side over
            the input's).

        Raises
        ------
        InputError
            If a layer is unknown (the nearest is named).

        Notes
        -----
        A unit depends on a pixel if its value becomes NaN when the pixel does: exact for any
        module. Central is the unit in the middle of a map, or the token of the middle patch;
        vectors count whole. Squeeze-and-excitation, attention and normalisation over places make
        every unit depend on the whole input.

        Examples
        --------
        >>> from rsa_faces.networks import load_network
        >>> table = load_network("mini-xception", device="cpu").layer_table(receptive_fields=True)
        >>> table[["layer", "shape", "n_channels", "receptive_field"]].head(3)
               layer         shape  n_channels  receptive_field
        0      conv1   (8, 62, 62)       30752                3
        1      conv2   (8, 60, 60)       28800                5
        2  block1.conv1  (16, 60, 60)       57600                7
        """
        from rsa_faces.networks import _trace

        calls = self._calls
        order = list(calls)
        names = self.layers() if layers is None else list(layers)
        for name in names:
            check_choice(name, order, what=f"layer of {self.name}:")
        names.sort(key=order.index)
        rows = []
        for name in names:
            call = calls[name]
            shape = call.shape or ()
            extra = _trace.extra_tokens_in(self.module, shape)
            n_tokens = "" if extra is None else str(shape[0] - extra)
            rows.append(
                {
                    "layer": name,
                    "kind": call.kind,
                    "shape": shape,
                    "n_channels": int(np.prod(shape)) if call.shape else 0,
                    "depth": (order.index(name) + 1) / len(order),
                    "n_calls": call.n_calls,
                    "tokens": f"{extra} + {n_tokens}" if extra else n_tokens,
                    "class_token": bool(extra) and _trace.has_class_token(self.module),
                }
            )
        table = pd.DataFrame(rows)
        if receptive_fields:
            size = self.spec.preprocessing.size
            colours = len(self.spec.preprocessing.mean)
            module = self.module if self.device.type == "cpu" else copy.deepcopy(self.module).cpu()
            fields = _trace.receptive_fields(module, (colours, size, size), names)
            table["receptive_field"] = [last - first + 1 for first, last in map(fields.get, names)]
            table["share_of_input"] = table["receptive_field"] / size
        return table

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
        """Names in order of computation."""
        return tuple(
            name
            for name, call in self._calls.items()
            if call.n_calls == 1 and call.shape is not None and call.kind != "Identity"
        )

    @cached_property
    def _calls(self) -> dict[str, Call]:
        """All modules that run, from a pass over one black image."""
        from rsa_faces.networks._trace import trace

        size = self.spec.preprocessing.size
        image = self.preprocess([np.zeros((size, size, 3), np.uint8)])
        return trace(self.module, image.to(self.device))

    @cached_property
    def _blocks(self) -> tuple[str, ...]:
        """The module's blocks: its children, with containers replaced by theirs."""
        from torch import nn

        containers = (nn.Sequential, nn.ModuleList)
        skipped = (nn.Dropout, nn.Flatten)

        def walk(module: nn.Module, prefix: str):
            for name, child in module.named_children():
                # Not their subclasses: these are blocks with something of their own.
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


def _plain(module: torch.nn.Module, name: str) -> torch.nn.Module:
    """Return a module whose layers can be read out."""
    import torch

    while True:  # compiled, parallel
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(module, torch.nn.DataParallel):
            inner = module.module
        if inner is None:
            break
        module = inner
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError(
            f"expected a module whose layers can be read out for {name!r}, got a scripted one "
            "(torch.jit). Give the module that it was made from."
        )
    return module
