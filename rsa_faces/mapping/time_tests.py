"""Tests of maps of layers over time: patients are the random factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.inference import TimeCourse
from rsa_faces.inference.maps import SignFlipTest, sign_flip_test
from rsa_faces.inference.multiple import CORRECTIONS
from rsa_faces.inference.neighbours import combine_neighbours, time_neighbours
from rsa_faces.mapping.regions import corrected_rows, flip_one
from rsa_faces.mapping.time_courses import LayerMap, of_region

STATISTICS = ("cluster-mass", "tfce")
ALONG = ("time", "time and layers")
LEVELS = ("network", "layer")
_CLUSTERS = (
    *("region", "label", "sign", "size", "mass", "p", "p_corrected", "time_from"),
    *("time_to", "models", "peak_time", "peak_model", "peak_t", "n_subjects"),
)


@dataclass(frozen=True, eq=False, repr=False)
class MapClusters(BaseResult):
    """The outcome of :func:`map_clusters`.

    Parameters
    ----------
    clusters : DataFrame
        One row per cluster of "cluster-mass": region, label, sign, size, mass, p (corrected for
        all layers and times of the region), p_corrected (for all regions as well), time_from and
        time_to, models (the first and the last), peak_time, peak_model, peak_t, n_subjects. No
        rows with "tfce".
    tests : mapping of str to SignFlipTest
        The test of each region; maps have the shape (n_layers, n_times).
    means : mapping of str to ndarray, shape (n_layers, n_times)
        The mean over patients that was tested: similarity, or difference of networks.
    curves : DataFrame
        The layers of these maps, in order.
    times : ndarray, shape (n_times,)
    along : str
        What clusters extend along.
    minus : str
        The network that was subtracted, or nothing.

    See Also
    --------
    map_clusters : Test when and in which layers similarity differs from 0.
    rsa_faces.mapping.layer_map : Compare every layer with every time.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> labels = {"network": "n", "layer": ["one", "two"], "layer_index": [0, 1]}
    >>> model = rf.RDMs(rng.random((2, 66)), names, "simulated", labels)
    >>> labels = {"subject": np.repeat(range(6), 3), "time": np.tile([0.0, 0.1, 0.2], 6)}
    >>> values = np.tile([[0.0], [1.0], [1.0]], (6, 1)) * model.vectors[0] + rng.random((18, 66))
    >>> data = rf.RDMs(values, names, "simulated", labels | {"region": "ventral"})
    >>> course = rf.mapping.layer_map(model, data, method="spearman", n_permutations=99)
    >>> found = rf.mapping.map_clusters(course)
    >>> found.along, list(found.tests)
    ('time', ['ventral'])
    """

    clusters: pd.DataFrame
    tests: Mapping[str, SignFlipTest]
    means: Mapping[str, np.ndarray]
    curves: pd.DataFrame
    times: np.ndarray
    along: str
    minus: str = ""

    @property
    def table(self) -> pd.DataFrame:
        """The clusters (a copy)."""
        return self.clusters

    def p_map(self, region: str) -> np.ndarray:
        """Return p of each layer and time, corrected for all regions too, (n_layers, n_times)."""
        check_choice(region, self.tests, what="region")
        # Bonferroni: regions are few, and each has flips of its own patients, without a common
        # maximum.
        return np.minimum(self.tests[region].p * len(self.tests), 1.0)


@keep_warnings
def map_clusters(
    course: LayerMap | TimeCourse,
    *,
    network: str | None = None,
    minus: str | None = None,
    along: str = "time",
    statistic: str = "cluster-mass",
    threshold: float | None = None,
    tail: str | None = None,
    n_permutations: int = 9999,
    seed: int = 0,
) -> MapClusters:
    """Test when and in which layers similarity differs from 0, with patients as random factor.

    Parameters
    ----------
    course : LayerMap or TimeCourse
        At least 2 patients in each region.
    network : str, optional
        Layers of this network only.
    minus : str, optional
        A second network, whose similarity is subtracted layer by layer, so that the difference is
        tested; both have layers of the same names.
    along : {"time", "time and layers"}, default "time"
        What is next to each other in a cluster: successive times of a layer, or also successive
        layers of a network at a time.
    statistic : {"cluster-mass", "tfce"}, default "cluster-mass"
        As for :func:`rsa_faces.inference.sign_flip_test`.
    threshold, n_permutations, seed
        As there.
    tail : {"greater", "two-sided", "less"}, optional
        By default "greater", and "two-sided" for a difference of networks.

    Returns
    -------
    MapClusters

    Raises
    ------
    InputError
        If a region has one patient, a network is not there, layers of two networks differ, or an
        option is unknown.

    Warns
    -----
    UserWarning
        Where a region has fewer than 6 patients, or similarities are undefined in some patients:
        those layers and times are left out.

    See Also
    --------
    layer_map : Compare every layer with every time of every patient, region by region.

    Notes
    -----
    All layers and times of a patient are flipped together, and p is corrected for all of them in
    a region by the largest cluster [1]_. Electrodes are never drawn or flipped: that would take
    those of one patient for independent. Over regions, which other patients may have, p_corrected
    is Bonferroni's. Conditions are taken as fixed: conclusions hold for other patients and these
    stimuli. In simulation (10 patients, nothing related, 400 recordings) a cluster had p of at most
    0.05 in 0.045 (along time) and 0.048 (along time and layers).

    References
    ----------
    .. [1] Maris E., Oostenveld R. (2007). Journal of Neuroscience Methods 164, 177-190.
       doi:10.1016/j.jneumeth.2007.03.024

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import layer_map, map_clusters
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> model = rf.RDMs(rng.random(66), names, "simulated", {"network": ["n"], "layer": ["one"]})
    >>> gain = np.tile([0.0, 1.0, 1.0, 0.0], 8)[:, None]  # 8 patients, 4 times
    >>> labels = {"subject": np.repeat(range(8), 4), "time": np.tile(np.arange(4) / 10, 8)}
    >>> values = gain * model.vectors[0] + rng.random((32, 66))
    >>> data = rf.RDMs(values, names, "simulated", labels | {"region": "ventral"})
    >>> found = map_clusters(layer_map(model, data, method="spearman", n_permutations=99))
    >>> found.table[["time_from", "time_to", "n_subjects"]]
       time_from  time_to  n_subjects
    0        0.1      0.2           8
    """
    check_arguments(map_clusters, locals())
    check_choice(along, ALONG, what="way along which clusters extend")
    check_choice(statistic, STATISTICS, what="statistic")
    curves, rows, minus_rows = _layers(course, network, minus)
    tail = tail or ("greater" if minus is None else "two-sided")
    regions = list(dict.fromkeys(course.curves["region"]))
    options: dict[str, Any] = {
        "statistic": statistic,
        "threshold": threshold,
        "tail": tail,
        "seed": seed,
        "n_permutations": n_permutations,
    }
    graph = _neighbours(curves, len(course.times), along)
    tests, means, tables = {}, {}, []
    for region in regions:
        values, _ = of_region(course, region, rows[region])
        if minus is not None:
            values = values - of_region(course, region, minus_rows[region])[0]
        _check_patients(len(values), region)
        means[region] = values.mean(axis=0)
        tests[region] = sign_flip_test(_whole(values, region), neighbours=graph, **options)
        tables.append(_cluster_table(tests[region], region, curves, course.times, len(regions)))
    clusters = pd.concat(tables, ignore_index=True)
    return MapClusters(clusters, tests, means, curves, course.times, along, minus or "")


def compare_networks(
    course: LayerMap | TimeCourse,
    network_a: str,
    network_b: str,
    *,
    by: str = "network",
    between: tuple[float, float] | None = None,
    correction: str = "holm",
    n_permutations: int = 9999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two networks in each region, paired within patients.

    Parameters
    ----------
    course : LayerMap or TimeCourse
        Such as of an identity- and an expression-trained network.
    network_a, network_b : str
        The two.
    by : {"network", "layer"}, default "network"
        Compare means over all layers, or layer by layer (of the same names).
    between : (float, float), in seconds, optional
        Similarity is averaged over these times; by default all. Choose them without looking at
        the difference.
    correction : {"fdr", "bonferroni", "holm"}, default "holm"
        Over all rows of the table.
    n_permutations, seed
        As for :func:`rsa_faces.inference.sign_flip_test`; exact with up to 13 patients.

    Returns
    -------
    DataFrame
        One row per region (and layer): region, network_a, network_b, layer, similarity_a,
        similarity_b, difference (a − b, mean over patients), sem, t, p (two-sided, signs of
        patients flipped), p_corrected, n_subjects, n_a_larger.

    Raises
    ------
    InputError
        If a region has one patient, a network or a time is not there, or an option is unknown.

    Warns
    -----
    UserWarning
        Where a region has fewer than 6 patients.

    See Also
    --------
    rsa_faces.mapping.layer_map : Compare every layer with every time.
    map_clusters : Test when and in which layers similarity differs from 0.

    Notes
    -----
    Patients are the random factor: the difference of each patient is one value. All layers enter
    with the same weight; no best layer is chosen, which would favour the network with more layers.
    Conditions are taken as fixed, as in :func:`map_clusters`.
    A similarity that is undefined in a patient makes that row NaN.

    References
    ----------
    .. [1] Schwartz E. et al. (2023). Journal of Neuroscience 43(23), 4291.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import compare_networks, layer_map
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> labels = {"network": ["identity", "expression"], "layer": "fc", "layer_index": 0}
    >>> model = rf.RDMs(rng.random((2, 66)), names, "simulated", labels)
    >>> values = model.vectors[0] + 0.3 * rng.random((16, 66))  # 8 patients, 2 times
    >>> labels = {"subject": np.repeat(range(8), 2), "time": np.tile([0.1, 0.2], 8)}
    >>> data = rf.RDMs(values, names, "simulated", labels | {"region": "ventral"})
    >>> course = layer_map(model, data, method="spearman", n_permutations=99)
    >>> found = compare_networks(course, "identity", "expression", n_permutations=999)
    >>> bool(found["difference"][0] > 0.5), found["p"].round(3).tolist()
    (True, [0.008])
    """
    check_choice(by, LEVELS, what="level of comparison")
    check_choice(correction, CORRECTIONS, what="correction")
    if network_a == network_b:
        raise InputError(f"expected two networks, got {network_a!r} twice.")
    inside = _times_between(course.times, between)
    if by == "layer":
        curves, rows_a, rows_b = _layers(course, network_a, network_b)
        layers = list(curves["layer"])
    else:
        rows_a, rows_b = (_layers(course, n, None)[1] for n in (network_a, network_b))
        layers = [""]
    table = []
    for region in dict.fromkeys(course.curves["region"]):
        sides = [
            of_region(course, region, rows[region])[0][..., inside].mean(axis=2)
            for rows in (rows_a, rows_b)
        ]
        _check_patients(len(sides[0]), region)
        if by == "network":
            # Layers are averaged before patients are compared: layers of a network are no sample.
            sides = [side.mean(axis=1, keepdims=True) for side in sides]
        for i, layer in enumerate(layers):
            a, b = sides[0][:, i], sides[1][:, i]
            row = {
                "region": region,
                "network_a": network_a,
                "network_b": network_b,
                "layer": layer,
                "similarity_a": a.mean(),
                "similarity_b": b.mean(),
            }
            row |= flip_one(a - b, n_permutations, seed)
            table.append(row | {"n_a_larger": int((a > b).sum())})
    return corrected_rows(table, correction)


def _layers(course, network: str | None, minus: str | None):
    """Return the layers of one region, and their rows (of `minus`, in the same order) in each."""
    curves = course.curves
    for name in (network, minus):
        if name is not None:
            check_choice(name, curves["network"].unique(), what="network")
    if minus is not None and (network is None or network == minus):
        raise InputError(
            f"expected two networks for a difference, got network={network!r} and minus={minus!r}."
        )
    chosen = np.ones(len(curves), bool) if network is None else curves["network"] == network
    found, others = {}, {}
    for region in dict.fromkeys(curves["region"]):
        own = curves["region"] == region
        found[region] = np.flatnonzero(own & chosen)
        if minus is not None:
            layers = list(curves["layer"].iloc[found[region]])
            second = np.flatnonzero(own & (curves["network"] == minus))
            place = dict(zip(curves["layer"].iloc[second], second, strict=True))
            if set(layers) != set(place):
                raise InputError(
                    f"expected layers of the same names in {network!r} and {minus!r}, got "
                    f"{len(layers)} and {len(place)}, of which {len(set(layers) & set(place))} are "
                    "in both. Compare means over layers: compare_networks()."
                )
            others[region] = np.array([place[layer] for layer in layers])
    first = curves.iloc[found[curves["region"].iloc[0]]].drop(columns="region")
    return first.reset_index(drop=True), found, others


def _neighbours(curves: pd.DataFrame, n_times: int, along: str) -> sparse.csr_array:
    """Return the neighbours of layer × time; layers of different networks are none."""
    if along == "time":
        layers = sparse.csr_array((len(curves), len(curves)), dtype=bool)
    else:
        same = (curves["network"].to_numpy()[1:] == curves["network"].to_numpy()[:-1]).astype(bool)
        layers = time_neighbours(len(curves)).toarray()
        rows = np.arange(len(curves) - 1)
        layers[rows, rows + 1] &= same
        layers[rows + 1, rows] &= same
    return combine_neighbours(sparse.csr_array(layers), time_neighbours(n_times))


def _check_patients(n_patients: int, region: str) -> None:
    """Check that there are patients to generalise from."""
    if n_patients < 2:
        where = f" in region {region!r}" if region else ""
        raise InputError(
            f"expected at least 2 patients{where} for a test with patients as the random factor, "
            f"got {n_patients}: nothing can be said about other patients."
        )


def _whole(values: np.ndarray, region: str) -> np.ndarray:
    """Return values, NaN in all patients where they are NaN in some, with a warning."""
    partly = np.isnan(values).any(axis=0)
    if partly.any():
        warn(
            f"region {region!r}: {int(partly.sum())} of {partly.size} layers and times are left "
            "out of the test: their similarity is undefined in some patients."
        )
        values = np.where(partly, np.nan, values)
    return values


def _cluster_table(test: SignFlipTest, region: str, curves, times, n_regions) -> pd.DataFrame:
    """Return the clusters of one region, in terms of layers and times."""
    rows = []
    found = [] if test.clusters is None else test.clusters.to_dict("records")
    for cluster in found:
        layers, samples = np.nonzero(test.labels == cluster["label"])
        ends = [curves["model"].iloc[i] for i in (layers.min(), layers.max())]
        layer, sample = cluster.pop("peak")
        rows.append(
            cluster
            | {
                "region": region,
                "p_corrected": min(1.0, cluster["p"] * n_regions),
                "time_from": times[samples.min()],
                "time_to": times[samples.max()],
                "models": " to ".join(dict.fromkeys(ends)),
                "peak_time": times[sample],
                "peak_model": curves["model"].iloc[layer],
                "n_subjects": test.n_subjects,
            }
        )
    return pd.DataFrame(rows, columns=list(_CLUSTERS))


def _times_between(times: np.ndarray, between) -> np.ndarray:
    """Return which times are within, both ends included."""
    if between is None:
        return np.ones(len(times), dtype=bool)
    # Times are multiples of a step in floating point: 0.3 is not quite three times 0.1.
    inside = (times >= between[0] - 1e-9) & (times <= between[1] + 1e-9)
    if not inside.any():
        raise InputError(
            f"expected times within {times[0]:g} to {times[-1]:g} s, got none between "
            f"{between[0]:g} and {between[1]:g} s."
        )
    return inside
