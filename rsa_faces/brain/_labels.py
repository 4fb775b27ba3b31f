"""Atlases of all kinds as one index per place, and the indices of each name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError, MissingFileError
from rsa_faces._core.tables import read_table
from rsa_faces.brain._region import Region
from rsa_faces.brain.files import readable
from rsa_faces.brain.images import open_image, open_label_table

_BACKGROUND = ("background", "unknown", "???", "medial_wall", "medial wall")
_MAPS = "expected an atlas of labels"


def label_maps(atlas: Any, table: Any) -> tuple[Region, np.ndarray, dict[str, list], str | None]:
    """Return places, the index of each, the indices of each name, and the space if it is known."""
    template = None
    if isinstance(atlas, Mapping) and "maps" in atlas:
        if atlas.get("atlas_type") == "probabilistic":
            raise InputError(
                f"{_MAPS}, got a probabilistic one. Take its maximum probability version, or make "
                "a mask of each map."
            )
        table = _nilearn_table(atlas) if table is None else table
        template = atlas.get("template")
        template = None if template is None else _short(str(template))
        atlas = atlas["maps"]
    if isinstance(atlas, (str, os.PathLike)) and Path(atlas).suffix == ".annot":
        atlas = {_hemisphere_of(Path(atlas)): atlas}
    if isinstance(atlas, Mapping) and set(atlas) <= {"left", "right"}:
        space, values, names = _hemispheres(atlas, table)
        return space, values, names, template
    image = open_image(atlas, "the atlas")
    if image.n_maps != 1:
        raise InputError(f"{_MAPS}, one index per place, got {image.n_maps} maps.")
    values = _whole(image.read(image.space)[0])
    if table is None:
        table = open_label_table(atlas)
    names = _names(table, values)
    return image.space, values, names, template or image.space.template


def background(name: str, indices: list) -> bool:
    """Whether a label is what is left over."""
    return 0 in indices or name.lower() in _BACKGROUND


def freesurfer_label(
    path: Path, name: str, hemisphere: str | None, n_vertices: int | None, template: str | None
) -> Region:
    """Read a list of vertices."""
    from nibabel.freesurfer import read_label

    if not path.is_file():
        raise MissingFileError(f"expected a label file, but {path} does not exist.")
    hemisphere = hemisphere or _hemisphere_of(path)
    check_choice(hemisphere, ("left", "right"), what="hemisphere")
    if n_vertices is None:
        raise InputError(
            f"expected n_vertices for {path.name!r}: a label file does not say how many vertices "
            "the hemisphere has (fsaverage: 163842)."
        )
    with readable(f"a label ({path.name})"):
        vertices = np.atleast_1d(read_label(path))
    if not len(vertices):
        raise InputError(f"expected a label with at least one vertex, but {path.name!r} is empty.")
    if vertices.max() >= n_vertices or vertices.min() < 0:
        raise InputError(
            f"expected vertices of {path.name!r} from 0 to {n_vertices - 1}, got {vertices.max()}."
        )
    mask = np.zeros(n_vertices, dtype=bool)
    mask[vertices] = True
    return Region(**{hemisphere: mask}, name=name, template=template)


def _hemispheres(atlas: Mapping[str, Any], table: Any):
    """Read the labels of one or both hemispheres; names that are in both cover both."""
    masks, values, names = {}, [], {}
    for part in ("left", "right"):
        if part not in atlas:
            continue
        index, own = _one_hemisphere(atlas[part], table, part)
        # Left and right may use an index for different names.
        offset = 0 if part == "left" else 1 + max((int(v.max()) for v in values), default=0)
        masks[part] = np.ones(len(index), dtype=bool)
        values.append(np.where(index > 0, index + offset, index))
        for name, indices in own.items():
            names.setdefault(name, []).extend(i + offset if i > 0 else i for i in indices)
    if not masks:
        raise InputError(f"{_MAPS} of 'left' or 'right', got an empty mapping.")
    return Region(**masks), np.concatenate(values), names


def _one_hemisphere(img: Any, table: Any, part: str) -> tuple[np.ndarray, dict[str, list]]:
    """Return the index of each vertex and the indices of each name."""
    if isinstance(img, (str, os.PathLike)) and Path(img).suffix == ".annot":
        from nibabel.freesurfer import read_annot

        if not Path(img).is_file():
            raise MissingFileError(f"expected an annotation, but {img} does not exist.")
        with readable(f"an annotation ({Path(img).name})"):
            index, _, names = read_annot(img)
        index = index.astype(np.int64) + 1  # vertices without a label are -1: background here
        return index, {name.decode(): [i + 1] for i, name in enumerate(names)}
    image = open_image({part: img}, "the atlas")
    if image.n_maps != 1:
        raise InputError(f"{_MAPS}, one index per vertex, got {image.n_maps} maps.")
    values = _whole(image.read(image.space)[0])
    return values, _names(open_label_table(img) if table is None else table, values)


def _whole(values: np.ndarray) -> np.ndarray:
    """Return indices as whole numbers; NaN is background."""
    values = np.where(np.isnan(values), 0.0, values)
    if (values != np.rint(values)).any():
        raise InputError(f"{_MAPS}, whole numbers, got {values[values != np.rint(values)][0]:g}.")
    return values.astype(np.int64)


def _names(table: Any, values: np.ndarray) -> dict[str, list]:
    """Return the indices of each name; each index in the image must have one."""
    if table is None:
        raise InputError(
            "expected `table`, the name of each index of the atlas, because the image has none: "
            "a table with the columns index and name, or a mapping."
        )
    if isinstance(table, (pd.DataFrame, str, os.PathLike)):
        table = read_table(table, what="a table of labels", text=["name"], numbers=["index"])
        if (bad := table["index"] % 1 != 0).any():
            raise InputError(
                "expected whole numbers in the column 'index' of the table of labels, got "
                f"{table['index'][bad].iloc[0]:g} for {table['name'][bad].iloc[0]!r}."
            )
        pairs = zip(table["index"], table["name"], strict=True)
    elif isinstance(table, Mapping):
        pairs = table.items()
    else:
        raise TypeError(f"expected a table or a mapping of labels, got {type(table).__name__}.")
    names: dict[str, list] = {}
    for index, name in pairs:
        names.setdefault(str(name), []).append(int(index))
    known = {index for indices in names.values() for index in indices} | {0}
    if unknown := sorted(set(np.unique(values).tolist()) - known):
        raise InputError(
            f"expected a name for every index in the atlas, but {len(unknown)} have none: "
            f"{', '.join(map(str, unknown[:5]))}."
        )
    return names


def _nilearn_table(atlas: Mapping[str, Any]) -> dict[int, str]:
    """Return the name of each index of an atlas of nilearn."""
    lut = atlas.get("lut")
    if isinstance(lut, pd.DataFrame):
        return {int(i): str(n) for i, n in zip(lut["index"], lut["name"], strict=True)}
    labels = [n.decode() if isinstance(n, bytes) else str(n) for n in atlas["labels"]]
    indices = atlas.get("indices")
    if indices is not None:
        return dict(zip((int(i) for i in indices), labels, strict=False))
    start = 0 if labels and labels[0].lower() in _BACKGROUND else 1
    return dict(enumerate(labels, start=start))


def _hemisphere_of(path: Path) -> str:
    """Return the hemisphere in the name of a FreeSurfer file."""
    for start, part in (("lh.", "left"), ("rh.", "right")):
        if path.name.startswith(start):
            return part
    raise InputError(
        f"expected a name that starts with 'lh.' or 'rh.', got {path.name!r}. Say the hemisphere."
    )


def _short(template: str) -> str:
    """Return the name of a template without its version."""
    match = re.match(r"[0-9A-Za-z]+", template)
    return match.group(0) if match else template
