"""Attribution by gradients: which pixels a similarity of embeddings follows from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.optional import require
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.analyses.networks.occlusion import (
    OcclusionMap,
    face_frame,
    same_size,
    table_of_places,
    whose,
)
from rsa_faces.networks._preprocess import positions
from rsa_faces.stimuli import StimulusSet

METHODS = ("integrated gradients", "gradient x input")


@dataclass(frozen=True, eq=False, repr=False)
class AttributionMap(OcclusionMap, figure="plot_occlusion"):
    """How much of a similarity follows from each place of the face.

    Attributes
    ----------
    table, face, settings
        As of :class:`OcclusionMap`.
    images : DataFrame
        One row per image: ``output``, ``at_baseline``, ``attributed`` (the sum over all pixels) and
        ``outside`` (the part of it that lies beyond the map).

    See Also
    --------
    attribution_map : Follow a similarity back to pixels.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rsa_faces.analyses import AttributionMap
    >>> table = pd.DataFrame({"row": [0, 0, 1, 1], "column": [0, 1, 0, 1], "x": [0.25, 0.75] * 2,
    ...                       "y": [0.25, 0.25, 0.75, 0.75], "change": [0.1, 0.6, -0.1, 0.2],
    ...                       "p_corrected": [1, 0.01, 1, 1], "n_people": 9, "n_conditions": 9})
    >>> images = pd.DataFrame({"image": ["made up"], "output": [1.0], "at_baseline": [0.2],
    ...                        "attributed": [0.8], "outside": [0.0]})
    >>> settings = {"network": "made up", "layer": "fc", "of": "embedding"}
    >>> face = np.full((32, 32, 3), 90, np.uint8)
    >>> AttributionMap(table, face, images, settings=settings).matrix().shape
    (2, 2)
    """

    images: pd.DataFrame


@keep_warnings
def attribution_map(
    network: Any,
    stimuli: StimulusSet,
    *,
    layer: str | None = None,
    of: str = "embedding",
    method: str = "integrated gradients",
    landmarks: Mapping[str, Any] | None = None,
    people: Labels | None = None,
    n_places: int = 8,
    n_steps: int = 64,
    seed: int = 0,
    progress: bool = True,
) -> AttributionMap:
    """Follow a similarity of embeddings back to pixels, and sum these up over places of the face.

    Parameters
    ----------
    network, stimuli, layer, landmarks, people, n_places, seed, progress
        As for :func:`occlusion_map`; the layer must have a gradient.
    of : {"embedding", "rdm"}, default "embedding"
        What is followed back: the cosine of the answer with that to the whole image, or how far the
        image is from all others (which stay as they are): the mean of its entries of the RDM of
        correlation distances.
    method : {"integrated gradients", "gradient x input"}, default "integrated gradients"
        Gradients along the way from a grey image (value 128) to the image, or at the image; both
        times the difference from grey. At the image itself the cosine with itself has no slope:
        "gradient x input" is for "rdm".
    n_steps : int, default 64
        Of the way, for integrated gradients.

    Returns
    -------
    AttributionMap
        Its table is that of :func:`occlusion_map`; ``change`` is the mean over images of the
        attributions of a place's pixels, above 0 where they raise the similarity (or the
        distance). ``above`` and ``p`` ask if it is more or less than at other places.

    Raises
    ------
    MissingExtraError
        If captum is not installed: ``pip install 'rsa-faces[attribution]'``.
    InputError
        As :func:`occlusion_map`, and if the layer has no gradient or "gradient x input" is asked of
        "embedding".

    Warns
    -----
    UserWarning
        If attributions of an image miss the difference of its output by more than 5 %: take more
        steps.

    See Also
    --------
    occlusion_map : Hide one part of each image after another, and see what changes.
    rsa_faces.figures.plot_occlusion : Draws both.

    Notes
    -----
    Integrated gradients [1]_ are complete: all pixels of an image together give its output less
    that of the grey image, which ``images`` shows. They ask less of the network than occlusion, a
    pass for each step and not for each place, and are finer; but they follow slopes at images that
    are half grey, on which the network was never trained, and sums may hide parts of both signs.
    Where both methods point to the same place, that is worth more than either. Of 16 real faces
    (London) sface's maps by occlusion and by gradients correlate at .81 over 64 places, highest
    around the inner eyes and the bridge of the nose; with 24 steps attributions of 12 missed the
    difference of outputs by more than 5 %, hence the default.

    References
    ----------
    .. [1] Sundararajan M., Taly A., Yan Q. (2017). ICML, PMLR 70, 3319-3328. arXiv:1703.01365

    Examples
    --------
    >>> import rsa_faces as rf
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0")
    >>> found = rf.analyses.attribution_map(rf.load_network("sface"), faces)  # doctest: +SKIP
    >>> rf.figures.plot_occlusion(found)  # doctest: +SKIP
    """
    check_arguments(attribution_map, locals())
    check_choice(of, ["embedding", "rdm"], what="of")
    check_choice(method, METHODS, what="method")
    check_count(n_places, what="n_places", low=2)
    check_count(n_steps, what="n_steps", low=2)
    if method == "gradient x input" and of == "embedding":
        raise InputError(
            "expected of='rdm' for 'gradient x input': at the image, its cosine with itself is at "
            "its largest and has no slope. Or use method='integrated gradients'."
        )
    require("captum", purpose="Attribution by gradients", extra="attribution")
    from rsa_faces.analyses.networks._attribution import Followed

    rng = as_rng(seed)
    layer = network.layers()[-1] if layer is None else layer
    check_choice(layer, network.all_layers(), what=f"layer of {network.name}:")
    images, whom = same_size(stimuli), whose(people, stimuli.ids)
    height, width = images[0].shape[:2]
    (low, high), moves = face_frame(landmarks, stimuli.ids, images[0].shape)
    at = positions(network.spec.preprocessing, width, height)
    changes = np.zeros((n_places**2, len(images)))
    rows = []
    followed = Followed(network, layer, images, of)
    with progress_bar("attribution", len(images), show=progress) as tell:
        for i, move in enumerate(moves):
            pixels, output, baseline = followed.pixels(i, method, n_steps)
            place = _places(at, move, low, high, n_places)
            inside = place >= 0
            changes[:, i] = np.bincount(place[inside], pixels[inside], minlength=n_places**2)
            rows.append((stimuli.ids[i], output, baseline, pixels.sum(), pixels[~inside].sum()))
            tell(i + 1)
    table = pd.DataFrame(rows, columns=["image", "output", "at_baseline", "attributed", "outside"])
    if method == "integrated gradients":
        _warn_incomplete(table)
    settings = {"network": network.name, "layer": layer, "of": of, "n_places": n_places}
    settings |= {"method": method, "n_steps": n_steps, "seed": seed}
    settings["in_mean_shape"] = landmarks is not None
    face = np.mean(images, axis=0).round().astype(np.uint8)
    places = table_of_places(changes, whom, n_places, rng)
    return AttributionMap(places, face, table, settings=settings)


def _places(at: np.ndarray, move, low, high, n_places: int) -> np.ndarray:
    """Return the place of the map that each pixel of the input lies in; -1 beyond the map."""
    if move is not None:
        turn, center, own = move
        apart = at - own
        turned = (apart[..., 0] + 1j * apart[..., 1]) / turn
        at = center + np.stack([turned.real, turned.imag], axis=-1)
    cell = np.floor((at - low) / (high - low) * n_places).astype(int)
    inside = ((cell >= 0) & (cell < n_places)).all(axis=-1)
    return np.where(inside, cell[..., 1] * n_places + cell[..., 0], -1)


def _warn_incomplete(table: pd.DataFrame) -> None:
    """Say if attributions do not add up."""
    whole = table["output"] - table["at_baseline"]
    off = (table["attributed"] - whole).abs() / whole.abs().clip(lower=1e-6)
    if (off > 0.05).any():
        warn(
            f"attributions of {int((off > 0.05).sum())} of {len(off)} images miss the difference "
            f"of their outputs by more than 5 % (at most {100 * off.max():.0f} %): take more "
            "n_steps."
        )
