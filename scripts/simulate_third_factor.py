"""False positives and findings of tests in three designs: shares of studies with p <= .05.

python scripts/simulate_third_factor.py --simulations 400
python scripts/simulate_third_factor.py --only encode difference

Designs: people x expressions; people x expressions x views; people with several images each.
Features and responses have effects of people, expressions and views of their own, independent of
each other, and noise; an effect, where there is one, is in both. Tests are told the design
(`within`) or, for comparison, not told of it.
"""

import argparse
import itertools
import sys
import warnings

import numpy as np
import pandas as pd

import rsa_faces as rf
from rsa_faces.analyses import encoding, individuation, readout
from rsa_faces.behaviour import feature_contrast

DESIGNS = {
    "two factors": list(itertools.product(range(12), range(4), [0])),
    "three factors": list(itertools.product(range(12), range(4), range(3))),
    "people repeated": list(itertools.product(range(20), [0], range(3))),
}


class Study:
    """One simulated data set: labels, features, and random numbers for what else is asked."""

    def __init__(self, design: str, seed: int, effect: float) -> None:
        self.rng = np.random.default_rng([seed, len(DESIGNS[design])])
        self.seed, self.effect, self.repeated = seed, effect, design == "people repeated"
        table = pd.DataFrame(DESIGNS[design], columns=["who", "face", "view"])
        if self.repeated:
            table["view"] = 0  # any image of a person may stand for any other
        self.codes = table.to_numpy()
        names = [f"p{w} e{f} v{v} {i}" for i, (w, f, v) in enumerate(self.codes)]
        self.names, self.labels = names, table.set_axis(names)
        self.x = self.patterns(30)
        self.options = {"conditions": names, "n_permutations": 39, "seed": seed}

    def patterns(self, width: int, sizes=(1.0, 1.0, 2.0)) -> np.ndarray:
        """Return effects of people, expressions and views, and noise, (n_conditions, width)."""
        found = self.rng.normal(size=(len(self.codes), width))
        for column, size in zip(self.codes.T, sizes, strict=True):
            found += size * self.rng.normal(size=(column.max() + 1, width))[column]
        return found

    def cells(self, told: bool, *columns: str):
        """Return cells of the other factors, or None where a test is not told of them."""
        rows = self.labels[list(columns)].itertuples(index=False, name=None)
        return dict(zip(self.names, rows, strict=True)) if told else None


def contrast(study: Study, told: bool) -> float:
    """Does expression (or, of people repeated, gender) organise the geometry?"""
    label = study.labels["who"] % 2 if study.repeated else study.labels["face"]
    x = _patterns_without(study, study.effect * 1.5, label)
    rdm = rf.compute_rdms(x, conditions=study.names, measure="sqeuclidean")
    found = feature_contrast(
        rdm,
        {"label": label},
        people=study.labels["who"].to_dict(),
        within=study.cells(told, "view"),
        n_permutations=39,
        seed=study.seed,
    )
    return found["p"][0]


def read(study: Study, told: bool) -> float:
    """Is expression (or gender) read out, across people?"""
    label = study.labels["who"] % 2 if study.repeated else study.labels["face"]
    x = _patterns_without(study, study.effect, label)
    options = {"across": study.labels["who"], "within": study.cells(told, "view"), "n_folds": 4}
    return readout({"a": x}, label, **options, **study.options).table["p"][0]


def _patterns_without(study: Study, effect: float, label) -> np.ndarray:
    """Return patterns without any effect of expression but that of the label asked for."""
    x = study.patterns(30, (1.0, 0.0, 2.0))
    return x + effect * study.rng.normal(size=(int(label.max()) + 1, 30))[label.to_numpy()]


def encode(study: Study, told: bool) -> float:
    """Are responses predicted from features, across people?"""
    y = study.patterns(20) + study.effect * study.x @ study.rng.normal(size=(30, 20))
    options = {"across": study.labels["who"], "within": study.cells(told, "face", "view")}
    return encoding({"a": study.x}, y, **options, **study.options).table["p"][0]


def difference(study: Study, told: bool) -> float:
    """Do two noisy views of what drives responses predict them differently?"""
    noise = [s * study.rng.normal(size=study.x.shape) for s in (1, 1 + 6 * study.effect)]
    y = study.patterns(20) + study.x @ study.rng.normal(size=(30, 20))
    options = {"across": study.labels["who"], "within": study.cells(told, "face", "view")}
    features = dict(zip("ab", (study.x + one for one in noise), strict=True))
    return encoding(features, y, **options, **study.options).differences["p"][0]


def individuate(study: Study, told: bool) -> float:
    """Do raters who see categories see faces as the features do, within categories?"""
    category = study.labels[["face", "view"]]
    if study.repeated:
        category = (study.labels["who"] % 2).to_frame("gender")
    code = category.groupby(list(category), sort=False).ngroup().to_numpy()
    apart = 3 * study.rng.normal(size=(code.max() + 1, 10))[code]
    seen = study.effect * 3 * study.x[:, :10]
    who = study.rng.normal(size=(study.codes[:, 0].max() + 1, 10))[study.codes[:, 0]]
    raters = [apart + seen + who + study.rng.normal(size=apart.shape) for _ in range(5)]
    rdms = [rf.compute_rdms(x, conditions=study.names, measure="euclidean") for x in raters]
    data = rf.concat(rdms).with_labels(subject=range(5))
    model = rf.compute_rdms({"a": study.x}, conditions=study.names, measure="euclidean")
    found = individuation(
        model,
        data,
        category,
        people=study.labels["who"] if told else None,
        method="pearson",
        uncertainty="analytic",
        n_permutations=39,
        seed=study.seed,
    )
    return found.table.set_index("pairs")["p"]["within categories"]


TESTS = {test.__name__: test for test in (contrast, read, encode, difference, individuate)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=list(TESTS), default=list(TESTS))
    parser.add_argument("--untold", action="store_true", help="also without the design's cells")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, design in itertools.product(chosen.only, DESIGNS):
        line = f"{name}, {design}:"
        for effect, told in ((0.0, True), (0.3, True)) + (
            (0.0, False),
            (0.3, False),
        ) * chosen.untold:
            seeds = range(chosen.simulations)
            found = [TESTS[name](Study(design, s, effect), told) <= 0.05 for s in seeds]
            line += f" {'effect' if effect else 'none'}{'' if told else ', not told'}"
            line += f" {np.mean(found):.3f}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
