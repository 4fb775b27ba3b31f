"""Images and landmarks of faces, matched by name and checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.names import check_unique_names, in_memory, named, ordered, unnamed

Loader = Callable[[str], np.ndarray]


def matched(images, landmarks, conditions, match: str) -> tuple[tuple[str, ...], Loader, list]:
    """Return names of faces, what loads an image by name, and landmarks (n, n_landmarks, 2)."""
    check_choice(match, ["same", "intersection"], what="match")
    image_names, load = _images(images, conditions)
    points = as_points(landmarks, conditions)
    if match == "same" and set(image_names) != set(points):
        raise ConditionMismatchError(
            image_names,
            points,
            left_name="images",
            right_name="landmarks",
            hint="Rename them, or use match='intersection' for those in both.",
        )
    names = tuple(name for name in image_names if name in points)
    if not names:
        raise InputError("expected faces with an image and landmarks, got none.")
    return names, load, np.stack([points[name] for name in names])


def as_points(landmarks, conditions: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Return landmarks by name, each (n_landmarks, 2), finite, of one template."""
    if not isinstance(landmarks, Mapping):
        values, names = named(landmarks, conditions, what="landmarks", of="face")
        landmarks = dict(zip(names, values, strict=True))
    if not landmarks:
        raise InputError("expected landmarks of at least one face, got none.")
    names = check_unique_names(landmarks, what="face")
    values = list(landmarks.values())
    if conditions is not None:
        order, names = ordered(names, conditions, what="landmarks", of="face")
        values = [values[i] for i in order]
    out: dict[str, np.ndarray] = {}
    for name, points in zip(names, values, strict=True):
        if isinstance(points, pd.DataFrame) and set(points.columns) == {"x", "y"}:
            points = points[["x", "y"]].reset_index(drop=True).to_numpy()
        points = unnamed(points, what=f"landmarks of {name!r}").astype(float)
        shape = next(iter(out.values())).shape if out else points.shape
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or points.shape != shape:
            raise InputError(
                "expected landmarks of shape (n_landmarks, 2), at least 3 and as many in each "
                f"face, but {name!r} has {points.shape}."
            )
        if not np.isfinite(points).all():
            raise InputError(f"expected finite landmarks, but {name!r} has NaN or infinity.")
        out[name] = points
    return out


def pixels(image: np.ndarray, name: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return an image as float32 (height, width, n_channels), 0 to 255, of the shape asked for."""
    image = np.asarray(image)
    out = image[..., None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or out.ndim != 3 or out.shape[2] not in (1, 3):
        raise InputError(
            "expected images of type uint8 and shape (height, width) or (height, width, 3), but "
            f"{name!r} has type {image.dtype} and shape {image.shape}."
        )
    if shape is not None and out.shape != shape:
        raise InputError(
            f"expected images of one size, {shape[1]} x {shape[0]} px with {shape[2]} channels, "
            f"but {name!r} has shape {image.shape}. Cut out or resize them, with their landmarks."
        )
    return out.astype(np.float32)


def check_in_frame(points: np.ndarray, name: str, height: int, width: int) -> None:
    """Raise if a landmark is not within the frame."""
    # The mesh has points on the border: a landmark there makes triangles without area.
    outside = (points <= 0).any(axis=1) | (points >= [width - 1, height - 1]).any(axis=1)
    if outside.any():
        first = np.flatnonzero(outside)[:5].tolist()
        raise InputError(
            f"expected landmarks within the image, {width} x {height} px, but {name!r} has "
            f"{outside.sum()} outside: numbers {', '.join(map(str, first))}. Give images with more "
            "margin, or leave these landmarks out in all faces."
        )


def _images(images, conditions) -> tuple[tuple[str, ...], Loader]:
    """Return names, and what loads one image."""
    from rsa_faces.stimuli import StimulusSet
    from rsa_faces.stimuli.images import decode, read_bytes

    said = {"what": "images", "of": "face"}
    if isinstance(images, StimulusSet):
        names = images.ids if conditions is None else ordered(images.ids, conditions, **said)[1]
        return names, images.image
    if isinstance(images, (Mapping, pd.Series)):
        names = check_unique_names(images.keys(), what="face")
        images = [images[key] for key in images.keys()]  # noqa: SIM118  a Series iterates values
        if conditions is not None:
            order, own = ordered(names, conditions, **said)
            names, images = own, [images[i] for i in order]
    elif in_memory(images):
        images, names = named(images, conditions, **said)
    elif conditions is None:
        raise InputError(
            "expected images as a StimulusSet, a mapping from face to image, or an array "
            f"with `conditions`: got a {type(images).__name__} without names."
        )
    else:
        names = check_unique_names(conditions, what="face")
        if not isinstance(images, (list, tuple)) or len(images) != len(names):
            n = len(images) if isinstance(images, (list, tuple)) else type(images).__name__
            raise InputError(f"expected {len(names)} images, got {n}.")
    sources = dict(zip(names, images, strict=True))

    def load(name: str) -> np.ndarray:
        source = sources[name]
        if isinstance(source, (str, Path)):
            return decode(read_bytes(Path(source)), Path(source))
        return source

    return tuple(sources), load
