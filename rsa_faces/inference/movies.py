"""Moments of clips against moments of a recording: at the same time, later, at any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width, t_test
from rsa_faces.comparison import compare
from rsa_faces.inference._recording import DIGITS, recording_of
from rsa_faces.inference._region import model_names
from rsa_faces.inference.bootstrap import draws_of
from rsa_faces.inference.maps import sign_flip_test
from rsa_faces.rdm import RDMs

_N_BOOT = 1000


@dataclass(frozen=True, eq=False, repr=False)
class MovieSimilarity(BaseResult, figure="plot_movies"):
    """The outcome of :func:`compare_movies`.

    Parameters
    ----------
    table : DataFrame
        One row per region, layer and lag; see :func:`compare_movies`.
    peaks : DataFrame
        One row per region and layer: at which lag `timing` is highest.
    model_times, data_times : ndarray
        In seconds, ascending.
    similarity : ndarray, shape (n_regions, n_layers, n_model_times, n_data_times)
        Mean over subjects.
    settings : mapping
        How it was done.

    See Also
    --------
    compare_movies : Compare moments of clips with those of a recording.
    rsa_faces.figures.plot_movies : Draw the similarity of all pairs of times, and at each lag.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import compare_movies
    >>> rng = np.random.default_rng(0)
    >>> names, at = [f"clip {i}" for i in range(12)], np.arange(6) / 5
    >>> model = rf.RDMs(rng.random((6, 66)), names, "simulated", {"time": at})
    >>> labels = {"subject": np.repeat(range(8), 6), "time": np.tile(at, 8)}
    >>> values = np.tile(model.vectors, (8, 1)) + rng.random((48, 66))
    >>> found = compare_movies(model, rf.RDMs(values, names, "simulated", labels))
    >>> found.similarity.shape, found.peaks["lag"].tolist()
    ((1, 1, 6, 6), [0.0])
    """

    table: pd.DataFrame
    peaks: pd.DataFrame
    model_times: np.ndarray
    data_times: np.ndarray
    similarity: np.ndarray


@keep_warnings
def compare_movies(
    model: RDMs,
    data: RDMs,
    *,
    method: str = "spearman",
    given: RDMs | None = None,
    blocks: Labels | None = None,
    max_lag: float | None = None,
    by: str = "subject",
    n_permutations: int = 9999,
    seed: int = 0,
) -> MovieSimilarity:
    """Compare moments of clips with those of a recording: at the same time, later, at any time.

    Parameters
    ----------
    model : RDMs
        With a label ``time``: moments of clips, as of :func:`rsa_faces.rdm.frame_rdms`; with
        several layers (labels ``network`` and ``layer``, or ``name``) the same times in each.
    data : RDMs
        With a label ``time``, as of :func:`rsa_faces.rdm.rdm_movie`, of at least 2 subjects; both
        times count from the beginning of the clip, in the same steps. With a label ``region``, each
        region on its own.
    method : str, default "spearman"
        As for :func:`rsa_faces.compare`.
    given : RDMs, optional
        Regressed out of both sides, as for :func:`rsa_faces.compare`: of average frames, say. With
        the labels ``network`` and ``layer`` of the model's layers, each from its own layer.
    blocks : mapping or Series of condition to block, optional
        Runs: pairs across runs are not used.
    max_lag : float, optional
        The longest lag in seconds, forth and back; by default half of the clip.
    by : str, default "subject"
        Label that tells subjects apart.
    n_permutations : int, default 9999
        Sign flips of subjects.
    seed : int, default 0

    Returns
    -------
    MovieSimilarity
        Its table has one row per region, layer and lag (data less model time, in seconds, above 0:
        the data follow): ``region``, ``network``, ``layer``, ``layer_index``, ``depth``, ``lag``;
        ``similarity`` (mean over subjects and pairs of times at that lag) with ``ci_low``,
        ``ci_high`` (t, over subjects); ``timing``: the same once the means of each model time and
        of each data time are taken away, with ``timing_low``, ``timing_high``, ``p`` (two-sided, t
        over subjects, of timing) and ``p_corrected`` (sign flips of subjects, by the largest of all
        lags and layers of a region); ``n_moments`` (pairs of times), ``n_subjects``,
        ``n_conditions``. ``peaks``: the lag with the highest timing of each layer, with the middle
        95 % of samples of subjects.

    Raises
    ------
    ConditionMismatchError
        If conditions differ.
    InputError
        If a label ``time`` lacks, layers or subjects have different times, steps of both sides
        differ, there are fewer than 2 subjects or 3 times, or as :func:`rsa_faces.compare`.

    Warns
    -----
    UserWarning
        With fewer than 6 subjects, where p values cannot be small.

    See Also
    --------
    time_course : Evaluate models that stay the same, at each time.
    time_generalization : Compare RDMs of data between all pairs of times.
    rsa_faces.figures.plot_movies : Draw the similarity of all pairs of times, and at each lag.

    Notes
    -----
    Clips that look different on average are similar to data at all lags: ``similarity`` away from 0
    does not say that moments correspond, ``timing`` does. With S the similarities of one subject,
    (n_model_times, n_data_times), it is the mean at a lag of S less means of rows and of columns
    plus the overall mean: 0 on average where times do not matter to one another, whatever the
    geometry that lasts. It is not 0 where both fit and signal rise together (after the onset of
    clips, say): compare with shuffled frames, :meth:`FramePatterns.shuffled`, whose fit does not
    rise. Neighbouring moments are alike, so that the peak is broad.

    p of each lag generalises to subjects, for these clips and this network. Where moments do not
    correspond, some lag of 9 has p_corrected ≤ 0.05 in 2.0 to 6.5 % of 400 simulated studies (6 and
    12 subjects); where noise trebles in the course of the clip, in 4.5 to 6.8 %, with `given` of
    average frames up to 14 %: too often, so look at shuffled frames as well.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import compare_movies
    >>> rng = np.random.default_rng(0)
    >>> names, at = [f"clip {i}" for i in range(12)], np.arange(6) / 5
    >>> model = rf.RDMs(rng.random((6, 66)), names, "simulated", {"time": at})
    >>> late = np.roll(model.vectors, 1, axis=0)  # made up: the data follow by 0.2 s
    >>> labels = {"subject": np.repeat(range(8), 6), "time": np.tile(at, 8)}
    >>> values = np.tile(late, (8, 1)) + rng.random((48, 66))
    >>> found = compare_movies(model, rf.RDMs(values, names, "simulated", labels))
    >>> found.peaks["lag"].tolist()
    [0.2]
    """
    check_arguments(compare_movies, locals())
    check_count(n_permutations, what="n_permutations", low=19)
    model, rows, times = _moments(model)
    taken_out = _own(given, model[rows[:, 0]])
    recording = recording_of(data, by)
    lags = _lags(times, recording.times, max_lag)
    longest = float(np.abs(lags[np.isfinite(lags)]).max())
    cells = {lag: lags == lag for lag in np.unique(lags[np.isfinite(lags)])}
    rng = as_rng(seed)
    tables, peaks, matrices = [], [], []
    for region, vectors in zip(recording.regions, recording.vectors, strict=True):
        n_subjects, n_times, n_pairs = vectors.shape
        if n_subjects < 2:
            raise InputError(f"expected at least 2 subjects, got {n_subjects}.")
        flat = RDMs(vectors.reshape(-1, n_pairs), data.conditions, data.measure)
        s = [
            compare(model[own], flat, method=method, given=out, blocks=blocks)
            for own, out in zip(rows, taken_out, strict=True)
        ]
        s = np.array(s).reshape(*rows.shape, n_subjects, n_times)
        s = np.moveaxis(s, 2, 0)  # subjects first
        if np.isnan(s).any():
            raise InputError(
                "expected similarities at all times, but some are undefined (an RDM is constant or "
                f"lacks pairs){f' in {region!r}' if region else ''}: leave these times out."
            )
        alone = s - s.mean(2, keepdims=True) - s.mean(3, keepdims=True)
        alone = alone + s.mean((2, 3), keepdims=True)
        at_lag, timing = (
            np.stack([x[..., cell].mean(axis=-1) for cell in cells.values()], axis=-1)
            for x in (s, alone)
        )
        tested = sign_flip_test(timing, n_permutations=n_permutations, seed=seed)
        drawn = draws_of(n_subjects, _N_BOOT, rng)
        found = np.array(list(cells))
        for i, names in model_names(model[rows[:, 0]]).iterrows():
            columns = {"region": region, **names, "lag": found}
            for name, values in (("similarity", at_lag[:, i]), ("timing", timing[:, i])):
                low, high, p = _over_subjects(values)
                prefix = "ci" if name == "similarity" else name
                columns |= {name: values.mean(axis=0), f"{prefix}_low": low, f"{prefix}_high": high}
            columns |= {"p": p, "p_corrected": tested.p[i]}
            columns["n_moments"] = [int(cell.sum()) for cell in cells.values()]
            columns |= {"n_subjects": n_subjects, "n_conditions": model.n_conditions}
            tables.append(pd.DataFrame(columns))
            best = found[(drawn @ timing[:, i]).argmax(axis=1)]
            low, high = np.percentile(best, (2.5, 97.5), method="nearest")
            lag = found[timing[:, i].mean(axis=0).argmax()]
            peaks.append({"region": region, **names, "lag": lag, "ci_low": low, "ci_high": high})
        matrices.append(s.mean(axis=0))
    settings = {"method": method, "max_lag": longest, "by": by, "seed": seed}
    settings |= {"n_permutations": n_permutations, "given": 0 if given is None else len(given)}
    return MovieSimilarity(
        pd.concat(tables, ignore_index=True),
        pd.DataFrame(peaks),
        times,
        recording.times,
        np.array(matrices),
        settings=settings,
    )


def _moments(model: RDMs) -> tuple[RDMs, np.ndarray, np.ndarray]:
    """Return the model with names, its rows (n_layers, n_times), and times."""
    labels = model.labels
    if not {"network", "name"} & set(labels.columns):
        model = model.with_labels(name="model")
    if "time" not in labels:
        raise InputError(
            "expected a model with a label 'time' in seconds, as frame_rdms gives it, got the "
            f"labels {', '.join(map(repr, labels.columns)) or 'none'}."
        )
    time = pd.to_numeric(labels["time"], errors="coerce").to_numpy(np.float64).round(DIGITS)
    times = np.unique(time)
    keys = model_names(model)[["network", "layer"]].agg(" ".join, axis=1)
    layers = list(dict.fromkeys(keys))
    rows = np.full((len(layers), len(times)), -1)
    rows[[layers.index(key) for key in keys], np.searchsorted(times, time)] = np.arange(len(time))
    if not np.isfinite(times).all() or (rows < 0).any() or rows.size != len(time):
        raise InputError("expected each layer of the model once at each of the same times.")
    return model, rows, times


def _own(given: RDMs | None, layers: RDMs) -> list[RDMs | None]:
    """Return what is taken out of each layer: its own RDM where there is one for each, or all."""
    keys = ["network", "layer"]
    if given is None or not all({*keys} <= {*x.labels.columns} for x in (given, layers)):
        return [given] * len(layers)
    place = {key: i for i, key in enumerate(given.labels[keys].itertuples(index=False, name=None))}
    found = list(layers.labels[keys].itertuples(index=False, name=None))
    if len(place) != len(given) or set(place) != set(found):
        raise InputError(
            "expected `given` with one RDM for each layer of the model, or without the labels "
            f"'network' and 'layer', got {len(given)} for {len(layers)} layers."
        )
    return [given[[place[key]]] for key in found]


def _lags(model: np.ndarray, data: np.ndarray, longest: float | None) -> np.ndarray:
    """Return the lag of each pair of times, NaN where it is too long."""
    for what, times in (("model", model), ("data", data)):
        if len(times) < 3:
            raise InputError(f"expected at least 3 times of the {what}, got {len(times)}.")
    steps = np.concatenate([np.diff(model), np.diff(data)])
    if np.ptp(steps) > 0.01 * steps.mean():
        raise InputError(
            "expected the same even steps in model and data, but times are "
            f"{np.diff(model).min():g} to {np.diff(model).max():g} s apart in the model and "
            f"{np.diff(data).min():g} to {np.diff(data).max():g} s in the data. Choose `window` "
            "and `step` of frame_rdms and rdm_movie alike."
        )
    step = steps.mean()
    number = np.arange(len(data)) - np.arange(len(model))[:, None]
    # Pairs of times with one lag must have one number, or each would be a lag of its own.
    lags = (number * step + data[0] - model[0]).round(6)
    most = (model[-1] - model[0] + step) / 2 if longest is None else longest
    lags = np.where(np.abs(lags) <= most + 1e-6, lags, np.nan)
    if np.isnan(lags).all():
        raise InputError(
            f"expected times of model ({model[0]:g} to {model[-1]:g} s) and data ({data[0]:g} to "
            f"{data[-1]:g} s) within {most:g} s of each other, got none."
        )
    return lags


def _over_subjects(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ends of intervals and p of the mean over subjects, at each lag."""
    n, mean = len(values), values.mean(axis=0)
    sem = values.std(axis=0, ddof=1) / np.sqrt(n)
    half = half_width(sem, n - 1)
    return mean - half, mean + half, t_test(mean, sem, n - 1)
