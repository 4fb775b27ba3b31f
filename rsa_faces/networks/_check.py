"""Does a network see what it was trained to see? Recorded answers, people and expressions."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import cache_folder, sha256_file
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult
from rsa_faces.networks import _preprocess
from rsa_faces.networks._load import get_spec, open_network
from rsa_faces.networks._network import Network
from rsa_faces.networks._registry import NETWORKS
from rsa_faces.networks._spec import Preprocessing
from rsa_faces.stimuli import FaceTable, StimulusSet, crop_faces, load_stimuli
from rsa_faces.stimuli._packed import packed_pictures
from rsa_faces.stimuli.crops import find_to_cut

#: Answers of networks that ship to three faces: written by scripts/verify_networks.py --golden.
GOLDEN = Path(__file__).with_name("golden.npz")
#: 72 simulated faces, 12 people x 3 expressions x 2 views, and the place of each face.
FACES = Path(__file__).with_name("golden_faces.csv")
PICTURES = Path(__file__).parents[1] / "datasets" / "simulated_faces.h5"
N_GOLDEN = 3
# Of an answer, and how far it may be off, as a share of the largest: processors differ by 1e-5.
_N_VALUES, _TOLERANCE = 512, 1e-3
#: What a network has to reach that was trained for it. Of the networks that ship those for identity
#: reach .99, for expression .94 and .98, untrained ones at most .82 and .64 (siamese-orl: .79).
NEEDED = {"identity": 0.9, "expression": 0.85}
# First letters of names for the same expression.
_SAME = {"smil": "happ", "afra": "fear", "ange": "angr"}
_BATCH = 24


@dataclass(frozen=True, eq=False, repr=False)
class NetworkCheck(BaseResult):
    """Whether a network sees what it was trained to see; made by :func:`check`.

    Attributes
    ----------
    network : str
        Its name.
    verdict : str
        "yes", "no", or "not known" for networks of other tasks whose answers are not recorded.
    because : str
        Why.
    table : DataFrame
        One row per measure: ``measure`` ("recorded answers", largest difference as a share of the
        largest value; "identity" and "expression", areas under the ROC; "expressions named", a
        share), ``value`` and ``needed`` (NaN where nothing is).

    See Also
    --------
    check : Look whether a network sees what it was trained to see.
    rsa_faces.load_network : Open a network by name.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> rf.networks.check("mini-xception").verdict  # doctest: +SKIP
    'yes'
    """

    network: str
    verdict: str
    because: str
    table: pd.DataFrame

    @property
    def good(self) -> bool | None:
        """The verdict as True or False, None where it is not known."""
        return {"yes": True, "no": False}.get(self.verdict)

    @property
    def sentence(self) -> str:
        """Verdict and reason, as one sentence."""
        return f"{self.network} sees what it should: {self.verdict}, because {self.because}."


def check(
    network: str | Network,
    images: StimulusSet | str | os.PathLike[str] | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> NetworkCheck:
    """Check whether a network sees what it was trained to see.

    Parameters
    ----------
    network : str or Network
        A name, as of :func:`rsa_faces.load_network`, or an opened network.
    images : StimulusSet or path-like, optional
        Faces of yours with the metadata ``identity``, ``expression`` or both; or a folder with
        them, whose table "manifest.csv" has these columns beside ``file``. Faces are cut out as
        the network was trained to see them, unless they are already. Default: 72 simulated faces
        that ship.
    weights : path-like, optional
        A weight file, as of :func:`rsa_faces.load_network`.
    device : str, default "auto"
        As for :func:`rsa_faces.load_network`; for a name.

    Returns
    -------
    NetworkCheck

    Raises
    ------
    InputError
        If `images` have neither label, or no two images share one; as :func:`load_network`.

    See Also
    --------
    rsa_faces.load_network : Open a network by name.
    rsa_faces.crop_faces : Cut every face out as a network was trained to see it.

    Notes
    -----
    Networks that ship, as they ship, are compared with recorded answers: their last layer for
    three faces, cut out, resized, scaled and passed on as here. Any difference above a thousandth
    is a no: colours in another order, another range, crop or filter, weights that are not all
    there. Networks in training mode are a no, too.

    All others are judged by what they tell apart. Similarity of two images is the correlation of
    their last layers. "identity" is the probability that a pair of one person, in two expressions
    (and views), is more similar than one of two people; "expression" that two people with the same
    expression (in two views) are more similar than with two. Of networks for identity at least
    0.9 is expected, for expression 0.85; what was never trained stays below 0.83 and 0.65.
    Where it is less, other orders of colours, ranges and crops are tried, and named if they help.
    The order of colours alone makes little difference to these numbers: an order that is wrong in
    a file of yours may go unseen.

    Examples
    --------
    >>> from rsa_faces.networks import check
    >>> check("face-api-expression", device="cpu").verdict
    'yes'
    """
    check_arguments(check, locals())
    if isinstance(network, str):
        network = open_network(network, device=device, weights=weights)
    elif weights is not None:
        raise InputError("expected `weights` with the name of a network, not with an opened one.")
    shown = _Shown.bundled() if images is None else _Shown.of(images)
    rows: list[tuple[str, float, float]] = []
    faults, reasons = [], []
    if network.module.training:
        faults.append("it is in training mode (network.module.eval() ends that)")
    golden = _golden().get(network.name) if weights is None else None
    if golden is not None:
        off = _difference(network, golden)
        rows.append(("recorded answers", off, _TOLERANCE))
        reasons.append(f"it answers three faces as recorded (off by {off:.0e})")
        if not off <= _TOLERANCE:
            faults.append(_cause(network, off))
    read = shown.readings(network)
    needed = {} if golden is not None and images is None else NEEDED
    for measure, value in read.items():
        low = needed.get(measure, np.nan) if measure == network.spec.task else np.nan
        rows.append((measure, value, low))
        if value >= low:
            reasons.append(f"it tells {measure} apart (AUC {value:.2f}, {low:g} expected)")
        elif value < low:
            faults.append(
                f"it tells {measure} apart with an AUC of {value:.2f} only, {low:g} expected"
                + _better(network, shown, measure, value)
            )
    verdict = "no" if faults else "yes" if reasons else "not known"
    because = "; ".join(faults or reasons) or (
        f"nothing is recorded of it, and it was trained for {network.spec.task!r}, of which these "
        "faces say nothing"
    )
    return NetworkCheck(
        network.name,
        verdict,
        because,
        pd.DataFrame(rows, columns=["measure", "value", "needed"]),
        settings={"weights": network.weights_sha256, **network.spec.crop_options},
        notes=() if not faults else (f"{network.name} does not see what it should: {because}.",),
    )


def check_file(name: str, weights: str | os.PathLike[str], *, device: str) -> NetworkCheck:
    """Check a weight file of the user, once: the verdict is kept by what was looked at."""
    looked_at = f"{sha256_file(weights)} {get_spec(name)}"
    kept = cache_folder() / "checks" / f"{hashlib.sha256(looked_at.encode()).hexdigest()[:32]}.h5"
    # A cache that cannot be read or written must not keep anybody from loading a network.
    with contextlib.suppress(OSError, InputError):
        return NetworkCheck.load(kept)
    found = check(name, weights=weights, device=device)
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        found.save(kept)
    return found


@dataclass(frozen=True)
class _Shown:
    """Faces with labels; `faces` is None where they are cut out already."""

    stimuli: StimulusSet
    faces: FaceTable | None

    @classmethod
    @cache
    def bundled(cls) -> _Shown:
        """Return the simulated faces: a part of the data set, whose package lies above this one."""
        faces = FaceTable.load(FACES)
        ids, images = packed_pictures(PICTURES, list(faces.table.index))
        labels = [name.split("_") for name in ids]
        metadata = pd.DataFrame(labels, columns=["identity", "expression", "view", "light"])
        return cls(StimulusSet.from_arrays(images, ids, metadata), faces)

    @classmethod
    def of(cls, images: StimulusSet | str | os.PathLike[str]) -> _Shown:
        """Return faces of the user, and where they are."""
        if not isinstance(images, StimulusSet):
            table = Path(images) / "manifest.csv"
            images = load_stimuli(images, manifest=table if table.is_file() else None)
        if not {"identity", "expression"} & set(images.metadata):
            raise InputError(
                "expected images with the label identity or expression (a table manifest.csv in "
                "their folder, with the column file and these), got "
                f"{list(images.metadata) or 'no labels'}."
            )
        faces, reason = find_to_cut(images)
        return cls(images, None if reason else faces)

    def cut(self, template: str, margin: float) -> tuple[np.ndarray, ...]:
        """Return the images as a network is shown them."""
        stimuli = self.stimuli
        if self.faces is not None:
            stimuli = crop_faces(stimuli, self.faces, template=template, margin=margin)
        return tuple(stimuli.image(name) for name in stimuli.ids)

    def readings(self, network: Network, **changes) -> dict[str, float]:
        """Return how well a network tells people and expressions apart, where they are labelled."""
        from rsa_faces.networks.training.verification import area_under_roc

        options = {**network.spec.crop_options, **changes.pop("crop", {})}
        values = _answers(network, self.cut(**options), **changes)
        first, second = np.triu_indices(len(values), 1)
        similarity = np.corrcoef(values)[first, second]
        labels = self.stimuli.metadata.astype(str)
        same = {
            name: (labels[name].to_numpy()[first] == labels[name].to_numpy()[second])
            for name in ("identity", "expression", "view")
            if name in labels
        }
        elsewhere = ~same.get("view", np.zeros(len(first), bool))
        found = {}
        for measure, other in (("identity", "expression"), ("expression", "identity")):
            if measure not in same:
                continue
            # What shares the view or the other label is alike for that reason.
            pairs = elsewhere & ~same.get(other, np.zeros(len(first), bool))
            if len(set(same[measure][pairs])) < 2:
                raise InputError(
                    f"expected images of which some share the {measure} and some do not, got "
                    f"{labels[measure].nunique()} values over {len(labels)} images."
                )
            found[measure] = area_under_roc(similarity[pairs], same[measure][pairs])
        if "expression" in labels and len(network.spec.outputs) == values.shape[1]:
            named = np.array([_stem(name) for name in network.spec.outputs])[values.argmax(axis=1)]
            meant = labels["expression"].map(_stem).to_numpy()
            if set(meant) <= set(map(_stem, network.spec.outputs)):
                found["expressions named"] = float((named == meant).mean())
        return found


def golden_answers(network: Network) -> np.ndarray:
    """Return a part of a network's last layer for three faces, as they are recorded."""
    shown = _Shown.bundled()
    ids = shown.stimuli.ids[:: len(shown.stimuli) // N_GOLDEN][:N_GOLDEN]
    few = _Shown(shown.stimuli.subset(ids), shown.faces)
    values = _answers(network, few.cut(**network.spec.crop_options))
    return values[:, :: -(-values.shape[1] // _N_VALUES)].astype(np.float32)


@cache
def _golden() -> dict[str, np.ndarray]:
    """Return the recorded answers by network."""
    with np.load(GOLDEN) as file:
        return dict(file)


def _answers(
    network: Network, images: tuple[np.ndarray, ...], preprocessing: Preprocessing | None = None
) -> np.ndarray:
    """Return the network's last layer, shape (n_images, n_values)."""
    import torch

    from rsa_faces.networks._trace import first_tensor

    rows: list = []

    def keep(module, inputs, output):
        rows.append(first_tensor(output).flatten(1).float().cpu())

    last = network.module.get_submodule(network.layers()[-1])
    handle = last.register_forward_hook(keep)
    bar = progress_bar(f"faces seen by {network.name}", len(images), show=True)
    try:
        with torch.no_grad(), bar as tell:
            for start in range(0, len(images), _BATCH):
                x = _preprocess.apply(
                    preprocessing or network.spec.preprocessing, images[start : start + _BATCH]
                )
                network.module(torch.from_numpy(x).to(network.device))
                tell(start + len(x))
    finally:
        handle.remove()
    return torch.cat(rows).numpy().astype(float)


def _difference(network: Network, golden: np.ndarray) -> float:
    """Return how far the answers are from those recorded, as a share of the largest."""
    values = golden_answers(network)
    if values.shape != golden.shape or not np.isfinite(values).all():
        return np.inf
    return float(np.abs(values - golden).max() / np.abs(golden).max())


def _cause(network: Network, off: float) -> str:
    """Say why a network that ships does not answer as recorded."""
    spec, own = network.spec, NETWORKS[network.name]
    here, there = ({**s.preprocessing.to_dict(), **s.crop_options} for s in (spec, own))
    changed = [f"{k} {here[k]!r} for {there[k]!r}" for k in there if here[k] != there[k]]
    if changed:
        return f"its input is not what it was trained with: {', '.join(changed)}"
    return (
        f"its answers to three faces differ from those recorded by {off:.0%}: its weights are not "
        "those that ship, or not all of them"
    )


def _better(network: Network, shown: _Shown, measure: str, value: float) -> str:
    """Say which other input would help, if one does."""
    input_ = network.spec.preprocessing
    n = len(input_.mean)
    swapped = {"RGB": "BGR", "BGR": "RGB"}.get(input_.channels)
    trials: dict[str, Mapping] = {
        "pixels from 0 to 1": {"preprocessing": replace(input_, mean=(0.0,) * n, std=(255.0,) * n)},
        "pixels from -1 to 1": {
            "preprocessing": replace(input_, mean=(127.5,) * n, std=(127.5,) * n)
        },
        "pixels from 0 to 255": {"preprocessing": replace(input_, mean=(0.0,) * n, std=(1.0,) * n)},
    }
    if swapped:
        trials[f"colours in the order {swapped}"] = {
            "preprocessing": replace(input_, channels=swapped, mean=input_.mean[::-1])
        }
    if shown.faces is not None:
        for margin in (-0.1, 0.3):
            trials[f"the margin {margin}"] = {"crop": {"margin": margin}}
    for name, trial in trials.items():
        would = shown.readings(network, **trial)[measure]
        # A little more may be chance.
        if would >= max(NEEDED[measure], value + 0.05):
            return f"; with {name} it would be {would:.2f}"
    return "; weights that are not all there, or another network, look like this"


def _stem(name: str) -> str:
    """Return what names of the same expression share."""
    start = name.lower()[:4]
    return _SAME.get(start, start)
