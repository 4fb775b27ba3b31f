"""What every question is: configuration, answer, figures, and what of the table people read."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.words import between, number, p_sentence
from rsa_faces.extraction import Activations
from rsa_faces.networks import Network
from rsa_faces.runs._held_out import fold_sentence, highest
from rsa_faces.runs._people import people_column
from rsa_faces.runs._reading import Section
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.degradations import DEGRADATIONS

Answer = tuple[pd.DataFrame, Sequence[Any]]  # a table, and figures in the order of their names
Layer = str | dict[str, str]
ScoreMeasure = Literal["cosine", "correlation", "euclidean", "sqeuclidean"]

_ROWS = 12


@dataclass(frozen=True)
class Study:
    """What answers are made from.

    Attributes
    ----------
    stimuli : StimulusSet or ClipSet
    labels : DataFrame
        Indexed by stimulus.
    features : dict of str to Activations, or of clips to FramePatterns
        By network.
    network : callable
        Load a network by name.
    shown : callable
        The stimuli, or other versions of the same images, as a network, by name, is shown them.
    placed : callable
        Landmarks of the images, in pixels of what a network, by name, is shown.
    budget : str
    seed : int

    See Also
    --------
    Question : A question to the features of networks; each subclass is one.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.runs.analyse.questions import Study
    >>> images = rf.datasets.images92().stimuli.query("face")
    >>> features = {"pixels": rf.extract(rf.load_network("pixels"), images)}
    >>> study = Study(images, images.metadata, features, rf.load_network, lambda name: images,
    ...               lambda name, landmarks: landmarks, budget="1GB", seed=0)
    >>> study.layers("last")
    {'pixels': 'pixels'}
    """

    stimuli: Any  # a StimulusSet, of clips a ClipSet
    labels: pd.DataFrame
    features: dict[str, Any]
    network: Callable[[str], Network]
    shown: Callable[..., StimulusSet]
    placed: Callable[[str, Mapping[str, np.ndarray]], dict[str, np.ndarray]]
    budget: str
    seed: int

    def layers(self, chosen: Layer) -> dict[str, str]:
        """Return the layer of each network that is asked for."""
        return layers_of(chosen, self.features)

    def layer(self, name: str, layer: str) -> Activations:
        """Return one layer of a network, a vector for each stimulus."""
        own = self.features[name]
        flat = np.asarray(own[layer]).reshape(len(own.conditions), -1)
        return Activations({layer: flat}, own.conditions, network=name)

    def column(self, name: str | None) -> pd.Series | None:
        """Return a column of labels, or None."""
        return None if name is None else self.labels[name]

    def cells(self, columns: str | list[str] | None) -> pd.Series | None:
        """Return the cell of each stimulus: a column of labels, or several as tuples."""
        return None if columns is None else cells_of(self.labels, columns)


def layers_of(chosen: Layer, networks: Mapping[str, Any]) -> dict[str, str]:
    """Return the layer of each network that is asked for, of those it has."""
    if isinstance(chosen, dict) and set(chosen) != set(networks):
        raise InputError(
            f"expected `layer` for the networks {', '.join(networks)}, got "
            f"{', '.join(chosen) or 'none'}."
        )
    found = {}
    for name, layers in networks.items():
        layer, known = chosen[name] if isinstance(chosen, dict) else chosen, list(layers)
        last = layer == "last"
        found[name] = known[-1] if last else check_choice(layer, known, what=f"layer of {name}:")
    return found


def cells_of(labels: pd.DataFrame, columns: str | list[str]) -> pd.Series:
    """Return a column of labels, or the tuples of several."""
    if isinstance(columns, str):
        return labels[columns]
    return pd.Series(list(labels[columns].itertuples(index=False, name=None)), index=labels.index)


class Question(Section, abc.ABC):
    """A question to the features of networks; each subclass is one.

    A subclass sets the class variables, draws its figures in the order of :meth:`figures`, and is
    added to :data:`rsa_faces.runs.analyse.questions.QUESTIONS`.

    See Also
    --------
    Study : What answers are made from.
    AnalysesConfig : Questions to the features of networks.

    Examples
    --------
    >>> from typing import Literal
    >>> import pandas as pd
    >>> from rsa_faces.runs.analyse.questions import Question
    >>> class Sizes(Question):
    ...     analysis: Literal["sizes"] = "sizes"
    ...     columns = ("network", "n_layers")
    ...     how = "layers are counted"
    ...     def answer(self, study):
    ...         rows = {name: len(layers) for name, layers in study.features.items()}
    ...         return pd.Series(rows, name="n_layers").rename_axis("network").reset_index(), []
    >>> Sizes().method_sentence()
    'Sizes: layers are counted; generalises to people.'
    """

    analysis: str = Field(description="Which question is asked.")

    #: Keys that name columns of labels; each stimulus needs a value there.
    label_keys: ClassVar[tuple[str, ...]] = ()
    #: Of these, keys whose columns may hold one value only, and those of which a person has one.
    may_be_alike: ClassVar[tuple[str, ...]] = ("within", "blocks", "controls", "templates", "media")
    of_person: ClassVar[tuple[str, ...]] = ()
    #: Keys that name networks.
    network_keys: ClassVar[tuple[str, ...]] = ()
    #: The key that says which images show one person; where it is left out, the table's own
    #: column of people is taken if images repeat them.
    people_key: ClassVar[str] = ""
    #: Whether it is about clips; all others are about images.
    of_clips: ClassVar[bool] = False
    #: Degradations of images that it knows.
    known_degradations: ClassVar[tuple[str, ...]] = tuple(DEGRADATIONS)
    #: How many networks it takes.
    least_networks: ClassVar[int] = 1
    #: Columns that are printed.
    columns: ClassVar[tuple[str, ...]]
    #: Of each combination of values in `one_of_each`, the row with the highest `highest` is
    #: printed; without it the first rows are.
    highest: ClassVar[str] = ""
    one_of_each: ClassVar[tuple[str, ...]] = ()
    #: The column that holds the effect, the one for its p value, and what 0 effect is called.
    effect: ClassVar[str] = ""
    p: ClassVar[str] = ""
    #: What the table's columns are, where they are not what they are in every table.
    meanings: ClassVar[Mapping[str, str]] = {}
    #: What its figures show: units, and what marks mean.
    marks: ClassVar[str]
    #: How it is answered and tested, for the methods; and what conclusions generalise to.
    how: ClassVar[str]
    generalises_to: ClassVar[str] = "people"

    def title(self) -> str:
        """Return what the question is called in names of files."""
        return self.analysis

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return what its figures are called; the only one has no name."""
        return [""]

    @abc.abstractmethod
    def answer(self, study: Study) -> Answer:
        """Return the table and the figures."""

    def check(self, labels: pd.DataFrame) -> None:
        """Raise unless the columns it names are there, with values that can be compared."""
        for kind in getattr(self, "degradations", None) or []:
            check_choice(kind, list(self.known_degradations), what="degradation")
        for key in self.label_keys:
            for column in _listed(getattr(self, key)):
                check_column(column, key, labels, alike=key in self.may_be_alike)
        if (people := getattr(self, "people", None)) is None:
            return
        for key in self.of_person:
            for column in _listed(getattr(self, key)):
                several = labels.groupby(people, observed=True)[column].nunique() > 1
                if several.any():
                    raise InputError(
                        f"expected one value of column {column!r} for `{key}` per person, but "
                        f"{several.idxmax()!r} of column {people!r} has several."
                    )

    def check_networks(self, layers: Mapping[str, Sequence[str]]) -> None:
        """Raise unless networks and layers that it names are there."""
        for key in self.network_keys:
            for name in _listed(getattr(self, key)):
                check_choice(name, list(layers), what=f"network for `{key}`")
        if (layer := getattr(self, "layer", None)) is not None:
            layers_of(layer, layers)

    def with_people(self, labels: pd.DataFrame) -> tuple[Self, str]:
        """Return the question with people told apart, and the column that tells them if added."""
        if not self.people_key or getattr(self, self.people_key) is not None:
            return self, ""
        column = people_column(labels)
        return (self.model_copy(update={self.people_key: column}), column) if column else (self, "")

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that a reader wants first."""
        if not self.highest or self.highest not in table:
            return table.head(_ROWS)
        groups = [c for c in self.one_of_each if c in table]
        return highest(table, self.highest, groups, ("layer", "layer_a", "layer_b"))

    def shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return what is printed: rows and columns that a reader wants first."""
        rows = self.rows(table)
        found = [c for c in self.columns if c in rows and rows[c].notna().any()]
        return rows[found + (["chosen"] if "chosen" in rows and any(rows["chosen"]) else [])]

    def method_sentence(self) -> str:
        """Return how the question was answered, for the methods paragraph."""
        n = getattr(self, "n_permutations", None)
        drawn = f" ({n:,} permutations)" if n else ""
        scope = f"; generalises to {self.generalises_to}" if self.generalises_to else ""
        title = self.title()
        return f"{title[0].upper()}{title[1:]}: {self.how}{drawn}{scope}."

    def findings(self, table: pd.DataFrame) -> list[str]:
        """Return what was found in words: effects with their intervals."""
        if self.effect not in table:
            return []
        return [self._sentence(row) for _, row in self.rows(table).head(_ROWS).iterrows()]

    def _sentence(self, row: pd.Series) -> str:
        """Return one row in words."""
        effect = self.effect if pd.notna(row[self.effect]) else "r"
        about = [str(row[c]) for c in self.one_of_each if c in row and pd.notna(row[c])]
        layer = f" in layer {row['layer']}" if "layer" in row and "layer" not in about else ""
        text = f"{', '.join(about) or self.title()}: {effect.replace('_', ' ')} "
        text += number(row[effect]) + layer
        low = next((c for c in (f"{effect}_low", "ci_low") if pd.notna(row.get(c))), None)
        inside = []
        if low:
            high = row[low.removesuffix("low") + "high"]
            inside.append(f"95 % interval {between(row[low], high)}")
        if pd.notna(row.get("chance")):
            inside.append(f"chance {number(row['chance'])}")
        if self.p and pd.notna(row.get(self.p)):
            inside.append(p_sentence(row[self.p]))
        for key in ("n_people", "n_conditions"):
            if pd.notna(row.get(key)):
                inside.append(f"{int(row[key])} {'people' if key == 'n_people' else 'images'}")
        inside += [row["chosen"]] if row.get("chosen") else []
        text = f"{text} ({', '.join(inside)})." if inside else f"{text}."
        if pd.isna(row.get("held_out")):
            return text
        who, _, rest = text.partition(": ")
        return f"{who}: {fold_sentence(row, effect)}; highest on the same data: {rest}"


class EffectsQuestion(Question):
    """A question whose result is a table of effects, drawn as all of them are."""

    effect: ClassVar[str] = "value"
    p: ClassVar[str] = "p"

    @abc.abstractmethod
    def results(self, study: Study) -> list[Any]:
        """Return a result for each network."""

    def answer(self, study: Study) -> Answer:
        """Put the tables of all networks together, and draw them."""
        from rsa_faces.figures import plot_effects

        results = self.results(study)
        table = pd.concat([result.table for result in results], ignore_index=True)
        return table, [plot_effects(results)]


def check_column(column: str, key: str, labels: pd.DataFrame, *, alike: bool = False) -> None:
    """Raise unless a column is there, with a value for each stimulus, not all `alike`."""
    check_choice(column, list(labels.columns), what=f"column for `{key}`")
    if labels[column].isna().any():
        name = labels.index[labels[column].isna()][0]
        raise InputError(
            f"expected a value in column {column!r} for every stimulus, but {name!r} has none "
            f"(`{key}`): fill it in, or leave such stimuli out with `select`."
        )
    if not alike and labels[column].nunique() < 2:
        raise InputError(
            f"expected at least 2 values in column {column!r} for `{key}`, but all stimuli have "
            f"{labels[column].iloc[0]!r}: name another column, or choose others with `select`."
        )


def check_numbers(column: str, key: str, labels: pd.DataFrame) -> None:
    """Raise unless a column holds numbers."""
    if not pd.api.types.is_numeric_dtype(labels[column]):
        raise InputError(
            f"expected numbers in column {column!r} for `{key}`, got such as "
            f"{labels[column].iloc[0]!r}."
        )


def _listed(named: str | list[str] | None) -> list[str]:
    """Return names of columns, or of networks, as a list."""
    return named if isinstance(named, list) else [] if named is None else [named]


def in_front(tables: Sequence[pd.DataFrame], *columns: str) -> pd.DataFrame:
    """Return tables below each other, with these columns in front."""
    table = pd.concat(tables)
    return table[[*columns, *table.columns.drop(list(columns))]]


def scores_of(study: Study, name: str, layer: str, measure: str = "cosine") -> pd.DataFrame:
    """Return the similarity of each two images in one layer."""
    from rsa_faces import analyses

    return analyses.similarity_scores(study.features[name], layer=layer, measure=measure)


def permutations(default: int) -> Any:
    """Return the field of the number of permutations."""
    return Field(default=default, ge=19, description="Permuted data sets for p values.")


def layer() -> Any:
    """Return the field of the layer."""
    return Field(
        default="last",
        description="One layer, `last`, or a layer for each network: {sface: fc1, ...}.",
    )


def people() -> Any:
    """Return the field of people."""
    return Field(
        default=None,
        description="Column that says which person an image shows: n counts them. By default "
        "`identity` or `person` where images repeat people.",
    )


def score_measure() -> Any:
    """Return the field of the measure of scores."""
    return Field(default="cosine", description="How alike two images are in the layer.")


def cells() -> Any:
    """Return the field of cells of the other factors of a design."""
    return Field(
        default=None,
        description="Column (or list of columns) of the other factors of the design, such as the "
        "view of identity x expression x view: labels are exchanged inside its cells only.",
    )


def within() -> Any:
    """Return the field of strata."""
    return Field(
        default=None,
        description="Column of strata: groups are exchanged among people of one stratum only.",
    )
