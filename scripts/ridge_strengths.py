"""Who is told across expressions at each strength of the ridge, of rendered heads.

python scripts/ridge_strengths.py                  # needs the package anny; some minutes
python scripts/ridge_strengths.py --people 40 --networks sface mini-xception

Each person is in one training image, so that leaving out images cannot choose a strength:
`readout` takes the middle one there. It is shown beside all others, the weakest to the strongest.
"""

import argparse

import pandas as pd

import rsa_faces as rf
from rsa_faces.analyses import readout
from rsa_faces.analyses.information.readout import STRENGTHS
from rsa_faces.stimuli.rendering import render_faces

PAIRS = (("neutral", "happy"), ("angry", "surprised"))
VIEWS = (0, 30)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--networks", nargs="+", default=["dlib-face", "sface", "mini-xception"])
    parser.add_argument("--layers", type=int, default=3, help="the last ones of each network")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    expressions = [expression for pair in PAIRS for expression in pair]
    options = {"seed": chosen.seed, "size": 160, "supersampling": 2}
    heads = render_faces(chosen.people, expressions, VIEWS, **options)
    found = rf.detect_faces(heads, progress=False)
    rows = []
    for name in chosen.networks:
        network = rf.load_network(name)
        crops = rf.crop_faces(heads, found, missing="leave-out", **network.spec.crop_options)
        acts = rf.extract(network, crops, layers=network.layers()[-chosen.layers :], progress=False)
        table = crops.metadata
        for view in VIEWS:
            for pair in PAIRS:
                inside = table[(table["yaw"] == view) & table["expression"].isin(pair)]
                both = inside.groupby("identity")["expression"].transform("nunique") == 2
                inside = inside[both]
                for layer in acts.layers:
                    x = pd.DataFrame(acts[layer].reshape(len(crops), -1), crops.ids)
                    row = {"network": name, "layer": layer, "yaw": view, "across": "-".join(pair)}
                    for strength in STRENGTHS:
                        result = readout(
                            {layer: x.loc[inside.index].to_numpy()},
                            inside["identity"],
                            conditions=list(inside.index),
                            across=inside["expression"],
                            n_permutations=0,
                            strengths=[strength],
                            progress=False,
                        )
                        row[f"{strength:g}"] = result.table["accuracy"][0]
                    rows.append({**row, "people": len(inside) // 2})
    table = pd.DataFrame(rows)
    print(table.round(2).to_string(index=False))
    strengths = [f"{strength:g}" for strength in STRENGTHS]
    print("\nmean of all rows, and the most that a row loses to its best strength")
    lost = table[strengths].max(axis=1).to_numpy()[:, None] - table[strengths]
    print(pd.DataFrame({"mean": table[strengths].mean(), "lost": lost.max()}).round(2).T)
