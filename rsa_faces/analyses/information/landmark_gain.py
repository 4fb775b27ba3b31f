"""Whether measurements between landmarks tell what an embedding does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.analyses._gram import cosines, grams, standardised
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of, matched
from rsa_faces.analyses._recognition import Recognition
from rsa_faces.analyses._ridge import STRENGTHS, Fold, deal_folds, fit_fold
from rsa_faces.analyses._targets import Classes, Numbers
from rsa_faces.analyses.information._measurements import rows_of

#: How much landmarks count beside the embedding, from most to not at all: of equally good ones the
#: last is taken.
WEIGHTS = (4.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.0)
_FEATURES = ("embedding", "landmarks", "both", "gain")


@dataclass(frozen=True, eq=False, repr=False)
class LandmarkGain(Effects):
    """What an embedding, landmarks, and both together tell.

    Attributes
    ----------
    table : DataFrame
        Four rows per layer and task; see :func:`landmark_gain`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    landmark_gain : Ask whether landmarks added to an embedding help.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import landmark_gain
    >>> rng = np.random.default_rng(0)
    >>> names = [f"{i} {k}" for i in range(20) for k in "ab"]
    >>> person = {name: name.split()[0] for name in names}
    >>> nose = pd.DataFrame({"nose length": rng.normal(50, 5, 40)}, names)
    >>> found = landmark_gain({"fc": rng.normal(size=(40, 5))}, nose, person, conditions=names)
    >>> found.table["features"].tolist()
    ['embedding', 'landmarks', 'both', 'gain']
    """

    shown: ClassVar[Shown] = Shown(
        "value", "value, held out", name="layer", series="features", panel="what", p="p"
    )


@keep_warnings
def landmark_gain(
    activations,
    measurements: pd.DataFrame,
    people: Labels,
    labels: pd.DataFrame | None = None,
    *,
    conditions: Sequence[str] | None = None,
    n_folds: int = 5,
    n_boot: int = 2000,
    match: str = "same",
    seed: int = 0,
) -> LandmarkGain:
    """Ask whether landmarks added to an embedding help to recognise people or to read labels.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
        Embeddings; for a plain mapping give `conditions`.
    measurements : DataFrame, shape (n_conditions, n_measurements)
        Indexed by condition, such as from :func:`measure_landmarks`; give relative distances, or
        the size of the image is added too.
    people : mapping or Series, condition to person
        At least 4 people with two images or more, so that each half of the people has 2.
    labels : DataFrame, shape (n_conditions, n_labels), optional
        What is read out besides: columns of numbers are predicted as numbers, others are classes.
    conditions : sequence of str, optional
        The name of each row of a plain mapping.
    n_folds : int, default 5
        Of the read-outs; people are dealt into them at random.
    n_boot : int, default 2000
        Samples of people.
    match : {"same", "intersection"}, default "same"
    seed : int, default 0

    Returns
    -------
    LandmarkGain
        Its table has, per layer, for ``what`` ("recognition": AUC of telling two images of a
        person from two people; "read-out of …": accuracy of classes, r2 of numbers) and
        ``features`` ("embedding", "landmarks", "both", and "gain": both less embedding):
        ``value`` with ``ci_low``, ``ci_high`` (95 %, people drawn; the same samples for all) and,
        of the gain, ``p`` (two-sided); ``weight``, what landmarks count in recognition beside an
        embedding that counts 1 (mean of both halves); ``n_people``, ``n_conditions``,
        ``n_left_out``.

    Raises
    ------
    InputError
        If values are not finite, measurements do not vary, a class is of one person, or there are
        too few people.
    ConditionMismatchError
        If names differ and `match` is "same".

    See Also
    --------
    landmark_readout : Read measurements of faces from each layer, cross-validated over people.
    encoding : Predict responses from features, with what is unique to each set of them.
    rsa_faces.figures.plot_effects : Draw effects with their intervals.

    Notes
    -----
    Recognition: the score of two images is the cosine of embeddings plus `weight` times the cosine
    of measurements, each in standard deviations from the mean of other people. People are halved;
    the weight with the highest AUC in one half (0 among them) is used in the other, and the AUC is
    the mean of both halves. Read-outs: ridge regression on both, inner products of each scaled to
    the same mean over the training people, those of landmarks times `weight`; weight and strength
    are chosen by leaving out one training person at a time.

    Samples draw the people that are judged; how weights and read-outs would have come out with
    other training people is not in the interval. Where landmarks were noise a gain above 0 had
    p ≤ 0.05 in 0.0 to 2.0 % of 400 simulated studies of 12 and 20 people, one below 0 in 0.5 to
    5.2 %: noise does cost a little (0.003 to 0.005 on average of 60 people).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import landmark_gain
    >>> rng = np.random.default_rng(0)
    >>> names = [f"{i} {k}" for i in range(60) for k in "ab"]
    >>> person = {name: name.split()[0] for name in names}
    >>> faces = np.repeat(rng.normal(size=(60, 8)), 2, axis=0)  # simulated
    >>> seen = faces[:, :4] + rng.normal(size=(120, 4))
    >>> shape = pd.DataFrame(faces[:, 4:] + 0.5 * rng.normal(size=(120, 4)), names, list("abcd"))
    >>> found = landmark_gain({"fc": seen}, shape, person, conditions=names)
    >>> found.table[["features", "value", "p"]].round(3)
        features  value      p
    0  embedding  0.748    NaN
    1  landmarks  0.917    NaN
    2       both  0.935    NaN
    3       gain  0.186  0.001
    """
    check_count(n_folds, what="n_folds", low=2)
    check_count(n_boot, what="n_boot")
    layers = as_layers(activations, conditions)
    wanted = [("measurements", rows_of(measurements, "measurements")), ("people", people)]
    columns = {} if labels is None else dict(labels.items())
    tasks = {f"read-out of {name}": column for name, column in columns.items()}
    wanted += list(tasks.items())
    layers, (points, whom, *read), n_left_out = matched(layers, wanted, match)
    who = codes_of(whom)[0]
    n_people = int(who.max()) + 1
    rng = as_rng(seed)
    recognition = Recognition.of(who, n_boot, rng)
    half, fold_of = deal_folds(who, 2, rng), deal_folds(who, n_folds, rng)
    able = [int((np.bincount(who[half == h]) > 1).sum()) for h in (0, 1)]
    if min(able) < 2:
        raise InputError(
            f"expected 2 people with two images or more in each half, got {able[0]} and {able[1]}: "
            "more people, or another seed."
        )
    shape = np.array(points, float)
    if np.ptp(shape, axis=0).max() == 0:
        raise InputError("expected measurements that vary, but all are the same in every image.")
    targets = {}
    for name, (column, kind), values in zip(tasks, columns.items(), read, strict=True):
        # True and false are two kinds, not numbers.
        number = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
        target = targets[name] = (Numbers if number else Classes)(values)
        if alone := target.of_one(who):
            raise InputError(
                f"expected every class of {column!r} in `labels` of at least 2 people, but "
                f"{len(alone)} are of one only: {', '.join(map(repr, alone[:5]))}."
            )
    rows = []
    for i, (layer, patterns) in enumerate(layers.items()):
        check_finite(patterns, layers.conditions, layer)
        place = {"network": layers.network, "layer": layer, "layer_index": i}
        x = np.asarray(patterns, float).reshape(len(who), -1)
        results = {"recognition": _recognised(x, shape, half, recognition)}
        folds = _Folds(x, shape, who, fold_of, layer)
        results |= {name: folds.read(t, recognition.samples) for name, t in targets.items()}
        for what, (drawn, weight) in results.items():
            drawn["gain"] = drawn["both"] - drawn["embedding"]
            for name in _FEATURES:
                row = {**place, "what": what, "features": name}
                rate = name != "gain" and not isinstance(targets.get(what), Numbers)
                row |= recognition.summary(drawn[name], n_people, rate=rate)
                row["p"] = recognition.p(drawn[name], 0.0, n_people) if name == "gain" else np.nan
                rows.append({**row, "weight": weight if name in ("both", "gain") else np.nan})
    table = pd.DataFrame(rows).assign(
        n_people=n_people, n_conditions=len(who), n_left_out=n_left_out
    )
    settings = {"n_folds": n_folds, "n_boot": n_boot, "match": match, "seed": seed}
    settings["measurements"] = [str(name) for name in measurements.columns]
    return LandmarkGain(table, settings=settings)


def _recognised(x, shape, half, recognition: Recognition):
    """Return areas under the curve of each kind of features in each sample, and the weight."""
    parts: dict[str, list] = {"embedding": [], "landmarks": [], "both": []}
    chosen = []
    for test in (half == 0, half == 1):
        scores = cosines(x), cosines(standardised(shape, np.flatnonzero(~test)))
        train, judged = (
            Recognition(recognition.people[rows], samples)
            for rows, samples in ((~test, recognition.samples[:1]), (test, recognition.samples))
        )

        def area(rows, of: Recognition, weight: float, scores=scores) -> np.ndarray:
            return of.auc_of((scores[0] + weight * scores[1])[np.ix_(rows, rows)])

        learnt = [area(~test, train, weight)[0] for weight in WEIGHTS]
        best = WEIGHTS[len(WEIGHTS) - 1 - int(np.argmax(learnt[::-1]))]
        chosen.append(best)
        parts["embedding"].append(area(test, judged, 0.0))
        parts["both"].append(area(test, judged, best))
        of_shape = judged.auc_of(scores[1][np.ix_(test, test)])
        parts["landmarks"].append(of_shape)
    return {name: np.mean(areas, axis=0) for name, areas in parts.items()}, np.mean(chosen)


class _Folds:
    """Ridge regression on an embedding, on landmarks, and on both, in each fold."""

    def __init__(self, x, shape, who, fold_of, layer: str) -> None:
        self.who, self.fold_of = who, fold_of
        split = [(np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)) for f in set(fold_of)]
        trains = [train for train, _ in split]
        seen, n_varying = grams(x, trains, standardize=False)
        if not n_varying.all():
            raise InputError(f"expected channels that vary, but layer {layer!r} has none.")
        measured = grams(shape, trains, standardize=True)[0]
        self.parts: dict[str, list[Fold]] = {"embedding": [], "landmarks": [], "both": []}
        for (train, test), one, two in zip(split, seen, measured, strict=True):
            # Both of one size, so that a weight means the same for every layer.
            one, two = (k / np.trace(k[np.ix_(train, train)]) for k in (one, two))
            fits = [
                fit_fold(one + w * two, train, test, np.array(STRENGTHS), who[train])
                for w in WEIGHTS
            ]
            self.parts["embedding"].append(fits[-1])
            self.parts["landmarks"].append(
                fit_fold(two, train, test, np.array(STRENGTHS), who[train])
            )
            # Strengths of all weights stand beside each other, and one of them is chosen.
            smoother, errors = (
                np.concatenate([getattr(f, k) for f in fits]) for k in ("smoother", "errors")
            )
            self.parts["both"].append(Fold(train, test, smoother, errors))

    def read(self, target, samples: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
        """Return accuracies or r2 of each kind of features in each sample; weights differ."""
        classes = isinstance(target, Classes)
        given = target.codes if classes else target.values
        out = {}
        for name, parts in self.parts.items():
            predicted, _ = target.scores(parts, given[None], len(given))
            if classes:
                right, whole = predicted == given, np.ones(len(given))
            else:
                mean = np.empty(len(given))
                for part in parts:
                    mean[part.test] = given[part.train].mean()
                whole = (given - mean) ** 2
                right = whole - (given - predicted) ** 2
            of_people = (np.bincount(self.who, v, samples.shape[1]) for v in (right, whole))
            share, total = (samples @ v for v in of_people)
            out[name] = share / total
        return out, np.nan
