"""What `rsa-faces timecourse` draws and reports of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from rsa_faces import __version__
from rsa_faces._core.errors import InputError
from rsa_faces.mapping import LayerMap
from rsa_faces.report import Account, Table
from rsa_faces.runs._networks import Networks
from rsa_faces.runs._run import Run
from rsa_faces.runs._sources import crops, sources
from rsa_faces.runs.timecourse.config import TimecourseConfig


def draw(run: Run, found: LayerMap, test: Any, electrodes: pd.DataFrame, n_patients: int) -> None:
    """Draw layers by time, and the electrodes that were used where they have places."""
    from rsa_faces import figures

    config: TimecourseConfig = run.config
    content = run.tables["similarity"].to_csv(), run.tables["clusters"].to_csv()
    run.picture(
        "layers_by_time",
        f"Similarity ({config.method}) of layers with each region at each time, mean of "
        f"{n_patients} patients; windows of {config.window:g} s. Outlined: clusters in which "
        f"it is above 0 (p < {config.test.alpha:g}, corrected).",
        "Colour images, one per network and region: layers in rows, time in columns.",
        lambda: figures.plot_layer_map(found, test, alpha=config.test.alpha).flat[0].figure,
        *content,
    )
    used = electrodes[electrodes["used"]]
    try:
        run.picture(
            "electrodes",
            f"The {len(used)} electrodes that were used, of {n_patients} patients.",
            "Places of electrodes in the brain, seen from its sides.",
            lambda: figures.plot_electrodes(used),
            used.to_csv(),
        )
    except InputError as err:
        run.notes.append(f"no figure of electrodes: {err}")


def account(
    config: TimecourseConfig,
    networks: Networks,
    found: LayerMap,
    tables: Mapping[str, pd.DataFrame],
    n_patients: int,
) -> Account:
    """Return clusters, methods and sources."""
    clusters = tables["clusters"]
    shown = clusters[clusters["p_corrected"] < config.test.alpha]
    findings = [
        f"{row.region}: {row.models} from {row.time_from:.2f} to {row.time_to:.2f} s "
        f"(p = {row.p_corrected:.4f}, corrected)."
        for row in shown.itertuples()
    ]
    listed = [Table("Clusters above 0", _text(shown), ())] if len(shown) else []
    if "networks" in tables:
        listed.append(Table("Networks, paired within patients", _text(tables["networks"]), ()))
    simulated = config.data.simulated is not None
    source = "Simulated recordings" if simulated else "Intracranial recordings"
    methods = (
        f"{source} of {n_patients} patients ({config.signal}; windows of {config.window:g} s, "
        f"every {config.step:g} s) were made into RDMs of the electrodes of each region "
        f"({config.measure}) and compared with RDMs of layers of "
        f"{', '.join(entry.name for entry in config.networks)} ({config.method}). Similarity above "
        f"0 was tested over patients by {config.test.n_permutations:,} sign flips, with the mass "
        f"of clusters along {config.test.along}, corrected for all regions; α = "
        f"{config.test.alpha:g}. Conclusions generalise to patients. Computed with rsa-faces "
        f"{__version__}, seed {config.seed}."
    )
    return Account(
        findings=findings or ["No cluster of times and layers is shown to be above 0."],
        tables=listed,
        methods=methods + crops(networks),
        sources=sources([config.stimuli.dataset], [entry.name for entry in config.networks]),
        legend="All numbers are in clusters.csv, similarity.csv and networks.csv.",
    )


def _text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with numbers as they are printed."""
    return table.map(lambda v: f"{v:.4g}" if isinstance(v, float) else str(v))
