"""RDMs of clips: of their mean patterns, or averaged over their frames."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice, parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces.extraction.clips import Plan, extract_clips, frame_patterns, plan_clips
from rsa_faces.rdm._rdms import RDMs
from rsa_faces.rdm._ties import UNIT, settle
from rsa_faces.rdm.compute import compute_rdms, warn_undefined
from rsa_faces.rdm.measures import Measure, resolve_plain

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli.clips import ClipSet

_log = logging.getLogger(__name__)

AVERAGES = ("patterns", "rdms")


def clip_rdms(
    network: Network,
    clips: ClipSet,
    *,
    layers: str | Sequence[str] = "all",
    rate: float | None = None,
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    average: str = "patterns",
    shortest: bool = False,
    budget: str | int = "4GB",
    progress: bool = True,
) -> RDMs:
    """Build the RDM of each layer over clips.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    clips : ClipSet
        From :func:`rsa_faces.stimuli.load_clips`; at least two.
    layers : str or sequence of str, default "all"
        As for :func:`rsa_faces.extract`.
    rate : float, optional
        Frames per second of presentation time, as for :meth:`ClipSet.frames`. By default every
        frame of the file once.
    measure : str, Measure or callable, default "correlation"
        euclidean, sqeuclidean, correlation, cosine or poisson.
    average : {"patterns", "rdms"}, default "patterns"
        "patterns": the pattern of a clip is the mean over its frames, and the RDM is that of these
        patterns; clips may have different numbers of frames. "rdms": an RDM is made of frame k of
        every clip, and these RDMs are averaged over k; all clips must have the same number.
    shortest : bool, default False
        For "rdms": take as many frames of each clip as the shortest has, and leave the others out.
    budget : str or int, default "4GB"
        Memory for activations and frames. What does not fit goes through temporary files.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    RDMs
        One per layer, in order of computation, with the labels ``network``, ``layer``,
        ``layer_index`` and ``depth``; for "rdms" also ``n_averaged``, the number of frames, and
        ``n_averaged_min``, the fewest in which any pair had a dissimilarity.

    Raises
    ------
    InputError
        As :func:`rsa_faces.extraction.extract_clips` and :func:`rsa_faces.compute_rdms` do; for
        "rdms" if clips differ in their number of frames (they are named) and `shortest` is False.

    Warns
    -----
    UserWarning
        If a pattern is constant (correlation) or zero (cosine): its pairs are NaN. For "rdms" only
        if it is so in every frame; otherwise the frames in which it is not are averaged. Also if
        the network was trained on cut-out faces and the clips are not cut.

    See Also
    --------
    layer_rdms : Build the RDM of each layer while the stimuli pass through the network.
    load_clips : Load the video clips of a folder.

    Notes
    -----
    With b_ik the pattern of frame k of clip i, D the dissimilarity and K the number of frames,
    "patterns" gives D(Σ_k b_ik / K, Σ_k b_jk / K) and "rdms" gives Σ_k D(b_ik, b_jk) / K. The
    first asks what a clip shows on the whole; noise of single frames averages out of it. The
    second compares the clips moment by moment, so that clips with the same frames in another
    order are different, and movements that are not in step add dissimilarity. Reference [1]_
    averaged over frames within a clip.

    For "rdms" every file is decoded once to count its frames, and once more for each group of
    frames whose activations fit on disk.

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
    >>> clip_rdms(network, clips, rate=2, average="patterns")  # doctest: +SKIP
    RDMs(16 RDMs, 707 conditions, measure='correlation', labels: network, layer, layer_index, depth)
    """
    check_arguments(clip_rdms, locals())
    measure = resolve_plain(measure)
    check_choice(average, AVERAGES, what="average")
    if len(clips) < 2:
        raise InputError(f"expected at least 2 clips, got {len(clips)}.")
    if average == "patterns":
        activations = extract_clips(
            network, clips, layers=layers, rate=rate, budget=budget, progress=progress
        )
        return compute_rdms(activations, measure=measure)
    plan = plan_clips(network, clips, layers=layers, rate=rate, budget=budget, batch_size=None)
    n_frames = _common_length(clips, rate, shortest, progress)
    mean, counts = _mean_of_frames(
        network, clips, plan, rate, n_frames, measure, parse_bytes(budget), progress
    )
    for layer, vector in mean.items():
        warn_undefined(vector, clips.ids, measure, layer)
    labels = pd.DataFrame(
        {
            "network": network.name,
            "layer": list(mean),
            "layer_index": range(len(mean)),
            "depth": [plan.found.depth[layer] for layer in mean],
            "n_averaged": n_frames,
            "n_averaged_min": [int(counts[layer].min()) for layer in mean],
        }
    )
    return RDMs(np.vstack(list(mean.values())), clips.ids, measure.name, labels)


def _common_length(clips: ClipSet, rate: float | None, shortest: bool, progress: bool) -> int:
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


def _mean_of_frames(
    network: Network,
    clips: ClipSet,
    plan: Plan,
    rate: float | None,
    n_frames: int,
    measure: Measure,
    budget: int,
    progress: bool,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return each layer's mean dissimilarities over frames and how many entered each pair."""
    layouts = plan.found.layouts
    n_pairs = len(clips) * (len(clips) - 1) // 2
    total = {layer: np.zeros(n_pairs) for layer in layouts}
    counts = {layer: np.zeros(n_pairs, np.int32) for layer in layouts}
    with tempfile.TemporaryDirectory(prefix="rsa-faces-") as folder:
        shelf = _Shelf(
            {layer: layouts[layer].n_channels for layer in layouts},
            len(clips),
            n_frames,
            budget,
            Path(folder),
        )
        groups = range(0, n_frames, shelf.n_held)
        size = plan.batch_size
        with (
            shelf,
            frame_patterns(
                network, clips, plan.found, list(layouts), rate=rate, batch_size=size
            ) as of_clip,
            progress_bar(network.name, len(groups) * len(clips), show=progress) as tell,
        ):
            for g, start in enumerate(groups):
                stop = min(start + shelf.n_held, n_frames)
                for i, name in enumerate(clips.ids):
                    for k, rows in of_clip(name, start, stop):
                        shelf.write(i, k - start, rows)
                    tell(g * len(clips) + i + 1)
                for layer in layouts:
                    for k in range(stop - start):
                        vector = measure.of_layer(shelf.read(layer, k))
                        measured = ~np.isnan(vector)
                        total[layer][measured] += vector[measured]
                        counts[layer] += measured
    with np.errstate(invalid="ignore"):
        mean = {layer: total[layer] / counts[layer] for layer in layouts}
    # Means that are equal must be: sums in another order differ in the last digit.
    known_to = UNIT * (n_frames + 1)
    most = {layer: np.nanmax(np.abs(vector), initial=0.0) for layer, vector in mean.items()}
    return {layer: settle(mean[layer], known_to * most[layer]) for layer in layouts}, counts


class _Shelf:
    """Patterns of some frames of all clips, in memory if they fit, otherwise in files.

    Frame, clip, channel in that order, so that the patterns of one frame are one piece. Plain
    files and not memory maps, whose pages would count as memory of this process.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        n_clips: int,
        n_frames: int,
        budget: int,
        folder: Path,
    ) -> None:
        self._channels, self._n_clips, self._folder = channels, n_clips, folder
        per_frame = 4 * n_clips * sum(channels.values())
        largest = 4 * n_clips * max(channels.values())
        self._arrays: dict[str, np.ndarray] | None = None
        self._files: dict[str, BinaryIO] = {}
        self.n_held = min(n_frames, budget // 2 // per_frame)
        if self.n_held == n_frames:
            shape = (self.n_held, n_clips)
            self._arrays = {
                layer: np.empty((*shape, n), np.float32) for layer, n in channels.items()
            }
            return
        if largest > budget:
            _log.warning("one layer of one frame of all clips is larger than the budget")
        free = shutil.disk_usage(folder).free
        # Half of what is free: others write there too.
        self.n_held = min(n_frames, free // 2 // per_frame)
        if self.n_held < 1:
            raise InputError(
                f"expected {2 * per_frame / 1e9:.1f} GB free for activations in {folder.parent}, "
                f"but there are {free / 1e9:.1f} GB. Take fewer layers, or set TMPDIR to a folder "
                "on another disk."
            )
        _log.info(
            "patterns of %d frames of all clips are kept in %s, %.1f GB",
            self.n_held,
            folder,
            self.n_held * per_frame / 1e9,
        )

    def __enter__(self) -> _Shelf:
        if self._arrays is None:
            self._files = {
                layer: (self._folder / str(i)).open("w+b") for i, layer in enumerate(self._channels)
            }
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, clip: int, k: int, rows: Mapping[str, np.ndarray]) -> None:
        """Keep the rows of a clip's frames from k on."""
        for layer, values in rows.items():
            if self._arrays is not None:
                self._arrays[layer][k : k + len(values), clip] = values
                continue
            file, row_bytes = self._files[layer], 4 * self._channels[layer]
            for j, row in enumerate(values, start=k):
                file.seek((j * self._n_clips + clip) * row_bytes)
                file.write(row.data)

    def read(self, layer: str, k: int) -> np.ndarray:
        """Return the patterns of frame k, shape (n_clips, n_channels)."""
        if self._arrays is not None:
            return self._arrays[layer][k]
        file, n = self._files[layer], self._n_clips * self._channels[layer]
        file.seek(4 * n * k)
        return np.fromfile(file, np.float32, n).reshape(self._n_clips, -1)
