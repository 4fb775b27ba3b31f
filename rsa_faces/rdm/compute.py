"""From patterns to RDMs: the public door to the measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_enough, check_unique_names
from rsa_faces._core.errors import InputError, InputTypeError
from rsa_faces._core.labels import per_row
from rsa_faces._core.names import named, unnamed
from rsa_faces._core.warning import warn
from rsa_faces.rdm._cells import Cells
from rsa_faces.rdm._rdms import RDMs
from rsa_faces.rdm.measures import Measure, resolve
from rsa_faces.rdm.noise import NoiseCovariance, check_noise_from, fold_noise, shrinkage_of

if TYPE_CHECKING:
    from rsa_faces.extraction import Activations

_AT_A_TIME = 2**17  # values that are looked at together, so that little memory is needed


def compute_rdms(
    data: Activations | Mapping[str, np.ndarray] | np.ndarray,
    *,
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    conditions: Sequence[str] | None = None,
    folds: Sequence[Any] | None = None,
    noise: str | np.ndarray | NoiseCovariance | Sequence[NoiseCovariance] | None = None,
    noise_from: str = "all",
) -> RDMs:
    """Build RDMs from patterns.

    Parameters
    ----------
    data : Activations, mapping of name to patterns, array, DataFrame, tensor or DataArray
        Patterns have shape (n_conditions, n_channels), any real type; for crossnobis and
        mahalanobis (n_observations, n_channels), with repeats. One RDM is made per layer or name.
        A mapping of condition to its pattern, shape (n_channels,), makes one RDM.
    measure : str, Measure or callable, default "correlation"
        One of `rsa_faces.rdm.MEASURES`: euclidean, sqeuclidean, correlation, cosine, mahalanobis,
        crossnobis, poisson; or a function of patterns (n_conditions, n_channels) that returns the
        dissimilarities (n_pairs,) of the upper triangle, row by row.
    conditions : sequence of str, optional
        The condition of each row; not needed for patterns that bring names (Activations, an
        index, coordinates), which are put into this order and must be the same. A Series that
        shares its index with the patterns says which condition each of their rows is of. Repeats
        are averaged by mahalanobis and, within each fold, by crossnobis; for other measures they
        are an error.
    folds : sequence, optional
        The fold (run, session) of each row, all text or all numbers; needed for crossnobis.
    noise : {"ledoit-wolf", "schaefer-strimmer"}, NoiseCovariance or ndarray, optional
        Noise covariance Σ for mahalanobis and crossnobis (not its inverse): estimated from the
        repeats' deviations from their condition's mean (for crossnobis within each fold: noise
        estimated from differences between folds would bias it above 0), or given, as
        :func:`rsa_faces.rdm.noise_covariance` returns it or with shape (n_channels, n_channels);
        for crossnobis also one for each fold, in sorted order: a sequence, or an array of shape
        (n_folds, n_channels, n_channels). Without it crossnobis uses the identity.
    noise_from : {"all", "fold"}, default "all"
        Where noise is estimated from repeats: one covariance of all folds, or for crossnobis one
        for each; then a pair of folds uses the mean of its two.

    Returns
    -------
    RDMs
        Labels: ``network``, ``layer``, ``layer_index`` and ``depth`` for Activations; ``name`` for
        a mapping; ``shrinkage`` where noise was estimated (of several covariances the mean).
        Conditions in order of first appearance.

    Raises
    ------
    InputError
        If shapes do not fit, a value is not finite (the condition is named), a measure is unknown
        (the nearest is named), or what a measure needs is missing: crossnobis wants every
        condition in every fold, and lists what is not there.

    Warns
    -----
    UserWarning
        If a pattern is constant (correlation) or zero (cosine): its pairs are NaN, and it is
        named. A NaN never spreads to other pairs.

    See Also
    --------
    layer_rdms : Build the RDM of each layer while the stimuli pass through the network.
    compare : Compare model RDMs with data RDMs.
    rsa_faces.rdm.noise_covariance : Estimate the noise covariance of channels from residuals.

    Notes
    -----
    Sums are kept in float64 whatever the type of the patterns. See `rsa_faces.rdm.measures` for
    the definition, range and source of each measure.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> patterns = np.random.default_rng(0).normal(size=(4, 50))
    >>> rf.compute_rdms(patterns, conditions=list("abcd"), measure="correlation")
    RDMs(1 RDM, 4 conditions, measure='correlation', labels: none)
    """
    measure = resolve(measure)
    measure.check(folds=folds, noise=noise)
    check_noise_from(noise_from, measure, None)
    labels: pd.DataFrame | None = None
    if isinstance(data, Mapping) and not _is_of_rows(data):
        if not len(data):
            raise InputError("expected at least one entry of patterns, got an empty mapping.")
        read = getattr(data, "patterns", data.__getitem__)
        items = ((name, read(name)) for name in data)
        labels = _labels(data)
    else:
        items = [("", data)]
    if noise is not None and not isinstance(noise, str) and not _estimates(noise):
        noise = unnamed(noise, what="noise covariance")
    own = getattr(data, "conditions", None)  # of Activations
    vectors: list[np.ndarray] = []
    shrinkages: list[float | None] = []
    rows = None
    for name, patterns in items:
        patterns, rows = _rows(patterns, conditions if rows is None else rows, own, name)
        names = list(dict.fromkeys(rows))
        check_enough(len(names), 2, "conditions")
        if folds is not None and not vectors:
            shared = conditions.index if isinstance(conditions, pd.Series) else rows
            folds = per_row(folds, len(rows), rows=(shared, rows))
        patterns = _check_patterns(patterns, rows, name)
        vector, shrinkage = _one(patterns, rows, names, measure, folds, (noise, noise_from), name)
        vectors.append(vector)
        shrinkages.append(shrinkage)
    labels = pd.DataFrame(index=range(len(vectors))) if labels is None else labels
    if shrinkages[0] is not None:
        labels = labels.assign(shrinkage=shrinkages)
    return RDMs(np.array(vectors), names, measure.name, labels)


def _is_of_rows(data: Mapping) -> bool:
    """Whether a mapping is of conditions to their patterns, not of names to patterns of all."""
    return isinstance(data, dict) and bool(data) and all(np.ndim(v) == 1 for v in data.values())


def _rows(patterns, conditions, own, name: str):
    """Return patterns in the order of conditions, and the condition of each row."""
    what = f"patterns of {name!r}" if name else "patterns"
    if own is None:
        form = "n_{of}s, n_channels"
        return named(patterns, conditions, what=what, form=form, repeats=True)
    if conditions is None or tuple(conditions) == own:
        return patterns, own
    order, rows = named(pd.Series(range(len(own)), own), conditions, what=what, repeats=True)
    in_order = (order == np.arange(len(own))).all()
    return patterns if in_order else np.asarray(patterns)[order], rows


def _labels(data: Any) -> pd.DataFrame:
    """Return the labels of the RDMs of a mapping."""
    network = getattr(data, "network", None)
    if network is None:
        return pd.DataFrame({"name": [str(name) for name in data]})
    return layer_labels(network, {layer: data.depth[layer] for layer in data})


def layer_labels(network: str, depth: Mapping[str, float]) -> pd.DataFrame:
    """Return the labels of RDMs of layers, in order of computation."""
    layers, depths = list(depth), list(depth.values())
    return pd.DataFrame(
        {"network": network, "layer": layers, "layer_index": range(len(layers)), "depth": depths}
    )


def _check_patterns(patterns: Any, rows: Sequence[str], name: str) -> np.ndarray:
    """Return patterns as a real, finite array with one row per condition or observation."""
    on_disk = hasattr(patterns, "slabs")  # finite: activations are checked when they are made
    patterns = patterns if on_disk else np.asarray(patterns)
    where = f" of {name!r}" if name else ""
    if patterns.dtype.kind not in "fiub":
        raise InputTypeError(f"expected real numbers as patterns{where}, got {patterns.dtype}.")
    if len(patterns.shape) != 2 or len(patterns) != len(rows) or not patterns.shape[1]:
        raise InputError(
            f"expected patterns{where} of shape ({len(rows)}, n_channels), one row for each of "
            f"{len(rows)} condition names, got {patterns.shape}."
        )
    if on_disk:
        return patterns
    step = max(1, _AT_A_TIME // patterns.shape[1])
    parts = [patterns[k : k + step] for k in range(0, len(patterns), step)]
    finite = np.concatenate([np.isfinite(part).all(axis=1) for part in parts])
    if not finite.all():
        bad = list(dict.fromkeys(rows[i] for i in np.flatnonzero(~finite).tolist()))
        raise InputError(
            f"expected finite patterns{where}, but {len(bad)} conditions hold NaN or infinite "
            f"values: {', '.join(map(repr, bad[:5]))}. Leave these conditions or channels out."
        )
    return patterns


def _one(patterns, rows, names, measure, folds, how_noise, name):
    """Return one RDM vector and the shrinkage of its noise estimate, if one was made."""
    if not (measure.needs_folds or measure.uses_noise):
        check_unique_names(rows, what="condition")
        vector = measure(patterns)
        warn_undefined(vector, names, measure, name)
        return vector, None
    noise, noise_from = how_noise
    cells = Cells.of(rows, names, folds, measure)
    patterns = np.asarray(patterns, dtype=np.float64)
    total = np.zeros((len(cells.counts), patterns.shape[1]))
    # `add.at`, as a cell may occur any number of times; plain indexing would keep the last one.
    np.add.at(total, cells.codes, patterns)
    means = total / cells.counts[:, None]
    n_channels, n_folds = patterns.shape[1], len(cells.folds)
    centres = means.reshape(n_folds, len(names), n_channels) if measure.needs_folds else means
    if noise is None:
        return measure(centres), None
    if isinstance(noise, str):
        instead = "a noise covariance from GLM residuals"
        residuals, freedoms = cells.residuals(patterns, means, 0, instead)
        noise = fold_noise(residuals, freedoms, method=noise, noise_from=noise_from)
    covariance, shrinkage = _noise(noise, n_channels, (2, 3) if measure.needs_folds else (2,))
    if covariance.ndim == 3 and len(covariance) != n_folds:
        raise InputError(
            f"expected one noise covariance for each of {n_folds} folds, got {len(covariance)}."
        )
    return measure(centres, covariance), shrinkage


def _estimates(noise: Any) -> list[NoiseCovariance]:
    """Return the estimates that are given as noise; none if it is something else."""
    several = list(noise) if isinstance(noise, (list, tuple)) else [noise]
    return several if all(isinstance(one, NoiseCovariance) for one in several) else []


def _noise(noise, n_channels: int, dimensions: tuple[int, ...]):
    """Return the noise covariance to use and the shrinkage, None where an array was given."""
    estimates = _estimates(noise)
    shrinkage = shrinkage_of(estimates) if estimates else None
    covariance = np.asarray(noise, dtype=np.float64)
    square = (n_channels, n_channels)
    if covariance.ndim not in dimensions or covariance.shape[-2:] != square:
        raise InputError(
            f"expected a noise covariance of shape {square} for {n_channels} channels, got "
            f"{covariance.shape}."
        )
    transposed = np.swapaxes(covariance, -1, -2)
    # Cholesky reads one half only, and would take any matrix for a symmetric one.
    if not np.allclose(covariance, transposed, rtol=1e-8, atol=0.0):
        raise InputError("expected a symmetric noise covariance, got one that is not.")
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as err:
        raise InputError(
            "expected a noise covariance that can be inverted (positive definite); this one "
            "cannot. Shrink it: noise='ledoit-wolf'."
        ) from err
    return covariance, shrinkage


def warn_undefined(vector: np.ndarray, names: Sequence[str], measure: Measure, name: str) -> None:
    """Warn once of patterns that have no dissimilarity."""
    if not np.isnan(vector).any():
        return
    row, col = np.triu_indices(len(names), k=1)
    counts = np.bincount(
        np.concatenate([row, col])[np.tile(np.isnan(vector), 2)], minlength=len(names)
    )
    bad = [n for n, c in zip(names, counts, strict=True) if c == len(names) - 1]
    what = measure.undefined or "not comparable"
    where = f" in {name!r}" if name else ""
    warn(
        f"{len(bad)} patterns{where} are {what} and have no {measure}: "
        f"{', '.join(map(repr, bad[:5]))}. Their pairs are NaN."
    )
