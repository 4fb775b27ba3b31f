"""The methods paragraph: what was done, with its numbers and references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsa_faces import __version__
from rsa_faces.inference import Result

REFERENCES = {
    "rsa": "Kriegeskorte N., Mur M., Bandettini P. (2008). Representational similarity analysis: "
    "connecting the branches of systems neuroscience. Frontiers in Systems Neuroscience 2:4. "
    "https://doi.org/10.3389/neuro.06.004.2008",
    "ceiling": "Nili H. et al. (2014). A toolbox for representational similarity analysis. PLoS "
    "Computational Biology 10, e1003553. https://doi.org/10.1371/journal.pcbi.1003553",
    "inference": "Schütt H. H. et al. (2023). Statistical inference on representational "
    "geometries. eLife 12, e82566. https://doi.org/10.7554/eLife.82566",
    "whitened": "Diedrichsen J. et al. (2021). Comparing representational geometries using "
    "whitened unbiased-distance-matrix similarity. Neurons, Behavior, Data analysis, and Theory "
    "5(3). https://doi.org/10.51628/001c.27664",
    "fdr": "Benjamini Y., Hochberg Y. (1995). Controlling the false discovery rate. Journal of the "
    "Royal Statistical Society B 57, 289-300. https://doi.org/10.1111/j.2517-6161.1995.tb02031.x",
    "holm": "Holm S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian "
    "Journal of Statistics 6, 65-70.",
}
_METHODS = {
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "rho-a": "Spearman correlation with ties broken at random (rho-a)",
    "kendall": "Kendall's tau-b",
    "tau-a": "Kendall's tau-a",
    "cosine": "cosine similarity",
    "corr_cov": "whitened Pearson correlation",
    "cosine_cov": "whitened cosine similarity",
}
_MEASURES = {
    "correlation": "1 − Pearson correlation",
    "cosine": "1 − cosine",
    "euclidean": "Euclidean distance",
    "sqeuclidean": "squared Euclidean distance",
}
_CORRECTIONS = {
    "fdr": "controlling the false discovery rate (Benjamini and Hochberg)",
    "bonferroni": "by Bonferroni's method",
    "holm": "by Holm's method",
}


def references_used(result: Result) -> list[str]:
    """Return the references of the methods a result used."""
    keys = ["rsa", "ceiling", "inference"]
    if str(result.settings["method"]).endswith("_cov"):
        keys.append("whitened")
    if result.settings["correction"] in REFERENCES:
        keys.append(result.settings["correction"])
    return [REFERENCES[key] for key in keys]


def methods_text(result: Result, *, measure: str, networks: Sequence[str]) -> str:
    """Write the methods paragraph of a paper.

    Parameters
    ----------
    result : Result
    measure : str
        How the RDMs of layers were made.
    networks : sequence of str
        Names of the networks.

    Returns
    -------
    str
        A paragraph with the numbers of this run.
    """
    settings = result.settings
    table = result.table
    n_layers = table[table["network"].isin(networks)][["network", "layer"]].drop_duplicates()
    regions = [
        f"{row['region']}{'' if row['subset'] == 'all' else ', ' + row['subset']} "
        f"(n = {row['n_subjects']} subjects, {row['n_conditions']} conditions; "
        + (
            "no noise ceiling)"
            if row["n_subjects"] < 2
            else f"noise ceiling {row['ceiling_low']:.3f} to {row['ceiling_high']:.3f}"
            + ("" if row["reliable"] else ", no reliable signal")
            + ")"
        )
        for _, row in result.ceilings.iterrows()
    ]
    return (
        f"Activations of {len(n_layers)} layers of {len(networks)} networks "
        f"({', '.join(networks)}) were turned into representational dissimilarity matrices (RDMs; "
        f"{_MEASURES.get(measure, measure)} between the patterns of each pair of conditions) "
        f"[1]. Model RDMs were compared with each subject's RDM (sessions averaged) by "
        f"{_METHODS[settings['method']]}, and similarities averaged over subjects, in "
        f"{'; '.join(regions)}. Noise ceilings are the mean similarity of each subject's RDM with "
        "the pooled RDM of the other subjects (lower) and of all subjects (upper) [2]. Standard "
        f"errors come from {_per_region(settings, 'n_boot')} bootstrap samples of "
        f"{_drawn(settings)} [3]; similarities were tested against zero, against the lower noise "
        f"ceiling and against each other with two-sided t-tests "
        f"({_freedom(settings)}), corrected for all tests of one kind within a region and set of "
        f"conditions {_CORRECTIONS[settings['correction']]}; α = {settings['alpha']:g}. "
        f"Conclusions generalise to {_per_region(settings, 'generalises_to')}. Computed with "
        f"rsa-faces {__version__}, seed {settings['seed']}."
    )


def _per_region(settings: Mapping[str, Any], key: str) -> str:
    """Return a setting, by region where regions differ."""
    value = settings[key]
    if not isinstance(value, Mapping):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return "; ".join(f"{v} ({region})" for region, v in value.items())


def _drawn(settings: Mapping[str, Any]) -> str:
    """Return what was drawn in the bootstrap."""
    words = {
        "both": "subjects and conditions (two-factor variance)",
        "subjects": "subjects",
        "conditions": "conditions",
    }
    value = settings["bootstrap"]
    if not isinstance(value, Mapping):
        return words[value]
    return "; ".join(f"{words[v]} ({region})" for region, v in value.items())


def _freedom(settings: Mapping[str, Any]) -> str:
    """Return the degrees of freedom."""
    value = settings["degrees_of_freedom"]
    if not isinstance(value, Mapping):
        return f"{value} degrees of freedom"
    return "degrees of freedom: number of drawn subjects or conditions, the smaller, minus 1"
