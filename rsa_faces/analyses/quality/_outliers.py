"""Images unlike those of a reference, flagged at a rate of false flags that the user sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces.analyses._gram import unit_length
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of, matched
from rsa_faces.analyses._intervals import interval_of_rate
from rsa_faces.rdm import noise_covariance

_log = logging.getLogger(__name__)
METHODS = ("mahalanobis", "neighbours")
_MOST_CHANNELS = {"mahalanobis": 4096}  # of a covariance matrix


@dataclass(frozen=True, eq=False)
class OutlierFlag:
    """A flag for images unlike the reference, with a rate of false flags set by the user.

    Make one with :meth:`fit`, use it with :meth:`apply`.

    Attributes
    ----------
    method : {"mahalanobis", "neighbours"}
    layer : str
    groups : tuple of str or None
        That have a rate of their own, if any.
    n_people : dict
        Reference people per group; of all under "all" without groups.

    See Also
    --------
    rsa_faces.analyses.check_confidence
    rsa_faces.analyses.SimilarityInterval

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import OutlierFlag
    >>> usual = np.random.default_rng(0).normal(3, 1, size=(100, 5))  # simulated
    >>> flag = OutlierFlag.fit({"fc": usual}, conditions=[f"face {i}" for i in range(100)])
    >>> odd = np.array([[3.0, -3, 3, -3, 3]])
    >>> flag.apply({"fc": odd}, conditions=["odd"])["flagged"].tolist()
    [True]
    """

    method: str
    layer: str
    groups: tuple | None
    n_people: dict
    _models: tuple
    _scores: np.ndarray
    _people: np.ndarray
    _group: np.ndarray

    @classmethod
    def fit(
        cls,
        reference,
        *,
        layer: str | None = None,
        conditions: Sequence[str] | None = None,
        people: Labels | None = None,
        groups: Labels | None = None,
        method: str = "neighbours",
        n_neighbours: int = 5,
        n_folds: int = 5,
        match: str = "same",
        seed: int = 0,
    ) -> OutlierFlag:
        """Learn from images that are as they should be.

        Parameters
        ----------
        reference : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
            Of clean images of the people and groups that the flag will meet; for a plain mapping
            give `conditions`.
        layer : str, optional
            By default the last.
        conditions : sequence of str, optional
            The name of each row of a plain mapping.
        people : mapping or Series, condition to person, optional
            Folds share none, and each counts once however many images there are. By default each
            image is a person.
        groups : mapping or Series, condition to group, optional
            Give each group the same rate of false flags: an image is ranked among the reference
            images of its own group (Mondrian conformal). A group needs 1/alpha − 1 people.
        method : {"neighbours", "mahalanobis"}, default "neighbours"
            Distance to the `n_neighbours`-th nearest reference image, of patterns of length 1
            [2]_; or squared distance from the mean, with a Ledoit-Wolf covariance. Identity
            networks bring bad images of all people to one place near the mean ("sface" does):
            distance from the mean then falls, and "mahalanobis" misses just these.
            A flag is worth what its layer shows: on 204 photographs with the strongest blur the
            last layer of "sface" flagged 98 % ("neighbours"), that of "dlib-face" 1 %, as many as
            of clean ones. See :func:`rsa_faces.analyses.check_confidence` before you trust one.
        n_neighbours : int, default 5
        n_folds : int, default 5
            Of people: each reference image is scored by a model without its person.
        match : {"same", "intersection"}, default "same"
            As for :func:`rsa_faces.analyses.readout`.
        seed : int, default 0
            Of the folds.

        Returns
        -------
        OutlierFlag

        Raises
        ------
        ConditionMismatchError
            If names differ and `match` is "same".
        InputError
            If activations are not finite or do not vary, there are fewer people than folds, fewer
            reference images than neighbours, more than 4,096 channels for "mahalanobis", one
            person is in two groups, or an option is not valid.

        Notes
        -----
        Cross-conformal p-values [1]_ [3]_: each reference person is scored by the model of the
        other folds; a new image by the models of all folds. p is (1 + the number of reference
        people who score at least as high under the model of their fold) / (1 + people), with a
        person's share of images where there are several. An image like the reference has p ≤ alpha
        with probability close to alpha or below (proven: at most about 2 alpha). This holds for new
        people like the reference people, on average over groups; a small group far from the mean
        is then flagged more often than others, which `groups` puts right: at the price that an
        unusual image of such a group must be more unusual to be flagged.

        References
        ----------
        .. [1] Vovk V. (2015). Annals of Mathematics and Artificial Intelligence 74, 9-28.
           doi:10.1007/s10472-013-9368-4
        .. [2] Sun Y., Ming Y., Zhu X., Li Y. (2022). Out-of-distribution detection with deep
           nearest neighbors. International Conference on Machine Learning.
        .. [3] Bates S., Candès E., Lei L., Romano Y., Sesia M. (2023). Annals of Statistics 51,
           149-178. doi:10.1214/22-AOS2244

        Examples
        --------
        >>> import numpy as np
        >>> from rsa_faces.analyses.quality.confidence import OutlierFlag
        >>> rng = np.random.default_rng(0)  # simulated
        >>> names = [f"face {i}" for i in range(100)]
        >>> flag = OutlierFlag.fit({"fc": rng.normal(3, 1, size=(100, 5))}, conditions=names)
        >>> new = np.array([[3, 3, 3, 3, 3], [3, -3, 3, -3, 3]])
        >>> flag.apply({"fc": new}, conditions=["usual", "odd"])["flagged"].tolist()
        [False, True]
        """
        check_choice(method, METHODS, what="method")
        check_count(n_neighbours, what="n_neighbours")
        check_count(n_folds, what="n_folds", low=2)
        layers = as_layers(reference, conditions)
        layer = list(layers.arrays)[-1] if layer is None else layer
        check_choice(layer, list(layers.arrays), what="layer")
        labels = [(n, v) for n, v in (("people", people), ("groups", groups)) if v is not None]
        layers, found, _ = matched(layers, labels, match) if labels else (layers, [], 0)
        found = dict(zip([n for n, _ in labels], found, strict=True))
        person = codes_of(found.get("people", layers.conditions))[0]
        group, kinds = codes_of(found.get("groups", ["all"] * len(person)))
        if len(np.unique(np.stack([person, group]), axis=1).T) > person.max() + 1:
            raise InputError("expected each person in one group, but some are in two.")
        n_people = int(person.max()) + 1
        if n_people < n_folds:
            raise InputError(f"expected at least {n_folds} people, one a fold, got {n_people}.")
        patterns = _rows(layers, layer)
        if patterns.shape[1] > _MOST_CHANNELS.get(method, np.inf):
            raise InputError(
                f"expected at most {_MOST_CHANNELS[method]} channels for {method!r}, but layer "
                f"{layer!r} has {patterns.shape[1]}. Use 'neighbours', or extract with reduce=1000."
            )
        fold = (as_rng(seed).permutation(n_people) % n_folds)[person]
        models, scores = [], np.empty(len(patterns))
        for k in range(n_folds):
            inside = fold == k
            model = _model(patterns[~inside], method, n_neighbours, layer)
            models.append((model, np.flatnonzero(inside)))
            scores[inside] = model(patterns[inside])
        counts = {g: len(np.unique(person[group == i])) for i, g in enumerate(kinds)}
        return cls(
            method,
            layer,
            tuple(kinds) if groups is not None else None,
            counts,
            tuple(models),
            scores,
            person,
            group,
        )

    def apply(
        self,
        activations,
        *,
        conditions: Sequence[str] | None = None,
        groups: Labels | None = None,
        alpha: float = 0.05,
        match: str = "same",
    ) -> pd.DataFrame:
        """Flag images that are unlike the reference.

        Parameters
        ----------
        activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
            Of the same network and layer, of people who are not in the reference.
        conditions : sequence of str, optional
            The name of each row of a plain mapping.
        groups : mapping or Series, condition to group
            Needed if, and only if, the flag was made with groups.
        alpha : float, default 0.05
            Rate of false flags.
        match : {"same", "intersection"}, default "same"

        Returns
        -------
        DataFrame
            Indexed by ``condition``: ``score`` (mean distance under the models of all folds),
            ``p``, ``flagged`` (p ≤ alpha) and ``smallest_p``, the least there can be, 1 / (1 +
            people). Where it is above `alpha`, nothing can be flagged, and the log says so.

        Raises
        ------
        InputError
            If channels differ from the reference, activations are not finite, a group is not in
            the reference, or `groups` is given to a flag without or missing for one with.
        """
        check_alpha(alpha)
        layers = as_layers(activations, conditions)
        check_choice(self.layer, list(layers.arrays), what="layer")
        if (groups is None) != (self.groups is None):
            raise InputError(
                "expected `groups` for a flag made with groups, and only then: got "
                f"{'none' if groups is None else 'some'}."
            )
        kinds = list(self.n_people)
        own = np.zeros(len(layers.conditions), np.int64)
        if groups is not None:
            layers, (found,), _ = matched(layers, [("groups", groups)], match)
            for kind in dict.fromkeys(found):
                if kind not in kinds:
                    raise InputError(f"unknown group {kind!r}. In the reference: {kinds}.")
            own = np.array([kinds.index(g) for g in found])
        patterns = _rows(layers, self.layer)
        n_channels = self._models[0][0].n_channels
        if patterns.shape[1] != n_channels:
            raise InputError(
                f"expected {n_channels} channels, as in the reference, got {patterns.shape[1]}."
            )
        # All images of a person count as one: they are no independent draws.
        share = 1 / np.bincount(self._people)[self._people]
        total = np.zeros(len(patterns))
        above = np.zeros(len(patterns))
        for model, rows in self._models:
            new = model(patterns)
            total += new
            counted = (self._scores[rows] >= new[:, None]) & (self._group[rows] == own[:, None])
            above += counted @ share[rows]
        people = np.array([self.n_people[g] for g in kinds])[own]
        p = np.minimum((1 + above) / (1 + people), 1)
        smallest = 1 / (1 + people)
        few = [f"{kind} ({n})" for kind, n in self.n_people.items() if 1 / (1 + n) > alpha + 1e-12]
        if few:
            _log.warning(
                "too few reference people to flag anything at %g: %s; %d are needed",
                alpha,
                ", ".join(few),
                int(np.ceil(1 / alpha - 1e-9)) - 1,
            )
        return pd.DataFrame(
            {
                "score": total / len(self._models),
                "p": p,
                "flagged": p <= alpha + 1e-12,
                "smallest_p": smallest,
            },
            index=pd.Index(layers.conditions, name="condition"),
        )

    def __repr__(self) -> str:
        return f"OutlierFlag({self.method!r}, {self.layer!r}, {self.n_people})"


def flag_rates(
    flags: pd.DataFrame,
    by: Labels | None = None,
    *,
    people: Labels | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Count flags by group, with exact intervals.

    Parameters
    ----------
    flags : DataFrame
        From :meth:`OutlierFlag.apply`.
    by : mapping or Series, condition to group, optional
        Such as gender or ethnicity; conditions without one are an error.
    people : mapping or Series, condition to person, optional
        With several images of a person: each then counts as one observation, the share of its
        images that is flagged. By default images are taken as independent.
    level : float, default 0.95
        Of the Clopper-Pearson intervals.

    Returns
    -------
    DataFrame
        ``group`` ("all" first), ``n_images``, ``n_flagged``, ``share``, ``low``, ``high``.

    Raises
    ------
    InputError
        If an image has no group or no person.

    See Also
    --------
    check_confidence : Degrade images and see whether confidence falls and flags rise.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.analyses.quality.confidence import flag_rates
    >>> flags = pd.DataFrame({"flagged": [True, False, False]}, index=["a", "b", "c"])
    >>> flag_rates(flags, {"a": "x", "b": "x", "c": "y"})["share"].round(2).tolist()
    [0.33, 0.5, 0.0]
    """
    sets = {"all": flags["flagged"]}
    if by is not None:
        sets |= dict(iter(flags["flagged"].groupby(_labelled(flags, by, "a group"))))
    person = None if people is None else _labelled(flags, people, "a person")
    rows = []
    for name, flagged in sets.items():
        units = flagged if person is None else flagged.groupby(person[flagged.index]).mean()
        hits, n = units.sum(), len(units)
        # With shares of a person's images, hits need not be whole.
        low, high = interval_of_rate(hits / n, 0.0, n, 1 - level)
        rows.append(
            {
                "group": name,
                "n_images": len(flagged),
                "n_flagged": int(flagged.sum()),
                "share": hits / n,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def _labelled(flags: pd.DataFrame, labels, what: str) -> pd.Series:
    """Return the label of each flagged image."""
    missing = [c for c in flags.index if c not in labels]
    if missing:
        raise InputError(f"expected {what} for each image, got none for {missing[:5]}.")
    return pd.Series([labels[c] for c in flags.index], index=flags.index)


def _rows(layers, layer: str) -> np.ndarray:
    """Return one layer's patterns, finite."""
    patterns = np.asarray(layers.arrays[layer])[layers.rows].astype(float)
    check_finite(patterns, layers.conditions, layer)
    return patterns


def check_alpha(alpha: float) -> None:
    """Refuse a level that is no probability."""
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")


class _Mahalanobis:
    """Squared distance from the mean, by the inverse of a shrunk covariance."""

    def __init__(self, patterns: np.ndarray, layer: str) -> None:
        self.n_channels = patterns.shape[1]
        self._mean = patterns.mean(axis=0)
        deviations = patterns - self._mean
        self._kept = np.ptp(patterns, axis=0) > 0
        if not self._kept.any():
            raise InputError(f"expected channels that vary, but layer {layer!r} has none.")
        covariance = noise_covariance(deviations[:, self._kept], n_estimated=1).covariance
        values, vectors = np.linalg.eigh(covariance)
        self._whiten = vectors / np.sqrt(np.maximum(values, values[-1] * 1e-10))

    def __call__(self, patterns: np.ndarray) -> np.ndarray:
        """Return one score per pattern."""
        return (((patterns - self._mean)[:, self._kept] @ self._whiten) ** 2).sum(axis=1)


class _Neighbours:
    """Distance to the k-th nearest reference pattern, of patterns of length 1."""

    def __init__(self, patterns: np.ndarray, n_neighbours: int) -> None:
        if len(patterns) < n_neighbours:
            raise InputError(
                f"expected at least {n_neighbours} reference images in each fold, for as many "
                f"neighbours, got {len(patterns)}."
            )
        self.n_channels = patterns.shape[1]
        self._patterns, self._k = unit_length(patterns), n_neighbours

    def __call__(self, patterns: np.ndarray) -> np.ndarray:
        """Return one score per pattern."""
        new = unit_length(patterns)
        squares = (new**2).sum(axis=1)[:, None] + (self._patterns**2).sum(axis=1)
        squares -= 2 * new @ self._patterns.T
        return np.sqrt(np.maximum(np.partition(squares, self._k - 1, axis=1)[:, self._k - 1], 0))


def _model(patterns: np.ndarray, method: str, n_neighbours: int, layer: str):
    """Return a function from patterns to scores."""
    return _MODELS[method](patterns, n_neighbours, layer)


_MODELS = {
    "mahalanobis": lambda patterns, n_neighbours, layer: _Mahalanobis(patterns, layer),
    "neighbours": lambda patterns, n_neighbours, layer: _Neighbours(patterns, n_neighbours),
}
