"""How often intervals from drawn people hold the truth, by the number of people: simulated.

python scripts/simulate_intervals.py --simulations 400
python scripts/simulate_intervals.py --only encode rate --people 6 12 --beside 50

The truth is planted (`occlude`), what 3,000 people give (`background`), or the mean over all
studies of as many people (read-outs, whose training sets are part of the design).
"""

import argparse
import functools
import warnings

import numpy as np
import pandas as pd
import torch
from torch import nn

from rsa_faces import StimulusSet
from rsa_faces.analyses import (
    axis_tuning,
    background_units,
    encoding,
    landmark_readout,
    layer_agreement,
    readout,
    score_distributions,
    similarity_scores,
    trait_generalization,
    trait_readout,
)
from rsa_faces.analyses.networks.occlusion import table_of_places
from rsa_faces.networks import Network, Preprocessing
from rsa_faces.networks._spec import NetworkSpec

ENDS = ["ci_low", "ci_high"]
BESIDE = 0  # features that tell nothing, beside those that do
#: A study gives values with ends, (n_values, 3), of n people.


def read(rng: np.random.Generator, n: int) -> np.ndarray:
    """Accuracy: two expressions of each person, who differ in how they smile."""
    who, smiles = np.repeat(np.arange(n), 2), np.tile([0, 1], n)
    x = rng.normal(size=(n, 8 + BESIDE))[who] + rng.normal(size=(2 * n, 8 + BESIDE))
    x[:, 0] += 2.5 * smiles * rng.uniform(0, 2, n)[who]
    names = [f"face {i}" for i in range(2 * n)]
    labels, people = (dict(zip(names, v, strict=True)) for v in (smiles, who))
    options = {"conditions": names, "across": people, "n_permutations": 0}
    found = readout({"a": x}, labels, people=people, **options).table
    return found[["accuracy", *ENDS]].to_numpy()


def number(rng: np.random.Generator, n: int) -> np.ndarray:
    """Correlation of a number with what is read out."""
    x, y = _rated(rng, n)
    options = {"kind": "number", "n_permutations": 0, "conditions": list(x.index)}
    found = readout({"a": x.to_numpy()}, y["warm"].to_dict(), **options).table
    return found[["r", *ENDS]].to_numpy()


def rate(rng: np.random.Generator, n: int) -> np.ndarray:
    """Correlations of traits with predictions of the same trait and of another."""
    x, y = _rated(rng, n)
    found = trait_readout({"a": x}, y, n_permutations=1).specificity
    names = ["difference", "difference_low", "difference_high"]
    return np.vstack([found[["r", *ENDS]].to_numpy(), found.loc[1:2, names].to_numpy()])


def measure(rng: np.random.Generator, n: int) -> np.ndarray:
    """Correlation of a measurement with its prediction, and gain over a baseline."""
    x, y = _rated(rng, n)
    options = {"conditions": list(x.index), "n_permutations": 1}
    base = x[[0]] + 2 * rng.normal(size=(n, 1))
    found = landmark_readout({"a": x.to_numpy()}, y[["warm"]], baseline=base, **options).table
    pair = found[["r", *ENDS]].to_numpy(), found[["gain", "gain_low", "gain_high"]].to_numpy()
    return np.vstack(pair)


def generalise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Correlation in other people of what was learnt of 60, always the same."""
    x, y = _rated(np.random.default_rng(0), 60)
    other, asked = _rated(rng, n)
    found = trait_generalization({"a": x}, y, {"a": other}, asked, n_permutations=1)
    return found[["r", *ENDS]].to_numpy()


def _rated(rng: np.random.Generator, n: int):
    """Return features and ratings of faces, of which two go together."""
    names = [f"face {i}" for i in range(n)]
    x = rng.normal(size=(n, 3 + BESIDE))
    warm = 3 * x[:, 0] + rng.normal(size=n)
    ratings = {"warm": warm, "kind": warm + 2 * x[:, 1] + rng.normal(size=n)}
    return pd.DataFrame(x, names), pd.DataFrame(ratings, names)


def encode(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mean correlation of 10 cells with predictions, and the parts of two spaces."""
    x, z = rng.normal(size=(2, n, 2 + BESIDE))
    y, fixed = rng.normal(size=(n, 10)), np.random.default_rng(0)
    y += 4 * x[:, :2] @ fixed.normal(size=(2, 10)) + 2 * z[:, :2] @ fixed.normal(size=(2, 10))
    options = {"conditions": [f"face {i}" for i in range(n)], "n_permutations": 1}
    found = encoding({"a": x}, y, beside={"b": z}, n_mixtures=5, **options)
    return np.vstack([found.table[["r", *ENDS]], found.parts[["part", *ENDS]]])


def tune(rng: np.random.Generator, n: int) -> np.ndarray:
    """Correlation of a cell with the prediction of its axis."""
    names = [f"face {i}" for i in range(n)]
    space = pd.DataFrame(rng.normal(size=(n, 2)), names, ["shape 1", "appearance 1"])
    cell = (2 * space["shape 1"] + rng.normal(size=n)).to_frame("a")
    found = axis_tuning(space, cell, n_folds=5, n_permutations=1).table
    return found[["r", *ENDS]].to_numpy()


def occlude(rng: np.random.Generator, n: int) -> np.ndarray:
    """Skewed changes with a mean of 1, in four places."""
    changes = rng.gamma(2, 0.5, size=(4, n))
    return table_of_places(changes, np.arange(n), 2, rng)[["change", *ENDS]].to_numpy()


def background(rng: np.random.Generator, n: int) -> np.ndarray:
    """Share of 40 units that follow the background; people differ in contrast behind the face."""
    contrast = rng.gamma(4, 0.25, size=(2, n, 1, 1, 1))
    inside = np.zeros((8, 8, 1), bool)
    inside[2:6, 2:6] = True
    noise = 30 * rng.normal(size=(n, 8, 8, 1))
    images = 128 + np.where(inside, contrast[0], contrast[1]) * noise
    images = np.repeat(images.clip(0, 255).astype(np.uint8), 3, axis=3)
    names = [f"face {i}" for i in range(n)]
    landmarks = dict.fromkeys(names, np.array([[2.0, 2], [5, 2], [5, 5], [2, 5]]))
    stimuli = StimulusSet.from_arrays(images, names)
    found = background_units(_network(), stimuli, landmarks, layers="fc", progress=False).table
    return found[["share", *ENDS]].to_numpy()


@functools.cache
def _network() -> Network:
    """Return a network of one random layer, whose units weigh face and background differently."""
    into = Preprocessing(size=8, fit="stretch", channels="RGB", mean=(128.0,) * 3, std=(60.0,) * 3)
    spec = NetworkSpec("simulated", "none", "test", "none", "none", "none", "none", into, "")
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(40, 3, 8, 8))
    weights[..., 2:6, 2:6] *= 2 ** rng.normal(-0.5, 0.6, size=(40, 1, 1, 1))
    module = nn.Sequential()
    module.add_module("flat", nn.Flatten())
    module.add_module("fc", nn.Linear(3 * 64, 40, bias=False))
    with torch.no_grad():
        module.fc.weight.copy_(torch.tensor(weights.reshape(40, -1)))
    return Network(spec, module, torch.device("cpu"))


def agree(rng: np.random.Generator, n: int) -> np.ndarray:
    """Agreement of two layers by CKA and by RDMs."""
    people, fixed = rng.normal(size=(n, 5)), np.random.default_rng(0).normal(size=(2, 5, 15))
    one, two = (people @ w / 2 + rng.normal(size=(n, 15)) for w in fixed)
    options = {"conditions": [f"face {i}" for i in range(n)], "n_permutations": 0, "n_boot": 500}
    options["methods"] = ["cka", "pearson"]
    return layer_agreement({"a": one}, {"b": two}, **options).table[["value", *ENDS]].to_numpy()


def mate(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mean score of two images of a person, n people in each of two groups."""
    who = np.repeat(np.arange(2 * n), 2)
    noise = rng.gamma(4, 0.25, size=2 * n)[who, None] * rng.normal(size=(4 * n, 8))
    names = [f"face {i}" for i in range(4 * n)]
    scores = similarity_scores({"a": rng.normal(size=(2 * n, 8))[who] + noise}, conditions=names)
    groups, people = (dict(zip(names, v, strict=True)) for v in (who % 2, who))
    found = score_distributions(scores, groups, people=people, n_permutations=1).table
    return found.loc[found["kind"] == "mated", ["mean", *ENDS]].to_numpy()


STUDIES = (read, number, rate, measure, generalise, encode, tune)
STUDIES += (occlude, background, agree, mate)
STUDIES = {study.__name__: study for study in STUDIES}
FEWEST = {"tune": 10}  # people of whom it can be asked
MANY = {"occlude": None, "background": 3000, "generalise": 3000, "agree": 800}


def truth_of(name: str, found: np.ndarray) -> np.ndarray:
    """Return the true values of a study."""
    if name not in MANY:
        return found[:, :, 0].mean(axis=0)
    if MANY[name] is None:
        return np.ones(found.shape[1])
    return STUDIES[name](np.random.default_rng(10**6), MANY[name])[:, 0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--only", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--people", nargs="+", type=int, default=[6, 8, 12, 30])
    parser.add_argument("--beside", type=int, default=0, help="features that tell nothing")
    chosen = parser.parse_args()
    BESIDE = chosen.beside
    warnings.simplefilter("ignore")
    for name in chosen.only:
        for n in (n for n in chosen.people if n >= FEWEST.get(name, 0)):
            studies = range(chosen.simulations)
            found = np.array(
                [STUDIES[name](np.random.default_rng([seed, n]), n) for seed in studies]
            )
            truth = truth_of(name, found)
            held = (found[..., 1] <= truth + 1e-12) & (truth - 1e-12 <= found[..., 2])
            print(
                f"{name}, {n} people: truth",
                truth.round(3),
                "held",
                held.mean(axis=0).round(3),
                flush=True,
            )
