"""What `rsa-faces timecourse` draws and reports of its numbers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces import __version__
from rsa_faces._core.errors import InputError
from rsa_faces._core.student import half_width
from rsa_faces._core.words import between, counted, number, p_sentence, p_value
from rsa_faces.comparison import METHODS
from rsa_faces.mapping import LayerMap
from rsa_faces.rdm import MEASURES
from rsa_faces.report import Account, Table
from rsa_faces.runs._held_out import best_findings, best_methods, best_table
from rsa_faces.runs._run import Run
from rsa_faces.runs._sources import crops, layers_of, sign_flips, sources, whitening
from rsa_faces.runs.timecourse.config import TimecourseConfig

if TYPE_CHECKING:
    from rsa_faces.runs.timecourse.run import TimecourseRun

# Who chose layers, and what beside them.
_CHOSEN = "patients", "time"


def draw(run: Run, found: LayerMap, test: Any, electrodes: pd.DataFrame, n_patients: int) -> None:
    """Draw layers by time, and the electrodes that were used where they have places."""
    from rsa_faces import figures

    config: TimecourseConfig = run.config
    content = run.tables["similarity"].to_csv(), run.tables["clusters"].to_csv()
    run.picture(
        "layers_by_time",
        f"Similarity ({METHODS[config.method].label}) of layers with each region at each time, "
        f"mean of {counted(n_patients, 'patient')}; windows of {config.window:g} s. White: 0; one "
        "scale for all. Above: mean over layers; grey: noise ceiling, where patients share "
        "structure. Outlined: clusters in which similarity is above 0 (p < "
        f"{config.test.alpha:g}, corrected); dotted: onset of the stimulus.",
        "Colour images, one per network and region: layers in rows, time in columns.",
        lambda: figures.plot_layer_map(found, test, alpha=config.test.alpha),
        *content,
    )
    used = electrodes[electrodes["used"]]
    try:
        run.picture(
            "electrodes",
            f"The {len(used)} electrodes that were used, of {counted(n_patients, 'patient')}, in "
            "MNI space; colours: regions.",
            "Places of electrodes in the brain, seen from its sides.",
            lambda: figures.plot_electrodes(used),
            used.to_csv(),
        )
    except InputError as err:
        run.notes.append(f"no figure of electrodes: {err}")


def account(run: TimecourseRun) -> Account:
    """Return clusters, methods and sources."""
    config, tables = run.config, run.tables
    clusters = tables["clusters"]
    shown = clusters[clusters["p_corrected"] < config.test.alpha]
    listed = [_clusters(shown)] if len(shown) else []
    if "networks" in tables:
        listed.append(_pairs(tables["networks"]))
    none = ["No cluster of times and layers is shown to be above 0."]
    return Account(
        findings=[*best_findings(run.best, *_CHOSEN), *(_findings(shown, tables) or none)],
        lead=[best_table(run.best, *_CHOSEN)] if len(run.best) else [],
        tables=listed,
        methods=_methods(run) + best_methods(run.best, *_CHOSEN) + crops(run.networks),
        sources=sources([config.stimuli.dataset], [entry.name for entry in config.networks]),
        legend=f"All numbers are in {', '.join(f'{name}.csv' for name in tables)}. "
        "Peaks of clusters are chosen on these data: their similarity and its interval are "
        "optimistic.",
    )


def _clusters(shown: pd.DataFrame) -> Table:
    """Return the clusters as text."""
    cells = {
        "region": shown["region"],
        "layers": shown["models"],
        "time, s": [
            *map(functools.partial(between, digits=2), shown["time_from"], shown["time_to"])
        ],
        "peak": shown["peak_model"] + " at " + shown["peak_time"].map("{:.2f} s".format),
        "p": shown["p_corrected"].map(p_value),
    }
    return Table("Clusters above 0", pd.DataFrame(cells), ("time, s", "p"))


def _pairs(networks: pd.DataFrame) -> Table:
    """Return the differences of networks as text."""
    cells = {
        "region": networks["region"],
        "networks": networks["network_a"] + " − " + networks["network_b"],
        "difference": networks["difference"].map(number),
        "standard error": networks["sem"].map(number),
        "p": networks["p_corrected"].map(p_value),
    }
    right = ("difference", "standard error", "p")
    return Table("Networks, paired within patients", pd.DataFrame(cells), right)


def _findings(shown: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Say of each cluster how similar its peak is, and how networks differ."""
    findings = []
    similarity = tables["similarity"]
    for row in shown.itertuples():
        at_peak = similarity[
            (similarity["region"] == row.region)
            & (similarity["model"] == row.peak_model)
            & np.isclose(similarity["time"], row.peak_time)
        ]["similarity"].dropna()
        n = len(at_peak)
        text = (
            f"{row.region}: {row.models} from {row.time_from:.2f} to {row.time_to:.2f} s "
            f"({p_sentence(row.p_corrected)}, corrected); at its peak ({row.peak_model}, "
            f"{row.peak_time:.2f} s) mean similarity {number(at_peak.mean())}"
        )
        if n > 1:
            half = half_width(at_peak.sem(), n - 1)
            text += (
                f" (95 % interval {between(at_peak.mean() - half, at_peak.mean() + half)}, "
                f"{n} patients)"
            )
        findings.append(f"{text}.")
    if "networks" in tables:
        findings += [
            f"{row.region}: {row.network_a} less {row.network_b} {number(row.difference)} "
            f"(standard error {number(row.sem)}, {p_sentence(row.p_corrected)}, corrected, "
            f"{row.n_subjects} patients)."
            for row in tables["networks"]
            .drop_duplicates(["region", "network_a", "network_b"])
            .itertuples()
        ]
    return findings


def _methods(run: TimecourseRun) -> str:
    """Write the methods paragraph."""
    config, electrodes = run.config, run.tables["electrodes"]
    used = electrodes[electrodes["used"]]
    counts = ", ".join(
        f"{region} {len(rows)}" for region, rows in used.groupby("region", sort=False)
    )
    simulated = config.data.simulated is not None
    source = "Simulated recordings" if simulated else "Intracranial recordings"
    signal = config.signal if config.signal == "high gamma" else "voltage"
    baseline = ""
    if config.baseline is not None:
        baseline = f"; baseline {config.baseline[0]:g} to {config.baseline[1]:g} s"
    chosen = config.data.face_selective
    selected = ""
    if chosen is not None:
        on = "a localiser" if chosen.localiser is not None else "the other half of the trials"
        selected = f" Electrodes that prefer faces were chosen on {on} ({chosen.test} test)."
    blocks = "" if config.blocks is None else " Only pairs of stimuli within a run were used."
    return (
        f"{source} of {run.n_patients} patients ({len(used)} electrodes: {counts}; {signal}"
        f"{baseline}; windows of {config.window:g} s, every {config.step:g} s) were made into RDMs "
        f"of the electrodes of each region ({MEASURES[config.measure].label}, "
        f"{whitening(config)}) over {len(run.stimuli.ids)} stimuli, and compared by "
        f"{METHODS[config.method].label} with RDMs of layers of {layers_of(run.networks)}, which "
        f"were shown the stimuli ({MEASURES[run.measure_of_layers].label}).{selected}{blocks} "
        "Similarity above 0 was tested over patients by "
        f"{sign_flips(config.test.n_permutations, run.n_patients)}, with the mass of "
        f"clusters along {config.test.along}, corrected for all regions; α = "
        f"{config.test.alpha:g}. Conclusions generalise to patients, not to other stimuli. "
        f"Computed with rsa-faces {__version__}, seed {config.seed}."
    )
