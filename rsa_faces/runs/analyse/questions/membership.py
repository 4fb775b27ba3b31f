"""Whether people a network was trained on can be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import (
    Answer,
    Layer,
    Question,
    Study,
    cells,
    in_front,
    layer,
    people,
    permutations,
    scores_of,
)


class Membership(Question):
    """Whether people a network was trained on can be told from others."""

    analysis: Literal["membership"] = key("Which question is asked.")
    members: str = key("Column that is true for people of the training set.")
    people: str | None = people()
    reference: str | None = key(
        "A network of this configuration that was not trained on them: how much better "
        "members are told by the others is tested.",
        None,
    )
    within: str | list[str] | None = cells()
    layer: Layer = layer()
    n_permutations: int = permutations(9999)

    label_keys: ClassVar = ("members", "people", "within")
    of_person: ClassVar = ("members", "within")
    network_keys: ClassVar = ("reference",)
    people_key: ClassVar = "people"
    columns: ClassVar = ("network", "layer", "sign", "auc", "ci_low", "ci_high", "p_corrected")
    one_of_each: ClassVar = ("network", "sign")
    effect: ClassVar = "auc"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Areas: distributions over people; above: AUC (0.5 is chance) with its 95 % interval."
    )
    how: ClassVar = (
        "signs by which people of the training set are told from others; intervals by DeLong, "
        "p values permute people and are corrected by the largest sign"
    )
    meanings: ClassVar = {
        "sign": "what members are told by",
        "needs_labels": "whether the sign needs to know which images show one person",
        "auc": "0.5: nothing can be told; 1: members always have the higher value",
        "p": "one-sided: members have higher values",
        "p_corrected": "corrected by the largest of the signs",
        "tpr": "share of members found where few others are taken for members",
        "n_members": "people of the training set",
        "n_others": "other people",
        "reference_auc": "auc of the same sign in the network of reference",
        "difference": "auc less that of the network of reference",
        "difference_low": "lower end of its 95 % interval (DeLong, paired)",
        "difference_high": "upper end of its 95 % interval",
        "p_difference": "one-sided: members are told better than by the reference",
        "p_difference_corrected": "corrected by the largest of the signs",
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return one of each network."""
        return list(networks)

    def answer(self, study: Study) -> Answer:
        """Compare members with others by each sign."""
        from rsa_faces.figures import plot_membership

        tables, figures = [], []
        layers = study.layers(self.layer)
        reference = None
        if self.reference is not None:
            reference = scores_of(study, self.reference, layers[self.reference])
        for name, layer_name in layers.items():
            result = analyses.membership(
                scores_of(study, name, layer_name),
                study.labels[self.members],
                people=study.column(self.people),
                reference=None if name == self.reference else reference,
                within=study.cells(self.within),
                n_permutations=self.n_permutations,
                seed=study.seed,
            )
            tables.append(result.table.assign(network=name, layer=layer_name))
            figures.append(plot_membership(result))
        return in_front(tables, "network", "layer"), figures
