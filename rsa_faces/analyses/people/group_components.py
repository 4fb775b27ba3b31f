"""Components of scores between faces, and the groups that people say they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._groups import (
    SELF_REPORT,
    GroupedFaces,
    as_attributes,
    check_share,
    grouped_faces,
    permutations,
)
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False, repr=False)
class GroupComponents(BaseResult, figure="plot_group_components"):
    """The outcome of :func:`group_components`.

    Parameters
    ----------
    table : DataFrame
        One row per attribute and component: ``attribute``, ``component`` (from 1), ``explained``
        (share of the matrix's variance, 0 to 1), ``clustering_index`` (C_k, 0 to 1: *small* when
        the component separates groups), ``between_group_share`` (1 − C_k: large when it does),
        ``expected_share`` (its mean over permutations: not 0), ``p``, ``p_max`` (corrected over
        the components of the attribute), ``n_groups``, ``n_people``, ``n_conditions``.
    summary : DataFrame
        One row per attribute: ``n_components`` tested, ``n_separating`` (p_max < alpha),
        ``explained`` by these, ``between_group_variance`` (Σ explained · between-group share over
        the tested components) and ``expected_variance`` (its mean over permutations).
    components : DataFrame, shape (n_conditions, n_components)
        Positions of the faces; columns 1, 2, ...
    groups : DataFrame
        Attributes of the same faces.
    notes : tuple of str
        :data:`rsa_faces.analyses.SELF_REPORT`.
    settings : mapping
        Options, for provenance, and how many conditions were left out.

    See Also
    --------
    group_components : Ask which principal components of a score matrix go with groups of people.
    rsa_faces.figures.plot_group_components : Draw faces on the first two components.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import group_components, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face{i}" for i in range(40)]
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 3
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> scores = similarity_scores({"fc": embedding}, conditions=names)
    >>> found = group_components(scores, groups, n_components=3, n_permutations=99)
    >>> found.components.shape, len(found.table)
    ((40, 3), 3)
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    components: pd.DataFrame
    groups: pd.DataFrame

    def __repr__(self) -> str:
        parts = [
            f"{row.attribute}: {row.n_separating} of {row.n_components} separate groups"
            for row in self.summary.itertuples()
        ]
        return f"GroupComponents({len(self.components)} faces; {'; '.join(parts)})"


@keep_warnings
def group_components(
    scores: pd.DataFrame | RDMs,
    groups: Labels | pd.DataFrame,
    *,
    n_components: int = 10,
    centring: str = "columns",
    people: Labels | None = None,
    within: Labels | None = None,
    n_permutations: int = 9999,
    alpha: float = 0.05,
    match: str = "same",
    seed: int = 0,
) -> GroupComponents:
    """Ask which principal components of a score matrix go with groups of people.

    Parameters
    ----------
    scores : DataFrame, shape (n_conditions, n_conditions), or RDMs
        Symmetric scores between faces, higher for more similar, such as
        :func:`similarity_scores`; names of rows and columns are those of faces. Of RDMs (one),
        minus the dissimilarities. Every pair measured.
    groups : mapping or Series of condition to group, or DataFrame
        Self-reported categories; each column of a DataFrame (index: conditions) is an attribute.
    n_components : int, default 10
    centring : {"columns", "both"}, default "columns"
        "columns": PCA of the matrix with faces as observations and their scores with all faces as
        variables, as in [1]_. "both": rows and columns, which for cosine scores is the PCA of the
        embeddings themselves.
    people : mapping or Series of condition to person, optional
        If there are several images of a person: groups are permuted over people. By default every
        condition is another person.
    within : mapping or Series of condition to stratum, optional
        Permute only among people of one stratum, such as gender, so that what it explains is not
        counted for the groups.
    n_permutations : int, default 9999
    alpha : float, default 0.05
    match : {"same", "intersection"}, default "same"
        Whether all faces must have all labels, or those with all are used.
    seed : int, default 0

    Returns
    -------
    GroupComponents

    Raises
    ------
    InputError
        If scores are not symmetric or a pair is missing, a person is in two groups, there are
        fewer than 2 groups, or options do not fit.
    ConditionMismatchError
        If faces and labels differ and `match` is "same".

    See Also
    --------
    similarity_scores : Return scores between all faces: how similar a layer finds them.
    rsa_faces.figures.plot_group_components : Draw faces on the first two components.

    Notes
    -----
    With x_j the position of face j on component k, x̄ the mean and x̄_D that of group D, the
    clustering index is C_k = Σ_D Σ_{j∈D} (x_j − x̄_D)² / Σ_j (x_j − x̄)²: the share of variance
    *within* groups. It is near 0 when the component separates groups and near 1 when it does not;
    a text that reads it the other way round means 1 − C_k, the between-group share (η²), given
    beside it. With g groups of n people the latter is about (g − 1) / (n − 1) by chance.

    Groups are permuted over people, p = (1 + #≥) / (1 + n_permutations); `p_max` compares with
    the largest share of all components in each permutation. Components are in the order of
    variance; their sign is arbitrary (here the largest position is positive).

    References
    ----------
    .. [1] Howard J.J., Sirotin Y.B., Tipton J.L., Vemury A.R. (2020). Quantifying the extent to
       which race and gender features determine identity in commercial face recognition
       algorithms. doi:10.48550/arXiv.2010.07979

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import group_components, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face{i}" for i in range(40)]
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 5
    >>> scores = similarity_scores({"fc": embedding}, conditions=names)
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> found = group_components(scores, groups, n_components=3, n_permutations=999)
    >>> found.table[["component", "clustering_index", "between_group_share", "p"]].round(2)
       component  clustering_index  between_group_share     p
    0          1              0.13                 0.87  0.00
    1          2              0.98                 0.02  0.43
    2          3              0.99                 0.01  0.54
    """
    check_count(n_components, what="n_components")
    check_count(n_permutations, what="n_permutations")
    check_choice(centring, ("columns", "both"), what="centring")
    check_share(alpha, "alpha")
    attributes = as_attributes(groups)
    labels = list(attributes.items())
    faces = grouped_faces(scores, labels, people, within, match)
    if np.isnan(faces.matrix).any():
        raise InputError(
            f"expected every pair measured, but {int(np.isnan(faces.matrix).sum())} entries of "
            "the matrix are missing (NaN)."
        )
    positions, explained = _components(faces.matrix, n_components, centring)
    tables, summaries = [], []
    for name, codes, kinds in faces.attributes:
        share, permuted = _shares(positions, codes, len(kinds), faces, n_permutations, seed)
        p, p_max = p_of(share, permuted.T)
        n_people = len(faces.person_names)
        tables.append(
            pd.DataFrame(
                {
                    "attribute": name,
                    "component": np.arange(1, len(share) + 1),
                    "explained": explained,
                    "clustering_index": 1.0 - share,
                    "between_group_share": share,
                    "expected_share": permuted.mean(axis=0),
                    "p": p,
                    "p_max": p_max,
                    "n_groups": len(kinds),
                    "n_people": n_people,
                    "n_conditions": len(positions),
                }
            )
        )
        summaries.append(
            {
                "attribute": name,
                "n_components": len(share),
                "n_separating": int((p_max < alpha).sum()),
                "explained": float(explained[p_max < alpha].sum()),
                "between_group_variance": float(explained @ share),
                "expected_variance": float(explained @ permuted.mean(axis=0)),
            }
        )
    settings = {
        "centring": centring,
        "n_permutations": n_permutations,
        "alpha": alpha,
        "seed": seed,
        "within": within is not None,
        "n_left_out": faces.n_left_out,
    }
    return GroupComponents(
        pd.concat(tables, ignore_index=True),
        pd.DataFrame(summaries),
        pd.DataFrame(positions, faces.names, range(1, positions.shape[1] + 1)),
        pd.DataFrame({n: [k[i] for i in c] for n, c, k in faces.attributes}, faces.names),
        settings=settings,
        notes=(SELF_REPORT,),
    )


def _components(matrix: np.ndarray, n_components: int, centring: str):
    """Return positions on principal components, and the share of variance of each."""
    centred = matrix - matrix.mean(axis=0)
    if centring == "both":
        centred = centred - centred.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh((centred + centred.T) / 2)
        values, vectors = values[::-1], vectors[:, ::-1]
        # Scores need not be inner products: what is negative has no place on an axis.
        positive = values > values[0] * 1e-10
        share = values[positive] / values[positive].sum()
        positions = vectors[:, positive] * np.sqrt(values[positive])
    else:
        u, s, _ = np.linalg.svd(centred)
        positive = s > s[0] * 1e-10
        share = s[positive] ** 2 / (s[positive] ** 2).sum()
        positions = u[:, : len(s)][:, positive] * s[positive]
    if not len(share):
        raise InputError("expected scores that differ, but the matrix has no variance.")
    positions = positions[:, :n_components]
    sign = np.sign(positions[np.abs(positions).argmax(axis=0), np.arange(positions.shape[1])])
    return positions * sign, share[:n_components]


def _shares(positions, codes, n_groups, faces: GroupedFaces, n_permutations: int, seed: int):
    """Return the between-group share of each component, observed and permuted."""
    centred = positions - positions.mean(axis=0)
    n_people = len(faces.person_names)
    whose = np.eye(n_people)[faces.person]
    sums, images = whose.T @ centred, whose.sum(axis=0)
    square = (centred**2).sum(axis=0)
    onehot = np.eye(n_groups)[faces.person_codes(codes)]

    def share(onehot: np.ndarray) -> np.ndarray:
        group = onehot.swapaxes(1, 2)
        return ((group @ sums) ** 2 / (group @ images)[..., None]).sum(axis=1) / square

    rng = as_rng(seed)
    blocks = [share(onehot[order]) for order in permutations(faces, n_permutations, rng)]
    return share(onehot[None])[0], np.concatenate(blocks)
