"""RDMs of a network's layers, without keeping their activations."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsa_faces._core.checks import check_arguments
from rsa_faces.extraction import check_finite, extract, stream
from rsa_faces.extraction._checks import warn_whole
from rsa_faces.rdm._rdms import RDMs
from rsa_faces.rdm.compute import layer_labels, warn_undefined
from rsa_faces.rdm.measures import Measure, resolve_plain

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet


def layer_rdms(
    network: Network,
    stimuli: StimulusSet,
    *,
    layers: str | Sequence[str] = "all",
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    store: str | os.PathLike[str] | None = None,
    budget: str | int = "4GB",
    reduce: str | int | None = None,
    precision: str = "float32",
    seed: int = 0,
    progress: bool = True,
) -> RDMs:
    """Build the RDM of each layer while the stimuli pass through the network.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    stimuli : StimulusSet
        The images.
    layers : str or sequence of str, default "all"
        As for :func:`rsa_faces.extract`.
    measure : str, Measure or callable, default "correlation"
        euclidean, sqeuclidean, correlation, cosine or poisson.
    store : path-like, optional
        A folder to keep activations in, as for :func:`rsa_faces.extract`: what is there is read,
        the rest is added. By default nothing is kept.
    budget : str or int, default "4GB"
        Memory for what passes through the network. If all stimuli together need more, their
        activations go through a temporary file instead, in batches, and are read from it a part
        of a layer at a time.
    reduce : {"mean", "class token"} or int, optional
        Keep less of each layer, as for :func:`rsa_faces.extract`; the ``layer`` label says so.
    precision : {"float32", "tf32", "bfloat16"}, default "float32"
        Of the products in the network, as for :func:`rsa_faces.extract`.
    seed : int, default 0
        Of the random projection, if `reduce` is a number.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    RDMs
        One per layer, in order of computation, with the labels ``network``, ``layer``,
        ``layer_index`` and ``depth``: those of ``compute_rdms(extract(…))``, to about 1e-6 (the
        network may round otherwise with other batches).

    Raises
    ------
    InputError
        As :func:`rsa_faces.extract` and :func:`rsa_faces.compute_rdms` do.

    See Also
    --------
    compute_rdms : Build RDMs from patterns.
    extract : Record what the layers of a network answer to each stimulus.
    clip_rdms : Build the RDM of each layer over clips.

    Notes
    -----
    All stimuli go through in one pass. A layer's RDM is computed when it returns, from its output
    as it lies in memory, and outputs are not kept: memory does not grow with the number of layers.
    Where the budget is too small for all stimuli at once, activations are kept in a file instead.
    Products are float32, as activations are, and added up in float64 every 4,096 channels: within
    1e-6 of float64 throughout.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> stimuli = rf.datasets.images92().stimuli.query("face")
    >>> network = rf.load_network("mini-xception", device="cpu")
    >>> rf.layer_rdms(network, stimuli)
    RDMs(16 RDMs, 24 conditions, measure='correlation', labels: network, layer, layer_index, depth)
    """
    check_arguments(layer_rdms, locals())
    measure = resolve_plain(measure)
    vectors: dict[str, np.ndarray] = {}

    def act(layer: str, patterns: Any) -> None:
        vectors[layer] = measure.of_layer(patterns)
        # Those that :func:`extract` returns are finite.
        if np.isnan(vectors[layer]).any() and isinstance(patterns, np.ndarray):
            check_finite(np.asarray(patterns), stimuli.ids, layer, network.name)
        warn_undefined(vectors[layer], stimuli.ids, measure, layer)

    how: dict[str, Any] = {
        "layers": layers,
        "budget": budget,
        "reduce": reduce,
        "precision": precision,
        "seed": seed,
        "progress": progress,
    }
    depth = stream(network, stimuli, act, **how) if store is None else None
    if depth is None:
        activations = extract(network, stimuli, store=store, **how)
        depth = activations.depth
        for layer in activations:
            act(layer, activations.patterns(layer))
    else:
        warn_whole(network, stimuli)  # as `extract` does
    labels = layer_labels(network.name, {layer: depth[layer] for layer in vectors})
    return RDMs(np.vstack(list(vectors.values())), stimuli.ids, measure.name, labels)
