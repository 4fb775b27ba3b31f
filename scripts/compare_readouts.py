"""How far a ridge and a softmax layer differ as read-outs of real faces.

    python scripts/compare_readouts.py FOLDER

FOLDER is that of the Face Research Lab London Set: images/ (001_neutral.jpg, ...) and info.csv
(face_id, face_gender). Expression and gender are read across people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

import rsa_faces as rf
from rsa_faces._core.tables import read_table
from rsa_faces.analyses import readout

NETWORKS = {"sface": 3, "dlib-face": 3, "face-api-expression": 3, "efficientnet-lite0": 3}


def main() -> None:
    """Print accuracies of both read-outs, layer by layer."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    stimuli = rf.load_stimuli(folder / "images")
    labels = pd.DataFrame(
        [name.split("_") for name in stimuli.ids], list(stimuli.ids), ["identity", "expression"]
    )
    info = read_table(folder / "info.csv").set_index("face_id")
    tasks = {
        "expression": labels["expression"],
        "gender": labels["identity"].map(info["face_gender"]),
    }
    crops = rf.crop_faces(stimuli, rf.detect_faces(stimuli, progress=False), template="box")
    rows = []
    for name, n_layers in NETWORKS.items():
        activations = rf.extract(rf.load_network(name), crops, progress=False)
        every = list(activations.layers)
        layers = [every[round(i * (len(every) - 1) / (n_layers - 1))] for i in range(n_layers)]
        features = {layer: activations[layer] for layer in dict.fromkeys(layers)}
        for task, values in tasks.items():
            found = {
                classifier: readout(
                    features,
                    values,
                    conditions=stimuli.ids,
                    across=labels["identity"],
                    classifier=classifier,
                    n_permutations=0,
                    progress=False,
                ).table.set_index("layer")["accuracy"]
                for classifier in ("ridge", "softmax")
            }
            rows.append(pd.DataFrame(found).assign(network=name, task=task).reset_index())
            sys.stderr.write(f"{rows[-1].round(3).to_string()}\n")
    table = pd.concat(rows, ignore_index=True)
    table["difference"] = table["softmax"] - table["ridge"]
    sys.stdout.write(table.round(3).to_string(index=False) + "\n")
    by = table.groupby("task")["difference"].agg(["mean", "min", "max"])
    sys.stdout.write(by.round(3).to_string() + "\n")


if __name__ == "__main__":
    main()
