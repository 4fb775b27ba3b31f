"""Stimulus synthesis: images changed until two networks disagree about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.extraction import extract
from rsa_faces.rdm.measures import MEASURES
from rsa_faces.stimuli import StimulusSet

if TYPE_CHECKING:
    from rsa_faces.networks import Network


@dataclass(frozen=True, eq=False, repr=False)
class Synthesis(BaseResult, figure="plot_synthesis"):
    """Images that were made to tell two networks apart.

    Attributes
    ----------
    stimuli : StimulusSet
        The images, 8 bits, with the ids they started from.
    coordinates : ndarray or None
        In a face space, if they were made there.
    disagreement : DataFrame
        Two rows, ``images`` "start" and "made": ``disagreement``, 1 − the correlation of the two
        networks' RDMs (0 to 2), measured on the 8-bit images as any others are; ``change``, the
        root mean squared difference from the start in grey values.
    trace : DataFrame
        ``step``, ``disagreement`` on the way, before rounding.
    settings : dict
        Options, for provenance.

    See Also
    --------
    synthesise_images : Change pixels by gradient ascent until two networks' RDMs disagree.
    synthesise_faces : Change coordinates in a face space until two networks' RDMs disagree.
    rsa_faces.figures.plot_synthesis
    """

    stimuli: StimulusSet
    coordinates: np.ndarray | None
    disagreement: pd.DataFrame
    trace: pd.DataFrame

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
    networks: tuple[Network, Network],
    layers: tuple[str, str],
    start: StimulusSet,
    *,
    n_steps: int = 100,
    step: float = 2.0,
    stay: float = 0.2,
    smooth: float = 0.2,
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Change pixels by gradient ascent until two networks' RDMs disagree.

    Parameters
    ----------
    networks : (Network, Network)
    layers : (str, str)
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
    synthesise_faces : Change coordinates in a face space until two networks' RDMs disagree.
    choose_stimuli
    rsa_faces.figures.plot_synthesis

    Notes
    -----
    Maximised is 1 − r of the correlation-distance RDMs, less the two penalties [1]_. Networks see
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
    networks: tuple[Network, Network],
    layers: tuple[str, str],
    decode: Callable[[np.ndarray], Sequence[np.ndarray]],
    start: np.ndarray,
    *,
    n_steps: int = 30,
    step: float = 0.5,
    n_directions: int = 8,
    limit: float = 3.0,
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Change coordinates in a face space until two networks' RDMs disagree.

    Parameters
    ----------
    networks : (Network, Network)
    layers : (str, str)
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
    synthesise_images : Change pixels by gradient ascent until two networks' RDMs disagree.

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
        return _disagreement(networks, layers, shown(coordinates))

    first = shown(z)
    best = value(z)
    rows = [{"step": 0, "disagreement": best}]
    with progress_bar("faces", n_steps, show=progress) as tell:
        for k in range(n_steps):
            directions = rng.normal(size=(n_directions, *z.shape)) * step
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
                step /= 2
            rows.append({"step": k + 1, "disagreement": best})
            tell(k + 1)
    settings = {"n_steps": n_steps, "n_directions": n_directions, "limit": limit, "seed": seed}
    return _result(networks, layers, first, shown(z), z, rows, settings)


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
    """Raise unless there are two networks with a layer each."""
    if len(networks) != 2 or len(layers) != 2:
        raise InputError(
            f"expected two networks and a layer of each, got {len(networks)} and {len(layers)}."
        )
    for network, layer in zip(networks, layers, strict=True):
        if layer not in network.all_layers():
            raise InputError(
                f"expected a layer of {network.name}, such as {network.layers()[-1]!r}, got "
                f"{layer!r}."
            )


def _disagreement(networks, layers, stimuli: StimulusSet) -> float:
    """Return 1 - r of two networks' RDMs, as for any stimuli."""
    rdms = []
    for network, layer in zip(networks, layers, strict=True):
        patterns = extract(network, stimuli, layers=[layer], progress=False)[layer]
        rdms.append(MEASURES["correlation"](np.asarray(patterns, np.float64)))
    return float(1 - np.corrcoef(*rdms)[0, 1])


def _result(networks, layers, first, made, coordinates, rows, settings) -> Synthesis:
    """Return what was made, with the numbers of the 8-bit images."""
    change = [
        np.asarray(first.image(name), float) - np.asarray(made.image(name), float)
        for name in made.ids
    ]
    table = pd.DataFrame(
        {
            "images": ["start", "made"],
            "disagreement": [_disagreement(networks, layers, one) for one in (first, made)],
            "change": [0.0, float(np.sqrt(np.mean([(c**2).mean() for c in change])))],
        }
    )
    settings |= {
        f"network {k}": f"{network.name} {layer}"
        for k, (network, layer) in enumerate(zip(networks, layers, strict=True), start=1)
    }
    return Synthesis(made, coordinates, table, pd.DataFrame(rows), settings=settings)
