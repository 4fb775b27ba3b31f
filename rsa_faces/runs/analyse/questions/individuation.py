"""What is left of geometries within categories."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.io import read_rdms
from rsa_faces.rdm import compute_rdms
from rsa_faces.runs._entries import Method
from rsa_faces.runs.analyse.questions._base import EffectsQuestion, Study, people, permutations


class Individuation(EffectsQuestion):
    """Similarity to raters or brains over all faces, and among faces of one category."""

    analysis: Literal["individuation"] = key("Which question is asked.")
    rdms: Path = key("RDMs of raters or brains.")
    categories: list[str] = key(
        "Columns that make a category together: [age group, gender].", min_length=1
    )
    people: str | None = people()
    method: Method = key("How RDMs are compared.", "rho-a")
    generalise_to: Literal["subjects", "conditions", "both"] = key(
        "What is drawn for intervals.", "both"
    )
    n_boot: int = key("Bootstrap samples.", 1000, ge=20)
    n_permutations: int = permutations(1999)

    label_keys: ClassVar = ("categories", "people")
    people_key: ClassVar = "people"
    columns: ClassVar = (
        "network",
        "layer",
        "region",
        "pairs",
        "similarity",
        "ci_low",
        "ci_high",
        "ceiling_low",
        "ceiling_high",
        "p_corrected",
    )
    highest: ClassVar = "similarity"
    one_of_each: ClassVar = ("network", "region", "pairs")
    effect: ClassVar = "similarity"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Curves: similarity over all pairs of faces and within categories, with 95 % intervals; "
        "dotted: lower noise ceiling of the same pairs; filled: above chance, corrected."
    )
    how: ClassVar = (
        "similarity of RDMs over all pairs, and over pairs within categories, each beside its own "
        "noise ceiling; p values exchange faces (inside categories)"
    )
    generalises_to: ClassVar = "subjects and people shown"
    meanings: ClassVar = {
        "pairs": "all pairs of faces, or those within categories",
        "similarity": "mean similarity over subjects of these pairs",
        "ceiling_low": "lower noise ceiling of these pairs",
        "ceiling_high": "upper noise ceiling of these pairs",
        "p": "one-sided, faces exchanged (inside categories)",
        "p_corrected": "corrected over layers and regions (false discovery rate)",
        "n_categories": "categories with enough faces",
    }

    def results(self, study: Study) -> list[analyses.Individuation]:
        """Compare the layers of each network with the data."""
        data = read_rdms(self.rdms)
        return [
            analyses.individuation(
                compute_rdms(activations),
                data,
                study.labels[self.categories],
                people=study.column(self.people),
                method=self.method,
                generalise_to=self.generalise_to,
                n_boot=self.n_boot,
                n_permutations=self.n_permutations,
                match="intersection",
                seed=study.seed,
            )
            for activations in study.features.values()
        ]
