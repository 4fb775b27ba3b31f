"""What one layer of each network tells of each label."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs._people import people_column
from rsa_faces.runs._sentences import about
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Layer,
    Question,
    Study,
    layer,
    permutations,
)
from rsa_faces.runs.analyse.questions.readout import MEANINGS, Readout, Task


class Transfer(Question):
    """Read-outs of several labels from one layer of each network."""

    analysis: Literal["transfer"] = key("Which question is asked.")
    tasks: dict[str, Task] = key("Read-outs by name.", min_length=1)
    layer: Layer = layer()
    n_permutations: int = permutations(1000)

    columns: ClassVar = (
        "trained",
        "layer",
        "task",
        "accuracy",
        "r",
        "ci_low",
        "ci_high",
        "chance",
        "p",
    )
    one_of_each: ClassVar = ("trained", "task")
    effect: ClassVar = "accuracy"
    p: ClassVar = "p"
    marks: ClassVar = (
        "Cells: score on held-out images, in brackets chance; colours from chance to perfect."
    )
    how: ClassVar = (
        "read-out of each label from one layer of each network by ridge regression, judged on "
        "groups that were not trained on; intervals draw people, p values permute labels and "
        "are not corrected over networks and labels"
    )
    meanings: ClassVar = MEANINGS | {"trained": "the network whose layer is read"}

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless each label can be read out."""
        for name, task in self.tasks.items():
            own = Readout(analysis="readout", **task.model_dump())
            with about(f"tasks.{name}"):
                own.check(labels)

    def with_people(self, labels: pd.DataFrame) -> tuple[Self, str]:
        """Return the question with people told apart in each task."""
        column = people_column(labels)
        if not column or all(task.people is not None for task in self.tasks.values()):
            return self, ""
        tasks = {
            name: task if task.people else task.model_copy(update={"people": column})
            for name, task in self.tasks.items()
        }
        return self.model_copy(update={"tasks": tasks}), column

    def answer(self, study: Study) -> Answer:
        """Read each label out of each network."""
        from rsa_faces.figures import plot_transfer

        table = analyses.transfer_matrix(
            study.features,
            {name: task.arguments(study.labels) for name, task in self.tasks.items()},
            layer=study.layers(self.layer),
            n_permutations=self.n_permutations,
            seed=study.seed,
            progress=False,
        )
        return table, [plot_transfer(table)]
