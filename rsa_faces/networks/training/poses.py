"""Other views of training images: which are turned, and to where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import entropy

from rsa_faces._core.checks import check_count
from rsa_faces._core.errors import InputError, some
from rsa_faces._core.files import sha256_bytes
from rsa_faces.networks.training.faces import LabelledFaces
from rsa_faces.stimuli import turning
from rsa_faces.stimuli._stimulus_set import StimulusSet

_AT_ONCE = 200
_INNER = slice(17, 68)  # the jaw's outline is no fixed place of the head
_MOST = 60.0  # degrees


def find_landmarks(faces: LabelledFaces, *, device: str = "auto") -> dict[str, np.ndarray]:
    """Find the 68 landmarks of training images.

    Parameters
    ----------
    faces : LabelledFaces
        Images as for :func:`rsa_faces.networks.detect_landmarks`: cut out, one upright face each.
    device : str, default "auto"

    Returns
    -------
    dict, image to ndarray of shape (68, 2)

    Warns
    -----
    UserWarning
        Of images that seem to show no face, as :func:`rsa_faces.networks.detect_landmarks`.

    See Also
    --------
    Lights : Let the light come from another side in some training images.
    Turns : Turn some training images, so that they show more views.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.networks.training import LabelledFaces, find_landmarks
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'sad'")
    >>> faces = faces.subset(faces.ids[:2])
    >>> crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
    >>> found = find_landmarks(LabelledFaces.from_stimuli(crops, "identity"), device="cpu")
    >>> [points.shape for points in found.values()]
    [(68, 2), (68, 2)]
    """
    from rsa_faces.networks.landmarks import detect_landmarks

    landmarks: dict[str, np.ndarray] = {}
    for start in range(0, len(faces), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(faces)))
        names = [faces.ids[i] for i in part]
        crops = StimulusSet.from_arrays([faces.image(i) for i in part], names)
        landmarks.update(zip(names, detect_landmarks(crops, device=device), strict=True))
    return landmarks


def estimate_yaw(landmarks: np.ndarray) -> np.ndarray:
    """Estimate by how much heads are turned, from landmarks and the average head.

    Parameters
    ----------
    landmarks : ndarray, shape (n_images, 68, 2)
        In pixels, from :func:`rsa_faces.networks.detect_landmarks`.

    Returns
    -------
    ndarray, shape (n_images,), in degrees
        Positive to the image's right.

    Raises
    ------
    InputError
        If landmarks are not finite or not of that shape.

    See Also
    --------
    rsa_faces.detect_faces : Its ``yaw`` is a rougher measure, from five points.
    Turns : Turn some training images, so that they show more views.

    Notes
    -----
    The average head's points (without the jaw) are laid over the image's (affine in three
    dimensions, least squares); yaw is that of the axis on which the two fitted rows stand upright,
    so turning in the plane does not matter. On the simulated faces (yaw −30, 0 and 30) the means
    are −25, −2 and 24 degrees: individuals differ in depth, and landmarks found shrink turns.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import estimate_yaw
    >>> from rsa_faces.stimuli.turning import _mean_head
    >>> bool(abs(estimate_yaw(100 + 40 * _mean_head()[0][None])[0]) < 1e-6)
    True
    """
    points = np.asarray(landmarks, float)
    if points.ndim != 3 or points.shape[1:] != (68, 2) or not np.isfinite(points).all():
        raise InputError(
            f"expected finite landmarks of shape (n_images, 68, 2), got {points.shape}."
        )
    known, depth, reach = turning._mean_head()
    head = np.column_stack([known, turning._depth_at(known, depth, reach)])[_INNER]
    design = np.column_stack([head, np.ones(len(head))])
    # All images at once: the design is the average head for each of them.
    fitted = np.linalg.lstsq(design, np.hstack(list(points[:, _INNER])), rcond=None)[0][:3]
    across, down = fitted[:, 0::2].T, fitted[:, 1::2].T
    towards = np.cross(across, down)
    return np.degrees(np.arctan2(-towards[:, 0], towards[:, 2]))


@dataclass(frozen=True, eq=False, repr=False)
class Turns:
    """Turn some training images, so that together they show more views.

    Each image seen about from the front is turned with a fixed probability. To where is drawn so
    that the entropy of all yaws is the largest that this probability allows.

    Parameters
    ----------
    landmarks : mapping, image to array of shape (68, 2)
        Of every training image, from :func:`find_landmarks`.
    probability : float, above 0 and below 0.5, default 0.3
        That an image is turned. From one half on, a network would see more made images than
        photographs.
    yaw : mapping or Series, image to float, in degrees, optional
        Positive to the image's right. By default :func:`estimate_yaw` of the landmarks.
    max_yaw : float, in degrees, above 0, default 30
        How far heads are turned at most, counted from the front; see
        :func:`rsa_faces.stimuli.turning.turn_faces` on what is beyond 30.
    front : float, in degrees, default 15
        Images with a larger yaw are not turned. `max_yaw` and `front` together at most 60.
    n_bins : int, 2 or more, default 7
        Of equal width, from minus to plus `max_yaw`; the outermost take what is beyond.

    Attributes
    ----------
    bins : DataFrame
        One row per bin: ``low``, ``high`` (degrees), ``before`` (share of the images), ``drawn``
        (share of the turned images) and ``after`` (expected share of the images shown).
    entropy : tuple of two floats
        Of ``before`` and ``after``, in bits; with `n_bins` bins at most log2(n_bins).

    Raises
    ------
    InputError
        If a number is out of range, names of landmarks and yaw differ, values are not finite, no
        image is seen from the front, or turning cannot raise the entropy.

    See Also
    --------
    rsa_faces.networks.training.Augmentation : Its option `turns`.

    Notes
    -----
    With b the shares of the bins among images that stay as they are and m the share turned, the
    shares after turning are ``max(b, level)``, the level such that they sum to one: what is turned
    is poured where there is least. No other way to place m has more entropy.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import Turns
    >>> from rsa_faces.stimuli.turning import _mean_head
    >>> points = {name: 100 + 40 * _mean_head()[0] for name in "abcd"}
    >>> turns = Turns(points, 0.4, yaw={"a": 0, "b": 2, "c": -1, "d": 25})
    >>> [round(bits, 2) for bits in turns.entropy]
    [0.81, 2.24]
    >>> turned = [turns.angle("a", np.random.default_rng(seed)) != 0 for seed in range(100)]
    >>> 25 < sum(turned) < 55
    True
    """

    landmarks: Mapping[str, np.ndarray]
    probability: float = 0.3
    yaw: Any = None
    max_yaw: float = 30.0
    front: float = 15.0
    n_bins: int = 7
    bins: pd.DataFrame = field(init=False)
    entropy: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        check_minority(self.probability, "turning")
        if not (self.max_yaw > 0 and self.front > 0 and self.max_yaw + self.front <= _MOST):
            raise InputError(
                f"expected max_yaw and front above 0 and together at most {_MOST:g} degrees, got "
                f"{self.max_yaw!r} and {self.front!r}."
            )
        check_count(self.n_bins, what="n_bins", low=2)
        names = list(self.landmarks)
        points = np.array([np.asarray(self.landmarks[name], float) for name in names])
        yaw = estimate_yaw(points) if self.yaw is None else self._given(self.yaw, names)
        edges = np.linspace(-self.max_yaw, self.max_yaw, self.n_bins + 1)
        place = np.searchsorted(edges[1:-1], yaw, side="right")
        turnable = abs(yaw) <= self.front
        if not turnable.any():
            raise InputError(
                f"expected images seen from the front (yaw of at most {self.front:g} degrees) to "
                f"turn, but the least turned of {len(yaw)} has {abs(yaw).min():.0f}."
            )
        stay = np.where(turnable, 1 - self.probability, 1.0) / len(yaw)
        before = np.bincount(place, minlength=self.n_bins) / len(yaw)
        base = np.bincount(place, stay, minlength=self.n_bins)
        poured = _poured(base, 1 - base.sum())
        bits = tuple(float(entropy(share, base=2)) for share in (before, base + poured))
        # Sums of shares in another order differ in the last digits: no gain must not look like one.
        if bits[1] <= bits[0] + 1e-9:
            raise InputError(
                f"turning cannot raise the entropy of yaw ({bits[0]:.2f} bits in {self.n_bins} "
                "bins): the images are spread evenly already. Train without turns."
            )
        bins = pd.DataFrame(
            {
                "low": edges[:-1],
                "high": edges[1:],
                "before": before,
                "drawn": poured / poured.sum(),
                "after": base + poured,
            }
        )
        for name, value in (
            ("landmarks", dict(zip(names, points, strict=True))),
            ("yaw", dict(zip(names, yaw.tolist(), strict=True))),
            ("bins", bins),
            ("entropy", bits),
        ):
            object.__setattr__(self, name, value)

    @staticmethod
    def _given(given: Mapping[str, float] | pd.Series, names: list[str]) -> np.ndarray:
        """Return the yaws that were given, by name."""
        yaw = dict(given)
        if set(yaw) != set(names):
            raise InputError(
                "expected yaw and landmarks of the same images, but only one has "
                f"{some(sorted(set(yaw) ^ set(names)))}."
            )
        values = np.array([yaw[name] for name in names], float)
        if not np.isfinite(values).all():
            raise InputError(
                f"expected a finite yaw of every image, got {values[~np.isfinite(values)][0]} for "
                f"{names[np.flatnonzero(~np.isfinite(values))[0]]!r}."
            )
        return values

    def __repr__(self) -> str:
        before, after = self.entropy
        return (
            f"Turns(probability {self.probability:g} of {len(self.landmarks)} images; entropy of "
            f"yaw {before:.2f} to {after:.2f} bits)"
        )

    def angle(self, name: str, rng: np.random.Generator) -> float:
        """Draw by how many degrees an image is turned this time; mostly 0."""
        # Drawn whether needed or not: what follows is then the same for images that are turned and
        # those that are not.
        whether, where, within = rng.random(3)
        if whether >= self.probability or abs(self.yaw[name]) > self.front:
            return 0.0
        row = self.bins.iloc[int(np.searchsorted(self.bins["drawn"].cumsum(), where))]
        return float(row["low"] + within * (row["high"] - row["low"]) - self.yaw[name])

    def __call__(self, image: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
        """Return the image, turned or not."""
        self.check((name,))
        angle = self.angle(name, rng)
        if not angle:
            return image
        return turning.turned(image, self.landmarks[name], angle, 0.0, repr(name))

    def check(self, names: Sequence[str]) -> None:
        """Refuse images without landmarks."""
        check_landmarks(self.landmarks, names)

    def to_dict(self) -> dict:
        """Return what decides the turns, as plain data."""
        return {
            "probability": self.probability,
            "max_yaw": self.max_yaw,
            "front": self.front,
            "n_bins": self.n_bins,
            "images": digest(self.landmarks, self.yaw),
        }


def check_minority(probability: float, what: str) -> None:
    """Refuse to show a network more made images than photographs."""
    if not 0 < probability < 0.5:
        raise InputError(
            f"expected a probability of {what} above 0 and below 0.5, got {probability!r}: a "
            "network must see more photographs than made images."
        )


def check_landmarks(landmarks: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Refuse images without landmarks."""
    if missing := [name for name in names if name not in landmarks]:
        raise InputError(f"expected landmarks of all training images, got none of {some(missing)}.")


def digest(landmarks: Mapping[str, np.ndarray], more: Any) -> str:
    """Return a hash of landmarks and of what else decides about images."""
    points = np.array(list(landmarks.values()))
    return sha256_bytes(repr(more).encode(), points.tobytes())


def _poured(base: np.ndarray, amount: float) -> np.ndarray:
    """Return how much goes to each bin if an amount is poured over them like water."""
    low = np.sort(base)
    levels = (amount + low.cumsum()) / np.arange(1, len(low) + 1)
    reached = levels <= np.r_[low[1:], np.inf]
    return np.maximum(levels[np.argmax(reached)] - base, 0.0)
