"""Questions to the features of networks."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from rsa_faces._core.configurations import key
from rsa_faces.runs._entries import NetworkConfig, RunConfig, StimuliConfig
from rsa_faces.runs._reading import Label, each_once
from rsa_faces.runs.analyse.questions import AnyQuestion


class AnalysesConfig(RunConfig):
    """Questions to the features of networks.

    ``configs/analyses.yaml`` explains every key.

    See Also
    --------
    Config : One experiment: stimuli → networks → RDMs → comparison with data → figures.
    SearchlightConfig : A searchlight.
    TimecourseConfig : Intracranial recordings against layers: when, and in which region.

    Examples
    --------
    >>> from rsa_faces.runs import AnalysesConfig
    >>> AnalysesConfig.model_fields["analyses"].description
    'Questions, answered in order.'
    """

    stimuli: StimuliConfig = key("The images that networks are shown.")
    labels: Literal["table", "kdef"] = key(
        "Where labels come from: the stimulus table, or the file names of KDEF.", "table"
    )
    select: dict[str, Label | list[Label]] | str = key(
        "Only stimuli with these labels: {view: [-45, 0]}; or for which an expression "
        "on the labels is true: age > 0.",
        {},
    )
    networks: list[NetworkConfig] = key("Networks and their layers.", min_length=1)
    analyses: list[AnyQuestion] = key("Questions, answered in order.", min_length=1)

    @model_validator(mode="after")
    def _networks_fit(self) -> AnalysesConfig:
        names = [entry.name for entry in self.networks]
        each_once(names, "network")
        for entry in self.analyses:
            least = entry.least_networks
            if len(names) < least:
                raise ValueError(
                    f"expected at least {least} networks for `analysis: {entry.analysis}`."
                )
            target = getattr(entry, "target", None)
            if target is not None and target not in names:
                raise ValueError(f"expected a `target` among the networks, got {target!r}.")
        return self
