"""Traits: what judgements of faces follow from, and whether a prediction is of that trait alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.names import as_names, check_unique_names, named
from rsa_faces._core.numbers import best_index
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import cells_of, codes_of
from rsa_faces.analyses._ridge import fit_fold
from rsa_faces.analyses._targets import LEVEL, Numbers, rowwise_r
from rsa_faces.analyses.face_code.axis_coding import check_strengths
from rsa_faces.analyses.information.landmarks import landmark_readout
from rsa_faces.analyses.information.readout import STRENGTHS
from rsa_faces.inference._orders import exchanges

_N_BOOT = 1000
_N_SPLITS = 200


@dataclass(frozen=True, eq=False, repr=False)
class TraitReadout(BaseResult, figure="plot_traits"):
    """What each set of features tells about each trait.

    Attributes
    ----------
    table : DataFrame
        One row per set of features and trait; see :func:`trait_readout`.
    specificity : DataFrame
        One row per set of features, trait trained on and trait tested on: ``features``,
        ``trained``, ``tested``; ``r`` of held-out predictions of the one with ratings of the
        other, ``ci_low``, ``ci_high``; ``rating_r``, how the two are correlated in the ratings;
        ``difference`` = r of the trait's own prediction with it less this r, with
        ``difference_low``, ``difference_high``.
    predictions : DataFrame
        ``features``, ``trait``, ``condition``, ``rating``, ``predicted`` (held out), ``fold``.
    settings : dict
        Options, for provenance.

    See Also
    --------
    trait_readout : Predict mean ratings of faces from features by ridge regression.
    rsa_faces.figures.plot_traits : Draw how well each trait is predicted from each set of features.
    rsa_faces.figures.plot_specificity : Draw which ratings the prediction of each trait follows.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import trait_readout
    >>> rng = np.random.default_rng(0)
    >>> faces = [f"face {i}" for i in range(40)]
    >>> x = pd.DataFrame(rng.normal(size=(40, 6)), faces)
    >>> ratings = pd.DataFrame({"warm": x[0], "tall": rng.normal(size=40)}, faces)  # simulated
    >>> found = trait_readout({"network": x}, ratings, n_permutations=19)
    >>> len(found.table), len(found.specificity)
    (2, 4)
    """

    table: pd.DataFrame
    specificity: pd.DataFrame
    predictions: pd.DataFrame

    def __repr__(self) -> str:
        n_sets, n = self.table["features"].nunique(), self.table["trait"].nunique()
        return f"TraitReadout({n_sets} sets of features, {n} traits)"


@keep_warnings
def trait_readout(
    features: Mapping[str, pd.DataFrame],
    ratings: pd.DataFrame,
    *,
    across: Mapping[str, Any] | pd.Series | None = None,
    within: Mapping[str, Any] | pd.Series | None = None,
    baseline: pd.DataFrame | None = None,
    reliability: pd.Series | None = None,
    n_folds: int = 10,
    n_permutations: int = 1000,
    strengths: Sequence[float] = STRENGTHS,
    standardize: bool = True,
    match: str = "same",
    seed: int = 0,
    progress: bool = True,
) -> TraitReadout:
    """Predict mean ratings of faces from features by ridge regression, cross-validated.

    Parameters
    ----------
    features : mapping of name to DataFrame (n_faces, n_features)
        Sets to compare, indexed by face: a layer of an identity network, one of an object network
        (``DataFrame(acts[layer], acts.conditions)``), measured landmarks.
    ratings : DataFrame, shape (n_faces, n_traits)
        Mean ratings, indexed by face: any scale, finite.
    across : mapping or Series, face to person, optional
        People are left out whole. By default every face is another person.
    within : mapping or Series, face to cell, optional
        Cells of the other factors of the design: people change places cell by cell (images of one
        view), and only with people who have as many faces in each.
    baseline : DataFrame, optional
        What features are compared with, such as gender and age as numbers.
    reliability : Series, trait to reliability of its mean ratings, optional
        From :func:`rating_reliability`; gives the ceiling.
    n_folds, n_permutations, strengths, seed, progress
        As for :func:`rsa_faces.analyses.landmark_readout`.
    standardize : bool, default True
        Give every feature of a set the same variance over the training people, as sets may mix
        pixels, angles and units. False for layers of networks, whose channels have one unit: sets
        are then scaled whole, and channels that say little count little.
    match : {"same", "intersection"}, default "same"
        Whether all must be of the same faces, or those in all are taken.

    Returns
    -------
    TraitReadout
        Its table: ``features``, ``trait``; ``r`` and ``r2`` for people left out and ``chance``
        (mean r of permutations), as in :func:`rsa_faces.analyses.readout`, ``ci_low``,
        ``ci_high`` (95 %, drawing people), ``p``, ``p_corrected`` (largest r over all rows);
        with `reliability` also ``ceiling`` (its root, the largest r that perfect predictions
        would reach) and ``r_of_ceiling``; with `baseline` the columns that
        :func:`rsa_faces.analyses.landmark_readout` adds. ``n_faces``, ``n_people``,
        ``n_left_out``.

    Raises
    ------
    InputError
        If features or ratings are not finite numbers or do not vary, or names do not match.

    See Also
    --------
    trait_generalization : Train on one set of faces and raters, test on another.
    rating_reliability : Return the reliability of mean ratings, from halves of the raters.
    rsa_faces.figures.plot_traits : Draw how well each trait is predicted from each set of features.
    rsa_faces.figures.plot_specificity : Draw which ratings the prediction of each trait follows.

    Notes
    -----
    Features that are all but silent in the training people and fire in one left out are bounded
    (:func:`rsa_faces.analyses.readout`). For layers of networks ``standardize=False`` predicts
    better: from 1,280 EfficientNet features of 100 neutral faces (London set) r2 of age, gender,
    largest ethnic group and face width is .25, .88, .64 and .34; standardised .08, .84, .65 and
    .23, and without a bound below 0 in all (``scripts/silent_channels.py``).

    Traits are correlated in ratings: whoever predicts "trustworthy" predicts "caring"
    as well. A prediction is specific if it follows its own trait more closely than others, by
    more than ratings let expect: compare ``difference`` with 0 and ``r`` with r of the trait
    itself times ``rating_r``.

    Judgements are about impressions, not about the people: what is predicted is how raters of
    that time and place see a photograph.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import trait_readout
    >>> rng = np.random.default_rng(0)
    >>> faces = [f"face {i}" for i in range(60)]
    >>> x = pd.DataFrame(rng.normal(size=(60, 10)), faces)
    >>> warm = x[0] + 0.3 * rng.normal(size=60)  # simulated ratings
    >>> ratings = pd.DataFrame({"warm": warm, "tall": rng.normal(size=60)}, faces)
    >>> found = trait_readout({"network": x}, ratings, n_permutations=99)
    >>> found.table[["trait", "p"]].round(2)
      trait     p
    0  warm  0.01
    1  tall  0.41
    """
    sets, names = _sets(features, match)
    values = _numbers(ratings, "ratings")
    names = _common(names, values.index, match, "ratings")
    if across is not None:
        names = _common(names, list(dict(across)), match, "people")
    if within is not None:
        names = _common(names, list(dict(within)), match, "within")
    if baseline is not None:
        names = _common(names, _numbers(baseline, "baseline").index, match, "baseline")
        baseline = baseline.loc[list(names)]
    traits = [str(name) for name in values.columns]
    faces = list(names)
    across, within = (
        None if labels is None else {face: dict(labels)[face] for face in faces}
        for labels in (across, within)
    )
    found = landmark_readout(
        {name: frame.loc[faces].to_numpy(float) for name, frame in sets.items()},
        values.loc[faces].set_axis(traits, axis=1),
        conditions=faces,
        across=across,
        within=within,
        baseline=baseline,
        n_folds=n_folds,
        n_permutations=n_permutations,
        strengths=strengths,
        standardize=standardize,
        seed=seed,
        progress=progress,
    )
    new = {
        "layer": "features",
        "measurement": "trait",
        "measured": "rating",
        "n_conditions": "n_faces",
    }
    table = found.table.drop(columns=["network", "layer_index", "depth"]).rename(columns=new)
    if reliability is not None:
        table = _with_ceiling(table, reliability, traits)
    every = set(values.index).union(*(frame.index for frame in sets.values()))
    table["n_left_out"] = len(every) - len(faces)
    predictions = found.predictions.rename(columns=new)
    people = codes_of([across[f] for f in faces])[0] if across else np.arange(len(faces))
    return TraitReadout(
        table,
        _specificity(predictions, traits, people, as_rng(seed)),
        predictions,
        settings={**found.settings, "match": match},
    )


def trait_generalization(
    train_features: Mapping[str, pd.DataFrame],
    train_ratings: pd.DataFrame,
    test_features: Mapping[str, pd.DataFrame],
    test_ratings: pd.DataFrame,
    *,
    across: Mapping[str, Any] | pd.Series | None = None,
    within: Mapping[str, Any] | pd.Series | None = None,
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
    not asked. Each training face is taken for another person.

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
    first, names = _sets(train_features, "same")
    second, other = _sets(test_features, "same")
    if set(first) != set(second):
        raise InputError(
            f"expected the same sets of features to train and to test, got {', '.join(first)} and "
            f"{', '.join(second)}."
        )
    known, asked = _numbers(train_ratings, "train_ratings"), _numbers(test_ratings, "test_ratings")
    names = _common(names, known.index, "same", "train_ratings")
    other = _common(other, asked.index, "same", "test_ratings")
    traits = [trait for trait in known.columns if trait in set(asked.columns)]
    if not traits:
        raise InputError(
            f"expected a trait that both have, got {', '.join(map(str, known.columns))} and "
            f"{', '.join(map(str, asked.columns))}."
        )
    n, m = len(names), len(other)
    whom = np.arange(m) if across is None else cells_of(across, other, "across")
    k = int(whom.max()) + 1
    orders = exchanges(whom, cells_of(within, other))(rng, n_permutations)
    draws = rng.multinomial(k, np.full(k, 1 / k), size=_N_BOOT)
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
            low, high = Numbers(z).interval(predicted, predicted, whom, draws)
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
    table, null = pd.DataFrame(rows), np.array(null)
    r = table["r"].to_numpy()[:, None] - 1e-12
    table.insert(5, "p", (1 + (null >= r).sum(axis=1)) / (1 + n_permutations))
    largest = (null.max(axis=0) >= r).sum(axis=1)
    table.insert(6, "p_corrected", (1 + largest) / (1 + n_permutations))
    return table


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
    values = _numbers(ratings[traits].reset_index(drop=True), "ratings", gaps=True)
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
        half = np.tanh(np.arctanh(np.clip(_masked_r(one, two, both), -1, 1 - 1e-12)).mean())
        out[str(trait)] = max(2 * half / (1 + half), 0.0)
    return pd.Series(out, name="reliability")


def _masked_r(a: np.ndarray, b: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the correlation of rows over entries that both have."""
    n = both.sum(axis=1, keepdims=True)
    a, b = (np.where(both, v, 0.0) for v in (a, b))
    a, b = (np.where(both, v - v.sum(axis=1, keepdims=True) / n, 0.0) for v in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)


def _sets(features, match: str) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """Return sets of features and the faces that all have."""
    check_choice(match, ["same", "intersection"], what="match")
    if not isinstance(features, Mapping) or not features:
        raise InputError(
            "expected features as a mapping from a name to a DataFrame indexed by face, got a "
            f"{type(features).__name__}."
        )
    sets = {str(name): _numbers(frame, f"features {name!r}") for name, frame in features.items()}
    names = tuple(next(iter(sets.values())).index)
    for name, frame in sets.items():
        names = _common(names, frame.index, match, name)
    return sets, names


def _numbers(frame, what: str, *, gaps: bool = False) -> pd.DataFrame:
    """Return a table of finite numbers with unique names of rows and columns."""
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise InputError(
            f"expected {what} as a DataFrame indexed by face, got a {type(frame).__name__}."
        )
    names = check_unique_names(frame.index, what="face")
    check_unique_names(frame.columns, what=f"{what} column")
    values, _ = named(frame.set_axis(list(names)), what=what, of="face", missing=True)
    values = values.astype(float)
    bad = np.isinf(values).any(axis=1) if gaps else ~np.isfinite(values).all(axis=1)
    if bad.any():
        shown = ", ".join(repr(names[i]) for i in np.flatnonzero(bad)[:5])
        raise InputError(
            f"expected finite {what}, but {bad.sum()} faces have NaN or infinity: {shown}. Leave "
            "them out and use match='intersection'."
        )
    return pd.DataFrame(values, list(names), frame.columns)


def _common(names: Sequence[str], others: Sequence[str], match: str, what: str) -> tuple[str, ...]:
    """Return the names that both have, in the first's order."""
    others = set(as_names(others, what="face"))
    if match == "same" and set(names) != others:
        raise ConditionMismatchError(
            names,
            sorted(others),
            left_name="the features",
            right_name=what,
            hint="Rename them, or use match='intersection' for those in both.",
        )
    return tuple(name for name in names if name in others)


def _with_ceiling(table: pd.DataFrame, reliability: pd.Series, traits: list[str]) -> pd.DataFrame:
    """Return the table with the ceiling of each trait."""
    lacking = [trait for trait in traits if trait not in reliability.index]
    if lacking:
        raise InputError(f"expected a reliability of every trait, none of {', '.join(lacking)}.")
    values = reliability.loc[traits].to_numpy(float)
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"expected reliabilities from 0 to 1, got {values.round(3).tolist()}.")
    ceiling = table["trait"].map(dict(zip(traits, np.sqrt(values), strict=True)))
    table["ceiling"] = ceiling
    table["r_of_ceiling"] = table["r"] / ceiling.where(ceiling > 0)
    return table


def _specificity(predictions: pd.DataFrame, traits: list[str], people, rng) -> pd.DataFrame:
    """Return how predictions of each trait follow each trait."""
    n_people = int(people.max()) + 1
    draws = rng.multinomial(n_people, np.full(n_people, 1 / n_people), size=_N_BOOT)[:, people]
    weights = np.vstack([np.ones(len(people)), draws]).astype(float)
    tables = []
    for name, rows in predictions.groupby("features", sort=False):
        by_trait = dict(list(rows.groupby("trait", sort=False)))
        x, y = (
            np.array([by_trait[trait][column].to_numpy() for trait in traits])
            for column in ("predicted", "rating")
        )
        fold = by_trait[traits[0]]["fold"].to_numpy()
        means = np.stack([y[:, fold != f].mean(axis=1) for f in fold], axis=1)
        r = _weighted_r(x - means, y - means, weights)  # (1 + n_boot, trained, tested)
        own = np.einsum("bii->bi", r)[:, :, None]
        among = _weighted_r(y, y, weights[:1])[0]
        low, high = np.nanpercentile(r[1:], LEVEL, axis=0)
        gap_low, gap_high = np.nanpercentile((own - r)[1:], LEVEL, axis=0)
        trained, tested = np.meshgrid(traits, traits, indexing="ij")
        tables.append(
            pd.DataFrame(
                {
                    "features": name,
                    "trained": trained.ravel(),
                    "tested": tested.ravel(),
                    "r": r[0].ravel(),
                    "ci_low": low.ravel(),
                    "ci_high": high.ravel(),
                    "rating_r": among.ravel(),
                    "difference": (own - r)[0].ravel(),
                    "difference_low": gap_low.ravel(),
                    "difference_high": gap_high.ravel(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _weighted_r(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return correlations of all rows of x with all of y for each weighting of the columns."""
    total = weights.sum(axis=1)[:, None, None]
    mean_x, mean_y = (weights @ v.T / weights.sum(axis=1, keepdims=True) for v in (x, y))
    cross = np.einsum("bn,in,jn->bij", weights, x, y, optimize=True) / total
    cross -= mean_x[:, :, None] * mean_y[:, None, :]
    spread_x, spread_y = (
        np.sqrt(np.maximum(weights @ (v.T**2) / weights.sum(axis=1, keepdims=True) - m**2, 0))
        for v, m in ((x, mean_x), (y, mean_y))
    )
    scale = spread_x[:, :, None] * spread_y[:, None, :]
    return np.divide(cross, scale, out=np.full(cross.shape, np.nan), where=scale > 1e-12)
