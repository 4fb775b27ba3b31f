"""How often intervals of `layer_agreement` hold the agreement of very many people: simulated.

python scripts/simulate_agreement.py PEOPLE STUDIES SHARED   # such as 20 200 0.5; 0: unrelated

Two layers of 15 channels answer to the same 5 dimensions of people, times SHARED, and to noise. The
truth is what 1,500 people give. Beside the bootstrap of the package stands a jackknife over people.
"""

import argparse

import numpy as np
from scipy.stats import t as student

from rsa_faces.analyses._inputs import as_layers
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.analyses.networks._geometry import alike, alike_resampled
from rsa_faces.analyses.networks.agreement import _geometries

METHODS = ["spearman", "pearson", "cka"]
DIRECTIONS = np.random.default_rng(0).normal(size=(2, 5, 15))


def geometries(n: int, shared: float, rng: np.random.Generator) -> list:
    """Return the geometry of both layers for n people."""
    people = rng.normal(size=(n, 5))
    layers = [shared * people @ one + rng.normal(size=(n, 15)) for one in DIRECTIONS]
    names = [f"simulated {i}" for i in range(n)]
    return [
        _geometries(as_layers({"fc": x}, names), METHODS, "correlation", lambda _: None, 0)
        for x in layers
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=int)
    parser.add_argument("studies", type=int)
    parser.add_argument("shared", type=float)
    given = parser.parse_args()
    n, whom = given.people, np.arange(given.people)
    many = geometries(1500, given.shared, np.random.default_rng(99))
    for method in METHODS:
        truth = alike(*many, method)[0, 0] if given.shared else 0.0
        held = np.zeros(2)
        for seed in range(given.studies):
            rng = np.random.default_rng(seed + 1)
            both = geometries(n, given.shared, rng)
            value = alike(*both, method)[0, 0]
            draws = rng.multinomial(n, np.full(n, 1 / n), size=200)
            drawn = alike_resampled(*both, method, draws, whom)[:, 0, 0]
            left = alike_resampled(*both, method, 1 - np.eye(n), whom)[:, 0, 0]
            reach = (
                student.ppf(0.975, n - 1)
                * np.sqrt((n - 1) / n)
                * np.linalg.norm(left - left.mean())
            )
            low, high = percentile_interval(drawn, n)
            held += low <= truth <= high, abs(value - truth) <= reach
        print(
            f"{method}: truth {truth:.2f}, bootstrap {held[0] / given.studies:.1%}, "
            f"jackknife {held[1] / given.studies:.1%}"
        )
