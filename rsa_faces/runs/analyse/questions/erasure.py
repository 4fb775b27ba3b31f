"""What recognition loses when groups are erased from embeddings."""

from __future__ import annotations

from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import (
    EffectsQuestion,
    Layer,
    Study,
    cells,
    layer,
    people,
    permutations,
)


class Erasure(EffectsQuestion):
    """Groups erased from one layer of each network, and what that costs recognition."""

    analysis: Literal["erasure"] = key("Which question is asked.")
    groups: str = key("Column of groups that people chose for themselves.")
    people: str | None = people()
    within: str | list[str] | None = cells()
    layer: Layer = layer()
    n_permutations: int = permutations(99)

    label_keys: ClassVar = ("groups", "people", "within")
    of_person: ClassVar = ("groups",)
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "network",
        "layer",
        "what",
        "embedding",
        "value",
        "ci_low",
        "ci_high",
        "chance",
        "p",
    )
    one_of_each: ClassVar = ("network", "what", "embedding")
    marks: ClassVar = (
        "Dots: accuracy of the group's read-out, and area under the curve of recognition, with "
        "95 % intervals, before and after erasure; filled: p within alpha."
    )
    how: ClassVar = (
        "linear erasure (LEACE) learnt from other people; what is left of the group in a read-out "
        "across people, and recognition before and after on the same samples of people"
    )
    meanings: ClassVar = {
        "what": "what is told: the group of people not trained on, or people",
        "embedding": "whole, erased, or erased less whole (cost)",
        "value": "accuracy of the group, area under the curve of people, or their difference",
        "chance": "the same of groups that changed places, or 0.5 (0 of the cost)",
        "p": "one-sided for groups (permuted), two-sided for recognition (people drawn)",
    }

    def title(self) -> str:
        """Return what is erased."""
        return f"erasure of {self.groups}"

    def results(self, study: Study) -> list[analyses.GroupErasure]:
        """Erase the groups from one layer of each network."""
        shown = study.column(self.people)
        people = pd.Series(study.labels.index, study.labels.index) if shown is None else shown
        return [
            analyses.erase_groups(
                study.layer(name, layer_name),
                study.labels[self.groups],
                people,
                within=study.cells(self.within),
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
            for name, layer_name in study.layers(self.layer).items()
        ]
