"""Which stimuli tell the networks' layers apart best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces._core.words import number
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
    synthesis_steps: int = key(
        "Steps of gradient ascent that change the chosen stimuli, as the first network is shown "
        "them, until the networks' layers disagree; 0: none.",
        0,
        ge=0,
    )

    least_networks: ClassVar = 2
    columns: ClassVar = ("place", "stimulus")
    marks: ClassVar = (
        "Left: information of random subsets and of the chosen one, in nats. Middle: "
        "correlations of the models. Right: how often the right model is found in "
        "simulation. Synthesis, above: the chosen stimuli; below: what was made of them."
    )
    how: ClassVar = (
        "the stimuli for which the RDMs of the networks' layers differ most, of those that "
        "were shown"
    )
    generalises_to: ClassVar = ""
    meanings: ClassVar = {
        "place": "place in the choice, from 1",
        "stimulus": "name of the stimulus",
        "disagreement": "1 − correlation of the layers' RDMs of the chosen stimuli as the first "
        "network is shown them, mean over pairs of networks; the same in every row",
        "disagreement_made": "the same of the images made from them",
        "*": "from the stimulus table",
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return that of the choice, and of what was made."""
        return ["choice", "synthesis"] if self.synthesis_steps else [""]

    def findings(self, table: pd.DataFrame) -> list[str]:
        """Return the chosen stimuli."""
        names = ", ".join(map(str, table["stimulus"]))
        said = [f"The networks' layers differ most on these {len(table)} stimuli: {names}."]
        if "disagreement_made" in table:
            before, after = table[["disagreement", "disagreement_made"]].iloc[0]
            said.append(
                f"Changed by synthesis, they raise the disagreement of the layers' RDMs from "
                f"{number(before, 2)} to {number(after, 2)}."
            )
        return said

    def answer(self, study: Study) -> Answer:
        """Choose stimuli, and try how often the right network would be found with them."""
        from rsa_faces.figures import plot_stimulus_design, plot_synthesis

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
        figures = [plot_stimulus_design(design, selection)]
        if self.synthesis_steps:
            names, layers = zip(*study.layers(self.layer).items(), strict=True)
            start = study.shown(names[0]).subset(list(design.stimuli))
            made = analyses.synthesise_images(
                [study.network(name) for name in names],
                layers,
                start,
                n_steps=self.synthesis_steps,
                seed=study.seed,
                progress=False,
            )
            before, after = made.disagreement["disagreement"]
            table = table.assign(disagreement=before, disagreement_made=after)
            figures.append(plot_synthesis(start, made))
        return table, figures


def _rdm(activations: Activations, layer_name: str, measure: str) -> RDMs:
    """Return the RDM of one layer."""
    patterns = np.asarray(activations[layer_name])
    return compute_rdms(
        patterns.reshape(len(patterns), -1), conditions=activations.conditions, measure=measure
    )
