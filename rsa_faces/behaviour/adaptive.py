"""What to show next: subsets of images that lift the weakest evidence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces.behaviour._trials import Arrangements, Trial, as_arrangements
from rsa_faces.behaviour.inverse_mds import ArrangementRDM, inverse_mds

RULES = ("lift-weakest", "random")


def next_trial(
    trials: Arrangements | ArrangementRDM | Sequence[Trial],
    conditions: Sequence[str] | None = None,
    *,
    n_max: int | None = None,
    rule: str = "lift-weakest",
    utility_exponent: float = 10.0,
    cost_exponent: float = 1.0,
    evidence_floor: float = 0.2,
    seed: int = 0,
) -> tuple[str, ...]:
    """Choose the images of a rater's next trial.

    Parameters
    ----------
    trials : Arrangements, ArrangementRDM or sequence of Trial
        What the rater has done so far; may be empty. The result of
        :func:`~rsa_faces.behaviour.inverse_mds` saves computing it again.
    conditions : sequence of str, optional
        All images of the task; needed before the first trial unless `trials` names them.
    n_max : int, optional
        Most images in a trial, at least 3; by default as many as there are.
    rule : {"lift-weakest", "random"}, default "lift-weakest"
        The rule of [1]_ (Notes), or a random subset of `n_max` images.
    utility_exponent, cost_exponent : float, default 10 and 1
        Of the rule (Notes); as published, 10 and 1.5.
    evidence_floor : float, default 0.2
        As for :func:`~rsa_faces.behaviour.inverse_mds`.
    seed : int, default 0
        Of random choices and of choices between equals. Give every rater and trial its own, or
        all raters see the same random subsets.

    Returns
    -------
    tuple of str
        At least 3 names, in the order of `conditions`.

    Raises
    ------
    InputError
        With fewer than 3 conditions, `n_max` below 3, an unknown rule, or exponents not above 0.

    See Also
    --------
    inverse_mds : Estimate one RDM from a rater's arrangements.
    enough_evidence : Tell whether a rater may stop.

    Notes
    -----
    Evidence w of a pair has utility u = 1 − exp(−10 w): a pair that is known well gains little. A
    trial of a set S is predicted from the current RDM, scaled so that its largest distance fills
    the arena; its efficiency is ``Σ_{pairs in S} [u(after) − u(before)] / |S|^c``, the gain for
    what it costs. From the pair with the least evidence the set grows by the image that makes the
    trial most efficient, until no image helps, to at least 3 images [1]_.

    The first trial shows all images, or `n_max` at random. As long as pairs have never been shown
    together, the first pair is one that has been, with the most unseen pairs around its two images
    and, among such, the most evidence: otherwise a trial of new pairs only could not be scaled to
    the earlier ones. Unseen dissimilarities are predicted by the median of those seen.

    The published cost is c = 1.5, the time that a trial was found to take. Once all pairs have been
    shown, it chooses three or four images that lie close together, and then needs less time than
    random subsets of `n_max`, but more trials. With c = 1 trials are larger: in simulations
    (``scripts/simulate_arrangements.py``) the same accuracy takes as little time as with 1.5, and
    no more trials than random subsets.

    References
    ----------
    .. [1] Kriegeskorte N. & Mur M. (2012). Frontiers in Psychology 3, 245.
       doi:10.3389/fpsyg.2012.00245

    Examples
    --------
    The images "c" and "d" lie close to each other: they are shown again, larger.

    >>> from rsa_faces.behaviour import Trial, next_trial
    >>> first = Trial(tuple("abcd"), [[-0.5, 0], [0.5, 0], [0, 0.5], [0, 0.45]])
    >>> set("cd") <= set(next_trial([first], n_max=3))
    True
    >>> next_trial([], tuple("abcd"))
    ('a', 'b', 'c', 'd')
    """
    check_arguments(next_trial, locals())
    check_choice(rule, RULES, what="rule")
    for value, what in ((utility_exponent, "utility"), (cost_exponent, "cost")):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"expected a {what} exponent above 0, got {value!r}.")
    state = _state(trials, conditions, evidence_floor)
    names, vector, evidence = state
    n = len(names)
    check_enough(n, 3, "conditions")
    n_max = n if n_max is None else min(check_count(n_max, what="n_max", low=3), n)
    rng = as_rng(seed)
    if rule == "random" or not evidence.any():
        chosen = rng.permutation(n)[:n_max]
    else:
        chosen = _lift_weakest(
            _square(vector, n),
            _square(evidence, n),
            n_max,
            utility_exponent,
            cost_exponent,
            evidence_floor,
            rng,
        )
    return tuple(names[i] for i in sorted(chosen))


def enough_evidence(
    trials: Arrangements | ArrangementRDM | Sequence[Trial],
    conditions: Sequence[str] | None = None,
    *,
    threshold: float = 0.5,
    share: float = 1.0,
    evidence_floor: float = 0.2,
) -> bool:
    """Tell whether a rater may stop.

    Parameters
    ----------
    trials, conditions, evidence_floor
        As for :func:`next_trial`.
    threshold : float, default 0.5
        Evidence that a pair needs: 1 is a pair once shown at the two ends of the arena.
    share : float, default 1
        Share of pairs that must reach it, above 0 and up to 1.

    Returns
    -------
    bool
        False as long as there is no trial.

    Raises
    ------
    InputError
        If the threshold is not above 0 or the share not in (0, 1].

    See Also
    --------
    next_trial : Choose the images of a rater's next trial.

    Examples
    --------
    >>> from rsa_faces.behaviour import Trial, enough_evidence
    >>> far = Trial(tuple("abc"), [[-0.5, 0], [0.5, 0], [0, 0.5]])
    >>> enough_evidence([far]), enough_evidence([far], threshold=1.5)
    (True, False)
    """
    if not threshold > 0:
        raise InputError(f"expected a threshold above 0, got {threshold!r}.")
    if not 0 < share <= 1:
        raise InputError(f"expected a share above 0 and up to 1, got {share!r}.")
    evidence = _state(trials, conditions, evidence_floor)[2]
    # Sums of squares that should be exactly the threshold may miss it in the last digit.
    return bool(np.mean(evidence >= threshold * (1 - 1e-12)) >= share)


def _state(trials, conditions, floor):
    """Return names, estimate and evidence; without trials no evidence."""
    if isinstance(trials, ArrangementRDM):
        if conditions is None or tuple(conditions) == trials.conditions:
            return trials.conditions, trials.rdms.vectors[0], trials.evidence
        evidence = type(trials.rdms)(trials.evidence, trials.conditions, "evidence")
        aligned = trials.rdms.align(conditions)
        return aligned.conditions, aligned.vectors[0], evidence.align(conditions).vectors[0]
    arrangements = as_arrangements(trials, conditions)
    n = len(arrangements.conditions)
    nothing = np.full(n * (n - 1) // 2, np.nan), np.zeros(n * (n - 1) // 2)
    # A trial with all images on one spot says nothing yet: start again.
    if not any(one.distances().any() for one in arrangements.trials):
        return arrangements.conditions, *nothing
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        # Groups of trials not yet connected are what the next trials are for.
        result = inverse_mds(arrangements, evidence_floor=floor, tol=1e-5)
    return arrangements.conditions, result.rdms.vectors[0], result.evidence


def _square(vector: np.ndarray, n: int) -> np.ndarray:
    """Return the symmetric matrix of a condensed vector."""
    square = np.zeros((n, n))
    row, col = np.triu_indices(n, k=1)
    square[row, col] = square[col, row] = vector
    return square


def _lift_weakest(estimate, evidence, n_max, utility, cost, floor, rng) -> list[int]:
    """Grow a set of images from one pair by trial efficiency."""
    n = len(estimate)
    # A pair not seen yet is taken to be as far apart as most are.
    estimate = np.where(np.isnan(estimate), np.nanmedian(estimate[np.triu_indices(n, 1)]), estimate)
    np.fill_diagonal(estimate, 0.0)
    left = np.exp(-utility * evidence)
    chosen = list(_first_pair(evidence, rng))
    # A random order once: of equally good images argmax then takes a random one.
    rest = [i for i in rng.permutation(n) if i not in chosen]
    # Gain per cost, as in Kriegeskorte and Mur (2012): large trials tell more, and take longer.
    efficiency = _gain(estimate, left, chosen, None, utility, floor)[0] / 2**cost
    while rest and len(chosen) < n_max:
        gains = _gain(estimate, left, chosen, rest, utility, floor)
        best = int(np.argmax(gains))
        new = gains[best] / (len(chosen) + 1) ** cost
        # Two images have no scale to each other: a trial of them tells nothing.
        if new <= efficiency and len(chosen) >= 3:
            break
        chosen.append(rest.pop(best))
        efficiency = new
    return chosen


def _first_pair(evidence: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Return the pair a trial is built around."""
    n = len(evidence)
    row, col = np.triu_indices(n, k=1)
    weight = evidence[row, col]
    seen = weight > 0
    if seen.all():
        best = np.flatnonzero(weight == weight.min())
    else:
        unseen = (evidence == 0).sum(axis=1) - 1
        reach = np.where(seen, unseen[row] + unseen[col], -1)
        best = np.flatnonzero(reach == reach.max())
        best = best[weight[best] == weight[best].max()]
    pick = rng.choice(best)
    return int(row[pick]), int(col[pick])


def _gain(estimate, left, chosen, rest, utility, floor) -> np.ndarray:
    """Return the gain in utility of a trial of the chosen images, with each of the rest or none.

    With left = exp(−utility · evidence), the gain of a pair is left · (1 − exp(−utility · new)).
    """
    chosen = np.asarray(chosen)
    row, col = np.triu_indices(len(chosen), k=1)
    inner = estimate[chosen[row], chosen[col]]
    inner_left = left[chosen[row], chosen[col]]
    outer = np.zeros((1, 0)) if rest is None else estimate[np.ix_(rest, chosen)]
    outer_left = outer if rest is None else left[np.ix_(rest, chosen)]
    largest = np.maximum(outer.max(axis=1, initial=0.0), inner.max())
    # Most images leave the largest distance, and so the scale of the chosen ones, as it is.
    scales, which = np.unique(largest, return_inverse=True)
    # All on one spot: nothing to scale by, and no gain.
    scales = np.where(scales > 0, scales, np.inf)

    def new(distances: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return 1 - np.exp(-utility * np.maximum(distances / scale[:, None], floor) ** 2)

    within = new(inner[None], scales) @ inner_left
    across = (outer_left * new(outer, scales[which])).sum(axis=1)
    return np.where(np.isfinite(scales[which]), within[which] + across, 0.0)
