"""Many tests at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError


def adjust(p: np.ndarray, *, method: str = "fdr") -> np.ndarray:
    """Correct p values for the number of tests.

    Parameters
    ----------
    p : array_like
        p values of one family of tests, any shape; NaN is a test that was not made and does not
        count.
    method : {"fdr", "bonferroni", "holm"}, default "fdr"
        Benjamini and Hochberg's false discovery rate [1]_, or the family-wise error rate by
        Bonferroni or Holm [2]_.

    Returns
    -------
    ndarray, the shape of `p`
        Adjusted p values, at most 1: significant at α where at most α.

    Raises
    ------
    InputError
        If a value is outside 0 to 1, or the method is unknown.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.

    References
    ----------
    .. [1] Benjamini Y., Hochberg Y. (1995). Journal of the Royal Statistical Society B 57,
       289-300. doi:10.1111/j.2517-6161.1995.tb02031.x
    .. [2] Holm S. (1979). Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> from rsa_faces.inference import adjust
    >>> adjust([0.01, 0.02, 0.03, 0.5]).round(3)
    array([0.04, 0.04, 0.04, 0.5 ])
    """
    check_choice(method, CORRECTIONS, what="correction")
    p = np.asarray(p, dtype=np.float64)
    # A test that could not be made is none, and must not make the correction of the others harder.
    made = ~np.isnan(p)
    if ((p[made] < 0) | (p[made] > 1)).any():
        bad = p[made][(p[made] < 0) | (p[made] > 1)][0]
        raise InputError(f"expected p values from 0 to 1, got {bad!r}.")
    adjusted = np.full(p.shape, np.nan)
    values = p[made]
    if values.size:
        order = np.argsort(values, kind="stable")
        result = np.empty_like(values)
        result[order] = np.minimum(CORRECTIONS[method](values[order]), 1.0)
        adjusted[made] = result
    return adjusted


def _fdr(ordered: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg, on ascending p values."""
    n = len(ordered)
    # From the largest down: a p value is rejected wherever a larger one is, so none may exceed its
    # successors.
    return np.minimum.accumulate((ordered * n / np.arange(1, n + 1))[::-1])[::-1]


#: Name of each correction and its function of ascending p values.
CORRECTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fdr": _fdr,
    "bonferroni": lambda ordered: ordered * len(ordered),
    "holm": lambda p: np.maximum.accumulate(p * np.arange(len(p), 0, -1)),
}
