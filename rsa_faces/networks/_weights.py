"""Reading weight files without running anything that is in them, and filling modules."""

from __future__ import annotations

import argparse
import codecs
import collections
import math
import os
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import read_tensors

if TYPE_CHECKING:
    import torch

#: What damaged and foreign files raise in the readers.
DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pth.tar", ".pkl")
#: Under which name a file keeps the weights beside other things, in the order they are looked for.
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "backbone"),
    *("ema", "model_ema", "state_dict_ema", "params", "weights"),
)
#: What wrapping modules put before names: several processors, compiled, Lightning, with a head.
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.", "ema_model.")


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for ``_codecs.encode``: how protocol 2 writes bytes, and nothing else."""
    if encoding != "latin1" or not isinstance(text, str):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return codecs.latin_1_encode(text)[0]


def _allowed() -> dict[tuple[str, str], object]:
    """Name the only things a weight pickle may call: what rebuilds arrays, and OrderedDict."""
    out: dict[tuple[str, str], object] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        # Older pickles hold bytes as text and the name of its encoding.
        ("_codecs", "encode"): _latin1,
        ("collections", "OrderedDict"): collections.OrderedDict,
    }
    core_of_numpy = np._core if hasattr(np, "_core") else np.core
    # NumPy 2 has it under a new name; files of both are about.
    for core in ("numpy.core", "numpy._core"):
        out[f"{core}.multiarray", "_reconstruct"] = core_of_numpy.multiarray._reconstruct
        out[f"{core}.multiarray", "scalar"] = core_of_numpy.multiarray.scalar
        out[f"{core}.numeric", "_frombuffer"] = core_of_numpy.numeric._frombuffer
    return out


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler for dictionaries of NumPy arrays; any other class or function is refused."""

    _ALLOWED = _allowed()

    def find_class(self, module: str, name: str):
        """Return an allowed object, or refuse."""
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Read a weight file: name to tensor.

    Parameters
    ----------
    path : path-like
        ``.safetensors``; ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` or ``.pth.tar`` (a dictionary of
        tensors, alone or under a name of :data:`WRAPPERS`, read with ``weights_only=True``);
        ``.pkl`` (a dictionary of arrays, read by an unpickler that can rebuild arrays and nothing
        else).

    Returns
    -------
    dict of str to torch.Tensor
        Prefixes of :data:`PREFIXES` that most names have are cut off.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is of another kind, damaged, or asks to run something.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a weight file, but there is none at {path}.")
    suffix = ".pth.tar" if path.name.lower().endswith(".pth.tar") else path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"expected a weight file ending in {', '.join(SUFFIXES)}, got {path.name}."
        )
    try:
        if suffix == ".safetensors":
            state = load_file(path)
        elif suffix == ".pkl":
            with path.open("rb") as stream:
                state = ArrayUnpickler(stream, encoding="latin1").load()
        else:
            # Options of a training, which Lightning keeps: an object that does nothing.
            state = read_tensors(path, classes=[argparse.Namespace])
    except (*DAMAGED, SafetensorError) as err:
        raise InputError(
            f"{path.name} could not be read safely as a weight file ({reason(err)}). Expected "
            "only named arrays; save the network's state_dict(), where it was made, as "
            ".safetensors, or get the file again."
        ) from err
    state = _unwrapped(state)
    if not isinstance(state, dict) or not state:
        raise InputError(
            f"expected a dictionary of named arrays in {path.name}, got {type(state).__name__}."
        )
    return _without_prefixes({str(k): _tensor(k, v, path) for k, v in state.items()})


def reason(err: Exception) -> str:
    """Say what is wrong with a file, without advice to read it unsafely."""
    asked = re.search(r"(?:GLOBAL|global|function) `?([\w.]+)", str(err))
    if asked and "nsupported" in str(err):
        return f"it asks for {asked[1]}, which is not allowed: does it hold a whole network?"
    first = str(err).splitlines()[0] if str(err) else type(err).__name__
    return "it is damaged, or no weight file" if "eights only" in first else first


def _unwrapped(state: Any) -> Any:
    """Return the innermost dictionary of weights."""
    while isinstance(state, dict):
        inner = next((state[k] for k in WRAPPERS if isinstance(state.get(k), dict)), None)
        if not inner:
            break
        state = inner
    return state


def _without_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cut off prefixes that most names have."""
    while True:
        for prefix in PREFIXES:
            # Most, not all: beside a wrapped network a file may hold the head of its loss under a
            # name of its own.
            if 2 * sum(name.startswith(prefix) for name in state) > len(state):
                short = {name.removeprefix(prefix): value for name, value in state.items()}
                # Two names must not become one.
                if len(short) == len(state):
                    state = short
                    break
        else:
            return state


def _tensor(name: object, value: object, path: Path) -> torch.Tensor:
    """Return a numeric array or tensor as a tensor."""
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiu":
        array = np.asarray(value)
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    raise InputError(f"expected numbers under {name!r} in {path.name}, got {type(value).__name__}.")


def n_outputs(state: dict[str, torch.Tensor], layer: str, *, source: str) -> int:
    """Return how many outputs `layer` has in a renamed weight file, from its weight's shape."""
    weight = state.get(f"{layer}.weight")
    if weight is None or weight.ndim != 2:
        found = "there is none" if weight is None else f"it has shape {tuple(weight.shape)}"
        raise InputError(
            f"{source} does not fit this network: expected {layer}.weight of shape (outputs, "
            f"inputs), but {found}. Is it another architecture, or a file with another naming?"
        )
    return int(weight.shape[0])


def fill(module: torch.nn.Module, state: dict[str, torch.Tensor], *, source: str) -> None:
    """Copy `state` into `module`: every name must be there, none too many, all shapes equal.

    Half precision is written out.
    """
    import torch

    wanted = module.state_dict()
    # Counters of training steps: absent from older files, and without effect in eval mode.
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in state and name not in counters]
    extra = [name for name in state if name not in wanted]
    if missing or extra:
        raise InputError(
            f"{source} does not fit this network: {_some(missing)} missing, {_some(extra)} too "
            "many. Is it another architecture, or a file with another naming?"
        )
    for name, tensor in state.items():
        if name not in counters and tensor.shape != wanted[name].shape:
            raise InputError(
                f"{source} does not fit this network: {name} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(wanted[name].shape)}."
            )
        if name not in counters and tensor.is_complex() and not wanted[name].is_complex():
            raise InputError(f"expected real weights, but {name} of {source} is {tensor.dtype}.")
    with torch.no_grad():
        for name, tensor in state.items():
            if name not in counters:
                wanted[name].copy_(tensor)


def _some(names: list[str]) -> str:
    """Count names and show the first three."""
    if not names:
        return "0 names"
    return f"{len(names)} names ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def initialise(module: torch.nn.Module, seed: int) -> None:
    """Draw the weights of an untrained network.

    Convolutions and linear layers: normal, mean 0, variance 2 / fan-in (He et al. 2015); biases
    0. Normalisation and affine layers: scale 1, shift 0, running mean 0, running variance 1, so
    that they leave their input unchanged in eval mode. Whatever else is learned (tokens,
    positions): normal, standard deviation 0.02. One NumPy generator, parameters in the module's
    order: the same seed gives the same network everywhere.
    """
    import torch
    from torch import nn

    rng = np.random.default_rng(seed)

    def draw(parameter: torch.Tensor, std: float) -> None:
        values = rng.standard_normal(tuple(parameter.shape), dtype=np.float32) * np.float32(std)
        parameter.copy_(torch.from_numpy(values))

    with torch.no_grad():
        for child in module.modules():
            weighted = isinstance(child, (nn.modules.conv._ConvNd, nn.Linear))
            for name, parameter in child.named_parameters(recurse=False):
                if weighted and name == "weight":
                    draw(parameter, math.sqrt(2 / parameter[0].numel()))
                elif name.endswith("bias"):
                    parameter.zero_()
                elif name == "weight" and parameter.ndim == 1:
                    parameter.fill_(1)
                else:
                    draw(parameter, 0.02)
            if isinstance(child, nn.modules.batchnorm._NormBase):
                child.reset_running_stats()
