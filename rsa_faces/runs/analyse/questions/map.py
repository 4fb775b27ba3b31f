"""How well people are recognised across networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import Answer, Layer, Question, Study, in_front, layer

_FALSE_ACCEPTS = ("0.1", "0.01", "0.001", "0.0001")


class Map(Question):
    """Linear maps from every other network's space into one network's."""

    analysis: Literal["map"] = key("Which question is asked.")
    people: str = key("Column that says which person an image shows.")
    target: str | None = key("Network into whose space others are mapped; the first.", None)
    layer: Layer = layer()
    pairing: Literal["same image", "other image"] = key(
        "Which images of a person maps are learned from.", "same image"
    )
    n_pairs: list[int] = key("Images to learn from.", [10, 20, 50, 100, 200, 500], min_length=1)
    n_draws: int = key("Draws of these images.", 10, ge=1)
    sweep: bool = key("Judge every strength of the ridge at every number of images.", False)

    label_keys: ClassVar = ("people",)
    least_networks: ClassVar = 2
    columns: ClassVar = (
        "source_network",
        "target_network",
        "map",
        "n_pairs",
        "auc",
        "auc_low",
        "auc_high",
    )
    highest: ClassVar = "n_pairs"
    one_of_each: ClassVar = ("source_network", "target_network", "map")
    effect: ClassVar = "auc"
    marks: ClassVar = (
        "Curves: verification of people left out, by number of training pairs (bands: middle "
        "95 % of draws); dotted: the target's own space; dashed: chance."
    )
    how: ClassVar = (
        "linear maps between networks, learned from other people than they are judged on; "
        "intervals are the middle 95 % of draws"
    )
    meanings: ClassVar = {
        "source_network": "the network whose space is mapped",
        "target_network": "the network into whose space it is mapped",
        "map": "ridge, procrustes; target and source: the networks' own spaces on the same pairs",
        "strength": "of the ridge, in units of the mean squared length; empty where it is chosen",
        "lost": "auc of the target's own space on the same pairs less auc",
        "lost_low": "lower end of the middle 95 % of draws",
        "lost_high": "upper end of the middle 95 % of draws",
        "n_pairs": "images that the map was learned from; 0 for the networks' own spaces",
        "auc": "area under the curve of same and different people; 0.5 is chance",
        "auc_low": "lower end of the middle 95 % of draws",
        "auc_high": "upper end of the middle 95 % of draws",
        "accuracy": "share of pairs told right, thresholds from other folds",
        "accuracy_low": "lower end of the middle 95 % of draws",
        "accuracy_high": "upper end of the middle 95 % of draws",
        **{
            f"tar@{rate}": f"share of pairs of a person accepted where {rate} of others are"
            for rate in _FALSE_ACCEPTS
        },
        "n_same": "test pairs of one person in a draw",
        "n_different": "test pairs of two people in a draw",
    }

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return the curves, and the surface if strengths are swept."""
        return ["", "strengths"] if self.sweep else [""]

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return maps whose strength is chosen, each with most pairs."""
        return super().rows(table[table["strength"].isna()])

    def _sentence(self, row: pd.Series) -> str:
        learned = f" from {row['n_pairs']} images" if row["n_pairs"] else ""
        return (
            f"{row['source_network']} to {row['target_network']}, {row['map']}{learned}: AUC "
            f"{row['auc']:.3f} (middle 95 % of draws {row['auc_low']:.3f} to "
            f"{row['auc_high']:.3f}, {row['n_people']} people)."
        )

    def answer(self, study: Study) -> Answer:
        """Map each other network into the target's space."""
        from rsa_faces.figures import plot_embedding_map, plot_map_surface

        names = list(study.features)
        target = self.target or names[0]
        layers = study.layers(self.layer)
        results = {
            name: analyses.embedding_map(
                study.features[name],
                study.features[target],
                study.labels[self.people],
                source_layer=layers[name],
                target_layer=layers[target],
                pairing=self.pairing,
                n_pairs=self.n_pairs,
                n_draws=self.n_draws,
                sweep=self.sweep,
                seed=study.seed,
                progress=False,
            )
            for name in names
            if name != target
        }
        tables = [
            result.table.assign(source_network=name, target_network=target)
            for name, result in results.items()
        ]
        drawn = {f"{name} to {target}": result for name, result in results.items()}
        table = in_front(tables, "source_network", "target_network")
        figures = [plot_embedding_map(drawn)]
        return table, [*figures, *([plot_map_surface(drawn)] if self.sweep else [])]
