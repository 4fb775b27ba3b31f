"""Share of simulated studies in which order, or a lag, is found where there is none.

python scripts/simulate_movies.py --simulations 400
"""

import argparse
import sys
import warnings

import numpy as np

import rsa_faces as rf
from rsa_faces.analyses import movement
from rsa_faces.extraction import FramePatterns
from rsa_faces.inference import compare_movies

N_MOMENTS, N_PAIRS = 8, 66
TIMES = np.arange(N_MOMENTS) / 5
NAMES = [f"clip {i}" for i in range(12)]


def slow(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return noise in which neighbouring moments are alike (r = .8)."""
    x = rng.normal(size=(*shape, N_MOMENTS, N_PAIRS))
    for t in range(1, N_MOMENTS):
        x[..., t, :] = 0.8 * x[..., t - 1, :] + 0.6 * x[..., t, :]
    return x


def some_lag(seed: int, n_subjects: int, growth: float, given: bool) -> float:
    """A geometry that lasts, in model and subjects; moments have nothing to do with each other."""
    rng = np.random.default_rng([seed, n_subjects])
    look = 2 * rng.normal(size=N_PAIRS)
    moments = slow(rng) + look
    gain = rng.uniform(0.5, 1.5, size=(n_subjects, 1, 1))
    noise = slow(rng, n_subjects) * np.linspace(1, growth, N_MOMENTS)[:, None]
    labels = {"subject": np.repeat(range(n_subjects), N_MOMENTS)}
    labels["time"] = np.tile(TIMES, n_subjects)
    data = rf.RDMs((gain * look + noise).reshape(-1, N_PAIRS), NAMES, "simulated", labels)
    model = rf.RDMs(moments, NAMES, "simulated", {"time": TIMES})
    mean = rf.RDMs(moments.mean(axis=0), NAMES, "simulated") if given else None
    found = compare_movies(model, data, given=mean, n_permutations=499)
    return found.table["p_corrected"].min()


def some_order(seed: int, n_clips: int) -> float:
    """Frames without an order, in two layers."""
    rng = np.random.default_rng([seed, n_clips])
    x = rng.gamma(0.5, size=(n_clips, 10, 6)) * rng.gamma(1, size=(n_clips, 1, 1))
    layers = {"a": x, "b": x + rng.normal(size=x.shape)}
    frames = FramePatterns(layers, [f"clip {i}" for i in range(n_clips)], range(6))
    return movement(frames, n_permutations=99, seed=seed).table["p_corrected"].min()


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulations", type=int, default=400)
    n = parser.parse_args().simulations
    warnings.simplefilter("ignore")
    for n_clips in (6, 20):
        share = np.mean([some_order(seed, n_clips) <= 0.05 for seed in range(n)])
        sys.stdout.write(f"movement, {n_clips} clips: {share:.3f}\n")
    for n_subjects in (6, 12):
        for growth in (1, 3):
            for given in (False, True):
                found = [some_lag(seed, n_subjects, growth, given) <= 0.05 for seed in range(n)]
                what = f"{n_subjects} subjects, noise x {growth}{', given' if given else ''}"
                sys.stdout.write(f"moments, {what}: {np.mean(found):.3f}\n")


if __name__ == "__main__":
    main()
