"""Stimulus design: the stimuli that tell candidate models apart with the fewest measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses.design._design_information import (
    information,
    information_bounds,
    squared_distances,
)
from rsa_faces.rdm import RDMs

# Simulated measurements of each model; rounds of exchanges, where they would still help.
_SAMPLES = 2000
_ROUNDS = 20


@dataclass(frozen=True, eq=False, repr=False)
class StimulusDesign(BaseResult, figure="plot_stimulus_design"):
    """Stimuli chosen to tell models apart.

    Attributes
    ----------
    stimuli : tuple of str
        In the order they were chosen: the first n are a good choice of n.
    table : DataFrame
        Two rows, ``choice`` "designed" and "random" (mean over random subsets of the same size):
        ``information`` (nats, expected from one measurement of the RDM; at most ``most``, the
        logarithm of the number of models), with ``lower`` and ``upper`` bounds, and
        ``correlation``, the mean over pairs of models.
    correlations : DataFrame, shape (n_models, n_models)
        Of the models' RDMs over the chosen stimuli.
    random : ndarray
        Information (lower bound) of each random subset.
    settings : dict
        Options, for provenance.

    See Also
    --------
    choose_stimuli
    rsa_faces.figures.plot_stimulus_design : Draw what chosen stimuli are expected to tell.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i:02d}" for i in range(30)]
    >>> models = rf.RDMs(rng.random((2, 435)), names, "simulated", {"name": ["one", "two"]})
    >>> design = rf.analyses.choose_stimuli(models, 8, n_starts=2)
    >>> len(design.stimuli), design.table["choice"].tolist()
    (8, ['designed', 'random'])
    """

    stimuli: tuple[str, ...]
    table: pd.DataFrame
    correlations: pd.DataFrame
    random: np.ndarray

    def __repr__(self) -> str:
        designed, random = self.table["information"]
        return (
            f"StimulusDesign({len(self.stimuli)} of {self.settings['n_pool']} stimuli: "
            f"{designed:.2f} nats, random {random:.2f}, most {self.table['most'].iloc[0]:.2f})"
        )


@keep_warnings
def choose_stimuli(
    models: RDMs,
    n: int,
    *,
    noise: float = 3.0,
    by: str = "name",
    n_starts: int = 5,
    n_random: int = 200,
    seed: int = 0,
    progress: bool = True,
) -> StimulusDesign:
    """Choose from a pool the stimuli on which the RDMs of candidate models differ most.

    Parameters
    ----------
    models : RDMs
        One per candidate model, over the whole pool: layers of networks, model RDMs.
    n : int, at least 4
        How many stimuli to choose.
    noise : float, default 3.0
        Standard deviation of the noise of a measured dissimilarity, in standard deviations of the
        right model's dissimilarities. The RDM of a subject correlates with the right model by
        1 / √(1 + noise²): 0.3 for 3.0.
    by : str, default "name"
        Label that names the models.
    n_starts : int, default 5
        Searches from different first stimuli; the best counts.
    n_random : int, default 200
        Random subsets to compare with.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    StimulusDesign

    Raises
    ------
    InputError
        If there are fewer than 2 models, `n` does not fit the pool, a pair is missing, a model's
        dissimilarities are all the same, or `noise` is not above 0.

    See Also
    --------
    simulate_selection : Simulate how often the right model is found.
    rsa_faces.figures.plot_stimulus_design : Draw what chosen stimuli are expected to tell.

    Notes
    -----
    The measured RDM is taken to be the right model's dissimilarities, standardised over the
    chosen pairs, plus independent Gaussian noise; all models are equally likely beforehand. The
    information is what the measurement is expected to tell of which is right (mutual
    information). The search maximises its lower bound [1]_, which has a closed form: it adds the
    stimulus that raises it most until there are n, and then exchanges single stimuli for others
    as long as that helps. `information` in the result is simulated.

    Noise of real RDMs is not independent from pair to pair, and models are never quite right:
    more information means a better design, not a promise of so many subjects.

    A subset chosen where models differ is a sample of the pool that favours none of them, but it
    is no longer a sample of faces: similarities on it do not estimate those on all faces [2]_.

    References
    ----------
    .. [1] Kolchinsky A., Tracey B. D. (2017). Entropy 19, 361. doi:10.3390/e19070361
    .. [2] Golan T., Raju P. C., Kriegeskorte N. (2020). PNAS 117, 29330-29337.
       doi:10.1073/pnas.1912334117

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import choose_stimuli
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i:02d}" for i in range(40)]
    >>> x = rng.normal(size=(40, 6))
    >>> other = x.copy()
    >>> other[:8] = rng.normal(size=(8, 6))  # simulated: two models differ on eight faces
    >>> models = rf.concat([
    ...     rf.compute_rdms(p, conditions=names, measure="euclidean").with_labels(name=[m])
    ...     for m, p in (("one", x), ("two", other))])
    >>> design = choose_stimuli(models, 8, n_starts=2)
    >>> design.table[["choice", "correlation"]].round(2)
         choice  correlation
    0  designed        -0.76
    1    random         0.65
    """
    if not isinstance(models, RDMs):
        raise InputError(f"expected models as RDMs, got a {type(models).__name__}.")
    names = _model_names(models, by)
    pool = models.conditions
    check_count(n, what="n", low=4)
    if n > len(pool):
        raise InputError(f"expected at most {len(pool)} stimuli, the size of the pool, got {n}.")
    if not np.isscalar(noise) or not np.isfinite(noise) or noise <= 0:
        raise InputError(f"expected noise above 0, got {noise!r}.")
    check_count(n_starts, what="n_starts")
    check_count(n_random, what="n_random")
    rng = as_rng(seed)
    search = _Search(_standardised(models, names), float(noise))
    best: list[int] = []
    value = -np.inf
    with progress_bar("stimuli", n_starts, show=progress) as tell:
        for start in range(n_starts):
            # Fewer than three stimuli have one pair, over which nothing varies.
            first = rng.choice(len(pool), 3, replace=False)
            found = search.exchanged(search.grown(list(map(int, first)), n))
            if search.value(found) > value:
                best, value = found, search.value(found)
            tell(start + 1)
    best = search.ordered(best)
    drawn = [rng.choice(len(pool), n, replace=False) for _ in range(n_random)]
    random = np.array([search.value(list(subset)) for subset in drawn])
    rows = []
    for choice, subsets in (("designed", [best]), ("random", drawn)):
        tables = np.array([search.distances(list(subset)) for subset in subsets])
        lower, upper = information_bounds(tables, search.noise)
        # Each is simulated: of random subsets, whose mean alone is wanted, some will do.
        shown = tables[: min(len(tables), 20)]
        off = ~np.eye(len(names), dtype=bool)
        rows.append(
            {
                "choice": choice,
                "information": np.mean(
                    [information(d, search.noise, _SAMPLES, rng) for d in shown]
                ),
                "lower": lower.mean(),
                "upper": upper.mean(),
                "most": np.log(len(names)),
                "correlation": 1 - tables[:, off].mean() / (n * (n - 1)),
                "n": n,
            }
        )
    r = 1 - search.distances(best) / (n * (n - 1))
    settings = {
        "noise": float(noise),
        "n_pool": len(pool),
        "n_starts": n_starts,
        "n_random": n_random,
        "seed": seed,
    }
    return StimulusDesign(
        tuple(pool[i] for i in best),
        pd.DataFrame(rows),
        pd.DataFrame(r, names, names),
        random,
        settings=settings,
    )


def simulate_selection(
    models: RDMs,
    design: StimulusDesign,
    *,
    noise: float | None = None,
    n_measurements=(1, 2, 4, 8, 16, 32),
    n_simulations: int = 2000,
    by: str = "name",
    seed: int = 0,
) -> pd.DataFrame:
    """Simulate how often the right model is found, with designed and with random stimuli.

    Parameters
    ----------
    models : RDMs
        The candidates, over the whole pool.
    design : StimulusDesign
        From :func:`choose_stimuli`.
    noise : float, optional
        As there; by default the design's.
    n_measurements : sequence of int, default (1, 2, 4, 8, 16, 32)
        Measured RDMs that are averaged: subjects, or repeated trials.
    n_simulations : int, default 2000
        For each number, the right model drawn at random each time; random stimuli are drawn anew
        for every tenth.
    by : str, default "name"
    seed : int, default 0

    Returns
    -------
    DataFrame
        One row per choice ("designed", "random") and number of measurements: ``choice``,
        ``n_measurements``, ``correct`` (share of simulations in which the model that correlates
        most with the mean RDM is the right one; models that tie share), ``chance``, ``n``.

    Raises
    ------
    InputError
        If the design's stimuli are not in the pool, or as for :func:`choose_stimuli`.

    See Also
    --------
    choose_stimuli

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import choose_stimuli, simulate_selection
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i:02d}" for i in range(30)]
    >>> models = rf.RDMs(rng.random((2, 435)), names, "simulated", {"name": ["one", "two"]})
    >>> design = choose_stimuli(models, 8, n_starts=2)
    >>> found = simulate_selection(models, design, n_measurements=(1, 8), n_simulations=200)
    >>> found.pivot(index="n_measurements", columns="choice", values="correct").shape
    (2, 2)
    """
    check_arguments(simulate_selection, locals())
    names = _model_names(models, by)
    square = _standardised(models, names)
    place = {name: i for i, name in enumerate(models.conditions)}
    lacking = [name for name in design.stimuli if name not in place]
    if lacking:
        raise InputError(
            f"expected the design's stimuli among the models' conditions, not so {lacking[0]!r}."
        )
    for number in n_measurements:
        check_count(number, what="n_measurements")
    check_count(n_simulations, what="n_simulations", low=10)
    noise = design.settings["noise"] if noise is None else noise
    rng = as_rng(seed)
    chosen = np.array([place[name] for name in design.stimuli])
    n = len(chosen)
    row, col = np.triu_indices(n, 1)
    rows = []
    for choice in ("designed", "random"):
        hits = np.zeros(len(n_measurements))
        # Ten measurements of each random subset: to pick its pairs and standardise models takes
        # longer.
        for _ in range(n_simulations // 10):
            if choice == "random":
                chosen = rng.choice(len(square), n, replace=False)
            z = square[np.ix_(chosen, chosen)][row, col].T
            z = z - z.mean(axis=1, keepdims=True)
            spread = z.std(axis=1, keepdims=True)
            z = np.divide(z, spread, out=np.zeros_like(z), where=spread > 1e-12)
            right = rng.integers(len(names), size=10)
            for k, number in enumerate(n_measurements):
                measured = z[right] + noise / np.sqrt(number) * rng.normal(size=(10, len(row)))
                fit = measured @ z.T
                # Models that are alike on these stimuli share the hit.
                most = fit >= fit.max(axis=1, keepdims=True) - 1e-9
                hits[k] += (most[np.arange(10), right] / most.sum(axis=1)).sum()
        for number, hit in zip(n_measurements, hits, strict=True):
            rows.append(
                {
                    "choice": choice,
                    "n_measurements": number,
                    "correct": hit / (10 * (n_simulations // 10)),
                    "chance": 1 / len(names),
                    "n": n,
                }
            )
    return pd.DataFrame(rows)


def _model_names(models: RDMs, by: str) -> list[str]:
    """Return the names of at least two models."""
    check_choice(by, list(models.labels), what="label of the models")
    names = [str(name) for name in models.labels[by]]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(
            f"expected at least 2 models with names of their own in label {by!r}, got "
            f"{', '.join(names)}."
        )
    return names


def _standardised(models: RDMs, names: list[str]) -> np.ndarray:
    """Return square models, (n_pool, n_pool, n_models), each of mean 0 and deviation 1."""
    vectors = models.vectors
    missing = np.isnan(vectors).any(axis=1)
    still = np.ptp(vectors, axis=1) == 0
    for wrong, what in ((missing, "every pair"), (still, "dissimilarities that differ")):
        if wrong.any():
            raise InputError(f"expected {what} in every model, not so {names[wrong.argmax()]!r}.")
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    vectors = vectors / vectors.std(axis=1, keepdims=True)
    size = len(models.conditions)
    square = np.zeros((size, size, len(names)))
    row, col = np.triu_indices(size, 1)
    square[row, col] = square[col, row] = vectors.T
    return square


class _Search:
    """Sums over pairs of chosen stimuli, kept up to date."""

    def __init__(self, square: np.ndarray, noise: float) -> None:
        self.square, self.noise = square, noise
        self.products = square[..., :, None] * square[..., None, :]

    def sums(self, chosen: list[int]):
        """Return sums over pairs within the subset, and from every stimulus to it."""
        to = self.square[:, chosen].sum(axis=1), self.products[:, chosen].sum(axis=1)
        within = tuple(part[chosen].sum(axis=0) / 2 for part in to)
        return within, to

    def distances(self, chosen: list[int]) -> np.ndarray:
        """Return squared distances between standardised models over the subset."""
        (sums, products), _ = self.sums(chosen)
        return squared_distances(len(chosen) * (len(chosen) - 1) / 2, sums, products)

    def value(self, chosen: list[int]) -> float:
        """Return the lower bound of the information."""
        return float(information_bounds(self.distances(chosen), self.noise)[0])

    def with_one_more(self, size: int, within, to) -> np.ndarray:
        """Return the lower bound of a subset of this size with each stimulus added."""
        distances = squared_distances(
            np.full(len(self.square), (size + 1) * size / 2), within[0] + to[0], within[1] + to[1]
        )
        return information_bounds(distances, self.noise)[0]

    def grown(self, chosen: list[int], n: int) -> list[int]:
        """Return the subset with the best stimuli added one by one."""
        chosen = list(chosen)
        within, to = self.sums(chosen)
        while len(chosen) < n:
            value = self.with_one_more(len(chosen), within, to)
            value[chosen] = -np.inf
            new = int(value.argmax())
            within = within[0] + to[0][new], within[1] + to[1][new]
            to = to[0] + self.square[:, new], to[1] + self.products[:, new]
            chosen.append(new)
        return chosen

    def exchanged(self, chosen: list[int]) -> list[int]:
        """Return the subset after single exchanges that help."""
        chosen = list(chosen)
        best = self.value(chosen)
        for _ in range(_ROUNDS):
            before = best
            for place, old in enumerate(list(chosen)):
                rest = chosen[:place] + chosen[place + 1 :]
                within, to = self.sums(rest)
                value = self.with_one_more(len(rest), within, to)
                value[rest] = -np.inf
                new = int(value.argmax())
                # A gain of rounding alone could be exchanged back and forth.
                if new != old and value[new] > best + 1e-12:
                    chosen[place], best = new, float(value[new])
            if best <= before + 1e-12:
                break
        return chosen

    def ordered(self, chosen: list[int]) -> list[int]:
        """Return the subset in an order of which the first are a good choice too."""
        left = list(chosen)
        tail: list[int] = []
        while len(left) > 3:
            value = [self.value(left[:i] + left[i + 1 :]) for i in range(len(left))]
            tail.append(left.pop(int(np.argmax(value))))
        return left + tail[::-1]
