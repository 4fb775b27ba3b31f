"""How often tests reject what is true when conditions come in groups, such as images of people.

    python scripts/calibrate_groups.py [--studies 300] [--seed 0] [--only WORD]

Patterns of an image are those of its person plus its own, so that images of one person resemble
each other. Models say nothing on whether two images show one person (these pairs have the mean of
the others), and otherwise have nothing to do with the subjects: their true similarity is 0. Prints
one line per case: the share of studies in which p < 0.05, and, for intervals, the share that hold
the true similarity.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from scipy import stats

import rsa_faces as rf
from rsa_faces.inference import permutation_test, variance_partition

CHANNELS = 20


def distances(patterns: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances, (..., n_pairs)."""
    row, col = np.triu_indices(patterns.shape[-2], k=1)
    return ((patterns[..., row, :] - patterns[..., col, :]) ** 2).sum(axis=-1)


def patterns(rng, person: np.ndarray, share: float, size: tuple = ()) -> np.ndarray:
    """Return patterns of images of which a share of the variance is that of their person."""
    people = rng.normal(size=(*size, person.max() + 1, CHANNELS))[..., person, :]
    own = rng.normal(size=(*size, len(person), CHANNELS))
    return np.sqrt(share) * people + np.sqrt(1 - share) * own


def study(rng, person: np.ndarray, n_subjects: int, share: float, related: float = 0.0):
    """Return two models (of which the first may be related) and subjects."""
    names = [f"c{i:03d}" for i in range(len(person))]
    shared = patterns(rng, person, share)
    model = patterns(rng, person, share, (2,))
    model[0] = np.sqrt(related) * shared + np.sqrt(1 - related) * model[0]
    model = distances(model)
    row, col = np.triu_indices(len(person), k=1)
    same = person[row] == person[col]
    if same.any():
        model[:, same] = model[:, ~same].mean(axis=1, keepdims=True)
    subjects = shared + rng.normal(size=(n_subjects, *shared.shape))
    labels = {"subject": range(n_subjects)}
    return (
        rf.RDMs(model, names, "simulated", {"name": ["a", "b"]}),
        rf.RDMs(distances(subjects), names, "simulated", labels),
        dict(zip(names, person.tolist(), strict=True)),
    )


def levels(case: dict, n_studies: int, seed: int) -> str:
    """Return the share of rejections of one case, and the coverage where it is asked for."""
    p, covered, estimates = [], [], []
    person = np.repeat(np.arange(case["people"]), case["images"])
    for i in range(n_studies):
        rng = np.random.default_rng([seed, i])
        model, data, groups = study(
            rng, person, case["subjects"], case.get("share", 0.5), case.get("related", 0.0)
        )
        grouped = {"groups": groups} if case.get("groups") else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p.append(case["test"](model, data, i, **grouped, **case.get("options", {})))
        if isinstance(p[-1], tuple):
            low, high, similarity = p.pop()
            covered.append((low, high))
            estimates.append(similarity)
    if covered:
        truth = np.mean(estimates)
        held = np.mean([low <= truth <= high for low, high in covered])
        return f"coverage {100 * held:5.1f} %"
    low, high = stats.binom.interval(0.99, n_studies, 0.05)
    return (
        f"p < 0.05 in {100 * np.mean(np.array(p) < 0.05):5.1f} % "
        f"(99 % range {100 * low / n_studies:.1f} to {100 * high / n_studies:.1f})"
    )


def evaluated(model, data, seed, **options) -> float:
    """Return p of the first model against 0."""
    result = rf.evaluate(model[0], data, method="pearson", n_boot=200, seed=seed, **options)
    return float(result.table["p"].iloc[0])


def interval(model, data, seed, **options) -> tuple[float, float, float]:
    """Return the interval of the first model and its similarity."""
    result = rf.evaluate(model[0], data, method="pearson", n_boot=200, seed=seed, **options)
    row = result.table.iloc[0]
    return row["ci_low"], row["ci_high"], row["similarity"]


def permuted(model, data, seed, **options) -> float:
    """Return p of the first model by permutation."""
    test = permutation_test(
        model[0], data, method="pearson", n_permutations=199, seed=seed, **options
    )
    return float(test.p[0])


def partitioned(model, data, seed, **options) -> float:
    """Return p of the unique part of the first model."""
    predictors = {"a": model[0], "b": model[1]}
    found = variance_partition(
        data, predictors, n_boot=20, n_permutations=199, seed=seed, **options
    )
    return float(found.table["p"].iloc[0])


def target(to: str) -> dict:
    """Return the argument that says what conclusions are to hold for."""
    return {"generalise_to": to}


CASES: dict[str, dict] = {}
for people, images, targets in (
    (4, 4, ("conditions", "both")),
    (5, 4, ("conditions",)),
    (6, 4, ("conditions",)),
    (8, 4, ("conditions", "both")),
    (4, 1, ("conditions",)),
    (6, 1, ("conditions",)),
):
    for to in targets:
        common = {"people": people, "images": images, "subjects": 8, "options": target(to)}
        common["groups"] = images > 1
        name = f"{people} people x {images} images, {to}"
        CASES[f"evaluate, {name}"] = common | {"test": evaluated}
        CASES[f"interval, {name}"] = common | {"test": interval, "related": 0.5}
for test in (evaluated, permuted, partitioned):
    for groups in (False, True):
        CASES[f"{test.__name__}, 6 people x 10 images, {'' if groups else 'no '}groups"] = {
            "people": 6,
            "images": 10,
            "subjects": 8,
            "groups": groups,
            "test": test,
            "options": target("conditions") if test is evaluated else {},
        }
for conditions in (12, 24):
    CASES[f"both, 3 subjects, {conditions} conditions"] = {
        "people": conditions,
        "images": 1,
        "subjects": 3,
        "share": 0.0,
        "test": evaluated,
        "options": target("both"),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cases whose name has this word")
    options = parser.parse_args()
    print(f"{options.studies} studies a case, seed {options.seed}")
    for name, case in CASES.items():
        if options.only in name:
            start = time.perf_counter()
            found = levels(case, options.studies, options.seed)
            print(f"{name}: {found} ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
