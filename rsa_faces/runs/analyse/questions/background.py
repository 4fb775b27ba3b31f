"""How many units follow the background more than the face."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import EffectsQuestion, Study, people
from rsa_faces.runs.analyse.questions.landmarks import points_of


class Background(EffectsQuestion):
    """Units that change without the background, and without the face."""

    analysis: Literal["background"] = key("Which question is asked.")
    landmarks: Path = key(
        "File with `files` and `points` (.npz), in pixels of your images: their hull is the face."
    )
    people: str | None = people()
    scale: float = key("The hull is made larger by this.", 1.0, gt=0)

    label_keys: ClassVar = ("people",)
    people_key: ClassVar = "people"
    columns: ClassVar = ("network", "layer", "share", "ci_low", "ci_high", "index", "area")
    highest: ClassVar = "share"
    one_of_each: ClassVar = ("network",)
    effect: ClassVar = "share"
    p: ClassVar = ""
    marks: ClassVar = (
        "Curves: share of units that change more for each hidden pixel of the background than of "
        "the face, with 95 % intervals over people."
    )
    how: ClassVar = (
        "the background, or the face (hull of its landmarks), is made grey; share of units of each "
        "layer with the larger change per pixel without the background; intervals draw people"
    )
    meanings: ClassVar = {
        "share": "units that change more per pixel of the background than of the face",
        "share_whole": "units that change more without all background than without the face",
        "index": "mean over units of (b - f) / (b + f), changes per pixel",
        "area": "the background's mean share of the image",
        "n_units": "units that change at all",
    }

    def results(self, study: Study) -> list[analyses.BackgroundUnits]:
        """Ask each network."""
        points = points_of(self.landmarks, study)
        return [
            analyses.background_units(
                study.network(name),
                study.shown(name),
                study.placed(name, points),
                layers=list(activations),
                people=study.column(self.people),
                scale=self.scale,
                budget=study.budget,
                seed=study.seed,
                progress=False,
            )
            for name, activations in study.features.items()
        ]
