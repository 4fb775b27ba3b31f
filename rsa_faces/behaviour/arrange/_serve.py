"""Start a task, or write out what it has collected."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces._core.optional import require
from rsa_faces._core.warning import warn
from rsa_faces.behaviour.arrange._config import ArrangeConfig
from rsa_faces.behaviour.arrange._keys import forbid_dumps

if TYPE_CHECKING:
    from fastapi import FastAPI

    from rsa_faces.behaviour.arrange._study import Study

_log = logging.getLogger(__name__)


def create_app(config: ArrangeConfig, *, token: str | None = None) -> FastAPI:
    """Make the web application of a task, to be served by any ASGI server (one process).

    Parameters
    ----------
    config : ArrangeConfig
        From :func:`load_arrange_config`.
    token : str, optional
        The experimenter's token, at least 22 characters; by default that of the environment
        variable `config.token_variable`, or the one made at the first start.

    Returns
    -------
    FastAPI
        ``app.state.study`` gives access to the database; ``app.state.new_token`` and
        ``app.state.new_second_factor`` (the address for an authenticator app) are there if they
        were made now (they are not kept and cannot be shown again), else None.

    Raises
    ------
    MissingExtraError
        If FastAPI, SQLAlchemy or the database's driver is not installed.
    InputError
        If stimuli, language file or database cannot be used, the database holds trials of other
        stimuli, or the token is too short.

    See Also
    --------
    serve : Serve a task until it is stopped (Ctrl-C).
    rsa_faces.behaviour.arrange.load_arrange_config

    Notes
    -----
    Positions are in diameters of the arena, x to the right, y up, from its centre; what lies
    outside (beyond 0.5 + 0.001) is refused. A trial is chosen when it is shown first and stored
    at once, so that the same comes back until it is done; it is saved in one transaction, and
    saving the same again changes nothing. With SQLite (write-ahead log, every commit on the
    disk) what was acknowledged survives a crash.

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import create_app, load_arrange_config
    >>> app = create_app(load_arrange_config("task.yaml"))  # doctest: +SKIP
    """
    study, made = _open(config, token)
    from rsa_faces.behaviour.arrange._app import make_app

    app = make_app(study)
    app.state.new_token, app.state.new_second_factor = made
    return app


def serve(
    config: ArrangeConfig,
    *,
    new_token: bool = False,
    on_ready: Callable[[str, str | None, str | None], None] | None = None,
) -> None:
    """Serve a task until it is stopped (Ctrl-C).

    Parameters
    ----------
    config : ArrangeConfig
        From :func:`load_arrange_config`.
    new_token : bool, default False
        Make a new experimenter's token; the old one is no longer valid.
    on_ready : callable, optional
        Called with the server's address, and with the token and the address of the second factor
        if they were made now, else None.

    Raises
    ------
    MissingExtraError, InputError
        As for :func:`create_app`, or if the port is taken.

    See Also
    --------
    create_app : Make the web application of a task, to be served by any ASGI server (one process).
    rsa_faces.behaviour.arrange.load_arrange_config
    export_study : Write everything collected into a folder; the task may be running.

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import load_arrange_config, serve
    >>> serve(load_arrange_config("task.yaml"))  # doctest: +SKIP
    """
    uvicorn = require("uvicorn", extra="arrange", purpose="The arrangement task")
    for module in ("fastapi", "sqlalchemy"):
        require(module, extra="arrange", purpose="The arrangement task")
    from rsa_faces.behaviour.arrange import _connections
    from rsa_faces.behaviour.arrange._app import make_app

    # The port first: a token made for a server that does not start would be lost.
    try:
        listening = _connections.listen(config.host, config.port)
    except OSError as err:
        raise InputError(
            f"cannot listen at {config.host} port {config.port}: {err.strerror}. Choose another "
            "port in the configuration, or stop what uses it (`rsa-faces arrange new-token` "
            "replaces the token of a server that runs)."
        ) from err
    try:
        study, made = _open(config, None, new_token)
    except BaseException:
        listening.close()
        raise
    host = f"[{config.host}]" if ":" in config.host else config.host
    if on_ready is not None:
        on_ready(f"http://{host}:{listening.getsockname()[1]}", *made)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        _log.warning("running as root: give the task an account of its own (docs/security.md)")
    forbid_dumps()
    _connections.Connection.most = _connections.most_connections()
    # No access log: it would hold the raters' links.
    settings = uvicorn.Config(
        make_app(study),
        http=_connections.Connection,
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=_connections.IDLE_SECONDS,
        backlog=_connections.AT_ONCE,
    )
    sparse = _connections.Sparse()
    ours = (f"rsa_faces.behaviour.arrange.{name}" for name in ("_app", "_security"))
    for name in ("uvicorn.error", "asyncio", *ours):
        logging.getLogger(name).addFilter(sparse)
    try:
        _connections.Server(settings).run(sockets=[listening])
    finally:
        listening.close()
        study.store.close()


def new_token(config: ArrangeConfig) -> tuple[str, str | None]:
    """Make a new experimenter's token and second factor; the old ones are dead at once.

    Parameters
    ----------
    config : ArrangeConfig
        From :func:`load_arrange_config`; its server may be running.

    Returns
    -------
    token : str
        Only its hash is kept.
    second_factor : str or None
        The address for an authenticator app, where the configuration asks for one.

    Raises
    ------
    MissingExtraError, InputError
        As for :func:`create_app`, or if `config.token_variable` holds a token.

    See Also
    --------
    serve : Serve a task until it is stopped (Ctrl-C).

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import load_arrange_config, new_token
    >>> token, _ = new_token(load_arrange_config("task.yaml"))  # doctest: +SKIP
    """
    with _study(config) as study:
        return study.set_token(new=True), study.set_second_factor(new=True)


def export_study(config: ArrangeConfig, folder: str | os.PathLike[str]) -> list[Path]:
    """Write everything collected into a folder; the task may be running.

    Parameters
    ----------
    config : ArrangeConfig
        From :func:`load_arrange_config`.
    folder : path-like
        Gets ``trials.csv`` (read by :func:`rsa_faces.behaviour.read_arrangements`), ``voided.csv``
        (trials that do not count, see :func:`void_trial`), ``rdms.csv``
        and ``arrangements.h5`` (read by :func:`rsa_faces.load_rdms`; the HDF5 file holds trials
        and evidence too), ``evidence.csv``, and ``arrangements.json`` (everything but links and
        tokens).

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    MissingExtraError, InputError
        As for :func:`create_app`, or if a file could not be made; the others are there then.

    Warns
    -----
    UserWarning
        For each rater whose trials cannot be fitted: they are in the trials and in no RDM.

    See Also
    --------
    export_person : Write everything that is stored of one person; the task may be running.
    rsa_faces.behaviour.read_arrangements : Read positions from a table.

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import export_study, load_arrange_config
    >>> export_study(load_arrange_config("task.yaml"), "collected")  # doctest: +SKIP
    """
    with _study(config) as study:
        from rsa_faces.behaviour.arrange._export import write_all

        for label, problem in study.problems().items():
            warn(f"rater {label} {problem}: left out of RDMs, kept in the trials")
        return write_all(study, Path(folder))


def void_trial(config: ArrangeConfig, rater: str, trial: int, reason: str | None) -> None:
    """Mark a trial as void, or as valid again; the task may be running.

    Parameters
    ----------
    config : ArrangeConfig
        From :func:`load_arrange_config`.
    rater : str
        As the experimenter's page names them, such as "r0001".
    trial : int
        Its number.
    reason : str or None
        Kept with the trial and exported with it; None makes the trial valid again.

    Raises
    ------
    MissingExtraError, InputError
        As for :func:`create_app`, or if there is no such rater or trial, or the reason is empty.

    See Also
    --------
    forget_raters : Delete all that is stored of a person; the task may be running.
    export_study : Write everything collected into a folder; the task may be running.

    Notes
    -----
    A void trial is kept. RDMs, evidence, agreement and ``trials.csv`` are without it;
    ``voided.csv`` and ``arrangements.json`` have it with the reason. A rater who is not finished
    yet gets another trial for it.

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import load_arrange_config, void_trial
    >>> void_trial(load_arrange_config("task.yaml"), "r0001", 2, "interrupted")  # doctest: +SKIP
    """
    check_arguments(void_trial, locals())
    with _study(config) as study:
        study.void(rater, trial, reason)


def export_person(config: ArrangeConfig, rater: str, folder: str | os.PathLike[str]) -> Path:
    """Write everything that is stored of one person; the task may be running.

    Parameters
    ----------
    config : ArrangeConfig
        From :func:`load_arrange_config`.
    rater : str
        The rater's link or id, such as "r0001".
    folder : path-like
        Gets ``r0001.json``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingExtraError, InputError
        As for :func:`create_app`, or if there is no such rater.

    See Also
    --------
    export_study : Write everything collected into a folder; the task may be running.
    forget_raters : Delete all that is stored of a person; the task may be running.

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import export_person, load_arrange_config
    >>> export_person(load_arrange_config("task.yaml"), "r0001", "theirs")  # doctest: +SKIP
    """
    with _study(config) as study:
        from rsa_faces.behaviour.arrange._export import person_json, write_private

        one = study.rater_of(rater)
        path = Path(folder) / f"{one.label}.json"
        write_private(path, person_json(study, one))
        return path


def forget_raters(config: ArrangeConfig, rater: str | None = None) -> tuple[int, int]:
    """Delete all that is stored of a person; the task may be running.

    Parameters
    ----------
    config : ArrangeConfig
        From :func:`load_arrange_config`.
    rater : str, optional
        The rater's link or id, such as "r0001"; by default everybody whose ``keep_days`` are over.

    Returns
    -------
    n_raters, n_trials : int
        How many were deleted.

    Raises
    ------
    MissingExtraError, InputError
        As for :func:`create_app`, or if there is no such rater.

    See Also
    --------
    export_person : Write everything that is stored of one person; the task may be running.
    void_trial : Mark a trial as void, or as valid again; the task may be running.

    Notes
    -----
    The link is dead from then on, and the id is not given again. SQLite overwrites what was
    deleted; PostgreSQL does at its next vacuum. Files exported before and backups still hold it.

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import forget_raters, load_arrange_config
    >>> forget_raters(load_arrange_config("task.yaml"), "r0001")  # doctest: +SKIP
    (1, 12)
    """
    with _study(config) as study:
        raters = study.expired() if rater is None else [study.rater_of(rater)]
        return len(raters), study.forget(raters)


@contextlib.contextmanager
def _study(config: ArrangeConfig) -> Iterator[Study]:
    """Open a task beside its server, and close it."""
    require("sqlalchemy", extra="arrange", purpose="The arrangement task")
    from rsa_faces.behaviour.arrange._study import Study

    study = Study(config)
    try:
        yield study
    finally:
        study.store.close()


def _open(config: ArrangeConfig, token: str | None, new_token: bool = False):
    """Return the study, and token and second factor if they were made now."""
    for module in ("fastapi", "sqlalchemy"):
        require(module, extra="arrange", purpose="The arrangement task")
    from rsa_faces.behaviour.arrange._study import Study

    study = Study(config)
    made = study.set_token(token, new=new_token)
    return study, (made, study.set_second_factor(new=new_token))
