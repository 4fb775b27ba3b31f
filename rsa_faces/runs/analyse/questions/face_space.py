"""How faces vary in shape and in appearance."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import Answer, Question, Study
from rsa_faces.runs.analyse.questions.landmarks import points_of


class FaceSpace(Question):
    """Components of shape and of appearance."""

    analysis: Literal["face space"] = key("Which question is asked.")
    landmarks: Path = key("File with `files` and `points`, in pixels (.npz).")
    region: Literal["frame", "face", "eyes"] = key(
        "Pixels that vary: all, within the landmarks, or a window around the eyes of "
        "images that are not warped.",
        "frame",
    )
    template: str = key("Which landmarks are the pupils, for `region: eyes`.", "london-189")
    n_shape: int = key("Components of shape.", 25, ge=1)
    n_appearance: int = key("Components of appearance.", 25, ge=1)

    columns: ClassVar = ("component", "explained", "cumulative")
    marks: ClassVar = (
        "Rows: components; columns: steps in standard deviations. Green frames: mixtures of "
        "known faces; orange, dashed: extrapolated."
    )
    how: ClassVar = (
        "principal components of landmarks, and of images warped to the mean shape (or, of a "
        "window around the eyes, moved, turned and scaled by the pupils only)"
    )
    generalises_to: ClassVar = ""
    meanings: ClassVar = {
        "component": "component of shape or of appearance",
        "part": "shape or appearance",
        "sd": "standard deviation of the faces along the component",
        "explained": "share of the part's variance, 0 to 1",
        "cumulative": "the same, of this and the components before",
    }

    def findings(self, table: pd.DataFrame) -> list[str]:
        """Return what the components explain together."""
        part = table["component"].astype(str).str.split().str[0]
        return [
            f"{len(rows)} components of {name} explain {rows['cumulative'].iloc[-1]:.3f} of its "
            f"variance, the first {rows['explained'].iloc[0]:.3f}."
            for name, rows in table.groupby(part, sort=False)
        ]

    def answer(self, study: Study) -> Answer:
        """Make the space of the faces."""
        from rsa_faces.figures import plot_components

        space = analyses.face_space(
            study.stimuli,
            points_of(self.landmarks, study),
            region=self.region,
            template=self.template,
            n_shape=self.n_shape,
            n_appearance=self.n_appearance,
            progress=False,
        )
        drawn = min(3, self.n_shape, self.n_appearance)
        return space.components, [plot_components(space, drawn)]
