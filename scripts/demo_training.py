"""What a small Siamese network learns from 30 people: measured on people it never saw.

    python scripts/demo_training.py --orl PATH [--london FOLDER] [--weights FILE] [--out FILE]

Beside the trained network (default: the bundled siamese-orl, made by
`OMP_NUM_THREADS=1 python scripts/train_siamese.py --orl PATH --out run`): the same network with
random weights (mean over five draws) and plain pixels, on

- people 31 to 40 of the AT&T/ORL faces: all pairs of their 100 images;
- the Face Research Lab London Set (images.csv with the columns file, identity, expression), whole
  photographs and cut out as the ORL faces are: the neutral face of each person with the smiling
  face of each.

Columns: area under the ROC, its standard error (leaving out one person at a time), and accuracy
with standard error as in Labeled Faces in the Wild (equally many same and different pairs, drawn;
nobody in two folds; each fold at the others' best threshold): 5 folds of 2 ORL people, 10 of 10 or
11 London people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from train_siamese import INPUT, ORL, read_orl

from rsa_faces._core.files import atomic_path
from rsa_faces.networks import _preprocess
from rsa_faces.networks._spec import WEIGHTS_FOLDER
from rsa_faces.networks._weights import fill, initialise, read_weights
from rsa_faces.networks.families.siamese import SiameseNet
from rsa_faces.networks.training import (
    LabelledFaces,
    all_pairs,
    area_under_roc,
    compute_outputs,
    draw_pairs,
    pair_scores,
    verification,
)
from rsa_faces.stimuli import crop_faces, detect_faces, load_stimuli

TESTED = [f"s{i}" for i in range(31, 41)]
N_DRAWS = 5
#: On ORL people 1 to 30, the square that the network sees is 0.99 times a detected face's longer
#: side: without a margin, a cut-out face fills the frame as theirs do.
MARGIN = 0.0


def orl_test(path: Path):
    """Return faces, all pairs, and the pairs of the folds."""
    faces = read_orl(path).keep(TESTED)
    drawn = draw_pairs(faces, n_folds=5, n_each=90)
    return faces, all_pairs(faces)[0], (drawn.index(faces), drawn.fold)


def london_test(folder: Path, *, crop: bool):
    """Return faces, each neutral with each smiling one, and the pairs of the folds."""
    stimuli = load_stimuli(folder / "images", manifest=folder / "images.csv")
    if crop:
        stimuli = crop_faces(stimuli, detect_faces(stimuli), template="box", margin=MARGIN)
    faces = LabelledFaces.from_stimuli(stimuli, "identity")
    neutral = (stimuli.metadata["expression"] == "neutral").to_numpy()
    i, j = np.flatnonzero(neutral), np.flatnonzero(~neutral)
    i, j = i[np.argsort(faces.labels[i])], j[np.argsort(faces.labels[j])]
    n = len(faces.names)
    pairs = np.stack(np.meshgrid(i, j, indexing="ij"), -1).reshape(-1, 2)
    rng = np.random.default_rng(0)
    drawn, fold = [], []
    for k, people in enumerate(np.array_split(rng.permutation(n), 10)):
        other = [(a, b) for a in people for b in people if a != b]
        other = [other[c] for c in rng.choice(len(other), len(people), replace=False)]
        both = [(a, a) for a in people] + other
        drawn += [(i[a], j[b]) for a, b in both]
        fold += [k] * len(both)
    return faces, pairs, (np.array(drawn), np.array(fold))


def judge(scores, faces: LabelledFaces, pairs: np.ndarray, folds) -> dict[str, float]:
    """Return the measures of a function from pairs to scores."""

    def same(index):
        return faces.labels[index[:, 0]] == faces.labels[index[:, 1]]

    values, kind, who = scores(pairs), same(pairs), faces.labels[pairs]
    without = [(who != person).all(1) for person in range(len(faces.names))]
    left = np.array([area_under_roc(values[w], kind[w]) for w in without])
    error = np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())
    found = verification(scores(folds[0]), same(folds[0]), folds[1])
    return {
        "AUC": area_under_roc(values, kind),
        "AUC error": error,
        "accuracy": found.accuracy,
        "accuracy error": found.standard_error,
    }


def compare(test, weights: Path) -> pd.DataFrame:
    """Return one row per way of judging."""
    faces, pairs, folds = test
    network = SiameseNet(ORL["n_out"], ORL["width"]).eval()

    def by_network(score):
        outputs = compute_outputs(network, faces, preprocessing=INPUT)
        return judge(lambda p: pair_scores(outputs, p, score=score), faces, pairs, folds)

    rows = {}
    fill(network, read_weights(weights), source=weights.name)
    rows["trained, its judgement"] = by_network(network.head)
    rows["trained, distance of embeddings"] = by_network("distance")
    draws = []
    for seed in range(N_DRAWS):
        initialise(network, seed)
        draws.append(by_network("distance"))
    rows["untrained, distance of embeddings"] = pd.DataFrame(draws).mean().to_dict()
    images = [faces.image(i) for i in range(len(faces))]
    pixels = _preprocess.apply(INPUT, images).reshape(len(images), -1)
    rows["pixels, distance"] = judge(
        lambda p: pair_scores(pixels, p, score="distance"), faces, pairs, folds
    )
    pixels -= pixels.mean(1, keepdims=True)
    rows["pixels, correlation"] = judge(lambda p: pair_scores(pixels, p), faces, pairs, folds)
    return pd.DataFrame(rows).T


def main() -> None:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--orl", type=Path, required=True, help="folder with s1 to s40, or a zip")
    out.add_argument("--london", type=Path, help="folder with images/ and images.csv")
    out.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER / "siamese-orl.safetensors")
    out.add_argument("--out", type=Path, metavar="FILE", help="write the table as CSV")
    args = out.parse_args()
    torch.manual_seed(0)
    tests = {"ORL, people 31 to 40": orl_test(args.orl)}
    if args.london:
        tests["London, photographs"] = london_test(args.london, crop=False)
        tests["London, faces cut out"] = london_test(args.london, crop=True)
    table = pd.concat(
        {name: compare(test, args.weights) for name, test in tests.items()}, names=["test", "by"]
    )
    print(table.round(3).to_string())
    if args.out:
        with atomic_path(args.out) as path:
            table.round(4).to_csv(path)


if __name__ == "__main__":
    main()
