"""The stimuli of a task as the browser gets them: by an id that says nothing about them."""

from __future__ import annotations

import functools
import hmac
import io
from hashlib import sha256
from pathlib import Path

from PIL import Image

from rsa_faces._core.checks import check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes
from rsa_faces._core.tables import read_table
from rsa_faces.behaviour.arrange._config import StimuliSource
from rsa_faces.datasets import load_dataset
from rsa_faces.stimuli import load_stimuli
from rsa_faces.stimuli._video import SUFFIXES as MOVING
from rsa_faces.stimuli.images import SUFFIXES, is_plain, read_bytes

CLIP_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
_AS_THEY_ARE = {".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".png": "image/png"}
LONGEST = 1024
MIN_STIMULI = 3


class Served:
    """Images or clips with unguessable ids."""

    def __init__(self, source: StimuliSource) -> None:
        self.clips = source.folder is not None and _are_clips(source)
        self._set = _load(source, self.clips)
        self.names: tuple[str, ...] = self._set.ids
        check_enough(len(self.names), MIN_STIMULI, "stimuli to arrange")
        self._names: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    @property
    def fingerprint(self) -> str:
        """Hash of names and files: what a database of trials belongs to."""
        return sha256_bytes(
            *(name.encode() for name in self.names), *(h.encode() for h in self._set.sha256)
        )

    def make_ids(self, secret: str) -> None:
        """Derive the public ids from the database's secret: the same after every restart."""
        for name, content in zip(self.names, self._set.sha256, strict=True):
            message = f"{name}\0{content}".encode()
            self.ids[name] = hmac.new(secret.encode(), message, "sha256").hexdigest()[:32]
        self._names = {public: name for name, public in self.ids.items()}

    def name(self, public: str) -> str | None:
        """Return the name behind a public id, or None."""
        return self._names.get(public)

    def clip(self, public: str) -> tuple[Path, str]:
        """Return the file of a clip and its media type."""
        path = self._set.paths[self._set._table._index(self._names[public])]
        return path, CLIP_TYPES[path.suffix.lower()]

    @functools.lru_cache(maxsize=1024)  # noqa: B019 (one object per server)
    def picture(self, public: str) -> tuple[bytes, str]:
        """Return an image's bytes and media type, at most 1024 px long."""
        name = self._names[public]
        at = self._set._index(name)
        source = self._set._sources[at]
        if isinstance(source, Path) and source.suffix.lower() in _AS_THEY_ARE:
            data = read_bytes(source)
            unchanged = sha256(data).hexdigest() == self._set.sha256[at]
            # EXIF data may say more than the picture; transparency is laid over white.
            if unchanged and is_plain(data, source, LONGEST):
                return data, _AS_THEY_ARE[source.suffix.lower()]
        image = Image.fromarray(self._set.image(name))
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        lossy = isinstance(source, Path) and source.suffix.lower() in {".jpg", ".jpeg", ".webp"}
        out = io.BytesIO()
        if lossy:
            image.save(out, "JPEG", quality=95, subsampling=0)
            return out.getvalue(), "image/jpeg"
        image.save(out, "PNG")
        return out.getvalue(), "image/png"


def _load(source: StimuliSource, clips: bool):
    """Load the images or the clips."""
    if source.dataset is not None:
        return load_dataset(source.dataset).images()
    if not clips:
        return load_stimuli(source.folder, manifest=source.manifest)
    from rsa_faces.stimuli.clips import load_clips

    found = load_clips(source.folder, manifest=source.manifest)
    strange = [path.name for path in found.paths if path.suffix.lower() not in CLIP_TYPES]
    if strange:
        raise InputError(
            f"expected clips that browsers play ({', '.join(CLIP_TYPES)}), got {strange[0]!r} and "
            f"{len(strange) - 1} more of other types. Convert them, for example with "
            "ffmpeg -i in.avi -c:v libx264 -pix_fmt yuv420p -an out.mp4."
        )
    return found


def _are_clips(source: StimuliSource) -> bool:
    """Tell whether the stimuli are clips; both kinds at once are an error."""
    if source.manifest is not None and source.manifest.is_file():
        table = read_table(source.manifest, what="a manifest", text=["file"])
        suffixes = {Path(name).suffix.lower() for name in table["file"]}
    elif source.folder.is_dir():
        suffixes = {p.suffix.lower() for p in source.folder.iterdir() if p.name[0] != "."}
    else:
        suffixes = set()
    if suffixes & MOVING.keys() and suffixes & SUFFIXES.keys():
        raise InputError(
            f"expected images or clips, but {source.manifest or source.folder} has both. Put them "
            "into folders of their own or name one kind in a manifest."
        )
    return bool(suffixes & MOVING.keys())
