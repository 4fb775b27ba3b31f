"""RDMs over time: one RDM for each window of a recording."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import named
from rsa_faces._core.warning import warn
from rsa_faces.rdm._rdms import RDMs
from rsa_faces.rdm.compute import compute_rdms
from rsa_faces.rdm.measures import Measure
from rsa_faces.rdm.noise import NoiseCovariance

POOLINGS = ("average", "concatenate")
_DIGITS = 9  # Times are kept to the nanosecond: the same window has the same label everywhere.


def rdm_movie(
    patterns: np.ndarray,
    *,
    times: Sequence[float],
    conditions: Sequence[str] | None = None,
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    window: float | None = None,
    step: float | None = None,
    at: Sequence[float] | None = None,
    pool: str = "average",
    folds: Sequence[Any] | None = None,
    noise: str | np.ndarray | NoiseCovariance | Sequence[NoiseCovariance] | None = None,
    noise_from: str = "all",
) -> RDMs:
    """Build one RDM for each time window of a recording.

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_channels, n_times)
        Responses of electrodes or sensors, one row per condition; for crossnobis and mahalanobis
        (n_observations, n_channels, n_times), with repeats.
    times : sequence of float, shape (n_times,)
        Time of each sample in seconds, ascending.
    conditions : sequence of str
        The condition of each row.
    measure : str, Measure or callable, default "correlation"
        As in :func:`rsa_faces.compute_rdms`.
    window : float, optional
        Length of the window in seconds; the nearest whole number of samples is used. Without it
        every sample is a window of its own.
    step : float, optional
        From one window to the next, in seconds, to the nearest whole number of samples; by
        default one sample.
    at : sequence of float, optional
        When windows begin, in seconds, in the place of `step`: a window takes in the first sample
        at or after this time and those that follow. Recordings with other sampling rates then have
        the same windows, whose centres are ``at + window / 2``.
    pool : {"average", "concatenate"}, default "average"
        What becomes of the samples of a window. "average": each channel is averaged over them, so
        that only the mean response of the window counts. "concatenate": each sample is an
        additional channel (n_channels · n_samples of them, the samples of a channel side by side),
        so that the time course within the window counts too.
    folds : sequence, optional
        The fold (run, session) of each row; needed for crossnobis.
    noise : {"ledoit-wolf", "schaefer-strimmer"}, NoiseCovariance or ndarray, optional
        As in :func:`rsa_faces.compute_rdms`, estimated in each window on its own, or one for all.
        For "concatenate" its channels are the additional ones.
    noise_from : {"all", "fold"}, default "all"
        As in :func:`rsa_faces.compute_rdms`.

    Returns
    -------
    RDMs
        One RDM per window. Label ``time``: the centre of the window in seconds (mean time of its
        samples); ``shrinkage`` where noise was estimated.

    Raises
    ------
    InputError
        If shapes do not fit, times do not ascend or are not evenly spaced although a window or a
        step is asked for, a window is shorter than a sample or longer than the recording, or
        whatever :func:`rsa_faces.compute_rdms` refuses.

    Warns
    -----
    UserWarning
        If a pattern is constant (correlation) or zero (cosine) in a window, as it is where a
        recording was set to 0: its pairs are NaN there. One warning for all windows.

    See Also
    --------
    rsa_faces.inference.time_course : Evaluate how well models predict data at each time.

    Notes
    -----
    The RDM of a window is that of :func:`rsa_faces.compute_rdms` on the pooled samples. Windows
    that would leave the recording are not made: nothing is padded. A window of w samples takes in
    what happens up to w/2 samples before and after its centre, so that an effect seems to begin
    up to that much earlier than it does.

    Evenly spaced means to 1 % of the sampling interval.

    References
    ----------
    .. [1] Cichy R. M., Pantazis D., Oliva A. (2014). Nature Neuroscience 17, 455-462.
       doi:10.1038/nn.3635

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.rdm.movie import rdm_movie
    >>> patterns = np.random.default_rng(0).normal(size=(4, 20, 100))
    >>> times = np.arange(100) / 100 - 0.2
    >>> movie = rdm_movie(
    ...     patterns, times=times, conditions=list("abcd"), window=0.05, step=0.05
    ... )
    >>> movie
    RDMs(20 RDMs, 4 conditions, measure='correlation', labels: time)
    >>> movie.labels["time"].head(3).tolist()
    [-0.18, -0.13, -0.08]
    """
    check_choice(pool, POOLINGS, what="pool")
    form = "n_{of}s, n_channels, n_times"
    patterns, conditions = named(patterns, conditions, what="patterns", form=form, repeats=True)
    if patterns.ndim != 3 or 0 in patterns.shape:
        raise InputError(
            f"expected patterns of shape (n_conditions, n_channels, n_times), got {patterns.shape}."
        )
    times = check_times(times, patterns.shape[2])
    interval = np.nan if window is None and step is None else _interval(times)  # where needed
    n_samples = 1 if window is None else _n_samples(window, interval, len(times), "window")
    if at is not None:
        if window is None or step is not None:
            raise InputError("expected `at` with a window and without a step.")
        starts = starts_at(times, at, interval)
        if not len(starts) or starts.min() < 0 or starts.max() + n_samples > len(times):
            raise InputError(
                f"expected windows of {window:g} s within {times[0]:g} to {times[-1]:g} s, got "
                f"beginnings {np.asarray(at).tolist()[:5]}."
            )
        centers = (np.asarray(at, dtype=np.float64) + window / 2).round(_DIGITS)
    else:
        stride = 1 if step is None else _n_samples(step, interval, None, "step")
        starts = np.arange(0, len(times) - n_samples + 1, stride)
        centers = np.array([times[s : s + n_samples].mean() for s in starts]).round(_DIGITS)
    windows = _Windows(patterns, starts, centers, n_samples, pool)
    with warnings.catch_warnings(record=True, action="always") as caught:
        movie = compute_rdms(
            windows,
            measure=measure,
            conditions=conditions,
            folds=folds,
            noise=noise,
            noise_from=noise_from,
        )
    _warn_once([str(w.message) for w in caught])
    labels = movie.labels.drop(columns="name")
    labels.insert(0, "time", centers)
    return RDMs(movie.vectors, movie.conditions, movie.measure, labels)


def check_times(times: Sequence[float], n_times: int) -> np.ndarray:
    """Return times as an ascending array of `n_times` seconds."""
    times = np.asarray(times, dtype=np.float64)
    if times.shape != (n_times,):
        raise InputError(f"expected {n_times} times, one per sample, got shape {times.shape}.")
    if not np.isfinite(times).all():
        raise InputError("expected finite times in seconds, got NaN or infinite ones.")
    backward = np.flatnonzero(np.diff(times) <= 0)
    if len(backward):
        i = int(backward[0])
        raise InputError(
            f"expected ascending times in seconds, got {times[i + 1]:g} after {times[i]:g}."
        )
    return times


def starts_at(times: np.ndarray, at: Sequence[float], interval: float) -> np.ndarray:
    """Return the first sample at or after each time, as a number; below 0 before the recording."""
    # Times are multiples of the interval to rounding: a millionth of a sample before is at it.
    return np.ceil((np.asarray(at) - times[0]) / interval - 1e-6).astype(int)


class _Windows(Mapping):
    """The pooled patterns of each window, made when they are asked for."""

    def __init__(self, patterns, starts, centers, n_samples, pool):
        self._patterns, self._n_samples, self._pool = patterns, n_samples, pool
        self._starts = {f"{float(c)!r} s": s for c, s in zip(centers, starts, strict=True)}

    def __getitem__(self, name: str) -> np.ndarray:
        start = self._starts[name]
        part = self._patterns[:, :, start : start + self._n_samples]
        if self._pool == "concatenate" or self._n_samples == 1:
            return part.reshape(len(part), -1)
        # Whole numbers and float32 are summed in float64, as everywhere.
        return part.mean(axis=2, dtype=np.float64 if part.dtype.kind in "fiub" else None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._starts)

    def __len__(self) -> int:
        return len(self._starts)


def _interval(times: np.ndarray) -> float:
    """Return the sampling interval of evenly spaced times."""
    if len(times) < 2:
        raise InputError("expected at least 2 samples for a window or step in seconds, got 1.")
    gaps = np.diff(times)
    interval = float((times[-1] - times[0]) / (len(times) - 1))
    worst = int(np.argmax(np.abs(gaps - interval)))
    if abs(gaps[worst] - interval) > 0.01 * interval:
        raise InputError(
            "expected evenly spaced times for a window or step in seconds, but samples are "
            f"{interval:g} s apart on average and {gaps[worst]:g} s after {times[worst]:g} s. "
            "Resample the recording, or leave `window` and `step` out."
        )
    return interval


def _n_samples(seconds: float, interval: float, most: int | None, what: str) -> int:
    """Return how many samples `seconds` are, at least 1 and at most the recording."""
    known = isinstance(seconds, (int, float, np.number)) and not isinstance(seconds, bool)
    n = round(float(seconds) / interval) if known and np.isfinite(seconds) else 0
    if n < 1:
        raise InputError(
            f"expected a {what} of at least one sample ({interval:g} s), got {seconds!r}."
        )
    if most is not None and n > most:
        raise InputError(
            f"expected a {what} of at most the recording ({most * interval:g} s), got {seconds!r}."
        )
    return n


def _warn_once(messages: list[str]) -> None:
    """Warn of the first window with undefined patterns, and say how many more there are."""
    if messages:
        more = f" {len(messages) - 1} more windows have some." if len(messages) > 1 else ""
        warn(messages[0] + more)
