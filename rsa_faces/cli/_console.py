"""What all commands share: the app, its consoles, and how errors become one sentence."""

from __future__ import annotations

import errno
import functools
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from rsa_faces import __version__
from rsa_faces._core.errors import InputError, MissingExtraError

# 130: what shells return after Ctrl-C.
DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
_FULL = (errno.ENOSPC, errno.EDQUOT)
_INPUT_ERRORS = (
    InputError,
    MissingExtraError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)

# What is not a terminal (a file, a pipe) has no width; tables should not be cut there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False)
_debug = False

app = typer.Typer(
    name="rsa-faces",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # Errors are one sentence; tracebacks, on demand, are Python's own.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Which layer of which network sees faces the way people do: representational similarity "
        "analysis from images to figure.\n\n"
        "Start with `rsa-faces example images92` and `rsa-faces compare images92.yaml` (real data, "
        "nothing to download), "
        "then `rsa-faces init` writes a configuration for your own folders."
    ),
    epilog="Exit codes: 0 done, 1 the run failed, 2 the input is wrong.",
)


def _print_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        out.print(__version__)
        raise typer.Exit(DONE)


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    global _debug
    _debug = debug
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("rsa_faces").setLevel(logging.INFO if debug else logging.ERROR)
    if not debug:
        warnings.showwarning = _show_warning


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Show the sentences of our own warnings; those of other packages are for developers."""
    if issubclass(category, UserWarning):
        say("note", message, style="yellow")


def say(word: str, message: object, *, style: str) -> None:
    """Print one sentence to stderr; brackets in it are text, not markup."""
    err.print(f"[{style}]{word}:[/{style}] ", end="")
    err.print(str(message), markup=False, soft_wrap=True)


def tell(text: str) -> None:
    """Print text as it is: whatever it holds, in lines as long as they are."""
    out.print(text, markup=False, soft_wrap=True)


def guarded(command: Callable) -> Callable:
    """Turn exceptions into one sentence and an exit code; `--debug` shows the traceback."""

    @functools.wraps(command)
    def run(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            say("stopped", "run the same command again to go on from here.", style="yellow")
            raise typer.Exit(INTERRUPTED) from None
        except _INPUT_ERRORS as error:
            if _debug:
                raise
            say("error", error, style="bold red")
            raise typer.Exit(WRONG_INPUT) from None
        except typer.Exit:
            raise
        except OSError as error:
            if _debug:
                raise
            full = "the disk is full: " if error.errno in _FULL else ""
            say(
                "error",
                f"{full}{error}. Make room and run again." if full else str(error),
                style="bold red",
            )
            raise typer.Exit(FAILED) from None
        except Exception as error:
            if _debug:
                raise
            say("error", f"{type(error).__name__}: {error}", style="bold red")
            err.print("This is our fault or the machine's; `rsa-faces --debug …` shows where.")
            raise typer.Exit(FAILED) from None

    return run
