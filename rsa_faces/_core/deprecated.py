"""Names of the past: accepted for a while, with one word of what to write instead."""

from __future__ import annotations

import functools
from collections.abc import Callable

from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn


def renamed_key(values: dict, old: str, new: str, *, what: str) -> dict:
    """Return `values` with what is under the `old` name under the `new` one, with a warning.

    Raises
    ------
    InputError
        If both names are there.
    """
    if old not in values:
        return values
    if new in values:
        raise InputError(
            f"expected {new}={values[new]!r} alone, got {old}={values[old]!r} as well: {old!r} is "
            f"the old name of {new!r}. Leave {old!r} out."
        )
    warn(
        f"the {what} is now called {new!r}, no longer {old!r}; the old name will go with version "
        "1.0.",
        FutureWarning,
    )
    return {new if key == old else key: value for key, value in values.items()}


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
            what = f"argument of {function.__name__}()"
            return function(*args, **renamed_key(kwargs, old, new, what=what))

        return accepting

    return decorate
