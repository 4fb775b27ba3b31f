"""False positives and findings of tests in three designs: shares of studies with p <= .05.

python scripts/simulate_third_factor.py --simulations 400    # the table of docs/calibration.md
python scripts/simulate_third_factor.py --only encode difference

Designs: people x expressions; people x expressions x views; people with several images each.
Features and responses have effects of people, expressions and views of their own, independent of
each other, and noise; an effect, where there is one, is in both. Tests are told the design
(`within`) or, for comparison, not told of it.
"""

import argparse
import functools
import itertools
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

import rsa_faces as rf
from rsa_faces.analyses import (
    axis_tuning,
    congruence,
    decode_faces,
    encoding,
    erase_groups,
    false_matches,
    group_components,
    homophily,
    individuation,
    landmark_gain,
    landmark_readout,
    layer_agreement,
    light_gain,
    membership,
    readout,
    score_distributions,
    similarity_scores,
    trait_generalization,
    trait_readout,
)
from rsa_faces.behaviour import feature_contrast
from rsa_faces.networks import Network

DESIGNS = {
    "two factors": list(itertools.product(range(12), range(4), [0])),
    "three factors": list(itertools.product(range(12), range(4), range(3))),
    "people repeated": list(itertools.product(range(20), [0], range(3))),
}


class Study:
    """One simulated data set: labels, features, and random numbers for what else is asked."""

    def __init__(self, design: str, seed: int, effect: float, n_expressions: int = 4) -> None:
        self.rng = np.random.default_rng([seed, len(DESIGNS[design])])
        self.seed, self.effect, self.repeated = seed, effect, design == "people repeated"
        table = pd.DataFrame(DESIGNS[design], columns=["who", "face", "view"])
        table = table[table["face"] < n_expressions]
        if self.repeated:
            table["view"] = 0  # any image of a person may stand for any other
        self.codes = table.to_numpy()
        names = [f"p{w} e{f} v{v} {i}" for i, (w, f, v) in enumerate(self.codes)]
        self.names, self.labels = names, table.set_axis(names)
        self.x = self.patterns(30)
        self.options = {"conditions": names, "n_permutations": 39, "seed": seed}
        self.fewer = self.options | {"n_permutations": 19}  # enough for p = .05

    def patterns(self, width: int, sizes=(1.0, 1.0, 2.0)) -> np.ndarray:
        """Return effects of people, expressions and views, and noise, (n_conditions, width)."""
        found = self.rng.normal(size=(len(self.codes), width))
        for column, size in zip(self.codes.T, sizes, strict=True):
            found += size * self.rng.normal(size=(column.max() + 1, width))[column]
        return found

    def frame(self, values: np.ndarray, *columns: str) -> pd.DataFrame:
        """Return numbers by face."""
        return pd.DataFrame(values, self.names, columns or None)

    def cells(self, told: bool, *columns: str):
        """Return cells of the other factors, or None where a test is not told of them."""
        rows = self.labels[list(columns)].itertuples(index=False, name=None)
        return dict(zip(self.names, rows, strict=True)) if told else None


def contrast(study: Study, told: bool, blocks=None) -> float:
    """Does expression (or, of people repeated, gender) organise the geometry?"""
    label = study.labels["who"] % 2 if study.repeated else study.labels["face"]
    x = _patterns_without(study, study.effect * 1.5, label)
    rdm = rf.compute_rdms(x, conditions=study.names, measure="sqeuclidean")
    found = feature_contrast(
        rdm,
        {"label": label},
        people=study.labels["who"].to_dict(),
        within=study.cells(told, "view"),
        blocks=blocks,
        n_permutations=39,
        seed=study.seed,
    )
    return found["p"][0]


def read(study: Study, told: bool) -> float:
    """Is expression (or gender) read out, across people?"""
    label = study.labels["who"] % 2 if study.repeated else study.labels["face"]
    x = _patterns_without(study, study.effect * (2 if study.repeated else 1), label)
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
    options |= study.options | {"n_permutations": 1}
    return encoding(features, y, **options).differences["p"][0]


def individuate(study: Study, told: bool) -> float:
    """Do raters who see categories see faces as the features do, within categories?"""
    category = study.labels[["face", "view"]]
    if study.repeated:
        category = (study.labels["who"] % 2).to_frame("gender")
    code = category.groupby(list(category), sort=False).ngroup().to_numpy()
    apart = 3 * study.rng.normal(size=(code.max() + 1, 10))[code]
    seen = study.effect * 5 * study.x[:, :10]
    who = study.rng.normal(size=(study.codes[:, 0].max() + 1, 10))[study.codes[:, 0]]
    raters = [apart + seen + who + study.rng.normal(size=apart.shape) for _ in range(3)]
    rdms = [rf.compute_rdms(x, conditions=study.names, measure="euclidean") for x in raters]
    data = rf.concat(rdms).with_labels(subject=range(3))
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


def measure(study: Study, told: bool) -> float:
    """Is a measurement of faces read out, of people left out?"""
    options = {"across": study.labels["who"], "within": study.cells(told, "face", "view")}
    y = pd.DataFrame({"y": _driven(study)}, study.names)
    found = landmark_readout({"a": study.x}, y, n_folds=4, **options, **study.fewer)
    return found.table["p"][0]


def rate(study: Study, told: bool) -> float:
    """Are ratings of faces predicted, of people left out?"""
    options = {"across": study.labels["who"], "within": study.cells(told, "face", "view")}
    x, y = study.frame(study.x), pd.DataFrame({"y": _driven(study)}, study.names)
    options |= {"n_permutations": 19, "seed": study.seed}
    return trait_readout({"a": x}, y, n_folds=4, **options).table["p"][0]


def generalise(study: Study, told: bool) -> float:
    """Do ratings of other people follow what was learnt of the first half?"""
    x, y = study.frame(study.x[:, :8]), pd.DataFrame({"y": _driven(study, 8)}, study.names)
    first = study.labels["who"] % 2 == 0
    found = trait_generalization(
        {"a": x[first]},
        y[first],
        {"a": x[~first]},
        y[~first],
        across=study.labels["who"][~first] if told else None,
        within=study.cells(told, "face", "view"),
        n_permutations=19,
        seed=study.seed,
    )
    return found["p"][0]


def _driven(study: Study, width: int = 30) -> np.ndarray:
    """Return a number of each face, with effects of its own and of the first features."""
    return study.patterns(1)[:, 0] + 2 * study.effect * study.x[:, :width] @ study.rng.normal(
        size=width
    )


def tune(study: Study, told: bool) -> float:
    """Has a cell an axis in a space of faces?"""
    space = study.frame(study.patterns(4), "shape 1", "shape 2", "appearance 1", "appearance 2")
    cell = study.patterns(1) + 4 * study.effect * space.to_numpy() @ study.rng.normal(size=(4, 1))
    options = {"across": study.labels["who"], "within": study.cells(told, "face", "view")}
    options |= {"n_folds": 4, "n_permutations": 19, "seed": study.seed}
    found = axis_tuning(space, study.frame(cell), **options)
    return found.table["p"][0]


def decode(study: Study, told: bool) -> float:
    """Are faces decoded from a population of cells?"""
    space = study.frame(study.patterns(4), "shape 1", "shape 2", "appearance 1", "appearance 2")
    cells = study.patterns(12) + 4 * study.effect * space.to_numpy() @ study.rng.normal(
        size=(4, 12)
    )
    options = {"across": study.labels["who"], "within": study.cells(told, "face", "view")}
    options |= {"n_units": [12], "n_distractors": [9], "n_folds": 4}
    options |= {"n_permutations": 19, "seed": study.seed}
    return decode_faces(space, study.frame(cells), **options).table["p"][0]


def agree(study: Study, told: bool, method="spearman", blocks=None) -> dict[str, float]:
    """Have layers of two networks a geometry in common, and in the order of depth?"""
    own = [study.patterns(20) for _ in range(4)]
    # What is in common is of people: cells of the other factors are not exchanged.
    cells = study.labels.groupby(["face", "view"], sort=False).ngroup().to_numpy()
    apart = [x - pd.DataFrame(x).groupby(cells).transform("mean").to_numpy() for x in own]
    other = [
        study.patterns(20) + 4 * study.effect * x @ study.rng.normal(size=(20, 20)) for x in apart
    ]
    found = layer_agreement(
        dict(zip("abcd", own, strict=True)),
        dict(zip("abcd", other, strict=True)),
        people=study.labels["who"] if told else None,
        within=study.cells(told, "face", "view"),
        blocks=blocks,
        methods=[method],
        n_boot=0,
        **study.fewer,
    )
    return {"first layers": found.table["p"][0], "order": found.order["p"][0]}


def agree_in_runs(study: Study, told: bool) -> dict[str, float]:
    """The same by CKA, where half of the people are shown in each of two runs."""
    return agree(study, told, "cka", blocks=(study.labels["who"] // 2 % 2).to_dict())


def contrast_in_runs(study: Study, told: bool) -> float:
    """Does expression (or gender) organise the geometry, within runs of other people?"""
    return contrast(study, told, blocks=(study.labels["who"] // 2 % 2).to_dict())


def align(study: Study, told: bool) -> dict[str, float]:
    """Do two labels vary in the same directions: who and expression, or gender and age?"""
    first, second = study.labels["who"], study.labels["face"]
    if study.repeated:
        first, second = study.labels["who"] // 2 % 5, study.labels["who"] % 2
    axes = np.linalg.qr(study.rng.normal(size=(30, 30)))[0]
    moved = study.rng.normal(size=(int(second.max()) + 1, 3)) @ axes[:3]
    x = 0.4 * study.patterns(30, (0.3, 0.0, 2.0))
    x += 2 * study.rng.normal(size=(int(first.max()) + 1, 3))[first] @ axes[:3]
    x += 5 * study.effect * moved[second]
    options = {"within": study.cells(told, "view"), "across": study.labels["who"]}
    found = congruence({"a": x}, first, second, n_splits=0, **options, **study.fewer).table
    return {"more": found["p_greater"][0], "less": found["p_less"][0]}


def groups(study: Study, told: bool) -> dict[str, float]:
    """Do groups of people stand apart in scores, or members in how far their images differ?"""
    group = study.labels["who"] % 2
    x = study.patterns(30) + 5 * study.effect * np.outer(group, study.rng.normal(size=30))
    scores = similarity_scores({"a": x}, conditions=study.names)
    options = {"people": study.labels["who"] if told else None, "n_permutations": 19}
    options["seed"] = study.seed
    center, spread = x[group == 1].mean(axis=0), 1 - 2 * study.effect
    near = np.where(group.to_numpy()[:, None] == 1, center + spread * (x - center), x)
    near = similarity_scores({"a": near}, conditions=study.names)
    matches = false_matches(near, group, fmr=0.1, n_boot=2, **options)
    own = pd.DataFrame(x).groupby(study.codes[:, 0]).transform("mean").to_numpy()
    held = own + (x - own) * np.where(group == 1, 1 - 2 * study.effect, 1)[:, None]
    signs = membership(
        similarity_scores({"a": held}, conditions=study.names), group == 1, **options
    )
    return {
        "components": group_components(scores, group, **options).table["p_max"].min(),
        "distributions": score_distributions(scores, group, n_boot=2, **options).summary["p"][0],
        "matches": matches.groups["p"][1],
        "membership": signs.table["p"].iloc[-2],
    }


def linked(study: Study, told: bool) -> float:
    """Do people who are linked look alike? One face of each: the mean over images."""
    n = int(study.labels["who"].max()) + 1
    who = [f"p{i}" for i in range(n)]
    x = pd.DataFrame(study.x).groupby(study.codes[:, 0]).mean().to_numpy()
    scores = similarity_scores({"a": x}, conditions=who)
    drawn = np.triu(0.3 * study.rng.normal(size=(n, n)) + 15 * study.effect * scores.to_numpy(), 1)
    ties = drawn > np.quantile(drawn[np.triu_indices(n, 1)], 0.7)
    ties = pd.DataFrame(np.triu(ties, 1) | np.triu(ties, 1).T, who, who).astype(int)
    return homophily(ties, scores, n_permutations=19, seed=study.seed).table["p"][0]


def erase(study: Study, told: bool) -> dict[str, float]:
    """Is a group read out, is it once erased, and does that cost recognition?"""
    group = study.labels["who"] % 2
    x = study.patterns(10) + 20 * study.effect * np.outer(group, study.rng.normal(size=10))
    options = {"within": study.cells(told, "view"), "n_boot": 99, "n_folds": 3}
    found = erase_groups({"a": x}, group, study.labels["who"], **options, **study.fewer).table
    p = found.set_index(["what", "embedding"])["p"]
    return {
        "whole": p["group", "whole"],
        "erased": p["group", "erased"],
        "cost": p["people", "cost"],
    }


def add_landmarks(study: Study, told: bool) -> dict[str, float]:
    """Do landmarks help to recognise people, or to read out a number of each image?"""
    shape = study.frame(study.patterns(6, (20 * study.effect, 1.0, 1.0)))
    y = study.patterns(1, (1.0, 0.0, 0.0))
    y += 5 * study.effect * shape.to_numpy() @ study.rng.normal(size=(6, 1))
    options = {"conditions": study.names, "n_folds": 3, "n_boot": 99, "seed": study.seed}
    found = landmark_gain(
        {"a": study.x}, shape, study.labels["who"], study.frame(y, "y"), **options
    )
    gain = found.table[found.table["features"] == "gain"].set_index("what")
    better, p = gain["value"] > 0, gain["p"]
    return {
        f"{what} {sign}": p[what] if better[what] == (sign == "better") else 1.0
        for what, sign in itertools.product(p.index, ("better", "worse"))
    }


def even_light(study: Study, told: bool) -> float:
    """Does evening out light help to recognise people? Images without expressions and views."""
    # At this strength of uneven light it neither helps nor harms: the AUC is .843 with and without.
    uneven = 0.077 + 2 * study.effect
    people, ramp = 0.6 + 2 * study.effect, np.linspace(-1, 1, 8)
    x = 128 + 12 * study.patterns(64, (people, 0.0, 0.0)).reshape(-1, 8, 8)
    x *= 1 + uneven * study.rng.uniform(-1, 1, (len(x), 1, 1)) * ramp
    images = np.repeat(x.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)
    stimuli = rf.StimulusSet.from_arrays(images, study.names)
    options = {"methods": ["self-quotient"], "degradations": [], "n_boot": 99, "seed": study.seed}
    found = light_gain(_pixels(), stimuli, study.labels["who"], progress=False, **options)
    return found.table["p"][0]


@functools.cache
def _pixels() -> Network:
    """Return the network that answers with the 8 x 8 pixels themselves."""
    whole = rf.load_network("pixels", device="cpu")
    shown = replace(whole.spec.preprocessing, size=8)
    return Network(replace(whole.spec, preprocessing=shown), whole.module, whole.device)


TESTS = (contrast, contrast_in_runs, read, encode, difference, individuate, measure, rate)
TESTS += (generalise, tune, decode, agree, agree_in_runs, align, groups, linked, erase)
TESTS += (add_landmarks, even_light)
TESTS = {test.__name__: test for test in TESTS}
SLOW = ("individuate", "add_landmarks", "even_light")  # two expressions are enough for these


def study_of(name: str, design: str, seed: int, effect: float) -> Study:
    """Return the data of a test."""
    return Study(design, seed, effect, n_expressions=2 if name in SLOW else 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=list(TESTS), default=list(TESTS))
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--untold", action="store_true", help="also without the design's cells")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    settings = [(0.0, True), (0.3, True), (0.0, False), (0.3, False)][: 4 if chosen.untold else 2]
    for name, design in itertools.product(chosen.only, chosen.designs):
        one = TESTS[name]
        shares = {
            f"{'effect' if effect else 'none'}{'' if told else ', not told'}": pd.DataFrame(
                [one(study_of(name, design, seed, effect), told) for seed in range(n)]
            ).le(0.05)
            for effect, told in settings
            for n in [chosen.simulations // (8 if effect else 1)]
        }
        for what in next(iter(shares.values())):
            line = f"{name} {what or ''}".strip() + f", {design}:"
            for setting, found in shares.items():
                line += f" {setting} {found[what].mean():.3f}"
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
