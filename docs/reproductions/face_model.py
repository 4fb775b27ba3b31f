"""
Distances in a 3-D face model
=============================

Jozwik et al. (2022, `doi:10.1073/pnas.2115047119 <https://doi.org/10.1073/pnas.2115047119>`_) had people judge 232
pairs of faces rendered from the Basel Face Model, and found that the Euclidean distance of its coordinates (199 of
shape, 199 of texture) predicts the judgements. The coordinates of the pairs are published, the judgements are not used
here. They are fetched once (2.8 MB, MIT); without a network this page says so and ends.
"""

import numpy as np
import pandas as pd
from scipy.io import loadmat

import rsa_faces as rf
from rsa_faces.datasets._fetched import Archive

published = Archive(
    name="jozwik2022",
    title="Coordinates of face pairs, Jozwik et al. 2022, 2.8 MB",
    licence="MIT",
    source="https://raw.githubusercontent.com/kamilajozwik/face_similarity_paper_2022/"
    "7d4d29824e254ec0a5663ce64dee3ab33cfbbd13/",
    files={
        "code/render_face_images/facepair_info_set_A.mat": "sha256:"
        "b6af5f8dcb2e9f907d9ed027bece60d929ee0196a6ca66508ae9a2f5072bbdea",
        "code/render_face_images/facepair_info_set_B.mat": "sha256:"
        "1b0463b79f6a4d205b4981bf4b92abba3eb81dccb743c9eb967a2df2cb025ba8",
    },
    page="https://github.com/kamilajozwik/face_similarity_paper_2022",
)
try:
    files = published.fetch()
except rf.InputError as error:
    files = {}
    print(f"Not fetched: {str(error).replace(str(published.folder.parent), 'cache')[:200]}…")

# %%
# Source, their value, ours
# -------------------------
#
# The pairs sample a plan: two faces at eight distances from the average face (0 to 40), with eight angles (0 to 180
# degrees) between them. So the distance of each pair is known from its plan, by the law of cosines; ours is that of
# ``compute_rdms`` on the 398 coordinates. Where the files could not be fetched, ours are the numbers of the run in
# which this page was checked.

checked = {"A": (232, 8, 8, 80.0), "B": (232, 8, 8, 80.0)}
for name, numbers in checked.items():
    if files:
        pairs = loadmat(files[f"facepair_info_set_{name}.mat"])["p"]  # (pairs, coordinates, 2)
        one, other = pairs[..., 0], pairs[..., 1]
        r1, r2 = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
        away = (r1 > 0) & (r2 > 0)
        cosine = np.where(away, (one * other).sum(axis=1) / np.where(away, r1 * r2, 1), 0)
        angles = np.degrees(np.arccos(np.clip(cosine, -1, 1))).round(1)[away]
        planned = np.sqrt(np.clip(r1**2 + r2**2 - 2 * r1 * r2 * cosine, 0, None))
        faces = [f"pair{k:03d}{side}" for k in range(len(one)) for side in "ab"]
        coordinates = pairs.transpose(0, 2, 1).reshape(-1, pairs.shape[1])
        rdm = rf.compute_rdms(coordinates, conditions=faces, measure="euclidean").matrices()[0]
        found = rdm[np.arange(0, len(faces), 2), np.arange(1, len(faces), 2)]
        assert np.abs(found - planned).max() < 1e-4
        eccentricities = set(np.round(np.concatenate([r1, r2]), 2))
        numbers = len(found), len(eccentricities), len(set(angles)), found.max()
    print(
        f"set {name}: {numbers[0]} pairs (232 in the paper), {numbers[1]} distances from the mean, "
        f"{numbers[2]} angles, largest distance {numbers[3]:.0f}{'' if files else ' (not now)'}"
    )
    assert numbers[0] == 232

# %%
# How much of it is shape?
# ------------------------
#
# The correlation, over pairs, of distances in a part of the model with distances in the whole. A model RDM for your own
# faces is the same line: ``compute_rdms(coordinates, conditions=names, measure="euclidean")``.

if files:
    rows = []
    for name in checked:
        pairs = loadmat(files[f"facepair_info_set_{name}.mat"])["p"]
        apart = pairs[..., 0] - pairs[..., 1]
        whole = np.linalg.norm(apart, axis=1)
        parts = {"shape": slice(0, 199), "texture": slice(199, 398)}
        for part, columns in parts.items():
            r = np.corrcoef(np.linalg.norm(apart[:, columns], axis=1), whole)[0, 1]
            rows.append([name, part, r])
    print(
        pd.DataFrame(rows, columns=["set", "part", "r with whole"]).round(3).to_string(index=False)
    )
