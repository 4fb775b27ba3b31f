"""Checks of what is asked of a network's layers, and of what they answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.checks import check_choice, check_count
from rsa_faces._core.errors import InputError, some
from rsa_faces._core.warning import warn
from rsa_faces.extraction._layout import NO_TOKEN

if TYPE_CHECKING:
    from rsa_faces.extraction._forward import Probe
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet
    from rsa_faces.stimuli.clips import ClipSet

_log = logging.getLogger(__name__)

#: From here on an answer depends on the batch, as a share of a layer's largest value. Sums of
#: float32 in another order change it by 2e-6 at most. Products in TF32 do by up to 3e-4, and by
#: 1e-3 where one batch is computed in float32 and the other is not: no limit for them
#: (`scripts/bench_extraction.py device`, four networks on a processor, TF32 emulated).
_CHANGE = 1e-3


def check_options(network: Network, reduce: str | int | None, precision: str) -> None:
    """Check what all layers are asked for."""
    if isinstance(reduce, str):
        check_choice(reduce, ["mean", "class token"], what="value of `reduce`")
    elif reduce is not None:
        check_count(reduce, what="reduce")
    check_choice(precision, ["float32", "tf32", "bfloat16"], what="precision")
    if precision == "tf32" and network.device.type != "cuda":
        raise InputError(
            f"the precision 'tf32' needs a CUDA GPU, but {network.name} is on "
            f"{network.device.type!r}. Use 'float32'."
        )


class WholeImages(UserWarning):
    """Whole images are shown to a network of faces; runs say it in words of their own."""


def warn_whole(network: Network, stimuli: StimulusSet | ClipSet) -> None:
    """Warn if a network that was trained on cut-out faces is shown stimuli not marked as such."""
    if not network.spec.crop or stimuli.cropped:
        return
    options = ", ".join(f"{k}={v!r}" for k, v in network.spec.crop_options.items())
    if hasattr(stimuli, "frames"):
        what, how = "clips", f"rf.stimuli.clips.crop_clips(clips, {options})"
    else:
        what = "images"
        how = (
            f"rf.crop_faces(stimuli, rf.detect_faces(stimuli), {options}), or load "
            "crops of your own with rf.load_stimuli(..., cropped=True)"
        )
    warn(
        f"{network.name} was trained on faces cut out of photographs, and these {what} are not "
        f"marked as such: on whole photographs it sees faces badly. Cut them out with {how}.",
        WholeImages,
    )


def check_layers(network: Network, found: Probe, layers: str | Sequence[str]) -> None:
    """Say which layers give nothing usable: an error if named, a warning if matched by a glob.

    Default layers without a class token, where class tokens are asked for, are left out too.
    """
    given = [layers] if isinstance(layers, str) else list(layers)
    named = {*given, *(network.layers() if "all" in given else ())}
    without = [layer for layer, why in found.problems.items() if why.startswith(NO_TOKEN)]
    if found.problems and not found.layouts and len(without) == len(found.problems):
        raise InputError(
            f"expected layers with a class token, but {some(without, 3)} of {network.name} has none"
            f"{found.problems[without[0]].removeprefix(NO_TOKEN)}. network.layer_table() shows "
            "which have one; reduce='mean' takes the mean over places or tokens."
        )
    if left_out := [layer for layer in without if layer not in given]:
        warn(
            f"{len(left_out)} layers of {network.name} are left out, as they have no class token: "
            f"{some(left_out)}."
        )
    for layer, problem in found.problems.items():
        if layer in named and layer not in left_out:
            raise InputError(
                f"layer {layer!r} of {network.name} {problem}. Choose another: "
                "network.all_layers() lists those that can be extracted."
            )
    if found.problems:
        _log.warning(
            "%s: %d layers are left out: %s",
            network.name,
            len(found.problems),
            "; ".join(f"{layer} {why}" for layer, why in list(found.problems.items())[:3]),
        )
    if not found.layouts:
        raise InputError(
            f"expected layers with one row per image, but none of {len(found.problems)} layers of "
            f"{network.name} that {given!r} matches gives that."
        )
    for layer, (number, n_calls) in found.calls.items():
        if n_calls > 1:
            _log.info(
                "layer %s ran %d times in one pass: its output %d is kept", layer, n_calls, number
            )


def check_finite(patterns: np.ndarray, ids: Sequence[str], layer: str, network: str) -> None:
    """Refuse NaN and infinite activations; layer and image are named.

    Parameters
    ----------
    patterns : ndarray, shape (n_stimuli, n_channels)
    ids : sequence of str
        Stimuli.
    layer : str
    network : str

    Raises
    ------
    InputError
        If a value is NaN or infinite.

    See Also
    --------
    rsa_faces.extract : Record what the layers of a network answer to each stimulus.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.extraction import check_finite
    >>> check_finite(np.ones((2, 3)), ["a", "b"], "fc", "my network")  # says nothing
    """
    # A sum is finite only if all of its terms are; it may overflow although they are.
    doubtful = np.flatnonzero(~np.isfinite(patterns.sum(axis=1)))
    bad = [int(i) for i in doubtful if not np.isfinite(patterns[i]).all()]
    if bad:
        kind = "NaN" if np.isnan(patterns[bad[0]]).any() else "infinite"
        raise InputError(
            f"expected finite activations, but layer {layer!r} of {network} has {kind} "
            f"values for image {ids[bad[0]]!r}. Look at the image and the weights."
        )


def check_calls(layer: str, ran: int, expected: int, network: str) -> None:
    """Refuse a layer that does not run as often as with the first image."""
    if ran != expected:
        raise InputError(
            f"expected layer {layer!r} of {network} to run {expected} times in each pass, as with "
            f"the first image alone, but it ran {ran} times. Choose another layer, or batch_size=1."
        )


def check_alone(
    alone: Probe, rows: Mapping[str, np.ndarray], place: int, name: str, network: str
) -> None:
    """Refuse networks whose answer to an image, at `place`, depends on the others in its batch."""
    for layer, values in rows.items():
        if len(values) > 1 and (change := alone.change(layer, values[place])) > _CHANGE:
            raise InputError(
                f"expected the answer to an image not to depend on the others in its batch, but in "
                f"layer {layer!r} of {network} some values of {name!r} differ from those it gets "
                f"alone by {change:.1%} of the largest. Does it normalise over the batch, or draw "
                "at random? Use extract(..., batch_size=1)."
            )
