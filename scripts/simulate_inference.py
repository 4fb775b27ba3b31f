"""Compare standard errors in closed form with the bootstrap, on simulated studies.

    python scripts/simulate_inference.py --cache FOLDER [--method pearson] [--studies 300]
    python scripts/simulate_inference.py --cache FOLDER --corrections --subjects 20
    python scripts/simulate_inference.py --cache FOLDER --write docs/inference.md

Studies of every size and setting are simulated with models that are unrelated, equally good, as
good as the noise ceiling, and a little better; how often tests reject and intervals hold the truth
is counted. One file for each cell goes to the folder, and what is there is not simulated again. The
second form shows what the corrections of the closed form are worth, the third writes the page and
its figure. Everything here is simulated; the seed is printed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.files import write_text
from rsa_faces.comparison import resolve
from rsa_faces.figures._style import COLORS, style
from rsa_faces.inference import _dyadic, _study
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._dyadic import analytic
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference.bootstrap import estimate
from rsa_faces.inference.calibration import _distances

mpl.use("agg")
import matplotlib.pyplot as plt

SEED = 20261129
SUBJECTS, CONDITIONS = (4, 8, 12, 20), (12, 24, 60, 92)
N_CHANNELS, N_BOOT = 20, 200
GRID = np.linspace(0.0, 1.0, 7)
#: Effects are as large as this share of the critical value times the true standard deviation.
EFFECT = 0.75
#: Larger designs have fewer studies (of which the bootstrap gets some): they take long.
SHARE = {12: (1.0, 1 / 3), 24: (1.0, 1 / 3), 60: (1 / 3, 0.2), 92: (0.2, 0.1)}
#: What is estimated in each study. The first four are 0 in truth.
QUANTITIES = (
    "unrelated model",
    "two equally good models",
    "model as good as the ceiling, minus ceiling",
    "good model",
    "weak model",
    "better minus good model",
)


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
        self.units = Units.of_groups(np.arange(n_conditions))
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
        noise = self.patterns(rng, 6)
        good = common + noise[:2]
        less = 1 - self.better
        better = common + less * noise[5]
        if self.setting.layers:
            good = common + noise[0] + 0.3 * noise[1:3]
            better = common + less * noise[0] + 0.3 * noise[5]
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
        by = analytic if uncertainty == "analytic" else estimate
        found = by(_study.Study(model, data, self.method, self.units), design)
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


class _Uncorrected(_dyadic._Sharing):
    """Pairs that share a condition, as if influences were around the truth."""

    def __init__(self, *args):
        super().__init__(*args)
        self.factor[:] = 1.0


#: What is patched for the closed form without its corrections.
VARIANTS = {
    "neither": {"_MANY": 0, "_Sharing": _Uncorrected},
    "centring only": {"_MANY": 0},
    "centring and curvature": {},
}


def corrections(size: tuple[int, int], method: str, studies: int) -> str:
    """Return what the corrections of the closed form are worth, for subjects that are alike."""
    study = Study(SETTINGS["all alike"], *size, method)
    study.calibrate((SEED, 99, *size))
    drawn = [study.draw(np.random.default_rng([SEED, 99, *size, 2, i])) for i in range(studies)]
    estimates = np.array([study.estimates(*d) for d in drawn])
    critical = stats.t.ppf(0.975, study.freedom)
    truth = np.append(np.zeros(3), estimates[:, 3:].mean(axis=0))
    lines = []
    for name, patches in VARIANTS.items():
        kept = {key: getattr(_dyadic, key) for key in patches}
        for key, value in patches.items():
            setattr(_dyadic, key, value)
        sem = np.array([study.errors(*d, "analytic", 0) for d in drawn])
        for key, value in kept.items():
            setattr(_dyadic, key, value)
        ratio = np.sqrt((sem**2).mean(axis=0)) / estimates.std(axis=0, ddof=1)
        level = 100 * (np.abs(estimates) > critical * sem).mean(axis=0)
        holds = 100 * (np.abs(estimates - truth) <= critical * sem).mean(axis=0)
        lines.append(
            f"| {size[0]} × {size[1]} | {name} | {ratio[0]:.2f}, {ratio[1]:.2f}, {ratio[3]:.2f} | "
            f"{level[0]:.1f}, {level[1]:.1f} | {holds[3]:.1f}, {holds[4]:.1f} |"
        )
    return "\n".join(lines)


TESTS = ("unrelated", "equal", "ceiling")
KINDS = {"analytic": "closed form", "bootstrap": "bootstrap"}


def cells(cache: Path) -> pd.DataFrame:
    """Return one row per cell and kind: levels, coverage and power in percent."""
    rows = []
    for path in sorted(cache.glob("*.npz")):
        method, setting, n_subjects, n_conditions, _ = path.stem.rsplit("_", 4)
        n_subjects, n_conditions = int(n_subjects), int(n_conditions)
        with np.load(path) as found:
            estimates, seconds = found["estimate"], found["seconds"]
            errors = {kind: found[kind] for kind in KINDS}
        critical = stats.t.ppf(0.975, min(n_subjects, n_conditions) - 1)
        truth = np.append(np.zeros(3), estimates[:, 3:].mean(axis=0))
        both = len(errors["bootstrap"])
        for (kind, sem), time_ in zip(errors.items(), seconds, strict=True):
            here = estimates[: len(sem)]
            rejects = np.abs(here) > critical * sem
            holds = np.abs(here - truth) <= critical * sem
            rows.append(
                {
                    "method": method,
                    "setting": list(SETTINGS)[int(setting)],
                    "n_subjects": n_subjects,
                    "n_conditions": n_conditions,
                    "kind": kind,
                    "n": len(sem),
                    "ms": 1000 * time_,
                    **dict(zip(TESTS, 100 * rejects[:, :3].mean(axis=0), strict=True)),
                    "coverage": 100 * holds[:, 3].mean(),
                    "coverage_difference": 100 * holds[:, 5].mean(),
                    # Power of both in the same studies.
                    "weak": 100 * rejects[:both, 4].mean(),
                    "better": 100 * rejects[:both, 5].mean(),
                    "error": np.sqrt((sem[:, 3] ** 2).mean()) / estimates[:, 3].std(ddof=1),
                }
            )
    return pd.DataFrame(rows)


def highest(n: int) -> float:
    """Return the highest share, in percent, that a test at 5 % reaches in 99 % of simulations."""
    return 100 * stats.binom.ppf(0.995, n, 0.05) / n


@style()
def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw level, coverage and power of both kinds."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.9), layout="constrained")
    sizes = sorted({*zip(table["n_conditions"], table["n_subjects"], strict=True)})
    place = {size: i for i, size in enumerate(sizes)}
    colors = dict(zip(SETTINGS, COLORS, strict=True))
    for (kind, method), rows in table.groupby(["kind", "method"]):
        x = np.array(
            [place[k, s] for k, s in zip(rows["n_conditions"], rows["n_subjects"], strict=True)]
        )
        x = x + (0.15 if kind == "bootstrap" else -0.15)
        style = {
            "s": 12,
            "linewidths": 0.7,
            "marker": "o" if method == "pearson" else "^",
            "edgecolors": [colors[name] for name in rows["setting"]],
            "facecolors": "none" if kind == "bootstrap" else [colors[n] for n in rows["setting"]],
        }
        axes[0].scatter(x, rows[list(TESTS)].max(axis=1), **style)
        axes[1].scatter(x, rows["coverage"], **style)
    axes[0].axhline(5, color="black", linewidth=0.6)
    axes[1].axhline(95, color="black", linewidth=0.6)
    labels = [f"{s} × {k}" for k, s in sizes]
    names = "highest level of three tests (%)", "95 % intervals that hold the truth (%)"
    for ax, name in zip(axes[:2], names, strict=True):
        ax.set_xticks(range(len(sizes)), labels, rotation=90, fontsize=6)
        ax.set_ylabel(name, fontsize=7)
    wide = table.pivot_table(
        index=["method", "setting", "n_subjects", "n_conditions"],
        columns="kind",
        values=["weak", "better"],
    )
    for what, marker in (("weak", "o"), ("better", "s")):
        part = wide[what].reset_index()
        axes[2].scatter(
            part["bootstrap"],
            part["analytic"],
            s=12,
            marker=marker,
            facecolors="none",
            edgecolors=[colors[name] for name in part["setting"]],
            linewidths=0.7,
        )
    most = 1.05 * max(wide.max().max(), 1)
    axes[2].plot([0, most], [0, most], color="black", linewidth=0.6)
    axes[2].plot([0, most / 1.5], [0, most], color="black", linewidth=0.6, linestyle=":")
    axes[2].set_xlabel("power of the bootstrap (%)", fontsize=7)
    axes[2].set_ylabel("power of the closed form (%)", fontsize=7)
    for name in table["setting"].unique():
        axes[2].scatter([], [], color=colors[name], s=12, label=name)
    axes[2].legend(fontsize=5, frameon=False)
    for ax in axes:
        ax.tick_params(labelsize=6)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    plt.close(figure)


def markdown(table: pd.DataFrame) -> str:
    """Return a table with closed form and bootstrap in each cell, marked where it fails."""
    lines = [
        "| setting | subjects × conditions | studies | unrelated | equally good | ceiling | "
        "interval | weak model found | better model found |",
        "| --- |" + " --- |" * 8,
    ]
    keys = ["setting", "n_conditions", "n_subjects"]
    order = {name: i for i, name in enumerate(SETTINGS)}
    groups = sorted(table.groupby(keys), key=lambda item: (order[item[0][0]], *item[0][1:]))
    for (setting, n_conditions, n_subjects), rows in groups:
        a, b = (rows.set_index("kind").loc[kind] for kind in KINDS)
        shown = []
        for name in TESTS:
            marks = ["**" if part[name] > highest(part["n"]) else "" for part in (a, b)]
            shown.append(f"{marks[0]}{a[name]:.1f}{marks[0]} / {marks[1]}{b[name]:.1f}{marks[1]}")
        marks = ["**" if part["coverage"] < 93 else "" for part in (a, b)]
        shown.append(
            f"{marks[0]}{a['coverage']:.1f}{marks[0]} / {marks[1]}{b['coverage']:.1f}{marks[1]}"
        )
        shown += [f"{a[name]:.0f} / {b[name]:.0f}" for name in ("weak", "better")]
        lines.append(
            f"| {setting} | {n_subjects} × {n_conditions} | {a['n']}, {b['n']} | "
            + " | ".join(shown)
            + " |"
        )
    return "\n".join(lines)


def verdict(table: pd.DataFrame) -> str:
    """Return where the closed form fails in what would make it the default."""
    keys = ["method", "setting", "n_subjects", "n_conditions"]
    a, b = (table[table["kind"] == kind].set_index(keys).sort_index() for kind in KINDS)

    def say(what: str, fails: pd.DataFrame, of_bootstrap: pd.DataFrame | None = None) -> str:
        cells_ = fails.any(axis=1)
        named = "; ".join(f"{k} {s}, {n} × {c}" for k, s, n, c in fails.index[cells_])
        more = "" if of_bootstrap is None else f"; bootstrap: {int(of_bootstrap.to_numpy().sum())}"
        text = f"- {what}: {int(fails.to_numpy().sum())} of {fails.size} cases{more}."
        return text + (f" ({named})" if named else "")

    tests, found = list(TESTS), ["weak", "better"]
    small = [n <= 12 and c <= 24 for *_, n, c in a.index]
    pooled = [np.average(part[tests].mean(axis=1), weights=part["n"]) for part in (a, b)]
    return "\n".join(
        [
            say(
                "Level of a test above the 99 % band of 5 %",
                a[tests].gt(a["n"].map(highest), axis=0),
                b[tests].gt(b["n"].map(highest), axis=0),
            )
            + f" Over all cases {pooled[0]:.1f} %, bootstrap {pooled[1]:.1f} %.",
            say(
                "Intervals that hold the truth in less than 93 %",
                a[["coverage"]] < 93,
                b[["coverage"]] < 93,
            ),
            say("Power below that of the bootstrap", a[found] < b[found]),
            say(
                "Power less than 1.5 times the bootstrap's, up to 12 × 24",
                (a[found] < 1.5 * b[found])[small],
            ),
        ]
    )


def by_setting(table: pd.DataFrame) -> str:
    """Return one row per setting: levels and coverage over all sizes, closed form / bootstrap."""
    lines = [
        "| setting (method) | sizes | unrelated model | equally good models | model at the ceiling "
        "| 95 % interval |",
        "| --- |" + " --- |" * 5,
    ]
    for name in SETTINGS:
        for method, rows in table[table["setting"] == name].groupby("method"):
            shown = []
            for column in (*TESTS, "coverage"):
                parts = [rows[rows["kind"] == kind] for kind in KINDS]
                shares = [np.average(part[column], weights=part["n"]) for part in parts]
                shown.append(f"{shares[0]:.1f} / {shares[1]:.1f} %")
            n_sizes = len(rows) // 2
            lines.append(f"| {name} ({method}) | {n_sizes} | " + " | ".join(shown) + " |")
    return "\n".join(
        [
            *lines,
            "",
            "In each cell closed form / bootstrap: tests should reject 5 %, intervals hold 95 %.",
        ]
    )


def fill(path: Path, **parts: str) -> None:
    """Write parts of a page between their marks."""
    page = path.read_text()
    for name, text in parts.items():
        head, rest = page.split(f"<!-- {name} -->\n")
        tail = rest.split(f"<!-- end of {name} -->")[1]
        page = f"{head}<!-- {name} -->\n{text}\n<!-- end of {name} -->{tail}"
    write_text(path, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--method", default="pearson")
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS))
    parser.add_argument("--subjects", nargs="*", type=int, default=SUBJECTS)
    parser.add_argument("--conditions", nargs="*", type=int, default=CONDITIONS)
    parser.add_argument("--write", type=Path, help="page to write from the cache")
    parser.add_argument("--corrections", action="store_true", help="what these are worth")
    options = parser.parse_args()
    if options.write is not None:
        table = cells(options.cache)
        draw(table, options.write.with_suffix(".svg"))
        methods = {m: markdown(part) for m, part in table.groupby("method")}
        tables = "\n\n".join(f"### Method `{m}`\n\n{text}" for m, text in methods.items())
        fill(options.write, tables=tables, verdict=verdict(table))
        fill(options.write.with_name("calibration.md"), settings=by_setting(table))
        return
    if options.corrections:
        print(f"seed {SEED}")
        for size in [(s, k) for k in options.conditions for s in options.subjects]:
            print(corrections(size, options.method, options.studies), flush=True)
        return
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
