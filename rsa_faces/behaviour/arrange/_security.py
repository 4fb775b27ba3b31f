"""What every request goes through: a limit on its size, and headers that bind the browser."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import re
import secrets
import threading
import time
from collections.abc import Collection

MAX_BODY = 256 * 1024
SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 30 * 60
FREE_ATTEMPTS = 5
LONGEST_DELAY = 300
_MOST_ADDRESSES = 10_000
MIN_TOKEN, MAX_TOKEN = 16, 128
MIN_BITS = 64

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


class Shield:
    """ASGI middleware: what every request has to be, and what every answer has.

    Bodies over the limit are refused before they are read whole.
    """

    def __init__(self, app, max_body: int = MAX_BODY, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._max_body = max_body

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def send_with_headers(message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                present = {name for name, _ in message["headers"]}
                added = {"cache-control": "no-store", **_HEADERS}
                if scope["path"].startswith("/api/"):
                    added["content-disposition"] = 'attachment; filename="api.json"'
                if scope["scheme"] == "https":
                    added["strict-transport-security"] = "max-age=31536000"
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in added.items()
                      if n.encode() not in present),
                ]  # fmt: skip
            await send(message)

        headers = dict(scope["headers"])
        if not is_host(headers.get(b"host", b"").decode("latin-1"), self._hosts):
            await _refuse(send_with_headers, 400, "this host is not in `hosts` of the task")
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
            if name == b"content-length" and (not value.isdigit() or int(value) > self._max_body):
                return None
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_body:
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


class Sessions:
    """Who has logged in to the experimenter's page; forgotten when the server stops.

    A session belongs to the token it began with, and ends with it.
    """

    def __init__(self) -> None:
        self._ends: dict[str, tuple[str, float, float]] = {}
        self._guard = threading.Lock()

    def begin(self, token_hash: str) -> str:
        """Return the id of a new session."""
        session = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._guard:
            self._ends = {s: one for s, one in self._ends.items() if min(one[1:]) > now}
            self._ends[session] = (token_hash, now + SESSION_SECONDS, now + IDLE_SECONDS)
        return session

    def holds(self, session: str | None, token_hash: str, *, automatic: bool = False) -> bool:
        """Tell whether a session is known and has not ended; what a timer asks for is no use."""
        now = time.monotonic()
        with self._guard:
            begun_with, end, idle_end = self._ends.get(session or "", ("", 0.0, 0.0))
            if begun_with != token_hash or min(end, idle_end) <= now:
                self._ends.pop(session or "", None)
                return False
            if not automatic:
                self._ends[session] = (begun_with, end, now + IDLE_SECONDS)
            return True

    def end(self, session: str | None) -> None:
        """Forget a session."""
        with self._guard:
            self._ends.pop(session or "", None)


class Attempts:
    """Wrong tokens by address: after a few, each one more doubles the time to wait."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, float]] = {}
        self._guard = threading.Lock()

    def wait(self, address: str) -> int:
        """Return how many seconds an address has to wait, 0 if it need not."""
        with self._guard:
            until = self._failed.get(address, (0, 0.0))[1]
        return max(math.ceil(until - time.monotonic()), 0)

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        now = time.monotonic()
        with self._guard:
            if len(self._failed) >= _MOST_ADDRESSES:
                self._failed = dict(sorted(self._failed.items(), key=lambda one: one[1][1])[1:])
            n = self._failed.get(address, (0, 0.0))[0] + 1
            delay = 0 if n < FREE_ATTEMPTS else min(2 ** (n - FREE_ATTEMPTS), LONGEST_DELAY)
            self._failed[address] = (n, now + delay)

    def passed(self, address: str) -> None:
        """Forget what an address got wrong."""
        with self._guard:
            self._failed.pop(address, None)


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


def is_host(header: str, names: Collection[str]) -> bool:
    """Tell whether a Host header names this server: by number, as localhost, or by its names.

    A name that somebody else points to this computer is none (DNS rebinding).
    """
    host = header.strip().lower()
    host = host.rpartition(":")[0] if re.search(r":\d{1,5}$", host) else host
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.strip("[]"))
        return True
    return host == "localhost" or host in {name.lower() for name in names}
