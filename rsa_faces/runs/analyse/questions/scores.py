"""How scores within groups of people and between them are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces._core.words import number, p_sentence
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Layer,
    Question,
    ScoreMeasure,
    Study,
    in_front,
    layer,
    people,
    permutations,
    score_measure,
    scores_of,
    within,
)


class Scores(Question):
    """Distributions of scores of one layer within and between groups of people."""

    analysis: Literal["scores"] = key("Which question is asked.")
    groups: str = key("Column of groups that people chose for themselves.")
    people: str | None = people()
    within: str | None = within()
    layer: Layer = layer()
    measure: ScoreMeasure = score_measure()
    n_permutations: int = permutations(9999)

    label_keys: ClassVar = ("groups", "people", "within")
    of_person: ClassVar = ("groups", "within")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "network",
        "kind",
        "group_a",
        "group_b",
        "n_pairs",
        "mean",
        "ci_low",
        "ci_high",
    )
    effect: ClassVar = "difference"
    marks: ClassVar = "Areas: all pairs; dots and lines: means with 95 % intervals over people."
    how: ClassVar = (
        "scores of pairs of different people within groups and between them; intervals draw "
        "people, p values permute groups over people"
    )
    meanings: ClassVar = {
        "kind": "mated: two images of a person; within, between: different people of one or two "
        "groups",
        "group_a": "group of one face; empty for all together",
        "group_b": "group of the other face",
        "n_pairs": "pairs of images",
        "mean": "mean score",
        "sd": "standard deviation of the scores",
        "q05": "5 % of scores are below",
        "median": "median score",
        "q95": "95 % of scores are below",
        "difference": "mean score of pairs within groups less that of pairs between them",
        "difference_low": "lower end of the 95 % interval of the difference",
        "difference_high": "upper end of the 95 % interval of the difference",
        "p": "one-sided: within is larger than between (groups permuted over people)",
    }

    def title(self) -> str:
        """Return what groups them."""
        return f"scores by {self.groups}"

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return one of each network."""
        return list(networks)

    def findings(self, table: pd.DataFrame) -> list[str]:
        """Return the difference of each network."""
        return [
            f"{row.network}: scores within groups less those between them {number(row.difference)} "
            f"(95 % interval {number(row.difference_low)} to {number(row.difference_high)}, "
            f"{p_sentence(row.p)})."
            for row in table.drop_duplicates("network").itertuples()
        ]

    def answer(self, study: Study) -> Answer:
        """Describe scores by kind of pair."""
        from rsa_faces.figures import plot_score_distributions

        tables, figures = [], []
        for name, layer_name in study.layers(self.layer).items():
            result = analyses.score_distributions(
                scores_of(study, name, layer_name, self.measure),
                study.labels[self.groups],
                people=study.column(self.people),
                within=study.column(self.within),
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
            summary = result.summary.iloc[0]
            tables.append(
                result.table.assign(
                    network=name,
                    layer=layer_name,
                    difference=summary["difference"],
                    difference_low=summary["ci_low"],
                    difference_high=summary["ci_high"],
                    p=summary["p"],
                )
            )
            figures.append(plot_score_distributions(result))
        return in_front(tables, "network", "layer"), figures
