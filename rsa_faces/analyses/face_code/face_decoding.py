"""Decoding faces from a population of cells, and how many cells that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._gram import standardised
from rsa_faces.analyses._inputs import cells_of
from rsa_faces.analyses._ridge import STRENGTHS, check_strengths, deal_folds
from rsa_faces.analyses._targets import LEVEL, held_out_r
from rsa_faces.analyses.face_code import _cells
from rsa_faces.analyses.face_code._axis import fit_sets
from rsa_faces.inference._orders import exchanges

_SETS = 10_000  # targets fitted at a time


@dataclass(frozen=True, eq=False, repr=False)
class FaceDecoding(BaseResult, figure="plot_identification"):
    """Faces decoded from responses.

    Attributes
    ----------
    table : DataFrame
        One row per number of cells and of distractors; see :func:`decode_faces`.
    features : DataFrame
        One row per component: ``component``, ``r``, ``r2`` of held-out faces, all cells.
    decoded : DataFrame, shape (n_faces, n_dimensions)
        Coordinates predicted for held-out faces from all cells; ``space.reconstruct(decoded)``
        makes their images.
    settings : dict
        Options, for provenance.

    See Also
    --------
    decode_faces : Decode faces from responses of a population and pick them out among others.
    rsa_faces.figures.plot_identification

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import decode_faces
    >>> rng = np.random.default_rng(0)
    >>> names, columns = [f"face {i}" for i in range(40)], ["shape 1", "appearance 1"]
    >>> faces = pd.DataFrame(rng.normal(size=(40, 2)), names, columns)
    >>> cells = faces @ rng.normal(size=(2, 10)) + rng.normal(size=(40, 10))  # simulated
    >>> found = decode_faces(faces, cells, n_units=[1, 10], n_permutations=19)
    >>> found.decoded.shape
    (40, 2)
    """

    table: pd.DataFrame
    features: pd.DataFrame
    decoded: pd.DataFrame

    def __repr__(self) -> str:
        return f"FaceDecoding({len(self.decoded)} faces, {self.table['n_units'].max()} units)"

    def units_needed(self, accuracy: float = 0.75, *, n_distractors: int | None = None):
        """Return the smallest tested number of units with at least this accuracy.

        Parameters
        ----------
        accuracy : float, default 0.75
            Mean over subsets of units, above 0 up to 1.
        n_distractors : int, optional
            One of the table's; by default the smallest.

        Returns
        -------
        int or None
            None if no tested number of units reaches it.

        Raises
        ------
        InputError
            If the accuracy is out of range or this number of distractors was not tested.
        """
        if not 0 < accuracy <= 1:
            raise InputError(f"expected an accuracy above 0 up to 1, got {accuracy!r}.")
        tested = self.table["n_distractors"]
        wanted = tested.min() if n_distractors is None else n_distractors
        check_choice(str(wanted), tested.astype(str).unique(), what="number of distractors")
        enough = self.table[(tested == wanted) & (self.table["accuracy"] >= accuracy)]
        return int(enough["n_units"].min()) if len(enough) else None


@keep_warnings
def decode_faces(
    space,
    responses,
    *,
    conditions: Sequence[str] | None = None,
    across: Labels | None = None,
    within: Labels | None = None,
    n_units: Sequence[int] | None = None,
    n_distractors: Sequence[int] = (1, 9),
    n_draws: int = 10,
    n_folds: int = 10,
    n_permutations: int = 200,
    strengths: Sequence[float] = STRENGTHS,
    match: str = "same",
    seed: int = 0,
    progress: bool = True,
) -> FaceDecoding:
    """Decode faces from responses of a population and pick them out among others.

    Parameters
    ----------
    space, responses, conditions
        As for :func:`axis_tuning`; repeats are averaged.
    across : mapping or Series, face to person, optional
        People are left out and exchanged whole: give it if there are several images of a person.
        By default every face is another person.
    within : mapping or Series, face to cell, optional
        Cells of the other factors of the design (tuples for several): faces are exchanged
        inside them only.
    n_units : sequence of int, optional
        Numbers of cells to decode from; by default 1, 2, 5, 10, 20, 50, … up to all.
    n_distractors : sequence of int, default (1, 9)
        Among how many other faces the right one is to be found.
    n_draws : int, default 10
        Random subsets of cells per number of cells.
    n_folds : int, default 10
        People are dealt out at random.
    n_permutations : int, default 200
        Of people against responses, for all cells.
    strengths, match, seed, progress
        As for :func:`axis_tuning`; the strength is chosen per component.

    Returns
    -------
    FaceDecoding
        Its table: ``n_units``, ``n_distractors``, ``accuracy`` (mean over subsets), ``low``,
        ``high`` (2.5 and 97.5 percentiles over subsets; equal for all cells), ``chance``, ``p``
        (all cells only, else NaN), ``n_draws``, ``n_faces``.

    Raises
    ------
    InputError
        As :func:`axis_tuning`, or for numbers of cells or distractors that there are not.

    See Also
    --------
    face_space : Make a space of faces from landmarks and images.
    axis_tuning : Find each cell's axis in a face space and test what an axis code predicts.
    rsa_faces.figures.plot_identification

    Notes
    -----
    Each coordinate of a held-out face is predicted by ridge regression from the responses,
    standardised over the training faces [1]_ (with a floor, and bounded, for cells that are all but
    silent there, as in :func:`rsa_faces.analyses.readout`). The face is identified if its predicted
    coordinates are nearer (Euclidean) to its own than to those of m distractors; a tie counts as
    a miss. With c of the other n - 1 faces nearer, that is true of a share C(n - 1 - c, m) /
    C(n - 1, m) of all sets of distractors, which is used instead of drawing sets. Percentiles
    over subsets tell how much the choice of cells matters; subsets of nearly all cells are
    nearly the same, so that they shrink.

    References
    ----------
    .. [1] Chang L., Tsao D. Y. (2017). Cell 169, 1013-1028. doi:10.1016/j.cell.2017.05.011

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses.face_code.face_decoding import decode_faces
    >>> rng = np.random.default_rng(0)
    >>> columns = ["shape 1", "shape 2", "appearance 1", "appearance 2"]
    >>> faces = pd.DataFrame(rng.normal(size=(60, 4)), [f"face {i}" for i in range(60)], columns)
    >>> cells = faces @ rng.normal(size=(4, 30)) + rng.normal(size=(60, 30))  # simulated
    >>> found = decode_faces(faces, cells, n_units=[1, 5, 30], n_permutations=19)
    >>> found.units_needed(0.9)
    30
    """
    check_count(n_folds, what="n_folds", low=2)
    for what, number in (("n_permutations", n_permutations), ("n_draws", n_draws)):
        check_count(number, what=what)
    frame, repeats, _ = _cells.matched(space, responses, conditions, match)
    cells, truth, n = repeats.mean(axis=0), frame.to_numpy(), len(frame)
    ridge = check_strengths(strengths)
    sizes = _sizes(n_units, cells.shape[1])
    others = sorted({check_count(m, what="n_distractors") for m in n_distractors})
    if not others or others[-1] > n - 1:
        raise InputError(f"expected 1 to {n - 1} distractors, got {list(n_distractors)!r}.")
    rng = as_rng(seed)
    whom = np.arange(n) if across is None else cells_of(across, frame.index, "across")
    fold_of = deal_folds(whom, n_folds, rng)
    everyone = np.arange(cells.shape[1])
    rows = []
    with progress_bar("decoding faces", len(sizes) + 1, show=progress) as tell:
        for i, size in enumerate(sizes):
            subsets = (
                [everyone]
                if size == len(everyone)
                else [rng.choice(everyone, size, replace=False) for _ in range(n_draws)]
            )
            found = np.array(
                [
                    _accuracies(
                        _decoded(cells[:, s], truth.T, fold_of, ridge, whom)[0].T, truth, others
                    )
                    for s in subsets
                ]
            )
            low, high = np.percentile(found, LEVEL, axis=0)
            for j, m in enumerate(others):
                rows.append(
                    {
                        "n_units": size,
                        "n_distractors": m,
                        "accuracy": found[:, j].mean(),
                        "low": low[j],
                        "high": high[j],
                        "chance": 1 / (m + 1),
                        "p": np.nan,
                        "n_draws": len(subsets),
                        "n_faces": n,
                    }
                )
            tell(i + 1)
        decoded, baseline = _decoded(cells, truth.T, fold_of, ridge, whom)
        observed = _accuracies(decoded.T, truth, others)
        orders = exchanges(whom, cells_of(within, frame.index))(rng, n_permutations)
        null = _null(cells, truth, fold_of, ridge, others, orders, whom)
        tell(len(sizes) + 1)
    table = pd.DataFrame(rows)
    p = p_of(observed, null.T)[0]
    whole = table["n_units"] == len(everyone)
    table.loc[whole, "p"] = table.loc[whole, "n_distractors"].map(dict(zip(others, p, strict=True)))
    r2 = 1 - ((truth.T - decoded) ** 2).sum(axis=1) / ((truth.T - baseline) ** 2).sum(axis=1)
    features = pd.DataFrame(
        {"component": frame.columns, "r": held_out_r(decoded, truth.T, baseline), "r2": r2}
    )
    settings = {
        "n_units": sizes,
        "n_distractors": others,
        "n_draws": n_draws,
        "match": match,
        "n_folds": int(fold_of.max()) + 1,
        "n_permutations": n_permutations,
        "strengths": ridge.tolist(),
        "seed": seed,
    }
    index = pd.Index(frame.index, name="condition")
    return FaceDecoding(
        table,
        features,
        pd.DataFrame(decoded.T, index=index, columns=frame.columns),
        settings=settings,
    )


def _sizes(n_units: Sequence[int] | None, n_cells: int) -> list[int]:
    """Return numbers of cells to decode from, in order."""
    if n_units is None:
        steps = [k * 10**e for e in range(7) for k in (1, 2, 5)]
        return [s for s in steps if s < n_cells] + [n_cells]
    sizes = sorted({check_count(size, what="n_units") for size in n_units})
    if not sizes or sizes[-1] > n_cells:
        raise InputError(f"expected 1 to {n_cells} units, got {list(n_units)!r}.")
    return sizes


def _decoded(cells, targets, fold_of, strengths, people) -> tuple[np.ndarray, np.ndarray]:
    """Return held-out predictions of targets, (n_targets, n_faces), and training means."""
    out, baseline = np.empty(targets.shape), np.empty(targets.shape)
    for fold in np.unique(fold_of):
        test = fold_of == fold
        inputs = standardised(cells, np.flatnonzero(~test))
        fitted = fit_sets(inputs[~test], targets[:, ~test], strengths, "regression", people[~test])
        out[:, test] = fitted.predict(inputs[test])
        baseline[:, test] = fitted.intercepts[:, None]
    return out, baseline


def _accuracies(decoded: np.ndarray, truth: np.ndarray, n_distractors: list[int]) -> np.ndarray:
    """Return the mean share of distractor sets among which faces are found, per set size."""
    n = len(truth)
    # Less the decoded face's own square, which is the same for all it is compared with.
    squares = (truth**2).sum(axis=1) - 2 * decoded @ truth.T
    # A tie is no find. Less 1: the face itself.
    nearer = (squares <= np.diag(squares)[:, None]).sum(axis=1) - 1
    farther = n - 1 - nearer
    shares = []
    for m in n_distractors:
        able = farther >= m
        # Of all sets of m others the share without a nearer one: none need be drawn.
        logs = (
            gammaln(farther + 1)
            - gammaln(np.where(able, farther - m, 0) + 1)
            - gammaln(n)
            + gammaln(n - m)
        )
        shares.append(np.where(able, np.exp(logs), 0.0).mean())
    return np.array(shares)


def _null(cells, truth, fold_of, strengths, n_distractors, orders, people) -> np.ndarray:
    """Return accuracies with faces shuffled against responses, (n_permutations, n_sizes)."""
    n, k = truth.shape
    step = max(_SETS // k, 1)
    out = []
    for start in range(0, len(orders), step):
        part = orders[start : start + step]
        targets = truth.T[:, part].transpose(1, 0, 2)
        decoded = _decoded(cells, targets.reshape(-1, n), fold_of, strengths, people)[0]
        for order, one in zip(part, decoded.reshape(targets.shape), strict=True):
            out.append(_accuracies(one.T, truth[order], n_distractors))
    return np.array(out)
