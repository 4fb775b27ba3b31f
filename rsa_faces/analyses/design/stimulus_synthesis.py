"""Stimulus synthesis: images changed until networks disagree about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses.design._design_information import information_bounds, squared_distances
from rsa_faces.extraction import extract
from rsa_faces.rdm.measures import MEASURES
from rsa_faces.stimuli import StimulusSet

if TYPE_CHECKING:
    from rsa_faces.networks import Network

_NOISE = 3.0  # of one measurement, in deviations of the RDMs: that of choose_stimuli


@dataclass(frozen=True, eq=False, repr=False)
class Synthesis(BaseResult, figure="plot_synthesis"):
    """Images that were made to tell networks apart.

    Attributes
    ----------
    stimuli : StimulusSet
        The images, 8 bits, with the ids they started from.
    coordinates : ndarray or None
        In a face space, if they were made there.
    disagreement : DataFrame
        Two rows, ``images`` "start" and "made": ``disagreement``, 1 − the correlation of two
        networks' RDMs (0 to 2; of more networks the mean over pairs), measured on the 8-bit images
        as any others are; ``change``, the root mean squared difference from the start in grey
        values; ``lower``, the lower bound of the information in nats that one measured RDM gives
        about which network is right, as of :func:`choose_stimuli`.
    trace : DataFrame
        ``step``, ``disagreement`` on the way, before rounding.
    pairs : DataFrame
        ``images``, ``network_a``, ``network_b``, ``disagreement`` of each pair of networks.
    random : DataFrame or None
        ``disagreement`` and ``lower`` of random sets of as many faces, a row each.
    settings : dict
        Options, for provenance.

    See Also
    --------
    synthesise_images : Change pixels by gradient ascent until networks' RDMs disagree.
    synthesise_faces : Change coordinates in a face space until networks' RDMs disagree.
    synthesise_heads : Change the shape of rendered heads until networks' RDMs disagree.
    rsa_faces.figures.plot_synthesis

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.integers(0, 256, (5, 24, 24, 3), np.uint8)
    >>> start = rf.StimulusSet.from_arrays(noise, list("abcde"))
    >>> three = [rf.load_network(n, device="cpu") for n in ("mini-xception", "face-api-expression")]
    >>> three.append(three[0])
    >>> made = rf.analyses.synthesise_images(
    ...     three, ("conv1", "block1.relu1", "conv2"), start, n_steps=3, progress=False)
    >>> made.pairs.query("images == 'made'")[["network_a", "network_b"]].values.tolist()[0]
    ['mini-xception conv1', 'face-api-expression block1.relu1']
    >>> bool(np.isclose(made.pairs.query("images == 'made'")["disagreement"].mean(),
    ...                 made.table["disagreement"][1]))
    True
    """

    stimuli: StimulusSet
    coordinates: np.ndarray | None
    disagreement: pd.DataFrame
    trace: pd.DataFrame
    pairs: pd.DataFrame
    random: pd.DataFrame | None = None

    @property
    def table(self) -> pd.DataFrame:
        """The disagreement (a copy)."""
        return self.disagreement

    def plot(self, ax: Any = None, *, start: Any = None, **style: Any) -> Any:
        """Draw images before and after, with :func:`rsa_faces.figures.plot_synthesis`.

        Parameters
        ----------
        ax : ndarray of matplotlib.axes.Axes, optional
        start : StimulusSet
            The images it began with.
        **style
            Options of the function.
        """
        if start is None:
            raise InputError("expected `start`: the images that the synthesis began with.")
        draw = import_module("rsa_faces.figures").plot_synthesis
        return draw(start, self, ax=ax, **style)

    def __repr__(self) -> str:
        before, after = self.disagreement["disagreement"]
        return f"Synthesis({len(self.stimuli)} images: disagreement {before:.2f} to {after:.2f})"


@keep_warnings
def synthesise_images(
    networks: Sequence[Network],
    layers: Sequence[str],
    start: StimulusSet,
    *,
    n_steps: int = 100,
    step: float = 2.0,
    stay: float = 0.2,
    smooth: float = 0.2,
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Change pixels by gradient ascent until networks' RDMs disagree.

    Parameters
    ----------
    networks : sequence of Network
        At least two; the same one may be given with several layers.
    layers : sequence of str
        One of each.
    start : StimulusSet
        At least 4 square images of one size, as the networks are to see them (faces cut out).
    n_steps : int, default 100
    step : float, default 2.0
        Of Adam, in grey values.
    stay : float, default 0.2
        Weight of the mean squared change, in units of 10 grey values.
    smooth : float, default 0.2
        Weight of the total variation of the change, in the same units: keeps it coarse.
    seed : int, default 0
        Of the first, small random change.
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    Synthesis

    Raises
    ------
    InputError
        If there are fewer than 4 images, they are not square or differ in size, or a layer is not
        one of its network.

    See Also
    --------
    synthesise_faces : Change coordinates in a face space until networks' RDMs disagree.
    choose_stimuli
    rsa_faces.figures.plot_synthesis

    Notes
    -----
    Maximised is 1 − r of the correlation-distance RDMs (with more than two networks its mean over
    pairs of them), less the two penalties [1]_. Networks see
    the images through a differentiable stand-in of their own preprocessing; the numbers given at
    the end are of the rounded images through the real one. Such images are made for these very
    networks: changes that fool a network need not be seen by people. Look at them, and measure
    people's judgements of them as of any others.

    References
    ----------
    .. [1] Golan T., Raju P. C., Kriegeskorte N. (2020). PNAS 117, 29330-29337.
       doi:10.1073/pnas.1912334117

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import synthesise_images
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.integers(0, 256, (5, 24, 24, 3), np.uint8)
    >>> start = rf.StimulusSet.from_arrays(noise, list("abcde"))
    >>> two = [rf.load_network(n, device="cpu") for n in ("mini-xception", "face-api-expression")]
    >>> made = synthesise_images(two, ("conv1", "block1.relu1"), start, n_steps=3, progress=False)
    >>> before, after = made.table["disagreement"]
    >>> bool(after > before)
    True
    """
    check_arguments(synthesise_images, locals())
    import torch

    from rsa_faces.analyses.design._ascent import disagreement_of, seen_by

    check_count(n_steps, what="n_steps")
    images = _square(start)
    _check_layers(networks, layers)
    rng = as_rng(seed)
    device = networks[0].device
    first = torch.tensor(images, dtype=torch.float32, device=device).permute(0, 3, 1, 2)
    noise = torch.tensor(rng.normal(size=tuple(first.shape)), dtype=torch.float32, device=device)
    x = (first + noise).clamp(0, 255).requires_grad_(True)
    ascent = torch.optim.Adam([x], lr=step)
    rows = []
    with (
        seen_by(networks, layers) as answers,
        progress_bar("images", n_steps, show=progress) as tell,
    ):
        for k in range(n_steps):
            ascent.zero_grad()
            value = disagreement_of(answers(x))
            # In the unit of `stay`: 10 grey values.
            change = (x - first) / 10
            rough = (change.diff(dim=2).abs().mean() + change.diff(dim=3).abs().mean()) / 2
            (stay * (change**2).mean() + smooth * rough - value).backward()
            rows.append({"step": k, "disagreement": float(value.detach())})
            ascent.step()
            with torch.no_grad():
                x.clamp_(0, 255)
            tell(k + 1)
    made = x.detach().permute(0, 2, 3, 1).round().to("cpu", torch.uint8).numpy()
    stimuli = StimulusSet.from_arrays(list(made), start.ids, start.metadata)
    settings = {"n_steps": n_steps, "step": step, "stay": stay, "smooth": smooth, "seed": seed}
    return _result(networks, layers, start, stimuli, None, rows, settings)


@keep_warnings
def synthesise_faces(
    networks: Sequence[Network],
    layers: Sequence[str],
    decode: Callable[[np.ndarray], Sequence[np.ndarray]],
    start: np.ndarray,
    *,
    n_steps: int = 30,
    step: float = 0.5,
    n_directions: int = 8,
    limit: float = 3.0,
    n_random: int = 0,
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Change coordinates in a face space until networks' RDMs disagree.

    Parameters
    ----------
    networks : sequence of Network
        At least two; the same one may be given with several layers.
    layers : sequence of str
        One of each.
    decode : callable
        Takes coordinates (n_faces, n_dimensions) and returns as many uint8 images, such as
        ``lambda z: space.reconstruct(z).images``.
    start : ndarray, shape (n_faces, n_dimensions)
        Coordinates to start from, at least 4 faces; in standard deviations.
    n_steps : int, default 30
    step : float, default 0.5
        Length of a step, root mean square over coordinates; halved whenever none of the steps
        tried is better.
    n_directions : int, default 8
        Random directions tried in each step, both ways.
    limit : float, default 3.0
        Largest coordinate, either sign.
    n_random : int, default 0
        Sets of as many random faces (coordinates from N(0, 1), cut at `limit`) to stand beside.
    seed : int, default 0
    progress : bool, default True

    Returns
    -------
    Synthesis
        Faces are as far from the known ones as `limit` allows: which of them are extrapolations
        tells :meth:`FaceSpace.extent`.

    Raises
    ------
    InputError
        If there are fewer than 4 faces, or as for :func:`synthesise_images`.

    See Also
    --------
    synthesise_images : Change pixels by gradient ascent until networks' RDMs disagree.

    Notes
    -----
    A random search: a space of faces need not be differentiable. The better of both ways along
    each direction are added up, weighted by what they gain (an estimate of the gradient), and the
    best of that and of the single directions is taken if it is better than before.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import synthesise_faces
    >>> rng = np.random.default_rng(0)
    >>> basis = rng.normal(size=(3, 24 * 24 * 3))
    >>> def decode(z):  # simulated: coordinates of a face space to pictures
    ...     return np.clip(128 + 40 * z @ basis, 0, 255).reshape(-1, 24, 24, 3).astype(np.uint8)
    >>> two = [rf.load_network(n, device="cpu") for n in ("mini-xception", "face-api-expression")]
    >>> made = synthesise_faces(two, ("conv1", "block1.relu1"), decode, rng.normal(size=(5, 3)),
    ...                         n_steps=3, progress=False)
    >>> before, after = made.table["disagreement"]
    >>> bool(after >= before)
    True
    """
    check_arguments(synthesise_faces, locals())
    check_count(n_steps, what="n_steps")
    check_count(n_directions, what="n_directions")
    check_count(n_random, what="n_random", low=0)
    _check_layers(networks, layers)
    z = np.asarray(start, float)
    if z.ndim != 2 or len(z) < 4 or not np.isfinite(z).all():
        raise InputError(
            f"expected finite coordinates of at least 4 faces, (n_faces, n_dimensions), got shape "
            f"{z.shape}."
        )
    rng = as_rng(seed)
    ids = [f"face {i + 1:03d}" for i in range(len(z))]

    def shown(coordinates: np.ndarray) -> StimulusSet:
        return StimulusSet.from_arrays(list(decode(coordinates)), ids)

    def value(coordinates: np.ndarray) -> float:
        return float(_pairwise(_rdms(networks, layers, shown(coordinates))).mean())

    first = shown(z)
    best = value(z)
    rows = [{"step": 0, "disagreement": best}]
    with progress_bar("faces", n_steps, show=progress) as tell:
        for k in range(n_steps):
            directions = rng.normal(size=(n_directions, *z.shape)) * step
            # Both ways along each direction: what bends the value cancels in their difference.
            tried = [np.clip(z + s * d, -limit, limit) for d in directions for s in (1, -1)]
            values = np.array([value(one) for one in tried])
            slopes = (values[::2] - values[1::2]) / 2
            gradient = np.tensordot(slopes, directions, 1)
            size = np.sqrt((gradient**2).mean())
            if size > 0:
                tried.append(np.clip(z + gradient / size * step, -limit, limit))
                values = np.append(values, value(tried[-1]))
            if values.max() > best:
                z, best = tried[int(values.argmax())], float(values.max())
            else:
                # All steps led down: they are too long here.
                step /= 2
            rows.append({"step": k + 1, "disagreement": best})
            tell(k + 1)
    settings = {"n_steps": n_steps, "n_directions": n_directions, "limit": limit, "seed": seed}
    made = _result(networks, layers, first, shown(z), z, rows, settings)
    if not n_random:
        return made
    # A stream of its own: random faces are the same however many steps came before.
    drawn = np.random.default_rng([seed, 1]).normal(size=(n_random, *z.shape)).clip(-limit, limit)
    random = [_judged(_rdms(networks, layers, shown(one))) for one in drawn]
    return replace(made, random=pd.DataFrame(random))


def _square(start: StimulusSet) -> np.ndarray:
    """Return the images as one array, (n, size, size, 3)."""
    if len(start) < 4:
        raise InputError(f"expected at least 4 images to start from, got {len(start)}.")
    images = [start.image(name) for name in start.ids]
    images = [np.stack([i] * 3, axis=-1) if i.ndim == 2 else i for i in images]
    shape = images[0].shape
    for name, image in zip(start.ids, images, strict=True):
        if image.shape != shape or shape[0] != shape[1]:
            raise InputError(
                f"expected square images of one size, but {name!r} has {image.shape[1]} x "
                f"{image.shape[0]} px: cut them out first (crop_faces)."
            )
    return np.stack(images)


def _check_layers(networks, layers) -> None:
    """Raise unless there are two networks or more with a layer each."""
    if len(networks) != len(layers) or len(networks) < 2:
        raise InputError(
            "expected at least two networks and a layer of each, got "
            f"{len(networks)} and {len(layers)}."
        )
    for network, layer in zip(networks, layers, strict=True):
        if layer not in network.all_layers():
            raise InputError(
                f"expected a layer of {network.name}, such as {network.layers()[-1]!r}, got "
                f"{layer!r}."
            )


def _rdms(networks, layers, stimuli: StimulusSet) -> np.ndarray:
    """Return the networks' RDMs, as for any stimuli, (n_networks, n_pairs)."""
    rdms = []
    for network, layer in zip(networks, layers, strict=True):
        patterns = extract(network, stimuli, layers=[layer], progress=False)[layer]
        rdms.append(MEASURES["correlation"](np.asarray(patterns, np.float64)))
    return np.array(rdms)


def _pairwise(rdms: np.ndarray) -> np.ndarray:
    """Return 1 - r of each pair of RDMs."""
    return 1 - np.corrcoef(rdms)[np.triu_indices(len(rdms), 1)]


def _judged(rdms: np.ndarray) -> dict[str, float]:
    """Return how much networks disagree, and what a measurement tells of them at least."""
    distances = squared_distances(rdms.shape[1], rdms.sum(axis=1), rdms @ rdms.T)
    lower, _ = information_bounds(distances, _NOISE)
    return {"disagreement": float(_pairwise(rdms).mean()), "lower": float(lower)}


def _result(networks, layers, first, made, coordinates, rows, settings) -> Synthesis:
    """Return what was made, with the numbers of the 8-bit images."""
    change = [
        np.asarray(first.image(name), float) - np.asarray(made.image(name), float)
        for name in made.ids
    ]
    names = [f"{network.name} {layer}" for network, layer in zip(networks, layers, strict=True)]
    table, pairs = [], []
    for images, one in (("start", first), ("made", made)):
        rdms = _rdms(networks, layers, one)
        table.append({"images": images, **_judged(rdms)})
        pairs += [
            {"images": images, "network_a": a, "network_b": b, "disagreement": value}
            for (a, b), value in zip(combinations(names, 2), _pairwise(rdms), strict=True)
        ]
    table = pd.DataFrame(table)
    table.insert(2, "change", [0.0, float(np.sqrt(np.mean([(c**2).mean() for c in change])))])
    settings |= {"noise": _NOISE} | {f"network {k}": name for k, name in enumerate(names, start=1)}
    return Synthesis(
        made, coordinates, table, pd.DataFrame(rows), pd.DataFrame(pairs), settings=settings
    )
