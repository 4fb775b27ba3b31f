"""Axis coding: whether a response to a face is its place along one axis of face space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import ConditionMismatchError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.analyses._inputs import cells_of
from rsa_faces.analyses._intervals import blocks_of, refitted_interval
from rsa_faces.analyses._ridge import STRENGTHS, check_strengths, deal_folds
from rsa_faces.analyses._targets import drawn_r, held_out_r
from rsa_faces.analyses.face_code import _axis, _cells
from rsa_faces.inference._orders import exchanges
from rsa_faces.inference.bootstrap import draws_of

_N_DRAWS = 2000
_LEFT = 10  # faces beyond dimensions that the test of the space beside the axis needs


@dataclass(frozen=True, eq=False, repr=False)
class AxisTuning(BaseResult, figure="plot_axis_tuning"):
    """Axes of cells in a face space, and what lies beside them.

    Attributes
    ----------
    table : DataFrame
        One row per cell; see :func:`axis_tuning`.
    axes : DataFrame, shape (n_cells, n_dimensions)
        Change of the response per standard deviation of each component, from all faces.
    orthogonal : DataFrame, shape (n_cells, n_dimensions)
        Principal direction beside each axis, of length 1.
    curves : DataFrame
        Mean responses in bins of equal numbers of faces: ``cell``, ``direction`` ("axis",
        "orthogonal", "distance"), ``bin``, ``position``, ``response``, ``sem``, ``n_faces``.
        Positions along the axis (each face is placed by an axis fitted without it) and along the
        longest orthogonal direction in standard deviations, distances from the axis as z values.
    predictions : DataFrame, shape (n_faces, n_cells)
        Of held-out faces.
    center : Series
        Mean coordinates of the faces.
    intercepts : Series
        Each cell's response to the mean of the faces.
    settings : dict
        Options, for provenance.

    See Also
    --------
    axis_tuning : Find each cell's axis in a face space and test what an axis code predicts.
    rsa_faces.figures.plot_axis_tuning : Draw tuning of cells along their axis and beside it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import axis_tuning
    >>> rng = np.random.default_rng(0)
    >>> columns = ["shape 1", "shape 2", "appearance 1"]
    >>> faces = pd.DataFrame(rng.normal(size=(60, 3)), [f"face {i}" for i in range(60)], columns)
    >>> cell = faces["shape 1"] + 0.3 * rng.normal(size=60)  # simulated: one axis
    >>> found = axis_tuning(faces, cell.to_frame("a"), n_permutations=19)
    >>> found.axes.abs().idxmax(axis=1).tolist()
    ['shape 1']
    """

    table: pd.DataFrame
    axes: pd.DataFrame
    orthogonal: pd.DataFrame
    curves: pd.DataFrame
    predictions: pd.DataFrame
    center: pd.Series
    intercepts: pd.Series

    def __repr__(self) -> str:
        return f"AxisTuning({len(self.table)} cells, {len(self.predictions)} faces)"

    def axis(self, cell: str) -> pd.Series:
        """Return a cell's axis with length 1, for :meth:`FaceSpace.along`.

        Raises
        ------
        InputError
            If there is no such cell.
        """
        check_choice(cell, self.axes.index, what="cell")
        row = self.axes.loc[cell]
        return row / np.linalg.norm(row)

    def predict(self, coordinates: pd.DataFrame) -> pd.DataFrame:
        """Predict responses to other faces: the encoding model.

        Parameters
        ----------
        coordinates : DataFrame, shape (n_faces, n_dimensions)
            From :meth:`FaceSpace.encode` or ``Faces.coordinates``.

        Returns
        -------
        DataFrame, shape (n_faces, n_cells)

        Raises
        ------
        InputError
            If the dimensions are others.
        """
        if set(coordinates.columns) != set(self.axes.columns):
            raise ConditionMismatchError(
                self.axes.columns,
                coordinates.columns,
                left_name="the axes",
                right_name="coordinates",
            )
        values = coordinates[self.axes.columns] - self.center
        return values @ self.axes.T + self.intercepts


@keep_warnings
def axis_tuning(
    space,
    responses,
    *,
    conditions: Sequence[str] | None = None,
    across: Labels | None = None,
    within: Labels | None = None,
    method: str = "regression",
    n_folds: int = 10,
    n_permutations: int = 1000,
    strengths: Sequence[float] = STRENGTHS,
    n_bins: int = 7,
    match: str = "same",
    seed: int = 0,
    progress: bool = True,
) -> AxisTuning:
    """Find each cell's axis in a face space and test what an axis code predicts.

    Parameters
    ----------
    space : FaceSpace or DataFrame, shape (n_faces, n_dimensions)
        Faces and their coordinates.
    responses : DataFrame (n_faces, n_cells), list of DataFrame, or ndarray
        Of cells, voxels or units; a list has one frame per repeat, an array the shape (n_faces,
        n_cells) or (n_repeats, n_faces, n_cells). Matched to the faces by name.
    conditions : sequence of str, optional
        The faces of an array.
    across : mapping or Series, face to person, optional
        People are left out, drawn and exchanged whole: give it if there are several images of a
        person. By default every face is another person.
    within : mapping or Series, face to cell, optional
        Cells of the other factors of the design (tuples for several): faces are exchanged inside
        them only. The test of the space beside an axis exchanges residuals, not faces.
    method : {"regression", "sta"}, default "regression"
        How the axis is found: ridge regression, or the response-weighted mean of the faces
        (spike-triggered average), which is right where components are uncorrelated only.
    n_folds : int, default 10
        People are dealt out at random.
    n_permutations : int, default 1000
        Of people, the same for all cells.
    strengths : sequence of float
        Of the ridge, times the mean squared length of the training faces; chosen per cell by
        leaving out one person at a time within the training people.
    n_bins : int, default 7
        Of the curves.
    match : {"same", "intersection"}, default "same"
        Whether responses must be to the faces of the space, or those in both are taken.
    seed : int, default 0
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    AxisTuning
        Its table has one row per cell: ``cell``; ``r`` and ``r2`` between mean responses and
        predictions for held-out faces (for r both less the training mean, as in
        :func:`rsa_faces.analyses.readout`), ``ci_low``, ``ci_high`` (95 %, of r; see there);
        ``p`` and ``p_corrected`` (largest r over cells); ``ceiling``, the largest r2 that repeats
        allow, ``p_signal``, ``r2_of_ceiling`` (NaN without repeats, or if p_signal > 0.05);
        ``strength`` (NaN for "sta");
        ``preference`` from -1 (appearance only) to 1 (shape only) with ``preference_low``,
        ``preference_high`` (95 %), ``shape_length``, ``appearance_length`` (response per standard
        deviation); ``distance_r``, ``bend_r``, ``p_orthogonal``; ``n_faces``, ``n_repeats``.

    Raises
    ------
    InputError
        If responses are not finite or do not vary, names do not match, there are fewer than 10
        faces, no two people have as many faces in each cell, or an option is unknown.

    Warns
    -----
    UserWarning
        If there are too few faces to test the space beside the axis, or several of a person, as
        their noise is not independent (columns are NaN; so are then the ends of the interval of
        ``preference``).

    See Also
    --------
    face_space : Make a space of faces from landmarks and images.
    decode_faces : Decode faces from responses of a population and pick them out among others.
    rsa_faces.figures.plot_axis_tuning : Draw tuning of cells along their axis and beside it.

    Notes
    -----
    *Axis* [1]_: r = a + Σ_j w_j x_j, x the coordinates. r2 = 1 - Σ(r - r̂)² / Σ(r - r̄_train)²,
    held out; negative if predictions are worse than the mean. p = (1 + #{permuted r ≥ r}) / (1 +
    n_permutations).

    *Ceiling*: 1 - MS_within / MS_between of the repeats, the share of the variance of mean
    responses that is signal; p_signal is its F test.

    *Preference*: (S - A) / (S + A), S and A the lengths of the shape and the appearance part of
    the regression axis. Noise lengthens both; the squared lengths are ``|ŵ|² - σ̂² tr(C Cᵀ)``, with
    ŵ = C r, and 0 if negative (NaN if both are). The interval is that of 2,000 draws from their
    joint normal distribution: variance 4 σ² wᵀMw + 2 σ⁴ tr(M²), M = C Cᵀ. In simulations (102
    faces, 25 + 25 dimensions) it held the truth in 89 to 98 % of cells.

    *Beside the axis*: an axis cell does not change with position in the orthogonal space, an
    exemplar cell does: its response falls with distance from the exemplar in all directions.
    Two things are tested, the squared distance from the axis (``distance_r``) and the squared
    place along the longest orthogonal direction (``bend_r``): partial correlations with the
    response given all coordinates and the second and third power of the place along the axis, so
    that bent tuning along the axis is no evidence. The residuals, in a basis of independent ones
    [2]_, are permuted and ``p_orthogonal`` is that of the larger of the two. A large p does not
    prove flatness: look at the curves. In simulations with 102 faces in 50 dimensions (those of
    the London set, and normal ones) 4.4 to 5.4 % of 2,000 cells of each kind had p ≤ 0.05 among
    axis cells (linear, rectified, exponential) and cells without tuning, and 94 to 98 % of 500
    exemplar cells whose signal had twice the variance of the noise; 81 % where the exemplar was
    one of the faces. It needs at least 13 faces more than dimensions.

    References
    ----------
    .. [1] Chang L., Tsao D. Y. (2017). Cell 169, 1013-1028. doi:10.1016/j.cell.2017.05.011
    .. [2] Huh M.-H., Jhun M. (2001). Communications in Statistics - Theory and Methods 30,
       2023-2032. doi:10.1081/STA-100106060

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses.face_code.axis_coding import axis_tuning
    >>> rng = np.random.default_rng(0)
    >>> columns = [f"shape {i}" for i in (1, 2, 3)] + [f"appearance {i}" for i in (1, 2, 3)]
    >>> names = [f"face {i}" for i in range(80)]
    >>> faces = pd.DataFrame(rng.normal(size=(80, 6)), names, columns)
    >>> cell = faces["shape 1"] + 0.3 * rng.normal(size=80)  # simulated: one axis
    >>> found = axis_tuning(faces, cell.to_frame("a"), n_permutations=99)
    >>> row = found.table.iloc[0]
    >>> bool(row["r"] > 0.9), bool(row["preference"] > 0.8), bool(row["p_orthogonal"] > 0.05)
    (True, True, True)
    """
    check_choice(method, ["regression", "sta"], what="method")
    check_count(n_folds, what="n_folds", low=2)
    check_count(n_permutations, what="n_permutations")
    check_count(n_bins, what="n_bins", low=2)
    frame, repeats, cells = _cells.matched(space, responses, conditions, match)
    faces, n = frame.to_numpy(), len(frame)
    ridge = check_strengths(strengths)
    rng = as_rng(seed)
    whom = np.arange(n) if across is None else cells_of(across, frame.index, "across")
    n_people = int(whom.max()) + 1
    fold_of = deal_folds(whom, n_folds, rng)
    orders = exchanges(whom, cells_of(within, frame.index))(rng, n_permutations)
    draws = draws_of(n_people, _N_DRAWS, rng)[:, whom]
    normals = rng.standard_normal((_N_DRAWS, 2))
    means = repeats.mean(axis=0).T
    # 3: the mean, and square and cube of the place along the axis, which the test takes out.
    n_left = n - faces.shape[1] - 3
    beside = np.argsort(rng.random((n_permutations, max(n_left, 1))), axis=1)
    if n_left < _LEFT:
        beside = None
        warn(
            f"the space beside the axis is not tested: {n} faces in {faces.shape[1]} dimensions, "
            f"at least {faces.shape[1] + 3 + _LEFT} faces are needed. Use fewer components."
        )
    elif n_people < n:
        beside = None
        warn(
            f"the space beside the axis is not tested, and `preference` has no interval: {n} faces "
            f"are of {n_people} people. Give one face of each."
        )
    whole = _axis.fit_sets(faces, means, ridge, method, whom)
    # With either method: how far noise lengthens the parts of an axis is known of regression.
    chosen = ridge[_axis.fit_sets(faces, means, ridge, "regression", whom).chosen]
    predicted, places, baseline = _axis.held_out(faces, means, fold_of, ridge, method, whom)
    block, left_out = blocks_of(whom, fold_of), []
    for kept in block != np.arange(block.max() + 1)[:, None]:
        guessed, _, base = _axis.held_out(
            faces[kept], means[:, kept], fold_of[kept], ridge, method, whom[kept]
        )
        left_out.append(held_out_r(guessed, means[:, kept], base))
    left_out, r = np.array(left_out), held_out_r(predicted, means, baseline)
    centred = faces - faces.mean(axis=0)
    maps = {s: _axis.mapping(faces, s) for s in np.unique(chosen)}
    in_shape = np.array([str(name).startswith("shape") for name in frame.columns])
    rows, curves, null, others = [], [], np.empty((len(cells), n_permutations)), []
    with progress_bar("axes of cells", len(cells), show=progress) as tell:
        for i, (cell, mean) in enumerate(zip(cells, means, strict=True)):
            shuffled = mean[orders]
            guessed, _, base = _axis.held_out(faces, shuffled, fold_of, ridge, method, whom)
            null[i] = held_out_r(guessed, shuffled, base)
            side = _axis.beside(faces, whole.weights[i], mean, beside)
            others.append(side.pop("direction"))
            along = (places[i], side.pop("across"), side.pop("far"))
            for direction, place in zip(("axis", "orthogonal", "distance"), along, strict=True):
                curves += [
                    {"cell": cell, "direction": direction, **row}
                    for row in _axis.binned(place, mean, n_bins)
                ]
            samples = drawn_r(predicted[i] - baseline[i], mean - baseline[i], draws)
            low, high = refitted_interval(r[i], samples, left_out[:, i], n_people)
            part = _axis.preference(mean, maps[chosen[i]], centred, in_shape, normals)
            names = [
                "preference",
                "preference_low",
                "preference_high",
                "shape_length",
                "appearance_length",
            ]
            rows.append(
                {
                    "cell": cell,
                    "ci_low": low,
                    "ci_high": high,
                    "strength": chosen[i] if method == "regression" else np.nan,
                    **dict(zip(names, part, strict=True)),
                    **side,
                }
            )
            tell(i + 1)
    table = pd.DataFrame(rows)
    if n_people < n:
        table[["preference_low", "preference_high"]] = np.nan
    r2 = 1 - ((means - predicted) ** 2).sum(axis=1) / ((means - baseline) ** 2).sum(axis=1)
    ceiling, p_signal = _cells.ceilings(repeats)
    # Where noise alone could have made the ceiling, a share of it is any number.
    reliable = p_signal <= 0.05
    found = {
        "r": r,
        "r2": r2,
        "ci_low": table.pop("ci_low"),
        "ci_high": table.pop("ci_high"),
        **dict(zip(("p", "p_corrected"), p_of(r, null), strict=True)),
        "ceiling": ceiling,
        "p_signal": p_signal,
        "r2_of_ceiling": np.where(reliable, r2 / np.where(reliable, ceiling, np.nan), np.nan),
    }
    table = pd.concat([table[["cell"]], pd.DataFrame(found), table.drop(columns="cell")], axis=1)
    index = pd.Index(cells, name="cell")
    return AxisTuning(
        table.assign(n_faces=n, n_repeats=len(repeats)),
        pd.DataFrame(whole.weights, index=index, columns=frame.columns),
        pd.DataFrame(np.array(others), index=index, columns=frame.columns),
        pd.DataFrame(curves),
        pd.DataFrame(predicted.T, index=pd.Index(frame.index, name="condition"), columns=index),
        pd.Series(whole.center, index=frame.columns),
        pd.Series(whole.intercepts, index=index),
        settings={
            "method": method,
            "n_folds": int(fold_of.max()) + 1,
            "n_permutations": n_permutations,
            "strengths": ridge.tolist(),
            "n_bins": n_bins,
            "match": match,
            "seed": seed,
        },
    )
