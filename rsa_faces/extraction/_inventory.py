"""What a store of activations holds, and what of it can go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd

from rsa_faces._core.checks import check_arguments, parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces.extraction._extract import code_version
from rsa_faces.extraction._store import LISTS, PARTS, Part, Store, check_store, is_store

_DAY = 86_400
_COLUMNS = ["name", "network", "layers", "images", "n_bytes", "used", "state"]


def list_store(path: str | os.PathLike[str]) -> pd.DataFrame:
    """List what a store of activations holds.

    Parameters
    ----------
    path : path-like
        The folder that was `store` of :func:`rsa_faces.extract`.

    Returns
    -------
    DataFrame
        One row per network and all that its answers depend on: the ``name`` that its files
        begin with, ``network``, numbers of ``layers`` and ``images`` of which there is something,
        ``n_bytes`` on disk, how many days ago an extraction ``used`` it (wrote or read it) the last
        time, and its ``state``: "current"; "other code" (of another version of this package,
        whose extractions alone read it); "damaged"; "left over" by a process that was killed;
        "foreign" (a file that is none of the store's, and is never removed).

    Raises
    ------
    InputError
        If it is no store.

    See Also
    --------
    prune_store : Remove activations that are not needed.
    load_activations : Open activations that are kept in a store, without the network.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.extraction import list_store
    >>> faces = rf.datasets.images92().stimuli.query("face and human")
    >>> store = getfixture("tmp_path") / "activations"
    >>> _ = rf.extract(rf.load_network("pixels"), faces, store=store)
    >>> list_store(store)[["network", "layers", "images", "state"]].values.tolist()
    [['pixels', 1, 12, 'current']]
    """
    check_arguments(list_store, locals())
    parts = _parts(Path(path))
    rows = []
    for (folder, state), group in parts.groupby(["name", "state"], sort=True):
        row = {"name": folder, "network": group["network"].iloc[0], "state": state}
        row |= {column: len(set().union(*group[column])) for column in ("layers", "images")}
        row |= {"n_bytes": int(group["n_bytes"].sum())}
        rows.append(row | {"used": group["used"].min()})
    return pd.DataFrame(rows, columns=_COLUMNS)


def prune_store(
    path: str | os.PathLike[str],
    *,
    older_than: float | None = None,
    max_size: str | int | None = None,
    unused: bool = False,
    delete: bool = False,
) -> pd.DataFrame:
    """Remove activations that are not needed from a store, or say which would go.

    Parameters
    ----------
    path : path-like
        The folder that was `store` of :func:`rsa_faces.extract`.
    older_than : float, optional
        Days: what was not read or written for longer goes.
    max_size : str or int, optional
        Such as "20GB": what is of other versions of this package, then what was used least lately
        goes, until the rest is no larger.
    unused : bool, default False
        What no extraction reads any more goes: of other versions of this package, damaged, or left
        over by processes that were killed more than a day ago.
    delete : bool, default False
        Remove it. By default nothing is touched.

    Returns
    -------
    DataFrame
        The files that go, with the columns ``file``, ``network``, ``n_bytes``, ``used`` (days ago)
        and ``why``.

    Raises
    ------
    InputError
        If it is no store, or nothing says what should go.

    See Also
    --------
    list_store : List what a store of activations holds.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.extraction import prune_store
    >>> faces = rf.datasets.images92().stimuli.query("face and human")
    >>> store = getfixture("tmp_path") / "activations"
    >>> _ = rf.extract(rf.load_network("pixels"), faces, store=store)
    >>> len(prune_store(store, older_than=30)), len(prune_store(store, max_size="1KB"))
    (0, 2)
    """
    check_arguments(prune_store, locals())
    path = Path(path)
    parts = _parts(path)
    if older_than is None and max_size is None and not unused:
        raise InputError("expected older_than, max_size or unused=True: what should go? Got none.")
    why = pd.Series("", index=parts.index)
    # A part younger than a day may be what a running extraction is writing.
    left = parts["state"].eq("left over") & (parts["used"] > 1)
    if unused:
        why[left | parts["state"].isin(["other code", "damaged"])] = "unused"
    rows = parts["state"].isin(["current", "other code"])
    if older_than is not None:
        why[rows & (parts["used"] > older_than) & (why == "")] = f"not used for {older_than:g} days"
    if max_size is not None:
        # What the present code can read is kept before what it cannot, and what was used lately
        # before the rest.
        stays = parts[rows & (why == "")].sort_values(["state", "used"])  # "current" comes first
        over = stays["n_bytes"].cumsum() > parse_bytes(max_size)
        why[over.index[over]] = "least lately used"
    gone = parts.assign(why=why)[why != ""]
    if delete:
        for file in gone["file"]:
            Path(file).unlink(missing_ok=True)
        _forget(path)
    return gone[["file", "network", "n_bytes", "used", "why"]].reset_index(drop=True)


def _parts(path: Path) -> pd.DataFrame:
    """Return a row for each file of a store but its lists."""
    check_store(path)
    if not is_store(path):
        raise InputError(f"expected a store of activations, but {path} is none, or an empty one.")
    rows, now = [], time.time()
    for file in sorted(path.iterdir()):
        header: dict = {"key": {"network": "", "code": ""}, "layers": {}, "images": []}
        if file.match(LISTS):
            continue
        if file.name[0] == "." and ".part" in file.name:
            state = "left over"
        elif not file.match(PARTS):
            state = "foreign"
        else:
            try:
                header = Part.read(file).header
                state = "current" if header["key"]["code"] == code_version() else "other code"
            except InputError:
                state = "damaged"
        status = file.stat()
        rows.append(
            {
                "file": str(file),
                "name": file.name.rpartition("-")[0] if header["images"] else file.name,
                "network": header["key"]["network"],
                "layers": set(header["layers"]),
                "images": set(header["images"]),
                "n_bytes": status.st_size,
                "used": (now - status.st_mtime) / _DAY,
                "state": state,
            }
        )
    columns = ["file", *_COLUMNS]
    return pd.DataFrame(rows, columns=columns)


def _forget(path: Path) -> None:
    """Remove lists of rows that are gone."""
    for file in path.glob(LISTS):
        header = (kept := Part.read(file)).header
        store = Store(path, header["key"])
        if store.select(kept.layouts, header["images"], header["conditions"]).missing():
            file.unlink()
