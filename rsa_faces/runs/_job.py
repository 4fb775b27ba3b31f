"""A step of a run that may be done elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False)
class Job:
    """A step that may be done elsewhere.

    Attributes
    ----------
    what : str
        What is told while it is done.
    step : str
        Its name among the steps of the run.
    depends_on : sequence of str
        All that it depends on.
    files : sequence of str
        What it writes, below the run's folder; read when it is done.
    function : callable
        At the top of a module; writes `files`. What it returns, if anything, are notes.
    arguments : tuple
        Of the function.
    about : str
        Whose data it is about, for errors.
    keys : mapping of str to str
        What arguments are called in the configuration, for errors.
    here : bool
        Whether it shares itself out, and so is done by this process.
    """

    what: str
    step: str
    depends_on: Sequence[str]
    files: Sequence[str]
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    about: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    here: bool = False


def save_made(make: Callable[..., Any], *given: Any) -> None:
    """Save what a function of some arguments and options makes; given last are options and path.

    May run on another machine. What is warned of is in the notes of what is made, or was said.
    """
    *arguments, options, path = given
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        made = make(*arguments, **options)
    made.save(Path(path))
