"""What `rsa-faces searchlight` reports of its maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from rsa_faces import __version__
from rsa_faces.mapping import SearchlightMap
from rsa_faces.report import Account, Table
from rsa_faces.runs._networks import Networks
from rsa_faces.runs._sources import crops, sources
from rsa_faces.runs.searchlight.config import SearchlightConfig

_TESTS = {
    "tfce": "threshold-free cluster enhancement",
    "max": "the largest statistic",
    "cluster-mass": "the mass of clusters",
}


def account(
    config: SearchlightConfig,
    networks: Networks | None,
    maps: Mapping[str, Sequence[SearchlightMap]],
    peaks: pd.DataFrame,
) -> Account:
    """Return peaks, methods and sources."""
    some = next(iter(maps.values()))
    n = len(some)
    names = [entry.name for entry in config.networks]
    data = [config.stimuli.dataset] if config.stimuli is not None else []
    return Account(
        findings=_findings(config, peaks, n),
        tables=[_table(rows, model) for model, rows in peaks.groupby("model", sort=False)],
        legend="The five highest peaks of each model; all are in peaks.csv. p is corrected for all "
        "places of all parts of the brain.",
        methods=_methods(config, maps, n) + ("" if networks is None else crops(networks)),
        sources=sources([*data, *(entry.dataset for entry in config.models)], names),
    )


def _findings(config: SearchlightConfig, peaks: pd.DataFrame, n: int) -> list[str]:
    """Say for each model where it holds best."""
    found = []
    for model, rows in peaks.groupby("model", sort=False):
        best = rows.iloc[0]
        text = f"{model}: highest similarity {best['similarity']:.3f}"
        place = [f"{best[axis]:.0f}" for axis in ("x", "y", "z") if axis in rows]
        if place:
            text += f" at {', '.join(place)} mm"
        if "p" in rows and n > 1:
            shown = best["p"] < config.test.alpha
            text += f" (p = {best['p']:.4f}, corrected"
            text += ")" if shown else "; not shown to be above chance)"
        found.append(f"{text}.")
    return found


def _table(rows: pd.DataFrame, model: object) -> Table:
    """Return the highest peaks of a model as text."""
    shown = rows.drop(columns="model").head(5)
    numbers = tuple(c for c in shown if c != "part")
    cells = {
        column: [v if isinstance(v, str) else f"{v:.4g}" for v in shown[column]] for column in shown
    }
    return Table(str(model), pd.DataFrame(cells), numbers)


def _methods(
    config: SearchlightConfig, maps: Mapping[str, Sequence[SearchlightMap]], n: int
) -> str:
    """Write the methods paragraph."""
    some = next(iter(maps.values()))[0]
    places = sum(ms[0].similarity.shape[-1] for ms in maps.values())
    surface = set(maps) != {"volume"}
    what = "vertices" if surface else "voxels"
    shape = "discs on the cortical surface" if surface else "spheres"
    noise = f", noise covariance shrunk ({config.noise})" if config.noise else ""
    source = {
        "simulated": "Simulated brains",
        "simulated cortex": "Simulated cortices",
    }.get(config.data.dataset or "", "Images")
    text = (
        f"{source} of {n} subject{'s' if n > 1 else ''} were searched in {shape} of "
        f"{config.radius:g} mm with at least {config.min_voxels} {what} around each of {places} "
        f"{what}. In each, an RDM was made ({config.measure}{noise}) over {len(some.conditions)} "
        f"conditions and compared with {len(some.names)} model RDMs ({config.method})."
    )
    if n > 1:
        test = config.test
        text += (
            f" Mean similarity over subjects was tested by {test.n_permutations:,} sign flips of "
            f"subjects ({_TESTS[test.statistic]}, {test.tail}), corrected for all places; α = "
            f"{test.alpha:g}. Conclusions generalise to subjects."
        )
    return f"{text} Computed with rsa-faces {__version__}, seed {config.seed}."
