"""Read-out: what a linear layer tells from frozen features, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import (
    Layers,
    as_layers,
    check_finite,
)
from rsa_faces.analyses._ridge import (
    STRENGTHS,
    check_strengths,
    deal_folds,
    fit_fold,
)
from rsa_faces.analyses._softmax import fit_softmax
from rsa_faces.analyses._task import Task, choosable, inner_groups
from rsa_faces.inference.bootstrap import draws_of

_N_BOOT = 2000


@dataclass(frozen=True, eq=False, repr=False)
class Readout(BaseResult, figure="plot_readout"):
    """What a linear layer reads from each layer of a network.

    Attributes
    ----------
    table : DataFrame
        One row per layer; see :func:`readout`.
    predictions : DataFrame
        One row per layer and condition: ``layer``, ``condition``, ``label``, ``predicted``,
        ``fold``.
    task : str
        What was read out.
    classes : tuple
        Labels in order of first appearance; empty for numbers.
    settings : dict
        Options, for provenance.

    See Also
    --------
    readout : Read labels from frozen features with one linear layer, cross-validated.
    transfer_matrix : Read several tasks out of several networks: what transfers to what.
    rsa_faces.figures.plot_readout : Draw read-out accuracy from layer to layer.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import readout
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(20) for e in ("neutral", "smiling")]
    >>> person = {name: name.split()[1] for name in names}
    >>> smiling = {name: name.split()[2] for name in names}
    >>> x = 0.3 * rng.normal(size=(40, 12)) + np.repeat(rng.normal(size=(20, 12)), 2, axis=0)
    >>> x[1::2, 0] += 3  # simulated: one channel sees smiles
    >>> found = readout({"fc": x}, smiling, conditions=names, across=person, n_permutations=19)
    >>> found.classes, len(found.predictions)
    (('neutral', 'smiling'), 40)
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    task: str
    classes: tuple

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes" if self.classes else "a number"
        return f"Readout({self.task!r}, {len(self.table)} layers, {what})"

    def confusion(self, layer: str) -> pd.DataFrame:
        """Count predictions of one layer.

        Parameters
        ----------
        layer : str
            One of the table's.

        Returns
        -------
        DataFrame, shape (n_classes, n_classes)
            Rows are labels, columns predictions.

        Raises
        ------
        InputError
            If there is no such layer, or numbers were read out.
        """
        check_choice(layer, self.table["layer"].tolist(), what="layer")
        if not self.classes:
            raise InputError("expected classes, but a number was read out: use `predictions`.")
        rows = self.predictions[self.predictions["layer"] == layer]
        number = {kind: i for i, kind in enumerate(self.classes)}
        counts = np.zeros((len(number), len(number)), np.int64)
        np.add.at(counts, tuple([number[k] for k in rows[c]] for c in ("label", "predicted")), 1)
        sides = (
            pd.Index(self.classes, name=name, tupleize_cols=False)
            for name in ("label", "predicted")
        )
        return pd.DataFrame(counts, *sides)


@keep_warnings
def readout(
    activations,
    labels: Labels,
    *,
    conditions: Sequence[str] | None = None,
    across: Labels | None = None,
    people: Labels | None = None,
    within: Labels | None = None,
    kind: str = "class",
    classifier: str = "ridge",
    n_folds: int = 10,
    n_permutations: int = 1000,
    strengths: Sequence[float] = STRENGTHS,
    standardize: bool = False,
    match: str = "same",
    task: str = "",
    seed: int = 0,
    progress: bool = True,
) -> Readout:
    """Read labels from frozen features with one linear layer, cross-validated.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
        Features; for a plain mapping give `conditions`.
    labels : mapping or Series, condition to label
        What to read out: expression, identity, gender, age.
    conditions : sequence of str, optional
        The name of each row of a plain mapping.
    across : mapping or Series, condition to group, optional
        Test on groups that were not trained on: expression across identity leaves whole people
        out, identity across expression leaves whole expressions out. Groups are dealt into
        `n_folds` folds; if there are no more groups than folds, each is left out in turn. By
        default `people`, if each class is of several; else every condition is a group.
    people : mapping or Series, condition to person, optional
        Whom the interval generalises to: the bootstrap draws them whole, and labels are exchanged
        between them, or within them, never as if each image were another person's. By default the
        groups of `across`, if there are at least 10, else conditions.
    within : mapping or Series, condition to cell, optional
        Cells of the other factors of the design, such as the view of an identity × expression ×
        view design (tuples for several factors): labels are exchanged inside them only.
    kind : {"class", "number"}, default "class"
        Whether labels are classes or numbers (age).
    classifier : {"ridge", "softmax"}, default "ridge"
        How classes are told: ridge regression on one-hot labels, or a softmax layer (multinomial
        logistic regression with the same penalty), as most papers train it.
    n_folds : int, default 10
    n_permutations : int, default 1000
        Permuted label sets for p values; 0 leaves out p and ``chance``. A softmax layer is
        trained anew for each, which takes hundreds of times as long as the ridge.
    strengths : sequence of float
        Ridge strengths to choose from, in units of the mean squared length of the training
        patterns (after centring).
    standardize : bool, default False
        Divide each channel by its standard deviation over the training patterns; slower, as
        products are made once per fold. Deviations have a floor of 1/10,000 of the layer's root
        mean square, and values in conditions left out the bound √(n − 1), as values of n training
        conditions have: else channels that are all but silent in those explode in others.
    match : {"same", "intersection"}, default "same"
        Whether all conditions must have all labels, or those in all are used (how many are left
        out is in the table).
    task : str, optional
        Name for tables and figures; by default the Series' name.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    Readout
        Its table has, per layer in order: ``network``, ``layer``, ``layer_index``, ``depth``,
        ``task``; for classes ``accuracy``, ``balanced_accuracy`` (mean over classes), ``chance``
        (mean accuracy of permuted labels), for numbers ``r`` (of labels and predictions that are
        out of sample, both less the mean label of the training set), ``r2`` (1 − squared error
        over that of the training mean; below 0 is worse than the mean) and ``chance`` (mean r of
        permuted labels); ``ci_low``, ``ci_high`` (95 %, of accuracy or r), ``p``, ``p_corrected``
        (over layers), ``n_conditions``, ``n_groups``,
        ``n_people``, ``n_classes``, ``n_left_out``.

    Raises
    ------
    ConditionMismatchError
        If names of features and labels differ and `match` is "same".
    InputError
        If there are fewer than two classes or groups, a class is in one group only (it cannot be
        tested on groups left out), labels are missing, features are not finite, or an option is
        unknown.

    See Also
    --------
    transfer_matrix : Read several tasks out of several networks: what transfers to what.
    congruence : Compare the subspaces in which two labels vary, such as identity and expression.
    rsa_faces.figures.plot_readout : Draw read-out accuracy from layer to layer.

    Notes
    -----
    Ridge regression on one-hot labels with intercept; the class of the largest value is the
    prediction. The strength is chosen in the training folds by leaving out each group (exactly,
    without refitting), anew for every permutation; where most training conditions are the only one
    of their class (people across two expressions) that tells nothing, and the middle strength is
    taken. Of 40 rendered people (three layers of three networks, two pairs of expressions, two
    views) that tells .66 on average, the weakest .63, the strongest .63 and the best (1) .67; of a
    single layer up to .21 less than the best (``scripts/ridge_strengths.py``). All is computed from
    the inner products of the patterns, so that the number of channels hardly matters. A softmax
    layer chooses its strength on a fifth of the training groups instead. On the London set (102
    people, neutral and smiling, last layers of five networks) its accuracies differ from the
    ridge's by −6.4 to 0.5 percentage points for expression (mean −2.0), −2.5 to −0.5 for gender
    (−1.6) and −2.5 to 3.9 for identity (0.9; ``scripts/real_faces.py``).

    Permutations respect the groups [1]_: labels are shuffled within groups where a group holds
    several (expressions of a person), and over whole groups where each group has one label
    (gender of a person): the only exchange that is free under "the features tell nothing about
    the label beyond the group"; and inside cells of `within`, if given. With `people` so are images
    of a person: of gender read across expressions people are exchanged, as each is known again by
    what else it looks like (``chance`` is then above that of the classes).
    Expression across people beside three views: without an effect p ≤ 0.05 in 3.0 % of 400
    simulated studies within view; with one in all (``scripts/simulate_third_factor.py --only
    read``).

    p = (1 + #{permuted ≥ observed}) / (1 + n_permutations), one set of permutations for all layers;
    p_corrected compares with the largest over layers, which
    controls the family-wise error.

    The mean of a training set is low where the labels left out are high, and predictions that are
    little more than this mean correlate negatively with labels: without any effect r would be −0.24
    on average (simulated: 102 conditions, 10 folds). With the mean taken off both it is −0.11: what
    is left comes with cross-validation, and ``chance`` tells it.

    The interval of an accuracy draws people with replacement from their held-out hits: percentiles
    of the samples, further out the fewer people there are (Student's t; where all people are alike,
    that of Clopper and Pearson for as many). That of r, by Fisher's z, knows of other training
    people as well: its variance is the mean of what drawn people vary, which is too little, and of
    a jackknife that fits anew without each of at most 20 blocks of people, which counts twice what
    one person teaches about another [2]_. Neither is a test: r is not 0 without an effect. Use p.

    References
    ----------
    .. [1] Winkler A. M. et al. (2015). NeuroImage 123, 253-268.
       doi:10.1016/j.neuroimage.2015.05.092
    .. [2] Efron B., Stein C. (1981). Annals of Statistics 9, 586-596. doi:10.1214/aos/1176345462

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import readout
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(20) for e in ("neutral", "smiling")]
    >>> smiling = {name: name.split()[2] for name in names}
    >>> person = {name: name.split()[1] for name in names}
    >>> features = rng.normal(size=(40, 30))
    >>> features[1::2, :3] += 2  # simulated: three channels answer to smiles
    >>> found = readout({"layer": features}, smiling, conditions=names, across=person,
    ...                 n_permutations=99)
    >>> bool(found.table["accuracy"][0] > 0.9)
    True
    """
    check_count(n_folds, what="n_folds", low=2)
    check_count(n_permutations, what="n_permutations", low=0)
    chosen = check_strengths(strengths)
    rng = as_rng(seed)
    task_of = Task.of(
        as_layers(activations, conditions), labels, across, people, within, kind, classifier, match
    )
    layers, values, target = task_of.layers, task_of.values, task_of.target
    groups, units, n = task_of.groups, task_of.units, len(task_of.groups)
    fit = fit_softmax if classifier == "softmax" else fit_fold
    fold_of = deal_folds(groups, n_folds, rng)
    # The same orders for all layers: the largest over layers is then a null for all of them
    # together.
    permuted = target.permuted(*task_of.exchange, n_permutations, rng)
    trains = [np.flatnonzero(fold_of != f) for f in np.unique(fold_of)]
    tests = [np.flatnonzero(fold_of == f) for f in np.unique(fold_of)]
    # The strength is chosen inside the training part, with whole groups left out there as well:
    # chosen across images of one person it would fit the person.
    inner = [inner_groups(target, groups, train) for train in trains]
    draws = draws_of(int(units.max()) + 1, _N_BOOT, rng)

    rows, null, predictions = [], [], []
    with progress_bar(f"read-out {task}".strip(), len(layers), show=progress) as tell:
        for i, (layer, patterns) in enumerate(layers.items()):
            check_finite(patterns, layers.conditions, layer)
            products, n_varying = grams(patterns, trains, standardize=standardize)
            if not n_varying.all():
                raise InputError(
                    f"expected channels that vary over conditions, but layer {layer!r} has none."
                )
            parts = [
                fit(product, train, test, choosable(target, train, chosen), left)
                for product, train, test, left in zip(products, trains, tests, inner, strict=True)
            ]
            predicted, scores = target.scores(parts, permuted, n)
            null.append(scores[1:, 0])
            row, hits = target.row(predicted, scores)
            low, high = target.interval(hits, predicted, units, draws)
            rows.append({"layer": layer, **row, "ci_low": low, "ci_high": high})
            predictions.append(
                pd.DataFrame(
                    {
                        "layer": layer,
                        "condition": layers.conditions,
                        "label": values,
                        "predicted": target.names(predicted),
                        "fold": fold_of,
                    }
                )
            )
            tell(i + 1)
    table = _table(
        rows,
        np.array(null),
        layers,
        target,
        groups,
        units,
        task_of.n_left_out,
        task or getattr(labels, "name", None) or "labels",
    )
    settings = {
        "kind": kind,
        "classifier": classifier,
        "n_folds": len(trains),
        "n_permutations": n_permutations,
        "strengths": chosen.tolist(),
        "standardize": standardize,
        "match": match,
        "seed": seed,
    }
    return Readout(
        table,
        pd.concat(predictions, ignore_index=True),
        table["task"].iloc[0],
        tuple(target.classes),
        settings=settings,
    )


def transfer_matrix(
    networks: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
    *,
    layer: str | Mapping[str, str] = "last",
    conditions: Sequence[str] | None = None,
    **options,
) -> pd.DataFrame:
    """Read several tasks out of several networks: what transfers to what.

    Parameters
    ----------
    networks : mapping of name to Activations (or mapping of layers)
        Networks by what they were trained for, or by name.
    tasks : mapping of name to dict
        For each task the arguments of :func:`readout`: ``labels`` and what else is special to it
        (``across``, ``people``, ``kind``).
    layer : str or mapping of network to layer, default "last"
        Which layer is read; chosen beforehand. ("The best" would be chosen by the same data.)
    conditions : sequence of str, optional
        As for :func:`readout`.
    **options
        Further arguments of :func:`readout`, for all tasks.

    Returns
    -------
    DataFrame
        One row per network and task: the columns of :class:`Readout`'s table, with ``trained``
        (the network's key) first. Each row is one read-out of one layer: its ``p_corrected`` is
        its ``p``, and nothing is corrected over networks and tasks.

    Raises
    ------
    InputError
        As :func:`readout`, or if a network has no such layer, or a task no labels.

    See Also
    --------
    readout : Read labels from frozen features with one linear layer, cross-validated.
    rsa_faces.figures.plot_transfer : Draw which task can be read out of which network.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import transfer_matrix
    >>> rng = np.random.default_rng(0)
    >>> names = [f"person {i} {e}" for i in range(20) for e in ("neutral", "smiling")]
    >>> person = {name: name.split()[1] for name in names}
    >>> smile = {name: name.split()[2] for name in names}
    >>> who = np.repeat(rng.normal(size=(20, 10)), 2, axis=0)  # simulated: sees who, not the smile
    >>> blind = who + 0.1 * rng.normal(size=(40, 10))
    >>> sees = blind + 2 * np.outer(np.arange(40) % 2, np.ones(10))
    >>> tasks = {"smile": {"labels": smile, "across": person}}
    >>> found = transfer_matrix({"blind": {"fc": blind}, "sees": {"fc": sees}}, tasks,
    ...                         conditions=names, n_permutations=19)
    >>> found[["trained", "task", "accuracy", "chance"]].round(1)
      trained   task  accuracy  chance
    0   blind  smile       0.5     0.5
    1    sees  smile       1.0     0.5
    """
    for what, given in (("networks", networks), ("tasks", tasks)):
        if not isinstance(given, Mapping) or not given:
            raise InputError(f"expected {what} by name, got {given!r:.60}.")
    for task, arguments in tasks.items():
        if not isinstance(arguments, Mapping) or "labels" not in arguments:
            raise InputError(f"expected `labels` in the task {task!r}: {{'labels': ...}}.")
    if isinstance(layer, Mapping) and (lacking := [name for name in networks if name not in layer]):
        raise InputError(f"expected a layer of every network in `layer`, none of {lacking[0]!r}.")
    rows = []
    for name, activations in networks.items():
        layers = as_layers(activations, conditions)
        names = list(layers.arrays)
        one = layer[name] if isinstance(layer, Mapping) else layer
        one = names[-1] if one == "last" else check_choice(one, names, what=f"layer of {name}:")
        features = {one: np.asarray(layers.arrays[one])}
        for task, arguments in tasks.items():
            result = readout(
                features, conditions=layers.conditions, task=task, **{**options, **arguments}
            )
            row = result.table.iloc[0].to_dict()
            row["network"] = layers.network or name
            rows.append({"trained": name, **row})
    return pd.DataFrame(rows)


def _table(rows, null, layers: Layers, target, groups, units, n_left_out, task) -> pd.DataFrame:
    """Return the tidy table, with p values from one set of permutations."""
    table = pd.DataFrame(rows)
    table["p"], table["p_corrected"] = p_of(table[target.score], null)
    names = table.pop("layer")
    head = {
        "network": layers.network,
        "layer": names,
        "layer_index": range(len(table)),
        "depth": [layers.depth[name] for name in names],
        "task": task,
    }
    table = pd.DataFrame(head).join(table)
    return table.assign(
        n_conditions=len(layers.conditions),
        n_groups=len(np.unique(groups)),
        n_people=int(units.max()) + 1,
        n_classes=len(target.classes),
        n_left_out=n_left_out,
    )
