"""What one image shows of a network's modules: order, shapes, tokens, what a unit sees."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Call:
    """A module's last call: its kind, the shape it gave for one image, and how often it ran.

    `shape` is None if it returned no tensor with one row per image.
    """

    kind: str
    shape: tuple[int, ...] | None
    n_calls: int


def trace(module: nn.Module, image: torch.Tensor) -> dict[str, Call]:
    """Return all modules that run, by name, in the order their last outputs are ready."""
    calls: dict[str, Call] = {}

    def look(name: str, child: nn.Module, output: Any) -> None:
        tensor = first_tensor(output)
        shape = None
        if tensor is not None and tensor.ndim and len(tensor) == len(image) and tensor.numel():
            shape = tuple(tensor.shape[1:])
        before = calls.pop(name, None)
        calls[name] = Call(
            type(child).__name__,
            shape,
            1 + (before.n_calls if before else 0),
        )

    with hooked(module, look), torch.inference_mode():
        module(image)
    return calls


def first_tensor(output: Any) -> torch.Tensor | None:
    """Return the output, or the first tensor in a tuple, list or dict of outputs."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        found = (first_tensor(part) for part in output)
        return next((tensor for tensor in found if tensor is not None), None)
    return None


def channel_axis(kind: str, shape: Sequence[int]) -> int | None:
    """Return which axis of a map of three axes holds channels: 0 or 2; None if it is no map.

    Inputs are square, and so are maps: the axis that differs is that of the channels. Where none
    does, modules that work on the last axis have them there.
    """
    if len(shape) != 3:
        return None
    if shape[0] == shape[1] != shape[2]:
        return 2
    return 2 if shape[0] == shape[1] == shape[2] and kind in {"Linear", "LayerNorm"} else 0


def n_extra_tokens(module: nn.Module) -> int:
    """Return how many tokens precede those of the patches (class token, registers)."""
    number: Any = getattr(module, "num_prefix_tokens", None)  # timm
    return int(hasattr(module, "class_token") if number is None else number)  # torchvision


def has_class_token(module: nn.Module) -> bool:
    """Return whether the first token stands for the whole image."""
    return getattr(module, "cls_token", getattr(module, "class_token", None)) is not None


def extra_tokens_in(module: nn.Module, shape: Sequence[int]) -> int | None:
    """Return how many of a layer's tokens are no patches; None if it gives no tokens.

    Patches make a square; layers before the extra tokens join have patches only.
    """
    if len(shape) != 2:
        return None
    n_extra = n_extra_tokens(module)
    # Before the class token is put in front, and after it is dropped, there are patches only.
    for extra in (n_extra, 0):
        n = shape[0] - extra
        if n > 0 and math.isqrt(n) ** 2 == n:
            return extra
    return None


def receptive_fields(module: nn.Module, shape: Sequence[int], layers: Sequence[str]):
    """Return, for the central unit of each layer, the first and last pixel that it depends on.

    Parameters
    ----------
    module : nn.Module
        In eval mode, on the CPU.
    shape : sequence of int
        Of one image: channels, height, width (square).
    layers : sequence of str

    Returns
    -------
    dict of str to tuple of int
        Bounding square: first and last row (or column, whichever is farther out). Layers without
        places (vectors, tokens that have been mixed) see what any of their values depends on.

    Notes
    -----
    A part of the image is not a number; so is every unit that depends on it. The border of the
    part is found by bisection, for all layers in the same passes.
    """
    size = shape[-1]
    fields = {}
    for far in (False, True):
        # The largest border at which the unit is untouched, the smallest at which it is reached.
        untouched = dict.fromkeys(layers, 0)
        reached = dict.fromkeys(layers, size)
        known: dict[int, set[str]] = {}
        while pending := [layer for layer in layers if reached[layer] - untouched[layer] > 1]:
            borders = {(untouched[layer] + reached[layer]) // 2 for layer in pending}
            # Layers that ask for the same border share a pass.
            for border in sorted(borders - set(known)):
                known[border] = _reached(module, shape, layers, border, far)
                for layer in layers:
                    if layer in known[border]:
                        reached[layer] = min(reached[layer], border)
                    else:
                        untouched[layer] = max(untouched[layer], border)
        fields[far] = reached
    return {layer: (fields[False][layer] - 1, size - fields[True][layer]) for layer in layers}


def _reached(module, shape, layers, border: int, far: bool) -> set[str]:
    """Return the layers whose central unit depends on what lies outside a border.

    Outside are the first `border` rows and columns, or the last.
    """
    image = torch.zeros(1, *shape)
    outside = slice(-border, None) if far else slice(border)
    # Not-a-number spreads to all that depends on it, however small the weight.
    image[..., outside, :] = torch.nan
    image[..., :, outside] = torch.nan
    touched: set[str] = set()
    wanted = set(layers)

    def look(name: str, child: nn.Module, output: Any) -> None:
        if name in wanted:
            # Of a module that runs again the last call counts.
            touched.discard(name)
            tensor = first_tensor(output)
            if tensor is not None and torch.isnan(_central(module, child, tensor[0])).any():
                touched.add(name)

    with hooked(module, look), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other settings that the next line touches
        # Fast convolutions mix neighbouring places, the plain ones do not.
        with torch.backends.mkldnn.flags(enabled=False):
            module(image)
    return touched


def _central(module: nn.Module, child: nn.Module, output: torch.Tensor) -> torch.Tensor:
    """Return the values of the central unit: of all channels at the middle place."""
    axis = channel_axis(type(child).__name__, output.shape)
    if axis is not None:
        height, width = (output.shape[i] for i in range(3) if i != axis)
        place: list = [slice(None)] * 3
        for i, middle in zip(
            (i for i in range(3) if i != axis), (height // 2, width // 2), strict=True
        ):
            place[i] = middle
        return output[tuple(place)]
    extra = extra_tokens_in(module, output.shape)
    if extra is not None and len(output) > 1:
        side = math.isqrt(len(output) - extra)
        return output[extra + (side // 2) * side + side // 2]
    return output


@contextlib.contextmanager
def hooked(module: nn.Module, look: Callable[[str, nn.Module, Any], None]) -> Iterator[None]:
    """Call ``look(name, child, output)`` after each module; remove the hooks on any exit."""
    handles = [
        child.register_forward_hook(
            lambda child, inputs, output, name=name: look(name, child, output)
        )
        for name, child in module.named_modules()
        if name
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
