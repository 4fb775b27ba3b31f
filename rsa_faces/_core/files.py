"""Files: written to a temporary name and moved, and hashed."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rsa_faces._core.errors import InputError
from rsa_faces._core.optional import require

try:
    import fcntl
except ImportError:
    # Not on Windows, where the lock is left out.
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; move it there if the block succeeds.

    A reader sees the old file or the new one, never half of one; an interrupted write leaves the
    old file. The temporary name keeps the suffix, because writers choose formats by it. `mode` is
    who may read it, less what the umask takes away.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"expected the name of a file to write, but {path} is a folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}.", suffix=f".part{path.suffix}"
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results should be as readable as any other file.
        # There is no other way to ask for it than to set it.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(mode & ~umask)
        # Before the move: after a power cut the name could otherwise stand for a file whose bytes
        # never reached the disk.
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with plain newlines, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def read_tensors(path: Path, where: Any = "cpu", *, classes: Sequence[type] = ()) -> Any:
    """Return what a file of torch holds: tensors in plain containers; nothing in it is run.

    Torch raises many kinds of errors for files that are damaged, or ask for more than `classes`.
    """
    torch = require("torch", purpose=f"A file of tensors ({path.name})")
    # Before 2.6 weights_only could be tricked into running code (CVE-2025-32434).
    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < (2, 6):
        raise InputError(
            f"{path} can be read without running its code from torch 2.6 on, and this is "
            f"{torch.__version__}. Upgrade torch, or save the arrays in another format."
        )
    with torch.serialization.safe_globals(list(classes)):
        return torch.load(path, where, weights_only=True)


#: Variable that names another folder for what is kept, in place of the user's cache.
FOLDER = "RSA_FACES_DATA"


def cache_folder() -> Path:
    """Return the folder on this machine for what is fetched or found once."""
    import pooch

    return Path(os.environ.get(FOLDER) or pooch.os_cache("rsa-faces"))


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold an output folder for this process; a second run in the same folder is refused.

    Jobs of one array share it with each other.
    """
    if fcntl is None:
        yield
        return
    # A lock of the kernel, not a file that says "busy": it goes with the process, also when it is
    # killed.
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise InputError(
                f"expected {folder} to be free, but another run is writing there. "
                "Wait for it, or choose another folder with --out."
            ) from err
        except OSError:
            pass  # some network file systems have no locks; a second run is then the user's care
        yield


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal text."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_bytes(*parts: bytes) -> str:
    """Return the SHA-256 of the parts, each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        # Without lengths "ab", "c" and "a", "bc" would have the same hash.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def slug(name: str) -> str:
    """Return a name as part of a file name: letters, digits, dots, _ and single hyphens.

    Different names may become the same: where files of several lie in one folder use
    :func:`file_names`.
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "unnamed"


def file_names(ids: Iterable[str]) -> dict[str, str]:
    """Return a file name without suffix for each id: safe, and different for different ids.

    An id that is a file name stays as it is; of others what no file name may hold becomes a
    hyphen. Where two would be the same (also where only case differs, as some file systems do not
    tell it apart), where one is reserved by a system or too long, the first digits of the id's
    hash are added. So the name of an id depends on others only where they collide.

    Examples
    --------
    >>> from rsa_faces._core.files import file_names
    >>> file_names(["ann", "../bob", "a b", "a-b"])
    {'ann': 'ann', '../bob': 'bob', 'a b': 'a-b-c8687a08', 'a-b': 'a-b'}
    """
    ids = list(dict.fromkeys(map(str, ids)))
    plain = {name: slug(name) for name in ids}
    sharing = Counter(_folded(stem) for stem in plain.values())
    names: dict[str, str] = {}
    taken: set[str] = set()
    # Ids that are file names as they are come first: they keep their names.
    for name in sorted(ids, key=lambda name: (plain[name] != name, name)):
        stem = plain[name]
        alone = stem == name or sharing[_folded(stem)] == 1
        fits = stem.split(".")[0].upper() not in _RESERVED and len(stem.encode()) <= _LONGEST
        if not (alone and fits) or _folded(stem) in taken:
            short = stem.encode()[:_LONGEST].decode(errors="ignore")
            digest = hashlib.sha256(name.encode()).hexdigest()
            digits = itertools.count(8, 8)
            while _folded(stem := f"{short}-{digest[: next(digits)]}") in taken:
                pass
        taken.add(_folded(stem))
        names[name] = stem
    return {name: names[name] for name in ids}


# Windows reads these as devices; file systems allow 255 bytes, of which suffixes need some.
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{p}{i}" for p in ("COM", "LPT") for i in range(1, 10))}
_LONGEST = 120


def _folded(stem: str) -> str:
    """Return what is the same for file names that some systems do not tell apart."""
    # macOS and Windows take names that differ in case, or in how accents are written, for one file.
    return unicodedata.normalize("NFC", stem).casefold()
