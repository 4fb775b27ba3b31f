"""Images of several runs: opened, on the same places, and which of these can be used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_enough
from rsa_faces._core.errors import InputError
from rsa_faces.brain._design import kept_scans
from rsa_faces.brain._region import Region
from rsa_faces.brain._usable import usable_places
from rsa_faces.brain.images import Image, open_image
from rsa_faces.brain.masks import as_region, mask_on


def per_run(imgs: Any, tables: Any, confounds: Any, runs: Any, *, what: str = "events"):
    """Return lists with one entry per run: images, tables, confounds and names."""
    if isinstance(tables, (pd.DataFrame, str, os.PathLike)):
        imgs, tables = [imgs], [tables]
        confounds = None if confounds is None else [confounds]
    if isinstance(imgs, Mapping) or not isinstance(imgs, (list, tuple)):
        raise InputError(f"expected a list with one image per run, got {type(imgs).__name__}.")
    check_enough(len(imgs), 1, "run")
    confounds = [None] * len(imgs) if confounds is None else list(confounds)
    runs = list(range(1, len(imgs) + 1)) if runs is None else list(runs)
    tables = list(tables)
    for name, values in ((what, tables), ("confounds", confounds), ("runs", runs)):
        if len(values) != len(imgs):
            raise InputError(
                f"expected {name} for each of {len(imgs)} images, one per run, got {len(values)}."
            )
    if len(set(runs)) < len(runs):
        raise InputError(f"expected a different name for each run, got {runs!r}.")
    return list(imgs), tables, confounds, runs


def open_runs(
    imgs: Sequence[Any], mask_img: Any, runs: Sequence[Any], resample: bool
) -> tuple[Region, list[Image]]:
    """Return the places of all runs that are in the mask, and the open images."""
    mask = None if mask_img is None else as_region(mask_img)
    images = [
        open_image(img, f"the image of run {run!r}") for img, run in zip(imgs, runs, strict=True)
    ]
    first = images[0].space
    space = first if mask is None else mask_on(mask, first, resample)
    for image, run in zip(images[1:], runs[1:], strict=True):
        if (there := space.named(f"run {runs[0]}").positions(image.space)).sum() < space.n_places:
            raise InputError(
                f"expected the places of run {runs[0]!r} in run {run!r}, but only {there.sum()} of "
                f"{space.n_places} are there."
            )
    return space, images


def kept_by_run(sample_masks: Any, runs: Sequence[Any], images: Sequence[Image]):
    """Return which scans of each run count; all where there are no sample masks."""
    masks = [None] * len(images) if sample_masks is None else list(sample_masks)
    if len(masks) != len(images):
        raise InputError(f"expected sample_masks of {len(images)} runs, got {len(masks)}.")
    return [
        kept_scans(mask, run, image.n_maps)
        for mask, run, image in zip(masks, runs, images, strict=True)
    ]


def usable_signal(
    images: Sequence[Image],
    space: Region,
    unusable: str,
    *,
    percent: bool = False,
    kept: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which places have a signal in every run, and how many have none and why."""
    reasons: dict[str, Any] = {}
    for i, image in enumerate(images):
        signal = image.read(space)
        signal = signal if kept is None else signal[kept[i]]
        found = {
            "not finite (NaN or infinite)": ~np.isfinite(signal).all(axis=0),
            "constant": (signal == signal[:1]).all(axis=0),
        }
        if percent:
            with np.errstate(invalid="ignore"):
                low = signal.mean(axis=0) < 1
            found["with a mean below 1, of which no percent is taken (scaling=None)"] = low
        for reason, where in found.items():
            reasons[reason] = reasons.get(reason, False) | where
    return usable_places(reasons, space, unusable, "the images")
