"""Searchlight geometry against loops over all pairs of places."""

import numpy as np
import pytest

from rsa_faces import InputError
from rsa_faces.brain import Spheres, Surface, Volume


def random_affine(rng):
    """Rotated, sheared and anisotropic, 1 to 4 mm."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    shear = np.eye(3) + np.triu(rng.uniform(-0.3, 0.3, (3, 3)), 1)
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(rng.uniform(1.0, 4.0, 3)) @ shear
    affine[:3, 3] = rng.normal(0, 50, 3)
    return affine


def random_mesh(rng, n=7):
    """A bent sheet of n × n vertices, two triangles per square, vertices in random order."""
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    vertices = np.c_[x.ravel(), y.ravel(), np.zeros(n * n)] + rng.normal(0, 0.25, (n * n, 3))
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate(
        [np.c_[corner, corner + 1, corner + n], np.c_[corner + 1, corner + n, corner + n + 1]]
    )
    order = rng.permutation(n * n)
    shuffled = np.empty_like(vertices)
    shuffled[order] = vertices
    return shuffled, order[faces]


def rows(indptr, indices):
    return [indices[a:b].tolist() for a, b in zip(indptr[:-1], indptr[1:], strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_spheres_are_the_voxels_within_the_radius(seed):
    rng = np.random.default_rng(seed)
    affine = random_affine(rng)
    mask = rng.random(rng.integers(3, 9, 3)) < 0.7
    volume, radius = Volume(mask, affine), rng.uniform(2.0, 9.0)
    where = [affine[:3, :3] @ voxel + affine[:3, 3] for voxel in np.argwhere(mask)]
    expected = [
        [j for j, b in enumerate(where) if np.sqrt(((a - b) ** 2).sum()) <= radius] for a in where
    ]
    spheres = volume.searchlights(radius)
    assert rows(*spheres.batch(np.arange(spheres.n_centers))) == expected
    assert spheres.n_channels.tolist() == [len(e) for e in expected]
    assert spheres.n_channels.max() <= spheres.most
    np.testing.assert_allclose(volume.coordinates, where)


@pytest.mark.parametrize("kind", ["volume", "surface"])
def test_batches_of_any_size_are_the_same(kind):
    rng = np.random.default_rng(0)
    space = Volume(rng.random((6, 5, 7)) < 0.6, np.diag([3.0, 2, 4, 1]))
    if kind == "surface":
        space = Surface(*random_mesh(rng))
    searchlights = space.searchlights(4.5)
    whole = rows(*searchlights.batch(np.arange(searchlights.n_centers)))
    for size in (1, 7, 1000):
        found = {}
        for centers, indptr, indices in searchlights.batches(size):
            found |= dict(zip(centers.tolist(), rows(indptr, indices), strict=True))
        assert [found[c] for c in range(searchlights.n_centers)] == whole
    assert all(i in row and row == sorted(row) for i, row in enumerate(whole))


def test_voxels_exactly_at_the_radius_belong_whatever_the_rotation():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        affine = np.eye(4, dtype=np.float32)
        affine[:3, :3] = (3.0 * rotation).astype(np.float32)  # as in an image file
        spheres = Volume(np.ones((7, 7, 7), bool), affine).searchlights(6.0)
        # |step|² ≤ 4: 1 + 6 + 12 + 8 + 6 steps of whole voxels.
        assert spheres.n_channels.max() == 33


def test_the_radius_is_in_mm_along_every_axis():
    spheres = Volume(np.ones((9, 9, 9), bool), np.diag([1.0, 2, 4, 1])).searchlights(4.0)
    indptr, indices = spheres.batch([4 * 81 + 4 * 9 + 4])
    steps = np.abs(np.stack(np.unravel_index(indices, (9, 9, 9))) - 4).max(axis=1)
    assert steps.tolist() == [4, 2, 1]


def test_a_radius_beyond_the_mask_takes_everything():
    volume = Volume(np.ones((2, 3, 4), bool), np.eye(4))
    assert (volume.searchlights(1e9).n_channels == 24).all()
    assert (volume.searchlights(0.5).n_channels == 1).all()


def shortest_paths(vertices, faces, allowed):
    """All shortest paths along edges, by relaxation until nothing changes."""
    n = len(vertices)
    distance = np.full((n, n), np.inf)
    distance[allowed, allowed] = 0.0
    for a, b, c in faces:
        for i, j in ((a, b), (b, c), (a, c)):
            if allowed[i] and allowed[j]:
                distance[i, j] = distance[j, i] = np.linalg.norm(vertices[i] - vertices[j])
    for k in range(n):
        distance = np.minimum(distance, distance[:, [k]] + distance[[k]])
    return distance


@pytest.mark.parametrize("seed", range(6))
def test_discs_are_the_vertices_within_the_radius_along_edges(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = random_mesh(rng)
    allowed = rng.random(len(vertices)) < (1.0 if seed < 2 else 0.8)
    surface = Surface(vertices, faces, allowed)
    radius = rng.uniform(0.8, 4.0)
    distance = shortest_paths(vertices, faces, allowed)[np.ix_(allowed, allowed)]
    discs = surface.searchlights(radius)
    assert rows(*discs.batch(np.arange(discs.n_centers))) == [
        np.flatnonzero(row <= radius).tolist() for row in distance
    ]
    assert discs.n_channels.tolist() == (distance <= radius).sum(axis=1).tolist()
    assert discs.n_channels.max() <= discs.most
    assert sorted(discs.order) == list(range(discs.n_centers))


def test_paths_do_not_run_through_vertices_outside_the_mask():
    line = np.c_[np.arange(5.0), np.zeros(5), np.zeros(5)]
    faces = [[0, 1, 1], [1, 2, 2], [2, 3, 3], [3, 4, 4]]
    assert Surface(line, faces).searchlights(10.0).n_channels.tolist() == [5] * 5
    mask = [True, True, False, True, True]
    assert Surface(line, faces, mask).searchlights(10.0).n_channels.tolist() == [2] * 4


def test_values_go_into_images_and_arrays():
    rng = np.random.default_rng(0)
    mask = rng.random((4, 5, 3)) < 0.5
    affine = random_affine(rng)
    volume = Volume(mask, affine)
    values = np.arange(volume.n_places, dtype=float)
    values[0] = np.nan
    img = volume.to_img(values, fill=0.0)
    np.testing.assert_allclose(img.affine, affine)
    assert img.get_data_dtype() == np.float32
    np.testing.assert_array_equal(img.get_fdata()[mask], np.nan_to_num(values))
    assert (img.get_fdata()[~mask] == 0).all()
    assert np.isnan(volume.to_img(values).get_fdata()[~mask]).all()
    vertices, faces = random_mesh(rng)
    surface = Surface(vertices, faces, np.arange(49) > 8)
    data = surface.to_img(np.arange(40.0)).darrays[0].data
    assert np.isnan(data[:9]).all()
    np.testing.assert_array_equal(data[9:], np.arange(40))
    np.testing.assert_array_equal(surface.coordinates, vertices[9:])
    assert surface.indices[0, 0] == 9


def test_spaces_are_equal_by_content():
    mask = np.ones((3, 3, 3), bool)
    volume = Volume(mask, np.eye(4))
    assert volume.equals(Volume(mask, np.eye(4) + 1e-6 * np.eye(4)))
    assert not volume.equals(Volume(mask, np.diag([1, 1, 1.1, 1])))
    assert not volume.equals(Volume(np.ones((3, 3, 4), bool), np.eye(4)))
    vertices, faces = random_mesh(np.random.default_rng(0))
    surface = Surface(vertices, faces)
    assert surface.equals(Surface(vertices, faces))
    assert not surface.equals(Surface(vertices + 1, faces))
    assert not surface.equals(volume)
    assert not volume.equals(surface)


def test_arrays_of_a_space_cannot_be_changed():
    mask = np.ones((2, 2, 2), bool)
    volume = Volume(mask, np.eye(4))
    mask[:] = False
    assert volume.n_places == 8
    with pytest.raises(ValueError, match="read-only"):
        volume.mask[0] = False


SQUARE = ([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 2, 3]])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Volume(np.ones((2, 2)) > 0, np.eye(4)), r"3 dimensions, got bool .*\(2, 2\)"),
        (lambda: Volume(np.ones((2, 2, 2)), np.eye(4)), "True and False .* got float64"),
        (lambda: Volume(np.zeros((2, 2, 2), bool), np.eye(4)), "at least one voxel, got none"),
        (lambda: Volume(np.ones((2, 2, 2), bool), np.eye(3)), r"shape \(4, 4\), got .*\(3, 3\)"),
        (lambda: Volume(np.ones((2, 2, 2), bool), np.diag([1, 1, 0, 1])), "have no volume"),
        (lambda: Surface(np.zeros((4, 2)), SQUARE[1]), r"\(n_vertices, 3\), got shape \(4, 2\)"),
        (lambda: Surface(np.full((4, 3), np.nan), SQUARE[1]), "12 values not finite"),
        (lambda: Surface(SQUARE[0], [[0.0, 1, 2]]), "whole numbers, got .* float64"),
        (lambda: Surface(SQUARE[0], [[0, 1, 4]]), "from 0 to 3, got from 0 to 4"),
        (lambda: Surface(*SQUARE, np.ones(3, bool)), r"4 vertices, got bool of shape \(3,\)"),
        (lambda: Surface(*SQUARE, np.zeros(4, bool)), "at least one vertex, got none of 4"),
        (lambda: Surface(*SQUARE).searchlights(-1.0), "in mm above 0, got -1.0"),
        (lambda: Surface(*SQUARE).to_img([1.0]), r"each of 4 places, got shape \(1,\)"),
        (lambda: Spheres(Volume(np.ones((2, 2, 2), bool), np.eye(4)), np.inf), "got inf"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
