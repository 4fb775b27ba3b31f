"""Evaluation: similarities of models with data, tested, with intervals and ceilings."""

from __future__ import annotations

import numpy as np

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.deprecated import renamed_argument
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.comparison import align_given, align_pair, resolve
from rsa_faces.comparison._compare import check_weights, with_sigma_k
from rsa_faces.inference._design import Design
from rsa_faces.inference._dyadic import analytic, with_closed_form
from rsa_faces.inference._region import (
    Outcome,
    Region,
    full_names,
    largest_within,
    model_names,
    regions_of,
    result_of,
)
from rsa_faces.inference._result import Result
from rsa_faces.inference._study import Study
from rsa_faces.inference.bootstrap import estimate
from rsa_faces.inference.ceilings import evidence_of
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured


@renamed_argument("bootstrap", "generalise_to")
@keep_warnings
def evaluate(
    model: RDMs,
    data: RDMs,
    *,
    method: str = "rho-a",
    generalise_to: str = "both",
    uncertainty: str = "bootstrap",
    n_boot: int = 1000,
    seed: int = 0,
    by: str = "subject",
    groups: Labels | None = None,
    blocks: Labels | None = None,
    alpha: float = 0.05,
    correction: str = "fdr",
    family: str = "region",
    interval: str = "t",
    tail: str = "two-sided",
    given: RDMs | None = None,
    weights: np.ndarray | None = None,
    sigma_k: np.ndarray | None = None,
    unusable: str = "keep",
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
    generalise_to : {"both", "subjects", "conditions"}, default "both"
        What the conclusions are to hold for: new subjects and new conditions, or only one of them.
    uncertainty : {"bootstrap", "analytic"}, default "bootstrap"
        How standard errors are found: from samples, or in closed form, without samples and
        without a seed. See the notes.
    n_boot : int, default 1000
        Number of bootstrap samples.
    seed : int, default 0
        The same seed gives the same result.
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one (sessions) are averaged first.
    groups : mapping or Series of condition to group, optional
        Conditions that belong together (images of a person) are drawn together: they are not
        independent.
    blocks : mapping or Series of condition to run, optional
        Similarities are those within each run, averaged over runs; pairs of conditions of
        different runs are used nowhere and may be NaN. Conditions are drawn within runs (all
        together, if a group has conditions in several runs). A subject that has no pair of a run
        has the mean over its other runs.
    alpha : float, default 0.05
        Level of the tests of reliability named in the notes; intervals cover 1 − alpha.
    correction : {"fdr", "bonferroni", "holm"}, default "fdr"
        For the tests of all models against 0, of all against the ceiling, and of all pairs.
    family : {"region", "all"}, default "region"
        Whether p is corrected for the tests within a region, or over all regions.
    interval : {"t", "percentile"}, default "t"
        Intervals of the t-tests, or quantiles of the bootstrap samples. Drawing both factors makes
        the latter too wide, because they hold the variance of each factor twice.
    tail : {"two-sided", "greater", "less"}, default "two-sided"
        Of the tests of models against 0; all others are two-sided.
    given : RDMs, optional
        RDMs regressed out of models and data (of their ranks for spearman): similarities are
        partial correlations, and the ceiling is that of what is left. For pearson and spearman.
    weights : array_like, shape (n_data, n_pairs), optional
        How much each pair of the data counts, such as the evidence of arrangements, as in
        :func:`rsa_faces.compare`; also in the ceilings. One RDM per subject and region then.
    sigma_k : ndarray, shape (n_conditions, n_conditions), optional
        For corr_cov and cosine_cov: covariance of the pattern estimates over conditions, in the
        order of `model.conditions`, as in :func:`rsa_faces.compare`; also in the ceilings. Drawn
        conditions would be there more than once, and how copies covary is not known: unless
        conclusions are for subjects alone, errors are those of the closed form, with a note.
    unusable : {"keep", "drop"}, default "keep"
        What happens to a subject whose RDM is constant or empty (in a run), and to a condition that
        no subject has: "keep" leaves them in, so that similarities they spoil are NaN; "drop"
        leaves them out. A note names them either way.
    subset : str, default "all"
        Name of this selection of conditions, for the tables.

    Returns
    -------
    Result
        Similarities are means over subjects of the observed data. All tests are t-tests on the
        standard error, with min(n_subjects, n_conditions) − 1 degrees of freedom (for one factor:
        its n − 1; with groups their number counts, and with blocks one is taken off for each); the
        intervals are those of two-sided tests. Where nothing varies but rounding (a model that is
        equal to the data) there is no standard error and no p.

    Raises
    ------
    ConditionMismatchError
        If model and data hold different conditions.
    InputError
        If one subject (or fewer than 4 conditions or groups) is to be drawn from, or an option is
        unknown.

    Warns
    -----
    UserWarning
        For each note of the result: fewer than 5 subjects or 20 conditions, no ceiling with one
        subject, subjects that share no structure, models that are constant.

    See Also
    --------
    compare : Compare model RDMs with data RDMs.
    noise_ceiling : Compute the noise ceiling of data RDMs.
    rsa_faces.inference.best_layer : Choose the best layer of each network.
    rsa_faces.inference.permutation_test : Test whether conditions matter to a similarity.

    Notes
    -----
    A bootstrap sample of conditions never compares a condition with its own copy. "both" combines
    three bootstraps (subjects, conditions, both) into the variance of [1]_. With one factor the
    bootstrap variance is multiplied by n / (n − 1). Samples with fewer than three distinct
    conditions (in a run) are drawn again; counts then vary less than they should, and variances are
    divided by how much they vary. The ceiling of a sample is that of the subjects
    drawn, each with the pool of the other observed subjects (of conditions drawn, if they are); how
    much new subjects move a ceiling, by way of the pools too, is found by a jackknife over them.

    "analytic" adds what new subjects do under these conditions, the variance over subjects, and
    what new conditions do to all subjects alike, from the influence of each pair of conditions on
    the similarity, pairs that share a condition (or a group) being dependent [2]_ [3]_. The
    bootstrap of both counts the noise of pairs about three times, this once. Without samples,
    `interval` is "t". For a method without influence functions (one of the user, unless it has its
    field `influence`) samples are drawn, with a note. docs/inference.md compares the two.

    Subjects share structure (`reliable`) if shuffling the conditions of each subject seldom gives
    as much agreement (p < alpha) and the lower ceiling is above 0.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    .. [2] Aronow P. M., Samii C., Assenova V. A. (2015). Political Analysis 23, 564-577.
       doi:10.1093/pan/mpv018
    .. [3] Cameron A. C., Gelbach J. B., Miller D. L. (2011). Journal of Business & Economic
       Statistics 29, 238-249. doi:10.1198/jbes.2010.07136

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
    check_arguments(evaluate, locals())
    method = resolve(method)
    check_choice(unusable, ["keep", "drop"], what="value of unusable")
    design = Design.of(locals())
    if weights is not None:
        weights = check_weights(weights, method, data, given)
    model, data = align_pair(model, data)
    if sigma_k is not None:
        method = with_sigma_k(method, sigma_k, model.conditions)
    design, method_notes = with_closed_form(design, method, partial=given is not None)
    used = design.units(model.conditions).used
    check_measured(model, "the model", used)
    if given is not None:
        given = align_given(given, model, data, method)
    if weights is not None:
        weights = RDMs(
            weights.align(model.conditions).vectors, model.conditions, "weights", data.labels
        )
        # A pair without evidence is one that was not measured.
        vectors = np.where(weights.vectors > 0, data.vectors, np.nan)
        data = RDMs(vectors, data.conditions, data.measure, data.labels)
    results = []
    for region in regions_of(data, design, method, subset, weights):
        region, notes = region.usable(drop=unusable == "drop")
        outcome = _fixed(model.subset(region.data.conditions), region, given)
        outcome.notes[:0] = [*method_notes, *notes]
        results.append(result_of(region, outcome))
    result = Result.concat(results)
    for note in result.notes:
        warn(note)
    return result


def _fixed(model: RDMs, region: Region, given: RDMs | None) -> Outcome:
    """Return what is found of fixed models in a region."""
    data, method, design, units = region.data, region.method, region.design, region.units
    notes = region.check_numbers()
    method.check_measured(data.vectors[:, units.used], "the data")
    if given is not None:
        given = given.subset(data.conditions)
    study = Study(
        model.vectors,
        data.vectors,
        method,
        units,
        None if given is None else given.vectors,
        None if region.weights is None else evidence_of(region.weights, data),
    )
    estimated = (analytic if design.uncertainty == "analytic" else estimate)(study, design)
    low = high = np.nan
    if len(data) > 1:
        low, high = study.ceilings(study.once)[:, 0].mean(axis=1).tolist()
    names = model_names(model)
    undefined = np.isnan(estimated.similarity)
    if undefined.any():
        notes.append(region.undefined(names, undefined))
    interval = None
    if design.interval == "percentile":
        tails = [design.alpha / 2, 1 - design.alpha / 2]
        interval = np.nanquantile(estimated.samples[:, : len(model)], tails, axis=0)
    return Outcome(
        names,
        estimated,
        estimated.similarity.mean(axis=1),
        (low, high),
        # How far ties allow a partial rank correlation to go is not known.
        np.nan if given is not None else largest_within(model, units, method),
        method.name if given is None else f"partial-{method}",
        notes,
        {
            "given": [] if given is None else full_names(model_names(given)),
            "weights": region.weights is not None,
            "sigma_k": method.sigma_k is not None,
        },
        interval,
        given,
    )
