"""What EfficientNet features tell of real faces, channels standardised or sets scaled whole.

python scripts/silent_channels.py FOLDER   # of the London set: images/, info.csv, landmarks.npz
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import rsa_faces as rf
from rsa_faces._core.tables import read_table
from rsa_faces.analyses import measure_landmarks, read_landmarks, trait_readout

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    images = rf.load_stimuli(folder / "images")
    acts = rf.extract(rf.load_network("efficientnet-lite0"), images, layers=["global_pool"])
    features = pd.DataFrame(
        np.asarray(acts["global_pool"]).reshape(len(images), -1), acts.conditions
    )
    info = read_table(folder / "info.csv").set_index("face_id")
    width = measure_landmarks(read_landmarks(folder / "landmarks.npz"))["face width"]
    ratings = pd.DataFrame(
        {
            "age": pd.to_numeric(info["face_age"], errors="coerce"),
            "gender": (info["face_gender"] == "male").astype(float),
            "largest group": (info["face_eth"] == "white").astype(float),
            "face width": width.set_axis([name[:3] for name in width.index]),
        }
    ).dropna()
    ratings.index = [f"{name}_neutral" for name in ratings.index]
    for standardize in (True, False):
        found = trait_readout(
            {"global_pool": features},
            ratings,
            standardize=standardize,
            n_permutations=1,
            match="intersection",
        )
        print("channels" if standardize else "set whole")
        print(found.table[["trait", "r", "r2", "n_faces"]].round(2).to_string(index=False))
