"""Agreement: how alike the geometries of layers are, across networks and across seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.numbers import best_index
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width, jackknife_error
from rsa_faces.analyses._inputs import Layers, as_layers, cells_of, codes_of, matched
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.analyses.networks._geometry import (
    METHODS,
    Geometry,
    alike,
    alike_permuted,
    alike_resampled,
)
from rsa_faces.inference._orders import exchanges
from rsa_faces.inference.bootstrap import draws_of
from rsa_faces.rdm.measures import MEASURES


@dataclass(frozen=True, eq=False, repr=False)
class LayerAgreement(BaseResult, figure="plot_layer_agreement"):
    """How alike the layers of two networks are.

    Attributes
    ----------
    table : DataFrame
        One row per method and pair of layers; see :func:`layer_agreement`.
    order : DataFrame
        One row per method: ``depth_r``, the rank correlation of the depth of each layer of the
        first network with that of the layer of the second it agrees with most, and ``p``.
    settings : dict
        Options, for provenance.

    See Also
    --------
    layer_agreement : Compare the geometry of every layer of a network with every layer of another.
    rsa_faces.figures.plot_layer_agreement : Draw layer by layer maps of agreement.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import layer_agreement
    >>> x = np.random.default_rng(0).normal(size=(2, 30, 8))
    >>> names = [f"face {i}" for i in range(30)]
    >>> found = layer_agreement({"a": x[0]}, {"b": 3 * x[0], "c": x[1]}, conditions=names,
    ...                         methods=["cka"], n_boot=50, n_permutations=99)
    >>> found.matrix("cka").round(1).to_numpy()
    array([[ 1. , -0.1]])
    """

    table: pd.DataFrame
    order: pd.DataFrame

    def __repr__(self) -> str:
        rows = self.table
        return (
            f"LayerAgreement({rows['layer_a'].nunique()} layers of {rows['network_a'].iloc[0]!r} x "
            f"{rows['layer_b'].nunique()} of {rows['network_b'].iloc[0]!r})"
        )

    def matrix(self, method: str, column: str = "value") -> pd.DataFrame:
        """Return one column as a map, layers of the first network in rows.

        Parameters
        ----------
        method : str
        column : str, default "value"

        Returns
        -------
        DataFrame, shape (n_layers_a, n_layers_b)

        Raises
        ------
        InputError
            If there is no such method or column.
        """
        check_choice(method, self.table["method"].unique(), what="method")
        check_choice(column, self.table.columns, what="column")
        rows = self.table[self.table["method"] == method]
        wide = rows.pivot(index="layer_a", columns="layer_b", values=column)
        return wide.loc[rows["layer_a"].unique(), rows["layer_b"].unique()]


@keep_warnings
def layer_agreement(
    first,
    second=None,
    *,
    conditions: Sequence[str] | None = None,
    people: Labels | None = None,
    within: Labels | None = None,
    blocks: Labels | None = None,
    methods: Sequence[str] = ("spearman", "cka", "procrustes"),
    measure: str = "correlation",
    n_boot: int = 500,
    n_permutations: int = 500,
    alpha: float = 0.05,
    names: tuple[str, str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LayerAgreement:
    """Compare the geometry of every layer of a network with every layer of another.

    Parameters
    ----------
    first, second : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
        Of the same conditions, in any order; without `second`, a network with itself.
    conditions : sequence of str, optional
        The name of each row of plain mappings.
    people : mapping or Series, condition to person, optional
        Whom intervals generalise to, drawn whole and exchanged whole: give it if there are several
        images of a person. By default every condition is another person.
    within : mapping or Series, condition to cell, optional
        Cells of the other factors of the design (tuples for several): conditions are exchanged
        inside them only.
    blocks : mapping or Series, condition to run, optional
        Similarities are those of the pairs within each run, averaged over runs (so that RDMs are
        ranked or z-scored within runs), and conditions are exchanged within runs. Not for
        "procrustes".
    methods : sequence of {"spearman", "pearson", "cka", "procrustes"}
        See the notes.
    measure : {"correlation", "cosine", "euclidean", "sqeuclidean"}, default "correlation"
        Dissimilarity of the RDMs that "spearman" and "pearson" compare.
    n_boot, n_permutations : int, default 500
        For "spearman", "pearson" and "cka"; 0 leaves them out. "procrustes" has neither.
    alpha : float, default 0.05
        Intervals cover 1 − alpha.
    names : (str, str), optional
        Of the networks; by default their own.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    LayerAgreement
        Its table: ``method``, ``network_a``, ``layer_a``, ``depth_a``, ``network_b``, ``layer_b``,
        ``depth_b``, ``value``, ``ci_low``, ``ci_high`` (bootstrap over people), ``p``
        (one-sided, people of the second permuted), ``p_corrected`` (largest value of the map),
        ``n_conditions``, ``n_people``.

    Raises
    ------
    InputError
        If there are fewer than 4 conditions or people, no two people have as many conditions in
        each cell (none can be exchanged), a layer does not vary or is not finite, or options are
        unknown.
    ConditionMismatchError
        If the conditions, or those of `people`, differ.

    See Also
    --------
    seed_consistency : Ask how far networks that differ only in their seed agree, layer by layer.
    rsa_faces.figures.plot_layer_agreement : Draw layer by layer maps of agreement.

    Notes
    -----
    "spearman" and "pearson": correlation of the upper triangles of two RDMs, −1 to 1. "cka":
    linear centred kernel alignment without its bias, the cosine of two U-centred Gram matrices
    off the diagonal [1]_ [2]_; 1 for geometries that differ by rotation and scale, 0 on average
    for unrelated ones, whatever the numbers of channels (the plain form is near 1 for any two
    layers with more channels than conditions). "procrustes": with both patterns centred and of
    length 1, the nuclear norm of their cross-product, which is the cosine of the angular
    Procrustes distance [3]_; 1 for rotations, above 0 for unrelated geometries, more so with many
    channels, so compare it with itself only.

    In a bootstrap sample a pair of two people counts as often as the product of their counts, a
    pair of one person's conditions as often as the person; pairs of a condition with itself are
    left out, as they agree in all layers; ranks and centring are those of the whole set. Intervals
    are percentiles of the samples, further out the fewer people there are (Student's t). In 200
    simulated studies each, 95 % intervals held the value of 1,500 people in 93 to 98 % (layers that
    agree at .4 to .6, 20 and 40 people), and in 99 to 100 % where layers are unrelated: there the
    value depends on no single person to first order, and a jackknife over people, the closed form
    for pairs, is as wide (99 to 100 %; ``scripts/simulate_agreement.py``). p is of conditions that
    mean nothing: any structure that both layers have (who it is, the expression, the light) makes
    it small. With cells of such a factor as `within`, p is of what both layers have beside it; with
    `people`, of what they have beside the likeness of one person's images. Layers that have nothing
    but this in common have a small p in most studies without `people`, and at the level of the test
    with it (``scripts/simulate_third_factor.py --only agree``).

    References
    ----------
    .. [1] Kornblith S. et al. (2019). ICML, PMLR 97, 3519-3529. doi:10.48550/arXiv.1905.00414
    .. [2] Song L. et al. (2012). J. Mach. Learn. Res. 13, 1393-1434.
    .. [3] Williams A. H. et al. (2021). NeurIPS 34. doi:10.48550/arXiv.2110.14739

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import layer_agreement
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(30, 8))
    >>> turned = 3 * x @ np.linalg.qr(rng.normal(size=(8, 8)))[0]  # the same geometry
    >>> names = [f"face {i}" for i in range(30)]
    >>> found = layer_agreement({"a": x}, {"b": turned, "c": rng.normal(size=(30, 8))},
    ...                         conditions=names, methods=["cka"], n_boot=50, n_permutations=99)
    >>> found.matrix("cka").round(2).to_numpy()
    array([[1.  , 0.02]])
    """
    chosen = [check_choice(method, METHODS, what="method") for method in methods]
    check_count(n_boot, what="n_boot", low=0)
    check_count(n_permutations, what="n_permutations", low=0)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    rng = as_rng(seed)
    one = as_layers(first, conditions)
    two = one if second is None else _same(one, as_layers(second, conditions))
    n = len(one.conditions)
    run = cells_of(blocks, one.conditions, "blocks")
    if run.any() and "procrustes" in chosen:
        raise InputError(
            "expected methods other than 'procrustes' with blocks, as it has no pairs to choose "
            f"from, got {', '.join(chosen)}."
        )
    called = (one.network or "first", two.network or "second") if names is None else names
    with progress_bar("agreement", len(one) + len(two), show=progress) as tell:
        a = _geometries(one, chosen, measure, tell, 0, run)
        b = a if second is None else _geometries(two, chosen, measure, tell, len(one), run)
    whom = np.arange(n)
    if people is not None:
        _, (found,), _ = matched(one, [("people", people)], None)
        whom = codes_of(found)[0]
    k = int(whom.max()) + 1
    if n_boot and k < 4:
        raise InputError(f"expected at least 4 people to draw from, got {k}.")
    draws = draws_of(k, n_boot, rng)
    # RDMs have no pairs across runs: conditions change places within theirs.
    cells = codes_of(list(zip(run, cells_of(within, one.conditions), strict=True)))[0]
    orders = exchanges(whom, cells)(rng, n_permutations) if n_permutations else None
    depth_a, depth_b = ([layers.depth[name] for name in layers.arrays] for layers in (one, two))
    tables, order = [], []
    for method in chosen:
        value = alike(a, b, method)
        low = high = p = corrected = np.full(value.shape, np.nan)
        depth_r, depth_p = _in_order(value, depth_a, depth_b), np.nan
        if method != "procrustes" and n_boot:
            samples = alike_resampled(a, b, method, draws, whom)
            low, high = percentile_interval(samples, k, 1 - alpha)
        if method != "procrustes" and n_permutations:
            null = alike_permuted(a, b, method, orders)
            p, corrected = p_of(value, np.moveaxis(null, 0, -1))
            shuffled = np.array([_in_order(one_map, depth_a, depth_b) for one_map in null])
            # Layers that all agree most with one follow no order at all.
            depth_p = float(p_of(depth_r, np.nan_to_num(shuffled, nan=-1.0))[0])
        i, j = (index.ravel() for index in np.indices(value.shape))
        tables.append(
            pd.DataFrame(
                {
                    "method": method,
                    "network_a": called[0],
                    "layer_a": np.array(list(one.arrays))[i],
                    "depth_a": np.array(depth_a)[i],
                    "network_b": called[1],
                    "layer_b": np.array(list(two.arrays))[j],
                    "depth_b": np.array(depth_b)[j],
                    "value": value.ravel(),
                    "ci_low": low.ravel(),
                    "ci_high": high.ravel(),
                    "p": p.ravel(),
                    "p_corrected": corrected.ravel(),
                    "n_conditions": n,
                    "n_people": k,
                }
            )
        )
        order.append({"method": method, "depth_r": depth_r, "p": depth_p})
    settings = {
        "methods": chosen,
        "measure": measure,
        "n_boot": n_boot,
        "alpha": alpha,
        "n_permutations": n_permutations,
        "seed": seed,
    }
    table = pd.concat(tables, ignore_index=True)
    return LayerAgreement(table, pd.DataFrame(order), settings=settings)


def seed_consistency(
    networks: Sequence,
    *,
    untrained: Sequence | None = None,
    conditions: Sequence[str] | None = None,
    method: str = "spearman",
    measure: str = "correlation",
    alpha: float = 0.05,
    progress: bool = True,
) -> pd.DataFrame:
    """Ask how far networks that differ only in their seed agree, layer by layer.

    Parameters
    ----------
    networks : sequence of Activations (or mappings of layer to ndarray), at least 3
        Of one architecture, trained from different seeds; the same layers and conditions.
    untrained : sequence, optional
        The same networks before training, in the same order.
    conditions : sequence of str, optional
        The name of each row of plain mappings.
    method : {"spearman", "pearson", "cka", "procrustes"}, default "spearman"
        As for :func:`layer_agreement`.
    measure : str, default "correlation"
    alpha : float, default 0.05
    progress : bool, default True

    Returns
    -------
    DataFrame
        One row per layer: ``layer``, ``depth``; ``agreement``, the mean over pairs of seeds, with
        ``ci_low``, ``ci_high`` for a further draw of seeds; ``lowest`` pair; with `untrained`
        also ``with_untrained``, the mean agreement of each network with its own beginning;
        ``n_seeds``, ``n_conditions``.

    Raises
    ------
    InputError
        If there are fewer than 3 networks, layers differ, or as for :func:`layer_agreement`.
    ConditionMismatchError
        If the conditions differ.

    See Also
    --------
    layer_agreement : Compare the geometry of every layer of a network with every layer of another.
    rsa_faces.figures.plot_seed_consistency : Draw how far networks of different seeds agree.

    Notes
    -----
    The mean over pairs is a U statistic of the seeds; its standard error is the jackknife that
    leaves out one seed at a time, with Student's t of n_seeds − 1 degrees of freedom. Conditions
    are held fixed: intervals are about seeds. A single network of an architecture says less of
    the architecture the lower this agreement is [1]_.

    References
    ----------
    .. [1] Mehrer J. et al. (2020). Nature Communications 11, 5725.
       doi:10.1038/s41467-020-19632-w

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import seed_consistency
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(20, 8))
    >>> seeds = [{"fc": x + 0.3 * rng.normal(size=x.shape)} for _ in range(4)]  # simulated
    >>> names = [f"face {i}" for i in range(20)]
    >>> seed_consistency(seeds, conditions=names)[["layer", "agreement"]].round(2)
      layer  agreement
    0    fc       0.79
    """
    check_choice(method, METHODS, what="method")
    if len(networks) < 3:
        raise InputError(f"expected at least 3 networks, got {len(networks)}.")
    if untrained is not None and len(untrained) != len(networks):
        raise InputError(
            f"expected one untrained network for each of {len(networks)}, got {len(untrained)}."
        )
    layers = [as_layers(network, conditions) for network in networks]
    layers = [layers[0], *(_same(layers[0], other) for other in layers[1:])]
    begun = [_same(layers[0], as_layers(network, conditions)) for network in untrained or ()]
    for other in (*layers[1:], *begun):
        if list(other.arrays) != list(layers[0].arrays):
            raise InputError(
                f"expected the same layers of all networks, got {', '.join(layers[0].arrays)} and "
                f"{', '.join(other.arrays)}."
            )
    k, rows = len(layers), []
    with progress_bar("seeds", len(layers[0]), show=progress) as tell:
        for index, name in enumerate(layers[0].arrays):
            of_seed = Geometry.join([_geometry(one, name, [method], measure) for one in layers])
            values = alike(of_seed, of_seed, method)
            mean, low, high = _over_seeds(values, alpha)
            row = {
                "layer": name,
                "depth": layers[0].depth[name],
                "agreement": mean,
                "ci_low": low,
                "ci_high": high,
                "lowest": values[np.triu_indices(k, 1)].min(),
            }
            if begun:
                before = Geometry.join([_geometry(one, name, [method], measure) for one in begun])
                row["with_untrained"] = np.diag(alike(of_seed, before, method)).mean()
            rows.append(row)
            tell(index + 1)
    return pd.DataFrame(rows).assign(n_seeds=k, n_conditions=len(layers[0].conditions))


def _same(one: Layers, other: Layers) -> Layers:
    """Return the other network's layers with rows in the order of the first's conditions."""
    if set(one.conditions) != set(other.conditions):
        raise ConditionMismatchError(
            one.conditions,
            other.conditions,
            left_name="the first network",
            right_name="the second",
            hint="Extract both from the same stimuli.",
        )
    place = {name: i for i, name in enumerate(other.conditions)}
    rows = np.array([place[name] for name in one.conditions])
    return Layers(other.arrays, one.conditions, rows, other.network, other.depth)


def _geometries(layers: Layers, methods, measure: str, tell, done: int, run=None) -> Geometry:
    """Return the geometries of all layers."""
    parts = []
    for i, name in enumerate(layers.arrays):
        parts.append(_geometry(layers, name, methods, measure, run))
        tell(done + i + 1)
    return Geometry.join(parts)


def _geometry(layers: Layers, name: str, methods, measure: str, run=None) -> Geometry:
    """Return the geometry of one layer."""
    check_choice(measure, ("correlation", "cosine", "euclidean", "sqeuclidean"), what="measure")
    return Geometry.of(
        np.asarray(layers.arrays[name])[layers.rows],
        layers.conditions,
        name,
        methods,
        MEASURES[measure],
        run,
    )


def _in_order(value: np.ndarray, depth_a, depth_b) -> float:
    """Return the rank correlation of depths of layers and of those they agree with most."""
    best = np.asarray(depth_b)[best_index(value, axis=1)]
    if len(best) < 3 or np.ptp(best) == 0:
        return np.nan
    return float(np.corrcoef(rankdata(depth_a), rankdata(best))[0, 1])


def _over_seeds(values: np.ndarray, alpha: float) -> tuple[float, float, float]:
    """Return the mean over pairs and its interval, by leaving out one seed at a time."""
    k = len(values)
    pairs = values.sum() - np.trace(values)
    mean = pairs / (k * (k - 1))
    without = (pairs - 2 * (values.sum(axis=1) - np.diag(values))) / ((k - 1) * (k - 2))
    reach = half_width(jackknife_error(without), k - 1, alpha)
    return float(mean), float(mean - reach), float(mean + reach)
