"""What `rsa-faces analyse` reports of its answers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from rsa_faces import __version__
from rsa_faces.report import Account, Table
from rsa_faces.runs._networks import Networks
from rsa_faces.runs._sources import crops, sources
from rsa_faces.runs.analyse.config import AnalysesConfig
from rsa_faces.stimuli import StimulusSet

_ROWS = 12


def account(
    config: AnalysesConfig,
    networks: Networks,
    tables: Mapping[str, pd.DataFrame],
    stimuli: StimulusSet,
    labels: pd.DataFrame,
) -> Account:
    """Return the heads of tables, methods and sources."""
    names = [entry.name for entry in config.networks]
    asked = ", ".join(dict.fromkeys(entry.analysis for entry in config.analyses))
    simulated = "Simulated faces" if config.stimuli.dataset == "simulated_faces" else "Images"
    methods = (
        f"{simulated} ({len(stimuli)}) were shown to {', '.join(names)}, and the features of their "
        f"layers were asked: {asked}. Computed with rsa-faces {__version__}, seed {config.seed}."
    )
    return Account(
        findings=[f"{name}: {len(table)} rows, in {name}.csv." for name, table in tables.items()],
        tables=[_table(name, table) for name, table in tables.items()],
        methods=methods + crops(networks),
        sources=sources([config.stimuli.dataset], names),
        legend=f"The first {_ROWS} rows of each table; all are in the CSV files.",
    )


def _table(name: str, table: pd.DataFrame) -> Table:
    """Return the first rows of a table as text."""
    head = table.head(_ROWS)
    text = head.map(lambda v: f"{v:.3g}" if isinstance(v, float) else str(v))
    return Table(name, text, tuple(head.select_dtypes("number").columns))
