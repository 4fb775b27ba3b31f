"""Which set of features predicts the same responses better."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.checks import check_choice
from rsa_faces._core.configurations import key
from rsa_faces._core.errors import InputError
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Layer,
    Question,
    Study,
    cells,
    layer,
    people,
    permutations,
)
from rsa_faces.runs.analyse.questions.encoding import region_of, responses_of
from rsa_faces.runs.analyse.questions.landmarks import points_of


class Sets(Question):
    """One layer of each network, and spaces of the faces, compared for the same responses."""

    analysis: Literal["feature sets"] = key("Which question is asked.")
    responses: Path = key("Table of one subject's responses, as for `encoding`.")
    layer: Layer = layer()
    face_spaces: dict[str, Path] = key(
        "Names, and files of landmarks, of spaces of shape and appearance that are "
        "further sets: {landmarks: points.npz}.",
        {},
    )
    n_shape: int = key("Components of shape.", 10, ge=1)
    n_appearance: int = key("Components of appearance.", 10, ge=1)
    against: str | None = key("The set that others are compared with; by default the first.", None)
    people: str | None = people()
    within: str | list[str] | None = cells()
    n_permutations: int = permutations(200)

    label_keys: ClassVar = ("people", "within")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "layer",
        "against",
        "region",
        "r2",
        "r2_difference",
        "r2_ci_low",
        "r2_ci_high",
        "r2_p",
        "targets_p",
    )
    one_of_each: ClassVar = ("layer", "against", "region")
    effect: ClassVar = "r2_difference"
    p: ClassVar = "r2_p"
    marks: ClassVar = (
        "Dots: r2 of each response from two sets, held out; diagonal: alike. Intervals and p: over "
        "faces (folds that share training faces), and over responses."
    )
    how: ClassVar = (
        "ridge regression of each response on each set of features, judged on people who were not "
        "trained on; differences of r2 for the same responses, with a corrected resampled t over "
        "folds and a paired t over responses"
    )
    generalises_to: ClassVar = "people shown, or responses, for this subject"
    meanings: ClassVar = {
        "layer": "set of features: a network's layer, or a space of the faces",
        "against": "the set that it is compared with",
        "region": "where the responses were measured",
        "r": "correlation of response and prediction, held out, mean over responses",
        "r2": "share of variance predicted, held out, mean over responses",
        "difference": "r less that of the other set",
        "ci_low": "lower end of the 95 % interval of the difference of r, over folds of faces",
        "ci_high": "upper end of the 95 % interval of the difference of r, over folds of faces",
        "p": "of the difference of r, two-sided, over folds of faces",
        "r2_difference": "r2 less that of the other set",
        "r2_ci_low": "lower end of its 95 % interval over folds of faces",
        "r2_ci_high": "upper end of its 95 % interval over folds of faces",
        "r2_p": "of the difference of r2, two-sided, over folds of faces",
        "targets_ci_low": "lower end of its 95 % interval over responses",
        "targets_ci_high": "upper end of its 95 % interval over responses",
        "targets_p": "of the difference of r2, two-sided, over responses",
        "n_targets": "responses: voxels, electrodes or cells",
    }

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless there are responses to every image."""
        super().check(labels)
        responses_of(self.responses, list(labels.index))

    def answer(self, study: Study) -> Answer:
        """Predict the responses from each set, and compare."""
        from rsa_faces.figures import plot_feature_sets

        sets = {name: study.layer(name, at)[at] for name, at in study.layers(self.layer).items()}
        for name, path in self.face_spaces.items():
            if name in sets:
                raise InputError(f"expected other names of `face_spaces` than networks: {name!r}.")
            space = analyses.face_space(
                study.stimuli,
                points_of(path, study),
                n_shape=self.n_shape,
                n_appearance=self.n_appearance,
                progress=False,
            )
            sets[name] = space.coordinates.loc[list(study.stimuli.ids)].to_numpy()
        if len(sets) < 2:
            raise InputError(
                f"expected at least 2 sets to compare, got {', '.join(sets)}: add a network, or "
                "`face_spaces`."
            )
        against = check_choice(self.against or next(iter(sets)), sets, what="against")
        responses = responses_of(self.responses, list(study.stimuli.ids))
        result = analyses.encoding(
            sets,
            responses,
            conditions=list(study.stimuli.ids),
            regions={target: region_of(target) for target in responses[0]},
            across=study.column(self.people),
            within=study.cells(self.within),
            against=against,
            n_permutations=self.n_permutations,
            seed=study.seed,
            progress=False,
        )
        keys = ["layer", "region"]
        own = result.table[[*keys, "r", "r2", "n_targets", "n_conditions", "n_people"]]
        return result.differences.merge(own, on=keys), [plot_feature_sets(result)]
