"""Which stimuli tell the networks' layers apart best."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.extraction import Activations
from rsa_faces.rdm import RDMs, compute_rdms, concat
from rsa_faces.runs._entries import Measure
from rsa_faces.runs.analyse.questions._base import Answer, Layer, Question, Study, layer


class StimuliChoice(Question):
    """The stimuli on which the networks' layers differ most."""

    analysis: Literal["stimuli"] = key("Which question is asked.")
    n: int = key("Stimuli to choose.", ge=4)
    layer: Layer = layer()
    measure: Measure = key("How RDMs are made.", "correlation")
    noise: float = key("Noise of one measurement, in deviations of the RDMs.", 3.0, gt=0)

    least_networks: ClassVar = 2
    columns: ClassVar = ("place", "stimulus")
    marks: ClassVar = (
        "Left: information of random subsets and of the chosen one, in nats. Middle: "
        "correlations of the models. Right: how often the right model is found in "
        "simulation."
    )
    how: ClassVar = (
        "the stimuli for which the RDMs of the networks' layers differ most, of those that "
        "were shown"
    )
    generalises_to: ClassVar = ""
    meanings: ClassVar = {
        "place": "place in the choice, from 1",
        "stimulus": "name of the stimulus",
        "*": "from the stimulus table",
    }

    def findings(self, table: pd.DataFrame) -> list[str]:
        """Return the chosen stimuli."""
        names = ", ".join(map(str, table["stimulus"]))
        return [f"The networks' layers differ most on these {len(table)} stimuli: {names}."]

    def answer(self, study: Study) -> Answer:
        """Choose stimuli, and try how often the right network would be found with them."""
        from rsa_faces.figures import plot_stimulus_design

        models = concat(
            [
                _rdm(study.features[name], layer_name, self.measure).with_labels(
                    name=f"{name} {layer_name}"
                )
                for name, layer_name in study.layers(self.layer).items()
            ]
        )
        design = analyses.choose_stimuli(
            models, self.n, noise=self.noise, seed=study.seed, progress=False
        )
        selection = analyses.simulate_selection(models, design, seed=study.seed)
        table = pd.DataFrame({"place": range(1, self.n + 1), "stimulus": design.stimuli})
        table = table.merge(study.labels, left_on="stimulus", right_index=True, how="left")
        return table, [plot_stimulus_design(design, selection)]


def _rdm(activations: Activations, layer_name: str, measure: str) -> RDMs:
    """Return the RDM of one layer."""
    patterns = np.asarray(activations[layer_name])
    return compute_rdms(
        patterns.reshape(len(patterns), -1), conditions=activations.conditions, measure=measure
    )
