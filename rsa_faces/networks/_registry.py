"""The networks by name: plain data, so that listing them needs no torch."""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
from collections.abc import Callable
from functools import partial
from types import ModuleType

from rsa_faces._core.checks import check_choice
from rsa_faces.networks import families, libraries
from rsa_faces.networks._spec import NetworkSpec

#: The file of each network's family: its description beside its architecture.
_HOMES: dict[str, ModuleType] = {
    spec.name: home
    for found in pkgutil.iter_modules(families.__path__)
    if not found.name.startswith("_")
    for home in [importlib.import_module(f"{families.__name__}.{found.name}")]
    for spec in home.SPECS
}

#: Every network by name. An entry in a family is listed, documented, tested and loadable.
NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec for home in dict.fromkeys(_HOMES.values()) for spec in home.SPECS
}

#: Prefixes that open networks of other libraries by their own names.
LIBRARIES = ("timm", "torchvision")


def list_networks(pattern: str = "*") -> list[str]:
    """List the networks that :func:`load_network` knows by name.

    Parameters
    ----------
    pattern : str, default "*"
        A glob, matched against the names.

    Returns
    -------
    list of str
        Names in alphabetical order. ``"untrained:<name>"``, ``"timm:<name>"`` and
        ``"torchvision:<name>"`` also load, but are too many to list.

    See Also
    --------
    load_network : Open a network by name.
    rsa_faces.networks.get_spec : Describe a network without opening it.

    Examples
    --------
    >>> from rsa_faces.networks import list_networks
    >>> list_networks("face-api-*")
    ['face-api-expression', 'face-api-landmarks']
    """
    return sorted(fnmatch.filter(NETWORKS, pattern))


def resolve_builder(name: str) -> Callable:
    """Return the function that builds a registered network's module."""
    library, _, model = NETWORKS[name].builder.rpartition(":")
    if library:
        return partial(libraries.build, library, model, from_hub=False)
    return getattr(_HOMES[name], model)


def resolve_rename(name: str) -> Callable:
    """Return the function from the names in published files to those of the module."""
    return getattr(_HOMES.get(name), "rename", lambda state: state)


def resolve_sizes(name: str) -> Callable:
    """Return the function from a renamed file to sizes of the module that it decides."""
    return getattr(_HOMES[name], "sizes", lambda state: {})


def check_name(name: str) -> str:
    """Return `name` if the registry has it, else say so and explain the prefixes."""
    prefixes = [f"{prefix}:<name>" for prefix in (*LIBRARIES, "untrained")]
    return check_choice(name, [*NETWORKS, *prefixes], what="network")
