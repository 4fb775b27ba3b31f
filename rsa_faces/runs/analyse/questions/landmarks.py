"""Which measurements of faces each layer tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs._held_out import FOLD_MEANINGS, held_out_folds
from rsa_faces.runs.analyse.questions._base import Answer, Question, Study, cells, permutations

#: Columns that a baseline adds to a read-out of numbers.
BASELINE = {
    "baseline_r": "r of the same read-out from the baseline alone",
    "baseline_r2": "r2 of the same read-out from the baseline alone",
    "gain": "r2 less that of the baseline",
    "gain_low": "lower end of the 95 % interval of the gain",
    "gain_high": "upper end of the 95 % interval of the gain",
    "r_beyond": "r of the read-out of what the baseline leaves",
    "p_beyond": "p of r_beyond, by permutation",
    "p_beyond_corrected": "the same, corrected by the largest",
}


class Landmarks(Question):
    """Distances between landmarks, yaw and pitch, read from each layer."""

    analysis: Literal["landmarks"] = key("Which question is asked.")
    landmarks: Path = key("File with `files` and `points`, in pixels (.npz).")
    template: str = key("Which landmarks these are, in which order.", "london-189")
    relative: bool = key("Measure in distances between the pupils, not in pixels.", False)
    across: str | None = key(
        "Column of people; training and test share none. By default `identity` or "
        "`person` where images repeat people.",
        None,
    )
    within: str | list[str] | None = cells()
    n_permutations: int = permutations(1000)

    label_keys: ClassVar = ("across", "within")
    people_key: ClassVar = "across"
    columns: ClassVar = (
        "network",
        "layer",
        "measurement",
        "r",
        "ci_low",
        "ci_high",
        "p_corrected",
        "baseline_r",
        *FOLD_MEANINGS,
    )
    highest: ClassVar = "r"
    one_of_each: ClassVar = ("network", "measurement")
    effect: ClassVar = "r"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Colours: correlation of measured and predicted, held out, from −1 to 1; dots: above "
        "chance, corrected."
    )
    how: ClassVar = (
        "ridge regression of measurements on each layer, judged on people who were not "
        "trained on, beside the size of the face alone; intervals draw people, p values "
        "permute people and are corrected by the largest r; the best layer is judged in folds "
        "that did not choose it"
    )
    meanings: ClassVar = {
        "measurement": "what was measured between landmarks",
        "r": "correlation of measurement and prediction, for people left out",
        "r2": "1 − squared error over that of the training mean",
        "chance": "mean r of permutations",
        "p_corrected": "corrected by the largest r over layers and measurements",
        **BASELINE,
        **FOLD_MEANINGS,
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return one of each network."""
        return list(networks)

    def answer(self, study: Study) -> Answer:
        """Read measurements out of each layer, beside what the size of the face tells."""
        from rsa_faces.figures import plot_landmark_readout

        points = points_of(self.landmarks, study)
        measured = analyses.measure_landmarks(
            points, template=self.template, relative=self.relative
        )
        tables, figures = [], []
        for activations in study.features.values():
            result = analyses.landmark_readout(
                activations,
                measured,
                across=study.column(self.across),
                within=study.cells(self.within),
                baseline=analyses.face_size(points)[["size"]],
                n_permutations=self.n_permutations,
                seed=study.seed,
                progress=False,
            )
            rows = result.predictions.rename(columns={"measured": "label"})
            best = {
                measurement: held_out_folds(some, classes=False)
                for measurement, some in rows.groupby("measurement", sort=False)
            }
            held_out = pd.DataFrame([best[m] for m in result.table["measurement"]])
            tables.append(pd.concat([result.table, held_out], axis=1))
            figures.append(plot_landmark_readout(result))
        return pd.concat(tables), figures


def points_of(path: Path, study: Study) -> dict:
    """Return the landmarks of the selected stimuli."""
    points = analyses.read_landmarks(path)
    return {name: points[name] for name in study.stimuli.ids if name in points}
