"""Receptive fields of all places of a layer, exact and by gradient; needs torch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rsa_faces._core.errors import InputError
from rsa_faces.networks._trace import channel_axis, extra_tokens_in, first_tensor, hooked

if TYPE_CHECKING:
    from rsa_faces.networks import Network

_BATCH = {"cpu": 32, "cuda": 256}  # images per pass, at most
# With 16 images and more, torch may take convolutions that mix neighbouring places (NNPACK).
_EXACT_BATCH = 8
_COPIES = 3  # of every module's output that a backward pass may hold


@dataclass(frozen=True)
class Places:
    """Where the values of one image's output lie.

    `grid` is (rows, columns) of the map, None for vectors. `place` and `channel` have the shape of
    the output: the number of each value's place (in reading order) and of its channel; −1 for
    tokens that are no patches. A vector's values are channels without a place. `axis` holds the
    channels of a map.
    """

    grid: tuple[int, int] | None
    place: np.ndarray
    channel: np.ndarray
    axis: int | None = None

    @property
    def n_places(self) -> int:
        """Number of places; 0 for a vector."""
        return 0 if self.grid is None else self.grid[0] * self.grid[1]


def places_of(network: Network, layer: str) -> Places:
    """Return where a layer's values lie."""
    call = network._calls[layer]
    shape = call.shape
    axis = channel_axis(call.kind, shape)
    if axis is not None and min(shape[i] for i in range(3) if i != axis) > 1:
        n_rows, n_columns = (shape[i] for i in range(3) if i != axis)
        grid = np.arange(n_rows * n_columns).reshape(n_rows, n_columns)
        channels = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(3)])
        place = np.expand_dims(grid, axis)
        return Places(
            (n_rows, n_columns),
            np.broadcast_to(place, shape),
            np.broadcast_to(channels, shape),
            axis,
        )
    extra = extra_tokens_in(network.module, shape)
    if extra is not None and shape[0] - extra > 1:
        place = np.maximum(np.arange(shape[0]) - extra, -1)[:, None]
        channels = np.where(place < 0, -1, np.arange(shape[1]))
        side = int(np.sqrt(shape[0] - extra))
        return Places((side, side), np.broadcast_to(place, shape), channels)
    # A map of one place is a vector.
    return Places(None, np.full(shape, -1), np.arange(int(np.prod(shape))).reshape(shape))


def dependence(
    network: Network, places: dict[str, Places], tell: Callable[[int], None]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, per layer, which rows of the map depend on which rows of the input; also columns.

    Boolean, (n_rows, size) and (n_columns, size). A row of the input is not a number; so is every
    unit that depends on it: exact for any module.
    """
    size = network.spec.preprocessing.size
    colours = 1 if network.spec.preprocessing.channels == "L" else 3
    # On the CPU, where convolutions that mix places can be switched off, below.
    module = network.module if network.device.type == "cpu" else copy.deepcopy(network.module).cpu()
    found = {
        layer: tuple(np.zeros((n, size), bool) for n in where.grid)
        for layer, where in places.items()
    }
    last = next(reversed(places))
    per_image = sum(int(np.prod(c.shape)) for c in network._calls.values() if c.shape)
    step = int(np.clip(64_000_000 // (4 * per_image), 1, _EXACT_BATCH))
    for axis in (0, 1):
        for start in range(0, size, step):
            lines = range(start, min(start + step, size))
            batch = torch.zeros(len(lines), colours, size, size)
            for i, line in enumerate(lines):
                # Not-a-number spreads to all that depends on it, however small the weight.
                batch[i].select(axis + 1, line).fill_(torch.nan)

            def look(name: str, child: Any, output: Any, lines=lines, axis=axis) -> None:
                if name in places:
                    where, touched = places[name], torch.isnan(first_tensor(output))
                    if where.axis is None:  # tokens: those of patches are the last
                        lit = touched[:, -where.n_places :].any(dim=2)
                    else:
                        lit = touched.any(dim=where.axis + 1)
                    lit = lit.reshape(len(lines), *where.grid).any(dim=2 - axis).numpy()
                    found[name][axis][:, lines.start : lines.stop] = lit.T
                if name == last:
                    raise _Enough

            with hooked(module, look), torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of other settings that the next line touches
                # Fast convolutions mix neighbouring places, the plain ones do not.
                plain = torch.backends.mkldnn.flags(enabled=False)
                with plain, torch.backends.nnpack.flags(enabled=False):
                    _until(module, batch)
            tell(axis * size + lines.stop)
    return found


def gradients(
    network: Network,
    layer: str,
    unit_of: np.ndarray,
    units: np.ndarray,
    images: torch.Tensor,
    *,
    budget: int,
    seed: int,
    tell: Callable[[int], None],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield units and their mean squared gradients, (n_units, size, size), a part at a time.

    `unit_of` has the shape of the output: the unit that each value belongs to. Values of a unit
    enter with random signs, so that on average squares add up and products do not.
    """
    module, device = network.module, network.device
    module.eval()
    per_image = sum(int(np.prod(c.shape)) for c in network._calls.values() if c.shape)
    per_image += unit_of.size + 2 * images[0].numel()
    most = _BATCH.get(device.type, 32)
    step = int(np.clip(budget // (4 * _COPIES * per_image), 1, most))
    owner = torch.from_numpy(unit_of.copy()).to(device)
    taken: list[torch.Tensor] = []

    def take(child: Any, inputs: Any, output: Any) -> None:
        taken.append(first_tensor(output))
        raise _Enough

    handle = module.get_submodule(layer).register_forward_hook(take)
    try:
        for start in range(0, len(units), step):
            part = units[start : start + step]
            numbers = torch.from_numpy(np.ascontiguousarray(part)).to(device)
            chosen = owner[None] == numbers.reshape(-1, *[1] * owner.ndim)
            total = torch.zeros(len(part), *images.shape[2:], dtype=torch.float64, device=device)
            # The same in every part: what comes out must not depend on the budget.
            signs = torch.Generator().manual_seed(seed)
            for image in images:
                # With random signs, slopes of many outputs add up in squares on average; they would
                # cancel in a plain sum.
                sign = torch.randint(0, 2, owner.shape, generator=signs).to(device) * 2.0 - 1
                leaf = image.to(device).expand(len(part), *image.shape).clone().requires_grad_()
                taken.clear()
                with torch.enable_grad():
                    _until(module, leaf * 1)  # a first module may work in place
                    value = (taken[0] * torch.where(chosen, sign, 0.0)).sum()
                if not value.requires_grad:
                    raise InputError(
                        f"layer {layer!r} of {network.name} has no gradient with respect to the "
                        "image. Use method='analytic'."
                    )
                (grad,) = torch.autograd.grad(value, leaf)
                total += (grad.double() ** 2).sum(dim=1)
            yield part, (total / len(images)).cpu().numpy()
            tell(min(start + step, len(units)))
    finally:
        handle.remove()


def mean_magnitude(network: Network, layer: str, images: torch.Tensor) -> np.ndarray:
    """Return the mean absolute output of a layer over images, in the shape of one output."""
    taken: list[torch.Tensor] = []

    def take(child: Any, inputs: Any, output: Any) -> None:
        taken.append(first_tensor(output).abs().double().sum(dim=0))
        raise _Enough

    network.module.eval()
    handle = network.module.get_submodule(layer).register_forward_hook(take)
    try:
        with torch.inference_mode():
            for start in range(0, len(images), 8):
                _until(network.module, images[start : start + 8].to(network.device))
    finally:
        handle.remove()
    return (sum(taken) / len(images)).cpu().numpy()


class _Enough(Exception):
    """The layer has returned: what follows need not be computed."""


def _until(module: torch.nn.Module, batch: torch.Tensor) -> None:
    """Run a batch until a hook says that it is enough."""
    try:
        module(batch)
    except _Enough:
        return


def inputs(network: Network, stimuli: Any, n_images: int, seed: int) -> torch.Tensor:
    """Return the network's input: the first stimuli, or images of noise (uniform, each pixel)."""
    if stimuli is not None:
        return network.preprocess([stimuli.image(name) for name in list(stimuli.ids)[:n_images]])
    size = network.spec.preprocessing.size
    rng = np.random.default_rng(seed)
    return network.preprocess(list(rng.integers(0, 256, (n_images, size, size, 3), np.uint8)))


def centres(depends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return first and last pixel, and the centre in pixels, of each row (column) of a map.

    Borders cut fields off. The edges of those that are whole lie evenly, and tell where the
    others would be; where none is whole on either side, the map is laid evenly over the image.
    The last value says which: "edges" or "even".
    """
    n, size = depends.shape
    first = depends.argmax(axis=1)
    last = size - 1 - depends[:, ::-1].argmax(axis=1)
    at = np.arange(n)
    lines = []
    steps: list[float] = []
    for edge, whole in ((first, first > 0), (last, last < size - 1)):
        whole = np.flatnonzero(whole & depends.any(axis=1))
        lines.append((edge, whole))
        steps += list(np.diff(edge[whole]) / np.diff(whole))
    even = (at + 0.5) * size / n - 0.5
    known = all(len(whole) for _, whole in lines) and (n == 1 or len(steps) > 0)
    if not known or np.ptp(steps or [0.0]) > 0:
        return first, last, even, "even"
    step = steps[0] if steps else 0.0
    left, right = (edge[whole[0]] + step * (at - whole[0]) for edge, whole in lines)
    return first, last, (left + right) / 2, "edges"


def moments(maps: np.ndarray) -> dict[str, np.ndarray]:
    """Return centroid and spread of maps (n_units, size, size), in shares of the side."""
    size = maps.shape[-1]
    at = (np.arange(size) + 0.5) / size
    with np.errstate(invalid="ignore", divide="ignore"):
        share = maps / maps.sum(axis=(1, 2), keepdims=True)
        along_x, along_y = share.sum(axis=1), share.sum(axis=2)
        x, y = along_x @ at, along_y @ at
        variance = along_x @ at**2 - x**2 + along_y @ at**2 - y**2
    return {"x": x, "y": y, "spread": np.sqrt(np.maximum(variance, 0) / 2)}


def disc(size: int, radius: float) -> np.ndarray:
    """Return which pixels have their centre within `radius` of the image's centre."""
    at = (np.arange(size) + 0.5) / size - 0.5
    return np.hypot(at[:, None], at) <= radius


def layer_list(network: Network, layers: str | Sequence[str]) -> list[str]:
    """Return layers in order of computation; those that run more than once are an error."""
    from rsa_faces._core.checks import check_choice
    from rsa_faces.extraction import select_layers

    chosen = select_layers(network, layers)
    for layer in chosen:
        check_choice(layer, network.all_layers(), what=f"layer of {network.name} that runs once:")
    return chosen


def memory_order(network: Network, layers: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the axes of each layer's output in the order in which `extract` flattens them."""
    from rsa_faces.extraction._forward import probe

    size = network.spec.preprocessing.size
    image = network.preprocess([np.zeros((size, size, 3), np.uint8)])
    return {layer: found.axes for layer, found in probe(network, image, layers).layouts.items()}
