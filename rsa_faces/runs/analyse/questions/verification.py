"""How well people are verified by templates of several images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from rsa_faces import analyses
from rsa_faces.runs.analyse.questions._base import Answer, Layer, Question, Study, layer


class Verification(Question):
    """True accept rates at false accept rates, of templates of one or several images."""

    analysis: Literal["verification"] = Field(description="Which question is asked.")
    people: str = Field(description="Column that says which person an image shows.")
    templates: str | None = Field(
        default=None,
        description="Column that says which template an image belongs to; every image is one by "
        "default.",
    )
    media: str | None = Field(
        default=None,
        description="Column of media, such as videos: images of one are averaged first.",
    )
    pairs: Path | None = Field(
        default=None,
        description="File of the pairs of templates that are compared, as IJB or YouTube Faces "
        "have them; all by default.",
    )
    fars: list[float] = Field(
        default=[0.1, 0.01, 0.001, 0.0001], min_length=1, description="False accept rates."
    )
    layer: Layer = layer()

    label_keys: ClassVar = ("people", "templates", "media")
    columns: ClassVar = ("network", "layer", "far", "tar", "ci_low", "ci_high", "n_different")
    one_of_each: ClassVar = ("network", "far")
    effect: ClassVar = "tar"
    marks: ClassVar = (
        "Curves: true accept rate by false accept rate, from the lowest that can be measured; "
        "points: rates asked for, with 95 % intervals."
    )
    how: ClassVar = (
        "cosines of templates, the mean of images of length 1, of media first; intervals draw "
        "people, thresholds included"
    )
    meanings: ClassVar = {
        "far": "share of pairs of two people that may be accepted",
        "tar": "share of pairs of one person accepted then; empty where it cannot be measured",
        "threshold": "lowest cosine that is accepted",
        "n_same": "pairs of templates of one person",
        "n_different": "pairs of templates of two people",
        "n_needed": "pairs of two people that the rate needs",
        "n_templates": "templates",
    }

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rates that can be measured."""
        return table[table["tar"].notna()]

    def answer(self, study: Study) -> Answer:
        """Verify people by templates."""
        from rsa_faces.figures import plot_template_verification
        from rsa_faces.networks.training import read_template_pairs

        names = list(study.labels.index)
        rows = pd.DataFrame({"file": names, "subject": study.labels[self.people].to_list()})
        for column, key in (("template", self.templates), ("media", self.media)):
            rows[column] = names if key is None else study.labels[key].to_list()
        pairs = None if self.pairs is None else read_template_pairs(self.pairs)
        results = [
            analyses.template_verification(
                study.layer(name, layer_name), rows, pairs, fars=self.fars
            )
            for name, layer_name in study.layers(self.layer).items()
        ]
        table = pd.concat([result.table for result in results], ignore_index=True)
        return table, [plot_template_verification(results)]
