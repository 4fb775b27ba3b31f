"""Generalisation over time: is the geometry at one time there at another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.comparison import Method, resolve
from rsa_faces.inference._recording import recording_of
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured


@dataclass(frozen=True, eq=False, repr=False)
class TimeGeneralization(BaseResult, figure="plot_generalization"):
    """The outcome of :func:`time_generalization`.

    Parameters
    ----------
    times : ndarray, shape (n_times,)
        In seconds, ascending.
    similarity : ndarray, shape (n_times, n_times)
        Mean over subjects. Row: time of the single subject; column: time of the other subjects.
    subjects : ndarray, shape (n_subjects, n_times, n_times)
        The same in each subject, for tests over subjects.
    subject_names : tuple of str
    method : str
        The comparison method.
    region : str
        Empty without a label ``region``.
    n_conditions : int

    See Also
    --------
    time_generalization : Compare RDMs between all pairs of times, across subjects.
    rsa_faces.figures.plot_generalization : Draw the similarity of RDMs between all pairs of times.

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
    >>> found = rf.inference.time_generalization(data)
    >>> found.similarity.shape, found.subjects.shape, found.region
    ((3, 3), (6, 3, 3), 'ventral')
    """

    times: np.ndarray
    similarity: np.ndarray
    subjects: np.ndarray
    subject_names: tuple[str, ...]
    method: str
    region: str
    n_conditions: int

    @property
    def table(self) -> pd.DataFrame:
        """One row per pair of times: time_a, time_b and the mean similarity."""
        return pd.DataFrame(
            {
                "time_a": np.repeat(self.times, len(self.times)),
                "time_b": np.tile(self.times, len(self.times)),
                "similarity": self.similarity.ravel(),
            }
        )

    def __repr__(self) -> str:
        return (
            f"TimeGeneralization({len(self.times)} times from {self.times[0]:g} to "
            f"{self.times[-1]:g} s, {len(self.subject_names)} subjects, method={self.method!r})"
        )


@keep_warnings
def time_generalization(
    data: RDMs,
    *,
    method: str | Method | Callable[..., np.ndarray] = "pearson",
    by: str = "subject",
) -> TimeGeneralization:
    """Compare RDMs between all pairs of times, across subjects.

    Parameters
    ----------
    data : RDMs
        RDMs of at least 2 subjects and of one region, every pair measured, with a label ``time`` in
        seconds; all subjects have the same times.
    method : str, Method or callable, default "pearson"
        Comparison method, as in :func:`rsa_faces.compare`.
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one at the same time (sessions) are
        averaged first, so that they leave together.

    Returns
    -------
    TimeGeneralization
        Row t, column t': similarity of one subject's RDM at t with the RDM of the other subjects,
        pooled, at t'; the mean over subjects, from -1 to 1.

    Raises
    ------
    InputError
        With fewer than 2 subjects, several regions, missing pairs or times, or an unknown method.

    Warns
    -----
    UserWarning
        If a similarity is undefined (NaN) because an RDM is constant.

    See Also
    --------
    time_course : Evaluate how well models predict data at each time.
    rsa_faces.figures.plot_generalization : Draw the similarity of RDMs between all pairs of times.

    Notes
    -----
    As in the generalisation of decoders over time [1]_, but a subject is never compared with
    itself: noise that a subject shares between times (slow drifts, overlapping windows) would look
    like a geometry that lasts. The diagonal is the lower noise ceiling of each time; pooling is as
    in :func:`rsa_faces.noise_ceiling`.

    The matrix is not symmetric: similarities are divided by the length of the pooled RDM at t', so
    that columns in which subjects agree less are larger than the rows of that time. For a symmetric
    one take the mean with its transpose. Windows that overlap smear the matrix along its diagonal.

    References
    ----------
    .. [1] King J.-R., Dehaene S. (2014). Trends in Cognitive Sciences 18, 203-210.
       doi:10.1016/j.tics.2014.01.002

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import time_generalization
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> signal = np.outer([0.0, 1.0, 1.0], rng.random(190))
    >>> labels = {"subject": np.repeat(range(6), 3), "time": np.tile([0.0, 0.1, 0.2], 6)}
    >>> values = np.tile(signal, (6, 1)) + 0.1 * rng.random((18, 190))
    >>> data = rf.RDMs(values, names, "simulated", labels)
    >>> (time_generalization(data).similarity > 0.5).astype(int)
    array([[0, 0, 0],
           [0, 1, 1],
           [0, 1, 1]])
    """
    check_arguments(time_generalization, locals())
    method = resolve(method)
    recording = recording_of(data, by)
    if len(recording.regions) > 1:
        raise InputError(
            f"expected the RDMs of one region, got {len(recording.regions)}: "
            f"{', '.join(map(repr, recording.regions[:5]))}. Take one with data.sel(region=...)."
        )
    (vectors,) = recording.vectors
    n_subjects, n_times, n_pairs = vectors.shape
    check_enough(n_subjects, 2, "subjects")
    check_measured(data, "every subject")
    rows = vectors.reshape(-1, n_pairs)
    scaled = method.pooling(rows, np.ones_like(rows)).reshape(vectors.shape)
    # A constant RDM has no z-scores, but must not make the pool of all others undefined: it adds
    # nothing.
    undefined = (vectors == (vectors[:, :, :1] if method.centres else 0)).all(axis=2)
    scaled[undefined] = 0.0
    total = scaled.sum(axis=0)
    subjects = np.full((n_subjects, n_times, n_times), np.nan)
    for s in range(n_subjects):
        rows, columns = ~undefined[s], ~np.delete(undefined, s, axis=0).any(axis=0)
        if rows.any() and columns.any():
            # With the sum of the others: similarity does not depend on the length of a vector, so
            # that no mean is needed.
            subjects[s][np.ix_(rows, columns)] = method(
                vectors[s, rows], (total - scaled[s])[columns]
            )
    subjects = np.clip(subjects, -1.0, 1.0)
    if np.isnan(subjects).any():
        bad = np.flatnonzero(undefined.any(axis=0))
        listed = ", ".join(f"{recording.times[t]:g}" for t in bad[:5])
        warn(
            f"similarity is undefined (NaN) for {len(bad)} of {n_times} times, at which an RDM is "
            f"constant: {listed} s."
        )
    return TimeGeneralization(
        recording.times,
        subjects.mean(axis=0),
        subjects,
        recording.subjects,
        method.name,
        recording.regions[0],
        data.n_conditions,
    )
