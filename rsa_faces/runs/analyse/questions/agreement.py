"""How alike layers of networks are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import Answer, Question, Study, cells, people


class Agreement(Question):
    """Every layer of each network against every layer of each other."""

    analysis: Literal["agreement"] = key("Which question is asked.")
    people: str | None = people()
    within: str | list[str] | None = cells()
    blocks: str | None = key(
        "Column of runs: only pairs of images of one run are compared, each run on its own scale.",
        None,
    )
    methods: list[Literal["spearman", "cka", "procrustes"]] = key(
        "How layers are compared.", ["spearman", "cka", "procrustes"]
    )
    n_boot: int = key("Bootstrap samples of people.", 500, ge=99)
    n_permutations: int = key("Permutations for p values.", 500, ge=99)

    label_keys: ClassVar = ("people", "within", "blocks")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "network_a",
        "layer_a",
        "network_b",
        "layer_b",
        "method",
        "value",
        "ci_low",
        "ci_high",
        "p_corrected",
    )
    highest: ClassVar = "value"
    one_of_each: ClassVar = ("network_a", "network_b", "method")
    effect: ClassVar = "value"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Colours: agreement of each pair of layers; dots: for each row the layer it agrees "
        "with most; crosses: not shown to be above 0, corrected."
    )
    how: ClassVar = (
        "similarity of each two layers; intervals draw people, p values exchange them and "
        "are corrected by the largest value of the map"
    )
    meanings: ClassVar = {
        "network_a": "network of the first layer",
        "network_b": "network of the second layer",
        "value": "how alike both layers are by the row's method",
        "ci_low": "lower end of the 95 % interval (people drawn)",
        "ci_high": "upper end of the 95 % interval",
        "p_corrected": "corrected by the largest value of the map of layers",
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return one of each pair of networks."""
        return [" and ".join(pair) for pair in _pairs(networks)]

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the most alike layers, those that are one and the same aside."""
        same = (table["network_a"] == table["network_b"]) & (table["layer_a"] == table["layer_b"])
        return super().rows(table if same.all() else table[~same])

    def _sentence(self, row: pd.Series) -> str:
        text = super()._sentence(row)
        where, sign, rest = text.partition(": value ")
        return f"{where}: {row['layer_a']} and {row['layer_b']} are most alike, {sign[2:]}{rest}"

    def answer(self, study: Study) -> Answer:
        """Compare all layers of each pair of networks."""
        from rsa_faces.figures import plot_layer_agreement

        tables, figures = [], []
        for names in _pairs(list(study.features)):
            result = analyses.layer_agreement(
                *(study.features[name] for name in names),
                methods=self.methods,
                people=study.column(self.people),
                within=study.cells(self.within),
                blocks=study.column(self.blocks),
                n_boot=self.n_boot,
                n_permutations=self.n_permutations,
                seed=study.seed,
                progress=False,
            )
            tables.append(result.table)
            figures.append(plot_layer_agreement(result))
        return pd.concat(tables), figures


def _pairs(networks: Sequence[str]) -> list[tuple[str, ...]]:
    """Return each pair of networks; of one network, itself."""
    return list(combinations(networks, 2)) if len(networks) > 1 else [(networks[0],)]
