"""One situation of bad or odd input: what was given, and what has to happen."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rsa_faces._core.errors import InputError


@dataclass(frozen=True)
class Situation:
    """What somebody gave, and what has to happen.

    Parameters
    ----------
    given : str
        In words, for the table of the documentation.
    run : callable
        Does it in a folder of its own; where the input is to be read rightly, it asserts so.
    sentence : str, optional
        Regular expression that the error has to match, on the value that came. None: no error.
    """

    given: str
    run: Callable[[Path], object]
    sentence: str | None = None


def each(situations: list[Situation]):
    """Parametrise a test over situations, by their words."""
    return pytest.mark.parametrize("situation", situations, ids=lambda s: s.given)


def check(situation: Situation, folder: Path) -> None:
    """Try one situation: right, or one sentence."""
    if situation.sentence is None:
        situation.run(folder)
        return
    with pytest.raises((InputError, TypeError, ImportError), match=situation.sentence) as caught:
        situation.run(folder)
    assert "\n" not in str(caught.value).strip()


def command(*arguments: object) -> str:
    """Run the command line; raise its sentence as an InputError where it ends with exit code 2."""
    from rsa_faces import cli
    from rsa_faces.cli._app import app

    for module in pkgutil.iter_modules(cli.__path__):  # each command registers itself
        importlib.import_module(f"rsa_faces.cli.{module.name}")
    outcome = CliRunner().invoke(app, [str(a) for a in arguments])
    text = " ".join(outcome.output.split())
    if outcome.exit_code == 2:
        raise InputError(text)
    assert outcome.exit_code == 0, text
    return text
