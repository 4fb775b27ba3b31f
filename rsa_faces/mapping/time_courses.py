"""Maps of layers over time in each region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.comparison import METHODS, align_pair, compare
from rsa_faces.comparison.methods import COV_METHODS
from rsa_faces.inference._recording import recording_of
from rsa_faces.inference.courses import CURVES, _ceilings, _named
from rsa_faces.inference.multiple import CORRECTIONS
from rsa_faces.mapping.regions import UNIQUE_METHODS, semi_partial
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False)
class LayerMap:
    """Similarity of each layer at each time in each patient, from :func:`layer_map`.

    Parameters
    ----------
    times : ndarray, shape (n_times,)
        In seconds, ascending.
    curves : DataFrame
        One row per layer and region: region, network, layer, model (network and layer),
        layer_index, depth.
    subjects : ndarray, shape (n_subjects, n_curves, n_times)
        NaN throughout where a patient lacks the region.
    subject_names : tuple of str
    ceilings : DataFrame
        One row per region and time: ceiling_low, ceiling_high, p_reliable, reliable, n_subjects.
    method : str
        The comparison method.
    unique : bool
        Whether layers before were taken out (semi-partial correlation).
    n_conditions : int
    """

    times: np.ndarray
    curves: pd.DataFrame
    subjects: np.ndarray
    subject_names: tuple[str, ...]
    ceilings: pd.DataFrame
    method: str
    unique: bool
    n_conditions: int

    def __repr__(self) -> str:
        return (
            f"LayerMap({len(self.curves)} layers and regions, {len(self.times)} times from "
            f"{self.times[0]:g} to {self.times[-1]:g} s, {len(self.subject_names)} patients, "
            f"method={self.method!r}{', unique' if self.unique else ''})"
        )

    @property
    def similarity(self) -> np.ndarray:
        """Mean over the patients that have the region, shape (n_curves, n_times)."""
        mean = np.empty(self.subjects.shape[1:])
        for region in self.curves["region"].unique():
            rows = (self.curves["region"] == region).to_numpy()
            mean[rows] = of_region(self, region, rows)[0].mean(axis=0)
        return mean

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy table: one row per layer and region, time and patient that has it."""
        n_subjects, n_curves, n_times = self.subjects.shape
        frame = self.curves.loc[np.repeat(np.arange(n_curves), n_times * n_subjects)]
        frame = frame.reset_index(drop=True).assign(
            time=np.tile(np.repeat(self.times, n_subjects), n_curves),
            subject=np.tile(np.array(self.subject_names, dtype=object), n_curves * n_times),
            similarity=np.moveaxis(self.subjects, 0, 2).ravel(),
        )
        has = ~np.isnan(self.subjects).all(axis=2, keepdims=True)
        has = np.moveaxis(np.broadcast_to(has, self.subjects.shape), 0, 2)
        return frame[has.ravel()].reset_index(drop=True)


def layer_map(
    model: RDMs,
    data: RDMs,
    *,
    method: str = "kendall",
    unique: bool = False,
    by: str = "subject",
    n_permutations: int = 999,
    alpha: float = 0.05,
    correction: str = "fdr",
    seed: int = 0,
) -> LayerMap:
    """Compare every layer with every time of every patient, region by region.

    Parameters
    ----------
    model : RDMs
        Layers, in order of computation, with labels ``network`` and ``layer``.
    data : RDMs
        With labels ``time`` and, by default, ``subject``, as :func:`rsa_faces.brain.ieeg_rdms`
        makes them. Patients need not have the same regions.
    method : str, default "kendall"
        Comparison method, as in :func:`rsa_faces.compare`; with `unique` kendall, spearman or
        pearson.
    unique : bool, default False
        What each layer has beyond those of its network before it:
        :func:`rsa_faces.mapping.regions.semi_partial`.
    by : str, default "subject"
        Label that tells patients apart. Several RDMs of a patient in a region at a time
        (electrodes, sessions) are averaged first.
    n_permutations, alpha, correction, seed
        For the test of shared structure at each time, as in
        :func:`rsa_faces.inference.time_course`; 0 permutations leave it out.

    Returns
    -------
    LayerMap
        For tests with :func:`rsa_faces.mapping.time_tests.map_clusters` and
        :func:`rsa_faces.mapping.time_tests.compare_networks`. Intervals at single times
        and bootstraps over conditions are in :func:`rsa_faces.inference.time_course`.

    Raises
    ------
    ConditionMismatchError
        If models and data hold different conditions.
    InputError
        If a label is missing, `by` tells electrodes apart, patients lack times that others have,
        models have the same name or missing pairs, or an option is unknown.

    Warns
    -----
    UserWarning
        If similarities are undefined (NaN).

    Notes
    -----
    Ceilings are those of the plain similarity, :func:`rsa_faces.noise_ceiling` at each time, also
    with `unique`: what a layer adds can hardly come near them, unless those before it are 0.

    References
    ----------
    .. [1] Schwartz E. et al. (2023). Journal of Neuroscience 43(23), 4291.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping.time_courses import layer_map
    >>> from rsa_faces.mapping.time_tests import map_clusters
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(16)]
    >>> labels = {"network": "a network", "layer": ["one", "two"], "layer_index": [0, 1]}
    >>> model = rf.RDMs(rng.random((2, 120)), names, "simulated", labels)
    >>> gain = np.tile([0.0, 0.0, 1.0, 1.0, 0.0], 8)[:, None]
    >>> labels = {"subject": np.repeat(range(8), 5), "time": np.tile(np.arange(5) / 10, 8)}
    >>> values = gain * model.vectors[1] + rng.random((40, 120))
    >>> data = rf.RDMs(values, names, "simulated", labels | {"region": "ventral"})
    >>> found = layer_map(model, data, method="spearman", n_permutations=99)
    >>> map_clusters(found).clusters[["time_from", "time_to", "models", "p"]]
       time_from  time_to         models         p
    0        0.2      0.3  a network two  0.003906
    """
    check_choice(method, METHODS, what="comparison method")
    check_choice(correction, CORRECTIONS, what="correction")
    check_count(n_permutations, what="n_permutations", low=0)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    if unique:
        check_choice(method, UNIQUE_METHODS, what="method for semi-partial correlation")
    model, data = align_pair(model, data)
    if missing := int(np.isnan(model.vectors).sum()):
        raise InputError(f"expected model RDMs without missing pairs, got {missing} NaN.")
    if method in COV_METHODS and np.isnan(data.vectors).any():
        raise InputError(f"the method {method!r} needs every pair, but some are missing (NaN).")
    if by == "electrode":
        raise InputError(
            "expected patients as the random factor, got by='electrode': electrodes of a patient "
            "are no independent sample. Use by='subject'."
        )
    names = _named(model)
    recording = recording_of(data, by)
    n_subjects, n_times = len(recording.subjects), len(recording.times)
    subjects = np.full((n_subjects, len(recording.regions), len(model), n_times), np.nan)
    ceilings = []
    for r, (members, vectors) in enumerate(zip(recording.members, recording.vectors, strict=True)):
        rows = RDMs(vectors.reshape(-1, model.n_pairs), model.conditions, data.measure)
        found = _similarities(model, rows, method, unique)
        found = found.reshape(len(model), len(members), n_times)
        subjects[members, r] = np.moveaxis(found, 1, 0)
        bounds = _ceilings(
            vectors, model.conditions, method, n_permutations, seed, alpha, correction
        )
        ceilings.append(
            pd.DataFrame({"region": recording.regions[r], "time": recording.times} | bounds).assign(
                n_subjects=len(members)
            )
        )
    curves = pd.concat([names.assign(region=r) for r in recording.regions], ignore_index=True)
    return LayerMap(
        recording.times, curves[list(CURVES)], subjects.reshape(n_subjects, -1, n_times),
        recording.subjects, pd.concat(ceilings, ignore_index=True), method, unique,
        model.n_conditions,
    )  # fmt: skip


def _similarities(model: RDMs, data: RDMs, method: str, unique: bool) -> np.ndarray:
    """Return similarities, (n_model, n_data)."""
    if unique:
        return semi_partial(model, data, method=method)
    return compare(model, data, method=method)


def of_region(course, region: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curves `rows` of the patients that have the region, and who they are."""
    own = (course.curves["region"] == region).to_numpy()
    has = ~np.isnan(course.subjects[:, own]).all(axis=(1, 2))
    return course.subjects[has][:, rows], has
