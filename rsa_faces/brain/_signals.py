"""High gamma of intracranial recordings: sub-bands clear of line noise, power, edges."""

from __future__ import annotations

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.rdm.movie import starts_at

# Hz: width of a filter's flank, and so the distance kept from line noise; largest and smallest
# width of a sub-band. Power falls with frequency, so that one wide band would be its lowest part.
FLANK, WIDEST, NARROWEST = 10.0, 20.0, 5.0
_BYTES = 256 * 2**20


def sub_bands(band: tuple[float, float], line_noise: float) -> list[tuple[float, float]]:
    """Return sub-bands of `band`, each at least FLANK Hz from every harmonic of the line noise."""
    low, high = band
    edges = [low]
    harmonics = np.arange(1, np.ceil((high + FLANK) / line_noise) + 1) if line_noise else []
    for harmonic in np.multiply(harmonics, line_noise):
        edges += [harmonic - FLANK, harmonic + FLANK]
    edges.append(high)
    bands = []
    # Parts that are free begin at the band's lower edge or above a harmonic.
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        start, stop = max(start, low), min(stop, high)
        if stop - start >= NARROWEST:
            # The slack keeps a band of just 20 Hz from being cut in two by rounding.
            cuts = np.linspace(start, stop, int(np.ceil((stop - start) / WIDEST - 1e-9)) + 1)
            bands += list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))
    if not bands:
        raise InputError(
            f"expected a band with {NARROWEST:g} Hz or more that are {FLANK:g} Hz away from the "
            f"harmonics of {line_noise:g} Hz, got {low:g} to {high:g} Hz. Widen the band."
        )
    return bands


def half_filter(rate: float) -> int:
    """Return how many samples a filter reaches to each side."""
    # MNE's default length of a Hamming window: 3.3 / flank seconds.
    return int(np.ceil(3.3 / FLANK * rate)) // 2 + 1


def log_power(values: np.ndarray, rate: float, bands: list[tuple[float, float]], tell):
    """Yield the log power of the analytic signal in each sub-band, the shape of `values`.

    `tell` is told how many rows have been filtered.
    """
    from mne.filter import filter_data
    from scipy.fft import next_fast_len
    from scipy.signal import hilbert

    n_times, pad = values.shape[-1], half_filter(rate)
    # Hilbert's transform wraps around, so that what it mixes is padding only.
    length = next_fast_len(n_times + 4 * pad)
    rows = values.reshape(-1, n_times)
    block = max(1, _BYTES // (16 * 4 * length))
    for i, (low, high) in enumerate(bands):
        power = np.empty(rows.shape)
        for start in range(0, len(rows), block):
            part = np.pad(
                rows[start : start + block],
                ((0, 0), (2 * pad, length - n_times - 2 * pad)),
                mode="reflect",
            )
            part = filter_data(
                part,
                rate,
                low,
                high,
                l_trans_bandwidth=FLANK,
                h_trans_bandwidth=FLANK,
                filter_length=2 * pad + 1,
                copy=False,
                verbose="error",
            )
            amplitude = np.abs(hilbert(part, axis=-1)[:, 2 * pad : 2 * pad + n_times])
            # The logarithm of each sub-band before they are averaged: power falls with frequency,
            # and the lowest would be the mean.
            power[start : start + block] = 2 * np.log(amplitude)
            tell(i * len(rows) + start + len(part))
        yield power.reshape(values.shape)


def between_times(times: np.ndarray, ends, what: str) -> slice:
    """Return the samples from one time to another, both included."""
    start, stop = ends
    # Times of samples are counts over a rate: the end that is meant may be a rounding away.
    slack = 1e-6
    if not times[0] - slack <= start <= stop <= times[-1] + slack:
        raise InputError(
            f"expected a {what} within {times[0]:g} to {times[-1]:g} s (what the filter reaches "
            f"beyond is cut off), got {start:g} to {stop:g} s. Make longer epochs, or choose "
            "edges='mirror'."
        )
    inside = np.flatnonzero((times >= start - slack) & (times <= stop + slack))
    if not len(inside):
        raise InputError(f"expected a sample in the {what}, got none from {start:g} to {stop:g} s.")
    return slice(inside[0], inside[-1] + 1)


def grid_of_times(times: np.ndarray, window: float, step: float) -> np.ndarray:
    """Return the multiples of `step` at which a window within the recording begins.

    A recording reaches to one sample before its first and after its last one: what lies between
    samples does not depend on where a sampling rate happens to put them.
    """
    interval = (times[-1] - times[0]) / max(len(times) - 1, 1)
    if not (0 < window < np.inf and 0 < step < np.inf) or min(window, step) < interval * (1 - 1e-6):
        raise InputError(
            f"expected a window and a step of at least one sample ({interval:g} s), got "
            f"{window!r} and {step!r}."
        )
    n_samples = round(window / interval)
    low, high = np.floor((times[0] - interval) / step), np.ceil((times[-1] + interval) / step)
    # Multiples of the step, not sums from the first sample: recordings that begin apart share their
    # times.
    at = (np.arange(low, high + 1) * step).round(9)
    starts = starts_at(times, at, interval)
    inside = (starts >= 0) & (starts + n_samples <= len(times))
    if not inside.any():
        raise InputError(
            f"expected a window of at most the recording ({len(times) * interval:g} s), beginning "
            f"at a multiple of {step:g} s, got {window!r}."
        )
    return at[inside]


def binned(values: np.ndarray, times: np.ndarray, bin_width: float, rate: float):
    """Return means over bins that begin at multiples of their width, and the bins' centres.

    What does not fill a bin is left out. Recordings with other sampling rates have the same bins.
    """
    if not 1 / rate * (1 - 1e-6) <= bin_width <= len(times) / rate * (1 + 1e-6):
        raise InputError(
            f"expected a bin_width from {1 / rate:g} to {len(times) / rate:g} s, got {bin_width!r}."
        )
    first = np.floor((times[0] - 1 / rate) / bin_width)
    n_edges = int(np.ceil((times[-1] - times[0] + 3 / rate) / bin_width)) + 2
    edges = ((first + np.arange(n_edges)) * bin_width).round(9)
    starts = starts_at(times, edges, 1 / rate)
    inside = np.flatnonzero((starts[:-1] >= 0) & (starts[1:] <= len(times)))
    if not len(inside):
        raise InputError(
            f"expected a bin of {bin_width:g} s that begins at a multiple of its width within "
            f"{times[0]:g} to {times[-1]:g} s, got none. Take a smaller bin_width."
        )
    means = [values[..., starts[i] : starts[i + 1]].mean(axis=-1) for i in inside]
    return np.stack(means, axis=-1), (edges[inside] + bin_width / 2).round(9)


def check_signals(data: np.ndarray, names: list[str]) -> None:
    """Check that electrodes hold finite values that vary in every trial."""
    if not (finite := np.isfinite(data).all(axis=(0, 2))).all():
        bad = [names[i] for i in np.flatnonzero(~finite)]
        raise InputError(
            f"expected finite values, but {len(bad)} electrodes hold NaN or infinite ones: "
            f"{', '.join(map(repr, bad[:5]))}. Mark them as bad, or drop these epochs."
        )
    flat = (data == data[..., :1]).all(axis=2)
    if flat.any():
        bad = [names[i] for i in np.flatnonzero(flat.any(axis=0))]
        raise InputError(
            f"expected signals that vary, but {len(bad)} electrodes are flat in {int(flat.sum())} "
            f"trials: {', '.join(map(repr, bad[:5]))}. Mark them as bad, or drop these epochs."
        )
