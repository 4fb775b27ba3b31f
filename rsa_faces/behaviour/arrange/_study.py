"""One running task: configuration, stimuli, texts and database together."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.behaviour._trials import Arrangements
from rsa_faces.behaviour.arrange import _engine
from rsa_faces.behaviour.arrange._config import ArrangeConfig
from rsa_faces.behaviour.arrange._stimuli import Served
from rsa_faces.behaviour.arrange._store import Rater, Store, StoredTrial
from rsa_faces.behaviour.arrange._texts import load_texts
from rsa_faces.behaviour.inverse_mds import ArrangementRDM

MIN_TOKEN = 16


class Study:
    """What the pages ask for; everything lasting is in the database."""

    def __init__(self, config: ArrangeConfig) -> None:
        self.config = config
        self.texts = load_texts(config.language)
        self.stimuli = Served(config.stimuli)
        self.store = Store(config.database)
        self._check_belongs()
        self.stimuli.make_ids(self.store.setting("secret", lambda: secrets.token_hex(32)))
        missing = config.raters.links - self.store.count_raters()
        if missing > 0:
            self.store.add_raters(missing)
        self._token_hash: str | None = None
        # Fits by rater: (number of trials, what is known).
        self._known: dict[int, tuple[int, ArrangementRDM | None]] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._guard = threading.Lock()

    def _check_belongs(self) -> None:
        """Refuse a database that holds trials of other stimuli."""
        here = self.stimuli.fingerprint
        if self.store.setting("stimuli", lambda: here) != here:
            raise InputError(
                "expected the stimuli that this database was made with, but names or files "
                "differ. Give the task another database, or the old stimuli."
            )

    # --- the experimenter's token ---------------------------------------------------------------

    def set_token(self, token: str | None = None, *, new: bool = False) -> str | None:
        """Settle the token; return it if it was made now (and is to be shown this once)."""
        given = token or os.environ.get(self.config.token_variable)
        if given:
            if len(given) < MIN_TOKEN:
                raise InputError(
                    f"expected an experimenter's token of at least {MIN_TOKEN} characters in "
                    f"{self.config.token_variable}, got {len(given)}."
                )
            self._token_hash = _hash(given)
            return None
        self._token_hash = None if new else self.store.setting("token")
        if self._token_hash is not None:
            return None
        made = secrets.token_urlsafe(24)
        self._token_hash = _hash(made)
        self.store.set_setting("token", self._token_hash)
        return made

    def is_token(self, token: str) -> bool:
        """Compare in a time that does not depend on the token."""
        return self._token_hash is not None and hmac.compare_digest(_hash(token), self._token_hash)

    # --- raters ---------------------------------------------------------------------------------

    def enrol(self) -> Rater | None:
        """Make a rater who came by themselves; None if all places are taken."""
        made = self.store.add_raters(1, most=self.config.raters.most)
        return made[0] if made else None

    def arrangements(self, rater: Rater, done: list[StoredTrial]) -> Arrangements:
        """Return what a rater did, with the arena's diameter as unit."""
        return Arrangements(rater.label, tuple(t.trial for t in done), self.stimuli.names)

    def known(self, rater: Rater, done: list[StoredTrial]) -> ArrangementRDM | None:
        """Return the RDM and evidence of a rater, computed once per number of trials."""
        cached = self._known.get(rater.id)
        if cached is None or cached[0] != len(done):
            cached = (len(done), _engine.estimate(self.arrangements(rater, done)))
            self._known[rater.id] = cached
        return cached[1]

    def next_trial(self, rater: Rater) -> tuple[StoredTrial | None, list[StoredTrial]]:
        """Return the trial to do and those done; no trial if the rater is finished.

        The trial is chosen once and stored: asked again, the same comes back.
        """
        with self._lock(rater.id):
            trials = self.store.trials(rater.id)
            done = [t for t in trials if t.done_at is not None]
            for trial in trials:
                if trial.done_at is None:
                    return trial, done
            if rater.finished_at is not None or self.is_finished(rater, done):
                self.store.mark(rater.id, "finished_at")
                return None, done
            names = _engine.choose(
                self.known(rater, done), self.stimuli.names,
                n_max=min(self.config.max_items, len(self.stimuli.names)), rule=self.config.rule,
                seed=_engine.seed_of(self.config.seed, rater.id, len(done) + 1),
            )  # fmt: skip
            return self.store.show(rater.id, len(done) + 1, names), done

    def is_finished(self, rater: Rater, done: list[StoredTrial]) -> bool:
        """Tell whether the first of the stopping rules is reached."""
        stop = self.config.stop
        if stop.trials is not None and len(done) >= stop.trials:
            return True
        if stop.minutes is not None and sum(t.active for t in done) >= stop.minutes * 60:
            return True
        return stop.evidence is not None and _engine.is_enough(
            self.known(rater, done), threshold=stop.evidence, share=stop.share
        )

    def progress(self, rater: Rater, done: list[StoredTrial]) -> dict:
        """Return how far a rater is, by each rule and by the one that is nearest."""
        stop = self.config.stop
        seconds = sum(t.active for t in done)
        out: dict = {"n_trials": len(done), "seconds": round(seconds, 1)}
        shares = []
        if stop.trials is not None:
            out["trials"] = stop.trials
            shares.append(len(done) / stop.trials)
        if stop.minutes is not None:
            out["minutes"] = stop.minutes
            shares.append(seconds / (stop.minutes * 60))
        if stop.evidence is not None:
            share = _engine.reached(self.known(rater, done), stop.evidence) / stop.share
            out["pairs"] = round(min(share, 1.0), 4)
            shares.append(share)
        out["fraction"] = 1.0 if rater.finished_at is not None else round(min(max(shares), 1.0), 4)
        return out

    def fits(self) -> dict[str, ArrangementRDM]:
        """Return what is known of every rater with a trial, by label."""
        done = self.store.all_trials()
        found = {}
        for rater in self.store.raters():
            if rater.id in done:
                known = self.known(rater, done[rater.id])
                if known is not None:
                    found[rater.label] = known
        return found

    def _lock(self, rater: int) -> threading.Lock:
        """Return the lock of one rater: a trial is chosen once even if it is asked for twice."""
        with self._guard:
            return self._locks.setdefault(rater, threading.Lock())


def _hash(token: str) -> str:
    """Return the hash under which a token is kept; it is long and random, so one round does."""
    return hashlib.sha256(token.encode()).hexdigest()


def mean_evidence(fits: dict[str, ArrangementRDM]) -> np.ndarray:
    """Return the evidence of each pair, averaged over raters."""
    return np.mean([fit.evidence for fit in fits.values()], axis=0)
