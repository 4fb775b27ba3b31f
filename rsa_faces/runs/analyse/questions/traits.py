"""Which ratings features predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.extraction import extract
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Layer,
    Question,
    Study,
    cells,
    check_numbers,
    layer,
    permutations,
)
from rsa_faces.runs.analyse.questions.landmarks import BASELINE, points_of
from rsa_faces.stimuli import mask_faces


class Traits(Question):
    """Ratings predicted from one layer of each network."""

    analysis: Literal["traits"] = key("Which question is asked.")
    ratings: list[str] = key("Columns of mean ratings.", min_length=1)
    across: str | None = key(
        "Column of people; training and test share none. By default `identity` or "
        "`person` where images repeat people.",
        None,
    )
    baseline: list[str] = key("Columns of numbers that are known without the network.", [])
    standardize: bool = key(
        "Scale each channel (true), or each set of features as a whole (false).", True
    )
    landmarks: Path | None = key(
        "File with `files` and `points`, in pixels (.npz): measurements between landmarks are a "
        "further set of features.",
        None,
    )
    template: Literal["london-189", "ibug-68"] = key(
        "Which landmarks these are, in which order.", "london-189"
    )
    variants: list[Literal["grey", "masked", "masked grey"]] = key(
        "Further versions of the images that networks are shown: without colour; with all but the "
        "face hidden (needs `landmarks`). What is then lost is compared with the images as they "
        "are.",
        [],
    )
    within: str | list[str] | None = cells()
    layer: Layer = layer()
    n_permutations: int = permutations(1000)

    label_keys: ClassVar = ("ratings", "across", "baseline", "within")
    people_key: ClassVar = "across"
    columns: ClassVar = (
        "features",
        "trait",
        "r",
        "ci_low",
        "ci_high",
        "p_corrected",
        "baseline_r",
        "gain",
        "change",
        "change_low",
        "change_high",
        "change_p",
    )
    one_of_each: ClassVar = ("features", "trait")
    effect: ClassVar = "r"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Dots: correlation with ratings, held out, with 95 % intervals; filled: above "
        "chance, corrected; grey: ceiling. In tables of traits: * less than with its own "
        "trait."
    )
    how: ClassVar = (
        "ridge regression of mean ratings on one layer of each network, judged on people who "
        "were not trained on; intervals draw people, p values permute people and are "
        "corrected by the largest r"
    )
    meanings: ClassVar = {
        "features": "the network whose layer predicts (and how images were changed), or landmarks",
        "trait": "the rating that is predicted",
        "r": "correlation of rating and prediction, for people left out",
        "r2": "1 − squared error over that of the training mean",
        "chance": "mean r of permutations",
        "p_corrected": "corrected by the largest r over all rows",
        "n_faces": "faces that were rated",
        "against": "the set of the images as they are",
        "change": "r less that from the images as they are",
        "change_low": "lower end of its 95 % interval over folds (corrected resampled t)",
        "change_high": "upper end of its 95 % interval over folds (corrected resampled t)",
        "change_p": "two-sided, of the same t",
        **BASELINE,
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return that of all, and how specific each network's predictions are."""
        return ["", *(f"specificity of {name}" for name in networks)]

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless ratings and baseline are numbers."""
        super().check(labels)
        for name in ("ratings", "baseline"):
            for column in getattr(self, name):
                check_numbers(column, name, labels)

    def answer(self, study: Study) -> Answer:
        """Predict ratings for people left out."""
        from rsa_faces.figures import plot_specificity, plot_traits

        layers = study.layers(self.layer)
        points = points_of(self.landmarks, study) if self.landmarks else None
        features, against = {}, {}
        for name in study.features:
            own = study.layer(name, layers[name])
            features[name] = pd.DataFrame(own[layers[name]], own.conditions)
        for variant in self.variants:
            masked = points if "masked" in variant else None
            images = mask_faces(
                study.stimuli, masked, outline=self.template, grey="grey" in variant
            )
            for name, at in layers.items():
                shown = study.shown(name, images)
                own = extract(study.network(name), shown, layers=at, progress=False)
                flat = np.asarray(own[at]).reshape(len(own.conditions), -1)
                features[f"{name}, {variant}"] = pd.DataFrame(flat, own.conditions)
                against[f"{name}, {variant}"] = name
        if points:
            features["landmarks"] = analyses.measure_landmarks(points, template=self.template)
        result = analyses.trait_readout(
            features,
            study.labels[self.ratings].astype(float),
            across=study.column(self.across),
            within=study.cells(self.within),
            standardize=self.standardize,
            against=against,
            baseline=study.labels[self.baseline].astype(float) if self.baseline else None,
            n_permutations=self.n_permutations,
            seed=study.seed,
            progress=False,
        )
        figures = [plot_traits(result)]
        return result.table, figures + [plot_specificity(result, name) for name in study.features]
