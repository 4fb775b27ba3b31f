"""Which principal components of the scores go with groups of people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from rsa_faces import analyses
from rsa_faces._core.configurations import key
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


class Components(Question):
    """Principal components of the scores of one layer, and whether they go with groups."""

    analysis: Literal["components"] = key("Which question is asked.")
    groups: list[str] = key("Columns of groups.", min_length=1)
    people: str | None = people()
    within: str | None = within()
    layer: Layer = layer()
    measure: ScoreMeasure = score_measure()
    centring: Literal["columns", "both"] = key(
        "What is subtracted from the scores before.", "columns"
    )
    n_components: int = key("Components that are tested.", 10, ge=2)
    n_permutations: int = permutations(9999)

    label_keys: ClassVar = ("groups", "people", "within")
    of_person: ClassVar = ("groups", "within")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "network",
        "attribute",
        "component",
        "explained",
        "between_group_share",
        "expected_share",
        "p_max",
    )
    highest: ClassVar = "between_group_share"
    one_of_each: ClassVar = ("network", "attribute")
    effect: ClassVar = "between_group_share"
    p: ClassVar = "p_max"
    marks: ClassVar = (
        "Left: faces on the first two components. Right: share of each component's variance "
        "between groups (filled: separates groups, corrected); lines: mean of permuted "
        "groups."
    )
    how: ClassVar = (
        "principal components of the scores against groups that are permuted over people, "
        "corrected over components"
    )
    meanings: ClassVar = {
        "attribute": "the column of groups",
        "component": "principal component of the scores, from 1",
        "explained": "share of the variance of the scores, 0 to 1",
        "clustering_index": "small where the component separates groups, 0 to 1",
        "between_group_share": "1 − clustering index: large where it does",
        "expected_share": "mean between-group share of permuted groups",
        "n_groups": "groups of the attribute",
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return one of each network and column of groups."""
        return [f"{name} by {group}" for name in networks for group in self.groups]

    def answer(self, study: Study) -> Answer:
        """Compare components with groups."""
        from rsa_faces.figures import plot_group_components

        tables, figures = [], []
        for name, layer_name in study.layers(self.layer).items():
            result = analyses.group_components(
                scores_of(study, name, layer_name, self.measure),
                study.labels[self.groups],
                n_components=self.n_components,
                centring=self.centring,
                people=study.column(self.people),
                within=study.column(self.within),
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
            tables.append(result.table.assign(network=name, layer=layer_name))
            figures += [plot_group_components(result, attribute=group) for group in self.groups]
        return in_front(tables, "network", "layer"), figures
