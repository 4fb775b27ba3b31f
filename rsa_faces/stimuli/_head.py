"""One simulated head: its surface under an expression, the light on it, its picture."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from scipy import sparse

from rsa_faces.stimuli import _mesh, _skin, _zbuffer

#: The camera: distance, and height of the picture at the middle of the head, in decimetres.
DISTANCE, FIELD = 13.0, 2.75
BACKGROUND = 128
#: Directions from which light can come, evenly over the sphere.
N_DIRECTIONS = 96
#: A light: (degrees to the viewer's right, degrees up, strength, how narrow, RGB), ...; and the
#: light from everywhere.
Light = tuple[tuple[tuple, ...], float]


def turn(yaw: float, pitch: float) -> np.ndarray:
    """Return the rotation of a head: first yaw to the image's right, then pitch up, in degrees."""
    a, b = np.radians(yaw), np.radians(pitch)
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    return about_x @ about_y


def towards(right: float, up: float) -> np.ndarray:
    """Return the unit vector to a light, from degrees."""
    a, e = np.radians(right), np.radians(up)
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def neutral_vertices(row: Mapping) -> np.ndarray:
    """Return the vertices of a person without expression."""
    model = _mesh.head_model()
    ancestry = np.array([row["african"], row["asian"], row["caucasian"]])
    weights = _mesh.macro_weights(row["gender"], row["age"], row["muscle"], row["weight"], ancestry)
    vertices = model.base.copy()
    for name, weight in weights.items():
        vertices += weight * model.offsets[name]
    for name, below, above in model.shapes:
        value = row[f"shape:{name}"]
        for target in above if value > 0 else below:
            vertices += abs(value) * model.offsets[target]
    return vertices


def face_front(row: Mapping) -> np.ndarray:
    """Return the front of a person's face, (n, 3) in millimetres, its middle at 0."""
    base = _mesh.head_model().base
    front = (base[:, 2] > 0.9) & (base[:, 1] > 6.2) & (base[:, 1] < 8.0)
    face = neutral_vertices(row)[front] * 100
    return face - face.mean(axis=0)


class Head:
    """The surface of one person with one expression, and which light reaches it."""

    def __init__(self, row: Mapping, actions: Mapping[str, float]) -> None:
        model = _mesh.head_model()
        neutral = neutral_vertices(row)
        vertices = neutral.copy()
        for name, weight in actions.items():
            vertices += weight * model.offsets[f"faceunits/{name}"]
        self.row, self.actions, self.seed = row, dict(actions), int(row["paint_seed"])
        self.cover = _hair_cover(model, row)
        body = _with_hair(model, model.refine @ vertices, self.cover, row["hair_thickness"])
        body = _with_teeth(model, body, neutral, vertices)
        self.eyes = _eyes(model, vertices)
        for centre, gaze, radius in self.eyes:  # lids lie on the eyeball, never inside it
            out = body - centre
            far = np.linalg.norm(out, axis=1)
            sunk = (far < 1.035 * radius) & (out @ gaze > 0.3 * radius)
            body[sunk] = centre + out[sunk] * (1.035 * radius / far[sunk])[:, None]
        self.middle = _middle(model, neutral, body)
        self._assemble(model, body)
        self._look_around()

    def _assemble(self, model: _mesh.HeadModel, body: np.ndarray) -> None:
        """Put the body and the eyeballs (spheres in place of the model's coarse ones) together."""
        sphere, sphere_faces = _sphere()
        n_body, n_sphere = len(body), len(sphere)
        n_extra = 2 * n_sphere
        self.vertices = np.concatenate([body, *(c + r * sphere for c, _, r in self.eyes)])
        places = model.refine @ model.base
        self.places = np.concatenate([places, np.zeros((n_extra, 3))])
        self.faces = np.concatenate(
            [model.faces, sphere_faces + n_body, sphere_faces + n_body + n_sphere]
        ).astype(np.int32)
        self.part = np.concatenate([model.part, np.full(2 * len(sphere_faces), _mesh.EYE, np.int8)])
        self.cover = np.append(self.cover, np.full(n_extra, -1.0))
        self.lash = np.append(model.lash, np.zeros(n_extra))
        self.lips = np.append(model.masks["lips"], np.zeros(n_extra))
        self.normals = _mesh.vertex_normals(self.vertices, self.faces)
        self.normals[n_body:] = np.concatenate([sphere, sphere])

    def _look_around(self) -> None:
        """Find which directions each vertex sees: soft shadows and darker hollows for any light."""
        self.directions = _fibonacci(N_DIRECTIONS)
        solid = self.faces[self.part != _mesh.LASH]
        self.seen = _zbuffer.visibility(
            self.vertices, self.normals, solid, _looking_along(self.directions), 200, 0.025
        )
        self.received = self.seen * np.clip(self.normals @ self.directions.T, 0, None)


def _hair_cover(model: _mesh.HeadModel, row: Mapping) -> np.ndarray:
    """Return how far above the hairline each vertex is, in decimetres; -1 where none grows."""
    places = model.refine @ model.base
    cover = _skin.hair_cover(places, row["hairline"], row["recession"])
    hairy = np.zeros(len(places), dtype=bool)
    hairy[np.unique(_faces_of(model, _mesh.SKIN))] = True
    hairy &= (model.masks["ears"] < 0.2) & (places[:, 1] > 6.2)
    return np.where(hairy, cover, -1.0)


def _with_hair(model, body: np.ndarray, cover: np.ndarray, thickness: float) -> np.ndarray:
    """Lift the scalp by the thickness of the hair."""
    lift = thickness * _skin.smoothstep(cover, -0.02, 0.6)
    return body + _mesh.vertex_normals(body, model.faces) * lift[:, None]


def _with_teeth(model, body: np.ndarray, neutral: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Put teeth and tongue into this mouth; the model's do not follow its width and place."""
    places, lips = model.refine @ model.base, model.masks["lips"] > 0.5
    mine, average = (model.refine @ neutral)[lips], places[lips]
    narrow = min(1.0, np.ptp(mine[:, 0]) / np.ptp(average[:, 0]))
    inside = np.unique(_faces_of(model, _mesh.TEETH, _mesh.TONGUE))
    moved = (model.refine @ (vertices - neutral))[inside]
    home = (places[inside] - average.mean(axis=0)) * [narrow, 1, 1]
    body[inside] = home + mine.mean(axis=0) - [0, 0, 0.02] + moved
    return body


def _eyes(model, vertices: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Return centre, gaze (unit vector) and radius of the left and the right eyeball."""
    eyes = []
    for eye in model.eye_vertices:
        centre = vertices[eye].mean(axis=0)
        depth = model.base[eye, 2]
        gaze = vertices[eye[depth >= np.partition(depth, -9)[-9]]].mean(axis=0) - centre
        radius = float(np.median(np.linalg.norm(vertices[eye] - centre, axis=1)))
        eyes.append((centre, gaze / np.linalg.norm(gaze), radius))
    return eyes


def _middle(model, neutral: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Return the middle of the head, where the camera looks and which it turns around."""
    base = model.base
    chin = (base[:, 1] > 6.12) & (base[:, 1] < 6.22) & (base[:, 2] > 1.1) & (abs(base[:, 0]) < 0.1)
    eyes = np.mean([neutral[eye].mean(axis=0) for eye in model.eye_vertices], axis=0)
    height = (neutral[chin, 1].mean() + body[:, 1].max()) / 2
    return np.array([eyes[0], height - 0.05, eyes[2] - 0.7])


def _faces_of(model, *parts: int) -> np.ndarray:
    """Return the triangles of some parts of the head."""
    return model.faces[np.isin(model.part, parts)]


@functools.cache
def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """Return a unit sphere: vertices and triangles."""
    rows, columns = 24, 36
    polar = np.linspace(0, np.pi, rows + 1)
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    t, p = np.meshgrid(polar, around, indexing="ij")
    vertices = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], axis=-1)
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    triangles = [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    return vertices.reshape(-1, 3), np.concatenate(triangles)


def _fibonacci(n: int) -> np.ndarray:
    """Return n directions evenly over the sphere."""
    i = np.arange(n) + 0.5
    z, angle = 1 - 2 * i / n, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def _looking_along(directions: np.ndarray) -> np.ndarray:
    """Return rotations (n, 3, 3) that turn each direction to +z."""
    other = np.where(abs(directions[:, 1:2]) > 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    x = np.cross(other, directions)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(directions, x), directions], axis=1)


# --- light ----------------------------------------------------------------------------------


@functools.cache
def _neighbours() -> sparse.csr_matrix:
    """Return the matrix that takes the mean over a vertex of the skin and those beside it."""
    model = _mesh.head_model()
    n = model.refine.shape[0]
    skin = _faces_of(model, _mesh.SKIN)
    pairs = np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]])
    itself = np.repeat(np.arange(n)[:, None], 2, axis=1)
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1], itself]), axis=0)
    matrix = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (n, n))
    return (sparse.diags(1 / np.asarray(matrix.sum(axis=1)).ravel()) @ matrix).tocsr()


def _light_on(head: Head, light: Light, rotation: np.ndarray) -> np.ndarray:
    """Return the light each vertex receives, (n, 3)."""
    lobes, everywhere = light
    directions = head.directions @ rotation.T
    strength = np.full((N_DIRECTIONS, 3), 4 * everywhere / N_DIRECTIONS)
    strength *= 1 + 0.35 * directions[:, 1:2]  # a little more from above, as in a room
    for right, up, power, narrow, colour in lobes:
        near = directions @ towards(right, up)
        lobe = np.exp(narrow * (near - 1))
        strength += power * np.outer(lobe / (lobe * np.clip(near, 0, None)).sum(), colour)
    received = head.received @ strength
    # Light spreads within skin, red the furthest.
    mean = _neighbours()
    spread = received[: mean.shape[0]]
    for step in range(6):
        smoothed = mean @ spread
        channels = slice(0, 3 if step < 2 else 2 if step < 3 else 1)
        spread[:, channels] = smoothed[:, channels]
    return received


# --- picture --------------------------------------------------------------------------------


def _visible(head: Head, screen: np.ndarray, n_pixels: int):
    """Return the face each pixel shows (-1: none), its weights, its depth; and the lashes."""

    def drawn(chosen: np.ndarray):
        index = np.flatnonzero(chosen).astype(np.int32)
        found, weights, depth = _zbuffer.rasterise(screen, head.faces[index], n_pixels, n_pixels)
        return np.where(found >= 0, index[found], -1), weights, depth

    corner = screen[head.faces, :2]
    one, two = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    facing = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0] < 0
    skin = head.part == _mesh.SKIN
    face, weights, depth = drawn(skin & facing)
    # The inside of the mouth is seen through its opening only: within the head, where no skin
    # faces the camera. Otherwise teeth come through some chins and the cavity through cheeks.
    opening = (face < 0) & (drawn(skin)[0] >= 0)
    inside = np.isin(head.part, (_mesh.MOUTH, _mesh.TEETH, _mesh.TONGUE))
    for part, where in ((inside, opening), (head.part == _mesh.EYE, ~opening & (face >= 0))):
        other, other_weights, other_depth = drawn(part)
        nearer = where & (other >= 0) & (other_depth < depth)
        face[nearer], weights[nearer] = other[nearer], other_weights[nearer]
        depth[nearer] = other_depth[nearer]
    # Eyes are also seen where the hole between the lids shows the back of the socket.
    lash, lash_weights, lash_depth = drawn(head.part == _mesh.LASH)
    over = (lash >= 0) & (lash_depth < depth + 0.01)
    dark = np.zeros(face.shape)
    dark[over] = (lash_weights[over] * head.lash[head.faces[lash[over]]]).sum(axis=1)
    return face, weights.astype(float), depth, dark


class _Seen:
    """What a camera sees of a turned head, a row for each pixel that shows it."""

    def __init__(self, head: Head, yaw: float, pitch: float, n_pixels: int) -> None:
        self.head, self.rotation = head, turn(yaw, pitch)
        self.turned = (head.vertices - head.middle) @ self.rotation.T
        distance = DISTANCE - self.turned[:, 2]
        scale = DISTANCE / FIELD * n_pixels / distance
        across = n_pixels / 2 + self.turned[:, :2] * [1, -1] * scale[:, None]
        screen = np.column_stack([across, distance])
        face, weights, depth, self.dark = _visible(head, screen, n_pixels)
        self.there = face >= 0
        self._corners, self._weights = head.faces[face[self.there]], weights[self.there]
        self.part, self.depth = head.part[face[self.there]], depth[self.there]
        self._paint()

    def at(self, values: np.ndarray) -> np.ndarray:
        """Return values of vertices at the pixels."""
        return np.einsum("nk,nk...->n...", self._weights, values[self._corners])

    def _paint(self) -> None:
        """Set normals (of the head before it is turned), albedo (linear) and gloss."""
        head, at, part = self.head, self.at, self.part
        places, normal = at(head.places), at(head.normals)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        albedo, gloss = np.zeros((len(part), 3)), np.zeros(len(part))
        wet, skin = part == _mesh.EYE, part == _mesh.SKIN
        albedo[skin], gloss[skin] = _outside(
            head, places[skin], at(head.lips)[skin], at(head.cover)[skin]
        )
        albedo[part == _mesh.MOUTH] = _skin.linear((110, 46, 44))
        albedo[part == _mesh.TONGUE] = _skin.linear((178, 92, 88))
        teeth = part == _mesh.TEETH
        albedo[teeth], gloss[teeth] = _skin.tooth_colour(places[teeth]), 0.15
        normal[wet], albedo[wet] = _eyeball(head, at(head.vertices)[wet])
        self.places, self.normal, self.albedo, self.gloss = places, normal, albedo, gloss


def surface(head: Head, yaw: float, pitch: float, size: int) -> dict[str, np.ndarray]:
    """Return depth (mm), normals and albedo at the centre of each pixel; NaN beside the head."""
    seen = _Seen(head, yaw, pitch, size)
    values = {
        "depth": 100 * seen.depth,
        "normals": seen.normal @ seen.rotation.T,
        "albedo": seen.albedo,
    }
    out = {}
    for name, value in values.items():
        out[name] = np.full((size, size, *value.shape[1:]), np.nan, np.float32)
        out[name][seen.there] = value
    return out


def render(head: Head, yaw: float, pitch: float, light: Light, size: int, finer: int) -> np.ndarray:
    """Return one picture, uint8 (size, size, 3), the mean of `finer` x `finer` points a pixel."""
    n_pixels = size * finer
    seen = _Seen(head, yaw, pitch, n_pixels)
    at, part, rotation, normal = seen.at, seen.part, seen.rotation, seen.normal
    received = at(_light_on(head, light, rotation))
    received[part == _mesh.MOUTH] += 0.12
    teeth = part == _mesh.TEETH
    # The coarse cavity swallows more light than a mouth does: front teeth get some back.
    front = _skin.smoothstep(seen.places[teeth, 2], 1.24, 1.46)[:, None]
    received[teeth] = received[teeth] * (0.3 + 0.3 * front) + 0.38 * front
    wet = part == _mesh.EYE

    shine = np.zeros((len(part), 3))
    facing_camera = np.array([0, 0, DISTANCE]) - at(seen.turned)
    facing_camera /= np.linalg.norm(facing_camera, axis=1, keepdims=True)
    for right, up, power, _, tint in light[0]:
        to_light = towards(right, up)
        near = np.exp(14 * (head.directions @ rotation.T @ to_light - 1))
        arrives = at(head.seen @ (near / near.sum()))
        half = facing_camera + to_light
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        mirror = np.clip((normal @ rotation.T * half).sum(axis=1), 0, 1)
        amount = seen.gloss * mirror**22 + 2.2 * wet * mirror**260
        shine += (power * arrives * amount)[:, None] * np.array(tint)

    picture = np.full((n_pixels, n_pixels, 3), _skin.linear(BACKGROUND))
    picture[seen.there] = seen.albedo * received + shine
    picture += seen.dark[:, :, None] * (0.012 - picture)
    return _skin.encode(picture.reshape(size, finer, size, finer, 3).mean(axis=(1, 3)))


def _outside(head: Head, places, lips, cover) -> tuple[np.ndarray, np.ndarray]:
    """Return albedo and gloss of skin, brows, hair and shirt."""
    row, seed = head.row, head.seed
    colour = _skin.skin_colour(places, lips, row, seed)
    folds = _skin.fold_depth(places, head.actions, row["wear"])
    colour *= 1 - folds[:, None] * [0.8, 1.0, 1.0]
    brow = _skin.brow_cover(places, row, seed)
    brow_colour = 0.55 * _skin.linear(_skin.HAIR[row["hair_colour"]])
    colour += 0.9 * brow[:, None] * (brow_colour - colour)
    ragged = 0.07 * (_skin.noise(places * [40.0, 9.0, 40.0], seed + 11) - 0.5)
    hair = _skin.smoothstep(cover + ragged, -0.015, 0.05)
    colour += hair[:, None] * (_skin.hair_colour(places, row, seed) - colour)
    neckline = 5.78 - 0.28 * places[:, 2] + 0.12 * abs(places[:, 0])
    shirt = _skin.smoothstep(neckline - places[:, 1], 0.0, 0.02)
    colour += shirt[:, None] * (0.045 - colour)
    pores = 0.55 + 0.9 * _skin.noise(places * 75, seed + 12)
    gloss = pores * (0.09 + 0.11 * lips) * (1 - shirt) * (1 - 0.5 * hair) * (1 - brow)
    return colour, gloss


def _eyeball(head: Head, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return normals and albedo of points on the eyeballs."""
    out = np.stack([points - centre for centre, _, _ in head.eyes])
    which = np.linalg.norm(out, axis=2).argmin(axis=0)
    out = out[which, np.arange(len(points))]
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    gaze = np.array([gaze for _, gaze, _ in head.eyes])[which]
    along = np.clip((out * gaze).sum(axis=1), -1, 1)
    side = out - along[:, None] * gaze
    around = np.arctan2(side[:, 1], side[:, 0])
    return out, _skin.eye_colour(np.degrees(np.arccos(along)), around, head.row, head.seed)
