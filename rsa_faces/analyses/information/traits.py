"""Traits: what judgements of faces follow from, and whether a prediction is of that trait alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._face_tables import common, numbers, sets_of
from rsa_faces.analyses._inputs import INTERSECTION, as_labels, codes_of
from rsa_faces.analyses._intervals import blocks_of, refitted_interval
from rsa_faces.analyses._ridge import STRENGTHS
from rsa_faces.analyses.information._encoding import corrected_t
from rsa_faces.analyses.information.landmarks import read_measurements
from rsa_faces.inference.bootstrap import draws_of

_N_BOOT = 1000
_CHANGE = ("change", "change_low", "change_high", "change_p")


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
    across: Labels | None = None,
    within: Labels | None = None,
    baseline: pd.DataFrame | None = None,
    reliability: pd.Series | None = None,
    against: Mapping[str, str] | None = None,
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
    against : mapping of set to set, optional
        Sets that are other versions of a set, such as features of grey images or of faces without
        hair (:func:`rsa_faces.stimuli.mask_faces`), and the set of the images as they are.
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
        ``ci_high`` (95 %, as there), ``p``, ``p_corrected`` (largest r over all rows);
        with `reliability` also ``ceiling`` (its root, the largest r that perfect predictions
        would reach) and ``r_of_ceiling``; with `baseline` the columns that
        :func:`rsa_faces.analyses.landmark_readout` adds; with `against` the set in ``against``, and
        ``change``, r less that of this set, ``change_low``, ``change_high`` (95 %) and ``change_p``
        (two-sided), by the corrected resampled t of :func:`encoding`, each fold left out.
        ``n_faces``, ``n_people``, ``n_left_out``.

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
    sets, names = sets_of(features, match)
    for name in set(against or {}) | set((against or {}).values()):
        check_choice(name, sets, what="set in `against`")
    values = numbers(ratings, "ratings")
    names = common(names, values.index, match, "ratings")
    given = {"across": across, "within": within}
    known = {
        what: as_labels(own, what, INTERSECTION) for what, own in given.items() if own is not None
    }
    if baseline is not None:
        baseline = numbers(baseline, "baseline")
        known["baseline"] = baseline.index
    for what, own in known.items():
        names = common(names, list(own), match, what)
    traits = [str(name) for name in values.columns]
    faces = list(names)
    across, within = (
        {face: known[what][face] for face in faces} if what in known else None for what in given
    )
    baseline = None if baseline is None else baseline.loc[faces]
    result, without = read_measurements(
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
        match="same",
        seed=seed,
        progress=progress,
    )
    new = {
        "layer": "features",
        "measurement": "trait",
        "measured": "rating",
        "n_conditions": "n_faces",
    }
    table = result.table.drop(columns=["network", "layer_index", "depth"]).rename(columns=new)
    if reliability is not None:
        table = _with_ceiling(table, reliability, traits)
    every = set(values.index).union(*(frame.index for frame in sets.values()))
    table["n_left_out"] = len(every) - len(faces)
    predictions = result.predictions.rename(columns=new)
    people = codes_of([across[f] for f in faces])[0] if across else np.arange(len(faces))
    if against:
        table = table.merge(
            _changes(predictions, traits, against), on=["features", "trait"], how="left"
        )
    return TraitReadout(
        table,
        _specificity(predictions, traits, people, without, as_rng(seed)),
        predictions,
        settings={**result.settings, "match": match},
    )


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


def _less_means(rows: pd.DataFrame, traits: list[str]):
    """Return predictions and ratings less the training mean, (n_traits, n_faces); and folds."""
    by_trait = dict(list(rows.groupby("trait", sort=False)))
    x, y = (
        np.array([by_trait[trait][column].to_numpy() for trait in traits])
        for column in ("predicted", "rating")
    )
    fold = by_trait[traits[0]]["fold"].to_numpy()
    means = np.stack([y[:, fold != f].mean(axis=1) for f in fold], axis=1)
    return x - means, y - means, y, fold


def _changes(predictions: pd.DataFrame, traits: list[str], against: Mapping[str, str]):
    """Return how much better each trait is predicted from other versions of a set."""
    own = {}
    for name, rows in predictions.groupby("features", sort=False):
        x, y, _, fold = _less_means(rows, traits)
        weights = np.vstack([np.ones(len(fold)), *(fold != f for f in np.unique(fold))])
        own[name] = np.einsum("bii->bi", _weighted_r(x, y, weights.astype(float)))
    rows = []
    for name, other in against.items():
        gap = own[name] - own[other]  # of all, and without each fold: (1 + n_folds, n_traits)
        n = len(gap) - 1
        # Pseudo-values: what each fold adds, of which a mean and a t test can be taken.
        parts = n * gap[0] - (n - 1) * gap[1:]
        for trait, each, change in zip(traits, parts.T, gap[0], strict=True):
            row = {"features": name, "trait": trait, "against": other}
            rows.append(row | corrected_t(each, 1 / n + 1 / (n - 1), _CHANGE, change))
    return pd.DataFrame(rows)


def _specificity(
    predictions: pd.DataFrame, traits: list[str], people, without: Mapping[str, np.ndarray], rng
) -> pd.DataFrame:
    """Return how predictions of each trait follow each trait."""
    n_people = int(people.max()) + 1
    draws = draws_of(n_people, _N_BOOT, rng)[:, people]
    weights = np.vstack([np.ones(len(people)), draws]).astype(float)
    tables = []
    for name, rows in predictions.groupby("features", sort=False):
        x, y, ratings, fold = _less_means(rows, traits)
        r = _weighted_r(x, y, weights)  # (1 + n_boot, trained, tested)
        own = np.einsum("bii->bi", r)[:, :, None]
        among = _weighted_r(ratings, ratings, weights[:1])[0]
        block = blocks_of(people, fold)
        left_out = []
        for b, (told, means) in enumerate(without[name].transpose(2, 1, 0, 3)):
            kept = (block != b)[None].astype(float)
            left_out.append(_weighted_r(told - means, ratings - means, kept)[0])
        left_out = np.array(left_out)
        gaps = np.einsum("bii->bi", left_out)[:, :, None] - left_out
        low, high = refitted_interval(r[0], r[1:], left_out, n_people)
        gap_low, gap_high = refitted_interval(
            (own - r)[0], (own - r)[1:], gaps, n_people, correlation=False
        )
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
    spreads = []
    for v, m in ((x, mean_x), (y, mean_y)):
        square = weights @ (v.T**2) / weights.sum(axis=1, keepdims=True)
        # What is left of a constant is rounding, in whatever unit ratings are.
        spreads.append(np.sqrt(np.where(square - m**2 > 1e-12 * square, square - m**2, 0.0)))
    scale = spreads[0][:, :, None] * spreads[1][:, None, :]
    return np.divide(cross, scale, out=np.full(cross.shape, np.nan), where=scale > 0)
