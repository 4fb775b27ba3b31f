"""Whether flags rise and stability falls as images get worse, by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import Answer, Layer, Question, Study, in_front, layer


class Confidence(Question):
    """Whether flags rise as images get worse, for people who did not set them."""

    analysis: Literal["confidence"] = key("Which question is asked.")
    people: str = key("Column that says which person an image shows.")
    groups: str | None = key("Column of groups, told apart.", None)
    equal_groups: bool = key("Set the flag for each group, so that rates are equal.", False)
    layer: Layer = layer()
    degradations: list[str] | None = key("Ways in which images get worse; all by default.", None)
    strengths: list[int] = key("How much worse, from 1 to 5.", [1, 3, 5])
    method: Literal["neighbours", "mahalanobis"] = key(
        "How far an image is from those that set the flag.", "neighbours"
    )
    alpha: float = key("Share of good images that may be flagged.", 0.05, gt=0, lt=1)
    n_variants: int = key("Variants of each image for stability.", 4, ge=1)

    label_keys: ClassVar = ("people", "groups")
    of_person: ClassVar = ("groups",)
    columns: ClassVar = (
        "network",
        "degradation",
        "strength",
        "group",
        "n_images",
        "share",
        "low",
        "high",
        "stability",
        "covered",
    )
    highest: ClassVar = "strength"
    one_of_each: ClassVar = ("network", "degradation", "group")
    effect: ClassVar = "share"
    marks: ClassVar = (
        "Curves: images at each strength (0: clean) by group, with 95 % intervals; dashed: "
        "the rate asked for."
    )
    how: ClassVar = (
        "a flag set on some people and judged on others while images get worse; intervals "
        "draw people"
    )
    meanings: ClassVar = {
        "group": "group of people; `all` for all together",
        "n_images": "images that were judged",
        "share": "share of images that are flagged, mean over people",
        "low": "lower end of the 95 % interval of the share",
        "high": "upper end of the 95 % interval of the share",
        "stability": "mean over people: how little variants of an image move it",
        "stability_low": "lower end of its 95 % interval",
        "stability_high": "upper end of its 95 % interval",
        "covered": "share of images whose similarity to the person's others was as said "
        "beforehand, mean over people",
        "covered_low": "lower end of its 95 % interval",
        "covered_high": "upper end of its 95 % interval",
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return two of each network."""
        return [f"{sign} of {name}" for name in networks for sign in ("flags", "stability")]

    def _sentence(self, row: pd.Series) -> str:
        worse = "" if row["degradation"] == "none" else f" of strength {row['strength']}"
        return (
            f"{row['network']}, {row['degradation']}{worse}, {row['group']}: "
            f"{row['share']:.3f} flagged (95 % interval {row['low']:.3f} to {row['high']:.3f}, "
            f"{row['n_people']} people)."
        )

    def answer(self, study: Study) -> Answer:
        """Flag images that get worse."""
        from rsa_faces.figures import plot_flags

        tables, figures = [], []
        for name, layer_name in study.layers(self.layer).items():
            result = analyses.check_confidence(
                study.network(name),
                study.shown(name),
                study.labels[self.people],
                groups=study.column(self.groups),
                layer=layer_name,
                equal_groups=self.equal_groups,
                degradations=self.degradations,
                strengths=self.strengths,
                method=self.method,
                alpha=self.alpha,
                n_variants=self.n_variants,
                seed=study.seed,
                progress=False,
            )
            tables.append(result.table.assign(network=name, layer=layer_name))
            for sign in ("share", "stability"):
                figures.append(plot_flags(result.table, value=sign, alpha=self.alpha))
        return in_front(tables, "network", "layer"), figures
