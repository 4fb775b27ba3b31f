"""Whether two labels share directions in each layer."""

from __future__ import annotations

from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import Answer, Question, Study, cells, permutations


class Congruence(Question):
    """Whether two labels share directions in each layer."""

    analysis: Literal["congruence"] = key("Which question is asked.")
    first: str = key("Column of the first label.")
    second: str = key("Column of the second label.")
    across: str | None = key(
        "Column of people, who are split and exchanged whole. By default `identity` or `person` "
        "where images repeat people.",
        None,
    )
    within: str | list[str] | None = cells()
    directions: Literal["means", "readout"] = key(
        "Directions of class means, or of a linear read-out of each label.", "means"
    )
    n_dimensions: int = key("Dimensions of each subspace at most.", 10, ge=1)
    n_permutations: int = permutations(1000)

    label_keys: ClassVar = ("first", "second", "across", "within")
    people_key: ClassVar = "across"
    columns: ClassVar = (
        "network",
        "layer",
        "congruence",
        "null_low",
        "null_high",
        "p_less",
        "p_greater",
        "corrected",
    )
    highest: ClassVar = "congruence"
    one_of_each: ClassVar = ("network",)
    effect: ClassVar = "congruence"
    p: ClassVar = "p_greater"
    marks: ClassVar = (
        "Curves: congruence less the mean of its null by relative depth of the layer (1: the "
        "last); bands: middle 95 % of the null; filled: outside it, not corrected."
    )
    how: ClassVar = (
        "overlap of the subspaces in which each layer holds both labels, against directions "
        "that say nothing of the second label"
    )
    generalises_to: ClassVar = ""
    meanings: ClassVar = {
        "congruence": "from 0, orthogonal, to 1, one subspace holds the other",
        "null_mean": "mean congruence with directions that say nothing of the second label",
        "null_low": "lower end of the middle 95 % of these",
        "null_high": "upper end of the middle 95 % of these",
        "p_less": "one-sided: directions are shared less than by chance",
        "p_greater": "one-sided: directions are shared more than by chance",
        "reliability_first": "of the subspace of the first label, between halves",
        "reliability_second": "of the subspace of the second label, between halves",
        "corrected": "congruence between halves over the geometric mean of the reliabilities",
        "n_dimensions_first": "dimensions of the first label's subspace",
        "n_dimensions_second": "dimensions of the second label's subspace",
        "excess": "congruence less the mean of its null",
        "tucker": "mean absolute cosine of the leading directions of one label with the other's",
        "tucker_null_mean": "mean of it with directions that say nothing of the second label",
        "tucker_null_low": "lower end of the middle 95 % of these",
        "tucker_null_high": "upper end of the middle 95 % of these",
        "tucker_excess": "Tucker's coefficient less the mean of its null",
        "tucker_p_less": "one-sided: directions are less alike than by chance",
        "tucker_p_greater": "one-sided: directions are more alike than by chance",
        "room": "dimensions of the layer; too few for both subspaces: no numbers",
    }

    def title(self) -> str:
        """Return both labels."""
        return f"congruence of {self.first} and {self.second}"

    def _sentence(self, row: pd.Series) -> str:
        text = super()._sentence(row).removesuffix(".")
        low, high = row["null_low"], row["null_high"]
        return f"{text}; by chance {low:.3f} to {high:.3f}."

    def answer(self, study: Study) -> Answer:
        """Compare the subspaces of both labels in each layer."""
        from rsa_faces.figures import plot_congruence

        results = [
            analyses.congruence(
                activations,
                study.labels[self.first],
                study.labels[self.second],
                across=study.column(self.across),
                within=study.cells(self.within),
                directions=self.directions,
                n_dimensions=self.n_dimensions,
                n_permutations=self.n_permutations,
                names=(self.first, self.second),
                seed=study.seed,
                progress=False,
            )
            for activations in study.features.values()
        ]
        table = pd.concat([result.table for result in results])
        return table, [plot_congruence(results)]
