"""Searchlight geometry: which channels are within a radius of each place; knows no measure.

Places are the voxels of a mask (in the order of ``image[mask]``, the last axis fastest) or the
vertices of a cortex. Every place is the centre of one searchlight, and its channels are places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from rsa_faces._core.checks import check_above, check_count, check_flags
from rsa_faces._core.errors import InputError
from rsa_faces._core.stored import storable

# Image files hold affines in single precision: a voxel at the radius belongs to the sphere.
_SLACK = 1 + 1e-6
# Of lengths of paths at a time: each centre has one to every vertex nearby.
_BLOCK_BYTES = 64 * 2**20


class _Places:
    """What volumes and surfaces share: places are where the mask is True."""

    mask: np.ndarray

    @property
    def n_places(self) -> int:
        """Number of voxels or vertices in the mask."""
        return len(self.indices)

    @cached_property
    def indices(self) -> np.ndarray:
        """Index of each voxel or vertex, shape (n_places, 3) or (n_places, 1)."""
        return _frozen(np.argwhere(self.mask))

    def to_array(self, values: Any, *, fill: float = np.nan) -> np.ndarray:
        """Put one value for each place into an array of the shape of the mask.

        Parameters
        ----------
        values : array_like, shape (n_places,)
        fill : float, default NaN
            Value outside the mask.

        Returns
        -------
        ndarray, shape (n_x, n_y, n_z) or (n_vertices,)
        """
        array = np.full(self.mask.shape, fill, dtype=np.float64)
        array[self.mask] = _per_place(values, self.n_places)
        return array

    def to_img(self, values: Any, *, fill: float = np.nan):
        """Return one value for each place as an image in float32.

        Parameters
        ----------
        values : array_like, shape (n_places,)
        fill : float, default NaN
            Value outside the mask, and of places that are NaN. Some viewers want 0.

        Returns
        -------
        nibabel.Nifti1Image, or GiftiImage of a surface
        """
        return self.image([values], fill)

    def image(self, rows: Iterable[Any], fill: float, names: Sequence[str] = ()):
        """Return an image with a map for each row; GIFTI holds their names."""
        arrays = [self.to_array(row).astype(np.float32) for row in rows]
        for array in arrays:
            array[np.isnan(array)] = fill
        return self._image(arrays, names)


class Volume(_Places):
    """The voxels of a mask.

    Parameters
    ----------
    mask : array_like of bool, shape (n_x, n_y, n_z)
        Voxels that are places, at least one.
    affine : array_like, shape (4, 4)
        From voxel indices to mm; rotated, sheared and anisotropic ones are fine.

    Raises
    ------
    InputError
        If the mask is not three-dimensional, not of True and False, or empty, or the affine is
        not 4 × 4, finite and invertible.

    See Also
    --------
    Spheres : Spheres around the voxels of a mask.
    Surface : The vertices of a cortical surface.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Volume
    >>> volume = Volume(np.ones((5, 5, 5), bool), np.diag([3.0, 3, 3, 1]))
    >>> volume.searchlights(3.0).n_channels.max()
    np.int32(7)
    """

    def __init__(self, mask: Any, affine: Any):
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.ndim != 3:
            raise InputError(
                "expected a mask of True and False with 3 dimensions, got "
                f"{mask.dtype} of shape {mask.shape}."
            )
        if not mask.any():
            raise InputError(f"expected a mask with at least one voxel, got none in {mask.shape}.")
        affine = np.array(affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(
                f"expected a finite affine of shape (4, 4), got shape {affine.shape}: "
                f"{affine.tolist()}."
            )
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise InputError(
                "expected an affine that can be inverted, but its voxels have no volume: "
                f"{affine[:3, :3].tolist()}."
            )
        self.mask = _frozen(mask.copy())
        self.affine = _frozen(affine)

    def __repr__(self) -> str:
        return f"Volume({self.n_places} of {self.mask.shape} voxels)"

    @property
    def coordinates(self) -> np.ndarray:
        """Coordinates of each place in mm, shape (n_places, 3)."""
        return self.indices @ self.affine[:3, :3].T + self.affine[:3, 3]

    def searchlights(self, radius: float) -> Spheres:
        """Return the spheres of `radius` mm around all voxels; see :class:`Spheres`."""
        return Spheres(self, radius)

    def equals(self, other: object) -> bool:
        """Whether `other` has the same mask, and the same affine to 0.001 mm."""
        return (
            isinstance(other, Volume)
            and self.mask.shape == other.mask.shape
            and bool((self.mask == other.mask).all())
            and np.allclose(self.affine, other.affine, rtol=0.0, atol=1e-3)
        )

    def _image(self, arrays: list[np.ndarray], names: Sequence[str]):
        import nibabel

        stacked = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=3)
        return nibabel.Nifti1Image(stacked, self.affine)


class Surface(_Places):
    """The vertices of a cortical surface.

    Parameters
    ----------
    vertices : array_like, shape (n_vertices, 3)
        Coordinates in mm. Distances run along this surface: take the midthickness or the white
        surface, not an inflated one.
    faces : array_like of int, shape (n_faces, 3)
        Vertices of each triangle, counted from 0.
    mask : array_like of bool, shape (n_vertices,), optional
        Vertices that are places, such as the cortex without the medial wall. Paths do not run
        through other vertices. By default all.

    Raises
    ------
    InputError
        If shapes do not fit, coordinates are not finite, a triangle names a vertex that does not
        exist, or the mask is empty.

    See Also
    --------
    Discs : Discs around the vertices of a surface.
    Volume : The voxels of a mask.

    Examples
    --------
    >>> from rsa_faces.brain import Surface
    >>> square = Surface([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 2, 3]])
    >>> indptr, indices = square.searchlights(1.0).batch([0])
    >>> indices
    array([0, 1, 2], dtype=int32)
    """

    def __init__(self, vertices: Any, faces: Any, mask: Any = None):
        vertices = np.array(vertices, dtype=np.float64)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise InputError(
                f"expected finite vertices of shape (n_vertices, 3), got shape {vertices.shape} "
                f"with {int((~np.isfinite(vertices)).sum())} values not finite."
            )
        faces = np.array(faces)
        if faces.ndim != 2 or faces.shape[1:] != (3,) or faces.dtype.kind not in "iu":
            raise InputError(
                "expected faces of shape (n_faces, 3) holding whole numbers, got shape "
                f"{faces.shape} of {faces.dtype}."
            )
        if not len(faces) or faces.min() < 0 or faces.max() >= len(vertices):
            got = f"from {faces.min()} to {faces.max()}" if len(faces) else "none"
            raise InputError(
                f"expected faces that name vertices from 0 to {len(vertices) - 1}, got {got}."
            )
        mask = np.ones(len(vertices), bool) if mask is None else np.array(mask)
        check_flags(mask, len(vertices), what="mask", of="vertices")
        if not mask.any():
            raise InputError(f"expected a mask with at least one vertex, got none of {len(mask)}.")
        self.vertices, self.mask = _frozen(vertices), _frozen(mask)
        self.faces = _frozen(faces.astype(np.int64))

    def __repr__(self) -> str:
        return f"Surface({self.n_places} of {len(self.mask)} vertices)"

    @property
    def coordinates(self) -> np.ndarray:
        """Coordinates of each place in mm, shape (n_places, 3)."""
        return self.vertices[self.mask]

    def edges(self) -> sparse.csr_array:
        """Return the lengths of the edges between places in mm, shape (n_places, n_places)."""
        pairs = np.sort(
            np.concatenate([self.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (0, 2))])
        )
        # An edge is in two triangles: once is enough.
        left, right = np.unique(pairs[self.mask[pairs].all(axis=1)], axis=0).T
        length = np.linalg.norm(self.vertices[left] - self.vertices[right], axis=1)
        place = np.cumsum(self.mask) - 1
        left, right = place[left], place[right]
        real = left != right
        rows, cols = np.append(left[real], right[real]), np.append(right[real], left[real])
        lengths = np.tile(length[real], 2)
        return sparse.coo_array((lengths, (rows, cols)), (self.n_places, self.n_places)).tocsr()

    def searchlights(self, radius: float) -> Discs:
        """Return the discs of `radius` mm around all places; see :class:`Discs`."""
        return Discs(self, radius)

    def equals(self, other: object) -> bool:
        """Whether `other` has the same faces and mask, and vertices to 0.001 mm."""
        return (
            isinstance(other, Surface)
            and self.vertices.shape == other.vertices.shape
            and self.faces.shape == other.faces.shape
            and bool((self.faces == other.faces).all() and (self.mask == other.mask).all())
            and np.allclose(self.vertices, other.vertices, rtol=0.0, atol=1e-3)
        )

    def _image(self, arrays: list[np.ndarray], names: Sequence[str]):
        from nibabel import gifti

        metas = [gifti.GiftiMetaData({"Name": name}) for name in names] or [None] * len(arrays)
        described = [
            gifti.GiftiDataArray(array, intent="NIFTI_INTENT_SHAPE", meta=meta)
            for array, meta in zip(arrays, metas, strict=True)
        ]
        return gifti.GiftiImage(darrays=described)


class _Searchlights:
    """Channels around each place, batch by batch."""

    def __init__(self, space: Volume | Surface, radius: float):
        self.space = space
        self.radius = check_above(radius, 0, what="radius to be a length in mm")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.space!r}, radius={self.radius:g} mm)"

    @property
    def n_centers(self) -> int:
        """Number of centres: every place is one."""
        return self.space.n_places

    @cached_property
    def order(self) -> np.ndarray:
        """Centres in an order in which those that follow each other are near, (n_centers,)."""
        return np.arange(self.n_centers)

    @cached_property
    def n_channels(self) -> np.ndarray:
        """Number of channels of each searchlight, shape (n_centers,)."""
        counts = np.empty(self.n_centers, np.int32)
        for centers, indptr, _ in self.batches():
            counts[centers] = np.diff(indptr)
        return counts

    def batches(self, size: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the channels of `size` centres at a time, until all had their turn.

        Parameters
        ----------
        size : int, default 256
            Centres per batch.

        Yields
        ------
        centers : ndarray of int
            Which centres, in :attr:`order`.
        indptr, indices : ndarray of int
            As :meth:`batch` returns them.
        """
        check_count(size, what="size")
        for start in range(0, self.n_centers, size):
            centers = self.order[start : start + size]
            yield centers, *self.batch(centers)

    def batch(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the channels of some centres.

        Parameters
        ----------
        centers : ndarray of int
            Numbers of places.

        Returns
        -------
        indptr : ndarray of int64, shape (len(centers) + 1,)
        indices : ndarray of int32
            The channels of ``centers[i]`` are ``indices[indptr[i]:indptr[i + 1]]``, as numbers of
            places, ascending; the centre itself is one of them.
        """
        raise NotImplementedError


class Spheres(_Searchlights):
    """Spheres around the voxels of a mask.

    Parameters
    ----------
    space : Volume
    radius : float
        In mm. Voxels whose centres are up to this far (with one part in a million to spare) from
        the centre of the sphere belong to it, unless they are outside the mask: spheres are cut
        off there, never filled up.

    Raises
    ------
    InputError
        If the radius is not a length above 0.

    See Also
    --------
    Discs : Discs around the vertices of a surface.
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.
    Volume : The voxels of a mask.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain.spheres import Spheres, Volume
    >>> spheres = Spheres(Volume(np.ones((3, 3, 3), bool), 2 * np.eye(4)), radius=2.0)  # mm
    >>> spheres.n_centers, int(spheres.n_channels.max())
    (27, 7)
    """

    @cached_property
    def _offsets(self) -> np.ndarray:
        """Steps in voxels from a centre to all voxels within the radius, the last axis fastest."""
        affine = self.space.affine[:3, :3]
        # |step k| is at most the radius times the length of row k of the inverse.
        reach = np.floor(self.radius * _SLACK * np.linalg.norm(np.linalg.inv(affine), axis=1))
        # No step within the mask is longer than the mask.
        reach = np.minimum(reach, np.array(self.space.mask.shape) - 1).astype(int)
        steps = np.stack(
            np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1
        ).reshape(-1, 3)
        return steps[np.linalg.norm(steps @ affine.T, axis=1) <= self.radius * _SLACK]

    @property
    def most(self) -> int:
        """Number of channels of a sphere that is not cut off."""
        return min(self.n_centers, len(self._offsets))

    @cached_property
    def _lookup(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of places on a grid with a margin, where centres are on it, steps along it."""
        offsets = self._offsets
        margin = np.abs(offsets).max(axis=0)
        shape = np.array(self.space.mask.shape) + 2 * margin
        inner = tuple(slice(m, m + s) for m, s in zip(margin, self.space.mask.shape, strict=True))
        place = np.full(shape, -1, np.int32)
        place[inner][self.space.mask] = np.arange(self.n_centers)
        strides = np.array([shape[1] * shape[2], shape[2], 1])
        return place.ravel(), (self.space.indices + margin) @ strides, offsets @ strides

    def batch(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the channels of some centres: `indptr` and `indices`, as in a csr_array."""
        place, where, steps = self._lookup
        found = place[where[centers][:, None] + steps]
        within = found >= 0
        return _indptr(within.sum(axis=1)), found[within]


class Discs(_Searchlights):
    """Discs around the vertices of a surface.

    Parameters
    ----------
    space : Surface
    radius : float
        In mm, along the edges of the mesh.

    Raises
    ------
    InputError
        If the radius is not a length above 0.

    See Also
    --------
    Spheres : Spheres around the voxels of a mask.
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.
    Surface : The vertices of a cortical surface.

    Notes
    -----
    Distances are lengths of the shortest paths along edges (Dijkstra). A path along edges is
    longer than one across the triangles, by up to about 15 % on a mesh of even triangles: discs
    are a little smaller than the radius says, never larger.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain.spheres import Discs, Surface
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], float)  # mm
    >>> surface = Surface(corners, np.array([[0, 1, 2], [1, 2, 3]]))
    >>> discs = Discs(surface, radius=1.1)
    >>> discs.n_centers, discs.n_channels.tolist()
    (4, [3, 3, 3, 3])
    """

    @property
    def most(self) -> int:
        """Number of channels that discs hardly ever exceed: twice the largest of a sample."""
        sample = self.order[:: max(1, self.n_centers // 64)]
        return min(self.n_centers, 2 * max(len(self.batch(c)[1]) for c in sample[:, None]))

    @cached_property
    def order(self) -> np.ndarray:
        """Centres in an order in which those that follow each other are near, (n_centers,)."""
        return self._tree.indices

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.space.coordinates, leafsize=64)

    @cached_property
    def _edges(self) -> sparse.csr_array:
        return self.space.edges()

    def batch(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the channels of some centres: `indptr` and `indices`, as in a csr_array."""
        limit = self.radius * _SLACK
        points = self._tree.data[centers]
        middle = points.mean(axis=0)
        # No path leaves the ball of its length: a small part of the mesh is enough.
        reach = np.linalg.norm(points - middle, axis=1).max() + limit
        near = np.sort(self._tree.query_ball_point(middle, reach * _SLACK)).astype(np.int32)
        edges = self._edges[near][:, near]
        start = np.searchsorted(near, centers)
        size = max(1, _BLOCK_BYTES // (8 * len(near)))
        lengths, channels = [], []
        for part in np.split(start, range(size, len(start), size)):
            within = dijkstra(edges, indices=part, limit=limit) <= limit
            lengths.append(within.sum(axis=1))
            channels.append(near[np.nonzero(within)[1]])
        return _indptr(np.concatenate(lengths)), np.concatenate(channels)


def _indptr(lengths: np.ndarray) -> np.ndarray:
    """Return where each row begins, and where the last one ends."""
    indptr = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    return indptr


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return the array, read-only."""
    array.setflags(write=False)
    return array


def _per_place(values: Any, n_places: int) -> np.ndarray:
    """Return values as an array with one for each place, or raise."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n_places,):
        raise InputError(
            f"expected one value for each of {n_places} places, got shape {values.shape}."
        )
    return values


storable(
    Volume,
    lambda volume: {"mask": volume.mask, "affine": volume.affine},
    lambda parts: Volume(**parts),
)
storable(
    Surface,
    lambda mesh: {"vertices": mesh.vertices, "faces": mesh.faces, "mask": mesh.mask},
    lambda parts: Surface(**parts),
)
