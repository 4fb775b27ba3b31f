"""How a layer's output becomes one row of channels per image, whole or reduced."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.extraction._layers import split_call

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_array

    from rsa_faces.networks import Network

Reduce = str | int | None
NO_TOKEN = "has no class token"


@dataclass(frozen=True)
class Layout:
    """How one image's output of a layer lies in memory: the order its channels are kept in.

    Every batch is read in the order found with the first image, whatever its own; so the
    channels of all images agree, and where memory agrees too, nothing is transposed.

    `kind` says what is kept of an output: all (""), the mean ("mean"; `numbers` are the first
    token that counts, then the axes), a token ("token"; its number) or a random projection
    ("projected"; how many numbers, and the key of the projection).
    """

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    kind: str = ""
    numbers: tuple[int, ...] = ()

    @property
    def n_channels(self) -> int:
        """Number of values per image that are kept."""
        return self.numbers[0] if self.kind == "projected" else int(np.prod(self.shape))

    @classmethod
    def of(cls, output: torch.Tensor) -> Layout:
        """Return the layout of a layer's output."""
        strides = output.stride()
        # In the order in which they lie in memory (channels last, say): flattening is then no copy,
        # and RDMs do not depend on the order of channels.
        axes = tuple(sorted(range(1, output.ndim), key=lambda axis: -strides[axis]))
        return cls(axes, tuple(output.shape[axis] for axis in axes))

    def rows(self, output: torch.Tensor, *, copy: bool = True) -> np.ndarray:
        """Return float32 values on the host, shape (n_images, n_channels); always a copy if asked.

        Without, what is whole and lies in this order already is only looked at.
        """
        import torch

        if self.kind == "mean":
            start, *axes = self.numbers
            return output[:, start:].float().mean(dim=axes).cpu().contiguous().numpy()
        if self.kind == "token":
            return output[:, self.numbers[0]].to("cpu", torch.float32, copy=True).numpy()
        flat = output.permute(0, *self.axes).reshape(len(output), -1)
        values = flat.to("cpu", torch.float32, copy=copy and not self.kind).contiguous().numpy()
        if self.kind == "projected":
            n_kept, key = self.numbers
            return np.ascontiguousarray((projection(values.shape[1], n_kept, key) @ values.T).T)
        return values


def reduced(
    network: Network, layer: str, output: torch.Tensor, reduce: Reduce, seed: int
) -> tuple[str, Layout] | str:
    """Return a layer's label and layout; vectors, and what is short already, stay whole.

    Text says why there is none: a class token is asked for and the layer has none.
    """
    from rsa_faces.networks._trace import channel_axis, extra_tokens_in, has_class_token

    whole = Layout.of(output)
    shape = tuple(output.shape[1:])
    if reduce is None or len(shape) < 2 and not isinstance(reduce, int):
        return layer, whole
    if isinstance(reduce, int):
        if whole.n_channels <= reduce:
            return layer, whole
        # Of seed and layer alone: the same projection whatever other layers are asked for, in any
        # run.
        key = zlib.crc32(f"{seed} {layer}".encode())
        label = f"{layer}:projected {reduce}"
        return label, Layout(whole.axes, whole.shape, "projected", (reduce, key))
    extra = extra_tokens_in(network.module, shape)
    if reduce == "class token":
        if not extra or not has_class_token(network.module):
            return f"{NO_TOKEN} (one image gives {shape})"
        return f"{layer}:class token", Layout((1,), shape[1:], "token", (0,))
    module = network.module.get_submodule(split_call(layer)[0])
    axis = channel_axis(type(module).__name__, shape)
    if axis is None:  # tokens: those of patches only
        axes, start, n = (1,), extra or 0, shape[-1]
        if len(shape) != 2:
            raise InputError(
                f"expected a map or tokens to average over in layer {layer!r} of {network.name}, "
                f"got {shape} for one image. Leave the layer out, or use a number for `reduce`."
            )
    else:
        axes, start, n = tuple(i + 1 for i in range(3) if i != axis), 0, shape[axis]
    return f"{layer}:mean", Layout((1,), (n,), "mean", (start, *axes))


@lru_cache(maxsize=64)
def projection(n_channels: int, n_kept: int, key: int) -> csr_array:
    """Return a random projection, shape (n_kept, n_channels): each channel goes to one place.

    With a sign of its own [1]: the squared distance of two patterns is kept on average, with a
    standard deviation of at most √(2 / n_kept) of it.
    """
    from scipy.sparse import csr_array

    rng = np.random.default_rng(key)
    # A sparse sign projection (count sketch): each channel goes to one sum, with a random sign, so
    # that inner products are right on average at one addition per value; a dense matrix for the
    # first layers of a network would not fit in memory.
    to = rng.integers(0, n_kept, n_channels)
    sign = rng.choice(np.array([-1, 1], np.float32), n_channels)
    return csr_array((sign, (to, np.arange(n_channels))), shape=(n_kept, n_channels))
