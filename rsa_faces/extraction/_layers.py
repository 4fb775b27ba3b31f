"""Which layers: names and globs to module names."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rsa_faces._core.checks import check_arguments, check_enough, check_is
from rsa_faces._core.errors import InputError

if TYPE_CHECKING:
    from rsa_faces.networks import Network


def select_layers(network: Network, layers: str | Sequence[str] = "all") -> list[str]:
    """Return the layers that names and globs stand for, in order of computation.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    layers : str or sequence of str, default "all"
        Module names (any module of the network), globs such as ``"block1*"``, or "all": the
        default analysis layers, ``network.layers()``. A glob takes those of them that it matches;
        where it matches none of them, the modules of ``network.all_layers()`` that it matches;
        ``"*"`` takes all of these. Of a module that runs several times in a pass, the last call
        counts; ``"layer1.0.relu#1"`` is its first.

    Returns
    -------
    list of str
        Each layer once.

    Raises
    ------
    InputError
        If a name is no module or a glob matches none (the nearest is named), or none is given.

    See Also
    --------
    rsa_faces.extract : Record what the layers of a network answer to each stimulus.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> network = rf.load_network("sface", device="cpu")
    >>> rf.extraction.select_layers(network, ["fc", "block1?"])
    ['block10', 'block11', 'block12', 'block13', 'fc']
    """
    check_arguments(select_layers, locals())
    patterns = [layers] if isinstance(layers, str) else list(layers)
    for pattern in patterns:
        check_is(pattern, str, what="layers", hint="names of layers")
    check_enough(len(patterns), 1, "layer, or 'all'")
    listed = network.all_layers()
    modules = [name for name, _ in network.module.named_modules() if name]
    chosen: set[str] = set()
    for pattern in patterns:
        if pattern == "all":
            chosen.update(network.layers())
        elif split_call(pattern)[0] in modules:
            chosen.add(pattern)
        else:
            usual = [] if pattern == "*" else _matching(network.layers(), pattern)
            matched = usual or _matching(listed, pattern)
            if not matched:
                raise InputError(_unknown(pattern, network))
            chosen.update(matched)
    # Modules that all_layers() leaves out come after those it lists.
    order = list(dict.fromkeys([*listed, *modules]))
    return sorted(chosen, key=lambda layer: (order.index(split_call(layer)[0]), layer))


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that a glob matches."""
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _unknown(pattern: str, network: Network) -> str:
    """Say that a network has no such layer, and which come near."""
    listed = network.all_layers() or [name for name, _ in network.module.named_modules() if name]
    near = difflib.get_close_matches(pattern.lower(), listed, n=3, cutoff=0.5)
    what = f"unknown layer of {network.name}: {pattern!r}."
    if near:
        return f"{what} Did you mean {' or '.join(map(repr, near))}?"
    usual = network.layers() or listed
    shown = ", ".join(map(repr, usual[:5]))
    more = f" and {len(usual) - 5} more" if len(usual) > 5 else ""
    return (
        f"{what} Its layers are {shown}{more}; `rsa-faces networks layers {network.name}` lists "
        "them."
    )


def split_call(layer: str) -> tuple[str, int | None]:
    """Return the module of a layer and which of its calls it is; None: the last.

    A label that says how the layer is reduced ("relu#1:mean") may follow.
    """
    name = layer.partition(":")[0]
    match = re.fullmatch(r"(.+)#(\d+)", name, re.ASCII)
    return (match[1], int(match[2])) if match else (name, None)
