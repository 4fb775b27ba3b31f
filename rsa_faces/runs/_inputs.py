"""What a run reads, checked before anything is computed or written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces import datasets
from rsa_faces._core.checks import check_choice, check_unique_names
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces.behaviour import group_rdm, load_rater_rdms
from rsa_faces.inference import Design, check_design
from rsa_faces.rdm import RDMs, concat, model_rdm_from_labels
from rsa_faces.runs._entries import ModelConfig, StimuliConfig
from rsa_faces.runs._networks import read_stimuli
from rsa_faces.runs.compare.config import Config, DataConfig
from rsa_faces.runs.compare.regions import region_rdms, simulated_rdms
from rsa_faces.stimuli import StimulusSet

#: Columns of a stimulus table that say which person an image shows.
PEOPLE = ("people", "person", "identity")


@dataclass(frozen=True)
class Inputs:
    """Everything a run compares, aligned to the stimuli's order."""

    stimuli: StimulusSet
    data: Mapping[str, RDMs]
    models: RDMs | None
    subsets: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, Hashable] | None = None
    blocks: Mapping[str, Hashable] | None = None
    notes: tuple[str, ...] = ()


def read_inputs(config: Config) -> Inputs:
    """Read stimuli, data and models of a configuration and check that they fit each other.

    Raises
    ------
    InputError, FileNotFoundError
        With a sentence that names the key and what to do.
    """
    stimuli = read_stimuli(config.stimuli)
    data = {entry.region: _data(entry, stimuli, config) for entry in config.data}
    models = [read_models(entry, stimuli) for entry in config.models]
    subsets = {name: _subset(name, query, stimuli) for name, query in config.subsets.items()}
    groups, blocks = (
        column_of(stimuli, getattr(config.inference, key), f"inference.{key}")
        for key in ("groups", "blocks")
    )
    for entry in config.data:
        n_subjects = _n_subjects(data[entry.region], config.inference.by)
        for conditions in subsets.values():
            check_design(
                n_subjects=n_subjects,
                n_conditions=Design(groups=groups).units(conditions).n_groups,
                generalise_to=entry.generalise_to or config.inference.generalise_to,
                what=f"region {entry.region!r}",
            )
    _check_figures(config, data, stimuli)
    notes = () if groups is not None else people_note(stimuli)
    return Inputs(stimuli, data, concat(models) if models else None, subsets, groups, blocks, notes)


def column_of(stimuli: StimulusSet, name: str | None, key: str) -> dict[str, Hashable] | None:
    """Return what a column of the stimulus table says of each stimulus; None without a name."""
    if name is None:
        return None
    check_choice(name, stimuli.metadata.columns, what=f"column of the stimulus table for {key}:")
    column = stimuli.metadata[name]
    if column.isna().any():
        raise InputError(
            f"expected a value of {name!r} for every stimulus ({key}: {name}), but "
            f"{column.index[column.isna()][0]!r} has none."
        )
    return dict(zip(stimuli.ids, column.tolist(), strict=True))


def people_note(stimuli: StimulusSet) -> tuple[str, ...]:
    """Return a note if the stimulus table says that images show the same people."""
    for name in PEOPLE:
        if name in stimuli.metadata and stimuli.metadata[name].duplicated().any():
            n_people = stimuli.metadata[name].nunique()
            return (
                f"the stimulus table has {n_people} values of {name!r} for {len(stimuli)} images, "
                "but images are taken as independent: tests reject too often if those of one "
                f"person are alike. Give inference.groups: {name}.",
            )
    return ()


def blocks_of(source: StimuliConfig | None, column: str | None) -> dict[str, Hashable] | None:
    """Return the run of each stimulus, from a column of the stimulus table."""
    return None if column is None else column_of(read_stimuli(source), column, "blocks")


def _fitting(rdms: RDMs, stimuli: StimulusSet, what: str) -> RDMs:
    """Return the RDMs in the order of the stimuli; other names are an error."""
    if set(rdms.conditions) != set(stimuli.ids):
        raise ConditionMismatchError(
            stimuli.ids,
            rdms.conditions,
            left_name="the stimuli",
            right_name=what,
            hint="Conditions are matched by name: rename them (`rename:`, a table of the "
            "columns old and new), or leave stimuli out.",
        )
    return rdms.align(stimuli.ids)


def _selected(rdms: RDMs, select: Mapping) -> RDMs:
    """Return the RDMs with the labels asked for."""
    return rdms.sel(**select) if select else rdms


def _data(entry: DataConfig, stimuli: StimulusSet, config: Config) -> RDMs:
    """Return one region's data RDMs."""
    what = f"the data of region {entry.region!r}"
    if entry.dataset is not None:
        rdms = datasets.load_dataset(entry.dataset).rdms
    elif entry.fmri is not None:
        rdms = region_rdms(entry.fmri, entry.region)
    elif entry.simulated is not None:
        rdms = simulated_rdms(entry.simulated, stimuli, config)
    else:
        rdms = entry.read(config.inference.by)
    if entry.average == "evidence":
        raters = load_rater_rdms(entry.rdms).sel(**entry.select)
        rdms = group_rdm(raters.rdms, evidence=raters.evidence)
    else:
        rdms = _selected(rdms, entry.select)
    rdms = _fitting(entry.with_new_names(rdms), stimuli, what)
    blocks = column_of(stimuli, config.inference.blocks, "inference.blocks")
    needed = rdms.vectors[:, Design(blocks=blocks).units(stimuli.ids).used]
    if (missing := int(np.isnan(needed).sum())) and not (
        entry.allow_missing or entry.conditions == "union"
    ):
        raise InputError(
            f"expected a value for every pair in {what}, but {missing} of {needed.size} are "
            "missing (NaN). If those pairs were not measured, set `allow_missing: true` for this "
            "entry; they are then left out of its comparisons."
        )
    by = config.inference.by
    if by not in rdms.labels and "rater" in rdms.labels:
        # Raters are the subjects of judgements.
        rdms = rdms.with_labels(**{by: rdms.labels["rater"]})
    if by not in rdms.labels:
        if len(rdms) > 1:
            check_choice(by, rdms.labels.columns, what=f"label for inference.by in {what}:")
        rdms = rdms.with_labels(**{by: "1"})
    return rdms.with_labels(region=entry.region)


def _n_subjects(rdms: RDMs, by: str) -> int:
    """Return how many subjects (or other units) the RDMs come from."""
    return rdms.labels[by].nunique(dropna=False)


def read_models(entry: ModelConfig, stimuli: StimulusSet | None) -> RDMs:
    """Return model RDMs, each with its name in the label `network`.

    Without stimuli, those of a file are taken as they are.
    """
    if entry.metadata is not None:
        if stimuli is None:
            raise InputError(
                f"expected `stimuli` beside the model `metadata: {entry.metadata}`, a column of "
                "their table."
            )
        check_choice(entry.metadata, stimuli.metadata.columns, what="column of the stimulus table")
        column = stimuli.metadata[entry.metadata]
        if column.isna().any():
            raise InputError(
                f"expected a value of {entry.metadata!r} for every stimulus, but "
                f"{column.index[column.isna()][0]!r} has none."
            )
        rdms = model_rdm_from_labels(column.tolist(), conditions=stimuli.ids, kind=entry.kind)
        names = [entry.metadata]
    else:
        if entry.dataset is not None:
            rdms, source = datasets.load_dataset(entry.dataset).models, entry.dataset
        else:
            first = entry.rdms[0] if isinstance(entry.rdms, list) else entry.rdms
            rdms, source = entry.read(), first.stem
        rdms = _selected(rdms, entry.select)
        names = _model_names(rdms, source)
    rdms = entry.with_new_names(rdms)
    if stimuli is not None:
        rdms = _fitting(rdms, stimuli, f"the models {', '.join(names)}")
    if (undefined := np.isnan(rdms.vectors).any(axis=1)).any():
        raise InputError(
            f"expected a value for every pair of model {names[int(np.argmax(undefined))]!r}, "
            "but some are missing (NaN)."
        )
    labels = pd.DataFrame({"network": names, "layer": "", "layer_index": 0, "depth": np.nan})
    return RDMs(rdms.vectors, rdms.conditions, rdms.measure, labels)


def _model_names(rdms: RDMs, source: str) -> list[str]:
    """Return the names of models: their own, or that of what holds them, numbered."""
    labels = rdms.labels
    if "name" in labels:
        return labels["name"].astype(str).tolist()
    if {"network", "layer"} <= set(labels):
        return (labels["network"].astype(str) + " " + labels["layer"].astype(str)).tolist()
    return [source] if len(rdms) == 1 else [f"{source} {i + 1}" for i in range(len(rdms))]


def _subset(name: str, query: str | list[str], stimuli: StimulusSet) -> tuple[str, ...]:
    """Return the conditions of a named subset."""
    if query == "all":
        ids = stimuli.ids
    elif isinstance(query, str):
        ids = stimuli.query(query).ids
    else:
        ids = check_unique_names(query, what=f"condition of subset {name!r}")
        for condition in ids:
            check_choice(condition, stimuli.ids, what=f"condition of subset {name!r}:")
    if len(ids) < 3:
        raise InputError(
            f"expected at least 3 conditions in subset {name!r}, but {query!r} gives {len(ids)}."
        )
    return tuple(ids)


def _check_figures(config: Config, data: Mapping[str, RDMs], stimuli: StimulusSet) -> None:
    """Check the names in the `figures` section."""
    section = config.figures
    if section.mds_region is not None:
        check_choice(section.mds_region, data, what="region for figures.mds_region:")
    for key in ("mds_color", "group"):
        if (column := getattr(section, key)) is not None:
            check_choice(column, stimuli.metadata.columns, what=f"column for figures.{key}:")
