"""Background against face: which units of a layer follow what is behind the face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull, QhullError

from rsa_faces._core.checks import as_rng, check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.analyses._face_images import as_points
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.analyses.networks.occlusion import whose
from rsa_faces.extraction import extract
from rsa_faces.inference.bootstrap import draws_of
from rsa_faces.stimuli import StimulusSet

if TYPE_CHECKING:
    from rsa_faces.networks import Network

_GRAY, _N_BOOT, _HELD = 128, 1000, 2**22


@dataclass(frozen=True, eq=False, repr=False)
class BackgroundUnits(Effects):
    """How many units of each layer follow the background more than the face.

    Attributes
    ----------
    table : DataFrame
        One row per layer; see :func:`background_units`.
    units : DataFrame
        One row per unit: ``layer``, ``unit``, ``without_background``, ``without_face``, ``index``.
    settings : dict
        Options, for provenance.

    See Also
    --------
    background_units : Ask which units follow the background.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces import load_network
    >>> from rsa_faces.analyses import background_units
    >>> from rsa_faces.stimuli import StimulusSet
    >>> images = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3)).astype(np.uint8)
    >>> stimuli = StimulusSet.from_arrays(images, list("abcde"))
    >>> box = [[32, 32], [96, 32], [96, 96], [32, 96]]  # a quarter of the image
    >>> found = background_units(load_network("pixels"), stimuli, {name: box for name in "abcde"})
    >>> found.table[["index", "area"]].abs().round(1).values.tolist()  # no pixel counts more
    [[0.0, 0.7]]
    """

    units: pd.DataFrame

    shown: ClassVar[Shown] = Shown("share", "share of units", reference=0.5)


@keep_warnings
def background_units(
    network: Network,
    stimuli: StimulusSet,
    landmarks: Mapping[str, Any],
    *,
    layers: str | Sequence[str] = "all",
    people: Labels | None = None,
    scale: float = 1.0,
    budget: str | int = "2GB",
    seed: int = 0,
    progress: bool = True,
) -> BackgroundUnits:
    """Ask which units of each layer follow the background more than the face.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    stimuli : StimulusSet
        Faces before a background, as the network is to be shown them.
    landmarks : mapping of image to (n_landmarks, 2)
        In pixels (x, y): the face is what their convex hull encloses.
    layers : str or sequence of str, default "all"
        As for :func:`rsa_faces.extract`; each runs once in a pass.
    people : mapping or Series, image to person, optional
        Drawn whole for intervals; by default every image is another person.
    scale : float, default 1
        The hull is made larger by this around its middle: landmarks without forehead or hair
        enclose less than the face.
    budget : str or int, default "2GB"
        Memory for activations.
    seed : int, default 0
    progress : bool, default True

    Returns
    -------
    BackgroundUnits
        Its table has one row per layer: ``network``, ``layer``, ``layer_index``, ``depth``;
        ``share`` of units that change more for each hidden pixel of the background than of the
        face, with ``ci_low``, ``ci_high`` (drawing people); ``share_whole``, the same for all of
        the background and all of the face, whichever is larger; ``index``, mean over units of
        (b − f) / (b + f) with b and f the mean absolute changes for each pixel (1: background only,
        −1: face only, 0: both alike); ``area``, the background's mean share of the image;
        ``n_units`` (that change at all), ``n_people``, ``n_conditions``. A unit is a channel of a
        map (changes summed over its places) or a value of a vector.

    Raises
    ------
    InputError
        If an image lacks landmarks, a hull leaves no face or no background, there are fewer than 4
        people, or a layer is unknown or runs more than once.

    See Also
    --------
    central_bias : Ask how far units favour the centre of the image.
    occlusion_map : Hide one part of each image after another.

    Notes
    -----
    Hidden parts are grey (value 128): a background that is grey already changes nothing, and
    contrasts in the face and behind it differ. Compare with the same network untrained
    (``"untrained:…"``), and layers and networks that are shown the same images. What is no face is
    also hair and shoulders. Changes of deep layers do not grow evenly with the area: where face
    and background differ much in size, ``share`` and ``share_whole`` differ much.

    Intervals are percentiles of samples of people, further out the fewer people there are
    (Student's t).

    Of 12 real faces (London, cut out as sface is shown them, 14 % background) the share falls from
    .88 in conv1 to .02 in block12 of sface; untrained it rises from .59 to .96.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import background_units
    >>> faces = rf.datasets.london()  # doctest: +SKIP
    >>> network = rf.load_network("sface")  # doctest: +SKIP
    >>> background_units(network, faces.stimuli, faces.landmarks)  # doctest: +SKIP
    """
    check_arguments(background_units, locals())
    if not 0 < scale < np.inf:
        raise InputError(f"expected scale as a number above 0, got {scale!r}.")
    from rsa_faces.analyses.networks import _topography as torch_part

    names = torch_part.layer_list(network, layers)
    rng, whom = as_rng(seed), whose(people, stimuli.ids)
    parts, area = _parts(stimuli, landmarks, scale)
    options = {"layers": names, "budget": budget, "progress": progress}
    whole, *hidden = (extract(network, x, **options) for x in (stimuli, *parts))
    axes = torch_part.memory_order(network, names)
    n_people = int(whom.max()) + 1
    draws = draws_of(n_people, _N_BOOT, rng) / n_people
    rows, units = [], []
    for i, layer in enumerate(names):
        where = torch_part.places_of(network, layer)
        owner = np.transpose(where.channel, [axis - 1 for axis in axes[layer]]).ravel()
        changes = [_changes(whole[layer], other[layer], owner) for other in hidden]
        b, f = (
            # By its share of pixels: else the larger part would change more.
            _means(x / part[:, None], whom)
            for x, part in zip(changes, (area, 1 - area), strict=True)
        )
        each = pd.DataFrame({"layer": layer, "unit": np.arange(b.shape[1])})
        for name, x in zip(("without_background", "without_face"), changes, strict=True):
            each[name] = _means(x, whom).mean(axis=0)
        apart, total = (b - f).mean(axis=0), (b + f).mean(axis=0)
        moved = total > 0
        each["index"] = np.divide(apart, total, out=np.full(len(total), np.nan), where=moved)
        larger = (each["without_background"] > each["without_face"]).to_numpy()
        shares = np.concatenate(
            [
                (part @ (b - f)[:, moved] > 0).mean(axis=1)
                for part in np.array_split(draws, 1 + _N_BOOT * b.shape[1] // _HELD)
            ]
        )
        low, high = percentile_interval(shares, n_people)
        rows.append(
            {
                "network": network.name,
                "layer": layer,
                "layer_index": i,
                "depth": whole.depth[layer],
                "share": (apart[moved] > 0).mean(),
                "ci_low": low,
                "ci_high": high,
                "share_whole": larger[moved].mean(),
                "index": each["index"].mean(),
                "area": area.mean(),
                "n_units": int(moved.sum()),
                "n_people": n_people,
                "n_conditions": len(stimuli),
            }
        )
        units.append(each)
    settings = {"scale": scale, "seed": seed}
    return BackgroundUnits(
        pd.DataFrame(rows), pd.concat(units, ignore_index=True), settings=settings
    )


def _parts(stimuli: StimulusSet, landmarks, scale: float):
    """Return images without background and without face, and the background's shares."""
    points = as_points(landmarks, None)
    if lacking := [name for name in stimuli.ids if name not in points]:
        raise InputError(
            f"expected landmarks of every image, but {len(lacking)} have none: "
            f"{', '.join(map(repr, lacking[:5]))}."
        )
    faces, grounds, areas = [], [], []
    for name in stimuli.ids:
        image, own = stimuli.image(name), np.asarray(points[name], float)
        try:
            hull = own[ConvexHull(own).vertices]
        except QhullError as err:
            raise InputError(
                f"expected a hull of landmarks with an area, but those of {name!r} lie on a line."
            ) from err
        hull = hull.mean(axis=0) + scale * (hull - hull.mean(axis=0))
        mask = Image.new("1", image.shape[1::-1])
        ImageDraw.Draw(mask).polygon([tuple(point) for point in hull], fill=1, outline=1)
        face = np.asarray(mask)
        if face.all() or not face.any():
            raise InputError(
                f"expected face and background in every image, but the hull of the landmarks of "
                f"{name!r} encloses {'all' if face.any() else 'none'} of it."
            )
        faces.append(np.where(face[..., None], image, _GRAY).astype(np.uint8))
        grounds.append(np.where(face[..., None], _GRAY, image).astype(np.uint8))
        areas.append(1 - face.mean())
    made = [StimulusSet.from_arrays(x, stimuli.ids) for x in (faces, grounds)]
    return made, np.array(areas)


def _changes(whole, hidden, owner: np.ndarray) -> np.ndarray:
    """Return absolute changes, (n_images, n_units): sums over a unit's values."""
    change, real = np.abs(np.asarray(whole) - np.asarray(hidden)), owner >= 0
    n = int(owner.max()) + 1
    return np.array([np.bincount(owner[real], row[real], minlength=n) for row in change])


def _means(x: np.ndarray, whom: np.ndarray) -> np.ndarray:
    """Return means of each person's images, (n_people, n_units)."""
    of_people = np.zeros((int(whom.max()) + 1, x.shape[1]))
    np.add.at(of_people, whom, x)
    return of_people / np.bincount(whom)[:, None]
