"""What each layer tells linearly of one label."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import Section, key
from rsa_faces.analyses._task import check_task
from rsa_faces.runs._held_out import FOLD_MEANINGS, held_out_folds
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Question,
    Study,
    cells,
    cells_of,
    check_numbers,
    people,
    permutations,
)

#: Columns of tables of read-outs.
MEANINGS = {
    "task": "the label that is read out",
    "accuracy": "share of images told right, in folds that were not trained on (classes)",
    "balanced_accuracy": "the mean over classes of their accuracy",
    "r": "correlation of labels and predictions out of sample (numbers)",
    "r2": "1 − squared error over that of the training mean; below 0 is worse than the mean",
    "chance": "mean accuracy, or r, of permuted labels",
    "n_groups": "groups of `across`, left out in turn",
    "n_classes": "classes of the label",
}


class Task(Section):
    """Labels that are read out of features, and what may not be shared by training and test."""

    labels: str = key("Column that is read out.")
    across: str | None = key("Column whose values are not shared by training and test.", None)
    people: str | None = people()
    within: str | list[str] | None = cells()
    values: Literal["class", "number"] = key("Whether labels are classes or numbers.", "class")

    classifier: Literal["ridge", "softmax"] = key(
        "How classes are told: ridge regression on one-hot labels, or a softmax layer "
        "(trained anew for each permutation: hundreds of times slower).",
        "ridge",
    )

    def arguments(self, labels: pd.DataFrame) -> dict[str, Any]:
        """Return the arguments of a read-out."""
        columns = {"labels": self.labels, "across": self.across, "people": self.people}
        given = {key: labels[name] for key, name in columns.items() if name is not None}
        if self.within is not None:
            given["within"] = cells_of(labels, self.within)
        return {**given, "kind": self.values, "classifier": self.classifier}


class Readout(Question, Task):
    """A linear read-out of one label from each layer."""

    analysis: Literal["readout"] = key("Which question is asked.")
    n_permutations: int = permutations(1000)

    label_keys: ClassVar = ("labels", "across", "people", "within")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "network",
        "layer",
        "accuracy",
        "r",
        "ci_low",
        "ci_high",
        "chance",
        "p_corrected",
        *FOLD_MEANINGS,
    )
    one_of_each: ClassVar = ("network",)
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Curves: accuracy or correlation on held-out images by relative depth of the layer "
        "(1: the last), with 95 % intervals; filled: above chance (dashed), corrected over "
        "layers."
    )
    how: ClassVar = (
        "a linear read-out of each layer (ridge regression unless `classifier: softmax`), judged "
        "on groups that were not trained on; intervals draw people, p values permute labels and "
        "are corrected over layers; the best layer is judged in folds that did not choose it"
    )
    meanings: ClassVar = MEANINGS | FOLD_MEANINGS

    @property
    def highest(self) -> str:  # type: ignore[override]  # for each instance its own
        """What layers are ranked by."""
        return "accuracy" if self.values == "class" else "r"

    effect = highest

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless the label can be read out."""
        super().check(labels)
        if self.values == "number":
            check_numbers(self.labels, "labels", labels)
        check_task(**self.arguments(labels))

    def title(self) -> str:
        """Return the label, and what it is read across."""
        return f"readout of {self.labels}{f' across {self.across}' if self.across else ''}"

    def answer(self, study: Study) -> Answer:
        """Read the label out of each layer."""
        from rsa_faces.figures import plot_readout

        results = [
            analyses.readout(
                activations,
                **self.arguments(study.labels),
                task=self.title().removeprefix("readout of "),
                n_permutations=self.n_permutations,
                seed=study.seed,
                progress=False,
            )
            for activations in study.features.values()
        ]
        tables = [
            result.table.assign(**held_out_folds(result.predictions, classes=bool(result.classes)))
            for result in results
        ]
        return pd.concat(tables), [plot_readout(results)]
