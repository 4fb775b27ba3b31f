"""Activations on disk: one HDF5 file per network that survives being killed at any moment.

The file is made whole (all space reserved) under a temporary name and moved into place. After
that only values change, never the structure: a batch's rows and their checksums are written
first, the count of finished rows after them. A run that is killed leaves a readable file whose
count says where to go on.
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
from pathlib import Path

import h5py
import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes
from rsa_faces._core.stored import new_file
from rsa_faces.extraction._activations import Activations
from rsa_faces.extraction._layout import Layout

_log = logging.getLogger(__name__)

FORMAT = "rsa-faces activations"
VERSION = 3
#: What a file holds for each kind; HDF5 has no bfloat16.
_KEPT_AS = {
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


class StoredLayers(Mapping):
    """Layers of a finished store, each read and checked when it is asked for."""

    def __init__(self, path: Path, layers: Sequence[str], owner: TemporaryFolder | None) -> None:
        self._path, self._layers, self._owner = path, tuple(layers), owner

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, layer: str) -> np.ndarray:
        return np.asarray(self.patterns(layer))

    def patterns(self, layer: str) -> StoredPatterns:
        """Return a layer that is read in slabs of channels."""
        return StoredPatterns(self._path, layer, self._owner)


class StoredPatterns:
    """Patterns of one layer on disk, (n_conditions, n_channels), float32; read when asked for."""

    def __init__(self, path: Path, layer: str, owner: TemporaryFolder | None) -> None:
        self._path, self._layer, self._owner = path, layer, owner
        with _opened(path, "r") as file:
            self.shape: tuple[int, int] = file["activations"][layer].shape
            self._kept_as: str = file.attrs["dtype"]
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def slabs(self, n_bytes: int = SLAB_BYTES) -> Iterator[np.ndarray]:
        """Yield the channels in order, as many at a time as fit; each is good until the next.

        After the last one the values are known to be those that were written, or an error is
        raised (files that this process keeps for itself are not checked).
        """
        n, n_channels = self.shape
        width = min(n_channels, max(1, n_bytes // (4 * n)))
        checksums = np.zeros(n, np.uint32)
        with _opened(self._path, "r") as file:
            dataset = file["activations"][self._layer]
            room = np.empty(n * width, dataset.dtype)
            for start in range(0, n_channels, width):
                stop = min(start + width, n_channels)
                slab = room[: n * (stop - start)].reshape(n, -1)
                dataset.read_direct(slab, np.s_[:, start:stop])
                if self._owner is None:
                    checksums = _checksums(slab, checksums)
                yield _decoded(slab, self._kept_as)
            if self._owner is None:
                self._check(file, checksums)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Read all of it."""
        (values,) = self.slabs(4 * self.shape[0] * self.shape[1])
        return values if dtype is None else values.astype(dtype, copy=False)

    def _check(self, file: h5py.File, checksums: np.ndarray) -> None:
        """Refuse what is not as it was written."""
        row = file["layers"].asstr()[()].tolist().index(self._layer)
        wrong = np.flatnonzero(checksums != file["checksums"][row])
        if wrong.size:
            condition = file["conditions"].asstr()[int(wrong[0])]
            raise InputError(
                f"{self._path} is damaged: layer {self._layer!r} of {condition!r} is not what was "
                "written. Delete the file and extract again."
            )


class Store:
    """A store being filled; made, resumed or made anew by :func:`open_store`."""

    owner: TemporaryFolder | None = None
    n_bytes = 0  # in memory

    def __init__(self, path: Path, layers: Sequence[str], n_conditions: int) -> None:
        self.path, self._layers = path, tuple(layers)
        with _opened(path, "r") as file:
            stored = file["layers"].asstr()[()].tolist()
            self._row = {layer: stored.index(layer) for layer in layers}
            done = {layer: int(file["done"][row]) for layer, row in self._row.items()}
            self.batch_size = int(file["batch_size"][0])
            self._kept_as: str = file.attrs["dtype"]
        #: layers with rows to come, and the first row that one of them lacks
        self.pending = [layer for layer in layers if done[layer] < n_conditions]
        self.start = min((done[layer] for layer in self.pending), default=n_conditions)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the file open for :meth:`write`; a second process is refused."""
        with _opened(self.path, "r+") as self._file:
            yield

    def write(self, start: int, rows: Mapping[str, np.ndarray], batch_size: int) -> None:
        """Write the rows of one batch, then the count that makes them valid."""
        file = self._file
        for layer, values in rows.items():
            stop = start + len(values)
            values = _encoded(values, self._kept_as, layer)
            file["activations"][layer][start:stop] = values
            if self.owner is None:
                file["checksums"][self._row[layer], start:stop] = _checksums(values)
        file.flush()
        for layer in rows:
            file["done"][self._row[layer]] = stop
        file["batch_size"][0] = batch_size
        file.flush()

    def finished(self) -> StoredLayers:
        """Return the layers to read."""
        return StoredLayers(self.path, self._layers, self.owner)


def open_store(
    path: Path,
    key: Mapping[str, str],
    layouts: Mapping[str, Layout],
    depth: Mapping[str, float],
    conditions: Sequence[str],
    batch_size: int,
    dtype: str,
) -> Store:
    """Return the store at `path`, made if it is missing or holds what is no longer true.

    Layers that it has already, of the same key, are kept; others are added.
    """
    keep: dict[str, Layout] = {}
    if path.exists():
        old_key, old_layouts = _header(path)
        if old_key.get("network") != key["network"]:
            raise InputError(
                f"expected {path} to hold activations of {key['network']!r}, but it holds those "
                f"of {old_key.get('network')!r}. Give each network its own store."
            )
        changed = sorted(part for part in key if old_key.get(part) != key[part])
        if any(old_layouts.get(layer, layout) != layout for layer, layout in layouts.items()):
            changed.append("layout")
        if not changed and set(layouts) <= set(old_layouts):
            return Store(path, list(layouts), len(conditions))
        if changed:
            _log.info("%s is made anew: changed since: %s", path, ", ".join(changed))
        else:
            keep = old_layouts
    try:
        _create(path, key, {**keep, **layouts}, depth, conditions, batch_size, keep, dtype)
    except OSError as err:
        raise InputError(f"cannot write the store {path}: {err}. Choose another.") from err
    return Store(path, list(layouts), len(conditions))


def load_activations(path: str | os.PathLike[str]) -> Activations:
    """Open a store of activations, without the network.

    Parameters
    ----------
    path : path-like
        Written by :func:`rsa_faces.extract` with `store`.

    Returns
    -------
    Activations
        All layers in order of depth, read when they are asked for; the provenance is the store's
        key.

    Raises
    ------
    InputError
        If the file is no store, cannot be read, or the extraction was not finished (the layers
        are named).

    See Also
    --------
    extract : Record what the layers of a network answer to each stimulus.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a store of activations, but there is no file {path}.")
    key, layouts = _header(path)
    with _opened(path, "r") as file, _sound(path):
        conditions = file["conditions"].asstr()[()].tolist()
        names = file["layers"].asstr()[()].tolist()
        short = [n for n, done in zip(names, file["done"], strict=True) if done < len(conditions)]
        depth = {name: float(file["activations"][name].attrs["depth"]) for name in layouts}
    if short:
        raise InputError(
            f"the extraction in {path} is not finished: {', '.join(short[:5])}. Run it again with "
            "the same store; it goes on where it stopped."
        )
    order = sorted(names, key=depth.__getitem__)
    return Activations(
        StoredLayers(path, order, None),
        conditions,
        network=key["network"],
        depth={name: depth[name] for name in order},
        provenance=key,
    )


def _create(
    path: Path,
    key: Mapping[str, str],
    layouts: Mapping[str, Layout],
    depth: Mapping[str, float],
    conditions: Sequence[str],
    batch_size: int,
    keep: Sequence[str],
    dtype: str,
) -> None:
    """Make the file with all its space reserved; copy the layers to keep from the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n_values = len(conditions) * sum(layout.n_channels for layout in layouts.values())
    needed = _KEPT_AS[dtype].itemsize * n_values
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(
            f"expected {needed / 1e9:.1f} GB free for activations in {path.parent}, but there are "
            f"{free / 1e9:.1f} GB. Take fewer layers, or a store on another disk."
        )
    names, text = list(layouts), h5py.string_dtype("utf-8")
    with new_file(path) as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["key"] = json.dumps(dict(key))
        file.attrs["dtype"] = dtype
        file.create_dataset("conditions", data=list(conditions), dtype=text)
        file.create_dataset("layers", data=names, dtype=text)
        file.attrs["names_sha256"] = _names_hash(conditions, names)
        file.create_dataset("done", data=np.zeros(len(names), np.int64))
        file.create_dataset("batch_size", data=np.array([batch_size]))
        shape = (len(names), len(conditions))
        file.create_dataset("checksums", data=np.zeros(shape, np.uint32))
        for name, layout in layouts.items():
            dataset = file.create_dataset(
                f"activations/{name}", (len(conditions), layout.n_channels), _KEPT_AS[dtype]
            )
            dataset.attrs["depth"] = depth.get(name, np.nan)  # of those kept: copied below
            for part, value in dataclasses.asdict(layout).items():
                dataset.attrs[part] = value
            dataset[-1, -1] = 0  # reserves the space: later writes change no structure
        if keep:
            _copy(path, file, keep)


def _copy(path: Path, file: h5py.File, layers: Sequence[str]) -> None:
    """Copy what is done of these layers into the new file."""
    new = file["layers"].asstr()[()].tolist()
    with _opened(path, "r") as old:
        for row, layer in enumerate(old["layers"].asstr()[()].tolist()):
            if layer in layers:
                to = new.index(layer)
                file["activations"][layer].attrs["depth"] = old["activations"][layer].attrs["depth"]
                for i in range(int(old["done"][row])):
                    file["activations"][layer][i] = old["activations"][layer][i]
                file["checksums"][to] = old["checksums"][row]
                file["done"][to] = old["done"][row]
        file["batch_size"][0] = old["batch_size"][0]


def _header(path: Path) -> tuple[dict[str, str], dict[str, Layout]]:
    """Return the key and the layers of a store; what is none is an error and stays untouched."""
    with _opened(path, "r") as file, _sound(path):
        if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
            raise InputError(
                f"expected {path} to be a store of activations (version {VERSION}), but its "
                f"format is {file.attrs.get('format')!r}, version {file.attrs.get('version')}. "
                "It is left as it is: choose another path, or delete it."
            )
        names = [file[part].asstr()[()].tolist() for part in ("conditions", "layers")]
        # Stores of earlier versions have no checksum of names.
        if file.attrs.get("names_sha256", written := _names_hash(*names)) != written:
            raise InputError(
                f"{path} is damaged: the names of its conditions and layers are not those that "
                "were written. Delete the file and extract again."
            )
        layouts = {}
        for name in names[1]:
            attrs = file["activations"][name].attrs
            parts = {part: tuple(map(int, attrs[part])) for part in ("axes", "shape", "numbers")}
            layouts[name] = Layout(kind=attrs["kind"], **parts)
        return json.loads(file.attrs["key"]), layouts


def _names_hash(conditions: Sequence[str], layers: Sequence[str]) -> str:
    """Return a checksum of names, which say what the values are."""
    return sha256_bytes("\0".join(conditions).encode(), "\0".join(layers).encode())


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Say of a store that lacks a part, or has one that cannot be read, that it is damaged."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError) as err:
        raise InputError(
            f"the store {path} is damaged: {err!r}. Delete the file and extract again."
        ) from err


@contextlib.contextmanager
def _opened(path: Path, mode: str) -> Iterator[h5py.File]:
    """Open a store, or say that it cannot be read."""
    try:
        file = h5py.File(path, mode)
    except OSError as err:
        raise InputError(
            f"the store {path} cannot be opened: {err}. Another process may be using it; if not, "
            "it is damaged or no store: delete it or choose another path."
        ) from err
    with file:
        yield file


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


def _checksums(values: np.ndarray, before: Sequence[int] | None = None) -> np.ndarray:
    """Return a CRC-32 per row, going on from those of the channels before."""
    rows = np.ascontiguousarray(values)
    before = [0] * len(rows) if before is None else before
    return np.array(
        [zlib.crc32(row.data, int(start)) for row, start in zip(rows, before, strict=True)],
        dtype=np.uint32,
    )
