"""Stimuli through a network: the plan, the batches, and where the activations go."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces import __version__
from rsa_faces._core.checks import (
    check_arguments,
    check_choice,
    check_count,
    check_seed,
    parse_bytes,
)
from rsa_faces._core.files import sha256_bytes
from rsa_faces._core.progress import progress_bar
from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._checks import (
    check_alone,
    check_calls,
    check_finite,
    check_layers,
    check_options,
    warn_whole,
)
from rsa_faces.extraction._layers import select_layers

if TYPE_CHECKING:
    import torch

    from rsa_faces.extraction._forward import Forward, Probe
    from rsa_faces.extraction._layout import Layout
    from rsa_faces.extraction._store import Store
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet

_log = logging.getLogger(__name__)

#: How a store may keep values.
DTYPES = ("float32", "float16", "bfloat16")
# On processors larger batches are no faster and take more memory.
_LARGEST_BATCH = {"cpu": 8, "cuda": 64}


def extract(
    network: Network,
    stimuli: StimulusSet,
    *,
    layers: str | Sequence[str] = "all",
    store: str | os.PathLike[str] | None = None,
    budget: str | int = "4GB",
    reduce: str | int | None = None,
    precision: str = "float32",
    dtype: str = "float32",
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Activations:
    """Record what the layers of a network answer to each stimulus.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`. It runs on its own device, in eval mode and without
        gradients, channels last; its modes are put back and the hooks removed on any exit.
    stimuli : StimulusSet
        The images; each goes through ``network.preprocess``.
    layers : str or sequence of str, default "all"
        "all" takes the default analysis layers, ``network.layers()``; otherwise module names and
        globs, as for :func:`rsa_faces.extraction.select_layers`.
    store : path-like, optional
        An HDF5 file to keep the activations in, one per network. If it holds activations of the
        same weights, preprocessing, images, device and code, those are not computed again, and an
        interrupted extraction goes on after its last batch; if any of these has changed, it is
        made anew (the log says which).
    budget : str or int, default "4GB"
        Memory for activations. What does not fit goes to `store`, or to a temporary file that
        lives as long as the result, and is read back one layer at a time.
    reduce : {"mean", "class token"} or int, optional
        Keep less of each layer, and say so in its name. "mean": over places of a map, or tokens
        of patches ("layer4.2:mean"); "class token" ("blocks.3:class token"); a number k: a random
        projection onto k numbers ("layer1.0:projected 5000"), see Notes. Layers that give one
        vector, or no more than k values, are kept whole under their own name. By default
        everything is kept.
    precision : {"float32", "tf32", "bfloat16"}, default "float32"
        Of the products in the network. The others are faster on GPUs that have them, and change
        activations by about 1e-3 ("tf32", CUDA only) or 1e-2 ("bfloat16") of their size, more in
        deep networks. It is part of the provenance.
    dtype : {"float32", "float16", "bfloat16"}, default "float32"
        How a store keeps values. "float16" takes half the space, is off by up to 0.05 % of each
        value (2⁻¹¹; below 6e-5 by up to 3e-8) and refuses values beyond 65,504; "bfloat16" is off
        by up to 0.4 % (2⁻⁸). What is read back is float32. If not float32, activations are kept
        in a file also where memory would do.
    batch_size : int, optional
        Images per pass. By default from `budget`, at most 8 on a processor and 64 on a GPU. Halved
        when memory runs out.
    seed : int, default 0
        Of the random projection.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    Activations
        Per layer a float32 matrix, shape (n_stimuli, n_channels): rows in the order of
        ``stimuli.ids``, outputs flattened in the order they have in memory (RDMs do not depend
        on the order of channels), whatever their dimensions.

    Raises
    ------
    InputError
        If a layer is unknown (the nearest is named), did not run, or returns something without
        one row per image; if the answer to the first image depends on the others in its batch
        (float32 only); if an activation is NaN or infinite (layer and image are named); if the
        store belongs to another network, is damaged, or is no store; if a layer has no class
        token, or an option is unknown.
    RuntimeError
        The device's own error, if not even one image fits.

    Warns
    -----
    UserWarning
        If the network was trained on faces cut out of photographs and the images are not marked
        as such (:attr:`StimulusSet.cropped`).

    See Also
    --------
    layer_rdms : Build the RDM of each layer while the stimuli pass through the network.
    load_activations : Open a store of activations, without the network.
    rsa_faces.extraction.select_layers : Return the layers that patterns name.

    Notes
    -----
    A layer's output is copied when the layer returns, so that a following in-place operation
    (ReLU) cannot change it. A module that runs several times in one pass (a shared ReLU) gives
    its last output; ``"layer1.0.relu#1"`` is its first. Of a tuple, list or dict the first tensor
    is taken. Layers matched by a glob that give no usable output are left out with a warning in the
    log.

    Results for different batch sizes agree to about 1e-6 of a layer's range, not to the bit;
    with the same batch size they are identical, also after an interruption.

    A random projection onto k numbers [1]_ sends each channel, with a random sign, to one of them:
    the squared Euclidean distance of two patterns is kept on average, and its standard deviation
    over projections is at most √(2/k) of it: 2 % for k = 5,000. It is the same for all images,
    and for the same `seed` and layer always. RDMs need none of this: :func:`rsa_faces.layer_rdms`
    and :func:`rsa_faces.compute_rdms` are exact at any size.

    The code of this package and the releases of torch, Pillow, timm and torchvision are part of a
    store's key, but the code of modules of your own is not (only their structure as printed):
    delete the store after changing such code.

    References
    ----------
    .. [1] Charikar M., Chen K., Farach-Colton M. (2004). Theoretical Computer Science 312, 3-15.
       doi:10.1016/S0304-3975(03)00400-6
    """
    check_arguments(extract, locals())
    from rsa_faces.extraction._forward import probe, recording

    n_bytes = parse_bytes(budget)
    if batch_size is not None:
        check_count(batch_size, what="batch_size")
    check_seed(seed)
    check_choice(dtype, DTYPES, what="dtype")
    check_options(network, reduce, precision)
    warn_whole(network, stimuli)
    names = select_layers(network, layers)
    image = network.preprocess([stimuli.image(stimuli.ids[0])])
    found = probe(network, image, names, reduce, seed, precision)
    check_layers(network, found, layers)
    key = {**_key(network, stimuli, image), "precision": precision, "dtype": dtype}
    sink = _sink(network, stimuli, image, found, store, n_bytes, batch_size, key)
    size = batch_size or sink.batch_size
    if sink.pending:
        with (
            recording(network, found, sink.pending, precision) as forward,
            sink.writing(),
            progress_bar(network.name, len(stimuli), show=progress) as tell,
        ):
            # In fewer digits the same answers differ more.
            alone = found if precision == "float32" else None
            size = _fill(sink, forward, network, stimuli, size, tell, alone)
    return Activations(
        sink.finished(),
        stimuli.ids,
        network=network.name,
        depth=found.depth,
        provenance={**key, "batch_size": size},
    )


def stream(
    network: Network,
    stimuli: StimulusSet,
    act: Callable[[str, np.ndarray], None],
    *,
    layers: str | Sequence[str] = "all",
    budget: str | int = "4GB",
    reduce: str | int | None = None,
    precision: str = "float32",
    seed: int = 0,
    progress: bool = True,
) -> dict[str, float] | None:
    """Show each layer's answers to all stimuli once, without keeping any.

    Parameters
    ----------
    network, stimuli, layers, reduce, precision, seed, progress
        As for :func:`extract`.
    act : callable
        Called with a layer's name and its patterns, shape (n_stimuli, n_channels), when the layer
        returns, in order of computation; they are good during the call only. Values may be NaN or
        infinite: :func:`check_finite` names them.
    budget : str or int, default "4GB"
        Memory for what passes through the network with all stimuli at once.

    Returns
    -------
    dict of str to float or None
        The depth of each layer. None if it cannot be done, and what `act` was shown does not
        count: the budget is too small, or memory ran out.

    See Also
    --------
    extract : Record what the layers of a network answer to each stimulus.
    rsa_faces.layer_rdms : Build the RDM of each layer while the stimuli pass through the network.
    """
    check_arguments(stream, locals())
    check_seed(seed)
    from rsa_faces.extraction._forward import (
        is_out_of_memory,
        probe,
        release_memory,
        run_through,
    )

    check_options(network, reduce, precision)
    image = network.preprocess([stimuli.image(stimuli.ids[0])])
    found = probe(network, image, select_layers(network, layers), reduce, seed, precision)
    check_layers(network, found, layers)
    # At the same time: a layer's input and output, a shortcut, and what a library works in.
    needed = 4 * len(stimuli) * (4 * found.largest + image.numel())
    n_bytes = parse_bytes(budget)
    if needed > n_bytes:
        _log.info("%s: %.1f GB for all images at once is over budget", network.name, needed / 1e9)
        return None
    batch = network.preprocess([stimuli.image(name) for name in stimuli.ids])
    # The last image alone, too: whether all take the same way, and each is answered by itself.
    last = probe(network, batch[-1:], select_layers(network, layers), reduce, seed, precision)
    for layer, (_, expected) in found.calls.items():
        check_calls(layer, last.calls.get(layer, (0, 0))[1], expected, network.name)
    with progress_bar(network.name, len(found.layouts), show=progress) as tell:
        n_done = 0

        def act_and_tell(layer: str, patterns: np.ndarray) -> None:
            nonlocal n_done
            # In fewer digits the same answers differ more.
            for place, alone in ((0, found), (-1, last)) if precision == "float32" else ():
                check_alone(alone, {layer: patterns}, place, stimuli.ids[place], network.name)
            act(layer, patterns)
            n_done += 1
            tell(n_done)

        try:
            run_through(network, batch, found, act_and_tell, precision=precision)
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            release_memory()
            _log.warning("%s: memory ran out with all images at once", network.name)
            return None
    return found.depth


def largest_batch(network: Network) -> int:
    """Return how many images at most go through a network at a time."""
    return _LARGEST_BATCH.get(network.device.type, 8)


class _Memory:
    """Activations in memory, filled like a Store."""

    start = 0

    def __init__(self, layouts: Mapping[str, Layout], n_stimuli: int, batch_size: int) -> None:
        self._arrays = {
            layer: np.empty((n_stimuli, layout.n_channels), np.float32)
            for layer, layout in layouts.items()
        }
        self.n_bytes = sum(array.nbytes for array in self._arrays.values())
        self.pending = list(layouts)
        self.batch_size = batch_size

    def writing(self) -> contextlib.AbstractContextManager:
        """Nothing to hold open."""
        return contextlib.nullcontext()

    def write(self, start: int, rows: Mapping[str, np.ndarray], batch_size: int) -> None:
        """Keep the rows of one batch."""
        for layer, values in rows.items():
            self._arrays[layer][start : start + len(values)] = values

    def finished(self) -> dict[str, np.ndarray]:
        """Return the layers, read-only."""
        for array in self._arrays.values():
            array.flags.writeable = False
        return self._arrays


def _sink(
    network: Network,
    stimuli: StimulusSet,
    image: torch.Tensor,
    found: Probe,
    store: str | os.PathLike[str] | None,
    budget: int,
    batch_size: int | None,
    key: Mapping[str, str],
) -> _Memory | Store:
    """Plan memory: return where the activations go, with a batch size that fits."""
    layouts = found.layouts
    per_image = 4 * sum(layout.n_channels for layout in layouts.values())
    total = per_image * len(stimuli)
    # A quarter of the budget for the batch: its input, what is copied of it, and (about as much
    # again) what passes through the network.
    working = 2 * per_image + 4 * image.numel()
    most = min(largest_batch(network), len(stimuli))
    size = batch_size or max(1, min(most, budget // 4 // working))
    what = f"{network.name}: {len(layouts)} layers of {len(stimuli)} images, {total / 1e6:.0f} MB"
    dtype = key.get("dtype", "float32")
    if store is None and total + size * working <= budget and dtype == "float32":
        _log.info("%s, in memory", what)
        return _Memory(layouts, len(stimuli), size)
    from rsa_faces.extraction._store import TemporaryFolder, open_store

    owner = TemporaryFolder() if store is None else None
    path = owner.path / "activations.h5" if owner else Path(store)
    why = "more than the budget: " if owner else ""
    _log.info("%s, %skept in %s and read layer by layer", what, why, path)
    largest = max(layouts, key=lambda layer: layouts[layer].n_channels)
    if 4 * layouts[largest].n_channels * len(stimuli) > budget:
        _log.warning(
            "layer %s of %s alone is larger than the budget: RDMs read it in parts, but "
            "activations[layer] reads all of it",
            largest,
            network.name,
        )
    sink = open_store(path, key, layouts, found.depth, stimuli.ids, size, dtype)
    sink.owner = owner
    return sink


def _fill(
    sink: _Memory | Store,
    forward: Forward,
    network: Network,
    stimuli: StimulusSet,
    batch_size: int,
    tell: Callable[[int], None],
    alone: Probe | None,
) -> int:
    """Run the batches that are missing; return the batch size, smaller if memory ran out.

    The first image has to answer as it did `alone`.
    """
    start = sink.start
    while start < len(stimuli):
        ids = stimuli.ids[start : start + batch_size]
        rows = _attempt(forward, network.preprocess([stimuli.image(name) for name in ids]))
        if rows is None:
            batch_size = len(ids) // 2
            _log.warning("memory ran out: going on with batches of %d", batch_size)
            continue
        for layer, values in rows.items():
            check_finite(values, ids, layer, network.name)
        if alone is not None and start == 0:
            check_alone(alone, rows, 0, ids[0], network.name)
        sink.write(start, rows, batch_size)
        start += len(ids)
        tell(start)
    return batch_size


def _attempt(forward: Forward, batch: torch.Tensor) -> dict[str, np.ndarray] | None:
    """Run a batch; None if memory ran out and a smaller one may fit."""
    from rsa_faces.extraction._forward import is_out_of_memory, release_memory

    try:
        return forward(batch)
    except RuntimeError as err:
        if len(batch) == 1 or not is_out_of_memory(err):
            raise
    release_memory()
    return None


def _key(network: Network, stimuli: StimulusSet, image: torch.Tensor) -> dict[str, str]:
    """Return all that activations depend on, by name, so that a change can be named."""
    pixels = image.numpy()
    return {
        "network": network.name,
        "weights": network.weights_sha256,
        "structure": sha256_bytes(repr(network.module).encode()),
        # The specification and what it did to the first image: its code may have changed.
        "preprocessing": sha256_bytes(
            repr(network.spec.preprocessing).encode(), repr(pixels.shape).encode(), pixels.tobytes()
        ),
        "images": sha256_bytes("\0".join(stimuli.ids).encode(), "".join(stimuli.sha256).encode()),
        "code": _code_version(),
        # Of networks of other libraries: which release their code is from.
        "origin": network.spec.origin,
        "device": network.device.type,
        "torch": version("torch"),
        "pillow": version("pillow"),
    }


@cache
def _code_version() -> str:
    """Return the package's version and a hash of the code that makes activations."""
    package = Path(__file__).parents[1]
    parts = ("extraction", "networks", "stimuli")
    files = sorted(file for part in parts for file in package.glob(f"{part}/**/*.py"))
    return f"{__version__} {sha256_bytes(*(file.read_bytes() for file in files))}"
