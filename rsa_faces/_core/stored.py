"""Values in HDF5: tables, arrays, text, numbers, containers and the types that register themselves.

Nothing is pickled: a file holds plain data, and reading it runs no code that came with it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import PurePath
from typing import Any, TypeVar

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path

Stored = TypeVar("Stored", bound=type)
_CONTAINERS = (pd.DataFrame, pd.Series, pd.Index, np.ndarray, Mapping, list, tuple)
_SMALL = 256  # bytes; smaller arrays are not worth compressing


class _Patient(io.FileIO):
    """A file whose first failure is kept, so that HDF5 can close it: it crashes if it cannot."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or nothing more after a failure."""
        left = memoryview(data).cast("B")
        n_bytes = len(left)
        # A raw file may write less than it was given.
        while len(left) and self.failure is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.failure = error
        return n_bytes


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Yield a new HDF5 file that is there when the block ends, whole or not at all.

    Raises
    ------
    OSError
        If it could not be written, for instance on a full disk.
    """
    with atomic_path(path) as temporary, _Patient(temporary, "w+b") as raw:
        try:
            with h5py.File(raw, "w") as file:
                yield file
        finally:
            if raw.failure is not None:
                raise raw.failure


@dataclass(frozen=True)
class _Kind:
    """How a registered type is taken apart and made again."""

    cls: type
    parts: Callable[[Any], Mapping[str, Any]]
    make: Callable[[dict[str, Any]], Any]


_KINDS: dict[str, _Kind] = {}


def storable(
    cls: type,
    parts: Callable[[Any], Mapping[str, Any]],
    make: Callable[[dict[str, Any]], Any],
) -> None:
    """Let values of a type be stored.

    Parameters
    ----------
    cls : type
        Its name is what files record.
    parts : callable
        From a value to a mapping from name to a value that can be stored.
    make : callable
        From that mapping to the value.
    """
    _KINDS[cls.__name__] = _Kind(cls, parts, make)


def storable_fields(cls: Stored) -> Stored:
    """Let a dataclass be stored field by field (a decorator)."""
    storable(cls, fields_of, lambda parts: cls(**parts))
    return cls


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def write(group: h5py.Group, name: str, value: Any, *, where: str) -> None:
    """Write a value into an open group.

    Parameters
    ----------
    group : h5py.Group
    name : str
        Of the item that is made in it.
    value : object
    where : str
        How messages call the value.

    Raises
    ------
    InputError
        If the value, or one inside it, is of a type that cannot be stored.
    """
    try:
        # What JSON can hold is one item: a group for each small value would make files many
        # times as large, and slow to read.
        text = json.dumps(_plain(value))
    except _NotPlainError:
        pass
    else:
        _text(group, name, text).attrs["kind"] = "plain"
        return
    if isinstance(value, np.ndarray):
        _write_array(group, name, value, where)
        return
    item = group.create_group(name)
    if isinstance(value, pd.DataFrame):
        item.attrs["kind"] = "frame"
        for part, axis in (("rows", value.index), ("columns", value.columns)):
            _write_index(item, part, axis, where)
        for i in range(value.shape[1]):
            column = value.iloc[:, i]
            _write_column(item, str(i), column, f"column {column.name!r} of {where}")
    elif isinstance(value, pd.Series):
        item.attrs["kind"] = "series"
        write(item, "name", value.name, where=f"name of {where}")
        _write_index(item, "rows", value.index, where)
        _write_column(item, "values", value, where)
    elif isinstance(value, pd.Index):
        item.attrs["kind"] = "index"
        _write_index(item, "index", value, where)
    elif sparse.issparse(value):
        item.attrs["kind"] = "sparse"
        item.attrs["array"] = isinstance(value, sparse.sparray)
        compressed = sparse.csr_array(value)
        for part in ("data", "indices", "indptr"):
            _write_array(item, part, getattr(compressed, part), where)
        item.attrs["shape"] = compressed.shape
    elif isinstance(value, Mapping):
        item.attrs["kind"] = "mapping"
        # Keys stand in an item of their own, values under numbers: keys need not be text, and
        # HDF5 would take a slash in one for a folder.
        write(item, "keys", list(value), where=f"keys of {where}")
        for i, (key, inner) in enumerate(value.items()):
            write(item, str(i), inner, where=f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        item.attrs["kind"] = "list" if isinstance(value, list) else "tuple"
        item.attrs["length"] = len(value)
        for i, inner in enumerate(value):
            write(item, str(i), inner, where=f"{where}[{i}]")
    else:
        name_of_kind = type(value).__name__
        kind = _KINDS.get(name_of_kind)
        if kind is None or kind.cls is not type(value):
            raise InputError(
                f"expected a table, an array, text, numbers or RDMs as {where}, got a "
                f"{name_of_kind}, which cannot be saved. Save what you need of it by itself."
            )
        item.attrs["kind"], item.attrs["type"] = "object", name_of_kind
        for part, inner in kind.parts(value).items():
            write(item, part, inner, where=f"{part} of {where}")


def read(item: h5py.Group | h5py.Dataset) -> Any:
    """Return the value that :func:`write` wrote.

    Raises
    ------
    InputError
        If the item holds a type that this version does not know.
    """
    kind = item.attrs["kind"]
    if kind == "plain":
        return _from_plain(json.loads(item.asstr()[()]))
    if kind == "array":
        return _read_array(item)
    if kind == "frame":
        rows, columns = _read_index(item["rows"]), _read_index(item["columns"])
        content = {i: _read_column(item[str(i)], rows) for i in range(len(columns))}
        frame = pd.DataFrame(content, index=rows)
        # Names are set last: columns of the same name cannot be keys of a dict.
        frame.columns = columns
        return frame
    if kind == "series":
        series = _read_column(item["values"], _read_index(item["rows"]))
        return series.rename(read(item["name"]))
    if kind == "index":
        return _read_index(item["index"])
    if kind == "sparse":
        parts = tuple(_read_array(item[part]) for part in ("data", "indices", "indptr"))
        made = sparse.csr_array if item.attrs["array"] else sparse.csr_matrix
        return made(parts, shape=tuple(int(n) for n in item.attrs["shape"]))
    if kind == "mapping":
        return {key: read(item[str(i)]) for i, key in enumerate(read(item["keys"]))}
    if kind in ("list", "tuple"):
        values = (read(item[str(i)]) for i in range(int(item.attrs["length"])))
        return list(values) if kind == "list" else tuple(values)
    name = item.attrs["type"]
    if name not in _KINDS:
        raise InputError(
            f"{item.file.filename} holds a {name!r}, which this version of rsa-faces does not "
            "know. Upgrade rsa-faces to read it."
        )
    return _KINDS[name].make({part: read(item[part]) for part in item})


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal to the last digit; NaN equals NaN."""
    if isinstance(a, pd.DataFrame) and isinstance(b, pd.DataFrame):
        return (
            same(a.index, b.index)
            and same(a.columns, b.columns)
            and all(same(a.iloc[:, i], b.iloc[:, i]) for i in range(a.shape[1]))
        )
    if isinstance(a, pd.Series) and isinstance(b, pd.Series):
        return (
            same(a.name, b.name)
            and a.dtype == b.dtype
            and same(a.index, b.index)
            and (a.equals(b) or same(a.tolist(), b.tolist()))
        )
    if isinstance(a, pd.Index) and isinstance(b, pd.Index):
        return same(list(a.names), list(b.names)) and same(a.tolist(), b.tolist())
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.dtype.kind in "OUS" or b.dtype.kind in "OUS":
            return a.shape == b.shape and same(a.tolist(), b.tolist())
        number = a.dtype.kind in "fcmM"
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=number)
    if sparse.issparse(a) and sparse.issparse(b):
        return a.shape == b.shape and (sparse.csr_array(a) != sparse.csr_array(b)).nnz == 0
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return (
            isinstance(a, list) == isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
        )
    if a is pd.NA or b is pd.NA or a is None or b is None:
        return a is b
    if any(isinstance(v, _CONTAINERS) or sparse.issparse(v) for v in (a, b)):
        return False
    # True == 1 in Python, but not to someone who reads a table.
    if isinstance(a, (bool, np.bool_)) != isinstance(b, (bool, np.bool_)):
        return False
    if type(a) is type(b) and type(a).__name__ in _KINDS:
        parts = _KINDS[type(a).__name__].parts
        return same(dict(parts(a)), dict(parts(b)))
    if is_dataclass(a) and type(a) is type(b):
        return same(fields_of(a), fields_of(b))
    return bool(a == b or (a != a and b != b))  # NaN is not equal to itself


class _NotPlainError(Exception):
    """A value is more than text, numbers and containers of them."""


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it; what JSON lacks is a mapping of one key, its kind."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if value is pd.NA:
        return {"missing": "NA"}
    if value is pd.NaT:
        return {"missing": "NaT"}
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        return value.item()
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(v) for v in value]}
    if isinstance(value, (set, frozenset)):
        # Sets have no order, and equal results are to be equal files.
        ordered = sorted(value, key=repr)
        return {"set" if isinstance(value, set) else "frozenset": [_plain(v) for v in ordered]}
    if isinstance(value, Mapping):
        return {"mapping": [[_plain(k), _plain(v)] for k, v in value.items()]}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, pd.Timestamp):
        return {"time": value.isoformat()}
    raise _NotPlainError


_FROM_PLAIN: dict[str, Callable[[Any], Any]] = {
    "missing": {"NA": pd.NA, "NaT": pd.NaT}.__getitem__,
    "tuple": lambda v: tuple(_from_plain(i) for i in v),
    "set": lambda v: {_from_plain(i) for i in v},
    "frozenset": lambda v: frozenset(_from_plain(i) for i in v),
    "mapping": lambda v: {_from_plain(key): _from_plain(inner) for key, inner in v},
    "path": str,
    "time": pd.Timestamp,
}


def _from_plain(value: Any) -> Any:
    """Return the value that :func:`_plain` was given (paths as text)."""
    if isinstance(value, list):
        return [_from_plain(v) for v in value]
    if isinstance(value, dict):
        ((kind, inner),) = value.items()
        return _FROM_PLAIN[kind](inner)
    return value


def _text(group: h5py.Group, name: str, text: str) -> h5py.Dataset:
    """Write text."""
    return group.create_dataset(name, data=text, dtype=h5py.string_dtype("utf-8"))


def _write_array(group: h5py.Group, name: str, value: np.ndarray, where: str) -> None:
    """Write an array of numbers, truth values, times or text."""
    if value.dtype.kind in "OUT":
        try:
            text = json.dumps([_plain(v) for v in value.ravel().tolist()])
        except _NotPlainError as err:
            raise InputError(
                f"expected numbers or text in {where}, got an array of other objects, which "
                "cannot be saved."
            ) from err
        item = _text(group, name, text)
        item.attrs["shape"] = value.shape
    else:
        dtype = value.dtype
        # HDF5 has no type for times; the number of their units is one, and `dtype` says which.
        if dtype.kind in "mM":
            value = value.view(np.int64)
        # Shuffled, bytes of equal exponents lie together, and are packed far better.
        packing = {"compression": "gzip", "shuffle": True} if value.nbytes > _SMALL else {}
        item = group.create_dataset(name, data=value, **packing)
        value = np.empty(0, dtype)
    item.attrs["kind"], item.attrs["dtype"] = "array", value.dtype.str


def _read_array(item: h5py.Dataset) -> np.ndarray:
    """Read an array."""
    dtype = np.dtype(item.attrs["dtype"])
    if "shape" in item.attrs:
        values = [_from_plain(v) for v in json.loads(item.asstr()[()])]
        array = np.empty(len(values), dtype)
        for i, value in enumerate(values):  # one by one: tuples are values, not rows
            array[i] = value
        return array.reshape(tuple(int(n) for n in item.attrs["shape"]))
    array = item[()]
    return array.view(dtype) if dtype.kind in "mM" else np.asarray(array)


def _write_column(group: h5py.Group, name: str, column: pd.Series, where: str) -> None:
    """Write the values of a column."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind not in "OU":
        _write_array(group, name, column.to_numpy(), where)
        return
    item = group.create_group(name)
    item.attrs["kind"] = "column"
    if isinstance(dtype, pd.CategoricalDtype):
        item.attrs["dtype"], item.attrs["ordered"] = "category", bool(dtype.ordered)
        _write_index(item, "categories", dtype.categories, where)
        _write_array(item, "codes", column.cat.codes.to_numpy(), where)
        return
    item.attrs["dtype"] = str(dtype)
    values = column.tolist()
    write(item, "values", values, where=where)


def _read_column(item: h5py.Group | h5py.Dataset, rows: pd.Index) -> pd.Series:
    """Read the values of a column."""
    if item.attrs["kind"] == "array":
        return pd.Series(_read_array(item), index=rows)
    if item.attrs["dtype"] == "category":
        categories, ordered = _read_index(item["categories"]), bool(item.attrs["ordered"])
        codes = _read_array(item["codes"])
        made = pd.Categorical.from_codes(codes, categories=categories, ordered=ordered)
        return pd.Series(made, index=rows)
    values = read(item["values"])
    if item.attrs["dtype"] == "object":
        array = np.empty(len(values), object)
        for i, value in enumerate(values):
            array[i] = value
        return pd.Series(array, index=rows, dtype=object)
    return pd.Series(values, index=rows, dtype=item.attrs["dtype"])


def _write_index(group: h5py.Group, name: str, index: pd.Index, where: str) -> None:
    """Write the names of rows or columns."""
    item = group.create_group(name)
    write(item, "names", list(index.names), where=f"names in {where}")
    if isinstance(index, pd.RangeIndex):
        item.attrs["index"] = "range"
        item.attrs["range"] = (index.start, index.stop, index.step)
    elif isinstance(index, pd.MultiIndex):
        item.attrs["index"] = "levels"
        for i in range(index.nlevels):
            level = index.get_level_values(i)
            _write_column(item, str(i), pd.Series(level, dtype=level.dtype), where)
    else:
        item.attrs["index"] = "values"
        _write_column(item, "0", pd.Series(index, dtype=index.dtype), where)


def _read_index(item: h5py.Group) -> pd.Index:
    """Read the names of rows or columns."""
    names, kind = read(item["names"]), item.attrs["index"]
    if kind == "range":
        start, stop, step = (int(n) for n in item.attrs["range"])
        return pd.RangeIndex(start, stop, step, name=names[0])
    levels = [_read_column(item[str(i)], None) for i in range(len(names))]
    if kind == "levels":
        return pd.MultiIndex.from_arrays(levels, names=names)
    return pd.Index(levels[0], dtype=levels[0].dtype, name=names[0])
