"""How well people are verified by templates of several images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import Answer, Layer, Question, Study, layer


class Verification(Question):
    """True accept rates at false accept rates, of templates of one or several images."""

    analysis: Literal["verification"] = key("Which question is asked.")
    people: str = key("Column that says which person an image shows.")
    templates: str | None = key(
        "Column that says which template an image belongs to; every image is one by default.", None
    )
    media: str | None = key(
        "Column of media, such as videos: images of one are averaged first.", None
    )
    pairs: Path | None = key(
        "File of the pairs of templates that are compared, as IJB or YouTube Faces "
        "have them; all by default.",
        None,
    )
    fars: list[float] = key("False accept rates.", [0.1, 0.01, 0.001, 0.0001], min_length=1)
    layer: Layer = layer()

    label_keys: ClassVar = ("people", "templates", "media")
    columns: ClassVar = ("network", "layer", "far", "tar", "ci_low", "ci_high", "n_different")
    one_of_each: ClassVar = ("network", "far")
    effect: ClassVar = "tar"
    marks: ClassVar = (
        "Curves: true accept rate by false accept rate, from the lowest that can be measured; "
        "points: rates asked for, with 95 % intervals; stars: rates that differ from the first "
        "network's (p ≤ .05)."
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
        "against": "network and layer whose rate is subtracted: the first of the study",
        "difference": "true accept rate less that of the first network, over the same pairs",
        "difference_low": "lower end of its 95 % interval; empty where a rate has none",
        "difference_high": "upper end of its 95 % interval",
        "p_difference": "two-sided: the rates differ",
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
        for name, column in (("template", self.templates), ("media", self.media)):
            rows[name] = names if column is None else study.labels[column].to_list()
        pairs = None if self.pairs is None else read_template_pairs(self.pairs)
        first, results = None, []
        for name, layer_name in study.layers(self.layer).items():
            acts = study.layer(name, layer_name)
            results.append(
                analyses.template_verification(acts, rows, pairs, against=first, fars=self.fars)
            )
            first = acts if first is None else first
        table = pd.concat([result.table for result in results], ignore_index=True)
        return table, [plot_template_verification(results)]
