"""Errors that tell the user what was expected, what came, and what to do."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave is wrong: a value, a shape, a name or a file.

    The command line prints its sentence without a traceback and ends with exit code 2.
    """


class InputTypeError(InputError, TypeError):
    """Something the user gave is of the wrong type."""


class ConditionMismatchError(InputError):
    """Two objects that must hold the same conditions do not.

    Parameters
    ----------
    left, right : iterable of str
        The condition names of the two sides.
    left_name, right_name : str
        What the two sides are, for the message.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, left, right, *, left_name="model", right_name="data", hint=""):
        left, right = list(left), list(right)
        only_left = [c for c in left if c not in set(right)]
        only_right = [c for c in right if c not in set(left)]
        super().__init__(
            f"expected the same conditions in {left_name} and {right_name}, but "
            f"there are {len(left)} in {left_name} and {len(right)} in {right_name}: "
            f"only in {left_name}: {some(only_left)}; only in {right_name}: {some(only_right)}."
            + (f" {hint}" if hint else "")
        )


def check_same_names(
    left: Iterable[str], right: Iterable[str], left_name: str, right_name: str, hint: str = ""
) -> None:
    """Raise a :class:`ConditionMismatchError` unless two sides hold the same names."""
    left, right = dict.fromkeys(left), dict.fromkeys(right)
    if set(left) != set(right):
        raise ConditionMismatchError(
            left, right, left_name=left_name, right_name=right_name, hint=hint
        )


class MissingFileError(InputError, FileNotFoundError):
    """A file the user named does not exist."""


class MissingExtraError(ImportError):
    """An optional package is not installed; the message holds the line that installs it."""


def some(names: Iterable[object], n: int = 5) -> str:
    """Show up to `n` names and count the rest."""
    names = [str(name) for name in names]
    if not names:
        return "none"
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(repr(name) for name in names[:n]) + more
