"""torch for the files of families: loaded when a network is made, not when networks are listed.

A family's description and its architecture stand in one file, and listing networks reads all of
these; torch takes seconds to load, and need not be installed for it.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.nn import functional as F

    Module = nn.Module
else:

    class _Late:
        """A module that is imported when something of it is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    torch, nn, F = _Late("torch"), _Late("torch.nn"), _Late("torch.nn.functional")

    class Module:
        """``torch.nn.Module``, of which a class becomes a subclass when its first object is made.

        From then on the class's name in its file stands for that subclass, so that objects can be
        pickled.

        See Also
        --------
        rsa_faces.load_network : Open a network by name.

        Examples
        --------
        >>> from rsa_faces.networks.families.pixels import Copy
        >>> import torch
        >>> isinstance(Copy(), torch.nn.Module)
        True
        """

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            """Make an object of the class that also derives from ``torch.nn.Module``."""
            if not issubclass(cls, nn.Module):
                home = sys.modules[cls.__module__]
                made = getattr(home, cls.__name__, cls)
                if not (issubclass(made, cls) and issubclass(made, nn.Module)):
                    content = {"__module__": cls.__module__, "__doc__": cls.__doc__}
                    made = type(cls.__name__, (cls, nn.Module), content)
                    setattr(home, cls.__name__, made)
                cls = made
            return object.__new__(cls)


__all__ = ["F", "Module", "nn", "torch"]
