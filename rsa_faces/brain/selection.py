"""Which electrodes prefer faces, found on other data than those that are analysed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.checks import check_choice, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import as_names
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.brain._signals import between_times
from rsa_faces.brain.ieeg import IeegPatterns

_FEWEST = 3  # trials of each kind


@dataclass(frozen=True, eq=False, repr=False)
class FaceSelection(BaseResult):
    """The outcome of :func:`face_selective`.

    Parameters
    ----------
    table : DataFrame
        One row per electrode: patient, name, region, n_faces, n_others (trials), difference of
        means, statistic, p (one-sided), p_corrected (within the patient), selective.
    test : str
    alpha : float
    window : tuple of float
        In seconds.
    source : str
        The recording the trials are from.
    trials : ndarray of int
        Samples of the events that were used.
    fingerprints : frozenset of str
        Hashes of the trials that were used.

    See Also
    --------
    face_selective : Find the electrodes that prefer faces.
    select_electrodes : Keep the electrodes that prefer faces, unless the same trials chose them.
    split_trials : Split trials into two halves.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> layers = rf.datasets.simulated_layers(2, n_conditions=8)
    >>> recorded = rf.datasets.simulated_recordings(
    ...     layers, [("ventral", "simulated layer_2", 0.1, 0.3)], n_patients=1, n_electrodes=2)
    >>> patterns = rf.brain.ieeg_patterns(recorded.epochs["simulated01"], signal="raw",
    ...                                   electrodes=recorded.electrodes, source="one session")
    >>> names = sorted(set(patterns.conditions))
    >>> selection = rf.brain.face_selective(patterns, faces=names[:4], others=names[4:])
    >>> selection.source, len(selection.table)
    ('one session', 2)
    """

    table: pd.DataFrame
    test: str
    alpha: float
    window: tuple[float, float]
    source: str
    trials: np.ndarray
    fingerprints: frozenset[str]

    def __repr__(self) -> str:
        n = int(self.table["selective"].sum())
        return f"FaceSelection({n} of {len(self.table)} electrodes, test={self.test!r})"


@keep_warnings
def face_selective(
    localiser: IeegPatterns,
    *,
    faces: Sequence[str],
    others: Sequence[str],
    window: tuple[float, float] = (0.1, 0.4),
    test: str = "rank",
    alpha: float = 0.05,
) -> FaceSelection:
    """Find the electrodes of a patient that respond more to faces than to other things.

    Parameters
    ----------
    localiser : IeegPatterns
        Trials that are not analysed later: another recording, or one half of
        :func:`split_trials`. Its `source` must be known.
    faces, others : sequence of str
        Conditions with and without faces, no condition in both; at least 3 trials of each kind.
    window : (float, float), in seconds, default (0.1, 0.4)
        The response of a trial is its mean over this time.
    test : {"rank", "t"}, default "rank"
        Mann and Whitney's U [1]_, or Welch's t, over trials; faces > others.
    alpha : float, default 0.05
        Largest false discovery rate over the patient's electrodes [2]_.

    Returns
    -------
    FaceSelection
        Give it to :func:`select_electrodes` with the patterns that are to be analysed.

    Raises
    ------
    InputError
        If the source is not known, conditions are in both lists or not there, trials are too few,
        the window lies outside of the recording, or an option is unknown.

    See Also
    --------
    select_electrodes : Keep the electrodes that prefer faces, unless the same trials chose them.
    split_trials : Split trials into two halves.

    Notes
    -----
    Trials are the random factor: this says which electrodes of this patient to use, nothing of
    other patients. Where selected electrodes are analysed on the same trials, noise that favoured
    them is counted as signal [3]_; therefore `select_electrodes` refuses those trials.

    References
    ----------
    .. [1] Mann H. B., Whitney D. R. (1947). Annals of Mathematical Statistics 18, 50-60.
       doi:10.1214/aoms/1177730491
    .. [2] Benjamini Y., Hochberg Y. (1995). Journal of the Royal Statistical Society B 57,
       289-300. doi:10.1111/j.2517-6161.1995.tb02031.x
    .. [3] Kriegeskorte N. et al. (2009). Nature Neuroscience 12, 535-540. doi:10.1038/nn.2303

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rsa_faces.brain.ieeg import ieeg_patterns
    >>> from rsa_faces.brain.selection import face_selective
    >>> field = np.random.default_rng(0).normal(0, 1e-5, (40, 3, 200))
    >>> field[::2, 0, 100:160] += 1e-5
    >>> epochs = mne.EpochsArray(
    ...     field, mne.create_info(["A1", "A2", "A3"], 200.0, "seeg"), tmin=-0.4, verbose="error")
    >>> table = pd.DataFrame({"patient": "p1", "name": ["A1", "A2", "A3"], "region": "ventral",
    ...                       "x": 40.0, "y": -50.0, "z": [-20.0, -15.0, -10.0]})
    >>> patterns = ieeg_patterns(epochs, electrodes=table, conditions=["face", "house"] * 20,
    ...                          signal="raw", source="localiser")
    >>> selection = face_selective(patterns, faces=["face"], others=["house"])
    >>> selection.table[["name", "selective"]]
      name  selective
    0   A1       True
    1   A2      False
    2   A3      False
    """
    check_choice(test, _TESTS, what="test")
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    _need_source(localiser, "localiser")
    faces, others = (as_names(names) for names in (faces, others))
    if both := sorted(set(faces) & set(others)):
        raise InputError(
            f"expected different conditions as faces and others, but {len(both)} are in both: "
            f"{', '.join(map(repr, both[:5]))}."
        )
    sides = [localiser.take_conditions(names) for names in (faces, others)]
    for what, side in zip(("faces", "others"), sides, strict=True):
        check_enough(len(side.values), _FEWEST, f"trials of {what}")
    part = between_times(localiser.times, window, "window")
    first, second = (side.values[..., part].mean(axis=2) for side in sides)
    statistic, p = _TESTS[test](first, second)
    # Over the electrodes of one patient: each patient's choice is the same whoever else is in the
    # study.
    corrected = stats.false_discovery_control(p, method="bh")
    table = localiser.electrodes[["patient", "name", "region"]].assign(
        n_faces=len(first),
        n_others=len(second),
        difference=first.mean(axis=0) - second.mean(axis=0),
        statistic=statistic,
        p=p,
        p_corrected=corrected,
        selective=corrected <= alpha,
    )
    return FaceSelection(
        table,
        test,
        alpha,
        (float(window[0]), float(window[1])),
        localiser.source,
        np.concatenate([side.trials for side in sides]),
        frozenset(sides[0].fingerprints + sides[1].fingerprints),
    )


def select_electrodes(patterns: IeegPatterns, selection: FaceSelection) -> IeegPatterns:
    """Keep the electrodes that prefer faces, unless the same trials chose them.

    Parameters
    ----------
    patterns : IeegPatterns
        Of the same patient, with a known `source`; trials that were not used for the selection.
    selection : FaceSelection
        From :func:`face_selective`.

    Returns
    -------
    IeegPatterns
        With the selective electrodes only, in their order.

    Raises
    ------
    InputError
        If a trial of `patterns` chose the electrodes: the same events of the same source, or the
        same data under another name; if electrodes were not in the selection, or none is
        selective.

    See Also
    --------
    face_selective : Find the electrodes that prefer faces.
    ieeg_patterns : Turn the epochs of a patient into responses of electrodes, one row per trial.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.brain import face_selective, ieeg_patterns, select_electrodes, split_trials
    >>> layers = rf.datasets.simulated_layers(2, n_conditions=8)
    >>> recorded = rf.datasets.simulated_recordings(
    ...     layers, [("ventral", "simulated layer_2", 0.1, 0.3)], n_patients=1, n_electrodes=3)
    >>> epochs = recorded.epochs["simulated01"]
    >>> patterns = ieeg_patterns(epochs, electrodes=recorded.electrodes, signal="raw",
    ...                          source="one session")
    >>> odd, even = split_trials(patterns)
    >>> names = sorted(set(patterns.conditions))
    >>> selection = face_selective(odd, faces=names[:4], others=names[4:], alpha=0.49)
    >>> kept = select_electrodes(even, selection)
    >>> len(kept.electrodes) == int(selection.table["selective"].sum())
    True
    """
    _need_source(patterns, "recording to analyse")
    same_source = patterns.source == selection.source
    used = np.isin(patterns.trials, selection.trials) & same_source
    # Names of sources can differ for one recording, copied or renamed; what was recorded cannot.
    used |= [f in selection.fingerprints for f in patterns.fingerprints]
    if used.any():
        raise InputError(
            "expected trials that are independent of the choice of electrodes, but "
            f"{int(used.sum())} of {len(used)} trials were used for it (source "
            f"{selection.source!r}). Use another recording, or halves from split_trials()."
        )
    keys = ["patient", "name"]
    merged = patterns.electrodes[keys].merge(
        selection.table[[*keys, "selective"]], on=keys, how="left"
    )
    if (absent := merged["selective"].isna()).any():
        raise InputError(
            f"expected electrodes of the selection, but {int(absent.sum())} were not in it: "
            f"{', '.join(map(repr, merged['name'][absent].iloc[:5]))}. Choose from a recording "
            "with the same electrodes."
        )
    keep = merged["selective"].to_numpy(bool)
    if not keep.any():
        raise InputError(
            f"expected an electrode of {patterns.patient!r} that prefers faces, but none of "
            f"{len(keep)} does. Leave the patient out."
        )
    return patterns.take_electrodes(keep)


def split_trials(patterns: IeegPatterns) -> tuple[IeegPatterns, IeegPatterns]:
    """Split trials into two halves: those of a condition go to each in turn.

    Parameters
    ----------
    patterns : IeegPatterns
        At least 2 trials of each condition.

    Returns
    -------
    odd, even : IeegPatterns
        One to choose electrodes with, the other to analyse.

    Raises
    ------
    InputError
        If a condition has one trial only.

    See Also
    --------
    face_selective : Find the electrodes that prefer faces.

    Notes
    -----
    Trials alternate in the order of recording, so that slow drifts are in both halves. High gamma
    is z-scored before the split, by one mean and scale of each electrode, which are the same for
    all conditions.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.brain import ieeg_patterns, split_trials
    >>> layers = rf.datasets.simulated_layers(2, n_conditions=8)
    >>> recorded = rf.datasets.simulated_recordings(
    ...     layers, [("ventral", "simulated layer_2", 0.1, 0.3)], n_patients=1, n_electrodes=3)
    >>> epochs = recorded.epochs["simulated01"]
    >>> patterns = ieeg_patterns(epochs, electrodes=recorded.electrodes, signal="raw")
    >>> odd, even = split_trials(patterns)
    >>> len(patterns.values), len(odd.values), len(even.values)
    (32, 16, 16)
    """
    names = pd.Series(patterns.conditions, dtype=object)
    counts = names.value_counts()
    if (counts < 2).any():
        once = counts.index[counts < 2]
        raise InputError(
            f"expected at least 2 trials of each condition, but {len(once)} have one: "
            f"{', '.join(map(repr, once[:5]))}. Use another recording to choose electrodes."
        )
    order = np.argsort(patterns.trials, kind="stable")
    place = np.empty(len(names), dtype=int)
    # In turns in the order of the recording: adaptation and drift are then in both halves alike.
    place[order] = names.iloc[order].groupby(names.iloc[order]).cumcount()
    return patterns.take_trials(place % 2 == 0), patterns.take_trials(place % 2 == 1)


def _need_source(patterns: IeegPatterns, what: str) -> None:
    """Check that the recording has a name, so that independence is declared."""
    if not patterns.source:
        raise InputError(
            f"expected the source of the {what}, got none: whether the choice of electrodes is "
            "independent of the analysis must be declared. Give ieeg_patterns(..., source=...) the "
            "name of each recording, the same for epochs of the same recording."
        )


def _rank(first: np.ndarray, second: np.ndarray):
    """Return U and one-sided p of each column."""
    test = stats.mannwhitneyu(first, second, alternative="greater", axis=0)
    return test.statistic, test.pvalue


def _t(first: np.ndarray, second: np.ndarray):
    """Return Welch's t and one-sided p of each column."""
    # Welch's: localisers have few blocks of faces and many of the rest, where unequal variances
    # would tell.
    test = stats.ttest_ind(first, second, alternative="greater", equal_var=False, axis=0)
    return test.statistic, test.pvalue


_TESTS: dict[str, Callable] = {"rank": _rank, "t": _t}
