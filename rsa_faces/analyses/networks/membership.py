"""Membership: whether similarity scores tell whom a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.labels import Labels, by_name
from rsa_faces._core.names import is_missing
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width
from rsa_faces.analyses._groups import check_share, grouped_faces, permutations, score_matrix
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False, repr=False)
class Membership(BaseResult, figure="plot_membership"):
    """Whether people a network was trained on can be told from others.

    Attributes
    ----------
    table : DataFrame
        One row per sign; see :func:`membership`.
    people : DataFrame
        One row per person: ``person``, ``member``, ``n_images``, and each sign.
    settings : dict
        Options, for provenance.

    See Also
    --------
    membership
    rsa_faces.figures.plot_membership : Draw each sign of membership for members and for others.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import membership, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> images = [f"p{i} {k}" for i in range(30) for k in range(3)]
    >>> x = np.repeat(rng.normal(size=(30, 16)), 3, axis=0) + rng.normal(size=(90, 16))
    >>> scores = similarity_scores({"fc": x}, conditions=images)
    >>> person = {name: name.split()[0] for name in images}
    >>> member = {name: int(person[name][1:]) < 15 for name in images}
    >>> found = membership(scores, member, people=person, n_permutations=99)
    >>> found.table["sign"].tolist(), len(found.people)
    (['nearest', 'spread', 'own', 'margin'], 30)
    """

    table: pd.DataFrame
    people: pd.DataFrame

    def __repr__(self) -> str:
        areas = ", ".join(f"{r.sign} AUC {r.auc:.2f}" for r in self.table.itertuples())
        n = int(self.people["member"].sum())
        return f"Membership({n} members, {len(self.people) - n} others; {areas})"


@keep_warnings
def membership(
    scores: pd.DataFrame | RDMs,
    members: Mapping[str, bool] | pd.Series,
    *,
    people: Labels | None = None,
    reference: pd.DataFrame | RDMs | None = None,
    within: Labels | None = None,
    fpr: float = 0.05,
    n_permutations: int = 9999,
    alpha: float = 0.05,
    match: str = "same",
    seed: int = 0,
) -> Membership:
    """Measure how well scores between faces tell members of a training set from other people.

    Parameters
    ----------
    scores : DataFrame, shape (n_images, n_images), or RDMs
        Symmetric, higher for more similar, such as
        :func:`rsa_faces.analyses.similarity_scores`; of RDMs (one), minus the dissimilarities.
    members : mapping or Series, image to bool
        Whether the person was among those the network was trained on. The images themselves
        should not have been: else it is images that are recognised.
    people : mapping or Series, image to person, optional
        For the signs that need labels; each person then counts once. By default every image is
        another person.
    reference : DataFrame or RDMs, optional
        Scores of a network that never saw the members, for the same images: one with the same
        architecture trained on other people, or untrained. What it tells is in the photographs.
    within : mapping or Series, image to stratum, optional
        Of the person: members are exchanged only with people of the same stratum (data set, group).
    fpr : float, default 0.05
        Share of others wrongly called members at which ``tpr`` is given.
    n_permutations : int, default 9999
        Of members over people.
    alpha : float, default 0.05
        Intervals cover 1 − alpha.
    match : {"same", "intersection"}, default "same"
    seed : int, default 0

    Returns
    -------
    Membership
        Its table, one row per sign: ``sign``, ``needs_labels``; ``auc`` (0.5: nothing can be
        told; 1: members always have the higher value), ``ci_low``, ``ci_high`` (DeLong, on the
        scale of the logit); ``p`` (one-sided: members have higher values), ``p_corrected``
        (largest of the signs); ``tpr``, the share of members found at `fpr` (NaN with fewer than
        1 / `fpr` others); ``n_members``, ``n_others``. With a reference also ``reference_auc``,
        ``difference`` of the areas, ``difference_low``, ``difference_high`` (DeLong, paired), and
        ``p_difference``, ``p_difference_corrected`` (one-sided: this network tells more).

    Raises
    ------
    InputError
        If there are fewer than 2 members or 2 others, a person is both, scores are missing or
        `members` is not true or false.

    See Also
    --------
    similarity_scores : Return scores between all faces: how similar a layer finds them.
    rsa_faces.figures.plot_membership : Draw each sign of membership for members and for others.

    Notes
    -----
    The signs, averaged over a person's images. Without labels: ``nearest``, the score with the
    most similar other image; ``spread``, the standard deviation of an image's scores, as
    networks spread the people out that they know. With labels: ``own``, the mean score of the
    person's images with each other; ``margin``, this less the highest score with anyone else.
    ``nearest`` does use that a person may have several images, if there are.

    Networks hold people together on whom they were trained. An AUC clearly above 0.5 says that
    whoever has a few photographs of a person and the scores can guess whether that person was in
    the training set: see the note on privacy in the documentation. An AUC near 0.5 does not prove
    that nothing leaks; stronger attacks use the network itself [1]_. Members and others must be
    alike in all else (photographs, age, ethnicity), or the AUC measures that instead: an untrained
    network reached .74 (p .046) with real faces of two sources.

    Give scores of such a network as `reference`. An area is a sum of ranks, so the difference of
    two is a sum of differences of ranks, which are exchanged over people: p_difference holds
    whatever the reference tells. It shows that the training, not the photographs, tells members
    from others; nothing of what is remembered about anyone. Where members' photographs differ and
    both networks see it (area of ``own`` .79; 20 members, 20 others) p ≤ 0.05 in 13 to 96 % of 400
    simulated studies, p_difference ≤ 0.05 in 2.0 to 6.5 %, by sign, and the interval of the
    difference holds 0 in 94.8 to 97.5 % (``scripts/simulate_membership.py --simulations 400``).

    Of a network that was fine-tuned on others, give as `members` the people of its first training
    and as `reference` one trained on the others alone: in simulations the first people could still
    be told (``--fine-tuned``; numbers in the note on privacy).

    References
    ----------
    .. [1] Shokri R., Stronati M., Song C., Shmatikov V. (2017). IEEE Symposium on Security and
       Privacy, 3-18. doi:10.1109/SP.2017.41
    .. [2] DeLong E. R., DeLong D. M., Clarke-Pearson D. L. (1988). Biometrics 44, 837-845.
       doi:10.2307/2531595

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import membership, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> images = [f"p{i} {k}" for i in range(40) for k in range(3)]
    >>> noise = np.repeat(np.where(np.arange(40) < 20, 0.5, 1.5), 3)  # members: held together
    >>> x = np.repeat(rng.normal(size=(40, 16)), 3, axis=0)  # simulated
    >>> x = x + noise[:, None] * rng.normal(size=x.shape)
    >>> scores = similarity_scores({"fc": x}, conditions=images)
    >>> person = {name: name.split()[0] for name in images}
    >>> member = {name: int(person[name][1:]) < 20 for name in images}
    >>> found = membership(scores, member, people=person, n_permutations=999)
    >>> found.table[["sign", "auc", "p"]].round(2)
          sign   auc    p
    0  nearest  1.00  0.0
    1   spread  0.76  0.0
    2      own  1.00  0.0
    3   margin  1.00  0.0
    """
    check_arguments(membership, locals())
    check_count(n_permutations, what="n_permutations")
    check_share(fpr, "fpr")
    check_share(alpha, "alpha")
    given = by_name(members, what="members")
    wrong = [v for v in given.values() if is_missing(v) or v not in (True, False)]
    if wrong:
        raise InputError(f"expected true or false for every image in `members`, got {wrong[0]!r}.")
    members = {name: bool(v) for name, v in given.items()}
    faces = grouped_faces(scores, [("members", members)], people, within, match)
    if np.isnan(faces.matrix).any():
        raise InputError(
            f"expected every pair measured, but {int(np.isnan(faces.matrix).sum())} entries of "
            "the matrix are missing (NaN)."
        )
    _, codes, kinds = faces.attributes[0]
    member = np.array([kinds[code] for code in faces.person_codes(codes)])
    if min(member.sum(), (~member).sum()) < 2:
        raise InputError(
            f"expected at least 2 members and 2 others, got {member.sum()} and {(~member).sum()}."
        )
    signs = _signs(faces.matrix, faces.person, people is not None)
    rng = as_rng(seed)
    orders = np.concatenate(list(permutations(faces, n_permutations, rng)))
    rows, null = [], []
    for name, values in signs.items():
        ranks = rankdata(values)
        auc, error = _auc(values[member], values[~member])
        null.append(_auc_of_ranks(ranks, member[orders]))
        low, high = _interval(auc, error, alpha, member)
        rows.append(
            {
                "sign": name,
                "needs_labels": name in ("own", "margin"),
                "auc": auc,
                "ci_low": low,
                "ci_high": high,
                "tpr": _tpr(values[member], values[~member], fpr),
                "n_members": int(member.sum()),
                "n_others": int((~member).sum()),
            }
        )
    table = pd.DataFrame(rows)
    for place, p in enumerate(p_of(table["auc"], null)):
        table.insert(5 + place, ("p", "p_corrected")[place], p)
    if reference is not None:
        others = _signs(_of_images(reference, faces.names), faces.person, people is not None)
        table = table.join(_beyond(signs, others, member, orders, alpha))
    per_person = pd.DataFrame(
        {
            "person": faces.person_names,
            "member": member,
            "n_images": np.bincount(faces.person),
            **signs,
        }
    )
    settings = {
        "fpr": fpr,
        "n_permutations": n_permutations,
        "alpha": alpha,
        "match": match,
        "seed": seed,
        "n_left_out": faces.n_left_out,
    }
    return Membership(table, per_person, settings=settings)


def _signs(matrix: np.ndarray, person: np.ndarray, labelled: bool) -> dict[str, np.ndarray]:
    """Return each sign, averaged over a person's images."""
    n = len(matrix)
    other_image = np.where(np.eye(n, dtype=bool), np.nan, matrix)
    of_image = {"nearest": np.nanmax(other_image, axis=1), "spread": np.nanstd(other_image, axis=1)}
    if labelled:
        images = np.bincount(person)
        if images.min() < 2:
            raise InputError(
                f"expected at least 2 images of every person in `people`, but {(images < 2).sum()} "
                "people have one: leave them out, or leave `people` out."
            )
        same = person[:, None] == person
        of_image["own"] = np.nanmean(np.where(same, other_image, np.nan), axis=1)
        stranger = np.where(same, -np.inf, matrix).max(axis=1)
        of_image["margin"] = of_image["own"] - stranger
    counts = np.bincount(person)
    return {name: np.bincount(person, values) / counts for name, values in of_image.items()}


def _of_images(reference, names: tuple[str, ...]) -> np.ndarray:
    """Return reference scores of the same images."""
    matrix, own = score_matrix(reference)
    if not set(names) <= set(own):
        raise ConditionMismatchError(names, own, left_name="scores", right_name="reference")
    rows = [own.index(name) for name in names]
    matrix = matrix[np.ix_(rows, rows)]
    if np.isnan(matrix).any():
        raise InputError("expected every pair measured in `reference`, but some are missing (NaN).")
    return matrix


def _beyond(signs, others, member: np.ndarray, orders: np.ndarray, alpha: float) -> pd.DataFrame:
    """Return areas of the reference, and what this network tells beyond them, per sign."""
    rows, null = [], []
    for name, values in signs.items():
        mine, theirs = (_placements(v[member], v[~member]) for v in (values, others[name]))
        areas = mine[0].mean(), theirs[0].mean()
        parts = [(m - t).var(ddof=1) / len(m) for m, t in zip(mine, theirs, strict=True)]
        # Freedom by Welch: two groups of people, of any sizes and spreads.
        shares = [v**2 / (len(m) - 1) for v, m in zip(parts, mine, strict=True)]
        freedom = sum(parts) ** 2 / sum(shares) if sum(parts) > 0 else 1
        reach = half_width(np.sqrt(sum(parts)), freedom, alpha)
        gap = areas[0] - areas[1]
        rows.append(
            {
                "reference_auc": areas[1],
                "difference": gap,
                "difference_low": max(gap - reach, -1.0),
                "difference_high": min(gap + reach, 1.0),
            }
        )
        ranks = rankdata(values) - rankdata(others[name])
        null.append(member[orders] @ ranks / (member.sum() * (~member).sum()))
    table = pd.DataFrame(rows)
    p, corrected = p_of(table["difference"], null)
    return table.assign(p_difference=p, p_difference_corrected=corrected)


def _placements(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each member the share of others below, for each other that of members above."""
    above = (high[:, None] > low).astype(float) + 0.5 * (high[:, None] == low)
    return above.mean(axis=1), above.mean(axis=0)


def _auc(high: np.ndarray, low: np.ndarray) -> tuple[float, float]:
    """Return the area under the ROC curve and DeLong's standard error."""
    placements = _placements(high, low)
    variance = sum(values.var(ddof=1) / len(values) for values in placements)
    return float(placements[0].mean()), float(np.sqrt(variance))


def _auc_of_ranks(ranks: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return areas for many assignments of members, (n_permutations, n_people)."""
    n = member.sum(axis=1)
    others = member.shape[1] - n
    return (member @ ranks - n * (n + 1) / 2) / (n * others)


def _interval(auc: float, error: float, alpha: float, member: np.ndarray) -> tuple[float, float]:
    """Return an interval within 0 and 1; where the groups do not overlap, from a rule of three."""
    n, others = int(member.sum()), int((~member).sum())
    if auc in (0.0, 1.0):
        # No pair is out of order: an area as small as this would show none with chance alpha / 2.
        far = (alpha / 2) ** (1 / min(n, others))
        return (far, 1.0) if auc == 1.0 else (0.0, 1 - far)
    reach = norm.ppf(1 - alpha / 2) * error / (auc * (1 - auc))
    return float(expit(logit(auc) - reach)), float(expit(logit(auc) + reach))


def _tpr(high: np.ndarray, low: np.ndarray, fpr: float) -> float:
    """Return the share of members above the value that at most a share `fpr` of others exceed."""
    # Fewer than one of these others: no threshold lets so small a share pass.
    if len(low) * fpr < 1 - 1e-9:
        return np.nan
    allowed = int(np.floor(len(low) * fpr + 1e-9))
    threshold = np.sort(low)[::-1][allowed] if allowed < len(low) else -np.inf
    return float((high > threshold).mean())
