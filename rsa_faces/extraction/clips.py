"""Clips through a network: frame by frame, averaged within each clip."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.checks import check_arguments, check_seed
from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._checks import warn_whole
from rsa_faces.extraction._extract import Images, Passes, Picture, Plan, Rows
from rsa_faces.stimuli.clips import check_rate

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli.clips import ClipSet


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


@dataclass(frozen=True)
class Clips(Images):
    """Clips as they go through a network: each the mean over its frames, summed in float64."""

    stimuli: ClipSet
    rate: float | None
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
