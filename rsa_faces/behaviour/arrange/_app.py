"""The web application: pages, what the task asks for, and what the experimenter asks for."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from sqlalchemy.exc import OperationalError

from rsa_faces._core.errors import InputError
from rsa_faces.behaviour.arrange._export import EXPORTS, person_json, rater_rdms
from rsa_faces.behaviour.arrange._security import (
    FRESH_SECONDS,
    MAX_TOKEN,
    SESSION_SECONDS,
    Attempts,
    Quota,
    Session,
    Sessions,
    Shield,
    address_of,
    is_loopback,
)
from rsa_faces.behaviour.arrange._store import DatabaseBusyError, Rater, StoredTrial
from rsa_faces.behaviour.arrange._study import Study, mean_evidence
from rsa_faces.behaviour.raters import group_rdm, rater_agreement
from rsa_faces.rdm import concat

_log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
N_THREADS = 4
COOKIE = "rsa_faces_experimenter"
DEVICE = "rsa_faces_device"
DEVICE_SECONDS = 180 * 86_400

# Positions are in diameters of the arena from its centre.
RADIUS, TOLERANCE = 0.5, 1e-3

_ITEM = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_Coordinate = Annotated[
    float, Field(ge=-RADIUS - TOLERANCE, le=RADIUS + TOLERANCE, allow_inf_nan=False, strict=True)
]


class _Body(BaseModel):
    """A request: nothing but what is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Finer than a pixel; what is smaller says nothing and would only be lost in squares.
DECIMALS = 5


class Placement(_Body):
    """Where one stimulus was left, rounded to what a screen can show."""

    item: _ITEM
    x: _Coordinate
    y: _Coordinate

    @field_validator("x", "y")
    @classmethod
    def _round(cls, value: float) -> float:
        return round(value, DECIMALS) + 0.0  # no -0.0

    @model_validator(mode="after")
    def _inside(self) -> Placement:
        if math.hypot(self.x, self.y) > RADIUS + TOLERANCE:
            raise ValueError("outside the arena")
        return self


class Submission(_Body):
    """A trial that is done."""

    placements: list[Placement] = Field(min_length=3, max_length=200)
    seconds: float = Field(ge=0, le=7 * 86400, allow_inf_nan=False, strict=True)


class Login(_Body):
    """The experimenter's token, and the code of the second factor."""

    token: str = Field(min_length=1, max_length=MAX_TOKEN)
    code: str = Field(default="", max_length=6)


class Void(_Body):
    """Why a trial is void; without a reason it is valid again."""

    reason: str | None = Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")


class Consent(_Body):
    """What comes with the consent: what a rater works with, coarse."""

    width: int = Field(default=0, ge=0, le=20_000, strict=True)
    height: int = Field(default=0, ge=0, le=20_000, strict=True)
    pointer: Literal["mouse", "touch"] = "mouse"


class Enrolment(_Body):
    """What somebody who comes by themselves gives."""

    code: str = Field(default="", max_length=100)


class NewRaters(_Body):
    """How many links to make."""

    count: int = Field(ge=1, le=500, strict=True)


def make_app(study: Study) -> FastAPI:
    """Return the application of one task."""
    # The generated documentation of an API loads scripts from elsewhere: off.
    app = FastAPI(
        title="rsa-faces arrange",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_running,
    )
    plain_http = study.config.plain_http
    app.add_middleware(Shield, watch=study.watch, hosts=study.config.hosts, plain_http=plain_http)
    app.state.study = study
    app.add_exception_handler(RequestValidationError, _refused)
    for error in (DatabaseBusyError, OperationalError):
        app.add_exception_handler(error, _busy)
    app.include_router(_pages(study))
    app.include_router(_task(study))
    app.state.attempts = Attempts()
    app.include_router(_experimenter(study, Sessions(), app.state.attempts))
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


@contextlib.asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Answer in few threads, and delete what is not to be kept any longer."""
    # More threads only compete, and each holds a connection.
    anyio.to_thread.current_default_thread_limiter().total_tokens = N_THREADS
    deleting = asyncio.create_task(_delete_expired(app.state.study))
    yield
    deleting.cancel()


async def _delete_expired(study: Study) -> None:
    """Delete the data of raters whose time is over, now and every hour."""
    while study.config.keep_days is not None:
        try:
            await anyio.to_thread.run_sync(lambda: study.forget(study.expired()))
        except Exception as err:  # noqa: BLE001 (the database may be busy; raters come first)
            _log.error("could not delete expired data, trying again in an hour: %s", err)
        await asyncio.sleep(3600)


async def _refused(request: Request, err: RequestValidationError) -> JSONResponse:
    """Say what is wrong without sending back what came (it may be long, or no JSON)."""
    problems = [
        {"where": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in err.errors()[:10]
    ]
    return JSONResponse({"detail": problems}, status_code=422)


async def _busy(request: Request, err: Exception) -> JSONResponse:
    """Say that the database is locked or its disk full: pages send again until it is not."""
    _log.error("the database cannot be used: %s", getattr(err, "orig", err))
    return JSONResponse(
        {"detail": "the database cannot be used at the moment"}, 503, {"retry-after": "5"}
    )


# --- pages ------------------------------------------------------------------------------------


def _pages(study: Study) -> APIRouter:
    """Return the routes of pages, texts and stimuli."""
    router = APIRouter()

    # Links have their secret behind a #, where no server and no log sees it; older ones do not.
    @router.get("/")
    @router.get("/t")
    @router.get("/t/{token}")
    def page(token: str = "") -> FileResponse:
        return FileResponse(STATIC / "task.html", headers={"cache-control": "no-store"})

    @router.get("/experimenter")
    def experimenter_page() -> FileResponse:
        return FileResponse(STATIC / "experimenter.html", headers={"cache-control": "no-store"})

    @router.get("/favicon.ico")
    def icon() -> FileResponse:
        return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")

    @router.get("/api/texts")
    def texts() -> dict:
        config = study.config
        return {
            "title": config.title,
            "texts": study.own_texts,
            "arena": config.arena,
            "enrolment": config.raters.open,
            "needs_code": config.raters.code is not None,
        }

    quota, guesses = Quota(study.config.raters.per_address), Attempts()

    @router.post("/api/enrol")
    def enrol(body: Enrolment, request: Request) -> dict:
        plan, address = study.config.raters, address_of(request.scope)
        if not plan.open:
            raise HTTPException(403, "closed")
        if plan.code is not None:
            # Each address for itself: strangers must not close the door to a class.
            if wait := guesses.wait(address, known=True):
                raise HTTPException(409, "wait", {"retry-after": str(wait)})
            if not hmac.compare_digest(body.code.strip().encode(), plan.code.encode()):
                guesses.failed(address, known=True)
                raise HTTPException(403, "wrong code")
        if not quota.take(address):
            raise HTTPException(409, "too many from this address")
        rater = study.enrol()
        if rater is None:
            raise HTTPException(409, "full")
        return {"path": f"/t#{rater.token}"}

    @router.get("/stimuli/{public}")
    def stimulus(public: str) -> Response:
        if study.stimuli.name(public) is None:
            raise HTTPException(404, "unknown stimulus")
        # The id is made of the content: what it names never changes.
        headers = {"cache-control": "private, max-age=604800, immutable"}
        if study.stimuli.clips:
            path, kind = study.stimuli.clip(public)
            return FileResponse(path, media_type=kind, headers=headers)
        try:
            content, kind = study.stimuli.picture(public)
        except InputError as err:
            # The file is gone or another one: raters must not see what was not meant.
            _log.error("%s", err)
            raise HTTPException(410, "changed") from err
        return Response(content, media_type=kind, headers=headers)

    return router


# --- the task ---------------------------------------------------------------------------------


def _who(request: Request) -> Rater:
    """Return the rater of a link."""
    rater = request.app.state.study.store.rater(_bearer(request))
    if rater is None:
        raise HTTPException(404, "unknown link")
    return rater


def _bearer(request: Request) -> str:
    """Return the secret of a link, which no address holds."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


_Who = Annotated[Rater, Depends(_who)]


def _task(study: Study) -> APIRouter:
    """Return the routes of the raters: each needs the link."""
    router = APIRouter(prefix="/api/t")

    def state(rater: Rater | None) -> dict:
        trial, done = None, None
        if rater is None:
            raise HTTPException(404, "unknown link")  # deleted in this moment
        if rater.consented_at is None:
            phase = "consent"
        elif rater.practised_at is None:
            phase = "practice" if study.config.practice else "instructions"
        else:
            trial, done = study.next_trial(rater)
            phase = "finished" if trial is None else "trial"
            if trial is None:
                rater = study.store.rater_again(rater)
        if rater is None:
            raise HTTPException(404, "unknown link")  # deleted in this moment
        if done is None:
            done = [t for t in study.store.trials(rater.id) if t.counts]
        return {
            "phase": phase,
            "trial": None if trial is None else _shown(trial, study),
            "progress": study.progress(rater, done),
        }

    @router.get("")
    def get_state(rater: _Who) -> dict:
        return state(rater)

    @router.post("/consent")
    def consent(rater: _Who, body: Consent | None = None) -> dict:
        if body is not None and body.width and study.config.device:
            width, height = (100 * round(size / 100) for size in (body.width, body.height))
            study.store.set_device(rater.id, f"{width}x{height}", body.pointer)
        study.store.mark(rater.id, "consented_at")
        return state(study.store.rater_again(rater))

    @router.post("/ready")
    def ready(rater: _Who) -> dict:
        if rater.consented_at is None:
            raise HTTPException(403, "no consent")
        study.store.mark(rater.id, "practised_at")
        return state(study.store.rater_again(rater))

    @router.post("/trials/{trial}")
    def submit(trial: str, body: Submission, rater: _Who) -> dict:
        items = [p.item for p in body.placements]
        names = [study.stimuli.name(item) for item in items]
        if None in names or len(set(items)) != len(items):
            raise HTTPException(422, "expected each stimulus of the trial once")
        xy = {n: (p.x, p.y) for n, p in zip(names, body.placements, strict=True)}
        fastest = study.config.fastest * len(items)
        outcome = study.store.submit(rater.id, trial, xy, body.seconds, fastest)
        if outcome == "early":
            raise HTTPException(429, "too fast", {"retry-after": str(math.ceil(fastest))})
        if outcome == "unknown":
            raise HTTPException(404, "unknown trial")
        if outcome == "names":
            raise HTTPException(422, "expected each stimulus of the trial once")
        if outcome == "other":
            raise HTTPException(409, "this trial was saved with other positions")
        return {"saved": True, "again": outcome == "again"}

    return router


def _shown(trial: StoredTrial, study: Study) -> dict:
    """Return a trial as the page gets it: ids that say nothing about the stimuli."""
    return {
        "id": trial.id,
        "number": trial.number,
        "clips": study.stimuli.clips,
        "items": [study.stimuli.ids[name] for name in trial.names],
    }


# --- the experimenter -------------------------------------------------------------------------


def _cookie(request: Request, name: str, path: str = "/api/experimenter") -> dict:
    """Return name and properties of a cookie."""
    common = {"httponly": True, "samesite": "strict"}
    if request.url.scheme == "https":
        # No other host of the domain, and nothing without TLS, can set such a cookie.
        return {"key": f"__Host-{name}", "secure": True, "path": "/", **common}
    return {"key": name, "secure": False, "path": path, **common}


def _kept(request: Request, name: str) -> str:
    """Return what a browser keeps in a cookie."""
    return request.cookies.get(_cookie(request, name)["key"], "")


def _experimenter(study: Study, sessions: Sessions, attempts: Attempts) -> APIRouter:
    """Return the routes of the experimenter: each but the log-in needs a session."""
    router = APIRouter(prefix="/api/experimenter")

    def allowed(request: Request) -> Session:
        automatic = "x-automatic" in request.headers
        found = sessions.find(_kept(request, COOKIE), study.token_hash, automatic=automatic)
        if found is None:
            asked = "token and code needed" if study.config.asks_code else "token needed"
            raise HTTPException(401, asked)
        return found

    def fresh(request: Request) -> None:
        if time.monotonic() - allowed(request).begun > FRESH_SECONDS:
            raise HTTPException(403, "log in again")

    guarded, once_more = [Depends(allowed)], [Depends(fresh)]

    def audit(what: str, request: Request) -> None:
        _log.warning("%s for the experimenter at %s", what, address_of(request.scope))

    @router.post("/login", status_code=204)
    def login(body: Login, request: Request, response: Response) -> None:
        address, device = address_of(request.scope), _kept(request, DEVICE)
        known = study.is_device(device)
        # Whoever sits at the server gets in, however many elsewhere guess.
        at_ease = known or is_loopback(address)
        if wait := attempts.wait(address, known=at_ease):
            raise HTTPException(429, "too many wrong tokens", {"retry-after": str(wait)})
        if not (study.is_token(body.token) and study.is_code(body.code)):
            attempts.failed(address, known=at_ease)
            _log.warning("wrong experimenter's token from %s", address)
            raise HTTPException(401, "wrong token")
        attempts.passed(address)
        sessions.end(_kept(request, COOKIE))
        session = sessions.begin(study.token_hash, address)
        _log.warning("experimenter logged in from %s", address)
        if not known:
            device = study.device(secrets.token_hex(16))
            study.watch.tell(f"the experimenter logged in with a new browser from {address}")
        response.set_cookie(value=session, max_age=SESSION_SECONDS, **_cookie(request, COOKIE))
        response.set_cookie(value=device, max_age=DEVICE_SECONDS, **_cookie(request, DEVICE))

    @router.post("/logout", status_code=204)
    def logout(request: Request, response: Response) -> None:
        sessions.end(_kept(request, COOKIE))
        response.delete_cookie(**_cookie(request, COOKIE))

    @router.get("/sessions")
    def list_sessions(request: Request) -> list[dict]:
        own = allowed(request)
        return [
            {
                "name": one.name,
                "address": one.address,
                "begun_at": one.begun_at,
                "last_at": one.last_at,
                "own": one.name == own.name,
            }
            for one in sessions.all(study.token_hash)
        ]

    @router.delete("/sessions/{name}", dependencies=once_more, status_code=204)
    def end_session(name: str) -> None:
        sessions.end(name=name)

    @router.get("/overview", dependencies=guarded)
    def overview() -> dict:
        done = study.store.all_trials()
        raters = []
        for rater in study.store.raters():
            trials = done.get(rater.id, [])
            counting = [t for t in trials if t.counts]
            last = max((t.done_at for t in trials), default=None)
            raters.append(
                {
                    "rater": rater.label,
                    "path": None if rater.token is None else f"/t#{rater.token}",
                    "created_at": rater.created_at,
                    "consented_at": rater.consented_at,
                    "finished_at": rater.finished_at,
                    "last_at": last,
                    "progress": study.progress(rater, counting),
                    "n_voided": len(trials) - len(counting),
                    "problem": study.fit(rater, counting).problem if counting else None,
                }
            )
        return {
            "title": study.config.title,
            "n_stimuli": len(study.stimuli.names),
            "n_trials": sum(t.counts for trials in done.values() for t in trials),
            "stop": study.config.stop.model_dump(),
            "exports": list(EXPORTS),
            "raters": raters,
        }

    @router.post("/raters", dependencies=guarded)
    def new_raters(body: NewRaters) -> list[dict]:
        made = study.store.add_raters(body.count, most=study.config.raters.most)
        return [{"rater": r.label, "path": f"/t#{r.token}"} for r in made]

    def named(label: str) -> Rater:
        try:
            return study.rater_named(label)
        except InputError as err:
            raise HTTPException(404, "unknown rater") from err

    @router.get("/raters/{label}/export", dependencies=guarded)
    def export_person(label: str, request: Request) -> Response:
        rater = named(label)
        audit("all data of one person", request)
        disposition = {"content-disposition": f'attachment; filename="{rater.label}.json"'}
        return Response(
            person_json(study, rater), media_type="application/json", headers=disposition
        )

    @router.delete("/raters/{label}", dependencies=once_more, status_code=204)
    def forget(label: str) -> None:
        study.forget([named(label)])

    @router.get("/raters/{label}/trials", dependencies=guarded)
    def trials_of(label: str) -> list[dict]:
        return [
            {
                "number": t.number,
                "n_items": len(t.names),
                "done_at": t.done_at,
                "seconds": t.seconds,
                "voided_at": t.voided_at,
                "void_reason": t.void_reason,
            }
            for t in study.store.trials(named(label).id)
            if t.done_at is not None
        ]

    @router.post("/raters/{label}/trials/{number}/void", dependencies=guarded, status_code=204)
    def void(label: str, number: int, body: Void) -> None:
        named(label)
        try:
            study.void(label, number, body.reason)
        except InputError as err:
            raise HTTPException(422, str(err)) from err

    @router.get("/matrix/{kind}", dependencies=guarded)
    def matrix(kind: Literal["rdm", "evidence"], rater: str = "") -> dict:
        fits = study.fits()
        if rater:
            if rater not in {r.label for r in study.store.raters()}:
                raise HTTPException(404, "unknown rater")
            fits = {label: fit for label, fit in fits.items() if label == rater}
        values = None
        if fits and kind == "evidence":
            values = mean_evidence(fits)
        elif fits:
            rdms = concat([fit.rdms.with_labels(rater=[k]) for k, fit in fits.items()])
            values = group_rdm(rdms, evidence=[fit.evidence for fit in fits.values()]).vectors[0]
        names = study.stimuli.names
        return {
            "names": names,
            "items": [study.stimuli.ids[name] for name in names],
            "clips": study.stimuli.clips,
            "n_raters": len(fits),
            "values": None
            if values is None
            else [None if np.isnan(v) else round(float(v), 4) for v in values],
        }

    @router.get("/agreement", dependencies=guarded)
    def agreement() -> list[dict]:
        raters = rater_rdms(study)
        if raters is None or len(raters.rdms) < 3:
            return []
        table = rater_agreement(raters.rdms, evidence=raters.evidence)
        return [
            {
                "rater": row.rater,
                "r": None if np.isnan(row.r) else round(row.r, 4),
                "reason": row.reason,
            }
            for row in table.itertuples()
        ]

    @router.get("/export/{name}", dependencies=guarded)
    def export(name: str, request: Request) -> Response:
        if name not in EXPORTS:
            raise HTTPException(404, "unknown export")
        audit(name, request)
        content, kind = EXPORTS[name]
        disposition = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content(study), media_type=kind, headers=disposition)

    return router
