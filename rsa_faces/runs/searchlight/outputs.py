"""What `rsa-faces searchlight` reports of its maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces import __version__
from rsa_faces._core.student import half_width
from rsa_faces._core.words import between, counted, number, p_sentence, p_value
from rsa_faces.comparison import METHODS
from rsa_faces.rdm import MEASURES
from rsa_faces.report import Account, Table
from rsa_faces.runs._held_out import best_findings, best_methods, best_table
from rsa_faces.runs._sources import crops, layers_of, sign_flips, sources, whitening
from rsa_faces.runs.searchlight.config import OF_LAYERS, SearchlightConfig

if TYPE_CHECKING:
    from rsa_faces.runs.searchlight.run import SearchlightRun

_NOWHERE = "No model is shown to be more similar than chance anywhere."
# Who chose layers, and what beside them.
_CHOSEN = "subjects", "place"
_text: dict[str, Callable[[Any], str]] = {
    "model": str,
    "part": str,
    "similarity": number,
    "t": lambda t: number(t, 2),
    "p": p_value,
    "ceiling_low": number,
    "ceiling_high": number,
}
_TESTS = {
    "tfce": "threshold-free cluster enhancement",
    "max": "the largest statistic",
    "cluster-mass": "the mass of clusters",
}


def account(run: SearchlightRun) -> Account:
    """Return peaks, methods and sources."""
    config, peaks = run.config, _of_highest(run)
    n = len(next(iter(run.maps.values())))
    names = [entry.name for entry in config.networks]
    data = [config.stimuli.dataset] if config.stimuli is not None else []
    return Account(
        findings=[
            *best_findings(run.best, *_CHOSEN),
            *(_findings(config, peaks, n) or [_NOWHERE]),
        ],
        lead=[best_table(run.best, *_CHOSEN)] if len(run.best) else [],
        tables=[_peaks(peaks)] if len(peaks) else [],
        legend="The highest peaks of each network's highest layer, and of each model; all are in "
        "peaks.csv. p is corrected for all places of all parts of the brain. Peaks are chosen on "
        "these data: their similarity and its interval are optimistic.",
        methods=_methods(run, n) + best_methods(run.best, *_CHOSEN) + crops(run.networks),
        sources=sources([*data, *(entry.dataset for entry in config.models)], names),
    )


def _findings(config: SearchlightConfig, peaks: pd.DataFrame, n: int) -> list[str]:
    """Say for each model where it holds best, how well, and how sure that is."""
    findings = []
    for model, rows in peaks.groupby("model", sort=False):
        best = rows.iloc[0]
        text = f"{model}: highest mean similarity {number(best['similarity'])}"
        inside = []
        if n > 1 and "t" in rows and best["t"]:
            # t is the mean similarity over its standard error.
            half = half_width(abs(best["similarity"] / best["t"]), n - 1)
            low, high = best["similarity"] - half, best["similarity"] + half
            inside.append(f"95 % interval at this place {between(low, high)}")
        if "ceiling_low" in rows and pd.notna(best["ceiling_low"]):
            inside.append(f"noise ceiling {between(best['ceiling_low'], best['ceiling_high'])}")
        if "p" in rows and n > 1:
            shown = best["p"] < config.test.alpha
            unsure = "" if shown else ", not shown to be above chance"
            inside.append(f"{p_sentence(best['p'])}, corrected{unsure}")
        place = [f"{best[axis]:.0f}" for axis in ("x", "y", "z") if axis in rows]
        text += f" at {', '.join(place)} mm" if place else ""
        text += f", {best['part']}" if "part" in rows else ""
        findings.append(f"{text} ({'; '.join(inside)})." if inside else f"{text}.")
    return findings


def _of_highest(run: SearchlightRun) -> pd.DataFrame:
    """Return the peaks of the layer of each network with the highest, and of all models."""
    peaks = run.tables["peaks"]
    highest = peaks.groupby("model", sort=False)["similarity"].max()
    wanted = [
        max((name for name, _ in maps), key=lambda name: highest.get(name, -np.inf))
        for maps in run.members.values()
    ]
    return peaks[peaks["model"].isin(wanted)]


def _peaks(peaks: pd.DataFrame) -> Table:
    """Return the three highest peaks of each model as text."""
    columns = ("model", "part", "similarity", "t", "p", "ceiling_low", "ceiling_high")
    rows = peaks.groupby("model", sort=False).head(3)
    cells = {column: rows[column].map(_text[column]) for column in columns if column in rows}
    places = [axis for axis in "xyz" if axis in rows]
    cells |= {f"{axis}, mm": rows[axis].map("{:.0f}".format) for axis in places}
    named = pd.DataFrame(cells).rename(columns=lambda column: column.replace("_", " "))
    return Table("Peaks", named, tuple(c for c in named if c not in ("model", "part")))


def _methods(run: SearchlightRun, n: int) -> str:
    """Write the methods paragraph."""
    config, maps = run.config, run.maps
    some = next(iter(maps.values()))[0]
    places = sum(ms[0].similarity.shape[-1] for ms in maps.values())
    around = np.concatenate([np.ravel(ms[0].n_voxels) for ms in maps.values()])
    surface = set(maps) != {"volume"}
    what = "vertices" if surface else "voxels"
    shape = "discs on the cortical surface" if surface else "spheres"
    text = (
        f"{_source(config)} of {counted(n, 'subject')} were searched in {shape} of "
        f"{config.radius:g} mm (median {np.median(around[around > 0]):g} {what}, at least "
        f"{config.min_voxels}) around each of {places} {what}. In each, an RDM was made "
        f"({MEASURES[config.measure].label}, {whitening(config)}) over {len(some.conditions)} "
        f"conditions and compared by {METHODS[config.method].label} with {len(some.names)} model "
        f"RDMs{_models(run)}."
    )
    if config.blocks is not None:
        text += " Only pairs of conditions within a run were used."
    if run.ceilings:
        text += (
            " Noise ceilings are the similarity of each subject's RDM with the pooled RDM of the "
            "others (lower) and of all subjects (upper) at each place."
        )
    if n > 1:
        test = config.test
        text += (
            f" Mean similarity over subjects was tested by {sign_flips(test.n_permutations, n)} of "
            f"subjects ({_TESTS[test.statistic]}, {test.tail}), corrected for all places; α = "
            f"{test.alpha:g}. Conclusions generalise to subjects, not to other stimuli."
        )
    else:
        text += " Of one subject nothing is tested, and nothing generalises."
    return f"{text} Computed with rsa-faces {__version__}, seed {config.seed}."


def _source(config: SearchlightConfig) -> str:
    """Return what was searched."""
    data = config.data
    if data.dataset is not None:
        return {"simulated": "Simulated brains", "simulated cortex": "Simulated cortices"}[
            data.dataset
        ]
    return "Images" if data.bids is None else "Patterns from a GLM of BOLD (run by run)"


def _models(run: SearchlightRun) -> str:
    """Return where models come from."""
    parts = []
    if run.networks.entries:
        parts.append(
            f"of {layers_of(run.networks)}, shown {len(run.stimuli.ids)} stimuli, "
            f"by {MEASURES[OF_LAYERS].label}"
        )
    if run.brains.models is not None:
        parts.append("of the simulated layers that are planted, and some that are not")
    for entry in run.config.models:
        if entry.metadata is not None:
            parts.append(f"of the label {entry.metadata} ({entry.kind})")
        elif entry.dataset is not None:
            parts.append(f"of the data set {entry.dataset}")
        else:
            parts.append(f"of the file {', '.join(path.name for path in entry.paths)}")
    return f" ({'; '.join(parts)})" if parts else ""
