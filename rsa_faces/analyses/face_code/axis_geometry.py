"""Geometry of axes: what a population of cells spans of face space, and how its axes lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.names import named
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width, jackknife_error
from rsa_faces._core.warning import warn
from rsa_faces.analyses._inputs import cells_of
from rsa_faces.analyses._targets import LEVEL
from rsa_faces.analyses.face_code import _cells
from rsa_faces.inference._orders import exchanges

_FREE = 10  # faces beyond dimensions, for what is noise
_BINS = 6
_EDGES = np.linspace(-1, 1, 21)
_BOUNDS = [1, 2, 4, 5]  # ends of intervals, in what `_ends` returns


@dataclass(frozen=True, eq=False, repr=False)
class AxisGeometry(BaseResult, figure="plot_axis_geometry"):
    """How the axes of cells lie in a face space, free of what noise adds.

    Attributes
    ----------
    table : DataFrame
        One row per question; see :func:`axis_geometry`.
    cells : DataFrame
        One row per cell: ``cell``, ``length`` of its axis in standard deviations of its responses
        per standard deviation of a component (0 where noise explains all).
    products : DataFrame, shape (n_cells, n_cells)
        Inner products of axes, without bias by noise: squared lengths on the diagonal.
    spectrum : DataFrame
        ``component`` of the products, ``share`` of the summed squared lengths, ``random_low`` and
        ``random_high`` (95 % of random axes).
    cosines : DataFrame
        How often cosines between axes are ``from`` to ``to``: ``share`` of pairs, ``random_low``,
        ``random_high``. Those of cells without an axis are left out; noise spreads both alike.
    curve : DataFrame
        Mean ``cosine`` of pairs of cells in bins of equal numbers of pairs, by ``distance``;
        ``random_low``, ``random_high`` (95 % of exchanged places); ``n_pairs``. Empty without
        places.
    settings : dict
        Options, for provenance.

    See Also
    --------
    axis_geometry : Ask what the axes of cells span, and whether they are orthogonal or follow a
        place.
    rsa_faces.figures.plot_axis_geometry : Draw what axes span, their cosines, and their places.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import axis_geometry
    >>> rng = np.random.default_rng(0)
    >>> faces = pd.DataFrame(rng.normal(size=(90, 8)), [f"face {i}" for i in range(90)])
    >>> cells = faces @ rng.normal(size=(8, 20)) + rng.normal(size=(90, 20))  # simulated
    >>> found = axis_geometry(faces, cells, n_permutations=39)
    >>> found.products.shape, len(found.curve)
    ((20, 20), 0)
    """

    table: pd.DataFrame
    cells: pd.DataFrame
    products: pd.DataFrame
    spectrum: pd.DataFrame
    cosines: pd.DataFrame
    curve: pd.DataFrame


@keep_warnings
def axis_geometry(
    space,
    responses,
    *,
    conditions: Sequence[str] | None = None,
    places: Labels | pd.DataFrame | None = None,
    across: Labels | None = None,
    within: Labels | None = None,
    n_permutations: int = 1000,
    match: str = "same",
    seed: int = 0,
    progress: bool = True,
) -> AxisGeometry:
    r"""Ask what the axes of cells span, and whether they are orthogonal or follow a place.

    Parameters
    ----------
    space : FaceSpace or DataFrame, shape (n_faces, n_dimensions)
        Faces and their coordinates; at least 10 faces more than dimensions.
    responses : DataFrame (n_faces, n_cells), list of DataFrame, or ndarray
        As for :func:`axis_tuning`; of repeats the mean is taken.
    conditions : sequence of str, optional
        The faces of an array.
    places : Series, mapping or DataFrame (n_cells, n_coordinates), optional
        A coordinate of each cell, or several (mm), by name: axes are compared with distances.
    across : mapping or Series, face to person, optional
        Give it if there are several images of a person: what is left of responses to them may be
        alike. By default every face is another person.
    within : mapping or Series, cell to recording, optional
        Places are compared and exchanged inside a recording (or a subject) only.
    n_permutations : int, default 1000
        Random axes; and exchanges of places.
    match : {"same", "intersection"}, default "same"
        Whether responses must be to the faces of the space, or those in both are taken.
    seed : int, default 0
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    AxisGeometry
        Its table: ``question``; ``value`` with ``ci_low``, ``ci_high`` (95 %, drawing cells);
        ``expected`` where there is nothing, with ``random_low``, ``random_high`` (95 %); ``p``;
        ``n_cells``, ``n_faces``, ``n_people``, ``n_dimensions``. Questions: "dimensions spanned" (1
        to infinity; p: fewer than of random axes); "squared cosine" of two axes (p: smaller than of
        random axes, that is closer to orthogonal); "cosine" (p, two-sided, axes turned round at
        random: they share a direction); with places "cosine by distance" (its change per unit of
        distance; p, two-sided, places exchanged). NaN, with a note, where noise explains so much
        that cosines would come out beyond 1; p tells the same as ever.

    Raises
    ------
    InputError
        If values are not finite or do not vary, names do not match, there are too few faces or
        fewer than 3 cells, or noise explains all responses.

    See Also
    --------
    axis_tuning : Find each cell's axis in a face space and test what an axis code predicts.
    rsa_faces.figures.plot_axis_geometry : Draw what axes span, their cosines, and their places.

    Notes
    -----
    *Products.* Axes ŵ are those of least squares, of responses with variance 1. Noise lengthens
    them and, where cells share noise, turns them together: from ŵ_c · ŵ_d is taken
    Σ_i \|x̃_i\|² (y_ci ẽ_di + y_di ẽ_ci) / 2, ẽ the error for a face that was left out of the
    fit, which is without bias also where noise differs between faces [1]_. Of several images of a
    person the sum goes over pairs of them, and all are left out together.

    *Span and angle* are one number in two units: the mean squared cosine of two different axes,
    Σ (w_c · w_d)² / Σ \|w_c\|² \|w_d\|², and dimensions = 1 / squared cosine, the participation
    ratio of the population. Random axes give 1 / n_dimensions. Cells count by the variance that
    their axis explains, so that cells without an axis need not be left out. What noise adds to
    squares is that of random axes of the same lengths with the residuals of these cells, faces
    exchanged (of several images of a person: all turned round or none), and is taken off.
    As many cells on each of a few orthogonal axes have the mean
    squared cosine of random ones: look at the cosines.

    *Places.* The change is the slope b of w_c · w_d = \|w_c\| \|w_d\| (a + b · distance). Where
    axes change places, residuals stay at theirs, as near cells may share noise.

    Intervals: t, with the error of leaving out one cell at a time (jackknife), or the spread of
    what is expected if that is larger, within what cosines can be; without bias, a squared cosine
    near 0 may itself come out below it (infinitely many dimensions). Error rates and findings on
    simulated cells: ``scripts/simulate_axis_geometry.py`` and the page on calibration.

    References
    ----------
    .. [1] Kline P., Saggio R., Sølvsten M. (2020). Econometrica 88, 1859-1898.
       doi:10.3982/ECTA16410
    .. [2] Chang L., Tsao D. Y. (2017). Cell 169, 1013-1028. doi:10.1016/j.cell.2017.05.011

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses.face_code.axis_geometry import axis_geometry
    >>> rng = np.random.default_rng(0)
    >>> faces = pd.DataFrame(rng.normal(size=(120, 12)), [f"face {i}" for i in range(120)])
    >>> depth = pd.Series(np.linspace(0, 3, 40), [f"cell {i}" for i in range(40)])  # mm
    >>> turn = depth.to_numpy()  # simulated: axes in a plane, turning with depth
    >>> signal = np.outer(faces[0], np.cos(turn)) + np.outer(faces[1], np.sin(turn))
    >>> cells = pd.DataFrame(signal + rng.normal(size=(120, 40)), faces.index, depth.index)
    >>> found = axis_geometry(faces, cells, places=depth, n_permutations=99)
    >>> found.table.set_index("question")["p"].round(2).to_dict()
    {'dimensions spanned': 0.01, 'squared cosine': 1.0, 'cosine': 0.01, 'cosine by distance': 0.01}
    """
    check_count(n_permutations, what="n_permutations")
    frame, repeats, cells = _cells.matched(space, responses, conditions, match)
    n, k, n_cells = len(frame), frame.shape[1], len(cells)
    if n < k + _FREE or n_cells < 3:
        raise InputError(
            f"expected at least {k + _FREE} faces for {k} dimensions, and 3 cells, got {n} faces "
            f"and {n_cells} cells. Use fewer components, such as n_shape=10, n_appearance=10."
        )
    y = repeats.mean(axis=0).T
    y = (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True)
    whom = np.arange(n) if across is None else cells_of(across, frame.index, "across")
    fit = _Fit(frame.to_numpy(float), whom)
    by_place, orders = _by_place(places, within, cells), None
    rng = as_rng(seed)
    if by_place:
        orders = exchanges(np.arange(n_cells), by_place.group)(rng, n_permutations)
    products = fit.products(y)
    squares = np.diag(products)
    if (squares > 0).sum() < 2 or squares.sum() ** 2 <= (squares**2).sum():
        raise InputError(
            f"expected cells with an axis, but noise explains the responses of nearly all "
            f"{n_cells}: there is no geometry to ask for. Use more faces, more repeats or fewer "
            "components."
        )
    null, turned, moved, spectra, histograms = [], [], [], [], []
    with progress_bar("random axes", n_permutations, show=progress) as tell:
        for simulated, signed, *exchanged in fit.random(y, squares, n_permutations, rng, orders):
            null.append(_overlaps(simulated)[0][0])
            turned.append(_overlaps(signed)[0][1])
            moved += [(by_place.slope(one)[0], by_place.curve(one)) for one in exchanged]
            spectra.append(_spectrum(simulated, k))
            histograms.append(_histogram(simulated))
            tell(len(null))
    null, turned = np.array(null), np.array(turned)
    value, left_out = _overlaps(products)
    # What noise leaves in squares is alike for random axes, whose squared cosine is known.
    floor = null.mean() - 1 / k
    smaller, larger = (p_of(sign * value[0], sign * null)[0] for sign in (-1, 1))
    squared = _ends(value[0], left_out[:, 0], 1 / k + floor, null) - floor
    cosine = _ends(value[1], left_out[:, 1], 0.0, turned)
    if abs(squared[0]) > 1 or abs(cosine[0]) > 1:
        # Products without bias may leave the range of cosines where lengths are hardly above noise.
        squared[:3] = cosine[:3] = np.nan
        warn(
            f"noise explains so much of the responses of these {n_cells} cells that cosines of "
            "their axes come out beyond 1: they are undefined. Use more faces, more repeats or "
            "fewer components."
        )
    # Intervals by t know no limits; cosines have some.
    squared[_BOUNDS] = squared[_BOUNDS].clip(0, 1)
    cosine[_BOUNDS] = cosine[_BOUNDS].clip(-1, 1)
    rows = [
        ("dimensions spanned", *map(_inverse, squared[[0, 2, 1, 3, 5, 4]]), larger),
        ("squared cosine", *squared, smaller),
        ("cosine", *cosine, p_of(abs(value[1]), abs(turned))[0]),
    ]
    curve = pd.DataFrame(columns=["distance", "cosine", "random_low", "random_high", "n_pairs"])
    if by_place:
        slopes, curves = np.array([one for one, _ in moved]), [one for _, one in moved]
        slope, left_out = by_place.slope(products)
        if np.isnan(slope):
            raise InputError(
                "expected recordings in which at least 2 pairs of cells have axes and differ in "
                "distance, got none: leave `places` out."
            )
        p = p_of(abs(slope), abs(slopes))[0]
        rows.append(("cosine by distance", *_ends(slope, left_out, 0.0, slopes), p))
        columns = {"distance": by_place.middle, "cosine": by_place.curve(products)}
        curve = pd.DataFrame(columns | _band(curves) | {"n_pairs": by_place.n_pairs})
    columns = ["question", "value", "ci_low", "ci_high", "expected", "random_low", "random_high"]
    table = pd.DataFrame(rows, columns=[*columns, "p"])
    index = pd.Index(cells, name="cell")
    shares = pd.DataFrame({"from": _EDGES[:-1], "to": _EDGES[1:], "share": _histogram(products)})
    spectrum = _spectrum(products, k)
    components = {"component": np.arange(1, len(spectrum) + 1), "share": spectrum}
    return AxisGeometry(
        table.assign(n_cells=n_cells, n_faces=n, n_people=whom.max() + 1, n_dimensions=k),
        pd.DataFrame({"cell": cells, "length": np.sqrt(np.maximum(squares, 0.0))}),
        pd.DataFrame(products, index, index),
        pd.DataFrame(components | _band(spectra)),
        shares.assign(**_band(histograms)),
        curve,
        settings={"n_permutations": n_permutations, "match": match, "seed": seed},
    )


class _Fit:
    """Least squares on the coordinates of faces, and products of axes without bias by noise."""

    def __init__(self, faces: np.ndarray, whom: np.ndarray) -> None:
        x = faces - faces.mean(axis=0)
        if np.linalg.matrix_rank(x) < x.shape[1]:
            raise InputError(
                f"expected coordinates of full rank, got rank {np.linalg.matrix_rank(x)} for "
                f"{x.shape[1]} dimensions: leave out dimensions that follow from others."
            )
        self.x = x
        self.inverse = np.linalg.pinv(x)  # (n_dimensions, n_faces)
        self.n_people, self.whom = int(whom.max()) + 1, whom
        weights, evened, order = [], [], np.argsort(whom, kind="stable")
        for own in np.split(order, np.cumsum(np.bincount(whom))[:-1]):
            # The identity less the hat matrix, of one person's images: of one, 1 - leverage.
            left, vectors = np.linalg.eigh(
                np.eye(len(own)) - 1 / len(x) - x[own] @ self.inverse[:, own]
            )
            if left[0] < 1e-6:
                raise InputError(
                    "expected no face (or person) that alone determines a dimension: leave it out."
                )
            root = (vectors / np.sqrt(left)) @ vectors.T
            weights.append(self.inverse[:, own].T @ self.inverse[:, own] @ root @ root)
            evened.append(root)
        back = np.argsort(order)
        self.weights, self.evened = (
            sparse.csr_array(sparse.block_diag(blocks))[back][:, back]
            for blocks in (weights, evened)
        )

    def products(self, y: np.ndarray) -> np.ndarray:
        """Return inner products of the axes of centred responses, (n_cells, n_faces)."""
        axes = y @ self.inverse.T
        # Responses times errors of predictions without that face (Kline et al.), or that person:
        # on average shared noise.
        noise = (y @ self.weights) @ (y - axes @ self.x.T).T
        return axes @ axes.T - (noise + noise.T) / 2

    def random(self, y, squares, n: int, rng: np.random.Generator, orders=None):
        """Yield products of axes with these squared lengths and the noise of these cells.

        Of random axes; of these cells' own, each turned round or not at random; and of their own
        in each order of the cells, where these are given: noise stays at its place.
        """
        own = y @ self.inverse.T
        # A fit takes its share of noise out of residuals: 1 - leverage of the variance is left.
        rest = (y - own @ self.x.T) @ self.evened
        lengths = np.sqrt(np.maximum(squares, 0.0))[:, None]
        for i in range(n):
            # One order for all cells: noise that they share stays shared. People with unlike
            # numbers of images cannot change places.
            if self.n_people == len(self.whom):
                noise = rest[:, rng.permutation(len(self.whom))]
            else:
                noise = rest * rng.choice([-1.0, 1.0], size=self.n_people)[self.whom]
            signs = rng.choice([-1.0, 1.0], size=lengths.shape)
            found = []
            # The mean cosine stands against own axes with signs at random: in few dimensions it
            # varies more than that of random directions.
            drawn = [(rng.normal(size=own.shape), lengths), (signs * own, lengths)]
            if orders is not None:
                drawn.append((own[orders[i]], lengths[orders[i]]))
            for axes, size in drawn:
                axes = axes * size / np.linalg.norm(axes, axis=1, keepdims=True)
                made = axes @ self.x.T + noise
                found.append(self.products(made - made.mean(axis=1, keepdims=True)))
            yield tuple(found)


def _overlaps(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean squared cosine and mean cosine, and those without each cell, (n_cells, 2)."""
    squares = np.diag(products)
    lengths = np.sqrt(np.maximum(squares, 0.0))
    off = products - np.diag(squares)
    tops = np.stack([(off**2).sum(axis=1), off.sum(axis=1)])
    bottoms = np.stack([squares * (squares.sum() - squares), lengths * (lengths.sum() - lengths)])
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = tops.sum(axis=1) / bottoms.sum(axis=1)
        left_out = (tops.sum(axis=1)[:, None] - 2 * tops) / (
            bottoms.sum(axis=1)[:, None] - 2 * bottoms
        )
    return whole, left_out.T


def _ends(value: float, left_out: np.ndarray, expected: float, null: np.ndarray) -> np.ndarray:
    """Return a value with its interval, what is expected, and ends of the null."""
    n = len(left_out)
    # Noise that cells share is not in what leaving out one of them changes.
    known = null[np.isfinite(null)]
    error = max(jackknife_error(left_out), known.std() if known.size else np.inf)
    half = half_width(error, n - 1)
    return np.array([value, value - half, value + half, expected, *np.nanpercentile(null, LEVEL)])


def _inverse(value: float) -> float:
    """Return dimensions of a squared cosine; infinite where it is not above 0."""
    return np.inf if value <= 0 else 1 / value


def _spectrum(products: np.ndarray, n_dimensions: int) -> np.ndarray:
    """Return shares of the largest components, at most as many as dimensions."""
    values = np.linalg.eigvalsh(products)[::-1][:n_dimensions]
    return values / np.trace(products)


def _histogram(products: np.ndarray) -> np.ndarray:
    """Return shares of pairs by cosine, of cells with an axis; beyond 1 (noise) counts as 1."""
    kept = np.diag(products) > 0
    lengths = np.sqrt(np.diag(products)[kept])
    cosines = (products[np.ix_(kept, kept)] / np.outer(lengths, lengths))[
        np.triu_indices(kept.sum(), 1)
    ]
    counts = np.histogram(np.clip(cosines, -1, 1), _EDGES)[0]
    return counts / max(counts.sum(), 1)


def _band(values: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the ends between which 95 % of random values lie."""
    return dict(
        zip(("random_low", "random_high"), np.nanpercentile(values, LEVEL, axis=0), strict=True)
    )


class _ByPlace:
    """How products of axes change with the distance of cells of one recording."""

    def __init__(self, apart: np.ndarray, group: np.ndarray) -> None:
        self.group = group
        self.used = (group[:, None] == group) & ~np.eye(len(group), dtype=bool)
        self.apart = apart * self.used
        far = apart[self.used]
        # Distances on a grid repeat: two edges may be the same.
        self.edges = np.unique(np.quantile(far, np.linspace(0, 1, _BINS + 1)))
        self.bin_of = np.clip(np.searchsorted(self.edges, far, "right") - 1, 0, len(self.edges) - 2)
        self.n_pairs = np.bincount(self.bin_of) // 2
        self.middle = self._binned(apart) / (2 * self.n_pairs)

    def slope(self, products: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the slope of the cosine, and that without each cell."""
        both, far = self._lengths(products), self._lengths(products) * self.apart
        pairs = ((both, both), (both, far), (far, far), (products, both), (products, far))
        rows = np.array([(a * b).sum(axis=1) for a, b in pairs])
        whole = rows.sum(axis=1)[:, None]
        aa, ab, bb, ga, gb = np.concatenate([whole, whole - 2 * rows], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            slopes = (aa * gb - ab * ga) / (aa * bb - ab**2)
        return slopes[0], slopes[1:]

    def curve(self, products: np.ndarray) -> np.ndarray:
        """Return the mean cosine in each bin of distance; NaN where no cell has an axis."""
        top, bottom = self._binned(products), self._binned(self._lengths(products))
        return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)

    def _lengths(self, products: np.ndarray) -> np.ndarray:
        """Return products of lengths, of pairs that are compared."""
        lengths = np.sqrt(np.maximum(np.diag(products), 0.0))
        return np.outer(lengths, lengths) * self.used

    def _binned(self, values: np.ndarray) -> np.ndarray:
        """Return sums of values in each bin."""
        return np.bincount(self.bin_of, values[self.used], len(self.edges) - 1)


def _by_place(places, within, cells: Sequence[str]) -> _ByPlace | None:
    """Return how to compare axes with places, or None without places."""
    group = cells_of(within, cells)
    if places is None:
        return None
    values, _ = named(places, cells, what="places", of="cell")
    values = values.reshape(len(cells), -1).astype(float)
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise InputError(
            f"expected finite places, but {len(bad)} cells have NaN or infinity: "
            f"{', '.join(repr(cells[i]) for i in bad[:5])}."
        )
    apart = np.linalg.norm(values[:, None] - values, axis=2)
    inside = apart[np.triu(group[:, None] == group, 1)]
    if len(inside) < 3 or np.ptp(inside) == 0:
        raise InputError(
            f"expected cells at different distances, got {len(inside)} pairs of cells in one "
            "recording that are as far apart as each other."
        )
    return _ByPlace(apart, group)
