"""Attribution by occlusion: which parts of a face an embedding or a geometry depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._face_images import as_points
from rsa_faces.analyses._gram import unit_length
from rsa_faces.analyses._inputs import as_layers, codes_of, matched
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.analyses._procrustes import align, mean_shape
from rsa_faces.analyses._targets import rowwise_r
from rsa_faces.extraction import extract
from rsa_faces.inference.bootstrap import draws_of
from rsa_faces.stimuli import StimulusSet

_N_BOOT, _N_PERMUTATIONS = 1000, 999
_GRAY = 128


@dataclass(frozen=True, eq=False, repr=False)
class OcclusionMap(BaseResult, figure="plot_occlusion"):
    """How much a layer changes when a part of the face is hidden.

    Attributes
    ----------
    table : DataFrame
        One row per place; see :func:`occlusion_map`.
    face : ndarray, shape (height, width, 3)
        The mean of the images, in the frame of the map.
    settings : dict
        Options, for provenance.

    See Also
    --------
    occlusion_map : Hide one part of each image after another, and see what changes.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces import load_network
    >>> from rsa_faces.analyses import occlusion_map
    >>> from rsa_faces.stimuli import StimulusSet
    >>> images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    >>> stimuli = StimulusSet.from_arrays(images, list("abcde"))
    >>> found = occlusion_map(load_network("pixels"), stimuli, n_places=2)
    >>> found.matrix().shape
    (2, 2)
    """

    table: pd.DataFrame
    face: np.ndarray

    def __repr__(self) -> str:
        best = self.table.loc[self.table["change"].idxmax()]
        return (
            f"{type(self).__name__}({self.settings['layer']!r}, {len(self.table)} places, most at "
            f"x {best['x']:.2f}, y {best['y']:.2f})"
        )

    def matrix(self, column: str = "change") -> pd.DataFrame:
        """Return one column as a map.

        Parameters
        ----------
        column : str, default "change"

        Returns
        -------
        DataFrame, shape (n_places, n_places)

        Raises
        ------
        InputError
            If there is no such column.
        """
        check_choice(column, self.table.columns, what="column")
        return self.table.pivot(index="row", columns="column", values=column)


@keep_warnings
def occlusion_map(
    network: Any,
    stimuli: StimulusSet,
    *,
    layer: str | None = None,
    of: str = "embedding",
    landmarks: Mapping[str, Any] | None = None,
    people: Labels | None = None,
    n_places: int = 8,
    size: float = 1.5,
    budget: str | int = "2GB",
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> OcclusionMap:
    """Hide one part of each image after another, and see what changes.

    Parameters
    ----------
    network : Network
    stimuli : StimulusSet
        At least 4 faces of one size, cut out and upright.
    layer : str, optional
        The last by default.
    of : {"embedding", "rdm"}, default "embedding"
        What changes: the layer's answer to the image, or how far the image is from all others
        (which are not hidden).
    landmarks : mapping of image to (n_landmarks, 2), optional
        In pixels: hidden places are then those of the mean shape, moved, turned and scaled to each
        face, so that the same part is hidden in all.
    people : mapping or Series, image to person, optional
        Drawn whole for intervals; by default every image is another person.
    n_places : int, default 8
        Places across, and as many down.
    size : float, default 1.5
        Side of the grey square (value 128), in distances between places.
    budget, batch_size
        As for :func:`rsa_faces.extract`.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    OcclusionMap
        Its table has one row per place: ``row``, ``column``, ``x``, ``y`` (of the middle, as shares
        of width and height, in the frame of the mean shape with landmarks); ``change``, mean over
        images of 1 − cosine of the answers, or of 1 − r of the dissimilarities to the others, with
        ``ci_low``, ``ci_high`` (drawing people); ``above`` and ``p`` (two-sided, ``p_corrected`` by
        the largest of all places): is it more or less than at other places, which change places
        within each person; ``n_people``, ``n_conditions``.

    Raises
    ------
    InputError
        If images differ in size, faces lack landmarks, there are fewer than 4 people, or an option
        is unknown.

    See Also
    --------
    rsa_faces.figures.plot_occlusion : Draw where a hidden part changes most, over the mean face.
    robustness : Ask what is left of geometry and identity when images get worse.

    Notes
    -----
    Intervals are percentiles of samples of people, further out the fewer people there are
    (Student's t).

    Where all places are alike, some place has p_corrected ≤ 0.05 in 3.5 to 7 % of 400 simulated
    studies (16 places, 10 to 100 people, skewed changes).

    A map of one image says where that image's answer is fragile, no more [1]_: a grey square is
    itself a thing to be seen, and parts that can stand for each other both look unimportant. Means
    over faces in one shape say more than single maps.

    References
    ----------
    .. [1] Zeiler M. D., Fergus R. (2014). ECCV, LNCS 8689, 818-833.
       doi:10.1007/978-3-319-10590-1_53

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces import load_network
    >>> from rsa_faces.analyses import occlusion_map
    >>> from rsa_faces.stimuli import StimulusSet
    >>> rng = np.random.default_rng(0)
    >>> images = np.full((8, 32, 32, 3), 128, np.uint8)
    >>> images[:, :16, :16] = rng.integers(0, 256, (8, 16, 16, 3))  # all there is to see
    >>> stimuli = StimulusSet.from_arrays(images, [f"face {i}" for i in range(8)])
    >>> found = occlusion_map(load_network("pixels"), stimuli, of="rdm", n_places=2, size=1)
    >>> found.matrix().round(1).to_numpy()
    array([[1., 0.],
           [0., 0.]])
    """
    check_arguments(occlusion_map, locals())
    check_choice(of, ["embedding", "rdm"], what="of")
    check_count(n_places, what="n_places", low=2)
    rng = as_rng(seed)
    if not 0 < size <= n_places:
        raise InputError(f"expected size above 0 and at most n_places={n_places}, got {size!r}.")
    layer = network.layers()[-1] if layer is None else layer
    options = {"layers": layer, "budget": budget, "batch_size": batch_size, "progress": False}
    images, whom = same_size(stimuli), whose(people, stimuli.ids)
    frame, moves = face_frame(landmarks, stimuli.ids, images[0].shape)
    whole = _flat(extract(network, stimuli, **options)[layer])
    changes = np.empty((n_places**2, len(images)))
    low, high = frame
    step = (high - low) / n_places
    with progress_bar("occlusion", len(changes), show=progress) as tell:
        for k in range(len(changes)):
            middle = low + step * (np.array([k % n_places, k // n_places]) + 0.5)
            hidden = [
                _hidden(image, middle, size * step, move)
                for image, move in zip(images, moves, strict=True)
            ]
            worse = StimulusSet.from_arrays(hidden, stimuli.ids)
            answers = _flat(extract(network, worse, **options)[layer])
            changes[k] = _cosine(whole, answers) if of == "embedding" else _rows(whole, answers)
            tell(k + 1)
    table = table_of_places(changes, whom, n_places, rng)
    settings = {"network": network.name, "layer": layer, "of": of, "n_places": n_places}
    settings |= {"size": size, "in_mean_shape": landmarks is not None, "seed": seed}
    return OcclusionMap(table, np.mean(images, axis=0).round().astype(np.uint8), settings=settings)


def same_size(stimuli: StimulusSet) -> list[np.ndarray]:
    """Return images, which are of one size."""
    images = [stimuli.image(name) for name in stimuli.ids]
    if any(image.shape != images[0].shape for image in images):
        raise InputError("expected images of one size; cut faces out with rsa_faces.crop_faces.")
    return images


def whose(people, ids) -> np.ndarray:
    """Return the number of each image's person; at least 4 people."""
    whom = np.arange(len(ids))
    if people is not None:
        empty = as_layers({"": np.empty((len(ids), 1))}, ids)
        _, (found,), _ = matched(empty, [("people", people)], None)
        whom = codes_of(found)[0]
    if whom.max() < 3:
        raise InputError(f"expected at least 4 people (or images), got {whom.max() + 1}.")
    return whom


def table_of_places(changes: np.ndarray, whom: np.ndarray, n_places: int, rng) -> pd.DataFrame:
    """Return means over people of changes (n_places², n_images), intervals and tests."""
    counts = np.bincount(whom)
    n_people = len(counts)
    of_people = np.array([np.bincount(whom, row) / counts for row in changes])
    draws = draws_of(n_people, _N_BOOT, rng) / n_people
    ends = percentile_interval(draws @ of_people.T, n_people)
    # How much a face changes wherever it is hidden says nothing of places.
    above = of_people - of_people.mean(axis=0)
    p, p_corrected = unlike_others(above, rng)
    places = np.arange(n_places**2)
    return pd.DataFrame(
        {
            "row": places // n_places,
            "column": places % n_places,
            "x": (places % n_places + 0.5) / n_places,
            "y": (places // n_places + 0.5) / n_places,
            "change": of_people.mean(axis=1),
            "ci_low": ends[0],
            "ci_high": ends[1],
            "above": above.mean(axis=1),
            "p": p,
            "p_corrected": p_corrected,
            "n_people": n_people,
            "n_conditions": len(whom),
        }
    )


def unlike_others(above: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return p of each place, alone and corrected, from differences (n_places, n_people)."""
    observed = np.abs(above.mean(axis=1))
    # Were all places alike, each person's could change places.
    null = np.array(
        [np.abs(rng.permuted(above, axis=0).mean(axis=1)) for _ in range(_N_PERMUTATIONS)]
    )
    # Places change places: what one may show by chance any may, so that all make one null.
    p, corrected = (
        p_of(observed, np.broadcast_to(values, (len(above), len(values))))[0]
        for values in (null.ravel(), null.max(axis=1))
    )
    return p, corrected


def face_frame(landmarks, ids, shape):
    """Return corners of the map (x, y), and what moves its points into each image."""
    height, width = shape[:2]
    corners = np.array([[0.0, 0.0], [width, height]])
    if landmarks is None:
        return corners, [None] * len(ids)
    points = as_points(landmarks, None)
    if lacking := [name for name in ids if name not in points]:
        raise InputError(
            f"expected landmarks of every image, but {len(lacking)} have none: "
            f"{', '.join(map(repr, lacking[:5]))}."
        )
    own = np.stack([points[name] for name in ids])
    mean, spread = mean_shape(own, "similarity")
    _, scale, angle = align(own, mean, "similarity", spread)
    turns = scale * np.exp(1j * np.radians(angle))
    return corners, list(zip(turns, [mean.mean(axis=0)] * len(own), own.mean(axis=1), strict=True))


def _hidden(image: np.ndarray, middle, sides, move) -> np.ndarray:
    """Return an image with a grey square around a place of the mean shape."""
    if move is not None:
        turn, center, own = move
        turned = turn * complex(*(middle - center))
        middle, sides = own + [turned.real, turned.imag], sides * abs(turn)
    # Below 0 it would count from the other side of the image.
    first = np.clip(np.rint(middle - sides / 2), 0, None).astype(int)
    last = np.clip(np.rint(middle + sides / 2), 0, None).astype(int)
    out = image.copy()
    out[first[1] : last[1], first[0] : last[0]] = _GRAY
    return out


def _flat(patterns) -> np.ndarray:
    """Return answers as vectors."""
    values = np.asarray(patterns, np.float64)
    return values.reshape(len(values), -1)


def _cosine(whole: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Return 1 − cosine of each image's answers."""
    return 1 - (unit_length(whole) * unit_length(answers)).sum(axis=1)


def _rows(whole: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Return 1 − r of each image's correlation distances to the others, as it was and hidden."""
    n = len(whole)
    unit, other = (unit_length(x - x.mean(axis=1, keepdims=True)) for x in (whole, answers))
    apart = ~np.eye(n, dtype=bool)
    before, after = ((one @ unit.T)[apart].reshape(n, n - 1) for one in (unit, other))
    return 1 - rowwise_r(before, after)
