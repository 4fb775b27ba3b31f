"""The configuration of a task: every key is known, every value is checked before it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from rsa_faces._core.configurations import Section, absolute, parse_yaml, read_utf8, sentences
from rsa_faces._core.errors import InputError

TOKEN_VARIABLE = "RSA_FACES_ARRANGE_TOKEN"  # noqa: S105 (a name, not a secret)


class _Section(Section):
    """A part of a configuration."""

    model_config = ConfigDict(allow_inf_nan=False)


class StimuliSource(_Section):
    """Images or clips of a folder, or the images of a data set that ships."""

    folder: Path | None = None
    manifest: Path | None = None
    dataset: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> StimuliSource:
        if (self.folder is None) == (self.dataset is None):
            raise ValueError("expected exactly one of folder, dataset.")
        if self.manifest is not None and self.folder is None:
            raise ValueError("expected `folder` beside `manifest`.")
        return self


class StopRule(_Section):
    """When a rater is done: after the trial in which the first of these is reached."""

    minutes: float | None = Field(default=None, gt=0)
    evidence: float | None = Field(default=None, gt=0)
    trials: int | None = Field(default=None, ge=1)
    share: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _one_at_least(self) -> StopRule:
        if self.minutes is None and self.evidence is None and self.trials is None:
            raise ValueError("expected at least one of minutes, evidence, trials.")
        return self


class RaterPlan(_Section):
    """Who may take part: people with a link of their own, or everybody who opens the page."""

    links: int = Field(default=0, ge=0, le=10_000)
    open: bool = False
    most: int = Field(default=1000, ge=1, le=100_000)
    per_address: int = Field(default=50, ge=1, le=100_000)
    code: str | None = Field(default=None, min_length=6, max_length=100)


class ArrangeConfig(_Section):
    """A multi-arrangement task; read with :func:`load_arrange_config`.

    Parameters
    ----------
    title : str
        What raters see above the task.
    stimuli : StimuliSource
        ``folder`` (and ``manifest``) of images or clips, or ``dataset`` (such as "images92").
    stop : StopRule
        ``minutes`` of arranging, ``evidence`` that a ``share`` of the pairs must reach, or number
        of ``trials``, whichever comes first.
    language : str, default "en"
        "en", "de", or a YAML file with the texts of ``languages/en.yaml`` in another language.
    instructions, consent : str, optional
        Texts shown before the task, paragraphs apart by empty lines; by default those of the
        language. Your ethics board decides what the consent says.
    max_items : int, default 20
        Most stimuli in a trial, 3 to 200.
    rule : {"lift-weakest", "random"}, default "lift-weakest"
        As for :func:`rsa_faces.behaviour.next_trial`.
    practice : bool, default True
        Whether a trial with coloured shapes comes first.
    arena : int, default 900
        Largest diameter of the arena on the screen, in CSS pixels; small screens have less.
    keep_days : int, optional
        So many days after a rater's last trial (or consent) the server deletes what it knows of
        them; export before. ``{days}`` in the consent text is this number; a text without it gets
        a sentence that says so. By default data is kept until you delete it.
    device : bool, default True
        Whether the size of the screen, to 100 pixels, and mouse or touch are stored with the
        consent; the text of the consent then says so.
    raters : RaterPlan
        ``links``: that many personal links are made at the start; ``open``: everybody who opens
        the page may take part, up to ``most`` raters, ``per_address`` a day from one address, and
        only with the ``code`` if there is one (``https://…/#CODE`` holds it already).
    database : str, default "sqlite:///arrange.sqlite"
        SQLAlchemy URL; an SQLite file is taken from the folder of the configuration. For
        PostgreSQL ``postgresql+psycopg://user@host/name``, with ``pip install 'psycopg[binary]'``.
    link_key : path, default "arrange.key"
        File with the key that the raters' links are made of; made at the first start. The database
        has only hashes of the links: without this file they work, but cannot be shown again.
    host, port : str and int, default "127.0.0.1" and 8000
        Where the server listens. 127.0.0.1 is this computer only.
    hosts : list of str
        Names under which browsers reach the server, such as "task.example.org", if not by number
        or as localhost; requests for other names are refused.
    encrypted_disk : bool, default False
        Say that the disk of the database and its backups is encrypted: what raters did is personal
        data. The program cannot see it; a task with `hosts` does not start without.
    plain_http : bool, default False
        Whether other computers may come without HTTPS: only in a network nobody else listens to.
    second_factor : bool, optional
        Whether the experimenter's page asks for the code of an authenticator app beside the token;
        by default where there are `hosts`.
    token_variable : str, default "RSA_FACES_ARRANGE_TOKEN"
        Environment variable with the experimenter's token, at least 22 characters, random. If it
        is not set, one is made at the first start and shown once.
    fastest : float, default 0.1
        Seconds per stimulus: a trial that is done in less time is none of a person, and the page
        has to wait.
    alert : list of str
        A command, such as ``[mail, -s, arrange, me@example.org]``, that gets a line on its input
        when something is unusual: many refused requests, a new browser or token, a code used twice.
    alert_after : int, default 100
        So many refused requests of one address in an hour are unusual, and a hundred times as many
        requests.
    seed : int, default 0
        Of the choice of trials; every rater and trial has its own.

    See Also
    --------
    load_arrange_config : Read the configuration of a multi-arrangement task from a YAML file.
    rsa_faces.behaviour.arrange.serve : Serve a task until it is stopped (Ctrl-C).

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import load_arrange_config
    >>> task = load_arrange_config("task.yaml")  # doctest: +SKIP
    >>> task.language, task.max_items  # doctest: +SKIP
    """

    title: str = Field(min_length=1, max_length=200)
    stimuli: StimuliSource
    stop: StopRule
    language: str = "en"
    instructions: str | None = None
    consent: str | None = None
    max_items: int = Field(default=20, ge=3, le=200)
    rule: Literal["lift-weakest", "random"] = "lift-weakest"
    practice: bool = True
    arena: int = Field(default=900, ge=300, le=4000)
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    raters: RaterPlan = Field(default_factory=RaterPlan)
    database: str = "sqlite:///arrange.sqlite"
    device: bool = True
    link_key: Path = Path("arrange.key")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    hosts: tuple[str, ...] = ()
    encrypted_disk: bool = False
    plain_http: bool = False
    second_factor: bool | None = None
    fastest: float = Field(default=0.1, ge=0, le=10)
    alert: tuple[str, ...] = ()
    alert_after: int = Field(default=100, ge=1)
    token_variable: str = TOKEN_VARIABLE
    seed: int = Field(default=0, ge=0)

    @field_validator("instructions", "consent")
    @classmethod
    def _not_empty(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("expected a text; leave the key out for the text of the language.")
        return value

    @field_validator("database")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if "://" not in value:
            raise ValueError("expected a URL such as sqlite:///arrange.sqlite.")
        return value

    @model_validator(mode="after")
    def _somebody(self) -> ArrangeConfig:
        if not self.raters.open and self.raters.links > self.raters.most:
            raise ValueError(f"expected at most raters.most={self.raters.most} links.")
        if self.keep_days is None and self.consent is not None and "{days}" in self.consent:
            raise ValueError("expected keep_days, because the consent text names {days}.")
        if self.hosts and not self.encrypted_disk:
            raise ValueError(
                "expected encrypted_disk: true with hosts. Raters' data is personal: encrypt the "
                "disk of the database and of its backups, and say so here."
            )
        return self

    @property
    def asks_code(self) -> bool:
        """Whether the experimenter's page asks for a second factor."""
        return bool(self.hosts) if self.second_factor is None else self.second_factor


def load_arrange_config(path: str | os.PathLike[str]) -> ArrangeConfig:
    """Read the configuration of a multi-arrangement task from a YAML file.

    Parameters
    ----------
    path : path-like
        The file. Relative paths inside it (stimuli, language file, SQLite file) are taken from
        its folder.

    Returns
    -------
    ArrangeConfig
        Checked, with absolute paths.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is not YAML, a key is unknown (the nearest is named) or a value is wrong.

    See Also
    --------
    ArrangeConfig : A multi-arrangement task; read with :func:`load_arrange_config`.
    rsa_faces.behaviour.arrange.serve : Serve a task until it is stopped (Ctrl-C).

    Examples
    --------
    >>> from rsa_faces.behaviour.arrange import load_arrange_config
    >>> load_arrange_config("task.yaml").max_items  # doctest: +SKIP
    20
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a configuration file, but {path} does not exist.")
    raw = parse_yaml(read_utf8(path), str(path))
    try:
        config = ArrangeConfig.model_validate(raw)
    except ValidationError as err:
        raise InputError(sentences(err, str(path))) from err
    return _with_paths(config, path.resolve().parent)


def _with_paths(config: ArrangeConfig, folder: Path) -> ArrangeConfig:
    """Return the configuration with relative paths taken from `folder`."""
    changes: dict[str, Any] = {}
    if config.language.endswith((".yaml", ".yml")):
        changes["language"] = str(folder / config.language)
    scheme, _, name = config.database.partition(":///")
    if scheme.startswith("sqlite") and name and not name.startswith((":memory:", "file:")):
        changes["database"] = f"{scheme}:///{folder / name}"
    return absolute(config, folder).model_copy(update=changes)
