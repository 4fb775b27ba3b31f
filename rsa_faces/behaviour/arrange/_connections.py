"""Connections: limited in number, closed if nothing comes or nothing is read, logged sparsely."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

# From the first byte of a request (or the connection) to the last; slow lines need seconds.
REQUEST_SECONDS = 20
# How long an answer may wait for a client that reads nothing of it.
STALLED_SECONDS = 60
IDLE_SECONDS = 75
# Of the descriptors: database, files of stimuli, the process itself.
RESERVED = 128
# asyncio takes as many connections at once before it looks at any: few, for the limit to hold.
AT_ONCE = 16
WAITING = 1024
MOST_CONNECTIONS = 2000
LOG_EVERY = 60

_log = logging.getLogger("uvicorn.error")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that knows its protocol.

    Without it asyncio leaves Nagle's algorithm on, and small answers wait 40 ms for the client.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family)
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=made.detach())


def most_connections() -> int:
    """Return how many connections leave enough descriptors for everything else."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = MOST_CONNECTIONS + RESERVED
    if soft != resource.RLIM_INFINITY and soft < enough:
        soft = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(soft - RESERVED, MOST_CONNECTIONS), 1)


class Connection(H11Protocol):
    """A connection that cannot be kept open by doing nothing."""

    most = MOST_CONNECTIONS
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take the connection, or close it at once where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            _log.warning("More than %d connections: new ones are closed.", self.most)
            transport.abort()
            return
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Go on with the request; it has to be complete in time, however its bytes trickle."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request, or go on with one that has begun to come."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self._give_up)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _watch(self) -> None:
        """Set the deadline while a request is coming, and take it away when it is complete."""
        state = self.conn.their_state
        coming = state is h11.SEND_BODY or (state is h11.IDLE and self.conn.trailing_data[0])
        if not coming and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif coming and self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        """Close without waiting for the other side."""
        self.transport.abort()


class Server(uvicorn.Server):
    """A server in whose queue many can wait although it takes few at once."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets=sockets)
        for listening in sockets or ():
            listening.listen(WAITING)


class Sparse(logging.Filter):
    """Lets a message through once a minute: a flood of requests must not fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}
        self._dropped: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged; one that is says how many were not."""
        key, now = record.getMessage(), time.monotonic()
        if len(self._next) > 1000:
            self._next.clear()
            self._dropped.clear()
        if now < self._next.get(key, 0.0):
            self._dropped[key] = self._dropped.get(key, 0) + 1
            return False
        self._next[key] = now + LOG_EVERY
        if dropped := self._dropped.pop(key, 0):
            record.msg = f"{record.msg} ({dropped} more of these since the last one)"
        return True
