"""What a figure of a map shows: a value for each place, and what its colours mean."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize

from rsa_faces._core.checks import check_above, check_choice, check_flags
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import counted
from rsa_faces.brain import Surface, Volume
from rsa_faces.figures._parts import amount_scale, scale_of, signed_scale
from rsa_faces.figures._style import similarity_label
from rsa_faces.mapping import BestModels, CeilingMap, SearchlightMap


@dataclass(frozen=True)
class Shown:
    """What is drawn: a value for each place (NaN: nothing), and what its colours mean."""

    values: np.ndarray
    space: Volume | Surface
    cmap: Colormap
    norm: Normalize
    label: str
    names: tuple[str, ...] = ()  # of the numbers 0, 1, … of a best-model map

    def colors(self, n: int) -> list:
        """Return a colour for each name, or n along the scale."""
        return [*self.cmap(np.arange(len(self.names)) if self.names else np.linspace(0, 1, n))]


def numbers_of(similarity, model, space, label) -> tuple[Shown, str]:
    """Return the numbers of a map, and the name of what they are."""
    if isinstance(similarity, BestModels):
        raise InputError("expected numbers, got BestModels: draw them with plot_best_models().")
    if isinstance(similarity, SearchlightMap):
        index = similarity.model_index(model)
        values, name = similarity.similarity[index], similarity.names[index]
    elif isinstance(similarity, CeilingMap):
        bound = (
            "lower" if model is None else check_choice(str(model), ["lower", "upper"], what="bound")
        )
        values = getattr(similarity, bound)
        name = f"{bound} noise ceiling, {counted(similarity.n_subjects, 'subject')}"
    else:
        if not isinstance(space, (Volume, Surface)) or label is None:
            raise InputError(
                "expected `space` (a Volume or Surface, such as maps.space) and `label` with an "
                f"array, got space {type(space).__name__} and label {label!r}."
            )
        values, name = np.asarray(similarity), label
    if isinstance(similarity, (SearchlightMap, CeilingMap)):
        space = similarity.space
        label = similarity_label(similarity.method) if label is None else label
    if values.shape != (space.n_places,):
        raise InputError(
            f"expected one value for each of {space.n_places} places, got shape {values.shape}."
        )
    values = values.astype(np.float64)
    scale = scale_of(values)
    if isinstance(similarity, SearchlightMap):
        scale = signed_scale(values)
    elif isinstance(similarity, CeilingMap):
        scale = amount_scale(values)
    return Shown(values, space, _over_anatomy(scale), scale.norm, label), name


def limited(shown: Shown, threshold, where, limit) -> Shown:
    """Return a map with its scale, without the places that have no colour."""
    for value, what in ((threshold, "threshold"), (limit, "limit")):
        if value is not None:
            check_above(value, 0, what=f"{what} to be a number")
    values = shown.values.copy()
    if threshold is not None:
        values[~(np.abs(values) >= threshold)] = np.nan
    values[~_allowed(where, shown.space)] = np.nan
    # The scale is that of all values at hand if none is left.
    rest = values[np.isfinite(values)]
    rest = rest if len(rest) else shown.values[np.isfinite(shown.values)]
    scale = (signed_scale if shown.norm.vmin < 0 else amount_scale)(rest, limit)
    return Shown(values, shown.space, _over_anatomy(scale), scale.norm, shown.label)


def _over_anatomy(scale: ScalarMappable) -> Colormap:
    """Return the colours of a scale; places without a number show what is below."""
    return scale.cmap.with_extremes(bad=(0.0, 0.0, 0.0, 0.0))


def ranks_of(best: BestModels, threshold, where) -> Shown:
    """Return the rank in depth of the best model at each place, and a colour for each."""
    n_models = len(best.names)
    depth = np.arange(n_models) if best.depth is None else best.depth
    order = np.argsort(depth, kind="stable")
    rank = np.empty(n_models, int)
    rank[order] = np.arange(n_models)
    fine = (best.index >= 0) & _allowed(where, best.space)
    if threshold is not None:
        fine &= best.similarity >= threshold
    values = np.full(len(best.index), np.nan)
    values[fine] = rank[best.index[fine]]
    shades = np.linspace(0.0, 0.95, n_models) if n_models > 1 else [0.5]
    cmap = ListedColormap(plt.get_cmap("viridis")(shades))
    names = tuple(best.names[i] for i in order)
    # Whole numbers lie in the middle of their colours.
    norm = Normalize(-0.5, n_models - 0.5)
    return Shown(values, best.space, cmap, norm, "best model", names)


def _allowed(where, space) -> np.ndarray:
    """Return which places have a colour."""
    if where is None:
        return np.ones(space.n_places, bool)
    return check_flags(where, space.n_places, what="where")


def surface_of(shown: Shown, values, background, mesh):
    """Return coordinates, faces, a value for each vertex, and what lies under them."""
    mesh = shown.space if mesh is None else mesh
    if not isinstance(mesh, Surface):
        raise TypeError(f"expected mesh to be a Surface, got {type(mesh).__name__}.")
    n_vertices = len(shown.space.mask)
    if len(mesh.vertices) != n_vertices:
        raise InputError(
            f"expected a mesh of {n_vertices} vertices, those of the map, got {len(mesh.vertices)}."
        )
    if background is not None:
        background = np.asarray(background, dtype=np.float64)
        if background.shape != (n_vertices,):
            raise InputError(
                f"expected a background with one value for each of {n_vertices} vertices, got "
                f"shape {background.shape}."
            )
    # Copies: nilearn moves coordinates in place.
    return mesh.vertices.copy(), mesh.faces.copy(), shown.space.to_array(values), background
