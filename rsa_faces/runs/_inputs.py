"""What a run reads, checked before anything is computed or written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces import datasets
from rsa_faces._core.checks import check_choice, check_unique_names
from rsa_faces._core.errors import InputError, check_same_names
from rsa_faces.behaviour import group_rdm, load_rater_rdms
from rsa_faces.inference import Design, check_design
from rsa_faces.mapping._map import model_names
from rsa_faces.rdm import RDMs, concat, model_rdm_from_labels
from rsa_faces.runs._entries import ModelConfig
from rsa_faces.runs._networks import read_stimuli
from rsa_faces.runs._people import people_column
from rsa_faces.runs._sentences import about
from rsa_faces.runs.compare.config import Config, DataConfig
from rsa_faces.runs.compare.regions import stand_ins
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.clips import ClipSet

# Fewer conditions have one pair, or none.
_FEWEST = 3
_RENAME = (
    "Conditions are matched by name: rename them (`rename:`, a table of the columns old and new)"
)
Stimuli = StimulusSet | ClipSet


@dataclass(frozen=True)
class Inputs:
    """Everything a run compares, in one order of conditions: that of the stimuli, if there are.

    `stimuli` are images or clips, or None: where something needs them the configuration has them.
    `data` of regions that the run makes from images are made up until then: only their subjects and
    conditions are known.
    """

    stimuli: Any
    conditions: tuple[str, ...]
    data: Mapping[str, RDMs]
    models: RDMs | None
    given: RDMs | None
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
    stimuli = None if config.stimuli is None else read_stimuli(config.stimuli)
    made = stand_ins(config, stimuli)
    data = {e.region: _data(e, config, made.get(e.region)) for e in config.data}
    models, given = (
        [_read_models(entry, stimuli) for entry in entries]
        for entries in (config.models, config.given)
    )
    sources = [] if stimuli is None else [("the stimuli", stimuli.ids)]
    sources += [(f"the data of region {name!r}", rdms.conditions) for name, rdms in data.items()]
    sources += [
        (f"{what} {', '.join(rdms.labels['network'])}", rdms.conditions)
        for what, entries in (("the models", models), ("the given RDMs", given))
        for rdms in entries
    ]
    conditions, notes = _matched(sources, config.conditions)
    data = {
        region: _checked(rdms.subset(conditions), config, stimuli, region)
        for region, rdms in data.items()
    }
    models, given = (
        concat([_whole(rdms.subset(conditions)) for rdms in entries]) if entries else None
        for entries in (models, given)
    )
    subsets = {
        name: _subset(name, query, conditions, stimuli) for name, query in config.subsets.items()
    }
    _check_partition(config, models)
    groups, blocks = (
        column_of(stimuli, getattr(config.inference, key), f"inference.{key}")
        for key in ("groups", "blocks")
    )
    for entry in config.data:
        n_subjects = _n_subjects(data[entry.region], config.inference.by)
        for subset in subsets.values():
            units = Design(groups=groups).units(subset)
            check_design(
                n_subjects=n_subjects,
                n_conditions=units.n_groups,
                groups=units.grouped,
                generalise_to=entry.generalise_to or config.inference.generalise_to,
                what=f"region {entry.region!r}",
            )
    _check_figures(config, data, stimuli)
    if groups is None and stimuli is not None:
        notes += people_note(stimuli)
    return Inputs(stimuli, conditions, data, models, given, subsets, groups, blocks, notes)


def _matched(
    sources: Sequence[tuple[str, tuple[str, ...]]], rule: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the conditions that are compared, in the order of the first, and a note."""
    name, first = sources[0]
    if rule == "same":
        for other, names in sources[1:]:
            more = "leave some out, or take those that all have (`conditions: intersection`)."
            check_same_names(first, names, name, other, f"{_RENAME}, {more}")
        return tuple(first), ()
    shared = set(first).intersection(*(names for _, names in sources))
    if len(shared) < _FEWEST:
        raise InputError(
            f"expected at least {_FEWEST} conditions that {name} and all others have "
            f"(`conditions: intersection`), but there are {len(shared)}: names are taken as they "
            "stand; rename them with `rename:`."
        )
    left = [
        f"{len(names) - len(shared)} of {len(names)} of {other}"
        for other, names in sources
        if len(names) > len(shared)
    ]
    notes = (
        (f"{len(shared)} conditions that all have are compared; left out are {', '.join(left)}.",)
        if left
        else ()
    )
    return tuple(c for c in first if c in shared), notes


def _check_partition(config: Config, models: RDMs | None) -> None:
    """Raise if `partition` names what is neither a network nor a model."""
    known = [entry.name for entry in config.networks]
    known += [] if models is None else list(models.labels["network"])
    for name, members in (config.partition or {}).items():
        for member in members:
            check_choice(member, known, what=f"network or model in partition.{name}:")


def column_of(stimuli: Any, name: str | None, key: str) -> dict[str, Hashable] | None:
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


def people_note(stimuli: Stimuli) -> tuple[str, ...]:
    """Return a note if the stimulus table says that images show the same people."""
    if name := people_column(stimuli.metadata):
        n_people = stimuli.metadata[name].nunique()
        return (
            f"the stimulus table has {n_people} values of {name!r} for {len(stimuli)} images, "
            "but images are taken as independent: tests reject too often if those of one "
            f"person are alike. Give inference.groups: {name}.",
        )
    return ()


def _fitting(rdms: RDMs, stimuli: Stimuli, what: str) -> RDMs:
    """Return the RDMs in the order of the stimuli; other names are an error."""
    hint = f"{_RENAME}, or leave stimuli out."
    check_same_names(stimuli.ids, rdms.conditions, "the stimuli", what, hint)
    return rdms.align(stimuli.ids)


def _selected(rdms: RDMs, select: Mapping) -> RDMs:
    """Return the RDMs with the labels asked for."""
    return rdms.sel(**select) if select else rdms


def with_regions(inputs: Inputs, config: Config, made: Mapping[str, RDMs]) -> Inputs:
    """Return the inputs with the RDMs that the run has made of images."""
    data = {
        entry.region: _checked(
            _data(entry, config, made[entry.region]).subset(inputs.conditions),
            config,
            inputs.stimuli,
            entry.region,
        )
        for entry in config.data
        if entry.region in made
    }
    return replace(inputs, data={**inputs.data, **data})


def _data(entry: DataConfig, config: Config, made: RDMs | None) -> RDMs:
    """Return one region's data RDMs, with all their conditions; `made` are those of images."""
    what = f"the data of region {entry.region!r}"
    if entry.dataset is not None:
        rdms = datasets.load_dataset(entry.dataset).rdms
    elif made is not None:
        rdms = made
    else:
        rdms = entry.read(config.inference.by)
    if entry.average == "evidence":
        raters = load_rater_rdms(entry.paths[0]).sel(**entry.select)
        rdms = group_rdm(raters.rdms, evidence=raters.evidence)
    else:
        rdms = _selected(rdms, entry.select)
    rdms = entry.with_new_names(rdms)
    by = config.inference.by
    if by not in rdms.labels and "rater" in rdms.labels:
        # Raters are the subjects of judgements.
        rdms = rdms.with_labels(**{by: rdms.labels["rater"]})
    if by not in rdms.labels:
        if len(rdms) > 1:
            check_choice(by, rdms.labels.columns, what=f"label for inference.by in {what}:")
        rdms = rdms.with_labels(**{by: "1"})
    return rdms.with_labels(region=entry.region)


def _checked(rdms: RDMs, config: Config, stimuli, region: str) -> RDMs:
    """Return a region's RDMs, if no pair that is used is missing, or some may be."""
    entry = next(entry for entry in config.data if entry.region == region)
    blocks = column_of(stimuli, config.inference.blocks, "inference.blocks")
    needed = rdms.vectors[:, Design(blocks=blocks).units(rdms.conditions).used]
    if (missing := int(np.isnan(needed).sum())) and not (
        entry.allow_missing or entry.conditions == "union"
    ):
        raise InputError(
            f"expected a value for every pair in the data of region {region!r}, but {missing} of "
            f"{needed.size} are missing (NaN). If those pairs were not measured, set "
            "`allow_missing: true` for this entry; they are then left out of its comparisons."
        )
    return rdms


def _n_subjects(rdms: RDMs, by: str) -> int:
    """Return how many subjects (or other units) the RDMs come from."""
    return rdms.labels[by].nunique(dropna=False)


def read_models(entry: ModelConfig, stimuli: Stimuli | None) -> RDMs:
    """Return whole model RDMs, each with its name in the label `network`.

    Without stimuli, those of a file are taken as they are.
    """
    rdms = _read_models(entry, stimuli)
    if stimuli is not None:
        rdms = _fitting(rdms, stimuli, f"the models {', '.join(rdms.labels['network'])}")
    return _whole(rdms)


def _whole(rdms: RDMs) -> RDMs:
    """Return model RDMs, if no pair is missing."""
    if (undefined := np.isnan(rdms.vectors).any(axis=1)).any():
        raise InputError(
            "expected a value for every pair of model "
            f"{rdms.labels['network'][int(np.argmax(undefined))]!r}, but some are missing (NaN)."
        )
    return rdms


def _read_models(entry: ModelConfig, stimuli: Stimuli | None) -> RDMs:
    """Return model RDMs with all their conditions."""
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
            rdms, source = entry.read(), entry.paths[0].stem
        rdms = _selected(rdms, entry.select)
        names = model_names(rdms.labels, source)
        if len(rdms) == 1 and names == (f"{source} 1",):
            names = (source,)
    rdms = entry.with_new_names(rdms)
    labels = pd.DataFrame({"network": names, "layer": "", "layer_index": 0, "depth": np.nan})
    return RDMs(rdms.vectors, rdms.conditions, rdms.measure, labels)


def _subset(
    name: str,
    query: str | list[str],
    conditions: tuple[str, ...],
    stimuli: Any,
) -> tuple[str, ...]:
    """Return the conditions of a named subset."""
    if query == "all":
        ids = conditions
    elif isinstance(query, str):
        with about(f"subsets.{name}"):
            chosen = set(stimuli.query(query).ids)
        ids = tuple(condition for condition in conditions if condition in chosen)
    else:
        ids = check_unique_names(query, what=f"condition of subset {name!r}")
        for condition in ids:
            check_choice(condition, conditions, what=f"condition of subset {name!r}:")
    if len(ids) < _FEWEST:
        raise InputError(
            f"expected at least {_FEWEST} conditions in subset {name!r}, but {query!r} gives "
            f"{len(ids)}."
        )
    return tuple(ids)


def _check_figures(config: Config, data: Mapping[str, RDMs], stimuli: Any) -> None:
    """Check the names in the `figures` section."""
    section = config.figures
    if section.mds_region is not None:
        check_choice(section.mds_region, data, what="region for figures.mds_region:")
    for key in ("mds_color", "group"):
        if (column := getattr(section, key)) is not None:
            check_choice(column, stimuli.metadata.columns, what=f"column for figures.{key}:")
