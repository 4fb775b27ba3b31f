"""Whether ratings of faces follow averageness and symmetry."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import read_table
from rsa_faces.runs.analyse.questions._base import (
    EffectsQuestion,
    Layer,
    Study,
    cells,
    check_column,
    check_numbers,
    layer,
    people,
    permutations,
)
from rsa_faces.runs.analyse.questions.landmarks import points_of


class Averageness(EffectsQuestion):
    """Ratings, such as attractiveness, and averageness and symmetry of faces."""

    analysis: Literal["averageness"] = key("Which question is asked.")
    landmarks: Path = key("File with `files` and `points`, in pixels (.npz).")
    ratings: list[str] = key("Columns of mean ratings; with `raters`, columns there.", min_length=1)
    raters: Path | None = key(
        "Table of single ratings: columns `rater`, `stimulus` and the ratings; "
        "intervals then hold for other raters as well.",
        None,
    )
    controls: list[str] = key("Columns of numbers that are taken out: [age, yaw].", [])
    within: str | list[str] | None = cells()
    people: str | None = people()
    layer: Layer = layer()
    n_permutations: int = permutations(2000)

    label_keys: ClassVar = ("controls", "within", "people")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "measure",
        "rating",
        "r",
        "ci_low",
        "ci_high",
        "p_corrected",
        "r_beyond",
        "p_beyond",
    )
    one_of_each: ClassVar = ("measure", "rating")
    effect: ClassVar = "r"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Dots: partial rank correlation of rating and measure within groups, with 95 % intervals; "
        "filled: corrected."
    )
    how: ClassVar = (
        "partial rank correlations of ratings with averageness (less the Procrustes distance to "
        "the mean shape of the other faces; in layers the cosine to their mean) and symmetry (less "
        "the Procrustes distance to the mirrored shape), given groups and controls; intervals "
        "leave out faces (and raters), p values permute residuals within groups and are corrected "
        "by the largest"
    )
    generalises_to: ClassVar = "people shown (and, where single raters are known, raters)"
    meanings: ClassVar = {
        "measure": "averageness or symmetry of the shape, or averageness in a network",
        "rating": "the rating",
        "r": "partial correlation of rating and measure, given groups and controls",
        "p": "two-sided, residuals exchanged within groups",
        "p_corrected": "the same, corrected by the largest of all rows",
        "r_beyond": "the same correlation, given the other measures as well",
        "beyond_low": "lower end of the 95 % interval of r_beyond",
        "beyond_high": "upper end of the 95 % interval of r_beyond",
        "p_beyond": "p of r_beyond, two-sided",
        "n_cells": "groups",
        "n_left_out": "faces left out",
        "n_subjects": "raters",
    }

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless ratings and controls are numbers, and there is one image of each person."""
        super().check(labels)
        if self.raters:
            self._single(labels)
        for what in ("controls",) if self.raters else ("controls", "ratings"):
            for column in getattr(self, what):
                check_column(column, what, labels)
                check_numbers(column, what, labels)
        if self.people and labels[self.people].duplicated().any():
            raise InputError(
                f"expected one image of each person, but column {self.people!r} has "
                f"{labels[self.people].nunique()} people in {len(labels)} images: choose with "
                "`select`."
            )

    def results(self, study: Study) -> list[analyses.Averageness]:
        """Compare ratings with measures of shape, and of a layer of each network."""
        ids = list(study.stimuli.ids)
        table = self._single(study.labels) if self.raters else study.labels[self.ratings]
        layers = study.layers(self.layer)
        return [
            analyses.averageness(
                points_of(self.landmarks, study),
                table if self.raters else table.astype(float),
                embeddings={
                    name: pd.DataFrame(study.layer(name, at)[at], ids)
                    for name, at in layers.items()
                },
                within=study.cells(self.within),
                controls=study.labels[self.controls].astype(float) if self.controls else None,
                rater="rater" if self.raters else None,
                face="stimulus",
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
        ]

    def _single(self, labels: pd.DataFrame) -> pd.DataFrame:
        """Return ratings of single raters of the stimuli."""
        text, what = ["rater", "stimulus"], "a table of ratings"
        table = read_table(self.raters, numbers=self.ratings, text=text, what=what)
        table = table[table["stimulus"].isin(labels.index)]
        if lacking := sorted(set(labels.index) - set(table["stimulus"])):
            raise InputError(
                f"expected ratings of every stimulus in {self.raters}, but {len(lacking)} have "
                f"none, such as {lacking[0]!r}."
            )
        return table[["rater", "stimulus", *self.ratings]]
