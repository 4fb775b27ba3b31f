"""Brains of several parts: both hemispheres, and voxels below the cortex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.brain import Surface
from rsa_faces.brain.images import open_image
from rsa_faces.brain.masks import as_region, mask_on
from rsa_faces.inference.maps import SignFlipTest, sign_flip_test
from rsa_faces.mapping._map import SearchlightMap
from rsa_faces.mapping.groups import values_of
from rsa_faces.mapping.peaks import neighbours

PARTS = ("left", "right", "volume")


def image_parts(
    img: Any, *, mask_img: Any = None, meshes: Mapping[str, Surface] | None = None
) -> dict[str, dict[str, Any]]:
    """Split an image of hemispheres and voxels into what :func:`searchlight` takes.

    Parameters
    ----------
    img : image, path, sequence or mapping
        CIFTI, a mapping of "left" and "right" to GIFTI, or anything else that
        :func:`rsa_faces.brain.load_patterns` reads.
    mask_img : image, Region, mapping or path-like, optional
        Places to use, in the same space (nothing is resampled). By default all.
    meshes : mapping of "left" and "right" to Surface, optional
        Geometry of the hemispheres, such as :func:`rsa_faces.brain.fsaverage` or
        :func:`rsa_faces.brain.load_surface`; their own masks hold, too.

    Returns
    -------
    dict of str to dict
        For each part there is ("left", "right", "volume") the arguments ``img`` and ``mesh``, or
        ``img`` and ``mask_img``, of :func:`searchlight`.

    Raises
    ------
    InputError
        If a hemisphere has no mesh or one of another number of vertices, or the mask is empty or
        in another space.

    See Also
    --------
    group_test_parts : Test the maps of several parts of the brain together.
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.brain import fsaverage
    >>> from rsa_faces.mapping import image_parts, searchlight
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> model = rf.RDMs(rng.random(66), names, "simulated", {"name": ["a model"]})
    >>> sides = {"left": rng.normal(size=(12, 10242)), "right": rng.normal(size=(12, 10242))}
    >>> parts = image_parts(sides, meshes={side: fsaverage(side) for side in sides})
    >>> maps = {name: searchlight(**part, conditions=names, models=model, radius=6.0)
    ...         for name, part in parts.items()}
    >>> maps["right"]
    SearchlightMap(1 model, 10242 centers, radius 6 mm, 'correlation', 'spearman')
    """
    meshes = {} if meshes is None else dict(meshes)
    for side in meshes:
        check_choice(side, PARTS[:2], what="hemisphere of meshes")
    image = open_image(img, "img")
    space = image.space
    if mask_img is not None:
        space = mask_on(as_region(mask_img), space, False)
    for side, mesh in meshes.items():
        space = _within(space, side, mesh)
    values = image.read(space)
    parts = {}
    for part, inside, rows in space.split(values):
        if part == "volume":
            region = type(space)(space.volume)
            parts[part] = {"img": region.to_img(rows), "mask_img": region.to_img()}
            continue
        if part not in meshes:
            raise InputError(
                f"expected the mesh of the {part} hemisphere, got "
                f"{', '.join(map(repr, meshes)) or 'none'}: `meshes` says how far vertices are "
                "from each other."
            )
        full = np.full((len(rows), len(inside)), np.nan)
        full[:, inside] = rows
        mesh = meshes[part]
        parts[part] = {"img": full, "mesh": Surface(mesh.vertices, mesh.faces, inside)}
    return parts


def group_test_parts(
    maps: Mapping[str, Sequence[SearchlightMap]],
    *,
    model: int | str | None = None,
    minus: int | str | None = None,
    statistic: str = "tfce",
    threshold: float | None = None,
    tail: str = "two-sided",
    n_permutations: int = 9999,
    seed: int = 0,
) -> dict[str, SignFlipTest]:
    """Test the maps of several parts of the brain together, as :func:`group_test` tests one.

    Parameters
    ----------
    maps : mapping of part to sequence of SearchlightMap
        Such as "left" and "right": in each the maps of the same subjects, in the same order.
    model, minus, statistic, threshold, tail, n_permutations, seed
        As for :func:`group_test`. Places of different parts are no neighbours.

    Returns
    -------
    dict of str to SignFlipTest
        For each part; p values are corrected for all places of all parts, and `maxima` is over all
        of them. Labels of clusters are those of all parts.

    Raises
    ------
    InputError
        If parts have different numbers of subjects, or as :func:`group_test`.

    See Also
    --------
    rsa_faces.mapping.group_test : Test where similarity differs from 0 over subjects.
    rsa_faces.inference.sign_flip_test : Test where similarities differ from 0 over subjects.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> model = rf.RDMs(rng.random(28), names, "simulated", {"name": ["one"]})
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(6)]
    >>> maps = [rf.searchlight(img, mask_img=mask, conditions=names, models=model, radius=2.0,
    ...                        progress=False) for img in imgs]
    >>> tests = rf.mapping.group_test_parts({"left": maps, "right": maps}, statistic="max")
    >>> {part: test.p.shape for part, test in tests.items()}
    {'left': (64,), 'right': (64,)}
    """
    check_arguments(group_test_parts, locals())
    counts = {part: len(some) for part, some in maps.items()}
    if not counts or len(set(counts.values())) > 1:
        raise InputError(f"expected maps of the same subjects in every part, got {counts}.")
    values = [values_of(some, model, minus) for some in maps.values()]
    graph = None
    if statistic != "max":
        # One test over all parts, so that its largest statistic is that of the whole brain;
        # clusters end where a part does, as no edge leads from one to another.
        graph = sparse.csr_array(
            sparse.block_diag([neighbours(some[0].space) for some in maps.values()], format="csr")
        )
    test = sign_flip_test(
        np.hstack(values),
        statistic=statistic,
        neighbours=graph,
        threshold=threshold,
        tail=tail,
        n_permutations=n_permutations,
        seed=seed,
    )
    ends = np.cumsum([v.shape[1] for v in values])
    return {
        part: _of_part(test, int(end - v.shape[1]), int(end))
        for part, v, end in zip(maps, values, ends, strict=True)
    }


def _of_part(test: SignFlipTest, start: int, stop: int) -> SignFlipTest:
    """Return what a test found from one place to another."""
    arrays: dict[str, Any] = {
        name: None if (whole := getattr(test, name)) is None else whole[start:stop]
        for name in ("t", "p", "enhanced", "labels")
    }
    clusters = test.clusters
    if clusters is not None:
        peak = np.array([place for (place,) in clusters["peak"]], dtype=int)
        here = (peak >= start) & (peak < stop)
        clusters = clusters[here].reset_index(drop=True)
        clusters["peak"] = [(int(place - start),) for place in peak[here]]
    return replace(test, **arrays, clusters=clusters)


def _within(space, side: str, mesh: Surface):
    """Return the places whose vertices are in the mask of the mesh of their hemisphere."""
    own = getattr(space, side)
    if own is None:
        return space
    if len(own) != len(mesh.mask):
        raise InputError(
            f"expected a mesh of {len(own)} vertices for the {side} hemisphere, got "
            f"{len(mesh.mask)}."
        )
    keep = [
        mesh.mask[inside] if part == side else np.ones(int(inside.sum()), bool)
        for part, inside in space.parts()
    ]
    return space.keep(np.concatenate(keep))
