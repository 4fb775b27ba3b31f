"""Names that come with data: taken from it, checked, and followed instead of positions."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.errors import ConditionMismatchError, InputError, InputTypeError
from rsa_faces._core.warning import warn


def as_names(names: Iterable[Any], *, what: str = "condition") -> list[str]:
    """Return names as text, repeats allowed, in the order they came.

    Bytes and cells of MATLAB are decoded, and letters written in two parts (NFD, as macOS writes
    file names) are put together (NFC) with a warning, so that names that look alike are equal.
    A set (it has no order), missing values, ``nan`` and empty names are errors.
    """
    if type(names) in (tuple, list) and _plain_names(names):
        return list(names)
    if isinstance(names, (str, bytes)):
        raise InputTypeError(
            f"expected a sequence of {what} names, got the single string {names!r}."
        )
    if isinstance(names, (set, frozenset)):
        raise InputError(
            f"expected {what} names in their order, got a set, which has none. Give a list."
        )
    if isinstance(names, pd.DataFrame):
        raise InputError(
            f"expected a sequence of {what} names, got a DataFrame with the columns "
            f"{', '.join(map(repr, names.columns[:5]))}. Give one of them."
        )
    if np.ma.is_masked(names):
        raise InputError(f"expected a {what} name for every row, but some are masked.")
    if hasattr(names, "dims") and hasattr(names, "to_numpy"):  # xarray
        names = names.to_numpy()
    if isinstance(names, np.ndarray) and names.ndim == 2 and 1 in names.shape:
        names = names.ravel()
    if np.ndim(names) == 0 if isinstance(names, np.ndarray) else not isinstance(names, Iterable):
        raise InputTypeError(f"expected a sequence of {what} names, got {kind_of(names)}.")
    if hasattr(names, "detach") and hasattr(names, "tolist"):  # a tensor
        names = names.tolist()
    listed = [_as_name(name, i, what) for i, name in enumerate(names)]
    composed = [name if name.isascii() else unicodedata.normalize("NFC", name) for name in listed]
    changed = [new for old, new in zip(listed, composed, strict=True) if old != new]
    if changed:
        warn(
            f"{len(changed)} {what} names hold accents as characters of their own (NFD) and are "
            f"taken as written in one (NFC): {', '.join(map(repr, changed[:5]))}."
        )
    return composed


def check_unique_names(names: Iterable[Any], *, what: str) -> tuple[str, ...]:
    """Return `names` as a tuple of str; duplicates and empty names are an error that lists them."""
    names = tuple(as_names(names, what=what))
    if len(set(names)) < len(names):
        doubled = sorted(name for name, count in Counter(names).items() if count > 1)
        listed = ", ".join(repr(n) for n in doubled[:5])
        raise InputError(
            f"expected unique {what} names, but {len(doubled)} of {len(names)} occur more than "
            f"once: {listed}. Rename them, or average repeats first."
        )
    return names


def named(
    values: Any,
    conditions: Iterable[Any] | None = None,
    *,
    what: str = "values",
    of: str = "condition",
    axes: Sequence[int] = (0,),
    form: str = "",
    numbers: bool = True,
    missing: bool = False,
    repeats: bool = False,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return values as an array whose rows are in the order of their names, and the names.

    Parameters
    ----------
    values : ndarray, list, DataFrame, Series, mapping, masked array, tensor or xarray.DataArray
        A mapping has one entry per name. The index of pandas, the coordinates of xarray and the
        keys of a mapping are names. An index that counts rows is none: 0, 1, 2, ..., or ascending
        whole numbers of which none is among `conditions`, as a table keeps them when it is cut.
    conditions : iterable of names, optional
        The order wanted. Values that bring names are put into this order, and the set of names
        has to be the same; values without are taken to be in it. By default the names, and the
        order, that the values bring. A Series that shares its index with the values names their
        rows through it.
    what, of : str
        What the values are, and what has the names, for messages.
    axes : sequence of int
        The axes that carry the names; (-2, -1) for square matrices.
    form : str
        The shape of the values, for messages, with ``n_{of}s`` for the number of names.
    numbers : bool
        Whether only real numbers are wanted; otherwise labels, returned as objects, shape (n,).
    missing : bool
        Whether values may be missing: masked ones and gaps of pandas become NaN instead of an
        error.
    repeats : bool
        Whether names may repeat; repeated names are not put into another order.

    Raises
    ------
    ConditionMismatchError
        If the values bring other names than `conditions`.
    InputError
        If there are no names, or values are not what was wanted (complex, objects, masked).
    TypeError
        If the values are no numbers.
    """
    array, brought = apart(values, what, numbers, missing)
    if numbers:
        array = _real(array, what)
    elif array.ndim != 1:
        raise InputError(f"expected one {what} per {of}, got shape {array.shape}.")
    if len(axes) == 2 and (array.ndim not in (2, 3) or array.shape[-1] != array.shape[-2]):
        raise InputError(
            f"expected square {what}, shape (n_rdms, n_{of}s, n_{of}s), got {array.shape}."
        )
    if not array.ndim:
        raise InputError(f"expected {what}, one per {of}, got the single value {array}.")
    axes = [axis % array.ndim for axis in axes]
    held = [brought[axis] for axis in axes]
    shared = getattr(conditions, "index", None) if isinstance(conditions, pd.Series) else None
    collect = as_names if repeats else check_unique_names
    if conditions is None:
        first = next((h for h in held if h is not None), None)
        if first is None:
            raise InputError(
                f"expected `conditions`, the names of its rows, with {what}: got "
                f"{kind_of(values)}, which brings none."
            )
        conditions = _flat(first, of)
    names = tuple(collect(conditions, what=of))
    for axis in axes:
        if array.shape[axis] != len(names):
            if array.ndim == 1:
                raise InputError(
                    f"expected one {what.removesuffix('s')} for each of {len(names)} {of}s, got "
                    f"{len(array)}."
                )
            shape = (form or "n_{of}s, ...").replace("n_{of}s", str(len(names)))
            raise InputError(
                f"expected {what} of shape ({shape}), one row for each of {len(names)} {of} names, "
                f"got {array.shape}."
            )
    orders = [None if h is None else _order(h, names, shared, what, of, repeats) for h in held]
    moved = [order is not None and (order != np.arange(len(order))).any() for order in orders]
    if any(moved) and any(order is None for order in orders):
        raise InputError(
            f"expected {what} with {of} names on both sides, got them on one side only and in "
            "another order than `conditions`. Name rows and columns."
        )
    for axis, order, move in zip(axes, orders, moved, strict=True):
        array = array.take(order, axis=axis) if order is not None and move else array
    return array, names


def named_layers(
    layers: Mapping[str, Any], conditions: Iterable[Any] | None = None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return patterns (n_conditions, n_channels) per layer, all in one order, and the names."""
    arrays: dict[str, np.ndarray] = {}
    names: Any = conditions
    if conditions is not None and not isinstance(conditions, pd.Series):
        names = check_unique_names(conditions, what="condition")
    for layer, patterns in layers.items():
        shape = patterns.shape if isinstance(patterns, np.ndarray) else None
        if shape is not None and names is not None and (shape[:1] != (len(names),)):
            raise _odd_layer(layer, shape, len(names))
        arrays[layer], names = named(patterns, names, what=f"layer {layer!r}")
        if arrays[layer].ndim != 2:
            raise _odd_layer(layer, arrays[layer].shape, len(names))
    return arrays, names


def _odd_layer(layer: str, shape: tuple[int, ...], n: int) -> InputError:
    """Return the error for a layer of another shape."""
    return InputError(
        f"expected shape ({n}, n_channels), one row per condition, but layer {layer!r} has {shape}."
    )


def unnamed(values: Any, *, what: str, missing: bool = False, hint: str = "") -> np.ndarray:
    """Return numbers that go by position as an array; those that bring names are an error."""
    array, brought = apart(values, what, True, missing)
    if any(index is not None for index in brought):
        raise InputError(
            f"expected {what} without names, as they go by position, got {kind_of(values)}, whose "
            f"names would not be followed. Give its values as an array.{' ' * bool(hint)}{hint}"
        )
    return _real(array, what)


def ordered(
    present: Iterable[Any], wanted: Iterable[Any], *, what: str, of: str = "condition"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return where each of the names wanted is among those present, the same set, and the names."""
    listed = present if isinstance(present, pd.Index) else list(present)
    positions = pd.Series(range(len(listed)), pd.Index(listed, tupleize_cols=False))
    return named(positions, wanted, what=what, of=of)


def in_memory(values: Any) -> bool:
    """Whether values are an array, a table or a tensor, not a file or an image."""
    kinds = (np.ndarray, pd.DataFrame, pd.Series, Mapping)
    return isinstance(values, kinds) or hasattr(values, "detach") or hasattr(values, "coords")


def _plain_names(names: Iterable[Any]) -> bool:
    """Whether nothing has to be done to names that were checked before."""
    if set(map(type, names)) - {str}:
        return False
    together = "".join(names)
    return together.isascii() and "\0" not in together and "" not in names and "nan" not in names


def _as_name(name: Any, position: int, what: str) -> str:
    """Return one name as text."""
    while isinstance(name, np.ndarray) and name.size == 1:  # a cell of MATLAB
        name = name.reshape(-1)[0]
    if isinstance(name, bytes):
        try:
            name = name.decode("utf-8")
        except UnicodeDecodeError as err:
            raise InputError(
                f"expected {what} names in UTF-8, but name {position} is {name!r}."
            ) from err
    name = str(name) if isinstance(name, str) else name
    if is_missing(name) or (isinstance(name, str) and name == "nan"):
        raise InputError(
            f"expected a {what} name for every row, but name {position} is {name!r}, which stands "
            "for a missing one. Name it, or leave the row out."
        )
    if isinstance(name, (list, tuple, dict, set, np.ndarray, complex, np.complexfloating)):
        raise InputError(
            f"expected {what} names that are text or numbers, but name {position} is {name!r}."
        )
    text = str(name)
    if not text or "\0" in text:
        raise InputError(
            f"expected non-empty {what} names, but name {position} is {text!r}."
            if not text
            else f"expected {what} names that are text, but name {position}, {text!r}, holds NUL."
        )
    return text


def is_missing(value: Any) -> bool:
    """Whether a value stands for nothing: None, NaN, NaT or NA, or a tuple that holds one."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, tuple):
        return any(map(is_missing, value))
    return isinstance(value, (float, np.floating, np.datetime64)) and bool(value != value)


def kind_of(values: Any) -> str:
    """Return what something is, in words."""
    name = type(values).__name__
    shape = getattr(values, "shape", None)
    if isinstance(values, (str, bytes)):
        return f"the text {values!r}"
    of = f" of shape {tuple(shape)}" if isinstance(shape, tuple) and shape else ""
    return f"{'an' if name[0] in 'aeiouAEIOU' or name == 'ndarray' else 'a'} {name}{of}"


def apart(values: Any, what: str, numbers: bool, missing: bool):
    """Return an array and, per axis, the names it brings as a pandas Index, or None."""
    if type(values) is np.ndarray:
        if not numbers and values.ndim == 2 and 1 in values.shape:  # a column, as of MATLAB
            values = values.ravel()
        return (values if numbers else _objects(values.tolist(), what)), [None] * values.ndim
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            _refuse_gaps(missing, what, int(np.ma.getmaskarray(values).sum()), "masked")
            floats = values.astype(np.result_type(values.dtype, np.float32))
            values = np.ma.filled(floats, np.nan)
        return apart(np.asarray(values), what, numbers, missing)
    if isinstance(values, pd.DataFrame):
        if not numbers:
            if values.shape[1] != 1:
                raise InputError(
                    f"expected one {what} per row, got a DataFrame with {values.shape[1]} columns: "
                    f"{', '.join(map(repr, values.columns[:5]))}. Give one of them."
                )
            return apart(values.iloc[:, 0], what, numbers, missing)
        return _frame(values, what, missing), [_held(values.index), _held(values.columns)]
    if isinstance(values, pd.Series):
        if not numbers:
            return _objects(values.tolist(), what), [_held(values.index)]
        return _frame(values.to_frame(), what, missing)[:, 0], [_held(values.index)]
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # a tensor
        return apart(_tensor(values, what), what, numbers, missing)
    if hasattr(values, "dims") and hasattr(values, "coords"):  # xarray
        if not hasattr(values, "to_numpy"):
            raise InputError(
                f"expected {what} as a DataArray, got {kind_of(values)}: choose one of its "
                "variables."
            )
        array, _ = apart(values.to_numpy(), what, numbers, missing)
        return array, [
            _held(values.indexes[dim]) if dim in values.indexes else None for dim in values.dims
        ]
    if isinstance(values, Mapping):
        if numbers and not len(values):
            raise InputError(f"expected {what}, got an empty mapping.")
        entries = list(values.values())
        keys = pd.Index(list(values), dtype=object, tupleize_cols=False)
        if not numbers:
            return _objects(entries, what), [keys]
        return _stacked(entries, keys, what, missing)
    if hasattr(values, "toarray"):
        raise InputError(
            f"expected {what} as a dense array, got {kind_of(values)}: use .toarray()."
        )
    if isinstance(values, (list, tuple)):
        if not numbers:
            return _objects(list(values), what), [None]
        if not all(_is_plain(value) for value in values):
            return _stacked(list(values), None, what, missing)
    elif not numbers and isinstance(values, Iterable) and not isinstance(values, (str, bytes)):
        return _objects(list(values), what), [None]
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as err:
        raise InputError(f"expected {what} as an array of numbers: {err}.") from err
    return array, [None] * array.ndim


def _is_plain(value: Any) -> bool:
    """Whether NumPy makes of a part of a list what it is: numbers, text and lists of them."""
    if isinstance(value, (list, tuple)):
        return all(k in (int, float, bool) for k in set(map(type, value))) or all(
            map(_is_plain, value)
        )
    return type(value) is np.ndarray or np.isscalar(value) or value is None


def _stacked(entries: list, keys: pd.Index | None, what: str, missing: bool):
    """Return parts on top of each other; what they name themselves is aligned to the first."""
    parts = [apart(entry, what, True, missing) for entry in entries]
    first, held = parts[0]
    arrays = []
    for array, names in parts:
        for axis, (ours, theirs) in enumerate(zip(held, names, strict=True)):
            if ours is not None and theirs is not None:
                mine = check_unique_names(_flat(ours, "entry"), what="entry")
                order = _order(theirs, mine, None, what, "entry", False)
                array = array.take(order, axis=axis)
            elif (ours is None) != (theirs is None):
                raise InputError(
                    f"expected {what} that all bring names or none does, got some of each."
                )
        if array.shape != first.shape:
            raise InputError(
                f"expected {what} of one shape in every entry, got {first.shape} and {array.shape}."
            )
        arrays.append(array)
    return np.stack(arrays), [keys, *held]


def _frame(frame: pd.DataFrame, what: str, missing: bool) -> np.ndarray:
    """Return a table of numbers as an array."""
    kinds = list(dict.fromkeys(frame.dtypes))
    odd = [k for k in kinds if not pd.api.types.is_numeric_dtype(k)]
    if odd:
        column = next(c for c, k in frame.dtypes.items() if k == odd[0])
        raise InputTypeError(
            f"expected real numbers as {what}, but the column {column!r} holds {odd[0]}."
        )
    if all(isinstance(k, np.dtype) for k in kinds):
        return frame.to_numpy(dtype=np.result_type(*kinds) if kinds else float)
    if gaps := int(frame.isna().to_numpy().sum()):
        _refuse_gaps(missing, what, gaps, "missing (NA)")
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _tensor(values: Any, what: str) -> np.ndarray:
    """Return a torch tensor as an array, from whichever device."""
    try:
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # NumPy has no such type
            values = values.float()
        return values.numpy()
    except (TypeError, RuntimeError) as err:
        raise InputError(
            f"expected {what} as a dense tensor, got one that NumPy cannot read: {err}."
        ) from err


def _objects(values: Any, what: str) -> np.ndarray:
    """Return labels as an array of objects, bytes decoded."""
    if not isinstance(values, list):
        raise InputError(f"expected one {what} per row, got the single value {values!r}.")
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        while isinstance(value, np.ndarray) and value.size == 1:  # a cell of MATLAB
            value = value.reshape(-1)[0]
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, (list, dict, set, np.ndarray, pd.Series)):
            raise InputError(f"expected one {what} per row, but row {i} has {kind_of(value)}.")
        if isinstance(value, complex):
            raise InputError(f"expected {what} that are real, but row {i} has {value!r}.")
        if value is np.ma.masked:
            raise InputError(f"expected {what} for every row, but row {i} is masked.")
        if hasattr(value, "detach") and hasattr(value, "item"):
            value = value.item()
        array[i] = value.decode("utf-8") if isinstance(value, bytes) else value
    return array


def _real(array: np.ndarray, what: str) -> np.ndarray:
    """Return an array if it holds real numbers."""
    kind = array.dtype.kind
    if kind in "fiub":
        return array
    if kind == "c":
        raise InputTypeError(
            f"expected real numbers as {what}, got complex ones ({array.dtype}). Take their real "
            "part or their absolute values."
        )
    hint = " Turn them into numbers with .astype(float)." if kind == "O" else ""
    raise InputTypeError(f"expected real numbers as {what}, got {array.dtype}.{hint}")


def _refuse_gaps(missing: bool, what: str, n: int, how: str) -> None:
    """Raise if values may not be missing."""
    if not missing:
        raise InputError(
            f"expected {what} without gaps, but {n} values are {how}. Fill them, or leave these "
            "rows out."
        )


def _held(index: pd.Index) -> pd.Index | None:
    """Return an index that names its rows; None for one that counts them."""
    counts = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
    return None if counts else index


def _flat(index: pd.Index, of: str) -> pd.Index:
    """Return an index of one level."""
    if isinstance(index, pd.MultiIndex):
        raise InputError(
            f"expected {of} names in one level, got an index with {index.nlevels}: "
            f"{', '.join(map(repr, index.names))}. Join or drop levels."
        )
    return index


def _order(index, names, shared, what: str, of: str, repeats: bool) -> np.ndarray | None:
    """Return where each name is; None if the index only counts rows."""
    if shared is not None and _held(shared) is not None and len(shared) == len(index):
        if index.equals(shared):
            return np.arange(len(index))
        if index.is_unique and shared.is_unique and not index.symmetric_difference(shared).size:
            return index.get_indexer(shared)
    own = as_names(_flat(index, of), what=of)
    if own == list(names):
        return np.arange(len(own))
    if set(own) != set(names):
        counts = index.dtype.kind in "iu"
        if counts and index.is_monotonic_increasing and not set(own) & set(names):
            return np.arange(len(index))  # numbers of rows that a table kept when it was cut
        raise ConditionMismatchError(
            own,
            names,
            left_name=f"the names that the {what} bring",
            right_name=f"the {of} names given",
            hint="If the index counts rows and is no name, give the values without it."
            if counts
            else "Rename them, or give values without names in this order.",
        )
    if len(set(own)) < len(own) or len(set(names)) < len(names):
        raise InputError(
            f"expected {what} in the order of `conditions` where {of} names repeat, got another "
            f"order{'' if repeats else ', and repeats'}. Put them into the same order."
        )
    place = {name: i for i, name in enumerate(own)}
    return np.array([place[name] for name in names])
