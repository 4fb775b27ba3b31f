"""The methods paragraph: what was done, with its numbers and references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsa_faces import __version__
from rsa_faces._core.words import between, counted
from rsa_faces.comparison import METHODS
from rsa_faces.comparison.methods import NILI, SCHUETT
from rsa_faces.inference import Result
from rsa_faces.rdm import MEASURES

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
_CORRECTIONS = {
    "fdr": "controlling the false discovery rate",
    "bonferroni": "by Bonferroni's method",
    "holm": "by Holm's method",
}
_FAMILIES = {
    "region": "within a region and set of conditions",
    "all": "over all regions and sets of conditions",
}
_DRAWN = {
    "both": "subjects and conditions (two-factor variance)",
    "subjects": "subjects",
    "conditions": "conditions",
}


def references_used(result: Result) -> list[str]:
    """Return the references of the methods a result used, as numbered in the paragraph.

    Parameters
    ----------
    result : Result

    Returns
    -------
    list of str
        The first is [1] in :func:`methods_text`, and so on.

    See Also
    --------
    methods_text : Write the methods paragraph of a paper.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> data = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models[:2], data, n_boot=100)
    >>> rf.report.references_used(result)[0][:40]
    'Kriegeskorte N., Mur M., Bandettini P. ('
    """
    return [REFERENCES.get(key, key) for key in _keys(result)]


def _keys(result: Result) -> list[str]:
    """Return the keys of references in the order in which the paragraph cites them."""
    keys = ["rsa"]
    method = METHODS.get(result.settings["method"].removeprefix("partial-"))
    if method is not None and method.whitened:
        keys.append("whitened")
    elif method is not None and method.citation not in (None, SCHUETT, NILI):
        keys.append(method.citation)
    if (result.ceilings["n_subjects"] > 1).any():
        keys.append("ceiling")
    keys.append("inference")
    if result.settings["correction"] in REFERENCES:
        keys.append(result.settings["correction"])
    return keys


def methods_text(result: Result, *, measure: str, networks: Sequence[str]) -> str:
    """Write the methods paragraph of a paper.

    Parameters
    ----------
    result : Result
    measure : str
        How the RDMs of layers were made.
    networks : sequence of str
        Names of the networks; rows of the result with other names are model RDMs.

    Returns
    -------
    str
        A paragraph with the numbers of this run; [1], [2] … are :func:`references_used`.

    See Also
    --------
    references_used : Return the references of the methods a result used.
    rsa_faces.report.write_report : Write the report as one HTML file that needs nothing else.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> data = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models[:2], data, n_boot=100)
    >>> text = rf.report.methods_text(result, measure="correlation", networks=[])
    >>> "[1]" in text
    True
    """
    settings = result.settings
    keys = _keys(result)
    cite = {key: f" [{keys.index(key) + 1}]" if key in keys else "" for key in REFERENCES}
    of_method = "".join(f" [{i + 1}]" for i, key in enumerate(keys) if key not in REFERENCES)
    ceilings = (
        "Noise ceilings are the mean similarity of each subject's RDM with the pooled RDM of the "
        f"other subjects (lower) and of all subjects (upper){cite['ceiling']}. "
        if "ceiling" in keys
        else ""
    )
    against = "zero, against the lower noise ceiling" if ceilings else "zero"
    return (
        f"{_models(result, measure, networks, cite['rsa'])} Each was compared with each subject's "
        "RDM (their mean, where a subject has several) by "
        f"{_comparison(settings)}{cite['whitened']}{of_method}, and "
        f"similarities were averaged over subjects, in {_regions(result)}. {ceilings}"
        f"{_runs(settings)}{_errors(settings)}{cite['inference']}. Similarities were tested "
        f"against {against} and against each other with {_tails(settings)} "
        f"({_freedom(settings)}); p values were corrected over all tests of one kind "
        f"{_FAMILIES[settings.get('family', 'region')]}, {_CORRECTIONS[settings['correction']]}"
        f"{cite.get(settings['correction'], '')}; α = {settings['alpha']:g}. Conclusions "
        f"generalise to {_by_region(settings['generalises_to'])}. Computed with rsa-faces "
        f"{__version__}, seed {settings['seed']}."
    )


def _runs(settings: Mapping[str, Any]) -> str:
    """Return the sentence on runs."""
    if not settings.get("blocks"):
        return ""
    return "Only pairs of conditions within a run were used, and similarities averaged over runs. "


def _errors(settings: Mapping[str, Any]) -> str:
    """Return where standard errors come from."""
    drawn = _by_region(settings["generalise_to"], _DRAWN)
    together = ", conditions of a group drawn together" if settings.get("groups") else ""
    if settings["uncertainty"] == "analytic":
        together = together.replace("drawn", "taken")
        return f"Standard errors are those of {drawn} in closed form{together}"
    n_boot = _by_region(settings["n_boot"])
    return f"Standard errors come from {n_boot} bootstrap samples of {drawn}{together}"


def _tails(settings: Mapping[str, Any]) -> str:
    """Return which t-tests were made."""
    tail = settings.get("tail", "two-sided")
    if tail == "two-sided":
        return "two-sided t-tests"
    return f"t-tests, against zero one-sided ({tail}), all others two-sided"


def _comparison(settings: Mapping) -> str:
    """Return the name of the comparison method, and what was regressed out."""
    name = settings["method"]
    if not settings.get("given"):
        return _label(METHODS, name)
    label = _label(METHODS, name.removeprefix("partial-"))
    return f"partial {label} ({', '.join(settings['given'])} regressed out)"


def _label(registry: Mapping, name: str) -> str:
    """Return what a method or measure is called; functions of the user by their name."""
    return registry[name].label if name in registry else name


def _models(result: Result, measure: str, networks: Sequence[str], cite: str) -> str:
    """Return the sentences on where the models come from."""
    table = result.table[["network", "layer"]].drop_duplicates()
    of_network = table["network"].isin(networks)
    others = list(dict.fromkeys(table.loc[~of_network, "network"]))
    sentences = []
    if of_network.any():
        sentences.append(
            f"Activations of {counted(int(of_network.sum()), 'layer')} of "
            f"{counted(len(networks), 'network')} ({', '.join(networks)}) were turned into "
            f"representational dissimilarity matrices (RDMs; {_label(MEASURES, measure)} "
            f"between the patterns of each pair of conditions){cite}."
        )
    if others:
        opening = "Further model" if sentences else "Model"
        end = "" if sentences else cite
        sentences.append(f"{opening} RDMs were {', '.join(others)}{end}.")
    return " ".join(sentences)


def _regions(result: Result) -> str:
    """Return regions and subsets with their numbers and ceilings."""
    parts = []
    for _, row in result.ceilings.iterrows():
        name = row["region"] or "the data"
        name += "" if row["subset"] == "all" else f", {row['subset']}"
        text = f"{name} (n = {counted(row['n_subjects'], 'subject')}, "
        text += f"{row['n_conditions']} conditions; "
        if row["n_subjects"] < 2:
            text += "no noise ceiling)"
        else:
            text += f"noise ceiling {between(row['ceiling_low'], row['ceiling_high'])}"
            text += ")" if row["reliable"] else ", no reliable signal)"
        parts.append(text)
    return "; ".join(parts)


def _by_region(value: Any, words: Mapping[Any, str] | None = None) -> str:
    """Return a setting in words, with the regions it holds for where regions differ."""

    def say(v: Any) -> str:
        return words[v] if words else f"{v:,}" if isinstance(v, int) else str(v)

    if not isinstance(value, Mapping):
        return say(value)
    groups: dict[Any, list[str]] = {}
    for region, v in value.items():
        groups.setdefault(v, []).append(region)
    if len(groups) == 1:
        return say(next(iter(groups)))
    return "; ".join(f"{say(v)} ({', '.join(regions)})" for v, regions in groups.items())


def _freedom(settings: Mapping[str, Any]) -> str:
    """Return the degrees of freedom."""
    value = settings["degrees_of_freedom"]
    if not isinstance(value, Mapping):
        return f"{value} degrees of freedom"
    return "degrees of freedom: number of drawn subjects or conditions, the smaller, minus 1"
