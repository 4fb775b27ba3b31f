"""RDMs that other tools wrote: Net2Brain, MNE-RSA, rsatoolbox, NumPy.

Conditions are matched by name, never by position. Names come from the file where the format holds
them; otherwise the user gives them. Nothing is unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces.extraction import Activations
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
from rsa_faces.io.features import read_net2brain_features, read_rsatoolbox_features
from rsa_faces.rdm._rdms import RDMs, concat


def read_net2brain(
    path: str | os.PathLike[str],
    *,
    names: Names | None = None,
    measure: str = "unknown",
    network: str | None = None,
) -> RDMs | Activations:
    """Read RDMs or features that Net2Brain wrote.

    Parameters
    ----------
    path : path-like
        A ``.npz`` or ``.pt`` file of ``RDMCreator.create_rdms``, a ``.npz`` of an earlier version
        or of brain data (one array ``arr_0`` of square matrices), or a folder of such files. A
        folder of features is read by :func:`rsa_faces.io.read_net2brain_features`.
    names : sequence of str or path-like, optional
        Condition names in the order of the rows, or a text file with one name per line. Needed
        where files hold none (``arr_0``); otherwise they must be the same in the same order.
    measure : str, default "unknown"
        The dissimilarity measure: a ``.npz`` holds it pickled only, and it is not read. Net2Brain's
        default, "pearson", is "correlation" here.
    network : str, optional
        Becomes the label ``network``.

    Returns
    -------
    RDMs or Activations
        RDMs: one per layer, in natural order of the file names; label ``layer``. For arrays of
        several RDMs (subjects, times) also ``index``, or ``index_0``, ``index_1``, … from the
        first dimension on, from 0.

    Raises
    ------
    InputError
        If names are missing or do not fit, a matrix is not symmetric, has a diagonal that is not
        zero or a wrong size, or a file is damaged or pickled.

    Notes
    -----
    Matrices in single precision may differ between their halves, and on the diagonal from 0, by
    rounding (16 units of the last place of their largest value): the halves are averaged.

    References
    ----------
    .. [1] Bersch D. et al. (2022). Net2Brain: a toolbox to compare artificial vision models with
       human brain responses. arXiv:2208.09677. doi:10.48550/arXiv.2208.09677

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from rsa_faces.io.rdms import read_net2brain
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(folder + "/RDM_fc.npz", rdm=np.array([1.0, 2, 3]), layer_name="fc",
    ...              stimuli_name=["a", "b", "c"])
    ...     read_net2brain(folder, measure="correlation")
    RDMs(1 RDM, 3 conditions, measure='correlation', labels: layer)
    """
    path = existing(path, "Net2Brain RDMs")
    files = [path]
    if path.is_dir():
        files = [path / name for name in natural(f.name for f in path.iterdir())
                 if Path(name).suffix in {".npz", ".pt"} and not name.startswith(".")]  # fmt: skip
    if not files:
        raise InputError(f"expected .npz or .pt files in {path}, found none.")
    first = _net2brain_parts(files[0])
    if first is None:
        return read_net2brain_features(path, names=names)
    found = []
    for file in files:
        parts = first if file == files[0] else _net2brain_parts(file)
        if parts is None:
            raise InputError(
                f"expected RDMs in every file of {path}, but {file.name} holds something else."
            )
        values, held, layer = parts
        n = len(held) if held is not None else _n_conditions(values, names, file)
        conditions = as_names(held, names, n, str(file))
        labels = {"layer": layer} if network is None else {"network": network, "layer": layer}
        found.append(_rdms(values, conditions, measure, labels, file))
    return concat(found)


def read_mne_rsa(
    rdms: np.ndarray | Sequence[np.ndarray] | str | os.PathLike[str],
    *,
    names: Names,
    measure: str = "unknown",
) -> RDMs:
    """Read RDMs that MNE-RSA computed.

    Parameters
    ----------
    rdms : ndarray, sequence of ndarray, or path-like
        What :func:`mne_rsa.compute_rdm` or :func:`mne_rsa.rdm_array` returned (condensed, shape
        (n_pairs,) or (..., n_pairs)), square matrices, several of either, or a ``.npy`` file.
    names : sequence of str or path-like
        Condition names in the order of the items, or a text file with one per line. MNE-RSA sorts
        items by their label (event code): ``numpy.unique(labels)`` is that order.
    measure : str, default "unknown"
        The dissimilarity measure, for the record.

    Returns
    -------
    RDMs
        With the label ``index`` (from 0) if there are several, or ``index_0``, ``index_1``, … if
        they have several dimensions (searchlight positions, times).

    Raises
    ------
    InputError
        If the length fits no number of names, or a matrix is not an RDM.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.io.rdms import read_mne_rsa
    >>> # as mne_rsa.compute_rdm(patterns) returns it
    >>> theirs = np.array([1.1, 0.9, 1.2, 0.8, 1.0, 1.3])
    >>> read_mne_rsa(theirs, names=list("abcd"), measure="correlation")
    RDMs(1 RDM, 4 conditions, measure='correlation', labels: none)
    """
    if isinstance(rdms, (str, os.PathLike)):
        return read_npy(rdms, names=names, measure=measure)
    if not isinstance(rdms, np.ndarray):
        rdms = list(rdms)
        shapes = {np.shape(rdm) for rdm in rdms}
        if len(shapes) != 1:
            raise InputError(
                f"expected RDMs of one shape, got {len(rdms)} of "
                f"{', '.join(map(str, sorted(shapes))) or 'none'}."
            )
        rdms = np.stack([np.asarray(rdm) for rdm in rdms])
    return _from_array(rdms, names, measure, "the array")


def read_npy(path: str | os.PathLike[str], *, names: Names, measure: str = "unknown") -> RDMs:
    """Read RDMs from a NumPy file.

    Parameters
    ----------
    path : path-like
        A ``.npy`` file: one condensed vector (n_pairs,) or square matrix (n, n), or several, shape
        (..., n_pairs) or (..., n, n). With three names a 3 × 3 array is one square matrix.
    names : sequence of str or path-like
        Condition names in the order of the rows, or a text file with one per line.
    measure : str, default "unknown"
        The dissimilarity measure, for the record.

    Returns
    -------
    RDMs
        With the label ``index`` (from 0) if there are several, or ``index_0``, ``index_1``, … if
        they have several dimensions.

    Raises
    ------
    InputError
        If the shape fits no number of names, a matrix is not symmetric or its diagonal is not
        zero, or the file is damaged or pickled.

    Notes
    -----
    Matrices in single precision may differ between their halves, and on the diagonal from 0, by
    rounding (16 units of the last place of their largest value): the halves are averaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from rsa_faces.io.rdms import read_npy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/rdm.npy", np.array([[0, 1.0], [1.0, 0]]))
    ...     read_npy(folder + "/rdm.npy", names=["face", "house"])
    RDMs(1 RDM, 2 conditions, measure='unknown', labels: none)
    """
    path = existing(path, "a NumPy file")
    return _from_array(load_npy(path), names, measure, str(path))


def read_rsatoolbox(
    path: str | os.PathLike[str], *, names: Names | None = None, descriptor: str | None = None
) -> RDMs | Activations:
    """Read RDMs or a Dataset that rsatoolbox saved with ``file_type="hdf5"``.

    Parameters
    ----------
    path : path-like
        The HDF5 file. A Dataset is read by :func:`rsa_faces.io.read_rsatoolbox_features`.
    names : sequence of str or path-like, optional
        Condition names in the order of the patterns, or a text file with one per line; needed if
        the file has no ``pattern_descriptors`` besides ``index``; otherwise these must be the same
        in the same order.
    descriptor : str, optional
        Which of the ``pattern_descriptors`` (of a Dataset, ``obs_descriptors``) holds the names;
        needed if there are several.

    Returns
    -------
    RDMs or Activations
        RDMs: ``rdm_descriptors`` become labels, as they do with :meth:`RDMs.from_rsatoolbox`.

    Raises
    ------
    InputError
        If the file is pickled, damaged or something else, or names do not fit.

    References
    ----------
    .. [1] van den Bosch J. J. F. et al. (2025). A Python toolbox for representational similarity
       analysis. eLife 14, RP107828. doi:10.7554/eLife.107828

    Examples
    --------
    >>> import tempfile
    >>> import rsa_faces as rf
    >>> from rsa_faces.io.rdms import read_rsatoolbox
    >>> rdms = rf.RDMs([[1.0, 2, 3]], ["a", "b", "c"], "euclidean", {"subject": ["s1"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rdms.to_rsatoolbox().save(folder + "/rdms.hdf5", file_type="hdf5")
    ...     read_rsatoolbox(folder + "/rdms.hdf5").equals(rdms)
    True
    """
    path = existing(path, "rsatoolbox RDMs")
    content = toolbox_content(path)
    if "measurements" in content:
        return read_rsatoolbox_features(path, names=names, descriptor=descriptor)
    if "dissimilarities" not in content:
        raise InputError(
            f"expected rsatoolbox RDMs or a Dataset in {path}, but its parts are "
            f"{', '.join(map(repr, content)) or 'none'}."
        )
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


def _from_array(values: Any, names: Names, measure: str, where: str | Path) -> RDMs:
    """Return RDMs of an array that holds no names."""
    values = np.asarray(values)
    conditions = as_names(None, names, _n_conditions(values, names, where), str(where))
    return _rdms(values, conditions, measure, {}, where)


def _rdms(
    values: np.ndarray, conditions: Sequence[str], measure: str, labels: dict, where: str | Path
) -> RDMs:
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
    return RDMs(vectors, conditions, measure, pd.DataFrame(columns, index=range(len(vectors))))


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
    kind = values.dtype
    square = values.astype(np.float64)
    row, col = np.triu_indices(n, k=1)
    for i, matrix in enumerate(square):
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
        if kind.kind == "f" and kind.itemsize < 8:
            slack = 16 * np.finfo(kind).eps * np.nanmax(np.abs(matrix), initial=0)
            apart = np.nan_to_num(np.abs(matrix - matrix.T), nan=0.0)
            if apart.max() <= slack and np.abs(diagonal).max() <= slack:
                square[i] = (matrix + matrix.T) / 2
                np.fill_diagonal(square[i], 0.0)
    try:
        return RDMs.from_matrices(square, [str(i) for i in range(n)], "unknown").vectors
    except InputError as err:
        raise InputError(f"{where}: {err}") from err


def _plain(value: Any) -> Any:
    """Return text, numbers and booleans of Python."""
    value = as_text(value) if isinstance(value, bytes) else value
    return value.item() if isinstance(value, np.generic) else value
