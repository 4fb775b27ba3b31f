"""How well each layer predicts responses of voxels, electrodes or cells."""

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
    Question,
    Study,
    cells,
    people,
    permutations,
)


class Encoding(Question):
    """Responses predicted from each layer, alone or beside other feature spaces."""

    analysis: Literal["encoding"] = key("Which question is asked.")
    responses: Path = key(
        "Table of one subject's responses: a column `stimulus`, one for each voxel, "
        "electrode or cell (REGION:NAME tells its region), and `repeat` where there are several."
    )
    people: str | None = people()
    within: str | list[str] | None = cells()
    beside: list[str] = key("Networks whose last layers are further spaces in each model.", [])
    n_permutations: int = permutations(200)

    label_keys: ClassVar = ("people", "within")
    network_keys: ClassVar = ("beside",)
    people_key: ClassVar = "people"
    columns: ClassVar = ("network", "layer", "region", "r", "ci_low", "ci_high", "p_corrected")
    highest: ClassVar = "r"
    one_of_each: ClassVar = ("network", "region")
    effect: ClassVar = "r"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Curves: correlation of responses and predictions, held out, by relative depth, with 95 % "
        "intervals; filled: predicted, corrected; dotted: ceiling. Below: parts of r2 by space."
    )
    how: ClassVar = (
        "banded ridge regression of each response on each layer, judged on people who were not "
        "trained on; intervals draw people, p values exchange people's responses and are "
        "corrected by the largest r"
    )
    generalises_to: ClassVar = "people shown, for this subject"
    meanings: ClassVar = {
        "region": "where the responses were measured",
        "r": "correlation of response and prediction, held out, mean over responses",
        "r2": "share of variance predicted, held out, mean over responses",
        "chance": "mean r of exchanged responses",
        "ceiling": "largest r that the noise of the responses allows",
        "p_corrected": "corrected by the largest r over layers and regions",
        "n_targets": "responses: voxels, electrodes or cells",
    }

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless there are responses to every image."""
        super().check(labels)
        responses_of(self.responses, list(labels.index))

    def answer(self, study: Study) -> Answer:
        """Predict the responses from each layer of each network."""
        from rsa_faces.figures import plot_encoding

        responses = responses_of(self.responses, list(study.stimuli.ids))
        last = study.layers("last")
        spaces = {name: study.layer(name, last[name])[last[name]] for name in self.beside}
        results = [
            analyses.encoding(
                activations,
                responses,
                beside={k: v for k, v in spaces.items() if k != name},
                regions={target: region_of(target) for target in responses[0]},
                across=study.column(self.people),
                within=study.cells(self.within),
                n_permutations=self.n_permutations,
                seed=study.seed,
                progress=False,
            )
            for name, activations in study.features.items()
        ]
        return pd.concat([result.table for result in results]), [plot_encoding(results)]


def region_of(target: str) -> str:
    """Return the region that the name of a voxel, electrode or cell tells (REGION:NAME)."""
    return target.partition(":")[0] if ":" in target else "all"


def responses_of(path: Path, stimuli: list[str]) -> list[pd.DataFrame]:
    """Return responses to the stimuli, a table for each repeat."""
    head = read_table(path, what="a table of responses", text=["stimulus"])
    targets = [c for c in head if c not in ("stimulus", "repeat")]
    table = read_table(path, what="a table of responses", text=["stimulus"], numbers=targets)
    repeat = table["repeat"] if "repeat" in table else pd.Series("", table.index)
    tables = [part.set_index("stimulus")[targets] for _, part in table.groupby(repeat)]
    for part in tables:
        if lacking := [name for name in stimuli if name not in part.index]:
            raise InputError(
                f"expected responses to every stimulus in {path}, but {len(lacking)} have none "
                f"(in a repeat), such as {lacking[0]!r}."
            )
    return [part.loc[stimuli] for part in tables]
