"""Small random changes of images during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_count
from rsa_faces._core.errors import InputError
from rsa_faces.networks.training.lights import Lights
from rsa_faces.networks.training.poses import Turns
from rsa_faces.stimuli.degradations import degrade


@dataclass(frozen=True)
class Augmentation:
    """A random window of the image, mirrored in some cases; on demand lit, turned, made worse.

    Applied to the image itself, before the network's own preprocessing brings it to size: pixels
    are interpolated once, and nothing from beyond the image's edge comes in.

    Parameters
    ----------
    flip : float, from 0 to 1, default 0.5
        Probability that left and right are swapped.
    crop : float, from 0 to below 1, default 0.1
        The window's height and width are the same share of the image's, drawn evenly between
        ``1 - crop`` and 1; its place is drawn evenly. This changes size and position a little.
    turns : Turns, optional
        Which images are turned in space, before all that follows.
    degradations : tuple of str, optional
        Names of ``rsa_faces.stimuli.degradations.DEGRADATIONS`` that act on an image's arrays
        alone. An image is made worse after all else, by one of them at a strength from 1 to
        `strongest`, both drawn evenly.
    degraded : float, from 0 to 1, default 0.5
        Probability that an image is made worse, if there are degradations.
    strongest : int, from 1 to 5, default 5
    lights : Lights, optional
        Which images are lit from another side, before all else: landmarks are those of the image
        as it is, and light stays with the head when it is turned.

    Raises
    ------
    InputError
        If a number is out of range, or there is no such degradation.

    See Also
    --------
    rsa_faces.networks.training.fit : Train a network on labelled faces.
    rsa_faces.networks.training.Lights : Let the light come from another side in some images.
    rsa_faces.networks.training.Recipe : Epochs, optimiser and learning rate of a training run.
    rsa_faces.networks.training.Turns : Turn some training images, so that they show more views.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import Augmentation
    >>> image = np.zeros((100, 80, 3), np.uint8)
    >>> Augmentation(crop=0.5)(image, np.random.default_rng(0)).shape
    (68, 55, 3)
    """

    flip: float = 0.5
    crop: float = 0.1
    turns: Turns | None = None
    degradations: tuple[str, ...] = ()
    degraded: float = 0.5
    strongest: int = 5
    lights: Lights | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise InputError(f"expected flip from 0 to 1, got {self.flip!r}.")
        if not 0 <= self.crop < 1:
            raise InputError(f"expected crop from 0 to below 1, got {self.crop!r}.")
        if isinstance(self.degradations, str):
            raise InputError(f"expected a tuple of degradations, got {self.degradations!r} alone.")
        object.__setattr__(self, "degradations", tuple(self.degradations))
        if not 0 <= self.degraded <= 1:
            raise InputError(f"expected degraded from 0 to 1, got {self.degraded!r}.")
        check_count(self.strongest, what="strongest")
        for kind in self.degradations:  # what does not exist, or wants more than an image, says so
            degrade([np.full((16, 16, 3), 128, np.uint8)], kind, self.strongest, names=["a"])

    def __call__(
        self, image: np.ndarray, rng: np.random.Generator, name: str | None = None
    ) -> np.ndarray:
        """Return `image`, shape (height, width, 3), changed; lights and turns go by its name."""
        # Before all else: the window is the same whatever else is asked for.
        share, down, right, mirror = rng.random(4)
        for made in self._made():
            image = made(image, str(name), rng)
        share = 1 - self.crop * share
        height, width = (max(1, round(share * side)) for side in image.shape[:2])
        top = int(down * (image.shape[0] - height + 1))
        left = int(right * (image.shape[1] - width + 1))
        window = image[top : top + height, left : left + width]
        window = window[:, ::-1] if mirror < self.flip else window
        if self.degradations and rng.random() < self.degraded:
            kind = self.degradations[rng.integers(len(self.degradations))]
            strength, seed = int(rng.integers(self.strongest)) + 1, int(rng.integers(2**31))
            worse: Any = degrade([window], kind, strength, names=["image"], seed=seed)
            window = worse[0]
        return window

    def check(self, names: Sequence[str]) -> None:
        """Refuse training images that cannot be changed as asked."""
        for made in self._made():
            made.check(names)

    def _made(self) -> list[Lights | Turns]:
        """Return what makes images of its own, in the order in which it acts."""
        return [made for made in (self.lights, self.turns) if made is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the changes, as plain data."""
        out: dict[str, Any] = {"flip": self.flip, "crop": self.crop}
        if self.turns is not None:
            out["turns"] = self.turns.to_dict()
        if self.degradations:
            out["degradations"] = list(self.degradations)
            out |= {"degraded": self.degraded, "strongest": self.strongest}
        if self.lights is not None:
            out["lights"] = self.lights.to_dict()
        return out
