"""Answers to the questions of a configuration: a table and its figures, one function each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import read_table
from rsa_faces.extraction import Activations
from rsa_faces.networks import Network
from rsa_faces.rdm import RDMs, compute_rdms, concat, load_rdms
from rsa_faces.runs.analyse.questions import TaskConfig
from rsa_faces.stimuli import StimulusSet


@dataclass(frozen=True)
class Study:
    """What answers are made from.

    Attributes
    ----------
    stimuli : StimulusSet
    labels : DataFrame
        Indexed by stimulus.
    features : dict of str to Activations
        By network.
    network : callable
        Load a network by name.
    shown : callable
        The stimuli as a network, by name, is shown them.
    budget : str
    seed : int
    """

    stimuli: StimulusSet
    labels: pd.DataFrame
    features: dict[str, Activations]
    network: Callable[[str], Network]
    shown: Callable[[str], StimulusSet]
    budget: str
    seed: int


Answer = tuple[pd.DataFrame, dict[str, Any]]  # a table, figures by name


def answer(entry: Any, study: Study) -> Answer:
    """Return the table of an analysis and its figures by the names of :func:`figure_names`."""
    table, figures = _ANSWERS[entry.analysis](entry, study)
    names = figure_names(entry, list(study.features))
    return table, dict(zip(names, figures, strict=True))


def title(entry: Any) -> str:
    """Return what an analysis is called in names of files."""
    if entry.analysis == "readout":
        across = f" across {entry.across}" if entry.across else ""
        return f"readout of {entry.labels}{across}"
    if entry.analysis == "congruence":
        return f"congruence of {entry.first} and {entry.second}"
    if entry.analysis in ("groups", "scores"):
        return f"{entry.analysis} by {entry.groups}"
    return entry.analysis


def figure_names(entry: Any, networks: list[str]) -> list[str]:
    """Return what the figures of an analysis are called; the only one has no name."""
    kind = entry.analysis
    if kind == "agreement":
        return [" and ".join(pair) for pair in _couples(networks)]
    if kind == "components":
        return [f"{name} by {group}" for name in networks for group in entry.groups]
    if kind == "confidence":
        return [f"{sign} of {name}" for name in networks for sign in ("flags", "stability")]
    per_network = ("landmarks", "membership", "scores")
    if kind in per_network or (kind == "topography" and entry.rdms is not None):
        return list(networks)
    if kind == "robustness":
        return ["RDMs"] if entry.people is None else ["RDMs", "recognition"]
    return ["", *(f"specificity of {name}" for name in networks)] if kind == "traits" else [""]


def _couples(networks: list[str]) -> list[tuple[str, ...]]:
    """Return each pair of networks; of one network, itself."""
    return list(combinations(networks, 2)) if len(networks) > 1 else [(networks[0],)]


def _task(entry: TaskConfig, labels: pd.DataFrame) -> dict[str, Any]:
    """Return arguments of a read-out."""
    columns = {"labels": entry.labels, "across": entry.across, "people": entry.people}
    given = {key: labels[name] for key, name in columns.items() if name is not None}
    return {**given, "kind": entry.values}


def _readout(entry, study: Study):
    """Answer what each layer tells linearly."""
    from rsa_faces.figures import plot_readout

    found = [
        analyses.readout(
            one, **_task(entry, study.labels), task=title(entry).removeprefix("readout of "),
            n_permutations=entry.n_permutations, seed=study.seed, progress=False,
        )
        for one in study.features.values()
    ]  # fmt: skip
    return pd.concat([result.table for result in found]), [plot_readout(found).figure]


def _transfer(entry, study: Study):
    """Answer what one layer of each network tells of each label."""
    from rsa_faces.figures import plot_transfer

    tasks = {name: _task(task, study.labels) for name, task in entry.tasks.items()}
    table = analyses.transfer_matrix(
        study.features, tasks, layer=_layers(entry, study.features),
        n_permutations=entry.n_permutations, seed=study.seed, progress=False,
    )  # fmt: skip
    return table, [plot_transfer(table).figure]


def _congruence(entry, study: Study):
    """Answer whether two labels share directions."""
    from rsa_faces.figures import plot_congruence

    found = [
        analyses.congruence(
            one, study.labels[entry.first], study.labels[entry.second],
            across=None if entry.across is None else study.labels[entry.across],
            n_dimensions=entry.n_dimensions, n_permutations=entry.n_permutations,
            names=(entry.first, entry.second), seed=study.seed, progress=False,
        )
        for one in study.features.values()
    ]  # fmt: skip
    return pd.concat([result.table for result in found]), [plot_congruence(found).figure]


def _groups(entry, study: Study):
    """Answer how scores within groups of people differ from those between them."""
    from rsa_faces.figures import plot_false_matches

    layers = _layers(entry, study.features)
    people = None if entry.people is None else study.labels[entry.people]
    found = {
        name: analyses.false_matches(
            analyses.similarity_scores(one, layer=layers[name], measure=entry.measure),
            study.labels[entry.groups], people=people, fmr=entry.fmr, seed=study.seed,
            n_permutations=entry.n_permutations,
        )
        for name, one in study.features.items()
    }  # fmt: skip
    tables = [
        result.table.assign(network=name, layer=layers[name]) for name, result in found.items()
    ]
    return _first(pd.concat(tables), "network", "layer"), [plot_false_matches(found)[0].figure]


def _components(entry, study: Study):
    """Answer which components of the scores go with groups of people."""
    from rsa_faces.figures import plot_group_components

    tables, figures = [], []
    for name, layer in _layers(entry, study.features).items():
        found = analyses.group_components(
            analyses.similarity_scores(study.features[name], layer=layer, measure=entry.measure),
            study.labels[entry.groups], n_components=entry.n_components, centring=entry.centring,
            n_permutations=entry.n_permutations, seed=study.seed,
            **_columns(entry, study.labels, "people", "within"),
        )  # fmt: skip
        tables.append(found.table.assign(network=name, layer=layer))
        figures += [plot_group_components(found, attribute=group)[0].figure
                    for group in entry.groups]  # fmt: skip
    return _first(pd.concat(tables), "network", "layer"), figures


def _scores(entry, study: Study):
    """Answer how scores within groups of people and between them are distributed."""
    from rsa_faces.figures import plot_score_distributions

    tables, figures = [], []
    for name, layer in _layers(entry, study.features).items():
        found = analyses.score_distributions(
            analyses.similarity_scores(study.features[name], layer=layer, measure=entry.measure),
            study.labels[entry.groups], n_permutations=entry.n_permutations, seed=study.seed,
            **_columns(entry, study.labels, "people", "within"),
        )  # fmt: skip
        summary = found.summary.iloc[0]
        tables.append(found.table.assign(
            network=name, layer=layer, difference=summary["difference"],
            difference_low=summary["ci_low"], difference_high=summary["ci_high"], p=summary["p"],
        ))  # fmt: skip
        figures.append(plot_score_distributions(found).figure)
    return _first(pd.concat(tables), "network", "layer"), figures


def _columns(entry, labels: pd.DataFrame, *keys: str) -> dict[str, pd.Series]:
    """Return the columns of labels that these keys name, if they do."""
    return {key: labels[getattr(entry, key)] for key in keys if getattr(entry, key) is not None}


def _map(entry, study: Study):
    """Answer how well people are recognised across networks."""
    from rsa_faces.figures import plot_embedding_map

    names = list(study.features)
    target = entry.target or names[0]
    layers = _layers(entry, study.features)
    found = {
        f"{name} to {target}": analyses.embedding_map(
            study.features[name], study.features[target], study.labels[entry.people],
            source_layer=layers[name], target_layer=layers[target], pairing=entry.pairing,
            n_pairs=entry.n_pairs, n_draws=entry.n_draws, seed=study.seed, progress=False,
        )
        for name in names if name != target
    }  # fmt: skip
    tables = [
        result.table.assign(source_network=name.split(" to ")[0], target_network=target)
        for name, result in found.items()
    ]
    table = _first(pd.concat(tables), "source_network", "target_network")
    return table, [plot_embedding_map(found).figure]


def _agreement(entry, study: Study):
    """Answer how alike layers of networks are."""
    from rsa_faces.figures import plot_layer_agreement

    tables, figures = [], []
    for names in _couples(list(study.features)):
        found = analyses.layer_agreement(
            *(study.features[name] for name in names), methods=entry.methods,
            n_boot=entry.n_boot, n_permutations=entry.n_permutations, seed=study.seed,
            progress=False, **_columns(entry, study.labels, "people"),
        )  # fmt: skip
        tables.append(found.table)
        figures.append(plot_layer_agreement(found)[0].figure)
    return pd.concat(tables), figures


def _robustness(entry, study: Study):
    """Answer what is left when images get worse."""
    from rsa_faces.figures import plot_robustness

    people = None if entry.people is None else study.labels[entry.people]
    found = [
        analyses.robustness(
            study.network(name), study.shown(name), layers=layer, identity=people,
            degradations=entry.degradations, strengths=entry.strengths, budget=study.budget,
            seed=study.seed, progress=False,
        )
        for name, layer in _layers(entry, study.features).items()
    ]  # fmt: skip
    values = ["stability"] if people is None else ["stability", "auc"]
    figures = [np.ravel(plot_robustness(found, value=value))[0].figure for value in values]
    return pd.concat([result.table for result in found]), figures


def _confidence(entry, study: Study):
    """Answer whether flags rise and stability falls as images get worse, by group."""
    from rsa_faces.figures import plot_flags

    tables, figures = [], []
    for name, layer in _layers(entry, study.features).items():
        found = analyses.check_confidence(
            study.network(name), study.shown(name), study.labels[entry.people], layer=layer,
            equal_groups=entry.equal_groups, degradations=entry.degradations,
            strengths=entry.strengths, method=entry.method, alpha=entry.alpha,
            n_variants=entry.n_variants, seed=study.seed, progress=False,
            **_columns(entry, study.labels, "groups"),
        )  # fmt: skip
        tables.append(found.table.assign(network=name, layer=layer))
        for sign in ("share", "stability"):
            panels = plot_flags(found.table, value=sign, alpha=entry.alpha)
            figures.append(panels[0].figure)
    return _first(pd.concat(tables), "network", "layer"), figures


def _topography(entry, study: Study):
    """Answer whether units look at the centre, and which of them data resemble."""
    from rsa_faces.figures import plot_central_bias, plot_topography

    if entry.rdms is None:
        table = pd.concat([
            analyses.central_bias(
                study.network(name), list(one), radius=entry.radius, n_units=entry.n_units,
                budget=study.budget, seed=study.seed, progress=False,
            )
            for name, one in study.features.items()
        ])  # fmt: skip
        return table, [plot_central_bias(table).figure]
    data = load_rdms(entry.rdms)
    tables, figures = [], []
    for name, one in study.features.items():
        rdms = analyses.topographic_rdms(
            study.network(name), one, radius=entry.radius, budget=study.budget, seed=study.seed,
            progress=False,
        )  # fmt: skip
        found = analyses.compare_topography(
            rdms, data, method=entry.method, generalise_to=entry.generalise_to, seed=study.seed
        )
        tables.append(found.table)
        figures.append(plot_topography(found, title=name).figure)
    return pd.concat(tables), figures


def _stimuli(entry, study: Study):
    """Answer which stimuli tell the networks' layers apart best."""
    from rsa_faces.figures import plot_stimulus_design

    models = concat([
        _rdm(study.features[name], layer, entry.measure).with_labels(name=f"{name} {layer}")
        for name, layer in _layers(entry, study.features).items()
    ])  # fmt: skip
    design = analyses.choose_stimuli(
        models, entry.n, noise=entry.noise, seed=study.seed, progress=False
    )
    selection = analyses.simulate_selection(models, design, seed=study.seed)
    table = pd.DataFrame({"place": range(1, entry.n + 1), "stimulus": design.stimuli})
    table = table.merge(study.labels, left_on="stimulus", right_index=True, how="left")
    return table, [plot_stimulus_design(design, selection)[0].figure]


def _rdm(activations: Activations, layer: str, measure: str) -> RDMs:
    """Return the RDM of one layer."""
    patterns = np.asarray(activations[layer])
    return compute_rdms(
        patterns.reshape(len(patterns), -1), conditions=activations.conditions, measure=measure
    )


def _landmarks(entry, study: Study):
    """Answer which measurements of faces each layer tells."""
    from rsa_faces.figures import plot_landmark_readout

    points = _points(entry, study)
    measured = analyses.measure_landmarks(points, template=entry.template, relative=entry.relative)
    across = None if entry.across is None else study.labels[entry.across]
    tables, figures = [], []
    for one in study.features.values():
        found = analyses.landmark_readout(
            one, measured, across=across, baseline=analyses.face_size(points)[["size"]],
            n_permutations=entry.n_permutations, seed=study.seed, progress=False,
        )  # fmt: skip
        tables.append(found.table)
        figures.append(plot_landmark_readout(found).figure)
    return pd.concat(tables), figures


def _face_space(entry, study: Study):
    """Answer how faces vary in shape and in appearance."""
    from rsa_faces.figures import plot_components

    space = analyses.face_space(
        study.stimuli, _points(entry, study), n_shape=entry.n_shape,
        n_appearance=entry.n_appearance, progress=False,
    )  # fmt: skip
    shown = min(3, entry.n_shape, entry.n_appearance)
    return space.components, [plot_components(space, shown)[0, 0].figure]


def _points(entry, study: Study) -> dict[str, np.ndarray]:
    """Return the landmarks of the selected stimuli."""
    points = analyses.read_landmarks(entry.landmarks)
    return {name: points[name] for name in study.stimuli.ids if name in points}


def _traits(entry, study: Study):
    """Answer which ratings features predict."""
    from rsa_faces.figures import plot_specificity, plot_traits

    layers = _layers(entry, study.features)
    features = {}
    for name, one in study.features.items():
        patterns = np.asarray(one[layers[name]])
        features[name] = pd.DataFrame(patterns.reshape(len(patterns), -1), one.conditions)
    found = analyses.trait_readout(
        features, _numbers(study.labels, entry.ratings, "ratings"),
        across=None if entry.across is None else study.labels[entry.across],
        baseline=_numbers(study.labels, entry.baseline, "baseline") if entry.baseline else None,
        n_permutations=entry.n_permutations, seed=study.seed, progress=False,
    )  # fmt: skip
    figures = [plot_traits(found).figure]
    return found.table, figures + [plot_specificity(found, name).figure for name in features]


def _numbers(labels: pd.DataFrame, columns: list[str], key: str) -> pd.DataFrame:
    """Return columns of numbers."""
    for column in columns:
        if not pd.api.types.is_numeric_dtype(labels[column]):
            raise InputError(
                f"expected numbers in column {column!r} for `{key}`, got such as "
                f"{labels[column].iloc[0]!r}."
            )
    return labels[columns].astype(float)


def _homophily(entry, study: Study):
    """Answer whether linked people look more alike."""
    from rsa_faces.figures import plot_homophily

    people = study.labels[entry.people].astype(str)
    if not people.is_unique:
        twice = people[people.duplicated()].iloc[0]
        raise InputError(
            f"expected one image of each person for `analysis: homophily`, but {twice!r} has "
            "several: choose one with `select`."
        )
    ties = _adjacency(entry, people)
    controls = study.labels[entry.controls].set_axis(people) if entry.controls else None
    within = None if entry.within is None else study.labels[entry.within].set_axis(people)
    found = {}
    for name, layer in _layers(entry, study.features).items():
        scores = analyses.similarity_scores(study.features[name], layer=layer)
        called = people.loc[list(scores.index)].to_list()
        found[name] = analyses.homophily(
            ties, scores.set_axis(called).set_axis(called, axis=1), controls=controls,
            within=within, n_permutations=entry.n_permutations, seed=study.seed,
        )  # fmt: skip
    table = pd.concat([result.table.assign(network=name) for name, result in found.items()])
    return _first(table, "network"), [plot_homophily(found)[0].figure]


def _adjacency(entry, people: pd.Series) -> pd.DataFrame:
    """Return ties between people from a table with the columns a, b and, if signed, sign."""
    ties = read_table(
        entry.ties, what="a table of ties", text=["a", "b"], numbers=["sign"], optional=["sign"]
    )
    if unknown := set(ties) - {"a", "b", "sign"}:
        raise InputError(
            f"expected the columns a, b and, for negative ties, sign in {entry.ties}, got "
            f"{min(unknown)!r}, too."
        )
    if "sign" in ties and ties["sign"].isna().any():
        row = int(ties["sign"].isna().to_numpy().argmax())
        raise InputError(
            f"expected a sign of every tie in {entry.ties}, but data row {row + 1} has none."
        )
    names = people.to_list()
    unknown = sorted({*ties["a"].astype(str), *ties["b"].astype(str)} - set(names))
    if unknown:
        raise InputError(
            f"expected ties between people of column {entry.people!r}, but {len(unknown)} are not "
            f"there, such as {unknown[0]!r}."
        )
    frame = pd.DataFrame(0.0, names, names)
    for row in ties.itertuples(index=False):
        value = float(getattr(row, "sign", 1))
        frame.loc[row.a, row.b] = value
        if not entry.directed:
            frame.loc[row.b, row.a] = value
    return frame


def _membership(entry, study: Study):
    """Answer whether people a network was trained on can be told."""
    from rsa_faces.figures import plot_membership

    people = None if entry.people is None else study.labels[entry.people]
    tables, figures = [], []
    for name, layer in _layers(entry, study.features).items():
        found = analyses.membership(
            analyses.similarity_scores(study.features[name], layer=layer),
            study.labels[entry.members], people=people, n_permutations=entry.n_permutations,
            seed=study.seed,
        )  # fmt: skip
        tables.append(found.table.assign(network=name, layer=layer))
        figures.append(plot_membership(found)[0].figure)
    return _first(pd.concat(tables), "network", "layer"), figures


def _first(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the table with these columns in front."""
    return table[[*columns, *table.columns.drop(list(columns))]]


_ANSWERS = {
    "readout": _readout,
    "transfer": _transfer,
    "congruence": _congruence,
    "groups": _groups,
    "components": _components,
    "scores": _scores,
    "map": _map,
    "agreement": _agreement,
    "robustness": _robustness,
    "confidence": _confidence,
    "topography": _topography,
    "stimuli": _stimuli,
    "landmarks": _landmarks,
    "face space": _face_space,
    "traits": _traits,
    "homophily": _homophily,
    "membership": _membership,
}


def _layers(entry, features) -> dict[str, str]:
    """Return the layer of each network that an analysis asks for."""
    if isinstance(entry.layer, dict) and set(entry.layer) != set(features):
        raise InputError(
            f"expected `layer` for the networks {', '.join(features)}, got "
            f"{', '.join(entry.layer) or 'none'}."
        )
    found = {}
    for name, one in features.items():
        layer = entry.layer[name] if isinstance(entry.layer, dict) else entry.layer
        layers = list(one)
        found[name] = layers[-1] if layer == "last" else check_choice(
            layer, layers, what=f"layer of {name}:"
        )  # fmt: skip
    return found
