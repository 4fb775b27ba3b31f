"""Activations and labels as analyses need them: matched by condition, checked once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import ConditionMismatchError, InputError, InputTypeError
from rsa_faces._core.labels import by_name, check_kinds
from rsa_faces._core.names import check_unique_names, is_missing, named_layers, ordered

#: What else to do about conditions that lack a label, where a function has `match`.
INTERSECTION = "use match='intersection'"


@dataclass(frozen=True, eq=False)
class Layers:
    """Layers of a network, of the conditions that take part; read one at a time."""

    arrays: Mapping[str, np.ndarray]
    conditions: tuple[str, ...]
    rows: np.ndarray
    network: str
    depth: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.arrays)

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each layer's name and patterns, (n_conditions, n_channels)."""
        for layer in self.arrays:
            patterns = np.asarray(self.arrays[layer])
            # All of them: these are in their order, and need no copy.
            if len(self.rows) != len(patterns):
                patterns = patterns[self.rows]
            yield layer, patterns


def as_layers(activations, conditions: Sequence[str] | None) -> Layers:
    """Return activations with their condition names, whichever way they came."""
    if not isinstance(activations, Mapping) or not len(activations):
        raise InputTypeError(
            "expected Activations, or a mapping from layer to patterns with `conditions`, the "
            f"names of its rows: got {type(activations).__name__}"
            f"{' that is empty' if isinstance(activations, Mapping) else ''}."
        )
    arrays, own = activations, getattr(activations, "conditions", None)
    if own is None:
        arrays, names = named_layers(activations, conditions)
    elif conditions is None:
        names = check_unique_names(own, what="condition")
    else:
        order, names = ordered(own, conditions, what="activations")
        if (order != np.arange(len(own))).any():
            arrays = {layer: np.asarray(activations[layer])[order] for layer in activations}
    layers = list(activations)
    depth = getattr(activations, "depth", None) or {
        layer: (i + 1) / len(layers) for i, layer in enumerate(layers)
    }
    return Layers(arrays, names, np.arange(len(names)), getattr(activations, "network", ""), depth)


def matched(
    layers: Layers,
    labels: Sequence[tuple[str, object]],
    match: str | None,
    what: str = "the activations",
):
    """Return layers and labels of the conditions that all have, and how many were dropped.

    `labels` are pairs of a name and a mapping from condition to label; `what` names the layers.
    Functions without `match`, whose conditions have to be the same, give None.
    """
    advice = "" if match is None else INTERSECTION
    match = check_choice(match or "same", ["same", "intersection"], what="match")
    found = [(name, as_labels(values, name, advice)) for name, values in labels]
    kept = list(layers.conditions)
    for name, values in found:
        if match == "same" and set(values) != set(layers.conditions):
            raise ConditionMismatchError(
                layers.conditions,
                values,
                left_name=what,
                right_name=name,
                hint=f"Rename them, or {advice} for those in all." if advice else "Rename them.",
            )
        kept = [c for c in kept if c in values]
    if not kept:
        raise InputError(
            f"expected conditions with {' and '.join(name for name, _ in found)}, got none of "
            f"{len(layers.conditions)}."
        )
    place = {c: i for i, c in enumerate(layers.conditions)}
    rows = np.array([place[c] for c in kept])
    chosen = Layers(layers.arrays, tuple(kept), rows, layers.network, layers.depth)
    return chosen, [[values[c] for c in kept] for _, values in found], len(place) - len(kept)


def codes_of(labels: Sequence) -> tuple[np.ndarray, list]:
    """Return each label's number, and the labels in order of first occurrence."""
    kinds = list(dict.fromkeys(labels))
    number = {label: i for i, label in enumerate(kinds)}
    return np.array([number[label] for label in labels], dtype=np.int64), kinds


def cells_of(within, names: Sequence[str], what: str = "within") -> np.ndarray:
    """Return the number of each name's cell, inside which labels are exchanged; 0 without cells."""
    if within is None:
        return np.zeros(len(names), np.int64)
    cells = as_labels(within, what)
    if lacking := [name for name in names if name not in cells]:
        raise InputError(
            f"expected a {'cell' if what == 'within' else 'label'} in {what} for every condition, "
            f"but {len(lacking)} of {len(names)} "
            f"have none: {', '.join(map(repr, lacking[:5]))}."
        )
    return codes_of([cells[name] for name in names])[0]


def check_finite(patterns: np.ndarray, conditions: Sequence[str], layer: str) -> None:
    """Raise if a value is not finite."""
    bad = ~np.isfinite(patterns).all(axis=1)
    if bad.any():
        raise InputError(
            f"expected finite activations, but layer {layer!r} has NaN or infinity in {bad.sum()} "
            f"conditions: {', '.join(repr(conditions[i]) for i in np.flatnonzero(bad)[:5])}."
        )


def as_labels(values, name: str, advice: str = "") -> dict:
    """Return a mapping from condition to label; labels that are missing or mixed are an error.

    `advice` is what else to do, for messages.
    """
    if not hasattr(values, "keys") and not hasattr(values, "coords"):
        raise InputTypeError(
            f"expected {name} as a mapping from condition to label or a Series with conditions as "
            f"its index, got {type(values).__name__}."
        )
    labels = by_name(values, what=name)
    missing = [c for c, v in labels.items() if is_missing(v)]
    if missing:
        raise InputError(
            f"expected {name} for every condition, but {len(missing)} are missing: "
            f"{', '.join(map(repr, missing[:5]))}. "
            + (f"Leave these conditions out and {advice}." if advice else "Name them.")
        )
    check_kinds(list(labels.values()), name)
    return labels
