"""Between the task and the mathematics: what is known of a rater, and what to show next."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Sequence

import numpy as np

from rsa_faces.behaviour._trials import Arrangements
from rsa_faces.behaviour.adaptive import enough_evidence, next_trial
from rsa_faces.behaviour.inverse_mds import ArrangementRDM, inverse_mds

# Warnings are silenced for the whole process: one thread at a time.
_fitting = threading.Lock()


def estimate(arrangements: Arrangements) -> ArrangementRDM | None:
    """Return the RDM and the evidence of one rater; None if no trial has a distance."""
    if not any(trial.distances().any() for trial in arrangements.trials):
        return None
    with _fitting, warnings.catch_warnings(action="ignore", category=UserWarning):
        # What the warnings say (trials not connected yet) is mended by the trials to come.
        return inverse_mds(arrangements)


def choose(
    known: ArrangementRDM | None, conditions: Sequence[str], *, n_max: int, rule: str, seed: int
) -> tuple[str, ...]:
    """Return the images of the next trial, in the random order of their places."""
    names = next_trial(
        () if known is None else known, tuple(conditions), n_max=n_max, rule=rule, seed=seed
    )
    # In the order of the conditions, neighbours would tell categories apart.
    return tuple(names[i] for i in np.random.default_rng([seed, 1]).permutation(len(names)))


def reached(known: ArrangementRDM | None, threshold: float) -> float:
    """Return the share of pairs with as much evidence as the threshold."""
    if known is None:
        return 0.0
    return float(np.mean(known.evidence >= threshold * (1 - 1e-12)))


def is_enough(known: ArrangementRDM | None, *, threshold: float, share: float) -> bool:
    """Tell whether a rater has given the evidence asked for."""
    return known is not None and enough_evidence(known, threshold=threshold, share=share)


def seed_of(study: int, rater: int, number: int) -> int:
    """Return the seed of one trial: its own for every rater and number."""
    digest = hashlib.sha256(f"{study}/{rater}/{number}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
