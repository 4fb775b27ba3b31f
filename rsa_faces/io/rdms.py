"""RDMs that other tools wrote: Net2Brain, MNE-RSA, rsatoolbox, NumPy.

Conditions are matched by name, never by position. Names come from the file where the format holds
them; otherwise the user gives them. Nothing is unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces.io._foreign import (
    Names,
    as_list,
    as_names,
    as_text,
    described,
    existing,
    listed,
    load_npy,
    load_torch,
    natural,
    opened_npz,
    pickled,
    toolbox_content,
)
from rsa_faces.io._formats import settled
from rsa_faces.rdm import RDMs, concat, load_rdms
from rsa_faces.rdm._rdms import symmetric
from rsa_faces.rdm._ties import noted


def read_rdms(
    path: str | os.PathLike[str] | np.ndarray | Sequence[np.ndarray],
    *,
    format: str | None = None,
    conditions: Names | None = None,
    measure: str | None = None,
    label: str | Mapping[str, Any] | None = None,
    descriptor: str | None = None,
) -> RDMs:
    """Read RDMs that another tool, or this one, wrote.

    Parameters
    ----------
    path : path-like, ndarray or sequence of ndarray
        HDF5 that :meth:`RDMs.save` or rsatoolbox [1]_ (``file_type="hdf5"``) wrote; a table with
        the columns condition_a, condition_b, dissimilarity and labels; a ``.npz`` or ``.pt`` of
        Net2Brain [2]_ (``RDMCreator.create_rdms``, or one array ``arr_0`` of square matrices), or
        a folder of them; a ``.npy`` or arrays: vectors (..., n_pairs), as
        ``mne_rsa.compute_rdm`` makes them, or square matrices (..., n, n). With three names a
        3 x 3 array is one square matrix.
    format : {"rsa-faces", "table", "rsatoolbox", "net2brain", "npy"}, optional
        By default recognised by the content.
    conditions : sequence of str or path-like, optional
        Condition names in the order of the rows, or a text file with one per line. Needed where
        files hold none (npy, arrays, ``arr_0``), otherwise they must be the same in the same
        order. MNE-RSA sorts items by their label: ``numpy.unique(labels)`` is that order.
    measure : str, optional
        How the dissimilarities were made. By default what the file says, or "unknown" (npy, and
        ``.npz`` of Net2Brain, whose default "pearson" is "correlation" here).
    label : str or mapping, optional
        Labels to add or replace: a mapping of a name to one value for all RDMs, a value for each,
        or None, which numbers the RDMs from "1" (one RDM alone is called by its file). A name
        alone stands for ``{name: None}``: ``label="subject"``.
    descriptor : str, optional
        rsatoolbox: which of the ``pattern_descriptors`` holds the names; needed if there are
        several.

    Returns
    -------
    RDMs
        Of Net2Brain one per layer, in natural order of the file names, with the label ``layer``;
        of rsatoolbox ``rdm_descriptors`` become labels. Several RDMs in one array have the label
        ``index`` (from 0), or ``index_0``, ``index_1``, ... of several dimensions, unless `label`
        names them.

    Raises
    ------
    InputError
        If the format is unknown or holds features; names are missing or do not fit; a matrix is
        not symmetric, has a diagonal that is not zero or another size; labels are not one per
        RDM; or a file is damaged or pickled.

    Notes
    -----
    Nothing is unpickled. Halves of a matrix may differ, and its diagonal from 0, by rounding in
    single precision (16 units in the last place of the largest value): halves are averaged.

    See Also
    --------
    read_features : The same for features.
    rsa_faces.RDMs.rename : Gives conditions other names.

    References
    ----------
    .. [1] van den Bosch J. J. F. et al. (2025). A Python toolbox for representational similarity
       analysis. eLife 14, RP107828. doi:10.7554/eLife.107828
    .. [2] Bersch D. et al. (2022). Net2Brain: a toolbox to compare artificial vision models with
       human brain responses. arXiv:2208.09677. doi:10.48550/arXiv.2208.09677

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from rsa_faces.io import read_rdms
    >>> two = np.array([[1.0, 2, 3], [3, 2, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/rdms.npy", two)
    ...     read_rdms(folder + "/rdms.npy", conditions=list("abc"), label="subject", format="npy")
    RDMs(2 RDMs, 3 conditions, measure='unknown', labels: subject)
    """
    in_memory = not isinstance(path, (str, os.PathLike))
    where = "the array" if in_memory else str(path)
    if in_memory:
        format = "npy"
        rdms = _arrays(path, conditions)
    else:
        format = settled(path, "rdms", format)
        path = existing(path, "RDMs")
        if format == "net2brain":
            rdms = _net2brain(path, conditions)
        elif format == "rsatoolbox":
            rdms = _rsatoolbox(path, conditions, descriptor)
        elif format == "npy":
            rdms = _from_array(load_npy(path), conditions, where)
        else:
            rdms = load_rdms(path)
            as_names(rdms.conditions, conditions, rdms.n_conditions, where)
    if format in {"net2brain", "rsatoolbox", "npy"}:
        rdms = noted(rdms, where)
    if descriptor is not None and format != "rsatoolbox":
        raise InputError(
            f"expected `descriptor` for format 'rsatoolbox' only, got it for {format!r}."
        )
    if label is not None:
        rdms = _labelled(rdms, label, "1" if in_memory else path.stem)
    return rdms if measure is None else RDMs(rdms.vectors, rdms.conditions, measure, rdms.labels)


def _labelled(rdms: RDMs, label: str | Mapping[str, Any], stem: str) -> RDMs:
    """Return RDMs with labels added; None numbers them."""
    given = {label: None} if isinstance(label, str) else dict(label)
    numbers = [stem] if len(rdms) == 1 else [str(i + 1) for i in range(len(rdms))]
    if None in given.values() and "index" in rdms.labels:
        labels = rdms.labels.drop(columns="index")
        rdms = RDMs(rdms.vectors, rdms.conditions, rdms.measure, labels)
    return rdms.with_labels(**{k: numbers if v is None else v for k, v in given.items()})


def _net2brain(path: Path, names: Names | None) -> RDMs:
    """Return the RDMs of Net2Brain's files, one per layer."""
    files = [path]
    if path.is_dir():
        files = [
            path / name
            for name in natural(f.name for f in path.iterdir())
            if Path(name).suffix in {".npz", ".pt"} and not name.startswith(".")
        ]
    if not files:
        raise InputError(f"expected .npz or .pt files in {path}, found none.")
    found = []
    for file in files:
        parts = _net2brain_parts(file)
        if parts is None:
            raise InputError(
                f"expected RDMs in every file of {path}, but {file.name} holds something else."
            )
        values, held, layer = parts
        n = len(held) if held is not None else _n_conditions(values, names, file)
        conditions = as_names(held, names, n, str(file))
        found.append(_rdms(values, conditions, {"layer": layer}, file))
    return concat(found)


def _arrays(rdms: np.ndarray | Sequence[np.ndarray], names: Names | None) -> RDMs:
    """Return RDMs of arrays, as MNE-RSA computes them."""
    if not isinstance(rdms, np.ndarray):
        rdms = list(rdms)
        shapes = {np.shape(rdm) for rdm in rdms}
        if len(shapes) != 1:
            raise InputError(
                f"expected RDMs of one shape, got {len(rdms)} of "
                f"{', '.join(map(str, sorted(shapes))) or 'none'}."
            )
        rdms = np.stack([np.asarray(rdm) for rdm in rdms])
    return _from_array(rdms, names, "the array")


def _rsatoolbox(path: Path, names: Names | None, descriptor: str | None) -> RDMs:
    """Return RDMs that rsatoolbox saved."""
    content = toolbox_content(path, "dissimilarities", "rsatoolbox RDMs")
    values = np.atleast_2d(_real(np.asarray(content["dissimilarities"]), path))
    held = described(content.get("pattern_descriptors"), descriptor, "pattern_descriptors", path)
    n = len(held) if held is not None else _n_conditions(values, names, path)
    conditions = as_names(held, names, n, str(path))
    columns = {
        key: [_plain(value) for value in listed(column)]
        for key, column in (content.get("rdm_descriptors") or {}).items()
        if key != "index"
    }
    labels = pd.DataFrame(columns, index=pd.RangeIndex(len(values)))
    measure = content.get("dissimilarity_measure")
    return RDMs(
        _vectors(values, len(conditions), path),
        conditions,
        as_text(measure) if measure is not None and as_text(measure) else "unknown",
        labels,
    )


def _net2brain_parts(path: Path) -> tuple[np.ndarray, list[str] | None, str] | None:
    """Return values, names and layer of a file of RDMs; None if it holds features."""
    stem = path.stem.removeprefix("RDM_")
    if path.suffix == ".pt":
        content = load_torch(path)
        if not isinstance(content, dict) or "rdm" not in content:
            raise InputError(
                f"expected a Net2Brain RDM in {path}, a dictionary with 'rdm', got "
                f"{type(content).__name__}."
            )
        held = content.get("stimuli_name")
        values = np.asarray(content["rdm"])
        return values, None if held is None else list(held), content.get("layer_name") or stem
    if path.suffix != ".npz":
        raise InputError(f"expected a .npz or .pt file of Net2Brain, got {path}.")
    with opened_npz(path) as load:
        if load.keys == ["arr_0"]:
            return load("arr_0"), None, stem
        if "rdm" not in load.keys:
            return None
        values = load("rdm")
        return (
            values,
            _unless_pickled(load, "stimuli_name"),
            str((_unless_pickled(load, "layer_name") or [stem])[0]),
        )


def _unless_pickled(load: Any, key: str) -> list[str] | None:
    """Return an array of text; None where it is absent, or None was saved (as a pickle)."""
    if key not in load.keys:
        return None
    try:
        return [str(value) for value in np.atleast_1d(load(key))]
    except InputError as err:
        if str(err) == str(pickled(load.path)):
            return None
        raise


def _from_array(values: Any, names: Names | None, where: str | Path) -> RDMs:
    """Return RDMs of an array that holds no names."""
    values = np.asarray(values)
    conditions = as_names(None, names, _n_conditions(values, names, where), str(where))
    return _rdms(values, conditions, {}, where)


def _rdms(values: np.ndarray, conditions: Sequence[str], labels: dict, where: str | Path) -> RDMs:
    """Return RDMs of an array of condensed vectors or square matrices, with labels by position."""
    values, n = _real(values, where), len(conditions)
    is_square = values.ndim > 1 and values.shape[-2:] == (n, n)
    leading = values.shape[: -2 if is_square else -1]
    vectors = (_squares if is_square else _vectors)(
        values.reshape(-1, *values.shape[len(leading) :]), n, where
    )
    columns = {key: [value] * len(vectors) for key, value in labels.items()}
    if leading:
        positions = np.indices(leading).reshape(len(leading), -1)
        for axis, position in enumerate(positions):
            columns["index" if len(leading) == 1 else f"index_{axis}"] = position
    return RDMs(vectors, conditions, "unknown", pd.DataFrame(columns, index=range(len(vectors))))


def _n_conditions(values: np.ndarray, names: Names | None, where: str | Path) -> int:
    """Return the number of conditions an array is over, as its shape says."""
    shape = np.shape(values)
    if len(shape) > 1 and shape[-1] == shape[-2]:
        n_square = shape[-1]
        # A stack of as many vectors as they have pairs is not a matrix, unless there are 3.
        if not _fits(n_square) or names is None or len(as_list(names)) == n_square:
            return n_square
    if not shape or not (n := _fits(shape[-1])):
        raise InputError(
            f"expected square matrices, or vectors of n (n - 1) / 2 dissimilarities, from {where}, "
            f"got shape {shape}, which fits no number n of conditions."
        )
    return n


def _fits(n_pairs: int) -> int:
    """Return the number of conditions with so many pairs, 0 if there is none."""
    n = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    return n if n > 1 and n * (n - 1) // 2 == n_pairs else 0


def _real(values: np.ndarray, where: str | Path) -> np.ndarray:
    """Return real numbers; infinite values are refused by RDMs."""
    if values.dtype.kind not in "fiub":
        raise InputError(
            f"expected real numbers as dissimilarities in {where}, got {values.dtype}."
        )
    return values


def _vectors(values: np.ndarray, n: int, where: str | Path) -> np.ndarray:
    """Return condensed vectors of n conditions."""
    if values.shape[-1] != n * (n - 1) // 2:
        raise InputError(
            f"expected {n * (n - 1) // 2} dissimilarities for {n} conditions in {where}, got "
            f"{values.shape[-1]}."
        )
    return values.astype(np.float64)


def _squares(values: np.ndarray, n: int, where: str | Path) -> np.ndarray:
    """Return condensed vectors of square matrices that are RDMs, but for rounding."""
    row, col = np.triu_indices(n, k=1)
    for i, matrix in enumerate(values):
        diagonal = np.diagonal(matrix)
        if np.isnan(diagonal).any():
            raise InputError(
                f"expected zeros on the diagonal, but matrix {i} of {where} has NaN at position "
                f"{np.isnan(diagonal).argmax()}. Set the diagonal to 0."
            )
        if np.isinf(matrix).any():
            r, c = np.argwhere(np.isinf(matrix))[0]
            raise InputError(
                f"expected finite dissimilarities, or NaN for a pair not measured, but matrix {i} "
                f"of {where} has {matrix[r, c]} at ({r}, {c})."
            )
    try:
        return symmetric(values)[:, row, col]
    except InputError as err:
        raise InputError(f"{where}: {err}") from err


def _plain(value: Any) -> Any:
    """Return text, numbers and booleans of Python."""
    value = as_text(value) if isinstance(value, bytes) else value
    return value.item() if isinstance(value, np.generic) else value
