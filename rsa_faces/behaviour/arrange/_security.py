"""What every request goes through, who may log in how often, and who is logged in."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import logging
import math
import re
import secrets
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

MAX_BODY = 256 * 1024
SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 30 * 60
# What cannot be undone needs a log-in that is not older.
FRESH_SECONDS = 5 * 60
FREE_ATTEMPTS = 5
LONGEST_DELAY = 300
# Wrong tokens an hour from everywhere, but for browsers that have logged in before.
MOST_WRONG = 60
_HOUR = 3600
_MOST_ADDRESSES = 10_000
# Of the 30,000 most common passwords none has more than 20 characters.
MIN_TOKEN, MAX_TOKEN = 22, 128
MIN_BITS = 64
# Requests an hour from one address for each refused one that is unusual.
_USUAL = 100

_log = logging.getLogger(__name__)

#: How tokens are hashed; the last is used for new ones, the others know what was made before.
#: Tokens are long and random, one round does.
HASHES: dict[str, Callable[[bytes], str]] = {"sha256": lambda b: hashlib.sha256(b).hexdigest()}

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}

_REFUSED = (400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429)


class Shield:
    """ASGI middleware: what every request has to be, and what every answer has.

    Bodies over the limit are refused before they are read whole.
    """

    def __init__(
        self, app, watch: Watch, hosts: Collection[str] = (), plain_http: bool = False
    ) -> None:
        self._app = app
        self._watch = watch
        self._hosts = frozenset(hosts)
        self._plain_http = plain_http

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False
        address = address_of(scope)
        self._watch.count("requests", address)

        async def send_with_headers(message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if message["status"] in _REFUSED:
                    # The route, not the path: an old link would be in it.
                    route = getattr(scope.get("route"), "path", "another page")
                    _log.warning(
                        "%d %s %s from %s", message["status"], scope["method"], route, address
                    )
                    self._watch.count("refused requests", address)
                present = {name for name, _ in message["headers"]}
                added = {"cache-control": "no-store", **_HEADERS}
                if scope["path"].startswith("/api/"):
                    added["content-disposition"] = 'attachment; filename="api.json"'
                if scope["scheme"] == "https":
                    added["strict-transport-security"] = "max-age=31536000; includeSubDomains"
                message["headers"] = [
                    *message["headers"],
                    *(
                        (n.encode(), v.encode())
                        for n, v in added.items()
                        if n.encode() not in present
                    ),
                ]
            await send(message)

        headers = dict(scope["headers"])
        if not is_host(headers.get(b"host", b"").decode("latin-1"), self._hosts):
            await _refuse(send_with_headers, 400, "this host is not in `hosts` of the task")
            return
        if not (scope["scheme"] == "https" or self._plain_http or _is_local(headers, address)):
            await _refuse(send_with_headers, 403, "HTTPS is needed (a proxy has to say so)")
            return
        query = scope["query_string"].decode("latin-1")
        asked = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
        if len(asked) != len(set(asked)):
            await _refuse(send_with_headers, 400, "expected each parameter once")
            return
        # Browsers say where a request comes from; one that changes something comes from here.
        site = headers.get(b"sec-fetch-site", b"none")
        if scope["method"] not in ("GET", "HEAD") and site not in (b"none", b"same-origin"):
            await _refuse(send_with_headers, 403, "from another site")
            return
        body = await self._read(scope, receive)
        if body is None:
            await _refuse(send_with_headers, 413, "request too large")
            return
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if body and kind != b"application/json":
            await _refuse(send_with_headers, 415, "expected application/json")
            return
        given = False

        async def receive_again():
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await self._app(scope, receive_again, send_with_headers)
        except Exception:
            # The framework's own answer would come without the headers.
            if not begun:
                await _refuse(send_with_headers, 500, "server error")
            raise

    async def _read(self, scope, receive) -> bytes | None:
        """Return the body, or None if it is longer than the limit, whatever its header says."""
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > MAX_BODY):
                return None
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY:
                return None
        return bytes(body)


async def _refuse(send, status: int, detail: str) -> None:
    """Answer with an error and close the connection."""
    body = json.dumps({"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Session:
    """Somebody who has logged in: with which token, when, until when, and from where."""

    name: str
    token_hash: str
    address: str
    begun_at: float
    last_at: float
    begun: float
    used: float

    @property
    def is_over(self) -> bool:
        """Whether it has ended by itself."""
        now = time.monotonic()
        return now - self.begun >= SESSION_SECONDS or now - self.used >= IDLE_SECONDS


class Sessions:
    """Who has logged in to the experimenter's page; forgotten when the server stops.

    A session belongs to the token it began with, and ends with it.
    """

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._guard = threading.Lock()

    def begin(self, token_hash: str, address: str) -> str:
        """Return the id of a new session."""
        session = secrets.token_urlsafe(32)
        moment, now = time.time(), time.monotonic()
        made = Session(secrets.token_hex(8), token_hash, address, moment, moment, now, now)
        with self._guard:
            self._open = {s: one for s, one in self._open.items() if not one.is_over}
            self._open[session] = made
        return session

    def find(
        self, session: str | None, token_hash: str, *, automatic: bool = False
    ) -> Session | None:
        """Return a session that has not ended; what a timer asks for is no use of it."""
        with self._guard:
            found = self._open.get(session or "")
            if found is None or found.token_hash != token_hash or found.is_over:
                self._open.pop(session or "", None)
                return None
            if not automatic:
                found = replace(found, used=time.monotonic(), last_at=time.time())
                self._open[session] = found
            return found

    def all(self, token_hash: str) -> list[Session]:
        """Return the sessions that have not ended."""
        with self._guard:
            found = list(self._open.values())
        return [one for one in found if one.token_hash == token_hash and not one.is_over]

    def end(self, session: str | None = None, *, name: str = "") -> None:
        """Forget a session, by its id or its name in the list."""
        with self._guard:
            self._open = {
                s: one for s, one in self._open.items() if s != session and one.name != name
            }


class Attempts:
    """Wrong tokens: after a few from one address, each one more doubles the time to wait.

    From all addresses together `most` an hour; who is known (has logged in with this browser
    before, or sits at the server) does not wait for what others got wrong.
    """

    def __init__(self, most: int = MOST_WRONG) -> None:
        self._failed: dict[str, tuple[int, float]] = {}
        self._all: deque[float] = deque(maxlen=most)
        self._guard = threading.Lock()

    def wait(self, address: str, *, known: bool = False) -> int:
        """Return how many seconds an address has to wait, 0 if it need not."""
        with self._guard:
            until = self._failed.get(address, (0, 0.0))[1]
            if not known and len(self._all) == self._all.maxlen:
                until = max(until, self._all[0] + _HOUR)
        return max(math.ceil(until - time.monotonic()), 0)

    def failed(self, address: str, *, known: bool = False) -> None:
        """Note a wrong token."""
        now = time.monotonic()
        with self._guard:
            if not known:
                self._all.append(now)
            if len(self._failed) >= _MOST_ADDRESSES:
                self._failed = dict(sorted(self._failed.items(), key=lambda one: one[1][1])[1:])
            n = self._failed.get(address, (0, 0.0))[0] + 1
            delay = 0 if n < FREE_ATTEMPTS else min(2 ** (n - FREE_ATTEMPTS), LONGEST_DELAY)
            self._failed[address] = (n, now + delay)

    def passed(self, address: str) -> None:
        """Forget what an address got wrong."""
        with self._guard:
            self._failed.pop(address, None)


class Watch:
    """Counts what addresses do in an hour, and tells the experimenter what is unusual.

    Parameters
    ----------
    command : sequence of str
        Run with the message on its input; without one the message is only logged.
    most_refused : int
        So many refused requests of one address in an hour are unusual, and a hundred times as many
        requests of any kind.
    """

    def __init__(self, command: Sequence[str] = (), most_refused: int = 100) -> None:
        self._command = list(command)
        self._most = {"refused requests": most_refused, "requests": _USUAL * most_refused}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._began = time.monotonic()
        self._guard = threading.Lock()

    def count(self, kind: str, address: str) -> None:
        """Count one; the one that is too many is told, once an hour."""
        with self._guard:
            if time.monotonic() - self._began >= _HOUR or len(self._counts) >= _MOST_ADDRESSES:
                self._counts.clear()
                self._began = time.monotonic()
            self._counts[kind, address] += 1
            too_many = self._counts[kind, address] == self._most[kind]
        if too_many:
            self.tell(f"{self._most[kind]} {kind} from {address} within an hour")

    def tell(self, message: str) -> None:
        """Log a message, and give it to the command."""
        _log.error("ALERT: %s", message)
        if self._command:
            threading.Thread(target=self._run, args=(message,)).start()

    def _run(self, message: str) -> None:
        try:
            subprocess.run(  # noqa: S603 (the configuration's)
                self._command, input=f"{message}\n", text=True, check=True, timeout=60
            )
        except (OSError, subprocess.SubprocessError) as err:
            _log.error("the command of `alert` failed: %s", err)


class Quota:
    """How often something may be done a day, by address; forgotten when the server stops."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._done: dict[str, int] = {}
        self._day = 0
        self._guard = threading.Lock()

    def take(self, address: str) -> bool:
        """Tell whether once more is allowed, and count it."""
        with self._guard:
            if (day := int(time.monotonic() // 86_400)) != self._day:
                self._day, self._done = day, {}
            n = self._done.get(address, 0)
            # Nobody can make the server remember addresses without end.
            if n >= self._most or len(self._done) >= _MOST_ADDRESSES:
                return False
            self._done[address] = n + 1
            return True


def is_strong(token: str) -> bool:
    """Tell whether a token could be random: long, and of many different characters."""
    long_enough = MIN_TOKEN <= len(token) <= MAX_TOKEN
    return long_enough and len(token) * math.log2(len(set(token))) >= MIN_BITS


def hashed(token: str, like: str = "") -> str:
    """Return the hash of a token, by the newest algorithm or by the one of another hash."""
    name = like.partition(":")[0] if ":" in like else "sha256" if like else list(HASHES)[-1]
    digest = HASHES[name](token.encode())
    # Before others could be added, the name was not kept.
    return digest if like and ":" not in like else f"{name}:{digest}"


def address_of(scope) -> str:
    """Return where a request comes from; behind a proxy on this computer, what that says."""
    return scope["client"][0] if scope.get("client") else "unknown"


def is_loopback(address: str) -> bool:
    """Tell whether an address is that of this computer to itself."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return address == "localhost"


def _is_local(headers: dict[bytes, bytes], address: str) -> bool:
    """Tell whether a browser on this computer asks, and no proxy for another one."""
    host = _name_of(headers.get(b"host", b"").decode("latin-1"))
    return is_loopback(address) and is_loopback(host.strip("[]"))


def _name_of(header: str) -> str:
    """Return a Host header without the port."""
    host = header.strip().lower()
    return host.rpartition(":")[0] if re.search(r":\d{1,5}$", host) else host


def is_host(header: str, names: Collection[str]) -> bool:
    """Tell whether a Host header names this server: by number, as localhost, or by its names.

    A name that somebody else points to this computer is none (DNS rebinding).
    """
    host = _name_of(header)
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.strip("[]"))
        return True
    return host == "localhost" or host in {name.lower() for name in names}
