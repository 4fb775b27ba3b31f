"""Homophily: whether people who are linked look more alike than people who are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import reached, share
from rsa_faces._core.checks import as_rng, check_choice, check_count, check_unique_names
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.names import as_names
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width
from rsa_faces._core.warning import warn
from rsa_faces.analyses._groups import check_share, score_matrix
from rsa_faces.analyses._inputs import INTERSECTION, as_labels, cells_of
from rsa_faces.inference._orders import exchanges
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import rounding

_VALUES = 2**22  # of a block of permuted predictors


@dataclass(frozen=True, eq=False, repr=False)
class Homophily(BaseResult, figure="plot_homophily"):
    """How much more alike linked people look.

    Attributes
    ----------
    table : DataFrame
        One row per term; see :func:`homophily`.
    pairs : DataFrame
        One row per pair (ordered pairs of directed ties): ``a``, ``b``, ``tie``, ``score``.
    settings : dict
        Options, for provenance.

    See Also
    --------
    homophily : Regress how alike two faces are on whether the people are linked, and on controls.
    rsa_faces.figures.plot_homophily : Draw scores of linked people and others.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import homophily, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> people = [f"p{i}" for i in range(30)]
    >>> scores = similarity_scores({"fc": rng.normal(size=(30, 16))}, conditions=people)
    >>> linked = np.triu(rng.random((30, 30)) < 0.2, 1)  # simulated
    >>> ties = pd.DataFrame((linked | linked.T).astype(int), people, people)
    >>> found = homophily(ties, scores, n_permutations=99)
    >>> found.table["term"].tolist(), len(found.pairs)
    (['tie'], 435)
    """

    table: pd.DataFrame
    pairs: pd.DataFrame

    def __repr__(self) -> str:
        ties = self.table[self.table["kind"] == "tie"]
        effects = ", ".join(
            f"{r.term} {r.estimate:+.3g} (p = {r.p:.2g})" for r in ties.itertuples()
        )
        return f"Homophily({ties['n_people'].iloc[0]} people; {effects})"


@keep_warnings
def homophily(
    ties,
    scores: pd.DataFrame | RDMs,
    *,
    controls: pd.DataFrame | None = None,
    interactions: Sequence[Sequence[str]] = (),
    covariates: Mapping[str, pd.DataFrame] | None = None,
    within: Labels | None = None,
    sign: str | None = None,
    n_permutations: int = 1999,
    alpha: float = 0.05,
    match: str = "same",
    seed: int = 0,
) -> Homophily:
    """Regress how alike two faces are on whether the people are linked, and on controls.

    Parameters
    ----------
    ties : networkx.Graph, networkx.DiGraph or DataFrame
        People are nodes. A DataFrame is the adjacency, shape (n_people, n_people), 0 where there
        is no tie; it is directed unless symmetric. Loops are left out.
    scores : DataFrame, shape (n_people, n_people), or RDMs
        Symmetric scores between faces, higher for more alike, such as
        :func:`rsa_faces.analyses.similarity_scores`; of RDMs (one), minus the dissimilarities.
        One face per person, every pair measured.
    controls : DataFrame, shape (n_people, n_controls), optional
        Indexed by person. Text, categories and true or false become "same …" (1 or 0); numbers
        "difference of …" (absolute).
    interactions : sequence of sequences of str, optional
        Columns of `controls` (groups, not numbers) whose cells are controlled one by one:
        ``[("gender", "ethnicity")]`` adds "both female white" and so on, as the women of one group
        may be alike beyond what women and what people of this group have in common.
    covariates : mapping of name to DataFrame, shape (n_people, n_people), optional
        What is known of pairs, not of people, such as how far apart they live; symmetric unless
        ties are directed.
    within : mapping or Series, person to stratum, optional
        For p: permute only among people of one stratum, such as gender by ethnicity. The test is
        then exact where ties and faces both follow the strata, however strongly; strata of one
        person do not move.
    sign : str, optional
        Attribute of a graph's edges that is negative for negative ties (rivals), such as
        "weight"; positive and negative ties are then two terms, each against no tie. Without it
        every edge is a tie, whatever its weight. A DataFrame is signed if it has negative entries.
    n_permutations : int, default 1999
    alpha : float, default 0.05
        Intervals cover 1 − alpha.
    match : {"same", "intersection"}, default "same"
        Whether network, faces, controls, covariates and strata must be of the same people, or
        those in all are taken.
    seed : int, default 0

    Returns
    -------
    Homophily
        Its table: ``term`` ("tie", or "positive tie" and "negative tie"; controls), ``kind``
        ("tie", "control", "interaction" or "covariate"), ``estimate`` (difference of the score,
        other terms held fixed),
        ``standardized`` (in standard deviations of the scores), ``se``, ``ci_low``, ``ci_high``
        (NaN, with a warning, if a term cannot be estimated without one person or pair), ``t`` (of
        the ordinary regression, what the permutation compares; not ``estimate`` / ``se``), ``p``
        (two-sided, permutation), ``mean_linked``, ``mean_others`` (scores of pairs with this tie,
        and without any), ``n_ties``, ``n_pairs``, ``n_people``, ``n_left_out``.

    Raises
    ------
    InputError
        If there are fewer than 5 people, no ties or nothing but ties, a control does not vary or
        lacks values, terms are sums of each other, or scores are missing or not symmetric.
    ConditionMismatchError
        If the people differ and `match` is "same".

    See Also
    --------
    similarity_scores : Return scores between all faces: how similar a layer finds them.
    rsa_faces.figures.plot_homophily : Draw scores of linked people and others.

    Notes
    -----
    Pairs that share a person are not independent. Intervals allow all of them to be correlated:
    the dyadic cluster-robust variance [1]_ in its jackknife form, and at least the variance of
    independent pairs; Student's t with n_people − 1 degrees of freedom. In simulations 95 %
    intervals cover 97 % (24 people) and 98 % (80 people); those of the plain form 84 and 92 %.
    For p the residuals of a term, given all others, are permuted over people
    (rows and columns alike) and the regression is repeated: double semi-partialling, the multiple
    regression quadratic assignment procedure, made for predictors that are correlated [2]_;
    p = ``(1 + #{|t*| ≥ |t|}) / (1 + n_permutations)``. At 5 % it was 5.0 % in simulations without
    groups and 4.0 % with directed ties; where ties and faces both follow a group that is
    controlled, it was slightly liberal: 6.5 %, and 7.4 % with a stronger group; with the group
    in `within` as well it was 5.5 and, with a stronger group, 4.7 % of 1,000. Where the men of one
    group have both ties and faces in common, gender and group as controls gave 95 % of 150; with
    their cells as `interactions` 4.7 %, with the cells in `within` besides 6.7 %.

    Friends often have age, gender and ethnicity in common, and networks give people who have them
    in common similar embeddings: without these controls a tie shows what people choose, not that
    friends look alike beyond it. Controls that are wrongly measured control too little.

    References
    ----------
    .. [1] Aronow P. M., Samii C., Assenova V. A. (2015). Political Analysis 23, 564-577.
       doi:10.1093/pan/mpv018
    .. [2] Dekker D., Krackhardt D., Snijders T. A. B. (2007). Psychometrika 72, 563-581.
       doi:10.1007/s11336-007-9016-1

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import homophily, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> people = [f"p{i}" for i in range(40)]
    >>> x = rng.normal(size=(40, 16))
    >>> scores = similarity_scores({"fc": x}, conditions=people)
    >>> alike = np.triu(scores.to_numpy() + 0.2 * rng.normal(size=(40, 40)) > 0.4, 1)  # simulated
    >>> ties = pd.DataFrame((alike | alike.T).astype(int), people, people)
    >>> age = pd.DataFrame({"age": rng.uniform(20, 60, 40)}, people)
    >>> homophily(ties, scores, controls=age, n_permutations=199).table[["term", "p"]].round(3)
                    term      p
    0                tie  0.005
    1  difference of age  0.165
    """
    check_count(n_permutations, what="n_permutations")
    check_share(alpha, "alpha")
    check_choice(match, ["same", "intersection"], what="match")
    network, directed = _network(ties, sign)
    matrix, faces = score_matrix(scores)
    names, n_left_out = _people(network, faces, controls, covariates, within, match)
    n = len(names)
    if n < 5:
        raise InputError(f"expected at least 5 people, got {n}.")
    place = {name: i for i, name in enumerate(faces)}
    rows = [place[name] for name in names]
    score = matrix[np.ix_(rows, rows)]
    if np.isnan(score).any():
        raise InputError(
            f"expected every pair measured, but {int(np.isnan(score).sum())} entries of the "
            "scores are missing (NaN)."
        )
    tie = network.loc[names, names].to_numpy()
    first, second = _pairs(n, directed)
    y = score[first, second]
    if np.ptp(y) == 0:
        raise InputError("expected scores that differ, but all pairs have the same.")
    terms = _terms(tie, controls, names)
    terms += _interactions(controls, interactions, names)
    terms += [
        (str(name), "covariate", _covariate(name, frame, names, directed))
        for name, frame in (covariates or {}).items()
    ]
    design = np.column_stack([np.ones(len(y)), *(values[first, second] for _, _, values in terms)])
    _check_design(design, [name for name, _, _ in terms])
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    error = _errors(design, y, beta, first, second, n)
    if np.isnan(error).any():
        warn(
            "a term rests on one person or pair alone (a star, a single tie, a group of one "
            "member): its regression cannot be repeated without them, so there are no standard "
            "errors and intervals (NaN)."
        )
    rng = as_rng(seed)
    orders = exchanges(np.arange(len(names)), cells_of(within, names))(rng, n_permutations)
    reach = half_width(error, n - 1, alpha)
    kind_of = tie[first, second]
    out = []
    for k, (name, kind, values) in enumerate(terms, start=1):
        observed, p = _permuted(design, y, k, orders, first, second, n)
        linked = values[first, second] != 0 if kind == "tie" else np.zeros(len(y), bool)
        out.append(
            {
                "term": name,
                "kind": kind,
                "estimate": beta[k],
                "standardized": beta[k] / y.std(),
                "se": error[k],
                "ci_low": beta[k] - reach[k],
                "ci_high": beta[k] + reach[k],
                "t": observed,
                "p": p,
                "mean_linked": y[linked].mean() if kind == "tie" else np.nan,
                "mean_others": y[kind_of == 0].mean() if kind == "tie" else np.nan,
                "n_ties": int(linked.sum()),
                "n_pairs": len(y),
                "n_people": n,
                "n_left_out": n_left_out,
            }
        )
    shown = np.array(names, object)
    pairs = pd.DataFrame(
        {"a": shown[first], "b": shown[second], "tie": kind_of.astype(int), "score": y}
    )
    settings = {
        "directed": directed,
        "n_permutations": n_permutations,
        "alpha": alpha,
        "match": match,
        "seed": seed,
        "controls": [] if controls is None else [str(c) for c in controls.columns],
        "interactions": [list(map(str, one)) for one in interactions],
        "covariates": [str(name) for name in covariates or {}],
        "within": within is not None,
    }
    return Homophily(pd.DataFrame(out), pairs, settings=settings)


def _network(ties, sign: str | None) -> tuple[pd.DataFrame, bool]:
    """Return ties as -1, 0 and 1 between people, and whether they have a direction."""
    if isinstance(ties, pd.DataFrame):
        names = check_unique_names(ties.index, what="person")
        columns = check_unique_names(ties.columns, what="person")
        if set(names) != set(columns):
            raise InputError("expected the same people in rows and columns of `ties`.")
        frame = pd.DataFrame(ties.to_numpy(float), list(names), list(columns)).loc[:, list(names)]
        if not np.isfinite(frame.to_numpy()).all():
            raise InputError("expected a number for every pair in `ties`, 0 for no tie; got NaN.")
        values = np.sign(frame.to_numpy())
        directed = not (values == values.T).all()
    elif hasattr(ties, "nodes") and hasattr(ties, "edges") and hasattr(ties, "is_directed"):
        if getattr(ties, "is_multigraph", lambda: False)():
            raise InputError(
                "expected at most one tie per pair, got a multigraph: merge its edges."
            )
        names = check_unique_names(ties.nodes, what="person")
        place = {name: i for i, name in enumerate(names)}
        values = np.zeros((len(names), len(names)))
        directed = ties.is_directed()
        for one, other, attributes in ties.edges(data=True):
            if sign is not None and sign not in attributes:
                raise InputError(
                    f"expected {sign!r} of every edge, but {one!r}-{other!r} has none."
                )
            value = 1.0 if sign is None or attributes[sign] >= 0 else -1.0
            values[place[str(one)], place[str(other)]] = value
            if not directed:
                values[place[str(other)], place[str(one)]] = value
    else:
        raise InputError(
            "expected `ties` as a networkx graph or an adjacency DataFrame, got a "
            f"{type(ties).__name__}."
        )
    np.fill_diagonal(values, 0)
    return pd.DataFrame(values, list(names), list(names)), directed


def _people(network, faces, controls, covariates, within, match: str) -> tuple[list[str], int]:
    """Return the people that network, faces, controls and strata have in common."""
    given = {"faces": set(faces)}
    if controls is not None:
        if not isinstance(controls, pd.DataFrame) or controls.empty:
            raise InputError(
                "expected controls as a DataFrame indexed by person, got a "
                f"{type(controls).__name__}."
            )
        given["controls"] = set(check_unique_names(controls.index, what="person"))
    for name, frame in (covariates or {}).items():
        if not isinstance(frame, pd.DataFrame):
            raise InputError(
                f"expected the covariate {name!r} as a DataFrame with people on both sides, got a "
                f"{type(frame).__name__}."
            )
        given[f"covariate {name!r}"] = set(check_unique_names(frame.index, what="person"))
    if within is not None:
        given["within"] = set(as_labels(within, "within", INTERSECTION))
    names = list(network.index)
    for what, others in given.items():
        if match == "same" and set(names) != others:
            raise ConditionMismatchError(
                names,
                sorted(others),
                left_name="the network",
                right_name=what,
                hint="Rename them, or use match='intersection' for those in both.",
            )
        names = [name for name in names if name in others]
    return names, len(set(network.index).union(*given.values())) - len(names)


def _terms(tie: np.ndarray, controls, names: list[str]) -> list[tuple[str, str, np.ndarray]]:
    """Return name, kind and values (n, n) of each predictor."""
    negative, positive = tie < 0, tie > 0
    ties = [("positive tie", positive), ("negative tie", negative)]
    if not negative.any():
        ties = [("tie", positive)]
    terms = [(name, "tie", values.astype(float)) for name, values in ties]
    for column in [] if controls is None else controls.columns:
        values = controls.set_axis(as_names(controls.index, what="person"))[column].loc[names]
        if values.isna().any():
            raise InputError(
                f"expected a value of {column!r} for every person, but {values.isna().sum()} have "
                "none: leave these people out and use match='intersection'."
            )
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            number = values.to_numpy(float)
            terms.append((f"difference of {column}", "control", abs(number[:, None] - number)))
        else:
            group = values.astype(str).to_numpy(object)
            terms.append((f"same {column}", "control", (group[:, None] == group).astype(float)))
    return terms


def _interactions(controls, interactions, names: list[str]) -> list[tuple[str, str, np.ndarray]]:
    """Return whether both people of a pair are in a cell, for each cell of several columns."""
    found = []
    for one in interactions:
        columns = [one] if isinstance(one, str) else list(map(str, one))
        if len(columns) < 2 or len(set(columns)) < len(columns):
            raise InputError(f"expected interactions of two or more columns each, got {one!r}.")
        there = [] if controls is None else list(map(str, controls.columns))
        for column in columns:
            check_choice(column, there, what="column of controls in interactions")
        people = controls.set_axis(as_names(controls.index, what="person")).set_axis(there, axis=1)
        cells = pd.Series(list(people.loc[names, columns].itertuples(index=False, name=None)))
        codes, kinds = pd.factorize(cells, sort=True)
        if len(kinds) > len(names) / 2:
            raise InputError(
                f"expected interactions of columns of groups, got {' and '.join(columns)}: "
                f"{len(kinds)} cells for {len(names)} people."
            )
        for code, kind in enumerate(kinds):
            inside = (codes == code).astype(float)
            if inside.sum() > 1:  # one person makes no pair
                label = f"both {' '.join(map(str, kind))}"
                found.append((label, "interaction", np.outer(inside, inside)))
    return found


def _covariate(name, frame: pd.DataFrame, names: list[str], directed: bool) -> np.ndarray:
    """Return the values of pairs, (n_people, n_people)."""
    columns = check_unique_names(frame.columns, what="person")
    whole = frame.set_axis(check_unique_names(frame.index, what="person")).set_axis(columns, axis=1)
    if lacking := sorted(set(names) - set(columns)):
        raise InputError(
            f"expected the same people in rows and columns of the covariate {name!r}, but "
            f"{lacking[0]!r} is no column."
        )
    values = whole.loc[names, names].to_numpy(float, copy=True)
    np.fill_diagonal(values, 0)
    if not np.isfinite(values).all():
        raise InputError(f"expected a number for every pair in the covariate {name!r}, got NaN.")
    if directed:
        return values
    if (np.abs(values - values.T) > rounding(values)).any():
        raise InputError(
            f"expected the covariate {name!r} to be symmetric, as ties have no direction."
        )
    return (values + values.T) / 2


def _pairs(n: int, directed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the members of each pair; both orders if ties have a direction."""
    return np.nonzero(~np.eye(n, dtype=bool)) if directed else np.triu_indices(n, k=1)


def _check_design(design: np.ndarray, names: list[str]) -> None:
    """Raise if a term does not vary or is a sum of others."""
    for name, values in zip(names, design.T[1:], strict=True):
        if np.ptp(values) == 0:
            what = "ties and pairs without" if name.endswith("tie") else "a control that varies"
            raise InputError(f"expected {what}, but {name!r} is {values[0]:g} for all pairs.")
    scaled = design / np.linalg.norm(design, axis=0)
    if np.linalg.cond(scaled) > 1e8:
        raise InputError(
            f"expected terms that are not sums of each other, got {', '.join(names)}: leave out "
            "the one that follows from others."
        )


def _errors(design, y, beta, first, second, n: int) -> np.ndarray:
    """Return standard errors that allow pairs which share a person to be correlated.

    What leaving out a person changes, less what leaving out single dyads does: those are in the
    sums of both their members. NaN if nothing can be estimated without someone.
    """
    one, other = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort([other, one])  # the two orders of a directed pair beside each other
    size = len(y) // (n * (n - 1) // 2)
    x = design[order].reshape(-1, size, design.shape[1])
    one, other = one[order][::size], other[order][::size]
    whole = design.T @ design
    squares, products = (
        x.transpose(0, 2, 1) @ x,
        x.transpose(0, 2, 1) @ y[order].reshape(-1, size, 1),
    )
    of_person = np.zeros((n, *squares.shape[1:]))
    toward = np.zeros((n, *products.shape[1:]))
    for member in (one, other):
        np.add.at(of_person, member, squares)
        np.add.at(toward, member, products)
    total = design.T @ y
    inverse = np.linalg.inv(whole)
    hat = x @ inverse @ x.transpose(0, 2, 1)
    # Without units of terms, so that only what depends on each other is ill conditioned.
    lengths = np.sqrt(np.diag(whole))
    left = (whole - of_person) / np.outer(lengths, lengths)
    if np.linalg.cond(left).max() > 1e10 or np.linalg.eigvalsh(hat).max() > 1 - 1e-8:
        return np.full(len(beta), np.nan)
    without = np.linalg.solve(whole - of_person, total[:, None] - toward)[..., 0]
    people = (n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    residual = (y - design @ beta)[order].reshape(-1, size, 1)
    moved = inverse @ x.transpose(0, 2, 1) @ np.linalg.solve(np.eye(size) - hat, residual)
    dyads = (moved[..., 0] ** 2).sum(axis=0)
    # Each pair was left out with either of its people: its own part is in the sum twice.
    return np.sqrt(np.maximum(people - dyads, dyads))


def _permuted(design, y, k: int, orders, first, second, n: int) -> tuple[float, float]:
    """Return t of a term, and p by permuting its residuals over people."""
    basis = np.linalg.qr(np.delete(design, k, axis=1))[0]
    left_y = y - basis @ (basis.T @ y)
    left_x = design[:, k] - basis @ (basis.T @ design[:, k])
    free = len(y) - design.shape[1]
    whole = np.zeros((n, n))
    whole[first, second] = left_x
    if len(y) < n * (n - 1):
        whole += whole.T

    def t_of(x: np.ndarray) -> np.ndarray:
        x = x - (x @ basis) @ basis.T
        square, product = (x**2).sum(axis=1), x @ left_y
        rest = left_y @ left_y - product**2 / square
        return product / np.sqrt(square * rest / free)

    observed = t_of(left_x[None])[0]
    step = max(1, _VALUES // len(y))
    extreme = 0
    for start in range(0, len(orders), step):
        order = orders[start : start + step]
        t = t_of(whole[order[:, first], order[:, second]])
        extreme += reached(abs(t), abs(observed)).sum()
    return float(observed), share(extreme, len(orders), observed)
