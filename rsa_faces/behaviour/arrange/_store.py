"""The database: raters and their trials; one transaction per change."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import URL, Row, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from rsa_faces._core.errors import InputError, MissingExtraError
from rsa_faces.behaviour._trials import Trial
from rsa_faces.behaviour.arrange._keys import Keeper

_metadata = sa.MetaData()
_settings = sa.Table(
    "settings",
    _metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_raters = sa.Table(
    "raters",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(40), nullable=False, unique=True),
    sa.Column("token", sa.String(40), nullable=False, unique=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("consented_at", sa.Double),
    sa.Column("practised_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.Column("nonce", sa.String(40)),
    sa.Column("screen", sa.String(20)),
    sa.Column("pointer", sa.String(10)),
)
_trials = sa.Table(
    "trials",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("rater_id", sa.ForeignKey("raters.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("names", sa.Text, nullable=False),
    sa.Column("shown_at", sa.Double, nullable=False),
    sa.Column("done_at", sa.Double),
    sa.Column("seconds", sa.Double),
    sa.Column("xy", sa.Text),
    sa.Column("voided_at", sa.Double),
    sa.Column("void_reason", sa.Text),
    sa.UniqueConstraint("rater_id", "number"),
)

MOMENTS = ("consented_at", "practised_at", "finished_at")
# Less than the page waits for an answer: it is told, and sends again.
BUSY_SECONDS = 10

# What links and trials are made of; anything else is not looked up.
_MADE = re.compile(r"[A-Za-z0-9_-]{1,40}")


class DatabaseBusyError(Exception):
    """The database cannot be written to at the moment."""


@dataclass(frozen=True)
class Rater:
    """A rater; the token of their link is None where this server's key did not make it."""

    id: int
    label: str
    token: str | None
    created_at: float
    consented_at: float | None
    practised_at: float | None
    finished_at: float | None
    screen: str | None = None
    pointer: str | None = None


@dataclass(frozen=True)
class StoredTrial:
    """A trial as it was shown and, once it is done, as it was left."""

    id: str
    number: int
    names: tuple[str, ...]
    shown_at: float
    done_at: float | None = None
    seconds: float | None = None
    xy: tuple[tuple[float, float], ...] | None = None
    voided_at: float | None = None
    void_reason: str | None = None

    @property
    def counts(self) -> bool:
        """Whether the trial is done and was not voided."""
        return self.done_at is not None and self.voided_at is None

    @property
    def trial(self) -> Trial:
        """The arrangement, for the mathematics."""
        return Trial(self.names, np.array(self.xy), self.seconds)

    @property
    def active(self) -> float:
        """Seconds of arranging: what the page counted, at most the time since it was shown."""
        return min(self.seconds, max(self.done_at - self.shown_at, 0.0))


class Store:
    """Raters and trials in an SQL database.

    Links are not in it: their tokens are made of a key, which is not in the database, and a random
    number for each rater, and found by their hash.
    """

    def __init__(self, url: str, keeper: Keeper) -> None:
        self.keeper = keeper
        self._engine = _connect(url)
        self._sqlite = self._engine.dialect.name == "sqlite"
        # SQLite has one writer at a time; a queue here is fairer than its polling.
        self._one_writer = threading.Lock()
        try:
            with self._writing() as db:
                _metadata.create_all(db)
                _add_columns(db)
                changed = _hash_links(db)
            if changed:
                self._empty_log()
        except DBAPIError as err:
            raise InputError(
                f"expected a database at {self._engine.url!r}, but it cannot be used: {err.orig}."
            ) from err

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        self.keeper.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Open one transaction that writes."""
        with self._in_turn(), self._engine.connect() as bare:
            db = bare.execution_options(writes=True)
            with db.begin():
                yield db

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Wait for the writer before, but not longer than for one elsewhere."""
        if not self._sqlite:
            yield
            return
        if not self._one_writer.acquire(timeout=BUSY_SECONDS):
            raise DatabaseBusyError("another writer holds the database")
        try:
            yield
        finally:
            self._one_writer.release()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """Open one transaction that reads: everything in it is of the same moment."""
        with self._engine.connect() as db, db.begin():
            yield db

    # --- settings -----------------------------------------------------------------------------

    def setting(self, key: str, default: Callable[[], str] | None = None) -> str | None:
        """Return a setting; `default` is stored if there is none yet."""
        query = sa.select(_settings.c.value).where(_settings.c.key == key)
        with self._reading() as db:
            value = db.scalar(query)
        if value is None and default is not None:
            with contextlib.suppress(IntegrityError), self._writing() as db:
                db.execute(sa.insert(_settings).values(key=key, value=default()))
            with self._reading() as db:
                value = db.scalar(query)
        return value

    def set_setting(self, key: str, value: str) -> None:
        """Store a setting, in place of what was there."""
        with self._writing() as db:
            _set(db, key, value)

    def raise_setting(self, key: str, value: int) -> bool:
        """Store a number if it is larger than the one that is there; tell if it was."""
        with self._writing() as db:
            there = _settings.c.key == key
            lower = sa.cast(_settings.c.value, sa.BigInteger) < value
            done = db.execute(sa.update(_settings).where(there, lower).values(value=str(value)))
            if not done.rowcount and db.scalar(sa.select(_settings.c.value).where(there)) is None:
                _set(db, key, str(value))
                return True
        return done.rowcount > 0

    # --- raters -------------------------------------------------------------------------------

    def add_raters(self, n_raters: int, *, most: int | None = None) -> list[Rater]:
        """Make raters with links of their own; fewer if there would be more than `most`."""
        with self._writing() as db:
            there = db.scalar(sa.select(sa.func.count()).select_from(_raters))
            last = _last_rater(db)
            if most is not None:
                n_raters = min(n_raters, max(most - there, 0))
            made = []
            nonces = [secrets.token_urlsafe(24) for _ in range(n_raters)]
            for k, (nonce, token) in enumerate(zip(nonces, self._tokens(nonces), strict=True)):
                values = {
                    "label": nonce,
                    "token": LINK_HASHES[0](token),
                    "nonce": nonce,
                    "created_at": time.time(),
                }
                if self._sqlite:
                    # SQLite would give the number of somebody deleted to the next one.
                    values["id"] = last + 1 + k
                row = db.execute(sa.insert(_raters).values(values))
                number = row.inserted_primary_key[0]
                db.execute(
                    sa.update(_raters).where(_raters.c.id == number).values(label=f"r{number:04d}")
                )
                made.append(number)
            rows = db.execute(
                sa.select(_raters).where(_raters.c.id.in_(made)).order_by(_raters.c.id)
            )
            return self._with_tokens(rows)

    def _tokens(self, nonces: Sequence[str]) -> list[str]:
        """Return the tokens of links: 192 bits that only the key gives."""
        digests = self.keeper.digests([f"link/{nonce}" for nonce in nonces])
        return [base64.urlsafe_b64encode(digest[:24]).decode() for digest in digests]

    def _with_tokens(self, rows: Iterable[Row]) -> list[Rater]:
        """Return raters with the tokens of those links that this key made."""
        rows = list(rows)
        tokens = self._tokens([row.nonce or "" for row in rows])
        return [
            _rater(row, token if row.token in _hashes_of_link(token) else None)
            for row, token in zip(rows, tokens, strict=True)
        ]

    def count_raters(self) -> int:
        """Return how many links were made, also of raters whose data was deleted."""
        with self._reading() as db:
            there = db.scalar(sa.select(sa.func.count()).select_from(_raters))
            return there + _number(db, "forgotten")

    def forget(self, raters: Sequence[int]) -> int:
        """Delete all that is known of raters; return how many trials that were."""
        with self._writing() as db:
            last = _last_rater(db)
            trials = db.execute(sa.delete(_trials).where(_trials.c.rater_id.in_(raters))).rowcount
            gone = db.execute(sa.delete(_raters).where(_raters.c.id.in_(raters))).rowcount
            _set(db, "last_rater", str(last))
            _set(db, "forgotten", str(_number(db, "forgotten") + gone))
        self._empty_log()
        return trials

    def _empty_log(self) -> None:
        """Let nothing that was deleted stay in SQLite's log; in the file it was overwritten."""
        if not self._sqlite:
            return
        with self._in_turn(), self._engine.connect() as db:
            # Not inside of a transaction.
            db.exec_driver_sql("COMMIT")
            db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            db.exec_driver_sql("BEGIN")

    def raters(self) -> list[Rater]:
        """Return all raters, in the order in which they were made."""
        with self._reading() as db:
            return self._with_tokens(db.execute(sa.select(_raters).order_by(_raters.c.id)))

    def rater(self, token: str) -> Rater | None:
        """Return the rater of a link."""
        if not _MADE.fullmatch(token):
            return None
        with self._reading() as db:
            query = sa.select(_raters).where(_raters.c.token.in_(_hashes_of_link(token)))
            row = db.execute(query).first()
        return None if row is None else _rater(row, token)

    def rater_again(self, rater: Rater) -> Rater | None:
        """Return a rater as they are now; None if they were deleted."""
        with self._reading() as db:
            row = db.execute(sa.select(_raters).where(_raters.c.id == rater.id)).first()
        return None if row is None else _rater(row, rater.token)

    def set_device(self, rater: int, screen: str, pointer: str) -> None:
        """Store what a rater works with; the first time counts."""
        with self._writing() as db:
            db.execute(
                sa.update(_raters)
                .where(_raters.c.id == rater, _raters.c.consented_at.is_(None))
                .values(screen=screen, pointer=pointer)
            )

    def mark(self, rater: int, moment: Literal["consented_at", "practised_at", "finished_at"]):
        """Store when something happened; the first time counts."""
        column = _raters.c[moment]
        with self._writing() as db:
            db.execute(
                sa.update(_raters)
                .where(_raters.c.id == rater, column.is_(None))
                .values({moment: time.time()})
            )

    # --- trials -------------------------------------------------------------------------------

    def trials(self, rater: int) -> list[StoredTrial]:
        """Return the trials of a rater, done or open, by number."""
        with self._reading() as db:
            return _of(db, rater)

    def all_trials(self) -> dict[int, list[StoredTrial]]:
        """Return the trials that are done, of everybody, by rater; voided ones are among them."""
        query = sa.select(_trials).where(_trials.c.done_at.is_not(None))
        out: dict[int, list[StoredTrial]] = {}
        with self._reading() as db:
            for row in db.execute(query.order_by(_trials.c.rater_id, _trials.c.number)):
                out.setdefault(row.rater_id, []).append(_stored(row))
        return out

    def show(self, rater: int, number: int, names: Sequence[str]) -> StoredTrial | None:
        """Store a trial as it is shown first; if its number is there already, return that one.

        None if the rater was deleted meanwhile.
        """
        new = {
            "id": secrets.token_urlsafe(12),
            "rater_id": rater,
            "number": number,
            "names": json.dumps(list(names), ensure_ascii=False),
            "shown_at": time.time(),
        }
        with contextlib.suppress(IntegrityError), self._writing() as db:
            db.execute(sa.insert(_trials).values(new))
        with self._reading() as db:
            row = db.execute(
                sa.select(_trials).where(_trials.c.rater_id == rater, _trials.c.number == number)
            ).one_or_none()
        return None if row is None else _stored(row)

    def submit(
        self,
        rater: int,
        trial: str,
        xy: dict[str, tuple[float, float]],
        seconds: float,
        fastest: float = 0.0,
    ) -> Literal["saved", "again", "other", "names", "unknown", "early"]:
        """Store what a rater did, once; say what came of it.

        The same positions again are fine ("again"), different ones are not ("other"), and neither
        is what took less than `fastest` seconds since it was shown ("early").
        """
        if not _MADE.fullmatch(trial):
            return "unknown"
        with self._writing() as db:
            query = sa.select(_trials).where(_trials.c.id == trial, _trials.c.rater_id == rater)
            row = db.execute(query.with_for_update()).first()
            if row is None:
                return "unknown"
            stored = _stored(row)
            if set(stored.names) != set(xy):
                return "names"
            places = tuple(tuple(xy[name]) for name in stored.names)
            if stored.done_at is not None:
                return "again" if places == stored.xy else "other"
            if time.time() - stored.shown_at < fastest:
                return "early"
            db.execute(
                sa.update(_trials)
                .where(_trials.c.id == trial)
                .values(done_at=time.time(), seconds=seconds, xy=json.dumps(places))
            )
        # Left the block: committed.
        return "saved"

    def void(self, rater: int, number: int, reason: str | None) -> bool:
        """Mark a trial that is done as void, or as valid again without a reason; tell if it is."""
        moment = None if reason is None else time.time()
        with self._writing() as db:
            changed = db.execute(
                sa.update(_trials)
                .where(
                    _trials.c.rater_id == rater,
                    _trials.c.number == number,
                    _trials.c.done_at.is_not(None),
                )
                .values(voided_at=moment, void_reason=reason)
            )
        return changed.rowcount > 0


def _set(db: sa.Connection, key: str, value: str) -> None:
    """Store a setting, in place of what was there."""
    changed = db.execute(sa.update(_settings).where(_settings.c.key == key).values(value=value))
    if not changed.rowcount:
        db.execute(sa.insert(_settings).values(key=key, value=value))


def _number(db: sa.Connection, key: str) -> int:
    """Return a setting that is a count; 0 if it is not there."""
    return int(db.scalar(sa.select(_settings.c.value).where(_settings.c.key == key)) or 0)


def _last_rater(db: sa.Connection) -> int:
    """Return the highest number that any rater had."""
    there = db.scalar(sa.select(sa.func.max(_raters.c.id))) or 0
    return max(there, _number(db, "last_rater"))


def _rater(row: Row, token: str | None) -> Rater:
    """Return a row of the raters as an object."""
    values = {key: value for key, value in row._mapping.items() if key != "nonce"}
    return Rater(**values | {"token": token})


def _of(db: sa.Connection, rater: int) -> list[StoredTrial]:
    """Return the trials of a rater."""
    query = sa.select(_trials).where(_trials.c.rater_id == rater).order_by(_trials.c.number)
    return [_stored(row) for row in db.execute(query)]


def _stored(row: Row) -> StoredTrial:
    """Return a row of the trials as an object."""
    xy = None if row.xy is None else tuple((x, y) for x, y in json.loads(row.xy))
    names = tuple(json.loads(row.names))
    values = {key: value for key, value in row._mapping.items() if key != "rater_id"}
    return StoredTrial(**values | {"names": names, "xy": xy})


def hash_of_link(token: str) -> str:
    """Return the hash by which a link is found; its token is long and random, one round does."""
    digest = hashlib.sha256(f"link/{token}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:30]).decode()


#: How links are hashed; the first is used for new ones, the others find what was made before.
LINK_HASHES: tuple[Callable[[str], str], ...] = (hash_of_link,)


def _hashes_of_link(token: str) -> list[str]:
    """Return the hashes by which a link may be kept."""
    return [hashed(token) for hashed in LINK_HASHES]


def _hash_links(db: sa.Connection) -> bool:
    """Hash the links of a database of an older version, which go on working; tell if any were."""
    changed = False
    plain = sa.select(_raters.c.id, _raters.c.token).where(_raters.c.nonce.is_(None))
    for number, token in db.execute(plain).fetchall():
        if len(token) < _HASHED:
            values = {"token": hash_of_link(token)}
            db.execute(sa.update(_raters).where(_raters.c.id == number).values(values))
            changed = True
    return changed


_HASHED = 40


def _own_file(path: Path) -> None:
    """Let nobody but the owner read a database file; SQLite gives its log the same rights."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _add_columns(db: sa.Connection) -> None:
    """Add the columns that a database of an older version does not have."""
    for table in _metadata.tables.values():
        there = {column["name"] for column in sa.inspect(db).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(db.dialect)
                db.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")


def _connect(url: str):
    """Return an engine, with SQLite set up so that what was acknowledged is on the disk."""
    try:
        parsed = make_url(url)
        name = parsed.database or ""
        in_memory = not name or ":memory:" in name or parsed.query.get("mode") == "memory"
        if parsed.drivername.startswith("sqlite") and in_memory:
            raise InputError(
                "expected a database that outlives the server, such as sqlite:///arrange.sqlite, "
                f"got one in memory: {url!r}."
            )
        if parsed.drivername.startswith("postgresql"):
            _check_remote(parsed)
        options: dict[str, Any] = {"pool_pre_ping": True}
        if parsed.drivername.startswith("sqlite"):
            options = {"connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False}}
        engine = sa.create_engine(parsed, hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError) as err:
        raise InputError(
            "expected a database URL such as sqlite:///arrange.sqlite or "
            f"postgresql+psycopg://user@host/name, got one for {url.partition('://')[0]!r}: {err}."
        ) from err
    except ImportError as err:
        package = "psycopg[binary]" if err.name == "psycopg" else err.name
        raise MissingExtraError(
            f"this database needs the package {err.name!r}, which is not installed. "
            f"Install it with: pip install '{package}'"
        ) from err
    if engine.dialect.name == "sqlite":
        if not name.startswith("file:"):
            with contextlib.suppress(FileNotFoundError):
                _own_file(Path(name))
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_remote(url: URL) -> None:
    """Refuse a password in the configuration, and a connection that others could read or fake."""
    if url.password:
        raise InputError(
            "expected a database URL without a password: put that into the file ~/.pgpass, which "
            "only you can read, or let PostgreSQL know you by your account (peer)."
        )
    hosts = [host for host in (url.host, url.query.get("host")) if host]
    if not all(_is_here(host) for host in hosts) and url.query.get("sslmode") != "verify-full":
        raise InputError(
            f"expected ?sslmode=verify-full in the URL of a database elsewhere ({hosts[-1]}): "
            "without it others on the way could read or change what is sent."
        )


def _is_here(host: object) -> bool:
    """Tell whether a database is on this computer: by its socket or by the loopback address."""
    if str(host).startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _set_up_sqlite(connection, record) -> None:
    """Write-ahead log, waiting for others instead of failing, every commit on the disk."""
    # The driver's own transactions begin too late; _begin_sqlite begins them.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(db: sa.Connection) -> None:
    """Begin a transaction; one that writes waits for its turn at once, not in the middle."""
    writes = db.get_execution_options().get("writes")
    db.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
