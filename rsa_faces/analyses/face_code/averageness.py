"""Averageness and symmetry of faces, and whether ratings such as attractiveness follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.numbers import fisher_z
from rsa_faces._core.result import keep_warnings
from rsa_faces._core.student import half_width, jackknife_error, t_test
from rsa_faces.analyses import _procrustes as procrustes
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.analyses._face_images import as_points
from rsa_faces.analyses._face_tables import common, numbers
from rsa_faces.analyses._inputs import INTERSECTION, as_labels, cells_of
from rsa_faces.inference._orders import exchanges

_FEWEST = 4  # faces of a cell
_APART = 0.25  # of a mirrored landmark from its partner, in root mean square distances of landmarks
_KIND = "similarity"
_SCALES = {"spearman": partial(stats.rankdata, axis=0), "pearson": np.asarray}


@dataclass(frozen=True, eq=False, repr=False)
class Averageness(Effects):
    """How ratings of faces follow averageness and symmetry.

    Attributes
    ----------
    table : DataFrame
        One row per measure and rating; see :func:`averageness`.
    measures : DataFrame, shape (n_faces, n_measures)
        ``averageness``, ``symmetry`` and averageness in each space of embeddings, by face.
    settings : dict
        Options, for provenance.

    See Also
    --------
    averageness : Ask whether ratings of faces follow averageness and symmetry.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import averageness
    >>> base = np.array([[0, 0], [60, 0], [20, 40], [40, 40], [30, 70]])
    >>> points = base + np.random.default_rng(0).normal(size=(30, 5, 2))
    >>> names = [f"face {i}" for i in range(30)]
    >>> ratings = pd.DataFrame({"attractive": np.arange(30)}, names)  # made up
    >>> found = averageness(dict(zip(names, points)), ratings, n_permutations=19)
    >>> found.measures.shape
    (30, 2)
    """

    measures: pd.DataFrame

    shown: ClassVar[Shown] = Shown(
        "r", "partial correlation with the rating", name="measure", panel="rating"
    )


@keep_warnings
def averageness(
    landmarks,
    ratings: pd.DataFrame,
    *,
    conditions: Sequence[str] | None = None,
    embeddings: Mapping[str, pd.DataFrame] | None = None,
    within: Labels | None = None,
    controls: pd.DataFrame | None = None,
    rater: str | None = None,
    face: str = "face",
    pairs: Sequence[tuple[int, int]] | None = None,
    method: str = "spearman",
    n_permutations: int = 2000,
    match: str = "same",
    seed: int = 0,
) -> Averageness:
    r"""Ask whether ratings of faces follow averageness and symmetry.

    Parameters
    ----------
    landmarks : mapping of name to array-like (n_landmarks, 2), or array
        x, y in pixels of faces that look straight ahead, one image of each person; the same
        landmarks in the same order. Those of hair and clothes count like others: leave them out.
    ratings : DataFrame, shape (n_faces, n_ratings)
        Mean ratings by face; with `rater` one row per rater and face.
    conditions : sequence of str, optional
        The faces of an array of landmarks.
    embeddings : mapping of name to DataFrame (n_faces, n_channels), optional
        Layers of networks, by face: averageness there is the cosine similarity to the mean of
        the others.
    within : mapping or Series, face to cell, optional
        Groups such as gender (tuples for several): a face is compared with the mean of its own
        group; means of groups are taken out of ratings and measures; faces are exchanged inside
        groups only.
    controls : DataFrame, shape (n_faces, n_controls), optional
        Numbers that are taken out as well: age, how far the head is turned.
    rater, face : str
        Columns of `ratings`, if it has one row per rater and face. Ratings of a face are averaged
        over the raters who saw it, and intervals hold for other raters as well.
    pairs : sequence of (int, int), optional
        Landmarks that are mirror images; those not named lie on the midline. By default found:
        the partners that fit the mirrored mean shape best.
    method : {"spearman", "pearson"}, default "spearman"
        Whether ranks of measures, ratings and controls are correlated.
    n_permutations : int, default 2000
    match : {"same", "intersection"}, default "same"
        Whether all must be of the same faces, or those in all are taken.
    seed : int, default 0

    Returns
    -------
    Averageness
        Its table: ``measure``, ``rating``; ``r``, partial correlation given groups and controls,
        ``ci_low``, ``ci_high`` (95 %), ``p`` (two-sided), ``p_corrected`` (largest \|r\| of all
        rows); ``r_beyond``, ``beyond_low``, ``beyond_high``, ``p_beyond``, the same given the other
        measures too; ``n_conditions`` (faces), ``n_cells``, ``n_left_out``, with raters
        ``n_subjects``.

    Raises
    ------
    InputError
        If values are not finite or do not vary, names do not match, a group has fewer than 4
        faces, partners of landmarks are not found, or a face has fewer than 2 raters.

    See Also
    --------
    trait_readout : Predict mean ratings of faces from features by ridge regression.
    face_space : Make a space of faces from landmarks and images.
    rsa_faces.figures.plot_effects : Draw effects with their intervals.

    Notes
    -----
    *Averageness* is less the Procrustes distance (in centroid sizes) to the mean shape of the other
    faces of the group; the face itself is not in the mean, to which it would be near. *Symmetry*
    is less the Procrustes distance between a shape and its mirror image with paired landmarks
    exchanged [1]_. A head that is turned looks asymmetric: in 100 neutral faces of the London set
    symmetry and the size of the yaw are correlated at -.79. Give it as a control:
    ``measure_landmarks(landmarks)[["yaw"]].abs()``.

    p: residuals of the rating, given groups and controls, change places inside groups and are made
    residuals again [2]_; exact without controls. Intervals: Fisher's z, with the error of leaving
    out one face at a time; with raters its square is added to that of leaving out one rater at a
    time, which counts their interaction twice: cautious. p is then at least that of this t.
    Measures are taken as they are. Without an effect and with one:
    ``scripts/simulate_averageness.py`` and the page on calibration.

    Ratings are impressions of raters of one time and place, and say nothing about people.

    References
    ----------
    .. [1] Klingenberg C. P., Barluenga M., Meyer A. (2002). Evolution 56, 1909-1920.
       doi:10.1111/j.0014-3820.2002.tb00117.x
    .. [2] Freedman D., Lane D. (1983). Journal of Business & Economic Statistics 1, 292-298.
       doi:10.1080/07350015.1983.10509354

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses.face_code.averageness import averageness
    >>> rng = np.random.default_rng(0)
    >>> base = np.array([[0, 0], [60, 0], [20, 40], [40, 40], [30, 70]])
    >>> spread = rng.uniform(0.5, 5, 60)  # simulated: faces far from the mean, and near it
    >>> points = base + spread[:, None, None] * rng.normal(size=(60, 5, 2))
    >>> names = [f"face {i}" for i in range(60)]
    >>> ratings = pd.DataFrame({"attractive": -spread + rng.normal(size=60)}, names)
    >>> found = averageness(dict(zip(names, points)), ratings, n_permutations=99)
    >>> found.table[["measure", "p"]]
           measure     p
    0  averageness  0.01
    1     symmetry  0.01
    """
    scale = _SCALES[check_choice(method, _SCALES, what="method")]
    check_choice(match, ["same", "intersection"], what="match")
    check_count(n_permutations, what="n_permutations")
    points = as_points(landmarks, conditions)
    by_rater = None if rater is None else _by_rater(ratings, rater, face)
    means = numbers(ratings, "ratings") if by_rater is None else by_rater.groupby(level=1).mean()
    spaces = {
        str(name): numbers(x, f"embeddings {name!r}") for name, x in (embeddings or {}).items()
    }
    known = None if controls is None else numbers(controls, "controls")
    own = None if within is None else as_labels(within, "within", INTERSECTION)
    others = {"ratings": means.index, "within": None if own is None else list(own)}
    others |= {name: x.index for name, x in spaces.items()}
    others["controls"] = None if known is None else known.index
    names = tuple(points)
    for what, index in others.items():
        names = names if index is None else common(names, index, match, what)
    cells = cells_of(None if own is None else {name: own[name] for name in names}, names)
    few = np.flatnonzero(np.bincount(cells) < _FEWEST) if len(names) else [0]
    if len(few):
        raise InputError(
            f"expected at least {_FEWEST} faces in every group, got {len(names)} faces in "
            f"{cells.max(initial=0) + 1} groups, of which {len(few)} have fewer."
        )
    shapes = np.stack([points[name] for name in names])
    frame = pd.DataFrame({"averageness": _near_mean(shapes, cells)}, list(names))
    frame["symmetry"] = -_asymmetry(shapes, _partners(shapes, pairs))
    for name, values in spaces.items():
        frame[f"averageness in {name}"] = _like_mean(values.loc[list(names)].to_numpy(), cells)
    groups = np.eye(cells.max() + 1)[cells]
    given = groups
    if known is not None:
        given = np.column_stack([groups, scale(known.loc[list(names)].to_numpy())])
    x, y = scale(frame.to_numpy()), scale(means.loc[list(names)].to_numpy())
    for values, what in ((x, frame.columns), (y, means.columns)):
        for column, left in zip(what, _left(values, given).T, strict=True):
            if (left == 0).all():
                raise InputError(f"expected {column!r} to vary within groups and given controls.")
    without = _without_raters(by_rater, list(names), scale) if rater else []
    orders = exchanges(np.arange(len(names)), cells)(as_rng(seed), n_permutations)
    rows, null = [], []
    for i, measure in enumerate(frame.columns):
        rest = np.column_stack([given, np.delete(x, i, axis=1)])
        for k, rating in enumerate(means.columns):
            dropped = [ratings_[:, k] for ratings_ in without]
            r, low, high, p, drawn = _tested(x[:, i], y[:, k], given, orders, dropped)
            row = {"measure": measure, "rating": str(rating), "r": r, "ci_low": low}
            row |= {"ci_high": high, "p": p, "p_corrected": np.nan}
            names_ = ("r_beyond", "beyond_low", "beyond_high", "p_beyond")
            beyond = _tested(x[:, i], y[:, k], rest, orders, dropped)[:4]
            rows.append(row | dict(zip(names_, beyond, strict=True)))
            null.append(np.abs(drawn))
    table = pd.DataFrame(rows)
    corrected = p_of(table["r"].abs(), null)[1]
    # Of few raters p may be larger than what permutations of faces give.
    table["p_corrected"] = np.maximum(corrected, table["p"])
    every = set(points).union(*(index for index in others.values() if index is not None))
    counts = {"n_conditions": len(names), "n_cells": int(cells.max()) + 1}
    counts |= {"n_left_out": len(every) - len(names)}
    counts |= {"n_subjects": len(without)} if rater else {}
    return Averageness(
        table.assign(**counts),
        measures=frame,
        settings={
            "method": method,
            "n_permutations": n_permutations,
            "match": match,
            "seed": seed,
        },
    )


def _near_mean(shapes: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return less each shape's distance to the mean of the others of its cell, in their size."""
    out = np.empty(len(shapes))
    for i, shape in enumerate(shapes):
        others = shapes[(cells == cells[i]) & (np.arange(len(shapes)) != i)]
        mean, size = procrustes.mean_shape(others, _KIND)
        # The mean of shapes that differ is smaller than they are.
        mean = mean * size / np.linalg.norm(mean - mean.mean(axis=0))
        aligned = procrustes.align(shape[None], mean, _KIND, size)[0][0]
        out[i] = -np.linalg.norm(aligned - mean) / size
    return out


def _like_mean(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the cosine of each row and the mean of the others of its cell."""
    member = (cells[:, None] == cells).astype(float)
    others = member @ values - values
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(others, axis=1)
    return (values * others).sum(axis=1) / np.where(lengths > 0, lengths, np.nan)


def _asymmetry(shapes: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Return each shape's distance to its mirror image, in its size."""
    mirrored = (shapes * [-1, 1])[:, partners]
    out = np.empty(len(shapes))
    for i, (shape, image) in enumerate(zip(shapes, mirrored, strict=True)):
        size = np.linalg.norm(shape - shape.mean(axis=0))
        out[i] = (
            np.linalg.norm(procrustes.align(image[None], shape, _KIND, size)[0][0] - shape) / size
        )
    return out


def _partners(shapes: np.ndarray, pairs) -> np.ndarray:
    """Return the landmark that takes each one's place in the mirror."""
    n = shapes.shape[1]
    partners = np.arange(n)
    if pairs is not None:
        listed = [int(i) for pair in pairs for i in pair]
        if sorted(set(listed)) != sorted(listed) or not all(0 <= i < n for i in listed):
            raise InputError(
                f"expected pairs of different landmarks from 0 to {n - 1}, each once, got "
                f"{list(pairs)!r}."
            )
        for a, b in pairs:
            partners[[a, b]] = b, a
        return partners
    mean, size = procrustes.mean_shape(shapes, _KIND)
    mean = mean - mean.mean(axis=0)
    place = mirror = mean * [-1, 1]
    # Partners and the axis of the mirror each follow from the other: found in turns.
    for _ in range(10):
        partners = linear_sum_assignment(cdist(mean, place) ** 2)[1]
        # Turned so that partners meet; each landmark of the mirror then at its own number again.
        place = procrustes.align(mirror[partners][None], mean, "rigid", size)[0][0]
        apart = np.linalg.norm(place - mean, axis=1)
        place = place[np.argsort(partners)]
    worst = apart.max() / (size / np.sqrt(n))
    if (partners[partners] != np.arange(n)).any() or worst > _APART:
        raise InputError(
            "expected landmarks of faces that look straight ahead, in pairs left and right, but "
            f"their mirror image does not fit (landmark {apart.argmax()} by {worst:.0%} of the "
            "root mean square distance of landmarks from their centre): give `pairs`."
        )
    return partners


def _by_rater(ratings: pd.DataFrame, rater: str, face: str) -> pd.DataFrame:
    """Return ratings with raters and faces as index; several of one rater are averaged."""
    for column in (rater, face):
        check_choice(column, list(ratings.columns), what="column of ratings")
    values = ratings.drop(columns=[rater, face]).reset_index(drop=True)
    values = numbers(values, "ratings").set_axis(range(len(ratings)))
    faces = [str(name) for name in ratings[face]]
    means = values.groupby([ratings[rater].to_numpy(), np.array(faces, object)]).mean()
    counts = means.groupby(level=1).size()
    if (counts < 2).any() or means.index.get_level_values(0).nunique() < 2:
        raise InputError(
            f"expected at least 2 raters of every face, but {(counts < 2).sum()} have one, such "
            f"as {counts.index[counts.argmin()]!r}."
        )
    return means


def _without_raters(by_rater: pd.DataFrame, names: list[str], scale) -> list[np.ndarray]:
    """Return mean ratings without each rater, (n_faces, n_ratings)."""
    kept = by_rater[by_rater.index.get_level_values(1).isin(names)]
    total, count = kept.groupby(level=1).sum(), kept.groupby(level=1).size()
    out = []
    for _, own in kept.groupby(level=0):
        own = own.droplevel(0)
        left = total.sub(own.reindex(total.index, fill_value=0.0))
        left = left.div(count - count.index.isin(own.index), axis=0)
        out.append(scale(left.loc[names].to_numpy()))
    return out


def _left(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return what is left of columns when others are taken out."""
    left, singular, _ = np.linalg.svd(given, full_matrices=False)
    # Controls that follow from others, as groups and a constant do, span nothing.
    basis = left[:, singular > 1e-10 * singular[0]]
    left = values - basis @ (basis.T @ values)
    # What is left of a sum of the others is rounding, in whatever unit it is.
    rounding = 1e-9 * np.linalg.norm(values, axis=0)
    return np.where(np.linalg.norm(left, axis=0) > rounding, left, 0.0)


def _partial(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return partial correlations of x with columns of y; NaN where nothing is left."""
    x, y = _left(x, given), _left(y, given)
    scale = np.linalg.norm(x) * np.linalg.norm(y, axis=0)
    return np.divide(x @ y, scale, out=np.full(y.shape[1], np.nan), where=scale > 0)


def _tested(x, y, given, orders, dropped):
    """Return a partial correlation, its interval, p, and the correlations of permutations."""
    n = len(x)
    r = _partial(x, y[:, None], given)[0]
    # What controls leave of the ratings changes places (Freedman and Lane): whole ratings would
    # lose what they share with the controls.
    null = _partial(x, _left(y[:, None], given)[:, 0][orders].T, given)
    p = p_of(np.abs(r), np.abs(null))[0]
    kept = ~np.eye(n, dtype=bool)
    each = np.array([_partial(x[k], y[k][:, None], given[k])[0] for k in kept])
    z = fisher_z(each)
    error = jackknife_error(z)
    degrees = n - np.linalg.matrix_rank(given) - 1
    if dropped:
        raters = fisher_z(_partial(x, np.stack(dropped, axis=1), given))
        error = np.hypot(error, jackknife_error(raters))
        degrees = min(degrees, len(dropped) - 1)
    half = half_width(error, degrees)
    centre = fisher_z(r)
    if dropped:  # what these raters like need not be what others do
        p = max(p, t_test(centre, error, degrees))
    return r, np.tanh(centre - half), np.tanh(centre + half), p, null
