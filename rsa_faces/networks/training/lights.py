"""Other light on training images: which are lit anew, and from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsa_faces.networks.training.poses import check_landmarks, check_minority, digest
from rsa_faces.stimuli.relighting import check_light, relit


@dataclass(frozen=True, eq=False, repr=False)
class Lights:
    """Let the light come from another side in some training images.

    Each time an image is shown it is lit anew with a fixed probability, from a side drawn evenly.

    Parameters
    ----------
    landmarks : mapping, image to array of shape (68, 2)
        Of every training image, from :func:`find_landmarks`.
    probability : float, above 0 and below 0.5, default 0.3
        That an image is lit anew. From one half on, a network would see more made images than
        photographs.
    max_azimuth, max_elevation : float, in degrees, at most 80, default 60 and 30
        Angles are drawn evenly between minus and plus these.
    ambient : float, from 0 to 1, default 0.3
        As for :func:`rsa_faces.stimuli.relighting.relight_faces`, which says how it is done.

    Raises
    ------
    InputError
        If a number is out of range.

    See Also
    --------
    rsa_faces.networks.training.Augmentation : Its option `lights`.
    Turns : Turn some training images, so that they show more views.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import Lights
    >>> from rsa_faces.stimuli.turning import _mean_head
    >>> lights = Lights({"a": 50 + 20 * _mean_head()[0]}, 0.4)
    >>> image = np.full((120, 100, 3), 128, np.uint8)
    >>> lit = [lights(image, "a", np.random.default_rng(seed)) for seed in range(20)]
    >>> 2 < sum(bool((one != image).any()) for one in lit) < 14
    True
    """

    landmarks: Mapping[str, np.ndarray]
    probability: float = 0.3
    max_azimuth: float = 60.0
    max_elevation: float = 30.0
    ambient: float = 0.3

    def __post_init__(self) -> None:
        check_minority(self.probability, "new light")
        check_light(self.max_azimuth, self.max_elevation, self.ambient)
        points = {name: np.asarray(one, float) for name, one in self.landmarks.items()}
        object.__setattr__(self, "landmarks", points)

    def __repr__(self) -> str:
        return f"Lights(probability {self.probability:g} of {len(self.landmarks)} images)"

    def __call__(self, image: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
        """Return the image, lit anew or as it is."""
        self.check((name,))
        whether, *where = rng.random(3)
        if whether >= self.probability:
            return image
        azimuth, elevation = (2 * np.array(where) - 1) * (self.max_azimuth, self.max_elevation)
        return relit(image, self.landmarks[name], azimuth, elevation, self.ambient, repr(name))

    def check(self, names: Sequence[str]) -> None:
        """Refuse images without landmarks."""
        check_landmarks(self.landmarks, names)

    def to_dict(self) -> dict:
        """Return what decides the light, as plain data."""
        return {
            "probability": self.probability,
            "max_azimuth": self.max_azimuth,
            "max_elevation": self.max_elevation,
            "ambient": self.ambient,
            "images": digest(self.landmarks, list(self.landmarks)),
        }
