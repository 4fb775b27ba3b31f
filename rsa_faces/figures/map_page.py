"""Pages to look around in a map of the brain: one HTML file that needs nothing else."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.brain import Surface, Volume
from rsa_faces.figures._pages import Page, surface_page, volume_page
from rsa_faces.figures._shown_map import Shown, limited, numbers_of, ranks_of, surface_of
from rsa_faces.figures._upright import upright, upright_image
from rsa_faces.mapping import BestModels, CeilingMap, SearchlightMap


def view_map(
    similarity: SearchlightMap | CeilingMap | BestModels | np.ndarray,
    *,
    model: int | str | None = None,
    threshold: float | None = None,
    where: Any = None,
    space: Volume | Surface | None = None,
    label: str | None = None,
    limit: float | None = None,
    background: Any = None,
    mesh: Surface | None = None,
    hemisphere: str = "left",
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Page:
    """Make a page to look around in a map: one HTML file that needs nothing else.

    Parameters
    ----------
    similarity : SearchlightMap, CeilingMap, BestModels, or array_like of shape (n_places,)
        As for :func:`plot_map` and :func:`plot_best_models`.
    model, threshold, where, space, label, limit, background, mesh, hemisphere, title
        As for :func:`plot_map`.
    path : path-like, optional
        Where to write the page (whole or not at all).

    Returns
    -------
    Page
        Shows itself in a notebook; ``open_in_browser()`` elsewhere, ``save(path)``, ``html``.

    Raises
    ------
    InputError
        As for :func:`plot_map`.

    See Also
    --------
    plot_map : Draw a map as slices through the brain, or as views of a surface.

    Notes
    -----
    Nothing is fetched from the network, and nothing sent. Volumes are three slices through a
    point that can be moved, surfaces can be turned (in a browser with WebGL); the value at the
    point is written below.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Volume
    >>> from rsa_faces.figures import view_map
    >>> space = Volume(np.ones((8, 8, 8), bool), np.diag([3.0, 3, 3, 1]))
    >>> page = view_map(np.linspace(0.1, 1, 512), space=space, label="a number")
    >>> "http" in page.html.split("<body")[0]
    False
    """
    check_choice(hemisphere, ["left", "right"], what="hemisphere")
    if isinstance(similarity, BestModels):
        shown, name = ranks_of(similarity, threshold, where), "best model"
    else:
        shown, name = numbers_of(similarity, model, space, label)
        shown = limited(shown, threshold, where, limit)
    title = name if title is None else title
    if isinstance(shown.space, Surface):
        page = _surface_page(shown, background, mesh, hemisphere, title)
    else:
        page = _volume_page(shown, background, title)
    if path is not None:
        page.save(path)
    return page


def _surface_page(shown: Shown, background, mesh, hemisphere, title) -> Page:
    """Return a page with a surface that can be turned."""
    vertices, faces, values, under = surface_of(shown, shown.values, background, mesh)
    colors = np.full((len(values), 3), 0.85)
    if under is not None:
        # A few extreme values would take up the range of greys.
        low, high = np.nanpercentile(under, [2, 98])
        gray = 0.9 - 0.45 * np.clip((under - low) / max(high - low, 1e-12), 0.0, 1.0)
        colors[:] = np.nan_to_num(gray, nan=0.85)[:, None]
    has = np.isfinite(values)
    colors[has] = shown.cmap(shown.norm(values[has]))[:, :3]
    return surface_page(
        vertices,
        faces,
        values,
        colors,
        names=shown.names,
        label=shown.label,
        title=title,
        scale=shown.colors(32),
        limits=(float(shown.norm.vmin), float(shown.norm.vmax)),
        view=hemisphere,
    )


def _volume_page(shown: Shown, background, title) -> Page:
    """Return a page with slices through a point that can be moved."""
    grid, mask = upright(shown.space, shown.values), upright(shown.space, None)
    has = np.isfinite(grid.array)
    if len(shown.names) > 255:
        raise InputError(f"expected at most 255 models in a page, got {len(shown.names)}.")
    codes = np.zeros(grid.array.shape, np.uint8)
    if shown.names:
        codes[has] = grid.array[has].astype(int) + 1
    else:
        # 0 is left for places without a colour.
        codes[has] = 1 + np.clip(shown.norm(grid.array[has]) * 255, 0, 254).astype(int)
    colors = shown.colors(255)
    if background is None:
        gray, under = np.where(np.isnan(mask.array), 0, 227), mask
    else:
        under = upright_image(background)
        low, high = np.nanpercentile(under.array, [2, 99.5])
        gray = np.nan_to_num(1 + 229 * np.clip((under.array - low) / max(high - low, 1e-12), 0, 1))
    place = np.abs(np.where(has, grid.array, 0.0)).argmax() if has.any() else codes.size // 2
    start = grid.origin + grid.step * np.unravel_index(place, codes.shape)
    return volume_page(
        {"array": grid.array, "origin": grid.origin, "step": grid.step},
        {"array": gray, "origin": under.origin, "step": under.step},
        codes,
        palette=colors,
        scale=colors if shown.names else colors[::8],
        names=shown.names,
        label=shown.label,
        limits=(float(shown.norm.vmin), float(shown.norm.vmax)),
        start=start.tolist(),
        smooth=background is not None,
        title=title,
    )
