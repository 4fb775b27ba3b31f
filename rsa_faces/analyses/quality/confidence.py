"""How far one image's embedding can be trusted: stability, intervals, outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from rsa_faces._core.checks import as_rng, check_arguments, check_count, check_seed
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces.analyses._gram import unit_length
from rsa_faces.analyses._inputs import codes_of
from rsa_faces.analyses.quality._outliers import OutlierFlag, check_alpha, flag_rates
from rsa_faces.extraction import extract
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.degradations import from_linear, random_of, to_linear

if TYPE_CHECKING:
    from rsa_faces.networks import Network

__all__ = ["OutlierFlag", "SimilarityInterval", "flag_rates", "image_confidence"]


def image_confidence(
    network: Network,
    stimuli: StimulusSet,
    *,
    layer: str | None = None,
    n_variants: int = 16,
    size: float = 1.0,
    reduce: str | int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Measure how little an image's embedding moves under changes that should not matter.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    stimuli : StimulusSet
        Crops of faces.
    layer : str, optional
        By default the last of ``network.layers()``.
    n_variants : int, default 16
        Changed copies of each image.
    size : float, default 1
        Of the changes; see Notes.
    reduce, batch_size
        As for :func:`rsa_faces.extract`.
    seed : int, default 0
        The changes of an image depend on its name and this alone.
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    DataFrame
        Indexed by ``condition``, the stimulus ids: ``stability``, the mean cosine of the image's
        embedding with those of its variants, at most 1; ``lowest``, the smallest of these;
        ``n_variants``.

    Raises
    ------
    InputError
        If the layer or an option is not valid.

    See Also
    --------
    check_confidence : Degrade images and see whether confidence falls and flags rise.
    robustness

    Notes
    -----
    A variant is shifted (standard deviation 1.5 % of the width, each way), turned (2°), enlarged
    (2 %), brightened (15 % of the light) and given noise (1 % of the range), all at once, normally
    distributed and times `size`. Pixels from outside repeat the edge.

    An embedding can be stable and wrong: another person's face is as stable as one's own, and a
    black image hardly changes. Stability is one sign of a bad image; :class:`OutlierFlag` is
    another, and :class:`SimilarityInterval` says what they mean for identity.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces import load_network
    >>> from rsa_faces.analyses.quality.confidence import image_confidence
    >>> from rsa_faces.stimuli import StimulusSet
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    >>> found = image_confidence(
    ...     load_network("pixels"), StimulusSet.from_arrays(images, ["a", "b"]), n_variants=4)
    >>> bool(found["stability"].between(0, 1).all())
    True
    """
    check_arguments(image_confidence, locals())
    check_count(n_variants, what="n_variants")
    check_seed(seed)
    if not 0 < size < np.inf:
        raise InputError(f"expected a size above 0, got {size!r}.")
    layer = network.layers()[-1] if layer is None else layer
    options = {"layers": [layer], "reduce": reduce, "batch_size": batch_size, "progress": False}
    rngs = [random_of(name, "variants", seed) for name in stimuli.ids]
    (clean,) = extract(network, stimuli, **options).values()
    clean = unit_length(clean)
    cosines = np.empty((n_variants, len(stimuli)))
    with progress_bar("confidence", n_variants, show=progress) as tell:
        for k in range(n_variants):
            images = [
                _variant(stimuli.image(name), size, rng)
                for name, rng in zip(stimuli.ids, rngs, strict=True)
            ]
            varied = StimulusSet.from_arrays(images, stimuli.ids)
            (patterns,) = extract(network, varied, **options).values()
            cosines[k] = (unit_length(patterns) * clean).sum(axis=1)
            tell(k + 1)
    return pd.DataFrame(
        {
            "stability": cosines.mean(axis=0),
            "lowest": cosines.min(axis=0),
            "n_variants": n_variants,
        },
        index=pd.Index(stimuli.ids, name="condition"),
    )


def _variant(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Return an image changed as little as a second photograph might be."""
    dx, dy, turn, zoom, light = rng.normal(size=5) * size
    height, width = image.shape[:2]
    # Ten standard deviations of the shift at size 1: its edge stays out of view.
    margin = max(2, round(0.15 * max(height, width)))
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    angle, scale = np.radians(2 * turn), np.exp(-0.02 * zoom)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    x0, y0 = width / 2, height / 2
    # From a place in the variant to its place in the padded image.
    left = x0 - c * x0 + s * y0 + 0.015 * dx * width + margin
    top = y0 - s * x0 - c * y0 + 0.015 * dy * width + margin
    moved = Image.fromarray(padded).transform(
        (width, height),
        Image.Transform.AFFINE,
        (c, -s, left, s, c, top),
        Image.Resampling.BICUBIC,
    )
    # Light multiplies intensities, which grey values encode.
    lit = from_linear(to_linear(np.asarray(moved)) * np.exp(0.15 * light))
    noise = 255 * 0.01 * size * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(lit + noise), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class SimilarityInterval:
    """Split-conformal interval of the similarity of two images of one person.

    Make one with :meth:`fit`.

    Attributes
    ----------
    slope, intercept : float
        Of the expected similarity against stability; slope 0 if that was not given.
    margin : float
        Half the width; infinite if there are too few people for `alpha`.
    alpha : float
        One minus the coverage.
    n_people : int
        That the margin was set on.

    See Also
    --------
    rsa_faces.analyses.check_confidence
    rsa_faces.analyses.OutlierFlag : A flag for images unlike the reference.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import SimilarityInterval
    >>> similarity = np.random.default_rng(0).normal(0.7, 0.1, size=100)  # simulated
    >>> interval = SimilarityInterval.fit(similarity, range(100), alpha=0.1)
    >>> interval.n_people, interval.alpha
    (50, 0.1)
    """

    slope: float
    intercept: float
    margin: float
    alpha: float
    n_people: int

    @classmethod
    def fit(
        cls,
        similarity: Sequence[float],
        people: Sequence[Any],
        *,
        stability: Sequence[float] | None = None,
        alpha: float = 0.05,
        seed: int = 0,
    ) -> SimilarityInterval:
        """Set the interval on pairs of images of known people.

        Parameters
        ----------
        similarity : sequence of float, shape (n_pairs,)
            Such as cosines of the embeddings of two images of one person.
        people : sequence, shape (n_pairs,)
            Who it is. One pair of each person is used, drawn at random.
        stability : sequence of float, shape (n_pairs,), optional
            Of the pair's images, such as the lower from :func:`image_confidence`. The centre of
            the interval then follows it.
        alpha : float, default 0.05
            The interval covers 1 − alpha.
        seed : int, default 0

        Returns
        -------
        SimilarityInterval

        Raises
        ------
        InputError
            If lengths differ, values are not finite, `alpha` is not between 0 and 1, or there are
            fewer than 4 people.

        Notes
        -----
        The people are halved. A line through similarity against stability (or the mean) is fitted
        to one half, and the margin is the ⌈(1 − alpha)(n + 1)⌉-th smallest distance from it among
        the n people of the other [1]_. A pair of a new person, drawn as those were, is inside with
        probability at least 1 − alpha, whether or not the line is right; this is on average over
        people and images, not for each group or each degradation. With n < 1/alpha − 1 the margin
        is infinite.

        References
        ----------
        .. [1] Lei J., G'Sell M., Rinaldo A., Tibshirani R. J., Wasserman L. (2018). Journal of the
           American Statistical Association 113, 1094-1111. doi:10.1080/01621459.2017.1307116

        Examples
        --------
        >>> import numpy as np
        >>> from rsa_faces.analyses.quality.confidence import SimilarityInterval
        >>> similarity = np.random.default_rng(0).normal(0.7, 0.1, size=100)  # simulated
        >>> interval = SimilarityInterval.fit(similarity, range(100), alpha=0.1)
        >>> low, high = interval.predict()
        >>> bool(0.4 < low < 0.6 and 0.8 < high < 1)
        True
        """
        check_arguments(SimilarityInterval.fit, locals())
        check_alpha(alpha)
        y = np.asarray(similarity, dtype=float)
        x = np.zeros(len(y)) if stability is None else np.asarray(stability, dtype=float)
        people = list(people)
        if y.ndim != 1 or x.shape != y.shape or len(people) != len(y):
            raise InputError(
                "expected one similarity, person and stability per pair, got "
                f"{y.shape}, {len(people)} and {x.shape}."
            )
        if not (np.isfinite(y).all() and np.isfinite(x).all()):
            raise InputError("expected finite similarities and stabilities, got NaN or infinity.")
        codes, kinds = codes_of(people)
        if len(kinds) < 4:
            raise InputError(f"expected pairs of at least 4 people, got {len(kinds)}.")
        rng = as_rng(seed)
        order = rng.permutation(len(y))
        chosen = order[np.unique(codes[order], return_index=True)[1]]  # one pair of each person
        chosen = rng.permutation(chosen)
        # Errors of pairs that set the line would be too small for the margin.
        training, rest = chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]
        slope = 0.0
        if np.ptp(x[training]) > 0:
            deviation = x[training] - x[training].mean()
            slope = float(deviation @ y[training] / (deviation @ deviation))
        intercept = float(y[training].mean() - slope * x[training].mean())
        distances = np.sort(np.abs(y[rest] - intercept - slope * x[rest]))
        # + 1: the pair to come is one of those that may be farthest.
        rank = int(np.ceil((1 - alpha) * (len(rest) + 1) - 1e-9))
        margin = float(distances[rank - 1]) if rank <= len(rest) else np.inf
        return cls(slope, intercept, margin, alpha, len(rest))

    def predict(self, stability: float | np.ndarray = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper end of the interval, shape as `stability`."""
        centre = self.intercept + self.slope * np.asarray(stability, dtype=float)
        return centre - self.margin, centre + self.margin
