"""How scores within groups of people differ from those between them."""

from __future__ import annotations

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
)


class Groups(Question):
    """False matches of one layer within and between groups of people."""

    analysis: Literal["groups"] = key("Which question is asked.")
    groups: str = key("Column of groups that people chose for themselves.")
    people: str | None = people()
    layer: Layer = layer()
    measure: ScoreMeasure = score_measure()
    fmr: float = key("False match rate that sets the threshold.", 0.01, gt=0, lt=1)
    n_permutations: int = permutations(1999)

    label_keys: ClassVar = ("groups", "people")
    of_person: ClassVar = ("groups",)
    people_key: ClassVar = "people"
    columns: ClassVar = ("network", "group_a", "group_b", "n_pairs", "rate", "ci_low", "ci_high")
    one_of_each: ClassVar = ("network", "group_a", "group_b")
    effect: ClassVar = "rate"
    marks: ClassVar = (
        "Cells: rate of false matches in per cent, its interval, and the number of pairs "
        "that match."
    )
    how: ClassVar = (
        "share of pairs of different people at or above a threshold of the scores; intervals "
        "draw people"
    )
    meanings: ClassVar = {
        "group_a": "group of one face; the row's threshold is this group's",
        "group_b": "group of the other face",
        "n_people_a": "people of group a",
        "n_people_b": "people of group b",
        "n_pairs": "pairs of images of different people",
        "n_false": "pairs at or above the threshold",
        "rate": "share of false matches, 0 to 1",
        "threshold": "score from which two images count as one person",
    }

    def title(self) -> str:
        """Return what groups them."""
        return f"groups by {self.groups}"

    def answer(self, study: Study) -> Answer:
        """Count false matches for each pair of groups."""
        from rsa_faces.figures import plot_false_matches

        layers = study.layers(self.layer)
        results = {
            name: analyses.false_matches(
                scores_of(study, name, layers[name], self.measure),
                study.labels[self.groups],
                people=study.column(self.people),
                fmr=self.fmr,
                seed=study.seed,
                n_permutations=self.n_permutations,
            )
            for name in study.features
        }
        tables = [
            result.table.assign(network=name, layer=layers[name])
            for name, result in results.items()
        ]
        return in_front(tables, "network", "layer"), [plot_false_matches(results)]
