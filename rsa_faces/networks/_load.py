"""Opening networks by name."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from pathlib import Path

from rsa_faces._core.checks import check_seed
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_file
from rsa_faces._core.optional import require
from rsa_faces._core.warning import warn
from rsa_faces.networks import libraries
from rsa_faces.networks._network import Network
from rsa_faces.networks._registry import (
    LIBRARIES,
    NETWORKS,
    check_name,
    resolve_builder,
    resolve_rename,
    resolve_sizes,
)
from rsa_faces.networks._spec import NetworkSpec

_log = logging.getLogger(__name__)


def get_spec(name: str) -> NetworkSpec:
    """Describe a network without opening it.

    Parameters
    ----------
    name : str
        A name of :func:`list_networks`, or one with the prefix "untrained:", "timm:" or
        "torchvision:". Only the last two import torch: their description is read from the
        library's own configuration.

    Returns
    -------
    NetworkSpec
        Origin, licence, input and layers.

    Raises
    ------
    InputError
        If there is no such network.

    See Also
    --------
    rsa_faces.load_network : Open a network by name.
    rsa_faces.list_networks : List the networks that :func:`load_network` knows by name.

    Examples
    --------
    >>> from rsa_faces.networks import get_spec
    >>> get_spec("dlib-face").task
    'identity'
    >>> get_spec("untrained:dlib-face").training_set
    'none: weights drawn at random'
    """
    if name.startswith("untrained:"):
        spec = get_spec(name.removeprefix("untrained:"))
        if spec.origin == "rsa-faces":
            raise InputError(f"{spec.name!r} has no weights to train: use it without 'untrained:'.")
        return replace(
            spec,
            name=name,
            task="none",
            training_set="none: weights drawn at random",
            weights=None,
            sha256=None,
            outputs=(),
            weights_help="",
            published=(),
        )
    library, _, model = name.partition(":")
    if library in LIBRARIES and model:
        return libraries.describe(library, model)
    return NETWORKS[check_name(name)]


def load_network(
    name: str,
    *,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Network:
    """Open a network by name.

    Parameters
    ----------
    name : str
        A name of :func:`list_networks`; ``"untrained:<name>"`` for the same architecture with
        weights drawn at random; ``"timm:<name>"`` or ``"torchvision:<name>"`` for any network of
        these libraries, with its own preprocessing.
    device : str, default "auto"
        "auto" (a CUDA GPU if there is one, else the CPU) or a torch device such as "cuda:1".
    weights : path-like, optional
        A weight file (.safetensors, .pth, .pt, .ckpt, .bin, .pth.tar, .pkl) to load instead, in
        single or half precision, with or without the prefixes of wrapping modules; of timm and
        torchvision also with another number of outputs, or none. Without it: the bundled weights;
        for timm and torchvision the library's pretrained weights from its hub.
    seed : int, default 0
        Seed of the "untrained:" weights.

    Returns
    -------
    Network
        In eval mode, on the device.

    Raises
    ------
    InputError
        If the name is unknown, a weight file is missing, needed, unsafe or does not fit, the hub
        cannot be reached, or the device does not exist.
    FileNotFoundError
        If there is no file at `weights`.
    MissingExtraError
        If torch, or the library of the network, is not installed.

    Warns
    -----
    UserWarning
        If a network of faces does not see what it should with a weight file of yours.

    See Also
    --------
    rsa_faces.networks.check : Look whether a network sees what it was trained to see.
    list_networks : List the networks that :func:`load_network` knows by name.
    rsa_faces.networks.get_spec : Describe a network without opening it.

    Notes
    -----
    Untrained weights: convolutions and linear layers normal with variance 2 / fan-in [1]_, biases
    0; normalisation and affine layers at scale 1, shift 0 and running statistics 0 and 1, so that
    they pass their input on unchanged.

    The first time that a file of yours is opened, :func:`rsa_faces.networks.check` looks whether
    the network sees with it what it was trained to see, if that is people or expressions; it warns
    if not. This takes seconds, and is kept by the file's hash.

    A weight file whose SHA-256 is known is checked against it: those that ship, those in
    ``spec.published``, and those of timm and torchvision, which have its beginning in their names.
    Weight files are never unpickled freely: .pth and .pt are read with ``weights_only=True``, .pkl
    by an unpickler that can rebuild arrays and nothing else.

    References
    ----------
    .. [1] He K., Zhang X., Ren S., Sun J. (2015), ICCV, doi:10.1109/ICCV.2015.123

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks import load_network
    >>> network = load_network("dlib-face", device="cpu")
    >>> network.layers()[:3]
    ['conv1', 'pool1', 'block1_1']
    >>> x = network.preprocess([np.zeros((200, 150, 3), np.uint8)])
    >>> tuple(network.module(x).shape)
    (1, 128)
    """
    network = open_network(name, device=device, weights=weights, seed=seed)
    if weights is not None and network.spec.task in ("identity", "expression"):
        _look_at(name, weights, device)
    return network


def _look_at(name: str, weights: str | os.PathLike[str], device: str) -> None:
    """Warn if a network does not see what it should with a file of the user."""
    from rsa_faces.networks._check import check_file

    for note in check_file(name, weights, device=device).notes:
        warn(note)


def open_network(
    name: str,
    *,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Network:
    """Open a network as :func:`load_network` does, but do not look at what it sees."""
    where = _device(device)
    check_seed(seed)
    spec = get_spec(name)
    base = name
    # Whoever puts the prefix to names in a loop may do so twice; it means no more than once.
    while base.startswith("untrained:"):
        base = base.removeprefix("untrained:")
    untrained = base != name
    if weights is not None and (untrained or spec.origin == "rsa-faces"):
        raise InputError(f"{name!r} takes no weight file, got weights={os.fspath(weights)!r}.")
    from rsa_faces.networks._weights import initialise, read_weights

    trained = not untrained and spec.origin != "rsa-faces"
    if weights is not None:
        known = is_published(spec, weights)
        _log.info("%s: %s is %s", name, weights, "as published" if known else "of unknown origin")
    path = weights
    if trained and weights is None and (spec.bundled or spec.weights_help):
        path = _weights_path(spec)
    library, _, model = (base if ":" in base else spec.builder).rpartition(":")
    if path is not None:
        state, source = resolve_rename(base)(read_weights(path)), os.path.basename(path)
    if library and path is not None:
        module = libraries.build_from(library, model, state, source=source)
    elif library:
        module = libraries.build(library, model, from_hub=trained)
    elif path is not None:
        module = _filled(spec, base, state, source)
    else:
        module = resolve_builder(base)()
    if untrained:
        initialise(module, seed)
    return Network(spec, module, where)


def is_published(spec: NetworkSpec, path: str | os.PathLike[str]) -> bool:
    """Return whether a weight file is one whose SHA-256 is known.

    Known are ``spec.published`` and, for timm and torchvision, file names that end in the first
    eight digits of it, such as ``resnet50-0676ba61.pth``.

    Raises
    ------
    InputError
        If the file has a known name and another hash.
    """
    known, name = dict(spec.published), os.path.basename(path)
    digits = re.search(r"-(?=[0-9]*[a-f])([0-9a-f]{8})\.pth$", name)  # not a date
    if digits and spec.name.partition(":")[0] in LIBRARIES:
        known[name] = digits[1]
    if not known or not os.path.isfile(path):
        return False
    digest = sha256_file(path)
    # A name that is known with another content is a download that broke or a file that was changed:
    # to load it in silence would give other numbers under the same name.
    if not digest.startswith(known.get(name, "")):
        raise InputError(
            f"{name} is published with SHA-256 {known[name]}, but this file has {digest}: it was "
            "changed or cut. Get it again, or rename it if it is a file of your own."
        )
    return any(map(digest.startswith, known.values()))


def _weights_path(spec: NetworkSpec) -> Path:
    """Return the bundled weight file once its hash is checked."""
    if spec.weights_path is None:
        raise InputError(
            f"{spec.name!r} needs a weight file, which cannot be bundled. {spec.weights_help} "
            f"Put it anywhere and give its path: load_network({spec.name!r}, weights=PATH), "
            "or `weights: PATH` beside the network's name in a config."
        )
    digest = sha256_file(spec.weights_path)
    if digest != spec.sha256:
        raise InputError(
            f"the bundled weights of {spec.name!r} have SHA-256 {digest}, expected "
            f"{spec.sha256}: the file was changed or cut. Install the package again."
        )
    return spec.weights_path


def _filled(spec: NetworkSpec, base: str, state: dict, source: str):
    """Return the module of a registered network with the weights of a file."""
    from rsa_faces.networks._weights import fill, n_outputs

    sizes = resolve_sizes(base)(state)
    if spec.any_outputs:
        sizes["n_out"] = n_outputs(state, spec.any_outputs, source=source)
    module = resolve_builder(base)(**sizes)
    fill(module, state, source=source)
    return module


def _device(device: str):
    """Return the torch device that `device` names, if it is here."""
    torch = require("torch", purpose="A network")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        # A name can be well formed and the device not be there: only using it tells.
        torch.empty(1, device=chosen)
    except (RuntimeError, TypeError, AssertionError) as err:
        reason = str(err).splitlines()[0]
        raise InputError(
            f"expected device 'auto', 'cpu' or a GPU of this machine such as 'cuda:0', got "
            f"{device!r} ({reason})."
        ) from err
    return chosen
