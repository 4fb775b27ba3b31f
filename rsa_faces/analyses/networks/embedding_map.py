"""Embedding maps: how far one network's space is a linear map of another's, judged by faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.numbers import best_index
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width, jackknife_error
from rsa_faces.analyses._gram import centred_on, unit_length
from rsa_faces.analyses._inputs import as_labels, as_layers, check_finite, codes_of
from rsa_faces.analyses._ridge import STRENGTHS, check_strengths, deal_folds, fit_fold
from rsa_faces.analyses.networks._geometry import root_of

KINDS = ("ridge", "procrustes")
PAIRINGS = ("same image", "other image")
SWEPT = "ridge, one strength"
FARS = (1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingMap(BaseResult, figure="plot_embedding_map"):
    """How well people are recognised across two networks.

    Attributes
    ----------
    table : DataFrame
        One row per kind of map and number of pairs; see :func:`embedding_map`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    embedding_map : Map one network's embeddings into another's space.
    rsa_faces.figures.plot_embedding_map

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import embedding_map
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.normal(size=(30, 8)), 2, axis=0) + 0.3 * rng.normal(size=(60, 8))
    >>> names = [f"p{i} {k}" for i in range(30) for k in "ab"]
    >>> person = {name: name.split()[0] for name in names}
    >>> found = embedding_map({"fc": x}, {"fc": x @ rng.normal(size=(8, 6))}, person,
    ...                       conditions=names, kinds=["ridge"], n_pairs=[10], n_draws=2)
    >>> sorted(set(found.table["map"]))
    ['ridge', 'source', 'target']
    """

    table: pd.DataFrame

    def __repr__(self) -> str:
        maps = self.table[self.table["map"].isin(KINDS)]
        best = maps.loc[maps["auc"].idxmax()]
        return (
            f"EmbeddingMap({self.settings['source']!r} to {self.settings['target']!r}; AUC up to "
            f"{best['auc']:.3f} with {best['n_pairs']} pairs)"
        )


@keep_warnings
def embedding_map(
    source,
    target,
    people: Labels,
    *,
    source_layer: str | None = None,
    target_layer: str | None = None,
    conditions: Sequence[str] | None = None,
    kinds: Sequence[str] = KINDS,
    pairing: str = "same image",
    n_pairs: Sequence[int] = (10, 20, 50, 100, 200, 500),
    n_draws: int = 10,
    n_folds: int = 5,
    strengths: Sequence[float] = STRENGTHS,
    sweep: bool = False,
    fars: Sequence[float] = FARS,
    seed: int = 0,
    progress: bool = True,
) -> EmbeddingMap:
    """Map one network's embeddings into another's space, and verify people never seen there.

    Parameters
    ----------
    source, target : Activations, or mapping of layer to ndarray (n_images, n_channels)
        Of the same images, in any order.
    people : mapping or Series, image to person
        At least two images of every person.
    source_layer, target_layer : str, optional
        By default the last.
    conditions : sequence of str, optional
        The name of each row of plain mappings.
    kinds : sequence of {"ridge", "procrustes"}
        Ridge regression with intercept, its strength chosen on the training pairs by leaving out
        a person at a time; or shift, rotation and scale, of the directions that pairs tell of.
    pairing : {"same image", "other image"}, default "same image"
        Whether training pairs are two networks' embeddings of one image, or of two images of a
        person (what someone has who knows names, not images).
    n_pairs : sequence of int
        Training pairs, drawn at random; numbers of which there are not enough are left out, and
        as many as the training people of every fold have come last.
    n_draws : int, default 10
        Draws of pairs and of folds for each number.
    n_folds : int, default 5
        People are dealt into folds; maps are tested on people that they were not made from.
    strengths : sequence of float
        Of the ridge, in units of the mean squared length of the training embeddings.
    sweep : bool, default False
        Judge every strength of the ridge as well, each at every number of pairs.
    fars : sequence of float, default (0.1, 0.01, 0.001, 0.0001)
        False accept rates.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    EmbeddingMap
        Its table: ``map`` ("ridge", "procrustes"; "target" and "source" are the networks' own
        spaces on the same test pairs; with `sweep` also "ridge, one strength"), ``n_pairs`` (0 for
        these), ``strength`` (NaN where it is chosen, or none is); ``auc``, ``lost`` (the target's
        own AUC on the same pairs less this), ``accuracy`` (as in
        the Labeled Faces in the Wild, thresholds from the other folds), ``tar@…`` for each rate
        (NaN if a draw has fewer than 1 / rate pairs of two people), each a mean over draws with
        ``…_low``, ``…_high``, the middle 95 % of draws (for ``auc``, ``lost``, ``accuracy``);
        ``n_same``, ``n_different`` test pairs of a draw, ``n_people``.

    Raises
    ------
    InputError
        If a person has one image, there are fewer people than folds, embeddings are not finite,
        or options do not fit.
    ConditionMismatchError
        If images and people differ.

    See Also
    --------
    shape_distance : Return the angle between two geometries.
    rsa_faces.figures.plot_embedding_map

    Notes
    -----
    Test pairs are a mapped embedding of one image and the target's own embedding of another, of
    people of the test fold. Scores are cosines after a mean of the target's embeddings is taken
    off: of the training pairs for maps, of all training people for "target" and "source". The
    spread over draws tells how much the choice of pairs matters; it is not an interval for other
    people. The best strength of a sweep is the best on the test people: what it promises is too
    good by that choice, and "ridge", which chooses on training people, is what can be had.

    A good map from few pairs means that embeddings of an unknown network are not anonymous: see
    the note on privacy in the documentation.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import embedding_map
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.normal(size=(40, 16)), 2, axis=0) + 0.3 * rng.normal(size=(80, 16))
    >>> y = x @ rng.normal(size=(16, 12))  # simulated: a linear map
    >>> names = [f"p{i} {k}" for i in range(40) for k in "ab"]
    >>> person = {name: name.split()[0] for name in names}
    >>> found = embedding_map({"fc": x}, {"fc": y}, person, conditions=names, kinds=["ridge"],
    ...                       n_pairs=[10, 50], n_draws=3)
    >>> found.table[["map", "n_pairs", "auc"]].round(2)
          map  n_pairs   auc
    0  target        0  0.99
    1  source        0  1.00
    2   ridge       10  0.89
    3   ridge       50  0.99
    4   ridge       64  0.99
    """
    kinds = [check_choice(kind, KINDS, what="kind of map") for kind in kinds]
    check_choice(pairing, PAIRINGS, what="pairing")
    check_count(n_draws, what="n_draws")
    check_count(n_folds, what="n_folds", low=2)
    for n in n_pairs:
        check_count(n, what="n_pairs", low=4)
    ridge = check_strengths(strengths)
    x, y, who, layers = _both(source, target, people, conditions, source_layer, target_layer)
    n_people = int(who.max()) + 1
    if n_people < max(n_folds, 4):
        raise InputError(f"expected at least {max(n_folds, 4)} people, got {n_people}.")
    rng = as_rng(seed)
    rows: dict[tuple, list] = {}
    with progress_bar("maps", n_draws, show=progress) as tell:
        for draw in range(n_draws):
            folds = deal_folds(who, n_folds, rng)
            scores: dict[tuple, list] = {}
            kept = []
            for fold in np.unique(folds):
                train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
                first, second = (test[i] for i in np.nonzero(~np.eye(len(test), dtype=bool)))
                kept.append((who[first] == who[second], np.full(len(first), fold)))
                center = y[train].mean(axis=0)
                scores.setdefault(("target", 0, np.nan), []).append(
                    _cosines(y - center, y - center, first, second)
                )
                own = x - x[train].mean(axis=0)
                scores.setdefault(("source", 0, np.nan), []).append(
                    _cosines(own, own, first, second)
                )
                pairs = _pairs(train, who, pairing)
                for n in _numbers_of(n_pairs, who, folds, pairing):
                    chosen = pairs[rng.choice(len(pairs), n, replace=False)]
                    center_of = y[chosen[:, 1]].mean(axis=0)  # all that whoever has n pairs knows
                    options = (x, y, chosen, test, who, ridge)
                    maps = {(kind, n, np.nan): _FIT[kind](*options) for kind in kinds}
                    if sweep:
                        each = _ridge_maps(*options)[0]
                        maps |= {(SWEPT, n, k): v for k, v in zip(ridge, each, strict=True)}
                    for key, mapped in maps.items():
                        whole = np.zeros_like(y)
                        whole[test] = mapped - center_of
                        scores.setdefault(key, []).append(
                            _cosines(whole, y - center_of, first, second)
                        )
            same, fold_of = (np.concatenate(part) for part in zip(*kept, strict=True))
            # The same pairs for all maps, or chance would set them apart.
            balanced = _balanced(same, fold_of, rng)
            of_target = None
            for key, parts in scores.items():
                judged = _judged(np.concatenate(parts), same, fold_of, balanced, fars)
                of_target = judged["auc"] if of_target is None else of_target  # it comes first
                rows.setdefault(key, []).append({**judged, "lost": of_target - judged["auc"]})
            tell(draw + 1)
    table = pd.DataFrame(
        [
            {"map": kind, "n_pairs": n, "strength": k, **_over_draws(judged), "n_people": n_people}
            for (kind, n, k), judged in rows.items()
        ]
    )
    order = {name: i for i, name in enumerate(("target", "source", *KINDS, SWEPT))}
    table = table.assign(place=table["map"].map(order)).sort_values(
        ["place", "n_pairs", "strength"]
    )
    settings = {
        "source": layers[0],
        "target": layers[1],
        "pairing": pairing,
        "n_draws": n_draws,
        "n_folds": n_folds,
        "strengths": ridge.tolist(),
        "sweep": sweep,
        "seed": seed,
    }
    return EmbeddingMap(table.drop(columns="place").reset_index(drop=True), settings=settings)


def shape_distance(
    first,
    second,
    people: Labels | None = None,
    *,
    first_layer: str | None = None,
    second_layer: str | None = None,
    conditions: Sequence[str] | None = None,
    alpha: float = 0.05,
) -> dict[str, float]:
    """Return the angle by which two spaces differ in shape, with its interval over people.

    Parameters
    ----------
    first, second : Activations, or mapping of layer to ndarray (n_images, n_channels)
        Of the same images, in any order.
    people : mapping or Series, image to person, optional
        By default every image is another person.
    first_layer, second_layer : str, optional
        By default the last.
    conditions : sequence of str, optional
    alpha : float, default 0.05

    Returns
    -------
    dict
        ``distance`` in radians, from 0 (the same up to shift, rotation and scale) to π / 2;
        ``ci_low``, ``ci_high``; ``n_images``, ``n_people``.

    Raises
    ------
    InputError
        If there are fewer than 5 people, or as for :func:`embedding_map`.

    See Also
    --------
    layer_agreement : Compare the geometry of every layer of a network with every layer of another.
    embedding_map : Map one network's embeddings into another's space.

    Notes
    -----
    arccos of the nuclear norm of XᵀY, both centred and of length 1: the angular Procrustes
    distance [1]_. The interval leaves out one person at a time (jackknife, Student's t). It is
    for the distance at this number of images, and too wide where there are many more channels than
    people (it then covers 99 to 100 % instead of 95): with fewer images than channels, distances
    grow with their number, and only those from the same images should be compared.

    References
    ----------
    .. [1] Williams A. H. et al. (2021). NeurIPS 34. doi:10.48550/arXiv.2110.14739

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import shape_distance
    >>> x = np.random.default_rng(0).normal(size=(20, 6))
    >>> names = [f"face {i}" for i in range(20)]
    >>> found = shape_distance({"fc": x}, {"fc": 2 * x[:, ::-1] + 1}, conditions=names)
    >>> round(found["distance"], 6)
    0.0
    """
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    if people is None:
        names = as_layers(first, conditions).conditions
        people = dict(zip(names, names, strict=True))
    x, y, who, _ = _both(first, second, people, conditions, first_layer, second_layer, single=True)
    n_people = int(who.max()) + 1
    if n_people < 5:
        raise InputError(f"expected at least 5 people, got {n_people}.")
    products = x @ x.T, y @ y.T

    def distance(rows: np.ndarray) -> float:
        every = np.arange(len(rows))
        one, two = (root_of(centred_on(k[np.ix_(rows, rows)], every)) for k in products)
        return float(np.arccos(min(np.linalg.svd(one @ two, compute_uv=False).sum(), 1.0)))

    whole = distance(np.arange(len(x)))
    without = np.array([distance(np.flatnonzero(who != p)) for p in range(n_people)])
    reach = half_width(jackknife_error(without), n_people - 1, alpha)
    return {
        "distance": whole,
        "ci_low": float(max(whole - reach, 0.0)),
        "ci_high": float(min(whole + reach, np.pi / 2)),
        "n_images": len(x),
        "n_people": n_people,
    }


def _both(source, target, people, conditions, source_layer, target_layer, *, single: bool = False):
    """Return embeddings and people of the same images, and what the layers are called."""
    parts, called = [], []
    for given, layer in ((source, source_layer), (target, target_layer)):
        layers = as_layers(given, conditions)
        names = list(layers.arrays)
        layer = names[-1] if layer is None else check_choice(layer, names, what="layer")
        patterns = np.asarray(layers.arrays[layer], np.float64)
        check_finite(patterns, layers.conditions, layer)
        if np.ptp(patterns, axis=0).max() == 0:
            raise InputError(f"expected channels that vary, but layer {layer!r} has none.")
        parts.append((layers.conditions, patterns))
        called.append(f"{layers.network} {layer}".strip())
    (names, x), (others, y) = parts
    people = as_labels(people, "people")
    for found, what in ((others, "the target"), (people, "people")):
        if set(names) != set(found):
            raise ConditionMismatchError(
                names,
                list(found),
                left_name="the source",
                right_name=what,
                hint="Extract both from the same stimuli, and name their people.",
            )
    place = {name: i for i, name in enumerate(others)}
    who = codes_of([people[name] for name in names])[0]
    lonely = (np.bincount(who) < 2).sum()
    if lonely and not single:
        raise InputError(
            f"expected at least 2 images of every person, but {lonely} people have one: leave them "
            "out."
        )
    return x, y[[place[name] for name in names]], who, called


def _pairs(train: np.ndarray, who: np.ndarray, pairing: str) -> np.ndarray:
    """Return all training pairs: image shown to the source, image shown to the target."""
    if pairing == "same image":
        return np.stack([train, train], axis=1)
    same = who[train][:, None] == who[train]
    np.fill_diagonal(same, False)
    return train[np.argwhere(same)]


def _numbers_of(n_pairs, who, folds, pairing: str) -> list[int]:
    """Return the numbers of pairs asked for that every fold has, and the largest."""
    fewest = min(len(_pairs(np.flatnonzero(folds != f), who, pairing)) for f in np.unique(folds))
    return [*(n for n in sorted(set(n_pairs)) if n < fewest), fewest]


def _ridge_maps(x, y, pairs, test, who, strengths) -> tuple[np.ndarray, int]:
    """Return test embeddings mapped at each strength of ridge regression, and which is chosen."""
    rows = np.concatenate([pairs[:, 0], test])
    train, asked = np.arange(len(pairs)), np.arange(len(pairs), len(rows))
    products = centred_on(x[rows] @ x[rows].T, train)
    fold = fit_fold(products, train, asked, strengths, who[pairs[:, 0]])
    wanted = y[pairs[:, 1]]
    centred = wanted - wanted.mean(axis=0)
    losses = np.array([np.einsum("io,io->", errors @ centred, centred) for errors in fold.errors])
    return fold.smoother @ wanted, int(best_index(-losses, last=True))


def _ridge_map(*options) -> np.ndarray:
    """Return test embeddings mapped by ridge regression of the strength that is chosen."""
    maps, chosen = _ridge_maps(*options)
    return maps[chosen]


def _procrustes_map(x, y, pairs, test, who, strengths) -> np.ndarray:
    """Return test embeddings shifted, turned and scaled."""
    one, two = x[pairs[:, 0]], y[pairs[:, 1]]
    from_mean, to_mean = one.mean(axis=0), two.mean(axis=0)
    one = one - from_mean
    # The singular vectors of oneᵀ two lie in what the pairs span, often far fewer dimensions.
    (turn, small), (back, other) = (np.linalg.qr(v.T) for v in (one, two - to_mean))
    u, s, vt = np.linalg.svd(small @ other.T, full_matrices=False)
    known = s > s[0] * 1e-10  # what pairs do not tell is mapped to the mean
    scale = s.sum() / max((one**2).sum(), np.finfo(float).tiny)
    return scale * (x[test] - from_mean) @ (turn @ u[:, known]) @ (vt[known] @ back.T) + to_mean


_FIT = {"ridge": _ridge_map, "procrustes": _procrustes_map}


def _cosines(a: np.ndarray, b: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return cosines of rows of a with rows of b; 0 for a row of length 0."""
    return (unit_length(a) @ unit_length(b).T)[first, second]


def _balanced(same: np.ndarray, fold_of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return pairs with as many of two people as of one in each fold, for the accuracy."""
    chosen = []
    for fold in np.unique(fold_of):
        alike, other = (
            np.flatnonzero((fold_of == fold) & (same == kind)) for kind in (True, False)
        )
        n = min(len(alike), len(other))
        chosen += [rng.choice(alike, n, replace=False), rng.choice(other, n, replace=False)]
    return np.concatenate(chosen)


def _judged(scores, same, fold_of, balanced, fars) -> dict[str, float]:
    """Return how well scores tell one person from two."""
    from rsa_faces.networks.training import area_under_roc, tar_at_far, verification

    rates = tar_at_far(scores, same, fars)["tar"]
    return {
        "auc": area_under_roc(scores, same),
        "accuracy": verification(scores[balanced], same[balanced], fold_of[balanced]).accuracy,
        **{f"tar@{far:g}": rate for far, rate in rates.items()},
        "n_same": int(same.sum()),
        "n_different": int((~same).sum()),
    }


def _over_draws(found: list[dict[str, float]]) -> dict[str, float]:
    """Return means over draws, and the spread of what has one."""
    frame = pd.DataFrame(found)
    out: dict[str, float] = {}
    for name in frame:
        if name.startswith("n_"):
            out[name] = int(frame[name].min())
            continue
        out[name] = frame[name].mean(skipna=False)
        if name in ("auc", "accuracy", "lost"):
            out[f"{name}_low"], out[f"{name}_high"] = np.percentile(frame[name], [2.5, 97.5])
    return out
