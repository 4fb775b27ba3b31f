"""Optional packages, imported on first use, with the line that installs them if missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from rsa_faces._core.errors import MissingExtraError

#: What networks need. They come with rsa-faces; where they were left out or taken away, everything
#: but networks and the extraction of activations works all the same.
TORCH = ("torch", "torchvision", "timm")


def require(module: str, *, purpose: str, extra: str | None = None) -> ModuleType:
    """Import `module`, or say which extra of rsa-faces (or which line) brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as err:
        what = " ".join(TORCH) if extra is None else f"'rsa-faces[{extra}]'"
        raise MissingExtraError(
            f"{purpose} needs the package {module!r}, which is not installed. "
            f"Install it with: pip install {what}"
        ) from err


def torch_if_there() -> ModuleType | None:
    """Import torch; None where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None
