"""Activations on disk, each kept once: by weights, preprocessing, image, layer and reduction.

A store is a folder of parts: files with some layers' answers to some images, as they came out of
one pass, named by the network with all that its answers depend on (weights, preprocessing,
precision, code, libraries). A part is written under a temporary name and moved, and never changed
after that; so a run may be killed at any moment, and several processes may write at once. Beside
the parts lie lists of what was extracted, by which :func:`load_activations` finds the rows again
without the network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsa_faces._core.errors import InputError, some
from rsa_faces._core.files import atomic_path, sha256_bytes, slug
from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._layout import Layout

_log = logging.getLogger(__name__)

#: First line of every file of a store.
FORMAT = b"rsa-faces activations 4\n"
#: Files of a store, not those of temporary names.
PARTS, LISTS = "[!.]*.part", "[!.]*.list"
#: What a file holds for each kind; NumPy has no bfloat16.
_KEPT_AS: dict[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),
}
# Of one layer, read at a time.
SLAB_BYTES = 64 * 2**20


class TemporaryFolder:
    """A new folder that is removed when nothing refers to this object any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="rsa-faces-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Part:
    """A file of a store: its header, and where its values begin.

    The header of a part has its `key`, `images` (a hash each) and, by layer, the layout, where in
    the file it begins and a CRC-32 per image. A list has `conditions`, `images` and `layers`.
    """

    path: Path
    header: dict[str, Any]
    start: int
    layouts: dict[str, Layout]

    @classmethod
    def read(cls, path: Path) -> Part:
        """Read the header, which has its own checksum; what is foreign or damaged is an error."""
        try:
            with path.open("rb") as file:
                if file.readline(len(FORMAT)) != FORMAT:
                    raise InputError(
                        f"expected {path} to be a file of a store of activations (version 4), but "
                        "it is none. It is left as it is: move it away, or choose another store."
                    )
                # 64 hexadecimal digits and the end of the line; a damaged file may have no such
                # end.
                digest, text = file.readline(80).strip(), file.readline()
                size, start = os.fstat(file.fileno()).st_size, file.tell()
        except OSError as err:
            raise InputError(f"{path} cannot be read: {err}. Extract again.") from err
        whole = sha256_bytes(text).encode() == digest
        header = json.loads(text) if whole else {}
        # The header is checked by hash and the rest by length, at once; values are checked when
        # they are read.
        if not whole or size != start + header["n_bytes"]:
            why = "it is cut short" if whole else "its header is not as it was written"
            raise _damaged(path, why)
        layers = header.get("layers", {})
        layouts = {layer: _layout(entry["layout"]) for layer, entry in layers.items()}
        return cls(path, header, start, layouts)

    @staticmethod
    def write(
        path: Path,
        header: Mapping[str, Any],
        arrays: Sequence[np.ndarray] = (),
        *,
        lasting: bool = True,
    ) -> int:
        """Write a file, whole or not at all if it is to last; return where values begin."""
        text = json.dumps({**header, "n_bytes": sum(a.nbytes for a in arrays)}).encode() + b"\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            place = atomic_path(path) if lasting else contextlib.nullcontext(path)
            with place as target, target.open("wb") as file:
                start = file.write(FORMAT + sha256_bytes(text).encode() + b"\n" + text)
                for array in arrays:
                    file.write(array.data)
                return start
        except OSError as err:
            raise InputError(f"cannot write the store {path.parent}: {err}.") from err


class StoredPatterns:
    """Patterns of one layer on disk, (n_conditions, n_channels), float32; read when asked for."""

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        layer: str,
        rows: Sequence[tuple[Part, int]],
        names: Sequence[str],
        owner: TemporaryFolder | None,
    ) -> None:
        self._layer, self._rows, self._names, self._owner = layer, rows, names, owner
        first = rows[0][0]
        self._kept_as: str = first.header["key"]["dtype"]
        self.shape = (len(rows), first.layouts[layer].n_channels)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> StoredPatterns:
        """Return some of the conditions."""
        return StoredPatterns(self._layer, self._rows[rows], self._names[rows], self._owner)

    def slabs(self, n_bytes: int = SLAB_BYTES) -> Iterator[np.ndarray]:
        """Yield the channels in order, as many at a time as fit; each is good until the next.

        After the last one the values are known to be those that were written, or an error is
        raised (files that this process keeps for itself are not checked).
        """
        n, n_channels = self.shape
        kept = _KEPT_AS[self._kept_as]
        width = min(n_channels, max(1, n_bytes // (4 * n)))
        sums = [0] * n
        room = np.empty(n * width, kept)
        for start in range(0, n_channels, width):
            stop = min(start + width, n_channels)
            slab = room[: n * (stop - start)].reshape(n, -1)
            self._fill(slab, start)
            if self._owner is None:
                # Channels come in order, so that the checksum of a row can be gone on with slab by
                # slab.
                sums = [zlib.crc32(row.data, crc) for row, crc in zip(slab, sums, strict=True)]
            yield _decoded(slab, self._kept_as)
        if self._owner is None:
            for (part, row), crc, name in zip(self._rows, sums, self._names, strict=True):
                if crc != part.header["layers"][self._layer]["crc"][row]:
                    why = f"layer {self._layer!r} of {name!r} is not what was written"
                    raise _damaged(part.path, why)

    def _fill(self, slab: np.ndarray, start: int) -> None:
        """Read some channels of all rows; each file is opened once."""
        at, file = None, None
        try:
            for values, (part, row) in zip(slab, self._rows, strict=True):
                if file is None or part.path != at:
                    if file is not None:
                        file.close()
                    # Without a buffer: what it would read ahead is another slab's.
                    at, file = part.path, part.path.open("rb", buffering=0)
                begin = part.start + part.header["layers"][self._layer]["start"]
                file.seek(begin + (row * self.shape[1] + start) * slab.itemsize)
                if file.readinto(values.data) != values.nbytes:
                    raise _damaged(part.path, "it is cut short")
        except OSError as err:
            raise InputError(
                f"activations cannot be read any more: {err}. Extract again with the same store."
            ) from err
        finally:
            if file is not None:
                file.close()

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Read all of it."""
        (values,) = self.slabs(4 * self.shape[0] * self.shape[1])
        return values if dtype is None else values.astype(dtype, copy=False)


class Store(Mapping):
    """Activations of one network in a store: what is there, and what was asked for.

    As a mapping: the layers of :meth:`select`, each read and checked when it is asked for.
    """

    def __init__(
        self, path: Path, key: Mapping[str, str], owner: TemporaryFolder | None = None
    ) -> None:
        self.path, self.key, self.owner = path, dict(key), owner
        self._network = slug(self.key["network"])
        digest = sha256_bytes(json.dumps(self.key, sort_keys=True).encode())
        self._name = f"{self._network}-{digest[:16]}"
        check_store(path)
        self._parts: dict[str, list[tuple[Part, int]]] = {}  # by image
        for file in sorted(path.glob(f"{self._name}-*.part")):
            self._add(Part.read(file))

    def _add(self, part: Part) -> None:
        """Know the rows of a part."""
        for row, image in enumerate(part.header["images"]):
            self._parts.setdefault(image, []).append((part, row))

    def has(self, image: str) -> bool:
        """Return whether there is any layer of an image."""
        return image in self._parts

    def select(
        self, layouts: Mapping[str, Layout], images: Sequence[str], names: Sequence[str]
    ) -> Store:
        """Ask for layers and images."""
        self._layouts, self._images, self._names = dict(layouts), tuple(images), tuple(names)
        return self

    def _place(self, layer: str, image: str) -> tuple[Part, int] | None:
        """Return where a row lies."""
        rows, wanted = self._parts.get(image, ()), self._layouts[layer]
        # Flattened in another order, or reduced, it is another layer under the same name.
        return next((r for r in rows if r[0].layouts.get(layer) == wanted), None)

    def missing(self) -> list[tuple[list[str], list[int]]]:
        """Return layers, and the positions of images, that are still to be computed together."""
        lacking: dict[tuple[str, ...], dict[str, int]] = {}
        for i, image in enumerate(self._images):
            layers = tuple(layer for layer in self._layouts if not self._place(layer, image))
            if layers:
                # The same image twice is computed once.
                lacking.setdefault(layers, {}).setdefault(image, i)
        return [(list(layers), list(places.values())) for layers, places in lacking.items()]

    def check_room(self) -> None:
        """Refuse to begin what does not fit on the disk."""
        n_values = sum(
            len(places) * sum(self._layouts[layer].n_channels for layer in layers)
            for layers, places in self.missing()
        )
        needed = _KEPT_AS[self.key["dtype"]].itemsize * n_values
        there = next(p for p in (self.path, *self.path.resolve().parents) if p.exists())
        free = shutil.disk_usage(there).free
        if needed > free:
            raise InputError(
                f"expected {needed / 1e9:.1f} GB free for activations in {self.path}, but there "
                f"are {free / 1e9:.1f} GB. Take fewer layers, or a store on another disk."
            )

    def write(self, places: Sequence[int], rows: Mapping[str, np.ndarray]) -> None:
        """Keep the rows of some images."""
        arrays: list[np.ndarray] = []
        layers: dict[str, dict[str, Any]] = {}
        start = 0
        for layer, values in rows.items():
            kept = np.ascontiguousarray(_encoded(values, self.key["dtype"], layer))
            # Temporary files are read by the process that wrote them.
            crc = [zlib.crc32(row.data) for row in kept] if self.owner is None else []
            layout = dataclasses.astuple(self._layouts[layer])
            layers[layer] = {"layout": layout, "start": start, "crc": crc}
            arrays.append(kept)
            start += kept.nbytes
        images = [self._images[i] for i in places]
        header: dict[str, Any] = {"key": self.key, "images": images, "layers": layers}
        # Named by content: of two processes that write the same, one file stays.
        name = sha256_bytes(json.dumps(header, sort_keys=True).encode())[:24]
        path = self.path / f"{self._name}-{name}.part"
        begin = Part.write(path, header, arrays, lasting=self.owner is None)
        self._add(Part(path, header, begin, {layer: self._layouts[layer] for layer in rows}))

    def list_up(self, depth: Mapping[str, float]) -> None:
        """Write, or complete, the list by which :func:`load_activations` finds these rows."""
        about = [json.dumps(self.key, sort_keys=True), *self._names, *self._images]
        digest = sha256_bytes(json.dumps(about).encode())
        path = self.path / f"{self._network}-{digest[:12]}.list"
        layers = Part.read(path).header["layers"] if path.exists() else {}
        for layer, layout in self._layouts.items():
            layers[layer] = {"layout": dataclasses.astuple(layout), "depth": depth[layer]}
        names, images = self._names, self._images
        Part.write(path, {"key": self.key, "conditions": names, "images": images, "layers": layers})
        for part in {part.path for image in images for part, _ in self._parts.get(image, ())}:
            os.utime(part)  # used now: those used least lately are pruned first

    def __iter__(self) -> Iterator[str]:
        return iter(self._layouts)

    def __len__(self) -> int:
        return len(self._layouts)

    def __getitem__(self, layer: str) -> np.ndarray:
        return np.asarray(self.patterns(layer))

    def patterns(self, layer: str) -> StoredPatterns:
        """Return a layer that is read in slabs of channels."""
        rows = [self._place(layer, image) for image in self._images]
        return StoredPatterns(layer, [row for row in rows if row], self._names, self.owner)

    def say_what_changed(self) -> None:
        """Log why a network's activations that are there are not used, if they are not."""
        others = [] if self._parts else sorted(self.path.glob(f"{self._network}-*.part"))
        for file in others[:1]:
            old = Part.read(file).header["key"]
            changed = sorted(part for part in self.key if old.get(part) != self.key[part])
            _log.info("%s is not used: changed since: %s", file, ", ".join(changed))


def is_store(path: Path) -> bool:
    """Tell whether a folder is a store of activations."""
    return any(path.glob(PARTS)) or any(path.glob(LISTS))


def check_store(path: Path) -> None:
    """Refuse a place that is no store and cannot become one."""
    if path.is_file():
        with path.open("rb") as file:
            old = file.read(4) == b"\x89HDF"
        raise InputError(
            f"expected a folder for the store of activations, but {path} is a file"
            f"{', perhaps a store of version 0.2 or before' if old else ''}. It is left as it is: "
            "choose another path, or delete it."
        )
    held = sorted(file.name for file in path.glob("[!.]*"))
    if held and not is_store(path):
        raise InputError(
            f"expected {path} to be a store of activations, or empty, but it holds {some(held)}. "
            "It is left as it is: choose another path."
        )


def load_activations(path: str | os.PathLike[str]) -> Activations:
    """Open activations that are kept in a store, without the network.

    Parameters
    ----------
    path : path-like
        The folder that was `store` of :func:`rsa_faces.extract`, if one extraction was kept there;
        otherwise one of the files ``*.list`` in it, one per network and set of images.

    Returns
    -------
    Activations
        All layers in order of depth, read when they are asked for; the provenance is what they
        depend on.

    Raises
    ------
    InputError
        If it is no store, holds several extractions (they are named), is damaged, or the extraction
        was not finished or has been pruned (the layers are named).

    See Also
    --------
    extract : Record what the layers of a network answer to each stimulus.
    rsa_faces.extraction.list_store : What a store holds.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import rsa_faces as rf
    >>> faces = rf.datasets.images92().stimuli.query("category == 'human face'")
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "activations"
    >>> acts = rf.extract(network, faces, layers=["conv1"], store=path, progress=False)
    >>> rf.load_activations(path)["conv1"].shape == acts["conv1"].shape
    True
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected a store of activations, but there is no file {path}.")
    if path.is_dir() or path.suffix != ".list":
        check_store(path)
        lists = sorted(path.glob(LISTS))
        if len(lists) != 1:
            held = some([file.name for file in lists]) if lists else "none"
            raise InputError(
                f"expected one extraction in {path}, but it holds {len(lists)}: {held}. "
                + ("Give one of these files." if lists else "Extract with this store.")
            )
        path = lists[0]
    kept = Part.read(path)
    header, layouts = kept.header, kept.layouts
    depth = {layer: float(entry["depth"]) for layer, entry in header["layers"].items()}
    order = sorted(layouts, key=depth.__getitem__)
    store = Store(path.parent, header["key"])
    store.select({k: layouts[k] for k in order}, header["images"], header["conditions"])
    short = list(dict.fromkeys(layer for layers, _ in store.missing() for layer in layers))
    if short:
        raise InputError(
            f"the extraction in {path} is not finished: {some(short)}. Run it again with the same "
            "store; it goes on where it stopped."
        )
    return Activations(
        store,
        header["conditions"],
        network=header["key"]["network"],
        depth={layer: depth[layer] for layer in order},
        provenance=header["key"],
    )


def _layout(parts: Sequence) -> Layout:
    """Return a layout that was written as plain data."""
    axes, shape, kind, numbers = parts
    return Layout(tuple(axes), tuple(shape), kind, tuple(numbers))


def _damaged(path: Path, why: str) -> InputError:
    """Return what is said of a file that is not as it was written."""
    return InputError(f"{path} is damaged: {why}. Delete this file and extract again.")


def _encoded(values: np.ndarray, dtype: str, layer: str) -> np.ndarray:
    """Return float32 values as they are kept; bfloat16 is the upper half of a float32's bits."""
    if dtype == "float32":
        return values
    if dtype == "float16":
        largest = float(np.abs(values).max(initial=0.0))
        if largest >= 65_520:  # rounds to infinity
            raise InputError(
                f"layer {layer!r} has values up to {largest:.4g}, float16 holds up to 65504. Use "
                "dtype='bfloat16' or 'float32'."
            )
        return values.astype(np.float16)
    bits = values.astype(np.float32, order="C").view(np.uint32)
    # To the nearest, ties to even.
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _decoded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return kept values as float32."""
    if dtype == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False)
