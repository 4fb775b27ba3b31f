"""Traits across data sets: trained on one set of faces and raters, tested on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.numbers import best_index
from rsa_faces.analyses._face_tables import common, numbers, sets_of
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import cells_of
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.analyses._ridge import STRENGTHS, check_strengths, fit_fold
from rsa_faces.analyses._targets import drawn_r, rowwise_r
from rsa_faces.inference._orders import exchanges
from rsa_faces.inference.bootstrap import draws_of

_N_BOOT = 1000


def trait_generalization(
    train_features: Mapping[str, pd.DataFrame],
    train_ratings: pd.DataFrame,
    test_features: Mapping[str, pd.DataFrame],
    test_ratings: pd.DataFrame,
    *,
    across: Labels | None = None,
    within: Labels | None = None,
    n_permutations: int = 1000,
    strengths: Sequence[float] = STRENGTHS,
    standardize: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Train on one set of faces and raters, test on another.

    Parameters
    ----------
    train_features, test_features : mapping of name to DataFrame (n_faces, n_features)
        The same sets with the same columns, of two data sets.
    train_ratings, test_ratings : DataFrame, shape (n_faces, n_traits)
        Mean ratings; traits in both are used, and the scales may differ.
    across : mapping or Series, test face to person, optional
        People are drawn and exchanged whole. By default every test face is another person.
    within : mapping or Series, test face to cell, optional
        Cells of the other factors of the design (tuples for several): test faces are exchanged
        inside them only.
    n_permutations : int, default 1000
        Of the test people.
    strengths : sequence of float
        Of the ridge; chosen by leaving out one training face at a time.
    standardize : bool, default True
        As for :func:`trait_readout`, over the training faces.
    seed : int, default 0

    Returns
    -------
    DataFrame
        One row per set and trait: ``features``, ``trait``; ``r`` in the other data set, with
        ``ci_low``, ``ci_high`` (drawing test people); ``p``, ``p_corrected`` (largest r over rows);
        ``n_train``, ``n_test``.

    Raises
    ------
    InputError
        If sets or their columns differ, no trait is in both, or values are not finite.

    See Also
    --------
    trait_readout : Predict mean ratings of faces from features by ridge regression.

    Notes
    -----
    r does not depend on the scales of the two questionnaires; whether predicted values fit too is
    not asked. Each training face is taken for another person. Intervals are as those of
    :func:`rsa_faces.analyses.readout`, of the people tested: what is learnt stays as it is.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import trait_generalization
    >>> rng = np.random.default_rng(0)
    >>> def study(faces):  # simulated: one channel tells how warm a face looks
    ...     x = pd.DataFrame(rng.normal(size=(len(faces), 10)), faces)
    ...     return {"network": x}, pd.DataFrame({"warm": x[0] + 0.3 * rng.normal(size=len(faces))})
    >>> one = study([f"face {i}" for i in range(60)])
    >>> other = study([f"other {i}" for i in range(40)])
    >>> found = trait_generalization(*one, *other, n_permutations=99)
    >>> bool(found["r"][0] > 0.8), int(found["n_test"][0])
    (True, 40)
    """
    check_count(n_permutations, what="n_permutations")
    ridge = check_strengths(strengths)
    rng = as_rng(seed)
    first, names = sets_of(train_features, "same")
    second, other = sets_of(test_features, "same")
    if set(first) != set(second):
        raise InputError(
            f"expected the same sets of features to train and to test, got {', '.join(first)} and "
            f"{', '.join(second)}."
        )
    known, asked = numbers(train_ratings, "train_ratings"), numbers(test_ratings, "test_ratings")
    names = common(names, known.index, "same", "train_ratings")
    other = common(other, asked.index, "same", "test_ratings")
    traits = [trait for trait in known.columns if trait in set(asked.columns)]
    if not traits:
        raise InputError(
            f"expected a trait that both have, got {', '.join(map(str, known.columns))} and "
            f"{', '.join(map(str, asked.columns))}."
        )
    n, m = len(names), len(other)
    whom = np.arange(m) if across is None else cells_of(across, other, "across")
    orders = exchanges(whom, cells_of(within, other))(rng, n_permutations)
    draws = draws_of(int(whom.max()) + 1, _N_BOOT, rng)
    train, test = np.arange(n), np.arange(n, n + m)
    rows, null = [], []
    for name, frame in first.items():
        if list(frame.columns) != list(second[name].columns):
            raise InputError(
                f"expected the same columns of {name!r} to train and to test, got "
                f"{frame.shape[1]} and {second[name].shape[1]}, in order."
            )
        patterns = np.vstack([frame.loc[list(names)], second[name].loc[list(other)]]).astype(float)
        products, n_varying = grams(patterns, [train], standardize=standardize)
        if not n_varying.all():
            raise InputError(f"expected features that vary, but {name!r} has none.")
        # The last: each training face is left out by itself to choose the strength.
        fold = fit_fold(products[0], train, test, ridge, train)
        for trait in traits:
            y = known.loc[list(names), trait].to_numpy()
            z = asked.loc[list(other), trait].to_numpy()
            for values, what in ((y, "train_ratings"), (z, "test_ratings")):
                if np.ptp(values) == 0:
                    raise InputError(f"expected {what} that vary, but {trait!r} does not.")
            centred = y - y.mean()
            losses = np.array([centred @ errors @ centred for errors in fold.errors])
            predicted = fold.smoother[best_index(-losses, last=True)] @ y
            r = rowwise_r(predicted[None], z[None])[0]
            null.append(rowwise_r(np.tile(predicted, (n_permutations, 1)), z[orders]))
            low, high = percentile_interval(drawn_r(predicted, z, draws[:, whom]), draws.shape[1])
            rows.append(
                {
                    "features": name,
                    "trait": str(trait),
                    "r": r,
                    "ci_low": low,
                    "ci_high": high,
                    "n_train": n,
                    "n_test": m,
                }
            )
    table = pd.DataFrame(rows)
    p, corrected = p_of(table["r"], null)
    table.insert(5, "p", p)
    table.insert(6, "p_corrected", corrected)
    return table
