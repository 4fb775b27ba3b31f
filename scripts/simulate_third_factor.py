"""False positives and findings of tests with a third crossed factor, inside its cells and across.

python scripts/simulate_third_factor.py --simulations 400
"""

import argparse
import itertools

import numpy as np

import rsa_faces as rf
from rsa_faces.analyses import readout
from rsa_faces.behaviour import feature_contrast

DESIGN = list(itertools.product(range(12), range(4), range(3)))
NAMES = [f"p{p} e{e} v{v}" for p, e, v in DESIGN]
WHO, FACE, VIEW = (dict(zip(NAMES, column, strict=True)) for column in zip(*DESIGN, strict=True))


def simulated(seed: int, effect: float) -> np.ndarray:
    """Patterns of 12 people x 4 expressions x 3 views; views and people differ by much."""
    rng = np.random.default_rng(seed)
    p, e, v = np.array(DESIGN).T
    of = [scale * rng.normal(size=(n, 30)) for n, scale in ((12, 1), (4, effect), (3, 2))]
    return of[0][p] + of[1][e] + of[2][v] + rng.normal(size=(len(DESIGN), 30))


def contrast(x, seed, within):
    rdm = rf.compute_rdms(x, conditions=NAMES, measure="sqeuclidean")
    found = feature_contrast(
        rdm, {"expression": FACE}, people=WHO, within=within, n_permutations=39, seed=seed
    )
    return found["p"][0]


def read(x, seed, within):
    options = {"conditions": NAMES, "across": WHO, "within": within, "n_folds": 4, "seed": seed}
    return readout({"a": x}, FACE, n_permutations=39, progress=False, **options).table["p"][0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=100)
    n = parser.parse_args().simulations
    for test, effect, within in itertools.product((contrast, read), (0.0, 0.3), (VIEW, None)):
        found = [test(simulated(seed, effect), seed, within) <= 0.05 for seed in range(n)]
        where = "within view" if within else "across view"
        print(f"{test.__name__}, effect {effect:g}, {where}: {np.mean(found):.3f}", flush=True)
