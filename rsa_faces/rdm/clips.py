"""RDMs of clips: of their mean patterns, or averaged over their frames."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rsa_faces._core.checks import check_arguments, check_choice, check_enough, parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces.extraction._checks import warn_whole
from rsa_faces.extraction._extract import Plan
from rsa_faces.extraction.clips import (
    Clips,
    FramePatterns,
    Frames,
    common_length,
    extract_clips,
)
from rsa_faces.rdm._rdms import RDMs, concat
from rsa_faces.rdm._ties import UNIT, settle
from rsa_faces.rdm.compute import compute_rdms, layer_labels, warn_undefined
from rsa_faces.rdm.measures import Measure, resolve_plain
from rsa_faces.rdm.movie import rdm_movie

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli.clips import ClipSet

AVERAGES = ("patterns", "rdms")
ASPECTS = ("average", "movement", "moments")


def clip_rdms(
    network: Network,
    clips: ClipSet,
    *,
    layers: str | Sequence[str] = "all",
    rate: float | None = None,
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    average: str = "patterns",
    shortest: bool = False,
    store: str | os.PathLike[str] | None = None,
    budget: str | int = "4GB",
    reduce: str | int | None = None,
    precision: str = "float32",
    seed: int = 0,
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
    store : path-like, optional
        As for :func:`rsa_faces.extraction.extract_clips`; for "patterns" only.
    budget : str or int, default "4GB"
        Memory for activations and frames. What does not fit goes through temporary files.
    reduce, precision, seed
        As for :func:`rsa_faces.extract`; each frame is reduced.
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
    frame_rdms : RDMs of how clips look on average, how they move, and of each moment.
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
    check_enough(len(clips), 2, "clips")
    if average == "patterns":
        activations = extract_clips(
            network,
            clips,
            layers=layers,
            rate=rate,
            store=store,
            budget=budget,
            reduce=reduce,
            precision=precision,
            seed=seed,
            progress=progress,
        )
        return compute_rdms(activations, measure=measure)
    warn_whole(network, clips)
    plan = Plan.of(
        network, Clips(clips, rate), layers=layers, reduce=reduce, precision=precision, seed=seed
    )
    n_frames = common_length(clips, rate, shortest, progress)
    mean, counts = _mean_of_frames(
        plan, clips, rate, n_frames, measure, parse_bytes(budget), progress
    )
    for layer, vector in mean.items():
        warn_undefined(vector, clips.ids, measure, layer)
    labels = layer_labels(network.name, {layer: plan.found.depth[layer] for layer in mean}).assign(
        n_averaged=n_frames, n_averaged_min=[int(counts[layer].min()) for layer in mean]
    )
    return RDMs(np.vstack(list(mean.values())), clips.ids, measure.name, labels)


def frame_rdms(
    frames: FramePatterns,
    *,
    of: str = "moments",
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    window: float | None = None,
    step: float | None = None,
) -> RDMs:
    """Build RDMs of how clips look on average, of how they move, or of each moment.

    Parameters
    ----------
    frames : FramePatterns
        From :func:`rsa_faces.extraction.extract_frames`; at least 2 clips.
    of : {"moments", "movement", "average"}, default "moments"
        "moments": an RDM for each frame, or window; "movement": one of the changes from frame to
        frame; "average": one of the means over frames.
    measure : str, Measure or callable, default "correlation"
        euclidean, sqeuclidean, correlation, cosine or poisson.
    window, step : float, optional
        Of moments, in seconds, as for :func:`rsa_faces.rdm.rdm_movie`; by default each frame.

    Returns
    -------
    RDMs
        With the labels ``network``, ``layer``, ``layer_index``, ``depth``, and of moments ``time``
        (in seconds from the beginning of a clip, the middle of the window).

    Raises
    ------
    InputError
        If `of` is unknown, a window is given for anything but moments, or there is one frame.

    Warns
    -----
    UserWarning
        If a pattern is constant (correlation) or zero (cosine; a clip that does not move): its
        pairs are NaN.

    See Also
    --------
    clip_rdms : The same averages without keeping frames.
    rsa_faces.analyses.movement_adds : Ask what movement adds to averages.
    rsa_faces.inference.compare_movies : Compare moments of clips with those of a recording.

    Notes
    -----
    With x_k the pattern of frame k of K, averages are of Σ_k x_k / K, and movement of all
    x_{k+1} − x_k side by side: what stays the same within a clip drops out of it, and clips that
    move alike, but not at the same moment, are different. Averages do not depend on the order of
    frames but for rounding; movement and moments do: see :meth:`FramePatterns.shuffled`.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.extraction import FramePatterns
    >>> from rsa_faces.rdm import frame_rdms
    >>> x = np.random.default_rng(0).normal(size=(4, 20, 5))
    >>> frames = FramePatterns({"fc": x}, list("abcd"), [0, 0.2, 0.4, 0.6, 0.8])
    >>> frame_rdms(frames)
    RDMs(5 RDMs, 4 conditions, measure='correlation', labels: network, layer, layer_index, depth,
    time)
    """
    check_arguments(frame_rdms, locals())
    measure = resolve_plain(measure)
    check_choice(of, ASPECTS, what="aspect of clips")
    if of != "moments" and (window is not None or step is not None):
        raise InputError(f"expected `window` and `step` for moments only, got of={of!r}.")
    if of == "movement" and len(frames.times) < 2:
        raise InputError("expected at least 2 frames for movement, got 1.")
    labels = layer_labels(frames.network, dict(frames.depth))
    made = []
    for i, (_, patterns) in enumerate(frames.items()):
        options: dict[str, Any] = {"conditions": frames.conditions, "measure": measure}
        if of == "moments":
            own = rdm_movie(
                patterns, times=frames.times.tolist(), window=window, step=step, **options
            )
        elif of == "movement":
            changes = np.diff(patterns.astype(np.float64), axis=2)
            own = compute_rdms(changes.reshape(len(changes), -1), **options)
        else:
            own = compute_rdms(patterns.mean(axis=2, dtype=np.float64), **options)
        table = labels.iloc[[i] * len(own)].reset_index(drop=True)
        time = {"time": own.labels["time"]} if of == "moments" else {}
        made.append(RDMs(own.vectors, own.conditions, own.measure, table.assign(**time)))
    return concat(made)


def _mean_of_frames(
    plan: Plan,
    clips: ClipSet,
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
    n_held = _frames_at_a_time(plan.row_bytes * len(clips), n_frames, budget)
    for start in range(0, n_frames, n_held):
        stop = min(start + n_held, n_frames)
        group = replace(plan, shown=Frames(clips, rate, start, stop))
        patterns = group.run(budget=budget, batch_size=None, progress=progress)
        for layer in layouts:
            for k in range(stop - start):
                vector = measure.of_layer(np.asarray(patterns.patterns(layer)[k :: stop - start]))
                measured = ~np.isnan(vector)
                total[layer][measured] += vector[measured]
                counts[layer] += measured
        del patterns  # before the next group takes its room
    with np.errstate(invalid="ignore"):
        mean = {layer: total[layer] / counts[layer] for layer in layouts}
    # Means that are equal must be: sums in another order differ in the last digit.
    known_to = UNIT * (n_frames + 1)
    most = {layer: np.nanmax(np.abs(vector), initial=0.0) for layer, vector in mean.items()}
    return {layer: settle(mean[layer], known_to * most[layer]) for layer in layouts}, counts


def _frames_at_a_time(per_frame: int, n_frames: int, budget: int) -> int:
    """Return how many frames of all clips are kept: all, or what half of the free disk takes."""
    if per_frame * n_frames <= budget // 2:
        return n_frames
    # Half of what is free: others write there too.
    free = shutil.disk_usage(tempfile.gettempdir()).free
    n_held = min(n_frames, free // 2 // per_frame)
    if n_held < 1:
        raise InputError(
            f"expected {2 * per_frame / 1e9:.1f} GB free for activations in "
            f"{tempfile.gettempdir()}, but there are {free / 1e9:.1f} GB. Take fewer layers, or "
            "set TMPDIR to a folder on another disk."
        )
    return n_held
