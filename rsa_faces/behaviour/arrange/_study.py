"""One running task: configuration, stimuli, texts and database together."""

from __future__ import annotations

import hmac
import logging
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.behaviour._trials import Arrangements
from rsa_faces.behaviour.arrange import _engine
from rsa_faces.behaviour.arrange._config import ArrangeConfig
from rsa_faces.behaviour.arrange._keys import Keeper
from rsa_faces.behaviour.arrange._security import MAX_TOKEN, MIN_TOKEN, Watch, hashed, is_strong
from rsa_faces.behaviour.arrange._stimuli import Served
from rsa_faces.behaviour.arrange._store import Rater, Store, StoredTrial
from rsa_faces.behaviour.arrange._texts import load_texts
from rsa_faces.behaviour.inverse_mds import ArrangementRDM

_log = logging.getLogger(__name__)

# Of one-time codes; one before and one after are taken too, for clocks that are not quite right.
STEP_SECONDS = 30


@dataclass(frozen=True)
class Fit:
    """What is known of a rater after some trials; a problem if they cannot be fitted."""

    trials: tuple[str, ...]
    known: ArrangementRDM | None
    problem: str | None = None


class Study:
    """What the pages ask for; everything lasting is in the database."""

    def __init__(self, config: ArrangeConfig) -> None:
        self.config = config
        self.texts = load_texts(config.language)
        self.stimuli = Served(config.stimuli)
        self.watch = Watch(config.alert, config.alert_after)
        self.store = Store(config.database, Keeper(config.link_key))
        self._check_belongs()
        self.stimuli.make_ids(self.store.setting("secret", lambda: secrets.token_hex(32)))
        missing = config.raters.links - self.store.count_raters()
        if missing > 0:
            self.store.add_raters(missing)
        self._given_hash: str | None = None
        self._fits: dict[int, Fit] = {}
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
            if not is_strong(given):
                raise InputError(
                    f"expected an experimenter's token of at least {MIN_TOKEN} characters, and "
                    f"random, in {self.config.token_variable}, got {len(given)} characters that "
                    f"can be guessed (or more than {MAX_TOKEN}). "
                    'Make one with: python -c "import secrets; '
                    'print(secrets.token_urlsafe(24))"'
                )
            if new:
                raise InputError(
                    f"expected no token in {self.config.token_variable} for a new one to be made: "
                    "change it there, or unset the variable."
                )
            self._given_hash = hashed(given)
            return None
        self._given_hash = None
        if not new and self.store.setting("token") is not None:
            return None
        made = secrets.token_urlsafe(24)
        if self.store.setting("token") is not None:
            self.watch.tell("a new experimenter's token was made")
        self.store.set_setting("token", hashed(made))
        return made

    def set_second_factor(self, *, new: bool = False) -> str | None:
        """Settle the second factor; return its address if it was made now (to be shown once)."""
        if not self.config.asks_code or not (new or self.store.setting("second_factor") is None):
            return None
        name = secrets.token_hex(16)
        self.store.set_setting("second_factor", name)
        title = quote(self.config.title)
        secret = self.store.keeper.second_factor(name)
        return f"otpauth://totp/rsa-faces:{title}?secret={secret}&issuer=rsa-faces"

    def is_code(self, code: str) -> bool:
        """Tell whether a one-time code is right at this moment, and was not used before."""
        if not self.config.asks_code:
            return True
        now = int(time.time() // STEP_SECONDS)
        steps = (now - 1, now, now + 1)
        codes = self.store.keeper.codes(self.store.setting("second_factor") or "", steps)
        right = [s for s, one in zip(steps, codes, strict=True) if hmac.compare_digest(one, code)]
        if not right:
            return False
        if not self.store.raise_setting("last_step", right[0]):
            self.watch.tell("a one-time code was used a second time, and refused")
            return False
        return True

    @property
    def token_hash(self) -> str:
        """The hash of the token of this moment: a new one counts at once, in every process."""
        return self._given_hash or self.store.setting("token") or ""

    def is_token(self, token: str) -> bool:
        """Compare in a time that does not depend on the token."""
        return hmac.compare_digest(hashed(token, like=self.token_hash), self.token_hash)

    def device(self, name: str) -> str:
        """Return what a browser keeps that has logged in with the token of this moment."""
        (digest,) = self.store.keeper.digests([f"device/{self.token_hash}/{name}"])
        return f"{name}.{digest.hex()}"

    def is_device(self, kept: str) -> bool:
        """Tell whether a browser has logged in before."""
        name = kept.partition(".")[0]
        known = re.fullmatch(r"[0-9a-f]{32}\.[0-9a-f]{64}", kept) is not None
        return known and hmac.compare_digest(self.device(name), kept)

    # --- raters ---------------------------------------------------------------------------------

    def enrol(self) -> Rater | None:
        """Make a rater who came by themselves; None if all places are taken."""
        made = self.store.add_raters(1, most=self.config.raters.most)
        return made[0] if made else None

    def arrangements(self, rater: Rater, done: list[StoredTrial]) -> Arrangements:
        """Return what a rater did, with the arena's diameter as unit."""
        return Arrangements(rater.label, tuple(t.trial for t in done), self.stimuli.names)

    def known(self, rater: Rater, done: list[StoredTrial]) -> ArrangementRDM | None:
        """Return the RDM and evidence of a rater; None if nothing is known."""
        return self.fit(rater, done).known

    def fit(self, rater: Rater, done: list[StoredTrial]) -> Fit:
        """Return what is known of a rater, computed once for the same trials.

        Whatever is wrong with the data of one rater stays with that rater: it is kept and named,
        and the others are not touched.
        """
        trials = tuple(trial.id for trial in done)
        fit = self._fits.get(rater.id)
        if fit is None or fit.trials != trials:
            try:
                fit = Fit(trials, _engine.estimate(self.arrangements(rater, done)))
            except Exception as err:  # noqa: BLE001 (one rater must not stop the study)
                # Nothing in the log tells who it was: the page does.
                _log.error("a rater cannot be fitted (%s)", type(err).__name__)
                fit = Fit(trials, None, f"cannot be fitted: {err}")
            self._fits[rater.id] = fit
        return fit

    def next_trial(self, rater: Rater) -> tuple[StoredTrial | None, list[StoredTrial]]:
        """Return the trial to do and those done; no trial if the rater is finished.

        The trial is chosen once and stored: asked again, the same comes back.
        """
        with self._lock(rater.id):
            trials = self.store.trials(rater.id)
            done = [t for t in trials if t.counts]
            for trial in trials:
                if trial.done_at is None:
                    return trial, done
            if rater.finished_at is not None or self.is_finished(rater, done):
                self.store.mark(rater.id, "finished_at")
                return None, done
            # Voided trials keep their numbers.
            number = max((t.number for t in trials), default=0) + 1
            names = _engine.choose(
                self.known(rater, done),
                self.stimuli.names,
                n_max=min(self.config.max_items, len(self.stimuli.names)),
                rule=self.config.rule,
                seed=_engine.seed_of(self.config.seed, rater.id, number),
            )
            return self.store.show(rater.id, number, names), done

    @property
    def own_texts(self) -> dict[str, str]:
        """Texts of the language with those of the configuration, and how long data is kept."""
        config = self.config
        texts = dict(self.texts)
        for key in ("instructions", "consent"):
            if (own := getattr(config, key)) is not None:
                texts[key] = own
        if config.device:
            texts["consent"] += "\n\n" + texts["consent_device"]
        if config.keep_days is not None:
            if "{days}" not in texts["consent"]:
                texts["consent"] += "\n\n" + texts["consent_days"]
            texts["consent"] = texts["consent"].replace("{days}", str(config.keep_days))
        return texts

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
        """Return what is known of every rater whose trials can be fitted, by label."""
        return {label: fit.known for label, fit in self._each() if fit.known is not None}

    def problems(self) -> dict[str, str]:
        """Return what is wrong with raters who are left out of group results, by label."""
        return {label: fit.problem for label, fit in self._each() if fit.problem is not None}

    def _each(self) -> list[tuple[str, Fit]]:
        """Return the fit of every rater with a trial that counts."""
        done = {
            rater: [trial for trial in trials if trial.counts]
            for rater, trials in self.store.all_trials().items()
        }
        raters = self.store.raters()
        # Beside a server, its command line deletes raters, too.
        for gone in self._fits.keys() - {rater.id for rater in raters}:
            self._fits.pop(gone, None)
        return [(r.label, self.fit(r, done[r.id])) for r in raters if done.get(r.id)]

    def void(self, label: str, number: int, reason: str | None) -> None:
        """Mark a trial of a rater as void, with the reason; without one it is valid again."""
        if reason is not None and not reason.strip():
            raise InputError("expected the reason why the trial is void, got an empty text.")
        reason = None if reason is None else reason.strip()
        rater = self.rater_named(label)
        if not self.store.void(rater.id, number, reason):
            done = [str(t.number) for t in self.store.trials(rater.id) if t.done_at is not None]
            raise InputError(
                f"expected a trial that rater {label} has done "
                f"({', '.join(done) or 'none yet'}), got {number}."
            )
        _log.warning("a trial is %s", "valid again" if reason is None else "void")

    def forget(self, raters: list[Rater]) -> int:
        """Delete all that is known of raters; return how many trials that were."""
        if not raters:
            return 0
        trials = self.store.forget([rater.id for rater in raters])
        for rater in raters:
            self._fits.pop(rater.id, None)
        _log.warning("deleted the data of %d raters: %d trials", len(raters), trials)
        return trials

    def expired(self) -> list[Rater]:
        """Return the raters whose data was kept for as long as the configuration says."""
        if self.config.keep_days is None:
            return []
        oldest = time.time() - self.config.keep_days * 86400
        done = self.store.all_trials()
        return [
            rater
            for rater in self.store.raters()
            if rater.consented_at is not None
            and max([rater.consented_at, *(t.done_at for t in done.get(rater.id, ()))]) < oldest
        ]

    def rater_of(self, who: str) -> Rater:
        """Return a rater by label, by link or by the last part of the link."""
        rater = self.store.rater(re.split("[/#]", who.rstrip("/"))[-1])
        return self.rater_named(who) if rater is None else rater

    def rater_named(self, label: str) -> Rater:
        """Return a rater by the label that the experimenter sees."""
        raters = {rater.label: rater for rater in self.store.raters()}
        if label not in raters:
            raise InputError(
                f"expected a rater of this task (such as r0001, or a link), got {label!r}."
            )
        return raters[label]

    def _lock(self, rater: int) -> threading.Lock:
        """Return the lock of one rater: a trial is chosen once even if it is asked for twice."""
        with self._guard:
            return self._locks.setdefault(rater, threading.Lock())


def mean_evidence(fits: dict[str, ArrangementRDM]) -> np.ndarray:
    """Return the evidence of each pair, averaged over raters."""
    return np.mean([fit.evidence for fit in fits.values()], axis=0)
