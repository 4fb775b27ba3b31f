"""Forward passes with hooks that copy; the one module of the extraction that needs torch."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rsa_faces._errors import InputError
from rsa_faces.extraction._layout import Layout, Reduce, reduced
from rsa_faces.networks._trace import first_tensor

if TYPE_CHECKING:
    from rsa_faces.networks import Network

# Parameters of glibc's mallopt.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
Forward = Callable[[torch.Tensor], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Probe:
    """What one image showed: layers in order of computation, depths, layouts, oddities.

    Layers go by their labels, which say how they are reduced: "layer4.2:mean". `largest` is the
    largest number of values that any module returns.
    """

    layouts: dict[str, Layout]
    depth: dict[str, float]
    repeated: dict[str, int]
    problems: dict[str, str]
    largest: int


def probe(
    network: Network,
    image: torch.Tensor,
    layers: Sequence[str],
    reduce: Reduce = None,
    seed: int = 0,
    precision: str = "float32",
) -> Probe:
    """Run one image through the network and see what each layer gives."""
    calls: dict[str, int] = {}
    layouts: dict[str, tuple[str, Layout]] = {}
    problems = {layer: "did not run in the forward pass" for layer in layers}
    wanted = set(layers)
    largest = image.numel()

    def look(layer: str, output: Any) -> None:
        nonlocal largest
        calls[layer] = calls.pop(layer, 0) + 1  # the last call counts: to the end
        tensor = first_tensor(output)
        largest = max(largest, 0 if tensor is None else tensor.numel())
        if layer in wanted:
            layouts.pop(layer, None)
            problems.pop(layer, None)
            if tensor is None:
                problems[layer] = f"returns {type(output).__name__} without a tensor in it"
            elif tensor.ndim < 1 or len(tensor) != 1 or tensor.numel() == 0:
                problems[layer] = (
                    f"returns shape {tuple(tensor.shape)} for one image, not one row per image"
                )
            else:
                layouts[layer] = reduced(network, layer, tensor, reduce, seed)

    names = [name for name, _ in network.module.named_modules() if name]
    with _hooked(network, names, look):
        _run(network, image, precision)
    depth = {layer: (i + 1) / len(calls) for i, layer in enumerate(calls)}
    return Probe(
        layouts=dict(layouts[layer] for layer in calls if layer in layouts),
        depth={layouts[layer][0]: depth[layer] for layer in calls if layer in layouts},
        repeated={layer: calls[layer] for layer in layouts if calls[layer] > 1},
        problems=problems,
        largest=largest,
    )


@contextlib.contextmanager
def recording(
    network: Network, layouts: Mapping[str, Layout], precision: str = "float32"
) -> Iterator[Forward]:
    """Yield a function from a batch to copies of the layers' outputs; then remove the hooks."""
    taken: dict[str, np.ndarray] = {}
    expected = 0

    def copy(layer: str, output: Any) -> None:
        tensor = _checked(network, layouts, layer, output, expected)
        taken[layer] = layouts[layer].rows(tensor)

    def forward(batch: torch.Tensor) -> dict[str, np.ndarray]:
        nonlocal expected
        taken.clear()
        expected = len(batch)
        _run(network, batch, precision)
        return dict(taken)

    with _hooked(network, list(layouts), copy):
        yield forward


def run_through(
    network: Network,
    batch: torch.Tensor,
    layouts: Mapping[str, Layout],
    act: Callable[[str, np.ndarray], None],
    *,
    reuse: bool,
    precision: str,
) -> None:
    """Run a batch and call ``act(layer, patterns)`` as soon as each layer returns.

    Patterns have shape (n_images, n_channels), float32 on the host, in the order the outputs have
    in memory. Where they are there already they are not copied: they are good during the call
    only, before a following in-place operation. With `reuse`, up to twice the memory is taken and
    the time to get it is spared.
    """

    def pass_on(layer: str, output: Any) -> None:
        tensor = _checked(network, layouts, layer, output, len(batch))
        if layouts[layer].kind:
            act(layer, layouts[layer].rows(tensor))
            return
        axes = Layout.of(tensor).axes
        flat = tensor.permute(0, *axes).reshape(len(tensor), -1)
        act(layer, flat.to("cpu", torch.float32).contiguous().numpy())

    with _hooked(network, list(layouts), pass_on), _memory_reused(reuse):
        _run(network, batch, precision)


@contextlib.contextmanager
def _memory_reused(reuse: bool) -> Iterator[None]:
    """Keep freed memory for the next layer: getting it anew costs as much as the layer.

    By default glibc hands large blocks back to the system at once. Nothing happens elsewhere.
    """
    if not reuse:
        yield
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    try:
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        yield
    finally:
        # Where glibc's own adjustment of both ends.
        mallopt(_MMAP_THRESHOLD, 2**25)
        mallopt(_TRIM_THRESHOLD, 2**26)
        trim(0)


def _checked(
    network: Network, layouts: Mapping[str, Layout], layer: str, output: Any, n_images: int
) -> torch.Tensor:
    """Return the tensor of a layer's output, one row of channels per image."""
    layout, tensor = layouts[layer], first_tensor(output)
    fits = tensor is not None and len(tensor) == n_images
    # What is averaged may have any number of places.
    if not fits or layout.kind in {"", "projected"} and tensor[0].numel() != np.prod(layout.shape):
        came = type(output).__name__ if tensor is None else tuple(tensor.shape)
        raise InputError(
            f"expected layer {layer!r} of {network.name} to return one row of "
            f"{layout.n_channels} channels for each of {n_images} images, as for the first "
            f"image, got {came}. Choose another layer, or batch_size=1."
        )
    return tensor


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that the device or the host has no memory left."""
    signs = ("out of memory", "can't allocate memory", "not enough memory")
    return any(sign in str(error).lower() for sign in signs)


def release_memory() -> None:
    """Give cached memory back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _hooked(
    network: Network, layers: Sequence[str], act: Callable[[str, Any], None]
) -> Iterator[None]:
    """Call ``act(label, output)`` after each layer; eval mode meanwhile; undone on any exit."""
    modules = dict(network.module.named_modules())
    modes = {module: module.training for module in network.module.modules()}
    handles = []
    try:
        network.module.eval()
        for layer in layers:
            handles.append(
                modules[layer.partition(":")[0]].register_forward_hook(
                    lambda module, inputs, output, layer=layer: act(layer, output)
                )
            )
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training


def _run(network: Network, batch: torch.Tensor, precision: str) -> None:
    """Run a batch, channels last, in this precision of products."""
    batch = batch.to(network.device)
    if batch.ndim == 4:
        batch = batch.contiguous(memory_format=torch.channels_last)
    convolutions = torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, deterministic=True, allow_tf32=precision == "tf32"
    )
    half = contextlib.nullcontext()
    if precision == "bfloat16":
        half = torch.autocast(network.device.type, dtype=torch.bfloat16)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        with torch.inference_mode(), convolutions, half:
            network.module(batch)
    finally:
        torch.set_float32_matmul_precision(before)
