"""One region of a study: its subjects, what was found there, and the tables of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.labels import check_kinds
from rsa_faces._core.student import t_test
from rsa_faces.comparison import Method, max_similarity
from rsa_faces.inference._design import Design, Units, check_design
from rsa_faces.inference._estimate import Estimate
from rsa_faces.inference._result import CEILINGS, PAIRS, SUBJECTS, TABLE, Result, with_corrected
from rsa_faces.inference._study import pairs_of
from rsa_faces.inference._subjects import subject_means
from rsa_faces.inference.ceilings import check_one_each, shared_structure
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False)
class Region:
    """The data of one region, one RDM per subject, and what is asked of them."""

    data: RDMs
    name: str
    subset: str
    method: Method
    design: Design
    units: Units
    weights: RDMs | None = None  # how much each pair of each subject counts

    @property
    def where(self) -> str:
        """Region and subset, for notes."""
        where = f"region {self.name!r}" if self.name else "the data"
        return where if self.subset == "all" else f"{where}, {self.subset}"

    @property
    def subjects(self) -> np.ndarray:
        """The name of each subject."""
        return self.data.labels[self.design.by].astype(str).to_numpy()

    def check_numbers(self) -> list[str]:
        """Return notes where numbers are small; raise where nothing can be drawn."""
        notes = check_design(
            n_subjects=len(self.data),
            n_conditions=self.units.n_groups,
            generalise_to=self.design.generalise_to,
            what=self.where,
            groups=self.units.grouped,
        )
        sizes = np.bincount(self.units.strata)
        if self.design.draws_conditions and len(sizes) > 1:
            smallest = int(sizes.argmin())
            check_design(
                n_subjects=2,
                n_conditions=int(sizes[smallest]),
                generalise_to="conditions",
                what=f"run {self.units.names[smallest]!r} of {self.where}",
                groups=self.units.grouped,
            )
        return notes

    def usable(self, *, drop: bool) -> tuple[Region, list[str]]:
        """Name the subjects and conditions that nothing can be compared with; drop them if asked.

        Subjects whose RDM is constant or empty in a run they have, or empty altogether; conditions
        of which no subject has a pair.
        """
        vectors, used = self.data.vectors, self.units.used
        n_conditions = self.data.n_conditions
        row, col = np.triu_indices(n_conditions, k=1)
        present = (~np.isnan(vectors)).any(axis=0) & used
        has = np.zeros(n_conditions, bool)
        has[row[present]] = has[col[present]] = True
        spoilt = np.isnan(vectors[:, used]).all(axis=1)
        for run in self.units.runs:
            values = vectors[:, pairs_of(run, n_conditions)]
            low = np.where(np.isnan(values), np.inf, values).min(axis=1)
            high = np.where(np.isnan(values), -np.inf, values).max(axis=1)
            spoilt |= (low == high) & ((low == 0) | (self.method.centres))
        notes, region = [], self
        left = "is left out" if drop else "spoils what it is compared with"
        if spoilt.any() and not spoilt.all():
            named = ", ".join(map(repr, self.subjects[spoilt][:5]))
            notes.append(
                f"{self.where}: the RDM of {self.design.by} {named} is constant or empty "
                f"and {left}."
            )
            if drop:
                region = region.reduced(lambda rdms: rdms[np.flatnonzero(~spoilt)])
        if not has.all() and has.any():
            names = [c for c, there in zip(self.data.conditions, has, strict=True) if not there]
            notes.append(
                f"{self.where}: no subject has a pair of {len(names)} conditions "
                f"({', '.join(map(repr, names[:5]))}); they "
                + ("are left out." if drop else "count for nothing, but are drawn.")
            )
            if drop:
                kept = [c for c, there in zip(self.data.conditions, has, strict=True) if there]
                region = region.reduced(lambda rdms: rdms.subset(kept))
                method = self.method.among(np.flatnonzero(has))
                region = replace(region, method=method)
        return region, notes

    def reduced(self, take: Callable[[RDMs], RDMs]) -> Region:
        """Return the region with some of its subjects or conditions."""
        data, weights = take(self.data), None if self.weights is None else take(self.weights)
        units = self.design.units(data.conditions)
        return replace(self, data=data, weights=weights, units=units)

    def undefined(self, names: pd.DataFrame, undefined: np.ndarray) -> str:
        """Return a note of similarities, (n_models, n_subjects), that are undefined."""
        models = undefined.any(axis=1)
        listed = full_names(names[models])
        note = f"{self.where}: no similarity is defined for {', '.join(listed[:5])}"
        if undefined[models].all():
            return f"{note} (constant over these conditions)."
        who = self.subjects[undefined[models].any(axis=0)]
        return (
            f"{note} in {self.design.by} {', '.join(map(repr, who[:5]))} (constant over these "
            "conditions, or fewer than 3 pairs): no mean is given. unusable='drop' leaves out "
            "subjects whose RDM is constant or empty."
        )


def regions_of(
    data: RDMs, design: Design, method: Method, subset: str, weights: RDMs | None = None
) -> Iterator[Region]:
    """Yield each region of the data, with one RDM per subject."""
    units = design.units(data.conditions)
    labels = data.labels
    if "region" in labels:
        check_kinds(labels["region"].tolist(), "region")
    for name in dict.fromkeys(labels["region"]) if "region" in labels else [""]:
        part, own = data, weights
        if "region" in labels:
            part = data.sel(region=name)
            own = None if weights is None else weights.sel(region=name)
        subjects = subject_means(part, design.by)
        if own is not None:
            check_one_each(part, subjects)
        yield Region(subjects, str(name), subset, method, design, units, own)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was found of models in a region, before it becomes tables.

    Parameters
    ----------
    names : DataFrame
        `network`, `layer`, `layer_index` and `depth` of each model.
    estimate : Estimate
        Similarities of subjects and variances.
    means : ndarray, shape (n_model,)
    ceilings : (float, float)
        Lower and upper; NaN with one subject.
    largest : ndarray or float
        What ties allow each model.
    label : str
        The method, for tables.
    notes : list of str
    settings : dict
        More than those of the design.
    interval : ndarray, shape (2, n_model), or None
        Where it is not that of the t-tests.
    given : RDMs or None
        What was regressed out.
    """

    names: pd.DataFrame
    estimate: Estimate
    means: np.ndarray
    ceilings: tuple[float, float]
    largest: np.ndarray | float
    label: str
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    interval: np.ndarray | None = None
    given: RDMs | None = None


def result_of(region: Region, outcome: Outcome) -> Result:
    """Return the tables of one region, p corrected within it."""
    design, data, estimate = region.design, region.data, outcome.estimate
    names, means, (low, high) = outcome.names, outcome.means, outcome.ceilings
    n_model, freedom, notes = len(names), estimate.freedom, list(outcome.notes)
    reliable = _reliable(region, outcome, notes)
    where = {
        "subset": region.subset,
        "region": region.name,
        "method": outcome.label,
        "n_subjects": len(data),
        "n_conditions": data.n_conditions,
    }
    sem = design.sem(estimate.variance)
    half = design.half_width(sem[:n_model], freedom)
    unmeasured = np.isnan(sem[:n_model]) & ~np.isnan(means)
    if unmeasured.any():
        models = full_names(names[unmeasured])
        notes.append(
            f"{region.where}: no standard error can be given for {', '.join(models[:5])}: its "
            "similarity is the same in every sample."
        )
    ci_low, ci_high = (means - half, means + half) if outcome.interval is None else outcome.interval
    to_ceiling = design.sem(estimate.difference_variance[:n_model, n_model])
    bounds = {"ceiling_low": low, "ceiling_high": high, "reliable": reliable["reliable"]}
    table = names.assign(
        **where,
        similarity=means,
        sem=sem[:n_model],
        ci_low=ci_low,
        ci_high=ci_high,
        p=design.p_values(means, sem[:n_model], freedom),
        p_ceiling=t_test(means - low, to_ceiling, freedom),
        max_similarity=outcome.largest,
        **bounds,
        n_pairs=int(((~np.isnan(data.vectors)).any(axis=0) & region.units.used).sum()),
    )
    one_subject = len(data) < 2
    errors = np.full(2, np.nan) if one_subject else sem[n_model:]
    errors = dict(zip(("ceiling_low_sem", "ceiling_high_sem"), errors, strict=True))
    ceilings = pd.DataFrame([where | bounds | reliable | errors])[list(CEILINGS)]
    subjects = names.loc[np.repeat(names.index, len(data)), ["network", "layer"]].assign(
        **where,
        subject=np.tile(region.subjects, n_model),
        similarity=estimate.similarity.ravel(),
    )[list(SUBJECTS)]
    pairs = _pairs(names, means, design.sem(estimate.difference_variance), freedom)
    return Result(
        with_corrected(table, design.correction)[list(TABLE)],
        with_corrected(pairs.assign(**where), design.correction)[list(PAIRS)],
        subjects.reset_index(drop=True),
        ceilings,
        settings=design.settings(
            method=outcome.label,
            degrees_of_freedom=freedom,
            **{"given": [], "weights": False, "sigma_k": False} | outcome.settings,
        ),
        notes=tuple(notes),
    )


def model_names(model: RDMs) -> pd.DataFrame:
    """Return network, layer, layer_index and depth of each model RDM."""
    labels = model.labels
    rows = range(len(model))
    network = pd.Series([f"model {i + 1}" for i in rows], rows, dtype=object)
    for label in [label for label in ("name", "network") if label in labels]:
        # Layers and models that were put together have one or the other.
        network = labels[label].astype(object).where(labels[label].notna(), network)
    layer = labels["layer"].fillna("").astype(str) if "layer" in labels else ""
    return pd.DataFrame(
        {
            "network": network.astype(str),
            "layer": layer,
            "layer_index": labels["layer_index"].fillna(0) if "layer_index" in labels else 0,
            "depth": labels["depth"].astype(float) if "depth" in labels else np.nan,
        },
        index=rows,
    )


def full_names(names: pd.DataFrame) -> list[str]:
    """Return network and layer of models in one."""
    return names[["network", "layer"]].agg(" ".join, axis=1).str.strip().tolist()


def largest_within(model: RDMs, units: Units, method: Method) -> np.ndarray:
    """Return the largest similarity ties allow each model, the mean over runs."""
    runs = [model.subset([model.conditions[i] for i in run]) for run in units.runs]
    return np.mean([max_similarity(run, method=method) for run in runs], axis=0)


def _reliable(region: Region, outcome: Outcome, notes: list[str]) -> dict:
    """Return whether subjects share structure; add to the notes."""
    low, high = outcome.ceilings
    design = region.design
    if len(region.data) < 2:
        notes.append(f"{region.where}: no noise ceiling, because there is one subject (RDM).")
        return {"p_reliable": np.nan, "reliable": None}
    p = shared_structure(
        region.data,
        method=region.method,
        by=design.by,
        given=outcome.given,
        blocks=design.blocks,
        seed=design.seed,
    )
    if np.isnan(low):
        notes.append(f"{region.where}: no noise ceiling is defined.")
        return {"p_reliable": p, "reliable": None}
    reliable = bool(p < design.alpha and low > 0)
    if not reliable:
        notes.append(
            f"{region.where}: no reliable signal. The subjects do not share structure (lower "
            f"ceiling {low:.3f}, permutation p = {p:.3f}); the upper ceiling ({high:.3f}) is only "
            "each subject's own share in the mean."
        )
    return {"p_reliable": p, "reliable": reliable}


def _pairs(names, means, sem, freedom) -> pd.DataFrame:
    """Return the tests of all pairs of models."""
    a, b = np.triu_indices(len(means), k=1)
    difference = means[a] - means[b]
    columns = {
        f"{column}_{side}": names[column].to_numpy()[rows]
        for side, rows in (("a", a), ("b", b))
        for column in ("network", "layer")
    }
    return pd.DataFrame(
        columns
        | {"difference": difference, "sem": sem[a, b], "p": t_test(difference, sem[a, b], freedom)}
    )
