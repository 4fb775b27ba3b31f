"""Clips: how far layers follow movement, what it adds to averages, and when data follow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces._core.words import between, number, p_sentence
from rsa_faces.extraction import FramePatterns
from rsa_faces.inference import compare_movies
from rsa_faces.io import read_rdms
from rsa_faces.rdm import concat, frame_rdms
from rsa_faces.runs._entries import Blocks, Method
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    EffectsQuestion,
    Question,
    Study,
    people,
    permutations,
)

FrameMeasure = Literal["correlation", "euclidean", "sqeuclidean", "cosine", "poisson"]


def _measure() -> FrameMeasure:
    """Return the field of the measure."""
    return key("How frames, or clips, are told apart.", "correlation")


class Movement(EffectsQuestion):
    """How far layers follow the order of frames of clips."""

    analysis: Literal["movement"] = key("Which question is asked.")
    people: str | None = people()
    measure: FrameMeasure = _measure()
    n_permutations: int = permutations(999)

    of_clips: ClassVar = True
    label_keys: ClassVar = ("people",)
    people_key: ClassVar = "people"
    columns: ClassVar = ("network", "layer", "order", "ci_low", "ci_high", "p_corrected")
    highest: ClassVar = "order"
    one_of_each: ClassVar = ("network",)
    effect: ClassVar = "order"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Curves: how much closer neighbouring frames are than frames in random order (0: not at "
        "all), with 95 % intervals over people; filled: unlike shuffled frames, corrected."
    )
    how: ClassVar = (
        "1 less the mean distance of neighbouring frames as a share of that of frames in random "
        "order; p values shuffle the frames of each clip, intervals are over people"
    )
    meanings: ClassVar = {
        "change": "mean distance of neighbouring frames",
        "change_shuffled": "the same on average with frames in random order",
        "order": "mean over people of 1 - change / change_shuffled",
        "p": "two-sided, frames of each clip shuffled",
        "p_corrected": "corrected by the largest of all layers",
        "n_clips": "clips that move in the layer",
        "n_frames": "frames of each clip",
    }

    def results(self, study: Study) -> list[analyses.Movement]:
        """Ask each network."""
        return [
            analyses.movement(
                _frames(study, name),
                measure=self.measure,
                people=study.column(self.people),
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
            for name in study.features
        ]


class MovementAdds(EffectsQuestion):
    """What movement explains of data beside averages of frames."""

    analysis: Literal["movement adds"] = key("Which question is asked.")
    rdms: Path = key("RDMs of subjects over the same clips, without times.")
    people: str | None = people()
    measure: FrameMeasure = _measure()
    blocks: Blocks = None
    generalise_to: Literal["subjects", "conditions", "both"] = key(
        "What is drawn for intervals.", "conditions"
    )
    n_boot: int = key("Bootstrap samples.", 1000, ge=20)
    n_permutations: int = permutations(999)

    of_clips: ClassVar = True
    label_keys: ClassVar = ("people", "blocks")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "region",
        "network",
        "layer",
        "part",
        "r2_adjusted",
        "ci_low",
        "ci_high",
        "p_corrected",
    )
    highest: ClassVar = "r2_adjusted"
    one_of_each: ClassVar = ("region", "network", "part")
    effect: ClassVar = "r2_adjusted"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Curves: adjusted R² of movement alone, of averages of frames alone, of both, and of "
        "movement alone with the frames of each clip shuffled; filled: above 0, corrected."
    )
    how: ClassVar = (
        "variance partitioning of the data's RDMs between that of changes from frame to frame and "
        "that of averages of frames; control: frames in random order"
    )
    generalises_to: ClassVar = ""
    meanings: ClassVar = {
        "part": "what is explained by movement or averages only, by both, or without the order",
        "r2_adjusted": "share of the variance of the data's RDM",
        "sem": "bootstrap standard error",
        "p": "one-sided, labels of clips shuffled",
        "p_corrected": "Holm, over the layers of a region and part",
        "n_clips": "clips that were compared",
    }

    def results(self, study: Study) -> list[analyses.MovementParts]:
        """Explain the data by each layer of each network."""
        data, people = read_rdms(self.rdms), study.column(self.people)
        blocks = study.column(self.blocks)
        return [
            analyses.movement_adds(
                _frames(study, name),
                data,
                measure=self.measure,
                groups=None if people is None else people.to_dict(),
                blocks=None if blocks is None else blocks.to_dict(),
                generalise_to=self.generalise_to,
                n_boot=self.n_boot,
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
            for name in study.features
        ]


class Moments(Question):
    """At which lag data over time follow the moments of clips."""

    analysis: Literal["moments"] = key("Which question is asked.")
    rdms: Path = key("RDMs of subjects over the same clips, with a label `time`.")
    measure: FrameMeasure = _measure()
    method: Method = key("How RDMs are compared.", "spearman")
    beside_average: bool = key("Averages of frames are regressed out of layers and data.", False)
    window: float | None = key("Frames are averaged over so many seconds.", None, gt=0)
    step: float | None = key("From window to window, in s.", None, gt=0)
    max_lag: float | None = key("The longest lag, in s; half of the clip by default.", None, gt=0)
    blocks: Blocks = None
    n_permutations: int = permutations(9999)

    of_clips: ClassVar = True
    label_keys: ClassVar = ("blocks",)
    columns: ClassVar = (
        "region",
        "network",
        "layer",
        "lag",
        "similarity",
        "timing",
        "timing_low",
        "timing_high",
        "p_corrected",
    )
    highest: ClassVar = "timing"
    one_of_each: ClassVar = ("region", "network")
    effect: ClassVar = "timing"
    marks: ClassVar = (
        "Left: similarity of moments of clips and of data, all pairs of times. Right: similarity "
        "at each lag beyond that of the same moments at other lags, with 95 % intervals over "
        "subjects; filled: unlike 0, corrected."
    )
    how: ClassVar = (
        "RDMs of moments of clips are compared with those of data at all pairs of times; at each "
        "lag the mean less that of the same moments at other lags; t intervals over subjects, p "
        "values flip signs of subjects and are corrected by the largest of all lags and layers"
    )
    generalises_to: ClassVar = "subjects"
    meanings: ClassVar = {
        "lag": "time of the data less time of the clip, in s",
        "similarity": "mean over subjects and pairs of times at the lag",
        "timing": "similarity less the means of its model times and of its data times",
        "timing_low": "lower end of the 95 % interval of timing, over subjects",
        "timing_high": "upper end of the 95 % interval of timing, over subjects",
        "p": "two-sided t over subjects, of timing",
        "p_corrected": "corrected by the largest of all lags and layers of the region",
        "n_moments": "pairs of times at the lag",
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return one for each region."""
        labels = read_rdms(self.rdms).labels
        return list(dict.fromkeys(labels["region"].astype(str))) if "region" in labels else [""]

    def findings(self, table: pd.DataFrame) -> list[str]:
        """Return the lag with the highest timing, of each region and network."""
        return [
            f"{row.region or 'the data'}, {row.network}: timing highest at a lag of {row.lag:g} s, "
            f"{number(row.timing)} in layer {row.layer} (95 % interval "
            f"{between(row.timing_low, row.timing_high)}, {p_sentence(row.p_corrected)}, "
            f"{row.n_subjects} subjects)."
            for row in self.rows(table).fillna({"region": ""}).itertuples()
        ]

    def answer(self, study: Study) -> Answer:
        """Compare all layers of all networks with the data."""
        from rsa_faces.figures import plot_movies

        data, blocks = read_rdms(self.rdms), study.column(self.blocks)
        frames = [_frames(study, name) for name in study.features]
        moments: dict[str, Any] = {
            "measure": self.measure,
            "window": self.window,
            "step": self.step,
        }
        average: dict[str, Any] = {"of": "average", "measure": self.measure}
        found = compare_movies(
            concat([frame_rdms(own, **moments) for own in frames]),
            data,
            method=self.method,
            given=concat([frame_rdms(own, **average) for own in frames])
            if self.beside_average
            else None,
            blocks=None if blocks is None else blocks.to_dict(),
            max_lag=self.max_lag,
            n_permutations=self.n_permutations,
            seed=study.seed,
        )
        return found.table, [plot_movies(found, region=r) for r in found.table["region"].unique()]


def _frames(study: Study, name: str) -> FramePatterns:
    """Return the frames of a network's layers: where questions are of clips, features are these."""
    return study.features[name]
