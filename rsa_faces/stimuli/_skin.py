"""What the surface of a rendered head looks like: skin, folds, brows, lips, eyes, hair, teeth.

All colours are linear (not sRGB). Places are those of the model's average head in decimetres
(x to the head's left, y up, z forward), so that paint moves with the skin it is on.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: sRGB (0 to 255) of skin from the lightest to the darkest, at melanin 0, 0.5 and 1.
SKIN_TONES = np.array([[240, 202, 182], [200, 146, 112], [96, 60, 44]])
IRIS = {
    "brown": (84, 52, 30),
    "dark brown": (48, 30, 20),
    "hazel": (118, 92, 52),
    "green": (96, 116, 78),
    "blue": (92, 126, 156),
    "grey": (122, 132, 138),
}
HAIR = {
    "black": (24, 21, 20),
    "dark brown": (50, 35, 26),
    "brown": (86, 60, 42),
    "blond": (168, 132, 86),
    "red": (130, 68, 38),
    "grey": (150, 146, 142),
}
#: Height of the hairline around the head: degrees from the front, decimetres.
HAIRLINE_ANGLE = np.array([0, 25, 45, 60, 72, 84, 96, 108, 122, 140, 160, 180.0])
HAIRLINE_HEIGHT = np.array([8.06, 8.04, 7.93, 7.62, 7.2, 7.12, 7.42, 7.42, 6.95, 6.72, 6.62, 6.6])
AXIS_DEPTH = 0.35  # z of the vertical axis the angle is measured around
#: Folds of the skin: points (x, y) on the head's left, width, what makes them deeper.
FOLDS = {
    "between the brows": (((0.055, 7.36), (0.06, 7.52)), 0.016, ("browDown",)),
    "root of the nose": (((0.0, 7.345), (0.07, 7.335)), 0.016, ("noseSneer",)),
    "forehead, low": (((0.0, 7.76), (0.2, 7.79), (0.42, 7.77)), 0.017, ("browInnerUp",)),
    "forehead, high": (((0.0, 7.90), (0.2, 7.93), (0.40, 7.90)), 0.017, ("browInnerUp",)),
    "forehead, outer": (((0.25, 7.70), (0.4, 7.71), (0.55, 7.66)), 0.017, ("browOuterUp",)),
    "nose to mouth": (
        ((0.19, 6.98), (0.27, 6.9), (0.335, 6.78), (0.36, 6.66)),
        0.030,
        ("mouthSmile", "noseSneer", "mouthUpperUp", "cheekSquint"),
    ),
    "beside the mouth": (((0.32, 6.6), (0.34, 6.5)), 0.022, ("mouthFrown",)),
    "corner of the eye": (((0.56, 7.29), (0.66, 7.33)), 0.012, ("cheekSquint",)),
    "corner of the eye, low": (((0.56, 7.24), (0.66, 7.21)), 0.012, ("cheekSquint",)),
    "under the eye": (
        ((0.17, 7.19), (0.3, 7.135), (0.46, 7.16)),
        0.018,
        ("cheekSquint", "eyeSquint"),
    ),
    "chin": (((0.0, 6.42), (0.1, 6.41), (0.17, 6.38)), 0.02, ("mouthShrugLower",)),
}


def linear(srgb) -> np.ndarray:
    """Return linear light of sRGB values 0 to 255."""
    value = np.asarray(srgb, dtype=float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def encode(light: np.ndarray) -> np.ndarray:
    """Return sRGB bytes of linear light, highlights rolled off above 0.8."""
    light = np.clip(light, 0, None)
    light = np.where(light > 0.8, 0.8 + 0.2 * (1 - np.exp(-(light - 0.8) / 0.2)), light)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(value * 255), 0, 255).astype(np.uint8)


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below `low`, 1 above `high`, a smooth step between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@njit(nogil=True, cache=True)
def _lattice(i, j, k, seed):
    """Return a number from 0 to 1 for a point of the lattice."""
    h = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791) ^ (seed * 2654435761)
    h &= 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777215.0


@njit(nogil=True, cache=True)
def noise(points, seed):
    """Return smooth noise from 0 to 1 at points (n, 3); one cell of the lattice has side 1."""
    out = np.empty(len(points))
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        fx, fy, fz = x - i, y - j, z - k
        fx, fy, fz = (fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz))
        total = 0.0
        for a in range(2):
            for b in range(2):
                for c in range(2):
                    weight = (fx if a else 1 - fx) * (fy if b else 1 - fy) * (fz if c else 1 - fz)
                    total += weight * _lattice(i + a, j + b, k + c, seed)
        out[n] = total
    return out


def hair_cover(places: np.ndarray, hairline: float, recession: float) -> np.ndarray:
    """Return how far a place is above the hairline, in decimetres."""
    angle = np.degrees(np.arctan2(abs(places[:, 0]), places[:, 2] - AXIS_DEPTH))
    line = np.interp(angle, HAIRLINE_ANGLE, HAIRLINE_HEIGHT)
    line += hairline * smoothstep(-angle, -75, -50)
    line += recession * np.exp(-(((angle - 38) / 16) ** 2))
    return places[:, 1] - line


def skin_colour(places, lips, traits, seed):
    """Return albedo (n, 3) of skin and lips."""
    tones = linear(SKIN_TONES)
    melanin = traits["melanin"]
    base = np.array([np.interp(melanin, [0, 0.5, 1], tones[:, c]) for c in range(3)])
    x, y, z = abs(places[:, 0]), places[:, 1], places[:, 2]
    colour = np.repeat(base[None], len(places), axis=0)

    def blot(px, py, rx, ry):
        return np.exp(-(((x - px) / rx) ** 2) - ((y - py) / ry) ** 2) * smoothstep(z, 0.7, 1.0)

    red = traits["redness"] * (
        0.8 * blot(0.45, 6.98, 0.22, 0.16)
        + 0.9 * blot(0.0, 6.97, 0.14, 0.1)
        + 0.35 * blot(0.0, 6.33, 0.2, 0.1)
        + 0.3
    )
    strength = 1 - 0.65 * melanin
    colour *= 1 - red[:, None] * strength * np.array([0.05, 0.30, 0.26])
    under = blot(0.3, 7.14, 0.16, 0.06) * (0.16 + 0.18 * traits["wear"])
    colour *= 1 - under[:, None] * np.array([0.75, 0.95, 0.8])
    shadow = (
        traits["beard"]
        * smoothstep(noise(places * 3, seed + 5) * 0.1 + 6.78 - y, 0.0, 0.14)
        * smoothstep(z, 0.35, 0.85)
        * smoothstep(y, 6.02, 6.25)
    )
    shadow = np.maximum(shadow, traits["beard"] * blot(0.0, 6.79, 0.3, 0.055)) * (1 - lips)
    stubble = 0.7 + 0.6 * noise(places * 90, seed + 9)
    colour *= 1 - (shadow * stubble)[:, None] * np.array([0.42, 0.36, 0.30])
    mottle = (
        0.5 * noise(places * 7, seed)
        + 0.3 * noise(places * 19, seed + 1)
        + 0.2 * noise(places * 60, seed + 2)
        - 0.5
    )
    colour *= 1 + mottle[:, None] * np.array([0.16, 0.22, 0.24])
    freckles = smoothstep(noise(places * 50, seed + 3), 0.72, 0.86) * smoothstep(z, 0.8, 1.1)
    colour *= 1 - (traits["freckles"] * freckles)[:, None] * np.array([0.16, 0.25, 0.30])
    lip = base * np.array([0.86, 0.50, 0.52]) * (1 - 0.18 * traits["lip_tone"])
    lined = 1 - 0.12 * noise(places * np.array([70, 8, 8]), seed + 4)
    cover = smoothstep(lips, 0.25, 0.75)[:, None]
    return colour * (1 - cover) + lip * lined[:, None] * cover


def fold_depth(places: np.ndarray, actions: dict[str, float], wear: float) -> np.ndarray:
    """Return how dark the folds are at each place, 0 to about 0.6."""
    flat = np.stack([abs(places[:, 0]), places[:, 1]], axis=1)
    front = smoothstep(places[:, 2], 0.75, 0.95)
    dark = np.zeros(len(places))
    for points, width, drivers in FOLDS.values():
        pull = sum(
            (actions.get(d, 0) + actions.get(f"{d}Left", 0) / 2 + actions.get(f"{d}Right", 0) / 2)
            for d in drivers
        )
        depth = min(0.14 * wear + 0.22 * min(pull, 1.5), 0.42)
        if depth <= 0.01:
            continue
        line = np.array(points)
        low, high = line.min(axis=0) - 4 * width, line.max(axis=0) + 4 * width
        near = np.flatnonzero(((flat > low) & (flat < high)).all(axis=1))
        distance = np.full(len(near), np.inf)
        along_line = np.zeros(len(near))
        n_segments = len(line) - 1
        for s in range(n_segments):
            way = line[s + 1] - line[s]
            t = np.clip(((flat[near] - line[s]) @ way) / (way @ way), 0, 1)
            d = np.linalg.norm(flat[near] - line[s] - t[:, None] * way, axis=1)
            closer = d < distance
            distance = np.where(closer, d, distance)
            along_line = np.where(closer, (s + t) / n_segments, along_line)
        taper = 0.35 + 0.65 * np.sin(np.pi * np.clip(along_line, 0.04, 0.96))
        core = np.exp(-((distance / width) ** 2)) + 0.35 * np.exp(-((distance / width / 3) ** 2))
        dark[near] += depth * taper * core / 1.35
    return np.clip(dark * front, 0, 0.6)


def brow_cover(places: np.ndarray, traits: dict, seed: int) -> np.ndarray:
    """Return how much of each place brow hair covers, 0 to 1."""
    x, y = abs(places[:, 0]), places[:, 1]
    along = (x - 0.12) / (0.47 + 0.04 * traits["brow_length"])
    arch = 0.05 * np.sin(np.pi * 0.85 * np.clip(along, 0, 1))
    middle = 7.44 - 0.012 * along + traits["brow_height"] + traits["brow_arch"] * arch
    half = traits["brow_width"] * np.interp(along, [0, 0.15, 0.6, 1.0], [0.75, 1.0, 0.8, 0.3])
    off = (y - middle) / half
    inside = smoothstep(-abs(off), -1.15, -0.45)
    inside *= smoothstep(along, -0.05, 0.1) * smoothstep(-along, -1.05, -0.85)
    slant = np.stack([x * 55 - y * 40 * (1 - along), y * 14 + x * 10, np.zeros(len(x))], axis=1)
    strokes = 0.55 + 0.75 * noise(slant, seed + 6)
    return np.clip(inside * strokes * traits["brow_density"], 0, 1) * (places[:, 2] > 0.9)


def hair_colour(places: np.ndarray, traits: dict, seed: int) -> np.ndarray:
    """Return albedo (n, 3) of the hair on the head."""
    base = linear(HAIR[traits["hair_colour"]])
    angle = np.arctan2(places[:, 0], places[:, 2] - AXIS_DEPTH)
    strands = np.stack([angle * 60, places[:, 1] * 7, places[:, 2] * 7], axis=1)
    streak = 0.6 * noise(strands, seed + 7) + 0.4 * noise(strands * [2.3, 1.5, 1.5], seed + 8)
    return base * (0.55 + 0.9 * streak)[:, None]


def eye_colour(angle: np.ndarray, around: np.ndarray, traits: dict, seed: int) -> np.ndarray:
    """Return albedo (n, 3) of the eyeball, `angle` (degrees) from the gaze and `around` it."""
    white = linear((226, 216, 210)) * np.array([1, 0.97, 0.96])
    iris = linear(IRIS[traits["eye_colour"]])
    spokes = np.stack([np.cos(around) * 9, np.sin(around) * 9, angle * 0.12], axis=1)
    pattern = 0.7 + 0.7 * noise(spokes, seed + 10)
    inner = 1 + 0.35 * smoothstep(-angle, -20, -12)
    colour = iris * (pattern * inner)[:, None]
    colour = colour * (1 - 0.65 * smoothstep(angle, 22, 27))[:, None]
    rim = smoothstep(angle, 26.5, 29.5)[:, None]
    colour = colour * (1 - rim) + white * rim
    pupil = smoothstep(-angle, -12.0, -10.5)[:, None]
    colour = colour * (1 - pupil) + 0.006 * pupil
    veins = smoothstep(angle, 45, 80)[:, None]
    return colour * (1 - veins * np.array([0.06, 0.25, 0.25]))


def tooth_colour(places: np.ndarray) -> np.ndarray:
    """Return albedo (n, 3) of the teeth, darker between them."""
    angle = np.arctan2(places[:, 0], places[:, 2] - 1.0)
    gap = abs(((angle / 0.235) % 1.0) - 0.5) * 2
    dark = 0.4 * smoothstep(gap, 0.86, 1.0)
    return linear((236, 229, 214)) * (1 - dark)[:, None]
