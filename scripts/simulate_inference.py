"""Compare standard errors in closed form with the bootstrap, on simulated studies.

    python scripts/simulate_inference.py --cache FOLDER [--method pearson] [--studies 400]
    python scripts/simulate_inference.py --cache FOLDER --write docs/inference.md

Studies of every size and setting are simulated with models that are unrelated, equally good, as
good as the noise ceiling, and a little better; how often tests reject and intervals hold the truth
is counted. One file for each cell goes to the folder, and what is there is not simulated again. The
second form writes the page and its figure. Everything here is simulated; the seed is printed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from rsa_faces.comparison import resolve
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference.bootstrap import estimate
from rsa_faces.inference.calibration import _distances

SEED = 20261129
SUBJECTS, CONDITIONS = (4, 8, 12, 20), (12, 24, 60, 92)
N_CHANNELS, N_BOOT = 20, 200
GRID = np.linspace(0.0, 1.0, 7)
#: Effects are as large as this share of the critical value times the true standard deviation.
EFFECT = 0.75
#: Larger designs have fewer studies (of which the bootstrap gets some): they take long.
SHARE = {12: (1.0, 0.4), 24: (1.0, 0.4), 60: (0.5, 0.2), 92: (0.2, 0.2)}
#: What is estimated in each study. The first four are 0 in truth.
QUANTITIES = (
    "unrelated model", "two equally good models", "model as good as the ceiling, minus ceiling",
    "good model", "weak model", "better minus good model",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How subjects and conditions are, besides the plainest case."""

    gain: float = 0.0  # s.d. of the logarithm of subjects' strength
    noise: float = 0.0  # the same of what is their own
    tails: float = np.inf  # degrees of freedom of patterns
    outliers: bool = False
    categories: bool = False
    layers: bool = False  # models share most of their noise


SETTINGS = {
    "all alike": Setting(),
    "unequal gain (.4)": Setting(gain=0.4),
    "unequal gain (.8)": Setting(gain=0.8),
    "unequal noise": Setting(noise=0.8),
    "heavy tails": Setting(tails=5),
    "outliers": Setting(outliers=True),
    "categories": Setting(categories=True),
    "correlated layers": Setting(layers=True),
}


class Study:
    """Simulated studies of one size and setting."""

    def __init__(self, setting: Setting, n_subjects: int, n_conditions: int, method: str):
        self.setting, self.n_subjects, self.n_conditions = setting, n_subjects, n_conditions
        self.method = resolve(method)
        self.units = Units(np.arange(n_conditions), np.zeros(n_conditions, int), ("all",))
        self.at_ceiling, self.weak, self.better = 1.0, 0.5, 0.5

    def patterns(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        """Return patterns of variance 1."""
        shape, tails = (*shape, self.n_conditions, N_CHANNELS), self.setting.tails
        if np.isinf(tails):
            return rng.normal(size=shape)
        return rng.standard_t(tails, size=shape) / np.sqrt(tails / (tails - 2))

    def shared(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the patterns all subjects share, and labels of four factors, 0 or 1."""
        common = self.patterns(rng)
        if self.setting.outliers:
            common[rng.random(self.n_conditions) < 0.05] *= 3
        labels = np.array([rng.permutation(np.arange(self.n_conditions) % 2) for _ in range(4)])
        if self.setting.categories:
            # Three factors have a channel each, the fourth has none.
            common[:, :3] += (labels[:3] - 0.5).T * (3.2, 3.2, 1.8)
        return common, labels

    def subjects(self, rng: np.random.Generator, common: np.ndarray) -> np.ndarray:
        """Return RDMs of subjects: gain times what is shared, plus what is their own."""
        gain, noise = (
            np.exp(spread * rng.normal(size=(self.n_subjects, 1)))
            for spread in (self.setting.gain, self.setting.noise)
        )
        own = noise * _distances(self.patterns(rng, self.n_subjects))
        data = gain * _distances(common) + own
        if self.setting.outliers:
            bad = rng.random(self.n_subjects) < 0.1
            data[bad] += 3 * own[bad]
            data *= np.where(rng.random(data.shape) < 0.01, 3, 1)
        return data

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return models (unrelated, good, good, at ceiling, weak, better) and data."""
        common, labels = self.shared(rng)
        data = self.subjects(rng, common)
        noise = self.patterns(rng, 5)
        good = common + noise[:2]
        less = 1 - self.better
        better = common + less * noise[0]
        if self.setting.layers:
            good = common + noise[0] + 0.3 * noise[1:3]
            better = common + less * noise[0] + 0.3 * noise[1]
        ceiling = common + self.at_ceiling * noise[3]
        weak = self.weak * common + noise[4]
        other = self.patterns(rng)
        model = _distances(np.stack([other, *good, ceiling, weak, better]))
        if self.setting.categories:
            a, b = labels[:2]
            model[[0, 1, 2, 4, 5]] = [
                _different(labels[3]),
                _different(_flipped(rng, a, 0.2)),
                _different(_flipped(rng, b, 0.2)),
                _different(_flipped(rng, labels[2], 0.5 * (1 - self.weak))),
                _different(_flipped(rng, a, 0.2 * less)),
            ]
        return model, data

    def ceiling(self, data: np.ndarray) -> float:
        """Return the lower noise ceiling."""
        return subject_ceilings(data, np.ones((1, self.n_conditions)), self.method)[0].mean()

    def calibrate(self, seed: tuple[int, ...], n: int = 30) -> None:
        """Set the noise of the model at the ceiling, and the effects."""
        levels = np.geomspace(0.02, 3.0, 25)
        gaps = np.empty((n, len(levels)))
        effects = np.empty((2, n, len(GRID)))
        for i in range(n):
            rng = np.random.default_rng([*seed, i])
            common, _ = self.shared(rng)
            data = self.subjects(rng, common)
            models = _distances(common + levels[:, None, None] * self.patterns(rng))
            gaps[i] = self.method(models, data).mean(axis=1) - self.ceiling(data)
            for j, level in enumerate(GRID):
                self.weak = self.better = level
                models, data = self.draw(np.random.default_rng([*seed, 1, i]))
                good, weak, better = self.method(models[[1, 4, 5]], data).mean(axis=1)
                effects[:, i, j] = weak, better - good
        gap = np.minimum.accumulate(gaps.mean(axis=0))
        self.at_ceiling = float(np.exp(np.interp(0.0, -gap, np.log(levels))))
        with np.errstate(invalid="ignore"):
            strength = np.nan_to_num(effects.mean(axis=1) / effects.std(axis=1, ddof=1))
        wanted = EFFECT * stats.t.ppf(0.975, self.freedom)
        self.weak, self.better = (
            float(np.interp(wanted, np.maximum.accumulate(s), GRID)) for s in strength
        )

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the tests."""
        return min(self.n_subjects, self.n_conditions) - 1

    def errors(self, model, data, uncertainty: str, seed: int) -> np.ndarray:
        """Return standard errors of the quantities."""
        design = Design(uncertainty=uncertainty, n_boot=N_BOOT, seed=seed)
        found = estimate(model, data, method=self.method, design=design, units=self.units)
        own, pairs, low = found.variance, found.difference_variance, len(model)
        return np.sqrt([own[0], pairs[1, 2], pairs[3, low], own[1], own[4], pairs[5, 1]])

    def estimates(self, model, data) -> np.ndarray:
        """Return the quantities."""
        s = self.method(model, data).mean(axis=1)
        return np.array([s[0], s[1] - s[2], s[3] - self.ceiling(data), s[1], s[4], s[5] - s[1]])


def _different(labels: np.ndarray) -> np.ndarray:
    """Return the model RDM of two categories."""
    row, col = np.triu_indices(len(labels), k=1)
    return (labels[row] != labels[col]).astype(float)


def _flipped(rng: np.random.Generator, labels: np.ndarray, share: float) -> np.ndarray:
    """Return labels of which a share is wrong, in either category."""
    labels = labels.copy()
    n = int(round(share * len(labels) / 2))
    wrong = [rng.permutation(np.flatnonzero(labels == k))[:n] for k in (0, 1)]
    for k, rows in enumerate(wrong):
        labels[rows] = 1 - k
    return labels


def simulate(cache: Path, name: str, size: tuple[int, int], method: str, studies: int) -> None:
    """Simulate one cell, unless it is there."""
    path = cache / f"{method}_{list(SETTINGS).index(name)}_{size[0]}_{size[1]}_{studies}.npz"
    if path.exists():
        return
    start = time.monotonic()
    study = Study(SETTINGS[name], *size, method)
    key = (SEED, list(SETTINGS).index(name), *size)
    study.calibrate(key)
    n, n_boot = (int(round(studies * share)) for share in SHARE[size[1]])
    found, seconds = {"estimate": [], "analytic": [], "bootstrap": []}, np.zeros(2)
    for i in range(n):
        model, data = study.draw(np.random.default_rng([*key, 2, i]))
        found["estimate"].append(study.estimates(model, data))
        for k, kind in enumerate(("analytic", "bootstrap")):
            if kind == "bootstrap" and i >= n_boot:
                continue
            before = time.monotonic()
            found[kind].append(study.errors(model, data, kind, i))
            seconds[k] += time.monotonic() - before
    took = time.monotonic() - start
    np.savez(path, **found, seconds=seconds / (n, n_boot), effects=[study.weak, study.better])
    print(f"{method}, {name}, {size[0]} x {size[1]}: {n} studies, {took:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--method", default="pearson")
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS))
    parser.add_argument("--subjects", nargs="*", type=int, default=SUBJECTS)
    parser.add_argument("--conditions", nargs="*", type=int, default=CONDITIONS)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    print(f"seed {SEED}", flush=True)
    warnings.simplefilter("ignore", RuntimeWarning)
    for n_conditions in options.conditions:
        for n_subjects in options.subjects:
            for name in options.settings:
                size = n_subjects, n_conditions
                simulate(options.cache, name, size, options.method, options.studies)


if __name__ == "__main__":
    main()
