"""Maps of layers over time in each region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.inference._course import TimeCourse
from rsa_faces.inference._design import Design
from rsa_faces.inference.courses import course_of, course_study
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False, repr=False)
class LayerMap(TimeCourse, figure="plot_layer_map"):
    """A time course of which each patient counts: what :func:`layer_map` returns.

    See Also
    --------
    layer_map : Compare every layer with every time of every patient, region by region.
    rsa_faces.mapping.map_clusters : Test when and in which layers similarity differs from 0.
    rsa_faces.figures.plot_layer_map : Draw the similarity of every layer over time.

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
    >>> found = rf.mapping.layer_map(model, data, method="spearman", n_permutations=99)
    >>> found.curves["layer"].tolist(), found.subjects.shape
    (['one', 'two'], (6, 2, 3))
    """

    def __repr__(self) -> str:
        return (
            f"LayerMap({len(self.curves)} layers and regions, {len(self.times)} times from "
            f"{self.times[0]:g} to {self.times[-1]:g} s, {len(self.subject_names)} patients, "
            f"method={self.method!r}{', unique' if self.unique else ''})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy table: one row per layer and region, time and patient that has it."""
        return self.by_subject()


@keep_warnings
def layer_map(
    model: RDMs,
    data: RDMs,
    *,
    method: str = "kendall",
    unique: bool = False,
    by: str = "subject",
    blocks: Labels | None = None,
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
    blocks : mapping or Series of condition to run, optional
        Similarities and ceilings are those within each run, averaged over runs.
    n_permutations, alpha, correction, seed
        For the test of shared structure at each time, as in
        :func:`rsa_faces.inference.time_course`; 0 permutations leave it out.

    Returns
    -------
    LayerMap
        For tests with :func:`rsa_faces.mapping.time_tests.map_clusters` and
        :func:`rsa_faces.mapping.time_tests.compare_networks`.

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

    See Also
    --------
    rsa_faces.brain.ieeg_rdms : Build RDMs over time windows of intracranial recordings.
    map_clusters : Test when and in which layers similarity differs from 0.
    rsa_faces.figures.plot_layer_map : Draw the similarity of every layer over time.

    Notes
    -----
    The :func:`rsa_faces.inference.time_course` with ``uncertainty="analytic"``, for patients as
    the random factor, that a single patient may have, too.

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
    check_arguments(layer_map, locals())
    design = Design(
        "subjects", "analytic", by=by, blocks=blocks, alpha=alpha, correction=correction, seed=seed
    )
    study = course_study(model, data, method=method, unique=unique, design=design)
    course = course_of(study, n_permutations)
    for note in course.notes:
        warn(note)
    return LayerMap(**vars(course))


def of_region(course, region: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curves `rows` of the patients that have the region, and who they are."""
    own = (course.curves["region"] == region).to_numpy()
    # Patients have electrodes in some regions only: who has none there is no subject there.
    has = ~np.isnan(course.subjects[:, own]).all(axis=(1, 2))
    return course.subjects[has][:, rows], has
