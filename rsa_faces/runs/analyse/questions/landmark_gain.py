"""Whether landmarks tell what an embedding does not."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import EffectsQuestion, Layer, Study, layer
from rsa_faces.runs.analyse.questions.landmarks import points_of


class LandmarkGain(EffectsQuestion):
    """Landmarks added to one layer of each network: recognition, and read-outs if you like."""

    analysis: Literal["landmark gain"] = key("Which question is asked.")
    landmarks: Path = key("File with `files` and `points`, in pixels (.npz).")
    template: str = key("Which landmarks these are, in which order.", "london-189")
    relative: bool = key("Measure in distances between the pupils, not in pixels.", True)
    people: str = key("Column that says which person an image shows.")
    labels: list[str] = key("Columns that are read out: numbers as numbers, others as classes.", [])
    layer: Layer = layer()

    label_keys: ClassVar = ("people", "labels")
    columns: ClassVar = ("network", "layer", "what", "features", "value", "ci_low", "ci_high", "p")
    one_of_each: ClassVar = ("network", "what", "features")
    marks: ClassVar = (
        "Dots: area under the curve of recognition, accuracy of classes, r2 of numbers, held out, "
        "with 95 % intervals; filled: a gain with p within alpha."
    )
    how: ClassVar = (
        "embedding, relative measurements between landmarks, and both, weighted on other people "
        "than they are judged on; the same samples of people for all"
    )
    meanings: ClassVar = {
        "what": "recognition (area under the curve), or what is read out (accuracy; r2 of numbers)",
        "features": "embedding, landmarks, both, or both less embedding (gain)",
        "value": "area under the curve, accuracy or r2, or their difference",
        "p": "two-sided, of the gain (people drawn)",
        "weight": "what landmarks count in recognition beside an embedding that counts 1",
    }

    def results(self, study: Study) -> list[analyses.LandmarkGain]:
        """Add landmarks to one layer of each network."""
        points = points_of(self.landmarks, study)
        measured = analyses.measure_landmarks(
            points, template=self.template, relative=self.relative
        )
        return [
            analyses.landmark_gain(
                study.layer(name, layer_name),
                measured,
                study.labels[self.people],
                study.labels[self.labels] if self.labels else None,
                seed=study.seed,
            )
            for name, layer_name in study.layers(self.layer).items()
        ]
