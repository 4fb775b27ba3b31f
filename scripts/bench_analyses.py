"""Time the analyses at the sizes of the London set: 204 images of 102 people, 338 x 338 pixels.

    python scripts/bench_analyses.py                    all three
    python scripts/bench_analyses.py readout --network sface
    python scripts/bench_analyses.py --london FOLDER    with the photographs themselves

Without --london the images are simulated (the 92 images that ship, cut and shifted at random);
what they show does not change the time. readout: all layers of one network from 2 classes, 1,000
permutations, features at hand. face_space: 102 faces, 189 landmarks, 25 + 25 components.
robustness: 8 degradations x 5 strengths, the network's last layer, 1,000 samples of people; the
network's own forward passes are in it. Compiled code is compiled before. Timings decide no test.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import rsa_faces as rf
from rsa_faces import analyses

SIDE, PEOPLE = 338, 102


def simulated(seed: int = 0):
    """Return 204 images of 102 made-up people, and 189 landmarks of one image each."""
    rng = np.random.default_rng(seed)
    pool = rf.datasets.images92().stimuli
    images, ids = [], []
    for i in range(PEOPLE):
        for what in ("neutral", "happy"):
            image = Image.fromarray(pool.image(pool.ids[rng.integers(len(pool))]))
            image = image.convert("RGB").resize((400, 400))
            x, y = rng.integers(0, 400 - SIDE, 2)
            images.append(np.asarray(image)[y : y + SIDE, x : x + SIDE])
            ids.append(f"{i + 1:03d}_{what}")
    table = pd.DataFrame(
        {"identity": [name[:3] for name in ids], "expression": [name[4:] for name in ids]}
    )
    mean = rng.uniform(60, SIDE - 60, (189, 2))
    points = {name: mean + rng.normal(0, 3, mean.shape) for name in ids if "neutral" in name}
    return rf.StimulusSet.from_arrays(images, ids, table), points


def london(folder: Path):
    """Return the photographs and landmarks of the London set."""
    stimuli = rf.load_stimuli(folder / "images", manifest=folder / "images.csv")
    return stimuli, analyses.read_landmarks(folder / "landmarks.npz")


def readout(stimuli, _, network) -> None:
    """Expression across identity from all layers."""
    labels = stimuli.metadata
    with tempfile.TemporaryDirectory() as folder:
        acts = rf.extract(network, stimuli, layers="all", store=Path(folder) / "a", progress=False)
        asked = {"across": labels["identity"], "progress": False}
        analyses.readout(
            {"one": np.asarray(acts[list(acts)[-1]])},
            labels["expression"],
            conditions=acts.conditions,
            n_permutations=19,
            **asked,
        )
        start = time.perf_counter()
        analyses.readout(acts, labels["expression"], n_permutations=1000, **asked)
        report(f"readout, {len(acts)} layers of {network.name}, 1,000 permutations", start, 60)
        start = time.perf_counter()
        analyses.readout(
            acts,
            labels["identity"],
            across=labels["expression"],
            people=labels["identity"],
            n_permutations=1000,
            progress=False,
        )
        report(f"the same, {PEOPLE} identities across expression", start, 60)


def face_space(stimuli, points, _) -> None:
    """Shape and appearance."""
    some = dict(list(points.items())[:12])
    analyses.face_space(
        stimuli, some, n_shape=2, n_appearance=2, match="intersection", progress=False
    )
    start = time.perf_counter()
    analyses.face_space(stimuli, points, match="intersection", progress=False)
    report(f"face space, {len(points)} faces, 25 + 25 components", start, 20)


def robustness(stimuli, _, network) -> None:
    """8 degradations at 5 strengths."""
    crops = rf.StimulusSet.from_arrays(
        [np.asarray(Image.fromarray(stimuli.image(i)).resize((112, 112))) for i in stimuli.ids],
        stimuli.ids,
        stimuli.metadata,
    )
    start = time.perf_counter()
    found = analyses.robustness(network, crops, identity=crops.metadata["identity"], progress=False)
    n = len(found.table) - 1
    report(f"robustness of {network.name}, {n} degradations x strengths", start, 180)


def report(what: str, start: float, allowed: float) -> None:
    """Print one line."""
    print(
        f"{what}: {time.perf_counter() - start:.1f} s (at most {allowed:.0f})",
        flush=True,
    )


WHAT = {"readout": readout, "face_space": face_space, "robustness": robustness}


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(WHAT)}")
    parser.add_argument("--network", default="sface")
    parser.add_argument("--london", type=Path)
    options = parser.parse_args()
    if unknown := set(options.what) - set(WHAT):
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(WHAT)}")
    stimuli, points = london(options.london) if options.london else simulated()
    network = rf.load_network(options.network)
    for name in options.what or WHAT:
        WHAT[name](stimuli, points, network)


if __name__ == "__main__":
    main()
