"""Forward passes with hooks that copy; the one module of the extraction that needs torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rsa_faces._core.errors import InputError
from rsa_faces.extraction._checks import check_calls
from rsa_faces.extraction._layers import split_call
from rsa_faces.extraction._layout import Layout, Reduce, reduced
from rsa_faces.networks._trace import first_tensor

if TYPE_CHECKING:
    from rsa_faces.networks import Network

_N_SAMPLED = 1000  # values of the first image that are kept of each layer
Forward = Callable[[torch.Tensor], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Probe:
    """What one image showed: layers in order of computation, depths, layouts, oddities.

    Layers go by their labels, which say how they are reduced: "layer4.2:mean". `calls` has the
    number of the call that a layer stands for, from 1, and how often its module ran. `largest` is
    the largest number of values that any module returns; `samples` are some of each layer's.
    """

    layouts: dict[str, Layout]
    depth: dict[str, float]
    calls: dict[str, tuple[int, int]]
    problems: dict[str, str]
    largest: int
    samples: dict[str, np.ndarray]

    def change(self, layer: str, first: np.ndarray) -> float:
        """Return how far a layer's answers to the same image are from those it gave alone.

        As a share of the largest; `first` has shape (n_channels,). NaN counts as no change.
        """
        alone = self.samples[layer]
        with np.errstate(invalid="ignore"):
            # A layer that answers next to nothing (all rectified) is not told apart by its
            # rounding.
            change = np.abs(_sampled(first) - alone).max() / max(np.abs(alone).max(), 1e-6)
        return float(np.nan_to_num(change, nan=0.0))


def probe(
    network: Network,
    image: torch.Tensor,
    layers: Sequence[str],
    reduce: Reduce = None,
    seed: int = 0,
    precision: str = "float32",
) -> Probe:
    """Run one image through the network and see what each layer gives."""
    n_calls: dict[str, int] = {}  # modules in the order of their last calls
    events: list[tuple[str, int]] = []
    seen: dict[str, tuple[str, Layout]] = {}
    odd: dict[str, str] = {}
    samples: dict[str, np.ndarray] = {}
    wanted: dict[str, list[str]] = {}
    for layer in layers:
        wanted.setdefault(split_call(layer)[0], []).append(layer)
    largest = image.numel()

    def look(module: str, output: Any) -> None:
        nonlocal largest
        number = n_calls[module] = n_calls.pop(module, 0) + 1
        events.append((module, number))
        tensor = first_tensor(output)
        # The largest output bounds the batch, whether or not it is a layer that is kept.
        largest = max(largest, 0 if tensor is None else tensor.numel())
        for layer in wanted.get(module, ()):
            if split_call(layer)[1] not in {None, number}:
                continue
            # The last call counts where none is named.
            odd.pop(layer, None)
            if tensor is None:
                odd[layer] = f"returns {type(output).__name__} without a tensor in it"
            elif tensor.is_complex():
                odd[layer] = "gives complex numbers, of which there is no RDM"
            elif tensor.ndim < 1 or len(tensor) != 1 or tensor.numel() == 0:
                shape = tuple(tensor.shape)
                odd[layer] = f"returns shape {shape} for one image, not one row per image"
            else:
                found = reduced(network, layer, tensor, reduce, seed)
                if isinstance(found, str):
                    odd[layer] = found
                else:
                    seen[layer] = label, layout = found
                    samples[label] = _sampled(layout.rows(tensor)[0])

    names = [name for name, _ in network.module.named_modules() if name]
    with _hooked(network, names, look), _computing(network, precision):
        network.module(_on_device(image, network))
    problems = {}
    for layer in layers:
        module, number = split_call(layer)
        if module not in n_calls:
            problems[layer] = "did not run in the forward pass"
        elif layer in odd:
            problems[layer] = odd[layer]
        elif layer not in seen:
            problems[layer] = f"ran {n_calls[module]} times in one pass, not {number}"
    # The share of modules that are done; a call that is not its module's last lies in between.
    depth: dict[tuple[str, int], float] = {}
    n_done = 0
    for i, (module, number) in enumerate(events):
        n_done += number == n_calls[module]
        between = 0 if number == n_calls[module] else (i + 1) / (len(events) + 1)
        depth[module, number] = (n_done + between) / len(n_calls)
    usable = {}
    for layer in layers:
        if layer not in problems:
            module, number = split_call(layer)
            usable[layer] = module, number or n_calls[module]
    usable = dict(sorted(usable.items(), key=lambda entry: depth[entry[1]]))
    return Probe(
        layouts=dict(seen[layer] for layer in usable),
        depth={seen[layer][0]: depth[event] for layer, event in usable.items()},
        calls={
            seen[layer][0]: (number, n_calls[module]) for layer, (module, number) in usable.items()
        },
        problems=problems,
        largest=largest,
        samples=samples,
    )


def _sampled(row: np.ndarray) -> np.ndarray:
    """Return some values of a row, evenly spaced."""
    return row[:: -(-len(row) // _N_SAMPLED)].copy()


@contextlib.contextmanager
def recording(
    network: Network,
    found: Probe,
    layers: Sequence[str],
    precision: str = "float32",
    act: Callable[[str, np.ndarray], None] | None = None,
) -> Iterator[Forward]:
    """Yield a function from a batch to copies of the layers' outputs; then remove the hooks.

    With `act` nothing is kept: ``act(layer, patterns)`` is called as soon as a layer returns.
    Patterns have shape (n_images, n_channels), float32 on the host, in the order of the layout;
    where they are there already they are not copied: they are good during the call only, before a
    following in-place operation.
    """
    taken: dict[str, np.ndarray] = {}
    n_images = 0
    calls = _Calls(network, found, layers)

    def take(layer: str, output: Any) -> None:
        if calls.is_due(layer):
            tensor = _checked(network, found.layouts, layer, output, n_images)
            rows = found.layouts[layer].rows(tensor, copy=act is None)
            (act or taken.__setitem__)(layer, rows)

    with _hooked(network, layers, take):

        def forward(batch: torch.Tensor) -> dict[str, np.ndarray]:
            nonlocal n_images
            taken.clear()
            n_images = len(batch)
            with calls.of_one_pass(), _computing(network, precision):
                network.module(_on_device(batch, network))
            return dict(taken)

        yield forward


class _Calls:
    """Counts how often each layer's module runs in one pass, and knows which call to take."""

    def __init__(self, network: Network, found: Probe, layers: Sequence[str]) -> None:
        self._network, self._found, self._layers = network, found, layers
        self._passed: dict[str, int] = {}

    def is_due(self, layer: str) -> bool:
        """Count a call; whether it is the one that the layer stands for."""
        self._passed[layer] = self._passed.get(layer, 0) + 1
        return self._passed[layer] == self._found.calls[layer][0]

    @contextlib.contextmanager
    def of_one_pass(self) -> Iterator[None]:
        """Make sure that modules run as often as with the first image.

        So that no layer keeps what it held before.
        """
        self._passed.clear()
        yield
        for layer in self._layers:
            ran, expected = self._passed.get(layer, 0), self._found.calls[layer][1]
            check_calls(layer, ran, expected, self._network.name)


def _checked(
    network: Network, layouts: Mapping[str, Layout], layer: str, output: Any, n_images: int
) -> torch.Tensor:
    """Return the tensor of a layer's output, one row of channels per image."""
    layout, tensor = layouts[layer], first_tensor(output)
    if tensor is not None and len(tensor) == n_images:
        # What is averaged may have any number of places.
        as_before = tensor[0].numel() == np.prod(layout.shape)
        if as_before or layout.kind not in {"", "projected"}:
            return tensor
    came = type(output).__name__ if tensor is None else tuple(tensor.shape)
    raise InputError(
        f"expected layer {layer!r} of {network.name} to return one row of "
        f"{layout.n_channels} channels for each of {n_images} images, as for the first "
        f"image, got {came}. Choose another layer, or batch_size=1."
    )


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
    """Call ``act(label, output)`` after each layer; eval mode meanwhile; undone on any exit.

    The weights of plain convolutions are channels last meanwhile, as their input is: torch turns
    them for each batch otherwise, which costs as much as an image.
    """
    modules = dict(network.module.named_modules())
    modes = {module: module.training for module in network.module.modules()}
    weights: dict[torch.nn.Conv2d, Any] = {}
    handles = []
    try:
        # Dropout and batch statistics would make an image's row depend on its batch.
        network.module.eval()
        for layer in modes:
            if type(layer) is torch.nn.Conv2d:
                weights[layer] = layer.weight
                turned = layer.weight.detach().contiguous(memory_format=torch.channels_last)
                layer.weight = torch.nn.Parameter(turned, requires_grad=False)
        for name in layers:
            handles.append(
                modules[split_call(name)[0]].register_forward_hook(
                    lambda module, inputs, output, name=name: act(name, output)
                )
            )
        yield
    finally:
        for handle in handles:
            handle.remove()
        for convolution, before in weights.items():
            convolution.weight = before
        for module, training in modes.items():
            module.training = training


def _on_device(batch: torch.Tensor, network: Network) -> torch.Tensor:
    """Return a batch where the network is, channels last."""
    batch = batch.to(network.device)
    return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch


@contextlib.contextmanager
def _computing(network: Network, precision: str) -> Iterator[None]:
    """Run without gradients, in this precision of products."""
    # Deterministic: other algorithms add in an order that changes from run to run.
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
            yield
    finally:
        torch.set_float32_matmul_precision(before)
