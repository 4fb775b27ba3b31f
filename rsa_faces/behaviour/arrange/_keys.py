"""The key of a task in a process of its own: the server asks for what is made of it, not for it.

Run by its path, with nothing but the standard library, this file is that process.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

# Fewer than fill a pipe: neither side waits for the other.
_AT_ONCE = 100
_PR_SET_DUMPABLE = 4


class Keeper:
    """Asks the process that has the key.

    Parameters
    ----------
    path : Path
        File of the key, which only its owner reads; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._start()

    def _start(self) -> None:
        from rsa_faces._core.errors import InputError

        # In a session of its own: Ctrl-C is for the server, and its end is the end of the pipe.
        self._process = subprocess.Popen(  # noqa: S603 (this file)
            [sys.executable, "-I", "-S", __file__, str(self._path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        told = self._process.stdout.readline().strip()
        if told != "ready":
            self.close()
            raise InputError(f"expected the key of the links in {self._path}: {told}.")

    def digests(self, texts: Sequence[str]) -> list[bytes]:
        """Return 256 bits for each text that only the key gives."""
        return [bytes.fromhex(answer) for answer in self._ask([f"digest {t}" for t in texts])]

    def second_factor(self, name: str) -> str:
        """Return the secret for an authenticator app, in base 32."""
        return self._ask([f"secret {name}"])[0]

    def codes(self, name: str, steps: Sequence[int]) -> list[str]:
        """Return the one-time codes of some steps of time."""
        return self._ask([f"code {name} {step}" for step in steps])

    def _ask(self, questions: list[str]) -> list[str]:
        answers = []
        with self._guard:
            if self._process.poll() is not None:
                self._start()
            for start in range(0, len(questions), _AT_ONCE):
                some = questions[start : start + _AT_ONCE]
                self._process.stdin.write("".join(f"{question}\n" for question in some))
                self._process.stdin.flush()
                answers += [self._process.stdout.readline().strip() for _ in some]
        return answers

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()
        self._process.wait()


def forbid_dumps() -> None:
    """Let nobody read the memory of this process: no core file, no debugger of the same user."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _read_key(path: str) -> bytes:
    """Return the key of a file that only its owner reads; made if it is not there."""
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    with open(path, encoding="ascii") as file:
        key = bytes.fromhex(file.read())
    if len(key) != 32:
        raise ValueError(f"expected a key of 32 bytes in {path}, got {len(key)}")
    return key


def _answer(key: bytes, question: str) -> str:
    """Answer one question."""
    kind, _, text = question.partition(" ")
    if kind == "digest":
        return hmac.digest(key, text.encode(), "sha256").hex()
    name, _, step = text.partition(" ")
    secret = hmac.digest(key, f"second factor/{name}".encode(), "sha256")[:20]
    if kind == "secret":
        return base64.b32encode(secret).decode()
    return one_time_code(secret, int(step))


def one_time_code(secret: bytes, step: int) -> str:
    """Return the code of RFC 6238 with six digits; authenticator apps know it with SHA-1 only."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**6:06d}"


def _keep(path: str) -> None:
    """Answer questions until there are no more."""
    forbid_dumps()
    try:
        key = _read_key(path)
    except (OSError, ValueError) as err:
        sys.stdout.write(f"{err}\n")
        return
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{_answer(key, line.rstrip())}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _keep(sys.argv[1])
