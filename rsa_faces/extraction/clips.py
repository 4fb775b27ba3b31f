"""Clips through a network: frame by frame, averaged within each clip."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_seed
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import named
from rsa_faces._core.progress import progress_bar
from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._checks import warn_whole
from rsa_faces.extraction._extract import Images, Passes, Picture, Plan, Rows
from rsa_faces.stimuli.clips import check_rate

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli.clips import ClipSet

_log = logging.getLogger(__name__)


def extract_clips(
    network: Network,
    clips: ClipSet,
    *,
    layers: str | Sequence[str] = "all",
    rate: float | None = None,
    store: str | os.PathLike[str] | None = None,
    budget: str | int = "4GB",
    reduce: str | int | None = None,
    precision: str = "float32",
    dtype: str = "float32",
    batch_size: int | None = None,
    seed: int = 0,
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
        As for :func:`rsa_faces.extract`: a folder to keep the means in. An interrupted extraction
        goes on after its last whole clip; another rate or decoder gives other means.
    budget : str or int, default "4GB"
        Memory for activations and frames. Means that do not fit go to `store`, or to temporary
        files that live as long as the result, and are read back one layer at a time.
    reduce, precision, dtype, seed
        As for :func:`rsa_faces.extract`; each frame is reduced, then averaged.
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
    extract_frames : Record what layers answer to each frame.
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
    check_seed(seed)
    warn_whole(network, clips)
    plan = Plan.of(
        network,
        Clips(clips, rate),
        layers=layers,
        reduce=reduce,
        precision=precision,
        dtype=dtype,
        seed=seed,
        store=store,
    )
    found = plan.run(budget=budget, batch_size=batch_size, progress=progress)
    found.provenance["rate"] = "all frames" if rate is None else float(rate)
    return found


class FramePatterns(Mapping):
    """What layers answer to each frame of clips: layer to ndarray (n_clips, n_channels, n_frames).

    Parameters
    ----------
    arrays : mapping of str to ndarray, shape (n_clips, n_channels, n_frames)
        Of a network, see :func:`extract_frames`, or features of yours (action units, landmarks).
    conditions : sequence of str
        Unique names of the clips.
    times : sequence of float, shape (n_frames,)
        When each frame is shown, in seconds from the beginning of the clip, ascending.
    network : str, default ""
        The network's name.
    depth : mapping of str to float, optional
        As of :class:`Activations`.

    Attributes
    ----------
    conditions, times, network, depth
        As given.

    Raises
    ------
    InputError
        If an array has another shape, values that are not finite, or times do not ascend.

    See Also
    --------
    extract_frames : Record what layers answer to each frame.
    rsa_faces.rdm.frame_rdms : RDMs of averages, of movement, and of each moment.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.extraction import FramePatterns
    >>> x = np.random.default_rng(0).normal(size=(2, 20, 3))
    >>> frames = FramePatterns({"AU": x}, ["smile", "frown"], [0, 0.5, 1])
    >>> frames
    FramePatterns(1 layer, 2 clips, 3 frames from 0 to 1 s)
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        conditions: Sequence[str],
        times: Sequence[float],
        *,
        network: str = "",
        depth: Mapping[str, float] | None = None,
    ) -> None:
        self.times = np.asarray(times, np.float64)
        if self.times.ndim != 1 or not (np.diff(self.times) > 0).all():
            raise InputError("expected ascending times in seconds, one per frame.")
        rows = {}
        for layer, values in arrays.items():
            x, names = named(values, conditions, what=f"the frames of {layer!r}")
            if x.ndim != 3 or x.shape[2] != len(self.times):
                raise InputError(
                    f"expected frames of {layer!r} of shape (n_clips, n_channels, "
                    f"{len(self.times)}), got {x.shape}."
                )
            if not np.isfinite(x).all():
                lacking = names[int(np.argmin(np.isfinite(x).all(axis=(1, 2))))]
                raise InputError(f"expected finite frames, but {lacking!r} has none in {layer!r}.")
            rows[layer] = np.moveaxis(x, 2, 1).reshape(-1, x.shape[1])
        every = [f"{name}, frame {k}" for name in conditions for k in range(len(self.times))]
        self._rows = Activations(rows, every, network=network, depth=depth)
        self.conditions = tuple(conditions)
        self._order: np.ndarray | None = None

    @property
    def network(self) -> str:
        """The network's name."""
        return self._rows.network

    @property
    def depth(self) -> Mapping[str, float]:
        """As of :class:`Activations`."""
        return self._rows.depth

    @classmethod
    def _of(cls, rows: Activations, conditions, times, order=None) -> FramePatterns:
        """Return frames of rows that may lie on disk, clip after clip."""
        made = cls.__new__(cls)
        made._rows, made.conditions, made.times = rows, tuple(conditions), times
        made._order = order
        return made

    def shuffled(self, *, seed: int = 0) -> FramePatterns:
        """Return the frames of each clip in an order of its own.

        What is averaged over frames stays as it is; what depends on their order does not.

        Parameters
        ----------
        seed : int, default 0

        Returns
        -------
        FramePatterns
        """
        shape = len(self.conditions), len(self.times)
        # Each clip in an order of its own: one order for all would leave what clips have in common
        # in time.
        order = np.argsort(as_rng(seed).random(shape), axis=1)
        if self._order is not None:
            order = np.take_along_axis(self._order, order, axis=1)
        return self._of(self._rows, self.conditions, self.times, order)

    def __getitem__(self, layer: str) -> np.ndarray:
        x = np.asarray(self._rows[check_choice(layer, self._rows.layers, what="layer")])
        x = x.reshape(len(self.conditions), len(self.times), -1)
        if self._order is not None:
            x = np.take_along_axis(x, self._order[:, :, None], axis=1)
        return np.moveaxis(x, 1, 2)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        layers = "layer" if len(self) == 1 else "layers"
        of = f" of {self.network!r}" if self.network else ""
        return (
            f"FramePatterns({len(self)} {layers}{of}, {len(self.conditions)} clips, "
            f"{len(self.times)} frames from {self.times[0]:g} to {self.times[-1]:g} s)"
        )


def extract_frames(
    network: Network,
    clips: ClipSet,
    *,
    rate: float,
    layers: str | Sequence[str] = "all",
    shortest: bool = False,
    budget: str | int = "4GB",
    reduce: str | int | None = None,
    precision: str = "float32",
    seed: int = 0,
    progress: bool = True,
) -> FramePatterns:
    """Record what the layers of a network answer to each frame of clips.

    Parameters
    ----------
    network, clips, layers, reduce, precision, seed, progress
        As for :func:`extract_clips`.
    rate : float
        Frames per second of presentation time: frame k is what is shown at k / rate seconds.
    shortest : bool, default False
        Take as many frames of each clip as the shortest has, and leave the others out; otherwise
        all clips must have the same number.
    budget : str or int, default "4GB"
        Memory for activations; what does not fit goes to temporary files, read a layer at a time.

    Returns
    -------
    FramePatterns

    Raises
    ------
    InputError
        As :func:`extract_clips`, and if clips differ in their number of frames (they are named).

    See Also
    --------
    rsa_faces.rdm.frame_rdms : RDMs of averages, of movement, and of each moment.
    rsa_faces.analyses.movement : Ask how far layers follow the movement of clips.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.extraction import extract_frames
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> extract_frames(network, rf.load_clips("clips/"), rate=5)  # doctest: +SKIP
    FramePatterns(16 layers of 'mini-xception', 96 clips, 10 frames from 0 to 1.8 s)
    """
    check_arguments(extract_frames, locals())
    check_seed(seed)
    fraction = check_rate(rate)
    if fraction is None:
        raise InputError("expected a rate in frames per second, got None: moments need times.")
    warn_whole(network, clips)
    n_frames = common_length(clips, rate, shortest, progress)
    plan = Plan.of(
        network,
        Clips(clips, rate),
        layers=layers,
        reduce=reduce,
        precision=precision,
        seed=seed,
    )
    each = replace(plan, shown=Frames(clips, rate, 0, n_frames))
    rows = each.run(budget=budget, batch_size=None, progress=progress)
    times = np.array([float(k / fraction) for k in range(n_frames)])
    return FramePatterns._of(rows, clips.ids, times)


def common_length(clips: ClipSet, rate: float | None, shortest: bool, progress: bool) -> int:
    """Return the number of frames of every clip, or of the shortest if that is asked for."""
    lengths = {}
    with progress_bar("frames", len(clips), show=progress) as tell:
        for i, name in enumerate(clips.ids):
            lengths[name] = clips.n_frames(name, rate=rate)
            tell(i + 1)
    counts = Counter(lengths.values())
    low = min(counts)
    if len(counts) > 1 and not shortest:
        usual = counts.most_common(1)[0][0]
        odd = [f"{name!r} has {n}" for name, n in lengths.items() if n != usual]
        more = f" and {len(odd) - 5} more differ" if len(odd) > 5 else ""
        raise InputError(
            f"expected the same number of frames in every clip, but {counts[usual]} of "
            f"{len(clips)} clips have {usual} and {', '.join(odd[:5])}{more}. Choose another "
            f"rate, average='patterns', or shortest=True to take the first {low} of each."
        )
    if len(counts) > 1:
        _log.warning("only the first %d frames of each clip are taken: shortest=True", low)
    return low


@dataclass(frozen=True)
class Clips(Images):
    """Clips as they go through a network: each the mean over its frames, summed in float64."""

    stimuli: ClipSet
    rate: float | None
    # How many frames there are shows only when clips are read.
    most = sys.maxsize

    @property
    def keys(self) -> tuple[str, ...]:
        """Hashes with what else the means depend on: rate and decoder."""
        how = f"mean over frames at {check_rate(self.rate) or 'all'}, av {version('av')}"
        return tuple(f"{digest} {how}" for digest in self.stimuli.sha256)

    def pictures(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[Picture]:
        """Yield a clip's frames, from and up to a number."""
        frames = islice(self.stimuli.frames(name, rate=self.rate), start, stop)
        for k, frame in enumerate(frames, start=start):
            yield f"{name}, frame {k}", frame

    def answers(self, names: Sequence[str], passes: Passes) -> Iterator[tuple[int, Rows]]:
        """Yield the means of each clip; no batch holds frames of two."""
        for name in names:
            total: dict[str, np.ndarray] = {}
            n_frames = 0
            for shown, rows in passes(self.pictures(name)):
                for layer, values in rows.items():
                    sums = total.setdefault(layer, np.zeros(values.shape[1]))
                    # Row by row: a sum of batches would depend on where these end.
                    for row in values:
                        sums += row
                n_frames += len(shown)
            means = {layer: (sums / n_frames).astype(np.float32) for layer, sums in total.items()}
            yield 1, {layer: mean[None] for layer, mean in means.items()}


@dataclass(frozen=True)
class Frames(Clips):
    """Some frames of each clip, each by itself, clip after clip."""

    start: int
    stop: int

    @property
    def ids(self) -> tuple[str, ...]:
        """Names, frame by frame within each clip."""
        numbers = range(self.start, self.stop)
        return tuple(f"{name}, frame {k}" for name in self.stimuli.ids for k in numbers)

    def answers(self, names: Sequence[str], passes: Passes) -> Iterator[tuple[int, Rows]]:
        """Yield batches; none holds frames of two clips."""
        for name in self.stimuli.ids:
            for shown, rows in passes(self.pictures(name, self.start, self.stop)):
                yield len(shown), rows
