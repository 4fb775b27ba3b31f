"""The Face Research Lab London Set: photographs of 102 people, neutral and smiling."""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_file
from rsa_faces._core.tables import read_table
from rsa_faces.datasets._dataset import Dataset
from rsa_faces.datasets._fetched import Archive
from rsa_faces.rdm import RDMs
from rsa_faces.stimuli import StimulusSet

ARCHIVE = Archive(
    name="london",
    title="Face Research Lab London Set, DeBruine and Jones 2017, 100 MB",
    licence="CC BY 4.0",
    source="doi:10.6084/m9.figshare.5047666.v5",
    files={"neutral_front.zip": None, "smiling_front.zip": None, "london_faces_info.csv": None},
    page="https://doi.org/10.6084/m9.figshare.5047666",
)
N_PEOPLE = 102
N_LANDMARKS = 189
#: Number of the photograph in the names of files, and what it shows.
EXPRESSIONS = {"03": "neutral", "08": "smiling"}


@dataclass(frozen=True)
class LondonFaces(Dataset):
    """The London faces, with landmarks.

    Parameters
    ----------
    landmarks : mapping of str to ndarray, shape (189, 2)
        x, y in pixels of each neutral face, by stimulus id, set by hand.

    See Also
    --------
    london : Load the Face Research Lab London Set: 102 real people, neutral and smiling.
    rsa_faces.datasets.Dataset : Stimuli, RDMs of brains and behaviour, and models.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> faces = rf.datasets.london()  # doctest: +SKIP
    >>> len(faces.landmarks)  # doctest: +SKIP
    """

    landmarks: dict[str, np.ndarray]


@functools.cache
def london() -> LondonFaces:
    """Load the Face Research Lab London Set: 102 real people, neutral and smiling.

    The photographs are fetched once (about 100 MB, from figshare, checked against the hashes it
    publishes) into the user's cache; afterwards nothing is fetched. Without a network, an error
    says which file to put where. The environment variable ``RSA_FACES_DATA`` names another
    folder than the cache.

    Returns
    -------
    LondonFaces
        ``.stimuli``: 204 colour photographs, 1350 x 1350, frontal, ids such as "001_neutral" and
        "001_smiling". Metadata: ``identity`` (text, "001" to "173"), ``expression`` ("neutral",
        "smiling"), ``age`` (years; NaN for two people), ``gender`` and ``ethnicity``, both in the
        words the people chose for themselves.

        ``.models``: RDMs "identity", "expression", "gender" (0 same, 1 different) and "age"
        (difference in years; NaN, not measured, for pairs with an unknown age).

        ``.landmarks``: 189 points of each neutral face, as
        :func:`rsa_faces.analyses.measure_landmarks` takes them. ``.rdms``: none.

    Raises
    ------
    InputError
        If the files are not there and cannot be fetched, or hold something else.

    Notes
    -----
    Everyone pictured agreed in writing that the images are used in lab-based and web-based
    studies, in their original or altered forms, and to illustrate research. Licence: CC BY 4.0:
    name the authors where you show or pass on a photograph.

    Gender and ethnicity are what people said of themselves in a few given words; most are young
    and white. Differences between such groups in a network say nothing about people.

    References
    ----------
    .. [1] DeBruine L., Jones B. (2017). Face Research Lab London Set. figshare.
       doi:10.6084/m9.figshare.5047666

    See Also
    --------
    simulated_faces : faces of nobody, which need no network to get.
    rsa_faces.crop_faces : cut the faces out, as a network was trained to see them.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> faces = rf.datasets.london()  # doctest: +SKIP
    >>> faces.stimuli.query("expression == 'smiling'")  # doctest: +SKIP
    StimulusSet(102 images, metadata: identity, expression, age, gender, ethnicity)
    """
    files = ARCHIVE.fetch()
    folder = _unpacked(files["neutral_front.zip"], files["smiling_front.zip"])
    names, paths, rows = [], [], []
    for path in sorted(folder.glob("*.jpg")):
        person, number = path.stem.split("_")
        names.append(f"{person}_{EXPRESSIONS[number]}")
        paths.append(path)
        rows.append({"identity": person, "expression": EXPRESSIONS[number]})
    metadata = pd.DataFrame(rows).join(_people(files["london_faces_info.csv"]), on="identity")
    stimuli = StimulusSet(names, paths, [sha256_file(path) for path in paths], metadata)
    landmarks = {
        f"{path.stem.split('_')[0]}_neutral": _read_template(path)
        for path in sorted(folder.glob("*_03.tem"))
    }
    return LondonFaces(
        name="london",
        stimuli=stimuli,
        rdms=RDMs(np.empty((0, len(names) * (len(names) - 1) // 2)), stimuli.ids, "none", {}),
        models=_models(stimuli),
        origin=f"{ARCHIVE.title}, {ARCHIVE.page}, version 5",
        licence=f"{ARCHIVE.licence}; the people pictured agreed to research and its illustration",
        citations=(
            "DeBruine L., Jones B. (2017). Face Research Lab London Set. figshare. "
            "doi:10.6084/m9.figshare.5047666",
        ),
        notes=("gender and ethnicity are what people said of themselves",),
        landmarks=landmarks,
    )


def _unpacked(*archives: Path) -> Path:
    """Return the folder with the photographs and templates of the archives, whole or not at all."""
    folder = archives[0].with_name("photographs")
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".photographs.") as name:
            whole = Path(name) / "whole"
            whole.mkdir()
            for archive in archives:
                _unpack(archive, whole)
            counts = {key: len(list(whole.glob(f"*_{key}.jpg"))) for key in EXPRESSIONS}
            if set(counts.values()) != {N_PEOPLE}:
                raise InputError(
                    f"expected {N_PEOPLE} photographs *_03.jpg and as many *_08.jpg in "
                    f"{' and '.join(map(str, archives))}, got {counts['03']} and {counts['08']}: "
                    f"get them again from {ARCHIVE.page}."
                )
            os.rename(whole, folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack photographs and templates of front views, by their plain names."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                name = PurePosixPath(member.filename)
                if "__MACOSX" in name.parts or not re.fullmatch(
                    r"\d{3}_(03|08)\.(jpg|tem)", name.name
                ):
                    continue
                with packed.open(member) as source, (folder / name.name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, EOFError) as err:
        raise InputError(
            f"expected the archive of {ARCHIVE.page}, but {archive}: {err}. Remove the file and "
            "get it again."
        ) from err


def _people(path: Path) -> pd.DataFrame:
    """Return what people said of themselves, by their number."""
    table = read_table(
        path,
        what="the table of the London faces",
        text=["face_id", "face_gender", "face_eth"],
        numbers=["face_age"],
        gaps=["face_age"],
    )
    # Versions of the table write 1, 001 and X001.
    people = table["face_id"].str.removeprefix("X").str.zfill(3)
    columns = {"face_age": "age", "face_gender": "gender", "face_eth": "ethnicity"}
    return table[list(columns)].rename(columns=columns).set_axis(people)


def _read_template(path: Path) -> np.ndarray:
    """Return the points of a WebMorph template: how many, then x and y of each."""
    lines = path.read_text(encoding="utf-8").split("\n")
    points = np.array([line.split() for line in lines[1 : N_LANDMARKS + 1]], dtype=float)
    if lines[0].strip() != str(N_LANDMARKS) or points.shape != (N_LANDMARKS, 2):
        raise InputError(f"expected {N_LANDMARKS} points in {path}, got {points.shape}.")
    return points


def _models(stimuli: StimulusSet) -> RDMs:
    """Return what is known about each pair of photographs."""
    table = stimuli.metadata
    matrices = {
        name: (table[name].to_numpy()[:, None] != table[name].to_numpy()).astype(float)
        for name in ("identity", "expression", "gender")
    }
    age = table["age"].to_numpy(dtype=float)
    # An unknown age leaves its pairs unmeasured; the diagonal is 0 all the same.
    matrices["age"] = np.where(np.eye(len(age), dtype=bool), 0.0, abs(age[:, None] - age))
    return RDMs.from_matrices(
        np.stack(list(matrices.values())), stimuli.ids, "model", {"name": list(matrices)}
    )
