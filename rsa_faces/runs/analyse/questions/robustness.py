"""What is left when images get worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.analyses.quality.robustness import KINDS
from rsa_faces.runs._held_out import highest
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Layer,
    Question,
    Study,
    layer,
    people,
)


class Robustness(Question):
    """Degraded images: what is left of RDMs and of recognition."""

    analysis: Literal["robustness"] = key("Which question is asked.")
    people: str | None = people()
    layer: Layer = layer()
    degradations: list[str] | None = key(
        "Ways in which images get worse, and `turned` (heads); all but this by default.", None
    )
    strengths: list[int] = key("How much worse, from 1 to 5.", [1, 2, 3, 4, 5])

    label_keys: ClassVar = ("people",)
    people_key: ClassVar = "people"
    known_degradations: ClassVar = tuple(KINDS)
    columns: ClassVar = (
        "network",
        "layer",
        "degradation",
        "strength",
        "stability",
        "stability_low",
        "stability_high",
        "auc",
        "auc_low",
        "auc_high",
    )
    one_of_each: ClassVar = ("network", "degradation")
    effect: ClassVar = "stability"
    marks: ClassVar = (
        "Curves: value at each strength (0: clean images) with intervals; dashed: chance of "
        "verification."
    )
    how: ClassVar = (
        "RDMs of degraded images against those of clean ones, and verification of people; "
        "intervals draw people"
    )
    meanings: ClassVar = {
        "level": "the strength in the degradation's own unit",
        "unit": "the unit of `level`",
        "stability": "Spearman correlation of the RDMs of clean and degraded images",
        "auc": "area under the curve of same and different people; 0.5 is chance",
        "accuracy": "balanced accuracy of verification; 0.5 is chance",
        **{
            f"{value}_{end}": f"{'lower' if end == 'low' else 'upper'} end of its 95 % interval"
            for value in ("stability", "auc", "accuracy")
            for end in ("low", "high")
        },
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return that of RDMs, and of recognition where people are known."""
        return ["RDMs"] if self.people is None else ["RDMs", "recognition"]

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the strongest degradations, of each network and kind."""
        return highest(table, "strength", ["network", "degradation"])

    def answer(self, study: Study) -> Answer:
        """Degrade images and compare."""
        from rsa_faces.figures import plot_robustness

        results = [
            analyses.robustness(
                study.network(name),
                study.shown(name),
                layers=layer_name,
                identity=study.column(self.people),
                degradations=self.degradations,
                strengths=self.strengths,
                budget=study.budget,
                seed=study.seed,
                progress=False,
            )
            for name, layer_name in study.layers(self.layer).items()
        ]
        values = ["stability"] if self.people is None else ["stability", "auc"]
        figures = [plot_robustness(results, value=value) for value in values]
        return pd.concat([result.table for result in results]), figures
