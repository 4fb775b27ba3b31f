"""What every request goes through: a limit on its size, and headers that bind the browser."""

from __future__ import annotations

import json
import secrets
import threading
import time

MAX_BODY = 256 * 1024
SESSION_SECONDS = 12 * 3600

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
    """ASGI middleware: bodies over the limit are refused before they are read whole."""

    def __init__(self, app, max_body: int = MAX_BODY) -> None:
        self._app = app
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
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in added.items()
                      if n.encode() not in present),
                ]  # fmt: skip
            await send(message)

        body = await self._read(scope, receive)
        if body is None:
            await _refuse(send_with_headers, 413, "request too large")
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
    """Who has logged in to the experimenter's page; forgotten when the server stops."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._guard = threading.Lock()

    def begin(self) -> str:
        """Return the id of a new session."""
        session = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._guard:
            self._ends = {s: end for s, end in self._ends.items() if end > now}
            self._ends[session] = now + SESSION_SECONDS
        return session

    def holds(self, session: str | None) -> bool:
        """Tell whether a session is known and has not ended."""
        with self._guard:
            return self._ends.get(session or "", 0.0) > time.monotonic()

    def end(self, session: str | None) -> None:
        """Forget a session."""
        with self._guard:
            self._ends.pop(session or "", None)
