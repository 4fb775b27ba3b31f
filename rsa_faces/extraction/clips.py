"""Clips through a network: frame by frame, averaged within each clip."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.checks import check_arguments, check_count, parse_bytes
from rsa_faces._core.progress import progress_bar
from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._checks import check_alone, check_finite, check_layers, warn_whole
from rsa_faces.extraction._extract import (
    _attempt,
    _key,
    _sink,
    largest_batch,
)
from rsa_faces.extraction._layers import select_layers
from rsa_faces.stimuli.clips import check_rate

if TYPE_CHECKING:
    import torch

    from rsa_faces.extraction._forward import Probe
    from rsa_faces.networks import Network
    from rsa_faces.stimuli.clips import ClipSet

_log = logging.getLogger(__name__)

Batches = Iterator[tuple[int, dict[str, np.ndarray]]]


def extract_clips(
    network: Network,
    clips: ClipSet,
    *,
    layers: str | Sequence[str] = "all",
    rate: float | None = None,
    store: str | os.PathLike[str] | None = None,
    budget: str | int = "4GB",
    batch_size: int | None = None,
    progress: bool = True,
) -> Activations:
    """Record what the layers of a network answer to each clip: the mean over its frames.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    clips : ClipSet
        From :func:`rsa_faces.stimuli.load_clips`; each frame goes through ``network.preprocess``.
    layers : str or sequence of str, default "all"
        As for :func:`rsa_faces.extract`.
    rate : float, optional
        Frames per second of presentation time, as for :meth:`ClipSet.frames`. By default every
        frame of the file once; with a variable frame rate that weights moments unequally.
    store : path-like, optional
        As for :func:`rsa_faces.extract`: an HDF5 file to keep the means in. An interrupted
        extraction goes on after its last whole clip; if the clips, the rate or the decoder has
        changed, it is made anew.
    budget : str or int, default "4GB"
        Memory for activations and frames. Means that do not fit go to `store`, or to a temporary
        file that lives as long as the result, and are read back one layer at a time.
    batch_size : int, optional
        Frames per pass, all of one clip. By default from `budget`, at most 8 on a processor and
        64 on a GPU. Halved when memory runs out.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    Activations
        Per layer a float32 matrix, shape (n_clips, n_channels): rows in the order of
        ``clips.ids``. ``provenance["rate"]`` is the rate ("all frames" without one).

    Raises
    ------
    InputError
        As :func:`rsa_faces.extract` does, and if a clip cannot be decoded (it is named).
    MissingExtraError
        If PyAV is not installed.

    Warns
    -----
    UserWarning
        If the network was trained on cut-out faces and the clips are not cut:
        :func:`rsa_faces.stimuli.clips.crop_clips`.

    See Also
    --------
    clip_rdms : Build the RDM of each layer over clips.
    extract : Record what the layers of a network answer to each stimulus.

    Notes
    -----
    Frames are decoded one batch at a time, and only that batch and the sums of the clip at hand
    (float64) are in memory besides the means. A clip's mean does not depend on which other clips
    are in the set.

    The mean pattern b̄ = Σ_t b_t / n_frames is one way to sum a clip up; the mean of the RDMs of
    its frames is another (:func:`rsa_faces.rdm.clip_rdms`), and the two differ.

    References
    ----------
    .. [1] Jiahui G. et al. (2023). Modeling naturalistic face processing in humans with deep
       convolutional neural networks. PNAS 120, e2304085120. doi:10.1073/pnas.2304085120

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.stimuli.clips import load_clips
    >>> clips = load_clips("clips/")  # doctest: +SKIP
    >>> network = rf.load_network("mini-xception", device="cpu")  # doctest: +SKIP
    >>> extract_clips(network, clips, rate=2)  # doctest: +SKIP
    Activations(16 layers of 'mini-xception', 707 conditions)
    """
    check_arguments(extract_clips, locals())
    n_bytes = parse_bytes(budget)
    plan = plan_clips(
        network, clips, layers=layers, rate=rate, budget=budget, batch_size=batch_size
    )
    layouts = plan.found.layouts
    # The sums of one clip, float64.
    left = max(1, n_bytes - 8 * sum(layout.n_channels for layout in layouts.values()))
    keyed = _Keyed(clips, rate)
    key = _key(network, keyed, plan.image)
    sink = _sink(network, keyed, plan.image, plan.found, store, left, plan.batch_size, key)
    if sink.pending:
        ids = clips.ids[sink.start :]
        with (
            frame_patterns(
                network, clips, plan.found, sink.pending, rate=rate, batch_size=plan.batch_size
            ) as of_clip,
            sink.writing(),
            progress_bar(network.name, len(clips), show=progress) as tell,
        ):
            for i, name in enumerate(ids, start=sink.start):
                sink.write(i, _mean(of_clip(name)), plan.batch_size)
                tell(i + 1)
    return Activations(
        sink.finished(),
        clips.ids,
        network=network.name,
        depth=plan.found.depth,
        provenance={
            **key,
            "batch_size": plan.batch_size,
            "rate": "all frames" if rate is None else float(rate),
        },
    )


@dataclass(frozen=True)
class Plan:
    """What the first frame of the first clip showed, and how many frames go in one pass."""

    found: Probe
    image: torch.Tensor
    batch_size: int


def plan_clips(
    network: Network,
    clips: ClipSet,
    *,
    layers: str | Sequence[str],
    rate: float | None,
    budget: str | int,
    batch_size: int | None,
) -> Plan:
    """Look at one frame and find a batch size that takes at most a quarter of the budget."""
    from rsa_faces.extraction._forward import probe

    check_rate(rate)
    if batch_size is not None:
        check_count(batch_size, what="batch_size")
    warn_whole(network, clips)
    names = select_layers(network, layers)
    frame = next(clips.frames(clips.ids[0]))
    image = network.preprocess([frame])
    found = probe(network, image, names)
    check_layers(network, found, layers)
    per_frame = 8 * sum(layout.n_channels for layout in found.layouts.values())
    working = per_frame + 4 * image.numel() + frame.nbytes
    size = max(1, min(largest_batch(network), parse_bytes(budget) // 4 // working))
    return Plan(found, image, batch_size or size)


@contextmanager
def frame_patterns(
    network: Network,
    clips: ClipSet,
    found: Probe,
    layers: Sequence[str],
    *,
    rate: float | None,
    batch_size: int,
) -> Iterator[Callable[..., Batches]]:
    """Yield a function from a clip (and frames from, up to) to batches of its patterns.

    Each batch is the index of its first frame and per layer a fresh float32 copy, shape
    (n_frames, n_channels). No batch holds frames of two clips. The hooks are removed on exit.
    """
    from rsa_faces.extraction._forward import recording

    def of_clip(name: str, start: int = 0, stop: int | None = None) -> Batches:
        nonlocal batch_size
        frames = islice(clips.frames(name, rate=rate), start, stop)
        waiting: list[np.ndarray] = []
        while True:
            waiting += islice(frames, max(0, batch_size - len(waiting)))
            if not waiting:
                return
            n = min(batch_size, len(waiting))
            rows = _attempt(forward, network.preprocess(waiting[:n]))
            if rows is None:
                batch_size = n // 2
                _log.warning("memory ran out: going on with batches of %d", batch_size)
                continue
            shown = [f"{name}, frame {k}" for k in range(start, start + n)]
            for layer, values in rows.items():
                check_finite(values, shown, layer, network.name)
            if name == clips.ids[0] and start == 0:
                check_alone(found, rows, 0, shown[0], network.name)
            yield start, rows
            del waiting[:n]
            start += n

    with recording(network, found, layers) as forward:
        yield of_clip


def _mean(batches: Batches) -> dict[str, np.ndarray]:
    """Return the mean over all frames, per layer one float32 row, summed in float64."""
    total: dict[str, np.ndarray] = {}
    n_frames = 0
    for _, rows in batches:
        for layer, values in rows.items():
            if layer not in total:
                total[layer] = np.zeros(values.shape[1])
            for row in values:
                total[layer] += row
        n_frames += len(values)
    return {layer: (sums / n_frames).astype(np.float32)[None] for layer, sums in total.items()}


class _Keyed:
    """The ids and hashes of clips with what else their means depend on: rate and decoder."""

    def __init__(self, clips: ClipSet, rate: float | None) -> None:
        fraction = check_rate(rate)
        how = f"mean over frames at {fraction or 'all'}, av {version('av')}"
        self.ids = clips.ids
        self.sha256 = tuple(f"{digest} {how}" for digest in clips.sha256)

    def __len__(self) -> int:
        return len(self.ids)
