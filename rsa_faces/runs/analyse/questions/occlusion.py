"""Which parts of the face a layer depends on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces.runs.analyse.questions._base import Answer, Layer, Question, Study, layer, people
from rsa_faces.runs.analyse.questions.landmarks import points_of


class Occlusion(Question):
    """Parts of the images hidden one after another."""

    analysis: Literal["occlusion"] = key("Which question is asked.")
    people: str | None = people()
    layer: Layer = layer()
    of: Literal["embedding", "rdm"] = key(
        "What changes: the answer, or distances to other images.", "embedding"
    )
    landmarks: Path | None = key(
        "File with `files` and `points` (.npz), in pixels of your images: "
        "hides the same part of each face.",
        None,
    )
    n_places: int = key("Places across, and as many down.", 8, ge=2)

    label_keys: ClassVar = ("people",)
    people_key: ClassVar = "people"
    columns: ClassVar = ("network", "layer", "x", "y", "change", "ci_low", "ci_high", "p_corrected")
    highest: ClassVar = "change"
    one_of_each: ClassVar = ("network",)
    effect: ClassVar = "change"
    p: ClassVar = "p_corrected"
    marks: ClassVar = (
        "Colours: mean change when a square around the place is hidden, over the mean image; "
        "dots: unlike other places, corrected."
    )
    how: ClassVar = (
        "a grey square hides one part of each image after another; intervals draw people, p "
        "values exchange places within each person and are corrected by the largest"
    )
    meanings: ClassVar = {
        "row": "place from the top, from 0",
        "column": "place from the left, from 0",
        "x": "middle of the place, share of the width",
        "y": "middle of the place, share of the height",
        "change": "mean of 1 - cosine (or 1 - r of distances to others) with the place hidden",
        "above": "change less the mean over places",
        "p": "two-sided: the change is that of other places",
        "p_corrected": "corrected by the largest of all places",
    }

    def answer(self, study: Study) -> Answer:
        """Hide parts of the images as each network is shown them."""
        return self._drawn(study, analyses.occlusion_map, budget=study.budget)

    def _drawn(self, study: Study, ask: Callable[..., analyses.OcclusionMap], **options) -> Answer:
        """Ask each network, and draw the maps."""
        from rsa_faces.figures import plot_occlusion

        layers = study.layers(self.layer)
        points = None if self.landmarks is None else points_of(self.landmarks, study)
        results = {
            name: ask(
                study.network(name),
                study.shown(name),
                layer=layer_name,
                of=self.of,
                landmarks=None if points is None else study.placed(name, points),
                people=study.column(self.people),
                n_places=self.n_places,
                seed=study.seed,
                progress=False,
                **options,
            )
            for name, layer_name in layers.items()
        }
        tables = [r.table.assign(network=n, layer=layers[n]) for n, r in results.items()]
        return pd.concat(tables), [plot_occlusion(list(results.values()))]


class Attribution(Occlusion):
    """Similarities of images followed back to pixels by gradients."""

    # The same keys under a name of its own.
    analysis: Literal["attribution"] = key("Which question is asked.")  # type: ignore[assignment]
    method: Literal["integrated gradients", "gradient x input"] = key(
        "Gradients on the way from grey to the image, or at the image.", "integrated gradients"
    )
    n_steps: int = key("Steps of the way.", 64, ge=2)

    marks: ClassVar = (
        "Colours: how much of the similarity (or distance) the pixels of a place account for, over "
        "the mean image (red: they raise it); dots: unlike other places, corrected."
    )
    how: ClassVar = (
        "gradients of the cosine with the whole image (or of the distance to all others) times the "
        "difference from grey, summed over places; intervals draw people, p values exchange places "
        "within each person and are corrected by the largest"
    )
    meanings: ClassVar = Occlusion.meanings | {
        "change": "mean attribution of the place's pixels",
        "above": "attribution less the mean over places",
        "p": "two-sided: the attribution is that of other places",
    }

    def answer(self, study: Study) -> Answer:
        """Follow similarities back to what each network is shown."""
        options = {"method": self.method, "n_steps": self.n_steps}
        return self._drawn(study, analyses.attribution_map, **options)
