"""Evaluation: similarities of models with data, tested, with intervals and ceilings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.comparison import align_given, align_pair, max_similarity, resolve
from rsa_faces.inference._result import CEILINGS, PAIRS, SUBJECTS, TABLE, Result
from rsa_faces.inference._subjects import subject_means
from rsa_faces.inference.bootstrap import bootstrap_estimate
from rsa_faces.inference.ceilings import noise_ceiling, shared_structure
from rsa_faces.inference.multiple import CORRECTIONS, adjust
from rsa_faces.rdm import RDMs

BOOTSTRAPS = {
    "subjects": "new subjects, but these conditions only",
    "conditions": "new conditions, but these subjects only",
    "both": "new subjects and new conditions",
}
FEW_SUBJECTS = 5
FEW_CONDITIONS = 20


def evaluate(
    model: RDMs,
    data: RDMs,
    *,
    method: str = "rho-a",
    bootstrap: str = "both",
    n_boot: int = 1000,
    seed: int = 0,
    by: str = "subject",
    groups: Mapping[str, object] | None = None,
    alpha: float = 0.05,
    correction: str = "fdr",
    interval: str = "t",
    given: RDMs | None = None,
    subset: str = "all",
) -> Result:
    """Evaluate how well models predict data, and how far the answer can be trusted.

    Parameters
    ----------
    model : RDMs
        Model RDMs; labels ``network``, ``layer``, ``layer_index`` and ``depth``, or ``name``, go
        into the result.
    data : RDMs
        RDMs of subjects. If there is a label ``region``, each region is evaluated on its own.
    method : str, default "rho-a"
        Comparison method, as in :func:`rsa_faces.compare`.
    bootstrap : {"both", "subjects", "conditions"}, default "both"
        What is drawn anew, and so what the conclusions generalise to.
    n_boot : int, default 1000
        Number of bootstrap samples.
    seed : int, default 0
        The same seed gives the same result.
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one (sessions) are averaged first.
    groups : mapping of condition to group, optional
        Conditions that belong together (images of an identity) are drawn together.
    alpha : float, default 0.05
        Level of the tests of reliability named in the notes; intervals cover 1 − alpha.
    correction : {"fdr", "bonferroni", "holm"}, default "fdr"
        For the tests of all models in a region against 0, of all against the ceiling, and of all
        pairs.
    interval : {"t", "percentile"}, default "t"
        Intervals of the t-tests, or quantiles of the bootstrap samples. Drawing both factors makes
        the latter too wide, because they hold the variance of each factor twice.
    given : RDMs, optional
        RDMs regressed out of models and data (of their ranks for spearman): similarities are
        partial correlations, and the ceiling is that of what is left. For pearson and spearman.
    subset : str, default "all"
        Name of this selection of conditions, for the tables.

    Returns
    -------
    Result
        Similarities are means over subjects of the observed data. All tests are two-sided t-tests
        on the bootstrap's standard error, with min(n_subjects, n_conditions) − 1 degrees of
        freedom (for one factor: its n − 1); the intervals are those of the tests.

    Raises
    ------
    ConditionMismatchError
        If model and data hold different conditions.
    InputError
        If one subject (or fewer than 3 conditions) is to be drawn from, or an option is unknown.

    Warns
    -----
    UserWarning
        For each note of the result: fewer than 5 subjects or 20 conditions, no ceiling with one
        subject, subjects that share no structure, models that are constant.

    Notes
    -----
    A bootstrap sample of conditions never compares a condition with its own copy. "both" combines
    three bootstraps (subjects, conditions, both) into the variance of [1]_. With one factor the
    bootstrap variance is multiplied by n / (n − 1). The ceiling of a sample is that of the subjects
    drawn, each with the pool of the other observed subjects (of conditions drawn, if they are).

    Subjects share structure (`reliable`) if shuffling the conditions of each subject seldom gives
    as much agreement (p < alpha) and the lower ceiling is above 0.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models.sel(name="animacy"), behaviour, n_boot=200)
    >>> result.to_frame()[["region", "network", "n_subjects", "n_conditions"]]
          region  network  n_subjects  n_conditions
    0  behaviour  animacy          16            92
    """
    method = resolve(method)
    check_choice(bootstrap, BOOTSTRAPS, what="bootstrap")
    check_choice(correction, CORRECTIONS, what="correction")
    check_choice(interval, ["t", "percentile"], what="interval")
    check_count(n_boot, what="n_boot", low=2)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    model, data = align_pair(model, data)
    if np.isnan(model.vectors).any():
        raise InputError(
            f"expected model RDMs without missing pairs, got "
            f"{int(np.isnan(model.vectors).sum())} NaN. Leave those conditions out with subset()."
        )
    if method.whitened and np.isnan(data.vectors).any():
        raise InputError(
            f"the method {method.name!r} needs every pair, but some are missing (NaN)."
        )
    if given is not None:
        given = align_given(given, model, data, method)
    labels = data.labels
    regions = list(dict.fromkeys(labels["region"])) if "region" in labels else [""]
    results = []
    for region in regions:
        part = data if region == "" else data.sel(region=region)
        results.append(
            _evaluate_region(
                model,
                subject_means(part, by),
                str(region),
                subset,
                method,
                bootstrap,
                n_boot,
                seed,
                by,
                _group_codes(groups, model.conditions),
                alpha,
                correction,
                given,
                interval,
            )  # fmt: skip
        )
    result = Result.concat(results)
    for note in result.notes:
        warnings.warn(note, stacklevel=2)
    return result


def check_design(
    *, n_subjects: int, n_conditions: int, bootstrap: str, what: str = "the data"
) -> list[str]:
    """Check whether numbers allow the conclusions asked for.

    Parameters
    ----------
    n_subjects, n_conditions : int
        How many there are (of groups, where conditions are drawn in groups).
    bootstrap : {"both", "subjects", "conditions"}
        What is drawn.
    what : str
        What it is about, for messages.

    Returns
    -------
    list of str
        Notes where numbers are small.

    Raises
    ------
    InputError
        If subjects are to be drawn and there is one, or conditions and there are fewer than 4.
    """
    notes = []
    if bootstrap != "conditions":
        if n_subjects < 2:
            raise InputError(
                f"expected at least 2 subjects in {what} for bootstrap={bootstrap!r}, got "
                f"{n_subjects}: nothing can be said about new subjects. Use "
                "bootstrap: conditions, which generalises to new conditions for this subject."
            )
        if n_subjects < FEW_SUBJECTS:
            notes.append(
                f"{what}: {n_subjects} subjects are too few to generalise to new subjects with "
                f"confidence; the tests are approximate below {FEW_SUBJECTS}."
            )
    if bootstrap != "subjects":
        if n_conditions < 4:
            raise InputError(
                f"expected at least 4 conditions in {what} for bootstrap={bootstrap!r}, got "
                f"{n_conditions}."
            )
        if n_conditions < FEW_CONDITIONS:
            notes.append(
                f"{what}: {n_conditions} conditions are too few to generalise to new conditions "
                f"with confidence; the tests are approximate below {FEW_CONDITIONS}."
            )
    return notes


def _evaluate_region(
    model,
    data,
    region,
    subset,
    method,
    bootstrap,
    n_boot,
    seed,
    by,
    groups,
    alpha,
    correction,
    given,
    interval,
) -> Result:
    """Return the result of one region; `data` has one RDM per subject."""
    n_subjects, n_conditions = len(data), data.n_conditions
    n_groups = int(groups.max()) + 1
    where = f"region {region!r}" if region else "the data"
    where += "" if subset == "all" else f", {subset}"
    notes = check_design(
        n_subjects=n_subjects, n_conditions=n_groups, bootstrap=bootstrap, what=where
    )
    estimate = bootstrap_estimate(
        model.vectors,
        data.vectors,
        method=method,
        bootstrap=bootstrap,
        n_boot=n_boot,
        rng=as_rng(seed),
        groups=groups,
        given=None if given is None else given.vectors,
    )
    similarity = estimate.similarity
    names = _model_names(model)
    undefined = np.isnan(similarity).any(axis=1)
    if undefined.any():
        shown = ", ".join(
            f"{n} {layer}".strip() for n, layer in names.loc[undefined, ["network", "layer"]].values
        )
        notes.append(
            f"{where}: no similarity is defined for {shown} (constant over these conditions)."
        )
    means = similarity.mean(axis=1)
    ceilings = _ceilings(data, method, given, alpha, seed, by, where, notes)
    label = method.name if given is None else f"partial-{method}"
    n_model = len(model)
    variance, difference_variance = estimate.variance, estimate.difference_variance
    freedom = estimate.freedom
    common = {"subset": subset, "region": region}
    counts = {"n_subjects": n_subjects, "n_conditions": n_conditions}
    sem = np.sqrt(variance[:n_model])
    if interval == "t":
        half = stats.t.ppf(1 - alpha / 2, freedom) * sem
        ci_low, ci_high = means - half, means + half
    else:
        tails = [alpha / 2, 1 - alpha / 2]
        ci_low, ci_high = np.nanquantile(estimate.samples[:, :n_model], tails, axis=0)
    p = _p_values(means, sem, freedom)
    p_ceiling = _p_values(
        means - ceilings["ceiling_low"], np.sqrt(difference_variance[:n_model, n_model]), freedom
    )
    table = names.assign(
        **common, **counts,
        method=label,
        similarity=means,
        sem=sem,
        ci_low=ci_low,
        ci_high=ci_high,
        p=p,
        p_corrected=adjust(p, method=correction),
        p_ceiling=p_ceiling,
        p_ceiling_corrected=adjust(p_ceiling, method=correction),
        # How far ties allow a partial rank correlation to go is not known.
        max_similarity=np.nan if given is not None else max_similarity(model, method=method),
        ceiling_low=ceilings["ceiling_low"],
        ceiling_high=ceilings["ceiling_high"],
        reliable=ceilings["reliable"],
        n_pairs=int((~np.isnan(data.vectors)).any(axis=0).sum()),
    )[list(TABLE)]  # fmt: skip
    ceilings = pd.DataFrame(
        [
            {
                **common, **counts, **ceilings,
                "method": label,
                "ceiling_low_sem": np.sqrt(variance[n_model]),
                "ceiling_high_sem": np.sqrt(variance[n_model + 1]),
            }
        ]
    )[list(CEILINGS)]  # fmt: skip
    settings = {
        "method": label,
        "given": [] if given is None else _given_names(given),
        "bootstrap": bootstrap,
        "interval": interval,
        "n_boot": n_boot,
        "seed": seed,
        "alpha": alpha,
        "correction": correction,
        "degrees_of_freedom": freedom,
        "generalises_to": BOOTSTRAPS[bootstrap],
    }
    pairs = _pairs(names, means, difference_variance, freedom, correction)
    per_subject = names.loc[np.repeat(np.arange(n_model), n_subjects), ["network", "layer"]].assign(
        **common,
        subject=np.tile(data.labels[by].astype(str).to_numpy(), n_model),
        similarity=similarity.ravel(),
    )[list(SUBJECTS)]
    return Result(
        table,
        pairs.assign(**common, **counts)[list(PAIRS)],
        per_subject.reset_index(drop=True),
        ceilings,
        settings,
        tuple(notes),
    )


def _ceilings(data: RDMs, method, given, alpha, seed, by, where, notes: list[str]) -> dict:
    """Return the ceilings and whether there is shared structure; add to the notes."""
    if len(data) < 2:
        notes.append(f"{where}: no noise ceiling, because there is one subject (RDM).")
        return {"ceiling_low": np.nan, "ceiling_high": np.nan, "p_reliable": np.nan,
                "reliable": None}  # fmt: skip
    ceiling = noise_ceiling(data, method=method, by=by, given=given)
    low, high = ceiling.lower, ceiling.upper
    p = shared_structure(data, method=method, by=by, given=given, seed=seed)
    reliable = bool(p < alpha and low > 0)
    if not reliable:
        notes.append(
            f"{where}: no reliable signal. The subjects do not share structure (lower ceiling "
            f"{low:.3f}, permutation p = {p:.3f}); the upper ceiling ({high:.3f}) is only each "
            "subject's own share in the mean."
        )
    return {"ceiling_low": low, "ceiling_high": high, "p_reliable": p, "reliable": reliable}


def _p_values(estimate: np.ndarray, sem: np.ndarray, freedom: int) -> np.ndarray:
    """Return two-sided p values of t-tests; NaN where estimate and error are both 0 or NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * stats.t.sf(np.abs(estimate / sem), freedom)


def _pairs(names, means, difference_variance, freedom, correction) -> pd.DataFrame:
    """Return the tests of all pairs of models."""
    a, b = np.triu_indices(len(means), k=1)
    difference = means[a] - means[b]
    sem = np.sqrt(difference_variance[a, b])
    p = _p_values(difference, sem, freedom)
    return pd.DataFrame(
        {
            "network_a": names["network"].to_numpy()[a],
            "layer_a": names["layer"].to_numpy()[a],
            "network_b": names["network"].to_numpy()[b],
            "layer_b": names["layer"].to_numpy()[b],
            "difference": difference,
            "sem": sem,
            "p": p,
            "p_corrected": adjust(p, method=correction),
        }
    )


def _given_names(given: RDMs) -> list[str]:
    """Return a name of each RDM that is regressed out."""
    return _model_names(given)[["network", "layer"]].agg(" ".join, axis=1).str.strip().tolist()


def _model_names(model: RDMs) -> pd.DataFrame:
    """Return network, layer, layer_index and depth of each model RDM."""
    labels = model.labels
    rows = range(len(model))
    if "network" in labels:
        network = labels["network"].astype(str)
    elif "name" in labels:
        network = labels["name"].astype(str)
    else:
        network = [f"model {i + 1}" for i in rows]
    layer = labels["layer"].fillna("").astype(str) if "layer" in labels else ""
    return pd.DataFrame(
        {
            "network": network,
            "layer": layer,
            "layer_index": labels.get("layer_index", 0),
            "depth": labels["depth"].astype(float) if "depth" in labels else np.nan,
        },
        index=rows,
    )


def _group_codes(groups: Mapping[str, object] | None, conditions) -> np.ndarray:
    """Return the group of each condition as a number."""
    if groups is None:
        return np.arange(len(conditions))
    missing = [c for c in conditions if c not in groups]
    if missing:
        raise InputError(
            f"expected a group for every condition, but {len(missing)} have none: "
            f"{', '.join(map(repr, missing[:5]))}."
        )
    return pd.factorize(pd.Series([groups[c] for c in conditions]))[0]
