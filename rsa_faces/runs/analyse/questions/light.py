"""Whether evening out light helps to recognise people."""

from __future__ import annotations

from typing import ClassVar, Literal

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import EffectsQuestion, Layer, Study, layer


class Light(EffectsQuestion):
    """Recognition in bad light with and without a normalisation, paired."""

    analysis: Literal["light"] = key("Which question is asked.")
    people: str = key("Column that says which person an image shows.")
    layer: Layer = layer()
    methods: list[Literal["equalisation", "self-quotient"]] = key(
        "How light is evened out.", ["equalisation", "self-quotient"], min_length=1
    )
    degradations: list[str] = key("Ways in which light gets worse.", ["low-light", "half-light"])
    strengths: list[int] = key("How much worse, from 1 to 5.", [1, 3, 5], min_length=1)

    label_keys: ClassVar = ("people",)
    columns: ClassVar = (
        "network",
        "light",
        "normalisation",
        "auc_without",
        "auc",
        "gain",
        "gain_low",
        "gain_high",
        "p_corrected",
    )
    one_of_each: ClassVar = ("network", "light", "normalisation")
    effect: ClassVar = "gain"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Dots: area under the curve with a normalisation less that without, 95 % intervals; "
        "filled: p within alpha, corrected."
    )
    how: ClassVar = (
        "images in bad light against clean ones, both normalised or neither; the same images and "
        "samples of people for both, p values by these samples, corrected (Holm)"
    )
    meanings: ClassVar = {
        "light": "degradation and its strength; clean: as photographed",
        "level": "the strength in the degradation's own unit",
        "unit": "the unit of `level`",
        "normalisation": "how light is evened out",
        "auc_without": "area under the curve without; 0.5 is chance",
        "auc": "area under the curve with it",
        "gain": "auc less auc_without",
        "gain_low": "lower end of its 95 % interval (people drawn)",
        "gain_high": "upper end of its 95 % interval",
        "p": "two-sided, of the gain (people drawn)",
        "p_corrected": "corrected for the rows of a network (Holm)",
    }

    def results(self, study: Study) -> list[analyses.LightGain]:
        """Compare recognition with and without."""
        return [
            analyses.light_gain(
                study.network(name),
                study.shown(name),
                study.labels[self.people],
                layer=layer_name,
                methods=self.methods,
                degradations=self.degradations,
                strengths=self.strengths,
                budget=study.budget,
                seed=study.seed,
                progress=False,
            )
            for name, layer_name in study.layers(self.layer).items()
        ]
