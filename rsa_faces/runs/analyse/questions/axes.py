"""What the axes of cells span in a space of the faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces._core.tables import read_table
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Question,
    Study,
    people,
    permutations,
)
from rsa_faces.runs.analyse.questions.encoding import responses_of
from rsa_faces.runs.analyse.questions.landmarks import points_of


class Axes(Question):
    """Axes of cells in a space of shape and appearance: span, angles, places."""

    analysis: Literal["axes"] = key("Which question is asked.")
    landmarks: Path = key("File with `files` and `points`, in pixels (.npz).")
    responses: Path = key(
        "Table of responses: a column `stimulus`, one for each cell, voxel or "
        "electrode, and `repeat` where there are several."
    )
    places: Path | None = key(
        "Table of places: a column `cell`, and coordinates in columns of numbers; "
        "and `recording` where places are compared inside a recording (subject) only.",
        None,
    )
    n_shape: int = key("Components of shape.", 10, ge=1)
    n_appearance: int = key("Components of appearance.", 10, ge=1)
    people: str | None = people()
    n_permutations: int = permutations(1000)

    label_keys: ClassVar = ("people",)
    people_key: ClassVar = "people"
    columns: ClassVar = ("question", "value", "ci_low", "ci_high", "expected", "p")
    one_of_each: ClassVar = ("question",)
    effect: ClassVar = "value"
    p: ClassVar = "p"
    marks: ClassVar = (
        "Components of the axes, cosines of two axes, and mean cosine by distance of cells; grey: "
        "95 % of random axes of the same lengths and noise, or of exchanged places."
    )
    how: ClassVar = (
        "least squares of responses on components of shape and appearance; products of axes freed "
        "of noise; intervals leave out cells, p values compare with random axes of the same "
        "lengths and noise, or exchange places of cells"
    )
    generalises_to: ClassVar = "cells, for these faces"
    meanings: ClassVar = {
        "question": "what of the axes is asked",
        "value": "dimensions, squared cosine, cosine, or its change per unit of distance",
        "expected": "the value where there is nothing: of random axes, or 0",
        "random_low": "lower end of what 95 % of random axes (or exchanged places) give",
        "random_high": "upper end of what 95 % of random axes (or exchanged places) give",
        "p": "dimensions: fewer; squared cosine: smaller; others: two-sided",
        "n_cells": "cells, voxels or electrodes",
        "n_faces": "faces shown",
        "n_dimensions": "components of the space",
    }

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless there are responses to every image, and places of every cell."""
        super().check(labels)
        responses_of(self.responses, list(labels.index))
        self._places()

    def answer(self, study: Study) -> Answer:
        """Ask what axes span in the space of the faces."""
        from rsa_faces.figures import plot_axis_geometry

        space = analyses.face_space(
            study.stimuli,
            points_of(self.landmarks, study),
            n_shape=self.n_shape,
            n_appearance=self.n_appearance,
            progress=False,
        )
        places, recording = self._places()
        found = analyses.axis_geometry(
            space,
            responses_of(self.responses, list(study.stimuli.ids)),
            places=places,
            across=study.column(self.people),
            within=recording,
            n_permutations=self.n_permutations,
            seed=study.seed,
            progress=False,
        )
        return found.table, [plot_axis_geometry(found)]

    def _places(self) -> tuple[pd.DataFrame | None, pd.Series | None]:
        """Return coordinates of the cells, and the recording of each."""
        if self.places is None:
            return None, None
        options: dict[str, Any] = {"what": "a table of places", "text": ["cell", "recording"]}
        options["optional"] = ["recording"]
        numbers = [c for c in read_table(self.places, **options) if c not in options["text"]]
        table = read_table(self.places, numbers=numbers, **options).set_index("cell")
        return table[numbers], table.get("recording")
