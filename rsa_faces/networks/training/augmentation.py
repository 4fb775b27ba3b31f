"""Small random changes of images during training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsa_faces._core.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """A random window of the image, mirrored in some cases.

    Applied to the image itself, before the network's own preprocessing brings it to size: pixels
    are interpolated once, and nothing from beyond the image's edge comes in.

    Parameters
    ----------
    flip : float, from 0 to 1, default 0.5
        Probability that left and right are swapped.
    crop : float, from 0 to below 1, default 0.1
        The window's height and width are the same share of the image's, drawn evenly between
        ``1 - crop`` and 1; its place is drawn evenly. This changes size and position a little.

    Raises
    ------
    InputError
        If a number is out of range.

    See Also
    --------
    rsa_faces.networks.training.fit : Train a network on labelled faces.
    rsa_faces.networks.training.Recipe : Epochs, optimiser and learning rate of a training run.

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

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise InputError(f"expected flip from 0 to 1, got {self.flip!r}.")
        if not 0 <= self.crop < 1:
            raise InputError(f"expected crop from 0 to below 1, got {self.crop!r}.")

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a changed view of `image`, shape (height, width, 3)."""
        share, down, right, mirror = rng.random(4)
        share = 1 - self.crop * share
        height, width = (max(1, round(share * side)) for side in image.shape[:2])
        top = int(down * (image.shape[0] - height + 1))
        left = int(right * (image.shape[1] - width + 1))
        window = image[top : top + height, left : left + width]
        return window[:, ::-1] if mirror < self.flip else window
