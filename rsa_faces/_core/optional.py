"""Optional packages, imported on first use, with the line that installs them if missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from rsa_faces._core.errors import MissingExtraError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say which extra of rsa-faces brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as err:
        raise MissingExtraError(
            f"{purpose} needs the package {module!r}, which is not installed. "
            f"Install it with: pip install 'rsa-faces[{extra}]'"
        ) from err
