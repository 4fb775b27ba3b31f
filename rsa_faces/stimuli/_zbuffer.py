"""A rasteriser with a depth buffer, and which directions each point of a surface sees."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Depth of a pixel where there is no surface.
FAR = np.inf


@njit(nogil=True, cache=True)
def rasterise(points, faces, height, width):
    """Return the nearest face of each pixel (-1: none), its three weights and its depth.

    `points` are (x, y, depth) in pixels, x to the right and y down, pixel centres at .5. The
    weights are linear on the screen; over a triangle of a head the error of perspective is far
    below a pixel.
    """
    face_of = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 3), np.float32)
    depth_of = np.full((height, width), np.inf, np.float32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        left = max(int(np.floor(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.ceil(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.floor(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.ceil(max(ay, by, cy) - 0.5)), height - 1)
        for i in range(top, bottom + 1):
            y = i + 0.5
            for j in range(left, right + 1):
                x = j + 0.5
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1.0 - u - v
                if u < -1e-9 or v < -1e-9 or w < -1e-9:
                    continue
                depth = u * az + v * bz + w * cz
                if depth < depth_of[i, j]:
                    depth_of[i, j] = depth
                    face_of[i, j] = f
                    weights[i, j, 0] = u
                    weights[i, j, 1] = v
                    weights[i, j, 2] = w
    return face_of, weights, depth_of


@njit(nogil=True, cache=True)
def visibility(vertices, normals, faces, rotations, size, bias):
    """Return for each vertex and direction whether light from there reaches it (0 to 1).

    `rotations` (n, 3, 3) turn the surface so that the direction points at +z. Each is one
    orthographic depth map of `size` x `size` pixels; the answer is the share of the 3 x 3 pixels
    around the vertex that are not nearer to the light by more than `bias`.
    """
    n_vertices, n_directions = len(vertices), len(rotations)
    seen = np.zeros((n_vertices, n_directions), np.float32)
    turned = np.empty((n_vertices, 3))
    for k in range(n_directions):
        r = rotations[k]
        for i in range(n_vertices):
            for axis in range(3):
                turned[i, axis] = (
                    r[axis, 0] * (vertices[i, 0] + normals[i, 0] * bias)
                    + r[axis, 1] * (vertices[i, 1] + normals[i, 1] * bias)
                    + r[axis, 2] * (vertices[i, 2] + normals[i, 2] * bias)
                )
        x0, x1 = turned[:, 0].min(), turned[:, 0].max()
        y0, y1 = turned[:, 1].min(), turned[:, 1].max()
        scale = (size - 4) / max(x1 - x0, y1 - y0)
        screen = np.empty((n_vertices, 3))
        screen[:, 0] = (turned[:, 0] - x0) * scale + 2.0
        screen[:, 1] = (turned[:, 1] - y0) * scale + 2.0
        screen[:, 2] = -turned[:, 2]
        depth = rasterise(screen, faces, size, size)[2]
        for i in range(n_vertices):
            facing = normals[i, 0] * r[2, 0] + normals[i, 1] * r[2, 1] + normals[i, 2] * r[2, 2]
            if facing <= 0.0:
                continue
            column, row = int(screen[i, 0]), int(screen[i, 1])
            free = 0
            slack = bias * (1.0 + 2.0 * np.sqrt(1.0 - min(facing * facing, 1.0)))
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    if depth[row + di, column + dj] > screen[i, 2] - slack:
                        free += 1
            seen[i, k] = free / 9.0
    return seen
