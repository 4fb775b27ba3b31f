"""Whether one network explains all regions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.comparison import align_pair
from rsa_faces.comparison.unique import semi_partial
from rsa_faces.inference.maps import sign_flip_test
from rsa_faces.inference.multiple import CORRECTIONS, adjust
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured

__all__ = ["RegionModels", "compare_region_models", "semi_partial"]

WEIGHTS = ("shared", "region")


@dataclass(frozen=True, eq=False, repr=False)
class RegionModels(BaseResult):
    """The outcome of :func:`compare_region_models`.

    Parameters
    ----------
    table : DataFrame
        One row per patient and candidate: subject, candidate, n (values), k (coefficients), mse
        (of z-scored RDMs), bic.
    pairs : DataFrame
        One row per pair of candidates: candidate_a, candidate_b, difference (mean of BIC a − b:
        negative where a is better), sem, t, p (sign flips of patients), p_corrected, n_subjects,
        n_a_better.

    See Also
    --------
    compare_region_models

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random((2, 190)), names, "simulated",
    ...                 {"network": ["identity", "expression"]})
    >>> labels = {"subject": np.repeat(range(8), 2), "region": ["ventral", "lateral"] * 8}
    >>> data = rf.RDMs(model.vectors[0] + rng.random((16, 190)), names, "simulated", labels)
    >>> candidates = {"one": "identity", "two": {"ventral": "identity", "lateral": "expression"}}
    >>> found = rf.mapping.compare_region_models(model, data, candidates)
    >>> len(found.table), len(found.pairs)
    (16, 1)
    """

    table: pd.DataFrame
    pairs: pd.DataFrame


@keep_warnings
def compare_region_models(
    model: RDMs,
    data: RDMs,
    candidates: Mapping[str, str | Mapping[str, str]],
    *,
    weights: str = "shared",
    by: str = "subject",
    correction: str = "holm",
) -> RegionModels:
    """Ask whether one network explains all regions as well as a network for each region.

    Parameters
    ----------
    model : RDMs
        Layers with the label ``network``; every pair measured.
    data : RDMs
        With the label ``region``; several RDMs of a patient in a region (times) are averaged.
    candidates : mapping
        Name of each candidate → the network of all regions, or a mapping of region to network:
        ``{"one": "identity", "two": {"ventral": "identity", "lateral": "expression"}}``.
    weights : {"shared", "region"}, default "shared"
        Whether regions with the same network have the same weights of its layers, or each region
        its own. With "region" and equally many layers, all candidates have as many coefficients.
    by : str, default "subject"
        Label that tells patients apart.
    correction : {"fdr", "bonferroni", "holm"}, default "holm"
        For all pairs of candidates.

    Returns
    -------
    RegionModels

    Raises
    ------
    InputError
        If labels, networks or regions are not there, pairs are missing, there are as many
        coefficients as pairs, or fewer than 2 patients have all regions.

    Warns
    -----
    UserWarning
        Of how many patients are left out because they lack a region, and as
        :func:`rsa_faces.inference.sign_flip_test` with few patients.

    See Also
    --------
    electrode_lines : The published comparison, over electrodes.

    Notes
    -----
    In each patient, the RDMs of regions (each z-scored over pairs, so that all count the same) are
    regressed on the z-scored RDMs of the layers of their network, by least squares. With n =
    n_regions · n_pairs values, k coefficients and mse over all of them [1]_,
    BIC = n ln(mse) + k ln n.

    The pairs of an RDM depend on each other, so that n overstates what was measured, and a BIC of
    one patient prefers larger candidates more surely than it should. The test is therefore over
    patients, whose signs are flipped: does the difference of BIC lie around 0? This is not the BIC
    of [2]_, which is taken over electrodes: see :func:`electrode_lines`.

    References
    ----------
    .. [1] Schwarz G. (1978). Annals of Statistics 6, 461-464. doi:10.1214/aos/1176344136
    .. [2] Schwartz E. et al. (2023). Journal of Neuroscience 43(23), 4291.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping.regions import compare_region_models
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random((2, 190)), names, "simulated",
    ...                 {"network": ["identity", "expression"]})
    >>> noise = rng.random((16, 190))
    >>> labels = {"subject": np.repeat(range(8), 2), "region": ["ventral", "lateral"] * 8}
    >>> data = rf.RDMs(model.vectors[0] + noise, names, "simulated", labels)
    >>> candidates = {"one": "identity", "two": {"ventral": "identity", "lateral": "expression"}}
    >>> compare_region_models(model, data, candidates).pairs[["n_a_better", "p"]]
       n_a_better         p
    0           8  0.007812
    """
    check_arguments(compare_region_models, locals())
    check_choice(weights, WEIGHTS, what="weights")
    check_choice(correction, CORRECTIONS, what="correction")
    model, data = align_pair(model, data)
    check_choice("network", model.labels.columns, what="label of models")
    for column in ("region", by):
        check_choice(column, data.labels.columns, what="label of data")
    check_measured(model, "the models")
    check_measured(data, "the data")
    regions = list(dict.fromkeys(data.labels["region"]))
    chosen = _chosen(candidates, regions, list(dict.fromkeys(model.labels["network"])))
    patients, vectors = _complete(data.mean(by=[by, "region"]), by, regions)
    layers = {
        n: _z(model.vectors[(model.labels["network"] == n).to_numpy()])
        for n in dict.fromkeys(model.labels["network"])
    }
    rows = [
        {"subject": patient, "candidate": name} | _bic(values, networks, layers, weights)
        for patient, values in zip(patients, vectors, strict=True)
        for name, networks in chosen.items()
    ]
    table = pd.DataFrame(rows)
    bic = table["bic"].to_numpy().reshape(len(patients), len(chosen))
    return RegionModels(table, _pairs(list(chosen), bic, correction))


def _chosen(candidates, regions, networks) -> dict[str, list[str]]:
    """Return the network of each region for each candidate."""
    if not isinstance(candidates, Mapping) or len(candidates) < 2:
        raise InputError("expected at least 2 candidates, as a mapping of name to network(s).")
    chosen = {}
    for name, choice in candidates.items():
        choice = dict.fromkeys(regions, choice) if isinstance(choice, str) else dict(choice)
        for region in choice:
            check_choice(region, regions, what=f"region of the candidate {name!r}")
        if lacking := [r for r in regions if r not in choice]:
            raise InputError(
                f"expected a network for every region in the candidate {name!r}, but "
                f"{', '.join(map(repr, lacking))} have none."
            )
        for network in choice.values():
            check_choice(network, networks, what=f"network of the candidate {name!r}")
        chosen[str(name)] = [choice[r] for r in regions]
    return chosen


def _complete(data: RDMs, by: str, regions) -> tuple[list, np.ndarray]:
    """Return patients that have all regions, and their RDMs (n_patients, n_regions, n_pairs)."""
    labels = data.labels
    place = labels.reset_index().pivot(index=by, columns="region", values="index")
    place = place.reindex(index=dict.fromkeys(labels[by]), columns=regions)
    whole = place.notna().all(axis=1)
    if whole.sum() < 2:
        raise InputError(
            f"expected at least 2 patients with all of {len(regions)} regions, got "
            f"{int(whole.sum())} of {len(whole)}: patients are the random factor, and with fewer "
            "nothing can be said about others."
        )
    if not whole.all():
        warn(f"{int((~whole).sum())} of {len(whole)} patients are left out: they lack a region.")
    place = place[whole]
    return list(place.index), data.vectors[place.to_numpy(int)]


def _z(vectors: np.ndarray) -> np.ndarray:
    """Return z-scored rows."""
    deviation = vectors.std(axis=-1, keepdims=True)
    if (deviation <= 0).any():
        raise InputError("expected RDMs that vary over pairs, but one is constant.")
    return (vectors - vectors.mean(axis=-1, keepdims=True)) / deviation


def _bic(values: np.ndarray, networks: list[str], layers: dict, weights: str) -> dict:
    """Return n, k, mse and BIC of one patient and candidate."""
    values = _z(values)
    together: dict = {}
    for r, network in enumerate(networks):
        together.setdefault(network if weights == "shared" else (network, r), []).append(r)
    total, k = 0.0, 0
    for key, members in together.items():
        predictors = layers[key if weights == "shared" else key[0]]
        if len(predictors) >= values.shape[1]:
            raise InputError(
                f"expected fewer layers than pairs, got {len(predictors)} layers for "
                f"{values.shape[1]} pairs. Take some layers."
            )
        # Shared weights fit the mean of the regions best; their deviations from it remain.
        fitted = np.linalg.lstsq(predictors.T, values[members].mean(axis=0), rcond=None)[0]
        total += ((values[members] - fitted @ predictors) ** 2).sum()
        k += len(predictors)
    n = values.size
    mse = total / n
    if not mse > 0:
        raise InputError("expected RDMs that differ from what layers predict, got a perfect fit.")
    return {"n": n, "k": k, "mse": mse, "bic": n * np.log(mse) + k * np.log(n)}


def _pairs(names: list[str], bic: np.ndarray, correction: str) -> pd.DataFrame:
    """Return the test of each pair of candidates over patients."""
    rows = []
    for a, b in itertools.combinations(range(len(names)), 2):
        difference = bic[:, a] - bic[:, b]
        row = {"candidate_a": names[a], "candidate_b": names[b]} | flip_one(difference)
        rows.append(row | {"n_a_better": int((difference < 0).sum())})
    return corrected_rows(rows, correction)


def corrected_rows(rows: list[dict], correction: str) -> pd.DataFrame:
    """Return a table of tests with p corrected for all of them."""
    table = pd.DataFrame(rows)
    p_corrected = adjust(table["p"].to_numpy(), method=correction)
    table.insert(table.columns.get_loc("p") + 1, "p_corrected", p_corrected)
    return table


def flip_one(difference: np.ndarray, n_permutations: int = 9999, seed: int = 0) -> dict:
    """Return mean, standard error, t and two-sided p of one difference over patients."""
    n_subjects = len(difference)
    row = {"difference": difference.mean(), "sem": np.nan, "t": np.nan, "p": np.nan}
    if difference.any() and not np.isnan(difference).any():
        test = sign_flip_test(difference[:, None], n_permutations=n_permutations, seed=seed)
        row |= {
            "sem": difference.std(ddof=1) / np.sqrt(n_subjects),
            "t": float(test.t[0]),
            "p": float(test.p[0]),
        }
    elif not difference.any():
        row |= {"sem": 0.0, "t": 0.0, "p": 1.0}
    return row | {"n_subjects": n_subjects}
