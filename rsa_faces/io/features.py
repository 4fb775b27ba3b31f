"""Features that other tools wrote: thingsvision, Net2Brain, rsatoolbox, NumPy.

Rows are matched to conditions by name, never by the order of a folder. Names come from the file
where the format holds them; otherwise the user gives them. Nothing is unpickled.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice, check_enough, check_unique_names
from rsa_faces._core.errors import InputError, check_same_names
from rsa_faces._core.tables import read_matrix
from rsa_faces.extraction import Activations, load_activations
from rsa_faces.io._foreign import (
    MEDIA,
    Names,
    as_list,
    as_names,
    described,
    existing,
    load_hdf5,
    load_mat,
    load_npy,
    load_torch,
    natural,
    opened_npz,
    short_names,
    toolbox_content,
)
from rsa_faces.io._formats import THINGSVISION, settled


def read_features(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    conditions: Names | None = None,
    layers: Sequence[str] | None = None,
    descriptor: str | None = None,
    per: str | None = None,
) -> Activations:
    r"""Read features that another tool, or ``rsa-faces extract``, wrote.

    Parameters
    ----------
    path : path-like
        The file or folder. Of thingsvision [1]_: ``out_path`` of ``save_features`` (holding
        ``features.npy``, ``.hdf5``, ``.mat``, ``.txt`` or ``.pt``, whole or in numbered parts),
        ``output_dir`` of ``extract_features``, or a folder above several; every folder with
        features is one layer. Of Net2Brain [2]_: a folder of ``.npz``, one per image with an array
        per layer or one per layer with an array per image, or one file of the second kind. Of
        rsatoolbox: a Dataset saved with ``file_type="hdf5"``, one row per condition. A ``.npy``,
        shape (n_conditions, ...). A store of ``rsa-faces extract``.
    format : {"rsa-faces", "thingsvision", "net2brain", "rsatoolbox", "npy"}, optional
        By default recognised by the content.
    conditions : sequence of str or path-like, optional
        One name per row, or a text file with one per line: needed where files do not hold names
        (npy; thingsvision without ``file_names.txt``), otherwise they must be the same (in the
        same order, except for Net2Brain, whose files have none).
    layers : sequence of str, optional
        Which layers, in the order wanted; by default all: in natural order of their names
        (``layer2`` before ``layer10``) where files do not say in which order they were computed.
    descriptor : str, optional
        rsatoolbox: which of the ``obs_descriptors`` holds the names; needed if there are several.
    per : {"image", "layer"}, optional
        Net2Brain: what one file is. By default seen from the names: "layer" if they begin with
        "consolidated" or the arrays are named like image files, otherwise "image".

    Returns
    -------
    Activations
        Layers are named by folder, array or file. Conditions are file names without folders and
        suffix, as :func:`rsa_faces.load_stimuli` names images; if two would be the same, with the
        folders in which they differ. More than two dimensions are flattened.

    Raises
    ------
    InputError
        If the format is unknown or holds RDMs; names are missing, not unique, not as many as
        there are rows or other names; a part or an image of a layer is missing or of another
        shape (it is named); values are not finite; or a file is damaged or pickled.

    Notes
    -----
    Nothing is unpickled: a ``.pt`` file is read with ``torch.load(..., weights_only=True)``, which
    builds tensors and runs no code of the file; it needs torch 2.6 or newer. In ``.mat`` files
    written beside a ``file_names.txt`` every image is a variable and is matched by that name.

    See Also
    --------
    read_rdms : The same for RDMs.
    rsa_faces.compute_rdms : Makes RDMs of them.

    References
    ----------
    .. [1] Muttenthaler L., Hebart M. N. (2021). THINGSvision: a Python toolbox for streamlining
       the extraction of activations from deep neural networks. Front Neuroinform 15, 679838.
       doi:10.3389/fninf.2021.679838
    .. [2] Bersch D. et al. (2022). Net2Brain: a toolbox to compare artificial vision models with
       human brain responses. arXiv:2208.09677. doi:10.48550/arXiv.2208.09677

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from rsa_faces.io import read_features
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "features.npy"), np.eye(2))
    ...     _ = Path(folder, "file_names.txt").write_text("b.jpg\na.jpg\n")
    ...     read_features(folder).conditions
    ('b', 'a')
    """
    format = settled(path, "features", format)
    path = existing(path, "features")
    if per is not None and format != "net2brain":
        raise InputError(f"expected `per` for format 'net2brain' only, got it for {format!r}.")
    if format == "thingsvision":
        return _thingsvision(path, conditions, layers)
    if format == "net2brain":
        return _net2brain(path, conditions, layers, per)
    if format == "rsatoolbox":
        features = _rsatoolbox(path, conditions, descriptor)
    elif format == "npy":
        features = _npy(path, conditions)
    else:
        features = load_activations(path)
        as_names(features.conditions, conditions, len(features.conditions), str(path))
    if layers is None:
        return features
    chosen = _chosen(features.layers, layers)
    return Activations(
        {layer: features[layer] for layer in chosen},
        features.conditions,
        network=features.network,
        depth={layer: features.depth[layer] for layer in chosen if layer in features.depth},
        provenance=features.provenance,
    )


def _thingsvision(folder: Path, names: Names | None, layers: Sequence[str] | None) -> Activations:
    """Return what thingsvision saved: every folder with features is one layer."""
    found: dict[str, list[tuple[Path, re.Match]]] = {}
    for path in sorted(folder.rglob("features*")) if folder.is_dir() else []:
        match = THINGSVISION.fullmatch(path.name)
        if match and path.is_file():
            layer = path.parent.relative_to(folder).as_posix()
            found.setdefault(folder.name if layer == "." else layer, []).append((path, match))
    if not found:
        raise InputError(
            f"expected features.npy, .hdf5, .mat, .txt or .pt in {folder} or its subfolders, found "
            "none."
        )
    arrays, conditions, first = {}, None, ""
    for layer in _chosen(natural(found), layers):
        held = _file_names(found[layer][0][0].parent, folder)
        rows, keys = _thingsvision_layer(found[layer])
        own = as_names(held if held is not None else keys, names, len(rows), f"layer {layer!r}")
        if keys is not None:
            rows = _in_order(rows, keys, own, layer)
        if conditions is not None and own != conditions:
            raise InputError(
                f"expected the same images in the same order in every layer, but those of "
                f"{layer!r} are not those of {first!r}. Read the layers one by one."
            )
        conditions, first = own, first or layer
        arrays[layer] = _features(rows, own, layer)
    return Activations(arrays, conditions, provenance={"source": f"thingsvision: {folder}"})


def _net2brain(
    path: Path, names: Names | None, layers: Sequence[str] | None, per: str | None
) -> Activations:
    """Return what Net2Brain extracted: a file per image, or per layer."""
    if per is not None:
        check_choice(per, ("image", "layer"), what="per")
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"expected .npz files in {path}, found none.")
    by_layer: dict[str, dict[str, np.ndarray]] = {}
    per = per or ("layer" if path.is_file() else _net2brain_kind(files))
    for file in files:
        with opened_npz(file) as load:
            for key in load.keys:
                layer, image = _net2brain_place(file.stem, key, per)
                if layers is None or layer in layers:
                    by_layer.setdefault(layer, {})[image] = load(key)
    if not by_layer:
        # Nothing fitted: name the nearest.
        with opened_npz(files[0]) as load:
            _chosen(natural(f.stem for f in files) if per == "layer" else load.keys, layers)
    present = list(dict.fromkeys(image for rows in by_layer.values() for image in rows))
    short = dict(zip(present, short_names(present), strict=True))
    conditions = tuple(sorted(check_unique_names(list(short.values()), what="condition")))
    if names is not None:
        check_same_names(short_names(as_list(names)), conditions, "`conditions`", str(path))
    order = {short[image]: image for image in present}
    arrays = {}
    for layer in _chosen(natural(by_layer) if per == "layer" else list(by_layer), layers):
        rows = by_layer.pop(layer)
        missing = [name for name in conditions if order[name] not in rows]
        if missing:
            raise InputError(
                f"expected layer {layer!r} of every image, but {len(missing)} of "
                f"{len(conditions)} lack it: {', '.join(map(repr, missing[:5]))}. If these are not "
                "images, say what a file is: per='image' or per='layer'."
            )
        stacked = _stack([rows[order[name]] for name in conditions], conditions, layer)
        arrays[layer] = _features(stacked, conditions, layer)
    return Activations(arrays, conditions, provenance={"source": f"Net2Brain: {path}"})


def _rsatoolbox(path: Path, names: Names | None, descriptor: str | None) -> Activations:
    """Return an rsatoolbox Dataset with one row per condition."""
    content = toolbox_content(path, "measurements", "an rsatoolbox Dataset")
    values = np.asarray(content["measurements"])
    if values.ndim != 2:
        raise InputError(
            f"expected measurements of shape (n_conditions, n_channels) in {path}, got "
            f"{values.shape}. Take one time window of a temporal dataset first."
        )
    held = described(content.get("obs_descriptors"), descriptor, "obs_descriptors", path)
    if held is not None and len(set(held)) < len(held):
        raise InputError(
            f"expected one row per condition in {path}, but {len(held)} rows have "
            f"{len(set(held))} names. Average the repeats first, or give the measurements to "
            "compute_rdms with conditions and folds."
        )
    return _of_one_layer(path, values, as_names(held, names, len(values), str(path)), "rsatoolbox")


def _npy(path: Path, names: Names | None) -> Activations:
    """Return the array of a NumPy file as one layer."""
    values = load_npy(path)
    if values.ndim < 2:
        raise InputError(
            f"expected features of shape (n_conditions, n_channels) in {path}, got {values.shape}."
        )
    return _of_one_layer(path, values, as_names(None, names, len(values), str(path)), "NumPy")


def _of_one_layer(path: Path, values: Any, conditions: tuple[str, ...], tool: str) -> Activations:
    """Return the rows of a file as features of a layer of its name."""
    features = {path.stem: _features(values, conditions, path.stem)}
    return Activations(features, conditions, provenance={"source": f"{tool}: {path}"})


def _chosen(present: Sequence[str], layers: Sequence[str] | None) -> list[str]:
    """Return the layers asked for, or all."""
    if layers is None:
        return list(present)
    wanted = [layers] if isinstance(layers, str) else list(layers)
    check_enough(len(wanted), 1, "layer")
    return [check_choice(layer, present, what="layer") for layer in wanted]


def _features(rows: Any, conditions: Sequence[str], layer: str) -> np.ndarray:
    """Return features as real, finite numbers, shape (n_conditions, n_channels)."""
    rows = np.asarray(rows)
    if rows.dtype.kind not in "fiub":
        raise InputError(f"expected real numbers in layer {layer!r}, got {rows.dtype}.")
    rows = rows.reshape(len(rows), -1)
    if not rows.shape[1]:
        raise InputError(f"expected channels in layer {layer!r}, but its arrays are empty.")
    finite = np.array([np.isfinite(row).all() for row in rows])
    if not finite.all():
        bad = [conditions[i] for i in np.flatnonzero(~finite)]
        raise InputError(
            f"expected finite features, but layer {layer!r} has NaN or infinite values for "
            f"{len(bad)} of {len(rows)} images: {', '.join(map(repr, bad[:5]))}."
        )
    return rows


def _stack(rows: Sequence[np.ndarray], names: Sequence[str], layer: str) -> np.ndarray:
    """Return arrays of one shape as rows; an image of another shape is named."""
    shapes = [np.shape(row) for row in rows]
    usual = Counter(shapes).most_common(1)[0][0]
    odd = [i for i, shape in enumerate(shapes) if shape != usual]
    if odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise InputError(
            f"expected one shape for all images in layer {layer!r}, but {names[odd[0]]!r} has "
            f"{shapes[odd[0]]}{more} and most have {usual}. Extract from images of one size, or "
            "pool first."
        )
    return np.stack(rows)


def _file_names(folder: Path, top: Path) -> list[str] | None:
    """Return the lines of the nearest file_names.txt from a folder up to the top one."""
    while True:
        if (folder / "file_names.txt").is_file():
            return as_list(folder / "file_names.txt")
        if folder == top:
            return None
        folder = folder.parent


def _thingsvision_layer(
    files: Sequence[tuple[Path, re.Match]],
) -> tuple[np.ndarray, list[str] | None]:
    """Return the rows of a layer, and the name of each if the files hold them."""
    folder = files[0][0].parent
    for what, said in (("kind", "formats"), ("tag", "sets of images")):
        differ = sorted({match[what] for _, match in files})
        if len(differ) > 1:
            raise InputError(
                f"expected one of several {said} in {folder}, found {', '.join(map(repr, differ))}."
                " Move the others away."
            )
    readers: dict[str, Callable[[Path], Any]] = {
        "npy": load_npy,
        "txt": read_matrix,
        "mat": load_mat,
        "pt": load_torch,
        "hdf5": load_hdf5,
    }
    read = readers[files[0][1]["kind"]]
    whole = [path for path, match in files if not (match["first"] or match["part"])]
    if whole:
        if len(files) > 1:
            raise InputError(
                f"expected features whole or in parts, but {folder} has both. Move one away."
            )
        return _rows(read(whole[0]), whole[0])
    parts = sorted(files, key=lambda file: int(file[1]["first"] or file[1]["part"]))
    blocks = [_rows(read(path), path) for path, _ in parts]
    end = 0
    for i, ((path, match), (rows, _)) in enumerate(zip(parts, blocks, strict=True)):
        first = int(match["first"]) if match["first"] else end
        last = int(match["last"]) if match["last"] else end + len(rows)
        if (
            first != end
            or last - first != len(rows)
            or (match["part"] and int(match["part"]) != i + 1)
        ):
            raise InputError(
                f"expected parts without gaps in {folder}, but after {end} rows comes {path.name} "
                f"with {len(rows)}. A part is missing, or the extraction did not finish."
            )
        end = last
    keys = [key for _, own in blocks for key in own or []]
    return np.concatenate([rows for rows, _ in blocks]), keys or None


def _rows(content: Any, path: Path) -> tuple[np.ndarray, list[str] | None]:
    """Return an array of rows; a dictionary gives a row per key."""
    if isinstance(content, dict):
        keys = list(content)
        return _stack([content[key] for key in keys], keys, path.parent.name), keys
    if hasattr(content, "numpy"):
        # NumPy has no bfloat16.
        content = (content.float() if "bfloat16" in str(content.dtype) else content).numpy()
    if not isinstance(content, np.ndarray) or content.ndim < 2:
        raise InputError(
            f"expected features of shape (n_images, ...) in {path}, got "
            f"{getattr(content, 'shape', type(content).__name__)}."
        )
    return content, None


def _in_order(
    rows: np.ndarray, keys: Sequence[str], names: Sequence[str], layer: str
) -> np.ndarray:
    """Return rows in the order of the names, matched by key."""
    position = {short: i for i, short in enumerate(short_names(keys))}
    missing = [name for name in names if name not in position]
    if missing or len(position) != len(names):
        raise InputError(
            f"expected a row for each of {len(names)} images in layer {layer!r}, but it has "
            f"{len(position)} and {len(missing)} are missing: "
            f"{', '.join(map(repr, missing[:5])) or 'none'}."
        )
    return rows[[position[name] for name in names]]


def _net2brain_place(stem: str, key: str, per: str) -> tuple[str, str]:
    """Return the layer and the image of an array by the names of its file and itself."""
    if per == "layer":
        return re.sub(r"^consolidated_|_consolidated$", "", stem), key
    # The first versions wrote one file per layer and image.
    if Path(key).suffix.lower() in MEDIA and stem.endswith(f"_{key}"):
        return stem.removesuffix(f"_{key}"), key
    return key, stem


def _net2brain_kind(files: Sequence[Path]) -> str:
    """Return whether the files are one per image or one per layer."""
    if all("consolidated" in file.name for file in files):
        return "layer"
    if any("consolidated" in file.name for file in files):
        raise InputError(
            f"expected features per image or per layer, but {files[0].parent} holds both. Move one "
            "kind away."
        )
    if all(Path(file.stem).suffix.lower() in MEDIA for file in files):
        return "image"
    with opened_npz(files[0]) as load:
        if load.keys and all(Path(key).suffix.lower() in MEDIA for key in load.keys):
            return "layer"
    return "image"
