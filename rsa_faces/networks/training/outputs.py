"""Outputs of a network for labelled faces, and scores of pairs from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.checks import check_choice, check_count
from rsa_faces.networks import _preprocess
from rsa_faces.networks._spec import Preprocessing
from rsa_faces.networks.training.faces import LabelledFaces

if TYPE_CHECKING:
    import torch

SCORES = ("cosine", "distance")


def compute_outputs(
    module: torch.nn.Module,
    faces: LabelledFaces,
    *,
    preprocessing: Preprocessing,
    layer: str | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Return a network's outputs for all images, as they are (no augmentation).

    Parameters
    ----------
    module : torch.nn.Module
        Put into eval mode for the time being.
    faces : LabelledFaces
        The images.
    preprocessing : Preprocessing
        The network's own, as in ``get_spec(name).preprocessing``.
    layer : str, optional
        Dotted name of a layer whose outputs are taken instead of the network's, flattened.
    batch_size : int, default 64
        Images at a time.

    Returns
    -------
    ndarray of float32, shape (n_images, n_outputs)
        In the order of `faces`.

    Raises
    ------
    InputError
        If there is no such layer, or an image cannot be read.

    See Also
    --------
    pair_scores : Return how alike the images of each pair are; higher is more.
    rsa_faces.networks.training.fit : Train a network on labelled faces.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.networks.training import LabelledFaces, compute_outputs
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    >>> faces = LabelledFaces(images, list("wxyz"), [0, 0, 1, 1], ["anna", "ben"])
    >>> compute_outputs(network.module, faces, preprocessing=network.spec.preprocessing).shape
    (4, 7)
    """
    import torch

    check_count(batch_size, what="batch_size")
    device = next(module.parameters()).device
    training = module.training
    out: list[np.ndarray] = []
    seen: dict[str, torch.Tensor] = {}
    hook = None if layer is None else _hook(module, layer, seen)
    module.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(faces), batch_size):
                stop = min(start + batch_size, len(faces))
                images = [faces.image(i) for i in range(start, stop)]
                x = torch.from_numpy(_preprocess.apply(preprocessing, images)).to(device)
                y = module(x)
                y = y if layer is None else seen["output"]
                out.append(y.flatten(1).float().cpu().numpy())
    finally:
        if hook is not None:
            hook.remove()
        module.train(training)
    return np.concatenate(out)


def _hook(module: torch.nn.Module, layer: str, seen: dict):
    """Keep a copy of a layer's output in `seen` at each pass; return the hook's handle."""
    names = [name for name, _ in module.named_modules() if name]
    check_choice(layer, names, what="layer")
    # A copy, because a later layer may work in place.
    return module.get_submodule(layer).register_forward_hook(
        lambda _, inputs, output: seen.update(output=output.clone())
    )


def pair_scores(
    outputs: np.ndarray,
    pairs: np.ndarray,
    *,
    score: str | Callable[[torch.Tensor], torch.Tensor] = "cosine",
) -> np.ndarray:
    """Return how alike the images of each pair are; higher is more.

    Parameters
    ----------
    outputs : ndarray, shape (n_images, n)
        From :func:`compute_outputs`.
    pairs : ndarray of int, shape (n_pairs, 2)
        Positions of the images.
    score : {"cosine", "distance"} or callable, default "cosine"
        Cosine of the angle between the outputs, their Euclidean distance with a minus sign, or a
        head such as ``SiameseNet.head``: its logit for "same" less that for "different".

    Returns
    -------
    ndarray of float, shape (n_pairs,)
        NaN for the cosine of an output that is 0 everywhere.

    See Also
    --------
    rsa_faces.networks.training.verification
    compute_outputs : Return a network's outputs for all images, as they are (no augmentation).

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import pair_scores
    >>> pair_scores(np.array([[1.0, 0], [1, 1], [0, 2]]), np.array([[0, 2], [1, 2]])).round(3)
    array([0.   , 0.707])
    """
    pairs = np.asarray(pairs)
    if callable(score):
        return _head_scores(outputs, pairs, score)
    check_choice(score, SCORES, what="score")
    values = np.asarray(outputs, float)
    if score == "cosine":
        length = np.linalg.norm(values, axis=1, keepdims=True)
        values = np.divide(values, length, out=np.full_like(values, np.nan), where=length > 0)
    out = np.empty(len(pairs))
    for part in _parts(len(pairs), values.shape[1]):
        a, b = values[pairs[part, 0]], values[pairs[part, 1]]
        if score == "cosine":
            out[part] = (a * b).sum(1)
        else:
            out[part] = -np.linalg.norm(a - b, axis=1)
    return out


def _head_scores(outputs: np.ndarray, pairs: np.ndarray, head) -> np.ndarray:
    """Return the difference of a head's logits."""
    import torch

    device = next(head.parameters()).device
    values = torch.from_numpy(np.asarray(outputs, np.float32)).to(device)
    index = torch.from_numpy(pairs).to(device)
    out = np.empty(len(pairs))
    with torch.inference_mode():
        for part in _parts(len(pairs), values.shape[1]):
            logits = head((values[index[part, 0]] - values[index[part, 1]]).abs())
            out[part] = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return out


def _parts(n_pairs: int, n_outputs: int) -> list[slice]:
    """Cut the pairs so that a part's differences take some 100 MB."""
    size = max(1, 10**7 // n_outputs)
    return [slice(start, start + size) for start in range(0, n_pairs, size)]
