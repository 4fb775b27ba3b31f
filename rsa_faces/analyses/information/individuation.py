"""Individuation: what is left of a geometry among faces of one category."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels, by_name, codes_of
from rsa_faces._core.result import keep_warnings
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.comparison import align_pair
from rsa_faces.inference import adjust, evaluate, permutation_test
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False, repr=False)
class Individuation(Effects):
    """Similarity of geometries over all faces, and among faces of one category.

    Attributes
    ----------
    table : DataFrame
        Two rows per layer and region; see :func:`individuation`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    individuation : Ask what is left of geometries within categories.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import individuation
    >>> d92 = rf.datasets.images92()
    >>> alive = {name: str(i < 48) for i, name in enumerate(d92.models.conditions)}
    >>> human_it = d92.rdms.sel(region="human IT")
    >>> found = individuation(d92.models.sel(name="HMAX"), human_it, alive, n_boot=50,
    ...                       n_permutations=19)
    >>> found.table["pairs"].tolist()
    ['all', 'within categories']
    """

    shown: ClassVar[Shown] = Shown(
        "similarity", "similarity", series="pairs", panel="region", ceilings=("ceiling_low",)
    )


@keep_warnings
def individuation(
    model: RDMs,
    data: RDMs,
    categories: Mapping[str, Hashable] | pd.DataFrame | pd.Series,
    *,
    people: Labels | None = None,
    min_faces: int = 5,
    method: str = "rho-a",
    n_permutations: int = 1999,
    match: str = "same",
    seed: int = 0,
    **options: Any,
) -> Individuation:
    """Ask what is left of geometries within categories: among faces of one age, gender and view.

    Parameters
    ----------
    model : RDMs
        Of layers, or models.
    data : RDMs
        Of raters or of brains (label ``region``), as for :func:`rsa_faces.evaluate`.
    categories : mapping of condition to category, or DataFrame
        Several columns together make a category: age group, gender, expression, view.
    people : mapping of condition to person, optional
        Images of a person stay together where conditions are drawn or exchanged, also where they
        are in several categories (expressions): name people then, as a person who looks apart
        from the others in one category does so in all.
    min_faces : int, default 5
        Faces of smaller categories are left out of both rows; a note says how many.
    method : str, default "rho-a"
        Comparison method, as in :func:`rsa_faces.compare`.
    n_permutations : int, default 1999
    match : {"same", "intersection"}, default "same"
        What happens to conditions that only the model or only the data have: an error, or they
        are left out, and a note says how many.
    seed : int, default 0
    **options
        Of :func:`rsa_faces.evaluate`: ``generalise_to``, ``uncertainty``, ``by``, …

    Returns
    -------
    Individuation
        Its table has, per region, layer and ``pairs`` ("all", "within categories"): labels of the
        model; ``similarity`` with ``ci_low``, ``ci_high``, and the noise ceiling of these
        pairs, ``ceiling_low`` and ``ceiling_high``; ``p`` and ``p_corrected`` (false
        discovery rate over layers and regions), with conditions exchanged: among all, or inside
        categories; ``n_categories``,
        ``n_subjects``, ``n_conditions``.

    Raises
    ------
    ConditionMismatchError
        If the conditions of model and data differ and `match` is "same".
    InputError
        If conditions have no category or person, `options` hold ``groups`` or ``blocks``, fewer
        than two categories are large enough, or as for :func:`rsa_faces.evaluate`.

    See Also
    --------
    rsa_faces.behaviour.feature_contrast : Compare distances between groups of faces with within.
    rsa_faces.evaluate : Evaluate how well models predict data.

    Notes
    -----
    Within categories similarities are those of the pairs inside each category, averaged over
    categories (``evaluate(blocks=category)``), and so is the noise ceiling: what tells men from
    women, or smiles from neutral faces, has no part in either. A model may be good over all pairs
    by categories alone.

    References
    ----------
    .. [1] Jiahui G. et al. (2023). PNAS 120, e2304085120. doi:10.1073/pnas.2304085120

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import individuation
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(24)]
    >>> gender = {name: "female" if i < 12 else "male" for i, name in enumerate(names)}
    >>> apart = np.repeat([[0.0], [9.0]], 12, axis=0)
    >>> layer = np.hstack([apart, rng.normal(size=(24, 5))])  # simulated: gender, and no face
    >>> raters = apart + rng.normal(size=(6, 24, 1))
    >>> model = rf.compute_rdms({"fc": layer}, conditions=names, measure="euclidean")
    >>> data = [rf.compute_rdms(x, conditions=names, measure="euclidean") for x in raters]
    >>> data = rf.concat(data).with_labels(subject=range(6))
    >>> found = individuation(model, data, gender, n_boot=100, n_permutations=199)
    >>> (found.table["p"] < 0.05).tolist()
    [True, False]
    """
    check_arguments(individuation, locals())
    check_count(min_faces, what="min_faces", low=3)
    check_count(n_permutations, what="n_permutations")
    if own := {"groups", "blocks"} & set(options):
        raise InputError(
            f"expected no {' or '.join(sorted(own))} among the options of evaluate: here "
            "`people` are the groups and `categories` the blocks."
        )
    model, data = align_pair(model, data, conditions=match)
    code, kinds = codes_of(by_name(categories, what="categories"), model.conditions, "category")
    if people is not None:
        codes_of(people, model.conditions, "person")
    large = np.flatnonzero(np.bincount(code) >= min_faces)
    kept = [c for c, k in zip(model.conditions, code, strict=True) if k in large]
    if len(large) < 2:
        raise InputError(
            f"expected at least 2 categories of {min_faces} faces or more, got {len(large)} of "
            f"{len(kinds)}."
        )
    notes = []
    if n_out := len(code) - len(kept):
        notes.append(
            f"{n_out} of {len(code)} faces are left out: their categories "
            f"({len(kinds) - len(large)} of {len(kinds)}) have fewer than {min_faces} faces."
        )
    category = {c: str(kinds[k]) for c, k in zip(model.conditions, code, strict=True)}
    category = {c: category[c] for c in kept}
    whom = None if people is None else by_name(people, what="people")
    whom = None if whom is None else {c: whom[c] for c in kept}
    model, data = model.subset(kept), data.subset(kept)
    by = options.get("by", "subject")
    tables = []
    for pairs, blocks in (("all", None), ("within categories", category)):
        shared = {"method": method, "groups": whom, "blocks": blocks, "seed": seed}
        result = evaluate(model, data, **shared, **options)
        for region, table in result.table.groupby("region", sort=False):
            of_region = data if "region" not in data.labels else data.sel(region=region)
            test = permutation_test(
                model, of_region, by=by, n_permutations=n_permutations, **shared
            )
            tables.append(table.assign(pairs=pairs, p=test.p))
    table = pd.concat(tables, ignore_index=True)
    for pairs in table["pairs"].unique():
        rows = table["pairs"] == pairs
        # Apart: whether something is left within categories is a question of its own.
        table.loc[rows, "p_corrected"] = adjust(table.loc[rows, "p"].to_numpy())
    if "depth" not in table or table["depth"].isna().all():
        table["depth"] = (table.groupby(["pairs", "region"]).cumcount() + 1) / len(model)
    columns = ["region", "network", "layer", "depth", "pairs", "similarity", "ci_low", "ci_high"]
    columns += ["ceiling_low", "ceiling_high", "p", "p_corrected", "n_subjects", "n_conditions"]
    settings = {"method": method, "min_faces": min_faces, "n_permutations": n_permutations}
    settings["match"] = match
    return Individuation(
        table[columns].assign(n_categories=len(large)),
        notes=tuple(notes),
        settings={**settings, "seed": seed, **options},
    )
