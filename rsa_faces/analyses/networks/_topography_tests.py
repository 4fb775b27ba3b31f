"""Differences of central and peripheral similarities, with inference from `evaluate`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.student import half_width, t_test
from rsa_faces._core.warning import warn
from rsa_faces.inference import Result, adjust, evaluate
from rsa_faces.rdm import RDMs


def differences(
    rdms: RDMs, data: RDMs, options: dict[str, Any], correction: str
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Return the tables of layers and of subjects, and the notes."""
    labels = rdms.labels
    rows, subjects, notes = [], [], []
    for (network, layer), group in labels.groupby(["network", "source_layer"], sort=False):
        parts = group["part"].to_numpy()
        if set(parts) != {"central", "peripheral"}:
            raise InputError(
                f"expected central and peripheral RDMs of layer {layer!r}, got only "
                f"{' and '.join(map(repr, sorted(set(parts))))}."
            )
        models = rdms[group.index.to_numpy()]
        # Models go by their places in the result, so that each needs a name of its own.
        names = [f"{i}" for i in range(len(models))]
        models = RDMs(models.vectors, models.conditions, models.measure, {"name": names})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = evaluate(models, data, **options)
        notes += result.notes
        for warning in caught:
            if str(warning.message) not in result.notes:
                warn(str(warning.message), warning.category)
        first = group.iloc[0]
        common = {
            "network": network,
            "layer": layer,
            "layer_index": first.get("layer_index", 0),
            "depth": first.get("depth", np.nan),
        }
        for region in dict.fromkeys(result.table["region"]):
            rows.append(
                {"region": region, **common, **_difference(result, region, parts, options)}
                | {"n_places": first["n_places"]}
            )
            wide = _subjects(result, region, parts)
            for i, (name, value) in enumerate({"region": region, **common}.items()):
                wide.insert(i, name, value)
            subjects.append(wide)
    table = pd.DataFrame(rows)
    corrected = table.groupby("region", sort=False)["p"].transform(
        lambda p: adjust(p.to_numpy(), method=correction)
    )
    table.insert(table.columns.get_loc("p") + 1, "p_corrected", corrected)
    notes = tuple(dict.fromkeys(notes))
    for note in notes:
        warn(note)
    return table, pd.concat(subjects, ignore_index=True), notes


def _subjects(result: Result, region: str, parts: np.ndarray) -> pd.DataFrame:
    """Return each subject's similarity to both parts, and their difference."""
    long = result.subjects[result.subjects["region"] == region]
    long = long.assign(part=parts[long["network"].astype(int)])
    means = long.groupby(["subject", "part"], sort=False)["similarity"].mean().unstack()
    means = means[["central", "peripheral"]].rename_axis(columns=None).reset_index()
    return means.assign(difference=means["central"] - means["peripheral"])


def _difference(result: Result, region: str, parts: np.ndarray, options: dict) -> dict[str, Any]:
    """Return means and the test of their difference, of one layer in one region."""
    table = result.table[result.table["region"] == region].reset_index(drop=True)
    pairs = result.pairs[result.pairs["region"] == region]
    variance = np.zeros((len(parts), len(parts)))
    a, b = pairs["network_a"].astype(int), pairs["network_b"].astype(int)
    variance[a, b] = variance[b, a] = pairs["sem"] ** 2
    c, p = parts == "central", parts == "peripheral"
    # Of a difference of means: variances of differences across parts, less half of those within.
    between = variance[np.ix_(c, p)].mean()
    within = variance[np.ix_(c, c)].mean() / 2 + variance[np.ix_(p, p)].mean() / 2
    # Bootstrap variances of single pairs are bounded one by one, and need not add up.
    sem = np.sqrt(between - within if between > within else between)
    central, peripheral = table["similarity"][c].mean(), table["similarity"][p].mean()
    freedom = result.settings["degrees_of_freedom"]
    freedom = freedom[region] if isinstance(freedom, dict) else freedom
    difference = central - peripheral
    half = half_width(sem, freedom, options["alpha"])
    p_value = t_test(difference, sem, freedom)
    first = table.iloc[0]
    return {
        "method": first["method"],
        "central": central,
        "peripheral": peripheral,
        "difference": difference,
        "sem": sem,
        "ci_low": difference - half,
        "ci_high": difference + half,
        "p": p_value,
        "ceiling_low": first["ceiling_low"],
        "ceiling_high": first["ceiling_high"],
        "n_subjects": first["n_subjects"],
        "n_conditions": first["n_conditions"],
    }
