"""Show what the tests and intervals of rsa_faces are worth, on simulated data.

    python scripts/calibrate.py [--simulations 1000] [--jobs 2] [--out docs/calibration.md]

Every size of study is simulated many times with nothing to find; a test at 5 % should then find
something in 5 %, and a 95 % interval should hold the true similarity in 95 %. Writes a table and,
beside it, a figure. Everything here is simulated.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

import rsa_faces as rf
from rsa_faces._core.files import write_text
from rsa_faces.inference import calibrate, sign_flip_test, time_neighbours
from rsa_faces.inference.calibration import CHECKS, _distances, _row
from rsa_faces.inference.maps import STATISTICS

mpl.use("agg")
import matplotlib.pyplot as plt

SIZES = ((4, 12), (5, 20), (10, 30), (20, 60))
MAPS = {name: f"map of 60 time points, {name}; nothing anywhere" for name in STATISTICS}
PARTITION = "unique part of a predictor of a variance partition; nothing unique"
CHECKS.update(dict.fromkeys([*MAPS.values(), PARTITION], 0.05))
COLORS = {
    "as stated": "#0072B2",
    "cautious": "#009E73",
    "too lenient": "#D55E00",
    "too few": "#6A6A6A",
}


def further(i: int, size: tuple[int, int]) -> dict[str, bool]:
    """Return the outcome of the tests that `calibrate` leaves out, in one simulated study."""
    rng = np.random.default_rng([1, *size, i])
    n_subjects, n_conditions = size
    found = {}
    values = gaussian_filter1d(rng.normal(size=(n_subjects, 60)), 3.0, axis=1)
    for name, check in MAPS.items():
        graph = {} if name == "max" else {"neighbours": time_neighbours(60)}
        test = sign_flip_test(values, statistic=name, n_permutations=199, seed=i, **graph)
        found[check] = bool(np.nanmin(test.p) <= 0.05)
    common, other = rng.normal(size=(2, n_conditions, 20))
    names = [f"c{k}" for k in range(n_conditions)]
    own = rng.normal(size=(n_subjects, n_conditions, 20))
    data = rf.RDMs(
        _distances(common) + _distances(own), names, "simulated", {"subject": range(n_subjects)}
    )
    # The second predictor is correlated with the first, and has nothing of its own.
    predictors = {
        "first": rf.RDMs(_distances(common)[None], names, "simulated"),
        "second": rf.RDMs((_distances(common) + _distances(other))[None], names, "simulated"),
    }
    parts = rf.variance_partition(data, predictors, n_boot=2, n_permutations=199, seed=i)
    found[PARTITION] = bool(parts.table.set_index("part").loc["second only", "p"] <= 0.05)
    return found


def measure(size: tuple[int, int], n: int, jobs: int, method: str) -> pd.DataFrame:
    """Return the table of one size."""
    table = calibrate(*size, method=method, n_simulations=n, jobs=jobs)
    with ProcessPoolExecutor(jobs, initializer=warnings.simplefilter, initargs=("ignore",)) as pool:
        outcomes = pd.DataFrame(pool.map(partial(further, size=size), range(n), chunksize=20))
    more = pd.DataFrame([_row(name, list(outcomes[name])) for name in outcomes])
    return pd.concat([table, more], ignore_index=True)


def draw(tables: dict[tuple[int, int], pd.DataFrame], path: Path, n: int, method: str) -> None:
    """Draw shares and the range that they should be in, one column per size."""
    checks = list(tables[SIZES[0]]["check"])
    figure, axes = plt.subplots(
        1, len(tables), figsize=(7.2, 0.22 * len(checks) + 1.0), sharey=True, layout="constrained"
    )
    for ax, (size, table) in zip(axes, tables.items(), strict=True):
        # Shares of wrong conclusions: of intervals that miss the truth, too.
        wrong = table["level"] > 0.5
        share = table["share"].where(~wrong, 1 - table["share"])
        low = table["low"].where(~wrong, 1 - table["high"])
        high = table["high"].where(~wrong, 1 - table["low"])
        place = [-checks.index(name) for name in table["check"]]
        ax.hlines(place, low, high, color="#CCCCCC", linewidth=5)
        ax.axvline(0.05, color="black", linewidth=0.6)
        ax.scatter(share, place, s=14, color=[COLORS[v] for v in table["verdict"]], zorder=3)
        ax.set_title(f"{size[0]} subjects,\n{size[1]} conditions", fontsize=7)
        ax.set_xlim(-0.008, max(0.15, 1.1 * share.max()))
        ax.tick_params(labelsize=6)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks([-i for i in range(len(checks))], checks, fontsize=6)
    figure.supxlabel(
        f"share of wrong conclusions in {n:,} simulated studies ({method}); line: 5 %; grey: "
        "binomial 99 % range\nblue: as stated; green: cautious; red: too lenient; grey: too few "
        "studies to tell",
        fontsize=6,
    )
    figure.savefig(path)
    plt.close(figure)


def kept(path: Path) -> str:
    """Return the section that scripts/simulate_inference.py writes."""
    start, stop = "<!-- settings -->", "<!-- end of settings -->"
    text = path.read_text() if path.exists() else ""
    inside = text.split(start)[1].split(stop)[0] if start in text else "\n"
    return f"{start}{inside}{stop}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--method", default="rho-a", choices=list(rf.comparison.METHODS))
    parser.add_argument("--out", type=Path, default=Path("docs/calibration.md"))
    options = parser.parse_args()
    n, method = options.simulations, options.method
    tables = {}
    for size in SIZES:
        tables[size] = measure(size, n, options.jobs, method)
        print(size, tables[size].to_string(), sep="\n", flush=True)
    draw(tables, options.out.with_suffix(".svg"), n, method)
    head = " | ".join(f"{s} subjects, {c} conditions" for s, c in SIZES)
    lines = [f"| what is true | {head} |", "| --- |" + " --- |" * len(SIZES)]
    for check in tables[SIZES[0]]["check"]:
        cells = []
        for table in tables.values():
            row = table.set_index("check").loc[check]
            mark = {"cautious": " (cautious)", "too lenient": " (**too lenient**)"}
            cells.append(f"{100 * row['share']:.1f} %{mark.get(row['verdict'], '')}")
        lines.append(f"| {check} | " + " | ".join(cells) + " |")
    first = tables[SIZES[0]].iloc[0]
    text = f"""# Calibration on simulated data

Made by `python scripts/calibrate.py --simulations {n} --method {method}`; everything is simulated
({n:,} studies per number, a fifth of them for the test against the ceiling; 200 bootstrap samples
or 199 permutations each; method `{method}`, α = 0.05). Your own sizes, in under a minute:
`rsa-faces selftest --subjects N --conditions K`.

![Shares of wrong conclusions]({options.out.with_suffix(".svg").name})

Each number is the share of studies in which a test found something although there is nothing to
find, or in which the interval held the true similarity. A test that keeps its level of 5 % lies
between {100 * first["low"]:.1f} % and {100 * first["high"]:.1f} % (binomial, 99 %).
"cautious": below that range (or an interval that holds the truth more often): safe, with less
power. "too lenient": above it: do not trust it at this size.

{chr(10).join(lines)}

Why some are cautious: the two-factor bootstrap bounds its variance from below by that of each
factor alone and uses the degrees of freedom of the smaller factor, as published (Schütt et al.
2023, doi:10.7554/eLife.82566); with 4 or 5 subjects the signed-rank test cannot reach 5 % at all.
`evaluate` warns below 5 subjects and 20 conditions.

Not in the table, because a study takes long: models judged on held-out folds
(`evaluate_flexible`, `best_layer`). Two equally good ones differ at 5 % in 4.5 % of 1,100 simulated
studies of 16 subjects and 40 conditions with the default of 2 folds; with 4 folds in 7.6 % of 1,200
(too lenient; standard errors come out about 10 % too small), and a note at run time says so.

## Subjects and models that are not alike

Above, all subjects are equally strong and equally noisy, patterns are normal and models graded.
What is worth what where they are not, measured by `python scripts/simulate_inference.py` (all
simulated; several sizes of study together; [inference](inference.md) has the tables by size and
says what each setting is):

{kept(options.out)}

How it is simulated: see `rsa_faces.inference.calibrate`. Maps: 60 time points of normal noise,
smoothed (s.d. 3 points), sign flips over subjects. Variance partition: the second predictor is the
first plus what has nothing to do with the data.
"""
    write_text(options.out, text)


if __name__ == "__main__":
    main()
