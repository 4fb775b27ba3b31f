"""Receptive fields: where in the image units look, and whether they favour its centre."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import (
    as_rng,
    check_arguments,
    check_choice,
    check_count,
    check_seed,
    parse_bytes,
)
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.words import counted

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet

METHODS = ("analytic", "gradient")


@dataclass(frozen=True, eq=False, repr=False)
class ReceptiveFields(BaseResult, figure="plot_receptive_fields"):
    """What the units of layers depend on.

    Attributes
    ----------
    table : DataFrame
        One row per unit; see :func:`receptive_fields`.
    settings : dict
        Options, for provenance.
    maps : ndarray, shape (n_rows of the table, size, size), or None
        Mean squared gradients, if asked for.

    See Also
    --------
    receptive_fields : Find where in the image each place of a layer looks.
    rsa_faces.figures.plot_receptive_fields

    Examples
    --------
    >>> import rsa_faces as rf
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> fields = rf.analyses.receptive_fields(network, ["conv1"])
    >>> len(fields.table), fields.maps is None
    (3844, True)
    """

    table: pd.DataFrame
    maps: np.ndarray | None = None

    def __repr__(self) -> str:
        n = self.table["layer"].nunique()
        return (
            f"ReceptiveFields({counted(len(self.table), 'unit')} of {counted(n, 'layer')}, "
            f"{self.settings['method']!r})"
        )


@keep_warnings
def receptive_fields(
    network: Network,
    layers: str | Sequence[str] = "all",
    *,
    method: str = "analytic",
    stimuli: StimulusSet | None = None,
    n_images: int = 8,
    n_units: int | None = None,
    maps: bool = False,
    budget: str | int = "500MB",
    seed: int = 0,
    progress: bool = True,
) -> ReceptiveFields:
    """Find where in the image each place of a layer looks.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    layers : str or sequence of str, default "all"
        As for :func:`rsa_faces.extract`; each must run once in a pass. "all" leaves out, for
        "analytic", those without places.
    method : {"analytic", "gradient"}, default "analytic"
        "analytic": all that a place depends on, whatever the weights do with it. "gradient": the
        effective field, how much each pixel changes the place's channels; the only way for
        vectors (fully connected layers), whose units are described one by one.
    stimuli : StimulusSet, optional
        Images at which gradients are taken (the first `n_images`); by default images of noise,
        every pixel uniform.
    n_images : int, default 8
        Number of images for "gradient".
    n_units : int, optional
        Describe so many places (or units) of each layer, drawn by `seed`, by "gradient"; by
        default all.
    maps : bool, default False
        Keep the maps of mean squared gradients.
    budget : str or int, default "500MB"
        Memory for gradients.
    seed : int, default 0
        For noise, signs and draws.
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    ReceptiveFields
        Its table has ``network``, ``layer``, ``unit`` (number of the place in reading order, or of
        the unit of a vector), ``row`` and ``column`` of the place (−1 for vectors), ``x`` and
        ``y`` (the field's centre, 0 to 1 from left to right and from top to bottom of the
        network's square input) and ``eccentricity`` (distance from the middle, in sides of the
        image: 0.5 is the middle of an edge, 0.71 a corner). "analytic" adds ``left``, ``right``,
        ``top``, ``bottom`` (first and last pixel of the box), ``width``, ``height`` (shares of
        the side) and ``centre_from`` (see Notes); "gradient" adds ``spread`` (standard deviation
        along one axis, in sides). Units that no pixel changes have NaN.

    Raises
    ------
    InputError
        If a layer is unknown, runs more than once, is a vector and the method is "analytic", or
        has no gradient.

    See Also
    --------
    central_bias : Measure how far units favour the centre of the image.
    topographic_rdms : Build one RDM from the units.
    rsa_faces.figures.plot_receptive_fields

    Notes
    -----
    Analytic: a row of the image is made not a number, and so is every unit that depends on it;
    likewise columns. This is exact for any module, padding and all. The box is cut at the image's
    borders, but the centre is that of the uncut field: the edges of uncut fields lie evenly and
    are continued (``centre_from`` "edges"). Where none is uncut on a side, or everything depends
    on everything (attention, squeeze-and-excitation), places are laid evenly over the image
    ("even").

    Gradient [1]_: for a place with channels c, the mean over images of Σ_c (∂a_c / ∂pixel)², summed
    over colours. Channels enter one backward pass with random signs, another set for each image:
    on average over signs this is the sum of squares. It is 0 outside the analytic box; centre and
    spread are its centroid and its standard deviation, √((σ_x² + σ_y²) / 2).

    Images that are not square are padded, stretched or cut before the network sees them
    (``network.spec.preprocessing.fit``): positions are those in what it sees.

    References
    ----------
    .. [1] Luo W., Li Y., Urtasun R., Zemel R. (2016). Understanding the effective receptive field
       in deep convolutional neural networks. NeurIPS 29. arXiv:1701.04128

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses.networks.topography import receptive_fields
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> fields = receptive_fields(network, ["conv1"])
    >>> fields.table[["row", "column", "left", "right", "top", "bottom"]].tail(1).values.tolist()
    [[61, 61, 61, 63, 61, 63]]
    """
    check_arguments(receptive_fields, locals())
    check_choice(method, METHODS, what="method")
    check_count(n_images, what="n_images")
    check_seed(seed)
    if n_units is not None:
        check_count(n_units, what="n_units")
    if method == "analytic" and (maps or n_units is not None or stimuli is not None):
        raise InputError(
            "expected `maps`, `n_units` and `stimuli` with method='gradient' only: the analytic "
            "field is a box, found for all places at once."
        )
    n_bytes = parse_bytes(budget)
    from rsa_faces.analyses.networks import _topography as torch_part

    names = torch_part.layer_list(network, layers)
    places = {layer: torch_part.places_of(network, layer) for layer in names}
    settings = {
        "network": network.name,
        "method": method,
        "seed": seed,
        "size": network.spec.preprocessing.size,
    }
    if method == "analytic":
        if "all" in ([layers] if isinstance(layers, str) else layers):
            places = {layer: where for layer, where in places.items() if where.grid}
        table = _analytic(network, places, progress)
        return ReceptiveFields(table, settings=settings)
    settings |= {"n_images": n_images, "stimuli": "noise" if stimuli is None else "given"}
    images = torch_part.inputs(network, stimuli, n_images, seed)
    frames, kept = [], []
    for layer, where in places.items():
        unit_of = where.place if where.grid else where.channel
        units = _drawn(int(unit_of.max()) + 1, n_units, seed)
        parts = []
        with progress_bar(layer, len(units), show=progress) as tell:
            for part, found in torch_part.gradients(
                network, layer, unit_of, units, images, budget=n_bytes, seed=seed, tell=tell
            ):
                row, column = np.divmod(part, where.grid[1]) if where.grid else (-1, -1)
                parts.append(
                    pd.DataFrame(
                        {
                            "network": network.name,
                            "layer": layer,
                            "unit": part,
                            "row": row,
                            "column": column,
                            **torch_part.moments(found),
                        }
                    )
                )
                if maps:
                    kept.append(found.astype(np.float32))
        frames += parts
    table = pd.concat(frames, ignore_index=True)
    table.insert(7, "eccentricity", np.hypot(table["x"] - 0.5, table["y"] - 0.5))
    return ReceptiveFields(table, settings=settings, maps=np.concatenate(kept) if maps else None)


def central_bias(
    network: Network,
    layers: str | Sequence[str] = "all",
    *,
    radius: float = 0.25,
    stimuli: StimulusSet | None = None,
    n_images: int = 8,
    n_units: int | None = None,
    budget: str | int = "500MB",
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Measure how far units favour the centre of the image.

    Parameters
    ----------
    network, layers, stimuli, n_images, budget, seed, progress
        As for :func:`receptive_fields`.
    radius : float, default 0.25
        Of the central disc, in sides of the image (below 0.5).
    n_units : int, optional
        Measure so many units of each layer, drawn by `seed`; by default all.

    Returns
    -------
    DataFrame
        One row per unit, that is per channel of a map (all its places together) or unit of a
        vector: ``network``, ``layer``, ``unit``; ``field_share`` (of the effective field inside
        the disc), ``field_expected`` (the disc's share of the image), ``field_bias`` (their
        difference: above 0 is central); ``activation_share`` (of the absolute activation, at
        places whose analytic centre lies in the disc), ``activation_expected`` (these places'
        share of all) and ``activation_bias``. Activation is NaN for vectors, and both are for
        units that never answer.

    Raises
    ------
    InputError
        If `radius` is no radius, or a layer cannot be used.

    See Also
    --------
    receptive_fields : Find where in the image each place of a layer looks.
    rsa_faces.figures.plot_central_bias : Draw how far units favour the centre, layer by layer.

    Notes
    -----
    The effective field of a channel is the sum over its places of mean squared gradients, each at
    the same weight. Pixels at the border lie in fewer fields and next to padding, so that a
    network that treats all places alike has a bias above 0 that grows with depth (to 0.1 in the
    last maps of an untrained mini-xception): compare with the same network untrained
    (``"untrained:…"``). Gradients vanish where a unit is silent (ReLU): on photographs the bias
    also tells where faces are in them, on noise (the default) it does not.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses.networks.topography import central_bias
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> found = central_bias(network, ["conv1", "block4.conv1"], n_images=2)
    >>> found.groupby("layer", sort=False)["field_expected"].first().round(2).tolist()
    [0.2, 0.2]
    """
    check_arguments(central_bias, locals())
    radius = check_radius(radius)
    check_count(n_images, what="n_images")
    check_seed(seed)
    if n_units is not None:
        check_count(n_units, what="n_units")
    n_bytes = parse_bytes(budget)
    from rsa_faces.analyses.networks import _topography as torch_part

    names = torch_part.layer_list(network, layers)
    places = {layer: torch_part.places_of(network, layer) for layer in names}
    with_places = {layer: where for layer, where in places.items() if where.grid}
    where_of = _analytic(network, with_places, progress) if with_places else None
    images = torch_part.inputs(network, stimuli, n_images, seed)
    inside = torch_part.disc(images.shape[-1], radius)
    frames = []
    for layer, where in places.items():
        units = _drawn(int(where.channel.max()) + 1, n_units, seed)
        shares = []
        with progress_bar(layer, len(units), show=progress) as tell:
            for _, found in torch_part.gradients(
                network, layer, where.channel, units, images, budget=n_bytes, seed=seed, tell=tell
            ):
                shares.append(_share(found.reshape(len(found), -1), inside.ravel()))
        share = np.concatenate(shares)
        active, expected = np.full(len(units), np.nan), np.nan
        if where.grid:
            here = where_of["eccentricity"][where_of["layer"] == layer].to_numpy() <= radius
            size = torch_part.mean_magnitude(network, layer, images)
            # Units that belong to no place, as a class token, count for no part of the image.
            real = where.place >= 0
            by_place = np.zeros((int(where.channel.max()) + 1, len(here)))
            by_place[where.channel[real], where.place[real]] = size[real]
            active, expected = _share(by_place[units], here), here.mean()
        frames.append(
            pd.DataFrame(
                {
                    "network": network.name,
                    "layer": layer,
                    "unit": units,
                    "field_share": share,
                    "field_expected": inside.mean(),
                    "field_bias": share - inside.mean(),
                    "activation_share": active,
                    "activation_expected": expected,
                    "activation_bias": active - expected,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _analytic(network: Network, places: Mapping[str, Any], progress: bool) -> pd.DataFrame:
    """Return the table of analytic fields of layers with places."""
    from rsa_faces.analyses.networks import _topography as torch_part

    flat = [layer for layer, where in places.items() if not where.grid]
    if flat or not places:
        listed = ", ".join(map(repr, flat)) or "none"
        raise InputError(
            f"expected layers with places (maps or patches), but these have none: {listed}. Use "
            "method='gradient' for vectors."
        )
    size = network.spec.preprocessing.size
    with progress_bar("receptive fields", 2 * size, show=progress) as tell:
        fields = torch_part.dependence(network, dict(places), tell)
    frames = []
    for layer, where in places.items():
        row, column = np.divmod(np.arange(where.n_places), where.grid[1])
        top, bottom, middle_y, from_y = torch_part.centres(fields[layer][0])
        left, right, middle_x, from_x = torch_part.centres(fields[layer][1])
        x, y = (middle_x[column] + 0.5) / size, (middle_y[row] + 0.5) / size
        frames.append(
            pd.DataFrame(
                {
                    "network": network.name,
                    "layer": layer,
                    "unit": np.arange(where.n_places),
                    "row": row,
                    "column": column,
                    "x": x,
                    "y": y,
                    # Places that mirror each other are as far: rounding must not put one beyond a
                    # radius.
                    "eccentricity": np.hypot(x - 0.5, y - 0.5).round(12),
                    "left": left[column],
                    "right": right[column],
                    "top": top[row],
                    "bottom": bottom[row],
                    "width": (right - left + 1)[column] / size,
                    "height": (bottom - top + 1)[row] / size,
                    "centre_from": "edges" if from_x == from_y == "edges" else "even",
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _drawn(n: int, n_wanted: int | None, seed: int) -> np.ndarray:
    """Return all numbers below n, or some drawn by the seed."""
    if n_wanted is None or n_wanted >= n:
        return np.arange(n)
    return np.sort(as_rng(seed).choice(n, n_wanted, replace=False))


def _share(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the share of each row's sum that lies inside; NaN where there is nothing."""
    total = values.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, values[:, inside].sum(axis=1) / total, np.nan)


def check_radius(radius: Any, most: float = 0.5) -> float:
    """Return a radius above 0 and below `most`."""
    number = isinstance(radius, (int, float, np.number)) and not isinstance(radius, bool)
    if not number or not 0 < radius < most:
        raise InputError(
            f"expected radius as a number above 0 and below {most:.2g} (sides of the image), got "
            f"{radius!r}."
        )
    return float(radius)
