"""Names of the past: accepted for a while, with one word of what to write instead."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

from rsa_faces._core.errors import InputError


def renamed_argument(old: str, new: str) -> Callable[[Callable], Callable]:
    """Return a decorator by which a function takes the argument `new` under its `old` name too.

    The old name gives a FutureWarning at the caller's line; both names together are an error.

    Examples
    --------
    >>> import warnings
    >>> @renamed_argument("colour", "color")
    ... def paint(*, color):
    ...     return color
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", FutureWarning)
    ...     paint(colour="red")
    'red'
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def accepting(*args, **kwargs):
            if old in kwargs:
                if new in kwargs:
                    raise InputError(
                        f"expected {new}={kwargs[new]!r} alone, got {old}={kwargs[old]!r} as well: "
                        f"{old!r} is the old name of {new!r}. Leave {old!r} out."
                    )
                warnings.warn(
                    f"the argument {old!r} of {function.__name__} is now called {new!r}; the old "
                    "name will go with version 1.0.",
                    FutureWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return accepting

    return decorate
