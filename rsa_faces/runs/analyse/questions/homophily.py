"""Whether linked people look more alike."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import read_table
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Layer,
    Question,
    Study,
    cells,
    in_front,
    layer,
    permutations,
    scores_of,
)


class Homophily(Question):
    """Whether people who are linked look more alike: one image per person."""

    analysis: Literal["homophily"] = key("Which question is asked.")
    ties: Path = key("Table with the columns a, b and, for rivals, sign (1, -1).")
    people: str = key("Column of people, as `ties` names them.")
    controls: list[str] = key("Columns in which linked people may be alike, held fixed.", [])
    interactions: list[list[str]] = key(
        "Controls that act together, such as [[gender, ethnicity]].", []
    )
    within: str | list[str] | None = cells()
    directed: bool = key("A tie from a to b is none from b to a.", False)
    layer: Layer = layer()
    n_permutations: int = permutations(1999)

    label_keys: ClassVar = ("people", "controls", "within")
    columns: ClassVar = ("network", "term", "estimate", "ci_low", "ci_high", "p")
    one_of_each: ClassVar = ("network", "term")
    effect: ClassVar = "estimate"
    p: ClassVar = "p"
    marks: ClassVar = (
        "Left: scores of linked and other pairs (lines: means). Right: differences in "
        "standard deviations with intervals; filled: p within alpha."
    )
    how: ClassVar = (
        "regression of scores on ties between people and controls; p values permute people, "
        "intervals leave people out"
    )
    meanings: ClassVar = {
        "term": "tie (positive, negative) or control",
        "kind": "tie or control",
        "estimate": "difference of the score, other terms held fixed",
        "standardized": "the same in standard deviations of the scores",
        "se": "standard error of the estimate",
        "t": "what the permutation compares; not estimate / se",
        "p": "two-sided, people permuted",
        "mean_linked": "mean score of pairs with this tie",
        "mean_others": "mean score of pairs without any",
        "n_ties": "pairs with this tie",
        "n_pairs": "pairs of people",
    }

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless there is one image of each person, and ties between these."""
        super().check(labels)
        people = labels[self.people].astype(str)
        if not people.is_unique:
            twice = people[people.duplicated()].iloc[0]
            raise InputError(
                f"expected one image of each person for `analysis: homophily`, but {twice!r} has "
                "several: choose one with `select`."
            )
        self._adjacency(people)

    def answer(self, study: Study) -> Answer:
        """Regress scores on ties and controls."""
        from rsa_faces.figures import plot_homophily

        people = study.labels[self.people].astype(str)
        ties = self._adjacency(people)
        controls = study.labels[self.controls].set_axis(people) if self.controls else None
        cells = study.cells(self.within)
        strata = None if cells is None else cells.set_axis(people)
        results = {}
        for name, layer_name in study.layers(self.layer).items():
            scores = scores_of(study, name, layer_name)
            called = people.loc[list(scores.index)].to_list()
            results[name] = analyses.homophily(
                ties,
                scores.set_axis(called).set_axis(called, axis=1),
                controls=controls,
                interactions=self.interactions,
                within=strata,
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
        tables = [result.table.assign(network=name) for name, result in results.items()]
        return in_front(tables, "network"), [plot_homophily(results)]

    def _adjacency(self, people: pd.Series) -> pd.DataFrame:
        """Return ties between people from the table."""
        ties = read_table(
            self.ties, what="a table of ties", text=["a", "b"], numbers=["sign"], optional=["sign"]
        )
        if unknown := set(ties) - {"a", "b", "sign"}:
            raise InputError(
                f"expected the columns a, b and, for negative ties, sign in {self.ties}, got "
                f"{min(unknown)!r}, too."
            )
        if "sign" in ties and ties["sign"].isna().any():
            row = int(ties["sign"].isna().to_numpy().argmax())
            raise InputError(
                f"expected a sign of every tie in {self.ties}, but data row {row + 1} has none."
            )
        names = people.to_list()
        unknown = sorted({*ties["a"].astype(str), *ties["b"].astype(str)} - set(names))
        if unknown:
            raise InputError(
                f"expected ties between people of column {self.people!r}, but {len(unknown)} are "
                f"not there, such as {unknown[0]!r}."
            )
        frame = pd.DataFrame(0.0, names, names)
        for row in ties.itertuples(index=False):
            value = float(getattr(row, "sign", 1))
            frame.loc[row.a, row.b] = value
            if not self.directed:
                frame.loc[row.b, row.a] = value
        return frame
