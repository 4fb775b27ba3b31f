"""Stimuli through a network: the plan, the batches, and where the activations go."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from rsa_faces.extraction._store import Store, TemporaryFolder

if TYPE_CHECKING:
    import torch

    from rsa_faces.extraction._forward import Probe
    from rsa_faces.extraction._layout import Layout
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet

_log = logging.getLogger(__name__)

#: How a store may keep values.
DTYPES = ("float32", "float16", "bfloat16")
# On processors larger batches are no faster and take more memory.
_LARGEST_BATCH = {"cpu": 8, "cuda": 64}
Rows = dict[str, np.ndarray]
Picture = tuple[str, np.ndarray]


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
        A folder to keep activations in, for all networks and experiments. What is there for an
        image (by its content, not its name) of the same weights, preprocessing, device and code is
        read and not computed again, whichever experiment computed it; the rest is added. An
        interrupted extraction goes on after its last batch, and several processes may write at
        once. ``rsa-faces store list`` and ``prune`` show what is there and remove it.
    budget : str or int, default "4GB"
        Memory for activations. What does not fit goes to `store`, or to temporary files that
        live as long as the result, and is read back one layer at a time.
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
        in files also where memory would do.
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
        store is no store, or a file in it is damaged (it is named); if a layer has no class
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
    load_activations : Open activations that are kept in a store, without the network.
    rsa_faces.extraction.select_layers : Return the layers that patterns name.

    Notes
    -----
    A layer's output is copied when the layer returns, so that a following in-place operation
    (ReLU) cannot change it. A module that runs several times in one pass (a shared ReLU) gives
    its last output; ``"layer1.0.relu#1"`` is its first. Of a tuple, list or dict the first tensor
    is taken. Layers matched by a glob that give no usable output are left out with a warning in the
    log.

    Results for different batch sizes agree to about 1e-6 of a layer's range, not to the bit;
    with the same batch size they are identical, also after an interruption. Rows that another
    experiment left in the store were computed in its batches.

    A random projection onto k numbers [1]_ sends each channel, with a random sign, to one of them:
    the squared Euclidean distance of two patterns is kept on average, and its standard deviation
    over projections is at most √(2/k) of it: 2 % for k = 5,000. It is the same for all images,
    and for the same `seed` and layer always. RDMs need none of this: :func:`rsa_faces.layer_rdms`
    and :func:`rsa_faces.compute_rdms` are exact at any size.

    The code of this package and the releases of torch, Pillow, timm and torchvision are part of a
    store's key, but the code of modules of your own is not (only their structure as printed):
    use another store after changing such code.

    References
    ----------
    .. [1] Charikar M., Chen K., Farach-Colton M. (2004). Theoretical Computer Science 312, 3-15.
       doi:10.1016/S0304-3975(03)00400-6

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> network = rf.load_network("dlib-face", device="cpu")
    >>> acts = rf.extract(network, d92.stimuli, layers=["pool1", "fc"], progress=False)
    >>> acts["fc"].shape
    (92, 128)
    """
    check_arguments(extract, locals())
    check_seed(seed)
    warn_whole(network, stimuli)
    plan = Plan.of(
        network,
        Images(stimuli),
        layers=layers,
        reduce=reduce,
        precision=precision,
        dtype=dtype,
        seed=seed,
        store=store,
    )
    return plan.run(budget=budget, batch_size=batch_size, progress=progress)


@dataclass(frozen=True)
class Images:
    """Images as they go through a network, one picture each; clips are others of this kind."""

    stimuli: Any

    @property
    def ids(self) -> tuple[str, ...]:
        """Names."""
        return self.stimuli.ids

    @property
    def keys(self) -> tuple[str, ...]:
        """All that an answer depends on, but for the network."""
        return self.stimuli.sha256

    @property
    def most(self) -> int:
        """How many pictures may go through at once."""
        return len(self.stimuli)

    def pictures(self, name: str) -> Iterator[Picture]:
        """Yield what is shown, each with how messages call it."""
        yield name, self.stimuli.image(name)

    def answers(self, names: Sequence[str], passes: Passes) -> Iterator[tuple[int, Rows]]:
        """Yield how many names are done, and their rows."""
        for shown, rows in passes(chain.from_iterable(map(self.pictures, names))):
            yield len(shown), rows


class _Memory(dict[str, np.ndarray]):
    """Activations in memory, filled like a Store."""

    def __init__(self, layouts: Mapping[str, Layout], n_stimuli: int) -> None:
        super().__init__(
            (layer, np.empty((n_stimuli, layout.n_channels), np.float32))
            for layer, layout in layouts.items()
        )
        self._n = n_stimuli

    def missing(self) -> list[tuple[list[str], list[int]]]:
        """Return all layers and positions."""
        return [(list(self), list(range(self._n)))]

    def write(self, places: Sequence[int], rows: Mapping[str, np.ndarray]) -> None:
        """Keep the rows of some images."""
        for layer, values in rows.items():
            # All of it is missing: places follow each other.
            self[layer][places[0] : places[-1] + 1] = values


@dataclass(frozen=True)
class Plan:
    """A network, what it is shown, and what one picture showed of its layers."""

    network: Network
    shown: Images
    found: Probe
    picture: str
    n_picture: int  # bytes
    precision: str
    dtype: str
    store: Store | None

    @classmethod
    def of(
        cls,
        network: Network,
        shown: Images,
        *,
        layers: str | Sequence[str],
        reduce: str | int | None = None,
        precision: str = "float32",
        dtype: str = "float32",
        seed: int = 0,
        store: str | os.PathLike[str] | None = None,
    ) -> Plan:
        """Look at one picture: the first that the store, if there is one, knows nothing of."""
        from rsa_faces.extraction._forward import probe

        check_choice(dtype, DTYPES, what="dtype")
        check_options(network, reduce, precision)
        names = select_layers(network, layers)
        kept = None if store is None else Store(Path(store), _key(network, precision, dtype))
        new = (
            name
            for name, image in zip(shown.ids, shown.keys, strict=True)
            if kept is None or not kept.has(image)
        )
        picture, pixels = next(iter(shown.pictures(next(new, shown.ids[0]))))
        image = network.preprocess([pixels])
        found = probe(network, image, names, reduce, seed, precision)
        check_layers(network, found, layers)
        # As the input of a network, float32, and as it came.
        n_bytes = 4 * image.numel() + pixels.nbytes
        return cls(network, shown, found, picture, n_bytes, precision, dtype, kept)

    def run(self, *, budget: str | int, batch_size: int | None, progress: bool) -> Activations:
        """Let everything pass that is not in the store."""
        from rsa_faces.extraction._forward import recording

        ids, sink = self.shown.ids, self._sink(parse_bytes(budget))
        size = self.batch_size(budget) if batch_size is None else batch_size
        check_count(size, what="batch_size")
        missing = sink.missing()
        n_new = sum(len(places) for _, places in missing)
        if self.store is not None:
            _log.info("%s: %d of %d are new", self.store.path, n_new, len(ids))
            self.store.say_what_changed()
            self.store.list_up(self.found.depth)
        with progress_bar(self.network.name, n_new, show=progress) as tell:
            done = 0
            for layers, places in missing:
                with recording(self.network, self.found, layers, self.precision) as forward:
                    passes = Passes(self, forward, size)
                    start = 0
                    for n, rows in self.shown.answers([ids[i] for i in places], passes):
                        sink.write(places[start : start + n], rows)
                        start += n
                        tell(done + start)
                    # What memory allowed for these layers, it allows for the next.
                    size, done = passes.size, done + start
        if isinstance(sink, _Memory):
            for array in sink.values():
                # Handed out as they are, not as copies.
                array.flags.writeable = False
        elif self.store is not None and missing:
            self.store.list_up(self.found.depth)
        key = (
            sink.key if isinstance(sink, Store) else _key(self.network, self.precision, self.dtype)
        )
        return Activations(
            sink,
            ids,
            network=self.network.name,
            depth=self.found.depth,
            provenance={
                **key,
                "images": sha256_bytes("\0".join(ids).encode(), "".join(self.shown.keys).encode()),
                "batch_size": size,
            },
        )

    @property
    def row_bytes(self) -> int:
        """Bytes of all layers of one image."""
        return 4 * sum(layout.n_channels for layout in self.found.layouts.values())

    def batch_size(self, budget: str | int) -> int:
        """Return how many pictures take a quarter of the budget.

        Their input, what is copied of them, and (about as much again) what passes through the
        network.
        """
        most = _LARGEST_BATCH.get(self.network.device.type, 8)
        most = min(most, self.shown.most)
        working = 2 * self.row_bytes + self.n_picture
        return max(1, min(most, parse_bytes(budget) // 4 // working))

    def _sink(self, budget: int) -> _Memory | Store:
        """Plan memory: return where the activations go."""
        layouts, ids = self.found.layouts, self.shown.ids
        total = self.row_bytes * len(ids)
        what = f"{self.network.name}: {len(layouts)} layers of {len(ids)}, {total / 1e6:.0f} MB"
        working = self.batch_size(budget) * (2 * self.row_bytes + self.n_picture)
        if self.store is None and total + working <= budget and self.dtype == "float32":
            _log.info("%s, in memory", what)
            return _Memory(layouts, len(ids))
        sink, why = self.store, ""
        if sink is None:
            owner, why = TemporaryFolder(), "more than the budget: "
            sink = Store(owner.path, _key(self.network, self.precision, self.dtype), owner)
        _log.info("%s, %skept in %s and read layer by layer", what, why, sink.path)
        largest = max(layouts, key=lambda layer: layouts[layer].n_channels)
        if 4 * layouts[largest].n_channels * len(ids) > budget:
            _log.warning(
                "layer %s of %s alone is larger than the budget: RDMs read it in parts, but "
                "activations[layer] reads all of it",
                largest,
                self.network.name,
            )
        # Of temporary files images are told by their place: each is passed.
        images = [str(i) for i in range(len(ids))] if sink.owner else self.shown.keys
        sink.select(layouts, images, ids)
        sink.check_room()
        return sink


class Passes:
    """Pictures through a network in batches, which are halved when memory runs out."""

    def __init__(
        self, plan: Plan, forward: Callable[[torch.Tensor], Rows], batch_size: int
    ) -> None:
        self._plan, self._forward, self.size = plan, forward, batch_size

    def __call__(self, pictures: Iterable[Picture]) -> Iterator[tuple[list[str], Rows]]:
        """Yield, batch by batch, how pictures are called and their rows.

        The picture that was looked at has to be answered as it was alone.
        """
        plan, left = self._plan, iter(pictures)
        waiting: list[Picture] = []
        while waiting := waiting + list(islice(left, max(0, self.size - len(waiting)))):
            part = waiting[: self.size]
            rows = _attempt(self._forward, plan.network.preprocess([image for _, image in part]))
            if rows is None:
                self.size = len(part) // 2
                _log.warning("memory ran out: going on with batches of %d", self.size)
                continue
            names = [name for name, _ in part]
            for layer, values in rows.items():
                check_finite(values, names, layer, plan.network.name)
            # In fewer digits the same answers differ more.
            if plan.precision == "float32" and plan.picture in names:
                place = names.index(plan.picture)
                check_alone(plan.found, rows, place, plan.picture, plan.network.name)
            yield names, rows
            waiting = waiting[len(part) :]


def _attempt(forward: Callable[[torch.Tensor], Rows], batch: torch.Tensor) -> Rows | None:
    """Run a batch; None if memory ran out and a smaller one may fit."""
    from rsa_faces.extraction._forward import is_out_of_memory, release_memory

    try:
        return forward(batch)
    except RuntimeError as err:
        if len(batch) == 1 or not is_out_of_memory(err):
            raise
    release_memory()
    return None


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

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.extraction import stream
    >>> stimuli = rf.datasets.images92().stimuli
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> shapes = {}
    >>> depth = stream(network, stimuli, lambda layer, rows: shapes.update({layer: rows.shape}),
    ...                layers=["conv1"], progress=False)
    >>> len(shapes), list(depth)
    (1, ['conv1'])
    """
    check_arguments(stream, locals())
    check_seed(seed)
    from rsa_faces.extraction._forward import (
        is_out_of_memory,
        probe,
        recording,
        release_memory,
    )

    shown = Images(stimuli)
    plan = Plan.of(network, shown, layers=layers, reduce=reduce, precision=precision, seed=seed)
    found, names = plan.found, select_layers(network, layers)
    # At the same time: a layer's input and output, a shortcut, and what a library works in.
    needed = len(stimuli) * (16 * found.largest + plan.n_picture)
    if needed > parse_bytes(budget):
        _log.info("%s: %.1f GB for all images at once is over budget", network.name, needed / 1e9)
        return None
    batch = network.preprocess([stimuli.image(name) for name in stimuli.ids])
    # The last image alone, too: whether all take the same way, and each is answered by itself.
    last = probe(network, batch[-1:], names, reduce, seed, precision)
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
            with recording(network, found, list(found.layouts), precision, act_and_tell) as run:
                run(batch)
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            release_memory()
            _log.warning("%s: memory ran out with all images at once", network.name)
            return None
    return found.depth


def _key(network: Network, precision: str, dtype: str) -> dict[str, str]:
    """Return all that activations depend on but for the images, so that a change can be named."""
    # What the specification does to a picture: its code may have changed.
    # Not square, and its channels differ: fit and order of colours show.
    picture = np.arange(64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)
    pixels = network.preprocess([picture]).numpy()
    return {
        "network": network.name,
        "weights": network.weights_sha256,
        "structure": sha256_bytes(repr(network.module).encode()),
        "preprocessing": sha256_bytes(
            repr(network.spec.preprocessing).encode(), repr(pixels.shape).encode(), pixels.tobytes()
        ),
        "code": code_version(),
        # Of networks of other libraries: which release their code is from.
        "origin": network.spec.origin,
        "device": network.device.type,
        "torch": version("torch"),
        "pillow": version("pillow"),
        "precision": precision,
        "dtype": dtype,
    }


@cache
def code_version() -> str:
    """Return the package's version and a hash of the code that makes activations."""
    package = Path(__file__).parents[1]
    parts = ("extraction", "networks", "stimuli")
    files = sorted(file for part in parts for file in package.glob(f"{part}/**/*.py"))
    # What training makes is in the weights, which have a hash of their own.
    files = [file for file in files if "training" not in file.parts]
    return f"{__version__} {sha256_bytes(*(file.read_bytes() for file in files))}"
