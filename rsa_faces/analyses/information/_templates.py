"""Which landmark is which, in two templates; and what is measured between them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Left and right as in the image. Several numbers: the mean of these points.
# london-189: read off numbered points on two faces and on the mean face of the London set.
TEMPLATES: dict[str, dict[str, tuple[int, ...]]] = {
    "london-189": {
        "pupil_left": (0,),
        "pupil_right": (1,),
        "eye_outer_left": (18,),
        "eye_inner_left": (22,),
        "eye_inner_right": (23,),
        "eye_outer_right": (27,),
        "lid_upper_left": (20,),
        "lid_lower_left": (29,),
        "lid_upper_right": (25,),
        "lid_lower_right": (32,),
        "brow_left": (73, 74, 83, 84),
        "brow_right": (79, 80, 85, 86),
        "nasion": (51, 57),
        "nose_tip": (54, 60),
        "subnasale": (55,),
        "ala_left": (63,),
        "ala_right": (68,),
        "mouth_left": (87,),
        "mouth_right": (93,),
        "lip_top": (90,),
        "lip_bottom": (106,),
        "chin": (129,),
        "cheek_left": (110,),
        "cheek_right": (113,),
        "jaw_left": (125,),
        "jaw_right": (133,),
        "hairline": (139,),
    },
    "ibug-68": {
        "pupil_left": (36, 37, 38, 39, 40, 41),
        "pupil_right": (42, 43, 44, 45, 46, 47),
        "eye_outer_left": (36,),
        "eye_inner_left": (39,),
        "eye_inner_right": (42,),
        "eye_outer_right": (45,),
        "lid_upper_left": (37, 38),
        "lid_lower_left": (40, 41),
        "lid_upper_right": (43, 44),
        "lid_lower_right": (46, 47),
        "brow_left": (18, 19, 20),
        "brow_right": (23, 24, 25),
        "nasion": (27,),
        "nose_tip": (30,),
        "subnasale": (33,),
        "ala_left": (31,),
        "ala_right": (35,),
        "mouth_left": (48,),
        "mouth_right": (54,),
        "lip_top": (51,),
        "lip_bottom": (57,),
        "chin": (8,),
        "cheek_left": (1, 2),
        "cheek_right": (14, 15),
        "jaw_left": (3, 4),
        "jaw_right": (12, 13),
    },
}

# Pairs of points; the mean of the pairs' distances.
DISTANCES: dict[str, tuple[tuple[str, str], ...]] = {
    "pupil distance": (("pupil_left", "pupil_right"),),
    "inner eye distance": (("eye_inner_left", "eye_inner_right"),),
    "eye width": (("eye_outer_left", "eye_inner_left"), ("eye_inner_right", "eye_outer_right")),
    "eye opening": (("lid_upper_left", "lid_lower_left"), ("lid_upper_right", "lid_lower_right")),
    "brow height": (("brow_left", "pupil_left"), ("brow_right", "pupil_right")),
    "nose length": (("nasion", "subnasale"),),
    "nose width": (("ala_left", "ala_right"),),
    "philtrum length": (("subnasale", "lip_top"),),
    "mouth width": (("mouth_left", "mouth_right"),),
    "lip height": (("lip_top", "lip_bottom"),),
    "chin height": (("lip_bottom", "chin"),),
    "face width": (("cheek_left", "cheek_right"),),
    "jaw width": (("jaw_left", "jaw_right"),),
    "face height": (("nasion", "chin"),),
    "forehead height": (("hairline", "nasion"),),
}
_POSE = {
    "roll": ("pupil_left", "pupil_right"),
    "yaw": ("pupil_left", "pupil_right", "nose_tip", "cheek_left", "cheek_right"),
    "pitch": ("pupil_left", "pupil_right", "nose_tip", "mouth_left", "mouth_right"),
}


def measured(points: np.ndarray, template: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return what can be measured with the template's points, (n_faces, n_landmarks, 2)."""
    at = {name: points[:, list(numbers)].mean(axis=1) for name, numbers in template.items()}
    out = {}
    for name, pairs in DISTANCES.items():
        if all(a in at and b in at for a, b in pairs):
            out[name] = np.mean([np.linalg.norm(at[a] - at[b], axis=1) for a, b in pairs], axis=0)
    if all(name in at for name in _POSE["roll"]):
        line = at["pupil_right"] - at["pupil_left"]
        out["roll"] = np.degrees(np.arctan2(line[:, 1], line[:, 0]))
        # Along and across the line of the eyes: a tilted head must not pass for a turned one.
        right = line / np.linalg.norm(line, axis=1, keepdims=True)
        down = np.stack([-right[:, 1], right[:, 0]], axis=1)
        eyes = (at["pupil_left"] + at["pupil_right"]) / 2
        if all(name in at for name in _POSE["yaw"]):
            left = ((at["nose_tip"] - at["cheek_left"]) * right).sum(axis=1)
            rest = ((at["cheek_right"] - at["nose_tip"]) * right).sum(axis=1)
            out["yaw"] = (left - rest) / (left + rest)
        if all(name in at for name in _POSE["pitch"]):
            mouth = (at["mouth_left"] + at["mouth_right"]) / 2
            out["pitch"] = ((at["nose_tip"] - eyes) * down).sum(axis=1) / (
                (mouth - eyes) * down
            ).sum(axis=1)
    return out
