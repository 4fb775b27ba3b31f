"""Warnings, at the line of the user's code that called the package."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).parents[1])
#: Modules that stand between a user's line and the package: nobody looks for an error there.
_BETWEEN = ("contextlib", "pydantic", "rsa_faces")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning at the line that called into the package, however deep it arises.

    A counted `stacklevel` is right for one way to a function only: decorators, helpers and other
    public functions that call it each move it.
    """
    frame = _users_frame(sys._getframe(1))
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__", "<unknown>")
    place = frame.f_code.co_filename, frame.f_lineno
    warnings.warn_explicit(message, category, *place, module, registry)


def _users_frame(frame: FrameType) -> FrameType:
    """Return the frame of the line that called into the package, on the way to a frame of it."""
    outermost, outer = frame, frame.f_back
    while outer is not None:
        if outer.f_code.co_filename.startswith(_PACKAGE):
            outermost = outer
        outer = outer.f_back
    frame = outermost
    while frame.f_back is not None and _is_between(frame):
        frame = frame.f_back
    return frame


def _is_between(frame: FrameType) -> bool:
    """Return whether a frame is of the package, or of what makes its classes and contexts."""
    file = frame.f_code.co_filename
    if file.startswith(_PACKAGE):
        return True
    if file.startswith("<doctest"):  # an example has the globals of the module it stands in
        return False
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _BETWEEN
