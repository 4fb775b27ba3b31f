"""What an evaluation found, as tidy tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult
from rsa_faces.inference.multiple import adjust

TABLE = (
    *("subset", "region", "network", "layer", "layer_index", "depth", "method"),
    *("similarity", "sem", "ci_low", "ci_high", "p", "p_corrected", "p_ceiling"),
    *("p_ceiling_corrected", "max_similarity", "ceiling_low", "ceiling_high", "reliable"),
    *("n_subjects", "n_conditions", "n_pairs"),
)
PAIRS = (
    *("subset", "region", "network_a", "layer_a", "network_b", "layer_b", "difference"),
    *("sem", "p", "p_corrected", "n_subjects", "n_conditions"),
)
SUBJECTS = ("subset", "region", "network", "layer", "subject", "similarity")
CEILINGS = (
    *("subset", "region", "method", "ceiling_low", "ceiling_low_sem", "ceiling_high"),
    *("ceiling_high_sem", "p_reliable", "reliable", "n_subjects", "n_conditions"),
)
_FRAMES = {"table": TABLE, "pairs": PAIRS, "subjects": SUBJECTS, "ceilings": CEILINGS}


@dataclass(frozen=True, eq=False, repr=False)
class Result(BaseResult, figure="plot_layers"):
    """The outcome of :func:`rsa_faces.evaluate`.

    Parameters
    ----------
    table : DataFrame
        One row per model RDM and region: similarity (mean over subjects), its standard error,
        95 % interval, p against 0 and corrected, p against the lower ceiling, the largest
        similarity its ties allow, ceilings, and how many subjects, conditions and pairs entered.
    pairs : DataFrame
        One row per pair of models and region: difference of similarities, standard error, p.
    subjects : DataFrame
        One row per model, region and subject.
    ceilings : DataFrame
        One row per region: noise ceilings, and whether subjects share structure (`reliable`).
    settings : mapping
        The options of the evaluation, the degrees of freedom, and `generalises_to`: what the
        conclusions hold for.
    notes : tuple of str
        What a reader must know before concluding.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.
    rsa_faces.figures.plot_layers : Draw similarity from layer to layer.
    rsa_faces.figures.plot_heatmap : Draw similarity of each layer.
    rsa_faces.inference.subject_tests

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models[:2], behaviour, n_boot=100)
    >>> result.table[["network", "n_subjects"]].values.tolist()
    [['animacy', 16], ['FaceBodyManmadeNatobj', 16]]
    >>> len(result.pairs), len(result.subjects), bool(result.ceilings["reliable"][0])
    (1, 32, True)
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    subjects: pd.DataFrame
    ceilings: pd.DataFrame

    def __repr__(self) -> str:
        regions = ", ".join(map(str, self.table["region"].unique()))
        return (
            f"Result({len(self.table)} similarities; regions: {regions}; {len(self.notes)} notes)"
        )

    def to_json(self) -> str:
        """Return all content as JSON text that :meth:`from_json` reads back exactly."""
        frames = {
            name: {c: [_plain(v) for v in getattr(self, name)[c]] for c in columns}
            for name, columns in _FRAMES.items()
        }
        return json.dumps({**frames, "settings": self.settings, "notes": self.notes})

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what :meth:`to_json` wrote."""
        content = json.loads(text)
        frames = {
            name: pd.DataFrame(content[name], columns=list(_FRAMES[name])) for name in _FRAMES
        }
        return cls(**frames, settings=content["settings"], notes=tuple(content["notes"]))

    @classmethod
    def concat(cls, results: Sequence[Result]) -> Result:
        """Put results of several regions or subsets together.

        Settings that differ become a mapping from region to value; notes are kept once. With
        ``family="all"`` p values are corrected over all of them together.

        Raises
        ------
        InputError
            If there is no result, or a subset and region occur twice.
        """
        check_enough(len(results), 1, "result to put together")
        keys = [
            k for r in results for k in zip(r.ceilings["subset"], r.ceilings["region"], strict=True)
        ]
        doubled = {key for key in keys if keys.count(key) > 1}
        if doubled:
            raise InputError(f"expected each subset and region once, got {sorted(doubled)} again.")
        frames = {
            name: pd.concat([getattr(r, name) for r in results], ignore_index=True)
            for name in _FRAMES
        }
        settings = {}
        for key in results[0].settings:
            values = [r.settings[key] for r in results]
            settings[key] = values[0]
            if any(value != values[0] for value in values):
                settings[key] = {}
                for result, value in zip(results, values, strict=True):
                    single = not isinstance(value, dict)
                    settings[key] |= (
                        dict.fromkeys(result.ceilings["region"], value) if single else value
                    )
        notes = tuple(dict.fromkeys(note for r in results for note in r.notes))
        if settings.get("family") == "all":
            for name in ("table", "pairs"):
                columns = list(_FRAMES[name])
                frames[name] = with_corrected(frames[name], settings["correction"])[columns]
        return cls(**frames, settings=settings, notes=notes)


def with_corrected(table: pd.DataFrame, correction: str) -> pd.DataFrame:
    """Return a table with each kind of p corrected for all of its rows."""
    kinds = [c for c in ("p", "p_ceiling") if c in table]
    return table.assign(
        **{f"{c}_corrected": adjust(table[c].to_numpy(), method=correction) for c in kinds}
    )


def _plain(value: Any) -> Any:
    """Return a JSON value."""
    if value is pd.NA:
        return None
    return value.item() if isinstance(value, np.generic) else value
