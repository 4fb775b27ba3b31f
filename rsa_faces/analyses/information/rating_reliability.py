"""Reliability of mean ratings, from halves of the raters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.numbers import mean_correlation, spearman_brown
from rsa_faces.analyses._face_tables import numbers

_N_SPLITS = 200


def rating_reliability(
    ratings: pd.DataFrame, *, rater: str = "rater", face: str = "face", seed: int = 0
) -> pd.Series:
    """Return the reliability of mean ratings, from halves of the raters.

    Parameters
    ----------
    ratings : DataFrame
        One row per rater and face; a column per trait. Missing ratings are NaN or missing rows;
        ratings of the same face by the same rater are averaged.
    rater, face : str
        Names of these columns. "Raters" may be groups of raters, such as world regions.
    seed : int, default 0

    Returns
    -------
    Series
        Per trait the correlation of the means of two halves of the raters, averaged over 200
        random halves (Fisher's z) and stepped up to all raters by the formula of Spearman and
        Brown; 0 if halves do not agree. Its root is the ceiling of a correlation with the mean
        ratings.

    Raises
    ------
    InputError
        If columns are missing, there are fewer than 4 raters, or fewer than 3 faces are rated by
        both halves.

    See Also
    --------
    trait_readout : Predict mean ratings of faces from features by ridge regression.
    rsa_faces.noise_ceiling : Compute the noise ceiling of data RDMs.

    References
    ----------
    .. [1] Brown W. (1910). British Journal of Psychology 3, 296-322.
       doi:10.1111/j.2044-8295.1910.tb00207.x

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import rating_reliability
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=40)
    >>> rows = [(r, f, truth[f] + rng.normal()) for r in range(20) for f in range(40)]
    >>> ratings = pd.DataFrame(rows, columns=["rater", "face", "warm"])  # simulated
    >>> rating_reliability(ratings).round(2).to_dict()
    {'warm': 0.92}
    """
    check_arguments(rating_reliability, locals())
    for column in (rater, face):
        check_choice(column, list(ratings.columns), what="column of ratings")
    traits = [c for c in ratings.columns if c not in (rater, face)]
    values = numbers(ratings[traits].reset_index(drop=True), "ratings", gaps=True)
    rng = as_rng(seed)
    out = {}
    for trait in traits:
        grid = (
            pd.DataFrame(
                {
                    "r": ratings[rater].to_numpy(),
                    "f": ratings[face].to_numpy(),
                    "v": values[trait].to_numpy(),
                }
            )
            .dropna()
            .groupby(["r", "f"])["v"]
            .mean()
            .unstack()
        )
        if len(grid) < 4:
            raise InputError(
                f"expected at least 4 raters for {trait!r}, got {len(grid)}: halves of fewer tell "
                "little."
            )
        y = grid.to_numpy()
        seen, y = ~np.isnan(y), np.nan_to_num(y)
        side = np.argsort(rng.random((_N_SPLITS, len(y))), axis=1) < len(y) // 2
        with np.errstate(invalid="ignore", divide="ignore"):
            one, two = ((s.astype(float) @ y) / (s.astype(float) @ seen) for s in (side, ~side))
        both = np.isfinite(one) & np.isfinite(two)
        if both.sum(axis=1).min() < 3:
            raise InputError(
                f"expected at least 3 faces rated by both halves of the raters for {trait!r}, got "
                f"{both.sum(axis=1).min()}."
            )
        out[str(trait)] = max(spearman_brown(mean_correlation(_masked_r(one, two, both))), 0.0)
    return pd.Series(out, name="reliability")


def _masked_r(a: np.ndarray, b: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the correlation of rows over entries that both have."""
    n = both.sum(axis=1, keepdims=True)
    a, b = (np.where(both, v, 0.0) for v in (a, b))
    a, b = (np.where(both, v - v.sum(axis=1, keepdims=True) / n, 0.0) for v in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)
